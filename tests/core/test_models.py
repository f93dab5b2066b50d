"""Models in memory: what is said of them, and one pass for many texts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from core.catalog.manifest import ModelSpec
from core.errors import BadConfig, NotAvailable
from core.models import loading
from core.models.capture import capture, check_hooks, hook_layer, pad
from tests import tiny
from tests.core import naive


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.model(tmp_path_factory.mktemp("models") / "model", scale=8.0)


@pytest.fixture(scope="module")
def model(folder):
    return loading.load(ModelSpec(id="tiny", path=str(folder)), name="Tiny")


def test_what_is_said_of_a_model(model, folder):
    from transformers import AutoModelForCausalLM

    record = model.manifest.record
    assert (record.model_id, record.name, record.architecture) == ("tiny", "Tiny", "GPT2LMHeadModel")
    assert (record.layers, record.d_model, record.d_mlp, record.heads) == (2, 32, 128, 2)
    assert (record.d_vocab, record.context) == (400, 64)
    assert record.parameters == sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(folder).parameters())
    assert record.origin == "model", "not where it lies on this machine"
    assert (model.bos, model.context, model.manifest.special) == (0, 64, (0,))
    assert model.ids("") == [0] and model.ids("a")[0] == 0
    assert model.bytes > 4 * record.parameters


def test_a_model_without_bos(tmp_path):
    found = loading.load(ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "model", bos=False))))
    assert found.bos is None and found.ids("") == []


def test_the_unembedding_is_the_one_on_disk(model, folder):
    from transformers import AutoModelForCausalLM

    hf = AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(model.bridge.W_U, hf.lm_head.weight.T)
    assert torch.equal(model.bridge.blocks[1].mlp.W_out, hf.transformer.h[1].mlp.c_proj.weight)


@pytest.mark.parametrize(
    "hook", ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre", "blocks.0.mlp.hook_post", "blocks.1.mlp.hook_post"]
)
def test_texts_of_unequal_length_together_are_texts_alone(model, folder, hook):
    rows = [model.ids(text)[:40] for text in naive.texts(9) if text.strip()]
    together = capture(model, pad(rows), [hook])[hook]
    for row, found, alone in zip(rows, together, naive.hidden(folder, rows, hook), strict=True):
        np.testing.assert_allclose(found[: len(row)], alone, rtol=1e-4, atol=1e-4)


def test_hooks_of_several_layers_in_one_pass(model):
    hooks = ["blocks.1.mlp.hook_post", "blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre"]
    ids = pad([model.ids("one two"), model.ids("three")])
    together = capture(model, ids, hooks)
    assert list(together) == hooks
    for hook in hooks:
        assert torch.allclose(together[hook], capture(model, ids, [hook])[hook], atol=1e-5)


def test_a_pass_stops_after_the_last_layer_asked_for(model):
    ran = []
    handles = [
        block.register_forward_hook(lambda *_, n=n: ran.append(n))
        for n, block in enumerate(model.bridge.original_model.transformer.h)
    ]
    capture(model, pad([[0, 5]]), ["blocks.0.mlp.hook_post"])
    for handle in handles:
        handle.remove()
    assert 1 not in ran


def test_pad():
    assert pad([[1, 2, 3], [4]]).tolist() == [[1, 2, 3], [4, 0, 0]]
    assert pad([np.array([7], np.int64)]).tolist() == [[7]]


@pytest.mark.parametrize(("hook", "layer"), [("blocks.0.hook_resid_pre", 0), ("blocks.11.mlp.hook_post", 11)])
def test_the_layer_of_a_hook(hook, layer):
    assert hook_layer(hook) == layer


@pytest.mark.parametrize("hook", ["", "hook_embed", "blocks.x.hook_resid_pre", "None", "ln_final.hook_normalized"])
def test_no_hook_of_a_block(model, hook):
    with pytest.raises(BadConfig, match="no hook of a block"):
        check_hooks(model, [hook])


@pytest.mark.parametrize("hook", ["blocks.2.hook_resid_pre", "blocks.0.hook_nothing", "blocks.0.mlp"])
def test_a_hook_that_the_model_lacks(model, hook):
    with pytest.raises(BadConfig, match=r"has no hook.*2 layers.*hook_resid_pre.*mlp\.hook_post"):
        check_hooks(model, [hook])


def test_the_fingerprint_follows_the_weights(model, folder, tmp_path):
    spec = ModelSpec(id="tiny", path=str(folder))
    other = tiny.model(tmp_path / "other", seed=3)
    assert loading.fingerprint(spec, model.bridge) == loading.fingerprint(spec, None)
    assert loading.fingerprint(spec, None) != loading.fingerprint(ModelSpec(id="tiny", path=str(other)), None)
    named = ModelSpec(id="tiny", hub="org/name")
    assert loading.fingerprint(named, model.bridge) == loading.fingerprint(named, model.bridge)


def test_weights_that_are_gone(tmp_path):
    with pytest.raises(NotAvailable, match=r"no config\.json"):
        loading.load(ModelSpec(id="x", path=str(tmp_path)))
