"""People's explanations among all others: given with everybody's votes, in brief by source, and nowhere where away."""

from __future__ import annotations

import pytest

from core.community.alike import digest
from core.errors import NotFound
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core.community.stalling import refusing

FEATURE = FeatureKey.parse(f"{tiny.SAE}/3")


@pytest.fixture
def bench(tiny_root, tmp_path):
    return Workbench(Settings(data=tmp_path, demo=tiny_root))


def by_people(bench, people=None):
    return [one for one in bench.words.of(FEATURE, people=people) if one.origin == "person"]


def test_a_persons_explanation_is_one_of_all(bench):
    people = bench.community.people()
    before = len(bench.words.of(FEATURE))
    id = people.explanations.write(FEATURE, "a meaning")
    (found,) = by_people(bench)
    assert len(bench.words.of(FEATURE)) == before + 1
    assert (found.id, found.text, found.method, found.author_name) == (id, "a meaning", "person", "you")
    assert found.author == people.me.id and found.made and (found.up, found.down, found.mine) == (0, 0, 0)
    with pytest.raises(NotFound):
        bench.words.of("tiny/9-none/1")


def test_votes_stand_with_every_explanation_whoever_made_it(bench):
    people = bench.community.people()
    people.explanations.write(FEATURE, "a meaning")
    for one in bench.words.of(FEATURE):
        people.explanations.vote(FEATURE, [(one.id, digest(one.text))], -1)
    for one in bench.words.of(FEATURE, people=people):
        assert (one.up, one.down, one.mine) == (0, 1, -1)
    (found,) = by_people(bench)
    people.explanations.edit(found.id, "another meaning")
    assert [(one.down, one.mine) for one in by_people(bench, people)] == [(0, 0)], "for other words"


def test_a_source_in_brief_and_when_it_changed(bench):
    people, source = bench.community.people(), FEATURE.source
    marks = [bench.words.mark(source)]
    id = people.explanations.write(FEATURE, "a meaning")
    marks.append(bench.words.mark(source))
    found = [one for one in bench.words.briefs(source) if one.origin == "person"]
    assert [(one.id, one.index, one.text, one.method) for one in found] == [(id, 3, "a meaning", "person")]
    people.explanations.hide(id, "rude")
    marks.append(bench.words.mark(source))
    assert len(set(marks)) == 3
    assert by_people(bench) == [] == [one for one in bench.words.briefs(source) if one.origin == "person"]


def test_twins(bench):
    people = bench.community.people()
    id = people.explanations.write(FEATURE, "names of rivers")
    assert [one.id for one in bench.words.twins(FEATURE, "The name of a river")] == [id]
    assert list(bench.words.twins(FEATURE, "The name of a river", beside=id)) == []
    assert list(bench.words.twins(FEATURE, "names of hills")) == []


def test_where_people_are_away_the_others_are_there(tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("SUPABASE_URL", refusing())
    monkeypatch.setenv("SUPABASE_KEY", "sb_publishable_x")
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    assert by_people(bench) == [] and not [one for one in bench.words.briefs(FEATURE.source) if one.origin == "person"]
    assert "away" in bench.words.mark(FEATURE.source)


def test_where_people_are_switched_off(tiny_root, tmp_path):
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root, people="none"))
    assert by_people(bench) == [] and bench.words.play.sources()
    assert bench.words.play.settle(bench.community.people()) == 0
