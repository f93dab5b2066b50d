"""How tokens are drawn: the text comes out whole, each character once, on the token that completes it."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadData
from core.models.vocabulary import Vocabulary, byte_alphabet, pieces_of
from core.records import Token
from tests import tiny
from tests.live import ROOT


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(tokenizer, vocabulary) of the tiny model."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.model(tmp_path_factory.mktemp("v") / "model"))
    return tokenizer, Vocabulary(pieces_of(tokenizer, len(tokenizer)), tokenizer.all_special_ids)


def slow(vocabulary: Vocabulary, ids: list[int]) -> tuple[Token, ...]:
    """Drawn by the definition: a run of tokens without a special one is decoded anew from its beginning for each."""
    result = []
    for n, i in enumerate(ids):
        if i in vocabulary.special:
            result.append(Token(i, vocabulary.pieces[i].decode(), special=True))
            continue
        begin = max([k + 1 for k in range(n) if ids[k] in vocabulary.special], default=0)
        last = n + 1 == len(ids) or ids[n + 1] in vocabulary.special

        def decoded(end: int, final: bool, begin: int = begin) -> str:
            decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
            return decoder.decode(b"".join(vocabulary.piece(k) for k in ids[begin:end]), final=final)

        before, now = decoded(n, False), decoded(n + 1, last)
        partial = not last and now != decoded(n + 1, True)
        result.append(Token(i, now[len(before) :], partial=partial))
    return tuple(result)


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_the_text_comes_out_whole(made, text):
    tokenizer, vocabulary = made
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    drawn = vocabulary.draw(ids)
    assert [t.id for t in drawn] == ids
    assert "".join(t.text for t in drawn if not t.special) == tokenizer.decode(ids, skip_special_tokens=True)
    assert "".join(t.text for t in drawn) == tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text
    assert drawn == slow(vocabulary, ids) == vocabulary.draw(ids)
    assert "�" in text or not any("�" in t.text for t in drawn)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_ids_are_drawn(data):
    """Also sequences that no text gives: bytes that complete nothing are drawn as “�”, and specials end a character."""
    odd = (b"\xe2\x80", b"\x99", b"\x99b\xf0", b"\x9f\x99\x82", b"c\xe2", b"", b"\xff")
    vocabulary = Vocabulary([b"<|endoftext|>", b"a", "é ’".encode(), *odd], [0])
    ids = data.draw(st.lists(st.integers(0, len(vocabulary) + 2), max_size=15))
    drawn = vocabulary.draw(ids)
    assert [t.id for t in drawn] == ids and drawn == slow(vocabulary, ids)
    runs: list[bytes] = [b""]
    expected: list[str] = []
    for i in ids:
        if i in vocabulary.special:
            expected += [runs.pop().decode("utf-8", "replace"), "<|endoftext|>"]
            runs.append(b"")
        else:
            runs[-1] += vocabulary.piece(i)
    assert "".join(t.text for t in drawn) == "".join([*expected, runs[-1].decode("utf-8", "replace")])
    assert not drawn or not drawn[-1].partial


@pytest.mark.parametrize("character", ["’", "🙂", "é", "日", "👩‍🚀"])
def test_a_character_stands_on_the_last_of_its_tokens(character):
    """A vocabulary of single bytes."""
    vocabulary = Vocabulary([bytes([b]) for b in range(256)], [])
    drawn = vocabulary.draw(list(f"a{character}b".encode()))
    texts = [t.text for t in drawn]
    assert "".join(texts) == f"a{character}b" and texts[0] == "a" and texts[-1] == "b"
    for token in drawn:
        assert (token.text == "") == token.partial
    assert [t.text for t in drawn if t.text] == ["a", *character, "b"]


def test_a_token_may_end_one_character_and_begin_another():
    vocabulary = Vocabulary([b"\xe2\x80", b"\x99a\xf0\x9f", b"\x99\x82", b"<s>"], [3])
    assert vocabulary.draw([0, 1, 2]) == (Token(0, "", partial=True), Token(1, "’a", partial=True), Token(2, "🙂"))
    assert [t.text for t in vocabulary.draw([0, 3, 2])] == ["�", "<s>", "��"]
    assert vocabulary.draw([0])[0] == Token(0, "�")
    assert vocabulary.draw([0, 3])[0] == Token(0, "�")
    assert [t.text for t in vocabulary.draw([0, 1, 3])] == ["", "’a�", "<s>"]
    assert vocabulary.draw([]) == ()


def test_specials(made):
    tokenizer, vocabulary = made
    ids = tokenizer("a<|endoftext|>b", add_special_tokens=False)["input_ids"]
    drawn = vocabulary.draw([0, *ids])
    assert [t.text for t in drawn] == ["<|endoftext|>", "a", "<|endoftext|>", "b"]
    assert [t.special for t in drawn] == [True, False, True, False]
    assert vocabulary.text([0, *ids]) == "ab"
    assert vocabulary.alone(0) == Token(0, "<|endoftext|>", special=True)


def test_a_vocabulary_entry_alone(made):
    _, vocabulary = made
    part = next(i for i, p in enumerate(vocabulary.pieces) if p == b"\xe2")
    assert vocabulary.alone(part) == Token(part, "\\xe2")
    assert vocabulary.alone(10**6) == Token(10**6, "") and vocabulary.piece(-1) == b""


def test_the_demos_own_vocabulary():
    """Every id of a real byte-level vocabulary gives the bytes that its tokenizer decodes."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(ROOT / "demo" / "weights" / "model")
    pieces = pieces_of(tokenizer, len(tokenizer))
    assert len(set(pieces)) == len(pieces) == 5120
    vocabulary = Vocabulary(pieces, tokenizer.all_special_ids)
    for text in ("It’s naïve 🙂 日本語\n\n\t  x", "👩‍👩‍👧 zwj", "\x00\x7f​"):
        drawn = vocabulary.draw(tokenizer(text)["input_ids"])
        assert "".join(t.text for t in drawn) == text


def test_a_sentencepiece_vocabulary(tmp_path):
    """“▁” is a space and <0x0A> a byte."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import PreTrainedTokenizerFast

    words = {"<s>": 0, "▁the": 1, "cat": 2, "<0x0A>": 3, "<0xE2>": 4, "<0x80>": 5, "<0x99>": 6, "Ġ": 7}
    inner = Tokenizer(models.BPE(vocab=words, merges=[], byte_fallback=True))
    inner.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>")
    vocabulary = Vocabulary(pieces_of(tokenizer, 10), tokenizer.all_special_ids)
    drawn = [t.text for t in vocabulary.draw([0, 1, 2, 3, 4, 5, 6, 7, 9])]
    assert drawn == ["<s>", " the", "cat", "\n", "", "", "’", "Ġ", ""]


def test_the_byte_alphabet_has_every_byte_once():
    assert sorted(byte_alphabet().values()) == list(range(256))


def test_written_and_read(made, tmp_path):
    _, vocabulary = made
    path = tmp_path / "vocabulary.arrow"
    vocabulary.write(path)
    again = Vocabulary.read(path, vocabulary.special)
    assert (again.pieces, again.special) == (vocabulary.pieces, vocabulary.special)
    assert [p.name for p in tmp_path.iterdir()] == ["vocabulary.arrow"]
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadData, match="vocabulary"):
        Vocabulary.read(path, [])
