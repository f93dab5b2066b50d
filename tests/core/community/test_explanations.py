"""What people say that features mean, on both stores: words, votes, marks, twins, what moderators hide."""

from __future__ import annotations

import sqlite3
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.community import alike, limits, schema
from core.community.alike import digest, joined
from core.community.file import NAME
from core.community.records import Votes
from core.errors import BadInput, Conflict, NotAllowed, NotFound, NotSignedIn
from core.records import FeatureKey
from tests.core.community.conftest import Local, a_feature
from tests.core.community.test_contract import ABSENT, AWKWARD, near


def votes(person, feature, id, text):
    found = person.explanations.tally(feature).votes(id, digest(text))
    return found.up, found.down, found.mine


def test_words(world):
    anna, feature = world.anna, a_feature()
    first = anna.explanations.write(feature, "  family  words |fathers|  family words\nmothers ")
    (found,) = anna.explanations.of(feature)
    assert (found.id, found.text, found.state) == (first, "family words | fathers | mothers", "shown")
    assert (found.owner, found.owner_name, found.feature) == (anna.me.id, anna.me.name, feature)
    assert near(found.made) and near(found.changed)
    second = anna.explanations.write(feature, "another")
    assert [one.id for one in anna.explanations.of(feature)] == [first, second]
    assert [one.id for one in anna.explanations.by(anna.me.id)] == [second, first]
    anna.explanations.edit(first, "kin")
    changed = anna.explanations.get(first)
    assert changed.text == "kin" and changed.changed > found.changed and changed.made == found.made
    anna.explanations.delete(first)
    for act in (anna.explanations.get, anna.explanations.delete, lambda id: anna.explanations.edit(id, "x")):
        with pytest.raises(NotFound, match="no such explanation"):
            act(first)
    assert [one.id for one in anna.explanations.of(feature)] == [second]
    assert anna.happenings(person=anna.me.id)[0].what == "explanation"
    assert anna.happenings(person=anna.me.id)[0].words == "another"


def test_asked_twice_is_said_once(world):
    feature, id = a_feature(), str(uuid.uuid4())
    for text in ("first", "second"):
        assert world.anna.explanations.write(feature, text, id=id) == id
    assert [one.text for one in world.anna.explanations.of(feature)] == ["first"]


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_words(world, text):
    feature = a_feature()
    id = world.anna.explanations.write(feature, text)
    assert world.anna.explanations.get(id).text == " ".join(text.split()) == joined(text)
    world.anna.explanations.vote(feature, [(text, digest(text))], 1)
    assert votes(world.anna, feature, text, text) == (1, 0, 1)


def test_words_that_are_refused(world):
    anna, feature = world.anna, a_feature()
    most = "x" * limits.EXPLANATION
    for text, said in (
        ("", "empty"), (" | \n", "empty"), ("a\0b", "null character"), ("a\ud800", "half a character"),
        (most + "x", "at most 1,000"), ("|".join(map(str, range(11))), "at most 10"),
    ):  # fmt: skip
        with pytest.raises(BadInput, match=said):
            anna.explanations.write(feature, text)
    assert anna.explanations.of(feature) == ()
    id = anna.explanations.write(feature, most)
    with pytest.raises(BadInput, match="at most 1,000"):
        anna.explanations.edit(id, most + "x")
    assert anna.explanations.get(id).text == most
    with pytest.raises(BadInput, match="the largest index"):
        anna.explanations.write(FeatureKey("m", "1-res", 2**53), "x")
    with pytest.raises(BadInput, match="is not the id"):
        anna.explanations.get("nonsense")


# -- votes -------------------------------------------------------------------------------------------------------------


