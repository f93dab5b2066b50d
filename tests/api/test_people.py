"""Lists, comments, bookmarks and keys over HTTP: who may ask, what is answered, and that no body breaks it.

Everything runs twice: on a workbench of one, and over a Supabase project with a key of its person.
"""

from __future__ import annotations

import json
import uuid
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api import server
from core.community.keys import digest
from core.settings import Settings
from core.workbench import Workbench
from tests.stack.stack import Stack, missing

FEATURE = {"modelId": "tiny", "layer": "1-res", "index": "3"}
PASSWORD = "correct horse"
PATHS = [
    "/list/new", "/list/new-with-features", "/list/list", "/list/get", "/list/add-features", "/list/edit-feature",
    "/list/remove", "/list/update", "/list/comment/new", "/list/comment/delete", "/list/delete", "/bookmark/add",
    "/bookmark/delete", "/comment/new", "/comment/list", "/comment/delete", "/user/me", "/user/edit",
    "/user/bookmarks", "/user/api-keys", "/user/api-key", "/user/api-key/revoke",
]  # fmt: skip
READ = {"/list/get", "/comment/list"}
"""What nobody may do too."""


def serve(bench, key="", origin="", **more):
    headers = ({"X-Api-Key": key} if key else {}) | ({"Origin": origin} if origin else {})
    return TestClient(server.create(bench), raise_server_exceptions=False, headers=headers, **more)


@pytest.fixture(scope="module")
def stack():
    if why := missing():
        pytest.skip(why)
    with Stack() as found:
        yield found


