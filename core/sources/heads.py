"""Which sources read attention heads, so that their values can be told apart by source tokens. Imports no torch."""

from __future__ import annotations

import re

LINEAR = ("standard", "jumprelu", "topk", "abstopk", "groupmax", "gated")
"""Architectures whose pre-activation is a product with one encoder column a feature."""


def attention_layer(hook: str) -> int | None:
    """The layer of `attn.hook_z`, where heads lie side by side and are linear in what they attended to; else None."""
    match = re.fullmatch(r"blocks\.(\d+)\.attn\.hook_z", hook)
    return None if match is None else int(match[1])


def is_attributable(architecture: str, hook: str) -> bool:
    """Whether a source of this architecture at this hook has direct feature attribution (core.techniques.dfa)."""
    return architecture in LINEAR and attention_layer(hook) is not None
