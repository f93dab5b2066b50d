"""Cuts the demo's own texts from the corpus: what its data is built from, and what its quality is measured on.

Knows which passages are taken and nothing of models. Built from: passages of training documents, about 245,000 tokens
over five styles, from as many documents as there is room for; a country has its beginning and one more passage.
Measured on: passages of held-out documents, about 60,000 tokens. A passage begins where a paragraph begins and is a
whole number of the build's chunks long, so that few chunks are cut short. A fixed seed draws them: the same corpus
and tokenizer give the same bytes.

Cost: half a minute, most of it tokenising; under 1.5 MB compressed.

    python -m demo.training.texts --corpus CORPUS --tokenizer WORK/model/tokenizer.json --target demo/texts
"""

from __future__ import annotations

import argparse
import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from demo.training import corpus

CHUNK = 127
"""Tokens of the build's prompts, BOS left out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of a style is taken: so many chunks in all, in passages of so many."""

    chunks: int
    passage: int
    opening: bool = False
    """Whether each document's first passage is its beginning."""


BUILD = {
    "novels": Plan(579, 4),
    "factbook": Plan(502, 1, opening=True),
    "peps": Plan(290, 2),
    "python": Plan(290, 2),
    "speeches": Plan(290, 2),
}
HELD_OUT = {
    "novels": Plan(144, 8),
    "factbook": Plan(120, 4, opening=True),
    "peps": Plan(72, 4),
    "python": Plan(72, 2),
    "speeches": Plan(72, 4),
}


def starts(text: str) -> list[int]:
    """Where a paragraph (or, in a text of few paragraphs, a line) begins."""
    found = [0, *(m.end() for m in re.finditer(r"\n\n+(?=\S)", text))]
    return found if len(found) > 20 else [0, *(m.end() for m in re.finditer(r"\n+(?=\S)", text))]


def passage(text: str, start: int, tokenizer: Tokenizer, tokens: int) -> str | None:
    """About `tokens` tokens of `text` from `start`, never more; None if there is not that much left."""
    window = text[start : start + 12 * tokens]
    encoded = tokenizer.encode(window, add_special_tokens=False)
    if len(encoded.ids) <= tokens:
        return None
    cut = window[: encoded.offsets[tokens - 1][1]].rstrip()
    return cut if cut.count(corpus.END) == 0 else None


def draw(texts: list[str], plan: Plan, tokenizer: Tokenizer, rng: np.random.Generator) -> Iterator[str]:
    """`plan.chunks` chunks in passages, round after round over all documents in a drawn order, none overlapping."""
    order = rng.permutation(len(texts))
    places = {int(d): starts(texts[d]) for d in order}
    taken: dict[int, list[tuple[int, int]]] = {int(d): [] for d in order}
    left, rounds = plan.chunks, 0
    while left > 0 and rounds < 200:
        for d in map(int, order):
            opening = plan.opening and rounds == 0
            start = 0 if opening else places[d][int(rng.integers(len(places[d])))]
            found = passage(texts[d], start, tokenizer, CHUNK * plan.passage)
            if found is None or any(a < start + len(found) and start < b for a, b in taken[d]):
                continue
            taken[d].append((start, start + len(found)))
            yield found
            left -= plan.passage
            if left <= 0:
                return
        rounds += 1


def write(folder: Path, target: Path, tokenizer: Tokenizer) -> dict[str, int]:
    """Writes all files; tokens of each."""
    counts: dict[str, int] = {}
    for number, style in enumerate(corpus.STYLES):
        for part, plan, texts in zip(("", "heldout"), (BUILD[style], HELD_OUT[style]),
                                     corpus.split(corpus.documents(folder, style)), strict=True):  # fmt: skip
            chosen = list(draw(texts, plan, tokenizer, np.random.default_rng([number, bool(part)])))
            path = target / part / f"{style}.txt.xz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(lzma.compress(corpus.SEPARATOR.join(chosen).encode(), preset=9 | lzma.PRESET_EXTREME))
            counts[f"{part}/{style}".lstrip("/")] = sum(
                len(e.ids) for e in tokenizer.encode_batch(chosen, add_special_tokens=False)
            )
    return counts


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Cut the demo's own texts from the corpus.")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--target", type=Path, default=Path("demo/texts"))
    args = parser.parse_args()
    counts = write(args.corpus, args.target, Tokenizer.from_file(str(args.tokenizer)))
    for name, count in counts.items():
        print(f"{name:<18} {count:>8,} tokens")
    print(f"{'built from':<18} {sum(c for n, c in counts.items() if '/' not in n):>8,} tokens")


if __name__ == "__main__":
    main()
