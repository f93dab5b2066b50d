"""The store on disk: all or nothing, what was written is what is read, and a damaged file is one message."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.build.nonzeros import Nonzeros, merge, outside
from core.errors import BadData, NotAvailable, NotFound, WorkbenchError
from core.settings import Settings
from core.store import layout
from core.store.write import check_writable, checksums, staged
from core.workbench import Workbench
from tests import tiny

# -- all or nothing ----------------------------------------------------------------------------------------------------


def entries(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_a_folder_appears_when_it_is_complete(tmp_path):
    with staged(tmp_path / "m" / "0-a") as folder:
        (folder / "file").write_text("1")
        assert entries(tmp_path / "m") == [".0-a.writing"]
    assert entries(tmp_path / "m") == ["0-a"]


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), OSError(28, "No space left on device")])
@pytest.mark.parametrize("before", [False, True])
def test_an_error_leaves_everything_as_it_was(tmp_path, error, before):
    target = tmp_path / "0-a"
    if before:
        target.mkdir()
        (target / "file").write_text("old")
    expected = NotAvailable if isinstance(error, OSError) else type(error)
    with pytest.raises(expected, match="No space" if isinstance(error, OSError) else None), staged(target) as folder:
        (folder / "file").write_text("new")
        raise error
    assert entries(tmp_path) == (["0-a"] if before else [])
    assert not before or (target / "file").read_text() == "old"


def test_a_new_version_replaces_and_keeps_what_was_derived(tmp_path):
    target = tmp_path / "0-a"
    (target / "derived" / "eval-1").mkdir(parents=True)
    (target / "derived" / "eval-1" / "figures.json").write_text("{}")
    (target / "old").write_text("")
    with staged(target) as folder:
        (folder / "new").write_text("")
    assert entries(target) == ["derived", "new"] and entries(target / "derived") == ["eval-1"]
    assert entries(tmp_path) == ["0-a"]


def test_killed_while_writing(tmp_path):
    """A run that dies leaves nothing visible; the next one cleans up and writes."""
    code = f"""
    import os, signal
    from pathlib import Path
    from core.store.write import staged
    with staged(Path({str(tmp_path)!r}) / "0-a") as folder:
        (folder / "half").write_text("x")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == -signal.SIGKILL
    assert entries(tmp_path) == [".0-a.writing"]
    with staged(tmp_path / "0-a") as folder:
        assert entries(folder) == []
        (folder / "whole").write_text("x")
    assert entries(tmp_path) == ["0-a"] and entries(tmp_path / "0-a") == ["whole"]


def test_killed_between_the_renames_the_old_version_comes_back(tmp_path):
    (tmp_path / ".0-a.old").mkdir()
    (tmp_path / ".0-a.old" / "file").write_text("old")
    with pytest.raises(RuntimeError), staged(tmp_path / "0-a"):
        raise RuntimeError
    assert entries(tmp_path) == ["0-a"] and (tmp_path / "0-a" / "file").read_text() == "old"


@pytest.mark.parametrize("place", ["/proc/featurescope", "{tmp}/file/below"])
def test_where_nothing_can_be_written(tmp_path, place):
    (tmp_path / "file").write_text("")
    target = Path(place.format(tmp=tmp_path))
    with pytest.raises(NotAvailable, match="Cannot write"):
        check_writable(target)
    with pytest.raises(NotAvailable, match="Cannot write"), staged(target / "0-a"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed to be refused")
def test_a_read_only_root(tmp_path):
    (tmp_path / "root").mkdir()
    os.chmod(tmp_path / "root", 0o555)
    code = f"""
    import os
    from pathlib import Path
    from core.errors import NotAvailable
    from core.store.write import check_writable
    os.setuid(65534)
    try:
        check_writable(Path({str(tmp_path)!r}) / "root" / "m")
    except NotAvailable as error:
        raise SystemExit(7)
    """
    for parent in [tmp_path, *tmp_path.parents[:2]]:
        os.chmod(parent, 0o755)
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[2], check=False)
    assert done.returncode == 7


