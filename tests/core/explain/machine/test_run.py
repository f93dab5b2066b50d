"""A run over many features: kept at once, never paid twice, within its budget, told how far it is."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from core.errors import BadInput, NotAvailable
from core.explain.kept import Kept
from core.explain.machine.client import Endpoint, NoAnswer
from core.explain.machine.methods import METHODS
from core.explain.machine.prices import Price
from core.records import SourceKey
from tests import tiny
from tests.live import ROOT
from tests.openai_server import KEY, OpenAIServer

SOURCE = SourceKey.parse(tiny.SAE)


def endpoint(server, **more):
    return Endpoint("loopback", server.url, KEY, **more)


def features(bench, count=6):
    return bench.words.machines.features(SOURCE, "all")[:count]


def last(steps):
    *_, step = steps
    return step


@pytest.mark.parametrize("method", METHODS)
def test_each_method_keeps_what_was_answered(writable, server, method):
    server.reply = "Thinking.\nExplanation: “words for family”."
    keys = features(writable, 3)
    step = last(writable.words.explain(keys, method, endpoint(server)))
    assert (step.done, step.failed, step.asks) == (3, 0, 3)
    for key in keys:
        (one,) = [found for found in writable.words.of(key) if found.origin == "model"]
        assert (one.text, one.method, one.model) == ("words for family", method, "loopback")
        assert one.prompt == METHODS[method].VERSION and one.made[:2] == "20"


@pytest.mark.parametrize("method", METHODS)
def test_what_is_asked_shows_only_what_an_explainer_may_see(writable, server, method):
    from core.explain import examples

    (key,) = features(writable, 1)
    last(writable.words.explain([key], method, endpoint(server)))
    asked = server.asked[0]["messages"][-1]["content"]
    shown = examples.to_show(writable, key, METHODS[method].EXAMPLES)
    plain = re.sub(r"\t\d+\n|<<|>>", "", asked)
    assert all(passage.text.strip("\n").split("\n")[0][:12] in plain.replace("↵", "\n") for passage in shown)
    for passage in examples.to_test(writable, key).passages:
        assert passage.text.replace("\n", "↵") not in asked


def test_the_same_run_again_asks_nothing(writable, server):
    keys = features(writable)
    last(writable.words.explain(keys, "np_max-act", endpoint(server)))
    step = last(writable.words.explain(keys, "np_max-act", endpoint(server)))
    assert (step.done, step.there, step.asks) == (len(keys), len(keys), 0) and len(server.asked) == len(keys)


def test_an_explanation_that_was_taken_away_is_not_paid_again(writable, server):
    (key,) = features(writable, 1)
    words = writable.words
    last(words.explain([key], "np_max-act", endpoint(server)))
    (one,) = [found for found in words.of(key) if found.origin == "model"]
    words.machines.remove(one.id, writable.community.people())
    assert not [found for found in words.of(key) if found.origin == "model"]
    assert last(words.explain([key], "np_max-act", endpoint(server))).done == 1
    assert len(server.asked) == 1 and [found for found in words.of(key) if found.origin == "model"]


def test_a_budget_is_never_passed(writable, server):
    keys = features(writable, 8)
    price = Price(100.0, 100.0)
    each = writable.words.estimate(keys[:1], "np_max-act", endpoint(server, price=price)).usd
    budget = 4 * each
    step = last(writable.words.explain(keys, "np_max-act", endpoint(server, price=price), budget=budget, concurrency=3))
    assert 0 < step.done < len(keys) and "budget" in step.stopped and 0 < step.usd <= budget
    more = last(writable.words.explain(keys, "np_max-act", endpoint(server, price=price), budget=100.0))
    assert more.done == len(keys) and not more.stopped and server.twice == 0


def test_a_budget_needs_a_price(writable, server, monkeypatch):
    monkeypatch.setattr(Endpoint, "here", property(lambda self: False))
    with pytest.raises(NotAvailable, match="price of loopback is not known"):
        list(writable.words.explain(features(writable, 1), "np_max-act", endpoint(server), budget=1.0))
    assert writable.words.estimate(features(writable, 1), "np_max-act", endpoint(server)).usd is None
    assert not server.asked


def test_an_estimate_asks_nobody_and_is_near_what_is_read(writable, server):
    keys = features(writable)
    found = writable.words.estimate(keys, "np_max-act-logits", endpoint(server, price=Price(1, 1)))
    assert not server.asked and found.asks == len(keys)
    step = last(writable.words.explain(keys, "np_max-act-logits", endpoint(server, price=Price(1, 1))))
    assert found.read == pytest.approx(step.read, rel=0.35)
    again = writable.words.estimate(keys, "np_max-act-logits", endpoint(server))
    assert (again.asks, again.there) == (0, len(keys))


def test_so_many_are_asked_at_once(writable, server):
    server.pause = 0.2
    list(writable.words.explain(features(writable, 8), "np_max-act", endpoint(server), concurrency=3))
    assert server.most_at_once == 3
    with pytest.raises(BadInput):
        list(writable.words.explain(features(writable, 1), "np_max-act", endpoint(server), concurrency=0))


def test_nonsense_for_one_is_not_the_end_of_all(writable, server):
    server.reply = lambda body: "..." if len(server.asked) == 1 else "a label"
    step = last(writable.words.explain(features(writable, 3), "np_max-act", endpoint(server), concurrency=1))
    assert (step.done, step.failed) == (3, 1) and "holds no explanation" in step.problem


def test_an_answer_that_was_cut_off_is_asked_for_with_more_room(writable, server):
    server.faults.append("truncate")
    step = last(writable.words.explain(features(writable, 1), "np_max-act", endpoint(server)))
    assert step.failed == 0 and [body["max_tokens"] for body in server.asked] == [600, 2400]


def test_a_wrong_key_ends_the_run_with_a_plain_message(writable, server):
    with pytest.raises(NoAnswer, match="refuses the key"):
        list(writable.words.explain(features(writable), "np_max-act", Endpoint("loopback", server.url, "wrong")))
    assert not [one for key in features(writable) for one in writable.words.of(key) if one.origin == "model"]


def test_a_run_that_is_closed_stops(writable, server):
    server.pause = 0.1
    steps = writable.words.explain(features(writable, 10), "np_max-act", endpoint(server), concurrency=1)
    next(steps)
    next(steps)
    steps.close()
    asked = len(server.asked)
    time.sleep(0.5)
    assert asked <= 3 and len(server.asked) == asked


def test_no_key_is_kept_anywhere(writable, server):
    last(writable.words.explain(features(writable, 2), "np_max-act", endpoint(server)))
    for path in writable.settings.data.rglob("*"):
        assert path.is_dir() or KEY.encode() not in path.read_bytes()


def run(tiny_root, data, url, *more):
    return subprocess.Popen(
        [sys.executable, "-m", "core", "explain", tiny.SAE, "--method", "np_max-act", "--model", "loopback",
         "--base-url", url, "--features", "all", "--data", str(data), "--json", *more],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={"PATH": "/usr/bin:/bin", "FEATURESCOPE_DEMO": str(tiny_root), "FEATURESCOPE_LLM_URL": url,
             "FEATURESCOPE_LLM_KEY": KEY},
    )  # fmt: skip


def test_a_killed_run_goes_on_and_asks_nothing_twice(tiny_root, tmp_path, bench):
    count = len(bench.words.machines.features(SOURCE, "all"))
    assert count > 6
    gate = threading.Event()
    with OpenAIServer() as server:

        def reply(body):
            if len(server.asked) > 4:
                gate.wait()
            return "words for family"

        server.reply = reply
        first = run(tiny_root, tmp_path, server.url, "--concurrency", "2")
        while len(server.asked) < 6:  # four were answered and kept, else these two were not asked
            time.sleep(0.02)
            assert first.poll() is None, first.stderr.read()
        first.send_signal(signal.SIGKILL)
        first.wait()
        gate.set()
        (file,) = tmp_path.rglob("answers.db")
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as db:
            kept = db.execute("select count(*) from answers where answer is not null").fetchone()[0]
            hanging = db.execute("select count(*) from answers where answer is null").fetchone()[0]
        assert (kept, hanging) == (4, 2)
        second = run(tiny_root, tmp_path, server.url)
        _, err = second.communicate(timeout=120)
        assert second.returncode == 0, err
        assert f"{hanging} questions of an interrupted run" in err
        assert len(server.asked) == count + hanging and server.twice == hanging  # only what nobody had heard
        third = run(tiny_root, tmp_path, server.url)
        third.communicate(timeout=120)
        assert len(server.asked) == count + hanging


def test_who_comes_while_the_first_answer_is_kept_finds_all_or_nothing(tmp_path):
    """Many at once on a file that is not there yet: nobody meets a file without its tables."""
    for n in range(25):
        kept, begin = Kept(tmp_path / str(n) / "answers.db", SOURCE), threading.Barrier(8)

        def ask(who, kept=kept, begin=begin):
            begin.wait()
            found = kept.answer("what another asked")
            kept.asked(str(who), who, "loopback", "np_max-act/1")
            return found

        with ThreadPoolExecutor(8) as pool:
            assert [*pool.map(ask, range(8))] == [None] * 8
        assert kept.hanging() == 8
        assert [path.name for path in kept.path.parent.iterdir()] == ["answers.db"]
