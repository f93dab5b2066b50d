"""What is drawn of records: texts stay data, one scale for examples and tests, characters split over tokens."""

from __future__ import annotations

import dataclasses
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from components import charts, feature_panels, links, markup, source_panels, tables
from components.token_strip import payload
from core.records import FeatureKey, Histogram, Member, TestRecord, Token, TokenValue

NASTY = "<img src=x onerror=alert(1)>\"'&`$_*"


def test_text_is_data_everywhere(record):
    token = Token(7, NASTY)
    example = dataclasses.replace(record.groups[0].examples[0], tokens=(token,), values=(1.0,), position=0, part=NASTY)
    group = dataclasses.replace(record.groups[0], examples=(example,))
    related = tuple(dataclasses.replace(r, label=NASTY) for r in record.neighbours)
    source = dataclasses.replace(record.source, dataset=NASTY, origin=NASTY, active=NASTY, architecture=NASTY)
    nasty = dataclasses.replace(
        record,
        label=NASTY,
        source=source,
        neighbours=related,
        top_logits=(TokenValue(token, 1.0),),
        bottom_logits=(TokenValue(token, -1.0),),
        groups=(group,),
    )
    drawn = [
        feature_panels.header(nasty),
        feature_panels.plots(nasty),
        feature_panels.side(nasty),
        feature_panels.dead(nasty),
        feature_panels.taking(NASTY, NASTY),
        source_panels.featured(nasty),
        source_panels.tryout([(nasty.key, NASTY)], {NASTY: [NASTY]}),
        source_panels.title(NASTY, NASTY),
        tables.source_facts(source),
        tables.sources([source]),
        markup.note(NASTY),
    ]
    for html in drawn:
        assert "<img" not in html
        # an attribute's value never ends early: every quote of the text is escaped
        assert 'alert(1)>"' not in html


def test_urls_of_a_release_are_web_addresses_only():
    drawn = source_panels.release_urls(["javascript:alert(1)", 'https://example.org/"onclick="x'])
    assert "javascript:" not in drawn
    assert 'onclick="' not in drawn
    assert drawn.count("<a ") == 1


def test_a_split_character_is_an_empty_box_and_then_itself():
    tokens = (Token(0, "<s>", special=True), Token(1, "", partial=True), Token(2, "", partial=True), Token(3, "🙂"))
    drawn = charts.strip(tokens, (9.0, 0.0, 1.0, 2.0), 4.0, position=3)
    assert drawn.count('class="t p"') == 2
    assert "🙂" in drawn
    assert "&lt;s&gt;" not in drawn  # special tokens are not part of the text
    assert re.findall(r"--v:([\d.]+)", drawn) == ["0.500"]
    assert 'class="t on m"' in drawn


def test_the_payload_marks_split_characters_and_special_tokens(record):
    tokens = (Token(0, "<s>", special=True), Token(1, "", partial=True), Token(3, "’"), Token(4, " ends", partial=True))
    test = TestRecord(key=record.key, text="’", tokens=tokens, values=(0.0, 0.0, 2.0, 0.0), maximum=2.0, position=2)
    data = payload.tests(record, [test])
    flags = [data["vocab"][i][2] for i in data["texts"][0]["t"]]
    # the last one adds text of its own besides the beginning of a character, so it is drawn
    assert flags == [payload.SPECIAL, payload.PARTIAL, 0, 0]


def test_examples_and_tests_share_one_scale(record):
    test = TestRecord(key=record.key, text="x", tokens=(Token(1, "x"),), values=(99.0,), maximum=99.0, position=0)
    assert payload.examples(record)["scale"] == payload.tests(record, [test])["scale"] == record.maximum
    assert (
        payload.tests(record, [test])["tests"][0]["max"] == 99.0
    )  # beyond the scale: the colour stops, the number does not
    assert charts.depth(99.0, record.maximum) == 1.0
    assert charts.depth(-0.5, 1.0) == charts.depth(0.5, 1.0) == 0.5


def test_a_signed_source_is_drawn_on_its_largest_magnitude(bench):
    neuron = bench.feature("tiny/0-neurons/0")
    assert charts.scale(neuron) == max(abs(neuron.maximum), abs(neuron.minimum))
    drawn = charts.strip((Token(1, "a"), Token(2, "b")), (-1.0, 0.5), 1.0, signed=True)
    assert 'class="t on neg"' in drawn
    assert "signed" in drawn


def test_a_dead_feature_takes_its_scale_from_the_tests(record):
    dead = dataclasses.replace(record, active=0, maximum=0.0, minimum=0.0, groups=())
    test = TestRecord(key=record.key, text="x", tokens=(Token(1, "x"),), values=(3.0,), maximum=3.0, position=0)
    data = payload.tests(dead, [test])
    assert data["scale"] == 3.0
    assert data["own"]


def test_the_payload_says_every_value_of_an_example(record):
    data = payload.examples(record)
    for group, drawn in zip(record.groups, data["groups"], strict=True):
        for example, row in zip(group.examples, drawn["rows"], strict=True):
            text = data["texts"][row["x"]]
            assert "".join(data["vocab"][i][1] for i in text["t"]) == "".join(t.text for t in example.tokens)
            values = dict(map(tuple, text["v"]))
            assert [values.get(i, 0.0) for i in range(len(example.values))] == pytest.approx(example.values, rel=1e-3)
            assert row["repeats"] == example.repeats
            assert row["at"] == example.position


