"""Who is measured: a source, its baselines, its controls, each a dictionary on a model.

Baselines are made from the model's own activations on the texts and from the source's L0 there. A control's SAE reads
another model: the source's with its weights randomised (`core.models.randomised`), or one that is named, or that of a
source that was built here. What is made is made when it is first asked for. Cost: moments and firing counts take two
passes to the hook, a control a model in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadInput, NotAvailable
from core.evaluate import baselines
from core.evaluate.keeping import OWN
from core.evaluate.reconstruction import Autoencoder, Moments, Progress, Tokens, moments
from core.evaluate.records import Control, Quality
from core.evaluate.shape import activity
from core.models import loading
from core.models.capture import check_hooks, hook_layer
from core.models.loading import LoadedModel
from core.records import SourceKey
from core.sources.dictionary import Dictionary, Sae
from core.sources.saelens import load_sae

if TYPE_CHECKING:
    from core.workbench import Workbench

_LEAVES = ("constant_norm_rescale", "layer_norm")
_NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Subject:
    """One dictionary on one model."""

    head: Quality
    """Name, kind and width, with nothing measured."""
    bridge: Any
    dictionary: Any
    """`encode`, `W_dec`, `hook`, `hook_out`, `width`; most also `reconstruct`."""
    turn: AbstractContextManager[None]
    built: SourceKey | None = None
    """The source here that it is."""

    @property
    def rebuilds(self) -> bool:
        """Whether it reconstructs."""
        return isinstance(self.dictionary, Autoencoder)

    @property
    def decoder(self) -> Tensor | None:
        """What a unit of each feature writes; None where that depends on the token."""
        if not isinstance(self.dictionary, Sae):
            rows: Tensor = self.dictionary.W_dec
            return rows
        config = self.dictionary.sae.cfg
        if config.normalize_activations in _LEAVES:
            return None
        rows = self.dictionary.W_dec.float()
        scaled = getattr(config, "rescale_acts_by_decoder_norm", False)
        return rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-30) if scaled else rows

    @property
    def encoder(self) -> Tensor | None:
        """Its matrix [d, width], where it has one and reads where it writes."""
        if self.dictionary.hook != self.dictionary.hook_out:
            return None
        found = getattr(getattr(self.dictionary, "sae", self.dictionary), "W_enc", None)
        return found.detach() if isinstance(found, Tensor) else None


class Own:
    """A source on its model, and what baselines need to know of it."""

    def __init__(
        self, key: SourceKey, model: LoadedModel, source: Dictionary, tokens: Tokens, *,
        progress: Progress | None, turn: AbstractContextManager[None],
    ) -> None:  # fmt: skip
        self.key, self.model, self.source = key, model, source
        self._tokens, self._progress, self._turn = tokens, progress, turn

    @cached_property
    def subject(self) -> Subject:
        """The source itself."""
        head = Quality(
            name=OWN, kind="source", what=str(self.key), width=self.source.width, weights_sha256=self.source.sha256
        )
        return Subject(head, self.model.bridge, self.source, self._turn, self.key)

    @cached_property
    def k(self) -> int:
        """Features a token, rounded: what baselines get too."""
        (counts,), total = activity(
            self.model.bridge, [self.source], self._tokens, progress=self._progress, turn=self._turn
        )
        if not total:
            raise BadInput("There is nothing to evaluate: no token of the texts counts.")
        return max(1, round(int(counts.sum()) / total))

    @cached_property
    def moments(self) -> Moments:
        """Of the activation that is reconstructed."""
        return self._moments(self.source.hook_out)

    def _moments(self, hook: str) -> Moments:
        return moments(self.model.bridge, hook, self._tokens, progress=self._progress, turn=self._turn)

    @property
    def baseline_names(self) -> tuple[str, ...]:
        """What `baselines` will be called, without making them."""
        if not isinstance(self.source, Sae):
            return ()
        return "pca", "neurons" if self._below() is not None else "coordinates", "random"

    def baselines(self) -> list[Subject]:
        """PCA, the neurons or coordinates, random directions; none for what is no autoencoder."""
        if not isinstance(self.source, Sae):
            return []
        out, k, own = self.source.hook_out, self.k, self.moments
        found = [
            ("pca", baselines.principal(out, own.mean, own.covariance, k),
             f"the {k} principal components with the largest coefficients a token"),
            self._units(),
            ("random", baselines.RandomDirections(out, self.source.width, own.mean, k),
             f"{self.source.width:,} random directions, the {k} with the largest products a token, fitted"),
        ]  # fmt: skip
        return [
            Subject(Quality(name=name, kind=name, what=what, width=made.width), self.model.bridge, made, self._turn)  # type: ignore[arg-type]
            for name, made, what in found
        ]

    def _below(self) -> str | Tensor | None:
        """Where the neurons are: the hook itself, or behind it their rows of `W_out`; None where there are none."""
        out = self.source.hook_out
        layer = hook_layer(out)
        if out.endswith(".mlp.hook_post"):
            return out
        block = self.model.bridge.blocks[layer]
        rows = getattr(getattr(block, "mlp", None), "W_out", None)
        plain = out == f"blocks.{layer}.hook_mlp_out" and not hasattr(block, "ln2_post")  # no norm follows the MLP
        return rows.detach() if plain and isinstance(rows, Tensor) and rows.ndim == 2 else None

    def _units(self) -> tuple[str, Any, str]:
        """(name, dictionary, what it is) of the neurons, or of coordinates where there are none."""
        out, k, own, below = self.source.hook_out, self.k, self.moments, self._below()
        told = f"the {k} that are farthest from their means a token"
        if isinstance(below, Tensor):
            hook = f"blocks.{hook_layer(out)}.mlp.hook_post"
            made = baselines.NeuronsBelow(hook, out, below, self._moments(hook).mean, own.mean, k)
            return "neurons", made, f"the MLP's neurons, the {k} that move its output farthest a token"
        if below is not None:
            return "neurons", baselines.coordinates(out, own.mean, k), f"the MLP's neurons, {told}"
        return "coordinates", baselines.coordinates(out, own.mean, k), f"the hook point's coordinates, {told}"


def control(
    bench: Workbench, own: Own, asked: Control, turn: Callable[[], AbstractContextManager[None]]
) -> Subject:
    """A control: its SAE on its model.

    Raises:
        NotFound, NotAvailable, BadConfig: its SAE or model is not there, or they do not fit.
        BadInput: a name that cannot be one, or a kind without a model.
    """
    name = asked.name or f"control-{asked.kind}-{asked.seed}"
    if not _NAME.fullmatch(name) or name in {OWN, "made", "figures", "pca", "random", "neurons", "coordinates"}:
        raise BadInput(f"“{name}” cannot name a control: letters, digits, “.”, “_” and “-”, at most 64.")
    built = _built(bench, asked.path)
    if built is not None:
        bridge, source = _of_source(bench, built)
        what = f"{built}, a source built here"
    else:
        bridge = _model(own.model, asked)
        source = load_sae(WeightsSpec(kind="sae", path=str(_folder(asked.path))), str(own.model.device))
        for hook in (source.hook, source.hook_out):
            check_hooks(replace(own.model, bridge=bridge), [hook])
        what = _WHAT[asked.kind].format(seed=asked.seed, path=Path(asked.path).name)
    head = Quality(
        name=name, kind="control", what=what, width=source.width, control=asked.kind, weights_sha256=source.sha256
    )
    return Subject(head, bridge, source, turn(), built)


_WHAT = {
    "random": "an SAE ({path}) of the model with all weights randomised, seed {seed}",
    "kept": "an SAE ({path}) of the model with its weights randomised but for the embeddings, seed {seed}",
    "other": "an SAE ({path}) of another model",
}


def _built(bench: Workbench, text: str) -> SourceKey | None:
    """The source here that `text` names, if it names one."""
    if Path(text).is_dir() or text.count("/") != 1:
        return None
    key = SourceKey.parse(text)
    bench.source(key)
    return key


def _of_source(bench: Workbench, key: SourceKey) -> tuple[Any, Sae]:
    model = bench._model_slot(key.model_id).get()
    source = bench._source_slot(bench.source(key)).get().source
    if not isinstance(source, Sae):
        raise NotAvailable(f"{key} is no autoencoder, so it is no control of one.")
    return model.bridge, source


def _folder(path: str) -> Path:
    if not Path(path).is_dir():
        raise NotAvailable(f"There is no folder {path} of an SAE, and no source of that name.")
    return Path(path)


def _model(model: LoadedModel, asked: Control) -> Any:
    """The model that a control's SAE reads."""
    if asked.model:
        return loading.load(ModelSpec(id="control", path=asked.model), device=str(model.device)).bridge
    if asked.kind == "other":
        raise BadInput("A control of kind “other” needs its model: a Hugging Face folder, or a source built here.")
    spec = replace(model.manifest.spec, randomised=asked.kind, seed=asked.seed)
    return loading.load(spec, device=str(model.device)).bridge


def missing(subjects: Sequence[Subject], there: dict[str, Quality]) -> list[Subject]:
    """Those that were not measured yet, or with other weights."""
    return [
        s for s in subjects
        if s.head.name not in there or there[s.head.name].weights_sha256 != s.head.weights_sha256
    ]  # fmt: skip
