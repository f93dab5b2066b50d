"""What people upload: an SAE's folder or an export, as files or as an archive, and texts.

Kept in `<data root>/.uploads/<hash>/`. Nothing of an archive is believed: names that lead elsewhere, links and devices
refuse the whole, bytes are counted as they come out and not as they are announced, and what no SAE needs is left
inside. An archive of an export stays one: its import reads it with the same distrust (`core.interchange.bulk.places`).
The hash is that of the content, so that the same upload twice is one folder. Cost: a copy on disk and a hash over it.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import secrets
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from core.errors import BadInput, NotAvailable, NotFound
from core.sources.folders import EXPECTED, format_of

FOLDER = ".uploads"
MOST = 8 * 2**30
"""Bytes of a folder, unpacked."""
MOST_TEXT = 256 * 2**20
FILES = 512
"""Files of a folder, and names of an archive that are looked at times 16."""
INFLATION = 200
"""Times its size that an archive may unpack to, beyond `SMALL`: numbers hardly shrink at all."""
SMALL = 2**24
BLOCK = 2**20
KEPT = re.compile(r"[\w.,=@+ -]+\.(?:json|safetensors|pt|txt|md|yaml)", re.ASCII)
"""Files that are taken: an SAE's own, and what is said of it."""
EXPORTED = re.compile(
    r"(?:.*/)?(?:batch-\d+\.jsonl?(?:\.gz)?|features\.parquet|\d+_\d+\.safetensors|\d+/\d+\.json)"
)
"""Files by which an export is known: Neuronpedia's, SAEDashboard's, our Parquet, delphi's, NeuronRecords."""
KEPT_EXPORTED = re.compile(r"[\w.,=@+ -]+\.(?:jsonl?(?:\.gz)?|parquet|arrow|npy|safetensors|db|txt|md|yaml)", re.ASCII)
ROWS = 20_000
"""Files of an uploaded export."""
_ENDINGS = (".zip", ".tar.gz", ".tgz", ".tar")
_ID = re.compile(r"[0-9a-f]{16}")


