"""The plain modules: the bridge's numbers at every hook, its weights and none of its own, and nothing left behind.

Yardsticks: Hugging Face's model, loaded by itself, for what is not changed; the bridge's own hooks for what is. At
`hook_resid_mid` the yardstick is the output of the attention, which the residual stream takes up: the bridge's own hook
of that name changes the next norm's input alone.
"""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from core.catalog.manifest import ModelSpec
from core.errors import BadConfig
from core.models import loading, plain
from core.models.capture import capture, pad, switch_on
from core.models.plain import plain_of
from tests import tiny

QUICK = ("hook_resid_pre", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "attn.hook_z", "mlp.hook_post")
"""Where nearly every source is: these must not need the bridge."""
OTHERS = (
    "hook_in", "hook_out", "hook_mlp_in", "attn.hook_in", "attn.hook_out", "mlp.hook_in", "mlp.hook_out",
    "mlp.hook_pre", "ln1.hook_in", "ln1.hook_out", "ln1.hook_normalized", "ln2.hook_in", "ln2.hook_out",
    "ln2.hook_normalized", "attn.hook_q", "attn.hook_k", "attn.hook_v",
)  # fmt: skip
PARALLEL = ("neox", "phi", "gptj")
"""Families in which attention and MLP stand side by side: they have no `hook_resid_mid`."""
IDS = torch.tensor([[0, 5, 9, 17, 33, 60], [0, 7, 3, 40, 41, 2]])


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Of a family: the loaded model and its folder."""
    root, made = tmp_path_factory.mktemp("plain"), {}

    def model(family):
        if family not in made:
            folder = tiny.model(root / family, family, scale=4.0)
            made[family] = loading.load(ModelSpec(id="tiny", path=str(folder))), folder
        return made[family]

    return model


def near(ours, theirs) -> None:
    """The same up to the order of sums."""
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=3e-6)


def logits(model, ids=IDS, **changes):
    """Of every token, by the plain modules, with `changes` at hooks (dots written as two underscores)."""
    runner = plain_of(model).runner(model, list(changes))
    return runner.pass_(ids, changes, every=True)[0]


@torch.no_grad()
def bridged(model, hook, change, ids=IDS):
    switch_on(model.bridge, [hook])
    return model.bridge.run_with_hooks(ids, fwd_hooks=[(hook, lambda x, hook: change(x))])


def hooks_of(model, names):
    """Those of layer 1 that the model has and through which something passes."""
    found = []
    for name in names:
        hook = f"blocks.1.{name}"
        if hook in model.bridge.hook_dict:
            try:
                capture(model, IDS, [hook])
            except BadConfig:
                continue
            found.append(hook)
    return found


def shift(shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def hung(model):
    """Every hook that hangs anywhere; Hugging Face hangs some of its own at a first pass."""
    modules = [*plain_of(model)._plain.modules(), *model.bridge.modules()]
    found = [h for m in modules for h in (*m._forward_hooks.values(), *m._forward_pre_hooks.values())]
    return found + [h for point in model.bridge.hook_dict.values() for h in point.fwd_hooks]


# -- the same numbers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_logits_are_the_bridges_and_hugging_faces(models, family):
    from transformers import AutoModelForCausalLM

    model, folder = models(family)
    hf = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        near(logits(model), model.bridge(IDS))
        near(logits(model), hf(IDS).logits)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_what_passes_at_a_hook_and_what_a_change_does(models, family):
    model, _ = models(family)
    before = logits(model)
    quick = hooks_of(model, QUICK)
    assert len(quick) == 6 and len(hooks_of(model, OTHERS)) >= 11
    for hook in [*quick, *hooks_of(model, OTHERS)]:
        seen = []
        expected = capture(model, IDS, [hook])[hook]
        more = shift(expected.shape)
        looked = logits(model, **{hook: lambda x, seen=seen: seen.append(x.clone())})
        near(looked, before)
        assert torch.equal(looked, before) or not plain_of(model)._trusted[hook], "looking changes nothing"
        near(seen[0].reshape(expected.shape), expected)

        def add(x, more=more):
            return x + more.reshape(x.shape)

        ours, theirs = logits(model, **{hook: add}), bridged(model, hook, add)
        near(ours, theirs)
        assert (ours - before).abs().max() > 0.01, f"{hook}: a change does something"
    assert all(plain_of(model)._trusted[hook] for hook in quick)


@pytest.mark.parametrize("family", [f for f in tiny.FAMILIES if f not in PARALLEL])
@pytest.mark.parametrize("also", ["plain", "bridge"])
def test_the_residual_stream_between_attention_and_mlp(models, family, also):
    """What is changed there goes on in the stream and into the norm, in the plain modules and in the bridge."""
    model, _ = models(family)
    hook, out = "blocks.1.hook_resid_mid", "blocks.1.hook_attn_out"
    other = {} if also == "plain" else {"blocks.1.ln1.hook_normalized": lambda x: None}
    more, seen = shift((2, 6, 32)), []
    first = "blocks.1.hook_resid_pre"
    found = capture(model, IDS, [first, hook, out])
    near(found[hook] - found[first], found[out])

    def add(x):
        return x + more.reshape(x.shape)  # OPT runs all tokens as one row there

    ours = logits(model, **{hook: add}, **other)
    near(ours, bridged(model, out, add))
    assert (ours - bridged(model, hook, add)).abs().max() > 0.05, "which the bridge's own hook misses"
    logits(model, **{hook: lambda x: seen.append(x.clone())}, **other)
    near(seen[0].reshape(2, 6, 32), capture(model, IDS, [hook])[hook])
    near(logits(model, **{hook: lambda x: 0 * x}, **other), bridged(model, "blocks.1.hook_resid_post", only_mlp(model)))


def only_mlp(model):
    """The layer's output where the stream before the MLP is 0: what the MLP makes of nothing."""
    found = {}

    def keep(x, hook):
        found["out"] = x.clone()

    with torch.no_grad():
        hooks = [("blocks.1.hook_resid_mid", lambda x, hook: 0 * x), ("blocks.1.hook_mlp_out", keep)]
        model.bridge.run_with_hooks(IDS, fwd_hooks=hooks)
    return lambda x: found["out"]


