"""Evaluates one source on the build's prompts or on other texts, and keeps the figures beside it.

Knows files and manifests; the measuring is `core.evaluate.reconstruction`. The build's prompts are read from the source
itself, so that nothing has to be fetched again. Cost: that of the measuring.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from core.catalog.catalog import Entry
from core.errors import BadInput, NotAvailable
from core.evaluate.files import write_figures
from core.evaluate.reconstruction import reconstruction
from core.evaluate.texts import Texts, of_build, of_files, some
from core.models.capture import pad
from core.models.loading import LoadedModel
from core.records import Figures
from core.sources.dictionary import Dictionary, Sae
from core.store.layout import SourceData

Progress = Callable[[str, float, float], None]

NO_RECONSTRUCTION = {
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
        raise NotAvailable(f"{entry.manifest.record.key} is no autoencoder: {NO_RECONSTRUCTION[source.kind]}.")
    if tokens is not None and tokens < 2:
        raise BadInput(f"--tokens {tokens}: at least 2 are needed.")
    found = some(of(entry, data, model, texts), tokens)
    lengths = torch.tensor([len(r) for r in found.rows])
    figures, with_bos = reconstruction(
        model.bridge,
        source,
        pad(found.rows),
        lengths,
        special=model.manifest.special,
        dataset=found.name,
        progress=progress,
        turn=turn,
    )
    write_figures(target, figures, source.sha256, {"with_bos": with_bos})
    return figures, with_bos


def of(entry: Entry, data: SourceData, model: LoadedModel, texts: Path | None) -> Texts:
    """What to measure on: the build's prompts, or other texts in pieces of the build's context."""
    if texts is None:
        return of_build(entry, data)
    return of_files(texts, entry.manifest.record.context, model.tokenizer, model.bos)
