"""Direct feature attribution as JSON: Neuronpedia's `dfaValues`, `dfaTargetIndex` and `dfaMaxValue`, and by head.

Positions count BOS, which is among the tokens.
"""

from __future__ import annotations

from typing import Any

from core.records import DfaRecord


def record(one: DfaRecord) -> dict[str, Any]:
    """Where a feature's value at one token came from; `dfaValues` and `bias` add up to its pre-activation."""
    values = [*one.dfa.values, *[0.0] * (len(one.tokens) - len(one.dfa.values))]
    return {
        "modelId": one.key.model_id, "source": one.key.source_id, "index": str(one.key.index), "text": one.text,
        "tokens": [token.text for token in one.tokens], "prependBos": one.bos, "value": one.value,
        "dfaTargetIndex": one.dfa.target, "dfaValues": values, "dfaMaxValue": max(values, default=0.0),
        "heads": list(one.dfa.heads), "byHead": [list(row) for row in one.dfa.by_head], "bias": one.dfa.bias,
    }  # fmt: skip
