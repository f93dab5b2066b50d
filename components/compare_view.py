"""What the page of comparisons shows, as a frozen value: read from a link, changed into other links. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components import links, paging
from core.errors import WorkbenchError
from core.records import FeatureKey, SourceKey, SourceRecord

THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
MOST = 12
"""Sources of a comparison."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page: of sources, or of two features where `ids` are named."""

    model_id: str = ""
    sources: tuple[SourceKey, ...] = ()
    ids: tuple[FeatureKey, ...] = ()
    pair: tuple[SourceKey, SourceKey] | None = None
    """Whose matched pairs are shown; the first two sources if there is none."""
    threshold: float = 0.5
    text: str = ""
    scaled: bool = False
    """Whether two features' values are drawn in parts of each one's largest."""
    page: int = 1

    @property
    def matched(self) -> tuple[SourceKey, SourceKey] | None:
        """The pair of sources whose features are matched."""
        return self.pair or ((self.sources[0], self.sources[1]) if len(self.sources) > 1 else None)

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        usual = (self.sources[0], self.sources[1]) if len(self.sources) > 1 else None
        return {
            "ids": ",".join(map(str, self.ids)),
            "model": self.model_id if self.sources and not self.ids else "",
            "sources": ",".join(key.source_id for key in self.sources) if not self.ids else "",
            "pair": ",".join(key.source_id for key in self.pair) if self.pair and self.pair != usual else "",
            "threshold": f"{self.threshold:g}" if self.threshold != 0.5 else "",
            "text": self.text,
            "scale": "maximum" if self.scaled else "",
            "page": str(self.page) if self.page > 1 else "",
        }

    def to(self, **changes: Any) -> str:
        """The address of this view with changes; any change leads to its first page."""
        return links.compare(**replace(self, **{"page": 1, **changes}).parameters())


def read(query: Mapping[str, str], records: Sequence[SourceRecord]) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it; `records` are all sources that are here."""
    wrong: list[str] = []
    models = list(dict.fromkeys(record.key.model_id for record in records))
    ids = _ids(query.get("ids", ""), wrong)
    named = [part.strip() for part in query.get("sources", "").split(",") if part.strip()]
    model_id = query.get("model", "").strip() or next((n.split("/")[0] for n in named if "/" in n), "")
    if model_id and model_id not in models:
        wrong.append(f"There is no model “{model_id[:60]}” here. There is: {', '.join(models)}.")
        model_id = ""
    if named and not model_id:
        fits = [m for m in models if all(any(str(r.key) == f"{m}/{n}" for r in records) for n in named)]
        model_id = (fits or models)[0] if models else ""
    known = {r.key.source_id: r.key for r in records if r.key.model_id == model_id}
    sources = _sources(named, model_id, known, wrong)
    pair = _sources([p for p in query.get("pair", "").split(",") if p.strip()], model_id, known, wrong)
    if pair and (len(pair) != 2 or not set(pair) <= set(sources)):
        wrong.append("“pair” of the link names two of its sources; the first two are matched.")
        pair = ()
    page, beyond = paging.number(query.get("page", ""))
    wrong += [beyond] * bool(beyond)
    scale = query.get("scale", "").strip()
    if scale not in ("", "value", "maximum"):
        wrong.append(f"“{scale[:60]}” is not a value of “scale” in a link: value, maximum are.")
    view = View(
        model_id=model_id or (ids[0].model_id if ids else ""), sources=sources, ids=ids,
        pair=(pair[0], pair[1]) if pair else None, threshold=_threshold(query.get("threshold", ""), wrong),
        text=query.get("text", "") if query.get("text", "").strip() else "", scaled=scale == "maximum", page=page,
    )  # fmt: skip
    return view, wrong


def _ids(text: str, wrong: list[str]) -> tuple[FeatureKey, ...]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    found: list[FeatureKey] = []
    for part in parts:
        try:
            found.append(FeatureKey.parse(part))
        except WorkbenchError as error:
            wrong.append(str(error))
    found = list(dict.fromkeys(found))
    if len(found) > 2:
        wrong.append(f"One feature is compared with another; the first two of {len(found)} are.")
    return tuple(found[:2])


def _sources(
    named: Sequence[str], model_id: str, known: Mapping[str, SourceKey], wrong: list[str]
) -> tuple[SourceKey, ...]:
    found = []
    for part in named:
        name = part.strip().removeprefix(f"{model_id}/")
        if name in known:
            found.append(known[name])
        else:
            there = f"There is: {', '.join(known)}." if known else "Name its model too, as “model”."
            wrong.append(
                f"There is no source “{name[:80]}” of {model_id or 'a model'} here, so it is left out. {there}"
            )
    found = list(dict.fromkeys(found))
    if len(found) > MOST:
        wrong.append(f"{MOST} sources are compared at once; the first {MOST} of {len(found)} are.")
    return tuple(found[:MOST])


def _threshold(text: str, wrong: list[str]) -> float:
    if not text.strip():
        return 0.5
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if 0 < value <= 1:
        return value
    wrong.append(f"“threshold” of the link is a correlation, above 0 and at most 1; “{text[:60]}” is not.")
    return 0.5
