"""The steering page: what it shows is the workbench's, every state is one, and a saved run needs no model."""

from __future__ import annotations

import base64
import dataclasses
import json
import threading
import time
from collections.abc import Callable

import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from components import resources, steer_answers, steer_parts, steering
from components.steer_view import parameters
from core.errors import Busy
from core.records import FeatureKey, Message, Preset, Push, Records, SteerAsk, Step
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html, notes, visit

KEY = FeatureKey.parse(f"{tiny.SAE}/3")
NEURON = FeatureKey.parse(f"{tiny.NEURONS}/5")
BAD = "<img src=x onerror=alert(1)>"
ASK = SteerAsk(model_id="tiny", prompt="The capital of", pushes=(Push(KEY, 30.0),), length=6)
CHAT = dataclasses.replace(ASK, prompt="", messages=(Message("user", "Hi"),))


@pytest.fixture(scope="module")
def mine(tiny_root, tmp_path_factory):
    """A workbench that may keep things, over the tiny sources; its model is loaded."""
    made = Workbench(Settings(data=tmp_path_factory.mktemp("kept"), demo=tiny_root))
    made.steer(dataclasses.replace(ASK, length=1))
    return made


@pytest.fixture(autouse=True)
def told(mine, monkeypatch):
    """What each part of the page was given, the last time that it was drawn."""
    monkeypatch.setattr(resources, "workbench", lambda: mine)
    st.cache_resource.clear()  # also what a visitor has: all of these tests are one
    given: dict[str, dict] = {}

    def part(name: str) -> Callable[..., None]:
        return lambda **k: given.__setitem__(name, json.loads(json.dumps(k["data"])))

    for name in ("setup", "prompt", "texts"):
        monkeypatch.setattr(steer_parts, f"_{name}", part(name))
    return given


@pytest.fixture
def steer(told):
    """Opens the page of an ask and draws it again, as a browser's clock does, until nothing more comes."""

    def open_(ask: SteerAsk = ASK, **more: str) -> AppTest:
        query = {name: value for name, value in parameters(ask).items() if value}
        app = visit("steer.py", **query, **more)
        for _ in range(400):
            if told["texts"]["state"] not in ("waiting", "writing") and 'class="fs-wait"' not in html(app):
                return app
            threading.Event().wait(0.05)
            app.run()
            assert not app.exception, app.exception
        pytest.fail("it never ended")

    return open_


def written(told, name: str) -> list[tuple]:
    data = told["texts"]
    return [(data["vocab"][at][0], own, other) for at, own, other, _ in data[name]["tokens"]]


def same(text) -> list[tuple]:
    return [
        (one.token.id, pytest.approx(one.logprob, rel=1e-4), pytest.approx(one.other, rel=1e-4)) for one in text.tokens
    ]


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_before_anything_is_steered_there_is_a_way_to_begin_and_no_model(told, monkeypatch):
    monkeypatch.setattr(Workbench, "steering", lambda *_, **__: pytest.fail("nothing was asked"))
    preset = Preset(name="A preset", note=BAD, ask=ASK)
    monkeypatch.setattr(Workbench, "presets", lambda self, model_id=None: Records([preset]))
    app = visit("steer.py")
    assert not notes(app)
    assert "or begin with one of these" in html(app)
    assert BAD not in html(app)
    assert "texts" not in told
    assert told["setup"]["presets"] is None, "they stand beside it already"
    assert told["prompt"]["chats"] is False


def test_neuronpedia_s_link_sets_the_feature_and_waits_for_a_prompt(told, mine, monkeypatch):
    monkeypatch.setattr(Workbench, "steering", lambda *_, **__: pytest.fail("nothing was asked"))
    app = visit("steer.py", source="1-res", index="3", strength="30")
    assert not notes(app)
    assert told["setup"]["asked"]["features"] == [{"id": str(KEY), "strength": "30"}]
    (known,) = told["setup"]["features"]
    record = mine.feature(KEY)
    assert (known["label"], known["max"]) == (record.label or "Feature 3", record.maximum)
    assert "Write a prompt" in html(app)


@pytest.mark.parametrize("ask", [
    ASK,
    dataclasses.replace(ASK, method="clamp", pushes=(Push(KEY, 9.0), Push(NEURON, -2.0)), seed=4, temperature=0.0),
    dataclasses.replace(ASK, where="prompt", positions=(1, 2), unit=True, special=True, top_p=0.5),
])  # fmt: skip
def test_a_link_shows_what_the_workbench_writes(mine, told, steer, ask):
    app = steer(ask)
    expected = mine.steer(ask)
    assert not notes(app)
    assert told["texts"]["state"] == "done"
    assert written(told, "default") == same(expected.default)
    assert written(told, "steered") == same(expected.steered)
    drawn = html(app)
    assert "Sweep strengths" in drawn
    assert "Copy link" in drawn
    assert f"{expected.effect.divergence:.2f}"[:3] in drawn


