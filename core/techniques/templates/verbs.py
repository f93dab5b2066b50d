"""`python -m core template`: prompts with slots as a set, and what features respond to in it, on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any, get_args

from core.errors import BadInput
from core.interchange import templates as shapes
from core.records import SourceKey
from core.techniques.circuits.verbs import _names, _teller
from core.techniques.templates.records import PROMPTS, At, Factor, Response, TemplateAsk, TemplateRecord
from core.terminal import Bar, table, visible

if TYPE_CHECKING:
    from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
SHOWN = 10


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `template` takes."""
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("templates", metavar="TEMPLATE", nargs="+", help="a prompt with {slots}, or variants of one")
    parser.add_argument(
        "--fill", action="append", default=[], required=True, metavar="SLOT=A,B", help="a slot's fillers; once a slot"
    )
    parser.add_argument("--at", choices=get_args(At), default="slot", help="where features are read; slot")
    parser.add_argument("--sources", type=_names, default=[], metavar="A,B", help="whose features; default: all SAEs")
    parser.add_argument("--prompts", type=int, default=PROMPTS, metavar="N", help=f"at most; {PROMPTS}")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the prompts that are drawn")
    parser.add_argument("--top", type=int, default=SHOWN, metavar="N", help=f"features of each factor; {SHOWN}")
    parser.add_argument("--csv", action="store_true", help="the responses as CSV")


def template(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """What features respond to in a set of prompts."""
    ask = TemplateAsk(
        model_id=asked.model, templates=tuple(asked.templates), fillers=tuple(_filled(one) for one in asked.fill),
        at=asked.at, prompts=asked.prompts, seed=asked.seed,
        sources=tuple(SourceKey.of(asked.model, one) for one in asked.sources),
    )  # fmt: skip
    with closing(Bar()) as bar:
        record = workbench.templates.responses(ask, top=asked.top, tell=_teller(bar))
    return shapes.record(record), lambda: shapes.table(record).rstrip() if asked.csv else _text(record)


def _filled(text: str) -> tuple[str, tuple[str, ...]]:
    name, is_there, fillers = text.partition("=")
    if not is_there:
        raise BadInput(f"“{text[:60]}” is no slot with its fillers: write --fill SLOT=A,B.")
    return name.strip(), tuple(one for one in fillers.split(",") if one)


def _text(record: TemplateRecord) -> str:
    of = f" of {record.combinations:,}" if record.combinations > len(record.prompts) else ""
    control = record.control
    said = [
        f"{len(record.prompts)} prompts{of}, the first: {visible(record.prompts[0].text)}",
        f"{record.found:,} of {record.tests:,} tests pass at a false discovery rate of {record.level:.0%}; with labels "
        f"shuffled {control.found:.1f} do (mean of {control.shuffles}, at most {control.most}), largest ω² "
        f"{control.largest:.2f}",
    ]
    return "\n\n".join(["\n".join(said), *(_factor(one, record.of(one)) for one in record.factors)])


def _factor(one: Factor, found: tuple[Response, ...]) -> str:
    beside = f", {' and '.join(one.beside)} held fixed" if one.beside else ""
    mixed = "; position and role always go together here: add a variant of the template" if one.confounded else ""
    head = f"{one.kind} of {', '.join(one.slots)}: {one.found:,} of {one.tested:,} features{beside}{mixed}"
    rows = [
        (str(r.key), r.effect, f"{r.q:.1e}", r.active,
         " · ".join(f"{visible(v.name)} {v.mean:.2f}" for v in r.levels[:4]), visible(r.label))
        for r in found
    ]  # fmt: skip
    return f"{head}\n{table(('feature', 'ω²', 'q', 'active', 'means', 'fires on'), rows)}" if rows else head
