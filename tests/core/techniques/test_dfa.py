"""Direct feature attribution: terms and bias add up to the pre-activation, and are Neuronpedia's by its formula."""

from __future__ import annotations

import json

import einops
import numpy as np
import pytest
import torch
import yaml

from core.__main__ import main
from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadInput, NotAvailable
from core.interchange import neuronpedia
from core.models import loading
from core.models.attention import attend
from core.models.capture import capture
from core.settings import Settings
from core.sources.saelens import load_sae
from core.techniques.dfa import attribute, attributions
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

Z = "blocks.1.attn.hook_z"
IDS = [7, 5, 9, 17, 30, 2, 8, 44, 12]
VARIANTS = [
    ("standard", {}), ("standard", {"apply_b_dec_to_input": False}), ("jumprelu", {}), ("gated", {}),
    ("topk", {"k": 9, "bias": 0.0}), ("topk", {"k": 9, "bias": 0.0, "rescale_acts_by_decoder_norm": True}),
    ("abstopk", {"k": 9, "bias": 0.0}), ("standard", {"normalize_activations": "layer_norm"}),
    ("standard", {"normalize_activations": "constant_norm_rescale"}),
    ("gated", {"normalize_activations": "layer_norm", "apply_b_dec_to_input": False}),
]  # fmt: skip


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma2"])
def model(request, tmp_path_factory):
    """The latter two share key-value heads; gemma2 caps its scores and looks through a window."""
    folder = tiny.model(tmp_path_factory.mktemp("dfa") / "model", request.param, scale=8.0)
    return loading.load(ModelSpec(id="tiny", path=str(folder)))


def sae(folder, kind="standard", **options):
    made = tiny.sae(folder, kind, hook=Z, reshape_activations="hook_z", **({"bias": -0.2} | options))
    return load_sae(WeightsSpec(kind="sae", path=str(made)), "cpu")


def before_activation(source, z):
    """What SAELens shows at `hook_sae_acts_pre`, the values before the activation function."""
    seen = []
    handle = source.sae.hook_sae_acts_pre.register_forward_hook(lambda m, a, out: seen.append(out))
    source.encode(z)
    handle.remove()
    pre = seen[0]
    return pre * source.W_dec.norm(dim=-1) if getattr(source.sae.cfg, "rescale_acts_by_decoder_norm", False) else pre


@pytest.mark.parametrize(
    ("kind", "options"), VARIANTS, ids=[f"{k}-{'-'.join(map(str, o.values()))}" for k, o in VARIANTS]
)
def test_terms_and_bias_are_the_pre_activation(tmp_path, model, kind, options):
    source = sae(tmp_path / "sae", kind, **options)
    ids = torch.tensor([IDS])
    z = capture(model, ids, [Z])[Z][0]
    targets, features = torch.meshgrid(torch.arange(len(IDS)), torch.arange(0, 64, 7), indexing="ij")
    targets, features = targets.flatten(), features.flatten()
    found = attribute(source, attend(model, ids, 1), targets, features)
    expected = before_activation(source, z)[targets, features]
    scale = float(expected.abs().max())
    torch.testing.assert_close(found.terms.sum((1, 2)) + found.bias, expected, rtol=1e-4, atol=1e-5 * scale)
    later = torch.arange(len(IDS))[None, None] > targets[:, None, None]
    assert not found.terms[later.expand_as(found.terms)].any(), "nothing comes from what is later"
    assert (found.terms.abs().sum(1) > 0).sum() > len(targets)
    encoded = source.encode(z)[targets, features]
    if kind in ("standard", "jumprelu"):
        on = encoded > 0
        torch.testing.assert_close(encoded[on], expected[on], rtol=1e-4, atol=1e-5 * scale)


