"""Similar features equal a dense recomputation; planted twins, splits, duplicates and paths are found and no others."""

from __future__ import annotations

import io
import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file

from core import __main__ as cli
from core.atlas import vectors
from core.atlas.near import families, products, rows, stream, tables
from core.errors import BadInput, NotAvailable, NotFound
from core.interchange import similar as shapes
from core.records import FeatureKey, SourceKey
from core.settings import Settings
from core.store import layout
from core.workbench import Workbench
from tests.core.atlas.near import planted
from tests.core.atlas.near.planted import (
    BROKEN,
    COPY,
    NEURON,
    OF,
    ORDER,
    RIVAL,
    SPLIT,
    TAKEN,
    WEIGHTS,
    WIDE,
    WIDTH,
    ZERO,
)
from tests.core.explain.meaning.worlds import Counting, Said

NAMES = ("0-res", "1-res", "1-wide", "0-tc", "0-neurons", "1-neurons")
"""Sources that write to the residual stream."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return planted.build(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="module")
def folder(bench):
    return bench.settings.data.parent


def key(source: str, index: int) -> FeatureKey:
    return FeatureKey("tiny", source, index)


def disk(folder, source: str) -> dict[str, np.ndarray]:
    """The weights of a source as its files have them, with no code of ours: `W_dec` and `W_enc` of neurons too."""
    if source.endswith("neurons"):
        model = load_file(folder / "model" / "model.safetensors")
        layer = f"transformer.h.{source[0]}.mlp."
        return {"W_dec": model[f"{layer}c_proj.weight"], "W_enc": model[f"{layer}c_fc.weight"]}
    name = {"0-res": "twin", "1-res": "own", "1-wide": "wide", "0-tc": "tc", "1-query": "query"}[source]
    return load_file(folder / name / "sae_weights.safetensors")


def seen(folder, source: str) -> np.ndarray:
    """[n, d] encoder rows as the stream sees them: through the norm's gain and less their mean, where there is one."""
    found = disk(folder, source)["W_enc"].T.astype(np.float64)
    if source in ("0-tc", "0-neurons", "1-neurons"):
        gain = load_file(folder / "model" / "model.safetensors")[f"transformer.h.{source[0]}.ln_2.weight"]
        found = found * gain
        found = found - found.mean(1, keepdims=True)
    return found


def dense(folder, by: str, source: str) -> np.ndarray:
    """[n, m] whole rows of a measure, in float64, the logit effects over the whole vocabulary."""
    if by == "encoder":
        return seen(folder, source)
    found = disk(folder, source)["W_dec"].astype(np.float64)
    if by == "logits":
        found = found @ load_file(folder / "model" / "model.safetensors")["transformer.wte.weight"].T.astype(np.float64)
    return found


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (a, b))
    return np.nan_to_num(a @ b.T)


@pytest.mark.parametrize("by", ["decoder", "encoder", "logits"])
@pytest.mark.parametrize("source", ["1-res", "0-neurons", "0-tc"])
def test_it_equals_a_dense_recomputation(bench, folder, by, source):
    own = key(source, 13)
    row = dense(folder, by, source)[13]
    every = {name: cosine(row[None], dense(folder, by, name))[0] for name in NAMES}
    every[source][13] = -np.inf
    pairs = sorted(((-v, key(name, i)) for name in NAMES for i, v in enumerate(every[name])), key=lambda p: p[0])
    record = bench.atlas.similar(own, by=by, top=25)
    assert [hit.value for hit in record.hits] == pytest.approx([-v for v, _ in pairs[:25]], abs=1e-5)
    for hit in record.hits:
        assert every[hit.feature.source_id][hit.feature.index] == pytest.approx(hit.value, abs=1e-5)
    assert {place.key.source_id: place.best.value for place in record.places} == pytest.approx(
        {name: values.max() for name, values in every.items()}, abs=1e-5
    )
    assert own not in [hit.feature for hit in record.hits]
    assert [one.key.source_id for one in record.left_out] == ["1-query"]


