"""One feature on new texts: the value at every token.

Each text is run with BOS before it if the model has one, as the build's prompts were, and encoded with the feature's
source. The maximum leaves special tokens out, as the statistics do; for a signed source it is the value of largest
magnitude. Cost: what reading the texts costs (core.techniques.reading); none for a text that was read before.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from core.errors import BadInput
from core.models.loading import LoadedModel
from core.records import FeatureKey, TestRecord
from core.sources.codes import Codes


def test_feature(
    key: FeatureKey,
    texts: Sequence[str],
    rows: Sequence[Sequence[int]],
    codes: Sequence[Codes],
    model: LoadedModel,
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


def token_ids(model: LoadedModel, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, BOS first if the model has one.

    Raises:
        BadInput: a text has no tokens, or more than the model can read.
    """
    return [_ids(model, text, n, len(texts)) for n, text in enumerate(texts)]


def _ids(model: LoadedModel, text: str, n: int, of: int) -> list[int]:
    which = "The text" if of == 1 else f"Text {n + 1}"
    if not text.strip():
        raise BadInput(f"{which} is empty: write something to test the feature on.")
    try:
        ids = model.ids(text)
    except (TypeError, UnicodeError) as error:  # half of a surrogate pair, as JSON can carry it
        raise BadInput(f"{which} is not Unicode text: {error}") from error
    if not ids:
        raise BadInput(f"{which} is empty: {model.manifest.record.model_id}'s tokenizer makes no token of it.")
    if len(ids) > model.context:
        bos = "" if model.bos is None else " with BOS"
        raise BadInput(
            f"{which} is too long: it has {len(ids):,} tokens{bos}, and {model.manifest.record.model_id} "
            f"reads at most {model.context:,}. Shorten it or test it in parts."
        )
    return ids
