"""The command line: tables for a person, JSON alone for a program, one line and status 2 for an error."""

from __future__ import annotations

import io
import json
import shutil
import time
from dataclasses import replace

import pytest
from starlette.testclient import TestClient

from api import server
from core import __main__ as cli
from core.interchange import neuronpedia
from core.terminal import Bar, table, visible
from core.workbench import Workbench
from tests import tiny
from tests.live import python


@pytest.fixture
def run(capfdbinary, tiny_root, monkeypatch):
    """Runs one verb; gives (status, standard output, standard error)."""
    monkeypatch.setenv("FEATURESCOPE_DEMO", "")

    def go(*arguments, data=tiny_root):
        capfdbinary.readouterr()
        status = cli.main([*arguments, "--data", str(data)])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return go


def test_sources(run):
    status, out, _ = run("sources")
    assert status == 0
    assert "tiny/1-res" in out and "blocks.1.hook_resid_pre" in out
    status, out, _ = run("sources", "--json")
    assert [source["sourceId"] for source in json.loads(out)["sources"]] == ["0-neurons", "1-res"]


def test_sources_of_an_empty_root(run, tmp_path):
    status, out, _ = run("sources", data=tmp_path)
    assert status == 0 and "no sources" in out
    status, out, _ = run("sources", "--json", data=tmp_path)
    assert json.loads(out) == {"sources": []}


def test_a_feature_is_the_apis(run, bench, record):
    status, out, _ = run("feature", f"{tiny.SAE}/3")
    assert status == 0
    assert record.label.split(" · ")[0] in out
    _, out, _ = run("feature", f"{tiny.SAE}/3", "--json")
    assert json.loads(out) == json.loads(json.dumps(neuronpedia.feature(record, said=bench.words.of(record.key))))


def test_where_a_source_writes_and_a_decoder_that_writes_nowhere(run, record, bench, monkeypatch):
    _, out, _ = run("feature", f"{tiny.SAE}/3")
    assert "promotes" in out and "coordinates" in out and "neurons" not in out
    source = replace(record.source, hook_out="blocks.1.mlp.hook_in")
    bare = replace(record, source=source, top_logits=(), bottom_logits=(), logit_histogram=None)
    monkeypatch.setattr(Workbench, "feature", lambda *_: bare)
    monkeypatch.setattr(Workbench, "sources", lambda *_: [source])
    _, out, _ = run("feature", f"{tiny.SAE}/3")
    assert "does not write to the residual stream" in out and "promotes" not in out
    assert "blocks.1.hook_resid_pre → blocks.1.mlp.hook_in" in out
    assert "→ blocks.1.mlp.hook_in" in run("sources")[1]
    assert json.loads(run("sources", "--json")[1])["sources"][0]["hookOut"] == "blocks.1.mlp.hook_in"


def test_a_dead_feature(run):
    status, out, _ = run("feature", f"{tiny.SAE}/7")
    assert status == 0 and "No counted token activates it" in out


def test_test(run):
    status, out, _ = run("test", f"{tiny.SAE}/3", "It’s Paris 🙂\n")
    assert status == 0 and "↵" in out
    _, out, _ = run("test", f"{tiny.SAE}/3", "one", "--json")
    assert "".join(json.loads(out)["tokens"]) == "one"
    _, out, _ = run("test", f"{tiny.SAE}/3", "one", "two", "--json")
    assert len(json.loads(out)) == 2


def test_a_search_with_json_is_the_apis(run, bench):
    text = "It’s Paris 🙂"
    client = TestClient(server.create(bench))

    def api(**more):
        return client.post("/search-all", json={"modelId": "tiny", "text": text} | more).json()

    status, out, _ = run("search", "tiny", text, "--json")
    assert status == 0 and json.loads(out) == api()
    options = ("--sources", "1-res,tiny/0-neurons", "--top", "7", "--tokens", "3,2", "--sort", "fraction")
    _, out, _ = run("search", "tiny", text, *options, "--density", "0.5", "--json")
    more = {"numResults": 7, "sortIndexes": [2, 3], "measure": "fraction", "densityThreshold": 0.5}
    assert json.loads(out) == api(selectedLayers=["1-res", "0-neurons"], **more)


def test_a_search_for_a_person(run, bench):
    text = "It’s\nParis 🙂"
    status, out, _ = run("search", "tiny", text, "--top", "5")
    assert status == 0 and "by surprise" in out and "“↵”" in out
    found = bench.search("tiny", text, top=5)
    assert [line.split()[0] for line in out.splitlines() if line.startswith("tiny/")] == [
        str(h.key) for h in found.hits
    ]
    assert "1-res" in out.rsplit("\n\n", 1)[1], "how each source takes part"
    _, out, _ = run("search", "tiny", text, "--tokens", "1, 2", "--sort", "value", "--sources", "1-res")
    assert "by value, summed over tokens 1, 2" in out and "0-neurons" not in out
    lines = [line.split()[0] for line in out.splitlines() if line.startswith("tiny/")]
    summed = bench.search("tiny", text, sources=[tiny.SAE], measure="value", combine="sum", positions=[1, 2])
    assert lines == [str(h.key) for h in summed.hits]


