"""Rounds follow from their keys, guessing earns nothing, truth is held out; whose answers count; what play teaches."""

from __future__ import annotations

import datetime
import itertools
import uuid
from dataclasses import replace
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.community.records import Play
from core.errors import BadInput, NotFound
from core.explain.examples import Passage, Tests
from core.explain.play import rounds
from core.explain.play.judging import balanced, judge
from core.explain.play.records import KINDS, RoundKey
from core.explain.play.trust import LEAST, trust
from core.explain.records import Explanation
from core.records import FeatureKey, SourceKey, Token
from core.settings import Settings
from core.workbench import Workbench

FEATURE = FeatureKey("m", "1-res", 3)
OTHER = FeatureKey("m", "1-res", 4)


def passage(number, fires):
    value = (0.0, 1.5) if fires else (0.0, 0.0)
    tokens = (Token(1, f"text {number}"), Token(2, " on"))
    drawn = "positive" if fires else "random"
    return Passage(prompt=number, document=number, begin=0, tokens=tokens, values=value, drawn=drawn)


SHOWN = tuple(passage(n, True) for n in range(6))
TESTS = Tests(
    key=FEATURE, passages=(*(passage(100 + n, True) for n in range(8)), *(passage(200 + n, False) for n in range(8))),
    how="store", lacks=(),
)  # fmt: skip


def said(id, feature=FEATURE):
    return Explanation(id=id, feature=feature, text=f"what {id} says", origin="person", method="person")


def make(kind="predict", seed=1, every=(), other=None):
    return rounds.make(RoundKey(kind, FEATURE, seed), SHOWN, TESTS, every, other)


# -- rounds ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_round_is_made_again_from_its_key(kind):
    for seed in range(50):
        one = make(kind, seed, [said("a"), said("b"), said("c")])
        assert one == make(kind, seed, [said("a"), said("b"), said("c")])
        assert RoundKey.parse(str(one.key)) == one.key
        assert one.truth == tuple(item.fires for item in one.items) and set(one.items) <= set(TESTS.passages)
        assert len(set(one.items)) == len(one.items)
    assert len({make(kind, seed).items for seed in range(50)}) > 40, "seeds differ"


def test_what_is_asked():
    counts = [sum(make("predict", seed).truth) for seed in range(200)]
    assert set(counts) == {2, 3, 4} and all(len(make("predict", seed).items) == 6 for seed in range(20))
    odd = [make("odd", seed) for seed in range(200)]
    assert all(one.truth.count(False) == 1 and len(one.truth) == 4 and one.shown == () for one in odd)
    assert {one.truth.index(False) for one in odd} == {0, 1, 2, 3}
    assert make("name").shown == SHOWN


def test_this_or_that():
    found = make("compare", 1, [said("a"), said("b"), said("c")])
    assert len(found.choices) == 2 and {one.feature for one in found.choices} == {FEATURE}
    found = [make("compare", seed, [said("a")], said("x", OTHER)) for seed in range(50)]
    assert all({one.id for one in each.choices} == {"a", "x"} for each in found)
    assert {each.choices[0].id for each in found} == {"a", "x"}, "neither always first"
    assert make("compare", 1).choices == () == make("predict", 1, [said("a"), said("b")]).choices


@pytest.mark.parametrize(
    "text",
    ["", "predict/m/1-res/3", "guess/m/1-res/3/1", "odd/m/1-res/3/-1", "odd/m/1-res/x/1", f"odd/m/1-res/3/{2**32}"],
)  # fmt: skip
def test_no_round(text):
    with pytest.raises(BadInput):
        RoundKey.parse(text)


# -- points ------------------------------------------------------------------------------------------------------------


def test_points():
    found = make("predict")
    right = list(found.truth)
    assert judge(found, {"labels": right}).points == 12 and judge(found, {"labels": right}).agreed == 1.0
    wrong = [not one for one in right]
    assert judge(found, {"labels": wrong}).points == -12 and judge(found, {"labels": wrong}).agreed == 0.0
    unsure = judge(found, {"labels": [None] * 6})
    assert (unsure.points, unsure.agreed, unsure.unsure) == (0, None, 6)
    half = judge(found, {"labels": [right[0], *[None] * 5]})
    assert (half.points, half.right, half.unsure) == (2, 1, 5)
    odd = make("odd")
    foreign = odd.truth.index(False)
    assert judge(odd, {"odd": foreign}).points == 6 and judge(odd, {"odd": None}).points == 0
    assert judge(odd, {"odd": (foreign + 1) % 4}).points == -2


def test_guessing_earns_nothing_on_average():
    found = [make("predict", seed) for seed in range(400)]
    for same in (True, False):
        assert abs(mean(judge(one, {"labels": [same] * 6}).points for one in found)) < 0.5
    every = list(itertools.product((True, False), repeat=6))
    assert mean(judge(found[0], {"labels": list(labels)}).points for labels in every) == 0
    assert mean(judge(make("odd", seed), {"odd": n}).points for seed in range(10) for n in range(4)) == 0


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("predict", {}), ("predict", {"labels": [True] * 5}), ("predict", {"labels": ["yes"] * 6}),
        ("predict", {"labels": [1] * 6}), ("predict", {"labels": "xxxxxx"}), ("odd", {"odd": 4}), ("odd", {"odd": -1}),
        ("odd", {"odd": True}), ("odd", {"odd": "1"}), ("compare", {"labels": [None] * 6, "choice": 1}),
    ],
)  # fmt: skip
def test_what_is_no_answer(kind, answer):
    with pytest.raises(BadInput):
        judge(make(kind, 1, [said("a"), said("b")]), answer)


