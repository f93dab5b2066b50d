"""The leaderboard: a link is a view, rows are those that fit, what others measured is never mixed with ours."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlsplit

import pytest

from components import leaderboard_panels, leaderboard_view
from components.leaderboard_view import View
from core.errors import BadInput
from core.evaluate import board
from core.evaluate.records import LeaderboardRow, Measured
from core.records import SourceKey
from tests import measured

NASTY = '<img src=x onerror="alert(1)">'


def row(name: str, width: int = 512, **figures: float) -> LeaderboardRow:
    model, source = name.split("/")
    key = SourceKey.parse(name)
    return LeaderboardRow(
        name=name, source=key, kind="neurons" if "neurons" in source else "sae", architecture="topk",
        hook="blocks.1.hook_resid_pre", layer=1, width=width, release="r", set_name=key.set_name, model_id=model,
        figures={one: Measured(value, value - 0.01, value + 0.01) for one, value in figures.items()},
        provenance="measured here", made="2026-11-22T10:00:00",
    )  # fmt: skip


def theirs(**figures: float) -> LeaderboardRow:
    return LeaderboardRow(
        name=NASTY, source=None, kind="sae", architecture="", hook="", layer=-1, width=4096, release=NASTY,
        set_name=NASTY, model_id="elsewhere", figures={one: Measured(value) for one, value in figures.items()},
        provenance=NASTY,
    )  # fmt: skip


ROWS = [
    row("m/1-res", l0=30.0, ce_loss_score=0.97, explained_variance=0.9),
    row("m/1-res__2k", 2048, l0=20.0, ce_loss_score=0.95, explained_variance=0.88),
    row("m/2-res", l0=40.0, ce_loss_score=0.90, explained_variance=0.8),
    row("n/1-neurons"),
    theirs(l0=5.0, ce_loss_score=0.999),
]


@pytest.mark.parametrize(
    "view",
    [
        View(models=("m", "n"), kinds=("sae",), sets=("res",), q="a & b", part="probing", sort="-l0", x="width"),
        View(y="tpp", beside=False, elsewhere=False, unmeasured=True, sort="name"),
        View(),
    ],
)
def test_a_view_is_its_link(view):
    query = dict(parse_qsl(urlsplit(view.to()).query))
    assert leaderboard_view.read(query, ROWS) == (view, [])


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"sort": "beauty"}, "“sort”"), ({"x": "beauty"}, "“x”"), ({"part": "beauty"}, "“part”"),
        ({"models": "m,none"}, "“models”"), ({"kinds": "toy"}, "“kinds”"), ({"sets": "none"}, "“sets”"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(query, says):
    assert any(says in one for one in leaderboard_view.read(query, ROWS)[1])


def names(view: View) -> list[str]:
    return [one.name for one in leaderboard_view.chosen(view, ROWS)]


def test_rows_are_those_that_fit_in_their_order():
    assert names(View()) == ["m/1-res", "m/1-res__2k", "m/2-res", NASTY]
    assert names(View(sort="l0")) == [NASTY, "m/1-res__2k", "m/1-res", "m/2-res"]
    assert names(View(sort="-explained_variance")) == ["m/1-res", "m/1-res__2k", "m/2-res", NASTY], "without it: last"
    assert names(View(elsewhere=False, q="TOPK res__2k")) == ["m/1-res__2k"]
    assert names(View(unmeasured=True, models=("n",))) == ["n/1-neurons"]
    assert names(View(kinds=("neurons",))) == []
    with pytest.raises(BadInput, match="no column"):
        board.chosen(ROWS, sort="beauty")


def test_the_front_is_of_what_was_measured_here():
    """Theirs, at L0 5 and 0.999, would beat every other; it is drawn with a mark of its own and no front goes by it."""
    drawn = leaderboard_panels.plot(View(), leaderboard_view.chosen(View(), ROWS), [measured.evaluation("m/1-res")])
    on = re.findall(r'class="fs-xy-dot on[^"]*"[^>]*>\s*<i class="fs-mk (\w+)"></i>(?:<small>([^<]*))?', drawn)
    assert sorted(on) == [("here", "1-res"), ("here", "1-res__2k")]
    assert 'fs-mk bench"' in drawn and NASTY not in drawn
    for shape in ("pca", "neurons", "random", "control", "kept"):
        assert f'<i class="fs-mk {shape}"></i>' in drawn, shape


def test_axes_may_be_any_figures():
    for x, y in (("width", "explained_variance"), ("l0", "l0"), ("redundancy_cosine", "l2_ratio"), ("tpp", "mse")):
        assert "fs-card" in leaderboard_panels.plot(View(x=x, y=y), ROWS, [measured.evaluation("m/1-res")])
    assert "both figures" in leaderboard_panels.plot(View(x="tpp"), ROWS, [])


def test_the_table_shows_intervals_provenance_and_the_best_of_ours():
    drawn = leaderboard_panels.table(View(sort="-l0"), leaderboard_view.chosen(View(), ROWS))
    assert "95 % interval 0.9600 to 0.9800" in drawn and 'aria-sort="descending"' in drawn
    assert "<b>0.9700</b>" in drawn and "<b>0.9990</b>" not in drawn and "fs-theirs" in drawn and NASTY not in drawn
    assert "/api/leaderboard?sort=-l0&amp;format=csv" in drawn
    tools = leaderboard_panels.tools(View(), ROWS)
    assert "measured elsewhere" in tools and "not measured yet" in tools and NASTY not in tools
    assert "fits" in leaderboard_panels.nothing(View(), any_rows=True)
