"""Memory that runs out, work that is interrupted, clients that wait too long or go away: 503, and then all is well."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from api import server
from core.errors import Busy
from core.settings import Settings
from core.sources.encode import Encoder
from core.techniques import reading
from core.workbench import Workbench
from tests import tiny
from tests.api.test_api import refused
from tests.live import Server

LONG = 60.0


@pytest.fixture
def own(tiny_root, tmp_path):
    """A workbench that holds nothing yet, over the tiny sources, and keeps nothing in their folder."""
    return Workbench(Settings(data=tmp_path, demo=tiny_root, patience=LONG))


@pytest.fixture
def client(own):
    return TestClient(server.create(own), raise_server_exceptions=False)


def search(client, text="It’s a fine day"):
    return client.post("/search-all", json={"modelId": "tiny", "text": text})


def test_one(client, text="It’s a fine day"):
    body = {"feature": {"modelId": "tiny", "source": "1-res", "index": "3"}, "customText": text}
    return client.post("/activation/new", json=body)


test_one.__test__ = False


def until(holds):
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def idle(bench):
    record = bench.server()
    return (record.waiting, record.at_work) == (0, 0)


def numpys():
    np.zeros(2**55)


def torchs():
    torch.zeros(2**55)


def gpus():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


def plain():
    raise MemoryError


@pytest.mark.parametrize("allocate", [numpys, torchs, gpus, plain])
@pytest.mark.parametrize("where", ["encoder", "pass"])
def test_without_memory_it_is_503_and_then_all_is_well(own, client, monkeypatch, allocate, where):
    """The first two are real: no machine has so much."""
    expected = search(client).json()
    fails = [True]

    def hungry(real):
        def call(*given, **named):
            if fails:
                fails.pop()
                allocate()
            return real(*given, **named)

        return call

    if where == "encoder":
        monkeypatch.setattr(Encoder, "__call__", hungry(Encoder.__call__))
    else:
        monkeypatch.setattr(reading, "capture", hungry(reading.capture))
    answer = search(client, "My fellow citizens")
    assert "not enough memory" in refused(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
    assert not fails and idle(own)
    assert not any(r.state == "ready" for r in own.server().residents), "what nobody works with has made room"
    assert search(client, "My fellow citizens").json()["result"]
    assert search(client).json() == expected
    assert test_one(client).status_code == 200


def test_a_model_that_does_not_fit_is_503_and_is_tried_again(own, client, monkeypatch):
    from core.models import loading

    real, fails = loading.load, [True]

    def load(*given, **named):
        if fails:
            fails.pop()
            torchs()
        return real(*given, **named)

    monkeypatch.setattr(loading, "load", load)
    answer = test_one(client)
    assert "not enough memory" in refused(answer, 503) and answer.headers["retry-after"]
    (failed,) = [r for r in own.server().residents if r.state == "failed"]
    assert "memory" in failed.message
    assert test_one(client).status_code == 200
    assert not [r for r in own.server().residents if r.state == "failed"]


def test_memory_that_runs_out_elsewhere_is_503_too(client, monkeypatch):
    monkeypatch.setattr(Workbench, "feature", lambda *_: numpys())
    answer = client.get(f"/feature/{tiny.SAE}/3")
    assert "not enough memory" in refused(answer, 503) and answer.headers["retry-after"]


class Killed(BaseException):
    """As an interpreter's signals are: nobody catches it."""


def test_when_the_worker_dies_who_waited_with_it_is_told_and_the_next_is_served(own, client, monkeypatch):
    expected = search(client).json()
    real, begun, go, dies = Encoder.__call__, threading.Event(), threading.Event(), []

    def call(self, *given):
        begun.set()
        assert go.wait(LONG)
        if dies:
            raise dies.pop()
        return real(self, *given)

    def work(text):
        try:
            own.search("tiny", text)
        except BaseException as error:  # the pool's own threads would end by it
            return error
        dies.append(Killed())  # after the first: whoever does the next batch

    monkeypatch.setattr(Encoder, "__call__", call)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(work, "at work")
        assert begun.wait(LONG)
        own._reader("tiny")._model.lock.acquire()  # the next batch stops at its pass, until it is to die
        try:
            others = [pool.submit(work, f"waits {n}") for n in range(2)]
            until(lambda: own.server().waiting == 2)
            go.set()
            assert first.result(LONG) is None
        finally:
            own._reader("tiny")._model.lock.release()
        killed, told = sorted((other.result(LONG) for other in others), key=lambda e: isinstance(e, Busy))
    assert isinstance(killed, Killed) and isinstance(told, Busy) and told.status == 503
    assert "interrupted" in str(told) and idle(own)
    assert search(client).json() == expected
    assert search(client, "waits 0").status_code == 200


def test_who_waits_too_long_gets_503_and_leaves_nothing_behind(tiny_root, tmp_path):
    own = Workbench(Settings(data=tmp_path, demo=tiny_root, patience=0.3))
    client = TestClient(server.create(own), raise_server_exceptions=False)
    assert search(client).status_code == 200
    model = own._model_slot("tiny")
    with ThreadPoolExecutor(4) as pool:
        with model.lock:  # as a long pass holds it
            first = pool.submit(search, client, "the one at work")
            until(lambda: own.server().at_work == 1)
            others = [pool.submit(search, client, f"waiting {n}") for n in range(3)]
            answers = [other.result(LONG) for other in others]
            record = own.server()
            assert (record.waiting, record.at_work) == (0, 1)
        assert first.result(LONG).status_code == 200
    for answer in answers:
        assert "busy" in refused(answer, 503) and answer.headers["retry-after"]
    assert idle(own)
    assert search(client, "waiting 0").status_code == 200


def test_clients_that_go_away_leave_nothing_behind(tiny_root, tmp_path):
    """Forty that hang up before their answer; then the process has no more open files than before."""
    with Server(tmp_path, demo=str(tiny_root)) as live:
        body = {"modelId": "tiny", "text": "It’s a fine day"}
        expected = live.post("/api/search-all", body).json()
        before = _open_files(live)
        for n in range(40):
            _hang_up(live.port, f"a text of number {n}", soon=n % 2 == 0)
        assert live.post("/api/search-all", body).json() == expected
        until(lambda: _open_files(live) <= before + 2)
    assert "Traceback" not in live.output


def _hang_up(port, text, *, soon):
    said = f'{{"modelId": "tiny", "text": "{text}"}}'.encode()
    head = (
        "POST /api/search-all HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(said)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", port), timeout=LONG) as connection:
        connection.sendall(head + said[: len(said) // 2 if soon else None])


def _open_files(live):
    from pathlib import Path

    return len(list(Path(f"/proc/{live.process.pid}/fd").iterdir()))
