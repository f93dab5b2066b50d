"""Moderation and the index of suites, over both stores: reports with what they are about, the trail, who may see it."""

from __future__ import annotations

import pytest

from core.community.records import Case, CaseResult, SuiteRun
from core.errors import NotAllowed, NotFound, NotSignedIn
from tests.core.community.conftest import a_feature


def test_a_report_says_what_it_is_about_and_the_trail_what_was_done(world):
    feature, moderator = a_feature(), world.moderator
    comment = world.anna.comments.post(feature, "rude words")
    card = world.anna.lists.new("rude list")
    reporter = world.anna if world.kind == "local" else world.bert
    reporter.comments.report("the comment", comment=comment)
    reporter.comments.report("the list", list=card)
    found = [
        one for one in moderator.moderation.reports() if one.report.comment_id == comment or one.report.list_id == card
    ]
    on_list, on_comment = found  # the newest first
    assert on_comment.comment.body == "rude words" and on_comment.card is None
    assert on_list.card.name == "rude list" and on_list.comment is None
    assert {one.by for one in found} == {reporter.me.name}
    moderator.comments.hide(comment, "not here")
    moderator.lists.hide(card, "nor here")
    moderator.lists.show(card)
    trail = [step for step in moderator.moderation.trail() if step.comment_id == comment or step.list_id == card]
    assert [(step.what, step.why, step.before) for step in trail] == [
        ("show", "", "rude list"), ("hide", "nor here", "rude list"), ("hide", "not here", "rude words"),
    ]  # fmt: skip
    assert {step.by for step in trail} == {moderator.me.name}
    for one in found:
        moderator.moderation.close(one.report.id)
    still = {one.report.id for one in moderator.moderation.reports()}
    closed = {one.report.id for one in moderator.moderation.reports(closed=True)}
    assert not still & {one.report.id for one in found} and {one.report.id for one in found} <= closed


def test_others_see_neither(hosted):
    for job in (lambda who: who.moderation.reports(), lambda who: who.moderation.trail()):
        with pytest.raises(NotAllowed):
            job(hosted.anna)
        with pytest.raises(NotSignedIn):
            job(hosted.nobody)
    # nor where somebody asks for the rows themselves
    assert hosted.anna._visit.rows("moderation") == []


def test_the_index_has_public_suites_with_how_they_came_out(world):
    suites, case = world.anna.suites, Case("a", True)
    first, second, hidden = (
        suites.new(a_feature(), name, [case], visibility=seen)
        for name, seen in (("first", "public"), ("second", "public"), ("third", "unlisted"))
    )
    for build, passed in (("one", True), ("two", False)):
        suites.keep(SuiteRun(first, build, 0.0, (CaseResult(case, 1.0, passed),), ""))
    found = [one for one in suites.newest(limit=1000) if one.id in (first, second, hidden)]
    assert [one.id for one in found] == [second, first]
    last = found[1].last
    assert (last.build, last.passed, last.failed) == ("two", 0, 1) and found[0].last is None
    assert suites.newest(limit=1)[0].id == second and suites.newest(limit=1, offset=1)[0].id == first


def test_others_run_a_public_suite_and_keep_nothing(hosted):
    case = Case("a", True)
    id = hosted.anna.suites.new(a_feature(), "s", [case])
    mine = hosted.anna.suites.new(a_feature(), "s", [case], visibility="private")
    run = SuiteRun(id, "one", 0.0, (CaseResult(case, 1.0, True),), "")
    assert hosted.bert.suites.get(id).cases == hosted.nobody.suites.get(id).cases == (case,)
    with pytest.raises(NotAllowed):
        hosted.bert.suites.keep(run)
    with pytest.raises(NotSignedIn):
        hosted.nobody.suites.keep(run)
    with pytest.raises(NotAllowed):  # going round the job changes nothing
        row = {"suite_id": id, "build": "x", "threshold": 0.0, "results": [], "passed": 1, "failed": 0}
        hosted.bert._visit.add("suite_runs", [row])
    assert hosted.anna.suites.runs(id) == ()
    for who in (hosted.bert, hosted.nobody):
        with pytest.raises(NotFound):
            who.suites.get(mine)
        assert who.suites.runs(mine) == ()
