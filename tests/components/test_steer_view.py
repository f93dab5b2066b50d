"""The steering page's link: what is read from it, what is written into it, and what is said about a bad one."""

from __future__ import annotations

import dataclasses
from urllib.parse import parse_qsl, urlsplit

import pytest

from components import links, steer_panels
from components.steer_view import BOUNDS, STRENGTH, USUAL, Feature, View, parameters, read, within
from core.errors import BadInput, NotFound
from core.records import FeatureKey, Message, Push, SteerAsk
from core.settings import Settings
from core.techniques import asked

LONGEST = Settings().max_length
KEYS = [FeatureKey("m", "2-res", 7), FeatureKey("m", "1-res__16k", 1234), FeatureKey("m", "0-vectors-resid-pre", 99)]


def know(model_id: str, name: str) -> Feature:
    key = FeatureKey.parse(f"{model_id}/{name}")
    if key.index >= 2000:
        raise NotFound(f"{key.source} has features 0 to 1999; there is no {key.index}.")
    own = "vectors" in key.source_id
    return Feature(
        key=key, label="a label", maximum=None if own else 20.0, hook="blocks.0.hook_resid_pre",
        strength=5.0 if own else None,
    )  # fmt: skip


def looked(query: dict[str, str], models: tuple[str, ...] = ("m", "other")) -> tuple[View, list[str]]:
    return read(query, models, know, LONGEST)


def of(address: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(address).query, strict_parsing=True))


ASK = SteerAsk(model_id="m", prompt="The old house was", pushes=(Push(KEYS[0], 30.0),))
CHAT = (Message("system", "Be kind, \"please\"."), Message("user", "Hi & <b>"), Message("assistant", "one"),
        Message("user", "on"))  # fmt: skip
ASKS = [
    ASK,
    dataclasses.replace(ASK, prompt="  two\nlines, “quotes” & <b>ampersands</b> + 100 % 🙂 "),
    dataclasses.replace(ASK, pushes=tuple(Push(key, s) for key, s in zip(KEYS, (-0.1, 1e-7, 123456.789), strict=True))),
    dataclasses.replace(ASK, method="clamp", where="prompt", positions=(0, 3, 11), special=True, unit=True),
    dataclasses.replace(ASK, length=7, temperature=0.0, top_p=0.85, frequency_penalty=-1.5, seed=2**63 - 1),
    dataclasses.replace(ASK, watch=(KEYS[1], KEYS[0])),
    dataclasses.replace(ASK, method="ablate", pushes=(Push(KEYS[0]), Push(KEYS[1]))),
    dataclasses.replace(ASK, prompt="", messages=CHAT),
    dataclasses.replace(
        ASK, prompt="", messages=CHAT, steered_messages=(*CHAT[:2], Message("assistant", "two"), CHAT[3])
    ),
]


@pytest.mark.parametrize("ask", ASKS)
def test_a_link_names_all_that_the_texts_depend_on(ask):
    view, wrong = looked(of(links.steer(**parameters(ask))))
    assert not wrong
    assert view.ask == ask
    assert [one.key for one in view.features] == [push.key for push in ask.pushes]
    assert [one.key for one in view.watched] == list(ask.watch)


def test_a_link_says_nothing_that_is_usual_anyway():
    assert set(of(links.steer(**parameters(ASK)))) == {"model", "features", "prompt"}


@pytest.mark.parametrize("swept", [False, True])
def test_the_address_of_a_view_is_that_view(swept):
    view, _ = looked(of(links.steer(**parameters(ASK), sweep="1" if swept else "")))
    assert looked(of(view.to())) == (view, [])
    other, _ = looked(of(view.to(seed=4, swept=not swept)))
    assert other.ask == dataclasses.replace(ASK, seed=4)
    assert other.swept is not swept


def test_a_saved_run_stays_itself_until_something_is_changed():
    saved = View(ask=ASK, run="abc")
    assert of(saved.to()) == {"run": "abc"}
    assert of(saved.to(swept=True)) == {"run": "abc", "sweep": "1"}
    assert looked(of(saved.to(seed=3)))[0].ask == dataclasses.replace(ASK, seed=3)


def test_as_neuronpedia_writes_it():
    view, wrong = looked({"source": "2-res", "index": "7", "strength": "30"})
    assert not wrong
    assert view.ask.pushes == (Push(KEYS[0], 30.0),)
    assert not view.ready


@pytest.mark.parametrize(("method", "key", "strength"), [
    ("add", KEYS[0], 30.0), ("clamp", KEYS[0], 30.0), ("orthogonal", KEYS[0], 3.0), ("cap", KEYS[0], 0.0),
    ("ablate", KEYS[0], 0.0), ("add", KEYS[2], 5.0),
])  # fmt: skip
def test_without_a_strength_it_takes_one_that_shows_something(method, key, strength):
    view, wrong = looked({"features": f"{key.source_id}/{key.index}", "method": method})
    assert not wrong
    assert view.ask.pushes == (Push(key, strength),)


