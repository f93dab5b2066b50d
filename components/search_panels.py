"""The parts of the search page, each a function from a view and a record to HTML. Draws nothing itself.

Everything that can be chosen is a link to another view, so that a view is its URL and every choice works by keyboard,
with the middle button and with Back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

from components import charts, circuit_view, links, paging, source_panels, ticks
from components.feature_panels import KINDS, rank, word
from components.markup import Html, card, esc, join, link, number, percent, tip, visible
from components.resources import define
from components.search_view import DENSITIES, PAGE, SORTS, Facet, Option, View
from core.records import LeftOut, ModelRecord, SearchHit, SearchRecord, SourceCount, SourceKey, SourceRecord, Token

NAMES = {"surprise": "surprise", "percentile": "percentile", "fraction": "fraction of maximum", "value": "value"}
"""What a measure is called; also its term in the glossary, but for the value's, which is “raw value”."""
LONG = 64
"""Tokens of a text that a hit draws whole; of a longer one it draws those around its strongest."""
BEFORE, AFTER = 34, 20
TABS = {"features": "Features", "token": "Token by token", "contrast": "Two texts", "picked": "Selected"}
"""What the page can show of a text."""
ASKS = {
    "features": "A sentence: which features does it activate?",
    "token": "A sentence: which features are strongest on each of its tokens?",
    "contrast": "Two texts: which features tell them apart?",
    "picked": "A sentence: what does it do to the features that you selected?",
}
BUTTONS = {
    "features": ("Search", "searches"), "token": ("Search", "searches"), "contrast": ("Compare", "compares"),
    "picked": ("Test", "tests"),
}  # fmt: skip
"""What the form's button says, and what Enter does."""
SCANNED = 600
"""Characters of a text at most that goes into the link to a scan."""
WAITING = 4
"""Empty cards that stand for the hits while they are looked for."""


def _define(measure: str) -> str:
    return define("raw value" if measure == "value" else NAMES[measure])


# -- what is asked -----------------------------------------------------------------------------------------------------


def head(view: View) -> Html:
    """The page's title; once there is something to share, with the way to share it."""
    tabs = join(
        f'<a href="{esc(view.to(shown=shown, against=view.against if shown == "contrast" else ""))}"'
        f'{" aria-current=page" * (view.shown == shown)} data-stay="" data-tip="{esc(ASKS[shown])}">{name}'
        f"{f' <b>{len(view.picked)}</b>' * (shown == 'picked' and bool(view.picked))}</a>"
        for shown, name in TABS.items()
        if shown != "picked" or view.picked or view.shown == shown
    )
    row = f'<nav class="fs-tabs" aria-label="What is shown">{tabs}</nav>'
    if not view.text:
        lead = "See which features a sentence activates, on which of its words, and how unusual that is."
        return Html(f"{source_panels.title('Search', lead)}{row}")
    return Html(
        '<div class="fs-head fs-one"><h1 class="fs-title">Search</h1>'
        f'<div class="fs-actions">{source_panels.COPY}</div></div>{row}'
    )


def form(view: View, models: Sequence[ModelRecord], prompts: Mapping[str, Sequence[str]]) -> Html:
    """The box for a text. A new text keeps the order, the sources and the bounds, and begins with all of its tokens.

    Sources and picked features are the model's: they go along only if that stays the chosen one.
    """
    two = view.shown == "contrast"
    kept = view.parameters() | {"text": "", "against": "", "tokens": "", "page": "", "combine": ""}
    kept |= {"view": "contrast"} if two else {}
    if len(models) > 1:
        kept["model"] = ""
    own = {name: Html(f' data-model="{esc(view.model_id)}"') for name in ("sources", "source", "picked")}
    hidden = join(
        f'<input type="hidden" data-name="{esc(name)}" value="{esc(value)}"{own.get(name, "")}>'
        for name, value in kept.items()
        if value
    )
    which = ""
    if len(models) > 1:
        options = join(
            f'<option value="{esc(m.model_id)}"{" selected" * (m.model_id == view.model_id)}>{esc(m.name)}</option>'
            for m in models
        )
        which = f'<select class="fs-in" data-name="model" aria-label="Model" style="width:auto">{options}</select>'
    name = next((m.name for m in models if m.model_id == view.model_id), view.model_id)
    press, enter = BUTTONS[view.shown]
    button = f'{which}<button class="fs-btn p" type="submit">{press}</button>'
    rows = [_box(view, "text", "My mother and her father were born in France.")]
    if two:
        rows.append(_box(view, "against", "My father and his mother were born in France."))
    boxes = join(
        f'<div class="fs-ask-row">{box}{button if n == len(rows) else ""}</div>' for n, box in enumerate(rows, 1)
    )
    return Html(
        '<form data-go="/search" class="fs-card fs-ask" role="search">'
        f'<label class="fs-soft" for="fs-text">{ASKS[view.shown]}</label>{boxes}{hidden}'
        f'<div class="fs-hint"><span>Enter {enter} · Shift+Enter starts a line · read by {esc(name)}</span></div>'
        f"{_folded_examples(view, prompts) if view.text and not two else ''}</form>"
    )


