"""Small pieces of HTML as strings. Every text that comes from outside passes through `esc` here and nowhere else.

Pure functions: no Streamlit. A string of type `Html` is safe to put on a page; a plain `str` is not.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable
from typing import NewType

from core.records import FeatureRecord, Token

Html = NewType("Html", str)
KINDS = {"neurons": "neuron", "directions": "direction"}
"""What one feature of a source is called, where it is not called a feature."""


def esc(text: object) -> Html:
    """Text as data: safe between tags and in double-quoted attributes."""
    return Html(html.escape(str(text), quote=True))


def join(parts: Iterable[str], by: str = "") -> Html:
    """Pieces of HTML in a row."""
    return Html(by.join(parts))


def tip(text: str) -> Html:
    """Attributes that give an element a tooltip, by mouse, keyboard and touch."""
    return Html(f'data-tip="{esc(text)}" tabindex="0"')


def term(label: str, definition: str) -> Html:
    """A word with its definition one hover away."""
    if not definition:
        return Html(f'<span class="fs-soft">{esc(label)}</span>')
    return Html(f'<span class="fs-term" {tip(definition)}>{esc(label)}</span>')


def card(body: str, title: str = "", aside: str = "", *, extra: str = "") -> Html:
    """A white box with an optional heading; `title` and `aside` are HTML."""
    head = f"<h2><span>{title}</span><span>{aside}</span></h2>" if title or aside else ""
    return Html(f'<section class="fs-card {extra}">{head}{body}</section>')


def note(message: str, *, warn: bool = True, actions: str = "") -> Html:
    """A message to the reader, with what would do; `actions` is HTML."""
    more = f'<div class="fs-pills" style="margin-top:8px">{actions}</div>' if actions else ""
    return Html(f'<div class="fs-note {"warn" if warn else ""}" role="status">{esc(message)}{more}</div>')


def link(href: str, text: object, extra: str = "") -> Html:
    """A link of the app."""
    cls = f' class="{extra}"' if extra else ""
    return Html(f'<a href="{esc(href)}"{cls}>{esc(text)}</a>')


def stat(value: str, label: Html, *, code: bool = False) -> Html:
    """One number of a row of numbers; `value` is HTML."""
    return Html(f"<div><b{' class=code' if code else ''}>{value}</b>{label}</div>")


def visible(text: str) -> Html:
    r"""A token in a list: its spaces and line breaks shown as signs, and what cannot be seen as `\x07`."""
    if not text:
        return Html('<span class="fs-dot">∅</span>')
    signs = {" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍"}
    signs |= {c: c.encode("unicode_escape", "replace").decode() for c in text if c not in signs and not c.isprintable()}
    return join(f'<span class="fs-dot">{esc(signs[c])}</span>' if c in signs else esc(c) for c in text)


def token(item: Token) -> Html:
    """A vocabulary entry in a list: as text, or as its id where it ends inside a character."""
    if item.text:
        return visible(item.text)
    return Html(f'<span class="fs-dot">part of a character · id {item.id}</span>')


def title(record: FeatureRecord) -> str:
    """What a feature is called: its label, or what it is and its index."""
    return record.label or f"{KINDS.get(record.source.kind, 'feature').capitalize()} {record.key.index}"


def number(value: float, digits: int = 3) -> str:
    """A number as a reader wants it: significant digits, thousands apart, a true minus."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1000:
        text = f"{value:,.0f}"
    elif size >= 1:
        text = f"{value:.2f}"
    elif size >= 0.1:
        text = f"{value:.{digits}f}"
    elif size >= 0.001:
        text = f"{value:.{digits}g}"
    else:
        text = f"{value:.1e}"
    return text.replace("-", "−")


def percent(fraction: float) -> str:
    """A fraction as a percentage with three significant digits."""
    if fraction == 0:
        return "0 %"
    shown = fraction * 100
    if shown >= 0.001:
        return f"{shown:.3g} %"
    return f"{shown:.{1 - math.floor(math.log10(shown))}f} %"
