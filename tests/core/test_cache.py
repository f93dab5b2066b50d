"""The activation cache: what was put comes back or nothing does, both keeps are bounded, and nobody's files harm it."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.models import cache as module
from core.models.cache import BESIDES, VERSION, Cache, ids_of, name_of

MB = 2**20


def arrays(n: int, size: int = 100):
    return {"values": np.full(size, n, np.float32), "positions": np.arange(size, dtype=np.int32)}


def name(n: int) -> str:
    return name_of("test", n)


def same(found, n: int, size: int = 100) -> bool:
    return found is not None and all(np.array_equal(found[key], value) for key, value in arrays(n, size).items())


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in files(folder))


def filled(folder: Path, count: int = 1) -> Path:
    cache = Cache(folder, memory=MB, disk=MB)
    for n in range(count):
        cache.put(name(n), arrays(n))
    cache.flush()
    return next(path for path in files(folder) if path.stem == name(0))


def test_names():
    assert name_of("a", 1) == name_of("a", 1) != name_of("a", "1")
    assert name_of("a", "b") != name_of("ab") != name_of("a,b")
    assert ids_of([1, 23]) != ids_of([12, 3]) and ids_of(np.array([1, 2]).tolist()) == ids_of((1, 2))


@pytest.mark.parametrize("disk", [0, MB])
def test_what_is_put_comes_back(tmp_path, disk):
    cache = Cache(tmp_path, memory=MB, disk=disk)
    assert cache.get(name(1)) is None
    cache.put(name(1), arrays(1))
    assert same(cache.get(name(1)), 1)
    with pytest.raises(ValueError):
        cache.get(name(1))["values"][0] = 5
    cache.flush()
    held = cache.held()
    assert (held.entries, held.hits, held.misses) == (1, 2, 1)
    assert held.bytes == 800 + BESIDES and (held.disk_bytes or 0) == on_disk(tmp_path)
    again = Cache(tmp_path, memory=MB, disk=disk)
    found = again.get(name(1))
    assert same(found, 1) if disk else found is None
    if disk:
        assert not found["values"].flags.writeable and found.keys() == arrays(1).keys()


def test_without_a_folder():
    cache = Cache(None, memory=MB, disk=MB)
    cache.put(name(1), arrays(1))
    cache.flush()
    assert same(cache.get(name(1)), 1) and cache.held().disk_bytes is None


@settings(max_examples=40, deadline=None)
@given(asked=st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60), room=st.integers(0, 5))
def test_memory_goes_by_last_use(asked, room):
    """Against a list in the order of use."""
    size = 800 + BESIDES
    cache = Cache(None, memory=room * size + 5, disk=0)
    used: list[int] = []
    for put, n in asked:
        if put:
            cache.put(name(n), arrays(n))
            if n not in used:
                used = [*used, n][-room:] if room else []
        else:
            assert (cache.get(name(n)) is not None) == (n in used)
            used = [m for m in used if m != n] + [n] * (n in used)
        held = cache.held()
        assert (held.entries, held.bytes) == (len(used), len(used) * size)


def test_what_is_larger_than_all_is_not_kept(tmp_path):
    cache = Cache(tmp_path, memory=500, disk=500)
    cache.put(name(1), arrays(1))
    cache.flush()
    assert cache.get(name(1)) is None and cache.held().bytes == 0 and not files(tmp_path)


def test_what_goes_from_memory_is_gone():
    cache = Cache(None, memory=2000, disk=0)
    kept = arrays(1)
    gone = weakref.ref(kept["values"])
    cache.put(name(1), kept)
    del kept
    cache.put(name(2), arrays(2))
    gc.collect()
    assert gone() is None


def test_the_last_one_written_does_not_stay(tmp_path):
    cache = Cache(tmp_path, memory=0, disk=MB)
    kept = arrays(1)
    gone = weakref.ref(kept["values"])
    cache.put(name(1), kept)
    cache.flush()
    del kept
    gc.collect()
    assert gone() is None


def test_disk_is_bounded_and_goes_by_last_use(tmp_path):
    one = filled(tmp_path).stat().st_size
    room = 10 * one + 10
    cache = Cache(tmp_path, memory=0, disk=room)
    for n in range(1, 60):
        cache.put(name(n), arrays(n))
        cache.flush()
        assert on_disk(tmp_path) <= room and cache.held().disk_bytes == on_disk(tmp_path)
        assert same(cache.get(name(0)), 0), "what is read again and again stays"
        time.sleep(0.001)
    assert same(cache.get(name(59)), 59) and cache.get(name(30)) is None
    assert len(files(tmp_path)) >= 8
    smaller = Cache(tmp_path, memory=0, disk=3 * one)
    smaller.put(name(100), arrays(100))
    smaller.flush()
    assert on_disk(tmp_path) <= 3 * one


def test_two_caches_on_one_folder_stay_within_it_together(tmp_path):
    one = filled(tmp_path).stat().st_size
    room = 12 * one
    both = [Cache(tmp_path, memory=0, disk=room) for _ in range(2)]
    for n in range(40):
        for k, cache in enumerate(both):
            cache.put(name(2 * n + k), arrays(2 * n + k))
            cache.flush()
    assert on_disk(tmp_path) <= 2 * room
    both[0].put(name(1000), arrays(1000))
    for n in range(2000, 2014):
        both[0].put(name(n), arrays(n))
    both[0].flush()
    assert on_disk(tmp_path) <= room, "whoever fills it next sees what all have written"
    assert all(same(both[1].get(name(n)), n) for n in range(2006, 2014)), "and each reads what the other wrote"


def test_what_waits_to_be_written_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WAITING", 5000)
    cache = Cache(tmp_path, memory=MB, disk=MB)
    gate = threading.Event()
    write = cache._write
    monkeypatch.setattr(cache, "_write", lambda *entry: gate.wait(30) and write(*entry))
    for n in range(100):
        cache.put(name(n), arrays(n))
    assert cache._unwritten <= 5000 and all(same(cache.get(name(n)), n) for n in range(100))
    gate.set()
    cache.flush()
    assert cache._unwritten == 0 and 1 <= len(files(tmp_path)) <= 3
    cache.put(name(200), arrays(200))
    cache.flush()
    assert same(Cache(tmp_path, memory=0, disk=MB).get(name(200)), 200), "and it goes on"


# -- damage ------------------------------------------------------------------------------------------------------------


def renewed(folder: Path, path: Path) -> None:
    """A damaged entry is not given out; computed and put again it is on disk again."""
    for cache in (Cache(folder, memory=MB, disk=MB),):
        assert cache.get(name(0)) is None and not path.is_file()
        cache.put(name(0), arrays(0))
        cache.flush()
    assert same(Cache(folder, memory=MB, disk=MB).get(name(0)), 0)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"not a zip", b"PK\x03\x04" + bytes(100), b"\x93NUMPY\x01\x00", bytes(5000)]
)
def test_what_is_no_entry_is_dropped(tmp_path, content):
    path = filled(tmp_path)
    path.write_bytes(content)
    renewed(tmp_path, path)


def test_a_cut_entry_is_dropped(tmp_path):
    path = filled(tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        renewed(tmp_path, path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_dropped_or_harmless(tmp_path, data):
    path = filled(tmp_path)
    whole = path.read_bytes()
    at, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :])
    found = Cache(tmp_path, memory=MB, disk=MB).get(name(0))
    assert found is None or (same(found, 0) and found.keys() == arrays(0).keys())
    path.unlink(missing_ok=True)


def test_an_entry_under_another_name_is_dropped(tmp_path):
    path = filled(tmp_path, 2)
    other = next(p for p in files(tmp_path) if p.stem == name(1))
    path.write_bytes(other.read_bytes())
    renewed(tmp_path, path)


def test_nothing_is_unpickled(tmp_path):
    path = filled(tmp_path)
    bad = np.array([{"a": 1}], dtype=object)
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, name=np.array(name(0)), values=bad)
    renewed(tmp_path, path)


def test_a_damaged_entry_of_a_running_process_is_written_again(tmp_path):
    cache = Cache(tmp_path, memory=0, disk=MB)
    for _ in range(3):
        cache.put(name(0), arrays(0))
        cache.flush()
        (path,) = files(tmp_path)
        assert same(cache.get(name(0)), 0)
        path.write_bytes(b"damaged")
        assert cache.get(name(0)) is None


def test_a_folder_in_the_place_of_an_entry(tmp_path):
    path = filled(tmp_path)
    path.unlink()
    path.mkdir()
    cache = Cache(tmp_path, memory=MB, disk=MB)
    assert cache.get(name(0)) is None
    cache.put(name(0), arrays(0))
    cache.flush()
    assert same(cache.get(name(0)), 0)


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "cache").write_text("mine")
    cache = Cache(tmp_path / "cache", memory=MB, disk=MB)
    assert cache.get(name(0)) is None
    cache.put(name(0), arrays(0))
    cache.flush()
    assert same(cache.get(name(0)), 0) and (tmp_path / "cache").read_text() == "mine"


def test_a_folder_that_may_only_be_read(tmp_path, monkeypatch):
    """Root may write anywhere, so the refusals are made here."""
    good, path = filled(tmp_path, 2), None
    path = next(p for p in files(tmp_path) if p.stem == name(1))
    path.write_bytes(b"damaged")

    def refuse(*_, **__):
        raise PermissionError("read-only")

    for what in ("unlink", "rename", "mkdir"):
        monkeypatch.setattr(Path, what, refuse)
    monkeypatch.setattr(os, "utime", refuse)
    cache = Cache(tmp_path, memory=MB, disk=MB)
    assert same(cache.get(name(0)), 0), "what is there is read"
    assert cache.get(name(1)) is None
    cache.put(name(2), arrays(2))
    cache.flush()
    assert same(cache.get(name(2)), 2)
    monkeypatch.undo()
    assert good.is_file()


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("odd"), MemoryError()])
def test_a_full_disk_harms_nobody_and_may_be_mended(tmp_path, monkeypatch, error):
    cache = Cache(tmp_path, memory=MB, disk=MB)

    def full(file, **_):
        file.write(b"half")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full)
        cache.put(name(0), arrays(0))
        cache.flush()
        assert same(cache.get(name(0)), 0) and not files(tmp_path)
    cache.put(name(1), arrays(1))
    cache.flush()
    assert same(Cache(tmp_path, memory=0, disk=MB).get(name(1)), 1)


def test_other_versions_and_unfinished_files_go(tmp_path):
    path = filled(tmp_path)
    old = [tmp_path / f"v{VERSION + 1}" / "ab" / f"{name(5)}.npz", tmp_path / "v0" / "cd" / "x.npz"]
    half, foreign = path.with_suffix(".1234.tmp"), path.with_name("foreign.npz")
    fresh = path.with_suffix(".5678.tmp")
    keep = tmp_path / "videos" / "mine.txt"
    for place in (*old, half, foreign, fresh, keep):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"x")
    for place in (half, foreign):
        os.utime(place, (1, 1))
    cache = Cache(tmp_path, memory=MB, disk=MB)
    cache.put(name(7), arrays(7))
    cache.flush()
    assert not any(place.exists() for place in (*old, half, foreign))
    assert fresh.exists(), "another process may be writing it"
    assert keep.exists(), "nobody's own files are touched"
    assert same(cache.get(name(0)), 0) and same(cache.get(name(7)), 7)


def test_who_ends_waits_for_the_disk_and_not_for_ever(tmp_path, monkeypatch):
    go = threading.Event()
    write = Cache._write

    def held(self, *given):
        assert go.wait(30)
        write(self, *given)

    monkeypatch.setattr(Cache, "_write", held)
    cache = Cache(tmp_path, memory=0, disk=MB)
    assert cache.flush(0.0), "there is nothing to wait for"
    cache.put(name(1), arrays(1))
    assert not cache.flush(0.05)
    go.set()
    assert cache.flush(30.0)
    assert same(Cache(tmp_path, memory=0, disk=MB).get(name(1)), 1)


# -- several at once ---------------------------------------------------------------------------------------------------


def test_many_threads(tmp_path):
    size = 800 + BESIDES
    cache = Cache(tmp_path, memory=8 * size, disk=40 * size)
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for n in rng.integers(0, 60, 150).tolist():
            found = cache.get(name(n))
            if found is None:
                cache.put(name(n), arrays(n))
            elif not same(found, n):
                wrong.append(n)
            held = cache.held()
            if held.bytes > 8 * size:
                wrong.append(held)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    cache.flush()
    assert not wrong
    assert on_disk(tmp_path) <= 40 * size == cache._most_disk
    assert all(path.suffix == ".npz" for path in files(tmp_path))


WRITER = """
import sys
from pathlib import Path
from core.models.cache import Cache
from tests.core.test_cache import arrays, name
cache = Cache(Path(sys.argv[1]), memory=0, disk=int(sys.argv[3]))
print("begun", flush=True)
for n in range(int(sys.argv[2]), 10**9):
    cache.put(name(n % 500), arrays(n % 500, 5000))
    cache.flush()
"""


def test_processes_that_are_killed_leave_no_half_entry(tmp_path):
    """Two write the same entries into one folder and are killed; a third reads only what is whole."""
    room = 4 * MB
    code = [sys.executable, "-c", WRITER, str(tmp_path)]
    for _ in range(2):
        writers = [subprocess.Popen([*code, str(k), str(room)], stdout=subprocess.PIPE) for k in (0, 3)]
        for writer in writers:
            writer.stdout.readline()
        end = time.monotonic() + 30
        while len(files(tmp_path)) < 20 and time.monotonic() < end:
            time.sleep(0.01)
        for writer in writers:
            writer.kill()
            writer.wait()
    entries = [path for path in files(tmp_path) if path.suffix == ".npz"]
    cache = Cache(tmp_path, memory=0, disk=room)
    known = {name(n): n for n in range(500)}
    assert entries and all(same(cache.get(path.stem), known[path.stem], 5000) for path in entries)
    for path in files(tmp_path):
        if path.suffix != ".npz":
            os.utime(path, (1, 1))
    cache.put(name(1000), arrays(1000))
    cache.flush()
    assert all(path.suffix == ".npz" for path in files(tmp_path)) and on_disk(tmp_path) <= room
