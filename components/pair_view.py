"""What the page of pairs shows, as a frozen value: from a link, changed into other links. Draws nothing.

Tokens of a target stand in a link as on the page of circuits: as they are, “|” between several, or by id as #287.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from components import circuit_view, links
from components.search_view import short
from core.records import FeatureKey, SourceKey, SourceRecord
from core.techniques.pairs.records import Direction, PairAsk, Rank

ROWS, MORE = 20, 60
"""Features that are listed, and patched."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    model_id: str
    clean: str = ""
    corrupted: str = ""
    target: tuple[str, ...] = ()
    against: tuple[str, ...] = ()
    feature: FeatureKey | None = None
    sources: tuple[SourceKey, ...] = ()
    curve: SourceKey | None = None
    """Whose faithfulness is drawn; the middle one, if none is named."""
    by: Rank = "attribution"
    direction: Direction = "denoising"
    more: bool = False

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        return {
            "model": self.model_id,
            "clean": self.clean,
            "corrupted": self.corrupted,
            "target": "|".join(self.target),
            "against": "|".join(self.against),
            "feature": "" if self.feature is None else short(self.feature),
            "sources": ",".join(key.source_id for key in self.sources),
            "curve": "" if self.curve is None else self.curve.source_id,
            "by": "" if self.by == "attribution" else self.by,
            "direction": "" if self.direction == "denoising" else self.direction,
            "more": "1" if self.more else "",
        }

    def to(self, **changes: Any) -> str:
        """The address of this view with changes."""
        return links.pair(**replace(self, **changes).parameters())

    def ask(self) -> PairAsk:
        """What the workbench is asked."""
        return PairAsk(
            model_id=self.model_id, clean=self.clean, corrupted=self.corrupted,
            target=() if self.feature else self.target, against=() if self.feature else self.against,
            feature=self.feature, sources=self.sources,
        )  # fmt: skip

    def circuit(self, text: str) -> str:
        """The address on which one of the prompts is taken apart."""
        return circuit_view.View(
            model_id=self.model_id, text=text, target=self.target, against=self.against, feature=self.feature,
            sources=self.sources,
        ).to()  # fmt: skip

    def python(self) -> str:
        """The line that gets the same in a notebook."""
        ask = self.ask()
        parts = [f"{name}={getattr(ask, name)!r}" for name in ("model_id", "clean", "corrupted")]
        parts += [f"{name}={getattr(ask, name)!r}" for name in ("target", "against") if getattr(ask, name)]
        if self.feature is not None:
            parts.append(f"feature=FeatureKey.parse({str(self.feature)!r})")
        if self.sources:
            parts.append(f"sources=({' '.join(f'SourceKey.parse({str(key)!r}),' for key in self.sources)})")
        return (
            "from core.records import FeatureKey, SourceKey; from core.techniques.pairs.records import PairAsk; "
            f"from core.workbench import Workbench; record = Workbench().pairs.features(PairAsk({', '.join(parts)}), "
            f"by={self.by!r}, patch={ROWS})"
        )


def read(
    query: Mapping[str, str], models: Sequence[str], sources: Callable[[str], Sequence[SourceRecord]]
) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it. `models` is not empty; its first is the default."""
    own = {name: value for name, value in query.items() if name in ("model", "target", "against", "feature", "sources")}
    base, wrong = circuit_view.read(own, models, sources)
    known = {record.key.source_id: record.key for record in sources(base.model_id)}
    texts = [query.get(name, "") if query.get(name, "").strip() else "" for name in ("clean", "corrupted")]
    if any(texts) and not all(texts):
        wrong.append("A pair is two prompts: the link names one, so write the other.")
    curve = query.get("curve", "").strip().removeprefix(f"{base.model_id}/")
    if curve and curve not in known:
        wrong.append(f"There is no source “{curve[:60]}” of {base.model_id} with weights here; another is drawn.")
    chosen = {}
    for name, kind in (("by", Rank), ("direction", Direction)):
        chosen[name] = query.get(name, "").strip() or get_args(kind)[0]
        if chosen[name] not in get_args(kind):
            wrong.append(
                f"“{chosen[name][:40]}” is not a value of “{name}” in a link: {', '.join(get_args(kind))} are."
            )
            chosen[name] = get_args(kind)[0]
    return View(
        model_id=base.model_id, clean=texts[0], corrupted=texts[1], target=base.target, against=base.against,
        feature=base.feature, sources=base.sources, curve=known.get(curve), more=query.get("more") == "1",
        by=chosen["by"], direction=chosen["direction"],  # type: ignore[arg-type]
    ), wrong  # fmt: skip
