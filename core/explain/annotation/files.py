"""Where annotations are kept: `<root>/<model>/<source>/derived/annotation-<hash>/`.

    annotation.arrow    one row a feature (SCHEMA), memory-mapped: reading one unpacks one block of rows
    made.json           what it was made from, with which parameters, and when

Found, stamped and written as `core.store.derived` says. `line` is what a reader is told (`Names.line`), `clause` the
rule that is scored, with every category (`Names.rule`). No torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from core.explain.annotation.attributes import ATTRIBUTES
from core.explain.annotation.figures import interval, log_odds
from core.explain.records import Annotation, Clause, Enrichment, Meaning, Place
from core.records import FeatureKey, SourceKey
from core.store import derived, layout

FORMAT = 2
"""Of the method and of the file; another one is made anew."""
KIND, ANNOTATION = "annotation", "annotation.arrow"
_TEXTS, _U32, _FLOATS = pa.list_(pa.string()), pa.list_(pa.uint32()), pa.list_(pa.float32())
SCHEMA = pa.schema([
    ("line", pa.string()), ("kind", pa.string()), ("test", pa.string()),
    ("clause", _TEXTS), ("clause_fits", _U32), ("clause_active", _U32),
    ("train_active", pa.uint32()), ("test_active", pa.uint32()), ("found", pa.uint32()), ("false", pa.uint32()),
    ("test_tokens", pa.uint32()), ("score", pa.float32()),
    ("control", pa.float32()), ("control_of", pa.uint32()),
    ("enriched_attribute", pa.list_(pa.uint8())), ("enriched_name", _TEXTS), ("enriched_seen", _U32),
    ("enriched_tokens", _U32), ("enriched_log10_p", pa.list_(pa.float16())),
    ("meaning_label", _TEXTS), ("meaning_tokens", _TEXTS), ("meaning_share", _FLOATS), ("meaning_score", _FLOATS),
    ("meaning_precision", _FLOATS), ("meaning_active", _U32), ("meaning_size", pa.list_(pa.uint8())),
    ("meaning_prompt", _U32), ("meaning_position", _U32), ("meaning_value", _FLOATS),
])  # fmt: skip


def made_from(build: Mapping[str, Any]) -> dict[str, Any]:
    """What an annotation of a source with this build stamp is made from."""
    return {"format": FORMAT} | derived.stamp(build)


def write(
    folder: Path, build: Mapping[str, Any], facts: Mapping[str, Any], blocks: Iterator[dict[str, list[Any]]], *,
    compact: bool,
) -> Path:  # fmt: skip
    """Writes the annotations of the source whose folder this is and returns theirs; `facts` go into `made.json`.

    Raises:
        NotAvailable: it cannot be written.
    """
    with derived.making_in(folder, KIND, made_from(build), facts) as beside:
        batches = (
            pa.record_batch([pa.array(columns[c.name], c.type) for c in SCHEMA], schema=SCHEMA) for columns in blocks
        )
        layout.write_batches(beside / ANNOTATION, SCHEMA, batches, compact=compact)
    return derived.folder(folder, KIND, made_from(build))


class Kept:
    """The annotations of one source, open. Safe to share between threads."""

    def __init__(self, folder: Path) -> None:
        self._rows = layout.Rows(folder / ANNOTATION)
        self.made = derived.read_made(folder)
        if "tokens" not in self.made:
            raise ValueError(f"{derived.MADE} is damaged")

    def annotation(self, key: FeatureKey, promotes: str) -> Annotation:
        """One feature's; raises `BadData` if the file is damaged."""
        row = self._rows.row(key.index)
        other = int(row["control_of"])
        rest = int(row["test_tokens"]) - int(row["test_active"])
        low, high = interval(int(row["found"]), int(row["test_active"]), rest - int(row["false"]), rest)
        return Annotation(
            feature=key, line=row["line"], kind=row["kind"], test=row["test"], promotes=promotes,
            enrichments=_enrichments(row, sum(self.made["tokens"])), meanings=_meanings(row),
            rule=tuple(
                Clause(words=w, fits=int(n), active=int(a))
                for w, n, a in zip(row["clause"], row["clause_fits"], row["clause_active"], strict=True)
            ),
            measures=measures(row), low=low, high=high, control=row["control"],
            control_of=None if other == key.index else FeatureKey(key.model_id, key.source_id, other),
            train_active=row["train_active"], test_active=row["test_active"], test_tokens=row["test_tokens"],
            held_out=str(self.made.get("held_out", "")), active_means=str(self.made.get("active", "")),
            made=str(self.made.get("made", "")),
        )  # fmt: skip

    def columns(self, names: Sequence[str]) -> dict[str, pa.ChunkedArray]:
        """Whole columns of `SCHEMA`."""
        return {name: self._rows.column(name) for name in names}


def measures(row: dict[str, Any]) -> dict[str, float]:
    """The figures of a rule from its counts."""
    active, found, false, tokens = (float(row[n]) for n in ("test_active", "found", "false", "test_tokens"))
    nan = float("nan")
    return {
        "balanced_accuracy": float(row["score"]),
        "precision": found / (found + false) if found + false else nan,
        "recall": found / active if active else nan,
        "specificity": 1 - false / (tokens - active) if tokens > active else nan,
        "f1": 2 * found / (active + found + false) if active else nan,
    }


def _enrichments(row: dict[str, Any], counted: int) -> tuple[Enrichment, ...]:
    """Expected counts and odds follow from what is kept, and `counted`, all counted tokens."""
    active = int(row["train_active"]) + int(row["test_active"])
    names = ("attribute", "name", "seen", "tokens", "log10_p")
    return tuple(
        Enrichment(
            attribute=ATTRIBUTES[int(a)], name=str(name), seen=int(seen), expected=active * int(tokens) / counted,
            tokens=int(tokens), log_odds=log_odds(int(seen), active, int(tokens), counted), log10_p=float(p),
        )
        for a, name, seen, tokens, p in zip(*(row[f"enriched_{n}"] for n in names), strict=True)
    )  # fmt: skip


def _meanings(row: dict[str, Any]) -> tuple[Meaning, ...]:
    ends = np.cumsum(np.asarray(row["meaning_size"], np.int64))
    places = [
        Place(int(n), int(p), float(v))
        for n, p, v in zip(row["meaning_prompt"], row["meaning_position"], row["meaning_value"], strict=True)
    ]
    names = ("label", "tokens", "share", "score", "precision", "active", "size")
    return tuple(
        Meaning(
            label=str(label), tokens=tuple(str(tokens).split("\t")), share=float(share), score=float(score),
            precision=float(precision), active=int(active), examples=tuple(places[int(end) - int(size) : int(end)]),
        )
        for label, tokens, share, score, precision, active, size, end in zip(
            *(row[f"meaning_{n}"] for n in names), ends, strict=True
        )
    )  # fmt: skip


def opened(roots: Sequence[Path], build: Mapping[str, Any], key: SourceKey) -> tuple[Path, int] | None:
    """(folder, its time) of the annotations of a source that is in any of some data roots; None if none has them."""
    found = derived.find(roots, key, KIND, made_from(build))
    try:
        return (found, (found / ANNOTATION).stat().st_mtime_ns) if found else None
    except OSError:
        return None
