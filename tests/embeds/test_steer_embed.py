"""The steering embed: its endpoint as a program calls it, and what a reader does, over the server's own queue."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import threading
import time
from contextlib import nullcontext
from html import unescape
from urllib.parse import parse_qs, quote, urljoin, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from gradio_client import Client
from gradio_client.exceptions import AppError
from starlette.testclient import TestClient

from api import server as api
from api.pace import Counter
from components import steer_view
from components.steer_run import Run
from core.models.plain import Runner
from core.records import FeatureKey, Push, SteerAsk, Step, Token
from core.settings import Settings
from core.workbench import Workbench
from embeds import server, steer, steer_asked, steer_drawing
from embeds.server import plain
from tests import tiny
from tests.embeds.test_server import NASTY
from tests.embeds.test_tester import Running, mcp

LONG = 60.0
FEATURE, OTHER = f"{tiny.SAE}/3", f"{tiny.SAE}/5"
PROMPT = "My fellow citizens"
ASK = SteerAsk.of("tiny", PROMPT, {FEATURE: 4.0}, length=12, temperature=0.9, seed=3)
GIVEN = {"id": FEATURE, "prompt": PROMPT, "strength": "4", "length": 12, "temperature": 0.9, "seed": 3}
BAD = [
    ({"id": ""}, "Choose at least one feature"),
    ({"id": "nonsense"}, "no source “nonsense”"),
    ({"id": tiny.SAE}, "A feature has an index too"),
    ({"id": f"{tiny.SAE}/64"}, "features 0 to 63"),
    ({"id": "nobody/1-res/3"}, "is not here"),
    ({"id": "<script>alert(1)</script>/1-x/2"}, "."),
    ({"strength": "strong"}, "is a number between"),
    ({"strength": "nan"}, "is a number between"),
    ({"strength": "1e9"}, "is a number between"),
    ({"strength": "1,2"}, "2 strengths for 1 features"),
    ({"id": f"{FEATURE},{FEATURE}"}, "named twice"),
    ({"prompt": ""}, "empty"),
    ({"prompt": "word " * 600}, "reads at most"),
    ({"prompt": "x" * 10_001}, "too long"),
    ({"method": "shout"}, "“shout” is not a value"),
    ({"length": 0}, "whole number from 1"),
    ({"length": 12.5}, "whole number from 1"),
    ({"length": 100_000}, "whole number from 1 to 256"),
    ({"temperature": -1}, "from 0 to 2"),
    ({"seed": "x"}, "whole number"),
]


@pytest.fixture
def own(tiny_root, tmp_path) -> Workbench:
    """A workbench that has kept nothing, with one place in its line."""
    made = Workbench(Settings(data=tmp_path / "data", demo=tiny_root, generations=1))
    made.sweep(dataclasses.replace(ASK, length=1), [1.0])  # loads the model, and compares its hooks
    return made


@pytest.fixture
def gate(monkeypatch):
    """Stops a run before one of its passes until it is let through; `passes` counts them."""

    class Gate:
        def __init__(self):
            self.passes, self.stops = 0, {}

        def stop(self, at):
            self.passes, self.stops = 0, {at: threading.Event()}
            return self.stops[at]

    made, real = Gate(), Runner.pass_

    def pass_(self, *given, **named):
        made.passes += 1
        if made.passes in made.stops:
            assert made.stops[made.passes].wait(LONG)
        return real(self, *given, **named)

    monkeypatch.setattr(Runner, "pass_", pass_)
    return made


def until(holds):
    end = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def line(bench):
    return bench._steerer.line


# -- for programs ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(live) -> Client:
    live.get("/embed/steer/")  # imports Gradio, for which a client has less patience
    return Client(live.url + "/embed/steer/", verbose=False)


def test_a_run_is_the_workbenchs_own(client, bench):
    found = client.predict(**GIVEN, api_name="/steer")
    record = bench.steer(ASK)
    assert (found["STEERED"], found["DEFAULT"]) == (record.steered.text, record.default.text)
    assert found["STEERED"] != found["DEFAULT"] and found["id"] is None
    tokens = found["steeredLogProbs"]
    assert [one["token"] for one in tokens] == [one.token.text for one in record.steered.tokens]
    assert [one["otherLogprob"] for one in tokens] == pytest.approx(
        [one.other for one in record.steered.tokens], abs=1e-4
    )
    assert found["effect"]["divergence"] == pytest.approx(record.effect.divergence, abs=1e-4)


def test_it_takes_numbers_and_other_forms_of_a_name(client):
    found = client.predict(**GIVEN, api_name="/steer")
    for same in (
        {"strength": 4},
        {"strength": 4.0},
        {"id": "1-res:3"},
        {"seed": 3.0, "length": 12.0},
        {"id": f" {FEATURE} "},
    ):
        assert client.predict(**GIVEN | same, api_name="/steer") == found, same


def test_several_features_each_with_its_strength(client, bench):
    several = {"id": f"{FEATURE},{OTHER}", "strength": "4, -3"}
    found = client.predict(**GIVEN | several, api_name="/steer")
    pushes = (Push(FeatureKey.parse(FEATURE), 4.0), Push(FeatureKey.parse(OTHER), -3.0))
    assert found["STEERED"] == bench.steer(dataclasses.replace(ASK, pushes=pushes)).steered.text
    assert found["STEERED"] != client.predict(**GIVEN, api_name="/steer")["STEERED"]


def test_strength_0_changes_nothing(client):
    found = client.predict(**GIVEN | {"strength": "0"}, api_name="/steer")
    assert found["STEERED"] == found["DEFAULT"] and found["DEFAULT"]
    assert all(one["logprob"] == pytest.approx(one["otherLogprob"], abs=1e-5) for one in found["steeredLogProbs"])


def test_without_a_strength_it_is_the_pages_own(client, bench, record):
    given = {name: value for name, value in GIVEN.items() if name != "strength"}
    usual = float(f"{steer_view.TIMES * record.maximum:.3g}")
    assert (
        client.predict(**given, api_name="/steer")["STEERED"]
        == bench.steer(dataclasses.replace(ASK, pushes=(Push(record.key, usual),))).steered.text
    )
    ablated = client.predict(**given, method="ablate", api_name="/steer")
    push = (Push(record.key, 0.0),)
    assert ablated["STEERED"] == bench.steer(dataclasses.replace(ASK, pushes=push, method="ablate")).steered.text


@pytest.mark.parametrize(("bad", "says"), BAD)
def test_bad_input_gets_a_message(client, bad, says):
    with pytest.raises(AppError, match=re.escape(says)) as told:
        client.predict(**GIVEN | bad, api_name="/steer")
    assert "Traceback" not in str(told.value)


@pytest.mark.parametrize(
    "body", ['["\\ud800/1-res/3", "x"]', '["' + FEATURE + '", "a \\udfff"]', "[null, null]", "[[], {}]"]
)
def test_what_is_no_text_is_no_crash(live, client, body):
    found = httpx.post(live.url + "/embed/steer/gradio_api/run/steer", content=f'{{"data": {body}}}', timeout=LONG)
    assert found.status_code >= 400 and "Traceback" not in found.text and "went wrong" not in found.text


def test_the_endpoint_is_named_and_described(live, client):
    described = client.view_api(return_format="dict")
    assert set(described["named_endpoints"]) == {"/steer"} and not described["unnamed_endpoints"]
    names = [one["parameter_name"] for one in described["named_endpoints"]["/steer"]["parameters"]]
    assert names == ["id", "prompt", "strength", "method", "length", "temperature", "seed"]
    told = live.get("/embed/steer/gradio_api/info").json()["named_endpoints"]["/steer"]
    assert "go on from a prompt twice" in told["description"]


def test_it_is_an_mcp_tool(live, client):
    tools, (found, wrong) = mcp(
        live.url + "/embed", ("steer", GIVEN), ("steer", {"id": "nonsense", "prompt": "x"}), name="steer"
    )
    assert set(tools) == {"steer"} and "go on from a prompt twice" in tools["steer"].description
    schema = tools["steer"].inputSchema
    assert schema["required"] == ["id", "prompt"]
    assert all(one["description"] for one in schema["properties"].values())
    assert not found.isError
    assert json.loads(found.content[0].text) == client.predict(**GIVEN, api_name="/steer")
    assert wrong.isError and "no source “nonsense”" in wrong.content[0].text


# -- as a reader does it -----------------------------------------------------------------------------------------------


class Reader:
    """A browser tab with the embed: joins Gradio's queue, and reads what it is sent."""

    SAID = iter(range(10**6))

    def __init__(self, running: Running, address: str = "") -> None:
        self.url = f"http://127.0.0.1:{running.port}/steer"
        (mount,) = [r for r in running.app.routes if getattr(r, "path", "") == "/steer"]
        self.at = {fn.fn.__name__: n for n, fn in mount.app.get_blocks().fns.items()}
        self.session, self.address = f"reader{next(self.SAID)}", address

    def act(self, what: str, *data: object) -> None:
        """Puts one of the blocks' functions into the queue."""
        body = {"fn_index": self.at[what], "data": data, "session_hash": self.session}
        asked = httpx.post(f"{self.url}/gradio_api/queue/join{self.address}", json=body, timeout=LONG)
        assert asked.status_code == 200, asked.text

    def write(self, link: str, prompt: str = PROMPT, amount: float = 4.0) -> None:
        self.act("written", link, prompt, amount)

    def stop(self) -> None:
        body = {"fn_index": self.at["stopped"], "data": [], "session_hash": self.session}
        assert httpx.post(f"{self.url}/gradio_api/run/predict", json=body, timeout=LONG).status_code == 200

    def stream(self):
        return httpx.stream("GET", f"{self.url}/gradio_api/queue/data?session_hash={self.session}", timeout=LONG)

    @staticmethod
    def messages(response):
        for row in response.iter_lines():
            if row.startswith("data: "):
                yield json.loads(row.removeprefix("data: "))

    def states(self, messages):
        """What the outputs are after each message; Gradio sends the first whole, and then changes of it."""
        now = None
        for message in messages:
            if message["msg"] == "process_generating":
                now = (
                    message["output"]["data"]
                    if now is None
                    else [change(a, b) for a, b in zip(now, message["output"]["data"], strict=True)]
                )
                yield now
            elif message["msg"] == "process_completed":
                assert message["success"], message
                if now is None:
                    yield message["output"]["data"]
                return

    def all(self):
        with self.stream() as response:
            return list(self.states(self.messages(response)))


