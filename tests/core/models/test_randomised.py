"""A control's model: the sizes of the weights stay, what was learned goes, and the embeddings stay where asked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.models.randomised import randomised
from tests import tiny

EMBEDDINGS = {"transformer.wte.weight", "transformer.wpe.weight"}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(tiny.model(tmp_path_factory.mktemp("control") / "model", scale=3.0))


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def test_the_same_seed_gives_the_same_weights_and_another_others(model: torch.nn.Module) -> None:
    before = weights(model)
    first = weights(randomised(model, False, 0))
    torch.rand(7)  # whatever else is drawn meanwhile
    again, other = weights(randomised(model, False, 0)), weights(randomised(model, False, 1))
    for name, p in before.items():
        assert torch.equal(p, weights(model)[name]), name  # the one that was given is as it was
        assert torch.equal(first[name], again[name]), name
        if p.std() > 0:
            assert not torch.equal(first[name], other[name]), name
            assert not torch.equal(first[name], p), name


def test_embeddings_are_kept_exactly_where_asked(model: torch.nn.Module) -> None:
    before, kept = weights(model), weights(randomised(model, True, 0))
    assert {n for n in before if torch.equal(before[n], kept[n]) and before[n].ndim > 1} == EMBEDDINGS
    made = randomised(model, False, 0)
    assert made.lm_head.weight is made.transformer.wte.weight  # tied weights stay tied
    assert not torch.equal(made.lm_head.weight, model.lm_head.weight)


def test_matrices_keep_their_size_and_vectors_their_values(model: torch.nn.Module) -> None:
    with torch.no_grad():
        model.transformer.h[0].attn.c_attn.weight[:, :32] *= 9  # queries unlike keys and values
    before, made = weights(model), weights(randomised(model, False, 3))
    for name, p in before.items():
        thirds = 3 if name.endswith(("c_attn.weight", "c_attn.bias")) else 1
        for old, new in zip(p.chunk(thirds, -1), made[name].chunk(thirds, -1), strict=True):
            if p.ndim == 1:
                assert torch.equal(old.sort().values, new.sort().values), name
            else:
                assert float(new.std()) == pytest.approx(float(old.std()), rel=0.1), name


def test_a_single_number_stays() -> None:
    """As a layer's own scale is in some models."""
    made = torch.nn.Linear(3, 3)
    made.scale = torch.nn.Parameter(torch.tensor(0.5))
    assert float(randomised(made, False, 0).scale.detach()) == 0.5


@pytest.mark.parametrize("family", ["neox", "llama"])
def test_other_architectures_and_an_unembedding_of_its_own(family: str, tmp_path: Path) -> None:
    other = AutoModelForCausalLM.from_pretrained(tiny.model(tmp_path / "model", family, tie_word_embeddings=False))
    kept, made = randomised(other, True, 0), randomised(other, False, 0)
    for part in ("get_input_embeddings", "get_output_embeddings"):
        theirs = getattr(other, part)().weight
        assert torch.equal(getattr(kept, part)().weight, theirs)
        assert not torch.equal(getattr(made, part)().weight, theirs)
    ids = torch.arange(4)[None]
    assert torch.isfinite(made(ids).logits).all()
