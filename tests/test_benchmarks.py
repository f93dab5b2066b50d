"""The contract of every benchmark: its rows, its JSON, and what its exit status says."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks.report import Row, main


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row(what="a", ours=9.0, unit="ms", budget="<= 10"), True),
        (Row(what="a", ours=11.0, unit="ms", budget="<= 10"), False),
        (Row(what="a", ours=11.0, yardstick=10.0, ratio=1.1, unit="ms", budget="<= 1.3"), True),
        (Row(what="a", ours=1.0, yardstick=150.0, ratio=150.0, unit="ms", budget=">= 100"), True),
        (Row(what="a", ours=1.0, unit="ms", budget=""), None),
    ],
)
def test_a_budget_is_of_the_ratio_where_there_is_one(row, met):
    assert row.met is met


@pytest.mark.parametrize(("ours", "status"), [(9.0, 0), (11.0, 1)])
def test_json_stands_alone(capsys, monkeypatch, ours, status):
    asked = []

    def measure(quick):
        asked.append(quick)
        yield Row(what="a", ours=ours, unit="ms", budget="<= 10")

    monkeypatch.setattr(sys, "argv", ["benchmark", "--json", "--quick"])
    assert main("A benchmark.", measure) == status
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert list(row) == ["what", "ours", "yardstick", "ratio", "unit", "budget", "met"]
    assert asked == [True]
    monkeypatch.setattr(sys, "argv", ["benchmark"])
    main("A benchmark.", measure)
    assert ("yes" if status == 0 else "no") in capsys.readouterr().out
