"""Evaluations for what draws them: every part of a source, baselines and controls, as if they had been measured."""

from __future__ import annotations

import random
from pathlib import Path

from core.evaluate import keeping
from core.evaluate.records import (
    Absorption,
    ClassShare,
    Distribution,
    Evaluation,
    Interp,
    LetterAbsorption,
    Measured,
    ProbeTask,
    Probing,
    Quality,
    Reconstruction,
    ReconstructionFigures,
    Shape,
    TokenSet,
    Tpp,
    TppEffect,
)
from core.records import SourceKey
from core.workbench import Workbench

MADE = "2026-11-22T10:11:12"
TOKENS = TokenSet(name="the build's prompts (texts)", sha256="ab" * 32, tokens=60956, prompts=480, documents=120)
KINDS = ("novels", "speeches", "peps", "python", "factbook")
CLASSES = ("single token", "piece of a word", "phrase", "context", "position", "induction", "unclear")


def measured(value: float, room: float = 0.01) -> Measured:
    return Measured(value, value - room, value + room)


def distribution(middle: float, wide: float, low: float, high: float, seed: int) -> Distribution:
    rng = random.Random(seed)
    values = sorted(min(high, max(low, rng.gauss(middle, wide))) for _ in range(1500))
    step = (high - low) / 30
    counts = [0] * 30
    for value in values:
        counts[min(29, int((value - low) / step))] += 1
    return Distribution(
        edges=tuple(low + i * step for i in range(31)), counts=tuple(counts), mean=sum(values) / len(values),
        median=values[750], low=values[75], high=values[1425],
    )  # fmt: skip


def figures(score: float) -> ReconstructionFigures:
    return ReconstructionFigures(
        tokens=60956, l0=measured(31.8, 0.4), l1=measured(90.0, 1), mse=measured(40 * (1.05 - score), 0.5),
        explained_variance=measured(score), relative_reconstruction_bias=measured(0.98), l2_ratio=measured(0.95),
        cosine=measured(score**0.5), ce_loss=measured(3.25), ce_loss_spliced=measured(3.25 + 3 * (1 - score)),
        ce_loss_zero=measured(10.8), ce_loss_mean=measured(7.1), ce_loss_score=measured(1 - 0.4 * (1 - score)),
        ce_loss_score_mean=measured(1 - 0.8 * (1 - score)), kl_spliced=measured(3 * (1 - score)),
        kl_zero=measured(8.0), kl_mean=measured(4.4), kl_score=measured(1 - 0.5 * (1 - score)),
        kl_score_mean=measured(1 - 0.9 * (1 - score)),
    )  # fmt: skip


def quality(name: str, kind: str, score: float, seed: int, **more: object) -> Quality:
    """A dictionary that keeps `score` of the variance; the rest follows from it."""
    tasks = tuple(
        ProbeTask(
            label=one, train=300, test=180, features=(3, 14, 15, 92, 65),
            accuracy={
                "1": measured(0.5 + 0.3 * score, 0.03), "2": measured(0.5 + 0.34 * score, 0.03),
                "5": measured(0.5 + 0.42 * score, 0.02), "full": measured(0.97), "shuffled": measured(0.52, 0.03),
            },
        )
        for one in KINDS
    )  # fmt: skip
    letters = tuple(
        LetterAbsorption(
            letter=letter, words=80 + n, features=(n, n + 40), f1=0.7, probe_f1=0.93, absorbed=n % 9, rate=(n % 9) / 80,
            fraction=0.04, absorbers=(("<b>apple</b>", 11),),
        )
        for n, letter in enumerate("abcdefghilmnoprstw")
    )  # fmt: skip
    shares = [1.0 / (n + 2) * (0.6 + score * (0.4 if n else -0.2)) for n in range(len(CLASSES))]
    drops = tuple(tuple(0.3 * score if a == b else 0.02 * ((a + b) % 3) - 0.01 for b in range(5)) for a in range(5))
    return Quality(
        name=name, kind=kind, what=f"{name}, measured for a test", width=2048,  # type: ignore[arg-type]
        reconstruction=Reconstruction(on=TOKENS, made=MADE, figures=figures(score), with_bos=figures(score * 0.9)),
        features=Shape(
            on=TOKENS, made=MADE, width=2048, dead_fraction=measured(0.004, 0.002),
            dense_fraction=measured(0.01, 0.003), frequent_fraction=measured(0.2),
            density=distribution(-2.5, 0.6, -4.5, -0.3, seed),
            encoder_decoder=distribution(0.6 * score + 0.1, 0.15, -0.1, 1.0, seed + 1),
            encoder_decoder_cosine=measured(0.6), redundancy=distribution(0.45, 0.14, 0.1, 1.0, seed + 2),
            redundancy_cosine=measured(0.45), redundancy_chance=0.28,
        ),
        absorption=Absorption(
            on=TOKENS, made=MADE, letters=letters, rate=measured(0.05), fraction=measured(0.04),
            splitting=measured(1.8, 0.2), k1_f1=measured(0.7), probe_f1=measured(0.93),
        ),
        probing=Probing(
            on=TOKENS, made=MADE, tasks=tasks, k1=measured(0.5 + 0.3 * score, 0.02),
            k2=measured(0.5 + 0.34 * score, 0.02),
            k5=measured(0.5 + 0.42 * score), full=measured(0.97), shuffled=measured(0.52, 0.02),
        ),
        tpp=Tpp(
            on=TOKENS, made=MADE, labels=KINDS, accuracy=(0.95,) * 5, k=5, score=measured(0.28 * score, 0.03),
            effects=(TppEffect(k=5, score=measured(0.28 * score, 0.03), intended=0.3, unintended=0.02, drops=drops),),
        ),
        interp=Interp(
            on=TOKENS, made=MADE, features=1900, annotation=measured(0.6 + 0.2 * score),
            annotation_control=measured(0.5), annotation_good=measured(0.6 * score + 0.1), detected=0, detection=None,
            classes=tuple(
                ClassShare(one, int(1900 * share), measured(share, 0.015))
                for one, share in zip(CLASSES, shares, strict=True)
            ),
        ),
        **more,  # type: ignore[arg-type]
    )  # fmt: skip


def evaluation(key: SourceKey | str, score: float = 0.92) -> Evaluation:
    """A source's, with four baselines and two controls."""
    source = key if isinstance(key, SourceKey) else SourceKey.parse(key)
    return Evaluation(
        source=source, own=quality("source", "source", score, 1),
        baselines=(
            quality("pca", "pca", score - 0.15, 10), quality("neurons", "neurons", score - 0.3, 20),
            quality("random", "random", score - 0.65, 30),
        ),
        controls=(
            quality("control-random-0", "control", score + 0.03, 40, control="random"),
            quality("control-kept-0", "control", score + 0.01, 50, control="kept"),
        ),
    )  # fmt: skip


def keep(bench: Workbench, key: str, score: float = 0.92) -> Evaluation:
    """Keeps such an evaluation in the writable root, as if it had been measured there."""
    made = evaluation(key, score)
    entry = bench.catalog.entry(made.source)
    folder: Path = bench.settings.data / made.source.model_id / made.source.source_id
    for one in made.all():
        for part in one.parts():
            keeping.keep(folder, keeping.made_from(part, entry.manifest.build, TOKENS.sha256), one)
    return bench.quality.of(key)


