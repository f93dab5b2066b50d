"""`python -m core dfa`: which tokens, by which heads, gave a feature of an SAE on attention heads its value."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from core.interchange import attributions as shape
from core.terminal import facts, table, visible

if TYPE_CHECKING:
    from core.records import DfaRecord
    from core.workbench import Workbench

HEADS = 6
"""Heads that are named."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `dfa` takes."""
    parser.add_argument("id", metavar="ID", help="<model>/<source>/<index>, of a source at attn.hook_z")
    parser.add_argument("text", metavar="TEXT")
    parser.add_argument(
        "--position", type=int, metavar="N", help="the token whose value it is, BOS counted; default: the strongest"
    )


def dfa(workbench: Workbench, asked: argparse.Namespace) -> tuple[Any, Callable[[], str]]:
    """Where a feature's value came from."""
    found = workbench.dfa(asked.id, asked.text, asked.position)
    return shape.record(found), lambda: _text(found)


def _text(one: DfaRecord) -> str:
    target = one.dfa.target
    heads = sorted(enumerate(one.dfa.heads), key=lambda pair: -abs(pair[1]))[:HEADS]
    said = facts([
        ("feature", str(one.key)), ("value", f"{one.value:.4g} at {target} “{visible(one.tokens[target].text)}”"),
        ("by head", ", ".join(f"{head}: {value:+.4g}" for head, value in heads)),
        ("by no token", f"{one.dfa.bias:+.4g}"),
    ])  # fmt: skip
    rows = [(n, f"{value:+.4g}", visible(one.tokens[n].text)) for n, value in enumerate(one.dfa.values)]
    return said + "\n\n" + table(("token", "gave", ""), rows)