def test_checksums_are_of_the_sources_own_files(tmp_path):
    for name in ("a.arrow", "store/b.npy", "source.json", "derived/x/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("1")
    found = checksums(tmp_path)
    assert list(found) == ["a.arrow", "store/b.npy"] and len(found["a.arrow"]) == 64


# -- what is written is what is read -----------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_arbitrary_non_zeros_come_back(tmp_path_factory, data):
    """Appended in batches of tokens, grouped by feature, written, mapped and read: the same matrix."""
    width, tokens = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 12))
    value = st.one_of(st.just(0.0), st.floats(width=32, allow_nan=False, allow_infinity=False))
    rows = data.draw(st.lists(st.lists(value, min_size=width, max_size=width), min_size=tokens, max_size=tokens))
    dense = np.array(rows, np.float32)
    numbers = np.cumsum(data.draw(st.lists(st.integers(1, 1000), min_size=tokens, max_size=tokens))).astype(np.uint32)
    cuts = sorted({0, tokens, *data.draw(st.lists(st.integers(0, tokens), max_size=3))})
    growing, zeros, chunks = Nonzeros(width), torch.zeros(width), []
    folder = tmp_path_factory.mktemp("store")
    for n, (begin, end) in enumerate(itertools.pairwise(cuts)):
        growing.add(numbers[begin:end], [outside(torch.from_numpy(dense[begin:end]), zeros, zeros)])
        chunks.append(folder / f"chunk-{n}")
        chunks[-1].mkdir()
        growing.chunk().write(chunks[-1])
    merge(chunks, width, folder / "store", 4)
    opened = layout._open_store(folder)
    result = np.zeros_like(dense)
    for feature in range(width):
        positions, values = opened.of(feature)
        assert (np.diff(positions.astype(np.int64)) > 0).all()
        result[np.searchsorted(numbers, positions), feature] = values
        assert set(positions.tolist()) == set(numbers[dense[:, feature] != 0].tolist())
    assert (result == dense).all()
    shutil.rmtree(folder)


@pytest.mark.parametrize("compact", [False, True])
@pytest.mark.parametrize("rows", [0, 1, 64, 65, 300, 600])
def test_rows_and_columns_of_an_arrow_file(tmp_path, compact, rows):
    schema = pa.schema([("n", pa.int32()), ("list", pa.list_(pa.uint8())), ("text", pa.string())])
    lists = [list(range(n % 5)) for n in range(rows)]
    sizes = [range(0, min(512, rows)), range(min(512, rows), rows)]  # batches as a build makes them, of whole blocks
    batches = [
        pa.RecordBatch.from_pylist([{"n": n, "list": lists[n], "text": str(n)} for n in b], schema=schema)
        for b in sizes
    ]
    layout.write_batches(tmp_path / "a.arrow", schema, batches, compact=compact)
    read = layout.Rows(tmp_path / "a.arrow")
    assert read.column("n").to_pylist() == list(range(rows))
    for n in range(rows):
        row = read.row(n)
        assert (row["n"], row["list"].tolist(), row["text"]) == (n, lists[n], str(n))
    for n in (rows, rows + 64):
        with pytest.raises(BadData):
            read.row(n)


def test_reading_from_many_threads(tiny_root):
    """Each thread reads what one alone reads, also on the first access."""
    alone = Workbench(Settings(data=tiny_root, demo=None))
    expected = {i: alone.feature(f"{tiny.SAE}/{i}") for i in range(64)}
    shared = Workbench(Settings(data=tiny_root, demo=None))
    gate = threading.Barrier(8)

    def read(n: int) -> bool:
        gate.wait()
        order = [(i * 7 + n * 5) % 64 for i in range(64)]
        shared.features(tiny.SAE)
        return all(shared.feature(f"{tiny.SAE}/{i}") == expected[i] for i in order)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(8)))


