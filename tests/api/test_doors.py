"""What the doors for programs promise: a batch is its single answers, pages cover a source, tokens give the text."""

from __future__ import annotations

import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from api import docs, feature, server
from core.interchange import neuronpedia
from core.settings import HERE, Settings
from core.workbench import Workbench
from tests import tiny
from tests.api.test_api import refused

SOURCE = {"modelId": "tiny", "source": "1-res"}
TEXTS = ["My mother.", " a  b\n\tc ", "It’s Zürich 🙂🙂", "\x00\u200b", "<|endoftext|>x", "日本", "\\u0041 \"'<b>"]


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def answer(client, path, body):
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def single(client, index, source=tiny.SAE):
    return client.get(f"/feature/{source}/{index}").json()


def test_a_feature_is_its_record(client, bench, record):
    said = bench.words.of(record.key)
    assert [one.origin for one in said] == ["data"]
    expected = json.loads(json.dumps(neuronpedia.feature(record, said=said)))
    assert single(client, record.key.index) == expected


def test_a_batch_is_the_single_ones_in_the_order_asked_for(client):
    wanted = [("1-res", 9), ("0-neurons", 9), ("1-res", 2), ("1-res", 9), ("1-res", 10), ("0-neurons", 100)]
    body = [{"modelId": "tiny", "layer": source, "index": index} for source, index in wanted]
    assert answer(client, "/features", body) == [single(client, index, f"tiny/{source}") for source, index in wanted]
    assert answer(client, "/features", []) == []


@pytest.mark.parametrize("most", [0, 1, 2, 1000])
def test_each_feature_of_a_batch_has_as_many_activations_as_it_asked_for(client, most):
    body = [SOURCE | {"index": 3, "maxActsToReturn": most}, SOURCE | {"index": 4}]
    first, second = answer(client, "/features", body)
    assert first["activations"] == single(client, 3)["activations"][:most]
    assert second == single(client, 4)


@pytest.mark.parametrize("name", ["source", "layer", "sourceId"])
@pytest.mark.parametrize("index", [3, "3", " 3 ", "003", 3.0])
def test_an_index_is_a_number_or_text_and_a_source_has_three_names(client, name, index):
    reference = {"modelId": "tiny", name: "1-res", "index": index}
    assert answer(client, "/features", [reference]) == [single(client, 3)]
    assert answer(client, "/activation/get", reference) == single(client, 3)["activations"]
    tested = answer(client, "/activation/new", {"feature": reference, "customText": "It’s Paris"})
    assert tested["index"] == "3" and "".join(tested["tokens"]) == "It’s Paris"
    assert answer(client, "/features-offset", {"modelId": "tiny", name: "1-res", "offset": index})


@pytest.mark.parametrize("source", ["1-res", "0-neurons"])
@pytest.mark.parametrize("limit", [None, 7])
def test_pages_cover_the_living_features_once_by_index(client, bench, source, limit):
    seen, offset = [], 0
    more = {} if limit is None else {"limit": limit}
    while page := answer(client, "/features-offset", {"modelId": "tiny", "layer": source, "offset": offset} | more):
        assert len(page) <= (limit or 25)
        seen += page
        offset += len(page)
    active = bench.features(f"tiny/{source}")["active"].to_numpy()
    assert [int(row["index"]) for row in seen] == np.flatnonzero(active).tolist()
    assert len(seen) == bench.source(f"tiny/{source}").alive
    assert seen[-1] == single(client, seen[-1]["index"], f"tiny/{source}")


def test_a_dead_feature_has_no_activations(client):
    assert answer(client, "/activation/get", SOURCE | {"index": 7}) == []


@pytest.mark.parametrize("text", TEXTS)
def test_tokens_joined_are_the_text(client, bench, text):
    plain = answer(client, "/tokenize", {"modelId": "tiny", "prompt": text, "prependBos": False})
    assert "".join(plain["tokenStrings"]) == text
    assert plain["prependBos"] is False
    whole = answer(client, "/tokenize", {"model": "tiny", "text": text})
    assert whole["tokens"] == [0, *plain["tokens"]] and whole["prependBos"] is True
    (tested,) = bench.test(f"{tiny.SAE}/3", text) if text.strip() else (None,)
    assert tested is None or [token.id for token in tested.tokens] == whole["tokens"]


def test_text_is_data(client, bench):
    tested = answer(client, "/activation/new", {"feature": SOURCE | {"index": 3}, "customText": "</script>\u2028\"'\\"})
    assert "".join(tested["tokens"]) == "</script>\u2028\"'\\"


