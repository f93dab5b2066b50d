"""What both stores must do alike: every job of `People`, on SQLite and on Supabase."""

from __future__ import annotations

import datetime
import uuid
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.community import limits
from core.community.records import Case, CaseResult, Item, SuiteRun
from core.errors import BadInput, Conflict, NotAllowed, NotFound, WorkbenchError
from core.records import FeatureKey
from tests.core.community.conftest import Local, a_feature

ABSENT = "11111111-2222-4333-8444-555555555555"
AWKWARD = [
    "🙂", "👩‍👩‍👧", "مرحبا ‮abc", "it's \"quoted\" `and` “so”", "100% _like_ %_",
    "back\\slash \\n \\u0000", "a,b.(c)=eq.d", "{\"a\": [1]}", "null", "é e\u0301", "<script>alert(1)</script>",
    "'; drop table lists; --",
    "$1 ${x} {{y}}",
    "\x01\x7f", "*", "a\u2028b", "+%2B &=#?/", "\ufeffx", "﷽", "𝕏",
]  # fmt: skip


def reports(moderator):
    """Every report that the moderator sees, closed or not."""
    return [one.report for closed in (False, True) for one in moderator.moderation.reports(closed=closed)]


def near(moment):
    """Whether a time is a moment ago, in UTC."""
    found = datetime.datetime.fromisoformat(moment)
    return found.tzinfo is not None and abs(datetime.datetime.now(datetime.UTC) - found) < datetime.timedelta(minutes=5)


# -- stars -------------------------------------------------------------------------------------------------------------


def test_stars(world):
    anna, feature, other = world.anna, a_feature(), a_feature()
    assert anna.stars.of(feature).count == 0 and not anna.stars.of(feature).mine
    for _ in range(2):
        anna.stars.add(feature)
        found = anna.stars.of(feature)
        assert (found.count, found.mine, found.names) == (1, True, (anna.me.name,))
    made = anna.lists.new("a list")
    anna.stars.add(made)
    anna.stars.add(other)
    assert anna.lists.get(made).card.stars == 1
    assert [(star.feature, star.list_id, star.list_name) for star in anna.stars.by(anna.me.id)] == [
        (other, None, ""), (None, made, "a list"), (feature, None, ""),
    ]  # fmt: skip
    assert [star.feature for star in anna.stars.by(anna.me.id, limit=1, offset=2)] == [feature]
    for _ in range(2):
        anna.stars.remove(feature)
        assert anna.stars.of(feature).count == 0
    anna.lists.delete(made)
    assert [star.feature for star in anna.stars.by(anna.me.id)] == [other], "a list takes its stars with it"


def test_stars_of_what_is_not_there(world):
    for act in (world.anna.stars.add, world.anna.comments.report, lambda on: world.anna.comments.post(on, "x")):
        if act == world.anna.comments.report:
            continue
        with pytest.raises(NotFound, match="no such list here, or it is somebody's private"):
            act(ABSENT)
    with pytest.raises(BadInput, match="is not the id of a list"):
        world.anna.stars.of("nonsense")
    with pytest.raises(BadInput, match="the largest index"):
        world.anna.stars.add(FeatureKey("m", "1-res", 2**53))
    world.anna.stars.add(FeatureKey("m", "1-res", 2**53 - 1))
    assert world.anna.stars.of(FeatureKey("m", "1-res", 2**53 - 1)).mine


# -- lists -------------------------------------------------------------------------------------------------------------


def test_a_list(world):
    one, two, three = a_feature(), a_feature(), a_feature()
    lists = world.anna.lists
    made = lists.new("  A   list ", " about\nit ", test_text="  as is ", items=[Item(one, " n "), Item(two), Item(one)])
    found = lists.get(made)
    card = found.card
    assert (card.name, card.about, card.test_text, card.visibility) == ("A list", "about\nit", "  as is ", "public")
    assert (card.owner, card.owner_name, card.items) == (world.anna.me.id, world.anna.me.name, 2)
    assert near(card.made) and near(card.changed) and not card.hidden
    assert found.items == (Item(one, "n"), Item(two))
    assert lists.add(made, [Item(two, "other"), Item(three, "3", -2.5)]) == (Item(three, "3", -2.5),)
    lists.order(made, [three, a_feature(), one])
    assert lists.get(made).items == (Item(three, "3", -2.5), Item(one, "n"), Item(two))
    lists.edit(made, one, note="", weight=1000.0)
    lists.edit(made, two, weight=0.1)
    assert lists.get(made).items == (Item(three, "3", -2.5), Item(one, "", 1000.0), Item(two, "", 0.1))
    lists.take(made, [one, a_feature()])
    assert [item.feature for item in lists.get(made).items] == [three, two]
    lists.add(made, [Item(one)])
    assert [item.feature for item in lists.get(made).items] == [three, two, one], "at the end"
    with pytest.raises(NotFound, match="is not in this list"):
        lists.edit(made, a_feature(), note="x")
    lists.change(made, name="B", visibility="PRIVATE")
    changed = lists.get(made).card
    assert (changed.name, changed.visibility, changed.about) == ("B", "private", "about\nit")
    assert changed.changed > card.changed and changed.made == card.made
    lists.delete(made)
    with pytest.raises(NotFound):
        lists.get(made)
    with pytest.raises(NotFound):
        lists.delete(made)


