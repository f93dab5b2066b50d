"""Several features read as one: the weighted mean of their activations, each in parts of its own maximum.

For features i with weights w and maxima m, token t has Σ wᵢ·aᵢ(t)/mᵢ ÷ Σ|wᵢ|: 1 where all fire at their strongest
(those of negative weight the other way), 0 where none does. Features have scales of their own, so that a plain sum
would be the largest one's alone. The same weights steer, where a list is pushed as one. Cost: a multiplication a token
and feature.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import BadInput
from core.records import TestRecord


def together(tests: Sequence[TestRecord], weights: Sequence[float], maxima: Sequence[float]) -> tuple[float, ...]:
    """A value a token of the text that the `tests` share; a feature without a maximum counts for nothing.

    Raises:
        BadInput: the tests are not of one text.
    """
    if len({test.text for test in tests}) > 1 or len({len(test.values) for test in tests}) > 1:
        raise BadInput("These are tests of several texts: features are read as one on one text.")
    parts = [(test.values, weight, top) for test, weight, top in zip(tests, weights, maxima, strict=True) if top > 0]
    whole = sum(abs(weight) for _, weight, _ in parts)
    if not parts or not whole:
        return (0.0,) * (len(tests[0].values) if tests else 0)
    places = range(len(parts[0][0]))
    return tuple(sum(weight * values[t] / top for values, weight, top in parts) / whole for t in places)
