"""A judge's answer: in any order and form; nonsense is no answer, which is not a “no”."""

from __future__ import annotations

import json

import pytest

from core.explain.scoring.judging import probabilities


@pytest.mark.parametrize(
    "answer",
    [
        '{"1": 0.9, "2": 0.1, "3": 1}',
        '{"3": 1, "1": 0.9, "2": 0.1}',
        '```json\n{"1": 0.9, "2": 0.1, "3": 1.0}\n```',
        'Let me think. Text [2] is odd.\n{"1": 0.9, "2": 0.1, "3": 1}',
        "[0.9, 0.1, 1]",
        '{"answers": [0.9, 0.1, 1]}',
        '{"results": {"1": 0.9, "2": 0.1, "3": true}}',
        '[{"id": 3, "probability": 1}, {"id": 1, "probability": 0.9}, {"id": 2, "probability": 0.1}]',
        '{"excerpt 1": 0.9, "Excerpt 2": 0.1, "excerpt_3": 1}',
        "1: 0.9\n2: 0.1\n3: 1",
        "3) 100%\n1) 90 %\n2) 10%",
        '{"1": "90%", "2": "10%", "3": "100%"}',
        '{"1": 90, "2": 10, "3": 100}',
        '<think>{"1": 0, "2": 0, "3": 0}</think>{"1": 0.9, "2": 0.1, "3": 1}',
        '{"1": {"probability": 0.9, "why": "…"}, "2": {"probability": 0.1}, "3": {"probability": 1}}',
    ],
)
def test_forms(answer):
    assert probabilities(answer, 3) == pytest.approx([0.9, 0.1, 1.0])


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("1: yes\n2: no\n3: Yes.", [1, 0, 1]),
        ('["yes", "no", "yes"]', [1, 0, 1]),
        ("[1, 0, 1]", [1, 0, 1]),
        ("[true, false, true]", [1, 0, 1]),
        ("- Text 1: yes\n- Text 2: no\n- Text 3: yes", [1, 0, 1]),
    ],
)
def test_words_and_labels(answer, said):
    assert probabilities(answer, 3) == said


@pytest.mark.parametrize(
    "answer",
    ["", "I cannot help with that.", "<html>502</html>", "[0.9, 0.1]", "[1, 1, 1, 1]", '{"4": 1}', '{"1": "maybe"}',
     '{"1": NaN, "2": -3, "3": 1e9}', '{"1": null}', "[" * 5000],
)  # fmt: skip
def test_nonsense_is_no_answer(answer):
    assert probabilities(answer, 3) == [None, None, None]


def test_what_is_left_out_is_no_answer_and_the_rest_counts():
    assert probabilities('{"1": 0.9, "3": 0.2}', 3) == [0.9, None, 0.2]
    assert probabilities(json.dumps({"1": 1, "2": "perhaps", "3": 0}), 3) == [1, None, 0]