def test_a_list_asked_for_twice_is_made_once_with_what_was_said_first(world):
    made, feature = str(uuid.uuid4()), a_feature()
    for name in ("first", "second"):
        assert world.anna.lists.new(name, id=made, items=[Item(feature)]) == made
    assert world.anna.lists.get(made).card.name == "first"
    assert [card.id for card in world.anna.lists.mine()] == [made]
    assert world.anna.lists.new("x", id=made.upper()) == made, "an id has one form"


def test_a_list_is_made_whole_or_not_at_all(world):
    """The store itself refuses what the job let through."""
    made = str(uuid.uuid4())
    bad = {"model_id": "m", "source_id": "1-res", "feature": 1, "position": 0, "note": None, "weight": 1.0}
    row = {"id": made, "name": "n", "about": "", "visibility": "public", "test_text": ""}
    with pytest.raises(WorkbenchError):
        world.anna._visit.new_list(row | {"visibility": "nonsense", "owner": world.anna.me.id}, [bad | {"note": ""}])
    twice = [bad | {"note": ""}, bad | {"note": ""}]
    with pytest.raises(WorkbenchError):
        world.anna._visit.new_list(row | {"owner": world.anna.me.id}, twice)
    with pytest.raises(NotFound):
        world.anna.lists.get(made)
    assert world.anna.lists.mine() == ()


def test_where_lists_stand(world):
    feature, anna = a_feature(), world.anna
    made = {
        seen: anna.lists.new(seen, visibility=seen, items=[Item(feature, seen)])
        for seen in ("public", "unlisted", "private")
    }
    assert {card.id for card in anna.lists.mine()} == set(made.values())
    assert [card.id for card in anna.lists.by(anna.me.id)] == [made["public"]]
    mine = {listed.list_name: listed.note for listed in anna.lists.holding(feature)}
    assert mine == {"public": "public", "unlisted": "unlisted", "private": "private"}
    newest = [card.id for card in anna.lists.newest(limit=10)]
    assert newest[0] == made["public"] and not {made["unlisted"], made["private"]} & set(newest)
    happened = {happening.list_id for happening in anna.happenings(person=anna.me.id)}
    assert happened == {made["public"]}
    assert anna.lists.mine()[0].id == made["private"]
    anna.lists.change(made["public"], about="changed")
    assert anna.lists.mine()[0].id == made["public"], "the last changed first"


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_order_notes_and_weights_round_trip(tmp_path_factory, stack_or_none, data):
    """On both stores; what is written is what is read, in the order that was asked for."""
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=50)
    weights = st.floats(-1000, 1000)
    items = data.draw(st.lists(st.builds(lambda n, w: (n, w), text, weights), min_size=1, max_size=8))
    order = data.draw(st.permutations(range(len(items))))
    for person in stack_or_none(tmp_path_factory):
        features = [a_feature() for _ in items]
        made = person.lists.new("n", items=[Item(f, n, w) for f, (n, w) in zip(features, items, strict=True)])
        expected = [Item(f, n.strip(), w) for f, (n, w) in zip(features, items, strict=True)]
        assert list(person.lists.get(made).items) == expected
        person.lists.order(made, [features[at] for at in order])
        assert list(person.lists.get(made).items) == [expected[at] for at in order]
        person.lists.delete(made)


@pytest.fixture(scope="module")
def stack_or_none(request):
    """One person of each store, for a property that is tried many times."""
    found = []

    def people(folders):
        if not found:
            found.append(Local(folders.mktemp("property")).anna)
            from tests.core.community.conftest import Shared

            found.append(Shared(request.getfixturevalue("stack")).anna)
        return found

    return people


# -- comments ----------------------------------------------------------------------------------------------------------


