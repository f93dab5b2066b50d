"""The page of quality draws every figure with its interval, baselines and controls in every chart, and all as data."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import pytest

from components import quality_charts, quality_panels, quality_view, splitting_panels
from components.quality_view import View
from components.resources import glossary
from core.atlas.near.records import SimilarHit, SplittingParent, SplittingRecord
from core.evaluate.records import FIGURES, PARTS, Evaluation, LeaderboardRow, Measured
from core.records import FeatureKey, SourceKey
from tests import measured

KEY = SourceKey.parse("tiny/1-res")
NASTY = '<img src=x onerror="alert(1)">'


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return measured.evaluation(KEY)


def test_every_figure_stands_with_its_interval(found):
    drawn = quality_panels.figures(found)
    for figure in FIGURES:
        value = found.own.figures().get(figure.key)
        if value is not None:
            assert quality_panels.form_of(figure.key)(value.value) in drawn, figure.key
            assert quality_panels.interval(value, quality_panels.form_of(figure.key)) in drawn, figure.key
    assert drawn.count('class="fs-part"') == len(PARTS) and measured.TOKENS.sha256 in drawn
    assert html.escape("with BOS") in drawn


def test_every_term_is_in_the_glossary(found):
    words = glossary()
    for figure in FIGURES:
        assert (figure.term or figure.name.lower()) in words, figure.key
    for term in [*quality_panels.TERMS.values(), *(term for _, _, term in quality_panels._LOSSES)]:
        assert term in words, term
    drawn = quality_charts.every(found) + quality_panels.figures(found) + splitting_panels.choose(View(source=KEY), [])
    bare = re.findall(r'<span class="fs-soft">([^<]+)</span></h', drawn)
    assert not bare, f"without a definition: {bare}"


def test_baselines_and_controls_are_in_every_chart(found):
    for chart in (
        quality_charts.densities, quality_charts.rows, quality_charts.redundancy, quality_charts.scores,
        quality_charts.probing, quality_charts.perturbation, quality_charts.letters, quality_charts.classes,
    ):
        drawn = chart(found)
        for shape in ("source", "pca", "neurons", "random", "control", "kept"):
            assert re.search(rf'class="(?:fs-mk|r) {shape}"', drawn), (chart.__name__, shape)


def test_what_is_not_measured_has_no_chart_and_is_named(found):
    bare = Evaluation(
        source=KEY, own=replace(found.own, features=None, absorption=None, probing=None, tpp=None, interp=None),
        lacking=(("tpp", f"too few texts {NASTY}"),),
    )
    drawn = quality_charts.every(bare)
    assert drawn.count("fs-card") == 1 and "What the model loses" in drawn
    said = quality_panels.lacking(bare)
    assert "too few texts" in said and NASTY not in said and said.count("not measured yet") == 4
    assert "0.920" in quality_panels.said(bare)


def test_text_is_data(found):
    tokens = replace(measured.TOKENS, name=NASTY)
    own = replace(found.own, reconstruction=replace(found.own.reconstruction, on=tokens))
    own = replace(own, probing=replace(own.probing, tasks=(replace(own.probing.tasks[0], label=NASTY),)))
    one = replace(found, own=own, controls=(replace(found.controls[0], name=NASTY, control="other", what=NASTY),))
    row = LeaderboardRow(
        name=NASTY, source=None, kind="sae", architecture="", hook="", layer=0, width=0, release=NASTY, set_name="",
        model_id="", figures={"l0": Measured(3.0)}, provenance=NASTY,
    )
    drawn = quality_panels.figures(one) + quality_charts.every(one) + quality_panels.elsewhere([row], own)
    assert NASTY not in drawn and "&lt;img" in drawn and "<b>apple</b>" not in drawn


def test_nothing_measured_names_the_command():
    drawn = quality_panels.unmeasured(KEY, "")
    assert "python -m core eval tiny/1-res" in drawn and "button" in drawn
    assert "nobody may" in quality_panels.unmeasured(KEY, "nobody may")


# -- the link, and splitting -------------------------------------------------------------------------------------------

WIDE = SourceKey.parse("tiny/1-res__512")


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"wide": "9-none"}, "no source of another width"), ({"threshold": "2"}, "a cosine"),
        ({"threshold": "x"}, "a cosine"), ({"page": "0"}, "“page” of the link"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(query, says):
    view, wrong = quality_view.read(query, KEY, [WIDE])
    assert any(says in one for one in wrong) and view == View(source=KEY, wide=WIDE)


def test_a_view_is_its_link():
    from urllib.parse import parse_qsl, urlsplit

    view = View(source=KEY, wide=WIDE, threshold=0.5, page=3)
    assert quality_view.read(dict(parse_qsl(urlsplit(view.to(page=3)).query)), KEY, [WIDE]) == (view, [])


def test_splitting_shows_who_becomes_whom():
    def hit(source: SourceKey, index: int, value: float) -> SimilarHit:
        return SimilarHit(feature=FeatureKey(source.model_id, source.source_id, index), value=value, label=NASTY)

    record = SplittingRecord(
        narrow=WIDE, wide=KEY, threshold=0.7, parents=3, children=5, split=1, persist=1, gone=1, new=2, chance=0.01,
        counts=(1, 1, 1), best=(0, 2, 3), best_by_chance=(5, 0, 0),
        rows=(SplittingParent(hit=hit(WIDE, 4, 1.0), children=14, listed=(hit(KEY, 7, 0.93), hit(KEY, 8, 0.81))),),
    )  # fmt: skip
    drawn = splitting_panels.result(View(source=KEY, wide=WIDE), splitting_panels.Html(""), record)
    assert NASTY not in drawn and "0.93" in drawn and "and 12 more" in drawn and "60 %" in drawn
    assert f"/feature?id={KEY}/7" in drawn and f"/feature?id={WIDE}/4" in drawn
    empty = splitting_panels.result(View(source=KEY), splitting_panels.Html(""), replace(record, rows=()))
    assert "smaller cosine" in empty
