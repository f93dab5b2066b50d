"""The command line's `together`, `compare` and `relate`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any

from core.atlas.together.records import FeaturesCompared, Mate, ReadTogether, SourcesCompared, SourceSide, Together
from core.errors import BadInput
from core.interchange import compared
from core.records import SourceKey
from core.terminal import Bar, facts, table, visible
from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]


def together_arguments(parser: argparse.ArgumentParser) -> None:
    """What `together` takes."""
    parser.add_argument("id", metavar="ID", help="<model>/<source>/<index>")
    parser.add_argument("--sources", type=_names, default=[], metavar="A,B", help="only these, as 2-res; default: all")
    parser.add_argument("--window", type=int, default=0, metavar="N", help="tokens on either side; default: 0")
    parser.add_argument("--top", type=int, default=5, metavar="N", help="features of each list; default: 5")


def together(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """What fires with a feature, and what never does."""
    model_id = str(asked.id).split("/")[0]
    sources = workbench.choose(model_id, asked.sources)
    record = workbench.atlas.together(asked.id, list(sources), window=asked.window, top=asked.top)
    return compared.together(record), lambda: _together_text(record)


def _together_text(record: Together) -> str:
    parts = [f"{record.feature}  {visible(record.label)}  {record.active:,} of {record.tokens:,} tokens"]
    header = ("feature", "name", "r", "common", "expected", "lift", "of its tokens", "G2", "log10 p")
    for one in record.sources:
        lists = (("correlates", one.correlated), ("together", one.together), ("never", one.never))
        body = "\n".join(f"{name}\n{table(header, _rows(mates))}" for name, mates in lists if mates)
        how = "from the stores" if one.live else "the kept best"
        tails = "; of dense sources their tails" if one.tails else ""
        parts.append(f"{one.source}, {how}{tails}\n{body or 'nothing shares three tokens with it'}")
    parts += [f"{left.key} is left out: {visible(left.why)}" for left in record.left_out]
    return "\n\n".join(parts)


def _rows(mates: Sequence[Mate]) -> list[tuple[object, ...]]:
    return [
        (str(m.feature), m.label, "" if m.correlation is None else m.correlation, m.both, m.expected, m.lift, m.share,
         m.evidence, m.log10_p)
        for m in mates
    ]  # fmt: skip


def compare_arguments(parser: argparse.ArgumentParser) -> None:
    """What `compare` takes."""
    parser.add_argument("names", nargs="+", metavar="MODEL/SOURCE|ID", help="two sources or more, or two features")
    parser.add_argument(
        "--threshold", type=float, default=0.5, metavar="R", help="correlation that makes a partner; default: 0.5"
    )
    parser.add_argument("--top", type=int, default=10, metavar="N", help="matched pairs of the first two; default: 10")
    parser.add_argument("--text", metavar="TEXT", help="a prompt, read by all sources in place of the comparison")


def compare(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Sources side by side, or one feature against another."""
    depths = {name.strip("/").count("/") for name in asked.names}
    if depths == {2}:
        if len(asked.names) != 2:
            raise BadInput("One feature is compared with another: name two.")
        record = workbench.atlas.versus(*asked.names)
        return compared.features(record), lambda: _features_text(record)
    if depths != {1}:
        raise BadInput("Name sources, as scribe-4l/2-res, or two features, as scribe-4l/2-res/78; not both.")
    if asked.text is not None:
        both = workbench.atlas.read(asked.names, asked.text)
        return compared.read(both), lambda: _read_text(both)
    found = workbench.atlas.compare(asked.names, threshold=asked.threshold)
    a, b = (side.source.key for side in found.sides[:2])
    answer = compared.sources(found)
    known = {(one.a, one.b) for one in found.matrix}
    pairs = None
    if (a, b) in known and (b, a) in known:
        pairs = compared.matches(workbench.atlas.matches(a, b, threshold=asked.threshold, top=asked.top))
    return answer | {"matches": pairs}, lambda: _sources_text(found, pairs)


