"""The identities: the lens ends in the logits, shares add up, ablation is a plain hook's, nothing computed twice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalog.manifest import ModelSpec
from core.errors import BadInput, NotFound
from core.models import loading
from core.models.plain import capture, plain_of
from core.records import FeatureKey, SourceKey
from core.sources.sae import Sae
from core.techniques.circuits import direct as direct_module
from core.techniques.circuits import trace as trace_module
from core.techniques.circuits.aim import Logits, Reading
from core.techniques.circuits.checking import checked_end
from core.techniques.circuits.records import CircuitAsk
from core.techniques.circuits.splice import Entries, Splice
from core.techniques.circuits.tokens import token_id, written
from core.techniques.circuits.trace import trace, values
from tests import tiny

TEXT = "The capital of France is Paris, and the capital of"
ASK = CircuitAsk(model_id="tiny", text=TEXT, target=(" the", " is"), against=(" of",))
SAE, NEURONS = SourceKey("tiny", "1-res"), SourceKey("tiny", "0-neurons")


@pytest.fixture(scope="module")
def model(bench):
    return bench._model_slot("tiny").get()


@pytest.fixture(scope="module")
def theirs(model):
    """The model's own logits at every token of the text."""
    return plain_of(model).runner(model, []).pass_(torch.tensor([model.ids(TEXT)]), {}, every=True)[0]


@pytest.fixture(scope="module")
def features(bench):
    return bench.circuits.features(replace(ASK, sources=(SAE, NEURONS)), top=2000)


def loss(logits, model):
    """The target by hand, from logits [batch, pos, vocab]."""
    ids = {text: model.ids(text)[1] for text in (" the", " is", " of")}
    return (logits[:, -1, ids[" the"]] + logits[:, -1, ids[" is"]]) / 2 - logits[:, -1, ids[" of"]]


def test_the_lens_ends_in_the_logits_exactly(bench, model, theirs):
    with torch.no_grad():
        end = capture(model, torch.tensor([model.ids(TEXT)]), ["blocks.1.hook_resid_post"])["blocks.1.hook_resid_post"]
        assert torch.equal(bench.circuits._end(model)(end), theirs)
    record = bench.circuits.lens(ASK)
    assert len(record.rows) == 3 and {len(row) for row in record.rows} == {len(record.target.tokens)}
    chances = theirs[0].softmax(-1)
    for at, cell in enumerate(record.rows[-1]):
        assert [token.id for token, _ in cell.top] == chances[at].topk(5).indices.tolist()
        assert [value for _, value in cell.top] == pytest.approx(chances[at].topk(5).values.tolist(), rel=1e-6)
    mine = [one.token.id for one in record.target.target]
    assert record.rows[-1][-1].probability == pytest.approx(float(chances[-1, mine].sum()), rel=1e-6)
    assert record.rows[-1][-1].rank == min(one.rank for one in record.target.target)


def test_the_targets_value_is_the_models(bench, model, theirs):
    target = bench.circuits.target(ASK)
    assert target.value == pytest.approx(float(loss(theirs, model)[0]), rel=1e-5)
    assert [one.token.id for one in target.likeliest] == theirs[0, -1].topk(10).indices.tolist()
    assert target.likeliest[0].rank == 1
    usual = bench.circuits.target(replace(ASK, target=(), against=()))
    assert (usual.target[0], usual.against[0]) == target.likeliest[:2]


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "neox", "bloom", "phi"])
def test_components_add_up_in_every_family(tmp_path, family):
    """Norms of either kind, biases, parallel layers, grouped heads, soft caps: the sum is the logits’ difference."""
    path = tiny.model(tmp_path / family, family, scale=3.0)
    model = loading.load(ModelSpec(id=family, path=str(path)), device="cpu", dtype="float32")
    end = checked_end(model)
    aim = Logits(end, 2, (5, 9), (7,))
    ids = torch.tensor(model.ids("It’s a fine day in Rome"))
    made = direct_module.direct(model, ids, aim)
    logits = end.raw(model.bridge.original_model(ids[None]).logits.detach().double())[0, -1]
    expected = float((logits[5] + logits[9]) / 2 - logits[7])
    size = np.abs(made["rows"][:, 3]).sum()
    assert made["rows"][:, 3].sum() == pytest.approx(expected, abs=1e-5 * size)
    parts = [direct_module.PARTS[int(part)] for part in made["rows"][:, 0]]
    if family != "gemma2":  # there a norm follows attention, so that its heads are one part
        assert parts.count("head") == 2 * model.manifest.record.heads and "rest" not in parts
        heads = made["rows"][[part == "head" for part in parts], 3]
        assert made["given"].sum(1) == pytest.approx(heads, abs=1e-5 * size)
        assert made["pattern"].sum(1) == pytest.approx(np.ones(len(heads)), abs=1e-5)


