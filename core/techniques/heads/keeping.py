"""What was found of a model's heads: `<root>/<model>/<source>/derived/heads-<hash>/` of the source with its prompts.

    heads.npz    arrays over layers × heads: scores on random tokens, shares over the corpus, pairs of tokens
    made.json    what it was made from, and when

The hash is of the model, the prompts and the method. Torch-free; a damaged file counts as absent.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.catalog.catalog import Entry
from core.store import derived

KIND, FILE = "heads", "heads.npz"
FORMAT = 1
"""Of the method and of the file; others are made anew."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Arrays of all heads of a model, by layer and head."""

    scores: NDArray[np.float64]
    """[heads, 3 kinds, (value, control)]."""
    shares: NDArray[np.float64]
    """[heads, `corpus.SHARES`]; none without a corpus."""
    pairs: NDArray[np.float64]
    """[heads, pairs, 8] as `corpus.Corpus.pairs`."""
    even: NDArray[np.float64]
    """[3 kinds]: what equal attention gives of the scores on the corpus; NaN without one."""
    counts: NDArray[np.int64]
    """(random tokens that are repeated, texts of them, prompts, tokens, 1 where the model has a BOS)."""
    made: str = ""
    """The date."""


def made_from(entry: Entry, tokens: int) -> dict[str, Any]:
    """What the figures depend on: the model, and the prompts of a source's build."""
    build = entry.manifest.build
    names = ("model_sha256", "model_settings_sha256", "dataset_sha256", "prompts", "context", "cut", "shuffle", "seed")
    known = {name: build.get(name) for name in names}
    return {"format": FORMAT, "tokens": tokens, "dataset": entry.record.dataset_sha256} | known


def has(roots: Sequence[Path], entry: Entry, tokens: int) -> bool:
    """Whether any root has it, if only damaged."""
    return derived.find(roots, entry.record.key, KIND, made_from(entry, tokens)) is not None


def find(roots: Sequence[Path], entry: Entry, made: Mapping[str, Any]) -> Kept | None:
    """What is kept, from the first root that has it."""
    place = derived.find(roots, entry.record.key, KIND, made)
    return None if place is None else read(place)


def read(place: Path) -> Kept | None:
    """A folder's arrays; None if they are damaged."""
    try:
        with np.load(place / FILE, allow_pickle=False) as file:
            found = Kept(
                file["scores"].astype(np.float64), file["shares"].astype(np.float64), file["pairs"].astype(np.float64),
                file["even"].astype(np.float64), file["counts"].astype(np.int64),
                str(derived.read_made(place).get("made", "")),
            )  # fmt: skip
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    heads = len(found.scores)
    right = (
        found.scores.shape == (heads, 3, 2) and found.shares.shape == (heads, 8) and found.pairs.shape[2:] == (8,)
        and len(found.pairs) == heads and found.even.shape == (3,) and found.counts.shape == (5,)
    )  # fmt: skip
    return found if right else None


def keep(root: Path, entry: Entry, made: Mapping[str, Any], kept: Kept) -> None:
    """Writes it beside the source in the writable root; raises `NotAvailable` if that cannot be."""
    with derived.making(root, entry.record.key, KIND, made, {}) as place:
        np.savez_compressed(
            place / FILE, scores=kept.scores, shares=kept.shares, pairs=kept.pairs,
            even=kept.even, counts=kept.counts,
        )  # fmt: skip