@pytest.mark.parametrize("family", PARALLEL)
def test_a_place_that_a_family_lacks(models, family):
    model, _ = models(family)
    with pytest.raises(BadConfig, match=r"has no hook “blocks\.1\.hook_resid_mid”"):
        logits(model, **{"blocks.1.hook_resid_mid": lambda x: x})
    with pytest.raises(BadConfig, match="no hook of a block"):
        logits(model, **{"ln_final.hook_normalized": lambda x: x})


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_several_hooks_in_one_pass(models, family):
    """Each sees what those before it left."""
    model, _ = models(family)
    hooks = ["blocks.0.attn.hook_z", "blocks.0.hook_mlp_out", "blocks.1.hook_resid_pre", "blocks.1.mlp.hook_post"]
    shapes = {hook: value.shape for hook, value in capture(model, IDS, hooks).items()}

    def changes(hook):
        return lambda x: 0.5 * x + shift(shapes[hook]).reshape(x.shape)

    ours = logits(model, **{hook: changes(hook) for hook in reversed(hooks)})
    with torch.no_grad():
        asked = [(hook, lambda x, hook, name=hook: changes(name)(x)) for hook in hooks]
        near(ours, model.bridge.run_with_hooks(IDS, fwd_hooks=asked))


# -- what is read ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_what_is_captured_is_what_the_bridge_captures(models, family):
    """At every hook through which something passes: alone, and all together, which may need the bridge."""
    model, _ = models(family)
    hooks = hooks_of(model, (*QUICK, "hook_resid_mid", *OTHERS))
    ids = pad([[0, 5, 9, 17], [7], [3, 40, 41, 2, 8, 100]])
    theirs = capture(model, ids, hooks)
    plain_of(model).runner(model, hooks)  # looks the hooks up
    quick = [hook for hook in hooks if plain_of(model)._holds(model, hook)]
    assert len(quick) > 12
    for some in (hooks, quick, *([hook] for hook in hooks)):
        ours = plain.capture(model, ids, some)
        assert list(ours) == some or set(ours) == set(some)
        for hook, value in ours.items():
            near(value, theirs[hook])
    near(plain.capture(model, ids[:1, :4], quick[:1])[quick[0]], theirs[quick[0]][:1, :4])