def test_components_add_up_to_a_feature(bench):
    at = next(n for n in bench.circuits.features(ASK).nodes if n.key.source == SAE)
    ask = CircuitAsk(model_id="tiny", text=TEXT, feature=at.key, position=at.position)
    record = bench.circuits.direct(ask)
    assert record.target.value == pytest.approx(at.activation, rel=1e-4), "where it is active L is its activation"
    assert record.target.activation == pytest.approx(at.activation, rel=1e-4)
    assert record.total == pytest.approx(record.target.value, abs=1e-4)
    assert len(record.target.tokens) == at.position + 1
    neuron = bench.circuits.direct(CircuitAsk(model_id="tiny", text=TEXT, feature=FeatureKey("tiny", "0-neurons", 3)))
    assert not neuron.components and "neither" in neuron.note


def test_features_error_and_bias_are_the_total(features):
    assert len(features.layers) == 2 and features.active == sum(one.active for one in features.layers)
    for layer in features.layers:
        assert layer.sum == pytest.approx(layer.total, abs=1e-5) and abs(layer.residual) < 1e-5
        parts = (layer.direct_features, layer.direct_error, layer.direct_bias)
        assert sum(parts) == pytest.approx(layer.direct_total, abs=1e-5)
    neurons = next(one for one in features.layers if one.key == NEURONS)
    assert neurons.error == pytest.approx(0, abs=1e-5), "an MLP is its neurons and its bias"
    effects = [abs(node.effect) for node in features.nodes]
    assert effects == sorted(effects, reverse=True)


def test_splicing_is_autograd_through_an_sae_with_its_error(bench, model, features, theirs):
    """By the book: x̂ + e with a leaf for the activations, e detached; the logits are what they were."""
    source = bench._source_slot(bench.source(SAE)).get().source
    ids = torch.tensor([model.ids(TEXT)])
    held = {}

    def splice(x, hook):
        x = x.detach()
        acts = source.sae.encode(x).detach().requires_grad_()
        error = (x - source.sae.decode(acts)).detach()
        held.update(acts=acts, x=x)
        return source.sae.decode(acts) + error

    with torch.enable_grad(), model.bridge.hooks(fwd_hooks=[(SAE_HOOK, splice)]):
        logits = model.bridge(ids)
        (gradient,) = torch.autograd.grad(loss(logits, model).sum(), [held["acts"]])
    assert logits.detach() == pytest.approx(theirs, abs=1e-4)
    acts = held["acts"][0].detach()
    expected = acts * gradient[0]
    own = [node for node in features.nodes if node.key.source == SAE]
    assert len(own) == int((acts > 0).sum())
    for node in own:
        assert node.effect == pytest.approx(float(expected[node.position, node.key.index]), abs=1e-5)
        assert node.activation == pytest.approx(float(acts[node.position, node.key.index]), abs=1e-4)


SAE_HOOK = "blocks.1.hook_resid_pre"


def test_ablation_is_a_plain_hooks(bench, model):
    """A node's contribution taken out by TransformerLens, one pass a node."""
    record = bench.circuits.features(replace(ASK, sources=(SAE, NEURONS)), ablate=12)
    ids = torch.tensor([model.ids(TEXT)])
    for node in record.nodes[:12]:
        source = bench._source_slot(bench.source(node.key.source)).get().source

        def without(x, hook, node=node, source=source):
            x = x.clone()
            x[0, node.position] -= node.activation * source.W_dec[node.key.index]
            return x

        with torch.no_grad():
            less = model.bridge.run_with_hooks(ids, fwd_hooks=[(source.hook_out, without)])
        assert node.ablated == pytest.approx(record.target.value - float(loss(less, model)[0]), abs=1e-4)
    again = bench.circuits.ablate(ASK, [(node.key, node.position) for node in record.nodes[:3]])
    assert [one.ablated for one in again] == pytest.approx([one.ablated for one in record.nodes[:3]], abs=1e-5)
    assert list(again.to_pandas()["feature"]) == [str(node.key) for node in record.nodes[:3]]


