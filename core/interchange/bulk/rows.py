"""The rows of an export, read strictly: what each must hold, in which types and shapes, whoever wrote it.

Keys may come in any order, be null, be missing where nothing depends on them, or be strange to us; an index is a number
or its digits. What cannot be read raises `Wrong`. The texts of `Wrong` are findings, so they say what was there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.interchange.bulk.lines import Wrong

Json = dict[str, Any]
Numbers = NDArray[np.float64]
MOST_INDEX = 1 << 24
"""Features of a source; the widest published SAEs have about a million."""
MOST_TOKENS = 1 << 16
MOST_NUMBERS = 1 << 20
MOST_TEXT = 20_000
TOP = -1
"""`binMin` of the group of top activations."""

CONTENT = {"tokens", "values", "index", "modelId", "layer"}
"""Of an activation: what is kept in columns; all else is kept as it came."""
NUMBERS = (
    ("freq_hist_data_bar_heights", "freq_hist_data_bar_values"),
    ("logits_hist_data_bar_heights", "logits_hist_data_bar_values"),
    ("neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1"),
    ("correlated_neurons_indices", "correlated_neurons_pearson", "correlated_neurons_l1"),
    ("correlated_features_indices", "correlated_features_pearson", "correlated_features_l1"),
    ("topkCosSimIndices", "topkCosSimValues"),
)
"""Columns of a feature that belong together: of one length, or empty."""
LOGITS = (("pos_str", "pos_values"), ("neg_str", "neg_values"))
FEATURE_KEYS = frozenset(name for names in (*NUMBERS, *LOGITS) for name in names) | {
    "modelId", "layer", "index", "maxActApprox", "creatorId", "frac_nonzero", "decoder_weights_dist", "sourceSetName",
    "vector", "vectorLabel", "hookName", "vectorDefaultSteerStrength", "hasVector", "createdAt", "umap_x", "umap_y",
    "umap_cluster", "umap_log_feature_sparsity", "id",
}  # fmt: skip
ACTIVATION_KEYS = CONTENT | {
    "id", "creatorId", "dataSource", "maxValue", "minValue", "maxValueTokenIndex", "dfaValues", "dfaMaxValue",
    "dfaTargetIndex", "binContains", "binMin", "binMax", "dataIndex", "lossValues", "logitContributions",
    "qualifyingTokenIndex", "zIndices", "zValues", "zQIndices", "zKIndices", "createdAt",
}  # fmt: skip
EXPLANATION_KEYS = frozenset({
    "id", "modelId", "layer", "index", "authorId", "description", "embedding", "typeName", "explanationModelName",
    "umap_x", "umap_y", "umap_cluster", "umap_log_feature_sparsity", "triggeredById", "triggeredByUserId", "notes",
    "createdAt", "updatedAt", "scoreV1", "scoreV2", "scores",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Activation:
    """One activation, checked."""

    index: int
    tokens: list[str]
    values: Numbers
    low: float
    """Of its interval; NaN for the top group."""
    high: float
    share: float
    """Of tokens in the interval; NaN where none is said."""
    place: int
    """The token that it is about."""
    part: str
    """Where its text is from; empty if nothing says."""
    notes: tuple[str, ...] = ()
    """What is strange about it."""


def index_of(row: Json, name: str = "index") -> int:
    """The index, from a number or its digits."""
    found = row.get(name)
    if isinstance(found, str) and found.isascii() and found.isdigit() and len(found) <= 12:
        found = int(found)
    if type(found) is not int or found < 0:
        raise Wrong(f"{name} is {_short(found)}, and a number of 0 or more is needed")
    if found >= MOST_INDEX:
        raise Wrong(f"{name} is {found:,}, beyond the {MOST_INDEX:,} features that a source may have")
    return found


def identity(row: Json, model: str, source: str) -> None:
    """Whether the row is of this source, as far as it says."""
    for name, wanted in (("modelId", model), ("layer", source)):
        if row.get(name) is not None and row[name] != wanted:
            raise Wrong(f"{name} is {_short(row[name])}, and all others are {wanted}")


def number(row: Json, name: str, *, low: float = -math.inf, high: float = math.inf) -> float | None:
    """A finite number, or None where it is null or missing."""
    found = row.get(name)
    if found is None:
        return None
    if type(found) not in (int, float) or not math.isfinite(found):
        raise Wrong(f"{name} is {_short(found)}, and a number is needed")
    if not low <= found <= high:
        raise Wrong(f"{name} is {found:g}, and it is from {low:g} to {high:g}")
    return float(found)


def numbers(row: Json, name: str, most: int = MOST_NUMBERS) -> Numbers:
    """A list of finite numbers; empty where it is null or missing."""
    found = row.get(name)
    if found is None:
        return np.empty(0)
    if not isinstance(found, list):
        raise Wrong(f"{name} is {_short(found)}, and a list of numbers is needed")
    if len(found) > most:
        raise Wrong(f"{name} has {len(found):,} numbers, and {most:,} are the most that are read")
    if not found:
        return np.empty(0)
    try:
        array = np.asarray(found)
    except (ValueError, OverflowError):
        raise Wrong(f"{name} is no list of numbers") from None
    if array.ndim != 1 or array.dtype.kind not in "iuf" or not set(map(type, found)) <= {int, float}:
        raise Wrong(f"{name} holds other things than numbers")
    array = array.astype(np.float64)
    if not (largest := np.abs(array).max()) <= 3.0e38:  # not a number is not less either
        raise Wrong(f"{name} holds {largest:g}, larger than a float32")
    return array


def texts(row: Json, name: str, most: int = MOST_TOKENS) -> list[str]:
    """A list of texts; empty where it is null or missing."""
    found = row.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or set(map(type, found)) - {str}:
        raise Wrong(f"{name} is no list of texts")
    if len(found) > most:
        raise Wrong(f"{name} has {len(found):,} texts, and {most:,} are the most that are read")
    return found


def text(row: Json, name: str, most: int = MOST_TEXT) -> str:
    """A text; empty where it is null or missing."""
    found = row.get(name)
    if found is None:
        return ""
    if not isinstance(found, str):
        raise Wrong(f"{name} is {_short(found)}, and a text is needed")
    if len(found) > most:
        raise Wrong(f"{name} has {len(found):,} characters, and {most:,} are the most that are read")
    return found


def check_feature(row: Json) -> None:
    """Whether a feature's row can be shown: types, lengths, finite numbers."""
    for names in NUMBERS:
        sizes = {name: len(numbers(row, name)) for name in names}
        if len(set(sizes.values()) - {0}) > 1 or (0 in sizes.values() and sizes[names[0]] > 0):
            said = ", ".join(f"{name} has {size}" for name, size in sizes.items())
            raise Wrong(f"columns that belong together are not of one length: {said}")
    for strings, values in LOGITS:
        if len(texts(row, strings)) != len(numbers(row, values)):
            raise Wrong(f"{strings} and {values} are not of one length")
    for name in ("freq_hist_data_bar_heights", "logits_hist_data_bar_heights"):
        heights = numbers(row, name)
        if (heights < 0).any() or (heights > 2**32 - 1).any():
            raise Wrong(f"{name} holds a count below zero, or beyond 32 bits")
    for names in NUMBERS[2:]:
        places = numbers(row, names[0])
        if ((places < 0) | (places > 2**31 - 1) | (places != np.floor(places))).any():
            raise Wrong(f"{names[0]} holds something that is no index")
    number(row, "maxActApprox")
    number(row, "frac_nonzero", low=0, high=1)
    numbers(row, "decoder_weights_dist")
    for name in ("hookName", "vectorLabel", "sourceSetName"):
        text(row, name)
    numbers(row, "vector")


