"""Attribution graphs over HTTP and on the command line: as Neuronpedia's client asks, kept, listed, deleted."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from starlette.testclient import TestClient

from api import server
from core.__main__ import main
from core.errors import BadInput, NotAvailable
from core.interchange import graphs as shape
from core.settings import Settings
from core.techniques.circuits.records import CircuitAsk
from core.techniques.graphs import shaping
from core.techniques.graphs.door import _way
from core.techniques.graphs.records import GraphAsk
from core.workbench import Workbench
from tests.api.test_api import refused

TEXT = "The capital of France is Paris"
ASK = GraphAsk(model_id="tiny", text=TEXT, nodes=0.9)
BODY = {"modelId": "tiny", "prompt": TEXT, "nodeThreshold": 0.9}


@pytest.fixture(scope="module")
def home(tiny_root, tmp_path_factory):
    """A workbench of its own, in whose data root graphs may be kept."""
    return Workbench(Settings(data=tmp_path_factory.mktemp("graphs"), demo=tiny_root))


@pytest.fixture(scope="module")
def client(home):
    return TestClient(
        server.create(home), raise_server_exceptions=False, base_url="http://127.0.0.1", client=("127.0.0.1", 5)
    )


def test_the_answer_is_the_records(client, home):
    record = home.graph(ASK)
    assert record.way == "residual" and record.facts.residual < 1e-4
    assert {one.part for one in record.nodes} == {"feature", "error", "token", "logit"}
    answer = client.post("/graph/generate", json=BODY).json()
    assert (answer["numNodes"], answer["numLinks"]) == (len(record.nodes), len(record.links))
    assert replace(shape.read(answer["graph"]), made="", drawn=()) == replace(record, made="", drawn=())
    assert "graph?model=tiny&text=The%20capital" in answer["url"]


def test_a_graph_is_kept_found_and_deleted_as_neuronpedias_client_does(client, home):
    made = client.post("/graph/generate", json=BODY | {"slug": "paris"}).json()
    assert made["url"].endswith("/graph?model=tiny&slug=paris")
    known = client.get("/graph/tiny/paris").json()
    assert {"id", "modelId", "slug", "promptTokens", "prompt", "titlePrefix", "url"} <= set(known)
    file = client.get(known["url"].split("/", 3)[3].removeprefix("api")).json()
    assert shape.read(file) == home.graphs.load("tiny", "paris")
    assert [one["slug"] for one in client.post("/graph/list-owned").json()] == ["paris"]
    refused(client.post("/graph/generate", json=BODY | {"slug": "paris"}), 409)
    first = file["nodes"][0]["node_id"]
    file["qParams"] |= {"pinnedIds": [first], "supernodes": [["two", first]]}
    saved = client.post("/graph/save", json={"graph": file, "slug": "paris-2"})
    assert saved.status_code == 200, saved.text
    again = home.graphs.load("tiny", "paris-2")
    assert again.pinned == (first,) and again.supernodes[0].name == "two"
    for name in ("paris", "paris-2"):
        assert client.post("/graph/delete", json={"modelId": "tiny", "slug": name}).status_code == 200
    refused(client.get("/graph/tiny/paris"), 404)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (BODY | {"prompt": ""}, 400), (BODY | {"prompt": "a b " * 200}, 400), (BODY | {"modelId": "none"}, 404),
        (BODY | {"sourceSetName": "mlp"}, 404), (BODY | {"nodeThreshold": 0}, 400), (BODY | {"slug": "a b"}, 400),
        (BODY | {"target": ["two tokens"]}, 400), (BODY | {"maxNLogits": 99}, 400),
    ],
)  # fmt: skip
def test_what_cannot_be_made_says_why(client, body, status):
    refused(client.post("/graph/generate", json=body), status)


def test_who_is_not_at_home_keeps_nothing(home):
    away = TestClient(server.create(home), raise_server_exceptions=False, client=("10.0.0.9", 5))
    refused(away.post("/graph/generate", json=BODY | {"slug": "mine"}), 401)
    refused(away.post("/graph/delete", json={"modelId": "tiny", "slug": "mine"}), 401)
    assert away.post("/graph/generate", json=BODY).status_code == 200


def test_the_command_writes_the_same(home, tmp_path, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", str(home.settings.demo))
    out, common = tmp_path / "graph.json", ["graph", "tiny", TEXT, "--nodes", "0.9", "--data", str(home.settings.data)]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main([*common, "--out", str(out), "--save", "by-command"]) == 0
    for word in ("next token", "completeness", "tiny/1-res/", "Activation × gradient"):
        assert word in said.getvalue()
    kept = home.graphs.load("tiny", "by-command")
    assert shape.read(json.loads(out.read_text())) == kept
    assert kept.nodes == home.graph(ASK).nodes
    assert main(["graph", "tiny", "none", "--open", "--data", str(home.settings.data)]) == 2
    home.graphs.drop("tiny", "by-command")


def test_a_record_is_a_table(home):
    record = home.graph(ASK)
    assert len(record.to_pandas()) == len(record.nodes) and "<table" in record._repr_html_()


def test_a_full_cache_loses_nothing_that_a_graph_needs(tiny_root, tmp_path):
    """What was looked at may be gone from it the moment after."""
    forgetful = Workbench(Settings(data=tmp_path, demo=tiny_root, cache_mb=0, cache_disk_mb=0))
    with forgetful.circuits._at(CircuitAsk(model_id="tiny", text=TEXT), None) as at:
        chosen = forgetful.graphs._logits(ASK, at)
        ends = forgetful.graphs._ends(at, chosen)
    assert ends.ids == tuple(one.token.id for one in chosen)
    assert (ends.values.diff() <= 0).all(), "the likeliest first"


def test_numbers_without_end_and_links_without_end_are_refused_in_words(home, monkeypatch):
    whole = home.graph(ASK)
    monkeypatch.setattr(shaping, "LINKS", len(whole.links) - 1)
    with pytest.raises(BadInput, match="keep a smaller share"):
        home.graph(ASK)
    made = {"rows": np.full((2, 2), np.nan, np.float32), "sum": np.zeros(2), "activation": np.zeros(2)}
    monkeypatch.setattr(home.graphs, "_residual", lambda *_: made)
    with pytest.raises(NotAvailable, match="no finite number"):
        home.graph(replace(ASK, text=TEXT + " and"))


def test_a_set_of_other_hooks_makes_no_graph(home):
    one = home.source("tiny/1-res")
    assert _way([one], 2) == "residual" and _way([replace(one, hook="hook_embed")], 2) is None
