"""From a dataset to prompts: documents read, tokenised and cut.

A prompt is BOS (if the model has one) and up to `context` - 1 tokens of a document. `first` takes each document's
beginning, `chunks` all of it in consecutive pieces, `packed` runs documents together with BOS between them and cuts
that stream, as SAELens's `ActivationsStore` does. Texts are tokenised without special tokens, in the order of the
files. A document's number is its place in the dataset, whatever the order in which documents are taken; empty ones
count.
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
from core.catalog.manifest import read_source
from core.errors import BadConfig
from core.store.layout import SourceData

Ids = NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Document:
    """One text and where it came from."""

    text: str
    part: str
    """The file's stem, or the hub data set's subset."""
    number: int
    """Its place in the dataset, from 0."""


@dataclass(frozen=True, slots=True)
class Prompts:
    """The prompts of a build; `tokens[i]` begins with BOS if the model has one."""

    tokens: list[Ids]
    documents: NDArray[np.uint32]
    """Of each prompt, the number of the document that it begins in."""
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
    for number, (text, part) in enumerate(_from_files(config) if config.dataset.path else _from_hub(config)):
        if text.strip():
            yield Document(text, part, number)


def _from_files(config: BuildConfig) -> Iterator[tuple[str, str]]:
    for path in config.files():
        part = path.name.split(".", 1)[0]
        for text in _read(path).split(config.dataset.separator):
            yield text.strip("\n"), part


def _from_hub(config: BuildConfig) -> Iterator[tuple[str, str]]:
    import datasets

    d = config.dataset
    try:
        for row in datasets.load_dataset(str(d.hub), d.name, revision=d.revision, split=d.split, streaming=True):
            if d.text not in row:
                raise BadConfig(f"dataset.text: {d.hub} has no column “{d.text}”. It has: {', '.join(row)}.")
            yield str(row[d.text]), d.name or d.split
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadConfig(f"dataset.hub: {d.hub} cannot be read: {first}") from error


def _read(path: Path) -> str:
    """A text file, plain or compressed by its ending."""
    compressed: dict[str, Any] = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
    opener = compressed.get(path.suffix, open)
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
    pieces = (
        _packed(config, tokenizer, bos, source) if config.cut == "packed" else _pieces(config, tokenizer, bos, source)
    )
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


def again(folder: Path, config: BuildConfig, settings_sha256: str) -> Prompts:
    """The prompts that the source in `folder` was built on, the first `config.prompts` of them.

    Raises:
        BadConfig: they are of an import or of a model with another tokenizer or configuration, or longer than
            `config.context`.
        BadData: the source is damaged.
    """
    manifest, data = read_source(folder / "source.json"), SourceData(folder)
    if "imported" in manifest.build:
        raise BadConfig(
            f"dataset.like: {manifest.record.key} was imported, with pieces of texts and without the tokens that its "
            "model read. Name a source that was built here, or the texts themselves by path or hub."
        )
    if manifest.build.get("model_settings_sha256") != settings_sha256:
        raise BadConfig(
            f"dataset.like: {manifest.record.key} was built with another tokenizer or configuration than "
            f"{config.model.id} has now."
        )
    rows = [data.prompt(n) for n in range(min(config.prompts, manifest.record.prompts))]
    tokens = [np.asarray(row["tokens"]).astype(np.uint32) for row in rows]
    longest = max(map(len, tokens))
    if longest > config.context:
        key = manifest.record.key
        raise BadConfig(f"dataset.like: {key} has prompts of {longest} tokens: write context: {longest}.")
    digest = hashlib.sha256()
    for ids in tokens:
        digest.update(ids.tobytes() + b"|")
    documents_ = np.array([row["document"] for row in rows], np.uint32)
    return Prompts(tokens, documents_, [str(row["part"]) for row in rows], digest.hexdigest(), manifest.record.dataset)


def _tokenised(tokenizer: Any, source: Iterable[Document], size: int = 64) -> Iterator[tuple[Ids, Document]]:
    """(ids, document), tokenised `size` documents at a time."""
    waiting: list[Document] = []

    def flush() -> Iterator[tuple[Ids, Document]]:
        rows = tokenizer([d.text for d in waiting], add_special_tokens=False, verbose=False)["input_ids"]
        yield from ((np.array(r, np.uint32), d) for r, d in zip(rows, waiting, strict=True))
        waiting.clear()

    for document in source:
        waiting.append(document)
        if len(waiting) == size:
            yield from flush()
    if waiting:
        yield from flush()


def _pieces(
    config: BuildConfig, tokenizer: Any, bos: int | None, source: Iterable[Document]
) -> Iterator[tuple[Ids, int, str]]:
    """`first` and `chunks`: (ids with BOS, document number, part)."""
    head = np.array([] if bos is None else [bos], np.uint32)
    room = config.context - len(head)
    for ids, document in _tokenised(tokenizer, source):
        ends = min(len(ids), room) if config.cut == "first" else len(ids)
        for start in range(0, ends, room):
            yield np.concatenate([head, ids[start : start + room]]), document.number, document.part


def _packed(
    config: BuildConfig, tokenizer: Any, bos: int | None, source: Iterable[Document]
) -> Iterator[tuple[Ids, int, str]]:
    """Documents run together with BOS between them, in full rows that begin with BOS; a shorter rest is dropped.

    As in SAELens, no second BOS is put before one that stands in the text.
    """
    row: list[Ids] = []
    filled, begins = 0, Document("", "", 0)
    for ids, document in _tokenised(tokenizer, source):
        at = 0
        while at < len(ids):
            head = np.array([] if bos is None or ids[at] == bos else [bos], np.uint32)
            if not row:
                begins = document
            piece = ids[at : at + config.context - filled - len(head)]
            row += [head, piece]
            filled += len(head) + len(piece)
            at += len(piece)
            if filled == config.context:
                yield np.concatenate(row), begins.number, begins.part
                row, filled = [], 0
