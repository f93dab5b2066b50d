"""What texts activate: the codes of many sources, from as few passes and products as will do.

Knows nothing of what is done with them. A reader belongs to one model. What it computed before comes from the cache;
the rest is computed together for everybody who waits: one forward pass for all texts to the last hook that any source
needs, and one product over each encoder.

Cost: of what is not cached, one pass and one look at every encoder; of what is, a look-up. Memory is bounded: of many
or long texts only so many are at work together that `PLACES` activations are held.
"""

from __future__ import annotations

import contextlib
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import BadConfig, BadInput, Busy, WorkbenchError
from core.models.attention import Attention, attend
from core.models.cache import Arrays, Cache, ids_of, name_of
from core.models.capture import pad
from core.models.loading import LoadedModel
from core.models.memory import no_room, ran_out
from core.models.plain import capture
from core.models.pool import Slot
from core.models.thread import computing
from core.models.turns import Turns
from core.records import SourceKey, Step, Tell
from core.sources.codes import Codes, Dense, Sparse
from core.sources.encode import Encoder

TOKENS = 4096
"""Places for tokens in one pass."""
ATTENDED = 256
"""Tokens of a text whose attention is kept: it grows with their square."""
PLACES = 2**16
"""Activations, one a token and source, that are held at once (each some kilobytes); one text may need more."""

Ids = tuple[int, ...]
Hidden = dict[tuple[str, Ids], Tensor]
"""Activations, [tokens, d], by hook and text."""
Found = dict[SourceKey, Codes]
"""The codes of one text."""
Tried = dict[SourceKey, Codes | WorkbenchError]
"""The same, or why there are none."""
Lost = dict[SourceKey, WorkbenchError]
"""Sources that cannot be read, and why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text and the sources that are to read it."""

    ids: Ids
    sources: tuple[SourceKey, ...]

    @property
    def places(self) -> int:
        """Activations that reading it holds at most."""
        return len(self.ids) * len(self.sources)


class Asked:
    """One request's texts, and how far it is."""

    def __init__(self, texts: Sequence[Wanted], tell: Tell | None) -> None:
        self.texts = tuple(texts)
        self._tell = tell
        self._step = Step(
            doing="reading", of=sum(len(one.sources) for one in texts), tokens=sum(len(one.ids) for one in texts),
            sources=len({key for one in texts for key in one.sources}),
        )  # fmt: skip
        self._begun = False

    def begin(self) -> None:
        """It is at work now, or once more: with others it failed by them."""
        self._begun, self._step = True, replace(self._step, what="", done=0)
        self._told(self._step)

    def wait(self, before: int) -> None:
        """So many are to be done first."""
        if not self._begun:
            self._told(Step(doing="waiting", before=before))

    def load(self, what: str) -> None:
        """Something that was let go has to be loaded again first."""
        self._told(Step(doing="loading", what=what))

    def read(self, what: str, texts: int) -> None:
        """A source has read so many more of its texts."""
        self._step = replace(self._step, what=what, done=self._step.done + texts)
        self._told(self._step)

    def _told(self, step: Step) -> None:
        if self._tell is not None:
            with contextlib.suppress(Exception):  # one listener's fault is not the others'
                self._tell(step)


