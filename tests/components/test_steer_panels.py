"""What the steering page draws of a record: the same numbers, the same room before and after, and nothing that runs."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import re
from html.parser import HTMLParser

import pytest

from components import steer_panels, steer_payload
from components.resources import define, glossary
from components.steer_view import METHODS, Feature, View
from core.records import (
    Effect,
    FeatureKey,
    Likely,
    Message,
    ModelRecord,
    Preset,
    Push,
    PushRecord,
    Shift,
    SteerAsk,
    SteeredText,
    SteerRecord,
    Sweep,
    SweepRecord,
    Token,
    VectorRecord,
    Watched,
    Written,
)

BAD = '<img src=x onerror="alert(1)">&\'</script>'
KEY, OTHER = FeatureKey("m", "2-res", 7), FeatureKey("m", "3-res", 8)
ASK = SteerAsk(model_id="m", prompt=BAD, pushes=(Push(KEY, 30.0),), watch=(OTHER,), length=3)
BOS = Token(0, "<bos>", special=True)
PROMPT = (BOS, Token(1, BAD), Token(2, " was"))
FEATURE = Feature(key=KEY, label=BAD, maximum=20.0, hook="blocks.2.hook_resid_pre")
WATCHED = Feature(key=OTHER, label=BAD, maximum=8.0, hook="blocks.3.hook_resid_pre")
VIEW = View(ask=ASK, features=(FEATURE,), watched=(WATCHED,))
MODEL = ModelRecord(
    model_id="m", name=BAD, architecture="a", layers=2, d_model=4, d_mlp=8, heads=1, d_vocab=9, context=16,
    parameters=1, origin="here",
)  # fmt: skip


def written(number: int, logprob: float, other: float | None) -> Written:
    return Written(
        Token(number, BAD), logprob, other, (Likely(Token(9, " \n"), -0.5), Likely(Token(number, BAD), -1.5))
    )


def text(*tokens: Written) -> SteeredText:
    return SteeredText(text=BAD, tokens=tokens, ended=False)


EFFECT = Effect(
    gains=(Shift(Token(3, BAD), 0.01, 0.4), Shift(Token(4, " b"), 0.2, 0.3), Shift(Token(5, " c"), 0.00001, 0.0004)),
    losses=(Shift(Token(6, " d"), 0.5, 0.0),), divergence=1.25,
    watched=(Watched(key=OTHER, label=BAD, before=(9.0, 0.0, 2.0), after=(9.0, 4.0, 2.0)),),
)  # fmt: skip
RECORD = SteerRecord(
    ask=ASK, prompt=PROMPT, steered_prompt=PROMPT,
    pushes=(PushRecord(key=KEY, strength=30.0, maximum=20.0, label=BAD, hook="blocks.2.hook_resid_pre", norm=1.0),),
    default=text(written(4, -1.0, -3.0)), steered=text(written(5, -2.0, -5.5), written(6, -1.0, None)), effect=EFFECT,
)  # fmt: skip


def safe(drawn: str) -> None:
    """Only the page's own elements: none of what the text brought."""
    found: list[tuple[str, list[str]]] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append((tag, [name for name, _ in attributes]))
    parser.feed(drawn)
    assert found
    assert not [tag for tag, names in found if tag in ("img", "script") or any(n.startswith("on") for n in names)]


def rows(drawn: str) -> int:
    return len(re.findall(r'class="fs-shift[ "]', drawn))


# -- panels ------------------------------------------------------------------------------------------------------------


def test_the_next_token_is_told_before_and_after():
    drawn = steer_panels.effect(VIEW, RECORD)
    safe(drawn)
    assert "1.0 % → 40 %" in drawn
    assert "50 % → &lt; 0.1 %" in drawn or "50 % → < 0.1 %" in drawn
    assert "× 40.00" in drawn
    assert "<b>1.25</b> nats" in drawn
    assert " c" not in re.sub(r"<[^>]*>", "", drawn), "a token that is never likely says nothing"


def test_it_takes_as_much_room_before_it_is_known():
    both = [rows(steer_panels.effect(VIEW, one)) for one in (None, RECORD)]
    assert both == [2 * steer_panels.SHIFTS] * 2


