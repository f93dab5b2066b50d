"""Export, then import: the same records; and the export is what its description says, to a reader of that alone."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from core.errors import Conflict, NotAvailable, NotFound
from core.interchange import neuronpedia
from core.records import FeatureKey
from tests import tiny
from tests.core.interchange import plain_reader
from tests.core.interchange.conftest import lines, tree, write


def test_a_reader_of_the_description_alone_loads_it(bench, exported):
    found = plain_reader.read(exported)
    assert found["source"]["id"] == "1-res" and found["sourceset"]["releaseName"] == "tiny-release"
    assert sorted(found["features"]) == list(range(64))
    for index in (0, 3, 63):
        record = bench.feature(f"{tiny.SAE}/{index}")
        row = found["features"][index]
        assert row["frac_nonzero"] == record.density and np.float32(row["maxActApprox"]) == np.float32(record.maximum)
        assert row["pos_str"] == [one.token.text for one in record.top_logits]
        assert row["freq_hist_data_bar_heights"] == list(record.histogram.counts)
        whole = neuronpedia.feature(record)["activations"]
        rows = found["activations"][index]
        assert [one["tokens"] for one in rows] == [one["tokens"] for one in whole]
        assert np.array_equal(np.float32(rows[0]["values"]), np.float32(whole[0]["values"]))
        assert {one["binContains"] for one in rows if one["binMin"] == -1} == {-1}
    assert len(found["explanations"]) == len([one for one in bench.words.export([tiny.SAE])])


def test_exporting_twice_gives_the_same_bytes(bench, exported, tmp_path):
    again = bench.exchange.give_out(tiny.SAE, tmp_path)
    assert tree(again.folder) == tree(exported)
    with pytest.raises(Conflict, match="--again"):
        bench.exchange.give_out(tiny.SAE, tmp_path)
    assert bench.exchange.give_out(tiny.SAE, tmp_path, again=True).files == again.files


@pytest.fixture(scope="module")
def brought(exported, tmp_path_factory):
    from core.settings import Settings
    from core.workbench import Workbench

    bench = Workbench(Settings(data=tmp_path_factory.mktemp("brought"), demo=None))
    (made,) = bench.exchange.bring_in(exported, as_="elsewhere")
    return bench, made


def test_import_gives_the_same_records(bench, brought):
    other, made = brought
    assert (made.features, made.width, made.findings, made.left_out) == (64, 64, (), 0)
    for index in range(64):
        mine, theirs = bench.feature(f"{tiny.SAE}/{index}"), other.feature(f"elsewhere/1-res/{index}")
        for name in ("label", "active", "density", "maximum", "minimum", "mean", "deviation"):
            assert getattr(theirs, name) == getattr(mine, name), (index, name)
        same_but_for(mine, theirs)


def same_but_for(mine, theirs):
    for name in ("histogram", "logit_histogram"):
        a, b = getattr(mine, name), getattr(theirs, name)
        assert (a is None) == (b is None) and (a is None or a.counts == b.counts)
        assert a is None or np.allclose(a.centres, b.centres, rtol=1e-12, atol=1e-12)
    for name in ("top_logits", "bottom_logits"):
        a, b = ([(one.token.text, one.value) for one in getattr(r, name)] for r in (mine, theirs))
        assert a == b
    for name in ("alignment", "correlated_neurons", "correlated_features", "neighbours"):
        a, b = ([(one.index, one.value, one.cosine, one.share) for one in getattr(r, name)] for r in (mine, theirs))
        assert [tuple(np.float32(x or 0) for x in row) for row in a] == [
            tuple(np.float32(x or 0) for x in row) for row in b
        ]
    kinds = {group.kind for group in mine.groups}
    for kind in ("raw" if "raw" in kinds else "diverse", "interval"):
        assert shown(mine, kind) == shown(theirs, "raw" if kind == "diverse" else kind)


def shown(record, kind):
    """Of each group its bounds and its examples: texts, values, the token that each is about."""
    made = []
    for group in record.groups:
        if group.kind == kind:
            rows = []
            for one in group.examples:
                skip = int(record.bos)
                values = [0.0 if t.special else v for t, v in zip(one.tokens, one.values, strict=True)][skip:]
                rows.append(([t.text for t in one.tokens[skip:]], values, one.position - skip, one.value))
            bounds = (np.float32(group.low), np.float32(group.high)) if kind == "interval" else ()
            made.append((bounds, sorted(rows, key=lambda row: (-row[3], row[0], row[2]))))
    return sorted(made, key=lambda one: one[0])


def test_vectors_come_along(bench, tmp_path, fresh):
    from core.atlas import vectors

    out = bench.exchange.give_out(tiny.SAE, tmp_path / "out", vectors=True)
    assert all(row["hasVector"] and len(row["vector"]) == 32 for row in lines(out.folder / "features/batch-0.jsonl.gz"))
    other = fresh()
    (made,) = other.exchange.bring_in(out.folder)
    assert made.vectors and other.source(made.key).has == ("dashboards", "vectors")
    assert not any("map" in one for one in made.needs_weights)
    rows = vectors.decoder(bench, made.key)
    assert np.array_equal(vectors.decoder(other, made.key), rows) and np.array_equal(
        vectors.written(other, made.key), rows
    )
    again = other.exchange.give_out(made.key, tmp_path / "again")
    assert lines(again.folder / "features/batch-0.jsonl.gz") == lines(out.folder / "features/batch-0.jsonl.gz")
    with pytest.raises(NotAvailable, match="no weights"):
        other.exchange.bring_in(bench.exchange.give_out(tiny.SAE, tmp_path / "bare").folder, as_="tiny/1-res__bare")
        other.exchange.give_out("tiny/1-res__bare", tmp_path / "no", vectors=True)


def test_what_came_in_goes_out_again_as_it_was(brought, exported, tmp_path):
    other, _ = brought
    out = other.exchange.give_out("elsewhere/1-res", tmp_path)
    before, after = plain_reader.read(exported), plain_reader.read(out.folder)
    for index, row in before["features"].items():
        assert after["features"][index] == row | {"modelId": "elsewhere"}
        rows = [one | {"modelId": "elsewhere"} for one in before["activations"].get(index, [])]
        assert sorted(after["activations"].get(index, []), key=lambda r: r["id"]) == sorted(rows, key=lambda r: r["id"])
    said = {one["id"]: one for rows in after["explanations"].values() for one in rows}
    assert said == {
        one["id"]: one | {"modelId": "elsewhere"} for rows in before["explanations"].values() for one in rows
    }
    scores = lines(exported / "scores" / "batch-0.jsonl.gz")
    assert lines(out.folder / "scores" / "batch-0.jsonl.gz") == scores and scores


def test_explanations_keep_author_method_and_scores(copy, fresh):
    rows = lines(copy / "explanations" / "batch-0.jsonl.gz")
    index = int(rows[0]["index"])
    rows[0] |= {
        "id": "cmabc", "description": "names of\nfamily members", "typeName": "np_max-act", "authorId": "somebody",
        "explanationModelName": "gpt-4.1", "createdAt": "2025-01-02T03:04:05Z", "embedding": "[0.1,0.2]",
    }  # fmt: skip
    write(copy / "explanations" / "batch-0.jsonl.gz", rows)
    score = {"id": "s1", "explanationId": "cmabc", "value": 0.83, "explanationScoreTypeName": "eleuther_fuzz",
             "explanationScoreModelName": "gpt-4o-mini", "jsonDetails": "[]"}  # fmt: skip
    other = score | {"id": "s2", "explanationScoreTypeName": "nla_verbalizer"}
    write(copy / "scores" / "batch-0.jsonl.gz", [score, other])
    bench = fresh()
    drop(copy)
    bench.exchange.bring_in(copy)
    (one,) = [e for e in bench.words.of(f"tiny/1-res/{index}") if e.id == "i-cmabc"]
    assert (one.text, one.method, one.model, one.author) == (
        "names of family members", "np_max-act", "gpt-4.1", "somebody",
    )  # fmt: skip
    assert (one.origin, one.made) == ("import", "2025-01-02T03:04:05Z")
    assert [(s.scorer, s.judge, s.value) for s in one.scores] == [("fuzzing", "gpt-4o-mini", 0.83)]
    (hit,) = [h for h in bench.words.find("family members", rank="words").hits if h.id == one.id]
    assert (hit.origin, hit.trust, hit.scorer) == ("import", 0.83, "fuzzing")
    assert any({s["id"] for s in row["scores"]} == {"s1", "s2"} for row in bench.words.imported("tiny/1-res"))


def drop(folder: Path) -> None:
    """Makes it another's export: without what only ours has."""
    (folder / "featurescope.json").unlink()
    shutil.rmtree(folder / "featurescope")


