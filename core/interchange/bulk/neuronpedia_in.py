"""Reads Neuronpedia's bulk export, whichever of its three writers made it, file by file into parts.

    <model>/<source>/{release,model,sourceset,source}.jsonl            one row each, any of them may be missing
    <model>/<source>/{features,activations,explanations}/batch-N.jsonl.gz
    <model>/<source>/scores/batch-N.jsonl.gz                           ours: explanations' scores
    <model>/<source>/featurescope.json, featurescope/features.jsonl.gz  ours: what the format has no place for
    [<model>/<source>/explanations/]batch-N.jsonl, failed_explanation_indexes.txt   explanations alone

The folder of a source may lie at any depth. The batches of the three kinds need not line up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from core.interchange.bulk import dashboards, rows
from core.interchange.bulk.figures import Said
from core.interchange.bulk.findings import Findings, Refused
from core.interchange.bulk.lines import Wrong, lines, value, whole
from core.interchange.bulk.places import Item, Place, natural
from core.interchange.bulk.rows import Json
from core.interchange.bulk.spill import Part, Writing, part, writing

KINDS = ("features", "activations", "explanations", "scores")
META = ("release", "model", "sourceset", "source")
OURS = "featurescope.json"
_BATCH = re.compile(r"(?P<top>(?:.*/)?)(?P<kind>features|activations|explanations|scores)/[^/]+\.jsonl(?:\.gz)?")
_META = re.compile(r"(?P<top>(?:.*/)?)(?:release|model|sourceset|source)\.jsonl")
_LOOSE = re.compile(r"(?P<top>(?:.*/)?)batch-\d+\.jsonl(?:\.gz)?")
_FAILED = "failed_explanation_indexes.txt"
_NUMBER = re.compile(r"batch-(\d+)\.jsonl?(?:\.gz)?")
_KEYS = {
    "features": rows.FEATURE_KEYS, "activations": frozenset(rows.ACTIVATION_KEYS),
    "explanations": rows.EXPLANATION_KEYS,
}  # fmt: skip
MOST_META = 16 << 20


@dataclass(slots=True)
class Export:
    """One source of a place."""

    top: str
    """Its folder in the place, with a `/` at its end; empty for the place itself."""
    files: dict[str, list[str]] = field(default_factory=dict)
    """Of each kind its batches, in the order of their numbers."""
    meta: dict[str, Json] = field(default_factory=dict)
    """The rows of `META`, and of ours under `featurescope`."""
    records: list[str] = field(default_factory=list)
    """Files of NeuronRecords, one a neuron."""
    model: str = ""
    source: str = ""
    format: str = "neuronpedia"

    @property
    def alone(self) -> bool:
        """Whether it has explanations, with their scores perhaps, and nothing that they are of."""
        return "explanations" in self.files and not set(self.files) - {"explanations", "scores"}


def exports(place: Place) -> list[Export]:
    """Every source in a place."""
    found: dict[str, Export] = {}
    for name in place.names:
        if match := _BATCH.fullmatch(name) or _META.fullmatch(name):
            one = found.setdefault(match["top"], Export(match["top"]))
            if kind := match.groupdict().get("kind"):
                one.files.setdefault(kind, []).append(name)
    made = [one for _, one in sorted(found.items(), key=lambda pair: natural(pair[0])) if one.files]
    return made or _batches(place) or _records(place) or _loose(place)


def _batches(place: Place) -> list[Export]:
    """SAEDashboard's folders."""
    found: dict[str, Export] = {}
    for name in place.names:
        if match := dashboards.BATCH.fullmatch(name):
            one = found.setdefault(match["top"], Export(match["top"], format="saedashboard"))
            one.files.setdefault("saedashboard", []).append(name)
    return list(found.values())


def _records(place: Place) -> list[Export]:
    """NeuronRecords, a source a layer."""
    found: dict[str, Export] = {}
    for name in place.names:
        if match := dashboards.RECORD.fullmatch(name):
            top = f"{match['top']}{match['layer']}/"
            one = found.setdefault(top, Export(top, format="neuronrecord", source=f"{int(match['layer'])}-neurons"))
            one.records.append(name)
    for one in found.values():
        one.files["neuronrecord"] = dashboards.groups(one.records)
    return list(found.values())


def _loose(place: Place) -> list[Export]:
    """Batches of explanations in a folder of any name."""
    found: dict[str, Export] = {}
    for name in place.names:
        if match := _LOOSE.fullmatch(name):
            found.setdefault(match["top"], Export(match["top"])).files.setdefault("explanations", []).append(name)
    return [one for one in found.values() if "description" in _first(place, one)]


