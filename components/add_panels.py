"""Adding a source as HTML: what was found, how it stands, what a few prompts say. Pure functions of a job's record."""

from __future__ import annotations

from collections.abc import Sequence

from components import links, tables
from components.feature_panels import word
from components.markup import Html, card, esc, join, link, note, number
from components.server_panels import duration
from components.suite_panels import at_work
from core.bring.records import ExportFound, JobRecord, Look, ModelFound, Progress, State, Tried
from core.records import SourceKey

STATES: dict[State, tuple[str, str]] = {
    "found": ("found", ""), "waiting": ("waiting", "loading"), "checking": ("being tried", "loading"),
    "importing": ("being imported", "loading"), "building": ("being built", "loading"),
    "pausing": ("pausing…", "loading"), "paused": ("paused", ""),
    "cancelling": ("cancelling…", "loading"), "cancelled": ("cancelled", ""), "interrupted": ("interrupted", "failed"),
    "failed": ("failed", "failed"), "checked": ("tried", "ready"), "done": ("built", "ready"),
}  # fmt: skip
"""What a state is called, and its dot."""
VERDICTS = {"good": "It reconstructs", "doubtful": "It works, with doubts", "bad": "It does not reconstruct"}
TONES = {"good": "good", "doubtful": "", "bad": "bad"}
FROM = {"registry": "SAELens’s registry", "hub": "Hugging Face", "folder": "this server", "upload": "an upload"}


def refused(why: str, *, sign_in: bool) -> Html:
    """For whoever may not."""
    more = f"<p>{link(links.page('sign-in', ('next', '/add')), 'Sign in', 'fs-btn')}</p>" if sign_in else ""
    return card(f'<div class="fs-empty"><b>Not here, or not for you</b>{esc(why)}{more}</div>')


def named(job: JobRecord) -> str:
    """What the source will be called."""
    if job.look.export is not None:
        return job.plan.as_ if "/" in job.plan.as_ else job.look.source_id
    return job.plan.source_id or job.look.source_id


def head(job: JobRecord) -> Html:
    """Which job it is."""
    way = f'<nav class="fs-crumbs" aria-label="Where this is">{link("/add", "Add a source")}<span>/</span>'
    return Html(
        f'<div class="fs-head">{way}<b>{esc(named(job))}</b></nav>{state(job)}</div>'
        f'<p class="fs-soft" style="margin-top:4px">{esc(job.look.place.name)}, from {FROM[job.look.place.where]}</p>'
    )


def state(job: JobRecord) -> Html:
    """Its state with a dot."""
    name, dot = STATES[job.state]
    name = "imported" if job.look.export is not None and job.state == "done" else name
    return Html(f'<span class="fs-state {dot}">{name}</span>')


# -- what was found ----------------------------------------------------------------------------------------------------


FORMATS = {
    "neuronpedia": "Neuronpedia’s bulk export", "explanations": "explanations alone, for a source that is here",
    "saedashboard": "SAEDashboard’s batches", "neuronrecord": "NeuronRecords", "parquet": "our own Parquet",
    "delphi": "a delphi cache",
}  # fmt: skip
SHOWN = 12
"""Sources of an export that are named."""


def exported(look: Look, export: ExportFound, *, asked: bool) -> Html:
    """What an export has."""
    names = join((code(name) for name in export.sources[:SHOWN]), ", ")
    more = f" and {len(export.sources) - SHOWN:,} more" if len(export.sources) > SHOWN else ""
    rows = [
        (_soft("export"), esc(FORMATS.get(export.format, export.format))),
        (_soft("sources, as it calls them"), f"{names}{more}"),
        (_soft("files"), size(look.bytes) if look.bytes else "size not said"),
    ]
    missing = note("It does not say of which model and source it is: name it below.") if asked else ""
    return Html(card(tables.facts(rows), "What it is") + (f'<div class="fs-stack">{missing}</div>' if missing else ""))