def test_the_rest_of_a_pass_is_left_out(models):
    """What comes after the last hook is not run, nor is anything left hanging."""
    model, _ = models("llama")
    first = ["blocks.0.hook_resid_pre", "blocks.0.attn.hook_z", "blocks.0.hook_mlp_out"]
    plain.capture(model, IDS, [*first, "blocks.1.hook_resid_post"])
    others, ran = hung(model), []
    blocks = plain_of(model)._plain.model.layers
    handles = [block.register_forward_pre_hook(lambda *_, n=n: ran.append(n)) for n, block in enumerate(blocks)]
    try:
        plain.capture(model, IDS, first)
        assert ran == [0]
        plain.capture(model, IDS, [first[0], "blocks.1.hook_resid_post"])
        assert ran == [0, 0, 1]
    finally:
        for handle in handles:
            handle.remove()
    assert hung(model) == others


# -- with a cache ------------------------------------------------------------------------------------------------------

WINDOWS = [
    *[(family, {}) for family in tiny.FAMILIES],
    *[(family, {"sliding_window": 4}) for family in ("mistral", "gemma2", "gemma3", "mixtral")],
    ("qwen2", {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1}),
    ("gpt-neo", {"window_size": 4}),
]


@pytest.mark.parametrize(("family", "options"), WINDOWS, ids=[f"{f}{'-window' if o else ''}" for f, o in WINDOWS])
@pytest.mark.parametrize("hook", ["blocks.1.hook_resid_post", "blocks.0.ln1.hook_normalized"])
def test_a_text_in_pieces_is_the_text_whole(tmp_path, family, options, hook):
    """Also where a layer looks back over a few tokens only, in one piece and in several, plain and by the bridge."""
    model = loading.load(ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "m", family, scale=4.0, **options))))
    ids = torch.arange(1, 25).reshape(2, 12) * 7 % 390
    more = shift((2, 12, 32))
    if options:
        whole = loading.load(ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "w", family, scale=4.0))))
        assert (logits(model, ids) - logits(whole, ids)).abs().max() > 1e-3, "the window matters here"
    runner = plain_of(model).runner(model, [hook])
    assert runner.plain == plain_of(model)._trusted[hook] == (not hook.endswith("hook_normalized"))
    together, _ = runner.pass_(ids, {hook: lambda x: x + more}, every=True)
    near(together, bridged(model, hook, lambda x: x + more, ids))
    for cuts in ([12], [1] * 12, [5, 1, 1, 5], [6, 3, 3]):
        cache, at, found = None, 0, []
        for size in cuts:
            piece = more[:, at : at + size]
            some, cache = runner.pass_(
                ids[:, at : at + size], {hook: lambda x, piece=piece: x + piece}, cache, every=True
            )
            found.append(some)
            at += size
        torch.testing.assert_close(torch.cat(found, 1), together, rtol=1e-4, atol=1e-5)
        last, _ = runner.pass_(ids, {hook: lambda x: x + more})
        assert last.shape == (2, 1, together.shape[2])
        near(last[:, 0], together[:, -1])


# -- nothing copied, nothing left --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_no_weight_is_copied(models, family):
    model, _ = models(family)
    made = plain_of(model)
    assert made is plain_of(model), "and it is made once"
    theirs = {p.data_ptr() for p in model.bridge.original_model.parameters()}
    theirs |= {b.data_ptr() for b in model.bridge.original_model.buffers()}
    ours = [*made._plain.parameters(), *made._plain.buffers()]
    assert ours and all(p.data_ptr() in theirs for p in ours)
    assert not made._plain.training


