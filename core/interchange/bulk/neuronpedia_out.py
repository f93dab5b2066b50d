"""Writes a source as Neuronpedia's bulk export, as its own exporter does, in the bucket's layout.

    <DIR>/v1/<model>/<source>/{release,model,sourceset,source}.jsonl
    <DIR>/v1/<model>/<source>/{features,activations,explanations}/batch-N.jsonl.gz   1,024 rows of features a batch
    <DIR>/v1/<model>/<source>/scores/batch-N.jsonl.gz, featurescope.json, featurescope/features.jsonl.gz

Rows have columns that Neuronpedia's tables have, and no others, since its importer takes columns from the first line.
What it has no column for (explanations' scores, exact moments, our name of a feature) lies in files that it does not
look at. What came with an import goes out as it came. BOS is left out, as there. The same source gives the same bytes.
Explanations and their scores may go out alone. Cost: a walk over all features, 2 to 4 ms each.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import orjson

from core.interchange import directory, explanations, neuronpedia
from core.interchange.bulk import assemble
from core.interchange.bulk.imported import PREFIX
from core.records import FeatureKey, FeatureRecord, SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench

Json = dict[str, Any]
BATCH, LEVEL = 1024, 5
CREATOR = "clkht01d40000jv08hvalcvly"
"""Neuronpedia shows activations of a few accounts as public; this is its bot's."""
FEATURE = (
    "modelId", "layer", "index", "maxActApprox", "creatorId", "frac_nonzero", "freq_hist_data_bar_heights",
    "freq_hist_data_bar_values", "logits_hist_data_bar_heights", "logits_hist_data_bar_values",
    "neuron_alignment_indices", "neuron_alignment_l1", "neuron_alignment_values", "correlated_neurons_indices",
    "correlated_neurons_l1", "correlated_neurons_pearson", "correlated_features_indices", "correlated_features_l1",
    "correlated_features_pearson", "decoder_weights_dist", "neg_str", "neg_values", "pos_str", "pos_values",
    "sourceSetName", "topkCosSimIndices", "topkCosSimValues", "vector", "vectorLabel", "hookName",
    "vectorDefaultSteerStrength", "hasVector",
)  # fmt: skip
ACTIVATION = (
    "id", "modelId", "layer", "index", "creatorId", "dataSource", "dataIndex", "tokens", "maxValue", "minValue",
    "values", "maxValueTokenIndex", "dfaValues", "dfaMaxValue", "dfaTargetIndex", "binContains", "binMin", "binMax",
    "qualifyingTokenIndex",
)  # fmt: skip
EXPLANATION = (
    "id", "modelId", "layer", "index", "authorId", "description", "embedding", "typeName", "explanationModelName",
    "umap_x", "umap_y", "umap_cluster", "umap_log_feature_sparsity", "notes", "createdAt",
)  # fmt: skip
MODEL = (
    "id", "displayNameShort", "displayName", "creatorId", "tlensId", "dimension", "thinking", "visibility",
    "defaultSourceSetName", "defaultSourceId", "inferenceEnabled", "instruct", "layers", "neuronsPerLayer", "createdAt",
    "owner", "updatedAt", "website",
)  # fmt: skip
_SINGLE = {
    "maxActApprox", "pos_values", "neg_values", "neuron_alignment_values", "neuron_alignment_l1", "topkCosSimValues",
    "correlated_neurons_l1", "correlated_neurons_pearson", "correlated_features_l1", "correlated_features_pearson",
    "vectorDefaultSteerStrength", "maxValue", "minValue", "values",
}  # fmt: skip
"""Numbers that are kept in float32: written as short as that allows."""
_OPTIONS = orjson.OPT_SERIALIZE_NUMPY


class _Batches:
    """Gzipped JSON lines in numbered files."""

    def __init__(self, folder: Path, files: dict[str, int]) -> None:
        self._folder, self._files, self._number = folder, files, -1
        self._raw: IO[bytes] | None = None
        self._zip: gzip.GzipFile | None = None
        self.count = 0

    def next(self) -> list[Path]:
        """Begins another file; the one before, which is whole now."""
        done = self.close()
        self._number += 1
        self._folder.mkdir(exist_ok=True)
        path = self._folder / f"batch-{self._number}.jsonl.gz"
        self._raw = path.open("wb")
        self._zip = gzip.GzipFile("", "wb", LEVEL, self._raw, 0)
        self._name = f"{self._folder.name}/{path.name}"
        self._files[self._name] = 0
        return done

    def write(self, row: Json) -> None:
        if self._zip is None:
            self.next()
        assert self._zip is not None
        self._zip.write(orjson.dumps(row, option=_OPTIONS) + b"\n")
        self._files[self._name] += 1
        self.count += 1

    def close(self) -> list[Path]:
        """Ends the file; its path, if there is one."""
        if self._zip is None or self._raw is None:
            return []
        self._zip.close()
        self._raw.close()
        self._zip = None
        return [self._folder / f"batch-{self._number}.jsonl.gz"]


