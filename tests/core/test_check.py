"""Checking a store: a whole one passes, and damage of any kind is said in words, never shown as numbers."""

from __future__ import annotations

import json
import os
import shutil
import textwrap

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import __main__ as cli
from core.errors import BadData, NotFound, WorkbenchError
from core.settings import Settings
from core.store import check, layout
from core.store.write import checksums
from core.workbench import Workbench
from tests import tiny
from tests.live import python

STORE = ["store/offsets.npy", "store/positions.npy", "store/values.npy"]
FILES = ["features.arrow", "examples.arrow", "prompts.arrow", *STORE]


@pytest.fixture
def root(tiny_root, tmp_path):
    """A root of one's own to damage."""
    shutil.copytree(tiny_root, tmp_path / "data")
    return tmp_path / "data"


def problems(root, *sources):
    """Every problem that a check finds."""
    reports = Workbench(Settings(data=root, demo=None)).check(sources)
    return [problem for report in reports for problem in report.problems]


def seal(root, source=tiny.SAE, **changes):
    """Writes the manifest's checksums anew, so that only the structure can tell; `changes` go into its record."""
    path = root / source / "source.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["checksums"] = checksums(root / source)
    manifest["source"] |= changes
    path.write_text(json.dumps(manifest), encoding="utf-8")


def test_what_was_built_is_whole(root):
    reports = Workbench(Settings(data=root, demo=None)).check()
    assert [report.name for report in reports] == ["tiny", "tiny/0-neurons", "tiny/1-res"]
    assert all(report.ok for report in reports), problems(root)
    stored = np.load(root / tiny.SAE / "store" / "values.npy")
    assert reports[2].entries == len(stored) and reports[2].files == len(FILES)
    assert reports[2].bytes == sum((root / tiny.SAE / name).stat().st_size for name in FILES)


def test_the_demo_is_whole():
    assert all(report.ok for report in Workbench(Settings(data="absent")).check())


def test_small_blocks_find_the_same(root, monkeypatch):
    values = np.load(root / tiny.SAE / "store" / "values.npy")
    values[len(values) // 2] *= -1
    np.save(root / tiny.SAE / "store" / "values.npy", values)
    whole = problems(root)
    monkeypatch.setattr(check, "BLOCK", 7)
    assert problems(root) == whole and any("not above zero (1 features" in problem for problem in whole)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_flipped_bytes_are_reported(root, tiny_root, name, draw):
    """Whatever is flipped where: the checksum tells, and looking at the rest raises nothing."""
    path = root / tiny.SAE / name
    content = bytearray((tiny_root / tiny.SAE / name).read_bytes())
    for place in draw.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=20, unique=True)):
        content[place] ^= draw.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert any(problem.startswith(f"{name} is not what the build wrote") for problem in problems(root, tiny.SAE))


@pytest.mark.parametrize("name", [*FILES, "../vocabulary.arrow", "../model.json", "source.json"])
def test_flipped_and_sealed_bytes_crash_nothing(tiny_root, tmp_path, name):
    """With new checksums only the structure can tell. In a process of its own, since a crash would end it."""
    code = f"""
    import random, shutil
    from pathlib import Path
    from core.errors import WorkbenchError
    from core.settings import Settings
    from core.workbench import Workbench
    from tests.core.test_check import seal
    from tests import tiny
    root = Path({str(tmp_path)!r}) / "data"
    path = root / tiny.SAE / {name!r}
    draw = random.Random(2)
    shutil.copytree({str(tiny_root)!r}, root)
    content = path.read_bytes()
    for n in range(12):
        changed = bytearray(content)
        for _ in range(draw.choice([1, 3, 50])):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        path.write_bytes(changed)
        if {name!r}.endswith("y") or {name!r} in {FILES!r}:
            seal(root)
        bench = Workbench(Settings(data=root, demo=None))
        reports = bench.check()
        wrong = any(not report.ok for report in reports)
        for i in (0, 3, 63):
            try:
                bench.feature(f"{{tiny.SAE}}/{{i}}")
            except WorkbenchError as error:
                assert wrong, error
    """
    python(textwrap.dedent(code))