def test_nothing_is_left_behind(models):
    model, _ = models("llama")
    hooks = ["blocks.0.hook_resid_mid", "blocks.1.attn.hook_z", "blocks.1.hook_resid_post"]
    far = ["blocks.0.ln1.hook_normalized", "blocks.1.hook_resid_mid"]
    before, ours = model.bridge(IDS), logits(model)
    plain_of(model).runner(model, [*hooks, *far])
    others = hung(model)
    for some in (hooks, far):
        logits(model, **dict.fromkeys(some, lambda x: x + 1))
        assert hung(model) == others
        for n in range(len(some)):

            def fail(x):
                raise ValueError("as asked")

            changes = dict.fromkeys(some, lambda x: x + 1) | {some[n]: fail}
            with pytest.raises(ValueError, match="as asked"):
                logits(model, **changes)
            assert hung(model) == others
        with pytest.raises(IndexError):  # in the midst of the model
            logits(model, torch.tensor([[0, 999_999]]), **dict.fromkeys(some, lambda x: x))
        assert hung(model) == others
    assert torch.equal(model.bridge(IDS), before) and torch.equal(logits(model), ours), "and all is as it was"


def test_hooks_of_others_are_left_alone(models):
    """What somebody hung on the bridge neither shows in a plain pass nor goes with it."""
    model, _ = models("gpt2")
    hook, seen = "blocks.1.hook_resid_pre", []
    before, others = logits(model), hung(model)
    plain_of(model).runner(model, [hook])
    model.bridge.add_hook(hook, lambda x, hook: seen.append(1))
    try:
        assert torch.equal(logits(model, **{hook: lambda x: None}), before) and not seen
        model.bridge(IDS)
        assert seen
        far = {"blocks.0.ln1.hook_normalized": lambda x: None, hook: lambda x: None}
        near(logits(model, **far), before)
        model.bridge(IDS)
        assert len(seen) == 3, "also after a pass by the bridge itself"
    finally:
        model.bridge.reset_hooks()
    assert hung(model) == others


def test_a_module_that_shows_something_else_is_not_trusted(models):
    """If another architecture has a hook elsewhere than it seems, the bridge takes over and the numbers hold."""
    model, _ = models("qwen2")
    made, hook = plain_of(model), "blocks.1.hook_mlp_out"
    point, wrong = model.bridge.hook_dict[hook], model.bridge.hook_dict["blocks.1.hook_attn_out"]
    right, made._trusted[hook] = made._sites[id(point)], False
    made._sites[id(point)] = made._sites[id(wrong)]
    del made._trusted[hook]
    try:
        more = shift((2, 6, 32))
        near(logits(model, **{hook: lambda x: x + more}), bridged(model, hook, lambda x: x + more))
        assert made._trusted[hook] is False
        del made._sites[id(point)], made._trusted[hook]
        near(logits(model, **{hook: lambda x: x + more}), bridged(model, hook, lambda x: x + more))
        assert made._trusted[hook] is False, "nor one that is nowhere"
    finally:
        made._sites[id(point)] = right
        del made._trusted[hook]


def test_it_goes_with_the_model(tmp_path):
    model = loading.load(ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "model"))))
    logits(model, **{"blocks.0.hook_resid_mid": lambda x: x + 1})
    weight = weakref.ref(next(iter(plain_of(model)._plain.parameters())))
    held = weakref.ref(model)
    del model
    gc.collect()
    assert held() is None and weight() is None


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_bfloat16(tmp_path, family):
    """The model's own dtype at the hook, logits in float32."""
    folder = tiny.model(tmp_path / "m", family, scale=4.0)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)), dtype="bfloat16")
    found = []
    ours = logits(model, **{"blocks.1.hook_resid_pre": lambda x: found.append(x.dtype)})
    assert found == [torch.bfloat16] and ours.dtype == torch.float32
    assert plain_of(model)._trusted["blocks.1.hook_resid_pre"]
    hook = "blocks.1.hook_resid_mid"
    assert torch.equal(plain.capture(model, IDS, [hook])[hook], capture(model, IDS, [hook])[hook]), "as a build reads"
    with torch.no_grad():
        torch.testing.assert_close(ours, model.bridge(IDS).float(), rtol=0.02, atol=0.02)
