"""The table of a source: which rows pass, in which order, and links that keep the view."""

from __future__ import annotations

import pandas as pd
import pytest

from components import filters, tables
from core.records import SourceKey


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "index": [0, 1, 2, 3],
            "density": [0.0, 0.02, 1.0, 0.005],
            "maximum": [0.0, 3.0, 9.0, 4.0],
            "active": [0, 20, 1000, 5],
            "label": ["", "France · Paris", "the", "(a|b)"],
            "promotes": ["x", "Rome", "france", "12"],
        }
    )


def asked(**change):
    return filters.Asked(**{"q": "", "density": ("any", "all"), "maximum": 0.0, "active": 0, "sort": "index"} | change)


@pytest.mark.parametrize(
    ("change", "left"),
    [
        ({}, [0, 1, 2, 3]),
        ({"q": "FRANCE"}, [1, 2]),
        ({"q": "france rome"}, [1]),
        ({"q": "2"}, [2, 3]),
        ({"q": "(a|b)"}, [3]),
        ({"q": "nowhere"}, []),
        ({"density": ("1 %", "all")}, [1, 2]),
        ({"density": ("any", "1 %")}, [0, 3]),
        ({"maximum": 4.0}, [2, 3]),
        ({"active": 20}, [1, 2]),
    ],
)
def test_rows_that_pass(frame, change, left):
    assert list(filters.apply(frame, asked(**change))["index"]) == left


def test_order(frame):
    assert list(tables.ordered(frame, "-maximum")["index"]) == [2, 3, 1, 0]
    assert list(tables.ordered(frame, "density")["index"]) == [0, 3, 1, 2]


def test_links_keep_the_filter(frame):
    view = asked(q="a&b", density=("1 %", "10 %"), maximum=2.5, active=3).view()
    drawn = tables.features(SourceKey("m", "1-res"), frame, "-density", 1, view)
    assert "q=a%26b&amp;from=1%20%25&amp;to=10%20%25&amp;maximum=2.5&amp;active=3&amp;sort=-maximum" in drawn
    assert 'aria-sort="descending"' in drawn


def test_pages(frame):
    many = pd.concat([frame] * 40, ignore_index=True)
    drawn = tables.features(SourceKey("m", "1-res"), many, "index", 2, {})
    assert "51 to 100 of 160 features" in drawn
    assert "page 2 of 4" in drawn
    assert "No feature fits" in tables.features(SourceKey("m", "1-res"), frame.iloc[:0], "index", 1, {})