def test_a_full_id_of_the_same_model_is_a_feature_too():
    assert looked({"features": "m/2-res/7:3"})[0].ask.pushes == (Push(KEYS[0], 3.0),)


BAD = [
    ({"model": "nobody"}, "There is: m, other"),
    ({"features": "2-res/7:abc"}, "The strength of m/2-res/7"),
    ({"features": "2-res/7:nan"}, "The strength of m/2-res/7"),
    ({"features": "2-res/7:1e9"}, "1,000,000"),
    ({"features": "2-res/99999:3"}, "0 to 1999"),
    ({"features": "other/2-res/7:3"}, "<source>/<index>:<strength>"),
    ({"features": "<script>alert(1)</script>"}, "<source>/<index>:<strength>"),
    ({"features": "2-res/7:1,2-res/7:2"}, "named twice"),
    ({"source": "2-res"}, "<source>/<index>:<strength>"),
    ({"method": "bogus"}, "add, orthogonal, clamp, cap, ablate"),
    ({"where": "x"}, "all, prompt, generated"),
    ({"special": "yes"}, "0, 1"),
    ({"unit": "2"}, "0, 1"),
    ({"sweep": "2"}, "0, 1"),
    ({"length": "0"}, f"from 1 to {LONGEST}"),
    ({"length": str(LONGEST + 1)}, f"from 1 to {LONGEST}"),
    ({"length": "1.5"}, "a whole number"),
    ({"temperature": "2.1"}, "from 0 to 2"),
    ({"temperature": "inf"}, "from 0 to 2"),
    ({"top_p": "0"}, "to 1"),
    ({"penalty": "-2.5"}, "from -2 to 2"),
    ({"seed": "-1"}, "a whole number from 0"),
    ({"tokens": "1,x"}, "whole numbers"),
    ({"watch": "zz"}, "left out"),
    ({"watch": "0-vectors-resid-pre/99"}, "no values to watch"),
    ({"features": ",".join(f"2-res/{n}:1" for n in range(40))}, "the first 32 are read"),
    ({"chat": "not json"}, "[[role, text], …]"),
    ({"chat": '[["robot","hi"]]'}, "[[role, text], …]"),
    ({"chat": '[["user"]]'}, "[[role, text], …]"),
    ({"chat": '[["user",3]]'}, "[[role, text], …]"),
    ({"chat": "[" * 100_000}, "[[role, text], …]"),
    ({"chat": '[["user","hi"]]', "prompt": "both"}, "a prompt and a chat"),
]


@pytest.mark.parametrize(("query", "says"), BAD)
def test_a_bad_part_says_what_would_do_and_the_rest_is_read(query, says):
    good = {"features": "2-res/7:30", "prompt": "The"} if "chat" not in query else {"features": "2-res/7:30"}
    view, wrong = looked(good | query)
    assert len(wrong) == 1
    assert says in wrong[0]
    assert view.ask.length == (USUAL.length if "length" in query else view.ask.length)
    again, more = looked(of(view.to()))
    assert (again, more) == (view, []), "what it falls back to is a link without a fault"


def test_what_is_wrong_is_text_on_the_page():
    _, wrong = looked({"features": "<img src=x onerror=alert(1)>", "model": "<b>"})
    drawn = steer_panels.wrong(wrong)
    assert drawn.count("<br>") == len(wrong) - 1
    assert "<img" not in drawn
    assert "<b>" not in drawn
    assert "&lt;img" in drawn


def test_the_bounds_are_those_of_a_run():
    """The same numbers as `core.techniques.asked`, at whose edges a run is still one, and beyond which it is none."""
    settings = Settings()
    assert STRENGTH == asked.STRENGTH
    for bound in BOUNDS:
        high = settings.max_length if bound.name == "length" else bound.high
        step = 1 if bound.whole else 0.01
        for value in (bound.low, high):
            asked.check(dataclasses.replace(ASK, **{bound.field: value}), settings)
        for value in (bound.low - step, high + step):
            with pytest.raises(BadInput):
                asked.check(dataclasses.replace(ASK, **{bound.field: value}), settings)


def test_chosen_tokens_that_the_prompt_does_not_have_are_left_out():
    view, _ = looked({"features": "2-res/7:30", "prompt": "The", "tokens": "1,4,9"})
    kept, wrong = within(view, 5)
    assert kept.ask.positions == (1, 4)
    assert "tokens 0 to 4" in wrong[0]
    assert within(kept, 5) == (kept, [])


@pytest.mark.parametrize(("ask", "ready"), [
    (ASK, True), (dataclasses.replace(ASK, prompt=""), False), (dataclasses.replace(ASK, pushes=()), False),
    (dataclasses.replace(ASK, prompt="", messages=CHAT), True),
])  # fmt: skip
def test_it_is_ready_with_a_feature_and_something_to_go_on_from(ask, ready):
    assert View(ask=ask).ready is ready
