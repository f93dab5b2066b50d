"""Clusters of a map at several scales, and what they are called.

Clusters are found on the plane by HDBSCAN (Campello, Moulavi and Sander 2013, scikit-learn) at three scales, from those
that one sees from afar to those that one zooms in on. A cluster's words are those that set what is said of its features
apart from what is said of the rest: the share of its features that have the word, times how rare it is elsewhere
(class-based tf-idf, Grootendorst 2022).

Of a map that was fitted in part, the fitted points are clustered and each other one joins the cluster of the nearest.
Cost: HDBSCAN compares all pairs of fitted points, some seconds for 25,000.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVELS = (40, 140, 500)
"""A cluster of each level has at least one in so many of the points."""
SMALLEST = (24, 12, 6)
"""And at least so many."""
WORDS, CHARACTERS = 4, 30
"""Of a label, at most; at least one word."""
QUOTED = 6
"""Tokens of a rule that count: the first are those that it says most by."""
FEWEST = 0.07
"""Share of a cluster's features that have to have a word."""
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_QUOTED = re.compile(r"“([^”]*)”")
STOP = frozenset(
    "a about above after again all also am an and any are as at be because been before being below between both "
    "but by can could did do does doing done down each etc few first for from further had has have having he her "
    "here hers him his how i if in into is isn it its itself just last later least less like line ll many may me "
    "might more most much must my near new no nor not now of off often on once one only or other our out over own "
    "per place s same say said see seen she should since so some such t than that the their them then there these "
    "they this those through to too under until up upon used using various ve very was we were what when where "
    "which while who whom whose why will with within without word words would you your token tokens feature "
    "features activates fires text texts context contexts related references reference mentions mention phrases "
    "phrase outside end ends start starts beginning begin part parts means kind kinds two three lower upper case "
    "single inside capitals capitalised repetition repeated pair none break breaks spaces mixed characters "
    "symbols digit prefix strongest nearly always".split()
)
"""Words that tell nothing of what a feature is about, and those in which rules are written."""


@dataclass(frozen=True, slots=True)
class Found:
    """One cluster."""

    level: int
    members: NDArray[np.int64]
    parent: int
    """Its number among all; -1 at the first level, and where it lies in none."""


def find(xy: NDArray[np.float32], fitted: NDArray[np.int64]) -> tuple[list[Found], NDArray[np.int16]]:
    """(the clusters, level by level; [levels, points] the number of each point's cluster, -1 for none)."""
    levels = len(LEVELS)
    each = np.full((levels, len(xy)), -1, np.int16)
    clusters: list[Found] = []
    nearest = _nearest(xy, fitted)
    for level in range(levels):
        labels = _labels(xy[fitted], level)[nearest]
        count = int(labels.max(initial=-1)) + 1
        if level and count <= len({one for one in each[level - 1] if one >= 0}):
            continue  # no finer than the one before
        for label in range(count):
            members = np.flatnonzero(labels == label)
            each[level, members] = len(clusters)
            clusters.append(Found(level, members, _parent(each[:level, members])))
    return clusters, each