def test_a_thread(world):
    anna, feature = world.anna, a_feature()
    first = anna.comments.post(feature, " *first* ")
    second = anna.comments.post(feature, "second")
    answer = anna.comments.post(feature, "answer", parent=first)
    deeper = anna.comments.post(feature, "deeper", parent=answer)
    late = anna.comments.post(feature, "late", parent=first)
    found = anna.comments.on(feature)
    assert [comment.id for comment in found] == [first, answer, deeper, late, second]
    assert [comment.parent for comment in found] == [None, first, answer, first, None]
    assert (found[0].body, found[0].owner_name, found[0].feature, found[0].edited) == (
        "*first*", anna.me.name, feature, "",
    )  # fmt: skip
    anna.comments.edit(first, "edited")
    found = anna.comments.on(feature)[0]
    assert found.body == "edited" and near(found.edited) and near(found.made)
    anna.comments.delete(first)
    found = anna.comments.on(feature)
    assert [comment.id for comment in found] == [first, answer, deeper, late, second], "its place is kept"
    assert (found[0].state, found[0].body) == ("deleted", "")
    anna.comments.post(feature, "to what is gone", parent=first)
    assert [comment.body for comment in anna.comments.on(feature)][3:5] == ["late", "to what is gone"]
    for act in (lambda: anna.comments.edit(first, "x"), lambda: anna.comments.delete(first)):
        with pytest.raises(NotFound, match="no such comment, or it was taken back"):
            act()
    assert {comment.id for comment in anna.comments.by(anna.me.id)} == {second, answer, deeper, late} | {
        comment.id for comment in anna.comments.on(feature) if comment.body == "to what is gone"
    }
    assert anna.comments.on(a_feature()) == ()


def test_comments_on_a_list_go_with_it(world):
    made = world.anna.lists.new("a list", visibility="unlisted")
    world.anna.comments.post(made, "x")
    (found,) = world.anna.comments.on(made)
    assert (found.list_id, found.list_name, found.feature) == (made, "a list", None)
    assert world.anna.lists.get(made).card.comments == 1
    assert world.anna.happenings(person=world.anna.me.id) == (), "an unlisted list stands nowhere"
    world.anna.lists.delete(made)
    assert world.anna.comments.by(world.anna.me.id) == ()


def test_comments_asked_for_twice_and_answers_to_nothing(world):
    feature, id = a_feature(), str(uuid.uuid4())
    for body in ("once", "twice"):
        assert world.anna.comments.post(feature, body, id=id) == id
    assert [comment.body for comment in world.anna.comments.on(feature)] == ["once"]
    for parent, on in ((ABSENT, feature), (id, a_feature())):
        with pytest.raises(NotFound, match="that this answers is not there"):
            world.anna.comments.post(on, "x", parent=parent)
    with pytest.raises(BadInput, match="The comment is empty"):
        world.anna.comments.post(feature, " \n ")


def test_a_moderator_hides_and_shows(world):
    feature, moderator = a_feature(), world.moderator
    said = world.anna.comments.post(feature, "rude *words*")
    world.anna.comments.edit(said, "ruder words")
    for _ in range(2):
        moderator.comments.hide(said, "rude")
        (found,) = world.anna.comments.on(feature)
        assert (found.state, found.body, found.why) == ("hidden", "", "rude")
        moderator.comments.hide(said, "rude, and untrue")
        assert world.anna.comments.on(feature)[0].why == "rude, and untrue"
        with pytest.raises(NotAllowed, match="A moderator hid this comment"):
            world.anna.comments.edit(said, "again")
        moderator.comments.show(said)
        (found,) = world.anna.comments.on(feature)
        assert (found.state, found.body, found.why) == ("shown", "ruder words", "")
    trail = [(row["what"], row["why"], row["before"]) for row in moderator._visit.rows(
        "moderation", {"comment_id": said}, order=("created_at",)
    )]  # fmt: skip
    hidden = [("hide", "rude", "ruder words"), ("hide", "rude, and untrue", ""), ("show", "", "")]
    assert trail == hidden * 2
    assert {row["moderator"] for row in moderator._visit.rows("moderation", {"comment_id": said})} == {moderator.me.id}
    world.anna.comments.delete(said)
    moderator.comments.hide(said, "again")
    moderator.comments.show(said)
    (found,) = world.anna.comments.on(feature)
    assert (found.state, found.body) == ("deleted", ""), "what was taken back stays so"
    with pytest.raises(NotFound):
        moderator.comments.hide(ABSENT, "x")
    with pytest.raises(BadInput, match="The reason is empty"):
        moderator.comments.hide(said, " ")