def change(before, steps):
    """Gradio's own edits of JSON: (what, path, value) each."""
    for what, path, value in steps:
        if not path:
            before = before + value if what == "append" else value
            continue
        inner = before = json.loads(json.dumps(before))
        for part in path[:-1]:
            inner = inner[part]
        if what == "append":
            inner[path[-1]] += value
        elif what == "delete":
            del inner[path[-1]]
        else:
            inner[path[-1]] = value
    return before


LINK = "model=tiny&features=1-res/3:4&length=12&temperature=0.9&seed=3"
HEAD, WRITE, STOP, RESULT = range(4)


def words(html: str) -> list[str]:
    """The texts of both columns, without the prompt."""
    found = []
    for section in re.findall(r"<section.*?</section>", html, re.DOTALL):
        bare = re.sub(r'<span class="t given">.*?</span>', "", re.sub(r"<h2>.*?</h2>", "", section))
        found.append(re.sub(r"<[^>]*>", "", re.sub(r'<span class="nl">↵</span> ', "\n", bare)))
    return found


def test_both_texts_grow_side_by_side(own, gate):
    with Running(own) as running:
        go = gate.stop(8)
        reader = Reader(running)
        reader.write(LINK)
        states = []
        with reader.stream() as response:
            for state in reader.states(reader.messages(response)):
                states.append(state)
                if "".join(words(state[RESULT])):
                    go.set()
    record = own.steer(ASK)

    assert [unescape(text) for text in words(states[-1][RESULT])] == [record.default.text, record.steered.text]
    for before, after in itertools.pairwise(states):
        for a, b in zip(words(before[RESULT]), words(after[RESULT]), strict=True):
            assert b.startswith(a.rstrip("\ufffd"))
    assert len(states) > 2
    assert all(state[WRITE]["visible"] is False and state[STOP]["visible"] is True for state in states[:-1])
    assert states[-1][WRITE]["visible"] is True and states[-1][STOP]["visible"] is False
    assert "working" in states[0][RESULT] and "working" not in states[-1][RESULT]
    assert "seed 3 · temperature 0.9" in states[-1][RESULT]


