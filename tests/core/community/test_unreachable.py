"""Supabase slow, away or out of its mind: it is said in time, nothing is lost, and nothing is done twice.

The seconds asserted here are the promise itself (`PATIENCE`), and not how fast something is; twice as many are allowed,
since machines that run tests are busy.
"""

from __future__ import annotations

import re
import time
import uuid

import pytest

from core.community import hosted as store
from core.community.people import People
from core.community.protocol import PATIENCE
from core.community.records import Case, Item
from core.errors import Busy, NotFound, Unreachable, WorkbenchError
from tests.core.community.conftest import a_feature, tokens
from tests.core.community.stalling import MODES, Stalling, refusing

LATE = PATIENCE * 2
SLOW = {"stall", "drip", "drip-head"}


@pytest.fixture
def before(stack):
    """A server that misbehaves, before the one that does not."""
    with Stalling(stack.url) as made:
        yield made


@pytest.fixture
def anna(stack, before, monkeypatch):
    """Somebody who is known already, by way of it."""
    monkeypatch.setattr(store, "REST", 0.0)
    community = store.Hosted(before.url, stack.keys.publishable, ("password",))
    person = People(community, community.visit(tokens(stack)))
    assert person.me is not None
    yield person
    community.line.close()


def ask(person, feature):
    """What a page asks of people's things."""
    return [
        lambda: person.stars.of(feature),
        lambda: person.lists.newest(),
        lambda: person.comments.on(feature),
        lambda: person.happenings(),
        lambda: person._visit.count("stars"),
    ]


def in_time(act, said):
    """Raises `Unreachable` within the promise; three tries, since a machine that runs tests may stand still."""
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(Unreachable, match=re.escape(store.AWAY) + ".+" + re.escape(said)):
            act()
        seconds.append(time.monotonic() - began)
        if seconds[-1] < LATE:
            return
    raise AssertionError(seconds)


def again(act):
    """What it gives, as somebody would get it who tries a few times, for the same reason."""
    for _ in range(3):
        try:
            return act()
        except Unreachable:
            continue
    return act()


@pytest.mark.parametrize("mode", MODES)
def test_reading_says_so_in_time(anna, before, mode):
    before.mode = mode
    for act in ask(anna, a_feature())[:: 2 if mode in SLOW else 1]:
        in_time(act, "Features can be read all the same")
    before.mode = "pass"
    assert again(lambda: anna.stars.of(a_feature())).count == 0


@pytest.mark.parametrize("mode", MODES)
def test_writing_says_that_the_text_is_kept(anna, before, mode):
    feature, id = a_feature(), str(uuid.uuid4())
    before.mode = mode
    said = "What you wrote is still here: try again in a moment. It is kept once"
    in_time(lambda: anna.comments.post(feature, "said once", id=id), said)
    before.mode = "pass"
    for _ in range(2):
        again(lambda: anna.comments.post(feature, "said once", id=id))
    assert [comment.body for comment in again(lambda: anna.comments.on(feature))] == ["said once"]


def test_what_was_done_and_not_answered_is_done_once(anna, before):
    """Each is asked for, done, its answer lost, and asked for again."""
    feature, other = a_feature(), a_feature()
    ids = [str(uuid.uuid4()) for _ in range(4)]
    acts = [
        lambda: anna.stars.add(feature),
        lambda: anna.comments.post(feature, "once", id=ids[0]),
        lambda: anna.lists.new("once", items=[Item(feature), Item(other)], id=ids[1]),
        lambda: anna.suites.new(feature, "once", [Case("a", True)], id=ids[2]),
        lambda: anna.saved.keep("/search?text=a", "once", id=ids[3]),
        lambda: anna.hide_explicit(True),
        lambda: anna.describe(about="once"),
    ]
    for act in acts:
        _lose_the_write(anna, before, act)
        again(act)
    assert anna.stars.of(feature).count == 1
    assert [comment.id for comment in anna.comments.on(feature)] == [ids[0]]
    assert [(card.id, card.items) for card in anna.lists.mine()] == [(ids[1], 2)]
    assert [suite.id for suite in anna.suites.mine()] == [ids[2]]
    assert [view.id for view in anna.saved.by(anna.me.id)] == [ids[3]]
    assert anna.hides_explicit() is True


def _lose_the_write(person, before, act):
    before.mode = "pass"
    line = person._visit._line
    asked = line.asked

    def losing(ask, *, writes=False):
        before.mode = "lose" if writes else "pass"
        try:
            return asked(ask, writes=writes)
        finally:
            before.mode = "pass"

    line.asked = losing
    try:
        with pytest.raises(Unreachable):
            act()
    finally:
        line.asked = asked


def test_nobody_listens(stack):
    community = store.Hosted(refusing(), stack.keys.publishable, ())
    for act in ask(People(community, community.visit(tokens(stack))), a_feature()):
        in_time(act, "Features can be read all the same")


def test_a_page_waits_once(stack, before, monkeypatch):
    """The parts that come after the first do not wait, and a moment later it is asked again."""
    community = store.Hosted(before.url, stack.keys.publishable, ())
    person = People(community, community.visit(tokens(stack)))
    before.mode = "stall"
    first = before.asked
    monkeypatch.setattr(store, "REST", 1000.0)
    for act in ask(person, a_feature()) * 5:
        with pytest.raises(Unreachable):
            act()
    assert before.asked == first + 1
    before.mode = "pass"
    community.line._away_until = 0.0
    assert person.lists.mine() == ()


def test_the_pool_outlives_what_was_not_answered(anna, before):
    """A hundred requests that nobody answered leave connections for the next."""
    before.mode = "reset"
    for _ in range(150):
        with pytest.raises(Unreachable):
            anna.lists.newest()
    before.mode = "pass"
    assert anna.lists.mine() == ()


def test_an_answer_of_the_database_is_no_outage(anna):
    with pytest.raises(NotFound):
        anna.lists.get(str(uuid.uuid4()))
    assert issubclass(Unreachable, Busy) and issubclass(Busy, WorkbenchError)
    anna.lists.mine()
