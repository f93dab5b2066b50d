"""The command line's part of adding sources: `try`, and the file in which a build says how far it is."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.bring.progress import written
from core.terminal import Bar, table, visible

if TYPE_CHECKING:
    from core.bring.records import Tried
    from core.workbench import Workbench


def progress_argument(parser: argparse.ArgumentParser) -> None:
    """`--progress`, of commands that take long."""
    parser.add_argument(
        "--progress", type=Path, metavar="FILE",
        help="also write how far it is to FILE, as JSON; a file stop.json beside it ends the work, to go on later",
    )  # fmt: skip


def try_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `try`."""
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file, as for build")
    progress_argument(parser)


def try_(workbench: Workbench, asked: argparse.Namespace) -> tuple[Any, Callable[[], str]]:
    """A configuration's sources on a few prompts."""
    with closing(Bar()) as bar, written(asked.progress, bar) as progress:
        found = workbench.bring.trial(asked.config, progress)
        progress.answer = asdict(found[0])
    return {"sources": [asdict(one) for one in found]}, lambda: "\n\n".join(_text(one) for one in found)


def _text(one: Tried) -> str:
    known = one.published
    rows = [
        ("L0", one.l0, "-" if known.l0 is None else known.l0),
        ("explained variance", one.explained_variance,
         "-" if known.explained_variance is None else known.explained_variance),
        ("CE loss score", one.ce_loss_score, "-" if known.ce_loss_score is None else known.ce_loss_score),
    ]  # fmt: skip
    lines = [
        f"{one.source}  {one.verdict}, on {one.tokens:,} tokens",
        table(("figure", "here", "published"), rows),
        *map(visible, one.said),
    ]
    return "\n".join(lines)
