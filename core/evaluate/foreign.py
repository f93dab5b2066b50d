"""What other programs measured, kept beside our own figures and never mixed with them: `<data root>/.sae_bench/`.

One small file a result, named by the hash of what it was read from, so that bringing it in twice is once. It holds the
means of that file with their provenance; what the file says of single features stays in it. A result belongs to a
source here if whoever brought it in said so, or if the source's weights are of the same SAELens release and id; that is
looked up when it is asked for, so that a source that is built later finds its results. Cost: a file is read when it is
new; browsing imports no torch.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from core.errors import NotFound
from core.evaluate.records import LeaderboardRow, Measured
from core.records import Shown, SourceKey

FOLDER = ".sae_bench"
FORMAT = 1
OURS = {
    "core/sparsity/l0": "l0",
    "core/reconstruction_quality/explained_variance": "explained_variance",
    "core/reconstruction_quality/cossim": "cosine",
    "core/shrinkage/l2_ratio": "l2_ratio",
    "core/shrinkage/relative_reconstruction_bias": "relative_reconstruction_bias",
    "core/model_performance_preservation/ce_loss_score": "ce_loss_score",
    "core/model_behavior_preservation/kl_div_score": "kl_score",
    "absorption_first_letter/mean/mean_full_absorption_score": "absorption_rate",
    "absorption_first_letter/mean/mean_absorption_fraction_score": "absorption_fraction",
    "sparse_probing/sae/sae_top_1_test_accuracy": "probing_k1",
    "sparse_probing/sae/sae_top_2_test_accuracy": "probing_k2",
    "sparse_probing/sae/sae_top_5_test_accuracy": "probing_k5",
    "tpp/tpp_metrics/tpp_threshold_10_total_metric": "tpp",
    "autointerp/autointerp/autointerp_score": "detection",
}
"""SAEBench's name of a figure, and which of ours is drawn on the same axis. Texts, tokens and details differ: what is
theirs has a mark of its own. Its mean squared error is divided twice in some versions and has no place here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign(Shown):
    """What one result file of another program says of one SAE."""

    id: str
    """Hash of the file, sixteen digits."""
    program: str
    """Whose result it is, such as `SAEBench`."""
    eval_type: str
    """What was measured, in its own words: `core`, `sparse_probing`, `tpp`, …"""
    release: str
    """SAELens's release, or what a person called the SAE."""
    sae_id: str
    model: str
    """The model, as the file names it; may be empty."""
    hook: str
    width: int | None
    architecture: str
    made: str
    """ISO date of the measurement; empty where the file does not say."""
    version: str
    """Of the program and of SAELens, as far as the file says."""
    file: str
    """Name of the file that it was read from, without its folder."""
    metrics: tuple[tuple[str, float], ...]
    """`<eval type>/<category>/<metric>` and its value."""
    config: tuple[tuple[str, str], ...]
    """How it was measured: the plain entries of `eval_config`."""
    unknown: tuple[str, ...] = ()
    """Keys of the file that no known version of the program writes."""
    said: SourceKey | None = None
    """The source here that whoever brought it in named."""

    @property
    def name(self) -> str:
        """The SAE, as a person would write it."""
        return " / ".join(part for part in (self.release, self.sae_id) if part)

    def figures(self) -> dict[str, float]:
        """Its figures by the names of ours that they are drawn beside."""
        found = {OURS[name]: value for name, value in self.metrics if name in OURS}
        alive = dict(self.metrics).get("core/misc_metrics/frac_alive")
        return found if alive is None else found | {"dead_fraction": 1 - alive}


_FOREIGN = TypeAdapter(Foreign)


