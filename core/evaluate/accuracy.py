"""Balanced accuracy on held-out texts, with a bootstrap over their documents; several probes share the draws."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from core.evaluate import bootstrap
from core.evaluate.records import Measured


@dataclass(frozen=True, slots=True)
class Accuracy:
    """One probe's: the number, and what it is in each draw."""

    value: float
    draws: Float64[np.ndarray, " draws"]

    @property
    def measured(self) -> Measured:
        """With its interval."""
        return bootstrap.of(self.value, self.draws)


class Judge:
    """Scores what is said of some held-out texts."""

    def __init__(self, documents: Int64[np.ndarray, " texts"]) -> None:
        names, rank = np.unique(documents, return_inverse=True)
        self._rank, self._count = np.asarray(rank).reshape(-1), len(names)
        self._weights = bootstrap.weights(self._count)

    def __call__(self, said: Bool[np.ndarray, " texts"], truth: Bool[np.ndarray, " texts"]) -> Accuracy:
        """The mean of the shares of both classes that are called what they are."""
        right = said == truth
        columns = np.stack([right & truth, truth, right & ~truth, ~truth], -1).astype(np.float64)
        sums = np.zeros((self._count, 4))
        np.add.at(sums, self._rank, columns)
        with np.errstate(divide="ignore", invalid="ignore"):
            draws = self._weights @ sums
            return Accuracy(
                float(_balanced(sums.sum(0, keepdims=True))[0]), np.asarray(_balanced(draws), dtype=np.float64)
            )


def together(parts: list[Accuracy]) -> Accuracy:
    """The mean of several, draw by draw."""
    return Accuracy(
        float(np.mean([one.value for one in parts])), np.asarray(np.mean([one.draws for one in parts], axis=0))
    )


def less(a: Accuracy, b: Accuracy) -> Accuracy:
    """The difference, draw by draw."""
    return Accuracy(a.value - b.value, a.draws - b.draws)


def _balanced(sums: Float64[np.ndarray, "rows 4"]) -> Float64[np.ndarray, " rows"]:
    return np.asarray((sums[:, 0] / sums[:, 1] + sums[:, 2] / sums[:, 3]) / 2)
