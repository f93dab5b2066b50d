"""The steering doors: Neuronpedia's JSON and limits, the workbench's texts, the numbers Hugging Face's model gives."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from starlette.testclient import TestClient
from transformers import AutoModelForCausalLM

from api import server
from core.interchange import steering
from core.models.plain import Runner
from core.records import FeatureKey, SteerAsk
from core.settings import Settings
from core.workbench import SWEEP, Workbench
from tests import tiny
from tests.api.test_api import refused

PROMPT = "My fellow citizens, it’s a fine day"
FEATURE = {"modelId": "tiny", "layer": "1-res", "index": "3", "strength": 4}
OTHER = {"modelId": "tiny", "layer": "0-neurons", "index": 5, "strength": -2.5}
BODY = {"modelId": "tiny", "prompt": PROMPT, "features": [FEATURE, OTHER], "n_tokens": 9, "temperature": 0.9, "seed": 3}
ASK = SteerAsk.of(
    "tiny", PROMPT, {f"{tiny.SAE}/3": 4.0, f"{tiny.NEURONS}/5": -2.5}, length=9, temperature=0.9, seed=3
)  # fmt: skip


@pytest.fixture
def own(tiny_root, tmp_path):
    """A workbench that keeps what it keeps in a folder of its own."""
    return Workbench(Settings(data=tmp_path, demo=tiny_root))


@pytest.fixture
def client(own):
    return TestClient(server.create(own), raise_server_exceptions=False)


@pytest.fixture
def passes(monkeypatch):
    """Every pass of a generation, as it is made."""
    made, real = [], Runner.pass_
    monkeypatch.setattr(Runner, "pass_", lambda *given, **named: (made.append(1), real(*given, **named))[1])
    return made


@pytest.fixture(scope="module")
def hugging(tiny_config):
    """Hugging Face's model alone."""
    return AutoModelForCausalLM.from_pretrained(tiny_config.parent / "model").eval()


def steer(client, path="/steer", **more):
    response = client.post(path, json=BODY | more)
    assert response.status_code == 200, response.text
    return response.json()


@pytest.mark.parametrize(("theirs", "method"), list(steering.METHODS.items()))
def test_the_texts_are_the_workbenchs_and_the_prompt_is_apart(client, bench, theirs, method):
    found = steer(client, steer_method=theirs)
    record = bench.steer(replace(ASK, method=method))
    assert (found["STEERED"], found["DEFAULT"]) == (record.steered.text, record.default.text)
    for name, text in (("steeredLogProbs", record.steered), ("defaultLogProbs", record.default)):
        assert "".join(row["token"] for row in found[name]) == text.text
        assert [row["logprob"] for row in found[name]] == [one.logprob for one in text.tokens]
        assert [row["otherLogprob"] for row in found[name]] == [one.other for one in text.tokens]
    assert {"STEERED", "DEFAULT", "steeredLogProbs", "defaultLogProbs", "id", "shareUrl", "limit"} <= set(found)
    assert not found["DEFAULT"].startswith(PROMPT[:5])


def test_every_method_does_something_else(client):
    texts = {name: steer(client, steer_method=name)["steeredLogProbs"][0]["logprob"] for name in steering.METHODS}
    assert len(set(texts.values())) == len(steering.METHODS), texts


def test_both_spellings_are_read(client, bench):
    snake = {
        "temperature": 0.4, "n_tokens": 5, "freq_penalty": 1.5, "strength_multiplier": 2, "steer_method": "CLAMP",
        "normalize_steering": True, "steer_special_tokens": True, "n_logprobs": 3, "top_p": 0.8,
    }  # fmt: skip
    camel = {
        "temperature": 0.4, "nTokens": 5, "freqPenalty": 1.5, "strengthMultiplier": 2, "steerMethod": "clamp",
        "normalizeSteering": True, "steerSpecialTokens": True, "nLogprobs": 3, "topP": 0.8,
    }  # fmt: skip
    body = {"prompt": PROMPT, "seed": 3}
    one = client.post("/steer", json=body | snake | {"modelId": "tiny", "features": [FEATURE]}).json()
    other = [{"model": "tiny", "source": "1-res", "index": 3, "strength": 4.0}]
    two = client.post("/steer", json=body | camel | {"model": "tiny", "features": other}).json()
    assert one == two
    expected = bench.steer(
        SteerAsk.of(
            "tiny", PROMPT, {f"{tiny.SAE}/3": 8.0}, length=5, temperature=0.4, frequency_penalty=1.5, method="clamp",
            unit=True, special=True, alternatives=3, top_p=0.8, seed=3,
        )
    )  # fmt: skip
    assert one["STEERED"] == expected.steered.text and len(one["steeredLogProbs"]) <= 5
    assert all(len(row["topLogprobs"]) == 3 for row in one["steeredLogProbs"])


