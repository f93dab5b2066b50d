"""Whatever the body, no door breaks: an answer, or a 4xx with a message; never a 5xx."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api import limit, server
from core.settings import Settings
from core.workbench import Workbench

PATHS = [
    "/features", "/features-offset", "/activation/new", "/activation/get", "/activation/source", "/search-all",
    "/search-topk-by-token", "/tokenize", "/global",
]  # fmt: skip
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
near = {
    "modelId": st.just("tiny") | anything,
    "index": st.integers(-2, 70) | st.integers(0, 70).map(str) | anything,
    "offset": st.integers(-2, 80) | anything,
    "limit": st.integers(-2, 300) | anything,
    "maxActsToReturn": st.integers(-2, 5) | anything,
    "customText": st.text(max_size=30) | st.lists(st.text(max_size=10), max_size=3) | anything,
    "prompt": st.text(max_size=40) | anything,
    "text": st.text(max_size=30) | st.lists(st.text(max_size=10), max_size=6) | anything,
    "sourceSet": st.sampled_from(["res", "neurons", "", None]) | anything,
    "selectedLayers": st.lists(st.sampled_from(["1-res", "0-neurons", "tiny/1-res", "9-x"]), max_size=3) | anything,
    "sortIndexes": st.lists(st.integers(-1, 12), max_size=4) | anything,
    "densityThreshold": st.floats() | anything,
    "numResults": st.integers(-1, 120) | anything,
    "measure": st.sampled_from(["value", "fraction", "percentile", "surprise"]) | anything,
    "combine": st.sampled_from(["max", "sum"]) | anything,
    "prependBos": st.booleans() | anything,
    "ignoreBos": st.booleans() | anything,
}
sources = st.just("1-res") | st.just("0-neurons") | anything
reference = st.fixed_dictionaries(
    {}, optional={name: near[name] for name in ("modelId", "index")} | {"source": sources, "layer": sources}
)
nearly = st.fixed_dictionaries(
    {}, optional=near | {"source": sources, "layer": sources, "feature": reference | anything, "neuron": reference}
)


@pytest.fixture(scope="module")
def client(tiny_root):
    unlimited = Settings(data=tiny_root, demo=None, requests_a_minute=0)
    return TestClient(server.create(Workbench(unlimited)), raise_server_exceptions=False)


def check(response):
    assert response.status_code < 500, response.text
    if response.status_code != 200:
        body = response.json()
        assert set(body) == {"error", "message"} and body["message"]
    return response


@pytest.mark.parametrize("path", PATHS)
@QUICK
@given(body=nearly | st.lists(nearly, max_size=3) | anything)
def test_bodies(client, path, body):
    check(client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"}))


asking = st.fixed_dictionaries(
    {"modelId": st.just("tiny"), "text": near["text"]},
    optional={name: near[name] for name in near.keys() - {"modelId", "text"}} | {"source": sources},
)


@pytest.mark.parametrize("path", ["/search-all", "/search-topk-by-token"])
@QUICK
@given(body=asking)
def test_searches(client, path, body):
    """Of a real model, so that more of them come as far as the model."""
    check(client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"}))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"NaN", b"[" * 100_000, b"1" * 5_000, b'{"modelId":"tiny","layer":"1-res","offset":1e999}',
     b'[{"modelId":"tiny","layer":"1-res","index":' + b"9" * 5_000 + b"}]",
     b'{"modelId":"tiny","prompt":"\\ud83d"}', b'{"a":1,"a":2}'],
)  # fmt: skip
def test_what_no_encoder_writes(client, path, content):
    check(client.post(path, content=content, headers={"Content-Type": "application/json"}))


@QUICK
@given(parts=st.lists(st.text(max_size=12), min_size=1, max_size=4))
def test_paths(client, parts):
    for begin in ("/feature/", "/source-set/", "/"):
        check(client.get("http://testserver" + begin + "/".join(quote(part, safe="") for part in parts)))


@pytest.mark.parametrize("path", ["/features", "/activation/new", "/tokenize"])
@pytest.mark.parametrize("how", ["announced", "in pieces"])
def test_a_giant_body_is_not_read(client, path, how):
    raw = b'{"a": "' + b"x" * (limit.MOST + 1) + b'"}'
    body = raw if how == "announced" else (raw[i : i + 2**16] for i in range(0, len(raw), 2**16))
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413
    assert answer.json()["error"] == answer.json()["message"] and "at most 8 MiB" in answer.json()["message"]


def test_the_longest_texts_that_are_read_fit(client):
    texts = json.dumps(["🙂" * 10_000] * 32)
    body = f'{{"feature": {{"modelId": "tiny", "source": "1-res", "index": 1}}, "customText": {texts}}}'
    answer = client.post("/activation/new", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400 and "too long: it has" in answer.json()["message"], "tokens, not bytes"


def test_a_body_that_is_not_sent_as_json(client):
    answer = client.post("/tokenize", content=b'{"modelId": "tiny"}', headers={"Content-Type": "text/plain"})
    assert answer.status_code == 400 and "Content-Type: application/json" in answer.json()["message"]