def test_planted_twins_are_found_with_cosine_1_and_the_right_permutation(bench):
    spaces = bench.atlas.spaces
    own, twin = (spaces.of(SourceKey("tiny", name), "decoder") for name in ("1-res", "0-res"))
    (index, value), _ = tables.both(own, twin)
    whole = [i for i in range(WIDTH) if i not in (BROKEN, TAKEN, RIVAL, ZERO)]
    assert (index[whole, 0] == ORDER[whole]).all()
    assert value[whole, 0] == pytest.approx(1, abs=1e-5)
    for by in ("decoder", "encoder", "logits"):
        (hit,) = bench.atlas.similar(key("1-res", 3), by=by, sources=["0-res"], top=1).hits
        assert hit.feature == key("0-res", int(ORDER[3])) and hit.value == pytest.approx(1, abs=1e-5)


def test_what_stands_beside_chance(bench, folder):
    """Medians over 64 other features, or all there are, and 64 random directions; the same at every call."""
    record = bench.atlas.similar(key("1-res", 3), sources=["1-wide"])
    (place,) = record.places
    found = cosine(dense(folder, "decoder", "1-res"), dense(folder, "decoder", "1-wide"))
    others = np.delete(found, ZERO, 0).max(1)
    assert place.chance.sample == WIDTH - 1, "a row of zeros is near nothing"
    assert place.chance.median == pytest.approx(np.median(others), abs=1e-5)
    assert place.chance.high == pytest.approx(np.quantile(others, 0.95), abs=1e-5)
    assert 0 < place.chance.random < place.chance.median
    assert bench.atlas.similar(key("1-res", 3), sources=["1-wide"]) == record
    inside = bench.atlas.similar(key("1-wide", 3), sources=["1-wide"]).places[0].chance
    assert inside.high < 0.9, "no feature is near itself"


def test_is_there_a_neuron_for_it(bench):
    answer = bench.atlas.similar(key("1-res", planted.LIKE_NEURON)).neuron
    assert answer.level == "yes" and answer.best.feature == key("0-neurons", NEURON)
    assert answer.best.value == pytest.approx(1, abs=1e-5) and answer.neurons == 256
    assert bench.atlas.similar(key("1-res", 5)).neuron.level != "yes"
    assert bench.atlas.similar(key("0-neurons", 5)).neuron is None
    alone = bench.atlas.similar(key("1-res", 5), sources=["0-neurons"])
    assert answer.chance.median >= alone.places[0].chance.median, "a sample's best is over all neurons, too"


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"by": "taste"}, BadInput, "decoder, encoder, logits, explanation, correlation"),
        ({"top": 0}, BadInput, "top is 1 to"),
        ({"sources": ["9-none"]}, NotFound, "9-none"),
        ({"sources": ["1-query"]}, NotAvailable, "different spaces"),
        ({"sources": ["1-query"], "by": "logits"}, NotAvailable, "no effect on logits"),
    ],
)
def test_what_cannot_be_compared_says_why(bench, change, error, said):
    with pytest.raises(error, match=said):
        bench.atlas.similar(key("1-res", 3), **change)


def test_a_row_of_zeros_and_an_index_that_is_not_there(bench):
    with pytest.raises(BadInput, match="no direction"):
        bench.atlas.similar(key("1-res", ZERO))
    with pytest.raises(NotFound, match=f"0 to {WIDTH - 1}"):
        bench.atlas.similar(key("1-res", WIDTH))
    every = bench.atlas.similar(key("1-res", 3), sources=["1-res"], top=WIDTH).hits
    assert len(every) == WIDTH - 1 and [hit.value for hit in every if hit.feature.index == ZERO] == [0]


def test_equal_values_stand_by_index():
    values = np.array([0.5, 0.9, 0.5, 0.9, 0.5, 0.1], np.float32)
    assert products.nearest(values, 3).tolist() == [1, 3, 0]
    assert products.nearest(values, 3, leave=1).tolist() == [3, 0, 2]
    assert products.nearest(values, 9, leave=0).tolist() == [1, 3, 2, 4, 5]


