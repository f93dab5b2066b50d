"""Explanations without features, as batch-autointerp writes them, attached to a source that is here.

They lie in `derived/said-<hash>/` of the source, in the writable root, also for a source that was built here or lies in
a read-only root: `explanations.arrow` as an import has it (`core.interchange.bulk.assemble`), and `made.json` with what
was missing or strange. The hash is of the dictionary that they are of and of their files, so that several such exports
stand side by side, and explanations of other weights are never shown. Every line is checked as in any import; one of a
feature that the source does not have is grave. What is here already under the same id counts once.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from core.catalog.catalog import Catalog, Entry
from core.errors import NotFound
from core.interchange.bulk import assemble
from core.interchange.bulk import neuronpedia_in as reading
from core.interchange.bulk.findings import Findings, refusal
from core.interchange.bulk.neuronpedia_in import Export
from core.interchange.bulk.places import Place, check_room
from core.interchange.bulk.records import Brought
from core.interchange.bulk.spill import Part
from core.records import SourceKey
from core.store import derived

KIND, FORMAT = "said", "explanations"
Known = Callable[[SourceKey], set[str]]
"""The ids of all that is said of a source's features here, as an export writes them."""


def attach(
    catalog: Catalog, root: Path, place: Place, export: Export, key: SourceKey, found: Findings, work: Path, *,
    known: Known, leave_out: bool, again: bool, tell: Callable[[str, float, float], None],
) -> Brought:  # fmt: skip
    """Reads, checks and attaches them.

    Raises:
        NotFound: the source is not here.
        Refused: something is wrong with a line; nothing of them is here then.
        NotAvailable: the data root cannot be written, or has no room.
    """
    began = time.monotonic()
    entry = _entry(catalog, key, place)
    every = reading.items(place, export)
    files = sorted((name, item.size) for _, name, item in every)
    made_from = {"of": of(entry), "files": hashlib.sha256(json.dumps([files, leave_out]).encode()).hexdigest()[:16]}
    target = derived.folder(root / key.model_id / key.source_id, KIND, made_from)
    if not again and (held := derived.read_made(target)):
        return _brought(entry, held, began, there=True)
    check_room(root, 3 * sum(size for _, size in files))
    reading.complete(place, export, found)
    parts = _parts(place, export, every, key, work, tell)
    for _, part in parts:
        found.extend(part.findings.kept, part.findings.grave, part.findings.notes)
    facts: dict[str, Any] = {"place": Path(place.origin).name or place.origin}
    with derived.making(root, key, KIND, made_from, facts) as folder:
        made = assemble.explanations(
            folder / assemble.EXPLANATIONS, _of(parts, "explanations"), _of(parts, "scores"), entry.record.width,
            found, known=known(key) - ids(target), unnamed=made_from["files"],
        )  # fmt: skip
        if found.grave and not leave_out:
            raise refusal(f"{export.model}/{export.source} of {place.origin}", found)
        facts |= {
            "explanations": made.count, "features": made.features, "left_out": found.grave, "findings": found.json(),
        }  # fmt: skip
    return _brought(entry, derived.read_made(target), began, there=False)


def _entry(catalog: Catalog, key: SourceKey, place: Place) -> Entry:
    try:
        return catalog.entry(key)
    except NotFound:
        raise NotFound(
            f"{place.origin} has explanations alone, and {key}, which they are of, is not here. Import the export that "
            "has its features and activations, or build it, and then these; if it has another name here, say which "
            "with --as MODEL/SOURCE."
        ) from None


def _parts(
    place: Place, export: Export, every: Sequence[tuple[str, str, Any]], key: SourceKey, work: Path,
    tell: Callable[[str, float, float], None],
) -> list[tuple[str, Part]]:  # fmt: skip
    total, done, parts = sum(item.size for *_, item in every), 0, []
    for kind, name, item in every:
        parts.append((kind, reading.read_part(place, name, kind, export, work)))
        done += item.size
        tell(f"reading explanations of {key}", done, max(1, total))
    return parts


def _of(parts: Sequence[tuple[str, Part]], kind: str) -> list[Part]:
    return [part for own, part in parts if own == kind]


def _brought(entry: Entry, made: Mapping[str, Any], began: float, *, there: bool) -> Brought:
    record = entry.record
    return Brought(
        key=record.key, format=FORMAT, features=made["features"], width=record.width, alive=record.alive, activations=0,
        prompts=0, explanations=made["explanations"], vectors=False, there=there, left_out=made["left_out"],
        findings=tuple(Findings.read(made["findings"]).kept), seconds=time.monotonic() - began,
        weights="weights" in record.has,
    )  # fmt: skip


# -- what is attached --------------------------------------------------------------------------------------------------


def of(entry: Entry) -> str:
    """The dictionary that a source is of, whatever texts it was built on."""
    build = entry.manifest.build
    imported = build.get("imported")
    if isinstance(imported, dict):
        return f"{imported.get('model')}/{imported.get('source')} × {entry.record.width}"
    return str(build.get("weights_sha256") or f"{entry.record.key} × {entry.record.width}")


def attached(roots: Sequence[Path], entry: Entry) -> Iterator[Path]:
    """The files of explanations that were attached to a source, of its weights as they are now."""
    key, mark = entry.record.key, of(entry)
    for root in roots:
        for folder in sorted((root / key.model_id / key.source_id / "derived").glob(f"{KIND}-*")):
            made_from = derived.read_made(folder).get("from")
            path = folder / assemble.EXPLANATIONS
            if isinstance(made_from, dict) and made_from.get("of") == mark and path.is_file():
                yield path


def ids(folder: Path) -> set[str]:
    """The ids of explanations that were attached before, which do not stand in their own way."""
    path = folder / assemble.EXPLANATIONS
    return {str(row["id"]) for _, row in assemble.said_of(path)} if path.is_file() else set()
