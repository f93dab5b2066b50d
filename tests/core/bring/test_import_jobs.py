"""Exports are added by page as SAEs are: looked at, imported in the background, with a report line by line."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from core.bring import worker
from core.bring.records import Place, Plan
from core.errors import BadInput, NotAvailable
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core.interchange.conftest import lines, tree, write


@pytest.fixture(scope="module")
def exported(bench_of_all, tmp_path_factory) -> Path:
    return bench_of_all.exchange.give_out(tiny.SAE, tmp_path_factory.mktemp("export")).folder.parents[2]


@pytest.fixture(scope="session")
def bench_of_all(tiny_root) -> Workbench:
    return Workbench(Settings(data=tiny_root, demo=None))


@pytest.fixture
def here(tmp_path, exported, idle) -> Workbench:
    """An empty root with an export in `incoming/`; no worker is begun."""
    shutil.copytree(exported, tmp_path / "data" / "incoming" / "theirs")
    return Workbench(Settings(data=tmp_path / "data", demo=None))


def done(bench: Workbench, id: str):
    """The job after a worker has done what is wanted."""
    worker.work(bench.settings.data)
    return bench.bring.job(id)


def test_an_export_is_found_imported_and_said(here, exported, tmp_path):
    assert list(here.bring.allowed.folders()) == [str(here.settings.data.resolve() / "incoming" / "theirs")]
    job = here.bring.begin(Place(where="folder", path="theirs"), by="ada")
    assert job.look.export.sources == (tiny.SAE,) and job.look.export.format == "neuronpedia" and job.state == "found"
    assert job.config.startswith("python -m core import ") and job.look.bytes > 10_000
    for step in ("check", "build"):
        with pytest.raises(BadInput, match="import it"):
            here.bring.go(job.id, step)
    here.bring.change(job.id, Plan(as_="mine"))
    assert here.bring.go(job.id, "import").state == "waiting"
    job = done(here, job.id)
    assert (job.state, job.sources) == ("done", ("mine/1-res",)), here.bring.log(job.id)
    (one,) = job.imported
    assert one.features == 64 and one.activations and any("new texts" in what for what in one.needs_weights)
    other = Workbench(Settings(data=tmp_path / "other", demo=None))
    other.exchange.bring_in(exported, as_="mine")
    mine, theirs = (tree(w.settings.data / "mine" / "1-res") for w in (here, other))
    differ = {name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)}
    assert differ <= {"import.json", "source.json"}, "the same files, but for where they are from"
    assert not list((here.settings.data / ".import").iterdir())


def test_what_is_wrong_is_said_line_by_line_and_may_be_left_out(here):
    batch = here.settings.data / "incoming" / "theirs" / "v1" / "tiny" / "1-res" / "activations" / "batch-0.jsonl.gz"
    rows = lines(batch)
    write(batch, [*rows[:3], '{"index": "x"}', *rows[4:]])
    ours = batch.parents[1] / "featurescope.json"
    ours.write_text(json.dumps({k: v for k, v in json.loads(ours.read_text()).items() if k != "files"}))
    job = here.bring.begin(Place(where="folder", path="theirs"))
    here.bring.go(job.id, "import")
    job = done(here, job.id)
    assert job.state == "failed" and len(job.findings) == 1
    assert "activations/batch-0.jsonl.gz line 4: index is 'x'" in job.findings[0]
    assert not here.sources()
    here.bring.change(job.id, Plan(leave_out=True))
    here.bring.go(job.id, "import")
    job = done(here, job.id)
    assert job.state == "done" and job.imported[0].left_out == 1
    assert any("line 4" in one for one in job.imported[0].findings)


def test_paused_resumed_cancelled(here):
    job = here.bring.begin(Place(where="folder", path="theirs"))
    here.bring.go(job.id, "import")
    assert here.bring.pause(job.id).state == "paused"
    assert here.bring.resume(job.id).state == "waiting"
    here.bring.pause(job.id)
    work = here.settings.data / ".import"
    assert here.bring.cancel(job.id).state == "cancelled" and not any(p.is_dir() for p in work.glob("*"))
    here.bring.go(job.id, "import")
    assert done(here, job.id).state == "done"


def archive(folder: Path, kind: str) -> io.BytesIO:
    made = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(made, "w") as zipped:
            for path in sorted(folder.rglob("*")):
                zipped.write(path, path.relative_to(folder))
    else:
        with tarfile.open(fileobj=made, mode="w:gz") as tar:
            tar.add(folder, "export")
    made.seek(0)
    return made


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "folder"])
def test_uploaded_exports(here, exported, kind):
    files = [(f"up.{kind}", archive(exported, kind))]
    if kind == "folder":
        files = [(f"up/{p.relative_to(exported)}", io.BytesIO(p.read_bytes())) for p in exported.rglob("*.json*")]
    name = here.bring.uploads.keep(files)
    job = here.bring.begin(Place(where="upload", path=name))
    assert job.look.export.sources == (tiny.SAE,)
    here.bring.go(job.id, "import")
    assert done(here, job.id).state == "done", here.bring.log(job.id)
    assert here.feature(f"{tiny.SAE}/3").groups


def test_an_archive_that_leads_out_is_refused(here):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as zipped:
        zipped.writestr("../../features/batch-0.jsonl", "{}")
    made.seek(0)
    name = here.bring.uploads.keep([("evil.zip", made)])
    with pytest.raises(Exception, match="leads out of it"):
        here.bring.begin(Place(where="upload", path=name))


def test_what_has_no_name_is_asked_for(here):
    folder = here.settings.data / "incoming" / "records" / "3"
    folder.mkdir(parents=True)
    record = {"neuron_id": {"layer_index": 3, "neuron_index": 0}, "most_positive_activation_records": [],
              "random_sample": []}  # fmt: skip
    (folder / "0.json").write_text(json.dumps(record))
    job = here.bring.begin(Place(where="folder", path="records"))
    assert not job.look.export.named and not job.config
    with pytest.raises(NotAvailable):
        here.bring.go(job.id, "import")
    with pytest.raises(BadInput, match="model/source"):
        here.bring.change(job.id, Plan())
    assert here.bring.change(job.id, Plan(as_="gpt2")).config.endswith("--as gpt2")
    for wrong in (Plan(as_="a b"), Plan(as_="gpt2", only=("nothing",))):
        with pytest.raises(BadInput):
            here.bring.change(job.id, wrong)
