"""Adding sources over HTTP: the same jobs as the page's, who may, refusals in words, and no 5xx whatever is sent."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api import server
from core.bring import worker
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.api.test_fuzz import anything, check
from tests.stack.stack import missing

JOBS = ("get", "plan", "check", "build", "resume", "pause", "cancel", "forget")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    tiny.model(root / "incoming" / "pocket")
    tiny.identity(root / "incoming" / "mirror", model="pocket")
    return root


def bench_of(data, **more):
    return Workbench(Settings(data=data, demo=None, requests_a_minute=0, **more))


@pytest.fixture
def begun(monkeypatch):
    asked = []
    monkeypatch.setattr(worker, "begin", asked.append)
    return asked


@pytest.fixture
def client(data, begun):
    return TestClient(server.create(bench_of(data)), raise_server_exceptions=False, client=("127.0.0.1", 5000))


PLACE = {"where": "folder", "path": "mirror"}


def plan(data, **more):
    return {"model": str(data / "incoming" / "pocket"), "prompts": 60} | more


def test_from_a_folder_to_the_queue(client, data, begun):
    found = client.post("/bring/look", json=PLACE).json()
    assert (found["hook"], found["width"], found["dIn"], found["context"]) == ("blocks.1.hook_resid_pre", 64, 32, 48)
    assert found["prependBos"] is True and found["model"]["said"] == "pocket"
    assert not client.get("/bring").json()["jobs"], "nothing is kept"

    job = client.post("/bring/new", json=PLACE | {"plan": plan(data)}).json()
    assert job["state"] == "found" and job["found"] == found and job["plan"]["sourceId"] == "1-res-mirror"
    assert job["by"] == "you" and "prompts: 60" in job["config"]
    other = plan(data, prompts=7, sourceId="1-x")
    changed = client.post("/bring/plan", json={"id": job["id"], "plan": other}).json()
    assert "prompts: 7" in changed["config"] and changed["plan"]["sourceId"] == "1-x"

    assert client.post("/bring/build", json={"id": job["id"]}).json()["state"] == "waiting" and begun == [data]
    again = client.post("/bring/build", json={"id": job["id"]})
    assert again.status_code == 409 and "at work" in again.json()["message"]
    assert client.get("/bring").json()["jobs"][0]["state"] == "waiting"
    assert client.post("/bring/pause", json={"id": job["id"]}).json()["state"] == "paused"
    assert client.post("/bring/resume", json={"id": job["id"]}).json()["state"] == "waiting"
    assert client.post("/bring/cancel", json={"id": job["id"]}).json()["state"] == "cancelled"
    assert client.post("/bring/get", json={"id": job["id"]}).json()["log"] == ""
    assert client.post("/bring/forget", json={"id": job["id"]}).json() == {"message": "Success"}
    assert not client.get("/bring").json()["jobs"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({}, 400, "where"), ({"where": "cloud"}, 400, "where"), ({"where": "folder"}, 400, "needs path"),
        ({"where": "registry", "release": "x"}, 400, "saeId"), ({"where": "hub"}, 400, "needs hub"),
        ({"where": "folder", "path": "mirror", "hub": "a/b"}, 400, "hub does not belong"),
        ({"where": "folder", "path": "nothing"}, 404, "no folder nothing"),
        ({"where": "folder", "path": "/etc"}, 403, "incoming"),
        ({"where": "folder", "path": "../../../etc"}, 403, "incoming"),
        ({"where": "folder", "path": "pocket"}, 404, "no folder of an SAE"),
        ({"where": "registry", "release": "no-such", "saeId": "x"}, 404, "no release"),
        ({"where": "registry", "release": "gpt2-small-res-jb", "saeId": "blocks.99"}, 404, "no SAE"),
        ({"where": "hub", "hub": "not a name"}, 400, "org/name"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_would_do(client, body, status, word):
    for path in ("/bring/look", "/bring/new"):
        answer = client.post(path, json=body)
        assert answer.status_code == status and word in answer.json()["message"], answer.text
        assert set(answer.json()) == {"error", "message"}


@pytest.mark.parametrize("job", JOBS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=st.fixed_dictionaries({}, optional={"id": anything, "plan": anything}) | anything)
def test_whatever_is_sent_no_door_breaks(client, job, body):
    check(client.post(f"/bring/{job}", content=json.dumps(body), headers={"Content-Type": "application/json"}))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.fixed_dictionaries(
        {"where": st.just("folder") | anything},
        optional={"path": st.sampled_from(["mirror", "pocket", "", "/", "~", "a\0b", "x" * 999]) | anything},
    )
)
def test_whatever_place_is_named(client, body):
    check(client.post("/bring/look", content=json.dumps(body), headers={"Content-Type": "application/json"}))


# -- who may -----------------------------------------------------------------------------------------------------------


def everything(client, **options):
    """The statuses of every route."""
    found = {client.get("/bring", **options).status_code}
    for job in JOBS:
        body = {"id": "20260101-000000-00000000", "plan": {}}
        found.add(client.post(f"/bring/{job}", json=body, **options).status_code)
    return found | {client.post(f"/bring/{job}", json=PLACE, **options).status_code for job in ("look", "new")}


def test_where_other_machines_reach_the_server_nobody_may_by_chance(data, begun):
    bench = bench_of(data, HOST="0.0.0.0")
    client = TestClient(server.create(bench), raise_server_exceptions=False, client=("10.0.0.9", 5000))
    assert everything(client) == {401}
    key = bench.community.people().keys.new("mine")
    assert everything(client, headers={"X-Api-Key": key}) == {403}, "not even the one person"
    may = bench_of(data, HOST="0.0.0.0", administrators="*")
    client = TestClient(server.create(may), raise_server_exceptions=False, client=("10.0.0.9", 5000))
    assert 200 in everything(client, headers={"X-Api-Key": key})


def test_a_page_of_another_site_may_not(client):
    headers = {"Origin": "https://evil.example"}
    assert everything(client, headers=headers) == {401}


def test_without_people_nobody_may(data, begun):
    client = TestClient(server.create(bench_of(data, people="none")), raise_server_exceptions=False)
    assert everything(client) == {403}


def test_on_a_shared_server_only_its_administrators_may(data, begun, stack, monkeypatch):
    if why := missing():
        pytest.skip(why)
    monkeypatch.setenv("SUPABASE_URL", stack.url)
    monkeypatch.setenv("SUPABASE_KEY", stack.keys.publishable)
    monkeypatch.setenv("SUPABASE_SECRET_KEY", stack.keys.secret_key)
    plain = bench_of(data)
    keys, ids = {}, {}
    for name in ("root", "guest"):
        stack.gw.auth.create(f"{name}@bring.example", "correct horse", {"user_name": f"{name}-bring"})
        cookie = plain.community.sign_in(f"{name}@bring.example", "correct horse")
        them = plain.community.people(cookie)
        keys[name], ids[name] = {"X-Api-Key": them.keys.new("k")}, them.me.id
    client = TestClient(server.create(bench_of(data, administrators=ids["root"])), raise_server_exceptions=False)
    assert everything(client) == {401}
    assert everything(client, headers=keys["guest"]) == {403}
    told = client.get("/bring", headers=keys["guest"]).json()["message"]
    assert f"FEATURESCOPE_ADMINISTRATORS={ids['guest']}" in told
    assert client.get("/bring", headers=keys["root"]).status_code == 200
    job = client.post("/bring/new", json=PLACE, headers=keys["root"]).json()
    assert job["by"] == "root-bring"
