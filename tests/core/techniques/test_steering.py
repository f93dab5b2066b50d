"""What each method does to an activation: its formula, against plain forward hooks on Hugging Face's model.

Every place at which a source may be, every kind of source, and which tokens are steered. What comes of it, generation,
is in `test_generate.py`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadInput
from core.models import loading
from core.models.inturn import InTurn
from core.sources import dictionary
from core.sources.directions import Directions
from core.techniques.generate import Batch
from core.techniques.steering import Aim, Part, Steering
from tests import tiny
from tests.core.techniques import by_hand
from tests.core.techniques.by_hand import Pushed
from tests.core.techniques.cases import Case

METHODS = ("add", "orthogonal", "clamp", "cap", "ablate")
HOOKS = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_mlp_out", "attn.hook_z")
FAMILIES = ("gpt2", "llama", "gemma2")
IDS = [0, 5, 9, 17, 33, 60, 7]
MORE = [3, 40, 41, 2]


def agree(case, method, ours, theirs, *, unit=False, aim=None):
    """Logits of every token, of a row that is steered and of one that is not, as by hand; gives how far apart."""
    aim = aim or Aim(special=True)
    steering = Steering(method, [(), ours], unit=unit)
    batch = Batch(case.model, InTurn(), steering, aim)
    last, _ = batch.read(IDS, 2)
    at = aim.prompt([i in case.model.vocabulary.special for i in IDS]) + [aim.generated] * len(MORE)
    text = [*IDS, *MORE]
    plain = case.hand(text)
    steered = case.hand(text, by_hand.edits(method, theirs, at, unit=unit))
    close(last[0], plain[len(IDS) - 1])
    close(last[1], steered[len(IDS) - 1])
    rest = batch.go_on([MORE, MORE], every=True)
    close(rest[0], plain[len(IDS) :])
    close(rest[1], steered[len(IDS) :])
    return float((steered - plain).abs().max())


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("steering"), {}

    def case(family="gpt2"):
        if family not in made:
            made[family] = Case(root / family, family)
        return made[family]

    return case


def close(ours, theirs) -> None:
    torch.testing.assert_close(ours, theirs, rtol=2e-4, atol=2e-5)


def strengths(method, source, case, indices):
    """A strength each at which the method does something: within what the projections are for `cap`."""
    if method == "cap":
        h = case.hand.seen([*IDS, *MORE], source.hook_out)
        rows = source.W_dec[indices]
        along = h @ (rows / rows.norm(dim=1, keepdim=True)).T
        return [float(one.median()) for one in along.T]
    return {"add": [7.0, -4.0], "orthogonal": [-2.0, 3.0], "clamp": [5.0, 0.25], "ablate": [9.0, 9.0]}[method]


# -- the formulas ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", HOOKS)
@pytest.mark.parametrize("method", METHODS)
def test_an_saes_features_at_every_place(cases, family, name, method):
    """One feature, then two of one source together."""
    case = cases(family)
    ours, theirs = case.sae(f"blocks.0.{name}")
    a = theirs.encode(case.hand.seen(IDS, ours.hook))
    active = torch.where((a > 0).sum(0).ge(3) & (a > 0).sum(0).lt(len(IDS)))[0].tolist()
    two = strengths(method, ours, case, active[:2])
    for some in (1, 2):
        asked = [(ours, theirs, i, s) for i, s in zip(active[:some], two, strict=False)]
        assert agree(case, method, *case.parts(*asked)) > 0.01, "it does something"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", [False, True])
def test_unit_directions(cases, method, unit):
    """Divided by their length first; a clamp's decoder rows are the dictionary's all the same."""
    case = cases()
    ours, theirs = case.sae("blocks.1.hook_resid_pre")
    two = strengths(method, ours, case, [3, 11])
    asked = case.parts((ours, theirs, 3, two[0]), (ours, theirs, 11, two[1]))
    assert not np.allclose(ours.W_dec[[3, 11]].norm(dim=1), 1, atol=0.1)
    agree(case, method, *asked, unit=unit)


KINDS = [
    ("standard", {}), ("jumprelu", {}), ("gated", {}), ("topk", {}), ("topk", {"rescale_acts_by_decoder_norm": True}),
    ("matching_pursuit", {"max_iterations": 5}), ("standard", {"normalize_activations": "layer_norm"}),
    ("standard", {"normalize_activations": "constant_norm_rescale"}),
    ("jumprelu", {"normalize_activations": "expected_average_only_in"}), ("standard", {"apply_b_dec_to_input": False}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "options"), KINDS, ids=[f"{k}-{'-'.join(map(str, o.values()))}" for k, o in KINDS])
@pytest.mark.parametrize("method", ["add", "clamp", "ablate"])
def test_every_architecture(cases, kind, options, method):
    case = cases()
    ours, theirs = case.sae("blocks.1.hook_resid_pre", kind, **options)
    a = theirs.encode(case.hand.seen(IDS, ours.hook))
    active = (a > 0).sum(0).argsort(descending=True)[:2].tolist()
    assert (a[:, active] > 0).any(0).all(), "there is something to ablate"
    asked = [(ours, theirs, i, s) for i, s in zip(active, (6.0, 0.5), strict=True)]
    assert agree(case, method, *case.parts(*asked)) > 1e-3


TRANSCODERS = ("transcoder", "skip_transcoder", "jumprelu_transcoder", "jumprelu_skip_transcoder")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", TRANSCODERS)
@pytest.mark.parametrize("method", METHODS)
def test_a_transcoder_reads_in_one_place_and_writes_in_another(cases, family, kind, method):
    case = cases(family)
    ours, theirs = case.sae("blocks.0.mlp.hook_in", kind)
    assert ours.hook_out == "blocks.0.hook_mlp_out"
    a = theirs.encode(case.hand.seen(IDS, ours.hook))
    active = (a > 0).sum(0).argsort(descending=True)[:2].tolist()
    two = strengths(method, ours, case, active)
    asked = [(ours, theirs, i, s) for i, s in zip(active, two, strict=True)]
    assert agree(case, method, *case.parts(*asked)) > 1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_neurons(cases, family, method):
    """Their value is that of `hook_post`, their row what the MLP writes for one."""
    case = cases(family)
    ours = dictionary.load(WeightsSpec(kind="neurons", hook="blocks.0.mlp.hook_post"), case.model)
    two = strengths(method, ours, case, [3, 11])
    asked = case.parts((ours, None, 3, two[0]), (ours, None, 11, two[1]))
    assert agree(case, method, *asked) > 1e-3


def test_a_clamped_neuron_is_that_neuron_at_that_value(cases):
    """By another road: setting the neuron itself, where it is, and leaving the rest of the MLP to the model."""
    case = cases()
    source = dictionary.load(WeightsSpec(kind="neurons", hook="blocks.1.mlp.hook_post"), case.model)

    def put(h, seen):
        h[:, [5, 40]] = torch.tensor([4.0, -2.0])
        return h

    batch = Batch(case.model, InTurn(), Steering("clamp", [[Part(source, 5, 4.0), Part(source, 40, -2.0)]]),
                  Aim(special=True))  # fmt: skip
    close(batch.read(IDS, 1)[0][0], case.hand(IDS, {source.hook: put})[-1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("name", HOOKS)
def test_a_direction_of_ones_own(cases, method, unit, name):
    case = cases()
    torch.manual_seed(3)
    ours = Directions(3 * torch.randn(2, 32), f"blocks.1.{name}")
    two = strengths(method, ours, case, [0, 1])
    asked = case.parts((ours, None, 0, two[0]), (ours, None, 1, two[1]))
    assert agree(case, method, *asked, unit=unit) > 1e-3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("also", [(), ("blocks.0.hook_resid_mid",)])
def test_a_place_that_only_the_bridge_has(cases, method, also):
    """A half of a joint matrix is no module's output: the pass goes by the bridge, cache and all, as do its others."""
    case = cases()
    asked = []
    for hook in ("blocks.1.attn.hook_v", *also):
        torch.manual_seed(3)
        ours = Directions(3 * torch.randn(1, 32), hook)
        asked.append((ours, None, 0, strengths(method, ours, case, [0])[0]))
    batch = Batch(case.model, InTurn(), Steering(method, [case.parts(*asked)[0]]), Aim())
    assert not batch._runner.plain
    assert agree(case, method, *case.parts(*asked)) > 1e-3


