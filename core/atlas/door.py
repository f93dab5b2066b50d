"""Features seen together, the one door: `Workbench.atlas`. Each job is a module of its own, loaded when asked for.

Nothing here imports torch; jobs that need weights do, on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from core.records import FeatureKey, Records, SourceKey, SourceRecord, Tell

if TYPE_CHECKING:
    from pathlib import Path

    from core.atlas.map.maps import Maps
    from core.atlas.map.pack import Packer
    from core.atlas.map.records import MapRecord, Of
    from core.atlas.near.products import Spaces
    from core.atlas.near.records import (
        By,
        ChainRecord,
        FamilyRecord,
        GlanceRecord,
        RowRecord,
        Side,
        SimilarRecord,
        SplittingRecord,
        WiringRecord,
    )
    from core.atlas.near.usual import Usual
    from core.atlas.together.mates import Company
    from core.atlas.together.records import FeaturesCompared, Matches, Near, ReadTogether, SourcesCompared, Together
    from core.atlas.universal.keeping import Universals
    from core.atlas.universal.records import By as Order
    from core.atlas.universal.records import Match, MatchesRecord, UniversalRecord
    from core.workbench import Progress, Workbench


class Atlas:
    """What features are to each other."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    # -- the like ones -------------------------------------------------------------------------------------------------

    def similar(
        self, key: FeatureKey | str, *, by: By = "decoder", sources: Sequence[SourceKey | str] = (), top: int = 20,
        chance: bool = True, tell: Tell | None = None,
    ) -> SimilarRecord:  # fmt: skip
        """The features that are like one, the nearest first; see `core.atlas.near.similar`.

        Over all sources of its model, or some, as `2-res` or `<model>/2-res`. `chance`: beside each source what other
        features have there, and random directions (by explanation, pairs of features). `tell` gets each source that is
        loaded.

        Raises:
            BadInput: there is no such measure, a number is out of bounds, or the feature has a row of zeros.
            NotFound: there is no such feature or source.
            NotAvailable: what the measure needs (weights, explanations, a store) is not here; of several sources those
                that cannot be compared are left out, and the record says why.
        """
        from core.atlas.near.similar import similar

        return similar(
            self._bench, self, _feature(key), by=by, sources=sources, top=top, chance=chance, tell=tell
        )

    def glance(self, key: FeatureKey | str, top: int = 12) -> GlanceRecord | None:
        """The nearest decoder rows in other sources from a table made beforehand, without weights; None without one."""
        from core.atlas.near.tables import glance

        return glance(self._bench, _feature(key), top)

    def make_near(self, model_id: str, *, tell: Progress | None = None) -> dict[SourceKey, Path]:
        """Makes the tables that `glance` reads, for every source of a model; see `core.atlas.near.tables`."""
        from core.atlas.near.tables import make

        return make(self._bench, self, model_id, tell=tell)

    def near_after_build(self, model_id: str, tell: Progress | None = None) -> None:
        """Makes them where that is quick and of use; what cannot be made is left out, since the build stands."""
        from core.atlas.near.tables import after_build

        after_build(self._bench, self, model_id, tell)

    def chain(
        self, key: FeatureKey | str, *, by: By = "decoder", threshold: float = 0.5, tell: Tell | None = None
    ) -> ChainRecord:
        """A feature through the layers of its set, by mutual best matches; see `core.atlas.near.chains`.

        Raises what `similar` does.
        """
        from core.atlas.near.chains import chain

        return chain(self._bench, self, _feature(key), by=by, threshold=threshold, tell=tell)

    def family(
        self, key: FeatureKey | str, *, threshold: float = 0.7, sources: Sequence[SourceKey | str] = (),
        tell: Tell | None = None,
    ) -> FamilyRecord:  # fmt: skip
        """Near-duplicates of a feature, and what it splits into in other sources; see `core.atlas.near.families`.

        Over all SAEs and transcoders of its model, or some sources. Raises what `similar` does.
        """
        from core.atlas.near.families import family

        return family(self._bench, self, _feature(key), threshold=threshold, sources=sources, tell=tell)

    def splitting(
        self, narrow: SourceKey | str, wide: SourceKey | str, *, threshold: float = 0.7, living: bool = True,
        top: int = 25, offset: int = 0, tell: Tell | None = None,
    ) -> SplittingRecord:  # fmt: skip
        """Which features of a narrow source split into which of a wider one; see `core.atlas.near.splitting`.

        `top` of the narrow ones, those with the most children first. If the second is the narrower one they change
        places. `living`: without features that no text of the build activates.

        Raises:
            BadInput: they are one source or of two models or spaces, or a number is out of bounds.
            NotFound: there is no such source.
            NotAvailable: weights are not here, or no feature is alive.
        """
        from core.atlas.near.splitting import splitting

        return splitting(
            self._bench, self, _keys(narrow)[0], _keys(wide)[0], threshold=threshold, living=living, top=top,
            offset=offset, tell=tell,
        )  # fmt: skip

    def widths(self, key: SourceKey | str) -> Records[SourceRecord]:
        """The sources of other widths over the same hook, itself among them, narrow ones first; empty without."""
        from core.atlas.near.splitting import widths

        return Records(widths(self._bench, _keys(key)[0]))

    def wiring(self, key: FeatureKey | str, *, top: int = 5, tell: Tell | None = None) -> WiringRecord:
        """What writes into what a feature reads, and what reads what it writes; see `core.atlas.near.wiring`.

        `top` of each other source. Raises what `similar` does.
        """
        from core.atlas.near.wiring import wiring

        return wiring(self._bench, self, _feature(key), top=top, tell=tell)

    def row(self, key: FeatureKey | str, side: Side = "decoder") -> RowRecord:
        """A feature's decoder row or encoder row, as on disk; raises what `similar` does."""
        from core.atlas.near.rows import row

        return row(self._bench, _feature(key), side)

    @cached_property
    def spaces(self) -> Spaces:
        """Rows of sources in a measure, and what chance gives between them."""
        from core.atlas.near.products import Spaces

        return Spaces(self._bench)

    @cached_property
    def usual(self) -> Usual:
        """What chance gives between the explanations of two sources."""
        from core.atlas.near.usual import Usual

        return Usual()

    # -- maps ----------------------------------------------------------------------------------------------------------

    def map(
        self, sources: Sequence[SourceKey | str] | SourceKey | str, *, of: Of = "decoder", seed: int = 0,
        anew: bool = False, tell: Tell | None = None,
    ) -> MapRecord:  # fmt: skip
        """The map of one source or of several together, made if it was not yet; see `core.atlas.map.maps`.

        `of`: whether decoder directions or explanations that are alike lie together. `anew` makes it in any case.

        Raises:
            BadInput: it is of nothing, or of directions of several models.
            NotFound: there is no such source.
            NotAvailable: weights, explanations or the embedder are not here, or nothing can be written.
        """
        return self.maps.made(_keys(sources), of, seed=seed, anew=anew, tell=tell)

    def map_here(
        self, sources: Sequence[SourceKey | str] | SourceKey | str, *, of: Of = "decoder", seed: int = 0
    ) -> MapRecord | None:
        """The same if it was made already, or None; raises `NotFound` and `BadInput` as `map` does."""
        return self.maps.found(_keys(sources), of, seed=seed)

    @cached_property
    def maps(self) -> Maps:
        """All maps."""
        from core.atlas.map.maps import Maps

        return Maps(self._bench)

    @cached_property
    def packed(self) -> Packer:
        """Maps as bytes, for a browser."""
        from core.atlas.map.pack import Packer

        return Packer(self._bench)

    def map_points(self, record: MapRecord) -> list[dict[str, Any]]:
        """A map's points as `POST /api/umap` gives them; see `core.interchange.umap`."""
        from core.atlas.map.pack import described
        from core.interchange.umap import points

        return points(record, *described(self._bench, record))

    def map_about(self, record: MapRecord) -> tuple[str, ...]:
        """How a map was made, in sentences."""
        from core.atlas.map.pack import about

        return about(record)

    def map_script(self) -> str:
        """The script that draws maps in a browser."""
        from core.atlas.map.pack import script

        return script()

    def map_style(self) -> str:
        """The style sheet of what it draws."""
        from core.atlas.map.pack import style

        return style()

    def map_file(self, record: MapRecord) -> str:
        """A map as one interactive HTML file that needs nothing else."""
        from core.atlas.map.pack import about, title, to_html

        return to_html(self.packed(record), title(record), about(record))

    # -- together and compared -----------------------------------------------------------------------------------------

    def correlated(
        self, key: FeatureKey | str, sources: Sequence[SourceKey | str] | SourceKey | str = (), top: int = 10
    ) -> Records[Near]:
        """The features whose activations correlate most with this one's, over all of some sources, or its own.

        Exact from the stores; without them each source's kept best. Of dense sources it is the values in the tails
        that correlate; see `core.atlas.together.correlation`.

        Raises:
            NotFound: there is no such feature or source.
            BadInput: a source is of another model or was built on other texts.
            NotAvailable: a source has neither its store nor what was kept of it.
        """
        feature = _feature(key)
        self._bench._bounds(top)
        return self._company.correlated(feature, _keys(sources) or [feature.source], top)

    def together(
        self, key: FeatureKey | str, sources: Sequence[SourceKey | str] | SourceKey | str = (), *, window: int = 0,
        top: int = 8, kept: bool = False,
    ) -> Together:  # fmt: skip
        """What fires together with a feature and what never does although it might, by source; all of its model.

        `window`: tokens on either side in which another counts as near, which takes the stores. `kept`: only what was
        kept, which costs a few milliseconds. Raises what `correlated` does of sources that are named; others are left
        out, with the reason.
        """
        feature = _feature(key)
        self._bench._bounds(top)
        named = _keys(sources)
        its = named or [source.key for source in self._bench.sources(model_id=feature.model_id)]
        return self._company.of(feature, its, window, top, strict=bool(named), kept=kept)

    def relate(
        self, sources: Sequence[SourceKey | str] | SourceKey | str,
        tell: Callable[[str, float, float], None] | None = None,
    ) -> int:  # fmt: skip
        """Makes and keeps who fires with whom of all pairs of some sources, from their stores; a build does it itself.

        Gives how many pairs were to be done. `tell` gets (what, done, of) pairs. Raises what `correlated` does, and
        `NotAvailable` also where nothing can be written.
        """
        return self._company.make(_keys(sources), tell or (lambda what, done, of: None))

    def compare(self, sources: Sequence[SourceKey | str], *, threshold: float = 0.5) -> SourcesCompared:
        """Two or more sources side by side; see `core.atlas.together.compare`. Raises `NotFound` and `BadInput`."""
        from core.atlas.together import compare

        return compare.sources(self._bench, self._company, _keys(sources), threshold)

    def matches(
        self, a: SourceKey | str, b: SourceKey | str, *, threshold: float = 0.5, top: int = 25, offset: int = 0
    ) -> Matches:
        """The matched pairs of two sources, and features without a partner.

        Raises what `compare` does, and `NotAvailable` where nobody has related them yet.
        """
        from core.atlas.together import compare

        self._bench._bounds(top, offset)
        one, two = _keys([a, b])
        return compare.matches(self._bench, self._company, one, two, threshold, top=top, offset=offset)

    def read(self, sources: Sequence[SourceKey | str], text: str, *, tell: Tell | None = None) -> ReadTogether:
        """One prompt in the codes of some sources, side by side. Raises what `Workbench.search` and `compare` do."""
        from core.atlas.together import compare

        return compare.read(self._bench, self._company, _keys(sources), text, tell)

    def versus(self, a: FeatureKey | str, b: FeatureKey | str, *, tell: Tell | None = None) -> FeaturesCompared:
        """One feature against another; see `core.atlas.together.versus`.

        Raises:
            NotFound: there is no such feature.
            BadInput: they are the same, or of other models or texts.
        """
        from core.atlas.together import versus

        return versus.features(self._bench, self._company, _feature(a), _feature(b), tell)

    # -- other models --------------------------------------------------------------------------------------------------

    @cached_property
    def universals(self) -> Universals:
        """What features have in common with other models', kept and made; see `core.atlas.universal.matching`."""
        from core.atlas.universal.keeping import Universals

        return Universals(self._bench)

    def universal(self, key: FeatureKey | str) -> Records[Match]:
        """A feature's best match in each source of other models, with what chance makes of it; the best first.

        Empty where nobody has compared the models. Raises `NotFound`.
        """
        return self.universals.of(_feature(key))

    def universal_source(self, key: SourceKey | str) -> Records[UniversalRecord]:
        """How many features of a source are universal, a record for each other model; raises `NotFound`."""
        return self.universals.records(*_keys(key))

    def universal_matches(
        self, key: SourceKey | str, other: SourceKey | str, *, by: Order = "value", mutual: bool = False,
        beyond: bool = True, top: int = 25, offset: int = 0,
    ) -> MatchesRecord:  # fmt: skip
        """The best matches of a source's features in another model's source, in the order of `by`.

        `value`, its `margin` over the bound, what it is better by than the best single token (`words`), or the
        feature's own `index`. `mutual`: only those that are each other's best; `beyond`: only those above the bound.

        Raises:
            BadInput: there is no such order, a number is out of bounds, or both are of one model.
            NotFound: there is no such source.
            NotAvailable: nobody has compared the two yet.
        """
        one, two = _keys([key, other])
        return self.universals.matches(one, two, by=by, mutual=mutual, beyond=beyond, top=top, offset=offset)

    def make_universal(
        self, first: str | SourceKey | Sequence[SourceKey | str], second: str | SourceKey | Sequence[SourceKey | str],
        *, draws: int = 10, seed: int = 0, tell: Callable[[float, float], None] | None = None,
    ) -> dict[SourceKey, Path]:  # fmt: skip
        """Compares two models, each a model's id (all its sparse sources with a store) or some sources of it.

        `draws`: texts shifted against each other, for what chance gives. `tell` gets (done, of).

        Raises:
            BadInput: it is one model, sources of one model were built on different texts, or `draws` will not do.
            NotFound: there is no such model or source.
            NotAvailable: there is no store, no text in common, or nothing can be written.
        """
        return self.universals.make(first, second, draws=draws, seed=seed, tell=tell)

    @cached_property
    def _company(self) -> Company:
        from core.atlas.together.mates import Company

        return Company(self._bench)


def _keys(sources: Sequence[SourceKey | str] | SourceKey | str) -> list[SourceKey]:
    each = [sources] if isinstance(sources, SourceKey | str) else sources
    return [one if isinstance(one, SourceKey) else SourceKey.parse(one) for one in each]


def _feature(key: FeatureKey | str) -> FeatureKey:
    return key if isinstance(key, FeatureKey) else FeatureKey.parse(key)
