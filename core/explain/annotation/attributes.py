"""The names of the attributes that sort tokens into categories; `core.explain.annotation.corpus` says what each is."""

from __future__ import annotations

from typing import Literal

Attribute = Literal["token", "word", "pair", "prev", "prev2", "before", "shape", "place", "line", "repeat", "part"]
ATTRIBUTES: tuple[Attribute, ...] = (
    "token", "word", "pair", "prev", "prev2", "before", "shape", "place", "line", "repeat", "part",
)  # fmt: skip
