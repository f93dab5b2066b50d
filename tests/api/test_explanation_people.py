"""Writing, voting, marking over HTTP: on a workbench of one, and over a Supabase project with keys of two people."""

from __future__ import annotations

import itertools
import uuid

import pytest

from core.settings import Settings
from core.workbench import Workbench
from tests.api.test_people import PASSWORD, ask, refused, serve

NUMBERS = itertools.count()


def a_feature():
    return {"modelId": "tiny", "layer": "1-res", "index": str(next(NUMBERS))}


@pytest.fixture(params=["local", "shared"])
def clients(request, tiny_root, tmp_path):
    """Clients of two people where there are two, of one twice where there is one."""
    if request.param == "local":
        one = serve(Workbench(Settings(data=tmp_path, demo=tiny_root, requests_a_minute=0)))
        return one, one
    stack = request.getfixturevalue("stack")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPABASE_URL", stack.url)
        patch.setenv("SUPABASE_KEY", stack.keys.publishable)
        patch.setenv("SUPABASE_SECRET_KEY", stack.keys.secret_key)
        bench = Workbench(Settings(data=tmp_path, demo=tiny_root, requests_a_minute=0))
    made = []
    for name in ("ada", "bela"):
        unique = f"{name}-{uuid.uuid4().hex[:8]}"
        stack.gw.auth.create(f"{unique}@example.com", PASSWORD, {"user_name": unique})
        key = bench.community.people(bench.community.sign_in(f"{unique}@example.com", PASSWORD)).keys.new("tests")
        made.append(serve(bench, key))
    return tuple(made)


def test_written_voted_for_and_taken_back(clients):
    ada, bela = clients
    on, id = a_feature(), str(uuid.uuid4())
    for _ in range(2):
        assert ask(ada, "/explanation/new", on | {"description": "a | b", "id": id}) == {"id": id}
    voted = ask(bela, f"/explanation/{id}/vote")
    assert voted == {"id": id, "description": "a | b", "votes": {"up": 1, "down": 0}, "yourVote": 1}
    assert ask(bela, f"/explanation/{id}/vote", {"vote": -1} | on)["votes"] == {"up": 0, "down": 1}
    assert ask(bela, f"/explanation/{id}/unvote")["votes"] == {"up": 0, "down": 0}
    assert ask(bela, f"/explanation/{id}/unvote")["yourVote"] == 0
    if ada is not bela:
        assert "only they change it" in refused(bela.post(f"/explanation/{id}/delete"), 403)
    ask(ada, f"/explanation/{id}/delete")
    for path in (f"/explanation/{id}/vote", f"/explanation/{id}/delete"):
        assert "no such explanation" in refused(ada.post(path), 404)


def test_a_twin_is_refused_with_what_to_vote_for(clients):
    ada, bela = clients
    on = a_feature()
    id = ask(ada, "/explanation/new", on | {"description": "Names of rivers"})["id"]
    said = refused(bela.post("/explanation/new", json=on | {"description": "the name of a river"}), 409)
    assert f"/api/explanation/{id}/vote" in said and "Names of rivers" in said
    other = ask(bela, "/explanation/new", on | {"description": "the name of a river", "anyway": True})["id"]
    votes = ask(bela, "/explanation/vote", on | {"explanationIds": [id, other], "vote": 1})
    assert {one["id"]: one["yourVote"] for one in votes if one["id"] in (id, other)} == {id: 1, other: 1}
    votes = ask(bela, "/explanation/vote", on | {"explanationIds": [id], "vote": 0})
    assert {one["id"]: one["yourVote"] for one in votes if one["id"] in (id, other)} == {id: 0, other: 1}


def test_marks(clients):
    on = a_feature()
    assert ask(clients[0], "/explanation/mark", on | {"mark": "mess"}) == {
        "marks": {"none": 0, "mess": 1, "several": 0}, "yours": ["mess"],
    }  # fmt: skip
    assert ask(clients[0], "/explanation/mark", on | {"mark": "mess", "on": False})["yours"] == []


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("new", {"description": " "}, 400, "empty"),
        ("new", {"description": "x" * 1001}, 400, "1,001"),
        ("new", {}, 400, "missing"),
        ("new", {"description": "x", "id": "y"}, 400, "not the id"),
        ("new", {"description": "x", "index": 10**6}, 404, "1000000"),
        ("new", {"description": "x", "layer": "7-none"}, 404, "7-none"),
        ("vote", {"explanationIds": ["nothing"]}, 404, "no explanation “nothing”"),
        ("vote", {"explanationIds": [], "vote": 3}, 400, "vote"),
        ("mark", {"mark": "nice"}, 400, "mark"),
        ("annotation:x/vote", {"vote": 2}, 400, "vote"),
        (f"{uuid.UUID(int=1)}/vote", {}, 404, "no"),
        ("a/b/c/unvote", {}, 404, "no explanation"),
        ("nonsense/delete", {}, 400, "not the id"),
    ],
)
def test_what_is_refused(clients, path, body, status, said):
    on = a_feature() if "/" not in path or "unvote" in path or "annotation" in path else {}
    assert said in refused(clients[0].post(f"/explanation/{path}", json=on | body), status)


def test_nobody_writes(clients, request):
    if clients[0] is clients[1]:
        pytest.skip("a workbench of one has no nobody")
    nobody = serve(clients[0].app.state.workbench)
    on = a_feature()
    id = ask(clients[0], "/explanation/new", on | {"description": "words"})["id"]
    for path, body in (("new", {"description": "x"}), (f"{id}/vote", {}), ("mark", {"mark": "mess"})):
        refused(nobody.post(f"/explanation/{path}", json=on | body), 401)
