"""An engine elsewhere gives what this process would: tests, searches, steering; and what is wrong is said."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadData, BadInput, Busy, NotAvailable, NotFound
from core.records import FeatureKey, Push, SourceKey, SteerAsk
from core.remote import wire
from core.remote.neuronpedia import Neuronpedia
from core.settings import Settings
from core.sources.codes import Dense, Sparse
from core.workbench import Workbench
from tests import tiny
from tests.live import Server, python

TEXTS = ["The king and his mother.", "A small town by the river."]
KEY = "both know it"


@pytest.fixture(scope="module")
def engine(tiny_root, tmp_path_factory) -> Iterator[Server]:
    more = {"FEATURESCOPE_ENGINE_KEY": KEY}
    with Server(tmp_path_factory.mktemp("engine"), demo=str(tiny_root), **more) as server:
        yield server


@pytest.fixture(scope="module")
def settings(tiny_root, tmp_path_factory) -> Settings:
    return Settings(data=tmp_path_factory.mktemp("front"), demo=tiny_root)


@pytest.fixture(scope="module")
def here(settings) -> Workbench:
    return Workbench(settings)


@pytest.fixture(scope="module")
def far(settings, engine) -> Workbench:
    return Workbench(settings.model_copy(update={"engine": engine.url, "engine_key": type(settings.engine_key)(KEY)}))


def test_tests_are_the_same(here, far):
    for feature in (f"{tiny.SAE}/3", f"{tiny.NEURONS}/5"):
        assert far.test(feature, TEXTS) == here.test(feature, TEXTS)


def test_searches_are_the_same(here, far):
    for asked in ({}, {"measure": "percentile", "top": 50}, {"positions": (2, 3)}):
        assert far.search("tiny", TEXTS[0], **asked) == here.search("tiny", TEXTS[0], **asked)
    assert far.activations(tiny.SAE, TEXTS) == here.activations(tiny.SAE, TEXTS)


def test_a_steered_text_is_the_same_and_kept_on_both(here, far, engine):
    ask = SteerAsk(
        model_id="tiny", prompt="The king", pushes=(Push(FeatureKey.parse(f"{tiny.SAE}/3"), 4.0),), length=6, seed=3
    )
    *growing, last = far.steering(ask, keep=True)
    own = here.steer(ask)
    assert last == replace(own, run=last.run)
    assert last.run and far.steered(last.run) == last
    assert all(not record.done for record in growing)
    assert far.sweep(ask, (0.0, 1.0)) == here.sweep(ask, (0.0, 1.0))


def test_what_is_wrong_is_said_as_it_is_there(far):
    with pytest.raises(NotFound, match="no model"):
        far.search("nowhere", "text")
    with pytest.raises(BadInput, match="too long"):
        far.test(f"{tiny.SAE}/3", ["king " * 500])
    with pytest.raises(BadInput, match="empty"):
        far.test(f"{tiny.SAE}/3", ["  "])


def test_the_key_decides(settings, engine):
    other = Workbench(settings.model_copy(update={"engine": engine.url}))
    with pytest.raises(Busy, match="FEATURESCOPE_ENGINE_KEY is not the same"):
        other.test(f"{tiny.SAE}/3", TEXTS)
    for path in ("tokens", "codes", "steer", "sweep"):
        answer = httpx.post(f"{engine.url}/api/engine/v1/{path}", json={}, headers={"X-Engine-Key": b"\xe9"})
        assert answer.status_code == 403


def test_bounds_hold_for_who_knows_the_key(engine):
    def asked(**body):
        given = {"model": "tiny", "rows": [[1, 2]], "sources": [tiny.SAE]} | body
        answer = httpx.post(f"{engine.url}/api/engine/v1/codes", json=given, headers={"X-Engine-Key": KEY}, timeout=60)
        return answer.status_code, answer.text

    assert asked()[0] == 200
    for body, said in (
        ({"rows": [[]]}, "0 tokens"), ({"rows": [[1] * 9999]}, "9,999 tokens"), ({"rows": [[-1]]}, "none of tiny"),
        ({"rows": [[10**6]]}, "none of tiny"), ({"rows": [[1]] * 99}, "99 texts"), ({"sources": ["x"]}, "x"),
    ):  # fmt: skip
        status, text = asked(**body)
        assert status in (400, 404) and said in text, body


def test_an_engine_that_is_away_is_said_and_pages_go_on(settings):
    away = Workbench(settings.model_copy(update={"engine": "http://127.0.0.1:1"}))
    with pytest.raises(Busy, match="does not answer"):
        away.test(f"{tiny.SAE}/3", TEXTS)
    with pytest.raises(Busy, match="does not answer"):
        away.steer(SteerAsk(model_id="tiny", prompt="x", pushes=(Push(FeatureKey.parse(f"{tiny.SAE}/3"), 1.0),)))
    assert away.feature(f"{tiny.SAE}/3").key.index == 3
    with pytest.raises(BadInput, match="begins with http"):
        Workbench(settings.model_copy(update={"engine": "engine:8501"})).engine  # noqa: B018


def test_the_front_imports_no_torch(tiny_root, tmp_path, engine):
    code = (
        "import sys; from core.workbench import Workbench; w = Workbench();"
        f"w.search('tiny', 'The king'); w.test('{tiny.SAE}/3', ['The king']); print('torch' in sys.modules)"
    )
    more = {"FEATURESCOPE_DATA": str(tmp_path), "FEATURESCOPE_DEMO": str(tiny_root)}
    assert python(code, **more, FEATURESCOPE_ENGINE=engine.url, FEATURESCOPE_ENGINE_KEY=KEY).strip() == "False"


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.floats(-5, 5, width=32)), max_size=20),
    st.booleans(),
)
def test_what_is_packed_is_unpacked(entries, lost):
    a, b = SourceKey("m", "0-res"), SourceKey("m", "1-neurons")
    parts = list(zip(*entries, strict=True)) or [(), (), ()]
    sparse = Sparse(
        5, 10, np.array(parts[0], np.int32), np.array(parts[1], np.int32), np.array(parts[2], np.float32)
    )
    dense = Dense(np.arange(6, dtype=np.float32).reshape(2, 3))
    found, why = wire.unpack(wire.pack([a, b], [{a: sparse, b: dense}, {a: sparse}], {b: "gone"} if lost else {}))
    assert why == ({b: "gone"} if lost else {})
    assert [set(each) for each in found] == [{a, b}, {a}]
    for name in ("positions", "features", "values"):
        assert np.array_equal(getattr(found[0][a], name), getattr(sparse, name))
    assert np.array_equal(found[0][b].values, dense.values)


@pytest.mark.parametrize(
    "change",
    [
        {"0/0/positions": np.array([7], np.int32)},
        {"0/0/features": np.array([-1], np.int32)},
        {"0/0/values": np.array([1.0], np.float64)},
        {"0/0/values": np.array([1.0, 2.0], np.float32)},
        {"0/0/shape": np.array([1])},
        {"about": np.array([1], np.uint8)},
        {"about": np.frombuffer(b'{"sources": ["m"], "texts": 1, "lost": {}}', np.uint8)},
    ],
)
def test_what_cannot_be_true_is_refused(change):
    about = json.dumps({"sources": ["m/0-res"], "texts": 1, "lost": {}}).encode()
    arrays = {
        "about": np.frombuffer(about, np.uint8), "0/0/shape": np.array([5, 10]),
        "0/0/positions": np.array([1], np.int32), "0/0/features": np.array([1], np.int32),
        "0/0/values": np.array([1.0], np.float32),
    } | change  # fmt: skip
    file = io.BytesIO()
    np.savez(file, **arrays)
    with pytest.raises(BadData, match="no archive of codes"):
        wire.unpack(file.getvalue())
    with pytest.raises(BadData):
        wire.unpack(file.getvalue()[:40])


class _TheirServer(httpx.MockTransport):
    """Neuronpedia's inference server as the reference describes it, over a workbench."""

    def __init__(self, bench: Workbench) -> None:
        self.asked: list[str] = []
        self._bench = bench
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        if request.headers["X-SECRET-KEY"] != KEY:
            return httpx.Response(401, json={"error": "Invalid or missing X-SECRET-KEY header"})
        body = json.loads(request.content)
        if request.url.path == "/v1/tokenize":
            (row,) = self._bench.tokens_of(body["model"], [body["text"]])
            return httpx.Response(200, json={"tokens": row, "token_strings": [], "prepend_bos": True})
        key = SourceKey(body["model"], body["source"])
        if key != SourceKey.parse(tiny.SAE):
            return httpx.Response(400, json={"error": f"Unsupported source {key}"})
        results = []
        for prompt in body["prompts"]:
            rows = self._bench.tokens_of(body["model"], [prompt])
            codes = self._bench.codes_of(body["model"], rows, [key])[0][0][key]
            active: dict[str, list[list[float]]] = {}
            for p, f, v in zip(codes.positions, codes.features, codes.values, strict=True):
                if p:
                    active.setdefault(str(f), []).append([int(p), round(float(v), 3)])
            results.append({"tokens": [], "active_features": active})
        return httpx.Response(200, json={"results": results})


