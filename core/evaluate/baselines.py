"""Baselines: something simpler as a dictionary, at an SAE's L0, measured by the same code.

All give the mean of the activation where nothing is active, and keep the k strongest features of each token:

- `Axes`: coordinates along an orthonormal basis, less their mean; those that are largest in size. With the principal
  components this is PCA at k components a token (with all of them it is exact), with the unit vectors the hook point's
  own coordinates, which at `mlp.hook_post` are the neurons.
- `NeuronsBelow`: the neurons behind an MLP's output, less their means; those whose rows of `W_out` they move farthest.
  With all of them it is the MLP.
- `RandomDirections`: random unit rows; those with the largest products with x, at the coefficients that fit x best
  (least squares), which is more than an encoder could do.

Cost: a product with all rows for each token; the random ones also a system of k equations.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

_CHUNK = 1024
"""Tokens whose random rows are gathered at once."""
_RIDGE = 1e-6
"""Keeps the system of equations solvable where rows are nearly the same."""


class Axes:
    """Coordinates along orthonormal rows; the `k` that are farthest from their means, at `hook`."""

    def __init__(
        self, hook: str, rows: Float[Tensor, "n d"], mean: Float[Tensor, " d"], k: int, *, hook_out: str | None = None
    ) -> None:
        self.hook, self.hook_out = hook, hook_out or hook
        self._rows, self._mean, self._k = rows.float(), mean.float(), min(k, len(rows))

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self._rows)

    @property
    def W_dec(self) -> Float[Tensor, "n d"]:
        """The rows."""
        return self._rows

    @property
    def W_enc(self) -> Float[Tensor, "d n"]:
        """What reads them: the same."""
        return self._rows.T

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... n"]:
        """Signed values, `k` of them other than zero."""
        values = (x.float() - self._mean) @ self._rows.T
        return _strongest(values, values.abs(), self._k)

    @torch.no_grad()
    def reconstruct(self, x: Float[Tensor, "... d"]) -> tuple[Float[Tensor, "... n"], Float[Tensor, "... d"]]:
        """(values, the mean and what they add)."""
        values = self.encode(x)
        return values, values @ self._rows + self._mean


def principal(
    hook: str, mean: Float[Tensor, " d"], covariance: Float[Tensor, "d d"], k: int
) -> Axes:
    """PCA: the axes are the eigenvectors of the covariance, the largest first."""
    _, vectors = torch.linalg.eigh(covariance.double())
    return Axes(hook, vectors.flip(-1).T.contiguous(), mean, k)


def coordinates(hook: str, mean: Float[Tensor, " d"], k: int) -> Axes:
    """The hook point's own coordinates."""
    return Axes(hook, torch.eye(len(mean), device=mean.device), mean, k)


class NeuronsBelow:
    """The neurons behind an MLP's output: `k` a token, by how far each moves it from what it does on average."""

    def __init__(
        self, hook: str, hook_out: str, W_out: Float[Tensor, "d_mlp d"], mean: Float[Tensor, " d_mlp"],
        mean_out: Float[Tensor, " d"], k: int,
    ) -> None:  # fmt: skip
        self.hook, self.hook_out = hook, hook_out
        self._rows, self._mean, self._out = W_out.float(), mean.float(), mean_out.float()
        self._lengths, self._k = self._rows.norm(dim=-1), min(k, len(W_out))

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self._rows)

    @property
    def W_dec(self) -> Float[Tensor, "d_mlp d"]:
        """Rows of `W_out`."""
        return self._rows

    W_enc = None

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "... d_mlp"]) -> Float[Tensor, "... d_mlp"]:
        """Values less their means, `k` of them other than zero."""
        values = x.float() - self._mean
        return _strongest(values, values.abs() * self._lengths, self._k)

    @torch.no_grad()
    def reconstruct(self, x: Float[Tensor, "... d_mlp"]) -> tuple[Float[Tensor, "... d_mlp"], Float[Tensor, "... d"]]:
        """(values, the mean output and what they add)."""
        values = self.encode(x)
        return values, values @ self._rows + self._out


class RandomDirections:
    """Random unit rows; the `k` with the largest products a token, at the coefficients that fit it best."""

    def __init__(self, hook: str, width: int, mean: Float[Tensor, " d"], k: int, *, seed: int = 0) -> None:
        self.hook = self.hook_out = hook
        rows = torch.randn(width, len(mean), generator=torch.Generator().manual_seed(seed))
        self._rows = (rows / rows.norm(dim=-1, keepdim=True)).to(mean.device)
        self._mean, self._k = mean.float(), min(k, width, len(mean))

    @property
    def width(self) -> int:
        """Number of features."""
        return len(self._rows)

    @property
    def W_dec(self) -> Float[Tensor, "n d"]:
        """The rows."""
        return self._rows

    W_enc = None

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... n"]:
        """The coefficients, `k` of them other than zero."""
        flat = (x.float() - self._mean).reshape(-1, x.shape[-1])
        parts = [self._fitted(flat[start : start + _CHUNK]) for start in range(0, len(flat), _CHUNK)]
        return torch.cat(parts).reshape(*x.shape[:-1], self.width)

    def _fitted(self, x: Float[Tensor, "tok d"]) -> Float[Tensor, "tok n"]:
        products, at = (x @ self._rows.T).topk(self._k, dim=-1)
        rows = self._rows[at]  # [tok, k, d]
        gram = rows @ rows.mT + _RIDGE * torch.eye(self._k, device=x.device)
        values = torch.linalg.solve(gram, products[..., None])[..., 0]
        return torch.zeros(len(x), self.width, device=x.device).scatter_(-1, at, values)

    @torch.no_grad()
    def reconstruct(self, x: Float[Tensor, "... d"]) -> tuple[Float[Tensor, "... n"], Float[Tensor, "... d"]]:
        """(values, the mean and what they add)."""
        values = self.encode(x)
        return values, values @ self._rows + self._mean


def _strongest(values: Float[Tensor, "... n"], by: Float[Tensor, "... n"], k: int) -> Float[Tensor, "... n"]:
    """`values` at the `k` places where `by` is largest, and zeros elsewhere."""
    at = by.topk(k, dim=-1).indices
    return torch.zeros_like(values).scatter_(-1, at, values.gather(-1, at))