class ForeignShelf:
    """The results that were brought in. Safe to share between threads."""

    def __init__(self, root: Path) -> None:
        self.folder = root / FOLDER
        self._read: dict[Path, tuple[int, Foreign | None]] = {}
        self._lock = threading.Lock()  # guards it

    def keep(self, one: Foreign) -> bool:
        """Keeps a result; whether it is new."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(one.id)
        new = not path.exists()
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        body = {"format": FORMAT, "result": asdict(one)}
        beside.write_text(json.dumps(body, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        os.replace(beside, path)
        return new

    def all(self) -> tuple[Foreign, ...]:
        """Every result, by SAE, kind and date; a damaged file counts as absent."""
        found = [one for path in sorted(self.folder.glob("*.json")) if (one := self._one(path)) is not None]
        return tuple(sorted(found, key=lambda one: (one.release, one.sae_id, one.eval_type, one.made, one.id)))

    def forget(self, id: str) -> None:
        """Removes one; raises `NotFound`."""
        for one in self.all():
            if one.id == id:
                self._path(id).unlink(missing_ok=True)
                return
        raise NotFound(f"There is no result “{id[:40]}” here.")

    def _path(self, id: str) -> Path:
        return self.folder / f"{id}.json"

    def _one(self, path: Path) -> Foreign | None:
        try:
            stamp = path.stat().st_mtime_ns
            with self._lock:
                held = self._read.get(path)
            if held is None or held[0] != stamp:
                body = json.loads(path.read_text(encoding="utf-8"))
                fits = isinstance(body, dict) and body.get("format") == FORMAT
                made = _FOREIGN.validate_python(body["result"]) if fits else None
                held = (stamp, made if made is not None and made.id == path.stem else None)
                with self._lock:
                    self._read[path] = held
            return held[1]
        except (OSError, ValueError, KeyError, ValidationError, RecursionError):
            return None


def rows(
    results: Iterable[Foreign], origins: Mapping[SourceKey, tuple[str, str]]
) -> tuple[LeaderboardRow, ...]:
    """A row for every SAE that results were brought in of; `origins` has the SAELens release and id of sources here.

    Of several files with the same figure the newest counts.
    """
    by_origin = {origin: key for key, origin in reversed(list(origins.items()))}
    grouped: dict[tuple[str, str, str], list[Foreign]] = {}
    for one in sorted(results, key=lambda one: (one.release, one.sae_id, one.program, one.made, one.id)):
        grouped.setdefault((one.program, one.release, one.sae_id), []).append(one)
    return tuple(_row(group, by_origin) for group in grouped.values())


def _row(group: list[Foreign], by_origin: Mapping[tuple[str, str], SourceKey]) -> LeaderboardRow:
    figures: dict[str, Measured] = {}
    for one in group:
        figures |= {name: Measured(value) for name, value in one.figures().items()}
    last = group[-1]
    said = next((one.said for one in reversed(group) if one.said is not None), None)
    hook = _last(one.hook for one in group) or _hook_of(last.sae_id)
    by = ", ".join(dict.fromkeys(one.version for one in group if one.version)) or last.program
    return LeaderboardRow(
        name=last.name, source=None, of=said or by_origin.get((last.release, last.sae_id)), kind="sae",
        architecture=_last(one.architecture for one in group), hook=hook, layer=_layer(hook),
        width=next((one.width for one in reversed(group) if one.width), 0), release=last.release, set_name=last.release,
        model_id=_last(one.model for one in group), figures=figures, made=_last(one.made for one in group),
        provenance=f"{by}; {', '.join(dict.fromkeys(one.file for one in group))}",
    )  # fmt: skip


def _last(values: Iterable[str]) -> str:
    return next((value for value in reversed(list(values)) if value), "")


def _hook_of(sae_id: str) -> str:
    """SAELens's ids are often hooks, with something behind them."""
    found = re.match(r"blocks\.\d{1,3}\.[A-Za-z_.]*[A-Za-z]", sae_id)
    return found.group(0).split("__")[0] if found else ""


def _layer(hook: str) -> int:
    found = re.match(r"blocks\.(\d{1,3})\.", hook)
    return int(found.group(1)) if found else -1
