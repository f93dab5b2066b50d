"""The star of a feature or a list: a button with how many there are, and whose on hover."""

from __future__ import annotations

from typing import Literal

import streamlit as st

from components import people
from core.community.deeds import Deed
from core.community.records import Stars
from core.errors import WorkbenchError
from core.records import FeatureKey


def button(on: FeatureKey | str, found: Stars, back: str) -> None:
    """Draw it; `found` is what is known when the page is drawn, `back` the page's address."""
    _button(on, [found], back)


@st.fragment
def _button(on: FeatureKey | str, given: list[Stars], back: str) -> None:
    """`given` holds what the page found at its own run, and nothing when the fragment alone runs again."""
    scope: Literal["app", "fragment"] = "app" if given else "fragment"
    found = given.pop() if given else _now(on)
    if found is None:
        return
    label = ":material/star: " if found.mine else ":material/star_outline: "
    label += f"Starred · {found.count:,}" if found.mine else (f"Star · {found.count:,}" if found.count else "Star")
    if st.button(label, key=f"star-{on}", help=names(found) or None):
        kind = "unstar" if found.mine else "star"
        thing = "feature" if isinstance(on, FeatureKey) else "list"
        if people.do(Deed("unstar" if found.mine else "star", str(on)), back, for_what=f"{kind} this {thing}"):
            st.rerun(scope=scope)


def _now(on: FeatureKey | str) -> Stars | None:
    (found,) = people.gather(lambda them: them.stars.of(on))
    if isinstance(found, WorkbenchError):
        st.caption("Stars are away.")
        return None
    return found  # type: ignore[no-any-return]


def names(found: Stars) -> str:
    """Whose stars they are, for a tooltip; names have nothing in them that Markdown would read but “_”."""
    if not found.names:
        return ""
    said = ", ".join(name.replace("_", "\\_") for name in found.names)
    more = found.count - len(found.names)
    return f"Starred by {said}" + (f" and {more:,} more" if more > 0 else "")
