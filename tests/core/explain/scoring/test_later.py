"""What people write is scored later: every text once, whatever is killed; stale, hidden and foreign words are not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta

import pytest

from core.community.people import People
from core.explain.meaning.seeker import Seeker
from core.explain.scoring import later as scoring_later
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core.community.conftest import tokens
from tests.core.explain.meaning.worlds import Counting
from tests.live import environment
from tests.openai_server import KEY, OpenAIServer

FEATURE, OTHER = FeatureKey.parse(f"{tiny.SAE}/59"), FeatureKey.parse(f"{tiny.SAE}/21")
JUDGED = {"detection", "fuzzing", "simulation"}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(scoring_later, "GAP", 0.0)


@pytest.fixture
def make(tiny_root, tmp_path):
    """Makes the workbench of a server over one data root, with an embedder that counts; twice is a restart."""

    def made(**settings):
        bench = Workbench(Settings(data=tmp_path / "data", demo=tiny_root, **settings))
        embedder = Counting()
        bench.words.__dict__["_seeker"] = Seeker(bench, lambda: bench.words.providers, made=embedder)
        bench.embedder = embedder
        return bench

    return made


@pytest.fixture
def bench(make):
    return make()


def write(bench, text, feature=FEATURE):
    return bench.community.people().explanations.write(feature, text)


def scores(bench, id, feature=FEATURE):
    """Of the explanation as its page shows it."""
    (one,) = [one for one in bench.words.of(feature) if one.id == id]
    return one.scores


def yes(body):
    """A judge that finds everything likely."""
    said = body["messages"][-1]["content"]
    if "Excerpt 1\n" in said:
        return json.dumps({n: {"1": 5} for n in re.findall(r"^Excerpt (\d+)$", said, re.M)})
    return json.dumps({n: 0.9 for n in re.findall(r"^(\d+): ", said, re.M)})


# -- what is scored ----------------------------------------------------------------------------------------------------


def test_written_words_get_a_score_and_its_control_once(bench):
    id = write(bench, "words of one feature")
    write(bench, "words of another one", OTHER)
    assert scores(bench, id) == () and not bench.embedder.asked, "not while it is written"
    assert bench.words.later.sweep() == 2
    (score,) = scores(bench, id)
    assert (score.scorer, score.judge) == ("embedding", "counting")
    assert score.control is not None and score.control_of == OTHER, "the only other words of a person"
    asked = len(bench.embedder.asked)
    assert bench.words.later.sweep() == 0 and len(bench.embedder.asked) == asked


def test_an_edit_leaves_the_score_behind_and_is_scored_in_its_turn(bench):
    people = bench.community.people()
    id = write(bench, "first words")
    bench.words.later.sweep()
    (first,) = scores(bench, id)
    people.explanations.edit(id, "second words")
    assert scores(bench, id) == (), "a stale score is not shown"
    assert bench.words.later.sweep() == 1
    (second,) = scores(bench, id)
    assert second.id != first.id
    people.explanations.edit(id, "first words")
    assert scores(bench, id) == (first,) and bench.words.later.sweep() == 0, "these words have theirs"


def test_what_is_hidden_or_taken_back_is_not_scored(bench):
    people = bench.community.people()
    hidden, gone = write(bench, "rude words"), write(bench, "wrong words")
    people.explanations.hide(hidden, "rude")
    people.explanations.delete(gone)
    assert bench.words.later.sweep() == 0 and not bench.embedder.asked
    people.explanations.show(hidden)
    assert bench.words.later.sweep() == 1


def test_words_that_change_while_they_wait_are_not_scored_as_they_were(bench, monkeypatch):
    people, later = bench.community.people(), bench.words.later
    id = write(bench, "old words")
    find = later._find

    def edited_meanwhile():
        found = list(find())
        people.explanations.edit(id, "new words")
        return found

    monkeypatch.setattr(later, "_find", edited_meanwhile)
    assert later.sweep() == 0 and not any("old words" in one for one in bench.embedder.asked)
    monkeypatch.setattr(later, "_find", find)
    assert later.sweep() == 1 and any("new words" in one for one in bench.embedder.asked)


def test_what_cannot_be_scored_says_why_and_is_not_tried_again(make):
    bench = make()
    dead = next(n for n in range(64) if bench.feature(f"{tiny.SAE}/{n}").dead)
    key = FeatureKey.parse(f"{tiny.SAE}/{dead}")
    id = write(bench, "it never fires", key)
    assert bench.words.later.sweep() == 0 and scores(bench, id, key) == ()
    again = make()
    (one,) = [one for one in again.words.of(key) if one.id == id]
    assert "cannot be scored: there is no example" in again.words.later.why(one)
    assert list(again.words.later._find()) == []
    bench.community.people().explanations.edit(id, "it never ever fires")
    (one,) = [one for one in again.words.of(key) if one.id == id]
    assert again.words.later.why(one) == "", "these words were not tried"


def test_many_wait_in_a_bounded_queue_and_none_is_lost(bench, monkeypatch):
    monkeypatch.setattr(scoring_later, "QUEUE", 2)
    monkeypatch.setattr(scoring_later, "PAGE", 2)
    ids = [write(bench, f"words {n}") for n in range(7)]
    lengths, find = [], bench.words.later._find

    def counted():
        found = list(find())
        lengths.append(len(found))
        return found

    monkeypatch.setattr(bench.words.later, "_find", counted)
    assert bench.words.later.sweep() == 7 and max(lengths) == 2
    assert all(scores(bench, id) for id in ids)


def test_words_on_a_source_that_is_not_here_wait_until_it_is(bench):
    write(bench, "elsewhere", FeatureKey.parse("tiny/7-elsewhere/3"))
    write(bench, "beyond it", FeatureKey.parse(f"{tiny.SAE}/999999"))
    assert bench.words.later.sweep() == 0


# -- the server's own model --------------------------------------------------------------------------------------------


def test_the_model_of_ones_own_machine_is_asked_and_a_hosted_one_only_where_that_is_said(make):
    with OpenAIServer(yes) as server:
        bench = make(llm="judge", llm_url=server.url, llm_key=KEY)
        id = write(bench, "words")
        assert bench.words.later.sweep() == 4
        assert {one.scorer for one in scores(bench, id)} == JUDGED | {"embedding"}
        assert bench.community.people().keys.used_today() == (), "it costs nothing"
    hosted = {"llm": "gpt-4.1-mini", "llm_url": "https://api.example.com/v1", "llm_key": "sk-x"}
    assert {way.scorer for way in make(**hosted).words.later._ways()} == {"embedding"}
    assert {way.scorer for way in make(**hosted, llm_for_all=True).words.later._ways()} == JUDGED | {"embedding"}
    assert {way.scorer for way in make(**hosted, host="0.0.0.0").words.later._ways()} == {"embedding"}


def test_a_persons_day_is_half_for_this_and_half_for_themselves(make):
    with OpenAIServer(yes) as server:
        options = {"llm": "judge", "llm_url": server.url, "llm_key": KEY, "llm_for_all": True, "host": "0.0.0.0"}
        bench = make(**options, llm_a_day=4)
        ids = [write(bench, "some words"), write(bench, "other words")]
        assert bench.words.later.sweep() == 2 + 2
        made = [one.scorer for id in ids for one in scores(bench, id)]
        assert sorted(made) == ["detection", "embedding", "embedding", "fuzzing"]
        people = bench.community.people()
        assert bench.words.machines.left(people) == 2
        assert make(**options, llm_a_day=4).words.machines.left(people) == 2, "another process knows it, too"
        asked = len(server.asked)
        assert bench.words.later.sweep() == 0 and len(server.asked) == asked, "until tomorrow"


def test_a_model_that_fails_is_left_alone_and_the_others_go_on(make, monkeypatch):
    with OpenAIServer(yes) as server:
        server.always = "quota"
        bench = make(llm="judge", llm_url=server.url, llm_key=KEY)
        id = write(bench, "words")
        later = bench.words.later
        assert later.sweep() == 1
        asked = len(server.asked)
        assert asked == 3 and later.sweep() == 0 and len(server.asked) == asked, "once each"
        server.always = ""
        later._rests = {scorer: until - timedelta(seconds=scoring_later.REST) for scorer, until in later._rests.items()}
        assert later.sweep() == 3 and {one.scorer for one in scores(bench, id)} == JUDGED | {"embedding"}


# -- once --------------------------------------------------------------------------------------------------------------


def test_two_processes_over_one_data_root_do_not_score_together(make):
    one, other = make(), make()
    write(one, "words")
    with one.words.later._alone() as mine:
        assert mine and other.words.later.sweep() == 0
    assert other.words.later.sweep() == 1 and one.words.later.sweep() == 0


def test_a_page_and_the_background_do_not_score_the_same_words_at_once(bench):
    write(bench, "words")
    (one,) = [one for one in bench.words.of(FEATURE) if one.origin == "person"]
    bench.embedder.gate.clear()
    made = []

    def by_hand():
        made.extend(step for step in bench.words.score([one], "embedding", control=False))

    pages = [threading.Thread(target=by_hand) for _ in range(3)]
    for page in pages:
        page.start()
    bench.embedder.gate.set()
    for page in pages:
        page.join(60)
    assert bench.embedder.asked.count("words") == 1
    assert sum(len(step.made) for step in made) == 3, "whoever waited has it as well"
    assert bench.words.later.sweep() == 0


KILLED = """
import sys
from core.settings import Settings
from core.workbench import Workbench
bench = Workbench(Settings())
bench.words.later.start()
print("started", flush=True)
sys.stdin.read()
"""


def test_a_server_that_is_killed_at_work_goes_on_when_it_is_started_again(make, tiny_root, tmp_path):
    """Nothing is lost, and no question is asked that was answered."""
    with OpenAIServer(yes) as server:
        options = {"llm": "judge", "llm_url": server.url, "llm_key": KEY, "embedder": "none-here"}
        bench = make(**options)
        ids = [write(bench, f"words {n}") for n in range(3)]
        server.faults.extend([""] * 9 + ["stall:60"])
        told = {"LLM": "judge", "LLM_URL": server.url, "LLM_KEY": KEY, "EMBEDDER": "none-here"}
        told |= {"DATA": str(tmp_path / "data"), "DEMO": str(tiny_root)}
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env=environment(**{f"FEATURESCOPE_{name}": value for name, value in told.items()}),
        )  # fmt: skip
        try:
            until = time.monotonic() + 60
            while len(server.asked) < 10 and time.monotonic() < until:
                time.sleep(0.05)
            assert len(server.asked) == 10 and server.answered == 9, "it is in the middle of something"
        finally:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
        hanging = server.asked[-1]["messages"]
        assert not any(len(scores(bench, id)) == 3 for id in ids)
        bench.words.later.sweep()
        assert all({one.scorer for one in scores(bench, id)} == JUDGED for id in ids)
        said = [json.dumps(body["messages"]) for body in server.asked]
        assert server.twice == 1 and said.count(json.dumps(hanging)) == 2, "only the one without an answer"


# -- the thread --------------------------------------------------------------------------------------------------------


def test_the_thread_finds_what_is_written_while_it_runs(bench, monkeypatch):
    monkeypatch.setattr(scoring_later, "EVERY", 3600.0)
    later = bench.words.later
    assert not later.running and later.pending(next(iter(bench.words.of(FEATURE)))) == ()
    later.start()
    later.start()
    try:
        assert sum(one.name == "scoring" for one in threading.enumerate()) == 1
        bench.embedder.gate.clear()
        id = write(bench, "words")
        (one,) = [one for one in bench.words.of(FEATURE) if one.id == id]  # to look at it wakes the thread
        assert later.pending(one) == ("embedding",)
        bench.embedder.gate.set()
        until = time.monotonic() + 60
        while not scores(bench, id) and time.monotonic() < until:
            time.sleep(0.02)
        (one,) = [one for one in bench.words.of(FEATURE) if one.id == id]
        assert one.scores and later.pending(one) == ()
    finally:
        later.stop(30)
    assert not later.running


@pytest.mark.parametrize("settings", [{"score_people": False}, {"people": "none"}])
def test_where_nobody_wants_it_nothing_runs(make, settings):
    later = make(**settings).words.later
    later.start()
    assert not later.running


# -- Supabase ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(make, stack, monkeypatch):
    monkeypatch.setenv("SUPABASE_URL", stack.url)
    monkeypatch.setenv("SUPABASE_KEY", stack.keys.publishable)
    return make


def test_in_a_shared_workbench_too_and_scores_are_the_servers_alone(shared, stack, monkeypatch):
    monkeypatch.setenv("SUPABASE_SECRET_KEY", stack.keys.secret_key)
    with OpenAIServer(yes) as server:
        bench = shared(llm="judge", llm_url=server.url, llm_key=KEY, llm_for_all=True, llm_a_day=4)
        store = bench.community.community
        anna = People(store, store.visit(tokens(stack, "anna")))
        feature = FEATURE
        id = anna.explanations.write(feature, "anna's words")
        bench.words.later.sweep()
        assert sorted(one.scorer for one in scores(bench, id)) == ["detection", "embedding", "fuzzing"]
        assert bench.words.machines.left(anna) == 2, "her half"
        other = People(store, store.visit(tokens(stack, "bert")))
        assert bench.words.machines.left(other) == 4
        tables = {row[0] for row in stack.sql("select table_name from information_schema.tables "
                                              "where table_schema = 'public'")}  # fmt: skip
        assert not [name for name in tables if "score" in name], "there is none that anybody could write to"
        anna.explanations.delete(id)


def test_without_the_projects_secret_key_nothing_is_paid_there(shared, stack):
    bench = shared(llm="judge", llm_url="http://127.0.0.1:9/v1", llm_key=KEY, llm_for_all=True)
    assert [way.scorer for way in bench.words.later._ways()] == ["embedding"]
