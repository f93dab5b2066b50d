"""What a search gives: in a notebook, as a data frame, on the command line; and what is found by meaning and words."""

from __future__ import annotations

import json

import pytest

from core.__main__ import main
from core.explain.door import Words
from core.explain.meaning.embedder import Local
from core.explain.meaning.ranking import Wanted
from core.explain.meaning.seeker import Seeker
from core.settings import Settings
from core.workbench import Workbench
from tests.core.explain.meaning.worlds import NEURONS, SAE, Said

TEXTS = [
    "red, green and blue paint", "soldiers fighting a war", "Python functions and classes", "mothers and fathers",
    "France, Spain and Portugal", "the token “Credentials”", "user names, passwords and keys",
    "music played on a violin",
    "<b>bold</b> & <script>alert(1)</script>",
]  # fmt: skip


@pytest.fixture
def said(bench):
    made, living = Said(), bench.living(SAE)
    for n, text in enumerate(TEXTS):
        made.say(living[n].index, text, score=0.75, scorer="detection")
    return made


@pytest.fixture
def found(tiny_root, tmp_path, said, monkeypatch):
    """A workbench of which only these explanations are known."""
    monkeypatch.setattr(Words, "providers", property(lambda self: (said,)))
    return Workbench(Settings(data=tmp_path, demo=tiny_root))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("colours", TEXTS[0]), ("battles and armies", TEXTS[1]), ("programming language", TEXTS[2]),
        ("family members", TEXTS[3]), ("countries of Europe", TEXTS[4]), ("Credentials", TEXTS[5]),
        ("log in to an account", TEXTS[6]), ("instruments of an orchestra", TEXTS[7]),
    ],
)  # fmt: skip
def test_meaning_is_found_in_other_words_and_a_rare_word_first(found, query, text):
    assert found.words.find(query).hits[0].text == text


def test_the_record_as_a_data_frame(found):
    record = found.words.find("colours", top=3)
    frame = record.to_pandas()
    assert list(frame["rank"]) == [1, 2, 3] and list(frame["feature"]) == [str(hit.key) for hit in record.hits]
    assert list(frame["explanation"]) == [hit.text for hit in record.hits]
    assert record.hits[0].to_pandas()["similarity"][0] == record.hits[0].similarity
    assert record.next_offset == 3 and record.total == len(TEXTS)


def test_the_record_in_a_notebook_is_escaped_and_marks_shared_words(found):
    shown = found.words.find("“the” Credentials in bold", rank="words")._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown
    assert "“<b>Credentials</b>”" in shown and "<b>bold</b>" in shown
    assert found.words.find("colours").hits[0]._repr_html_()


def test_the_command_line_finds(found, tiny_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FEATURESCOPE_DEMO", str(tiny_root))
    assert main(["find", "credentials", "--rank", "words", "--json", "--data", str(tmp_path)]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [one["description"] for one in answer["results"]] == [TEXTS[5]] and not answer["hasMore"]
    assert main(["find", "colours", "--model", "tiny", "--top", "2", "--data", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "red, green and blue paint" in out and "1 to 2 of 9" in out
    assert main(["find", "no", "--data", str(tmp_path)]) == 2
    assert main(["find", "colours", "--model", "nobody", "--data", str(tmp_path)]) == 2
    assert "at least 3 characters" in capsys.readouterr().err


def test_embedding_beforehand_leaves_nothing_to_do(found, said, tiny_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("FEATURESCOPE_DEMO", str(tiny_root))
    assert main(["embed", "--compact", "--json", "--data", str(tmp_path)]) == 0
    counts = {one["source"]: one["explanations"] for one in json.loads(capsys.readouterr().out)["sources"]}
    assert counts == {str(SAE): len(TEXTS), str(NEURONS): 0}
    asked = []

    class Watched(Local):
        def __call__(self, texts):
            asked.extend(texts)
            return super().__call__(texts)

    seeker = Seeker(Workbench(Settings(data=tmp_path, demo=tiny_root)), lambda: (said,), made=Watched())
    compact = seeker.find([SAE], Wanted(query="colours"), patience=60.0).hits
    assert asked == ["colours"]
    whole = Seeker(Workbench(Settings(data=tmp_path / "other", demo=tiny_root)), lambda: (said,))
    exact = {hit.id: hit.similarity for hit in whole.find([SAE], Wanted(query="colours"), patience=60.0).hits}
    assert {hit.id: hit.similarity for hit in compact} == pytest.approx(exact, abs=2e-3)
    assert main(["embed", "nobody/1-res", "--data", str(tmp_path)]) == 2


def test_the_export_has_every_explanation_of_the_door(found, said):
    said.of = lambda feature: []
    assert list(found.words.export([SAE])) == []  # what a provider does not give by itself is not made up
