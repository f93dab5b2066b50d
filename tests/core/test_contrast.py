"""Two texts side by side, through the workbench, against differences made one feature at a time from SAELens."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from core.errors import BadInput, NotFound
from tests import tiny
from tests.core import naive

A = "Celia’s dog ran to Rome, didn’t it?"  # not as any text of the build begins: see test_search.py
B = "return 🙂 def, my fellow citizens"
NASTY = "<img src=x onerror=alert(1)>\"'"
MEASURES = ("value", "fraction", "percentile", "surprise")


@pytest.fixture(scope="module")
def truth(tiny_config):
    """text -> {source: [tokens, width]}, run alone by Hugging Face and SAELens."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_config.parent / "model")
    places = {tiny.SAE: ("sae", "blocks.1.hook_resid_pre"), tiny.NEURONS: (None, "blocks.0.mlp.hook_post")}

    def go(text: str) -> dict[str, np.ndarray]:
        ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        return {
            name: naive.dense(
                tiny_config.parent / "model", tiny_config.parent / sae if sae else None, [ids], hook, {0}
            ).acts
            for name, (sae, hook) in places.items()
        }

    return go


def score(bench, record, value: float, measure: str) -> float:
    """The slow and obvious way, of an SAE's feature."""
    if measure == "value":
        return value
    if measure == "fraction":
        return value / record.maximum if record.maximum > 0 else 0.0
    source = record.source
    values = bench._open.get(bench.catalog.entry(source.key).folder).entries(record.key.index).values
    count = int((values >= np.float32(value)).sum())
    if measure == "percentile":
        return 1 - min(count, len(values)) / max(1, len(values))
    return -math.log10((count + 1) / (source.tokens + 1))


@pytest.mark.parametrize("measure", MEASURES)
def test_differences_are_those_of_plain_encodes(bench, truth, measure):
    acts = [truth(text)[tiny.SAE] for text in (A, B)]
    expected = {}
    for feature in range(64):
        record = bench.feature(f"{tiny.SAE}/{feature}")
        peaks = [float(one[1:, feature].max()) for one in acts]
        scores = [score(bench, record, value, measure) if value > 0 else 0.0 for value in peaks]
        expected[feature] = (scores, peaks)
    found = bench.contrast("tiny", A, B, sources=[tiny.SAE], measure=measure, top=64)
    assert [t.text for t in found.tokens[0] if not t.special]
    # a value that stands in the build is its own rank, and rounding decides whether it counts itself
    loose = {"percentile": 0.02, "surprise": 0.02}.get(measure, 1e-3)
    for sign, its in ((1, found.first), (-1, found.second)):
        differences = [sign * one.difference for one in its]
        assert all(d > 0 for d in differences)
        assert differences == sorted(differences, reverse=True)
        for one in its:
            scores, peaks = expected[one.key.index]
            assert one.maxima == pytest.approx(peaks, rel=1e-3, abs=1e-4)
            assert one.scores == pytest.approx(scores, rel=loose, abs=loose)
            assert one.difference == pytest.approx(one.scores[0] - one.scores[1])
            for n in range(2):
                np.testing.assert_allclose(one.values[n], acts[n][:, one.key.index], rtol=1e-3, atol=1e-4)
                if one.positions[n] is None:
                    assert peaks[n] == 0
                else:
                    assert one.values[n][one.positions[n]] == one.maxima[n]
    there = {one.key.index for one in (*found.first, *found.second)}
    clear = {f for f, (s, _) in expected.items() if abs(s[0] - s[1]) > loose}
    assert clear <= there
    assert found.totals == (len(found.first), len(found.second))


def test_signed_values_count_by_their_size(bench, truth):
    acts = [truth(text)[tiny.NEURONS][1:] for text in (A, B)]
    found = bench.contrast("tiny", A, B, sources=[tiny.NEURONS], measure="value", top=20)
    for one in (*found.first, *found.second):
        sizes = [float(np.abs(a[:, one.key.index]).max()) for a in acts]
        assert one.difference == pytest.approx(sizes[0] - sizes[1], rel=1e-3, abs=1e-4)
        record = bench.feature(one.key)
        assert one.reach == pytest.approx(max(record.maximum, -record.minimum), rel=1e-4)


def test_over_all_sources_turned_round_and_page_by_page(bench):
    found, turned = bench.contrast("tiny", A, B), bench.contrast("tiny", B, A)
    assert [one.key for one in found.first] == [one.key for one in turned.second]
    assert [one.difference for one in found.second] == [-one.difference for one in turned.first]
    assert found.totals == turned.totals[::-1]
    rest = bench.contrast("tiny", A, B, top=5, offset=5)
    assert rest.first == found.first[5:10]
    assert rest.second == found.second[5:10]
    beyond = bench.contrast("tiny", A, B, offset=100_000)
    assert beyond.first == beyond.second == ()
    assert beyond.totals == found.totals


def test_a_text_does_not_differ_from_itself(bench):
    found = bench.contrast("tiny", A, A)
    assert (found.first, found.second, found.totals) == ((), (), (0, 0))


def test_bounds_on_density_and_bos(bench):
    found = bench.contrast("tiny", A, B, densest=0.2, top=64)
    assert all(one.density <= 0.2 for one in (*found.first, *found.second))
    assert all(0 not in one.positions for one in (*found.first, *found.second))
    with_bos = bench.contrast("tiny", A, B, bos=True, sources=[tiny.SAE], top=64)
    assert sum(with_bos.totals) <= 64


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        ((A, " "), {}), (("", B), {}), ((A, "word " * 70), {}), ((A, "x" * 10_001), {}), ((A, "\ud800"), {}),
        ((A, B), {"top": 0}), ((A, B), {"top": 101}), ((A, B), {"offset": -1}), ((A, B), {"measure": "size"}),
        ((A, B), {"sources": ["other/1-res"]}),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_a_message(bench, texts, options):
    with pytest.raises(BadInput):
        bench.contrast("tiny", *texts, **options)


def test_what_is_not_here(bench):
    with pytest.raises(NotFound):
        bench.contrast("none", A, B)


def test_as_a_frame_and_in_a_notebook(bench):
    found = bench.contrast("tiny", A, B, top=3)
    frame = found.to_pandas()
    assert list(frame["feature"]) == [str(one.key) for one in (*found.first, *found.second)]
    assert list(frame["stronger_on"]) == [0] * len(found.first) + [1] * len(found.second)
    assert str(found.first[0].key) in found._repr_html_()
    assert "\n" not in repr(found)
    nasty = replace(found, texts=(NASTY, NASTY), first=(replace(found.first[0], label=NASTY),))
    assert "<img" not in nasty._repr_html_()