def test_a_moderator_hides_a_list(world):
    feature, moderator = a_feature(), world.moderator
    made = world.anna.lists.new("rude list", items=[Item(feature)])
    moderator.lists.hide(made, "rude")
    card = world.anna.lists.get(made).card
    assert card.hidden and card.hidden_why == "rude"
    assert made not in {card.id for card in world.anna.lists.newest()} and world.anna.lists.holding(feature) == ()
    assert world.anna.lists.by(world.anna.me.id) == () and world.anna.happenings(person=world.anna.me.id) == ()
    moderator.lists.show(made)
    card = world.anna.lists.get(made).card
    assert not card.hidden and card.hidden_why == "" and card.name == "rude list"
    assert made in {card.id for card in world.anna.lists.newest()}
    trail = moderator._visit.rows("moderation", {"list_id": made}, order=("created_at",))
    assert [(row["what"], row["why"], row["before"]) for row in trail] == [
        ("hide", "rude", "rude list"), ("show", "", "rude list"),
    ]  # fmt: skip
    with pytest.raises(NotFound):
        moderator.lists.hide(ABSENT, "x")


def test_reports(world):
    feature = a_feature()
    said = world.anna.comments.post(feature, "x")
    made = world.anna.lists.new("a list", visibility="unlisted")
    on_it = world.anna.comments.post(made, "y")
    world.anna.comments.report("bad", comment=said)
    world.anna.comments.report("worse", list=made)
    world.anna.comments.report("worst", comment=on_it, list=made)
    for again in ({"comment": said}, {"list": made}, {"comment": on_it, "list": made}):
        with pytest.raises(Conflict, match="You have reported this already"):
            world.anna.comments.report("again", **again)
    moderator = world.moderator
    found = {r.why: r for r in reports(moderator) if {r.comment_id, r.list_id} & {said, made, on_it}}
    assert {why: (r.comment_id, r.list_id, r.closed) for why, r in found.items()} == {
        "bad": (said, None, False), "worse": (None, made, False), "worst": (on_it, None, False),
    }  # fmt: skip
    moderator.moderation.close(found["bad"].id)
    last = next(r for r in reports(moderator) if r.id == found["bad"].id)
    assert last.closed
    with pytest.raises(WorkbenchError):
        world.anna.comments.report("x", comment=ABSENT)
    with pytest.raises(BadInput):
        world.anna.comments.report(" ", comment=said)


# -- suites, saved views, keys, preferences ----------------------------------------------------------------------------


def test_suites(world):
    feature, suites, id = a_feature(), world.anna.suites, str(uuid.uuid4())
    cases = [Case(" fires ", True), Case("silent", False), Case(" fires ", True)]
    for name in ("a suite", "another"):
        assert suites.new(feature, name, cases, threshold=0.5, about="about", id=id) == id
    found = suites.get(id)
    assert (found.name, found.threshold, found.about, found.feature) == ("a suite", 0.5, "about", feature)
    assert found.cases == (Case(" fires ", True), Case("silent", False)) and found.last is None
    assert suites.of(feature) == suites.mine() == suites.by(world.anna.me.id) == (found,)
    first = SuiteRun(
        id, "aaa", 0.5, (CaseResult(found.cases[0], 1.25, True), CaseResult(found.cases[1], 2.0, False)), ""
    )
    second = replace(first, build="bbb", results=(CaseResult(found.cases[0], None, False, "no"),))
    suites.keep(first)
    suites.keep(second)
    assert [replace(run, made="") for run in suites.runs(id)] == [second, first]
    assert all(near(run.made) for run in suites.runs(id))
    last = suites.get(id).last
    assert (last.build, last.passed, last.failed) == ("bbb", 0, 1) and near(last.made)
    suites.change(id, threshold=-1.5, visibility="unlisted", cases=[Case("new", False)])
    found = suites.get(id)
    assert (found.threshold, found.visibility, found.cases) == (-1.5, "unlisted", (Case("new", False),))
    assert suites.by(world.anna.me.id) == () and suites.mine()[0].id == id and suites.of(feature)[0].id == id
    suites.delete(id)
    with pytest.raises(NotFound):
        suites.get(id)
    assert suites.runs(id) == ()


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ([], "needs a text"),
        ([Case("", True)], "Text 1 is empty"),
        ([Case("a", True), Case("a", False)], "should fire and should not"),
        ([Case(f"{n}", True) for n in range(201)], "at most 200 texts"),
        ([Case("x" * 10_001, True)], "at most 10,000"),
        ([Case(f"{n:03}" + "x" * 9_990, True) for n in range(21)], "at most 200,000"),
        ([Case(f"{n:03}" + "\n" * 9_990, True) for n in range(11)], "at most 200,000"),
    ],
)
def test_suites_that_are_refused(world, cases, said):
    with pytest.raises(BadInput, match=said):
        world.anna.suites.new(a_feature(), "n", cases)
    assert world.anna.suites.mine() == ()


