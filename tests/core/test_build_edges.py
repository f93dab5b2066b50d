"""Builds at the edges: models without BOS, padded vocabularies, sums that would cancel, one feature, one token."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from core.build import weights
from core.build.describe import BINS as BINS_
from core.build.describe import describe
from core.build.moments import BINS, CoordinateMoments, DenseMoments, Sums, strongest
from core.build.nonzeros import positive
from core.settings import Settings
from core.store.grouped import Grouped
from core.workbench import Workbench
from tests import tiny
from tests.core import naive


def build(folder, sources: dict, **options) -> Workbench:
    config = {
        "model": {"id": "tiny", "path": "model"},
        "sources": [{"id": name, **where} for name, where in sources.items()],
        "dataset": {"path": "texts.txt"}, "context": 16, "cut": "chunks", **options,
    }  # fmt: skip
    if not (folder / "texts.txt").exists():
        (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(12)), encoding="utf-8")
    (folder / "build.yaml").write_text(yaml.safe_dump(config))
    bench = Workbench(Settings(data=folder / "data", demo=None))
    bench.build(folder / "build.yaml")
    return bench


def store(bench: Workbench, key: str, feature: int) -> dict[int, float]:
    source = bench.source(key)
    found = bench._open.get(bench.catalog.entry(source.key).folder).entries(feature)
    return dict(zip(found.positions.tolist(), found.values.tolist(), strict=True))


def prompts(bench: Workbench, key: str) -> list[list[int]]:
    return [[t.id for t in bench.prompt(key, n)] for n in range(bench.source(key).prompts)]


def test_a_model_without_bos(tmp_path):
    tiny.model(tmp_path / "model", bos=False, scale=8.0)
    tiny.sae(tmp_path / "sae")
    asked = {"1-res": {"sae": {"path": "sae", "bos": False}}}
    bench = build(tmp_path, asked)
    rows = prompts(bench, "tiny/1-res")
    assert rows[0][0] != 0 and max(map(len, rows)) == 16
    found = naive.dense(tmp_path / "model", tmp_path / "sae", rows, "blocks.1.hook_resid_pre", special=set())
    assert bench.source("tiny/1-res").tokens == len(found.tokens), "every token counts, the first as well"
    for i in range(0, 64, 9):
        values = store(bench, "tiny/1-res", i)
        expected = {n: v for n, v in enumerate(found.acts[:, i].tolist()) if v > 0}
        assert values.keys() == expected.keys()
        np.testing.assert_allclose(list(values.values()), list(expected.values()), rtol=1e-5, atol=2e-5)
    (record,) = bench.test("tiny/1-res/9", "Paris")
    assert "".join(t.text for t in record.tokens) == "Paris"
    packed = build(tmp_path, asked, cut="packed")
    assert {len(p) for p in prompts(packed, "tiny/1-res")} == {16}


def test_an_embedding_wider_than_the_tokenizer(tmp_path):
    tiny.model(tmp_path / "model", spare=50, scale=8.0)
    tiny.sae(tmp_path / "sae")
    bench = build(tmp_path, {"1-res": {"sae": {"path": "sae"}}})
    shown = {v.token.id for i in range(64) for v in bench.feature(f"tiny/1-res/{i}").top_logits}
    assert bench.model("tiny").d_vocab == 450
    assert any(i >= 400 for i in shown), "they are columns of W_U like any"
    assert sum(bench.feature("tiny/1-res/0").logit_histogram.counts) == 450


@pytest.mark.parametrize("width", [1, 2, 5, 11])
def test_few_features(tmp_path, width):
    tiny.model(tmp_path / "model", scale=8.0)
    tiny.sae(tmp_path / "sae", width=width, bias=-0.3)
    bench = build(tmp_path, {"1-res": {"sae": {"path": "sae"}}})
    for i in range(width):
        record = bench.feature(f"tiny/1-res/{i}")
        assert len(record.neighbours) == min(10, width - 1)
        assert len(record.correlated_features) <= width - 1


def test_a_source_of_dead_features(tmp_path):
    tiny.model(tmp_path / "model")
    tiny.sae(tmp_path / "sae", bias=-1e6)
    bench = build(tmp_path, {"1-res": {"sae": {"path": "sae"}}})
    assert bench.source("tiny/1-res").alive == 0
    record = bench.feature("tiny/1-res/5")
    assert record.dead and record.density == 0 and record.histogram is None and record.groups == ()
    assert record.correlated_features == record.correlated_neurons == () and record.neighbours and record.top_logits
    assert sum(bench.densities("tiny/1-res").counts) == 0


def test_one_token(tmp_path):
    tiny.model(tmp_path / "model", scale=8.0)
    tiny.sae(tmp_path / "sae", bias=0.0)
    (tmp_path / "texts.txt").write_text("x")
    bench = build(tmp_path, {"1-res": {"sae": {"path": "sae"}}, "0-neurons": {"neurons": "blocks.0.mlp.hook_post"}})
    for key, width in (("tiny/1-res", 64), ("tiny/0-neurons", 128)):
        assert bench.source(key).tokens == 1
        for i in range(width):
            record = bench.feature(f"{key}/{i}")
            assert record.deviation == 0 and record.correlated_features == ()
            if record.histogram and not record.source.signed:
                assert sum(record.histogram.counts) == 1 and record.histogram.low >= 0


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(st.lists(st.floats(-(2.0**20), 2.0**20, width=32), max_size=40), min_size=1, max_size=5))
def test_figures_are_numpys(rows):
    """Also of a feature whose values are all equal, or that has one: its histogram lies around it."""
    sizes = [len(r) for r in rows]
    values = np.array([v for r in rows for v in r], np.float32)
    some = Grouped(np.cumsum([0, *sizes]), np.arange(len(values), dtype=np.uint32), values)
    found = describe(some, np.zeros(len(values) + 1, np.uint32), np.ones(1))
    for f, row in enumerate(rows):
        if not row:
            assert not found.counts[f].any() and found.maximum[f] == found.mean[f] == 0
            continue
        wide = np.array(row, np.float32).astype(np.float64)
        low, high = found.low[f], found.high[f]
        assert low <= wide.min() <= wide.max() <= high
        assert (low, high) == (wide.min(), wide.max()) or wide.min() == wide.max()
        np.testing.assert_allclose(found.mean[f], wide.mean(), rtol=1e-12, atol=1e-9)
        np.testing.assert_allclose(found.deviation[f], wide.std(), rtol=1e-9, atol=1e-9)
        assert found.counts[f].sum() == len(row)
        if (high - low) / BINS_ > 0:
            assert found.counts[f].tolist() == np.histogram(wide, BINS_, (low, high))[0].tolist()


@pytest.mark.parametrize("compact", [False, True])
def test_huge_values(tmp_path, compact):
    """Beyond what float16 holds."""
    tiny.model(tmp_path / "model", scale=8.0)
    tiny.sae(tmp_path / "sae", bias=2e5)
    bench = build(tmp_path, {"1-res": {"sae": {"path": "sae"}}}, compact=compact)
    for i in range(0, 64, 7):
        for example in bench.feature(f"tiny/1-res/{i}").groups[0].examples:
            assert np.isfinite(example.values).all()
            assert abs(example.values[example.position] / example.value - 1) < 1e-3


def test_tiny_values_stay_active(tmp_path):
    """Below what float16 holds: a strip shows where the feature is active all the same."""
    tiny.model(tmp_path / "model", scale=8.0)
    folder = tiny.sae(tmp_path / "sae", bias=0.0)
    from sae_lens import SAE

    sae = SAE.load_from_disk(folder)
    sae.W_enc.data *= 1e-10
    sae.b_enc.data *= 1e-10
    sae.save_model(folder)
    bench = build(tmp_path, {"1-res": {"sae": {"path": "sae"}}}, compact=True)
    example = bench.feature("tiny/1-res/3").groups[0].examples[0]
    assert example.value > 0 and example.values[example.position] > 0


def test_bfloat16(tmp_path):
    """The model in bfloat16; the SAE's values are what it gives on those activations."""
    import torch
    from sae_lens import SAE
    from transformer_lens.model_bridge import TransformerBridge

    tiny.model(tmp_path / "model", scale=8.0)
    tiny.sae(tmp_path / "sae")
    bench = build(
        tmp_path,
        {"1-res": {"sae": {"path": "sae"}}, "0-neurons": {"neurons": "blocks.0.mlp.hook_post"}},
        dtype="bfloat16",
    )
    assert bench.source("tiny/1-res").dtype == "bfloat16"
    bridge = TransformerBridge.boot_transformers(str(tmp_path / "model"), device="cpu", dtype=torch.bfloat16)
    sae, rows = SAE.load_from_disk(tmp_path / "sae"), prompts(bench, "tiny/1-res")
    with torch.no_grad():
        acts = torch.cat(
            [sae.encode(bridge.run_with_cache(torch.tensor([r]))[1]["blocks.1.hook_resid_pre"][0]) for r in rows]
        ).float()
    for i in range(0, 64, 9):
        values = store(bench, "tiny/1-res", i)
        for n, v in values.items():
            assert abs(acts[n, i].item() - v) < 0.05 * max(1.0, v)  # batches round differently in bfloat16


