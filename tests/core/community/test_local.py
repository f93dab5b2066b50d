"""What is kept on this machine: found again, within its bounds, by many at once, and words where it cannot be."""

from __future__ import annotations

import os
import pickle
import sqlite3
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.community.local import NAME, Local
from core.errors import BadData, BadInput, NotAvailable, NotFound
from core.records import (
    Effect,
    FeatureKey,
    Likely,
    Message,
    Push,
    PushRecord,
    Shift,
    SteerAsk,
    SteeredText,
    SteerRecord,
    Token,
    VectorRecord,
    Watched,
    Written,
)
from tests.live import environment

ROOT = Path(__file__).resolve().parents[3]
KEY = FeatureKey("tiny", "1-res", 3)


def local(folder, *, runs=100, vectors=100):
    return Local(folder, runs=runs, vectors=vectors)


def text(*words, other=-1.5):
    tokens = tuple(
        Written(Token(n, word), -0.1 - n / 3, other, (Likely(Token(9, "é🙂"), -0.25),)) for n, word in enumerate(words)
    )
    return SteeredText(text="".join(words), tokens=tokens, ended=False)


def saved(run="a" * 20, words=("an", " old", " “house”")):
    """A run with something in every field."""
    ask = SteerAsk(
        model_id="tiny", messages=(Message("user", "é"),), pushes=(Push(KEY, -2.5),), watch=(KEY,), positions=(1, 2)
    )
    effect = Effect(
        gains=(Shift(Token(3, "a"), 0.1, 0.3),), losses=(Shift(Token(4, "\n", partial=True), 0.3, 0.1),),
        divergence=0.1234567890123, watched=(Watched(key=KEY, label="l", before=(0.0, 1.5), after=(2.0, 1e-30)),),
    )  # fmt: skip
    push = PushRecord(key=KEY, strength=-2.5, maximum=None, label="", hook="blocks.1.hook_resid_pre", norm=1.0)
    return SteerRecord(
        ask=ask, prompt=(Token(0, "<s>", special=True),), steered_prompt=(), pushes=(push,), default=text("x"),
        steered=text(*words, other=None), effect=effect, done=True, run=run,
    )  # fmt: skip


def vector(index=7, *, source="1-vectors-resid-pre", model="tiny", made="2026-01-01T00:00:00", **options):
    more = {"label": "mine", "hook": "blocks.1.hook_resid_pre", "values": (0.5, -1.0, 3.0), "strength": 4.0} | options
    return VectorRecord(key=FeatureKey(model, source, index), made=made, **more)


def file(folder):
    return sqlite3.connect(folder / NAME)


# -- found again -------------------------------------------------------------------------------------------------------


def test_nothing_is_made_by_looking(tmp_path):
    made = local(tmp_path / "data")
    assert made.run("a" * 20) is None and made.vector(KEY) is None and made.vectors() == ()
    assert not (tmp_path / "data").exists()


def test_a_run_is_found_again_as_it_was(tmp_path):
    record = saved()
    local(tmp_path / "new" / "data").keep_run(record)
    made = local(tmp_path / "new" / "data")
    assert made.run(record.run) == record and made.run("b" * 20) is None
    without = replace(record, effect=None, run="c" * 20)
    made.keep_run(without)
    assert made.run("c" * 20) == without and made.run(record.run) == record


@settings(max_examples=40, deadline=None)
@given(words=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6), logprob=st.floats(-1e30, 0))
def test_any_text_is_found_again(tmp_path_factory, words, logprob):
    made = local(tmp_path_factory.mktemp("any"))
    record = saved(words=tuple(words))
    record = replace(record, default=text("a", other=logprob))
    made.keep_run(record)
    assert made.run(record.run) == record


@pytest.mark.parametrize("name", ["", "x", "a" * 20_000, "\ud800", "é", "'; drop table steer_run; --", "%", "a\0b"])
def test_names_that_are_none(tmp_path, name):
    made = local(tmp_path)
    made.keep_run(saved())
    assert made.run(name) is None
    assert made.run("a" * 20) is not None


def test_the_latest_of_one_name_stays(tmp_path):
    made = local(tmp_path)
    made.keep_run(saved())
    made.keep_run(saved(words=("other",)))
    assert made.run("a" * 20).steered.text == "other"


@pytest.mark.parametrize("bound", [1, 3, 10])
def test_the_oldest_runs_go(tmp_path, bound):
    made = local(tmp_path, runs=bound)
    for n in range(12):
        made.keep_run(saved(f"{n:020d}"))
        kept = [k for k in range(12) if made.run(f"{k:020d}") is not None]
        assert kept == list(range(max(0, n + 1 - bound), n + 1))


# -- directions --------------------------------------------------------------------------------------------------------


