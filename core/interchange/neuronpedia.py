"""Our records as Neuronpedia's JSON: feature, activation, catalog entry, figures.

Keys and meanings follow its API (an index and a data index are strings there, and `layer` is the source id). Two
things differ on purpose: every index into `tokens` counts in the list that is given, after BOS has been dropped, and
correlated features are filled in. Costs a walk over the record; nothing is computed from tensors.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from core.records import (
    Example,
    ExampleGroup,
    FeatureRecord,
    Figures,
    Histogram,
    Related,
    SourceKey,
    SourceRecord,
    TestRecord,
    Token,
)

Json = dict[str, Any]

TOP = -1
"""Neuronpedia marks the group of top activations by a lower bound and a share of -1."""


def catalog_entry(source: SourceRecord) -> Json:
    """One line of `GET /api/catalog`."""
    return {
        "modelId": source.key.model_id,
        "sourceId": source.key.source_id,
        "sourceSet": source.key.set_name,
        "kind": source.kind,
        "architecture": source.architecture,
        "hook": source.hook,
        "layer": source.layer,
        "width": source.width,
        "dIn": source.d_in,
        "signed": source.signed,
        "release": source.release.name,
        "dataset": source.dataset,
        "datasetSha256": source.dataset_sha256,
        "prompts": source.prompts,
        "context": source.context,
        "tokens": source.tokens,
        "alive": source.alive,
        "dtype": source.dtype,
        "has": list(source.has),
        "active": source.active,
        "built": source.built,
        "origin": source.origin,
        "figures": None if source.figures is None else asdict(source.figures),
    }


def figures(key: SourceKey, measured: Figures, with_bos: Figures) -> Json:
    """What `eval` prints: the figures without BOS under their own names, and those with it under `with_bos`."""
    named = {"modelId": key.model_id, "sourceId": key.source_id}
    return named | asdict(measured) | {"with_bos": asdict(with_bos)}


def feature(record: FeatureRecord) -> Json:
    """The answer of `GET /api/feature/{modelId}/{layer}/{index}`."""
    return _identity(record) | _statistics(record) | _relations(record) | _examples(record)


def activation(record: TestRecord) -> Json:
    """The answer of `POST /api/activation/new` for one text; the leading BOS is dropped."""
    skip = _leading_special(record.tokens)
    return _strip(record.tokens[skip:], record.values[skip:]) | {
        "modelId": record.key.model_id,
        "layer": record.key.source_id,
        "index": str(record.key.index),
        "creatorId": None,
        "createdAt": None,
        "dataIndex": None,
        "dataSource": None,
        "dfaValues": [],
        "dfaTargetIndex": None,
        "dfaMaxValue": None,
    }


def _identity(record: FeatureRecord) -> Json:
    source = record.source
    return {
        "modelId": record.key.model_id,
        "layer": record.key.source_id,
        "index": str(record.key.index),
        "sourceSetName": record.key.source.set_name,
        "hookName": source.hook,
        "label": record.label,
        "hasVector": False,
        "vector": [],
        "vectorLabel": None,
        "vectorDefaultSteerStrength": record.maximum,
        "model": {"id": record.key.model_id},
        "source": {
            "id": record.key.source_id,
            "modelId": record.key.model_id,
            "setName": record.key.source.set_name,
            "hasDashboards": "dashboards" in source.has,
            "inferenceEnabled": "weights" in source.has,
            "dataset": source.dataset,
            "num_prompts": source.prompts,
            "num_tokens_in_prompt": source.context,
        },
        "sourceSet": {
            "modelId": record.key.model_id,
            "name": record.key.source.set_name,
            "releaseName": source.release.name,
            "creatorName": source.release.creator,
            "urls": list(source.release.urls),
        },
        "explanations": [],
        "comments": [],
        "lists": [],
    }


def _statistics(record: FeatureRecord) -> Json:
    return {
        "maxActApprox": record.maximum,
        "frac_nonzero": record.density,
        **_bars("freq_hist", record.histogram),
        **_bars("logits_hist", record.logit_histogram),
        "pos_str": [entry.token.text for entry in record.top_logits],
        "pos_values": [entry.value for entry in record.top_logits],
        "neg_str": [entry.token.text for entry in record.bottom_logits],
        "neg_values": [entry.value for entry in record.bottom_logits],
    }


def _bars(name: str, histogram: Histogram | None) -> Json:
    return {
        f"{name}_data_bar_heights": [] if histogram is None else list(histogram.counts),
        f"{name}_data_bar_values": [] if histogram is None else list(histogram.centres),
    }


def _relations(record: FeatureRecord) -> Json:
    return {
        "neuron_alignment_indices": _indices(record.alignment),
        "neuron_alignment_values": _values(record.alignment),
        "neuron_alignment_l1": [entry.share or 0.0 for entry in record.alignment],
        # The peers' files call the cosine of the two activation vectors "l1": kept, so that their readers find it.
        "correlated_neurons_indices": _indices(record.correlated_neurons),
        "correlated_neurons_pearson": _values(record.correlated_neurons),
        "correlated_neurons_l1": [entry.cosine or 0.0 for entry in record.correlated_neurons],
        "correlated_features_indices": _indices(record.correlated_features),
        "correlated_features_pearson": _values(record.correlated_features),
        "correlated_features_l1": [entry.cosine or 0.0 for entry in record.correlated_features],
        "topkCosSimIndices": _indices(record.neighbours),
        "topkCosSimValues": _values(record.neighbours),
        "decoder_weights_dist": [],
    }


def _indices(related: tuple[Related, ...]) -> list[int]:
    return [entry.index for entry in related]


def _values(related: tuple[Related, ...]) -> list[float]:
    return [entry.value for entry in related]


def _examples(record: FeatureRecord) -> Json:
    """The raw ranking and the intervals as `activations`, strongest first; the folded ranking beside them."""
    kinds = ("diverse", "raw", "interval")
    by_kind = {kind: [group for group in record.groups if group.kind == kind] for kind in kinds}
    ranking = by_kind["raw"] or by_kind["diverse"]
    rows = [_example(record, group, entry) for group in ranking + by_kind["interval"] for entry in group.examples]
    rows.sort(key=lambda row: -row["maxValue"])
    return {
        "activations": rows,
        "diverseActivations": [
            _example(record, group, entry) for group in by_kind["diverse"] for entry in group.examples
        ],
    }


def _example(record: FeatureRecord, group: ExampleGroup, example: Example) -> Json:
    skip = _leading_special(example.tokens)
    top = group.kind != "interval"
    return _strip(example.tokens[skip:], example.values[skip:]) | {
        "id": f"{record.key}/{group.kind}/{example.prompt}/{example.position}",
        "modelId": record.key.model_id,
        "layer": record.key.source_id,
        "index": str(record.key.index),
        "dataIndex": str(example.prompt),
        "dataSource": example.part or record.source.dataset,
        "creatorId": None,
        "binMin": TOP if top else group.low,
        "binMax": record.maximum if top else group.high,
        "binContains": TOP if top else group.share,
        "qualifyingTokenIndex": example.position - skip,
        "repeats": example.repeats,
        "dfaValues": [],
        "dfaTargetIndex": None,
        "dfaMaxValue": None,
    }


def _strip(tokens: tuple[Token, ...], values: tuple[float, ...]) -> Json:
    """Tokens with their values; special tokens read 0, as Neuronpedia's server answers, and never are the maximum."""
    shown = [0.0 if token.special else value for token, value in zip(tokens, values, strict=True)]
    highest = max(shown, default=0.0)
    return {
        "tokens": [token.text for token in tokens],
        "values": shown,
        "maxValue": highest,
        "maxValueTokenIndex": shown.index(highest) if shown else 0,
        "minValue": min(shown, default=0.0),
    }


def _leading_special(tokens: tuple[Token, ...]) -> int:
    """1 where the text begins with BOS: Neuronpedia leaves it out of tokens and values."""
    return 1 if tokens and tokens[0].special else 0
