"""Alignment on bytes against laying everything out densely."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from core.atlas.universal import characters
from core.atlas.universal.characters import ByToken, Overlap, Reading, correlations, shared, sums, token_sums
from core.models.vocabulary import Vocabulary
from core.store.grouped import Grouped
from core.store.layout import SourceData, write_batches
from tests.core.atlas.universal import planted
from tests.core.atlas.universal.planted import IDS, Text, columns, cut, dense, reading

TEXT = Text.random(documents=12, length=30, vocabulary=40)
BACKWARDS = list(range(12))[::-1]


def random_columns(read: Reading, width: int, seed: int) -> Grouped:
    rng = np.random.default_rng(seed)
    text = np.flatnonzero(np.diff(read.begins) > 0)
    some = [rng.choice(text, size=rng.integers(0, len(text) // 3), replace=False) for _ in range(width)]
    return columns([dict(zip(s.tolist(), rng.normal(size=len(s)).tolist(), strict=True)) for s in some])


@pytest.fixture(scope="module")
def two():
    rng = random.Random(1)
    a = reading(TEXT, cut(TEXT, rng, whole=False))[0]
    b = reading(TEXT, cut(TEXT, rng, whole=False, order=BACKWARDS), BACKWARDS)[0]
    return a, b


def laid_out(table: np.ndarray, read: Reading, order: list[bytes]) -> np.ndarray:
    """The columns of a dense table in the order of the shared text's documents."""
    place = {read.text[i:j]: slice(i, j) for i, j in pairwise(read.documents.tolist())}
    return np.concatenate([table[:, place[one]] for one in order], axis=1)


def dense_pair(two, x, y, by=None):
    """Both sources on the shared bytes, the second's turned by so many in each part."""
    a, b = two
    text = shared(a, b)
    order = [TEXT.document(n) for part in text.parts for n in range(12) if TEXT.parts[n] == part]
    left, right = laid_out(dense(a, x), a, order), laid_out(dense(b, y), b, order)
    if by is not None:
        edges = list(pairwise(text.begins.tolist()))
        right = np.concatenate([np.roll(right[:, i:j], s, axis=1) for (i, j), s in zip(edges, by, strict=True)], axis=1)
    return left, right


def whole(overlap, x, rows, of):
    return np.concatenate([block.copy() for _, block in correlations(overlap, x, rows, of)])


@pytest.mark.parametrize("by", [None, (1, 7), (100, 3), (411, 250)])
@pytest.mark.parametrize("cells", [2**22, 60])
def test_correlations_equal_the_dense_ones(two, by, cells, monkeypatch):
    monkeypatch.setattr(characters, "CELLS", cells)  # in one block, and in many
    a, b = two
    x, y = random_columns(a, 17, 5), random_columns(b, 23, 6)
    text = shared(a, b)
    assert text.size == len(a.text) == len(b.text)
    assert text.documents == 12
    second = text.second if by is None else text.second.turned(text.begins, np.array(by))
    n, m = len(a.tokens), len(b.tokens)
    of = sums(x, text.first, n), sums(y, second, m)
    found = whole(Overlap.of(text.first, second, n), x, ByToken.of(y, m), of)
    left, right = dense_pair(two, x, y, by)
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num(np.corrcoef(left, right)[:17, 17:])
    assert found == pytest.approx(expected, abs=1e-9)
    assert of[0].mean == pytest.approx(left.mean(axis=1))
    assert of[1].spread == pytest.approx(right.std(axis=1), abs=1e-12)
    assert of[1].bytes.tolist() == (right != 0).sum(axis=1).tolist()
    assert of[0].tokens.tolist() == np.diff(x.offsets).tolist()


def test_a_token_of_the_vocabulary_is_a_feature_that_is_one_where_it_stands(two):
    a, b = two
    x, text = random_columns(a, 9, 7), shared(a, b)
    ones = columns([{int(t): 1.0 for t in np.flatnonzero(b.tokens == i)} if i else {} for i in range(IDS)])
    of = token_sums(b.tokens, text.second, IDS)
    as_columns = sums(ones, text.second, len(b.tokens))
    assert of.mean == pytest.approx(as_columns.mean)
    assert of.spread == pytest.approx(as_columns.spread)
    assert of.bytes.tolist() == as_columns.bytes.tolist()
    assert of.tokens.tolist() == as_columns.tokens.tolist()
    overlap, mine = Overlap.of(text.first, text.second, len(a.tokens)), sums(x, text.first, len(a.tokens))
    found = whole(overlap, x, ByToken.of_ids(b.tokens, IDS), (mine, of))
    assert found == pytest.approx(whole(overlap, x, ByToken.of(ones, len(b.tokens)), (mine, as_columns)))


def test_turning_round_by_a_whole_part_changes_nothing(two):
    text = shared(*two)
    back = text.second.turned(text.begins, np.diff(text.begins))
    assert back.tokens.tolist() == text.second.tokens.tolist()
    assert back.ends.tolist() == text.second.ends.tolist()


# ------------------------------------------------------------------------------------------ which text is shared

PIECES = [b"<|bos|>", b" the", b" dog", b" ran", b" home", b"\xc3", b"\xa4", b".", b" a", b" very", b" long", b" way"]
WORDS = Vocabulary(PIECES, [0])
OTHER = Vocabulary([b"<|bos|>", b" the dog", b" ran ho", b"me", "ä".encode(), b". a very long", b" way", b" the"], [0])


