"""Every kind of source by its definition: SAEs are SAELens's own `encode`, directions products, neurons themselves."""

from __future__ import annotations

import copy
import json
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadConfig, NotAvailable
from core.models import loading
from core.models.capture import capture, pad
from core.sources import dictionary
from core.sources.directions import load_directions
from core.sources.residual import residual_rows
from core.sources.saelens import load_sae
from tests import tiny

NORMS = ["layer_norm", "constant_norm_rescale", "expected_average_only_in"]
VARIANTS = [
    *[(kind, {}) for kind in tiny.SPARSE],
    ("topk", {"k": 5, "rescale_acts_by_decoder_norm": True}),
    ("topk", {"k": 64}),
    *[(kind, {"apply_b_dec_to_input": False}) for kind in ("standard", "gated", "jumprelu", "topk")],
    *[(kind, {"normalize_activations": norm}) for kind in ("standard", "jumprelu", "transcoder") for norm in NORMS],
    ("topk", {"normalize_activations": "layer_norm", "k": 7}),
    ("gated", {"normalize_activations": "constant_norm_rescale", "apply_b_dec_to_input": False}),
    ("matching_pursuit", {"max_iterations": 4}),
    ("abstopk", {"k": 9, "bias": 0.0}),
    ("abstopk", {"k": 5, "bias": 0.0, "rescale_acts_by_decoder_norm": True}),
    ("standard", {"dtype": "bfloat16"}),
    ("jumprelu", {"dtype": "float16"}),
]


def written(folder, kind, options):
    options = {"bias": -0.2} | options
    if kind == "topk":
        options = {"k": 9, "bias": 0.0} | options
    hook = "blocks.1.mlp.hook_in" if "transcoder" in kind else "blocks.1.hook_resid_pre"
    return tiny.sae(folder / "sae", kind, hook=hook, **options)


def loaded(folder):
    return load_sae(WeightsSpec(kind="sae", path=str(folder)), "cpu")


def theirs(folder):
    from sae_lens import SAE

    return SAE.load_from_disk(folder, dtype="float32").eval()


def inputs(seed=0, rows=40):
    return 3 * torch.randn(rows, 32, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tiny.model(tmp_path_factory.mktemp("sources") / "model", scale=8.0)
    return loading.load(ModelSpec(id="tiny", path=str(folder)))


# -- SAELens -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"), VARIANTS, ids=[f"{k}-{'-'.join(map(str, o.values()))}" for k, o in VARIANTS]
)
def test_values_are_saelens_own_bit_for_bit(tmp_path, kind, options):
    folder = written(tmp_path, kind, options)
    ours, sae, x = loaded(folder), theirs(folder), inputs()
    with torch.no_grad():
        expected = sae.encode(x)
    assert torch.equal(ours.encode(x), expected)
    assert ours.encode(x[3:4]).shape == (1, 64) and torch.allclose(ours.encode(x[None])[0], expected, atol=1e-5)
    assert 0 < float((expected > 0).float().mean()) < 1 or options.get("k") == 64, "the test's SAE does something"
    assert (ours.width, ours.d_in, ours.signed, ours.architecture) == (64, 32, kind == "abstopk", kind)
    assert ours.kind == ("transcoder" if "transcoder" in kind else "sae")
    assert ours.bytes >= 4 * ours.W_dec.numel()
    assert torch.equal(ours.W_dec, load_file(folder / "sae_weights.safetensors")["W_dec"].float())


@pytest.mark.parametrize(
    ("kind", "options"), VARIANTS, ids=[f"{k}-{'-'.join(map(str, o.values()))}" for k, o in VARIANTS]
)
def test_the_reconstruction_is_saelens_forward(tmp_path, kind, options):
    folder = written(tmp_path, kind, options)
    ours, sae, x = loaded(folder), theirs(folder), inputs()
    features, out = ours.reconstruct(x)
    with torch.no_grad():
        assert torch.equal(features, sae.encode(x))
        assert torch.equal(out, sae(x))


