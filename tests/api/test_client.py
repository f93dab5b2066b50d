"""The released `neuronpedia` client, unchanged, against our server: every reading call that has a counterpart here.

The client knows one other address than its own site's, port 3000 of this machine, and reads it when it is imported; so
the server is a process on that port, and the client another.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from tests.live import Server

PORT = 3000
TEXTS = ["It’s a fine day 🙂 in Zürich", "</script> &amp; \u2028 “Paris”"]

CALLS = """
import dataclasses, json, sys
from neuronpedia import ActivationRequest, FeatureRequest, SAEFeatureRequest, SourceSetRequest
from neuronpedia.np_feature import Feature
from neuronpedia.np_sae_feature import SAEFeature
from neuronpedia.np_source_set import SourceSet
from neuronpedia.requests.source_activation_request import SourceActivationRequest
from neuronpedia.requests.topk_by_token_request import TopKByTokenRequest

model, source, index, texts = json.loads(sys.argv[1])
def plain(value):
    return [plain(one) for one in value] if isinstance(value, list) else dataclasses.asdict(value)
def refused(call, *given):
    try:
        call(*given)
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
answers = {
    "feature": plain(FeatureRequest().get(model, source, index)),
    "Feature.get": plain(Feature.get(model, source, index)),
    "sae_feature": plain(SAEFeatureRequest().get(model, source, str(index))),
    "SAEFeature.get": plain(SAEFeature.get(model, source, str(index))),
    "text": plain(ActivationRequest().compute_activation_for_text(model, source, index, texts[0])),
    "texts": plain(ActivationRequest().compute_activation_for_texts(model, source, str(index), texts)),
    "source_set": plain(SourceSetRequest().get(model, source.split("-", 1)[1])),
    "SourceSet.get": plain(SourceSet.get(model, source.split("-", 1)[1])),
    "no feature": refused(FeatureRequest().get, model, source, 10**6),
    "no text": refused(ActivationRequest().compute_activation_for_text, model, source, index, " "),
    "all of a source": ActivationRequest().compute_all_source_activations_for_text(model, source, texts),
    "search": plain(SourceActivationRequest().compute_top_features_for_text(model, source, texts[0])),
    "searches": plain(SourceActivationRequest().compute_top_features_for_texts(
        model, [source], texts, sort_results_by_activations_at_token_indexes=[3, 10, 2], num_results=5)),
    "by token": plain(TopKByTokenRequest().compute_top_features_by_token_for_text(model, source, texts[0])),
    "by token, several": [plain(one) for one in
        TopKByTokenRequest().compute_top_features_by_token_for_texts(model, source, texts, num_results=3)],
    "no counterpart": refused(ActivationRequest().upload_batch, model, source, index, []),
}
print("ANSWERS" + json.dumps(answers, default=lambda model: model.model_dump()))
"""


def called(calls: str, given: list[object], server: Server, folder: Path) -> Any:
    """What the client makes of each call; `server` is not yet started."""
    pytest.importorskip("neuronpedia", reason="the neuronpedia client is not installed (requirements-dev.txt)")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", PORT))
        except OSError:
            pytest.skip(f"port {PORT}, the only one that the neuronpedia client knows on this machine, is taken")
    server.port, server.url = PORT, f"http://127.0.0.1:{PORT}"
    server._environment["PORT"] = str(PORT)
    proxies = {"no_proxy": "localhost,127.0.0.1", "NO_PROXY": "localhost,127.0.0.1"}
    environment = os.environ | {"USE_LOCALHOST": "true", "NEURONPEDIA_API_KEY": "any"} | proxies
    with server:
        done = subprocess.run(
            [sys.executable, "-c", calls, json.dumps(given)], cwd=folder, env=environment, capture_output=True,
            text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.rsplit("ANSWERS", 1)[1])


@pytest.fixture(scope="module")
def answers(tiny_root, tmp_path_factory):
    """What the client makes of each call."""
    return called(CALLS, ["tiny", "1-res", 3, TEXTS], Server(tiny_root), tmp_path_factory.mktemp("client"))


def test_it_reads_a_feature(answers, record):
    found = answers["feature"]
    assert (found["modelId"], found["source"], found["index"]) == ("tiny", "1-res", "3")
    assert found["density"] == pytest.approx(record.density)
    strongest = found["activations"][0]
    assert (strongest["source"], strongest["index"]) == ("1-res", 3)
    assert max(strongest["values"]) == pytest.approx(record.maximum)
    assert all(len(row["tokens"]) == len(row["values"]) for row in found["activations"])
    shares = [row["quantileFraction"] for row in found["activations"]]
    assert None in shares and any(share is not None and 0 < share < 1 for share in shares)
    assert answers["Feature.get"] == found


def test_it_reads_a_feature_as_json(answers, bench):
    whole = json.loads(answers["sae_feature"]["jsonData"])
    assert whole["maxActApprox"] == pytest.approx(bench.feature(f"{tiny.SAE}/3").maximum)
    assert answers["SAEFeature.get"] == answers["sae_feature"]


def test_it_tests_texts(answers, bench):
    records = bench.test(f"{tiny.SAE}/3", TEXTS)
    for found, record, text in zip(answers["texts"], records, TEXTS, strict=True):
        assert "".join(found["tokens"]) == text
        assert found["values"] == pytest.approx(record.values[1:], abs=1e-5)
    assert answers["text"]["tokens"] == answers["texts"][0]["tokens"]
    assert answers["text"]["values"] == pytest.approx(answers["texts"][0]["values"], abs=1e-5)


def test_it_reads_a_source_set(answers):
    found = answers["source_set"]
    assert (found["name"], found["model_id"], found["description"]) == ("res", "tiny", "For tests.")
    assert found["sources"] == [{"id": "1-res", "model_id": "tiny", "set_name": "res"}]
    assert answers["SourceSet.get"] == found


def test_it_searches(answers, bench):
    record = bench.search("tiny", TEXTS[0], sources=[tiny.SAE], measure="value", top=20)
    assert [(a["source"], int(a["index"])) for a in answers["search"]] == [("1-res", h.key.index) for h in record.hits]
    for found, hit in zip(answers["search"], record.hits, strict=True):
        assert found["tokens"] == [token.text for token in record.tokens]
        assert found["values"][1:] == pytest.approx(hit.values[1:], abs=1e-5)
    assert len(answers["searches"]) == 2
    for found, text in zip(answers["searches"], TEXTS, strict=True):
        sums = [sum(one["values"][i] for i in (2, 3, 10)) for one in found]
        assert sums == sorted(sums, reverse=True) and len(found) == 5
        assert all("".join(one["tokens"][1:]) == text for one in found)


def test_it_asks_token_by_token(answers, bench):
    record = bench.by_token(tiny.SAE, TEXTS[0], top=5, densest=None)
    assert [row["position"] for row in answers["by token"]] == [row.position for row in record.rows]
    for found, row in zip(answers["by token"], record.rows, strict=True):
        assert [int(f["feature"]["index"]) for f in found["topFeatures"]] == [hit.key.index for hit in row.hits]
    assert [len(rows) for rows in answers["by token, several"]] == [
        len(bench.by_token(tiny.SAE, text).rows) for text in TEXTS
    ]


def test_it_asks_for_all_of_a_source(answers, bench):
    for found, record in zip(answers["all of a source"], bench.activations(tiny.SAE, TEXTS), strict=True):
        assert found["tokens"] == [token.text for token in record.tokens]
        there = {(int(i), p) for i, places in found["activeFeatures"].items() for p, _ in places}
        assert there == {(f, p) for f, p, _ in record.entries if not record.tokens[p].special}


def test_it_understands_a_refusal(answers):
    assert answers["no feature"] == "HTTPError: Resource not found: 404"
    assert answers["no text"].startswith("HTTPError: Request failed with status 400") and "empty" in answers["no text"]
    assert answers["no counterpart"] == "HTTPError: Resource not found: 404"
