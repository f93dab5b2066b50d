"""A workbench that may write, over the tiny sources that it may not; and a model on loopback."""

from __future__ import annotations

import pytest

from core.settings import Settings
from core.workbench import Workbench
from tests.openai_server import OpenAIServer


@pytest.fixture
def writable(tiny_root, tmp_path):
    return Workbench(Settings(data=tmp_path / "data", demo=tiny_root))


@pytest.fixture
def server():
    with OpenAIServer() as made:
        yield made
