"""The parts of the test suites' pages, each a function from records to HTML. Draws nothing itself.

What a reader looks for comes first: texts that came out otherwise than they should, then those that nearly did.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from components import charts, links, source_panels
from components.comment_panels import when, who
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, note, number, title
from core.community.records import CaseResult, LastRun, Suite, SuiteRun
from core.records import FeatureKey, FeatureRecord

SEEN = {
    "public": ("public", "Everybody sees it, and it is listed."),
    "unlisted": ("unlisted", "Whoever has its link sees it."),
    "private": ("private", "Only its owner sees it."),
}


def moment(made: str) -> str:
    """A time of the store as a reader wants it: to the minute, in UTC."""
    return f"{made[:16].replace('T', ' ')} UTC"


def visibility(name: str) -> Html:
    """Who sees it, as a small sign."""
    label, about = SEEN[name]
    return Html(f'<span class="fs-own" data-tip="{esc(about)}" tabindex="0">{label}</span>')


def crumbs(key: FeatureKey, record: FeatureRecord | None, here: str) -> Html:
    """Where the suite belongs, each step a link."""
    steps = [
        link(links.model(key.model_id), key.model_id),
        link(links.source(key.source), key.source_id),
        link(links.feature(key), f"{key.index}" if record is None else f"{key.index} · {title(record)}"),
        Html(f"<b>{esc(here)}</b>"),
    ]
    return Html(f'<nav class="fs-crumbs" aria-label="Where this belongs">{join(steps, "<span>/</span>")}</nav>')


def head(suite: Suite, record: FeatureRecord | None) -> Html:
    """Where it belongs, its name, and whose it is."""
    about = f'<p class="fs-lead">{esc(suite.about)}</p>' if suite.about else ""
    return Html(
        f'<div class="fs-head">{crumbs(suite.feature, record, "test suite")}'
        f'<div class="fs-actions">{link(links.feature(suite.feature), "← The feature", "fs-btn")}{source_panels.COPY}'
        f'</div></div><h1 class="fs-title" style="margin-top:12px">{esc(suite.name)} <span class="fs-soft fs-after">'
        f"{whose(suite)} {visibility(suite.visibility)}</span></h1>{about}"
    )


def whose(suite: Suite) -> Html:
    """Who made it."""
    return Html(f"by {who(suite.owner_name)}")


# -- what came out -----------------------------------------------------------------------------------------------------


def verdict(run: SuiteRun) -> Html:
    """How many came out as they should, and of each kind how many fired."""
    counts = {
        (expected, fired): sum(
            one.value is not None and one.case.fires is expected and (one.value > run.threshold) is fired
            for one in run.results
        )
        for expected in (True, False)
        for fired in (True, False)
    }
    unread = sum(one.value is None for one in run.results)
    good = not run.failed
    said = f"All {run.passed:,} passed" if good else f"{run.failed:,} of {len(run.results):,} failed"
    rows = join(
        f'<tr><th scope="row">{label}</th>{_count(counts[expected, True], bad=not expected)}'
        f"{_count(counts[expected, False], bad=expected)}</tr>"
        for expected, label in ((True, "should fire"), (False, "should not"))
    )
    table = (
        '<table class="fs-table fs-verdicts"><thead><tr><th></th><th class="n">fired</th>'
        f'<th class="n">stayed silent</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    more = f'<p class="fs-soft fs-fine">{unread} could not be read.</p>' if unread else ""
    return Html(
        f'<section class="fs-card fs-verdict {"good" if good else "bad"}"><div><b role="status">{said}</b>'
        f'<span class="fs-soft">a text fires above {number(run.threshold)}</span></div>'
        f"<div>{table}{more}</div></section>"
    )


def _count(count: int, *, bad: bool) -> Html:
    mark = " bad" if bad and count else ""
    return Html(f'<td class="n{mark}">{count:,}</td>')


def results(run: SuiteRun, record: FeatureRecord | None) -> Html:
    """Every text with what it came to, the surprising first."""
    values = [abs(one.value) for one in run.results if one.value is not None]
    scale = max([*values, abs(run.threshold), charts.scale(record) if record else 0.0]) or 1.0
    deep = (charts.scale(record) if record else 0.0) or max(values, default=0.0)
    signed = record is not None and record.source.signed
    parts = []
    for passed, label in ((False, "Failed"), (True, "Passed, the closest first")):
        some = sorted((one for one in run.results if one.passed is passed), key=lambda one: _order(one, run.threshold))
        if some:
            rows = join(_row(one, run.threshold, scale, deep, signed=signed) for one in some)
            parts.append(card(f'<div class="fs-cases">{rows}</div>', label, f"{len(some):,}"))
    return Html(f'<div class="fs-stack">{join(parts)}</div>')


def _order(one: CaseResult, threshold: float) -> float:
    """Failed: what could not be read, then the furthest on the wrong side. Passed: the nearest to the threshold."""
    if one.value is None:
        return float("-inf")
    margin = abs(one.value - threshold)
    return margin if one.passed else -margin


def _row(one: CaseResult, threshold: float, scale: float, deep: float, *, signed: bool) -> Html:
    mark = '<span class="fs-mark good" aria-label="passed">✓</span>' if one.passed else _CROSS
    if one.test is not None:
        position = one.test.position
        text = charts.strip(one.test.tokens, one.test.values, deep, position=position, signed=signed, tips=True)
    else:
        shown = esc(one.case.text).replace("\n", '<span class="nl">↵</span> ')
        text = Html(f'<div class="fs-strip">{shown}</div>')
    should = "should fire" if one.case.fires else "should stay silent"
    if one.value is None:
        return Html(
            f'<div class="fs-case">{mark}<div>{text}<div class="fs-soft fs-small">{should} · '
            f'<span class="fs-bad">{esc(one.why)}</span></div></div></div>'
        )
    said = "fired" if one.value > threshold else "stayed silent"
    return Html(
        f'<div class="fs-case">{mark}<div>{text}<div class="fs-soft fs-small">{should}, {said}</div></div>'
        f"{gauge(one.value, threshold, scale, bad=not one.passed)}</div>"
    )


def gauge(value: float, threshold: float, scale: float, *, bad: bool) -> Html:
    """A text's largest value, as a bar with the threshold in it, and how far it is from that."""
    margin = value - threshold
    far = f"{number(abs(margin))} {'above' if margin > 0 else 'below'}" if margin else "exactly at the threshold"
    about = f"largest value {number(value)}, threshold {number(threshold)}"
    return Html(
        f'<div class="fs-margin"><b>{number(value)}</b><span class="fs-gauge{" bad" * bad}" '
        f'style="--v:{_part(value, scale)};--t:{_part(threshold, scale)}" data-tip="{esc(about)}" tabindex="0">'
        f'<i></i><u></u></span><span class="fs-soft">{far}</span></div>'
    )


