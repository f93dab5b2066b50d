"""Sources imported without weights: similar features and maps by what the export had; what needs weights says so."""

from __future__ import annotations

import numpy as np
import pytest

from core.errors import NotAvailable
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

KEY = f"{tiny.SAE}/3"


@pytest.fixture(scope="module")
def given(bench, tmp_path_factory):
    """Workbenches over an import of the tiny SAE, with decoder vectors and without."""
    made = []
    for vectors in (True, False):
        folder = tmp_path_factory.mktemp("given")
        bench.exchange.give_out(tiny.SAE, folder / "out", vectors=vectors)
        one = Workbench(Settings(data=folder / "root", demo=None))
        one.exchange.bring_in(folder / "out")
        made.append(one)
    return made


def test_decoder_vectors_are_compared_as_weights_are(bench, given):
    with_vectors, _ = given
    for n in range(0, 64, 7):
        mine = bench.atlas.similar(f"{tiny.SAE}/{n}", sources=[tiny.SAE])
        theirs = with_vectors.atlas.similar(f"{tiny.SAE}/{n}")
        assert [h.feature for h in theirs.hits] == [h.feature for h in mine.hits]
        np.testing.assert_allclose([h.value for h in theirs.hits], [h.value for h in mine.hits], atol=1e-6)
        assert theirs.places[0].chance == mine.places[0].chance and not theirs.left_out
    mine, theirs = (w.atlas.family(KEY, sources=[]) for w in (bench, with_vectors))
    assert [h.feature for h in theirs.duplicates] == [h.feature for h in mine.duplicates]
    assert theirs.nearest.feature == mine.nearest.feature
    a, b = (w.atlas.row(KEY) for w in (bench, with_vectors))
    assert (a.values, a.hook) == (b.values, b.hook)
    assert [m.hit.feature for m in with_vectors.atlas.chain(KEY).members] == [FeatureKey.parse(KEY)]


def test_a_map_of_decoder_vectors_is_that_of_the_weights(bench, given, tmp_path):
    own = Workbench(Settings(data=tmp_path, demo=bench.settings.data))
    mine, theirs = (w.atlas.map(tiny.SAE, of="decoder") for w in (own, given[0]))
    np.testing.assert_array_equal(mine.index, theirs.index)
    np.testing.assert_allclose(mine.x, theirs.x, atol=1e-5)


def test_without_vectors_the_exports_own_list_serves(bench, given):
    _, bare = given
    listed = bench.feature(KEY).neighbours
    found = bare.atlas.similar(KEY)
    assert [(h.feature.index, round(h.value, 4)) for h in found.hits] == [(n.index, round(n.value, 4)) for n in listed]
    assert "export" in found.places[0].note and found.places[0].chance is None
    said = bare.atlas.similar(KEY, by="explanation")
    assert said.hits, "what is said of them needs no weights"
    assert bare.atlas.map(tiny.SAE, of="explanation").index.size
    with pytest.raises(NotAvailable, match=r"no decoder rows here.*join"):
        bare.atlas.map(tiny.SAE, of="decoder")


@pytest.mark.parametrize("which", [0, 1])
def test_what_needs_weights_says_so(given, which):
    bench = given[which]
    for job in (
        lambda: bench.atlas.similar(KEY, by="encoder"), lambda: bench.atlas.row(KEY, "encoder"),
        lambda: bench.atlas.chain(KEY, by="encoder"),
    ):  # fmt: skip
        with pytest.raises(NotAvailable, match=r"imported without its weights, so it has no encoder rows.*join"):
            job()


@pytest.mark.parametrize("which", [0, 1])
def test_by_logits_the_listed_tokens_serve(given, which):
    """Cosines of the lists as vectors over tokens' bytes, added up token by token; its model is not here."""
    one = given[which]

    def row(index: int) -> dict[bytes, float]:
        entry = one.catalog.entry(FeatureKey.parse(KEY).source)
        its, pieces = one._open.get(entry.folder).features.row(index), one._vocabulary_of(entry).pieces
        listed: dict[bytes, float] = {}
        for end in ("top", "bottom"):
            for id, value in zip(its[f"{end}_ids"], its[f"{end}_values"], strict=True):
                listed[pieces[int(id)]] = listed.get(pieces[int(id)], 0) + float(value)
        return listed

    def cosine(a: dict[bytes, float], b: dict[bytes, float]) -> float:
        both = sum(value * b.get(piece, 0) for piece, value in a.items())
        return both / np.sqrt(sum(v * v for v in a.values()) * sum(v * v for v in b.values()))

    mine = row(3)
    expected = {n: cosine(mine, row(n)) for n in range(64) if n != 3}
    found = one.atlas.similar(KEY, by="logits")
    best = sorted((n for n in expected if expected[n] > 0), key=lambda n: (-round(expected[n], 6), n))
    assert [h.feature.index for h in found.hits[:5]] == best[:5]
    for hit in found.hits:
        assert hit.value == pytest.approx(expected[hit.feature.index], abs=1e-5)
    assert "listed" in found.places[0].note and found.places[0].chance.random is None
    assert -1 <= found.places[0].chance.median <= found.places[0].chance.high <= 1.0001


def test_beside_sources_with_weights(bench, given, tmp_path):
    """An import under another name lies beside the build: its vectors are compared, and what cannot be says why."""
    both = Workbench(Settings(data=tmp_path / "root", demo=bench.settings.data))
    for name, vectors in (("1-with", True), ("1-bare", False)):
        bench.exchange.give_out(tiny.SAE, tmp_path / name, vectors=vectors)
        both.exchange.bring_in(tmp_path / name, as_=f"tiny/{name}")
    found = both.atlas.similar(KEY)
    assert [str(h.feature) for h in found.hits[:1]] == ["tiny/1-with/3"] and found.hits[0].value == pytest.approx(1)
    assert {str(one.key): one.why for one in found.left_out}.get("tiny/1-bare", "").endswith("without decoder vectors.")
    by_encoder = both.atlas.similar(KEY, by="encoder")
    assert {str(one.key) for one in by_encoder.left_out} >= {"tiny/1-bare", "tiny/1-with"}
    mine, theirs = (both.atlas.similar(key, by="logits", sources=[tiny.SAE]) for key in (KEY, "tiny/1-with/3"))
    best = {h.feature.index: h.value for h in mine.hits}
    shared = [h for h in theirs.hits if h.feature.index in best]
    assert shared and all(best[h.feature.index] == pytest.approx(h.value, abs=1e-5) for h in shared)
    assert theirs.hits[0].feature == FeatureKey.parse(KEY)
    bare = both.atlas.similar("tiny/1-bare/3", by="logits", sources=[tiny.SAE])
    assert str(bare.hits[0].feature) == KEY and bare.hits[0].value > 0.5, "half characters lost their bytes"
    both.atlas.make_near("tiny")
    assert str(both.atlas.glance("tiny/1-with/3").hits[0].feature) == KEY
    assert both.atlas.wiring("tiny/1-with/3").silent, "it says that its encoder row is not here"