def built(folder: Path, prompts: list[list[int]], documents: list[int], parts: list[str]) -> SourceData:
    """The files of a build as far as its text goes."""
    folder.mkdir()
    table = pa.table({"tokens": pa.array(prompts, pa.list_(pa.uint32())), "document": pa.array(documents, pa.uint32()),
                      "part": parts})  # fmt: skip
    for name in ("features", "examples", "prompts"):
        write_batches(folder / f"{name}.arrow", table.schema, table.to_batches(), compact=False)
    return SourceData(folder)


LONG = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 7]  # " the dog ran homeä. a very long way."


def test_a_document_in_several_prompts_is_one_text(tmp_path):
    found = Reading.of(
        built(tmp_path / "a", [[0, *LONG[:5]], [0, *LONG[5:]], [0, 1, 2]], [4, 4, 6], ["x", "x", "y"]), WORDS
    )
    assert found.text == " the dog ran homeä. a very long way. the dog".encode()
    assert found.documents.tolist() == [0, 37, 45]
    assert found.parts == ("x", "y")
    assert found.text[found.begins[2] : found.begins[3]] == b" dog"
    assert found.begins[0] == found.begins[1] == 0  # BOS has no bytes


def test_texts_are_shared_as_far_as_both_read_them(tmp_path):
    whole = Reading.of(built(tmp_path / "a", [[0, *LONG], [0, 1, 3]], [0, 1], ["x", "x"]), WORDS)
    first = Reading.of(built(tmp_path / "b", [[0, 7, 3, 3], [0, 1, 2, 3, 4, 5]], [0, 7], ["y", "y"]), OTHER)
    assert first.text[first.documents[1] :] == " the dog ran homeä. a very long".encode()
    text = shared(whole, first)
    assert text.documents == 1
    assert text.size == len(" the dog ran homeä. a very long".encode())  # not the “ way.” that one of them read
    assert [PIECES[whole.tokens[t]] for t in text.first.tokens][-2:] == [b" very", b" long"]
    assert text.first.ends[-1] == text.second.ends[-1] == text.size
    halves = Overlap.of(text.first, text.second, len(whole.tokens))
    assert halves.lengths.sum() == text.size
    assert halves.offsets.tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11]  # “ home” is two tokens of the other


def test_a_cut_token_is_shared_as_far_as_the_other_read(tmp_path):
    a = Reading.of(built(tmp_path / "a", [[0, *LONG]], [0], ["x"]), WORDS)
    other = Vocabulary([*OTHER.pieces[:5], b". a very long wa"], [0])
    b = Reading.of(built(tmp_path / "b", [[0, 1, 2, 3, 4, 5]], [0], ["x"]), other)
    text = shared(a, b)
    assert text.size == len(b.text)
    assert PIECES[a.tokens[text.first.tokens[-1]]] == b" way"
    assert np.diff(text.first.ends)[-1] == 3  # “ wa”


def test_a_short_text_is_not_taken_for_the_beginning_of_another(tmp_path):
    a = Reading.of(built(tmp_path / "a", [[0, *LONG], [0, 1, 3]], [0, 1], ["x", "x"]), WORDS)
    b = Reading.of(built(tmp_path / "b", [[0, 1], [0, 1, 2]], [0, 1], ["x", "x"]), OTHER)
    assert shared(a, b) is None
    same = Reading.of(built(tmp_path / "c", [[0, 1, 3]], [0], ["x"]), WORDS)
    assert shared(a, same).size == len(b" the ran")


def test_the_same_document_twice_is_used_once_for_each(tmp_path):
    a = Reading.of(built(tmp_path / "a", [[0, *LONG]] * 2, [0, 1], ["x", "x"]), WORDS)
    b = Reading.of(built(tmp_path / "b", [[0, *LONG]] * 3, [0, 1, 2], ["x", "x", "x"]), WORDS)
    text = shared(a, b)
    assert text.documents == 2
    assert text.second.tokens.tolist() == text.first.tokens.tolist()


def test_documents_that_only_begin_alike_are_not_the_same(tmp_path):
    a = Reading.of(built(tmp_path / "a", [[0, *LONG, 1]], [0], ["x"]), WORDS)
    b = Reading.of(built(tmp_path / "b", [[0, *LONG, 2]], [0], ["x"]), WORDS)
    assert shared(a, b) is None


def test_packed_documents_are_found_again(tmp_path):
    # document 3 begins in the first row and ends in the second, where 4 begins
    packed = built(tmp_path / "a", [[0, 1, 2, 0, *LONG[:3]], [0, *LONG[3:], 0, 1, 3, 3]], [2, 3], ["x", "x"])
    found = Reading.of(packed, WORDS, packed=True)
    texts = [found.text[i:j] for i, j in pairwise(found.documents.tolist())]
    assert texts == [b" the dog", " the dog ran homeä. a very long way.".encode(), b" the ran ran"]
    alone = Reading.of(built(tmp_path / "b", [[0, 1, 2, 3, 4, 5, 6]], [9], ["x"]), OTHER)
    assert shared(found, alone).documents == 1


def test_planted_text_reads_back():
    read, numbers = reading(TEXT, cut(TEXT, random.Random(0), whole=True))
    assert read.text[: read.documents[1]] == TEXT.document(0)
    assert (np.diff(read.begins)[np.concatenate(numbers)] > 0).all()
    assert planted.BOS == read.tokens[0]
