"""Red-teaming as HTML: the hypothesis and how it was read, the verdict, what it stands on, the surprising cases first.

Functions from a view and a record; draws nothing itself. Every text passes through `esc`.
"""

from __future__ import annotations

from collections.abc import Sequence

from components import charts, feature_panels, links, source_panels
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, number, tip, title
from components.redteam_view import COUNTS, FIELDS, SHARES, View
from components.scan_panels import python
from components.search_panels import pill
from components.suite_panels import gauge
from core.explain.redteam.hypothesis import Hypothesis, Role, field
from core.explain.redteam.records import Case, Counted, RedTeam
from core.records import FeatureRecord

EXAMPLE = "fires on the colour red, also crimson, not on Credentials"
SHOWN, FEWER = 20, 8
"""Cases before the fold: of those that came out otherwise, and of the others."""
SUGGESTED = 8
"""Words of which the hypothesis says nothing that are offered for it."""
ROLES: dict[Role, str] = {"should": "fires on", "also": "also", "not": "not on"}
VERDICTS = {
    "holds": "It holds", "fires on more": "It fires on more than that", "fires on less": "It fires on less than that",
    "wrong": "It does not hold", "undecided": "Nothing can be said",
}  # fmt: skip
MEASURES = {"balanced_accuracy": "balanced accuracy", "recall": "recall", "precision": "precision"}


# -- what is asked ---------------------------------------------------------------------------------------------------


def head(record: FeatureRecord) -> Html:
    """Which feature it is about, and the way to share it."""
    back = link(links.feature(record.key), "← The feature", "fs-btn")
    return Html(
        f'<div class="fs-head">{feature_panels.crumbs(record)}<div class="fs-actions">{back}{source_panels.COPY}</div>'
        f'</div><h1 class="fs-title" style="margin-top:12px">{esc(title(record))} <span class="fs-soft fs-after">'
        f"{word('red-teaming')}</span></h1>"
        '<p class="fs-lead">State what the feature fires on. Texts are made to break that, the model reads them, and '
        "what came out otherwise is shown first.</p>"
    )


def form(view: View, said: Hypothesis | None, begin: Sequence[str]) -> Html:
    """The hypothesis, how it was read with fields to correct it, and how it is tested; `begin` are ways to begin."""
    pills = join(
        f'<a class="fs-pill" href="{esc(view.to(text=text))}" data-tip="{esc(text)}">{esc(_short(text))}</a>'
        for text in begin
    )
    ways = f'<div class="fs-pills fs-under-ask"><span class="fs-soft">Begin with</span>{pills}</div>' if pills else ""
    return Html(
        f'<div class="fs-card"><form data-go="/redteam" class="fs-ask" role="search">{_hidden(view)}'
        '<label for="fs-text">What does it fire on?</label><div class="fs-ask-row">'
        '<textarea id="fs-text" class="fs-in" data-name="hypothesis" rows="1" spellcheck="false" '
        f'data-warm="{esc(view.key.model_id)}" placeholder="{esc(EXAMPLE)}">\n{esc(view.text)}</textarea>'
        f'<button class="fs-btn p" type="submit">Test it</button></div></form>{_read(view, said) if said else ways}'
        f"{_choices(view) if said else ''}</div>"
    )


