"""Probes over a workbench: trained on pasted texts, kept as a direction, tested and steered with, on every way in."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml

from core.__main__ import main
from core.errors import BadData, BadInput, NotFound, WorkbenchError
from core.models.capture import capture
from core.records import FeatureKey, Push, SteerAsk
from core.settings import Settings
from core.sources import probes
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

HOOK = "blocks.1.hook_resid_pre"
CODE = [f"def add_{n}(a, b):\n    return a + b * {n}" for n in range(12)]
PROSE = [f"My fellow citizens, we meet today in the shadow of war {n}." for n in range(12)]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prober")
    tiny.model(folder / "model", scale=8.0)
    tiny.sae(folder / "sae", bias=-0.2)
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(8)), encoding="utf-8")
    config = {
        "model": {"id": "tiny", "path": "model"}, "dataset": {"path": "texts.txt"}, "context": 24, "map": "none",
        "sources": [{"id": "1-res", "sae": {"path": "sae"}}],
    }  # fmt: skip
    (folder / "build.yaml").write_text(yaml.safe_dump(config))
    made = Workbench(Settings(data=folder / "data", demo=None))
    made.build(folder / "build.yaml")
    return made


@pytest.fixture(scope="module")
def probe(bench):
    return bench.train_probe("tiny", HOOK, CODE, PROSE, label="code")


def activations(bench, text):
    """The text's own tokens at the hook, one pass, without BOS."""
    model = bench._model_slot("tiny").get()
    return capture(model, torch.tensor([model.ids(text)]), [HOOK])[HOOK][0, 1:].double().numpy()


def test_the_direction_is_the_difference_of_the_means_of_texts(bench, probe):
    means = [np.mean([activations(bench, text).mean(0) for text in side], 0) for side in (CODE, PROSE)]
    expected = (means[0] - means[1]) / np.linalg.norm(means[0] - means[1])
    np.testing.assert_allclose(probe.values, expected, atol=1e-4)
    assert probe.distance == pytest.approx(np.linalg.norm(means[0] - means[1]), rel=1e-3)
    assert probe.auc.value > 0.95 and probe.control.low < 0.5 < probe.control.high < 1 and probe.p < 0.05
    assert probe.accuracy > 0.9 and probe.samples == 24 and probe.dropped == 0
    assert [t.text for t in probe.texts] == [*CODE, *PROSE] and sum(t.positive for t in probe.texts) == 12


def test_it_is_a_direction_that_is_tested_and_steered_with(bench, probe):
    assert bench.vector(probe.key).values == probe.values and bench.vector(probe.key).strength == probe.distance
    code, prose = (np.mean(r.values[1:]) for r in bench.test(probe.key, [CODE[3], PROSE[3]]))
    assert code > probe.threshold > prose
    ask = SteerAsk(model_id="tiny", prompt="a", pushes=(Push(key=probe.key, strength=probe.distance),), length=2)
    assert bench.steer(ask).pushes[0].label == "code"


def test_in_a_notebook(bench, probe):
    frame = probe.to_pandas()
    assert len(frame) == 24 and list(frame["positive"]) == [True] * 12 + [False] * 12
    assert set(frame["auc"]) == {probe.auc.value} and "held out" in probe._repr_html_()


def test_it_is_kept_with_what_is_known_of_it(bench, probe):
    again = bench.probe(probe.key)
    assert again == probe and again in bench.probes("tiny") and not bench.probes("other")
    assert bench.train_probe("tiny", HOOK, CODE, PROSE).label == "code", "without a name it keeps the one it has"
    with pytest.raises(NotFound, match="There is no probe tiny/1-vectors-resid-pre/1 here"):
        bench.probe("tiny/1-vectors-resid-pre/1")
    plain = bench.new_vector("tiny", HOOK, [1.0] * 32)
    with pytest.raises(NotFound, match="no probe"):
        bench.probe(plain.key)
    trial = bench.train_probe("tiny", HOOK, CODE, PROSE, method="logistic", keep=False)
    with pytest.raises(NotFound):
        bench.probe(trial.key)
    path = probes._path(bench.settings.data, probe.key)
    was = path.read_text()
    path.write_text(was[:50])
    with pytest.raises(BadData, match="cannot be read"):
        bench.probe(probe.key)
    path.write_text(was)


