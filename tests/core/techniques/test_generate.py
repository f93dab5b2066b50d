"""Texts as they are written: with a cache, side by side, against the whole text run anew for every token.

`naive` is that: Hugging Face's model by hand, no cache, no batch, its own steering (`by_hand`). It draws with the same
`Sampling`, whose own definition is in `test_sampling.py`.
"""

from __future__ import annotations

import dataclasses
import json
import math
from itertools import islice

import numpy as np
import pytest
import torch

from core.catalog.manifest import ModelSpec
from core.errors import BadConfig, BadInput
from core.models import loading
from core.models.inturn import InTurn
from core.records import FeatureKey, Message, Push, SteerAsk, Watched
from core.sources.directions import Directions
from core.techniques.generate import Batch, Text, Watch, divergence
from core.techniques.steer import _perplexity, chat_ids, end_tokens, prompt_ids, sampling_of, steer, sweep
from core.techniques.steering import Aim, Part, Steering
from tests import tiny
from tests.core.techniques import by_hand
from tests.core.techniques.by_hand import Pushed
from tests.core.techniques.cases import Case

KEY = FeatureKey("tiny", "1-res", 3)
PROMPT = "The capital of France"
NEAR = {"abs": 2e-4, "rel": 2e-4}


def asked(method="add", **options):
    options = {"prompt": PROMPT, "length": 20, "temperature": 0.0} | options
    return SteerAsk(model_id="tiny", pushes=(Push(KEY, 1.0),), method=method, **options)


def run(case, ask, parts, watched=()):
    *_, record = steer(ask, case.model, InTurn(), parts, (), watched)
    return record


def ids(text):
    return [one.token.id for one in text.tokens]


def direction(case, hook="blocks.1.hook_resid_pre", *, seed=1, scale=3.0):
    """(our part, the same by hand), of strength 1."""
    torch.manual_seed(seed)
    source = Directions(scale * torch.randn(1, 32), hook)
    return [Part(source, 0, 1.0)], [Pushed(hook, hook, source.W_dec[0], 0, 1.0)]


def feature(case, strength, kind="standard", hook="blocks.1.hook_resid_pre"):
    """The same of a feature that is active on the prompt."""
    ours, theirs = case.sae(hook, kind)
    a = theirs.encode(case.hand.seen(prompt_ids(asked(), case.model)[0], ours.hook))
    return case.parts((ours, theirs, int((a > 0).sum(0).argmax()), strength))


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    root, made = tmp_path_factory.mktemp("generate"), {}

    def case(family="gpt2", **options):
        name = f"{family}-{options}"
        if name not in made:
            made[name] = Case(root / str(len(made)), family, **options)
        return made[name]

    return case


@dataclasses.dataclass
class Told:
    """A text by hand."""

    ids: list
    logprobs: list
    other: list
    first: np.ndarray
    """Log-probabilities of its first token."""


def naive(case, ask, pushed, *, steered, prompt=None):
    """A text and its log-probabilities, the whole of it run anew for each token."""
    prompt = prompt_ids(ask, case.model)[0] if prompt is None else prompt
    aim, sampling = Aim(ask.where, ask.positions, ask.special), sampling_of(ask)
    at = aim.prompt([i in case.model.vocabulary.special for i in prompt]) + [aim.generated] * ask.length

    def after(text, edited):
        edits = by_hand.edits(ask.method, pushed, at, unit=ask.unit) if edited else None
        return case.hand([*prompt, *text], edits)

    text, own, ends, first = [], [], end_tokens(case.model), None
    while len(text) < ask.length and not (text and text[-1] in ends):
        logits = after(text, steered)[-1]
        (token,) = sampling(logits[None], [text], len(text))
        logprobs = by_hand.logprobs(logits)
        first = logprobs if first is None else first
        own.append(float(logprobs[token]))
        text.append(token)
    other = by_hand.logprobs(after(text, not steered))[len(prompt) - 1 : -1]
    return Told(text, own, [float(other[n, token]) for n, token in enumerate(text)], first)


def agrees(text, told) -> None:
    assert ids(text) == told.ids
    assert [one.logprob for one in text.tokens] == pytest.approx(told.logprobs, **NEAR)
    assert [one.other for one in text.tokens] == pytest.approx(told.other, **NEAR)


# -- with a cache as without -------------------------------------------------------------------------------------------

