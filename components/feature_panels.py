"""The static parts of the feature page, each a function from a record to HTML. Draws nothing itself."""

from __future__ import annotations

from collections.abc import Sequence

from components import charts, links, markup
from components.markup import Html, card, esc, join, link, number, percent, stat, term, tip
from components.resources import define
from core.records import FeatureKey, FeatureRecord, Related, SourceRecord

KINDS = {"sae": "SAE", "transcoder": "transcoder", "neurons": "MLP neurons", "directions": "directions"}


def word(label: str, entry: str = "") -> Html:
    """A term of the glossary with its definition one hover away."""
    return term(label, define(entry or label.lower()))


def crumbs(record: FeatureRecord) -> Html:
    """Where the feature lives, each step a link."""
    key, source = record.key, record.source
    steps = [
        link(links.model(key.model_id), key.model_id),
        *(
            []
            if source.release.name == key.model_id
            else [link(links.release(source.release.name), source.release.name)]
        ),
        link(links.source_set(key.model_id, source.key.set_name), source.key.set_name),
        link(links.source(source.key), key.source_id),
        Html(f"<b>{key.index}</b>"),
    ]
    return Html(f'<nav class="fs-crumbs" aria-label="Where this feature lives">{join(steps, "<span>/</span>")}</nav>')


def header(record: FeatureRecord) -> Html:
    """Crumbs, the ways to other features, and the title."""
    key, source = record.key, record.source

    def at(index: int) -> str:
        return links.feature(FeatureKey(key.model_id, key.source_id, index))

    last = source.width - 1
    before = link(at(key.index - 1), f"← {key.index - 1}", "fs-btn") if key.index > 0 else _off("←")
    after = link(at(key.index + 1), f"{key.index + 1} →", "fs-btn") if key.index < last else _off("→")
    jump = (
        '<form data-go="/feature" role="search">'
        '<input class="fs-in" data-name="jump" autocomplete="off" spellcheck="false" '
        'aria-label="Jump to a feature: an index, an id or a link" placeholder="Jump to 42, 3-res:668 or a link">'
        f'<input type="hidden" data-name="near" value="{esc(key)}"></form>'
    )
    name = f"{markup.KINDS.get(source.kind, 'feature')} {key.index} · " if record.label else ""
    about = "tokens over-represented where it is strong" if record.label else "no tokens to name it by"
    return Html(
        f'<div class="fs-head">{crumbs(record)}<div class="fs-actions">{before}{after}'
        f"{link(links.random_feature(source.key), '⚄ Random', 'fs-btn')}{jump}"
        '<button class="fs-btn" type="button" data-embed="" aria-haspopup="dialog">Embed</button>'
        '<button class="fs-btn p" type="button" data-copy="">Copy link</button></div></div>'
        f'<h1 class="fs-title" style="margin-top:12px">{esc(markup.title(record))} '
        f'<span class="fs-soft" style="font-size:13px;font-weight:400;letter-spacing:0;margin-left:4px">{name}'
        f"{term(about, define('label'))}</span></h1>"
    )


def _off(text: str) -> Html:
    return Html(f'<span class="fs-btn" aria-disabled="true">{text}</span>')


def stats(record: FeatureRecord) -> Html:
    """The numbers of the feature in a row."""
    source = record.source
    cells = [
        stat(percent(record.density), word("density")),
        stat(number(record.maximum), word("maximum")),
    ]
    if source.signed:
        cells.append(stat(number(record.minimum), word("minimum")))
    cells += [
        stat(f"{record.active:,}", word("active tokens")),
        stat(f"{number(record.mean)} <small>± {number(record.deviation)}</small>", word("mean ± deviation", "mean")),
        *places(source),
    ]
    return card(f'<div class="fs-stats">{join(cells)}</div>')


def dead(record: FeatureRecord) -> Html:
    """What a feature that nothing activates says about itself."""
    return card(
        '<div class="fs-empty"><b>Nothing activates this feature</b>'
        f"None of the {record.source.tokens:,} tokens counted in {esc(record.source.dataset)} does, so there are no "
        f"examples and no histogram. {_left(record)} A text of your own may yet activate it.</div>"
    )


def _left(record: FeatureRecord) -> str:
    """What a decoder row has without any text."""
    has = ["effects on the logits"] * bool(record.top_logits) + ["neighbours"] * bool(record.neighbours)
    return f"Its decoder row still has {' and '.join(has)}, shown here." if has else ""


def plots(record: FeatureRecord) -> Html:
    """What the feature promotes and suppresses, and its two histograms."""
    parts = []
    if record.top_logits or record.bottom_logits:
        reach = max((abs(x.value) for x in (*record.top_logits, *record.bottom_logits)), default=1)
        parts.append(
            card(
                charts.logits(record.top_logits[:10], reach),
                word("Promotes", "promotes"),
                word("W_dec · W_U", "logit effect"),
            )
        )
        parts.append(
            card(charts.logits(record.bottom_logits[:10], reach, negative=True), word("Suppresses", "suppresses"))
        )
    else:
        silent = "Its decoder does not write to the residual stream, so there are no effects on logits to show."
        parts.append(card(f'<span class="fs-soft">{silent}</span>', word("Logit effects", "logit effect")))
    if record.histogram:
        what = "tokens"
        name = "Values, all tokens" if record.source.signed else "Activations, tokens where active"
        shape = charts.histogram(record.histogram, what=what, signed=record.source.signed, log=True)
        parts.append(card(shape, word(name, "activation histogram"), word("log", "log scale")))
    if record.logit_histogram:
        shape = charts.histogram(record.logit_histogram, what="vocabulary entries", signed=True)
        parts.append(card(shape, word("Logit effects", "logit histogram")))
    return Html(f'<div class="fs-two">{join(parts)}</div>')


