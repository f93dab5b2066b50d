"""What makers of texts are given, and what they are: each a frozen record of a name and a function, one file each.

A maker gives texts in the order in which they are wanted, most telling first, and is asked for so many. Chance comes
from the seed and the maker's name alone, so that the same hypothesis gives the same texts.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, TypeVar

from core.explain.redteam.hypothesis import Hypothesis
from core.explain.redteam.records import Text
from core.explain.redteam.sentences import Corpus
from core.records import FeatureRecord, Tell

if TYPE_CHECKING:
    from core.explain.meaning.embedder import Embedder
    from core.workbench import Workbench

T = TypeVar("T")
LONGEST = 400
"""Characters of a text."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What texts are made from."""

    bench: Workbench
    record: FeatureRecord
    hypothesis: Hypothesis
    threshold: float
    seed: int
    corpus: Callable[[], Corpus]
    """The texts of the build, read when they are first needed."""
    embedder: Callable[[], Embedder]
    tell: Tell | None = None

    def chance(self, name: str) -> random.Random:
        """For one purpose."""
        return random.Random(f"{self.seed}:{name}")

    def shuffled(self, name: str, some: Iterable[T]) -> list[T]:
        """In an order by chance."""
        found = list(some)
        self.chance(name).shuffle(found)
        return found


@dataclass(frozen=True, slots=True)
class Maker:
    """One way to make texts."""

    name: str
    about: str
    part: int
    """Of a run's texts it makes so many parts."""
    make: Callable[[Ground, int], Iterator[Text]]
    """At most so many texts; raises `NotAvailable` or `Busy` where something that it needs is not here."""


def digits(text: str) -> str:
    """Eight, of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def in_turn(rows: Sequence[Iterable[T]]) -> Iterator[T]:
    """One of each, then the next of each."""
    for each in zip_longest(*rows):
        yield from (one for one in each if one is not None)
