"""Scores by definition: a perfect judge gets 1, a coin about a half, all-yes a half; the judge sees no activations."""

from __future__ import annotations

import json
import random
import re

import pytest

from core.errors import BadInput
from core.explain.examples import Passage, Tests
from core.explain.kept import digest
from core.explain.machine.client import Endpoint
from core.explain.records import Brief, Explanation
from core.explain.scoring import score as scoring
from core.records import FeatureKey, Token
from core.settings import Settings
from core.workbench import Workbench
from tests.openai_server import KEY, OpenAIServer

KEY_ = FeatureKey("tiny", "1-res", 3)
SAID = Explanation(id="test-1", feature=KEY_, text="a secret phrase", origin="person", method="person")


@pytest.fixture
def bench_(tiny_root, tmp_path):
    return Workbench(Settings(data=tmp_path / "data", demo=tiny_root))


def passage(n, drawn):
    """Sixteen tokens of its own; active on one or two of them if it is a positive one."""
    tokens = tuple(Token(1000 * n + m, f" w{n}x{m}") for m in range(16))
    values = [0.0] * 16
    if drawn == "positive":
        values[n % 16], values[(n + 5) % 16] = 3.125 + n, (1.0625 + n) * (n % 2)
    return Passage(prompt=n, document=n, begin=1, tokens=tokens, values=tuple(values), drawn=drawn)


@pytest.fixture(autouse=True)
def tests_(monkeypatch):
    kinds = ["positive"] * 20 + ["random"] * 8 + ["near"] * 6 + ["hard"] * 6
    found = Tests(key=KEY_, passages=tuple(map(passage, range(40), kinds)), how="store", lacks=())
    monkeypatch.setattr(scoring, "to_test", lambda bench, key, **_: found)
    return found


def asked(body):
    """(number, text) of every excerpt of a question."""
    return re.findall(r"^(\d+): (.*)$", body["messages"][-1]["content"], re.M)


def run(bench, reply, scorer, explanation=SAID, **more):
    with OpenAIServer(reply) as server:
        steps = list(bench.words.score([explanation], scorer, Endpoint("judge", server.url, KEY), **more))
        return steps[-1], server


def knows(tests_, scorer):
    """What a perfect judge says, from the truth."""
    items = scoring.JUDGED[scorer].items(tests_)
    from core.explain.machine.excerpts import delimited, line

    truth = {}
    for item in items:
        text = line(item.passage.text) if scorer == "detection" else delimited(item.passage.tokens, item.marked)
        truth[text] = item.fires
    return truth


def score_of(step, scorer):
    (found,) = [one for one in step.made[0].scores if one.scorer == scorer]
    return found


@pytest.mark.parametrize("scorer", ["detection", "fuzzing"])
def test_a_perfect_judge_gets_one(bench_, tests_, scorer):
    truth = knows(tests_, scorer)
    step, _ = run(bench_, lambda b: json.dumps({n: float(truth[t]) for n, t in asked(b)}), scorer, control=False)
    found = score_of(step, scorer)
    assert (found.value, found.low, found.high, found.failed) == (1, 1, 1, 0)
    assert found.measures["f1"] == found.measures["roc_auc"] == 1
    assert found.examples == len(found.verdicts) and all(v.said == v.fires for v in found.verdicts)
    assert found.judge == "judge" and found.prompt and found.made
    assert found.intervals.keys() == found.measures.keys() and set(found.intervals.values()) == {(1.0, 1.0)}


def test_a_perfect_simulation_gets_one_and_a_flat_one_nothing(bench_, tests_):
    items = {tuple(t.text for t in i.passage.tokens): i for i in scoring.JUDGED["simulation"].items(tests_)}
    texts = {"".join(f"{n}\t{scoring.simulation.line(t)}\n" for n, t in enumerate(k, 1)): v for k, v in items.items()}
    top = max(p.peak for p in tests_.passages)

    def perfect(body):
        made = {}
        for part in re.split(r"\n\n(?=Excerpt \d+\n)", body["messages"][-1]["content"])[1:]:
            head, _, rows = part.partition("\n")
            item = texts[rows + "\n"]
            made[head.split()[1]] = {str(n): 10 * v / top for n, v in enumerate(item.passage.values, 1) if v > 0}
        return json.dumps(made)

    step, _ = run(bench_, perfect, "simulation", control=False)
    assert score_of(step, "simulation").value == pytest.approx(1.0)
    other = Explanation(id="test-2", feature=KEY_, text="another", origin="person", method="person")
    step, _ = run(bench_, lambda b: json.dumps({"1": {}, "2": {}, "3": {}}), "simulation", other, control=False)
    assert score_of(step, "simulation").value == 0


def test_all_yes_gets_a_half(bench_):
    step, _ = run(bench_, lambda b: json.dumps({n: 1 for n, _ in asked(b)}), "detection", control=False)
    found = score_of(step, "detection")
    assert found.value == found.measures["roc_auc"] == 0.5 and found.measures["recall"] == 1


def test_a_coin_gets_about_a_half(bench_):
    values = []
    for seed in range(6):
        coin = random.Random(seed)
        one = Explanation(id=f"coin-{seed}", feature=KEY_, text=f"coin {seed}", origin="person", method="person")
        reply = lambda b, coin=coin: json.dumps({n: coin.random() for n, _ in asked(b)})  # noqa: E731
        step, _ = run(bench_, reply, "detection", one, control=False)
        values.append(score_of(step, "detection").value)
    assert sum(values) / len(values) == pytest.approx(0.5, abs=0.12)


