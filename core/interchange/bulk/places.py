"""Where an import comes from: a folder, an archive (.zip, .tar, .tar.gz) or a URL, as a list of files to open.

A folder and a .zip are read where they are. A .tar is unpacked, and what has a URL is fetched, into the import's work
folder, file by file, so that it goes on where it was stopped. Addresses are fsspec's; `http(s)://` is an archive, or a
folder with an index page or a listing as S3 gives it (page by page, however many files), and `s3://` is read
without an account where s3fs is not installed. Names that lead out of the place, links and devices are refused, and
what unpacks to absurdly more than it is (`Inflating`) stops the import before it fills the disk.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import shutil
import tarfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import IO, Any
from xml.etree import ElementTree

from core.errors import BadInput, NotAvailable, Unreachable
from core.interchange.bulk.findings import Refused

MOST_FILES = 200_000
BLOCK = 1 << 20
RATIO, FREE = 250, 64 << 20
"""What unpacks to more than `RATIO` times its size is refused once it is beyond `FREE` bytes. Exports have 5 to 30."""
LISTING, LEFT = 64 << 20, 256 << 20
"""Bytes of one page of a listing at most, and of the disk that a download leaves alone."""
PATIENCE = 60.0
"""Seconds that a server may take to answer."""
Tell = Callable[[str, float, float], None]


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a place."""

    name: str
    """From the place's top, with `/` between."""
    size: int
    mark: str
    """Another where the file changed."""


class Place:
    """The files of a folder or an archive. Opening one is safe from several threads."""

    def __init__(self, origin: str, items: list[Item], opener: Callable[[str], IO[bytes]]) -> None:
        self.origin = origin
        self._items = {item.name: item for item in items}
        self._opener = opener
        if len(items) > MOST_FILES:
            raise Refused(f"{origin} has {len(items):,} files, and an import at most {MOST_FILES:,}.")
        for name in self._items:
            if not is_text(name):
                raise Refused(f"{origin} has a file whose name is no UTF-8: {ascii(name)[:120]}. Rename it.")

    @property
    def names(self) -> list[str]:
        """Every file, numbers in names in their own order."""
        return sorted(self._items, key=natural)

    def item(self, name: str) -> Item:
        """One file."""
        return self._items[name]

    def open(self, name: str) -> IO[bytes]:
        """A file's bytes as they are kept, to be closed by the caller."""
        return self._opener(name)


def is_text(name: str) -> bool:
    """Whether a name is one that a report can say: a file's may be any bytes."""
    return name.isascii() or not any("\ud800" <= char <= "\udfff" for char in name)


def natural(name: str) -> tuple[tuple[int, str], ...]:
    """Orders batch-2 before batch-10."""
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part)


def safe(name: str, origin: str) -> str:
    """A name of an archive or listing, if it stays inside."""
    plain = posixpath.normpath(name.replace("\\", "/"))
    if plain.startswith(("/", "../")) or plain == ".." or re.match(r"[A-Za-z]:", plain) or "\0" in plain:
        raise Refused(f"{origin} has a file “{name[:120]}”, which leads out of it. It is not read at all.")
    return plain


def open_place(where: str, work: Path, tell: Tell | None = None) -> Place:
    """The files at `where`; `work` keeps what has to be fetched or unpacked.

    Raises:
        BadInput: there is nothing, or nothing that can be opened.
        Refused: an archive that would do harm, or is damaged.
        Unreachable: a server does not answer.
    """
    tell = tell or (lambda what, done, of: None)
    try:
        urllib.parse.urlsplit(where)
    except ValueError as error:
        raise BadInput(f"{where} is no address: {error}.") from error
    if where.startswith("file://"):
        where = urllib.parse.unquote(urllib.parse.urlsplit(where).path)
    if "://" not in where:
        return _local(Path(where).expanduser(), str(where), work, tell)
    if urllib.parse.urlsplit(where).scheme in ("http", "https"):
        return _http(where, work, tell)
    if where.startswith("s3://") and not _has_s3fs():
        bucket, _, prefix = where[5:].partition("/")
        return _http(f"https://{bucket}.s3.amazonaws.com/?prefix={urllib.parse.quote(prefix)}", work, tell)
    return _fsspec(where, work, tell)


def _has_s3fs() -> bool:
    import importlib.util

    return importlib.util.find_spec("s3fs") is not None


# -- here --------------------------------------------------------------------------------------------------------------