@pytest.mark.parametrize(("pooled", "samples"), [("last", 24), ("each", None)])
@pytest.mark.parametrize("method", ["difference", "logistic"])
def test_other_samples(bench, pooled, samples, method):
    found = bench.train_probe("tiny", HOOK, CODE, PROSE, method=method, pooled=pooled, keep=False)
    tokens = sum(len(activations(bench, text)) for text in (*CODE, *PROSE))
    assert found.samples == (samples or tokens) and np.linalg.norm(found.values) == pytest.approx(1, rel=1e-5)
    assert found.auc.value > (0.9 if pooled == "last" else 0.6)


@pytest.mark.parametrize("pooled", ["mean", "last", "each"])
def test_a_text_is_held_against_the_threshold_as_the_samples_were(bench, pooled):
    record = bench.train_probe("tiny", HOOK, CODE, PROSE, pooled=pooled)
    x = bench._prober._samples("tiny", HOOK, [CODE[0]], np.array([True]), pooled, None)[0].x
    (test,) = bench.test(record.key, CODE[0])
    assert record.sample(test) == pytest.approx(float((x @ np.array(record.values)).mean()), rel=1e-4, abs=1e-4)


def test_a_text_that_stands_twice_is_used_once(bench):
    found = bench.train_probe("tiny", HOOK, [*CODE, CODE[0], f"  {CODE[1]} ", ""], PROSE, keep=False)
    assert found.dropped == 2 and len(found.texts) == 24


@pytest.mark.parametrize(
    ("positive", "negative", "options", "message"),
    [
        (CODE[:3], PROSE, {}, r"There are 3 different positive texts: give 4 to 500"),
        (CODE, ["x"] * 9, {}, r"There are 1 different negative texts"),
        (CODE, [*PROSE, CODE[0]], {}, r"A text stands on both sides: “def add_0"),
        (["word " * 3000, *CODE], PROSE, {}, r"Text 1 is too long"),
        (CODE, PROSE, {"hook": "blocks.7.hook_resid_pre"}, r"no hook “blocks\.7\.hook_resid_pre”"),
        (CODE, PROSE, {"hook": "blocks.1.attn.hook_pattern"}, r"no vector a token"),
        (CODE, PROSE, {"method": "magic"}, r"method is one of difference, logistic; there is no “magic”"),
        (CODE, PROSE, {"pooled": "max"}, r"pooled is one of mean, last, each"),
        (CODE, PROSE, {"seed": -1}, r"seed is a whole number from 0"),
    ],
)
def test_what_cannot_be_trained(bench, positive, negative, options, message):
    hook = options.pop("hook", HOOK)
    with pytest.raises(BadInput, match=message):
        bench.train_probe("tiny", hook, positive, negative, **options)


def test_directions_as_a_source_of_their_own(bench, probe):
    """It stands where sources do, on the same prompts as the other, and its values are the tests' of each direction."""
    other = bench.new_vector(
        "tiny", HOOK, features=[Push(key=FeatureKey("tiny", "1-res", 5), strength=2.0)], label="five"
    )
    report = bench.vectors_source([probe.key, other.key], name="mine")
    (source,) = report.sources
    like = bench.source("tiny/1-res")
    assert (str(source.key), source.kind, source.width, source.hook) == ("tiny/1-mine", "directions", 2, HOOK)
    assert source.dataset_sha256 == like.dataset_sha256 and source.tokens == like.tokens
    assert source.key in {one.key for one in bench.sources()} and "code" in source.release.description
    for n, key in enumerate((probe.key, other.key)):
        own, same = bench.test(f"tiny/1-mine/{n}", CODE[0])[0], bench.test(key, CODE[0])[0]
        np.testing.assert_allclose(own.values, same.values, rtol=1e-4, atol=1e-4)
    hits = bench.search("tiny", CODE[0], sources=["tiny/1-mine"]).hits
    assert {hit.key.index for hit in hits} == {0, 1}
    record = bench.feature("tiny/1-mine/0")
    assert record.groups and record.minimum < record.maximum and bench.check(["tiny/1-mine"])[1].problems == ()
    again = bench.vectors_source([probe.key, other.key], name="mine", like="tiny/1-res")
    assert again.skipped == (source.key,), "the same is left as it is"
    bench.vectors_source([other.key], name="mine")
    assert bench.source("tiny/1-mine").width == 1