def found(look: Look, *, asked: bool) -> Html:
    """What it is; `asked` says whether what is missing of it is still to be said."""
    if look.export is not None:
        return exported(look, look.export, asked=asked)
    rows = [
        (word("kind"), esc(f"{look.kind}, {look.architecture}")),
        (word("hook", "hook point"), code(look.hook) + (f" → {code(look.hook_out)}" if look.hook_out else "")),
        (word("features", "width"), f"{look.width:,} over {look.d_in:,} numbers"),
        (_soft("model, as it says"), _model(look.model)),
        (_soft("trained on texts of"), f"{look.context:,} tokens" if look.context else _unsaid()),
        (_soft("begins with BOS"), _unsaid() if look.bos is None else "yes" if look.bos else "no"),
        (_soft("numbers"), _numbers(look)),
        (_soft("files"), _files(look)),
    ]  # fmt: skip
    if look.published:
        rows.append((_soft("published"), _published(look)))
    missing = []
    if asked and not look.hook:
        missing.append("It does not say at which hook it belongs: name it below.")
    if asked and look.model is None:
        missing.append("It does not say which model it was trained on: name it below.")
    notes = join(note(one) for one in (*missing, *look.notes))
    return Html(card(tables.facts(rows), "What it is") + (f'<div class="fs-stack">{notes}</div>' if notes else ""))


def code(text: str) -> str:
    """A name as programs write it."""
    return f'<span class="fs-mono">{esc(text)}</span>' if text else _unsaid()


def _numbers(look: Look) -> str:
    return (esc(look.dtype) or _unsaid()) + (f", input {esc(look.normalisation)}" if look.normalisation else "")


def _unsaid() -> str:
    return '<span class="fs-soft">not said</span>'


def _model(model: ModelFound | None) -> str:
    if model is None:
        return _unsaid()
    place = model.path or model.hub or model.transformer_lens
    if model.built:
        return f"{link(links.model(model.id), model.id)}, which has sources here"
    if model.here:
        return f"{code(place)}, on this machine"
    return f"{code(place)}, {f'to be downloaded, {size(model.bytes)}' if model.bytes else 'not on this machine'}"


def _files(look: Look) -> str:
    amount = size(look.bytes) if look.bytes else "size not said"
    return f"{amount}, {'on this machine' if look.here else 'to be downloaded'}"


def _published(look: Look) -> str:
    p = look.published
    said = [
        f"L0 {number(p.l0)}" if p.l0 is not None else "",
        f"explained variance {p.explained_variance:.3f}" if p.explained_variance is not None else "",
        f"CE loss score {p.ce_loss_score:.3f}" if p.ce_loss_score is not None else "",
    ]
    return f'{", ".join(filter(None, said))} <span class="fs-soft">by {esc(p.by)}</span>'


def size(count: int) -> str:
    """Bytes in the unit that suits them."""
    for unit, one in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if count >= one:
            return f"{count / one:.1f} {unit}" if count < 10 * one else f"{count / one:,.0f} {unit}"
    return f"{count:,} bytes"


# -- how it stands -----------------------------------------------------------------------------------------------------


def standing(job: JobRecord) -> Html:
    """How far it is, what went wrong, what a few prompts said."""
    parts: list[str] = []
    if job.state == "waiting":
        before = f"{job.before:,} before it" if job.before else "it is next"
        parts.append(at_work(f"Waiting: {before}…", None))
    elif job.state in ("checking", "building", "importing"):
        parts.append(at_work(progress(job.progress), job.progress.part if job.progress else None))
    elif job.state in ("pausing", "cancelling"):
        parts.append(at_work("Ending what is at work; what is finished is kept…", None))
    elif job.state == "failed":
        parts.append(_failed(job))
    elif job.state == "interrupted":
        parts.append(note("Its process is gone: killed, or the machine stopped. Resume it; it goes on from there."))
    elif job.state == "paused":
        parts.append(note("Paused. What is finished is kept, and Resume goes on from there.", warn=False))
    elif job.state == "cancelled":
        parts.append(note(f"Cancelled. Nothing was {'imported' if job.look.export else 'built'} of it.", warn=False))
    elif not job.config:
        todo = "imported" if job.look.export else "tried"
        parts.append(note(f"Something is still to be said, below, before it can be {todo}.", warn=False))
    if job.tried is not None and job.state != "done":
        parts.append(tried(job.tried))
    return Html(f'<div class="fs-stack">{join(parts)}</div>' if parts else "")