def _box(view: View, name: str, placeholder: str) -> Html:
    label = ' aria-label="The second text"' if name == "against" else ""
    text = view.against if name == "against" else view.text
    # a line break after the tag is the parser's, not the text's: without it a text that begins with one would lose it
    return Html(
        f'<textarea id="fs-{name}" class="fs-in" data-name="{name}" data-whole="" rows="1" spellcheck="false" '
        f'data-warm="{esc(view.model_id)}" placeholder="{esc(placeholder)}"{label}>\n{esc(text)}</textarea>'
    )


def examples(view: View, prompts: Mapping[str, Sequence[str]]) -> Html:
    """Before the first search: sentences to begin with, one click each."""
    blocks = join(
        f'<section class="fs-card"><h2><span>{esc(category)}</span></h2><div class="fs-sayings">'
        + join(f'<a class="fs-saying" href="{esc(view.to(text=text, tokens=()))}">{esc(text)}</a>' for text in texts)
        + "</div></section>"
        for category, texts in prompts.items()
    )
    return Html(f'<h2 class="fs-h2">Or begin with one of these</h2><div class="fs-three">{blocks}</div>')


def _folded_examples(view: View, prompts: Mapping[str, Sequence[str]]) -> Html:
    pills = join(
        f'<a class="fs-pill" href="{esc(view.to(text=texts[0], tokens=()))}" data-tip="{esc(texts[0])}">'
        f"{esc(category)}</a>"
        for category, texts in prompts.items()
        if texts
    )
    return Html(f'<div class="fs-pills fs-under-ask"><span class="fs-soft">Examples</span>{pills}</div>')


def asked(view: View, text: Sequence[Token], records: Sequence[SourceRecord], facets: Sequence[Facet]) -> Html:
    """Where the search looks: the text as a strip whose tokens can be chosen, and the sources."""
    chosen = _chosen(view)
    return card(
        f"{token_choice(view, text)}{chosen}{source_choice(view, records, facets)}",
        length(text),
        bos_choice(view, text),
    )


def length(text: Sequence[Token]) -> Html:
    """How many tokens a text has."""
    counted = sum(not t.special for t in text)
    return word(f"{counted:,} {'token' if counted == 1 else 'tokens'}", "token")


def token_choice(view: View, text: Sequence[Token]) -> Html:
    """The text as a strip whose tokens can be chosen."""
    boxes = []
    for n, item in enumerate(text):
        if item.special and not view.bos:
            continue
        there = tuple(sorted(set(view.tokens) ^ {n}))
        split = item.partial and not item.text
        said = "" if split else str(esc(item.text)).replace("\n", '<span class="nl">↵</span> ')
        name = "part of a character" if split else repr(item.text)
        about = f"{name}\nposition {n} · token id {item.id}"
        boxes.append(
            f'<a class="t{" p" * split}{" s" * item.special}" id="token-{n}" role="button" '
            f'aria-pressed="{_bool(n in view.tokens)}" aria-label="{esc(f"token {n}: {item.text or name}")}" '
            f'tabindex="{-1 if boxes else 0}" data-stay="" data-toggle="tokens:{n}" '
            f'href="{esc(view.to(tokens=there))}" data-tip="{esc(about)}">{said}</a>'
        )
    return Html(
        '<div class="fs-strip fs-choose" role="group" aria-label="Tokens of the text: arrow keys walk, Enter chooses" '
        f'data-walk="">{join(boxes)}</div>'
    )


