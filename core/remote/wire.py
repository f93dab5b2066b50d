"""Codes on the wire: one NumPy archive (`.npz`) for some texts in some sources.

`about` is JSON in bytes: {"sources": [ids, in the order of their numbers], "texts": how many, "lost": {id: why}}.
Text t in source s is `t/s/shape`, `t/s/positions`, `t/s/features`, `t/s/values` (an SAE's non-zeros, by token and then
by feature; shape is tokens × width), or `t/s/dense` [tokens, width] of a dense source. Archives are read without
pickle. Cost: a copy of the numbers.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any
from zipfile import BadZipFile

import numpy as np

from core.errors import BadData, BadInput
from core.records import SourceKey
from core.sources.codes import Codes, Dense, Sparse

SPARSE = ("positions", "features", "values")
KINDS = {"positions": np.int32, "features": np.int32, "values": np.float32}


def pack(
    sources: Sequence[SourceKey], found: Sequence[Mapping[SourceKey, Codes]], lost: Mapping[SourceKey, str]
) -> bytes:
    """The archive."""
    about = {
        "sources": [str(key) for key in sources], "texts": len(found),
        "lost": {str(key): why for key, why in lost.items()},
    }  # fmt: skip
    arrays: dict[str, Any] = {"about": np.frombuffer(json.dumps(about).encode(), np.uint8)}
    for t, each in enumerate(found):
        for s, key in enumerate(sources):
            if key not in each:
                continue
            codes = each[key]
            if isinstance(codes, Dense):
                arrays[f"{t}/{s}/dense"] = codes.values
                continue
            arrays[f"{t}/{s}/shape"] = np.array([codes.tokens, codes.width], np.int64)
            arrays |= {f"{t}/{s}/{name}": getattr(codes, name) for name in SPARSE}
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    return file.getvalue()


def unpack(packed: bytes) -> tuple[list[dict[SourceKey, Codes]], dict[SourceKey, str]]:
    """(the codes of each text, why there are none of a source).

    Raises:
        BadData: it is no such archive, or what it holds cannot be true.
    """
    try:
        with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
            about = json.loads(archive["about"].tobytes())
            keys = [SourceKey.parse(name) for name in about["sources"]]
            found = [
                {key: _codes(archive, f"{t}/{s}") for s, key in enumerate(keys) if _is_there(archive, f"{t}/{s}")}
                for t in range(int(about["texts"]))
            ]
            return found, {SourceKey.parse(name): str(why) for name, why in about["lost"].items()}
    except (BadInput, BadZipFile, EOFError, KeyError, OSError, TypeError, ValueError) as error:
        raise BadData(f"The engine's answer is no archive of codes: {error}.") from error


def _is_there(archive: Any, place: str) -> bool:
    return f"{place}/dense" in archive or f"{place}/shape" in archive


def _codes(archive: Any, place: str) -> Codes:
    if f"{place}/dense" in archive:
        dense = archive[f"{place}/dense"]
        if dense.ndim != 2 or dense.dtype != np.float32:
            raise ValueError(f"{place}/dense is {dense.dtype} {dense.shape}")
        return Dense(dense)
    tokens, width = (int(n) for n in archive[f"{place}/shape"])
    parts = {name: archive[f"{place}/{name}"] for name in SPARSE}
    for name, part in parts.items():
        if part.dtype != KINDS[name] or part.shape != parts["values"].shape or part.ndim != 1:
            raise ValueError(f"{place}/{name} is {part.dtype} {part.shape}")
    for name, end in (("positions", tokens), ("features", width)):
        if len(parts[name]) and not (0 <= int(parts[name].min()) and int(parts[name].max()) < end):
            raise ValueError(f"{place}/{name} leaves its bounds")
    return Sparse(tokens, width, **parts)