@pytest.mark.parametrize("unit", [False, True])
def test_a_clamped_direction_has_exactly_that_product(cases, unit):
    """h·v, v as it is used: of length 1 with `unit`."""
    case = cases()
    torch.manual_seed(3)
    source = Directions(3 * torch.randn(1, 32), "blocks.1.hook_resid_pre")
    steering = Steering("clamp", [[Part(source, 0, 2.5)]], unit=unit)
    _, seen = Batch(case.model, InTurn(), steering, Aim(special=True), [source.hook]).read(IDS, 1, [source.hook])
    v = source.W_dec[0] / (source.W_dec[0].norm() if unit else 1)
    torch.testing.assert_close(seen[source.hook][0] @ v, torch.full((len(IDS),), 2.5), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_two_sources_at_one_hook(cases, method):
    """Adding and clamping together, from one activation; the others one after another, in the order given."""
    case = cases()
    hook = "blocks.1.hook_resid_pre"
    a, sae_a = case.sae(hook)
    b, sae_b = case.sae(hook, "jumprelu", seed=5)
    torch.manual_seed(4)
    c = Directions(2 * torch.randn(1, 32), hook)
    s = strengths(method, a, case, [3, 11])
    t = strengths(method, b, case, [7, 8])
    first = [(a, sae_a, 3, s[0]), (b, sae_b, 7, t[0]), (c, None, 0, s[1]), (a, sae_a, 11, s[1])]
    for asked in (first, first[::-1], [first[0], first[3], first[1]]):
        assert agree(case, method, *case.parts(*asked)) > 0.01


@pytest.mark.parametrize("method", METHODS)
def test_sources_at_several_hooks(cases, method):
    """A later source reads what an earlier one left."""
    case = cases()
    asked = []
    for name, kind in (("0.attn.hook_z", "standard"), ("0.hook_resid_mid", "jumprelu"), ("0.mlp.hook_in", "transcoder"),
                       ("1.hook_resid_pre", "standard"), ("1.hook_mlp_out", "topk")):  # fmt: skip
        ours, theirs = case.sae(f"blocks.{name}", kind)
        a = theirs.encode(case.hand.seen(IDS, ours.hook))
        i = int((a > 0).sum(0).argmax())
        asked.append((ours, theirs, i, strengths(method, ours, case, [i, i])[0]))
    for order in (asked, asked[::-1]):
        assert agree(case, method, *case.parts(*order)) > 0.01


def test_a_transcoder_beside_an_sae_where_it_writes(cases):
    """Both clamp at the MLP's output, one from what it reads there, one from what it reads before the MLP."""
    case = cases()
    ours, theirs = case.sae("blocks.0.mlp.hook_in", "transcoder")
    other, sae = case.sae("blocks.0.hook_mlp_out")
    for asked in ([(ours, theirs, 3, 4.0), (other, sae, 9, 3.0)], [(other, sae, 9, 3.0), (ours, theirs, 3, 4.0)]):
        assert agree(case, "clamp", *case.parts(*asked)) > 0.01


def test_a_transcoder_that_reads_after_it_writes(cases):
    """There is no value to clamp by when the activation is to change."""
    case = cases()
    ours, _ = case.sae("blocks.1.mlp.hook_in", "transcoder", hook_out="blocks.0.hook_mlp_out")
    Batch(case.model, InTurn(), Steering("add", [[Part(ours, 3, 4.0)]]), Aim()).read(IDS, 1)
    with pytest.raises(
        BadInput, match=r"reads at blocks\.1\.mlp\.hook_in, which comes after .*blocks\.0\.hook_mlp_out"
    ):
        Batch(case.model, InTurn(), Steering("clamp", [[Part(ours, 3, 4.0)]]), Aim()).read(IDS, 1)


def test_a_row_without_length_is_no_direction(cases):
    source = Directions(torch.zeros(2, 32), "blocks.1.hook_resid_pre")
    for method in METHODS:
        with pytest.raises(BadInput, match="length 0: there is no direction"):
            Steering(method, [[Part(source, 1, 1.0)]])


# -- what changes nothing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "strength"), [("add", 0.0), ("orthogonal", 1.0), ("cap", 1e6)])
@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_strengths_that_change_nothing(tmp_path, family, method, strength):
    """Bit for bit: the two rows are one text, in every family, over a prompt and what follows."""
    model = loading.load(ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "m", family, scale=6.0))))
    torch.manual_seed(1)
    source = Directions(torch.randn(2, 32), "blocks.1.hook_resid_pre")
    parts = [Part(source, 0, strength), Part(source, 1, strength)]
    for length in (1, 3, 8, 17):
        batch = Batch(model, InTurn(), Steering(method, [(), parts]), Aim(special=True))
        logits, _ = batch.read([(7 * n + length) % 300 for n in range(length)], 2)
        assert torch.equal(logits[0], logits[1])
        for token in (5, 9, 200):
            logits = batch.go_on([[token], [token]])
            assert torch.equal(logits[0], logits[1])
        logits = batch.go_on([[7, 8, 9]] * 2, every=True)
        assert torch.equal(logits[0], logits[1])


