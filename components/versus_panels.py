"""One feature against another, as HTML: shared axes, overlap of active tokens, texts on which they differ."""

from __future__ import annotations

from collections.abc import Sequence

from components import charts, links
from components.compare_view import View
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, note, number, percent, stat, title
from components.search_panels import pill
from components.together_panels import chance
from core.atlas.together.records import Apart, FeaturesCompared, Overlap
from core.records import FeatureRecord, Histogram


def head(view: View, found: FeaturesCompared) -> Html:
    """Both features by name."""
    cards = join(_one(n, record) for n, record in enumerate((found.a, found.b)))
    swap = link(view.to(ids=(found.b.key, found.a.key)), "swap", "fs-act")
    near = link(links.similar(id=str(found.a.key), view="together"), "what else fires with the first", "fs-act")
    return Html(f'<div class="fs-two">{cards}</div><p class="fs-small">{swap} · {near}</p>')


def _one(n: int, record: FeatureRecord) -> Html:
    key = record.key
    return card(
        f'<b class="fs-name">{link(links.feature(key), title(record), "fs-name")}</b>'
        f'<div class="fs-soft fs-small">{esc(key.source_id)} · {key.index} · active on {percent(record.density)} of '
        f"tokens · largest value {number(record.maximum)}</div>",
        f'<i class="fs-no" role="img" aria-label="{"first" if n == 0 else "second"}">{n + 1}</i>',
    )


def numbers(found: FeaturesCompared) -> Html:
    """Correlation, Jaccard, cosine, and the two by two table."""
    o = found.overlap
    r = "–" if o is None or o.correlation is None else number(o.correlation)
    cells = [
        stat(r, word("correlation")),
        stat("–" if o is None else f"{o.jaccard:.3f}", word("Jaccard", "jaccard")),
        stat("–" if found.cosine is None else number(found.cosine), word("cosine of decoders", "cosine")),
    ]
    if o is not None:
        cells.append(stat(chance(o.log10_p), word("p", "corrected p of fisher")))
    signed = found.a.source.signed or found.b.source.signed
    tails = "Of a dense source “active” is a value in its tails, and the rest counts as 0." if signed else ""
    why = join(note(text) for text in (found.why, found.cosine_why, tails) if text)
    return Html(f'{card(f"""<div class="fs-stats">{join(cells)}</div>""")}{_overlap(o)}{why}')


def _overlap(o: Overlap | None) -> str:
    if o is None:
        return ""
    whole = max(1, o.both + o.only_a + o.only_b)
    parts = (("only the first", o.only_a, "a"), ("both", o.both, "both"), ("only the second", o.only_b, "b"))
    bar = join(
        f'<i class="{cls}" style="flex:{count / whole:.4f} 1 0" data-tip="{esc(f"{name}: {count:,} tokens")}"></i>'
        for name, count, cls in parts
        if count
    )
    said = join(f'<span class="{cls}"><b>{count:,}</b> {name}</span>' for name, count, cls in parts)
    return str(
        card(
            f'<div class="fs-cmp-venn" role="img" aria-label="Overlap of active tokens">{bar}</div>'
            f'<div class="fs-cmp-key">{said}<span><b>{o.neither:,}</b> neither</span></div>',
            word("Active tokens", "active tokens"),
            "of the build’s counted tokens",
        )
    )


def histograms(view: View, found: FeaturesCompared) -> Html:
    """Both histograms on one axis and one scale of heights, bins as they were built."""
    pair = [(record, record.histogram) for record in (found.a, found.b)]
    shapes = [_scaled(record, shape) if view.scaled else shape for record, shape in pair]
    some = [shape for shape in shapes if shape is not None]
    if not some:
        return Html("")
    low, high = min(0.0, *(s.low for s in some)), max(s.high for s in some)
    top = max((n for s in some for n in s.counts), default=0)
    rows = ""
    for n, ((record, _), shape) in enumerate(zip(pair, shapes, strict=True)):
        name = f'<b class="fs-small">{n + 1} · {esc(title(record))}</b>'
        if shape is None:
            rows += f'<div class="fs-cmp-hist">{name}<p class="fs-soft">never active</p></div>'
            continue
        left, width = (shape.low - low) / (high - low) * 100, (shape.high - shape.low) / (high - low) * 100
        drawn = charts.histogram(shape, what="tokens", signed=record.source.signed, log=True, top=top)
        rows += (
            f'<div class="fs-cmp-hist">{name}<div style="margin-left:{left:.2f}%;width:{width:.2f}%;min-width:96px">'
            f"{drawn}</div></div>"
        )
    ways = join(
        pill(view.to(scaled=scaled), name, on=view.scaled == scaled)
        for scaled, name in ((False, "values"), (True, "parts of the maximum"))
    )
    return card(rows, word("Activations", "activation histogram"), f'<span class="fs-pills">{ways}</span>')


def _scaled(record: FeatureRecord, shape: Histogram | None) -> Histogram | None:
    top = charts.scale(record)
    return (
        None if shape is None or not top else Histogram(low=shape.low / top, high=shape.high / top, counts=shape.counts)
    )


def texts(found: FeaturesCompared) -> Html:
    """Where only one fires, and where both do, with both strips."""
    if found.a.dead or found.b.dead:
        return Html("")
    where = (
        "the strongest of all the build’s tokens, one of a prompt"
        if found.exact
        else "on the prompts of both features’ examples, with the model’s values now"
    )
    parts = join(
        card(_places(found, places), name, f"{len(places)} shown") if places else _none(name)
        for name, places in (
            ("Only the first fires", found.only_a), ("Only the second fires", found.only_b), ("Both fire", found.both),
        )
    )  # fmt: skip
    return Html(f'<h2 class="fs-h2"><span>Texts</span><span>{where}</span></h2><div class="fs-stack">{parts}</div>')


def _none(name: str) -> Html:
    return card('<span class="fs-soft">None found.</span>', name)


def _places(found: FeaturesCompared, places: Sequence[Apart]) -> str:
    return join(_place(found, place) for place in places)


def _place(found: FeaturesCompared, place: Apart) -> str:
    rows = ""
    for n, record in enumerate((found.a, found.b)):
        strip = charts.strip(
            place.tokens, place.values[n], charts.scale(record), position=place.position, before=20, after=12,
            signed=record.source.signed, tips=True,
        )  # fmt: skip
        rows += (
            f'<div class="fs-quote"><i class="fs-no" aria-hidden="true">{n + 1}</i>'
            f"{charts.covered(strip, place.tokens)}"
            f"<b>{number(place.values[n][place.position])}</b></div>"
        )
    return f'<div class="fs-cmp-place">{rows}</div>'