@pytest.mark.parametrize("name", [*FILES, "source.json", "../model.json", "../vocabulary.arrow"])
@pytest.mark.parametrize("how", ["missing", "empty", "half"])
def test_a_file_that_is_not_whole(root, name, how):
    path = root / tiny.SAE / name
    content = path.read_bytes()
    path.unlink()
    if how != "missing":
        path.write_bytes(content[: len(content) // 2] if how == "half" else b"")
    found = problems(root)
    assert found and any(name.removeprefix("../") in problem for problem in found)


@pytest.mark.parametrize("name", [*FILES, "source.json", "../model.json", "../vocabulary.arrow"])
@pytest.mark.parametrize("how", ["pipe", "loop", "folder"])
def test_what_is_no_file_is_reported_and_not_waited_for(root, name, how):
    """A pipe would never end, a link to itself is no file."""
    path = root / tiny.SAE / name
    path.unlink()
    {"pipe": os.mkfifo, "loop": lambda p: p.symlink_to(p.name), "folder": os.mkdir}[how](path)
    assert problems(root)
    try:
        assert Workbench(Settings(data=root, demo=None)).feature(f"{tiny.SAE}/3") and "store" in name
    except WorkbenchError as error:
        assert "store" not in name, error


def arrays(root):
    folder = root / tiny.SAE / "store"
    return folder, [np.load(folder / f"{n}.npy") for n in ("offsets", "positions", "values")]


def damage(change):
    """Changes (offsets, positions, values) and writes them back."""

    def apply(root):
        folder, held = arrays(root)
        for name, array in zip(("offsets", "positions", "values"), change(*held) or held, strict=True):
            np.save(folder / f"{name}.npy", array)

    return apply


def arrow(name, column, change):
    """Changes the first row of a column that holds something."""

    def apply(root):
        path = root / tiny.SAE / name
        table = pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all()
        rows = table[column].to_pylist()
        row = next(i for i, value in enumerate(rows) if value not in (None, 0, 0.0, [], ""))
        rows[row] = change(rows[row])
        field = table.schema.field(column)
        table = table.set_column(table.schema.get_field_index(column), field, pa.array(rows, field.type))
        layout.write_batches(path, table.schema, table.to_batches(), compact=False)

    return apply


def fall(offsets, positions, values):
    offsets[2] = offsets[1] - 1


def swap(offsets, positions, values):
    i = int(np.flatnonzero(np.diff(offsets) > 1)[0])
    begin = offsets[i]
    positions[[begin, begin + 1]] = positions[[begin + 1, begin]]


def beyond(offsets, positions, values):
    positions[offsets[1] - 1] = 2**31


def on_bos(offsets, positions, values):
    positions[0] = 0


def negative(offsets, positions, values):
    values[5] = -values[5]


def infinite(offsets, positions, values):
    values[5] = np.inf


def larger(offsets, positions, values):
    values[offsets[3]] = 1e6


def shifted(offsets, positions, values):
    offsets[4] += 1


def short(offsets, positions, values):
    return offsets, positions[:-1], values


def floats(offsets, positions, values):
    return offsets.astype(np.float64), positions, values


def fewer(offsets, positions, values):
    return offsets[:-1], positions, values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (damage(fall), "its offsets fall at feature"),
        (damage(swap), "the tokens do not ascend"),
        (damage(beyond), "a token lies beyond the prompts"),
        (damage(on_bos), "a token is one that does not count"),
        (damage(negative), "a value is not above zero"),
        (damage(infinite), "a value is not a finite number"),
        (damage(larger), "the largest value is not the maximum"),
        (damage(shifted), "not as many entries as features.arrow says"),
        (damage(short), "its offsets end at"),
        (damage(floats), "hold other things"),
        (damage(fewer), "its offsets are for 63 features"),
        (arrow("features.arrow", "active", lambda n: n + 1), "the histogram does not add up"),
        (arrow("features.arrow", "active", lambda n: 2**31), "active on more tokens than were counted"),
        (arrow("features.arrow", "maximum", lambda x: float("nan")), "maximum is not a finite number"),
        (arrow("features.arrow", "top_ids", lambda x: [2**31, *x[1:]]), "top_ids leads nowhere"),
        (arrow("features.arrow", "near", lambda x: [-1, *x[1:]]), "near leads nowhere"),
        (arrow("features.arrow", "near_cosine", lambda x: x[1:]), "near and near_cosine are not of one length"),
        (arrow("examples.arrow", "prompt", lambda x: [10**6, *x[1:]]), "a prompt that is not there"),
        (arrow("examples.arrow", "position", lambda x: [255, *x[1:]]), "beyond the end of its prompt"),
        (arrow("examples.arrow", "group_size", lambda x: [x[0] + 1, *x[1:]]), "group_size does not add up to prompt"),
        (arrow("examples.arrow", "shown_value", lambda x: [float("inf"), *x[1:]]), "shown_value is not a finite"),
        (arrow("examples.arrow", "group_kind", lambda x: [9, *x[1:]]), "of no kind that is known"),
        (arrow("prompts.arrow", "tokens", lambda x: [*x[:-1], 399 + 1]), "a token is not in the vocabulary"),
        (arrow("prompts.arrow", "tokens", lambda x: x * 20), "longer than 48 tokens"),
    ],
)
def test_each_kind_of_damage_has_its_words(root, change, said):
    """Sealed with new checksums, so that the structure alone tells."""
    change(root)
    seal(root)
    found = problems(root, tiny.SAE)
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"width": 63}, "rows, and source.json says 63 features"),
        ({"prompts": 3}, "prompts, and source.json says 3"),
        ({"tokens": 5}, "tokens that count, and source.json says 5"),
        ({"alive": 5}, "living features, and source.json says 5"),
        ({"has": ["dashboards"]}, "store/ is here, but source.json says otherwise"),
        ({"key": {"model_id": "tiny", "source_id": "9-res"}}, "source.json says that it is tiny/9-res"),
    ],
)
def test_a_manifest_that_does_not_fit(root, changes, said):
    seal(root, **changes)
    found = problems(root, tiny.SAE)
    assert any(said in problem for problem in found), found


