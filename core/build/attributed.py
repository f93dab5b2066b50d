"""`dfa.arrow`: where the values of a build's examples came from, for a source on attention heads (core.techniques.dfa).

One row a feature, its examples in the order of `examples.arrow` one after another: `terms` has what each token up to
and with the example's own gave, `heads` the sums by head, `bias` what no token gave. Kept at build time, so that
browsing needs neither weights nor torch. Numbers are float16 where all of them fit.

Cost: one more pass over the prompts that any example shows, with the layer's attention pattern; memory of four bytes a
token before each example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from core.build.tiles import Tiles
from core.errors import NotAvailable
from core.kernel import F32, I64
from core.models.attention import attend
from core.models.loading import LoadedModel
from core.sources.dictionary import Dictionary
from core.sources.heads import attention_layer
from core.store import layout
from core.store.columns import Lists, arrow
from core.techniques.dfa import attribute

LARGEST = 65000.0
"""Below what float16 can hold."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """Every example of every feature, by feature."""

    sizes: I64
    """[width]: examples of each feature."""
    feature: I64
    prompt: I64
    position: I64

    @classmethod
    def of(cls, file: Path) -> _Shown:
        rows = layout.Rows(file)
        prompt, position = (rows.column(name).chunks for name in ("prompt", "position"))
        sizes = np.concatenate([np.diff(chunk.offsets.to_numpy()) for chunk in prompt]).astype(np.int64)
        flat = (np.concatenate([chunk.flatten().to_numpy() for chunk in one]) for one in (prompt, position))
        return cls(sizes, np.repeat(np.arange(len(sizes)), sizes), *(one.astype(np.int64) for one in flat))


def write_attributed(
    folder: Path, model: LoadedModel, source: Dictionary, tiles: Tiles, *, compact: bool,
    tell: Callable[[float, float], None],
) -> None:  # fmt: skip
    """Writes `dfa.arrow` beside the `examples.arrow` of a folder.

    Raises:
        BadConfig: the model's layer does not show what its heads attended to.
    """
    layer = attention_layer(source.hook)
    if layer is None:
        raise NotAvailable(f"{source.hook} is no place where attention heads are read.")
    shown = _Shown.of(folder / layout.EXAMPLES)
    begins = np.concatenate([[0], np.cumsum(shown.position + 1)])
    terms = np.zeros(begins[-1], np.float32)
    heads: F32 | None = None
    bias = np.zeros(len(shown.feature), np.float32)
    order = np.argsort(shown.prompt, kind="stable")
    ends = np.searchsorted(shown.prompt[order], np.arange(len(tiles.texts.starts)))
    prompts = np.flatnonzero(np.diff(ends))
    for done in range(0, len(prompts), tiles.rows):
        some = prompts[done : done + tiles.rows]
        ids = torch.cat([tiles.ids(int(p), int(p) + 1)[:1] for p in some])
        attention = attend(model, ids, layer)
        for row, prompt in enumerate(some):
            items = order[ends[prompt] : ends[prompt + 1]]
            length = int(tiles.texts.starts[prompt + 1] - tiles.texts.starts[prompt])
            targets, features = (torch.from_numpy(x[items]).to(ids.device) for x in (shown.position, shown.feature))
            found = attribute(source, attention.text(row, length), targets.to(model.device), features.to(model.device))
            by_source, by_head = found.terms.sum(1).cpu().numpy(), found.terms.sum(2).cpu().numpy()
            heads = np.zeros((len(shown.feature), by_head.shape[1]), np.float32) if heads is None else heads
            heads[items], bias[items] = by_head, found.bias.cpu().numpy()
            for n, item in enumerate(items):
                terms[begins[item] : begins[item + 1]] = by_source[n, : shown.position[item] + 1]
        tell(done + len(some), len(prompts))
    batches = _batches(shown, terms, begins, np.zeros((0, 1), np.float32) if heads is None else heads, bias)
    layout.write_batches(folder / layout.DFA, _schema(terms, heads), batches, compact=compact)


def _schema(terms: F32, heads: F32 | None) -> pa.Schema:
    most = max((float(np.abs(x).max()) for x in (terms, heads) if x is not None and x.size), default=0.0)
    kind = pa.list_(pa.float16() if most < LARGEST else pa.float32())
    return pa.schema([("terms", kind), ("heads", kind), ("bias", pa.list_(pa.float32()))])


def _batches(shown: _Shown, terms: F32, begins: I64, heads: F32, bias: F32) -> Iterator[pa.RecordBatch]:
    schema, firsts = _schema(terms, heads), np.concatenate([[0], np.cumsum(shown.sizes)])
    for begin in range(0, len(shown.sizes), layout.BATCH):
        end = min(begin + layout.BATCH, len(shown.sizes))
        sizes, first, last = shown.sizes[begin:end], firsts[begin], firsts[end]
        places = firsts[begin : end + 1]
        columns = {
            "terms": Lists(terms[begins[first] : begins[last]], np.diff(begins[places])),
            "heads": Lists(heads[first:last].ravel(), sizes * heads.shape[1]),
            "bias": Lists(bias[first:last], sizes),
        }
        yield pa.record_batch([arrow(columns[c.name], c.type) for c in schema], schema=schema)
