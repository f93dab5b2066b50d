"""A workbench whose `incoming/` holds a tiny model and an SAE that reconstructs it, and jobs that nobody takes up."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.bring import worker
from core.bring.records import Place, Plan
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """A folder with a model and SAEs of several formats; read it, do not write."""
    root = tmp_path_factory.mktemp("weights")
    tiny.model(root / "pocket")
    tiny.identity(root / "mirror", model="pocket")
    tiny.sae(root / "noise", bias=-0.3)
    tiny.sae(root / "coder", "transcoder", hook="blocks.1.mlp.hook_in", bias=-0.3)
    return root


@pytest.fixture
def data(weights, tmp_path) -> Path:
    """A data root whose `incoming/` holds them."""
    folder = tmp_path / "data" / "incoming"
    folder.mkdir(parents=True)
    for path in weights.iterdir():
        (folder / path.name).mkdir()
        for file in path.iterdir():
            (folder / path.name / file.name).hardlink_to(file)
    return tmp_path / "data"


@pytest.fixture
def idle(monkeypatch) -> list[Path]:
    """No worker is begun; the roots that asked for one."""
    asked: list[Path] = []
    monkeypatch.setattr(worker, "begin", asked.append)
    return asked


@pytest.fixture
def bench(data, idle) -> Workbench:
    return Workbench(Settings(data=data, demo=None))


@pytest.fixture
def plan(data) -> Plan:
    """Of a build that takes a second."""
    return Plan(model=str(data / "incoming" / "pocket"), prompts=60)


@pytest.fixture
def job(bench, plan):
    """A job that was found, with its plan."""
    return bench.bring.begin(Place(where="folder", path="mirror"), plan, by="ada")
