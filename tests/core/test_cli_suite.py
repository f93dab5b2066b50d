"""`python -m core suite`: the exit status is the verdict, also after the source was built anew."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core import __main__ as cli
from core.community.records import Case
from core.community.suites import draft, largest
from core.interchange import suites as files
from core.records import FeatureKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny

FEATURE = FeatureKey.parse(f"{tiny.SAE}/3")
TEXTS = ("It’s a fine day 🙂", "Paris", "Number 3")


@pytest.fixture
def run(capfdbinary, tiny_root, tmp_path, monkeypatch):
    """Runs one verb over the tiny sources; gives (status, standard output, standard error)."""
    monkeypatch.setenv("FEATURESCOPE_DEMO", str(tiny_root))

    def go(*arguments, data=tmp_path / "own"):
        capfdbinary.readouterr()
        status = cli.main([*arguments, "--data", str(data)])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return go


@pytest.fixture
def own(tiny_root, tmp_path):
    return Workbench(Settings(data=tmp_path / "own", demo=tiny_root))


@pytest.fixture
def threshold(bench) -> float:
    """Between the strongest of the texts and the others."""
    values = sorted(largest(test) for test in bench.test(FEATURE, list(TEXTS)))
    assert values[1] < values[2]
    return (values[1] + values[2]) / 2


@pytest.fixture
def good(bench, threshold):
    """A suite that passes."""
    tests = bench.test(FEATURE, list(TEXTS))
    return draft(FEATURE, "good", [Case(t.text, largest(t) > threshold) for t in tests], threshold=threshold)


@pytest.fixture
def bad(good):
    """One of which a text fails."""
    first, *others = good.cases
    return draft(FEATURE, "bad", [Case(first.text, not first.fires), *others], threshold=good.threshold)


def write(path: Path, *suites, lines=False) -> str:
    path.write_text((files.to_lines if lines else files.to_yaml)(suites), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("lines", [False, True])
def test_the_exit_status_is_the_verdict(run, good, bad, tmp_path, lines):
    passes, fails = write(tmp_path / "good.x", good, lines=lines), write(tmp_path / "bad.x", bad, lines=lines)
    status, out, _ = run("suite", "run", passes)
    assert status == 0 and "3 passed, 0 failed" in out and "FAIL" not in out
    status, out, _ = run("suite", "run", fails)
    assert status == 1 and "2 passed, 1 failed" in out
    table = [line for line in out.splitlines() if line.startswith(("FAIL", "pass"))]
    assert table[0].startswith("FAIL") and len(table) == 3, "what failed comes first"
    assert run("suite", "run", passes, fails)[0] == 1
    assert run("suite", "run", fails, passes)[0] == 1


def test_json_has_every_text(run, good, bad, tmp_path):
    status, out, _ = run("suite", "run", write(tmp_path / "both.yaml", good, bad), "--json")
    said = json.loads(out)
    assert status == 1 and said["ok"] is False
    assert [(one["name"], one["ok"], one["failed"]) for one in said["suites"]] == [("good", True, 0), ("bad", False, 1)]
    assert [one["text"] for one in said["suites"][0]["results"]] == [case.text for case in good.cases]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nothing.yaml", "no such file"),
        ("nonsense", "not the id of a test suite"),
        ("00000000-0000-4000-8000-00000000000f", "no such test suite"),
    ],
)
def test_what_cannot_be_run_is_status_2_and_the_others_are_run(run, good, tmp_path, name, says):
    status, out, err = run("suite", "run", name, write(tmp_path / "good.yaml", good))
    assert status == 2 and says in err and "3 passed" in out
    status, out, _ = run("suite", "run", name, "--json")
    assert status == 2 and says in json.loads(out)["suites"][0]["error"]


def test_a_file_that_is_none_a_feature_that_is_gone_and_a_source_without_weights(run, good, tmp_path, tiny_root):
    (tmp_path / "x.yaml").write_text("hello")
    assert run("suite", "run", str(tmp_path / "x.yaml"))[0] == 2
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
    assert run("suite", "run", str(tmp_path / "x.yaml"))[0] == 2
    gone = draft(FeatureKey("tiny", "9-none", 1), "gone", good.cases)
    status, _, err = run("suite", "run", write(tmp_path / "gone.yaml", gone))
    assert status == 2 and "no source" in err
    (tmp_path / "model").symlink_to(tiny_root.parent / "model")
    shutil.copytree(tiny_root, tmp_path / "data")  # without the SAE's weights beside it
    new = draft(FEATURE, "new", [Case("a text that no test has read", True)])
    assert run("suite", "run", write(tmp_path / "new.yaml", new), data=tmp_path / "data")[0] == 2


def test_a_text_that_cannot_be_read_fails(run, good, tmp_path):
    long = draft(FEATURE, "long", [*good.cases, Case("long " * 300, False)], threshold=good.threshold)
    status, out, _ = run("suite", "run", write(tmp_path / "long.yaml", long))
    assert status == 1 and "too long" in out and "3 passed, 1 failed" in out


def test_by_its_id_it_is_kept_and_listed(run, own, good):
    assert "no test suites" in run("suite", "list")[1]
    suites = own.community.people().suites
    id = suites.new(FEATURE, "mine", good.cases, threshold=good.threshold)
    status, out, _ = run("suite", "list", "--json")
    assert status == 0 and json.loads(out)["suites"][0]["last"] is None
    assert run("suite", "run", id, "--no-keep")[0] == 0 and not suites.runs(id)
    assert run("suite", "run", id)[0] == 0
    assert [run.passed for run in suites.runs(id)] == [3]
    _, out, _ = run("suite", "list")
    assert id in out and "3 of 3" in out
    assert json.loads(run("suite", "list", "--json")[1])["suites"][0]["last"]["passed"] == 3


def test_after_the_source_was_built_anew_the_verdict_is_another(run, tiny_config, tmp_path, monkeypatch, good):
    from safetensors.torch import load_file, save_file

    monkeypatch.setenv("FEATURESCOPE_DEMO", "")
    home, data = tmp_path / "copy", tmp_path / "copy" / "data"
    shutil.copytree(tiny_config.parent, home)
    bench = Workbench(Settings(data=data, demo=None))
    fires = [case for case in good.cases if case.fires]
    id = bench.community.people().suites.new(FEATURE, "rebuilt", fires, threshold=good.threshold)
    status, out, _ = run("suite", "run", id, data=data)
    assert status == 0
    status, out, _ = run("suite", "run", id, "--json", data=data)
    assert status == 0 and json.loads(out)["suites"][0]["changed"] is False
    before = json.loads(out)["suites"][0]["build"]
    (weights,) = (home / "sae").glob("*.safetensors")
    held = load_file(weights)
    held["b_enc"][FEATURE.index] = -1000.0
    save_file(held, weights)
    shutil.rmtree(data / "tiny" / "1-res")
    assert run("build", str(home / tiny_config.name), data=data)[0] == 0
    status, out, _ = run("suite", "run", id, "--json", data=data)
    (said,) = json.loads(out)["suites"]
    assert status == 1 and said["changed"] is True and said["build"] != before
    assert {one["value"] for one in said["results"]} == {0.0}
    status, out, _ = run("suite", "run", id, data=data)
    assert status == 1


def test_the_documented_example_passes(run, monkeypatch):
    demo = files_root() / "demo" / "data"
    if not any(demo.glob("*/*/source.json")):
        pytest.skip("The built-in demo has no data: python -m core build demo/demo.yaml")
    monkeypatch.setenv("FEATURESCOPE_DEMO", str(demo))
    example = files_root() / "demo" / "suites" / "family.yaml"
    assert f"python -m core suite run {example.relative_to(files_root())}" in (files_root() / "README.md").read_text()
    status, out, _ = run("suite", "run", str(example))
    assert status == 0 and "6 passed, 0 failed" in out


def files_root() -> Path:
    return Path(__file__).resolve().parents[2]
