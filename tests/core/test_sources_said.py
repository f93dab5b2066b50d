"""What an SAE says about its model is obeyed, or refused with both values."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
import yaml

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadConfig
from core.models import loading
from core.models.capture import capture
from core.settings import Settings
from core.sources import dictionary
from core.sources.said import Said, agree, is_centred
from core.workbench import Workbench
from tests import tiny


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tiny.model(tmp_path_factory.mktemp("said") / "model", scale=8.0)
    return loading.load(ModelSpec(id="tiny", path=str(folder)))


def said(folder, **metadata):
    data = json.loads((folder / "cfg.json").read_text())
    data["metadata"] |= metadata
    (folder / "cfg.json").write_text(json.dumps(data))
    return folder


def sae(folder, model, *, kind="standard", hook="blocks.1.hook_resid_pre", **metadata):
    made = said(tiny.sae(folder, kind, hook=hook, bias=-0.2), **metadata)
    return dictionary.load(WeightsSpec(kind="sae", path=str(made)), model)


# -- model_from_pretrained_kwargs --------------------------------------------------------------------------------------

CENTRE = {"center_writing_weights": True}


def centred_gpt2(folder):
    """The model with its writing weights centred by hand: what is added to the residual stream has mean 0."""
    from transformers import AutoModelForCausalLM

    made = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        writing = [made.transformer.wte.weight, made.transformer.wpe.weight]
        for block in made.transformer.h:
            for part in (block.attn.c_proj, block.mlp.c_proj):
                part.bias += torch.randn_like(part.bias)
                writing += [part.weight, part.bias]
        made.save_pretrained(folder)  # biases that are not zero, in the raw model too
        for weight in writing:
            weight -= weight.mean(-1, keepdim=True)
    return made


def test_centred_writing_weights_are_the_activation_less_its_mean(tmp_path):
    folder = tiny.model(tmp_path / "model", scale=8.0)
    theirs = centred_gpt2(folder)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)))
    ids = torch.tensor([[0, 5, 9, 17, 30, 2]])
    with torch.no_grad():
        hidden = theirs(ids, output_hidden_states=True).hidden_states[1][0]
    own = capture(model, ids, ["blocks.1.hook_resid_pre"])["blocks.1.hook_resid_pre"][0]
    assert float(own.mean(-1).abs().min()) > 1e-2, "the raw model's stream has a mean"
    ours = sae(tmp_path / "a", model, model_from_pretrained_kwargs=CENTRE)
    plain = sae(tmp_path / "b", model)
    with torch.no_grad():
        expected = plain.sae.encode(hidden)  # SAELens's encode of what the centred model has there
    torch.testing.assert_close(ours.encode(own), expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(plain.encode(own), expected, atol=1e-2), "and it matters"
    some = torch.tensor([3, 9, 40])
    torch.testing.assert_close(ours.values(own, some), expected[:, some], rtol=1e-3, atol=1e-3)
    acts, out = ours.reconstruct(own)
    torch.testing.assert_close(acts, ours.encode(own))
    with torch.no_grad():
        made = plain.sae.decode(expected) + own.mean(-1, keepdim=True)
    torch.testing.assert_close(out, made, rtol=1e-3, atol=1e-3)
    assert ours.sha256 != plain.sha256, "other numbers have another name"


def test_screened_values_are_centred_too(tmp_path):
    from core.sources.screen import Screen

    folder = tiny.model(tmp_path / "model", scale=8.0)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)))
    ours = sae(tmp_path / "a", model, model_from_pretrained_kwargs=CENTRE)
    if not torch.cpu._is_vnni_supported():
        pytest.skip("this processor does not multiply bytes")
    x = 3 * torch.randn(9, 32) + 2
    found = torch.zeros(9, 64)
    codes = Screen(ours)(x)
    found[codes.positions, codes.features] = torch.from_numpy(codes.values)
    torch.testing.assert_close(found, ours.encode(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("hook", "norm", "centred"),
    [
        ("blocks.1.hook_resid_post", "LN", True), ("blocks.1.hook_mlp_out", "LNPre", True),
        ("blocks.1.attn.hook_z", "LN", False), ("blocks.1.mlp.hook_post", "LN", False),
        ("blocks.1.ln2.hook_normalized", "LN", False), ("blocks.1.hook_resid_post", "RMS", False),
    ],
)  # fmt: skip
def test_where_centring_shows(hook, norm, centred):
    """TransformerLens leaves models without layer norm as they are, and centres only what is added to the stream."""
    model = SimpleNamespace(
        bridge=SimpleNamespace(cfg=SimpleNamespace(normalization_type=norm)),
        manifest=SimpleNamespace(spec=ModelSpec(id="tiny", path="x")),
    )
    assert is_centred(Said(kwargs=CENTRE), hook, model) is centred
    assert is_centred(Said(kwargs={"center_writing_weights": False}), hook, model) is False


@pytest.mark.parametrize(
    ("kwargs", "hook", "message"),
    [
        ({"revision": "step3000"}, "blocks.1.hook_resid_pre", r"revision 'step3000' of its model, .* revision None"),
        ({"checkpoint_index": 3}, "blocks.1.hook_resid_pre", r"ask for a checkpoint \(checkpoint_index: 3\)"),
        ({"fold_ln": True}, "blocks.1.mlp.hook_in", r"say fold_ln: True, which changes what passes at blocks\.1\.mlp"),
        ({"fold_value_biases": True}, "blocks.1.attn.hook_z", r"say fold_value_biases: True, which changes"),
        ({"quantise": 4}, "blocks.1.hook_resid_pre", r"say quantise: 4, and what that does to .* is not known"),
        ("none", "blocks.1.hook_resid_pre", r"model_from_pretrained_kwargs is 'none'"),
    ],
)
def test_a_model_that_is_not_this_one(tmp_path, model, kwargs, hook, message):
    with pytest.raises(BadConfig, match=message):
        sae(tmp_path / "sae", model, hook=hook, model_from_pretrained_kwargs=kwargs)


@pytest.mark.parametrize(
    ("kwargs", "hook"),
    [
        ({"fold_ln": True, "center_unembed": True}, "blocks.1.hook_resid_pre"),
        ({"fold_value_biases": True}, "blocks.1.hook_resid_pre"),
        ({"dtype": "bfloat16", "n_devices": 1, "revision": None}, "blocks.1.attn.hook_z"),
        ({"revision": "main"}, "blocks.1.hook_resid_pre"),
    ],
)
def test_what_changes_nothing_where_it_reads(tmp_path, model, kwargs, hook):
    ours = sae(tmp_path / "sae", model, hook=hook, model_from_pretrained_kwargs=kwargs)
    assert not ours.centred


def test_an_sae_of_a_hugging_face_module(tmp_path, model):
    """SAELens trains on Hugging Face's models too (model_class_name AutoModelForCausalLM), and names a module then."""
    ours = sae(tmp_path / "sae", model, hook="transformer.h.0.mlp", model_class_name="AutoModelForCausalLM")
    assert ours.hook == ours.hook_out == "blocks.0.mlp.hook_out"
    with pytest.raises(BadConfig, match="is no hook of a block"):
        sae(tmp_path / "other", model, hook="transformer.wte")


