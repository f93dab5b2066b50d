"""Graphs as files: ours come back as they went, circuit-tracer's own models read them, strange files are refused."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import BadInput, Conflict, NotAvailable, NotFound
from core.interchange import graphs as shape
from core.records import FeatureKey
from core.techniques.graphs import kept
from core.techniques.graphs.kept import Kept
from core.techniques.graphs.records import GraphFacts, GraphLink, GraphNode, GraphRecord, Supernode


def record(**changes):
    """A graph with one node of each part."""
    nodes = (
        GraphNode("0_7_1", "feature", 0, 1, 7, "“dogs” & <b>cats</b>", 2.5, 0.4, None, FeatureKey("tiny", "0-mlp", 7)),
        GraphNode("0_-1_1", "error", 0, 1, None, "", None, 0.7),
        GraphNode("E_9_1", "token", -1, 1, 9, " dog", None, 0.9),
        GraphNode("3_12_1", "logit", 3, 1, 12, ' "bark" (p=', None, None, 0.25),
    )
    links = (GraphLink("E_9_1", "0_7_1", 1.5), GraphLink("0_7_1", "3_12_1", -0.5), GraphLink("0_-1_1", "3_12_1", 1.0))
    made = {
        "model_id": "tiny", "slug": "a-dog-1", "prompt": "A dog", "tokens": ("<|endoftext|>", " dog"),
        "way": "transcoders", "set_name": "mlp", "nodes": nodes, "links": links, "node_threshold": 0.8,
        "edge_threshold": 0.98, "facts": GraphFacts(10, 5, 30, 0.7, 0.9, 1e-6), "pinned": ("0_7_1",),
        "supernodes": (Supernode("animals", ("0_7_1", "E_9_1")),), "clicked": "0_7_1", "description": "exact",
        "made": "2026-11-22T17:00:00+00:00",
    }  # fmt: skip
    return GraphRecord(**made | changes)


@pytest.mark.parametrize("way", ["transcoders", "residual"])
def test_what_is_written_is_read(way):
    one = record(way=way)
    assert shape.read(orjson.dumps(shape.write(one))) == one


def test_the_file_has_what_circuit_tracers_page_and_neuronpedias_schema_ask_for():
    """The fields that are required there, as their types; and what their pages take apart."""
    file = shape.write(record())
    for name in ("slug", "scan", "prompt"):
        assert isinstance(file["metadata"][name], str)
    assert file["metadata"]["schema_version"] == 1 and isinstance(file["metadata"]["transcoder_list"], list)
    assert set(file["qParams"]) == {"pinnedIds", "supernodes", "linkType", "clickedId", "sg_pos"}
    assert file["qParams"]["supernodes"] == [["animals", "0_7_1", "E_9_1"]]
    for node in file["nodes"]:
        texts = {name for name, value in node.items() if type(value) is str}
        assert {"node_id", "jsNodeId", "layer", "feature_type", "clerp"} <= texts
        assert type(node["feature"]) is int and type(node["ctx_idx"]) is int
    feature, error, token, logit = file["nodes"]
    assert (feature["feature"], feature["jsNodeId"]) == (shape.pair(0, 7), "0_7-0")
    assert (error["feature"], error["jsNodeId"], error["feature_type"]) == (-1, "0_-1-1", "mlp reconstruction error")
    assert (token["layer"], token["feature"], token["feature_type"]) == ("E", 1, "embedding")
    assert logit["layer"] == "3" and logit["is_target_logit"] and logit["clerp"].endswith("(p=0.250)")
    assert len({node["jsNodeId"] for node in file["nodes"]}) == 4


@given(st.integers(0, 5000), st.integers(0, 10**6))
def test_cantors_pairing_goes_back(layer, index):
    assert shape.unpair(shape.pair(layer, index)) == (layer, index)


def test_the_published_pair():
    assert shape.pair(1, 57794) == 1670217704


def test_files_of_other_programs_are_read():
    """An older circuit-tracer: numbers as layers, errors as `0_<layer>_<position>`, links to what was cut."""
    file = {
        "metadata": {"slug": "my graph!", "scan": "gemma-2-2b", "prompt_tokens": ["<bos>", "⏎"], "prompt": "\n"},
        "qParams": {"pinnedIds": ["gone", "2_9_1"], "supernodes": [["one", "2_9_1", "gone"], ["none", "gone"]]},
        "nodes": [
            {"node_id": "2_9_1", "feature": 200009, "layer": "2", "ctx_idx": 1,
             "feature_type": "cross layer transcoder", "jsNodeId": "2_9-0", "clerp": None},
            {"node_id": "0_2_1", "feature": -1, "layer": 2, "ctx_idx": 1, "feature_type": "mlp reconstruction error",
             "jsNodeId": "x", "clerp": ""},
            {"node_id": "L", "feature": 5, "layer": "27", "ctx_idx": 1, "feature_type": "logit", "jsNodeId": "y",
             "clerp": 'Output "⏎" (p=0.125)', "token_prob": 0.125, "is_target_logit": True, "anything": [1]},
        ],
        "links": [{"source": "2_9_1", "target": "L", "weight": 3}, {"source": "cut", "target": "L", "weight": 1.0}],
    }  # fmt: skip
    one = shape.read(orjson.dumps(file))
    assert (one.way, one.slug, one.facts, one.set_name) == ("elsewhere", "my-graph", None, "")
    assert [node.part for node in one.nodes] == ["feature", "error", "logit"]
    assert (one.nodes[0].index, one.nodes[0].key, one.nodes[2].probability) == (9, None, 0.125)
    assert one.links == (GraphLink("2_9_1", "L", 3.0),) and one.pinned == ("2_9_1",)
    assert one.supernodes == (Supernode("one", ("2_9_1",)),)
    assert shape.read(shape.write(one)).nodes == one.nodes, "and written again by us it is the same"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: f.pop("nodes"), "nodes is missing"),
        (lambda f: f.update(links={}), "links is “{}”: a list"),
        (lambda f: f["metadata"].update(prompt_tokens=[]), "is empty"),
        (lambda f: f["metadata"].update(scan=3), r"metadata.scan is “3”: text"),
        (lambda f: f["metadata"].update(slug=""), "metadata.slug is missing"),
        (lambda f: f["nodes"][0].update(ctx_idx=2), r"nodes\[0\].ctx_idx is 2, and the prompt has tokens 0 to 1"),
        (lambda f: f["nodes"][0].update(layer="top"), r"nodes\[0\].layer is “top”"),
        (lambda f: f["nodes"].append(f["nodes"][0]), "twice"),
        (lambda f: f["links"][1].update(weight="much"), r"links\[1\].weight is “much”: a number"),
        (lambda f: f["nodes"][0].update(activation=True), r"nodes\[0\].activation"),
    ],
)
def test_a_strange_file_is_refused_with_the_place(change, said):
    file = shape.write(record())
    change(file)
    with pytest.raises(BadInput, match=said):
        shape.read(orjson.dumps(file))


def test_a_file_that_is_no_json_or_too_large_is_refused(monkeypatch):
    for body in (b"", b"[]", b"{", b'"\xff"', b"1"):
        with pytest.raises(BadInput):
            shape.read(body)
    with pytest.raises(BadInput, match="cannot be written"):
        shape.read({"a": "\ud800"})
    monkeypatch.setattr(shape, "LARGEST", 10)
    with pytest.raises(BadInput, match="can be read"):
        shape.read(orjson.dumps(shape.write(record())))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**62) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3), max_leaves=8,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_stands_in_a_file_it_is_read_or_refused(data):
    """One value somewhere replaced by anything."""
    file = shape.write(record())
    place, key = file, data.draw(st.sampled_from(sorted(file)))
    while isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(JUNK)
    try:
        found = shape.read(orjson.dumps(file))
    except BadInput as error:
        assert str(error).endswith(".")
        return
    assert shape.read(shape.write(found)) == found


def test_a_name_is_taken_once(tmp_path):
    kept = Kept(tmp_path)
    one = kept.save(record())
    with pytest.raises(Conflict, match="another name"):
        kept.save(record(prompt="other"))
    assert kept.load("tiny", "a-dog-1") == one
    kept.save(record(prompt="other"), replacing=True)
    kept.save(record(slug="source"))
    assert [(e.slug, e.prompt, e.nodes, e.links) for e in kept.entries("tiny")] == [
        ("source", "A dog", 4, 3), ("a-dog-1", "other", 4, 3),
    ]  # fmt: skip
    (tmp_path / "tiny" / "graphs" / "bad.graph.json").write_text("{")
    assert len(kept.entries()) == 2 and not kept.entries("../tiny")
    kept.drop("tiny", "source")
    for call in (lambda: kept.load("tiny", "source"), lambda: kept.drop("tiny", "source")):
        with pytest.raises(NotFound):
            call()
    for model, slug in (("..", "x"), ("tiny", "../x"), ("tiny", ""), ("a/b", "x")):
        with pytest.raises(BadInput):
            kept.load(model, slug)
    assert not [p for p in (tmp_path / "tiny" / "graphs").iterdir() if p.name.startswith(".")]


def test_all_graphs_together_have_a_bound(tmp_path, monkeypatch):
    """Of models that are not here too, or anybody who may keep one could fill the disk."""
    places = Kept(tmp_path)
    places.save(record())
    (file,) = tmp_path.glob("*/graphs/*")
    monkeypatch.setattr(kept, "ROOM", 2 * file.stat().st_size + 100)
    places.save(record(model_id="other"))
    with pytest.raises(NotAvailable, match="fill the"):
        places.save(record(model_id="another"))
    assert len(places.entries()) == 2 and not list(tmp_path.glob("another/graphs/*"))
