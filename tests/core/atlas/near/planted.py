"""A tiny model with sources whose relations are known: twins permuted and scaled, split rows, duplicates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

WIDTH, WIDE = 48, 96
ORDER = np.random.default_rng(5).permutation(WIDTH)
"""Feature `ORDER[i]` of `0-res` is feature i of `1-res`."""
BROKEN, TAKEN, RIVAL = 4, 9, 10
"""Features of `1-res`: without a twin; whose twin's own best is `RIVAL`."""
SCALE = 3.0
SPLIT, WEIGHTS = {0: (0, 1), 1: (2, 3), 2: (4, 5)}, (0.8, 0.6)
"""Features of `1-res` and the two of `1-wide` that they are sums of."""
COPY, OF = 90, 60
"""In `1-wide` a near-duplicate of another."""
LIKE_NEURON, NEURON = 11, 17
"""A feature of `1-res` that writes as a neuron of layer 0 does."""
ZERO = 40
"""A feature of `1-res` whose decoder row is nothing."""
WRITER, READER = 20, 21
"""A feature of `0-res` that writes what one of `1-wide` reads."""

CONFIG = """
model: {id: tiny, path: model}
release: {name: planted, description: For tests., creator: Featurescope}
sources:
  - {id: 0-res, sae: {path: twin}}
  - {id: 1-res, sae: {path: own}}
  - {id: 1-wide, sae: {path: wide}}
  - {id: 0-tc, sae: {path: tc}}
  - {id: 1-query, sae: {path: query}}
  - {id: 0-neurons, neurons: blocks.0.mlp.hook_post}
  - {id: 1-neurons, neurons: blocks.1.mlp.hook_post}
dataset: {path: texts.txt}
prompts: 12
context: 32
cut: chunks
annotate: false
"""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "sae_weights.safetensors")


def keep(folder: Path, state: dict[str, torch.Tensor]) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, folder / "sae_weights.safetensors")


def write(folder: Path) -> Path:
    """Weights, texts and configuration; the configuration's path."""
    tiny.model(folder / "model")
    own = tiny.sae(folder / "own", width=WIDTH, seed=1)
    twin = tiny.sae(folder / "twin", width=WIDTH, seed=2, hook="blocks.0.hook_resid_pre")
    wide = tiny.sae(folder / "wide", width=WIDE, seed=3, bias=0.0)
    tiny.sae(folder / "tc", "transcoder", width=24, seed=4, hook="blocks.0.mlp.hook_in")
    tiny.sae(folder / "query", width=24, seed=6, hook="blocks.1.attn.hook_q")
    a, b, c = weights(own), weights(twin), weights(wide)
    model = load_file(folder / "model" / "model.safetensors")
    a["W_dec"][LIKE_NEURON] = 2 * model["transformer.h.0.mlp.c_proj.weight"][NEURON]
    a["W_dec"][ZERO] = 0
    unit = c["W_dec"] / c["W_dec"].norm(dim=1, keepdim=True)
    c["W_dec"][COPY] = 0.5 * unit[OF] + 0.05 * unit[OF + 1]
    for at, (p, q) in SPLIT.items():
        unit[q] -= (unit[q] @ unit[p]) * unit[p]
        unit[q] /= unit[q].norm()
        c["W_dec"][q] = 1.7 * unit[q]
        a["W_dec"][at] = WEIGHTS[0] * unit[p] + WEIGHTS[1] * unit[q]
    b["W_dec"][ORDER] = SCALE * a["W_dec"]
    b["W_enc"][:, ORDER] = a["W_enc"] / SCALE
    rng = torch.Generator().manual_seed(7)
    b["W_dec"][ORDER[BROKEN]] = torch.randn(32, generator=rng)
    a["W_dec"][RIVAL] = a["W_dec"][TAKEN] / a["W_dec"][TAKEN].norm() + 0.2 * unit[OF]
    b["W_dec"][ORDER[TAKEN]] = a["W_dec"][RIVAL] + 0.02 * unit[OF + 2]
    b["W_dec"][ORDER[RIVAL]] = torch.randn(32, generator=rng)
    c["W_enc"][:, READER] = -2 * b["W_dec"][WRITER]
    for place, state in ((own, a), (twin, b), (wide, c)):
        keep(place, state)
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(tiny.LINES * 2), encoding="utf-8")
    config = folder / "planted.yaml"
    config.write_text(CONFIG, encoding="utf-8")
    return config


def build(folder: Path) -> Workbench:
    """A workbench over them."""
    config = write(folder)
    bench = Workbench(Settings(data=folder / "data", demo=None))
    bench.build(config)
    return bench