def side(record: FeatureRecord) -> Html:
    """Other features, neurons and coordinates that go with this one, and how the data was made."""
    here = record.key
    parts = []
    if record.neighbours:
        parts.append(
            card(
                _features(here, record.neighbours),
                word("Nearest decoder rows", "neighbours"),
                word("cosine"),
            )
        )
    if record.alignment:
        head = f"{word('coordinate')} · {word('share')}"
        parts.append(card(_numbers(record.alignment, "share"), word("Decoder alignment", "alignment"), head))
    if record.correlated_neurons:
        head = f"{word('corr.', 'correlation')} · {word('cosine')}"
        parts.append(
            card(
                _numbers(record.correlated_neurons, "cosine"),
                word("Correlated coordinates", "correlated neurons"),
                head,
            )
        )
    good = link(links.quality(here.source), "Its quality", "fs-soft")
    parts.append(card(_made(record), "How this was made", good))
    return Html(f'<div class="fs-stack">{join(parts)}</div>')


def _features(here: FeatureKey, related: Sequence[Related]) -> Html:
    def line(item: Related) -> str:
        key = FeatureKey(here.model_id, here.source_id, item.index)
        about = f"feature {item.index}" + (f": {item.label}" if item.label else "")
        return (
            f'<a class="fs-rel" href="{esc(links.feature(key))}" data-tip="{esc(about)}"><span>{item.index}</span>'
            f'<span class="l">{esc(item.label) or "<i class=fs-soft>no label</i>"}</span>'
            f"<span>{number(item.value)}</span></a>"
        )

    return _folded([line(item) for item in related])


def _numbers(related: Sequence[Related], second: str) -> Html:
    def line(item: Related) -> str:
        other = getattr(item, second)
        shown = "" if other is None else (percent(other) if second == "share" else number(other))
        name = item.label or f"[{item.index}]"
        return (
            f'<div class="fs-rel num"><span>{esc(name)}</span><span class="n">{number(item.value)}</span>'
            f"<span>{shown}</span></div>"
        )

    return _folded([line(item) for item in related])


def _folded(lines: Sequence[str], first: int = 6) -> Html:
    """The first few lines, the rest one click away."""
    shown = f'<div class="fs-list">{join(lines[:first])}</div>'
    if len(lines) > first:
        shown += f'<details class="fs-more"><summary>{len(lines) - first} more</summary>{join(lines[first:])}</details>'
    return Html(shown)


def _made(record: FeatureRecord) -> Html:
    source = record.source
    rows = [
        (word("source"), esc(kind(source))),
        *hooks(source),
        (word("width"), f"{source.width:,}"),
        (word("dataset"), esc(source.dataset)),
        (word("prompts"), f"{source.prompts:,} of up to {source.context} tokens"),
        (word("tokens counted"), f"{source.tokens:,}"),
        (word("active"), esc(source.active)),
        (word("built"), esc(source.built[:10])),
    ]
    return Html('<dl class="fs-facts">' + join(f"<dt>{a}</dt><dd>{b}</dd>" for a, b in rows) + "</dl>")


def hooks(source: SourceRecord) -> list[tuple[Html, str]]:
    """Facts: where a source reads and, where that is elsewhere, writes."""
    both = [("hook point", source.hook)] + [("hook out", source.hook_out)] * bool(source.hook_out)
    return [(word(name), f'<span class="fs-mono">{_breakable(place)}</span>') for name, place in both]


def rank(record: SourceRecord) -> int:
    """Dictionaries of the residual stream come first, those of parts of the model next, neurons last."""
    return 2 if record.kind in ("neurons", "directions") else "resid" not in record.hook


def kind(source: SourceRecord) -> str:
    """What it is, and its encoder's kind where that says more."""
    own = KINDS[source.kind]
    return own if source.architecture == own else f"{own}, {source.architecture}"


def places(source: SourceRecord) -> list[Html]:
    """The same as numbers in a row; that neurons write where their MLP does goes without saying."""
    both = [("hook point", source.hook)] + [("hook out", source.hook_out)] * (source.kind == "transcoder")
    return [stat(esc(place), word(name), code=True) for name, place in both]


def _breakable(hook: str) -> str:
    """A hook's name, which may be broken at its joints."""
    return str(esc(hook)).replace(".", ".<wbr>").replace("_", "_<wbr>")


def taking(python: str, address: str) -> Html:
    """The lines that get the same record elsewhere, each with a copy button."""
    lines = [("Python", python), ("HTTP", address)]
    body = join(
        f'<div class="fs-code" {tip(name + ": the same record")}><code>{esc(text)}</code>'
        f'<button class="fs-btn" type="button" data-copy="{esc(text)}" aria-label="Copy the {name} line">Copy</button>'
        "</div>"
        for name, text in lines
    )
    return Html(f'<div class="fs-h2"><span>Take it with you</span></div>{body}')
