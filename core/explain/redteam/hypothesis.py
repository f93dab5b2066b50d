"""A hypothesis in words, and what it says of a text: “fires on the colour red, also crimson, not on Credentials”.

Read by hand-written rules, no model: the sentence falls into phrases at commas, “or”, “and”, “|” and full stops outside
of quotation marks; “also”, “such as” and the like, and “not”, “but not”, “except” and the like, say what the phrases
after them are for. “the colour red” is the word *red*; “names of countries” and “words about the sea” name a kind of
thing, of which no text can be made without knowing what is of it; “the letters red” are these in any word, “the letters
-ing” at the end of one, “un-” at the beginning and “-er-” within. What is in
quotation marks is taken as it is. The line of an annotation is read by its own grammar (`lines`): its pieces are kept,
and its conditions (“after …”, “in factbook”) are left out, which is said.
`Hypothesis.sentence` writes the parts in a form that is read as the same parts, so that a corrected hypothesis is again
one text.

A text *has* a phrase where it stands in it as whole words, as it is written or with a capital first letter. Other forms
(all capitals, a plural, …) are neither: the hypothesis does not say. Cost: regular expressions over a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from core.errors import BadInput
from core.explain.redteam import lines
from core.records import Shown

Role = Literal["should", "also", "not"]
LONGEST = 4_000
"""Characters of a hypothesis."""
PHRASES, PHRASE = 16, 80
"""Phrases of one role, and characters of a phrase; what is beyond is left out, which is said."""
OPEN, CLOSE = "“", "”"
QUOTED = re.compile(r"“([^“”]*)”|\"([^\"]*)\"|`([^`]+)`")
_HOLD = "\x00{}\x00"
_HELD = re.compile(r"\x00(\d+)\x00")
_LEAD = re.compile(
    r"^\W*(?:i (?:think|believe) (?:that )?)?(?:(?:it|this|the) ?(?:feature|neuron|latent|direction|unit)?\s+)?"
    r"(?:only |mostly |mainly )?(?:is active|is strong|lights up|fires?|firing|activat(?:es?|ing)|active|responds?|"
    r"reacts?|detects?|recogni[sz]es?|finds?|stands? for|means?|is for|is about)"
    r"(?:\s+(?:only|mostly|mainly|strongly))?(?:\s+(?:on|to|for|when|at|in|with))?\b",
    re.I,
)
_NOT = (
    r"(?:but\s+|and\s+|yet\s+)?(?:(?:(?:does|do|is|should)\s+not|do(?:es)?n['’]t)(?=\s+(?:fire|activ|respond))|never|"
    r"not|except(?:\s+for)?|"
    r"excluding|unlike|rather\s+than|(?:stays?\s+)?silent)"
)
_ALSO = (
    r"(?:and\s+|but\s+)?(?:also|as\s+well\s+as|including|includes|e\.\s?g\.|for\s+example|for\s+instance|such\s+as|"
    r"like|even)"
)
_TAIL = r"(?:\s+(?:fires?|activates?|active|responds?))?(?:\s+(?:on|for|to|at|when|in|with))?"
_CUT = re.compile(
    rf"(?P<not>(?:,\s*)?(?<![\w'’-]){_NOT}{_TAIL}(?![\w'’-]))|(?P<also>(?:,\s*)?(?<![\w'’-]){_ALSO}{_TAIL}(?![\w'’-]))"
    r"|(?P<end>[|\n]|[.!?](?=\s|$)|;)|(?P<next>,|:(?=\s)|—|–(?=\s)|(?<![\w'’-])(?:or|and|but)(?![\w'’-]))",
    re.I,
)
_SHAPE = re.compile(
    r"any token\b.*|(?:single )?(?:lower case|capital(?:s|ised)|digits|punctuation|mixed characters)(?: inside a word)?"
    r"|\d+ more",
    re.I,
)
"""Kinds of tokens, which are no words."""
_THING = (
    r"(?:words?|tokens?|terms?|names?|phrases?|strings?|colou?rs?|letters?|numbers?|nouns?|verbs?|adjectives?|"
    r"mentions?|texts?|sentences?|passages?|things?|concepts?|ideas?|kinds?)"
)
_KIND = re.compile(
    rf"^(?:the\s+)?(?:{_THING}\s+(?:of|for|about|(?:that\s+are\s+)?related\s+to|to\s+do\s+with|connected\s+with|"
    rf"concerning|meaning|on)|anything\s+(?:about|to\s+do\s+with)|topics?\s+of)\s+(?P<kind>.+)$",
    re.I,
)
_KIND_AFTER = re.compile(
    r"^(?P<kind>.+?)(?:[- ]related)?\s+(?:words|terms|names|tokens|phrases|vocabulary|texts|verbs|nouns|adjectives)$",
    re.I,
)
_INSIDE = r"\s+(?:in|inside)(?:\s+of)?\s+(?:them|it|any word|a word|(?:other |any )?words)"
_LETTERS = re.compile(
    rf"(?:the\s+)?(?:letters|words? (?:with|containing|that (?:has|have|contains?)))(?:{_INSIDE})?", re.I
)
_ONE = re.compile(
    r"^(?:the\s+)?(?:words?|tokens?|terms?|names?|strings?|colou?rs?|letter|numbers?|nouns?|verbs?|adjectives?|"
    r"phrases?)\s+(?P<word>.+)$",
    re.I,
)
_ARTICLE = re.compile(r"^(?:the|a|an|any|all|some|its|other|its own)\s+(?=\S)", re.I)


@dataclass(frozen=True)
class Part:
    """A phrase of a hypothesis."""

    role: Role
    phrase: str
    kind: bool = False
    """Whether it names a kind of thing (“names of countries”) and not words that could stand in a text."""
    letters: bool = False
    """Whether its letters are meant in any word (“the letters red”); hyphens around it say where words go on."""

    @property
    def fires(self) -> bool:
        """Whether the feature should fire on it."""
        return self.role != "not"

    @property
    def text(self) -> str:
        """What stands in a text where the phrase does, with blanks in the place of their signs."""
        return lines.meant(_bare(self.phrase) if self.letters else self.phrase)

    @cached_property
    def finder(self) -> re.Pattern[str]:
        """Finds its text where it is meant."""
        return _anywhere(self.phrase) if self.letters else _whole(self.text)

    @property
    def written(self) -> str:
        """As a sentence has it."""
        before = "words about " if self.kind else "the letters " if self.letters else ""
        return f"{before}{OPEN}{self.phrase}{CLOSE}"

    @property
    def fielded(self) -> str:
        """As a field has it: ~colours is a kind of thing, *red* the letters in any word."""
        phrase = f"{OPEN}{self.phrase}{CLOSE}" if "," in self.phrase else self.phrase
        return f"~{phrase}" if self.kind else f"*{phrase}*" if self.letters else phrase


@dataclass(frozen=True)
class Hypothesis(Shown):
    """What somebody thinks that a feature fires on."""

    text: str
    """As it was said."""
    parts: tuple[Part, ...]
    left: tuple[str, ...] = ()
    """What of it was not used, as it was said."""

    def of(self, role: Role, *, kind: bool | None = None) -> tuple[str, ...]:
        """The phrases of a role; those that name a kind of thing, those that do not, or all."""
        return tuple(p.phrase for p in self.parts if p.role == role and (kind is None or p.kind == kind))

    @property
    def words(self) -> tuple[Part, ...]:
        """The parts that can stand in a text."""
        return tuple(part for part in self.parts if not part.kind)

    @property
    def open(self) -> bool:
        """Whether it should fire on a kind of thing, so that of a text without its words nothing is said."""
        return any(part.fires and part.kind for part in self.parts)

    @property
    def sentence(self) -> str:
        """The parts as one sentence that is read as the same parts."""
        said = []
        for role, before in (("should", "fires on "), ("also", "also "), ("not", "not on ")):
            some = [part.written for part in self.parts if part.role == role]
            said += [before + ", ".join(some)] if some else []
        return ", ".join(said)

    @cached_property
    def _finders(self) -> tuple[tuple[bool, re.Pattern[str], re.Pattern[str]], ...]:
        return tuple((p.fires, p.finder, p.finder if p.letters else _loose(p.text)) for p in self.words)

    def places(self, text: str) -> list[tuple[bool, int, int]]:
        """(should it fire, begin, end) of every phrase in a text.

        One inside a longer one does not count, nor letters that are a whole word which is named, too.
        """
        found = [
            (fires, *m.span(), part.letters)
            for part, (fires, whole, _) in zip(self.words, self._finders, strict=True)
            for m in whole.finditer(text)
        ]

        def within(one: tuple[bool, int, int, bool], other: tuple[bool, int, int, bool]) -> bool:
            longer = (other[2] - other[1], one[3] and not other[3]) > (one[2] - one[1], False)
            return other[1] <= one[1] and one[2] <= other[2] and longer

        return [one[:3] for one in found if not any(within(one, other) for other in found)]

    def expects(self, text: str) -> bool | None:
        """Whether the feature should fire on a text; None where the hypothesis does not say.

        It should where the text has a phrase that it should fire on and none that it should not; it should not where
        the text has none of the first, in any form. Of both, or of another form of one, nothing is said; nor of a text
        without any of the first where a kind of thing is meant too, since it may have one of the kind.
        """
        kinds = {fires for fires, _, _ in self.places(text)}
        if kinds == {True}:
            return True
        other = not kinds and any(fires and loose.search(text) for fires, _, loose in self._finders)
        return None if len(kinds) == 2 or other or self.open else False

    def mentions(self, text: str) -> bool:
        """Whether a text has any phrase in any form."""
        return any(loose.search(text) for _, _, loose in self._finders)


def parse(text: str) -> Hypothesis:
    """Reads a hypothesis.

    Raises:
        BadInput: it is empty or too long, says of nothing that the feature fires on it, or yes and no of one phrase.
    """
    said = " ".join(text.replace("\0", " ").split(" ")).strip()
    if not said:
        raise BadInput(
            "Say what the feature fires on, for example: fires on the colour red, also crimson, not on Credentials."
        )
    if len(said) > LONGEST:
        raise BadInput(f"The hypothesis has {len(said):,} characters: at most {LONGEST:,}. Shorten it.")
    if (line := lines.read(said)) is not None:
        parts = [Part(one.role, clean(one.phrase), letters=one.letters) for one in line[0]]
        return _checked(said, [part for part in parts if _worded(part.phrase)], line[1])
    held: list[str] = []
    left: list[str] = []

    def hold(match: re.Match[str]) -> str:
        held.append(next(group for group in match.groups() if group is not None))
        return _HOLD.format(len(held) - 1)

    found = list(_phrases(QUOTED.sub(hold, said), held, left))
    return _checked(said, found, left)


def make(should: Sequence[str], also: Sequence[str] = (), no: Sequence[str] = ()) -> Hypothesis:
    """A hypothesis from phrases that somebody wrote apart; “~” before one makes it a kind, “*” around it letters.

    Raises what `parse` does.
    """
    parts: list[Part] = []
    roles: tuple[tuple[Role, Sequence[str]], ...] = (("should", should), ("also", also), ("not", no))
    for role, phrases in roles:
        for one in phrases:
            kind = re.match(r"\s*(?:~|words about\s)\s*", one)
            inside = re.fullmatch(r"\s*\*(.+)\*\s*|\s*the letters\s+(.+)", one)
            if inside and not kind:
                parts.append(Part(role, clean(inside[1] or inside[2]), letters=True))
            else:
                parts.append(Part(role, clean(one[kind.end() :] if kind else one), bool(kind)))
    made = _checked("", [part for part in parts if part.phrase], [])
    return Hypothesis(made.sentence, made.parts, made.left)


def listed(text: str) -> tuple[str, ...]:
    """The phrases of a field, with commas or line breaks between; quotation marks keep a comma inside."""
    found = re.findall(r"(?:[^,\n“\"”]|“[^“”]*”|\"[^\"]*\"|[“\"”])+", text)
    return tuple(dict.fromkeys(one for one in map(str.strip, found) if clean(one)))


def field(hypothesis: Hypothesis, role: Role) -> str:
    """The phrases of a role as such a field has them."""
    parts = [part for part in hypothesis.parts if part.role == role]
    return ", ".join(part.fielded for part in parts)


def clean(phrase: str) -> str:
    """A phrase on one line, without quotation marks and what does not print."""
    printed = "".join(c if c.isprintable() else " " for c in re.sub(r"[“”\"`]", " ", phrase))
    return " ".join(printed.split())


def forms(phrase: str) -> tuple[str, ...]:
    """Other forms of a phrase, of which a hypothesis says nothing: capitals, the other case, plural, singular."""
    last = phrase[-1:].isalpha()
    plural = phrase + ("es" if phrase.endswith(("s", "x", "z", "ch", "sh")) else "s") if last else phrase
    ends = len(phrase) > 3 and phrase.endswith("s") and not phrase.endswith("ss")
    singular = phrase[:-1] if ends else phrase
    other = phrase.lower() if phrase != phrase.lower() else phrase.upper()
    made = dict.fromkeys((phrase.upper(), other, plural, singular))
    return tuple(one for one in made if one not in (phrase, capital(phrase)))


def capital(phrase: str) -> str:
    """With a capital first letter, as at the beginning of a sentence."""
    return phrase[:1].upper() + phrase[1:]


# -- inside ----------------------------------------------------------------------------------------------------------


def _phrases(bare: str, held: Sequence[str], left: list[str]) -> Iterable[Part]:
    """The phrases of a sentence in their order."""
    role: Role = "should"
    at = 0
    fresh = True
    for cut in [*_CUT.finditer(bare), None]:
        piece = bare[at : len(bare) if cut is None else cut.start()]
        if fresh:
            lead = _LEAD.match(piece)
            piece = piece[lead.end() :] if lead else piece
        found = list(_read(piece, role, held, left))
        if cut is not None and cut["also"] and _example(cut["also"]) and not _HELD.search(piece):
            found = [replace(one, kind=True, letters=False) for one in found]  # what has examples is a kind of thing
        elif "\0" not in piece and len(found) == 1 and re.fullmatch(_THING, found[0].phrase, re.I):
            left.append(found.pop().phrase)  # “words” alone says nothing
        yield from found
        if cut is None:
            return
        at = cut.end()
        fresh = cut["end"] is not None or (fresh and not piece.strip(" ,"))
        if cut["not"]:
            role = "not"
        elif cut["also"]:
            role = "not" if role == "not" and _example(cut["also"]) else "also"
        elif cut["end"] and cut["end"] != ";":
            role = "should"


def _example(word: str) -> bool:
    """Whether a word gives examples of what was just said; else it adds to it."""
    return "also" not in word.lower() and "well" not in word.lower() and "even" not in word.lower()


def _read(piece: str, role: Role, held: Sequence[str], left: list[str]) -> Iterable[Part]:
    """The phrases of a piece between two cuts: quoted ones each by itself, with what stands before them."""
    inside = [clean(held[int(m[1])]) for m in _HELD.finditer(piece)]
    around = " ".join(_HELD.sub(" ", piece).split()).strip(" .,:;-–—'‘’…")
    if inside:
        kind = bool(around) and bool(_KIND.match(f"{around} x")) and not _ONE.match(f"{around} x")
        kind = kind or bool(re.fullmatch(r"(?:the )?words about", around, re.I))
        letters = not kind and bool(_LETTERS.fullmatch(around))
        if around and not kind and not letters and not _ONE.match(f"{around} x") and not _ARTICLE.match(f"{around} x"):
            left.append(around)
        for phrase in inside:
            if _worded(phrase):
                yield Part(role, phrase, kind, letters)
        return
    phrase = clean(around)
    if not phrase:
        return
    if _SHAPE.fullmatch(phrase) or not _worded(phrase) or any(sign in phrase for sign in "↵␣⇥"):
        left.append(phrase)
        return
    yield _reduced(phrase, role)


def _reduced(phrase: str, role: Role) -> Part:
    """What is meant by a phrase: “the colour red” is red, “names of countries” a kind of thing."""
    if match := re.fullmatch(rf"{_LETTERS.pattern}\s+(\S+)(?:{_INSIDE})?", phrase, re.I):
        return Part(role, match[1], letters=True)
    for pattern, kind in ((_KIND, True), (_KIND_AFTER, True)):
        if match := pattern.match(phrase):
            inner = _ARTICLE.sub("", match["kind"])
            return Part(role, inner, kind) if _worded(inner) else Part(role, phrase)
    if match := _ONE.match(phrase):
        return Part(role, match["word"])
    return Part(role, _ARTICLE.sub("", phrase))


def _worded(phrase: str) -> bool:
    """Whether a phrase can stand in a text."""
    return bool(phrase.strip()) and "\0" not in phrase


def _checked(said: str, found: Sequence[Part], left: Sequence[str]) -> Hypothesis:
    parts: dict[tuple[str, bool, bool], Part] = {}
    more = list(left)
    for part in found:
        phrase = part.phrase
        if len(phrase) > PHRASE or sum(one.role == part.role for one in parts.values()) >= PHRASES:
            more.append(phrase)
            continue
        same = parts.setdefault((phrase, part.kind, part.letters), part)
        if same.fires != part.fires:
            raise BadInput(f"“{phrase[:60]}” should fire and should not: leave one of them out.")
    if not any(part.fires for part in parts.values()):
        what = f": “{more[0][:60]}” cannot be put into a text" if more else ""
        raise BadInput(f"The hypothesis says of no word that the feature fires on it{what}. Say one: fires on red.")
    order: tuple[Role, ...] = ("should", "also", "not")
    kept = sorted(parts.values(), key=lambda part: order.index(part.role))
    if not any(part.role == "should" for part in kept):  # “also red” alone
        kept = [replace(p, role="should") if p.role == "also" else p for p in kept]
    return Hypothesis(said, tuple(kept), tuple(dict.fromkeys(one for one in more if one.strip())))


def _edges(inner: str, phrase: str) -> str:
    before = r"(?<!\w)" if phrase[:1].isalnum() or phrase[:1] == "_" else ""
    after = r"(?!\w)" if phrase[-1:].isalnum() or phrase[-1:] == "_" else ""
    return f"{before}{inner}{after}"


def _whole(phrase: str) -> re.Pattern[str]:
    if not phrase.strip(" "):  # spaces that are no word's own
        return re.compile(rf"{re.escape(phrase)}(?=[ \n]|$)")
    inner = re.escape(phrase)
    if (upper := capital(phrase)) != phrase:
        inner = f"(?:{inner}|{re.escape(upper)})"
    return re.compile(_edges(inner, phrase))


def _bare(letters: str) -> str:
    """Letters without the hyphens that say where in a word they stand."""
    found = letters.removeprefix("-").removesuffix("-")
    return found if found.strip("-") else letters


def _anywhere(letters: str) -> re.Pattern[str]:
    """“-ing” at the end of a word, “un-” at its beginning, “-er-” within, others anywhere; in any case."""
    bare = _bare(letters)
    text, left, right = lines.meant(bare), letters.startswith("-"), letters.endswith("-")
    if bare == letters or not (left or right):
        return re.compile(re.escape(text), re.I)
    word = text[:1].isalnum(), text[-1:].isalnum()
    before = (r"(?<=\S)" if left else r"(?<!\w)") if word[0] else ""
    after = (r"(?=\S)" if right else r"(?!\w)") if word[1] else ""
    return re.compile(before + re.escape(text) + after, re.I)


def _loose(phrase: str) -> re.Pattern[str]:
    """The phrase in any form: in any case, with an ending."""
    if not phrase.strip():
        return _whole(phrase)
    stem = phrase[:-1] if len(phrase) > 4 and phrase[-1:].lower() in "sey" and phrase[-1:].isalpha() else phrase
    ending = r"\w{0,3}" if len(phrase) > 2 and re.fullmatch(r"[^\W\d_]+(?:[\s'’-]+[^\W\d_]+)*", phrase) else ""
    return re.compile(_edges(re.escape(stem) + ending, phrase), re.I)
