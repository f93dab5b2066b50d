"""Small figures from counts, which drawing and reading need without compiled loops."""

from __future__ import annotations

import math

Z = 1.959963984540054
"""95 % of the standard normal distribution lie within ± this."""


def log_odds(seen: int, drawn: int, marked: int, total: int) -> float:
    """The log odds ratio (natural) of being marked, inside and outside of what was drawn; half a token in each cell."""
    return math.log(
        (seen + 0.5) * (total - marked - drawn + seen + 0.5) / ((drawn - seen + 0.5) * (marked - seen + 0.5))
    )


def interval(hit: int, active: int, left: int, rest: int) -> tuple[float, float]:
    """95 % interval of the mean of two shares, `hit` of `active` and `left` of `rest`; NaN where one is of nothing.

    Wilson's intervals of the two, put together after Newcombe (Statistics in Medicine 17, 1998).
    """
    if not active or not rest:
        return math.nan, math.nan
    (p, pl, pu), (q, ql, qu) = _wilson(hit, active), _wilson(left, rest)
    return (p + q) / 2 - math.hypot(p - pl, q - ql) / 2, (p + q) / 2 + math.hypot(pu - p, qu - q) / 2


def share_interval(hit: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; NaN of nothing."""
    return _wilson(hit, of)[1:] if of else (math.nan, math.nan)


def _wilson(k: int, n: int) -> tuple[float, float, float]:
    """(share, low, high)."""
    p = k / n
    middle, half = p + Z * Z / (2 * n), Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    return p, (middle - half) / (1 + Z * Z / n), (middle + half) / (1 + Z * Z / n)


def p_words(log10_p: float) -> str:
    """A corrected p as text."""
    if log10_p < -300:
        return "p < 1e-300"
    if log10_p < -4:
        return f"p = 1e{log10_p:.0f}"
    return f"p = {10.0**log10_p:.2g}"