def test_what_is_left_out_is_the_workbenchs_own(client, bench):
    found = client.post("/steer", json={"modelId": "tiny", "prompt": "x", "features": [FEATURE]}).json()
    assert found["STEERED"] == bench.steer(SteerAsk.of("tiny", "x", {f"{tiny.SAE}/3": 4.0})).steered.text


def test_log_probabilities_are_hugging_faces(client, bench, hugging):
    found, record = steer(client, n_logprobs=4), bench.steer(ASK)
    for name, text, field in (
        ("defaultLogProbs", record.default, "logprob"),
        ("steeredLogProbs", record.steered, "otherLogprob"),
    ):
        prompt, ids = [token.id for token in record.prompt], [one.token.id for one in text.tokens]
        with torch.no_grad():
            expected = hugging(torch.tensor([prompt + ids])).logits[0].log_softmax(-1)[len(prompt) - 1 :]
        for n, (row, token) in enumerate(zip(found[name], ids, strict=True)):
            assert row[field] == pytest.approx(float(expected[n, token]), abs=1e-4)
            top = [likely["logprob"] for likely in row["topLogprobs"]]
            assert len(top) == 4 and top == sorted(top, reverse=True)
            if field == "logprob":
                assert top == pytest.approx(expected[n].topk(4).values.tolist(), abs=1e-4)


def test_no_log_probabilities_where_none_are_wanted(client):
    found = steer(client, n_logprobs=0)
    assert found["steeredLogProbs"] is None and found["defaultLogProbs"] is None
    assert found["STEERED"] == steer(client)["STEERED"]


@pytest.mark.parametrize("penalty", [-1.5, 0.5, 2.0])
def test_the_frequency_penalty_is_taken_from_what_was_said(client, bench, hugging, penalty):
    """Greedy, by a plain loop over Hugging Face's model."""
    found = steer(client, temperature=0, freq_penalty=penalty, n_tokens=20)
    record = bench.steer(replace(ASK, temperature=0.0, frequency_penalty=penalty, length=20))
    ids, said = [token.id for token in record.prompt], []
    with torch.no_grad():
        for _ in range(20):
            logits = hugging(torch.tensor([ids + said])).logits[0, -1]
            for token in said:
                logits[token] -= penalty
            said.append(int(logits.argmax()))
    assert [one.token.id for one in record.default.tokens] == said
    assert found["DEFAULT"] == record.default.text


def test_a_cap_caps(client, bench, hugging):
    """By a hook on Hugging Face's model; Neuronpedia's eager server adds there."""
    cap = -1.0
    feature = [FEATURE | {"strength": cap}]
    found = steer(client, steer_method="PROJECTION_CAP", features=feature, n_tokens=1, temperature=0)
    row = bench._source_slot(bench.source(tiny.SAE)).get().source.W_dec[3].float()
    unit = row / row.norm()
    seen = []

    def hook(module, given, kwargs):
        x = given[0].clone()
        over = (x @ unit - cap).clamp_min(0)
        over[:, 0] = 0  # BOS
        seen.append(over)
        return (x - over[..., None] * unit, *given[1:]), kwargs

    handle = hugging.transformer.h[1].register_forward_pre_hook(hook, with_kwargs=True)
    ids = torch.tensor([[token.id for token in bench.steer(ASK).prompt]])
    with torch.no_grad():
        logits = hugging(ids).logits[0, -1].log_softmax(-1)
    handle.remove()
    assert seen[0].any(), "there is something to cap"
    assert found["steeredLogProbs"][0]["logprob"] == pytest.approx(float(logits.max()), abs=1e-4)
    assert found["steeredLogProbs"][0]["logprob"] != pytest.approx(found["defaultLogProbs"][0]["logprob"], abs=1e-4)


def test_the_multiplier_multiplies(client):
    tripled = steer(client, features=[FEATURE | {"strength": 2}], strength_multiplier=3)
    plain = steer(client, features=[FEATURE | {"strength": 6}])
    assert tripled == plain and tripled["id"] == plain["id"]
    nothing = steer(client, strength_multiplier=0)
    assert nothing["STEERED"] == nothing["DEFAULT"]


