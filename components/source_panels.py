"""The static parts of the home, model, release, set and source pages: functions from records to HTML."""

from __future__ import annotations

from collections.abc import Sequence

from components import charts, links, tables
from components.feature_panels import places, word
from components.markup import Html, card, esc, join, link, percent, stat
from core.records import ExampleGroup, FeatureKey, FeatureRecord, Histogram, SourceKey, SourceRecord


def title(text: str, lead: str = "", crumbs: Sequence[str] = (), actions: str = "") -> Html:
    """The head of a page: where it is, what it is, one line about it. `crumbs` and `actions` are HTML."""
    where = (
        f'<nav class="fs-crumbs" aria-label="Where this is">{join(crumbs, "<span>/</span>")}</nav>'
        if crumbs
        else ""
    )
    ways, name = f'<div class="fs-actions">{actions}</div>', f'<h1 class="fs-title">{esc(text)}</h1>'
    if crumbs:
        name = f'<div class="fs-head" style="margin-bottom:10px">{where}{ways}</div>{name}'
    elif actions:
        name = f'<div class="fs-head">{name}{ways}</div>'
    about = f'<p class="fs-lead">{esc(lead)}</p>' if lead else ""
    return Html(f"{name}{about}")


COPY = '<button class="fs-btn p" type="button" data-copy="">Copy link</button>'


def jump(near: SourceKey | None, placeholder: str) -> Html:
    """A box that leads to a feature by index, id or link."""
    hidden = f'<input type="hidden" data-name="near" value="{esc(near)}">' if near else ""
    return Html(
        '<form data-go="/feature" role="search">'
        '<input class="fs-in" data-name="jump" autocomplete="off" spellcheck="false" '
        f'aria-label="Jump to a feature: an index, an id or a link" placeholder="{esc(placeholder)}">{hidden}</form>'
    )


def featured(record: FeatureRecord, note: str = "") -> Html:
    """A card with a feature's label and its strongest example, which leads to its page."""
    group = best(record)
    signed = record.source.signed
    scale = max(abs(record.maximum), abs(record.minimum)) if signed else record.maximum
    strip = (
        charts.example(group.examples[0], scale, signed=signed, before=9, after=5) if group and group.examples else ""
    )
    name = note or record.label or f"feature {record.key.index}"
    return Html(
        f'<a class="fs-card fs-featured" href="{esc(links.feature(record.key))}"><b>{esc(name)}</b>{strip}'
        f'<span class="fs-soft fs-under">{esc(record.key.source_id)} · {record.key.index} · '
        f"active on {percent(record.density)} of tokens</span></a>"
    )


def best(record: FeatureRecord) -> ExampleGroup | None:
    """The examples that show it best."""
    kinds = {g.kind: g for g in reversed(record.groups)}
    return kinds.get("diverse") or kinds.get("raw")


def tryout(choices: Sequence[tuple[FeatureKey, str]], prompts: dict[str, list[str]], model_id: str = "") -> Html:
    """A form that takes a sentence to the search, or into the test box of one feature. `model_id` will read it."""
    options = join(
        f'<option value="{esc(key)}">{esc(name)} ({esc(key.source_id)}:{key.index})</option>' for key, name in choices
    )
    chips = join(
        f'<button class="fs-pill" type="button" data-target="#fs-sentence" data-fill="{esc(text)}" '
        f'data-tip="{esc(text)}">{esc(category)}</button>'
        for category, texts in prompts.items()
        for text in texts[:1]
    )
    test = (
        '<details class="fs-more"><summary>Or test it on one feature</summary><div class="fs-row fs-tight">'
        '<select class="fs-in" data-name="id" data-only="/feature" aria-label="Feature to test">'
        f'{options}</select><button class="fs-btn" type="submit" data-go="/feature" data-text="{links.TEST_TEXT}">'
        "Test</button></div></details>"
    )
    return Html(
        '<form data-go="/search" class="fs-stack" style="gap:10px">'
        '<div class="fs-field"><label for="fs-sentence">A sentence of your own</label>'
        '<textarea id="fs-sentence" class="fs-in" data-name="text" data-whole="" rows="2" spellcheck="false" '
        f'data-warm="{esc(model_id)}" '
        'placeholder="The capital of Norway is Oslo, and its largest port is Bergen."></textarea></div>'
        f'<div class="fs-pills">{chips}</div>'
        '<div class="fs-row"><button class="fs-btn p" type="submit">Search features</button></div>'
        f"{test if choices else ''}</form>"
    )


