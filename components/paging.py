"""Pages of a list: which one a link names, the way to turn them, and what is said beneath. Pure functions to HTML."""

from __future__ import annotations

from collections.abc import Callable

from components.markup import Html, link

DIGITS = 9
"""Of a page's number in a link at most."""


def number(text: str) -> tuple[int, str]:
    """(the page that a link names, what is wrong with it); the first where it names none."""
    text = text.strip()
    if text.isascii() and text.isdecimal() and len(text) <= DIGITS and int(text):
        return int(text), ""
    wrong = f"“page” of the link is one of the whole numbers from 1 on; “{text[:60]}” is not. This is page 1."
    return 1, wrong if text else ""


def within(page: int, pages: int) -> tuple[int, str]:
    """(a page that there is, what is to be said of one beyond the last)."""
    if page <= max(1, pages):
        return page, ""
    there = "there is only one page" if pages <= 1 else f"the last is page {pages:,}"
    return max(1, pages), f"There is no page {page:,}: {there}, and this is it."


def turn(page: int, pages: int, to: Callable[[int], str], said: str = "") -> Html:
    """The row beneath a list; `to` gives a page's address, `said` stands before the page's number."""

    def step(there: int, text: str) -> str:
        if not 1 <= there <= pages:
            return f'<span class="fs-btn" aria-disabled="true">{text}</span>'
        return str(link(to(there), text, "fs-btn"))

    before = f"{said} · " if said else ""
    return Html(
        f'<nav class="fs-pages" aria-label="Pages"><span>{before}page {page:,} of {pages:,}</span>'
        f'<span class="fs-row">{step(page - 1, "← Previous")}{step(page + 1, "Next →")}</span></nav>'
    )


def foot(exact: bool) -> Html:
    """What is to be said of percentiles and surprises that are not counts over a whole store."""
    if exact:
        return Html("")
    return Html(
        '<p class="fs-soft fs-fine">These builds came without their activation store, so percentile and surprise lie '
        "between kept ranks: close, not exact.</p>"
    )
