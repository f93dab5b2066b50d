"""What a page is asked for: reads keys from the URL, says what is wrong with them, and what would do.

The only place that reads URL parameters. A page gets a frozen key or a message that is already drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import streamlit as st

from components import links, paging, resources, tables
from components.markup import Html, card, join, link, note
from core.errors import BadInput, WorkbenchError
from core.explain.play.records import KINDS, Kind, RoundKey
from core.records import FeatureKey, ModelRecord, ReleaseRecord, SourceKey, SourceRecord

T = TypeVar("T")
_EMBED = ("theme", *(f"embed{part}" for part in links.EMBED_PARTS))
EXAMPLES = 40
"""Texts of a link that are read at most; the workbench has its own bound."""


def say(message: str, actions: str = "") -> None:
    """Draw a message above the page."""
    st.html(note(message, actions=actions))


def draw(html: str) -> None:
    """Draw a part of the page, if there is anything of it."""
    if html:
        st.html(html)


def lost(error: WorkbenchError, near: FeatureKey | SourceKey | None = None) -> None:
    """A page for what is not here: what was wrong, and where to go."""
    here = near.source if isinstance(near, FeatureKey) else near
    st.html(
        '<h1 class="fs-title" style="margin-bottom:10px">There is no such page here</h1>'
        + note(str(error), actions=ways_out(here))
    )


def nothing() -> None:
    """The whole workbench is empty: how to begin."""
    st.html(
        card(
            '<div class="fs-empty"><b>Nothing has been built yet</b>Build a model’s sources with '
            "<code>python -m core build CONFIG</code>, then reload this page, or "
            '<a class="fs-act" href="/add">add one by page</a>.</div>'
        )
    )


def ways_out(near: SourceKey | None = None) -> Html:
    """Links that always lead somewhere."""
    out = [link("/", "Home", "fs-pill"), link(links.random_feature(near), "A random feature", "fs-pill")]
    if near:
        out.insert(1, link(links.source(near), f"All features of {near.source_id}", "fs-pill"))
    return join(out)


def first_source() -> SourceRecord | None:
    """What a page falls back to: the middle source of the first set that can be browsed, as pages arrange them."""
    found = tables.arranged(s for s in resources.workbench().sources() if "dashboards" in s.has)
    if not found:
        return None
    first = found[0].key
    same = [s for s in found if s.key.set_name == first.set_name and s.key.model_id == first.model_id]
    return same[len(same) // 2]


def feature_key() -> FeatureKey | None:
    """The feature that the URL names; `jump`, `random` and other forms of a link are put into the plain form."""
    asked, jump, random = (st.query_params.get(name, "").strip() for name in ("id", "jump", "random"))
    bench = resources.workbench()
    near = _near(st.query_params.get("near", ""))
    try:
        if jump:
            found = bench.resolve(jump, near=near)
            if isinstance(found, SourceKey):
                st.switch_page("source.py", query_params={"id": str(found)})
            _plain(found)
            return found
        if embedded() and not (asked or random):
            raise BadInput("The address of this embed names no feature. End it with id=<model>/<source>/<index>.")
        if random or not asked:
            key = bench.random_feature(None if random in ("", "any") else SourceKey.parse(random))
            _plain(key)
            if not random:
                say(
                    "The link names no feature, so this is one at random. "
                    "A link to a feature is /feature?id=<model>/<source>/<index>."
                )
            return key
        try:
            return FeatureKey.parse(asked)
        except WorkbenchError:
            found = bench.resolve(asked)
            if isinstance(found, SourceKey):
                st.switch_page("source.py", query_params={"id": str(found)})
            _plain(found)
            return found
    except WorkbenchError as error:
        if jump and near:  # a mistyped jump leaves the reader where they were
            say(str(error))
            back = near if isinstance(near, FeatureKey) else bench.random_feature(near)
            _plain(back)
            return back
        lost(error, near)
        return None


def _near(text: str) -> FeatureKey | SourceKey | None:
    for parse in (FeatureKey.parse, SourceKey.parse):
        try:
            return parse(text)
        except WorkbenchError:
            continue
    return None


def _plain(key: FeatureKey) -> None:
    """The URL in its plain form, so that a reload or a copied link gives the same page."""
    more = ("kept", "show", "view", "breaks", "sentence", "words", "order", "hypothesis")
    kept = {
        name: st.query_params.get_all(name)
        for name in (links.TEST_TEXT, *more, *_EMBED)
        if name in st.query_params
    }
    st.query_params.from_dict({"id": str(key), **kept})


def test_texts() -> tuple[str, ...]:
    """The texts that the link puts into the test box."""
    return tuple(st.query_params.get_all(links.TEST_TEXT)[:EXAMPLES])


def source_key(name: str = "id") -> SourceKey | None:
    """The source that the URL names, as `name`, or the first one with a message."""
    asked = st.query_params.get(name, "").strip()
    try:
        if asked:
            key = SourceKey.parse(asked)
            resources.workbench().source(key)
            return key
    except WorkbenchError as error:
        say(f"{error} Shown instead: {_first_name()}.")
    found = first_source()
    if found and not asked:
        st.query_params[name] = str(found.key)
    return found.key if found else nothing()


def _first_name() -> str:
    found = first_source()
    return str(found.key) if found else "nothing"


def choice(name: str, options: Sequence[str], default: str) -> str:
    """One of a few words from the URL; anything else falls back with a message."""
    value = st.query_params.get(name, default)
    if value in options:
        return value
    say(f"“{value}” is not a value of “{name}” in a link: {', '.join(options)} are. This shows “{default}”.")
    return default


def embedded() -> bool:
    """Whether the page is in somebody's frame: Streamlit keeps `embed=true` to itself, and says so here."""
    return bool(st.context.is_embedded)