def numbers(record: SourceRecord) -> Html:
    """A source's main numbers in a row."""
    f = record.figures
    cells = [
        stat(f"{record.width:,}", word("features", "width")),
        stat(percent(record.alive / record.width if record.width else 0), word("alive")),
        stat(f"{record.tokens:,}", word("tokens counted")),
    ]
    if f:
        cells += [
            stat(f"{f.l0:.1f}", word("L0", "l0")),
            stat(f"{f.explained_variance:.3f}", word("explained variance")),
            stat(f"{f.ce_loss_score:.3f}", word("CE loss score", "ce loss score")),
        ]
    cells += places(record)
    return card(f'<div class="fs-stats">{join(cells)}</div>')


def about(record: SourceRecord, densities: Histogram) -> Html:
    """Facts, figures and the histogram of densities."""
    parts = [card(tables.source_facts(record), "Facts")]
    if record.figures:
        way = link(links.quality(record.key), "All figures", "fs-soft")
        parts.append(card(tables.figures(record.figures), word("Quality"), way))
    shape = charts.histogram(densities, what="features", decades=True)
    parts.append(card(shape, word("Densities of its features", "density histogram"), word("log", "log scale")))
    return Html(f'<div class="fs-stack">{join(parts)}</div>')


def downloads(record: SourceRecord) -> Html:
    """The whole source to take along, for other programs or another workbench."""
    ways = {
        "neuronpedia": ("Bulk export", "Neuronpedia’s form: features, activations and explanations as JSON lines"),
        "explanations": ("Explanations", "What is said of its features alone, with scores, as JSON lines"),
        "parquet": ("Parquet", "Tables with all that is kept here, the activation store too"),
    }
    buttons = join(
        f'<a class="fs-btn" href="/api/export/{esc(record.key)}?format={form}" download data-stay="" '
        f'data-tip="{esc(about)}">{name}</a>'
        for form, (name, about) in ways.items()
    )
    line = f"python -m core export {record.key} DIR"
    said = f'<p class="fs-soft fs-fine"><code>{esc(line)}</code></p>'
    return card(f'<div class="fs-row fs-tight">{buttons}</div>{said}', "Download")


def glossary(entries: dict[str, dict[str, str]]) -> Html:
    """Every term of the glossary."""
    rows = [
        f'<dt id="{esc(key.replace(" ", "-"))}"><b>{esc(entry.get("name", key))}</b></dt><dd>{esc(entry["text"])}</dd>'
        for key, entry in sorted(entries.items(), key=lambda e: str(e[1].get("name", e[0])).casefold())
    ]
    return card(f'<dl class="fs-facts fs-roomy">{join(rows)}</dl>')


def release_urls(urls: Sequence[str]) -> Html:
    """Links that lead outside; only web addresses become links."""
    safe = [u for u in urls if u.startswith(("https://", "http://"))]
    return join(
        (
            f'<a href="{esc(u)}" target="_blank" rel="noopener noreferrer" style="color:var(--fs-accent)">{esc(u)}</a>'
            for u in safe
        ),
        "<br>",
    )


def others(key: SourceKey | None, sources: Sequence[SourceRecord]) -> Html:
    """Sources one click away, the one at hand marked."""

    def pill(source: SourceRecord) -> str:
        if source.key == key:
            return f'<span class="fs-pill on" aria-current="page">{esc(source.key.source_id)}</span>'
        return f'<a class="fs-pill" href="{esc(links.source(source.key))}">{esc(source.key.source_id)}</a>'

    return Html(f'<nav class="fs-pills" aria-label="Sources">{join(pill(s) for s in tables.arranged(sources))}</nav>')
