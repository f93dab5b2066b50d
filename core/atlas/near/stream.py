"""Where in the residual stream a source reads and writes, and its rows as the stream sees them.

Writing: `core.sources.residual`. Reading: encoder rows as they are at the stream itself; behind a norm (neurons, most
transcoders) the rows times the norm's gain, with their mean removed where the norm removes that of its input. That is
exact up to the norm's scale, which divides by the length of each token's activation, so that such products have a
direction and no unit. Places are counted along the stream: 2l on entering layer l, 2l + 1 after its attention, 2l + 2
after its MLP; what an SAE of the stream writes is there from just after the place that it reads.

Cost: nothing at the stream; behind a norm a copy of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from core.atlas import vectors
from core.atlas.vectors import Rows
from core.errors import NotAvailable
from core.records import SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench

STREAM = "the residual stream"
_AT = {
    "hook_resid_pre": 0, "hook_in": 0, "hook_resid_mid": 1, "hook_mlp_in": 1, "hook_resid_post": 2, "hook_out": 2,
}  # fmt: skip
"""Places of the stream itself, within a layer."""
_NORMED = {
    "ln1.hook_normalized": ("ln1", 0, False), "ln1.hook_out": ("ln1", 0, True),
    "ln2.hook_normalized": ("ln2", 1, False), "ln2.hook_out": ("ln2", 1, True), "mlp.hook_in": ("ln2", 1, True),
    "mlp.hook_post": ("ln2", 1, True),
}  # fmt: skip
"""Behind a norm: which, its place, and whether its gain is in the activation; `mlp.hook_post` is for neurons alone."""
_ADDED = {
    "hook_attn_out": 1, "attn.hook_out": 1, "attn.hook_z": 1, "hook_mlp_out": 2, "mlp.hook_out": 2, "mlp.hook_post": 2,
}  # fmt: skip
"""What is added to the stream, and from where on it is there."""


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a source."""

    rows: Rows
    """[d_sae, d]"""
    space: str
    """What the rows are directions of: only those of one space are compared. `STREAM`, or a hook's name."""
    at: float | None
    """Place along the stream; None where it does not stand in it."""
    norm: str = ""
    """The norm in between, if there is one: `ln1` or `ln2`."""
    exact: bool = True
    """Whether products with these rows are in units of activations: no norm's scale is in between."""


def writing(bench: Workbench, key: SourceKey) -> Side:
    """What a source's features write. Raises what `vectors.decoder` does."""
    if (came := vectors.came_along(bench, key)) is not None:
        return _came(bench, key, came)
    source, model = vectors._source(bench, key), vectors._model(bench, key.model_id)
    layer, name = _split(source.hook_out)
    try:
        rows = vectors.written(bench, key)
    except NotAvailable:
        return Side(vectors.decoder(bench, key), source.hook_out, None)
    if name in _AT:
        return Side(rows, STREAM, 2 * layer + _AT[name] + 0.5)
    block = model.bridge.blocks[layer]
    at = 2 * layer + (2 if _parallel(block) else _ADDED[name])
    normed = hasattr(block, "ln2_post") and name != "hook_mlp_out" and _ADDED[name] == 2
    return Side(rows, STREAM, at, "ln2_post" if normed else "", exact=not normed)


def _came(bench: Workbench, key: SourceKey, rows: Rows) -> Side:
    """Vectors of an export: of the stream where it says that they are read there, else of a place of their own."""
    source = bench.source(key)
    hook = source.hook_out or source.hook
    layer, name = _split(hook) if hook.count(".") >= 2 and hook.split(".")[1].isdigit() else (0, "")
    if name in _AT and "resid" in name and len(rows) == source.width:
        return Side(rows, STREAM, 2 * layer + _AT[name] + 0.5)
    return Side(rows, hook or f"what {key} writes to", None)


def reading(bench: Workbench, key: SourceKey) -> Side:
    """What a source's features read. Raises what `vectors.encoder` does."""
    source, model = vectors._source(bench, key), vectors._model(bench, key.model_id)
    rows = vectors.encoder(bench, key)
    layer, name = _split(source.hook)
    own = getattr(getattr(getattr(source, "sae", None), "cfg", None), "normalize_activations", "none")
    exact = own not in ("layer_norm", "constant_norm_rescale")
    if own == "layer_norm":
        rows = _centred(rows)
    block = model.bridge.blocks[layer]
    if name in _AT:
        at = 0 if _parallel(block) and name == "hook_mlp_in" else _AT[name]
        return Side(rows, STREAM, 2 * layer + at, exact=exact)
    if name in _NORMED and (name != "mlp.hook_post" or source.kind == "neurons"):
        norm, at, gained = _NORMED[name]
        if _parallel(block):
            norm, at = norm if hasattr(block, norm) else "ln1", 0
        elif norm == "ln2" and block.hook_aliases.get("hook_resid_mid") != "ln2.hook_in":
            return Side(rows, source.hook, None)  # norms stand elsewhere in this architecture
        return Side(_through(rows, getattr(block, norm), gained), STREAM, 2 * layer + at, norm, exact=False)
    wide = model.manifest.record.d_model
    if name in _ADDED and name not in ("attn.hook_z", "mlp.hook_post") and rows.shape[1] == wide:
        return Side(rows, STREAM, None, exact=exact)  # the same directions, but of one layer's part alone
    return Side(rows, source.hook, None, exact=exact)


def _split(hook: str) -> tuple[int, str]:
    _, layer, name = hook.split(".", 2)
    return int(layer), name


def _parallel(block: Any) -> bool:
    """Whether attention and MLP of a layer read the same stream: then there is none between them."""
    return "hook_resid_mid" not in block.hook_aliases


def _through(rows: Rows, norm: Any, gained: bool) -> Rows:
    """Rows behind a norm as the stream before it sees them; the norm is asked, so that its family does not matter."""
    import torch

    module = norm.original_component
    like = next(module.parameters(), torch.zeros(1))
    with torch.no_grad():
        probe = torch.ones(rows.shape[1], dtype=like.dtype, device=like.device)
        probe[1::2] = -1
        ones = torch.ones_like(probe)
        gain = ((module(probe) - module(-probe)) / 2 * probe).float().cpu().numpy()
        flat = float((module(ones) - module(-ones)).abs().max())
    centres = flat < 1e-3 * float(np.abs(gain).max())
    made = rows * gain if gained else rows
    return _centred(made) if centres else np.ascontiguousarray(made)


def _centred(rows: Rows) -> Rows:
    return np.asarray(rows - rows.mean(1, keepdims=True), np.float32)