def test_a_token_is_as_deep_as_steering_changed_its_probability(own):
    record = own.steer(ASK)
    run = Run(lambda tell: iter(()), done=record)
    drawn = steer_drawing.texts(run, ready=True)
    default, steered = re.findall(r"<section.*?</section>", drawn, re.DOTALL)
    for section, text, sign in ((default, record.default, -1), (steered, record.steered, 1)):
        boxes = re.findall(r'<span class="(t[^"]*)"(?: style="--v:([\d.]+)")? data-tip', section)
        assert len(boxes) == len(text.tokens)
        for (classes, depth), one in zip(boxes, text.tokens, strict=True):
            by = sign * (one.logprob - one.other)
            wanted = min(1.0, abs(by) / steer_view.SCALE)
            assert ("on" in classes.split()) is (wanted >= 0.02)
            if wanted >= 0.02:
                assert float(depth) == pytest.approx(wanted, abs=5e-4)
                assert ("neg" in classes.split()) is (by < 0)
    one = record.steered.tokens[0]
    assert f"with steering {math.exp(one.logprob) * 100:.2g}" in steered or math.exp(one.logprob) >= 0.1


def test_opening_it_with_a_prompt_runs_it_and_without_one_does_not(own, gate):
    with Running(own) as running:
        gate.passes = 0
        reader = Reader(running, f"?{LINK}")
        reader.act("opened")
        (state,) = reader.all()
        assert gate.passes == 0 and "Write how a text begins" in state[-1]
        reader = Reader(running, f"?id={FEATURE}&strength=4&prompt={quote(PROMPT)}&length=12&temperature=0.9&seed=3")
        reader.act("opened")
        states = reader.all()
    assert gate.passes > 0
    record = own.steer(ASK)
    assert unescape(words(states[-1][-1])[1]) == record.steered.text
    kept = states[0][1]
    assert steer_asked.view(own, steer_asked.unlink(kept) | {"prompt": PROMPT})[0].ask == ASK


