"""The build: prompts, one pass of the model for all sources, then every source from its non-zeros.

The pass stops after the last hook that any source needs, and runs in tiles and chunks (`core.build.tiles`). Special
tokens (BOS and the like) are run, since the model needs them, but are neither encoded nor counted. Each source is
written complete or not at all; one that is there already, made by the same configuration from the same weights and
texts, is left as it is; one that was interrupted goes on from its last chunk and ends with the same bytes.

Cost: one forward pass and one encoder product a token and source. Memory does not grow with the tokens beyond 16 bytes
for each; disk takes 16 bytes a non-zero until the source stands, 8 after that.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from core.atlas.together import keeping
from core.atlas.together.pairs import Side
from core.atlas.together.pairs import side as pair_side
from core.build import tiles as tiling
from core.build.attributed import write_attributed
from core.build.config import BuildConfig, SourceConfig
from core.build.examples import Texts
from core.build.moments import CoordinateMoments, DenseMoments, State
from core.build.nonzeros import Nonzeros
from core.build.taking import Engine, Job, Tails, Taken, here
from core.build.texts import Prompts, again, cut
from core.build.tiles import Tiles
from core.build.work import Work, opened
from core.build.write import Finished, write_source_folder
from core.catalog.manifest import read_source, relative, write_model
from core.errors import BadConfig, WorkbenchError
from core.kernel import U32, announcing
from core.models import loading
from core.models.capture import check_hooks, hook_layer
from core.models.thread import apart
from core.records import BuildReport, ReleaseRecord, SourceKey, SourceRecord
from core.sources import dictionary
from core.sources.heads import is_attributable
from core.sources.residual import residual_rows
from core.sources.said import agree
from core.store import layout
from core.store.layout import SourceData
from core.store.write import check_writable, checksums

Progress = Callable[[str, float, float], None]
RELATED = ".related"
"""Below a model's folder a data root of its own: what was related of sources that do not stand yet."""
RELATED_PRODUCTS = 4e9
"""Pairs of entries on a token that a build adds up to say who fires with whom, at most: three minutes of a core."""
SIGNED = 16384
"""Features of a signed source at most: its products of all pairs take 2 GiB."""
Where = Literal["local", "ray"]
"""Who runs a build's tiles."""


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
    tails: Tails | None = None
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
        return sums.state() | ({} if self.tails is None else {"lower": self.tails[0], "upper": self.tails[1]})

    def add(self, tokens: U32, taken: Taken) -> None:
        """What the source took of the next tile."""
        self.tails = taken.tails
        self.nonzeros.add(tokens, [taken.entries])
        for batch in taken.batches:
            if self.coordinates is not None:
                self.coordinates.add(taken.entries, batch)
            if self.dense is not None:
                self.dense.add(batch)

    def resume(self, work: Work, tokens: int) -> None:
        """Goes on from the chunks that are finished, of a build of so many tokens."""
        self.begun = work
        state = work.resume(self.source.width, tokens, self.state())
        if state is None:
            return
        sums = self.dense if self.coordinates is None else self.coordinates
        assert sums is not None
        sums.restore(state)
        if "lower" in state:
            self.tails = state["lower"], state["upper"]


