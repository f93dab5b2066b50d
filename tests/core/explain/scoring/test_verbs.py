"""`python -m core score`: what is scored and what it costs are said; a second time nothing is asked or done again."""

from __future__ import annotations

import json

import pytest

from core import __main__ as cli
from core.explain.examples import Tests
from core.explain.meaning import embedder as embedders
from core.explain.scoring import score as scoring
from tests import tiny
from tests.core.explain.redteam.conftest import Embedder
from tests.core.explain.scoring.test_score import KEY_, passage
from tests.openai_server import KEY, OpenAIServer

KEY_OF_FEATURE = f"{tiny.SAE}/3"


@pytest.fixture
def run(capfdbinary, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", str(tiny_root))
    monkeypatch.setattr(embedders, "Local", Embedder)
    passages = tuple(passage(n, "positive" if n < 5 else "random") for n in range(10))
    found = Tests(key=KEY_, passages=passages, how="store", lacks=())
    monkeypatch.setattr(scoring, "to_test", lambda bench, key, **_: found)

    def go(*arguments):
        capfdbinary.readouterr()
        status = cli.main(["score", *arguments, "--data", str(tmp_path / "own")])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    return go


def test_by_the_embedder_with_a_control_and_once(run):
    status, out, _ = run(KEY_OF_FEATURE, "--scorer", "embedding", "--json")
    told = json.loads(out)
    assert status == 0 and told["done"] == 1 and told["there"] == told["failed"] == told["asks"] == 0
    (made,) = told["explanations"]
    (score,) = [one for one in made["scores"] if one["scorer"] == "embedding"]
    assert 0 <= score["low"] <= score["value"] <= score["high"] <= 1 and score["control"] is not None
    status, out, _ = run(KEY_OF_FEATURE, "--scorer", "embedding", "--json")
    again = json.loads(out)
    assert status == 0 and (again["done"], again["there"], again["explanations"]) == (1, 1, [])


def test_by_a_model_the_cost_comes_first_and_no_key_is_told(run, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_LLM_KEY", KEY)
    with OpenAIServer('{"1": 0.9, "2": 0.1, "3": 0.8, "4": 0.2, "5": 0.7}') as model:
        asked = [KEY_OF_FEATURE, "--scorer", "detection", "--model", "m", "--base-url", model.url]
        monkeypatch.setenv("FEATURESCOPE_LLM_URL", model.url)
        status, out, _ = run(*asked, "--estimate")
        assert status == 0 and "questions" in out and not model.asked
        status, out, err = run(*asked, "--no-control")
        assert status == 0 and model.asked and "1 made, 0 there before, 0 failed" in out
        assert "questions to m" in err and KEY not in out + err


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["tiny/1-res/99"], "0 to 63"), ([KEY_OF_FEATURE, "--method", "np_max-act"], "None of these features has"),
        ([KEY_OF_FEATURE, "--scorer", "detection"], "Name a language model"),
    ],
)  # fmt: skip
def test_what_cannot_be_scored_is_two_and_a_line(run, arguments, why):
    status, out, err = run(*arguments)
    assert status == 2 and not out and why in err and len(err.strip().splitlines()) == 1
