"""Collects (feature, token, value) as the pass goes, and groups them by feature.

A pass sees tokens in order and appends; `grouped` turns rows of tokens into columns of features by one counting sort
(SciPy's CSR to CSC), so within a feature tokens ascend. Cost: 12 bytes an entry while collecting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Grouped:
    """All non-zeros of one source by feature. Tokens are numbered over all prompts, BOS included."""

    offsets: NDArray[np.int64]
    """[width + 1]"""
    positions: NDArray[np.uint32]
    values: NDArray[np.float32]

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self.offsets) - 1

    def of(self, feature: int) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
        """(positions, values) of one feature."""
        begin, end = self.offsets[feature], self.offsets[feature + 1]
        return self.positions[begin:end], self.values[begin:end]

    def matrix(self, tokens: int) -> sparse.csc_matrix:
        """[tokens, width] in SciPy's columns; shares the arrays."""
        return sparse.csc_matrix((self.values, self.positions.view(np.int32), self.offsets), shape=(tokens, self.width))


class Nonzeros:
    """The growing list of one source."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._features: list[NDArray[np.int32]] = []
        self._tokens: list[NDArray[np.uint32]] = []
        self._counts: list[NDArray[np.int32]] = []
        self._values: list[NDArray[np.float32]] = []

    def append(self, acts: Float[Tensor, "n d_sae"], keep: Tensor, tokens: NDArray[np.uint32]) -> sparse.csr_matrix:
        """Takes the entries of `acts` where `keep`; `tokens` are the rows' numbers. Returns them as a sparse matrix."""
        rows, features = keep.nonzero(as_tuple=True)
        values = to_numpy(acts[rows, features])
        counts = np.bincount(rows.cpu().numpy(), minlength=len(acts)).astype(np.int32)
        columns = features.cpu().numpy().astype(np.int32)
        self._features.append(columns)
        self._values.append(values)
        self._counts.append(counts)
        self._tokens.append(tokens)
        return sparse.csr_matrix((values, columns, np.concatenate([[0], np.cumsum(counts)])), shape=tuple(acts.shape))

    def grouped(self) -> Grouped:
        """Everything appended so far, by feature."""
        counts = np.concatenate(self._counts)
        rows = sparse.csr_matrix(
            (np.concatenate(self._values), np.concatenate(self._features), np.concatenate([[0], np.cumsum(counts)])),
            shape=(len(counts), self.width),
        )
        columns = rows.tocsc()
        tokens = np.concatenate(self._tokens)
        return Grouped(columns.indptr.astype(np.int64), tokens[columns.indices], columns.data)


def to_numpy(x: Tensor) -> NDArray[np.float32]:
    """A float32 array, sharing memory where it can."""
    return x.detach().to("cpu", torch.float32).numpy()
