"""Attention heads over HTTP and on the command line: the records, bad input in words, the pace of what runs a model."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from api import pace, server
from core import __main__ as cli
from core.interchange import heads as shapes
from core.settings import Settings
from core.workbench import Workbench
from tests.api.test_api import refused

TEXT = "The capital of France is Paris, and the capital of"
HEAD = {"modelId": "tiny", "layer": 1, "head": 1}


@pytest.fixture(scope="module")
def bench(tiny_root, tmp_path_factory):
    """The tiny model in a root that is only read, with another to write to."""
    return Workbench(Settings(data=tmp_path_factory.mktemp("heads"), demo=tiny_root))


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def test_every_route_gives_the_record(client, bench):
    room = bench.heads
    for path, body, made in (
        ("pattern", {"text": TEXT}, lambda: shapes.pattern(room.pattern("tiny/1/1", TEXT))),
        ("features", {"top": 3}, lambda: shapes.features(room.features("tiny/1/1", top=3))),
        ("active", {"text": TEXT, "position": 5, "attended": 2, "sources": ["1-res"]},
         lambda: shapes.active(room.active("tiny/1/1", TEXT, position=5, attended=2, sources=["tiny/1-res"]))),
    ):  # fmt: skip
        answer = client.post(f"/head/{path}", json=HEAD | body)
        assert answer.status_code == 200, answer.text
        assert answer.json() == json.loads(json.dumps(made())) and f"/head/{path}" in pace.PATHS
    assert client.get("/head/tiny").json() == json.loads(json.dumps(shapes.heads(room.scores("tiny"))))
    assert client.get("/head/tiny/1/1").json() == json.loads(json.dumps(shapes.head(room.of("tiny/1/1"))))
    assert all(pace.LOOKS.fullmatch(path) for path in ("/head/tiny", "/head/tiny/1/1"))


@pytest.mark.parametrize(
    ("path", "more", "status", "said"),
    [
        ("pattern", {"text": ""}, 400, "empty"), ("pattern", {"text": TEXT, "layer": 9}, 404, "layers 0 to 1"),
        ("features", {"top": 0}, 400, "top"), ("features", {"sources": ["9-none"]}, 404, "9-none"),
        ("active", {"text": TEXT, "position": 99}, 400, "99"), ("active", {"text": TEXT, "head": -1}, 400, "head"),
        ("pattern", {"text": TEXT, "modelId": "none"}, 404, "none"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_says_why(client, path, more, status, said):
    answer = client.post(f"/head/{path}", json=HEAD | more)
    assert said in refused(answer, status)


def test_looks_that_name_nothing(client):
    assert "none" in refused(client.get("/head/none"), 404)
    assert "layers 0 to 1" in refused(client.get("/head/tiny/7/0"), 404)


def test_on_the_command_line(bench, tiny_root, capsys, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", str(tiny_root))
    data = ["--data", str(bench.settings.data)]

    def run(*words):
        assert cli.main([*words, *data]) == 0
        return capsys.readouterr().out

    assert json.loads(run("heads", "tiny", "--json")) == json.loads(json.dumps(shapes.heads(bench.heads.kept("tiny"))))
    assert "equal attention would give" in run("heads", "tiny", "--by", "induction")
    said = run("head", "tiny", "1", "1")
    assert "L1H1" in said and "a random direction in a thousand" in said
    said = run("head", "tiny", "1", "1", TEXT, "--attended", "2")
    assert "looking at" in said and "+ error" in said
    assert cli.main(["head", "tiny", "9", "0", *data]) != 0
    assert "layers 0 to 1" in capsys.readouterr().err