def test_watched_features_are_shown_before_and_after(told, steer):
    app = steer(dataclasses.replace(ASK, watch=(NEURON, KEY)))
    drawn = html(app)
    assert "Watched features" in drawn
    assert drawn.count('class="fs-beside"') == 2
    assert [one["id"] for one in told["setup"]["watched"]] == [str(NEURON), str(KEY)]


def test_the_same_link_is_written_once(mine, told, steer, monkeypatch):
    steer()
    monkeypatch.setattr(Workbench, "steering", lambda *_, **__: pytest.fail("it is there already"))
    app = visit("steer.py", **{name: value for name, value in parameters(ASK).items() if value})
    assert told["texts"]["state"] == "done"
    app.run()
    assert told["texts"]["state"] == "done"


def test_a_sweep_is_a_table_of_what_the_workbench_finds(mine, steer):
    drawn = html(steer(sweep="1"))
    expected = mine.sweep(ASK)
    assert drawn.count('<th scope="row"') == len(expected.rows) == 7
    for row in expected.rows:
        assert f"{row.factor:g} ×".replace("-", "−") in drawn
    assert "Perplexity of the text" in drawn


def test_a_sweep_says_that_it_is_written_and_what_went_wrong(mine, told, monkeypatch, steer):
    steer()
    go = threading.Event()

    def slow(self, ask, *_, **__):
        go.wait(10)
        raise Busy("The server is busy: 3 wait.")

    with monkeypatch.context() as patch:
        patch.setattr(Workbench, "sweep", slow)
        query = {name: value for name, value in parameters(ASK).items() if value}
        waiting = visit("steer.py", **query, sweep="1")
        assert "at seven strengths…" in html(waiting)
        go.set()
        assert "The server is busy" in html(steer(sweep="1"))
    assert "Perplexity of the text" in html(steer(sweep="1")), "the next visit tries again"


def test_a_sweep_that_is_left_is_stopped(mine, told, monkeypatch, steer):
    steer()
    ended = threading.Event()

    def endless(self, ask, *_, tell):
        try:
            for n in range(1000):
                tell(Step(doing="writing", done=n, of=1000))
                time.sleep(0.01)
        finally:
            ended.set()

    monkeypatch.setattr(Workbench, "sweep", endless)
    query = {name: value for name, value in parameters(ASK).items() if value}
    app = visit("steer.py", **query, sweep="1")
    assert "of 1,000 tokens…" in html(app) and ">Stop</a>" in html(app) and not ended.is_set()
    del app.query_params["sweep"]
    app.run()
    assert ended.wait(10) and "Sweep strengths" in html(app)


# -- a saved run -------------------------------------------------------------------------------------------------------


def test_a_saved_run_is_shown_without_a_model(mine, told, monkeypatch):
    kept = mine.steer(dataclasses.replace(ASK, watch=(NEURON,)), keep=True)
    for name in ("steering", "steer", "sweep", "warm", "test"):
        monkeypatch.setattr(Workbench, name, lambda *_, **__: pytest.fail("a saved run needs no model"))
    monkeypatch.setattr(Workbench, "_model_slot", lambda *_, **__: pytest.fail("a saved run needs no model"))
    monkeypatch.setattr(resources, "ready", lambda model_id: False)
    app = visit("steer.py", run=kept.run)
    assert not notes(app)
    assert written(told, "steered") == same(kept.steered)
    assert written(told, "default") == same(kept.default)
    assert "no model was run" in told["texts"]["said"]
    assert told["texts"]["again"].startswith("/steer?")
    assert told["prompt"]["asked"]["prompt"] == ASK.prompt
    assert told["setup"]["asked"]["features"] == [{"id": str(KEY), "strength": "30"}]
    assert "Watched features" in html(app)
    assert kept.run in html(app)