class Uploads:
    """The uploads of a data root."""

    def __init__(self, root: Path) -> None:
        self._folder = root / FOLDER

    # -- finding -------------------------------------------------------------------------------------------------------

    def folder(self, name: str) -> Path:
        """The SAE's folder of an upload; raises `NotFound`."""
        path = self._place(name) / "files"
        if not path.is_dir():
            raise NotFound(f"There is no upload “{name[:40]}” here any more: upload it again.")
        return _within(path)

    def export(self, name: str) -> Path | None:
        """The archive or folder of an uploaded export; None where the upload is an SAE. Raises `NotFound`."""
        found = sorted((self._place(name) / "export").glob("*"))
        return found[0].resolve() if found else None

    def text(self, name: str) -> Path:
        """The file of an uploaded text; raises `NotFound`."""
        found = sorted(self._place(name).glob("*.txt"))
        if not found:
            raise NotFound(f"There is no text “{name[:40]}” here any more: upload it again.")
        return found[0].resolve()

    def _place(self, name: str) -> Path:
        if not _ID.fullmatch(name):
            raise NotFound(f"“{name[:40]}” is no upload.")
        return self._folder / name

    # -- keeping -------------------------------------------------------------------------------------------------------

    def keep(self, files: Sequence[tuple[str, IO[bytes]]]) -> str:
        """Keeps an SAE's folder or an export: one archive (zip, tar, tar.gz) or files with their paths; gives its name.

        Raises:
            BadInput: it is no folder of one SAE, it is too large, or it would write elsewhere.
            NotAvailable: there is no room.
        """
        if not files:
            raise BadInput("Choose a folder, its files or an archive of it.")
        if _is_export(files):
            return self._keep_export(files)
        with self._staged() as folder:
            name, stream = files[0]
            if len(files) == 1 and _is_archive(name):
                _unpack(name, stream, folder)
            else:
                room = _Room(MOST)
                for path, content in files:
                    if (target := _target(path, folder)) is not None:
                        room.file(content, target)
            own = _within(folder) != folder.resolve()
            return self._settle(folder, "files" if own else f"files/{_stem(name)}")

    def _keep_export(self, files: Sequence[tuple[str, IO[bytes]]]) -> str:
        if len(files) > ROWS:
            raise BadInput(f"It has {len(files):,} files, and {ROWS:,} are taken: upload an archive of it.")
        name, stream = files[0]
        with self._staged() as folder:
            room = _Room(MOST, "an export")
            if len(files) == 1 and _is_archive(name):
                ending = next(end for end in _ENDINGS if name.lower().endswith(end))
                room.file(stream, folder / f"{_stem(name)}{ending}")
                return self._settle(folder, "export")
            for path, content in files:
                if (target := _target(path, folder, KEPT_EXPORTED)) is not None:
                    room.file(content, target)
            return self._settle(folder, f"export/{_stem(name.split('/')[0])}")

    def keep_text(self, name: str, stream: IO[bytes]) -> str:
        """Keeps a text in UTF-8, plain; gives its name. Raises `BadInput` and `NotAvailable`."""
        with self._staged() as folder:
            path = folder / f"{_stem(name)}.txt"
            try:
                _Room(MOST_TEXT, "a text").file(stream, path, codecs.getincrementaldecoder("utf-8")())
            except UnicodeDecodeError as error:
                raise BadInput(f"{name[:80]} is not text in UTF-8: {error.reason} at byte {error.start:,}.") from error
            if not path.read_text(encoding="utf-8").strip():
                raise BadInput(f"{name[:80]} is empty.")
            return self._settle(folder, "")

    @contextmanager
    def _staged(self) -> Iterator[Path]:
        folder = self._folder / f".new-{secrets.token_hex(8)}"
        try:
            folder.mkdir(parents=True)
            yield folder
        except OSError as error:
            raise NotAvailable(f"The upload cannot be kept: {error.strerror or error}.") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _settle(self, folder: Path, inside: str) -> str:
        """Gives a filled folder the name of its content."""
        digest = hashlib.sha256(inside.encode())
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0")
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        name = digest.hexdigest()[:16]
        target = self._folder / name / inside if inside else self._folder / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.rename(folder, target)
        return name


class _Room:
    """Bytes that may still be written."""

    def __init__(self, most: int, what: str = "a folder") -> None:
        self._left, self._most, self._what = most, most, what

    def file(self, source: IO[bytes], target: Path, decoder: codecs.IncrementalDecoder | None = None) -> None:
        """Copies a file, as far as there is room; refuses one that was there before."""
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise BadInput(f"{target.name} is there twice.")
        with target.open("xb") as file:
            while part := source.read(BLOCK):
                self._left -= len(part)
                if self._left < 0:
                    raise BadInput(f"It is too large: at most {_size(self._most)} are taken of {self._what}.")
                if decoder is not None:
                    decoder.decode(part)
                file.write(part)
            if decoder is not None:
                decoder.decode(b"", final=True)


def _stem(name: str) -> str:
    """A file's name without its path and ending, as one that may stand in a path."""
    last = re.sub(r"\.(?:tar\.gz|[^.]*)$", "", PurePosixPath(name.replace("\\", "/")).name)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", last)[:60].strip(".-") or "upload"


def _is_archive(name: str) -> bool:
    return name.lower().endswith(_ENDINGS)


def _is_export(files: Sequence[tuple[str, IO[bytes]]]) -> bool:
    """Whether what is uploaded has an export's files; looks at the names in an archive, as far as it can be read."""
    name, stream = files[0]
    if len(files) > 1 or not _is_archive(name):
        return any(EXPORTED.fullmatch(path.replace("\\", "/")) for path, _ in files)
    try:
        return any(EXPORTED.fullmatch(one) for one in _names(name, stream))
    except Exception:  # damaged or no archive: whoever unpacks it says so
        return False
    finally:
        stream.seek(0)


