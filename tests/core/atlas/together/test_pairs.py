"""Correlation and co-activation equal a dense recomputation: in windows, across sources, and as they are kept."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special, stats

from core.atlas.together import coactivation, correlation, keeping, pairs
from core.atlas.together.correlation import Stored
from core.errors import BadInput
from core.records import SourceKey
from core.store.grouped import Grouped

TOKENS, PROMPT = 600, 20
STARTS = np.arange(0, TOKENS + 1, PROMPT)


def codes(width: int, share: float, seed: int) -> np.ndarray:
    """Activations [TOKENS, width], with features that go together; a prompt's first token has none, as BOS has."""
    rng = np.random.default_rng(seed)
    topics = rng.random((TOKENS, 6)) < 0.15
    on = (rng.random((TOKENS, width)) < share) | (topics[:, rng.integers(0, 6, width)] & (rng.random(width) < 0.7))
    on[STARTS[:-1]] = False
    on[:, 3] = False  # a dead feature
    return np.where(on, rng.exponential(1.0, on.shape), 0).astype(np.float32)


def stored(x: np.ndarray) -> Stored:
    """The store that holds these activations."""
    features, positions = np.nonzero(x.T)
    offsets = np.concatenate([[0], np.cumsum((x != 0).sum(0))])
    values = x.T[features, positions]
    store = Grouped(offsets, positions.astype(np.uint32), values)
    data = SimpleNamespace(fitting_store=lambda width: store, starts=STARTS)
    return Stored.read(data, x.shape[1], TOKENS - len(STARTS) + 1)