def test_no_change_and_no_comparison_are_said():
    nothing = dataclasses.replace(RECORD, effect=dataclasses.replace(EFFECT, gains=(), losses=(), divergence=0.0))
    assert "changes nothing" in steer_panels.effect(VIEW, nothing)
    apart = dataclasses.replace(RECORD, effect=None)
    assert "cannot be compared" in steer_panels.effect(VIEW, apart)
    assert not steer_panels.watched(VIEW, apart)


def test_watched_features_have_both_strips_on_one_scale():
    drawn = steer_panels.watched(VIEW, RECORD)
    safe(drawn)
    assert drawn.count('class="fs-strip') == 2
    assert re.findall(r"--v:([\d.]+)", drawn) == ["0.250", "0.500", "0.250"], "of its maximum, 8"
    assert re.findall(r">(2\.00|4\.00)</b>", drawn) == ["2.00", "4.00"], "BOS does not count"
    assert 'href="/feature?id=m/3-res/8"' in drawn


SWEEP = SweepRecord(
    ask=ASK, prompt=PROMPT, pushes=(),
    rows=tuple(
        Sweep(factor=factor, text=SteeredText(text=said, tokens=(), ended=False), divergence=d, perplexity=p)
        for factor, said, d, p in (
            (-1.0, "a\nb", 0.5, 10.0), (0.0, BAD, 0.0, 8.0), (1.0, "word " * 200, 1.0, 24.5), (4.0, "", 2.0, None),
        )
    ),
)  # fmt: skip


def test_a_sweep_is_a_row_a_strength_and_shows_where_it_breaks():
    drawn = steer_panels.sweep(VIEW, SWEEP)
    safe(drawn)
    assert re.findall(r'<th scope="row"[^>]*>([^<]*)</th>', drawn) == ["−1 ×", "0 ×", "1 ×", "4 ×"]
    assert re.findall(r'class="n far">', drawn) == ['class="n far">'], "more than three times the unsteered text’s"
    assert "3.06 times that of the unsteered text" in drawn
    assert "∅" in drawn
    assert drawn.count("<details") == 1, "a long text is folded"
    assert drawn.count("word ") == 200 or drawn.count("word") == 200


def test_a_row_of_a_sweep_leads_to_its_strengths():
    drawn = steer_panels.sweep(VIEW, SWEEP)
    links = [html.unescape(href) for href in re.findall(r'href="([^"]*)" data-tip="Steer with these', drawn)]
    assert [re.search(r"features=2-res/7%3A([^&]*)", link)[1] for link in links] == ["-30", "0", "30", "120"]


def test_the_bars_are_as_high_as_what_they_say():
    drawn = steer_panels.sweep(VIEW, SWEEP)
    first, second = drawn.split("<figure")[1:3]
    heights = [float(h) for h in re.findall(r"height:([\d.]+)%", first)]
    assert heights == pytest.approx([25, 0, 50, 100])
    heights = [float(h) for h in re.findall(r"height:([\d.]+)%", second)]
    assert heights == pytest.approx([100 * math.log(p) / math.log(24.5) for p in (10, 8, 24.5)] + [0], abs=0.1)
    assert float(re.search(r'<hr style="bottom:([\d.]+)%', second)[1]) == pytest.approx(heights[1], abs=0.1)


def test_a_sweep_is_offered_where_strengths_mean_something():
    assert "sweep=1" in steer_panels.sweep_offer(VIEW)
    assert not steer_panels.sweep_offer(View(ask=dataclasses.replace(ASK, method="ablate")))
    safe(steer_panels.sweep_failed(VIEW, BAD))
    safe(steer_panels.sweep_waiting(VIEW, BAD))


def test_presets_are_links_to_all_that_they_set():
    ask = dataclasses.replace(ASK, method="clamp", watch=())
    drawn = steer_panels.begin(View(ask=SteerAsk(model_id="m", pushes=())), [Preset(name=BAD, note=BAD, ask=ask)])
    safe(drawn)
    (href,) = re.findall(r'<a class="fs-card[^"]*" href="([^"]*)"', drawn)
    assert html.unescape(href) == VIEW.to(method="clamp", watch=())
    assert "2-res/7 · 30 · clamp" in drawn


def test_the_head_and_what_is_taken_along_are_safe():
    safe(steer_panels.head(VIEW))
    safe(steer_panels.taking(BAD, "abc"))
    assert "steered(&quot;abc&quot;)" in steer_panels.taking("x", "abc")