def test_the_largest_suite(world):
    """What the check lets through the store keeps."""
    text = "\n" * 9_000 + "é" * 900
    for cases in ([Case(f"{n:03}", True) for n in range(200)], [Case(f"{n}{text}", True) for n in range(10)]):
        made = world.anna.suites.new(a_feature(), "n", cases)
        assert list(world.anna.suites.get(made).cases) == cases
        results = tuple(CaseResult(case, 1.5, True, "w") for case in cases)
        world.anna.suites.keep(SuiteRun(made, "b", 0.0, results, ""))
        assert world.anna.suites.runs(made)[0].results == results


def test_saved_views(world):
    saved, me, id = world.anna.saved, world.anna.me.id, str(uuid.uuid4())
    for name in ("one", "two"):
        assert saved.keep("http://host:1/search?text=a%20b&x=1#part", name, id=id) == id
    other = saved.keep("feature?id=m/1-res/3", "t", visibility="public")
    assert [(view.kind, view.name, view.link, view.visibility) for view in saved.by(me)] == [
        ("test", "t", "/feature?id=m/1-res/3", "public"), ("search", "one", "/search?text=a%20b&x=1", "private"),
    ]  # fmt: skip
    assert [view.id for view in saved.by(me, kind="search")] == [id]
    saved.change(id, name="new", visibility="unlisted")
    assert (saved.by(me)[1].name, saved.by(me)[1].visibility) == ("new", "unlisted")
    saved.drop(other)
    for act in (lambda: saved.drop(other), lambda: saved.change(ABSENT, name="x")):
        with pytest.raises(NotFound, match="no such saved view of yours"):
            act()
    for link in ("https://example.org/", "/lists?x=1", "javascript:alert(1)", "/search", "/search?a b", "/search?<b>"):
        with pytest.raises(BadInput, match="is no address of"):
            saved.keep(link, "n")


def test_keys(world):
    keys = world.anna.keys
    made = [keys.new(f"key {n}") for n in range(3)]
    assert all(key.startswith("fs_") and len(key) > 40 for key in made) and len(set(made)) == 3
    found = keys.mine()
    assert [key.name for key in found] == ["key 2", "key 1", "key 0"] and found[0].start == made[2][:8]
    assert not any(made[n] in repr(found) for n in range(3)), "a key is shown once"
    keys.revoke(found[0].id)
    assert [bool(key.revoked) for key in keys.mine()] == [True, False, False]
    for id in (found[0].id, ABSENT):
        with pytest.raises(NotFound, match="no such key of yours in force"):
            keys.revoke(id)


def test_preferences(world):
    assert world.anna.hides_explicit() is None
    for hide in (True, True, False):
        world.anna.hide_explicit(hide)
        assert world.anna.hides_explicit() is hide


def test_quotas(world):
    keys = world.anna.keys
    assert keys.quota("explain", 10).left == 10
    assert keys.use("explain", 4, 10).left == 6
    keys.use("explain", 6, 10)
    with pytest.raises(BadInput, match=r"takes 0\.5 of your 10 a day for explain, and 0 are left"):
        keys.use("explain", 0.5, 10)
    assert keys.quota("explain", 10).used == 10 and keys.quota("other", 10).used == 0
    assert keys.quota("explain", 3).left == 0, "never below zero"


def test_a_profile(world):
    name = f"N.{uuid.uuid4().hex[:8]}_x"
    world.anna.describe(name=name, about=" me\n")
    again = world.anna if world.kind == "hosted" else world.person()
    assert (again.me.name, again.me.about) == (name, "me")
    assert again.person(name.upper()) == again.me
    world.anna.describe(about="")
    again = world.anna if world.kind == "hosted" else world.person()
    assert again.person(name).about == ""
    for nobody in ("nobody-here", "", "a\0b", "%", "é", "x" * 500, "\ud800"):
        with pytest.raises(NotFound, match="nobody called"):
            world.anna.person(nobody)
    for bad in ("x", "a b", "-a", "a" * 33, "é", "a\n", "a/b"):
        with pytest.raises(BadInput, match="cannot be a name"):
            world.anna.describe(name=bad)


