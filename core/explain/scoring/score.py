"""One explanation's score by one scorer, and beside it what another, random feature's explanation gets.

The control is drawn from the same source, by a hash of the explanation: preferably one by the same method and model, so
that it differs in what it says and not in how. It is judged on the same examples; a scorer that gives a high score to
anybody's words shows it there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import BadInput, Busy, NotAvailable, WorkbenchError
from core.explain.examples import Tests, to_test
from core.explain.kept import Kept, digest, now
from core.explain.machine.asking import Asker, OverBudget
from core.explain.machine.client import Endpoint, NoAnswer, Stopped
from core.explain.machine.prices import count, table
from core.explain.records import Brief, Estimate, Explanation, Score, Scorer, Verdict
from core.explain.scoring import NAMES, detection, embedding, fuzzing, measures, simulation
from core.explain.scoring.judging import Item, Judged, Said, chunks
from core.records import FeatureKey

if TYPE_CHECKING:
    from core.workbench import Workbench

JUDGED: Mapping[str, Judged] = {one.NAME: one for one in (detection, fuzzing, simulation)}
VERSIONS: Mapping[str, str] = {
    "detection": detection.VERSION, "fuzzing": fuzzing.VERSION, "simulation": simulation.VERSION,
    "embedding": embedding.VERSION,
}  # fmt: skip
TEMPERATURE = 0.0
PASSAGES, CHARACTERS = 40, 135
"""Of a test, for an estimate: how many passages, and how long."""
VALUES: Mapping[str, str] = {
    "detection": "balanced_accuracy", "fuzzing": "balanced_accuracy", "simulation": "pearson", "embedding": "roc_auc",
}  # fmt: skip
"""Which measure a score's value is."""
HALF = 0.5
"""A probability from here on is a yes."""


class Unscorable(NotAvailable):
    """These words cannot be scored so: there is nothing to test on, or nothing that was answered can be read."""


@dataclass(frozen=True, slots=True)
class Means:
    """What scorers work with."""

    asker: Asker | None = None
    """For those that ask a language model."""
    embed: embedding.Embed | None = None
    embedder: str = ""

    def judge(self, scorer: Scorer) -> str:
        """Who judges, as it is kept beside the score."""
        if scorer in JUDGED:
            return self.asker.endpoint.model if self.asker else ""
        return self.embedder if scorer == "embedding" else ""


def check(name: str) -> Scorer:
    """A scorer's name; raises `BadInput` with what there is."""
    if name not in NAMES:
        raise BadInput(f"There is no scorer “{name[:60]}”. There is: {', '.join(NAMES)}.")
    return name  # type: ignore[return-value]  # it is one of them


def score(
    bench: Workbench, explanation: Explanation, scorer: Scorer, means: Means, kept: Kept, *,
    other: Brief | None, tests: Tests | None = None,
) -> Score:  # fmt: skip
    """The score of an explanation; `other` is the control's, judged on the same examples.

    Raises:
        BadInput: it is not for this kind of explanation.
        Unscorable: there is nothing to test on, or nothing that could be read was answered.
    """
    tests = tests or to_test(bench, explanation.feature, annotated=explanation.method == "annotation")
    found = _items(scorer, tests)
    if len({item.fires for item in found}) < 2:
        raise Unscorable(f"{explanation.feature} cannot be scored: {_why(tests)}")
    said = _said(scorer, explanation.text, found, means, kept, explanation.feature)
    value, figures, intervals = _figures(scorer, found, said)
    low, high = intervals[VALUES[scorer]]
    control = None
    if other is not None:
        key = FeatureKey(explanation.feature.model_id, explanation.feature.source_id, other.index)
        answers = _said(scorer, other.text, found, means, kept, explanation.feature)
        try:
            control = _figures(scorer, found, answers, spread=False)[0]
        except Unscorable:
            other = None
    judge = means.judge(scorer)
    return Score(
        id=identity(explanation, scorer, judge), scorer=scorer, judge=judge, value=value, low=low, high=high,
        measures=measures.rounded(figures), intervals=_rounded(intervals), control=control,
        control_of=None if other is None else key, examples=sum(one is not None for one in said),
        failed=sum(one is None for one in said), verdicts=_verdicts(scorer, found, said), prompt=VERSIONS[scorer],
        made=now(), note=" ".join(tests.lacks),
    )  # fmt: skip


def identity(explanation: Explanation, scorer: str, judge: str) -> str:
    """The id of a score: of the words as they are, by this scorer, judge and version of our prompt."""
    text = "\n".join([explanation.id, digest(explanation.text), scorer, judge, VERSIONS[scorer]])
    return "s-" + hashlib.sha256(text.encode()).hexdigest()[:22]


def control(explanation: Explanation, briefs: Sequence[Brief]) -> Brief | None:
    """The explanation of another, random feature of the source; None if there is no other."""
    own, words = explanation.feature.index, explanation.text.strip().lower()
    others = [one for one in briefs if one.index != own and one.text.strip().lower() != words]
    for like in (
        [one for one in others if (one.method, one.model) == (explanation.method, explanation.model)],
        [one for one in others if one.origin == explanation.origin],
        others,
    ):
        if like:
            like.sort(key=lambda one: hashlib.sha256(f"{explanation.id}:{one.index}:{one.id}".encode()).digest())
            return like[0]
    return None