def test_directions_are_kept_listed_and_dropped(tmp_path):
    made = local(tmp_path)
    one, two = vector(1, made="2026-01-01T00:00:00"), vector(2, made="2026-01-02T00:00:00")
    other = vector(1, model="another", made="2026-01-03T00:00:00")
    for record in (one, two, other):
        made.keep_vector(record)
    made = local(tmp_path)
    assert made.vectors() == (other, two, one), "the newest first"
    assert made.vectors("tiny") == (two, one) and made.vectors("nobody") == () == made.vectors("\ud800")
    assert made.vector(two.key) == two and made.vector(FeatureKey("tiny", "1-vectors-resid-pre", 9)) is None
    made.drop_vector(two.key)
    assert made.vectors("tiny") == (one,) and made.vector(two.key) is None
    for _ in range(2):
        with pytest.raises(NotFound, match="There is no direction tiny/1-vectors-resid-pre/2 here"):
            made.drop_vector(two.key)


def test_numbers_are_kept_in_float32(tmp_path):
    made = local(tmp_path)
    values = (1 / 3, 1e-30, -1e15, 0.0)
    made.keep_vector(vector(values=values))
    assert made.vector(vector().key).values == pytest.approx(values, rel=1e-7)


def test_one_of_the_same_key_is_replaced(tmp_path):
    made = local(tmp_path, vectors=2)
    made.keep_vector(vector(1))
    made.keep_vector(vector(2, made="2026-01-02T00:00:00"))
    new = vector(1, label="new", strength=-3.0, made="2026-01-03T00:00:00")
    made.keep_vector(new)
    assert made.vector(new.key) == new and made.vectors()[0] == new and len(made.vectors()) == 2
    with pytest.raises(BadInput, match="There are 2 directions here already: delete one first"):
        made.keep_vector(vector(3))
    assert len(made.vectors()) == 2
    fewer = local(tmp_path, vectors=1)
    fewer.keep_vector(replace(new, label="newer"))
    assert fewer.vector(new.key).label == "newer", "also where the bound was lowered"
    made.drop_vector(new.key)
    made.keep_vector(vector(3))


@pytest.mark.parametrize("index", [10**12, 2**63 - 1, 2**63, 10**40])
def test_indices_that_the_file_has_no_room_for(tmp_path, index):
    made = local(tmp_path)
    made.keep_vector(vector())
    key = FeatureKey("tiny", "1-vectors-resid-pre", index)
    assert made.vector(key) is None
    with pytest.raises(NotFound):
        made.drop_vector(key)


# -- many at once ------------------------------------------------------------------------------------------------------


def test_many_threads(tmp_path):
    """Each finds what it kept; the bounds hold."""
    made = local(tmp_path, runs=1000, vectors=20)
    refused = []

    def work(n):
        record = saved(f"{n:020d}", words=(f"text {n}",))
        made.keep_run(record)
        try:
            made.keep_vector(vector(n))
        except BadInput:
            refused.append(n)
        return made.run(record.run) == record

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(48)))
    assert len(made.vectors()) == 20 and len(refused) == 28
    assert all(made.run(f"{n:020d}").steered.text == f"text {n}" for n in range(48))


def test_processes_that_begin_at_once(tmp_path):
    """None has made the file yet: every one of them makes it, and nothing that they keep is lost."""
    data = tmp_path / "data"
    code = """
import pickle, sys
from pathlib import Path
from core.community.local import Local
from tests.core.community.test_local import saved, vector
number, folder = int(sys.argv[1]), Path(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
made = Local(folder, runs=1000, vectors=1000)
for n in range(10):
    record = saved(f"{number * 100 + n:020d}")
    made.keep_run(record)
    made.keep_vector(vector(number * 100 + n))
    assert made.run(record.run) == record
"""
    many = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(n), str(data)], cwd=ROOT, env=environment(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for n in range(6)
    ]  # fmt: skip
    for one in many:
        assert one.stdout.readline() == "ready\n", one.communicate()
    for one in many:
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in many:
        _, said = one.communicate(timeout=60)
        assert one.returncode == 0, said
    made = local(data)
    assert len(made.vectors()) == 60
    assert all(made.run(f"{n * 100 + k:020d}") is not None for n in range(6) for k in range(10))


def test_threads_that_begin_at_once(tmp_path):
    """Each with a workbench of its own."""
    gate = threading.Barrier(8, timeout=30)

    def work(n):
        made = local(tmp_path / "data")
        gate.wait()
        made.keep_run(saved(f"{n:020d}"))

    for _ in range(5):
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        made = local(tmp_path / "data")
        assert all(made.run(f"{n:020d}") is not None for n in range(8))
        for each in (tmp_path / "data").iterdir():
            each.unlink()


# -- where it cannot be ------------------------------------------------------------------------------------------------


def test_a_run_of_another_version(tmp_path):
    """It cannot be read, in words, and a new one takes its place."""
    made = local(tmp_path)
    made.keep_run(saved())
    for written in ('{"ask": {"model_id": "tiny"}}', "[]", "", "\0"):
        with file(tmp_path) as db:
            db.execute("update steer_run set record = ?", (written,))
        with pytest.raises(BadData, match=f"saved run {'a' * 20} cannot be read: it was kept by another version"):
            made.run("a" * 20)
    made.keep_run(saved())
    assert made.run("a" * 20) == saved()