def test_a_vote_is_given_changed_and_taken_back(world):
    anna, feature = world.anna, a_feature()
    machine = ("np_max-act:any id of a machine", digest("what it said"))
    for vote, counted in ((1, (1, 0, 1)), (1, (1, 0, 1)), (-1, (0, 1, -1)), (0, (0, 0, 0)), (0, (0, 0, 0))):
        anna.explanations.vote(feature, [machine], vote)
        assert votes(anna, feature, machine[0], "what it said") == counted
    with pytest.raises(BadInput, match="1 or -1"):
        anna.explanations.vote(feature, [machine], 2)
    for id in ("", " ", "x" * 201):
        with pytest.raises(BadInput, match="is not the id"):
            anna.explanations.vote(feature, [(id, machine[1])], 1)


def test_several_at_once(world):
    anna, feature = world.anna, a_feature()
    anna.explanations.vote(feature, [("a", digest("a")), ("b", digest("b"))], 1)
    anna.explanations.vote(feature, [("b", digest("b")), ("c", digest("c"))], -1)
    assert [votes(anna, feature, id, id) for id in "abc"] == [(1, 0, 1), (0, 1, -1), (0, 1, -1)]
    assert anna.explanations.tally(a_feature()).counted == {}, "of one feature alone"
    assert anna.explanations.tally(feature).votes("d", digest("d")) == Votes()


def test_a_vote_is_for_the_words_that_were_there(world):
    anna, feature = world.anna, a_feature()
    id = anna.explanations.write(feature, "old words")
    anna.explanations.vote(feature, [(id, digest("old words"))], 1)
    anna.explanations.edit(id, "new words")
    tally = anna.explanations.tally(feature)
    assert votes(anna, feature, id, "new words") == (0, 0, 0) and tally.earlier(id, digest("new words")) == 1
    anna.explanations.vote(feature, [(id, digest("new words"))], -1)
    assert votes(anna, feature, id, "new words") == (0, 1, -1)
    assert anna.explanations.tally(feature).earlier(id, digest("new words")) == 0, "one vote, which has moved"


def test_several_people_vote(hosted):
    feature, people = a_feature(), [hosted.anna, hosted.bert, hosted.person()]
    for person, vote in zip(people, (1, 1, -1), strict=True):
        person.explanations.vote(feature, [("x", digest("x"))], vote)
    assert [votes(person, feature, "x", "x") for person in people] == [(2, 1, 1), (2, 1, 1), (2, 1, -1)]
    assert votes(hosted.nobody, feature, "x", "x") == (2, 1, 0)
    (row,) = people[0].explanations.voted(feature.model_id, feature.source_id)[feature.index]
    assert (row["explanation"], row["up"], row["down"]) == ("x", 2, 1)


# -- marks -------------------------------------------------------------------------------------------------------------


def test_marks(world):
    anna, feature = world.anna, a_feature()
    assert anna.explanations.marks(feature).count == {"none": 0, "mess": 0, "several": 0}
    for _ in range(2):
        anna.explanations.mark(feature, "mess")
        anna.explanations.mark(feature, "several")
        found = anna.explanations.marks(feature)
        assert found.count == {"none": 0, "mess": 1, "several": 1} and found.mine == {"mess", "several"}
    assert {row["mark"]: row["people"] for row in anna.explanations.marked("tiny", "1-res")[feature.index]} == {
        "mess": 1, "several": 1,
    }  # fmt: skip
    for _ in range(2):
        anna.explanations.mark(feature, "mess", on=False)
        assert anna.explanations.marks(feature).mine == {"several"}
    with pytest.raises(BadInput, match="is no mark"):
        anna.explanations.mark(feature, "nice")


# -- who may what ------------------------------------------------------------------------------------------------------