def test_by_explanation(bench):
    said, embedder = Said(), Counting()
    from core.explain.meaning.seeker import Seeker

    source, other = SourceKey("tiny", "1-res"), SourceKey("tiny", "0-res")
    said.its = {one.key: [] for one in bench.sources()}
    for index, text in ((1, "red"), (2, "blue"), (3, "green"), (1, "a colour")):
        said.say(index, text, source)
    for index, text in ((7, "blue"), (8, "a colour"), (8, "green")):
        said.say(index, text, other)
    bench.words.__dict__["_seeker"] = Seeker(bench, lambda: (said,), made=embedder)
    record = bench.atlas.similar(key("1-res", 1), by="explanation")
    texts = {
        key("1-res", 2): ["blue"], key("1-res", 3): ["green"], key("0-res", 7): ["blue"],
        key("0-res", 8): ["a colour", "green"],
    }  # fmt: skip
    dense = {
        one: max(float(embedder.vector(a) @ embedder.vector(b)) for a in ("red", "a colour") for b in its)
        for one, its in texts.items()
    }
    assert {hit.feature: hit.value for hit in record.hits} == pytest.approx(dense, abs=1e-5)
    assert record.hits[0].feature == key("0-res", 8), "they have a sentence in common"

    def alike(a, b):
        vectors = [[embedder.vector(text) for text in its] for its in (a, b)]
        return max(float(x @ y) for x in vectors[0] for y in vectors[1])

    mine, theirs = {1: ["red", "a colour"], 2: ["blue"], 3: ["green"]}, {7: ["blue"], 8: ["a colour", "green"]}
    there, inside = ({place.key.source_id: place.chance for place in record.places}[n] for n in ("0-res", "1-res"))
    pairs = np.array([[alike(a, b) for b in theirs.values()] for a in mine.values()])
    assert (there.sample, there.random) == (3, None)
    assert there.median == pytest.approx(np.median(pairs.max(1)), abs=1e-5)
    assert there.pair == pytest.approx(np.quantile(pairs, 0.95), abs=1e-5)
    own = np.array([[alike(a, b) for j, b in mine.items() if j != i] for i, a in mine.items()])
    assert inside.median == pytest.approx(np.median(own.max(1)), abs=1e-5), "no feature is near itself"
    assert inside.pair == pytest.approx(np.quantile(own, 0.95), abs=1e-5)
    assert bench.atlas.similar(key("1-res", 1), by="explanation") == record
    said.say(4, "blue", source)
    bench.words._seeker._marks.clear()  # as some seconds later
    again = bench.atlas.similar(key("1-res", 1), by="explanation").places
    assert {p.key.source_id: p.chance.sample for p in again if p.chance} == {"0-res": 4, "1-res": 4}, "found anew"
    with pytest.raises(NotAvailable, match="Nothing has been said"):
        bench.atlas.similar(key("1-res", 20), by="explanation")


def test_by_correlation_is_what_fires_together(bench):
    own = key("1-wide", int(bench.features("tiny/1-wide")["active"].idxmax()))
    names = ("1-wide", "1-neurons")
    record = bench.atlas.similar(own, by="correlation", sources=names, top=4)
    each = [one for name in names for one in bench.atlas.correlated(own, [f"tiny/{name}"], 4)]
    assert len(each) > 4
    assert [hit.value for hit in record.hits] == sorted((one.value for one in each), reverse=True)[:4]
    for place in record.places:
        best = [
            max([one.value for one in bench.atlas.correlated(other, [place.key], 1)], default=0.0)
            for other in bench.living("tiny/1-wide")
        ]
        chance = place.chance
        assert (chance.sample, chance.random, chance.pair) == (len(best), None, None)
        assert chance.median == pytest.approx(np.median(best), abs=1e-6)
        assert chance.high == pytest.approx(np.quantile(best, 0.95), abs=1e-6)


