"""What is here, as Neuronpedia's rows: models, releases, source sets and sources, and all of them as `GET /api/global`.

Fields and their names are those of its tables. What the workbench has no notion of (owners, maps, graphs) is there with
the value that means “none”, so that a reader of its JSON finds every key. Costs a walk over the catalog.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from core.records import ModelRecord, ReleaseRecord, SourceRecord

Json = dict[str, Any]

PUBLIC = "PUBLIC"
"""Whoever can reach this server may read what is on it."""


def everything(
    models: Sequence[ModelRecord], releases: Sequence[ReleaseRecord], sources: Sequence[SourceRecord]
) -> Json:
    """The answer of `GET /api/global`: models and releases, each with its source sets and their sources."""
    return {
        "models": [model(record, sources) for record in models],
        "releases": [release(record, sources) for record in releases],
        "explanationTypes": [],
        "explanationModels": [],
        "explanationScoreTypes": [],
        "explanationScoreModelTypes": [],
    }


def model(record: ModelRecord, sources: Sequence[SourceRecord]) -> Json:
    """One model with those of `sources` that are its own."""
    own = [s for s in sources if s.key.model_id == record.model_id]
    return {
        "id": record.model_id,
        "displayName": record.name,
        "displayNameShort": record.name,
        "description": record.description,
        "layers": record.layers,
        "dimension": record.d_model,
        "neuronsPerLayer": record.d_mlp,
        "inferenceEnabled": any(_runs(s) for s in own),
        "instruct": False,
        "thinking": False,
        **_default(own),
        "defaultGraphSourceSetName": None,
        "tlensId": None,
        "openRouterId": None,
        "owner": "",
        "website": None,
        "visibility": PUBLIC,
        "creatorId": None,
        "createdAt": None,
        "updatedAt": None,
        "sourceSets": _sets(own),
    }


def release(record: ReleaseRecord, sources: Sequence[SourceRecord]) -> Json:
    """One release with those of `sources` that belong to it."""
    own = [s for s in sources if s.release.name == record.name]
    return {
        "name": record.name,
        "description": record.description,
        "descriptionShort": record.description,
        "urls": list(record.urls),
        "creatorName": record.creator,
        "creatorNameShort": record.creator,
        "creatorEmail": None,
        "creatorId": None,
        **_default(own),
        "defaultUmapSourceIds": [],
        "featured": False,
        "isNewUi": True,
        "visibility": PUBLIC,
        "createdAt": None,
        "sourceSets": _sets(own),
    }


def source_set(members: Sequence[SourceRecord]) -> Json:
    """The set that `members` (one or more sources, all of one set) make, with their rows under `sources`."""
    return set_row(members[0], members) | {"sources": [source(s) for s in members]}


def set_row(first: SourceRecord, members: Sequence[SourceRecord] = ()) -> Json:
    """A source set without its sources; the facts that a set shares are read from `first`."""
    members = members or (first,)
    return {
        "modelId": first.key.model_id,
        "name": first.key.set_name,
        "description": first.release.description,
        "type": first.kind,
        "releaseName": first.release.name,
        "creatorName": first.release.creator,
        "urls": list(first.release.urls),
        "hasDashboards": any("dashboards" in s.has for s in members),
        "allowInferenceSearch": any(_runs(s) for s in members),
        "visibility": PUBLIC,
        "creatorEmail": None,
        "creatorId": None,
        "createdAt": first.built,
        "hasGraphs": False,
        "graphEnabled": False,
        "similarityMatrixEnabled": False,
        "defaultOfModelId": None,
        "defaultGraphModelId": None,
        "defaultRange": 1,
        "defaultShowBreaks": True,
        "showDfa": False,
        "showCorrelated": True,
        "showHeadAttribution": False,
        "showUmap": False,
    }


def source(record: SourceRecord) -> Json:
    """One source; `num_tokens_in_prompt` counts BOS."""
    return {
        "id": record.key.source_id,
        "modelId": record.key.model_id,
        "setName": record.key.set_name,
        "hookName": record.hook,
        "dataset": record.dataset,
        "num_prompts": record.prompts,
        "num_tokens_in_prompt": record.context,
        "hasDashboards": "dashboards" in record.has,
        "inferenceEnabled": _runs(record),
        "notes": None,
        "saelensConfig": None,
        "saelensRelease": None,
        "saelensSaeId": None,
        "hfRepoId": None,
        "hfFolderId": None,
        "hasUmap": False,
        "hasUmapLogSparsity": False,
        "hasUmapClusters": False,
        "cosSimMatchModelId": None,
        "cosSimMatchSourceId": None,
        "defaultOfModelId": None,
        "visibility": PUBLIC,
        "creatorId": None,
        "createdAt": record.built,
    }


def _sets(sources: Sequence[SourceRecord]) -> list[Json]:
    """`sources` by model and set, in their own order."""
    grouped: dict[tuple[str, str], list[SourceRecord]] = {}
    for record in sources:
        grouped.setdefault((record.key.model_id, record.key.set_name), []).append(record)
    return [source_set(members) for members in grouped.values()]


def _default(sources: Sequence[SourceRecord]) -> Json:
    """Where a reader begins: the first source that is sparse, else the first."""
    first = next((s for s in sources if not s.signed), sources[0] if sources else None)
    return {
        "defaultSourceSetName": first.key.set_name if first else None,
        "defaultSourceId": first.key.source_id if first else None,
    }


def _runs(record: SourceRecord) -> bool:
    return "weights" in record.has