RUNS = [
    ("gpt2", "add", {}), ("gpt2", "clamp", {}), ("gpt2", "ablate", {}), ("gpt2", "cap", {}), ("gpt2", "orthogonal", {}),
    ("llama", "add", {"temperature": 1.0}), ("llama", "clamp", {"temperature": 1.0, "top_p": 0.8}),
    ("gemma2", "add", {"temperature": 0.7, "frequency_penalty": 1.5}), ("gemma2", "clamp", {}),
    ("gpt2", "add", {"where": "prompt"}), ("gpt2", "add", {"where": "generated"}),
    ("gpt2", "add", {"where": "prompt", "positions": (2,)}), ("llama", "add", {"positions": (0, 1), "special": True}),
    ("gpt2", "add", {"unit": True, "temperature": 1.3}),
]  # fmt: skip


@pytest.mark.parametrize(("family", "method", "options"), RUNS)
def test_two_texts_are_what_the_whole_text_run_anew_gives(cases, family, method, options):
    """Every token of both, its log-probability, and that under the other model: by one teacher-forced pass."""
    case, ask = cases(family), asked(method, **options)
    strength = {"add": 12.0, "clamp": 12.0, "ablate": 0.0, "cap": -3.0, "orthogonal": -3.0}[method]
    ours, theirs = feature(case, strength)
    record = run(case, ask, ours)
    default, steered = naive(case, ask, theirs, steered=False), naive(case, ask, theirs, steered=True)
    agrees(record.default, default)
    agrees(record.steered, steered)
    assert record.steered.text == case.model.vocabulary.text(steered.ids)
    assert abs(np.array(steered.logprobs) - steered.other).max() > 1e-3, "steering does something"


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 31, 32, 33])
def test_every_token_is_scored_whatever_the_length(cases, length):
    case, ask = cases(), asked(length=length, temperature=1.0)
    ours, theirs = direction(case)
    record = run(case, ask, ours)
    assert len(record.default.tokens) == len(record.steered.tokens) == length
    agrees(record.default, naive(case, ask, theirs, steered=False))
    agrees(record.steered, naive(case, ask, theirs, steered=True))


@pytest.fixture
def ended(monkeypatch):
    """Makes some tokens the model's end of text."""

    def end(case, *tokens):
        monkeypatch.setattr(case.model.bridge.original_model.generation_config, "eos_token_id", list(tokens))

    return end


@pytest.mark.parametrize("at", [0, 4, 15, 16, 21])
@pytest.mark.parametrize("which", ["default", "steered"])
def test_one_text_that_ends_before_the_other(cases, ended, at, which):
    """The other goes on as if it were alone, and both are scored to their end."""
    case = cases()
    ours, theirs = direction(case)
    for seed in range(60):  # one in which a token of the one stands there first, and never in the other
        ask = asked(length=35, temperature=1.0, seed=seed)
        record = run(case, ask, ours)
        one, two = (record.default, record.steered) if which == "default" else (record.steered, record.default)
        token = ids(one)[at]
        if token not in ids(one)[:at] and token not in ids(two):
            break
    else:
        raise AssertionError("no seed will do")
    ended(case, token, 99_999)
    again = run(case, ask, ours)
    one, two = (again.default, again.steered) if which == "default" else (again.steered, again.default)
    assert len(one.tokens) == at + 1 and one.ended and len(two.tokens) == 35 and not two.ended
    agrees(again.default, naive(case, ask, theirs, steered=False))
    agrees(again.steered, naive(case, ask, theirs, steered=True))


def test_the_run_stops_when_both_have_ended(cases, ended):
    case = cases()
    ask = asked(length=35)
    record = run(case, ask, direction(case)[0])
    ended(case, ids(record.default)[3], ids(record.steered)[5])
    records = list(steer(ask, case.model, InTurn(), direction(case)[0], ()))
    last = records[-1]
    assert last.default.ended and last.steered.ended and last.done
    assert max(len(last.default.tokens), len(last.steered.tokens)) <= 6 and len(records) <= 8
    assert all(one.other is not None for one in last.default.tokens + last.steered.tokens)


def test_what_ends_a_text(tmp_path):
    """The generation's settings first, then the tokenizer's; a model may have no end."""
    one = loading.load(ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "a"))))
    assert end_tokens(one) == (0,)
    one.bridge.original_model.generation_config.eos_token_id = [3, 5]
    assert end_tokens(one) == (3, 5)
    one.bridge.original_model.generation_config.eos_token_id = None
    assert end_tokens(one) == (one.tokenizer.eos_token_id,)
    none = loading.load(ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "b", "llama", bos=False))))
    assert end_tokens(none) == ()