def _short(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _hidden(view: View) -> Html:
    """What a form keeps of the view."""
    kept = {
        "id": str(view.key), "share": f"{view.share:g}", "texts": str(view.texts), "seed": str(view.seed or ""),
        "writer": view.writer, "at": view.at,
    }  # fmt: skip
    return join(
        f'<input type="hidden" data-name="{name}" value="{esc(value)}">' for name, value in kept.items() if value
    )


def _read(view: View, said: Hypothesis) -> Html:
    """How the hypothesis was read, part by part, and three fields in which that is corrected."""
    rows = []
    for role, label in ROLES.items():
        parts = [part for part in said.parts if part.role == role]
        chips = join(
            f'<span class="fs-said {"no" * (role == "not")}"'
            + (f" {tip('A kind of thing: which words are of it, the hypothesis does not say')}>~ " if p.kind else ">")
            + f"{'*' * p.letters}{esc(p.phrase)}{'*' * p.letters}</span>"
            for p in parts
        )
        rows += [f'<span class="fs-role"><span class="fs-soft">{label}</span>{chips}</span>'] if parts else []
    left = f'<span class="fs-soft fs-small">left out: {esc(" · ".join(said.left))}</span>' if said.left else ""
    names = {"fires": "Fires on", "also": "Also on", "not": "Not on"}
    fields = join(
        f'<div class="fs-field"><label for="fs-{name}">{names[name]}</label><input id="fs-{name}" class="fs-in" '
        f'data-name="{name}" spellcheck="false" autocomplete="off" value="{esc(field(said, role))}"></div>'
        for name, role in FIELDS
    )
    hint = (
        "Words or phrases with commas between, as they stand in texts. ~colours is a kind of thing, *red* are these "
        "letters in any word, *-ing* at the end of one."
    )
    return Html(
        f'<div class="fs-read">{join(rows)}{left}</div><details class="fs-more fs-correct"><summary>Correct how it was '
        f'read</summary><form data-go="/redteam" class="fs-parts">{_hidden(view)}{fields}'
        '<button class="fs-btn" type="submit">Test these</button></form>'
        f'<p class="fs-soft fs-fine">{hint}</p></details>'
    )


def _choices(view: View) -> Html:
    """How strong is firing, how many texts, which draw."""
    shares = join(
        pill(view.to(share=one), f"{one:.0%}".replace("%", " %"), on=view.share == one)
        for one in sorted({*SHARES, view.share})
    )
    counts = join(
        pill(view.to(texts=one), f"{one}", on=view.texts == one) for one in sorted({*COUNTS, view.texts})
    )
    return Html(
        f'<div class="fs-facets"><span class="fs-facet">{word("fires above", "red-teaming threshold")}'
        f'<span class="fs-pills" role="group" aria-label="Share of the maximum">{shares}</span>'
        '<span class="fs-soft">of its maximum</span></span>'
        '<span class="fs-facet"><span class="fs-soft">texts</span><span class="fs-pills" role="group" '
        f'aria-label="How many texts">{counts}</span></span>'
        f'<span class="fs-facet">{link(view.to(seed=view.seed + 1), "Other texts", "fs-act")}</span></div>'
    )


# -- what came out ---------------------------------------------------------------------------------------------------


def verdict(one: RedTeam) -> Html:
    """The verdict with its confusion table and figures."""
    (hit, missed), (false, quiet) = one.table
    rows = join(
        f'<tr><th scope="row">{label}</th>{_count(a, bad=bad_a)}{_count(b, bad=not bad_a)}</tr>'
        for label, a, b, bad_a in (("should fire", hit, missed, False), ("should not", false, quiet, True))
    )
    table = (
        '<table class="fs-table fs-verdicts"><thead><tr><th></th><th class="n">fired</th>'
        f'<th class="n">stayed silent</th></tr></thead><tbody>{rows}</tbody></table>'
    )
    figures = join(_figure(one, name, label) for name, label in MEASURES.items() if name in one.measures)
    good = "good" if one.verdict == "holds" else "" if one.verdict == "undecided" else "bad"
    line = one.line.split(": ", 1)[-1]
    return Html(
        f'<section class="fs-card fs-verdict {good}"><div class="fs-verdict-said"><b role="status">'
        f'{VERDICTS[one.verdict]}</b><span class="fs-soft">{esc(line[:1].upper() + line[1:])}</span>'
        f'<span class="fs-figures">{figures}</span></div><div>{table}</div></section>'
    )


def _count(count: int, *, bad: bool) -> Html:
    return Html(f'<td class="n{" bad" * (bad and count > 0)}">{count:,}</td>')


def _figure(one: RedTeam, name: str, label: str) -> Html:
    low, high = one.intervals.get(name, (float("nan"), float("nan")))
    span = f' <span class="fs-soft">{low:.2f}–{high:.2f}</span>' if low == low else ""
    return Html(f"<span>{word(label, f'red-teaming {name}')} <b>{one.measures[name]:.2f}</b>{span}</span>")


def lacks(one: RedTeam) -> Html:
    """What could not be had."""
    return Html(f'<p class="fs-soft fs-small fs-lacks">{esc(" ".join(one.lacks))}</p>' if one.lacks else "")


def cases(view: View, one: RedTeam, record: FeatureRecord) -> Html:
    """Every case, the surprising first."""
    unsaid = [case for case in one.cases if case.expected is None and case.value is not None]
    right = [case for case in one.cases if case.right]
    unread = [case for case in one.cases if case.value is None]
    parts = []
    if one.surprising or right:
        body = Html('<div class="fs-empty"><b>None</b>Every text came out as the hypothesis says.</div>')
        if one.surprising:
            body = _rows(view, one, record, one.surprising, SHOWN)
        parts.append(card(body, "Came out otherwise", f"{len(one.surprising):,}"))
    fired = sum(case.fired for case in unsaid)
    for some, label, aside in (
        (unsaid, word("The hypothesis does not say", "probe"), f"{fired:,} of {len(unsaid):,} fired"),
        (right, Html("As it says, the closest first"), f"{len(right):,}"),
        (unread, Html("Could not be read"), f"{len(unread):,}"),
    ):
        if some:
            parts.append(card(_rows(view, one, record, some), label, aside))
    return Html(f'<div class="fs-stack">{join(parts)}</div>')


def _rows(view: View, one: RedTeam, record: FeatureRecord, some: Sequence[Case], shown: int = FEWER) -> Html:
    rows = [_row(view, one, record, case) for case in some]
    more = ""
    if rows[shown:]:
        more = (
            f'<details class="fs-more"><summary>{len(rows) - shown} more</summary>'
            f'<div class="fs-cases">{join(rows[shown:])}</div></details>'
        )
    return Html(f'<div class="fs-cases">{join(rows[:shown])}</div>{more}')


def _row(view: View, one: RedTeam, record: FeatureRecord, case: Case) -> Html:
    scale = charts.scale(record)
    if case.tokens:
        strip = charts.covered(
            charts.strip(
                case.tokens, case.values, scale, position=case.position, signed=record.source.signed, tips=True
            ),
            case.tokens,
        )
    else:
        strip = Html(f'<div class="fs-strip">{esc(case.text)}</div>')
    said = {True: "should fire", False: "should stay silent", None: "not said"}[case.expected]
    did = "fired" if case.fired else "stayed silent"
    if case.value is None:
        did = f'<span class="fs-bad">{esc(case.problem)}</span>'
    elif case.fired and case.on_phrase is False:
        did += " on another token"
    why = f'<div class="fs-soft fs-small">{said}, {did} · <span>{esc(case.why)}</span></div>'
    mark = _tick(view, case) if case.expected is not None else '<span class="fs-mark">?</span>'
    drawn = "" if case.value is None else gauge(case.value, one.threshold, scale, bad=case.right is False)
    return Html(f'<div class="fs-case">{mark}<div>{strip}{why}</div>{drawn}</div>')


def _tick(view: View, case: Case) -> Html:
    """A box that chooses a case for a test suite."""
    on = case.id in view.picked
    picked = tuple(id for id in view.picked if id != case.id) if on else (*view.picked, case.id)
    name = _short(case.text, 40)
    return Html(
        f'<a class="fs-tick" id="pick-{case.id}" role="checkbox" aria-checked="{"true" if on else "false"}" '
        f'aria-label="{esc(f"For a test suite: {name}")}" data-stay="" data-toggle="picked:{case.id}" '
        f'href="{esc(view.to(picked=picked))}"></a>'
    )


# -- beside it -------------------------------------------------------------------------------------------------------


def side(view: View, one: RedTeam) -> Html:
    """By phrase, by maker, how much of the feature the hypothesis covers, and how a program does it."""
    own = [count for count in one.phrases if count.role is not None]
    parts = [card(_table("phrase", own), "By phrase")] if own else []
    unsaid = [count for count in one.phrases if count.role is None and count.unsaid_fired]
    if unsaid:
        parts.append(card(_suggested(view, one, unsaid), "It fires on these too", "say so, or not"))
    if one.covered is not None:
        parts.append(card(_covered(one), word("What it covers", "coverage of a hypothesis")))
    parts.append(card(_table("made by", one.makers), "By maker"))
    said = str(one.hypothesis.text or one.hypothesis.sentence)
    command = f'python -m core redteam {one.key} "{said}"' if '"' not in said else ""
    code = python(f"w.words.redteam({str(one.key)!r}, {said!r})")
    line = (
        f'<div class="fs-code"><code>{esc(command)}</code><button class="fs-btn" type="button" '
        f'data-copy="{esc(command)}">Copy</button></div>'
        if command
        else ""
    )
    parts.append(card(f"{line}{code}", "From a program"))
    return Html(f'<div class="fs-stack">{join(parts)}</div>')


def _table(name: str, counts: Sequence[Counted]) -> Html:
    """A row each: of the texts that should fire, should not, and are not said, how many fired."""
    columns = [
        (label, about, [(getattr(c, fired), getattr(c, of)) for c in counts], bad)
        for label, about, fired, of, bad in (
            ("should", "of the texts that should fire, how many did", "should_fired", "should", False),
            ("should not", "of the texts that should not fire, how many did", "silent_fired", "silent", True),
            ("not said", "of the others, how many fired", "unsaid_fired", "unsaid", None),
        )
    ]
    columns = [column for column in columns if any(of for _, of in column[2])]
    heads = join(f'<th class="n"><span {tip(about)}>{label}</span></th>' for label, about, _, _ in columns)
    rows = []
    for at, count in enumerate(counts):
        cells = join(_part(*values[at], bad) for _, _, values, bad in columns)
        about = f" {tip(count.about)}" if count.about else ""
        role = ' <span class="fs-soft fs-small">not</span>' if count.role == "not" else ""
        rows.append(f'<tr><th scope="row"><span{about}>{esc(count.name)}</span>{role}</th>{cells}</tr>')
    return Html(
        f'<table class="fs-table fs-by"><thead><tr><th>{name}</th>{heads}</tr></thead>'
        f"<tbody>{join(rows)}</tbody></table>"
    )


def _part(fired: int, of: int, bad: object) -> Html:
    if not of:
        return Html('<td class="n"><span class="fs-soft">–</span></td>')
    wrong = bad is not None and (fired * 2 > of) is bool(bad) and (fired > 0 or not bad)
    return Html(f'<td class="n{" bad" * wrong}">{fired}<span class="fs-soft"> of {of}</span></td>')


def _suggested(view: View, one: RedTeam, some: Sequence[Counted]) -> Html:
    """Words of which the hypothesis says nothing and on which it fires: one click says what they are."""
    rows = join(
        f'<div class="fs-unsaid"><b>{esc(count.name)}</b><span class="fs-soft fs-small">{count.unsaid_fired} of '
        f"{count.unsaid} · {number(count.mean)}</span><span>"
        f"{link(view.saying(one.hypothesis, count.name, 'also'), 'also', 'fs-act')} "
        f"{link(view.saying(one.hypothesis, count.name, 'not'), 'not', 'fs-act')}</span></div>"
        for count in some[:SUGGESTED]
    )
    return Html(f'<div class="fs-list">{rows}</div>')


def _covered(one: RedTeam) -> Html:
    assert one.covered is not None
    found = one.covered
    missed = ""
    if found.missed:
        tokens = join((f"<code>{esc(_sign(token))}</code>" for token in found.missed), " ")
        missed = f'<div class="fs-soft fs-small">without: {tokens}</div>'
    return Html(
        f'<div><b>{found.by}</b> <span class="fs-soft">of its {found.texts} strongest texts have one of the phrases.'
        f"</span></div>{missed}"
    )


def _sign(text: str) -> str:
    """A token in a line: its line breaks and spaces as signs."""
    return text.strip() or text.replace("\n", "↵").replace(" ", "·").replace("\t", "⇥")


def empty() -> Html:
    """Before there is a hypothesis."""
    return card(
        '<div class="fs-empty"><b>No hypothesis yet</b>Say which words the feature fires on, which too, and which not. '
        "Phrases are put into neutral sentences, their letters into other words; words near in meaning and sentences "
        "of the build’s texts are added. A language model may write texts too; none is needed.</div>"
    )
