"""Cuts the demo's own texts from the corpus: what its data is built from, and what its quality is measured on.

Knows which passages are taken and nothing of models. Built from: passages of training documents, about 245,000 tokens over
five styles, from as many documents as there is room for; every country has at least its beginning and one more passage.
Measured on: passages of held-out documents, about 60,000 tokens. A passage begins where a paragraph begins and is a whole
number of the build's chunks long, so that few chunks are cut short. A fixed seed draws them: the same corpus and tokenizer
give the same bytes.

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
LICENCES = """\
# Where these texts come from, and their licences

Passages of five public collections, drawn by `demo/training/texts.py`; `heldout/` holds passages of documents that the
demo's model was not trained on. The rest of the same collections trained the model and the SAEs.

| file | what | licence | source |
|---|---|---|---|
| `novels.txt.xz` | passages of public-domain novels, from a random half of LitBank's 100 books | the texts are in the public domain; LitBank is CC BY 4.0 (David Bamman and contributors) | `dbamman/litbank` at `3e50db0ffc033d7ccbb94f4d88f6b99210328ed8`, `original/` |
| `factbook.txt.xz` | country profiles of The World Factbook | a work of the United States government, in the public domain; the repository is CC0 1.0 | `factbook/factbook.json` at `8662a8b17a784841ab4528631b04090eb2f183eb` |
| `peps.txt.xz` | Python Enhancement Proposals | public domain or CC0 1.0, as each proposal's footer says; a few old ones under the Open Publication License or the Python Software Foundation's licence | `python/peps` at `ba4deeb7969588d937da609008d05bb83a47b1ab`, `peps/` |
| `python.txt.xz` | Python source code of The Algorithms | MIT, © TheAlgorithms and contributors; the licence follows | `TheAlgorithms/Python` at `f5988cc09713315817df6a7e327e258013a94440` |
| `speeches.txt.xz` | inaugural and State of the Union addresses of United States presidents | public domain | `nltk/nltk_data` at `5db857e6f7df11eabb5e5665836db9ec8df07e28`, `packages/corpora/{inaugural,state_union}.zip` |

LitBank: David Bamman, Sejal Popat and Sheng Shen, “An Annotated Dataset of Literary Entities”, NAACL 2019. CC BY 4.0:
<https://creativecommons.org/licenses/by/4.0/>. The texts were cut into passages; nothing else was changed.

## The Algorithms: MIT License

Copyright (c) 2016-present The Algorithms and contributors (<https://github.com/TheAlgorithms/Python>)

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


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
    (target / "LICENCES.md").write_text(LICENCES, encoding="utf-8")
    return counts


def main() -> None:
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
