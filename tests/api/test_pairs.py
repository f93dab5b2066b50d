"""Pairs of prompts over HTTP and on the command line: the records, bad input in words, and the pace."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from api import pace, server
from core import __main__ as cli
from core.interchange import pairs as shapes
from core.records import SourceKey
from core.techniques.pairs.records import PairAsk
from tests.api.test_api import refused

CLEAN = "The capital of France is Paris, and the capital of"
CORRUPTED = "The capital of the system is Paris, and the capital of"
OWN = {"modelId": "tiny", "clean": CLEAN, "corrupted": CORRUPTED, "target": [" the"], "against": [" is"]}
ASK = PairAsk(model_id="tiny", clean=CLEAN, corrupted=CORRUPTED, target=(" the",), against=(" is",))
SAE = SourceKey("tiny", "1-res")


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def test_every_route_gives_the_record(client, bench):
    room = bench.pairs
    for path, more, made in (
        ("", {}, lambda: shapes.pair(room.pair(ASK))),
        ("/features", {"top": 5, "patch": 2}, lambda: shapes.features(room.features(ASK, top=5, patch=2))),
        ("/residual", {"direction": "noising"}, lambda: shapes.residual(room.residual(ASK, direction="noising"))),
        ("/curve", {"source": "1-res", "draws": 2}, lambda: shapes.curve(room.curve(ASK, SAE, draws=2))),
    ):  # fmt: skip
        answer = client.post(f"/circuit/pair{path}", json=OWN | more)
        assert answer.status_code == 200, answer.text
        assert answer.json() == json.loads(json.dumps(made()))
        assert f"/circuit/pair{path}" in pace.PATHS
    first = client.post("/circuit/pair/features", json=OWN | {"top": 1, "patch": 1}).json()["nodes"][0]
    node = {"source": first["layer"], "index": first["index"], "position": first["position"]}
    (again,) = client.post("/circuit/pair/patch", json=OWN | {"nodes": [node]}).json()["nodes"]
    assert again == first


@pytest.mark.parametrize(
    ("path", "more", "status", "said"),
    [
        ("", {"corrupted": ""}, 400, "empty"), ("", {"modelId": "none"}, 404, "none"),
        ("", {"target": [" capital of"]}, 400, "tokens"), ("/features", {"by": "taste"}, 400, "by"),
        ("/residual", {"direction": "up"}, 400, "direction"), ("/curve", {"source": "9-none"}, 404, "9-none"),
        ("/curve", {"source": "1-res", "draws": 0}, 400, "draws"), ("/patch", {"nodes": []}, 400, "nodes"),
        ("/patch", {"nodes": [{"source": "1-res", "index": 63, "position": 0}]}, 400, "as active"),
    ],
)  # fmt: skip
def test_bad_input_says_what_to_change(client, path, more, status, said):
    assert said in refused(client.post(f"/circuit/pair{path}", json=OWN | more), status)


def test_the_command_line_gives_the_same(capsys, tiny_root, bench, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", "")
    words = ["pair", "tiny", CLEAN, CORRUPTED, "--target", " the", "--against", " is", "--data", str(tiny_root)]
    assert cli.main([*words, "--sources", "1-res", "--patch", "2", "--draws", "2"]) == 0
    said = capsys.readouterr().out
    assert all(part in said for part in ("after the clean prompt", "not aligned", "denoising", "faithfulness"))
    assert cli.main([*words, "--show", "residual", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(shapes.residual(bench.pairs.residual(ASK))))
    assert cli.main([*words, "--show", "curve"]) == 2
    assert "one source" in capsys.readouterr().err
