"""sparsify's and dictionary_learning's files, by the formulas of their formats; and SAELens's own of several eras."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.catalog.manifest import WeightsSpec
from core.errors import BadConfig
from core.sources.folders import hook_of
from core.sources.saelens import load_sae
from tests import tiny

D, N = 32, 64


def loaded(folder, **spec):
    return load_sae(WeightsSpec(kind="sae", path=str(folder), **spec), "cpu")


def inputs(rows=40):
    return 3 * torch.randn(rows, D, generator=torch.Generator().manual_seed(0))


def same(ours, x, features, out):
    torch.testing.assert_close(ours.encode(x), features, rtol=1e-4, atol=1e-4)
    acts, made = ours.reconstruct(x)
    torch.testing.assert_close(acts, features, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made, out, rtol=1e-3, atol=1e-3)
    assert 0 < float((features != 0).float().mean()) < 1, "the test's dictionary does something"


# -- sparsify ----------------------------------------------------------------------------------------------------------


def sparsify(folder, hookpoint="layers.1", *, skip=False, run=True, dtype=torch.float32, tensors=None, **config):
    """A folder as sparsify's `save_to_disk` writes it, below a run's folder with its config.json."""
    torch.manual_seed(3)
    place = folder / hookpoint
    place.mkdir(parents=True)
    state = {
        "encoder.weight": torch.randn(N, D), "encoder.bias": 0.3 * torch.randn(N), "W_dec": torch.randn(N, D),
        "b_dec": 0.5 * torch.randn(D),
    }  # fmt: skip
    if skip:
        state["W_skip"] = 0.2 * torch.randn(D, D)
    state = {k: v.to(dtype) for k, v in (state | (tensors or {})).items() if v is not None}
    save_file(state, place / "sae.safetensors")
    settings = {"activation": "topk", "expansion_factor": 2, "normalize_decoder": True, "num_latents": 0, "k": 7,
                "multi_topk": False, "skip_connection": skip, "transcode": False, "d_in": D}  # fmt: skip
    (place / "cfg.json").write_text(json.dumps(settings | config))
    if run:
        (folder / "config.json").write_text(json.dumps({"model": "org/tiny", "ctx_len": 40, "sae": {}}))
    return place


def sparsify_forward(state, x, *, k, groups=False, signed=False, transcode=False):
    """From the format's description, a token at a time."""
    state = {name: value.float() for name, value in state.items()}
    features = torch.zeros(len(x), N)
    for row, one in enumerate(x):
        given = one if transcode else one - state["b_dec"]
        pre = state["encoder.weight"] @ given + state["encoder.bias"]
        if groups:
            size = N // k
            chosen = [g * size + int(pre[g * size : (g + 1) * size].argmax()) for g in range(k)]
        else:
            chosen = sorted(range(N), key=lambda i: -float(pre[i].abs() if signed else pre[i]))[:k]
        for i in chosen:
            features[row, i] = pre[i] if signed else max(float(pre[i]), 0.0)
    out = features @ state["W_dec"] + state["b_dec"]
    return features, out + x @ state["W_skip"].T if "W_skip" in state else out


@pytest.mark.parametrize(
    ("options", "how", "architecture"),
    [
        ({}, {}, "topk"),
        ({"num_latents": 64, "expansion_factor": 5}, {}, "topk"),
        ({"skip": True}, {}, "topk"),
        ({"k": 8, "activation": "groupmax"}, {"groups": True}, "groupmax"),
        ({"signed": True}, {"signed": True}, "abstopk"),
        ({"transcode": True, "hookpoint": "layers.1.mlp"}, {"transcode": True}, "topk_transcoder"),
        ({"transcode": True, "hookpoint": "layers.1.mlp", "k": 8, "activation": "groupmax"},
         {"transcode": True, "groups": True}, "topk_transcoder"),
        ({"transcode": True, "skip": True, "hookpoint": "layers.1.mlp"}, {"transcode": True}, "topk_skip_transcoder"),
        ({"dtype": torch.bfloat16}, {}, "topk"),
    ],
)  # fmt: skip
def test_sparsify_computes_what_its_format_says(tmp_path, options, how, architecture):
    folder = sparsify(tmp_path / "run", **options)
    state, x = load_file(folder / "sae.safetensors"), inputs()
    ours = loaded(folder)
    same(ours, x, *sparsify_forward(state, x, k=options.get("k", 7), **how))
    assert (ours.architecture, ours.width, ours.d_in) == (architecture, N, D)
    assert ours.kind == ("transcoder" if "transcoder" in architecture else "sae")
    torch.testing.assert_close(ours.W_dec, state["W_dec"].float())
    assert ours.said.context == 40 and ours.said.model_name == "org/tiny" and ours.said.prepend_bos is None


