"""Steering over a workbench's sources: from keys to dictionaries, from an ask to a run, and what is kept of it.

`core.workbench` is the door to it. Features come from sources here, directions from `core.community.local`. A run that
is kept is known by a hash of all that it depends on (the ask, the model's and the sources' weights), so that the same
ask finds it again without a pass. At most `Settings.generations` runs are at work at once; the others wait in line.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter

from core.detached import Gone, detached
from core.errors import BadConfig, BadData, BadInput, Busy, NotFound
from core.models.line import Line
from core.models.memory import no_room, ran_out
from core.records import (
    FeatureKey,
    Push,
    PushRecord,
    SteerAsk,
    SteerRecord,
    Step,
    SweepRecord,
    Tell,
    TestRecord,
    VectorRecord,
    Watched,
)
from core.techniques.asked import check, check_factors

if TYPE_CHECKING:
    from core.community.local import Local
    from core.models.loading import LoadedModel
    from core.sources.dictionary import Dictionary
    from core.techniques.steer import WatchedFeature
    from core.techniques.steering import Part
    from core.workbench import Workbench

LABEL = 120
"""Characters of a direction's label."""
LARGEST, LEAST = 1e15, 1e-15
"""Of its numbers, and of its length."""
_ASK = TypeAdapter(SteerAsk)


