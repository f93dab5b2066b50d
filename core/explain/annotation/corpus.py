"""What can be said of each token of a build's texts, eleven attributes, and which documents are held out.

An attribute sorts every token into exactly one category: the token itself without regard to case and spaces, the word
so far, the pair with the token before it, the tokens one and two back, the word before, its shape, its place in the
prompt and in the line, how much of what came before is a repetition, and the kind of document. Categories of all
attributes are numbered together, so that a count by category is one array.

A share of the documents is held out, by a hash of a document's number: a rule is chosen on the others and scored on
these. Texts of fewer documents than `FEW` are split by prompts.

Cost: a look at every token for each attribute and 4 bytes for each; repetitions are found by comparing every token of
a prompt with every earlier one. No torch.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from core.explain.annotation.attributes import ATTRIBUTES, Attribute
from core.kernel import I32, I64, U32, U64, Bool, compiled, no_type_check
from core.models.vocabulary import Vocabulary

HELD_OUT = 0.3
"""Share of the documents on which rules are scored."""
FEW = 8
"""With fewer documents than this, prompts are held out instead."""
SHAPES = (
    "line breaks", "spaces", "digits", "punctuation", "single capitals", "capitals", "capitalised", "lower case",
    "mixed characters",
)  # fmt: skip
"""Each twice in the attribute: where a word begins or stands alone, and inside a word that goes on."""
REPEATS = 4
"""0: the token is new in its prompt; 1: it was there before; 2: and so was the one before it, in front of it; 3: and
the one before that too."""
LINE = 6
"""Places in a line that are told apart; the last is everything beyond, `LINE` + 1 a line whose beginning is cut off."""


@dataclass(frozen=True, slots=True)
class Corpus:
    """The texts of a build by attribute."""

    vocabulary: Vocabulary
    tokens: U32
    """[total], BOS included."""
    starts: I64
    """[prompts + 1]"""
    parts: tuple[str, ...]
    """Kinds of document; a category of `part` is one of them."""
    counted: Bool
    """[total]: no special token."""
    held: Bool
    """[total]: in a document that is held out."""
    ids: I32
    """[attributes, total]: the category of each token."""
    base: I64
    """[attributes + 1]: the first category of each attribute."""
    train: I64
    """[categories]: counted tokens of each, in documents that are not held out."""
    test: I64
    """[categories]: the same in those that are."""
    order: U32
    """[attributes, total]: tokens by category."""
    index: I64
    """[categories + attributes]: where each category begins in its row of `order`; a row ends with an end."""
    first: I64
    """[categories]: some token that has it, which gives it its name."""
    codes: I64
    """[categories]: the attribute's own number for it: a bucket, a shape, a place in the line, a kind of document."""
    fresh: Bool
    """[total]: a word begins here, or the token stands alone."""
    piece: Bool
    """[total]: the token's word is of several tokens."""
    head: I64
    """[total]: the first token of the word that each token is in."""
    end: I64
    """[total]: the first token after that word."""
    whole: I64
    """[total]: which word that is, without regard to case."""
    split: str
    """What was held out, in words."""

    @property
    def sizes(self) -> tuple[int, int]:
        """Counted tokens that are not and that are held out."""
        return int((self.counted & ~self.held).sum()), int((self.counted & self.held).sum())

    def column(self, name: Attribute) -> I64:
        """[total]: one attribute in its own numbers."""
        return self.codes[self.ids[ATTRIBUTES.index(name)]]


def corpus(
    tokens: U32, starts: I64, documents: U32 | I64, parts: Sequence[str], vocabulary: Vocabulary, seed: int = 0
) -> Corpus:
    """The texts of a build: `tokens` run together, prompts from `starts` on, of each its document and its kind."""
    tokens = np.ascontiguousarray(tokens, np.uint32)
    prompt = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    counted = ~np.isin(tokens, np.array(sorted(vocabulary.special), np.uint32))
    kinds = tuple(sorted(set(parts)))
    columns, fresh = _columns(tokens, starts, prompt, counted, vocabulary)
    head, end = _spans(fresh)
    whole = np.unique(columns["word"][end - 1], return_inverse=True)[1].astype(np.int64)
    columns["part"] = np.array([kinds.index(part) for part in parts], np.int64)[prompt]
    held, split = held_out(documents, seed)
    ids = np.empty((len(ATTRIBUTES), len(tokens)), np.int32)
    base, codes = np.zeros(len(ATTRIBUTES) + 1, np.int64), []
    for n, name in enumerate(ATTRIBUTES):
        own, ids[n] = np.unique(columns[name], return_inverse=True)
        ids[n] += base[n]
        base[n + 1] = base[n] + len(own)
        codes.append(own)
    train, test = np.zeros(base[-1], np.int64), np.zeros(base[-1], np.int64)
    for row in ids:
        train += np.bincount(row[counted & ~held[prompt]], minlength=base[-1])
        test += np.bincount(row[counted & held[prompt]], minlength=base[-1])
    order, index, first = _indexed(ids, base)
    goes_on = np.append(~fresh[1:], False)
    return Corpus(
        vocabulary, tokens, starts, kinds, counted, held[prompt], ids, base, train, test, order, index, first,
        np.concatenate(codes), fresh, ~fresh | goes_on, head, end, whole, split,
    )  # fmt: skip


