"""`python -m core pair`: what a clean and a corrupted prompt differ in, on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args

from core.errors import BadInput
from core.interchange import pairs as shapes
from core.records import FeatureKey, SourceKey
from core.techniques.circuits.verbs import _names, _teller
from core.techniques.pairs.records import (
    CurveRecord,
    Direction,
    Pair,
    PairAsk,
    PairFeatures,
    PatchingRecord,
    Rank,
)
from core.terminal import Bar, table, visible

if TYPE_CHECKING:
    from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
SHOWS = ("all", "features", "residual", "curve")
SHOWN = 12


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `pair` takes."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("clean", metavar="CLEAN")
    parser.add_argument("corrupted", metavar="CORRUPTED")
    parser.add_argument(
        "--target", nargs="+", action="extend", default=[], metavar="TOKEN",
        help="next tokens, each with its leading space; default: the likeliest after each prompt",
    )  # fmt: skip
    parser.add_argument("--against", nargs="+", action="extend", default=[], metavar="TOKEN", help="set against them")
    parser.add_argument("--feature", metavar="ID", help="a feature as the target, as 2-res/78")
    parser.add_argument("--sources", type=_names, default=[], metavar="A,B", help="whose features; default: all SAEs")
    parser.add_argument("--show", choices=SHOWS, default="all", help="one part alone; a curve is of one source")
    parser.add_argument("--by", choices=get_args(Rank), default="attribution", help="the order of the features")
    parser.add_argument("--direction", choices=get_args(Direction), default="denoising", help="of residual patching")
    parser.add_argument("--top", type=int, default=SHOWN, metavar="N", help=f"features that are listed; {SHOWN}")
    parser.add_argument("--patch", type=int, default=0, metavar="N", help="patch the first so many too")
    parser.add_argument("--draws", type=int, default=10, metavar="N", help="of random nodes, for the curve; 10")
    parser.add_argument("--seed", type=int, default=0, metavar="N")


def pair(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """What two prompts differ in; with `--json` the API's answers, by name where they are all shown."""
    ask, room = _ask(asked), workbench.pairs
    wanted = {"features", "residual"} | ({"curve"} if len(ask.sources) == 1 else set())
    if asked.show == "curve" and len(ask.sources) != 1:
        raise BadInput("A curve is of one source: name it, for example --sources 2-res.")
    wanted = wanted if asked.show == "all" else {asked.show}
    with closing(Bar()) as bar:
        tell = _teller(bar)
        jobs: dict[str, Callable[[], Any]] = {
            "residual": lambda: room.residual(ask, direction=asked.direction, tell=tell),
            "features": lambda: room.features(ask, top=asked.top, by=asked.by, patch=asked.patch, tell=tell),
            "curve": lambda: room.curve(
                ask, ask.sources[0], by=asked.by, draws=asked.draws, seed=asked.seed, tell=tell
            ),
        }
        found = {name: job() for name, job in jobs.items() if name in wanted}
    made = {name: _SHAPES[name](record) for name, record in found.items()}
    answer = made if asked.show == "all" else made[asked.show]
    head = next(iter(found.values())).pair
    return answer, lambda: "\n\n".join([_pair(head), *(_TEXTS[name](one) for name, one in found.items())])


def _ask(asked: argparse.Namespace) -> PairAsk:
    model, feature = asked.model, asked.feature
    if feature is not None and feature.count("/") not in (1, 2):
        raise BadInput(f"“{feature}” is not a feature: write <source>/<index>, for example 2-res/78.")
    if feature is not None and feature.count("/") == 1:
        feature = f"{model}/{feature}"
    return PairAsk(
        model_id=model, clean=asked.clean, corrupted=asked.corrupted, target=tuple(asked.target),
        against=tuple(asked.against), feature=None if feature is None else FeatureKey.parse(feature),
        sources=tuple(SourceKey.of(model, one) for one in asked.sources),
    )  # fmt: skip


def _pair(one: Pair) -> str:
    sides = [" or ".join(f"“{visible(t.token.text)}”" for t in side) for side in (one.clean.target, one.clean.against)]
    what = str(one.clean.feature) if one.clean.feature else " against ".join(side for side in sides if side)
    said = f"{what}: {one.clean.value:.4f} after the clean prompt, {one.corrupted.value:.4f} after the corrupted one"
    if one.alignment.exact:
        return said
    alone = [
        " ".join(f"“{visible(side.tokens[n].text)}”" for n in places) or "none"
        for side, places in ((one.clean, one.alignment.clean_only), (one.corrupted, one.alignment.corrupted_only))
    ]
    return f"{said}\nnot aligned, so not patched: {alone[0]} of the clean prompt, {alone[1]} of the corrupted one"


def _features(record: PairFeatures) -> str:
    whole = record.pair
    head = ("feature", "at", "clean", "corrupted", "denoising", "measured", "noising", "measured", "fires on")
    rows = [
        (str(one.key), f"{visible(whole.clean.tokens[one.position].text)} ({one.position})", one.clean, one.corrupted,
         one.denoising, "" if one.denoised is None else one.denoised, one.noising,
         "" if one.noised is None else one.noised, visible(one.label))
        for one in record.nodes
    ]  # fmt: skip
    sums = [(one.key.source_id, one.nodes, *one.denoising, *one.noising) for one in record.sources]
    names = ("features", "error", "bias", "Δx · dL/dx")
    left = [f"{one} writes where the target is read, or after it" for one in record.later]
    left += [f"left out: {one.why}" for one in record.left_out]
    return "\n".join([table(head, rows), "", table(("source", "nodes", *names, *names), sums), *left])


def _residual(record: PatchingRecord) -> str:
    """Shares of the gap at the tokens that differ or matter, the last ones."""
    whole = record.pair
    columns = range(max(0, len(whole.alignment.pairs) - SHOWN), len(whole.alignment.pairs))
    own = [whole.clean.tokens[a].text for a, _ in whole.alignment.pairs]

    def said(effect: float) -> str:
        share = whole.share(effect)
        return "–" if share is None else f"{share:.2f}"

    rows = [
        (hook, *(said(row[n]) for n in columns), said(every))
        for hook, row, every in zip(record.hooks, record.rows, record.whole, strict=True)
    ]
    return table((record.direction, *(visible(own[n]) for n in columns), "all"), rows)


def _curve(record: CurveRecord) -> str:
    rows = [
        (one.nodes, one.alone, one.with_error, one.without, one.random, f"{one.low:.3f} to {one.high:.3f}")
        for one in record.points
    ]
    head = (f"{record.key.source_id}: nodes", "faithfulness", "with error", "completeness", "random", "of draws")
    return table(head, rows)


_SHAPES: dict[str, Callable[[Any], Any]] = {
    "features": shapes.features, "residual": shapes.residual, "curve": shapes.curve,
}  # fmt: skip
_TEXTS: dict[str, Callable[[Any], str]] = {"features": _features, "residual": _residual, "curve": _curve}
