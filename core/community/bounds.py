"""Checks what people write before it is sent to a store: each message says which part, what it is and what may be.

The store says no too (constraints in Supabase), in words that nobody wants to read.
"""

from __future__ import annotations

import math
import uuid
from typing import get_args

from core.community import limits
from core.community.records import Visibility
from core.errors import BadInput


def line(text: str, what: str, most: int) -> str:
    """One line that has to say something, such as a name."""
    found = " ".join(clean(text, what).split())
    if not found:
        raise BadInput(f"{what} is empty: write something.")
    return _short(found, what, most)


def words(text: str, what: str, most: int, *, needed: bool = False) -> str:
    """Text of any number of lines; kept as it is but for blank space around it."""
    found = clean(text, what).strip()
    if needed and not found:
        raise BadInput(f"{what} is empty: write something.")
    return _short(found, what, most)


def verbatim(text: str, what: str, most: int) -> str:
    """Text for a model: its blank space means something."""
    return _short(clean(text, what), what, most)


def clean(text: str, what: str) -> str:
    """Refuses what a database cannot keep; new lines and tabs may be."""
    if "\0" in text:
        raise BadInput(f"{what} has a null character in it: leave it out.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadInput(f"{what} has half a character in it, at {error.start}: leave it out.") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def person_name(text: str) -> str:
    """A name that can stand in an address."""
    found = text.strip()
    if not limits.NAME.fullmatch(found):
        raise BadInput(
            f"“{found[:40]}” cannot be a name: 2 to 32 letters, digits, “.”, “_” or “-”, the first a letter or digit."
        )
    return found


def visibility(text: str) -> Visibility:
    """One of the three."""
    for one in get_args(Visibility):
        if text.lower() == one:
            return one
    raise BadInput(f"“{text[:40]}” is no visibility: public, unlisted or private.")


def identity(text: str, what: str) -> str:
    """The id of something, in the one form that it is kept in."""
    try:
        return str(uuid.UUID(text))
    except (ValueError, AttributeError) as error:
        raise BadInput(f"“{str(text)[:60]}” is not the id of a {what}.") from error


def number(value: float, what: str, most: float = math.inf) -> float:
    """A finite number within ± `most`."""
    if not math.isfinite(value) or abs(value) > most:
        allowed = "a finite number" if most == math.inf else f"a number from {-most:g} to {most:g}"
        raise BadInput(f"{what} is {value:g}: it must be {allowed}.")
    return float(value)


def _short(text: str, what: str, most: int) -> str:
    if len(text) > most:
        raise BadInput(f"{what} has {len(text):,} characters: at most {most:,}.")
    return text
