"""A build's tiles run by a Ray cluster: `python -m core build CONFIG --engine ray`.

Every tile is a task: the model's pass and the encoders, by any machine of the cluster. This process hands them out, a
few ahead, and adds up what comes back in the order of the tiles, as it does with its own; so the bytes are those of a
build on one machine, whatever the number of workers, and whoever of them died: a task that is lost is run again. What
is finished is on this machine's disk, chunk by chunk, and a build that was killed goes on from there, with any engine.

`RAY_ADDRESS` says which cluster. Without it a cluster of this machine alone is started, which listens on the loopback
interface only, and is gone with the build. Workers find the model and the sources as the configuration names them: by
a hub id, or by a path that is theirs too; weights that are not the same are refused. Each uses as many threads as this
process would, since the last digits of a product may depend on it.

Cost: some 3 s to begin, 0.3 GB for Ray's own processes, and in each worker the model and the sources once. A tile sends
back its hooks' activations (6 MB at 768 wide) and its non-zeros. This process adds up by itself: quick for SAEs, while
the products of a dense source with itself keep it as busy as two workers are.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.build.nonzeros import Rows
from core.build.taking import Engine, Job, Tails, Taken, take
from core.build.tiles import Tile, Tiles
from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadConfig, NotAvailable, WorkbenchError
from core.kernel import U32
from core.models import loading
from core.sources import dictionary

RETRIES = 5
"""Times that a tile is run again whose worker died."""
PATIENCE = 5.0
"""Seconds for a cluster to answer."""
AHEAD = 2
"""Tiles handed out for each that can be at work."""
LOCAL = {
    "RAY_AUTH_MODE": "disabled",  # it would write a token into the home folder
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # so that it binds to loopback, as on a laptop
    "RAY_USAGE_STATS_ENABLED": "0",
}
OBJECTS = 512 * 2**20
"""Bytes for results under way, of a cluster on this machine alone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker loads."""

    model: ModelSpec
    model_sha256: str
    sources: tuple[tuple[WeightsSpec, str | None, str], ...]
    """(place, hook of neurons, hash of the weights)"""
    names: tuple[str, ...]
    device: str
    dtype: str
    threads: int
    half: bool = False
    """Whether encoders' products are of bfloat16."""


_loaded: tuple[Plan, loading.LoadedModel, list[dictionary.Dictionary]] | None = None
"""In a worker: what its last task needed."""


@torch.no_grad()
def _tile(plan: Plan, tile: Tile, wanted: Sequence[tuple[int, Tails | None]]) -> list[Taken]:
    """In a worker: one tile, and what each wanted source takes of it."""
    torch.set_num_threads(plan.threads)
    model, sources = _load(plan)
    copied = Tile(np.array(tile.ids), np.array(tile.tokens), np.array(tile.places))  # Ray's arrays are read-only
    flat = copied.run(model, sorted({sources[n].hook for n, _ in wanted}))
    return [take(sources[n], flat[sources[n].hook], tails, plan.names[n], half=plan.half) for n, tails in wanted]


def _load(plan: Plan) -> tuple[loading.LoadedModel, list[dictionary.Dictionary]]:
    global _loaded
    if _loaded is None or _loaded[0] != plan:
        _loaded = None
        model = loading.load(plan.model, device=plan.device, dtype=plan.dtype)
        _same(plan.model.id, model.sha256, plan.model_sha256)
        sources = []
        for (spec, hook, sha256), name in zip(plan.sources, plan.names, strict=True):
            source = dictionary.load(spec, model, hook=hook, device=plan.device, model_sha256=model.sha256)
            _same(name, source.sha256, sha256)
            sources.append(source)
        _loaded = plan, model, sources
    return _loaded[1], _loaded[2]


def _same(name: str, found: str, expected: str) -> None:
    if found != expected:
        raise BadConfig(
            f"{name}: a worker found other weights than this machine ({found[:12]}, not {expected[:12]}): "
            "give it the same files, or a hub revision."
        )


def engine(plan: Plan, tiles: Tiles) -> Engine:
    """The engine that hands a build's tiles to a cluster.

    Raises, when it begins:
        NotAvailable: Ray is not installed, or no cluster answers.
    """

    def run(jobs: Sequence[Job], tails: Callable[[int], Tails | None]) -> Generator[tuple[U32, Taken]]:
        ray, begun = _ray()
        try:
            yield from _results(ray, plan, tiles, jobs, tails)
        finally:
            if begun:
                ray.shutdown()

    return run


