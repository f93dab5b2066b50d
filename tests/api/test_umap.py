"""Maps over HTTP: Neuronpedia’s points, the bytes that the page draws, refusals in words; and the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from starlette.testclient import TestClient

from api import server
from core.__main__ import main
from core.atlas.map import layout as map_layout
from core.atlas.map.layout import Layout
from core.explain.meaning.seeker import Seeker
from core.settings import Settings
from core.workbench import Workbench
from tests.api.test_api import refused
from tests.core.explain.meaning.worlds import NEURONS, SAE, Counting, Said


@pytest.fixture
def bench(tiny_root, tmp_path, monkeypatch):
    def place(vectors, *, seed=0, fit=0, tell=None):
        n = len(vectors)
        return Layout(np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32), np.arange(n))

    monkeypatch.setattr(map_layout, "place", place)
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    said = Said()
    for feature in bench.living(SAE):
        said.say(feature.index, f"<b>colour</b> {feature.index}", SAE, score=0.5, scorer="detection")
    bench.words.__dict__["providers"] = (said,)
    bench.words.__dict__["_seeker"] = Seeker(bench, lambda: (said,), made=Counting())
    return bench


@pytest.fixture
def client(bench):
    return TestClient(server.create(bench), raise_server_exceptions=False)


def ask(client, *layers, **more):
    return client.post("/umap", json={"modelId": SAE.model_id, "layers": list(layers)} | more)


def test_points_are_those_of_the_map(bench, client):
    record = bench.atlas.map(SAE, of="explanation")
    points = ask(client, SAE.source_id).json()
    assert [int(one["index"]) for one in points] == record.index.tolist()
    density = bench.features(SAE)["density"].to_numpy()
    for n, one in enumerate(points):
        assert set(one) == {
            "modelId", "layer", "index", "description", "umap_x", "umap_y", "umap_cluster", "umap_log_feature_sparsity"
        }  # fmt: skip
        assert one["modelId"] == SAE.model_id and one["layer"] == SAE.source_id
        assert one["description"] == f"<b>colour</b> {one['index']}"
        assert (one["umap_x"], one["umap_y"]) == (
            pytest.approx(record.x[n], abs=1e-4),
            pytest.approx(record.y[n], abs=1e-4),
        )
        assert one["umap_log_feature_sparsity"] == pytest.approx(np.log10(density[int(one["index"])]), abs=1e-3)
    known = client.get(f"/umap/clusters?sources={SAE}&of=explanation").json()
    numbers = {one["umap_cluster"] for one in known["clusters"]}
    assert {one["umap_cluster"] for one in points} - {-1} <= numbers
    assert known["points"] == len(points) and known["dead"] == record.dead and known["of"] == "explanation"


def test_directions_and_several_sources_are_ours(bench, client):
    bench.atlas.map([SAE, NEURONS], of="decoder")
    points = ask(client, NEURONS.source_id, f"{SAE}", of="decoder").json()
    assert {one["layer"] for one in points} == {SAE.source_id, NEURONS.source_id}
    assert {one["description"] for one in points if one["layer"] == NEURONS.source_id} == {""}


def test_what_is_not_there_is_said(client):
    assert "python -m core map" in refused(ask(client, SAE.source_id), 404)
    assert "9-none" in refused(ask(client, "9-none"), 404)
    refused(ask(client))
    refused(ask(client, SAE.source_id, of="both"))
    assert "nonsense" in refused(client.get(f"/umap/clusters?sources={SAE},nonsense"))
    assert "at least one source" in refused(client.get("/umap/clusters?sources="))
    refused(client.get(f"/umap/points.bin?sources={SAE}"), 404)
    assert "points.bin" in refused(client.get(f"/umap/others.bin?sources={SAE}"), 404)


def test_bytes_are_kept_under_their_mark_only(bench, client):
    record = bench.atlas.map(SAE, of="explanation")
    mark = bench.atlas.packed.mark(record)
    for part, whole in (("points", bench.atlas.packed(record).points), ("texts", bench.atlas.packed(record).texts)):
        answer = client.get(f"/umap/{part}.bin?sources={SAE}&of=explanation&mark={mark}")
        assert answer.content == whole and "immutable" in answer.headers["cache-control"]
        assert client.get(f"/umap/{part}.bin?sources={SAE}&mark=0").headers["cache-control"] == "no-store"


def test_the_command_line_makes_a_map_and_writes_it(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("core.__main__.Workbench", lambda settings: bench)
    out = tmp_path / "map.html"
    assert main(["map", str(SAE), "--of", "explanation", "--out", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["sources"] == [str(SAE)] and answer["points"] == len(bench.living(SAE)) and answer["file"] == str(out)
    assert out.read_text(encoding="utf-8") == bench.atlas.map_file(bench.atlas.map_here(SAE, of="explanation"))
    assert main(["map", str(SAE), "--of", "explanation"]) == 0
    assert f"{len(bench.living(SAE)):,} features" in capsys.readouterr().out


def test_the_command_line_makes_all_maps(bench, capsys, monkeypatch):
    monkeypatch.setattr("core.__main__.Workbench", lambda settings: bench)
    assert main(["map", "--all", "--json"]) == 0
    maps = json.loads(capsys.readouterr().out)["maps"]
    made = {(tuple(one["sources"]), one["of"]) for one in maps}
    assert {((str(SAE),), "decoder"), ((str(SAE),), "explanation"), ((str(NEURONS),), "decoder")} <= made
    every = tuple(
        str(one.key) for one in sorted(bench.sources(model_id=SAE.model_id), key=lambda one: one.key) if one.alive
    )
    assert (every, "decoder") in made
    assert main(["map", "--all", str(SAE)]) == 2 and "leave out" in capsys.readouterr().err
    assert main(["map"]) == 2 and "Name the sources" in capsys.readouterr().err
