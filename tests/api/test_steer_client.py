"""The released `neuronpedia` client's steering and vector calls, unchanged, against our server on port 3000."""

from __future__ import annotations

import numpy as np
import pytest

from core.records import FeatureKey, Message, SteerAsk
from core.settings import Settings
from core.workbench import Workbench
from tests import chatty
from tests.api.test_client import called
from tests.live import Server

PROMPT, TEXT = "My fellow citizens, it’s 🙂", "It’s a fine day 🙂 in Zürich"
NUMBERS = np.random.default_rng(0).normal(size=32).astype(np.float32).tolist()
HI = [{"role": "user", "content": "Hi."}]

CALLS = """
import dataclasses, json, sys
from neuronpedia import SteerChatRequest, SteerCompletionRequest
from neuronpedia.np_feature import SteerFeature
from neuronpedia.np_vector import NPVector
from neuronpedia.requests.vector_request import VectorRequest

plain, chatty, numbers, prompt, text, hi = json.loads(sys.argv[1])
def refused(call, *given):
    try:
        call(*given)
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
def feature(model, strength=5.0):
    return SteerFeature(modelId=model, source="1-res", index=3, strength=strength)
def new(model, label="mine", layer=1):
    return NPVector.new(label, model, layer, "hook_resid_pre", numbers, 2.5)
mine, theirs = new(plain), new(chatty, "of the chat")
usual = NPVector.new("usual", plain, 1, "hook_resid_post", numbers)
got = NPVector.get(mine.model_id, mine.source, mine.index)
answers = {
    "completion": SteerCompletionRequest().steer(plain, [mine], prompt, temperature=0.7, n_tokens=9, freq_penalty=1,
                                                 seed=3, strength_multiplier=2),
    "completion of features": SteerCompletionRequest().steer_features(plain, [feature(plain)], prompt),
    "completion of one": mine.steer_completion(prompt),
    "completion of both": SteerCompletionRequest().steer(plain, [mine, usual], prompt),
    "chat": SteerChatRequest().steer(chatty, [theirs], hi, hi, n_tokens=7, steer_special_tokens=False),
    "chat of features": SteerChatRequest().steer_features(chatty, [feature(chatty)], hi, hi),
    "chat of one": theirs.steer_chat(hi),
    "made": dataclasses.asdict(mine), "got": got == mine, "usual": usual.default_steer_strength,
    "owned": [one.label for one in NPVector.get_owned()], "is owned": mine in NPVector.get_owned(),
    "activation": dataclasses.asdict(mine.compute_activation_for_text(text)),
    "no template": refused(mine.steer_chat, hi),
    "deleted": [usual.delete(), VectorRequest().delete(mine)],
    "left": [dataclasses.asdict(one) for one in VectorRequest().get_owned()],
    "gone": refused(VectorRequest().get, mine.model_id, mine.source, mine.index),
    "too short": refused(NPVector.new, "x", plain, 1, "hook_resid_pre", [1.0]),
    "nothing": refused(SteerCompletionRequest().steer, plain, [], prompt),
}
print("ANSWERS" + json.dumps(answers))
"""


@pytest.fixture(scope="module")
def bench(tiny_config, tmp_path_factory):
    """Both models' sources."""
    folder = tmp_path_factory.mktemp("both")
    made = Workbench(Settings(data=folder / "data", demo=None))
    made.build(tiny_config)
    made.build(chatty.write(folder))
    return made


