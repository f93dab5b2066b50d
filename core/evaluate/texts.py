"""What quality is measured on: prompts with their documents and kinds, from a source's build or from other texts.

The kind of a text is the file that it came from (`part`), which the corpus gives for free. A token set has a hash of
its tokens and of where prompts and documents begin. Of a set that is cut to so many tokens, whole prompts are taken at
equal steps, so that every kind keeps its share. Torch-free; costs reading and tokenising.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.build.config import BuildConfig, DatasetConfig, ModelConfig, SourceConfig
from core.build.texts import cut
from core.catalog.catalog import Entry
from core.errors import NotFound
from core.evaluate.records import TokenSet
from core.store.layout import SourceData


@dataclass(frozen=True, slots=True)
class Texts:
    """Prompts to measure on."""

    rows: list[list[int]]
    """Token ids, BOS included."""
    documents: NDArray[np.int64]
    """Of each prompt."""
    parts: list[str]
    """The kind of each."""
    name: str

    def token_set(self, special: Collection[int]) -> TokenSet:
        """Name, hash and counts."""
        digest = hashlib.sha256()
        for row, document, part in zip(self.rows, self.documents, self.parts, strict=True):
            digest.update(np.asarray(row, np.uint32).tobytes() + f"|{document} {part}|".encode())
        known = set(special)
        return TokenSet(
            name=self.name, sha256=digest.hexdigest(), tokens=sum(t not in known for row in self.rows for t in row),
            prompts=len(self.rows), documents=len(np.unique(self.documents)),
        )  # fmt: skip

    def kinds(self) -> dict[str, int]:
        """Prompts of each kind, the kinds in order."""
        return {part: self.parts.count(part) for part in sorted(set(self.parts))}


def of_build(entry: Entry, data: SourceData) -> Texts:
    """The prompts that a source was built on."""
    record = entry.manifest.record
    found = [data.prompt(n) for n in range(record.prompts)]
    return Texts(
        [row["tokens"].tolist() for row in found], np.array([row["document"] for row in found], np.int64),
        [str(row["part"]) for row in found], f"the build's prompts ({record.dataset})",
    )  # fmt: skip


def of_files(texts: Path, context: int, tokenizer: Any, bos: int | None) -> Texts:
    """Every document of a file or folder in pieces of `context` tokens.

    Raises:
        NotFound: there is no such file or folder, or no text in it.
    """
    if not texts.exists():
        raise NotFound(f"There is no file or folder {texts}.")
    place = glob.escape(str(texts.resolve()))
    pattern = f"{place}/*.txt*" if texts.is_dir() else place
    config = BuildConfig(
        model=ModelConfig(id="model", path="."),
        sources=(SourceConfig(id="0-texts", neurons="blocks.0.mlp.hook_post"),),
        dataset=DatasetConfig(path=pattern),
        context=context,
        cut="chunks",
        prompts=10**9,
    )
    if not config.files():
        raise NotFound(f"{texts} holds no .txt file.")
    prompts = cut(config, tokenizer, bos)
    rows = [np.asarray(p, np.int64).tolist() for p in prompts.tokens]
    return Texts(rows, prompts.documents.astype(np.int64), list(prompts.parts), texts.name)


def some(texts: Texts, tokens: int | None) -> Texts:
    """At most `tokens` tokens: whole prompts at equal steps, the last cut short, but to no less than two tokens."""
    total = sum(map(len, texts.rows))
    if tokens is None or total <= tokens:
        return texts
    mean = total / len(texts.rows)
    count = min(len(texts.rows), max(1, round(tokens / mean) + 1))
    kept: list[int] = []
    rows: list[list[int]] = []
    for n in np.unique(np.linspace(0, len(texts.rows) - 1, count).round().astype(int)).tolist():
        if tokens < 2:
            break
        kept.append(n)
        rows.append(texts.rows[n][:tokens])
        tokens -= len(rows[-1])
    return Texts(rows, texts.documents[kept], [texts.parts[n] for n in kept], texts.name)


def fewer(texts: Texts, prompts: int) -> Texts:
    """At most so many prompts, at equal steps."""
    if len(texts.rows) <= prompts:
        return texts
    kept = np.unique(np.linspace(0, len(texts.rows) - 1, prompts).round().astype(int)).tolist()
    return Texts([texts.rows[n] for n in kept], texts.documents[kept], [texts.parts[n] for n in kept], texts.name)
