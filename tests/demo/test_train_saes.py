"""The demo's SAE training: the fast step against SAELens's own, the weights on disk, and which activations are seen."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from sae_lens import SAE, BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from transformer_lens.model_bridge import TransformerBridge
from transformers import GPT2Config, GPT2LMHeadModel

from demo.training import train_saes
from demo.training.train_saes import FastBatchTopKTrainingSAE, Recipe

WIDTH, FEATURES, ROWS = 16, 96, 256


def pair(dead: int) -> tuple[FastBatchTopKTrainingSAE, BatchTopKTrainingSAE, TrainStepInput]:
    """Our SAE and SAELens's with the same weights, and a batch."""
    saes = []
    for kind in (FastBatchTopKTrainingSAE, BatchTopKTrainingSAE):
        torch.manual_seed(0)
        sae = kind(BatchTopKTrainingSAEConfig(d_in=WIDTH, d_sae=FEATURES, k=5.0, aux_loss_coefficient=0.25))
        with torch.no_grad():
            sae.W_dec.copy_(torch.randn_like(sae.W_dec))
            sae.W_enc.copy_(torch.randn_like(sae.W_enc))
            sae.b_enc.copy_(torch.randn_like(sae.b_enc))
            sae.b_dec.copy_(torch.randn_like(sae.b_dec))
        saes.append(sae)
    torch.manual_seed(1)
    mask = torch.zeros(FEATURES, dtype=torch.bool)
    mask[torch.randperm(FEATURES)[:dead]] = True
    step = TrainStepInput(torch.randn(ROWS, WIDTH), {}, mask, 0, False)
    return saes[0], saes[1], step


@pytest.mark.parametrize("dead", [0, 3, 50])
def test_step_equals_saelens(dead: int) -> None:
    fast, theirs, step = pair(dead)
    ours, reference = fast.training_forward_pass(step), theirs.training_forward_pass(step)
    assert FastBatchTopKTrainingSAE.SAMPLE >= ROWS  # all rows take part in the threshold
    norm = theirs.W_dec.norm(dim=-1).detach()
    assert torch.allclose(ours.feature_acts, reference.feature_acts.detach(), atol=1e-4)
    assert torch.allclose(ours.hidden_pre, reference.hidden_pre.detach(), atol=1e-4), norm
    assert ours.loss.item() == pytest.approx(reference.loss.item(), rel=1e-5)
    ours.loss.backward()
    reference.loss.backward()
    for name, parameter in theirs.named_parameters():
        other = dict(fast.named_parameters())[name]
        assert torch.allclose(other.grad, parameter.grad, rtol=1e-3, atol=1e-3), name


def test_trains_calibrates_and_saves(tmp_path: Path) -> None:
    values = data()
    recipe = Recipe(k=4.0, width=FEATURES, tokens=300 * 512, batch=512, lr=5e-3)
    sae = train_saes.train_layer(values, 2, recipe)
    train_saes.calibrate(sae, values, recipe.k)
    train_saes.save(sae, tmp_path / "2-res")
    loaded = SAE.load_from_disk(tmp_path / "2-res")
    assert loaded.cfg.architecture() == "jumprelu"
    assert loaded.cfg.metadata.hook_name == "blocks.2.hook_resid_pre"
    assert loaded.dtype == torch.float32
    assert all(torch.equal(p, p.half().float()) for p in loaded.parameters())  # float16 on disk loses nothing again

    x = torch.from_numpy(values).float()
    with torch.no_grad():
        features = loaded.encode(x)
        error = (x - loaded.decode(features)).square().sum() / (x - x.mean(0)).square().sum()
        before = sae.encode_with_hidden_pre(x)[1]
    assert float((features > 0).float().sum(1).mean()) == pytest.approx(4.0, rel=0.05)
    assert float(error) < 0.15
    active = features > 0
    assert torch.allclose(features[active], before[active], rtol=5e-3, atol=5e-3)
    assert torch.allclose(loaded.W_dec.norm(dim=1), torch.ones(FEATURES), atol=1e-2)


def data() -> np.ndarray:
    rng = np.random.default_rng(0)
    codes = rng.random((20_000, 48)) * (rng.random((20_000, 48)) < 0.08)
    return (codes @ rng.standard_normal((48, WIDTH)) + 1).astype(np.float16)


def test_a_trained_sae_is_the_same_after_it_was_widened_and_made_ready_again() -> None:
    """But for the features that were placed anew, each with a decoder row of length one."""
    values, scale = data(), 0.7
    sae, _, _ = pair(0)
    with torch.no_grad():
        sae.b_enc[:5] = -1e3  # never active
        x = torch.from_numpy(values[:500]).float()
        before = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
        length = sae.W_dec.norm(dim=-1)
        made = train_saes.wider(sae, 20)
        kept = made.cfg.d_sae - 20
        assert kept == FEATURES and not made.W_enc[:, kept:].any()
        count = train_saes.place_dead(made, values, scale, seed=0, sample=8192)
        after = (x * scale - made.b_dec) @ made.W_enc + made.b_enc
    assert 25 <= count < 60
    assert torch.allclose(made.W_dec.norm(dim=-1), torch.ones(FEATURES + 20), atol=1e-4)
    same = torch.isclose(after[:, :kept], before * length * scale, atol=1e-3).all(dim=0)
    assert int(same.sum()) == kept - (count - 20) and not same[:5].any()


def test_two_parts_train_to_a_wider_sae_that_explains_more() -> None:
    values = data()
    recipe = Recipe(k=4.0, width=12, tokens=200 * 512, batch=512, lr=5e-3, last_k=4.0)
    explained = []
    for parts in (recipe, Recipe(**{**asdict(recipe), "again": 200 * 512, "added": 84})):
        sae = train_saes.train_layer(values, 3, parts)
        x = torch.from_numpy(values).float()
        with torch.no_grad():
            left = x - sae.decode(sae.encode(x))
        explained.append(1 - float(left.square().sum() / (x - x.mean(0)).square().sum()))
        assert sae.cfg.d_sae == parts.width + parts.added
    assert explained[1] > explained[0] + 0.02


def test_layers_see_what_the_bridge_gives(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=60, n_positions=32, n_embd=16, n_layer=3, n_head=2)).eval()
    model.save_pretrained(tmp_path)
    bridge = TransformerBridge.boot_transformers(str(tmp_path), device="cpu", hf_model=model, tokenizer=None)
    rows = np.random.default_rng(0).integers(1, 60, (4, 12)).astype(np.uint16)
    rows[:, 0] = 0
    rows[1, 5] = 0  # a document's end inside a row is left out like BOS
    ours = train_saes.residuals(model, rows)
    ids = torch.from_numpy(rows.astype(np.int64))
    with torch.no_grad():
        _, cache = bridge.run_with_cache(ids)
    assert len(ours) == 3
    for layer, values in enumerate(ours):
        theirs = cache[f"blocks.{layer}.hook_resid_pre"][ids != 0]
        assert values.shape == theirs.shape == (4 * 11 - 1, 16)
        assert torch.allclose(values.float(), theirs, atol=2e-2), layer  # bfloat16 products
