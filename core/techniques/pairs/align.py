"""Which token of one prompt stands for which of another.

Two prompts of as many tokens are aligned position by position. Of others, what is the same in both is aligned as
`difflib` finds it, what stands between by position where it is as long in both, and not at all where it is not: those
tokens have no counterpart, so nothing can be patched there. The first tokens (BOS) and the last, where the target is
read, always stand for each other. Cost: that of `difflib`, quadratic in the tokens at worst. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

from core.techniques.pairs.records import Alignment


def align(clean: Sequence[int], corrupted: Sequence[int]) -> Alignment:
    """The alignment of two prompts' token ids; neither is empty."""
    exact = len(clean) == len(corrupted)
    pairs = [(n, n) for n in range(len(clean))] if exact else _matched(clean, corrupted)
    held = [{a for a, _ in pairs}, {b for _, b in pairs}]
    return Alignment(
        pairs=tuple(pairs),
        clean_only=tuple(n for n in range(len(clean)) if n not in held[0]),
        corrupted_only=tuple(n for n in range(len(corrupted)) if n not in held[1]),
        exact=exact,
    )


def _matched(clean: Sequence[int], corrupted: Sequence[int]) -> list[tuple[int, int]]:
    """Both without their ends: the ends stand for each other."""
    ends = (len(clean) - 1, len(corrupted) - 1)
    if not all(ends):
        return [ends]  # of a single token nothing but the last
    a, b = clean[1:-1], corrupted[1:-1]
    found = [(0, 0)]
    for _, first, last, begin, end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if last - first == end - begin:  # the same, or replaced by as many
            found += [(first + n + 1, begin + n + 1) for n in range(last - first)]
    return [*found, ends]
