"""Features that two models have in common: a feature's twins elsewhere, how many a source has, and which. HTML only.

Every match stands beside what chance gives, and beside the best single token of the other model's vocabulary: a twin
that is no better than those says little.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from components import links, paging
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, percent, tip, token
from components.search_panels import pill
from components.universal_view import PAGE, View
from core.atlas.universal.records import By, Match, MatchesRecord, PairRecord, UniversalRecord
from core.records import FeatureKey

ORDERS: dict[By, str] = {"value": "Correlation", "margin": "Above chance", "words": "Above a token", "index": "Index"}
LEAD = (
    "Both models read the same text. Each token’s value stands at each of its bytes, so that features of models with "
    "different tokenizers can be correlated; texts shifted against each other say what chance gives."
)
Lines = Mapping[FeatureKey, str]
"""What is said of features."""


def panel(matches: Sequence[Match], lines: Lines) -> Html:
    """A feature's best match in each source of other models, for a page about the feature."""
    if not matches:
        return Html("")
    rows = join(_twin(one, lines) for one in matches)
    every = link(links.universal(matches[0].of.source, matches[0].feature.source), "All of this source", "fs-soft")
    head = _head("in another model")
    table = f'<table class="fs-table fs-universal"><thead>{head}</thead><tbody>{rows}</tbody></table>'
    return card(table, word("Twins in other models", "universality"), every)


def _head(*names: str) -> Html:
    """The headings of a table of matches."""
    words = (
        ("correlation", "universal correlation", "n"), ("chance", "universal bound", "n fs-hide-narrow"),
        ("token", "universal token", "n"),
    )  # fmt: skip
    first = join(f"<th>{name}</th>" for name in names)
    rest = join(f'<th class="{cls}">{word(name, entry)}</th>' for name, entry, cls in words)
    return Html(f"<tr>{first}{rest}</tr>")


def failed(message: str) -> Html:
    """The same where what was kept cannot be read."""
    return card(f'<p class="fs-soft">{esc(message)}</p>', word("Twins in other models", "universality"))


def _twin(one: Match, lines: Lines) -> Html:
    return Html(
        f"<tr><td>{_feature(one.feature, lines, _sign(one))}</td>{_value(one)}"
        f'<td class="n fs-hide-narrow">{number(one.bound)}</td><td class="n">{_token(one)}</td></tr>'
    )


def _feature(key: FeatureKey, lines: Lines, sign: str = "") -> Html:
    said = lines.get(key, "")
    about = f'<div class="fs-soft fs-under">{esc(said)}</div>' if said else ""
    return Html(f"{link(links.feature(key), f'{key.source_id} · {key.index}', 'main')}{sign}{about}")


def _value(one: Match) -> Html:
    about = f"p = {one.p:.1e}: the share of best matches by chance that are at least as good"
    strong = "b" if one.universal else "span"
    return Html(f'<td class="n" {tip(about)}><{strong}>{number(one.value)}</{strong}></td>')


def _token(one: Match) -> Html:
    return Html(f'<span class="tok">{token(one.token)}</span> {number(one.token_value)}')


def _sign(one: Match) -> Html:
    """Whether it is more than chance, and mutual."""
    if not one.universal:
        return Html('<span class="fs-soft fs-fine">no more than chance</span>')
    return Html('<span class="fs-soft fs-fine">each other’s best</span>' if one.mutual else "")


# -- one source -------------------------------------------------------------------------------------------------------


def overview(records: Sequence[UniversalRecord]) -> Html:
    """What a source has in common with each other model."""
    if not records:
        return card(
            '<div class="fs-empty"><b>Nobody has compared this source with another model</b>'
            "<code>python -m core universal A B</code> does, for two models whose builds kept their activation stores "
            "and read the same texts.</div>"
        )
    return join(_model(one) for one in records)


def beside(records: Sequence[UniversalRecord]) -> Html:
    """The same in a line for each model, for the source's own page."""
    if not records:
        return Html("")
    lines = join(
        f'<p class="fs-soft">{percent(one.share)} of its features have a twin in {esc(one.model_id)}; by chance '
        f"{percent(one.expected)} would.</p>"
        for one in records
    )
    way = link(links.universal(records[0].key), "Which", "fs-soft")
    return card(lines, word("In other models", "universality"), way)


