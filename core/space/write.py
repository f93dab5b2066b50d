"""Writes the folder of a Hugging Face Space: the code, the sources that it shows, and what describes both.

The folder is written beside its place and renamed, so it is whole or not there. A later version goes over what this
wrote before and nothing else: `space.json` lists every file with its SHA-256, and a file that was changed since stays.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

from core.catalog.catalog import Entry
from core.errors import BadInput, NotAvailable, NotFound
from core.records import FeatureKey, SourceKey
from core.settings import HERE
from core.space import code, words
from core.space.data import BUILT, WEIGHTS, Copied, copy_model, copy_source
from core.space.licences import UNKNOWN, Licence, of_folder
from core.space.words import TITLES, App, Facts
from core.workbench import Workbench

LIST = "space.json"
ENTRY = "embeds/space/app.py"
"""The `app.py` of a Space of the Gradio SDK, which needs what it imports."""
CORES, MEMORY, DISK, HUB = 2, 16 * 10**9, 50 * 10**9, 10**9
"""A free Space: cores, bytes of memory and of disk; and from how many bytes on the hub may refuse a Space's files."""
TITLE = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRecord:
    """A Space that was written."""

    folder: Path
    app: App
    title: str
    sources: tuple[SourceKey, ...]
    files: int
    bytes: int
    memory: int
    """Bytes of its model and sources in float32."""
    licences: tuple[Licence, ...]
    fetched: tuple[str, ...]
    """What it fetches from the hub when it starts."""
    kept: tuple[str, ...] = field(default=())
    """Files that were changed since they were written, and were left as they are."""
    left_out: tuple[SourceKey, ...] = field(default=())
    """Sources without weights, of those that nobody named."""

    def warnings(self) -> list[str]:
        """What to see to before it is pushed."""
        unknown = [one.part for one in self.licences if one.name == UNKNOWN]
        found = [f"The licence of the {part} is not stated: say it in README.md." for part in unknown]
        if self.memory > MEMORY / 2:
            found.append(
                f"Its weights take {self.memory / 2**30:.1f} GiB of memory in float32, and a free Space has "
                f"{MEMORY / 10**9:.0f} GB for all: choose larger hardware, or fewer sources."
            )
        if self.bytes > DISK:
            found.append(f"It is {self.bytes / 10**9:.1f} GB, and a free Space has a disk of {DISK / 10**9:.0f} GB.")
        elif self.bytes > HUB:
            found.append(
                f"It is {self.bytes / 10**9:.1f} GB, and the hub may refuse so much in a Space: put the weights into "
                "repositories of models, and build the sources from there."
            )
        if self.left_out:
            found.append(f"Left out, since their weights are not here: {', '.join(map(str, self.left_out))}.")
        if self.kept:
            found.append(f"Left as they are, since they were changed: {', '.join(self.kept)}.")
        return found