def test_an_imported_source_is_whole_and_says_what_needs_weights(brought):
    bench, made = brought
    assert all(report.ok for report in bench.check()), [r.problems for r in bench.check()]
    assert bench.source(made.key).has == ("dashboards",) and bench.source(made.key).alive == made.alive
    assert any("new texts" in one for one in made.needs_weights)
    for job in (
        lambda: bench.test("elsewhere/1-res/3", "Hello"), lambda: bench.search("elsewhere", "Hello"),
        lambda: bench.tokenize("elsewhere", "Hello"), lambda: bench.evaluate(made.key),
    ):  # fmt: skip
        with pytest.raises(NotAvailable):
            job()
    assert bench.random_feature(made.key).source == made.key and len(bench.features(made.key)) == 64
    assert bench.words.find("the", rank="words", sources=[made.key]).total


def test_without_ours_beside_it_figures_follow_from_the_rows(bench, copy, fresh):
    drop(copy)
    other = fresh()
    (made,) = other.exchange.bring_in(copy)
    assert "half a bin" in other.source(made.key).active
    assert other.source(made.key).tokens == 60 * 48  # prompts and their length are what the export says
    for index in range(64):
        mine, theirs = bench.feature(f"{tiny.SAE}/{index}"), other.feature(f"tiny/1-res/{index}")
        assert (mine.active, mine.density) == (theirs.active, theirs.density)
        assert mine.maximum == theirs.maximum
        step = (mine.histogram.high - mine.histogram.low) / 50 if mine.histogram else 0.0
        assert abs(mine.mean - theirs.mean) <= step / 2 + 1e-6
    assert all(report.ok for report in other.check())