class Steerer:
    """Runs asks. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.line = Line(bench.settings.generations)

    @property
    def _kept(self) -> Local:
        return self._bench._kept

    def runs(self, ask: SteerAsk, *, keep: bool, tell: Tell | None) -> Generator[SteerRecord]:
        """The record of a run as it grows; see `Workbench.steering`."""
        check(ask, self._bench.settings)
        if self._is_elsewhere(ask):
            return detached(lambda gone: self._asked(ask, keep, gone))
        return detached(lambda gone: self._runs(ask, keep, _while_heard(tell, gone)))

    def _is_elsewhere(self, ask: SteerAsk) -> bool:
        """Whether an engine elsewhere runs it: not where directions take part that only this server has."""
        keys = [*(push.key for push in ask.pushes), *ask.watch]
        return self._bench.engine is not None and not any(map(is_vector_key, keys))

    def _asked(self, ask: SteerAsk, keep: bool, gone: Gone) -> Iterator[SteerRecord]:
        """A run of the engine; what is to be kept is kept here too, where its link leads."""
        assert self._bench.engine is not None
        for record in self._bench.engine.steer(ask, keep=keep):
            if gone():
                return
            if keep and record.done:
                self._kept.keep_run(record)
            yield record

    def _runs(self, ask: SteerAsk, keep: bool, tell: Tell) -> Iterator[SteerRecord]:
        try:
            yield from self._run(ask, keep, tell)
            return
        except Exception as error:
            if not ran_out(error):
                raise
        self._bench._model_slot(ask.model_id).starved()  # when the error and what its frames hold are gone
        raise no_room()

    def _run(self, ask: SteerAsk, keep: bool, tell: Tell) -> Iterator[SteerRecord]:
        from core.techniques.steer import steer

        with ExitStack() as stack:
            slot = self._bench._model_slot(ask.model_id)
            model = stack.enter_context(slot.held())
            parts, pushes = self._parts(ask.pushes, stack)
            watched = self._watched(ask.watch, stack)
            name = run_name(ask, model, [*(part.source for part in parts), *(watch.source for watch, _ in watched)])
            saved = self._saved(name) if keep else None
            if saved is not None:
                yield saved
                return
            stack.enter_context(self.line.place(self._bench.settings.patience, tell))
            for record in steer(ask, model, slot.lock, parts, pushes, watched):
                if keep and record.done:
                    record = replace(record, run=name)
                    self._kept.keep_run(record)
                yield record

    def _saved(self, name: str) -> SteerRecord | None:
        """A run that was kept; one that another version kept is run anew, and replaced."""
        try:
            return self._kept.run(name)
        except BadData:
            return None

    def sweep(self, ask: SteerAsk, factors: Sequence[float], tell: Tell | None) -> SweepRecord:
        """See `Workbench.sweep`."""
        check(ask, self._bench.settings)
        check_factors(factors)
        if self._is_elsewhere(ask):
            assert self._bench.engine is not None
            return self._bench.engine.sweep(ask, factors)
        try:
            return self._sweep(ask, factors, tell)
        except Exception as error:
            if not ran_out(error):
                raise
        self._bench._model_slot(ask.model_id).starved()
        raise no_room()

    def _sweep(self, ask: SteerAsk, factors: Sequence[float], tell: Tell | None) -> SweepRecord:
        from core.techniques.steer import sweep

        with ExitStack() as stack:
            slot = self._bench._model_slot(ask.model_id)
            model = stack.enter_context(slot.held())
            parts, pushes = self._parts(ask.pushes, stack)
            stack.enter_context(self.line.place(self._bench.settings.patience, tell))
            return sweep(ask, factors, model, slot.lock, parts, pushes, tell)

    # -- directions ----------------------------------------------------------------------------------------------------

    def new_vector(
        self, model_id: str, hook: str, values: Sequence[float], features: Sequence[Push], label: str, strength: float
    ) -> VectorRecord:
        """See `Workbench.new_vector`."""
        if bool(values) == bool(features):
            raise BadInput("Give the numbers of a direction, or the features whose sum it is.")
        if len(label) > LABEL:
            raise BadInput(f"The label is too long: {len(label)} characters, and at most {LABEL}.")
        try:
            label.encode()
        except UnicodeEncodeError as error:
            raise BadInput(f"The label is not Unicode text: {error.reason}.") from error
        if not math.isfinite(strength):
            raise BadInput("The strength is no finite number.")
        if features:
            hook, values = self._sum(model_id, features)
        record = self.made(model_id, hook, values, label, strength)
        self._kept.keep_vector(record)
        return record

    def made(self, model_id: str, hook: str, values: Sequence[float], label: str, strength: float) -> VectorRecord:
        """A direction that is not kept yet; raises what `new_vector` does."""
        self._check_vector(model_id, hook, values)
        return VectorRecord(
            key=vector_key(model_id, hook, values), label=label.strip()[:LABEL] or "a direction", hook=hook,
            values=tuple(np.asarray(values, np.float32).tolist()), strength=strength,
            made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )  # fmt: skip

    def _sum(self, model_id: str, features: Sequence[Push]) -> tuple[str, list[float]]:
        """(hook, numbers) of a weighted sum of decoder rows."""
        check(SteerAsk(model_id=model_id, pushes=tuple(features), length=1), self._bench.settings)
        with ExitStack() as stack:
            parts, _ = self._parts(features, stack)
            hooks = sorted({part.source.hook_out for part in parts})
            if len(hooks) > 1:
                raise BadInput(f"These features write at different places ({', '.join(hooks)}): they have no sum.")
            total = sum(part.strength * part.source.W_dec[part.index].float() for part in parts)
            return hooks[0], total.tolist()  # type: ignore[union-attr]  # there is at least one

    def _check_vector(self, model_id: str, hook: str, values: Sequence[float]) -> None:
        """Raises `BadInput` for numbers that are no direction at this hook."""
        import torch

        from core.models.capture import capture, check_hooks

        if not all(map(math.isfinite, values)) or max(map(abs, values)) > LARGEST:
            raise BadInput(f"The direction has numbers that are not finite, or larger than {LARGEST:g}.")
        if not any(values):
            raise BadInput("The direction is 0 everywhere, so it points nowhere.")
        if math.hypot(*values) < LEAST:
            raise BadInput(f"The direction is shorter than {LEAST:g}: multiply its numbers.")
        slot = self._bench._model_slot(model_id)
        model = slot.get()
        try:
            check_hooks(model, [hook])
            with slot.lock:
                width = capture(model, torch.zeros(1, 1, dtype=torch.int64), [hook])[hook].shape[-1]
        except BadConfig as error:
            raise BadInput(str(error)) from error
        if width != len(values):
            raise BadInput(f"The direction has {len(values):,} numbers, and {hook} of {model_id} has {width:,}.")

    def test(self, vector: VectorRecord, texts: Sequence[str], tell: Tell | None) -> list[TestRecord]:
        """The product x · direction at every token of each text, as of a signed source. Cost: a pass a text."""
        import torch

        from core.models.capture import capture
        from core.sources.codes import Dense
        from core.techniques.feature_test import test_feature

        slot = self._bench._model_slot(vector.key.model_id)
        with slot.held():
            model, rows = self._bench._tokens_here(vector.key.model_id, texts, tell)
            source, codes = direction(vector, self._bench.settings.device), []
            for ids in rows:
                with slot.lock:
                    x = capture(model, torch.tensor([ids]), [vector.hook])[vector.hook][0]
                values = source.encode(x)
                if not values.isfinite().all():
                    raise BadInput(f"The values of {vector.key} are no finite numbers here: its own are too large.")
                codes.append(Dense(values.cpu().numpy()))
            records = test_feature(replace(vector.key, index=0), texts, rows, codes, model, signed=True)
        return [replace(record, key=vector.key) for record in records]

    # -- keys ----------------------------------------------------------------------------------------------------------

    def _parts(self, pushes: Sequence[Push], stack: ExitStack) -> tuple[list[Part], tuple[PushRecord, ...]]:
        from core.techniques.steering import Part

        parts, records = [], []
        for push in pushes:
            vector = self._kept.vector(push.key) if is_vector_key(push.key) else None
            if vector is None:
                part = Part(self._encoder(push.key, stack), push.key.index, float(push.strength))
                maximum, label = self._known(push.key)
            else:
                part = Part(direction(vector, self._bench.settings.device), 0, float(push.strength))
                maximum, label = None, vector.label
            norm = float(part.source.W_dec[part.index].float().norm())
            parts.append(part)
            records.append(
                PushRecord(
                    key=push.key, strength=push.strength, maximum=maximum, label=label, hook=part.source.hook_out,
                    norm=norm,
                )
            )  # fmt: skip
        return parts, tuple(records)

    def _encoder(self, key: FeatureKey, stack: ExitStack) -> Dictionary:
        source = self._bench.source(key.source)
        if key.index >= source.width:
            raise NotFound(f"{key.source} has features 0 to {source.width - 1}; there is no {key.index}.")
        return stack.enter_context(self._bench._source_slot(source).held()).source

    def _known(self, key: FeatureKey) -> tuple[float | None, str]:
        """(the feature's largest value, its name), as far as the source has dashboards."""
        source = self._bench.source(key.source)
        if "dashboards" not in source.has:
            return None, ""
        facts = self._bench._facts_of(source)
        return float(facts.maximum[key.index]), facts.label(key.index)

    def _watched(self, keys: Sequence[FeatureKey], stack: ExitStack) -> list[WatchedFeature]:
        from core.techniques.generate import Watch

        return [
            (
                Watch(self._encoder(key, stack), key.index),
                Watched(key=key, label=self._known(key)[1], before=(), after=()),
            )
            for key in keys
        ]


def run_name(ask: SteerAsk, model: LoadedModel, sources: Sequence[Dictionary]) -> str:
    """The name of a run: 20 hexadecimal digits of a hash of all that it depends on.

    Raises:
        BadInput: what `core.techniques.steer.prompt_ids` does, whose tokens a template decides too.
    """
    from core.techniques.steer import end_tokens, prompt_ids

    known = (
        prompt_ids(ask, model), end_tokens(model), model.sha256, model.settings_sha256, model.dtype,
        [(source.hook, source.hook_out, source.sha256) for source in sources], _ASK.dump_json(ask).decode(),
    )  # fmt: skip
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:20]


def _while_heard(tell: Tell | None, gone: Gone) -> Tell:
    """`tell`, by which who has gone leaves the line."""

    def heard(step: Step) -> None:
        if gone():
            raise Busy("Nobody waits for it any more.")
        if tell is not None:
            tell(step)

    return heard


def direction(vector: VectorRecord, device: str) -> Dictionary:
    """A direction as a dictionary of one row."""
    import torch

    from core.sources.directions import Directions

    return Directions(torch.tensor([vector.values], device=device), vector.hook)


def is_vector_key(key: FeatureKey) -> bool:
    """Whether it is one that `vector_key` makes."""
    return key.source.set_name.startswith("vectors-")


def vector_key(model_id: str, hook: str, values: Sequence[float]) -> FeatureKey:
    """A direction's key: the layer and place of its hook, and a number of eight digits that its values give."""
    _, layer, *place = hook.split(".")
    name = "-".join(part.removeprefix("hook_").replace("_", "-") for part in place)
    digest = hashlib.sha256(np.asarray(values, np.float32).tobytes() + hook.encode()).digest()
    return FeatureKey(model_id, f"{int(layer)}-vectors-{name}", int.from_bytes(digest[:6], "big") % 10**8)
