"""Explanations by models over HTTP: Neuronpedia's shapes; a key that is nowhere but in the request; who pays."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from api import server
from core.settings import Settings
from core.workbench import Workbench
from tests.openai_server import KEY, OpenAIServer

FEATURE = {"modelId": "tiny", "layer": "1-res", "index": "3"}


@pytest.fixture
def model():
    with OpenAIServer("Explanation: words for capitals") as made:
        yield made


@pytest.fixture
def made(tiny_root, tmp_path):
    def go(**settings):
        bench = Workbench(Settings(data=tmp_path / "data", demo=tiny_root, **settings))
        return TestClient(server.create(bench), raise_server_exceptions=False, client=("127.0.0.1", 5000))

    return go


def ask(client, model, key=KEY, **more):
    body = FEATURE | {"explanationType": "np_max-act", "explanationModelName": "m", "baseUrl": model.url} | more
    return client.post("/explanation/generate", json=body, headers={"X-Model-Key": key})


def test_generated_read_in_the_features_json_and_taken_away(made, model):
    client = made()
    found = ask(client, model).json()["explanation"]
    assert (found["description"], found["typeName"], found["explanationModelName"]) == (
        "words for capitals", "np_max-act", "m",
    )  # fmt: skip
    assert client.get(f"/explanation/{found['id']}").json()["explanation"]["description"] == "words for capitals"
    feature = client.get("/feature/tiny/1-res/3").json()
    assert found["id"] in [one["id"] for one in feature["explanations"]]
    assert client.post(f"/explanation/{found['id']}/delete").status_code == 200
    assert client.get(f"/explanation/{found['id']}").status_code == 404
    assert KEY not in str(found)


def test_the_same_twice_is_refused(made, model):
    client = made()
    assert ask(client, model).status_code == 200
    answer = ask(client, model)
    assert answer.status_code == 409 and "already" in answer.json()["message"] and len(model.asked) == 1


@pytest.mark.parametrize(
    ("more", "status", "word"),
    [
        ({"explanationType": "taste"}, 400, "no method “taste”"),
        ({"explanationModelName": ""}, 400, "Name a language model"),
        ({"index": "64"}, 404, "63"),
        ({"baseUrl": "ftp://x"}, 400, "address"),
        ({"baseUrl": "http://127.0.0.1:9/v1"}, 503, "cannot be reached"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_asked(made, model, more, status, word, monkeypatch):
    from core.explain.machine import client

    monkeypatch.setattr(client.Client, "_pause", lambda self, seconds: None)
    answer = ask(made(), model, **more)
    assert answer.status_code == status and word in answer.json()["message"] and not model.asked


def test_a_wrong_key_is_said_without_the_key(made, model):
    answer = ask(made(), model, key="sk-wrong-one")
    assert answer.status_code == 409 and "refuses the key" in answer.json()["message"]
    assert "sk-wrong-one" not in answer.text


def test_a_server_that_others_reach_calls_no_address_of_theirs(made, model):
    client = made(host="0.0.0.0")
    answer = client.post(
        "/explanation/generate", headers={"X-Model-Key": KEY, "X-Api-Key": "x"},
        json=FEATURE | {"explanationType": "np_max-act", "explanationModelName": "m", "baseUrl": model.url},
    )  # fmt: skip
    assert answer.status_code in (400, 401) and not model.asked


def test_strangers_do_not_spend_the_servers_key(tiny_root, tmp_path, model):
    from core.errors import BadInput, NotAllowed, NotSignedIn

    mine = {"llm": "m", "llm_url": model.url, "llm_key": KEY, "host": "0.0.0.0"}
    closed = Workbench(Settings(data=tmp_path / "a", demo=tiny_root, **mine)).words.machines
    assert not closed.offers()
    with pytest.raises(NotAllowed, match="key of your own"):
        closed.visitor(None)
    opened = Workbench(Settings(data=tmp_path / "b", demo=tiny_root, llm_for_all=True, llm_a_day=2, **mine))
    machines = opened.words.machines
    with pytest.raises(NotSignedIn):
        machines.visitor(None)
    people = opened.community.people()
    for left in (2, 1):
        assert machines.left(people) == left
        assert machines.visitor(people).key == KEY
    assert machines.left(people) == 0
    with pytest.raises(NotAllowed, match="2 explanations"):
        machines.visitor(people)
    assert machines.visitor(people, "other", model.url, "sk-own").key == "sk-own"
    with pytest.raises(BadInput, match="asks only these"):
        machines.visitor(people, "m", "http://169.254.169.254/v1", "sk-own")
    assert not model.asked


def test_a_key_of_the_settings_goes_to_their_address_alone(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-openai")
    settings = Settings(data=tmp_path, demo=tiny_root, llm="m", llm_url="http://127.0.0.1:1/v1", llm_key="sk-mine")
    machines = Workbench(settings).words.machines
    assert machines.endpoint().key == "sk-mine"
    assert machines.endpoint("m", "http://127.0.0.1:2/v1").key == ""
    assert machines.endpoint("m", "https://api.openai.com/v1").key == "sk-openai"
    assert "sk-mine" not in repr(settings) + repr(machines.endpoint())


@pytest.mark.parametrize("path", ["/explanation/m-0/delete", "/explanation/score/s-0/delete"])
def test_what_is_not_there_is_not_taken_away(made, path):
    answer = made().post(path)
    assert answer.status_code == 404 and answer.json()["error"]


def test_no_such_explanation_and_no_such_scorer(made):
    client = made()
    body = {"explanationId": "m-nothing", "scorerType": "eleuther_fuzz"}
    assert client.post("/explanation/score", json=body).status_code == 404
    assert client.get("/explanation/annotation:tiny/1-res/9999").status_code == 404
    assert client.get("/explanation/annotation:nonsense").status_code in (400, 404)
