"""The demo's other dictionaries: what is saved computes what was trained, and says what it reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from sae_lens import SAE, BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from sae_lens.saes.transcoder import JumpReLUTranscoder

from demo.training import train_more, train_saes
from demo.training.train_more import JOBS, TranscoderInTraining

DEMO = Path(__file__).resolve().parents[2] / "demo"
D, WIDTH, TOKENS = 8, 32, 4096
SMALL = replace(train_more.TRANSCODER, width=WIDTH, tokens=40_960, batch=512, k=4.0, last_k=4.0)
TRANSCODER = replace(next(job for job in JOBS if job.name == "1-mlp"), recipe=SMALL)
Z = replace(next(job for job in JOBS if job.name == "1-att"), recipe=replace(SMALL, distinct=TOKENS))


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Inputs of size 3, and outputs of size 0.2 that are a rectified product of them."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((TOKENS, D)) * 3
    y = np.maximum(x @ rng.standard_normal((D, WIDTH)), 0) @ rng.standard_normal((WIDTH, D)) * 0.01 + 0.1
    return np.concatenate([x, y], axis=1).astype(np.float16)


def test_folding_keeps_what_the_transcoder_computes(values):
    """The saved transcoder's output, in the outputs' scale, is the training forward's at the saved threshold."""
    torch.manual_seed(0)
    of_input, of_output = 0.3, 11.0
    config = BatchTopKTrainingSAEConfig(
        d_in=D, d_sae=WIDTH, k=4, normalize_activations="none", apply_b_dec_to_input=False
    )
    sae = TranscoderInTraining(config)
    with torch.no_grad():
        for parameter in sae.parameters():
            parameter.copy_(torch.randn_like(parameter))
    x, y = torch.from_numpy(values).float().chunk(2, dim=-1)
    made = train_more.folded(sae, x * of_input, of_input, of_output, TRANSCODER)
    sae.threshold_of = lambda pre: float(made.threshold[0]) * of_output  # type: ignore[method-assign]
    rows = torch.cat([x * of_input, y * of_output], dim=-1)
    with torch.no_grad():
        step = sae.training_forward_pass(
            TrainStepInput(
                sae_in=rows, coefficients={}, dead_neuron_mask=None, n_training_steps=0, is_logging_step=False
            )
        )
        torch.testing.assert_close(made(x) * of_output, step.sae_out, rtol=1e-4, atol=1e-4)
        assert float((made.encode(x) > 0).float().sum(-1).mean()) == pytest.approx(4, abs=0.01)


def test_a_transcoder_learns_and_is_saved_whole(values, tmp_path):
    made = train_more.train_transcoder(values, TRANSCODER)
    train_saes.save(made, tmp_path / "1-mlp")
    read = JumpReLUTranscoder.load_from_disk(str(tmp_path / "1-mlp"))
    x, y = torch.from_numpy(values).float().chunk(2, dim=-1)
    with torch.no_grad():
        missing = (read(x) - y).pow(2).sum() / (y - y.mean(0)).pow(2).sum()
        off = (read(x) - made(x)).abs().amax(dim=-1)
    assert (off < 0.02).float().mean() > 0.99  # float16; a feature near its threshold may fall on its other side
    assert missing < 0.5
    assert read.cfg.metadata.hook_name == "blocks.1.mlp.hook_in"
    assert read.cfg.metadata.hook_name_out == "blocks.1.hook_mlp_out"


def test_an_sae_of_heads_says_that_they_lie_side_by_side(values, tmp_path):
    made = train_more.train_sae(values[:, :D], Z)
    train_saes.save(made, tmp_path / "1-att", **train_more.settings(Z))
    assert json.loads((tmp_path / "1-att" / "cfg.json").read_text())["reshape_activations"] == "hook_z"
    read = SAE.load_from_disk(str(tmp_path / "1-att"))
    assert read.cfg.metadata.hook_name == "blocks.1.attn.hook_z"
    x = torch.from_numpy(values[:, :D]).float()
    with torch.no_grad():
        rebuilt = read(x.reshape(1, TOKENS, 2, D // 2))
    assert rebuilt.shape == (1, TOKENS, 2, D // 2)
    assert (rebuilt.reshape(x.shape) - x).pow(2).sum() / (x - x.mean(0)).pow(2).sum() < 0.5


def test_the_other_builds_are_of_what_is_trained():
    more = yaml.safe_load((DEMO / "more.yaml").read_text(encoding="utf-8"))
    assert {one["id"]: one["sae"]["path"] for one in more["sources"]} == {
        name: f"weights/sae/{name}" for name in train_more.SHIPPED
    }
    names = {job.name for job in JOBS}
    for kind in train_more.KINDS:
        control = yaml.safe_load((DEMO / f"control-{kind}.yaml").read_text(encoding="utf-8"))
        assert control["model"]["randomised"] == kind and control["model"]["id"] == f"scribe-4l-{kind}"
        (one,) = control["sources"]
        assert one["sae"]["path"] == f"weights/control/{one['id']}" and one["id"] in names
        assert {**control, "model": 0, "release": 0, "sources": 0} == {**more, "model": 0, "release": 0, "sources": 0}


def test_the_demo_is_small():
    files = [path for path in DEMO.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) <= 80 * 2**20
