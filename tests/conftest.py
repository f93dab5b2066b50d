"""Fixtures that every test may use: a clean environment, and a tiny model whose sources the real build made.

Also how `pytest -n` shares the files out: the browser's tests are one piece of work, since they share a server and a
browser, and it is begun first; then files of few tests that take long; then those of most tests, so that what is left
at the end is short.
"""

from __future__ import annotations

import functools
import gc
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
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


# Every request that is no client's makes an `httpx.Client` of its own, and each reads the whole list of authorities
# that a server's certificate may be from: a twentieth of the time of all tests, all of them on loopback.
httpx._transports.default.create_ssl_context = functools.cache(httpx.create_ssl_context)

BROWSER = "tests/browser"
LONG = (
    "tests/notebooks", "tests/embeds/test_space_served.py", "tests/core/test_build_killed.py",
    "tests/core/interchange/test_killed.py", "tests/core/test_build_cluster.py", "tests/test_soak.py",
    "tests/test_docker.py", "tests/test_server.py", "tests/test_benchmarks.py",
)  # fmt: skip
"""Few tests each that start processes."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """`--dist loadfile` with the browser's files as one."""
    if config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Scheduling(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return BROWSER if nodeid.startswith(f"{BROWSER}/") else super()._split_scope(nodeid)

    config.option.loadscopereorder = False  # the order is that of the items
    return Scheduling(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes long first; tests that need the network run only when asked for."""
    count = Counter(item.nodeid.partition("::")[0] for item in items)

    def place(item: pytest.Item) -> tuple[bool, bool, int, str]:
        file = item.nodeid.partition("::")[0]
        return not file.startswith(f"{BROWSER}/"), not file.startswith(LONG), -count[file], file

    items.sort(key=place)
    if "online" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("online"):  # not by keywords: a folder of that name is one
            item.add_marker(pytest.mark.skip(reason="needs the network: -m online"))


def pytest_configure() -> None:
    """Nothing is garbage while tests are found: a million objects, looked through dozens of times."""
    gc.disable()


def pytest_collection_finish() -> None:
    """What is there now stays: the collector, where a test calls it or by itself, looks at what came later."""
    gc.freeze()
    gc.enable()


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