def build(
    config: BuildConfig,
    root: Path,
    *,
    device: str = "cpu",
    engine: Where = "local",
    progress: Progress | None = None,
    like: Path | None = None,
) -> BuildReport:
    """Builds every source of `config` into the data root `root`; its tiles are run here, or by a Ray cluster.

    `like` is the folder of the source that `dataset.like` names.

    Raises:
        BadConfig: the configuration names what is not there or does not fit, before any pass.
        NotAvailable: the data root cannot be written, or there is no cluster.
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
    if config.context > model.context:
        raise BadConfig(
            f"context: {config.context} is more than the {model.context} tokens that {config.model.id} can read."
        )
    running = _sources(config, model, device)
    tell("reading texts", 0, 1)
    prompts = (
        cut(config, model.tokenizer, model.bos) if like is None else again(like, config, model.settings_sha256)
    )
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
            r.resume(stack.enter_context(opened(folder, _stamp(config, r, prompts) | tile)), prompts.total)
        if waiting:
            tiles = Tiles.of(texts, counted)
            _pass(_engine(engine, config, waiting, model, tiles, device), waiting, tiles, tell)
            _write_model(config, root, model)
        if waiting and config.together:
            _relate(config, root, running, prompts, int(counted.sum()), tell)
        W_U = model.bridge.W_U.detach().float()
        while waiting:
            one = waiting.pop(0)  # frees its sums before the next is written
            finished = _finish(config, root, one, model, prompts, texts, int(counted.sum()), W_U)
            records.append(write_source_folder(finished, partial(tell, f"writing {one.key.source_id}")))
            one.work.remove()
        _settle(root, config.model.id)
    return BuildReport(
        sources=tuple(records), seconds=time.monotonic() - begun, tokens=int(counted.sum()), skipped=skipped
    )


def _engine(
    where: Where, config: BuildConfig, running: list[Running], model: loading.LoadedModel, tiles: Tiles, device: str
) -> Engine:
    """Who runs the tiles."""
    names = [r.config.id for r in running]
    if where == "local":
        return here(model, [r.source for r in running], names, tiles, half=config.half)
    from core.build.cluster import Plan, engine  # Ray is there for those who want it

    sources = tuple((config.weights_spec(r.config), r.config.neurons, r.source.sha256) for r in running)
    threads = apart(torch.get_num_threads)  # a new thread's: numba's loops change that of the thread they are called in
    plan = Plan(config.model_spec(), model.sha256, sources, tuple(names), device, config.dtype, threads, config.half)
    return engine(plan, tiles)


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
            if isinstance(source, dictionary.Sae) and one.sae:
                agree(source.said, model, config.context, bos=one.sae.bos, context=one.sae.context)
            _manageable(source)
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


def _manageable(source: dictionary.Dictionary) -> None:
    """Raises `BadConfig` for a signed source so wide that its exact products would not fit into memory."""
    if source.signed and source.width > SIGNED:
        raise BadConfig(
            f"it has {source.width:,} features with both signs, whose correlations take {source.width**2 * 8 >> 30} "
            f"GiB: at most {SIGNED:,} are built."
        )


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


def _pass(engine: Engine, running: list[Running], tiles: Tiles, tell: Progress) -> None:
    """Has every tile run that some source still needs, and adds up what each source takes of it."""
    total = tiles.begin(tiles.chunks)
    first = min(r.work.done for r in running)
    tell("running the model", tiles.begin(first), total)
    done = [r.work.done for r in running]
    jobs = [
        Job(chunk, begin, end, tuple(n for n in range(len(running)) if done[n] <= chunk))
        for chunk in range(first, tiles.chunks)
        for begin, end in tiles.of_chunk(chunk)
    ]
    with closing(engine(jobs, lambda n: running[n].tails)) as results:
        for at, job in enumerate(jobs):
            for n in job.sources:
                running[n].add(*next(results))
            tell("running the model", int(tiles.texts.starts[job.end]), total)
            if at + 1 == len(jobs) or jobs[at + 1].chunk > job.chunk:
                for n in job.sources:
                    running[n].work.finish(running[n].nonzeros.chunk(), running[n].state())


def _relate(
    config: BuildConfig, root: Path, running: list[Running], prompts: Prompts, counted: int, tell: Progress
) -> None:
    """Who fires with whom, while the non-zeros are here: it needs no store. It waits, hidden, for the sources to stand.

    A source that stands already takes part if it kept its store, in parts of the same tokens.
    """
    begun = [r for r in running if r.begun is not None]
    with keeping.parts_folder(root, config.model.id) as folder:

        def side(r: Running) -> Callable[[], Side]:
            if r.begun is not None:
                return lambda: pair_side(r.work.chunks, r.source.width, counted)
            spans = [np.load(chunk / "tokens.npy") for chunk in begun[0].work.chunks]
            store = SourceData(root / r.key.model_id / r.key.source_id).store()
            return lambda: keeping.of_store(store, counted, spans, folder / r.key.source_id)

        there = [r for r in running if r.begun is not None or (root / str(r.key) / layout.STORE).is_dir()]
        members = [keeping.Member(r.key, _stamp(config, r, prompts), side(r)) for r in there]
        new = {r.key for r in begun}
        keeping.make(
            root / config.model.id / RELATED, members, lambda a, b: a.key in new or b.key in new,
            compact=config.compact, tell=tell, known=[root], most=RELATED_PRODUCTS,
        )  # fmt: skip


def _settle(root: Path, model_id: str) -> None:
    """What was related goes to the sources that stand; those that were written anew brought theirs along."""
    waiting = root / model_id / RELATED
    for one in waiting.glob("*/*/derived/*"):
        source = root / one.relative_to(waiting).parents[1]
        if (source / "source.json").is_file() and not (source / "derived" / one.name).exists():
            (source / "derived").mkdir(exist_ok=True)
            one.rename(source / "derived" / one.name)
    shutil.rmtree(waiting, ignore_errors=True)


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
    weights = replace(config.weights_spec(r.config), commit=getattr(r.source, "commit", None))
    if weights.path:
        weights = replace(weights, path=relative(Path(weights.path), root))
    attributed = None
    if is_attributable(r.source.architecture, r.source.hook):
        tiles = Tiles.of(texts, _counted(texts, model.manifest.special))
        attributed = partial(write_attributed, model=model, source=r.source, tiles=tiles, compact=config.compact)
    return Finished(
        folder=root / r.key.model_id / r.key.source_id, key=r.key, source=r.source, weights=weights,
        origin=config.weights_origin(r.config), chunks=r.work.chunks, coordinates=r.coordinates,
        dense=r.dense, tails=r.tails, texts=texts, prompts=prompts, counted=counted, vocabulary=model.vocabulary,
        W_U=W_U, residual=residual_rows(r.source, model),
        related=root / config.model.id / RELATED / str(r.key) / "derived",
        store=config.store, compact=config.compact, few=config.few(r.config), annotate=config.annotate,
        release=_release(config),
        build=_stamp(config, r, prompts),
        context=config.context, dtype=config.dtype, attributed=attributed,
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
    if config.few(r.config):  # what was built before there was a choice keeps its stamp
        parameters["examples"] = "few"
    if config.half:
        parameters["encoders"] = config.encoders
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
