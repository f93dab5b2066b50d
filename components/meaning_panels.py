"""The parts of the page of search by meaning, each a function from a view and a record to HTML. Draws nothing itself.

Everything that can be chosen is a link to another view. Why an explanation was found stands beside it: the words that
it shares with the query are marked, and both numbers that the order is made of are shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from components import charts, links, paging, search_view, source_panels, ticks
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, percent, tip
from components.meaning_view import ALL, DENSITIES, PAGE, SCORES, View
from components.resources import define
from components.search_panels import pill, source_choice, waiting
from core.explain.records import MeaningHit, MeaningRecord
from core.records import FeatureKey, FeatureRecord, ModelRecord, SourceRecord

RANKS = {"both": "Both", "meaning": "Meaning", "words": "Words"}
ORIGINS = {"data": "Data", "model": "Models", "person": "People", "import": "Imports"}
WHO = {"data": "from the data", "model": "by a model", "person": "by a person", "import": "imported"}
EXAMPLES = ("colours", "family", "names of countries", "Python code", "war and soldiers", "numbers and dates", "music")
"""Queries to begin with."""
LEAD = "Say in your own words what a feature should be about; what has been said of all features is searched."
ASK = "What should a feature be about?"


# -- what is asked -----------------------------------------------------------------------------------------------------


def head(view: View) -> Html:
    """The page's title; once there is something to share, with the way to share it."""
    if not view.query:
        return source_panels.title("Find features by meaning", LEAD)
    return Html(
        '<div class="fs-head fs-one"><h1 class="fs-title">Find by meaning</h1>'
        f'<div class="fs-actions">{source_panels.COPY}</div></div>'
    )


def form(view: View, models: Sequence[ModelRecord]) -> Html:
    """The box for a query. A new query keeps the order and the filters."""
    kept = view.parameters() | {"q": "", "page": ""}
    which = ""
    if len(models) > 1:
        kept |= {"model": "", "sources": ""}
        options = join(
            f'<option value="{esc(m.model_id)}"{" selected" * (m.model_id == view.model_id)}>{esc(m.name)}</option>'
            for m in models
        )
        which = (
            '<select class="fs-in" data-name="model" aria-label="Model" style="width:auto">'
            f'<option value="{ALL}"{" selected" * view.every}>All models</option>{options}</select>'
        )
    hidden = join(f'<input type="hidden" data-name="{name}" value="{esc(v)}">' for name, v in kept.items() if v)
    about = "A sentence that a feature should fire on is for <a href='/search'><u>Search</u></a>"
    return Html(
        '<form data-go="/meaning" class="fs-card fs-ask fs-mean-ask" role="search">'
        f'<label class="fs-soft" for="fs-query">{ASK}</label>{_row(view.query, which)}{hidden}'
        f'<div class="fs-hint"><span>Enter finds · {word("words and meaning")} count</span><span>{about}</span></div>'
        f"{_begin(view) if view.query else ''}</form>"
    )


def _row(query: str, which: str = "") -> Html:
    return Html(
        '<div class="fs-ask-row"><input id="fs-query" class="fs-in" data-name="q" type="search" autocomplete="off" '
        f'spellcheck="false" maxlength="600" placeholder="colours" value="{esc(query)}">{which}'
        '<button class="fs-btn p" type="submit">Find</button></div>'
    )


def box() -> Html:
    """The same for the home page: a query, and some to begin with."""
    return Html(
        '<form data-go="/meaning" class="fs-ask fs-mean-ask" role="search">'
        f'<label class="fs-soft" for="fs-query">{LEAD}</label>{_row("")}{_begin(View())}</form>'
    )


def examples(view: View) -> Html:
    """Before the first query: some to begin with."""
    return Html(f'<h2 class="fs-h2">Or begin with one of these</h2>{_begin(view, label="")}')


def _begin(view: View, label: str = "Examples") -> Html:
    said = f'<span class="fs-soft">{label}</span>' if label else ""
    pills = join(f'<a class="fs-pill" href="{esc(view.to(query=text))}">{esc(text)}</a>' for text in EXAMPLES)
    return Html(f'<div class="fs-pills fs-under-ask">{said}{pills}</div>')