def test_other_writers(copy, fresh, bench):
    """Python's separators and escapes, text order, numbers as indices, missing and null keys, plain files."""
    drop(copy)
    rows = sorted(lines(copy / "features" / "batch-0.jsonl.gz"), key=lambda row: str(row["index"]))
    for row in rows:
        row["index"] = int(row["index"])
        for name in ("decoder_weights_dist", "vectorLabel", "correlated_features_indices", "hookName"):
            row.pop(name, None)
        row["correlated_features_pearson"] = row["correlated_features_l1"] = None
    (copy / "features" / "batch-0.jsonl.gz").unlink()
    for n in range(2):
        text = "\n".join(json.dumps(row, ensure_ascii=True) for row in rows[n * 32 : n * 32 + 32])
        (copy / "features" / f"batch-{n}.jsonl").write_text(text)  # no line break at its end
    acts = lines(copy / "activations" / "batch-0.jsonl.gz")
    for row in acts:
        for name in ("qualifyingTokenIndex", "dataIndex", "dfaValues"):
            row.pop(name)
    (copy / "activations" / "batch-0.jsonl.gz").unlink()
    for n in range(3):
        write(copy / "activations" / f"batch-{n}.jsonl.gz", acts[n::3])
    write(copy / "explanations" / "batch-0.jsonl.gz", [
        {"id": f"c{n}", "modelId": "tiny", "layer": "1-res", "index": n, "description": f"thing {n}",
         "embedding": [0.5], "typeName": "np_max-act", "triggeredById": None, "notes": None}
        for n in range(3)
    ])  # fmt: skip
    for name in ("release", "model", "sourceset"):
        (copy / f"{name}.jsonl").unlink()
    other = fresh()
    (made,) = other.exchange.bring_in(copy)
    missing = {f"{name}.jsonl" for name in ("release", "model", "sourceset")}
    assert {one.file for one in made.findings if one.problem == "it is missing"} == missing
    assert made.activations == len(acts) and made.explanations == 3
    mine, theirs = bench.feature(f"{tiny.SAE}/10"), other.feature("tiny/1-res/10")
    assert (theirs.maximum, theirs.density) == (mine.maximum, mine.density) and not theirs.correlated_features
    assert [e.text for e in other.words.of(FeatureKey("tiny", "1-res", 2))] == ["thing 2"]


def test_a_tokenizers_own_writing_is_read_back(copy, fresh):
    drop(copy)
    acts = lines(copy / "activations" / "batch-0.jsonl.gz")
    for row in acts:
        row["tokens"] = (["ĠParis", "âĢ", "Ļ", "sĊ"] + ["Ġof"] * len(row["tokens"]))[: len(row["tokens"])]
    write(copy / "activations" / "batch-0.jsonl.gz", acts)
    feats = lines(copy / "features" / "batch-0.jsonl.gz")
    for row in feats:
        row["pos_str"] = ["ĠParis"] * len(row["pos_str"])
        row["neg_str"] = ["x"] * len(row["neg_str"])
    write(copy / "features" / "batch-0.jsonl.gz", feats)
    (made,) = fresh().exchange.bring_in(copy)
    assert any("byte-level" in one.problem for one in made.findings)
    record = fresh().feature("tiny/1-res/3")
    tokens = max((one.tokens for group in record.groups for one in group.examples), key=len)
    assert [t.text for t in tokens[:5]] == [" Paris", "", "’", "s\n", " of"]
    assert record.top_logits[0].token.text == " Paris"