# -- through the layers ------------------------------------------------------------------------------------------------


def test_a_chain_is_mutual_best_matches(bench):
    record = bench.atlas.chain(key("1-res", 3))
    assert [one.hit.feature for one in record.members] == [key("0-res", int(ORDER[3])), key("1-res", 3)]
    (step,) = record.down
    assert step.held and step.best.value == pytest.approx(1, abs=1e-5) and step.back.feature == key("1-res", 3)
    assert record.up == () and [str(one) for one in record.sources] == ["tiny/0-res", "tiny/1-res"]
    back = bench.atlas.chain(key("0-res", int(ORDER[3])))
    assert [one.hit.feature for one in back.members] == [one.hit.feature for one in record.members]


def test_a_chain_ends_where_nothing_is_near_and_where_another_is_nearer(bench):
    broken = bench.atlas.chain(key("1-res", BROKEN), threshold=0.9)
    assert [one.hit.feature for one in broken.members] == [key("1-res", BROKEN)]
    assert not broken.down[0].held and broken.down[0].best.value < 0.9
    taken = bench.atlas.chain(key("1-res", TAKEN))
    (step,) = taken.down
    assert step.best.feature == key("0-res", int(ORDER[TAKEN])) and step.best.value > 0.9
    assert not step.held and step.back.feature == key("1-res", RIVAL) and step.back.value > step.best.value
    assert bench.atlas.chain(key("1-res", RIVAL)).members[0].hit.feature == key("0-res", int(ORDER[TAKEN]))


def test_a_threshold_is_a_cosine(bench):
    for threshold in (0.0, 1.5, float("nan")):
        with pytest.raises(BadInput, match="threshold"):
            bench.atlas.chain(key("1-res", 3), threshold=threshold)
        with pytest.raises(BadInput, match="threshold"):
            bench.atlas.family(key("1-res", 3), threshold=threshold)


# -- families ----------------------------------------------------------------------------------------------------------


def test_near_duplicates_are_those_above_the_threshold(bench, folder):
    found = cosine(dense(folder, "decoder", "1-wide")[[OF]], dense(folder, "decoder", "1-wide"))[0]
    for threshold in (0.3, 0.7, 0.999):
        record = bench.atlas.family(key("1-wide", OF), threshold=threshold, sources=["1-res"])
        assert {hit.feature.index for hit in record.duplicates} == set(np.flatnonzero(found >= threshold)) - {OF}
        assert record.nearest.feature.index == COPY


@pytest.mark.parametrize("feature", SPLIT)
def test_a_planted_split_is_found_with_its_weights(bench, folder, feature):
    record = bench.atlas.family(key("1-res", feature))
    split = next(one for one in record.splits if one.source.source_id == "1-wide")
    assert [part.hit.feature.index for part in split.parts] == list(SPLIT[feature])
    assert [part.weight for part in split.parts] == pytest.approx(WEIGHTS, abs=1e-4)
    assert split.explained == pytest.approx(1, abs=1e-5) and split.single == pytest.approx(WEIGHTS[0] ** 2, abs=1e-4)
    assert split.random < split.explained and split.chance < split.explained
    rows_of = dense(folder, "decoder", "1-wide")
    unit = rows_of / np.linalg.norm(rows_of, axis=1, keepdims=True)
    row = dense(folder, "decoder", "1-res")[feature]
    left = row / np.linalg.norm(row) - sum(part.weight * unit[part.hit.feature.index] for part in split.parts)
    assert split.explained == pytest.approx(1 - left @ left, abs=1e-5)


def test_a_pursuit_explains_more_with_every_part_and_never_below_0(bench):
    own, there = (bench.atlas.spaces.of(SourceKey("tiny", name), "decoder") for name in ("1-res", "1-wide"))
    taken, weights, explained = families.pursue(there, there.query(products.row_of(own, key("1-res", 30)))[0], gain=0.0)
    assert len(set(taken)) == len(taken) == families.PARTS
    assert explained == sorted(explained) and (weights >= 0).all()