def test_others_words_are_theirs(hosted):
    anna, bert, nobody, feature = hosted.anna, hosted.bert, hosted.nobody, a_feature()
    id = anna.explanations.write(feature, "anna's")
    assert nobody.explanations.get(id).text == "anna's"
    for act in (lambda: bert.explanations.edit(id, "x"), lambda: bert.explanations.delete(id)):
        with pytest.raises(NotAllowed, match="only they change it"):
            act()
    with pytest.raises(NotAllowed, match="Only a moderator"):
        bert.explanations.hide(id, "x")
    for act in (
        lambda: nobody.explanations.write(feature, "x"),
        lambda: nobody.explanations.vote(feature, [(id, digest("anna's"))], 1),
        lambda: nobody.explanations.mark(feature, "mess"),
        lambda: nobody.explanations.delete(id),
    ):
        with pytest.raises(NotSignedIn, match=r"^Sign in to .+\.$"):
            act()
    assert anna.explanations.get(id).text == "anna's"


def test_a_moderator_hides_and_shows(world):
    anna, moderator, feature = world.anna, world.moderator, a_feature()
    id = anna.explanations.write(feature, "rude words")
    anna.comments.report("it is rude", explanation=id)
    with pytest.raises(Conflict, match="You have reported this already"):
        anna.comments.report("again", explanation=id)
    (reported,) = [one for one in moderator.moderation.reports() if one.report.explanation_id == id]
    assert reported.worded.text == "rude words" and reported.comment is reported.card is None
    for _ in range(2):
        moderator.explanations.hide(id, "rude")
        (found,) = anna.explanations.of(feature)
        assert (found.state, found.text, found.why) == ("hidden", "", "rude")
        moderator.explanations.hide(id, "ruder")
        with pytest.raises(NotAllowed, match="A moderator hid this"):
            anna.explanations.edit(id, "again")
        assert anna.explanations.of_source(feature.model_id, feature.source_id).count(found) == 0
        assert anna.happenings(person=anna.me.id) == ()
        moderator.explanations.show(id)
        (found,) = anna.explanations.of(feature)
        assert (found.state, found.text, found.why) == ("shown", "rude words", "")
    trail = [step for step in moderator.moderation.trail() if step.explanation_id == id]
    assert [(step.what, step.why, step.before) for step in trail] == [
        ("show", "", ""), ("hide", "ruder", ""), ("hide", "rude", "rude words"),
    ] * 2  # fmt: skip
    moderator.explanations.hide(id, "rude")
    anna.explanations.delete(id)
    assert anna.explanations.of(feature) == ()
    with pytest.raises(NotFound):
        moderator.explanations.hide(ABSENT, "x")


def test_how_many_in_an_hour(world):
    """The store refuses, whoever asks it; what was before is no hindrance."""
    visit, me = world.anna._visit, world.anna.me.id
    most = limits.PACES["explanations"][0]

    def rows(count):
        on = {"model_id": "m", "source_id": "1-res", "feature": 1, "text": "t", "owner": me}
        return [{"id": str(uuid.uuid4())} | on for _ in range(count)]

    visit.add("explanations", rows(most))
    with pytest.raises(BadInput, match=f"A person has at most {most} explanations an hour"):
        visit.add("explanations", rows(1))
    assert visit.count("explanations", {"owner": me}) == most
    if world.kind == "local":
        with world.file.writing() as db:
            db.execute(schema.EXPLANATIONS.update().values(created_at="2026-01-01T00:00:00+00:00"))
        visit.add("explanations", rows(1))


FILLS = {
    "explanations": {"text": "t"}, "explanation_votes": {"hash": "a" * 64, "vote": 1}, "explanation_marks": {},
    "campaigns": {"name": "n", "sources": ["m/1-res"]},
}  # fmt: skip


