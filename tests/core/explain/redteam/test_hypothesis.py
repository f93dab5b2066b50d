"""A hypothesis is read as it is meant; written again it is read the same; and it says of a text what it says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import settings as bounds
from hypothesis import strategies as st

from core.errors import BadInput
from core.explain.annotation.words import visible
from core.explain.redteam import hypothesis as h
from core.explain.redteam import lines
from core.settings import Settings
from core.workbench import Workbench

phrases = st.text(
    st.characters(codec="utf-8", exclude_characters="“”\"`↵␣⇥", exclude_categories=("Cc", "Cf", "Zl", "Zp", "Co")),
    min_size=1, max_size=24,
).map(h.clean).filter(bool)  # fmt: skip
forms = st.sampled_from([(False, False), (True, False), (False, True)])
roles = st.sampled_from(["should", "also", "not"])
parts = st.lists(st.builds(lambda role, phrase, form: h.Part(role, phrase, *form), roles, phrases, forms), max_size=8)


@pytest.mark.parametrize(
    ("said", "should", "also", "no"),
    [
        ("fires on the colour red, also crimson, not on Credentials", ["red"], ["crimson"], ["Credentials"]),
        ("red", ["red"], [], []),
        ("It fires on mother or father; not brother", ["mother", "father"], [], ["brother"]),
        ("the words “red” and “blue”, but not “red tape”", ["red", "blue"], [], ["red tape"]),
        ("activates on the word mother. Does not fire on father", ["mother"], [], ["father"]),
        ("mother, father, wife except step-mother", ["mother", "father", "wife"], [], ["step-mother"]),
        ("this neuron responds to “if x:” as well as “else:”", ["if x:"], ["else:"], []),
        ("words about the sea, not fish", ["~sea"], [], ["fish"]),
        ("names of countries, such as France and Spain, but not on cities like Paris",
         ["~countries"], ["France", "Spain"], ["~cities", "Paris"]),
        ("family words | husband", ["~family", "husband"], [], []),
        ("numbers, e.g. seven, never dates", ["~numbers"], ["seven"], ["dates"]),
        ("“tr”, “cr” or “red”", ["tr", "cr", "red"], [], []),
        ("fires on “yes, no”", ["yes, no"], [], []),
        ("don’t, not doesn’t", ["don’t"], [], ["doesn’t"]),
        ("notable, unlike note", ["notable"], [], ["note"]),
        ("the letters red, not the word red", ["*red*"], [], ["red"]),
        ("words with “sm” in them", ["*sm*"], [], []),
        ("words containing un, ing", ["*un*", "ing"], [], []),
        ("the letter x", ["x"], [], []),
    ],
)  # fmt: skip
def test_it_is_read_as_it_is_meant(said, should, also, no):
    found = h.parse(said)
    for role, expected in (("should", should), ("also", also), ("not", no)):
        assert [p.fielded.strip("“”") for p in found.parts if p.role == role] == expected


def test_of_an_annotations_line_conditions_are_left_out_and_said():
    said = "“will”, “can” and 12 more in peps and python; or “node” after the word “list”, “tree” and 3 more"
    found = h.parse(f"{said}; or digits")
    assert found.of("should") == ("will", "can", "node")
    assert "digits" in found.left and "and 12 more" in found.left
    assert "after the word “list”, “tree” and 3 more" in found.left
    pieces = h.parse("“true”, “-ane” as in Jane, “product-” as in products; nearly always in novels")
    assert [part.fielded for part in pieces.parts] == ["true", "*-ane*", "*product-*"]
    assert pieces.left == ("nearly always in novels",)


@pytest.mark.parametrize(
    ("line", "should", "also", "left"),
    [
        ("strongest on “-ather” as in weather, feather and leather; also “the” or “-ow-” as in towns",
         ["*-ather*"], ["the", "*-ow-*"], []),
        ("strongest on “influ-” as in influenced and influential, “ke-” as in keen or “w-” as in wrote and 12 more",
         ["*influ-*", "*ke-*", "*w-*"], [], ["and 12 more"]),
        ("“displacing” (-ac-), “”” (quotation mark) or “://” (colon and slashes)", ["displacing", "❞", "://"], [], []),
        ('““You”, “"You”, “. You” and 7 more', ["❝You", "ʺYou", ". You"], [], ["and 7 more"]),
        ("“↵” (line break) or “␣␣␣” (spaces) in novels", ["↵", "␣␣␣"], [], ["in novels"]),
        ("strongest on “``” (backticks); also any token after “in”, “of” and 2 more", ["ˋˋ"], [],
         ["any token", "after “in”, “of” and 2 more"]),
        ("“. Un-” as in . Until and . Unless; or “, our”", ["*. Un-*", ", our"], [], []),
        ("“ate” (lower case inside a word, digits and 2 more) in its line: tokens 2–4", ["ate"], [],
         ["(lower case inside a word, digits and 2 more)", "in its line: tokens 2–4"]),
        ("strongest on “a”; also lower case inside a word, digits and 4 more in python", ["a"], [],
         ["lower case inside a word, digits", "and 4 more", "in python"]),
        ("too rare for a rule; active on “numpy” (num-); nearly always in python", ["numpy"], [],
         ["nearly always in python"]),
        ("“beginning de”, “↵        Re” and 3 more at places 1–8", ["de", "↵␣␣␣␣␣␣␣␣Re"], [],
         ["beginning", "and 3 more", "at places 1–8"]),
        ("“red”, “blu…; nearly always in novels", ["red"], [], ["“blu", "nearly always in novels"]),
    ],
)  # fmt: skip
def test_every_form_of_an_annotations_line(line, should, also, left):
    found = h.parse(line)
    assert [part.fielded.strip("“”") for part in found.parts if part.role == "should"] == should
    assert [part.fielded for part in found.parts if part.role == "also"] == also
    assert list(found.left) == left


def test_every_annotation_of_the_demo_is_a_hypothesis():
    """None is refused or read by the rules for people's sentences; written again it is read the same."""
    bench = Workbench(Settings())
    every = [one.text for source in bench.sources() for one in bench.words.briefs(source.key) if one.origin == "data"]
    assert len(every) > 15_000
    for text in every:
        assert lines.read(text) is not None, text
        found = h.parse(text)
        assert any(part.role == "should" for part in found.parts), text
        assert all(not re.search("strongest|as in| more$", part.phrase) or part.phrase in text for part in found.parts)
        again = h.parse(found.sentence)
        assert again.parts == found.parts and not again.left, text


