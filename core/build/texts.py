"""From a dataset to prompts: documents read, tokenised and cut.

A prompt is BOS (if the model has one) and up to `context` - 1 tokens of a document. `first` takes each document's
beginning, `chunks` all of it in consecutive pieces, `packed` runs documents together with BOS between them and cuts that
stream, as SAELens's `ActivationsStore` does. Texts are tokenised without special tokens, in the order of the files.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.build.config import BuildConfig
from core.errors import BadConfig

Ids = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Document:
    """One text and where it came from."""

    text: str
    part: str
    """The file's stem, or the hub data set's subset."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of a build; `tokens[i]` begins with BOS if the model has one."""

    tokens: list[Ids]
    documents: NDArray[np.uint32]
    parts: list[str]
    sha256: str
    """Of all token ids in order: what was run, whatever the files were called."""
    dataset: str

    @property
    def total(self) -> int:
        """Tokens of all prompts, BOS included."""
        return sum(map(len, self.tokens))


def documents(config: BuildConfig) -> Iterator[Document]:
    """The documents of the dataset in order; empty ones are skipped."""
    if config.dataset.path:
        for path in config.files():
            part = path.name.split(".", 1)[0]
            for text in _read(path).split(config.dataset.separator):
                if text.strip():
                    yield Document(text.strip("\n"), part)
        return
    from datasets import load_dataset

    rows = load_dataset(config.dataset.hub, config.dataset.name, split=config.dataset.split, streaming=True)
    for row in rows:
        if str(row[config.dataset.text]).strip():
            yield Document(str(row[config.dataset.text]), config.dataset.name or config.dataset.split)


def _read(path: Path) -> str:
    """A text file, plain or compressed by its ending."""
    opener = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}.get(path.suffix, open)
    try:
        with opener(path, "rb") as file:
            return bytes(file.read()).decode("utf-8")
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError) as error:
        raise BadConfig(f"dataset.path: {path} cannot be read as UTF-8 text: {error}") from error


def cut(config: BuildConfig, tokenizer: Any, bos: int | None) -> Prompts:
    """Reads, tokenises and cuts until `config.prompts` prompts are there or the dataset ends.

    Raises:
        BadConfig: the dataset gives no prompt.
    """
    source: Iterable[Document] = documents(config)
    if config.shuffle:
        held = list(source)
        order = np.random.default_rng(config.seed).permutation(len(held))
        source = [held[i] for i in order]
    pieces = _packed(config, tokenizer, bos, source) if config.cut == "packed" else _pieces(config, tokenizer, bos, source)
    tokens: list[Ids] = []
    numbers: list[int] = []
    parts: list[str] = []
    digest = hashlib.sha256()
    for ids, number, part in pieces:
        tokens.append(ids)
        numbers.append(number)
        parts.append(part)
        digest.update(ids.tobytes() + b"|")
        if len(tokens) >= config.prompts:
            break
    if not tokens:
        raise BadConfig("dataset: no prompt came out of it: every document is empty.")
    name = config.dataset.hub or str(config.dataset.path)
    return Prompts(tokens, np.array(numbers, np.uint32), parts, digest.hexdigest(), name)


def _tokenised(tokenizer: Any, source: Iterable[Document], size: int = 64) -> Iterator[tuple[Ids, str]]:
    """(ids, part) a document, tokenised `size` documents at a time."""
    waiting: list[Document] = []

    def flush() -> Iterator[tuple[Ids, str]]:
        rows = tokenizer([d.text for d in waiting], add_special_tokens=False, verbose=False)["input_ids"]
        yield from ((np.array(r, np.uint32), d.part) for r, d in zip(rows, waiting, strict=True))
        waiting.clear()

    for document in source:
        waiting.append(document)
        if len(waiting) == size:
            yield from flush()
    if waiting:
        yield from flush()


def _pieces(config: BuildConfig, tokenizer: Any, bos: int | None, source: Iterable[Document]) -> Iterator[tuple[Ids, int, str]]:
    """`first` and `chunks`: (ids with BOS, document number, part)."""
    head = np.array([] if bos is None else [bos], np.uint32)
    room = config.context - len(head)
    for number, (ids, part) in enumerate(_tokenised(tokenizer, source)):
        ends = min(len(ids), room) if config.cut == "first" else len(ids)
        for start in range(0, ends, room):
            yield np.concatenate([head, ids[start : start + room]]), number, part


def _packed(config: BuildConfig, tokenizer: Any, bos: int | None, source: Iterable[Document]) -> Iterator[tuple[Ids, int, str]]:
    """One stream with BOS between documents, cut into full rows that begin with BOS; a rest shorter than a row is dropped."""
    head = np.array([] if bos is None else [bos], np.uint32)
    room = config.context - len(head)
    stream = np.empty(0, np.uint32)
    for number, (ids, part) in enumerate(_tokenised(tokenizer, source)):
        stream = np.concatenate([stream, head, ids]) if len(stream) else np.concatenate([stream, ids])
        while len(stream) >= room:
            yield np.concatenate([head, stream[:room]]), number, part
            stream = stream[room:]
