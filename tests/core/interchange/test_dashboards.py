"""SAEDashboard's batches and NeuronRecords come in as they are, and go on as an export."""

from __future__ import annotations

import json
import shutil

import pytest

from core.errors import BadInput
from core.interchange.bulk.findings import Refused
from tests.core.interchange import plain_reader
from tests.core.interchange.conftest import tree


def batch(folder, numbers=(0, 1), model="gpt2-small", **more):
    """A batch as SAEDashboard writes it, with one living and one dead feature."""
    folder.mkdir(parents=True, exist_ok=True)
    tokens = ["The", " Brigade", " of", " men"]
    acts = [
        {"bin_min": -1, "bin_max": 2.214, "bin_contains": -1, "tokens": tokens, "values": [0.0, 2.214, 0.0, 0.5],
         "qualifying_token_index": 1, "dfa_values": [], "dfa_maxValue": 0, "dfa_targetIndex": -1},
        {"bin_min": 0.0, "bin_max": 1.1, "bin_contains": 0.02, "tokens": tokens[::-1], "values": [0.5, 0.0, 0.25, 0.0],
         "qualifying_token_index": 2, "dfa_values": [], "dfa_maxValue": 0, "dfa_targetIndex": -1},
    ]  # fmt: skip
    zero = acts[0] | {"bin_max": 0.0, "values": [0.0] * 4, "qualifying_token_index": -1}
    features = [
        {"feature_index": numbers[0], "neuron_alignment_indices": [217], "neuron_alignment_values": [0.112],
         "neuron_alignment_l1": [0.005], "neg_str": ["sequence"], "neg_values": [-0.707], "pos_str": [" Brigade"],
         "pos_values": [3.753], "frac_nonzero": 0.0002, "freq_hist_data_bar_values": [0.5, 1.5],
         "freq_hist_data_bar_heights": [120, 6], "n_prompts_total": 5000, "n_tokens_in_prompt": 128,
         "dataset": "Skylion007/openwebtext", "decoder_weights_dist": [], "activations": acts},
        {"feature_index": numbers[1], "frac_nonzero": 0, "freq_hist_data_bar_values": [], "n_prompts_total": 5000,
         "freq_hist_data_bar_heights": [], "n_tokens_in_prompt": 128, "activations": [zero]},
    ]  # fmt: skip
    whole = {"model_id": model, "layer": 0, "sae_set": "res-jb", "features": features} | more
    (folder / f"batch-{numbers[0] // 2}.json").write_text(json.dumps(whole, indent=4))


def test_saedashboard(tmp_path, fresh):
    batch(tmp_path / "in")
    batch(tmp_path / "in", (2, 5))
    (tmp_path / "in" / "skipped_indexes.json").write_text('{"skipped_indexes": [3, 4]}')
    bench = fresh()
    (made,) = bench.exchange.bring_in(tmp_path / "in")
    assert (str(made.key), made.features, made.width, made.alive) == ("gpt2-small/0-res-jb", 4, 6, 2)
    assert any("3, 4" in one.problem for one in made.findings) and any("skipped" in str(one) for one in made.findings)
    record = bench.feature("gpt2-small/0-res-jb/0")
    assert (record.active, record.density, record.maximum) == (126, 0.0002, pytest.approx(2.214))
    assert record.label.split(" · ")[0] == "Brigade" and record.source.tokens == 640_000
    top, interval = record.groups
    assert (top.kind, interval.kind, interval.share) == ("raw", "interval", 0.02)
    assert top.examples[0].position == 1 and interval.examples[0].position == 2
    assert interval.examples[0].value == 0.25 and (interval.low, interval.high) == (0, pytest.approx(1.1))
    dead = bench.feature("gpt2-small/0-res-jb/1")
    assert dead.dead and dead.groups[0].examples[0].value == 0
    assert all(report.ok for report in bench.check()), [r.problems for r in bench.check()]
    out = bench.exchange.give_out(made.key, tmp_path / "out")
    found = plain_reader.read(out.folder)
    assert sorted(found["features"]) == [0, 1, 2, 5] and found["features"][0]["maxActApprox"] == 2.214
    other = fresh("other")
    other.exchange.bring_in(out.folder)
    again = other.feature("gpt2-small/0-res-jb/0")
    assert again.groups == record.groups and again.histogram == record.histogram


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: batch(f, (2, 3), model="other"), "it is of other/0-res-jb"),
        (lambda f: batch(f, (2, 3), features={}), "no list of features"),
        (lambda f: batch(f, (2, 3), features=[{"feature_index": "x"}]), "feature_index is 'x'"),
        (lambda f: batch(f, (4, 5)), "missing between others"),
        (lambda f: (f / "batch-1.json").write_text("[" * 10), "no JSON"),
        (lambda f: (f / "run_settings.json").write_text("{"), "no JSON"),
    ],
)  # fmt: skip
def test_saedashboard_refused(tmp_path, fresh, change, says):
    batch(tmp_path / "in")
    change(tmp_path / "in")
    with pytest.raises(Refused) as error:
        fresh().exchange.bring_in(tmp_path / "in")
    assert says in str(error.value) and not fresh().sources()


