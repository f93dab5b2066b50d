"""What lies in a folder of weights, and which hook a Hugging Face module is. Knows file names alone; imports no torch.

Three formats hold one dictionary in a folder: SAELens's, EleutherAI's sparsify's, and dictionary_learning's. The latter
two say where a dictionary belongs by the module whose output it reads; TransformerLens's name for that is `hook_of`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, TypeAlias

from core.errors import BadConfig

Format: TypeAlias = Literal["saelens", "sparsify", "dictionary_learning"]

FILES: dict[Format, tuple[str, str]] = {
    "saelens": ("cfg.json", "sae_weights.safetensors"),
    "sparsify": ("cfg.json", "sae.safetensors"),
    "dictionary_learning": ("config.json", "ae.pt"),
}
"""(configuration, weights) of each format."""
EXPECTED = " or ".join(f"{a} and {b} ({name})" for name, (a, b) in FILES.items())
"""What a folder is expected to hold, in words."""

_MODULE = re.compile(r"(?:.*\.)?(?:layers|h|blocks)[._](\d+)(?:\.(.+))?")
_PARTS = {
    "mlp": "mlp", "feed_forward": "mlp", "ffn": "mlp",
    "self_attn": "attn", "attn": "attn", "attention": "attn", "self_attention": "attn",
}  # fmt: skip


def format_of(folder: Path) -> Format | None:
    """The format of the dictionary in `folder`; None where there is none. A SAELens folder may lack its weights."""
    for name, files in FILES.items():
        if all((folder / file).is_file() for file in files):
            return name
    return "saelens" if (folder / "cfg.json").is_file() else None


def hook_of(module: str) -> tuple[str, str] | None:
    """TransformerLens's names of what goes into a module and what comes out, for `layers.5`, `h.5.mlp` and the like.

    None for a module that is neither a layer nor its attention or MLP.
    """
    match = _MODULE.fullmatch(module)
    if match is None:
        return None
    layer, part = f"blocks.{int(match[1])}", match[2]
    if part is None:
        return f"{layer}.hook_resid_pre", f"{layer}.hook_resid_post"
    if part not in _PARTS:
        return None
    return f"{layer}.{_PARTS[part]}.hook_in", f"{layer}.{_PARTS[part]}.hook_out"


def read_json(path: Path) -> dict[str, Any]:
    """A configuration file.

    Raises:
        BadConfig: it is no JSON object.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BadConfig(f"{path.name} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise BadConfig(f"{path.name} holds no JSON object.")
    return found


def number(config: dict[str, Any], key: str, file: str, *, least: int = 1) -> int:
    """A whole number of a configuration.

    Raises:
        BadConfig: it is missing, or no whole number of at least `least`.
    """
    value = config.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise BadConfig(f"{file}: {key} is {value!r}, and should be a whole number of at least {least}.")
    return value
