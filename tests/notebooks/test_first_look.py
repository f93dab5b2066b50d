"""The example notebook runs from top to bottom on the demo, draws what it should, and is kept without outputs."""

from __future__ import annotations

import os
import sys

import nbformat
import pytest

from tests.live import ROOT, environment

NOTEBOOK = ROOT / "notebooks" / "first_look.ipynb"


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook run by this interpreter; nothing is written beside it."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")
    home = tmp_path_factory.mktemp("home")

    class Here(AsyncKernelManager):
        """A kernel of this interpreter, whatever kernels the machine has installed."""

        @property
        def kernel_spec(self):
            return spec

    client = NotebookClient(
        nbformat.read(NOTEBOOK, 4),
        kernel_manager_class=Here,
        timeout=240,
        resources={"metadata": {"path": ROOT / "notebooks"}},
    )
    mine = environment(IPYTHONDIR=str(home), JUPYTER_RUNTIME_DIR=str(home), FEATURESCOPE_DATA=str(home / "data"))
    del mine["PYTHONPATH"]  # the notebook finds the project by itself
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(mine)
    try:
        return client.execute()
    finally:
        os.environ.clear()
        os.environ.update(before)


def shown(notebook: nbformat.NotebookNode, source: str) -> list[dict[str, str]]:
    """What the cells whose source ends with `source` show."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.endswith(source)]
    return [output.data for cell in cells for output in cell.outputs if "data" in output]


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
    assert not [
        o for cell in executed.cells if cell.cell_type == "code" for o in cell.outputs if o.output_type == "error"
    ]


def test_it_is_kept_without_outputs():
    kept = nbformat.read(NOTEBOOK, 4)
    nbformat.validate(kept)
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert NOTEBOOK.stat().st_size < 20_000
