"""The demo's two language models: what is different about them.

Knows numbers and names, nothing of training. The second exists to be compared with the first (`core.atlas.universal`):
the same kinds of documents and the same held-out ones, but another seed, half of the training documents, another
tokenizer trained on that half, fewer layers and a narrower residual stream.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Design:
    """One model of the demo and its SAEs."""

    id: str
    config: str
    """The build's file in `demo`."""
    folder: str
    """Where in `demo/weights` its parts are."""
    seed: int
    share: float
    """Of each style's training documents; `seed` says which."""
    vocabulary: int
    layers: int
    width: int
    heads: int
    batch: int
    """Pieces of text a step."""
    tokens: int
    """That the language model is trained on."""
    saes: tuple[int, ...]
    """Layers that have one."""
    set_name: str
    """Of the sources that are built of them: another for each, so that `2-res` names one source."""


FIRST = Design(
    id="scribe-4l", config="demo.yaml", folder="", seed=0, share=1.0, vocabulary=5120, layers=4, width=256, heads=8,
    batch=32, tokens=21_000_000, saes=(0, 1, 2, 3), set_name="res",
)  # fmt: skip
SECOND = Design(
    id="stylus-3l", config="second.yaml", folder="stylus-3l", seed=1, share=0.5, vocabulary=3072, layers=3, width=128,
    heads=4, batch=16, tokens=3_400_000, saes=(1, 2), set_name="res-3l",
)  # fmt: skip
DESIGNS = {d.id: d for d in (FIRST, SECOND)}
