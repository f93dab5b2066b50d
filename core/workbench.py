"""The one front door: pages, API, embeds, command line and notebooks all call this and get the same records.

A method a job. Opening a workbench and browsing touch no tensor and import no torch; the jobs that run a model import
it on first need and keep model and weights in the process (`core.models.pool`).
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.catalog.catalog import Catalog
from core.catalog.manifest import ModelSpec
from core.catalog.resolve import resolve
from core.errors import BadInput, NotAvailable, NotFound, WorkbenchError
from core.models.pool import Pool, Slot
from core.models.vocabulary import Vocabulary
from core.records import (
    BuildReport,
    FeatureKey,
    FeatureRecord,
    Figures,
    Histogram,
    ModelRecord,
    Records,
    ReleaseRecord,
    Resident,
    SourceKey,
    SourceRecord,
    TestRecord,
    Token,
)
from core.settings import Settings
from core.store.layout import OpenSources
from core.store.record import feature_record, table

if TYPE_CHECKING:
    import pandas as pd

    from core.models.loading import LoadedModel
    from core.sources.dictionary import Dictionary
    from core.store.check import CheckReport
    from core.techniques.tokenize import Ids

Progress = Callable[[str, float, float], None]
"""Called with (what, done, of)."""


class Workbench:
    """Everything that the workbench can do, over the data roots of its settings. Safe to share between threads."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self.catalog = Catalog(self.settings.roots())
        self._open = OpenSources()
        self._pool = Pool()
        self._vocabularies: dict[Path, tuple[int, Vocabulary]] = {}
        self._tokenizers: dict[Path, tuple[int, Ids]] = {}
        self._lock = threading.Lock()  # guards _vocabularies and _tokenizers

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
        data, vocabulary = self._open.get(entry.folder), self._vocabulary(key.model_id)
        return feature_record(key, entry.record, data, vocabulary, bos=self._has_bos(key.model_id))

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
        row = self._open.get(self.catalog.entry(source.key).folder).prompt(number)
        return self._vocabulary(source.key.model_id).draw(row["tokens"].tolist())

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

    # -- the model at work -------------------------------------------------------------------------------------------

    def test(self, key: FeatureKey | str, texts: Sequence[str] | str) -> Records[TestRecord]:
        """One feature's values on new texts; a record a text.

        Raises:
            BadInput: a text is empty or longer than the model can read, or there are too many.
            NotFound: there is no such feature.
            NotAvailable: its weights are not here.
        """
        key = _feature(key)
        source = self.source(key.source)
        if key.index >= source.width:
            raise NotFound(f"{key.source} has features 0 to {source.width - 1}; there is no {key.index}.")
        texts = self._texts(texts)
        from core.techniques.feature_test import test_feature

        slot = self._model_slot(key.model_id)
        model = slot.get()
        dictionary = self._source_slot(source).get()
        with slot.lock:
            return Records(test_feature(key, texts, model, dictionary))

    def warm(self, model_id: str) -> None:
        """Begins to load the model in the background; returns at once."""
        self._pool.warm(self._model_slot(model_id))

    def residents(self) -> tuple[Resident, ...]:
        """What the process holds, and what it is loading."""
        return self._pool.residents()

    def ready(self, model_id: str) -> bool:
        """Whether the model is in memory."""
        return self._model_slot(model_id).state == "ready"

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
        slot = self._model_slot(name.model_id)
        model, source = slot.get(), self._source_slot(entry.manifest.record).get()
        target = self.settings.data / name.model_id / name.source_id
        with slot.lock:
            figures = evaluate(
                entry,
                model,
                source,
                self._open.get(entry.folder),
                target,
                texts=texts,
                tokens=tokens,
                progress=progress,
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

    def build(self, config: Path, progress: Progress | None = None) -> BuildReport:
        """Builds the sources that a configuration file names, into the writable root.

        Raises:
            BadConfig: the configuration names what is not there or does not fit.
            NotAvailable: the data root cannot be written, or could not be any more: what is finished is kept.
        """
        from core.build.config import read_config
        from core.build.run import build

        asked = read_config(Path(config))
        try:
            report = build(asked, self.settings.data, device=self.settings.device, progress=progress)
        except OSError as error:
            what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
            raise NotAvailable(
                f"The build stopped ({what}). Run the same command again when that is mended: it goes on from here."
            ) from error
        self.catalog.refresh()
        return report

    # -- inside ------------------------------------------------------------------------------------------------------

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

    def _vocabulary(self, model_id: str) -> Vocabulary:
        manifest, folder = self.catalog.model(model_id)
        path = folder / "vocabulary.arrow"
        mark = path.stat().st_mtime_ns if path.exists() else 0
        with self._lock:
            held = self._vocabularies.get(path)
            if held is None or held[0] != mark:
                held = (mark, Vocabulary.read(path, manifest.special))
                self._vocabularies[path] = held
            return held[1]

    def _has_bos(self, model_id: str) -> bool:
        return self.catalog.model(model_id)[0].bos is not None

    def _living(self, key: SourceKey) -> NDArray[np.intp]:
        """Indices of the features of a source that are not dead, ascending."""
        return np.flatnonzero(self._open.get(self.catalog.entry(key).folder).features.column("active").to_numpy())

    def _tokenizer(self, model_id: str) -> Ids:
        manifest, folder = self.catalog.model(model_id)
        mark = (folder / "model.json").stat().st_mtime_ns
        with self._lock:
            held = self._tokenizers.get(folder)
        if held is None or held[0] != mark:  # two threads may both load it, which is waste and no harm
            from core.techniques.tokenize import load_tokenizer

            held = (mark, load_tokenizer(_placed(manifest.spec, folder)))
            with self._lock:
                self._tokenizers[folder] = held
        return held[1]

    def _model_slot(self, model_id: str) -> Slot[LoadedModel]:
        manifest, folder = self.catalog.model(model_id)

        def load() -> LoadedModel:
            from core.models import loading

            loading.use_threads(self.settings.threads)
            spec = _placed(manifest.spec, folder)
            return loading.load(spec, device=self.settings.device, dtype=self.settings.dtype, name=manifest.record.name)

        return self._pool.slot(model_id, load)

    def _source_slot(self, source: SourceRecord) -> Slot[Dictionary]:
        entry = self.catalog.entry(source.key)
        if "weights" not in source.has:
            raise NotAvailable(f"{source.key} was brought in without its weights, so it cannot be run on new text.")

        def load() -> Dictionary:
            from core.sources import dictionary

            weights = entry.manifest.weights
            if weights.path:
                weights = replace(weights, path=str((entry.root / weights.path).resolve()))
            model = self._model_slot(source.key.model_id).get()
            return dictionary.load(weights, model, hook=source.hook, device=self.settings.device)

        return self._pool.slot(str(source.key), load)


def _placed(spec: ModelSpec, folder: Path) -> ModelSpec:
    """`spec` with its path made absolute: a manifest writes it from the data root, in which `folder` stands."""
    return replace(spec, path=str((folder.parent / spec.path).resolve())) if spec.path else spec


def _source(key: SourceKey | str) -> SourceKey:
    return key if isinstance(key, SourceKey) else SourceKey.parse(key)


def _feature(key: FeatureKey | str) -> FeatureKey:
    return key if isinstance(key, FeatureKey) else FeatureKey.parse(key)
