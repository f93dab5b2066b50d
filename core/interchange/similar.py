"""What the atlas finds around one feature, as JSON and CSV; and `cossim` as Neuronpedia has it.

A feature is `{modelId, layer, index}` with the index as text, as everywhere in this API. Neuronpedia's `cossim` gives
`{feature, topkDecoderCossimFeatures: [{feature: {model, source, index}, cosineSimilarity}]}` with the feature itself
first; there an index is a number, and so it is here.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from core.atlas.near.records import (
    ChainLink,
    ChainRecord,
    Chance,
    FamilyRecord,
    RowRecord,
    SimilarHit,
    SimilarRecord,
    Split,
    WirePlace,
    WiringRecord,
)
from core.interchange.table import guarded
from core.records import FeatureKey, LeftOut, SourceKey

Json = dict[str, Any]
Found = SimilarRecord | ChainRecord | FamilyRecord | WiringRecord


def answer(record: Found) -> Json:
    """Any of them."""
    if isinstance(record, SimilarRecord):
        return similar(record)
    if isinstance(record, ChainRecord):
        return chain(record)
    return family(record) if isinstance(record, FamilyRecord) else wiring(record)


def similar(record: SimilarRecord) -> Json:
    """`results` over all sources, and of each source its best with what chance gives there."""
    neuron = record.neuron
    return _of(record.key) | {
        "view": "similar",
        "by": record.by,
        "results": [hit(one) for one in record.hits],
        "sources": [
            _source(place.key)
            | {
                "kind": place.kind,
                "best": None if place.best is None else hit(place.best),
                "chance": _chance(place.chance),
                "note": place.note,
            }
            for place in record.places
        ],
        "neuron": None
        if neuron is None
        else {
            "answer": neuron.level,
            "best": hit(neuron.best),
            "neurons": neuron.neurons,
            "chance": _chance(neuron.chance),
        },
        "leftOut": _left(record.left_out),
    }


def chain(record: ChainRecord) -> Json:
    """`members` by layer, and each step `down` and `up` with the match it looked at."""

    def step(link: ChainLink) -> Json:
        return _source(link.source) | {"best": hit(link.best), "back": hit(link.back), "held": link.held}

    return _of(record.key) | {
        "view": "layers",
        "by": record.by,
        "threshold": record.threshold,
        "members": [hit(one.hit) | {"layerNumber": one.layer} for one in record.members],
        "down": [step(link) for link in record.down],
        "up": [step(link) for link in record.up],
        "random": record.random,
        "leftOut": _left(record.left_out),
    }


def family(record: FamilyRecord) -> Json:
    """`duplicates` in its own source, and `splits` in others."""

    def split(one: Split) -> Json:
        return _source(one.source) | {
            "width": one.width,
            "explained": one.explained,
            "single": one.single,
            "chance": {"median": one.chance, "random": one.random},
            "parts": [hit(part.hit) | {"weight": part.weight} for part in one.parts],
        }

    return _of(record.key) | {
        "view": "family",
        "threshold": record.threshold,
        "duplicates": [hit(one) for one in record.duplicates],
        "nearest": None if record.nearest is None else hit(record.nearest),
        "splits": [split(one) for one in record.splits],
        "leftOut": _left(record.left_out),
    }


def wiring(record: WiringRecord) -> Json:
    """`reads` from earlier sources and `writes` to later ones."""

    def place(one: WirePlace) -> Json:
        return _source(one.key) | {
            "kind": one.kind,
            "norm": one.norm or None,
            "chance": {"median": one.chance, "random": one.random},
            "wires": [hit(wire.hit) | {"weight": wire.weight, "adds": wire.adds} for wire in one.wires],
        }

    return _of(record.key) | {
        "view": "wiring",
        "reads": [place(one) for one in record.reads],
        "writes": [place(one) for one in record.writes],
        "silent": record.silent,
        "leftOut": _left(record.left_out),
    }


def hit(one: SimilarHit) -> Json:
    """One feature of a list."""
    return _of(one.feature) | {"value": one.value, "label": one.label, "density": one.density}


def row(record: RowRecord) -> Json:
    """A decoder or encoder row; `row` says which, `hook` where it belongs."""
    return _of(record.key) | {
        "row": record.side, "hook": record.hook, "norm": record.norm, "vector": list(record.values),
    }  # fmt: skip


def cossim(key: FeatureKey, own: SimilarHit | None, hits: Sequence[SimilarHit]) -> Json:
    """Neuronpedia's answer; `own` is the feature itself where it is asked for in its own source."""
    ordered = [*([own] if own else []), *hits]
    return {
        "feature": _np(key),
        "topkDecoderCossimFeatures": [
            {"feature": _np(one.feature), "cosineSimilarity": one.value} for one in ordered
        ],
    }


def _np(key: FeatureKey) -> Json:
    return {"model": key.model_id, "source": key.source_id, "index": key.index}


def _of(key: FeatureKey) -> Json:
    return {"modelId": key.model_id, "layer": key.source_id, "index": str(key.index)}


def _source(key: SourceKey) -> Json:
    return {"modelId": key.model_id, "layer": key.source_id}


def _chance(chance: Chance | None) -> Json | None:
    return None if chance is None else asdict(chance)


def _left(left_out: Iterable[LeftOut]) -> list[Json]:
    return [_source(one.key) | {"why": one.why} for one in left_out]


HEAD = ("part", "feature", "value", "weight", "adds", "label", "density")


def to_csv(record: Found) -> str:
    """A row a feature; `part` says what it is of: a source, a step, a split."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(HEAD)
    for part, one, weight, adds in rows(record):
        cells = (part, str(one.feature), one.value, weight, adds, one.label, one.density)
        writer.writerow([guarded(cell) for cell in cells])
    return out.getvalue()


def rows(record: Found) -> list[tuple[str, SimilarHit, float | None, float | None]]:
    """(part, feature, weight, what it adds), in the order in which a page shows them."""
    if isinstance(record, SimilarRecord):
        return [(record.by, one, None, None) for one in record.hits]
    if isinstance(record, ChainRecord):
        return [("chain", one.hit, None, None) for one in record.members]
    if isinstance(record, FamilyRecord):
        found: list[tuple[str, SimilarHit, float | None, float | None]]
        found = [("near-duplicate", one, None, None) for one in record.duplicates]
        for split in record.splits:
            found += [(f"part in {split.source.source_id}", part.hit, part.weight, None) for part in split.parts]
        return found
    return [
        (way, wire.hit, wire.weight, wire.adds)
        for way, places in (("writes into it", record.reads), ("reads it", record.writes))
        for place in places
        for wire in place.wires
    ]