def test_clamping_to_its_own_value_changes_nothing(cases):
    case = cases()
    ours, theirs = case.sae("blocks.1.hook_resid_pre")
    a = theirs.encode(case.hand.seen(IDS, ours.hook)).detach()
    index = int((a > 0).sum(0).argmax())
    plain = case.hand(IDS)
    for at in range(len(IDS)):
        part = Part(ours, index, float(a[at, index]))
        batch = Batch(case.model, InTurn(), Steering("clamp", [[part]]), Aim("prompt", (at,), special=True))
        torch.testing.assert_close(batch.read(IDS, 1)[0][0], plain[-1], rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("kind", ["standard", "topk", "gated", "transcoder"])
def test_ablating_is_clamping_to_0(cases, kind):
    case = cases()
    ours, _ = case.sae("blocks.0.mlp.hook_in" if "transcoder" in kind else "blocks.1.hook_resid_pre", kind)
    found = []
    for method, strength in (("ablate", 3.0), ("clamp", 0.0), ("ablate", -8.0)):
        parts = [Part(ours, i, strength) for i in range(0, 40, 3)]
        batch = Batch(case.model, InTurn(), Steering(method, [(), parts]), Aim())
        found.append(torch.cat([batch.read(IDS, 2)[0][:, None], batch.go_on([MORE, MORE], every=True)], 1))
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    assert (found[0][0] - found[0][1]).abs().max() > 0.01


# -- which tokens ------------------------------------------------------------------------------------------------------

SPECIALS = [0, 5, 0, 17, 33, 60, 7]
AIMS = [
    (Aim(), [1, 3, 4, 5, 6], True),
    (Aim(special=True), [0, 1, 2, 3, 4, 5, 6], True),
    (Aim("prompt"), [1, 3, 4, 5, 6], False),
    (Aim("generated"), [6], True),
    (Aim("all", (1, 4)), [1, 4], True),
    (Aim("prompt", (4, 1, 4)), [1, 4], False),
    (Aim("prompt", (0, 2, 3)), [3], False),
    (Aim("prompt", (0, 2, 3), special=True), [0, 2, 3], False),
]


@pytest.mark.parametrize(("aim", "expected", "generated"), AIMS)
@pytest.mark.parametrize("name", HOOKS)
def test_exactly_the_asked_tokens_change(cases, name, aim, expected, generated):
    case = cases()
    source = Directions(torch.ones(1, 32), f"blocks.0.{name}")
    batch = Batch(case.model, InTurn(), Steering("add", [(), [Part(source, 0, 2.0)]]), aim, [source.hook])
    _, seen = batch.read(SPECIALS, 2, [source.hook])
    before, after = seen[source.hook]
    assert torch.where((before != after).any(1))[0].tolist() == expected
    torch.testing.assert_close(after[expected] - before[expected], torch.full((len(expected), 32), 2.0))
    pushed = [Pushed(source.hook, source.hook, source.W_dec[0], 0, 2.0)]
    at = [n in expected for n in range(7)] + [generated] * 3
    rest = batch.go_on([[9, 0, 11], [9, 0, 11]], every=True)
    close(rest[1], case.hand([*SPECIALS, 9, 0, 11], by_hand.edits("add", pushed, at))[7:])
    close(rest[0], case.hand([*SPECIALS, 9, 0, 11])[7:])


@pytest.mark.parametrize("method", ["orthogonal", "clamp", "cap"])
def test_other_methods_keep_to_the_asked_tokens_too(cases, method):
    case = cases()
    ours, theirs = case.sae("blocks.1.hook_resid_pre")
    asked = case.parts((ours, theirs, 3, -3.0))
    for aim in (Aim("prompt", (2, 5)), Aim("generated"), Aim("all", (1,), special=True)):
        agree(case, method, *asked, aim=aim)


# -- rows of a batch ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_a_batch_are_rows_alone(cases, method):
    """Two rows, and the seven of a sweep: each as if it were run by itself."""
    case = cases("llama")
    ours, _ = case.sae("blocks.1.hook_resid_pre", "topk")
    base = strengths(method, ours, case, [3, 11])
    rows = [[Part(ours, 3, base[0] * f), Part(ours, 11, base[1] * f)] for f in (-2, -1, 0, 0.5, 1, 2, 4)]
    for some in (rows, [(), rows[2]], [rows[0], ()]):
        together = Batch(case.model, InTurn(), Steering(method, some), Aim())
        first, _ = together.read(IDS, len(some))
        text = [[(n + k) % 50 for k in range(5)] for n in range(len(some))]
        rest = together.go_on(text, every=True)
        for n, row in enumerate(some):
            alone = Batch(case.model, InTurn(), Steering(method, [row]), Aim())
            close(alone.read(IDS, 1)[0][0], first[n])
            close(alone.go_on([text[n]], every=True)[0], rest[n])


def test_a_twin_goes_its_own_way(cases):
    case = cases()
    ours, _ = case.sae("blocks.1.hook_resid_pre")
    batch = Batch(case.model, InTurn(), Steering("add", [(), [Part(ours, 3, 5.0)]]), Aim())
    batch.read(IDS, 2)
    twin = batch.twin()
    one = twin.go_on([[1, 2, 3], [4, 5, 6]], every=True)
    close(batch.go_on([[7], [8]])[:, -1][0], case.hand([*IDS, 7])[-1])
    two = twin.go_on([[9], [9]])
    close(one[0], case.hand([*IDS, 1, 2, 3])[len(IDS) :])
    close(two[0, -1], case.hand([*IDS, 1, 2, 3, 9])[-1])
    close(batch.go_on([[8], [8]])[0, -1], case.hand([*IDS, 7, 8])[-1])


# -- half precision ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_a_model_in_bfloat16(tmp_path, method):
    """The change is computed in float32 and put down in the model's dtype, at its tokens alone."""
    folder = tiny.model(tmp_path / "model", "llama", scale=6.0)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)), dtype="bfloat16")
    torch.manual_seed(3)
    save_file({"rows": torch.randn(1, 32)}, tmp_path / "d.safetensors")
    spec = WeightsSpec(kind="directions", path=str(tmp_path / "d.safetensors"), hook="blocks.1.hook_resid_pre")
    source = dictionary.load(spec, model)
    strength = {"cap": -0.5, "orthogonal": 3.0}.get(method, 2.0)
    steering = Steering(method, [(), [Part(source, 0, strength)]])
    batch = Batch(model, InTurn(), steering, Aim(), [source.hook])
    logits, seen = batch.read(IDS, 2, [source.hook])
    before, after = seen[source.hook]
    assert logits.dtype == torch.float32 and logits.isfinite().all()
    assert torch.equal(before[0], after[0]), "BOS"
    pushed = [Pushed(source.hook, source.hook, source.W_dec[0], 0, strength)]
    for n in range(1, len(IDS)):
        expected = by_hand.edit(method, before[n], {}, pushed, False).bfloat16().float()
        torch.testing.assert_close(after[n], expected, rtol=2**-7, atol=2**-9)
    rest = batch.go_on([MORE, MORE], every=True)
    assert rest.isfinite().all() and not torch.equal(rest[0], rest[1])
