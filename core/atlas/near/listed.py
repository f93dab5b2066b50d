"""Features by the tokens that they promote and suppress, where that is all there is: an import without its weights.

An export lists of each feature's logit effects, W_dec · W_U, the ten or so largest and smallest. Taken as vectors over
tokens, with zero for what is not listed, two features have a cosine. It is no estimate of that of the whole effects:
of two lists without a token in common it is 0, whatever the rest is like. What is high says that both promote and
suppress the same tokens first; beside each source stands what other features have there. Tokens are compared by their
bytes, since an import has a vocabulary of its own, so built and imported sources are compared alike.

Cost: four columns of a source's table, read once, and a sparse product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from core.atlas.near import facts
from core.atlas.near.records import Chance, SimilarPlace, SimilarRecord
from core.errors import NotAvailable, WorkbenchError
from core.records import FeatureKey, LeftOut, SourceKey

if TYPE_CHECKING:
    from core.workbench import Workbench

OTHERS = 64
"""Other features that say what is usual."""
NOTE = "by the tokens that are listed first and last"

F32 = NDArray[np.float32]


class Lists:
    """The listed effects of a source's features, as unit rows over its tokens."""

    def __init__(self, bench: Workbench, key: SourceKey) -> None:
        entry = bench.catalog.entry(key)
        features, self.key = bench._open.get(entry.folder).features, key
        rows, ids, values = [], [], []
        for end in ("top", "bottom"):
            found = features.column(f"{end}_ids").combine_chunks()
            counts = found.value_lengths().fill_null(0).to_numpy()
            rows.append(np.repeat(np.arange(len(counts)), counts))
            ids.append(found.flatten().to_numpy())
            values.append(features.column(f"{end}_values").combine_chunks().flatten().to_numpy())
        self.pieces = bench._vocabulary_of(entry).pieces
        shape = (len(features.column("top_ids")), len(self.pieces))
        made = csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(ids))), shape, np.float32)
        lengths = np.sqrt(np.asarray(made.multiply(made).sum(axis=1)).reshape(-1))
        self.rows = csr_array(made.multiply(1 / np.maximum(lengths, 1e-12)[:, None]))

    def has(self, index: int) -> bool:
        """Whether anything is listed of a feature."""
        return bool(self.rows.indptr[index + 1] > self.rows.indptr[index])

    def over(self, there: Lists, indices: Sequence[int]) -> F32:
        """[tokens there, m]: rows of some features over another source's tokens; what it lacks is left out."""
        made = np.zeros((len(there.pieces), len(indices)), np.float32)
        place = None if there is self else {piece: n for n, piece in enumerate(there.pieces)}
        for column, index in enumerate(indices):
            its = slice(*self.rows.indptr[index : index + 2])
            for id, value in zip(self.rows.indices[its], self.rows.data[its], strict=True):
                at = id if place is None else place.get(self.pieces[id])
                if at is not None:
                    made[at, column] = value
        return made


def by_lists(
    bench: Workbench, key: FeatureKey, asked: Sequence[SourceKey | str], top: int, *, chance: bool
) -> SimilarRecord:
    """See `core.atlas.near.similar`; `by` is logits.

    Raises:
        NotAvailable: no tokens are listed of the feature.
    """
    own = Lists(bench, key.source)
    if not own.has(key.index):
        raise NotAvailable(f"The export of {key.source} lists no tokens that {key} promotes.")
    chosen = [bench.source(one) for one in dict.fromkeys(facts.named(key.model_id, one) for one in asked)]
    hits: list[tuple[float, FeatureKey]] = []
    places, lost = [], []
    for record in chosen or bench.sources(model_id=key.model_id):
        try:
            there = own if record.key == key.source else Lists(bench, record.key)
        except WorkbenchError as error:
            lost.append(LeftOut(key=record.key, why=str(error)))
            continue
        if not there.rows.nnz:
            lost.append(LeftOut(key=record.key, why=f"Nothing says which tokens the features of {record.key} promote."))
            continue
        found = _nearest(own, there, key, top)
        hits += found
        first = facts.hit(bench, found[0][1], found[0][0]) if found else None
        usual = _usual(own, there, key) if chance else None
        places.append(SimilarPlace(key=record.key, kind=record.kind, best=first, chance=usual, note=NOTE))
    ordered = sorted(hits, key=lambda one: (-one[0], one[1].source, one[1].index))[:top]
    shown = tuple(facts.hit(bench, one, value) for value, one in ordered)
    return SimilarRecord(key=key, by="logits", hits=shown, places=tuple(places), left_out=tuple(lost))


def _nearest(own: Lists, there: Lists, key: FeatureKey, top: int) -> list[tuple[float, FeatureKey]]:
    values = there.rows @ own.over(there, [key.index])[:, 0]
    if there is own:
        values[key.index] = 0
    order = np.argsort(-values, kind="stable")[:top]
    return [
        (float(values[at]), FeatureKey(there.key.model_id, there.key.source_id, int(at)))
        for at in order
        if values[at] > 0
    ]


def _usual(own: Lists, there: Lists, key: FeatureKey) -> Chance | None:
    """The best value that other features of its source have there."""
    drawn = np.random.default_rng(0).permutation(own.rows.shape[0])[:OTHERS]
    others = [int(index) for index in np.sort(drawn) if index != key.index and own.has(int(index))]
    if not others:
        return None
    values = there.rows @ own.over(there, others)
    if there is own:
        values[others, np.arange(len(others))] = 0
    best = values.max(axis=0)
    return Chance(median=float(np.median(best)), high=float(np.quantile(best, 0.95)), sample=len(others))