def here(name: str) -> str:
    """The address of the page called `name` with what it is asked for now, outside of any frame."""
    pairs = [(key, value) for key in st.query_params for value in st.query_params.get_all(key)]
    return links.page(name, *pairs)


def shown() -> frozenset[str]:
    """The parts of an embedded page that its link does not switch off."""
    theme = st.query_params.get("theme", "light").lower()
    if theme not in ("light", "dark"):
        say(f"“{theme}” is not a value of “theme” in a link: light, dark are. This is as the reader’s system is.")
    return frozenset(p for p in links.EMBED_PARTS if choice(f"embed{p}", ("true", "false"), "true") == "true")


def page_number(pages: int) -> int:
    """Which page of a table, within what there is; says so if the link names another."""
    asked, wrong = paging.number(st.query_params.get("page", ""))
    page, beyond = paging.within(asked, pages)
    if wrong or beyond:
        say(wrong or beyond)
    return page


def attempt(job: Callable[[], T], near: SourceKey | None = None) -> T | None:
    """A record, or the workbench's message drawn where the page would be."""
    try:
        return job()
    except WorkbenchError as error:
        lost(error, near)
        return None


def kept() -> int:
    """How many of the link's first texts are pinned."""
    text = st.query_params.get("kept", "0")
    return int(text) if text.isdecimal() and len(text) < 4 else 0


def model() -> ModelRecord | None:
    """The model that the URL names, or the first one with a message."""
    bench = resources.workbench()
    asked = st.query_params.get("id", "").strip()
    try:
        if asked:
            return bench.model(asked)
    except WorkbenchError as error:
        say(str(error))
    return next(iter(bench.models()), None) or nothing()


def release() -> ReleaseRecord | None:
    """The release that the URL names, or the first one with a message."""
    bench = resources.workbench()
    asked = st.query_params.get("name", "").strip()
    try:
        if asked:
            return bench.release(asked)
    except WorkbenchError as error:
        say(str(error))
    return next(iter(bench.releases()), None) or nothing()


def source_set() -> tuple[SourceRecord, ...]:
    """The sources of the set that the URL names; of the first set, with a message, if there is none such."""
    bench = resources.workbench()
    model_id, name = (st.query_params.get(part, "").strip() for part in ("model", "set"))
    found = bench.sources(model_id=model_id or None, set_name=name) if name else ()
    if found:
        return tuple(s for s in found if s.key.model_id == found[0].key.model_id)
    every = tables.arranged(bench.sources())
    if not every:
        nothing()
    if name and every:
        sets = ", ".join(dict.fromkeys(f"{s.key.set_name} of {s.key.model_id}" for s in every))
        say(f"There is no source set “{name}”{f' of “{model_id}”' if model_id else ''} here. There is: {sets}.")
    return bench.sources(model_id=every[0].key.model_id, set_name=every[0].key.set_name) if every else ()


def suite() -> tuple[str, FeatureKey | None]:
    """(the test suite that the URL names, or the feature that a new one is to be of); neither, said, without them."""
    asked, feature = (st.query_params.get(name, "").strip() for name in ("id", "feature"))
    if asked:
        return asked, None
    if not feature:
        st.switch_page("suites.py")
    try:
        return "", FeatureKey.parse(feature)
    except WorkbenchError as error:
        lost(error)
        return "", None


@dataclass(frozen=True, slots=True)
class PlayAsk:
    """What the page of play is asked for: a round, one by chance, one of the day's, or none of them."""

    round: RoundKey | None = None
    seed: int | None = None
    daily: int | None = None
    kind: Kind | None = None
    campaign: str = ""
    view: str = ""

    def at(self, key: RoundKey) -> dict[str, str]:
        """The address of a round that was found by chance."""
        found = {"round": str(key), "kind": self.kind or "", "campaign": self.campaign, "view": self.view}
        return {name: value for name, value in found.items() if value}


def play() -> PlayAsk | None:
    """What the URL of the page of play asks for; None where it cannot be read, which is said."""
    asked, seed, daily = (st.query_params.get(name, "").strip() for name in ("round", "seed", "daily"))
    view = choice("view", ("", "simple", "advanced"), "")
    kind = st.query_params.get("kind", "")
    try:
        return PlayAsk(
            round=RoundKey.parse(asked) if asked else None,
            seed=int(seed) % 2**32 if seed.isascii() and seed.isdigit() and len(seed) < 12 else None,
            daily=int(daily) if daily.isascii() and daily.isdigit() and len(daily) < 3 else None,
            kind=next((one for one in KINDS if one == kind), None),
            campaign=st.query_params.get("campaign", ""),
            view="advanced" if view == "advanced" else "",
        )
    except WorkbenchError as error:
        lost(error)
        return None