# -- reads and writes --------------------------------------------------------------------------------------------------


def test_paths_equal_explicit_products(bench, folder):
    """The reader's encoder row with the writer's decoder row; between sources of the stream in units of activations."""
    record = bench.atlas.wiring(key("1-wide", 5), top=WIDE)
    places = {place.key.source_id: place for place in record.reads}
    assert list(places) == ["0-neurons", "0-tc", "0-res"], "what writes before it reads, the nearest first"
    for name, place in places.items():
        explicit = disk(folder, name)["W_dec"].astype(np.float64) @ disk(folder, "1-wide")["W_enc"][:, 5]
        found = {wire.hit.feature.index: wire for wire in place.wires}
        assert len(found) == min(WIDE, len(explicit))
        assert {i: wire.weight for i, wire in found.items()} == pytest.approx({i: explicit[i] for i in found}, abs=1e-4)
        sizes = [abs(wire.hit.value) for wire in place.wires]
        assert sizes == sorted(sizes, reverse=True)
        for i, wire in found.items():
            maximum = bench.feature(wire.hit.feature).maximum
            assert wire.adds == pytest.approx(explicit[i] * maximum, abs=1e-3)
    assert [place.key.source_id for place in record.writes] == ["1-neurons"]


def test_behind_a_norm_a_path_has_a_direction_and_no_unit(bench, folder):
    record = bench.atlas.wiring(key("0-res", 5), top=3)
    places = {place.key.source_id: place for place in record.writes}
    assert list(places) == ["0-neurons", "0-tc", "1-res", "1-wide", "1-neurons"]
    assert record.reads == (), "nothing is before the first layer"
    for name in ("0-neurons", "0-tc", "1-neurons"):
        found = cosine(dense(folder, "decoder", "0-res")[[5]], seen(folder, name))[0]
        place = places[name]
        assert place.norm == "ln2" and all(wire.weight is None and wire.adds is None for wire in place.wires)
        best = np.argsort(-np.abs(found), kind="stable")[:3]
        assert [wire.hit.value for wire in place.wires] == pytest.approx(found[best].tolist(), abs=1e-5)
    assert places["1-res"].norm == "" and places["1-res"].wires[0].weight is not None


def test_a_planted_path_is_the_strongest(bench):
    record = bench.atlas.wiring(key("1-wide", planted.READER), top=1)
    (wire,) = next(place for place in record.reads if place.key.source_id == "0-res").wires
    assert wire.hit.feature == key("0-res", planted.WRITER) and wire.hit.value == pytest.approx(-1, abs=1e-5)
    record = bench.atlas.wiring(key("0-res", planted.WRITER), top=1)
    (wire,) = next(place for place in record.writes if place.key.source_id == "1-wide").wires
    assert wire.hit.feature == key("1-wide", planted.READER)


def test_what_stands_outside_the_stream_says_so(bench):
    record = bench.atlas.wiring(key("1-query", 3))
    assert record.writes == () and "not the residual stream" in record.silent


def test_a_row_behind_a_norm_is_how_the_neuron_is_pushed(bench):
    """A small step of the stream moves the neuron by its product with the row, over the norm's scale."""
    import torch

    key_ = SourceKey("tiny", "1-neurons")
    side = stream.reading(bench, key_)
    block = bench._model_slot("tiny").get().bridge.blocks[1]
    x = torch.from_numpy(np.random.default_rng(0).normal(size=32).astype(np.float32))
    x -= x.mean()
    step = torch.from_numpy(side.rows[9].copy())
    step -= (step @ x) / (x @ x) * x  # what changes the scale is left out
    norm = block.ln2.original_component
    moved = (norm(x + 1e-2 * step) - norm(x - 1e-2 * step)) / 2e-2
    pushed = float(moved @ torch.from_numpy(np.ascontiguousarray(vectors.encoder(bench, key_)[9])))
    expected = float(step @ torch.from_numpy(side.rows[9])) / float(x.pow(2).mean().sqrt())
    assert pushed == pytest.approx(expected, rel=1e-2)


