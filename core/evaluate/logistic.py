"""Logistic regression of several labels at once, one against the others: what probes are here.

Samples are scaled to a standard deviation of 1 a coordinate, classes weigh alike, L2 with the strength `C` of
scikit-learn's (1 by default), the bias free. The loss is convex; L-BFGS in float64 goes to its minimum, from zeros, so
the same data give the same probe. Cost: some hundred products of samples with weights.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64

C, STEPS = 1.0, 200


@dataclass(frozen=True, slots=True)
class Probes:
    """One linear probe a label, in the coordinates of the samples as they were given."""

    weights: Float64[np.ndarray, "d labels"]
    bias: Float64[np.ndarray, " labels"]

    def logits(self, x: Float64[np.ndarray, "n d"]) -> Float64[np.ndarray, "n labels"]:
        """Above 0 a sample is said to have the label."""
        return np.asarray(x @ self.weights + self.bias)


def fit(x: Float64[np.ndarray, "n d"], labels: Bool[np.ndarray, "n labels"], c: float = C) -> Probes:
    """The probes; a label that all or none of the samples have gets one that says so."""
    centre, scale = x.mean(0), x.std(0)
    scale = np.where(scale > 1e-8 * max(float(scale.max(initial=0.0)), 1e-30), scale, np.inf)
    samples = torch.from_numpy((x - centre) / scale)
    truth = torch.from_numpy(labels.astype(np.float64))
    n, have = len(x), truth.sum(0)
    weigh = torch.where(truth > 0, n / (2 * have.clamp_min(1)), n / (2 * (n - have).clamp_min(1)))
    found = torch.zeros(x.shape[1] + 1, labels.shape[1], dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS(
        [found], max_iter=STEPS, tolerance_grad=1e-7, tolerance_change=1e-11, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        descent.zero_grad()
        logits = samples @ found[:-1] + found[-1]
        misfit = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth, weight=weigh, reduction="sum")
        total: torch.Tensor = (c * misfit + 0.5 * found[:-1].square().sum()) / n
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        descent.step(loss)  # type: ignore[no-untyped-call]
    weights = found[:-1].detach().numpy() / scale[:, None]
    return Probes(weights, found[-1].detach().numpy() - centre @ weights)


def f1(said: Bool[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    """2 tp / (2 tp + fp + fn); 0 where nothing is said and nothing is true."""
    wrong, right = int((said != truth).sum()), int((said & truth).sum())
    return 2 * right / (2 * right + wrong) if right else 0.0
