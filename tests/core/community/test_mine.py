"""What a person takes along: everything of theirs, nothing of anybody else's, and no secret."""

from __future__ import annotations

import json

import pytest

from core.community.keys import digest
from core.community.records import Case, Item
from core.errors import NotSignedIn
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests.stack.stack import Stack, missing

KEY = FeatureKey.parse("tiny/1-res/3")


def fill(people, word):
    """One of everything; the key that was made."""
    people.describe(about=f"about {word}")
    people.hide_explicit(True)
    made = people.lists.new(f"list {word}", visibility="private", items=[Item(KEY, f"note {word}")])
    people.stars.add(KEY)
    people.stars.add(made)
    people.comments.post(KEY, f"comment {word}")
    people.suites.new(KEY, f"suite {word}", [Case(f"text {word}", True)])
    people.saved.keep("/search?text=a", f"saved {word}")
    people.keys.use("explanations", 2, 10)
    return people.keys.new(f"key {word}")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    if why := missing():
        pytest.skip(why)
    with Stack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUPABASE_URL", stack.url)
        patch.setenv("SUPABASE_KEY", stack.keys.publishable)
        door = Workbench(Settings(data=tmp_path_factory.mktemp("shared"), demo=None)).community
        for name in ("ada", "bela"):
            stack.gw.auth.create(f"{name}@example.com", "correct horse", {"user_name": name})
        yield (
            {name: door.people(door.sign_in(f"{name}@example.com", "correct horse")) for name in ("ada", "bela")},
            door,
        )


def told(people):
    first, *found, last = [json.loads(line) for line in people.everything().decode().splitlines()]
    assert first["person"] == people.me.id and len(found) in last.values()
    assert all(set(one) == {"table", "row"} for one in found)
    return found


EXPECTED = [
    "comments", "list_items", "lists", "preferences", "profiles", "saved", "stars", "stars", "suites",
    "usage",
]  # fmt: skip


def test_on_a_workbench_of_one(tmp_path):
    people = Workbench(Settings(data=tmp_path, demo=None)).community.people()
    key = fill(people, "mine")
    found = told(people)
    assert sorted(one["table"] for one in found) == EXPECTED
    text = people.everything().decode()
    assert key not in text and digest(key) not in text
    for word in ("about", "list", "note", "comment", "suite", "text", "saved"):
        assert f"{word} mine" in text


def test_where_people_share_nobody_takes_what_is_anothers(shared):
    people, door = shared
    keys = {name: fill(one, name) for name, one in people.items()}
    for name, other in (("ada", "bela"), ("bela", "ada")):
        found, text = told(people[name]), people[name].everything().decode()
        assert sorted(one["table"] for one in found) == EXPECTED
        assert f"comment {name}" in text and f"note {name}" in text and f"text {name}" in text
        assert f" {other}" not in text and f'"{other}"' not in text
        assert all(secret not in text for key in keys.values() for secret in (key, digest(key)))
    with pytest.raises(NotSignedIn):
        door.people().everything()


def test_every_table_with_an_owner_is_taken_along_but_keys_and_paces():
    from core.community import exchange, schema

    owned = {table.name for table in schema.METADATA.sorted_tables if "owner" in table.c}
    assert owned - {"api_keys", "paces"} <= set(exchange.ORDER)
