"""Imports: reads every file of a place into parts, checks, and puts a source together beside its place.

A source appears whole or not at all (`core.store.write.staged`). The parts lie in `<root>/.import/<the place's hash>/`,
so that an import that was stopped or killed goes on with the same command and ends with the same bytes; they are
removed when it is done. One import of a place at a time. Memory: a file's block of rows, the distinct tokens, and some
60 bytes an activation for sorting. Imports no torch.
"""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.catalog.catalog import Catalog
from core.catalog.manifest import ModelManifest, ModelSpec, SourceManifest, WeightsSpec, write_model, write_source
from core.errors import BadInput, Busy, Conflict, NotAvailable, NotFound, WorkbenchError
from core.interchange.bulk import assemble, attach, delphi, parquet
from core.interchange.bulk import neuronpedia_in as reading
from core.interchange.bulk.figures import Said
from core.interchange.bulk.findings import Findings, refusal
from core.interchange.bulk.neuronpedia_in import Export
from core.interchange.bulk.places import Place, check_room, is_text, open_place
from core.interchange.bulk.records import Brought
from core.interchange.bulk.rows import Json
from core.interchange.bulk.spill import Part
from core.models.vocabulary import Vocabulary
from core.records import ModelRecord, ReleaseRecord, SourceKey, SourceRecord
from core.store.write import check_writable, checksums, staged

Tell = Callable[[str, float, float], None]
WORK = ".import"
REPORT = "import.json"
KINDS = {"sae": "sae", "saes": "sae", "transcoder": "transcoder", "transcoders": "transcoder", "neurons": "neurons",
         "directions": "directions"}  # fmt: skip


def _work(root: Path, where: str) -> Path:
    """Where what was read of a place is kept until its import is done."""
    if "\0" in where:
        raise BadInput("A path has no null character in it.")
    if not is_text(where):
        raise BadInput("The path has bytes in it that are no UTF-8: rename the folder, or copy it elsewhere.")
    name = where if "://" in where else str(Path(where).expanduser().resolve())
    return root / WORK / hashlib.sha256(name.encode()).hexdigest()[:16]