# -- what changes nothing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize(("method", "strength"), [("add", 0.0), ("orthogonal", 1.0), ("cap", 1e6)])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_strength_that_changes_nothing_gives_the_default(cases, family, method, strength, temperature):
    """Token for token, to the bit; and the prompt's next token does not move at all."""
    case = cases(family)
    ours, _ = direction(case)
    watch = [(Watch(ours[0].source, 0), Watched(key=KEY, label="", before=(), after=()))]
    parts = [dataclasses.replace(ours[0], strength=strength)]
    record = run(case, asked(method, temperature=temperature, special=True, length=12), parts, watch)
    assert ids(record.default) == ids(record.steered) and record.default.text == record.steered.text
    for a, b in zip(record.default.tokens, record.steered.tokens, strict=True):
        assert (a.logprob, a.top, a.other) == (b.logprob, b.top, b.other)
        assert a.logprob == pytest.approx(a.other, **NEAR)
    assert record.effect.divergence == 0 and record.effect.gains == record.effect.losses == ()
    (watched,) = record.effect.watched
    assert watched.before == watched.after


@pytest.mark.parametrize("where", ["prompt", "generated", "all"])
def test_nothing_to_steer_is_nothing_steered(cases, where):
    """A prompt of special tokens alone, which are left out: only what is generated can be steered."""
    case = cases()
    record = run(case, asked(prompt="<|endoftext|>", where=where, temperature=1.0), direction(case)[0])
    assert record.effect.divergence == 0 and ids(record.default)[0] == ids(record.steered)[0]
    assert (ids(record.default) == ids(record.steered)) == (where == "prompt")


def test_the_default_text_does_not_depend_on_the_steering(cases):
    case = cases("llama")
    found = {
        tuple(ids(run(case, asked(method, temperature=1.0, seed=4), direction(case, seed=seed)[0]).default))
        for seed, method in ((1, "add"), (2, "orthogonal"), (3, "clamp"))
    }
    assert len(found) == 1


def test_one_seed_one_text(cases):
    case = cases("llama")
    ours, _ = direction(case)
    once, again = (run(case, asked(temperature=1.0, seed=7), ours) for _ in range(2))
    assert once == again
    many = {tuple(ids(run(case, asked(temperature=1.0, seed=seed), ours).default)) for seed in range(6)}
    assert len(many) == 6
    cold = {tuple(ids(run(case, asked(seed=seed), ours).default)) for seed in range(3)}
    assert len(cold) == 1, "without temperature there is no chance"


# -- the effect --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_gains_losses_and_divergence(cases, family):
    case = cases(family)
    ours, theirs = feature(case, 9.0)
    record = run(case, asked(length=1), ours)
    before = naive(case, asked(length=1), theirs, steered=False).first
    after = naive(case, asked(length=1), theirs, steered=True).first
    p, q = np.exp(before), np.exp(after)
    gains = np.argsort(p - q)[:12]
    losses = np.argsort(q - p)[:12]
    assert record.effect.divergence == pytest.approx(float((q * (after - before)).sum()), rel=1e-3, abs=1e-6)
    for shown, expected in ((record.effect.gains, gains), (record.effect.losses, losses)):
        assert len(shown) == 12
        assert [s.after - s.before for s in shown] == pytest.approx([q[i] - p[i] for i in expected], abs=2e-6)
        for one in shown:
            assert (one.before, one.after) == pytest.approx((p[one.token.id], q[one.token.id]), rel=1e-3, abs=1e-6)
    assert all(s.after > s.before for s in record.effect.gains)
    assert all(s.after < s.before for s in record.effect.losses)


def test_a_divergence_is_kl_of_the_steered_from_the_unsteered():
    torch.manual_seed(0)
    a, b = torch.randn(50), torch.randn(50)
    p, q = by_hand.logprobs(b), by_hand.logprobs(a)
    assert divergence(a, b) == pytest.approx(float((np.exp(p) * (p - q)).sum()), rel=1e-9)
    assert divergence(a, b) != pytest.approx(divergence(b, a), rel=0.01)
    assert divergence(a, a) == 0 and divergence(a, a + 3) == pytest.approx(0, abs=1e-12) and divergence(a, a + 3) >= 0


