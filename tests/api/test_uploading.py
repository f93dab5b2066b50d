"""The client's way to bring features in (`Model.new`, `SourceSet.new`, `Source.upload_batch`), and our bounds."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api import server
from core.bring import staging
from core.errors import Busy
from core.records import SourceKey
from core.settings import Settings
from core.workbench import Workbench
from tests.api.test_client import called
from tests.api.test_fuzz import anything, check
from tests.live import Server

CALLS = """
import dataclasses, json, sys
from neuronpedia.np_activation import Activation
from neuronpedia.np_explanation import Explanation
from neuronpedia.np_feature import Feature, Logit
from neuronpedia.np_model import Model
from neuronpedia.np_source_set import SourceSet

model = Model.new(id="pup-xl", layers=3, display_name="Puppy Model XL", url="https://pups.example")
made = SourceSet.new(model_id="pup-xl", name="puppyscope-res-2k", description="Dogs")
found = SourceSet.get(model_id="pup-xl", name="puppyscope-res-2k")
source = found.get_source_for_layer_number(1)
of = {"modelId": "pup-xl", "source": source.id}
one = Feature(**of, index=0, density=0.03, top_logits=[Logit("dog", 0.9), Logit("cat", 0.7)],
              bottom_logits=[Logit("car", -1.1)])
one.activations = [
    Activation(**of, index=0, tokens=["my", " border", " collie"], values=[0, 2.5, 5.3], quantileMax=6, quantileMin=5,
               quantileFraction=0.1),
    Activation(**of, index=0, tokens=["the", " golden", " retriever"], values=[0.2, 3.1, 4.8]),
]
one.explanations = [Explanation(**of, index=0, text="magic <b>dog</b>")]
two = Feature(**of, index=1, density=0.05)
two.activations = [Activation(**of, index=1, tokens=["my", " tabby", " cat"], values=[0, 1.5, 3.2])]
answer = source.upload_batch([one, two])
again = source.upload_batch([one, two])
later = source.upload_batch([Feature(**of, index=5, density=0.5)])
def refused(call):
    try:
        call()
    except Exception as error:
        return str(error)
print("ANSWERS" + json.dumps({
    "model": dataclasses.asdict(model), "set": dataclasses.asdict(made), "found": dataclasses.asdict(found),
    "answer": answer, "again": again, "later": later,
    "read": dataclasses.asdict(Feature.get("pup-xl", source.id, 0)),
    "other rows": refused(lambda: source.upload_batch([Feature(**of, index=1, density=0.9)])),
    "other model": refused(lambda: Model.new(id="pup-xl", layers=4)),
}))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def answers(data, tmp_path_factory):
    return called(CALLS, [], Server(data), tmp_path_factory.mktemp("client"))


def test_a_model_and_a_set_with_a_source_for_each_layer(answers):
    assert answers["model"] == {
        "id": "pup-xl", "layers": 3, "display_name": "Puppy Model XL", "url": "https://pups.example",
    }  # fmt: skip
    assert answers["set"] == answers["found"] and answers["set"]["description"] == "Dogs"
    assert [one["id"] for one in answers["set"]["sources"]] == [f"{n}-puppyscope-res-2k" for n in range(3)]
    assert "409" in answers["other model"] and "3 layers" in answers["other model"]


def test_features_arrive_with_their_activations_and_explanations(answers, data):
    told = answers["answer"]
    assert (told["features"], told["activations"], told["explanations"], told["imported"]) == (2, 3, 1, True)
    assert answers["again"] == told and answers["later"]["features"] == 1
    assert "409" in answers["other rows"] and "uploaded before" in answers["other rows"]
    bench = Workbench(Settings(data=data, demo=None))
    source = bench.source("pup-xl/1-puppyscope-res-2k")
    assert (source.width, source.alive, "weights" in source.has) == (6, 2, False)
    one = bench.feature("pup-xl/1-puppyscope-res-2k/0")
    assert (one.maximum, one.density) == (pytest.approx(5.3), pytest.approx(0.03))
    assert [t.token.text for t in one.top_logits] == ["dog", "cat"]
    assert [t.value for t in one.top_logits] == pytest.approx([0.9, 0.7])
    assert bench.words.of(one.key)[0].text == "magic <b>dog</b>"
    assert bench.feature("pup-xl/1-puppyscope-res-2k/5").density == pytest.approx(0.5)


def test_the_client_reads_back_what_it_wrote(answers):
    read = answers["read"]
    assert read["density"] == pytest.approx(0.03) and read["explanations"][0]["text"] == "magic <b>dog</b>"
    best = max(read["activations"], key=lambda act: max(act["values"]))
    assert best["tokens"] == ["my", " border", " collie"] and best["values"] == pytest.approx([0, 2.5, 5.3])


# -- over HTTP ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def client(tmp_path, tiny_root):
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root, requests_a_minute=0))
    made = TestClient(server.create(bench), raise_server_exceptions=False)
    made.bench = bench
    return made


def feature(index, **more):
    acts = [{"tokens": ["a", "b"], "values": [0.0, 1.0 + index]}]
    return {"index": index, "density": 0.1, "activations": acts} | more


def batch(features, model="pups", source="1-mine"):
    return {"modelId": model, "source": source, "features": features}