def _spans(fresh: Bool) -> tuple[I64, I64]:
    """([total] where the word of each token begins, [total] where the next one does)."""
    heads = np.flatnonzero(fresh)
    number = np.cumsum(fresh) - 1
    return heads[number], np.append(heads[1:], len(fresh))[number]


def _indexed(ids: I32, base: I64) -> tuple[U32, I64, I64]:
    """(tokens by category, where each begins, the first of each)."""
    order = np.empty(ids.shape, np.uint32)
    ends, first = [], []
    for n, row in enumerate(ids):
        order[n] = np.argsort(row, kind="stable")
        begins = np.concatenate([[0], np.cumsum(np.bincount(row - base[n], minlength=base[n + 1] - base[n]))])
        ends.append(begins)
        first.append(order[n][begins[:-1]])
    return order, np.concatenate(ends), np.concatenate(first).astype(np.int64)


def held_out(documents: U32 | I64, seed: int = 0) -> tuple[Bool, str]:
    """[prompts]: which are held out, and what that was decided by."""
    distinct, which = np.unique(documents, return_inverse=True)
    what = "documents"
    if len(distinct) < FEW:
        distinct, which, what = np.arange(len(documents)), np.arange(len(documents)), "prompts"
    ranks = np.argsort(_mixed(distinct.astype(np.uint64) + np.uint64(seed) * np.uint64(0xD1342543DE82EF95)))
    chosen = np.zeros(len(distinct), bool)
    chosen[ranks[: round(HELD_OUT * len(distinct))]] = True
    return chosen[which], f"{int(chosen.sum())} of {len(distinct)} {what}"


def _mixed(x: U64) -> U64:
    """SplitMix64's finaliser."""
    with np.errstate(over="ignore"):
        x = (x + np.uint64(0x9E3779B97F4A7C15)) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def folded(vocabulary: Vocabulary, size: int) -> tuple[I64, list[str]]:
    """([size] which of the texts each token id has without regard to case and outer spaces, these texts).

    A token of spaces or line breaks keeps them; one that is part of a character is itself.
    """
    known: dict[str, int] = {}
    ids = np.empty(size, np.int64)
    for i in range(size):
        text = vocabulary.piece(i).decode("utf-8", "replace")
        fold = text.strip().lower() or text
        ids[i] = known.setdefault(f"\ufffd{i}" if "\ufffd" in text else fold, len(known))
    return ids, list(known)


def _columns(
    tokens: U32, starts: I64, prompt: I64, counted: Bool, vocabulary: Vocabulary
) -> tuple[dict[Attribute, I64], Bool]:
    """(every attribute but the kind of document, in numbers of its own; whether a word begins)."""
    size = max(len(vocabulary), int(tokens.max()) + 1) if len(tokens) else len(vocabulary)
    texts = ["" if i in vocabulary.special else vocabulary.piece(i).decode("utf-8", "replace") for i in range(size)]
    ids, _ = folded(vocabulary, size)
    fold = ids[tokens]
    place = np.arange(len(tokens)) - starts[prompt]
    breaks = np.array(["\n" in text for text in texts])[tokens]
    fresh = _fresh(tokens, starts, counted, texts)
    hashes = _word_hashes(_mixed(fold.astype(np.uint64)), fresh)
    prev = _back(fold, 1, place, counted)
    return {
        "token": fold,
        "word": hashes.view(np.int64),
        "pair": (prev + 1) * (size + 1) + fold,
        "prev": prev,
        "prev2": _back(fold, 2, place, counted),
        "before": _word_before(hashes, fresh, starts, prompt).view(np.int64),
        "shape": np.array([_shape(text) for text in texts])[tokens] * 2 + ~fresh,
        "place": _bucket(place),
        "line": _in_line(breaks, starts),
        "repeat": _repeats(tokens, starts, counted),
    }, fresh


