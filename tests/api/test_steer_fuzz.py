"""Whatever the body, no steering door breaks: an answer, or a 4xx with a message; never a 5xx."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api import server
from core.interchange import steering
from core.settings import Settings
from core.workbench import Workbench
from tests.api.test_fuzz import QUICK, anything, check

PATHS = [
    "/steer", "/steer-chat", "/steer-sweep", "/steer-load", "/steer/presets", "/vector/new", "/vector/get",
    "/vector/delete", "/vector/list-owned",
]  # fmt: skip
sources = st.sampled_from(["1-res", "0-neurons", "1-vectors-resid-pre", "9-x"])
numbers = st.floats() | st.integers(-400, 400) | st.integers()
feature = st.fixed_dictionaries(
    {"source": sources, "index": st.integers(-1, 70)},
    optional={"strength": numbers | st.none(), "modelId": st.sampled_from(["tiny", "other"])},
)
features = st.lists(feature, max_size=3)
turn = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "model", "tool"]), "content": st.text(max_size=12)}
)
turns = st.lists(turn, max_size=3)
texts = st.text(max_size=30) | st.text(st.characters(codec=None), max_size=8)
near = {
    "prompt": texts,
    "stream": st.booleans(),
    "temperature": st.floats(-0.5, 2.5) | st.floats(),
    "n_tokens": st.integers(-1, 6),
    "freq_penalty": st.floats(-3, 3),
    "seed": st.integers(-5, 5) | st.integers() | st.floats(),
    "strength_multiplier": st.floats(-1, 11),
    "steer_method": st.sampled_from([*steering.METHODS, "add"]) | st.text(max_size=4),
    "normalizeSteering": st.booleans(),
    "steer_special_tokens": st.booleans(),
    "n_logprobs": st.integers(-1, 25),
    "top_p": st.floats(-0.1, 1.1),
    "where": st.sampled_from(["all", "prompt", "generated", "x"]),
    "positions": st.lists(st.integers(-1, 30), max_size=4),
    "watch": features,
    "defaultChatMessages": turns,
    "steeredChatMessages": turns,
    "messages": turns,
    "factors": st.lists(numbers, max_size=4),
    "steerOutputId": texts,
    "layerNumber": st.integers(-1, 3),
    "hookType": st.sampled_from(["hook_resid_pre", "resid-post", "mlp.hook_post", "attn.hook_pattern"]) | texts,
    "vector": st.lists(numbers, min_size=32, max_size=32) | st.lists(numbers, max_size=3),
    "vectorLabel": texts,
    "vectorDefaultSteerStrength": numbers,
    "source": sources,
    "index": st.integers(-1, 70),
}


@pytest.fixture(scope="module")
def client(tiny_root, tmp_path_factory):
    unlimited = Settings(data=tmp_path_factory.mktemp("fuzz"), demo=tiny_root, requests_a_minute=0)
    return TestClient(server.create(Workbench(unlimited)), raise_server_exceptions=False)


def send(client, path, body):
    return check(client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"}))


@pytest.mark.parametrize("path", PATHS)
@QUICK
@given(
    body=st.fixed_dictionaries(
        {}, optional={name: part | anything for name, part in near.items()} | {"modelId": st.just("tiny") | anything}
    )
    | anything
)
def test_bodies(client, path, body):
    send(client, path, body)


asked = st.fixed_dictionaries(
    {"modelId": st.just("tiny"), "features": st.lists(feature, min_size=1, max_size=2), "prompt": st.text(max_size=20),
     "n_tokens": st.integers(1, 4), "defaultChatMessages": turns},
    optional={name: part for name, part in near.items() if name not in {"prompt", "n_tokens", "defaultChatMessages"}},
)  # fmt: skip


@pytest.mark.parametrize("path", ["/steer", "/steer-chat", "/steer-sweep", "/vector/new"])
@QUICK
@given(body=asked)
def test_what_comes_near(client, path, body):
    """Of a real model, so that more of them come as far as the model."""
    send(client, path, body)


@QUICK
@given(
    strengths=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=2),
    method=st.sampled_from(["SIMPLE_ADDITIVE", "ORTHOGONAL_DECOMP", "PROJECTION_CAP", "CLAMP"]),
    temperature=st.floats(0, 2) | st.floats(0, 1e-300),
    top_p=st.floats(0, 1, exclude_min=True),
)
def test_every_strength_that_is_allowed_gives_a_text(client, strengths, method, temperature, top_p):
    """Or is told to be smaller, where one of a million times another of a million is more than a float holds."""
    body = {
        "modelId": "tiny", "prompt": "One day", "n_tokens": 3, "steer_method": method, "temperature": temperature,
        "top_p": top_p,
        "features": [{"source": "1-res", "index": n, "strength": s} for n, s in enumerate(strengths)],
    }  # fmt: skip
    for path in ("/steer", "/steer-sweep"):
        answer = send(client, path, body)
        assert answer.status_code == 200 or (max(map(abs, strengths)) > 1e3 and "smaller strength" in answer.text)