def _local(path: Path, origin: str, work: Path, tell: Tell) -> Place:
    if path.is_dir():
        return _folder(path, origin)
    if not path.is_file():
        raise BadInput(f"There is nothing at {origin} to import: give a folder, an archive or a URL.")
    try:
        if zipfile.is_zipfile(path):
            return _zip(path, origin)
        if path.name.endswith((".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")):
            return _tar(path, origin, work, tell)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, NotImplementedError) as error:
        raise Refused(f"{origin} cannot be unpacked: {error}.") from error
    if path.suffix in (".zip", ".7z", ".rar"):
        raise Refused(f"{origin} is no .zip or .tar archive that can be read.")
    stat = path.stat()
    return Place(origin, [Item(path.name, stat.st_size, str(stat.st_mtime_ns))], lambda name: path.open("rb"))


def _folder(path: Path, origin: str) -> Place:
    items = []
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in files:
            file = Path(folder) / name
            if not name.startswith(".") and file.is_file():
                stat = file.stat()
                items.append(Item(file.relative_to(path).as_posix(), stat.st_size, str(stat.st_mtime_ns)))
    return Place(origin, items, lambda name: (path / name).open("rb"))


def _zip(path: Path, origin: str) -> Place:
    archive = zipfile.ZipFile(path)
    items, known = [], {}
    for info in archive.infolist():
        if info.is_dir():
            continue
        name = safe(info.filename, origin)
        if (info.external_attr >> 16) & 0o170000 == 0o120000:
            raise Refused(f"{origin} has a link “{name[:120]}” in it. It is not read at all.")
        if info.file_size > max(FREE, RATIO * info.compress_size):
            raise Refused(_bomb(f"{origin}: {name}", info.file_size, info.compress_size))
        if name in known:
            raise Refused(f"{origin} has two files “{name[:120]}”.")
        known[name] = info
        items.append(Item(name, info.compress_size, f"{info.CRC:x}.{info.file_size:x}"))

    def opener(name: str) -> IO[bytes]:
        return archive.open(known[name])

    return Place(origin, items, opener)


def _tar(path: Path, origin: str, work: Path, tell: Tell) -> Place:
    """Unpacks it, once; a tar has no list of contents, and a compressed one no way to jump."""
    stat = path.stat()
    target, mark = work / "unpacked", f"{stat.st_size}.{stat.st_mtime_ns}"
    done = target / "done.json"
    if not done.is_file() or json.loads(done.read_text())["mark"] != mark:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        names = _unpack(path, origin, target, tell)
        (target / "done.json.part").write_text(json.dumps({"mark": mark, "files": names}))
        os.replace(target / "done.json.part", done)
    files = json.loads(done.read_text())["files"]
    items = [Item(name, size, mark) for name, (_, size) in files.items()]
    return Place(origin, items, lambda name: (target / files[name][0]).open("rb"))


def _unpack(path: Path, origin: str, target: Path, tell: Tell) -> dict[str, tuple[str, int]]:
    """Writes each member under a number, whatever it is called; of each name the number and the size."""
    names: dict[str, tuple[str, int]] = {}
    total = path.stat().st_size
    with path.open("rb") as raw:
        head = raw.read(2)
        raw.seek(0)
        stream: Any = Inflating(raw, origin) if head == b"\x1f\x8b" else raw
        mode: Any = "r|" if head in (b"\x1f\x8b",) or path.suffix == ".tar" else "r|*"
        with tarfile.open(fileobj=stream, mode=mode) as archive:
            for member in archive:
                name = safe(member.name, origin)
                if member.isdir():
                    continue
                if not member.isfile():
                    raise Refused(f"{origin} has a link or device “{name[:120]}” in it. It is not read at all.")
                if len(names) >= MOST_FILES:
                    raise Refused(f"{origin} has more than {MOST_FILES:,} files.")
                if name in names:
                    raise Refused(f"{origin} has two files “{name[:120]}”.")
                source = archive.extractfile(member)
                assert source is not None  # a regular file
                with (target / str(len(names))).open("wb") as file:
                    shutil.copyfileobj(source, file, BLOCK)
                names[name] = (str(len(names)), member.size)
                tell("unpacking", raw.tell(), total)
        if isinstance(stream, Inflating):
            while stream.read(BLOCK):  # what follows the archive's end: its checksum, at least
                pass
    return names


# -- elsewhere ---------------------------------------------------------------------------------------------------------


_MARKS = ("ETag", "etag", "mtime", "created", "LastModified")
"""Of what file systems say of a file, what changes with it."""