def read_meta(place: Place, export: Export, found: Findings) -> None:
    """The one-row files, and who the source is; what does not fit together is grave."""
    if export.format == "neuronrecord":
        export.meta["sourceset"] = {"type": "neurons"}
        return
    if export.format == "saedashboard":
        batch = dashboards.read_batch(place, export.files["saedashboard"][0], found)
        if batch is not None:
            export.model, export.source = dashboards.source_of(batch)
            export.meta |= dashboards.meta_of(batch) | dashboards.beside(place, export.top, found)
        return
    for name in META:
        path = f"{export.top}{name}.jsonl"
        if path in place.names:
            row = _one_row(place, path, found)
            if row is not None:
                export.meta[name] = row
        elif not export.alone:
            found.add(path, 0, "it is missing")
    path = export.top + OURS
    if path in place.names and (text := whole(place, path, found, MOST_META)) is not None:
        try:
            export.meta["featurescope"] = _object(text)
        except Wrong as error:
            found.add(path, 0, str(error), grave=True)
    folder = export.top.rstrip("/").split("/")
    source, model = export.meta.get("source", {}), export.meta.get("model", {})
    first = _first(place, export)
    export.model = str(source.get("modelId") or model.get("id") or first.get("modelId") or (folder[-2:-1] or [""])[0])
    export.source = str(source.get("id") or first.get("layer") or folder[-1])
    for name, at, wanted in (
        ("model", "id", export.model), ("sourceset", "modelId", export.model), ("source", "modelId", export.model),
    ):  # fmt: skip
        said = export.meta.get(name, {}).get(at)
        if said is not None and said != wanted:
            found.add(f"{export.top}{name}.jsonl", 1, f"{at} is {said!r}, and others say {wanted}", grave=True)


def _one_row(place: Place, path: str, found: Findings) -> Json | None:
    before, made = found.grave, None
    for n, (number, line) in enumerate(lines(place, path, found)):
        if n:
            found.add(path, number, "it has more than one row; the first counts")
            break
        try:
            made = _object(line)
        except Wrong as error:
            found.add(path, number, str(error), grave=True)
    if made is None and found.grave == before:
        found.add(path, 0, "it is empty")
    return made


def _first(place: Place, export: Export) -> Json:
    """The first row of the first batch, for who it says it is of."""
    for kind in KINDS[:3]:
        for name in export.files.get(kind, [])[:1]:
            for _, line in lines(place, name, Findings()):
                try:
                    return _object(line)
                except Wrong:
                    break
    return {}


def _object(text: bytes) -> Json:
    found = value(text)
    if not isinstance(found, dict):
        raise Wrong("it is no JSON object")
    return found


# -- batches -----------------------------------------------------------------------------------------------------------


def complete(place: Place, export: Export, found: Findings) -> None:
    """Whether every batch is there: their numbers have no gap, and ours are those that our export lists."""
    for kind, names in export.files.items():
        numbers = sorted(int(m[1]) for name in names if (m := _NUMBER.fullmatch(name.rsplit("/", 1)[-1])))
        if numbers:
            missing = sorted(set(range(min(numbers[0], 1), numbers[-1])) - set(numbers))
            for number in missing[:20]:
                found.add(f"{export.top}{kind}/batch-{number}", 0, "it is missing between others", grave=True)
    _failed(place, export, found)
    for kind in ("features", "activations") if export.format == "neuronpedia" and not export.alone else ():
        if kind not in export.files:
            found.add(f"{export.top}{kind}/", 0, "there are none", grave=kind == "features")
    listed = export.meta.get("featurescope", {}).get("files")
    if isinstance(listed, dict):
        for name in listed:
            if export.top + str(name) not in place.names:
                found.add(export.top + str(name)[:200], 0, f"{OURS} lists it, and it is not there", grave=True)


def _failed(place: Place, export: Export, found: Findings) -> None:
    """Features of which an explainer says that it had nothing to say."""
    for folder in sorted({name.rpartition("/")[0] for name in export.files.get("explanations", [])}):
        path = f"{folder}/{_FAILED}".lstrip("/")
        text = whole(place, path, found, MOST_META) if path in place.names else None
        failed = [word.decode() for word in (text or b"").split() if word.isdigit()]
        if failed:
            some = ", ".join(failed[:8]) + (", …" if len(failed) > 8 else "")
            found.add(path, 0, f"its explainer failed on {len(failed):,} features: {some}")