_CROSS = '<span class="fs-mark bad" aria-label="failed">✗</span>'


def _part(value: float, scale: float) -> str:
    return f"{min(1.0, max(0.0, value / scale)):.3f}"


def texts(suite: Suite) -> Html:
    """The texts of a suite that was never run."""
    parts = []
    for expected, label in ((True, "Should fire"), (False, "Should stay silent")):
        its = [case for case in suite.cases if case.fires is expected]
        if its:
            lines = join(f'<div class="fs-strip">{esc(case.text)}</div>' for case in its)
            parts.append(card(f'<div class="fs-cases">{lines}</div>', label, f"{len(its):,}"))
    return Html(f'<div class="fs-stack">{join(parts)}</div>')


def at_work(said: str, part: float | None) -> Html:
    """What is shown while it runs."""
    meter = "" if part is None else f'<div class="fs-meter"><i style="width:{part * 100:.1f}%"></i></div>'
    return card(f'<span class="fs-wait" role="status">{esc(said)}</span>{meter}')


def stale(suite: Suite, run: SuiteRun, build: str | None) -> Html:
    """What changed since a run that was kept; nothing where it would come out the same."""
    said = []
    if build is not None and run.build != build:
        said.append("the source was built anew, or of other weights")
    if run.threshold != suite.threshold or tuple(one.case for one in run.results) != suite.cases:
        said.append("the suite was edited")
    if not said:
        return Html("")
    return note(f"Since this run of {moment(run.made)} {' and '.join(said)}. Run it again to see where it stands.")


