"""The record of what a process holds: it counts what happens, and names no place on this machine."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from core.models.holding import HIDDEN, LIMITS, server
from core.records import Resident
from core.settings import Settings
from core.workbench import Workbench
from tests.live import python


def test_a_workbench_counts_what_it_does(tiny_root, tmp_path):
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    new = bench.server()
    assert not new.residents and (new.waiting, new.at_work, new.cache_entries, new.cache_misses) == (0, 0, 0, 0)
    bench.search("tiny", "It’s a fine day")
    first = bench.server()
    assert {r.name: r.state for r in first.residents} == dict.fromkeys(
        ("tiny", "tiny/0-neurons", "tiny/1-res"), "ready"
    )
    assert (
        first.residents == bench.residents() and 0 < sum(r.megabytes for r in first.residents) < first.budget_megabytes
    )
    assert first.cache_entries == 4 and 0 < first.cache_megabytes < first.cache_most_megabytes
    assert first.process_megabytes is None or first.process_megabytes > 1
    bench.search("tiny", "It’s a fine day", measure="value")
    again = bench.server()
    assert again.cache_misses == first.cache_misses and again.cache_hits > first.cache_hits
    assert again.seconds > new.seconds
    bench._cache.flush()
    assert bench.server().cache_disk_megabytes > 0


def test_the_limits_are_the_settings(tmp_path):
    chosen = {name: n + 1 for n, name in enumerate(LIMITS)}
    bench = Workbench(Settings(data=tmp_path, demo=None, **chosen))
    assert dict(bench.server().limits) == chosen


@pytest.mark.parametrize("place", ["/srv/models/m", "/with a space/x", "C:\\models\\m", "“/srv/x”", "(/srv/x)"])
def test_no_place_on_this_machine_is_named(tmp_path, place):
    settings = Settings(data=tmp_path / "secret", demo=tmp_path / "hidden")
    failed = Resident(name="m", state="failed", message=f"The model is not at {place} any more.")
    other = Resident(name="m/1-res", state="failed", message="scribe-4l/2-res has 3 features: build it again.")
    record = server(settings, [failed, other], None, [], since=0.0)
    assert [r.message for r in record.residents] == [HIDDEN, other.message]
    assert str(tmp_path) not in repr(record) and place not in repr(record)


def test_it_is_read_without_torch(tiny_root):
    code = "import sys; from core.workbench import Workbench; Workbench().server(); assert 'torch' not in sys.modules"
    python(code, FEATURESCOPE_DATA=str(tiny_root), FEATURESCOPE_DEMO="")


def test_who_waits_is_told_how_many_are_before(tiny_root, tmp_path):
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    bench.search("tiny", "loaded")
    told: list[list[int]] = [[], [], []]

    def until(holds):
        end = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.005)

    with ThreadPoolExecutor(4) as pool:
        with bench._model_slot("tiny").lock:  # as a long pass holds it
            asked = [pool.submit(bench.search, "tiny", "at work")]
            until(lambda: bench.server().at_work == 1)
            for n, places in enumerate(told):
                tell = partial(lambda its, step: its.append(step.before), places)
                asked.append(pool.submit(bench.search, "tiny", f"waits {n}", tell=tell))
                until(lambda n=n: told[n] and told[n][-1] == n)
            assert bench.server().waiting == 3
        assert all(one.result(60).hits for one in asked)
    assert (bench.server().waiting, bench.server().at_work) == (0, 0)