DAMAGES = [b"no database at all, but text that goes on" * 50, b"SQLite format 3\0" + b"\xff" * 5000, b"\0" * 9000]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file(tmp_path, damage):
    (tmp_path / NAME).write_bytes(damage)
    made = local(tmp_path)
    for _ in range(2):
        for read in (lambda: made.run("a" * 20), made.vectors, lambda: made.vector(KEY)):
            with pytest.raises(BadData, match=f"{NAME} cannot be read: .+"):
                read()
        for write in (
            lambda: made.keep_run(saved()),
            lambda: made.keep_vector(vector()),
            lambda: made.drop_vector(KEY),
        ):
            with pytest.raises(NotAvailable, match=rf"{NAME} cannot be written \(.+\), so nothing was kept"):
                write()
    (tmp_path / NAME).unlink()
    made.keep_run(saved())
    assert made.run("a" * 20) == saved(), "and when it is gone all is well again"


def test_an_empty_file_is_a_new_one(tmp_path):
    (tmp_path / NAME).write_bytes(b"")
    made = local(tmp_path)
    assert made.run("a" * 20) is None and made.vectors() == ()
    made.keep_run(saved())
    assert made.run("a" * 20) == saved()


def test_a_file_that_was_cut(tmp_path):
    made = local(tmp_path)
    for n in range(40):
        made.keep_run(saved(f"{n:020d}"))
    made._file._engine.dispose()
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[: len(whole) // 2])
    again = local(tmp_path)
    said = []
    for n in range(40):
        try:
            again.run(f"{n:020d}")
        except BadData as error:
            said.append(str(error))
    try:
        again.keep_run(saved())
    except NotAvailable as error:
        said.append(str(error))
    assert said and all(NAME in one for one in said)


def test_a_file_that_was_deleted_while_it_was_open(tmp_path):
    made = local(tmp_path)
    made.keep_run(saved())
    for each in tmp_path.iterdir():
        each.unlink()
    assert made.run("a" * 20) is None
    made.keep_run(saved(words=("again",)))
    assert local(tmp_path).run("a" * 20).steered.text == "again" == made.run("a" * 20).steered.text


@pytest.mark.parametrize("place", ["/proc/featurescope", "{tmp}/file/below"])
def test_where_nothing_can_be_written(tmp_path, place):
    (tmp_path / "file").write_text("")
    made = local(Path(place.format(tmp=tmp_path)))
    assert made.run("a" * 20) is None and made.vectors() == ()
    for _ in range(2):
        with pytest.raises(NotAvailable, match=rf"{NAME} cannot be written \(.+\), so nothing was kept"):
            made.keep_run(saved())


def as_somebody_else(work):
    """What `work()` gives, or the error that it raises, in a process of a user who owns nothing."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            try:
                found = work()
            except Exception as error:
                found = error
            os.write(write, pickle.dumps(found))
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return pickle.loads(told)


@pytest.fixture
def foreign():
    """A folder that everybody may read and only its owner write."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed to be refused")
@pytest.mark.parametrize("open_elsewhere", [False, True])
def test_a_read_only_root(foreign, open_elsewhere):
    """What is there is read, as in a container whose data belong to somebody else; nothing new is kept, in words."""
    nothing = as_somebody_else(lambda: local(foreign).run("a" * 20))
    assert nothing is None
    refused = as_somebody_else(lambda: local(foreign).keep_run(saved()))
    assert isinstance(refused, NotAvailable) and "so nothing was kept" in str(refused)
    made = local(foreign)
    made.keep_run(saved())
    made.keep_vector(vector())
    if not open_elsewhere:
        made._file._engine.dispose()

    def look():
        there = local(foreign)
        found = there.run("a" * 20), there.vectors(), there.vector(vector().key)
        try:
            there.keep_run(saved("b" * 20))
        except NotAvailable as error:
            return *found, str(error), there.run("a" * 20)
        return found

    run, vectors, one, said, again = as_somebody_else(look)
    assert run == again == saved() and vectors == (vector(),) and one == vector()
    assert "cannot be written (" in said and "so nothing was kept" in said


@pytest.mark.parametrize("name", ["a b", "100%", "what?", "c#d", "ü–日", "a?mode=memory", "x&immutable=1"])
def test_folders_of_any_name(tmp_path, name):
    made = local(tmp_path / name)
    made.keep_run(saved())
    assert (tmp_path / name / NAME).is_file() and local(tmp_path / name).run("a" * 20) == saved()


@pytest.mark.skipif(os.geteuid() != 0, reason="another user is needed to be refused")
def test_a_read_only_folder_of_any_name(foreign):
    place = foreign / "100% what?#ü"
    made = local(place)
    made.keep_run(saved())
    made._file._engine.dispose()
    assert as_somebody_else(lambda: local(place).run("a" * 20)) == saved()
