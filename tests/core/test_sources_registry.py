"""Everything that SAELens registers is either a source, bit for bit its own, or refused with a reason."""

from __future__ import annotations

import pytest
import torch

from core.catalog.manifest import WeightsSpec
from core.errors import BadConfig
from core.sources.saelens import load_sae
from tests import tiny

STATE = {
    "standard": "is read", "gated": "is read", "topk": "is read", "abstopk": "is read", "jumprelu": "is read",
    "matching_pursuit": "is read", "transcoder": "is read", "skip_transcoder": "is read",
    "jumprelu_transcoder": "is read", "jumprelu_skip_transcoder": "is read",
    "temporal": r"temporal cannot be built: its value at a token depends on the tokens before it",
}  # fmt: skip
"""Architectures for inference. Those for training alone, below, are saved as jumprelu."""
OPTIONS = {
    "topk": {"k": 9, "bias": 0.0}, "abstopk": {"k": 9, "bias": 0.0},
    "temporal": {"n_heads": 4, "bottleneck_factor": 8, "kval_topk": 4},
}  # fmt: skip


def test_the_table_is_saelens_registry():
    import sae_lens  # registers them  # noqa: F401
    from sae_lens.registry import SAE_CLASS_REGISTRY, SAE_TRAINING_CLASS_REGISTRY

    assert set(STATE) == set(SAE_CLASS_REGISTRY), "a new architecture of SAELens needs a line here, and a decision"
    assert set(SAE_TRAINING_CLASS_REGISTRY) - set(SAE_CLASS_REGISTRY) == {"batchtopk", "matryoshka_batchtopk"}


@pytest.mark.parametrize("kind", sorted(STATE))
def test_each_is_encoded_and_decoded_as_saelens_does_or_refused(tmp_path, kind):
    from sae_lens import SAE

    hook = "blocks.1.mlp.hook_in" if "transcoder" in kind else "blocks.1.hook_resid_pre"
    folder = tiny.sae(tmp_path / "sae", kind, hook=hook, **({"bias": -0.2} | OPTIONS.get(kind, {})))
    if STATE[kind] != "is read":
        with pytest.raises(BadConfig, match=STATE[kind]):
            load_sae(WeightsSpec(kind="sae", path=str(folder)), "cpu")
        return
    ours, theirs = load_sae(WeightsSpec(kind="sae", path=str(folder)), "cpu"), SAE.load_from_disk(folder)
    x = 3 * torch.randn(30, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs.encode(x)
        assert torch.equal(ours.encode(x), expected)
        acts, out = ours.reconstruct(x)
        assert torch.equal(acts, expected) and torch.equal(out, theirs(x))
        if "skip" not in kind:
            assert torch.equal(out, theirs.decode(expected))
    assert 0 < float((expected != 0).float().mean()) < 1
    assert bool((expected < 0).any()) == (kind == "abstopk") == ours.signed


def test_values_and_what_is_written_of_a_signed_sae(tmp_path):
    folder = tiny.sae(tmp_path / "sae", "abstopk", k=9, bias=0.0)
    ours = load_sae(WeightsSpec(kind="sae", path=str(folder)), "cpu")
    x, some = 3 * torch.randn(7, 32), torch.tensor([3, 60])
    assert torch.equal(ours.values(x, some), ours.encode(x)[:, some])
    change = torch.randn(7, 2)
    torch.testing.assert_close(ours.written(x, change, some), change @ ours.W_dec[some])
