"""The notebook of probes and attributions runs on the demo, whether or not the demo has a source on attention heads."""

from __future__ import annotations

import pytest

from core.settings import Settings
from core.workbench import Workbench
from tests.notebooks.running import NOTEBOOKS, failed, kept_bare, run, shown

NOTEBOOK = NOTEBOOKS / "probes_and_attribution.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    return run(NOTEBOOK, tmp_path_factory.mktemp("home"))


def test_a_probe_is_trained_tested_and_steered_with(executed):
    assert not failed(executed)
    (probe,) = shown(executed, "\nprobe")
    assert "code" in probe["text/plain"] and "shuffled" in probe["text/plain"]
    (tested,) = shown(executed, "\ntested")
    assert "print" in tested["text/html"] and "rgba(" in tested["text/html"]
    (held,) = shown(executed, "> probe.threshold) for test in tested]")
    assert "True" in held["text/plain"] and "False" in held["text/plain"], "it tells the two apart"
    (steered,) = shown(executed, "length=30))")
    assert "The old house was" in steered["text/html"]


def test_attributions_where_there_is_a_source_for_them(executed, tmp_path):
    there = [one for one in Workbench(Settings(data=tmp_path)).sources() if one.hook.endswith("attn.hook_z")]
    (named,) = shown(executed, "run this again.\"")
    assert ("No source here" in named["text/plain"]) == (not there)
    found = [data for data in shown(executed, "\nfound") if "DfaRecord" in data.get("text/plain", "")]
    assert len(found) == bool(there)


def test_it_is_kept_without_outputs():
    assert kept_bare(NOTEBOOK)
