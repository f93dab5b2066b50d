"""Steering records in a notebook and as data frames: whole, escaped, and the same numbers as the records."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from core import notebook
from core.records import FeatureKey, Records, SteerAsk, Token
from core.settings import Settings
from core.workbench import SWEEP, Workbench
from tests import tiny
from tests.core.test_notebook import EVIL, Checked

ASK = SteerAsk.of(
    "tiny", "My fellow citizens", {f"{tiny.SAE}/3": 4.0, f"{tiny.NEURONS}/5": -2.5}, length=9,
    watch=(FeatureKey.parse(f"{tiny.SAE}/4"),),
)  # fmt: skip


@pytest.fixture(scope="module")
def run(bench):
    return bench.steer(ASK)


@pytest.fixture(scope="module")
def swept(bench):
    return bench.sweep(ASK)


@pytest.fixture(scope="module")
def direction(tiny_root, tmp_path_factory):
    own = Workbench(Settings(data=tmp_path_factory.mktemp("own"), demo=tiny_root))
    return own.new_vector("tiny", "blocks.1.hook_resid_pre", [3.0] + [0.0] * 30 + [4.0], label="mine")


def test_a_run_is_a_row_a_token(run):
    frame = run.to_pandas()
    for name, text in (("default", run.default), ("steered", run.steered)):
        rows = frame[frame["text"] == name]
        assert rows["token"].tolist() == [one.token.text for one in text.tokens]
        assert rows["logprob"].tolist() == [one.logprob for one in text.tokens]
        own, other = ("unsteered", "steered") if name == "default" else ("steered", "unsteered")
        assert rows[own].tolist() == [one.logprob for one in text.tokens]
        assert rows[other].tolist() == [one.other for one in text.tokens]
        assert rows["change"].tolist() == (rows["steered"] - rows["unsteered"]).tolist()
        assert rows["position"].tolist() == list(range(len(text.tokens)))
    both = Records([run, run]).to_pandas()
    assert len(both) == 2 * len(frame) and both["run"].unique().tolist() == [0, 1]
    assert len(frame.explode(["likeliest", "likeliest_logprobs"])) == 5 * len(frame)


def test_a_run_that_is_not_done_yet(bench):
    """Its tokens are scored only later: nothing is made up."""
    records = bench.steering(ASK)
    first, second = next(records), next(records)
    records.close()
    assert first.to_pandas().empty
    frame = second.to_pandas()
    assert frame["change"].isna().all() and frame["logprob"].notna().all()
    Checked(first._repr_html_()), Checked(second._repr_html_())


def test_a_sweep_is_a_row_a_strength(swept):
    frame = swept.to_pandas()
    assert frame["factor"].tolist() == list(SWEEP)
    assert frame["strengths"].tolist() == [[4.0 * f, -2.5 * f] for f in SWEEP]
    for name in ("divergence", "perplexity"):
        assert frame[name].tolist() == [getattr(row, name) for row in swept.rows]
    assert frame["text"].tolist() == [row.text.text for row in swept.rows]
    tokens = frame.explode(["tokens", "logprobs", "unsteered"])
    assert len(tokens) == sum(len(row.text.tokens) for row in swept.rows)


def test_a_direction_is_a_row(direction):
    (row,) = Records([direction]).to_pandas().to_dict("records")
    assert row["direction"] == str(direction.key) and row["values"] == list(direction.values)
    assert row["length"] == pytest.approx(5) and row["numbers"] == 32 and row["label"] == "mine"


def test_a_run_is_drawn(run):
    page = Checked(run._repr_html_())
    for text in (run.default, run.steered):
        for one in text.tokens:
            told = f"log-probability {one.logprob:.3g}, {one.other:.3g} with"
            assert any(title.startswith(told) for title in page.titles)
    for push in run.pushes:
        assert str(push.key) in page.text and f"{push.strength:.4g}" in page.text and push.hook in page.text
        assert f"{push.strength / push.maximum:.3g}×" in page.text
    assert page.text.count("My fellow citizens") == 2, "the prompt before each text"
    assert "<|endoftext|>My" not in page.text
    assert f"divergence {run.effect.divergence:.4g} nats" in page.text
    assert all(f"{one.before:.3g} → {one.after:.3g}" in page.titles for one in run.effect.gains[:8])
    (watched,) = run.effect.watched
    assert f"{max(watched.before):.4g}" in page.text and f"{max(watched.after):.4g}" in page.text
    assert notebook.RISING in run._repr_html_() and notebook.FALLING in run._repr_html_()
    assert len(run._repr_html_()) < 40_000


def test_the_hue_says_what_steering_did(run):
    """To both texts: a token of the default text that steering makes likelier is not drawn as if it made it rarer."""
    one = run.default.tokens[0]
    default = replace(run.default, tokens=(replace(one, logprob=-5.0, other=-1.0),))
    steered = replace(run.steered, tokens=(replace(one, logprob=-1.0, other=-5.0),))
    likelier = replace(run, default=default, steered=steered, effect=None)
    page = likelier._repr_html_()
    assert page.count(f"rgba({notebook.RISING},0.65)") == 2 and notebook.FALLING not in page
    assert "full depth where steering changed a log-probability by 4 nats" in Checked(page).text


def test_a_sweep_is_drawn(swept):
    page = Checked(swept._repr_html_())
    for row in swept.rows:
        for number in (f"{row.factor:g}", f"{row.divergence:.4g}", f"{row.perplexity:.4g}"):
            assert number in page.text
    silent = replace(swept.rows[0], perplexity=None, text=replace(swept.rows[0].text, tokens=(), text=""))
    Checked(replace(swept, rows=(silent,))._repr_html_())


def test_a_direction_is_drawn_without_its_numbers(direction):
    page = Checked(Records([direction])._repr_html_())
    assert str(direction.key) in page.text and "mine" in page.text and "values" not in page.text
    assert len(page.text) < 400


def test_text_from_outside_is_data(run, swept, direction):
    token = Token(5, EVIL)
    one = replace(run.steered.tokens[0], token=token, top=(replace(run.steered.tokens[0].top[0], token=token),))
    text = replace(run.steered, tokens=(one,), text=EVIL)
    pushes = (replace(run.pushes[0], label=EVIL, hook=EVIL),)
    gains = (replace(run.effect.gains[0], token=token),)
    watched = (replace(run.effect.watched[0], label=EVIL),)
    effect = replace(run.effect, gains=gains, losses=gains, watched=watched)
    prompts = {"prompt": (token,), "steered_prompt": (token,)}
    nasty = replace(run, **prompts, default=text, steered=text, pushes=pushes, effect=effect)
    other = replace(swept, prompt=(token,), pushes=pushes, rows=(replace(swept.rows[0], text=text),))
    for shown in (nasty, other, replace(direction, label=EVIL, hook=EVIL)):
        page = Checked(shown._repr_html_())
        assert EVIL in page.text and not page.tags & {"script", "a", "img", "style"}
        assert page.attributes <= {"class", "style", "title"}
        assert "mathjax_ignore" in shown._repr_html_()
    assert not math.isnan(run.effect.divergence)
