"""Every number of every feature of a build, against a recomputation with Hugging Face, SAELens and NumPy alone.

The store's values must be `SAE.encode`'s on the prompt run alone; every other number is then recomputed from dense
vectors, so that counts and ranks are compared exactly. Figures that need no value of the store (logits, decoder rows)
are recomputed from the weights on disk.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from core.build import tiles
from core.records import SourceKey
from core.settings import Settings
from core.store import layout
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

SAES = {
    "1-standard": ("standard", {}),
    "1-jump": ("jumprelu", {"bias": -0.5}),
    "1-top": ("topk", {"k": 6, "bias": 0.0}),
    "1-rescaled": ("topk", {"k": 6, "bias": 0.0, "rescale_acts_by_decoder_norm": True, "width": 48}),
    "1-normed": ("standard", {"normalize_activations": "layer_norm", "apply_b_dec_to_input": False, "seed": 5}),
    "1-narrow": ("standard", {"width": 6, "bias": -0.3}),
}  # fmt: skip
NEURONS = "0-neurons"
SOURCES = [*SAES, NEURONS]
CONTEXT = 24
BATCH = 32
"""Prompts of a batch."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights and texts for every kind of source."""
    folder = tmp_path_factory.mktemp("numbers")
    tiny.model(folder / "model", scale=8.0)
    for name, (kind, options) in SAES.items():
        tiny.sae(folder / name, kind, **options)
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts()), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "compact"])
def bench(request, folder):
    """A workbench over a build of all of them, in several batches of prompts and several blocks of features."""
    config = {
        "model": {"id": "tiny", "path": "model"},
        "sources": [{"id": name, "sae": {"path": name}} for name in SAES]
        + [{"id": NEURONS, "neurons": "blocks.0.mlp.hook_post"}],
        "dataset": {"path": "texts.txt"},
        "context": CONTEXT,
        "cut": "chunks",
        "compact": request.param,
    }
    (folder / "build.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    before = _hashes(folder)
    bench = Workbench(Settings(data=folder / f"data-{request.param}", demo=None))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "TOKENS", BATCH * CONTEXT)
        patch.setattr(tiles, "PER_CHUNK", 3)
        patch.setattr(layout, "BATCH", layout.ROWS)
        bench.build(folder / "build.yaml")
    assert _hashes(folder) == before, "the weights were touched"
    return bench


@pytest.fixture(scope="module")
def recompute(folder):
    """The naive recomputation of a source, once for both builds."""
    kept = {}

    def go(name: str, prompts: list[list[int]]) -> naive.Dense:
        if name not in kept:
            sae = folder / name if name in SAES else None
            hook = "blocks.1.hook_resid_pre" if sae else "blocks.0.mlp.hook_post"
            found = naive.dense(folder / "model", sae, prompts, hook, special={0})
            if name in ("1-standard", NEURONS):
                alone = naive.bridged(folder / "model", prompts, hook)
                np.testing.assert_allclose(np.concatenate(alone), found.x, rtol=1e-5, atol=1e-4)
            kept[name] = found
        return kept[name]

    return go


@pytest.fixture(scope="module", params=SOURCES)
def case(request, bench, recompute):
    """(workbench, key, naive recomputation, the store, the records)."""
    key = SourceKey("tiny", request.param)
    source = bench.source(key)
    prompts = [[t.id for t in bench.prompt(key, n)] for n in range(source.prompts)]
    found = recompute(request.param, prompts)
    records = [bench.feature(f"{key}/{i}") for i in range(source.width)]
    return bench, key, found, _stored(bench, key, found), records


def _hashes(folder: Path) -> dict[str, str]:
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.rglob("*.safetensors"))}


def _stored(bench: Workbench, key: SourceKey, found: naive.Dense) -> np.ndarray:
    """The store as a dense matrix, [tokens, width], zero where nothing is stored."""
    data = bench._open.get(bench.catalog.entry(key).folder)
    result = np.zeros_like(found.acts)
    for feature in range(result.shape[1]):
        entries = data.entries(feature)
        assert (np.diff(entries.positions.astype(np.int64)) > 0).all()
        result[entries.positions, feature] = entries.values
    return result


