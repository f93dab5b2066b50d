"""What tokens cost, from a table that its reader can edit: `configs/prices.yaml`, dated. An unknown one is not guessed.

Before a run there is no count by the model's own tokenizer, so tokens are estimated from characters; what an endpoint
says that it used is what counts afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import yaml

from core.errors import BadConfig

TABLE = Path(__file__).resolve().parents[3] / "configs" / "prices.yaml"
_DATED = re.compile(r"-(?:\d{8}|\d{4}-\d\d-\d\d|latest)$")
PER_TOKEN = 3.6
"""Characters of a token, about: English prose has more than 4, code and numbers fewer."""
PER_MESSAGE = 6
"""Tokens that a message takes besides its text."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, read and written."""

    read: float
    written: float

    def of(self, read: int, written: int) -> float:
        """Of so many tokens."""
        return (read * self.read + written * self.written) / 1e6

    @classmethod
    def parse(cls, text: str) -> Price:
        """From `0.15,0.60`; raises `BadConfig`."""
        try:
            read, written = (float(part) for part in text.split(","))
        except ValueError as error:
            raise BadConfig(
                f"“{text[:40]}” is no price: write dollars for a million tokens read and written, such as 0.15,0.60."
            ) from error
        if not (0 <= read < 1e6 and 0 <= written < 1e6):
            raise BadConfig("A price is 0 or more.")
        return cls(read, written)


FREE = Price(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Provider:
    """An endpoint that people know by name."""

    name: str
    url: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The whole table."""

    dated: str
    prices: Mapping[str, Price]
    providers: tuple[Provider, ...]

    def of(self, model: str) -> Price | None:
        """Of a model, also with its maker before the name, a date after it, or dots for dashes (OpenRouter's way).

        None if the table does not say.
        """
        bare = model.strip().lower().rsplit("/", 1)[-1]
        undated = _DATED.sub("", bare)
        names = (model.strip().lower(), bare, undated, undated.replace(".", "-"))
        return next((self.prices[name] for name in names if name in self.prices), None)


@lru_cache(maxsize=4)
def _table(path: Path, mark: int) -> Table:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
        prices = {str(name).lower(): Price(float(row[0]), float(row[1])) for name, row in found["models"].items()}
        providers = tuple(
            Provider(str(row["name"]), str(row["url"]), tuple(map(str, row.get("models", ()))))
            for row in found["providers"]
        )
        return Table(str(found["dated"]), prices, providers)
    except (yaml.YAMLError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise BadConfig(f"{path.name} cannot be read: {error}.") from error


def table(path: Path = TABLE) -> Table:
    """The table as it is on disk now."""
    try:
        return _table(path, path.stat().st_mtime_ns)
    except OSError as error:
        raise BadConfig(f"{path.name} cannot be read: {error.strerror}.") from error


def count(messages: Sequence[Mapping[str, str]]) -> int:
    """Tokens of messages, about."""
    return sum(PER_MESSAGE + round(len(message["content"]) / PER_TOKEN) for message in messages)
