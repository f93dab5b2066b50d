"""The features that are like one: nearest by a measure, over its own source, others of its model, or all.

- decoder: cosine of decoder rows in the residual stream (`core.sources.residual`), whatever layer wrote them.
- encoder: cosine of encoder rows as the stream sees them (`core.atlas.near.stream`).
- logits: cosine of effects on the logits, W_dec · W_U as the feature page has them, over the whole vocabulary; exact
  by the inner product W_U W_Uᵀ, so that no table of features and tokens is made. Of an import without its weights by
  the tokens that it lists (`core.atlas.near.listed`).
- explanation: of what is said of them, the cosine of the two sentences that are nearest (`core.explain.meaning`).
- correlation: of their activations on the build's tokens (`core.atlas.together.correlation`).

Rows are compared in one space only; a source with rows in another is left out, and it is said why. Each source comes
with what other features of the same source and random directions have there, since in few dimensions with many
features something is always near; by explanation beside pairs of features, since most sentences are a little alike.

Cost: a product with each source's rows; the first comparison of two sources 128 of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import numpy as np
from numpy.typing import NDArray

from core.atlas.near import facts
from core.atlas.near.records import By, Chance, Level, NeuronAnswer, SimilarHit, SimilarPlace, SimilarRecord
from core.errors import BadInput, NotAvailable, WorkbenchError
from core.records import FeatureKey, LeftOut, SourceKey, SourceRecord, Step, Tell

if TYPE_CHECKING:
    from core.atlas.door import Atlas
    from core.atlas.near import products
    from core.workbench import Workbench

YES, PARTLY = 0.7, 0.4
"""Cosines from which there is a neuron for a feature, and from which there may be one in part."""


def similar(
    bench: Workbench, atlas: Atlas, key: FeatureKey, *, by: By, sources: Sequence[SourceKey | str], top: int,
    chance: bool = True, tell: Tell | None = None,
) -> SimilarRecord:  # fmt: skip
    """See `core.atlas.door.Atlas.similar`."""
    if by not in get_args(By):
        raise BadInput(f"by is one of {', '.join(get_args(By))}; there is no “{by}”.")
    bench._bounds(top)
    bench._source_of(key)
    if by == "explanation":
        return by_explanation(bench, atlas, key, sources, top, chance, tell)
    if by == "correlation":
        return by_correlation(bench, atlas, key, sources, top, chance)
    if by == "logits" and "weights" not in bench.source(key.source).has:
        return _by_logits_of_an_import(bench, atlas, key, sources, top, chance, tell)
    return _by_rows(bench, atlas, key, by, sources, top, chance, tell)


def _by_rows(
    bench: Workbench, atlas: Atlas, key: FeatureKey, by: By, asked: Sequence[SourceKey | str], top: int,
    chance: bool, tell: Tell | None,
) -> SimilarRecord:  # fmt: skip
    from core.atlas.near import products

    if not facts.usable(bench.source(key.source), by) and by == "decoder":
        return _listed(bench, key, asked, top)
    chosen, lost = facts.sources(bench, key.model_id, asked, by)
    own = _space(bench, atlas, key.source, by, 0, len(chosen) + 1, tell)
    row = products.row_of(own, key)
    hits, places, neurons = [], [], []
    for n, record in enumerate(chosen):
        try:
            if record.key.model_id != key.model_id:
                raise NotAvailable(
                    f"{record.key.model_id} is another model: rows of different models are directions of different "
                    "spaces. Compare what they fire on."
                )
            there = own if record.key == key.source else _space(bench, atlas, record.key, by, n, len(chosen), tell)
            if (why := _apart(own, there, by)) is not None:
                raise NotAvailable(why)
        except WorkbenchError as error:
            if len(chosen) == 1:
                raise
            lost.append(LeftOut(key=record.key, why=str(error)))
            continue
        values = products.cosines(there, there.query(row))[0]
        here = products.nearest(values, top, key.index if there.key == key.source else None)
        found = [(float(values[at]), FeatureKey(key.model_id, record.key.source_id, int(at))) for at in here]
        others = atlas.spaces.chance(own, there, by) if chance else None
        hits += found
        first = facts.hit(bench, found[0][1], found[0][0]) if found else None
        places.append(
            SimilarPlace(
                key=record.key, kind=record.kind, best=first,
                chance=products.chance(*others) if others else None, note=_note(own, there, record),
            )
        )  # fmt: skip
        if record.kind == "neurons" and others and first:
            neurons.append((first, record.width, *others))
    answer = None
    if neurons and bench.source(key.source).kind != "neurons" and by in ("decoder", "encoder"):
        answer = _neuron(neurons)
    return SimilarRecord(
        key=key, by=by, hits=_first(bench, hits, top), places=tuple(places), neuron=answer, left_out=tuple(lost)
    )


def _space(
    bench: Workbench, atlas: Atlas, key: SourceKey, by: str, done: int, of: int, tell: Tell | None
) -> products.Space:
    if tell is not None and facts.loads(bench, bench.source(key)):
        tell(Step(doing="loading", what=str(key), done=done, of=of))
    return atlas.spaces.of(key, by)


def _apart(own: products.Space, there: products.Space, by: str) -> str | None:
    """Why two sources cannot be compared; None if they can."""
    if own.name == there.name and own.rows.shape[1] == there.rows.shape[1]:
        return None
    what = "encoder rows" if by == "encoder" else "decoder rows"
    return (
        f"The {what} of {own.key} have {own.rows.shape[1]} numbers at {own.name}, those of {there.key} "
        f"{there.rows.shape[1]} at {there.name}: these are different spaces."
    )


def _note(own: products.Space, there: products.Space, record: SourceRecord) -> str:
    """In a few words how the rows there differ from the feature's."""
    if there.note and there.note != own.note:
        return there.note
    return f"writes at {record.hook_out}" if record.kind == "transcoder" and record.hook_out else ""


