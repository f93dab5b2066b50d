"""Where values came from, as the strips show it: text is text, faint shares have no colour, and no more is sent."""

from __future__ import annotations

from dataclasses import replace

from components import charts
from components.token_strip import payload
from core.records import Attribution, Token

TOKENS = (Token(0, "", special=True), Token(1, "<b>"), Token(2, " a"), Token(3, "\n"), Token(4, " z"))
FOUND = Attribution(target=3, values=(0.5, 2.0, -1.0, 0.001), heads=(1.0, 0.501), bias=0.25)


def test_the_static_strip():
    drawn = charts.sources(TOKENS, FOUND)
    assert "&lt;b&gt;" in drawn and "<b>" not in drawn and "⟨special⟩" in drawn
    assert drawn.count('class="t on') == 3 and drawn.count(" on neg") == 1, "the faint one has no colour"
    assert " z" not in drawn, "nothing comes from what is later"
    assert "…" in charts.sources(TOKENS, FOUND, before=1) and "&lt;b&gt;" not in charts.sources(TOKENS, FOUND, before=1)
    few = replace(FOUND, values=(0.5,))
    assert charts.sources(TOKENS, few).count('class="t') >= 4, "values that are left out are nothing"


def test_what_the_script_gets():
    sent = payload._sources(FOUND)["dfa"]
    assert sent == {"at": 3, "v": [[0, 0.5], [1, 2.0], [2, -1.0]], "heads": [1.0, 0.501], "bias": 0.25}
    assert payload._sources(None) == {}
