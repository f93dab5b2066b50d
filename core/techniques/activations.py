"""Everything that a source gives on some texts, as plain numbers.

Works on codes; no model is run here. What would not fit in an answer is refused before it is written out. Cost: a
Python tuple for every value that is not 0, some 150 bytes: of an SAE about its L0 a token, of neurons all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.errors import BadInput
from core.sources.codes import Codes, Dense

Entries = tuple[tuple[int, int, float], ...]
"""(feature, position, value), by feature and then by position."""


def activations(codes: Sequence[Codes], *, most: int) -> list[Entries]:
    """The entries of each text.

    Raises:
        BadInput: together they are more than `most`.
    """
    size = sum(np.count_nonzero(found.values) for found in codes)
    if size > most:
        raise BadInput(f"That is {size:,} values, and at most {most:,} are sent at once: send shorter or fewer texts.")
    return [_entries(found) for found in codes]


def _entries(codes: Codes) -> Entries:
    if isinstance(codes, Dense):
        features, positions = np.nonzero(codes.values.T)
        values = codes.values[positions, features]
    else:
        order = np.lexsort((codes.positions, codes.features))
        features, positions, values = codes.features[order], codes.positions[order], codes.values[order]
    return tuple(zip(features.tolist(), positions.tolist(), values.tolist(), strict=True))