class Reader:
    """Reads texts with one model and its sources. Safe to share between threads."""

    def __init__(self, model: Slot[LoadedModel], encoder: Callable[[SourceKey], Slot[Encoder]], cache: Cache) -> None:
        self._model, self._encoder, self._cache = model, encoder, cache
        self.turns: Turns[Asked, list[Tried]] = Turns(self._read)
        self._about: tuple[weakref.ref[LoadedModel], tuple[str, ...]] | None = None
        """What a name says of the model, which takes a walk over its modules."""
        self._names: dict[SourceKey, tuple[Slot[Encoder], tuple[str, str, str]]] = {}

    def __call__(
        self,
        texts: Sequence[Sequence[int]],
        sources: Sequence[SourceKey],
        *,
        patience: float = 60.0,
        tell: Tell | None = None,
        lost: Lost | None = None,
    ) -> list[Found]:
        """The codes of each text in each source.

        `tell` gets each step. `lost` takes the sources that cannot be read, with the reason; they are in no text's
        codes then. Without it the first of them is an error.

        Raises:
            Busy: it waited too long, or memory ran out.
            NotAvailable: the weights of the model or of a source are gone.
            BadConfig: what the model or a source gives is no finite number.
        """
        failed: Lost = {}
        there = self._there(sources, tell, failed)
        found: dict[Ids, Found] = {ids: self._known(ids, there) for ids in map(tuple, texts)}
        jobs = [
            Wanted(ids, missing)
            for ids, known in found.items()
            if (missing := tuple(key for key in there if key not in known))
        ]
        if jobs:
            asked = Asked(jobs, tell)
            for job, tried in zip(jobs, self.turns(asked, patience=patience, tell=asked.wait), strict=True):
                for key, one in tried.items():
                    if isinstance(one, WorkbenchError):
                        failed[key] = one
                    else:
                        found[job.ids][key] = one
        if failed and lost is None:
            error = next(iter(failed.values()))
            raise type(error)(str(error)) from None  # its own error each, who were read together
        if lost is not None:
            lost |= failed
        return [{key: one for key, one in found[tuple(ids)].items() if key not in failed} for ids in texts]

    def _there(self, sources: Sequence[SourceKey], tell: Tell | None, failed: Lost) -> list[SourceKey]:
        """The sources that are known by their weights, which are loaded where they never were."""
        there = []
        for n, key in enumerate(sources):
            try:
                if tell is not None and not self._is_known(key):
                    tell(Step(doing="loading", what=str(key), done=n, of=len(sources)))
                self._identity(key)
                there.append(key)
            except Busy:
                raise
            except WorkbenchError as error:
                failed[key] = error
        return there

    def _known(self, ids: Ids, sources: Iterable[SourceKey]) -> Found:
        """What the cache has of one text."""
        held = {key: self._cache.get(self._codes_name(key, ids)) for key in sources}
        return {key: _codes(arrays) for key, arrays in held.items() if arrays is not None}

    def activations(self, texts: Sequence[Sequence[int]], hook: str) -> list[Tensor]:
        """What passes at a hook on each text, [tokens, d], float32; kept like what a source reads.

        Raises:
            Busy: memory ran out.
            BadConfig: nothing passes there, or what does is no finite number.
        """
        try:
            found = self._hidden({tuple(ids): {hook} for ids in texts})
            return [found[hook, tuple(ids)] for ids in texts]
        except Exception as error:
            if not ran_out(error):
                raise
        self._model.starved()  # when the error and what its frames hold are gone
        raise no_room()

    def attended(self, ids: Sequence[int], layer: int) -> Attention:
        """What one layer's heads attended to on a text; kept like its activations, if it is short.

        Raises:
            Busy: memory ran out.
            BadConfig: the layer does not show it, or not all of it.
        """
        name = name_of("attention", self._hidden_name(f"blocks.{layer}.attn", tuple(ids)))
        held = self._cache.get(name)
        model = self._model.get()
        if held is not None:
            return Attention(*(torch.tensor(held[part], device=model.device) for part in ("pattern", "values")))
        try:
            with self._model.lock:
                found = attend(model, torch.tensor([list(ids)]), layer)
        except Exception as error:
            if not ran_out(error):
                raise
        else:
            if len(ids) <= ATTENDED:
                parts = {"pattern": found.pattern, "values": found.values}
                self._cache.put(name, {part: value.cpu().numpy().copy() for part, value in parts.items()})
            return found
        self._model.starved()  # when the error and what its frames hold are gone
        raise no_room()

    # -- names: everything that the numbers depend on ------------------------------------------------------------------

    def _hidden_name(self, hook: str, ids: Ids) -> str:
        model = self._model.get()
        if self._about is None or self._about[0]() is not model:
            known = (model.sha256, model.settings_sha256, model.dtype, str(model.device))
            self._about = (weakref.ref(model), known)
        return name_of("hidden", *self._about[1], hook, ids_of(ids))

    def _codes_name(self, key: SourceKey, ids: Ids) -> str:
        hook, kind, sha256 = self._identity(key)
        return name_of("codes", self._hidden_name(hook, ids), kind, sha256)

    def _is_known(self, key: SourceKey) -> bool:
        held = self._names.get(key)
        return held is not None and held[0] is self._encoder(key)

    def _identity(self, key: SourceKey) -> tuple[str, str, str]:
        """(hook, kind, weights) of a source; known without its weights once they were loaded."""
        if not self._is_known(key):
            self._loaded(key)
        return self._names[key][1]

    def _loaded(self, key: SourceKey) -> Encoder:
        """The source with its weights, and known by these: they may be others than when it was loaded last."""
        slot = self._encoder(key)
        encoder = slot.get()
        source = encoder.source
        self._names[key] = (slot, (source.hook, source.kind, source.sha256))
        return encoder

    # -- the work ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _read(self, jobs: Sequence[Asked]) -> list[list[Tried]]:
        try:
            for job in jobs:
                job.begin()
            some = _shares([(wanted, job) for job in jobs for wanted in job.texts])
            made = iter([tried for share in some for tried in self._together(share)])
            return [[next(made) for _ in job.texts] for job in jobs]
        except Exception as error:
            if not ran_out(error):
                raise
        self._model.starved()  # when the error and what its frames hold are gone
        raise no_room()

    def _together(self, share: Sequence[tuple[Wanted, Asked]]) -> list[Tried]:
        """The codes of every text; each encoder is read once for all texts that want it."""
        asking: dict[SourceKey, dict[Ids, None]] = {}
        telling: dict[SourceKey, list[Asked]] = {}
        hooks: dict[Ids, set[str]] = {}
        for wanted, job in share:
            for key in wanted.sources:
                asking.setdefault(key, {})[wanted.ids] = None
                telling.setdefault(key, []).append(job)
                hooks.setdefault(wanted.ids, set()).add(self._names[key][1][0])
        hidden = self._hidden(hooks)
        made: dict[tuple[SourceKey, Ids], Codes | WorkbenchError] = {}
        for key, texts in asking.items():
            try:
                made |= self._encoded(key, list(texts), hidden, telling[key])
            except Busy:
                raise
            except WorkbenchError as error:  # of those who want this source, and of nobody else
                made |= dict.fromkeys(((key, ids) for ids in texts), error.with_traceback(None))
            for job, count in Counter(telling[key]).items():
                job.read(key.source_id, count)
        return [{key: made[key, wanted.ids] for key in wanted.sources} for wanted, _ in share]

    def _encoded(
        self, key: SourceKey, texts: Sequence[Ids], hidden: Hidden, telling: Iterable[Asked]
    ) -> dict[tuple[SourceKey, Ids], Codes | WorkbenchError]:
        """The codes of some texts in one source; raises what keeps it from being loaded."""
        if self._encoder(key).value is None:
            for job in telling:
                job.load(str(key))
        encoder = self._loaded(key)
        hook = encoder.source.hook
        if any((hook, ids) not in hidden for ids in texts):  # its weights changed meanwhile, and where they belong
            hidden = self._hidden({ids: {hook} for ids in texts})
        rows = [hidden[hook, ids] for ids in texts]
        begins, bos = np.cumsum([0, *map(len, rows)]).tolist(), self._model.get().bos
        codes = _together(encoder, rows, [at for at, ids in zip(begins, texts, strict=False) if ids[0] == bos])
        made: dict[tuple[SourceKey, Ids], Codes | WorkbenchError] = {}
        each: Iterator[Codes] = codes.parts([len(row) for row in rows])
        for ids, part in zip(texts, each, strict=True):
            if np.isfinite(part.values).all():
                self._cache.put(self._codes_name(key, ids), _arrays(part))
                made[key, ids] = part
            else:
                said = f"The values of {key} are no finite numbers on this text: its weights are too large."
                made[key, ids] = BadConfig(said)
        return made

    def _hidden(self, wanted: dict[Ids, set[str]]) -> Hidden:
        """Activations at hooks, [tokens, d], from the cache or from passes over the texts that lack them."""
        model = self._model.get()
        found: Hidden = {}
        missing: dict[Ids, set[str]] = {}
        for ids, hooks in wanted.items():
            for hook in hooks:
                held = self._cache.get(self._hidden_name(hook, ids))
                if held is None:
                    missing.setdefault(ids, set()).add(hook)
                else:
                    found[hook, ids] = torch.tensor(held["hidden"], device=model.device)
        for texts in _passes(missing):
            hooks = set().union(*(missing[ids] for ids in texts))
            with self._model.lock:
                values = capture(model, pad(texts), sorted(hooks))
            new = _rows(texts, values)
            for (hook, ids), row in new.items():
                self._cache.put(self._hidden_name(hook, ids), {"hidden": row.cpu().numpy().copy()})
            found |= new
        return found


