"""Explanations without features: attached to a source that is here, line by line, or refused with what would do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.errors import BadInput, NotFound
from core.interchange.bulk.findings import Refused
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core.interchange.conftest import SMALL, lines, tree, write

HERE = tiny.SAE


def row(n: int, text: str = "", **more) -> dict:
    """As batch-autointerp writes them: its keys, an index as text, an embedding as numbers."""
    return {
        "id": f"clc{n:022d}", "modelId": "tiny", "layer": "1-res", "index": str(n % SMALL),
        "description": text or f"names of rivers, {n}", "authorId": "clk0", "embedding": [0.123456789] * 4,
        "triggeredById": None, "typeName": "np_max-act-logits", "explanationModelName": "gemini-2.0-flash",
        "notes": None, "createdAt": "2025-06-01T00:00:00Z",
    } | more  # fmt: skip


@pytest.fixture
def alone(tmp_path) -> Path:
    """What the explainer leaves in a folder of its own."""
    folder = tmp_path / "autointerp"
    write(folder / "batch-0.jsonl.gz", [row(n) for n in range(4)])
    (folder / "batch-1.jsonl").write_text("".join(json.dumps(row(n)) + "\n" for n in range(4, 8)))
    (folder / "config.json").write_text('{"explainer_type_name": "np_max-act-logits"}')
    (folder / "failed_explanation_indexes.txt").write_text("3\n5\n")
    return folder


@pytest.fixture
def here(small, fresh) -> Workbench:
    """A workbench with an import that has no explanations."""
    shutil.rmtree(small / "explanations")
    shutil.rmtree(small / "scores")
    ours = json.loads((small / "featurescope.json").read_text())
    ours["files"] = {name: count for name, count in ours["files"].items() if name.split("/")[0] not in
                     ("explanations", "scores")}  # fmt: skip
    (small / "featurescope.json").write_text(json.dumps(ours))
    bench = fresh()
    bench.exchange.bring_in(small)
    return bench


def said(bench: Workbench, key: str = HERE) -> set[tuple]:
    """All that is said, but what the data say."""
    found = [one for n in range(bench.source(key).width) for one in bench.words.of(f"{key}/{n}")]
    return {(e.id, e.feature.index, e.text, e.method, e.model, e.author, e.made, tuple(
        (s.id, s.scorer, s.judge, s.value) for s in e.scores)) for e in found if e.origin != "data"}  # fmt: skip


def test_they_are_attached_found_and_go_out_again(here, alone, fresh, tmp_path):
    before = tree(here.settings.data / "tiny" / "1-res")
    (made,) = here.exchange.bring_in(alone)
    assert (made.format, made.explanations, made.features, made.there) == ("explanations", 8, SMALL, False)
    assert any("failed on 2 features: 3, 5" in one.problem for one in made.findings) and not made.needs_weights
    after = tree(here.settings.data / "tiny" / "1-res")
    assert before.items() <= after.items(), "nothing of the source is another"
    assert [e.text for e in here.words.of(f"{HERE}/1")] == ["names of rivers, 1", "names of rivers, 7"]
    assert here.words.find("rivers", rank="words").total == 8
    (again,) = here.exchange.bring_in(alone)
    assert again.there and again.explanations == 8 and len(said(here)) == 8
    assert not list((here.settings.data / ".import").iterdir())

    whole = here.exchange.give_out(HERE, tmp_path / "whole")
    words = here.exchange.give_out(HERE, tmp_path / "words", format="explanations")
    assert words.explanations == 8 and sorted(p.name for p in words.folder.iterdir()) == ["explanations"]
    kept = {r["id"]: r for r in lines(words.folder / "explanations" / "batch-0.jsonl.gz")}
    assert kept == {f"clc{n:022d}": row(n) for n in range(8)}, "as they came"
    one = fresh("one")
    one.exchange.bring_in(whole.folder)
    assert said(one) == said(here)
    shutil.rmtree(whole.folder / "explanations")
    ours = json.loads((whole.folder / "featurescope.json").read_text())
    ours["files"] = {name: n for name, n in ours["files"].items() if "explanations" not in name}
    (whole.folder / "featurescope.json").write_text(json.dumps(ours))
    two = fresh("two")
    two.exchange.bring_in(whole.folder)
    assert not said(two)
    two.exchange.bring_in(words.folder)
    assert said(two) == said(here)


def test_to_what_was_built_here_and_to_a_folder_that_is_only_read(tiny_root, alone, tmp_path):
    demo = tiny_root
    bench = Workbench(Settings(data=tmp_path / "root", demo=demo))
    before = tree(demo)
    own = {e.id for e in bench.words.export([HERE])}
    (made,) = bench.exchange.bring_in(alone)
    assert made.explanations == 8 and tree(demo) == before
    assert len(said(bench)) == 8 and own <= {e.id for e in bench.words.export([HERE])}
    out = bench.exchange.give_out(HERE, tmp_path / "out", format="explanations")
    (back,) = bench.exchange.bring_in(out.folder)
    assert back.explanations == 0 and any("here already" in one.problem for one in back.findings)
    assert len(said(bench)) == 8, "what is here already counts once"


def test_scores_come_along(here, tmp_path):
    top = tmp_path / "export" / "tiny" / "1-res"
    write(top / "explanations" / "batch-0.jsonl.gz", [row(0)])
    score = {"id": "s1", "explanationId": row(0)["id"], "value": 0.8, "explanationScoreTypeName": "eleuther_fuzz"}
    write(top / "scores" / "batch-0.jsonl.gz", [score])
    here.exchange.bring_in(tmp_path / "export")
    (one,) = here.words.of(f"{HERE}/0")
    assert [(s.scorer, s.value) for s in one.scores] == [("fuzzing", 0.8)]


def test_a_source_that_is_not_here_is_asked_for(alone, fresh, here):
    bench = fresh("none")
    with pytest.raises(NotFound, match=r"tiny/1-res.*is not here.*--as MODEL/SOURCE"):
        bench.exchange.bring_in(alone)
    with pytest.raises(NotFound, match="tiny/7-res"):
        here.exchange.bring_in(alone, as_="tiny/7-res")
    assert not said(here)


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (row(9, index=str(SMALL)), f"feature {SMALL}, which the source does not have"),
        (row(9, index="-1"), "index is"),
        (row(9, layer="2-res"), "layer is"),
        (row(9, description="  "), "no description"),
        (row(9, embedding=["x"]), "embedding"),
        ('{"id": 1', "no JSON"),
    ],
)
def test_every_line_is_checked(here, alone, bad, says):
    (alone / "batch-1.jsonl").write_text(
        json.dumps(row(4)) + "\n" + (bad if isinstance(bad, str) else json.dumps(bad)) + "\n"
    )
    with pytest.raises(Refused, match=says) as refused:
        here.exchange.bring_in(alone)
    assert any(one.file == "batch-1.jsonl" and one.line == 2 for one in refused.value.findings)
    assert not said(here), "half of them are none"
    (made,) = here.exchange.bring_in(alone, leave_out=True)
    assert (made.explanations, made.left_out) == (5, 1)


def test_a_missing_batch_and_what_is_no_explanation(here, alone, tmp_path):
    (alone / "batch-1.jsonl").rename(alone / "batch-2.jsonl")
    with pytest.raises(Refused, match="batch-1: it is missing"):
        here.exchange.bring_in(alone)
    write(tmp_path / "other" / "batch-0.jsonl.gz", [{"modelId": "tiny", "layer": "1-res", "index": 0}])
    with pytest.raises(BadInput, match="nothing at"):
        here.exchange.bring_in(tmp_path / "other")