def _sources_text(found: SourcesCompared, pairs: dict[str, Any] | None) -> str:
    sides = [_side(side) for side in found.sides]
    parts = [table(("source", "kind", "width", "alive", "L0", "expl. var.", "rules", "in no other"), sides)]
    rows = [
        (one.a.source_id, one.b.source_id, one.share, one.mean, one.mutual) for one in found.matrix if one.a != one.b
    ]
    if rows:
        parts.append(table(("of", "found in", f"share at r ≥ {found.threshold:g}", "mean best r", "mutual"), rows))
    if pairs is not None:
        head = f"{pairs['total']:,} matched pairs; {pairs['aloneInA']:,} and {pairs['aloneInB']:,} without a partner"
        lines = [
            (p["a"], visible(p["labelA"]), p["b"], visible(p["labelB"]), p["correlation"], p["jaccard"])
            for p in pairs["pairs"]
        ]
        parts.append(f"{head}\n" + table(("feature", "name", "feature", "name", "r", "Jaccard"), lines))
    parts += sorted({visible(left.why) for left in found.missing})
    return "\n\n".join(parts)


def _read_text(record: ReadTogether) -> str:
    parts = []
    for side in record.sides:
        rows = []
        for hit, partner in zip(side.hits, side.partners, strict=True):
            token = visible(record.tokens[hit.position].text)
            match = ("-", "", "") if partner is None else (str(partner[0]), partner[1], "yes" if partner[2] else "no")
            rows.append((str(hit.key), visible(hit.label), hit.surprise, token, *match))
        head = ("feature", "name", "surprise", "at", "partner", "r", "active here")
        parts.append(f"{side.source}, {side.total:,} active\n{table(head, rows)}")
    return "\n\n".join(parts)


def _side(side: SourceSide) -> tuple[object, ...]:
    source, said = side.source, side.concepts
    l0, variance = ("-", "-") if source.figures is None else (source.figures.l0, source.figures.explained_variance)
    alone = "-" if said.alone is None else said.alone
    return str(source.key), source.kind, source.width, source.alive, l0, variance, said.lines, alone


def _features_text(record: FeaturesCompared) -> str:
    o = record.overlap
    lines: list[tuple[str, object]] = [
        ("first", f"{record.a.key}  {visible(record.a.label)}"),
        ("second", f"{record.b.key}  {visible(record.b.label)}"),
        ("cosine", visible(record.cosine_why) if record.cosine is None else record.cosine),
    ]
    if o is None:
        lines.append(("overlap", visible(record.why)))
    else:
        lines += [
            ("correlation", "-" if o.correlation is None else o.correlation), ("Jaccard", o.jaccard),
            ("both", o.both), ("only first", o.only_a), ("only second", o.only_b), ("neither", o.neither),
            ("log10 p", o.log10_p),
        ]  # fmt: skip
    return facts(lines)


def relate_arguments(parser: argparse.ArgumentParser) -> None:
    """What `relate` takes."""
    parser.add_argument("names", nargs="+", metavar="MODEL|MODEL/SOURCE", help="a model, or sources of one")


def relate(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Makes and keeps who fires with whom of all pairs of sources, from their stores."""
    keys: list[SourceKey] = []
    for name in asked.names:
        if "/" in name:
            keys.append(SourceKey.parse(name))
        else:
            workbench.model(name)
            keys += [s.key for s in workbench.sources(model_id=name) if "store" in s.has]
    if not keys:
        raise BadInput("None of its sources was kept with its activation store, so there is nothing to read.")
    with closing(Bar()) as bar:
        made = workbench.atlas.relate(keys, bar)
    answer = {"sources": [str(key) for key in keys], "pairs": made}
    return answer, lambda: f"{made:,} pairs of sources were related, of {len(keys):,} sources"


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
