"""One of the embeds by itself, on Gradio's own server: what a Hugging Face Space of the Gradio SDK runs.

`space.json` in the Space's folder names the embed and what it shows where its address asks for nothing; the sources are
in `built/`, the weights beside it. The blocks and the engine below them are the same as under /embed. On ZeroGPU
hardware, where a graphics card is lent for a call to a function that is marked so, such functions run the model in a
process that Hugging Face's `spaces` forks: what goes in and out is pickled, and the line is theirs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.middleware import Middleware

from core.errors import WorkbenchError
from core.records import FeatureKey, Records, SteerAsk, SteerRecord, Tell, TestRecord
from core.settings import Settings
from core.workbench import Workbench
from embeds.page import About, Head
from embeds.server import EMBEDS, Door, options, tools_in_json

Mark = Callable[[Callable[..., Any]], Callable[..., Any]]
"""`spaces.GPU`: the function that it gives runs where the card is."""
FREE = {"FEATURESCOPE_THREADS": "2", "FEATURESCOPE_MEMORY_MB": "8192"}
"""For a free Space (2 cores, 16 GB), since inside one the machine's own numbers are seen; its variables win."""
STORAGE = Path("/data")
"""Where a Space that has bought storage finds it."""


def blocks(folder: Path, gpu: Mark | None = None) -> gr.Blocks:
    """The blocks of the Space in `folder`; `gpu` is `spaces.GPU`, where there is such a package."""
    told = json.loads((folder / "space.json").read_text(encoding="utf-8"))
    zero = gpu if zero_gpu() else None
    found = settings(folder, device="cuda" if zero else "cpu")
    workbench = Workbench(found) if zero is None else OnCard(found, zero)
    make, _, _ = EMBEDS[told["app"]]
    made = make(workbench, lambda request: None, home=told["home"], usual=told["usual"])
    made.app_kwargs = {"middleware": _middleware(workbench, told["app"], told["usual"])}
    return made


def launch(made: gr.Blocks) -> None:
    """Serves until interrupted, at GRADIO_SERVER_NAME and GRADIO_SERVER_PORT, which a Space sets."""
    made.launch(**options(), app_kwargs=made.app_kwargs, prevent_thread_lock=True)
    tools_in_json(made)
    made.block_thread()


def settings(folder: Path, device: str) -> Settings:
    """From the environment, with what suits a free Space where it says nothing."""
    usual = FREE | {"FEATURESCOPE_DEVICE": device}
    if "SPACE_ID" in os.environ and os.access(STORAGE, os.W_OK):
        usual["FEATURESCOPE_DATA"] = str(STORAGE)
    for name, value in usual.items():
        os.environ.setdefault(name, value)
    return Settings(demo=folder / "built")


def zero_gpu() -> bool:
    """Whether this is a Space on ZeroGPU hardware."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "true")


def _middleware(workbench: Workbench, app: str, usual: Mapping[str, str]) -> list[Middleware]:
    _, say, _ = EMBEDS[app]

    def about(given: Mapping[str, str]) -> About:
        return say(workbench, given if given.get("id") or given.get("features") else usual)

    return [Middleware(Door), Middleware(Head, about={"/": about})]


# -- ZeroGPU -----------------------------------------------------------------------------------------------------------


class OnCard(Workbench):
    """A workbench that runs models in ZeroGPU's processes, each of which loads them once for itself.

    What is raised there comes back as a value: `spaces` would tell of an exception only its name.
    """

    def __init__(self, settings: Settings, mark: Mark) -> None:
        super().__init__(settings)
        there: list[Workbench] = []  # empty here; a lock that was held while a process was forked would stay held in it

        def bench() -> Workbench:
            if not there:
                there.append(Workbench(settings))
            return there[0]

        def test(key: FeatureKey | str, texts: Sequence[str] | str) -> tuple[TestRecord, ...] | WorkbenchError:
            try:
                return tuple(bench().test(key, texts))
            except WorkbenchError as error:
                return error

        def steering(ask: SteerAsk) -> Iterator[SteerRecord | WorkbenchError]:
            try:
                yield from bench().steering(ask)
            except WorkbenchError as error:
                yield error

        self._test, self._steering = mark(test), mark(steering)

    def test(
        self, key: FeatureKey | str, texts: Sequence[str] | str, *, tell: Tell | None = None
    ) -> Records[TestRecord]:
        """As `Workbench.test`; nothing is told."""
        found = self._test(key, texts)
        if isinstance(found, WorkbenchError):
            raise found
        return Records(found)

    def steering(self, ask: SteerAsk, *, keep: bool = False, tell: Tell | None = None) -> Generator[SteerRecord]:
        """As `Workbench.steering`; nothing is kept or told."""
        for record in self._steering(ask):
            if isinstance(record, WorkbenchError):
                raise record
            yield record
