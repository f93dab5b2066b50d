"""What the server's process holds and allows, as HTML. Pure functions of one record; a read of counters behind it."""

from __future__ import annotations

from collections.abc import Sequence

from components import tables
from components.feature_panels import word
from components.markup import Html, card, esc, join, percent, stat, term
from components.resources import define
from core.records import Resident, ServerRecord

LIMITS = {
    "max_characters": ("one text", "{:,.0f} characters", "The model’s context bounds its tokens besides."),
    "max_texts": ("a test", "{:,.0f} texts", "Of one feature, at once."),
    "max_prompts": ("a request about all features", "{:,.0f} texts", "A search, features by token, a whole source."),
    "max_sources": ("a search", "{:,.0f} sources", "At once; without a choice it is all sources of the model."),
    "max_results": ("a page of hits", "{:,.0f} features", "More are on the next page."),
    "max_values": ("all values of a source", "{:,.0f} numbers", "In one answer."),
    "requests_a_minute": ("a program", "{:,.0f} requests a minute", "Of one address, to what runs a model."),
    "patience": ("waiting for a model", "{:,.0f} s", "Then the answer is that the server is busy."),
}
"""Setting: what it bounds, how its value is written, and what else is to be said."""
STATES = {"ready": "ready", "loading": "loading…", "failed": "failed", "absent": "not in memory"}
ORDER = {"ready": 0, "loading": 1, "failed": 2, "absent": 3}


def page(record: ServerRecord) -> Html:
    """All of it."""
    held = f'<div class="fs-stack">{residents(record)}{cache(record)}</div>'
    allowed = f'<div class="fs-stack">{limits(record)}{about(record)}</div>'
    return Html(f'<div class="fs-stack">{numbers(record)}<div class="fs-two fs-top">{held}{allowed}</div></div>')


def numbers(record: ServerRecord) -> Html:
    """What one looks for first, in a row."""
    memory = "–" if record.process_megabytes is None else size(record.process_megabytes)
    held = sum(r.megabytes for r in record.residents)
    cells = [
        stat(memory, word("memory of the process", "process memory")),
        stat(size(held), word("models and sources", "memory budget")),
        stat(f"{record.waiting:,}", word("waiting", "waiting requests")),
        stat(f"{record.at_work:,}", word("at work", "requests at work")),
        stat(duration(record.seconds), _soft("since it began")),
    ]
    return card(f'<div class="fs-stats">{join(cells)}</div>')


def residents(record: ServerRecord) -> Html:
    """Every model and source that was asked for, the model before its sources, with state and size."""
    held = sum(r.megabytes for r in record.residents)
    aside = term(f"{size(held)} of {size(record.budget_megabytes)}", define("memory budget"))
    if not record.residents:
        return card(
            '<div class="fs-empty"><b>Nothing is loaded</b>The first test or search loads its model and its sources.'
            "</div>",
            "Models and sources",
            aside,
        )
    head = '<tr><th>name</th><th class="fs-hide-narrow">kind</th><th>state</th><th class="n">size</th></tr>'
    rows = join(_row(one) for one in sorted(record.residents, key=lambda r: (r.name.split("/")[0], r.name)))
    return card(
        f"{meter(held, record.budget_megabytes)}"
        f'<div class="fs-wide"><table class="fs-table"><thead>{head}</thead><tbody>{rows}</tbody></table></div>',
        "Models and sources",
        aside,
    )


def _row(one: Resident) -> str:
    state = f'<span class="fs-state {one.state}">{STATES[one.state]}</span>'
    said = f'<div class="fs-soft">{esc(one.message)}</div>' if one.message else ""
    kind = "source" if "/" in one.name else "model"
    taken = size(one.megabytes) if one.megabytes else "–"
    return (
        f'<tr><td class="tok">{esc(one.name)}</td><td class="fs-hide-narrow">{kind}</td>'
        f'<td>{state}{said}</td><td class="n">{taken}</td></tr>'
    )


def cache(record: ServerRecord) -> Html:
    """What is kept of texts that were read before, and how often that was of use."""
    asked = record.cache_hits + record.cache_misses
    use = f"{record.cache_hits:,} of {asked:,} ({percent(record.cache_hits / asked)})" if asked else "not asked yet"
    if not record.cache_disk_most_megabytes:
        disk = "nothing is kept there"
    elif record.cache_disk_megabytes is None:
        disk = f"not counted yet, at most {size(record.cache_disk_most_megabytes)}"
    else:
        disk = f"{size(record.cache_disk_megabytes)} of {size(record.cache_disk_most_megabytes)}"
    rows = [
        (_soft("entries"), f"{record.cache_entries:,} in memory"),
        (
            _soft("in memory"),
            f"{size(record.cache_megabytes)} of {size(record.cache_most_megabytes)}"
            + meter(record.cache_megabytes, record.cache_most_megabytes),
        ),
        (
            _soft("on disk"),
            disk + meter(record.cache_disk_megabytes or 0.0, record.cache_disk_most_megabytes),
        ),
        (word("found", "cache hits"), use),
    ]
    return card(tables.facts(rows), word("Activation cache"))


def limits(record: ServerRecord) -> Html:
    """What one request may ask for; a tooltip says which setting it is."""
    rows = []
    for name, value in record.limits:
        what, form, more = LIMITS[name]
        shown = "no limit" if name == "requests_a_minute" and not value else form.format(value)
        rows.append((term(what, f"{more} Set by FEATURESCOPE_{name.upper()}."), esc(shown)))
    return card(tables.facts(rows), "At most at once")


def about(record: ServerRecord) -> Html:
    """What runs, and how."""
    rows = [
        (_soft("version"), f"Featurescope {esc(record.version)}"),
        (_soft("models run on"), f"{esc(record.device)}, in {esc(record.dtype)}"),
        (_soft("for programs"), '<a href="/api/docs" style="color:var(--fs-accent)">every path of the API</a>'),
    ]
    return card(tables.facts(rows), "This program")


def _soft(text: str) -> Html:
    return Html(f'<span class="fs-soft fs-small">{esc(text)}</span>')


def meter(value: float, most: float) -> str:
    """How much of a bound is used, as a bar; nothing where there is no bound."""
    if not most:
        return ""
    if not value:
        return '<div class="fs-meter" aria-hidden="true"></div>'
    return f'<div class="fs-meter" aria-hidden="true"><i style="width:{min(1.0, value / most):.1%}"></i></div>'


def size(megabytes: float) -> str:
    """An amount of memory in the unit that suits it."""
    if megabytes >= 1024:
        return f"{megabytes / 1024:.1f} GiB"
    return f"{megabytes:.0f} MiB" if megabytes >= 10 or not megabytes else f"{megabytes:.1f} MiB"


def duration(seconds: float) -> str:
    """A time as one would say it: `42 s`, `7 min`, `3 h 12 min`, `2 d 5 h`."""
    steps: Sequence[tuple[int, str]] = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
    for n, (length, name) in enumerate(steps):
        if seconds >= length:
            rest = int(seconds % length // steps[n + 1][0]) if n < 2 else 0
            return f"{int(seconds // length)} {name}" + (f" {rest} {steps[n + 1][1]}" if rest else "")
    return "0 s"
