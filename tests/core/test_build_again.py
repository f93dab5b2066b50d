"""Building again: what is complete and undamaged is left alone, what is stale is made anew, a killed run is unseen."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
import yaml

from core.build import run
from core.errors import NotAvailable, WorkbenchError
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny


@pytest.fixture
def place(tmp_path):
    """A folder with weights, texts and a configuration, built once."""
    tiny.model(tmp_path / "model", scale=8.0)
    tiny.sae(tmp_path / "sae")
    (tmp_path / "texts.txt").write_text(tiny.SEPARATOR.join(tiny.LINES), encoding="utf-8")
    config = {
        "model": {"id": "tiny", "path": "model"},
        "sources": [{"id": "1-res", "sae": {"path": "sae"}}, {"id": "0-neurons", "neurons": "blocks.0.mlp.hook_post"}],
        "dataset": {"path": "texts.txt"},
        "context": 16,
    }
    (tmp_path / "build.yaml").write_text(yaml.safe_dump(config))
    bench(tmp_path).build(tmp_path / "build.yaml")
    return tmp_path


def bench(place: Path) -> Workbench:
    return Workbench(Settings(data=place / "data", demo=None))


def again(place: Path, **changes) -> tuple[list[str], list[str]]:
    """(built, skipped) of another build."""
    config = yaml.safe_load((place / "build.yaml").read_text()) | changes
    (place / "again.yaml").write_text(yaml.safe_dump(config))
    report = bench(place).build(place / "again.yaml")
    return [r.key.source_id for r in report.sources], [k.source_id for k in report.skipped]


def shown(found: dict[str, str]) -> dict[str, str]:
    """Those of `files` that the catalog can see, but for the model's own manifest."""
    return {n: h for n, h in found.items() if "/." not in n and "model.json" not in n}


def living(place: Path) -> str:
    """A feature of the SAE that its texts activate."""
    return str(bench(place).living("tiny/1-res")[0])


def files(place: Path) -> dict[str, str]:
    root = place / "data"
    return {
        str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file()
    }


BOTH, NONE = ["1-res", "0-neurons"], []


def test_what_is_there_is_skipped(place):
    before = files(place)
    assert again(place) == (NONE, BOTH)
    assert files(place) == before


def test_two_builds_give_the_same_bytes(place):
    before = files(place)
    shutil.rmtree(place / "data")
    assert again(place) == (BOTH, NONE)
    assert files(place) == before


@pytest.mark.parametrize(
    "change", ["context 12", "prompts 3", "cut chunks", "shuffle true", "compact true", "store false"]
)
def test_another_parameter(place, change):
    name, value = change.split()
    changes = {name: yaml.safe_load(value)}
    assert again(place, **changes) == (BOTH, NONE)
    assert again(place, **changes) == (NONE, BOTH)


def test_other_texts(place):
    with (place / "texts.txt").open("a") as file:
        file.write(tiny.SEPARATOR + "One more.")
    assert again(place) == (BOTH, NONE)


def test_another_sae(place):
    shutil.rmtree(place / "sae")
    tiny.sae(place / "sae", seed=9)
    assert again(place) == (["1-res"], ["0-neurons"])


def test_another_model_makes_every_source_stale(place):
    shutil.rmtree(place / "model")
    tiny.model(place / "model", scale=8.0, seed=9)
    assert again(place) == (BOTH, NONE)


@pytest.mark.parametrize(
    "name", ["features.arrow", "examples.arrow", "prompts.arrow", "store/values.npy", "source.json"]
)
@pytest.mark.parametrize("how", ["missing", "short"])
def test_a_damaged_source_is_made_anew(place, name, how):
    before = files(place)
    path = place / "data" / "tiny" / "1-res" / name
    content = path.read_bytes()
    path.unlink()
    if how == "short":
        path.write_bytes(content[:-9])
    assert again(place) == (["1-res"], ["0-neurons"])
    assert files(place) == before


def test_what_was_derived_stays_and_does_not_count(place):
    derived = place / "data" / "tiny" / "1-res" / "derived" / "eval-1"
    derived.mkdir(parents=True)
    (derived / "note.json").write_text("{}")
    assert again(place) == (NONE, BOTH)
    assert again(place, context=12) == (BOTH, NONE)
    assert (derived / "note.json").read_text() == "{}"