def test_nonsense_counts_as_failed_and_not_as_no(bench_, tests_):
    truth, calls = knows(tests_, "detection"), []

    def reply(body):
        calls.append(1)
        return "no idea" if len(calls) == 2 else json.dumps({n: float(truth[t]) for n, t in asked(body)})

    step, _ = run(bench_, reply, "detection", control=False, concurrency=1)
    found = score_of(step, "detection")
    assert found.failed == 5 and found.value == 1 and found.examples == len(found.verdicts) - 5
    assert sum(v.said is None for v in found.verdicts) == 5


def test_only_nonsense_is_no_score(bench_):
    step, _ = run(bench_, "no idea", "detection", control=False)
    assert step.failed == 1 and not step.made and "no answer that can be read" in step.problem
    assert not bench_.words._models.kept(KEY_.source).scored([SAID])[0].scores


@pytest.mark.parametrize("scorer", ["detection", "fuzzing", "simulation"])
def test_the_judge_sees_no_activation(bench_, tests_, scorer):
    _, server = run(bench_, "{}", scorer, control=False)
    said = json.dumps([body["messages"] for body in server.asked])
    values = {f"{v:.3g}" for p in tests_.passages for v in p.values if v > 0} | {
        f"{v:.2f}" for p in tests_.passages for v in p.values if v > 0
    }
    numbers = set(re.findall(r"\d+\.\d+", said)) - {"0.95", "0.02"}
    assert not values & numbers
    assert "secret phrase" in said and ("<<" in said) == (scorer == "fuzzing")


def test_the_control_is_another_features_explanation_on_the_same_examples(bench_, tests_):
    kept = bench_.words._models.kept(KEY_.source)
    words = {n: f"words of feature {n}" for n in (3, 7, 20)}
    for n, text in words.items():
        kept.add(Explanation(
            id=f"m-{n}", feature=FeatureKey("tiny", "1-res", n), text=text, origin="model", method="np_max-act",
            model="m", made="2026-01-01",
        ))  # fmt: skip
    mine = bench_.words.machines.find("m-3")
    truth = knows(tests_, "detection")

    def reply(body):
        good = words[3] in body["messages"][-1]["content"]
        return json.dumps({n: float(truth[t]) if good else 1.0 for n, t in asked(body)})

    step, server = run(bench_, reply, "detection", mine)
    found = score_of(step, "detection")
    assert found.value == 1 and found.control == 0.5
    assert found.control_of.index in (7, 20)
    texts = [[t for _, t in asked(b)] for b in server.asked]
    assert sorted(texts[: len(texts) // 2]) == sorted(texts[len(texts) // 2 :])
    assert words[found.control_of.index] in json.dumps(server.asked[-1]["messages"])


def test_the_control_prefers_its_like():
    one = Explanation(id="a", feature=KEY_, text="x", origin="model", method="np_max-act", model="m")
    briefs = [
        Brief("b", 3, "own", "model", "np_max-act", "m"), Brief("c", 4, " X ", "model", "np_max-act", "m"),
        Brief("d", 5, "data", "data", "annotation"), Brief("e", 6, "other", "model", "np_max-act", "m"),
    ]  # fmt: skip
    assert scoring.control(one, briefs).id == "e"
    assert scoring.control(one, briefs[:3]).id == "d"
    assert scoring.control(one, briefs[:2]) is None


def test_a_score_is_of_the_words_and_nothing_is_asked_twice(bench_):
    reply = lambda b: json.dumps({n: 1 for n, _ in asked(b)})  # noqa: E731
    with OpenAIServer(reply) as server:
        judge = Endpoint("judge", server.url, KEY)
        for _ in range(2):
            kept = bench_.words._models.kept(KEY_.source)
            (one,) = kept.scored([SAID])
            *_, step = bench_.words.score([one], "detection", judge, control=False)
        assert step.there == 1 and server.twice == 0
        changed = Explanation(id="test-1", feature=KEY_, text="other words", origin="person", method="person")
        assert not kept.scored([changed])[0].scores and digest("other words") != digest(SAID.text)
        before = len(server.asked)
        list(bench_.words.score([changed], "detection", judge, control=False))
        assert len(server.asked) > before and kept.scored([changed])[0].scores


def test_embedding_is_the_auc_of_cosines(bench_, tests_, monkeypatch):
    from sklearn.metrics import roc_auc_score

    embed = bench_.words.machines._embedder
    found = score_of(list(bench_.words.score([SAID], "embedding", control=False))[-1], "embedding")
    vectors = embed([SAID.text, *(p.text for p in tests_.passages)])
    assert found.value == pytest.approx(
        roc_auc_score([p.fires for p in tests_.passages], vectors[1:] @ vectors[0]), abs=1e-4
    )
    assert found.judge == "all-MiniLM-L6-v2" and found.low <= found.value <= found.high
    assert found.intervals == {"roc_auc": (pytest.approx(found.low, abs=1e-6), pytest.approx(found.high, abs=1e-6))}


def test_scorers_that_ask_need_a_model_and_there_are_four(bench_):
    with pytest.raises(BadInput, match="name one"):
        list(bench_.words.score([SAID], "detection"))
    with pytest.raises(BadInput, match="no scorer “taste”"):
        list(bench_.words.score([SAID], "taste"))


def test_fuzzing_marks_as_many_wrong_tokens_as_right_ones_and_never_active_ones(tests_):
    items = scoring.JUDGED["fuzzing"].items(tests_)
    right = {(i.passage.prompt, i.passage.begin): i for i in items if i.fires}
    wrong = {(i.passage.prompt, i.passage.begin): i for i in items if not i.fires}
    assert right and wrong
    for place, item in wrong.items():
        assert len(item.marked) == len(right[place].marked)
        assert all(item.passage.values[n] == 0 for n in item.marked)
    for item in right.values():
        assert all(item.passage.values[n] > 0 for n in item.marked)
