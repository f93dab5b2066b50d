"""Jobs as folders: every state follows from what lies on disk, whoever looks, whatever was killed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from core.bring import worker
from core.bring.progress import Written, read, write, written
from core.bring.records import Place, Plan, Texts
from core.bring.shelf import Shelf
from core.errors import BadInput, Conflict, NotAvailable, NotFound
from core.settings import Settings
from core.workbench import Workbench
from tests.core.test_build_killed import files

ROOT = Path(__file__).parents[3]


@contextmanager
def holding(path: Path):
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def folder(bench, job):
    return bench.bring.shelf.get(job.id)


# -- what is found and planned -----------------------------------------------------------------------------------------


def test_a_job_is_what_was_found_with_a_plan(bench, job, data):
    assert (job.state, job.by, job.look.hook, job.look.width) == ("found", "ada", "blocks.1.hook_resid_pre", 64)
    assert job.plan.source_id == "1-res-mirror" and job.plan.context == 48, "what the SAE was trained on"
    config = yaml.safe_load(job.config)
    assert config["model"] == {"id": "pocket", "path": str(data / "incoming" / "pocket")}
    assert config["sources"] == [{"id": "1-res-mirror", "sae": {"path": str(data / "incoming" / "mirror")}}]
    again = Workbench(Settings(data=data, demo=None)).bring
    assert again.job(job.id) == job and list(again.jobs()) == [job], "another server finds the same"


def test_a_plan_that_cannot_be_changes_nothing(bench, job, plan):
    for wrong, word in (
        ({"source_id": "res"}, "source id"), ({"prompts": 0}, "prompts"), ({"context": 1}, "tokens"),
        ({"texts": Texts(what="hub")}, "data set"), ({"texts": Texts(what="upload")}, "text file"),
        ({"model": "/etc"}, "incoming"),
    ):  # fmt: skip
        with pytest.raises(Exception, match=word):
            bench.bring.change(job.id, Plan(**{"model": plan.model, "prompts": 60} | wrong))
        assert bench.bring.job(job.id) == job
    changed = bench.bring.change(job.id, Plan(model=plan.model, source_id="1-other__b", prompts=7, context=16))
    assert yaml.safe_load(changed.config)["prompts"] == 7 and changed.plan.source_id == "1-other__b"


def test_what_is_missing_is_asked_for(bench, data):
    config = json.loads((data / "incoming" / "mirror" / "cfg.json").read_text())
    config["metadata"] = {k: v for k, v in config["metadata"].items() if k not in ("model_name", "hook_name")}
    (data / "incoming" / "mirror" / "cfg.json").unlink()
    (data / "incoming" / "mirror" / "cfg.json").write_text(json.dumps(config))
    job = bench.bring.begin(Place(where="folder", path="mirror"))
    assert job.config == "" and job.look.model is None and not job.look.hook
    with pytest.raises(NotAvailable, match="Complete the plan"):
        bench.bring.go(job.id, "build")
    model = str(data / "incoming" / "pocket")
    with pytest.raises(BadInput, match="hook"):
        bench.bring.change(job.id, Plan(model=model))
    job = bench.bring.change(job.id, Plan(model=model, hook="blocks.0.hook_resid_post", source_id="0-mine"))
    assert yaml.safe_load(job.config)["sources"][0]["sae"]["hook"] == "blocks.0.hook_resid_post"


def test_an_id_that_is_taken_steps_aside(bench, job, plan, monkeypatch):
    key = type("S", (), {"key": type("K", (), {"source_id": "1-res-mirror"})})
    monkeypatch.setattr(Workbench, "sources", lambda self, **_: [key])
    other = bench.bring.begin(Place(where="folder", path="mirror"), plan)
    assert other.plan.source_id == "1-res-mirror__2"


# -- states ------------------------------------------------------------------------------------------------------------


def test_a_step_that_is_wanted_waits_for_a_worker_and_then_was_interrupted(bench, job, idle):
    assert bench.bring.go(job.id, "check").state == "waiting" and idle == [bench.settings.data]
    with pytest.raises(Conflict, match="at work"):
        bench.bring.go(job.id, "build")
    place = folder(bench, job)
    write(place.path / "wanted.json", {"step": "check", "at": time.time_ns() - int(60e9)})
    assert bench.bring.job(job.id).state == "interrupted", "nobody took it up for a minute"
    with holding(bench.bring.shelf.folder / ".worker"):
        assert bench.bring.job(job.id).state == "waiting", "a worker is there, with another job"
        with holding(place.path / "lock"):
            assert bench.bring.job(job.id).state == "checking"
            assert bench.bring.cancel(job.id).state == "cancelling"
    assert bench.bring.job(job.id).state == "cancelled"
    assert bench.bring.go(job.id, "build").state == "waiting", "it may begin again"


def test_the_queue_is_in_the_order_of_wishes(bench, job, plan):
    others = [bench.bring.begin(Place(where="folder", path="mirror"), plan) for _ in range(2)]
    for one in (others[1], job, others[0]):
        bench.bring.go(one.id, "build")
    assert [f.id for f in bench.bring.shelf.queue()] == [others[1].id, job.id, others[0].id]
    assert [bench.bring.job(one.id).before for one in (others[1], job, others[0])] == [0, 1, 2]
    bench.bring.pause(others[1].id)
    assert bench.bring.job(others[1].id).state == "paused" and bench.bring.job(job.id).before == 0
    bench.bring.resume(others[1].id)
    assert bench.bring.job(others[1].id).before == 2, "at the end again"


def test_progress_and_failure_are_read_from_the_file(bench, job):
    bench.bring.go(job.id, "build")
    place = folder(bench, job)
    step, at = place.wanted()
    running = {"for": at, "state": "running", "what": "running the model", "done": 5, "of": 20, "rate": 2.5, "at": 1}
    with holding(place.path / "lock"):
        write(place.progress(step), running)
        now = bench.bring.job(job.id)
        assert (now.state, now.progress.part, now.progress.left) == ("building", 0.25, 6.0)
        place.progress(step).write_text("{half")
        assert bench.bring.job(job.id).state == "building", "a damaged file is no end of it"
    write(place.progress(step), {"for": at, "state": "failed", "message": "no <b>", "at": 1})
    assert (bench.bring.job(job.id).state, bench.bring.job(job.id).message) == ("failed", "no <b>")
    write(place.progress(step), {"for": at - 1, "state": "done", "at": 1})
    assert bench.bring.job(job.id).state == "waiting", "that was an earlier wish"


def test_what_is_at_work_or_done_is_left_alone(bench, job):
    place = folder(bench, job)
    bench.bring.go(job.id, "build")
    with holding(place.path / "lock"):
        for refused in (lambda: bench.bring.forget(job.id), lambda: bench.bring.change(job.id, Plan())):
            with pytest.raises(Conflict, match="at work"):
                refused()
    write(place.progress("build"), {"for": place.wanted()[1], "state": "done", "answer": {"built": ["a/1-b"]}, "at": 1})
    assert (bench.bring.job(job.id).state, bench.bring.job(job.id).sources) == ("done", ("a/1-b",))
    for refused in (bench.bring.pause, bench.bring.cancel, bench.bring.resume):
        with pytest.raises(Conflict, match="done"):
            refused(job.id)
    bench.bring.forget(job.id)
    with pytest.raises(NotFound):
        bench.bring.job(job.id)


@pytest.mark.parametrize("id", ["", "..", "../..", "20260101-000000-00000000", "a/b", "\0"])
def test_an_id_is_no_path(bench, id):
    with pytest.raises(NotFound):
        bench.bring.job(id)


def test_a_damaged_job_is_left_out_of_the_list(bench, job):
    (folder(bench, job).path / "job.json").write_text('{"made": 1}')
    assert list(bench.bring.jobs()) == []


# -- the file of progress ----------------------------------------------------------------------------------------------


def test_a_file_says_how_far_it_is_and_what_came_of_it(tmp_path):
    path = tmp_path / "build.json"
    write(path, {"for": 7, "step": "build", "state": "running"})
    told = []
    with written(path, lambda *said: told.append(said)) as progress:
        progress("reading", 0, 10)
        assert read(path) | {"what": "reading", "done": 0, "of": 10, "for": 7, "state": "running"} == read(path)
        progress("reading", 10, 10)
        assert read(path)["done"] == 10
        progress.answer = {"built": ["x"]}
    assert told == [("reading", 0, 10), ("reading", 10, 10)]
    assert (read(path)["state"], read(path)["answer"], read(path)["for"]) == ("done", {"built": ["x"]}, 7)


@pytest.mark.parametrize(
    ("error", "state", "says"),
    [
        (NotAvailable("no room"), "failed", "no room"), (ZeroDivisionError(), "failed", "log"),
        (KeyboardInterrupt(), "stopped", ""),
    ],
)  # fmt: skip
def test_its_end_stands_in_the_file(tmp_path, error, state, says):
    with pytest.raises(type(error)), written(tmp_path / "x.json", lambda *_: None):
        raise error
    assert read(tmp_path / "x.json")["state"] == state and says in read(tmp_path / "x.json").get("message", "")


def test_a_stop_file_ends_the_work_at_its_next_step(tmp_path):
    one = Written(tmp_path / "x.json", lambda *_: None)
    one("a", 0, 2)
    write(tmp_path / "stop.json", {"how": "pause"})
    with pytest.raises(KeyboardInterrupt):
        one("b", 1, 2)
    Written(None, lambda *_: None)("b", 1, 2)


# -- the worker --------------------------------------------------------------------------------------------------------


def test_secrets_stay_out_of_a_step():
    own = {"SUPABASE_SECRET_KEY": "s", "FEATURESCOPE_LLM_KEY": "k", "FEATURESCOPE_ENGINE_KEY": "e"}
    own |= {"HF_TOKEN": "t", "PATH": "p"}
    assert worker.environment(own) == {"HF_TOKEN": "t", "PATH": "p"}


def test_a_second_worker_leaves(bench, job):
    bench.bring.go(job.id, "build")
    with holding(bench.bring.shelf.folder / ".worker"):
        worker.work(bench.settings.data, patience=0.1)
    assert bench.bring.shelf.queue(), "what is wanted still is"


@pytest.fixture
def stub(monkeypatch, tmp_path):
    """A worker whose steps run a few lines of Python instead of the command line."""

    def use(code: str) -> None:
        path = tmp_path / "step.py"
        path.write_text("import json, os, signal, sys, time\npath = sys.argv[-1]\n" + code)
        monkeypatch.setattr(worker, "PROGRAM", (str(path),))

    return use


def test_steps_are_done_one_after_another_with_the_command_that_a_person_would_write(bench, job, plan, stub, tmp_path):
    stub(
        "log = open(os.path.join(os.path.dirname(sys.argv[0]), 'order'), 'a')\n"
        "log.write(' '.join(sys.argv[1:]) + '\\n'); log.close()\n"
        "now = json.load(open(path)) | {'state': 'done', 'answer': {'built': ['m/1-s']}, 'at': 1}\n"
        "json.dump(now, open(path, 'w'))\n"
    )
    other = bench.bring.begin(Place(where="folder", path="mirror"), plan)
    for one in (other, job):
        bench.bring.go(one.id, "build")
    worker.work(bench.settings.data)
    assert [bench.bring.job(one.id).state for one in (job, other)] == ["done", "done"]
    lines = (tmp_path / "order").read_text().splitlines()
    assert [other.id in lines[0], job.id in lines[1]] == [True, True]
    place = folder(bench, other)
    said = ["build", place.config, "--data", bench.settings.data, "--progress", place.progress("build")]
    assert lines[0] == " ".join(map(str, said))


@pytest.mark.parametrize(
    ("code", "word"), [("os.kill(os.getpid(), signal.SIGKILL)", "memory"), ("sys.exit(3)", "status 3")]
)
def test_a_step_that_dies_without_a_word_has_failed_and_may_go_on(bench, job, stub, code, word):
    stub(code)
    bench.bring.go(job.id, "build")
    worker.work(bench.settings.data)
    now = bench.bring.job(job.id)
    assert now.state == "failed" and word in now.message
    assert bench.bring.resume(job.id).state == "waiting"


def test_a_step_that_does_not_listen_is_ended_all_the_same(bench, job, stub, monkeypatch):
    monkeypatch.setattr(worker, "HARDER", ((0.0, signal.SIGINT), (0.2, signal.SIGTERM), (0.4, signal.SIGKILL)))
    stub("signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
         "open(path + '.deaf', 'w').close(); time.sleep(60)")  # fmt: skip
    bench.bring.go(job.id, "build")
    at_work = threading.Thread(target=worker.work, args=(bench.settings.data,))
    at_work.start()
    until(lambda: folder(bench, job).path.joinpath("build.json.deaf").exists())
    assert bench.bring.pause(job.id).state == "pausing"
    at_work.join(30)
    assert bench.bring.job(job.id).state == "paused"


def until(true, seconds: float = 240.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def test_killed_restarted_paused_and_resumed_it_ends_with_the_same_bytes(bench, job, data, monkeypatch, tmp_path):
    """Worker and build killed in the middle of the pass; another worker; paused in the middle; gone on with."""
    from core.build import tiles

    bring, place = bench.bring, folder(bench, job)
    monkeypatch.setattr(worker, "PROGRAM", ("-m", "tests.core.bring.paced"))
    start = (
        "import sys; from pathlib import Path; from core.bring import worker\n"
        "worker.PROGRAM = ('-m', 'tests.core.bring.paced'); worker.work(Path(sys.argv[1]))"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}

    def middle():
        told = bring.job(job.id).progress
        return told is not None and told.what == "running the model" and 0 < told.done < told.of

    bring.go(job.id, "build")
    command = [sys.executable, "-c", start, str(data)]
    first = subprocess.Popen(command, cwd=ROOT, env=environment, start_new_session=True)
    until(middle)
    first.kill()
    first.wait()
    assert bring.job(job.id).state == "building", "its worker is gone, and it goes on"
    os.kill(read(place.progress("build"))["pid"], signal.SIGKILL)
    until(lambda: not place.alive)
    write(place.path / "wanted.json", {"step": "build", "at": place.wanted()[1]})
    reached = read(place.progress("build"))["done"]
    monkeypatch.setattr("core.bring.shelf.STARTING", 0.0)
    assert bring.job(job.id).state == "interrupted" and not list(data.glob("pocket/1-res-mirror"))

    bring.resume(job.id)
    second = threading.Thread(target=worker.work, args=(data,))
    second.start()
    until(lambda: middle() and bring.job(job.id).progress.done > reached)
    bring.pause(job.id)
    second.join(60)
    assert bring.job(job.id).state == "paused" and list(data.glob("pocket/.1-res-mirror.work-*/chunk-*"))

    bring.resume(job.id)
    worker.work(data)
    assert bring.job(job.id).sources == ("pocket/1-res-mirror",), bring.log(job.id)

    monkeypatch.setattr(tiles, "TOKENS", 96)
    other = Workbench(Settings(data=tmp_path / "plain", demo=None))
    other.build(place.config)
    assert without_place(files(data / "pocket")) == without_place(files(tmp_path / "plain" / "pocket"))
    assert json.loads((data / "pocket/1-res-mirror/source.json").read_text())["weights"]["path"] == "incoming/mirror"
    assert bench.feature("pocket/1-res-mirror/3").maximum > 0


def without_place(found: dict[str, str]) -> dict[str, str]:
    """Manifests name the weights by their path from the root, which is another one."""
    return {name: mark for name, mark in found.items() if not name.endswith(("source.json", "model.json"))}


def test_cancelling_removes_what_was_unfinished_and_nothing_else(bench, job, data):
    left = data / "pocket" / ".1-res-mirror.work-abc"
    (left / "chunk-00000").mkdir(parents=True)
    (data / "pocket" / ".1-res-mirror.lock").touch()
    (data / "pocket" / "1-res-mirror").mkdir()
    (data / "pocket" / ".1-other.work-abc").mkdir()
    bench.bring.go(job.id, "build")
    bench.bring.cancel(job.id)
    assert not left.exists() and (data / "pocket" / "1-res-mirror").exists()
    assert (data / "pocket" / ".1-other.work-abc").exists()
    assert Shelf(data).record(job.id).state == "cancelled"
