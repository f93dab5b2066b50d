"""Steering a chat: the model's own template, which tokens are steered, and what comes back."""

from __future__ import annotations

import pytest
import torch
from starlette.testclient import TestClient
from transformers import AutoModelForCausalLM, AutoTokenizer

from api import server
from core.records import Message, SteerAsk
from core.settings import Settings
from core.workbench import Workbench
from tests import chatty
from tests.api.test_api import refused
from tests.api.test_steer_stream import frames

SYSTEM = {"role": "system", "content": "Be kind."}
USER = {"role": "user", "content": "It’s a fine day 🙂, isn’t it?"}
FEATURE = {"layer": "1-res", "index": 3, "strength": 6}
BODY = {
    "modelId": chatty.MODEL, "defaultChatMessages": [SYSTEM, USER], "features": [FEATURE], "n_tokens": 8,
    "temperature": 0.8, "seed": 5,
}  # fmt: skip
TURNS = tuple(Message(one["role"], one["content"]) for one in (SYSTEM, USER))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chatty")
    Workbench(Settings(data=folder / "data", demo=None)).build(chatty.write(folder))
    return folder / "data"


@pytest.fixture(scope="module")
def bench(root):
    return Workbench(Settings(data=root, demo=None))


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def asked(**more):
    usual = {"messages": TURNS, "length": 8, "temperature": 0.8, "seed": 5}
    return SteerAsk.of(chatty.MODEL, "", {f"{chatty.SAE}/3": 6.0}, **usual | more)


def chat(client, **more):
    response = client.post("/steer-chat", json=BODY | more)
    assert response.status_code == 200, response.text
    return response.json()


def prompt(client, found):
    return client.post("/steer-load", json={"steerOutputId": found["id"]}).json()["inputText"]


def test_the_texts_are_the_workbenchs_and_the_chat_goes_on_with_them(client, bench):
    found, record = chat(client), bench.steer(asked())
    for name, text in (("STEERED", record.steered), ("DEFAULT", record.default)):
        assert found[name]["raw"] == text.text
        said = [*BODY["defaultChatMessages"], {"role": "assistant", "content": text.text}]
        assert found[name]["chatTemplate"] == said
        assert [row["logprob"] for row in found[name]["logprobs"]] == [one.logprob for one in text.tokens]
    assert found["steeredLogProbs"] == found["STEERED"]["logprobs"] and found["effect"]["divergence"] > 0
    assert found["settings"]["steer_method"] == "SIMPLE_ADDITIVE" and found["shareUrl"].endswith(found["id"])


def test_the_model_reads_what_the_template_writes(client, root):
    """By hand, and by Hugging Face's tokenizer and model alone: the default's log-probabilities."""
    found = chat(client)
    assert prompt(client, found) == chatty.written(("system", SYSTEM["content"]), ("user", USER["content"]))
    folder = root.parent / "model"
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = tokenizer.apply_chat_template([SYSTEM, USER], add_generation_prompt=True, return_dict=True)["input_ids"]
    assert ids[0] == 0 and ids.count(0) == 1, "one BOS"
    with torch.no_grad():
        expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    first = found["defaultLogProbs"][0]
    assert [row["logprob"] for row in first["topLogprobs"]] == pytest.approx(expected.topk(5).values.tolist(), abs=1e-4)


def test_special_tokens_are_steered_only_if_that_is_asked_for(client, bench):
    """The template's marks are the only difference: at strength 6 on one feature's own row."""
    seen = {}
    for wanted in (False, True):
        found = chat(client, steer_special_tokens=wanted, watch=[{"source": "1-res", "index": 3}])
        assert found["effect"]["divergence"] == bench.steer(asked(special=wanted)).effect.divergence
        (watched,) = found["effect"]["watched"]
        special = [token.special for token in bench.steer(asked()).prompt]
        moved = [after != before for before, after in zip(watched["before"], watched["after"], strict=True)]
        assert sum(special) == 6
        assert any(m for m, s in zip(moved, special, strict=True) if s) is wanted
        assert any(m for m, s in zip(moved, special, strict=True) if not s)
        seen[wanted] = found["effect"]["divergence"]
    assert seen[False] != seen[True]
    assert chat(client)["id"] == chat(client, steerSpecialTokens=False)["id"], "not, unless told"


