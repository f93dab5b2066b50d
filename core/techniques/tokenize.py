"""A model's tokenizer alone: the ids of a text, without the model's weights.

A folder whose `tokenizer.json` is the whole truth (its class is the plain one, and every special token that the
configuration names stands in it) is read with the `tokenizers` library: 0.1 s, no torch. Any other goes through
transformers, as the model itself is loaded, since its class may change what the file says; that costs the import of
transformers once. Both give the ids that `core.models.loading.LoadedModel.ids` gives, BOS aside.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from core.catalog.manifest import ModelSpec
from core.errors import BadConfig, BadInput, NotAvailable

PLAIN = {"PreTrainedTokenizerFast", "TokenizersBackend"}
"""Classes of transformers that take `tokenizer.json` as it is."""

_TEMPLATES = ("tokenizer_config.json", "chat_template.jinja", "chat_template.json")
"""Where a chat template may stand; in the first among other settings."""
Ids = Callable[[str], list[int]]
"""From a text to its token ids, without BOS. Safe to call from several threads."""


def load_tokenizer(spec: ModelSpec) -> Ids:
    """The tokenizer of a model; a relative `spec.path` must have been resolved.

    Raises:
        NotAvailable: the model's folder is not there any more.
        BadConfig: it is there, but cannot be read.
    """
    if spec.path and not (Path(spec.path) / "config.json").is_file():
        raise NotAvailable(f"The model {spec.id} is not at {spec.path} any more (no config.json there).")
    try:
        encode = (_from_file(Path(spec.path)) if spec.path else None) or _from_transformers(spec)
    except Exception as error:  # the libraries raise many kinds; all mean that this tokenizer cannot be read
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadConfig(f"The tokenizer of {spec.id} ({spec.origin}) cannot be loaded: {first}") from error

    def ids(text: str) -> list[int]:
        try:
            return encode(text)
        except (TypeError, UnicodeError) as error:  # half of a surrogate pair, as JSON can carry it
            raise BadInput(f"The text is not Unicode: {error}") from error

    return ids


def has_chat_template(spec: ModelSpec) -> bool | None:
    """Whether a model's tokenizer can write a chat, read from its files; None where they are not at hand.

    Imports no torch. A relative `spec.path` must have been resolved.
    """
    if spec.path:
        folder = Path(spec.path)
        found = {name: str(folder / name) if (folder / name).is_file() else None for name in _TEMPLATES}
    elif spec.hub:
        from huggingface_hub import try_to_load_from_cache

        revision = spec.commit or spec.revision
        found = {name: try_to_load_from_cache(spec.hub, name, revision=revision) for name in _TEMPLATES}
    else:
        return None
    settings, *own = (found[name] for name in _TEMPLATES)
    if any(isinstance(place, str) for place in own):
        return True
    if not isinstance(settings, str):
        return None if spec.hub else False
    try:
        return bool(json.loads(Path(settings).read_text(encoding="utf-8")).get("chat_template"))
    except (OSError, ValueError, AttributeError):  # loading it says what is wrong
        return None


def _from_file(folder: Path) -> Ids | None:
    """By the file alone, or None where it may not be the whole truth."""
    if not (folder / "tokenizer.json").is_file() or not (folder / "tokenizer_config.json").is_file():
        return None
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    if config.get("tokenizer_class") not in PLAIN or (folder / "special_tokens_map.json").exists():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    if not set(_named(config)) <= {token.content for token in tokenizer.get_added_tokens_decoder().values()}:
        return None  # transformers would add them, and then cut them out of a text
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)


def _named(config: dict[str, Any]) -> Iterator[str]:
    """Every special token that a `tokenizer_config.json` names."""
    for name, value in config.items():
        if not name.endswith(("_token", "_tokens", "_tokens_decoder")):
            continue
        values = value.values() if isinstance(value, dict) and "content" not in value else value
        for one in values if isinstance(values, list | type({}.values())) else [values]:
            if isinstance(one, dict):
                one = one.get("content")
            if isinstance(one, str):
                yield one


def _from_transformers(spec: ModelSpec) -> Ids:
    """As `core.models.loading` loads it, behind a lock: a call changes the tokenizer's settings while it runs."""
    from transformers import AutoTokenizer

    place = spec.path or spec.hub
    if place is None:
        from transformer_lens.loading_from_pretrained import get_official_model_name

        place = get_official_model_name(spec.transformer_lens)
    tokenizer = AutoTokenizer.from_pretrained(place, revision=None if spec.path else spec.commit or spec.revision)
    lock = threading.Lock()

    def ids(text: str) -> list[int]:
        with lock:
            return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    return ids