def _chosen(view: View) -> Html:
    """What the search looks at, in words, and what can be done about it."""
    count = len(view.tokens)
    parts = [f"<span>{f'{count} chosen' if count else 'All tokens. Click to choose.'}</span>"]
    if count != 1:
        ways = [("max", "Strongest", "strongest"), ("sum", "Sum", "sum")]
        pills = join(
            pill(view.to(combine=way), name, on=view.combine == way, about=define(entry)) for way, name, entry in ways
        )
        parts.append(f'<span class="fs-pills" role="group" aria-label="How tokens are combined">{pills}</span>')
    if count:
        parts.append(f'<a class="fs-pill" data-stay="" href="{esc(view.to(tokens=(), combine="max"))}">All tokens</a>')
    return Html(f'<div class="fs-hint fs-chosen">{join(parts)}</div>')


def bos_choice(view: View, text: Sequence[Token]) -> Html:
    """Whether BOS is looked at, and the way to change it."""
    if not any(t.special for t in text):
        return Html("")
    other = view.to(bos=not view.bos, tokens=tuple(n for n in view.tokens if not text[n].special))
    said = "BOS is looked at too" if view.bos else "BOS is left out"
    act = "leave it out" if view.bos else "include it"
    return Html(
        f'{word(said, "bos")} · <a class="fs-act" data-stay="" href="{esc(other)}" style="font-weight:400">{act}</a>'
    )


def source_choice(view: View, records: Sequence[SourceRecord], facets: Sequence[Facet]) -> Html:
    """Which sources are looked into: by kind, set and layer, or one by one."""
    if len(records) < 2:
        return Html("")
    rows = []
    for facet in facets:
        pills = join(_option(view, facet, option) for option in facet.options)
        rows.append(
            f'<span class="fs-facet"><span class="fs-soft">{esc(facet.name)}</span>'
            f'<span class="fs-pills" role="group" aria-label="{esc(facet.name)}">{pills}</span></span>'
        )
    held = {key for key in view.sources} or {r.key for r in records}
    each = join(_one(view, record.key, held, len(records)) for record in records)
    count = f"{len(held)} of {len(records)} sources"
    every = f'<a class="fs-pill" data-stay="" href="{esc(view.to(sources=()))}">All sources</a>' if view.sources else ""
    return Html(
        f'<div class="fs-facets">{join(rows)}<details class="fs-more fs-each"><summary>{count}</summary>'
        f'<div class="fs-pills">{each}</div></details>{every}</div>'
    )


def _option(view: View, facet: Facet, option: Option) -> Html:
    if option.there is None:
        return Html(f'<span class="fs-pill off" aria-disabled="true">{esc(option.name)}</span>')
    many = "1 source" if option.count == 1 else f"{option.count} sources"
    about = f"{facet.name} {option.name}: {many}. " + (
        "Click to drop this choice." if option.on else "Click to choose."
    )
    return pill(view.to(sources=option.there), option.name, on=option.on, about=about)


def _one(view: View, key: SourceKey, held: set[SourceKey], of: int) -> Html:
    after = held ^ {key}
    there = () if len(after) in (0, of) else tuple(sorted(after))
    return pill(view.to(sources=there), key.source_id, on=bool(view.sources) and key in held)


def _bool(value: bool) -> str:
    return "true" if value else "false"


def pill(href: str, text: str, *, on: bool, about: str = "") -> Html:
    """A choice that is a link."""
    more = f' data-tip="{esc(about)}"' if about else ""
    return Html(
        f'<a class="fs-pill{" on" * on}" data-stay="" role="button" aria-pressed="{_bool(on)}" href="{esc(href)}"'
        f"{more}>{esc(text)}</a>"
    )