# -- BOS and context ---------------------------------------------------------------------------------------------------


def stub(bos):
    return SimpleNamespace(bos=bos, manifest=SimpleNamespace(spec=SimpleNamespace(id="tiny")))


@pytest.mark.parametrize(
    ("it", "bos", "asked", "message"),
    [
        (Said(prepend_bos=True), 0, {}, None),
        (Said(prepend_bos=None), 0, {}, None),
        (Said(prepend_bos=None), None, {}, None),
        (Said(prepend_bos=False), None, {}, None),
        (Said(prepend_bos=False), 0, {}, r"prepend_bos: false, and every prompt of tiny begins with BOS \(token 0\)"),
        (Said(prepend_bos=False), 0, {"bos": True}, None),
        (Said(prepend_bos=True), None, {}, r"prepend_bos: true, and tiny has no BOS\. .* write `bos: false`"),
        (Said(prepend_bos=True), None, {"bos": False}, None),
        (Said(context=40), 0, {}, None),
        (Said(context=39), 0, {}, r"context_size: 39, and context is 40 here\. Build with `context: 39`"),
        (Said(context=39), 0, {"context": 64}, None),
        (Said(), 0, {"context": 32}, r"context_size: 32, and context is 40"),
    ],
)
def test_bos_and_context(it, bos, asked, message):
    if message is None:
        agree(it, stub(bos), 40, **asked)
        return
    with pytest.raises(BadConfig, match=message):
        agree(it, stub(bos), 40, **asked)


def test_a_build_refuses_before_work_and_can_be_told_otherwise(tmp_path):
    tiny.model(tmp_path / "model", scale=8.0)
    said(tiny.sae(tmp_path / "sae", bias=-0.2), prepend_bos=False, context_size=16)
    (tmp_path / "texts.txt").write_text("The capital of France is Paris.", encoding="utf-8")
    bench, config = Workbench(Settings(data=tmp_path / "data", demo=None)), tmp_path / "build.yaml"

    def build(**options):
        config.write_text(yaml.safe_dump({
            "model": {"id": "tiny", "path": "model"}, "context": 20, "dataset": {"path": "texts.txt"},
            "sources": [{"id": "1-res", "sae": {"path": "sae"} | options}],
        }))  # fmt: skip
        return bench.build(config)

    with pytest.raises(BadConfig, match=r"^sources\.0: it says prepend_bos: false"):
        build()
    with pytest.raises(BadConfig, match=r"^sources\.0: it says context_size: 16, and context is 20 here"):
        build(bos=True)
    assert not (tmp_path / "data" / "tiny").exists(), "before any work"
    assert build(bos=True, context=20).sources[0].tokens > 0