@pytest.mark.parametrize("table", FILLS)
def test_who_deletes_and_adds_again_is_no_quicker(world, table, monkeypatch):
    """Rows that were added and are gone count for the rest of the hour; in the store, whoever asks it."""
    visit, me = world.anna._visit, world.anna.me.id
    most, what = limits.PACES[table]

    def rows(count):
        on = {"id": str(uuid.uuid4()), "owner": me} | FILLS[table]
        made = [on | {"id": str(uuid.uuid4())} for _ in range(count)]
        for n, row in enumerate(made) if table != "campaigns" else ():
            row |= {"model_id": "m", "source_id": "1-res", "feature": n}
            row |= {"explanation": str(n)} if table == "explanation_votes" else {}
            row |= {"mark": ("none", "mess")[n % 2]} if table == "explanation_marks" else {}
        return made

    half = most // 2
    for _ in range(2):
        visit.add(table, rows(half))
        assert visit.remove(table, {"owner": me}) == half
    with pytest.raises(BadInput, match=f"A person has at most {most:d} {what} an hour"):
        visit.add(table, rows(1))
    assert visit.count(table, {"owner": me}) == 0
    if world.kind == "local":
        with world.file.writing() as db:
            db.execute(schema.PACES.update().values(created_at="2026-01-01T00:00:00+00:00"))
        visit.add(table, rows(half))
        assert visit.count("paces") == 2, "they go when there are new ones"
        visit.remove(table, {"owner": me})
        assert visit.count("paces") == 1


def test_what_was_there_for_longer_is_deleted_for_nothing(world):
    visit, me = world.anna._visit, world.anna.me.id
    id = world.anna.explanations.write(a_feature(), "t")
    long_ago = "2026-01-01T00:00:00+00:00"
    if world.kind == "local":
        with world.file.writing() as db:
            db.execute(schema.EXPLANATIONS.update().values(created_at=long_ago))
    else:
        world.stack.sql("update public.explanations set created_at = %s where id = %s", long_ago, id)
    world.anna.explanations.delete(id)
    assert visit.count("paces", {"owner": me}) == 0


def test_words_that_are_written_anew_are_words(world):
    """An edit counts as one more; the same words again, and what a moderator does, count for nothing."""
    anna, visit, me = world.anna, world.anna._visit, world.anna.me.id
    id = anna.explanations.write(a_feature(), "words")
    anna.explanations.edit(id, "words")
    world.moderator.explanations.hide(id, "rude")
    world.moderator.explanations.show(id)
    assert visit.count("paces", {"owner": me}) == 0
    most = limits.PACES["explanations"][0]
    for n in range(most - 1):
        visit.change("explanations", {"id": id}, {"text": f"other {n}"})
    with pytest.raises(BadInput, match="explanations an hour"):
        visit.change("explanations", {"id": id}, {"text": "once more"})
    assert anna.explanations.get(id).text == f"other {most - 2}"


def test_nobody_writes_or_takes_away_what_they_spent(hosted):
    anna, visit, me = hosted.anna, hosted.anna._visit, hosted.anna.me.id
    anna.explanations.delete(anna.explanations.write(a_feature(), "t"))
    assert [(row["what"], row["n"]) for row in visit.rows("paces")] == [("explanations", 1)]
    for act in (
        lambda: visit.add("paces", [{"owner": me, "what": "explanations", "n": 1}]),
        lambda: visit.remove("paces", {"owner": me}),
        lambda: visit.change("paces", {"owner": me}, {"n": 1}),
    ):
        with pytest.raises(NotAllowed):
            act()
    assert visit.count("paces") == 1 and hosted.bert._visit.count("paces") == 0
    with pytest.raises(NotSignedIn):
        hosted.nobody._visit.count("paces")


# -- everybody's -------------------------------------------------------------------------------------------------------


def test_the_newest_of_everybody_first(world):
    anna = world.anna
    first, second, third = (anna.explanations.write(a_feature(), text) for text in ("first", "second", "third"))
    anna.explanations.edit(first, "first again")
    world.moderator.explanations.hide(third, "rude")
    assert [one.id for one in anna.explanations.newest(limit=2)] == [first, second]
    assert [one.id for one in anna.explanations.newest(limit=1, offset=1)] == [second]


# -- of a source -------------------------------------------------------------------------------------------------------


