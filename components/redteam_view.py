"""What the page of red-teaming shows, as a frozen value: from a link, changed into other links. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from components import links
from core.errors import WorkbenchError
from core.explain.redteam.hypothesis import Hypothesis, Role, listed, make, parse
from core.explain.redteam.records import SHARE, TEXTS
from core.records import FeatureKey

SHARES = (0.05, 0.1, 0.25, 0.5)
COUNTS = (60, 120, 200)
"""What is offered."""
FIELDS: tuple[tuple[str, Role], ...] = (("fires", "should"), ("also", "also"), ("not", "not"))
"""The fields in which the parts of a hypothesis are corrected."""
SEEDS = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    key: FeatureKey
    text: str = ""
    """The hypothesis as it was said."""
    share: float = SHARE
    texts: int = TEXTS
    seed: int = 0
    writer: str = ""
    """A model whose texts are taken too, and its address."""
    at: str = ""
    picked: tuple[str, ...] = ()
    """Ids of the cases that are chosen for a test suite; all if there are none."""

    def to(self, **changes: Any) -> str:
        """The address of this view with changes; another hypothesis or draw has other cases, so that none is picked."""
        told = replace(self, **{"picked": ()} | changes)
        return links.redteam(
            told.key, told.text, share="" if told.share == SHARE else f"{told.share:g}",
            texts="" if told.texts == TEXTS else str(told.texts), seed=str(told.seed) if told.seed else "",
            writer=told.writer, at=told.at if told.writer else "", picked=",".join(told.picked),
        )  # fmt: skip

    def saying(self, hypothesis: Hypothesis, phrase: str, role: Role) -> str:
        """The address with one more phrase in the hypothesis, or with another role for it."""
        fields = {
            r: [p.fielded for p in hypothesis.parts if p.role == r and (p.phrase != phrase or p.kind or p.letters)]
            for _, r in FIELDS
        }
        fields[role].append(f"“{phrase}”")
        try:
            return self.to(text=make(fields["should"], fields["also"], fields["not"]).sentence)
        except WorkbenchError:
            return self.to()


def read(key: FeatureKey, query: Mapping[str, str]) -> tuple[View, Hypothesis | None, list[str]]:
    """(the view that a link names, its hypothesis if there is one, what was wrong with it)."""
    wrong: list[str] = []
    said: Hypothesis | None = None
    text = query.get("hypothesis", "")
    corrected = [query.get(name, "") for name, _ in FIELDS]
    try:
        if any(one.strip() for one in corrected):
            said = make(*map(listed, corrected))
            text = said.sentence
        elif text.strip():
            said = parse(text)
    except WorkbenchError as error:
        wrong.append(str(error))
    view = View(
        key=key, text=text, share=_number(query, "share", SHARE, 0.001, 0.999, wrong),
        texts=int(_number(query, "texts", TEXTS, 8, 200, wrong)), seed=int(_number(query, "seed", 0, 0, SEEDS, wrong)),
        writer=query.get("writer", "").strip()[:200], at=query.get("at", "").strip()[:400],
        picked=tuple(dict.fromkeys(one for one in query.get("picked", "").split(",") if one))[:200],
    )  # fmt: skip
    return view, said, wrong


def _number(
    query: Mapping[str, str], name: str, usual: float, least: float, most: float, wrong: list[str]
) -> float:
    said = query.get(name, "").strip()
    try:
        value = float(said) if said else usual
    except ValueError:
        value = float("nan")
    if least <= value <= most:
        return value
    wrong.append(
        f"“{name}” of the link is a number from {least:g} to {most:g}; “{said[:40]}” is not. {usual:g} is taken."
    )
    return usual
