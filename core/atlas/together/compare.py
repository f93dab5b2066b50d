"""Sources side by side: densities on shared axes, concepts, matched pairs, and how well each is found in the others.

A feature's partner in another source is the one with the largest correlation of activations over the build's tokens,
if that reaches a threshold; a matched pair is one of which each is the other's best. All of it is read off the kept
lists (`core.atlas.together.keeping`), so a comparison is a few columns, whatever the sources' size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from core.atlas.together.correlation import same_tokens
from core.atlas.together.keeping import Best
from core.atlas.together.mates import Company
from core.atlas.together.records import (
    Concepts,
    Lonely,
    Matches,
    Matching,
    Pair,
    ReadSide,
    ReadTogether,
    SourcesCompared,
    SourceSide,
)
from core.errors import BadInput, WorkbenchError
from core.kernel import F64, I64, Bool
from core.records import FeatureKey, Histogram, LeftOut, SearchRecord, SourceKey, SourceRecord, Tell
from core.store.layout import SourceData

if TYPE_CHECKING:
    from core.explain.records import Brief
    from core.workbench import Workbench

BINS = 30
FEWEST, MOST = 2, 12
"""Sources of a comparison."""
OWN = 6
"""Lines that only one source has, of which so many are shown."""
LONELY = 8
"""Features without a partner that are shown of each side."""
HITS = 12
"""Features of a prompt that are shown of each source."""


def check(bench: Workbench, keys: Sequence[SourceKey], threshold: float) -> list[SourceRecord]:
    """The records of sources that can be compared.

    Raises:
        NotFound: there is no such source.
        BadInput: there are too few or too many, or they are not of the same tokens, or the threshold is none.
    """
    found = list(dict.fromkeys(keys))
    if not FEWEST <= len(found) <= MOST:
        raise BadInput(f"A comparison takes {FEWEST} to {MOST} different sources; here are {len(found)}.")
    if not 0 < threshold <= 1:
        raise BadInput("The threshold is a correlation, above 0 and at most 1.")
    entries = [bench.catalog.entry(key) for key in found]
    for one in entries[1:]:
        same_tokens(entries[0], one)
    return [bench.source(key) for key in found]


def sources(bench: Workbench, company: Company, keys: Sequence[SourceKey], threshold: float) -> SourcesCompared:
    """Some sources side by side; raises as `check`."""
    records = check(bench, keys, threshold)
    data = {record.key: _data(bench, record.key) for record in records}
    matrix: list[Matching] = []
    missing: list[LeftOut] = []
    for a in records:
        for b in records:
            try:
                matrix.append(_matching(company, a.key, b.key, data, threshold))
            except WorkbenchError as error:
                missing.append(LeftOut(key=a.key, why=str(error)))
    densities = _densities([_density(data[r.key], r.tokens) for r in records])
    sides = [
        SourceSide(source=record, densities=shape, concepts=_concepts(bench, company, record.key, data, threshold))
        for record, shape in zip(records, densities, strict=True)
    ]
    measured = {record.figures.dataset for record in records if record.figures}
    return SourcesCompared(
        sides=tuple(sides), threshold=threshold, matrix=tuple(matrix), missing=tuple(missing),
        can_make=bool(missing) and company.possible([r.key for r in records]), same_figures=len(measured) < 2,
    )  # fmt: skip


def matches(
    bench: Workbench, company: Company, a: SourceKey, b: SourceKey, threshold: float, *, top: int, offset: int
) -> Matches:
    """The matched pairs of two sources from `offset` on, and features without a partner.

    Raises what `check` does, and `NotAvailable` where nobody has compared them yet.
    """
    mine, its = check(bench, (a, b), threshold)
    data = {key: _data(bench, key) for key in (a, b)}
    there, back = company.best(a, b), company.best(b, a)
    partner = mutual(there, back) & (there.pearson >= threshold)
    order = np.flatnonzero(partner)
    order = order[np.lexsort((order, -there.pearson[order]))]
    active = {key: _active(one) for key, one in data.items()}
    pairs = tuple(
        Pair(
            a=_key(a, i), b=_key(b, int(there.index[i])), correlation=float(there.pearson[i]), both=int(there.both[i]),
            active_a=int(active[a][i]), active_b=int(active[b][there.index[i]]), label_a=_label(data[a], i),
            label_b=_label(data[b], int(there.index[i])),
        )
        for i in order[offset : offset + top].tolist()
    )  # fmt: skip
    lonely = [
        _lonely(key, other, data[key], best, active[key], source.tokens, threshold)
        for key, other, best, source in ((a, b, there, mine), (b, a, back, its))
    ]
    return Matches(
        a=a, b=b, threshold=threshold, total=len(order), offset=offset, pairs=pairs, alone_a=lonely[0][0],
        alone_b=lonely[1][0], lonely_a=lonely[0][1], lonely_b=lonely[1][1], tails=mine.signed or its.signed,
    )  # fmt: skip


def mutual(there: Best, back: Best) -> Bool:
    """Of each feature whether it is its best match's best match."""
    own = np.arange(len(there.index))
    return (there.index >= 0) & (back.index[np.maximum(there.index, 0)] == own)


