"""A maker: phrases in neutral sentence frames (`configs/redteam.yaml`), and neutral words in the same frames.

A phrase goes into frames of the kinds of slot that it may fill, in turn: a name, a noun, an adjective, a verb, a piece
of code, a word that is mentioned. What it is can only be guessed, from how it is written and from the words beside it
in the build's texts. Other frames are filled with words of no colour, on which the hypothesis says that the feature is
silent: what fires there too, fires on the frame and not on the phrase.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from core.errors import BadConfig
from core.explain.redteam.hypothesis import Part, capital
from core.explain.redteam.making import Ground, Maker, in_turn
from core.explain.redteam.records import Text
from core.techniques.substitution import SLOT

HOLDING = 16
"""Words that are looked for where a hypothesis names letters."""
FILE = Path(__file__).resolve().parents[3] / "configs" / "redteam.yaml"


@dataclass(frozen=True, slots=True)
class Frames:
    """Sentences with a slot, and neutral words for it, by the kind of slot."""

    frames: Mapping[str, tuple[str, ...]]
    neutral: Mapping[str, tuple[str, ...]]


@lru_cache(maxsize=4)
def _read(path: Path, mark: int) -> Frames:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = [
            {str(kind): tuple(map(str, some)) for kind, some in found[part].items()} for part in ("frames", "neutral")
        ]
    except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        raise BadConfig(f"{path.name} cannot be read: {error}.") from error
    if wrong := [frame for some in rows[0].values() for frame in some if frame.count(SLOT) != 1]:
        raise BadConfig(f"{path.name}: “{wrong[0][:60]}” needs one {SLOT}.")
    if lacking := rows[0].keys() ^ rows[1].keys():
        raise BadConfig(f"{path.name}: “{min(lacking)}” needs both frames and neutral words.")
    return Frames(rows[0], rows[1])


def frames(path: Path = FILE) -> Frames:
    """The frames as they are on disk now; raises `BadConfig` with what is wrong with them."""
    try:
        return _read(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise BadConfig(f"{path.name} cannot be read: {error.strerror}.") from error


def kinds(ground: Ground, phrase: str) -> tuple[str, ...]:
    """The kinds of slot that a phrase may fill, the likeliest first."""
    if not phrase.strip():
        return ("break",) if "\n" in phrase else ("space",)
    if re.search(r"[^\w\s'’.,-]|_|\d", phrase) or not re.search(r"\w", phrase):
        return "code", "mention"
    if phrase[:1].isupper() and not phrase.isupper():
        return "name", "mention"
    if len(phrase.split()) > 1:
        return "phrase", "mention"
    if phrase.endswith("ing") and len(phrase) > 5:
        return "doing", "mention"
    return *used_as(ground.corpus().beside(phrase.lower())), "mention"


def used_as(places: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """As what a word is used in the build's texts, from the words before and after it; a noun where nothing tells.

    After an article a noun is followed by a sign or a small word and an adjective by another word; a verb follows a
    pronoun or an auxiliary; code has signs of code on either side.
    """
    count: Counter[str] = Counter()
    for before, after in places:
        before, after = before.lower(), after.lower()
        ends = not after or not after[:1].isalpha() or after in _SMALL
        if before in _CODE or after in _CODE:
            count["code"] += 1
        elif before in _VERB:
            count["verb"] += 1
        elif before in _DEGREE or (before in _ARTICLE and not ends):
            count["adjective"] += 1
        elif before in _ARTICLE or (ends and before.isalpha()):
            count["noun"] += 1
    most = max(count.values(), default=0)
    found = [kind for kind, seen in count.most_common() if seen * 3 >= most]
    return tuple(found) or ("noun",)


_ARTICLE = frozenset("the a an my your his her its our their this that these those no every each some any".split())
_DEGREE = frozenset("very so too more most quite rather is was are were be been as".split())
_VERB = frozenset("to i we you they he she will would shall should can could may might must not let".split())
_SMALL = frozenset(
    "of in on at to for and or but with by from as is was are were had has who which that when not if than then".split()
)
_CODE = frozenset("_ ( ) [ ] { } = ` / < > + * # @ | \\".split())


def filled(frame: str, phrase: str) -> tuple[str, int]:
    """(the text, where the phrase begins); at the beginning of a sentence the phrase has a capital letter."""
    begin = frame.index(SLOT)
    said = capital(phrase) if begin == 0 and len(frame) > len(SLOT) and frame[len(SLOT)] == " " else phrase
    return frame.replace(SLOT, said), begin


def usable(ground: Ground, kind: str) -> list[str]:
    """Frames of a kind without any phrase of the hypothesis, by chance."""
    return ground.shuffled(kind, (f for f in frames().frames[kind] if not ground.hypothesis.mentions(f)))


def framed(ground: Ground, phrase: str) -> Iterator[tuple[str, str, int]]:
    """(kind, text, where the phrase begins) of a phrase in every frame that it may stand in, a kind at a time."""
    rows = [[(kind, *filled(frame, phrase)) for frame in usable(ground, kind)] for kind in kinds(ground, phrase)]
    yield from in_turn(rows)


def make(ground: Ground, most: int) -> Iterator[Text]:
    """Every phrase in turn, and neutral words about as often as phrases that should fire."""
    rows = [list(_filled(ground, part)) for part in ground.hypothesis.words]
    whole = list(in_turn(rows))
    share = most // 3 if whole else most
    used = {kind for part in ground.hypothesis.words if not part.letters for kind in kinds(ground, part.text)}
    plain = list(_neutral(ground, sorted(used or {"noun", "adjective", "mention"})))[:share]
    yield from [*whole[: most - len(plain)], *plain]


def _filled(ground: Ground, part: Part) -> Iterator[Text]:
    if part.letters:
        words = holding(part, ground.corpus().words)
        each = in_turn([[(w, *one) for one in framed(ground, w)] for w in ground.shuffled(part.phrase, words)])
    else:
        each = ((part.text, *one) for one in framed(ground, part.text))
    for word, kind, text, begin in each:
        yield Text(
            text=text, expected=ground.hypothesis.expects(text) if part.fires else False, maker=MAKER.name,
            why=f"in a frame, as {_NAMES[kind]}" if word == part.text else f"“{word}” in a frame", phrase=part.phrase,
            begin=begin + _within(part, word) if part.letters else begin, role=part.role,
        )  # fmt: skip


def _within(part: Part, word: str) -> int:
    found = part.finder.search(word)
    return found.start() if found else 0


def holding(part: Part, words: Mapping[str, int]) -> list[str]:
    """The most frequent words that have some letters where they are meant, each once whatever its case."""
    found: dict[str, str] = {}
    for word in sorted(words, key=lambda word: (-words[word], word)):
        if len(found) < HOLDING and part.finder.search(word):
            found.setdefault(word.lower(), word)
    return list(found.values())


def _neutral(ground: Ground, used: Sequence[str]) -> Iterator[Text]:
    rows = []
    for kind in used:
        words = ground.shuffled(f"neutral {kind}", frames().neutral[kind])
        pairs = zip(usable(ground, kind), words * len(frames().frames[kind]), strict=False)
        rows.append([(kind, filled(frame, word)[0], word) for frame, word in pairs])
    for _, text, word in in_turn(rows):
        if not ground.hypothesis.mentions(text):
            yield Text(text=text, expected=False, maker=MAKER.name, why=f"the same frames with “{word}”")


_NAMES = {
    "noun": "a noun", "adjective": "an adjective", "verb": "a verb", "doing": "an activity", "name": "a name",
    "phrase": "a phrase", "mention": "a word that is mentioned", "code": "code",
    "break": "a line break", "space": "space",
}  # fmt: skip

MAKER = Maker("templates", "phrases in neutral sentences, and neutral words in the same ones", 5, make)