@pytest.mark.parametrize(
    ("module", "hooks"),
    [
        ("layers.5", ("blocks.5.hook_resid_pre", "blocks.5.hook_resid_post")),
        ("h.11", ("blocks.11.hook_resid_pre", "blocks.11.hook_resid_post")),
        ("transformer.h.0.mlp", ("blocks.0.mlp.hook_in", "blocks.0.mlp.hook_out")),
        ("layers.3.self_attn", ("blocks.3.attn.hook_in", "blocks.3.attn.hook_out")),
        ("gpt_neox.layers.3.attention", ("blocks.3.attn.hook_in", "blocks.3.attn.hook_out")),
        ("layers_7", ("blocks.7.hook_resid_pre", "blocks.7.hook_resid_post")),
        ("embed_tokens", None), ("layers.5.mlp.down_proj", None), ("layers.x", None), ("", None),
    ],
)  # fmt: skip
def test_hookpoints_by_name(module, hooks):
    assert hook_of(module) == hooks


@pytest.mark.parametrize("family", ["gpt2", "neox", "llama", "gemma2"])
def test_what_passes_at_a_hookpoint_is_what_its_module_gives(tmp_path, family):
    """The name's meaning: sparsify hooks the output of `base_model.get_submodule(hookpoint)`, or its input."""
    from transformers import AutoModelForCausalLM

    from core.catalog.manifest import ModelSpec
    from core.models import loading
    from core.models.capture import capture

    folder = tiny.model(tmp_path / "model", family, scale=4.0)
    plain = AutoModelForCausalLM.from_pretrained(folder).eval()
    model, ids = loading.load(ModelSpec(id="tiny", path=str(folder))), torch.tensor([[0, 5, 9, 17, 30]])
    base = plain.base_model
    layers = {"gpt2": "h"}.get(family, "layers")
    for part in ("", ".mlp", {"gpt2": ".attn", "neox": ".attention"}.get(family, ".self_attn")):
        name, seen = f"{layers}.1{part}", {}

        def keep(module, args, kwargs, out, seen=seen):
            seen["in"] = args[0] if args else kwargs["hidden_states"]
            seen["out"] = out[0] if isinstance(out, tuple) else out

        handle = base.get_submodule(name).register_forward_hook(keep, with_kwargs=True)
        with torch.no_grad():
            plain(ids)
        handle.remove()
        hooks = hook_of(name)
        found = capture(model, ids, list(hooks))
        for side, hook in zip(("in", "out"), hooks, strict=True):
            torch.testing.assert_close(found[hook][0], seen[side].reshape(5, -1), rtol=1e-4, atol=1e-4)