def test_the_place_in_line_is_shown_and_a_stop_leaves_it(own):
    with Running(own) as running, line(own).place(1.0):
        reader = Reader(running)
        reader.write(LINK)
        with reader.stream() as response:
            states = reader.states(reader.messages(response))
            assert any("Waiting: this one is read next" in state[RESULT] for state in states)
            other = Reader(running)
            other.write(LINK.replace("seed=3", "seed=4"))
            until(lambda: line(own).waiting() == 2)
            with other.stream() as second:
                others = other.states(other.messages(second))
                assert any("1 request is before this one" in state[RESULT] for state in others)
                other.stop()
                until(lambda: line(own).waiting() == 1)
                *_, last = others
                assert last[STOP]["visible"] is False
            reader.stop()
            until(lambda: line(own).waiting() == 0)
            *_, last = states
            assert "Stopped" in last[RESULT] and last[WRITE]["visible"] is True


def test_a_stop_leaves_what_was_written_and_frees_the_place(own, gate):
    with Running(own) as running:
        go = gate.stop(8)
        reader = Reader(running)
        reader.write(LINK)
        with reader.stream() as response:
            states = reader.states(reader.messages(response))
            until(lambda: gate.passes == 8)
            assert any(words(state[RESULT])[1] for state in states)
            assert line(own).at_work() == 1
            reader.stop()
            *_, last = states
            assert "Stopped: what was written until then." in last[RESULT]
            assert last[WRITE]["visible"] is True and last[STOP]["visible"] is False
            said = unescape(words(last[RESULT])[1])
        go.set()
        until(lambda: line(own).at_work() == 0)
    assert gate.passes < 12
    assert said and own.steer(ASK).steered.text.startswith(said.rstrip("\ufffd"))