def _failed(job: JobRecord) -> Html:
    """Why; of an import line by line."""
    if not job.findings:
        return note(job.message or "It failed.")
    said = (
        "Nothing of it was imported. Mend the files and try again; or, below, have such lines left out, and see which."
    )
    head_ = f"{len(job.findings):,} things are wrong." if len(job.findings) > 1 else "One thing is wrong."
    return Html(note(f"{head_} {said}") + report("What is wrong, with file and line", job.findings, shown=True))


def report(title: str, findings: Sequence[str], *, shown: bool = False) -> Html:
    """What an import found, a line each."""
    if not findings:
        return Html("")
    rows = join(Html(f"<li>{esc(one)}</li>") for one in findings)
    return Html(
        f'<details class="fs-more"{" open" if shown else ""}><summary>{esc(title)}: {len(findings):,}</summary>'
        '<ul class="fs-card fs-small" style="overflow:auto;max-height:340px;margin:6px 0 0;overflow-wrap:anywhere">'
        f"{rows}</ul></details>"
    )


def progress(told: Progress | None) -> str:
    """How far it is, in words."""
    if told is None or not told.what:
        return "Starting…"
    what = told.what[:1].upper() + told.what[1:]
    if told.of <= 1:
        return f"{what}…"
    left = f", {duration(told.left)} left" if told.left and told.done < told.of else ""
    return f"{what}: {told.done:,.0f} of {told.of:,.0f}{left}"


def tried(one: Tried) -> Html:
    """The verdict of a few prompts, with the figures beside those that were published."""
    p = one.published
    rows = [
        (word("L0", "l0"), f"{one.l0:.1f}", "" if p.l0 is None else f"{p.l0:.1f}"),
        (word("explained variance"), f"{one.explained_variance:.3f}",
         "" if p.explained_variance is None else f"{p.explained_variance:.3f}"),
        (word("CE loss score", "ce loss score"), f"{one.ce_loss_score:.3f}",
         "" if p.ce_loss_score is None else f"{p.ce_loss_score:.3f}"),
    ]  # fmt: skip
    theirs = '<th class="n">published</th>' if p else ""
    body = join(
        f'<tr><td>{name}</td><td class="n">{here}</td>{f"<td class=n>{there or chr(8211)}</td>" if p else ""}</tr>'
        for name, here, there in rows
    )
    said = join(f'<p style="margin:4px 0 0">{esc(text)}</p>' for text in one.said)
    table = (
        f'<table class="fs-table fs-verdicts"><thead><tr><th></th><th class="n">here</th>{theirs}</tr></thead>'
        f"<tbody>{body}</tbody></table>"
    )
    return Html(
        f'<section class="fs-card fs-verdict {TONES[one.verdict]}"><div><b>{VERDICTS[one.verdict]}</b>'
        f'<span class="fs-soft fs-small">on {one.tokens:,} tokens of its texts</span>{said}</div>{table}</section>'
    )


def done(job: JobRecord) -> Html:
    """The source is there: where to go."""
    keys = [SourceKey.parse(name) for name in job.sources]
    if job.imported:
        return _imported(job)
    ways = join(
        link(links.random_feature(key), "Open a feature", "fs-btn p")
        + link(links.source(key), f"All features of {key.source_id}", "fs-btn")
        for key in keys
    )
    said = f"<b>{esc(', '.join(job.sources))} is here</b>"
    return card(f'<div class="fs-empty">{said}<div class="fs-row" style="justify-content:center">{ways}</div></div>')


