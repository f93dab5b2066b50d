"""The JSON API: Neuronpedia's shapes, and refusals that say what to change."""

from __future__ import annotations

import re

import pytest
from starlette.testclient import TestClient

from api import server
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def refused(response, status=400):
    assert response.status_code == status, response.text
    body = response.json()
    assert set(body) == {"error", "message"}
    assert body["error"] == body["message"]
    return body["message"]


def test_the_catalog(client):
    sources = client.get("/catalog").json()["sources"]
    assert [(source["modelId"], source["sourceId"]) for source in sources] == [("tiny", "0-neurons"), ("tiny", "1-res")]


def test_a_feature(client, record):
    answer = client.get(f"/feature/{tiny.SAE}/3").json()
    assert (answer["modelId"], answer["layer"], answer["index"]) == ("tiny", "1-res", "3")
    assert answer["maxActApprox"] == pytest.approx(record.maximum)


@pytest.mark.parametrize("index", ["64", "999999999"])
def test_no_such_feature(client, index):
    assert "63" in refused(client.get(f"/feature/{tiny.SAE}/{index}"), 404)


@pytest.mark.parametrize("path", ["/feature/tiny/9-res/1", "/feature/other/1-res/1"])
def test_no_such_source(client, path):
    refused(client.get(path), 404)


@pytest.mark.parametrize("path", ["/feature/tiny/1-res/x", "/feature/tiny/res/1", "/feature/ti%20ny/1-res/1"])
def test_not_a_feature(client, path):
    refused(client.get(path))


def test_a_path_that_is_not_here(client):
    assert "/api/docs" in refused(client.get("/nothing"), 404)
    refused(client.get("/activation/new"), 405)


@pytest.mark.parametrize("index", [3, "3"])
@pytest.mark.parametrize(("name", "source"), [("feature", "source"), ("neuron", "layer")])
def test_one_text(client, bench, index, name, source):
    body = {name: {"modelId": "tiny", source: "1-res", "index": index}, "customText": "It’s Paris 🙂"}
    answer = client.post("/activation/new", json=body).json()
    (record,) = bench.test(f"{tiny.SAE}/3", "It’s Paris 🙂")
    assert "".join(answer["tokens"]) == "It’s Paris 🙂"
    assert answer["values"] == pytest.approx(record.values[1:])
    assert answer["maxValue"] == pytest.approx(record.maximum)
    assert answer["index"] == "3"


def test_several_texts(client):
    body = {"feature": {"modelId": "tiny", "source": "1-res", "index": 3}, "customText": ["one", "two words"]}
    answers = client.post("/activation/new", json=body).json()
    assert ["".join(answer["tokens"]) for answer in answers] == ["one", "two words"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "feature"),
        ({"feature": {"modelId": "tiny", "source": "1-res"}, "customText": "a"}, "feature.index"),
        ({"feature": {"modelId": "tiny", "source": "1-res", "index": -1}, "customText": "a"}, "-1"),
        ({"feature": {"modelId": "tiny", "source": "1-res", "index": "x"}, "customText": "a"}, "x"),
        ({"feature": {"modelId": "tiny", "source": "1-res", "index": 1.5}, "customText": "a"}, "index"),
        ({"feature": {"modelId": "tiny", "source": "1-res", "index": 3}, "customText": 7}, "customText"),
        ({"feature": {"modelId": "tiny", "source": "1-res", "index": 3}}, "customText"),
        ({"feature": {"modelId": "tiny", "source": "1-res", "index": 3}, "customText": []}, "text"),
        ({"feature": {"modelId": "tiny", "source": "1-res", "index": 3}, "customText": "a" * 20_000}, "10,000"),
        ({"feature": {"modelId": "tiny", "source": "1-res", "index": 3}, "customText": ["a"] * 100}, "32"),
    ],
)
def test_bad_bodies(client, body, word):
    assert word in refused(client.post("/activation/new", json=body))


@pytest.mark.parametrize("content", ["{", "", "[]", "null"])
def test_what_is_not_json(client, content):
    response = client.post("/activation/new", content=content, headers={"Content-Type": "application/json"})
    refused(response)