def activation(row: Json) -> Activation:
    """An activation's row."""
    index = index_of(row)
    tokens, values = texts(row, "tokens"), numbers(row, "values", MOST_TOKENS)
    if len(tokens) != len(values):
        raise Wrong(f"it has {len(tokens)} tokens and {len(values)} values")
    if not tokens:
        raise Wrong("it has no tokens")
    low, high, share = number(row, "binMin"), number(row, "binMax"), number(row, "binContains")
    peak, notes = int(values.argmax()), []
    stated = number(row, "maxValue")
    if stated is not None and abs(stated - values[peak]) > 1e-3 * max(1.0, abs(stated)):
        notes.append(f"maxValue is {stated:g}, and its largest value {values[peak]:g}")
    top = low is None or (low == TOP and (share is None or share == TOP))
    place = peak
    for name in ("maxValueTokenIndex", "qualifyingTokenIndex"):
        said = row.get(name)
        if said is not None and type(said) is not int:
            raise Wrong(f"{name} is {_short(said)}, and a number is needed")
        if said is not None and not -1 <= said < len(tokens):
            notes.append(f"{name} is {said}, and it has {len(tokens)} tokens")
        elif name == "qualifyingTokenIndex" and said is not None and said >= 0 and (not top or values[said] > 0):
            place = said
    if top or low is None:
        low, high, share = math.nan, math.nan, math.nan
    bounds = (low, math.nan if high is None else high, math.nan if share is None else share)
    return Activation(index, tokens, values, *bounds, place, text(row, "dataSource"), tuple(notes))


def check_explanation(row: Json) -> None:
    """Whether an explanation's row can be shown."""
    if not text(row, "description").strip():
        raise Wrong("it has no description")
    for name in ("id", "typeName", "explanationModelName", "authorId", "createdAt"):
        text(row, name, 2000)
    embedding = row.get("embedding")
    if isinstance(embedding, str):  # one of the writers
        from core.interchange.bulk.lines import value

        embedding = value(embedding.encode()) if embedding.strip() else None
    numbers({"embedding": embedding}, "embedding")
    scores = row.get("scores")
    if scores is not None and not (isinstance(scores, list) and all(isinstance(one, dict) for one in scores)):
        raise Wrong("scores is no list of scores")
    for one in scores or []:
        check_score(one)


def check_score(row: Json) -> None:
    """Whether a score's row can be shown."""
    if number(row, "value") is None:
        raise Wrong("a score has no value")
    text(row, "explanationScoreTypeName", 200)
    text(row, "explanationScoreModelName", 200)


def strange(row: Json, known: frozenset[str] | set[str]) -> list[str]:
    """Keys that no writer of an export has, as far as is known."""
    return sorted(str(name)[:60] for name in row.keys() - known)


def _short(found: object) -> str:
    said = repr(found)
    return said if len(said) <= 60 else f"{said[:57]}…"
