"""Streamed steering: frames that hold all so far, sent at once, and nothing left behind by a client that goes away."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from dataclasses import replace
from itertools import pairwise

import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from api import server, stream
from api.steer import Completion
from core.errors import BadData
from core.models.plain import Runner
from core.settings import Settings
from core.workbench import Workbench
from tests.api.test_api import refused
from tests.live import Server, free_port

LONG = 60.0
BODY = {
    "modelId": "tiny", "prompt": "My fellow citizens", "n_tokens": 12, "temperature": 0.9, "seed": 3,
    "features": [{"layer": "1-res", "index": "3", "strength": 4}],
}  # fmt: skip


def fresh(tiny_root, folder, **settings):
    """A workbench that has kept nothing yet."""
    return Workbench(Settings(data=folder, demo=tiny_root, **settings))


def frames(text):
    """(event, data) of each frame."""
    found = []
    for part in text.strip().split("\n\n"):
        *event, data = part.split("\n")
        assert data.startswith("data: ") and len(event) <= 1
        found.append((event[0].removeprefix("event: ") if event else "", json.loads(data.removeprefix("data: "))))
    return found


def until(holds):
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


class Live:
    """The API of a workbench on a port of its own, in this process."""

    def __init__(self, bench):
        self.port = free_port()
        config = uvicorn.Config(server.create(bench), host="127.0.0.1", port=self.port, log_level="error")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self):
        self._thread.start()
        until(lambda: self._server.started)
        return self

    def __exit__(self, *_):
        self._server.should_exit = True
        self._thread.join(LONG)

    def stream(self, **more):
        url = f"http://127.0.0.1:{self.port}/steer"
        return httpx.stream("POST", url, json=BODY | {"stream": True} | more, timeout=LONG)

    def send(self, **more):
        """A connection over which the request was sent, and nothing read yet."""
        said = json.dumps(BODY | more).encode()
        head = "POST /steer HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(said)}\r\n\r\n"
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=LONG)
        connection.sendall(head.encode() + said)
        return connection


@pytest.fixture
def gate(monkeypatch):
    """Stops a run before one of its passes until it is let through; `passes` counts them."""

    class Gate:
        def __init__(self):
            self.passes, self.stops = 0, {}

        def stop(self, at):
            self.stops[at] = threading.Event()
            return self.stops[at]

    made, real = Gate(), Runner.pass_

    def pass_(self, *given, **named):
        if len(self._places) > 0:  # not those of a comparison with the bridge
            made.passes += 1
            if made.passes in made.stops:
                assert made.stops[made.passes].wait(LONG)
        return real(self, *given, **named)

    monkeypatch.setattr(Runner, "pass_", pass_)
    return made


def ask(bench, **more):
    """What `BODY` asks the workbench for."""
    return replace(Completion(**BODY).ask(bench, prompt=BODY["prompt"]), **more)


def warmed(bench):
    """The model loaded and its hooks compared, so that the passes that follow are a run's own."""
    bench.sweep(ask(bench, length=1), [1.0])
    return bench


def test_each_frame_has_all_that_the_one_before_had_and_the_last_is_the_answer(tiny_root, tmp_path):
    first = TestClient(server.create(fresh(tiny_root, tmp_path / "a")))
    other = TestClient(server.create(fresh(tiny_root, tmp_path / "b")))
    response = first.post("/steer", json=BODY | {"stream": True})
    assert response.headers["content-type"].startswith("text/event-stream")
    assert "no-cache" in response.headers["cache-control"] and response.headers["x-accel-buffering"] == "no"
    found = [data for event, data in frames(response.text) if not event]
    whole = other.post("/steer", json=BODY).json()
    assert found[-1] == whole and whole["id"]
    assert all(set(frame) == set(whole) for frame in found)
    assert all(frame["id"] is None and frame["shareUrl"] is None for frame in found[:-1])
    for name in ("STEERED", "DEFAULT"):
        texts = [frame[name].rstrip("\ufffd") for frame in found]  # a character that is half there
        assert texts[-1] and all(after.startswith(before) for before, after in pairwise(texts))
        said = [[row["token"] for row in frame[f"{name.lower()}LogProbs"]] for frame in found]
        for before, after in pairwise(said):
            assert len(before) <= len(after) and after[: max(0, len(before) - 1)] == before[:-1]
    assert frames(first.post("/steer", json=BODY | {"stream": True}).text) == [("", whole)], "a saved run is one frame"


def test_a_slow_reader_gets_fewer_frames_and_the_last_one(monkeypatch):
    """The first is drawn until all is done."""
    ended, real = threading.Event(), stream.Work._run

    def run(self):
        real(self)
        ended.set()

    monkeypatch.setattr(stream.Work, "_run", run)
    draw = []

    def slow(state):
        if not draw:
            assert ended.wait(LONG)
        draw.append(state)
        return state

    async def go():
        work = stream.Work(lambda tell: (n for n in range(100)))
        first = await work.next()
        return [one async for one in stream._frames(work, first, slow)]

    sent = asyncio.run(go())
    assert sent[-1] == b"data: 99\n\n" and len(sent) <= 3


def test_frames_are_sent_when_they_are_there(tiny_root, tmp_path, gate):
    """The run stops in its midst until its first frames were read: a server that held them back would never end."""
    bench = warmed(fresh(tiny_root, tmp_path))
    gate.passes, go = 0, gate.stop(6)
    with Live(bench) as live, live.stream() as response:
        assert response.status_code == 200
        seen = ""
        for chunk in response.iter_text():
            seen += chunk
            if any(frame["STEERED"] for _, frame in frames(seen[: seen.rfind("\n\n")] or 'data: {"STEERED": 0}')):
                assert go.is_set() or gate.passes <= 6
                go.set()
    assert frames(seen)[-1][1]["id"]


