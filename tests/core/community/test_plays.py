"""Answers to rounds, points, leaderboards, streaks and campaigns, on both stores."""

from __future__ import annotations

import datetime
import uuid

import pytest

from core.community import limits
from core.community.deeds import Deed, perform
from core.community.plays import today
from core.errors import BadInput, NotAllowed, NotFound, NotSignedIn, WorkbenchError
from tests.core.community.conftest import a_feature
from tests.core.community.test_contract import ABSENT, near

ANSWER = {"labels": [True, False, None]}


def points(world, play, count, agreed=None):
    """As the server writes them."""
    if world.kind == "local":
        world.anna._visit.change("plays", {"id": play}, {"points": count, "agreed": agreed})
    else:
        world.stack.sql("update public.plays set points = %s, agreed = %s where id = %s", count, agreed, play)


def test_an_answer_is_kept_as_it_was_first_given(world):
    anna, feature, id = world.anna, a_feature(), str(uuid.uuid4())
    deed = Deed("play", str(feature), {"kind": "predict", "seed": 7, "answer": ANSWER, "words": "first"}, id=id)
    assert perform(anna, deed) == perform(anna, deed) == id
    again = anna.plays.answer(feature, kind="predict", seed=7, answer={"labels": [False] * 3}, words="better")
    play = anna.plays.mine(feature, "predict", 7)
    assert again == id == play.id and play.answer == ANSWER and play.words == "better" and near(play.made)
    assert play.points is None and play.agreed is None and play.owner_name == anna.me.name
    perform(anna, Deed("play-words", id, {"words": "best"}))
    assert anna.plays.mine(feature, "predict", 7).words == "best"
    assert anna.plays.mine(feature, "predict", 8) is anna.plays.mine(feature, "odd", 7) is None
    anna.plays.answer(feature, kind="odd", seed=7, answer={"odd": None})
    assert [one.kind for one in anna.plays.of(feature)] == ["predict", "odd"]
    assert [one.kind for one in anna.plays.by(anna.me.id)] == ["odd", "predict"]
    with pytest.raises(NotFound, match="no such answer of yours"):
        anna.plays.reword(ABSENT, "x")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "guess"}, "no such round"), ({"seed": -1}, "no such round"), ({"seed": 2**32}, "no such round"),
        ({"answer": {"x": "y" * limits.ANSWER_BYTES}}, "bytes"), ({"words": "x" * 1001}, "at most 1,000"),
        ({"campaign": "x"}, "not the id"),
    ],
)  # fmt: skip
def test_answers_that_are_refused(world, values, said):
    feature = a_feature()
    with pytest.raises(BadInput, match=said):
        world.anna.plays.answer(feature, **{"kind": "odd", "seed": 1, "answer": {}} | values)
    assert world.anna.plays.of(feature) == ()


def test_nobody_claims_points(hosted):
    anna, bert, feature = hosted.anna, hosted.bert, a_feature()
    play = anna.plays.answer(feature, kind="odd", seed=1, answer={"odd": 1})
    for who in (anna, bert):
        with pytest.raises(NotAllowed):
            who._visit.change("plays", {"id": play}, {"points": 100})
        with pytest.raises(NotAllowed):
            who._visit.change("plays", {"id": play}, {"answer": {"odd": 0}})
        with pytest.raises(WorkbenchError):
            who._visit.remove("plays", {"id": play})
    row = {"id": str(uuid.uuid4()), "owner": anna.me.id, "kind": "odd", "seed": 2, "answer": {}, "points": 100}
    on = {"model_id": "m", "source_id": "1-res", "feature": 1}
    for more in ({}, {"points": None, "agreed": 1.0}, {"points": None, "created_at": "2026-01-01T00:00:00Z"}):
        with pytest.raises(NotAllowed):
            anna._visit.add("plays", [row | on | more])
    with pytest.raises(NotFound):
        bert.plays.reword(play, "mine")
    with pytest.raises(NotSignedIn):
        hosted.nobody.plays.answer(feature, kind="odd", seed=1, answer={})
    assert anna.plays.mine(feature, "odd", 1).points is None


def test_leaderboards(world):
    anna, feature = world.anna, a_feature()
    campaign = anna.plays.begin("a campaign", ["tiny/1-res"])
    first = anna.plays.answer(feature, kind="odd", seed=1, answer={"odd": 1}, campaign=campaign)
    second = anna.plays.answer(feature, kind="odd", seed=2, answer={"odd": 1})
    assert [one.id for one in anna.plays.unjudged(anna.me.id)] == [second, first]
    points(world, first, 6, 1.0)
    points(world, second, -2, 0.5)
    assert anna.plays.unjudged(anna.me.id) == ()
    (line,) = [one for one in anna.plays.board(today()) if one.owner == anna.me.id]
    assert (line.points, line.rounds, line.agreed, line.days, line.name) == (4, 2, 0.75, 1, anna.me.name)
    week = today() - datetime.timedelta(6)
    assert line in anna.plays.board(week)
    (line,) = anna.plays.board(week, campaign=campaign)
    assert (line.points, line.rounds, line.agreed) == (6, 1, 1.0)
    assert anna.plays.board(today() + datetime.timedelta(1)) == ()
    if world.kind == "hosted":
        bert = world.bert
        points(world, bert.plays.answer(feature, kind="odd", seed=1, answer={"odd": 0}, campaign=campaign), 12, 1.0)
        assert [one.name for one in anna.plays.board(week, campaign=campaign)] == [bert.me.name, anna.me.name]


def test_a_streak(world):
    anna = world.anna
    assert anna.plays.streak(anna.me.id) == 0
    ids = [anna.plays.answer(a_feature(), kind="odd", seed=n, answer={}) for n in range(4)]
    assert anna.plays.streak(anna.me.id) == 0, "what was not judged is no day"
    for back, id in zip((0, 1, 2, 4), ids, strict=True):
        points(world, id, 0)
        moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(back)
        if world.kind == "local":
            world.anna._visit.change("plays", {"id": id}, {"created_at": moment.isoformat(timespec="microseconds")})
        else:
            world.stack.sql("update public.plays set created_at = %s where id = %s", moment, id)
    assert anna.plays.streak(anna.me.id) == 3
    tomorrow = today() + datetime.timedelta(1)
    assert anna.plays.streak(anna.me.id, on=tomorrow) == 3, "today is not over before its end"
    assert anna.plays.streak(anna.me.id, on=tomorrow + datetime.timedelta(1)) == 0


def test_campaigns(world):
    plays, id = world.anna.plays, str(uuid.uuid4())
    for name in (" A  campaign ", "another"):
        assert plays.begin(name, ["tiny/1-res", "tiny/0-res", "tiny/1-res"], about=" all ", id=id) == id
    found = plays.campaign(id)
    assert (found.name, found.about, found.sources, found.rounds) == (
        "A campaign", "all", ("tiny/1-res", "tiny/0-res"), 0,
    )  # fmt: skip
    assert found in plays.campaigns()
    feature = a_feature()
    plays.answer(feature, kind="odd", seed=1, answer={}, campaign=id)
    assert plays.campaign(id).rounds == 1
    for sources, said in (([], "1 to 100"), ([f"m/{n}-a" for n in range(101)], "1 to 100"), (["x"], "source")):
        with pytest.raises(BadInput, match=said):
            plays.begin("n", sources)
    if world.kind == "hosted":
        with pytest.raises(NotAllowed, match="only they end it"):
            world.bert.plays.end(id)
    plays.end(id)
    with pytest.raises(NotFound):
        plays.campaign(id)
    assert plays.mine(feature, "odd", 1).campaign is None, "what was played stays"