def dense_r(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[width of x, width of y] Pearson's r over the counted tokens, in float64; NaN for a dead feature."""
    counted = np.ones(TOKENS, bool)
    counted[STARTS[:-1]] = False
    x, y = (z[counted].astype(np.float64) for z in (x, y))
    x, y = x - x.mean(0), y - y.mean(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (x.T @ y) / np.outer(np.sqrt((x**2).sum(0)), np.sqrt((y**2).sum(0)))


def near(y: np.ndarray, window: int) -> np.ndarray:
    """[TOKENS, width] whether a feature is active within so many tokens in the same prompt, token by token."""
    found = np.zeros(y.shape, bool)
    for t in range(TOKENS):
        begin = STARTS[t // PROMPT]
        if t == begin:
            continue  # not counted
        found[t] = (y[max(begin, t - window) : min(begin + PROMPT, t + window + 1)] != 0).any(0)
    return found


X, Y = codes(40, 0.05, 1), codes(55, 0.08, 2)
Y[:, :10] = X[:, 10:20] * np.float32(2.5)  # what goes together goes together across sources


@pytest.mark.parametrize("window", [0, 1, 4])
def test_one_feature_against_a_source_is_what_a_dense_product_gives(window):
    one, other = stored(X), stored(Y)
    counted = correlation.counted(np.where(np.isin(np.arange(TOKENS), STARTS), 0, 1).astype(np.uint32), (0,))
    r, wide = dense_r(X, Y), near(Y, window)
    for feature in (0, 3, 12):
        row = correlation.row(one, feature, other, counted, window)
        assert np.allclose(row.products, X[:, feature].astype(np.float64) @ Y.astype(np.float64), rtol=1e-12)
        assert np.array_equal(row.both, ((X[:, [feature]] != 0) & (Y != 0)).sum(0))
        assert np.array_equal(row.near, ((X[:, [feature]] != 0) & wide).sum(0))
        assert np.array_equal(row.near_active, wide.sum(0))
        assert np.allclose(
            correlation.pearson(one, feature, other, row.products), r[feature], atol=1e-12, equal_nan=True
        )


def walked(folder, x, y, most=(4, 4, 3), parts=130):
    """The lists of whole sources, walked in parts of a few tokens."""
    spans = [np.arange(i, min(i + parts, TOKENS), dtype=np.uint32) for i in range(0, TOKENS, parts)]
    sides = []
    for n, z in enumerate((x, y)):
        s = stored(z)
        sides.append(keeping.of_store(s, s.n, spans, folder / str(n)))
    return pairs.pairs(sides[0], None if x is y else sides[1], most)


def expected_lists(x, y, kind, k):
    """[(partner, r, common tokens)] of each feature of `x`, by sorting everything."""
    r, both = dense_r(x, y), (x != 0).T.astype(np.int64) @ (y != 0)
    a, b, n = (x != 0).sum(0)[:, None], (y != 0).sum(0)[None], TOKENS - len(STARTS) + 1
    chance = a * b / n
    cells = ((both, chance), (a - both, a * (n - b) / n), (b - both, (n - a) * b / n))
    cells += ((n - a - b + both, (n - a) * (n - b) / n),)
    with np.errstate(divide="ignore", invalid="ignore"):
        g2 = 2 * sum(special.xlogy(seen, seen / wanted) for seen, wanted in cells)
    allowed = {
        pairs.CORRELATED: both >= 3, pairs.LIKELY: (both >= 3) & (both > chance),
        pairs.NEVER: (chance >= 5) & (both < chance),
    }[kind] & (a > 0) & (b > 0)  # fmt: skip
    if x is y:
        allowed &= ~np.eye(x.shape[1], dtype=bool)
    score = r if kind == pairs.CORRELATED else g2
    lists = []
    for f in range(x.shape[1]):
        there = np.flatnonzero(allowed[f])
        best = there[np.lexsort((there, -score[f, there]))][:k].tolist()
        lists.append([(g, r[f, g], both[f, g]) for g in best])
    return lists


@pytest.mark.parametrize("same", [False, True])
def test_the_best_of_features_that_are_drawn_are_those_of_a_dense_table(same):
    y = X if same else Y
    one = stored(X)
    found = correlation.drawn(one, one if same else stored(y), 20)
    living = np.flatnonzero((X != 0).any(0))
    chosen = np.sort(np.random.default_rng(0).permutation(living)[:20])
    r = np.where((X[:, :, None] != 0) & (y[:, None] != 0), 1, 0).sum(0) >= pairs.TOGETHER
    r = np.where(r, np.nan_to_num(dense_r(X, y), nan=-np.inf), -np.inf)
    if same:
        np.fill_diagonal(r, -np.inf)
    best = r[chosen].max(1)
    assert len(found) == 20 and np.isfinite(best).sum() > 10
    np.testing.assert_allclose(found, np.where(np.isfinite(best), best, 0), atol=1e-6)


def check_lists(lists, x, y, most):
    for kind, k in enumerate(most):
        for f, wanted in enumerate(expected_lists(x, y, kind, k)):
            there = lists.index[kind, f] >= 0
            assert lists.index[kind, f][there].tolist() == [g for g, _, _ in wanted], (kind, f)
            assert np.allclose(lists.pearson[kind, f][there], [r for _, r, _ in wanted], atol=1e-9)
            assert lists.both[kind, f][there].tolist() == [c for _, _, c in wanted]


def test_whole_sources_against_each_other_both_ways(tmp_path):
    there, back = walked(tmp_path, X, Y)
    check_lists(there, X, Y, (4, 4, 3))
    check_lists(back, Y, X, (4, 4, 3))
    assert (there.index[pairs.NEVER] >= 0).any()  # it is not empty that is compared


def test_a_source_against_itself_leaves_out_each_feature_itself(tmp_path):
    there, back = walked(tmp_path, X, X)
    assert there is back
    check_lists(there, X, X, (4, 4, 3))


def test_a_permuted_scaled_copy_is_found_with_correlation_one(tmp_path):
    order = np.random.default_rng(3).permutation(X.shape[1])
    copy = X[:, order] * np.random.default_rng(4).uniform(0.1, 9, X.shape[1]).astype(np.float32)
    there, back = walked(tmp_path, X, copy)
    living = np.flatnonzero((X != 0).sum(0) >= 3)
    assert (order[there.index[pairs.CORRELATED, living, 0]] == living).all()
    assert np.allclose(there.pearson[pairs.CORRELATED, living, 0], 1, atol=1e-6)
    assert (back.index[pairs.CORRELATED, np.argsort(order)[living], 0] == living).all()


def test_lists_do_not_depend_on_parts_or_cores(tmp_path, monkeypatch):
    first = walked(tmp_path / "a", X, Y)
    monkeypatch.setattr(pairs, "get_num_threads", lambda: 3)
    second = walked(tmp_path / "b", X, Y, parts=77)
    for one, two in zip(first, second, strict=True):
        assert np.array_equal(one.index, two.index) and np.array_equal(one.both, two.both)
        assert np.allclose(one.pearson, two.pearson, atol=1e-14)


def test_what_is_worth_is_what_scipy_says():
    n = 570
    for both, a, b in ((0, 100, 60), (2, 100, 60), (11, 100, 60), (40, 100, 60), (60, 100, 60)):
        table = [[both, a - both], [b - both, n - a - b + both]]
        side = "greater" if both * n >= a * b else "less"
        p = stats.fisher_exact(table, alternative=side).pvalue
        assert coactivation.log10_p(both, a, b, n) == pytest.approx(np.log10(p), abs=1e-7)
        assert coactivation.log10_p(both, a, b, n, 50) == pytest.approx(min(0, np.log10(p * 50)), abs=1e-7)
        chance = [a * b / n, a * (n - b) / n, (n - a) * b / n, (n - a) * (n - b) / n]
        g2 = stats.power_divergence(np.ravel(table), chance, lambda_="log-likelihood").statistic
        assert coactivation.g2(both, a, b, n) == pytest.approx(g2, abs=1e-9)
        assert pairs.evidence(both, a, b, n, pairs.logarithms(n)) == pytest.approx(g2, abs=1e-7)


def test_other_texts_and_other_models_are_refused():
    def entry(model="m", source="0-a", **build):
        key = SimpleNamespace(model_id=model, source_id=source)
        return SimpleNamespace(record=SimpleNamespace(key=key), manifest=SimpleNamespace(build=build))

    same = {"model_sha256": "1", "dataset_sha256": "2", "context": 8}
    correlation.same_tokens(entry(**same), entry(source="1-a", **same))
    with pytest.raises(BadInput, match="of different models"):
        correlation.same_tokens(entry(**same), entry("other", **same))
    with pytest.raises(BadInput, match="not built on the same texts"):
        correlation.same_tokens(entry(**same), entry(**same | {"dataset_sha256": "3"}))
    with pytest.raises(BadInput, match="the context differs"):
        correlation.same_tokens(entry(**same), entry(**same | {"context": 9}))


def test_kept_lists_say_what_was_found(tmp_path):
    there, back = walked(tmp_path / "parts", X, Y, (keeping.PARTNERS, keeping.PARTNERS, keeping.AVOIDED))
    a, b = (keeping.Member(SourceKey("m", f"{n}-s"), {"hook": n}, list) for n in range(2))
    for one, two, found, (x, y) in ((a, b, there, (X, Y)), (b, a, back, (Y, X))):
        keeping._write(tmp_path / "compact", one, two, found, compact=True)
        short = keeping.Kept(keeping.find([tmp_path / "compact"], one.key, one.build, two.build))
        keeping._write(tmp_path, one, two, found, compact=False)
        kept = keeping.Kept(keeping.find([tmp_path], one.key, one.build, two.build))
        active = (y != 0).sum(0)
        best = kept.best(x.shape[1], y.shape[1])
        most = (
            (pairs.CORRELATED, keeping.PARTNERS),
            (pairs.LIKELY, keeping.PARTNERS),
            (pairs.NEVER, keeping.AVOIDED),
        )
        lists = [expected_lists(x, y, kind, k) for kind, k in most]
        for f in range(x.shape[1]):
            partners, never = kept.row(f, active)
            for its, rounded in zip((partners, never), short.row(f, active), strict=True):
                assert [(p.index, p.both, p.active) for p in its] == [(p.index, p.both, p.active) for p in rounded]
                assert all(abs(p.correlation - s.correlation) < 1e-3 for p, s in zip(its, rounded, strict=True))
            wanted = lists[pairs.CORRELATED][f]
            assert [p.index for p in partners][: len(wanted)] == [g for g, _, _ in wanted]
            likely = {g for g, _, _ in lists[pairs.LIKELY][f]}
            assert {p.index for p in partners} == likely | {g for g, _, _ in wanted}
            assert [(p.index, p.both) for p in never] == [(g, c) for g, _, c in lists[pairs.NEVER][f]]
            assert all(p.both == ((x[:, f] != 0) & (y[:, p.index] != 0)).sum() for p in partners)
            assert best.index[f] == (wanted[0][0] if wanted else -1)


def test_what_would_take_too_long_is_left_to_relate(tmp_path):
    """All pairs, those within a source, or none; a product is a pair of entries on one token."""
    spans = [np.arange(TOKENS, dtype=np.uint32)]

    def member(n, x):
        s = stored(x)
        side = keeping.of_store(s, s.n, spans, tmp_path / f"parts-{n}")
        return keeping.Member(SourceKey("m", f"{n}-s"), {"hook": n}, lambda: side)

    members = [member(0, X), member(1, Y)]
    x, y = (float((z != 0).sum()) for z in (X, Y))
    counted = stored(X).n  # BOS left out
    own = (x * x + y * y) / counted
    for n, (most, pairs_made) in enumerate(((own + x * y / counted + 1, 3), (own + 1, 2), (own - 1, 0))):
        root = tmp_path / str(n)
        done = keeping.make(root, members, lambda a, b: True, compact=False, tell=lambda *_: None, most=most)
        assert done == pairs_made
        assert len(list(root.rglob("together.arrow"))) == (4 if done == 3 else done)