@settings(max_examples=40, deadline=None)
@given(data=st.data(), scale=st.floats(1e-3, 1e3), rows=st.integers(1, 9), seed=st.integers(0, 9999))
def test_any_input_of_any_kind(tmp_path_factory, data, scale, rows, seed):
    kind, options = data.draw(st.sampled_from(VARIANTS))
    folder = written(tmp_path_factory.mktemp("any"), kind, options | {"seed": seed})
    x = scale * inputs(seed, rows)
    with torch.no_grad():
        assert torch.equal(loaded(folder).encode(x), theirs(folder).encode(x))


@pytest.mark.parametrize("kind", ["standard", "topk", "jumprelu", "gated"])
def test_heads_are_flattened_as_saelens_flattens_them(tmp_path, kind):
    options = {"k": 9, "bias": 0.0} if kind == "topk" else {"bias": -0.2}
    folder = tiny.sae(tmp_path / "sae", kind, hook="blocks.1.attn.hook_z", reshape_activations="hook_z", **options)
    ours, sae = loaded(folder), theirs(folder)
    x = 3 * torch.randn(2, 5, 4, 8)
    with torch.no_grad():
        assert torch.equal(ours.encode(x.flatten(2)), sae.encode(x))
        assert torch.equal(ours.reconstruct(x.flatten(2))[1].view(x.shape), sae(x))


@pytest.mark.parametrize("kind", ["batchtopk", "matryoshka_batchtopk"])
@pytest.mark.parametrize("rescale", [False, True])
def test_batchtopk_is_what_saelens_saves_for_inference(tmp_path, kind, rescale):
    """From the folder of a training run, and from the one that SAELens writes for inference."""
    from sae_lens.registry import get_sae_training_class
    from sae_lens.saes.sae import SAEMetadata

    made, config = get_sae_training_class(kind)
    extra = {"matryoshka_widths": [16, 64]} if "matryoshka" in kind else {}
    metadata = SAEMetadata(hook_name="blocks.1.hook_resid_pre")
    sae = made(config(d_in=32, d_sae=64, k=6, rescale_acts_by_decoder_norm=rescale, metadata=metadata, **extra))
    tiny.randomise(sae, bias=0.1)
    sae.topk_threshold.fill_(4.5)
    sae.save_model(tmp_path / "training")
    sae.save_inference_model(tmp_path / "inference")
    training, inference = loaded(tmp_path / "training"), loaded(tmp_path / "inference")
    assert training.architecture == inference.architecture == "jumprelu"
    x = inputs()
    with torch.no_grad():
        expected = theirs(tmp_path / "inference").encode(x)
    assert torch.equal(training.encode(x), expected) and torch.equal(inference.encode(x), expected)
    assert 0 < float((expected > 0).float().mean()) < 1 and training.sha256 == inference.sha256
    assert training.hook == "blocks.1.hook_resid_pre"


def test_what_is_sparse_is_made_dense(tmp_path):
    sae = theirs(written(tmp_path, "topk", {}))
    sae.activation_fn.use_sparse_activations = True
    x = inputs()
    with torch.no_grad():
        expected = sae.encode(x)
    assert expected.layout == torch.sparse_coo
    ours = dictionary.Sae(sae, "").encode(x)
    assert ours.layout == torch.strided and torch.equal(ours, expected.to_dense())


@pytest.mark.parametrize("norm", ["none", *NORMS])
def test_nothing_is_left_on_the_callers_sae(tmp_path, norm):
    for hook, reshape in (("blocks.1.hook_resid_pre", "none"), ("blocks.1.attn.hook_z", "hook_z")):
        folder = tiny.sae(
            tmp_path / reshape, "standard", hook=hook, reshape_activations=reshape, normalize_activations=norm
        )
        sae = theirs(folder)
        before, weights = dict(sae.__dict__), {k: v.clone() for k, v in sae.state_dict().items()}
        config = copy.deepcopy(sae.cfg.to_dict())
        ours = dictionary.Sae(sae, "")
        first = ours.encode(inputs())
        ours.reconstruct(inputs(1))
        assert torch.equal(first, ours.encode(inputs())), "and one input leaves nothing for the next"
        assert sae.__dict__ == before and sae.cfg.to_dict() == config
        assert all(torch.equal(weights[k], v) for k, v in sae.state_dict().items())
        assert ours.W_dec.data_ptr() == sae.W_dec.data_ptr(), "and the weights are held once"
        assert not {"ln_mu", "ln_std", "x_norm_coeff"} & set(ours.sae.__dict__)


