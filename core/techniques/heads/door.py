"""Attention heads of a workbench's models, the one door: `Workbench.heads`. Each technique is a module of its own.

The scores of all heads and what they attend to over a corpus are made once for each model and kept beside the source
whose prompts were read (`keeping`); patterns, and features on a text, are kept in the activation cache. Reading what is
kept needs no torch. So many asks are at work at once as circuits', in the same line.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from core.catalog.catalog import Entry
from core.errors import BadConfig, BadInput, Busy, NotAvailable, NotFound, WorkbenchError
from core.models.memory import no_room, ran_out
from core.records import LeftOut, ModelRecord, SourceKey, SourceRecord, Step, Tell
from core.techniques.heads import keeping, shaping
from core.techniques.heads.keeping import Kept
from core.techniques.heads.records import (
    SIDES,
    TOP,
    HeadActiveRecord,
    HeadFeature,
    HeadFeaturesRecord,
    HeadKey,
    HeadRecord,
    HeadSide,
    HeadsRecord,
    PatternRecord,
    Side,
)

if TYPE_CHECKING:
    from core.models.cache import Arrays
    from core.models.loading import LoadedModel
    from core.techniques.heads.features import Terms
    from core.workbench import Workbench

TOKENS = 128
"""Of a text whose pattern is asked at most: a pattern grows with its square."""
MOST = 100
"""Features of a side that are listed at most."""
CORPUS = 32_768
"""Tokens of the corpus that are read, about: whole prompts at equal steps."""
NO_WRITERS = "No source here writes into the residual stream before this layer."
NO_READERS = "No source here reads the residual stream after this layer by one encoder column a feature."


class Heads:
    """What attention heads do. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._making: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()  # guards the two dictionaries
        self._known: dict[str, tuple[object, Kept]] = {}

    # -- all heads of a model ------------------------------------------------------------------------------------------

    def kept(self, model_id: str) -> HeadsRecord | None:
        """Every head's scores, if they were made before; without torch. Raises `NotFound` for an unknown model."""
        record = self._bench.model(model_id)
        entry = self._corpus(record.model_id)
        found = self._found(record.model_id, entry)
        return None if found is None else shaping.heads(record, found, _key(entry))

    def scores(self, model_id: str, *, again: bool = False, tell: Tell | None = None) -> HeadsRecord:
        """Every head's standard scores, and what its attention goes to over the corpus; made if they were not.

        See `core.techniques.heads.scores` and `corpus`. Where no source has prompts here there is no corpus.

        Raises:
            NotFound: there is no such model.
            NotAvailable: its weights are not here, or its architecture does not show attention.
            Busy: too many are waiting, or memory is short.
        """
        record, entry, found = self._all(model_id, again, tell)
        return shaping.heads(record, found, _key(entry))

    def of(self, key: HeadKey | str, *, tell: Tell | None = None) -> HeadRecord:
        """One head's scores, and the pairs of tokens that it attends to most; raises what `scores` does."""
        key, record = self._named(key)
        _, entry, found = self._all(record.model_id, False, tell)
        among = shaping.heads(record, found, _key(entry))
        if entry is None:
            return shaping.head(key, among, found, None, None)
        data, vocabulary = self._bench._open.get(entry.folder), self._bench._vocabulary_of(entry)
        return shaping.head(key, among, found, lambda n: data.prompt(n)["tokens"].tolist(), vocabulary)

    def _all(self, model_id: str, again: bool, tell: Tell | None) -> tuple[ModelRecord, Entry | None, Kept]:
        """(the model, where its corpus is, what is known of its heads), made if it was not."""
        record = self._bench.model(model_id)
        entry = self._corpus(record.model_id)
        found = None if again else self._found(record.model_id, entry)
        if found is not None:
            return record, entry, found
        with self._lock:
            lock = self._making.setdefault(record.model_id, threading.Lock())
        if not lock.acquire(timeout=self._bench.settings.patience):
            raise Busy(f"The heads of {record.model_id} are being measured. Try again in a moment.")
        try:  # whoever else asks meanwhile gets what this makes
            entry = self._corpus(record.model_id)
            found = None if again else self._found(record.model_id, entry)
            return record, entry, self._made(record, entry, tell) if found is None else found
        finally:
            lock.release()

    def _made(self, record: ModelRecord, entry: Entry | None, tell: Tell | None) -> Kept:
        from core.techniques.heads import corpus, scores

        numbers, texts = ([], []) if entry is None else self._texts(entry)
        with self._at_work(record.model_id, tell) as (model, lock):
            with lock:
                own = scores.scores(model)
            length = scores.period(model.manifest.record.context, model.bos is not None, len(model.vocabulary))
            if entry is None:
                shares = np.full((len(own), len(corpus.SHARES)), np.nan)
                found = corpus.Corpus(shares, np.full((len(own), 0, 8), np.nan), np.full(3, np.nan))
            else:
                of = sum(map(len, texts))

                def one(work: Callable[[], None]) -> None:
                    with lock:
                        work()

                def done(count: int) -> None:
                    if tell is not None:
                        tell(Step(doing="measuring", what="the corpus", done=count, of=of))

                found = corpus.read(model, texts, one, done)
                own_number = np.nan_to_num(found.pairs[..., 4]).astype(int)
                found.pairs[..., 4] = np.where(np.isnan(found.pairs[..., 4]), np.nan, np.array(numbers)[own_number])
            bos = int(model.bos is not None)
        tokens = sum(map(len, texts)) - bos * len(texts)
        counts = np.array([length, scores.SEQUENCES, len(texts), tokens, bos], np.int64)
        made = Kept(own, found.shares, found.pairs, found.even, counts, datetime.date.today().isoformat())
        if entry is not None:
            try:
                keeping.keep(self._bench.settings.data, entry, keeping.made_from(entry, CORPUS), made)
            except NotAvailable:  # a root that cannot be written: it is known as long as this process lives
                pass
        with self._lock:
            self._known[record.model_id] = (self._mark(record.model_id, entry), made)
        return made

    def _found(self, model_id: str, entry: Entry | None) -> Kept | None:
        """What is kept of a model's heads, in memory or on disk."""
        mark = self._mark(model_id, entry)
        with self._lock:
            held = self._known.get(model_id)
        if held is not None and held[0] == mark:
            return held[1]
        if entry is None:
            return None
        found = keeping.find(self._bench.catalog.roots, entry, keeping.made_from(entry, CORPUS))
        if found is not None:
            with self._lock:
                self._known[model_id] = (mark, found)
        return found

    def _mark(self, model_id: str, entry: Entry | None) -> object:
        own = self._bench._model_written(model_id)[2]
        return (own, None if entry is None else sorted(keeping.made_from(entry, CORPUS).items(), key=str))

    def _corpus(self, model_id: str) -> Entry | None:
        """The source whose prompts are the corpus: one for which it is kept, else the first with most tokens."""
        every = [self._bench.catalog.entry(one.key) for one in self._bench.sources(model_id=model_id)]
        built = [one for one in every if one.record.prompts and not one.imported and "dashboards" in one.record.has]
        built.sort(key=lambda one: (-one.record.tokens, str(one.record.key)))
        roots = self._bench.catalog.roots
        return next((one for one in built if keeping.has(roots, one, CORPUS)), next(iter(built), None))

    def _texts(self, entry: Entry) -> tuple[list[int], list[list[int]]]:
        """(numbers, token ids) of prompts at equal steps, of at most so many tokens together."""
        data = self._bench._open.get(entry.folder)
        prompts = len(data.starts) - 1
        count = max(1, min(prompts, int(CORPUS / max(1.0, float(data.starts[-1]) / prompts))))
        numbers = np.unique(np.linspace(0, prompts - 1, count).round().astype(int)).tolist()
        return numbers, [data.prompt(n)["tokens"].tolist() for n in numbers]

    # -- one head on a text --------------------------------------------------------------------------------------------

    def pattern(self, key: HeadKey | str, text: str, *, tell: Tell | None = None) -> PatternRecord:
        """A head's attention on a text, and what it moves, exactly; see `core.techniques.heads.parts`.

        Raises:
            BadInput: the text is empty or too long.
            NotFound: there is no such model or head.
            NotAvailable: weights are not here, or the architecture's heads cannot be told apart.
            Busy: too many are waiting, or memory is short.
        """
        key, record = self._named(key)
        with self._reading(record.model_id, text, tell) as (model, ids, lock):
            made = self._kept(model, ids, (key.layer, key.head), lock)
            tokens = model.vocabulary.draw(ids)
            return shaping.pattern(key, text, tokens, model.bos is not None and ids[0] == model.bos, made)

    def active(
        self, key: HeadKey | str, text: str, *, position: int | None = None, attended: int | None = None,
        sources: Sequence[SourceKey | str] = (), top: int = TOP, tell: Tell | None = None,
    ) -> HeadActiveRecord:  # fmt: skip
        """What the active features give a head on a text, and what it gives features; sums that add up.

        `position`: the token from which it looks, the last unless told otherwise; `attended`: the one that it looks at,
        its strongest but BOS. Of the sources the nearest before and the nearest after the head take part, or the
        nearest of `sources`. Raises what `pattern` does; `BadInput` also for a token that is not there.
        """
        key, record = self._named(key)
        _top(top)
        with self._reading(record.model_id, text, tell) as (model, ids, lock):
            bos = model.bos is not None and ids[0] == model.bos
            row = self._kept(model, ids, (key.layer, key.head), lock)["pattern"]
            to, at = _where(row, position, attended, bos)
            chosen = self._sources(record.model_id, sources)
            found, notes, length = self._terms(model, ids, lock, key, (to, at), chosen, bos)
            sides = tuple(shaping.terms(side, source, terms, top, self._said) for side, source, terms in found)
            tokens = model.vocabulary.draw(ids)
        return HeadActiveRecord(
            key=key, text=text, tokens=tokens, bos=bos, position=to, attended=at, weight=float(row[to, at]),
            written=length, sides=sides, notes=tuple(notes),
        )  # fmt: skip

    def _terms(
        self, model: LoadedModel, ids: list[int], lock: Any, key: HeadKey, where: tuple[int, int],
        chosen: Sequence[SourceRecord], bos: bool,
    ) -> tuple[list[tuple[Side, SourceKey, Terms]], list[str], float]:  # fmt: skip
        from core.models.plain import capture
        from core.techniques.circuits.splice import Splice
        from core.techniques.heads import features
        from core.techniques.heads.parts import head_parts

        place = (key.layer, key.head)
        with lock:
            parts = head_parts(model, _tensor(ids), *place)
        made: list[tuple[Side, SourceKey, Terms]] = []
        notes: list[str] = []
        before, after = shaping.nearest(chosen, key.layer)
        for source, note in ((before, NO_WRITERS), (after, NO_READERS)):
            if source is None:
                notes.append(note)
                continue
            with self._bench._source_slot(source).held() as encoder:
                own = encoder.source
                with lock:
                    x = capture(model, _tensor(ids)[None], sorted({own.hook, own.hook_out}))
                codes = encoder(x[own.hook][0].float(), [0] if bos else [])
                if source is after:
                    given = features.given_terms(parts, own, x[own.hook][0], codes, where[0])
                    if given is not None:
                        made.append(("output", source.key, given))
                    continue
                splice = Splice(own, x[own.hook][0], x[own.hook_out][0])
                for side in SIDES[:3]:
                    try:
                        terms = features.read_terms(model, parts, splice, codes, place, where, side)
                    except NotAvailable as error:
                        notes += [str(error)] * (str(error) not in notes)
                        continue
                    made.append((side, source.key, terms))
        return made, notes, float(parts.results[where[0]].norm())

    # -- by weights ----------------------------------------------------------------------------------------------------

    def features(
        self, key: HeadKey | str, *, sources: Sequence[SourceKey | str] = (), top: int = TOP, tell: Tell | None = None
    ) -> HeadFeaturesRecord:
        """The features that write what a head reads, and those that read what it writes, by weights alone.

        Of all SAEs and transcoders of the model, or of `sources`. See `core.techniques.heads.features`, also for what
        the scores mean. Raises what `pattern` does.
        """
        key, record = self._named(key)
        _top(top)
        chosen = self._sources(record.model_id, sources)
        with self._at_work(record.model_id, tell) as (model, _):
            sides, lost = self._by_weight(model, key, chosen, top, bool(sources), tell)
        return HeadFeaturesRecord(key=key, sides=sides, left_out=lost)

    def _by_weight(
        self, model: LoadedModel, key: HeadKey, chosen: Sequence[SourceRecord], top: int, strict: bool,
        tell: Tell | None,
    ) -> tuple[tuple[HeadSide, ...], tuple[LeftOut, ...]]:  # fmt: skip
        from core.techniques.heads import features
        from core.techniques.heads.parts import head_weights

        weights, lost = head_weights(model, key.layer, key.head), []
        scored: dict[Side, list[tuple[SourceKey, Any, Any]]] = {side: [] for side in SIDES}
        for n, source in enumerate(chosen):
            if tell is not None:
                tell(Step(doing="measuring", what=source.key.source_id, done=n, of=len(chosen)))
            try:
                with self._bench._source_slot(source).held() as encoder:
                    own = encoder.source
                    writes = features.writes_before(own.hook_out, key.layer)
                    rows = features.rows_of(own, model) if writes else None
                    reads = features.columns_of(own) if features.reads_after(own.hook, key.layer) else None
                    for side in SIDES:
                        asked = reads if side == "output" else rows
                        if asked is not None:
                            scored[side].append((source.key, *features.by_weight(asked, weights, side)))
            except Busy:
                raise
            except WorkbenchError as error:
                if strict:
                    raise
                lost.append(LeftOut(key=source.key, why=str(error)))
        return tuple(
            self._side(side, scored[side], features.chance(weights, side), top) for side in SIDES
        ), tuple(lost)  # fmt: skip

    def _side(self, side: Side, scored: list[tuple[SourceKey, Any, Any]], chance: float, top: int) -> HeadSide:
        note = "" if scored else NO_READERS if side == "output" else NO_WRITERS
        every = [score for _, score, _ in scored]
        owner = np.repeat(np.arange(len(scored)), [len(one) for one in every]) if scored else np.zeros(0, int)
        index = np.concatenate([np.arange(len(one)) for one in every]) if scored else owner
        values = np.concatenate(every) if scored else np.zeros(0)
        best = np.argsort(-values, kind="stable")[:top]
        keys = [shaping.feature_key(scored[owner[n]][0], int(index[n])) for n in best]
        said = self._said(keys)
        listed = tuple(
            HeadFeature(one, float(values[n]), float(scored[owner[n]][2][index[n]]), *about)
            for one, n, about in zip(keys, best.tolist(), said, strict=True)
        )
        return HeadSide(
            side=side, features=listed, chance=chance, beyond=int((values > chance).sum()), of=len(values),
            sources=tuple(key for key, _, _ in scored), note=note,
        )  # fmt: skip

    # -- inside --------------------------------------------------------------------------------------------------------

    def _named(self, key: HeadKey | str) -> tuple[HeadKey, ModelRecord]:
        key = HeadKey.parse(key) if isinstance(key, str) else key
        record = self._bench.model(key.model_id)
        if not (0 <= key.layer < record.layers and 0 <= key.head < record.heads):
            raise NotFound(
                f"{key.model_id} has layers 0 to {record.layers - 1} with heads 0 to {record.heads - 1} each; there is "
                f"no {key.name}."
            )
        return key, record

    def _sources(self, model_id: str, sources: Sequence[SourceKey | str]) -> list[SourceRecord]:
        """Those that are asked for; else all SAEs and transcoders with weights, and none if there are none."""
        if not sources:
            every = self._bench.sources(model_id=model_id)
            found = [one for one in every if "weights" in one.has and one.kind in ("sae", "transcoder")]
            return list(self._bench._few(found))
        keys = dict.fromkeys(one if isinstance(one, SourceKey) else SourceKey.parse(one) for one in sources)
        if foreign := [key for key in keys if key.model_id != model_id]:
            raise BadInput(f"{foreign[0]} is not a source of {model_id}.")
        return list(self._bench._few([self._bench.source(key) for key in keys]))

    def _said(self, keys: Sequence[Any]) -> list[tuple[str, float | None]]:
        """(label, density) of features."""
        return [self._bench.circuits._known(key.source, [key.index])[0] for key in keys]

    @contextmanager
    def _at_work(self, model_id: str, tell: Tell | None) -> Iterator[tuple[LoadedModel, Any]]:
        """The model, held, and its lock; what runs out of memory says so."""
        slot = self._bench._model_slot(model_id)
        try:
            with self._bench.circuits.line.place(self._bench.settings.patience, tell), slot.held() as model:
                yield model, slot.lock
                return
        except BadConfig as error:
            raise NotAvailable(str(error)) from error
        except Exception as error:
            if not ran_out(error):
                raise
        slot.starved()  # when the error and what its frames hold are gone
        raise no_room()

    @contextmanager
    def _reading(self, model_id: str, text: str, tell: Tell | None) -> Iterator[tuple[LoadedModel, list[int], Any]]:
        (text,) = self._bench._texts(text)
        with self._at_work(model_id, tell) as (_, lock):
            model, (ids,) = self._bench._tokens_here(model_id, [text], tell)
            if len(ids) > TOKENS:
                raise BadInput(f"{len(ids):,} tokens are too many for a pattern: at most {TOKENS}. Shorten the text.")
            yield model, ids, lock

    def _kept(self, model: LoadedModel, ids: list[int], place: tuple[int, int], lock: Any) -> Arrays:
        """The pattern and what it moves, from the cache or made under the model's lock."""
        from core.models.cache import name_of
        from core.techniques.heads.parts import head_parts

        reader = self._bench._reader(model.manifest.spec.id)
        name = name_of("head", 1, reader._hidden_name("head", tuple(ids)), *place)
        held = reader._cache.get(name)
        if held is None:
            with lock:
                parts = head_parts(model, _tensor(ids), *place)
            held = {
                "pattern": parts.pattern.float().cpu().numpy(), "moved": parts.moved.float().cpu().numpy(),
            }  # fmt: skip
            reader._cache.put(name, held)
        return held


def _key(entry: Entry | None) -> SourceKey | None:
    return None if entry is None else entry.record.key


def _top(top: int) -> None:
    if not 1 <= top <= MOST:
        raise BadInput(f"top is 1 to {MOST}.")


def _where(pattern: Any, position: int | None, attended: int | None, bos: bool) -> tuple[int, int]:
    """(the token from which it looks, the one that it looks at), checked."""
    last = len(pattern) - 1
    to = last if position is None else position
    if not 0 <= to <= last:
        raise BadInput(f"The text has tokens 0 to {last}, BOS counted; there is no {to}.")
    if attended is None:
        row = pattern[to, : to + 1].copy()
        if bos and to > 0:
            row[0] = -1.0
        attended = int(row.argmax())
    if not 0 <= attended <= to:
        raise BadInput(f"Token {to} looks at tokens 0 to {to}, not at {attended}.")
    return to, attended


def _tensor(ids: Sequence[int]) -> Any:
    import torch

    return torch.tensor(ids, dtype=torch.int64)
