"""The panel about the server: what it says in each state, and that what it is told is escaped."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components import resources, server_panels
from core.models.holding import LIMITS, server
from core.records import Resident
from core.settings import Settings


@pytest.fixture
def record(tmp_path):
    return server(Settings(data=tmp_path, demo=None, memory_mb=2048), [], None, [], since=0.0)


def test_an_empty_server_says_so(record):
    drawn = server_panels.page(record)
    assert "Nothing is loaded" in drawn and "2.0 GiB" in drawn and "not asked yet" in drawn


def test_what_is_held_is_named_with_its_state_and_size(record):
    residents = (
        Resident(name="m/1-res", state="loading"),
        Resident(name="m", state="ready", megabytes=512),
        Resident(name="m/2-<b>", state="failed", message="<script>"),
    )
    drawn = server_panels.residents(replace(record, residents=residents))
    assert drawn.index(">m<") < drawn.index("m/1-res") < drawn.index("m/2-&lt;b&gt;")
    assert "512 MiB of 2.0 GiB" in drawn and "width:25.0%" in drawn
    assert "&lt;script&gt;" in drawn and "<script>" not in drawn
    for state in ("ready", "loading", "failed"):
        assert f'class="fs-state {state}"' in drawn


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cache_hits": 3, "cache_misses": 1}, "3 of 4 (75 %)"),
        ({"cache_disk_megabytes": None}, "not counted yet, at most 2.0 GiB"),
        ({"cache_disk_megabytes": 1.5}, "1.5 MiB of 2.0 GiB"),
        ({"cache_disk_most_megabytes": 0}, "nothing is kept there"),
        ({"cache_most_megabytes": 0}, "0 MiB of 0 MiB"),
    ],
)
def test_the_cache(record, changes, says):
    assert says in server_panels.cache(replace(record, **changes))


def test_every_limit_is_drawn_with_its_setting(record):
    drawn = server_panels.limits(record)
    assert all(f"FEATURESCOPE_{name.upper()}" in drawn for name in LIMITS)
    free = replace(record, limits=(("requests_a_minute", 0),))
    assert "no limit" in server_panels.limits(free)


def test_every_term_is_in_the_glossary(record, monkeypatch):
    asked = []

    def define(word):
        asked.append(word)
        return "defined"

    monkeypatch.setattr("components.feature_panels.define", define)
    monkeypatch.setattr("components.server_panels.define", define)
    server_panels.page(record)
    assert asked and set(asked) <= set(resources.glossary())


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (42.9, "42 s"), (60, "1 min"), (3599, "59 min"), (11_520, "3 h 12 min"), (190_800, "2 d 5 h")],
)
def test_durations(seconds, said):
    assert server_panels.duration(seconds) == said


@pytest.mark.parametrize(("megabytes", "said"), [(0, "0 MiB"), (0.24, "0.2 MiB"), (512, "512 MiB"), (2048, "2.0 GiB")])
def test_sizes(megabytes, said):
    assert server_panels.size(megabytes) == said