def test_threads_do_not_meet_in_what_saelens_leaves(tmp_path):
    ours = loaded(tiny.sae(tmp_path / "sae", "standard", normalize_activations="layer_norm", bias=-0.2))
    many = [inputs(seed) * (seed + 1) for seed in range(8)]
    expected = [ours.reconstruct(x)[1] for x in many]
    wrong = []

    def work(n: int) -> None:
        for _ in range(30):
            ours.encode(many[(n + 1) % 8])
            if not torch.equal(ours.reconstruct(many[n])[1], expected[n]):
                wrong.append(n)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong


def test_the_hash_follows_all_that_changes_values(tmp_path):
    """Weights and what the configuration makes of them; not where the SAE lies or what it says of its training."""
    base = loaded(written(tmp_path / "a", "topk", {})).sha256
    assert loaded(written(tmp_path / "b", "topk", {})).sha256 == base
    for n, options in enumerate([{"k": 8}, {"rescale_acts_by_decoder_norm": True}, {"apply_b_dec_to_input": False},
                                 {"normalize_activations": "layer_norm"}, {"seed": 2}]):  # fmt: skip
        assert loaded(written(tmp_path / f"c{n}", "topk", options)).sha256 != base, options
    folder = written(tmp_path / "d", "topk", {})
    data = json.loads((folder / "cfg.json").read_text())
    data["metadata"]["dataset_path"] = "elsewhere"
    (folder / "cfg.json").write_text(json.dumps(data))
    assert loaded(folder).sha256 == base


def test_folders_that_older_saelens_wrote(tmp_path):
    """Before version 6 everything was flat in cfg.json."""
    folder = tiny.sae(tmp_path / "sae", "standard", bias=-0.2)
    old = {
        "d_in": 32, "d_sae": 64, "dtype": "torch.float32", "device": "cpu", "hook_name": "blocks.1.hook_resid_pre",
        "hook_layer": 1, "apply_b_dec_to_input": True, "normalize_activations": "none", "context_size": 48,
    }  # fmt: skip
    (folder / "cfg.json").write_text(json.dumps(old))
    ours = loaded(folder)
    assert (ours.hook, ours.architecture) == ("blocks.1.hook_resid_pre", "standard")
    with torch.no_grad():
        assert torch.equal(ours.encode(inputs()), theirs(folder).encode(inputs()))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("temporal", {"n_heads": 4, "bottleneck_factor": 8, "kval_topk": 4}, r"temporal cannot be .*tokens before"),
    ],
)  # fmt: skip
def test_kinds_that_cannot_be_a_source(tmp_path, kind, options, message):
    folder = tiny.sae(tmp_path / "sae", kind, **options)
    with pytest.raises(BadConfig, match=message):
        loaded(folder)


def test_an_sae_that_does_not_say_where_it_belongs(tmp_path):
    folder = written(tmp_path, "skip_transcoder", {})
    data = json.loads((folder / "cfg.json").read_text())
    del data["metadata"]["hook_name_out"]
    (folder / "cfg.json").write_text(json.dumps(data))
    with pytest.raises(BadConfig, match=r"metadata\.hook_name_out\): add `hook_out:` beside it"):
        loaded(folder)
    spec = WeightsSpec(kind="sae", path=str(folder), hook_out="blocks.0.hook_mlp_out")
    assert load_sae(spec, "cpu").hook_out == "blocks.0.hook_mlp_out"
    del data["metadata"]["hook_name"]
    (folder / "cfg.json").write_text(json.dumps(data))
    with pytest.raises(BadConfig, match=r"sae: Its cfg\.json does not say where it belongs \(metadata\.hook_name\)"):
        load_sae(spec, "cpu")