# -- rows, tables, files -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", [*NAMES, "1-query"])
def test_rows_are_those_on_disk_and_say_which_they_are(bench, folder, source):
    for side, hook in (("decoder", "hook_out"), ("encoder", "hook")):
        record = bench.atlas.row(key(source, 2), side)
        weights = disk(folder, source)
        expected = weights["W_dec"][2] if side == "decoder" else weights["W_enc"][:, 2]
        assert record.values == tuple(float(x) for x in expected)
        assert record.norm == pytest.approx(np.linalg.norm(expected), rel=1e-6)
        made = shapes.row(record)
        assert made["row"] == side and made["hook"] == record.hook and made["vector"] == list(record.values)
        assert (np.load(io.BytesIO(rows.npy(record))) == expected).all()
        assert rows.file_name(record, "npy") == f"tiny_{source}_2_{side}.npy"
        if not source.endswith("neurons"):
            assert record.hook == getattr(bench.source(f"tiny/{source}"), hook) or side == "decoder"
    with pytest.raises(BadInput, match="decoder, encoder"):
        bench.atlas.row(key(source, 2), "middle")


def test_arrays_share_the_memory_of_the_pool(bench):
    source = bench._source_slot(bench.source("tiny/1-res")).get().source
    assert np.shares_memory(vectors.decoder(bench, SourceKey("tiny", "1-res")), source.W_dec.numpy())


@pytest.fixture(scope="module")
def kept(bench, tmp_path_factory):
    """A workbench of which the tables are in a root of their own."""
    root = tmp_path_factory.mktemp("tables")
    made = Workbench(Settings(data=root, demo=bench.settings.data))
    made.atlas.make_near("tiny")
    return made


def test_a_table_has_what_is_nearest_in_every_other_source(bench, kept):
    for source, index in (("1-res", 3), ("0-neurons", 17), ("0-tc", 23)):
        record = kept.atlas.glance(key(source, index), top=100)
        assert record.missing == (SourceKey("tiny", "1-query"),), "whose rows are of another space"
        its = {}
        for hit in record.hits:
            its.setdefault(hit.feature.source_id, []).append(hit)
        assert set(its) == set(NAMES) - {source}
        for name, hits in its.items():
            exact = bench.atlas.similar(key(source, index), sources=[name], top=tables.TOP).hits
            assert [hit.value for hit in hits] == pytest.approx([hit.value for hit in exact], abs=6e-4)
    short = kept.atlas.glance(key("1-res", 3), top=5)
    assert len({hit.feature.source_id for hit in short.hits}) == 5, "the best of each source comes first"
    assert [hit.value for hit in short.hits] == sorted((hit.value for hit in short.hits), reverse=True)


def test_a_table_of_another_build_is_not_believed(kept, tmp_path):
    root = shutil.copytree(kept.settings.data, tmp_path / "copy")
    here = Workbench(Settings(data=root, demo=kept.settings.demo))
    (made,) = root.glob("tiny/1-res/derived/near-*/made.json")
    held = json.loads(made.read_text())
    held["from"]["others"]["tiny/0-res"]["weights_sha256"] = "of another build"
    made.write_text(json.dumps(held))
    record = here.atlas.glance(key("1-res", 3), top=100)
    assert SourceKey("tiny", "0-res") in record.missing
    assert all(hit.feature.source_id != "0-res" for hit in record.hits)
    held["from"]["own"]["weights_sha256"] = "of another build"
    made.write_text(json.dumps(held))
    assert here.atlas.glance(key("1-res", 3)) is None
    for damage in (b"", b"{", b'{"from": 3}'):
        made.write_bytes(damage)
        assert here.atlas.glance(key("1-res", 3)) is None


