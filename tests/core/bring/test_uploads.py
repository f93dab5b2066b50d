"""Uploads: a folder or an archive becomes one folder of an SAE, or is refused before anything is left behind."""

from __future__ import annotations

import io
import stat
import tarfile
import zipfile

import pytest

from core.bring import uploads
from core.bring.uploads import Uploads
from core.errors import BadInput, NotFound


@pytest.fixture
def files(weights):
    return {path.name: path.read_bytes() for path in (weights / "mirror").iterdir()}


@pytest.fixture
def kept(tmp_path):
    return Uploads(tmp_path)


def zipped(members, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members:
            archive.writestr(name, content)
    buffer.seek(0)
    return buffer


def tarred(members, mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    buffer.seek(0)
    return buffer


def test_however_it_comes_it_is_the_same_folder(kept, files, tmp_path):
    members = [(f"mine/{name}", content) for name, content in files.items()]
    ways = [
        [(name, io.BytesIO(content)) for name, content in members],
        [("a.zip", zipped([*members, ("mine/notes.exe", b"x"), ("__MACOSX/mine/._cfg.json", b"x")]))],
        [("a.tar.gz", tarred(members))], [("A.TAR", tarred(members, "w"))],
    ]  # fmt: skip
    names = {kept.keep(way) for way in ways}
    assert len(names) == 1, "and is kept once"
    folder = kept.folder(names.pop())
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == files
    assert len(list((tmp_path / uploads.FOLDER).iterdir())) == 1, "nothing else is left"


def test_an_archive_of_the_files_alone_is_called_as_the_archive(kept, files):
    name = kept.keep([("My SAE.tar.gz", tarred([*files.items()]))])
    assert kept.folder(name).name == "My-SAE"
    assert kept.folder(kept.keep([("..zip", zipped([*files.items()]))])).name == "upload"


def link(name, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, "/etc/passwd"
    return info


def zipped_link():
    info = zipfile.ZipInfo("mine/cfg.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return zipped([(info, b"/etc/passwd")])


@pytest.mark.parametrize(
    ("name", "make", "word"),
    [
        ("a.zip", lambda f: zipped([("../cfg.json", b"{}")]), "leads out"),
        ("a.zip", lambda f: zipped([("a/../../cfg.json", b"{}")]), "leads out"),
        ("a.zip", lambda f: zipped([("..\\cfg.json", b"{}")]), "leads out"),
        ("a.zip", lambda f: zipped([("/tmp/cfg.json", b"{}")]), "leads out"),
        ("a.zip", lambda f: zipped([("C:\\cfg.json", b"{}")]), "leads out"),
        ("a.zip", lambda f: zipped_link(), "is a link"),
        ("a.tgz", lambda f: tarred([("../../cfg.json", b"{}")]), "leads out"),
        ("a.tgz", lambda f: tarred([(link("mine/cfg.json"), None)]), "link or a device"),
        ("a.tgz", lambda f: tarred([(link("mine/cfg.json", tarfile.LNKTYPE), None)]), "link or a device"),
        ("a.tgz", lambda f: tarred([(link("mine/x", tarfile.CHRTYPE), None)]), "link or a device"),
        ("a.zip", lambda f: io.BytesIO(zipped([*f.items()]).getvalue()[:-60]), "cut off"),
        ("a.tar.gz", lambda f: io.BytesIO(tarred([*f.items()]).getvalue()[:-600]), "cut off|damaged"),
        ("a.zip", lambda f: io.BytesIO(b"no archive"), "no archive"),
        ("a.tar", lambda f: io.BytesIO(b"no archive" * 100), "no archive"),
        ("a.zip", lambda f: zipped([("cfg.json", b"\0" * (uploads.SMALL + 10))], zipfile.ZIP_DEFLATED), "too large"),
        ("a.tgz", lambda f: tarred([("cfg.json", b"\0" * (uploads.SMALL + 10))]), "too large"),
        ("a.zip", lambda f: zipped([(f"{n}.json", b"") for n in range(16 * uploads.FILES + 1)]), "too many"),
        ("a.zip", lambda f: zipped([("readme.md", b"hello")]), "holds no SAE"),
        ("a.zip", lambda f: zipped([("a/cfg.json", b"{}"), ("b/cfg.json", b"{}")]), "several SAEs"),
        ("a.zip", lambda f: zipped([("a/cfg.json", b"{}"), ("a\\cfg.json", b"[]")]), "twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_trusted_is_refused(kept, files, tmp_path, name, make, word):
    with pytest.raises(BadInput, match=word):
        kept.keep([(name, make(files))])
    assert list((tmp_path / uploads.FOLDER).iterdir()) == [], "and leaves nothing behind"


def test_an_announced_size_is_not_believed(kept, files, monkeypatch):
    """A member that says it has two bytes, and unpacks to more than may be taken."""
    monkeypatch.setattr(uploads, "SMALL", 1000)
    monkeypatch.setattr(uploads, "INFLATION", 1)
    bomb = zipped([("cfg.json", b"\0" * 100_000)], zipfile.ZIP_DEFLATED).getvalue()
    lie = bomb.replace((100_000).to_bytes(4, "little"), (2).to_bytes(4, "little"))
    with pytest.raises(BadInput):
        kept.keep([("a.zip", io.BytesIO(lie))])


def test_a_folder_larger_than_may_be(kept, files, monkeypatch):
    monkeypatch.setattr(uploads, "MOST", 100)
    with pytest.raises(BadInput, match="too large"):
        kept.keep([(name, io.BytesIO(content)) for name, content in files.items()])
    with pytest.raises(BadInput, match="Choose"):
        kept.keep([])


def test_texts(kept, tmp_path):
    name = kept.keep_text("../My texts.txt", io.BytesIO("Grüße 🙂\n".encode()))
    assert kept.text(name).read_text() == "Grüße 🙂\n" and kept.text(name).name == "My-texts.txt"
    assert kept.text(name).is_relative_to(tmp_path.resolve())
    for content, word in ((b"\xff\xfe", "UTF-8"), ("é".encode()[:1], "UTF-8"), (b" \n", "empty"), (b"", "empty")):
        with pytest.raises(BadInput, match=word):
            kept.keep_text("x.txt", io.BytesIO(content))


def test_a_text_larger_than_may_be(kept, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_TEXT", 10)
    with pytest.raises(BadInput, match="too large"):
        kept.keep_text("x.txt", io.BytesIO(b"x" * 11))


@pytest.mark.parametrize("name", ["", "..", "../..", "0" * 16, "A" * 16, "0" * 15 + "/"])
def test_a_name_is_no_path(kept, name):
    for find in (kept.folder, kept.text):
        with pytest.raises(NotFound):
            find(name)
