"""The split of examples: never overlapping, over the whole range, and silent where it says so, by whatever is there."""

from __future__ import annotations

import shutil
from functools import partial

import numpy as np
import pytest

from core.explain import examples
from core.explain.annotation import corpus
from core.explain.examples import Passage, held_out, to_show, to_test
from core.explain.known import Known
from core.records import FeatureKey, Token
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.live import ROOT

KEYS = [FeatureKey("tiny", "1-res", n) for n in (0, 3, 20, 41)]


@pytest.fixture(scope="module")
def weights(tiny_root, tmp_path_factory):
    """The same sources without their store: what is not shown has to be read by the model."""
    to = tmp_path_factory.mktemp("weights")
    shutil.copytree(tiny_root, to / "data")
    for other in ("model", "sae", "texts.txt"):
        (to / other).symlink_to(tiny_root.parent / other)
    for store in (to / "data").glob("*/*/store"):
        shutil.rmtree(store)
    return Workbench(Settings(data=to / "data", demo=None))


@pytest.fixture
def bare(weights, monkeypatch):
    """Nor are the weights there."""
    monkeypatch.setattr(examples, "Known", partial(Known, read=False))
    return weights


def overlap(a: Passage, b: Passage) -> float:
    runs = []
    for one in (a, b):
        ids = [token.id for token in one.tokens]
        runs.append({tuple(ids[n : n + 4]) for n in range(max(1, len(ids) - 3))})
    return len(runs[0] & runs[1]) / min(map(len, runs))


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_no_document_and_no_near_duplicate_is_on_both_sides(bench, key):
    seen, tests = to_show(bench, key, 40), to_test(bench, key).passages
    assert seen and not {p.document for p in seen} & {p.document for p in tests}
    assert all(overlap(a, b) < 0.5 for a in seen for b in tests)
    assert all(overlap(a, b) < 0.5 for n, a in enumerate(tests) for b in tests[:n])


def test_half_of_all_documents_are_held_out_whatever_the_feature():
    share = np.mean([held_out(n) for n in range(20_000)])
    assert share == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_the_same_split_each_time(bench, tiny_root, key):
    again = Workbench(Settings(data=tiny_root, demo=None))
    assert to_show(bench, key) == to_show(again, key) and to_test(bench, key) == to_test(again, key)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_values_are_the_stores(bench, key):
    data = bench._open.get(bench.catalog.entry(key.source).folder)
    entries = data.entries(key.index)
    for passage in (*to_show(bench, key), *to_test(bench, key).passages):
        first = int(data.starts[passage.prompt]) + passage.begin
        row = np.zeros(len(passage.tokens), np.float32)
        for position, value in zip(entries.positions.tolist(), entries.values.tolist(), strict=True):
            if first <= position < first + len(row):
                row[position - first] = value
        assert np.array_equal(row, np.array(passage.values, np.float32))
        assert passage.tokens == bench.prompt(key.source, passage.prompt)[passage.begin :][: len(row)]
        assert passage.fires == bool((row > 0).any()) == (passage.drawn == "positive")


@pytest.mark.parametrize("index", [78, 100, 787])
def test_positives_are_from_the_whole_range(index):
    """On the demo, whose texts are real: those of the tiny model are near-duplicates of one another."""
    demo = Workbench(Settings(data=ROOT / "nowhere", demo=ROOT / "demo" / "data"))
    if not demo.sources():
        pytest.skip("the demo's data is not here")
    key = FeatureKey("scribe-4l", "2-res", index)
    known = Known(demo, key, read=False)
    sides = examples._sides(known)
    top = demo.feature(key).maximum

    def ranges(values):
        return {min(4, int(value / top * 5)) for value in values}

    found = list(examples._positives(known, sides, examples._Seen(), 20))
    assert len(found) >= 10
    assert ranges(p.peak for p in found) == ranges(p.value for p in known.places if sides.tested(p.prompt))