def _back(fold: I64, k: int, place: I64, counted: Bool) -> I64:
    """The token `k` back in the same prompt; -1 where there is none, or a special one stands between."""
    result = np.full(len(fold), -1, np.int64)
    result[k:] = fold[:-k]
    result[place < k] = -1
    for j in range(1, k + 1):
        result[j:][~counted[:-j]] = -1
    return result


def _fresh(tokens: U32, starts: I64, counted: Bool, texts: list[str]) -> Bool:
    """[total]: whether a token does not go on with a word: letters or digits do not meet the ones before it."""

    def letter(character: str) -> bool:
        return character == "\ufffd" or unicodedata.category(character)[0] in "LMN"

    begins = np.array([bool(text) and letter(text[0]) for text in texts])
    ends = np.array([bool(text) and letter(text[-1]) for text in texts])
    fresh = np.ones(len(tokens), bool)
    fresh[1:] = ~(begins[tokens[1:]] & ends[tokens[:-1]])
    fresh[1:] |= ~counted[:-1]
    fresh[starts[:-1][np.diff(starts) > 0]] = True
    return fresh


@compiled()
@no_type_check
def _word_hashes(fold: U64, fresh: Bool) -> U64:
    """A hash of each token's word up to and with it."""
    result = np.empty(len(fold), np.uint64)
    held = np.uint64(0)
    for t in range(len(fold)):
        if fresh[t]:
            held = np.uint64(0)
        held = (held ^ (held >> np.uint64(29))) * np.uint64(0xD1342543DE82EF95) + fold[t]
        result[t] = held
    return result


def _word_before(hashes: U64, fresh: Bool, starts: I64, prompt: I64) -> U64:
    """A hash of the whole word before the one that a token stands in; 0 at the beginning of a prompt."""
    heads = np.flatnonzero(fresh)
    number = np.cumsum(fresh) - 1
    whole = hashes[np.append(heads[1:], len(fresh)) - 1]
    result = np.where(number > 0, whole[np.maximum(number - 1, 0)], np.uint64(0))
    result[heads[number] == starts[prompt]] = 0
    return result.astype(np.uint64)


def _shape(text: str) -> int:
    """Which of `SHAPES`."""
    bare = text.strip()
    if not bare:
        return 0 if "\n" in text else 1
    if bare.isdigit():
        return 2
    if not any(c.isalnum() for c in bare):
        return 3
    if bare.isalpha():
        if bare.isupper():
            return 4 if len(bare) == 1 else 5
        return 6 if bare[0].isupper() and bare[1:] == bare[1:].lower() else 7 if bare == bare.lower() else 8
    return 8


def _bucket(place: I64) -> I64:
    """Places 0 to 4 by themselves, then 5 to 8, 9 to 16 and so on."""
    return np.where(place < 5, place, 3 + np.ceil(np.log2(np.maximum(place, 5)) - 1)).astype(np.int64)


def bucket_range(bucket: int) -> tuple[int, int]:
    """First and last place of a bucket."""
    return (bucket, bucket) if bucket < 5 else (2 ** (bucket - 3) + 1, 2 ** (bucket - 2))


@compiled()
@no_type_check
def _in_line(breaks: Bool, starts: I64) -> I64:
    """Tokens since the last line break, at most `LINE`; one more in a line that began before the prompt."""
    result = np.empty(len(breaks), np.int64)
    for p in range(len(starts) - 1):
        since = -1
        for t in range(starts[p], starts[p + 1]):
            result[t] = LINE + 1 if since < 0 else min(since, LINE)
            if breaks[t]:
                since = 0
            elif since >= 0:
                since += 1
    return result


@compiled()
@no_type_check
def _repeats(tokens: U32, starts: I64, counted: Bool) -> I64:
    """The longest run of tokens ending here that ended at an earlier place of the prompt too, at most `REPEATS` - 1."""
    result = np.zeros(len(tokens), np.int64)
    for p in range(len(starts) - 1):
        begin, end = starts[p], starts[p + 1]
        runs = np.zeros(end - begin + 1, np.int64)  # runs[j]: of the last token and place begin + j - 1
        for t in range(begin, end):
            most = 0
            for s in range(t - 1, begin - 1, -1):
                j = s - begin + 1
                runs[j] = runs[j - 1] + 1 if counted[t] and tokens[s] == tokens[t] else 0
                most = max(most, runs[j])
            result[t] = min(most, REPEATS - 1)
    return result
