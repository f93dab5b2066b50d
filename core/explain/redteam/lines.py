"""Reads the line of an annotation as a hypothesis, in every form that `core.explain.annotation.words` writes.

A line is clauses joined by “; or ”, perhaps after “strongest on …; also ”, perhaps before “; nearly always in …”. A
clause is a list of quoted pieces of text (or “any token”, or kinds of tokens such as digits), then conditions (“after
…”, “at places …”, “in novels”). A piece is followed by the name of its signs in brackets, by the part of the word that
is meant, or by “as in” and words that have it: then its letters are meant, with hyphens where the words go on. A
quotation mark inside of the marks is told from the marks by what comes after it. Conditions are no words: they are left
out, which is said.

What blanks and quotation marks a piece has is written with `SIGNS`, since a phrase is on one line and within marks; of
what stands at the beginning of a text the piece is taken, and that it stands there is left out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

SIGNS = {"↵": "\n", "⇥": "\t", "ʺ": '"', "ˋ": "`", "❝": "“", "❞": "”"}
"""How a phrase shows what it could not hold; “␣” alone, or several of them, are so many spaces."""
_SHOWN = str.maketrans({text: sign for sign, text in SIGNS.items() if sign not in "↵⇥"})
_MEANT = str.maketrans(SIGNS)
_MORE = re.compile(r",? and \d+ (?:more\b|\w*(?=…))")
_CONDITION = r"(?:two after|after|in|where|at places|first in|before the first|anywhere)"
_AFTER = rf"$|, [“\w]| or [“\w]| and [“\d]|; (?:or|also|nearly) | {_CONDITION}\b|…(?:$|;)"
_ENDS = re.compile(rf"{_AFTER}| as in \S| \((?:-|[a-z]|[^“”]*?-\))")
"""What may follow the mark that closes a piece."""
_PART = re.compile(rf" \((?:-[^“”]*?|[^“”]*?-)\)(?={_AFTER}| \([a-z])")
_SIGN = re.compile(rf" \([a-z-]+(?: [a-z-]+)*\)(?={_AFTER}| \([a-z])")
_SHAPES = re.compile(r" \([a-z][a-z, ]*(?: and (?:[a-z ]+|\d+ more))?(?:\)|(?=…))")
_BARE = re.compile(r"[a-z][a-z ]*(?:, [a-z][a-z ]*)*(?:(?: and| or) [a-z][a-z ]*)?|the beginning")
_KINDS = re.compile(r"lower case|capital|digits|punctuation|mixed characters|single capital|line breaks|spaces")


@dataclass(frozen=True, slots=True)
class Said:
    """A piece of a line."""

    role: Literal["should", "also"]
    phrase: str
    letters: bool


@dataclass(slots=True)
class _Reader:
    text: str
    at: int = 0
    said: list[Said] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


class _Other(Exception):
    """It is no line of an annotation."""


def read(text: str) -> tuple[Sequence[Said], Sequence[str]] | None:
    """(its pieces, what was left out) of a line; None for any other text."""
    if "“" not in text:
        return None
    reader = _Reader(text)
    try:
        _line(reader)
    except _Other:
        return None
    return (reader.said, reader.left) if reader.said else None


def shown(text: str) -> str:
    """A piece of text as a phrase shows it."""
    return re.sub(" {2,}", lambda found: "␣" * len(found[0]), text.translate(_SHOWN))


def meant(phrase: str) -> str:
    """The text that a phrase stands for."""
    return re.sub("^␣$|␣{2,}", lambda found: " " * len(found[0]), phrase.translate(_MEANT))


# -- inside ------------------------------------------------------------------------------------------------------------


def _line(it: _Reader) -> None:
    role: Literal["should", "also"] = "should"
    rare = _take(it, "too rare for a rule; active on ")
    if rare or _take(it, "strongest on "):
        _pieces(it, role)
        if not _take(it, "; also "):
            _end(it)
            return
        role = "also"
    while True:
        _clause(it, role)
        if not _take(it, "; or "):
            break
    _end(it)


def _end(it: _Reader) -> None:
    rest = it.text[it.at :]
    if rest and not re.fullmatch(r"(?:(?:; or|[ ,\w]{0,16})…)?(?:; nearly always in [\w, ]+)?", rest):
        raise _Other
    it.left += [found[0]] if (found := re.search(r"nearly always in .+", rest)) else []


def _clause(it: _Reader, role: Literal["should", "also"]) -> None:
    """Pieces, any token, or kinds of tokens; then conditions."""
    if it.text.startswith("“", it.at):
        _pieces(it, role)
    elif found := re.compile(r"any token").match(it.text, it.at):
        _leave(it, found.end())
    elif (found := _BARE.match(it.text, it.at)) and _KINDS.search(found[0]):
        words = re.split(rf" {_CONDITION}\b| and $", found[0])[0]
        _leave(it, it.at + len(words))
        if more := _MORE.match(it.text, it.at):
            _leave(it, more.end())
    else:
        raise _Other
    if found := _SHAPES.match(it.text, it.at):
        _leave(it, found.end())
    if re.compile(rf" {_CONDITION}\b").match(it.text, it.at):
        _leave(it, _condition(it))


def _pieces(it: _Reader, role: Literal["should", "also"]) -> None:
    """Quoted pieces with commas, “or” and “and … more” between them."""
    while True:
        if not _piece(it, role):
            return  # the line is cut off here
        if found := _MORE.match(it.text, it.at):
            _leave(it, found.end())
            return
        between = re.compile(r", (?=“|the beginning)| or (?=“|the beginning)").match(it.text, it.at)
        if between is None:
            return
        it.at = between.end()


def _piece(it: _Reader, role: Literal["should", "also"]) -> bool:
    """One piece with what is said of it; whether it was whole."""
    if it.text.startswith("the beginning", it.at):
        _leave(it, it.at + len("the beginning"))
        return True
    end = _closed(it.text, it.at)
    if end is None:
        cut = it.text.find("…", it.at)
        if cut < 0 or not it.text.startswith("“", it.at):
            raise _Other
        _leave(it, cut)
        return False
    piece, it.at = it.text[it.at + 1 : end], end + 1
    letters = it.text.startswith(" as in ", it.at)
    if letters:
        it.at = _examples(it.text, it.at + len(" as in "), piece.count(" "))
    elif found := _PART.match(it.text, it.at):  # which part of the word
        it.at = found.end()
    if found := _SIGN.match(it.text, it.at):
        more = re.compile(r", “| or “| and \d").match(it.text, found.end())
        if more or not piece[-1:].isalnum() or not _KINDS.search(found[0]):  # else a kind of token, said of all pieces
            it.at = found.end()
    if piece.startswith("beginning ") and len(piece) > len("beginning "):
        it.left.append("beginning")
        piece = piece.removeprefix("beginning ")
    it.said.append(Said(role, shown(piece), letters))
    return True


def _closed(text: str, at: int) -> int | None:
    """Where the mark stands that closes the one at `at`; a piece has a character at least."""
    end = at + 1
    while text.startswith("“", at) and (end := text.find("”", end + 1)) > 0:
        if _ENDS.match(text, end + 1):
            return end
    return None


def _examples(text: str, at: int, spaces: int) -> int:
    """After the words in which a piece stands, with commas and “and” between; each of as many parts as the piece."""
    part = r"\S*?" if spaces else r"\S+?"
    word = rf"{part}(?: {part}){{{spaces}}}"
    more = rf"(?:, (?!“)(?!the beginning){word})*(?: and (?!\d+ m){word})?"
    found = re.compile(rf"{word}{more}(?={_ENDS.pattern})").match(text, at)
    if found is None:
        cut = text.find("…", at)
        if cut < 0:
            raise _Other
        return cut
    return found.end()


def _condition(it: _Reader) -> int:
    """Where the conditions of a clause end: at the next clause outside of marks."""
    at = it.at
    while at < len(it.text):
        if it.text.startswith("“", at) and (end := _closed(it.text, at)) is not None:
            at = end + 1
        elif it.text.startswith(("; or ", "; nearly always in "), at) or it.text[at] == "…":
            break
        else:
            at += 1
    return at


def _take(it: _Reader, what: str) -> bool:
    if not it.text.startswith(what, it.at):
        return False
    it.at += len(what)
    return True


def _leave(it: _Reader, end: int) -> None:
    if what := it.text[it.at : end].strip(" ,"):
        it.left.append(what)
    it.at = end
