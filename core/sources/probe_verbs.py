"""`python -m core probe`: a direction that tells two files of texts apart, one text a line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import BadInput
from core.interchange import probes as shape
from core.interchange import steering
from core.records import Step
from core.terminal import Bar, facts, table, visible

if TYPE_CHECKING:
    from core.sources.probe_records import ProbeRecord
    from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
SHOWN = 10
"""Texts on the wrong side that are written."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `probe` takes."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("hook", metavar="HOOK", help="as TransformerLens names it: blocks.2.hook_resid_post")
    parser.add_argument("--positive", type=Path, required=True, metavar="FILE", help="texts that have it, one a line")
    parser.add_argument("--negative", type=Path, required=True, metavar="FILE", help="texts that do not")
    parser.add_argument("--method", default="difference", help="difference (of means, the default) or logistic")
    parser.add_argument("--pool", default="mean", help="of each text the mean of its tokens, the last, or each")
    parser.add_argument("--label", default="", help="what to call it")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of how texts are dealt out; default: 0")
    parser.add_argument("--try", action="store_true", dest="trial", help="keep nothing")


def directions_arguments(parser: argparse.ArgumentParser) -> None:
    """What `directions` takes."""
    parser.add_argument("ids", nargs="*", metavar="ID", help="directions to build as a source; lists all without any")
    parser.add_argument("--name", default="directions", help="the source is <layer>-NAME; default: directions")
    parser.add_argument("--like", metavar="SOURCE", help="build on its prompts; default: the model's largest source")


def directions(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Lists the directions that people brought, or builds some as a source of their own."""
    if not asked.ids:
        found = workbench.vectors()
        rows = [(one.key, one.hook, f"{one.strength:.4g}", visible(one.label)) for one in found]
        told = [steering.vector(one) for one in found]
        return {"vectors": told}, lambda: table(("direction", "hook", "strength", "label"), rows) if rows else "none"
    like = asked.like
    if like and "/" not in like:
        like = f"{asked.ids[0].split('/')[0]}/{like}"
    with closing(Bar()) as bar:
        report = workbench.vectors_source(asked.ids, name=asked.name, like=like, progress=bar)
    built = [str(one.key) for one in report.sources] + [str(key) for key in report.skipped]
    told_of = {"sources": built, "tokens": report.tokens, "seconds": report.seconds}
    return told_of, lambda: f"built    {', '.join(built)}"


def probe(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Trains a probe and keeps its direction."""
    with closing(Bar()) as bar:

        def tell(step: Step) -> None:
            if step.of:
                bar(step.what or step.doing, step.done, step.of)

        found = workbench.train_probe(
            asked.model, asked.hook, _lines(asked.positive), _lines(asked.negative), method=asked.method,
            pooled=asked.pool, label=asked.label, seed=asked.seed, keep=not asked.trial, tell=tell,
        )  # fmt: skip
    return shape.record(found), lambda: _text(found, kept=not asked.trial)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from error


def _text(one: ProbeRecord, *, kept: bool) -> str:
    sides = [sum(t.positive is side for t in one.texts) for side in (True, False)]
    rows = [
        ("probe", f"{one.key}{'' if kept else ' (not kept)'}"), ("hook", one.hook),
        ("trained", f"{one.method}, {sides[0]} against {sides[1]} texts, {one.samples} samples ({one.pooled})"),
        ("held-out AUC", f"{one.auc.value:.3f} ({one.auc.low:.3f} to {one.auc.high:.3f})"),
        ("shuffled", f"{one.control.value:.3f} ({one.control.low:.3f} to {one.control.high:.3f}), p {one.p:.2g}"),
        ("accuracy", f"{one.accuracy:.3f}, above {one.threshold:.4g} of x · direction"),
        ("distance", f"{one.distance:.4g} between the means: a strength to begin with"),
    ]  # fmt: skip
    wrong = sorted((t for t in one.texts if not t.right), key=lambda t: -abs(t.score))
    lines = [(f"{t.score:+.3g}", "has it" if t.positive else "has not", visible(t.text)[:80]) for t in wrong[:SHOWN]]
    more = f"\n\n{len(wrong)} texts on the wrong side:\n" + table(("held out", "", "text"), lines) if wrong else ""
    return facts(rows) + more
