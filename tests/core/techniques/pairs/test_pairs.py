"""The identities of pairs: a run patched into itself, everything patched, sums, plain hooks, both ends of the curve."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput, NotFound
from core.records import FeatureKey, SourceKey
from core.settings import Settings
from core.techniques.circuits import trace as trace_module
from core.techniques.pairs.align import align
from core.techniques.pairs.records import PairAsk
from core.workbench import Workbench
from tests import tiny
from tests.core.techniques.circuits import planted

CLEAN = "The capital of France is Paris, and the capital of"
ASK = PairAsk(model_id="tiny", clean=CLEAN, corrupted=CLEAN.replace("the", "a"), target=(" the",), against=(" is",))
SAE, NEURONS = SourceKey("tiny", "1-res"), SourceKey("tiny", "0-neurons")
HOOK = "blocks.1.hook_resid_pre"
IDS = st.lists(st.integers(0, 5), min_size=1, max_size=12)


@pytest.fixture(scope="module")
def model(bench):
    return bench._model_slot("tiny").get()


@pytest.fixture(scope="module")
def ask(bench):
    """Two prompts of as many tokens that differ in one."""
    model = bench._model_slot("tiny").get()
    ids = model.ids(CLEAN)
    others = [CLEAN.replace(" of France", f"{word} France") for word in (" is", " and", " the", " in", ",")]
    return replace(ASK, corrupted=next(one for one in others if len(model.ids(one)) == len(ids)))


def logits(model, text):
    ids = [model.ids(one)[1] for one in (" the", " is")]
    return lambda out: out[:, -1, ids[0]] - out[:, -1, ids[1]]


@given(IDS, IDS)
def test_an_alignment_is_one_to_one_and_in_order(a, b):
    found = align([0, *a], [0, *b])
    assert found.pairs[0] == (0, 0) and found.pairs[-1] == (len(a), len(b)), "BOS and the last stand for each other"
    assert all(x[0] < y[0] and x[1] < y[1] for x, y in zip(found.pairs, found.pairs[1:], strict=False))
    sides = (({x for x, _ in found.pairs}, found.clean_only, a), ({y for _, y in found.pairs}, found.corrupted_only, b))
    for aligned, alone, ids in sides:
        assert aligned | set(alone) == set(range(len(ids) + 1)) and not aligned & set(alone)
    assert found.exact == (len(a) == len(b))
    if a == b:
        assert not found.clean_only and all(x == y for x, y in found.pairs)


def test_words_of_other_lengths_have_no_counterpart():
    found = align([0, 7, 1, 2, 3, 8, 9], [0, 7, 5, 8, 9])
    assert found.pairs == ((0, 0), (1, 1), (5, 3), (6, 4))
    assert found.clean_only == (2, 3, 4) and found.corrupted_only == (2,) and not found.exact


def test_a_run_patched_into_itself_changes_nothing(bench):
    ask = replace(ASK, corrupted=CLEAN)
    pair = bench.pairs.pair(ask)
    assert pair.gap == 0 and not pair.differing and pair.share(1.0) is None
    features = bench.pairs.features(ask)
    assert not features.nodes and all(set(one.noising) == {0.0} for one in features.sources)
    for direction in ("denoising", "noising"):
        record = bench.pairs.residual(ask, direction=direction)
        assert {value for row in record.rows for value in row} == {0.0}
        assert record.whole == pytest.approx([0.0] * len(record.hooks), abs=1e-6)
    with pytest.raises(BadInput, match="Nothing that"):
        bench.pairs.curve(ask, SAE)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_everything_patched_gives_the_other_run(bench, ask, direction):
    record = bench.pairs.residual(ask, direction=direction)
    gap = record.pair.gap
    assert abs(gap) > 1e-4 and record.pair.alignment.exact and len(record.pair.differing) == 1
    assert record.whole == pytest.approx([gap] * len(record.hooks), abs=1e-5)
    (where,) = record.pair.differing
    assert record.rows[0][where] == pytest.approx(gap, abs=1e-5), "before the first layer one token is all"
    assert all(value == 0 for row in record.rows for value in row[:where])
    assert all(abs(value) < 1e-6 for n, value in enumerate(record.rows[0]) if n != where)


def test_a_cell_is_a_plain_hook(bench, model, ask):
    """TransformerLens by itself: its own hooks and its own logits."""
    record = bench.pairs.residual(ask)
    clean, other = (torch.tensor([model.ids(text)]) for text in (ask.clean, ask.corrupted))
    loss, at = logits(model, CLEAN), record.pair.differing[0]
    with torch.no_grad():
        _, cache = model.bridge.run_with_cache(clean, names_filter=[HOOK])
        base = loss(model.bridge(other))

        def patch(x, hook):
            x[:, at] = cache[HOOK][:, at]
            return x

        with model.bridge.hooks(fwd_hooks=[(HOOK, patch)]):
            patched = loss(model.bridge(other))
    assert record.rows[1][at] == pytest.approx(float(patched - base), abs=1e-5)


def test_a_patched_feature_is_a_plain_hook(bench, model, ask):
    record = bench.pairs.features(replace(ask, sources=(SAE,)), patch=3)
    source = bench._source_slot(bench.source(SAE)).get().source
    clean, other = (torch.tensor([model.ids(text)]) for text in (ask.clean, ask.corrupted))
    loss = logits(model, CLEAN)
    with torch.no_grad():
        for node in record.nodes[:3]:
            row = source.W_dec[node.key.index]
            for ids, sign, at, measured in (
                (other, 1, node.counterpart, node.denoised), (clean, -1, node.position, -node.noised)
            ):  # fmt: skip
                def patch(x, hook, row=row, sign=sign, at=at, node=node):
                    x[:, at] += sign * node.difference * row
                    return x

                base = loss(model.bridge(ids))
                with model.bridge.hooks(fwd_hooks=[(HOOK, patch)]):
                    assert float(loss(model.bridge(ids)) - base) == pytest.approx(measured, abs=1e-5)
    (test,) = bench.test(node.key, ask.clean)
    assert node.clean == pytest.approx(test.values[node.position], abs=1e-4)


def test_features_error_and_bias_are_the_total(bench, ask):
    record = bench.pairs.features(replace(ask, sources=(SAE, NEURONS)), top=2000)
    assert record.active == sum(one.nodes for one in record.sources) and len(record.sources) == 2
    for one in record.sources:
        own = [node for node in record.nodes if node.key.source == one.key]
        for way, (features, error, bias, total) in (("denoising", one.denoising), ("noising", one.noising)):
            assert features + error + bias == pytest.approx(total, abs=1e-9)
            assert sum(getattr(node, way) for node in own) == pytest.approx(features, abs=1e-6)
    neurons = next(one for one in record.sources if one.key == NEURONS)
    assert neurons.denoising[1] == pytest.approx(0, abs=1e-5), "an MLP is its neurons and its bias"
    sizes = [abs(node.attribution) for node in record.nodes]
    assert sizes == sorted(sizes, reverse=True)
    by = bench.pairs.features(replace(ask, sources=(SAE,)), by="difference").nodes
    assert [abs(node.difference) for node in by] == sorted((abs(n.difference) for n in by), reverse=True)


def test_a_curve_goes_from_nothing_to_everything(bench, ask):
    record = bench.pairs.curve(ask, SAE, draws=4)
    first, last = record.points[0], record.points[-1]
    assert (first.nodes, first.alone) == (0, 0.0) and (last.nodes, last.with_error) == (record.nodes, 1.0)
    assert record.empty == pytest.approx(record.pair.corrupted.value, abs=1e-5), "the whole stream passes here"
    assert record.full == pytest.approx(record.pair.clean.value, abs=1e-5)
    assert first.without == pytest.approx(1, abs=1e-5), "nothing taken out"
    assert last.without == pytest.approx(first.with_error, abs=1e-5), "all taken out: the error alone"
    assert last.alone == pytest.approx(last.random, abs=1e-5), "of all there is one draw"
    assert all(one.low - 1e-9 <= one.random <= one.high + 1e-9 for one in record.points)
    assert [one.nodes for one in record.points] == sorted({one.nodes for one in record.points})
    assert bench.pairs.curve(ask, SAE, draws=4) == record
    assert bench.pairs.curve(ask, SAE, draws=4, seed=1).points != record.points


def test_prompts_of_other_lengths_are_patched_where_they_are_aligned(bench):
    ask = replace(ASK, corrupted="The capital of the system is Paris, and the capital of")
    record = bench.pairs.residual(ask)
    alignment = record.pair.alignment
    assert not alignment.exact and alignment.clean_only + alignment.corrupted_only
    assert all(len(row) == len(alignment.pairs) for row in record.rows)
    with pytest.raises(BadInput, match="no counterpart"):
        bench.pairs.patch(ask, [(f"{tiny.SAE}/3", (*alignment.clean_only, 99)[0])])
    assert bench.pairs.curve(ask, SAE, draws=1).points[-1].with_error == 1.0


def test_what_cannot_be_asked_says_so(bench, ask):
    room = bench.pairs
    for job, said in (
        (lambda: room.features(ask, top=0), "top"), (lambda: room.curve(ask, SAE, draws=0), "draws"),
        (lambda: room.curve(ask, SAE, seed=-1), "seed"),
        (lambda: room.pair(replace(ask, corrupted="")), "empty"),
        (lambda: room.pair(replace(ASK, corrupted=CLEAN, target=(), against=())), "After both prompts"),
        (lambda: room.patch(ask, []), "64"),
        (lambda: room.patch(ask, [(f"{tiny.SAE}/63", 0)]), "as active in both"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            job()
    with pytest.raises(NotFound, match="9-none"):
        room.curve(ask, "tiny/9-none")


def test_a_feature_asked_again_runs_no_pass(bench, ask, monkeypatch):
    """Also where sources come after it, of which there is nothing to keep but that."""
    ask = replace(ask, target=(), against=(), feature=FeatureKey("tiny", "1-res", 5), sources=(SAE, NEURONS))
    first = bench.pairs.features(ask)
    assert first.later == (SAE,) and [one.key for one in first.sources] == [NEURONS]
    monkeypatch.setattr(trace_module, "trace", lambda *_: pytest.fail("a pass"))
    again = bench.pairs.features(ask)
    assert again.later == first.later and again.nodes == first.nodes


LINEAR = """
model: {id: linear, path: model}
sources:
  - {id: 0-res, sae: {path: sae0}}
  - {id: 1-res, sae: {path: sae1}}