def test_the_same_again_runs_no_model(client, own, tiny_root, passes):
    first = steer(client)
    made = len(passes)
    assert made and steer(client) == first and first["id"]
    again = TestClient(server.create(Workbench(Settings(data=own.settings.data, demo=tiny_root))))
    assert steer(again) == first and len(passes) == made
    loaded = client.post("/steer-load", json={"steerOutputId": first["id"]}).json()
    assert (loaded["STEERED"]["raw"], loaded["DEFAULT"]["raw"]) == (first["STEERED"], first["DEFAULT"])
    assert len(passes) == made
    assert steer(client, seed=4)["id"] != first["id"] and len(passes) > made


def test_a_link_to_share(client, own):
    found = steer(client)
    assert found["shareUrl"] == f"http://testserver/steer?run={found['id']}"
    assert own.steered(found["id"]).steered.text == found["STEERED"]


def test_a_link_to_share_from_below_a_path(own):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    whole = TestClient(Starlette(routes=[Mount("/api", server.create(own))]), root_path="/tools")
    found = whole.post("/tools/api/steer", json=BODY).json()
    assert found["shareUrl"] == f"http://testserver/tools/steer?run={found['id']}"


def test_loading_says_what_was_asked(client):
    more = {"steer_method": "CLAMP", "seed": -7, "freq_penalty": 1, "steer_special_tokens": True}
    found = steer(client, strength_multiplier=2, **more)
    loaded = client.post("/steer-load", json={"steerOutputId": found["id"]}).json()
    assert {name: loaded["settings"][name] for name in more} == more
    assert loaded["settings"]["n_tokens"] == 9 and loaded["settings"]["strength_multiplier"] == 1
    assert [(f["layer"], f["index"], f["strength"]) for f in loaded["features"]] == [
        ("1-res", "3", 8.0), ("0-neurons", "5", -5.0)
    ]  # fmt: skip
    assert loaded["inputText"] == PROMPT and loaded["outputTextIncludesPrompt"] is False
    assert loaded["STEERED"]["chatTemplate"] is None and loaded["id"] == found["id"]
    assert loaded["STEERED"]["logprobs"] == found["steeredLogProbs"]
    features = [{name: f[name] for name in ("modelId", "layer", "index", "strength")} for f in loaded["features"]]
    again = BODY | loaded["settings"] | {"features": features}
    assert client.post("/steer", json=again).json()["id"] == found["id"], "what is loaded can be sent"


@pytest.mark.parametrize("name", ["0" * 20, "", "'; drop table steer_run; --", "\ud83d"])
def test_no_such_run(client, name):
    import json

    body = json.dumps({"steerOutputId": name})
    response = client.post("/steer-load", content=body, headers={"Content-Type": "application/json"})
    refused(response, 400 if name == "\ud83d" else 404)


def test_seeds_below_zero_are_seeds(client):
    found = {seed: steer(client, seed=seed, temperature=2)["DEFAULT"] for seed in (-100_000_000, -2, -1, 0, 1, 2)}
    assert len(set(found.values())) == len(found)


def test_effect_and_watched_features(client, bench):
    found = steer(client, watch=[{"source": "1-res", "index": 4}])
    record = bench.steer(replace(ASK, watch=(FeatureKey.parse(f"{tiny.SAE}/4"),)))
    assert found["effect"]["divergence"] == record.effect.divergence > 0
    assert [row["token"] for row in found["effect"]["gains"]] == [one.token.text for one in record.effect.gains]
    (watched,) = found["effect"]["watched"]
    assert (watched["layer"], watched["index"]) == ("1-res", "4")
    assert watched["before"] == list(record.effect.watched[0].before) != watched["after"]


def test_positions_and_places(client, bench):
    one = steer(client, where="generated")
    assert one["STEERED"] == bench.steer(replace(ASK, where="generated")).steered.text
    two = steer(client, positions=[2, "3"])
    assert two["effect"]["divergence"] == bench.steer(replace(ASK, positions=(2, 3))).effect.divergence
    assert two["effect"]["divergence"] != one["effect"]["divergence"]


