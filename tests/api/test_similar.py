"""Nearest features over HTTP: Neuronpedia’s `cossim` without its defects, views of a feature, and its rows as files."""

from __future__ import annotations

import io

import numpy as np
import pytest
from starlette.testclient import TestClient

from api import server
from core.interchange import similar as shapes
from tests import tiny
from tests.api.test_api import refused

OWN = {"modelId": "tiny", "source": "1-res", "index": 3}


@pytest.fixture(scope="module")
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def found(client, **more) -> list[tuple[int, float]]:
    answer = client.post("/cossim", json=OWN | more)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["feature"] == {"model": "tiny", "source": "1-res", "index": int((OWN | more)["index"])}
    return [(one["feature"]["index"], one["cosineSimilarity"]) for one in body["topkDecoderCossimFeatures"]]


def test_cossim_in_its_own_source_has_itself_first_and_every_other_by_cosine(client, bench):
    rows = bench._source_slot(bench.source(tiny.SAE)).get().source.W_dec.double().numpy()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = unit[3] @ unit.T
    ours = found(client)
    assert ours[0] == (3, 1.0) and len(ours) == 10
    assert [value for _, value in ours] == pytest.approx(sorted(cosines, reverse=True)[:10], abs=1e-6)
    assert found(client, numResults=1) == [(3, 1.0)]
    assert found(client, targetModelId="tiny", targetSourceId="1-res") == ours


def test_feature_0_is_one_like_any(client):
    """Neuronpedia's page drops it, since 0 is not true."""
    everything = found(client, numResults=64)
    assert sorted(index for index, _ in everything) == list(range(64))
    assert found(client, index=0)[0] == (0, 1.0) and found(client, index="0") == found(client, index=0)


def test_cossim_in_another_source(client, bench):
    answer = client.post("/cossim", json=OWN | {"targetModelId": "tiny", "targetSourceId": "0-neurons"}).json()
    hits = bench.atlas.similar(f"{tiny.SAE}/3", sources=["0-neurons"], top=10).hits
    assert [one["feature"] for one in answer["topkDecoderCossimFeatures"]] == [
        {"model": "tiny", "source": "0-neurons", "index": hit.feature.index} for hit in hits
    ]


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({"targetSourceId": "9-none"}, 404, "9-none"), ({"source": "fake-source"}, 400, "fake-source"),
        ({"index": 64}, 404, "0 to 63"), ({"index": -1}, 400, "whole number"), ({"numResults": 0}, 400, "numResults"),
        ({"targetModelId": "other"}, 404, "other"), ({"numResults": 129}, 400, "numResults"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(client, more, status, said):
    assert said in refused(client.post("/cossim", json=OWN | more), status)


@pytest.mark.parametrize("view", ["similar", "layers", "family", "wiring"])
def test_every_view_is_the_records(client, bench, view):
    record = {
        "similar": lambda: bench.atlas.similar(f"{tiny.SAE}/3", top=4),
        "layers": lambda: bench.atlas.chain(f"{tiny.SAE}/3"),
        "family": lambda: bench.atlas.family(f"{tiny.SAE}/3"),
        "wiring": lambda: bench.atlas.wiring(f"{tiny.SAE}/3", top=4),
    }[view]()
    got = client.get(f"/similar/{tiny.SAE}/3", params={"view": view, "top": 4})
    assert got.status_code == 200, got.text
    assert got.json() == client.post("/similar", json=OWN | {"view": view, "numResults": 4}).json()
    assert got.json() == shapes.answer(record) and got.json()["view"] == view
    lines = client.get(f"/similar/{tiny.SAE}/3", params={"view": view, "top": 4, "format": "csv"})
    assert lines.text.splitlines()[0].startswith("part,feature,value")
    assert f'filename="tiny_1-res_3_{view}.csv"' in lines.headers["content-disposition"]


@pytest.mark.parametrize(
    ("query", "said"),
    [("by=taste", "by"), ("view=none", "view"), ("in=9-none", "9-none"), ("top=0", "top"),
     ("view=layers&threshold=2", "threshold"), ("view=layers&by=correlation", "A chain is by")],
)  # fmt: skip
def test_what_a_link_cannot_ask(client, query, said):
    answer = client.get(f"/similar/{tiny.SAE}/7?{query}")
    assert said in refused(answer, answer.status_code) and 400 <= answer.status_code < 500


def test_rows_say_which_they_are(client, bench):
    source = bench._source_slot(bench.source(tiny.SAE)).get().source
    for side, expected in (("decoder", source.W_dec[3]), ("encoder", source.sae.W_enc[:, 3])):
        body = client.get(f"/feature/{tiny.SAE}/3/vector", params={"row": side}).json()
        assert body["row"] == side and body["hook"] == "blocks.1.hook_resid_pre"
        assert body["vector"] == pytest.approx(expected.tolist())
        file = client.get(f"/feature/{tiny.SAE}/3/vector", params={"row": side, "format": "npy"})
        assert f'filename="tiny_1-res_3_{side}.npy"' in file.headers["content-disposition"]
        assert np.load(io.BytesIO(file.content)).tolist() == expected.tolist()
    refused(client.get(f"/feature/{tiny.SAE}/3/vector?row=middle"), 400)
    refused(client.get(f"/feature/{tiny.SAE}/64/vector"), 404)
