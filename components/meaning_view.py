"""What the page of search by meaning shows, as a frozen value: from a link, changed into other links. Draws nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from components import links, paging
from components.search_view import picked_in, short, spelled
from core.explain.records import Origin, Rank
from core.records import FeatureKey, SourceKey, SourceRecord

PAGE = 20
"""Explanations of a page."""
DENSITIES = (0.1, 0.01, 0.001)
SCORES = (0.6, 0.75, 0.9)
"""What is offered; a link may name any."""
ALL = "all"
"""What a link calls all models together."""
LONGEST = 96
"""Characters of a method's or person's name in a link."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the page."""

    query: str = ""
    model_id: str = ""
    """Empty if there is only one, or with `every`."""
    every: bool = False
    """Over all models, where there are several; else over the first unless a link names one."""
    sources: tuple[SourceKey, ...] = ()
    """Those looked into; all of the model's, or of all models, if there are none."""
    rank: Rank = "both"
    origin: Origin | None = None
    method: str = ""
    author: str = ""
    densest: float | None = None
    sparsest: float = 0.0
    trusted: float | None = None
    page: int = 1
    picked: tuple[FeatureKey, ...] = ()
    """Features that were picked, where one model is looked into; they stay over other queries, filters and pages."""

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        return {
            "q": self.query,
            "model": ALL if self.every else self.model_id or (self.sources[0].model_id if self.sources else ""),
            "sources": ",".join(key.source_id for key in self.sources),
            "rank": "" if self.rank == "both" else self.rank,
            "origin": self.origin or "",
            "method": self.method,
            "author": self.author,
            "density": "" if self.densest is None else f"{self.densest:g}",
            "from": f"{self.sparsest:g}" if self.sparsest else "",
            "score": "" if self.trusted is None else f"{self.trusted:g}",
            "page": str(self.page) if self.page > 1 else "",
            "picked": ",".join(map(short, self.picked)),
        }

    def to(self, **changes: Any) -> str:
        """The address of this view with changes; any change leads to its first page."""
        return links.meaning(**replace(self, **{"page": 1, **changes}).parameters())

    def picking(self, key: FeatureKey) -> str:
        """The address of this view, on the same page, with a feature picked or not any more."""
        left = tuple(one for one in self.picked if one != key)
        return self.to(page=self.page, picked=left if len(left) < len(self.picked) else (*self.picked, key))

    @property
    def filtered(self) -> bool:
        """Whether anything but the query decides what may be found."""
        free = View(
            query=self.query, model_id=self.model_id, every=self.every, rank=self.rank, page=self.page,
            picked=self.picked,
        )  # fmt: skip
        return self != free


def read(
    query: Mapping[str, str], models: Sequence[str], sources: Callable[[str], Sequence[SourceRecord]]
) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it; `sources` gives those of a model."""
    wrong: list[str] = []

    def said(name: str) -> str:
        return query.get(name, "").strip()

    def word(name: str, options: Sequence[str]) -> str:
        value = said(name)
        if value and value not in options:
            wrong.append(f"“{value[:60]}” is not a value of “{name}” in a link: {', '.join(options)} are.")
        return value if value in options else ""

    def share(name: str, least: float, most: float, what: str) -> float | None:
        try:
            value = float(said(name) or "nan")
        except ValueError:
            value = least - 1
        if value != value or least <= value <= most:
            return None if value != value else value
        wrong.append(f"“{name}” of the link is {what}; “{said(name)[:60]}” is not.")
        return None

    model_id = said("model")
    every = model_id == ALL and len(models) > 1
    model_id = "" if model_id == ALL else model_id
    if model_id and model_id not in models:
        wrong.append(f"There is no model “{model_id[:60]}” here. There is: {', '.join(models)}.")
        model_id = ""
    if not model_id and not every and len(models) > 1:
        model_id = models[0]
    page, beyond = paging.number(said("page"))
    wrong += [beyond] * bool(beyond)
    only = model_id or (models[0] if len(models) == 1 else "")
    view = View(
        query=query.get("q", "") if said("q") else "",
        model_id=model_id,
        every=every,
        sources=_sources(said("sources"), said("set"), only, sources(only) if only else (), wrong),
        rank=word("rank", get_args(Rank)) or "both",
        origin=word("origin", get_args(Origin)) or None,
        method=said("method")[:LONGEST],
        author=said("author")[:LONGEST],
        densest=share("density", 0, 1, "a fraction of all tokens, 0 to 1"),
        sparsest=share("from", 0, 1, "a fraction of all tokens, 0 to 1") or 0.0,
        trusted=share("score", -1, 1, "the least score of an explanation, −1 to 1"),
        page=page,
        picked=picked_in(query.get("picked", ""), only, sources(only), wrong) if only and said("picked") else (),
    )
    return view, wrong


def _sources(
    names: str, set_name: str, model_id: str, records: Sequence[SourceRecord], wrong: list[str]
) -> tuple[SourceKey, ...]:
    """Sources that a link names, or those of its set; of several models it has to say which."""
    if (names or set_name) and not model_id:
        wrong.append("A link that names sources or a set names their model too, as “model”. All are looked into.")
        return ()
    known = {record.key.source_id: record.key for record in records}
    asked = [part.strip().removeprefix(f"{model_id}/") for part in names.split(",") if part.strip()]
    if not asked and set_name:
        asked = [name for name, key in known.items() if key.set_name == set_name]
        if not asked:
            sets = ", ".join(dict.fromkeys(key.set_name for key in known.values()))
            wrong.append(f"There is no source set “{set_name[:60]}” of {model_id}. There is: {sets}.")
    for part in (part for part in asked if part not in known):
        wrong.append(
            f"There is no source “{part[:80]}” of {model_id} here, so it is left out. There is: {', '.join(known)}."
        )
    return spelled({known[part] for part in asked if part in known}, records)