@dataclass(slots=True)
class Counts:
    """How much was written so far."""

    features: int = 0
    activations: int = 0
    explanations: int = 0


def write(
    bench: Workbench, key: SourceKey, folder: Path, counts: Counts, *, creator: str = CREATOR, people: bool = False,
    vectors: np.ndarray[Any, Any] | None = None, tell: Callable[[float, float], None],
) -> Iterator[Path]:  # fmt: skip
    """Writes a source's folder; each file's path as soon as it is whole.

    `vectors` are decoder rows to go along; `people`: whether what people wrote on this workbench does too.
    """
    source, files = bench.source(key), {}  # type: tuple[Any, dict[str, int]]
    yield from _rows(bench, key, folder)
    features, acts = _Batches(folder / "features", files), _Batches(folder / "activations", files)
    ours = folder / "featurescope"
    ours.mkdir()
    with _gzipped(ours / "features.jsonl.gz") as beside:
        for n, (record, row, rows) in enumerate(_features(bench, key, creator, vectors)):
            if n % BATCH == 0:
                yield from (*features.next(), *acts.next())
            if row is not None:
                features.write(row)
                beside.write(orjson.dumps(_said(record)) + b"\n")
            for one in rows:
                acts.write(one)
            tell(n + 1, source.width)
    yield from (*features.close(), *acts.close(), ours / "features.jsonl.gz")
    counts.features, counts.activations = features.count, acts.count
    said = _Batches(folder / "explanations", files)
    yield from _explanations(bench, key, folder, files, people, said)
    counts.explanations = said.count
    (folder / "featurescope.json").write_bytes(orjson.dumps(
        {"format": 1, "source": _ours(bench, key), "files": files}, option=orjson.OPT_INDENT_2
    ))  # fmt: skip
    yield folder / "featurescope.json"


def write_explanations(bench: Workbench, key: SourceKey, folder: Path, *, people: bool = False) -> int:
    """Writes explanations and their scores alone; returns how many explanations there are."""
    said = _Batches(folder / "explanations", {})
    for _ in _explanations(bench, key, folder, {}, people, said):
        pass
    return said.count


def _gzipped(path: Path) -> gzip.GzipFile:
    return gzip.GzipFile("", "wb", LEVEL, io.BufferedWriter(path.open("wb", buffering=0)), 0)


def _rows(bench: Workbench, key: SourceKey, folder: Path) -> Iterator[Path]:
    """The four files of one row."""
    source = bench.source(key)
    sources = bench.sources(model_id=key.model_id)
    row = directory.model(bench.model(key.model_id), sources)
    release = {k: v for k, v in directory.release(source.release, sources).items() if k != "sourceSets"}
    made = {
        "release": release, "model": {name: row.get(name) for name in MODEL}, "sourceset": directory.set_row(source),
        "source": {k: v for k, v in directory.source(source).items() if k != "hookName"},
    }  # fmt: skip
    imported = _imported_rows(bench, key)
    for name, one in made.items():
        one = imported.get(name, {}) | {k: v for k, v in one.items() if k not in imported.get(name, {})}
        if name in imported:
            one |= {"id": key.model_id} if name == "model" else {}
            one |= {"modelId": key.model_id} if name in ("sourceset", "source") else {}
            one |= {"id": key.source_id} if name == "source" else {}
        (folder / f"{name}.jsonl").write_bytes(orjson.dumps(one) + b"\n")
        yield folder / f"{name}.jsonl"


def _imported_rows(bench: Workbench, key: SourceKey) -> Json:
    """What an import's own four files said."""
    path = bench.catalog.entry(key).folder / "import.json"
    if not path.is_file():
        return {}
    rows = orjson.loads(path.read_bytes()).get("rows")
    return rows if isinstance(rows, dict) else {}


def _ours(bench: Workbench, key: SourceKey) -> Json:
    source = asdict(bench.source(key))
    for name in ("key", "figures", "origin", "built", "has", "release"):
        source.pop(name)
    return source


def _said(record: FeatureRecord) -> Json:
    return {
        "index": str(record.key.index), "label": record.label, "active": record.active, "minimum": record.minimum,
        "mean": record.mean, "deviation": record.deviation,
    }  # fmt: skip


# -- features ----------------------------------------------------------------------------------------------------------