def test_where_a_sparsify_dictionary_belongs(tmp_path):
    assert loaded(sparsify(tmp_path / "a")).hook == "blocks.1.hook_resid_post"
    assert loaded(sparsify(tmp_path / "b", "h.1.mlp")).hook == "blocks.1.mlp.hook_out"
    ours = loaded(sparsify(tmp_path / "c", "layers.1.mlp", transcode=True))
    assert (ours.hook, ours.hook_out) == ("blocks.1.mlp.hook_in", "blocks.1.mlp.hook_out")
    assert loaded(sparsify(tmp_path / "d", "layers.0/seed2")).hook == "blocks.0.hook_resid_post"
    other = sparsify(tmp_path / "e", "embed_tokens", run=False)
    with pytest.raises(BadConfig, match=r"does not say where it belongs .* add `hook:`"):
        loaded(other)
    assert loaded(other, hook="blocks.0.hook_resid_pre").said.context is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"activation": "relu"}, r"activation is 'relu'; known are topk and groupmax"),
        ({"k": 0}, r"cfg\.json: k is 0, and should be a whole number of at least 1"),
        ({"k": 65}, r"k is 65, which does not go with 64 latents"),
        ({"k": 7, "activation": "groupmax"}, r"k is 7, which does not go with 64 latents"),
        ({"expansion_factor": 4}, r"encoder\.weight is of shape \[64, 32\], and cfg\.json says \[128, 32\]"),
        ({"tensors": {"b_dec": None}}, r"sae\.safetensors has no b_dec"),
        ({"tensors": {"W_dec": torch.zeros(D, N)}}, r"W_dec is of shape \[32, 64\], and cfg\.json says \[64, 32\]"),
        ({"tensors": {"what": torch.zeros(2)}}, r"has what, of which sparsify's format knows nothing"),
        ({"tensors": {"b_dec": torch.full((D,), torch.nan)}}, r"damaged: b_dec holds numbers that are not finite"),
        ({"embed_skip": True}, r"embed_skip: it depends on the embeddings of the tokens"),
        ({"gram_lookup": True}, r"gram_lookup: it depends on a table of n-grams"),
        ({"transcode": True, "signed": True}, r"signed goes with an autoencoder"),
    ],
)
def test_sparsify_files_that_do_not_say_what_they_should(tmp_path, options, message):
    with pytest.raises(BadConfig, match=message):
        loaded(sparsify(tmp_path / "run", **options))


# -- dictionary_learning -----------------------------------------------------------------------------------------------


def linear(state, prefix, rows, columns):
    state[f"{prefix}.weight"] = torch.randn(rows, columns)


def tensors_of(kind):
    """The state dictionary of one of the library's classes."""
    torch.manual_seed(4)
    norm = D**0.5
    if kind in ("MatryoshkaBatchTopKSAE", "JumpReluAutoEncoder"):
        state = {"W_enc": torch.randn(D, N), "b_enc": -0.2 * norm * torch.rand(N), "W_dec": torch.randn(N, D),
                 "b_dec": torch.randn(D)}  # fmt: skip
        if kind == "JumpReluAutoEncoder":
            return state | {"threshold": 3 * torch.rand(N)}
        return state | {"threshold": torch.tensor(2.5), "k": torch.tensor(7), "group_sizes": torch.tensor([16, 48])}
    state = {}
    linear(state, "encoder", N, D)
    linear(state, "decoder", D, N)
    if kind == "GatedAutoEncoder":
        return state | {"decoder_bias": torch.randn(D), "r_mag": 0.3 * torch.randn(N), "gate_bias": torch.randn(N),
                        "mag_bias": torch.randn(N)}  # fmt: skip
    state["encoder.bias"] = -0.2 * norm * torch.rand(N)
    name = {"AutoEncoder": "bias", "AutoEncoderNew": "decoder.bias"}.get(kind, "b_dec")
    state[name] = torch.randn(D)
    if "TopK" in kind:
        state |= {"k": torch.tensor(7, dtype=torch.int), "threshold": torch.tensor(2.5)}
    return state


