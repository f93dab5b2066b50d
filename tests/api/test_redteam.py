"""Red-teaming over HTTP: the record as JSON, refusals that say what to change, and a model that is asked with a key."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api import server
from core.interchange import redteam as shape
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.api.test_fuzz import anything
from tests.core.explain.redteam.conftest import Embedder
from tests.openai_server import KEY, OpenAIServer

SAID = "fires on capital, not on contractor"
BODY = {"modelId": "tiny", "source": "1-res", "index": "3", "hypothesis": SAID, "texts": 16}


@pytest.fixture(scope="module")
def bench(tiny_root, tmp_path_factory):
    made = Workbench(Settings(data=tmp_path_factory.mktemp("data"), demo=tiny_root, requests_a_minute=0))
    made.words._seeker.embedder = Embedder()
    return made


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False, client=("127.0.0.1", 5000))


def test_the_record_is_told(client, bench):
    answer = client.post("/redteam", json=BODY)
    assert answer.status_code == 200, answer.text
    found = bench.words.redteam(f"{tiny.SAE}/3", SAID, texts=16)
    assert answer.json() == json.loads(json.dumps(shape.record(found)))
    assert len(answer.json()["cases"]) <= 16


@pytest.mark.parametrize(
    ("more", "status", "word"),
    [
        ({"hypothesis": "not on red"}, 400, "no word"), ({"hypothesis": ""}, 400, "Say what"),
        ({"hypothesis": "x" * 4001}, 400, "hypothesis"), ({"texts": 7}, 400, "texts"), ({"texts": 201}, 400, "texts"),
        ({"share": 0}, 400, "share"), ({"share": 1}, 400, "share"), ({"seed": -1}, 400, "seed"),
        ({"makers": ["magic"]}, 400, "magic"), ({"index": "64"}, 404, "63"), ({"source": "9-res"}, 404, "9-res"),
        ({"writerModel": "m", "baseUrl": "ftp://x"}, 400, "address"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(client, more, status, word):
    answer = client.post("/redteam", json=BODY | more)
    assert answer.status_code == status and word in answer.json()["message"]


def test_a_model_writes_with_the_requests_key_and_only_for_what_can_be_tested(client):
    with OpenAIServer('{"fires": ["The capital."], "silent": ["A lamp."]}') as model:
        asked = BODY | {"writerModel": "m", "baseUrl": model.url}
        bad = client.post("/redteam", json=asked | {"hypothesis": "not on red"}, headers={"X-Model-Key": KEY})
        assert bad.status_code == 400 and not model.asked
        answer = client.post("/redteam", json=asked, headers={"X-Model-Key": KEY})
        assert answer.status_code == 200 and answer.json()["writerModel"] == "m" and KEY not in answer.text
        assert {"model"} <= {case["maker"] for case in answer.json()["cases"]}
        refused = client.post("/redteam", json=asked | {"hypothesis": "Rome"}, headers={"X-Model-Key": "sk-wrong"})
        assert refused.status_code == 409 and "sk-wrong" not in refused.text


near = {
    "modelId": st.just("tiny"), "source": st.sampled_from(["1-res", "0-neurons"]), "index": st.integers(0, 63),
    "hypothesis": st.text(st.characters(codec=None), max_size=40), "texts": st.integers(7, 12) | anything,
    "share": st.floats(-1, 2) | anything, "seed": st.integers(-1, 10**20) | anything,
    "makers": st.lists(st.sampled_from(["templates", "letters", "x"]), max_size=3) | anything,
}  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.fixed_dictionaries(
    {name: near[name] for name in ("modelId", "source", "index", "hypothesis", "makers")},
    optional={name: near[name] for name in ("texts", "share", "seed")},
) | anything)  # fmt: skip
def test_no_body_breaks_it(client, body):
    answer = client.post("/redteam", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, (body, answer.text)
    if answer.status_code != 200:
        assert answer.json()["message"]