def _fsspec(where: str, work: Path, tell: Tell) -> Place:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(where)
        if system.isfile(path):
            return _local(_fetched(work, where, lambda start: system.open(path, "rb"), tell), where, work, tell)
        found = system.find(path, detail=True)
    except (ImportError, ValueError) as error:
        raise BadInput(f"{where} cannot be opened: {error}.") from error
    except OSError as error:
        raise Unreachable(f"{where} cannot be listed: {error}.") from error
    if not found:
        raise BadInput(f"There is nothing at {where}.")
    top = path.rstrip("/") + "/"
    items, paths = [], {}
    for full, facts in found.items():
        name = safe(full.removeprefix(top), where)
        mark = next((str(facts[key]) for key in _MARKS if key in facts), "")
        items.append(Item(name, int(facts.get("size") or 0), mark))
        paths[name] = full

    def opener(name: str) -> IO[bytes]:
        local = _fetched(work, f"{where}::{name}", lambda start: system.open(paths[name], "rb"), tell)
        return local.open("rb")

    return Place(where, items, opener)


def _fetched(work: Path, address: str, begin: Callable[[int], IO[bytes]], tell: Tell) -> Path:
    """A local copy; it has its name only when it is whole."""
    folder = work / "fetched"
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "".join(Path(urllib.parse.urlsplit(address).path).suffixes[-2:])
    target = folder / (hashlib.sha256(address.encode()).hexdigest()[:24] + re.sub(r"[^A-Za-z0-9.]", "", suffix))
    if not target.is_file():
        part = target.with_name(target.name + ".part")
        try:
            with closing(begin(0)) as source, part.open("wb") as file:
                shutil.copyfileobj(source, file, BLOCK)
        except OSError as error:
            raise Unreachable(f"{address} cannot be read: {error}. The same command goes on from here.") from error
        os.replace(part, target)
    return target


class _Links(HTMLParser):
    """The `href`s of an index page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _http(where: str, work: Path, tell: Tell) -> Place:
    import httpx

    client = httpx.Client(timeout=PATIENCE, follow_redirects=True)
    archive = urllib.parse.urlsplit(where).path.endswith((".zip", ".tar", ".tar.gz", ".tgz", ".json", ".jsonl", ".gz"))
    try:
        if archive:
            local = _download(client, where, work, tell)
            return _local(local, where, work, tell)
        files = dict(_listed(client, where))
    except httpx.HTTPError as error:
        raise Unreachable(f"{where} does not answer: {error}. The same command goes on from here.") from error
    except (httpx.InvalidURL, UnicodeError) as error:
        raise BadInput(f"{where} is no address: {error}.") from error
    if not files:
        raise BadInput(f"There is nothing at {where} to import: no listing, no index with files, no archive.")
    items = [Item(safe(name, where), size, mark) for name, (_, size, mark) in files.items()]

    def opener(name: str) -> IO[bytes]:
        try:
            return _download(client, files[name][0], work, tell).open("rb")
        except httpx.HTTPError as error:
            raise Unreachable(f"{files[name][0]} does not answer: {error}. Run the same command again.") from error

    return Place(where, items, opener)


def _listed(client: Any, where: str) -> Iterator[tuple[str, tuple[str, int, str]]]:
    """(name, (address, size, mark)) of every file below an address: by S3's listing, or by index pages."""
    split = urllib.parse.urlsplit(where)
    query = dict(urllib.parse.parse_qsl(split.query))
    if "prefix" in query or "list-type" in query:
        yield from _listed_s3(client, split, query.get("prefix", ""))
        return
    top = where if where.endswith("/") else where + "/"
    todo, seen = [top], {top}
    while todo:
        address = todo.pop()
        links = _Links()
        links.feed(_page(client, address).decode("utf-8", "replace"))
        for href in links.found:
            try:
                full = urllib.parse.urldefrag(urllib.parse.urljoin(address, href))[0]
            except ValueError:  # no address
                continue
            if not full.startswith(top) or full in seen or "?" in full:
                continue
            seen.add(full)
            if len(seen) > MOST_FILES:
                raise Refused(f"{where} lists more than {MOST_FILES:,} files.")
            if full.endswith("/"):
                todo.append(full)
            else:
                yield urllib.parse.unquote(full.removeprefix(top)), (full, 0, "")


def _listed_s3(client: Any, split: Any, prefix: str) -> Iterator[tuple[str, tuple[str, int, str]]]:
    """S3's ListObjectsV2, without an account, to its last page."""
    base, token = f"{split.scheme}://{split.netloc}{split.path or '/'}", ""
    prefix = prefix.rstrip("/") + "/" if prefix else ""
    seen, count = set[str](), 0
    while True:
        ask = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
        try:
            root = ElementTree.fromstring(_page(client, base, ask))
        except (ElementTree.ParseError, ValueError) as error:
            raise Refused(f"{base} gives no listing as S3 does: {error}.") from error
        space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
        for one in root.iter(f"{space}Contents"):
            key = one.findtext(f"{space}Key") or ""
            name = key.removeprefix(prefix)
            if name and not name.endswith("/"):
                count += 1
                said = one.findtext(f"{space}Size") or ""
                size = int(said) if said.isascii() and said.isdigit() and len(said) < 18 else 0
                yield name, (base + urllib.parse.quote(key), size, one.findtext(f"{space}ETag") or "")
        token = root.findtext(f"{space}NextContinuationToken") or ""
        if not token:
            return
        if token in seen or count > MOST_FILES or len(seen) > MOST_FILES:
            raise Refused(f"{base} lists without end: it gives the same page again, or more than {MOST_FILES:,} files.")
        seen.add(token)


