"""Corrupt and hostile exports: refused with file and line, or reported; nothing lost, nothing half visible."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
import zlib

import pytest

from core.errors import BadInput, WorkbenchError
from core.interchange.bulk.findings import Refused
from core.interchange.bulk.places import FREE, Inflating
from tests.core.interchange.conftest import lines, write

F, A, E = (f"{kind}/batch-0.jsonl.gz" for kind in ("features", "activations", "explanations"))


def each(file: str, at: int, **changes: object):
    """A change of one row."""

    def change(folder):
        rows = lines(folder / file)
        rows[at] |= changes
        write(folder / file, rows)

    return change


def raw(file: str, at: int, text: str):
    """A line that is replaced by a text."""

    def change(folder):
        rows = [json.dumps(row) for row in lines(folder / file)]
        rows[at] = text
        write(folder / file, rows)

    return change


def cut(file: str, share: float = 0.6):
    def change(folder):
        data = (folder / file).read_bytes()
        (folder / file).write_bytes(data[: int(len(data) * share)])

    return change


def flipped(file: str):
    def change(folder):
        data = bytearray((folder / file).read_bytes())
        for n in range(len(data) // 2, len(data) // 2 + 40):
            data[n] ^= 0x5A
        (folder / file).write_bytes(bytes(data))

    return change


def twice(file: str, **changes: object):
    def change(folder):
        rows = lines(folder / file)
        write(folder / file, [*rows, rows[0] | changes])

    return change


def gone(file: str):
    return lambda folder: (folder / file).unlink()


def gap(folder):
    rows = lines(folder / A)
    write(folder / A, rows[:50])
    write(folder / "activations/batch-2.jsonl.gz", rows[50:])


def bomb(folder):
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    data = b"".join(engine.compress(bytes(1 << 20)) for _ in range(FREE // (1 << 20) + 2)) + engine.flush()
    (folder / A).write_bytes(data)


def long_line(folder):
    with gzip.open(folder / A, "wb", 1) as file:
        file.write(b'{"a": "' + b"ab cd " * (11 << 20))


def empty(file: str):
    return lambda folder: (folder / file).write_bytes(b"")


REFUSED = {
    "features cut": (cut(F), F, "cannot be read to its end"),
    "activations cut": (cut(A), A, "cannot be read to its end"),
    "cut at its last byte": (cut(A, 0.999), A, "cannot be read to its end"),
    "bytes changed": (flipped(A), A, ""),
    "empty file": (empty(E), E, "empty"),
    "not gzipped": (lambda f: (f / E).write_bytes(b'{"a": 1}\n'), E, "not gzipped"),
    "no JSON": (raw(A, 4, "{"), A, "line 5: it is no JSON"),
    "no object": (raw(A, 4, "[1, 2]"), A, "line 5: it is no JSON object"),
    "deep nesting": (raw(A, 4, "[" * 100_000), A, "line 5: it is no JSON"),
    "NaN": (raw(A, 4, '{"index": "1", "tokens": ["a"], "values": [NaN]}'), A, "line 5: it has the number NaN"),
    "Infinity": (raw(F, 4, '{"index": "4", "maxActApprox": Infinity}'), F, "line 5: it has the number Infinity"),
    "too large": (each(A, 4, tokens=["a"], values=[1e300], maxValue=1e300), A, "larger than a float32"),
    "huge integer": (raw(A, 4, '{"index": "1", "tokens": ["a"], "values": [' + "9" * 400 + "]}"), A, "line 5"),
    "fewer values": (each(A, 4, values=[1.0]), A, "line 5"),
    "no tokens": (each(A, 4, tokens=[], values=[]), A, "line 5: it has no tokens"),
    "values as text": (each(A, 4, tokens=["a"], values=["1.0"]), A, "values holds other things than numbers"),
    "values true": (each(A, 4, tokens=["a"], values=[True]), A, "values holds other things than numbers"),
    "values null": (each(A, 4, tokens=["a"], values=[None]), A, "values holds other things than numbers"),
    "values nested": (each(A, 4, tokens=["a"], values=[[1.0]]), A, "values"),
    "tokens as numbers": (each(A, 4, tokens=[1], values=[1.0]), A, "tokens is no list of texts"),
    "index null": (each(A, 4, index=None), A, "index is None"),
    "index negative": (each(F, 4, index=-1), F, "index is -1"),
    "index a float": (each(F, 4, index=4.0), F, "index is 4.0"),
    "index true": (each(F, 4, index=True), F, "index is True"),
    "index absurd": (each(F, 4, index=10**11), F, "beyond the"),
    "index no number": (each(F, 4, index="four"), F, "index is 'four'"),
    "another model": (each(A, 4, modelId="other"), A, "line 5: modelId is 'other'"),
    "another source": (each(F, 4, layer="7-res"), F, "line 5: layer is '7-res'"),
    "explains another": (each(E, 0, modelId="other"), E, "line 1: modelId is 'other'"),
    "no description": (each(E, 0, description=" "), E, "no description"),
    "embedding no numbers": (each(E, 0, embedding="[1, ]"), E, "no JSON"),
    "histogram shapes": (each(F, 4, freq_hist_data_bar_values=[1.0]), F, "not of one length"),
    "histogram negative": (
        each(F, 4, freq_hist_data_bar_heights=[-1], freq_hist_data_bar_values=[1.0]), F, "below zero",
    ),
    "logit shapes": (each(F, 4, pos_str=["a"]), F, "pos_str and pos_values"),
    "density": (each(F, 4, frac_nonzero=1.5), F, "frac_nonzero is 1.5"),
    "neighbours no index": (each(F, 4, topkCosSimIndices=[0.5], topkCosSimValues=[1.0]), F, "no index"),
    "vectors of two lengths": (
        lambda f: (each(F, 4, vector=[1.0, 2.0])(f), each(F, 5, vector=[1.0])(f)), "", "has 1 numbers",
    ),
    "two features of one index": (
        lambda f: (twice(F, maxActApprox=99.0)(f), gone("featurescope.json")(f)), F, "stands twice",
    ),
    "activations of no feature": (each(A, 4, index="70"), A, "activations of feature 70"),
    "explains no feature": (each(E, 0, index="70"), E, "explains feature 70"),
    "a batch is missing": (gap, "activations/batch-1", "missing between others"),
    "no features": (gone(F), "features/", "there are none"),
    "a listed file is gone": (gone(E), E, "lists it"),
    "rows are gone": (lambda f: write(f / A, lines(f / A)[:-3]), A, "featurescope.json says"),
    "a bomb": (bomb, A, "times its size"),
    "an endless line": (long_line, A, "longer than"),
    "two models in the heads": (
        lambda f: (f / "model.jsonl").write_text('{"id": "other"}\n'), "model.jsonl", "others say tiny",
    ),
    "a head is no JSON": (lambda f: (f / "source.jsonl").write_text("{\n"), "source.jsonl", "no JSON"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(small, fresh, name):
    change, file, says = REFUSED[name]
    change(small)
    bench = fresh()
    with pytest.raises(Refused) as error:
        bench.exchange.bring_in(small)
    assert any(one.file == file and says in str(one) for one in error.value.findings), str(error.value)
    assert says in str(error.value) and not bench.sources() and not bench.models()
    assert not [p for p in bench.settings.data.rglob("*") if p.suffix == ".json" and p.name == "source.json"]



@pytest.mark.parametrize("name", ["NaN", "fewer values", "another model", "activations cut", "index absurd"])
def test_left_out_where_that_is_asked(small, fresh, small_exported, name):
    """All other lines are imported, and each that is not is named."""
    whole = len(lines(small / A)) + len(lines(small / F))
    REFUSED[name][0](small)
    (made,) = fresh().exchange.bring_in(small, leave_out=True)
    assert made.left_out >= 1 and any(one.grave for one in made.findings)
    if "cut" not in name:
        assert made.activations + made.features == whole - 1
    assert all(report.ok for report in fresh().check()), [r.problems for r in fresh().check()]


def test_what_was_left_out_does_not_keep_the_rest_from_going_out_and_in_again(small, fresh, tmp_path):
    """The row of a feature is damaged and its activations are not: these make one."""
    each(F, 4, frac_nonzero=1.5)(small)
    bench = fresh()
    bench.exchange.bring_in(small, leave_out=True)
    bench.exchange.give_out("tiny/1-res", tmp_path / "out")
    (made,) = fresh("again").exchange.bring_in(tmp_path / "out")
    assert made.features == 6 and not [one for one in made.findings if one.grave]
    a, b = (w.feature("tiny/1-res/4") for w in (bench, fresh("again")))
    assert a.maximum == b.maximum > 0
    assert [len(group.examples) for group in a.groups] == [len(group.examples) for group in b.groups]


def test_after_mending_the_same_command_goes_on(small, fresh, small_exported):
    REFUSED["NaN"][0](small)
    bench = fresh()
    with pytest.raises(Refused, match="same command again"):
        bench.exchange.bring_in(small)
    (small / A).write_bytes((small_exported / A).read_bytes())
    (made,) = bench.exchange.bring_in(small)
    assert made.activations == len(lines(small_exported / A)) and not made.findings


REPORTED = {
    "the same row again": (twice(A), "the same activation"),
    "the same feature again": (twice(F), "stands twice"),
    "the same explanation again": (twice(E), "counts once"),
    "maximum of another": (each(A, 4, maxValue=123.0), "maxValue is 123"),
    "a key nobody knows": (each(F, 4, somethingElse=3), "somethingElse"),
    "a place beyond the text": (each(A, 4, qualifyingTokenIndex=999), "qualifyingTokenIndex is 999"),
    "half a character": (raw(E, 0, json.dumps(
        {"id": "x", "modelId": "tiny", "layer": "1-res", "index": 0, "description": "half \ud83d", "typeName": "t"}
    )), None),
    "no release": (gone("release.jsonl"), "it is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", REPORTED)
def test_reported_and_imported(small, fresh, name):
    (small / "featurescope.json").unlink()
    change, says = REPORTED[name]
    change(small)
    (made,) = fresh().exchange.bring_in(small)
    assert says is None or any(says in str(one) for one in made.findings), made.findings
    assert made.features == 6 and made.activations == len({row["id"] for row in lines(small / A)})
    assert all(report.ok for report in fresh().check())


def test_many_findings_are_counted_and_bounded(small, fresh):
    write(small / A, ["{"] * 5000)
    with pytest.raises(Refused) as error:
        fresh().exchange.bring_in(small)
    assert "5,0" in str(error.value).splitlines()[0] and len(error.value.findings) < 300
    assert len(str(error.value)) < 3000


# -- archives ----------------------------------------------------------------------------------------------------------


def zipped(path, names, data=b"{}\n", link=False):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if link:
                info.external_attr = 0o120777 << 16
            archive.writestr(info, data)
    return path


def tarred(path, name, kind=tarfile.REGTYPE, data=b"{}\n"):
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.linkname = kind, len(data) if kind == tarfile.REGTYPE else 0, "/etc/passwd"
        archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["../evil", "a/../../evil", "/etc/evil", "C:\\evil", "..\\evil"])
def test_names_that_lead_out(tmp_path, fresh, name):
    for path in (zipped(tmp_path / "x.zip", [name]), tarred(tmp_path / "x.tar.gz", name)):
        before = {p for p in tmp_path.rglob("*") if "root" not in p.parts}
        with pytest.raises(Refused, match="leads out of it"):
            fresh().exchange.bring_in(path)
        assert not fresh().sources() and not [p for p in tmp_path.rglob("evil*")]
        assert {p for p in tmp_path.rglob("*") if "root" not in p.parts} >= before


def test_links_devices_and_two_of_one_name(tmp_path, fresh):
    for path in (
        zipped(tmp_path / "l.zip", ["features/batch-0.jsonl.gz"], link=True),
        tarred(tmp_path / "l.tar.gz", "features/batch-0.jsonl.gz", tarfile.SYMTYPE),
        tarred(tmp_path / "h.tar.gz", "features/batch-0.jsonl.gz", tarfile.LNKTYPE),
        tarred(tmp_path / "f.tar.gz", "features/batch-0.jsonl.gz", tarfile.FIFOTYPE),
    ):
        with pytest.raises(Refused, match="link"):
            fresh().exchange.bring_in(path)
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zipped(tmp_path / "two.zip", ["features/batch-0.jsonl.gz"] * 2)
    with pytest.raises(Refused, match="two files"):
        fresh().exchange.bring_in(path)


def test_bombs_in_archives(tmp_path, fresh):
    data = bytes(FREE + (4 << 20))
    path = zipped(tmp_path / "bomb.zip", ["features/batch-0.jsonl"], data)
    with pytest.raises(Refused, match="times its size"):
        fresh().exchange.bring_in(path)
    path = tarred(tmp_path / "bomb.tar.gz", "features/batch-0.jsonl", data=data)
    with pytest.raises(Refused, match="times its size"):
        fresh().exchange.bring_in(path)


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "x.tgz", "x.7z"])
def test_archives_that_are_none(tmp_path, fresh, name):
    (tmp_path / name).write_bytes(b"not an archive" * 100)
    with pytest.raises(WorkbenchError):
        fresh().exchange.bring_in(tmp_path / name)
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(WorkbenchError):
        fresh().exchange.bring_in(tmp_path / name)


def test_cut_archives(tmp_path, fresh, exported):
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.add(exported, "tiny/1-res")
    data = (tmp_path / "x.tar.gz").read_bytes()
    for share in (0.3, 0.9, 0.9999):
        (tmp_path / "x.tar.gz").write_bytes(data[: int(len(data) * share)])
        with pytest.raises(Refused, match="cannot be unpacked"):
            fresh().exchange.bring_in(tmp_path / "x.tar.gz")
    assert not fresh().sources()


def test_nothing_there(tmp_path, fresh):
    (tmp_path / "empty").mkdir()
    for where in (tmp_path / "none", tmp_path / "empty", "memory://nothing-here", "nosuch://x", tmp_path / "\0"):
        with pytest.raises(BadInput):
            fresh().exchange.bring_in(where)


def test_inflating_is_gzip_and_nothing_less():
    data = gzip.compress(b"one") + gzip.compress(b"two")
    assert Inflating(io.BytesIO(data), "x").read() == b"onetwo"
    assert Inflating(io.BytesIO(data + bytes(512)), "x").read() == b"onetwo"
    for end in range(len(data)):
        stream = Inflating(io.BytesIO(data[:end]), "x")
        if end == len(gzip.compress(b"one")):
            assert stream.read() == b"one"
            continue
        with pytest.raises(EOFError):
            stream.read()
    with pytest.raises(zlib.error):
        Inflating(io.BytesIO(b"x" * 100), "x").read()
