"""Categories, conditions and rules in words, and the line that a feature is called by.

A rule in words (`Names.rule`) is exactly what is scored, with every category, pieces of words as the tokens are. A line
(`Names.line`) is for readers and for search: it says the same rule's categories in the order of their activation, a few
of each, by the whole words in which the feature is active on them, with the case that they have in the texts; and signs
by their names. Where most of the strongest activations are on something else, that comes first.

Everything from a text is quoted, with line breaks, tabs and spaces made visible, and other characters that do not print
written as Python writes them; escaping for HTML is the drawing's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.explain.annotation.attributes import ATTRIBUTES, Attribute
from core.explain.annotation.corpus import LINE, SHAPES, Corpus, bucket_range
from core.explain.annotation.spoken import Spoken
from core.kernel import I32, I64

SHOWN, SHOWN_STRONGEST = 4, 3
"""Categories of a set that a line names, and words of the strongest activations."""
LONGEST, LONG_WORD = 240, 40
"""Characters of a line; of a word that is said whole."""
NEARLY, HALF, FAINT, CLAUSE = 0.8, 0.5, 0.03, 0.15
"""Shares of activation: of a category's, with which a word stands for it, with which its token counts as a word of its
own, with which a word or a category of a set is said at all (less than that is left over without a word); of a rule's,
with which a clause is."""
OWN: tuple[Attribute, ...] = ("token", "word", "pair")
"""Attributes that say what the token itself is."""
SIGNS = {
    "↵": "line break", "␣": "space", "⇥": "tab", "_": "underscore", "-": "dash", "–": "dash", "—": "dash",
    "=": "equals sign", "+": "plus sign", "*": "asterisk", "/": "slash", "\\": "backslash", "#": "hash", "@": "at sign",
    "%": "percent sign", "&": "ampersand", "$": "dollar sign", "~": "tilde", "^": "caret", "|": "bar", "`": "backtick",
    ".": "full stop", ",": "comma", ":": "colon", ";": "semicolon", "!": "exclamation mark", "?": "question mark",
    "'": "apostrophe", "’": "apostrophe", "‘": "quotation mark", '"': "quotation mark", "“": "quotation mark",
    "”": "quotation mark", "(": "opening bracket", ")": "closing bracket", "[": "opening square bracket",
    "]": "closing square bracket", "{": "opening brace", "}": "closing brace", "<": "less-than sign",
    ">": "greater-than sign",
}  # fmt: skip
_BEFORE = {"prev": "after", "prev2": "two after", "before": "after the word"}


def visible(text: str) -> str:
    """A piece of text as a line shows it."""
    bare = text.strip(" ") or text.replace(" ", "␣")
    bare = bare.replace("\n", "↵").replace("\t", "⇥")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in bare)


class Names:
    """What a build's categories are called."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._known: dict[int, str] = {}
        self._texts: dict[bytes, tuple[str, str]] = {}
        self._words_known: dict[tuple[bytes, int, int], Word] = {}
        self._last_bucket = int(corpus.column("place").max(initial=0))

    def name(self, category: int) -> str:
        """One category; tokens and words without quotes."""
        if category not in self._known:
            kind = ATTRIBUTES[int(np.searchsorted(self._corpus.base, category, side="right")) - 1]
            self._known[category] = self._made(kind, category)
        return self._known[category]

    def _made(self, kind: Attribute, category: int) -> str:
        c = self._corpus
        at, code = int(c.first[category]), int(c.codes[category])
        if kind == "part":
            return c.parts[code]
        if kind == "shape":
            return SHAPES[code // 2] + (" inside a word" if code % 2 else "")
        if kind == "place":
            first, last = bucket_range(code)
            return f"{first}" if first == last else f"{first}–{last}"
        if kind == "line":
            return "cut off" if code > LINE else f"{code + 1}" if code < LINE else f"{LINE + 1} or later"
        if kind == "repeat":
            return ("new", "the token", "the last two tokens", "the last three tokens or more")[code]
        if kind == "word":
            return self._text(int(c.head[at]), at + 1)
        if kind == "pair":
            return self._text(at - 1, at + 1) if self._before(at) else "beginning " + self._text(at, at + 1)
        if kind == "before":
            head = int(c.head[at])
            return self._text(int(c.head[head - 1]), head) if code else "the beginning"
        back = {"token": 0, "prev": 1, "prev2": 2}[kind]
        return self._text(at - back, at - back + 1) if code >= 0 else "the beginning"

    def _before(self, at: int) -> bool:
        return at > 0 and bool(self._corpus.counted[at - 1])

    def _text(self, begin: int, end: int, *, fold: bool = True) -> str:
        """The tokens of a place, without regard to case if `fold`."""
        ids = self._corpus.tokens[begin:end]
        key = ids.tobytes()
        texts = self._texts.get(key)
        if texts is None:
            raw = b"".join(self._corpus.vocabulary.piece(i) for i in ids.tolist()).decode("utf-8", "backslashreplace")
            self._texts[key] = texts = visible(raw), visible(raw.lower())
        return texts[fold]

    # -- conditions --------------------------------------------------------------------------------------------------

    def condition(self, kind: Attribute, chosen: list[int]) -> str:
        """One condition of a rule, with every category of its set."""
        if kind in ("place", "line", "repeat"):
            return self._range(kind, [int(self._corpus.codes[c]) for c in chosen])
        names = list(dict.fromkeys(self.name(c) for c in chosen))
        if kind not in ("shape", "part"):
            names = [name if name == "the beginning" else f"“{name}”" for name in names]
        return self._joined(kind, names)

    @staticmethod
    def _joined(kind: Attribute, names: list[str], more: int = 0) -> str:
        words = f"{', '.join(names)} and {more} more" if more else listed(names, len(names), _join(kind))
        return f"in {words}" if kind == "part" else f"{_BEFORE[kind]} {words}" if kind in _BEFORE else words

    def _range(self, kind: Attribute, codes: list[int]) -> str:
        """Ordered categories: places, places in the line, repetitions."""
        codes = sorted(codes)
        if kind == "repeat":
            if codes == list(range(codes[0], 4)) and codes[0]:
                text = ("", "where the token was there before", "where the last two tokens repeat an earlier place",
                        "where the last three tokens repeat an earlier place")[codes[0]]  # fmt: skip
                return text
            if codes == list(range(codes[-1] + 1)):
                return ("where the token is new", "where no pair is a repetition",
                        "where no three tokens are a repetition", "anywhere")[codes[-1]]  # fmt: skip
            named = [("none", "one", "two", "three or more")[c] for c in codes]
            return f"where {listed(named, 4, 'or')} of the last tokens are a repetition"
        if kind == "line":
            if codes == [0]:
                return "first in its line"
            if codes == [LINE + 1]:
                return "before the first line break"
            named = []
            for first, last in _runs([c for c in codes if c < LINE]):
                named.append(f"token {first + 1}" if first == last else f"tokens {first + 1}–{last + 1}")
            named += [f"later than {LINE}"] * (LINE in codes) + ["before the first line break"] * (LINE + 1 in codes)
            return "in its line: " + listed(named, 6, "and")
        ranges = [bucket_range(c) for c in codes]
        if codes[-1] == self._last_bucket and codes == list(range(codes[0], codes[-1] + 1)):
            return f"after place {ranges[0][0] - 1}"
        named = []
        for first, last in _runs(codes):
            a, b = ranges[codes.index(first)][0], ranges[codes.index(last)][1]
            named.append(f"{a}" if a == b else f"{a}–{b}")
        return "at places " + listed(named, 6, "and")

    def rule(self, attribute: I64, size: I64, sets: I32) -> list[str]:
        """The clauses of a rule in words, with every category of its sets: exactly what is scored."""
        return [
            _clause([(kind, self.condition(kind, sets[s, i, : size[s, i]].tolist())) for i, kind in conditions])
            for s, conditions in _steps(attribute)
        ]

    # -- lines -------------------------------------------------------------------------------------------------------

    def line(
        self, attribute: I64, size: I64, sets: I32, spoken: Spoken, f: int, *, lead: bool = True, place: str = ""
    ) -> str:
        """A rule in a line: its clauses, conditions and categories in the order of their activation, a few of each.

        A category that is a piece of a word is said with whole words: “population” (-ulation) where it is in that word
        nearly always, else “-tion” as in nation and action. With `lead`, what the largest activations are on comes
        first where the first clause says something else. `place` is a kind of document that nearly all the activation
        is in. Without a rule it is what comes first alone.
        """
        steps = _steps(attribute)
        masses = [sum(spoken.mass[f, s, 0].tolist()) for s, _ in steps]
        least = CLAUSE * sum(masses)
        order = sorted(range(len(steps)), key=lambda n: -masses[n])
        rows = [
            [_condition(kind, i, steps[n][0], size, sets, spoken, f) for i, kind in steps[n][1]]
            for n in order
            if masses[n] >= least
        ]
        first = rows[0] if rows else []
        text, held = self._lead(first, spoken.strongest[f].tolist()) if lead else ("", frozenset[str]())
        clauses = [_clause([(its.kind, self._said(its, held)) for its in row]) for row in rows]
        end = f"; nearly always in {place}" if place and all(its.kind != "part" for row in rows for its in row) else ""
        line = f"strongest on {text}; also " if text and clauses else text
        for n, clause in enumerate(clauses):
            if n and len(line) + len(clause) + len(end) + 5 > LONGEST:
                break
            line += f"; or {clause}" if n else clause
        return (line if len(line) + len(end) <= LONGEST else line[: LONGEST - len(end) - 1] + "…") + end

    def _said(self, its: Condition, held: frozenset[str]) -> str:
        """A condition of a line, without what it `held` before."""
        kind, shown = its.kind, its.shown
        if kind in ("place", "line", "repeat"):
            return self._range(kind, [int(self._corpus.codes[c]) for c in its.chosen])
        whole = sum(its.mass)
        names: dict[str, str] = {}
        signs: set[str] = set()
        for q in shown:
            words = [] if kind in ("shape", "part") else self._words(kind, its.at[q], its.share[q])
            if not words:
                name = self.name(its.chosen[q])
                names[name] = name if kind in ("shape", "part") or name == "the beginning" else f"“{name}”"
                continue
            share = its.mass[q] / whole if whole else 1.0
            room = 0 if kind not in OWN else 3 if share >= HALF else 2 if share >= HALF / 2 else 1
            text, key, sign = _written(words, its.mass[q], room)
            names.setdefault(key, text + (f" ({sign})" if sign and sign not in signs else ""))
            signs.add(sign)
        new = [text for key, text in names.items() if key not in held]
        more = len(its.chosen) - len(shown) if sum(its.mass[q] for q in shown) < (1 - FAINT) * whole else 0
        return self._joined(kind, new or list(names.values()), more)

    def _words(self, kind: Attribute, at: list[int], share: list[float]) -> list[Word]:
        """What a category is in each whole word; nothing where it is not a piece of text, such as a beginning."""
        found = []
        for p, mass in zip(at, share, strict=True):
            if p < 0:
                break
            span = self._span(kind, p)
            if span is None:
                return []
            found.append(self._word(*span, mass))
        return found

    def _span(self, kind: Attribute, p: int) -> tuple[int, int] | None:
        """(first token, after the last) of what a category is about at an active token."""
        c = self._corpus
        begin, end = p, p + 1
        if kind == "word":
            begin = int(c.head[p])
        elif kind == "pair":
            begin = p - 1
        elif kind in ("prev", "prev2"):
            begin, end = (p - 1, p) if kind == "prev" else (p - 2, p - 1)
        elif kind == "before":
            end = int(c.head[p])
            begin = int(c.head[end - 1])
        return (begin, end) if 0 <= begin < end and c.counted[begin:end].all() else None

    def _word(self, begin: int, end: int, mass: float) -> Word:
        head, tail = int(self._corpus.head[begin]), int(self._corpus.end[end - 1])
        key = self._corpus.tokens[head:tail].tobytes(), begin - head, end - head
        word = self._words_known.get(key)
        if word is None:
            self._words_known[key] = word = self._made_word(begin, end, head, tail)
        return word._replace(mass=mass)

    def _made_word(self, begin: int, end: int, head: int, tail: int) -> Word:
        piece, whole = (self._text(*span, fold=False) for span in ((begin, end), (head, tail)))
        if len(whole) > LONG_WORD:
            whole = piece
        elif "\\x" in piece:  # a part of a character
            piece, head, tail = whole, begin, end
        return Word(piece, whole, head < begin, tail > end, 0.0, _sign(self._text(end - 1, end)))

    def _lead(self, first: list[Condition], strongest: list[int]) -> tuple[str, frozenset[str]]:
        """(the words of the largest activations, what they are known by); nothing where the `first` clause says these.

        It does if at least half of them are on what it shows, unless half are on one token that it does not begin with.
        """
        token = self._corpus.ids[0]
        places = [p for p in strongest if p >= 0 and self._corpus.counted[p]]
        groups: dict[int, list[int]] = {}
        for p in places:
            groups.setdefault(int(token[p]), []).append(p)
        best = sorted(groups, key=lambda one: -len(groups[one]))[:SHOWN_STRONGEST]
        said, begins = 0, -1
        for its in first:
            if its.kind in OWN:
                shown = {its.chosen[q] for q in its.shown}
                row = self._corpus.ids[ATTRIBUTES.index(its.kind)]
                said = sum(int(row[p]) in shown for p in places)
                begins = int(token[its.at[its.shown[0]][0]]) if its.at[its.shown[0]][0] >= 0 else -1
        one = bool(best) and 2 * len(groups[best[0]]) >= len(places)
        if not best or (2 * said >= len(places) and (not one or best[0] == begins)):
            return "", frozenset()
        if one:
            best = [t for t in best if t == best[0] or len(groups[t]) > 1]
        written = [
            _written([self._word(p, p + 1, 1.0) for p in groups[t]], float(len(groups[t])), 3 if len(best) == 1 else 2)
            for t in best
        ]
        texts = [text + (f" ({sign})" if sign else "") for text, _, sign in written]
        return listed(list(dict.fromkeys(texts)), SHOWN_STRONGEST, "or"), frozenset(key for _, key, _ in written)


class Condition(NamedTuple):
    """A condition of a rule, with the activation of each category of its set."""

    kind: Attribute
    chosen: list[int]
    mass: list[float]
    at: list[list[int]]
    share: list[list[float]]

    @property
    def shown(self) -> list[int]:
        """The places in the set of the categories that a line says, the largest activation first."""
        order = sorted(range(len(self.chosen)), key=lambda q: -self.mass[q])
        least = FAINT * sum(self.mass)
        some = [q for n, q in enumerate(order) if n == 0 or self.mass[q] >= least][: SHOWN + 1]
        return some if len(some) == len(order) else some[:SHOWN]


def _condition(kind: Attribute, i: int, s: int, size: I64, sets: I32, spoken: Spoken, f: int) -> Condition:
    n = int(size[s, i])
    return Condition(
        kind, sets[s, i, :n].tolist(), spoken.mass[f, s, i, :n].tolist(), spoken.at[f, s, i, :n].tolist(),
        spoken.share[f, s, i, :n].tolist(),
    )  # fmt: skip


class Word(NamedTuple):
    """A piece of text in a whole word, as they stand in the texts."""

    piece: str
    whole: str
    left: bool
    """The word begins before the piece."""
    right: bool
    mass: float
    sign: str
    """What its last token is called if that is a sign."""

    @property
    def marked(self) -> str:
        """The piece with hyphens where the word goes on."""
        return "-" * self.left + self.piece + "-" * self.right


def _written(words: list[Word], mass: float, room: int) -> tuple[str, str, str]:
    """(a category as a line says it with at most `room` whole words, what it is known by, the name of its sign)."""
    groups: dict[str, Word] = {}
    for word in words:
        held = groups.get(word.whole.lower())
        groups[word.whole.lower()] = held._replace(mass=held.mass + word.mass) if held else word
    ordered = sorted(groups.values(), key=lambda word: -word.mass)
    first, cut = ordered[0], [word for word in ordered if word.left or word.right]
    if not cut or (first not in cut and (first.mass >= HALF * mass or not room)):
        return f"“{first.piece}”", first.piece.lower(), first.sign
    if not room:
        return f"“{first.marked}”", first.marked.lower(), ""
    if first in cut and first.mass >= NEARLY * mass and first.whole != first.piece:
        return f"“{first.whole}” ({first.marked})", first.whole.lower(), first.sign
    shown = [word.whole for word in cut[:room] if word is cut[0] or word.mass >= FAINT * mass]
    return f"“{cut[0].marked}” as in {listed(shown, room, 'and')}", cut[0].marked.lower(), first.sign


def _sign(text: str) -> str:
    """What a sign is called: readers see it badly, and who searches writes its name. Empty for anything else."""
    kinds = list(dict.fromkeys(text))
    if not kinds or len(kinds) > 2 or any(c not in SIGNS for c in kinds):
        return ""
    return " and ".join(
        SIGNS[c] + ("" if text.count(c) == 1 else "es" if SIGNS[c].endswith("sh") else "s") for c in kinds
    )


def _steps(attribute: I64) -> list[tuple[int, list[tuple[int, Attribute]]]]:
    """The clauses of a rule: (its number, (the number, the attribute) of each condition, the token itself first)."""
    found = []
    for s, kinds in enumerate(attribute.tolist()):
        if kinds[0] >= 0:
            there = [(i, k) for i, k in enumerate(kinds) if k >= 0]
            found.append((s, [(i, ATTRIBUTES[k]) for i, k in sorted(there, key=lambda one: one[1])]))
    return found


def _join(kind: Attribute) -> str:
    return "and" if kind in ("shape", "part") else "or"


def _clause(conditions: list[tuple[Attribute, str]]) -> str:
    """What the token is, then its shape, then where it stands."""
    own = [text for kind, text in conditions if kind in OWN]
    shape = [f"({text})" if own else text for kind, text in conditions if kind == "shape"]
    rest = [text for kind, text in conditions if kind not in OWN and kind != "shape"]
    return " ".join((own + shape or ["any token"]) + rest)


def _runs(codes: list[int]) -> list[tuple[int, int]]:
    """Runs of numbers that follow one another."""
    found: list[tuple[int, int]] = []
    for c in codes:
        if found and found[-1][1] == c - 1:
            found[-1] = (found[-1][0], c)
        else:
            found.append((c, c))
    return found


def listed(words: list[str], shown: int, join: str) -> str:
    """“a, b or c”, or “a, b, c and 7 more”."""
    if len(words) > shown + 1:
        return f"{', '.join(words[:shown])} and {len(words) - shown} more"
    if len(words) == 1:
        return words[0]
    return f"{', '.join(words[:-1])} {join} {words[-1]}" if words else "nothing"
