"""One feature on new texts: the value at every token.

Each text is run with BOS before it if the model has one, as the build's prompts were, and encoded with the feature's
source. The maximum leaves special tokens out, as the statistics do; for a signed source it is the value of largest
magnitude. Cost: one forward pass to the source's layer for all texts together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from core.errors import BadInput
from core.models.capture import capture, pad
from core.models.loading import LoadedModel
from core.records import FeatureKey, TestRecord
from core.sources.dictionary import Dictionary


def test_feature(
    key: FeatureKey, texts: Sequence[str], model: LoadedModel, source: Dictionary
) -> tuple[TestRecord, ...]:
    """The feature's values on each text.

    Raises:
        BadInput: a text has no tokens, or more than the model can read.
    """
    rows = [_ids(model, text, n, len(texts)) for n, text in enumerate(texts)]
    hidden = capture(model, pad(rows), [source.hook])[source.hook]
    records = []
    for row, text, x in zip(rows, texts, hidden, strict=True):
        values = source.encode(x[: len(row)])[:, key.index].cpu()
        tokens = model.vocabulary.draw(row)
        special = torch.tensor([t.special for t in tokens])
        size = values.abs() if source.signed else values
        size = size.masked_fill(special, -torch.inf)
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