def test_everything_that_is_here(client, bench):
    found = client.get("/global").json()
    assert client.post("/global").json() == found
    (model,) = found["models"]
    assert (model["id"], model["layers"], model["dimension"]) == ("tiny", 2, 32)
    assert model["defaultSourceId"] == "1-res"
    in_models = {s["id"] for part in found["models"] for own in part["sourceSets"] for s in own["sources"]}
    in_releases = {s["id"] for part in found["releases"] for own in part["sourceSets"] for s in own["sources"]}
    assert in_models == in_releases == {source.key.source_id for source in bench.sources()}
    (release,) = found["releases"]
    assert release["name"] == "tiny-release"


def test_a_source_set_is_what_its_features_say(client):
    found = client.get("/source-set/tiny/res").json()
    whole = single(client, 3)
    assert found == whole["sourceSet"] | {"sources": [whole["source"]]}
    assert "neurons, res" in refused(client.get("/source-set/tiny/other"), 404)
    refused(client.get("/source-set/other/res"), 404)


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/features", {}, 400, "body"),
        ("/features", [SOURCE], 400, "[0].index is missing"),
        ("/features", [SOURCE | {"index": 1}] * (feature.MOST + 1), 400, "at most 256"),
        ("/features", [SOURCE | {"index": 1}, SOURCE | {"index": 64}], 404, "Feature 2 of 2: tiny/1-res has"),
        ("/features", [SOURCE | {"index": True}], 400, "true is not a whole number"),
        ("/features", [SOURCE | {"index": 1, "maxActsToReturn": -1}], 400, "[0].maxActsToReturn: -1 is not"),
        ("/features", [{"modelId": "tiny", "layer": "res", "index": 1}], 400, "is not a source id"),
        ("/features", [{"modelId": "ti/ny", "layer": "1-res", "index": 1}], 400, "is not a model id"),
        ("/features-offset", SOURCE | {"offset": -1}, 400, "offset: -1 is not"),
        ("/features-offset", SOURCE | {"limit": 257}, 400, "256"),
        ("/features-offset", {"modelId": "tiny", "layer": "9-res"}, 404, "1-res"),
        ("/activation/get", SOURCE | {"index": 64}, 404, "63"),
        ("/activation/get", SOURCE | {"index": 10**11}, 404, "63"),
        ("/tokenize", {"modelId": "tiny", "prompt": ""}, 400, "prompt"),
        ("/tokenize", {"modelId": "tiny", "prompt": "a" * 10_001}, 400, "10,000"),
        ("/tokenize", {"modelId": "other", "prompt": "a"}, 404, "tiny"),
        ("/tokenize", {"prompt": "a"}, 400, "modelId is missing"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(client, path, body, status, word):
    assert word in refused(client.post(path, json=body), status)


@pytest.mark.parametrize("path", ["/activation/new", "/tokenize", "/features"])
@pytest.mark.parametrize("half", ["\ud800", "a\udfffb"])
def test_half_a_character_is_refused(client, path, half):
    body = {
        "/activation/new": {"feature": SOURCE | {"index": 3}, "customText": half},
        "/tokenize": {"modelId": "tiny", "prompt": half},
        "/features": [{"modelId": half, "source": half, "index": half}],
    }[path]
    refused(client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"}))


@pytest.mark.timeout(900)  # each door once, so everything is loaded once, and what is run is run
def test_the_examples_of_the_description_work_on_the_demo(tmp_path):
    demo = Workbench(Settings(data=tmp_path, demo=HERE / "demo" / "data"))
    if not demo.sources():
        pytest.skip("the demo's data is not here")
    client = TestClient(server.create(demo), raise_server_exceptions=False)
    schema = client.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            where, body = docs.example(path, operation, schema)
            response = client.request(method, where, json=body)
            # The demo's model is no chat model, and nobody knows the name of a run or a key before it was made.
            expected, word = {
                "/steer-chat": (400, "no chat template"), "/steer-load": (404, "no saved run"),
                "/user/api-key/revoke": (404, "no such key"),
                "/probe/get": (404, "no probe"),
                # Nor is any source on its way in.
                **{f"/bring/{job}": (404, "no job") for job in
                   ("get", "plan", "check", "build", "import", "resume", "pause", "cancel", "forget")},
                "/bring/look": (404, "no folder"), "/bring/new": (404, "no folder"),
                # Nor is it an engine for others.
                **{f"/engine/v1/{what}": (403, "no engine") for what in ("tokens", "codes", "steer", "sweep")},
                # Nor has the demo a language model that explains, or anything that one said.
                "/explanation/generate": (400, "without a key"),
                "/explanation/m-0123abcd/delete": (404, "no explanation"),
                "/explanation/score/s-0123456789abcdef012345/delete": (404, "no score"),
            }.get(where, (200, ""))  # fmt: skip
            assert response.status_code == expected and word in response.text, (where, body, response.text)
            assert response.json() if "json" in response.headers["content-type"] else response.content