@computing
def _rows(texts: Sequence[Ids], values: dict[str, Tensor]) -> Hidden:
    """Each text's own of what a pass gave; raises `BadConfig` for what is no finite number."""
    found: Hidden = {}
    for hook, value in values.items():
        for ids, row in zip(texts, value, strict=True):
            row = row[: len(ids)].float()
            if not row.isfinite().all():
                raise BadConfig(f"The model's activations at {hook} are no finite numbers on this text.")
            found[hook, ids] = row
    return found


@computing
def _together(encoder: Encoder, rows: Sequence[Tensor], bos: Sequence[int]) -> Codes:
    return encoder(torch.cat(list(rows)), bos)


def _passes(texts: Iterable[Ids]) -> Iterator[list[Ids]]:
    """Texts of like length together, at most `TOKENS` places a pass."""
    batch: list[Ids] = []
    for ids in sorted(texts, key=len, reverse=True):  # the first of a batch is its longest
        if batch and len(batch[0]) * (len(batch) + 1) > TOKENS:
            yield batch
            batch = []
        batch.append(ids)
    if batch:
        yield batch


def _shares(texts: Sequence[tuple[Wanted, Asked]]) -> Iterator[list[tuple[Wanted, Asked]]]:
    """Texts to be read together, in their order."""
    share: list[tuple[Wanted, Asked]] = []
    places = 0
    for wanted, job in texts:
        if share and places + wanted.places > PLACES:
            yield share
            share, places = [], 0
        share.append((wanted, job))
        places += wanted.places
    if share:
        yield share


