"""Attribution graphs over a workbench's sources, the one door: `Workbench.graphs`. Each kind is a module of its own.

What is computed of a prompt is kept in the activation cache under everything that it depends on, so that other
thresholds are a look-up and some products. Runs wait in the line of `Workbench.circuits`. Nothing here imports torch
before something is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import BadConfig, BadInput, NotAvailable, NotFound
from core.records import Records, SourceRecord, Step, Tell
from core.techniques.circuits.records import CircuitAsk, NextToken
from core.techniques.circuits.tokens import next_tokens, token_id
from core.techniques.graphs import shaping
from core.techniques.graphs.kept import Kept
from core.techniques.graphs.records import FEATURES, GraphAsk, GraphEntry, GraphRecord, Way

if TYPE_CHECKING:
    from core.models.cache import Arrays
    from core.techniques.circuits.door import At
    from core.techniques.graphs.reading import Level
    from core.workbench import Workbench

TOKENS = 64
"""Of a prompt at most: a graph has nodes at each."""
FEW = 300
"""Features of a graph of residual SAEs at most: each costs a pass and its gradient."""
LOGITS = 15


class Graphs:
    """Who acts on whom in a prompt. Safe to share between threads."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._files = Kept(bench.settings.data)

    # -- graphs that are kept ------------------------------------------------------------------------------------------

    def kept(self, model_id: str | None = None) -> Records[GraphEntry]:
        """The graphs that were saved here, of one model or of all, the newest first."""
        return self._files.entries(model_id)

    def load(self, model_id: str, slug: str) -> GraphRecord:
        """One of them; raises `NotFound`, or `BadData` for a damaged file."""
        return self._files.load(model_id, slug)

    def save(self, record: GraphRecord, *, replacing: bool = False) -> GraphRecord:
        """Keeps a graph under its model and `slug`, in the writable data root.

        Raises:
            BadInput: the slug is no name for a file.
            Conflict: it is taken, unless `replacing`.
            NotAvailable: there is no room, or the data root cannot be written.
        """
        return self._files.save(record, replacing=replacing)

    def drop(self, model_id: str, slug: str) -> None:
        """Forgets one; raises `NotFound`."""
        self._files.drop(model_id, slug)

    # -- making one ----------------------------------------------------------------------------------------------------

    def sets(self, model_id: str) -> dict[str, Way]:
        """The sets of a model of which a graph can be made, transcoders first."""
        layers = self._bench.model(model_id).layers
        found: dict[str, list[SourceRecord]] = {}
        for one in self._bench.sources(model_id=model_id):
            if "weights" in one.has and one.kind in ("sae", "transcoder"):
                found.setdefault(one.key.source_id.split("-", 1)[1], []).append(one)
        ways: dict[str, Way] = {}
        for name, members in found.items():
            way = _way(members, layers)
            if way is not None:
                ways[name] = way
        return dict(sorted(ways.items(), key=lambda pair: (pair[1] != "transcoders", pair[0])))

    def make(self, ask: GraphAsk, *, tell: Tell | None = None) -> GraphRecord:
        """The graph of a prompt, pruned.

        Of a set of transcoders with one for every layer it is exact (`core.techniques.graphs.exact`), of residual SAEs
        activation × gradient (`core.techniques.graphs.residual`).

        Raises:
            BadInput: the prompt is empty or too long, a target is no single token, or a number is out of its bounds.
            NotFound: there is no such model or set.
            NotAvailable: the model has no set of which a graph can be made, or is none that can be frozen.
            Busy: too many are waiting, or memory is short.
        """
        _check(ask)
        way, sources = self._chosen(ask)
        circuits = self._bench.circuits
        with circuits._at(CircuitAsk(model_id=ask.model_id, text=ask.text), tell) as at:
            if len(at.ids) > TOKENS:
                raise BadInput(f"{len(at.ids)} tokens are too many for a graph: at most {TOKENS}. Shorten the prompt.")
            chosen = self._logits(ask, at)
            most = min(ask.features, FEATURES if way == "transcoders" else FEW)
            made = self._kept(at, way, sources, chosen, most)
            layers = at.model.manifest.record.layers
            keys = [one.key for one in sources]
            return shaping.record(ask, way, keys, at.target.tokens, layers, chosen, made, circuits._known)

    # -- the ask, resolved ---------------------------------------------------------------------------------------------

    def _chosen(self, ask: GraphAsk) -> tuple[Way, list[SourceRecord]]:
        """The kind of graph and its sources, in the order of the model."""
        ways = self.sets(ask.model_id)
        if not ways:
            raise NotAvailable(
                f"{ask.model_id} has no transcoders for every layer and no SAEs on its residual stream with weights "
                "here, and a graph needs one or the other."
            )
        name = ask.set_name or next(iter(ways))
        if name not in ways:
            there = ", ".join(ways)
            raise NotFound(f"{ask.model_id} has no set “{name[:60]}” of which a graph can be made. It has: {there}.")
        own = [
            one
            for one in self._bench.sources(model_id=ask.model_id)
            if one.key.source_id.split("-", 1)[1] == name and "weights" in one.has
        ]
        return ways[name], sorted(own, key=lambda one: one.key.layer)

    def _logits(self, ask: GraphAsk, at: At) -> tuple[NextToken, ...]:
        """The next tokens that are nodes, the likeliest first."""
        raw = self._next(at)
        capped = raw if at.end.cap is None else at.end.cap * np.tanh(raw / at.end.cap)
        special = 0 if at.model.bos is None else 1
        if ask.target:
            ids = [
                token_id(text, lambda part: at.model.ids(part)[special:], at.model.vocabulary) for text in ask.target
            ]
            return next_tokens(capped, list(dict.fromkeys(ids)), at.model.vocabulary)
        ranked = np.argsort(-capped, kind="stable")[: ask.logits].tolist()
        found = next_tokens(capped, ranked, at.model.vocabulary)
        sums = np.cumsum([one.probability for one in found])
        return found[: int(np.searchsorted(sums, ask.chance)) + 1]

    def _next(self, at: At) -> Any:
        """The model's logits before a softcap, which a full cache may have lost since they were last looked at."""
        from core.techniques.circuits.door import _next

        return self._bench.circuits._kept(at, ("next",), lambda: _next(at))["logits"]

    # -- the arrays ----------------------------------------------------------------------------------------------------

    def _kept(
        self, at: At, way: Way, sources: Sequence[SourceRecord], chosen: Sequence[NextToken], most: int
    ) -> Arrays:
        from core.techniques.circuits.door import _name

        cache = self._bench._reader(at.ask.model_id)._cache
        own = [self._bench._source_slot(one).get().source for one in sources]
        known = [(one.hook, one.hook_out, one.sha256) for one in own]
        name = _name(at, ("graph", 2, way, known, [one.token.id for one in chosen], most))
        held = cache.get(name)
        if held is None:
            make = self._exact if way == "transcoders" else self._residual
            held = make(at, sources, chosen, most)
            if not all(np.isfinite(held[part]).all() for part in ("rows", "sum", "activation")):
                raise BadConfig("What acts on what is no finite number on this text: weights are too large.")
            cache.put(name, held)
        return held

    def _exact(self, at: At, sources: Sequence[SourceRecord], chosen: Sequence[NextToken], most: int) -> Arrays:
        from core.techniques.circuits.door import _tensor
        from core.techniques.graphs.exact import Exact, build
        from core.techniques.graphs.frozen import freeze

        hooks = [hook for one in sources for hook in (one.hook, one.hook_out or one.hook)]
        with at.lock:
            frozen = freeze(at.model, _tensor(at.ids), sorted(set(hooks)))
        levels = self._levels(at, sources, frozen.x)
        exact = Exact(frozen, levels, self._ends(at, chosen))
        return build(exact, [one.probability for one in chosen], most, _counting(at.tell))

    def _residual(self, at: At, sources: Sequence[SourceRecord], chosen: Sequence[NextToken], most: int) -> Arrays:
        from core.techniques.circuits.door import _tensor
        from core.techniques.circuits.trace import FIRST
        from core.techniques.graphs.residual import Residual, beginnings, build

        with at.lock:
            x, token = beginnings(at.model, _tensor(at.ids), sorted({FIRST, *(one.hook for one in sources)}))
        levels = self._levels(at, sources, x)
        targets = [one.token.id for one in chosen]
        graph = Residual(at.model, at.end, _tensor(at.ids), levels, x, token, targets)
        with at.lock:
            return build(graph, [one.probability for one in chosen], most, _counting(at.tell))

    def _levels(self, at: At, sources: Sequence[SourceRecord], x: dict[str, Any]) -> list[Level]:
        from core.sources.sae import Sae
        from core.techniques.circuits.door import _bos
        from core.techniques.graphs.reading import level

        found = []
        for one in sources:
            with self._bench._source_slot(one).held() as encoder:
                own = encoder.source
                assert isinstance(own, Sae)  # the kinds that `sets` lets through
                codes = encoder(x[own.hook], _bos(at))
                found.append(level(own, one.key.layer, x[own.hook], x[own.hook_out], codes, at.target.bos))
        return found

    def _ends(self, at: At, chosen: Sequence[NextToken]) -> Any:
        import torch

        from core.techniques.graphs.exact import Logits

        ids = [one.token.id for one in chosen]
        raw = torch.tensor(self._next(at)).double()
        vectors, constants = at.end.beyond_mean(ids)
        chances = tuple(one.probability for one in chosen)
        return Logits(tuple(ids), chances, vectors, constants, (raw[ids] - raw.mean()).float())