def record(layer=5, neuron=0, **more):
    """A NeuronRecord as the published files have it."""

    def drawn(values):
        return {"dataclass_name": "ActivationRecord", "tokens": [f" t{n}" for n in range(len(values))],
                "activations": values}  # fmt: skip

    return {
        "dataclass_name": "NeuronRecord",
        "neuron_id": {"dataclass_name": "NeuronId", "layer_index": layer, "neuron_index": neuron},
        "random_sample": [drawn([-0.1, 0.2, 0.0, -0.17]), drawn([0.0, 0.0, -0.1, 0.4])],
        "random_sample_by_quantile": [[drawn([0.1, 0.3, 0.0, 0.0])], [drawn([0.6, 0.1, 0.0, 0.0])]],
        "quantile_boundaries": [0.1, 0.5, 0.9], "mean": -0.02, "variance": 0.04, "skewness": 1.5, "kurtosis": 9.0,
        "most_positive_activation_records": [drawn([0.1, 4.0, 0.0, 1.0]), drawn([3.0, 0.0, 0.0, 0.0])],
    } | more  # fmt: skip


def put(folder, *records):
    for one in records:
        place = folder / str(one["neuron_id"]["layer_index"])
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{one['neuron_id']['neuron_index']}.json").write_text(json.dumps(one))


def test_neuron_records(tmp_path, fresh):
    put(tmp_path / "in", *(record(neuron=n) for n in (0, 1, 10, 2)), record(layer=6))
    bench = fresh()
    with pytest.raises(BadInput, match="--as"):
        bench.exchange.bring_in(tmp_path / "in")
    made = bench.exchange.bring_in(tmp_path / "in", as_="gpt2-xl")
    assert [(m.key.source_id, m.features, m.width) for m in made] == [("5-neurons", 4, 11), ("6-neurons", 1, 1)]
    source, found = bench.source("gpt2-xl/5-neurons"), bench.feature("gpt2-xl/5-neurons/10")
    assert source.kind == "neurons" and source.signed
    assert (found.mean, found.deviation, found.maximum, found.minimum) == (-0.02, 0.2, 4.0, pytest.approx(-0.17))
    assert found.density == 2 / 8  # of its random sample
    kinds = {group.kind: group for group in found.groups}
    assert [e.value for e in kinds["raw"].examples] == [4.0, 3.0] and len(kinds["random"].examples) == 2
    assert [(g.low, g.high) for g in found.groups if g.kind == "interval"] == [
        (pytest.approx(0.5), pytest.approx(0.9)), (pytest.approx(0.1), pytest.approx(0.5)),
    ]  # fmt: skip
    assert all(report.ok for report in bench.check()), [r.problems for r in bench.check()]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mean": float("nan")}, "NaN"),
        ({"variance": -1}, "variance"),
        ({"quantile_boundaries": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}, "quantile_boundaries"),
        ({"neuron_id": {"layer_index": 5, "neuron_index": 3}}, "its name says another"),
        ({"random_sample": [{"tokens": ["a"], "activations": []}]}, "1 tokens and 0"),
        ({"most_positive_activation_records": {"a": 1}}, "no list"),
    ],
)
def test_neuron_records_refused(tmp_path, fresh, change, says):
    put(tmp_path / "in", record(), record(neuron=1))
    (tmp_path / "in" / "5" / "1.json").write_text(json.dumps(record(neuron=1, **change)))
    with pytest.raises(Refused) as error:
        fresh().exchange.bring_in(tmp_path / "in", as_="gpt2-xl")
    assert says in str(error.value) and not fresh().sources()


def test_neuron_records_round(bench, tmp_path, fresh):
    """A source as NeuronRecords, read back: the same examples and moments."""
    out = bench.exchange.give_out("tiny/0-neurons", tmp_path, format="neuronrecord")
    assert out.folder == tmp_path / "tiny" / "0" and out.features == 128
    other = fresh()
    (made,) = other.exchange.bring_in(tmp_path / "tiny", as_="tiny/0-neurons")
    assert made.width == 128 and not made.findings
    for index in (0, 77, 127):
        a, b = bench.feature(f"tiny/0-neurons/{index}"), other.feature(f"tiny/0-neurons/{index}")
        assert b.mean == pytest.approx(a.mean) and b.deviation == pytest.approx(a.deviation)
        mine = sorted([t.text for t in e.tokens[1:]] for g in a.groups if g.kind == "raw" for e in g.examples)
        theirs = sorted([t.text for t in e.tokens] for g in b.groups if g.kind == "raw" for e in g.examples)
        assert mine == theirs
    before = tree(out.folder)
    shutil.rmtree(out.folder)
    assert tree(bench.exchange.give_out("tiny/0-neurons", tmp_path, format="neuronrecord").folder) == before