def test_directions_that_make_no_source(bench, probe):
    elsewhere = bench.new_vector("tiny", "blocks.0.hook_resid_pre", [1.0] * 32)
    with pytest.raises(BadInput, match=r"at several places \(blocks\.0\.hook_resid_pre of tiny, blocks\.1"):
        bench.vectors_source([probe.key, elsewhere.key])
    with pytest.raises(BadInput, match="Name at least one direction"):
        bench.vectors_source([])
    with pytest.raises(NotFound, match="There is no direction"):
        bench.vectors_source(["tiny/1-vectors-resid-pre/77"])
    with pytest.raises(BadInput, match="tiny/1-res is a source already"):
        bench.vectors_source([probe.key], name="res")
    with pytest.raises(BadInput, match="not a source id"):
        bench.vectors_source([probe.key], name="../x")


def test_prompts_like_another_sources(bench, tmp_path):
    """`dataset: {like: …}` in a configuration: as many of its prompts, and none that are too long."""
    place = bench.settings.data.parent
    config = {
        "model": {"id": "tiny", "path": str(place / "model")}, "dataset": {"like": "1-res"}, "context": 24,
        "prompts": 3, "map": "none", "near": False, "sources": [{"id": "1-few", "sae": {"path": str(place / "sae")}}],
    }  # fmt: skip
    (tmp_path / "b.yaml").write_text(yaml.safe_dump(config))
    (source,) = bench.build(tmp_path / "b.yaml").sources
    assert source.prompts == 3 and source.dataset == bench.source("tiny/1-res").dataset
    for n in range(3):
        assert bench.prompt(source.key, n) == bench.prompt("tiny/1-res", n)
    for change, message in (
        ({"context": 8}, r"dataset\.like: tiny/1-res has prompts of \d+ tokens: write context"),
        ({"dataset": {"like": "1-none"}}, r"1-none"),
        ({"dataset": {"like": "1-res", "path": "x"}}, r"exactly one of path and hub, or like"),
        ({"dataset": {"like": "../x"}}, r"dataset\.like: "),
    ):
        (tmp_path / "b.yaml").write_text(yaml.safe_dump(config | change))
        with pytest.raises(WorkbenchError, match=message):
            bench.build(tmp_path / "b.yaml")


def test_the_command_line(bench, tmp_path, capsys):
    (tmp_path / "a.txt").write_text("\n".join(line.replace("\n", " ") for line in CODE), encoding="utf-8")
    (tmp_path / "b.txt").write_text("\n".join(PROSE), encoding="utf-8")
    ask = ["probe", "tiny", HOOK, "--positive", str(tmp_path / "a.txt"), "--negative", str(tmp_path / "b.txt")]
    ask += ["--data", str(bench.settings.data)]
    assert main([*ask, "--json", "--label", "by line"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["label"] == "by line" and len(told["vector"]) == 32 and len(told["texts"]) == 24
    assert 0 <= told["auc"]["low"] <= told["auc"]["value"] <= told["auc"]["high"] <= 1
    assert main([*ask, "--try"]) == 0
    out = capsys.readouterr().out
    assert "held-out AUC" in out and "shuffled" in out and "(not kept)" in out
    assert main(["directions", "--data", str(bench.settings.data)]) == 0 and "by line" in capsys.readouterr().out
    ask[4] = str(tmp_path / "none.txt")
    assert main(ask) == 2 and "cannot be read" in capsys.readouterr().err


def test_over_http(bench, probe):
    from starlette.testclient import TestClient

    from api import server

    client = TestClient(server.create(bench))
    body = {"modelId": "tiny", "hookName": HOOK, "positive": CODE, "negative": PROSE, "label": "code"}
    answer = client.post("/probe/new", json=body)
    told = answer.json()
    assert answer.status_code == 200 and told["index"] == str(probe.key.index), "the same texts, the same direction"
    assert told["auc"]["value"] == probe.auc.value and told["vector"] == pytest.approx(probe.values)
    asked = {"modelId": "tiny", "source": told["source"], "index": told["index"]}
    assert client.post("/probe/get", json=asked).json() == told
    assert client.post("/probe/get", json=asked | {"index": "5"}).status_code == 404
    for wrong in ({"positive": CODE[:2]}, {"hookName": "nonsense"}, {"method": "x"}, {"seed": -1}, {"positive": "a"}):
        refused = client.post("/probe/new", json=body | wrong)
        assert 400 <= refused.status_code < 500 and refused.json()["message"], wrong
    page = client.get("/openapi.json").json()["paths"]
    assert "/probe/new" in page and "/probe/get" in page