def test_they_are_neuronpedias_values(tmp_path, model):
    """Its `calculate_dfa`: all heads' values side by side, weighted by the pattern, times the encoder's column."""
    source, ids = sae(tmp_path / "sae"), torch.tensor([IDS])
    hooks = ["blocks.1.attn.hook_v", "blocks.1.attn.hook_pattern"]
    _, cache = model.bridge.run_with_cache(ids, names_filter=hooks, stop_at_layer=2, return_type=None)
    pattern = cache[hooks[1]]
    v = cache[hooks[0]].reshape(1, len(IDS), -1, 32 // pattern.shape[1])
    v = v.repeat_interleave(pattern.shape[1] // v.shape[2], 2)
    side_by_side = einops.rearrange(v, "batch src heads d -> batch src (heads d)")
    weights = einops.repeat(pattern, "batch heads dst src -> batch dst src (heads d)", d=v.shape[-1])
    per_source = torch.einsum("bdsx,x->bds", weights * side_by_side.unsqueeze(1), source.sae.W_enc[:, 11])[0]
    for target, record in enumerate(attributions(source, attend(model, ids, 1), [(t, 11) for t in range(len(IDS))])):
        np.testing.assert_allclose(record.values, per_source[target], rtol=1e-4, atol=1e-4)
        assert record.target == target and sum(record.heads) == pytest.approx(sum(record.values), abs=1e-6)
        assert record.by_head == ()


def test_what_a_term_says_is_what_ablating_it_changes(tmp_path, model):
    """Taking away one head's look at one token lowers the pre-activation by that term."""
    source, ids = sae(tmp_path / "sae"), torch.tensor([IDS])
    attention, target, head, token = attend(model, ids, 1), 6, 1, 2
    record = attributions(source, attention, [(target, 3)], by_head=True)[0]
    pattern = attention.pattern.clone()
    pattern[0, head, target, token] = 0
    z = torch.einsum("bhts,bshd->bthd", pattern, attention.values).flatten(2)[0]
    change = before_activation(source, attention.z[0])[target, 3] - before_activation(source, z)[target, 3]
    assert float(change) == pytest.approx(record.by_head[head][token], rel=1e-3, abs=1e-5)


def test_sources_without_it(tmp_path, model):
    attention = attend(model, torch.tensor([IDS]), 1)
    for source in (
        sae(tmp_path / "a", "matching_pursuit"),
        load_sae(WeightsSpec(kind="sae", path=str(tiny.sae(tmp_path / "b"))), "cpu"),
    ):
        with pytest.raises(NotAvailable, match=r"SAEs on attention heads \(attn\.hook_z\) that have one encoder"):
            attributions(source, attention, [(1, 1)])


# -- the workbench -----------------------------------------------------------------------------------------------------

TEXT = "The capital of France is Paris."


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dfa-bench")
    tiny.model(folder / "model", scale=8.0)
    tiny.sae(folder / "att", hook=Z, reshape_activations="hook_z", bias=-0.2)
    tiny.sae(folder / "res", bias=-0.2)
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(12)), encoding="utf-8")
    config = {
        "model": {"id": "tiny", "path": "model"}, "dataset": {"path": "texts.txt"}, "context": 24, "map": "none",
        "sources": [{"id": "1-att", "sae": {"path": "att"}}, {"id": "1-res", "sae": {"path": "res"}}],
    }  # fmt: skip
    (folder / "build.yaml").write_text(yaml.safe_dump(config))
    bench = Workbench(Settings(data=folder / "data", demo=None))
    bench.build(folder / "build.yaml")
    return bench


def active(bench, source="1-att"):
    """A feature that is active on the text."""
    return bench.search("tiny", TEXT, sources=[f"tiny/{source}"]).hits[0].key


