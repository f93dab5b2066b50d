"""The three doors about all features: each number is SAELens's own, each order that of a plain sort of them."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
from starlette.testclient import TestClient
from transformers import AutoTokenizer

from api import server
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.api.test_api import refused
from tests.api.test_doors import answer
from tests.core import naive

TEXT = "My fellow citizens, it’s a fine day 🙂 in Zürich."
MARKED = "One <|endoftext|> two"
SOURCES = ("1-res", "0-neurons")


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


@pytest.fixture(scope="module")
def alone(tiny_config):
    """(source, text) to the values of every token, BOS first, by SAELens and Hugging Face alone."""
    folder = tiny_config.parent
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    known = {}

    def encode(source, text):
        if (source, text) not in known:
            ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
            neurons = source == "0-neurons"
            hook = "blocks.0.mlp.hook_post" if neurons else "blocks.1.hook_resid_pre"
            sae = None if neurons else folder / "sae"
            known[source, text] = ids, naive.dense(folder / "model", sae, [ids], hook, {0}).acts
        ids, acts = known[source, text]
        return ids, acts.copy()

    return encode


def search(client, text=TEXT, **more):
    return answer(client, "/search-all", {"modelId": "tiny", "text": text} | more)


def close(values, expected):
    np.testing.assert_allclose(values, expected, rtol=3e-6, atol=2e-5)


def names(found):
    return [(row["layer"], int(row["index"])) for row in found["result"]]


@pytest.mark.parametrize("text", [TEXT, MARKED, "x"])
def test_values_are_saelens_own_and_sorted_by_the_largest(client, alone, text):
    found = search(client, text, numResults=100)
    assert found["tokens"][0] == "<|endoftext|>" and "".join(found["tokens"][1:]) == text
    sizes = {}
    for source in SOURCES:
        ids, acts = alone(source, text)
        acts[np.array(ids) == 0] = 0
        sizes |= {(source, i): float(size) for i, size in enumerate(np.abs(acts).max(0)) if size}
    assert found["total"] == len(sizes)
    for row in found["result"]:
        ids, acts = alone(row["layer"], text)
        values = acts[:, int(row["index"])]
        values[np.array(ids) == 0] = 0
        close(row["values"], values)
        assert row["maxValueIndex"] == int(np.abs(row["values"]).argmax())
        assert row["maxValue"] == row["values"][row["maxValueIndex"]]
        assert row["modelId"] == "tiny" and row["index"] == str(int(row["index"]))
    best = sorted(sizes.values(), reverse=True)[:100]
    close([abs(row["maxValue"]) for row in found["result"]], best)
    close([sizes[name] for name in names(found)], best)


def test_the_sum_over_chosen_tokens_sorts(client, alone):
    chosen = [10, 2, 3, 2]
    found = search(client, sourceSet="res", sortIndexes=chosen, numResults=100)
    assert found["sortIndexes"] == [2, 3, 10], "as numbers, each once"
    acts = alone("1-res", TEXT)[1]
    sums = acts[[2, 3, 10]].sum(0)
    expected = [i for i in np.argsort(-sums) if sums[i] > 0]
    assert sorted(int(row["index"]) for row in found["result"]) == sorted(expected)
    close([sum(row["values"][i] for i in (2, 3, 10)) for row in found["result"]], sums[expected])
    for row in found["result"]:
        assert row["maxValue"] == max(row["values"]), "over the whole text, as in Neuronpedia"
    largest = search(client, sourceSet="res", sortIndexes=chosen, combine="max", numResults=100)
    peaks = [max(row["values"][i] for i in (2, 3, 10)) for row in largest["result"]]
    close(peaks, -np.sort(-acts[[2, 3, 10]].max(0))[: len(expected)])


def test_a_sum_without_chosen_tokens_is_over_all_of_them(client, alone):
    """Only where it is asked for: without, an empty `sortIndexes` means the maximum, as in Neuronpedia."""
    plain, summed = (search(client, sourceSet="res", numResults=100, **more) for more in ({}, {"combine": "sum"}))
    assert (plain["combine"], summed["combine"]) == ("max", "sum")
    acts = alone("1-res", TEXT)[1][1:]
    close([row["maxValue"] for row in plain["result"]], -np.sort(-acts.max(0))[: plain["total"]])
    close([row["score"] for row in summed["result"]], -np.sort(-acts.sum(0))[: summed["total"]])


def test_a_source_that_cannot_be_read_is_left_out_unless_it_is_named(tiny_root, tmp_path):
    (tmp_path / "model").symlink_to(tiny_root.parent / "model")
    shutil.copytree(tiny_root, tmp_path / "data")  # without the SAE's weights beside it
    bench = Workbench(Settings(data=tmp_path / "data", demo=None))
    own = TestClient(server.create(bench), raise_server_exceptions=False)
    found = search(own, [TEXT, "x"])["results"]
    for one in found:
        (left,) = one["leftOut"]
        assert left["sourceId"] == "1-res" and "not at" in left["why"]
        assert [count["sourceId"] for count in one["sources"]] == ["0-neurons"] and one["result"]
    assert search(own, sourceSet="neurons")["leftOut"] == []
    for named in ({"sourceSet": "res"}, {"selectedLayers": ["1-res"]}, {"sources": ["0-neurons", "1-res"]}):
        body = {"modelId": "tiny", "text": TEXT} | named
        assert "not at" in refused(own.post("/search-all", json=body), 409)


def test_bos_counts_only_if_asked_for(client, alone):
    ids, acts = alone("1-res", MARKED)
    without, whole = (search(client, MARKED, sourceSet="res", ignoreBos=flag, numResults=100) for flag in (True, False))
    special = [n for n, i in enumerate(ids) if i == 0]
    assert len(special) == 2
    assert all(row["values"][n] == 0 for row in without["result"] for n in special)
    close([row["maxValue"] for row in whole["result"]], -np.sort(-acts.max(0))[: len(whole["result"])])
    for row in whole["result"]:
        close(row["values"], acts[:, int(row["index"])])
    assert search(client, MARKED, sourceSet="res", sortIndexes=[0])["result"] == []


@pytest.mark.parametrize("measure", ["value", "fraction", "percentile", "surprise"])
def test_every_measure_sorts_and_is_told(client, measure):
    found = search(client, measure=measure, numResults=60)
    assert found["measure"] == measure
    field = {"value": lambda row: abs(row["maxValue"])}.get(measure, lambda row: row[measure])
    assert all(field(a) >= field(b) - 1e-9 for a, b in pairwise(found["result"]))
    for row in found["result"]:
        assert 0 <= row["percentile"] <= 1 and row["surprise"] >= 0 and row["label"] is not None


def test_pages_are_one_list(client):
    whole = search(client, numResults=60)
    parts = [search(client, numResults=20, offset=offset) for offset in (0, 20, 40)]
    assert [name for part in parts for name in names(part)] == names(whole)
    assert search(client, offset=10**6)["result"] == []


def test_dense_features_are_left_out(client, bench):
    found = search(client, densityThreshold=0.05, numResults=100)
    density = {source: bench.features(f"tiny/{source}")["density"] for source in SOURCES}
    assert found["result"] and all(density[s][i] <= 0.05 for s, i in names(found))
    assert found["total"] < search(client)["total"]
    for none in (-1, 0, None):
        assert search(client, densityThreshold=none)["total"] == search(client)["total"]
    row = found["result"][0]
    assert row["neuron"]["frac_nonzero"] == row["density"] == pytest.approx(density[row["layer"]][int(row["index"])])


def test_sources_are_chosen_by_set_or_name(client):
    assert {s for s, _ in names(search(client, numResults=100))} == set(SOURCES)
    for more in (
        {"sourceSet": "res"},
        {"selectedLayers": ["1-res"]},
        {"sources": ["tiny/1-res"]},
        {"sources": ["1-res"]},
    ):
        assert {s for s, _ in names(search(client, **more))} == {"1-res"}
    both = search(client, selectedLayers=["1-res"], sources=["0-neurons", "1-res"])
    assert [s["sourceId"] for s in both["sources"]] == ["1-res", "0-neurons"]
    assert search(client, sourceSet="res", selectedLayers=["1-res"]) == search(client, sourceSet="res")


def test_a_list_of_texts_is_its_single_answers(client):
    texts = [TEXT, "def add(a, b):", TEXT]
    assert search(client, texts, sortIndexes=[1]) == {
        "results": [search(client, text, sortIndexes=[1]) for text in texts]
    }
    assert search(client, ["x"]) == {"results": [search(client, "x")]}
    body = {"modelId": "tiny", "source": "1-res"}
    single = [answer(client, "/search-topk-by-token", body | {"text": text}) for text in texts]
    assert answer(client, "/search-topk-by-token", body | {"text": texts}) == {"results": single}


def test_the_slash_of_the_client(client):
    for path, body in (("/search-all", {"modelId": "tiny", "text": "x"}),
                       ("/search-topk-by-token", {"modelId": "tiny", "source": "1-res", "text": "x"})):  # fmt: skip
        response = client.post(path + "/", json=body, follow_redirects=False)
        assert response.status_code == 200 and response.json() == answer(client, path, body)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("top", [1, 7, 20])
def test_features_by_token_are_a_sort_of_each_token(client, alone, source, top):
    body = {"modelId": "tiny", "source": source, "text": TEXT, "numResults": top, "densityThreshold": 0}
    found = answer(client, "/search-topk-by-token", body)
    ids, acts = alone(source, TEXT)
    assert found["source"] == source
    assert [row["position"] for row in found["results"]] == list(range(1, len(ids)))
    assert "".join(row["token"] for row in found["results"]) == TEXT
    seen: dict[int, list[float]] = {}
    for row in found["results"]:
        values = acts[row["position"]]
        best = [v for v in -np.sort(-np.abs(values))[:top] if v > 0]
        close([abs(f["activationValue"]) for f in row["topFeatures"]], best)
        for f in row["topFeatures"]:
            close(f["activationValue"], values[f["featureIndex"]])
            assert f["feature"]["index"] == str(f["featureIndex"]) and f["feature"]["layer"] == source
            seen.setdefault(f["featureIndex"], []).append(f["activationValue"])
    counted = {f["featureIndex"]: f for f in found["features"]}
    assert set(counted) == set(seen) and len(found["features"]) == len(seen)
    for index, values in seen.items():
        assert counted[index]["frequency"] == len(values)
        assert counted[index]["strength"] == max(values, key=abs), "the largest, not the first that was met"
        close(acts[counted[index]["position"], index], counted[index]["strength"])
    order = [(-f["frequency"], -abs(f["strength"])) for f in found["features"]]
    assert order == sorted(order)


def test_features_by_token_leave_out_the_dense_and_bos(client, bench):
    body = {"modelId": "tiny", "source": "1-res", "text": MARKED, "numResults": 20}
    density = bench.features(tiny.SAE)["density"]
    strict = answer(client, "/search-topk-by-token", body | {"densityThreshold": 0.1})
    assert all(density[f["featureIndex"]] <= 0.1 for f in strict["features"])
    assert strict["features"] != answer(client, "/search-topk-by-token", body | {"densityThreshold": -1})["features"]
    usual, hundredth = body, body | {"densityThreshold": 0.01}
    assert answer(client, "/search-topk-by-token", usual) == answer(client, "/search-topk-by-token", hundredth)
    whole = answer(client, "/search-topk-by-token", body | {"ignoreBos": False, "densityThreshold": -1})
    special = [n for n, token in enumerate(whole["tokens"]) if token == "<|endoftext|>"]
    assert [row["position"] for row in whole["results"] if row["isSpecial"]] == special == [0, special[1]]
    assert not [row for row in strict["results"] if row["position"] in special]


@pytest.mark.parametrize("source", SOURCES)
def test_all_activations_of_a_source(client, alone, source):
    found = answer(client, "/activation/source", {"modelId": "tiny", "source": source, "customText": [TEXT, MARKED]})
    for result, text in zip(found["results"], (TEXT, MARKED), strict=True):
        ids, acts = alone(source, text)
        acts[np.array(ids) == 0] = 0
        assert "".join(result["tokens"][1:]) == text and len(result["tokens"]) == len(ids)
        dense = np.zeros_like(acts)
        for index, places in result["activeFeatures"].items():
            for position, value in places:
                assert value == round(value, 3)
                dense[position, int(index)] = value
        np.testing.assert_allclose(dense, acts, atol=6e-4)
        assert {int(i) for i in result["activeFeatures"]} == set(np.flatnonzero(np.abs(acts).max(0)).tolist())
    one = answer(client, "/activation/source", {"modelId": "tiny", "layer": source, "customText": TEXT})
    assert one["results"] == found["results"][:1]


LONG = "word " * 70
ALL = {"modelId": "tiny", "text": "x"}
TOKENS = {"modelId": "tiny", "source": "1-res", "text": "x"}
GIVES = {"modelId": "tiny", "source": "1-res", "customText": "x"}


@pytest.mark.parametrize(
    ("path", "body", "status", "word"),
    [
        ("/search-all", {"modelId": "tiny"}, 400, "text is missing"),
        ("/search-all", {"text": "x"}, 400, "modelId is missing"),
        ("/search-all", ALL | {"modelId": "other"}, 404, "tiny"),
        ("/search-all", ALL | {"sourceSet": "other"}, 404, "neurons, res"),
        ("/search-all", ALL | {"selectedLayers": ["9-res"]}, 404, "1-res"),
        ("/search-all", ALL | {"selectedLayers": ["9-res"], "sourceSet": "res"}, 404, "1-res"),
        ("/search-all", ALL | {"selectedLayers": ["0-neurons"], "sourceSet": "res"}, 400, "is not of the source set"),
        ("/search-all", ALL | {"sources": ["other/1-res"]}, 400, "not a source of tiny"),
        ("/search-all", ALL | {"sources": ["nonsense"]}, 400, "not a source id"),
        ("/search-all", ALL | {"text": LONG}, 400, "too long: it has"),
        ("/search-all", ALL | {"text": ["x", LONG]}, 400, "Text 2 is too long: it has"),
        ("/search-all", ALL | {"text": "x" * 10_001}, 400, "10,000"),
        ("/search-all", ALL | {"text": " "}, 400, "empty"),
        ("/search-all", ALL | {"text": []}, 400, "at least one text"),
        ("/search-all", ALL | {"text": ["x"] * 5}, 400, "5 texts are too many at once: at most 4"),
        ("/search-all", ALL | {"sortIndexes": [2]}, 400, "tokens 0 to 1"),
        ("/search-all", ALL | {"sortIndexes": [10**11]}, 400, "tokens 0 to 1"),
        ("/search-all", ALL | {"text": ["x y z", "x"], "sortIndexes": [4]}, 400, "Text 2 of 2: The text has tokens"),
        ("/search-all", ALL | {"sortIndexes": [-1]}, 400, "sortIndexes[0]: -1 is not a whole number"),
        ("/search-all", ALL | {"numResults": 101}, 400, "numResults: 101 is not between 1 and 100"),
        ("/search-all", ALL | {"numResults": 0}, 400, "numResults: 0"),
        ("/search-all", ALL | {"measure": "loudness"}, 400, "measure"),
        ("/search-all", ALL | {"sources": ["1-res"] * 1025}, 400, "1,024"),
        ("/search-topk-by-token", TOKENS | {"source": "9-res"}, 404, "1-res"),
        ("/search-topk-by-token", TOKENS | {"modelId": "other"}, 404, "other"),
        ("/search-topk-by-token", TOKENS | {"numResults": 21}, 400, "20"),
        ("/search-topk-by-token", TOKENS | {"numResults": 0}, 400, "numResults"),
        ("/search-topk-by-token", TOKENS | {"text": LONG}, 400, "too long: it has"),
        ("/search-topk-by-token", TOKENS | {"text": ["x"] * 5}, 400, "at most 4"),
        ("/activation/source", GIVES | {"source": "9-res"}, 404, "1-res"),
        ("/activation/source", GIVES | {"customText": LONG}, 400, "too long: it has"),
        ("/activation/source", GIVES | {"customText": ["x"] * 5}, 400, "at most 4"),
        ("/activation/source", GIVES | {"customText": []}, 400, "at least one text"),
        ("/activation/source", GIVES | {"customText": 3}, 400, "customText"),
    ],
)
def test_what_is_wrong_is_said(client, path, body, status, word):
    assert word in refused(client.post(path, json=body), status)


@pytest.mark.parametrize("threshold", ["NaN", "Infinity", "1e999"])
def test_a_threshold_is_a_number(client, threshold):
    content = f'{{"modelId": "tiny", "text": "x", "densityThreshold": {threshold}}}'
    response = client.post("/search-all", content=content, headers={"Content-Type": "application/json"})
    assert "densityThreshold" in refused(response)


def test_limits_are_settings(tiny_root):
    limited = Settings(data=tiny_root, demo=None, max_prompts=2, max_sources=1, max_values=10, max_results=7)
    client = TestClient(server.create(Workbench(limited)), raise_server_exceptions=False)
    assert "at most 2" in refused(client.post("/search-all", json=ALL | {"text": ["x"] * 3}))
    assert "2 sources are too many at once: at most 1" in refused(client.post("/search-all", json=ALL))
    assert len(search(client, "x y", sourceSet="res")["result"]) == 7, "what is left out is no more than is allowed"
    assert "between 1 and 7" in refused(client.post("/search-all", json=ALL | {"sourceSet": "res", "numResults": 8}))
    assert max(len(row["topFeatures"]) for row in answer(client, "/search-topk-by-token", TOKENS)["results"]) <= 7
    assert "values, and at most 10" in refused(client.post("/activation/source", json=GIVES | {"source": "0-neurons"}))


def test_records_are_plain_and_whole(bench):
    record = bench.by_token(tiny.SAE, TEXT, top=3, densest=None)
    assert repr(record).startswith("ByTokenRecord(tiny/1-res, 'My fellow") and hash(record)
    assert all(isinstance(hit.key, FeatureKey) and type(hit.value) is float for row in record.rows for hit in row.hits)
    (whole,) = bench.activations(tiny.SAE, TEXT)
    assert repr(whole).startswith("ActivationsRecord(tiny/1-res, 'My") and hash(whole)
    assert list(whole.entries) == sorted(whole.entries)
    tested = bench.test(f"{tiny.SAE}/3", TEXT)[0]
    assert [(p, v) for f, p, v in whole.entries if f == 3] == [(p, v) for p, v in enumerate(tested.values) if v]
    json.dumps([list(entry) for entry in whole.entries])
