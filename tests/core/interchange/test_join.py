"""Weights that come later: the source is then tested and searched as one that was built here; others are refused."""

from __future__ import annotations

import pytest

from core.errors import BadConfig, NotAvailable, NotFound
from tests import tiny


@pytest.fixture
def imported(fresh, exported):
    bench = fresh()
    bench.exchange.bring_in(exported)
    return bench


def config(tiny_config, tmp_path, sae="sae", id="1-res", more=""):
    path = tmp_path / "join.yaml"
    folder = tiny_config.parent
    path.write_text(
        f"model: {{id: tiny, path: {folder / 'model'}}}\n"
        f"sources:\n  - {{id: {id}, sae: {{path: {folder / sae}}}}}\n{more}"
    )
    return path


def test_joined(bench, imported, tiny_config, tmp_path):
    with pytest.raises(NotAvailable, match="join"):
        imported.test(f"{tiny.SAE}/3", "The capital of France")
    (made,) = imported.exchange.join(config(tiny_config, tmp_path))
    assert str(made.key) == tiny.SAE and made.compared > 5
    assert made.agreed >= 0.9 * made.compared  # a text may be cut into other tokens than it was
    text = "The capital of France is Paris"
    (mine,), (theirs,) = (w.test(f"{tiny.SAE}/3", text) for w in (bench, imported))
    assert mine.values == theirs.values and mine.tokens == theirs.tokens
    a, b = (w.search("tiny", text, sources=[tiny.SAE], measure="value") for w in (bench, imported))
    assert [(h.key, h.maximum) for h in a.hits] == [(h.key, h.maximum) for h in b.hits]
    before, after = bench.feature(f"{tiny.SAE}/3"), imported.feature(f"{tiny.SAE}/3")
    assert after.label == before.label and "weights" in after.source.has
    assert not any(e.tokens[0].special for g in after.groups for e in g.examples)  # there is no BOS in exports
    assert all(report.ok for report in imported.check())
    with pytest.raises(NotAvailable, match="--texts"):
        imported.evaluate(tiny.SAE)
    with pytest.raises(NotFound, match="lacks"):
        imported.exchange.join(config(tiny_config, tmp_path))


def test_other_weights_are_refused(imported, tiny_config, tmp_path):
    for name, options, says in (
        ("other", {"seed": 5}, "not the weights"), ("wide", {"width": 128}, "128 features"),
        ("elsewhere", {"hook": "blocks.0.hook_resid_pre"}, "belong at"),
    ):  # fmt: skip
        tiny.sae(tmp_path / name, **options)
        with pytest.raises(BadConfig, match=says):
            imported.exchange.join(config(tiny_config, tmp_path, tmp_path / name))
    assert imported.source(tiny.SAE).has == ("dashboards",)
    with pytest.raises(BadConfig):
        imported.exchange.join(tmp_path / "none.yaml")
    with pytest.raises(NotFound, match="tiny/1-what"):
        imported.exchange.join(config(tiny_config, tmp_path, id="1-what"))


def test_its_texts_are_no_prompts_to_build_on(imported, tiny_config, tmp_path):
    path = config(tiny_config, tmp_path, id="1-more", more="dataset: {like: 1-res}\ncontext: 48\n")
    with pytest.raises(BadConfig, match=r"dataset\.like: tiny/1-res was imported.*Name a source that was built here"):
        imported.build(path)
