"""The released `neuronpedia` client's lists, unchanged, against a workbench of one and against a shared one."""

from __future__ import annotations

import pytest

from core.settings import Settings
from core.workbench import Workbench
from tests.api.test_client import called
from tests.live import Server
from tests.stack.stack import Stack, missing

CALLS = """
import dataclasses, json, sys
import neuronpedia
from neuronpedia.np_list import NPList, NPListItem
from neuronpedia.requests.list_request import ListRequest

(key,) = json.loads(sys.argv[1])
neuronpedia.set_api_key(key)
def plain(value):
    return [plain(one) for one in value] if isinstance(value, list) else dataclasses.asdict(value)
def refused(call, *given):
    try:
        call(*given)
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
made = NPList.new("family words", "who is whose")
bare = NPList.new("bare")
items = [NPListItem("tiny", "1-res", "3", "mother"), NPListItem("tiny", "0-neurons", "5", "father 🙂")]
answers = {
    "made": plain(made), "bare": plain(bare),
    "filled": plain(made.add_items(items)),
    "got": plain(NPList.get(made.id)),
    "owned": plain(NPList.get_owned()),
    "again": len(made.add_items(items).items),
    "missing": refused(NPList.get, "5d0c9f5e-3a58-4c1b-9f6e-0c7d5a2b1eff"),
    "empty": refused(NPList.new, " "),
    "wrong key": refused(ListRequest(api_key="fs_" + "A" * 43).get_owned),
}
print("ANSWERS" + json.dumps(answers))
"""


@pytest.fixture(scope="module")
def local(tiny_root, tmp_path_factory):
    return called(CALLS, ["any"], Server(tmp_path_factory.mktemp("data")), tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    if why := missing():
        pytest.skip(why)
    with Stack() as stack, pytest.MonkeyPatch.context() as patch:
        given = {
            "SUPABASE_URL": stack.url, "SUPABASE_KEY": stack.keys.publishable,
            "SUPABASE_SECRET_KEY": stack.keys.secret_key,
        }  # fmt: skip
        for name, value in given.items():
            patch.setenv(name, value)
        data = tmp_path_factory.mktemp("data")
        door = Workbench(Settings(data=data, demo=None)).community
        stack.gw.auth.create("ada@example.com", "correct horse", {"user_name": "ada"})
        key = door.people(door.sign_in("ada@example.com", "correct horse")).keys.new("client")
        server = Server(data)
        server._environment |= given
        yield called(CALLS, [key], server, tmp_path_factory.mktemp("client"))


@pytest.fixture(params=["local", "shared"])
def answers(request):
    return request.getfixturevalue(request.param)


def test_it_makes_a_list(answers):
    made = answers["made"]
    assert (made["name"], made["description"], made["items"]) == ("family words", "who is whose", [])
    assert (answers["bare"]["description"], len(made["id"])) == ("", 36)


def test_it_fills_one_and_reads_it_in_its_order(answers):
    keys = [("tiny", "1-res", "3"), ("tiny", "0-neurons", "5")]
    for found in (answers["filled"], answers["got"]):
        assert (found["id"], found["name"]) == (answers["made"]["id"], "family words")
        assert [(one["model_id"], one["source"], one["index"]) for one in found["items"]] == keys
    assert answers["again"] == 2  # those that were there are not added, nor answered, again


def test_it_reads_ones_own(answers):
    owned = {one["id"]: (one["name"], one["description"]) for one in answers["owned"]}
    assert owned == {
        answers["made"]["id"]: ("family words", "who is whose"), answers["bare"]["id"]: ("bare", ""),
    }  # fmt: skip


def test_it_understands_a_refusal(answers):
    assert answers["missing"] == "HTTPError: Resource not found: 404"
    assert answers["empty"].startswith("HTTPError: Request failed with status 400") and "empty" in answers["empty"]


def test_a_wrong_key_is_refused_where_people_share(local, shared):
    assert shared["wrong key"].startswith("NPUnauthorizedError")
    assert local["wrong key"] is None  # this machine alone listens: any key is its person's