dataset: {path: texts.txt}
prompts: 12
context: 32
annotate: false
together: false
map: none
"""


def test_attribution_is_patching_where_all_is_linear(tmp_path):
    """A layer that adds nothing, and a feature's pre-activation as the target: estimate and measurement are one."""
    from transformers import AutoModelForCausalLM

    path = tiny.model(tmp_path / "model")
    made = AutoModelForCausalLM.from_pretrained(path)
    with torch.no_grad():
        for part in (made.transformer.h[0].attn.c_proj, made.transformer.h[0].mlp.c_proj):
            part.weight.zero_(), part.bias.zero_()
    made.save_pretrained(path)
    tiny.sae(tmp_path / "sae0", hook="blocks.0.hook_resid_pre", bias=0.0)
    tiny.sae(tmp_path / "sae1", seed=2)
    (tmp_path / "texts.txt").write_text(tiny.SEPARATOR.join(tiny.LINES * 2), encoding="utf-8")
    (tmp_path / "linear.yaml").write_text(LINEAR, encoding="utf-8")
    bench = Workbench(Settings(data=tmp_path / "data", demo=None))
    bench.build(tmp_path / "linear.yaml")
    ask = PairAsk(
        model_id="linear", clean="The capital of", corrupted="The capital is", feature=FeatureKey("linear", "1-res", 5),
        sources=(SourceKey("linear", "0-res"),),
    )  # fmt: skip
    record = bench.pairs.features(ask, patch=64)
    assert record.nodes and record.pair.gap
    for node in record.nodes[:64]:
        assert node.denoised == pytest.approx(node.denoising, abs=1e-4)
        assert node.noised == pytest.approx(node.noising, abs=1e-4)
        assert node.denoising == pytest.approx(node.noising, abs=1e-5)
    (one,) = record.sources
    assert one.denoising[3] == pytest.approx(record.pair.gap, abs=1e-4), "Δx · dL/dx is all of the difference"


def test_a_planted_circuit_is_found(tmp_path):
    """The marked word's identity and its mark are what differs, and few nodes of thirty carry everything."""
    config = planted.write(tmp_path)
    bench = Workbench(Settings(data=tmp_path / "data", demo=None))
    bench.build(config)
    ask = PairAsk(
        model_id="planted", clean="The capital of France is Paris", corrupted="The of of France is Paris",
        target=(" capital",), against=(" is",),
    )  # fmt: skip
    record = bench.pairs.features(ask, patch=3)
    (place,) = record.pair.differing
    assert {(n.key.index, n.position) for n in record.nodes[:2]} == {(0, place), (16, place)}
    curve = bench.pairs.curve(ask, "planted/0-res")
    assert curve.reaching(0.8) <= 4 < curve.nodes
    two = next(one for one in curve.points if one.nodes == 2)
    assert two.alone > 0.5 > two.random + 0.2
