"""A maker: words near a phrase in meaning, by the embedder, among the words of the build's texts.

“Fires on red” says nothing of *scarlet*: what the feature does there is shown, and whoever reads it decides. For a kind
of thing (“names of countries”) these are the words that may be of it. They stand in the frames of `templates`.

Cost: the vectors of at most `WORDS` words, once a build (some seconds; kept in `derived/words-<hash>/`, 2 MB).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from core.errors import NotAvailable
from core.explain.redteam.making import Ground, Maker, in_turn
from core.explain.redteam.records import Text
from core.explain.redteam.templates import framed
from core.records import Step
from core.store import derived

if TYPE_CHECKING:
    from core.explain.meaning.embedder import Embedder, Vectors

WORDS, BATCH = 2400, 256
"""The most frequent words that may be neighbours, and how many are embedded at once."""
LEAST = 3
"""Letters of a word."""
NEAREST = 24
"""Of each phrase."""
FRAMES = 2
"""For each word."""


def make(ground: Ground, most: int) -> Iterator[Text]:
    """The nearest words of every phrase that should fire, in turn."""
    parts = [p for p in ground.hypothesis.parts if p.fires and not p.letters and re.search(r"\w", p.phrase)]
    if not parts:
        return
    embed = ground.embedder()
    words, vectors = _vectors(ground, embed)
    queries = embed([part.phrase for part in parts])
    rows = []
    for part, query in zip(parts, queries, strict=True):
        near = vectors @ query
        order = np.argsort(-near, kind="stable")
        some = ((words[n], float(near[n])) for n in order if not ground.hypothesis.mentions(words[n]))
        rows.append(list(_each(ground, part.phrase, islice(some, NEAREST))))
    seen: set[str] = set()
    for one in in_turn(rows):
        if one.text not in seen and len(seen) < most:
            seen.add(one.text)
            yield one


def _each(ground: Ground, phrase: str, near: Iterator[tuple[str, float]]) -> Iterator[Text]:
    for word, cosine in near:
        for _, text, begin in islice(framed(ground, word), FRAMES):
            yield Text(
                text=text, expected=None, maker=MAKER.name, why=f"“{word}” is near “{phrase}” ({cosine:.2f})",
                phrase=word, begin=begin,
            )  # fmt: skip


def _vectors(ground: Ground, embed: Embedder) -> tuple[Sequence[str], Vectors]:
    """(words, their vectors), as they were kept, or made now; the same for all sources of the same texts."""
    source = ground.record.source
    made_from = {
        "dataset_sha256": source.dataset_sha256, "embedder": embed.name, "prompts": source.prompts, "words": WORDS,
    }  # fmt: skip
    key = json.dumps(made_from, sort_keys=True)
    held = _kept.get(key)
    if held is None:
        held = _read(ground, made_from) or _make(ground, embed, made_from)
        _kept.clear()  # one build at a time: 4 MB
        _kept[key] = held
    return held


_kept: dict[str, tuple[Sequence[str], Vectors]] = {}


def _read(ground: Ground, made_from: dict[str, object]) -> tuple[Sequence[str], Vectors] | None:
    """From beside whichever source of the model they were made for."""
    roots = ground.bench.settings.roots()
    for source in ground.bench.sources(model_id=ground.record.key.model_id):
        folder = derived.find(roots, source.key, "words", made_from)
        try:
            if folder is not None:
                words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
                vectors = np.load(folder / "vectors.npy").astype(np.float32)
                if len(words) == len(vectors):
                    return words, vectors
        except (OSError, ValueError):  # damaged: made again
            continue
    return None


def _make(ground: Ground, embed: Embedder, made_from: dict[str, object]) -> tuple[Sequence[str], Vectors]:
    words = chosen(ground.corpus().words)
    if not words:
        raise NotAvailable("The build’s texts have no words among which neighbours could be looked for.")
    parts = []
    for at in range(0, len(words), BATCH):
        if ground.tell is not None:
            ground.tell(Step(doing="embedding", what="words", done=at, of=len(words)))
        parts.append(embed(words[at : at + BATCH]))
    vectors = np.concatenate(parts)
    try:
        with derived.making(ground.bench.settings.data, ground.record.key.source, "words", made_from, {}) as folder:
            (folder / "words.json").write_text(json.dumps(words), encoding="utf-8")
            np.save(folder / "vectors.npy", vectors.astype(np.float16))
    except NotAvailable:  # a data root that cannot be written: they are made again next time
        pass
    return words, vectors


def chosen(words: dict[str, int]) -> list[str]:
    """The most frequent words that may be neighbours; of one that is written in several ways the most frequent one."""
    found: dict[str, str] = {}
    for word, _ in sorted(words.items(), key=lambda one: (-one[1], one[0])):
        if len(word) >= LEAST and len(found) < WORDS:
            found.setdefault(word.lower(), word)
    return list(found.values())


MAKER = Maker("neighbours", "words near in meaning, of which the hypothesis says nothing", 3, make)
