"""What the search page shows, as a frozen value: read from a link, changed into other links. Draws nothing.

Also the choice of sources as a reader makes it, by kind, set and layer. In a link it is always a list of sources, so
that a link means the same whatever is built later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from components import links, paging
from components.feature_panels import KINDS, rank
from core.records import Combine, FeatureKey, Measure, SourceKey, SourceRecord, Token

PAGE = 25
"""Hits of a page."""
SORTS: tuple[Measure, ...] = ("surprise", "percentile", "fraction", "value")
DENSITIES = (0.1, 0.01, 0.001)
"""What is offered; a link may name any."""
Group = Literal["list", "token"]
Shown = Literal["features", "token", "contrast", "picked"]
"""What is shown of a text: its features, those of each token in one source, what differs from a second text, or what it
does to the features that were picked."""
PICKS = 40
"""Features that can be picked at once: they stand in the address."""
Order = Literal["frequency", "strength", "density"]


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of the search page."""

    model_id: str
    text: str = ""
    sources: tuple[SourceKey, ...] = ()
    """Those looked into; all that can be searched if there are none."""
    tokens: tuple[int, ...] = ()
    """Positions looked at, BOS counted; all if there are none."""
    sort: Measure = "surprise"
    combine: Combine = "max"
    densest: float | None = None
    bos: bool = False
    group: Group = "list"
    shown: Shown = "features"
    source: SourceKey | None = None
    """The source whose features are shown token by token; the first of those looked into if there is none."""
    order: Order = "frequency"
    """Of the features that were counted over the tokens."""
    against: str = ""
    """The second of two texts."""
    picked: tuple[FeatureKey, ...] = ()
    """Features that were picked, in the order of picking; they stay over other texts, orders and pages."""
    page: int = 1

    def parameters(self) -> dict[str, str]:
        """The view as URL parameters, without what is the default anyway."""
        token, contrast = self.shown == "token", self.shown == "contrast"
        return {
            "model": self.model_id,
            "text": self.text,
            "against": self.against if contrast else "",
            "view": "" if self.shown == "features" or (contrast and self.against) else self.shown,
            "source": self.source.source_id if token and self.source else "",
            "order": self.order if token and self.order != "frequency" else "",
            "sources": ",".join(key.source_id for key in self.sources),
            "tokens": ",".join(map(str, self.tokens)),
            "sort": "" if self.sort == "surprise" else self.sort,
            "density": "" if self.densest is None else f"{self.densest:g}",
            "combine": "" if self.combine == "max" else self.combine,
            "bos": "1" if self.bos else "",
            "group": "" if self.group == "list" else self.group,
            "page": str(self.page) if self.page > 1 else "",
            "picked": ",".join(map(short, self.picked)),
        }

    def to(self, **changes: Any) -> str:
        """The address of this view with changes; any change leads to its first page."""
        return links.search(**replace(self, **{"page": 1, **changes}).parameters())

    def picking(self, key: FeatureKey) -> str:
        """The address of this view, on the same page, with a feature picked or not any more."""
        left = tuple(one for one in self.picked if one != key)
        return self.to(page=self.page, picked=left if len(left) < len(self.picked) else (*self.picked, key))


def short(key: FeatureKey) -> str:
    """A feature as the link of a view names it, which names its model once."""
    return f"{key.source_id}/{key.index}"


def read(
    query: Mapping[str, str], models: Sequence[str], searchable: Callable[[str], Sequence[SourceRecord]]
) -> tuple[View, list[str]]:
    """The view that a link names, and what was wrong with it. `models` is not empty; its first is the default."""
    wrong: list[str] = []

    def word(name: str, options: Sequence[str]) -> Any:
        value = query.get(name, "").strip()
        if value and value not in options:
            wrong.append(f"“{value}” is not a value of “{name}” in a link: {', '.join(options)} are.")
        return value if value in options else options[0]

    asked = query.get("model", "").strip()
    if asked and asked not in models:
        wrong.append(f"There is no model “{asked}” here that can be searched. There is: {', '.join(models)}.")
    model_id = asked if asked in models else models[0]
    text, against = (part if part.strip() else "" for part in (query.get("text", ""), query.get("against", "")))
    shown = word("view", get_args(Shown))
    if against and not query.get("view", "").strip():
        shown = "contrast"
    view = View(
        model_id=model_id,
        text=text,
        sources=_sources(query.get("sources", ""), model_id, searchable(model_id), wrong),
        tokens=tuple(sorted(set(_numbers(query.get("tokens", ""), "tokens", wrong)))),
        sort=word("sort", SORTS),
        combine=word("combine", get_args(Combine)),
        densest=_density(query.get("density", ""), wrong),
        bos=word("bos", ("0", "1")) == "1",
        group=word("group", get_args(Group)),
        shown=shown,
        source=next(
            iter(_sources(query.get("source", ""), model_id, searchable(model_id), wrong, all_is_none=False)), None
        ),
        order=word("order", get_args(Order)),
        against=against if shown == "contrast" else "",
        page=_page(query.get("page", ""), wrong),
        picked=picked_in(query.get("picked", ""), model_id, searchable(model_id), wrong),
    )
    return view, wrong


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str, name: str, wrong: list[str]) -> list[int]:
    parts = _parts(text)
    good = [p for p in parts if p.isascii() and p.isdecimal() and len(p) < 7]
    if len(good) < len(parts):
        wrong.append(f"“{name}” of the link is whole numbers with commas between; “{text[:60]}” is not all that.")
    return [int(p) for p in good]


