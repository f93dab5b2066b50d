"""The least that can be asked: BOS alone, one token, the same prompt twice. Each technique answers, or says why not."""

from __future__ import annotations

import pytest

from core.errors import WorkbenchError
from core.records import FeatureKey, SourceKey
from core.techniques.circuits.records import CircuitAsk
from core.techniques.graphs.records import GraphAsk
from core.techniques.pairs.records import PairAsk

BOS = CircuitAsk(model_id="tiny", text="The", position=0)
PAIR = PairAsk(model_id="tiny", clean="The", corrupted=" of", target=(" the",), against=(" is",))
SAME = PairAsk(model_id="tiny", clean="The", corrupted="The", target=(" the",))
LONGER = PairAsk(model_id="tiny", clean="The", corrupted="The capital of", target=(" the",))
FEATURE = FeatureKey("tiny", "1-res", 0)
SAE = SourceKey("tiny", "1-res")
JOBS = {
    "lens": lambda bench: bench.circuits.lens(BOS), "direct": lambda bench: bench.circuits.direct(BOS),
    "features": lambda bench: bench.circuits.features(BOS, ablate=2),
    "drivers": lambda bench: bench.circuits.drivers(BOS),
    "a feature at BOS": lambda bench: bench.circuits.features(
        CircuitAsk(model_id="tiny", text="The", position=0, feature=FEATURE)
    ),
    "pattern": lambda bench: bench.heads.pattern("tiny/1/1", "The"),
    "active": lambda bench: bench.heads.active("tiny/1/1", "The", position=0),
    "graph": lambda bench: bench.graph(GraphAsk(model_id="tiny", text="The")),
    "graph of one feature": lambda bench: bench.graph(GraphAsk(model_id="tiny", text="The capital", features=1)),
    "everything kept": lambda bench: bench.graph(GraphAsk(model_id="tiny", text="The capital", nodes=1.0, edges=1.0)),
    **{
        f"{name} of {kind}": lambda bench, name=name, ask=ask: getattr(bench.pairs, name)(ask)
        for kind, ask in (("one token", PAIR), ("the same", SAME), ("another length", LONGER))
        for name in ("pair", "features", "residual")
    },
    "curve of one token": lambda bench: bench.pairs.curve(PAIR, SAE, draws=1),
    "curve of the same": lambda bench: bench.pairs.curve(SAME, SAE, draws=1),
    "curve of another length": lambda bench: bench.pairs.curve(LONGER, SAE, draws=1),
}  # fmt: skip


@pytest.mark.parametrize("name", JOBS)
def test_the_least_is_answered_or_refused_in_words(bench, name):
    try:
        assert repr(JOBS[name](bench))
    except WorkbenchError as error:
        assert str(error).endswith(".")