def toolbar(view: View) -> Html:
    """Order, density and grouping of the hits."""
    order = join(
        pill(view.to(sort=sort), NAMES[sort].capitalize(), on=view.sort == sort, about=_define(sort)) for sort in SORTS
    )
    bounds = sorted({*DENSITIES, *([] if view.densest is None else [view.densest])}, reverse=True)
    dense = join(
        pill(
            view.to(densest=bound),
            "any" if bound is None else f"≤ {percent(bound)}",
            on=view.densest == bound,
            about="Features of any density"
            if bound is None
            else f"Leave out features active on more than {percent(bound)} of tokens",
        )
        for bound in (None, *bounds)
    )
    order_row = (str(word("Sort by", "difference")) if view.shown == "contrast" else "Sort by", order)
    density_row = (str(word("Density", "density")), dense)
    if view.shown != "features":
        return _tools([order_row, density_row] if view.shown == "contrast" else [density_row])
    groups = join(
        pill(view.to(group=group, page=view.page), name, on=view.group == group)
        for group, name in (("list", "One list"), ("token", "By token"))
    )
    return _tools([order_row, density_row, ("Show", groups)])


def _tools(rows: Sequence[tuple[str, str]]) -> Html:
    return Html(
        '<div class="fs-card fs-tools">'
        + join(
            f'<span class="fs-facet"><span class="fs-soft">{name}</span><span class="fs-pills">{pills}</span></span>'
            for name, pills in rows
        )
        + "</div>"
    )


# -- what came of it ---------------------------------------------------------------------------------------------------


def waiting(said: str, part: float | None = None) -> Html:
    """In the place of the hits while they are looked for; `part` of the work is done."""
    ghost = '<div class="fs-card fs-hit fs-ghost" aria-hidden="true"><i></i><i></i><i></i></div>'
    return Html(
        f'<div class="fs-pages fs-count" role="status"><span class="fs-wait">{esc(said)}</span>{_slim(part)}</div>'
        f'<div class="fs-hits">{ghost * WAITING}</div>'
    )


def _slim(part: float | None) -> str:
    """How much is done, beneath the line that says so: it takes no room."""
    if part is None:
        return ""
    percent = round(100 * part)
    return (
        f'<i class="fs-slim" role="progressbar" aria-label="done" aria-valuenow="{percent}" '
        f'style="width:{percent}%"></i>'
    )


def failed(message: str, view: View) -> Html:
    """In the place of the hits when there are none to be had."""
    ways = [("Try again", view.to(page=view.page))]
    if view.sources:
        ways.append(("All sources", view.to(sources=())))
    pills = join(f'<a class="fs-pill" data-stay="" href="{esc(href)}">{name}</a>' for name, href in ways)
    return Html(
        f'<div class="fs-card"><div class="fs-empty" role="alert"><b>The search could not be done</b>{esc(message)}'
        f'<div class="fs-pills fs-ways">{pills}</div></div></div>'
    )


def hits(view: View, record: SearchRecord, records: Mapping[SourceKey, SourceRecord]) -> Html:
    """A page of hits as cards."""
    if not record.hits:
        return _none(view)
    signed = {key: source.signed for key, source in records.items()}

    def draw(hit: SearchHit) -> Html:
        return _hit(view, hit, record.tokens, signed=signed.get(hit.key.source, False))

    if view.group == "token":
        ordered = sorted(record.hits, key=lambda h: h.position)  # stable: best first on each token
        body = ""
        for position, its in groupby(ordered, key=lambda h: h.position):
            its = list(its)
            item = record.tokens[position]
            here = "" if view.tokens == (position,) else link(view.to(tokens=(position,)), "only this token", "fs-act")
            body += (
                f'<h2 class="fs-h2 fs-by"><span><span class="fs-tok">{visible(item.text)}</span> '
                f"{len(its)} of these {len(record.hits)}</span><span>{here}</span></h2>"
                f'<div class="fs-hits">{join(map(draw, its))}</div>'
            )
    else:
        body = f'<div class="fs-hits">{join(map(draw, record.hits))}</div>'
    turn = paging.turn(view.page, pages(record), lambda page: view.to(page=page))
    return Html(
        f"{_count(view, record)}{left_out(record.left_out)}{body}{turn}{paging.foot(record.exact)}{ticks.bar(view)}"
    )


