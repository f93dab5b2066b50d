"""The store by property: whatever the activations and however they are cut into chunks, nothing is lost or moved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.build.moments import Strongest, Sums
from core.build.nonzeros import Nonzeros, merge, outside, positive
from core.build.together import TOGETHER, Together
from core.build.work import opened
from tests.core import naive


@st.composite
def activations(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """([tokens, width] values with many zeros, the tokens' numbers, where to cut them into chunks)."""
    tokens, width = draw(st.integers(1, 60)), draw(st.integers(1, 20))
    values = np.random.default_rng(draw(st.integers(0, 10**6))).normal(size=(tokens, width)) - draw(st.floats(-1, 3))
    numbers = np.cumsum(1 + np.array(draw(st.lists(st.integers(0, 3), min_size=tokens, max_size=tokens))))
    cuts = sorted(draw(st.lists(st.integers(0, tokens), max_size=4)))
    return values.astype(np.float32), numbers.astype(np.uint32), cuts


def chunks(folder: Path, values: np.ndarray, numbers: np.ndarray, cuts: list[int], take=positive) -> list[Path]:
    """Written as a pass writes them, each chunk from two tiles."""
    held, paths = Nonzeros(values.shape[1]), []
    for n, (begin, end) in enumerate(zip([0, *cuts], [*cuts, len(values)], strict=True)):
        middle = (begin + end) // 2
        for part in (slice(begin, middle), slice(middle, end)):
            held.add(numbers[part], [take(torch.from_numpy(values[part]))])
        paths.append(folder / f"chunk-{n}")
        paths[-1].mkdir()
        held.chunk().write(paths[-1])
    return paths


SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(made=activations(), block=st.integers(1, 25))
def test_merging_gives_every_entry_of_every_feature_in_order(tmp_path_factory, made, block):
    values, numbers, cuts = made
    folder = tmp_path_factory.mktemp("merge")
    grouped = merge(chunks(folder, values, numbers, cuts), values.shape[1], folder / "store", block)
    for feature, column in enumerate(values.T):
        positions, kept = grouped.of(feature)
        assert positions.tolist() == numbers[column > 0].tolist()
        assert kept.tolist() == column[column > 0].tolist()


def test_what_is_no_number_is_kept_for_the_build_to_refuse():
    acts = torch.tensor([[torch.nan, 1.0, 0.0, -1.0], [-0.0, torch.inf, -torch.inf, 2.0]])
    found = positive(acts)
    assert found.features.tolist() == [0, 1, 1, 3] and found.counts.tolist() == [2, 2]
    np.testing.assert_array_equal(found.values, [np.nan, 1, np.inf, 2])


@SETTINGS
@given(made=activations())
def test_tails(tmp_path_factory, made):
    values, numbers, cuts = made
    low, high = np.quantile(values, [0.2, 0.7], axis=0).astype(np.float32)
    folder = tmp_path_factory.mktemp("tails")

    def take(acts):
        return outside(acts, torch.from_numpy(low), torch.from_numpy(high))

    grouped = merge(chunks(folder, values, numbers, cuts, take), values.shape[1], folder / "store", 7)
    for feature, column in enumerate(values.T):
        beyond = (column < low[feature]) | (column > high[feature])
        positions, kept = grouped.of(feature)
        assert positions.tolist() == numbers[beyond].tolist() and kept.tolist() == column[beyond].tolist()


@SETTINGS
@given(made=activations(), block=st.integers(1, 20), cells=st.sampled_from([1, 50, 2**23]))
def test_related_features_are_those_of_the_dense_correlation(tmp_path_factory, made, block, cells):
    values, numbers, cuts = made
    paths = chunks(tmp_path_factory.mktemp("related"), values, numbers, cuts)
    dense = np.maximum(values, 0).astype(np.float64)
    n, width = dense.shape
    sums = Sums(dense.sum(0), (dense**2).sum(0), np.zeros(width))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.build.together.CELLS", cells)
        together = Together(paths, sums, n, 5)
        blocks = [together(begin, min(begin + block, width)) for begin in range(0, width, block)]
    found = Strongest(*(np.concatenate([getattr(b, c) for b in blocks]) for c in ("index", "pearson", "cosine")))
    pearson, cosine = naive.pearson(dense, dense), naive.cosine(dense, dense)
    common = (dense > 0).astype(int).T @ (dense > 0)
    pearson[(common < TOGETHER) | np.eye(width, dtype=bool) | ~np.isfinite(pearson)] = -np.inf
    for f in range(width):
        expected = -np.sort(-pearson[f])[:5]
        listed = found.index[f][found.index[f] >= 0]
        assert len(listed) == np.isfinite(expected).sum()
        np.testing.assert_allclose(found.pearson[f][: len(listed)], expected[: len(listed)], atol=1e-5)
        np.testing.assert_allclose(pearson[f][listed], expected[: len(listed)], atol=1e-5)
        np.testing.assert_allclose(found.cosine[f][: len(listed)], cosine[f][listed], atol=1e-5)


@pytest.mark.parametrize("name", ["rows", "row_features", "offsets", "row_offsets", "tokens", "values", "row_values"])
def test_a_chunk_that_does_not_fit_together_is_run_again(tmp_path, name):
    """The loops over chunks do not look at bounds, so what they are given is looked at before."""
    values = np.abs(np.random.default_rng(0).normal(size=(9, 4))).astype(np.float32)
    sums = {"x": np.zeros(3)}
    held = Nonzeros(4)
    for damage in (lambda a: a[:-1], lambda a: a + 1000, lambda a: a.astype(np.float64)):
        held.add(np.arange(9, dtype=np.uint32), [positive(torch.from_numpy(values))])
        with opened(tmp_path / "m" / "1-s", {}) as work:
            assert work.resume(4, 9, sums) is None
            work.finish(held.chunk(), sums)
            path = work.chunks[0] / f"{name}.npy"
            damaged = damage(np.load(path))
            np.save(path, damaged)
        with opened(tmp_path / "m" / "1-s", {}) as again:
            harmless = name in ("values", "row_values") and damaged.shape == (36,) and damaged.dtype == np.float32
            assert (again.resume(4, 9, sums) is not None) == harmless  # any value may stand there
            assert again.done == harmless
            again.remove()


@pytest.mark.parametrize("sums", [{"x": np.zeros(4)}, {"x": np.zeros(3, np.float32)}, {"y": np.zeros(3)}])
def test_sums_of_another_shape_are_not_taken(tmp_path, sums):
    with opened(tmp_path / "m" / "1-s", {}) as work:
        work.finish(Nonzeros(4).chunk(), sums)
    with opened(tmp_path / "m" / "1-s", {}) as again:
        assert again.resume(4, 9, {"x": np.zeros(3)}) is None and again.done == 0