def test_a_form_from_another_site_is_not_read(client):
    response = client.post("/activation/new", content='{"feature":1}', headers={"Content-Type": "text/plain"})
    assert 400 <= response.status_code < 500


def test_the_unexpected_is_not_told(tiny_root):
    class Broken(Workbench):
        def sources(self, **_):
            raise RuntimeError("secret path /home/x")

    client = TestClient(server.create(Broken(Settings(data=tiny_root, demo=None))), raise_server_exceptions=False)
    assert "secret" not in refused(client.get("/catalog"), 500)


def test_the_description_lists_every_route(client):
    paths = client.get("/openapi.json").json()["paths"]
    ours = "/catalog /global /source-set/{model_id}/{name} /feature/{model_id}/{source_id}/{index} /features"
    ours += " /features-offset /activation/new /activation/get /activation/source /search-all /search-topk-by-token"
    ours += " /tokenize /steer /steer-chat /steer-sweep /steer-load /steer/presets"
    ours += " /vector/new /vector/get /vector/delete /vector/list-owned /bookmark/add /bookmark/delete /comment/new"
    ours += " /comment/list /comment/delete /list/new /list/new-with-features /list/list /list/get /list/add-features"
    ours += " /list/edit-feature /list/remove /list/update /list/delete /list/comment/new /list/comment/delete"
    ours += " /user/me /user/edit /user/bookmarks /user/api-keys /user/api-key /user/api-key/revoke"
    ours += " /explanation/new /explanation/vote /explanation/mark /explanation/generate /explanation/score"
    ours += " /explanation/{id} /explanation/{id}/vote /explanation/{id}/unvote /explanation/{id}/delete"
    ours += " /explanation/m-{id}/delete /explanation/score/{id}/delete /explanation/export /explanation/search"
    ours += " /explanation/search-all /explanation/search-model /explanation/search-release"
    ours += " /universal/{model_id}/{source_id} /universal/{model_id}/{source_id}/{index}"
    ours += " /circuit/lens /circuit/components /circuit/features /circuit/ablate /circuit/tokens"
    ours += " /circuit/pair /circuit/pair/features /circuit/pair/patch /circuit/pair/residual /circuit/pair/curve"
    ours += " /template /graph/generate /graph/save /graph/list-owned /graph/delete"
    ours += " /graph/{model_id}/{slug} /graph/{model_id}/{slug}/file"
    ours += " /head/{model_id} /head/{model_id}/{layer}/{head} /head/pattern /head/features /head/active"
    ours += " /redteam /umap /umap/clusters /compare /compare/matches /compare/features"
    ours += " /together/{model_id}/{source_id}/{index} /cossim /similar /similar/{model_id}/{source_id}/{index}"
    ours += " /feature/{model_id}/{source_id}/{index}/vector"
    ours += " /compare/read /export/{model_id}/{source_id} /probe/new /probe/get"
    ours += " /bring/import /quality/{model_id}/{source_id} /leaderboard"
    ours += " /bring /bring/look /bring/new /bring/get /bring/plan /bring/check /bring/build /bring/resume /bring/pause"
    ours += " /bring/cancel /bring/forget /model/new /source-set/new /feature/upload-batch"
    ours += " /engine/v1/tokens /engine/v1/codes /engine/v1/steer /engine/v1/sweep"
    ours += " /play/board /play/doubted/{modelId}/{source} /play/export/{modelId}/{source}"
    assert set(ours.split()) == set(paths)
    page = client.get("/docs").text
    assert all(path in page for path in paths)
    assert not re.search(r"""(src|href|url)\s*[=(]\s*["']?(https?:)?//""", page)  # it needs nothing from elsewhere


def test_who_may_call_from_a_browser(client, tiny_root):
    def allowed(caller, origin):
        return caller.get("/catalog", headers={"Origin": origin}).headers.get("access-control-allow-origin")

    assert allowed(client, "http://localhost:8888") == "http://localhost:8888"
    assert allowed(client, "https://elsewhere.example") is None
    assert allowed(client, "http://localhost.elsewhere.example") is None
    settings = Settings(data=tiny_root, demo=None, origins="https://blog.example")
    other = TestClient(server.create(Workbench(settings)))
    assert allowed(other, "https://blog.example") == "https://blog.example"
    assert allowed(other, "https://elsewhere.example") is None