@pytest.mark.parametrize("kind", ["standard", "topk"])
def test_watched_features_are_saelens_own_values(cases, kind):
    """On the prompt, without and with steering: before the steering's layer, at its hook, and after it."""
    case = cases()
    ours, theirs = direction(case, "blocks.0.hook_resid_mid")
    prompt = prompt_ids(asked(), case.model)[0]
    watch, expected = [], []
    edits = by_hand.edits("add", theirs, [False] + [True] * (len(prompt) - 1))
    for hook in ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_mid", "blocks.1.hook_resid_pre"):
        source, sae = case.sae(hook, kind, seed=9)
        for index in (3, 14):
            watch.append((Watch(source, index), Watched(key=KEY, label=f"{hook} {index}", before=(), after=())))
            with torch.no_grad():
                both = [sae.encode(case.hand.seen(prompt, hook, e))[:, index].tolist() for e in (None, edits)]
            expected.append((f"{hook} {index}", *both))
    record = run(case, asked(length=2), ours, watch)
    for one, (label, before, after) in zip(record.effect.watched, expected, strict=True):
        assert one.label == label
        assert one.before == pytest.approx(before, **NEAR) and one.after == pytest.approx(after, **NEAR)
    first, mid, late = record.effect.watched[0], record.effect.watched[2:4], record.effect.watched[4:]
    assert first.before == first.after, "which comes before the steering"
    assert any(one.before != one.after for one in mid) and any(one.before != one.after for one in late)


def test_a_watched_place_that_only_the_bridge_has(cases):
    """It is slower, and the same text."""
    case = cases()
    ours, _ = direction(case, "blocks.0.hook_resid_mid")
    source, sae = case.sae("blocks.1.ln1.hook_normalized")
    x = case.hand.seen(prompt_ids(asked(), case.model)[0], "blocks.1.hook_resid_pre")
    x = x - x.mean(-1, keepdim=True)
    a = sae.encode(x / (x.var(-1, keepdim=True, correction=0) + 1e-5).sqrt())
    index = int((a > 0).sum(0).argmax())
    watch = [(Watch(source, index), Watched(key=KEY, label="", before=(), after=()))]
    plain, bridged = (run(case, asked(temperature=1.0), ours, some) for some in ((), watch))
    for one, other in ((plain.default, bridged.default), (plain.steered, bridged.steered)):
        assert ids(one) == ids(other)
        assert [o.logprob for o in one.tokens] == pytest.approx([o.logprob for o in other.tokens], **NEAR)
    assert a[:, index].any() and bridged.effect.watched[0].before == pytest.approx(a[:, index].tolist(), **NEAR)


# -- what is recorded --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alternatives", [0, 1, 5, 20])
def test_the_likeliest_alternatives(cases, alternatives):
    case, ask = cases(), asked(temperature=1.5, alternatives=alternatives, length=6)
    ours, theirs = direction(case)
    record = run(case, ask, ours)
    told = naive(case, ask, theirs, steered=True)
    assert ids(record.steered) == told.ids
    top = record.steered.tokens[0].top
    best = np.argsort(-told.first, kind="stable")[:alternatives]
    assert [one.token.id for one in top] == best.tolist()
    assert [one.logprob for one in top] == pytest.approx(told.first[best].tolist(), **NEAR)
    assert all(len(one.top) == alternatives for one in record.default.tokens)


def test_log_probabilities_are_the_models_own_whatever_drew_the_token(cases):
    """At temperature 1 and without penalty."""
    case = cases()
    ours, theirs = direction(case)
    ask = asked(temperature=0.4, top_p=0.5, frequency_penalty=1.0)
    record = run(case, ask, ours)
    agrees(record.steered, naive(case, ask, theirs, steered=True))
    assert any(one.token.id != one.top[0].token.id for one in record.steered.tokens), "the penalty chose otherwise"


def test_records_grow(cases):
    case, ask = cases(), asked(length=37, temperature=1.0)
    records = list(steer(ask, case.model, InTurn(), direction(case)[0], ()))
    last = records[-1]
    assert [r.done for r in records] == [False] * (len(records) - 1) + [True]
    assert not records[0].default.tokens and not records[0].steered.tokens and len(records) == 39
    for n, record in enumerate(records[:-1]):
        assert record.effect == last.effect and record.prompt == last.prompt == record.steered_prompt
        for text, whole in ((record.default, last.default), (record.steered, last.steered)):
            assert ids(text) == ids(whole)[:n]
            scored = [one.other for one in text.tokens if one.other is not None]
            assert len(scored) == n // 16 * 16 and scored == [one.other for one in whole.tokens[: len(scored)]]
            assert [one.logprob for one in text.tokens] == [one.logprob for one in whole.tokens[:n]]
    assert all(one.other is not None for one in last.default.tokens + last.steered.tokens)
    assert last.default.text == case.model.vocabulary.text(ids(last.default)) and PROMPT not in last.default.text