def test_an_sae_of_one_head(tmp_path):
    folder = tiny.sae(tmp_path / "sae", d_in=8, hook="blocks.0.attn.hook_q")
    data = json.loads((folder / "cfg.json").read_text())
    data["metadata"]["hook_head_index"] = 3
    (folder / "cfg.json").write_text(json.dumps(data))
    with pytest.raises(BadConfig, match="head 3 alone"):
        loaded(folder)


def test_a_transcoder_of_a_hook_that_the_model_lacks(tmp_path, model):
    folder = tiny.sae(tmp_path / "sae", "transcoder", hook="blocks.0.mlp.hook_in", hook_out="blocks.7.hook_mlp_out")
    with pytest.raises(BadConfig, match=r"no hook “blocks\.7\.hook_mlp_out”"):
        dictionary.load(WeightsSpec(kind="sae", path=str(folder)), model)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"d_in": 48, "d_out": 32}, r"encoder takes 48 numbers, but blocks\.1\.mlp\.hook_in of tiny has 32"),
        ({"d_out": 48}, r"decoder writes 48 numbers, but blocks\.1\.hook_mlp_out of tiny has 32"),
    ],
)
def test_a_transcoder_that_does_not_fit(tmp_path, model, options, message):
    folder = tiny.sae(tmp_path / "sae", "transcoder", hook="blocks.1.mlp.hook_in", **options)
    source = dictionary.load(WeightsSpec(kind="sae", path=str(folder)), model)
    with pytest.raises(BadConfig, match=message):
        dictionary.check(source, model)


# -- neurons and directions --------------------------------------------------------------------------------------------


def test_neurons_are_the_identity(model):
    source = dictionary.load(WeightsSpec(kind="neurons", hook="blocks.1.mlp.hook_post"), model, model_sha256="x")
    x = torch.randn(3, 128)
    assert torch.equal(source.encode(x), x) and source.encode(x.bfloat16()).dtype == torch.float32
    assert source.bytes == 0, "they are the model's"
    assert (source.kind, source.signed, source.width, source.sha256) == ("neurons", True, 128, "x")
    dictionary.check(source, model)
    assert dictionary.load(WeightsSpec(kind="neurons"), model, hook="blocks.0.mlp.hook_post").width == 128