def test_happenings(world):
    anna, feature = world.anna, a_feature()
    anna.stars.add(feature)
    said = anna.comments.post(feature, "x" * 300)
    made = anna.lists.new("public")
    anna.lists.new("private", visibility="private")
    suite = anna.suites.new(feature, "suite", [Case("a", True)])
    anna.suites.new(feature, "hidden", [Case("a", True)], visibility="unlisted")
    found = anna.happenings(person=anna.me.id)
    assert [(happening.what, happening.words) for happening in found] == [
        ("suite", "suite"), ("list", "public"), ("comment", "x" * 200), ("star", ""),
    ]  # fmt: skip
    assert [happening.id for happening in found[:3]] == [suite, made, said]
    assert {happening.who for happening in found} == {anna.me.name} and found[2].feature == feature
    assert found == anna.happenings(limit=4), "of everybody, the newest first"
    assert anna.happenings(person=anna.me.id, limit=1, offset=1) == found[1:2]
    anna.comments.delete(said)
    assert "comment" not in {happening.what for happening in anna.happenings(person=anna.me.id)}


# -- text and its bounds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", AWKWARD)
def test_awkward_text(world, text):
    anna, feature = world.anna, a_feature()
    made = anna.lists.new(text, text, test_text=text, items=[Item(feature, text)])
    found = anna.lists.get(made)
    line = " ".join(text.split())
    assert (found.card.name, found.card.about, found.card.test_text) == (line, text.strip(), text)
    assert found.items == (Item(feature, text.strip()),)
    anna.comments.post(feature, text)
    assert anna.comments.on(feature)[0].body == text.strip()
    suite = anna.suites.new(feature, text, [Case(text, True)])
    assert anna.suites.get(suite).cases == (Case(text, True),)
    anna.describe(about=text)
    assert anna.person(anna.me.name).about == text.strip()
    anna.keys.new(text)
    assert anna.keys.mine()[0].name == line
    anna.comments.report(text, list=made)
    assert text.strip() in {report.why for report in reports(world.moderator)}


@pytest.mark.parametrize(("text", "said"), [("a\0b", "a null character"), ("a\ud800", "half a character")])
def test_text_that_no_store_keeps(world, text, said):
    anna, feature = world.anna, a_feature()
    made = anna.lists.new("n", items=[Item(feature)])
    for act in (
        lambda: anna.lists.new(text),
        lambda: anna.lists.new("n", text),
        lambda: anna.lists.new("n", test_text=text),
        lambda: anna.lists.new("n", items=[Item(feature, text)]),
        lambda: anna.lists.edit(made, feature, note=text),
        lambda: anna.comments.post(feature, text),
        lambda: anna.comments.report(text, list=made),
        lambda: anna.suites.new(feature, text, [Case("a", True)]),
        lambda: anna.suites.new(feature, "n", [Case(text, True)]),
        lambda: anna.saved.keep("/search?text=a", text),
        lambda: anna.saved.keep(f"/search?text={text}", "n"),
        lambda: anna.keys.new(text),
        lambda: anna.describe(about=text),
    ):
        with pytest.raises(BadInput, match=said):
            act()
    assert anna.lists.mine()[0].items == 1 and len(anna.lists.mine()) == 1


def test_the_longest_and_one_more(world):
    """Every bound of a text: so long is kept, one more is refused in words that name the bound."""
    anna, feature = world.anna, a_feature()
    made = anna.lists.new("n", items=[Item(feature)])
    said = anna.comments.post(feature, "x")
    suite = anna.suites.new(feature, "n", [Case("a", True)])
    view = anna.saved.keep("/search?text=a", "n")
    ways = [
        (limits.ABOUT, lambda text: anna.describe(about=text)),
        (limits.TITLE, lambda text: anna.lists.change(made, name=text)),
        (limits.DESCRIPTION, lambda text: anna.lists.change(made, about=text)),
        (limits.TEST_TEXT, lambda text: anna.lists.change(made, test_text=text)),
        (limits.NOTE, lambda text: anna.lists.edit(made, feature, note=text)),
        (limits.COMMENT, lambda text: anna.comments.edit(said, text)),
        (limits.REASON, lambda text: anna.comments.report(text, comment=said)),
        (limits.REASON, lambda text: world.moderator.lists.hide(made, text)),
        (limits.TITLE, lambda text: anna.suites.change(suite, name=text)),
        (limits.DESCRIPTION, lambda text: anna.suites.change(suite, about=text)),
        (limits.TEST_TEXT, lambda text: anna.suites.change(suite, cases=[Case(text, True)])),
        (limits.SAVED_NAME, lambda text: anna.saved.change(view, name=text)),
        (limits.LINK, lambda text: anna.saved.keep(f"/search?text={text[13:]}", "n")),
        (limits.KEY_NAME, lambda text: anna.keys.new(text)),
    ]
    for most, way in ways:
        with pytest.raises(BadInput, match=f"at most {most:,}"):
            way("é" * (most + 1))
        way("é" * most)
    for weight in (1000.0, -1000.0):
        anna.lists.edit(made, feature, weight=weight)
    for weight in (1000.1, -1001, float("nan"), float("inf")):
        with pytest.raises(BadInput, match="The weight is"):
            anna.lists.edit(made, feature, weight=weight)
    for threshold in (float("nan"), float("inf")):
        with pytest.raises(BadInput, match="The threshold is"):
            anna.suites.change(suite, threshold=threshold)