def test_chats_that_went_different_ways(client, bench):
    answer = {"role": "assistant", "content": "Yes, it is."}
    other = {"role": "model", "content": "No."}
    default, steered = [USER, answer, USER], [USER, other, USER]
    found = chat(client, defaultChatMessages=default, steeredChatMessages=steered)
    turns = [tuple(Message(r, one["content"]) for one, r in zip(both, ("user", "assistant", "user"), strict=True))
             for both in (default, steered)]  # fmt: skip
    record = bench.steer(asked(messages=turns[0], steered_messages=turns[1]))
    assert (found["DEFAULT"]["raw"], found["STEERED"]["raw"]) == (record.default.text, record.steered.text)
    assert found["DEFAULT"]["chatTemplate"][:-1] == default
    assert found["STEERED"]["chatTemplate"][1] == {"role": "assistant", "content": "No."}
    assert found["effect"] is None and found["steeredLogProbs"][0]["otherLogprob"] is None
    assert prompt(client, found) == chatty.written(
        ("user", USER["content"]), ("assistant", "No."), ("user", USER["content"])
    )  # fmt: skip


def test_the_same_chat_twice_is_one(client):
    assert chat(client)["id"] == chat(client, steeredChatMessages=BODY["defaultChatMessages"])["id"]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_system_text_counts(client, role):
    said = [{"role": role, "content": "Be kind."}, USER]
    found = chat(client, defaultChatMessages=said)
    assert found["id"] == chat(client)["id"] != chat(client, defaultChatMessages=[USER])["id"]


def test_the_form_of_a_stream_is_that_of_the_answer(client):
    response = client.post("/steer-chat", json=BODY | {"stream": True, "seed": 6})
    found = [data for event, data in frames(response.text) if not event]
    assert found[-1] == chat(client, seed=6)
    for frame in found:
        last = frame["STEERED"]["chatTemplate"][-1]
        assert last == {"role": "assistant", "content": frame["STEERED"]["raw"]}
        assert found[-1]["STEERED"]["raw"].startswith(last["content"].rstrip("\ufffd"))


def test_loading_a_chat(client):
    found = chat(client)
    loaded = client.post("/steer-load", json={"steerOutputId": found["id"]}).json()
    assert {name: loaded[name] for name in found} == found


def test_a_sweep_of_a_chat(client, bench):
    body = {name: value for name, value in BODY.items() if name != "defaultChatMessages"}
    response = client.post("/steer-sweep", json=body | {"messages": BODY["defaultChatMessages"], "factors": [0, 1]})
    record = bench.steer(asked())
    texts = [row["text"] for row in response.json()["results"]]
    assert texts == [record.default.text, record.steered.text]


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"defaultChatMessages": [USER, SYSTEM]}, f"refuses these messages: {chatty.REFUSAL}"),
        ({"defaultChatMessages": []}, "defaultChatMessages"),
        ({"defaultChatMessages": [{"role": "tool", "content": "x"}]}, "Message 1: a role is one of system, user, ass"),
        ({"defaultChatMessages": [{"role": "user"}]}, "defaultChatMessages[0].content is missing"),
        ({"defaultChatMessages": [{"role": "user", "content": "a" * 1025}] * 2}, "2,050 characters are too many"),
        ({"steeredChatMessages": [{"role": "user", "content": "a" * 2049}]}, "steeredChatMessages: 2,049 characters"),
        ({"defaultChatMessages": [{"role": "user", "content": "word " * 200}], "n_tokens": 100}, "leaves no room"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_said(client, more, word, stream):
    assert word in refused(client.post("/steer-chat", json=BODY | more | {"stream": stream}))


def test_a_model_without_a_template(tiny_root, tmp_path):
    own = Workbench(Settings(data=tmp_path, demo=tiny_root))
    client = TestClient(server.create(own), raise_server_exceptions=False)
    said = refused(client.post("/steer-chat", json=BODY | {"modelId": "tiny"}))
    assert "no chat template" in said and "plain prompt" in said
