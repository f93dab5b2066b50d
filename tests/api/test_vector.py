"""Directions of one's own: kept, steered with like features and beside them, tested, deleted; Neuronpedia's JSON."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from api import server
from core.records import FeatureKey, Push, SteerAsk
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.api.test_api import refused
from tests.core import naive

NUMBERS = np.random.default_rng(0).normal(size=32).astype(np.float32).tolist()
BODY = {
    "modelId": "tiny", "layerNumber": 1, "hookType": "hook_resid_pre", "vector": NUMBERS,
    "vectorDefaultSteerStrength": 12.5, "vectorLabel": "mine <b>🙂",
}  # fmt: skip
TEXTS = ["It’s a fine day 🙂 in Zürich.", "One <|endoftext|> two"]


@pytest.fixture
def own(tiny_root, tmp_path):
    return Workbench(Settings(data=tmp_path, demo=tiny_root))


@pytest.fixture
def client(own):
    return TestClient(server.create(own), raise_server_exceptions=False)


def new(client, **more):
    response = client.post("/vector/new", json=BODY | more)
    assert response.status_code == 200, response.text
    return response.json()["vector"]


def name(vector):
    return {"modelId": vector["modelId"], "source": vector.get("source") or vector["layer"], "index": vector["index"]}


def test_it_is_kept_found_listed_and_deleted(client, own):
    answer = client.post("/vector/new", json=BODY).json()
    made = answer["vector"]
    assert made["values"] == NUMBERS and made["label"] == BODY["vectorLabel"] and made["defaultSteerStrength"] == 12.5
    assert made["hookName"] == "blocks.1.hook_resid_pre" and made["createdAt"] and made["index"].isdecimal()
    where = f"model=tiny&features={made['source']}/{made['index']}:12.5"
    assert answer["url"] == f"http://testserver/steer?{where}" and answer["message"] == "Success"
    (got,) = client.post("/vector/list-owned").json()["vectors"]
    assert got == client.post("/vector/get", json=name(made)).json()["vector"]
    assert got["vector"] == NUMBERS and got["vectorDefaultSteerStrength"] == 12.5
    assert got["vectorLabel"] == BODY["vectorLabel"]
    assert name(got) == name(made) and got["hasVector"] is True and got["hookName"] == made["hookName"]
    later = new(client, vectorLabel="again", vectorDefaultSteerStrength=None)
    assert name(later) == name(made) and (later["label"], later["defaultSteerStrength"]) == ("again", 10)
    assert len(own.vectors("tiny")) == 1 and name(new(client, hookType="hook_resid_post")) != name(made)
    assert client.post("/vector/delete", json=name(made)).json() == {"message": "Success"}
    for path in ("/vector/get", "/vector/delete"):
        assert "no direction" in refused(client.post(path, json=name(made)), 404)


@pytest.mark.parametrize("spelling", ["resid-pre", "resid_pre", "hook_resid_pre"])
def test_the_ways_to_name_a_place(client, spelling):
    assert new(client, hookType=spelling)["hookName"] == "blocks.1.hook_resid_pre"


def test_a_sum_of_features(client, own):
    features = [{"layer": "1-res", "index": "3", "strength": 2}, {"source": "1-res", "index": 5, "strength": -0.5}]
    made = new(client, vector=[], features=features)
    rows = own._source_slot(own.source(tiny.SAE)).get().source.W_dec
    assert made["values"] == pytest.approx((2 * rows[3] - 0.5 * rows[5]).tolist(), abs=1e-6)
    assert made["hookName"] == "blocks.1.hook_resid_pre"


def test_steering_with_it_adds_it(client, own):
    """Hugging Face's model with the numbers added before layer 1, everywhere but at BOS."""
    from transformers import AutoModelForCausalLM

    made = new(client)
    body = {"modelId": "tiny", "prompt": TEXTS[0], "n_tokens": 3, "temperature": 0}
    found = client.post("/steer", json=body | {"features": [name(made) | {"strength": 0.5}]}).json()
    spec = own.catalog.model("tiny")
    folder = (spec[1].parent / spec[0].spec.path).resolve()
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.tensor([[t.id for t in own.tokenize("tiny", TEXTS[0])]])
    push = 0.5 * torch.tensor(NUMBERS) * (torch.arange(ids.shape[1]) > 0)[:, None]
    model.transformer.h[1].register_forward_pre_hook(lambda m, a, k: ((a[0] + push, *a[1:]), k), with_kwargs=True)
    with torch.no_grad():
        expected = model(ids).logits[0, -1].log_softmax(-1)
    first = found["steeredLogProbs"][0]
    assert [row["logprob"] for row in first["topLogprobs"]] == pytest.approx(expected.topk(5).values.tolist(), abs=1e-4)
    assert found["DEFAULT"] != found["STEERED"] or first["logprob"] != found["defaultLogProbs"][0]["logprob"]


