"""How rare a value is, against counts over dense values: exact with a store, and as near as promised without."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from core.build.ranks import ranked
from core.errors import BadData
from core.records import SourceKey
from core.settings import Settings
from core.store import layout
from core.store.grouped import Grouped
from core.store.layout import RANKS
from core.store.rarity import Rarity, _between
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

ROOT = 2**0.5 * (1 + 1e-9)
SOURCES = {
    "1-standard": {"sae": {"path": "1-standard"}},
    "1-jump": {"sae": {"path": "1-jump"}},
    "0-neurons": {"neurons": "blocks.0.mlp.hook_post"},
}


# -- ranks alone -------------------------------------------------------------------------------------------------------

STEPS = st.sampled_from([0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 7.5])
MANY = st.lists(STEPS | st.floats(0.0078125, 100, width=32), max_size=300)


def test_the_grid():
    assert RANKS[:9].tolist() == [1, 2, 3, 4, 6, 8, 11, 16, 23]
    assert (np.diff(RANKS) > 0).all() and RANKS[-1] > 2**30
    assert ((RANKS[1:] - 1) / RANKS[:-1] <= ROOT).all(), "so that a count between two is known within √2"


def by_ranks(values: np.ndarray, asked: np.ndarray, sign: int = 1) -> np.ndarray:
    grouped = Grouped(np.array([0, len(values)]), np.arange(len(values), dtype=np.uint32), values)
    flat, sizes = ranked(grouped, np.zeros(1, np.float32), sign=sign)
    counts = np.zeros(len(asked))
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    last = np.array([float(len(values))])
    features = np.zeros(len(asked), np.int64)
    _between(offsets, flat.astype(np.float64), last, features, asked, float(sign), RANKS, counts)
    return counts


@settings(max_examples=200, deadline=None)
@given(
    values=MANY,
    asked=st.lists(STEPS | st.floats(0.0009765625, 200, width=32), min_size=1, max_size=20),
    low=st.booleans(),
)
def test_a_count_between_ranks_is_within_the_root_of_two(values, asked, low):
    sign = -1 if low else 1
    strong = np.array(values, np.float32)
    some = np.array([*asked, *values[:20]], np.float32)
    found = by_ranks(sign * strong, sign * some, sign)
    exact = (strong[None] >= some[:, None]).sum(1)
    assert ((found == 0) == (exact == 0)).all()
    assert (found <= exact * ROOT).all() and (found * ROOT >= exact).all()
    order = np.argsort(-some, kind="stable")
    assert (np.diff(found[order]) >= -1e-9).all(), "the weaker, the more often"


@pytest.mark.parametrize("count", [1, 2, 5, 16, 17, 300])
def test_exact_at_the_ranks_that_are_kept(count):
    values = np.random.default_rng(count).permutation(np.linspace(1, 2, count)).astype(np.float32)
    strong = np.sort(values)[::-1]
    for k in [*RANKS[RANKS <= count].tolist(), count]:
        assert by_ranks(values, strong[k - 1 : k]).tolist() == [k]
    assert by_ranks(values, np.array([0.5], np.float32)).tolist() == [count]
    assert by_ranks(values, np.array([2.5], np.float32)).tolist() == [0]


# -- builds ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rarity")
    tiny.model(folder / "model", scale=8.0)
    tiny.sae(folder / "1-standard", width=48)
    tiny.sae(folder / "1-jump", "jumprelu", width=48, bias=-0.5)
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(60)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=[True, False], ids=["store", "ranks"])
def bench(request, folder):
    config = {
        "model": {"id": "tiny", "path": "model"}, "sources": [{"id": n, **s} for n, s in SOURCES.items()],
        "dataset": {"path": "texts.txt"}, "context": 24, "cut": "chunks",
        "store": request.param, "compact": not request.param,
    }  # fmt: skip
    (folder / "build.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    bench = Workbench(Settings(data=folder / f"data-{request.param}", demo=None))
    bench.build(folder / "build.yaml")
    return bench


@pytest.fixture(scope="module")
def recompute(folder):
    kept = {}

    def go(name: str, prompts: list[list[int]]) -> np.ndarray:
        """[counted tokens, width]."""
        if name not in kept:
            hook = "blocks.0.mlp.hook_post" if "neurons" in name else "blocks.1.hook_resid_pre"
            found = naive.dense(folder / "model", None if "neurons" in name else folder / name, prompts, hook, {0})
            kept[name] = found.acts[found.counted]
        return kept[name]

    return go


@pytest.fixture(scope="module", params=list(SOURCES))
def case(request, bench, recompute):
    """(rarity, source, the values of every counted token)."""
    key = SourceKey("tiny", request.param)
    source = bench.source(key)
    prompts = [[t.id for t in bench.prompt(key, n)] for n in range(source.prompts)]
    data = bench._open.get(bench.catalog.entry(key).folder)
    acts = recompute(request.param, prompts)
    assert len(acts) == source.tokens
    return Rarity(data, source), source, acts


def asked(acts: np.ndarray, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values between those that were seen, so that no rounding decides, and some beyond them."""
    rng = np.random.default_rng(0)
    features = np.repeat(np.arange(acts.shape[1]), 24)
    values = np.empty(len(features), np.float32)
    for f in range(acts.shape[1]):
        seen = np.unique(np.abs(acts[:, f]) if signed else acts[acts[:, f] > 0, f])
        wide = np.flatnonzero(np.diff(seen, prepend=0) > 1e-4 * seen + 1e-4)
        some = rng.choice((seen - np.diff(seen, prepend=0) / 2)[wide], 22) if len(wide) else np.full(22, 0.7)
        top = seen[-1] if len(seen) else 1.0
        values[24 * f : 24 * f + 24] = [*some, top * 1.01, top * 100]
    if signed:
        values *= rng.choice([-1, 1], len(values))
    return features, values


