"""One feature against another: on how many tokens both fire, one or neither, where, and how alike their directions are.

With the stores all of it is exact over the build's tokens. Without, the overlap is known where the one is among the
other's kept partners, and texts are those of both features' examples, on which the model is run again: what a feature
does on the other's examples was not kept. Cost: a look at both features' entries; else a pass over some sixty prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core.atlas import vectors
from core.atlas.together import keeping
from core.atlas.together.coactivation import log10_p
from core.atlas.together.correlation import Stored, same_tokens
from core.atlas.together.mates import Company
from core.atlas.together.records import Apart, FeaturesCompared, Overlap
from core.errors import BadInput, NotAvailable, WorkbenchError
from core.kernel import F32
from core.records import FeatureKey, FeatureRecord, Tell, Token

if TYPE_CHECKING:
    from core.workbench import Workbench

SHOWN = 5
"""Texts of each kind."""
LOOKED = 32
"""Prompts of each feature's examples that are read where there is no store."""
KINDS = ("raw", "interval", "diverse", "random")
"""Examples in the order in which their prompts are taken: the strongest, then weaker ones."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A token, and what both features are worth all over its prompt."""

    prompt: int
    position: int
    values: tuple[F32, F32]


def features(bench: Workbench, company: Company, a: FeatureKey, b: FeatureKey, tell: Tell | None) -> FeaturesCompared:
    """Two features of one model and of sources that were built on the same texts.

    Raises:
        BadInput: they are one and the same, or of other models or texts.
        NotFound: there is no such feature.
    """
    if a == b:
        raise BadInput(f"{a} is compared with itself: name two features.")
    one, two = bench.feature(a), bench.feature(b)
    same_tokens(bench.catalog.entry(a.source), bench.catalog.entry(b.source))
    stores = company.stored(a.source), company.stored(b.source)
    overlap, why = None, ""
    if stores[0] is not None and stores[1] is not None:
        overlap = _overlap(stores[0], a.index, stores[1], b.index)
        places, exact = _stored_places(stores[0], a.index, stores[1], b.index), True
    else:
        overlap, why = _kept_overlap(company, one, two)
        places, exact = _read_places(bench, one, two, tell), False
    drawn = [[_drawn(bench, one, place) for place in some] for some in places]
    cosine, cosine_why = _cosine(bench, a, b)
    return FeaturesCompared(
        a=one, b=two, overlap=overlap, why=why, cosine=cosine, cosine_why=cosine_why, both=tuple(drawn[0]),
        only_a=tuple(drawn[1]), only_b=tuple(drawn[2]), exact=exact,
    )  # fmt: skip


# -- how many ----------------------------------------------------------------------------------------------------------


def _overlap(one: Stored, a: int, two: Stored, b: int) -> Overlap:
    at_a, values_a = one.of(a)
    at_b, values_b = two.of(b)
    _, in_a, in_b = np.intersect1d(at_a, at_b, assume_unique=True, return_indices=True)
    product = float((values_a[in_a].astype(np.float64) * values_b[in_b].astype(np.float64)).sum())
    spread = float(one.spread[a] * two.spread[b])
    r = (product / one.n - float(one.mean[a] * two.mean[b])) / spread if spread > 0 else None
    return _counts(len(in_a), len(at_a), len(at_b), one.n, r, live=True)


def _counts(both: int, a: int, b: int, n: int, r: float | None, *, live: bool) -> Overlap:
    return Overlap(
        both=both, only_a=a - both, only_b=b - both, neither=n - a - b + both, correlation=r,
        log10_p=log10_p(both, a, b, n), live=live,
    )  # fmt: skip


def _kept_overlap(company: Company, one: FeatureRecord, two: FeatureRecord) -> tuple[Overlap | None, str]:
    """What the kept lists of either say of the other."""
    said = ""
    for here, there in ((one, two), (two, one)):
        try:
            found = company.kept(here.key, there.key)
        except WorkbenchError as error:
            said = str(error)
            continue
        if found is not None:
            tokens = one.source.tokens
            return _counts(found.both, one.active, two.active, tokens, found.correlation, live=False), ""
    return None, said or (
        "Neither is among the other’s kept partners, and the sources were kept without their activation stores, so it "
        f"is not known on how many tokens both fire. Each feature’s {keeping.PARTNERS} best of a kind are kept."
    )


# -- where -------------------------------------------------------------------------------------------------------------


def _stored_places(one: Stored, a: int, two: Stored, b: int) -> tuple[list[_Place], list[_Place], list[_Place]]:
    """The strongest tokens of both, of `a` where `b` is silent, and the other way round; one of a prompt."""
    at, values = (one.of(a)[0], two.of(b)[0]), (one.of(a)[1], two.of(b)[1])
    mark = tuple(np.isin(at[n], at[1 - n], assume_unique=True) for n in (0, 1))
    sizes = [np.abs(v) / max(float(np.abs(v).max(initial=0)), 1e-30) for v in values]
    common = np.minimum(sizes[0][mark[0]], sizes[1][mark[1]])  # both are in order of tokens
    wanted = ((at[0][mark[0]], common), (at[0][~mark[0]], sizes[0][~mark[0]]), (at[1][~mark[1]], sizes[1][~mark[1]]))
    found = []
    for tokens, size in wanted:
        places: dict[int, _Place] = {}
        for n in np.argsort(-size, kind="stable").tolist():
            prompt = int(np.searchsorted(one.starts, int(tokens[n]), side="right")) - 1
            if prompt not in places:
                begin, end = int(one.starts[prompt]), int(one.starts[prompt + 1])
                rows = _within(one, a, begin, end), _within(two, b, begin, end)
                places[prompt] = _Place(prompt, int(tokens[n]) - begin, rows)
            if len(places) == SHOWN:
                break
        found.append(list(places.values()))
    return found[0], found[1], found[2]