def test_files_beside_each_other_and_their_names(tmp_path):
    tiny.model(tmp_path / "model")
    tiny.sae(tmp_path / "sae")
    for name in ("novels", "code"):
        (tmp_path / f"{name}.txt").write_text(f"{name} one{tiny.SEPARATOR}{name} two")
    bench = build(tmp_path, {"1-res": {"sae": {"path": "sae"}}}, dataset={"path": "*.txt"}, cut="first")
    data = bench._open.get(tmp_path / "data/tiny/1-res")
    found = [(data.prompt(n)["part"], int(data.prompt(n)["document"])) for n in range(4)]
    assert found == [("code", 0), ("code", 1), ("novels", 2), ("novels", 3)]


# -- sums --------------------------------------------------------------------------------------------------------------


def test_coordinates_far_from_zero():
    """A coordinate that hardly varies around a large value, and one that does not vary at all."""
    rng = np.random.default_rng(0)
    acts = np.maximum(rng.normal(size=(900, 7)).astype(np.float32) - 0.5, 0)
    noise = rng.normal(size=(2, 900))
    columns = [3000 + noise[0], np.full(900, 1234.567), acts[:, 2] + noise[1], 0.3 * acts[:, 1] - 800]
    x = np.stack(columns, 1).astype(np.float32)
    moments = CoordinateMoments(7, 4)
    for begin in range(0, 900, 256):
        part = slice(begin, begin + 256)
        moments.add(positive(torch.from_numpy(acts[part])), x[part])
    wide = acts.astype(np.float64)
    sums = Sums(wide.sum(0), (wide**2).sum(0), np.zeros(7))
    found = strongest(moments.fx, 900, sums, moments.sums, 4, np.ones((7, 4), bool))
    pearson, cosine = naive.pearson(wide, x.astype(np.float64)), naive.cosine(wide, x.astype(np.float64))
    for i in range(7):
        listed = found.index[i][found.index[i] >= 0]
        assert sorted(listed) == [0, 2, 3], "the constant one has no correlation"
        np.testing.assert_allclose(found.pearson[i][: len(listed)], pearson[i][listed], atol=1e-4)
        np.testing.assert_allclose(found.cosine[i][: len(listed)], cosine[i][listed], atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    scale=st.sampled_from([1e-8, 1e-3, 1.0, 1e6]),
    offset=st.sampled_from([0.0, 1.0, -300.0, 1e4]),
    batch=st.integers(1, 60),
)
def test_dense_moments(seed, scale, offset, batch):
    rng = np.random.default_rng(seed)
    acts = (scale * (offset + rng.normal(size=(60, 5)) * rng.choice([0, 1, 10], size=5))).astype(np.float32)
    dense = DenseMoments(5)
    for begin in range(0, 60, batch):
        dense.add(acts[begin : begin + batch])
        again, dense = dense, DenseMoments(5)
        dense.restore(again.state())
    wide = acts.astype(np.float64)
    spread = wide.std(0)
    sums = dense.sums
    np.testing.assert_allclose(sums.shift + sums.total / 60, wide.mean(0), rtol=1e-9, atol=1e-7 * spread.max())
    np.testing.assert_allclose(sums.spread(60), spread, rtol=1e-4)
    np.testing.assert_allclose(sums.length(60), np.linalg.norm(wide, axis=0), rtol=1e-5)
    assert (dense.low == acts.min(0)).all() and (dense.high == acts.max(0)).all()
    assert (dense.bins.sum(1) == 60).all()
    for i in range(5):
        edges = (np.arange(BINS + 1) - BINS // 2) * dense.step[i]
        expected = [((wide[:, i] >= low) & (wide[:, i] < high)).sum() for low, high in itertools.pairwise(edges)]
        assert dense.bins[i].tolist() == expected
    found = strongest(dense.ff, 60, sums, sums, 4, ~np.eye(5, dtype=bool))
    pearson = naive.pearson(wide, wide)
    for i in range(5):
        listed = found.index[i][found.index[i] >= 0]
        assert i not in listed and len(listed) == np.isfinite(np.delete(pearson[i], i)).sum()
        np.testing.assert_allclose(found.pearson[i][: len(listed)], pearson[i][listed], atol=1e-4)


@pytest.mark.parametrize("columns", [5, 60])
def test_strongest_keeps_to_what_is_allowed(columns):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(200, 6)), rng.normal(size=(200, columns))
    allowed = rng.random((6, columns)) < 0.3
    allowed[0] = False
    sides = [Sums(m.sum(0), (m**2).sum(0), np.zeros(m.shape[1])) for m in (a, b)]
    found = strongest(a.T @ b, 200, *sides, 10, allowed)
    pearson = np.where(allowed, naive.pearson(a, b), -np.inf)
    for i in range(6):
        best = [j for j in np.argsort(-pearson[i]) if allowed[i, j]][:10]
        assert found.index[i][found.index[i] >= 0].tolist() == best
        assert (found.index[i][len(best) :] == -1).all()