@pytest.mark.parametrize("method", ["add", "orthogonal", "clamp", "cap", "ablate"])
def test_it_mixes_with_features(client, own, method):
    made = new(client)
    features = [{"modelId": "tiny", "layer": "1-res", "index": "3", "strength": 4}, name(made) | {"strength": 0.3}]
    body = {"modelId": "tiny", "prompt": TEXTS[0], "n_tokens": 6, "features": features, "steer_method": method}
    key = FeatureKey("tiny", made["source"], int(made["index"]))
    record = own.steer(SteerAsk.of("tiny", TEXTS[0], {f"{tiny.SAE}/3": 4.0, key: 0.3}, length=6, method=method))
    response = client.post("/steer", json=body)
    assert response.status_code == 200 and response.json()["STEERED"] == record.steered.text


def test_its_own_strength_is_taken_where_none_is_said(client):
    made = new(client)
    body = {"modelId": "tiny", "prompt": TEXTS[0], "n_tokens": 3, "strength_multiplier": 2}
    one = client.post("/steer", json=body | {"features": [name(made)]}).json()
    assert one["id"] == client.post("/steer", json=body | {"features": [name(made) | {"strength": 12.5}]}).json()["id"]


def test_its_values_on_a_text_are_products(client, own, tiny_config):
    """With the activations that Hugging Face's model has there; the largest in size is the maximum."""
    made = new(client)
    body = {"feature": name(made), "customText": TEXTS}
    answers = client.post("/activation/new", json=body).json()
    records = own.test(FeatureKey("tiny", made["source"], int(made["index"])), TEXTS)
    for text, answer, record in zip(TEXTS, answers, records, strict=True):
        ids = [token.id for token in own.tokenize("tiny", text)]
        (x,) = naive.hidden(tiny_config.parent / "model", [ids], "blocks.1.hook_resid_pre")
        expected = x @ np.array(NUMBERS, np.float32)
        assert "".join(answer["tokens"]) == text
        counted = [n for n, i in enumerate(ids) if i]
        assert [answer["values"][n - 1] for n in counted] == pytest.approx(expected[counted].tolist(), abs=1e-4)
        assert list(record.values) == pytest.approx(expected.tolist(), abs=1e-4)
        largest = max(counted, key=lambda n: abs(expected[n]))
        assert record.position == largest and record.maximum == pytest.approx(float(expected[largest]), abs=1e-4)
        assert str(record.key) == f"tiny/{made['source']}/{made['index']}"
    assert min(min(answer["values"]) for answer in answers) < 0
    assert client.post("/activation/new", json=body | {"customText": TEXTS[0]}).json()["values"] == pytest.approx(
        answers[0]["values"], abs=1e-6
    )


def test_testing_refuses_what_testing_refuses(client):
    made = new(client)
    for text, word in ((" ", "empty"), ("word " * 70, "at most 64"), ([], "at least one"), (["a"] * 40, "at most 32")):
        assert word in refused(client.post("/activation/new", json={"feature": name(made), "customText": text}))
    gone = name(made) | {"index": "12345678"}
    refused(client.post("/activation/new", json={"feature": gone, "customText": "x"}), 404)
    large = new(client, vector=[1e15] * 16 + [-1e15] * 16)
    answer = client.post("/activation/new", json={"feature": name(large), "customText": "x"})
    assert answer.status_code == 200 and all(math.isfinite(v) for v in answer.json()["values"])


