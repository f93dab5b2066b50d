"""A source measured through the front door: parts, baselines, controls, what is kept, and the command line."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

import core.evaluate.suite
from core.__main__ import main
from core.errors import BadInput, NotAvailable, NotFound
from core.evaluate import keeping
from core.evaluate.records import FIGURES, PARTS, Control, Evaluation, Quality
from core.records import SourceKey
from core.workbench import Workbench
from tests import tiny

STYLES = {
    "poems": ["The rose is red and the sky is grey, said number {n}.", "O wind, O sea, O hill of number {n}."],
    "code": ["def add{n}(a, b):\n    return a + b + {n}\n", "for i in range({n}):\n    print(i, {n})\n"],
}


@pytest.fixture(scope="module")
def own(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    """The tiny model's sources as a read-only root, and a writable one."""
    folder = tmp_path_factory.mktemp("quality")
    return Workbench(bench.settings.model_copy(update={"data": folder, "demo": bench.settings.data}))


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("styles")
    for style, lines in STYLES.items():
        documents = [lines[n % 2].format(n=n) for n in range(18)]
        (folder / f"{style}.txt").write_text(tiny.SEPARATOR.join(documents), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def measured(own: Workbench, texts: Path, tiny_config: Path) -> Evaluation:
    control = Control(path=str(tiny_config.parent / "sae"), kind="random", seed=3)
    return own.quality.measure(tiny.SAE, texts=texts, controls=[control])


def test_every_part_has_its_token_set_and_date(measured: Evaluation) -> None:
    assert [one.name for one in measured.all()] == ["source", "coordinates", "pca", "random", "control-random-3"]
    for part in ("reconstruction", "features", "probing", "tpp"):
        for one in measured.all():
            found = one.on(part)
            assert found is not None, (part, one.name)
            on, made = found
            assert on.documents == 36 and len(on.sha256) == 64 and made.startswith("20"), part
    assert dict(measured.lacking)["absorption"]
    figures = measured.own.figures()
    assert set(figures) <= {f.key for f in FIGURES}
    for key in ("l0", "mse", "kl_score_mean", "dead_fraction", "redundancy_cosine", "probing_k1", "tpp"):
        assert math.isfinite(figures[key].value), key
    pca = next(one for one in measured.baselines if one.name == "pca")
    assert pca.reconstruction.figures.l0.value == max(1, round(figures["l0"].value))
    assert pca.features.redundancy_cosine.value < 0.01
    assert measured.controls[0].reconstruction.figures.ce_loss != measured.own.reconstruction.figures.ce_loss


def test_what_is_kept_is_not_measured_again(own: Workbench, measured: Evaluation, texts: Path, monkeypatch) -> None:
    def not_again(*given: object, **named: object) -> None:
        raise AssertionError("measured again")

    for name in ("measure", "activity", "pooled", "moments", "samples"):
        monkeypatch.setattr(core.evaluate.suite, name, not_again)
    parts = ("reconstruction", "features", "absorption", "probing", "tpp")
    again = own.quality.measure(tiny.SAE, texts=texts, parts=parts)
    assert again.own.figures().items() <= measured.own.figures().items()
    assert [one.name for one in again.baselines] == ["coordinates", "pca", "random"]
    assert dict(again.lacking)["absorption"] == dict(measured.lacking)["absorption"]
    read = own.quality.of(tiny.SAE)
    assert read.own.figures() == measured.own.figures()
    assert {one.name for one in read.all()} == {one.name for one in measured.all()}
    with pytest.raises(AssertionError, match="measured again"):
        own.quality.measure(tiny.SAE, texts=texts, parts=["features"], baselines=False, again=True)


def test_the_catalog_and_the_leaderboard_have_them(own: Workbench, measured: Evaluation) -> None:
    figures = own.source(tiny.SAE).figures
    assert figures is not None and figures.l0 == measured.own.reconstruction.figures.l0.value
    rows = {row.name: row for row in own.quality.leaderboard()}
    assert rows[tiny.SAE].figures["tpp"] == measured.own.tpp.score
    assert rows[tiny.SAE].on["probing"] == measured.own.probing.on
    assert not rows[tiny.NEURONS].figures and not rows[tiny.NEURONS].made
    with pytest.raises(NotFound, match="Nobody has measured"):
        own.quality.of(tiny.NEURONS)


def test_other_weights_and_damaged_files_count_as_absent(own: Workbench, measured: Evaluation, tmp_path: Path) -> None:
    folder = tmp_path / "tiny" / "1-res"
    for path in (own.settings.data / "tiny" / "1-res").rglob("*.json"):
        copy = folder / path.relative_to(own.settings.data / "tiny" / "1-res")
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(path.read_text())
    other = Workbench(own.settings.model_copy(update={"data": tmp_path}))
    assert other.quality.of(tiny.SAE).own.figures() == measured.own.figures()
    for path in folder.rglob("source.json"):
        path.write_text(path.read_text()[:100])
    with pytest.raises(NotFound, match="Nobody has measured"):
        other.quality.of(tiny.SAE)


def test_neurons_have_what_needs_no_reconstruction(own: Workbench, texts: Path) -> None:
    found = own.quality.measure(tiny.NEURONS, texts=texts, parts=["reconstruction", "features", "probing", "tpp"])
    assert found.own.parts() == ("features", "probing", "tpp") and not found.baselines
    assert "no reconstruction" in dict(found.lacking)["reconstruction"]
    assert own.quality.of(tiny.NEURONS).own.features == found.own.features


def test_bad_requests_say_what_would_do(own: Workbench, texts: Path) -> None:
    with pytest.raises(BadInput, match=r"no part “accuracy”\. There are: reconstruction"):
        own.quality.measure(tiny.SAE, parts=["accuracy"])
    with pytest.raises(BadInput, match="at least 2"):
        own.quality.measure(tiny.SAE, tokens=1)
    with pytest.raises(NotFound, match="no file or folder"):
        own.quality.measure(tiny.SAE, texts=texts / "nowhere")
    for control, message in (
        (Control(path="nowhere", kind="random"), "no folder nowhere"),
        (Control(path=str(texts), kind="other"), "needs its model"),
        (Control(path=str(texts), kind="kept", name="source"), "cannot name a control"),
    ):
        with pytest.raises((BadInput, NotAvailable), match=message):
            own.quality.measure(tiny.SAE, texts=texts, parts=["features"], baselines=False, controls=[control])


def test_command_line(own: Workbench, measured: Evaluation, texts: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("core.__main__.Workbench", lambda settings: own)
    parts = ",".join(part for part in PARTS if part != "absorption")
    assert main(["eval", tiny.SAE, "--suite", parts, "--texts", str(texts), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["modelId"] == "tiny" and answer["l0"] == measured.own.reconstruction.figures.l0.value
    assert answer["with_bos"]["tokens"] > answer["tokens"]
    assert answer["quality"]["own"]["figures"]["tpp"]["value"] == measured.own.tpp.score.value
    assert main(["eval", tiny.SAE, "--suite", "features", "--texts", str(texts)]) == 0
    shown = capsys.readouterr().out
    assert "redundancy" in shown and "sha256" in shown and "pca" in shown
    assert main(["eval", tiny.SAE, "--suite", "nothing"]) == 2
    assert main(["eval", tiny.SAE, "--suite", "all", "--control", "sae"]) == 2
    assert main(["eval", tiny.SAE, "--again"]) == 2
    assert "--suite: name its parts" in capsys.readouterr().err


def test_why_something_cannot_be_measured_is_kept_until_it_is(tmp_path: Path) -> None:
    build = {"weights_sha256": "w"}
    made = keeping.made_from("absorption", build, "texts")
    own = Quality(name="source", kind="source", what="a/1-b", width=8, weights_sha256="w")
    pca = replace(own, name="pca", kind="pca", weights_sha256="")
    keeping.refuse(tmp_path, made, own, "no letters")
    keeping.refuse(tmp_path, made, pca, "none either")
    assert keeping.refused([tmp_path / "elsewhere", tmp_path], made) == {
        "source": ("w", "no letters"), "pca": ("", "none either"),
    }  # fmt: skip
    key = SourceKey("a", "1-b")
    assert keeping.latest([tmp_path], key, "w") is None  # nothing was measured yet
    (place,) = (tmp_path / "derived").iterdir()
    (place / keeping.REFUSED).write_text("{", encoding="utf-8")
    assert keeping.refused([tmp_path], made) == {}  # a damaged file counts as absent
