"""Many people at once, for long: pages, tests and searches over Streamlit's own websocket, with time to think between.

    python -m benchmarks.soak [--sessions 50] [--minutes 10] [--think 5] [--root DIR] [--json]

Each session is a visitor's (`tests.visitor`) against `python app.py` on the built-in demo, in a process of its own,
with an empty data root and a small activation cache: it fills within minutes, and what grows after that is no cache.
A visitor asks, waits until the script has finished, looks whether what came is what was asked for, thinks (so long on
average, drawn at random), and goes on. Every session does everything once, also if time is short. The first minute, in
which all come at once to a server that has loaded nothing yet, has rows of its own.
The status is 1 if anything went wrong, or if memory still grows: over the third quarter's median by more than a tenth
in the last.

Cost: the time that is asked for; little memory besides the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx

from benchmarks.report import Row, show
from core.settings import Settings
from tests.live import Server
from tests.visitor import Failed, Page, Visitor

WORDS = (
    "the king and his mother went down to a small town by the river where nobody had read the letter that was sent in "
    "March for twenty pounds of flour because it rained and London is far from here so they said he would not return"
).split()
SORTS = ("value", "fraction", "percentile")
LONG = 300.0
"""Seconds of a run from which its memory is judged; before that, caches still fill."""
GROWTH = 1.1
CACHE_MB = 64
FIRST = 60.0
"""Seconds in which the model, its sources and all that they import are loaded, while everybody waits."""


@dataclass
class Log:
    """What was measured."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    """Of each kind of action."""
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    """(seconds since the beginning, megabytes) of the server."""
    began: float = field(default_factory=time.monotonic)

    def took(self, kind: str, seconds: float) -> None:
        """One action that went well."""
        when = "" if time.monotonic() - self.began > FIRST else ", first minute"
        self.seconds.setdefault(kind + when, []).append(seconds)


class Person:
    """One session and what it does, each action a method that returns the page it waited for."""

    def __init__(self, visitor: Visitor, sources: Sequence[dict[str, Any]], draw: random.Random) -> None:
        self._visitor, self._sources, self._draw = visitor, sources, draw
        self._text = self._sentence()

    def actions(self) -> dict[str, Callable[[], Awaitable[Page]]]:
        """What a person does, by name; a test is on the page that is open."""
        return {
            "home": self.home,
            "table of features": self.table,
            "feature": self.feature,
            "test": self.test,
            "search": self.search,
            "search, another order": self.again,
            "about this server": self.server,
        }

    async def home(self) -> Page:
        return _has(await self._visitor.open(""), "Models and their sources")

    async def table(self) -> Page:
        return _has(await self._visitor.open("source", id=_name(self._draw.choice(self._sources))), "fs-table")

    async def feature(self) -> Page:
        source = self._draw.choice(self._sources)
        key = f"{_name(source)}/{self._draw.randrange(source['width'])}"
        return _has(await self._visitor.open("feature", id=key), key.rsplit("/", 1)[1])

    async def test(self) -> Page:
        """Two sentences in the box of a feature; what is timed is the test alone."""
        box = (await self.feature()).components["featurescope_tester"]
        texts = [self._sentence(), self._sentence()]
        page = await self._visitor.fire(box, "run", {"texts": texts, "kept": 0, "n": 1})
        data = page.components["featurescope_tester"].data
        if data["message"] or [test["text"] for test in data["tests"]] != texts:
            raise Failed(f"a test came to nothing: {data['message'] or 'no values'}")
        return page

    async def search(self) -> Page:
        self._text = self._sentence()
        return await self._searched()

    async def again(self) -> Page:
        return await self._searched(sort=self._draw.choice(SORTS))

    async def server(self) -> Page:
        return _has(await self._visitor.open("server"), "Activation cache")

    async def _searched(self, **view: str) -> Page:
        model = self._sources[0]["modelId"]
        return _has(await self._visitor.open("search", model=model, text=self._text, **view), "fs-hit-name")

    def _sentence(self) -> str:
        return " ".join(self._draw.choices(WORDS, k=self._draw.randint(4, 16)))


def _name(source: dict[str, Any]) -> str:
    return f"{source['modelId']}/{source['sourceId']}"


def _has(page: Page, sign: str) -> Page:
    if sign not in page.html:
        raise Failed(f"a page came without “{sign}”: {page.html[-400:]!r}")
    return page


async def soak(server: Server, *, sessions: int, seconds: float, think: float) -> Log:
    """Runs so many sessions for so long; each does everything at least once."""
    listed = httpx.get(server.url + "/api/catalog", timeout=60).json()["sources"]
    sources = [s for s in listed if {"weights", "dashboards"} <= set(s["has"])]
    sources = [s for s in sources if s["modelId"] == sources[0]["modelId"]]
    log = Log()
    began = log.began
    watching = asyncio.create_task(_watch(server, log, began))
    await asyncio.gather(*(_session(server, n, sources, log, began + seconds, think) for n in range(sessions)))
    watching.cancel()
    log.memory.append((time.monotonic() - began, resident(server)))
    return log


async def _session(
    server: Server, number: int, sources: Sequence[dict[str, Any]], log: Log, until: float, think: float
) -> None:
    draw = random.Random(number)
    await asyncio.sleep(draw.random() * min(think, 5.0))  # not all in the same moment
    try:
        async with Visitor(server.port) as visitor:
            actions = list(Person(visitor, sources, draw).actions().items())
            for done, (kind, act) in enumerate(cycle(actions[number % 7 :] + actions[: number % 7])):
                if done >= len(actions) and time.monotonic() >= until:
                    return
                if done >= len(actions):
                    kind, act = draw.choice(actions)
                try:
                    log.took(kind, (await act()).seconds)
                except Failed as error:
                    log.errors.append(f"session {number}, {kind}: {error}")
                await asyncio.sleep(draw.expovariate(1 / think) if think else 0)
    except Exception as error:  # the connection is gone
        log.errors.append(f"session {number} ended: {type(error).__name__} {error}")


async def _watch(server: Server, log: Log, began: float) -> None:
    """Memory every two seconds, and a line on how it goes every half a minute."""
    for n in cycle(range(15)):
        log.memory.append((time.monotonic() - began, resident(server)))
        if n == 14:
            done = sum(map(len, log.seconds.values()))
            at, held = log.memory[-1]
            print(f"{at:5.0f} s: {done:,} done, {len(log.errors)} errors, {held:,.0f} MB", file=sys.stderr, flush=True)
        await asyncio.sleep(2)


def resident(server: Server) -> float:
    """Megabytes that the server's process has in memory."""
    for line in Path(f"/proc/{server.process.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def rows(log: Log) -> list[Row]:
    """What was measured, as benchmarks report it."""
    found = []
    for kind, taken in sorted(log.seconds.items(), key=lambda one: ("first minute" in one[0], one[0])):
        p95 = statistics.quantiles(taken, n=20)[18] if len(taken) > 1 else taken[0]
        for what, value in (("p50", statistics.median(taken)), ("p95", p95)):
            found.append(Row(what=f"{kind}, {what} of {len(taken):,}", ours=1000 * value, unit="ms", budget=""))
    held = [megabytes for _, megabytes in log.memory]
    for what, value in (("first", held[0]), ("most", max(held)), ("last", held[-1])):
        found.append(Row(what=f"memory of the server, {what}", ours=value, unit="MB", budget=""))
    if log.memory[-1][0] >= LONG:
        third, last = (statistics.median(held[len(held) * q // 4 : len(held) * (q + 1) // 4]) for q in (2, 3))
        found.append(
            Row(
                what="memory in the last quarter, against the third",
                ours=last,
                yardstick=third,
                ratio=last / third,
                unit="MB",
                budget=f"<= {GROWTH}",
            )
        )
    return [*found, Row(what="errors", ours=len(log.errors), unit="", budget="<= 0")]


def main() -> int:
    """Reads the arguments, runs, prints."""
    parser = argparse.ArgumentParser(description="Many people at once, for long, over Streamlit's websocket.")
    parser.add_argument("--sessions", type=int, default=50)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--think", type=float, default=5.0, help="seconds between two actions, on average")
    parser.add_argument("--root", type=Path, default=Settings().demo, help="a data root; the built-in demo without it")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    asked = parser.parse_args()
    cache = {"FEATURESCOPE_CACHE_MB": str(CACHE_MB)}
    with tempfile.TemporaryDirectory() as empty, Server(Path(empty), demo=str(asked.root.resolve()), **cache) as server:
        log = asyncio.run(soak(server, sessions=asked.sessions, seconds=60 * asked.minutes, think=asked.think))
    if "Traceback" in server.output:
        log.errors.append("the server's log has a traceback:\n" + server.output[-4000:])
    print(*log.errors[:20], sep="\n", file=sys.stderr)
    return show(rows(log), as_json=asked.json)


if __name__ == "__main__":
    sys.exit(main())