def _way(members: Sequence[SourceRecord], layers: int) -> Way | None:
    """What graph a set can make."""
    each = sorted(one.key.layer for one in members)
    if all(one.kind == "transcoder" for one in members):
        return "transcoders" if each == list(range(layers)) else None
    stream = (".hook_resid_pre", ".hook_resid_post")
    own = all(one.kind == "sae" and one.hook.endswith(stream) for one in members)
    return "residual" if own and len(set(each)) == len(each) and len({one.hook[-4:] for one in members}) == 1 else None


def _check(ask: GraphAsk) -> None:
    """Numbers within their bounds."""
    for name, value in (("nodes", ask.nodes), ("edges", ask.edges), ("chance", ask.chance)):
        if not 0 < value <= 1:
            raise BadInput(f"“{name}” is a share from above 0 to 1, not {value:g}.")
    if not 1 <= ask.logits <= LOGITS or len(ask.target) > LOGITS:
        raise BadInput(f"A graph has 1 to {LOGITS} next tokens.")
    if not 1 <= ask.features <= FEATURES:
        raise BadInput(f"A graph has 1 to {FEATURES:,} features, not {ask.features:,}.")


def _counting(tell: Tell | None) -> Callable[[int, int], None]:
    def done(count: int, of: int) -> None:
        if tell is not None:
            tell(Step(doing="reading", what="features of the graph", done=count, of=of))

    return done