def dictlearn_forward(kind, s, x):
    """The library's classes, written down once more."""
    if kind == "AutoEncoder":
        f = ((x - s["bias"]) @ s["encoder.weight"].T + s["encoder.bias"]).relu()
        return f, f @ s["decoder.weight"].T + s["bias"]
    if kind == "AutoEncoderNew":
        f = (x @ s["encoder.weight"].T + s["encoder.bias"]).relu()
        return f, f @ s["decoder.weight"].T + s["decoder.bias"]
    if kind == "GatedAutoEncoder":
        pre = (x - s["decoder_bias"]) @ s["encoder.weight"].T
        f = (pre + s["gate_bias"] > 0) * (s["r_mag"].exp() * pre + s["mag_bias"]).relu()
        return f, f @ s["decoder.weight"].T + s["decoder_bias"]
    if kind == "JumpReluAutoEncoder":
        pre = x @ s["W_enc"] + s["b_enc"]
        f = (pre * (pre > s["threshold"])).relu()
        return f, f @ s["W_dec"] + s["b_dec"]
    if kind == "MatryoshkaBatchTopKSAE":
        pre = ((x - s["b_dec"]) @ s["W_enc"] + s["b_enc"]).relu()
        f = pre * (pre > s["threshold"])
        return f, f @ s["W_dec"] + s["b_dec"]
    pre = ((x - s["b_dec"]) @ s["encoder.weight"].T + s["encoder.bias"]).relu()
    if kind == "BatchTopKSAE":
        f = pre * (pre > s["threshold"])
    else:
        best = pre.topk(int(s["k"]), dim=-1)
        f = torch.zeros_like(pre).scatter(-1, best.indices, best.values)
    return f, f @ s["decoder.weight"].T + s["b_dec"]


DICTIONARIES = {
    "AutoEncoder": "standard", "AutoEncoderNew": "standard", "AutoEncoderTopK": "topk", "BatchTopKSAE": "jumprelu",
    "MatryoshkaBatchTopKSAE": "jumprelu", "GatedAutoEncoder": "gated", "JumpReluAutoEncoder": "jumprelu",
}  # fmt: skip


def dictlearn(folder, kind="AutoEncoder", *, tensors=None, buffer=None, **trainer):
    """A folder as the library's `trainSAE` writes it."""
    folder.mkdir(parents=True)
    torch.save(tensors_of(kind) if tensors is None else tensors, folder / "ae.pt")
    said = {"trainer_class": "StandardTrainer", "dict_class": kind, "activation_dim": D, "dict_size": N, "layer": 1,
            "lm_name": "org/tiny", "submodule_name": "resid_post_layer_1", "k": 7}  # fmt: skip
    config = {"trainer": said | trainer, "buffer": {"d_submodule": D, "io": "out", "ctx_len": 48} | (buffer or {})}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("kind", sorted(DICTIONARIES))
def test_dictionary_learning_computes_what_its_classes_do(tmp_path, kind):
    ours, x = loaded(dictlearn(tmp_path / "ae", kind)), inputs()
    same(ours, x, *dictlearn_forward(kind, tensors_of(kind), x))
    assert (ours.architecture, ours.hook, ours.width) == (DICTIONARIES[kind], "blocks.1.hook_resid_post", N)
    assert (ours.said.model_name, ours.said.context) == ("org/tiny", 48)


@pytest.mark.parametrize("kind", sorted(set(DICTIONARIES) - {"AutoEncoderNew"}))
def test_saelens_own_loader_of_that_format_gives_the_same(tmp_path, kind, monkeypatch):
    """Of what its loader knows: it has no AutoEncoderNew."""
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.registry import get_sae_class

    folder = dictlearn(tmp_path / "ae", kind)
    monkeypatch.setattr(loaders, "hf_hub_download", lambda repo_id, filename, **_: tmp_path / filename)
    config, state, _ = loaders.dictionary_learning_sae_huggingface_loader_1("org/saes", "ae")
    config = loaders.handle_config_defaulting(config)
    sae = SAE.get_sae_class_for_architecture(config["architecture"])(
        get_sae_class(config["architecture"])[1].from_dict(config)
    )
    sae.load_state_dict(state)
    with torch.no_grad():
        torch.testing.assert_close(loaded(folder).encode(inputs()), sae.encode(inputs()), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("trainer", "buffer", "hook"),
    [
        ({"submodule_name": "mlp_layer_1"}, {}, "blocks.1.mlp.hook_out"),
        ({"submodule_name": "attn_out"}, {}, "blocks.1.attn.hook_out"),
        ({"submodule_name": "resid_post"}, {}, "blocks.1.hook_resid_post"),
        ({"submodule_name": "resid_layer1"}, {}, "blocks.1.hook_resid_post"),
        ({"submodule_name": None}, {}, None),
        ({"submodule_name": "gpt_neox.layers.1.something"}, {}, None),
        ({"submodule_name": "mlp_layer_1"}, {"io": "in"}, None),
    ],
)
def test_where_a_dictionary_belongs_is_asked_for_if_it_does_not_say(tmp_path, trainer, buffer, hook):
    folder = dictlearn(tmp_path / "ae", buffer=buffer, **trainer)
    if hook is None:
        with pytest.raises(BadConfig, match=r"does not say where it belongs .* add `hook:`"):
            loaded(folder)
        assert loaded(folder, hook="blocks.0.hook_resid_pre").hook == "blocks.0.hook_resid_pre"
    else:
        assert loaded(folder).hook == hook