def counted(acts: np.ndarray, features: np.ndarray, values: np.ndarray, signed: bool) -> np.ndarray:
    if signed:
        acts, values = np.abs(acts), np.abs(values)
    return (acts[:, features] >= values).sum(0)


def test_counts(case):
    rarity, source, acts = case
    features, values = asked(acts, source.signed)
    found = rarity.at_least(features, values)
    exact = counted(acts, features, values, source.signed)
    assert rarity.exact == ("store" in source.has and not source.signed)
    if rarity.exact:
        assert np.array_equal(found, exact)
    elif not source.signed:
        assert (found <= exact * ROOT).all() and (found * ROOT >= exact).all()
    else:
        room = slack(rarity, acts, features, np.abs(values))
        assert (np.abs(found - exact) <= room + 1e-6).all()
        assert (found[np.abs(values) > np.abs(acts[:, features]).max(0) * 1.005] == 0).all()


def slack(rarity: Rarity, acts: np.ndarray, features: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """By how much a dense source's count may be wrong: within the kept tails by √2, and else by a histogram's bin."""
    room = np.zeros(len(features))
    for n, (f, v) in enumerate(zip(features.tolist(), sizes.tolist(), strict=True)):
        for sign, lists in ((1, rarity._high), (-1, rarity._low)):
            tail = sign * lists.flat[lists.offsets[f] : lists.offsets[f + 1]]
            if len(tail) and v >= tail[-1]:
                room[n] += (2**0.5 - 1) * (sign * acts[:, f] >= v).sum()
                continue
            bins = rarity._bins.offsets[f + 1] - rarity._bins.offsets[f]
            step = (rarity._most[f] - rarity._least[f]) / max(1, bins)
            low = np.floor(sign * v / step) * step
            room[n] += ((acts[:, f] >= low) & (acts[:, f] <= low + step)).sum() + 1e-3
    return room


def test_shares_and_percentiles(case):
    rarity, source, acts = case
    features, values = asked(acts, source.signed)
    count = rarity.at_least(features, values)
    share = rarity.share(features, values)
    for both, one in zip(rarity.ranks(features, values), (rarity.percentile(features, values), share), strict=True):
        assert np.array_equal(both, one)
    assert ((share > 0) & (share <= 1)).all()
    np.testing.assert_allclose(share, (count + 1) / (source.tokens + 1))
    percentile = rarity.percentile(features, values)
    assert ((percentile >= 0) & (percentile <= 1)).all()
    active = np.full(len(features), len(acts)) if source.signed else (acts > 0).sum(0)[features]
    alive = active > 0
    np.testing.assert_allclose(percentile[alive], 1 - np.minimum(count, active)[alive] / active[alive])
    assert (percentile[~alive] == 1).all(), "a dead feature was never so strong"


def test_weaker_is_never_rarer(case):
    rarity, source, acts = case
    for f in range(0, source.width, 7):
        values = np.linspace(1e-4, np.abs(acts[:, f]).max() * 1.1 + 1e-3, 300).astype(np.float32)
        count = rarity.at_least(np.full(300, f), values)
        assert (np.diff(count) <= 1e-6).all()
        if source.signed:
            assert np.array_equal(count, rarity.at_least(np.full(300, f), -values)), "the sign does not count"


def test_nothing_asked(case):
    rarity, _, _ = case
    none = np.empty(0, np.int64), np.empty(0, np.float32)
    assert len(rarity.at_least(*none)) == len(rarity.share(*none)) == len(rarity.percentile(*none)) == 0


def test_files_that_do_not_belong_together(folder, tmp_path):
    """Compiled loops follow offsets: what leads elsewhere is refused first."""
    import shutil

    config = {
        "model": {"id": "tiny", "path": "model"}, "sources": [{"id": "1-standard", **SOURCES["1-standard"]}],
        "dataset": {"path": "texts.txt"}, "prompts": 8, "context": 24,
    }  # fmt: skip
    (folder / "small.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    bench = Workbench(Settings(data=tmp_path, demo=None))
    bench.build(folder / "small.yaml")
    entry = bench.catalog.entry(SourceKey("tiny", "1-standard"))
    shutil.copytree(entry.folder, tmp_path / "copy" / "x")
    offsets = np.load(entry.folder / layout.STORE / "offsets.npy")
    for bad in (offsets[:-5], np.append(offsets, offsets[-1]), np.concatenate([[5], offsets[1:]])):
        bad = bad.copy()
        bad[-1] = offsets[-1]
        np.save(tmp_path / "copy" / "x" / layout.STORE / "offsets.npy", bad)
        with pytest.raises(BadData, match="Build it again"):
            Rarity(layout.SourceData(tmp_path / "copy" / "x"), entry.record)