def test_a_list_of_the_largest_size(world):
    features = [a_feature() for _ in range(limits.ITEMS + 1)]
    with pytest.raises(BadInput, match="at most 1,000 features: these are 1,001"):
        world.anna.lists.new("n", items=[Item(feature) for feature in features])
    made = world.anna.lists.new("n", items=[Item(feature) for feature in features[:-1]])
    world.anna.lists.order(made, features[::-1])
    assert [item.feature for item in world.anna.lists.get(made).items] == features[-2::-1]
    with pytest.raises(BadInput, match="has 1,000 features and may have 1,000: 1 more do not fit"):
        world.anna.lists.add(made, [Item(features[-1])])
    assert world.anna.lists.add(made, [Item(features[0])]) == ()


@pytest.mark.parametrize(
    ("table", "most", "said"),
    [
        ("lists", limits.LISTS, "500 lists"),
        ("suites", limits.SUITES, "500 test suites"),
        ("saved", limits.SAVED, "2000 saved views"),
        ("api_keys", limits.KEYS, "20 API keys"),
    ],
)
def test_how_many_a_person_has(world, table, most, said):
    """All but the last at once; the last, one more, and the last asked for again."""
    visit, me = world.anna._visit, world.anna.me.id
    feature = {"model_id": "m", "source_id": "1-res", "feature": 1}
    more = {
        "lists": {"name": "n"},
        "suites": {"name": "n", "cases": [{"text": "a", "fires": True}]} | feature,
        "saved": {"name": "n", "kind": "search", "link": "/search?a"},
        "api_keys": {"name": "n", "start": "fs_aaaaa"},
    }[table]

    def row():
        own = {"hash": uuid.uuid4().hex * 2} if table == "api_keys" else {}
        return {"id": str(uuid.uuid4()), "owner": me} | more | own

    if world.kind == "local":
        world.anna.stars.add(a_feature())
    with pytest.raises(BadInput, match=f"A person has at most {said}"):
        visit.add(table, [row() for _ in range(most + 1)])
    assert visit.count(table, {"owner": me}) == 0, "all or none"
    visit.add(table, [row() for _ in range(most - 1)])
    last = row()
    visit.add(table, [last], twice="keep")
    with pytest.raises(BadInput, match=f"A person has at most {said}"):
        visit.add(table, [row()], twice="keep")
    if table != "api_keys":
        visit.add(table, [last], twice="keep")
    assert visit.count(table, {"owner": me}) == most == len(visit.rows(table, {"owner": me}))
    assert len(visit.rows(table, {"owner": me}, limit=7, offset=most - 3)) == 3


# -- what only one of them has -----------------------------------------------------------------------------------------


def test_others_rows_in_a_file_are_read_and_not_changed(tmp_path):
    """As an import leaves them."""
    world = Local(tmp_path)
    world.anna.stars.add(a_feature())
    visit, feature = world.anna._visit, a_feature()
    other = str(uuid.uuid4())
    visit.add("profiles", [{"id": other, "name": "other"}])
    made = {table: str(uuid.uuid4()) for table in ("lists", "saved", "comments")}
    on = {"model_id": feature.model_id, "source_id": feature.source_id, "feature": feature.index}
    visit.add("lists", [{"id": made["lists"], "owner": other, "name": "theirs"}])
    visit.add("list_items", [{"list_id": made["lists"]} | on])
    visit.add("saved", [{"id": made["saved"], "owner": other, "name": "n", "kind": "search", "link": "/search?a"}])
    visit.add("comments", [{"id": made["comments"], "owner": other, "body": "theirs"} | on])
    assert world.anna.lists.get(made["lists"]).card.owner_name == "other"
    for act in (
        lambda: world.anna.lists.change(made["lists"], name="mine"),
        lambda: world.anna.lists.take(made["lists"], [feature]),
        lambda: world.anna.lists.delete(made["lists"]),
        lambda: world.anna.comments.edit(made["comments"], "mine"),
    ):
        with pytest.raises(NotAllowed, match="other's"):
            act()
    for act in (lambda: world.anna.saved.drop(made["saved"]), lambda: world.anna.saved.change(made["saved"], name="x")):
        with pytest.raises(NotFound):
            act()
    for table, where in (
        ("lists", {"id": made["lists"]}), ("comments", {"id": made["comments"]}), ("profiles", {"id": other}),
        ("list_items", {"list_id": made["lists"]}),
    ):  # fmt: skip
        values = {"lists": {"name": "x"}, "comments": {"body": "x"}, "profiles": {"about": "x"}}
        assert visit.change(table, where, values.get(table, {"note": "x"})) == 0
        assert visit.remove(table, where) == 0
    world.anna.comments.hide(made["comments"], "moderated")
    assert world.anna.comments.on(feature)[0].state == "hidden"