def _imported(job: JobRecord) -> Html:
    """What came, where to go, what was strange, and what needs weights."""
    parts = []
    for one in job.imported:
        key = SourceKey.parse(one.key)
        if one.format == "explanations":
            said = f"{one.explanations:,} explanations of {one.features:,} features are attached"
        else:
            said = f"{one.features:,} features, {one.activations:,} activations, {one.explanations:,} explanations"
        said += f"; {one.left_out:,} lines could not be read and were left out" if one.left_out else ""
        ways = (
            link(links.random_feature(key), "Open a feature", "fs-btn p")
            + link(links.meaning(sources=key.source_id, model=key.model_id), "Find by meaning", "fs-btn")
            + link(links.source(key), f"All features of {key.source_id}", "fs-btn")
        )
        lacking = ""
        if one.needs_weights:
            lacking = (
                f'<p class="fs-soft fs-small" style="margin:12px 0 0">Not without its weights, which '
                f"{code('python -m core join')} gives: {esc('; '.join(one.needs_weights))}.</p>"
            )
        parts.append(
            card(
                f'<div class="fs-empty"><b>{esc(one.key)} is here</b>{esc(said)}'
                f'<div class="fs-row" style="justify-content:center;margin-top:12px">{ways}</div>{lacking}</div>'
            )
            + report("What was missing or strange", one.findings)
        )
    return Html(join(parts))


def import_planned(job: JobRecord) -> str:
    """How it is to be imported, in a line of Markdown."""
    if not job.config:
        return "How it is imported"
    name = f"as {job.plan.as_}" if job.plan.as_ else "under its own names"
    some = f", {len(job.plan.only):,} of its sources" if job.plan.only else ""
    rest = ", without lines that cannot be read" if job.plan.leave_out else ""
    said = f"How it is imported: {name}{some}{rest}"
    return "".join(f"\\{c}" if c in "\\`*_[]<>#$:~" and i > 19 else c for i, c in enumerate(said))


def command(job: JobRecord) -> Html:
    """The command that does the same, to read."""
    return Html(
        '<details class="fs-more"><summary>The command that does the same</summary>'
        f'<pre class="fs-card fs-mono fs-small" style="overflow:auto;margin:6px 0 0">{esc(job.config)}</pre></details>'
    )


def planned(job: JobRecord) -> str:
    """How it is to be built, in a line of Markdown."""
    if not job.config:
        return "How it is built"
    one = job.plan
    texts = {"demo": "the demo’s texts", "upload": "an uploaded text", "hub": one.texts.hub}[one.texts.what]
    said = f"How it is built: {one.source_id}, {one.prompts:,} prompts of {one.context:,} tokens, {texts}"
    return "".join(f"\\{c}" if c in "\\`*_[]<>#$:~" and i > 16 else c for i, c in enumerate(said))


def config(job: JobRecord) -> Html:
    """The configuration, to read."""
    return Html(
        '<details class="fs-more"><summary>The configuration of its build</summary>'
        f'<pre class="fs-card fs-mono fs-small" style="overflow:auto;margin:6px 0 0">{esc(job.config)}</pre></details>'
    )


def log(text: str) -> Html:
    """The end of what its processes wrote."""
    if not text.strip():
        return Html("")
    return Html(
        '<details class="fs-more"><summary>What its processes wrote</summary><pre class="fs-card fs-mono fs-small" '
        f'style="overflow:auto;max-height:340px;margin:6px 0 0">{esc(text)}</pre></details>'
    )


# -- all of them -------------------------------------------------------------------------------------------------------


def listed(jobs: Sequence[JobRecord]) -> Html:
    """Every job, a line each."""
    if not jobs:
        return Html("")
    rows = join(_row(job) for job in jobs)
    narrow = 'class="fs-hide-narrow"'
    head_ = f"<tr><th>source</th><th {narrow}>from</th><th>state</th><th {narrow}>begun</th></tr>"
    return card(
        f'<div class="fs-wide"><table class="fs-table"><thead>{head_}</thead><tbody>{rows}</tbody></table></div>',
        "On their way",
    )


def _row(job: JobRecord) -> str:
    part = job.progress.part if job.progress and job.state in ("checking", "building", "importing") else None
    meter = f'<div class="fs-meter"><i style="width:{part * 100:.1f}%"></i></div>' if part is not None else ""
    name = link(links.page("add", ("job", job.id)), named(job), "main")
    made = esc(job.made[:16].replace("T", " "))
    return (
        f'<tr><td>{name}</td><td class="tok fs-hide-narrow">{esc(job.look.place.name)}</td>'
        f'<td>{state(job)}{meter}</td><td class="fs-hide-narrow fs-soft">{made}</td></tr>'
    )


def _soft(text: str) -> Html:
    return Html(f'<span class="fs-soft fs-small">{esc(text)}</span>')
