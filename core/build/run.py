"""The build: prompts, one pass of the model for all sources, then every source from its non-zeros.

The pass stops after the last hook that any source needs, and runs in tiles and chunks (`core.build.tiles`). Special
tokens (BOS and the like) are run, since the model needs them, but are neither encoded nor counted. Each source is
written complete or not at all; one that is there already, made by the same configuration from the same weights and
texts, is left as it is; one that was interrupted goes on from its last chunk and ends with the same bytes.

Cost: one forward pass and one encoder product a token and source. Memory does not grow with the tokens beyond 16 bytes
for each; disk takes 16 bytes a non-zero until the source stands, 8 after that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from core.build import tiles as tiling
from core.build.config import BuildConfig, SourceConfig
from core.build.examples import Texts
from core.build.moments import CoordinateMoments, DenseMoments, State
from core.build.nonzeros import Nonzeros, joined, outside, positive, to_numpy
from core.build.texts import Prompts, cut
from core.build.tiles import Tiles, pieces
from core.build.work import Work, opened
from core.build.write import Finished, write_source_folder
from core.catalog.manifest import read_source, relative, write_model
from core.errors import BadConfig, WorkbenchError
from core.kernel import announcing
from core.models import loading
from core.models.capture import check_hooks, hook_layer
from core.records import BuildReport, ReleaseRecord, SourceKey, SourceRecord
from core.sources import dictionary
from core.sources.residual import residual_rows
from core.store.write import check_writable, checksums

Progress = Callable[[str, float, float], None]
LOWER_TAIL, UPPER_TAIL = 0.005, 0.98
"""Quantiles, over the first tile's counted tokens, beyond which the store keeps a dense source's values."""


@dataclass(slots=True)
class Running:
    """One source during the pass."""

    config: SourceConfig
    key: SourceKey
    source: dictionary.Dictionary
    nonzeros: Nonzeros
    coordinates: CoordinateMoments | None
    dense: DenseMoments | None
    model_sha256: str
    settings_sha256: str
    tails: tuple[torch.Tensor, torch.Tensor] | None = None
    begun: Work | None = None
    """Set while it is being built."""

    @property
    def work(self) -> Work:
        """What is finished of it."""
        assert self.begun is not None
        return self.begun

    def state(self) -> State:
        """All sums so far."""
        sums = self.dense if self.coordinates is None else self.coordinates
        assert sums is not None
        tails = {} if self.tails is None else {"lower": to_numpy(self.tails[0]), "upper": to_numpy(self.tails[1])}
        return sums.state() | tails

    def resume(self, work: Work, tokens: int, device: str) -> None:
        """Goes on from the chunks that are finished, of a build of so many tokens."""
        self.begun = work
        state = work.resume(self.source.width, tokens, self.state())
        if state is None:
            return
        sums = self.dense if self.coordinates is None else self.coordinates
        assert sums is not None
        sums.restore(state)
        if "lower" in state:
            self.tails = (torch.from_numpy(state["lower"]).to(device), torch.from_numpy(state["upper"]).to(device))


def build(config: BuildConfig, root: Path, *, device: str = "cpu", progress: Progress | None = None) -> BuildReport:
    """Builds every source of `config` into the data root `root`.

    Raises:
        BadConfig: the configuration names what is not there or does not fit, before any pass.
        NotAvailable: the data root cannot be written.
    """
    begun = time.monotonic()
    tell = progress or (lambda what, done, of: None)
    tell("loading the model", 0, 1)
    model = loading.load(
        config.model_spec(),
        device=device,
        dtype=config.dtype,
        name=config.model.name,
        description=config.model.description,
    )
    running = _sources(config, model, device)
    if config.context > model.context:
        raise BadConfig(
            f"context: {config.context} is more than the {model.context} tokens that {config.model.id} can read."
        )
    tell("reading texts", 0, 1)
    prompts = cut(config, model.tokenizer, model.bos)
    texts = Texts.of(prompts.tokens, model.vocabulary)
    _embedded(texts, model)
    counted = _counted(texts, model.manifest.special)
    if not counted.any():
        raise BadConfig("dataset: its prompts hold special tokens only, and those are left out of the statistics.")
    check_writable(root / config.model.id)
    waiting = [r for r in running if not _there(config, root, r, prompts)]
    skipped = tuple(r.key for r in running if r not in waiting)
    records: list[SourceRecord] = []
    with ExitStack() as stack:
        stack.enter_context(announcing(lambda: tell("compiling loops, for this and later builds", 0, 1)))
        for r in waiting:
            folder = root / r.key.model_id / r.key.source_id
            tile = {"tile": [tiling.TOKENS, tiling.PER_CHUNK, tiling.VALUES], "device": device}
            r.resume(stack.enter_context(opened(folder, _stamp(config, r, prompts) | tile)), prompts.total, device)
        if waiting:
            _pass(model, waiting, Tiles.of(texts, counted), tell)
            _write_model(config, root, model)
        W_U = model.bridge.W_U.detach().float()
        while waiting:
            one = waiting.pop(0)  # frees its sums before the next is written
            finished = _finish(config, root, one, model, prompts, texts, int(counted.sum()), W_U)
            records.append(write_source_folder(finished, partial(tell, f"writing {one.key.source_id}")))
            one.work.remove()
    return BuildReport(
        sources=tuple(records), seconds=time.monotonic() - begun, tokens=int(counted.sum()), skipped=skipped
    )


def _sources(config: BuildConfig, model: loading.LoadedModel, device: str) -> list[Running]:
    """Every source loaded and checked against the model."""
    running = []
    for n, one in enumerate(config.sources):
        key = SourceKey(config.model.id, one.id)
        try:
            if one.neurons:
                check_hooks(model, [one.neurons])
            source = dictionary.load(
                config.weights_spec(one), model, hook=one.neurons, device=device, model_sha256=model.sha256
            )
            dictionary.check(source, model)
        except BadConfig as error:
            raise BadConfig(f"sources.{n}: {error}") from error
        if hook_layer(source.hook) != key.layer:
            raise BadConfig(f"sources.{n}.id: {one.id} says layer {key.layer}, but its hook is {source.hook}.")
        coordinates = None if source.signed else CoordinateMoments(source.width, source.d_in)
        dense = DenseMoments(source.width) if source.signed else None
        running.append(
            Running(one, key, source, Nonzeros(source.width), coordinates, dense, model.sha256, model.settings_sha256)
        )
    return running


def _counted(texts: Texts, special: tuple[int, ...]) -> NDArray[np.bool_]:
    """[total]: tokens that count in the statistics."""
    return ~np.isin(texts.tokens, np.array(special, np.uint32))


def _embedded(texts: Texts, model: loading.LoadedModel) -> None:
    """Raises `BadConfig` for a token that the tokenizer makes and the model has no embedding for."""
    most = int(texts.tokens.max())
    if most >= model.manifest.record.d_vocab:
        raise BadConfig(
            f"dataset: it has the token {model.tokenizer.convert_ids_to_tokens(most)!r} ({most}), and "
            f"{model.manifest.spec.id} has embeddings for {model.manifest.record.d_vocab} only: the tokenizer is not "
            "this model's."
        )


@torch.no_grad()
def _pass(model: loading.LoadedModel, running: list[Running], tiles: Tiles, tell: Progress) -> None:
    """Runs every chunk that some source still needs and hands the hooks' activations to those sources."""
    total = tiles.begin(tiles.chunks)
    first = min(r.work.done for r in running)
    tell("running the model", tiles.begin(first), total)
    for chunk in range(first, tiles.chunks):
        needing = [r for r in running if r.work.done == chunk]
        hooks = sorted({r.source.hook for r in needing})
        for begin, end in tiles.of_chunk(chunk):
            tokens, flat = tiles.run(model, begin, end, hooks)
            for r in needing:
                _take(r, flat[r.source.hook], tokens)
            tell("running the model", int(tiles.texts.starts[end]), total)
        for r in needing:
            r.work.finish(r.nonzeros.chunk(), r.state())