def directions(folder, tensors, **spec):
    path = folder / "dirs.safetensors"
    save_file(tensors, path)
    return load_directions(WeightsSpec(kind="directions", path=str(path), **spec), "blocks.1.hook_resid_pre", "cpu")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_directions_are_products(tmp_path, model, dtype):
    rows = torch.randn(5, 32).to(dtype)
    source = directions(tmp_path, {"anything": rows})
    x = torch.randn(4, 7, 32)
    for i in range(5):
        expected = np.einsum("bpd,d->bp", x.double().numpy(), rows[i].double().numpy())
        np.testing.assert_allclose(source.encode(x)[..., i], expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(source.W_dec, rows.float()) and source.encode(x).dtype == torch.float32
    assert (source.kind, source.architecture, source.signed, source.width, source.d_in) == (
        "directions", "linear", True, 5, 32,
    )  # fmt: skip
    assert source.hook == source.hook_out == "blocks.1.hook_resid_pre"
    assert (source.encode(x) < 0).any(), "they are signed"
    dictionary.check(source, model)
    assert torch.equal(residual_rows(source, model), source.W_dec)


def test_several_tensors_are_rows_in_the_order_of_their_names(tmp_path):
    tensors = {"b": torch.randn(32), "a": torch.randn(2, 32), "c": torch.randn(1, 32)}
    both = directions(tmp_path, tensors)
    assert torch.equal(both.W_dec, torch.cat([tensors["a"], tensors["b"][None], tensors["c"]]))
    one = directions(tmp_path, tensors, tensor="b")
    assert torch.equal(one.W_dec, tensors["b"][None]) and one.sha256 != both.sha256


@pytest.mark.parametrize(
    ("tensors", "spec", "message"),
    [
        ({"a": torch.zeros(2, 3, 4)}, {}, r"“a” of dirs\.safetensors is float32 of shape \[2, 3, 4\]; directions are"),
        ({"a": torch.zeros(2, 4, dtype=torch.int64)}, {}, r"“a” of dirs\.safetensors is int64"),
        ({"a": torch.tensor(1.0)}, {}, r"shape \[\]"),
        ({"a": torch.tensor([[1.0, float("nan")]])}, {}, r"“a” .*not finite"),
        ({"a": torch.zeros(2, 4), "b": torch.zeros(2, 5)}, {}, r"not equally wide \(4, 5\): pick one .*a, b"),
        ({"a": torch.zeros(0, 4)}, {}, r"dirs\.safetensors holds no directions"),
        ({}, {}, r"holds no directions"),
        ({"a": torch.zeros(2, 4)}, {"tensor": "z"}, r"directions\.tensor: dirs\.safetensors has no “z”\. It has: a"),
    ],
)
def test_what_is_no_directions(tmp_path, tensors, spec, message):
    with pytest.raises(BadConfig, match=message):
        directions(tmp_path, tensors, **spec)


def test_directions_that_cannot_be_read_or_do_not_fit(tmp_path, model):
    path = tmp_path / "dirs.safetensors"
    spec = WeightsSpec(kind="directions", path=str(path), hook="blocks.1.hook_resid_pre")
    with pytest.raises(NotAvailable, match="not at"):
        dictionary.load(spec, model)
    path.write_bytes(b"\x80\x04nonsense")
    with pytest.raises(BadConfig, match="cannot be read as safetensors"):
        dictionary.load(spec, model)
    source = directions(tmp_path, {"a": torch.randn(3, 48)})
    with pytest.raises(BadConfig, match=r"takes 48 numbers, but blocks\.1\.hook_resid_pre of tiny has 32"):
        dictionary.check(source, model)


# -- decoder rows in the residual stream -------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", ["blocks.1.attn.hook_z", "blocks.1.mlp.hook_post", "blocks.1.hook_mlp_out"])
def test_what_a_row_adds_to_the_residual_stream(tmp_path, model, hook):
    """Adding a row at the hook adds `residual_rows`' row to the layer's output, at that token."""
    d_in = 128 if "mlp.hook_post" in hook else 32
    source = dictionary.load(WeightsSpec(kind="sae", path=str(tiny.sae(tmp_path / "sae", hook=hook, d_in=d_in))), model)
    dictionary.check(source, model)
    rows, ids, after = residual_rows(source, model), pad([[0, 5, 9, 17]]), "blocks.1.hook_attn_out"
    after = after if "attn" in hook else "blocks.1.hook_resid_post"
    plain = capture(model, ids, [after])[after]
    for i in (0, 7):

        def add(value, hook, row=source.W_dec[i]):
            value[0, 2] += row.view(value.shape[2:])
            return value

        seen = []
        model.bridge.run_with_hooks(
            ids, fwd_hooks=[(hook, add), (after, lambda value, hook, to=seen: to.append(value))]
        )
        difference = seen[0][0] - plain[0]
        assert torch.allclose(difference[2], rows[i], atol=1e-4)
        if "attn" in hook:
            assert torch.allclose(difference[[0, 1, 3]], torch.zeros(3, 32), atol=1e-4)


@pytest.mark.parametrize("hook", ["blocks.1.mlp.hook_in", "blocks.1.attn.hook_q", "blocks.1.ln2.hook_normalized"])
def test_rows_that_do_not_write_to_the_residual_stream(tmp_path, model, hook):
    source = dictionary.load(WeightsSpec(kind="sae", path=str(tiny.sae(tmp_path / "sae", hook=hook))), model)
    assert residual_rows(source, model) is None


def test_a_transcoders_rows_are_those_at_its_output(tmp_path, model):
    folder = tiny.sae(tmp_path / "sae", "transcoder", hook="blocks.1.mlp.hook_in")
    source = dictionary.load(WeightsSpec(kind="sae", path=str(folder)), model)
    assert (source.kind, source.hook, source.hook_out) == (
        "transcoder",
        "blocks.1.mlp.hook_in",
        "blocks.1.hook_mlp_out",
    )
    assert torch.equal(residual_rows(source, model), source.W_dec)