def test_a_source_says_when_its_explanations_change(world):
    anna, feature = world.anna, FeatureKey("m", f"1-{uuid.uuid4().hex[:8]}", 3)
    seen = [anna.explanations.changed(feature.model_id, feature.source_id)]

    def moved():
        seen.append(anna.explanations.changed(feature.model_id, feature.source_id))
        return len(set(seen)) == len(seen)

    id = anna.explanations.write(feature, "a")
    assert moved()
    other = anna.explanations.write(FeatureKey(feature.model_id, feature.source_id, 1), "b")
    assert moved()
    anna.explanations.edit(id, "c")
    assert moved()
    found = anna.explanations.of_source(feature.model_id, feature.source_id)
    assert [(one.feature.index, one.id) for one in found] == [(1, other), (3, id)]
    anna.explanations.delete(other)
    assert moved()
    world.moderator.explanations.hide(id, "rude")
    assert moved() and anna.explanations.of_source(feature.model_id, feature.source_id) == ()


# -- twins -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("family words", "Family  WORDS!", True),
        ("fathers and mothers", "mother, father", True),
        ("words about the sea", "sea", True),
        ("mother's house", "the house of mothers", True),
        ("days | months", "months|days", True),
        ("names of cities in the north", "names of cities in the south", False),
        ("names of small cities in northern Italy", "names of cities in northern Italy", True),
        ("mum", "mother", False),
        ("red", "red wine", False),
        ("the", "of", False),
        ("🙂", "🙃", False),
        ("café", "cafe\u0301", True),
    ],
)
def test_twins(one, other, same):
    assert alike.near(one, other) is same is alike.near(other, one)


@given(st.text(), st.text())
def test_every_text_has_words_and_is_like_itself(one, other):
    assert alike.words(one) and alike.near(one, one)
    assert alike.near(one, other) == alike.near(other, one)


# -- a file of before --------------------------------------------------------------------------------------------------


def test_a_file_of_before_gets_the_new_tables_and_keeps_what_it_has(tmp_path):
    world = Local(tmp_path)
    feature = a_feature()
    said = world.anna.comments.post(feature, "of before")
    world.anna.comments.report("why", comment=said)
    with sqlite3.connect(tmp_path / NAME) as db:  # as version 3 had it
        for name in ("happenings", "explanation_rows", "explanation_vote_counts", "explanation_mark_counts"):
            db.execute(f"drop view {name}")
        for name in ("explanations_hidden", "explanations_shown"):
            db.execute(f"drop trigger {name}")
        db.execute("drop index reports_one_each")
        db.execute("alter table moderation drop column explanation_id")
        (row,) = db.execute("select id, owner, comment_id, why, created_at from reports").fetchall()
        db.execute("drop table reports")
        db.execute(
            "create table reports (id varchar primary key, owner varchar not null references profiles (id),"
            " comment_id varchar references comments (id) on delete cascade, list_id varchar references lists (id)"
            " on delete cascade, why varchar not null, closed_at varchar, created_at varchar not null)"
        )
        db.execute("insert into reports (id, owner, comment_id, why, created_at) values (?, ?, ?, ?, ?)", row)
        for table in ("explanations", "explanation_votes", "explanation_marks"):
            db.execute(f"drop table {table}")
        db.execute("create unique index reports_once on reports (owner, coalesce(comment_id, ''))")
        db.execute("pragma user_version = 3")
    world = Local(tmp_path)
    id = world.anna.explanations.write(feature, "new")
    other = world.anna.explanations.write(feature, "newer")
    for one in (id, other):
        world.anna.comments.report("why", explanation=one)
    found = {one.report.comment_id or one.report.explanation_id for one in world.anna.moderation.reports()}
    assert found == {said, id, other}
    world.anna.explanations.hide(id, "rude")
    world.anna.explanations.show(id)
    assert world.anna.explanations.get(id).text == "new" and world.anna.comments.on(feature)[0].body == "of before"
