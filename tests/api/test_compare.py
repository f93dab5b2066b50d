"""Comparisons over HTTP: what the workbench says, and refusals in words."""

from __future__ import annotations

import json

import pytest
from fastapi.testclient import TestClient

from api.server import create
from core.__main__ import main
from tests import tiny


@pytest.fixture(scope="module")
def client(bench):
    with TestClient(create(bench)) as made:
        yield made


def test_together_is_what_the_workbench_says(client, bench):
    said = client.get(f"/together/{tiny.SAE}/3?window=1&top=3").json()
    record = bench.atlas.together(f"{tiny.SAE}/3", window=1, top=3)
    assert said["active"] == record.active and said["window"] == 1
    assert [s["source"] for s in said["sources"]] == [str(s.source) for s in record.sources]
    for one, two in zip(said["sources"], record.sources, strict=True):
        assert [(m["feature"], m["common"]) for m in one["together"]] == [
            (str(m.feature), m.both) for m in two.together
        ]


def test_sources_pairs_and_features(client, bench):
    both = "1-res,0-neurons"
    said = client.get(f"/compare?modelId=tiny&sources={both}&threshold=0.1").json()
    assert [s["source"] for s in said["sources"]] == [tiny.SAE, tiny.NEURONS] and len(said["matrix"]) == 4
    pairs = client.get(f"/compare/matches?modelId=tiny&sources={both}&threshold=0.1&limit=2").json()
    assert pairs["total"] == next(m for m in said["matrix"] if m["a"] == tiny.SAE and m["b"] == tiny.NEURONS)["mutual"]
    assert len(pairs["pairs"]) == min(2, pairs["total"])
    one = client.get(f"/compare/features?ids={tiny.SAE}/3,{tiny.SAE}/9").json()
    overlap = one["overlap"]
    source = bench.source(tiny.SAE)
    assert sum(overlap[name] for name in ("both", "onlyA", "onlyB", "neither")) == source.tokens


def test_one_prompt_in_the_codes_of_both(client, bench, capsys, monkeypatch):
    text = "Paris and <b>Rome</b>"
    asked = {"modelId": "tiny", "sources": ["1-res", "0-neurons"], "text": text}
    said = client.post("/compare/read", json=asked).json()
    record = bench.atlas.read([tiny.SAE, tiny.NEURONS], text)
    assert said["text"] == text and "".join(said["tokens"][1:]) == text
    for one, side in zip(said["sources"], record.sides, strict=True):
        assert (one["source"], one["active"]) == (str(side.source), side.total) and one["features"]
        assert [tuple(f["values"]) for f in one["features"]] == [hit.values for hit in side.hits]
        assert [f["partner"] and f["partner"]["feature"] for f in one["features"]] == [
            partner and str(partner[0]) for partner in side.partners
        ]
    monkeypatch.setattr("core.__main__.Workbench", lambda settings: bench)
    assert main(["compare", tiny.SAE, tiny.NEURONS, "--text", text, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == said
    assert main(["compare", tiny.SAE, tiny.NEURONS, "--text", text]) == 0
    assert str(record.sides[0].hits[0].key) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"sources": ["1-res"]}, 400, "sources"), ({"sources": ["1-res", "9-none"]}, 404, "9-none"),
        ({"text": 3}, 400, "text"), ({"text": ""}, 400, "text"), ({"text": "\ud800"}, 400, "surrogate"),
        ({"sources": ["1-res", "1-res"]}, 400, "2 to 12"), ({"modelId": "none"}, 404, "none"),
    ],
)  # fmt: skip
def test_a_prompt_that_cannot_be_read(client, body, status, said):
    asked = {"modelId": "tiny", "sources": ["1-res", "0-neurons"], "text": "Paris"} | body
    answer = client.post(
        "/compare/read", content=json.dumps(asked).encode(), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == status and said in answer.json()["message"].lower()


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/together/tiny/1-res/64", 404, "0 to 63"),
        ("/together/tiny/1-res/3?window=99", 400, "window"),
        ("/together/tiny/1-res/3?sources=nonsense", 400, "not a source id"),
        ("/compare?modelId=tiny&sources=1-res", 400, "2 to 12"),
        ("/compare?modelId=tiny&sources=1-res,0-neurons&threshold=0", 400, "threshold"),
        ("/compare/matches?modelId=tiny&sources=1-res", 400, "two"),
        ("/compare/features?ids=tiny/1-res/3", 400, "two features"),
        ("/compare/features?ids=tiny/1-res/3,tiny/1-res/3", 400, "itself"),
    ],
)
def test_refusals(client, path, status, said):
    answer = client.get(path)
    assert answer.status_code == status and said in answer.json()["message"]
