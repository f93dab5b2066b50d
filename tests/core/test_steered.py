"""A steered text taken along: its table, and the Python lines that run the same again."""

from __future__ import annotations

import csv
import dataclasses
import io
import math

import pytest

from core.interchange.steered import COLUMNS, python_line, steer_csv
from core.records import FeatureKey, Message, Push, SteerAsk
from core.workbench import Workbench
from tests import tiny

KEY = FeatureKey.parse(f"{tiny.SAE}/3")
ASK = SteerAsk(model_id="tiny", prompt='The “capital” of\n"it\'s" \\ is', pushes=(Push(KEY, 30.0),), length=6)


@pytest.fixture(scope="module")
def record(bench):
    return bench.steer(ASK)


def rows(record) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(steer_csv(record), newline="")))


def test_every_token_is_a_row_with_both_log_probabilities(record):
    table = rows(record)
    assert tuple(table[0]) == COLUMNS
    for part, own, theirs, text in (("default", "unsteered", "steered", record.default),
                                    ("steered", "steered", "unsteered", record.steered)):  # fmt: skip
        its = [row for row in table if row["part"] == part]
        assert [int(row["id"]) for row in its] == [one.token.id for one in text.tokens]
        for row, one in zip(its, text.tokens, strict=True):
            assert float(row[own]) == pytest.approx(one.logprob)
            assert float(row[theirs]) == pytest.approx(one.other)
            assert float(row["change"]) == pytest.approx(float(row["steered"]) - float(row["unsteered"]))
    gains = [row for row in table if row["part"] == "gain"]
    assert [math.exp(float(row["steered"])) for row in gains] == pytest.approx([s.after for s in record.effect.gains])


def test_no_cell_is_a_formula(record):
    token = dataclasses.replace(record.steered.tokens[0].token, text="=1+1")
    tokens = (dataclasses.replace(record.steered.tokens[0], token=token), *record.steered.tokens[1:])
    changed = dataclasses.replace(record, steered=dataclasses.replace(record.steered, tokens=tokens))
    assert next(row["token"] for row in rows(changed) if row["part"] == "steered") == "'=1+1"


def test_what_has_no_number_is_an_empty_cell(record):
    unknown = dataclasses.replace(record.steered.tokens[0], other=None)
    gone = dataclasses.replace(record.effect.losses[0], after=0.0)
    changed = dataclasses.replace(
        record, steered=dataclasses.replace(record.steered, tokens=(unknown,)),
        effect=dataclasses.replace(record.effect, losses=(gone,)),
    )  # fmt: skip
    table = rows(changed)
    (one,) = [row for row in table if row["part"] == "steered"]
    assert (one["unsteered"], one["change"]) == ("", "")
    (one,) = [row for row in table if row["part"] == "loss"]
    assert (one["steered"], one["change"]) == ("", "")
    apart = dataclasses.replace(record, effect=None)
    assert {row["part"] for row in rows(apart)} == {"default", "steered"}


@pytest.mark.parametrize("ask", [
    ASK,
    dataclasses.replace(ASK, pushes=(Push(KEY, -0.1), Push(FeatureKey.parse(f"{tiny.NEURONS}/5"), 1e-7)), seed=3),
    dataclasses.replace(ASK, method="clamp", unit=True, where="prompt", positions=(1, 2), special=True,
                        watch=(FeatureKey.parse(f"{tiny.SAE}/4"),), temperature=0.0, top_p=0.5, frequency_penalty=1.0),
    dataclasses.replace(ASK, prompt="", messages=(Message("user", "a 'b' \"c\""),)),
])  # fmt: skip
def test_the_line_is_python_that_asks_for_the_same(ask, monkeypatch):
    asked = []
    monkeypatch.setattr(Workbench, "__init__", lambda self: None)
    monkeypatch.setattr(Workbench, "steer", lambda self, given: asked.append(given))
    line = python_line(ask)
    assert "\n" not in line
    exec(line, {})
    assert asked == [ask]
