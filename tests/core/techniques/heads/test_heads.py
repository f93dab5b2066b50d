"""Heads: rows add up to 1, heads to their layer, sums to the model's own numbers; known heads score 1."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch
from sae_lens import SAE

from core.catalog.manifest import ModelSpec
from core.errors import BadInput, Busy, NotFound
from core.models import loading
from core.records import SourceKey
from core.settings import Settings
from core.sources.codes import sparse
from core.sources.sae import Sae
from core.techniques.circuits.aim import Reading
from core.techniques.heads import corpus, features, keeping, scores, shaping
from core.techniques.heads import pattern as pattern_module
from core.techniques.heads.parts import head_parts, head_weights
from core.techniques.heads.records import KINDS, SIDES, HeadKey
from core.workbench import Workbench
from tests import tiny
from tests.core.techniques.heads import planted

TEXT = "The capital of France is Paris, and the capital of"
KEY = HeadKey("tiny", 1, 1)


@pytest.fixture(scope="module")
def bench(tiny_root, tmp_path_factory):
    """The tiny model in a root that is only read, with another to write to."""
    return Workbench(Settings(data=tmp_path_factory.mktemp("heads"), demo=tiny_root))


@pytest.fixture(scope="module")
def model(bench):
    return bench._model_slot("tiny").get()


@pytest.fixture(scope="module")
def seen(model):
    """What TransformerLens shows of the text."""
    with torch.no_grad():
        return model.bridge.run_with_cache(torch.tensor([model.ids(TEXT)]), return_type=None)[1]


def test_a_pattern_is_transformer_lens_s_and_its_rows_add_up_to_1(bench, seen):
    record = bench.heads.pattern(KEY, TEXT)
    theirs = seen["blocks.1.attn.hook_pattern"][0, 1]
    values = seen["blocks.1.attn.hook_v"][0, :, 1] @ bench._model_slot("tiny").get().bridge.blocks[1].attn.W_O[1]
    for n, (row, moved) in enumerate(zip(record.pattern, record.moved, strict=True)):
        assert len(row) == n + 1 and sum(row) == pytest.approx(1, abs=1e-5)
        assert list(row) == pytest.approx(theirs[n, : n + 1].tolist(), abs=1e-6)
        assert list(moved) == pytest.approx((theirs[n, : n + 1] * values[: n + 1].norm(dim=1)).tolist(), abs=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "neox", "gemma"])
def test_heads_and_the_bias_are_their_layer(tmp_path, family):
    """Norms of either kind, rotated positions, grouped heads, parallel layers."""
    path = tiny.model(tmp_path / family, family, scale=3.0)
    model = loading.load(ModelSpec(id=family, path=str(path)), device="cpu", dtype="float32")
    ids = torch.tensor(model.ids("It’s a fine day in Rome"))
    with torch.no_grad():
        _, cache = model.bridge.run_with_cache(ids[None], return_type=None)
    for layer in range(2):
        whole = sum(head_parts(model, ids, layer, n).results for n in range(model.manifest.record.heads))
        bias = getattr(model.bridge.blocks[layer].attn, "b_O", None)
        whole = whole + (bias if bias is not None else 0.0)
        assert whole.float() == pytest.approx(cache[f"blocks.{layer}.hook_attn_out"][0], abs=1e-4)


# -- scores ------------------------------------------------------------------------------------------------------------


def test_scores_on_text_are_head_detector_s(model, seen):
    from transformer_lens import head_detector as theirs

    ids = torch.tensor(model.ids(f"{TEXT} France is Paris"))
    (first, second) = pattern_module.patterns(model, ids[None])
    for own in (first[0], second[0]):
        made = scores.detected(own, ids)
        for at, kind in enumerate(KINDS):
            name = kind if kind == "induction" else f"{kind}_token"
            mask = getattr(theirs, f"get_{name}_head_detection_pattern")(ids[None])
            for head in range(len(own)):
                expected = theirs.compute_head_attention_similarity_score(
                    own[head], mask, exclude_bos=False, exclude_current_token=False, error_measure="mul"
                )
                assert float(made[head, at]) == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    path = planted.write(tmp_path_factory.mktemp("planted") / "model")
    return loading.load(ModelSpec(id="planted", path=str(path)), device="cpu", dtype="float32")


def test_known_heads_score_1_and_others_what_equal_attention_gives(known):
    made = scores.scores(known)
    period = scores.period(known.manifest.record.context, True, len(known.vocabulary))
    even = shaping.uniform(period, 1)
    previous, zero, induction, other = made[:, :, 0]
    assert previous[0] == pytest.approx(1, abs=1e-3) and previous[1:] == pytest.approx([0, 0], abs=1e-3)
    assert induction[2] == pytest.approx(1, abs=1e-2) and induction[1] == pytest.approx(0, abs=1e-2)
    assert zero == pytest.approx(even, abs=1e-5) and other == pytest.approx(even, abs=1e-5)
    assert made[2, 2, 1] < 0.1, "by position alone it is no induction head"
    counts = np.array([period, scores.SEQUENCES, 0, 0, 1])
    none = np.full((4, 8), np.nan)
    kept = keeping.Kept(made, none, np.full((4, 0, 8), np.nan), np.full(3, np.nan), counts)
    found = shaping.heads(known.manifest.record, kept, None)
    assert [one.kinds for one in found.heads] == [("previous",), (), ("induction",), ()]
    assert found.heads[0].bos is None and found.heads[0].previous.text is None
    measured = replace(kept, shares=np.full((4, 8), 0.5))
    one, other = (replace(measured, counts=np.array([period, 8, 1, 9, bos])) for bos in (1, 0))
    said = [shaping.heads(known.manifest.record, kept, None).heads[0].bos for kept in (one, other)]
    assert said == [0.5, None], "a model without a BOS attends to none"


def test_random_texts_repeat_and_hold_nothing_special(known):
    twice, other = scores.random_texts(known)
    length = (twice.shape[1] - 1) // 2
    assert torch.equal(twice[:, 1 : length + 1], twice[:, length + 1 :])
    assert torch.equal(twice[:, : length + 1], other[:, : length + 1])
    for row in other.tolist():
        assert len(set(row)) == len(row) and row[0] == known.bos and known.bos not in row[1:]


def test_over_a_corpus_it_is_the_loop_by_hand(model):
    texts = [model.ids(line)[:20] for line in tiny.LINES]
    made = corpus.read(model, texts, lambda work: work(), lambda count: None)
    sums, pairs = np.zeros((4, 5)), [defaultdict(list) for _ in range(4)]
    other = np.zeros(4)
    for ids in texts:
        layers = pattern_module.patterns(model, torch.tensor([ids]))
        for n, own in enumerate(torch.cat([layer[0] for layer in layers]).double().numpy()):
            for to in range(2, len(ids)):
                row = own[to, : to + 1]
                back = sum(row[at] * (to - at) for at in range(1, to + 1))
                rest = [row[at] if 0 < at < to else -1 for at in range(to + 1)]
                best = int(np.argmax(rest))
                sums[n] += [row[0], row[to], row[to - 1], back, rest[best] >= corpus.LEAST]
                other[n] += row[1:].sum()
                if rest[best] >= corpus.LEAST:
                    pairs[n][ids[to], ids[best]].append(rest[best])
    tokens = sum(len(ids) - 2 for ids in texts)
    assert made.shares[:, :3] == pytest.approx(sums[:, :3] / tokens, abs=1e-5)
    assert made.shares[:, 3] == pytest.approx(sums[:, 3] / other, rel=1e-4)
    assert made.shares[:, 7] == pytest.approx(sums[:, 4] / tokens, abs=1e-6)
    for n in range(4):
        ranked = sorted(pairs[n].items(), key=lambda one: -sum(one[1]))[: corpus.PAIRS]
        rows = [row for row in made.pairs[n] if not np.isnan(row[0])]
        assert [row[3] for row in rows] == pytest.approx([sum(values) for _, values in ranked], rel=1e-4)
        for row in rows:
            query, key, times, total, text, position, source, weight = row
            assert pairs[n][query, key] and times == len(pairs[n][query, key])
            assert total == pytest.approx(sum(pairs[n][query, key]), rel=1e-4)
            assert (texts[int(text)][int(position)], texts[int(text)][int(source)]) == (query, key)
            assert weight == pytest.approx(max(pairs[n][query, key]), rel=1e-4)


def test_a_previous_token_head_s_pairs_are_what_stands_before(known):
    texts = [known.ids(line)[:20] for line in tiny.LINES]
    made = corpus.read(known, texts, lambda work: work(), lambda count: None)
    assert made.shares[0, 2] == pytest.approx(1, abs=1e-3) and made.shares[0, 3] == pytest.approx(1, abs=1e-2)
    assert made.shares[0, 4] > 0.9 > made.shares[1, 4]
    assert all(row[5] - row[6] == 1 for row in made.pairs[0] if not np.isnan(row[0]))


def test_what_was_made_is_kept_and_damage_is_made_again(bench, monkeypatch):
    assert bench.heads.kept("tiny") is None
    steps = []
    record = bench.heads.scores("tiny", tell=steps.append)
    assert len(record.heads) == 4 and record.source is not None and record.tokens > 0
    assert [step for step in steps if step.what == "the corpus"][-1].done == steps[-1].of
    one = bench.heads.of(KEY)
    for pair in one.pairs:
        prompt = bench.prompt(record.source, pair.prompt)
        assert (prompt[pair.position], prompt[pair.attended]) == (pair.query, pair.key)
        assert pair.tokens == prompt[pair.first : pair.first + len(pair.tokens)]

    def never(*_):
        raise AssertionError("a pass")

    fresh = Workbench(bench.settings)
    with monkeypatch.context() as patch:
        patch.setattr(scores, "scores", never)
        assert fresh.heads.kept("tiny") == record == fresh.heads.scores("tiny")
        assert fresh.heads.of(KEY) == one
    (file,) = bench.settings.data.glob(f"tiny/*/derived/heads-*/{keeping.FILE}")
    file.write_bytes(file.read_bytes()[:100])
    again = Workbench(bench.settings)
    assert again.heads.kept("tiny") is None and again.heads.scores("tiny") == record


# -- features ----------------------------------------------------------------------------------------------------------


def test_scores_by_weight_are_the_plain_product(bench, model):
    attn, norm = model.bridge.blocks[1].attn, model.bridge.blocks[1].ln1.weight.double()
    W_Q, W_K, W_V, W_O = (getattr(attn, f"W_{name}")[1].double() for name in "QKVO")
    source = bench._source_slot(bench.source("tiny/1-res")).get().source
    rows = source.W_dec.double() / source.W_dec.double().norm(dim=1, keepdim=True)
    read = (rows - rows.mean(1, keepdim=True)) * norm
    made = {
        "query": torch.einsum("nd,dh,eh->ne", read, W_Q, W_K), "key": torch.einsum("nd,dh,eh->ne", read, W_K, W_Q),
        "value": torch.einsum("nd,dh,he->ne", read, W_V, W_O),
    }  # fmt: skip
    for side in ("query", "key"):  # what comes out is met by the other token's normed activation, centred too
        made[side] = made[side] * norm
        made[side] = made[side] - made[side].mean(1, keepdim=True)
    random = torch.randn(4000, 32, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    weights = head_weights(model, 1, 1)
    for side, expected in made.items():
        found, norms = features.by_weight(source.W_dec, weights, side)
        assert norms == pytest.approx(source.W_dec.norm(dim=1).tolist(), rel=1e-5)
        lengths = expected.norm(dim=1).detach().numpy()
        assert found / found[0] == pytest.approx(lengths / lengths[0], rel=1e-5)
        usual, _ = features.by_weight(random, weights, side)
        assert np.mean(usual**2) == pytest.approx(1, rel=0.1), "1 is what a random direction gives"
    below = head_weights(model, 0, 1)
    columns = features.columns_of(source)
    found, _ = features.by_weight(columns, below, "output")
    attn, norm = model.bridge.blocks[0].attn, model.bridge.blocks[0].ln1.weight.double()
    ov = torch.einsum("dh,he->de", attn.W_V[1].double() * norm[:, None], attn.W_O[1].double())
    ov = ov - ov.mean(0)
    unit = columns.double() / columns.double().norm(dim=1, keepdim=True)
    lengths = torch.einsum("de,ne->nd", ov, unit).norm(dim=1).detach().numpy()
    assert found / found[0] == pytest.approx(lengths / lengths[0], rel=1e-5)


def test_sides_are_ranked_over_the_sources_that_can(bench):
    record = bench.heads.features(KEY, top=5)
    query, key, value, output = record.sides
    assert [one.side for one in record.sides] == list(SIDES)
    for side in (query, key, value):
        assert side.of == 64 and side.sources == (SourceKey("tiny", "1-res"),)
        assert [one.score for one in side.features] == sorted((one.score for one in side.features), reverse=True)
        assert side.beyond >= sum(one.score > side.chance for one in side.features) or side.beyond > 5
    assert not output.features and "after this layer" in output.note
    below = bench.heads.features(HeadKey("tiny", 0, 0), top=5)
    assert [bool(side.features) for side in below.sides] == [False, False, False, True]


def test_what_features_give_adds_up_to_the_model_s_own(bench, seen):
    record = bench.heads.active(KEY, TEXT, attended=3, top=100)
    to = record.position
    scored = float(seen["blocks.1.attn.hook_attn_scores"][0, 1, to, 3])
    query, key, value = record.sides
    assert query.total == pytest.approx(scored, abs=1e-4) == key.total
    for side in record.sides:
        assert side.features + side.error + side.bias == pytest.approx(side.total, abs=1e-5)
        assert sum(node.value for node in side.nodes) == pytest.approx(side.features, abs=1e-6)
    assert {node.position for node in query.nodes} == {to} and {node.position for node in value.nodes} <= {3}
    parts = [bench.heads.active(KEY, TEXT, attended=n).sides[2].total for n in range(to + 1)]
    assert sum(parts) == pytest.approx(1, abs=1e-5), "over all tokens that it looks at"
    assert record.weight == pytest.approx(bench.heads.pattern(KEY, TEXT).pattern[to][3])


def test_what_a_head_gives_later_features_is_its_result_times_their_column(bench, model, seen):
    (side,) = bench.heads.active(HeadKey("tiny", 0, 1), TEXT, top=100).sides
    source = bench._source_slot(bench.source("tiny/1-res")).get().source
    result = seen["blocks.0.attn.hook_z"][0, -1].reshape(2, 16)[1] @ model.bridge.blocks[0].attn.W_O[1]
    acts = source.sae.encode(seen["blocks.1.hook_resid_pre"][0, -1:])[0]
    assert len(side.nodes) == side.active == int((acts > 0).sum())
    for node in side.nodes:
        assert node.value == pytest.approx(float(result @ source.sae.W_enc[:, node.key.index]), abs=1e-5)
        assert node.activation == pytest.approx(float(acts[node.key.index]), abs=1e-4)


def test_a_source_that_takes_the_mean_off_is_given_what_is_left_of_a_result(tmp_path, model, seen):
    """What a head gives is what the pre-activation loses without it."""
    folder = tiny.sae(tmp_path / "sae", "standard", hook="blocks.1.hook_resid_pre", bias=0.0)
    own = Sae(SAE.load_from_disk(folder), "x")
    own.centre()
    x, parts = seen["blocks.1.hook_resid_pre"][0], head_parts(model, torch.tensor(model.ids(TEXT)), 0, 1)
    terms = features.given_terms(parts, own, x, sparse(own.encode(x).numpy()), len(x) - 1)
    without = x[-1:] - parts.results[-1:].float()
    assert len(terms.features) > 3
    for index, value in zip(terms.features.tolist(), terms.values.tolist(), strict=True):
        read = Reading(own, index)
        assert value == pytest.approx(float((read(x[-1:]) - read(without)).detach()), abs=1e-4)
    columns = features.columns_of(own)
    assert columns == pytest.approx((own.sae.W_enc - own.sae.W_enc.mean(0)).detach().T, abs=1e-6)


def test_who_waits_too_long_for_a_measurement_is_told(tiny_root, tmp_path):
    """And holds no thread of the server meanwhile; what is known already is answered at once."""
    busy = Workbench(Settings(data=tmp_path, demo=tiny_root, patience=0.01))
    busy.heads._making["tiny"] = lock = threading.Lock()
    with lock, pytest.raises(Busy, match="being measured"):
        busy.heads.of(KEY)
    busy.heads.scores("tiny")
    with lock:
        assert busy.heads.of(KEY).scores.key == KEY


def test_records_are_tables(bench):
    room = bench.heads
    assert len(room.scores("tiny").to_pandas()) == 4 and len(room.of(KEY).to_pandas()) == len(room.of(KEY).pairs)
    rows = room.pattern(KEY, TEXT).to_pandas().groupby("position")["attention"].sum()
    assert rows.to_numpy() == pytest.approx(np.ones(len(rows)), abs=1e-5)
    assert set(room.features(KEY).to_pandas()["side"]) == {"query", "key", "value"}
    assert "<table" in room.active(KEY, TEXT)._repr_html_()


@pytest.mark.parametrize(
    ("work", "error", "said"),
    [
        (lambda room: room.of("tiny/9/0"), NotFound, "layers 0 to 1"),
        (lambda room: room.of("tiny/1"), BadInput, "head"),
        (lambda room: room.of("none/1/1"), NotFound, "none"), (lambda room: room.pattern(KEY, ""), BadInput, "empty"),
        (lambda room: room.pattern(KEY, "word " * 200), BadInput, "64"),
        (lambda room: room.active(KEY, TEXT, position=99), BadInput, "there is no 99"),
        (lambda room: room.active(KEY, TEXT, position=2, attended=5), BadInput, "0 to 2"),
        (lambda room: room.features(KEY, top=0), BadInput, "top"),
        (lambda room: room.features(KEY, sources=("tiny/9-none",)), NotFound, "9-none"),
        (lambda room: room.features(KEY, sources=("other/1-res",)), BadInput, "not a source of"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(bench, work, error, said):
    with pytest.raises(error, match=said):
        work(bench.heads)