def pages(record: SearchRecord) -> int:
    """How many pages its hits have."""
    return max(1, -(-record.total // PAGE))


def left_out(sources: Sequence[LeftOut]) -> Html:
    """Sources that could not be looked into, and why."""
    if not sources:
        return Html("")
    names = ", ".join(one.key.source_id for one in sources)
    said = "is left out: it cannot be read" if len(sources) == 1 else "are left out: they cannot be read"
    why = join(f"<li><b>{esc(one.key.source_id)}</b> {esc(one.why)}</li>" for one in sources)
    return Html(
        f'<details class="fs-note warn fs-left-out" role="status"><summary>{esc(names)} {said}</summary><ul>{why}</ul>'
        "</details>"
    )


def _none(view: View) -> Html:
    ways = []
    if view.densest is not None:
        ways.append((view.to(densest=None), "Features of any density"))
    if view.tokens:
        ways.append((view.to(tokens=(), combine="max"), "All tokens"))
    if view.sources:
        ways.append((view.to(sources=()), "All sources"))
    said = "Look in more places:" if ways else "Try another sentence."
    pills = join(f'<a class="fs-pill" data-stay="" href="{esc(href)}">{esc(name)}</a>' for href, name in ways)
    return Html(
        '<div class="fs-card"><div class="fs-empty"><b>No feature is active here</b>'
        f'{said}<div class="fs-pills fs-ways">{pills}</div></div></div>'
    )


def _count(view: View, record: SearchRecord) -> Html:
    first = record.offset + 1
    last = record.offset + len(record.hits)
    looked = len(record.sources)
    places = "1 source" if looked == 1 else f"{looked} sources"
    return Html(
        f'<div class="fs-pages fs-count" role="status"><span><b>{first:,} to {last:,}</b> of {record.total:,} active '
        f"features in {places}, by {word(NAMES[view.sort], 'raw value' if view.sort == 'value' else NAMES[view.sort])}"
        f'</span><span class="fs-scale">{word("colour", "hit colour")} 0<i></i>its own maximum</span></div>'
    )


def scale(hit: SearchHit) -> float:
    """The value of full depth: the feature's largest on the build's texts; the largest here if it has none."""
    return abs(hit.maximum) / hit.fraction if hit.fraction > 0 else max(map(abs, hit.values), default=0.0)


def rarity(surprise: float) -> str:
    """What a surprise means, in tokens."""
    one = round(10 ** min(surprise, 12))
    one = round(one, 2 - len(str(one)))  # two digits: it is an estimate beyond the build's own tokens
    return f"As strong on about 1 in {one:,} of the build’s tokens"


def _hit(view: View, hit: SearchHit, text: Sequence[Token], *, signed: bool) -> Html:
    href = esc(links.feature(hit.key, view.text))
    kind = "neuron" if signed else "feature"
    name = esc(hit.label) if hit.label else Html(f"{kind.capitalize()} {hit.key.index}")
    cut = {"before": BEFORE, "after": AFTER} if len(text) > LONG else {}
    strip = charts.strip(
        text, hit.values, scale(hit), position=hit.position, signed=signed, special=view.bos, tips=True, **cut
    )
    if hit.dfa is not None:
        strip = Html(f"{strip}{charts.sources(text, hit.dfa, before=BEFORE if cut else None)}")
    strip = charts.covered(strip, text)
    reach = scale(hit) if hit.fraction > 0 else 0.0
    numbers = {
        "surprise": (f"{hit.surprise:.2f}", rarity(hit.surprise)),
        "percentile": (percent(hit.percentile), "Of its active tokens, the share on which it is weaker"),
        "fraction": (percent(hit.fraction), f"{number(hit.maximum)} of {number(reach)}"),
        "value": (number(hit.maximum), f"At token {hit.position}, {text[hit.position].text!r}"),
    }
    short = {"fraction": "of maximum"}
    summed = view.combine == "sum" and len(view.tokens) != 1
    cells = join(
        f"<div{' class=by' * (sort == view.sort and not summed)}><b {tip(about)}>{shown}</b>"
        f"{word(short.get(sort, sort), 'raw value' if sort == 'value' else NAMES[sort])}</div>"
        for sort, (shown, about) in numbers.items()
    )
    if summed:
        tokens = f"the {len(view.tokens)} chosen tokens" if view.tokens else "all tokens"
        over = f"Of {NAMES[view.sort]}, over {tokens}"
        cells = Html(f'<div class="by"><b {tip(over)}>{number(hit.score)}</b>{word("sum")}</div>{cells}')
    own = f'<span class="fs-own" {tip(define("named by its token"))}>named by its token</span>' if hit.own else ""
    promotes = f"<span>{word('promotes')} {esc(hit.promotes)}</span>" if hit.promotes else ""
    facts = f'<div class="fs-about"><span>{word("density")} {percent(hit.density)}</span>{promotes}</div>'
    box = ticks.tick(view, hit.key, hit.label or kind)
    return Html(
        f'<article class="fs-card fs-hit"><div class="fs-hit-head">{box}<a class="fs-hit-name" href="{href}">{name}</a>'
        f'<a class="fs-quiet" href="{href}" target="_blank" rel="noopener" data-tip="Open in a new tab" '
        f'aria-label="Open {esc(hit.key)} in a new tab">↗</a>{_scan(view, hit, text)}{_circuit(view, hit)}'
        f'<span class="fs-where">{esc(hit.key.source_id)} · {hit.key.index}</span>{own}</div>'
        f'<div class="fs-hit-text">{strip}{facts}</div><div class="fs-hit-nums">{cells}</div></article>'
    )


def _circuit(view: View, hit: SearchHit) -> Html:
    """The way to what the hit does to what the model says next, and to the tokens that drive it."""
    if len(view.text) > SCANNED:
        return Html("")
    there = circuit_view.of_feature(hit.key, view.text, hit.position)
    about = "What it does to the output, and which tokens drive it"
    return Html(f'<a class="fs-quiet" href="{esc(there)}" data-tip="{about}" aria-label="{about}">⎇</a>')


def _scan(view: View, hit: SearchHit, text: Sequence[Token]) -> Html:
    """The way to other words in the place of the one on which the hit is strongest."""
    pieces = [("" if t.special else t.text) for t in text]
    spoken = pieces[hit.position].strip()
    if spoken:
        pieces[hit.position] = pieces[hit.position].replace(spoken, "{}")
    sentence = "".join(pieces)
    if not spoken or "," in spoken or sentence.count("{}") != 1 or len(sentence) > SCANNED:
        sentence = spoken = ""
    about = f"Other words in the place of “{spoken}”" if spoken else "One slot of a sentence, filled with many words"
    return Html(
        f'<a class="fs-quiet" href="{esc(links.scan(hit.key, sentence, spoken))}" data-tip="{esc(about)}" '
        f'aria-label="Scan {esc(hit.key)}: {esc(about)}">⇄</a>'
    )


# -- beside it ---------------------------------------------------------------------------------------------------------


def side(view: View, records: Sequence[SourceRecord], record: SearchRecord | None) -> Html:
    """Where the hits are, by layer, and how many are named by their token. As tall without a record as with one."""
    counts = {count.key: count for count in record.sources} if record else None
    gone = {one.key: one.why for one in record.left_out} if record else {}
    return Html(
        '<div class="fs-stack">'
        + card(_layers(view, records, counts or {}), word("Best hits, by layer", "hits by layer"), _best(counts or {}))
        + card(_own(view, records, counts, gone), word("Named by their token", "named by its token"))
        + "</div>"
    )


def _best(counts: Mapping[SourceKey, SourceCount]) -> str:
    total = sum(count.among for count in counts.values())
    return f"the first {total}" if total else ""


def _layers(view: View, records: Sequence[SourceRecord], counts: Mapping[SourceKey, SourceCount]) -> Html:
    most = max((sum(_among(its, counts)) for _, its in _by_layer(records)), default=0) or 1
    rows, kinds = [], {}
    for layer, its in _by_layer(records):
        bars, told = "", []
        for dense in (False, True):
            here = [r for r in its if (r.kind in ("neurons", "directions")) == dense]
            among = sum(_among(here, counts))
            if here:
                kinds[dense] = KINDS[here[0].kind]
            if among:
                bars += f'<i class="{"dense" if dense else ""}" style="width:{among / most * 100:.1f}%"></i>'
            for r in here:
                if r.key in counts:
                    told.append(
                        f"{r.key.source_id}: {counts[r.key].among} of the first hits · "
                        f"{counts[r.key].active:,} of {r.width:,} active"
                    )
        total = sum(_among(its, counts))
        about = "\n".join(told) or "not looked into"
        rows.append(
            f'<a class="fs-layer" data-stay="" href="{esc(view.to(sources=tuple(r.key for r in its)))}" '
            f'data-tip="{esc(about)}"><span>layer {layer}</span><span class="bar">{bars}</span>'
            f"<span>{total if counts else ''}</span></a>"
        )
    legend = ""
    if len(kinds) > 1:
        legend = '<div class="fs-legend">' + join(
            f'<span><i class="{"dense" if dense else ""}"></i>{esc(name)}</span>' for dense, name in kinds.items()
        )
        legend += "</div>"
    return Html(f'<div class="fs-layers">{join(rows)}</div>{legend}')


def _by_layer(records: Sequence[SourceRecord]) -> list[tuple[int, list[SourceRecord]]]:
    ordered = sorted(records, key=lambda r: r.layer)
    return [(layer, list(its)) for layer, its in groupby(ordered, key=lambda r: r.layer)]


def _among(records: Sequence[SourceRecord], counts: Mapping[SourceKey, SourceCount]) -> list[int]:
    return [counts[r.key].among for r in records if r.key in counts]


def _own(
    view: View,
    records: Sequence[SourceRecord],
    counts: Mapping[SourceKey, SourceCount] | None,
    gone: Mapping[SourceKey, str],
) -> Html:
    """Layer by set: of a source's best hits, those named by the token they are strongest on."""
    arranged = sorted(records, key=lambda r: (rank(r), r.key.set_name))
    columns = list(dict.fromkeys((r.key.set_name, r.kind) for r in arranged))
    head = join(f'<th class="n" data-tip="{esc(KINDS[kind])}">{esc(name)}</th>' for name, kind in columns)
    body = ""
    for layer, its in _by_layer(records):
        cells = ""
        for name, kind in columns:
            here = [r.key for r in its if (r.key.set_name, r.kind) == (name, kind)]
            cells += f'<td class="n">{join((_cell(view, key, counts, gone) for key in here), "<br>")}</td>'
        body += f'<tr><th scope="row">layer {layer}</th>{cells}</tr>'
    return Html(
        f'<div class="fs-wide"><table class="fs-table fs-owns"><thead><tr><th></th>{head}</tr></thead>'
        f'<tbody>{body}</tbody></table></div><p class="fs-soft fs-fine">Of each source’s 25 best hits. A number leads '
        "to them.</p>"
    )


def _cell(
    view: View, key: SourceKey, counts: Mapping[SourceKey, SourceCount] | None, gone: Mapping[SourceKey, str]
) -> Html:
    if key in gone:
        return Html(f'<span class="fs-own-cell" {tip(f"{key.source_id} cannot be read. {gone[key]}")}>✕</span>')
    if counts is None:
        return Html('<span class="fs-own-cell">…</span>')
    href = esc(view.to(sources=(key,)))
    count = counts.get(key)
    if count is None:
        about = f"{key.source_id} is not looked into. Click to look there."
        return Html(f'<a class="fs-own-cell" data-stay="" href="{href}" data-tip="{esc(about)}">–</a>')
    best = min(25, count.active)
    about = f"{count.own} of the {best} best hits of {key.source_id} are named by the token they are strongest on"
    depth = count.own / best if best else 0
    lit = f' on" style="--v:{depth:.2f}' if count.own else ""
    return Html(f'<a class="fs-own-cell{lit}" data-stay="" href="{href}" data-tip="{esc(about)}">{count.own}</a>')