def test_a_test_says_where_its_value_came_from(bench):
    key = active(bench)
    (test,) = bench.test(key, TEXT)
    assert test.dfa is not None and test.dfa.target == test.position
    assert sum(test.dfa.values) + test.dfa.bias == pytest.approx(test.maximum, rel=1e-3)
    record = bench.dfa(key, TEXT)
    assert record.value == test.maximum and record.dfa.values == pytest.approx(test.dfa.values, abs=1e-5)
    np.testing.assert_allclose(np.sum(record.dfa.by_head, 0), record.dfa.values, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(np.sum(record.dfa.by_head, 1), record.dfa.heads, rtol=1e-6, atol=1e-9)
    frame = record.to_pandas()
    assert list(frame["gave"]) == list(record.dfa.values[: len(frame)]) and {"head_0", "head_1"} <= set(frame.columns)
    elsewhere = bench.dfa(key, TEXT, 2)
    assert elsewhere.dfa.target == 2 and not any(elsewhere.dfa.values[3:]) and elsewhere.value == test.values[2]
    assert bench.test_each([key, key], TEXT)[0].dfa == test.dfa


def test_hits_of_a_search_have_it_and_others_do_not(bench):
    found = bench.search("tiny", TEXT)
    kinds = {(hit.key.source_id, hit.dfa is not None) for hit in found.hits}
    assert kinds == {("1-att", True), ("1-res", False)}
    for hit in found.hits:
        if hit.dfa is not None:
            assert hit.dfa.target == hit.position
            assert sum(hit.dfa.values) + hit.dfa.bias == pytest.approx(hit.maximum, rel=1e-3)
    assert bench.test(active(bench, "1-res"), TEXT)[0].dfa is None


def test_it_is_neuronpedias_json(bench):
    (test,) = bench.test(active(bench), TEXT)
    row = neuronpedia.activation(test)
    assert len(row["dfaValues"]) == len(row["tokens"]) == len(test.tokens) - 1, "BOS is dropped from both"
    assert row["dfaValues"] == pytest.approx(test.dfa.values[1:]) and row["dfaTargetIndex"] == test.position - 1
    assert row["dfaMaxValue"] == max(row["dfaValues"])
    hit = neuronpedia.search(bench.search("tiny", TEXT, sources=["tiny/1-att"]))["result"][0]
    assert len(hit["dfaValues"]) == len(test.tokens) and hit["dfaTargetIndex"] == hit["maxValueIndex"]


@pytest.mark.parametrize(
    ("source", "position", "error", "message"),
    [
        ("1-res", None, NotAvailable, r"this is standard at blocks\.1\.hook_resid_pre"),
        ("1-att", 99, BadInput, r"there is no 99"),
        ("1-att", -1, BadInput, r"there is no -1"),
    ],
)
def test_what_cannot_be_told(bench, source, position, error, message):
    with pytest.raises(error, match=message):
        bench.dfa(active(bench, source), TEXT, position)


def test_a_text_on_which_it_is_silent(bench):
    silent = next(key for key in (f"tiny/1-att/{i}" for i in range(64)) if bench.test(key, TEXT)[0].position is None)
    assert bench.test(silent, TEXT)[0].dfa is None
    with pytest.raises(BadInput, match="active on no token of this text: say which token"):
        bench.dfa(silent, TEXT)
    assert bench.dfa(silent, TEXT, 3).value == 0


def test_examples_of_the_build_have_it(bench):
    """Stored beside them, and the same as a test of the very prompt gives."""
    seen = 0
    for index in range(0, 64, 5):
        record = bench.feature(f"tiny/1-att/{index}")
        for example in (e for group in record.groups for e in group.examples):
            assert example.dfa is not None and example.dfa.target == example.position
            assert sum(example.dfa.values) + example.dfa.bias == pytest.approx(example.value, rel=5e-3, abs=5e-2)
            assert len(example.dfa.values) <= example.position + 1
            seen += 1
    assert seen > 20
    rows = neuronpedia.feature(bench.feature(f"tiny/1-att/{active(bench).index}"))["activations"]
    assert all(len(r["dfaValues"]) == len(r["tokens"]) and r["dfaMaxValue"] == max(r["dfaValues"]) for r in rows)
    plain = bench.feature("tiny/1-res/1")
    assert all(e.dfa is None for group in plain.groups for e in group.examples)
    assert bench.check()[1].problems == () == bench.check()[2].problems


def test_the_command_says_the_same(bench, capsys):
    key = active(bench)
    data = str(bench.settings.data)
    assert main(["dfa", str(key), TEXT, "--json", "--data", data]) == 0
    said, record = json.loads(capsys.readouterr().out), bench.dfa(key, TEXT)
    assert said["dfaTargetIndex"] == record.dfa.target and said["tokens"] == [t.text for t in record.tokens]
    np.testing.assert_allclose(sum(said["dfaValues"]) + said["bias"], record.value, rtol=1e-4)  # active: above zero
    np.testing.assert_allclose(np.sum(said["byHead"], axis=0), said["dfaValues"], atol=1e-5)
    assert main(["dfa", str(key), TEXT, "--data", data]) == 0
    assert "by head" in capsys.readouterr().out