@pytest.fixture
def theirs(settings, here):
    bench = Workbench(settings)
    bench.engine = Neuronpedia("http://inference", KEY, 5.0)
    transport = _TheirServer(here)
    headers = {"X-SECRET-KEY": KEY}
    bench.engine._client = httpx.Client(base_url="http://inference/v1/", headers=headers, transport=transport)
    return bench, transport


def test_neuronpedias_server_is_an_engine(theirs, here):
    bench, transport = theirs
    five = [f"{TEXTS[0]} {n}" for n in range(5)]
    found, own = bench.test(f"{tiny.SAE}/3", five), here.test(f"{tiny.SAE}/3", five)
    for a, b in zip(found, own, strict=True):
        assert a.tokens == b.tokens and np.allclose(a.values[1:], b.values[1:], atol=6e-4)
    assert transport.asked.count("/v1/activation/source") == 2, "four texts at once"
    hits = bench.search("tiny", TEXTS[0]).hits
    assert {hit.key.source for hit in hits} == {SourceKey.parse(tiny.SAE)}
    assert [str(one.key) for one in bench.search("tiny", TEXTS[0]).left_out] == [tiny.NEURONS]


def test_what_neuronpedias_server_cannot_do_is_said(theirs):
    bench, _ = theirs
    with pytest.raises(NotAvailable, match="needs an engine of our own"):
        bench.steer(SteerAsk(model_id="tiny", prompt="x", pushes=(Push(FeatureKey.parse(f"{tiny.SAE}/3"), 1.0),)))
    with pytest.raises(NotAvailable, match="no text is known"):
        bench.codes_of("tiny", [[1, 2, 3]], [tiny.SAE])
    bench.engine._client.headers["X-SECRET-KEY"] = "other"
    with pytest.raises(Busy, match="401"):
        bench.test(f"{tiny.SAE}/3", TEXTS)
