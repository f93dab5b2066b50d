"""The one front door: pages, API, embeds, command line and notebooks all call this and get the same records.

A method a job. Opening a workbench and browsing touch no tensor and import no torch; the jobs that run a model import
it on first need and keep model and weights in the process (`core.models.pool`).
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from core.attributor import Attributor
from core.catalog.catalog import Catalog, Entry
from core.catalog.manifest import ModelManifest, ModelSpec
from core.catalog.resolve import resolve
from core.errors import BadData, BadInput, NotAvailable, NotFound, WorkbenchError
from core.models.pool import Pool, Slot
from core.models.vocabulary import Reads, Vocabulary
from core.records import (
    ActivationsRecord,
    BuildReport,
    ByTokenRecord,
    Combine,
    ContrastRecord,
    DfaRecord,
    FeatureKey,
    FeatureRecord,
    Figures,
    Histogram,
    LeftOut,
    Measure,
    ModelRecord,
    Preset,
    Push,
    Records,
    ReleaseRecord,
    Resident,
    SearchRecord,
    ServerRecord,
    SourceKey,
    SourceRecord,
    SteerAsk,
    SteerRecord,
    Step,
    SubstitutionRecord,
    SweepRecord,
    Tell,
    TestRecord,
    Token,
    VectorRecord,
)
from core.settings import Settings
from core.steerer import Steerer, is_vector_key
from core.store.layout import OpenSources, SourceData
from core.store.record import feature_record, table

if TYPE_CHECKING:
    import pandas as pd

    from core.atlas.door import Atlas
    from core.bring.door import Bring
    from core.build.config import BuildConfig
    from core.build.run import Where
    from core.community.door import Door
    from core.community.local import Local
    from core.community.records import Suite, SuiteRun
    from core.evaluate.door import Quality
    from core.explain.door import Words
    from core.interchange.bulk.door import Exchange
    from core.models.cache import Cache
    from core.models.loading import LoadedModel
    from core.prober import Prober
    from core.remote.engine import Engine
    from core.sources.codes import Codes
    from core.sources.encode import Encoder
    from core.sources.probe_records import ProbeRecord
    from core.store.check import CheckReport
    from core.techniques.circuits.door import Circuits
    from core.techniques.graphs.door import Graphs
    from core.techniques.graphs.records import GraphAsk, GraphRecord
    from core.techniques.heads.door import Heads
    from core.techniques.pairs.door import Pairs
    from core.techniques.reading import Found, Lost, Reader
    from core.techniques.search import Facts
    from core.techniques.templates.door import Templates
    from core.techniques.tokenize import Ids

T = TypeVar("T")
SWEEP = (-2.0, -1.0, 0.0, 0.5, 1.0, 2.0, 4.0)
"""Multiples of the strengths, unless told otherwise."""
Progress = Callable[[str, float, float], None]
"""Called with (what, done, of)."""


class Workbench:
    """Everything that the workbench can do, over the data roots of its settings. Safe to share between threads."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._since = time.monotonic()
        self.catalog = Catalog(self.settings.roots())
        self._open = OpenSources()
        self._pool = Pool(self.settings.memory())
        self._steerer = Steerer(self)
        self._attributor = Attributor(self)
        self._cache: Cache | None = None
        self._readers: dict[str, tuple[Slot[LoadedModel], Reader]] = {}
        self._facts: dict[SourceKey, tuple[SourceData, Facts]] = {}
        self._vocabularies: dict[Path, tuple[int, Vocabulary]] = {}
        self._tokenizers: dict[Path, tuple[int, Ids]] = {}
        self._lock = threading.Lock()  # guards what is kept above

    # -- browsing: no torch ------------------------------------------------------------------------------------------

    def models(self) -> Records[ModelRecord]:
        """Every model that has a source here."""
        return Records(self.catalog.models())

    def model(self, model_id: str) -> ModelRecord:
        """One model; raises `NotFound` with what there is."""
        return self.catalog.model(model_id)[0].record

    def releases(self) -> Records[ReleaseRecord]:
        """Every release that has a source here."""
        return Records(self.catalog.releases())

    def release(self, name: str) -> ReleaseRecord:
        """One release; raises `NotFound` with what there is."""
        found = {r.name: r for r in self.releases()}
        if name not in found:
            raise NotFound(f"There is no release “{name}” here. There is: {', '.join(found) or 'none'}.")
        return found[name]

    def sources(
        self, *, model_id: str | None = None, set_name: str | None = None, release: str | None = None
    ) -> Records[SourceRecord]:
        """Every source, by model, set, layer and id; filtered where asked."""
        return Records(
            s
            for s in self.catalog.sources()
            if (model_id is None or s.key.model_id == model_id)
            and (set_name is None or s.key.set_name == set_name)
            and (release is None or s.release.name == release)
        )

    def source(self, key: SourceKey | str) -> SourceRecord:
        """One source; raises `NotFound` with what there is."""
        return self.catalog.source(_source(key))

    def feature(self, key: FeatureKey | str) -> FeatureRecord:
        """Everything about one feature, as its page shows it."""
        key = _feature(key)
        entry = self.catalog.entry(key.source)
        data, vocabulary = self._open.get(entry.folder), self._vocabulary_of(entry)
        bos = self._has_bos(key.model_id) and not entry.imported
        return feature_record(key, entry.record, data, vocabulary, bos=bos)

    def features(self, key: SourceKey | str) -> pd.DataFrame:
        """Table of a source: index, density, maximum, active, label, promotes; one row a feature, by index."""
        entry = self.catalog.entry(_source(key))
        return table(self._open.get(entry.folder), entry.record).to_pandas()

    def each_feature(self, keys: Sequence[FeatureKey | str]) -> Iterator[FeatureRecord]:
        """The records of `keys`, in their order, one at a time; an error says which of them it is about."""
        for n, key in enumerate(keys):
            try:
                yield self.feature(key)
            except WorkbenchError as error:
                raise type(error)(f"Feature {n + 1} of {len(keys)}: {error}") from error

    def living(self, key: SourceKey | str, *, offset: int = 0, limit: int | None = None) -> tuple[FeatureKey, ...]:
        """Features of a source that are not dead, by index; `limit` of them after the first `offset`."""
        if offset < 0 or (limit is not None and limit < 0):
            raise BadInput("offset and limit are 0 or more.")
        key = self.source(key).key
        living = self._living(key)[offset : None if limit is None else offset + limit]
        return tuple(FeatureKey(key.model_id, key.source_id, int(i)) for i in living)

    def densities(self, key: SourceKey | str, bins: int = 40) -> Histogram:
        """Histogram of log10 density over the features of a source that are not dead."""
        density = self.features(key)["density"].to_numpy()
        living = np.log10(density[density > 0])
        if not len(living):
            return Histogram(low=-1.0, high=0.0, counts=(0,) * bins)
        counts, edges = np.histogram(living, bins)
        return Histogram(low=float(edges[0]), high=float(edges[-1]), counts=tuple(counts.tolist()))

    def random_feature(self, key: SourceKey | str | None = None) -> FeatureKey:
        """A feature that is not dead, drawn evenly; of any source if none is named."""
        if key is None:
            sources = [s for s in self.sources() if s.alive]
            if not sources:
                raise NotFound("Nothing has been built yet: `python -m core build CONFIG`.")
            chosen = random.choices(sources, [s.alive for s in sources])[0].key
        else:
            chosen = self.source(key).key
        living = self._living(chosen)
        if not len(living):
            raise NotFound(f"Every feature of {chosen} is dead on the build's texts.")
        return FeatureKey(chosen.model_id, chosen.source_id, int(random.choice(living)))

    def resolve(self, text: str, *, near: SourceKey | FeatureKey | None = None) -> FeatureKey | SourceKey:
        """What a person pasted: an id, `8-res-jb:123`, a link to a feature, or an index beside `near`."""
        found = resolve(text, [s.key for s in self.catalog.sources()], near)
        if isinstance(found, FeatureKey):
            width = self.source(found.source).width
            if found.index >= width:
                raise NotFound(f"{found.source} has features 0 to {width - 1}; there is no {found.index}.")
        return found

    def prompt(self, key: SourceKey | str, number: int) -> tuple[Token, ...]:
        """The tokens of one prompt of a source's build."""
        source = self.source(key)
        if not 0 <= number < source.prompts:
            raise NotFound(f"{source.key} was built on prompts 0 to {source.prompts - 1}; there is no {number}.")
        entry = self.catalog.entry(source.key)
        return self._vocabulary_of(entry).draw(self._open.get(entry.folder).prompt(number)["tokens"].tolist())

    def tokenize(self, model_id: str, text: str, *, bos: bool = True) -> tuple[Token, ...]:
        """The tokens of a text as the model reads them, with BOS first where it has one, unless `bos` is false.

        Needs the model's tokenizer, not its weights; imports no torch where `tokenizer.json` says everything.
        Raises `BadInput` for a text that is too long or not Unicode.
        """
        (text,) = self._texts(text)
        manifest, _ = self.catalog.model(model_id)
        ids = self._tokenizer(model_id)(text)
        begin = [manifest.bos] if bos and manifest.bos is not None else []
        return self._vocabulary(model_id).draw(begin + ids)

    def chats(self, model_id: str) -> bool | None:
        """Whether the model has a chat template, without loading it; None where only loading it would tell."""
        from core.techniques.tokenize import has_chat_template

        manifest, folder = self.catalog.model(model_id)
        try:
            return has_chat_template(_placed(manifest.spec, folder))
        except NotAvailable:
            return False

    # -- the model at work -------------------------------------------------------------------------------------------

    def test(
        self, key: FeatureKey | str, texts: Sequence[str] | str, *, tell: Tell | None = None
    ) -> Records[TestRecord]:
        """The values of a feature, or of a direction that somebody brought, on new texts; a record a text.

        `tell` gets each step while it is at work.

        Raises:
            BadInput: a text is empty or longer than the model can read, or there are too many.
            NotFound: there is no such feature.
            NotAvailable: its weights are not here.
        """
        key = _feature(key)
        vector = self._kept.vector(key) if is_vector_key(key) else None
        if vector is not None:
            return Records(self._steerer.test(vector, self._texts(texts), tell))
        source = self._source_of(key)
        texts = self._texts(texts)
        from core.techniques.feature_test import test_feature

        model, rows = self._tokens(key.model_id, texts, tell)
        found = self._codes(key.model_id, rows, [source], tell)
        codes = [one[source.key] for one in found]
        return self._attributor.tests(test_feature(key, texts, rows, codes, model, signed=source.signed))

    def test_each(
        self, keys: Sequence[FeatureKey | str], text: str, *, tell: Tell | None = None
    ) -> Records[TestRecord]:
        """Several features of one model on one text, which is read once; a record a feature, in the order of `keys`.

        Raises what `test` does; `BadInput` also for features of several models, or for more of them than `max_results`.
        """
        found = [_feature(key) for key in keys]
        self._bounds(max(1, len(found)))
        if len({key.model_id for key in found}) > 1:
            raise BadInput("These are features of several models: one text is read by one of them at a time.")
        sources = {key.source: self._source_of(key) for key in found}
        (text,) = self._texts(text)
        if not found:
            return Records(())
        from core.techniques.feature_test import test_feature

        each = self._few(list(sources.values()))
        model, rows = self._tokens(found[0].model_id, [text], tell)
        (codes,) = self._codes(found[0].model_id, rows, each, tell)
        return self._attributor.tests(
            test_feature(key, [text], rows, [codes[key.source]], model, signed=sources[key.source].signed)[0]
            for key in found
        )

    def dfa(self, key: FeatureKey | str, text: str, position: int | None = None) -> DfaRecord:
        """Where a feature's value came from: what each token gave by each head (`core.techniques.dfa`).

        `position`: the token whose value it is, BOS counted; the feature's strongest, if none is named.

        Raises what `test` does; `NotAvailable` also for a source that does not read attention heads; `BadInput` for a
        position that is not in the text, and, without one, for a text on which the feature is not active.
        """
        return self._attributor.one(_feature(key), text, position)

    def together(self, tests: Sequence[TestRecord], weights: Sequence[float]) -> tuple[float, ...]:
        """Several features on one text as one weighted unit, each in parts of its own maximum; a value a token.

        Raises:
            BadInput: the tests are not of one text.
        """
        from core.techniques.together import together

        records = [self.feature(test.key) for test in tests]
        tops = [max(r.maximum, -r.minimum) if r.source.signed else r.maximum for r in records]
        return together(tests, [float(weight) for weight in weights], tops)

    def search(
        self,
        model_id: str,
        text: str,
        *,
        sources: Sequence[SourceKey | str] = (),
        measure: Measure = "surprise",
        combine: Combine = "max",
        positions: Sequence[int] = (),
        densest: float | None = None,
        bos: bool = False,
        top: int = 25,
        offset: int = 0,
        strict: bool | None = None,
        tell: Tell | None = None,
    ) -> SearchRecord:
        """The features that a text activates, over all sources of a model or some; see `core.techniques.search`.

        A feature counts with its strongest token or, with `combine="sum"`, with the sum over all that are looked at:
        those of `positions`, or every one, special ones only if `bos`. `strict`: whether a source that cannot be read
        is an error, as it is where sources are named; else it is left out, and the record says so. `tell` gets each
        step while it is at work.

        Raises:
            BadInput: the text is empty or too long, a position is not in it, or a number is out of bounds.
            NotFound: there is no such model or source.
            NotAvailable: none of the sources has its weights here.
            Busy: too many are waiting, or memory is short.
        """
        from core.techniques.search import Asked, search

        (text,) = self._texts(text)
        chosen = self._searched(model_id, sources)
        self._bounds(top, offset)
        _one_of("measure", measure, Measure)
        _one_of("combine", combine, Combine)
        model, (ids,) = self._tokens(model_id, [text], tell)
        if wrong := [p for p in positions if not 0 <= p < len(ids)]:
            raise BadInput(f"The text has tokens 0 to {len(ids) - 1}, BOS counted; there is no {wrong[0]}.")
        found, lost = self._facts_and_codes(chosen, [ids], bool(sources) if strict is None else strict, tell)
        asked = Asked(measure, combine, tuple(sorted(set(positions))), densest, bos, top, offset)
        codes = {facts: own for facts, (own,) in found.items()}
        has_bos = model.bos is not None
        record = search(text, model.vocabulary.draw(ids), codes, asked, model_id=model_id, bos=has_bos)
        return self._attributor.hits(replace(record, left_out=lost))

    def by_token(
        self,
        key: SourceKey | str,
        text: str,
        *,
        top: int = 10,
        densest: float | None = 0.01,
        bos: bool = False,
        tell: Tell | None = None,
    ) -> ByTokenRecord:
        """Each token of a text with its `top` strongest features in one source; see `core.techniques.by_token`.

        Features active on a larger share of tokens than `densest` are left out, and special tokens without `bos`.
        Raises what `search` does.
        """
        from core.techniques.by_token import by_token

        (text,) = self._texts(text)
        key = _source(key)
        (source,) = self._searched(key.model_id, [key])
        self._bounds(top)
        model, (ids,) = self._tokens(key.model_id, [text], tell)
        (found,) = self._codes(key.model_id, [ids], [source], tell)
        tokens = model.vocabulary.draw(ids)
        rows, features = by_token(self._facts_of(source), found[key], tokens, top=top, densest=densest, bos=bos)
        return ByTokenRecord(key=key, text=text, tokens=tokens, bos=model.bos is not None, rows=rows, features=features)

    def contrast(
        self,
        model_id: str,
        a: str,
        b: str,
        *,
        sources: Sequence[SourceKey | str] = (),
        measure: Measure = "surprise",
        densest: float | None = None,
        bos: bool = False,
        top: int = 10,
        offset: int = 0,
        strict: bool | None = None,
        tell: Tell | None = None,
    ) -> ContrastRecord:
        """The features that tell two texts apart, `top` in each direction; see `core.techniques.contrast`.

        `strict` and `tell` as in `search`. Raises what that does.
        """
        from core.techniques.contrast import contrast

        texts = self._texts([a, b])
        chosen = self._searched(model_id, sources)
        self._bounds(top, offset)
        _one_of("measure", measure, Measure)
        model, rows = self._tokens(model_id, texts, tell)
        found, lost = self._facts_and_codes(chosen, rows, bool(sources) if strict is None else strict, tell)
        tokens = (model.vocabulary.draw(rows[0]), model.vocabulary.draw(rows[1]))
        codes = {facts: (first, second) for facts, (first, second) in found.items()}
        record = contrast(
            (a, b), tokens, codes, model_id=model_id, has_bos=model.bos is not None, measure=measure, densest=densest,
            bos=bos, top=top, offset=offset,
        )  # fmt: skip
        return replace(record, left_out=lost)

    def substitute(
        self, key: FeatureKey | str, sentence: str, words: Sequence[str], *, tell: Tell | None = None
    ) -> SubstitutionRecord:
        """A feature on a sentence with one `{}`, filled with each of a few words; see `core.techniques.substitution`.

        `tell` gets each step while it is at work. Raises what `test` does; `BadInput` also for a sentence without
        exactly one slot, and for an empty word.
        """
        from core.techniques.substitution import filled, substitution

        key, words = _feature(key), [words] if isinstance(words, str) else list(words)
        texts = filled(sentence, words, self.settings.max_texts)
        tests = self.test(key, texts, tell=tell)
        return substitution(key, sentence, words, tests, signed=self.source(key.source).signed)

    def activations(self, key: SourceKey | str, texts: Sequence[str] | str) -> Records[ActivationsRecord]:
        """Every value that a source gives on a few texts; a record a text.

        Raises what `search` does; `BadInput` also if there is more than one answer should hold.
        """
        from core.techniques.activations import activations

        texts, key = self._prompts(texts), _source(key)
        model, rows = self._tokens(key.model_id, texts)
        found = self._codes(key.model_id, rows, self._searched(key.model_id, [key]))
        entries = activations([one[key] for one in found], most=self.settings.max_values)
        return Records(
            ActivationsRecord(
                key=key, text=text, tokens=model.vocabulary.draw(row), bos=model.bos is not None, entries=own
            )
            for text, row, own in zip(texts, rows, entries, strict=True)
        )

    def steer(self, ask: SteerAsk, *, keep: bool = False, tell: Tell | None = None) -> SteerRecord:
        """A default and a steered text: the last record of `steering`, which says what is raised."""
        *_, record = self.steering(ask, keep=keep, tell=tell)
        return record

    def steering(self, ask: SteerAsk, *, keep: bool = False, tell: Tell | None = None) -> Generator[SteerRecord]:
        """The record of a run as its texts grow, the last with `done`; closing the iterator stops the run.

        With `keep` the whole run is saved, and one that was saved before is given at once. `tell` gets the number of
        runs before this one while it waits.

        Raises:
            BadInput: a number is out of bounds, a feature is named twice, the prompt is empty or leaves no room.
            NotFound: there is no such model, feature or direction.
            NotAvailable: weights are not here, or with `keep` the data root cannot be written.
            Busy: too many are waiting, or memory is short.
        """
        return self._steerer.runs(ask, keep=keep, tell=tell)

    def sweep(self, ask: SteerAsk, factors: Sequence[float] = SWEEP, *, tell: Tell | None = None) -> SweepRecord:
        """The same prompt at each multiple of the ask's strengths; raises what `steering` does."""
        return self._steerer.sweep(ask, factors, tell)

    def steered(self, run: str) -> SteerRecord:
        """A run that was kept; runs no model. Raises `NotFound`."""
        found = self._kept.run(run)
        if found is None:
            raise NotFound(f"There is no saved run “{run[:40]}” here: the oldest are deleted when there are many.")
        return found

    def new_vector(
        self,
        model_id: str,
        hook: str = "",
        values: Sequence[float] = (),
        *,
        features: Sequence[Push] = (),
        label: str = "",
        strength: float = 10.0,
    ) -> VectorRecord:
        """Keeps a direction to steer with: numbers at a hook, or the sum of features' rows, each times its strength.

        Raises:
            BadInput: the numbers do not fit the hook, or are no direction; or features that write at different hooks.
            NotFound: there is no such model or feature.
            NotAvailable: the data root cannot be written.
        """
        return self._steerer.new_vector(model_id, hook, values, features, label, strength)

    def vectors(self, model_id: str | None = None) -> Records[VectorRecord]:
        """The directions that people brought, the newest first."""
        return Records(self._kept.vectors(model_id))

    def vector(self, key: FeatureKey | str) -> VectorRecord:
        """One of them; raises `NotFound`."""
        key = _feature(key)
        found = self._kept.vector(key)
        if found is None:
            raise NotFound(f"There is no direction {key} here.")
        return found

    def drop_vector(self, key: FeatureKey | str) -> None:
        """Deletes one of them; raises `NotFound`."""
        self._kept.drop_vector(_feature(key))

    def train_probe(
        self,
        model_id: str,
        hook: str,
        positive: Sequence[str],
        negative: Sequence[str],
        *,
        method: str = "difference",
        pooled: str = "mean",
        label: str = "",
        seed: int = 0,
        keep: bool = True,
        tell: Tell | None = None,
    ) -> ProbeRecord:
        """A direction at a hook that tells two sets of texts apart, and how well on held-out ones and by chance.

        See `core.techniques.probe`. With `keep` it is one of the directions that people brought: tested and steered
        with under its key, and made a source with others by `vectors_source`.

        Raises:
            BadInput: too few texts, one on both sides or too long, no such hook or method; or nothing differs.
            NotFound: there is no such model.
            NotAvailable: the data root cannot be written.
            Busy: memory ran out.
        """
        return self._prober.train(
            model_id, hook, positive, negative, method=method, pooled=pooled, label=label, seed=seed, keep=keep,
            tell=tell,
        )  # fmt: skip

    def probe(self, key: FeatureKey | str) -> ProbeRecord:
        """A probe that was kept; raises `NotFound`."""
        return self._prober.kept(_feature(key))

    def vectors_source(
        self,
        keys: Sequence[FeatureKey | str],
        *,
        name: str = "directions",
        like: SourceKey | str | None = None,
        progress: Progress | None = None,
    ) -> BuildReport:
        """Builds directions that people brought, probes among them, as a source: `<layer>-<name>`, a feature each.

        It has dashboards, is searched, compared and steered like any, and is built on the very prompts of `like`: of
        the model's largest source, if none is named. One of that name is built anew. The order is that of `keys`.

        Raises:
            BadInput: no directions, or some of several models or hooks.
            NotFound: there is no such direction or source.
            NotAvailable: no source of the model has prompts here, or the data root cannot be written.
        """
        found = [_feature(key) for key in keys]
        return self._prober.source(found, name, None if like is None else _source(like), progress)

    def probes(self, model_id: str | None = None) -> Records[ProbeRecord]:
        """The probes that were kept, the newest first."""
        return self._prober.all(model_id)

    def presets(self, model_id: str | None = None) -> Records[Preset]:
        """Steerings to begin with, of one model if named: of `configs/steer.yaml` those whose features are here."""
        from core.presets import read_presets

        widths = {source.key: source.width for source in self.sources()}
        return Records(
            one
            for one in read_presets()
            if model_id in (None, one.ask.model_id)
            and all(push.key.index < widths.get(push.key.source, 0) for push in one.ask.pushes)
        )

    def read(self, model_id: str, texts: Sequence[str], sources: Sequence[SourceKey | str] = ()) -> None:
        """Reads a few texts together, so that what is then asked of each, a search for one, is a look-up.

        Raises what `search` does; `BadInput` also for more texts than one request may have.
        """
        texts, chosen = self._prompts(texts), self._searched(model_id, sources)
        if len(texts) > 1:  # of one, whoever asks next would wait as long, and reads it then
            _, rows = self._tokens(model_id, texts)
            self._codes(model_id, rows, chosen, lost={})  # who asks for what cannot be read is told so then

    def warm(self, model_id: str) -> None:
        """Begins to load the model in the background; returns at once."""
        if self.engine is not None:
            return
        self._pool.warm(self._model_slot(model_id))

    def residents(self) -> tuple[Resident, ...]:
        """What the process holds, and what it is loading."""
        return self._pool.residents()

    def server(self) -> ServerRecord:
        """What this process holds and what bounds a request: nothing secret, and no path of this machine."""
        from core.models.holding import server

        with self._lock:
            cache, turns = self._cache, [reader.turns for _, reader in self._readers.values()]
        held = None if cache is None else cache.held()
        return server(self.settings, self.residents(), held, turns, since=self._since)

    def ready(self, model_id: str) -> bool:
        """Whether the model is in memory, here or, as far as this server knows, where the engine is."""
        return self.engine is not None or self._model_slot(model_id).state == "ready"

    def evaluate(
        self,
        key: SourceKey | str,
        *,
        texts: Path | None = None,
        tokens: int | None = None,
        progress: Progress | None = None,
    ) -> tuple[Figures, Figures]:
        """(figures without BOS, figures with BOS) of a source.

        Measured on the build's prompts, or on the texts of a file or folder. They are kept beside the source in the
        writable root, and the catalog shows the newest.
        """
        from core.evaluate.run import evaluate

        entry = self.catalog.entry(_source(key))
        name = entry.manifest.record.key
        if entry.imported and texts is None:
            raise NotAvailable(f"{name} was imported with the texts of its examples alone. Name some with --texts.")
        slot = self._model_slot(name.model_id)
        target = self.settings.data / name.model_id / name.source_id
        with slot.held() as model:
            figures = evaluate(
                entry,
                model,
                self._source_slot(entry.manifest.record).get().source,
                self._open.get(entry.folder),
                target,
                texts=texts,
                tokens=tokens,
                progress=progress,
                turn=slot.lock,
            )
        self.catalog.refresh()
        return figures

    def check(self, keys: Sequence[SourceKey | str] = (), progress: Progress | None = None) -> tuple[CheckReport, ...]:
        """Whether what was built is whole: a report for each source of `keys`, or for all, and for their models.

        Raises `NotFound` for a source that has no folder here; a damaged one is reported, not raised.
        """
        from core.store.check import check_model, check_source, folders

        found = folders(self.settings.roots())
        asked = [str(_source(key)) for key in keys]
        chosen = [f for f in found if not asked or f"{f.parent.name}/{f.name}" in asked]
        for name in set(asked) - {f"{f.parent.name}/{f.name}" for f in chosen}:
            self.source(name)  # says what there is
        reports = []
        for folder in dict.fromkeys(f.parent for f in chosen):
            reports.append(check_model(folder))
            try:
                model = self.catalog.model(folder.name)[0]
            except WorkbenchError:
                model = None
            for source in (f for f in chosen if f.parent == folder):
                tell = partial(progress, f"reading {folder.name}/{source.name}") if progress else lambda done, of: None
                reports.append(check_source(source, model, tell))
        return tuple(reports)

    def build(self, config: Path, progress: Progress | None = None, engine: Where = "local") -> BuildReport:
        """Builds the sources that a configuration file names, into the writable root, alone or with a Ray cluster.

        Raises:
            BadConfig: the configuration names what is not there or does not fit.
            NotAvailable: the data root cannot be written, or could not be any more: what is finished is kept.
        """
        from core.build.config import read_config

        return self._built(read_config(Path(config)), progress, engine)

    def _built(self, asked: BuildConfig, progress: Progress | None, engine: Where = "local") -> BuildReport:
        from core.build.run import build

        like = asked.dataset.like
        folder = self.catalog.entry(SourceKey(asked.model.id, like)).folder if like else None
        try:
            report = build(
                asked, self.settings.data, device=self.settings.device, engine=engine, progress=progress, like=folder
            )
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
            raise NotAvailable(
                f"The build stopped ({what}). Run the same command again when that is mended: it goes on from here."
            ) from error
        self.catalog.refresh()
        if asked.near:
            self.atlas.near_after_build(asked.model.id, progress)
        if asked.map != "none":
            self.atlas.maps.after_build([one.key for one in report.sources], both=asked.map == "all", tell=progress)
        return report

    def searchable(self, model_id: str) -> Records[SourceRecord]:
        """The sources of a model that new texts can be run through."""
        return Records(s for s in self.sources(model_id=model_id) if {"weights", "dashboards"} <= set(s.has))

    def choose(self, model_id: str, names: Sequence[str] = (), *, set_name: str = "") -> tuple[SourceKey, ...]:
        """The sources of a model that `names` says, as `2-res` or `<model>/2-res`; without any, those of a set.

        Empty if neither is said. Raises `NotFound` for an unknown set, `BadInput` for a source that is not of it.
        """
        keys = tuple(SourceKey.of(model_id, name) for name in names)
        if not set_name:
            return keys
        own = self.sources(model_id=self.model(model_id).model_id)
        members = [source.key for source in own if set_name in _sets(source.key)]
        if not members:
            there = ", ".join(sorted({source.key.set_name for source in own}))
            raise NotFound(f"{model_id} has no source set “{set_name[:96]}” here. It has: {there}.")
        if strangers := [key for key in keys if set_name not in _sets(key)]:
            raise BadInput(f"{strangers[0]} is not of the source set {set_name}. Name a source of it, or no set.")
        can = {source.key for source in self.searchable(model_id)}
        found = keys or tuple(key for key in members if key in can)
        if not found:
            raise NotAvailable(f"No source of {set_name} has its weights here, so no text can be run through them.")
        return found

    # -- models elsewhere, and this server as the one that others ask ---------------------------------------------

    @cached_property
    def engine(self) -> Engine | None:
        """Who runs the models for this server, where the settings name somebody."""
        from core.remote.engine import connect

        return connect(self.settings)

    def tokens_of(self, model_id: str, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text, BOS first if the model has one: what an engine is asked first."""
        self.model(model_id)
        return self._tokens(model_id, self._texts(texts))[1]

    def codes_of(
        self, model_id: str, rows: Sequence[Sequence[int]], sources: Sequence[SourceKey | str]
    ) -> tuple[list[Found], dict[SourceKey, str]]:
        """(the codes of some tokens in some sources, why there are none of a source): what an engine is asked.

        Raises:
            BadInput: rows or sources are too many, a row is empty or too long, or an id is no token's.
        """
        known = self.model(model_id)
        if not 1 <= len(rows) <= self.settings.max_texts:
            raise BadInput(f"{len(rows)} texts: an engine is given 1 to {self.settings.max_texts} at once.")
        for n, row in enumerate(rows):
            if not 1 <= len(row) <= known.context:
                raise BadInput(f"Text {n + 1} has {len(row):,} tokens: {model_id} reads 1 to {known.context:,}.")
            if not all(0 <= i < known.d_vocab for i in row):
                raise BadInput(f"Text {n + 1} has an id that is none of {model_id}'s {known.d_vocab:,} tokens.")
        lost: Lost = {}
        found = self._codes(model_id, rows, self._searched(model_id, sources), lost=lost)
        return found, {key: str(error) for key, error in lost.items()}

    # -- words -------------------------------------------------------------------------------------------------------

    @cached_property
    def words(self) -> Words:
        """What features mean: annotations, explanations, their scores, and search by meaning."""
        from core.explain.door import Words

        return Words(self)

    # -- circuits ----------------------------------------------------------------------------------------------------

    @cached_property
    def circuits(self) -> Circuits:
        """What a prompt's output is made of: lens, attribution, ablation, the tokens that drive it."""
        from core.techniques.circuits.door import Circuits

        return Circuits(self)

    @cached_property
    def heads(self) -> Heads:
        """Attention heads, one by one: patterns, standard scores, what they attend to, the features around them."""
        from core.techniques.heads.door import Heads

        return Heads(self)

    @cached_property
    def pairs(self) -> Pairs:
        """What a clean and a corrupted prompt differ in: features, attribution, patching, faithfulness."""
        from core.techniques.pairs.door import Pairs

        return Pairs(self)

    @cached_property
    def templates(self) -> Templates:
        """Prompts with slots as sets: what features respond to, a slot's value, its position, its role."""
        from core.techniques.templates.door import Templates

        return Templates(self)

    # -- attribution graphs --------------------------------------------------------------------------------------------

    @cached_property
    def graphs(self) -> Graphs:
        """Which feature acts on which in a prompt; graphs that are kept."""
        from core.techniques.graphs.door import Graphs

        return Graphs(self)

    def graph(self, ask: GraphAsk, *, tell: Tell | None = None) -> GraphRecord:
        """The attribution graph of a prompt: `graphs.make`."""
        return self.graphs.make(ask, tell=tell)

    # -- the atlas -----------------------------------------------------------------------------------------------------

    @cached_property
    def atlas(self) -> Atlas:
        """What features are to each other: the like ones, those that fire together, comparisons, maps."""
        from core.atlas.door import Atlas

        return Atlas(self)

    # -- quality -------------------------------------------------------------------------------------------------------

    @cached_property
    def quality(self) -> Quality:
        """How good sources are: figures with intervals, baselines, controls, the leaderboard."""
        from core.evaluate.door import Quality

        return Quality(self)

    # -- in and out ------------------------------------------------------------------------------------------------

    @cached_property
    def exchange(self) -> Exchange:
        """Whole sources in and out: Neuronpedia's export and other files, Parquet, a folder for the hub."""
        from core.interchange.bulk.door import Exchange

        return Exchange(self)

    # -- adding sources ------------------------------------------------------------------------------------------------

    @cached_property
    def bring(self) -> Bring:
        """Adding sources by page: what they are, a check of a few prompts, builds in the background."""
        from core.bring.door import Bring

        return Bring(self)

    # -- people --------------------------------------------------------------------------------------------------------

    @cached_property
    def community(self) -> Door:
        """People's things: stars, lists, comments, test suites, and signing in where they are shared."""
        from core.community.door import Door
        from core.community.file import File

        return Door(self.settings, File(self.settings.data))

    def run_suite(self, suite: Suite, *, tell: Tell | None = None) -> SuiteRun:
        """Runs every text of a test suite; see `core.community.suites`. Keeping what came out is `SuiteJobs.keep`."""
        from core.community.suites import run

        build = self.build_of(suite.feature.source)
        return run(suite, self.test, build, most=self.settings.max_texts, tell=tell)

    def build_of(self, key: SourceKey | str) -> str:
        """Twelve digits that are others where a source was built anew, or of other weights."""
        entry = self.catalog.entry(_source(key))
        found = sorted(entry.manifest.checksums.items())
        return hashlib.sha256(repr((entry.record.built, found)).encode()).hexdigest()[:12]

    @cached_property
    def _prober(self) -> Prober:
        from core.prober import Prober

        return Prober(self)

    # -- inside ------------------------------------------------------------------------------------------------------

    @cached_property
    def _kept(self) -> Local:
        from core.community.local import Local  # brings SQLAlchemy, which takes a quarter of a second

        return Local(self.settings.data, runs=self.settings.max_runs, vectors=self.settings.max_vectors)

    def _searched(self, model_id: str, sources: Sequence[SourceKey | str]) -> Sequence[SourceRecord]:
        """The sources that a search asks for, each once; all that can be searched if it names none."""
        self.model(model_id)
        if not sources:
            found = self.searchable(model_id)
            if not found:
                raise NotAvailable(f"No source of {model_id} has its weights here, so no text can be run through them.")
            return self._few(found)
        keys = dict.fromkeys(_source(key) for key in sources)
        if foreign := [key for key in keys if key.model_id != model_id]:
            raise BadInput(f"{foreign[0]} is not a source of {model_id}.")
        records = [self.source(key) for key in keys]
        for record in records:
            if not {"weights", "dashboards"} <= set(record.has):
                raise NotAvailable(f"{record.key} has no weights or no dashboards here, so it cannot be searched.")
        return self._few(records)

    def _source_of(self, key: FeatureKey) -> SourceRecord:
        """The source of a feature; raises `NotFound` for an index that it does not have."""
        source = self.source(key.source)
        if key.index >= source.width:
            raise NotFound(f"{key.source} has features 0 to {source.width - 1}; there is no {key.index}.")
        return source

    def _bounds(self, top: int, offset: int = 0) -> None:
        if not 1 <= top <= self.settings.max_results or offset < 0:
            raise BadInput(f"top is 1 to {self.settings.max_results}, and offset 0 or more.")

    def _few(self, sources: Sequence[SourceRecord]) -> Sequence[SourceRecord]:
        if len(sources) > self.settings.max_sources:
            raise BadInput(f"{len(sources)} sources are too many at once: at most {self.settings.max_sources}.")
        return sources

    def _tokens(
        self, model_id: str, texts: Sequence[str], tell: Tell | None = None
    ) -> tuple[Reads, list[list[int]]]:
        """(the model, the ids of each text)."""
        if self.engine is not None:
            manifest = self.catalog.model(model_id)[0]
            if tell is not None:
                tell(Step(doing="reading"))
            from core.remote.engine import Far

            return Far(self._vocabulary(model_id), manifest.bos), self.engine.tokens(model_id, texts)
        return self._tokens_here(model_id, texts, tell)

    def _tokens_here(
        self, model_id: str, texts: Sequence[str], tell: Tell | None = None
    ) -> tuple[LoadedModel, list[list[int]]]:
        """The same of the model in this process, for what needs its weights."""
        slot = self._model_slot(model_id)
        if tell is not None and slot.value is None:
            tell(Step(doing="loading", what=model_id))
        from core.techniques.reading import token_ids  # brings torch along

        model = slot.get()
        return model, token_ids(model, texts)

    def _codes(
        self,
        model_id: str,
        rows: Sequence[Sequence[int]],
        sources: Sequence[SourceRecord],
        tell: Tell | None = None,
        lost: Lost | None = None,
    ) -> list[Found]:
        """Of each text its codes in each source; `lost` takes the sources that cannot be read."""
        keys = [source.key for source in sources]
        if self.engine is not None:
            found, why = self.engine.codes(model_id, rows, {source.key: source.width for source in sources})
            if why and lost is None:
                raise NotAvailable(next(iter(why.values())))
            if lost is not None:
                lost |= {key: NotAvailable(said) for key, said in why.items()}
            return found
        return self._reader(model_id)(rows, keys, patience=self.settings.patience, tell=tell, lost=lost)

    def _facts_and_codes(
        self, sources: Sequence[SourceRecord], rows: Sequence[Sequence[int]], strict: bool, tell: Tell | None
    ) -> tuple[dict[Facts, tuple[Codes, ...]], tuple[LeftOut, ...]]:
        """(what is known of each source, with its codes of each text; the sources that had to be left out).

        Raises what keeps a source from being read, if `strict` or if none can be.
        """
        lost: Lost = {}
        found = self._codes(sources[0].key.model_id, rows, sources, tell, None if strict else lost)
        made: dict[Facts, tuple[Codes, ...]] = {}
        for source in sources:
            if source.key in lost:
                continue
            try:
                made[self._facts_of(source)] = tuple(one[source.key] for one in found)
            except WorkbenchError as error:
                if strict:
                    raise
                lost[source.key] = error
        if not made:
            raise next(iter(lost.values()))
        return made, tuple(LeftOut(key=s.key, why=str(lost[s.key])) for s in sources if s.key in lost)

    def _facts_of(self, source: SourceRecord) -> Facts:
        data = self._open.get(self.catalog.entry(source.key).folder)
        with self._lock:
            held = self._facts.get(source.key)
        if held is None or held[0] is not data:
            from core.techniques.search import Facts

            held = (data, Facts(source, data))
            with self._lock:
                self._facts[source.key] = held
        return held[1]

    def _reader(self, model_id: str) -> Reader:
        from core.models.cache import Cache
        from core.techniques.reading import Reader

        slot = self._model_slot(model_id)
        with self._lock:
            if self._cache is None:
                settings = self.settings
                folder = settings.data / ".cache" / "activations"
                self._cache = Cache(folder, memory=settings.cache_mb << 20, disk=settings.cache_disk_mb << 20)
            held = self._readers.get(model_id)
            if held is None or held[0] is not slot:
                held = (slot, Reader(slot, lambda key: self._source_slot(self.source(key)), self._cache))
                self._readers[model_id] = held
            return held[1]

    def _texts(self, texts: Sequence[str] | str) -> list[str]:
        texts = [texts] if isinstance(texts, str) else list(texts)
        if not texts:
            raise BadInput("Give at least one text.")
        if len(texts) > self.settings.max_texts:
            raise BadInput(f"{len(texts)} texts are too many at once: at most {self.settings.max_texts}.")
        for n, text in enumerate(texts):
            if len(text) > self.settings.max_characters:
                raise BadInput(
                    f"Text {n + 1} is too long: {len(text):,} characters, and at most "
                    f"{self.settings.max_characters:,} are read."
                )
        return texts

    def _prompts(self, texts: Sequence[str] | str) -> list[str]:
        texts = self._texts(texts)
        if len(texts) > self.settings.max_prompts:
            raise BadInput(f"{len(texts)} texts are too many at once: at most {self.settings.max_prompts}.")
        return texts

    def _vocabulary(self, model_id: str) -> Vocabulary:
        manifest, folder = self.catalog.model(model_id)
        return self._vocabulary_at(folder / "vocabulary.arrow", manifest.special)

    def _vocabulary_of(self, entry: Entry) -> Vocabulary:
        """What the tokens of a source's prompts are: the model's, or an imported source's own."""
        if entry.imported:
            return self._vocabulary_at(entry.folder / "vocabulary.arrow", ())
        return self._vocabulary(entry.record.key.model_id)

    def _vocabulary_at(self, path: Path, special: Sequence[int]) -> Vocabulary:
        try:
            mark = path.stat().st_mtime_ns
        except OSError:  # reading it says what is wrong
            mark = 0
        with self._lock:
            held = self._vocabularies.get(path)
            if held is None or held[0] != mark:
                held = (mark, Vocabulary.read(path, special))
                self._vocabularies[path] = held
            return held[1]

    def _has_bos(self, model_id: str) -> bool:
        return self.catalog.model(model_id)[0].bos is not None

    def _living(self, key: SourceKey) -> NDArray[np.intp]:
        """Indices of the features of a source that are not dead, ascending."""
        return np.flatnonzero(self._open.get(self.catalog.entry(key).folder).features.column("active").to_numpy())

    def _tokenizer(self, model_id: str) -> Ids:
        manifest, folder, mark = self._twice(model_id, partial(self._model_written, model_id))
        with self._lock:
            held = self._tokenizers.get(folder)
        if held is None or held[0] != mark:  # two threads may both load it, which is waste and no harm
            from core.techniques.tokenize import load_tokenizer

            held = (mark, load_tokenizer(_placed(manifest.spec, folder)))
            with self._lock:
                self._tokenizers[folder] = held
        return held[1]

    def _twice(self, name: str, look: Callable[[], T]) -> T:
        """What `look` finds; it looks once more if a file that the catalog knows is not there: it may be replaced now.

        Raises `NotFound` if it is gone.
        """
        try:
            return look()
        except FileNotFoundError:
            self.catalog.refresh()
        try:
            return look()
        except FileNotFoundError as error:
            raise NotFound(f"{name} is not here any more.") from error

    def _model_written(self, model_id: str) -> tuple[ModelManifest, Path, int]:
        """(manifest, folder, when it was written)."""
        manifest, folder = self.catalog.model(model_id)
        return manifest, folder, (folder / "model.json").stat().st_mtime_ns

    def _source_written(self, key: SourceKey) -> tuple[Entry, int]:
        """(the source, when it was written)."""
        entry = self.catalog.entry(key)
        return entry, (entry.folder / "source.json").stat().st_mtime_ns

    def _model_spec(self, model_id: str) -> ModelSpec:
        manifest, folder = self.catalog.model(model_id)
        return _placed(manifest.spec, folder)

    def _model_slot(self, model_id: str) -> Slot[LoadedModel]:
        manifest, folder, mark = self._twice(model_id, partial(self._model_written, model_id))

        def load() -> LoadedModel:
            from core.models import loading

            loading.use_threads(self.settings.threads)
            spec = _placed(manifest.spec, folder)
            settings, name = self.settings, manifest.record.name
            model = loading.load(spec, device=settings.device, dtype=settings.dtype, name=name)
            loading.lay_out(model)
            return model

        return self._pool.slot(model_id, mark, load, stays=True)

    def _source_slot(self, source: SourceRecord) -> Slot[Encoder]:
        entry, mark = self._twice(str(source.key), partial(self._source_written, source.key))
        if "weights" not in source.has:
            raise NotAvailable(
                f"{source.key} was imported without its weights, so it cannot be run on new text. "
                "`python -m core join` gives them to it."
            )

        def load() -> Encoder:
            from core.sources import dictionary
            from core.sources.encode import Encoder

            weights = entry.manifest.weights
            if weights.path:
                weights = replace(weights, path=str((entry.root / weights.path).resolve()))
            model = self._model_slot(source.key.model_id).get()
            found = dictionary.load(weights, model, hook=source.hook, device=self.settings.device)
            if found.width != source.width:
                raise BadData(
                    f"{source.key} was built with {source.width} features, and its weights have {found.width} now. "
                    "Build it again."
                )
            return Encoder(found, model)

        return self._pool.slot(str(source.key), mark, load, part_of=source.key.model_id)


def _placed(spec: ModelSpec, folder: Path) -> ModelSpec:
    """`spec` with its path made absolute: a manifest writes it from the data root, in which `folder` stands.

    Raises `NotAvailable` for a model of which only dashboards were imported.
    """
    if not (spec.path or spec.hub or spec.transformer_lens):
        raise NotAvailable(
            f"{spec.id} was imported without its weights, so it cannot be run. `python -m core join` gives them to it."
        )
    return replace(spec, path=str((folder.parent / spec.path).resolve())) if spec.path else spec


def _source(key: SourceKey | str) -> SourceKey:
    return key if isinstance(key, SourceKey) else SourceKey.parse(key)


def _one_of(name: str, value: str, kinds: object) -> None:
    if value not in get_args(kinds):
        raise BadInput(f"{name} is one of {', '.join(get_args(kinds))}; there is no “{value}”.")


def _sets(key: SourceKey) -> set[str]:
    """What a set is called of which the source is: without its suffix, or with it, as Neuronpedia's client says."""
    return {key.set_name, key.source_id.split("-", 1)[1]}


def _feature(key: FeatureKey | str) -> FeatureKey:
    return key if isinstance(key, FeatureKey) else FeatureKey.parse(key)
