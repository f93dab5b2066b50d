"""`python -m core redteam`: a hypothesis about a feature, tested. Exit status 0 if it holds, 1 if not, 2 for an error.

A key for a language model comes from the environment (FEATURESCOPE_LLM_KEY), never from the command line.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from core.explain.redteam.records import SHARE, TEXTS, Case, RedTeam
from core.interchange import explanations
from core.interchange import redteam as shape
from core.records import Step
from core.terminal import Bar, facts, table, visible

if TYPE_CHECKING:
    from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
SHOWN = 20
"""Surprising cases that are written."""
WIDE = 72
"""Characters of a text, about."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `redteam` takes."""
    parser.add_argument("id", metavar="ID", help="<model>/<source>/<index>")
    parser.add_argument("hypothesis", metavar="HYPOTHESIS", help="as: fires on red, also crimson, not on Credentials")
    parser.add_argument(
        "--share", type=float, default=SHARE, metavar="X", help=f"of its maximum, above which a text fires: {SHARE}"
    )
    parser.add_argument("--texts", type=int, default=TEXTS, metavar="N", help=f"texts at most; default: {TEXTS}")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="the same seed, the same texts; default: 0")
    parser.add_argument(
        "--makers", type=_names, default=[], metavar="A,B", help="some of templates,letters,neighbours,corpus"
    )
    parser.add_argument("--model", default="", help="a language model that writes texts too, as its endpoint calls it")
    parser.add_argument("--base-url", default="", metavar="URL", help="an endpoint that speaks OpenAI's")
    parser.add_argument("--budget", type=float, metavar="USD", help="spend no more than so many US dollars on it")
    parser.add_argument("--estimate", action="store_true", help="say what the model would cost, and test nothing")


def redteam(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Tests a hypothesis."""
    words, endpoint = workbench.words, None
    if asked.model or asked.base_url or asked.estimate:
        endpoint = words.machines.endpoint(asked.model, asked.base_url)
    if asked.estimate and endpoint is not None:
        cost = words.estimate_redteam(asked.id, asked.hypothesis, endpoint)
        usd = "not known" if cost.usd is None else f"about ${cost.usd:,.4f}"
        rows = [("model", cost.model), ("questions", cost.asks), ("cost", usd), ("", cost.note)]
        return explanations.estimate(cost), lambda: facts(rows)
    with closing(Bar()) as bar:
        found = words.redteam(
            asked.id, asked.hypothesis, share=asked.share, texts=asked.texts, seed=asked.seed, makers=asked.makers,
            endpoint=endpoint, budget=asked.budget, tell=_teller(bar),
        )  # fmt: skip
    asked.status = 0 if found.verdict == "holds" else 1
    return shape.record(found), lambda: _text(found)


def _text(found: RedTeam) -> str:
    said, seen = found.hypothesis, found.covered
    (hit, missed), (false, quiet) = found.table
    parts = [
        facts([
            ("feature", found.key), ("read as", said.sentence),
            *([("left out", " · ".join(said.left))] if said.left else []),
            ("fires above", f"{found.threshold:.4g}, {found.share:.0%} of {found.maximum:.4g}"),
            *((name.replace("_", " "), _figure(found, name)) for name in _FIGURES if name in found.measures),
            *([("covers", f"{seen.by} of its {seen.texts} strongest texts")] if seen else []),
        ]),
        table(("", "fired", "silent"), [("should fire", hit, missed), ("should not", false, quiet)]),
    ]  # fmt: skip
    phrases = [
        (one.name, one.role or "not said", _of(one.should_fired, one.should), _of(one.silent_fired, one.silent),
         _of(one.unsaid_fired, one.unsaid))
        for one in found.phrases
        if one.role is not None or one.unsaid_fired
    ]  # fmt: skip
    if phrases:
        parts.append(table(("phrase", "role", "should", "should not", "not said"), phrases))
    if found.surprising:
        rows = [
            (one.value or 0.0, "fired" if one.fired else "silent", _context(one), one.why)
            for one in found.surprising[:SHOWN]
        ]  # fmt: skip
        parts.append(table(("value", "it", "otherwise than said", "made"), rows))
        if len(found.surprising) > SHOWN:
            parts.append(f"{len(found.surprising) - SHOWN} more; --json has all")
    return "\n\n".join([*parts, *map(visible, found.lacks), visible(found.line)])


def _context(one: Case) -> str:
    """The text around its strongest token, which is marked."""
    if one.position is None:
        text = visible(one.text)
        return text if len(text) <= WIDE else f"{text[: WIDE - 1]}…"
    texts = [visible(token.text) if not token.special else "" for token in one.tokens]
    before, after = "".join(texts[: one.position]), "".join(texts[one.position + 1 :])
    return f"{before[-WIDE // 2 :]}⟦{texts[one.position]}⟧{after[: WIDE // 3]}"


_FIGURES = ("balanced_accuracy", "recall", "precision")


def _figure(found: RedTeam, name: str) -> str:
    low, high = found.intervals.get(name, (float("nan"), float("nan")))
    return f"{found.measures[name]:.2f}" + (f"  ({low:.2f} to {high:.2f})" if low == low else "")


def _of(fired: int, of: int) -> str:
    return f"{fired} of {of}" if of else ""


def _teller(bar: Bar) -> Callable[[Step], None]:
    def tell(step: Step) -> None:
        if step.doing == "reading" and step.of:
            bar("reading", step.done, step.of)
        elif step.doing == "embedding":
            bar("embedding the words of the texts", step.done, step.of)
        elif step.doing == "writing":
            bar(f"{step.what} writes", step.done, step.of)
        elif step.doing == "loading":
            bar(f"loading {step.what}", 0, 0)

    return tell


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
