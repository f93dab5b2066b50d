"""The command line's `eval`: a source's figures; with `--suite`, its quality beside baselines and controls."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from core.errors import BadInput
from core.evaluate.records import FIGURES, PARTS, Control, ControlKind, Evaluation, Measured, Part, Quality
from core.interchange import neuronpedia
from core.records import Figures, SourceKey
from core.terminal import Bar, table, visible
from core.workbench import Workbench

Answer = tuple[Any, Callable[[], str]]
_FIGURES = ("l0", "explained_variance", "ce_loss", "ce_loss_spliced", "ce_loss_zero", "ce_loss_score")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `eval` takes."""
    parser.add_argument("source", metavar="MODEL/SOURCE")
    parser.add_argument("--texts", type=Path, metavar="PATH", help="other texts than the build's prompts")
    parser.add_argument("--tokens", type=int, metavar="N", help="use at most so many tokens, in whole prompts")
    parser.add_argument(
        "--suite", metavar="A,B", help=f"parts of its quality, with intervals and baselines: {', '.join(PARTS)}, or all"
    )
    parser.add_argument(
        "--control", action="append", default=[], metavar="KIND=SAE",
        help="an SAE of the same recipe on the model with its weights randomised (random), with its embeddings kept "
        "(kept): a SAELens folder; or a source here (other); may be given again",
    )  # fmt: skip
    parser.add_argument("--control-seed", type=int, default=0, metavar="N", help="of the randomising; default: 0")
    parser.add_argument("--no-baselines", action="store_true", help="without PCA, neurons and random directions")
    parser.add_argument("--again", action="store_true", help="measure also what is kept")


def evaluate(workbench: Workbench, asked: argparse.Namespace) -> Answer:
    """How good a source is."""
    key = SourceKey.parse(asked.source)
    if asked.suite is None:
        if asked.control or asked.no_baselines or asked.again:
            raise BadInput("--control, --no-baselines and --again go with --suite: name its parts, or all.")
        with closing(Bar()) as bar:
            both = workbench.evaluate(key, texts=asked.texts, tokens=asked.tokens, progress=bar)
        return neuronpedia.figures(key, *both), lambda: _figures_text(key, *both)
    from core.interchange import quality

    parts, controls = _parts(asked.suite), [_control(one, asked.control_seed) for one in asked.control]
    with closing(Bar()) as bar:
        found = workbench.quality.measure(
            key, parts=parts, baselines=not asked.no_baselines, controls=controls, texts=asked.texts,
            tokens=asked.tokens, again=asked.again, progress=bar,
        )  # fmt: skip
    return _contract(found) | {"quality": quality.evaluation(found)}, lambda: _text(found)


def _parts(text: str) -> Sequence[Part]:
    if text.strip() == "all":
        return PARTS
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in PARTS:
            raise BadInput(f"--suite: there is no part “{name}”. There are: {', '.join(PARTS)}; or all.")
    return [part for part in PARTS if part in names]


def _control(text: str, seed: int) -> Control:
    name, _, path = text.partition("=")
    kinds: tuple[ControlKind, ...] = get_args(ControlKind)
    kind = next((one for one in kinds if one == name), None)
    if kind is None or not path:
        raise BadInput(f"--control {text}: write {', '.join(f'{one}=SAE' for one in kinds)}.")
    return Control(path=path, kind=kind, seed=seed)


def _contract(found: Evaluation) -> dict[str, Any]:
    """The figures under the names that `eval` has always had."""
    named: dict[str, Any] = {"modelId": found.source.model_id, "sourceId": found.source.source_id}
    own = found.own.reconstruction
    if own is None:
        return named
    both = []
    for figures in (own.figures, own.with_bos):
        values = {name: getattr(figures, name).value for name in _FIGURES}
        both.append({"tokens": figures.tokens, **values, "dataset": own.on.name, "made": own.made[:10]})
    if found.own.features is not None:
        both[0]["dead_fraction"] = found.own.features.dead_fraction.value
    return named | both[0] | {"with_bos": both[1]}


def _figures_text(key: SourceKey, measured: Figures, with_bos: Figures) -> str:
    rows = [(name, value, asdict(with_bos)[name]) for name, value in asdict(measured).items()]
    return f"{key}\n\n" + table(("figure", "without BOS", "with BOS"), rows)


def _text(found: Evaluation) -> str:
    """A line a figure: the source with its interval, with BOS, baselines, controls."""
    everybody = list(found.all())
    columns = [one.figures() for one in everybody]
    bos = _with_bos(found.own)
    rows = []
    for figure in FIGURES:
        values = [column.get(figure.key) for column in columns]
        if any(values):
            rows.append(
                (figure.name, *_cells(values[0]), bos.get(figure.key, ""),
                 *("" if v is None else v.value for v in values[1:]))
            )  # fmt: skip
    header = ("figure", "source", "95 %", "with BOS", *(one.name for one in everybody[1:]))
    parts = [f"{found.source}", table(header, rows)] if rows else [f"{found.source}"]
    parts += _sets(found.own)
    parts += [f"{part}: {visible(why)}" for part, why in found.lacking]
    return "\n\n".join(parts)


def _cells(one: Measured | None) -> tuple[object, str]:
    if one is None:
        return "", ""
    return one.value, "" if math.isnan(one.low) else f"{one.low:.4g} to {one.high:.4g}"


def _with_bos(own: Quality) -> dict[str, float]:
    found = own.reconstruction
    if found is None:
        return {}
    named = {f.key: f.field.split(".")[-1] for f in FIGURES if f.part == "reconstruction"}
    return {key: getattr(found.with_bos, name).value for key, name in named.items()}


def _sets(own: Quality) -> list[str]:
    """What the parts were measured on, each once."""
    lines: dict[str, list[str]] = {}
    for part in own.parts():
        told = own.on(part)
        assert told is not None
        on = told[0]
        said = f"{visible(on.name)}, {on.tokens:,} tokens, {on.documents:,} documents, sha256 {on.sha256[:12]}"
        lines.setdefault(said, []).append(part)
    return ["\n".join(f"{', '.join(parts)}: {said}" for said, parts in lines.items())] if lines else []