def _features(
    bench: Workbench, key: SourceKey, creator: str, vectors: np.ndarray[Any, Any] | None
) -> Iterator[tuple[FeatureRecord, Json | None, list[Json]]]:
    """Of each feature its record, its row (none for one that an import did not have) and its activations' rows."""
    entry = bench.catalog.entry(key)
    kept = assemble.rows_of(entry.folder) if entry.imported else None
    row: Json | None
    for index in range(entry.record.width):
        feature = FeatureKey(key.model_id, key.source_id, index)
        record = bench.feature(feature)
        if kept is None:
            row, rows = _built(record, creator)
        else:
            came, rests = next(kept)
            if came is None and rests:  # its row was left out and its activations were not: what follows from these
                came, _ = _built(record, creator)
            row, rows = None if came is None else _renamed(came, feature), _imported(record, rests)
            if entry.manifest.build["imported"]["format"] != "neuronpedia":  # other formats lack columns
                built, _ = _built(record, creator)
                row = row and {k: built[k] if row.get(k) is None else row[k] for k in FEATURE}
                rows = [_filled(one, n, creator) for n, one in enumerate(rows)]
        if row is not None and vectors is not None:
            row |= {"vector": np.asarray(vectors[index], np.float32), "hasVector": True}
        elif row is not None:
            row = row | {"vector": []}
        yield record, row, rows


def _built(record: FeatureRecord, creator: str) -> tuple[Json, list[Json]]:
    """The rows of a feature that was built here."""
    whole = neuronpedia.feature(record)
    own = whole | {"creatorId": creator, "vectorLabel": None, "hasVector": False}
    rows = [
        one | {"creatorId": creator, "binContains": -1 if one["binMin"] == neuronpedia.TOP else one["binContains"]}
        for one in whole["activations"]
    ]
    return _columns(own, FEATURE), [_columns(one, ACTIVATION) for one in rows]


def _filled(row: Json, number: int, creator: str) -> Json:
    """An activation's row with all columns, what follows from its values among them."""
    values = row["values"]
    peak = int(values.argmax())
    known = {
        "id": f"{row['modelId']}/{row['layer']}/{row['index']}/{number}", "creatorId": creator, "dfaValues": [],
        "maxValue": values[peak], "minValue": values.min(), "maxValueTokenIndex": peak, "binMin": -1, "binContains": -1,
        "binMax": values[peak],
    }  # fmt: skip
    return {name: known.get(name) if row.get(name) is None else row[name] for name in ACTIVATION}


def _columns(row: Json, names: tuple[str, ...]) -> Json:
    """The columns of a table, numbers that are kept in float32 as such."""
    return {name: _single(row[name]) if name in _SINGLE else row[name] for name in names}


def _single(found: Any) -> Any:
    if isinstance(found, list):
        return np.asarray(found, np.float32)
    return None if found is None else np.float32(found)


def _renamed(row: Json, key: FeatureKey) -> Json:
    return row | {"modelId": key.model_id, "layer": key.source_id, "index": str(key.index)}


def _imported(record: FeatureRecord, rests: list[Json]) -> list[Json]:
    """The rows of imported activations: what is kept of each, with its tokens and values."""
    examples = [example for group in record.groups for example in group.examples]
    return [
        _renamed(rest, record.key)
        | {"tokens": [token.text for token in one.tokens], "values": np.asarray(one.values, np.float32)}
        for one, rest in zip(examples, rests, strict=True)
    ]


# -- explanations ------------------------------------------------------------------------------------------------------


def _explanations(
    bench: Workbench, key: SourceKey, folder: Path, files: dict[str, int], people: bool, said: _Batches
) -> Iterator[Path]:
    """Writes explanations and their scores."""
    imported = {PREFIX + str(row["id"]): row for row in bench.words.imported(key)}
    scores = _Batches(folder / "scores", files)
    for one in bench.words.export([key]):
        if one.origin == "person" and not people:
            continue
        row = explanations.explanation(one)
        came = imported.get(one.id)
        if came is None:
            extra = {
                "embedding": None, "umap_x": None, "umap_y": None, "umap_cluster": None,
                "umap_log_feature_sparsity": None,
            }  # fmt: skip
            own = {name: (row | extra)[name] for name in EXPLANATION}
        else:
            own = _renamed({k: v for k, v in came.items() if k != "scores"}, one.feature)
        said.write(own)
        came_with = [] if came is None else came.get("scores") or []
        for score in [*came_with, *(s for s in row["scores"] if not str(s["id"]).startswith(PREFIX))]:
            scores.write(score | {"explanationId": own["id"]})
    yield from (*said.close(), *scores.close())
