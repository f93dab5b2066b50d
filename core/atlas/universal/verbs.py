"""The command line's `universal`: compares two models, or says what was found when they were."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import Any, get_args

from core.atlas.universal.records import By, MatchesRecord, UniversalRecord
from core.errors import BadInput
from core.interchange import universal as shapes
from core.records import FeatureKey, SourceKey
from core.terminal import Bar, table, visible
from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]


def universal_arguments(parser: argparse.ArgumentParser) -> None:
    """What `universal` takes."""
    parser.add_argument("first", metavar="A", help="a model, a source or a feature of it")
    parser.add_argument("second", metavar="B", nargs="?", help="another model, or a source of it")
    parser.add_argument("--make", action="store_true", help="compare A and B from their stores, although it was done")
    parser.add_argument("--draws", type=int, default=10, metavar="N", help="shifted texts for the null; default: 10")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the shifts; default: 0")
    parser.add_argument("--by", choices=get_args(By), default="value", help="the order of matches of two sources")
    parser.add_argument("--mutual", action="store_true", help="only matches that are each other's best")
    parser.add_argument("--all", action="store_true", help="also matches that chance explains")
    parser.add_argument("--top", type=int, default=20, metavar="N", help="matches; default: 20")
    parser.add_argument("--offset", type=int, default=0, metavar="N", help="matches to pass over")


def universal(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """A feature's matches, those of two sources, or all sources of two models, which are compared if they were not."""
    first, second = asked.first, asked.second
    if first.count("/") == 2:
        key = FeatureKey.parse(first)
        found = workbench.atlas.universal(key)
        if second is not None:
            found = type(found)(m for m in found if second in (m.feature.model_id, str(m.feature.source)))
        return shapes.feature(key, found), lambda: _matches(found) if found else _none(str(key))
    if second is None:
        raise BadInput("Name two models, two sources, or one feature.")
    if asked.make or not _made(workbench, first, second):
        with closing(Bar()) as bar:
            workbench.atlas.make_universal(
                first, second, draws=asked.draws, seed=asked.seed,
                tell=lambda done, of: bar("comparing texts, then shifted texts", done, of),
            )  # fmt: skip
    if "/" in first and "/" in second:
        record = workbench.atlas.universal_matches(
            first, second, by=asked.by, mutual=asked.mutual, beyond=not asked.all, top=asked.top, offset=asked.offset
        )
        return shapes.matches(record), lambda: _pair(record)
    both = _made(workbench, first, second) + _made(workbench, second, first)
    return {"sources": [shapes.source(one.key, [one]) for one in both]}, lambda: _records(both)


def _made(workbench: Workbench, first: str, second: str) -> list[UniversalRecord]:
    """What was found for the sources of `first` in those of `second`."""
    keys = [SourceKey.parse(first)] if "/" in first else [s.key for s in workbench.sources(model_id=first)]
    workbench.model(first.split("/", 1)[0])
    model_id = second.split("/", 1)[0]
    workbench.model(model_id)
    found = [record for key in keys for record in workbench.atlas.universal_source(key) if record.model_id == model_id]
    return [one for one in found if "/" not in second or second in {str(pair.other) for pair in one.pairs}]


def _records(found: list[UniversalRecord]) -> str:
    rows = [
        (str(one.key), str(pair.other), pair.compared, pair.universal, f"{pair.share:.1%}", f"{pair.expected:.1%}",
         pair.better_than_token, pair.mutual, f"{pair.median:.3f}", f"{pair.chance:.3f}")
        for one in found
        for pair in one.pairs
    ]  # fmt: skip
    whole = [
        (str(one.key), f"any of {one.model_id}", one.compared, one.universal, f"{one.share:.1%}", f"{one.expected:.1%}")
        for one in found
    ]
    first = found[0]
    head = (
        "source",
        "in",
        "compared",
        "universal",
        "share",
        "by chance",
        "beyond a token",
        "mutual",
        "median",
        "chance",
    )
    return "\n".join([
        table(head[:6], whole), "", table(head, rows), "",
        f"{first.bytes:,} bytes of {first.documents:,} documents that both models read, {first.draws} shifted texts.",
    ])  # fmt: skip


def _pair(record: MatchesRecord) -> str:
    if not record.matches:
        return f"No feature of {record.pair.key} has such a match in {record.pair.other}."
    first, last = record.offset + 1, record.offset + len(record.matches)
    pair = record.pair
    return "\n".join([
        _matches(record.matches), "",
        f"{first:,} to {last:,} of {record.total:,} matches of {pair.key} in {pair.other}",
    ])  # fmt: skip


def _matches(found: Any) -> str:
    rows = [
        (str(m.of), str(m.feature), f"{m.value:.3f}", f"{m.bound:.3f}", f"{m.p:.1e}", "yes" if m.mutual else "",
         visible(m.token.text), f"{m.token_value:.3f}")
        for m in found
    ]  # fmt: skip
    return table(("feature", "match", "correlation", "bound", "p", "mutual", "best token", "its"), rows)


def _none(key: str) -> str:
    return f"{key} has no match in another model: `python -m core universal A B` looks for them."