def test_an_error_half_way_keeps_the_old_and_the_next_build_goes_on(place, monkeypatch):
    before = files(place)
    written = []
    write = run.write_source_folder

    def fails(finished, tell):
        if written:
            raise OSError(28, "No space left on device")
        written.append(finished.key)
        return write(finished, tell)

    monkeypatch.setattr(run, "write_source_folder", fails)
    with pytest.raises(NotAvailable, match="No space"):
        again(place, context=12)
    monkeypatch.undo()
    left, there = shown(files(place)), shown(before)
    assert {n: h for n, h in left.items() if "0-neurons" in n} == {n: h for n, h in there.items() if "0-neurons" in n}
    assert again(place, context=12) == (["0-neurons"], ["1-res"])


def test_killed_while_it_writes(place):
    """SIGKILL in the middle of a source: the old one stands, complete; the next build cleans up."""
    before = files(place)
    code = f"""
    import os, signal
    from pathlib import Path
    from core.build import write
    from core.settings import Settings
    from core.workbench import Workbench
    write._write_prompts = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    config = Path({str(place)!r}) / "again.yaml"
    config.write_text((config.parent / "build.yaml").read_text() + "prompts: 4\\n")
    Workbench(Settings(data=config.parent / "data", demo=None)).build(config)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], cwd=Path(__file__).parents[2], check=False, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    left = files(place)
    assert any(".1-res.writing" in n for n in left)
    assert shown(left) == shown(before)
    assert bench(place).feature(living(place)) and len(bench(place).sources()) == 2
    assert again(place, prompts=4) == (BOTH, NONE)
    assert not any(".writing" in n for n in files(place))


def test_an_interrupt_while_it_runs_leaves_the_old(place):
    before = files(place)

    def interrupt(what, done, of):
        if "running" in what:
            raise KeyboardInterrupt

    (place / "again.yaml").write_text((place / "build.yaml").read_text() + "prompts: 4\n")
    with pytest.raises(KeyboardInterrupt):
        bench(place).build(place / "again.yaml", interrupt)
    assert files(place) == before


@pytest.mark.parametrize("root", ["/proc/featurescope", "texts.txt/below", "texts.txt"])
def test_a_root_that_cannot_be_written_is_said_before_the_pass(place, root, monkeypatch):
    monkeypatch.setattr(run, "_pass", lambda *_: pytest.fail("the model was run"))
    with pytest.raises(NotAvailable, match="Cannot write"):
        Workbench(Settings(data=place / root, demo=None)).build(place / "build.yaml")


def test_readers_see_the_old_or_the_new_and_never_a_traceback(place):
    """Pages are read while the source is built again."""
    reader, stop, seen, feature = bench(place), threading.Event(), [], living(place)

    def read():
        while not stop.is_set():
            began = time.monotonic()
            try:
                record = reader.feature(feature)
                seen.append(sum(len(e.tokens) for group in record.groups for e in group.examples))
            except WorkbenchError as error:
                seen.append(type(error).__name__)
            except BaseException as error:
                seen.append(error)
                raise
            spent[isinstance(seen[-1], int)] += time.monotonic() - began

    spent = {True: 0.0, False: 0.0}  # in reads that gave the feature and in others, which take much less time each
    thread = threading.Thread(target=read)
    thread.start()
    for context in (12, 10, 12, 10):
        again(place, context=context)
    stop.set()
    thread.join()
    assert all(isinstance(s, int | str) for s in seen), seen[-1]
    assert spent[True] > 0.8 * sum(spent.values())


def test_where_the_weights_are_may_move_with_the_root(place):
    moved = place / "elsewhere"
    moved.mkdir()
    for name in ("model", "sae", "data"):
        os.rename(place / name, moved / name)
    (record,) = Workbench(Settings(data=moved / "data", demo=None)).test("tiny/1-res/3", "Paris")
    assert record.tokens


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_another_configuration_of_the_same_weights_makes_every_source_stale(place, name):
    """What the weights compute, and which tokens count, hangs on more than the weights."""
    path = place / "model" / name
    changes = {"layer_norm_epsilon": 0.1} if name == "config.json" else {"additional_special_tokens": ["!"]}
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert again(place) == (BOTH, NONE)
    assert again(place) == (NONE, BOTH)


def test_a_model_that_was_only_moved_is_the_same(place):
    os.rename(place / "model", place / "elsewhere")
    assert again(place, model={"id": "tiny", "path": "elsewhere"}) == (NONE, BOTH)