def _arrays(codes: Codes) -> Arrays:
    if isinstance(codes, Dense):
        return {"dense": codes.values}
    shape = np.array([codes.tokens, codes.width])
    return {"shape": shape, "positions": codes.positions, "features": codes.features, "values": codes.values}


def _codes(held: Arrays) -> Codes:
    if "dense" in held:
        return Dense(held["dense"])
    tokens, width = (int(n) for n in held["shape"])
    entries: Any = [held[name] for name in ("positions", "features", "values")]
    return Sparse(tokens, width, *entries)


def token_ids(model: LoadedModel, texts: Sequence[str]) -> list[list[int]]:
    """The ids of each text, BOS first if the model has one.

    Raises:
        BadInput: a text has no tokens, or more than the model can read.
    """
    return [_ids(model, text, n, len(texts)) for n, text in enumerate(texts)]


def _ids(model: LoadedModel, text: str, n: int, of: int) -> list[int]:
    which = "The text" if of == 1 else f"Text {n + 1}"
    if not text.strip():
        raise BadInput(f"{which} is empty: write something.")
    try:
        ids = model.ids(text)
    except (TypeError, UnicodeError) as error:  # half of a surrogate pair, as JSON can carry it
        raise BadInput(f"{which} is not Unicode text: {error}") from error
    if not ids:
        raise BadInput(f"{which} is empty: {model.manifest.record.model_id}'s tokenizer makes no token of it.")
    if len(ids) > model.context:
        bos = "" if model.bos is None else " with BOS"
        raise BadInput(
            f"{which} is too long: it has {len(ids):,} tokens{bos}, and {model.manifest.record.model_id} "
            f"reads at most {model.context:,}. Shorten it, or take it in parts."
        )
    return ids