@contextmanager
def working(root: Path, where: str, *, keep: bool = False) -> Iterator[Path]:
    """The work folder of a place, which nobody else has at the same time.

    Removed when the block ends well, unless it is to be kept for an import that follows.
    """
    check_writable(root)
    work = _work(root, where)
    work.mkdir(parents=True, exist_ok=True)
    with (work.parent / f"{work.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(f"{where} is being imported by another process.") from None
        state = work / "state.json"
        if not state.is_file():
            state.write_text(json.dumps({"began": datetime.date.today().isoformat()}))
        yield work
        if not keep:
            shutil.rmtree(work, ignore_errors=True)
    (work.parent / f"{work.name}.lock").unlink(missing_ok=True)


def forget(root: Path, where: str) -> None:
    """Removes what an unfinished import of a place left, unless it is at work."""
    work = _work(root, where)
    with suppress(WorkbenchError):
        if work.is_dir():
            with working(root, where):
                pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What a place has to be imported, before it is read."""

    format: str
    sources: tuple[str, ...]
    """As the place calls them."""
    named: bool
    """Whether it says of which model and source they are."""
    bytes: int


def survey(root: Path, where: str, tell: Tell | None = None) -> Surveyed | None:
    """What is at a place; None if nothing of it can be imported. Unpacks a .tar, which its import then need not.

    Raises what `bring_in` does of the place.
    """
    with working(root, where, keep=True) as work:
        place = open_place(where, work, tell)
        size = sum(place.item(name).size for name in place.names)
        if tops := parquet.sources(place):
            keys = tuple(str(key) for _, key in parquet.chosen(place, tops, (), work))
            return Surveyed(format="parquet", sources=keys, named=True, bytes=size)
        if caches := delphi.splits(place):
            names = tuple(top.rstrip("/").rpartition("/")[2] or "." for top in caches)
            return Surveyed(format="delphi", sources=names, named=False, bytes=size)
        found = reading.exports(place)
        for export in found:
            reading.read_meta(place, export, Findings())
        if not found:
            return None
        kind = attach.FORMAT if all(export.alone for export in found) else found[0].format
        names = tuple(f"{export.model}/{export.source}".lstrip("/") for export in found)
        return Surveyed(format=kind, sources=names, named=all(export.model for export in found), bytes=size)


def bring_in(
    catalog: Catalog, root: Path, where: str, *, as_: str = "", only: Sequence[str] = (), leave_out: bool = False,
    again: bool = False, known: attach.Known = lambda key: set(), tell: Tell | None = None,
) -> tuple[Brought, ...]:  # fmt: skip
    """Imports the sources of a place; see `core.interchange.bulk.door.Exchange.bring_in`.

    `known` says which explanations of a source are here already.
    """
    tell = tell or (lambda what, done, of: None)
    with working(root, where) as work:
        place = open_place(where, work, tell)
        if tops := parquet.sources(place):
            return tuple(_parquet(catalog, root, place, tops, as_, only, work, again, tell))
        if caches := delphi.splits(place):
            return tuple(_delphi(catalog, root, place, caches, as_, only, work, again, tell))
        found = reading.exports(place)
        if not found:
            raise BadInput(
                f"There is nothing at {where} that can be imported. Neuronpedia's export has, in a folder for each "
                "source, features/batch-0.jsonl.gz, activations/… and explanations/…, or explanations/… alone."
            )
        metas = []
        for export in found:
            findings = Findings()
            reading.read_meta(place, export, findings)
            metas.append((export, findings))
        chosen = [one for one in metas if not only or {one[0].source, f"{one[0].model}/{one[0].source}"} & set(only)]
        if not chosen:
            names = ", ".join(f"{export.model}/{export.source}" for export, _ in metas[:20])
            raise NotFound(f"{where} has no source {', '.join(only)}. It has: {names}.")
        keys = _named([export for export, _ in chosen], as_)
        made = []
        for (export, findings), key in zip(chosen, keys, strict=True):
            if export.alone:
                made.append(attach.attach(
                    catalog, root, place, export, key, findings, work, known=known, leave_out=leave_out, again=again,
                    tell=tell,
                ))  # fmt: skip
                continue
            one = _One(catalog, root, place, export, key, findings, work, leave_out=leave_out, again=again, tell=tell)
            made.append(one.run())
            catalog.refresh()
        return tuple(made)


def _parquet(
    catalog: Catalog, root: Path, place: Place, tops: Sequence[str], as_: str, only: Sequence[str], work: Path,
    again: bool, tell: Tell,
) -> Iterator[Brought]:  # fmt: skip
    """Our own folders as Parquet."""
    some = list(parquet.chosen(place, tops, only, work))
    if not some:
        raise NotFound(f"{place.origin} has no source {', '.join(only)}.")
    if "/" in as_ and len(some) > 1:
        raise BadInput(f"There are {len(some)} sources: give --as a model's name alone, or choose with --only.")
    for top, key in some:
        name = SourceKey.parse(as_) if "/" in as_ else SourceKey(as_ or key.model_id, key.source_id)
        yield parquet.bring_in(catalog, root, place, top, name, work, again=again, tell=tell)
        catalog.refresh()


def _delphi(
    catalog: Catalog, root: Path, place: Place, caches: dict[str, list[str]], as_: str, only: Sequence[str],
    work: Path, again: bool, tell: Tell,
) -> Iterator[Brought]:  # fmt: skip
    """Delphi's caches, which do not say what they are called here."""
    chosen = {top: files for top, files in caches.items() if not only or top.rstrip("/").rpartition("/")[2] in only}
    if "/" not in as_ or len(chosen) != 1:
        names = ", ".join(top.rstrip("/").rpartition("/")[2] or "." for top in caches)
        raise BadInput(
            f"A delphi cache is imported one hook point at a time, of {names}: choose with --only, and name it with "
            "--as MODEL/SOURCE, such as --as gpt2-small/8-res."
        )
    for files in chosen.values():
        yield delphi.bring_in(
            catalog, root, place, files, SourceKey.parse(as_), work, again=again, tell=tell
        )


def _named(exports: Sequence[Export], as_: str) -> list[SourceKey]:
    """What each is to be called here."""
    if any(not export.model for export in exports) and "/" not in as_ and not as_:
        raise BadInput("These files do not say of which model they are: name it with --as MODEL or --as MODEL/SOURCE.")
    if not as_:
        return [SourceKey(export.model, export.source) for export in exports]
    if "/" in as_:
        if len(exports) > 1:
            raise BadInput(f"There are {len(exports)} sources: give --as a model's name alone, or choose with --only.")
        return [SourceKey.parse(as_)]
    return [SourceKey(as_, export.source) for export in exports]


class _One:
    """The import of one source."""

    def __init__(
        self, catalog: Catalog, root: Path, place: Place, export: Export, key: SourceKey, found: Findings,
        work: Path, *, leave_out: bool, again: bool, tell: Tell,
    ) -> None:  # fmt: skip
        self._catalog, self._root, self._place, self._export, self._key = catalog, root, place, export, key
        self._found, self._work, self._leave_out, self._again, self._tell = found, work, leave_out, again, tell
        self._began = time.monotonic()

    def run(self) -> Brought:
        """Reads, checks, puts together."""
        files = [(name, item.size) for _, name, item in reading.items(self._place, self._export)]
        stamp = hashlib.sha256(json.dumps([sorted(files), self._leave_out]).encode()).hexdigest()[:16]
        if (there := self._there(stamp)) is not None:
            return there
        check_room(self._root, 3 * sum(size for _, size in files))
        reading.complete(self._place, self._export, self._found)
        parts = self._parts()
        both = ("saedashboard", "neuronrecord")  # features and activations in one file
        kinds = {kind: [part for k, part in parts if k in (kind, *both)] for kind in reading.KINDS[:2]}
        kinds |= {kind: [part for k, part in parts if k == kind] for kind in reading.KINDS[2:]}
        said = reading.said(self._place, self._export, self._found)
        for _, part in parts:
            for index, (mean, deviation, minimum) in part.meta.get("said", {}).items():
                said[int(index)] = Said("", -1, minimum, mean, deviation)
        for _, part in parts:
            own = part.findings
            self._found.extend(own.kept, own.grave, own.notes)
        self._refuse()
        facts = self._facts(kinds["activations"])
        assembly = assemble.Assembly(
            kinds["features"], kinds["activations"],
            assemble.Source(width=facts["width"], tokens=facts["tokens"], signed=facts["signed"], said=said),
            self._found, self._tell,
        )  # fmt: skip
        self._refuse()
        target = self._root / self._key.model_id / self._key.source_id
        with staged(target) as folder:
            made = assembly.write(folder)
            count = assemble.explanations(
                folder / assemble.EXPLANATIONS, kinds["explanations"], kinds["scores"], made.width, self._found
            ).count
            self._refuse()
            self._missing(made)
            brought = self._brought(made, count)
            self._write(folder, made, facts, brought, stamp)
            self._model(facts)
        return brought

    def _there(self, stamp: str) -> Brought | None:
        """What is here under this name; raises if it is something else."""
        try:
            entry = self._catalog.entry(self._key)
        except NotFound:
            return None
        imported = entry.manifest.build.get("imported")
        if self._again and entry.root == self._root and imported:
            return None
        if not imported or imported.get("stamp") != stamp:
            what = "from other files" if imported else "built here"
            raise Conflict(
                f"{self._key} is here already, {what}. Import it under another name with --as MODEL/SOURCE"
                + (", or over it with --again." if imported else ".")
            )
        report = json.loads((entry.folder / REPORT).read_text(encoding="utf-8"))
        found = Findings.read(report["findings"])
        return Brought(
            key=self._key, format=report["format"], **report["counts"], there=True, left_out=report["left_out"],
            findings=tuple(found.kept), seconds=time.monotonic() - self._began,
        )  # fmt: skip

    def _parts(self) -> list[tuple[str, Part]]:
        """Every batch, read; those that were read before are only looked up."""
        every = reading.items(self._place, self._export)
        total, done, parts = sum(item.size for _, _, item in every), 0, []
        for kind, name, item in every:
            parts.append((kind, reading.read_part(self._place, name, kind, self._export, self._work)))
            done += item.size
            self._tell(f"reading {self._key}", done, max(1, total))
        return parts

    def _refuse(self) -> None:
        """Stops at grave findings, all of them at once, unless they are to be left out."""
        if self._found.grave and not self._leave_out:
            raise refusal(f"{self._export.model}/{self._export.source} of {self._place.origin}", self._found)

    def _missing(self, made: assemble.Made) -> None:
        if made.missing:
            some = ", ".join(str(n) for n in made.missing[:8])
            more = ", …" if len(made.missing) > 8 else ""
            self._found.add(
                f"{self._export.top}features/", 0,
                f"{len(made.missing):,} of {made.width:,} features are not in the export ({some}{more}): writers leave "
                "dead ones out",
            )  # fmt: skip

    # -- what is known of the source -------------------------------------------------------------------------------

    def _facts(self, acts: Sequence[Part]) -> dict[str, Any]:
        """Of the whole source: from ours beside the export, else from its rows."""
        meta = self._export.meta
        ours: Json = meta.get("featurescope", {}).get("source") or {}
        source, sets = meta.get("source", {}), meta.get("sourceset", {})
        config = source.get("saelensConfig")
        config = config if isinstance(config, dict) else {}
        inner = config.get("metadata")
        inner = inner if isinstance(inner, dict) else {}
        release, name = source.get("saelensRelease"), source.get("saelensSaeId")
        prompts, context = _count(source.get("num_prompts")), _count(source.get("num_tokens_in_prompt"))
        kind = str(ours.get("kind") or KINDS.get(str(sets.get("type") or "").lower(), "sae"))
        lowest = min((part.meta["lowest"] for part in acts), default=0.0)
        hook = ours.get("hook") or source.get("hookName") or inner.get("hook_name") or config.get("hook_name") or ""
        return {
            "kind": kind if kind in KINDS.values() else "sae", "hook": str(hook)[:200], "context": context,
            "width": _count(ours.get("width")) or _count(config.get("d_sae")),
            "tokens": _count(ours.get("tokens")) or prompts * context,
            "signed": bool(ours["signed"]) if "signed" in ours else kind in ("neurons", "directions") or lowest < 0,
            "architecture": str(ours.get("architecture") or config.get("architecture") or "")[:100],
            "d_in": _count(ours.get("d_in")) or _count(config.get("d_in")), "hook_out": str(ours.get("hook_out") or ""),
            "dataset": str(ours.get("dataset") or source.get("dataset") or "")[:300],
            "dtype": str(ours.get("dtype") or config.get("dtype") or ""), "active": str(ours.get("active") or ""),
            "dataset_sha256": str(ours.get("dataset_sha256") or ""), "said": bool(ours),
            "origin": f"SAELens {release}/{name}" if release and name else "",
        }  # fmt: skip

    def _release(self) -> ReleaseRecord:
        row = self._export.meta.get("release", {})
        sets = self._export.meta.get("sourceset", {})
        name = str(row.get("name") or sets.get("releaseName") or self._key.set_name)
        urls = row.get("urls") or sets.get("urls") or []
        return ReleaseRecord(
            name=name, description=str(row.get("description") or sets.get("description") or ""),
            creator=str(row.get("creatorName") or sets.get("creatorName") or ""),
            urls=tuple(str(url) for url in urls if isinstance(url, str)),
        )  # fmt: skip

    def _write(self, folder: Path, made: assemble.Made, facts: dict[str, Any], brought: Brought, stamp: str) -> None:
        """The report and the manifest."""
        date = str(json.loads((self._work / "state.json").read_text())["began"])
        counts = {
            name: getattr(brought, name)
            for name in ("features", "width", "alive", "activations", "prompts", "explanations", "vectors")
        }
        report = {
            "format": self._export.format, "from": Path(self._place.origin).name or self._place.origin,
            "counts": counts,
            "left_out": brought.left_out, "findings": self._found.json(), "rows": self._export.meta,
        }  # fmt: skip
        (folder / REPORT).write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        active = facts["active"] or "its value is greater than zero"
        if not facts["said"]:
            active += "; mean and deviation are read off the export's histogram, to half a bin"
        record = SourceRecord(
            key=self._key, kind=facts["kind"], architecture=facts["architecture"], hook=facts["hook"],
            hook_out=facts["hook_out"], layer=self._key.layer, width=made.width, d_in=facts["d_in"] or made.vectors,
            signed=made.signed, release=self._release(), dataset=facts["dataset"],
            dataset_sha256=facts["dataset_sha256"], prompts=made.prompts,
            context=max(made.longest, facts["context"]), tokens=facts["tokens"], alive=made.alive, dtype=facts["dtype"],
            has=("dashboards", "vectors") if made.vectors else ("dashboards",), active=active, built=date,
            origin=facts["origin"],
        )  # fmt: skip
        build = {"imported": {"format": self._export.format, "stamp": stamp, "model": self._export.model,
                              "source": self._export.source}}  # fmt: skip
        weights = WeightsSpec(kind="sae" if facts["kind"] == "transcoder" else facts["kind"])
        write_source(
            folder / "source.json",
            SourceManifest(record=record, weights=weights, build=build, checksums=checksums(folder)),
        )

    def _brought(self, made: assemble.Made, explanations: int) -> Brought:
        return Brought(
            key=self._key, format=self._export.format, features=made.width - len(made.missing), width=made.width,
            alive=made.alive, activations=made.activations, prompts=made.prompts, explanations=explanations,
            vectors=bool(made.vectors), there=False, left_out=self._found.grave, findings=tuple(self._found.kept),
            seconds=time.monotonic() - self._began,
        )  # fmt: skip

    def _model(self, facts: dict[str, Any]) -> None:
        """A manifest for a model that is not here, so that its sources can be looked at."""
        try:
            self._catalog.model(self._key.model_id)
            return
        except (NotFound, NotAvailable):
            pass
        row = self._export.meta.get("model", {})
        folder = self._root / self._key.model_id
        if (folder / "model.json").exists():
            return
        own = self._key.model_id == self._export.model  # else it has another name here, which tells the two apart
        record = ModelRecord(
            model_id=self._key.model_id, architecture="",
            name=str((own and row.get("displayName")) or self._key.model_id),
            layers=_count(row.get("layers")) or self._key.layer + 1, d_model=_count(row.get("dimension")),
            d_mlp=_count(row.get("neuronsPerLayer")), heads=0, d_vocab=0, context=0, parameters=0, origin="",
            description="Imported without its weights.",
        )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        Vocabulary([], ()).write(folder / "vocabulary.arrow")
        spec = ModelSpec(id=self._key.model_id)
        write_model(folder / "model.json", ModelManifest(record=record, spec=spec, bos=None, special=()))


def _count(found: object) -> int:
    """A number of things; 0 for anything else."""
    return found if type(found) is int and 0 <= found < 1 << 40 else 0


