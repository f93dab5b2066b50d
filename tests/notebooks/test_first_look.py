"""The example notebook runs from top to bottom on the demo, draws what it should, and is kept without outputs."""

from __future__ import annotations

import pytest

from tests.notebooks.running import NOTEBOOKS, failed, kept_bare, run, shown

NOTEBOOK = NOTEBOOKS / "first_look.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    return run(NOTEBOOK, tmp_path_factory.mktemp("home"))


def test_it_shows_sources_a_feature_and_a_test(executed):
    (sources,) = shown(executed, "w.sources()")
    assert "scribe-4l/2-res" in sources["text/html"]
    (feature,) = shown(executed, "\nfeature")
    assert "blocks.2.hook_resid_pre" in feature["text/html"] and "svg" in feature["text/html"]
    assert len(feature["text/plain"]) < 500, "the notebook's file stays small"
    (tested,) = shown(executed, "\ntested")
    assert "full depth at" in tested["text/html"] and "mother" in tested["text/html"]


def test_it_draws_tables_and_bars(executed):
    outputs = [o.data for cell in executed.cells if cell.cell_type == "code" for o in cell.outputs if "data" in o]
    assert sum("linear-gradient" in data.get("text/html", "") for data in outputs) == 2
    assert sum("dataframe" in data.get("text/html", "") for data in outputs) == 4
    assert not failed(executed)


def test_it_is_kept_without_outputs():
    assert kept_bare(NOTEBOOK)
