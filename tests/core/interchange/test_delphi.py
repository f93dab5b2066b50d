"""Delphi's caches: a store goes out and comes back with the same non-zeros; what does not fit is refused whole."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from core.errors import BadInput, NotAvailable
from core.interchange.bulk.findings import Refused
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny


@pytest.fixture(scope="module")
def cache(bench, tmp_path_factory):
    return bench.exchange.give_out(tiny.SAE, tmp_path_factory.mktemp("delphi"), format="delphi").folder


@pytest.fixture(scope="module")
def with_model(tiny_root, tmp_path_factory):
    """A root with the model and one other source, so that tokens have names."""
    root = tmp_path_factory.mktemp("root")
    shutil.copytree(tiny_root / "tiny" / "0-neurons", root / "tiny" / "0-neurons")
    for name in ("model.json", "vocabulary.arrow"):
        shutil.copyfile(tiny_root / "tiny" / name, root / "tiny" / name)
    return root


def test_round(bench, cache, with_model):
    other = Workbench(Settings(data=with_model, demo=None))
    (made,) = other.exchange.bring_in(cache, as_="tiny/1-cache")
    assert (made.format, made.width, made.activations) == ("delphi", 64, len(store(bench, tiny.SAE).values))
    a, b = store(bench, tiny.SAE), store(other, "tiny/1-cache")
    assert np.array_equal(a.offsets, b.offsets)
    assert np.array_equal(a.values.astype(np.float16), b.values.astype(np.float16))
    for index in (3, 20, 63):
        mine, theirs = bench.feature(f"{tiny.SAE}/{index}"), other.feature(f"tiny/1-cache/{index}")
        assert (mine.active, mine.label, theirs.density) == (theirs.active, theirs.label, mine.density)
        assert theirs.maximum == pytest.approx(mine.maximum, rel=1e-3)
        assert [g.kind for g in mine.groups] == [g.kind for g in theirs.groups]
    assert other.words.annotation("tiny/1-cache/3").line == bench.words.annotation(f"{tiny.SAE}/3").line
    assert all(report.ok for report in other.check()), [r.problems for r in other.check()]
    (again,) = other.exchange.bring_in(cache, as_="tiny/1-cache")
    assert again.there


def store(bench, key):
    return bench._open.get(bench.catalog.entry(bench.source(key).key).folder).store()


def test_splits_as_delphi_writes_them(bench, cache, with_model, tmp_path):
    """Several splits, features counted from each one's first; entries in the order of tokens."""
    whole = load_file(cache / "0_63.safetensors")
    (tmp_path / "layers.1").mkdir()
    for first, last in ((0, 19), (20, 63)):
        feature = whole["locations"][:, 2]
        some = np.flatnonzero((feature >= first) & (feature <= last))
        some = some[np.lexsort((whole["locations"][some, 1], whole["locations"][some, 0]))]
        locations = whole["locations"][some] - np.array([0, 0, first], np.uint16)
        save_file({"locations": locations, "activations": whole["activations"][some], "tokens": whole["tokens"]},
                  tmp_path / "layers.1" / f"{first}_{last}.safetensors")  # fmt: skip
    other = Workbench(Settings(data=with_model, demo=None))
    with pytest.raises(BadInput, match=r"layers\.1.*--as"):
        other.exchange.bring_in(tmp_path)
    (made,) = other.exchange.bring_in(tmp_path, as_="tiny/1-splits")
    assert np.array_equal(store(other, "tiny/1-splits").offsets, store(bench, tiny.SAE).offsets)
    assert np.array_equal(store(other, made.key).positions, store(other, "tiny/1-splits").positions)


def test_without_the_model(cache, fresh):
    with pytest.raises(NotAvailable, match="not here to say what they are"):
        fresh().exchange.bring_in(cache, as_="tiny/1-cache")


CHANGES = {
    "no tokens": lambda t: t.pop("tokens"),
    "no locations": lambda t: t.pop("locations"),
    "shapes": lambda t: t.update(activations=t["activations"][:-1]),
    "two columns": lambda t: t.update(locations=np.ascontiguousarray(t["locations"][:, :2])),
    "NaN": lambda t: t["activations"].__setitem__(3, np.nan),
    "below zero": lambda t: t["activations"].__setitem__(3, -1),
    "beyond the texts": lambda t: t["locations"].__setitem__((3, 0), 60000),
    "beyond the features": lambda t: t["locations"].__setitem__((3, 2), 64),
    "twice": lambda t: t["locations"].__setitem__(1, t["locations"][0]),
    "a token that is none": lambda t: t["tokens"].__setitem__((0, 0), 10**6),
}


@pytest.mark.parametrize("name", CHANGES)
def test_refused(cache, with_model, tmp_path, name):
    tensors = load_file(cache / "0_63.safetensors")
    CHANGES[name](tensors)
    save_file(tensors, tmp_path / "0_63.safetensors")
    other = Workbench(Settings(data=with_model, demo=None))
    with pytest.raises(Refused, match="0_63"):
        other.exchange.bring_in(tmp_path, as_="tiny/1-bad")
    assert not (with_model / "tiny" / "1-bad").exists()


def test_damaged_files_and_gaps(cache, with_model, tmp_path):
    other = Workbench(Settings(data=with_model, demo=None))
    data = (cache / "0_63.safetensors").read_bytes()
    (tmp_path / "0_63.safetensors").write_bytes(data[:-10])
    with pytest.raises(Refused, match="cannot be read"):
        other.exchange.bring_in(tmp_path, as_="tiny/1-bad")
    (tmp_path / "0_63.safetensors").rename(tmp_path / "5_68.safetensors")
    with pytest.raises(Refused, match="begins at feature 5"):
        other.exchange.bring_in(tmp_path, as_="tiny/1-bad")
