"""What the page of templates shows, as a frozen value: from a link, changed into other links. Draws nothing.

In a link as in the boxes: variants of a template on lines of their own, and a line `slot = filler, filler` a slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from components import circuit_view, links, pair_view
from core.records import SourceKey, SourceRecord
from core.techniques.templates.records import PROMPTS, At, Prompt, TemplateAsk

ROWS, MORE = 8, 40
"""Features of each factor that are listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    model_id: str
    template: str = ""
    fill: str = ""
    at: At = "slot"
    sources: tuple[SourceKey, ...] = ()
    prompts: int = PROMPTS
    seed: int = 0
    more: bool = False

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        return {
            "model": self.model_id,
            "template": self.template,
            "fill": self.fill,
            "at": "" if self.at == "slot" else self.at,
            "sources": ",".join(key.source_id for key in self.sources),
            "prompts": "" if self.prompts == PROMPTS else str(self.prompts),
            "seed": "" if self.seed == 0 else str(self.seed),
            "more": "1" if self.more else "",
        }

    def to(self, **changes: Any) -> str:
        """The address of this view with changes."""
        return links.template(**replace(self, **changes).parameters())

    def ask(self) -> TemplateAsk:
        """What the workbench is asked."""
        return TemplateAsk(
            model_id=self.model_id, templates=tuple(lines(self.template)), fillers=tuple(fillers(self.fill)),
            at=self.at, sources=self.sources, prompts=self.prompts, seed=self.seed,
        )  # fmt: skip

    def pair(self, clean: Prompt, corrupted: Prompt) -> str:
        """The address on which two prompts of the set are compared."""
        return pair_view.View(
            model_id=self.model_id, clean=clean.text, corrupted=corrupted.text, sources=self.sources
        ).to()

    def python(self) -> str:
        """The line that gets the same in a notebook."""
        ask = self.ask()
        parts = [f"{name}={getattr(ask, name)!r}" for name in ("model_id", "templates", "fillers", "at", "prompts")]
        if self.sources:
            parts.append(f"sources=({' '.join(f'SourceKey.parse({str(key)!r}),' for key in self.sources)})")
        return (
            "from core.records import SourceKey; from core.techniques.templates.records import TemplateAsk; "
            "from core.workbench import Workbench; "
            f"record = Workbench().templates.responses(TemplateAsk({', '.join(parts)}, seed={self.seed}))"
        )


def lines(text: str) -> list[str]:
    """The lines of a box that are not empty."""
    return [line.rstrip("\r") for line in text.split("\n") if line.strip()]


def fillers(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """(slot, its fillers) of each line `slot = filler, filler`; a line without = is a slot without fillers."""
    found = []
    for line in lines(text):
        name, _, own = line.partition("=")
        found.append((name.strip(), tuple(part.strip() for part in own.split(",") if part.strip())))
    return found


def written(own: Mapping[str, Sequence[str]]) -> str:
    """The same from fillers."""
    return "\n".join(f"{name} = {', '.join(each)}" for name, each in own.items())


def read(
    query: Mapping[str, str], models: Sequence[str], sources: Callable[[str], Sequence[SourceRecord]]
) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it. `models` is not empty; its first is the default."""
    base, wrong = circuit_view.read({n: query[n] for n in ("model", "sources") if n in query}, models, sources)
    at = query.get("at", "").strip() or "slot"
    if at not in get_args(At):
        wrong.append(f"“{at[:40]}” is not a value of “at” in a link: {', '.join(get_args(At))} are.")
        at = "slot"
    numbers = {"prompts": PROMPTS, "seed": 0}
    for name in numbers:
        text = query.get(name, "").strip()
        if text and not (text.isascii() and text.isdecimal() and len(text) < 10):
            wrong.append(f"“{name}” of the link is a whole number; “{text[:40]}” is not.")
        elif text:
            numbers[name] = int(text)
    template = query.get("template", "")
    return View(
        model_id=base.model_id, sources=base.sources, template=template if template.strip() else "",
        fill=query.get("fill", ""), at=at, more=query.get("more") == "1", **numbers,  # type: ignore[arg-type]
    ), wrong  # fmt: skip