def _first(bench: Workbench, found: list[tuple[float, FeatureKey]], top: int) -> tuple[SimilarHit, ...]:
    ordered = sorted(found, key=lambda one: (-one[0], one[1].source, one[1].index))[:top]
    return tuple(facts.hit(bench, key, value) for value, key in ordered)


def _neuron(
    found: list[tuple[SimilarHit, int, NDArray[np.float32], NDArray[np.float32]]]
) -> NeuronAnswer:
    """Over all sources of neurons: what a sample has is its best over all of them, too."""
    from core.atlas.near import products

    best = max((one[0] for one in found), key=lambda hit: hit.value)
    others = np.max(np.stack([one[2] for one in found]), 0)
    random = np.max(np.stack([one[3] for one in found]), 0)
    chance = products.chance(others, random)
    assert chance is not None
    level: Level = "partly" if best.value >= PARTLY and best.value > chance.high else "no"
    if best.value >= YES:
        level = "yes"
    return NeuronAnswer(best=best, neurons=sum(one[1] for one in found), chance=chance, level=level)


# -- without weights ---------------------------------------------------------------------------------------------------


def _by_logits_of_an_import(
    bench: Workbench, atlas: Atlas, key: FeatureKey, asked: Sequence[SourceKey | str], top: int, chance: bool,
    tell: Tell | None,
) -> SimilarRecord:  # fmt: skip
    """By the vectors that came along, where the model is here too; else by the tokens that the export lists."""
    from core.atlas.near.listed import by_lists

    if "vectors" in bench.source(key.source).has:
        try:
            return _by_rows(bench, atlas, key, "logits", asked, top, chance, tell)
        except NotAvailable:  # the model is not here, or what is asked for has no rows
            pass
    return by_lists(bench, key, asked, top, chance=chance)


