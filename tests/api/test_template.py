"""Templates over HTTP and on the command line: the record, bad input in words, CSV, and the pace."""

from __future__ import annotations

import json

import pytest
from starlette.testclient import TestClient

from api import pace, server
from core import __main__ as cli
from core.interchange import templates as shapes
from core.techniques.templates.records import TemplateAsk
from tests.api.test_api import refused

FILLERS = {"A": ["capital", "system", "war"], "what": ["France", "Rome", "Paris"]}
OWN = {"modelId": "tiny", "templates": ["The {A} of {what}."], "fillers": FILLERS}
ASK = TemplateAsk(
    model_id="tiny", templates=("The {A} of {what}.",), fillers=tuple((name, tuple(v)) for name, v in FILLERS.items())
)


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def test_the_route_gives_the_record(client, bench):
    answer = client.post("/template", json=OWN | {"top": 3})
    assert answer.status_code == 200, answer.text
    assert answer.json() == json.loads(json.dumps(shapes.record(bench.templates.responses(ASK, top=3))))
    assert "/template" in pace.PATHS and len(answer.json()["prompts"]) == 9


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"templates": ["The {A"]}, 400, "other one"), ({"fillers": {"A": ["a", "b"]}}, 400, "{what} has no fillers"),
        ({"modelId": "none"}, 404, "none"), ({"at": "top"}, 400, "at"), ({"prompts": 1}, 400, "prompts"),
        ({"templates": []}, 400, "templates"), ({"sources": ["9-none"]}, 404, "9-none"), ({"top": 0}, 400, "top"),
    ],
)  # fmt: skip
def test_bad_input_says_what_to_change(client, more, status, said):
    assert said in refused(client.post("/template", json=OWN | more), status)


def test_the_command_line_gives_the_same(capsys, tiny_root, bench, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", "")
    fill = [part for name, own in FILLERS.items() for part in ("--fill", f"{name}={','.join(own)}")]
    words = ["template", "tiny", "The {A} of {what}.", *fill, "--top", "3", "--data", str(tiny_root)]
    assert cli.main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(shapes.record(
        bench.templates.responses(ASK, top=3))))  # fmt: skip
    assert cli.main(words) == 0
    said = capsys.readouterr().out
    assert "9 prompts" in said and "labels shuffled" in said and "value of A" in said
    assert cli.main([*words, "--csv"]) == 0
    assert capsys.readouterr().out.startswith("kind,slots,model")
    assert cli.main([*words[:3], "--fill", "A", "--data", str(tiny_root)]) == 2
    assert "SLOT=A,B" in capsys.readouterr().err