class Evil:
    """What must never be made of a file."""

    def __reduce__(self):
        return (open, ("/nonexistent/evil", "w"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "AutoEncoder", "dict_class": "CrossCoder"}, r"A crosscoder reads several activations at once"),
        ({"dict_class": "IdentityDict"}, r"trainer\.dict_class is IdentityDict; known are AutoEncoder, "),
        ({"dict_size": 128}, r"encoder\.weight is of shape \[64, 32\], and config\.json says \[128, 32\]"),
        ({"activation_dim": "32"}, r"activation_dim is '32', and should be a whole number"),
        ({"kind": "AutoEncoderTopK", "k": 65}, r"trainer\.k is 65, and it has 64 features"),
        ({"dict_class": "GatedAutoEncoder"}, r"ae\.pt has no decoder_bias; it has bias, decoder\.weight"),
        ({"submodule_name": "resid_post_layer_3"}, r"trainer\.layer is 1, and trainer\.submodule_name is resid_post_l"),
        ({"buffer": {"io": "in_and_out"}}, r"in_and_out, a transcoder"),
        ({"tensors": {"a": Evil()}}, r"holds more than tensors or is damaged, so it is not read"),
        ({"tensors": [1, 2]}, r"holds no dictionary of tensors"),
    ],
)
def test_dictionary_learning_files_that_do_not_say_what_they_should(tmp_path, options, message):
    with pytest.raises(BadConfig, match=message):
        loaded(dictlearn(tmp_path / "ae", **options))


def test_a_damaged_pickle(tmp_path):
    folder = dictlearn(tmp_path / "ae")
    data = (folder / "ae.pt").read_bytes()
    (folder / "ae.pt").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadConfig, match="damaged"):
        loaded(folder)


# -- SAELens before version 6 ------------------------------------------------------------------------------------------

