"""Explanations over HTTP: Neuronpedia’s shape, pages that fit together, refusals in words, an export of everything."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from starlette.testclient import TestClient

from api import server
from core.explain.meaning import seeker as seekers
from core.explain.meaning.seeker import Seeker
from core.explain.records import Explanation, Score
from core.settings import Settings
from core.workbench import Workbench
from tests.api.test_api import refused
from tests.core.explain.meaning.worlds import NEURONS, SAE, Counting, Said

COUNT = 45


class Told(Said):
    """Explanations with scores, for the export too."""

    def of(self, feature):
        score = Score(id="s", scorer="detection", judge="a-model", value=0.75, low=0.5, high=0.9, made="2026-01-01")
        return [
            Explanation(
                id=b.id, feature=feature, text=b.text, origin=b.origin, method=b.method, model=b.model, scores=(score,)
            )
            for b in self.its[feature.source]
            if b.index == feature.index
        ]


@pytest.fixture
def bench(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setattr(seekers, "FRESH", 0.0)
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    said = Told()
    living = {key: bench.living(key) for key in (SAE, NEURONS)}
    for n in range(COUNT):
        key = SAE if n % 3 else NEURONS
        text = f"<b>colour</b> number {n % 7}"
        said.say(
            living[key][n % len(living[key])].index, text, key, model="gpt-x", score=0.5 + n / 100, scorer="detection"
        )
    bench.words.__dict__["providers"] = (said,)
    bench.words.__dict__["_seeker"] = Seeker(bench, lambda: (said,), made=Counting())
    return bench


@pytest.fixture
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def ask(client, path="search-all", **body):
    answer = client.post(f"/explanation/{path}", json={"query": "colours"} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


PATHS = {
    "search": {"modelId": "tiny", "layers": ["1-res", "0-neurons"]}, "search-model": {"modelId": "tiny"},
    "search-release": {"releaseName": "tiny-release"}, "search-all": {},
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_every_door_answers_in_neuronpedias_shape(client, path):
    answer = ask(client, path, **PATHS[path])
    assert {"request", "results", "resultsCount", "hasMore", "nextOffset"} <= set(answer)
    assert answer["request"]["query"] == "colours"
    assert (answer["resultsCount"], answer["hasMore"], answer["nextOffset"], answer["total"]) == (20, True, 20, COUNT)
    for one in answer["results"]:
        assert one["modelId"] == "tiny" and one["layer"] in ("1-res", "0-neurons") and one["index"].isdecimal()
        assert -1 <= one["cosine_similarity"] <= 1 and one["neuron"]["index"] == one["index"]
        assert one["description"].startswith("<b>colour</b>") and one["matched"] == ["colour"]
        assert (one["typeName"], one["explanationModelName"]) == ("np_max-act", "gpt-x")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [None, 7])
def test_pages_fit_together(client, path, size):
    body = PATHS[path] | ({"numResults": size} if size else {})
    got, offset = [], 0
    while offset is not None:
        answer = ask(client, path, offset=offset, **body)
        assert answer["resultsCount"] == len(answer["results"]) <= (size or 20)
        assert answer["hasMore"] == (answer["nextOffset"] is not None)
        got += [one["id"] for one in answer["results"]]
        offset = answer["nextOffset"]
    assert len(got) == len(set(got)) == COUNT


def test_filters_come_before_the_page_is_cut(client):
    every = ask(client, numResults=100)["results"]
    kept = [one["id"] for one in every if one["trust"] >= 0.7]
    answer = ask(client, minScore=0.7, numResults=10)
    assert [one["id"] for one in answer["results"]] == kept[:10]
    assert answer["total"] == len(kept) and answer["hasMore"]
    rare = [one["id"] for one in every if one["neuron"]["frac_nonzero"] <= 0.02]
    assert [one["id"] for one in ask(client, maxDensity=0.02, numResults=100)["results"]] == rare
    alone = ask(client, "search", modelId="tiny", layers=["0-neurons"], numResults=100)
    assert {one["layer"] for one in alone["results"]} == {"0-neurons"} and alone["total"] == COUNT // 3
    assert ask(client, typeNames=["annotation"])["total"] == 0
    assert ask(client, origins=["model"], explanationModelNames=["gpt-x"])["total"] == COUNT


def test_by_meaning_alone_is_by_cosine(client):
    near = [one["cosine_similarity"] for one in ask(client, rank="meaning", numResults=100)["results"]]
    assert all(a >= b - 2e-6 for a, b in pairwise(near))
    words = ask(client, rank="words")
    assert words["embedder"] is None and words["results"][0]["cosine_similarity"] is None


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("search-all", {"query": "ab"}, 400, "at least 3 characters"),
        ("search-all", {"query": "  a  "}, 400, "at least 3 characters"),
        ("search-all", {"query": "x" * 20_000}, 400, "at most 10,000"),
        ("search-all", {}, 400, "query is missing"),
        ("search-all", {"query": 7}, 400, "query"),
        ("search-all", {"query": "colours", "offset": -1}, 400, "offset"),
        ("search-all", {"query": "colours", "numResults": 101}, 400, "numResults"),
        ("search-all", {"query": "colours", "numResults": 0}, 400, "numResults"),
        ("search-all", {"query": "colours", "rank": "best"}, 400, "rank"),
        ("search-all", {"query": "colours", "maxDensity": 2}, 400, "maxDensity"),
        ("search-all", {"query": "\ud800\ud800\ud800"}, 400, "Unicode"),
        ("search-model", {"query": "colours"}, 400, "modelId is missing"),
        ("search-model", {"query": "colours", "modelId": "nobody"}, 404, "tiny"),
        ("search", {"query": "colours", "modelId": "tiny", "layers": ["9-res"]}, 404, "1-res"),
        ("search", {"query": "colours", "modelId": "tiny", "layers": ["?"]}, 400, "source id"),
        ("search-release", {"query": "colours", "releaseName": "never"}, 404, "tiny-release"),
    ],
)  # fmt: skip
def test_what_cannot_be_answered_is_refused_in_words(client, path, body, status, says):
    answer = client.post(f"/explanation/{path}", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert says in refused(answer, status)


def test_the_searches_have_a_pace(bench):
    slow = TestClient(server.create(Workbench(Settings(data=bench.settings.data, demo=None, requests_a_minute=2))))
    statuses = [slow.post("/explanation/search-all", json={"query": "colours"}).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_export_has_everything_once_with_scores_in_pages_and_as_lines(client):
    rows, offset = [], 0
    while offset is not None:
        answer = client.get(f"/explanation/export?modelId=tiny&limit=10&offset={offset}").json()
        rows += answer["results"]
        assert answer["resultsCount"] == len(answer["results"]) <= 10
        offset = answer["nextOffset"]
    assert len({row["id"] for row in rows}) == len(rows) == COUNT
    order = [(row["layer"], int(row["index"]), row["id"]) for row in rows]
    assert order == sorted(order)
    assert rows[0]["scores"][0]["value"] == 0.75 and rows[0]["description"].startswith("<b>colour")
    assert client.get("/explanation/export").json()["results"] == rows
    lines = client.get("/explanation/export?modelId=tiny&format=jsonl")
    assert lines.headers["content-disposition"] == 'attachment; filename="explanations_tiny.jsonl"'
    assert [json.loads(line) for line in lines.text.splitlines()] == rows
    one = client.get("/explanation/export?modelId=tiny&sourceId=0-neurons&format=jsonl").text.splitlines()
    assert [json.loads(line) for line in one] == [row for row in rows if row["layer"] == "0-neurons"]
    part = client.get("/explanation/export?modelId=tiny&format=jsonl&offset=3&limit=4").text.splitlines()
    assert [json.loads(line) for line in part] == rows[3:7]


@pytest.mark.parametrize(
    ("query", "status"),
    [("sourceId=1-res", 400), ("modelId=nobody", 404), ("modelId=tiny&sourceId=9-res", 404),
     ("modelId=tiny&sourceId=%0d%0a", 400),
     ("modelId=tiny&limit=-1", 400), ("modelId=tiny&format=xml", 400)],
)  # fmt: skip
def test_exports_that_cannot_be_are_refused(client, query, status):
    answer = client.get(f"/explanation/export?{query}")
    assert refused(answer, status)


def test_a_feature_that_nobody_explained_exports_nothing(tiny_root, tmp_path):
    bare = TestClient(server.create(Workbench(Settings(data=tmp_path, demo=tiny_root))))
    bare.app.state.workbench.words.__dict__["providers"] = ()
    assert bare.get("/explanation/export?modelId=tiny").json() == {
        "results": [], "resultsCount": 0, "hasMore": False, "nextOffset": None
    }  # fmt: skip
    assert bare.get("/explanation/export?modelId=tiny&format=jsonl").text == ""