def test_the_prompt_is_apart_and_drawn(cases):
    case = cases()
    record = run(case, asked(prompt="It’s 🙂 in Zürich", length=3), direction(case)[0])
    assert "".join(token.text for token in record.prompt) == "<|endoftext|>It’s 🙂 in Zürich"
    assert record.prompt[0].special and "Zürich" not in record.steered.text


def test_characters_of_several_tokens_and_special_tokens(cases, monkeypatch):
    """A character is drawn on the token that completes it; a special token is drawn, and is no part of the text."""
    case = cases()
    written = case.model.ids("🙂")[1:]
    forced = [*written, 0, *case.model.ids("a")[1:]]
    assert len(written) > 1

    def force(self, logits, texts, step):
        return [forced[step]] * len(texts)

    monkeypatch.setattr("core.techniques.sampling.Sampling.__call__", force)
    monkeypatch.setattr("core.techniques.steer.end_tokens", lambda model: ())
    record = run(case, asked(length=len(forced)), direction(case)[0])
    tokens = [one.token for one in record.steered.tokens]
    assert [t.text for t in tokens] == [""] * (len(written) - 1) + ["🙂", "<|endoftext|>", "a"]
    assert record.steered.text == "🙂a" and tokens[len(written)].special


# -- a batch, and strengths side by side -------------------------------------------------------------------------------

FACTORS = (-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0)


