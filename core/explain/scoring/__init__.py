"""How far an explanation tells where its feature is active: one scorer a file, on passages that no explainer saw."""

from __future__ import annotations

from collections.abc import Mapping

NAMES: Mapping[str, str] = {
    "embedding": "how near each text is to the explanation for an embedder, active against silent texts; asks no model",
    "detection": "a language model reads the explanation and says of each text whether the feature is active on it",
    "fuzzing": "some tokens are marked, rightly or wrongly, and a language model says which by the explanation",
    "simulation": "a language model writes each token’s activation from the explanation; Pearson’s r with the true",
}
"""Scorers, and what each does. An annotation's rule is scored when it is made (core.explain.annotation)."""