def test_folded_contexts_come_with_their_tokens(record, bench):
    first = record.groups[0].examples[0]
    folded = dataclasses.replace(
        first, repeats=3, members=(Member(prompt=first.prompt, position=first.position, value=0.5),)
    )
    group = dataclasses.replace(record.groups[0], examples=(folded,))
    data = payload.examples(
        dataclasses.replace(record, groups=(group,)), lambda number: bench.prompt(record.key.source, number)
    )
    prompt, position, value, text, start = data["groups"][0]["rows"][0]["members"][0]
    assert (prompt, position, value) == (first.prompt, first.position, 0.5)
    assert data["texts"][text]["v"] == [[position - start, 0.5]]
    assert len(data["texts"][text]["t"]) <= payload.BEFORE + payload.AFTER + 1


def test_a_histogram_tells_its_bins():
    drawn = charts.histogram(Histogram(low=-1.0, high=1.0, counts=(0, 4, 2, 1)), what="tokens", signed=True)
    assert "−0.500 to 0: 4 tokens" in drawn
    assert drawn.count('class="neg"') == drawn.count('class="pos"') == 2
    assert "height:100.0%" in drawn
    assert "height:0.0%" in drawn


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0, "0"), (1234.5, "1,234"), (-2.5, "−2.50"), (0.4, "0.400"), (0.0295, "0.0295"), (0.00001, "1.0e−05")],
)
def test_numbers(value, shown):
    assert markup.number(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0, "0 %"), (0.0305, "3.05 %"), (1e-6, "0.00010 %"), (1, "100 %")])
def test_percent(value, shown):
    assert markup.percent(value) == shown


def test_links_are_read_back(record):
    text = "a & b? “c”\n#é"
    address = links.feature(FeatureKey("m", "1-res", 3), text, "two")
    assert parse_qs(urlsplit(address).query) == {"id": ["m/1-res/3"], "defaulttesttext": [text, "two"]}


def test_a_token_that_cannot_be_seen_is_written_out():
    assert markup.visible(" a\x07\u200b<").replace('<span class="fs-dot">', "[").replace("</span>", "]") == (
        "[·]a[\\x07][\\u200b]&lt;"
    )


def test_a_release_of_the_models_own_name_is_no_step(record):
    own = dataclasses.replace(record.source.release, name=record.key.model_id)
    source = dataclasses.replace(record.source, release=own)
    assert "tiny-release" in feature_panels.crumbs(record)
    assert feature_panels.crumbs(dataclasses.replace(record, source=source)).count(">tiny<") == 1


def test_a_source_that_writes_elsewhere_says_where(record):
    source = dataclasses.replace(record.source, kind="transcoder", hook_out="blocks.1.hook_mlp_out")
    elsewhere = dataclasses.replace(record, source=source)
    for drawn in (tables.source_facts(source), feature_panels.side(elsewhere), feature_panels.stats(elsewhere)):
        assert "blocks.1.hook_mlp_out" in drawn.replace("<wbr>", "")
    assert ">hook out<" not in tables.source_facts(record.source)


def test_without_effects_on_logits_a_page_says_why_and_draws_no_empty_chart(record, bench):
    bare = dataclasses.replace(record, top_logits=(), bottom_logits=(), logit_histogram=None)
    drawn = feature_panels.plots(bare)
    assert "does not write to the residual stream" in drawn
    assert "Promotes" not in drawn and "fs-bars" not in drawn
    assert "does not write" not in feature_panels.plots(record)
    assert "on the logits" not in feature_panels.dead(bare) and "on the logits" in feature_panels.dead(record)
    frame = bench.features(record.key.source)
    shown, silent = (
        tables.features(record.key.source, rows, "index", 1, {}) for rows in (frame, frame.assign(promotes=""))
    )
    assert ">promotes<" in shown and ">promotes<" not in silent
    for html in (shown, silent):
        head, first = (part.split("</tr>")[0] for part in html.split("<tr>")[1:3])
        assert head.count("<th") == first.count("<td")


def test_every_term_is_in_the_glossary(record, bench):
    """A number without a definition is drawn without a dotted line: find those."""
    drawn = [
        feature_panels.stats(record),
        feature_panels.stats(bench.feature("tiny/0-neurons/0")),
        feature_panels.plots(record),
        feature_panels.side(record),
        tables.source_facts(dataclasses.replace(record.source, hook_out="blocks.1.hook_mlp_out")),
        feature_panels.plots(dataclasses.replace(record, top_logits=(), bottom_logits=())),
        tables.model_facts(bench.model("tiny")),
        tables.sources(bench.sources()),
        source_panels.numbers(record.source),
    ]
    for html in drawn:
        undefined = re.findall(r'<(?:dt|th[^>]*|h2|div|span)><span class="fs-soft">([^<]+)</span>', html)
        assert not undefined