def test_a_damaged_table_is_as_if_it_had_not_been_made(kept, tmp_path):
    root = shutil.copytree(kept.settings.data, tmp_path / "copy")
    (made,) = root.glob(f"tiny/1-res/derived/near-*/{tables.FILE}")
    whole = made.read_bytes()
    assert Workbench(Settings(data=root, demo=kept.settings.demo)).atlas.glance(key("1-res", 3)) is not None
    for damage in (b"", whole[: len(whole) // 2], whole[:200] + b"\xff" * (len(whole) - 400) + whole[-200:]):
        made.write_bytes(damage)
        assert Workbench(Settings(data=root, demo=kept.settings.demo)).atlas.glance(key("1-res", 3)) is None


def test_a_compact_table_is_within_a_thousandth(tmp_path):
    rng = np.random.default_rng(0)
    index, value = rng.integers(0, 2048, (300, 3, tables.TOP)).astype(np.uint16), rng.random((300, 3, tables.TOP))
    value[:, 2, 3:] = np.nan  # a source of three rows
    sizes = []
    for compact, within in ((False, 5e-4), (True, 1e-3)):
        path = tmp_path / f"{compact}.arrow"
        tables.write(path, index, value.astype(np.float32), compact=compact)
        table = tables.Table((), 3, layout.Rows(path))
        for row in (0, 255, 256, 299):
            its, values = table.row(row)
            np.testing.assert_array_equal(its, index[row])
            np.testing.assert_allclose(values.astype(float), value[row], atol=within)
        sizes.append(path.stat().st_size)
    assert sizes[1] < 0.8 * sizes[0]


def test_the_command_line(bench, capfdbinary, monkeypatch):
    monkeypatch.setenv("FEATURESCOPE_DEMO", "")

    def run(*arguments):
        capfdbinary.readouterr()
        status = cli.main([*arguments, "--data", str(bench.settings.data)])
        out, err = capfdbinary.readouterr()
        return status, out.decode(), err.decode()

    status, out, _ = run("similar", "tiny/1-res/3", "--json", "--top", "4", "--in", "0-res,1-wide")
    record = bench.atlas.similar(key("1-res", 3), sources=["0-res", "1-wide"], top=4)
    assert status == 0 and json.loads(out) == json.loads(json.dumps(shapes.answer(record)))
    _, out, _ = run("similar", "tiny/1-res/3", "--view", "layers")
    assert f"tiny/0-res/{ORDER[3]}" in out
    _, out, _ = run("similar", "tiny/1-res/0", "--view", "family")
    assert "2 explain 100.0%" in out
    _, out, _ = run("similar", f"tiny/1-wide/{planted.READER}", "--view", "wiring")
    assert f"tiny/0-res/{planted.WRITER}" in out and "behind ln2" in out
    status, out, err = run("similar", "tiny/1-res/3", "--in", "1-query")
    assert (status, out) == (2, "") and "different spaces" in err


def test_a_table_for_a_spreadsheet(bench):
    record = bench.atlas.family(key("1-res", 0))
    lines = shapes.to_csv(record).split("\r\n")
    assert lines[0] == ",".join(shapes.HEAD) and any(line.startswith("part in 1-wide,tiny/1-wide/0,") for line in lines)


def test_a_build_makes_tables_where_they_are_of_use_and_quick(kept, bench, tmp_path, monkeypatch):
    here = Workbench(Settings(data=tmp_path, demo=bench.settings.data))
    here.atlas.near_after_build("tiny")
    assert here.atlas.glance(key("1-res", 3)) is None, "so few features are compared in no time"
    monkeypatch.setattr(tables, "FEW", 10)
    monkeypatch.setattr(tables, "MUCH", 1000)
    here.atlas.near_after_build("tiny")
    assert here.atlas.glance(key("1-res", 3)) is None, "it would take long"
    monkeypatch.setattr(tables, "MUCH", 1e12)
    here.atlas.near_after_build("tiny")
    assert here.atlas.glance(key("1-res", 3)) == kept.atlas.glance(key("1-res", 3))