@pytest.mark.parametrize("family", ["gpt2", "llama", "mixtral"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_sweep_is_each_strength_alone(cases, family, temperature):
    """The text of each, its divergence and its perplexity under the unsteered model, by the naive road."""
    case, ask = cases(family), asked(temperature=temperature, length=21)
    ours, _ = direction(case, scale=1.5)
    record = sweep(ask, FACTORS, case.model, InTurn(), ours, ())
    assert [row.factor for row in record.rows] == list(FACTORS)
    for row in record.rows:
        alone = run(case, ask, [dataclasses.replace(ours[0], strength=row.factor)])
        assert ids(row.text) == ids(alone.steered) and row.text.text == alone.steered.text
        assert [o.other for o in row.text.tokens] == pytest.approx([o.other for o in alone.steered.tokens], **NEAR)
        assert row.divergence == pytest.approx(alone.effect.divergence, rel=1e-3, abs=1e-9)
        if family == "mixtral":
            continue  # which `Hand` does not know
        prompt = prompt_ids(ask, case.model)[0]
        under = by_hand.logprobs(case.hand([*prompt, *ids(row.text)]))[len(prompt) - 1 : -1]
        nats = -np.mean([under[n, token] for n, token in enumerate(ids(row.text))])
        assert row.perplexity == pytest.approx(math.exp(nats), rel=1e-3)
    (still,) = (row for row in record.rows if row.factor == 0)
    assert ids(still.text) == ids(run(case, ask, ours).default) and still.divergence == 0
    assert len({tuple(ids(row.text)) for row in record.rows}) > 3


def test_a_sweep_whose_texts_end_apart(cases, ended):
    case, ask = cases(), asked(temperature=1.0, length=30)
    ours, _ = direction(case, scale=1.5)
    whole = sweep(ask, FACTORS, case.model, InTurn(), ours, ())
    token = ids(whole.rows[-1].text)[4]
    ended(case, token)
    found = sweep(ask, FACTORS, case.model, InTurn(), ours, ())
    for row, before in zip(found.rows, whole.rows, strict=True):
        own = ids(before.text)
        cut = own[: own.index(token) + 1] if token in own else own
        assert ids(row.text) == cut and row.text.ended == (token in own)
        assert all(one.other is not None for one in row.text.tokens)
        mean = np.mean([one.other for one in row.text.tokens])
        assert row.perplexity == pytest.approx(math.exp(-mean), rel=1e-6)
    assert len({len(row.text.tokens) for row in found.rows}) > 1


def test_a_perplexity_that_is_no_float_is_infinite():
    """A model whose logits are thousands apart: what it would never write has no perplexity that can be written."""
    assert _perplexity(Text(ids=[1, 2], other=[-4000.0, -2.0])) == math.inf
    assert _perplexity(Text(ids=[1, 2], other=[-3.0, -1.0])) == pytest.approx(math.exp(2))
    assert _perplexity(Text()) is None


# -- chats -------------------------------------------------------------------------------------------------------------

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' and loop.first %}"
    "{{ raise_exception('Conversations begin with the user.') }}{% endif %}"
    "<|endoftext|>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|endoftext|>assistant:{% endif %}"
)


def templated(folder, template=TEMPLATE, **options):
    """A tiny model with a chat template, loaded."""
    tiny.model(folder, "llama", scale=6.0, **options)
    place = folder / "tokenizer_config.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | {"chat_template": template}))
    return loading.load(ModelSpec(id="tiny", path=str(folder)))


@pytest.fixture(scope="module")
def chatty(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat") / "made"
    made = Case(folder, "llama", max_position_embeddings=256)
    made.model = templated(folder / "chat", max_position_embeddings=256)  # the same weights
    made.model.bridge.original_model.generation_config.eos_token_id = [99_999]
    return made


def chat(*turns):
    return tuple(Message(role, content) for role, content in turns)


def test_a_chat_goes_through_the_models_template(chatty):
    turns = chat(("system", "Be brief."), ("user", "Who goes?"), ("assistant", "I."), ("user", "It’s 🙂"))
    written = chat_ids(chatty.model, turns)
    expected = "".join(f"<|endoftext|>{turn.role}: {turn.content}\n" for turn in turns) + "<|endoftext|>assistant:"
    assert written == chatty.model.tokenizer(expected, add_special_tokens=False)["input_ids"]
    ask = asked(prompt="", messages=turns, length=4)
    record = run(chatty, ask, direction(chatty)[0])
    assert "".join(token.text for token in record.prompt) == expected and record.steered_prompt == record.prompt
    assert [n for n, token in enumerate(record.prompt) if token.special] == [n for n, i in enumerate(written) if i == 0]
    assert record.effect is not None


def test_chats_that_went_different_ways_are_two_texts(chatty):
    """Each in a batch of its own: what it would be if it were asked for alone; and no scores across them."""
    one = chat(("user", "Who goes?"), ("assistant", "I."), ("user", "Where?"))
    two = chat(("user", "Who goes?"), ("assistant", "We all do."), ("user", "Where?"))
    ours, theirs = direction(chatty)
    ask = asked(prompt="", messages=one, steered_messages=two, length=9, temperature=1.0)
    record = run(chatty, ask, ours)
    assert record.effect is None and record.prompt != record.steered_prompt
    for text, turns, steered in ((record.default, one, False), (record.steered, two, True)):
        told = naive(chatty, ask, theirs, steered=steered, prompt=chat_ids(chatty.model, turns))
        assert ids(text) == told.ids and all(o.other is None for o in text.tokens)
        assert [o.logprob for o in text.tokens] == pytest.approx(told.logprobs, **NEAR)
    same = run(chatty, dataclasses.replace(ask, steered_messages=one), ours)
    assert same.effect is not None and ids(same.default) == ids(record.default)


def test_chats_of_unequal_length_of_which_one_ends(chatty, monkeypatch):
    one, two = chat(("user", "x")), chat(("user", "My fellow citizens, we meet today"))
    ask = asked(prompt="", messages=one, steered_messages=two, length=12, temperature=1.0)
    whole = run(chatty, ask, direction(chatty)[0])
    settings = chatty.model.bridge.original_model.generation_config
    monkeypatch.setattr(settings, "eos_token_id", ids(whole.default)[2])
    records = list(steer(ask, chatty.model, InTurn(), direction(chatty)[0], ()))
    assert len(records[-1].default.tokens) == 3 and records[-1].default.ended
    assert ids(records[-1].steered) == ids(whole.steered)[: len(records[-1].steered.tokens)]
    assert len(records[-1].steered.tokens) == 12 or records[-1].steered.ended


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ([("assistant", "I begin.")], r"refuses these messages: Conversations begin with the user\."),
        ([("user", "\ud800")], "refuses these messages"),
        ([("user", "word " * 200)], r"leaves no room: it has \d+ tokens, 20 are to be generated, and tiny reads at"),
    ],
)
def test_chats_that_cannot_be(chatty, turns, message):
    with pytest.raises(BadInput, match=message):
        run(chatty, asked(prompt="", messages=chat(*turns)), direction(chatty)[0])


