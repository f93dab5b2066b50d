"""A source on a few prompts, before any long work: does it reconstruct what the model does?

Runs what a build's configuration names: the model, the source at its hook, a few of its prompts spread over the first
ones. The figures are `core.evaluate.reconstruction`'s, beside those that were published. A verdict says in words what
they mean; it is a warning and forbids nothing. Cost: loading the model and the weights, five passes over 2,000 tokens.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from core.bring import published
from core.bring.records import Published, Tried, Verdict
from core.build.config import BuildConfig, SourceConfig
from core.build.texts import cut
from core.errors import BadConfig
from core.evaluate.reconstruction import reconstruction
from core.models import loading
from core.models.capture import hook_layer, pad
from core.records import Figures, SourceKey
from core.sources import dictionary

Progress = Callable[[str, float, float], None]
PROMPTS, SPREAD = 16, 10
"""Prompts that are run, and of how many of the first ones each is one."""
DENSE = 0.25
"""Share of a dictionary that is active on each token, above which it is hardly sparse."""
APART = 2.0
"""How many times another L0 than the published one is worth a word; texts differ, dictionaries not so much."""
WORSE = 0.15
"""The same of explained variance and of the CE score: so much less."""


def trial(config: BuildConfig, *, device: str = "cpu", progress: Progress | None = None) -> tuple[Tried, ...]:
    """What each source of a configuration does on a few prompts.

    Raises:
        BadConfig: it names what is not there or does not fit, or a source that does not reconstruct anything.
    """
    tell = progress or (lambda what, done, of: None)
    tell("loading the model", 0, 1)
    model = loading.load(config.model_spec(), device=device, dtype=config.dtype)
    if config.context > model.context:
        raise BadConfig(f"context: {config.context} is more than the {model.context} tokens that the model can read.")
    tell("loading the weights", 0, 1)
    sources = [_source(config, one, model, device) for one in config.sources]
    tell("reading texts", 0, 1)
    few = config.model_copy(update={"prompts": min(config.prompts, PROMPTS * SPREAD)})
    every = cut(few, model.tokenizer, model.bos).tokens
    rows = [row.astype("int64").tolist() for row in every[:: max(1, len(every) // PROMPTS)][:PROMPTS]]
    lengths = torch.tensor([len(row) for row in rows])
    found = []
    for one, source in zip(config.sources, sources, strict=True):
        figures, _ = reconstruction(
            model.bridge, source, pad(rows), lengths, special=model.manifest.special, dataset="a few prompts",
            progress=lambda what, done, of: tell("running a few prompts", done, of),
        )  # fmt: skip
        known = _published(config, one)
        verdict, said = judge(figures, source.width, known)
        found.append(
            Tried(
                source=str(SourceKey(config.model.id, one.id)), verdict=verdict, said=said, tokens=figures.tokens,
                l0=figures.l0, explained_variance=figures.explained_variance, ce_loss_score=figures.ce_loss_score,
                ce_loss=figures.ce_loss, ce_loss_spliced=figures.ce_loss_spliced, ce_loss_zero=figures.ce_loss_zero,
                width=source.width, published=known,
            )
        )  # fmt: skip
    return tuple(found)


def _source(config: BuildConfig, one: SourceConfig, model: loading.LoadedModel, device: str) -> dictionary.Sae:
    try:
        source = dictionary.load(
            config.weights_spec(one), model, hook=one.neurons, device=device, model_sha256=model.sha256
        )
        dictionary.check(source, model)
    except BadConfig as error:
        raise BadConfig(f"{one.id}: {error}") from error
    if not isinstance(source, dictionary.Sae):
        raise BadConfig(f"{one.id}: {source.kind} reconstruct nothing, so that there is nothing to try.")
    layer = SourceKey(config.model.id, one.id).layer
    if hook_layer(source.hook) != layer:
        raise BadConfig(f"{one.id} says layer {layer}, but its hook is {source.hook}.")
    return source


def _published(config: BuildConfig, one: SourceConfig) -> Published:
    sae = one.sae
    if sae is not None and sae.release:
        return published.of_registry(sae.release, str(sae.sae_id))
    if sae is not None and sae.path:
        return published.of_folder(config.place(sae.path))
    return published.of_hub(sae.hub, sae.folder, sae.revision) if sae is not None and sae.hub else Published()


def judge(figures: Figures, width: int, known: Published) -> tuple[Verdict, tuple[str, ...]]:
    """(what the figures come to, why): the worst of all that can be said of them."""
    bad = _bad(figures)
    if bad:
        return "bad", bad
    doubts = [*_doubts(figures, width), *_against(figures, known)]
    if doubts:
        return "doubtful", tuple(doubts)
    said = [
        f"It explains {figures.explained_variance:.1%} of the variance with {figures.l0:,.1f} features a token, and "
        f"keeps {figures.ce_loss_score:.1%} of what the model predicts the next token with."
    ]
    if known:
        said.append(f"That is near what {known.by} says, for texts as different as these may be.")
    return "good", tuple(said)


def _bad(f: Figures) -> tuple[str, ...]:
    if f.l0 == 0:
        return (
            "No feature is active on any of these tokens: this is hardly the model, the hook or the normalisation that "
            "it was trained on.",
        )
    if not all(map(math.isfinite, (f.l0, f.explained_variance, f.ce_loss_spliced))):
        return ("What it reconstructs is not made of finite numbers: its weights or its input are far too large.",)
    if f.explained_variance < 0:
        return (
            f"It reconstructs worse than the mean activation would (explained variance {f.explained_variance:.2f}): "
            "this is hardly the model, the hook or the normalisation that it was trained on.",
        )
    return ()


def _doubts(f: Figures, width: int) -> list[str]:
    found = []
    if f.explained_variance < 0.5:
        found.append(f"It explains only {f.explained_variance:.1%} of the variance.")
    if f.ce_loss_score < 0.5:
        found.append(
            f"With what it reconstructs in place of the activation, the model predicts the next token little better "
            f"than with nothing there (CE loss score {f.ce_loss_score:.2f})."
        )
    if f.l0 > DENSE * width:
        found.append(
            f"{f.l0:,.0f} of its {width:,} features are active on a token: it is hardly sparse, and builds slowly."
        )
    return found


def _against(f: Figures, known: Published) -> list[str]:
    found = []
    if known.l0 and not 1 / APART <= f.l0 / known.l0 <= APART:
        found.append(f"{f.l0:,.1f} features are active on a token, where {known.by} says {known.l0:,.1f}.")
    for name, here, there in (
        ("explained variance", f.explained_variance, known.explained_variance),
        ("CE loss score", f.ce_loss_score, known.ce_loss_score),
    ):
        if there is not None and here < there - WORSE:
            found.append(f"Its {name} is {here:.2f}, where {known.by} says {there:.2f}.")
    return found