def write_space(
    bench: Workbench,
    folder: Path,
    *,
    app: App,
    sources: Sequence[SourceKey | str] = (),
    feature: str = "",
    text: str = "",
    title: str = "",
    force: bool = False,
) -> SpaceRecord:
    """Writes a Space of some sources; of the workbench of all that have their weights, if none is named.

    `feature`, as an id or, to steer, `id=strength`, is shown at first, with `text` in its field.

    Raises:
        BadInput: the folder is not empty, or there is nothing to show.
        NotFound: there is no such source or feature.
        NotAvailable: a source has no weights here, or a file cannot be read or written.
    """
    if app not in get_args(App):
        raise BadInput(f"app is one of {', '.join(get_args(App))}; there is no “{app}”.")
    folder = folder.expanduser().absolute()
    before = _before(folder, force)
    key, usual = _usual(bench, app, feature, text)
    entries, left_out = _entries(bench, app, sources, key)
    copied = Copied([of_folder("code", HERE)])
    with _staged(folder) as space:
        _copy_data(bench, entries, space, copied)
        files = _copy_licences(copied.licences, space)
        gradio = _copy_code(app, space)
        facts = Facts(
            app=app, title=" ".join((title or TITLES[app]).split())[:TITLE] or TITLES[app], gradio=gradio,
            sources=[entry.record for entry in entries], licences=copied.licences, files=files, hub=copied.hub,
            usual=usual,
        )  # fmt: skip
        _write(space / "README.md", words.readme(facts))
        _write(space / ".gitattributes", words.gitattributes())
        _write(space / ".gitignore", "data/\n__pycache__/\n*.pyc\n.gradio/\n")
        listed = {name: _sha256(space / name) for name in _names(space)}
        told = {"app": app, "home": "", "usual": usual, "files": listed}
        _write(space / LIST, json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        size = sum((space / name).stat().st_size for name in _names(space))
        kept = _put(space, folder, before)
    return SpaceRecord(
        folder=folder, app=app, title=facts.title, sources=tuple(entry.record.key for entry in entries),
        files=len(listed) + 1, bytes=size, memory=copied.memory, licences=tuple(copied.licences),
        fetched=tuple(copied.fetched), kept=kept, left_out=left_out,
    )  # fmt: skip


# -- what is asked for -------------------------------------------------------------------------------------------------


def _before(folder: Path, force: bool) -> Mapping[str, str] | None:
    """The files of the Space that is there, by name, with their SHA-256; None where there is nothing.

    Raises:
        BadInput: something is there, and it is not to be written over.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is no folder.")
    if not folder.exists() or not any(folder.iterdir()):
        return None
    if not force:
        raise BadInput(f"{folder} is not empty. Name another folder, or --force to write over a Space of this command.")
    try:
        files = json.loads((folder / LIST).read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in files.items()}
    except (OSError, ValueError, LookupError, AttributeError, TypeError):
        raise BadInput(
            f"{folder} is not empty, and no Space that this command wrote (it has no {LIST}): nothing in it is "
            "written over."
        ) from None


def _usual(bench: Workbench, app: App, feature: str, text: str) -> tuple[FeatureKey | None, dict[str, str]]:
    """(the feature that is shown at first, what an address that asks for nothing stands for)."""
    if not feature.strip():
        if text.strip():
            raise BadInput("--text needs the --feature that it is for.")
        return None, {}
    name, strength = _strength(feature) if app == "steer" else (feature, "")
    key = bench.resolve(name)
    if not isinstance(key, FeatureKey):
        raise BadInput(f"{key} is a source. A feature has an index too: {key}/0.")
    usual = {"id": str(key), "strength": strength, "prompt" if app == "steer" else "text": text}
    return key, {name: value for name, value in usual.items() if value.strip()}


def _strength(feature: str) -> tuple[str, str]:
    """(id, strength) of `id=30`; without a strength, which then is the embed's own, the id alone."""
    name, _, amount = feature.rpartition("=")
    try:
        float(amount)
    except ValueError:
        return feature, ""
    return (name, amount) if name else (feature, "")


def _entries(
    bench: Workbench, app: App, sources: Sequence[SourceKey | str], key: FeatureKey | None
) -> tuple[list[Entry], tuple[SourceKey, ...]]:
    """(the sources that are shown, those that had to be left out)."""
    named = [bench.source(source).key for source in sources] + ([key.source] if key else [])
    if named:
        entries = [bench.catalog.entry(one) for one in dict.fromkeys(named)]
        for entry in entries:
            if "weights" not in entry.record.has:
                raise NotAvailable(f"{entry.record.key} is here without its weights, so a Space could not run it.")
        return entries, ()
    if app != "workbench":
        raise BadInput("Say what it is to show: --feature MODEL/SOURCE/INDEX, or --source MODEL/SOURCE.")
    entries = [bench.catalog.entry(source.key) for source in bench.sources()]
    whole = [entry for entry in entries if "weights" in entry.record.has]
    if not whole:
        raise NotFound("No source here has its weights: `python -m core build CONFIG` first.")
    return whole, tuple(entry.record.key for entry in entries if entry not in whole)


# -- writing -----------------------------------------------------------------------------------------------------------


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A folder beside `folder` to write in; it is gone in the end. Raises `NotAvailable` for what cannot be written."""
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        beside.mkdir(parents=True)
        yield beside
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.filename else error.strerror or error
        raise NotAvailable(f"The Space cannot be written ({what}).") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _copy_data(bench: Workbench, entries: Sequence[Entry], space: Path, copied: Copied) -> None:
    for model_id in dict.fromkeys(entry.record.key.model_id for entry in entries):
        copy_model(*bench.catalog.model(model_id), space, copied)
    for entry in entries:
        copy_source(entry, space, copied)
    copied.licences = list(dict.fromkeys(copied.licences))


def _copy_licences(licences: Sequence[Licence], space: Path) -> dict[Licence, str]:
    """Copies the texts of licences; where each is."""
    names: dict[Path, str] = {HERE / "LICENSE": "LICENSE"}
    for one in licences:
        if one.file is not None and one.file not in names:
            names[one.file] = f"licences/{len(names)}-{one.file.name}"
    for path, name in names.items():
        _copy(path, space / name)
    return {one: names[one.file] for one in licences if one.file is not None}


def _copy_code(app: App, space: Path) -> str:
    """Copies the code and writes what is to be installed; the version of Gradio that it is pinned to."""
    if app == "workbench":
        files, lines = code.whole(HERE), (HERE / "requirements.txt").read_text(encoding="utf-8").splitlines()
        own = (HERE / "Dockerfile").read_text(encoding="utf-8")
        _write(space / "Dockerfile", words.dockerfile(own, [n for n in (WEIGHTS, BUILT) if (space / n).is_dir()]))
    else:
        files = code.closure(ENTRY, HERE)
        lines = code.pins(files, HERE / "requirements.txt")
        files = {("app.py" if name == ENTRY else name): path for name, path in files.items()}
    for name, path in files.items():
        _copy(path, space / name)
    _write(space / "requirements.txt", "\n".join(lines) + "\n")
    return next(line.split("==")[1] for line in lines if line.startswith("gradio=="))


def _put(space: Path, folder: Path, before: Mapping[str, str] | None) -> tuple[str, ...]:
    """Puts what was written in its place; the files that are there already and are not this command's."""
    if before is None:
        if folder.exists():
            folder.rmdir()
        os.replace(space, folder)
        return ()
    for name, digest in before.items():
        path = folder / name
        if path.resolve().is_relative_to(folder.resolve()) and path.is_file() and _sha256(path) == digest:
            path.unlink()
    kept = []
    for name in _names(space):
        there = folder / name
        if there.exists() and name != LIST:
            kept.append(name)
            continue
        there.parent.mkdir(parents=True, exist_ok=True)
        os.replace(space / name, there)
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
    return tuple(kept)


def _names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _copy(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, target)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
