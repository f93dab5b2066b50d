"""What a source takes of a tile: with encoders in bfloat16 the same but for rounding, and the build says so."""

from __future__ import annotations

import json

import numpy as np
import torch
import yaml

from core.build.taking import take
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

ROUNDING = 2.0**-7
"""A product of bfloat16 numbers: each is rounded, and the sum once more."""


def test_encoders_in_bfloat16_round_and_nothing_else(bench):
    source = bench._source_slot(bench.source(tiny.SAE)).get().source
    x = torch.randn(200, source.d_in, generator=torch.Generator().manual_seed(0)) * 3
    whole, half = (take(source, x, None, "tiny", half=half) for half in (False, True))
    np.testing.assert_array_equal(whole.batches[0], half.batches[0])  # the sums are of the activations as they are
    dense = []
    for one in (whole, half):
        assert one.entries.values.dtype == np.float32
        values = np.zeros((len(x), source.width), np.float32)
        values[np.repeat(np.arange(len(x)), one.entries.counts), one.entries.features] = one.entries.values
        dense.append(values)
    room = ROUNDING * float((x.abs() @ source.sae.W_enc.abs()).max())
    assert 0 < np.abs(dense[0] - dense[1]).max() <= room
    assert ((dense[0] > 0) == (dense[1] > 0)).mean() > 0.99


def test_a_build_says_that_its_encoders_were_of_bfloat16(tmp_path):
    config = tiny.write(tmp_path)
    settings = yaml.safe_load(config.read_text())
    stamps = []
    for name in ("float32", "bfloat16"):
        config.write_text(yaml.safe_dump(settings | {"encoders": name, "annotate": False, "map": "none"}))
        Workbench(Settings(data=tmp_path / name, demo=None)).build(config)
        stamps.append(json.loads((tmp_path / name / tiny.SAE / "source.json").read_text())["build"])
    assert stamps[1] == stamps[0] | {"encoders": "bfloat16"}
