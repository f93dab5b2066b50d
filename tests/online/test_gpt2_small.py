"""The real GPT-2 small and its published SAEs against numbers that Neuronpedia's tests expect: `pytest -m online`.

Fetches about 0.8 GB. The conditions of the numbers, and where ours differ, are in `conformance.py`.
"""

from __future__ import annotations

import pytest

from core.build.config import read_config
from core.build.run import build
from core.catalog.manifest import ModelSpec, WeightsSpec
from core.models import loading
from core.settings import Settings
from core.workbench import Workbench
from tests.live import ROOT
from tests.online.conformance import Peer

pytestmark = [pytest.mark.online, pytest.mark.timeout(3600)]

RELEASE, TEXT = "gpt2-small-res-jb", "Hello, world!"
TOLERANCE = 0.1


@pytest.fixture(scope="module")
def model():
    return loading.load(ModelSpec(id="gpt2-small", transformer_lens="gpt2"))


@pytest.fixture(scope="module")
def peer(model):
    return Peer(model, WeightsSpec(kind="sae", release=RELEASE, sae_id="blocks.7.hook_resid_pre"))


def test_the_tokens(model):
    drawn = model.vocabulary.draw(model.ids(TEXT))
    assert [token.text for token in drawn[1:]] == ["Hello", ",", " world", "!"]
    assert model.ids("The quick brown fox")[0] == 50256 and len(model.ids("The quick brown fox")) == 5


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        (0, [0.0477, 0, 0, 0]),
        (16653, [46.4727, 11.284, 0, 0]),
        (13715, [43.223, 5.3215, 0, 0]),
        (2494, [3.085, 33.546, 15.504, 15.789]),
    ],
)
def test_a_features_values(peer, feature, expected):
    assert peer.values(TEXT)[1:, feature].tolist() == pytest.approx(expected, abs=TOLERANCE)


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (1, [(16653, 46.481), (13715, 43.220), (20750, 22.140)]),
        (2, [(2494, 33.580), (1457, 19.781), (15348, 14.110)]),
        (3, [(22763, 26.627), (17362, 22.530), (2494, 15.488)]),
        (4, [(13413, 25.002), (21841, 17.194), (2494, 15.785)]),
    ],
)
def test_the_strongest_features_of_a_token(peer, position, expected):
    found = peer.top(TEXT, position)
    assert [feature for feature, _ in found] == [feature for feature, _ in expected]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected], abs=TOLERANCE)


def test_the_strongest_features_of_bos(peer):
    """Its residual stream is so large that float16 rounds it by more than the tolerance: one part in a hundred."""
    found = dict(peer.top(TEXT, 0))
    assert found == pytest.approx({9663: 941.316, 14519: 631.747, 8598: 608.944}, rel=0.01)


def test_the_search_over_all_features(peer):
    best = peer.values(TEXT)[1:].max(dim=0).values.topk(5)
    assert best.indices.tolist() == [16653, 13715, 2494, 22763, 13413]
    assert best.values.tolist() == pytest.approx([46.4727, 43.223, 33.546, 26.607, 24.994], abs=TOLERANCE)


def test_the_nearest_decoder_rows(peer):
    found = peer.cosines(peer.source.W_dec[5], 3)
    assert [feature for feature, _ in found] == [5, 15785, 9213]
    assert [cosine for _, cosine in found] == pytest.approx([1.0, 0.610189, 0.503171], abs=1e-5)
    assert peer.cosines(peer.source.W_dec[5] * 0 + 1, 1)[0] == pytest.approx((16087, 0.731967), abs=1e-5)


def test_a_feature_that_knows_cats(model):
    peer = Peer(model, WeightsSpec(kind="sae", release=RELEASE, sae_id="blocks.10.hook_resid_pre"))
    text = "My cat is sleeping on the couch."
    values = peer.values(text)[1:, 16899]
    tokens = [token.text for token in model.vocabulary.draw(model.ids(text))[1:]]
    assert tokens[int(values.argmax())] == " cat" and 54.0 <= float(values.max()) <= 61.5


def test_the_configuration_builds(tmp_path):
    """The file as it stands, but for 256 prompts."""
    config = read_config(ROOT / "configs" / "gpt2-small-res-jb.yaml").model_copy(update={"prompts": 256})
    (record,) = build(config, tmp_path).sources
    bench = Workbench(Settings(data=tmp_path, demo=None))
    assert record.width == 24576 and record.prompts == 256 and 20 < bench.evaluate(record.key)[0].l0 < 120
    assert all(report.ok for report in bench.check())
    assert bench.feature(bench.random_feature(record.key)).groups
