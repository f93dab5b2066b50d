"""A source's own folder as Parquet and back: the same records and bytes; what does not fit is refused whole."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.errors import Conflict, WorkbenchError
from core.interchange.bulk.findings import Refused
from tests import tiny
from tests.core.interchange.conftest import tree


@pytest.fixture(scope="module")
def given(bench, tmp_path_factory):
    made = bench.exchange.give_out(tiny.SAE, tmp_path_factory.mktemp("parquet"), format="parquet")
    return made.folder.parent.parent


def test_back_again_it_is_the_same(bench, given, fresh):
    other = fresh()
    (made,) = other.exchange.bring_in(given)
    assert (str(made.key), made.width, made.there) == (tiny.SAE, 64, False)
    mine, theirs = (w.catalog.entry(made.key) for w in (bench, other))
    for name, digest in mine.manifest.checksums.items():
        assert theirs.manifest.checksums[name] == digest or same_rows(mine.folder / name, theirs.folder / name), name
    for index in range(64):
        a, b = bench.feature(f"{tiny.SAE}/{index}"), other.feature(f"{tiny.SAE}/{index}")
        assert (a.groups, a.top_logits, a.histogram, a.mean) == (b.groups, b.top_logits, b.histogram, b.mean)
    assert theirs.record.has == ("dashboards", "store")  # weights lie elsewhere: `join` gives them
    assert all(report.ok for report in other.check())
    assert other.words.annotation(f"{tiny.SAE}/3").line == bench.words.annotation(f"{tiny.SAE}/3").line
    (again,) = other.exchange.bring_in(given)
    assert again.there


def same_rows(a, b):
    """Arrow files of the same columns, rows and blocks; how lists lie in memory is not a file's meaning."""
    one, two = (pa.ipc.open_file(pa.memory_map(str(path))) for path in (a, b))
    blocks = [[f.get_batch(n).num_rows for n in range(f.num_record_batches)] for f in (one, two)]
    return blocks[0] == blocks[1] and one.read_all().equals(two.read_all())


def test_others_read_it(bench, given):
    folder = given / "tiny" / "1-res"
    features = pq.read_table(folder / "features.parquet")
    assert features["label"].to_pylist() == bench.features(tiny.SAE)["label"].tolist()
    entries = pq.read_table(folder / "store" / "entries.parquet").to_pandas()
    own = entries[entries["feature"] == 3]
    assert len(own) == bench.feature(f"{tiny.SAE}/3").active
    assert np.float32(own["value"].max()) == np.float32(bench.feature(f"{tiny.SAE}/3").maximum)
    text = (folder / "source.json").read_text() + (given / "tiny" / "model.json").read_text()
    assert str(bench.settings.data.parent) not in text and "/tmp" not in text


def test_writing_it_twice_gives_the_same_bytes(bench, given, tmp_path):
    again = bench.exchange.give_out(tiny.SAE, tmp_path, format="parquet")
    assert tree(again.folder) == tree(given / "tiny" / "1-res")


def test_an_import_goes_out_and_in_as_parquet(small_exported, tmp_path, fresh):
    bench, other = fresh("a"), fresh("b")
    (made,) = bench.exchange.bring_in(small_exported)
    out = bench.exchange.give_out(made.key, tmp_path / "out", format="parquet")
    other.exchange.bring_in(out.folder.parent.parent)
    for index in range(made.width):
        a, b = (w.feature(f"{made.key}/{index}") for w in (bench, other))
        assert a.groups == b.groups
    assert [e.text for e in bench.words.export([made.key])] == [e.text for e in other.words.export([made.key])]


def damage(folder, what):
    file = folder / "tiny" / "1-res"
    if what == "cut":
        path = file / "examples.parquet"
        path.write_bytes(path.read_bytes()[:-200])
    elif what == "wrong index":
        table = pq.read_table(file / "examples.parquet")
        prompts = [[9999] * len(one) for one in table["prompt"].to_pylist()]
        at = table.schema.get_field_index("prompt")
        pq.write_table(table.set_column(at, table.schema.field(at), pa.array(prompts, table.schema.field(at).type)),
                       file / "examples.parquet")  # fmt: skip
    elif what == "no prompts":
        (file / "prompts.parquet").unlink()
    elif what == "fewer entries":
        table = pq.read_table(file / "store" / "entries.parquet")
        pq.write_table(table.slice(0, len(table) - 5), file / "store" / "entries.parquet")
    elif what == "entries out of order":
        table = pq.read_table(file / "store" / "entries.parquet")
        pq.write_table(table.take(list(range(len(table)))[::-1]), file / "store" / "entries.parquet")
    elif what == "manifest":
        (file / "source.json").write_text("{}")
    elif what == "width":
        found = json.loads((file / "source.json").read_text())
        found["source"]["width"] = 65
        (file / "source.json").write_text(json.dumps(found))


DAMAGES = ["cut", "wrong index", "no prompts", "fewer entries", "entries out of order", "manifest", "width"]


@pytest.mark.parametrize("what", DAMAGES)
def test_damaged(given, tmp_path, fresh, what):
    import shutil

    shutil.copytree(given, tmp_path / "in")
    damage(tmp_path / "in", what)
    with pytest.raises(Refused):
        fresh().exchange.bring_in(tmp_path / "in")
    assert not fresh().sources()


def test_other_tokens_are_refused(given, fresh, small_exported):
    bench = fresh()
    bench.exchange.bring_in(small_exported)  # brings the model along, without tokens of its own
    with pytest.raises(Conflict, match="--as"):
        bench.exchange.bring_in(given)
    with pytest.raises(WorkbenchError):
        bench.exchange.bring_in(given, as_="tiny/1-res__again")
    (made,) = bench.exchange.bring_in(given, as_="second")
    assert bench.feature(f"{made.key}/3").label