def test_a_client_that_goes_away_stops_its_run(tiny_root, tmp_path, gate, monkeypatch):
    """It hangs up while the sixth pass waits; the eighth waits until the run was told so, and no ninth comes."""
    told, closed = threading.Event(), threading.Event()
    stop = stream.Work.stop
    monkeypatch.setattr(stream.Work, "stop", lambda self: (stop(self), told.set())[0])

    class Watched(Workbench):
        def steering(self, *given, **more):
            try:
                yield from super().steering(*given, **more)
            finally:
                closed.set()

    bench = warmed(Watched(Settings(data=tmp_path, demo=tiny_root, generations=1)))
    gate.passes, sixth, eighth = 0, gate.stop(6), gate.stop(8)
    with Live(bench) as live:
        with live.stream(n_tokens=40) as response:
            sent = response.iter_text()
            assert next(sent).startswith("data: ")
            until(lambda: gate.passes == 6)
            assert bench._steerer.line.at_work() == 1
        assert told.wait(LONG)
        sixth.set()
        assert closed.wait(LONG)
        eighth.set()
        until(lambda: bench._steerer.line.at_work() == 0)
    assert gate.passes <= 8
    with bench._steerer._kept._file.reading() as db:
        assert db is None, "a run that was stopped is not kept"
    assert bench.steer(ask(bench)).steered.text, "and the next one is served"


@pytest.mark.parametrize("streamed", [False, True])
def test_a_client_that_goes_away_leaves_the_line(tiny_root, tmp_path, streamed):
    bench = warmed(fresh(tiny_root, tmp_path, generations=1, patience=10 * LONG))
    with Live(bench) as live, bench._steerer.line.place(1.0):
        connection = live.send(stream=streamed)
        until(lambda: bench._steerer.line.waiting() == 1)
        connection.close()
        until(lambda: bench._steerer.line.waiting() == 0)
        assert bench._steerer.line.at_work() == 1
    assert bench._steerer.line.at_work() == 0


def test_a_client_that_waits_for_the_whole_and_goes_away_stops_its_run(tiny_root, tmp_path, gate, monkeypatch):
    bench, told, stop = warmed(fresh(tiny_root, tmp_path)), threading.Event(), stream.Work.stop
    monkeypatch.setattr(stream.Work, "stop", lambda self: (stop(self), told.set())[0])
    gate.passes, go = 0, gate.stop(6)
    with Live(bench) as live:
        connection = live.send(n_tokens=40)
        until(lambda: gate.passes == 6)
        connection.close()
        assert told.wait(LONG)
        go.set()
        until(lambda: bench._steerer.line.at_work() == 0)


def test_many_that_wait_hold_up_nobody(tiny_root, tmp_path):
    """More than the server has threads for requests: each waits in one of its own."""
    bench = warmed(fresh(tiny_root, tmp_path, generations=1, patience=10 * LONG))
    with Live(bench) as live:
        with bench._steerer.line.place(1.0):
            waiting = [live.send(seed=n) for n in range(60)]
            until(lambda: bench._steerer.line.waiting() == 60)
            assert httpx.get(f"http://127.0.0.1:{live.port}/catalog", timeout=LONG).status_code == 200
            for connection in waiting:
                connection.close()
            until(lambda: bench._steerer.line.waiting() == 0)


class Failing(Workbench):
    """Gives one record, and then what is to be raised."""

    error: Exception

    def steering(self, *given, **more):
        yield next(super().steering(*given, **more))
        raise self.error


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (BadData("The file is damaged."), "The file is damaged."),
        (RuntimeError("secret path /home/x"), "not your input"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_goes_wrong_on_the_way_is_the_last_frame(tiny_root, tmp_path, error, word):
    bench = Failing(Settings(data=tmp_path, demo=tiny_root))
    bench.error = error
    client = TestClient(server.create(bench), raise_server_exceptions=False)
    response = client.post("/steer", json=BODY | {"stream": True})
    assert response.status_code == 200
    *before, (event, data) = frames(response.text)
    assert before and all(not event for event, _ in before)
    assert event == "error" and set(data) == {"error", "message"} and data["error"] == data["message"]
    assert word in data["message"] and "secret" not in response.text
    whole = client.post("/steer", json=BODY)
    assert word in refused(whole, {BadData: 422, RuntimeError: 500, MemoryError: 503}[type(error)])
    until(lambda: bench._steerer.line.at_work() == 0)


def test_the_whole_server_sends_frames_as_they_are(tiny_root, tmp_path):
    """Behind Streamlit, too: nothing packs or keeps them."""
    packed = {"Accept-Encoding": "gzip, br"}
    with Server(tmp_path, demo=str(tiny_root)) as live:
        url = live.url + "/api/steer"
        with httpx.stream("POST", url, json=BODY | {"stream": True}, headers=packed, timeout=4 * LONG) as answer:
            assert answer.status_code == 200 and not {"content-encoding", "content-length"} & set(answer.headers)
            assert answer.headers["content-type"].startswith("text/event-stream")
            found = frames(answer.read().decode())
    assert found[-1][1]["shareUrl"] == f"{live.url}/steer?run={found[-1][1]['id']}"
