"""What texts activate: the codes of many sources, from as few passes and products as will do.

Knows nothing of what is done with them. A reader belongs to one model. What it computed before comes from the cache;
the rest is computed together for everybody who waits: one forward pass for all texts to the last hook that any source
needs, and one product over each encoder.

Cost: of what is not cached, one pass and one look at every encoder; of what is, a look-up. Memory is bounded: of many
or long texts only so many are at work together that `PLACES` activations are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import BadConfig, BadInput
from core.models.cache import Arrays, Cache, ids_of, name_of
from core.models.capture import capture, pad
from core.models.loading import LoadedModel
from core.models.memory import no_room, ran_out
from core.models.pool import Slot
from core.models.turns import Turns
from core.records import SourceKey
from core.sources.codes import Codes, Dense, Sparse
from core.sources.encode import Encoder

TOKENS = 4096
"""Places for tokens in one pass."""
PLACES = 2**16
"""Activations, one a token and source, that are held at once (each some kilobytes); one text may need more."""

Ids = tuple[int, ...]
Found = dict[SourceKey, Codes]
"""The codes of one text."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text and the sources that are to read it."""

    ids: Ids
    sources: tuple[SourceKey, ...]

    @property
    def places(self) -> int:
        """Activations that reading it holds at most."""
        return len(self.ids) * len(self.sources)


class Reader:
    """Reads texts with one model and its sources. Safe to share between threads."""

    def __init__(self, model: Slot[LoadedModel], encoder: Callable[[SourceKey], Slot[Encoder]], cache: Cache) -> None:
        self._model, self._encoder, self._cache = model, encoder, cache
        self.turns: Turns[tuple[Wanted, ...], list[Found]] = Turns(self._read)
        self._names: dict[SourceKey, tuple[Slot[Encoder], tuple[str, str, str]]] = {}

    def __call__(
        self,
        texts: Sequence[Sequence[int]],
        sources: Sequence[SourceKey],
        *,
        patience: float = 60.0,
        tell: Callable[[int], None] | None = None,
    ) -> list[Found]:
        """The codes of each text in each source; `tell` gets the number of jobs before this one while it waits.

        Raises:
            Busy: it waited too long, or memory ran out.
            BadConfig: what the model or a source gives is no finite number.
        """
        found = {ids: self._known(ids, sources) for ids in map(tuple, texts)}
        jobs = tuple(
            Wanted(ids, missing)
            for ids, known in found.items()
            if (missing := tuple(key for key in sources if key not in known))
        )
        if jobs:
            for job, made in zip(jobs, self.turns(jobs, patience=patience, tell=tell), strict=True):
                found[job.ids] |= made
        return [found[tuple(ids)] for ids in texts]

    def _known(self, ids: Ids, sources: Iterable[SourceKey]) -> Found:
        """What the cache has of one text."""
        held = {key: self._cache.get(self._codes_name(key, ids)) for key in sources}
        return {key: _codes(arrays) for key, arrays in held.items() if arrays is not None}

    # -- names: everything that the numbers depend on ------------------------------------------------------------------

    def _hidden_name(self, hook: str, ids: Ids) -> str:
        model = self._model.get()
        known = (model.sha256, model.settings_sha256, model.dtype, str(model.device))
        return name_of("hidden", *known, hook, ids_of(ids))

    def _codes_name(self, key: SourceKey, ids: Ids) -> str:
        hook, kind, sha256 = self._identity(key)
        return name_of("codes", self._hidden_name(hook, ids), kind, sha256)

    def _identity(self, key: SourceKey) -> tuple[str, str, str]:
        """(hook, kind, weights) of a source; known without its weights once they were loaded."""
        slot = self._encoder(key)
        held = self._names.get(key)
        if held is None or held[0] is not slot:
            self._loaded(key)
            held = self._names[key]
        return held[1]

    def _loaded(self, key: SourceKey) -> Encoder:
        """The source with its weights, and known by these: they may be others than when it was loaded last."""
        slot = self._encoder(key)
        encoder = slot.get()
        source = encoder.source
        self._names[key] = (slot, (source.hook, source.kind, source.sha256))
        return encoder

    # -- the work ----------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def _read(self, jobs: Sequence[tuple[Wanted, ...]]) -> list[list[Found]]:
        try:
            some = _shares([wanted for job in jobs for wanted in job])
            made = iter([found for share in some for found in self._together(share)])
            return [[next(made) for _ in job] for job in jobs]
        except Exception as error:
            if not ran_out(error):
                raise
        self._model.starved()  # when the error and what its frames hold are gone
        raise no_room()

    def _together(self, jobs: Sequence[Wanted]) -> list[Found]:
        """The codes of every text; each encoder is read once for all texts that want it."""
        asking: dict[SourceKey, dict[Ids, None]] = {}
        for job in jobs:
            for key in job.sources:
                asking.setdefault(key, {})[job.ids] = None
        hooks: dict[Ids, set[str]] = {}
        for key, texts in asking.items():
            for ids in texts:
                hooks.setdefault(ids, set()).add(self._identity(key)[0])
        hidden = self._hidden(hooks)
        made: dict[tuple[SourceKey, Ids], Codes] = {}
        for key, texts in asking.items():
            encoder = self._loaded(key)
            rows = [hidden[encoder.source.hook, ids] for ids in texts]
            codes = encoder(torch.cat(rows))
            if not np.isfinite(codes.values).all():
                raise BadConfig(f"The values of {key} are no finite numbers on this text: its weights are too large.")
            each: Iterator[Codes] = codes.parts([len(row) for row in rows])
            for ids, part in zip(texts, each, strict=True):
                self._cache.put(self._codes_name(key, ids), _arrays(part))
                made[key, ids] = part
        return [{key: made[key, job.ids] for key in job.sources} for job in jobs]

    def _hidden(self, wanted: dict[Ids, set[str]]) -> dict[tuple[str, Ids], Tensor]:
        """Activations at hooks, [tokens, d], from the cache or from passes over the texts that lack them."""
        model = self._model.get()
        found: dict[tuple[str, Ids], Tensor] = {}
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
            for hook, value in values.items():
                for ids, row in zip(texts, value, strict=True):
                    row = row[: len(ids)].float()
                    if not row.isfinite().all():
                        raise BadConfig(f"The model's activations at {hook} are no finite numbers on this text.")
                    found[hook, ids] = row
                    self._cache.put(self._hidden_name(hook, ids), {"hidden": row.cpu().numpy().copy()})
        return found


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


def _shares(texts: Sequence[Wanted]) -> Iterator[list[Wanted]]:
    """Texts to be read together, in their order."""
    share: list[Wanted] = []
    places = 0
    for wanted in texts:
        if share and places + wanted.places > PLACES:
            yield share
            share, places = [], 0
        share.append(wanted)
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
