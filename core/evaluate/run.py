"""Evaluates one source on the build's prompts or on other texts, and keeps the figures beside it.

Knows files and manifests; the measuring is `core.evaluate.reconstruction`. The build's prompts are read from the source
itself, so that nothing has to be fetched again. Cost: that of the measuring.
"""

from __future__ import annotations

import glob
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import torch

from core.build.config import BuildConfig, DatasetConfig, ModelConfig, SourceConfig
from core.build.texts import cut
from core.catalog.catalog import Entry
from core.errors import BadInput, NotAvailable, NotFound
from core.evaluate.files import write_figures
from core.evaluate.reconstruction import reconstruction
from core.models.capture import pad
from core.models.loading import LoadedModel
from core.records import Figures
from core.sources.dictionary import Dictionary, Sae
from core.store.layout import SourceData

Progress = Callable[[str, float, float], None]

_NO_RECONSTRUCTION = {
    "neurons": "MLP neurons are the activation itself, so there is no reconstruction to evaluate",
    "directions": "directions are read, not decoded, so there is no reconstruction to evaluate",
}


def evaluate(
    entry: Entry,
    model: LoadedModel,
    source: Dictionary,
    data: SourceData,
    target: Path,
    *,
    texts: Path | None,
    tokens: int | None,
    progress: Progress | None,
    turn: AbstractContextManager[None],
) -> tuple[Figures, Figures]:
    """(figures without BOS, figures with BOS); written under `target`, the source's folder in the writable root.

    `turn` is entered for each batch: others may use the model between two.

    Raises:
        NotAvailable: the source has no reconstruction (neurons, directions).
        NotFound: `texts` is not there.
        BadInput: there is nothing to evaluate on.
    """
    if not isinstance(source, Sae):
        raise NotAvailable(f"{entry.manifest.record.key} is no autoencoder: {_NO_RECONSTRUCTION[source.kind]}.")
    if tokens is not None and tokens < 2:
        raise BadInput(f"--tokens {tokens}: at least 2 are needed.")
    rows, name = _build_rows(entry, data) if texts is None else _rows_of(texts, entry, model)
    rows = _first(rows, tokens)
    lengths = torch.tensor([len(r) for r in rows])
    figures, with_bos = reconstruction(
        model.bridge,
        source,
        pad(rows),
        lengths,
        special=model.manifest.special,
        dataset=name,
        progress=progress,
        turn=turn,
    )
    write_figures(target, figures, source.sha256, {"with_bos": with_bos})
    return figures, with_bos


def _build_rows(entry: Entry, data: SourceData) -> tuple[list[list[int]], str]:
    record = entry.manifest.record
    rows = [data.prompt(n)["tokens"].tolist() for n in range(record.prompts)]
    return rows, f"the build's prompts ({record.dataset})"


def _rows_of(texts: Path, entry: Entry, model: LoadedModel) -> tuple[list[list[int]], str]:
    """Every document of a file or folder in pieces of the build's context."""
    if not texts.exists():
        raise NotFound(f"There is no file or folder {texts}.")
    record = entry.manifest.record
    place = glob.escape(str(texts.resolve()))
    pattern = f"{place}/*.txt*" if texts.is_dir() else place
    config = BuildConfig(
        model=ModelConfig(id=record.key.model_id, path="."),
        sources=(SourceConfig(id=record.key.source_id, neurons=record.hook),),
        dataset=DatasetConfig(path=pattern),
        context=record.context,
        cut="chunks",
        prompts=10**9,
    )
    if not config.files():
        raise NotFound(f"{texts} holds no .txt file.")
    prompts = cut(config, model.tokenizer, model.bos)
    return [np.asarray(p, np.int64).tolist() for p in prompts.tokens], texts.name


def _first(rows: list[list[int]], tokens: int | None) -> list[list[int]]:
    """The first `tokens` tokens; the last prompt may be cut short, but to no less than two."""
    if tokens is None:
        return rows
    result: list[list[int]] = []
    for row in rows:
        if tokens < 2:
            break
        result.append(row[:tokens])
        tokens -= len(result[-1])
    return result