# -- beside it ---------------------------------------------------------------------------------------------------------


def side(suite: Suite, record: FeatureRecord | None, runs: Sequence[SuiteRun], build: str | None) -> Html:
    """What it is, how it went before, and how a program runs it."""
    largest = "" if record is None else f' <span class="fs-soft">of a maximum of {number(record.maximum)}</span>'
    rows = [
        (word("fires above", "suite threshold"), f"{number(suite.threshold)}{largest}"),
        (Html('<span class="fs-soft">texts</span>'), f"{len(suite.cases):,}"),
        (Html('<span class="fs-soft">changed</span>'), when(suite.changed)),
        (Html('<span class="fs-soft">source now</span>'), f'<span class="fs-mono">{esc(build or "not here")}</span>'),
    ]
    facts = Html('<dl class="fs-facts">' + join(f"<dt>{a}</dt><dd>{b}</dd>" for a, b in rows) + "</dl>")
    command = f"python -m core suite run {suite.id}"
    line = (
        f'<div class="fs-code"><code>{esc(command)}</code><button class="fs-btn" type="button" '
        f'data-copy="{esc(command)}" aria-label="Copy the command">Copy</button></div>'
        '<p class="fs-soft fs-fine">Exit status 0 if all pass, 1 if one fails, 2 if it cannot be run. An exported file '
        "may stand in place of the id.</p>"
    )
    return Html(
        '<div class="fs-stack">'
        + card(facts, "This suite")
        + (card(history(runs, build), "Runs that its owner kept") if runs else "")
        + card(line, "From the command line")
        + "</div>"
    )


def history(runs: Iterable[SuiteRun], build: str | None) -> Html:
    """Runs that were kept, the newest first; a change of build between two is marked."""
    lines, before = [], build
    for run in runs:
        if before is not None and run.build != before:
            lines.append('<div class="fs-soft fs-small fs-rebuilt">source changed</div>')
        before = run.build
        mark = '<span class="fs-mark good">✓</span>' if not run.failed else _CROSS
        said = f"{run.passed:,} of {run.passed + run.failed:,}"
        about = f"build {run.build}, threshold {number(run.threshold)}"
        lines.append(
            f'<div class="fs-ran" data-tip="{esc(about)}" tabindex="0">{mark}<span>{said}</span>'
            f'<span class="fs-soft">{when(run.made)}</span></div>'
        )
    return Html(f'<div class="fs-list">{join(lines)}</div>')


# -- lists of suites ---------------------------------------------------------------------------------------------------


