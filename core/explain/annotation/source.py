"""Annotates a source in its folder: at the end of its build, or later from its store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.explain.annotation import corpus, files, make
from core.models.vocabulary import Vocabulary
from core.store.grouped import Grouped
from core.store.layout import SourceData


def annotate_folder(
    folder: Path,
    entries: Grouped,
    vocabulary: Vocabulary,
    build: dict[str, Any],
    *,
    active: str,
    compact: bool,
    target: Path | None = None,
    tell: Callable[[float, float], None] | None = None,
) -> Path:
    """Writes the annotations of the built source in `folder`, whose non-zeros are `entries`; returns their folder.

    `build` is its stamp, `active` what its manifest says of what counts as active. They are written into `target`'s
    `derived` where that is given, such as the writable root's folder of a source that lies in a read-only one.

    Raises:
        NotAvailable: they cannot be written.
        BadData: the source's files are damaged.
    """
    data = SourceData(folder)
    tokens = data.prompts.column("tokens")
    texts = corpus.corpus(
        np.concatenate([chunk.values.to_numpy() for chunk in tokens.chunks]).astype(np.uint32), data.starts,
        data.prompts.column("document").to_numpy(), data.prompts.column("part").to_pylist(), vocabulary,
    )  # fmt: skip
    facts = {"held_out": texts.split, "active": active, "tokens": list(texts.sizes), "seed": 0}
    blocks = make.annotate(entries, texts, tell=tell)
    return files.write(target or folder, build, facts, blocks, compact=compact)