@pytest.mark.parametrize("key", KEYS[:3], ids=str)
def test_without_a_store_the_model_says_which_are_silent(bench, weights, key):
    found = to_test(weights, key)
    assert found.how == "weights"
    true = Known(bench, key)
    for passage in found.passages:
        (row,) = true.values([(passage.prompt, passage.begin + len(passage.tokens))])
        assert np.allclose(row[passage.begin :], passage.values, atol=2e-3)
        assert passage.fires == bool((row[passage.begin :] > 0).any())


@pytest.mark.parametrize("key", KEYS[:3], ids=str)
def test_without_either_only_what_is_shown_is_taken_to_be_known(bench, bare, key):
    found = to_test(bare, key)
    assert found.how == "shown"
    true = Known(bench, key)
    shown = {e.prompt for group in bare.feature(key).groups for e in group.examples}
    complete = Known(bare, key, read=False).complete
    for passage in found.passages:
        assert complete or passage.prompt in shown
        (row,) = true.values([(passage.prompt, passage.begin + len(passage.tokens))])
        assert passage.fires == bool((row[passage.begin :] > 0).any())
    assert complete or any("known only on the prompts that its page shows" in text for text in found.lacks)


def test_a_prompt_that_is_not_shown_proves_nothing(bare):
    for n in range(64):
        known = Known(bare, FeatureKey("tiny", "1-res", n), read=False)
        if not known.complete:
            other = next(p for p in range(known.prompts) if p not in known._shown)
            assert known.values([(other, 5)]) == [None]
            return
    pytest.skip("all prompts of all features are shown")


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_hard_ones_hold_what_it_likes_and_near_ones_what_its_neighbours_like(bench, key):
    known = Known(bench, key)
    sides = examples._sides(known)
    likes = {int(known.ids([p.prompt])[0][p.position]) for p in known.places}
    alike = {other for token in likes for other in known.alike(token)}
    hard, near = list(examples._hard(known, sides))[:30], list(examples._near(bench, known, sides))[:10]
    assert hard and near and all(sides.tested(prompt) for prompt, _ in (*hard, *near))
    assert {int(known.ids([prompt])[0][n]) for prompt, n in hard} <= likes | alike
    others = [r.index for r in (*known.record.correlated_features[:5], *known.record.neighbours[:5]) if r.value > 0]
    for prompt, n in near:
        rows = [Known(bench, FeatureKey("tiny", "1-res", o)).values([(prompt, n + 1)])[0] for o in set(others)]
        assert any(row[n] > 0 for row in rows)


def test_a_dead_feature_has_nothing_to_show(bench):
    dead = [n for n in range(64) if bench.feature(f"{tiny.SAE}/{n}").dead]
    for n in dead[:1]:
        key = FeatureKey("tiny", "1-res", n)
        assert to_show(bench, key) == () and not any(p.fires for p in to_test(bench, key).passages)


def test_of_neurons_only_the_upper_tail_counts_as_active(bench):
    key = FeatureKey("tiny", "0-neurons", 5)
    floor = min(g.low for g in bench.feature(key).groups if g.kind == "interval" and g.low > bench.feature(key).minimum)
    for passage in (*to_show(bench, key), *to_test(bench, key).passages):
        assert all(value == 0 or value > max(0.0, floor) for value in passage.values)


def test_special_tokens_are_in_no_passage(bench):
    for key in KEYS:
        for passage in (*to_show(bench, key), *to_test(bench, key).passages):
            assert not any(token.special for token in passage.tokens)
    assert isinstance(passage.tokens[0], Token)


def test_what_tests_an_annotation_it_was_not_learned_from(bench):
    """Its documents are of its own choice: a test has none of them, nor any that another explainer may see."""
    documents = Known(bench, KEYS[0]).documents()
    learned = {int(d) for d in documents[~corpus.held_out(documents)[0]]}
    left_out = found = 0
    for key in KEYS:
        left_out += len({passage.document for passage in to_test(bench, key).passages} & learned)
        tests = {passage.document for passage in to_test(bench, key, annotated=True).passages}
        assert not tests & learned
        assert not tests & {passage.document for passage in to_show(bench, key, 40)}
        found += len(tests)
    assert left_out and found
