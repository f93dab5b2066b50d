"""What a notebook shows: whole, small, escaped, and the same numbers as the records."""

from __future__ import annotations

import html.parser
import pickle
import re
from dataclasses import asdict, replace

import pytest

from core import notebook
from core.records import FeatureRecord, LeftOut, Records, TestRecord, Token, TokenValue
from tests import tiny
from tests.live import python

EVIL = "</td><script>alert(1)</script>\" onmouseover='x' $x^2$ &amp;"


class Checked(html.parser.HTMLParser):
    """Tags that match, and all text and tooltips."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text, self.titles = "", []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        self.titles += [value for name, value in attributes if name == "title"]
        self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def tested(bench):
    return bench.test(f"{tiny.SAE}/3", ["My fellow citizens, Zürich 🙂", "def add(a, b):\n    return a + b"])


def test_a_feature_shows_what_its_page_shows(record):
    page = Checked(record._repr_html_())
    for part in (str(record.key), record.source.hook, "promotes", "suppresses", f"{record.maximum:.4g}"):
        assert part in page.text
    assert record.label in page.text
    assert "svg" in page.tags
    top = record.groups[0].examples[0]
    assert any(title.startswith(f"{top.value:.4g} at position {top.position}") for title in page.titles)
    assert len(record._repr_html_()) < 60_000


def test_every_feature_of_every_kind_is_drawn(bench):
    for source in (tiny.SAE, tiny.NEURONS):
        for index in range(0, bench.source(source).width, 5):
            Checked(bench.feature(f"{source}/{index}")._repr_html_())
    dead = Checked(bench.feature(f"{tiny.SAE}/7")._repr_html_())
    assert "No counted token activates it" in dead.text


def test_signed_values_have_two_hues(bench):
    shown = bench.test(f"{tiny.NEURONS}/3", "The capital of France is Paris.")._repr_html_()
    assert notebook.RISING in shown and notebook.FALLING in shown


def test_tests_share_a_scale(tested):
    page = Checked(tested._repr_html_())
    counted = [v for t in tested for token, v in zip(t.tokens, t.values, strict=True) if not token.special]
    assert f"full depth at {max(map(abs, counted)):.4g}" in page.text
    assert "".join(token.text for token in tested[0].tokens if not token.special) in page.text
    assert "↵" in page.text, "line breaks are shown"
    assert Checked(tested[0]._repr_html_()).text


def test_a_search_shows_each_hit(bench):
    record = bench.search("tiny", "My fellow citizens, Zürich 🙂", top=8)
    page = Checked(record._repr_html_())
    assert f"8 of {record.total:,} active features, by surprise" in page.text
    for hit in record.hits:
        assert str(hit.key) in page.text and f"{hit.maximum:.4g}" in page.text and f"{hit.surprise:.3g}" in page.text
        assert f"{hit.maximum:.4g} at position {hit.position}" in page.titles
    assert page.text.count("My fellow citizens, Zürich 🙂") == 9, "the heading, and the text of each hit"
    assert record.text in Checked(Records([record, record])._repr_html_()).text
    chosen = Checked(bench.search("tiny", "a b c", positions=[1, 2], combine="sum", offset=5)._repr_html_()).text
    assert "from 6 on, by surprise summed over tokens 1, 2" in chosen
    summed = bench.search("tiny", "a b", combine="sum")
    assert "by surprise summed over all tokens" in Checked(summed._repr_html_()).text
    nasty = LeftOut(key=record.hits[0].key.source, why="<b>gone</b>")
    for one in (record, bench.contrast("tiny", "a", "b")):
        shown = Checked(replace(one, left_out=(nasty,))._repr_html_())
        assert f"{nasty.key} is left out: <b>gone</b>" in shown.text
    assert "No feature" in Checked(bench.search("tiny", "a", offset=9999)._repr_html_()).text
    assert str(record.hits[0].key) in Checked(record.hits[0]._repr_html_()).text
    long = bench.search("tiny", "and " * 40, top=1)
    assert "…" in Checked(long._repr_html_()).text and len(long._repr_html_()) < 12_000


def test_a_search_as_a_frame(bench):
    record = bench.search("tiny", "My fellow citizens, Zürich 🙂", top=8, offset=3)
    frame = record.to_pandas()
    assert frame["feature"].tolist() == [str(hit.key) for hit in record.hits]
    assert frame["rank"].tolist() == list(range(4, 12))
    for name, field in (("value", "maximum"), ("surprise", "surprise"), ("fraction", "fraction"), ("label", "label")):
        assert frame[name].tolist() == [getattr(hit, field) for hit in record.hits]
    tokens = frame.explode(["tokens", "values"])
    assert len(tokens) == 8 * len(record.tokens)
    assert all(row["tokens"][row["position"]] == row["token"] for _, row in frame.iterrows())
    assert record.hits[0].to_pandas()["value"].tolist() == [record.hits[0].maximum]


def test_features_by_token(bench):
    record = bench.by_token(tiny.SAE, "My fellow citizens", top=4, densest=None)
    page = Checked(record._repr_html_())
    assert all(record.tokens[row.position].text in page.text for row in record.rows)
    hits = [hit for row in record.rows for hit in row.hits]
    assert hits and all(any(title.startswith(f"{hit.value:.4g} · ") for title in page.titles) for hit in hits)
    frame = record.to_pandas()
    assert frame["feature"].tolist() == [str(hit.key) for hit in hits]
    assert frame["value"].tolist() == [hit.value for hit in hits]
    assert notebook.FALLING in bench.by_token(tiny.NEURONS, "My fellow", densest=None)._repr_html_()


def test_all_activations_of_a_source(bench):
    found = bench.activations(tiny.SAE, ["My fellow citizens", "a"])
    frame = found.to_pandas()
    assert frame["value"].tolist() == [value for record in found for _, _, value in record.entries]
    assert Checked(found._repr_html_()).text
    many = bench.activations(tiny.NEURONS, "My fellow citizens")
    page = Checked(many._repr_html_())
    assert f"200 of {len(many[0].entries):,} rows" in page.text
    assert Checked(replace(found[0], entries=())._repr_html_()).text == "none"


def test_sources_models_and_releases_are_tables(bench):
    page = Checked(bench.sources()._repr_html_())
    assert all(part in page.text for part in ("tiny/1-res", "tiny/0-neurons", "blocks.1.hook_resid_pre"))
    assert "tiny/1-res" in Checked(bench.source(tiny.SAE)._repr_html_()).text
    assert "GPT2LMHeadModel" in Checked(bench.models()._repr_html_()).text
    assert "tiny-release" in Checked(bench.releases()._repr_html_()).text
    assert Checked(Records()._repr_html_()).text == "none"


def test_text_from_outside_is_data(bench, record, tested):
    token = Token(5, EVIL)
    example = replace(record.groups[0].examples[0], tokens=(token,) * 4, values=(0.0, 1.0, 2.0, 0.0), position=2)
    group = replace(record.groups[0], examples=(example,))
    feature = replace(record, label=EVIL, top_logits=(TokenValue(token, 1.0),), groups=(group,))
    test = replace(tested[0], tokens=(token, token), values=(0.0, 1.0), position=1, text=EVIL)
    source = replace(record.source, dataset=EVIL, hook=EVIL, release=replace(record.source.release, name=EVIL))
    search = bench.search("tiny", "x", top=1)
    hit = replace(search.hits[0], label=EVIL, promotes=EVIL, values=(0.0, 1.0), position=1)
    search = replace(search, text=EVIL, tokens=(token, token), hits=(hit,))
    by_token = bench.by_token(tiny.SAE, "x", densest=None)
    rows = tuple(replace(row, hits=tuple(replace(h, label=EVIL) for h in row.hits)) for row in by_token.rows)
    often = tuple(replace(one, label=EVIL) for one in by_token.features)
    by_token = replace(by_token, tokens=(token, token), rows=rows, features=often)
    whole = replace(bench.activations(tiny.SAE, "x")[0], tokens=(token, token))
    for shown in (feature, test, Records([source]), replace(feature, source=source), search, hit, by_token, whole):
        page = Checked(shown._repr_html_())
        assert EVIL in page.text
        assert not page.tags & {"script", "a", "img", "style"}
        assert page.attributes <= {
            "class", "style", "title", "viewbox", "width", "height", "fill", "role", "aria-label", "x", "y"
        }  # fmt: skip
        assert "mathjax_ignore" in shown._repr_html_()


def test_control_characters_and_half_characters(bench, tested):
    tokens = (Token(1, "a\u202eb\x1b\0"), Token(2, "", partial=True), Token(3, "🙂"), Token(4, "\n\t\r"))
    page = Checked(replace(tested[0], tokens=tokens, values=(1.0, 2.0, 0.0, 1.0), position=1)._repr_html_())
    assert not re.search(r"[\u202e\x1b\0]", page.text)
    search = bench.search("tiny", "x", top=1)
    page_of_search = Checked(replace(search, text="a\u202eb\x1b\0")._repr_html_())
    assert not re.search(r"[\u202e\x1b\0]", page_of_search.text)
    assert "a·b··" in page.text and "▯" in page.text and "🙂" in page.text and "↵\n⇥␍" in page.text


def test_examples_as_a_frame(record):
    frame = record.to_pandas()
    examples = [(group, e) for group in record.groups for e in group.examples]
    assert len(frame) == len(examples)
    assert frame["value"].tolist() == [e.value for _, e in examples]
    assert frame["group"].tolist() == [group.kind for group, _ in examples]
    assert set(frame["feature"]) == {str(record.key)}
    assert all(row["text"] == "".join(row["tokens"][1:]) for _, row in frame.iterrows()), "BOS is left out of the text"
    tokens = frame.explode(["tokens", "values"])
    assert len(tokens) == sum(len(e.tokens) for _, e in examples)
    assert tokens["values"].max() == pytest.approx(record.maximum)


def test_tests_as_a_frame(tested):
    frame = tested.to_pandas()
    assert len(frame) == sum(len(t.tokens) for t in tested)
    assert frame["text"].unique().tolist() == [0, 1]
    assert frame.loc[frame["text"] == 1, "value"].tolist() == list(tested[1].values)
    assert frame.loc[frame["position"] == 0, "special"].all()
    assert tested[1].to_pandas()["value"].tolist() == list(tested[1].values)


def test_sources_as_a_frame(bench):
    frame = bench.sources().to_pandas()
    assert frame["source"].tolist() == ["tiny/0-neurons", "tiny/1-res"]
    assert frame.set_index("source").loc["tiny/1-res", "width"] == 64
    assert bench.models().to_pandas()["layers"].tolist() == [2]
    assert Records().to_pandas().empty


def test_features_together(bench):
    both = Records(bench.feature(f"{tiny.SAE}/{i}") for i in (3, 4))
    assert set(both.to_pandas()["feature"]) == {f"{tiny.SAE}/3", f"{tiny.SAE}/4"}
    assert all(f"{tiny.SAE}/{i}" in both._repr_html_() for i in (3, 4))


def test_records_are_a_tuple(bench):
    sources = bench.sources()
    assert isinstance(sources, tuple) and sources == tuple(sources) and hash(sources) == hash(tuple(sources))
    assert isinstance(sources[:1], Records) and len(sources[:1]) == 1 and sources[0].key.model_id == "tiny"
    first, second = sources
    assert pickle.loads(pickle.dumps(sources)) == (first, second)
    assert type(pickle.loads(pickle.dumps(sources))) is Records
    assert asdict(first)["key"] == {"model_id": "tiny", "source_id": "0-neurons"}
    assert isinstance(bench.test(f"{tiny.SAE}/3", "x"), Records)


def test_a_record_in_a_terminal_is_one_line(record, tested):
    assert repr(record).startswith("FeatureRecord(tiny/1-res/3, label=") and len(repr(record)) < 200
    assert repr(tested).startswith("Records([TestRecord(tiny/1-res/3, 'My fellow")
    assert isinstance(record, FeatureRecord) and isinstance(tested[0], TestRecord)


def test_what_is_not_drawn_says_so():
    with pytest.raises(TypeError, match="has no table"):
        Records([1])._repr_html_()


def test_reading_records_imports_no_drawing(tiny_root):
    code = f"""
import sys
from core.workbench import Workbench
record = Workbench().feature("{tiny.SAE}/3")
assert "core.notebook" not in sys.modules
record._repr_html_(), record.to_pandas()
heavy = {{"torch", "streamlit", "altair", "plotly", "IPython"}} & set(sys.modules)
assert not heavy, heavy
"""
    python(code, FEATURESCOPE_DATA=str(tiny_root), FEATURESCOPE_DEMO="")