def test_the_files_of_a_removed_store(root):
    shutil.rmtree(root / tiny.SAE / "store")
    assert any("store/ is not here" in problem for problem in problems(root))
    assert any("store/values.npy is missing" in problem for problem in problems(root))


def test_a_signed_source_may_have_values_below_zero(root):
    assert np.load(root / tiny.NEURONS / "store" / "values.npy").min() < 0
    assert problems(root, tiny.NEURONS) == []


def test_a_folder_without_a_manifest_is_reported(root):
    (root / tiny.SAE / "source.json").unlink()
    assert any("source.json of 1-res cannot be read" in problem for problem in problems(root))
    assert any("source.json of 1-res cannot be read" in problem for problem in problems(root, tiny.SAE))


def test_what_is_not_here_is_not_found(root):
    with pytest.raises(NotFound, match="tiny has no source"):
        problems(root, "tiny/9-res")
    assert Workbench(Settings(data=root / "none", demo=None)).check() == ()


@pytest.mark.parametrize("name", ["features.arrow", "examples.arrow"])
def test_a_damaged_source_is_not_shown(root, name):
    """The reading path, where the structure is broken: a message that says what to do."""
    column = {"features.arrow": "near_cosine", "examples.arrow": "shown_size"}[name]
    arrow(name, column, lambda x: x[1:])(root)
    with pytest.raises(BadData, match="Build it again"):
        for index in range(64):
            Workbench(Settings(data=root, demo=None)).feature(f"{tiny.SAE}/{index}")


# -- the command line --------------------------------------------------------------------------------------------------


@pytest.fixture
def run(capfdbinary, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", "")

    def go(root, *arguments):
        capfdbinary.readouterr()
        status = cli.main(["check", *arguments, "--data", str(root)])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return go


def test_the_command_says_what_is_whole_and_what_is_not(run, root):
    status, out, _ = run(root)
    assert status == 0 and out.count(" ok ") == 3
    assert json.loads(run(root, "--json")[1])["ok"] is True
    with (root / tiny.SAE / "store" / "values.npy").open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"\xff")
    status, out, _ = run(root)
    assert status == 1 and "damaged" in out
    assert "tiny/1-res: store/values.npy is not what the build wrote: its checksum differs" in out
    status, out, _ = run(root, "--json")
    answer = json.loads(out)
    assert status == 1 and answer["ok"] is False
    assert [report["ok"] for report in answer["reports"]] == [True, True, False]
    assert run(root, tiny.NEURONS)[0] == 0, "the other source is whole"


@pytest.mark.parametrize("name", ["nonsense", "tiny/9-res", "../../etc"])
def test_a_wrong_name_is_status_2(run, root, name):
    status, out, err = run(root, name)
    assert status == 2 and out == "" and err.startswith("error: ") and err.count("\n") == 1


def test_checking_imports_no_torch(tiny_root):
    code = """
import sys
from core.__main__ import main
assert main(["check"]) == 0
heavy = {"torch", "transformers", "sae_lens", "streamlit"} & set(sys.modules)
assert not heavy, heavy
"""
    python(code, FEATURESCOPE_DATA=str(tiny_root), FEATURESCOPE_DEMO="")
