"""A user's directions at a hook point as a dictionary: the value is x · direction, the decoder row the direction.

Directions are read from a safetensors file as they are: nothing is normalised or centred, so a value is in units of the
activation times those of the direction. Every tensor of floats counts, a vector [d_in] as one row and a matrix
[n, d_in] as n, in the order of the tensors' names; `tensor` picks one of them. Values are dense and signed. Cost: one
product of n × d_in a token.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.catalog.manifest import WeightsSpec
from core.errors import BadConfig, NotAvailable
from core.records import Kind


class Directions:
    """Rows at a hook point."""

    kind: Kind = "directions"
    architecture = "linear"
    signed = True

    def __init__(self, rows: Float[Tensor, "n d_in"], hook: str) -> None:
        self.hook = self.hook_out = hook
        self._rows = rows.detach().float().contiguous()
        self.d_in = int(rows.shape[1])
        self.sha256 = hashlib.sha256(self._rows.cpu().numpy().tobytes()).hexdigest()

    @property
    def width(self) -> int:
        """Number of directions."""
        return int(self._rows.shape[0])

    @property
    def W_dec(self) -> Float[Tensor, "d_sae d_out"]:
        """The directions as on disk."""
        return self._rows

    @property
    def bytes(self) -> int:
        """Memory of the rows."""
        return self._rows.numel() * self._rows.element_size()

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """The products x · direction, float32."""
        return x.float() @ self._rows.T

    @torch.no_grad()
    def values(self, x: Float[Tensor, "n d_in"], indices: Int[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """The products of some directions."""
        return x.float() @ self._rows[indices].T

    @torch.no_grad()
    def written(
        self, x: Float[Tensor, "n d_in"], change: Float[Tensor, "n k"], indices: Int[Tensor, " k"]
    ) -> Float[Tensor, "n d_out"]:
        """The rows times the changes."""
        return change @ self._rows[indices]


def load_directions(spec: WeightsSpec, hook: str | None, device: str) -> Directions:
    """Reads `spec.path`.

    Raises:
        NotAvailable: the file is not there.
        BadConfig: it holds no directions, or some that do not go together.
    """
    if hook is None:
        raise BadConfig("directions: say at which hook they are: `hook: blocks.8.hook_resid_pre`.")
    path = Path(str(spec.path))
    if not path.is_file():
        raise NotAvailable(f"The directions are not at {path} any more.")
    found = _tensors(path)
    if spec.tensor is not None:
        if spec.tensor not in found:
            raise BadConfig(f"directions.tensor: {path.name} has no “{spec.tensor}”. It has: {', '.join(found)}.")
        found = {spec.tensor: found[spec.tensor]}
    rows = [_rows(path, name, value) for name, value in found.items()]
    widths = sorted({r.shape[1] for r in rows})
    if len(widths) > 1:
        raise BadConfig(
            f"directions: the tensors of {path.name} are not equally wide ({', '.join(map(str, widths))}): "
            f"pick one with `tensor:`. It has: {', '.join(found)}."
        )
    if not rows or not sum(map(len, rows)):
        raise BadConfig(f"directions: {path.name} holds no directions.")
    return Directions(torch.cat(rows).to(device), hook)


def _tensors(path: Path) -> dict[str, Tensor]:
    """The file's tensors by name, in the order of the names."""
    from safetensors.torch import load_file

    try:
        return dict(sorted(load_file(path).items()))
    except Exception as error:  # safetensors' own errors derive from Exception alone
        raise BadConfig(f"directions: {path.name} cannot be read as safetensors: {error}") from error


def _rows(path: Path, name: str, value: Tensor) -> Float[Tensor, "n d_in"]:
    """One tensor as rows, or a refusal."""
    where = f"directions: “{name}” of {path.name}"
    if not value.is_floating_point() or value.ndim not in (1, 2):
        kind = str(value.dtype).removeprefix("torch.")
        raise BadConfig(f"{where} is {kind} of shape {list(value.shape)}; directions are floats, [n, d_in] or [d_in].")
    if not value.float().isfinite().all():
        raise BadConfig(f"{where} holds numbers that are not finite.")
    return value.float().reshape(-1, value.shape[-1])