@pytest.mark.parametrize(
    ("more", "status", "word"),
    [
        ({"prompt": "a" * 2049}, 400, "prompt: string should have at most 2048 characters"),
        ({"prompt": ""}, 400, "empty"),
        ({"prompt": "word " * 70}, 400, "reads at most 64"),
        ({"prompt": "one two", "n_tokens": 62}, 400, "leaves no room"),
        ({"n_tokens": 0}, 400, "n_tokens: input should be greater than or equal to 1"),
        ({"n_tokens": 257}, 400, "n_tokens: 257 is not between 1 and 256"),
        ({"nCompletionTokens": 2.5, "n_tokens": None}, 400, "n_tokens"),
        ({"temperature": 2.1}, 400, "temperature"),
        ({"temperature": -0.1}, 400, "temperature"),
        ({"temperature": math.inf}, 400, "temperature"),
        ({"freq_penalty": -2.01}, 400, "freq_penalty"),
        ({"freq_penalty": 2.01}, 400, "freq_penalty"),
        ({"strength_multiplier": 10.5}, 400, "strength_multiplier"),
        ({"strength_multiplier": -1}, 400, "strength_multiplier"),
        ({"n_logprobs": 21}, 400, "n_logprobs"),
        ({"top_p": 0}, 400, "top_p"),
        ({"steer_method": "NONSENSE"}, 400, "SIMPLE_ADDITIVE, ORTHOGONAL_DECOMP, PROJECTION_CAP, CLAMP, ABLATE"),
        ({"where": "nowhere"}, 400, "where"),
        ({"seed": "x"}, 400, "seed"),
        ({"features": []}, 400, "at least one feature"),
        ({"features": [FEATURE] * 2}, 400, "named twice"),
        ({"features": [FEATURE | {"index": n} for n in range(17)]}, 400, "at most 16"),
        ({"features": [FEATURE | {"strength": None}]}, 400, "The strength of tiny/1-res/3 is missing"),
        ({"features": [FEATURE | {"strength": 1e7}]}, 400, "1,000,000"),
        ({"features": [FEATURE | {"strength": "strong"}]}, 400, "features[0].strength"),
        ({"features": [FEATURE | {"index": 64}]}, 404, "63"),
        ({"features": [FEATURE | {"layer": "9-res"}]}, 404, "1-res"),
        ({"features": [FEATURE | {"layer": "res"}]}, 400, "is not a source id"),
        ({"features": [FEATURE | {"modelId": "other"}]}, 400, "not a feature of tiny"),
        ({"modelId": "other", "features": [{"source": "1-res", "index": 3, "strength": 1}]}, 404, "tiny"),
        ({"watch": [{"source": "1-res", "index": 64}]}, 404, "63"),
        ({"positions": [-1]}, 400, "positions[0]"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("stream", [False, True])
def test_what_is_wrong_is_said_before_anything_is_sent(client, more, status, word, stream):
    import json

    body = json.dumps(BODY | more | {"stream": stream})
    response = client.post("/steer", content=body, headers={"Content-Type": "application/json"})
    assert word in refused(response, status)


@pytest.mark.parametrize("missing", ["modelId", "prompt", "features"])
def test_what_cannot_be_left_out(client, missing):
    body = {name: value for name, value in BODY.items() if name != missing}
    assert f"{missing} is missing" in refused(client.post("/steer", json=body))


def test_ablation_needs_no_strength(client, bench):
    found = steer(client, steer_method="ABLATE", features=[{"source": "1-res", "index": 3}])
    record = bench.steer(replace(ASK, method="ablate", pushes=(replace(ASK.pushes[0], strength=0.0),)))
    assert found["STEERED"] == record.steered.text


@pytest.mark.parametrize("method", steering.METHODS)
def test_a_direction_without_length_is_refused(client, own, method):
    """Its row is 0: no method can go along it, and none divides by its length."""
    own._source_slot(own.source(tiny.SAE)).get().source.sae.W_dec.data[9] = 0
    body = {"features": [FEATURE | {"index": 9}], "normalize_steering": True, "steer_method": method}
    assert "length 0" in refused(client.post("/steer", json=BODY | body), 400)


def test_a_server_that_is_busy(tiny_root, tmp_path):
    own = Workbench(Settings(data=tmp_path, demo=tiny_root, patience=0.3, generations=1))
    client = TestClient(server.create(own), raise_server_exceptions=False)
    with own._steerer.line.place(1.0):
        for body in (BODY, BODY | {"stream": True}):
            answer = client.post("/steer", json=body)
            assert "busy" in refused(answer, 503) and int(answer.headers["retry-after"]) > 0
        assert "busy" in refused(client.post("/steer-sweep", json=BODY), 503)
    assert own._steerer.line.waiting() == 0
    assert steer(client)["STEERED"]


def test_who_asks_too_often(tiny_root, tmp_path):
    own = Workbench(Settings(data=tmp_path, demo=tiny_root, requests_a_minute=4))
    client = TestClient(server.create(own), raise_server_exceptions=False)
    for path in ("/steer", "/steer/", "/steer-chat", "/steer-sweep/"):
        assert client.post(path, json={}, follow_redirects=False).status_code in (307, 400)
    for path in ("/steer", "/steer-chat", "/steer-sweep", "/vector/new"):
        answer = client.post(path, json={})
        assert "at most 4 a minute" in refused(answer, 429) and answer.headers["retry-after"]
    for path in ("/steer-load", "/steer/presets", "/vector/get"):
        assert client.post(path, json={}).status_code == 400, "runs no model"


# -- sweeps and presets ------------------------------------------------------------------------------------------------


def test_a_sweep_is_the_workbenchs(client, bench):
    found, record = steer(client, "/steer-sweep"), bench.sweep(ASK)
    assert [row["factor"] for row in found["results"]] == list(SWEEP)
    for row, own in zip(found["results"], record.rows, strict=True):
        assert (row["text"], row["divergence"], row["perplexity"]) == (own.text.text, own.divergence, own.perplexity)
        assert [one["logprob"] for one in row["logProbs"]] == [one.logprob for one in own.text.tokens]
    assert found["features"][0]["strength"] == 4 and found["settings"]["n_tokens"] == 9


def test_a_sweeps_zero_is_the_default_and_its_one_the_steered_text(client):
    found, single = (
        steer(client, "/steer-sweep", factors=[0, 1], strength_multiplier=2),
        steer(client, strength_multiplier=2),
    )
    zero, one = found["results"]
    assert (zero["text"], one["text"]) == (single["DEFAULT"], single["STEERED"])
    assert zero["divergence"] == pytest.approx(0, abs=1e-6)
    said = [row["otherLogprob"] for row in one["logProbs"]]
    assert one["perplexity"] == pytest.approx(math.exp(-sum(said) / len(said)))


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"factors": []}, "1 to 15"),
        ({"factors": [1.0] * 16}, "1 to 15"),
        ({"factors": [1001]}, "between -1000 and 1000"),
        ({"factors": ["x"]}, "factors[0]"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "not both"),
        ({"prompt": "", "messages": [{"role": "user", "content": "hi"}]}, "no chat template"),
        ({"prompt": ""}, "empty"),
    ],
)
def test_a_sweep_that_cannot_be(client, more, word):
    assert word in refused(client.post("/steer-sweep", json=BODY | more))