def _page(client: Any, address: str, ask: dict[str, str] | None = None) -> bytes:
    """A page of a listing; one without end is refused."""
    with client.stream("GET", address, params=ask) as answer:
        if answer.status_code == 404:
            raise BadInput(f"There is nothing at {address} (404).")
        answer.raise_for_status()
        found = bytearray()
        for block in answer.iter_bytes(BLOCK):
            found += block
            if len(found) > LISTING:
                raise Refused(f"The listing at {address} is longer than {LISTING >> 20} MiB.")
        return bytes(found)


def _download(client: Any, address: str, work: Path, tell: Tell) -> Path:
    """A local copy; what a broken connection left goes on where it was, if the server can."""
    folder = work / "fetched"
    folder.mkdir(parents=True, exist_ok=True)
    suffix = re.sub(r"[^A-Za-z0-9.]", "", "".join(Path(urllib.parse.urlsplit(address).path).suffixes[-2:]))
    target = folder / (hashlib.sha256(address.encode()).hexdigest()[:24] + suffix)
    part = target.with_name(target.name + ".part")
    if target.is_file():
        return target
    start = part.stat().st_size if part.is_file() else 0
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with client.stream("GET", address, headers=headers) as answer:
        if answer.status_code == 416:  # all of it was there already
            os.replace(part, target)
            return target
        answer.raise_for_status()
        goes_on = answer.status_code == 206 and start > 0
        length = int(answer.headers.get("Content-Length") or 0)
        whole = length + (start if goes_on else 0)
        done = start if goes_on else 0
        with part.open("ab" if goes_on else "wb") as file:
            for block in answer.iter_bytes(BLOCK):
                check_room(folder, LEFT)  # what it announced may be a lie, or nothing
                file.write(block)
                done += len(block)
                tell("fetching", done, max(whole, 1))
        if length and done < whole:
            raise Unreachable(f"{address} broke off at {done:,} of {whole:,} bytes. Run the same command again.")
    os.replace(part, target)
    return target


# -- unpacking ---------------------------------------------------------------------------------------------------------


def _bomb(name: str, out: int, into: int) -> str:
    return (
        f"{name} unpacks to {out:,} bytes from {into:,}, more than {RATIO} times its size: no export does that, and it "
        "could fill the disk."
    )


class Inflating:
    """The bytes of a gzip stream of one or more members; a stream that ends too early or grows absurdly is an error."""

    def __init__(self, source: IO[bytes], name: str) -> None:
        self._source, self._name = source, name
        self._engine: Any = zlib.decompressobj(31)
        self._rest = b""
        self._ready = bytearray()
        self._into = self._out = 0
        self._began = self._ended = False

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes; all that is left without one.

        Raises:
            EOFError: the stream stops in the middle.
            zlib.error: it is damaged.
            Refused: it unpacks to absurdly much.
        """
        while not self._ended and (size < 0 or len(self._ready) < size):
            self._more()
        part = bytes(self._ready if size < 0 else self._ready[:size])
        del self._ready[: len(part)]
        return part

    def _more(self) -> None:
        block = self._rest or self._source.read(BLOCK)
        if not self._rest:
            self._into += len(block)
        self._rest = b""
        if not block:
            if self._began and not self._engine.eof:
                raise EOFError("it stops in the middle of the compressed data")
            if not self._began:
                raise EOFError("it is empty")
            self._ended = True
            return
        if self._engine.eof:
            if not block.lstrip(b"\0"):  # padding, as tape archives have it
                return
            self._engine = zlib.decompressobj(31)
        self._began = True
        out = self._engine.decompress(block, BLOCK * 8)
        self._rest = self._engine.unconsumed_tail or self._engine.unused_data
        self._ready += out
        self._out += len(out)
        if self._out > max(FREE, RATIO * max(1, self._into)):
            raise Refused(_bomb(self._name, self._out, self._into))


def check_room(folder: Path, needed: int) -> None:
    """Raises `NotAvailable` if a disk has not so many bytes left."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise NotAvailable(f"{folder} has {free >> 20:,} MiB left, and this needs about {needed >> 20:,} MiB.")
