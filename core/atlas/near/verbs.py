"""The command line's `similar`, which looks around one feature, and `near`, which makes tables for pages."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import Any, get_args

from core.atlas.near.records import By, ChainRecord, Chance, FamilyRecord, SimilarHit, SimilarRecord, WiringRecord
from core.interchange import similar as shapes
from core.records import Step
from core.terminal import Bar, table, visible
from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
VIEWS = ("similar", "layers", "family", "wiring")


def similar_arguments(parser: argparse.ArgumentParser) -> None:
    """What `similar` takes."""
    parser.add_argument("id", metavar="ID", help="<model>/<source>/<index>")
    parser.add_argument(
        "--by", choices=get_args(By), default="decoder",
        help="cosine of decoder rows, of encoder rows, of effects on logits, of explanations' vectors, or the "
        "correlation of activations; default: decoder",
    )  # fmt: skip
    parser.add_argument("--in", dest="sources", type=_names, default=[], metavar="A,B", help="only these, as 2-res")
    parser.add_argument(
        "--view", choices=VIEWS, default="similar",
        help="layers: its twins through the layers; family: near-duplicates, and what it splits into; wiring: what it "
        "reads and writes",
    )  # fmt: skip
    parser.add_argument("--top", type=int, metavar="N", help="default: 20; with --view wiring 5 of each source")
    parser.add_argument("--threshold", type=float, metavar="X", help="least cosine; layers 0.5, family 0.7")


def similar(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Looks around a feature; loads the weights of its model's sources."""
    atlas, top, least = workbench.atlas, asked.top, asked.threshold
    with closing(Bar()) as bar:
        tell = _teller(bar)
        record: shapes.Found
        if asked.view == "layers":
            record = atlas.chain(asked.id, by=asked.by, threshold=0.5 if least is None else least, tell=tell)
        elif asked.view == "family":
            least = 0.7 if least is None else least
            record = atlas.family(asked.id, threshold=least, sources=asked.sources, tell=tell)
        elif asked.view == "wiring":
            record = atlas.wiring(asked.id, top=5 if top is None else top, tell=tell)
        else:
            record = atlas.similar(
                asked.id, by=asked.by, sources=asked.sources, top=20 if top is None else top, tell=tell
            )
    return shapes.answer(record), lambda: _text(record)


def _text(record: shapes.Found) -> str:
    if isinstance(record, SimilarRecord):
        parts = _similar(record)
    elif isinstance(record, ChainRecord):
        parts = _chain(record)
    else:
        parts = _family(record) if isinstance(record, FamilyRecord) else _wiring(record)
    return "\n\n".join([part for part in parts if part] + [f"left out: {one.why}" for one in record.left_out])


def _similar(record: SimilarRecord) -> list[str]:
    places = [
        (place.key.source_id, "–" if place.best is None else place.best.feature.index,
         "" if place.best is None else place.best.value, *_chances(place.chance),
         "" if place.best is None else visible(place.best.label))
        for place in record.places
    ]  # fmt: skip
    fourth = "95 % of pairs" if record.by == "explanation" else "random"
    head = ("source", "nearest", "value", "others' median", "95 %", fourth, "fires on")
    said = ""
    if record.neuron is not None:
        n = record.neuron
        said = (
            f"Is there a neuron for it? {n.level}: the nearest of {n.neurons:,} neurons is {n.best.feature} at "
            f"{n.best.value:.3f}; other features have {n.chance.median:.3f} (95 % below {n.chance.high:.3f}), random "
            f"directions {n.chance.random:.3f}."
        )
    return [_hits(record.hits), table(head, places), said]


def _chances(chance: Chance | None) -> tuple[Any, ...]:
    if chance is None:
        return ("", "", "")
    fourth = chance.pair if chance.random is None else chance.random
    return chance.median, chance.high, "" if fourth is None else fourth


def _hits(hits: tuple[SimilarHit, ...]) -> str:
    if not hits:
        return "Nothing is like it."
    rows = [(str(one.feature), one.value, _density(one), visible(one.label)) for one in hits]
    return table(("feature", "value", "density", "fires on"), rows)


def _density(one: SimilarHit) -> Any:
    return "" if one.density is None else f"{one.density:.3%}"


def _chain(record: ChainRecord) -> list[str]:
    rows = [(one.layer, str(one.hit.feature), one.hit.value, visible(one.hit.label)) for one in record.members]
    ends = [
        f"{way} {link.source.source_id}: its best match there is {link.best.feature} at {link.best.value:.3f}"
        + (f", whose own is {link.back.feature} at {link.back.value:.3f}" if link.back.feature != record.key else "")
        for way, links in (("begins after", record.down), ("ends before", record.up))
        for link in links
        if not link.held
    ]
    return [table(("layer", "feature", "with it", "fires on"), rows), "\n".join(ends)]


def _family(record: FamilyRecord) -> list[str]:
    alike = _hits(record.duplicates) if record.duplicates else f"No near-duplicate from {record.threshold:g} on."
    parts = [alike]
    for split in record.splits:
        rows = [(str(p.hit.feature), p.weight, p.hit.value, visible(p.hit.label)) for p in split.parts]
        said = (
            f"{split.source.source_id} ({split.width:,}): {len(split.parts)} explain {split.explained:.1%}; "
            f"the nearest alone {split.single:.1%}, of other features as many {split.chance:.1%}, "
            f"of random {split.random:.1%}"
        )
        parts.append(f"{said}\n{table(('feature', 'weight', 'cosine', 'fires on'), rows)}")
    return parts


def _wiring(record: WiringRecord) -> list[str]:
    parts = [record.silent]
    for way, places in (("writes into it", record.reads), ("reads it", record.writes)):
        for place in places:
            rows = [
                (str(w.hit.feature), w.hit.value, "" if w.weight is None else w.weight,
                 "" if w.adds is None else w.adds, visible(w.hit.label))
                for w in place.wires
            ]  # fmt: skip
            norm = f", behind {place.norm}" if place.norm else ""
            said = f"{way}: {place.key.source_id}{norm} (others {place.chance:.3f}, random {place.random:.3f})"
            parts.append(f"{said}\n{table(('feature', 'cosine', 'product', 'at its maximum', 'fires on'), rows)}")
    return parts


def near(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Makes the tables of nearest rows of a model's sources, which features' pages read."""
    with closing(Bar()) as bar:
        made = workbench.atlas.make_near(asked.model, tell=bar)
    answer = {"sources": [{"source": str(key), "folder": folder.name} for key, folder in made.items()]}
    return answer, lambda: table(("source", "made"), [(str(key), folder.name) for key, folder in made.items()])


def _teller(bar: Bar) -> Callable[[Step], None]:
    def tell(step: Step) -> None:
        if step.doing == "loading":
            bar(f"loading {step.what}", step.done, step.of)
        else:
            bar(step.what, step.done, step.of)

    return tell


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
