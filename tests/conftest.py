"""Fixtures that every test may use: a clean environment, and a tiny model whose sources the real build made."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from core.records import FeatureRecord
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.live import Server
from tests.spaces import Spaces
from tests.stack.stack import Stack, missing

hypothesis.settings.register_profile("ours", deadline=None)  # how long an example takes says nothing of the code
hypothesis.settings.load_profile("ours")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Tests that need the network run only when asked for."""
    if "online" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("online"):  # not by keywords: a folder of that name is one
            item.add_marker(pytest.mark.skip(reason="needs the network: -m online"))


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs the tests has set must not change what they say."""
    for name in os.environ:
        if name.startswith("FEATURESCOPE_") or name in {"HOST", "PORT", "FRAME_ANCESTORS"}:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def tiny_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build configuration with its weights and texts beside it."""
    return tiny.write(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_root(tiny_config: Path) -> Path:
    """A data root with the tiny model's sources; read it, do not write."""
    root = tiny_config.parent / "data"
    Workbench(Settings(data=root, demo=None)).build(tiny_config)
    return root


@pytest.fixture(scope="session")
def bench(tiny_root: Path) -> Workbench:
    """A workbench over the tiny sources."""
    return Workbench(Settings(data=tiny_root, demo=None))


@pytest.fixture(scope="session")
def record(bench: Workbench) -> FeatureRecord:
    """A living feature."""
    return bench.feature(f"{tiny.SAE}/3")


@pytest.fixture(scope="session")
def live(tiny_root: Path) -> Iterator[Server]:
    """The server as `make demo` starts it, on a free port, over the tiny sources."""
    with Server(tiny_root) as server:
        yield server


@pytest.fixture(scope="session")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spaces]:
    """A Hugging Face Space of each kind, each in its own folder; started when it is first asked for."""
    with Spaces(tmp_path_factory.mktemp("spaces")) as made:
        yield made


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """A Supabase project on loopback: PostgreSQL and PostgREST as they are, a stand-in for Auth."""
    if why := missing():
        pytest.skip(why)
    with Stack() as made:
        yield made