def _within(store: Stored, feature: int, begin: int, end: int) -> F32:
    """A feature's values at the tokens of a prompt."""
    positions, values = store.of(feature)
    first, last = np.searchsorted(positions, [begin, end])
    row = np.zeros(end - begin, np.float32)
    row[positions[first:last].astype(np.int64) - begin] = values[first:last]
    return row


def _read_places(
    bench: Workbench, one: FeatureRecord, two: FeatureRecord, tell: Tell | None
) -> tuple[list[_Place], list[_Place], list[_Place]]:
    """The same on the prompts of both features' examples, with the values that the model gives on them now."""
    prompts: dict[int, None] = {}
    for record in (one, two):
        groups = sorted(record.groups, key=lambda group: KINDS.index(group.kind))
        examples = [example for group in groups for example in group.examples]
        own = dict.fromkeys(example.prompt for example in examples)
        prompts |= dict.fromkeys(list(own)[:LOOKED])
    try:
        values = _values(bench, one, two, list(prompts), tell)
    except WorkbenchError:  # its weights are not here: counts and histograms stand all the same
        return [], [], []
    bounds = [_bound(bench, record) for record in (one, two)]
    tops = [max(abs(record.maximum), abs(record.minimum)) or 1.0 for record in (one, two)]
    found: list[list[tuple[float, _Place]]] = [[], [], []]
    for prompt, rows in zip(prompts, values, strict=True):
        counts = np.array([not token.special for token in bench.prompt(one.key.source, prompt)])
        on = [counts & np.array([bound(float(v)) for v in row]) for row, bound in zip(rows, bounds, strict=True)]
        sizes = [np.abs(row) / top for row, top in zip(rows, tops, strict=True)]
        wanted = (
            (on[0] & on[1], np.minimum(*sizes)), (on[0] & ~on[1], sizes[0]), (~on[0] & on[1], sizes[1])
        )  # fmt: skip
        for places, (where, size) in zip(found, wanted, strict=True):
            if where.any():
                at = int(np.where(where, size, -1.0).argmax())
                places.append((float(size[at]), _Place(prompt, at, rows)))
    kept = [[place for _, place in sorted(some, key=lambda one: -one[0])[:SHOWN]] for some in found]
    return kept[0], kept[1], kept[2]


def _values(
    bench: Workbench, one: FeatureRecord, two: FeatureRecord, prompts: Sequence[int], tell: Tell | None
) -> list[tuple[F32, F32]]:
    """Both features' values on prompts of the build; runs the model on those that were not read lately."""
    model_id = one.key.model_id
    for record in (one, two):
        if "weights" not in record.source.has:
            raise NotAvailable(f"{record.key.source} was imported without its weights.")
    bench._model_slot(model_id).get()
    sources = list({record.key.source: record.source for record in (one, two)}.values())
    rows = [[token.id for token in bench.prompt(one.key.source, prompt)] for prompt in prompts]
    found = bench._codes(model_id, rows, sources, tell) if rows else []
    return [
        (
            codes[one.key.source].of(np.array([one.key.index]))[0],
            codes[two.key.source].of(np.array([two.key.index]))[0],
        )
        for codes in found
    ]


def _bound(bench: Workbench, record: FeatureRecord) -> Callable[[float], bool]:
    """Whether a value counts as active; of a dense source whether it is as far out as those that were kept."""
    if not record.source.signed:
        return lambda value: value > 0
    row = bench._open.get(bench.catalog.entry(record.key.source).folder).features.row(record.key.index)
    high = float(row["ranked"][-1]) if len(row["ranked"]) else np.inf
    low = float(row["ranked_low"][-1]) if len(row["ranked_low"]) else -np.inf
    return lambda value: value >= high or value <= low


def _drawn(bench: Workbench, record: FeatureRecord, place: _Place) -> Apart:
    tokens: tuple[Token, ...] = bench.prompt(record.key.source, place.prompt)
    row = bench._open.get(bench.catalog.entry(record.key.source).folder).prompt(place.prompt)
    values = tuple(tuple(float(v) for v in one) for one in place.values)
    return Apart(
        tokens=tokens, values=(values[0], values[1]), position=place.position, prompt=place.prompt,
        document=int(row["document"]),
    )  # fmt: skip


# -- how alike ---------------------------------------------------------------------------------------------------------


def _cosine(bench: Workbench, a: FeatureKey, b: FeatureKey) -> tuple[float | None, str]:
    """(cosine of what both write to the residual stream, why it is not known)."""
    try:
        rows = [vectors.written(bench, key.source)[key.index].astype(np.float64) for key in (a, b)]
    except WorkbenchError as error:
        return None, str(error)
    length = float(np.linalg.norm(rows[0]) * np.linalg.norm(rows[1]))
    return (float(rows[0] @ rows[1]) / length, "") if length > 0 else (None, "One of the two directions is zero.")
