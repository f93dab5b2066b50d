"""The corpus as token streams, split by document.

Knows where documents begin and end, which are held out, and the tokenizer. A document is held out whole: per style the
4 % (at least two) whose text hashes lowest, so that the split depends on nothing but the texts. A style's documents run
together with `<|endoftext|>` between them; training draws pieces of that stream and puts `<|endoftext|>` before each.

Cost: tokenising 48 MB takes about half a minute; the result is kept as `.npy` in the work folder.
"""

from __future__ import annotations

import hashlib
import lzma
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from demo.training.designs import FIRST, Design

SEPARATOR = "\n<|endoftext|>\n"
END = "<|endoftext|>"
STYLES = ("novels", "factbook", "peps", "python", "speeches")
SHARES = {"novels": 0.38, "factbook": 0.20, "peps": 0.18, "python": 0.13, "speeches": 0.11}
"""Share of each style among training tokens: the small styles are seen more often than their size alone gives."""

Tokens = NDArray[np.uint16]


def documents(folder: Path, style: str) -> list[str]:
    """The texts of one style, in file order."""
    text = lzma.decompress((folder / f"{style}.txt.xz").read_bytes()).decode("utf-8")
    return [d for d in (part.strip("\n") for part in text.split(SEPARATOR)) if d]


def split(texts: list[str]) -> tuple[list[str], list[str]]:
    """(training, held-out) documents; the held-out ones are those whose SHA-256 is lowest."""
    order = sorted(texts, key=lambda t: hashlib.sha256(t.encode()).digest())
    count = max(2, round(0.04 * len(texts)))
    held = set(order[:count])
    return [t for t in texts if t not in held], [t for t in texts if t in held]


def part(texts: list[str], design: Design) -> list[str]:
    """The share of training documents that a design has: those whose SHA-256 with its seed is lowest, in order."""
    order = sorted(texts, key=lambda t: hashlib.sha256(f"{design.seed}\n{t}".encode()).digest())
    kept = set(order[: round(design.share * len(texts))])
    return [t for t in texts if t in kept]


def train_tokenizer(folder: Path, target: Path, design: Design = FIRST) -> Tokenizer:
    """Byte-level BPE of `design.vocabulary` entries, on about 2 MB of each style so that no style owns the merges."""
    if target.exists():
        return Tokenizer.from_file(str(target))
    sample: list[str] = []
    for style in STYLES:
        train = part(split(documents(folder, style))[0], design)
        share = 2_500_000 // len(train)
        sample += [t[:share] if share < len(t) else t for t in train]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        sample,
        trainers.BpeTrainer(
            vocab_size=design.vocabulary, special_tokens=[END], initial_alphabet=alphabet, show_progress=False
        ),
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(target))
    return tokenizer


def streams(folder: Path, work: Path, tokenizer: Tokenizer, design: Design = FIRST) -> dict[tuple[str, str], Tokens]:
    """`{(style, "train" | "held"): ids}`, each document followed by the id of `END`; kept in `work`."""
    end = tokenizer.token_to_id(END)
    result: dict[tuple[str, str], Tokens] = {}
    for style in STYLES:
        train, held = split(documents(folder, style))
        for name, texts in (("train", part(train, design)), ("held", held)):
            path = work / f"{style}-{name}.npy"
            if not path.exists():
                encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
                ids = np.concatenate([np.array([*e.ids, end], dtype=np.uint16) for e in encoded])
                np.save(path, ids)
            result[style, name] = np.load(path)
    return result


def pieces(stream: Tokens, length: int, offset: int, end: int) -> Tokens:
    """The stream from `offset` on, cut into rows of `[END, length - 1 tokens]`; what is left over is dropped."""
    body = stream[offset:]
    rows = len(body) // (length - 1)
    cut = body[: rows * (length - 1)].reshape(rows, length - 1)
    return np.concatenate([np.full((rows, 1), end, dtype=np.uint16), cut], axis=1)


def epoch(train: dict[str, Tokens], length: int, rows: int, end: int, rng: np.random.Generator) -> Tokens:
    """`rows` rows of all styles in their shares, shuffled; a style that runs out begins again at another offset."""
    parts = []
    for style, share in SHARES.items():
        wanted = round(rows * share)
        got: list[Tokens] = []
        while sum(map(len, got)) < wanted:
            cut = pieces(train[style], length, int(rng.integers(length - 1)), end)
            got.append(cut[rng.permutation(len(cut))])
        parts.append(np.concatenate(got)[:wanted])
    result = np.concatenate(parts)
    return result[rng.permutation(len(result))]
