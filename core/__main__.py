"""The command line: `python -m core VERB`. It parses, calls `Workbench`, and writes a table or, with --json, JSON.

The JSON is the API's and stands alone on standard output; progress and errors go to standard error. An error that a
person can act on is one line and exit status 2; an interrupt is 130; a check that finds something wrong is 1. Reading
features imports no torch.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import orjson

from core.atlas.map import verbs as map_verbs
from core.atlas.near import verbs as atlas
from core.atlas.together import verbs as compare_verbs
from core.atlas.universal import verbs as universal_verbs
from core.bring import verbs as bring
from core.bring.progress import written
from core.errors import BadInput, NotFound, WorkbenchError
from core.evaluate import verbs as quality
from core.explain.annotation import verbs as annotation
from core.explain.machine import verbs as machine
from core.explain.meaning import verbs as meaning
from core.explain.redteam import verbs as redteam
from core.interchange import neuronpedia, sae_bench_verbs, steering
from core.interchange.bulk import verbs as bulk
from core.records import (
    FeatureKey,
    FeatureRecord,
    Measure,
    Method,
    PushRecord,
    Related,
    SearchHit,
    SearchRecord,
    Shift,
    SourceRecord,
    SteerAsk,
    SteerRecord,
    SweepRecord,
    TestRecord,
    TokenValue,
    Where,
)
from core.settings import Settings
from core.sources import probe_verbs
from core.techniques import dfa_verbs
from core.techniques.circuits import verbs as circuit_verbs
from core.techniques.graphs import verbs as graph_verbs
from core.techniques.heads import verbs as head_verbs
from core.techniques.pairs import verbs as pair_verbs
from core.techniques.templates import verbs as template_verbs
from core.terminal import Bar, Growing, facts, table, visible, visible_lines
from core.workbench import SWEEP, Workbench

if TYPE_CHECKING:
    from core.community.carry import Carrier
    from core.community.records import Suite, SuiteRun
    from core.space import SpaceRecord

Answer = tuple[Any, Callable[[], str]]
"""What a verb found: the JSON, and how to write it for a person."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb and returns the exit status."""
    asked = _parser().parse_args(arguments)
    try:
        settings = Settings() if asked.data is None else Settings(data=asked.data)
        answer, text = asked.run(Workbench(settings), asked)
    except WorkbenchError as error:
        print(f"error: {visible(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        goes_on = asked.run in (_build, machine.explain, machine.score, bulk.import_) or getattr(asked, "suite", None)
        more = ": what is finished is kept, and the same command goes on from there" if goes_on else ""
        print(f"\ninterrupted{more}", file=sys.stderr)
        return 130
    if asked.json:
        sys.stdout.buffer.write(orjson.dumps(answer, option=orjson.OPT_APPEND_NEWLINE))
    else:
        if said := text():
            print(said)
    return int(asked.status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core", description="Features of sparse autoencoders.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="write the API's JSON, alone, on standard output")
    common.add_argument("--data", type=Path, metavar="DIR", help="the data root; default: FEATURESCOPE_DATA or ./data")
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")

    def verb(name: str, run: Callable[[Workbench, argparse.Namespace], Answer], text: str) -> argparse.ArgumentParser:
        made = verbs.add_parser(name, parents=[common], help=text, description=text)
        made.set_defaults(run=run, status=0)
        return made

    verb("sources", _sources, "every source with its facts")
    build = verb("build", _build, "build the sources that a configuration names; what is complete is left as it is")
    build.add_argument("config", type=Path, metavar="CONFIG", help="a YAML file, see configs/")
    help_ = "who runs the model: this machine, or a Ray cluster (RAY_ADDRESS)"
    build.add_argument("--engine", choices=["local", "ray"], default="local", help=help_)
    bring.progress_argument(build)
    bring.try_arguments(verb("try", bring.try_, "what a configuration's sources do on a few prompts, before a build"))
    feature = verb("feature", _feature, "what is known of one feature")
    feature.add_argument("id", metavar="ID", help="<model>/<source>/<index>")
    test = verb("test", _test, "a feature on texts")
    test.add_argument("id", metavar="ID", help="<model>/<source>/<index>")
    test.add_argument("texts", nargs="+", metavar="TEXT")
    _search_verb(verb("search", _search, "the features that a text activates, over all sources of a model"))
    _steer_verb(verb("steer", _steer, "a text with and without steering, or with --sweep at several strengths"))
    quality.arguments(verb("eval", quality.evaluate, "how good a source is: how well it reconstructs; --suite: more"))
    _suite_verb(
        verb("suite", _suite_list, "test suites: run them, with exit status 1 if a text fails; list them"), common
    )
    _community_verb(
        verb("community", _community_export, "people's things as JSON lines: export them, import them"), common
    )
    _space_verb(verb("space", _space, "a Hugging Face Space of some sources, as a folder to push"))
    machine.explain_arguments(verb("explain", machine.explain, "features in words, by a language model; resumes"))
    machine.score_arguments(verb("score", machine.score, "how far explanations tell where their features are active"))
    meaning.find_arguments(verb("find", meaning.find, "features by what is said of them, by meaning and by words"))
    meaning.embed_arguments(verb("embed", meaning.embed, "vectors of all explanations, so that `find` need not wait"))
    atlas.similar_arguments(verb("similar", atlas.similar, "what is like a feature: by weights, words, activations"))
    near = verb("near", atlas.near, "tables of nearest rows, so that features' pages need no weights for them")
    near.add_argument("model", metavar="MODEL")
    universal_verbs.universal_arguments(
        verb("universal", universal_verbs.universal, "features that two models have in common, and what chance gives")
    )
    map_verbs.arguments(verb("map", map_verbs.map_, "features on a plane, those that are alike near each other"))
    dfa_verbs.arguments(verb("dfa", dfa_verbs.dfa, "which tokens gave a feature on attention heads its value"))
    probe_verbs.arguments(verb("probe", probe_verbs.probe, "a direction that tells two sets of texts apart"))
    probe_verbs.directions_arguments(
        verb("directions", probe_verbs.directions, "directions that people brought; with ids, built as a source")
    )
    redteam.arguments(verb("redteam", redteam.redteam, "a hypothesis about a feature, tested; exit status 1 if wrong"))
    circuit_verbs.arguments(
        verb("circuit", circuit_verbs.circuit, "what a prompt's next token is made of: lens, parts, features, tokens")
    )
    head_verbs.heads_arguments(
        verb("heads", head_verbs.heads, "every attention head: previous-token, duplicate-token and induction scores")
    )
    head_verbs.head_arguments(
        verb("head", head_verbs.head, "one attention head: what it attends to, and the features around it")
    )
    pair_verbs.arguments(
        verb("pair", pair_verbs.pair, "what a clean and a corrupted prompt differ in: features, patching, faithfulness")
    )
    graph_verbs.arguments(
        verb("graph", graph_verbs.graph, "which feature acts on which in a prompt, as circuit-tracer's graph")
    )
    template_verbs.arguments(
        verb("template", template_verbs.template, "what features respond to in prompts that a template makes")
    )
    compare_verbs.together_arguments(
        verb("together", compare_verbs.together, "what fires together with a feature, and what never does")
    )
    compare_verbs.compare_arguments(
        verb("compare", compare_verbs.compare, "sources side by side, or one feature against another")
    )
    compare_verbs.relate_arguments(
        verb("relate", compare_verbs.relate, "who fires with whom, of all pairs of sources, from their stores")
    )
    bulk.import_arguments(verb("import", bulk.import_, "sources from elsewhere, such as Neuronpedia's export; resumes"))
    sae_bench_verbs.arguments(
        verb("import-sae-bench", sae_bench_verbs.import_, "results of SAEBench, to be shown beside our own figures")
    )
    bulk.publish_arguments(verb("publish", bulk.publish, "sources as a dataset for the hub, with a card"))
    bulk.join_arguments(verb("join", bulk.join, "weights for what was imported without them"))
    bulk.export_arguments(verb("export", bulk.export, "a source for elsewhere: Neuronpedia's export, Parquet, …"))
    annotate = verb("annotate", annotation.annotate, "what the data say of each feature, from a source's store")
    annotate.add_argument("source", metavar="MODEL/SOURCE")
    check = verb("check", _check, "whether built sources are whole: checksums, counts, structure; exit status 1 if not")
    check.add_argument("sources", nargs="*", metavar="MODEL/SOURCE", help="all of them if none is named")
    return parser


def _search_verb(search: argparse.ArgumentParser) -> None:
    search.add_argument("model", metavar="MODEL")
    search.add_argument("text", metavar="TEXT")
    search.add_argument(
        "--sources", type=_names, default=[], metavar="A,B", help="only these, for example 2-res,3-res; default: all"
    )
    search.add_argument("--top", type=int, metavar="N", help="default: 25, with --json 50 as the API has it")
    search.add_argument(
        "--tokens", type=_positions, default=[], metavar="I,J", help="rank by the sum over these tokens; BOS is 0"
    )
    search.add_argument(
        "--sort",
        choices=get_args(Measure),
        help="the value, the fraction of the feature's maximum, the percentile of its own values, or the surprise: "
        "-log10 of how rare it is so strong; default: surprise, with --json value as the API has it",
    )
    search.add_argument(
        "--density", type=float, metavar="X", help="leave out features active on a larger share of tokens"
    )


def _steer_verb(steer: argparse.ArgumentParser) -> None:
    usual = SteerAsk(model_id="", pushes=())
    steer.add_argument("model", metavar="MODEL")
    steer.add_argument("prompt", metavar="PROMPT")
    steer.add_argument(
        "--feature", dest="features", nargs="+", action="extend", required=True, metavar="ID=STRENGTH",
        help="what steers, for example scribe-4l/2-res/78=30, or 2-res/78=30; without a strength for --method ablate",
    )  # fmt: skip
    steer.add_argument(
        "--method", choices=get_args(Method),
        help="what is done to the activation: its direction added, its part along it multiplied or capped, its value "
        "set, or set to 0; default: add",
    )  # fmt: skip
    steer.add_argument("--where", choices=get_args(Where), help="which positions; default: all but special tokens")
    steer.add_argument("--length", type=int, metavar="N", help=f"tokens to generate; default: {usual.length}")
    steer.add_argument("--temperature", type=float, metavar="T", help=f"default: {usual.temperature}")
    steer.add_argument("--top-p", type=float, metavar="P", help=f"default: {usual.top_p}")
    steer.add_argument("--penalty", dest="frequency_penalty", type=float, metavar="F", help="of frequency; default: 0")
    steer.add_argument("--seed", type=int, metavar="S", help=f"default: {usual.seed}")
    steer.add_argument("--unit", action="store_true", help="divide directions by their length first")
    times = ", ".join(f"{factor:g}" for factor in SWEEP)
    steer.add_argument("--sweep", action="store_true", help=f"steered at {times} times the strength")


def _suite_verb(suite: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    about = (
        "Runs test suites. Exit status 0: every text came out as it should; 1: some did not; 2: one could not be run."
    )
    jobs = suite.add_subparsers(title="jobs", required=True, metavar="JOB")
    run = jobs.add_parser("run", parents=[common], help="run suites", description=about)
    run.add_argument("suites", nargs="+", metavar="FILE|ID", help="as the suite's page exports it, or its id here")
    run.add_argument("--no-keep", action="store_true", help="leave the run of a suite by its id out of its page")
    run.set_defaults(run=_suite_run)
    listed = jobs.add_parser("list", parents=[common], help="the suites that are kept here", description="Lists them.")
    listed.set_defaults(run=_suite_list)


def _community_verb(community: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    jobs = community.add_subparsers(title="jobs", required=True, metavar="JOB")
    who = "On Supabase both take the project's secret key, SUPABASE_SECRET_KEY; API keys stay behind."
    out = jobs.add_parser("export", parents=[common], help="everything, or one person's", description=who)
    out.add_argument("--out", type=Path, metavar="FILE", help="where to; default: standard output")
    out.add_argument("--person", metavar="NAME", help="only what this person has; default: everybody's")
    out.set_defaults(run=_community_export)
    into = jobs.add_parser("import", parents=[common], help="what such a file holds and is not here", description=who)
    into.add_argument("file", type=Path, metavar="FILE")
    into.add_argument("--as", dest="person", metavar="NAME", help="whom the file's person is here")
    into.set_defaults(run=_community_import)


def _space_verb(space: argparse.ArgumentParser) -> None:
    space.add_argument("folder", type=Path, metavar="DIR", help="where to write it; not there yet, or empty")
    space.add_argument(
        "--app", choices=["tester", "steer", "workbench"], required=True,
        help="one of the embeds by itself, or everything",
    )  # fmt: skip
    space.add_argument(
        "--source", dest="sources", nargs="+", action="extend", default=[], metavar="MODEL/SOURCE",
        help="what it shows; default: the source of --feature, of the workbench all",
    )  # fmt: skip
    space.add_argument(
        "--feature", default="", metavar="ID", help="what it opens on; with --app steer also ID=STRENGTH"
    )
    space.add_argument("--text", default="", help="what it tests or goes on from at first")
    space.add_argument("--title", default="", help="its name on the hub")
    space.add_argument("--force", action="store_true", help="write over a Space that this command wrote there")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _positions(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a list of positions such as 3,4") from None


def _sources(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    sources = workbench.sources()
    header = ("source", "kind", "hook", "width", "alive", "tokens", "release")
    rows = [(str(s.key), s.kind, _hooks(s), s.width, s.alive, s.tokens, s.release.name) for s in sources]
    answer = {"sources": [neuronpedia.catalog_entry(source) for source in sources]}
    roots = " and ".join(str(root) for root in workbench.settings.roots())
    return answer, lambda: table(header, rows) if rows else f"There are no sources in {roots}."


def _hooks(source: SourceRecord) -> str:
    """Where it reads and, where that is elsewhere, writes."""
    return f"{source.hook} → {source.hook_out}" if source.hook_out else source.hook


def _build(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    with closing(Bar()) as bar, written(asked.progress, bar) as progress:
        report = workbench.build(asked.config, progress, asked.engine)
        progress.answer = {"built": [*map(str, (one.key for one in report.sources)), *map(str, report.skipped)]}
    answer = {
        "sources": [neuronpedia.catalog_entry(source) for source in report.sources],
        "skipped": [str(key) for key in report.skipped],
        "tokens": report.tokens,
        "seconds": report.seconds,
    }

    def text() -> str:
        lines = [f"built    {made.key}  {made.width:,} features, {made.alive:,} alive" for made in report.sources]
        lines += [f"skipped  {key}  (complete already)" for key in report.skipped]
        return "\n".join([*lines, f"{report.tokens:,} tokens in {report.seconds:.1f} s"])

    return answer, text


def _feature(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    record = workbench.feature(asked.id)
    return neuronpedia.feature(record, said=workbench.words.of(record.key)), lambda: _feature_text(record)


def _feature_text(record: FeatureRecord) -> str:
    source = record.source
    parts = [
        facts(
            [
                ("feature", record.key),
                ("label", record.label),
                ("hook", _hooks(source)),
                ("density", f"{record.density:.4%}  ({record.active:,} of {source.tokens:,} tokens)"),
                ("maximum", record.maximum),
                ("mean", f"{record.mean:.4g} ± {record.deviation:.4g}  over active tokens"),
                *_effects(record),
                ("neighbours", _related(record.neighbours)),
                ("coordinates", _related(record.alignment)),
            ]
        )
    ]
    top = next((group for group in record.groups if group.examples), None)
    if top is not None:
        rows = [
            (shown.value, f"×{shown.repeats}", _context(shown.tokens, shown.position)) for shown in top.examples[:10]
        ]
        parts.append(table(("value", "folded", "context"), rows))
    else:
        parts.append("No counted token activates it.")
    return "\n\n".join(parts)


def _effects(record: FeatureRecord) -> list[tuple[str, str]]:
    """What it promotes and suppresses, or why there is no such thing."""
    if not record.top_logits:
        return [("logits", "none: its decoder does not write to the residual stream")]
    return [("promotes", _tokens(record.top_logits)), ("suppresses", _tokens(record.bottom_logits))]


def _tokens(entries: Iterable[TokenValue]) -> str:
    return "  ".join(f"“{visible(entry.token.text)}” {entry.value:.2f}" for entry in list(entries)[:8])


def _related(entries: Iterable[Related]) -> str:
    return "  ".join(f"{entry.index} {entry.value:.2f}" for entry in list(entries)[:8])


def _context(tokens: Sequence[Any], position: int) -> str:
    """Some tokens around a position, which is marked."""
    low, high = max(0, position - 10), position + 6
    texts = [visible(token.text) if not token.special else "" for token in tokens]
    return "".join([*texts[low:position], f"⟦{texts[position]}⟧", *texts[position + 1 : high]])


def _test(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    records = workbench.test(asked.id, asked.texts)
    answers = [neuronpedia.activation(record) for record in records]
    return answers[0] if len(answers) == 1 else answers, lambda: "\n\n".join(_test_text(record) for record in records)


def _test_text(record: TestRecord) -> str:
    head = "silent" if record.position is None else f"maximum {record.maximum:.4g} at position {record.position}"
    rows = [
        (position, token.text, value)
        for position, (token, value) in enumerate(zip(record.tokens, record.values, strict=True))
        if not token.special
    ]
    return f"{record.key}: {head}\n" + table(("position", "token", "value"), rows)


def _search(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """What is left out is what the API takes it to be with --json, and what a person wants to see without."""
    measure: Measure = asked.sort or ("value" if asked.json else "surprise")
    record = workbench.search(
        asked.model,
        asked.text,
        sources=workbench.choose(asked.model, asked.sources),
        measure=measure,
        combine="sum" if asked.tokens else "max",
        positions=asked.tokens,
        densest=asked.density,
        top=min(50 if asked.json else 25, workbench.settings.max_results) if asked.top is None else asked.top,
    )
    return neuronpedia.search(record), lambda: _search_text(record)


def _search_text(record: SearchRecord) -> str:
    tokens = "  ".join(f"{n} “{visible(t.text)}”" for n, t in enumerate(record.tokens) if not t.special)
    over = f", summed over tokens {', '.join(map(str, record.positions))}" if record.positions else ""
    header = ("feature", "name", "token", "at", "value", "of maximum", "percentile", "surprise", "density")
    counts = [(c.key.source_id, c.layer, c.kind, c.active, c.among, c.own) for c in record.sources]
    parts = [
        tokens,
        f"{len(record.hits)} of {record.total:,} features that are active, by {record.measure}{over}",
        table(header, [_hit_row(record, hit) for hit in record.hits]),
        table(("source", "layer", "kind", "active", "of the 25 best", "own token of its 25"), counts),
    ]
    if record.left_out:
        parts.append("\n".join(f"{left.key} is left out: {visible(left.why)}" for left in record.left_out))
    return "\n\n".join(parts)


def _hit_row(record: SearchRecord, hit: SearchHit) -> tuple[object, ...]:
    return (
        str(hit.key), hit.label, record.tokens[hit.position].text, hit.position, hit.maximum, hit.fraction,
        hit.percentile, hit.surprise, f"{hit.density:.3%}",
    )  # fmt: skip


def _steer(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    ask = _ask(asked)
    if asked.sweep:
        swept = workbench.sweep(ask)
        return steering.sweep(swept), lambda: _sweep_text(swept)
    with closing(Growing()) as shown, closing(workbench.steering(ask, keep=True)) as records:
        for record in records:
            shown(_texts(record))
    return steering.completion(record), lambda: _steer_text(record)


def _ask(asked: argparse.Namespace) -> SteerAsk:
    strengths: dict[str | FeatureKey, float] = {}
    for given in asked.features:
        name, _, strength = given.partition("=")
        key = FeatureKey.parse(name if name.count("/") != 1 else f"{asked.model}/{name}")
        if key in strengths:
            raise BadInput(f"{key} is named twice: give it one strength.")
        strengths[key] = _strength(given, strength, needed=asked.method != "ablate")
    names = ("method", "where", "length", "temperature", "top_p", "frequency_penalty", "seed")
    more = {name: value for name in names if (value := getattr(asked, name)) is not None}
    return SteerAsk.of(asked.model, asked.prompt, strengths, unit=asked.unit, **more)


def _strength(given: str, text: str, *, needed: bool) -> float:
    if not text and not needed:
        return 0.0
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"“{given[:96]}” has no strength: write {given.split('=')[0][:96]}=30.") from None


def _texts(record: SteerRecord) -> str:
    both = (("default", record.default), ("steered", record.steered))
    return "\n\n".join(f"{name}\n{visible_lines(text.text)}" for name, text in both)


def _steer_text(record: SteerRecord) -> str:
    parts = [_pushes_text(record.pushes), _texts(record)]
    if record.effect is not None:
        lines = [
            ("more likely", _shifts(record.effect.gains)),
            ("less likely", _shifts(record.effect.losses)),
            ("divergence", f"{record.effect.divergence:.4g} nats, of the next token"),
        ]
        parts.append(facts([*lines, ("saved as", f"/steer?run={record.run}")]))
    return "\n\n".join(parts)


def _shifts(shifts: Iterable[Shift]) -> str:
    return "  ".join(f"“{visible(one.token.text)}” {one.before:.3g} → {one.after:.3g}" for one in list(shifts)[:5])


def _pushes_text(pushes: Iterable[PushRecord]) -> str:
    rows = [
        (str(p.key), p.strength, p.strength / p.maximum if p.maximum else "", p.hook, p.label or "no label")
        for p in pushes
    ]
    return table(("feature", "strength", "of maximum", "at", "name"), rows)


def _sweep_text(record: SweepRecord) -> str:
    rows = [
        (row.factor, row.divergence, "" if row.perplexity is None else row.perplexity, row.text.text)
        for row in record.rows
    ]
    return f"{_pushes_text(record.pushes)}\n\n" + table(("times", "divergence", "perplexity", "text"), rows)


def _space(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    from core.space import write_space

    made = write_space(
        workbench, asked.folder, app=asked.app, sources=asked.sources, feature=asked.feature, text=asked.text,
        title=asked.title, force=asked.force,
    )  # fmt: skip
    answer = {
        "folder": str(made.folder), "app": made.app, "title": made.title, "sources": [str(key) for key in made.sources],
        "files": made.files, "bytes": made.bytes, "memory": made.memory, "fetched": list(made.fetched),
        "licences": [{"part": one.part, "licence": one.name, "link": one.link} for one in made.licences],
        "kept": list(made.kept), "warnings": made.warnings(),
    }  # fmt: skip
    return answer, lambda: _space_text(made)


def _space_text(made: SpaceRecord) -> str:
    sdk = "docker" if made.app == "workbench" else "gradio"
    fetches = f", and fetches {', '.join(made.fetched)}" if made.fetched else ""
    lines = [
        f"{made.folder}: {made.files} files, {made.bytes / 2**20:.1f} MiB{fetches}",
        f"Its weights take {made.memory / 2**20:.0f} MiB of memory in float32. A free Space has 2 cores, 16 GB of "
        "memory and 50 GB of disk, which PyTorch and the other libraries share.",
        *(f"To see to: {visible(one)}" for one in made.warnings()),
        "",
        "To push it, with your own name for NAME, after `hf auth login`:",
        f"  hf repos create NAME --type space --sdk {sdk}",
        f"  hf upload NAME {shlex.quote(str(made.folder))} . --type space",
    ]
    if sdk == "gradio":
        lines += ["To try it here:", f"  cd {shlex.quote(str(made.folder))} && python app.py"]
    return "\n".join(lines)


def _suite_list(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    people = workbench.community.people()
    own = people.suites.mine() if people.me else ()
    found = {suite.id: suite for suite in (*own, *people.suites.newest(limit=1000))}.values()
    answer = {
        "suites": [
            {
                "id": s.id, "name": s.name, "feature": str(s.feature), "owner": s.owner_name, "texts": len(s.cases),
                "threshold": s.threshold, "visibility": s.visibility,
                "last": None if s.last is None else asdict(s.last),
            }
            for s in found
        ]
    }  # fmt: skip
    rows = [(s.id, s.name, str(s.feature), len(s.cases), *_last(s)) for s in found]
    header = ("id", "name", "feature", "texts", "passed", "last run")
    return answer, lambda: table(header, rows) if rows else "There are no test suites here."


def _last(suite: Suite) -> tuple[str, str]:
    if suite.last is None:
        return "-", "-"
    passed, of = suite.last.passed, suite.last.passed + suite.last.failed
    return f"{passed} of {of}", suite.last.made[:16].replace("T", " ")


def _suite_run(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """Every suite is run, whatever becomes of those before it; the worst of them is the exit status."""
    from core.interchange import suites as suites_file  # brings SQLAlchemy, which takes a quarter of a second

    answers: list[dict[str, Any]] = []
    texts: list[str] = []
    for name in asked.suites:
        try:
            suites = _suites_of(workbench, name)
        except WorkbenchError as error:
            suites = ()
            _suite_failed(asked, answers, texts, name, error)
        for suite in suites:
            try:
                run = _run_and_keep(workbench, suite, keep=not asked.no_keep)
            except WorkbenchError as error:
                _suite_failed(asked, answers, texts, suite.name, error)
                continue
            asked.status = max(asked.status, 1 if run.failed else 0)
            changed = suite.last is not None and suite.last.build != run.build
            answers.append(suites_file.answer(suite, run) | {"changed": changed})
            texts.append(_suite_text(suite, run, changed=changed))
    return {"ok": asked.status == 0, "suites": answers}, lambda: "\n\n".join(texts)


def _suite_failed(
    asked: argparse.Namespace, answers: list[dict[str, Any]], texts: list[str], name: str, error: WorkbenchError
) -> None:
    asked.status = 2
    answers.append({"name": name, "ok": False, "error": str(error)})
    texts.append(f"{visible(name)}  cannot be run")
    print(f"error: {visible(name)}: {visible(str(error))}", file=sys.stderr)


def _suites_of(workbench: Workbench, name: str) -> tuple[Suite, ...]:
    """By an id, or from a file."""
    from core.interchange import suites as suites_file

    path = Path(name)
    try:
        if path.is_file():
            return suites_file.read(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The file cannot be read: {getattr(error, 'strerror', None) or error}.") from error
    if "/" in name or "." in name:
        raise NotFound("There is no such file.")
    return (workbench.community.people().suites.get(name),)


def _run_and_keep(workbench: Workbench, suite: Suite, *, keep: bool) -> SuiteRun:
    with closing(Bar()) as bar:
        run = workbench.run_suite(suite, tell=lambda step: bar(f"running {suite.name}", step.done, step.of or 1))
    people = workbench.community.people()
    if keep and suite.id and people.me is not None and people.me.id == suite.owner:
        try:
            people.suites.keep(run)
        except WorkbenchError as error:  # the verdict stands all the same
            print(f"not kept: {visible(str(error))}", file=sys.stderr)
    return run


def _suite_text(suite: Suite, run: SuiteRun, *, changed: bool) -> str:
    """What failed first, each with how far it is from the threshold."""
    rows = [
        ("pass" if one.passed else "FAIL", "fires" if one.case.fires else "silent",
         "-" if one.value is None else one.value, "-" if one.value is None else one.value - run.threshold,
         one.why or one.case.text)
        for one in sorted(run.results, key=lambda one: one.passed)
    ]  # fmt: skip
    lines = [
        f"{visible(suite.name)}  {suite.feature}  fires above {run.threshold:.4g}  build {run.build}",
        table(("", "should", "value", "margin", "text"), rows),
        f"{run.passed} passed, {run.failed} failed",
    ]
    if changed and suite.last is not None:
        lines.append(f"The source is another than at the last run, in which {suite.last.passed} passed.")
    return "\n".join(lines)


def _community_export(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    from core.community import carry

    if asked.json and asked.out is None:
        raise BadInput("The export is JSON lines by itself: leave out --json, or name a file with --out.")
    lines = _carrier(workbench).export(asked.person)
    if asked.out is None:
        sys.stdout.buffer.write(b"".join(lines))
        return {}, lambda: ""
    carry.write(asked.out, lines)
    return {"file": str(asked.out), "rows": len(lines) - 2}, lambda: f"{asked.out}: {len(lines) - 2:,} rows"


def _community_import(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    done = _carrier(workbench).load(asked.file, asked.person)
    answer = {"new": done.new, "there": done.there, "left_out": done.left_out}

    def text() -> str:
        rows = [(name.replace("_", " "), count) for name, count in done.new.items()]
        parts = [table(("new", "rows"), rows)] if rows else ["Nothing new."]
        if done.there:
            parts.append(f"{done.there:,} were here already.")
        if done.left_out:
            parts.append(f"{done.left_out:,} are left out: the list or comment that they are on is not here.")
        return "\n".join(parts)

    return answer, text


def _carrier(workbench: Workbench) -> Carrier:
    from core.community.carry import Carrier

    return Carrier(workbench.community.community, workbench.settings.supabase_secret_key.get_secret_value())


def _check(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    with closing(Bar()) as bar:
        reports = workbench.check(asked.sources, bar)
    asked.status = 0 if all(report.ok for report in reports) else 1
    answer = {
        "ok": asked.status == 0,
        "reports": [
            {
                "name": report.name,
                "ok": report.ok,
                "files": report.files,
                "bytes": report.bytes,
                "entries": report.entries,
                "problems": list(report.problems),
            }
            for report in reports
        ],
    }

    def text() -> str:
        rows = [(r.name, "ok" if r.ok else "damaged", r.files, r.bytes, r.entries) for r in reports]
        lines = (
            [table(("name", "state", "files", "bytes", "entries"), rows)] if rows else ["There is nothing to check."]
        )
        lines += [f"{report.name}: {visible(problem)}" for report in reports for problem in report.problems]
        return "\n".join(lines)

    return answer, text


if __name__ == "__main__":
    sys.exit(main())
