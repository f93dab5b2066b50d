"""What the READMEs say of the demo's annotations is what lies in the demo."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median

import pytest

from core.settings import Settings
from core.workbench import Workbench
from demo.training import annotations

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Workbench(Settings(data=tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def scores(bench):
    return annotations.Scores(bench, annotations.sources(bench))


def test_annotations_tell_where_features_fire_and_shuffled_ones_do_not(scores):
    score, control = scores.medians
    assert score >= 0.75
    assert score - control >= 0.15


def test_a_feature_without_a_score_counts_as_chance(scores):
    missing = scores.living - len(scores.score)
    assert scores.medians[0] == median(scores.score + [0.5] * missing)


def test_every_living_feature_has_an_annotation(bench, scores):
    assert scores.living == sum(s.alive for s in annotations.sources(bench))


def test_the_picture_is_that_of_these_scores(scores):
    assert annotations.PICTURE.read_text(encoding="utf-8") == annotations.picture(scores)


def test_the_readmes_figures_are_these(bench, scores, capsys):
    written = (ROOT / "demo" / "README.md").read_text(encoding="utf-8")
    annotations.figures(bench)
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")][1:]
    for name, *figures in rows:
        said = {"| res": "| SAEs", "| neurons": "| neurons", "| all": "| all"}.get(name, f"| `{name[2:]}`")
        assert f"{said} | {' | '.join(figures)}".replace("%", " %") in written
    assert f"median balanced accuracy is {scores.medians[0]:.3f}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_thirty_are_the_ones_that_are_listed(bench):
    written = (ROOT / "demo" / "README.md").read_text(encoding="utf-8")
    section = written[written.index("### Thirty annotations") :]
    listed = re.findall(r"^\| `([^`]+)` \|", section, re.M)
    drawn = [f"{key.source_id}/{key.index}" for key in annotations.draw(bench)]
    assert listed == drawn
    verdicts = [
        re.search(r"\| (right|in part|wrong)[^|]*\|$", line)[1]
        for line in section.splitlines()
        if line.startswith("| `")
    ]
    assert verdicts.count("right") >= 20
    for word, many in (("right", 24), ("in part", 5), ("wrong", 1)):
        assert verdicts.count(word) == many