def test_a_reader_who_goes_away_frees_the_place(own, gate):
    with Running(own) as running:
        go = gate.stop(8)
        reader = Reader(running)
        reader.write(LINK.replace("length=12", "length=40"))
        with reader.stream() as response:
            messages = reader.messages(response)
            next(messages)
            until(lambda: gate.passes == 8)
            assert line(own).at_work() == 1
        until(lambda: not running_embed(running)._runs)
        go.set()
        until(lambda: line(own).at_work() == 0)
    assert gate.passes < 40


def running_embed(running: Running) -> steer.Steer:
    (mount,) = [r for r in running.app.routes if getattr(r, "path", "") == "/steer"]
    (written,) = [fn.fn for fn in mount.app.get_blocks().fns.values() if fn.fn.__name__ == "written"]
    return written.__self__


def test_a_reader_who_goes_away_leaves_the_line(own):
    with Running(own) as running, line(own).place(1.0):
        reader = Reader(running)
        reader.write(LINK)
        with reader.stream() as response:
            messages = reader.messages(response)
            next(messages)
            until(lambda: line(own).waiting() == 1)
            assert messages
        until(lambda: line(own).waiting() == 0)
        assert line(own).at_work() == 1


@pytest.mark.parametrize("wait", [False, True])
def test_a_program_that_hangs_up_frees_the_place(own, gate, wait):
    """In the line and at work: of the one endpoint that is not queued by Gradio."""
    with Running(own) as running:
        go = gate.stop(6)
        held = line(own).place(1.0) if wait else nullcontext()
        with held:
            url = f"http://127.0.0.1:{running.port}/steer/gradio_api/run/steer"
            given = [FEATURE, PROMPT, "4", "add", 40, 0.9, 3]
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(url, json={"data": given}, timeout=httpx.Timeout(LONG, read=2.0))
            if wait:
                until(lambda: line(own).waiting() == 0)
        go.set()
        until(lambda: line(own).at_work() == 0)
    assert gate.passes < 40


def test_another_run_of_the_same_reader_takes_the_place_of_the_first(own, gate):
    with Running(own) as running:
        go = gate.stop(8)
        reader = Reader(running)
        reader.write(LINK)
        until(lambda: gate.passes == 8)
        first = running_embed(running)._runs[reader.session]
        reader.write(LINK, "The capital of France")
        until(lambda: running_embed(running)._runs.get(reader.session) not in (None, first))
        assert first.state == "stopped"
        go.set()
        with reader.stream() as response:
            *_, _last = (m for m in reader.messages(response) if m["msg"] == "process_completed")
        until(lambda: line(own).at_work() == 0)


def test_a_second_reader_of_the_same_post_costs_no_pass(own, gate):
    counted = []
    with Running(own, counted.append) as running:
        first, second = Reader(running, f"?{LINK}&prompt=A"), Reader(running, f"?{LINK}&prompt=A")
        first.act("opened")
        shown = first.all()[-1][-1]
        gate.passes = 0
        second.act("opened")
        assert second.all()[-1][-1] == shown
    assert gate.passes == 0 and len(counted) == 1


def test_nothing_is_kept_on_disk(own):
    with Running(own) as running:
        reader = Reader(running)
        reader.write(LINK)
        reader.all()
    assert not list(own.settings.data.rglob("*.sqlite*"))


