"""A circuit that is known is found: which part, which token, which feature; and nothing else has a share."""

from __future__ import annotations

import pytest

from core.records import FeatureKey
from core.settings import Settings
from core.techniques.circuits.records import CircuitAsk
from core.workbench import Workbench
from tests.core.techniques.circuits import planted

TEXT = "The capital of France is Paris, and the system of Rome"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    config = planted.write(tmp_path_factory.mktemp("planted"))
    made = Workbench(Settings(data=config.parent / "data", demo=None))
    made.build(config)
    return made


@pytest.fixture(scope="module")
def ask():
    return CircuitAsk(model_id="planted", text=TEXT, target=(" capital",), against=(" is",))


@pytest.fixture(scope="module")
def place(bench):
    """Where the marked word stands."""
    (at,) = [n for n, t in enumerate(bench.tokenize("planted", TEXT)) if t.text == planted.MARKED]
    return at


def test_the_head_that_copies_is_the_only_part(bench, ask, place):
    record = bench.circuits.direct(ask)
    assert record.target.value > 1 and record.total == pytest.approx(record.target.value, rel=1e-5)
    shares = {one.name: one.value for one in record.components}
    assert shares.pop("L0H0") == pytest.approx(record.target.value, rel=1e-3)
    assert all(abs(value) < 1e-5 for value in shares.values()), shares
    head = record.heads[0]
    assert (head.layer, head.head) == (0, 0)
    assert head.pattern[place] > 0.95 and head.given[place] == pytest.approx(head.value, rel=0.05)


def test_its_token_drives_the_logit(bench, ask, place):
    record = bench.circuits.drivers(ask)
    replaced = [one.ablated or 0.0 for one in record.tokens]
    assert max(range(len(replaced)), key=lambda n: abs(replaced[n])) == place
    assert replaced[place] == pytest.approx(record.target.value, rel=0.3)
    assert sum(map(abs, replaced)) - abs(replaced[place]) < 0.5 * abs(replaced[place])
    whole = [abs(one.integrated or 0.0) for one in record.tokens]
    assert max(range(len(whole)), key=whole.__getitem__) == place
    assert record.integrated == pytest.approx(record.target.value - record.baseline, rel=0.02)


def test_its_features_are_the_words_identity_and_the_mark(bench, ask, place):
    """Coordinate 0 is copied by the mark; another word's coordinate, taken out, takes nothing."""
    record = bench.circuits.features(ask, ablate=4)
    assert {(one.key.index, one.position) for one in record.nodes[:2]} == {(0, place), (16, place)}
    copied, others = next(one for one in record.nodes[:2] if one.key.index == 0), record.nodes[2:4]
    assert copied.ablated > 0.8 * record.target.value > 4 * max(abs(one.ablated) for one in others)
    (layer,) = record.layers
    assert layer.sum == pytest.approx(layer.total, abs=1e-5) and layer.error == pytest.approx(0, abs=1e-5)
    other = next(n for n, token in enumerate(record.target.tokens) if token.text == " of")
    (none,) = bench.circuits.ablate(ask, [(FeatureKey("planted", "0-res", 2), other)])
    assert abs(none.ablated) < 0.02 * record.target.value


def test_the_lens_sees_it_after_the_layer(bench, ask, place):
    """By the target's rank among all tokens, before the layer and after it."""
    record = bench.circuits.lens(ask)
    before, after = (row[-1] for row in record.rows)
    assert after.rank == 1 and after.top[0][0].text == planted.MARKED
    assert after.probability > 5 * before.probability
