"""The command line's `import-sae-bench`: results of SAEBench, kept beside our own figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from core.errors import BadInput, WorkbenchError
from core.evaluate.foreign import Foreign
from core.interchange import sae_bench
from core.terminal import table, visible
from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]


def arguments(parser: argparse.ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="…_eval_results.json, or a folder of them; none: list all"
    )
    parser.add_argument("--of", metavar="MODEL/SOURCE", help="the source here that they are of; else SAELens's id says")
    parser.add_argument("--forget", metavar="ID", help="remove a result again")


def import_(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Brings results in, each file by itself; exit status 2 if one could not be read."""
    quality = workbench.quality
    if asked.forget:
        if asked.files:
            raise BadInput("--forget takes an id alone: leave the files out.")
        quality.forget(asked.forget)
        return {"forgotten": asked.forget}, lambda: f"{visible(asked.forget)}: removed"
    if not asked.files:
        return _answer(quality.brought_in(), [])
    files = [path for place in asked.files for path in sae_bench.files(place)]
    found: list[Foreign] = []
    wrong: list[str] = []
    for path in files:
        try:
            found += quality.bring_in(path, of=asked.of)
        except WorkbenchError as error:
            wrong.append(str(error))
            print(f"error: {visible(str(error))}", file=sys.stderr)
    asked.status = 2 if wrong else 0
    return _answer(found, wrong)


def _answer(found: list[Foreign] | tuple[Foreign, ...], wrong: list[str]) -> Answer:
    answer = {"results": [_json(one) for one in found], "errors": wrong}
    return answer, lambda: _text(found)


def _json(one: Foreign) -> dict[str, Any]:
    return asdict(one) | {
        "metrics": dict(one.metrics), "config": dict(one.config), "unknown": list(one.unknown),
        "said": None if one.said is None else str(one.said),
    }  # fmt: skip


def _text(found: list[Foreign] | tuple[Foreign, ...]) -> str:
    if not found:
        return "No results of SAEBench are here."
    rows = [(one.id, one.eval_type, one.name, one.made, len(one.metrics), len(one.figures())) for one in found]
    lines = [table(("id", "what", "SAE", "made", "figures", "beside ours"), rows)]
    for one in found:
        if one.unknown:
            some = ", ".join(map(visible, one.unknown[:8])) + (" …" if len(one.unknown) > 8 else "")
            lines.append(f"{visible(one.file)} has what no known version writes: {some}")
    return "\n".join(lines)