def test_a_chat_that_is_nothing(tmp_path):
    model = templated(tmp_path / "m", "{% for m in messages %}{{ m['content'] }}{% endfor %}")
    with pytest.raises(BadInput, match=r"The chat is empty"):
        chat_ids(model, chat(("user", "")))


def test_a_template_with_a_token_that_the_model_lacks(tmp_path):
    model = templated(tmp_path / "m", spare=-10)
    text = model.tokenizer.decode([399])
    assert chat_ids(model, chat(("user", "a")))
    with pytest.raises(BadInput, match=r"tiny has no embedding for the token '.*' of the chat"):
        chat_ids(model, chat(("user", text)))


def test_a_model_that_does_not_chat(cases):
    with pytest.raises(BadInput, match=r"tiny is no chat model: its tokenizer has no chat template"):
        run(cases(), asked(prompt="", messages=chat(("user", "hi"))), direction(cases())[0])


# -- edges -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["gpt2", "llama", "opt"])
def test_up_to_the_last_place_of_the_context(tmp_path, family):
    """The last token is generated and scored at the last place; one more is refused."""
    case = Case(tmp_path, family)
    model = case.model
    torch.manual_seed(1)
    source = Directions(torch.randn(1, 32), "blocks.1.hook_resid_pre")
    prompt = "!" * 20
    tokens = len(model.ids(prompt))
    ask = asked(prompt=prompt, length=model.context - tokens, temperature=1.0)
    *_, record = steer(ask, model, InTurn(), [Part(source, 0, 2.0)], ())
    assert len(record.prompt) + len(record.steered.tokens) == model.context == 64
    assert all(math.isfinite(one.other) for one in record.default.tokens + record.steered.tokens)
    if family != "opt":  # which `Hand` does not know
        pushed = [Pushed(source.hook, source.hook, source.W_dec[0], 0, 2.0)]
        agrees(record.steered, naive(case, ask, pushed, steered=True))
    more = dataclasses.replace(ask, length=ask.length + 1)
    for ran in (lambda: list(steer(more, model, InTurn(), [Part(source, 0, 2.0)], ())),
                lambda: sweep(more, (1.0,), model, InTurn(), [Part(source, 0, 2.0)], ())):  # fmt: skip
        with pytest.raises(BadInput, match=rf"leaves no room: it has {tokens} tokens, {more.length} are .* at most 64"):
            ran()
    assert sweep(ask, (1.0,), model, InTurn(), [Part(source, 0, 2.0)], ()).rows[0].perplexity > 0


@pytest.mark.parametrize("prompt", ["", " ", "\n\t", "\u200b" * 9, "\ud800", "a\udcff"])
def test_prompts_that_are_none(cases, prompt):
    with pytest.raises(BadInput, match="The text is"):
        if not run(cases(), asked(prompt=prompt, length=2), direction(cases())[0]).prompt:
            raise AssertionError
        if prompt.strip("\u200b"):
            raise AssertionError(f"{prompt!r} is no prompt")
        raise BadInput("The text is fine: the tokenizer has bytes for it.")


@pytest.mark.parametrize("positions", [(99,), (1, 5), (-1,)])
def test_tokens_that_the_prompt_lacks(cases, positions):
    case = cases()
    count = len(case.model.ids("ab"))
    assert count < 5
    for ran in (lambda ask: run(case, ask, direction(case)[0]),
                lambda ask: sweep(ask, (1.0,), case.model, InTurn(), direction(case)[0], ())):  # fmt: skip
        with pytest.raises(BadInput, match=rf"no token {positions[-1]}: it has {count}, from 0 to {count - 1}"):
            ran(asked(prompt="ab", positions=positions, length=3))


@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_a_model_without_bos(tmp_path, family):
    """Its first token is steered like any other, and nothing ends its texts but their length."""
    model = loading.load(ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "m", family, scale=6.0, bos=False))))
    torch.manual_seed(1)
    source = Directions(torch.randn(1, 32), "blocks.0.hook_resid_pre")
    batch = Batch(model, InTurn(), Steering("add", [(), [Part(source, 0, 2.0)]]), Aim(), [source.hook])
    _, seen = batch.read(model.ids("Paris"), 2, [source.hook])
    assert (seen[source.hook][0] != seen[source.hook][1]).any(1).all()
    *_, record = steer(asked(prompt="Paris", length=7), model, InTurn(), [Part(source, 0, 2.0)], ())
    assert "".join(token.text for token in record.prompt) == "Paris" and not record.steered.ended
    assert len(record.steered.tokens) == 7