def test_the_prompts_are_the_documents_in_pieces(bench, folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    key = SourceKey("tiny", NEURONS)
    expected = []
    for text in naive.texts():
        ids = tokenizer(text.strip("\n"), add_special_tokens=False)["input_ids"] if text.strip() else []
        expected += [[0, *ids[i : i + CONTEXT - 1]] for i in range(0, len(ids), CONTEXT - 1)]
    assert [[t.id for t in bench.prompt(key, n)] for n in range(bench.source(key).prompts)] == expected
    assert any(0 in p[1:] for p in expected), "a special token in the middle is part of the test"


def test_the_store_holds_what_encode_gives(case):
    bench, key, found, stored, _records = case
    source = bench.source(key)
    assert source.tokens == found.counted.sum()
    assert (stored[~found.counted] == 0).all(), "special tokens are not counted"
    if source.signed:
        kept = stored != 0
        first = found.counted & (found.prompt < BATCH)  # the tails are drawn on the first batch
        np.testing.assert_allclose(stored[kept], found.acts[kept], rtol=3e-6, atol=2e-5)
        for feature in range(source.width):  # the tails: nothing that is left out lies beyond what is kept
            values = np.sort(found.acts[first, feature])
            low, high = values[int(0.005 * (len(values) - 1))], values[int(0.98 * (len(values) - 1))]
            mine = kept[found.counted, feature]
            counted = found.acts[found.counted, feature]
            assert ((counted < low - 2e-5) <= mine).all() and ((counted > high + 2e-5) <= mine).all()
            assert not mine[(counted > low + 2e-5) & (counted < high - 2e-5)].any()
    else:
        assert (stored[found.counted] >= 0).all() and (stored != 0).sum() > 100
        np.testing.assert_allclose(
            stored[found.counted], np.maximum(found.acts[found.counted], 0), rtol=3e-6, atol=2e-5
        )
    assert source.alive == ((stored != 0).any(0)).sum()


def test_statistics(case):
    _bench, _key, found, stored, records = case
    counted = found.counted
    for i, record in enumerate(records):
        values = stored[counted, i].astype(np.float64)
        active = values[values != 0]
        assert record.active == len(active)
        assert record.density == len(active) / counted.sum()
        assert record.dead == (len(active) == 0)
        if record.source.signed:
            active = found.acts[counted, i].astype(np.float64)
        if not len(active):
            assert (record.maximum, record.minimum, record.mean, record.deviation) == (0, 0, 0, 0)
            assert record.histogram is None and record.groups == () and record.label == ""
            continue
        exact = dict(rtol=2e-5, atol=2e-5) if record.source.signed else dict(rtol=1e-6, atol=0)
        np.testing.assert_allclose(record.maximum, active.max(), **exact)
        np.testing.assert_allclose(record.minimum, active.min(), **exact)
        np.testing.assert_allclose(record.mean, active.mean(), **exact)
        np.testing.assert_allclose(record.deviation, np.sqrt(np.mean((active - active.mean()) ** 2)), **exact)


def test_histograms(case):
    _bench, _key, found, stored, records = case
    for i, record in enumerate(records):
        h = record.histogram
        if h is None:
            continue
        counts = np.array(h.counts)
        if record.source.signed:
            values = found.acts[found.counted, i].astype(np.float64)
            step = (h.high - h.low) / len(counts)
            assert counts.sum() == len(values) and counts[0] > 0 and counts[-1] > 0
            assert h.low <= values.min() + 2e-5 and values.max() <= h.high + 2e-5
            for b in range(len(counts)):  # a value within rounding of an edge may stand on either side
                low, high = h.low + b * step, h.low + (b + 1) * step
                sure = ((values >= low + 2e-5) & (values < high - 2e-5)).sum()
                near = ((values >= low - 2e-5) & (values < high + 2e-5)).sum()
                assert sure <= counts[b] <= near
            continue
        values = stored[:, i][stored[:, i] != 0].astype(np.float64)
        assert len(counts) == 50 and counts.sum() == len(values)
        if np.ptp(values) == 0:
            assert 0 <= h.low < values[0] < h.high
            continue
        assert (h.low, h.high) == (values.min(), values.max())
        step = (h.high - h.low) / 50
        for b in range(50):
            inside = (values >= h.low + b * step) & ((values < h.low + (b + 1) * step) | (b == 49))
            assert abs(int(inside.sum()) - counts[b]) <= 1  # a value on an edge
        np.testing.assert_array_equal(counts, np.histogram(values, 50)[0])


def test_raw_ranking(case):
    _bench, _key, found, stored, records = case
    for i, record in enumerate(records):
        if record.dead:
            continue
        rows = np.flatnonzero(stored[:, i])
        best = sorted(rows, key=lambda r: (-stored[r, i], r))[:10]
        raw = next(g for g in record.groups if g.kind == "raw")
        assert [(e.prompt, e.position) for e in raw.examples] == [(found.prompt[r], found.place[r]) for r in best]
        assert [e.value for e in raw.examples] == [stored[r, i] for r in best]


def test_values_of_every_prompt_that_is_shown(case, request):
    _bench, _key, found, stored, records = case
    compact = "compact" in request.node.callspec.id
    for i, record in enumerate(records):
        for example in [e for g in record.groups for e in g.examples]:
            rows = found.prompt == example.prompt
            assert [t.id for t in example.tokens] == found.tokens[rows].tolist()
            expected = stored[rows, i]
            values = np.array(example.values)
            assert ((values != 0) == (expected != 0)).all()
            np.testing.assert_allclose(values, expected, rtol=1e-3 if compact else 0, atol=1e-7 if compact else 0)
            assert example.value == expected[example.position]
            assert [t.special for t in example.tokens] == [t == 0 for t in found.tokens[rows].tolist()]


def test_groups(case):
    """Order, ranges, shares, at most one a prompt; the draws belong to their interval and fill it where they can."""
    _bench, _key, found, stored, records = case
    total = found.counted.sum()
    for i, record in enumerate(records):
        if record.dead:
            continue
        kinds = [g.kind for g in record.groups]
        assert kinds[:2] == ["diverse", "raw"] and kinds[-1] == "random" and set(kinds[2:-1]) <= {"interval"}
        rows = np.flatnonzero(stored[:, i])
        values = stored[rows, i]
        for group in record.groups:
            if group.kind != "raw":
                assert len({e.prompt for e in group.examples}) == len(group.examples)
            assert [e.value for e in group.examples] == sorted((e.value for e in group.examples), reverse=True)
            if group.kind != "interval":
                assert group.share == len(rows) / total
                assert group.high == values.max() and group.low == min(0, values.min())
        intervals = [g for g in record.groups if g.kind == "interval"]
        covered = 0
        for group in intervals:
            low, high = np.float32(group.low), np.float32(group.high)
            inside = (values > low) & (values <= high)
            covered += inside.sum()
            assert group.share == inside.sum() / total > 0
            for e in group.examples:
                assert low < np.float32(e.value) <= high
            assert len(group.examples) == min(4, len(set(found.prompt[rows[inside]])))
        assert covered == len(rows), "every stored value is in exactly one interval"
        assert [g.high for g in intervals] == sorted((g.high for g in intervals), reverse=True)
        if not record.source.signed:
            edges = [(values.max() * k / 5, values.max() * (k + 1) / 5) for k in reversed(range(5))]
            for group in intervals:
                assert any(np.allclose((group.low, group.high), edge, rtol=1e-6) for edge in edges)
        drawn = record.groups[-1].examples
        assert len(drawn) == min(6, len(set(found.prompt[rows])))


def test_diverse_examples_count_every_prompt_once(case):
    """The strongest first; as many as there are prompts if all groups are shown, and none counted twice."""
    _bench, _key, found, stored, records = case
    for i, record in enumerate(records):
        if record.dead:
            continue
        group = record.groups[0]
        peaks = {}
        for r in sorted(np.flatnonzero(stored[:, i]), key=lambda r: (-stored[r, i], r)):
            peaks.setdefault(found.prompt[r], r)
        seen = [(e.prompt, e.position) for e in group.examples] + [
            (m.prompt, m.position) for e in group.examples for m in e.members
        ]
        assert len(set(seen)) == len(seen)
        for prompt, position in seen:
            assert found.place[peaks[prompt]] == position
        first = next(iter(peaks.values()))
        assert (group.examples[0].prompt, group.examples[0].position) == (found.prompt[first], found.place[first])
        shown = sum(e.repeats for e in group.examples)
        assert shown == len(peaks) if len(group.examples) < 20 else shown <= len(peaks)
        for e in group.examples:
            assert len(e.members) == min(5, e.repeats - 1)
            for m in e.members:
                assert m.value == stored[(found.prompt == m.prompt) & (found.place == m.position), i][0] <= e.value


def test_values_at_ranks(case):
    """Of every rank that is a power of √2, rounded, and of the last of a sparse source."""
    bench, key, _found, stored, records = case
    data = bench._open.get(bench.catalog.entry(key).folder)
    grid = sorted({round(2 ** (k / 2)) for k in range(40)})
    signed = bench.source(key).signed
    for i, record in enumerate(records):
        row = data.features.row(i)
        values = np.sort(stored[:, i][stored[:, i] != 0])[::-1]
        if signed:
            lows, highs = row["ranked_low"], row["ranked"]
            assert not len(highs) or (
                (np.diff(highs) <= 0).all() and highs[0] == values[0] == np.float32(record.maximum)
            )
            assert not len(lows) or ((np.diff(lows) >= 0).all() and lows[0] == values[-1] == np.float32(record.minimum))
            assert highs.tolist() == values[[k - 1 for k in grid[: len(highs)]]].tolist()
            assert lows.tolist() == values[::-1][[k - 1 for k in grid[: len(lows)]]].tolist()
        else:
            ranks = [k for k in grid if k <= len(values)]
            ranks += [len(values)] if len(values) and ranks[-1] != len(values) else []
            assert row["ranked"].tolist() == values[[k - 1 for k in ranks]].tolist()
            assert not len(row["ranked_low"])


def test_logits(case):
    bench, key, found, _, records = case
    effects = found.W_dec.astype(np.float64) @ found.W_U.astype(np.float64)
    names = bench._vocabulary(key.model_id)
    for i, record in enumerate(records):
        _ranked(record.top_logits, effects[i], 10)
        _ranked(record.bottom_logits, -effects[i], 10, sign=-1)
        assert all(v.token == names.alone(v.token.id) for v in record.top_logits)
        h = record.logit_histogram
        assert h is not None and sum(h.counts) == found.W_U.shape[1] and len(h.counts) == 50
        np.testing.assert_allclose((h.low, h.high), (effects[i].min(), effects[i].max()), rtol=1e-5)
        counts = np.histogram(effects[i], 50, (h.low, h.high))[0]
        assert np.abs(counts - np.array(h.counts)).sum() <= 6, "all but values on an edge"


def _ranked(listed, scores, k, sign=1):
    ids = [v.token.id for v in listed]
    values = [sign * v.value for v in listed]
    assert len(set(ids)) == len(ids) == k and values == sorted(values, reverse=True)
    np.testing.assert_allclose(values, scores[ids], atol=1e-5)
    assert min(values) >= np.delete(scores, ids).max() - 1e-5


@pytest.fixture
def slack(request):
    """What numbers between -1 and 1 may be off in a compact build: half a step of float16."""
    return 2**-12 if "compact" in request.node.callspec.id else 0.0


def _related(listed, scores, k, extra=None, tolerance=1e-4):
    """A list is the `k` largest of `scores`, NaN left out; `extra` are the second figures."""
    indices = [r.index for r in listed]
    assert len(set(indices)) == len(indices) == min(k, int(np.isfinite(scores).sum()))
    if not indices:
        return
    values = [r.value for r in listed]
    assert values == sorted(values, reverse=True)
    np.testing.assert_allclose(values, scores[indices], atol=tolerance)
    rest = np.delete(scores, indices)
    rest = rest[np.isfinite(rest)]
    assert not len(rest) or min(values) >= rest.max() - tolerance
    if extra is not None:
        np.testing.assert_allclose([r.cosine for r in listed], extra[indices], atol=tolerance)


def test_decoder_coordinates_and_neighbours(case, slack):
    _bench, _key, found, _, records = case
    rows = found.W_dec.astype(np.float64)
    near = naive.cosine(rows.T, rows.T)
    np.fill_diagonal(near, np.nan)
    for i, record in enumerate(records):
        _related(record.alignment, rows[i], 5, tolerance=1e-6)
        shares = [abs(rows[i, r.index]) / np.abs(rows[i]).sum() for r in record.alignment]
        np.testing.assert_allclose([r.share for r in record.alignment], shares, rtol=1e-5, atol=slack)
        assert i not in [r.index for r in record.neighbours]
        _related(record.neighbours, near[i], 10, tolerance=1e-5 + slack)


def test_correlations(case, slack):
    """Over all counted tokens: hook coordinates, and features of the source active together on three tokens or more."""
    bench, key, found, stored, records = case
    acts = (found.acts if bench.source(key).signed else stored)[found.counted].astype(np.float64)
    x = found.x[found.counted].astype(np.float64)
    features, features_cosine = naive.pearson(acts, acts), naive.cosine(acts, acts)
    np.fill_diagonal(features, np.nan)
    if not bench.source(key).signed:
        features[((acts != 0).T.astype(int) @ (acts != 0).astype(int)) < 3] = np.nan
        neurons, neurons_cosine = naive.pearson(acts, x), naive.cosine(acts, x)
    for i, record in enumerate(records):
        assert i not in [r.index for r in record.correlated_features]
        _related(record.correlated_features, features[i], 10, features_cosine[i], 1e-4 + slack)
        if bench.source(key).signed:
            assert record.correlated_neurons == ()
        else:
            _related(record.correlated_neurons, neurons[i], 10, neurons_cosine[i], 1e-4 + slack)


def test_labels_and_the_table(case):
    bench, key, found, stored, records = case
    table = bench.features(key)
    assert table["index"].tolist() == list(range(bench.source(key).width))
    for i, record in enumerate(records):
        row = table.iloc[i]
        assert (row.density, row.active, row.label) == (record.density, record.active, record.label)
        assert row.maximum == record.maximum
        if record.dead or record.source.signed:
            continue
        strong = stored[:, i] >= np.float32(0.5) * stored[:, i].max()
        mass = {}
        for r in np.flatnonzero(strong):
            mass[found.tokens[r]] = mass.get(found.tokens[r], 0.0) + float(stored[r, i])
        total = sum(mass.values())
        score = {t: m / total * np.log(m / total / np.mean(found.tokens == t)) for t, m in mass.items()}
        names = bench._vocabulary(key.model_id)
        words = {names.alone(int(t)).text.strip() or "?" for t in score if score[t] > max(score.values()) - 1e-6}
        assert record.label.split(" · ")[0] in words or "?" in words


def test_the_caller_keeps_their_sae(tmp_path):
    """Loading a source from a folder gives SAELens's own state, and encoding does not change it."""
    import torch
    from sae_lens import SAE

    from core.sources.dictionary import Sae

    sae = SAE.load_from_disk(tiny.sae(tmp_path / "sae", "topk", k=4, bias=0.0))
    before = {name: value.clone() for name, value in sae.state_dict().items()}
    wrapped = Sae(sae, "")
    x = torch.randn(7, 32)
    assert torch.equal(wrapped.encode(x), sae.encode(x))
    assert wrapped.W_dec.data_ptr() == sae.W_dec.data_ptr()
    assert all(torch.equal(before[name], value) for name, value in sae.state_dict().items())