def test_what_a_browser_sends_back_is_not_trusted(own):
    with Running(own) as running:
        for link, amount, says in (
            ("", 4, "Choose at least one feature"), ("model=tiny&features=<b>x</b>", 4, "Choose at least one feature"),
            (LINK, 1e9, "is a number between"), ("model=nobody&features=1-res/3:4", 4, ""), ("%", "x", ""),
        ):  # fmt: skip
            reader = Reader(running)
            reader.act("written", link, PROMPT, amount)
            with reader.stream() as response:
                found = json.dumps(list(reader.messages(response)), ensure_ascii=False)
            assert says in found and "Traceback" not in found and "<b>x</b>" not in found


def test_a_reader_has_no_line_of_gradios(bench):
    (mount,) = [route for route in server.create(bench).routes if getattr(route, "path", "") == "/steer"]
    functions = mount.app.get_blocks().fns.values()
    assert all(fn.concurrency_limit is None for fn in functions)
    assert {fn.fn.__name__ for fn in functions if not fn.queue} == {"steer", "stopped"}


def test_the_pace_of_a_client_is_one_for_api_and_embeds(own):
    """On a clock that stands still, so that nothing is paid off while the tests run."""
    counter = Counter(3, clock=lambda: 1000.0)
    body = {
        "modelId": "tiny",
        "prompt": PROMPT,
        "features": [{"layer": "1-res", "index": "3", "strength": 4}],
        "n_tokens": 2,
    }
    with Running(own, counter) as running:
        running.app.mount("/api", api.create(own, counter))
        url = f"http://127.0.0.1:{running.port}"
        client = Client(f"{url}/steer/", verbose=False)
        assert httpx.post(url + "/api/steer", json=body, timeout=LONG).status_code == 200
        client.predict(**GIVEN, api_name="/steer")
        reader = Reader(running)
        reader.write(LINK)
        reader.all()
        with pytest.raises(AppError, match="at most 3 a minute run a model here"):
            client.predict(**GIVEN, api_name="/steer")
        reader = Reader(running)
        reader.write(LINK, "Another prompt")
        assert "at most 3 a minute run a model here" in reader.all()[-1][RESULT]


# -- addresses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        f"id={FEATURE}&strength=4", "id=1-res:3&strength=4", f"features={FEATURE}:4", "model=tiny&features=1-res/3:4",
        f"id=http://127.0.0.1:8501/feature?id={FEATURE}&strength=4.0",
    ],
)  # fmt: skip
def test_forms_of_an_address(bench, address):
    given = {name: value[0] for name, value in parse_qs(address.replace("feature?id=", "feature?id%3D")).items()}
    found, wrong = steer_asked.view(bench, given | {"prompt": PROMPT})
    assert not wrong
    assert found.ask == SteerAsk.of("tiny", PROMPT, {FEATURE: 4.0})


def test_strengths_belong_to_features_by_their_order(bench):
    found, wrong = steer_asked.view(bench, {"id": f"{FEATURE},nonsense,{OTHER}", "strength": "4,5,-6"})
    assert [(str(p.key), p.strength) for p in found.ask.pushes] == [(FEATURE, 4.0), (OTHER, -6.0)]
    assert len(wrong) == 1 and "nonsense" in wrong[0]
    found, wrong = steer_asked.view(bench, {"id": f"{FEATURE},{OTHER}", "strength": ",2"})
    assert [p.strength for p in found.ask.pushes][1] == 2.0 and not wrong


def test_the_line_that_a_browser_keeps_gives_the_same_view(bench):
    given = {
        "id": f"{FEATURE},{OTHER}", "strength": "4,-1.25", "method": "clamp", "length": "7", "temperature": "0",
        "seed": "99", "top_p": "0.5", "penalty": "1", "where": "prompt", "special": "1", "prompt": "a & b + c",
    }  # fmt: skip
    view, wrong = steer_asked.view(bench, given)
    assert not wrong and view.ask.method == "clamp" and view.ask.frequency_penalty == 1
    again, wrong = steer_asked.view(bench, steer_asked.unlink(steer_asked.link(view)) | {"prompt": view.ask.prompt})
    assert again == view and not wrong
    page = urlsplit(view.to())
    assert page.path == "/steer"

    def know(model, name):
        return steer_asked.steer_features.feature(bench, FeatureKey.parse(f"{model}/{name}"))

    read, wrong = steer_view.read({n: v[0] for n, v in parse_qs(page.query).items()}, ["tiny"], know, 256)
    assert read == view and not wrong