def _model(one: UniversalRecord) -> Html:
    facts = (
        f"{one.universal:,} of {one.compared:,} features ({percent(one.share)}) have a match in {esc(one.model_id)} "
        f"that is better than 99 of 100 by chance; in shifted texts {percent(one.expected)} do. {one.bytes:,} bytes of "
        f"{one.documents:,} documents, {one.draws} shifts."
    )
    heads = (
        ("source", "", ""), ("compared", "universal compared", "n fs-hide-narrow"), ("universal", "universality", "n"),
        ("by chance", "universal expected", "n fs-hide-narrow"), ("beyond a token", "universal token", "n"),
        ("mutual", "mutual best match", "n fs-hide-narrow"), ("median", "universal correlation", "n fs-hide-narrow"),
        ("of chance", "universal bound", "n fs-hide-narrow"),
    )  # fmt: skip
    head = join(f'<th class="{cls}">{word(name, entry) if entry else name}</th>' for name, entry, cls in heads)
    rows = []
    for pair in one.pairs:
        cells = (
            f"{pair.compared:,}", f"<b>{percent(pair.share)}</b>", percent(pair.expected),
            percent(_share(pair.better_than_token, pair)), percent(_share(pair.mutual, pair)), number(pair.median),
            number(pair.chance),
        )  # fmt: skip
        numbers = join(f'<td class="{cls}">{cell}</td>' for cell, (*_, cls) in zip(cells, heads[1:], strict=True))
        rows.append(
            f"<tr><td>{link(links.universal(pair.key, pair.other), str(pair.other), 'main')}</td>{numbers}</tr>"
        )
    table = f'<table class="fs-table"><thead><tr>{head}</tr></thead><tbody>{join(rows)}</tbody></table>'
    return card(f'<p class="fs-soft">{facts}</p>{table}', esc(f"In {one.model_id}"))


def _share(count: int, pair: PairRecord) -> float:
    return count / pair.compared if pair.compared else 0.0


# -- two sources ------------------------------------------------------------------------------------------------------


def distribution(pair: PairRecord) -> Html:
    """Best matches by correlation, before what chance gives; heights are logarithmic."""
    top = math.log1p(max(*pair.counts, *pair.chance_counts, 1))
    bins = len(pair.counts)
    bars = []
    for i, (count, chance) in enumerate(zip(pair.counts, pair.chance_counts, strict=True)):
        where = f"{i / bins:.3g} to {(i + 1) / bins:.3g}: {count:,} features; {chance:,.1f} in a shifted text"
        bars.append(
            f'<span {tip(where)}><i style="height:{math.log1p(count) / top * 100:.1f}%"></i>'
            f'<u style="height:{math.log1p(chance) / top * 100:.1f}%"></u></span>'
        )
    said = (
        f"Best correlations of {pair.compared:,} features, median {pair.median:.3f}; in shifted texts {pair.chance:.3f}"
    )
    legend = (
        '<div class="fs-legend"><span><i></i>best matches</span><span><u></u>the same in shifted texts</span>'
        "<span>logarithmic</span></div>"
    )
    return Html(
        f'<div class="fs-two-hist" role="img" aria-label="{esc(said)}">{"".join(bars)}</div>'
        f'<div class="fs-axis" aria-hidden="true"><span>0</span><span>correlation</span><span>1</span></div>{legend}'
    )


def numbers(pair: PairRecord) -> Html:
    """The figures of two sources in a row."""
    stats = (
        (percent(pair.share), word("universal", "universality")),
        (percent(pair.expected), word("by chance", "universal expected")),
        (percent(_share(pair.better_than_token, pair)), word("beyond a token", "universal token")),
        (percent(_share(pair.mutual, pair)), word("mutual", "mutual best match")),
        (number(pair.median), word("median correlation", "universal correlation")),
    )
    return Html(
        '<div class="fs-stats">' + join(f"<div><b>{value}</b>{label}</div>" for value, label in stats) + "</div>"
    )


def tools(view: View) -> Html:
    """Order and filters, each a link to another view."""
    orders = join(pill(view.to(by=by), name, on=view.by == by) for by, name in ORDERS.items())
    which = pill(view.to(mutual=not view.mutual), "each other’s best only", on=view.mutual) + pill(
        view.to(every=not view.every), "also those by chance", on=view.every
    )
    turn = pill(links.universal(view.other, view.source), "the other way round", on=False) if view.other else ""
    return Html(f'<div class="fs-pills fs-under-ask"><span class="fs-soft">Order</span>{orders}{which}{turn}</div>')


def table(view: View, record: MatchesRecord, lines: Lines) -> Html:
    """A page of matches with what is said of both."""
    if not record.matches:
        return Html('<div class="fs-empty"><b>No such match</b>Take a choice back above.</div>')
    head = _head("feature", "its best match")
    rows = join(
        f"<tr><td>{_feature(one.of, lines)}</td><td>{_feature(one.feature, lines, _sign(one))}</td>{_value(one)}"
        f'<td class="n fs-hide-narrow">{number(one.bound)}</td><td class="n">{_token(one)}</td></tr>'
        for one in record.matches
    )
    pages = -(-record.total // PAGE)
    foot = paging.turn(view.page, pages, lambda n: view.to(page=n), f"{record.total:,} matches")
    return Html(f'<table class="fs-table fs-universal"><thead>{head}</thead><tbody>{rows}</tbody></table>{foot}')


def also(view: View, kept: Sequence[UniversalRecord]) -> Html:
    """All sources that this one was compared with."""
    others = [pair.other for one in kept for pair in one.pairs]
    every = pill(links.universal(view.source), "All together", on=False)
    pills = join(pill(links.universal(view.source, o), str(o), on=o == view.other) for o in others)
    return Html(f'<div class="fs-pills fs-under-ask">{every}{pills}</div>')
