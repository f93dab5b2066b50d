"""A substitution scan as HTML: what is asked, and the heat map of a feature over the words of a slot.

Functions from a view and a record; draws nothing itself. A row is a word, a column a token of the sentence; the slot
is one column, coloured by the strongest of its tokens. Depth is the value as a part of the feature's own maximum.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from components import charts, circuit_view, feature_panels, links, source_panels
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, tip, visible
from components.search_panels import pill
from core.records import FeatureKey, FeatureRecord, Filling, SubstitutionRecord, Token

CIRCUIT = 40
"""Tokens of an example that go into the link to a prompt's circuit."""
Order = Literal["written", "slot", "sentence"]
ORDERS: dict[Order, str] = {"written": "As written", "slot": "At the word", "sentence": "Anywhere"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """One view of the page."""

    key: FeatureKey
    sentence: str = ""
    words: tuple[str, ...] = ()
    order: Order = "written"

    def to(self, order: Order) -> str:
        """The same in another order."""
        shown = "" if order == "written" else order
        return links.scan(self.key, self.sentence, ", ".join(self.words), shown)


def words_of(text: str) -> tuple[str, ...]:
    """The words of a list, with commas or line breaks between; each once."""
    return tuple(dict.fromkeys(part.strip() for part in re.split(r"[,\n]", text) if part.strip()))


def head(record: FeatureRecord) -> Html:
    """Which feature it is about, and the way to share it."""
    name = record.label or f"feature {record.key.index}"
    back = link(links.feature(record.key), "← The feature", "fs-btn")
    return Html(
        f'<div class="fs-head">{feature_panels.crumbs(record)}<div class="fs-actions">{back}{source_panels.COPY}</div>'
        f'</div><h1 class="fs-title" style="margin-top:12px">{esc(name)} <span class="fs-soft fs-after">'
        f"{word('substitution scan')}</span></h1>"
        '<p class="fs-lead">Fill one slot of a sentence with word after word, and see which of them the feature is for.'
        "</p>"
    )


def form(view: Scan, model_id: str, examples: Sequence[Mapping[str, str]]) -> Html:
    """The sentence with its slot, the words, and examples of both."""
    pills = join(
        f'<a class="fs-pill" href="{esc(links.scan(view.key, e["sentence"], e["words"]))}" '
        f'data-tip="{esc(e["sentence"] + chr(10) + e["words"])}">{esc(e["name"])}</a>'
        for e in examples
    )
    # a line break after the tag is the parser's, not the text's
    return Html(
        '<form data-go="/scan" class="fs-card fs-ask" role="search">'
        f'<input type="hidden" data-name="id" value="{esc(view.key)}">'
        '<div class="fs-scan-form"><div class="fs-field"><label for="fs-text">A sentence, with {} for the slot</label>'
        '<textarea id="fs-text" class="fs-in" data-name="sentence" data-whole="" rows="1" spellcheck="false" '
        f'data-warm="{esc(model_id)}" placeholder="She wore a {{}} silk dress.">\n{esc(view.sentence)}</textarea></div>'
        '<div class="fs-field"><label for="fs-words">Words, with commas between</label>'
        '<textarea id="fs-words" class="fs-in" data-name="words" rows="1" spellcheck="false" '
        f'placeholder="red, blue, green">\n{esc(", ".join(view.words))}</textarea></div>'
        '<button class="fs-btn p" type="submit">Scan</button></div>'
        f'<div class="fs-pills fs-under-ask"><span class="fs-soft">Examples</span>{pills}</div></form>'
    )


def heat(view: Scan, record: SubstitutionRecord, feature: FeatureRecord) -> Html:
    """The heat map: a row a word."""
    signed = feature.source.signed
    most = max((abs(v) for one in record.fillings for v in _counted(one)), default=0.0)
    own = max(feature.maximum, -feature.minimum) if signed else feature.maximum
    scale = own if own > 0 else most
    size = {"written": lambda one: 0.0, "slot": lambda one: one.at_slot, "sentence": lambda one: one.maximum}[
        view.order
    ]
    rows = sorted(record.fillings, key=lambda one: -abs(size(one)))
    before = max((len(_before(one)) for one in rows), default=0)
    after = max((len(_after(one)) for one in rows), default=0)
    body = join(_row(one, before, after, scale, signed=signed) for one in rows)
    orders = join(pill(view.to(name), label, on=view.order == name) for name, label in ORDERS.items())
    tools = (
        f'<div class="fs-pages fs-count"><span class="fs-facet"><span class="fs-soft">Order</span>'
        f'<span class="fs-pills" role="group" aria-label="Order of the words">{orders}</span></span>'
        f'<span class="fs-scale">{word("colour", "scan colour")} 0<i></i>{number(scale)}</span></div>'
    )
    table = (
        f'<div class="fs-wide"><table class="fs-heat{" signed" * signed}">'
        f"<thead>{_heads(rows[0], before, after)}</thead><tbody>{body}</tbody></table></div>"
    )
    none = (
        '<p class="fs-soft fs-fine" role="status">No token of any of them activates the feature.</p>'
        if not most
        else ""
    )
    said = [one.word for one in record.fillings]
    code = python(f"w.substitute({str(record.key)!r}, {record.sentence!r}, {said!r})")
    return card(f"{tools}{table}{none}{code}")


def python(code: str) -> Html:
    """The line that gets the same in a notebook, folded."""
    return Html(
        f'<details class="fs-more fs-python"><summary>In a notebook</summary><div class="fs-code">'
        f'<code>{esc(code)}</code><button class="fs-btn" type="button" data-copy="{esc(code)}">Copy</button></div>'
        "</details>"
    )


def _counted(one: Filling) -> list[float]:
    return [v for v, t in zip(one.values, one.tokens, strict=True) if not t.special]


def _before(one: Filling) -> list[int]:
    """Tokens before the slot; all of them if it is not known where that is."""
    first = one.slot[0] if one.slot else len(one.tokens)
    return [n for n, t in enumerate(one.tokens) if n < first and not t.special]


def _after(one: Filling) -> list[int]:
    last = one.slot[-1] if one.slot else len(one.tokens)
    return [n for n, t in enumerate(one.tokens) if n > last and not t.special]


def _heads(one: Filling, before: int, after: int) -> Html:
    def cells(places: Sequence[int], pad_first: int, pad_last: int) -> str:
        named = [f"<th>{_text(one.tokens[n])}</th>" for n in places]
        return join(["<th></th>"] * pad_first + named + ["<th></th>"] * pad_last)

    left, right = _before(one), _after(one)
    return Html(
        f'<tr><th class="n">{word("at the word", "value at the word")}</th>'
        f'<th class="n">{word("anywhere", "value anywhere")}</th>'
        f'{cells(left, 0, before - len(left))}<th class="slot">{{}}</th>{cells(right, after - len(right), 0)}</tr>'
    )


def _row(one: Filling, before: int, after: int, scale: float, *, signed: bool) -> Html:
    left, right = _before(one), _after(one)
    at = max(one.slot, key=lambda n: abs(one.values[n]) if signed else one.values[n], default=None)
    pad = "<td></td>"
    cells = [_cell(one, n, scale) for n in left] + [pad] * (before - len(left))
    cells.append(_cell(one, at, scale, said=one.word))
    cells += [pad] * (after - len(right)) + [_cell(one, n, scale) for n in right]
    where = "no token of it is active" if one.position is None else f"on {one.tokens[one.position].text!r}"
    return Html(
        f'<tr><td class="n">{number(one.at_slot)}</td><td class="n"><span {tip(where)}>{number(one.maximum)}</span>'
        f"</td>{join(cells)}</tr>"
    )


def _cell(one: Filling, n: int | None, scale: float, *, said: str = "") -> Html:
    """A token of a row; the slot's shows the word."""
    value = 0.0 if n is None else one.values[n]
    shown = visible(said) if said else ""
    pieces = " + ".join(repr(one.tokens[i].text) for i in one.slot) if said else repr(one.tokens[n or 0].text)
    share = f" · {abs(value) / scale * 100:.0f} % of the maximum" if scale > 0 and value else ""
    about = f"{one.word}: {pieces}\nvalue {number(value)}{share}"
    classes = "slot" * bool(said) + " on" * bool(value) + " neg" * (value < 0)
    classes += " m" * (n is not None and n == one.position)
    style = f' style="--v:{charts.depth(value, scale):.3f}"' if value else ""
    return Html(f'<td class="{classes.strip()}"{style} data-tip="{esc(about)}">{shown}</td>')


def _text(item: Token) -> Html:
    return visible(item.text.strip() or item.text) if item.text else Html("")


def way_in(record: FeatureRecord, text: str = "") -> Html:
    """Below the test box of a feature; `text` is what is tested, or the strongest example is taken."""
    circuit = circuit_view.of_feature(record.key, text or _strongest(record))
    return Html(
        f'<div class="fs-hint fs-way-in"><span>{link(links.scan(record.key), "Scan a slot", "fs-act")}: one sentence, '
        "one word of it replaced by many.</span>"
        f"<span>{link(links.steer(record.key), 'Steer with it', 'fs-act')}: what the model writes when it is pushed up "
        "or down.</span>"
        f"<span>{link(circuit, 'Take a prompt apart', 'fs-act')}: what it does to the output here, and which tokens "
        "drive it.</span></div>"
    )


def _strongest(record: FeatureRecord) -> str:
    """The strongest example up to its token, so that what comes next is what the feature may act on."""
    examples = (one for group in record.groups for one in group.examples)
    found = max(examples, key=lambda one: abs(one.value), default=None)
    if found is None:
        return ""
    tokens = found.tokens[max(0, found.position - CIRCUIT) : found.position + 1]
    return "".join(token.text for token in tokens if not token.special)


def empty() -> Html:
    """Before there is something to scan."""
    return card(
        '<div class="fs-empty"><b>Which word is it for?</b>Write a sentence with {} in it and some words, or click an '
        "example. Each word is a row; the deeper a cell, the stronger the feature on that token.</div>"
    )
