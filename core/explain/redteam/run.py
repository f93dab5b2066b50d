"""Red-teaming: texts are made to break a hypothesis about a feature, the engine reads them, what came of it is told.

    should fire, fired    should fire, silent
    should not, fired     should not, silent

The texts are chosen to be hard, so that these figures say how a hypothesis stands up to them and are no estimate of how
often it is right; several of them are about one phrase, and not independent. A text fires where the feature's largest
value over its tokens, BOS left out, is above a share of its maximum, as in a test suite. What the hypothesis says
nothing of counts in no figure. With the seed, everything is the same again. Cost: at most `MOST` short texts through
the model, and what the makers take (`templates`, `letters`, `neighbours`, `corpus`, `writer`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from core.community import suites
from core.community.records import Case as SuiteCase
from core.community.records import CaseResult
from core.errors import BadInput, NotAvailable, WorkbenchError
from core.explain.annotation.figures import interval, share_interval
from core.explain.redteam import corpus, letters, lines, neighbours, templates, writer
from core.explain.redteam.hypothesis import Hypothesis, Role, parse
from core.explain.redteam.making import LONGEST, Ground, Maker, digits, in_turn
from core.explain.redteam.records import (
    FEWEST,
    GOOD,
    MOST,
    Case,
    Counted,
    RedTeam,
    Text,
    Verdict,
)
from core.explain.redteam.sentences import corpus as read_corpus
from core.explain.scoring import measures
from core.records import FeatureKey, FeatureRecord, Step, Tell
from core.techniques.substitution import slot_of

if TYPE_CHECKING:
    from core.explain.kept import Kept
    from core.explain.machine.client import Endpoint
    from core.explain.meaning.embedder import Embedder
    from core.workbench import Workbench

MAKERS: dict[str, Maker] = {one.name: one for one in (templates.MAKER, letters.MAKER, neighbours.MAKER, corpus.MAKER)}
"""Those that need no language model."""
ABOUT = {name: one.about for name, one in MAKERS.items()} | {writer.NAME: "written by a language model"}


def redteam(
    bench: Workbench, key: FeatureKey, said: str | Hypothesis, *, share: float, texts: int, seed: int,
    makers: Sequence[str], embedder: Callable[[], Embedder], kept: Callable[[], Kept], endpoint: Endpoint | None,
    ask: bool, budget: float | None, seconds: float | None, tell: Tell | None,
) -> RedTeam:  # fmt: skip
    """See `core.explain.door.Words.redteam`."""
    hypothesis = parse(said) if isinstance(said, str) else said
    chosen = check(share, texts, makers)
    record = bench.feature(key)
    maximum = _ready(record)
    threshold = share * maximum
    lacks: list[str] = []
    written = writer.Written()
    if endpoint is not None:
        written = writer.write(
            hypothesis, key, endpoint, kept(), budget=budget, seconds=seconds, ask=ask, tell=_writing(endpoint, tell)
        )
        lacks += written.lacks
    ground = Ground(
        bench=bench, record=record, hypothesis=hypothesis, threshold=threshold, seed=seed,
        corpus=cache(lambda: read_corpus(bench, key.source)), embedder=embedder, tell=tell,
    )  # fmt: skip
    made = _texts(ground, chosen, texts, written.texts, lacks)
    lacks += _pieces(ground)
    if any(part.letters for part in hypothesis.words) and lines.read(hypothesis.text) is not None:
        lacks.append(
            "The pieces of words in an annotation’s line are tokens of the model; here they are read as letters, which "
            "words have too that the model cuts elsewhere."
        )
    if not made:
        raise NotAvailable(f"No text could be made of this hypothesis. {' '.join(lacks)}".strip())
    cases = _cases(bench, ground, made, tell)
    if not any(case.expected for case in cases):
        lacks.append(
            "No text could be made on which the feature should fire, since the hypothesis names kinds of things and no "
            "words: say which of the words below are meant, or have a language model write."
        )
    return _record(ground, share, maximum, cases, lacks, endpoint, written)


def checked(bench: Workbench, key: FeatureKey, said: str) -> Hypothesis:
    """A hypothesis as it is read, of a feature that can be tested."""
    _ready(bench.feature(key))
    return parse(said)


def check(share: float, texts: int, makers: Sequence[str]) -> list[Maker]:
    """The makers that are meant, all without any; raises `BadInput` for a number out of bounds or a name of none."""
    if not 0 < share < 1:
        raise BadInput(f"The share of the maximum is above 0 and below 1, not {share:g}.")
    if not FEWEST <= texts <= MOST:
        raise BadInput(f"{FEWEST} to {MOST} texts can be made, not {texts:,}.")
    for name in makers:
        if name not in MAKERS:
            raise BadInput(f"There is no maker of texts “{name[:40]}”. There is: {', '.join(MAKERS)}.")
    return [MAKERS[name] for name in dict.fromkeys(makers)] or list(MAKERS.values())


def _ready(record: FeatureRecord) -> float:
    """The feature's maximum; raises `NotAvailable` where nothing could be tested."""
    if "weights" not in record.source.has:
        raise NotAvailable(f"{record.key.source} was imported without its weights, so no text can be run on it.")
    if record.dead or record.maximum <= 0:
        raise NotAvailable(f"{record.key} is never active on the build's texts: there is no maximum to measure by.")
    return float(record.maximum)