def estimate(explanations: Sequence[Explanation], scorer: Scorer, endpoint: Endpoint | None, there: int) -> Estimate:
    """What scoring them would take, from passages of usual length; asks nobody."""
    todo = len(explanations) - there
    if scorer not in JUDGED or endpoint is None:
        return Estimate(
            model="", things=len(explanations), there=there, asks=0, read=0, written=0, usd=0.0,
            note="No language model is asked.",
        )  # fmt: skip
    judged = JUDGED[scorer]
    per_token = CHARACTERS / 32 + 4
    each = PASSAGES / judged.PER_ASK
    size = CHARACTERS if scorer != "simulation" else 32 * per_token
    text = "x" * round(60 + judged.PER_ASK * size)
    read = count(
        [{"role": "system", "content": judged.messages("", [])[0]["content"]}, {"role": "user", "content": text}]
    )
    asks = round(each) * 2 * todo
    written = asks * judged.PER_ASK * (8 if scorer != "simulation" else 24)
    price = endpoint.costs()
    note = f"{PASSAGES} passages each, and as many for the control; tokens are counted from characters"
    note += f"; the price of {endpoint.model} is not in configs/prices.yaml." if price is None else (
        "." if endpoint.here or endpoint.price else f"; prices as of {table().dated}."
    )  # fmt: skip
    return Estimate(
        model=endpoint.model, things=len(explanations), there=there, asks=asks, read=asks * read, written=written,
        usd=None if price is None else price.of(asks * read, written), note=note,
    )  # fmt: skip


# -- inside ----------------------------------------------------------------------------------------------------------


def _items(scorer: Scorer, tests: Tests) -> list[Item]:
    return JUDGED[scorer].items(tests) if scorer in JUDGED else embedding.items(tests)


def _said(
    scorer: Scorer, text: str, items: Sequence[Item], means: Means, kept: Kept, tested: FeatureKey
) -> Sequence[Said | None]:
    """What is said of each item of the feature `tested` for the words `text`."""
    if scorer == "embedding":
        if means.embed is None:
            raise NotAvailable("No embedder is at hand.")
        return embedding.said(text, items, means.embed)
    if means.asker is None:
        raise BadInput(f"{scorer.capitalize()} asks a language model: name one.")
    judged, made = JUDGED[scorer], list[Said | None]()
    for some in chunks(items, judged.PER_ASK):
        prompt = f"{scorer}/{judged.VERSION}"
        try:
            answer = means.asker(
                kept, tested.index, prompt, judged.messages(text, some), temperature=TEMPERATURE, most=300 * len(some)
            )
        except (NoAnswer, Busy, OverBudget, Stopped):
            raise
        except WorkbenchError:  # this question is refused; the others are not
            made += [None] * len(some)
            continue
        made += judged.read(answer, some)
    return made


def _figures(
    scorer: Scorer, items: Sequence[Item], said: Sequence[Said | None], *, spread: bool = True
) -> tuple[float, dict[str, float], dict[str, tuple[float, float]]]:
    """(value, measures, with `spread` their intervals) over what something was said of.

    Raises `Unscorable` where that is of one kind only.
    """
    both = [(item, one) for item, one in zip(items, said, strict=True) if one is not None]
    truth = [item.fires for item, _ in both]
    if len(set(truth)) < 2:
        raise Unscorable(f"{len(items) - len(both)} of {len(items)} examples got no answer that can be read.")
    scores = [one.score for _, one in both]
    figures, intervals = {"roc_auc": measures.roc_auc(truth, scores)}, dict[str, tuple[float, float]]()
    if spread:
        intervals["roc_auc"] = measures.auc_interval(truth, scores)
    if scorer == "simulation":
        rows = [(item.passage.values, one.predicted) for item, one in both]
        figures["pearson"] = measures.pearson(rows)
        intervals |= {"pearson": measures.pearson_interval(truth, rows)} if spread else {}
    elif scorer != "embedding":
        yes = [value >= HALF for value in scores]
        figures = measures.labels(truth, yes) | figures
        intervals |= measures.labels_intervals(truth, yes) if spread else {}
    return figures[VALUES[scorer]], figures, intervals


def _rounded(found: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    return {name: (round(low, 6), round(high, 6)) for name, (low, high) in found.items()}


def _verdicts(scorer: Scorer, items: Sequence[Item], said: Sequence[Said | None]) -> tuple[Verdict, ...]:
    scores = sorted(one.score for one in said if one is not None)
    limit = scores[len(scores) // 2] if scorer == "embedding" and scores else 0.05 if scorer == "simulation" else HALF
    return tuple(
        Verdict(
            tokens=item.passage.tokens, values=item.passage.values, marked=item.marked, drawn=item.passage.drawn,
            fires=item.fires, said=None if one is None else one.score >= limit,
            score=None if one is None else round(one.score, 4), predicted=() if one is None else one.predicted,
        )
        for item, one in zip(items, said, strict=True)
    )  # fmt: skip


def _why(tests: Tests) -> str:
    positives = sum(passage.fires for passage in tests.passages)
    if not positives:
        return "there is no example with it that no explainer may see."
    return " ".join(tests.lacks) or "there is nothing to tell apart."