def _labels(xy: NDArray[np.float32], level: int) -> NDArray[np.int64]:
    from sklearn.cluster import HDBSCAN

    smallest = max(SMALLEST[level], len(xy) // LEVELS[level])
    if len(xy) < 2 * smallest:
        return np.full(len(xy), -1, np.int64)
    found = HDBSCAN(
        min_cluster_size=smallest, min_samples=max(3, smallest // 4), cluster_selection_method="leaf", copy=True
    ).fit(xy.astype(np.float64))
    return np.asarray(found.labels_, np.int64)


def _nearest(xy: NDArray[np.float32], fitted: NDArray[np.int64]) -> NDArray[np.int64]:
    """[points]: which of the fitted points is nearest; each of those is its own."""
    own = np.empty(len(xy), np.int64)
    own[fitted] = np.arange(len(fitted))
    if len(fitted) < len(xy):
        from scipy.spatial import cKDTree

        rest = np.setdiff1d(np.arange(len(xy)), fitted)
        own[rest] = cKDTree(xy[fitted]).query(xy[rest])[1]
    return own


def _parent(above: NDArray[np.int16]) -> int:
    """The cluster of the nearest level above that has more than half of some points; -1 if none has."""
    for row in above[::-1]:
        inside = row[row >= 0]
        if 2 * len(inside) > len(row):
            number, count = Counter(inside.tolist()).most_common(1)[0]
            if 2 * count > len(row):
                return int(number)
    return -1


# -- labels ------------------------------------------------------------------------------------------------------------


def words(line: str, known: frozenset[str] | None = None) -> frozenset[str]:
    """The words of a line that may stand in a label, in lower case.

    Of what a rule quotes, the first `QUOTED` tokens count, and where `known` says which words there are, only those
    that are words: other tokens are pieces of some.
    """
    own = (word.lower() for word in WORD.findall(_QUOTED.sub(" ", line)))
    pieces = (word.lower() for token in quoted(line)[:QUOTED] for word in WORD.findall(token))
    every = [*own, *(word for word in pieces if known is None or word in known)]
    return frozenset(word for word in every if len(word) > 2 and word not in STOP)


def quoted(line: str) -> tuple[str, ...]:
    """The tokens that a rule quotes, in its order."""
    return tuple(dict.fromkeys(one.strip() for one in _QUOTED.findall(line) if one.strip()))


def labels(
    clusters: Sequence[Found], lines: Sequence[str], known: frozenset[str] | None = None
) -> list[tuple[str, ...]]:
    """The words of each cluster, the most telling first; `lines` are what is said of each point, `known` all words.

    A cluster whose features share no such word is called by the tokens that most of them quote, in quotation marks, and
    by nothing where they share none.
    """
    found = [words(line, known) for line in lines]
    everywhere, counted = Counter(word for some in found for word in some), len(lines)
    quotes = [frozenset(quoted(line)[:QUOTED]) for line in lines]
    many = Counter(token for some in quotes for token in some)
    made = []
    for cluster in clusters:
        telling = _telling(cluster, found, everywhere, counted)
        made.append(telling or _common(cluster, quotes, many, len(lines)))
    return made


def _telling(
    cluster: Found, found: Sequence[frozenset[str]], everywhere: Counter[str], counted: int
) -> tuple[str, ...]:
    here = Counter(word for at in cluster.members for word in found[at])
    size = len(cluster.members)
    scored = []
    for word, count in here.items():
        share, usual = count / size, everywhere[word] / max(counted, 1)
        if count >= 2 and share >= FEWEST and share > min(1.5 * usual, (1 + usual) / 2):
            scored.append((share * np.log(1 + counted / everywhere[word]), word))
    scored.sort(key=lambda one: (-one[0], one[1]))
    best = scored[0][0] if scored else 0
    chosen: list[str] = []
    for score, word in scored:
        if score < 0.45 * best or len(chosen) == WORDS:
            break
        if any(_same(word, other) for other in chosen):
            continue
        if chosen and len(" · ".join([*chosen, word])) > CHARACTERS:
            continue
        chosen.append(word)
    return tuple(chosen)


def _same(word: str, other: str) -> bool:
    """Whether two words are forms of one."""
    short, long = sorted((word, other), key=len)
    return long.startswith(short) and (len(short) >= 4 or len(long) - len(short) < 3)


def _common(cluster: Found, quotes: Sequence[frozenset[str]], many: Counter[str], counted: int) -> tuple[str, ...]:
    here = Counter(token for at in cluster.members for token in quotes[at])
    size = len(cluster.members)
    scored = sorted(
        (-count / size * np.log(1 + counted / many[token]), token)
        for token, count in here.items() if count >= 2 and count / size > 1.2 * many[token] / max(counted, 1)
    )  # fmt: skip
    most = 3 if scored and len("".join(token for _, token in scored[:3])) < 12 else 2
    return tuple(f"“{token[:14]}”" for _, token in scored[:most])
