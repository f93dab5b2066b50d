"""Target tokens as people write them: the text of one token with its leading space, or its id as `#287`.

What is no single token is refused with what it is made of. Imports no torch.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.errors import BadInput
from core.models.vocabulary import Vocabulary
from core.store.layout import SourceData
from core.techniques.circuits.records import NextToken

PROMPTS, USUAL = 200, 32
"""Prompts that are counted, and tokens that are remembered of them."""
_ID = re.compile(r"#([0-9]{1,9})")


def token_id(text: str, ids: Callable[[str], list[int]], vocabulary: Vocabulary) -> int:
    """The one token that is meant.

    Raises:
        BadInput: it is none, or several.
    """
    named = _ID.fullmatch(text.strip())
    if named and int(named[1]) < len(vocabulary):
        return int(named[1])
    if not text:
        raise BadInput("A target is empty: write the text of one token, with its leading space.")
    found = ids(text)
    if len(found) == 1:
        return found[0]
    shown = " ".join(f"“{token.text}”" for token in vocabulary.draw(found[:12]))
    first = vocabulary.draw(found[:1])[0].text if found else ""
    raise BadInput(
        f"“{text[:60]}” is {len(found)} tokens ({shown}): a target is one token, for example “{first}”."
        + ("" if text.startswith(" ") else " A leading space counts.")
    )


def written(id: int, vocabulary: Vocabulary, ids: Callable[[str], list[int]]) -> str:
    """A token so that `token_id` finds it: its text where that is enough, or its id."""
    text = vocabulary.draw([id])[0].text
    return text if text and not _ID.fullmatch(text.strip()) and ids(text) == [id] else f"#{id}"


def usual(data: SourceData) -> tuple[int, ...]:
    """The tokens of a build's first prompts, the most usual first."""
    counted: Counter[int] = Counter()
    for number in range(min(PROMPTS, len(data.starts) - 1)):
        counted.update(np.asarray(data.prompt(number)["tokens"]).tolist())
    return tuple(sorted(counted, key=lambda i: (-counted[i], i)))[:USUAL]


def next_tokens(
    logits: NDArray[np.floating[Any]], chosen: Sequence[int], vocabulary: Vocabulary
) -> tuple[NextToken, ...]:
    """Some tokens with what the model thinks of each, by the logits of all."""
    x = logits.astype(np.float64)
    chances = np.exp(x - x.max())
    chances /= chances.sum()
    return tuple(
        NextToken(vocabulary.draw([i])[0], float(x[i]), float(chances[i]), int((x > x[i]).sum()) + 1) for i in chosen
    )