def tools(view: View, records: Sequence[SourceRecord]) -> Html:
    """Order and filters; `records` are the sources of the model, none where several are looked into."""
    ranks = join(
        pill(view.to(rank=rank), name, on=view.rank == rank, about=define(f"rank by {rank}"))
        for rank, name in RANKS.items()
    )
    origins = join(
        pill(view.to(origin=None if view.origin == one else one), name, on=view.origin == one)
        for one, name in ORIGINS.items()
    )
    rows = [
        ("Order by", ranks),
        (str(word("Density", "density")), _bounds(view, "densest", DENSITIES, "≤", percent)),
        (str(word("Score", "explanation score")), _bounds(view, "trusted", SCORES, "≥", lambda x: f"{x:g}")),
        ("From", origins),
    ]
    for name, held in (("method", view.method), ("author", view.author)):
        if held:
            drop = pill(view.to(**{name: ""}), f"{held} ✕", on=True, about="Click to drop this choice.")
            rows.append((name, drop))
    if view.sparsest:
        drop = pill(view.to(sparsest=0.0), f"≥ {percent(view.sparsest)} ✕", on=True, about="Click to drop this choice.")
        rows.append(("density", drop))
    facets = search_view.facets(records, view.sources)
    chosen = source_choice(view, records, facets) if records else ""  # type: ignore[arg-type]  # has what it asks for
    return Html(
        '<div class="fs-card fs-mean-tools"><div class="fs-tools-row">'
        + join(
            f'<span class="fs-facet"><span class="fs-soft">{name}</span><span class="fs-pills">{pills}</span></span>'
            for name, pills in rows
        )
        + f"</div>{chosen}</div>"
    )


def _bounds(view: View, name: str, offered: Sequence[float], sign: str, shown: object) -> Html:
    assert callable(shown)
    held = getattr(view, name)
    every = sorted({*offered, *([] if held is None else [held])}, reverse=sign == "≤")
    return join(
        pill(view.to(**{name: one}), "any" if one is None else f"{sign} {shown(one)}", on=held == one)
        for one in (None, *every)
    )


# -- what came of it ---------------------------------------------------------------------------------------------------


def busy(said: str, part: float | None) -> Html:
    """In the place of the results while they are looked for."""
    return waiting(said, part)


def failed(message: str, view: View) -> Html:
    """In the place of the results when there are none to be had."""
    ways = [("Try again", view.to(page=view.page))]
    if view.rank != "words":
        ways.append(("By words alone", view.to(rank="words")))
    return _none("The search could not be done", message, ways, alert=True)


def _none(title: str, said: str, ways: Sequence[tuple[str, str]], *, alert: bool = False) -> Html:
    pills = join(f'<a class="fs-pill" data-stay="" href="{esc(href)}">{esc(name)}</a>' for name, href in ways)
    role = ' role="alert"' if alert else ""
    return Html(
        f'<div class="fs-card"><div class="fs-empty"{role}><b>{esc(title)}</b>{esc(said)}'
        f'<div class="fs-pills fs-ways">{pills}</div></div></div>'
    )


def results(view: View, record: MeaningRecord, features: Mapping[FeatureKey, FeatureRecord]) -> Html:
    """A page of explanations as cards."""
    notes = join(f'<div class="fs-note warn" role="status">{esc(why)}</div>' for why in _notes(record))
    if not record.hits:
        return Html(f"{notes}{_nothing(view, record)}")
    first, last = record.offset + 1, record.offset + len(record.hits)
    order = {"both": "words and meaning", "meaning": "meaning", "words": "words"}[record.rank]
    looked = "1 source" if len(record.sources) == 1 else f"{len(record.sources)} sources"
    by = f" · {word('vectors', 'embedder')} by {esc(record.embedder)}" if record.embedder else ""
    count = (
        f'<div class="fs-pages fs-count" role="status"><span><b>{first:,} to {last:,}</b> of {record.total:,} '
        f"explanations in {looked}, by {order}</span><span>{by.removeprefix(' · ')}</span></div>"
    )
    seen: set[FeatureKey] = set()  # of a feature that was found by two explanations the first has the box
    cards = join(_hit(view, one, features.get(one.key), seen) for one in record.hits)
    turn = paging.turn(view.page, pages(record), lambda page: view.to(page=page))
    picked = ticks.chosen(view.picked, view.to(page=view.page, picked=()))
    return Html(f'{notes}{count}<div class="fs-hits">{cards}</div>{turn}{picked}')


