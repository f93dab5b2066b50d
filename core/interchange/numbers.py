"""The numbers of a direction as people have them: pasted, or in a file.

Pasted: JSON (a list, or an object that holds one), or numbers with commas, blanks or line breaks between. Files: the
same as .txt, .json or .csv; .npy, of which no pickle is ever read; .safetensors with one tensor. A file says how large
it is before anything is read from it. Cost: a look at every number.
"""

from __future__ import annotations

import io
import json
import math
import re
from typing import Any

from core.errors import BadInput

MOST = 1 << 20
"""Numbers of one direction at most."""
KINDS = (".safetensors", ".npy", ".json", ".txt", ".csv")


def read_text(text: str) -> tuple[float, ...]:
    """The numbers of a pasted text.

    Raises:
        BadInput: something in it is no number, or it holds none.
    """
    if text.lstrip()[:1] in ("[", "{"):
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"The numbers look like JSON, but cannot be read as such: {error}") from error
        return _checked(_listed(found))
    parts = [part for part in re.split(r"[\s,;]+", text) if part]
    return _checked(parts)


def read_file(name: str, data: bytes) -> tuple[float, ...]:
    """The numbers of a file, by its name's ending.

    Raises:
        BadInput: the ending is none of `KINDS`, or the file does not hold one row of numbers.
    """
    ending = next((kind for kind in KINDS if name.lower().endswith(kind)), "")
    if ending == ".safetensors":
        return _from_safetensors(data)
    if ending == ".npy":
        return _from_npy(data)
    if not ending:
        raise BadInput(f"“{name[-60:]}” is not of a kind that is read here: {', '.join(KINDS)} are.")
    try:
        return read_text(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise BadInput(f"“{name[-60:]}” is not text in UTF-8.") from error


def _listed(found: Any) -> list[Any]:
    """The list that a JSON value is, or that it holds."""
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        if len(lists) != 1:
            raise BadInput(f"The JSON object holds {len(lists)} lists; it is to hold one, the numbers.")
        found = lists[0]
    while isinstance(found, list) and len(found) == 1 and isinstance(found[0], list):
        found = found[0]
    if not isinstance(found, list):
        raise BadInput("The JSON is neither a list of numbers nor an object that holds one.")
    return found


def _checked(parts: list[Any]) -> tuple[float, ...]:
    if not parts:
        raise BadInput("There are no numbers in it.")
    if len(parts) > MOST:
        raise BadInput(f"These are {len(parts):,} numbers, and at most {MOST:,} are read.")
    numbers = []
    for n, part in enumerate(parts, 1):
        try:
            number = float(part) if isinstance(part, str | int | float) and not isinstance(part, bool) else math.nan
        except (ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise BadInput(f"Number {n}, “{str(part)[:40]}”, is no finite number.")
        numbers.append(number)
    return tuple(numbers)


def _from_npy(data: bytes) -> tuple[float, ...]:
    import numpy as np

    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, _, dtype = header(file)
    except (ValueError, KeyError, EOFError, SyntaxError) as error:
        raise BadInput("The file is no .npy file that can be read.") from error
    if dtype.kind not in "fiu" or dtype.hasobject:
        raise BadInput(f"The .npy file holds {dtype}, not plain numbers.")
    if math.prod(shape) * dtype.itemsize > len(data):
        raise BadInput("The .npy file says that it is larger than it is.")
    return _row(np.load(io.BytesIO(data), allow_pickle=False), shape)


def _from_safetensors(data: bytes) -> tuple[float, ...]:
    from safetensors.torch import load

    try:
        found = load(data)
    except Exception as error:  # the library's own, and torch's
        raise BadInput("The file is no .safetensors file that can be read.") from error
    if len(found) != 1:
        names = ", ".join(sorted(found)[:6])
        raise BadInput(f"The .safetensors file holds {len(found)} tensors ({names}); it is to hold one, the direction.")
    (tensor,) = found.values()
    if tensor.is_complex():
        raise BadInput(f"The tensor holds {tensor.dtype}, not plain numbers.")
    return _row(tensor.double().numpy(), tuple(tensor.shape))


def _row(array: Any, shape: tuple[int, ...]) -> tuple[float, ...]:
    if array.size != max(shape, default=1):
        raise BadInput(f"The file holds an array of shape {shape}; it is to be one row of numbers.")
    return _checked(array.astype(float).reshape(-1).tolist())