def test_an_open_source_stays_what_it_was(tiny_root, tmp_path):
    """Whoever opened a source before it was built again reads the old files to the end."""
    folder = tmp_path / "1-res"
    shutil.copytree(tiny_root / tiny.SAE, folder)
    data = layout.SourceData(folder)
    before = data.features.row(3)["label"]
    with staged(folder) as beside:
        for name in (layout.FEATURES, layout.EXAMPLES, layout.PROMPTS):
            shutil.copy(tiny_root / tiny.NEURONS / name, beside / name)
    assert data.features.column("label")[3].as_py() == before
    assert len(data.features.column("label")) == 64


# -- damage ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def copy(tiny_root, tmp_path):
    """A root of one's own to damage."""
    shutil.copytree(tiny_root, tmp_path / "data")
    return tmp_path / "data"


def look(root: Path) -> list[WorkbenchError]:
    """Everything a visitor can ask of the source; gives the errors, and lets no other kind pass."""
    bench = Workbench(Settings(data=root, demo=None))
    errors = []
    asked = [
        lambda: bench.sources(), lambda: bench.models(), lambda: bench.source(tiny.SAE),
        lambda: bench.features(tiny.SAE), lambda: bench.densities(tiny.SAE), lambda: bench.random_feature(tiny.SAE),
        lambda: bench.prompt(tiny.SAE, 0),
        lambda: bench._open.get(root / tiny.SAE).entries(3), lambda: bench._open.get(root / tiny.SAE).starts,
        *[lambda i=i: bench.feature(f"{tiny.SAE}/{i}") for i in (0, 3, 63)],
    ]  # fmt: skip
    for ask in asked:
        try:
            ask()
        except WorkbenchError as error:
            errors.append(error)
    return errors


STORE = ["store/offsets.npy", "store/positions.npy", "store/values.npy"]
FILES = ["features.arrow", "examples.arrow", "prompts.arrow", *STORE]


@pytest.mark.parametrize("name", [*FILES, "source.json", "../model.json", "../vocabulary.arrow"])
@pytest.mark.parametrize("how", ["missing", "empty", "half", "other", "folder"])
def test_a_damaged_file_is_a_message(copy, name, how):
    assert look(copy) == []
    path = copy / tiny.SAE / name
    content = path.read_bytes()
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes({"empty": b"", "half": content[: len(content) // 2], "other": b"ARROW1\0\0" + b"x" * 100}[how])
    errors = look(copy)
    assert errors
    assert all(isinstance(e, BadData | NotFound) for e in errors)
    if name == "source.json" and how not in ("missing", "folder"):
        assert Workbench(Settings(data=copy, demo=None)).catalog.damaged()


@pytest.mark.parametrize("name", ["features.arrow", "examples.arrow", "prompts.arrow", "../vocabulary.arrow"])
def test_flipped_bytes_are_a_message_or_a_wrong_number_but_never_a_crash(tiny_root, tmp_path, name):
    """In a process of its own, since what is not caught may end it."""
    code = f"""
    import random, shutil
    from pathlib import Path
    from tests.core.test_store import look
    root = Path({str(tmp_path)!r}) / "data"
    shutil.copytree({str(tiny_root)!r}, root)
    path = root / "tiny/1-res" / {name!r}
    content = path.read_bytes()
    draw = random.Random(1)
    for n in range(30):
        changed = bytearray(content)
        for _ in range(draw.choice([1, 20, 400])):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        path.write_bytes(changed)
        look(root)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_files_of_another_source(copy):
    """Whole files, but not each other's."""
    shutil.copy(copy / tiny.NEURONS / "examples.arrow", copy / tiny.SAE / "examples.arrow")
    shutil.copy(copy / tiny.NEURONS / "store" / "offsets.npy", copy / tiny.SAE / "store" / "offsets.npy")
    assert all(isinstance(e, BadData) for e in look(copy))


def test_a_source_without_a_store_says_so(copy):
    shutil.rmtree(copy / tiny.SAE / "store")
    errors = look(copy)
    assert [type(e) for e in errors] == [NotAvailable]


def test_the_manifest_knows_the_files(tiny_root):
    manifest = json.loads((tiny_root / tiny.SAE / "source.json").read_text(encoding="utf-8"))
    assert manifest["checksums"] == checksums(tiny_root / tiny.SAE)
    assert sorted(manifest["checksums"]) == sorted(FILES)