@pytest.mark.parametrize("run", ["nonsense", BAD, "x" * 500])
def test_a_run_that_is_not_here_says_so(told, run):
    app = visit("steer.py", run=run)
    assert "There is no saved run" in notes(app)
    assert BAD not in html(app)
    assert "texts" not in told


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("query", "says"), [
    ({"features": "1-res/3:abc"}, "The strength of tiny/1-res/3"),
    ({"features": "1-res/99999:3"}, "0 to 63"),
    ({"features": "9-res/3:3"}, "no source “9-res”"),
    ({"features": BAD}, "&lt;img"),
    ({"model": BAD}, "There is: tiny"),
    ({"method": "bogus"}, "add, orthogonal"),
    ({"temperature": "9"}, "from 0 to 2"),
    ({"tokens": "99"}, "99 left out"),
    ({"watch": "1-res/99999"}, "0 to 63"),
])  # fmt: skip
def test_a_bad_link_says_what_would_do_and_shows_the_rest(told, query, says):
    asked = {"prompt": "The capital of", "features": "1-res/3:30,0-neurons/5:1", "length": "3"}
    if "features" in query:
        query = {"features": f"{query['features']},0-neurons/5:1"}
    app = visit("steer.py", **asked | query)
    assert says in notes(app)
    assert BAD not in html(app)
    assert {"id": str(NEURON), "strength": "1"} in told["setup"]["asked"]["features"]


@pytest.mark.parametrize(("ask", "says"), [
    (dataclasses.replace(ASK, prompt="a " * 40, length=40), "leaves no room"),
    (dataclasses.replace(ASK, prompt="a " * 400), "too long"),
    (dataclasses.replace(ASK, prompt="x" * 20_000), "too long"),
    (CHAT, "no chat model"),
    (dataclasses.replace(ASK, pushes=tuple(Push(FeatureKey("tiny", "1-res", n), 1.0) for n in range(17))), "too many"),
])  # fmt: skip
def test_what_cannot_be_run_says_why_in_the_texts_place(told, steer, ask, says):
    app = steer(ask)
    assert told["texts"]["state"] == "failed"
    assert says in told["texts"]["message"]
    assert "Take it with you" not in html(app)


def test_no_trace_of_a_fault_reaches_a_reader(told, steer, monkeypatch):
    def fault(self, *_, **__):
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(Workbench, "steering", fault)
    app = steer()
    assert "Something went wrong on this server" in told["texts"]["message"]
    assert "secret" not in html(app) + json.dumps(told)


def test_how_far_it_is_is_said(mine, monkeypatch, told):
    class Stands:
        state, record, step, message = "waiting", None, None, ""

    view = steering.View(ask=ASK)
    monkeypatch.setattr(resources, "ready", lambda model_id: False)
    assert "Loading the model" in steering._said(view, Stands())
    monkeypatch.setattr(resources, "ready", lambda model_id: True)
    assert "Reading the text" in steering._said(view, Stands())
    Stands.step = Step(doing="waiting", before=2)
    assert "2 requests are before this one" in steering._said(view, Stands())
    Stands.step = Step(doing="waiting", before=0)
    assert "this one is read next" in steering._said(view, Stands())
    Stands.state = "stopped"
    assert "before anything" in steering._said(view, Stands())


def test_a_broken_file_of_presets_or_directions_is_said_and_the_page_stands(monkeypatch, told):
    def broken(self, model_id=None):
        raise Busy("configs/steer.yaml cannot be read.")

    monkeypatch.setattr(Workbench, "presets", broken)
    monkeypatch.setattr(Workbench, "vectors", broken)
    app = visit("steer.py")
    assert "cannot be read" in notes(app)
    assert told["setup"]["vectors"] == []


def test_an_empty_workbench_says_how_to_begin(tmp_path, monkeypatch):
    empty = Workbench(Settings(data=tmp_path, demo=None))
    monkeypatch.setattr(resources, "workbench", lambda: empty)
    assert "core build" in html(visit("steer.py"))


# -- what the setup and the prompt ask ---------------------------------------------------------------------------------


def ask(what: str, **more: object) -> dict:
    return json.loads(json.dumps(steer_answers.answer("tiny", {"what": what, "n": 1} | more)))


@pytest.mark.parametrize(
    "text", ["1-res:3", "tiny/1-res/3", "https://www.neuronpedia.org/tiny/1-res/3", "3", " 1-res/3 "]
)
def test_a_feature_is_found_by_what_a_person_pastes(mine, text):
    found = ask("find", text=text, near=f"{tiny.SAE}/5")
    assert found["feature"]["id"] == str(KEY)
    assert found["feature"]["max"] == mine.feature(KEY).maximum
    assert found["feature"]["href"] == "/feature?id=tiny/1-res/3"


def test_a_word_finds_features_that_are_called_so(mine):
    table = mine.features(tiny.SAE)
    word = next(label.split(" · ")[0] for label in table["label"] if label.split(" · ")[0].isalpha())
    found = ask("find", text=word)["found"]
    assert found
    for one in found:
        assert word.lower() in (one["label"] + one["promotes"]).lower()


@pytest.mark.parametrize(("text", "says"), [
    ("1-res:99999", "0 to 63"), ("9-res:1", "no source “9-res”"), ("1-res", "is a source"), (BAD, "does not name"),
    ("gpt2-small/8-res-jb/3", "not here"), ("", "does not name"),
])  # fmt: skip
def test_what_names_no_feature_says_what_would_do(text, says):
    assert says in ask("find", text=text, near=f"{tiny.SAE}/5")["message"]