def test_a_search_says_what_it_left_out(run, tiny_root, tiny_config, tmp_path):
    (tmp_path / "model").symlink_to(tiny_root.parent / "model")
    shutil.copytree(tiny_root, tmp_path / "data")  # without the SAE's weights beside it
    status, out, _ = run("search", "tiny", "x", data=tmp_path / "data")
    assert status == 0 and "tiny/1-res is left out: " in out and "tiny/0-neurons/" in out
    _, out, _ = run("search", "tiny", "x", "--json", data=tmp_path / "data")
    (left,) = json.loads(out)["leftOut"]
    assert left["sourceId"] == "1-res" and "not at" in left["why"]
    status, out, err = run("search", "tiny", "x", "--sources", "1-res", data=tmp_path / "data")
    assert status == 2 and not out and "not at" in err


def test_the_next_process_needs_no_pass(tiny_root, tmp_path):
    """What one run read is on disk when it ends, however slow the disk is, and the next one finds it there."""
    code = """
import sys, time
from core.models import cache
from core.sources.encode import Encoder
from core.techniques import reading
def none(*given, **more):
    raise AssertionError("it is computed again")
write, cache.LAST = cache.Cache._write, 120.0
def slowly(self, *given):
    time.sleep(1.5)
    write(self, *given)
cache.Cache._write = slowly
if sys.argv[1:] == ["again"]:
    reading.capture = Encoder.__call__ = none
from core.__main__ import main
sys.exit(main(["search", "tiny", "a text that no test has read", "--json"]))
"""
    settings = {"FEATURESCOPE_DATA": str(tmp_path), "FEATURESCOPE_DEMO": str(tiny_root)}
    first = python(code, **settings)
    assert first.strip() and python(code, "again", **settings) == first
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.mark.parametrize("options", [("--tokens", "1,x"), ("--sort", "loudness"), ("--top", "many")])
def test_an_option_that_cannot_be_read(run, options):
    with pytest.raises(SystemExit) as stopped:
        run("search", "tiny", "x", *options)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("search", "other", "x"),
        ("search", "tiny", " "),
        ("search", "tiny", "x", "--sources", "9-res"),
        ("search", "tiny", "x", "--sources", "nonsense"),
        ("search", "tiny", "x", "--tokens", "2"),
        ("search", "tiny", "x", "--top", "0"),
        ("search", "tiny", "word " * 70),
        ("feature", "nonsense"),
        ("feature", "tiny/1-res/64"),
        ("feature", "tiny/8-res/1"),
        ("test", "tiny/1-res/3", "a" * 20_000),
        ("build", "missing.yaml"),
        ("eval", "tiny"),
    ],
)
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_errors_are_one_line(run, arguments, form):
    status, out, err = run(*arguments, *form)
    assert status == 2
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1


def test_an_unknown_verb_is_refused():
    with pytest.raises(SystemExit) as stopped:
        cli.main(["nonsense"])
    assert stopped.value.code == 2


def test_an_interrupt_is_130(run, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(Workbench, "build", interrupted)
    status, out, err = run("build", "any.yaml")
    assert status == 130 and out == "" and "the same command goes on from there" in err


def test_build_says_what_it_did_and_skips_what_is_there(run, tiny_config, tmp_path):
    status, out, err = run("build", str(tiny_config), "--json", data=tmp_path)
    assert status == 0
    answer = json.loads(out)
    assert [source["sourceId"] for source in answer["sources"]] == ["1-res", "0-neurons"]
    assert answer["skipped"] == []
    assert "writing 1-res" in err
    _, out, _ = run("build", str(tiny_config), data=tmp_path)
    assert out.count("skipped") == 2


def test_reading_imports_no_torch(tiny_root):
    code = f"""
import sys
from core.__main__ import main
assert main(["sources"]) == 0 and main(["feature", "{tiny.SAE}/3", "--json"]) == 0
heavy = {{"torch", "transformers", "sae_lens", "streamlit", "gradio", "fastapi"}} & set(sys.modules)
assert not heavy, heavy
"""
    python(code, FEATURESCOPE_DATA=str(tiny_root), FEATURESCOPE_DEMO="")


def test_a_corpus_cannot_steer_the_terminal():
    assert visible("a\nb\x1b[31m\r") == "a↵b·[31m·"
    assert "\x1b" not in table(("a",), [("\x1b[2J",)])


@pytest.mark.parametrize("columns", [30, 60, 80, 200])
def test_the_bar_fits_in_the_terminal(monkeypatch, columns):
    """A line that wraps is not drawn over but piles up."""
    monkeypatch.setenv("COLUMNS", str(columns))
    out, began = io.StringIO(), time.monotonic()
    out.isatty = lambda: True
    bar = Bar(out)
    bar("running the model", 0, 123_456_789)
    monkeypatch.setattr("time.monotonic", lambda: began + 20)
    bar("running the model", 12_345_678, 123_456_789)
    bar.close()
    lines = out.getvalue().replace("\n", "").split("\r\x1b[K")
    assert all(len(line) < columns for line in lines)
    assert lines[-1].startswith("running the model  ") and "10%" in lines[-1]
    assert columns < 60 or lines[-1].endswith("3 min 00 s left")


def test_the_bar_says_rate_and_time_left(monkeypatch):
    out, began = io.StringIO(), time.monotonic()
    bar = Bar(out)
    bar("loading", 0, 1)
    bar("reading", 0, 100)
    monkeypatch.setattr("time.monotonic", lambda: began + 20)
    bar("reading", 50, 100)
    bar("reading", 100, 100)
    bar("writing", 5, 5)
    bar.close()
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["loading", "reading", "reading", "reading", "writing"]
    assert lines[0] == "loading"
    assert "50 of 100" in lines[2] and "/s" in lines[2] and "20 s left" in lines[2]
    assert lines[3].endswith("20 s in all")
