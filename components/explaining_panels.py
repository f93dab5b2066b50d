"""Explanations and what belongs to them as HTML: their meanings, who says so and how good it is, twins."""

from __future__ import annotations

from collections.abc import Sequence

from components.comment_panels import when, who
from components.markup import Html, esc, join, number, term
from components.resources import define
from core.community.alike import meanings
from core.explain.records import Explanation, Score

ORIGINS = {
    "data": "computed from the data", "model": "by a language model", "person": "by a person", "import": "imported",
}  # fmt: skip
MARKS = {
    "none": ("none of these fits", "None of the explanations above says what the examples have in common"),
    "mess": ("it is a mess", "The examples have nothing in common that words could say"),
    "several": ("more than one meaning", "The examples fall into groups that have nothing to do with one another"),
}
"""The marks of a feature: their labels, and what they mean."""


def text(explanation: str) -> Html:
    """An explanation, its meanings apart."""
    apart = '<span class="fs-soft"> | </span>'
    return join((f"<span>{esc(one)}</span>" for one in meanings(explanation)), apart)


def preview(said: str) -> Html:
    """What will be posted, as it will stand."""
    many = len(meanings(said))
    count = f"{many} meanings" if many > 1 else "one meaning"
    return Html(f'<div class="fs-preview" role="status"><span class="fs-soft">{count}</span><p>{text(said)}</p></div>')


def twins(same: Sequence[Explanation]) -> Html:
    """That somebody said the same."""
    said = join(
        f"<li>“{esc(one.text)}” <span class='fs-soft'>{esc(one.author_name or ORIGINS[one.origin])}</span></li>"
        for one in same
    )
    return Html(
        '<div class="fs-note" role="status">This was said in nearly the same words. A vote counts for more than a '
        f'twin.<ul class="fs-twins">{said}</ul></div>'
    )


def about(explanation: Explanation, unscored: str = "not scored yet") -> Html:
    """Author, method, when, votes and scores of an explanation; `unscored` says why it has none."""
    by = who(explanation.author_name) if explanation.author_name else esc(ORIGINS[explanation.origin])
    rows = [("Said", by), ("Method", term(explanation.method, define(f"method_{explanation.method}")))]
    if explanation.model:
        rows.append(("Model", esc(explanation.model)))
    if explanation.made:
        rows.append(("When", when(explanation.made)))
    rows.append(("Votes", esc(f"{explanation.up:,} for, {explanation.down:,} against")))
    rows += [(one.scorer.capitalize(), _score(one)) for one in explanation.scores]
    if not explanation.scores:
        rows.append(("Score", Html(f'<span class="fs-soft">{esc(unscored)}</span>')))
    facts = join(f"<dt>{esc(name)}</dt><dd>{value}</dd>" for name, value in rows)
    return Html(f'<dl class="fs-facts fs-small">{facts}</dl>')


def _score(one: Score) -> Html:
    judge = f" · judged by {esc(one.judge)}" if one.judge else ""
    control = "" if one.control is None else f" · another feature’s: {number(one.control)}"
    return Html(
        f"{number(one.value)} <span class='fs-soft'>({number(one.low)} to {number(one.high)}{control}{judge})</span>"
    )