def test_a_decoder_row_of_zeros():
    rows = torch.randn(6, 8)
    rows[2] = 0
    table = weights.logit_table(rows, weights.Product(torch.randn(8, 30)))
    assert (table.counts.sum(1) == 30).all() and np.isfinite(table.top_values).all()
    _, _, share = weights.coordinates(rows)
    assert np.isfinite(share).all()
    index, cosine = weights.Neighbours(rows, 6)(0)
    assert np.isfinite(cosine).all() and all(i not in index[i] for i in range(6))


@settings(max_examples=30, deadline=None)
@given(width=st.integers(1, 200), block=st.integers(1, 90), seed=st.integers(0, 10**6))
def test_neighbours_in_blocks_are_the_nearest_rows(width, block, seed):
    rows = torch.randn(width, 5, generator=torch.Generator().manual_seed(seed))
    near = weights.Neighbours(rows, block)
    parts = [near(begin) for begin in range(0, width, block)]
    index, cosine = (np.concatenate(p) for p in zip(*parts, strict=True))
    unit = torch.nn.functional.normalize(rows, dim=1).numpy().astype(np.float64)
    expected = unit @ unit.T
    np.fill_diagonal(expected, -np.inf)
    assert index.shape == (width, min(weights.NEIGHBOURS, width - 1))
    np.testing.assert_allclose(cosine, -np.sort(-expected, axis=1)[:, : index.shape[1]], atol=1e-6)
    np.testing.assert_allclose(np.take_along_axis(expected, index, 1), cosine, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), tokens=st.integers(1, 300), scale=st.sampled_from([1e-30, 1e-3, 1.0, 1e20]))
def test_logit_tables_are_their_definition(seed, tokens, scale):
    draw = np.random.default_rng(seed)
    effects = (scale * draw.integers(-50, 50, size=(3, tokens))).astype(np.float32)
    table = weights.logit_table(torch.eye(3), weights.Product(torch.from_numpy(effects)))
    for r, row in enumerate(effects):
        order = np.argsort(-row, kind="stable")[: weights.LOGITS]
        assert table.top[r].tolist() == order.tolist() and table.top_values[r].tolist() == row[order].tolist()
        order = np.argsort(row, kind="stable")[: weights.LOGITS]
        assert table.bottom[r].tolist() == order.tolist() and table.bottom_values[r].tolist() == row[order].tolist()
        assert (table.low[r], table.high[r]) == (row.min(), row.max())
        places = (row.astype(np.float64) - row.min()) / max(float(np.ptp(row)), 1e-37) * weights.BINS
        sure = np.abs(places - np.round(places)) > 1e-3  # not on an edge, where rounding decides
        counts = np.bincount(np.minimum(places[sure].astype(int), weights.BINS - 1), minlength=weights.BINS)
        assert table.counts[r].sum() == tokens and (counts <= table.counts[r]).all()
