"""The two tests behind an annotation, on counts; both are exact or classical, and neither draws anything.

- Enrichment: is a category over-represented among a feature's active tokens? Fisher's exact test, one-sided: the upper
  tail of the hypergeometric distribution (R. A. Fisher, “The Design of Experiments”, 1935; as used for gene sets,
  Rivals et al., Bioinformatics 23, 2007). Corrected for many tests after Bonferroni: p times the number of categories
  of all attributes, whether the feature met them or not. Effect size: the log odds ratio with half a token added to
  each cell (Haldane 1956, Anscombe 1956).
- Association with the token held fixed: does a property go with the feature more than the tokens it likes explain?
  Cochran (1954), Mantel and Haenszel (1959): 2 × 2 tables, one for each token, added up; with Mantel and Haenszel's
  common odds ratio and a continuity correction.

Cost: a few logarithms of Γ and a short sum a test.
"""

from __future__ import annotations

import math

import numpy as np

from core.kernel import compiled, no_type_check

LN10 = math.log(10.0)


@compiled()
@no_type_check
def log_choose(n: int, k: int) -> float:
    """Natural logarithm of “n choose k”."""
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


@compiled()
@no_type_check
def log10_tail(seen: int, drawn: int, marked: int, total: int) -> float:
    """log10 of P(X ≥ `seen`), X of `drawn` tokens without replacement from `total`, of which `marked` count."""
    least = max(0, drawn + marked - total)
    if seen <= least:
        return 0.0
    if seen > min(drawn, marked):
        return -np.inf
    if seen <= drawn * marked / total:  # below the mean the lower tail is the short one
        below = 0.0
        term = math.exp(
            log_choose(marked, seen - 1) + log_choose(total - marked, drawn - seen + 1) - log_choose(total, drawn)
        )
        k = seen - 1
        while k >= least and term > below * 1e-17:
            below += term
            term *= k * (total - marked - drawn + k) / ((marked - k + 1.0) * (drawn - k + 1.0))
            k -= 1
        return math.log10(max(1.0 - below, 1e-300))
    first = log_choose(marked, seen) + log_choose(total - marked, drawn - seen) - log_choose(total, drawn)
    whole, term, k = 1.0, 1.0, seen
    while k < min(drawn, marked):
        term *= (marked - k) * (drawn - k) / ((k + 1.0) * (total - marked - drawn + k + 1.0))
        whole += term
        k += 1
        if term < whole * 1e-17:
            break
    return min(0.0, (first + math.log(whole)) / math.log(10.0))


def log10_normal_tail(z: float) -> float:
    """log10 of P(Z ≥ z) of the standard normal distribution, also where that is too small for a float."""
    if z < 30:
        return math.log10(max(0.5 * math.erfc(z / math.sqrt(2)), 1e-300))
    return (-z * z / 2 - math.log(z * math.sqrt(2 * math.pi))) / LN10  # its leading term: 1/z² off


@compiled()
@no_type_check
def stratum(both: float, active: float, marked: float, total: float, sums: np.ndarray) -> None:
    """Adds one token's table to `sums`: seen, expected, variance, and the two halves of the common odds ratio."""
    sums[0] += both
    sums[1] += active * marked / total
    if total > 1:
        sums[2] += active * (total - active) * marked * (total - marked) / (total * total * (total - 1))
    sums[3] += both * (total - active - marked + both) / total
    sums[4] += (active - both) * (marked - both) / total


def association(sums: np.ndarray) -> tuple[float, float]:
    """(common odds ratio, log10 p one-sided) of the tables in `sums`; (1, 0) where they say nothing."""
    seen, expected, variance, up, down = (float(x) for x in sums[:5])
    if variance <= 0:
        return 1.0, 0.0
    z = (seen - expected - 0.5) / math.sqrt(variance)
    return (up + 0.5) / (down + 0.5), log10_normal_tail(z) if z > 0 else 0.0