@pytest.mark.parametrize(
    ("more", "status", "word"),
    [
        ({"vector": [0.0] * 32}, 400, "points nowhere"),
        ({"vector": [1e-20] * 32}, 400, "shorter than"),
        ({"vector": [1.0] * 31}, 400, "31 numbers, and blocks.1.hook_resid_pre of tiny has 32"),
        ({"vector": [1e31] * 32}, 400, "larger than"),
        ({"vector": [1.0] * 24577}, 400, "at most 24,576"),
        ({"vector": ["x"] * 32}, 400, "vector[0]"),
        ({"vector": []}, 400, "numbers of a direction, or the features"),
        ({"features": [{"source": "1-res", "index": 3, "strength": 1}]}, 400, "or the features whose sum"),
        ({"layerNumber": 2}, 400, "it has 2 layers"),
        ({"layerNumber": -1}, 400, "layerNumber"),
        ({"layerNumber": 10**11}, 400, "it has 2 layers"),
        ({"hookType": "nonsense"}, 400, "has no hook"),
        ({"hookType": "../etc"}, 400, "has no hook"),
        ({"hookType": "attn.hook_pattern"}, 400, "no vector a token"),
        ({"modelId": "other"}, 404, "tiny"),
        ({"vectorLabel": "a" * 121}, 400, "at most 120"),
        ({"vectorLabel": "\ud83d"}, 400, "not Unicode"),
        ({"vectorDefaultSteerStrength": 1e7}, 400, "vectorDefaultSteerStrength"),
        ({"vector": [], "features": [{"source": "1-res", "index": 3, "strength": 1},
                                     {"source": "0-neurons", "index": 3, "strength": 1}]}, 400, "different places"),
        ({"vector": [], "features": [{"source": "1-res", "index": 3, "strength": 0}]}, 400, "points nowhere"),
        ({"vector": [], "features": [{"source": "1-res", "index": 64, "strength": 1}]}, 404, "63"),
    ],
)  # fmt: skip
def test_what_is_no_direction(client, more, status, word):
    import json

    body = json.dumps(BODY | more)
    response = client.post("/vector/new", content=body, headers={"Content-Type": "application/json"})
    assert word in refused(response, status)
    assert client.post("/vector/list-owned").json() == {"vectors": []}


def test_at_every_place_of_a_block_it_is_kept_and_steers_or_is_refused(tiny_root, tmp_path):
    """No hook that the model has breaks a door."""
    own = Workbench(Settings(data=tmp_path, demo=tiny_root, requests_a_minute=0))
    client = TestClient(server.create(own), raise_server_exceptions=False)
    hooks = [h.removeprefix("blocks.0.") for h in own._model_slot("tiny").get().bridge.hook_dict if "blocks.0." in h]
    kept = 0
    for hook in hooks:
        for width in (32, 128, 96, 64, 16):
            place = {"layerNumber": 0, "hookType": hook, "vector": [1.0] * width}
            answer = client.post("/vector/new", json=BODY | place)
            assert answer.status_code in (200, 400), (hook, answer.text)
            if answer.status_code != 200:
                continue
            made, kept = answer.json()["vector"], kept + 1
            body = {"modelId": "tiny", "prompt": "One day", "n_tokens": 2, "features": [name(made) | {"strength": 3}]}
            steered = client.post("/steer", json=body)
            assert steered.status_code in (200, 400), (hook, steered.text)
            tested = client.post("/activation/new", json={"feature": name(made), "customText": "One day"})
            assert tested.status_code == 200, (hook, tested.text)
    assert kept > 10


def test_there_is_an_end_to_them(tiny_root, tmp_path):
    own = Workbench(Settings(data=tmp_path, demo=tiny_root, max_vectors=2))
    client = TestClient(server.create(own), raise_server_exceptions=False)
    for n in (1.0, 2.0):
        new(client, vector=[n] * 32)
    assert "delete one first" in refused(client.post("/vector/new", json=BODY))
    new(client, vector=[2.0] * 32, vectorLabel="the same, renamed")


def test_a_deleted_direction_leaves_its_runs(client):
    made = new(client)
    body = {"modelId": "tiny", "prompt": "One day", "n_tokens": 2, "features": [name(made)]}
    found = client.post("/steer", json=body).json()
    client.post("/vector/delete", json=name(made))
    loaded = client.post("/steer-load", json={"steerOutputId": found["id"]}).json()
    assert loaded["STEERED"]["raw"] == found["STEERED"] and loaded["features"][0]["label"] == BODY["vectorLabel"]
    refused(client.post("/steer", json=body | {"features": [name(made) | {"strength": 1}]}), 404)


def test_python_gets_the_same(own):
    made = own.new_vector("tiny", features=[Push(FeatureKey.parse(f"{tiny.SAE}/3"), 1.0)], label="row")
    (test,) = own.test(made.key, TEXTS[0])
    assert test.key == made.key and len(test.values) == len(test.tokens)
