"""The weights of a source as arrays: what each feature reads and writes, one row a feature, float32.

Arrays share the memory of what the workbench's pool holds where that is float32 in main memory, so treat them as
read-only; else they are a copy. An array keeps its memory alive, also when the pool lets the source go: do not keep it
longer than the work takes. Nothing is scaled, centred or folded.

Cost: loading a source on first use (weights in memory once, its model too), then nothing; `written` of an SAE on
attention heads and `unembedding` of a model in bfloat16 make one product and one copy.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from core.errors import NotAvailable
from core.records import SourceKey

if TYPE_CHECKING:
    from core.models.loading import LoadedModel
    from core.sources.dictionary import Dictionary
    from core.workbench import Workbench

Rows = NDArray[np.float32]


def decoder(bench: Workbench, key: SourceKey) -> Rows:
    """[d_sae, d_out]: decoder rows as on disk, at the source's `hook_out`; of neurons the rows of W_out.

    Raises:
        NotFound: there is no such source.
        NotAvailable: its weights are not here, and no vectors came along with an import.
    """
    came = came_along(bench, key)
    return _array(_source(bench, key).W_dec) if came is None else came


def written(bench: Workbench, key: SourceKey) -> Rows:
    """[d_sae, d_model]: decoder rows as the residual stream sees them (`core.sources.residual`): mostly `decoder`.

    Raises what `decoder` does; `NotAvailable` also where they do not write to the residual stream.
    """
    came = came_along(bench, key)
    if came is not None and "resid" in bench.source(key).hook:  # there rows write where they read
        return came
    from core.sources.residual import residual_rows

    rows = residual_rows(_source(bench, key), _model(bench, key.model_id))
    if rows is None:
        raise NotAvailable(f"{key} does not write to the residual stream, so it cannot be compared there.")
    return _array(rows)


def encoder(bench: Workbench, key: SourceKey) -> Rows:
    """[d_sae, d_in]: what each feature's value multiplies; of neurons the columns of W_in, of directions themselves.

    Of a gated SAE or MLP these are the weights of the value, not of the gate.

    Raises what `decoder` does; `NotAvailable` also for a source without an encoder.
    """
    source = _source(bench, key, "encoder")
    if source.kind == "neurons":
        from core.models.capture import hook_layer

        found = getattr(_model(bench, key.model_id).bridge.blocks[hook_layer(source.hook)].mlp, "W_in", None)
    else:
        found = source.W_dec.T if source.kind == "directions" else getattr(getattr(source, "sae", None), "W_enc", None)
    if found is None or found.ndim != 2 or found.shape[1] != source.width:
        raise NotAvailable(f"{key} has no encoder matrix of one column a feature.")
    return _array(found.T)


def unembedding(bench: Workbench, model_id: str) -> Rows:
    """[d_model, d_vocab]: W_U as on disk, without the final norm, as logit effects are computed.

    Raises:
        NotFound: there is no such model.
        NotAvailable: its weights are not here.
    """
    return _array(_model(bench, model_id).bridge.W_U)


def came_along(bench: Workbench, key: SourceKey) -> Rows | None:
    """Decoder rows of an imported source without weights, where its export had them: mapped from their file.

    The same array as long as the file is the same. Raises `NotFound`, and `NotAvailable` for a damaged file.
    """
    entry = bench.catalog.entry(key)
    path = entry.folder / "vectors.npy"
    if "weights" in entry.record.has or not path.is_file():
        return None
    try:
        return _mapped(str(path), path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise NotAvailable(f"The vectors of {key} cannot be read: {error}.") from error


@lru_cache(maxsize=64)
def _mapped(path: str, mark: int) -> Rows:
    """A file of rows; `mark` tells versions of it apart. What would be written stays in memory: nobody writes."""
    return np.asarray(np.load(path, mmap_mode="c"), np.float32)


def _source(bench: Workbench, key: SourceKey, rows: str = "decoder") -> Dictionary:
    if "weights" not in bench.source(key).has:
        raise NotAvailable(
            f"{key} was imported without its weights, so it has no {rows} rows here. `python -m core join` gives them "
            "to it; what is said of its features can be compared and mapped without."
        )
    return bench._source_slot(bench.source(key)).get().source


def _model(bench: Workbench, model_id: str) -> LoadedModel:
    return bench._model_slot(model_id).get()


def _array(tensor: Any) -> Rows:
    return np.asarray(tensor.detach().float().cpu().numpy())