def read_part(place: Place, name: str, kind: str, export: Export, work: Path) -> Part:
    """What one batch holds; read now, unless it was read before and has not changed."""
    item, files = _item(place, name, export)
    held = part(work, item)
    if held is not None:
        return held
    found = Findings()
    with writing(work, item, found) as made:
        if kind == "saedashboard":
            dashboards.saedashboard(place, name, made, export.model, export.source, found)
        elif kind == "neuronrecord":
            dashboards.neuron_records(place, files, made, export.model, export.source, found)
        else:
            _read_lines(place, name, kind, made, export, found)
        if made.crowded:
            raise Refused(f"{name} has more distinct tokens than any vocabulary.")
    again = part(work, item)
    assert again is not None
    return again


def _item(place: Place, name: str, export: Export) -> tuple[Item, list[str]]:
    """What a part is made from."""
    if export.format == "neuronrecord":
        return dashboards.group_item(place, export.records, name)
    return place.item(name), [name]


def _read_lines(place: Place, name: str, kind: str, made: Writing, export: Export, found: Findings) -> None:
    """The lines of one batch of an export."""
    strange: set[str] = set()
    for number, line in lines(place, name, found):
        try:
            row = _object(line)
            _READERS[kind](row, line, number, made, export, found, name)
            strange.update(rows.strange(row, _KEYS.get(kind, frozenset(row))))
        except Wrong as error:
            found.add(name, number, str(error), grave=True)
        if made.crowded:
            raise Refused(f"{name} has more distinct tokens than any vocabulary.")
    if strange:
        keys = ", ".join(sorted(strange)[:12])
        found.add(name, 0, f"keys that are not known here were kept as they came: {keys}")
    _listed(place, name, export, made, found)


def _listed(place: Place, name: str, export: Export, made: Writing, found: Findings) -> None:
    """Whether a batch has as many rows as our own export says, where it says so."""
    listed = export.meta.get("featurescope", {}).get("files")
    rows_ = listed.get(name.removeprefix(export.top)) if isinstance(listed, dict) else None
    if isinstance(rows_, int):
        here = made.count
        if here != rows_ and not found.grave:
            found.add(name, 0, f"it has {here:,} rows, and {OURS} says {rows_:,}", grave=True)


Reader = Callable[[Json, bytes, int, Writing, Export, Findings, str], None]


def _feature(row: Json, line: bytes, number: int, made: Writing, export: Export, found: Findings, name: str) -> None:
    rows.identity(row, export.model, export.source)
    rows.check_feature(row)
    made.row(rows.index_of(row), number, line)


def _activation(
    row: Json, line: bytes, number: int, made: Writing, export: Export, found: Findings, name: str
) -> None:
    rows.identity(row, export.model, export.source)
    one = rows.activation(row)
    for note in one.notes:
        found.add(name, number, note)
    made.activation(number, one, orjson.dumps({k: v for k, v in row.items() if k not in rows.CONTENT}))


def _explanation(
    row: Json, line: bytes, number: int, made: Writing, export: Export, found: Findings, name: str
) -> None:
    rows.identity(row, export.model, export.source)
    rows.check_explanation(row)
    made.row(rows.index_of(row), number, line)


def _score(row: Json, line: bytes, number: int, made: Writing, export: Export, found: Findings, name: str) -> None:
    rows.check_score(row)
    if not rows.text(row, "explanationId", 2000):
        raise Wrong("it does not say of which explanation it is")
    made.row(0, number, line)


_READERS: dict[str, Reader] = {
    "features": _feature, "activations": _activation, "explanations": _explanation, "scores": _score,
}  # fmt: skip


def said(place: Place, export: Export, found: Findings) -> dict[int, Said]:
    """What our own export says of each feature beside its row; empty for another's."""
    path = f"{export.top}featurescope/features.jsonl.gz"
    if path not in place.names:
        return {}
    made: dict[int, Said] = {}
    for number, line in lines(place, path, found):
        try:
            row = _object(line)
            figures = [rows.number(row, name) for name in ("active", "minimum", "mean", "deviation")]
            if None in figures:
                raise Wrong("a figure is missing")
            active, minimum, mean, deviation = (float(one or 0.0) for one in figures)
            made[rows.index_of(row)] = Said(rows.text(row, "label"), int(active), minimum, mean, deviation)
        except Wrong as error:
            found.add(path, number, str(error), grave=True)
    return made


def items(place: Place, export: Export) -> list[tuple[str, str, Item]]:
    """(kind, name, item) of every batch, in the order in which they are read."""
    kinds = (*KINDS, "saedashboard", "neuronrecord")
    return [(kind, name, _item(place, name, export)[0]) for kind in kinds for name in export.files.get(kind, [])]