def _names(name: str, stream: IO[bytes]) -> Iterator[str]:
    """The first names in an archive."""
    if name.lower().endswith(".zip"):
        with zipfile.ZipFile(stream) as archive:
            yield from archive.namelist()[: 16 * FILES]
        return
    with tarfile.open(fileobj=stream, mode="r:*") as tar:
        for n, one in enumerate(tar):
            if n > 64:
                return
            yield one.name


def _unpack(name: str, stream: IO[bytes], folder: Path) -> None:
    size = stream.seek(0, 2)
    stream.seek(0)
    room = _Room(min(MOST, max(SMALL, INFLATION * size)), "an archive of this size")
    try:
        if name.lower().endswith(".zip"):
            _unzip(stream, folder, room)
        else:
            _untar(stream, folder, room)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, RuntimeError, NotImplementedError, ValueError) as error:
        raise BadInput(f"{name[:80]} is no archive that can be read, or was cut off: {error}.") from error
    except OSError as error:  # gzip's own, and zlib's
        if error.errno is not None:
            raise
        raise BadInput(f"{name[:80]} is damaged: {error}.") from error
    except Exception as error:
        if type(error).__module__ == "zlib":
            raise BadInput(f"{name[:80]} is damaged: {error}.") from error
        raise


def _unzip(stream: IO[bytes], folder: Path, room: _Room) -> None:
    with zipfile.ZipFile(stream) as archive:
        members = archive.infolist()
        _few(len(members))
        for one in members:
            if stat.S_ISLNK(one.external_attr >> 16):
                raise BadInput(f"{one.filename[:80]} is a link: an archive of plain files is taken.")
            target = _target(one.filename, folder)
            if target is not None and not one.is_dir():
                with archive.open(one) as content:
                    room.file(content, target)


def _untar(stream: IO[bytes], folder: Path, room: _Room) -> None:
    with tarfile.open(fileobj=stream, mode="r:*") as archive:
        for n, one in enumerate(archive):
            _few(n + 1)
            if not (one.isfile() or one.isdir()):
                raise BadInput(f"{one.name[:80]} is a link or a device: an archive of plain files is taken.")
            target = _target(one.name, folder)
            content = archive.extractfile(one) if target is not None and one.isfile() else None
            if content is not None and target is not None:
                room.file(content, target)


def _few(count: int) -> None:
    if count > 16 * FILES:
        raise BadInput("It holds too many files: the folder of one SAE is taken.")


def _target(name: str, folder: Path, kept: re.Pattern[str] = KEPT) -> Path | None:
    """Where a file of that path goes; None for what no SAE needs. Raises `BadInput` for a path that leads elsewhere."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or "\0" in name or re.match(r"[A-Za-z]:", name):
        raise BadInput(f"“{name[:80]}” leads out of the folder: such an archive is not taken.")
    hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    if hidden or len(path.parts) > 8 or not path.parts or not kept.fullmatch(path.name) or len(str(path)) > 300:
        return None
    if not all(re.fullmatch(r"[\w.,=@+ -]+", part, re.ASCII) for part in path.parts):
        return None
    return folder / path


def _within(folder: Path) -> Path:
    """The one folder of an SAE in what was uploaded; raises `BadInput` where there is none, or several."""
    every = [folder, *sorted(p for p in folder.rglob("*") if p.is_dir())]
    found = [path for path in every if format_of(path) is not None]
    if not found:
        raise BadInput(f"It holds no SAE: no folder of it has {EXPECTED}.")
    if len(found) > 1:
        names = ", ".join(p.relative_to(folder).as_posix() for p in found[:8])
        raise BadInput(f"It holds several SAEs ({names}): upload one folder at a time.")
    return found[0].resolve()


def _size(count: int) -> str:
    return f"{count / 2**30:.3g} GiB" if count >= 2**30 else f"{count / 2**20:.3g} MiB"
