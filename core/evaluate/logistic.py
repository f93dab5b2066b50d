"""Logistic regression of several labels at once, one against the others: what probes are here.

Samples are scaled to a standard deviation of 1 a coordinate, classes weigh alike, L2 with the strength `C` of
scikit-learn's (1 by default), the bias free. The loss is convex, and its minimum is found in float64 from zeros, so the
same data give the same probe. Cost: some ten products of the samples with themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64
from scipy.special import expit

C, FEW, ROUNDS, STEPS = 1.0, 512, 50, 200
"""The penalty; up to how many coordinates Newton's method is used; steps of the two methods at most."""


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
    samples = np.concatenate([(x - centre) / scale, np.ones((len(x), 1))], axis=1)
    truth = labels.astype(np.float64)
    have = truth.sum(0)
    n = len(x)
    weigh = c * np.where(truth > 0, n / (2 * np.maximum(have, 1)), n / (2 * np.maximum(n - have, 1)))
    if x.shape[1] <= FEW:
        found = np.stack([_newton(samples, truth[:, i], weigh[:, i]) for i in range(labels.shape[1])], -1)
    else:
        found = _descent(samples, truth, weigh)
    weights = found[:-1] / scale[:, None]
    return Probes(weights, found[-1] - centre @ weights)


def _newton(
    x: Float64[np.ndarray, "n d1"], truth: Float64[np.ndarray, " n"], weigh: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, " d1"]:
    """Newton's steps, halved where they go too far; the last coordinate is the bias, which costs nothing."""
    cost = np.ones(x.shape[1])
    cost[-1] = 0.0
    found = np.zeros(x.shape[1])

    def loss(at: Float64[np.ndarray, " d1"]) -> float:
        z = x @ at
        return float(weigh @ (np.logaddexp(0, z) - truth * z) + 0.5 * cost @ np.square(at))

    now = loss(found)
    for _ in range(ROUNDS):
        p = expit(x @ found)
        slope = x.T @ (weigh * (p - truth)) + cost * found
        curve = (x * (weigh * p * (1 - p))[:, None]).T @ x + np.diag(cost + 1e-9)
        step = np.linalg.solve(curve, slope)
        size = 1.0
        while (new := loss(found - size * step)) > now and size > 1e-6:
            size /= 2
        found, gained, now = found - size * step, now - new, new
        if gained <= 1e-10 * max(1.0, abs(now)):
            break
    return found


def _descent(
    x: Float64[np.ndarray, "n d1"], truth: Float64[np.ndarray, "n labels"], weigh: Float64[np.ndarray, "n labels"]
) -> Float64[np.ndarray, "d1 labels"]:
    """All labels at once by L-BFGS, where the square of the dimension would be too much."""
    samples, wanted, weight = (torch.from_numpy(part) for part in (x, truth, weigh))
    found = torch.zeros(x.shape[1], truth.shape[1], dtype=torch.float64, requires_grad=True)
    descent = torch.optim.LBFGS(
        [found], max_iter=STEPS, tolerance_grad=1e-7, tolerance_change=1e-11, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        descent.zero_grad()
        misfit = torch.nn.functional.binary_cross_entropy_with_logits(
            samples @ found, wanted, weight=weight, reduction="sum"
        )
        total: torch.Tensor = (misfit + 0.5 * found[:-1].square().sum()) / len(samples)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    with torch.enable_grad():
        descent.step(loss)  # type: ignore[no-untyped-call]
    return found.detach().numpy()


def f1(said: Bool[np.ndarray, " n"], truth: Bool[np.ndarray, " n"]) -> float:
    """2 tp / (2 tp + fp + fn); 0 where nothing is said and nothing is true."""
    wrong, right = int((said != truth).sum()), int((said & truth).sum())
    return 2 * right / (2 * right + wrong) if right else 0.0