def test_a_run_without_any_change_is_the_run(bench, model):
    """Cutting out nothing changes nothing."""
    ids = torch.tensor([model.ids(TEXT)] * 3)
    with torch.no_grad():
        found = values(model, ids, Logits(bench.circuits._end(model), 2, (3,), (4,)), {SAE_HOOK: lambda x: x * 1})
        alone = values(model, ids[:1], Logits(bench.circuits._end(model), 2, (3,), (4,)), {})
    assert found.tolist() == pytest.approx(alone.tolist() * 3, abs=1e-5)


@pytest.mark.parametrize("kind", tiny.SPARSE)
def test_every_architecture_is_its_rows_its_bias_and_its_error(tmp_path, kind):
    check_splice(tiny.sae(tmp_path / kind, kind, **({"k": 8} if kind == "topk" else {})))


@pytest.mark.parametrize("how", ["layer_norm", "constant_norm_rescale"])
def test_what_a_source_takes_off_its_input_scales_its_rows(tmp_path, how):
    check_splice(tiny.sae(tmp_path / how, normalize_activations=how))


def test_rows_of_a_topk_that_divides_by_their_length(tmp_path):
    check_splice(tiny.sae(tmp_path / "topk", "topk", k=8, rescale_acts_by_decoder_norm=True))


def check_splice(folder):
    """Σ a r + bias is what SAELens reconstructs."""
    from sae_lens import SAE
    from sae_lens.saes.transcoder import Transcoder

    loader = Transcoder if "transcoder" in folder.name else SAE
    source = Sae(loader.load_from_disk(folder), "hash")
    x = 3 * torch.randn(5, 32, generator=torch.Generator().manual_seed(3))
    acts, out = source.reconstruct(x)
    where, which = acts.nonzero(as_tuple=True)
    splice = Splice(source, x, x)
    made = splice.written(Entries(where, which, acts[where, which])) + splice.bias
    assert made.detach() == pytest.approx(out.detach(), abs=1e-4)
    index = int(acts[-1].argmax())
    if source.architecture != "matching_pursuit":
        aim = Reading(source, index)
        assert float(aim(x[-1:])[0].detach()) == pytest.approx(float(acts[-1, index]), abs=1e-4)
        direction = aim.direction(x[-1])
        if direction is not None:
            value = float(x[-1].double() @ direction.u + direction.constant)
            assert value == pytest.approx(float(acts[-1, index]), abs=1e-3)


def test_a_token_replaced_is_another_text(bench, model):
    record = bench.circuits.drivers(ASK)
    ids = model.ids(TEXT)
    assert record.tokens[0].ablated is None and record.target.tokens[0].special
    stand_ins = [token.id for token in record.replacements if token.id != ids[3]][:4]
    rows = torch.tensor([[*ids[:3], one, *ids[4:]] for one in stand_ins])
    with torch.no_grad():
        less = record.target.value - loss(model.bridge.original_model(rows).logits, model)
    assert record.tokens[3].ablated == pytest.approx(float(less.mean()), abs=1e-4)
    assert record.tokens[3].low == pytest.approx(float(less.min()), abs=1e-4)
    assert record.tokens[3].high == pytest.approx(float(less.max()), abs=1e-4)
    assert record.integrated == pytest.approx(record.target.value - record.baseline, abs=1e-3)


def test_sources_that_come_after_a_feature_are_left_out(bench):
    record = bench.circuits.features(
        CircuitAsk(model_id="tiny", text=TEXT, feature=FeatureKey("tiny", "1-res", 3), sources=(SAE, NEURONS))
    )
    assert [one.key for one in record.layers] == [NEURONS]
    assert record.later == (SAE,) and not record.left_out


def test_nothing_is_computed_twice(bench, monkeypatch):
    first = [bench.circuits.features(ASK, ablate=2), bench.circuits.direct(ASK), bench.circuits.drivers(ASK)]

    def never(*_):
        raise AssertionError("a pass")

    for module, name in ((trace_module, "trace"), (direct_module, "direct"), (trace_module, "values")):
        monkeypatch.setattr(module, name, never)
    again = [bench.circuits.features(ASK, ablate=2), bench.circuits.direct(ASK), bench.circuits.drivers(ASK)]
    assert [repr(one) for one in again] == [repr(one) for one in first] and again == first


