"""The API gives what was measured, and the leaderboard as the page has it; NaN is null and cells are no formulas."""

from __future__ import annotations

import csv
import io
import json

import pytest
from starlette.testclient import TestClient

from api.server import create
from core.settings import Settings
from core.workbench import Workbench
from tests import measured, tiny
from tests.core.interchange.test_sae_bench import CORE


@pytest.fixture(scope="module")
def client(tiny_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("quality")
    bench = Workbench(Settings(data=folder / "data", demo=tiny_root))
    measured.keep(bench, tiny.SAE)
    path = folder / "core_eval_results.json"
    path.write_text(json.dumps(CORE | {"sae_lens_release_id": "=cmd()"}))
    bench.quality.bring_in(path)
    return TestClient(create(bench))


def test_a_sources_quality(client):
    found = client.get(f"/quality/{tiny.SAE}").json()
    assert found["own"]["figures"]["explained_variance"]["value"] == pytest.approx(0.92)
    assert [one["name"] for one in found["baselines"]] == ["neurons", "pca", "random"]
    assert client.get(f"/quality/{tiny.NEURONS}").status_code == 404
    assert client.get("/quality/no/1-where").status_code == 404


def test_the_leaderboard(client):
    found = client.get("/leaderboard?sort=-l0").json()
    assert [row["sourceId"] for row in found["rows"]] == [None, "1-res"]
    assert found["rows"][0]["figures"]["l0"] == {"value": 57.5, "low": None, "high": None}
    assert len(client.get("/leaderboard?elsewhere=0&unmeasured=1").json()["rows"]) == 2
    assert client.get("/leaderboard?sort=beauty").status_code == 400


def test_the_leaderboard_as_a_table(client):
    answer = client.get("/leaderboard?format=csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert "attachment" in answer.headers["content-disposition"]
    assert rows[0]["source"] == tiny.SAE and float(rows[0]["explained_variance_low"]) == pytest.approx(0.91)
    assert rows[1]["name"].startswith("'=cmd()") and rows[1]["l0_low"] == ""