@given(st.lists(st.tuples(st.sampled_from([True, False, None]), st.booleans()), max_size=12))
def test_balanced(pairs):
    found = balanced([label for label, _ in pairs], [truth for _, truth in pairs])
    assert (found is None) == all(label is None for label, _ in pairs)
    assert found is None or 0 <= found <= 1
    if found is not None:
        assert balanced([label for label, _ in pairs] * 2, [truth for _, truth in pairs] * 2) == pytest.approx(found)


# -- whose answers count -----------------------------------------------------------------------------------------------


def plays(count=LEAST * 2, *, every=30.0, labels=(True, False), agreed=0.8):
    start = datetime.datetime(2026, 11, 1, tzinfo=datetime.UTC)
    return [
        Play(
            id=str(n), owner="a", owner_name="a", feature=FEATURE, kind="predict", seed=n,
            answer={"labels": [labels[n % len(labels)]] * 6}, words="",
            made=(start + datetime.timedelta(seconds=n * every)).isoformat(), agreed=agreed,
        )
        for n in range(count)
    ]  # fmt: skip


def test_who_is_trusted():
    assert trust([]).counts and trust(plays()).counts
    assert "faster" in trust(plays(every=1.0)).why and not trust(plays(every=1.0)).counts
    assert "same answer" in trust(plays(labels=(True,))).why
    assert "worse than chance" in trust(plays(agreed=0.2)).why
    assert trust(plays(LEAST - 1, every=0.1, labels=(True,), agreed=0.0)).counts, "too few to tell"
    assert trust(plays(labels=(None,), agreed=None)).counts, "unsure is a real answer"


# -- the door ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def play(tiny_root, tmp_path, monkeypatch):
    """Playing over the tiny sources, with examples that are made up."""
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))

    def examples(_, key):
        return SHOWN, replace(TESTS, key=key)

    monkeypatch.setattr(rounds, "examples", examples)
    return bench, bench.words.play, bench.community.people()


def test_the_days_puzzle_is_the_same_for_everyone(play, tiny_root, tmp_path):
    bench, playing, _ = play
    day = datetime.date(2026, 11, 22)
    found = playing.daily(day)
    other = Workbench(Settings(data=tmp_path / "other", demo=tiny_root)).words.play
    assert found == other.daily(day) == playing.daily(day) and [one.kind for one in found] == ["odd", "predict", "name"]
    assert found != playing.daily(day + datetime.timedelta(1))
    assert all(bench.feature(one.feature).active for one in found)


def test_an_answer_is_judged_by_the_server_once(play):
    _, playing, people = play
    key = playing.pick(playing.plan(people), 7, "predict")
    asked = playing.round(key)
    labels = [*asked.truth[:5], not asked.truth[5]]
    id = people.plays.answer(key.feature, kind="predict", seed=7, answer={"labels": labels})
    assert playing.settle(people) == 1 and playing.settle(people) == 0
    kept = people.plays.mine(key.feature, "predict", 7)
    assert kept.points == 8 and kept.agreed == judge(asked, {"labels": labels}).agreed
    people.plays.answer(key.feature, kind="predict", seed=7, answer={"labels": list(asked.truth)})
    assert playing.settle(people) == 0 and people.plays.mine(key.feature, "predict", 7).points == 8, "the first counts"
    nonsense = people.plays.answer(FeatureKey("tiny", "9-none", 1), kind="odd", seed=1, answer={"odd": 0})
    assert playing.settle(people) == 1 and id != nonsense
    (line,) = playing.board(people, datetime.datetime.now(datetime.UTC).date())
    assert line.points == 8 and line.rounds == 2


def test_what_play_teaches_goes_back(play):
    _, playing, people = play
    key = playing.pick(playing.plan(people), 7, "predict")
    source = key.feature.source
    assert playing.agreement(people, key.feature) is None and playing.doubted(people, source) == ()
    asked = playing.round(key)
    wrong = [not one for one in asked.truth[:3]] + [None] * 3
    people.plays.answer(key.feature, kind="predict", seed=7, answer={"labels": wrong})
    playing.settle(people)
    found = playing.agreement(people, key.feature)
    assert (found.agreed, found.rounds, found.people) == (0.0, 1, 1)
    calm = FeatureKey(source.model_id, source.source_id, key.feature.index - 1 if key.feature.index else 1)
    people.explanations.vote(calm, [("x", "0" * 64)], 1)
    marked = FeatureKey(source.model_id, source.source_id, key.feature.index + 1)
    people.explanations.mark(marked, "mess")
    doubts = playing.doubted(people, source)
    assert [one.feature for one in doubts] == [key.feature, marked], "the most doubted first; praise is no doubt"
    assert doubts[1].marks == {"mess": 1}
    rows = list(playing.rows(people, source))
    assert len(rows) == 3 and {row["round"] for row in rows} == {str(key)}
    assert [row["label"] for row in rows] == wrong[:3] and [row["active"] for row in rows] == list(asked.truth[:3])
    assert [row["text"] for row in rows] == [item.text for item in asked.items[:3]]


def test_campaigns(play):
    _, playing, people = play
    (source, *_) = playing.sources()
    id = people.plays.begin("one source", [str(source)])
    assert playing.plan(people, id).sources == (source,)
    assert {playing.pick(playing.plan(people, id), seed).feature.source for seed in range(5)} == {source}
    gone = people.plays.begin("gone", ["elsewhere/1-res"])
    with pytest.raises(NotFound, match="is here"):
        playing.plan(people, gone)
    with pytest.raises(NotFound):
        playing.plan(people, str(uuid.uuid4()))
    assert isinstance(source, SourceKey)