PRESETS = """
- {name: Third, note: A third, model: tiny, features: [{id: tiny/1-res/3, strength: 4}], prompt: One day, method: clamp}
- {name: Two, model: tiny, features: [{id: tiny/1-res/4, strength: 1}, {id: tiny/0-neurons/2, strength: -1}], prompt: x}
- {name: Not here, model: other, features: [{id: other/1-res/3, strength: 4}], prompt: x}
- {name: Nor this, model: tiny, features: [{id: tiny/1-res/64, strength: 4}], prompt: x}
"""


def test_presets_are_those_of_the_file_and_ones_own_directions(client, own, tmp_path, monkeypatch):
    from core import presets

    file = tmp_path / "steer.yaml"
    file.write_text(PRESETS, encoding="utf-8")
    monkeypatch.setattr(presets, "FILE", file)
    monkeypatch.setattr(presets.read_presets, "__defaults__", (file,))
    mine = own.new_vector("tiny", "blocks.1.hook_resid_pre", [1.0] * 32, label="mine", strength=7)
    found = client.post("/steer/presets", json={"modelId": "tiny"}).json()
    assert [one["name"] for one in found["featurePresets"]] == ["mine", "Third", "Two"]
    first, third, two = found["featurePresets"]
    assert first["isUserVector"] and first["features"][0]["strength"] == 7
    assert first["features"][0]["index"] == str(mine.key.index)
    assert third["steerMethod"] == "CLAMP" and third["features"][0]["strength"] == 4 and third["prompt"] == "One day"
    assert [f["layer"] for f in two["features"]] == ["1-res", "0-neurons"]
    assert found["promptPresets"] == [{"name": "Third", "prompt": "One day"}, {"name": "Two", "prompt": "x"}]
    assert found["model"]["id"] == "tiny"
    for one in found["featurePresets"]:
        names = [{name: f[name] for name in ("modelId", "layer", "index", "strength")} for f in one["features"]]
        assert steer(client, features=names)["STEERED"]
    refused(client.post("/steer/presets", json={"modelId": "other"}), 404)


def test_the_slash_of_the_client(client):
    for path in ("/steer", "/steer-chat"):
        assert client.post(path + "/", json={}, follow_redirects=False).status_code == 400
    assert steer(client, "/steer/") == steer(client)