def _results(
    ray: Any, plan: Plan, tiles: Tiles, jobs: Sequence[Job], tails: Callable[[int], Tails | None]
) -> Generator[tuple[U32, Taken]]:
    """What comes of the jobs, in their order."""
    cards = int(plan.device.startswith("cuda"))
    there = ray.cluster_resources()
    cpus, gpus = int(there.get("CPU", 0)), int(there.get("GPU", 0))
    at_once = min(cpus // plan.threads, gpus // cards if cards else cpus)
    if not at_once:
        raise NotAvailable(
            f"The Ray cluster has {cpus} processors and {gpus} cards, and a tile takes {plan.threads} and {cards}: "
            "FEATURESCOPE_THREADS says how many processors."
        )
    task = ray.remote(max_retries=RETRIES, num_cpus=plan.threads, num_gpus=cards)(_tile)
    held, left = ray.put(plan), deque(jobs)
    out: deque[tuple[Job, Tile, Any]] = deque()
    while left or out:
        ahead = AHEAD * at_once
        while left and len(out) < ahead:
            wanted = [(n, tails(n)) for n in left[0].sources]
            job = left.popleft()
            tile = tiles.tile(job.begin, job.end)
            out.append((job, tile, task.remote(held, tile, wanted)))
            if any(tail is None for _, tail in wanted) and len(out) == 1 and job == jobs[0]:
                break  # it says where the tails of dense sources begin, which the others must know
        job, tile, promised = out.popleft()
        for taken in _got(ray, promised):
            yield tile.tokens, _own(taken)


def _got(ray: Any, promised: Any) -> list[Taken]:
    """A task's result, or what went wrong in the words of this program."""
    try:
        found: list[Taken] = ray.get(promised)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, WorkbenchError):
            raise type(error.cause)(str(error.cause)) from None
        raise NotAvailable(f"A Ray worker failed: {str(error.cause).strip().splitlines()[0][:300]}") from error
    except ray.exceptions.RayError as error:
        raise NotAvailable(
            f"The Ray cluster lost a tile {RETRIES + 1} times ({type(error).__name__}). Run the same command again: it "
            "goes on from here."
        ) from error
    return found


def _own(taken: Taken) -> Taken:
    """With arrays that may be written to."""
    rows = taken.entries
    entries = Rows(np.array(rows.counts), np.array(rows.features), np.array(rows.values))
    tails = None if taken.tails is None else (np.array(taken.tails[0]), np.array(taken.tails[1]))
    return replace(taken, entries=entries, batches=[np.array(batch) for batch in taken.batches], tails=tails)


def _ray() -> tuple[Any, bool]:
    """Ray, connected; whether this build connected it."""
    address = os.environ.get("RAY_ADDRESS")
    if not address:
        os.environ.update({name: value for name, value in LOCAL.items() if name not in os.environ})
    try:
        import ray
    except ImportError:
        raise NotAvailable(
            "--engine ray needs Ray: pip install -r requirements-cluster.txt, here and on every machine of the cluster."
        ) from None
    if ray.is_initialized():
        return ray, False
    where = f"at RAY_ADDRESS={address}" if address else "on this machine"
    if address and not _answers(address):
        raise NotAvailable(f"There is no Ray cluster {where}: nothing answers there.")
    try:
        ray.init(**(_elsewhere() if address else _alone()), log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:  # Ray raises many kinds
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise NotAvailable(f"There is no Ray cluster {where}: {first[:300]}") from error
    return ray, True


def _answers(address: str) -> bool:
    """Whether somebody listens there; Ray itself would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():  # “auto”, say
        return True
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE):
            return True
    except OSError:
        return False


def _elsewhere() -> dict[str, Any]:
    """This very code goes along, so that its loops and its numbers are the same."""
    import core

    return {"runtime_env": {"py_modules": [core]}}


def _alone() -> dict[str, Any]:
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(part for part in (root, os.environ.get("PYTHONPATH", "")) if part)
    return {
        "include_dashboard": False, "object_store_memory": OBJECTS, "_temp_dir": tempfile.mkdtemp(prefix="fs-ray-"),
        "runtime_env": {"env_vars": {"PYTHONPATH": path}},
    }  # fmt: skip
