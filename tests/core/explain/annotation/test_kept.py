"""Annotations where they are kept: made by a build, made later from a store, read back, and given as explanations."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest

from components.annotation_panels import evidence
from core.catalog.manifest import read_source
from core.errors import BadData, NotAvailable, NotFound
from core.explain.annotation import files
from core.records import FeatureKey
from core.settings import Settings
from core.store import derived
from core.store.write import staged
from core.workbench import Workbench
from tests import tiny


def folder(root, source=tiny.SAE):
    (found,) = (root / source / "derived").glob("annotation-*")
    return found


@pytest.fixture
def copied(tiny_root, tmp_path):
    """The same data root, to be written."""
    shutil.copytree(tiny_root, tmp_path / "data")
    return tmp_path / "data"


def test_a_build_annotates_every_source(bench, tiny_root):
    for source in bench.sources():
        made = folder(tiny_root, str(source.key))
        manifest = read_source(tiny_root / str(source.key) / "source.json")
        assert made.name == derived.folder_name(files.KIND, files.made_from(manifest.build))
        assert (
            json.loads((made / "made.json").read_text())["from"]["weights_sha256"] == manifest.build["weights_sha256"]
        )
        assert not any(name.startswith("derived") for name in manifest.checksums)
        assert len(bench.words.rule_scores(source.key)["score"]) == source.width


def test_counts_agree_with_the_features_own(bench):
    for key in bench.living(tiny.SAE):
        found, record = bench.words.annotation(key), bench.feature(key)
        assert found.train_active + found.test_active == record.active
        assert sum(m.share for m in found.meanings) <= 1 + 1e-6
        for e in found.enrichments:
            assert e.seen <= min(e.tokens, record.active)
            assert e.expected == pytest.approx(e.tokens * record.density)


def test_made_later_from_the_store_it_is_the_same(bench, copied):
    before = (folder(copied) / files.ANNOTATION).read_bytes()
    shutil.rmtree(folder(copied))
    later = Workbench(Settings(data=copied, demo=None))
    with pytest.raises(NotAvailable, match="annotate"):
        later.words.annotation(f"{tiny.SAE}/3")
    assert not [e for e in later.words.of(f"{tiny.SAE}/3") if e.method == "annotation"]
    told = []
    later.words.annotate(tiny.SAE, tell=lambda done, of: told.append((done, of)))
    assert told[-1] == (64, 64)
    assert (folder(copied) / files.ANNOTATION).read_bytes() == before
    assert str(later.words.annotation(f"{tiny.SAE}/3")) == str(bench.words.annotation(f"{tiny.SAE}/3"))


def test_a_source_without_its_store_says_what_would_do(copied):
    shutil.rmtree(copied / tiny.SAE / "store")
    with pytest.raises(NotAvailable, match="without its activation store"):
        Workbench(Settings(data=copied, demo=None)).words.annotate(tiny.SAE)


def test_a_store_of_other_prompts_is_refused(copied):
    path = copied / tiny.SAE / "store" / "positions.npy"
    positions = np.load(path)
    positions[0] = 2**31
    np.save(path, positions)
    with pytest.raises(BadData, match="does not fit"):
        Workbench(Settings(data=copied, demo=None)).words.annotate(tiny.SAE)


def test_annotations_of_another_build_are_not_taken_for_this_ones(copied):
    manifest = json.loads((copied / tiny.SAE / "source.json").read_text())
    manifest["build"]["weights_sha256"] = "0" * 64
    (copied / tiny.SAE / "source.json").write_text(json.dumps(manifest))
    with pytest.raises(NotAvailable):
        Workbench(Settings(data=copied, demo=None)).words.annotation(f"{tiny.SAE}/3")


def test_a_rebuild_brings_its_own_and_keeps_the_rest(tmp_path):
    target = tmp_path / "source"
    for name in ("annotation-1", "eval-1"):
        (target / "derived" / name).mkdir(parents=True)
        (target / "derived" / name / "x").write_text("old")
    with staged(target) as beside:
        (beside / "derived" / "annotation-1").mkdir(parents=True)
        (beside / "derived" / "annotation-1" / "x").write_text("new")
    assert (target / "derived" / "annotation-1" / "x").read_text() == "new"
    assert (target / "derived" / "eval-1" / "x").read_text() == "old"


def test_it_is_an_explanation_with_its_score_and_control(bench):
    scored = 0
    for key in bench.living(tiny.SAE):
        found = bench.words.annotation(key)
        (explanation,) = [e for e in bench.words.of(key) if e.origin == "data"]
        assert (explanation.text, explanation.method, explanation.feature) == (found.line, "annotation", key)
        if not found.test_active:
            assert explanation.scores == ()
            continue
        (score,) = explanation.scores
        assert score.scorer == "rule" and score.examples == found.test_tokens
        assert score.value == found.measures["balanced_accuracy"]
        assert score.low <= score.value <= score.high
        assert score.control == pytest.approx(found.control) and score.control_of != key
        scored += 1
    assert scored > 20


def test_briefs_are_the_living_features_explanations(bench):
    briefs = [b for b in bench.words.briefs(tiny.SAE) if b.method == "annotation"]
    living = bench.living(tiny.SAE)
    assert [b.index for b in briefs] == [key.index for key in living]
    for brief, key in zip(briefs, living, strict=True):
        (explanation,) = [e for e in bench.words.of(key) if e.origin == "data"]
        assert (brief.id, brief.text) == (explanation.id, explanation.text)
        assert math.isnan(brief.score) != bool(explanation.scores)


def test_a_new_annotation_is_another_mark(copied):
    bench = Workbench(Settings(data=copied, demo=None))
    source = bench.source(tiny.SAE).key
    before = bench.words.mark(source)
    bench.words.annotate(tiny.SAE)
    assert bench.words.mark(source) != before


def test_a_feature_that_is_not_there(bench):
    with pytest.raises(NotFound, match="features 0 to 63"):
        bench.words.annotation(FeatureKey("tiny", "1-res", 64))


def test_a_damaged_file_is_told_and_does_not_take_the_page_down(copied):
    (folder(copied) / files.ANNOTATION).write_bytes(b"nothing")
    bench = Workbench(Settings(data=copied, demo=None))
    with pytest.raises(BadData):
        bench.words.annotation(f"{tiny.SAE}/3")
    assert not [e for e in bench.words.of(f"{tiny.SAE}/3") if e.method == "annotation"]


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_stamp_is_told(copied, text):
    (folder(copied) / derived.MADE).write_text(text)
    with pytest.raises(BadData):
        Workbench(Settings(data=copied, demo=None)).words.annotation(f"{tiny.SAE}/3")


def test_annotations_of_an_earlier_format_are_not_taken_for_this_ones(copied, monkeypatch):
    monkeypatch.setattr(files, "FORMAT", files.FORMAT + 1)
    with pytest.raises(NotAvailable, match="annotate"):
        Workbench(Settings(data=copied, demo=None)).words.annotation(f"{tiny.SAE}/3")


def test_what_cannot_be_written_leaves_nothing(copied, monkeypatch):
    before = sorted(p.name for p in (copied / tiny.SAE / "derived").iterdir())

    def broken(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.layout, "write_batches", broken)
    with pytest.raises(NotAvailable, match="No space left"):
        Workbench(Settings(data=copied, demo=None)).words.annotate(tiny.SAE)
    assert sorted(p.name for p in (copied / tiny.SAE / "derived").iterdir()) == before


def test_reading_one_loads_neither_torch_nor_numba(tiny_root):
    code = (
        "import sys\nfrom pathlib import Path\nfrom core.settings import Settings\n"
        "from core.workbench import Workbench\n"
        f"w = Workbench(Settings(data=Path({str(tiny_root)!r}), demo=None)); w.words.annotation('{tiny.SAE}/3')\n"
        "print([m for m in ('torch', 'numba') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_drawing_escapes_what_comes_from_texts(bench):
    from dataclasses import replace

    key = bench.living(tiny.SAE)[0]
    nasty = "<script>alert(1)</script>"
    found = replace(bench.words.annotation(key), line=nasty, test=nasty, held_out=nasty)
    found = replace(
        found,
        meanings=tuple(replace(m, label=nasty) for m in found.meanings),
        rule=tuple(replace(c, words=nasty) for c in found.rule),
        enrichments=tuple(replace(e, name=nasty) for e in found.enrichments),
    )
    drawn = evidence(found)
    assert "<script" not in drawn
    assert drawn.count("&lt;script&gt;") >= 2 + len(found.meanings) + len(found.rule) + len(found.enrichments)


def test_the_command_line_says_how_good_they_are(copied):
    done = subprocess.run(
        [sys.executable, "-m", "core", "annotate", tiny.SAE, "--json", "--data", str(copied)],
        capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin", "FEATURESCOPE_DEMO": ""},
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["scored"] <= answer["living"] <= 64
    assert 0 <= answer["balanced_accuracy"] <= 1