def _listed(bench: Workbench, key: FeatureKey, asked: Sequence[SourceKey | str], top: int) -> SimilarRecord:
    """The nearest decoder rows of an import that has none, as far as its export lists them: of its own source."""
    own = bench.source(key.source)
    chosen = [bench.source(one) for one in dict.fromkeys(facts.named(key.model_id, one) for one in asked)]
    lost = [
        LeftOut(key=one.key, why=f"{own.key} was imported without its decoder rows, and its export lists its own only.")
        for one in chosen or bench.sources(model_id=key.model_id)
        if one.key != own.key
    ]
    near = bench.feature(key).neighbours if not chosen or own.key in {one.key for one in chosen} else ()
    if not near:
        from core.atlas import vectors

        vectors.decoder(bench, key.source)  # says what would do
    found = [(one.value, FeatureKey(key.model_id, key.source_id, one.index)) for one in near]
    hits = _first(bench, found, top)
    place = SimilarPlace(
        key=own.key, kind=own.kind, best=hits[0], chance=None, note="as its export lists them: it came without weights",
    )  # fmt: skip
    return SimilarRecord(key=key, by="decoder", hits=hits, places=(place,), left_out=tuple(lost))


def by_explanation(
    bench: Workbench, atlas: Atlas, key: FeatureKey, asked: Sequence[SourceKey | str], top: int, chance: bool,
    tell: Tell | None,
) -> SimilarRecord:  # fmt: skip
    """By what is said of the features; any model's may be compared."""
    from core.atlas.near.usual import alike, explained

    seeker = bench.words._seeker
    chosen, _ = facts.sources(bench, key.model_id, asked)
    if not asked:
        chosen = list(bench.sources(model_id=key.model_id))
    keys = {one.key for one in chosen} | {key.source}
    shelves = {shelf.key: shelf for shelf in seeker.ready(sorted(keys), patience=bench.settings.patience, tell=tell)}
    own = shelves[key.source]
    if own.kept is None or key.index not in explained(own):
        raise NotAvailable(f"Nothing has been said of {key} yet, so there is no explanation to compare.")
    hits, places, lost = [], [], []
    for record in chosen:
        shelf = shelves[record.key]
        if not len(shelf) or shelf.kept is None:
            lost.append(LeftOut(key=record.key, why=f"No feature of {record.key} has been explained."))
            continue
        (values,), indices = alike(own, shelf, np.array([key.index])), explained(shelf)
        found = [
            (float(values[at]), FeatureKey(record.key.model_id, record.key.source_id, int(indices[at])))
            for at in _largest(values, top)
        ]
        hits += found
        best = facts.hit(bench, found[0][1], found[0][0]) if found else None
        usual = atlas.usual.of(own, shelf, seeker.embedder.name) if chance else None
        places.append(SimilarPlace(key=record.key, kind=record.kind, best=best, chance=usual))
    return SimilarRecord(
        key=key, by="explanation", hits=_first(bench, hits, top), places=tuple(places), left_out=tuple(lost)
    )


def _largest(values: NDArray[np.float32], top: int) -> list[int]:
    order = np.argsort(-values, kind="stable")[:top]
    return [int(at) for at in order if np.isfinite(values[at])]


def by_correlation(
    bench: Workbench, atlas: Atlas, key: FeatureKey, asked: Sequence[SourceKey | str], top: int, chance: bool
) -> SimilarRecord:
    """By how their activations go together; source by source, so that each has its best."""
    chosen, _ = facts.sources(bench, key.model_id, asked)
    hits, places, lost = [], [], []
    for record in chosen if asked else bench.sources(model_id=key.model_id):
        try:
            found = atlas.correlated(key, [record.key], top)
            usual = _usual(atlas._company.strongest(key.source, record.key)) if chance else None
        except WorkbenchError as error:
            if len(asked) == 1:
                raise
            lost.append(LeftOut(key=record.key, why=str(error)))
            continue
        hits += [(one.value, one.feature) for one in found]
        best = facts.hit(bench, found[0].feature, found[0].value) if found else None
        places.append(SimilarPlace(key=record.key, kind=record.kind, best=best, chance=usual))
    if lost and not places:
        raise NotAvailable(lost[0].why)
    return SimilarRecord(
        key=key, by="correlation", hits=_first(bench, hits, top), places=tuple(places), left_out=tuple(lost)
    )


def _usual(best: NDArray[np.float64]) -> Chance | None:
    if not len(best):
        return None
    return Chance(median=float(np.median(best)), high=float(np.quantile(best, 0.95)), sample=len(best))