@bounds(max_examples=200, deadline=None)
@given(st.text(st.sampled_from('ab \n\t"`“”:.-'), min_size=1, max_size=9))
def test_what_a_phrase_cannot_hold_is_shown_by_signs(text):
    """As `words.visible` writes a piece; a phrase is as long as its text, so that places in both are the same."""
    phrase = lines.shown(visible(text))
    assert len(lines.meant(phrase)) == len(phrase)
    assert lines.meant(phrase) == (text.strip(" ") or text)


@pytest.mark.parametrize(
    ("line", "text", "expected"),
    [
        ("“↵” (line break)", "one\ntwo", True), ("“↵” (line break)", "one two", False),
        ("“␣” (space)", "one  two", True), ("“␣” (space)", "one two", False), ("“␣␣” (spaces)", "a  b", False),
        ("“␣␣” (spaces)", "a\n   b", True), ('“"” (quotation mark)', 'say "no"', True),
        ("“:↵” (line break)", "a:\nb", True),
    ],
)  # fmt: skip
def test_blanks_and_quotation_marks_are_found_where_they_stand(line, text, expected):
    assert h.parse(line).expects(text) is expected


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "Say what"), ("  \n ", "Say what"), ("not on red", "says of no word"), ("red, not red", "should not"),
        ("x" * 4001, "at most 4,000"), ("digits", "“digits” cannot be put into a text"), (",,,", "says of no word"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(said, why):
    with pytest.raises(BadInput, match=why):
        h.parse(said)


PIECES = [
    "red", " not on ", "also ", ", ", "“", "”", '"', ". ", "such as ", "| ", "Don't", "and ", "the colour ", "(x)",
    "\0", "the letters ", "*", "~", "-un-",
]  # fmt: skip


@bounds(max_examples=300, deadline=None)
@given(st.text(max_size=120) | st.lists(st.sampled_from(PIECES)).map("".join))
def test_any_text_is_read_or_refused_and_written_again_is_the_same(said):
    try:
        found = h.parse(said)
    except BadInput:
        return
    assert any(part.role == "should" for part in found.parts)
    assert all(part.phrase and part.phrase == h.clean(part.phrase) for part in found.parts)
    fires = {part.fielded for part in found.parts if part.fires}
    assert not fires & {part.fielded for part in found.parts if not part.fires}
    again = h.parse(found.sentence)
    assert again.parts == found.parts and again.sentence == found.sentence and not again.left


@bounds(max_examples=300, deadline=None)
@given(parts)
def test_parts_that_somebody_corrects_are_kept_as_they_are(given_parts):
    fields = {role: [p.fielded for p in given_parts if p.role == role] for role in ("should", "also", "not")}
    assume(not any(re.match(r"~|\*|words about|the letters", p.phrase) for p in given_parts))
    try:
        found = h.make(fields["should"], fields["also"], fields["not"])
    except BadInput:
        return
    assert {replace(p, role="") if p.fires else p for p in found.parts} == {
        replace(p, role="") if p.fires else p for p in given_parts
    }
    assert h.parse(found.sentence).parts == found.parts
    again = h.make(*(h.listed(h.field(found, role)) for role in ("should", "also", "not")))
    assert again.parts == found.parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A red door.", True), ("Red is a colour.", True), ("RED", None), ("Two reds.", None), ("shared credit", False),
        ("Credentials are asked for.", False), ("red Credentials", None), ("red tape everywhere", False),
        ("red tape on the red door", None), ("crimson", True), ("blue", False), ("", False), ("a red, a blue", True),
    ],
)  # fmt: skip
def test_what_it_says_of_a_text(text, expected):
    found = h.parse("fires on the colour red, also crimson, not on Credentials, “red tape”")
    assert found.expects(text) is expected


