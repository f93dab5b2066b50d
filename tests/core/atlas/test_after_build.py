"""What a build makes for the atlas: maps, tables of what is near, who fires with whom; each only where it is wanted."""

from __future__ import annotations

import numpy as np
import pytest

from core.atlas.map import layout as map_layout
from core.atlas.map import maps
from core.atlas.map.layout import Layout
from core.atlas.near import tables
from core.atlas.together import keeping
from core.explain.meaning.seeker import Seeker
from core.records import SourceKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core.explain.meaning.worlds import Counting

SAE, NEURONS = SourceKey.parse(tiny.SAE), SourceKey.parse(tiny.NEURONS)


@pytest.fixture
def built(tiny_config, tmp_path, monkeypatch):
    """Builds the tiny sources, as if they were worth it all, by more lines of configuration; what it said."""

    def place(vectors, *, seed=0, fit=0, tell=None):
        n = len(vectors)
        return Layout(np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32), np.arange(n))

    monkeypatch.setattr(map_layout, "place", place)
    monkeypatch.setattr(maps, "WORTH", 10)
    monkeypatch.setattr(tables, "FEW", 10)

    def build(lines):
        config = tmp_path / "tiny.yaml"
        text = tiny_config.read_text(encoding="utf-8").replace("path: ", f"path: {tiny_config.parent}/")
        config.write_text(f"{text}store: false\nannotate: true\n{lines}", encoding="utf-8")
        said: list[str] = []
        made = Workbench(Settings(data=tmp_path / "data", demo=None))
        made.words.__dict__["_seeker"] = Seeker(made, lambda: made.words.providers, made=Counting())
        made.build(config, lambda what, done, of: said.append(what))
        return made, said

    return build


def kinds(bench):
    return sorted(path.name.split("-")[0] for path in bench.settings.data.glob("tiny/*/derived/*"))


def test_all_that_is_wanted_is_made(built):
    bench, said = built("map: all\nnear: true\ntogether: true\n")
    for some in ([SAE], [NEURONS], [SAE, NEURONS]):
        assert bench.atlas.map_here(some, of="decoder") is not None
        explained = bench.atlas.map_here(some, of="explanation")
        assert explained is not None and explained.changed == 0
    assert {"map of 1-res", "map of 0-neurons", "map of 2 sources"} <= {one.split(":")[0] for one in said}
    living = bench.living(SAE)[0]
    near = bench.atlas.glance(living)
    assert near is not None and {hit.feature.source for hit in near.hits} == {NEURONS}
    for a in (SAE, NEURONS):
        for b in (SAE, NEURONS):
            assert bench.atlas._company.best(a, b).index.max() >= 0, "without any store"
    assert "store" not in bench.source(SAE).has


def test_what_is_not_wanted_is_not_made(built):
    bench, said = built("map: none\nnear: false\ntogether: false\n")
    assert kinds(bench) == ["annotation", "annotation"]
    assert not [one for one in said if "map" in one or "comparing" in one]


def test_what_is_not_worth_it_waits_until_it_is_asked_for(built, monkeypatch):
    monkeypatch.setattr(maps, "WORTH", 10**6)
    monkeypatch.setattr(tables, "FEW", 10**6)
    bench, _ = built("")
    assert set(kinds(bench)) == {"annotation", keeping.KIND}
    assert bench.atlas.map_here([SAE]) is None and len(bench.atlas.map([SAE])) == len(bench.living(SAE))