def test_somebody_imported_has_the_name_of_the_local_person(tmp_path):
    world = Local(tmp_path)
    world.file.writing().__enter__()  # the tables
    with world.file.writing() as db:
        from core.community import schema

        db.execute(schema.PROFILES.insert().values(id=str(uuid.uuid4()), name="YOU"))
    world.anna.stars.add(a_feature())
    assert world.person().me.name == "you-2"


def test_a_name_is_taken_whatever_its_capitals(hosted):
    bert = hosted.bert
    with pytest.raises(Conflict, match="is taken: choose another"):
        bert.describe(name=hosted.anna.me.name.upper())


def test_two_people(hosted):
    """What one does the other sees, and may not change."""
    anna, bert, nobody, feature = hosted.anna, hosted.bert, hosted.nobody, a_feature()
    for person in (anna, bert):
        person.stars.add(feature)
    assert (nobody.stars.of(feature).count, nobody.stars.of(feature).mine) == (2, False)
    assert nobody.stars.of(feature).names == (bert.me.name, anna.me.name)
    made = anna.lists.new("private", visibility="private", items=[Item(feature)])
    for other in (bert, nobody):
        with pytest.raises(NotFound, match="somebody's private one"):
            other.lists.get(made)
        assert other.lists.holding(feature) == ()
    for act in (lambda: bert.stars.add(made), lambda: bert.comments.post(made, "x")):
        with pytest.raises(NotFound, match="somebody's private one"):
            act()
    anna.lists.change(made, visibility="unlisted")
    assert nobody.lists.get(made).items == (Item(feature),) and bert.lists.holding(feature) == ()
    bert.stars.add(made)
    bert.comments.post(made, "x")
    assert anna.lists.get(made).card.stars == 1 == anna.lists.get(made).card.comments
    for act in (
        lambda: bert.lists.change(made, name="x"),
        lambda: bert.lists.add(made, [Item(a_feature())]),
        lambda: bert.lists.order(made, [feature]),
        lambda: bert.lists.delete(made),
        lambda: bert.lists.hide(made, "x"),
        lambda: bert.moderation.reports(),
    ):
        with pytest.raises(NotAllowed):
            act()
    assert anna.lists.get(made).items == (Item(feature),)


def test_nobody_is_asked_to_sign_in(hosted):
    from core.errors import NotSignedIn

    nobody, feature = hosted.nobody, a_feature()
    assert nobody.me is None and nobody.hides_explicit() is None
    for act in (
        lambda: nobody.stars.add(feature),
        lambda: nobody.lists.new("n"),
        lambda: nobody.lists.mine(),
        lambda: nobody.comments.post(feature, "x"),
        lambda: nobody.suites.new(feature, "n", [Case("a", True)]),
        lambda: nobody.saved.keep("/search?a", "n"),
        lambda: nobody.keys.new("n"),
        lambda: nobody.describe(about="x"),
        lambda: nobody.hide_explicit(True),
    ):
        with pytest.raises(NotSignedIn, match=r"^Sign in to .+\.$"):
            act()


def test_somebody_whose_account_is_gone(hosted):
    from core.community.people import People
    from core.errors import NotSignedIn
    from tests.core.community.conftest import tokens

    found = tokens(hosted.stack)
    person = People(hosted.community, hosted.community.visit(found))
    person.stars.add(a_feature())
    hosted.stack.sql("delete from auth.users where id = %s", person.me.id)
    hosted.community._known.forget()
    with pytest.raises(NotSignedIn, match="sign in again"):
        People(hosted.community, hosted.community.visit(found)).lists.mine()


def test_a_project_without_the_migrations(hosted):
    from core.errors import NotAvailable

    hosted.stack.sql("alter table public.saved rename to was_saved; notify pgrst, 'reload schema'")
    try:
        with pytest.raises(NotAvailable, match="supabase/migrations: apply them"):
            hosted.anna.saved.by(hosted.anna.me.id)
    finally:
        hosted.stack.sql("alter table public.was_saved rename to saved; notify pgrst, 'reload schema'")
    other = type(hosted.community)(hosted.stack.url, "not a key", ())
    with pytest.raises(NotAvailable, match="does not take SUPABASE_KEY"):
        other.visit().rows("lists")