# -- making ----------------------------------------------------------------------------------------------------------


def _texts(
    ground: Ground, makers: Sequence[Maker], most: int, written: Sequence[Text], lacks: list[str]
) -> list[Text]:
    """Texts by all makers, each once, `most` together; what cannot make any is told in `lacks`."""
    found: dict[str, Text] = {}
    room = most - min(len(written), most // 2)
    parts = sum(maker.part for maker in makers)
    for one in written[: most - room]:
        found.setdefault(one.text, one)
    for maker in makers:
        quota = max(2, room * maker.part // parts)
        try:
            for one in _some(maker, ground, found, quota):
                found[one.text] = one
        except WorkbenchError as error:
            lacks.append(f"No {maker.name}: {error}")
    return list(found.values())[:most]


def _pieces(ground: Ground) -> Iterator[str]:
    """Which phrases are no words of the build's texts though their letters stand in some."""
    words = ground.corpus().words
    known = {word.lower() for word in words}
    for part in ground.hypothesis.words:
        phrase = part.phrase.lower()
        if not part.letters and phrase.isalpha() and phrase not in known and any(phrase in word for word in known):
            yield (
                f"“{part.phrase}” is no word of the build’s texts: for these letters in any word, say the letters "
                f"{part.phrase}."
            )


def _some(maker: Maker, ground: Ground, there: dict[str, Text], quota: int) -> Iterator[Text]:
    """So many texts of a maker that are not there yet and can be read."""
    new = (
        one
        for one in maker.make(ground, 2 * quota)
        if one.text not in there and one.text.strip() and len(one.text) <= LONGEST and "\0" not in one.text
    )
    yield from islice(new, quota)


def _writing(endpoint: Endpoint, tell: Tell | None) -> Callable[[int, int], None] | None:
    if tell is None:
        return None
    return lambda done, of: tell(Step(doing="writing", what=endpoint.model, done=done, of=of))


# -- reading ---------------------------------------------------------------------------------------------------------


def _cases(bench: Workbench, ground: Ground, made: Sequence[Text], tell: Tell | None) -> tuple[Case, ...]:
    asked = [SuiteCase(one.text, bool(one.expected)) for one in made]
    suite = suites.draft(ground.record.key, "a hypothesis", asked, threshold=ground.threshold)
    results = {result.case.text: result for result in bench.run_suite(suite, tell=tell).results}
    # the engine reads a text with its line breaks made plain
    cases = [_case(ground, one, results[one.text.replace("\r\n", "\n").replace("\r", "\n")]) for one in made]

    def place(case: Case) -> tuple[int, float, str]:
        rank = 0 if case.value is None else 1 if case.expected is None else 2
        value = case.value or 0.0
        return rank, (0.0, -value, abs(value - ground.threshold))[rank], case.id

    others = sorted((case for case in cases if case.right is not False), key=place)
    return (*_surprising(cases), *others)


def _surprising(cases: Sequence[Case]) -> Iterator[Case]:
    """Those that came out otherwise: the most surprising of each kind, then the next of each, so that none hides more.

    A kind is a phrase of the hypothesis, a word of the letters' traps, or what has none of the phrases.
    """
    kinds: dict[tuple[bool | None, str], list[Case]] = {}
    for case in sorted(cases, key=lambda case: (-case.surprise, case.id)):
        if case.right is False:
            kinds.setdefault((case.expected, case.phrase if case.role else case.maker), []).append(case)
    yield from in_turn(list(kinds.values()))


def _case(ground: Ground, one: Text, result: CaseResult) -> Case:
    case = Case(
        id=digits(one.text), text=one.text, expected=one.expected, maker=one.maker, why=one.why, phrase=one.phrase,
        role=one.role, value=None, fired=False, position=None, on_phrase=None, surprise=0.0, problem=result.why,
    )  # fmt: skip
    if result.value is None or result.test is None:
        return case
    test, value = result.test, result.value
    counted = [n for n, token in enumerate(test.tokens) if not token.special]
    position = max(counted, key=lambda n: test.values[n], default=None)
    if position is not None and test.values[position] <= 0:
        position = None
    fired = value > ground.threshold
    on: bool | None = None
    if one.begin is not None and one.phrase and position is not None:
        said = (part for part in ground.hypothesis.words if (part.role, part.phrase) == (one.role, one.phrase))
        end = one.begin + len(next((part.text for part in said), one.phrase))
        slot = slot_of(test.tokens, test.text, one.begin, one.text[one.begin : end])
        on = bool(slot) and slot[0] <= position <= slot[-1] + 1
    return replace(
        case, value=value, fired=fired, position=position, on_phrase=on, tokens=test.tokens, values=test.values,
        surprise=_surprise(one.expected, value, ground.threshold, float(ground.record.maximum)),
    )  # fmt: skip


def _surprise(expected: bool | None, value: float, threshold: float, maximum: float) -> float:
    if expected is None or expected == (value > threshold):
        return 0.0
    return min(1.0, 1.0 - value / threshold if expected else value / maximum)


# -- telling ---------------------------------------------------------------------------------------------------------


def _record(
    ground: Ground, share: float, maximum: float, cases: tuple[Case, ...], lacks: list[str],
    endpoint: Endpoint | None, written: writer.Written,
) -> RedTeam:  # fmt: skip
    truth = [bool(case.expected) for case in cases if case.right is not None]
    said = [case.fired for case in cases if case.right is not None]
    figures: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    verdict: Verdict = "undecided"
    if len(set(truth)) == 2:
        figures = measures.rounded(measures.labels(truth, said))
        intervals = _intervals(truth, said)
        verdict = _verdict(figures["recall"], figures["specificity"])
    made = RedTeam(
        key=ground.record.key, hypothesis=ground.hypothesis, threshold=ground.threshold, share=share, maximum=maximum,
        seed=ground.seed, cases=cases, verdict=verdict, line="", measures=figures, intervals=intervals,
        phrases=tuple(_phrases(ground.hypothesis, cases)), makers=tuple(_makers(cases)),
        covered=corpus.covered(ground), lacks=tuple(lacks), build=ground.bench.build_of(ground.record.key.source),
        writer=endpoint.model if endpoint else "", usd=written.usd,
    )  # fmt: skip
    return replace(made, line=_line(made))


def _intervals(truth: Sequence[bool], said: Sequence[bool]) -> dict[str, tuple[float, float]]:
    pairs = list(zip(truth, said, strict=True))
    tp, fp = pairs.count((True, True)), pairs.count((False, True))
    fn, tn = pairs.count((True, False)), pairs.count((False, False))
    found = {"recall": share_interval(tp, tp + fn), "specificity": share_interval(tn, tn + fp)}
    if tp + fp:
        found["precision"] = share_interval(tp, tp + fp)
    found["balanced_accuracy"] = interval(tp, tp + fn, tn, tn + fp)
    return {name: (round(low, 6), round(high, 6)) for name, (low, high) in found.items()}


def _verdict(recall: float, specificity: float) -> Verdict:
    if recall <= 1 - GOOD:
        return "wrong"
    if recall >= GOOD:
        return "holds" if specificity >= GOOD else "fires on more"
    return "fires on less" if specificity >= GOOD else "wrong"


def _line(one: RedTeam) -> str:
    (hit, missed), (false, quiet) = one.table
    fired, should, other = hit, hit + missed, false + quiet
    counts = f"it fires on {fired} of {should} texts that should fire, and on {false} of {other} that should not"
    if one.verdict == "undecided":
        kind = "should not fire" if should else "should fire"
        return f"Nothing can be said: there is no text on which it {kind}." if should + other else (
            "Nothing can be said: of no text the hypothesis says whether the feature should fire on it."
        )  # fmt: skip
    head = {
        "holds": "It holds on these texts", "fires on more": "The feature fires on more than that",
        "fires on less": "The feature fires on less than that", "wrong": "It does not hold",
    }[one.verdict]  # fmt: skip
    more = []
    never = [p.name for p in one.phrases if p.role != "not" and p.should and not p.should_fired]
    if never and hit:
        more.append(f"never on {_named(never)}")
    wrongly = [p.name for p in one.phrases if p.role == "not" and p.silent and p.silent_fired * 2 > p.silent]
    if wrongly:
        more.append(f"also on {_named(wrongly)}")
    elsewhere = [c for c in one.cases if c.expected and c.fired and c.on_phrase is not None]
    if elsewhere and sum(c.on_phrase is False for c in elsewhere) * 2 > len(elsewhere):
        more.append("mostly not on the phrase itself")
    return f"{head}: {counts}{''.join(f'; {one}' for one in more)}."


def _named(some: Sequence[str]) -> str:
    shown = [f"“{one}”" for one in some[:3]]
    return ", ".join(shown) + (f" and {len(some) - 3} more" if len(some) > 3 else "")


def _phrases(hypothesis: Hypothesis, cases: Sequence[Case]) -> Iterator[Counted]:
    """Each phrase of the hypothesis, in its order; then those of which it says nothing, the strongest first."""
    for part in hypothesis.words:
        some = [case for case in cases if case.role == part.role and case.phrase == part.phrase]
        yield _counted(f"*{part.phrase}*" if part.letters else part.phrase, some, role=part.role)
    names = dict.fromkeys(case.phrase for case in cases if case.expected is None and case.phrase)
    others = [_counted(name, [c for c in cases if c.role is None and c.phrase == name]) for name in names]
    yield from sorted(others, key=lambda one: (-one.mean, one.name))


def _makers(cases: Sequence[Case]) -> Iterator[Counted]:
    for name, about in ABOUT.items():
        if some := [case for case in cases if case.maker == name]:
            yield replace(_counted(name, some), about=about)


def _counted(name: str, cases: Sequence[Case], *, role: Role | None = None) -> Counted:
    read = [case for case in cases if case.value is not None]
    sums = {said: [case.fired for case in read if case.expected is said] for said in (True, False, None)}
    return Counted(
        name=name, role=role, should=len(sums[True]),
        should_fired=sum(sums[True]), silent=len(sums[False]), silent_fired=sum(sums[False]),
        unsaid=len(sums[None]), unsaid_fired=sum(sums[None]),
        mean=sum(case.value or 0.0 for case in read) / len(read) if read else 0.0,
    )  # fmt: skip