@pytest.mark.parametrize("strength", [0.0, 1.0, -1.0, 0.037, 44.5, 1 / 3, 123456.0, -1e6, 1e-5])
@pytest.mark.parametrize("method", ["add", "orthogonal", "clamp", "cap"])
def test_the_slider_begins_where_the_address_says_and_ends_beyond(bench, strength, method):
    view, _ = steer_asked.view(bench, {"id": FEATURE, "strength": repr(strength), "method": method})
    knob = steer_asked.knob(view)
    assert knob.low < knob.value < knob.high and knob.value == strength and not knob.times
    assert knob.high == -knob.low and knob.high >= abs(strength) * 1.1
    assert 20 <= (knob.high - knob.low) / knob.step
    assert steer_asked.turned(view, knob.value).ask == view.ask
    assert steer_asked.turned(view, 2.5).ask.pushes[0].strength == 2.5
    assert steer_asked.turned(view, None).ask == view.ask


def test_of_several_features_the_slider_multiplies(bench):
    view, _ = steer_asked.view(bench, {"id": f"{FEATURE},{OTHER}", "strength": "4,-3"})
    knob = steer_asked.knob(view)
    assert knob.times and knob.low <= 0 < knob.value == 1.0 < knob.high
    assert steer_asked.turned(view, 1.0).ask == view.ask
    assert [p.strength for p in steer_asked.turned(view, -0.5).ask.pushes] == [-2.0, 1.5]


def test_what_has_no_strength_has_no_slider(bench):
    view, _ = steer_asked.view(bench, {"id": FEATURE, "method": "ablate", "strength": "4"})
    assert steer_asked.knob(view) is None and steer_asked.turned(view, 9.0) == view
    assert steer_asked.knob(steer_asked.view(bench, {})[0]) is None


def test_a_direction_of_ones_own_steers_too(tiny_root, tmp_path):
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    own = bench.new_vector("tiny", "blocks.1.hook_resid_pre", [1.0] * 32, label="all", strength=3.0)
    found, wrong = steer_asked.view(bench, {"id": str(own.key), "prompt": PROMPT})
    assert not wrong and found.ask.pushes == (Push(own.key, 3.0),) and found.features[0].label == "all"


def test_where_nothing_can_be_steered_it_says_so(tmp_path):
    bench = Workbench(Settings(data=tmp_path, demo=None))
    with Running(bench) as running:
        reader = Reader(running, f"?id={FEATURE}")
        reader.act("opened")
        assert "nothing can be steered" in reader.all()[-1][-1]


@pytest.fixture(scope="module")
def app(bench) -> TestClient:
    outer = FastAPI()
    outer.mount("/embed", server.create(bench))
    return TestClient(outer, follow_redirects=False)


def test_an_address_leads_to_its_plain_form():
    assert (
        plain("/steer", f"id={FEATURE}&strength=4&theme=dark&x=1")
        == f"steer/?id={FEATURE}&strength=4&theme=dark&__theme=dark"
    )
    assert plain("/steer/", f"id={FEATURE}&prompt=a+b") == ""


@pytest.mark.parametrize("bad", NASTY)
@pytest.mark.parametrize("name", ["id", "prompt", "strength", "features", "method", "theme", "model"])
def test_no_parameter_gets_into_the_page_unescaped(app, name, bad):
    address = f"/embed/steer?{name}={quote(bad)}"
    for _ in range(3):
        found = app.get(address)
        if found.status_code == 200:
            break
        assert found.status_code == 307
        address = urljoin(address, found.headers["location"])
        assert address.startswith("/embed/steer/")
    assert found.status_code == 200 and "alert(1)" not in found.text


