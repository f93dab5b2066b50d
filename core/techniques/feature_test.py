"""One feature on new texts: the value at every token.

Each text is run with BOS before it if the model has one, as the build's prompts were, and encoded with the feature's
source. The maximum leaves special tokens out, as the statistics do; for a signed source it is the value of largest
magnitude. Cost: what reading the texts costs (core.techniques.reading); none for a text that was read before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.models.vocabulary import Reads
from core.records import FeatureKey, TestRecord
from core.sources.codes import Codes


def test_feature(
    key: FeatureKey,
    texts: Sequence[str],
    rows: Sequence[Sequence[int]],
    codes: Sequence[Codes],
    model: Reads,
    *,
    signed: bool,
) -> tuple[TestRecord, ...]:
    """The feature's values on each text, from the texts' token ids and their codes."""
    records = []
    for row, text, found in zip(rows, texts, codes, strict=True):
        values = found.of(np.array([key.index]))[0]
        tokens = model.vocabulary.draw(row)
        size = np.abs(values) if signed else values.copy()
        size[[t.special for t in tokens]] = -np.inf
        best = int(size.argmax())
        active = bool(size[best] > 0)
        records.append(
            TestRecord(
                key=key,
                text=text,
                tokens=tokens,
                values=tuple(values.tolist()),
                maximum=float(values[best]) if active else 0.0,
                position=best if active else None,
                bos=model.bos is not None,
            )
        )
    return tuple(records)


test_feature.__test__ = False  # type: ignore[attr-defined]  # the name is not pytest's