@pytest.fixture(scope="module")
def answers(bench, tmp_path_factory):
    given = ["tiny", chatty.MODEL, NUMBERS, PROMPT, TEXT, HI]
    return called(CALLS, given, Server(bench.settings.data), tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def keys(bench, answers):
    """(the direction, the one at another hook, the chat model's); made again, since the client deleted them."""
    made = [bench.new_vector("tiny", f"blocks.1.hook_resid_{place}", NUMBERS).key for place in ("pre", "post")]
    return [*made, bench.new_vector(chatty.MODEL, "blocks.1.hook_resid_pre", NUMBERS).key]


def texts(answer):
    return answer["STEERED"], answer["DEFAULT"]


def same(answer, record):
    """Whether an answer is a run."""
    assert texts(answer) == (record.steered.text, record.default.text)
    assert [row["logprob"] for row in answer["steeredLogProbs"]] == [one.logprob for one in record.steered.tokens]


def test_it_steers_a_prompt_with_directions(answers, bench, keys):
    mine, usual, _ = keys
    more = {"length": 9, "temperature": 0.7, "frequency_penalty": 1.0, "seed": 3}
    same(answers["completion"], bench.steer(SteerAsk.of("tiny", PROMPT, {mine: 5.0}, **more)))
    client = {"length": 32, "temperature": 0.5, "frequency_penalty": 2.0, "seed": 42}
    same(answers["completion of one"], bench.steer(SteerAsk.of("tiny", PROMPT, {mine: 10.0}, **client)))
    same(answers["completion of both"], bench.steer(SteerAsk.of("tiny", PROMPT, {mine: 10.0, usual: 40.0}, **client)))


def test_it_steers_a_prompt_with_features(answers, bench):
    client = {"length": 24, "temperature": 0.5, "frequency_penalty": 2.0, "seed": 42}
    same(answers["completion of features"], bench.steer(SteerAsk.of("tiny", PROMPT, {"tiny/1-res/3": 20.0}, **client)))


def test_it_steers_a_chat(answers, bench, keys):
    hi = (Message("user", "Hi."),)
    usual = {"temperature": 0.5, "frequency_penalty": 2.0, "messages": hi}
    for name, key, more in (
        ("chat", keys[2], {"length": 7, "seed": 16, "special": False}),
        ("chat of features", FeatureKey.parse("chatty/1-res/3"), {"length": 24, "seed": 42, "special": True}),
    ):
        strength = 10.0 if key is keys[2] else 20.0
        record = bench.steer(SteerAsk.of(chatty.MODEL, "", {key: strength}, **usual | more))
        found = answers[name]
        assert (found["STEERED"]["raw"], found["DEFAULT"]["raw"]) == (record.steered.text, record.default.text)
        assert found["STEERED"]["chatTemplate"] == [*HI, {"role": "assistant", "content": record.steered.text}]
    story = answers["chat of one"]["DEFAULT"]["chatTemplate"][0]
    assert story == {"role": "user", "content": "Write a one sentence story."}
    assert answers["chat of one"]["STEERED"]["chatTemplate"][0] == HI[0]


def test_it_keeps_directions(answers, keys):
    made = answers["made"]
    assert f"{made['model_id']}/{made['source']}/{made['index']}" == str(keys[0])
    assert made["values"] == NUMBERS and made["label"] == "mine" and made["default_steer_strength"] == 2.5
    assert made["hook_name"] == "blocks.1.hook_resid_pre"
    assert made["url"] == f"http://localhost:3000/steer?model=tiny&features={made['source']}/{made['index']}:2.5"
    assert answers["got"] is True and answers["is owned"] is True and answers["usual"] == 10
    assert sorted(answers["owned"]) == ["mine", "of the chat", "usual"]
    assert answers["deleted"] == [{"message": "Success"}] * 2
    assert [one["label"] for one in answers["left"]] == ["of the chat"]


def test_it_tests_a_direction(answers, bench, keys):
    (record,) = bench.test(keys[0], TEXT)
    assert "".join(answers["activation"]["tokens"]) == TEXT
    assert answers["activation"]["values"] == pytest.approx(record.values[1:], abs=1e-5)


def test_it_understands_a_refusal(answers):
    assert answers["gone"] == "HTTPError: Resource not found: 404"
    for name, word in (("too short", "has 32"), ("no template", "no chat template"), ("nothing", "at least one")):
        assert answers[name].startswith("HTTPError: Request failed with status 400") and word in answers[name]