# -- what the scripts get ----------------------------------------------------------------------------------------------


def texts(record: SteerRecord | None = RECORD, ask: SteerAsk = ASK) -> dict:
    data = steer_payload.texts(ask, record, mark="m", state="done", said="said", define=define)
    return json.loads(json.dumps(data))


def test_each_token_travels_with_both_log_probabilities_and_what_was_likelier():
    data = texts()
    entry = data["vocab"]
    first, second = data["steered"]["tokens"]
    assert entry[first[0]][1] == BAD, "as data: the script sets it as text"
    assert first[1:3] == [-2.0, -5.5]
    assert second[2] is None
    assert [(entry[i][1], p) for i, p in first[3]] == [(" \n", -0.5), (BAD, -1.5)]
    assert data["default"]["tokens"][0][1:3] == [-1.0, -3.0]
    assert data["of"] == 3


def test_bos_is_not_shown_before_a_prompt_unless_it_is_steered():
    said = [texts()["vocab"][i][1] for i in texts()["default"]["given"]]
    assert said == [BAD, " was"]
    special = dataclasses.replace(ASK, special=True)
    assert len(texts(ask=special)["default"]["given"]) == 3


def test_before_the_first_token_there_is_an_empty_pair():
    data = texts(None)
    assert data["default"]["tokens"] == data["steered"]["tokens"] == []


def test_chats_that_went_different_ways_are_not_compared():
    chat = dataclasses.replace(ASK, prompt="", messages=(Message("user", "a"),))
    assert texts(ask=chat)["scored"]
    apart = dataclasses.replace(chat, steered_messages=(Message("user", "b"),))
    assert not texts(ask=apart)["scored"]
    assert steer_payload.turns(apart) == [["user", "a", "b"]]
    assert steer_payload.turns(chat) == [["user", "a"]]


def test_the_setup_knows_every_feature_direction_and_term():
    own = VectorRecord(
        key=FeatureKey("m", "0-vectors-resid-pre", 5), label=BAD, hook="blocks.0.hook_resid_pre", values=(1.0, 2.0),
        strength=4.0, made="now",
    )  # fmt: skip
    data = steer_payload.setup(
        VIEW, models=[MODEL], vectors=[own], hooks=["h"], presets=[Preset(name=BAD, note=BAD, ask=ASK)],
        define=define, longest=256,
    )  # fmt: skip
    json.dumps(data)
    assert data["asked"]["features"] == [{"id": "m/2-res/7", "strength": "30"}]
    assert data["features"][0]["max"] == 20.0
    assert data["vectors"][0]["own"]
    assert data["vectors"][0]["size"] == 2
    assert "href" not in data["vectors"][0], "there is no page of a direction of one’s own"
    assert [name for name, *_ in data["methods"]] == list(METHODS)
    assert all(about for *_, about in data["methods"]), "each method with its formula"
    assert all(data["about"].values())
    assert all(about for _, _, about, _ in data["numbers"])
    prompt = steer_payload.prompt(VIEW, model=MODEL, tokens=PROMPT, openings=["a"], chats=False, define=define)
    json.dumps(prompt)
    assert all(prompt["about"].values())
    assert prompt["tokens"][0] == ["<bos>", True, False]


@pytest.mark.parametrize("word", [
    "strength sweep", "sweep factor", "steering divergence", "steering perplexity", "steering colour",
    "next-token gains", "next-token losses", "watched features", *(f"steering: {name}" for name in METHODS),
])  # fmt: skip
def test_every_word_of_the_page_is_in_the_glossary(word):
    assert glossary()[word]["text"]


def test_every_formula_is_its_technique_s():
    """The tooltip's formula of each method is the one in the technique's own docstring."""
    from core.techniques import steering

    said = re.sub(r"\s+", " ", (steering.__doc__ or "").replace("·", "").replace("−", "-"))
    for method, formula in {
        "add": "h + s v", "orthogonal": "h + (s - 1)(hv̂) v̂", "cap": "h - max(0, hv̂ - s) v̂",
    }.items():  # fmt: skip
        plain = define(f"steering: {method}").replace("·", "").replace("−", "-")
        assert formula in said
        assert formula.replace(" ", "") in plain.replace(" ", "")
