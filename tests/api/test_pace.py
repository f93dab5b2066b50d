"""How often one client may have a model run, and who a client is."""

from __future__ import annotations

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from api import pace, server
from core.settings import Settings
from core.workbench import Workbench
from tests.api.test_api import refused


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def caller(clock, *, a_minute=6, proxies=0, address="203.0.113.7"):
    """Sends one request to a route that runs a model; gives the answer."""
    app = pace.Pace(PlainTextResponse("ok"), counter=pace.Counter(a_minute, proxies=proxies, clock=clock))

    def send(address=address, path="/search-all", **headers):
        client = TestClient(app, client=(address, 50_000))
        return client.post(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    send.app = app
    return send


def test_so_many_at_once_and_then_so_many_a_minute():
    clock = Clock()
    send = caller(clock)
    assert [send().status_code for _ in range(8)] == [200] * 6 + [429] * 2
    answer = send()
    assert answer.headers["retry-after"] == "10"
    assert refused(answer, 429) == "Too many requests: at most 6 a minute run a model here. Try again in 10 seconds."
    clock.now += 9.5
    assert "Try again in 1 second." in refused(send(), 429)
    clock.now += 0.5
    assert [send().status_code for _ in range(2)] == [200, 429]
    clock.now += 600
    assert [send().status_code for _ in range(7)] == [200] * 6 + [429], "waiting long saves up no more than a minute"


def test_clients_count_apart():
    send = caller(Clock(), a_minute=1)
    assert [send().status_code for _ in range(2)] == [200, 429]
    assert send("203.0.113.8").status_code == 200
    assert send("2001:db8:0:1::1").status_code == 200
    assert send("2001:db8:0:1:ffff::2").status_code == 429, "one customer's network"
    assert send("2001:db8:0:2::1").status_code == 200
    assert send("::ffff:203.0.113.8").status_code == 429


def test_what_runs_no_model_is_not_counted():
    send = caller(Clock(), a_minute=1)
    assert [send(path=path).status_code for path in ("/tokenize", "/features", "/search-all", "/tokenize")] == [200] * 4
    assert send(path="/search-all/").status_code == 429
    assert [caller(Clock(), a_minute=0)().status_code for _ in range(5)] == [200] * 5


def test_looking_up_what_loads_weights_is_counted_too():
    key = "scribe-4l/2-res/78"
    for path in (f"/similar/{key}", "/similar/a/b/1%0A", "/compare/features", f"/feature/{key}/vector"):
        send = caller(Clock(), a_minute=1)
        assert [send(path=path).status_code for _ in range(2)] == [200, 429], path
    send = caller(Clock(), a_minute=1)
    for path in (f"/feature/{key}", f"/together/{key}", "/compare", "/compare/matches", "/umap/clusters"):
        assert [send(path=path).status_code for _ in range(2)] == [200, 200], path


def test_a_header_is_believed_only_if_a_proxy_is_trusted():
    send = caller(Clock(), a_minute=1)
    assert send(X_Forwarded_For="198.51.100.1").status_code == 200
    assert send(X_Forwarded_For="198.51.100.2").status_code == 429, "anybody can write one"
    behind = caller(Clock(), a_minute=1, proxies=1)
    assert behind(X_Forwarded_For="198.51.100.1").status_code == 200
    assert behind(X_Forwarded_For="198.51.100.2").status_code == 200
    assert behind(X_Forwarded_For="9.9.9.9, 198.51.100.1").status_code == 429, "what stands before it is a claim"
    assert behind(X_Forwarded_For="8.8.8.8,198.51.100.1:4711").status_code == 429
    two = caller(Clock(), a_minute=1, proxies=2)
    assert two(X_Forwarded_For="9.9.9.9, 198.51.100.1, 10.0.0.1").status_code == 200
    assert two(X_Forwarded_For="198.51.100.1, 10.0.0.2").status_code == 429
    assert two(X_Forwarded_For="198.51.100.1").status_code == 200, "too short for two proxies: the peer's own address"
    assert two().status_code == 429


def test_a_claim_that_the_server_below_took_for_the_peer_is_not_believed():
    """uvicorn reads the header of whoever connects from this machine, and puts what it says in the peer's place."""
    send = caller(Clock(), a_minute=1)
    assert send("198.51.100.1", X_Forwarded_For="198.51.100.1").status_code == 200
    assert send("198.51.100.2", X_Forwarded_For="198.51.100.2:80").status_code == 429


@pytest.mark.parametrize("claim", ["", "unknown", "1.2.3", "[::1", "_hidden, , ", "1.2.3.4.5:6"])
def test_a_header_that_names_nobody(claim):
    send = caller(Clock(), a_minute=1, proxies=1)
    assert [send(X_Forwarded_For=claim).status_code for _ in range(2)] == [200, 429]


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(pace, "CLIENTS", 10)
    send = caller(Clock())
    for n in range(30):
        send(f"10.0.0.{n}")
    assert len(send.app._counter._busy_until) == 10


def test_every_route_that_runs_a_model_is_counted(bench):
    described = server.create(bench).openapi()["paths"]
    people = ("/list/", "/comment/", "/bookmark/", "/user/")  # what people keep is a query or two
    people += ("/bring", "/model/", "/source-set/", "/feature/upload-batch", "/engine/")  # administrators, servers
    posts = {path for path, methods in described.items() if "post" in methods and not path.startswith(people)}
    no_model = "/features /features-offset /activation/get /tokenize /global /steer-load /steer/presets /vector/get"
    no_model += " /umap /vector/delete /vector/list-owned /probe/get /explanation/new /explanation/vote"
    no_model += " /explanation/mark /explanation/{id}/vote /explanation/{id}/unvote /explanation/{id}/delete"
    no_model += " /explanation/m-{id}/delete /graph/delete /graph/list-owned"
    assert posts - {*no_model.split(), "/explanation/score/{id}/delete"} == pace.PATHS


def test_the_server_counts(tiny_root):
    settings = Settings(data=tiny_root, demo=None, requests_a_minute=2)
    client = TestClient(server.create(Workbench(settings)), raise_server_exceptions=False)
    body = {"modelId": "tiny", "text": "x"}
    origin = {"Origin": "http://localhost:8888"}
    assert [client.post("/search-all", json=body).status_code for _ in range(2)] == [200] * 2
    answer = client.post("/activation/new", json={}, headers=origin)
    assert "at most 2 a minute" in refused(answer, 429)
    assert answer.headers["access-control-allow-origin"] == origin["Origin"], "a page is told too"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert client.get("/catalog").status_code == 200