def test_a_chat_unfurls_what_steers(app, record):
    page = app.get(f"/embed/steer/?id={FEATURE},{OTHER}").text
    assert "<title>Steering: " in page and "and others</title>" in page
    assert "<title>Steering</title>" in app.get("/embed/steer/?id=nonsense").text


# -- what is drawn -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", NASTY)
def test_texts_of_a_record_are_escaped(bench, bad):
    record = bench.steer(ASK)
    token = Token(1, bad)
    top = tuple(dataclasses.replace(likely, token=token) for likely in record.steered.tokens[0].top)
    written = dataclasses.replace(record.steered.tokens[0], token=token, top=top)
    text = dataclasses.replace(record.steered, text=bad, tokens=(written,))
    record = dataclasses.replace(record, prompt=(token,), steered_prompt=(token,), default=text, steered=text)
    view, _ = steer_asked.view(bench, {"id": FEATURE, "prompt": bad})
    view = dataclasses.replace(view, features=(dataclasses.replace(view.features[0], label=bad),))
    failed = Run(lambda tell: iter(()), done=record)
    failed.message = bad
    for drawn in (
        steer_drawing.texts(Run(lambda tell: iter(()), done=record), ready=True),
        steer_drawing.texts(failed, ready=True),
        steer_drawing.head(view, "../.."), steer_drawing.strengths(view), steer_drawing.wrong([bad]),
    ):  # fmt: skip
        tags = set(re.findall(r"</?([a-z0-9]+)", drawn))
        assert tags <= {"div", "h1", "h2", "a", "b", "span", "section", "i"}, drawn
        assert not re.search(r"<[^>]*\son\w+=", re.sub(r'="[^"]*"', '=""', drawn)), drawn
        assert all(link.startswith("../../steer?") for link in re.findall(r'href="([^"]*)"', drawn))


def test_the_link_back_is_the_steering_page_as_it_is_now(bench):
    view, _ = steer_asked.view(bench, {"id": FEATURE, "prompt": "a & b", "strength": "4", "seed": "5"})
    drawn = steer_drawing.head(steer_asked.turned(view, -2.5), "../..")
    (href,) = set(re.findall(r'href="([^"]*)"', drawn))
    query = parse_qs(urlsplit(unescape(href)).query)
    assert query == {"model": ["tiny"], "features": ["1-res/3:-2.5"], "prompt": ["a & b"], "seed": ["5"]}
    assert all('target="_blank"' in one and 'rel="noopener"' in one for one in re.findall(r"<a [^>]*>", drawn))
    assert "<a " not in steer_drawing.head(view, ""), "where there is no workbench behind it"


@pytest.mark.parametrize(("method", "says"), [("add", "Strength"), ("clamp", "Its value"), ("ablate", "Taken out")])
def test_a_strength_is_told_in_multiples_of_the_maximum(bench, record, method, says):
    view, _ = steer_asked.view(bench, {"id": FEATURE, "strength": repr(record.maximum * 2), "method": method})
    drawn = steer_drawing.strengths(view)
    assert says in drawn and ("2 × its maximum" in drawn) is (method != "ablate")
    several, _ = steer_asked.view(bench, {"id": f"{FEATURE},{OTHER}", "strength": f"{record.maximum * 2!r},1"})
    assert f"{steer_drawing._number(record.maximum * 2)} · 2 × its maximum" in steer_drawing.strengths(several)


def test_how_far_a_run_is_in_words(bench):
    run = Run(lambda tell: iter(()))
    until(lambda: run._ended.is_set())
    assert steer_drawing.status(run, ready=True) == "Reading the prompt…"
    assert steer_drawing.status(run, ready=False) == "Loading the model…"
    run.step = Step(doing="waiting", before=3)
    assert "3 requests are before this one" in steer_drawing.status(run, ready=True)
