"""Every deed does what its job does, on either store, and twice as well as once; while it waits it is kept as it is."""

from __future__ import annotations

from typing import get_args

from core.community import deeds
from core.community.alike import digest
from core.community.deeds import Deed, Drafts, perform
from core.community.file import File
from core.community.records import Item
from tests.core.community.conftest import a_feature


def twice(people, kind, on="", **values):
    """The id of what the deed made; doing it again does nothing more."""
    deed = Deed(kind, str(on), values)
    made = perform(people, deed)
    assert perform(people, deed) == made
    return made


def test_a_list_from_its_beginning_to_its_end(world):
    anna, first, second = world.anna, a_feature(), a_feature()
    id = twice(anna, "list", name="A list", items=[{"feature": str(first), "note": "n", "weight": 2.5}])
    assert anna.lists.get(id).items == (Item(first, "n", 2.5),)
    twice(anna, "list-add", id, items=[{"feature": str(second)}])
    twice(anna, "list-order", id, features=[str(second), str(first)])
    twice(anna, "list-note", id, feature=str(second), note="other", weight=-1.0)
    assert anna.lists.get(id).items == (Item(second, "other", -1.0), Item(first, "n", 2.5))
    twice(anna, "list-change", id, name="Another", about="*about*", visibility="private", test_text=" a text")
    card = anna.lists.get(id).card
    assert (card.name, card.about, card.visibility, card.test_text) == ("Another", "*about*", "private", " a text")
    twice(anna, "list-take", id, features=[str(first)])
    assert [item.feature for item in anna.lists.get(id).items] == [second]
    perform(anna, Deed("list-delete", id))
    assert id not in {one.id for one in anna.lists.mine()}


def test_a_comment_from_its_beginning_to_its_end(world):
    anna, on = world.anna, a_feature()
    id = twice(anna, "comment", on, body="said")
    answer = twice(anna, "comment", on, body="answered", parent=id)
    twice(anna, "comment-edit", id, body="better")
    assert [(one.id, one.body, one.parent) for one in anna.comments.on(on)] == [
        (id, "better", None), (answer, "answered", id),
    ]  # fmt: skip
    moderator = world.moderator
    twice(moderator, "comment-hide", id, why="rude")
    assert anna.comments.on(on)[0].state == "hidden"
    twice(moderator, "comment-show", id)
    assert anna.comments.on(on)[0].body == "better"
    perform(anna, Deed("comment-delete", id))
    assert anna.comments.on(on)[0].state == "deleted"


def test_stars_and_moderation_of_lists(world):
    anna, on = world.anna, a_feature()
    twice(anna, "star", on)
    assert anna.stars.of(on).count == 1
    twice(anna, "unstar", on)
    assert anna.stars.of(on).count == 0
    id, moderator = twice(anna, "list", name="A list", items=[]), world.moderator
    twice(moderator, "list-hide", id, why="spam")
    assert anna.lists.get(id).card.hidden_why == "spam"
    twice(moderator, "list-show", id)
    assert not anna.lists.get(id).card.hidden


def twice_vote(people, feature, id, vote):
    deed = Deed("vote", str(feature), {"on": [[id, digest("one meaning")]], "vote": vote})
    for _ in range(2):
        perform(people, deed)


def test_an_explanation_its_votes_and_marks(world):
    anna, on = world.anna, a_feature()
    id = twice(anna, "explain", on, text="a meaning|another")
    twice(anna, "explain-edit", id, text="one meaning")
    assert [(one.id, one.text) for one in anna.explanations.of(on)] == [(id, "one meaning")]
    twice_vote(anna, on, id, 1)
    assert anna.explanations.tally(on).votes(id, digest("one meaning")).mine == 1
    twice_vote(anna, on, id, 0)
    assert anna.explanations.tally(on).votes(id, digest("one meaning")).mine == 0
    twice(anna, "mark", on, mark="mess")
    assert anna.explanations.marks(on).mine == {"mess"}
    perform(anna, Deed("mark", str(on), {"mark": "mess", "on": False}))
    assert anna.explanations.marks(on).mine == set()
    perform(anna, Deed("report", str(on), {"why": "rude", "explanation": id}))
    twice(world.moderator, "explain-hide", id, why="rude")
    assert anna.explanations.get(id).state == "hidden"
    twice(world.moderator, "explain-show", id)
    assert anna.explanations.get(id).text == "one meaning"
    perform(anna, Deed("explain-delete", id))
    assert anna.explanations.of(on) == ()


def test_a_draft_of_every_kind_is_kept_as_it_was(tmp_path):
    drafts = Drafts(File(tmp_path))
    for kind in get_args(deeds.Kind):
        deed = Deed(kind, "on", {"text": "<b>&\n🙂", "items": [{"weight": 2.5}]})
        assert drafts.get(drafts.keep(deed)) == deed
