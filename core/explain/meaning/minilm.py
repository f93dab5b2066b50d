"""The sentence model all-MiniLM-L6-v2 in NumPy: six layers of BERT, the mean over tokens, length one.

Only this one model, from the folder that `core.explain.meaning.embedder` has checked: BERT by Devlin et al., 2018
(https://arxiv.org/abs/1810.04805), distilled by Wang et al., 2020 (https://arxiv.org/abs/2002.10957); values are those
of sentence-transformers to 2e-6. It is here, and not in PyTorch, for two reasons. A command or a page that asks by
meaning needs neither torch nor transformers, whose import takes ten times as long as the query. And texts of all
lengths go through the large products side by side, one after another in the rows, so that nothing is padded: of
annotations in batches of 64 in their own order, six in ten tokens were padding.

Cost: 90 MB; 21 million multiplications and additions a word piece, nearly all of them in four products a layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LAYERS, HEADS, WIDTH = 6, 12, 384
MOST = 256
"""Word pieces that are read of a text, with the two marks at its ends."""
EPSILON = np.float32(1e-12)

Floats = NDArray[np.float32]


class MiniLM:
    """The model of one folder, in float32. Holds no state between calls: safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        held = load_file(folder / "model.safetensors")
        self._words = held["embeddings.word_embeddings.weight"]
        first, *_ = held["embeddings.token_type_embeddings.weight"]  # every text is of the first of BERT's two kinds
        self._places = held["embeddings.position_embeddings.weight"] + first
        self._first = _norm(held, "embeddings.LayerNorm")
        self._layers = [_Layer(held, f"encoder.layer.{n}.") for n in range(LAYERS)]

    def pieces(self, texts: Sequence[str]) -> list[list[int]]:
        """Each text's word pieces with the marks, all of them; `__call__` reads the first `MOST`."""
        # half a surrogate, which JSON can say, is no text to a tokenizer
        said = [text.encode("utf-8", "replace").decode() for text in texts]
        return [one.ids for one in self._tokenizer.encode_batch(said)]

    def __call__(self, pieces: Sequence[Sequence[int]]) -> Floats:
        """[texts, 384], each of length 1, of texts as `pieces` gives them."""
        read = [one if len(one) <= MOST else [*one[: MOST - 1], one[-1]] for one in pieces]
        ends = np.cumsum([0, *map(len, read)]).tolist()
        rows = [slice(*ends_of) for ends_of in pairwise(ends)]
        x = self._words[np.concatenate([np.asarray(one, np.intp) for one in read])]
        for its in rows:
            x[its] += self._places[: its.stop - its.start]
        _normalise(x, *self._first)
        for layer in self._layers:
            layer(x, rows)
        made = np.stack([x[its].mean(axis=0) for its in rows])
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


class _Layer:
    """One layer: attention within each text, then two products around a GELU; a norm after each."""

    def __init__(self, held: dict[str, Floats], name: str) -> None:
        parts = [_linear(held, f"{name}attention.self.{one}") for one in ("query", "key", "value")]
        self._read = np.hstack([w for w, _ in parts]), np.hstack([b for _, b in parts])
        self._written = _linear(held, f"{name}attention.output.dense")
        self._between = _norm(held, f"{name}attention.output.LayerNorm")
        self._up = _linear(held, f"{name}intermediate.dense")
        self._down = _linear(held, f"{name}output.dense")
        self._after = _norm(held, f"{name}output.LayerNorm")

    def __call__(self, x: Floats, rows: Sequence[slice]) -> None:
        """Changes x [tokens, 384], the texts' tokens one after another, in place."""
        read = _product(x, *self._read)
        mixed = np.empty_like(x)
        for its in rows:
            mixed[its] = _attention(read[its])
        x += _product(mixed, *self._written)
        _normalise(x, *self._between)
        x += _product(_gelu(_product(x, *self._up)), *self._down)
        _normalise(x, *self._after)


def _linear(held: dict[str, Floats], name: str) -> tuple[Floats, Floats]:
    """([in, out], [out]): torch keeps the first the other way round."""
    return np.ascontiguousarray(held[f"{name}.weight"].T), held[f"{name}.bias"]


def _norm(held: dict[str, Floats], name: str) -> tuple[Floats, Floats]:
    return held[f"{name}.weight"], held[f"{name}.bias"]


def _product(x: Floats, w: Floats, b: Floats) -> Floats:
    made: Floats = x @ w
    made += b
    return made


def _attention(read: Floats) -> Floats:
    """[n, 384] of one text's queries, keys and values [n, 3 × 384]."""
    q, k, v = read.reshape(len(read), 3, HEADS, WIDTH // HEADS).transpose(1, 2, 0, 3)
    scores: Floats = q @ k.transpose(0, 2, 1)  # [heads, n, n]
    scores *= np.float32((WIDTH // HEADS) ** -0.5)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return (scores @ v).transpose(1, 0, 2).reshape(len(read), WIDTH)


def _gelu(x: Floats) -> Floats:
    """The exact one, in place: x Φ(x)."""
    from scipy.special import erf

    scaled = x * np.float32(0.5**0.5)
    erf(scaled, out=scaled)
    scaled += 1
    scaled *= x
    scaled *= np.float32(0.5)
    return scaled


def _normalise(x: Floats, weight: Floats, bias: Floats) -> None:
    x -= x.mean(axis=-1, keepdims=True)
    x *= 1 / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + EPSILON)
    x *= weight
    x += bias
