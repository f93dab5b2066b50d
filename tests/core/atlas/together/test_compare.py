"""Comparisons on built sources: what a build kept is what the stores say, pairs are mutual, refusals are messages."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest

from core.__main__ import main
from core.atlas.together import keeping as kept_lists
from core.errors import BadInput, NotAvailable, NotFound
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

SOURCES = [tiny.SAE, tiny.NEURONS]


@pytest.fixture(scope="module")
def values(bench):
    """Of each source its kept values at every token [tokens, width], and which tokens count."""
    found = {}
    for name in SOURCES:
        entry = bench.catalog.entry(bench.source(name).key)
        data = bench._open.get(entry.folder)
        store = data.store()
        dense = np.zeros((int(data.starts[-1]), entry.record.width))
        dense[store.positions, np.repeat(np.arange(entry.record.width), np.diff(store.offsets))] = store.values
        found[name] = dense
    tokens = np.concatenate([c.values.to_numpy() for c in data.prompts.column("tokens").chunks])
    return found, ~np.isin(tokens, bench.catalog.model("tiny")[0].special)


@pytest.fixture(scope="module")
def bare(tiny_root, tmp_path_factory):
    """The same sources as a build without stores leaves them: what was derived is still there."""
    root = tmp_path_factory.mktemp("bare") / "data"
    shutil.copytree(tiny_root, root, ignore=shutil.ignore_patterns("store"))
    for path in root.glob("*/*/source.json"):
        manifest = json.loads(path.read_text())
        manifest["source"]["has"] = ["dashboards", "weights"]
        path.write_text(json.dumps(manifest))
    return Workbench(Settings(data=root, demo=None))


def pearson(x, y):
    x, y = x - x.mean(), y - y.mean()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def test_live_correlations_are_those_of_the_dense_values(bench, values):
    dense, counted = values
    x = dense[tiny.SAE][counted][:, 3]
    for name in SOURCES:
        found = bench.atlas.correlated(f"{tiny.SAE}/3", name, top=5)
        assert len(found) == 5
        for near in found:
            y = dense[name][counted][:, near.feature.index]
            assert near.value == pytest.approx(pearson(x, y), abs=1e-9)
        both = (x[:, None] != 0) & (dense[name][counted] != 0)
        best = [pearson(x, y) if b.sum() >= 3 else -1 for y, b in zip(dense[name][counted].T, both.T, strict=True)]
        if name == tiny.SAE:
            best[3] = -1
        assert [n.value for n in found] == pytest.approx(sorted(best, reverse=True)[:5], abs=1e-9)


def test_what_a_build_kept_is_what_the_stores_say(bench, bare):
    for name in SOURCES:
        for index in (0, 3, 9, 40):
            live = bench.atlas.together(f"{name}/{index}", top=kept_lists.PARTNERS)
            kept = bare.atlas.together(f"{name}/{index}", top=kept_lists.PARTNERS)
            assert kept == bench.atlas.together(f"{name}/{index}", top=kept_lists.PARTNERS, kept=True)
            assert [s.live for s in live.sources] == [True, True] and [s.live for s in kept.sources] == [False, False]
            for one, two in zip(live.sources, kept.sources, strict=True):
                assert one.tails == two.tails == ("neurons" in f"{name}{one.source}")
                for list_ in ("correlated", "together"):
                    a, b = getattr(one, list_), getattr(two, list_)
                    assert [m.feature for m in a] == [m.feature for m in b]
                    assert [(m.both, m.active) for m in a] == [(m.both, m.active) for m in b]
                    assert [m.correlation for m in a] == pytest.approx([m.correlation for m in b], abs=1e-6)
                few = [m.feature for m in one.never][: kept_lists.AVOIDED]
                assert [m.feature for m in two.never] == few


def test_a_window_widens_the_other(bench, values):
    dense, counted = values
    mine = dense[tiny.SAE][:, 3] != 0
    starts = bench._open.get(bench.catalog.entry(bench.source(tiny.SAE).key).folder).starts
    near = np.zeros_like(dense[tiny.SAE], bool)
    for begin, end in pairwise(starts):
        for t in range(begin, end):
            near[t] = (dense[tiny.SAE][max(begin, t - 2) : min(end, t + 3)] != 0).any(0)
    near &= counted[:, None]
    (found,) = bench.atlas.together(f"{tiny.SAE}/3", tiny.SAE, window=2, top=10).sources
    assert found.together
    for mate in (*found.together, *found.never):
        assert mate.both == (mine & near[:, mate.feature.index]).sum()
        assert mate.active == near[:, mate.feature.index].sum()
        assert mate.share == pytest.approx(mate.both / mine.sum())


def test_relating_again_makes_the_same(bench, bare, tiny_root, tmp_path):
    """From the stores what the build made from its chunks."""
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root)
    built = {p.relative_to(root): p.read_bytes() for p in root.glob("*/*/derived/together-*/*.arrow")}
    assert len(built) == 4
    for path in built:
        shutil.rmtree((root / path).parent)
    own = Workbench(Settings(data=root, demo=None))
    with pytest.raises(NotAvailable, match="relate"):
        own.atlas.matches(*SOURCES)
    assert own.atlas.relate(SOURCES) == 3
    assert {p.relative_to(root): p.read_bytes() for p in root.glob("*/*/derived/together-*/*.arrow")} == built
    assert own.atlas.relate(SOURCES) == 0
    with pytest.raises(NotAvailable, match="without its activation store"):
        bare.atlas.relate(SOURCES)


def test_matches_are_mutual_best_and_the_rest_stands_alone(bench, values):
    dense, counted = values
    x, y = (dense[name][counted] for name in SOURCES)
    common = (x != 0).T.astype(int) @ (y != 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.corrcoef(x.T, y.T)[: x.shape[1], x.shape[1] :]
    r = np.where(common >= 3, r, -np.inf)
    best_x, best_y = r.argmax(1), r.argmax(0)
    threshold = 0.1
    pairs = [(i, j) for i, j in enumerate(best_x) if r[i, j] >= threshold and best_y[j] == i]
    found = bench.atlas.matches(*SOURCES, threshold=threshold, top=100)
    assert {(p.a.index, p.b.index) for p in found.pairs} == set(pairs) and found.total == len(pairs) > 0
    assert [p.correlation for p in found.pairs] == sorted((p.correlation for p in found.pairs), reverse=True)
    living = (x != 0).any(0)
    assert found.alone_a == (living & ~(r.max(1) >= threshold)).sum()
    assert all(p.jaccard == p.both / (p.active_a + p.active_b - p.both) for p in found.pairs)
    page = bench.atlas.matches(*SOURCES, threshold=threshold, top=1, offset=1)
    assert page.pairs == found.pairs[1:2]


def test_sources_side_by_side_share_their_axes(bench):
    found = bench.atlas.compare(SOURCES, threshold=0.2)
    a, b = found.sides
    assert (a.densities.low, a.densities.high) == (b.densities.low, b.densities.high)
    assert [sum(s.densities.counts) for s in found.sides] == [s.source.alive for s in found.sides]
    assert len(found.matrix) == 4 and not found.missing
    for cell in found.matrix:
        assert 0 <= cell.share <= 1 and cell.living == next(
            s.source.alive for s in found.sides if s.source.key == cell.a
        )
    best = {s.source.key: bench.atlas._company.best(s.source.key, t.source.key) for s, t in ((a, b), (b, a))}
    for side in found.sides:
        active = bench.features(side.source.key)["active"].to_numpy()
        alone = np.flatnonzero((active > 0) & ~(best[side.source.key].pearson >= 0.2))
        assert side.concepts.alone == len(alone) and {key.index for _, key, _ in side.concepts.own} <= set(alone)
    assert a.concepts.lines and sum(n for _, n in a.concepts.kinds) == a.source.alive


def test_one_feature_against_another_counts_every_token(bench, bare, values):
    dense, counted = values
    x, y = (dense[tiny.SAE][counted][:, i] for i in (3, 9))
    found = bench.atlas.versus(f"{tiny.SAE}/3", f"{tiny.SAE}/9")
    o = found.overlap
    assert (o.both, o.only_a, o.only_b, o.neither) == (
        ((x != 0) & (y != 0)).sum(), ((x != 0) & (y == 0)).sum(), ((x == 0) & (y != 0)).sum(),
        ((x == 0) & (y == 0)).sum(),
    )  # fmt: skip
    assert o.correlation == pytest.approx(pearson(x, y), abs=1e-9) and o.live and found.exact
    assert found.cosine is not None
    for place in found.only_a:
        assert place.values[0][place.position] > 0 and place.values[1][place.position] == 0
    strongest = max(v for v, w in zip(x, y, strict=True) if w == 0)
    assert found.only_a[0].values[0][found.only_a[0].position] == pytest.approx(strongest)
    kept = bare.atlas.versus(f"{tiny.SAE}/3", f"{tiny.SAE}/9")  # from examples, with the model
    assert not kept.exact and (kept.overlap is None) == bool(kept.why)
    for place in kept.only_a:
        assert place.values[0][place.position] > 0 and place.values[1][place.position] == 0
    if kept.overlap:
        assert kept.overlap.both == o.both


def test_one_prompt_in_both_codes(bench):
    found = bench.atlas.read(SOURCES, "The capital of France is Paris.")
    for side in found.sides:
        alone = bench.search("tiny", found.text, sources=[side.source], top=len(side.hits))
        assert side.hits == alone.hits and len(side.partners) == len(side.hits)


@pytest.mark.parametrize(
    ("job", "error", "said"),
    [
        (lambda a: a.compare([tiny.SAE]), BadInput, "2 to 12 different sources"),
        (lambda a: a.compare([tiny.SAE, tiny.SAE]), BadInput, "2 to 12"),
        (lambda a: a.compare([tiny.SAE, "tiny/9-none"]), NotFound, "9-none"),
        (lambda a: a.compare(SOURCES, threshold=0), BadInput, "above 0"),
        (lambda a: a.versus(f"{tiny.SAE}/3", f"{tiny.SAE}/3"), BadInput, "itself"),
        (lambda a: a.versus(f"{tiny.SAE}/3", f"{tiny.SAE}/64"), NotFound, "64"),
        (lambda a: a.together(f"{tiny.SAE}/3", window=65), BadInput, "0 .* to 64"),
        (lambda a: a.together(f"{tiny.SAE}/64"), NotFound, "64"),
        (lambda a: a.correlated(f"{tiny.SAE}/3", top=0), BadInput, "top"),
    ],
)
def test_refusals_say_what_would_do(bench, job, error, said):
    with pytest.raises(error, match=said):
        job(bench.atlas)


def test_a_window_without_stores_is_refused_and_said(bare):
    assert "needs the stores" in bare.atlas.together(f"{tiny.SAE}/3", window=2).left_out[0].why


def test_dead_features_have_no_company(bench):
    found = bench.atlas.together(f"{tiny.SAE}/7")
    assert found.active == 0 and not any(s.correlated or s.together or s.never for s in found.sources)


def test_command_line(tiny_root, capsys):
    def said(*arguments):
        assert main([*arguments, "--data", str(tiny_root)]) == 0
        return capsys.readouterr().out

    assert "from the stores" in said("together", f"{tiny.SAE}/3", "--window", "1")
    assert "matched pairs" in said("compare", *SOURCES, "--threshold", "0.1")
    assert "Jaccard" in said("compare", f"{tiny.SAE}/3", f"{tiny.SAE}/9")
    assert json.loads(said("together", f"{tiny.SAE}/3", "--json"))["feature"] == f"{tiny.SAE}/3"
    assert json.loads(said("compare", *SOURCES, "--json"))["matches"]["a"] == tiny.SAE
    assert "0 pairs" in said("relate", "tiny")
    assert main(["compare", tiny.SAE, f"{tiny.SAE}/3", "--data", str(tiny_root)]) == 2
    assert "not both" in capsys.readouterr().err