def table(suites: Sequence[Suite], labels: dict[FeatureKey, str], *, owner: bool) -> Html:
    """Suites as lines, with how they last came out."""
    heads = ["suite", "feature", *(["by"] if owner else []), "texts", "last run"]
    head_row = join(f'<th class="{"n" * (name == "texts")}">{name}</th>' for name in heads)
    body = join(_line(suite, labels.get(suite.feature, ""), owner=owner) for suite in suites)
    return Html(
        f'<div class="fs-wide"><table class="fs-table"><thead><tr>{head_row}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _line(suite: Suite, label: str, *, owner: bool) -> Html:
    seen = "" if suite.visibility == "public" else f" {visibility(suite.visibility)}"
    by = f"<td>{who(suite.owner_name)}</td>" if owner else ""
    where = f'<span class="fs-where">{esc(suite.feature)}</span>'
    named = f"{esc(label)} " if label else ""
    return Html(
        f"<tr><td>{link(links.suite(suite.id), suite.name, 'main')}{seen}</td>"
        f'<td><a href="{esc(links.feature(suite.feature))}">{named}{where}</a></td>{by}'
        f'<td class="n">{len(suite.cases):,}</td><td>{last(suite.last)}</td></tr>'
    )


def last(run: LastRun | None) -> Html:
    """How a suite last came out, in a few words."""
    if run is None:
        return Html('<span class="fs-soft">not run yet</span>')
    mark = '<span class="fs-mark good">✓</span>' if not run.failed else _CROSS
    count = f"{run.passed:,} of {run.passed + run.failed:,}"
    return Html(f'<span class="fs-lastly">{mark} {count} <span class="fs-soft fs-small">{when(run.made)}</span></span>')


def of_feature(suites: Sequence[Suite], more: str) -> Html:
    """The suites of a feature on its page; `more` leads to a new one."""
    if not suites:
        return card(
            '<span class="fs-soft">Texts on which this feature should fire and texts on which it should not: kept, '
            "shared, and run again whenever the source changes.</span>",
            word("Test suites", "test suite"),
            str(link(more, "Make one", "fs-act")),
        )
    lines = join(
        f'<div class="fs-ran"><span>{link(links.suite(one.id), one.name, "main")} '
        f'<span class="fs-soft fs-small">{whose(one)}</span></span>{last(one.last)}</div>'
        for one in suites
    )
    return card(
        f'<div class="fs-list fs-suites">{lines}</div>',
        word("Test suites", "test suite"),
        str(link(more, "New", "fs-act")),
    )


def new_head(record: FeatureRecord) -> Html:
    """The head of the page on which one is made."""
    return Html(
        f'<div class="fs-head">{crumbs(record.key, record, "new test suite")}<div class="fs-actions">'
        f"{link(links.feature(record.key), '← The feature', 'fs-btn')}</div></div>"
        '<h1 class="fs-title" style="margin-top:12px">New test suite</h1>'
        f'<p class="fs-lead">Write down what <b>{esc(title(record))}</b> is for, as texts. A text fires where the '
        f"{word('largest value', 'suite threshold')} of its tokens is above the threshold.</p>"
    )


def empty(text: str, more: str = "") -> Html:
    """Where there is nothing; `more` is HTML."""
    return card(f'<div class="fs-empty">{esc(text)}{more}</div>')


def listing_head() -> Html:
    """The head of the page that lists them."""
    lead = (
        "Texts on which a feature should fire and texts on which it should not. Run them all at once, on the page or "
        "from the command line, and again whenever the source changes."
    )
    return source_panels.title("Test suites", lead)


def listed(label: str, suites: Sequence[Suite], labels: dict[FeatureKey, str], *, owner: bool) -> Html:
    """A card with a table of suites."""
    return card(table(suites, labels, owner=owner), esc(label), f"{len(suites):,}" if label else "")


def none_yet(*, signed_in: bool) -> Html:
    """Where nobody made one yet."""
    how = "Open a feature, test a few texts on it, and choose “Make a test suite”."
    return card(f'<div class="fs-empty"><b>No test suites yet</b>{how}</div>')


def turn(page: int, *, more: bool) -> Html:
    """The way to older ones; how many pages there are is not counted."""
    back = link(links.page("suites", *([("page", str(page - 1))] if page > 2 else [])), "← Newer", "fs-btn")
    on = link(links.page("suites", ("page", str(page + 1))), "Older →", "fs-btn")
    return Html(
        f'<nav class="fs-pages" aria-label="Pages"><span>page {page:,}</span>'
        f'<span class="fs-row">{back if page > 1 else ""}{on if more else ""}</span></nav>'
    )