def read(
    bench: Workbench, company: Company, keys: Sequence[SourceKey], text: str, tell: Tell | None = None
) -> ReadTogether:
    """One prompt in the codes of two sources or more, the most surprising features of each; the first two are matched.

    Raises what a search does.
    """
    records = check(bench, keys, 1.0)
    found = [
        bench.search(r.key.model_id, text, sources=[r.key], top=bench.settings.max_results, tell=tell) for r in records
    ]
    sides = []
    for n, record in enumerate(records):
        other = 1 if n == 0 else 0
        best = _known_best(company, record.key, records[other].key)
        sides.append(_read_side(record.key, found[n], records[other].key, best, found[other]))
    return ReadTogether(text=text, tokens=found[0].tokens, sides=tuple(sides))


def _read_side(
    key: SourceKey, record: SearchRecord, other: SourceKey, best: Best | None, its: SearchRecord
) -> ReadSide:
    there = {hit.key for hit in its.hits}
    partners: list[tuple[FeatureKey, float, bool] | None] = []
    for hit in record.hits[:HITS]:
        at = -1 if best is None else int(best.index[hit.key.index])
        if best is None or at < 0:
            partners.append(None)
            continue
        partner = _key(other, at)
        partners.append((partner, float(best.pearson[hit.key.index]), partner in there))
    return ReadSide(source=key, hits=record.hits[:HITS], total=record.total, partners=tuple(partners))


def _known_best(company: Company, a: SourceKey, b: SourceKey) -> Best | None:
    try:
        return company.best(a, b)
    except WorkbenchError:
        return None


def _matching(
    company: Company, a: SourceKey, b: SourceKey, data: dict[SourceKey, SourceData], threshold: float
) -> Matching:
    there = company.best(a, b)
    living = _active(data[a]) > 0
    best = np.where(there.index >= 0, there.pearson, 0.0)[living]
    pairs = 0
    if a != b:
        pairs = int((mutual(there, company.best(b, a)) & (there.pearson >= threshold)).sum())
    return Matching(
        a=a, b=b, mean=float(best.mean()) if len(best) else 0.0, mutual=pairs, living=len(best),
        share=float((best >= threshold).mean()) if len(best) else 0.0,
    )  # fmt: skip


def _lonely(
    key: SourceKey, other: SourceKey, data: SourceData, best: Best, active: I64, tokens: int, threshold: float
) -> tuple[int, tuple[Lonely, ...]]:
    alone = np.flatnonzero((active > 0) & ((best.index < 0) | (best.pearson < threshold)))
    first = alone[np.lexsort((alone, -active[alone]))][:LONELY]
    return len(alone), tuple(
        Lonely(
            feature=_key(key, i), label=_label(data, i), density=float(active[i]) / max(1, tokens),
            correlation=float(best.pearson[i]) if best.index[i] >= 0 else None,
            best=_key(other, int(best.index[i])) if best.index[i] >= 0 else None,
        )
        for i in first.tolist()
    )  # fmt: skip


def _densities(each: Sequence[F64]) -> list[Histogram]:
    """log10 densities of living features in bins that all sources share."""
    living = [np.log10(density[density > 0]) for density in each]
    whole = np.concatenate(living)
    low, high = (float(whole.min()), float(whole.max())) if len(whole) else (-1.0, 0.0)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [
        Histogram(low=low, high=high, counts=tuple(np.histogram(one, BINS, (low, high))[0].tolist())) for one in living
    ]


def _concepts(
    bench: Workbench, company: Company, key: SourceKey, data: dict[SourceKey, SourceData], threshold: float
) -> Concepts:
    """Kinds, and the best-scored rules of features that none of the others has."""
    rules = {brief.index: brief for brief in bench.words.briefs(key) if brief.origin == "data"}
    alone = _alone(company, key, data, threshold)
    own = sorted(
        ((_score(rules[i]), i) for i in (() if alone is None else alone.tolist()) if i in rules),
        key=lambda one: (-one[0], one[1]),
    )
    kinds = Counter(kind for kind, train, test in _kinds(bench, key) if train + test)  # of living features
    return Concepts(
        kinds=tuple(kinds.most_common()), lines=len({brief.text for brief in rules.values()}),
        alone=None if alone is None else len(alone),
        own=tuple((rules[i].text, _key(key, i), score) for score, i in own[:OWN]),
    )  # fmt: skip


def _alone(company: Company, key: SourceKey, data: dict[SourceKey, SourceData], threshold: float) -> I64 | None:
    """Living features without a partner in any of the other sources; None where that is not known."""
    alone = _active(data[key]) > 0
    for other in data:
        if other != key:
            best = _known_best(company, key, other)
            if best is None:
                return None
            alone &= (best.index < 0) | (best.pearson < threshold)
    return np.flatnonzero(alone)


def _score(brief: Brief) -> float:
    return brief.score if brief.score is not None and brief.score == brief.score else 0.0


def _kinds(bench: Workbench, key: SourceKey) -> list[tuple[str, int, int]]:
    columns = bench.words.rule_scores(key)
    if not columns:
        return []
    return list(zip(columns["kind"], columns["train_active"], columns["test_active"], strict=True))


def _data(bench: Workbench, key: SourceKey) -> SourceData:
    return bench._open.get(bench.catalog.entry(key).folder)


def _active(data: SourceData) -> I64:
    found: I64 = data.features.column("active").to_numpy().astype(np.int64)
    return found


def _density(data: SourceData, tokens: int) -> F64:
    return _active(data) / max(1, tokens)


def _label(data: SourceData, index: int) -> str:
    return str(data.features.column("label")[index].as_py())


def _key(source: SourceKey, index: int) -> FeatureKey:
    return FeatureKey(source.model_id, source.source_id, index)