def pages(record: MeaningRecord) -> int:
    """How many pages the results have."""
    return max(1, -(-record.total // PAGE))


def _notes(record: MeaningRecord) -> list[str]:
    cut = "The query is longer than the sentence model reads: what its end says is not looked for."
    return [*record.lacking, *([cut] if record.cut else [])]


def _nothing(view: View, record: MeaningRecord) -> Html:
    if not record.looked:
        said = (
            "No feature here has been explained yet. A build annotates its features; a model and people can add more."
        )
        ways = [("All features", "/source"), ("Search with a sentence", "/search")]
        return _none("There is nothing to search", said, ways)
    ways = []
    if view.rank == "words":
        ways.append(("By meaning too", view.to(rank="both")))
    if view.filtered:
        ways.append(("Without filters", View(query=view.query, model_id=view.model_id, rank=view.rank).to()))
    said = "No explanation has one of these words." if view.rank == "words" else "No explanation passes the filters."
    return _none("Nothing was found", said, ways or [("Another query", View().to())])


def _hit(view: View, hit: MeaningHit, record: FeatureRecord | None, seen: set[FeatureKey]) -> Html:
    href = esc(links.feature(hit.key))
    box = Html("") if view.every or hit.key in seen else ticks.tick(view, hit.key, hit.text)
    seen.add(hit.key)
    return Html(
        f'<article class="fs-card fs-hit fs-mean"><div class="fs-hit-head">{box}<a class="fs-hit-name" href="{href}">'
        f"{marked(hit.text, hit.matched)}</a>"
        f'<a class="fs-quiet" href="{href}" target="_blank" rel="noopener" data-tip="Open in a new tab" '
        f'aria-label="Open {esc(hit.key)} in a new tab">↗</a></div>'
        f'<div class="fs-hit-text"><div class="fs-mean-line"><span class="fs-where">{esc(_where(view, hit.key))}</span>'
        f"{_why(hit)}{_who(view, hit)}</div>{_strip(record)}</div>"
        f'<div class="fs-hit-nums">{_numbers(hit)}</div></article>'
    )


def _where(view: View, key: FeatureKey) -> str:
    return f"{'' if view.model_id else f'{key.model_id} · '}{key.source_id} · {key.index}"


def marked(text: str, words: Sequence[str]) -> Html:
    """A text with some of its words marked."""
    if not words:
        return esc(text)
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(re.escape(one) for one in words)})(?!\w)")
    parts, at = [], 0
    for found in pattern.finditer(text):
        parts += [esc(text[at : found.start()]), Html(f"<mark>{esc(found.group())}</mark>")]
        at = found.end()
    return join([*parts, esc(text[at:])])


def _why(hit: MeaningHit) -> Html:
    if hit.matched:
        said = ", ".join(f"“{one}”" for one in hit.matched[:4])
        about = "Words that the query and the explanation share."
        return Html(f'<span class="fs-own" {tip(about)}>has {esc(said)}</span>')
    about = "None of the query’s words stands in it: its meaning is near."
    return Html(f'<span class="fs-own" {tip(about)}>by its meaning</span>')


def _who(view: View, hit: MeaningHit) -> Html:
    """Who wrote it and how; leads to what else was written so."""
    how = hit.method if hit.method not in (hit.origin, "annotation") else ""
    said = " · ".join(part for part in (WHO[hit.origin], hit.model, how) if part)
    return Html(f'<span class="fs-soft">{link(view.to(origin=hit.origin, method=hit.method), said)}</span>')


def _strip(record: FeatureRecord | None) -> Html:
    group = source_panels.best(record) if record is not None else None
    if record is None or group is None or not group.examples:
        return Html("")
    return charts.example(group.examples[0], charts.scale(record), signed=record.source.signed, before=14, after=8)


def _numbers(hit: MeaningHit) -> Html:
    near = "–" if hit.similarity is None else number(hit.similarity)
    trust = "–" if hit.trust is None else f"{hit.trust:.2f}"
    scored = f"By {hit.scorer}" if hit.scorer else "Nobody has scored it yet"
    cells = [
        (near, "similarity", "Of its embedding with the query’s", hit.similarity is not None),
        (percent(hit.words), "words", "Of the query’s words, by weight", hit.words > 0),
        (trust, "explanation score", f"{scored}. {define(f'{hit.scorer} score') if hit.scorer else ''}".strip(), False),
        (percent(hit.density), "density", "Of tokens activate it", False),
    ]
    names = {"similarity": "similarity", "words": "words", "explanation score": "score", "density": "density"}
    return join(
        f"<div{' class=by' * by}><b {tip(about)}>{shown}</b>{word(names[name], _TERMS.get(name, name))}</div>"
        for shown, name, about, by in cells
    )


_TERMS = {"words": "shared words", "similarity": "meaning similarity"}
"""Where the glossary calls it otherwise."""


def download(view: View, only: str) -> Html:
    """The explanations as a file: of the one source that is looked into, or of a model; nothing of several models."""
    model = view.model_id or only
    if not model:
        return Html("")
    one = view.sources[0].source_id if len(view.sources) == 1 else ""
    pairs = [("modelId", model), *([("sourceId", one)] if one else []), ("format", "jsonl")]
    href = links.page("api/explanation/export", *pairs)
    about = f"All explanations of {one or model} with their scores, a line of JSON each"
    return Html(
        f'<p class="fs-soft fs-fine"><a class="fs-btn" href="{esc(href)}" download data-tip="{esc(about)}">'
        f"Download explanations</a> {esc(about)}.</p>"
    )


def offer(body: Html) -> Html:
    """The home page's card."""
    return card(body, "Find features by meaning")
