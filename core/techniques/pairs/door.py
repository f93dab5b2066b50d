"""Pairs of prompts over a workbench's sources, the one door: `Workbench.pairs`. Each technique is a module of its own.

Prompts, targets, sources and the cache are those of `Workbench.circuits`, which both prompts are asked of one by one.
Arrays are kept in the activation cache under everything that they depend on. Nothing here imports torch before
something is computed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from core.errors import BadConfig, BadInput, Busy, WorkbenchError
from core.records import FeatureKey, LeftOut, Records, SourceKey, SourceRecord, Step, Tell
from core.techniques.circuits.records import CircuitAsk, Target
from core.techniques.pairs import shaping
from core.techniques.pairs.align import align
from core.techniques.pairs.records import (
    CurveRecord,
    Direction,
    Pair,
    PairAsk,
    PairFeatures,
    PairNode,
    PatchingRecord,
    Rank,
)

if TYPE_CHECKING:
    from core.models.cache import Arrays
    from core.techniques.circuits.door import At, Circuits
    from core.techniques.circuits.trace import Trace
    from core.techniques.pairs.differences import Differences, Runs
    from core.workbench import Workbench

TOP, MOST = 100, 2000
"""Nodes that are listed, unless told otherwise, and at most."""
PATCHED = 64
"""Nodes that one request may have patched."""
DRAWS, MOST_DRAWS = 10, 50
"""Of random nodes."""


@dataclass(frozen=True, slots=True)
class Both:
    """Two prompts, resolved."""

    clean: At
    corrupted: At
    pair: Pair


class Pairs:
    """What two prompts differ in. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def pair(self, ask: PairAsk, *, tell: Tell | None = None) -> Pair:
        """Both prompts measured, and which token of one stands for which of the other.

        Raises:
            BadInput: a prompt is empty or too long, a target is no single token, or none is named and the model says
                the same after both.
            NotFound: there is no such model, source or feature.
            NotAvailable: weights are not here, or the end of this architecture is none that can be taken apart.
            Busy: too many are waiting, or memory is short.
        """
        with self._both(ask, tell) as both:
            return both.pair

    def features(
        self, ask: PairAsk, *, top: int = TOP, by: Rank = "attribution", patch: int = 0, tell: Tell | None = None
    ) -> PairFeatures:
        """Every feature whose activation differs at two aligned tokens, the `top` first by `by` listed.

        See `core.techniques.pairs.differences`. `patch`: so many of the first are patched too. Raises what `pair` does.
        """
        if not 1 <= top <= MOST or not 0 <= patch <= PATCHED:
            raise BadInput(f"top is 1 to {MOST:,}, and patch 0 to {PATCHED}.")
        _known("by", by, Rank)
        with self._both(ask, tell) as both:
            found, later, lost = self._parts(both)
            hooks = {key: self._bench._source_slot(self._bench.source(key)).get().source.hook_out for key in found}
            record = shaping.features(both.pair, found, hooks, by, top, self._circuits._known)
            record = replace(record, later=later, left_out=lost)
            if patch:
                some = self._patched(both, record.nodes[:patch])
                record = replace(record, nodes=(*some, *record.nodes[patch:]))
            return record

    def patch(
        self, ask: PairAsk, nodes: Sequence[tuple[FeatureKey | str, int]], *, tell: Tell | None = None
    ) -> Records[PairNode]:
        """Some (feature, position in the clean prompt) with what patching each alone does, in both directions.

        Raises what `pair` does; `BadInput` also for too many, for a position that has no counterpart, and for a feature
        that is as active in both.
        """
        named = [(FeatureKey.parse(key) if isinstance(key, str) else key, int(position)) for key, position in nodes]
        if not 1 <= len(named) <= PATCHED:
            raise BadInput(f"Name 1 to {PATCHED} nodes; these are {len(named)}.")
        for key, _ in named:
            if key.model_id != ask.model_id:
                raise BadInput(f"{key} is not of {ask.model_id}.")
            self._bench._source_of(key)
        ask = replace(ask, sources=tuple(dict.fromkeys(key.source for key, _ in named)))
        with self._both(ask, tell) as both:
            found, later, _ = self._parts(both)
            if later:
                raise BadInput(f"{later[0]} writes where the target is read, or after it: it cannot have caused it.")
            made = shaping.nodes(both.pair, found, named, self._circuits._known)
            return Records(self._patched(both, made))

    def residual(
        self, ask: PairAsk, *, direction: Direction = "denoising", tell: Tell | None = None
    ) -> PatchingRecord:
        """The residual stream patched before every layer, token by token and all together.

        See `core.techniques.pairs.patching`. Raises what `pair` does.
        """
        from core.techniques.circuits.lens import hooks
        from core.techniques.pairs.patching import residual

        _known("direction", direction, Direction)
        with self._both(ask, tell) as both:
            own, other = (both.corrupted, both.clean) if direction == "denoising" else (both.clean, both.corrupted)
            pairs = [(b, a) if direction == "denoising" else (a, b) for a, b in both.pair.alignment.pairs]
            names = hooks(own.model.manifest.record.layers)[:-1]
            done = _counting(tell, "patching", len(names) * (len(pairs) + 1))

            def make() -> Arrays:
                return residual(own.model, _tensor(own.ids), _tensor(other.ids), own.aim, names, pairs, done)

            made = self._kept(both, ("residual", direction), make)
            sign = 1.0 if direction == "denoising" else -1.0
            return PatchingRecord(
                pair=both.pair, direction=direction, hooks=names,
                rows=tuple(tuple((sign * row + 0.0).tolist()) for row in made["rows"]),
                whole=tuple((sign * made["whole"] + 0.0).tolist()),
            )  # fmt: skip

    def curve(
        self, ask: PairAsk, source: SourceKey | str, *, by: Rank = "attribution", draws: int = DRAWS, seed: int = 0,
        tell: Tell | None = None,
    ) -> CurveRecord:  # fmt: skip
        """Faithfulness and completeness of the first n nodes of one source, against as many random ones.

        See `core.techniques.pairs.faithfulness`. Raises what `pair` does; `BadInput` also for a source that writes
        where the target is read, and where keeping everything gives the same as keeping nothing.
        """
        _known("by", by, Rank)
        if not 1 <= draws <= MOST_DRAWS or seed < 0:
            raise BadInput(f"draws is 1 to {MOST_DRAWS}, and seed 0 or more.")
        key = SourceKey.parse(source) if isinstance(source, str) else source
        with self._both(replace(ask, sources=(key,)), tell) as both:
            (record,) = self._circuits._chosen(both.clean.ask)
            mark = self._circuits._part_name(both.clean, record)
            name = ("curve", mark, by, draws, seed)
            made = self._kept(both, name, lambda: self._lines(both, record, by, draws, seed), locked=False)
            if not math.isclose(made["alone"][0], made["error"][-1], rel_tol=1e-5, abs_tol=1e-5):
                return shaping.curve(both.pair, record, by, made, draws, seed)
            raise BadInput(f"Nothing that {key} reads differs between the two prompts in a way that L depends on.")

    # -- the ask, resolved ---------------------------------------------------------------------------------------------

    @property
    def _circuits(self) -> Circuits:
        return self._bench.circuits

    @contextmanager
    def _both(self, ask: PairAsk, tell: Tell | None) -> Iterator[Both]:
        """Both prompts with the model held."""
        (text,) = self._bench._texts(ask.corrupted)
        asked = CircuitAsk(
            model_id=ask.model_id, text=ask.clean, target=ask.target, against=ask.against, feature=ask.feature,
            sources=ask.sources,
        )  # fmt: skip
        with self._circuits._at(asked, tell) as clean:
            _, (ids,) = self._bench._tokens_here(ask.model_id, [text])

            def at(asked: CircuitAsk, ids: list[int]) -> At:
                return self._circuits._resolved(asked, clean.model, ids, clean.lock, tell)

            corrupted = at(replace(asked, text=text), ids)
            if ask.feature is None and not ask.target:
                target, against = _likeliest(clean.target, corrupted.target)
                named = replace(asked, target=(target,), against=(against,))
                clean, corrupted = at(named, clean.ids), at(replace(named, text=text), ids)
            pair = Pair(
                ask=ask, clean=clean.target, corrupted=corrupted.target, alignment=align(clean.ids, corrupted.ids)
            )
            yield Both(clean, corrupted, pair)

    # -- features ------------------------------------------------------------------------------------------------------

    def _parts(self, both: Both) -> tuple[dict[SourceKey, Arrays], tuple[SourceKey, ...], tuple[LeftOut, ...]]:
        """(each source's differences, sources that come after the target, those that cannot be read)."""
        circuits, reader = self._circuits, self._bench._reader(both.pair.ask.model_id)
        found: dict[SourceKey, Arrays] = {}
        after: set[SourceKey] = set()
        missing: list[SourceRecord] = []
        lost: list[LeftOut] = []
        sources = circuits._chosen(both.clean.ask)
        for n, source in enumerate(sources):
            tell = both.clean.tell
            if tell is not None and self._bench._source_slot(source).value is None:
                tell(Step(doing="loading", what=str(source.key), done=n, of=len(sources)))
            try:
                held = reader._cache.get(self._name(both, source))
            except Busy:
                raise
            except WorkbenchError as error:  # weights that are gone, say
                if both.pair.ask.sources:
                    raise
                lost.append(LeftOut(key=source.key, why=str(error)))
                continue
            if held is None:
                missing.append(source)
            elif "later" in held:
                after.add(source.key)
            else:
                found[source.key] = held
        if missing:
            traces = self._traces(both, missing)
            for source in missing:
                with self._read(both, source, traces) as one:
                    if one is None:
                        after.add(source.key)
                        reader._cache.put(self._name(both, source), {"later": np.array(1)})  # or each ask traces anew
                    else:
                        found[source.key] = self._made(both, source, traces, *one)
        later = tuple(one.key for one in sources if one.key in after)
        return {one.key: found[one.key] for one in sources if one.key in found}, later, tuple(lost)

    def _made(
        self, both: Both, source: SourceRecord, traces: tuple[Trace, Trace], runs: Runs, nodes: Differences
    ) -> Arrays:
        from core.techniques.pairs.differences import arrays, attribution

        hook = self._bench._source_slot(source).get().source.hook_out
        gradients = (traces[0].gradient[hook], traces[1].gradient[hook])
        made = arrays(runs, nodes, attribution(runs, nodes, gradients), gradients)
        if not np.isfinite(made["sums"]).all():
            raise BadConfig(f"The values of {source.key} are no finite numbers on this text.")
        self._bench._reader(source.key.model_id)._cache.put(self._name(both, source), made)
        return made

    def _traces(self, both: Both, sources: Sequence[SourceRecord]) -> tuple[Trace, Trace]:
        return self._circuits._trace(both.clean, sources), self._circuits._trace(both.corrupted, sources)

    @contextmanager
    def _read(
        self, both: Both, source: SourceRecord, traces: tuple[Trace, Trace]
    ) -> Iterator[tuple[Runs, Differences] | None]:
        """A source on both runs, and its nodes; None where it writes at or after the target."""
        from core.techniques.circuits.door import _bos
        from core.techniques.pairs.differences import Runs, differences

        with self._bench._source_slot(source).held() as encoder:
            own = encoder.source
            aimed = both.pair.ask.feature is not None and own.hook_out == both.clean.aim.hook
            if aimed or not all(own.hook_out in trace.gradient for trace in traces):
                yield None
                return
            each = list(zip((both.clean, both.corrupted), traces, strict=True))
            one, two = (self._circuits._splice(at, own, trace) for at, trace in each)
            pairs = both.pair.alignment.pairs
            runs = Runs(one, two, _tensor(pairs).reshape(-1, 2).to(one.out.device))
            first, second = (encoder(trace.x[own.hook].float(), _bos(at)) for at, trace in each)
            yield runs, differences((first, second), pairs, own.width, one.out.device)

    def _name(self, both: Both, source: SourceRecord) -> str:
        """In the cache."""
        from core.techniques.circuits.door import _name

        return _name(both.clean, ("pair", both.corrupted.name, self._circuits._part_name(both.clean, source)))

    # -- patches -------------------------------------------------------------------------------------------------------

    def _patched(self, both: Both, nodes: Sequence[PairNode]) -> list[PairNode]:
        """The nodes with what patching each does; what was measured before is known."""
        reader = self._bench._reader(both.pair.ask.model_id)
        sources = {node.key.source: self._bench.source(node.key.source) for node in nodes}
        marks = {key: self._name(both, one) for key, one in sources.items()}
        names = [_name_of("patched", marks[n.key.source], n.key.index, n.position) for n in nodes]
        held = [reader._cache.get(name) for name in names]
        missing = [n for n, one in enumerate(held) if one is None]
        if missing:
            measured = self._measured(both, sources, [nodes[n] for n in missing])
            for n, one in zip(missing, measured, strict=True):
                held[n] = one
                reader._cache.put(names[n], one)
        return [
            replace(node, denoised=float(one["effects"][0]), noised=float(one["effects"][1]))
            for node, one in zip(nodes, held, strict=True) if one is not None
        ]  # fmt: skip

    def _measured(
        self, both: Both, sources: dict[SourceKey, SourceRecord], nodes: Sequence[PairNode]
    ) -> list[Arrays]:
        from core.techniques.circuits.ablation import Cut, ablate

        traces = self._traces(both, list(sources.values()))
        place = {a: n for n, (a, _) in enumerate(both.pair.alignment.pairs)}
        vectors: dict[int, tuple[str, Any]] = {}
        for key, source in sources.items():
            with self._read(both, source, traces) as one:
                own = [n for n, node in enumerate(nodes) if node.key.source == key]
                if one is None or not own:
                    continue
                runs, every = one
                asked = [place[nodes[n].position] * source.width + nodes[n].key.index for n in own]
                where = np.searchsorted((every.at * source.width + every.features).cpu().numpy(), asked)
                some = every.some(_tensor(where.tolist()).to(every.at.device))
                hook = self._bench._source_slot(source).get().source.hook_out
                vectors |= {n: (hook, v) for n, v in zip(own, runs.vectors(some), strict=True)}
        both_ways = []
        for at, sign in ((both.corrupted, -1.0), (both.clean, 1.0)):
            there = [node.counterpart if at is both.corrupted else node.position for node in nodes]
            cuts = [Cut(vectors[n][0], there[n], sign * vectors[n][1]) for n in range(len(nodes))]
            with at.lock:
                found = ablate(at.model, _tensor(at.ids), at.aim, cuts, _counting(at.tell, "patching", len(cuts)))
            both_ways.append(sign * np.array(found) + 0.0)
        return [{"effects": np.array(one)} for one in zip(*both_ways, strict=True)]

    def _lines(self, both: Both, source: SourceRecord, by: Rank, draws: int, seed: int) -> Arrays:
        from core.techniques.pairs.differences import attribution
        from core.techniques.pairs.faithfulness import counts, lines, ranked

        at, traces = both.clean, self._traces(both, [source])
        with ExitStack() as stack:
            one = stack.enter_context(self._read(both, source, traces))
            if one is None:
                raise BadInput(f"{source.key} writes where the target is read, or after it: it cannot have caused it.")
            runs, nodes = one
            hook = self._bench._source_slot(source).get().source.hook_out
            effects = attribution(runs, nodes, (traces[0].gradient[hook], traces[1].gradient[hook]))
            order = ranked(effects, nodes, by)
            done = _counting(at.tell, "patching", (3 + draws) * len(counts(len(order))))
            with at.lock:
                made = lines(at.model, _tensor(at.ids), at.aim, hook, runs, nodes, order, draws, seed, done)
        return {**made, "nodes": np.array(len(order)), "counts": np.array(counts(len(order)))}

    # -- the cache -----------------------------------------------------------------------------------------------------

    def _kept(
        self, both: Both, parts: tuple[object, ...], make: Callable[[], Arrays], *, locked: bool = True
    ) -> Arrays:
        """What the cache has, or what is made (under the model's lock, if `locked`) and kept."""
        cache = self._bench._reader(both.pair.ask.model_id)._cache
        name = _name_of("pair", both.clean.name, both.corrupted.name, both.clean.aim.mark, *parts)
        held = cache.get(name)
        if held is None:
            with both.clean.lock if locked else ExitStack():
                held = make()
            cache.put(name, held)
        return held


def _likeliest(clean: Target, corrupted: Target) -> tuple[str, str]:
    """The likeliest next token after each prompt, by id."""
    one, two = clean.likeliest[0].token, corrupted.likeliest[0].token
    if one.id == two.id:
        raise BadInput(
            f"After both prompts “{one.text}” is the likeliest: name a target and what it is set against, for example "
            f"“{one.text}” against “{clean.likeliest[1].token.text}”."
        )
    return f"#{one.id}", f"#{two.id}"


def _known(name: str, value: str, kind: Any) -> None:
    if value not in get_args(kind):
        raise BadInput(f"{name} is one of {', '.join(get_args(kind))}; “{str(value)[:40]}” is not.")


def _name_of(*parts: object) -> str:
    from core.models.cache import name_of

    return name_of("pairs", 1, *parts)


def _tensor(ids: Sequence[Any]) -> Any:
    import torch

    return torch.tensor(ids, dtype=torch.int64)


def _counting(tell: Tell | None, what: str, of: int) -> Callable[[int], None]:
    def done(count: int) -> None:
        if tell is not None:
            tell(Step(doing="reading", what=what, done=count, of=of))

    return done
