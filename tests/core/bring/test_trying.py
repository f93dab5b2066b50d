"""A few prompts before a build: the figures are evaluation's, and a verdict says in words what they come to."""

from __future__ import annotations

import json

import pytest

from core import __main__
from core.bring.records import Published
from core.bring.trying import judge
from core.errors import BadConfig
from core.records import Figures

GOOD = Figures(tokens=2000, l0=60.0, explained_variance=0.9, dead_fraction=0.1, ce_loss=3.0, ce_loss_spliced=3.2,
               ce_loss_zero=9.0, ce_loss_score=0.97, dataset="", made="2026-11-22")  # fmt: skip
SAID = Published(l0=64.0, explained_variance=0.92, ce_loss_score=0.98, by="its file")


def figures(**other):
    return Figures(**{name: getattr(GOOD, name) for name in GOOD.__slots__} | other)


@pytest.mark.parametrize(
    ("found", "known", "verdict", "word"),
    [
        (figures(), Published(), "good", "90.0%"), (figures(), SAID, "good", "near what its file says"),
        (figures(l0=0.0), Published(), "bad", "No feature is active"),
        (figures(explained_variance=-3.0), SAID, "bad", "worse than the mean"),
        (figures(explained_variance=float("nan")), SAID, "bad", "finite"),
        (figures(ce_loss_spliced=float("inf")), SAID, "bad", "finite"),
        (figures(explained_variance=0.3), Published(), "doubtful", "only 30.0%"),
        (figures(ce_loss_score=0.2), Published(), "doubtful", "CE loss score 0.20"),
        (figures(l0=400.0), Published(), "doubtful", "hardly sparse"),
        (figures(l0=20.0), SAID, "doubtful", "its file says 64.0"),
        (figures(l0=130.0), SAID, "doubtful", "its file says 64.0"),
        (figures(explained_variance=0.7), SAID, "doubtful", "its file says 0.92"),
        (figures(ce_loss_score=0.8), SAID, "doubtful", "its file says 0.98"),
    ],
)  # fmt: skip
def test_a_verdict_is_the_worst_that_can_be_said(found, known, verdict, word):
    said = judge(found, 1000, known)
    assert said[0] == verdict and any(word in one for one in said[1]), said


def test_an_sae_that_reconstructs_exactly(bench, job):
    (found,) = bench.bring.trial(bench.bring.shelf.get(job.id).config)
    assert found.explained_variance == pytest.approx(1.0, abs=1e-6) and found.l0 == pytest.approx(32.0)
    assert found.ce_loss_spliced == pytest.approx(found.ce_loss, abs=1e-5) and found.source == "pocket/1-res-mirror"
    assert "32 of its 64 features" in found.said[0], "half of a dictionary on every token is hardly sparse"


def test_the_command_line_says_the_same(bench, job, data, capsys):
    place = bench.bring.shelf.get(job.id)
    asked = ["try", str(place.config), "--data", str(data), "--json", "--progress", str(place.progress("check"))]
    assert __main__.main(asked) == 0
    told = json.loads(capsys.readouterr().out)["sources"][0]
    written = json.loads(place.progress("check").read_text())
    assert written["state"] == "done" and written["answer"] == told and told["verdict"] == "doubtful"
    assert __main__.main(asked[:4]) == 0 and "pocket/1-res-mirror  doubtful" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("- id: 1-res-mirror", "- id: 0-res-mirror"), "says layer 0"),
        (("sae:\n    path: {sae}", "neurons: blocks.0.mlp.hook_post"), "reconstruct nothing"),
        (("context: 48", "context: 4000"), "more than the 64 tokens"),
    ],
)
def test_what_does_not_fit_is_refused(bench, job, data, change, word):
    place = bench.bring.shelf.get(job.id)
    old = change[0].format(sae=data / "incoming" / "mirror")
    text = place.config.read_text()
    assert old in text
    text = text.replace(old, change[1])
    place.config.write_text(text.replace("1-res-mirror", "0-neurons") if "neurons" in text else text)
    with pytest.raises(BadConfig, match=word):
        bench.bring.trial(place.config)
