"""`python -m core redteam`: the exit status is the verdict; the JSON is the API's; a key never comes from the line."""

from __future__ import annotations

import json

import pytest

from core import __main__ as cli
from core.explain.meaning import embedder as embedders
from core.workbench import Workbench
from tests.core.explain.redteam.conftest import KEY, Embedder, firing
from tests.openai_server import KEY as SECRET
from tests.openai_server import OpenAIServer

TEXTS = ["--texts", "24"]


@pytest.fixture
def run(capfdbinary, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", str(tiny_root))
    monkeypatch.setattr(embedders, "Local", Embedder)

    def go(*arguments):
        capfdbinary.readouterr()
        status = cli.main(["redteam", *arguments, "--data", str(tmp_path / "own")])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return go


@pytest.mark.parametrize(
    ("said", "status", "line"),
    [
        ("fires on capital, not on contractor", 0, "It holds on these texts: it fires on"),
        ("fires on Nebuchadnezzar", 1, "It does not hold: it fires on 0 of"),
        ("words about capitals", 1, "Nothing can be said"),
    ],
)  # fmt: skip
def test_the_status_is_the_verdict(run, bench, monkeypatch, said, status, line):
    test = firing(bench.feature(KEY).maximum, {"capital": 1.0})
    monkeypatch.setattr(Workbench, "test", lambda self, key, texts, *, tell=None: test(key, texts))
    found, out, _ = run(KEY, said, *TEXTS)
    assert found == status and out.splitlines()[-1].startswith(line) and "read as" in out


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ([KEY, "not red"], "no word"), (["tiny/1-res/99", "red"], "0 to 63"), ([KEY, "red", "--share", "2"], "below 1"),
        ([KEY, "red", "--makers", "x"], "no maker"), ([KEY, "red", "--estimate"], "Name a language model"),
    ],
)  # fmt: skip
def test_what_cannot_be_tested_is_two_and_a_line(run, arguments, why):
    status, out, err = run(*arguments)
    assert status == 2 and not out and why in err and len(err.strip().splitlines()) == 1


def test_the_json_is_alone_and_a_model_may_write(run, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_LLM_KEY", SECRET)
    with OpenAIServer('{"fires": ["The capital."], "silent": ["A lamp."]}') as model:
        monkeypatch.setenv("FEATURESCOPE_LLM_URL", model.url)
        status, out, _ = run(KEY, "fires on capital", "--model", "m", "--estimate", "--json")
        assert status == 0 and json.loads(out)["asks"] == 4 and not model.asked
        _, out, err = run(KEY, "fires on capital", "--model", "m", "--json", *TEXTS)
        told = json.loads(out)
        assert told["writerModel"] == "m" and "model" in [one["name"] for one in told["makers"]]
        assert SECRET not in out + err
