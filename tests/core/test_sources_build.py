"""Every kind of source from configuration to feature: what the build keeps and a test gives is SAELens's.

One model, one build with all kinds at all sorts of hooks; the values come from TransformerLens's bridge and SAELens.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from core.interchange import neuronpedia
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

MLP_IN, RESID, HEADS = "blocks.1.mlp.hook_in", "blocks.1.hook_resid_pre", "blocks.1.attn.hook_z"
SAES = {
    "1-standard": ("standard", RESID, {}),
    "1-gated": ("gated", RESID, {}),
    "1-jumprelu": ("jumprelu", RESID, {"apply_b_dec_to_input": False}),
    "1-topk": ("topk", RESID, {"k": 7, "bias": 0.0, "rescale_acts_by_decoder_norm": True}),
    "1-pursuit": ("matching_pursuit", RESID, {"max_iterations": 5}),
    "1-normed": ("standard", RESID, {"normalize_activations": "layer_norm"}),
    "1-transcoder": ("transcoder", MLP_IN, {}),
    "1-skip": ("skip_transcoder", MLP_IN, {}),
    "1-jump-transcoder": ("jumprelu_transcoder", MLP_IN, {}),
    "1-heads": ("standard", HEADS, {"reshape_activations": "hook_z"}),
    "1-abs": ("abstopk", RESID, {"k": 5, "bias": 0.0}),
    "0-mlp": ("standard", "blocks.0.mlp.hook_post", {"d_in": 128}),
}
TEXT = "It’s a fine day 🙂 in Zürich, isn’t it?"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """(workbench, folder)."""
    folder = tmp_path_factory.mktemp("kinds")
    tiny.model(folder / "model", scale=8.0)
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(12)), encoding="utf-8")
    for name, (kind, hook, options) in SAES.items():
        tiny.sae(folder / name, kind, hook=hook, **{"bias": -0.3} | options)
    torch.manual_seed(3)
    save_file({"rows": torch.randn(5, 32)}, folder / "dirs.safetensors")
    sources = [{"id": name, "sae": {"path": name}} for name in SAES]
    sources += [{"id": "1-dirs", "directions": {"path": "dirs.safetensors", "hook": RESID}}]
    sources += [{"id": "1-neurons", "neurons": "blocks.1.mlp.hook_post"}]
    config = {
        "model": {"id": "tiny", "path": "model"}, "sources": sources, "dataset": {"path": "texts.txt"}, "context": 24,
    }  # fmt: skip
    (folder / "build.yaml").write_text(yaml.safe_dump(config))
    bench = Workbench(Settings(data=folder / "data", demo=None))
    bench.build(folder / "build.yaml")
    return bench, folder


@pytest.fixture(scope="module")
def bridge(place):
    from transformer_lens.model_bridge import TransformerBridge

    return TransformerBridge.boot_transformers(str(place[1] / "model"), device="cpu")


def values(folder, bridge, name, ids):
    """[tokens, width] of one prompt, run alone; SAELens sees the heads where there are some."""
    from sae_lens import SAE

    hook = SAES[name][1] if name in SAES else RESID if name == "1-dirs" else "blocks.1.mlp.hook_post"
    with torch.no_grad():
        x = bridge.run_with_cache(torch.tensor([ids]))[1][hook]
        if name == "1-dirs":
            return (x[0] @ load_file(folder / "dirs.safetensors")["rows"].T).numpy()
        return (x if name == "1-neurons" else SAE.load_from_disk(folder / name).eval().encode(x))[0].numpy()


NAMES = [*SAES, "1-dirs", "1-neurons"]


@pytest.mark.parametrize("name", NAMES)
def test_what_is_kept_and_what_a_test_gives(place, bridge, name):
    bench, folder = place
    source = bench.source(f"tiny/{name}")
    prompts = [bench.prompt(source.key, n) for n in range(source.prompts)]
    rows = [values(folder, bridge, name, [t.id for t in p]) for p in prompts]
    counted = np.concatenate([[not t.special for t in p] for p in prompts])
    every = np.concatenate(rows)[counted]
    assert source.tokens == len(every)
    for i in range(0, source.width, 3):
        record = bench.feature(f"tiny/{name}/{i}")
        np.testing.assert_allclose(record.maximum, every[:, i].max(), rtol=1e-4, atol=2e-4)
        if source.signed:
            np.testing.assert_allclose(record.minimum, every[:, i].min(), rtol=1e-4, atol=2e-4)
            np.testing.assert_allclose(record.mean, every[:, i].mean(), rtol=1e-3, atol=1e-3)
            if name == "1-abs":  # kept is all that is not zero
                assert abs(record.active - int((every[:, i] != 0).sum())) <= int((np.abs(every[:, i]) < 1e-3).sum() > 0)
            continue
        near = np.abs(every[:, i]) < 1e-4
        assert abs(record.active - int((every[:, i] > 0).sum())) <= int((near & (every[:, i] > 0)).sum())
        for example in record.groups[0].examples[:3] if record.groups else ():
            np.testing.assert_allclose(example.value, rows[example.prompt][example.position, i], rtol=1e-4, atol=2e-4)
    (test,) = bench.test(f"tiny/{name}/1", TEXT)
    np.testing.assert_allclose(
        test.values, values(folder, bridge, name, [t.id for t in test.tokens])[:, 1], rtol=1e-4, atol=2e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_what_is_said_of_a_kind(place, name):
    bench, _ = place
    source = bench.source(f"tiny/{name}")
    kinds = {"1-transcoder": "transcoder", "1-skip": "transcoder", "1-jump-transcoder": "transcoder"}
    expected = kinds.get(name, {"1-dirs": "directions", "1-neurons": "neurons"}.get(name, "sae"))
    assert source.kind == expected and source.signed == (expected in ("directions", "neurons") or name == "1-abs")
    assert ("greater than zero" in source.active) != source.signed
    assert ("every token" in source.active) == source.signed
    record = bench.feature(f"tiny/{name}/1")
    assert json.loads(json.dumps(neuronpedia.feature(record)))["layer"] == name


@pytest.mark.parametrize("name", list(SAES))
def test_each_can_be_evaluated(place, name):
    figures, with_bos = place[0].evaluate(f"tiny/{name}")
    if name == "1-abs":
        assert figures.l0 == 5, "either sign is active"
    assert figures.tokens == place[0].source(f"tiny/{name}").tokens < with_bos.tokens
    assert np.isfinite([figures.l0, figures.explained_variance, figures.ce_loss_score]).all()
