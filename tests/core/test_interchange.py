"""Records as Neuronpedia's JSON and as a table: consistent with themselves, and safe to open."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import orjson
import pytest

from core.interchange import neuronpedia, table
from core.records import ExampleGroup, FeatureKey, TestRecord, Token, TokenValue
from tests import tiny

FIELDS = """modelId layer index maxActApprox frac_nonzero freq_hist_data_bar_heights freq_hist_data_bar_values
logits_hist_data_bar_heights logits_hist_data_bar_values neuron_alignment_indices neuron_alignment_l1
neuron_alignment_values correlated_neurons_indices correlated_neurons_l1 correlated_neurons_pearson decoder_weights_dist
neg_str neg_values pos_str pos_values sourceSetName topkCosSimIndices topkCosSimValues vector vectorLabel hookName
vectorDefaultSteerStrength hasVector activations explanations comments""".split()


def test_a_feature_has_every_field_that_a_reader_may_ask_for(record):
    answer = neuronpedia.feature(record)
    assert set(FIELDS) <= set(answer)
    assert answer["index"] == "3"
    assert answer["layer"] == "1-res"
    assert len(answer["freq_hist_data_bar_heights"]) == len(answer["freq_hist_data_bar_values"])
    assert sum(answer["freq_hist_data_bar_heights"]) == record.active
    assert orjson.loads(orjson.dumps(answer)) is not None


def test_activations_are_consistent_with_themselves(record):
    rows = neuronpedia.feature(record)["activations"]
    assert rows
    for row in rows:
        assert len(row["tokens"]) == len(row["values"])
        assert row["tokens"][0] != "<|endoftext|>"
        assert row["values"][row["maxValueTokenIndex"]] == row["maxValue"] == max(row["values"])
        assert row["minValue"] == min(row["values"])
        assert row["values"][row["qualifyingTokenIndex"]] > 0
    assert [row["maxValue"] for row in rows] == sorted((row["maxValue"] for row in rows), reverse=True)


def test_groups_keep_neuronpedias_marks(record):
    answer = neuronpedia.feature(record)
    top = [row for row in answer["activations"] if row["binContains"] is None]
    intervals = [row for row in answer["activations"] if row["binContains"] is not None]
    assert top and intervals
    assert all((row["binMin"], row["binMax"]) == (-1, record.maximum) for row in top)
    for row in intervals:
        assert row["binMin"] < row["values"][row["qualifyingTokenIndex"]] <= row["binMax"]
        assert 0 < row["binContains"] < 1
    assert len({row["id"] for row in answer["activations"]}) == len(answer["activations"])
    assert all(row["repeats"] >= 1 for row in answer["diverseActivations"])


def test_a_dead_feature_has_empty_lists(bench):
    answer = neuronpedia.feature(bench.feature(f"{tiny.SAE}/7"))
    assert answer["frac_nonzero"] == 0
    assert answer["activations"] == []
    assert answer["freq_hist_data_bar_heights"] == []
    assert len(answer["pos_str"]) == 10


def make_test(tokens, values, *, bos=True):
    return TestRecord(
        key=FeatureKey("tiny", "1-res", 3),
        text="",
        tokens=tuple(tokens),
        values=tuple(values),
        maximum=0.0,
        position=None,
        bos=bos,
    )


def test_an_activation_drops_bos_and_never_counts_special_tokens():
    bos, end = Token(0, "<bos>", special=True), Token(9, "<end>", special=True)
    answer = neuronpedia.activation(make_test([bos, Token(1, "a"), end, Token(2, "b")], [90.0, 1.0, 50.0, 2.0]))
    assert answer["tokens"] == ["a", "<end>", "b"]
    assert answer["values"] == [1.0, 0.0, 2.0]
    assert (answer["maxValue"], answer["maxValueTokenIndex"], answer["minValue"]) == (2.0, 2, 0.0)


def test_a_special_token_that_opens_a_text_is_kept_where_the_model_has_no_bos(record):
    end = Token(9, "<end>", special=True)
    answer = neuronpedia.activation(make_test([end, Token(1, "a")], [50.0, 1.0], bos=False))
    assert (answer["tokens"], answer["values"], answer["maxValueTokenIndex"]) == (["<end>", "a"], [0.0, 1.0], 1)
    example = replace(record.groups[0].examples[0], tokens=(end, Token(1, "a")), values=(0.0, 1.0), position=1)
    group = replace(record.groups[0], kind="raw", examples=(example,))
    (row,) = neuronpedia.activations(replace(record, groups=(group,), bos=False))
    assert (row["tokens"], row["qualifyingTokenIndex"]) == (["<end>", "a"], 1)
    (row,) = neuronpedia.activations(replace(record, groups=(group,), bos=True))
    assert (row["tokens"], row["qualifyingTokenIndex"]) == (["a"], 0)


def test_the_first_of_equal_maxima_counts():
    answer = neuronpedia.activation(make_test([Token(1, "a"), Token(1, "a")], [3.0, 3.0], bos=False))
    assert answer["maxValueTokenIndex"] == 0


def test_a_silent_text_is_no_error():
    answer = neuronpedia.activation(make_test([Token(0, "<bos>", special=True)], [5.0]))
    assert (answer["tokens"], answer["maxValue"], answer["maxValueTokenIndex"]) == ([], 0.0, 0)


def test_the_catalog_says_what_is_there(bench):
    entry = neuronpedia.catalog_entry(bench.source(tiny.SAE))
    assert {"modelId", "sourceId", "kind", "hook", "layer", "width", "release", "tokens", "has"} <= set(entry)
    assert (entry["modelId"], entry["sourceId"], entry["width"]) == ("tiny", "1-res", 64)
    assert "dashboards" in entry["has"]


def read(record):
    return list(csv.DictReader(io.StringIO(table.feature_csv(record))))


def test_the_table_holds_what_the_page_shows(record):
    rows = read(record)
    facts = {row["name"]: row["value"] for row in rows if row["part"] == "feature"}
    assert float(facts["maximum"]) == record.maximum
    assert int(facts["active"]) == record.active
    assert sum(row["part"] == "promotes" for row in rows) == len(record.top_logits)
    for group in record.groups:
        if group.kind == "raw":
            assert sum(row["part"] == "raw example" for row in rows) == len(group.examples)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", " =1", "\n=1", "＝1"])
def test_no_cell_is_a_formula(record, text):
    example = replace(record.groups[0].examples[0], tokens=(Token(1, text),), values=(1.0,), position=0)
    group = ExampleGroup(kind="raw", low=0.0, high=1.0, share=0.1, examples=(example,))
    bad = replace(record, label=text, top_logits=(TokenValue(Token(1, text), 1.0),), groups=(group,))
    texts = [row["text"] for row in read(bad) if row["part"] in {"promotes", "raw example"} or row["name"] == "label"]
    assert texts == ["'" + text] * 3


def test_numbers_stay_numbers(record):
    rows = read(record)
    assert any(row["value"].startswith("-") for row in rows if row["part"] == "suppresses")


def test_the_python_line_gets_the_record(record):
    line = table.python_line(record.key)
    assert line.endswith(f'.feature("{record.key}")')
    compile(line, "line", "exec")
