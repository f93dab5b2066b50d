"""The demo's two models: what is built is what was designed, and the second reads another part of the documents."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from demo.training import corpus, train_saes
from demo.training.designs import DESIGNS, FIRST, SECOND, Design

DEMO = Path(__file__).resolve().parents[2] / "demo"
TEXTS = [f"document {n}" for n in range(200)]


@pytest.mark.parametrize("design", DESIGNS.values(), ids=list(DESIGNS))
def test_a_build_is_of_the_design(design: Design) -> None:
    config = yaml.safe_load((DEMO / design.config).read_text(encoding="utf-8"))
    weights = "/".join(["weights", *([design.folder] if design.folder else [])])
    assert (config["model"]["id"], config["model"]["path"]) == (design.id, f"{weights}/model")
    saes = {one["id"]: one["sae"]["path"] for one in config["sources"] if "sae" in one}
    assert saes == {f"{n}-{design.set_name}": f"{weights}/sae/{n}-res" for n in design.saes}


def test_both_builds_read_the_same_texts_whole() -> None:
    first, second = (yaml.safe_load((DEMO / d.config).read_text(encoding="utf-8")) for d in (FIRST, SECOND))
    assert first["dataset"] == second["dataset"]
    assert (first["cut"], first["context"]) == (second["cut"], second["context"])
    assert second["model"]["id"] > first["model"]["id"]  # the first is the one that pages begin with


def test_the_second_is_trained_on_half_of_the_documents_whatever_their_order() -> None:
    half = corpus.part(TEXTS, SECOND)
    assert len(half) == 100
    assert half == [t for t in TEXTS if t in set(half)]
    assert set(corpus.part(TEXTS[::-1], SECOND)) == set(half)
    assert corpus.part(TEXTS, FIRST) == TEXTS


def test_each_design_has_its_recipe() -> None:
    assert train_saes.recipe_of(FIRST, 3, train_saes.RECIPES[FIRST.id]).added == 2048
    own = train_saes.RECIPES[SECOND.id]
    assert all(train_saes.recipe_of(SECOND, layer, own) == own for layer in SECOND.saes)
    assert own.width == 1024
