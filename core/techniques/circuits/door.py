"""Circuits over a workbench's sources, the one door: `Workbench.circuits`. Each technique is a module of its own.

From an ask to tokens, to what is measured (`aim`), to arrays that a technique computes, to a record. Arrays are kept in
the activation cache under everything that they depend on (the tokens, the model's weights, the target, the sources'),
so what was asked once is a look-up. So many asks are at work at once as steering runs; the others wait in line. Nothing
here imports torch before something is computed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import BadConfig, BadInput, Busy, NotAvailable, WorkbenchError
from core.models.line import Line
from core.models.memory import no_room, ran_out
from core.records import FeatureKey, LeftOut, Records, SourceKey, SourceRecord, Step, Tell
from core.techniques.circuits import shaping
from core.techniques.circuits.records import (
    TOP,
    CircuitAsk,
    DirectRecord,
    DriversRecord,
    FeaturesRecord,
    LensRecord,
    Node,
    Target,
)
from core.techniques.circuits.tokens import next_tokens

if TYPE_CHECKING:
    from core.models.cache import Arrays
    from core.models.loading import LoadedModel
    from core.sources.dictionary import Dictionary
    from core.techniques.circuits.aim import Aim
    from core.techniques.circuits.end import End
    from core.techniques.circuits.features import Found
    from core.techniques.circuits.splice import Splice
    from core.techniques.circuits.trace import Trace
    from core.workbench import Workbench

TOKENS = 256
"""Of a prompt that is looked into at most: attention and a lens grow with it."""
MOST = 2000
"""Nodes of one answer at most."""
ABLATED = 64
"""Nodes that one request may have ablated."""
HEADS = 8
"""Heads whose attention is shown."""
LIKELIEST = 10


@dataclass(slots=True)
class At:
    """An ask, resolved: what every technique begins with."""

    ask: CircuitAsk
    model: LoadedModel
    ids: list[int]
    aim: Aim
    end: End
    target: Target
    name: str
    """In the cache: the tokens and the model."""
    lock: Any
    tell: Tell | None


class Circuits:
    """What a prompt's output is made of. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self.line = Line(bench.settings.generations)
        self._ends: dict[int, tuple[Any, End]] = {}
        self._counted: dict[SourceKey, tuple[int, ...]] = {}

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def target(self, ask: CircuitAsk, *, tell: Tell | None = None) -> Target:
        """What is measured, with the model's likeliest next tokens.

        Raises:
            BadInput: the prompt is empty or too long, a target is no single token, or a position is not in the text.
            NotFound: there is no such model, source or feature.
            NotAvailable: weights are not here, or the end of this architecture is none that can be taken apart.
            Busy: too many are waiting, or memory is short.
        """
        with self._at(ask, tell) as at:
            return at.target

    def lens(self, ask: CircuitAsk, *, tell: Tell | None = None) -> LensRecord:
        """The logit lens at every layer and token; see `core.techniques.circuits.lens`. Raises what `target` does."""
        from core.techniques.circuits.lens import hooks, lens

        with self._at(ask, tell) as at:
            target = [one.token.id for one in at.target.target]
            made = self._kept(at, ("lens", target), lambda: lens(at.model, at.end, _tensor(at.ids), target))
            return shaping.lens(ask, at.target, hooks(at.model.manifest.record.layers), made, at.model.vocabulary)

    def direct(self, ask: CircuitAsk, *, tell: Tell | None = None) -> DirectRecord:
        """L as a sum over the parts of the model, and the attention of the heads that add most.

        See `core.techniques.circuits.direct`. Where L is no direction in the residual stream, as of a feature of MLP
        neurons, the record has no components, and `note` says so. Raises what `target` does.
        """
        from core.techniques.circuits.direct import direct

        with self._at(ask, tell) as at:
            made = self._kept(
                at, ("direct", at.aim.mark), lambda: direct(at.model, _tensor(at.ids), at.aim) or {"none": np.array(1)}
            )
            return shaping.direct(ask, at.target, made, HEADS)

    def features(
        self, ask: CircuitAsk, *, top: int = TOP, ablate: int = 0, tell: Tell | None = None
    ) -> FeaturesRecord:
        """Activation × gradient of every active feature, the `top` largest listed, with the sums that must hold.

        See `core.techniques.circuits.features`. `ablate`: so many of the first are rerun without their contribution.
        Sources that write after the target is read are left out, and the record says so. Raises what `target` does.
        """
        if not 1 <= top <= MOST or not 0 <= ablate <= ABLATED:
            raise BadInput(f"top is 1 to {MOST:,}, and ablate 0 to {ABLATED}.")
        with self._at(ask, tell) as at:
            parts, later, lost = self._parts(at)
            sources = {key: self._bench.source(key) for key in parts}
            hooks = {key: self._bench._source_slot(one).get().source.hook_out for key, one in sources.items()}
            record = shaping.features(ask, at.target, parts, hooks, top, self._known)
            record = replace(record, later=later, left_out=lost)
            if ablate:
                some = record.nodes[:ablate]
                measured = self._ablated(at, [(node.key, node.position) for node in some])
                cut = [replace(node, ablated=value) for node, value in zip(some, measured, strict=True)]
                record = replace(record, nodes=(*cut, *record.nodes[ablate:]))
            return record

    def ablate(
        self, ask: CircuitAsk, nodes: Sequence[tuple[FeatureKey | str, int]], *, tell: Tell | None = None
    ) -> Records[Node]:
        """Some (feature, position) with what each takes from L when L is computed anew without it.

        See `core.techniques.circuits.ablation`. Raises what `target` does; `BadInput` also for too many, for a
        position after the target's, and for a feature that is not active there.
        """
        found = [(FeatureKey.parse(key) if isinstance(key, str) else key, int(position)) for key, position in nodes]
        if not 1 <= len(found) <= ABLATED:
            raise BadInput(f"Name 1 to {ABLATED} nodes; these are {len(found)}.")
        for key, _ in found:
            if key.model_id != ask.model_id:
                raise BadInput(f"{key} is not of {ask.model_id}.")
            self._bench._source_of(key)
        ask = replace(ask, sources=tuple(dict.fromkeys(key.source for key, _ in found)))
        with self._at(ask, tell) as at:
            if wrong := [position for _, position in found if not 0 <= position < len(at.ids)]:
                last = len(at.ids) - 1
                raise BadInput(f"The target is read at token {last}, and nodes are at 0 to {last}, not at {wrong[0]}.")
            parts, later, _ = self._parts(at)
            if later:
                raise BadInput(f"{later[0]} writes where the target is read, or after it: it cannot have caused it.")
            made = shaping.nodes(parts, found, self._known)
            return Records(
                replace(node, ablated=value) for node, value in zip(made, self._ablated(at, found), strict=True)
            )

    def drivers(self, ask: CircuitAsk, *, tell: Tell | None = None) -> DriversRecord:
        """Which tokens of the prompt drive the target, exactly and by integrated gradients.

        See `core.techniques.circuits.drivers`. Of a node: its feature as the target, at its position. Raises what
        `target` does.
        """
        from core.techniques.circuits import drivers

        with self._at(ask, tell) as at:
            own = [n for n, token in enumerate(at.target.tokens) if not token.special]
            stand_ins = self._usual(ask.model_id, at)
            ids = _tensor(at.ids)

            def make() -> Arrays:
                done = _counting(at.tell, "replacing tokens", len(own) * drivers.REPLACEMENTS)
                shares = drivers.replaced(at.model, ids, at.aim, own, stand_ins, done)
                return {"replaced": shares, **drivers.integrated(at.model, ids, at.aim, own, stand_ins)}

            made = self._kept(at, ("drivers", at.aim.mark, stand_ins, drivers.STEPS), make)
            tokens = shaping.drawn(stand_ins, at.model.vocabulary)
            return shaping.drivers(ask, at.target, own, tokens, made, drivers.STEPS)

    # -- the ask, resolved ---------------------------------------------------------------------------------------------

    @contextmanager
    def _at(self, ask: CircuitAsk, tell: Tell | None) -> Iterator[At]:
        """The ask with the model held; what runs out of memory says so."""
        slot = self._bench._model_slot(self._bench.model(ask.model_id).model_id)
        if ask.feature is not None and (ask.target or ask.against):
            raise BadInput("The target is tokens or a feature: name one of the two.")
        if ask.against and not ask.target:
            raise BadInput("There are tokens to set against a target, but no target.")
        (text,) = self._bench._texts(ask.text)
        try:
            with self.line.place(self._bench.settings.patience, tell), slot.held():
                model, (ids,) = self._bench._tokens_here(ask.model_id, [text], tell)
                yield self._resolved(ask, model, ids, slot.lock, tell)
                return
        except BadConfig as error:
            raise NotAvailable(str(error)) from error
        except Exception as error:
            if not ran_out(error):
                raise
        slot.starved()  # when the error and what its frames hold are gone
        raise no_room()

    def _resolved(self, ask: CircuitAsk, model: LoadedModel, ids: list[int], lock: Any, tell: Tell | None) -> At:
        from core.techniques.circuits.aim import Logits, Reading

        position = len(ids) - 1 if ask.position is None else ask.position
        if not 0 <= position < len(ids):
            raise BadInput(f"The text has tokens 0 to {len(ids) - 1}, BOS counted; there is no {position}.")
        ids = ids[: position + 1]
        if len(ids) > TOKENS:
            raise BadInput(f"{len(ids):,} tokens are too many for a circuit: at most {TOKENS}. Shorten the prompt.")
        end, name = self._end(model), self._bench._reader(ask.model_id)._hidden_name("circuit", tuple(ids))
        layers = model.manifest.record.layers
        tokens = model.vocabulary.draw(ids)
        blank = Target(value=0.0, position=position, tokens=tokens, bos=model.bos is not None and ids[0] == model.bos)
        at = At(ask, model, ids, Logits(end, layers, (0,), ()), end, blank, name, lock, tell)
        raw = self._kept(at, ("next",), lambda: _next(at))["logits"]
        logits = raw if end.cap is None else end.cap * np.tanh(raw / end.cap)
        likeliest = next_tokens(logits, np.argsort(-logits, kind="stable")[:LIKELIEST].tolist(), model.vocabulary)
        if ask.feature is not None:
            if ask.feature.model_id != ask.model_id:
                raise BadInput(f"{ask.feature} is not a feature of {ask.model_id}.")
            source = self._bench._source_of(ask.feature)
            at.aim = Reading(self._bench._source_slot(source).get().source, ask.feature.index)
            chosen: tuple[list[int], list[int]] = ([], [])
        else:
            chosen = self._tokens(ask, model)
            if not chosen[0]:
                chosen = ([likeliest[0].token.id], [likeliest[1].token.id])
            at.aim = Logits(end, layers, tuple(chosen[0]), tuple(chosen[1]))
        if ask.feature is not None:
            measured = self._kept(at, ("value", at.aim.mark), lambda: _value(at))
        else:
            side = [raw[part].astype(np.float64).mean() if part else 0.0 for part in chosen]
            measured = {"value": np.array(side[0] - side[1])}
        target, against = (next_tokens(logits, ids, model.vocabulary) for ids in chosen)
        at.target = replace(
            blank, value=float(measured["value"]), target=target, against=against, likeliest=likeliest,
            feature=ask.feature,
            activation=float(measured["activation"]) if "activation" in measured else None,
            label=self._label(ask.feature),
        )  # fmt: skip
        return at

    def _tokens(self, ask: CircuitAsk, model: LoadedModel) -> tuple[list[int], list[int]]:
        """The ids of the target's tokens and of those against it."""
        from core.techniques.circuits.tokens import token_id

        special = [] if model.bos is None else [model.bos]

        def ids(text: str) -> list[int]:
            return model.ids(text)[len(special) :]

        sides = (ask.target, ask.against)
        found = [list(dict.fromkeys(token_id(text, ids, model.vocabulary) for text in side)) for side in sides]
        if both := set(found[0]) & set(found[1]):
            token = model.vocabulary.draw([min(both)])[0].text
            raise BadInput(f"“{token}” is on both sides: a target is set against other tokens.")
        return found[0], found[1]

    def _end(self, model: LoadedModel) -> End:
        """The model's, looked at once: that it gives the model's own logits."""
        key = id(model)
        held = self._ends.get(key)
        if held is None or held[0]() is not model:
            from core.techniques.circuits.checking import checked_end

            with self._bench._model_slot(model.manifest.spec.id).lock:
                end = checked_end(model)
            held = (weakref.ref(model, lambda _: self._ends.pop(key, None)), end)  # or its unembedding would stay
            self._ends[key] = held
        return held[1]

    def _usual(self, model_id: str, at: At) -> tuple[int, ...]:
        """What stands in for other tokens: the most usual of the build's prompts, or of the text."""
        from core.techniques.circuits.drivers import REPLACEMENTS

        special = set(at.model.manifest.special)
        built = [
            one
            for one in self._bench.sources(model_id=model_id)
            if one.prompts and "dashboards" in one.has and not self._bench.catalog.entry(one.key).imported
        ]
        if built:
            largest = max(built, key=lambda one: one.tokens)
            if largest.key not in self._counted:
                from core.techniques.circuits.tokens import usual

                self._counted[largest.key] = usual(self._bench._open.get(self._bench.catalog.entry(largest.key).folder))
            counted = self._counted[largest.key]
        else:
            counted = tuple(sorted(set(at.ids), key=at.ids.count, reverse=True))
        return tuple([i for i in counted if i not in special][: REPLACEMENTS + 1])

    def _label(self, key: FeatureKey | None) -> str:
        return "" if key is None else self._known(key.source, [key.index])[0][0]

    def _known(self, key: SourceKey, indices: Sequence[int]) -> list[tuple[str, float | None]]:
        """(label, density) of some features; empty where the source has no dashboards."""
        source = self._bench.source(key)
        if "dashboards" not in source.has:
            return [("", None)] * len(indices)
        facts, at = self._bench._facts_of(source), np.array(indices, np.int64)
        return list(zip(facts.labels(at), facts.density[at].tolist(), strict=True))

    # -- features ------------------------------------------------------------------------------------------------------

    def _parts(self, at: At) -> tuple[dict[SourceKey, Found], tuple[SourceKey, ...], tuple[LeftOut, ...]]:
        """(each source's decomposition, sources that come after the target, those that cannot be read)."""
        from core.techniques.circuits.features import Found

        sources, lost = self._chosen(at.ask), []
        found: dict[SourceKey, Found] = {}
        later: set[SourceKey] = set()
        missing: list[SourceRecord] = []
        for n, source in enumerate(sources):
            if at.tell is not None and self._bench._source_slot(source).value is None:
                at.tell(Step(doing="loading", what=str(source.key), done=n, of=len(sources)))
            try:
                held = self._bench._reader(source.key.model_id)._cache.get(self._part_name(at, source))
            except Busy:
                raise
            except WorkbenchError as error:  # weights that are gone, say
                if at.ask.sources:
                    raise
                lost.append(LeftOut(key=source.key, why=str(error)))
                continue
            if held is None:
                missing.append(source)
            elif "later" in held:
                later.add(source.key)
            else:
                found[source.key] = Found(**held)
        if missing:
            found |= self._made(at, missing)
        later |= {one.key for one in missing if one.key not in found}
        after = tuple(one.key for one in sources if one.key in later)
        return {one.key: found[one.key] for one in sources if one.key in found}, after, tuple(lost)

    def _part_name(self, at: At, source: SourceRecord) -> str:
        dictionary = self._bench._source_slot(source).get().source
        known = (dictionary.kind, dictionary.hook, dictionary.hook_out, dictionary.sha256)
        return _name(at, ("features", at.aim.mark, *known))

    def _made(self, at: At, sources: Sequence[SourceRecord]) -> dict[SourceKey, Found]:
        """The decompositions of sources of which there are none in the cache, from one pass and its gradient."""
        from core.techniques.circuits.features import attribute
        from core.techniques.circuits.wiring import direct_row

        trace = self._trace(at, sources)
        stream = at.aim.direction(trace.end)
        found: dict[SourceKey, Found] = {}
        cache = self._bench._reader(at.ask.model_id)._cache
        for n, source in enumerate(sources):
            with self._bench._source_slot(source).held() as encoder:
                own = encoder.source
                if own.hook_out not in trace.gradient or (at.ask.feature and own.hook_out == at.aim.hook):
                    cache.put(self._part_name(at, source), {"later": np.array(1)})  # or each ask would trace anew
                    continue
                splice, codes = self._splice(at, own, trace), encoder(trace.x[own.hook].float(), _bos(at))
                u = None if stream is None else direct_row(own.hook_out, at.model, stream.u)
                made = attribute(splice, codes, trace.gradient[own.hook_out], u)
            if not np.isfinite(made.sums[:4]).all():
                raise BadConfig(f"The values of {source.key} are no finite numbers on this text.")
            found[source.key] = made
            cache.put(self._part_name(at, source), made.arrays())
            if at.tell is not None:
                at.tell(Step(
                    doing="reading", what=source.key.source_id, done=n + 1, of=len(sources), tokens=len(at.ids),
                    sources=len(sources),
                ))  # fmt: skip
        return found

    def _trace(self, at: At, sources: Sequence[SourceRecord]) -> Trace:
        from core.techniques.circuits.trace import trace

        each = [self._bench._source_slot(source).get().source for source in sources]
        hooks = sorted({hook for own in each for hook in (own.hook, own.hook_out)})
        with at.lock:
            return trace(at.model, _tensor(at.ids), at.aim, hooks)

    def _splice(self, at: At, source: Dictionary, trace: Trace) -> Splice:
        from core.techniques.circuits.splice import Splice
        from core.techniques.circuits.wiring import neuron_bias

        return Splice(source, trace.x[source.hook], trace.x[source.hook_out], neuron_bias(source, at.model))

    def _chosen(self, ask: CircuitAsk) -> list[SourceRecord]:
        """The sources that take part, by layer."""
        if ask.sources:
            for key in ask.sources:
                if key.model_id != ask.model_id:
                    raise BadInput(f"{key} is not a source of {ask.model_id}.")
            chosen = [self._bench.source(key) for key in dict.fromkeys(ask.sources)]
            for one in chosen:
                if "weights" not in one.has:
                    raise NotAvailable(f"{one.key} has no weights here, so no text can be run through it.")
        else:
            usual = [one for one in self._bench.sources(model_id=ask.model_id) if "weights" in one.has]
            chosen = [one for one in usual if one.kind in ("sae", "transcoder")]
        if not chosen:
            raise NotAvailable(f"No SAE or transcoder of {ask.model_id} has its weights here.")
        return list(self._bench._few(chosen))

    def _ablated(self, at: At, nodes: Sequence[tuple[FeatureKey, int]]) -> list[float]:
        """L less L without each node; what was measured before is known."""
        reader = self._bench._reader(at.ask.model_id)
        sources = {key.source: self._bench.source(key.source) for key, _ in nodes}
        marks = {key: self._part_name(at, one) for key, one in sources.items()}
        names = [_name(at, ("ablated", marks[key.source], key.index, position)) for key, position in nodes]
        found: dict[int, float] = {}
        for n, name in enumerate(names):
            held = reader._cache.get(name)
            if held is not None:
                found[n] = float(held["value"])
        missing = [n for n in range(len(nodes)) if n not in found]
        if missing:
            for n, value in zip(missing, self._cut(at, sources, [nodes[n] for n in missing]), strict=True):
                found[n] = value
                reader._cache.put(names[n], {"value": np.array(value)})
        return [found[n] for n in range(len(nodes))]

    def _cut(
        self, at: At, sources: dict[SourceKey, SourceRecord], nodes: Sequence[tuple[FeatureKey, int]]
    ) -> list[float]:
        from core.techniques.circuits.ablation import Cut, ablate

        trace = self._trace(at, list(sources.values()))
        cuts: dict[int, Cut] = {}
        for key, source in sources.items():
            with self._bench._source_slot(source).held() as encoder:
                own, splice = encoder.source, self._splice(at, encoder.source, trace)
                for n, (one, position) in enumerate(nodes):
                    if one.source == key:
                        where, which = _tensor([position]), _tensor([one.index])
                        value = own.values(trace.x[own.hook][where].float(), which)[0, 0]
                        cuts[n] = Cut(own.hook_out, position, value * splice.rows(where, which)[0])
        tell = _counting(at.tell, "ablating", len(nodes))
        with at.lock:
            return ablate(at.model, _tensor(at.ids), at.aim, [cuts[n] for n in range(len(nodes))], tell)

    # -- the cache -----------------------------------------------------------------------------------------------------

    def _kept(self, at: At, parts: tuple[object, ...], make: Callable[[], Arrays]) -> Arrays:
        """What the cache has, or what is made under the model's lock and kept."""
        cache = self._bench._reader(at.ask.model_id)._cache
        held = cache.get(_name(at, parts))
        if held is None:
            with at.lock:
                held = make()
            cache.put(_name(at, parts), held)
        return held


def _name(at: At, parts: tuple[object, ...]) -> str:
    from core.models.cache import name_of

    return name_of("circuit", 1, at.name, *parts)


def _tensor(ids: Sequence[int]) -> Any:
    import torch

    return torch.tensor(ids, dtype=torch.int64)


def _bos(at: At) -> list[int]:
    """Where the text's BOS is, as an encoder wants to know."""
    return [0] if at.target.bos else []


def _next(at: At) -> Arrays:
    from core.techniques.circuits.checking import next_logits

    return {"logits": next_logits(at.model, at.end, _tensor(at.ids))}


def _value(at: At) -> Arrays:
    from core.techniques.circuits.checking import measured

    return measured(at.model, at.aim, _tensor(at.ids))


def _counting(tell: Tell | None, what: str, of: int) -> Callable[[int], None]:
    def done(count: int) -> None:
        if tell is not None:
            tell(Step(doing="reading", what=what, done=count, of=of))

    return done
