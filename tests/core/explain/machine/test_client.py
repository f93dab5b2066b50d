"""One question: what passes by itself is tried again when it may be, the rest is one plain sentence without a key."""

from __future__ import annotations

import threading

import pytest

from core.errors import BadInput, Busy
from core.explain.machine.client import Client, Endpoint, NoAnswer, Refused, Stopped
from core.explain.machine.prices import FREE, Price
from tests.openai_server import KEY

ASK = [{"role": "user", "content": "What is it?"}]


def client(server, **more):
    return Client(Endpoint("loopback", server.url, more.pop("key", KEY)), **more)


def test_an_answer_with_its_tokens(server):
    found = client(server).ask(ASK, most=50)
    assert (found.text, found.written, found.cut) == ("words for family", 10, False) and found.read > 0
    assert server.asked[0]["max_tokens"] == 50 and server.asked[0]["model"] == "loopback"


def test_what_fails_is_tried_again(server):
    server.faults.extend(["500", "nonsense", "drop"])
    assert client(server).ask(ASK, most=50).text == "words for family"
    assert len(server.asked) == 4


def test_retry_after_is_honoured_by_everybody(server):
    server.faults.append("429:1.2")
    one = client(server)
    one.ask(ASK, most=50)
    assert server.times[1] - server.times[0] >= 1.2
    server.faults.append("429:1.2")
    started = threading.Event()

    def limited():
        started.set()
        one.ask(ASK, most=50)

    thread = threading.Thread(target=limited)
    thread.start()
    started.wait()
    while len(server.asked) < 3:
        pass
    while one._until == 0 or one._until < server.times[2]:
        pass
    one.ask([{"role": "user", "content": "Another?"}], most=50)  # not limited itself, and waits all the same
    thread.join()
    assert min(server.times[3:]) - server.times[2] >= 1.2


def test_a_wait_that_is_too_long_is_told(server):
    server.always = "429:3600"
    with pytest.raises(Busy, match="wait 3,600 seconds"):
        client(server).ask(ASK, most=50)
    assert len(server.asked) == 1


def test_a_timeout_is_told_after_a_few_tries(server):
    server.always = "stall:2"
    with pytest.raises(Busy, match="did not answer in time"):
        client(server, seconds=0.2, tries=2).ask(ASK, most=50)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("fault", "said"), [("quota", "no credit"), ("404", "knows no model “loopback”"), ("403", "refuses the key")]
)
def test_what_no_try_will_mend_is_asked_once(server, fault, said):
    server.always = fault
    with pytest.raises(NoAnswer, match=said):
        client(server).ask(ASK, most=50)
    assert len(server.asked) == 1


def test_a_wrong_key_is_a_plain_message_without_the_key(server, caplog):
    caplog.set_level("DEBUG")
    with pytest.raises(NoAnswer) as caught:
        client(server, key="sk-very-secret-1234").ask(ASK, most=50)
    assert "refuses the key" in str(caught.value)
    assert "sk-very-secret" not in str(caught.value) + caplog.text + repr(Endpoint("m", server.url, "sk-very-secret"))


def test_one_question_is_refused_and_not_all(server):
    server.always = "400:this text is not allowed"
    with pytest.raises(Refused):
        client(server).ask(ASK, most=50)


def test_endpoints_that_know_other_words_for_the_same(server):
    server.faults.append("400:Unsupported parameter: max_tokens; use max_completion_tokens")
    one = client(server)
    one.ask(ASK, most=50, temperature=0.0)
    assert "max_tokens" not in server.asked[1] and server.asked[1]["max_completion_tokens"] == 50
    server.faults.append("400:temperature does not support 0.0")
    one.ask(ASK, most=50, temperature=0.0)
    assert "temperature" not in server.asked[-1]


def test_a_stop_ends_a_wait(server):
    server.always = "429:60"
    stop = threading.Event()
    one = client(server, stop=stop)
    threading.Timer(0.3, stop.set).start()
    with pytest.raises(Stopped):
        one.ask(ASK, most=50)


@pytest.mark.parametrize(
    "url", ["ftp://x/v1", "api.openai.com/v1", "http://user:pass@host/v1", "https://h/v1?key=1", ""]
)
def test_addresses_that_are_none(url):
    with pytest.raises(BadInput, match="address"):
        Endpoint("m", url)


@pytest.mark.parametrize("key", ["sk 1", "sk-\n", "ключ"])
def test_keys_that_are_none(key):
    with pytest.raises(BadInput, match="no key"):
        Endpoint("m", "http://127.0.0.1/v1", key)


def test_what_it_costs():
    assert Endpoint("gpt-4.1-mini").costs() == Endpoint("openai/gpt-4.1-mini").costs()
    assert Endpoint("gpt-4.1-mini").costs().of(1_000_000, 1_000_000) == pytest.approx(2.0)
    assert Endpoint("llama3", "http://127.0.0.1:11434/v1").costs() == FREE
    assert Endpoint("somebody/else").costs() is None
    assert Endpoint("somebody/else", price=Price(1, 2)).costs() == Price(1, 2)
