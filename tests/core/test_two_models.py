"""Two models in one process that are larger together than its budget: they work in turn, with the same numbers."""

from __future__ import annotations

import threading

import pytest
import yaml

from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

MODELS, TEXTS = ("one", "two"), ["The capital of France is Paris.", "def add(a, b):", "My fellow citizens"]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A data root with two models of two layers, and the bytes that one of them takes with its SAE."""
    folder = tmp_path_factory.mktemp("two")
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(6)), encoding="utf-8")
    bench = Workbench(Settings(data=folder / "data", demo=None))
    for seed, name in enumerate(MODELS):
        tiny.model(folder / name / "model", scale=8.0, seed=seed, n_embd=256)
        tiny.sae(folder / name / "sae", bias=-0.2, seed=seed, d_in=256)
        config = {
            "model": {"id": name, "path": f"{name}/model"}, "dataset": {"path": "texts.txt"}, "context": 16,
            "map": "none", "near": False, "annotate": False, "together": False,
            "sources": [{"id": "1-res", "sae": {"path": f"{name}/sae"}}],
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
        bench.build(folder / f"{name}.yaml")
    bench.test("one/1-res/0", "a")
    size = sum(one.megabytes for one in bench.residents() if one.state == "ready")
    return folder / "data", size


def held(bench):
    return {one.name for one in bench.residents() if one.state == "ready" and "/" not in one.name}


def test_they_take_turns_within_the_budget(built):
    data, size = built
    assert size > 4, "a budget is in whole megabytes"
    roomy = Workbench(Settings(data=data, demo=None))
    tight = Workbench(Settings(data=data, demo=None, memory_mb=int(1.6 * size), cache_mb=0, cache_disk_mb=0))
    for turn in range(3):
        for name in MODELS:
            for text in TEXTS:
                ours, theirs = (b.test(f"{name}/1-res/{turn}", text)[0] for b in (tight, roomy))
                assert ours.values == theirs.values, (name, text)
            assert held(tight) == {name}, "the other one went"
            assert sum(one.megabytes for one in tight.residents()) <= 1.6 * size
            assert tight.search(name, TEXTS[0]).hits
    assert held(roomy) == set(MODELS)


def test_many_ask_both_at_once(built):
    """Whoever comes while the other model is at work waits, and gets the right numbers."""
    data, size = built
    roomy = Workbench(Settings(data=data, demo=None))
    tight = Workbench(Settings(data=data, demo=None, memory_mb=int(1.6 * size), cache_mb=0, cache_disk_mb=0))
    asked = [(name, text, i) for i in range(4) for name in MODELS for text in TEXTS]
    expected = {one: roomy.test(f"{one[0]}/1-res/{one[2]}", one[1])[0].values for one in asked}
    wrong = []

    def work(some):
        for one in some:
            try:
                found = tight.test(f"{one[0]}/1-res/{one[2]}", one[1])[0].values
            except Exception as error:
                found = error
            if found != pytest.approx(expected[one], rel=1e-4, abs=1e-2):
                wrong.append((one, found))

    threads = [threading.Thread(target=work, args=(asked[n::6],)) for n in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong, wrong[:2]