def _take(r: Running, x: torch.Tensor, tokens: NDArray[np.uint32]) -> None:
    """One tile of one source's activations."""
    parts = []
    for _, some in pieces(x, r.source.width):
        acts = r.source.encode(some)
        if r.dense is None:
            parts.append(positive(acts))
            _finite(r, parts[-1].values)
            continue
        _finite(r, to_numpy(acts))
        if r.tails is None:
            ordered = acts.sort(dim=0).values
            last = len(ordered) - 1
            r.tails = (ordered[int(LOWER_TAIL * last)].clone(), ordered[int(UPPER_TAIL * last)].clone())
        r.dense.add(to_numpy(acts))
        parts.append(outside(acts, *r.tails))
    r.nonzeros.add(tokens, parts)
    if r.coordinates is not None:
        r.coordinates.add(joined(parts), to_numpy(x))


def _finite(r: Running, values: NDArray[np.float32]) -> None:
    if not np.isfinite(values).all():
        raise BadConfig(f"{r.config.id}: its values on these texts are not finite numbers: its weights are too large.")


def _finish(
    config: BuildConfig,
    root: Path,
    r: Running,
    model: loading.LoadedModel,
    prompts: Prompts,
    texts: Texts,
    counted: int,
    W_U: torch.Tensor,
) -> Finished:
    """All that writing a source needs."""
    tails = None if r.tails is None else (to_numpy(r.tails[0]), to_numpy(r.tails[1]))
    weights = config.weights_spec(r.config)
    if weights.path:
        weights = replace(weights, path=relative(Path(weights.path), root))
    return Finished(
        folder=root / r.key.model_id / r.key.source_id, key=r.key, source=r.source, weights=weights,
        origin=config.weights_origin(r.config), chunks=r.work.chunks, coordinates=r.coordinates,
        dense=r.dense, tails=tails, texts=texts, prompts=prompts, counted=counted, vocabulary=model.vocabulary, W_U=W_U,
        residual=residual_rows(r.source, model),
        store=config.store, compact=config.compact, release=_release(config), build=_stamp(config, r, prompts),
        context=config.context, dtype=config.dtype,
    )  # fmt: skip