BASE = {
    "model_name": "gpt2-small", "hook_point": "blocks.1.hook_resid_pre", "hook_point_layer": 1,
    "hook_point_head_index": None, "dataset_path": "Skylion007/openwebtext", "is_dataset_tokenized": False,
    "context_size": 128, "use_cached_activations": False, "d_in": 32, "n_batches_in_buffer": 128,
    "total_training_tokens": 300000000, "store_batch_size": 32, "device": "mps", "seed": 42, "dtype": "torch.float32",
    "b_dec_init_method": "geometric_median", "expansion_factor": 2, "from_pretrained_path": None,
    "l1_coefficient": 8e-05,
    "lr": 0.0004, "lr_scheduler_name": None, "train_batch_size": 4096, "use_ghost_grads": False, "log_to_wandb": True,
    "d_sae": 64, "checkpoint_path": "checkpoints/x", "tokens_per_buffer": 67108864, "run_name": "64-L1-8e-05",
}  # fmt: skip
"""The keys of a mats_sae_training run's configuration of early 2024, as the res-jb files have them."""
ERAS = {
    "early 2024": ("standard", {}, BASE),
    "version 2, hook_z": (
        "standard",
        {"reshape_activations": "hook_z", "hook": "blocks.1.attn.hook_z"},
        BASE | {"hook_point": "blocks.1.attn.hook_z", "prepend_bos": True, "normalize_activations": False},
    ),
    "version 3": (
        "standard",
        {"apply_b_dec_to_input": False},
        {
            "architecture": "standard", "d_in": 32, "d_sae": 64, "activation_fn_str": "relu",
            "apply_b_dec_to_input": False, "finetuning_scaling_factor": False, "context_size": 128,
            "model_name": "gpt2-small",
            "hook_name": "blocks.1.hook_resid_pre", "hook_layer": 1, "hook_head_index": None, "prepend_bos": False,
            "dataset_path": "x/y", "dataset_trust_remote_code": True, "normalize_activations": "none",
            "dtype": "float32", "device": "cuda", "sae_lens_training_version": "3.5.0",
        },
    ),
    "version 4, top k": (
        "topk",
        {"k": 6, "bias": 0.0},
        {
            "architecture": "standard", "d_in": 32, "d_sae": 64, "activation_fn_str": "topk",
            "activation_fn_kwargs": {"k": 6},
            "apply_b_dec_to_input": True, "finetuning_scaling_factor": False,
            "context_size": 128, "model_name": "tiny", "hook_name": "blocks.1.hook_resid_pre", "hook_layer": 1,
            "hook_head_index": None, "prepend_bos": True, "dataset_path": "x/y", "normalize_activations": "none",
            "dtype": "torch.float32", "device": "cpu", "sae_lens_training_version": "4.0.0",
            "model_from_pretrained_kwargs": {"center_writing_weights": False},
        },
    ),
    "version 5, JumpReLU": (
        "jumprelu",
        {"normalize_activations": "layer_norm"},
        {
            "architecture": "jumprelu", "d_in": 32, "d_sae": 64, "activation_fn": "relu", "activation_fn_kwargs": {},
            "apply_b_dec_to_input": True, "finetuning_scaling_factor": False, "context_size": 64, "model_name": "tiny",
            "hook_name": "blocks.1.hook_resid_pre", "hook_layer": 1, "hook_head_index": None, "prepend_bos": True,
            "dataset_path": "x/y", "normalize_activations": "layer_norm", "dtype": "float32", "device": "cpu",
            "sae_lens_training_version": "5.9.1", "seqpos_slice": [None], "neuronpedia_id": None,
            "reshape_activations": "none",
        },
    ),
    "version 5, gated": (
        "gated",
        {},
        {
            "architecture": "gated", "d_in": 32, "d_sae": 64, "activation_fn_str": "relu", "apply_b_dec_to_input": True,
            "context_size": 64, "hook_name": "blocks.1.hook_resid_pre", "hook_layer": 1, "hook_head_index": None,
            "dtype": "float32", "device": "cpu", "normalize_activations": "none", "finetuning_scaling_factor": False,
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("era", sorted(ERAS))
def test_configurations_of_older_versions(tmp_path, era):
    """The same values as the same weights with a configuration of version 6; what it says is kept, and no more."""
    from sae_lens import SAE

    kind, options, old = ERAS[era]
    options = {"bias": -0.2} | options
    folder = tiny.sae(tmp_path / "sae", kind, **options)
    now, x = SAE.load_from_disk(folder), inputs()
    with torch.no_grad():
        expected = now.encode(x.view(-1, 4, 8)) if "hook_z" in era else now.encode(x)
    if era == "early 2024":  # files of that time have a factor of ones
        state = load_file(folder / "sae_weights.safetensors")
        save_file(state | {"scaling_factor": torch.ones(N)}, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text(json.dumps(old))
    ours = loaded(folder)
    assert torch.equal(ours.encode(x), expected) and (expected > 0).any()
    assert ours.hook == old.get("hook_name", old.get("hook_point")) and ours.architecture == kind
    assert (ours.said.context, ours.said.prepend_bos) == (old["context_size"], old.get("prepend_bos"))