@pytest.mark.parametrize("family", ["gpt2", "llama"])
@pytest.mark.parametrize("method", ["add", "clamp", "orthogonal"])
def test_a_model_in_bfloat16(tmp_path, family, method):
    """The steered text is steered, and nothing is what changes nothing."""
    folder = tiny.model(tmp_path / "m", family, scale=6.0)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)), dtype="bfloat16")
    torch.manual_seed(1)
    source = Directions(torch.randn(1, 32), "blocks.1.hook_resid_mid")
    for strength in (6.0, {"add": 0.0, "orthogonal": 1.0, "clamp": 6.0}[method]):
        *_, record = steer(asked(method, temperature=1.0), model, InTurn(), [Part(source, 0, strength)], ())
        numbers = [x for one in record.steered.tokens for x in (one.logprob, one.other)]
        assert np.isfinite(numbers).all()
        same = ids(record.default) == ids(record.steered)
        assert same == (record.effect.divergence == 0) == (strength != 6.0)


# -- numbers that are too large ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("strength", [1e11, 1e25, 1e38, float("inf"), float("nan")])
@pytest.mark.parametrize("method", ["add", "orthogonal", "clamp"])
@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
def test_overflow_is_a_message(cases, family, method, strength):
    """Also where a norm would make something finite of it, and a text that means nothing."""
    case = cases(family)
    parts = [dataclasses.replace(direction(case)[0][0], strength=strength)]
    with pytest.raises(BadInput, match="too large to go on with: take a smaller strength"):
        run(case, asked(method, temperature=1.0), parts)
    with pytest.raises(BadInput, match="take a smaller strength"):
        sweep(asked(method), (0.0, 1.0), case.model, InTurn(), parts, ())


def test_overflow_further_on_is_a_message(tmp_path):
    """What is put down is in bounds, and what the model makes of it is not."""
    case = Case(tmp_path, "llama")
    with torch.no_grad():
        case.model.bridge.original_model.model.layers[1].mlp.down_proj.original_component.weight.mul_(1e31)
    source = Directions(torch.ones(1, 48), "blocks.1.mlp.hook_post")
    run(case, asked(), [Part(source, 0, 1.0)])
    with pytest.raises(BadInput, match="too large to go on with: take a smaller strength"):
        run(case, asked(), [Part(source, 0, 9e7)])


def test_the_largest_strengths_that_may_be_asked_for(cases):
    """A million times a row: whatever it is, it is numbers or a message."""
    for family in ("gpt2", "llama"):
        for method in ("add", "orthogonal", "clamp", "cap"):
            for strength in (1e6, -1e6):
                case = cases(family)
                ours, _ = feature(case, strength)
                record = run(case, asked(method, temperature=1.0, length=5), ours)
                numbers = [x for one in record.steered.tokens for x in (one.logprob, one.other)]
                assert np.isfinite(numbers).all() and math.isfinite(record.effect.divergence)


def test_a_damaged_model_is_not_blamed_on_the_strength(tmp_path):
    folder = tiny.model(tmp_path / "m", scale=6.0)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)))
    with torch.no_grad():
        model.bridge.original_model.transformer.ln_f.weight.fill_(float("inf"))
    source = Directions(torch.ones(1, 32), "blocks.1.hook_resid_pre")
    with pytest.raises(BadConfig, match="tiny gives no finite numbers on this text"):
        list(steer(asked(prompt="<|endoftext|>", where="prompt"), model, InTurn(), [Part(source, 0, 1.0)], ()))


def test_stopping_in_the_middle_leaves_the_model_as_it_was(cases):
    case = cases("llama")
    ours, _ = direction(case)
    before = run(case, asked(temperature=1.0), ours)
    lock = InTurn()
    going = steer(asked(temperature=1.0), case.model, lock, ours, ())
    assert len(list(islice(going, 4))) == 4
    going.close()
    assert lock.acquire(blocking=False), "nobody holds the model"
    lock.release()
    assert all(not point.fwd_hooks for point in case.model.bridge.hook_dict.values())
    assert run(case, asked(temperature=1.0), ours) == before