def test_where_a_kind_is_meant_nothing_is_said_of_other_texts():
    found = h.parse("words about the sea, such as ship, not fish")
    assert (found.expects("the harbour"), found.expects("a ship"), found.expects("a fish")) == (None, True, None)


def test_a_word_counts_before_its_letters():
    found = h.parse("the letters red, not the word red")
    assert [found.expects(text) for text in ("red", "Red door", "hundred", "a hundred red", "blue")] == [
        False, False, True, None, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("letters", "has", "lacks"),
    [
        ("red", "red hundred Redder credit", "read"), ("-red", "hundred shared", "red redder credit"),
        ("red-", "redder Redo", "red hundred credit"), ("-red-", "credit incredible", "red redder hundred"),
        ("-", "a-b", "ab"), ("--", "a--b", "a-b"), ("--s-", "--she", "she"), ("-64-", "1648", "64 164 648"),
    ],
)  # fmt: skip
def test_hyphens_say_where_in_a_word_letters_stand(letters, has, lacks):
    found = h.parse(f"the letters “{letters}”")
    assert [part.fielded for part in found.parts] == [f"*{letters}*"]
    assert all(found.expects(word) for word in has.split())
    assert not any(found.expects(word) for word in lacks.split())


def test_code_is_found_where_it_stands():
    found = h.parse("“self.x”, “==”, “_id”")
    assert [found.expects(text) for text in ("a=self.x", "self.xy", "a==b", "a = b", "my_id", "the _id")] == [
        True, False, True, False, False, True,
    ]  # fmt: skip


@pytest.mark.parametrize("phrase", ["red", "Red", "boxes", "USA", "x", "==", "dress"])
def test_other_forms_are_other_forms(phrase):
    for form in h.forms(phrase):
        assert form not in (phrase, h.capital(phrase))
        assert form.lower().startswith(phrase.lower()[:-1])
