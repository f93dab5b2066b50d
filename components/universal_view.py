"""What the page of universality shows, as a frozen value: from a link, changed into other links. Draws nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from components import links, paging
from core.atlas.universal.records import By
from core.errors import BadInput
from core.records import SourceKey

PAGE = 25
"""Matches of a page."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    source: SourceKey
    other: SourceKey | None = None
    """A source of another model; all of them without one."""
    by: By = "value"
    mutual: bool = False
    every: bool = False
    """Also matches that chance explains."""
    page: int = 1

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        return {
            "by": "" if self.by == "value" else self.by, "mutual": "1" if self.mutual else "",
            "every": "1" if self.every else "", "page": str(self.page) if self.page > 1 else "",
        }  # fmt: skip

    def to(self, **changes: Any) -> str:
        """The address of this view with changes; any change leads to its first page."""
        made = replace(self, **{"page": 1, **changes})
        return links.universal(made.source, made.other, **made.parameters())


def read(query: Mapping[str, str], source: SourceKey) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it."""
    wrong: list[str] = []
    other: SourceKey | None = None
    named = query.get("other", "").strip()
    if named:
        try:
            other = SourceKey.parse(named)
        except BadInput as error:
            wrong.append(f"“other” of the link: {error}")
    by = query.get("by", "").strip()
    if by and by not in get_args(By):
        wrong.append(f"“{by[:60]}” is not a value of “by” in a link: {', '.join(get_args(By))} are.")
    page, beyond = paging.number(query.get("page", ""))
    wrong += [beyond] * bool(beyond)
    order: By = by if by in get_args(By) else "value"  # type: ignore[assignment]
    mutual, every = (query.get(name, "").strip() not in ("", "0", "false") for name in ("mutual", "every"))
    return View(source=source, other=other, by=order, mutual=mutual, every=every, page=page), wrong
