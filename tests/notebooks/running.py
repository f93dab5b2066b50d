"""Runs an example notebook from top to bottom on the demo, with this interpreter; nothing is written beside it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import nbformat

from tests.live import ROOT, environment

NOTEBOOKS = ROOT / "notebooks"


def run(path: Path, home: Path) -> nbformat.NotebookNode:
    """The notebook with its outputs."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    spec = KernelSpec(argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], language="python")

    class Here(AsyncKernelManager):
        """A kernel of this interpreter, whatever kernels the machine has installed."""

        @property
        def kernel_spec(self):
            return spec

    client = NotebookClient(
        nbformat.read(path, 4), kernel_manager_class=Here, timeout=240, resources={"metadata": {"path": NOTEBOOKS}}
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


def failed(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """The errors of its cells."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [output for cell in code for output in cell.outputs if output.output_type == "error"]


def kept_bare(path: Path) -> bool:
    """Whether the file is one, small and without outputs."""
    kept = nbformat.read(path, 4)
    nbformat.validate(kept)
    code = [cell for cell in kept.cells if cell.cell_type == "code"]
    return all(not cell.outputs and cell.execution_count is None for cell in code) and path.stat().st_size < 20_000