# -- places ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def archives(exported, tmp_path_factory):
    folder = tmp_path_factory.mktemp("archives")
    with zipfile.ZipFile(folder / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(exported.rglob("*")):
            archive.write(path, f"v1/tiny/1-res/{path.relative_to(exported)}")
    for name, mode in (("one.tar", "w"), ("one.tar.gz", "w:gz"), ("one.tgz", "w:gz"), ("one.tar.xz", "w:xz")):
        with tarfile.open(folder / name, mode) as archive:
            archive.add(exported, "tiny/1-res")
    return folder


@pytest.mark.parametrize("name", ["one.zip", "one.tar", "one.tar.gz", "one.tgz", "one.tar.xz"])
def test_archives_give_the_same_bytes_as_the_folder(archives, exported, fresh, name):
    a, b = fresh("a"), fresh("b")
    a.exchange.bring_in(exported)
    b.exchange.bring_in(archives / name)
    assert same(a, b)
    assert not list((b.settings.data / ".import").iterdir())


def same(a, b) -> bool:
    """The same files, but for where the report says that they are from."""
    one, two = (tree(w.settings.data / "tiny" / "1-res") for w in (a, b))
    for made in (one, two):
        report = json.loads(made.pop("import.json"))
        assert report.pop("from")
        manifest = json.loads(made.pop("source.json"))
        manifest["checksums"].pop("import.json")
        for finding in report["findings"]["kept"]:
            finding[0] = finding[0].rsplit("1-res/", 1)[-1]
        made["report"], made["manifest"] = report, manifest | {"build": None}
    return one == two


def test_urls(archives, exported, fresh, tmp_path):
    import fsspec

    a, b = fresh("a"), fresh("b")
    a.exchange.bring_in(exported)
    memory = fsspec.filesystem("memory")
    memory.put(str(exported) + "/", "/bulk/tiny/1-res/", recursive=True)
    try:
        b.exchange.bring_in("memory://bulk")
        assert same(a, b)
    finally:
        memory.rm("/bulk", recursive=True)
    c, d = fresh("c"), fresh("d")
    c.exchange.bring_in(exported.as_uri())
    d.exchange.bring_in((archives / "one.zip").as_uri())
    assert same(a, c) and same(a, d)


def test_several_sources_and_names(exported, tmp_path, fresh):
    shutil.copytree(exported, tmp_path / "v1" / "tiny" / "1-res")
    second = Path(shutil.copytree(exported, tmp_path / "v1" / "tiny" / "0-res"))
    for path in second.rglob("*.gz"):
        text = gzip.decompress(path.read_bytes()).replace(b'"layer":"1-res"', b'"layer":"0-res"')
        path.write_bytes(gzip.compress(text))
    (second / "source.jsonl").write_text((second / "source.jsonl").read_text().replace('"1-res"', '"0-res"'))
    bench = fresh()
    with pytest.raises(NotFound, match=r"tiny/0-res, tiny/1-res"):
        bench.exchange.bring_in(tmp_path / "v1", only=["7-res"])
    made = bench.exchange.bring_in(tmp_path / "v1", as_="two")
    assert [str(one.key) for one in made] == ["two/0-res", "two/1-res"]
    again = bench.exchange.bring_in(tmp_path / "v1", as_="two")
    assert all(one.there for one in again) and again[0].activations == made[0].activations
    with pytest.raises(Conflict, match="--again"):
        shutil.rmtree(tmp_path / "v1" / "tiny" / "1-res" / "explanations")
        bench.exchange.bring_in(tmp_path / "v1", as_="two")


def test_a_built_source_is_not_written_over(exported, tiny_config, tmp_path):
    import shutil as s

    from core.settings import Settings
    from core.workbench import Workbench

    root = tmp_path / "root"
    s.copytree(tiny_config.parent / "data", root)
    bench = Workbench(Settings(data=root, demo=None))
    before = tree(root / "tiny" / "1-res")
    with pytest.raises(Conflict, match="--as"):
        bench.exchange.bring_in(exported, again=True)
    assert tree(root / "tiny" / "1-res") == before
    (made,) = bench.exchange.bring_in(exported, as_="tiny/1-res__theirs")
    assert bench.feature(f"{made.key}/3").label == bench.feature("tiny/1-res/3").label
    assert bench.model("tiny").d_vocab > 0  # the model that is here stays as it is
