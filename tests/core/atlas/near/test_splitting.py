"""Feature splitting equals a dense recomputation; a planted split is found, and random rows have only chance."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from core.atlas.near.records import SplittingRecord
from core.errors import BadInput, NotAvailable, NotFound
from core.records import SourceKey
from tests.core.atlas.near import planted
from tests.core.atlas.near.planted import SPLIT, WEIGHTS

THRESHOLD = 0.55


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return planted.build(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def made(bench) -> SplittingRecord:
    return bench.atlas.splitting("tiny/1-res", "tiny/1-wide", threshold=THRESHOLD, living=False, top=200)


def naive(bench, made) -> tuple[np.ndarray, np.ndarray, list[int], list[int]]:
    """(the parent of each wide feature, its cosine, what was compared of both), one row at a time in float64."""
    rows, taken = {}, {}
    for key in (made.narrow, made.wide):
        given = np.asarray(bench.atlas.spaces.of(key, "decoder").rows, np.float64)
        lengths = np.linalg.norm(given, axis=1)
        rows[key] = given / np.maximum(lengths, 1e-12)[:, None]
        taken[key] = [i for i in range(len(given)) if lengths[i] > 1e-9]
    where, best = [], []
    for child in taken[made.wide]:
        cosines = [float(rows[made.wide][child] @ rows[made.narrow][parent]) for parent in taken[made.narrow]]
        best.append(max(cosines))
        where.append(taken[made.narrow][int(np.argmax(cosines))])
    return np.array(where), np.array(best), taken[made.narrow], taken[made.wide]


def test_it_equals_a_dense_recomputation(bench, made):
    where, best, parents, children = naive(bench, made)
    near = best >= THRESHOLD
    counts = {p: int((near & (where == p)).sum()) for p in parents}
    assert (made.parents, made.children) == (len(parents), len(children))
    assert made.split == sum(n > 1 for n in counts.values())
    assert made.persist == sum(n == 1 for n in counts.values())
    assert made.new == int((~near).sum())
    for row in made.rows:
        assert row.children == counts[row.hit.feature.index]
        its = [children[n] for n in np.flatnonzero(near & (where == row.hit.feature.index))]
        assert {hit.feature.index for hit in row.listed} <= set(its)
        for hit in row.listed:
            assert hit.value == pytest.approx(best[children.index(hit.feature.index)], abs=1e-5)


def test_its_counts_add_up(made):
    assert made.parents == planted.WIDTH - 1, "a row of zeros has no direction"
    assert made.split + made.persist + made.gone == made.parents == sum(made.counts) == len(made.rows)
    assert sum(made.best) == sum(made.best_by_chance) == made.children
    assert sum(row.children for row in made.rows) == made.children - made.new
    assert [row.children for row in made.rows] == sorted((row.children for row in made.rows), reverse=True)


def test_what_was_planted_is_found(bench, made):
    found = {row.hit.feature.index: row for row in made.rows}
    for at, pair in SPLIT.items():
        cosines = {hit.feature.index: hit.value for hit in found[at].listed}
        assert [cosines.get(one) for one in pair] == pytest.approx(WEIGHTS, abs=1e-4)


def test_the_order_of_the_two_does_not_matter_and_pages_follow_each_other(bench, made):
    turned = bench.atlas.splitting("tiny/1-wide", "tiny/1-res", threshold=THRESHOLD, living=False, top=200)
    assert asdict(turned) == asdict(made)
    page = bench.atlas.splitting("tiny/1-res", "tiny/1-wide", threshold=THRESHOLD, living=False, top=3, offset=2)
    assert page.rows == made.rows[2:5]


def test_a_source_persists_in_itself_made_wider(bench):
    """Rows of unit length that are their own nearest: the measure has nothing to add."""
    from core.atlas.near import splitting

    space = bench.atlas.spaces.of(SourceKey.parse("tiny/1-wide"), "decoder")
    every = splitting._taken(bench, space, False)
    where, best = splitting.nearest(space, space, every, every)
    assert np.array_equal(where, every) and np.allclose(best, 1, atol=1e-5)


def test_widths_are_of_one_hook(bench):
    assert [str(one.key) for one in bench.atlas.widths("tiny/1-res")] == ["tiny/1-res", "tiny/1-wide"]
    assert bench.atlas.widths("tiny/0-tc") == () and bench.atlas.widths("tiny/0-neurons") == ()


@pytest.mark.parametrize(
    ("pair", "more", "error"),
    [
        (("tiny/1-res", "tiny/1-res"), {}, BadInput),
        (("tiny/1-res", "tiny/9-none"), {}, NotFound),
        (("tiny/1-res", "other/1-wide"), {}, BadInput),
        (("tiny/1-res", "tiny/1-query"), {}, BadInput),
        (("tiny/1-res", "tiny/1-wide"), {"threshold": 0.0}, BadInput),
        (("tiny/1-res", "tiny/1-wide"), {"top": 0}, BadInput),
    ],
)
def test_what_cannot_be_is_refused(bench, pair, more, error):
    with pytest.raises(error):
        bench.atlas.splitting(*pair, **more)


def test_dead_features_are_left_out(bench):
    alive = [len(bench.living(f"tiny/{name}")) for name in ("1-res", "1-wide")]
    if all(alive):
        made = bench.atlas.splitting("tiny/1-res", "tiny/1-wide", threshold=THRESHOLD)
        assert [made.parents, made.children] == alive
    else:
        with pytest.raises(NotAvailable, match="no living feature"):
            bench.atlas.splitting("tiny/1-res", "tiny/1-wide")
