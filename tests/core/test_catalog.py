"""The catalog: what it lists, in which order, from which root; and that one bad manifest hides only its own source."""

from __future__ import annotations

import copy
import json
import os
import shutil
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.catalog.catalog import Catalog
from core.catalog.manifest import read_model, read_source, relative, write_model, write_source
from core.errors import BadData, NotFound, WorkbenchError
from core.records import SourceKey
from tests import tiny

KEY = SourceKey.parse(tiny.SAE)


@pytest.fixture
def root(tiny_root, tmp_path):
    """Manifests alone, to write to."""
    for path in tiny_root.rglob("*.json"):
        target = tmp_path / "data" / path.relative_to(tiny_root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return tmp_path / "data"


def add(root, key: str, **changes) -> None:
    """A source more, like the tiny one."""
    manifest = read_source(root / tiny.SAE / "source.json")
    new = SourceKey.parse(key)
    folder = root / key
    folder.mkdir(parents=True)
    write_source(
        folder / "source.json", replace(manifest, record=replace(manifest.record, key=new, layer=new.layer, **changes))
    )


def test_manifests_come_back(root, tmp_path):
    source, model = read_source(root / tiny.SAE / "source.json"), read_model(root / "tiny" / "model.json")
    write_source(tmp_path / "source.json", source)
    write_model(tmp_path / "model.json", model)
    assert read_source(tmp_path / "source.json") == source and read_model(tmp_path / "model.json") == model


def test_order_is_by_set_and_layer_and_not_by_letter(root):
    for name in ("10-res", "2-res", "0-res", "2-att__32k", "2-att__4k"):
        add(root, f"tiny/{name}")
    found = [s.key.source_id for s in Catalog((root,)).sources()]
    assert found == ["2-att__32k", "2-att__4k", "0-neurons", "0-res", "1-res", "2-res", "10-res"]


def test_the_first_root_wins(root, tmp_path):
    shutil.copytree(root, tmp_path / "second")
    path = tmp_path / "second" / tiny.SAE / "source.json"
    path.write_text(path.read_text(encoding="utf-8").replace("tiny-release", "other"), encoding="utf-8")
    add(tmp_path / "second", "tiny/5-res")
    catalog = Catalog((root, tmp_path / "second"))
    assert catalog.source(KEY).release.name == "tiny-release"
    assert catalog.entry(KEY).root == root
    assert catalog.entry(SourceKey("tiny", "5-res")).root == tmp_path / "second"
    assert len(catalog.models()) == 1


def test_it_follows_what_is_built_and_removed(root):
    catalog = Catalog((root, root / "not there"))
    assert len(catalog.sources()) == 2
    add(root, "tiny/3-res")
    assert len(catalog.sources()) == 2, "for half a second"
    catalog.refresh()
    assert len(catalog.sources()) == 3
    path = root / "tiny/3-res/source.json"
    path.write_text(path.read_text(encoding="utf-8").replace("tiny-release", "renewed"), encoding="utf-8")
    catalog.refresh()
    assert {r.name for r in catalog.releases()} == {"tiny-release", "renewed"}
    shutil.rmtree(root / "tiny/3-res")
    catalog.refresh()
    assert len(catalog.sources()) == 2


def test_what_is_being_written_is_not_shown(root):
    shutil.copytree(root / tiny.SAE, root / "tiny" / ".2-res.writing")
    assert len(Catalog((root,)).sources()) == 2 and Catalog((root,)).damaged() == ()


def test_not_found_says_what_there_is(root):
    catalog = Catalog((root,))
    with pytest.raises(NotFound, match="0-neurons, 1-res"):
        catalog.entry(SourceKey("tiny", "8-res"))
    for ask in (lambda: catalog.entry(SourceKey("other", "8-res")), lambda: catalog.model("other")):
        with pytest.raises(NotFound, match=r"no model “other” here\. There is: tiny"):
            ask()
    with pytest.raises(NotFound, match="python -m core build"):
        Catalog((root / "empty",)).model("tiny")


def test_a_copied_folder_is_listed_as_damaged(root):
    shutil.copytree(root / tiny.SAE, root / "tiny" / "2-res")
    shutil.copytree(root / "tiny", root / "aaa")
    catalog = Catalog((root,))
    assert {s.key.source_id for s in catalog.sources()} == {"0-neurons", "1-res"}
    assert any("tiny/2-res says that it is tiny/1-res" in m for m in catalog.damaged())
    assert catalog.model("tiny")[1] == root / "tiny", "and the copy does not stand for the model"


def test_a_source_whose_model_is_gone(root):
    (root / "tiny" / "model.json").unlink()
    catalog = Catalog((root,))
    assert len(catalog.sources()) == 2 and catalog.models() == ()
    with pytest.raises(BadData, match=r"model\.json of tiny"):
        catalog.model("tiny")


@pytest.mark.parametrize("name", [f"{tiny.SAE}/source.json", "tiny/model.json"])
@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", '"x"', "\x00", '{"format": 1}', '{"format": 2}', '{"format": "1"}', "[" * 100_000],
)
def test_no_manifest(root, name, text):
    (root / name).write_text(text, encoding="utf-8")
    catalog = Catalog((root,))
    assert len(catalog.damaged()) == 1
    assert len(catalog.sources()) == (1 if "source" in name else 2)


def places(data, path=()):
    """Every place in nested JSON."""
    yield path
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_manifest_with_something_else_in_it(root, data):
    """Any value anywhere in either file: read, or listed as damaged; what is listed can be asked for."""
    name = data.draw(st.sampled_from([f"{tiny.SAE}/source.json", "tiny/model.json"]))
    path = root / name
    original = path.read_text(encoding="utf-8")
    content = json.loads(original)
    where = data.draw(st.sampled_from([p for p in places(content) if p]))
    value = data.draw(st.sampled_from([None, True, -1, 1.5, "x", "../x", [], {}, [[1]], {"a": 1}, 10**30, "gone"]))
    changed = copy.deepcopy(content)
    holder = changed
    for key in where[:-1]:
        holder = holder[key]
    if value == "gone":
        del holder[where[-1]]
    else:
        holder[where[-1]] = value
    path.write_text(json.dumps(changed), encoding="utf-8")
    os.utime(path, ns=(1, data.draw(st.integers(1, 10**9))))
    try:
        catalog = Catalog((root,))
        for source in catalog.sources():
            assert isinstance(source.layer, int) and isinstance(source.width, int) and isinstance(source.tokens, int)
            assert isinstance(source.has, tuple) and isinstance(source.release.urls, tuple)
            catalog.entry(source.key)
        catalog.models(), catalog.releases(), catalog.damaged()
        try:
            manifest, _ = catalog.model("tiny")
            assert isinstance(manifest.special, tuple)
        except WorkbenchError:
            pass
    finally:
        path.write_text(original, encoding="utf-8")


def test_a_later_version_may_know_more(root):
    path = root / tiny.SAE / "source.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["source"]["colour"] = content["colour"] = "red"
    path.write_text(json.dumps(content), encoding="utf-8")
    assert Catalog((root,)).source(KEY).width == 64


@pytest.mark.parametrize(
    "figures",
    ["", "[]", "{}", '{"weights_sha256": "%s", "figures": []}', '{"weights_sha256": "%s", "figures": {"l0": "x"}}'],
)
def test_damaged_figures_count_as_none(root, figures):
    manifest = read_source(root / tiny.SAE / "source.json")
    folder = root / tiny.SAE / "derived" / "eval-1"
    folder.mkdir(parents=True)
    (folder / "figures.json").write_text(figures.replace("%s", manifest.build["weights_sha256"]), encoding="utf-8")
    assert Catalog((root,)).source(KEY).figures is None


def test_paths_in_manifests_survive_a_move(tmp_path):
    root = tmp_path / "project" / "data"
    root.mkdir(parents=True)
    assert relative(tmp_path / "project" / "models" / "a", root) == "../models/a"
    assert relative(root / "m" / "s", root) == "m/s"
    assert relative(tmp_path / "elsewhere", root) == str(tmp_path / "elsewhere")


def test_a_source_that_was_away_for_an_instant_is_found_at_once(tiny_root, tmp_path):
    """A look that meets the instant of a replacement must not hide the source until the next look is due."""
    shutil.copytree(tiny_root, tmp_path / "data")
    catalog, key = Catalog((tmp_path / "data",)), SourceKey.parse(tiny.SAE)
    folder = tmp_path / "data" / key.model_id / key.source_id
    folder.rename(folder.with_name(".away"))
    assert key not in [s.key for s in catalog.sources()]
    folder.with_name(".away").rename(folder)
    assert catalog.source(key).key == key