@pytest.fixture
def ready(client):
    assert client.post("/model/new", json={"id": "pups", "layers": 2}).status_code == 200
    assert client.post("/source-set/new", json={"modelId": "pups", "name": "mine"}).status_code == 200
    return client


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/model/new", {"id": "../x", "layers": 2}, 400, "model id"),
        ("/model/new", {"id": "x", "layers": 0}, 400, "1 to"),
        ("/model/new", {"id": "x", "layers": 10**6}, 400, "1 to"),
        ("/model/new", {"id": "tiny", "layers": 2}, 409, "make a source set"),
        ("/source-set/new", {"modelId": "pups", "name": "../x"}, 400, "source id"),
        ("/source-set/new", {"modelId": "nobody", "name": "x"}, 404, "no model"),
        ("/source-set/new", {"modelId": "tiny", "name": "res"}, 409, "built here"),
        ("/feature/upload-batch", batch([feature(0)], source="1-other"), 404, "make one first"),
        ("/feature/upload-batch", batch([feature(0)], source="../../x"), 400, "source id"),
        ("/feature/upload-batch", batch([feature(0)], model="../.."), 400, "model id"),
        ("/feature/upload-batch", batch([feature(0)], source="2-mine"), 404, "no layer 2"),
        ("/feature/upload-batch", batch([]), 400, "features"),
        ("/feature/upload-batch", batch([feature(n) for n in range(129)]), 400, "128"),
        ("/feature/upload-batch", batch([feature(0), feature(0)]), 400, "twice"),
        ("/feature/upload-batch", batch([feature(2**20)]), 400, "index"),
        ("/feature/upload-batch", batch([feature(0, density=2)]), 400, "density"),
        ("/feature/upload-batch", batch([feature(0, activations=[{"tokens": ["a"], "values": [1, 2]}])]), 400,
         "1 tokens"),
        ("/feature/upload-batch", batch([feature(0, explanations=[{"text": "x" * 513}])]), 400, "explanations"),
        ("/feature/upload-batch", batch([feature(0, topLogits=[{"token": "a", "value": 1}] * 21)]), 400, "topLogits"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_would_do_and_keeps_nothing(ready, path, body, status, word):
    answer = ready.post(path, json=body)
    assert answer.status_code == status and word in answer.json()["message"], answer.text
    assert not ready.bench.sources(model_id="pups")


def test_a_set_for_a_model_that_is_here(client):
    made = client.post("/source-set/new", json={"modelId": "tiny", "name": "theirs"}).json()
    assert [one["id"] for one in made["sources"]] == ["0-theirs", "1-theirs"]
    answer = client.post("/feature/upload-batch", json=batch([feature(3)], "tiny", "1-theirs")).json()
    assert answer["imported"] and answer["url"].endswith("/source?id=tiny/1-theirs")
    assert client.bench.model("tiny").architecture, "the model stays what it was"


def test_larger_ones_are_imported_when_no_batch_has_come_for_a_moment(ready, monkeypatch):
    monkeypatch.setattr(staging, "SMALL", 3)
    monkeypatch.setattr(staging, "QUIET", 0.3)
    for begin in range(0, 8, 2):
        told = ready.post("/feature/upload-batch", json=batch([feature(begin), feature(begin + 1)])).json()
        assert told["imported"] is (begin == 0)
    end = time.monotonic() + 60
    while ready.bench.source("pups/1-mine").width < 8:
        assert time.monotonic() < end
        time.sleep(0.05)
        ready.bench.catalog.refresh()
    assert ready.bench.feature("pups/1-mine/7").maximum == pytest.approx(8.0)


def test_a_batch_that_was_cut_off_in_the_middle_is_written_over(ready):
    ready.post("/feature/upload-batch", json=batch([feature(0)]))
    folder = ready.bench.settings.data / staging.FOLDER / "pups" / "1-mine"
    (folder / "activations" / "batch-1.jsonl.gz").write_bytes(b"half of a batch that nobody counted")
    told = ready.post("/feature/upload-batch", json=batch([feature(1)]))
    assert told.status_code == 200, told.text
    assert ready.bench.feature("pups/1-mine/1").maximum == pytest.approx(2.0)


def test_what_could_not_be_imported_is_when_it_is_sent_again(ready, monkeypatch):
    real = type(ready.bench.exchange).bring_in
    def busy(*_, **__):
        raise Busy("no room")

    monkeypatch.setattr(type(ready.bench.exchange), "bring_in", busy)
    answer = ready.post("/feature/upload-batch", json=batch([feature(0)]))
    assert answer.status_code == 503 and not ready.bench.sources(model_id="pups")
    monkeypatch.setattr(type(ready.bench.exchange), "bring_in", real)
    assert ready.post("/feature/upload-batch", json=batch([feature(0)])).json()["imported"]
    assert ready.bench.source("pups/1-mine").width == 1


@pytest.mark.parametrize("path", ["/model/new", "/source-set/new", "/feature/upload-batch"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.fixed_dictionaries(
        {}, optional={name: anything for name in ("id", "layers", "modelId", "name", "source", "features", "url")}
    )
    | anything
)
def test_whatever_is_sent_no_door_breaks(client, path, body):
    check(client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"}))


def test_rows_are_those_of_the_bulk_export(tmp_path):
    asked = []
    one = staging.Staging(tmp_path, asked.append, lambda model: None, lambda key: False)
    one.new_model("m", 2)
    one.new_set("m", "s")
    key = SourceKey("m", "1-s")
    given_ = {"index": 2, "density": None, "topLogits": None, "bottomLogits": None, "explanations": [],
              "activations": [{"tokens": ["a"], "values": [2], "quantileMax": 3.0, "quantileMin": 1.0,
                               "quantileFraction": 0.5}]}  # fmt: skip
    assert one.upload(key, [given_]).imported and asked == [tmp_path / ".staged" / "m" / "1-s"]
    assert one.upload(key, [given_]).features == 1 and len(asked) == 1, "the same again is imported already"
    names = sorted(path.name for path in asked[0].rglob("*") if path.is_file())
    assert names == ["batch-0.jsonl.gz", "batch-0.jsonl.gz", "model.jsonl", "release.jsonl", "source.jsonl",
                     "sourceset.jsonl", "state.json"]  # fmt: skip