def test_the_tokens_of_a_text_are_told_without_the_model(mine, monkeypatch):
    monkeypatch.setattr(Workbench, "_model_slot", lambda *_: pytest.fail("no model is needed"))
    assert ask("tokens", text=f"The {BAD}")["tokens"][0] == ["<|endoftext|>", True, False]
    assert "too long" in ask("tokens", text="x" * 20_000)["message"]


def test_directions_are_pasted_uploaded_summed_used_and_deleted(mine, told, steer):
    values = [0.5] * 31 + [-1.0]
    hook = "blocks.1.hook_resid_pre"
    pasted = ask("vector", label=BAD, hook=hook, strength="4", numbers=" ".join(map(str, values)))["feature"]
    assert (pasted["label"], pasted["hook"], pasted["strength"], pasted["size"]) == (BAD, hook, 4.0, 32)
    assert pasted["max"] is None
    content = base64.b64encode(json.dumps(values).encode()).decode()
    named = {"name": "d.json", "data": content}
    assert ask("vector", label="f", hook=hook, strength="4", file=named)["feature"]["id"] == pasted["id"]
    made = ask("vector", features=[[str(KEY), 2.0], [f"{tiny.SAE}/4", -0.5]])["feature"]
    assert made["strength"] == 1.0
    assert made["label"] == "2 × 1-res/3 + -0.5 × 1-res/4"
    summed = mine.vector(made["id"])
    assert summed.hook == hook
    assert ask("find", text=pasted["id"])["feature"]["id"] == pasted["id"]

    app = visit("steer.py")
    assert {one["id"] for one in told["setup"]["vectors"]} == {pasted["id"], made["id"]}
    assert BAD not in html(app)
    key = FeatureKey.parse(made["id"])
    steer(dataclasses.replace(ASK, pushes=(Push(key, 1.0),)))
    both = dataclasses.replace(ASK, pushes=(Push(KEY, 2.0), Push(FeatureKey.parse(f"{tiny.SAE}/4"), -0.5)))
    assert written(told, "steered") == same(mine.steer(both).steered), "the sum steers as its features do together"

    assert "message" not in ask("drop", id=pasted["id"])
    assert "no direction" in ask("drop", id=pasted["id"])["message"]
    app = visit("steer.py", features=f"{pasted['id'].split('/', 1)[1]}:3", prompt="The")
    assert "left out" in notes(app)


@pytest.mark.parametrize(("more", "says"), [
    ({"numbers": "1 2"}, "has 2 numbers"), ({"numbers": "a"}, "Number 1"), ({"numbers": ""}, "no numbers"),
    ({"numbers": "1 " * 32, "hook": "nowhere"}, "nowhere"), ({"numbers": "0 " * 32}, "0 everywhere"),
    ({"numbers": "1 " * 32, "strength": "x"}, "is a number"), ({"file": {"name": "a.pkl", "data": ""}}, ".npy"),
    ({"file": {"name": "a.npy", "data": "%%%"}}, "did not arrive whole"),
    ({"features": [["tiny/1-res/3", 1], ["tiny/0-neurons/5", 1]]}, "different places"),
    ({"features": [["zz", 1]]}, "does not name a feature"),
])  # fmt: skip
def test_what_is_no_direction_says_why(more, says):
    given = {"label": "x", "hook": "blocks.1.hook_resid_pre", "strength": "4"} | more
    assert says in ask("vector", **given)["message"]


@pytest.mark.parametrize("more", [
    {"features": 5}, {"features": [["tiny/1-res/3"]]}, {"features": [["tiny/1-res/3", "x"]]}, {"file": "x"},
    {"file": [1]},
])  # fmt: skip
def test_a_question_that_no_script_asks_is_refused(more):
    assert "cannot be read" in ask("vector", **more, strength="1")["message"]


@pytest.mark.parametrize("asked", [{}, {"what": "nothing"}, {"what": None}, {"what": ["find"]}])
def test_a_question_that_is_none_has_no_answer(asked):
    assert steer_answers.answer("tiny", asked) == {}


def test_typing_warms_the_model_and_nothing_else_does(monkeypatch):
    warmed = []
    monkeypatch.setattr(Workbench, "warm", lambda self, model_id: warmed.append(model_id))
    visit("steer.py")
    assert not warmed
    ask("warm")
    assert warmed == ["tiny"]


def test_a_feature_s_page_leads_here():
    assert 'href="/steer?model=tiny&amp;features=1-res/3"' in html(visit("feature.py", id=str(KEY)))
