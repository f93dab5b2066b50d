"""What steering asks of a source: some features' values, and what comes out more where they change.

By definition these are columns of SAELens's `encode`, and the difference of two of its `decode`s.
"""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.models import loading
from core.models.capture import capture, pad
from core.sources import dictionary
from core.sources.directions import Directions
from core.sources.screen import Screen
from tests import tiny
from tests.core.test_sources import NORMS, VARIANTS, inputs, loaded, theirs, written

EVERY = [
    *VARIANTS,
    *[(kind, {"normalize_activations": norm}) for kind in tiny.SPARSE for norm in NORMS],
    ("topk", {"normalize_activations": "layer_norm", "rescale_acts_by_decoder_norm": True}),
    ("jumprelu", {"normalize_activations": "layer_norm", "apply_b_dec_to_input": False}),
]
NAMES = [f"{k}-{'-'.join(map(str, o.values()))}" for k, o in EVERY]


@torch.no_grad()
def decoded(sae, x, acts):
    """SAELens's `decode`; its `encode` keeps of the input what that takes away again."""
    sae.encode(x)
    return sae.decode(acts)


def some(width=64):
    """Indices in no order."""
    return torch.tensor([5, 0, width - 1, 17, 3, 41])


def close(ours, expected) -> None:
    """Up to the order of a sum."""
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max() + 1e-3))


@pytest.mark.parametrize(("kind", "options"), EVERY, ids=NAMES)
def test_values_are_columns_of_encode(tmp_path, kind, options):
    folder = written(tmp_path, kind, options)
    ours, sae, x = loaded(folder), theirs(folder), inputs()
    with torch.no_grad():
        expected = sae.encode(x)
    active = (expected > 0).sum(0).argsort(descending=True)
    assert (expected[:, active[:3]] > 0).any(), "not all are 0"
    for indices in (some(), active[:7], torch.tensor([9])):
        close(ours.values(x, indices), expected[:, indices])
    if "normalize_activations" not in options:  # no mean and no length of nothing
        assert ours.values(x[:0], some()).shape == (0, 6)
    assert torch.equal(ours.values(x, some()), ours.values(x, some())), "and nothing is left behind"


@pytest.mark.parametrize(("kind", "options"), EVERY, ids=NAMES)
def test_written_is_the_difference_of_two_decodes(tmp_path, kind, options):
    """From what the features are to what they are to be, and from nothing."""
    folder = written(tmp_path, kind, options)
    ours, sae, x = loaded(folder), theirs(folder), inputs(3)
    with torch.no_grad():
        acts = sae.encode(x)
    for indices in (some(), (acts > 0).sum(0).argsort(descending=True)[:5], torch.tensor([9])):
        for begin in (acts, torch.zeros_like(acts)):
            wanted = 4 * torch.rand(len(x), len(indices), generator=torch.Generator().manual_seed(1)) - 1
            other = begin.clone()
            other[:, indices] = wanted
            expected = (decoded(sae, x, other) - decoded(sae, x, begin)).float()
            found = ours.written(x, wanted - begin[:, indices], indices)
            scale = decoded(sae, x, other).abs().max()  # of which the difference is a difference
            assert found.dtype == torch.float32
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=float(3e-6 * scale))
    assert not ours.written(x, torch.zeros(len(x), 6), some()).any()
    assert not {"ln_mu", "ln_std", "x_norm_coeff"} & set(ours.sae.__dict__)


@pytest.mark.parametrize("kind", ["standard", "jumprelu", "topk"])
def test_heads_come_flattened(tmp_path, kind):
    options = {"k": 9, "bias": 0.0} if kind == "topk" else {"bias": -0.2}
    folder = tiny.sae(tmp_path / "sae", kind, hook="blocks.1.attn.hook_z", reshape_activations="hook_z", **options)
    ours, sae = loaded(folder), theirs(folder)
    x = 3 * torch.randn(7, 4, 8)
    with torch.no_grad():
        acts = sae.encode(x)
        close(ours.values(x.flatten(1), some()), acts[:, some()])
        other = acts.clone()
        other[:, some()] += 2.0
        expected = decoded(sae, x, other) - decoded(sae, x, acts)
        scale = float(decoded(sae, x, other).abs().max())
    found = ours.written(x.flatten(1), torch.full((7, 6), 2.0), some())
    torch.testing.assert_close(found, expected.flatten(1), rtol=1e-4, atol=3e-6 * scale)


@pytest.mark.parametrize("kind", ["standard", "jumprelu"])
def test_what_is_screened_has_the_same_values(tmp_path, kind):
    """The screen puts the encoder's weights down in another order, and shares them."""
    folder = written(tmp_path, kind, {})
    ours, x = loaded(folder), inputs()
    before = ours.values(x, some())
    Screen(ours)
    close(ours.values(x, some()), before)


def test_values_of_a_half_precision_activation(tmp_path):
    ours = loaded(written(tmp_path, "standard", {}))
    x = inputs().bfloat16()
    close(ours.values(x.float(), some()), ours.encode(x.float())[:, some()])


def test_threads_do_not_meet_in_what_saelens_leaves(tmp_path):
    ours = loaded(tiny.sae(tmp_path / "sae", "standard", normalize_activations="layer_norm", bias=-0.2))
    many = [inputs(seed) * (seed + 1) for seed in range(6)]
    change = torch.ones(40, 6)
    expected = [ours.written(x, change, some()) for x in many]
    wrong = []

    def work(n: int) -> None:
        for _ in range(40):
            ours.encode(many[(n + 1) % 6])
            if not torch.equal(ours.written(many[n], change, some()), expected[n]):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(1, 9), indices=st.lists(st.integers(0, 4), min_size=1, max_size=5, unique=True))
def test_directions(rows, indices):
    torch.manual_seed(rows)
    source, x = Directions(torch.randn(5, 32), "blocks.1.hook_resid_pre"), torch.randn(rows, 32)
    chosen = torch.tensor(indices)
    close(source.values(x, chosen), source.encode(x)[:, chosen])
    change = torch.randn(rows, len(indices))
    expected = torch.einsum("nk,kd->nd", change, source.W_dec[chosen])
    torch.testing.assert_close(source.written(x, change, chosen), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt", "gemma2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_neurons(tmp_path, family, dtype):
    """Their rows are what the MLP writes for one more of a neuron, at `hook_out`."""
    folder = tiny.model(tmp_path / "m", family, scale=4.0)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)), dtype=dtype)
    source = dictionary.load(WeightsSpec(kind="neurons", hook="blocks.1.mlp.hook_post"), model)
    x = capture(model, pad([[0, 5, 9]]), [source.hook])[source.hook][0]
    chosen = torch.tensor([7, 40])
    assert torch.equal(source.values(x, chosen), source.encode(x)[:, chosen])
    change = torch.randn(3, 2)
    ids, seen = torch.tensor([[0, 5, 9]]), {}

    def add(value, hook):
        value = value.clone()
        value.view(3, -1)[:, chosen] += change.to(value.dtype)
        return value

    def keep(value, hook):
        seen.setdefault(hook.name, []).append(value.clone())

    with torch.no_grad():
        model.bridge.run_with_hooks(ids, fwd_hooks=[(source.hook_out, keep)])
        model.bridge.run_with_hooks(ids, fwd_hooks=[(source.hook, add), (source.hook_out, keep)])
    (found,) = seen.values()
    near = {"float32": 1e-4, "bfloat16": 0.05}[dtype]
    expected = (found[1].float() - found[0].float()).reshape(3, -1)
    torch.testing.assert_close(source.written(x.float(), change, chosen), expected, rtol=near, atol=near)