def test_a_feature_asked_again_runs_no_pass_and_no_gradient(bench, monkeypatch):
    """Also where sources come after it, of which there is nothing to keep but that."""
    feature = FeatureKey("tiny", "1-res", 5)
    first = bench.circuits.features(CircuitAsk(model_id="tiny", text=TEXT, feature=feature, sources=(SAE, NEURONS)))
    assert first.later == (SAE,) and [one.key for one in first.layers] == [NEURONS]
    calls = []
    monkeypatch.setattr(trace_module, "trace", lambda *_: calls.append("a pass"))
    monkeypatch.setattr(trace_module.torch.autograd, "grad", lambda *_, **__: calls.append("a gradient"))
    for sources in ((SAE, NEURONS), (NEURONS, SAE)):
        again = bench.circuits.features(CircuitAsk(model_id="tiny", text=TEXT, feature=feature, sources=sources))
        assert again.later == first.later and again.nodes == first.nodes and not calls


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"target": (" capital of",)}, BadInput, "tokens"), ({"target": ("",)}, BadInput, "empty"),
        ({"target": (" the",), "against": (" the",)}, BadInput, "both sides"), ({"text": ""}, BadInput, "empty"),
        ({"target": ()}, BadInput, "no target"), ({"position": 99}, BadInput, "there is no 99"),
        ({"feature": FeatureKey("tiny", "1-res", 3)}, BadInput, "one of the two"),
        ({"target": (), "against": (), "feature": FeatureKey("tiny", "1-res", 64)}, NotFound, "0 to 63"),
        ({"target": (), "against": (), "feature": FeatureKey("other", "1-res", 3)}, BadInput, "not a feature of"),
        ({"sources": (SourceKey("tiny", "9-none"),)}, NotFound, "9-none"),
        ({"model_id": "none"}, NotFound, "none"), ({"text": "word " * 200}, BadInput, "64"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(bench, changes, error, said):
    with pytest.raises(error, match=said):
        bench.circuits.features(replace(ASK, **changes))


@pytest.mark.parametrize(
    ("nodes", "said"),
    [([], "1 to 64"), ([(FeatureKey("tiny", "1-res", 7), 2)], "not active"), ([("tiny/1-res/3", 99)], "0 to")],
)
def test_nodes_that_cannot_be_taken_out(bench, nodes, said):
    with pytest.raises(BadInput, match=said):
        bench.circuits.ablate(ASK, nodes)
    with pytest.raises(BadInput, match="top is"):
        bench.circuits.features(ASK, top=0)


@settings(max_examples=60)
@given(st.integers(1, 300))
def test_a_token_is_found_again_as_it_is_written(bench, id):
    model = bench._model_slot("tiny").get()

    def ids(text):
        return model.ids(text)[1:]

    assert token_id(written(id, model.vocabulary, ids), ids, model.vocabulary) == id
    assert token_id(f"#{id}", ids, model.vocabulary) == id


def test_a_trace_ends_where_the_target_is_read(bench, model):
    source = bench._source_slot(bench.source(SAE)).get().source
    ids = torch.tensor(model.ids(TEXT))
    found = trace(model, ids, Reading(source, 3), [SAE_HOOK, "blocks.0.hook_mlp_out", "blocks.1.hook_mlp_out"])
    assert set(found.gradient) == {trace_module.FIRST, SAE_HOOK, "blocks.0.hook_mlp_out"}
    column = source.sae.W_enc[:, 3].detach()
    assert found.gradient[SAE_HOOK][-1] == pytest.approx(column, abs=1e-6)
    assert not found.gradient[SAE_HOOK][:-1].any()


def test_where_nothing_can_be_replaced_no_token_has_a_share(bench, monkeypatch):
    """After BOS alone, and where the text's own token is the only stand-in."""
    found = bench.circuits.drivers(CircuitAsk(model_id="tiny", text=TEXT, position=0))
    assert [one.ablated for one in found.tokens] == [None] and found.integrated == 0
    monkeypatch.setattr(bench.circuits, "_usual", lambda model_id, at: (at.ids[-1],))
    found = bench.circuits.drivers(CircuitAsk(model_id="tiny", text="The"))
    assert [one.ablated for one in found.tokens] == [None] * len(found.tokens)
