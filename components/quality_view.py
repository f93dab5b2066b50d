"""What the page of a source's quality shows, as a frozen value: from a link, changed into other links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components import links, paging
from core.errors import BadInput
from core.records import SourceKey

PAGE = 10
"""Features of a page that split."""
THRESHOLDS = (0.5, 0.7, 0.9)
USUAL = 0.7


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    source: SourceKey
    wide: SourceKey | None = None
    """The other width that its features are compared with."""
    threshold: float = USUAL
    page: int = 1

    def to(self, **changes: Any) -> str:
        """The address of this view with changes; any change leads to its first page."""
        made = replace(self, **{"page": 1, **changes})
        return links.quality(
            made.source, wide=made.wide.source_id if made.wide else "",
            threshold=f"{made.threshold:g}" if made.threshold != USUAL else "",
            page=str(made.page) if made.page > 1 else "",
        )  # fmt: skip


def read(query: Mapping[str, str], source: SourceKey, widths: Sequence[SourceKey]) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it; `widths` are the others that there are."""
    wrong: list[str] = []
    wide: SourceKey | None = None
    if named := query.get("wide", "").strip():
        try:
            asked = SourceKey.parse(named if "/" in named else f"{source.model_id}/{named}")
            wide = asked if asked in widths else None
        except BadInput:
            wide = None
        if wide is None:
            there = f"There is: {', '.join(key.source_id for key in widths)}." if widths else "There is no other."
            wrong.append(f"“{named[:80]}” is no source of another width at the hook of {source.source_id}. {there}")
    threshold = USUAL
    if said := query.get("threshold", "").strip():
        try:
            threshold = float(said)
        except ValueError:
            threshold = 0.0
        if not 0 < threshold <= 1:
            wrong.append(f"“threshold” of the link is a cosine, above 0 and at most 1; “{said[:60]}” is not.")
            threshold = USUAL
    page, beyond = paging.number(query.get("page", ""))
    wrong += [beyond] * bool(beyond)
    wide = wide or (widths[0] if widths else None)
    return View(source=source, wide=wide, threshold=threshold, page=page), wrong