def _release(config: BuildConfig) -> ReleaseRecord:
    r = config.release
    if r is None:
        return ReleaseRecord(name=config.model.id, description="", creator="", urls=())
    return ReleaseRecord(name=r.name, description=r.description, creator=r.creator, urls=tuple(r.urls))


def _stamp(config: BuildConfig, r: Running, prompts: Prompts) -> dict[str, Any]:
    """What the source depends on; two builds with the same stamp give the same numbers."""
    parameters = config.model_dump(
        mode="json", include={"prompts", "context", "cut", "shuffle", "seed", "dtype", "store", "compact"}
    )
    return parameters | {
        "model_sha256": r.model_sha256, "model_settings_sha256": r.settings_sha256,
        "weights_sha256": r.source.sha256, "dataset_sha256": prompts.sha256,
        "hook": r.source.hook, "hook_out": r.source.hook_out,
    }  # fmt: skip


def _there(config: BuildConfig, root: Path, r: Running, prompts: Prompts) -> bool:
    """Whether this very source stands in the root already, undamaged."""
    folder = root / r.key.model_id / r.key.source_id
    try:
        manifest = read_source(folder / "source.json")
        return manifest.build == _stamp(config, r, prompts) and manifest.checksums == checksums(folder)
    except (OSError, WorkbenchError):
        return False


def _write_model(config: BuildConfig, root: Path, model: loading.LoadedModel) -> None:
    """`model.json` and `vocabulary.arrow`, the vocabulary first: the manifest makes the model visible."""
    folder = root / config.model.id
    folder.mkdir(parents=True, exist_ok=True)
    model.vocabulary.write(folder / "vocabulary.arrow")
    spec = model.manifest.spec
    if spec.path:
        spec = replace(spec, path=relative(Path(spec.path), root))
    write_model(folder / "model.json", replace(model.manifest, spec=spec))