def _page(text: str, wrong: list[str]) -> int:
    page, said = paging.number(text)
    wrong += [said] * bool(said)
    return page


def _density(text: str, wrong: list[str]) -> float | None:
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if 0 < value <= 1:
        return value
    wrong.append(f"“density” of the link is a fraction of all tokens, above 0 and at most 1; “{text[:60]}” is not.")
    return None


def _sources(
    text: str, model_id: str, records: Sequence[SourceRecord], wrong: list[str], *, all_is_none: bool = True
) -> tuple[SourceKey, ...]:
    known = {record.key.source_id: record.key for record in records}
    asked = [part.removeprefix(f"{model_id}/") for part in _parts(text)]
    for part in asked:
        if part not in known:
            wrong.append(
                f"There is no source “{part[:80]}” of {model_id} that can be searched, so it is left out. "
                f"There is: {', '.join(known)}."
            )
    chosen = {known[part] for part in asked if part in known}
    return spelled(chosen, records) if all_is_none else tuple(r.key for r in records if r.key in chosen)


def picked_in(text: str, model_id: str, records: Sequence[SourceRecord], wrong: list[str]) -> tuple[FeatureKey, ...]:
    """Features by `2-res/78`, `2-res:78` or with their model before it."""
    widths = {record.key.source_id: record.width for record in records}
    found: list[FeatureKey] = []
    bad: list[str] = []
    for part in _parts(text):
        source, _, index = part.removeprefix(f"{model_id}/").replace(":", "/").rpartition("/")
        good = index.isascii() and index.isdecimal() and len(index) < 10
        if good and int(index) < widths.get(source, 0):
            found.append(FeatureKey(model_id, source, int(index)))
        else:
            bad.append(part[:60])
    if bad:
        more = f" and {len(bad) - 4:,} more" if len(bad) > 4 else ""
        wrong.append(
            f"“picked” of the link is features such as {next(iter(widths), '2-res')}/0, with commas between; "
            f"{', '.join(f'“{part}”' for part in bad[:4])}{more} of {model_id} cannot be found, and is left out."
        )
    kept = list(dict.fromkeys(found))
    if len(kept) > PICKS:
        wrong.append(f"The link picks {len(kept):,} features; the first {PICKS} are kept.")
    return tuple(kept[:PICKS])


def spelled(chosen: Iterable[SourceKey], records: Sequence[SourceRecord]) -> tuple[SourceKey, ...]:
    """Sources in their order; none where all are meant."""
    held = set(chosen)
    return () if len(held) == len(records) else tuple(r.key for r in records if r.key in held)


def within(view: View, tokens: Sequence[Token]) -> tuple[View, list[str]]:
    """The view with those chosen tokens that the text has, and what was wrong with the others."""
    there = [n for n, token in enumerate(tokens) if view.bos or not token.special]
    kept = tuple(n for n in view.tokens if n in set(there))
    gone = [str(n) for n in view.tokens if n not in kept]
    if not gone:
        return view, []
    has = f"tokens {there[0]} to {there[-1]}" if there else "none"
    said = f"The text has {has} to choose from; the link’s {', '.join(gone[:8])} left out."
    return replace(view, tokens=kept), [said]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One value of a facet, and what a click on it would choose."""

    name: str
    on: bool
    """Whether the reader chose it; a facet of which nothing is chosen lets all pass."""
    there: tuple[SourceKey, ...] | None
    """The sources after a click; None if none would remain."""
    count: int
    """Sources that have the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facet:
    """One way to choose among sources: kind, set, layer."""

    name: str
    options: tuple[Option, ...]


def facets(records: Sequence[SourceRecord], chosen: Sequence[SourceKey]) -> tuple[Facet, ...]:
    """How sources can be chosen where there is a choice; a click adds a value of a facet or takes it back."""
    ways: dict[str, Callable[[SourceRecord], str]] = {
        "kind": lambda r: KINDS[r.kind],
        "set": lambda r: r.key.set_name,
        "layer": lambda r: str(r.layer),
    }
    values = {name: list(dict.fromkeys(map(way, sorted(records, key=_order)))) for name, way in ways.items()}
    held = [r for r in records if not chosen or r.key in set(chosen)]
    picked = {name: {way(r) for r in held} for name, way in ways.items()}
    for name, all_values in values.items():
        if len(picked[name]) == len(all_values):
            picked[name] = set()

    def passing(picks: Mapping[str, set[str]]) -> list[SourceKey]:
        return [r.key for r in records if all(not p or ways[name](r) in p for name, p in picks.items())]

    for name in ("set", "layer", "kind"):  # said by as few choices as will do
        less = {**picked, name: set()}
        if passing(less) == passing(picked):
            picked = less
    regular = {r.key for r in held} == set(passing(picked))
    shown = []
    for name, all_values in values.items():
        if len(all_values) < 2 or (name == "set" and len(all_values) == len(values["kind"])):
            continue
        options = []
        for value in all_values:
            after = passing({**picked, name: picked[name] ^ {value}})
            options.append(
                Option(
                    name=value,
                    on=regular and value in picked[name],
                    there=spelled(after, records) if after else None,
                    count=sum(ways[name](r) == value for r in records),
                )
            )
        shown.append(Facet(name=name, options=tuple(options)))
    return tuple(shown)


def _order(record: SourceRecord) -> tuple[int, int, str]:
    return rank(record), record.layer, record.key.set_name
