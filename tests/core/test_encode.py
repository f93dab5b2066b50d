"""Codes against SAELens's own `encode` in float32, screened or not, whatever the weights and the input."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.sources import encode as module
from core.sources import screen
from core.sources.codes import Dense, Sparse
from core.sources.directions import Directions
from core.sources.encode import Encoder
from core.sources.sae import Sae
from core.sources.screen import Screen, is_worth_it
from tests import tiny

D, WIDTH = 32, 700  # not a multiple of the columns that a thread looks at


def made(kind: str = "standard", *, d_in: int = D, width: int = WIDTH, seed: int = 0, scale: float = 1.0, **options):
    """A SAELens SAE with weights that no two features share."""
    from sae_lens import SAE
    from sae_lens.registry import get_sae_class
    from sae_lens.saes.sae import SAEMetadata

    bias = options.pop("bias", -0.5)
    about = {"model_name": "tiny", "hook_name": "blocks.1.hook_resid_pre"}
    if "transcoder" in kind:
        about["hook_name_out"] = "blocks.1.hook_mlp_out"
        options = {"d_out": d_in, "apply_b_dec_to_input": False} | options
    config = get_sae_class(kind)[1](d_in=d_in, d_sae=width, metadata=SAEMetadata(**about), **options)
    sae = SAE.get_sae_class_for_architecture(kind)(config)
    tiny.randomise(sae, bias=bias, seed=seed)
    with torch.no_grad():
        for name, p in sae.named_parameters():
            if scale != 1 and name in ("W_enc", "b_enc", "threshold"):
                p *= scale
    return sae.eval().requires_grad_(False)


def tokens(n: int, d_in: int = D, *, seed: int = 0, bos: float | None = None, offset: float = 0.0) -> torch.Tensor:
    x = torch.randn(n, d_in, generator=torch.Generator().manual_seed(seed)) + offset
    if bos is not None:
        x[0] *= bos / x[0].norm()
    return x


def screened(sae) -> Encoder:
    """An encoder that screens, whatever the size and the processor."""
    encoder = Encoder(Sae(sae, "0" * 64))
    encoder._screen = Screen(encoder.source)
    return encoder


def theirs(sae, x: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        acts = sae.encode(x)
    return (acts.to_dense() if acts.layout != torch.strided else acts).numpy()


def before(sae, x: torch.Tensor) -> np.ndarray:
    """What meets ReLU and threshold, in float64."""
    wide = x.double()
    if sae.cfg.normalize_activations == "layer_norm":
        wide = wide - wide.mean(-1, keepdim=True)
        wide = wide / (wide.std(-1, keepdim=True) + 1e-5)
    elif sae.cfg.normalize_activations == "constant_norm_rescale":
        wide = wide * (sae.cfg.d_in**0.5 / wide.norm(dim=-1, keepdim=True))
    wide = wide - sae.b_dec.double() * sae.cfg.apply_b_dec_to_input
    return (wide @ sae.W_enc.double() + sae.b_enc.double()).numpy()


def cut(sae) -> np.ndarray:
    threshold = getattr(sae, "threshold", None)
    return np.zeros(sae.cfg.d_sae) if threshold is None else threshold.clamp_min(0).double().numpy()


def dense(codes: Sparse | Dense) -> np.ndarray:
    return codes.of(np.arange(codes.width)).T


def same(codes: Sparse | Dense, sae, x: torch.Tensor) -> None:
    """The same non-zeros but for those that rounding decides, and the same values."""
    found, expected = dense(codes), theirs(sae, x)
    assert found.shape == expected.shape
    differ = (found != 0) != (expected != 0)
    if differ.any():
        near = np.abs(before(sae, x) - cut(sae))
        size = x.norm(dim=1, keepdim=True).numpy() * sae.W_enc.norm(dim=0).numpy()
        assert (near[differ] <= 1e-5 + 1e-6 * size[differ]).all(), "a feature away from its threshold"
    both = (found != 0) & (expected != 0)
    scale = x.norm(dim=1, keepdim=True).numpy() * sae.W_enc.norm(dim=0).numpy()
    error = np.abs(found - expected)
    assert (error[both] <= 1e-6 * np.abs(expected[both]) + 1e-6 * scale[both] + 1e-6).all()
    large = both & (np.abs(expected) > 1e-3 * scale)
    assert (error[large] <= 1e-3 * np.abs(expected[large])).all()


CASES = {
    "standard": ("standard", {}),
    "dense": ("standard", {"bias": 0.5}),
    "sparse": ("standard", {"bias": -4.0}),
    "no b_dec": ("standard", {"apply_b_dec_to_input": False}),
    "layer_norm": ("standard", {"normalize_activations": "layer_norm"}),
    "rescaled": ("standard", {"normalize_activations": "constant_norm_rescale"}),
    "jumprelu": ("jumprelu", {}),
    "jumprelu layer_norm": ("jumprelu", {"normalize_activations": "layer_norm", "bias": 0.0}),
    "narrow": ("standard", {"width": 3}),
    "wide": ("jumprelu", {"width": 1537}),
    "long": ("standard", {"d_in": 300, "width": 64}),
    "large": ("standard", {"scale": 1e6}),
    "small": ("jumprelu", {"scale": 1e-6}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("bos", [None, 3000.0])
def test_screened_codes_are_saelens_own(name, bos):
    kind, options = CASES[name]
    sae = made(kind, **options)
    x = tokens(17, sae.cfg.d_in, bos=bos, offset=0.3)
    codes = screened(sae)(x)
    assert isinstance(codes, Sparse) and codes.tokens == 17 and codes.width == sae.cfg.d_sae
    assert (codes.values > 0).all()
    order = codes.positions.astype(np.int64) * codes.width + codes.features
    assert (np.diff(order) > 0).all(), "by token and then by feature, each once"
    same(codes, sae, x)


@pytest.mark.parametrize("kind", tiny.SPARSE)
@pytest.mark.parametrize("normed", ["none", "layer_norm"])
def test_every_architecture(kind, normed):
    options = {"k": 9, "bias": 0.0} if kind == "topk" else {}
    sae = made(kind, normalize_activations=normed, **options)
    x = tokens(13, bos=3000.0)
    encoder = Encoder(Sae(sae, "0" * 64))
    assert encoder._screen is None, "so small a source is not worth it"
    np.testing.assert_allclose(dense(encoder(x)), theirs(sae, x), rtol=1e-5, atol=1e-5)


def test_directions_are_dense():
    source = Directions(torch.randn(5, D), "blocks.1.hook_resid_pre")
    x = tokens(6)
    codes = Encoder(source)(x)
    assert isinstance(codes, Dense)
    np.testing.assert_allclose(codes.values, x @ source.W_dec.T, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("threshold", [-5.0, -0.0, 0.0, 1e-30, 2.0, 1e30])
def test_thresholds(threshold):
    sae = made("jumprelu")
    sae.threshold.data[::2] = threshold
    x = tokens(9)
    codes = screened(sae)(x)
    same(codes, sae, x)
    if threshold == 1e30:
        assert (codes.features % 2 == 1).all()


def test_values_that_are_their_threshold():
    """Strictly above is active, as in SAELens; a whole number is exact in every precision."""
    sae = made("jumprelu", width=4)
    sae.W_enc.data[:] = 0
    sae.W_enc.data[0] = 1.0
    sae.b_enc.data[:] = torch.tensor([0.0, 1.0, -3.0, -4.0])
    sae.threshold.data[:] = torch.tensor([3.0, 3.0, 0.0, -9.0])
    sae.b_dec.data[:] = 0
    x = torch.zeros(2, D)
    x[:, 0] = torch.tensor([3.0, 4.0])
    expected = [[0, 4, 0, 0], [4, 5, 1, 0]]
    assert theirs(sae, x).tolist() == expected
    assert dense(screened(sae)(x)).tolist() == expected


@pytest.mark.parametrize("values", [1, WIDTH, 3 * WIDTH + 5, 10**9])
@pytest.mark.parametrize("screens", [True, False])
def test_pieces(monkeypatch, values, screens):
    sae = made("standard")
    x = tokens(11)
    encoder = screened(sae) if screens else Encoder(Sae(sae, ""))
    whole = encoder(x)
    monkeypatch.setattr(module, "VALUES", values)
    parts = encoder(x)
    assert np.array_equal(parts.positions, whole.positions) and np.array_equal(parts.features, whole.features)
    np.testing.assert_allclose(parts.values, whole.values, rtol=1e-5, atol=1e-5)
    same(parts, sae, x)


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    d_in=st.sampled_from([1, 2, 7, 32, 96]),
    width=st.integers(1, 90),
    n=st.integers(1, 6),
    bias=st.sampled_from([-2.0, -0.1, 0.0]),
    length=st.sampled_from([1e-8, 1e-3, 1.0, 100.0, 3000.0, 1e8]),
    offset=st.sampled_from([0.0, 1.0, 50.0]),
    threshold=st.sampled_from([None, -1.0, 0.0, 0.3]),
    close=st.booleans(),
)
def test_the_screen_misses_no_active_feature(seed, d_in, width, n, bias, length, offset, threshold, close):
    """The bound is proven; here it is tried, also on features that are active by a hair."""
    sae = made("standard" if threshold is None else "jumprelu", d_in=d_in, width=width, seed=seed % 1000, bias=bias)
    if threshold is not None:
        sae.threshold.data[:] = threshold
    x = tokens(n, d_in, seed=seed, offset=offset) * length
    if close:  # every feature a little above or below its threshold on the first token
        at = torch.from_numpy(before(sae, x)[0] - cut(sae))
        sae.b_enc.data = (sae.b_enc.double() - at * (1 + 1e-5 * torch.randn(len(at)).double())).float()
    codes = screened(sae)(x)
    exact = before(sae, x)
    # Rounding of a float32 product may decide what lies nearer than this.
    unsure = (
        4
        * (d_in + 4)
        * 2.0**-24
        * (
            (x - sae.b_dec * sae.cfg.apply_b_dec_to_input).norm(dim=1, keepdim=True).double().numpy()
            * sae.W_enc.norm(dim=0).double().numpy()
            + np.abs(sae.b_enc.double().numpy())
        )
    )
    active = exact > cut(sae) + unsure
    found = dense(codes)
    assert (found[active] > 0).all(), "missed"
    assert (found[exact < cut(sae) - unsure] == 0).all(), "invented"
    np.testing.assert_array_less(np.abs(found - exact)[active], unsure[active] + 1e-6 * exact[active] + 1e-30)


def test_few_are_computed_again(monkeypatch):
    """The bound is tight enough: on vectors as a model's, little more than is active; BOS is no screen's."""
    sae = made("standard", d_in=256, width=2048, bias=-3.0)
    x = tokens(16, 256, bos=3000.0)
    encoder, whole = screened(sae), []
    monkeypatch.setattr(encoder.source, "encode", lambda y, own=encoder.source.encode: whole.append(len(y)) or own(y))
    counted = []
    monkeypatch.setattr(screen, "_look", lambda *given, own=screen._look: own(*given) or counted.append(given))
    codes = encoder(x)
    same(codes, sae, x)
    assert whole == [1], "BOS alone is encoded in float32"
    rough = counted[0][-1]
    assert rough[0].any() and not rough[1:].any()


def test_bos_is_encoded_once(monkeypatch):
    """However many texts begin with it, and however rounding moves it; another one is another one."""
    sae = made("standard", d_in=64, width=600, bias=-3.0)
    encoder, whole = screened(sae), []
    monkeypatch.setattr(encoder.source, "encode", lambda y, own=encoder.source.encode: whole.append(len(y)) or own(y))
    x = tokens(12, 64)
    x[0] = x[5] = 3000 * tokens(1, 64, seed=7)[0]
    x[5] *= 1 + 1e-7
    same(encoder(x, [0, 5]), sae, x)
    same(encoder(x[5:], [0]), sae, x[5:])
    assert whole == [1]
    x[0] *= 1.01
    same(encoder(x[:5], [0]), sae, x[:5])
    assert whole == [1, 1]
    mixed = encoder(x, [0, 5])  # 5 is not the one that is kept any more
    same(mixed, sae, x)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
@pytest.mark.parametrize("kind", ["standard", "jumprelu"])
def test_numbers_that_are_none_are_not_hidden(kind, value):
    """Where SAELens gives NaN or infinity, so do the codes; the other tokens are as ever."""
    sae = made(kind)
    x = tokens(5)
    x[2, 4] = value
    found, expected = dense(screened(sae)(x)), theirs(sae, x)
    clean = [0, 1, 3, 4]
    np.testing.assert_allclose(found[clean], expected[clean], rtol=1e-5, atol=1e-5)
    assert np.array_equal(np.isfinite(found[2]), np.isfinite(expected[2]))
    assert np.array_equal(np.isnan(found[2]), np.isnan(expected[2]))


# -- what is shared ----------------------------------------------------------------------------------------------------


def test_the_sae_is_as_good_as_before(tmp_path):
    """The screen holds the encoder turned round: whatever else is done with the SAE gives the same, and the caller's
    own can still be saved."""
    from sae_lens import SAE

    sae, fresh = made("jumprelu"), made("jumprelu")
    encoder = screened(sae)
    source, x = encoder.source, tokens(8)
    encoder(x)
    assert torch.equal(source.sae.W_enc, fresh.W_enc) and source.sae.W_enc.shape == (D, WIDTH)
    for own, other in zip(source.reconstruct(x), Sae(fresh, "").reconstruct(x), strict=True):
        torch.testing.assert_close(own, other)
    torch.testing.assert_close(source.encode(x), fresh.encode(x))
    torch.testing.assert_close(source.sae(x), fresh(x))
    assert {k: tuple(v.shape) for k, v in source.sae.state_dict().items()} == {
        k: tuple(v.shape) for k, v in fresh.state_dict().items()
    }
    copied = made("jumprelu", seed=5)
    copied.load_state_dict(source.sae.state_dict())
    torch.testing.assert_close(copied.encode(x), fresh.encode(x))
    sae.save_model(tmp_path / "saved")
    assert torch.equal(SAE.load_from_disk(tmp_path / "saved").W_enc, fresh.W_enc)


def test_the_weights_are_held_once():
    sae = made("standard")
    encoder = screened(sae)
    gone = weakref.ref(sae.W_enc)
    del sae
    gc.collect()
    assert gone() is None and encoder.source.sae.W_enc.data_ptr() == encoder._screen._rows.data_ptr()
    plain = Encoder(Sae(made("standard"), ""))
    extra = encoder.bytes - plain.bytes
    assert D * WIDTH <= extra <= D * WIDTH + 24 * WIDTH


def test_what_the_caller_gave_is_left_alone():
    sae = made("standard", normalize_activations="layer_norm")
    x = tokens(4)
    kept = x.clone()
    screened(sae)(x)
    assert torch.equal(x, kept) and not {"ln_mu", "ln_std", "x_norm_coeff"} & set(sae.__dict__)


@pytest.mark.parametrize("normed", ["none", "layer_norm", "constant_norm_rescale"])
def test_many_threads(normed):
    """Two sources at once from many threads, with NaN nowhere and everybody's own codes."""
    encoders = [screened(made("jumprelu", seed=seed, normalize_activations=normed)) for seed in (1, 2)]
    texts = [tokens(n % 7 + 1, seed=n) for n in range(40)]
    expected = [[dense(encoder(x)) for x in texts] for encoder in encoders]
    begin = threading.Barrier(8)

    def work(seed: int) -> None:
        begin.wait()
        for n in np.random.default_rng(seed).permutation(len(texts)).tolist():
            np.testing.assert_allclose(dense(encoders[seed % 2](texts[n])), expected[seed % 2][n], rtol=1e-4, atol=1e-5)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))


def test_when_it_is_worth_it(monkeypatch):
    source = Sae(made("standard"), "")
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: True)
    assert not is_worth_it(source)
    big = Sae(made("standard", d_in=512, width=2**13), "")
    assert is_worth_it(big) and isinstance(Encoder(big)._screen, Screen)
    assert Encoder(Sae(made("topk", d_in=512, width=2**13, k=5), ""))._screen is None
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False)
    assert not is_worth_it(big)
