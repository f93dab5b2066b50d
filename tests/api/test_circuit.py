"""Circuits over HTTP and on the command line: the records, bad input in words, and the pace of what runs a model."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from api import pace, server
from core import __main__ as cli
from core.interchange import circuits as shapes
from core.records import SourceKey
from core.techniques.circuits.records import CircuitAsk
from tests.api.test_api import refused

TEXT = "The capital of France is Paris, and the capital of"
OWN = {"modelId": "tiny", "text": TEXT, "target": [" the"], "against": [" is"]}
ASK = CircuitAsk(model_id="tiny", text=TEXT, target=(" the",), against=(" is",))


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def test_every_route_gives_the_record(client, bench):
    room = bench.circuits
    for path, made in (
        ("lens", lambda: shapes.lens(room.lens(ASK))), ("components", lambda: shapes.direct(room.direct(ASK))),
        ("tokens", lambda: shapes.drivers(room.drivers(ASK))),
    ):  # fmt: skip
        answer = client.post(f"/circuit/{path}", json=OWN)
        assert answer.status_code == 200, answer.text
        assert answer.json() == json.loads(json.dumps(made()))
        assert f"/circuit/{path}" in pace.PATHS
    answer = client.post("/circuit/features", json=OWN | {"sources": ["1-res"], "top": 5, "ablate": 2}).json()
    own = replace(ASK, sources=(SourceKey("tiny", "1-res"),))
    assert answer == json.loads(json.dumps(shapes.features(room.features(own, top=5, ablate=2))))
    assert len(answer["nodes"]) == 5 and answer["nodes"][1]["ablated"] is not None
    first = answer["nodes"][0]
    node = {"source": "1-res", "index": first["index"], "position": first["position"]}
    (again,) = client.post("/circuit/ablate", json=OWN | {"nodes": [node]}).json()["nodes"]
    assert again["ablated"] == pytest.approx(first["ablated"], abs=1e-6)
    told = client.post("/circuit/tokens", json={
        "modelId": "tiny", "text": TEXT, "feature": {"source": "1-res", "index": first["index"]},
        "position": first["position"],
    }).json()  # fmt: skip
    assert told["feature"]["activation"] == pytest.approx(first["activation"], rel=1e-4)


@pytest.mark.parametrize(
    ("path", "more", "status", "said"),
    [
        ("lens", {"target": [" capital of"]}, 400, "tokens"), ("lens", {"modelId": "none"}, 404, "none"),
        ("features", {"top": 0}, 400, "top"), ("features", {"ablate": 65}, 400, "ablate"),
        ("features", {"sources": ["9-none"]}, 404, "9-none"), ("tokens", {"position": -1}, 400, "position"),
        ("tokens", {"position": 99}, 400, "99"), ("components", {"text": ""}, 400, "empty"),
        ("components", {"feature": {"source": "1-res", "index": 3}}, 400, "one of the two"),
        ("ablate", {"nodes": []}, 400, "nodes"), ("lens", {"text": "\ud800"}, 400, "surrogate"),
        ("ablate", {"nodes": [{"source": "1-res", "index": 7, "position": 1}]}, 400, "not active"),
        ("lens", {"text": "word " * 300}, 400, "64"), ("lens", {"target": " the"}, 400, "target"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(client, path, more, status, said):
    body = json.dumps(OWN | more)
    answer = client.post(f"/circuit/{path}", content=body, headers={"content-type": "application/json"})
    assert said in refused(answer, status)


def test_the_command_line_gives_the_same(capsys, tiny_root, bench, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", "")
    words = ["circuit", "tiny", TEXT, "--target", " the", "--against", " is", "--data", str(tiny_root), "--json"]
    assert cli.main([*words, "--show", "components"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["components"] == shapes.direct(bench.circuits.direct(ASK))["components"]
    assert cli.main([*words[:-1], "--ablate", "1"]) == 0
    told = capsys.readouterr().out
    assert "add up to" in told and "x · dL/dx" in told and "logit lens" in told and "integrated gradients" in told
    assert cli.main([*words[:3], "--target", " capital of", "--data", str(tiny_root)]) == 2
    assert "a target is one token" in capsys.readouterr().err


def test_records_are_tables(bench):
    room = bench.circuits
    assert len(room.lens(ASK).to_pandas()) == 3 * len(room.target(ASK).tokens)
    assert room.direct(ASK).to_pandas()["value"].sum() == pytest.approx(room.target(ASK).value, abs=1e-4)
    assert set(room.features(ASK).to_pandas()) >= {"feature", "effect", "token"}
    assert len(room.drivers(ASK).to_pandas()) == len(room.target(ASK).tokens)
    assert "<table" in room.features(ASK)._repr_html_()