@pytest.fixture(scope="module")
def shared(stack, tmp_path_factory):
    """A workbench over the project, with a key each of two people."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPABASE_URL", stack.url)
        patch.setenv("SUPABASE_KEY", stack.keys.publishable)
        patch.setenv("SUPABASE_SECRET_KEY", stack.keys.secret_key)
        bench = Workbench(Settings(data=tmp_path_factory.mktemp("shared"), demo=None, requests_a_minute=0))
    door, keys = bench.community, {}
    for name in ("ada", "bela"):
        stack.gw.auth.create(f"{name}@example.com", PASSWORD, {"user_name": name})
        keys[name] = door.people(door.sign_in(f"{name}@example.com", PASSWORD)).keys.new("tests")
    return SimpleNamespace(bench=bench, keys=keys, stack=stack)


@pytest.fixture(params=["local", "shared"])
def place(request, tmp_path):
    """(client of a person, what they are called)."""
    if request.param == "local":
        bench = Workbench(Settings(data=tmp_path, demo=None, requests_a_minute=0))
        return SimpleNamespace(client=serve(bench), me="you")
    both = request.getfixturevalue("shared")
    return SimpleNamespace(client=serve(both.bench, both.keys["ada"]), me="ada")


def ask(client, path, body=None, **more):
    answer = client.post(path, json=body, **more)
    assert answer.status_code == 200, (path, answer.text)
    return answer.json()


def refused(answer, status):
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "message"} and body["error"] == body["message"]
    return body["message"]


# -- lists -----------------------------------------------------------------------------------------------------------


def test_a_list_is_made_filled_changed_and_deleted(place):
    made = ask(place.client, "/list/new", {"name": "family", "description": "who", "defaultTestText": " a text"})
    assert (made["name"], made["description"], made["defaultTestText"]) == ("family", "who", " a text")
    assert (made["visibility"], made["user"], made["neurons"]) == ("PUBLIC", {"name": place.me}, [])
    assert made["url"].endswith(f"/list?id={made['id']}")
    id = {"listId": made["id"]}
    notes = [FEATURE | {"description": "mother"}, {"modelId": "tiny", "source": "0-neurons", "index": 5, "weight": -2}]
    added = ask(place.client, "/list/add-features", id | {"featuresToAdd": notes})
    assert [(one["layer"], one["index"], one["description"], one["weight"]) for one in added] == [
        ("1-res", "3", "mother", 1.0), ("0-neurons", "5", "", -2.0),
    ]  # fmt: skip
    assert ask(place.client, "/list/add-features", id | {"featuresToAdd": notes}) == []  # those that are new to it
    ask(place.client, "/list/edit-feature", id | FEATURE | {"description": "aunt", "weight": 3})
    found = ask(place.client, "/list/get", id)
    assert [(one["index"], one["description"], one["weight"]) for one in found["neurons"]] == [
        ("3", "aunt", 3.0), ("5", "", -2.0),
    ]  # fmt: skip
    ask(place.client, "/list/remove", id | FEATURE)
    changed = ask(place.client, "/list/update", id | {"name": "kin", "visibility": "PRIVATE"})
    assert (changed["name"], changed["visibility"], changed["description"]) == ("kin", "PRIVATE", "who")
    assert [one["index"] for one in ask(place.client, "/list/get", id)["neurons"]] == ["5"]
    mine = ask(place.client, "/list/list")
    assert [one for one in mine if one["id"] == made["id"]] == [changed] and changed["featureCount"] == 1
    ask(place.client, "/list/delete", id)
    assert "no such list" in refused(place.client.post("/list/get", json=id), 404)


def test_a_list_is_made_with_its_features_once(place):
    body = {"name": "both", "id": str(uuid.uuid4()), "features": [FEATURE, FEATURE | {"index": 4}, FEATURE]}
    first, again = (ask(place.client, "/list/new-with-features", body) for _ in range(2))
    assert first == again and [one["index"] for one in first["neurons"]] == ["3", "4"]
    assert sum(one["id"] == first["id"] for one in ask(place.client, "/list/list")) == 1


def test_comments_on_a_list(place):
    id = {"listId": ask(place.client, "/list/new", {"name": "said"})["id"]}
    said = ask(place.client, "/list/comment/new", id | {"text": "**fine**"})["id"]
    found = ask(place.client, "/list/get", id)
    assert [(one["text"], one["user"]["name"], one["listId"]) for one in found["comments"]] == [
        ("**fine**", place.me, id["listId"])
    ]
    ask(place.client, "/list/comment/delete", {"commentId": said})
    (gone,) = ask(place.client, "/list/get", id)["comments"]
    assert (gone["text"], gone["state"]) == ("", "deleted")


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("/list/new", {"name": " "}, "empty"), ("/list/new", {"name": "x" * 121}, "121"),
        ("/list/new", {"name": "x", "visibility": "secret"}, "no visibility"), ("/list/new", {}, "missing"),
        ("/list/new", {"name": "x\x00y"}, "null character"), ("/list/new", {"name": "x", "id": "y"}, "not the id"),
        ("/list/get", {"listId": "1"}, "not the id of a list"), ("/list/get", {}, "listId is missing"),
        ("/list/add-features", {"listId": str(uuid.uuid4()), "featuresToAdd": [FEATURE] * 101}, "101"),
        ("/list/new-with-features", {"name": "x", "features": [{"modelId": "tiny"}]}, "missing"),
        ("/list/new-with-features", {"name": "x", "features": [FEATURE | {"weight": 1e6}]}, "weight"),
        ("/comment/new", FEATURE | {"text": " "}, "empty"), ("/comment/new", FEATURE | {"text": "x" * 5001}, "5,001"),
        ("/comment/new", FEATURE | {"text": "x", "index": -1}, "whole number"),
        ("/comment/new", FEATURE | {"text": "x", "layer": "no source"}, "source"),
        ("/user/edit", {"name": "a b"}, "cannot be a name"), ("/user/api-key", {"name": ""}, "empty"),
    ],
)  # fmt: skip
def test_bad_input_is_a_message(place, path, body, words):
    assert words in refused(place.client.post(path, json=body), 400)


# -- bookmarks, comments, oneself ------------------------------------------------------------------------------------


def test_bookmarks(place):
    one, two = FEATURE | {"index": "11"}, FEATURE | {"index": "12"}
    for body in (one, two, two):
        ask(place.client, "/bookmark/add", body)
    found = [row["index"] for row in ask(place.client, "/user/bookmarks") if row.get("index") in ("11", "12")]
    assert found == ["12", "11"]
    for body in (two, two):
        ask(place.client, "/bookmark/delete", body)
    assert [row["index"] for row in ask(place.client, "/user/bookmarks") if row.get("index") in ("11", "12")] == ["11"]


def test_comments_on_a_feature(place):
    on = FEATURE | {"index": "21"}
    first = ask(place.client, "/comment/new", on | {"text": "one"})["id"]
    last = ask(place.client, "/comment/new", on | {"text": "two"})["id"]
    reply = ask(place.client, "/comment/new", on | {"text": "to one", "replyTo": first})["id"]
    found = ask(place.client, "/comment/list", on)
    assert [(one["id"], one["text"], one["replyTo"]) for one in found] == [
        (first, "one", None), (reply, "to one", first), (last, "two", None),
    ]  # fmt: skip
    ask(place.client, "/comment/delete", {"commentId": first})
    assert [(one["text"], one["state"]) for one in ask(place.client, "/comment/list", on)] == [
        ("", "deleted"), ("to one", "shown"), ("two", "shown"),
    ]  # fmt: skip
    assert refused(place.client.post("/comment/delete", json={"commentId": first}), 404)


def test_a_comment_that_is_sent_twice_is_said_once(place):
    on, id = FEATURE | {"index": "22"}, str(uuid.uuid4())
    for _ in range(2):
        assert ask(place.client, "/comment/new", on | {"text": "once", "id": id}) == {"id": id}
    assert len(ask(place.client, "/comment/list", on)) == 1


def test_oneself(place):
    assert ask(place.client, "/user/me")["name"] == place.me
    assert ask(place.client, "/user/edit", {"bio": "<b>likes</b> words"})["bio"] == "<b>likes</b> words"
    assert ask(place.client, "/user/me")["bio"] == "<b>likes</b> words"


# -- who may -----------------------------------------------------------------------------------------------------------


def test_nobody_reads_what_is_public_and_writes_nothing(shared):
    mine, nobody = serve(shared.bench, shared.keys["ada"]), serve(shared.bench)
    found = {
        kind: ask(mine, "/list/new", {"name": kind, "visibility": kind})["id"]
        for kind in ("public", "unlisted", "private")
    }
    assert ask(nobody, "/list/get", {"listId": found["public"]})["name"] == "public"
    assert ask(nobody, "/list/get", {"listId": found["unlisted"]})["name"] == "unlisted"
    refused(nobody.post("/list/get", json={"listId": found["private"]}), 404)
    bodies = {
        "listId": found["public"], "name": "x", "text": "x", "commentId": str(uuid.uuid4()), "id": str(uuid.uuid4()),
        "features": [FEATURE], "featuresToAdd": [FEATURE],
    }  # fmt: skip
    before = shared.stack.sql("select count(*) from comments")
    for path in set(PATHS) - READ:
        body = FEATURE | {name: value for name, value in bodies.items() if name != "id" or path.endswith("revoke")}
        assert nobody.post(path, json=body).status_code == 401, path
    assert shared.stack.sql("select count(*) from comments") == before


def test_somebody_else_changes_nothing(shared):
    ada, bela = (serve(shared.bench, shared.keys[name]) for name in ("ada", "bela"))
    id = {"listId": ask(ada, "/list/new-with-features", {"name": "ada's", "features": [FEATURE]})["id"]}
    said = {"commentId": ask(ada, "/comment/new", FEATURE | {"text": "ada's"})["id"]}
    for path, body in [
        ("/list/update", id | {"name": "bela's"}), ("/list/delete", id), ("/list/remove", id | FEATURE),
        ("/list/edit-feature", id | FEATURE | {"description": "x"}), ("/comment/delete", said),
        ("/list/add-features", id | {"featuresToAdd": [FEATURE | {"index": 9}]}),
    ]:  # fmt: skip
        assert "ada's" in refused(bela.post(path, json=body), 403), path
    found = ask(bela, "/list/get", id)
    assert found["name"] == "ada's" and len(found["neurons"]) == 1
    assert id["listId"] not in [one["id"] for one in ask(bela, "/list/list")]


@pytest.mark.parametrize("key", ["wrong", "fs_" + "A" * 43, "fs_" + "A" * 42, "é", "x" * 5000, " ", "null"])
def test_a_wrong_key_is_nobodys_even_where_nobody_might_read(shared, key):
    client = serve(shared.bench)
    answer = client.post("/list/list", headers={"X-Api-Key": key.encode()})
    assert "not in force" in refused(answer, 401)


def test_the_cookie_of_a_browser_is_not_read(shared):
    cookie = shared.bench.community.sign_in("ada@example.com", PASSWORD)
    client = serve(shared.bench, cookies={"featurescope": cookie})
    assert shared.bench.community.people(cookie).me.name == "ada"
    assert refused(client.post("/user/me"), 401) and refused(client.post("/list/new", json={"name": "forged"}), 401)


def test_a_key_stands_nowhere_but_as_its_hash(shared):
    key = ask(serve(shared.bench, shared.keys["ada"]), "/user/api-key", {"name": "hashed"})["apiKey"]
    rows = shared.stack.sql("select hash, start from api_keys where name = 'hashed'")
    assert rows == [(digest(key), key[:8])]
    everything = str(shared.stack.sql("select a::text from api_keys a"))
    assert key not in everything and key[8:] not in everything
    assert ask(serve(shared.bench, key), "/user/me")["name"] == "ada"


def test_a_revoked_key_ends_at_once_here_and_soon_elsewhere(shared, monkeypatch):
    ada = serve(shared.bench, shared.keys["ada"])
    key = ask(ada, "/user/api-key", {"name": "to end"})["apiKey"]
    other = Workbench(shared.bench.settings)
    here, there = serve(shared.bench, key), serve(other, key)
    assert ask(here, "/user/me") == ask(there, "/user/me")
    (id,) = [one["id"] for one in ask(ada, "/user/api-keys") if one["name"] == "to end"]
    refused(serve(shared.bench, shared.keys["bela"]).post("/user/api-key/revoke", json={"id": id}), 404)
    ask(here, "/user/me")
    ask(ada, "/user/api-key/revoke", {"id": id})
    refused(here.post("/user/me"), 401)
    clock = __import__("time").monotonic
    monkeypatch.setattr("core.community.auth.time.monotonic", lambda: clock() + 61)
    refused(there.post("/user/me"), 401)
    (told,) = [one for one in ask(ada, "/user/api-keys") if one["id"] == id]
    assert told["revokedAt"] and "hash" not in told


def test_a_key_is_looked_up_once_in_a_while(shared, monkeypatch):
    client = serve(Workbench(shared.bench.settings), shared.keys["ada"])
    ask(client, "/user/me")
    rows = "select count(*) from auth.users"  # the stand-in is asked for a session once
    sessions = len(shared.stack.gw.auth._refresh)
    for _ in range(3):
        ask(client, "/user/me")
    assert len(shared.stack.gw.auth._refresh) == sessions and shared.stack.sql(rows)


def test_without_the_secret_key_there_are_no_api_keys(shared, monkeypatch):
    monkeypatch.setenv("SUPABASE_URL", shared.stack.url)
    monkeypatch.setenv("SUPABASE_KEY", shared.stack.keys.publishable)
    bench = Workbench(Settings(data=shared.bench.settings.data, demo=None))
    assert "SUPABASE_SECRET_KEY" in refused(serve(bench, shared.keys["ada"]).post("/user/me"), 409)


# -- a workbench of one ----------------------------------------------------------------------------------------------


def alone(tmp_path, monkeypatch, host="127.0.0.1", **more):
    monkeypatch.setenv("HOST", host)
    return Workbench(Settings(data=tmp_path, demo=None, requests_a_minute=0, **more))


@pytest.mark.parametrize("key", ["", "any", "é"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.0.0.9"])
def test_where_only_this_machine_listens_any_key_or_none_is_its_persons(tmp_path, monkeypatch, host, key):
    client = serve(alone(tmp_path, monkeypatch, host), client=("127.0.0.1", 1))
    headers = {"X-Api-Key": key.encode()} if key else {}
    assert ask(client, "/user/me", headers=headers)["name"] == "you"


@pytest.mark.parametrize(
    ("host", "asks", "origin"),
    [
        ("0.0.0.0", "127.0.0.1", None), ("::", "::1", None), ("192.168.1.5", "192.168.1.5", None),
        ("127.0.0.1", "192.168.1.9", None), ("127.0.0.1", "2001:db8::1", None),
        ("127.0.0.1", "127.0.0.1", "https://evil.example"), ("127.0.0.1", "127.0.0.1", "null"),
        ("127.0.0.1", "127.0.0.1", "http://localhost.evil.example"), ("127.0.0.1", "127.0.0.1", "http://evil:8501"),
    ],
)  # fmt: skip
def test_whoever_comes_from_elsewhere_needs_a_key(tmp_path, monkeypatch, host, asks, origin):
    bench = alone(tmp_path, monkeypatch, host, origins="*")
    client = serve(bench, client=(asks, 1), origin=origin or "")
    for path in PATHS:
        assert "API key" in refused(client.post(path, json=FEATURE | {"listId": "x"}), 401), path
    refused(client.post("/user/me", headers={"X-Api-Key": "any"}), 401)
    key = bench.community.people().keys.new("mine")
    assert ask(client, "/user/me", headers={"X-Api-Key": key})["name"] == "you"
    (made,) = bench.community.people().keys.mine()
    bench.community.revoke(bench.community.people(), made.id)
    refused(client.post("/user/me", headers={"X-Api-Key": key}), 401)


def test_where_peoples_things_are_off_lists_are_empty_and_nothing_is_written(tmp_path):
    client = serve(Workbench(Settings(data=tmp_path, demo=None, people="none")), "any")
    assert ask(client, "/comment/list", FEATURE) == []
    for path, body in (
        ("/list/new", {"name": "x"}),
        ("/comment/new", FEATURE | {"text": "x"}),
        ("/bookmark/add", FEATURE),
    ):
        refused(client.post(path, json=body), 401)


def test_where_supabase_is_away_it_is_a_503_with_a_message(tmp_path, monkeypatch):
    monkeypatch.setenv("SUPABASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SUPABASE_KEY", "sb_publishable_x")
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_x")
    bench = Workbench(Settings(data=tmp_path, demo=None))
    for key in ("", "fs_" + "A" * 43):
        answer = serve(bench, key).post("/list/get", json={"listId": str(uuid.uuid4())})
        assert "does not answer" in refused(answer, 503) and answer.headers["retry-after"]


# -- whatever is sent ------------------------------------------------------------------------------------------------


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
LISTED = "5d0c9f5e-3a58-4c1b-9f6e-0c7d5a2b1e09"
reference = st.fixed_dictionaries(
    {
        "modelId": st.just("tiny") | anything,
        "layer": st.just("1-res") | anything,
        "index": st.integers(-2, 2**64) | anything,
    },
    optional={"description": st.text(max_size=30) | anything, "weight": st.floats() | anything},
)
texts = st.text(st.characters(codec=None), max_size=50)
ids = st.just(LISTED) | st.uuids().map(str) | anything
body = st.fixed_dictionaries(
    {},
    optional={
        "listId": ids, "id": ids, "commentId": ids, "replyTo": ids, "name": st.text(max_size=130) | anything,
        "description": st.text(max_size=50) | anything, "text": texts | anything,
        "visibility": st.sampled_from(["PUBLIC", "private", "x"]) | anything, "defaultTestText": st.text() | anything,
        "features": st.lists(reference, max_size=4) | anything, "weight": st.floats() | anything,
        "featuresToAdd": st.lists(reference, max_size=4) | anything, "bio": st.text(max_size=20) | anything,
        "modelId": st.just("tiny") | anything, "layer": st.just("1-res") | anything,
        "index": st.integers(-2, 2**64) | anything,
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    client = serve(Workbench(Settings(data=tmp_path_factory.mktemp("fuzz"), demo=None, requests_a_minute=0)))
    ask(client, "/list/new", {"name": "there", "id": LISTED})
    return client


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=body | anything)
def test_no_body_breaks_it(fuzzed, path, body):
    answer = fuzzed.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, answer.text
    if answer.status_code != 200:
        assert set(answer.json()) == {"error", "message"}


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(path=st.sampled_from(PATHS), body=body)
def test_no_body_breaks_it_over_supabase(shared, path, body):
    client = serve(shared.bench, shared.keys["bela"])
    answer = client.post(path, content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code < 500, (path, body, answer.text)
