"""Maps: the same seed gives the same map, planted clusters are found and called by their words, what is put among
fitted points lands beside its like, and what is kept, packed and saved says what was made."""

from __future__ import annotations

import json
import re
import threading
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest

from core.atlas.map import clusters as map_clusters
from core.atlas.map import files as map_files
from core.atlas.map import layout as map_layout
from core.atlas.map import maps
from core.atlas.map import pack as map_pack
from core.atlas.map.layout import Layout
from core.errors import BadData, BadInput, NotFound
from core.explain.meaning.seeker import Seeker
from core.records import SourceKey
from core.settings import Settings
from core.workbench import Workbench
from tests import xss
from tests.core.explain.meaning.worlds import NEURONS, SAE, Counting, Said

GROUPS, EACH, WIDTH = 5, 70, 24
PLANTED = ("river", "bread", "violin", "winter", "letter")


@pytest.fixture(scope="module")
def planted():
    """(vectors around five directions, the group of each)."""
    draw = np.random.default_rng(3)
    group = np.repeat(np.arange(GROUPS), EACH)
    centres = np.linalg.qr(draw.normal(size=(WIDTH, GROUPS)))[0].T
    order = draw.permutation(len(group))
    return (centres[group] + 0.07 * draw.normal(size=(len(group), WIDTH))).astype(np.float32)[order], group[order]


@pytest.fixture(scope="module")
def layout(planted):
    return map_layout.place(planted[0], seed=0)


# -- the layout --------------------------------------------------------------------------------------------------------


def test_neighbours_are_exact(planted):
    rows = map_layout.unit(planted[0])
    numbers, distances = map_layout.neighbours(rows, rows, 9)
    cosine = rows.astype(np.float64) @ rows.T.astype(np.float64)
    for n in range(len(rows)):
        best = np.sort(1 - cosine[n])[:9]
        np.testing.assert_allclose(distances[n], np.maximum(best, 0), atol=1e-6)
        np.testing.assert_allclose(1 - cosine[n, numbers[n]], best, atol=1e-6)


def test_the_same_seed_gives_the_same_map_and_another_one_another(planted, layout):
    np.testing.assert_array_equal(map_layout.place(planted[0], seed=0).xy, layout.xy)
    assert not np.allclose(map_layout.place(planted[0], seed=1).xy, layout.xy)


def test_what_is_alike_lies_together(planted, layout):
    _, group = planted
    apart = np.linalg.norm(layout.xy[:, None] - layout.xy[None], axis=-1)
    np.fill_diagonal(apart, np.inf)
    assert (group[apart.argmin(axis=1)] == group).mean() > 0.98


def test_above_a_size_a_sample_is_fitted_and_the_rest_lands_beside_its_like(planted):
    vectors, group = planted
    made = map_layout.place(vectors, seed=0, fit=250)
    assert len(made.fitted) == 250 and len(made.xy) == len(vectors)
    rest = np.setdiff1d(np.arange(len(vectors)), made.fitted)
    apart = np.linalg.norm(made.xy[rest][:, None] - made.xy[made.fitted][None], axis=-1)
    assert (group[made.fitted][apart.argmin(axis=1)] == group[rest]).mean() > 0.95
    again = map_layout.place(vectors, seed=0, fit=250)
    np.testing.assert_array_equal(made.xy, again.xy)


def test_a_point_that_was_fitted_is_put_near_where_it_lies(planted):
    """Every fitted vector comes a second time, to be put among them."""
    vectors, _ = planted
    half = vectors[:260]
    twice = np.concatenate([half, half])
    made = map_layout.place(twice, seed=0, fit=260)
    where = {int(row): n for n, row in enumerate(made.fitted)}
    pairs = [(n % 260, n // 260) for n in made.fitted]
    alone = [n for n in range(260) if (n in where) != (n + 260 in where)]
    moved = np.linalg.norm(made.xy[alone] - made.xy[np.array(alone) + 260], axis=1)
    width = np.ptp(made.xy, axis=0).max()
    assert len(pairs) == 260 and len(alone) > 60
    assert np.median(moved) < 0.05 * width, moved


@pytest.mark.parametrize("count", [1, 2, 4, 5, 9])
def test_few_points_have_a_map_too(count):
    made = map_layout.place(np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32))
    assert made.xy.shape == (count, 2) and np.isfinite(made.xy).all()
    assert len(np.unique(made.xy.round(4), axis=0)) == count


def test_rows_of_zeros_and_twins_do_no_harm():
    vectors = np.zeros((40, 8), np.float32)
    vectors[:20] = np.random.default_rng(0).normal(size=(20, 8))
    assert np.isfinite(map_layout.place(vectors).xy).all()


def test_the_frame_holds_all_and_lies_along_the_screen(layout):
    xy = maps.framed(layout.xy)
    assert np.abs(xy).max() <= 1 + 1e-6 and np.ptp(xy, axis=0).max() == pytest.approx(2, abs=1e-5)
    far = np.linalg.norm(layout.xy - np.median(layout.xy, axis=0), axis=1)
    island = np.concatenate([layout.xy, [[far.max() * 60, 0]]]).astype(np.float32)
    framed = maps.framed(island)
    assert np.ptp(framed[:-1], axis=0).max() > 0.8  # one point far away leaves the others room
    assert np.abs(framed).max() <= 1 + 1e-6


# -- clusters and their words ------------------------------------------------------------------------------------------


def test_planted_clusters_are_found_and_called_by_what_is_said_of_them(planted, layout):
    _, group = planted
    draw = np.random.default_rng(5)
    noise = ["the word of a house", "any token before the other", "names and the houses", "a kind of feature"]
    lines = [f"{PLANTED[g]} and {noise[draw.integers(4)]}" if draw.random() < 0.6 else noise[1] for g in group]
    found, each = map_clusters.find(layout.xy, layout.fitted)
    names = map_clusters.labels(found, lines)
    assert each.shape == (3, len(group))
    top = [n for n, one in enumerate(found) if one.level == 0]
    assert len(top) == GROUPS
    for n in top:
        inside = group[each[0] == n]
        own = np.bincount(inside).argmax()
        assert (inside == own).mean() > 0.98 and len(inside) > 0.8 * EACH
        assert names[n][0] == PLANTED[own]
    assert {names[n][0] for n in top} == set(PLANTED)
    for one in found:
        assert one.parent == -1 or found[one.parent].level < one.level
        assert one.parent == -1 or np.isin(one.members, found[one.parent].members).mean() > 0.5


def test_labels_have_few_words_and_none_that_says_nothing():
    members = np.arange(20)
    one = map_clusters.Found(0, members, -1)
    lines = ["the mothers, fathers, sisters, brothers, uncles and cousins of the family"] * 20 + ["stones"] * 60
    (words,) = map_clusters.labels([one], lines)
    assert 1 <= len(words) <= 4 and len(" · ".join(words)) <= map_clusters.CHARACTERS
    assert not set(words) & map_clusters.STOP


def test_pieces_of_words_are_quoted_where_nothing_better_is_said():
    one = map_clusters.Found(0, np.arange(10), -1)
    lines = ["“sh”, “ment” or “the”"] * 10 + ["“river”"] * 30
    (words,) = map_clusters.labels([one], lines, frozenset({"river", "the"}))
    assert words and all(word.startswith("“") for word in words)
    (words,) = map_clusters.labels([map_clusters.Found(0, np.arange(10, 40), -1)], lines, frozenset({"river"}))
    assert words == ("river",)


def test_two_forms_of_a_word_are_one():
    one = map_clusters.Found(0, np.arange(10), -1)
    (words,) = map_clusters.labels([one], ["country countries"] * 5 + ["countries country"] * 5 + ["stone"] * 40)
    assert len(words) == 1 or not words[0].startswith(words[1])


def test_points_that_were_not_fitted_join_the_nearest_cluster(planted, layout):
    fitted = np.arange(0, len(layout.xy), 2)
    _, each = map_clusters.find(layout.xy, fitted)
    rest = np.setdiff1d(np.arange(len(layout.xy)), fitted)
    for point in rest[:40]:
        nearest = fitted[np.linalg.norm(layout.xy[fitted] - layout.xy[point], axis=1).argmin()]
        assert each[0, point] == each[0, nearest]


# -- the workbench -----------------------------------------------------------------------------------------------------


@pytest.fixture
def bench(tiny_root, tmp_path):
    """A workbench of which every third living feature is explained, with texts that would be scripts."""
    bench = Workbench(Settings(data=tmp_path, demo=tiny_root))
    said = Said()
    for key in (SAE, NEURONS):
        for n, feature in enumerate(bench.living(key)[::3]):
            said.say(feature.index, xss.TAGS[n % len(xss.TAGS)] + f" colour {n}", key, score=0.5, scorer="detection")
    bench.words.__dict__["providers"] = (said,)
    bench.words.__dict__["_seeker"] = Seeker(bench, lambda: (said,), made=Counting())
    bench.said = said
    return bench


@pytest.fixture
def quick(monkeypatch):
    """Layouts at once, since what is asked here is not where points lie; counts them."""
    made: list[int] = []

    def place(vectors, *, seed=0, fit=0, tell=None):
        made.append(len(vectors))
        n = len(vectors)
        return Layout(np.random.default_rng(seed).normal(size=(n, 2)).astype(np.float32), np.arange(n))

    monkeypatch.setattr(map_layout, "place", place)
    return made


def test_a_map_holds_the_living_features_each_once(bench, quick):
    record = bench.atlas.map(SAE, of="decoder")
    living = bench.living(SAE)
    assert [record.key(n) for n in range(len(record))] == list(living)
    assert record.dead == bench.source(SAE).width - len(living) and record.unsaid == 0
    both = bench.atlas.map([NEURONS, SAE], of="decoder")
    assert set(both.points) == {*living, *bench.living(NEURONS)} and both.sources == tuple(sorted([SAE, NEURONS]))
    explained = bench.atlas.map([SAE], of="explanation")
    assert len(explained) == len(living[::3]) and explained.unsaid == len(living) - len(explained)


def test_a_map_is_made_once_and_found_again(bench, quick, tmp_path):
    assert bench.atlas.map_here(SAE) is None
    first = bench.atlas.map([SAE, NEURONS])
    assert quick and len(quick) == 1
    again = bench.atlas.map([NEURONS, SAE])
    assert len(quick) == 1 and again.name == first.name and again.sources == first.sources
    np.testing.assert_array_equal(again.x, first.x)
    other = Workbench(Settings(data=bench.settings.data, demo=bench.settings.demo))
    found = other.atlas.map_here([SAE, NEURONS])
    np.testing.assert_array_equal(found.x, first.x)
    assert [c.words for c in found.clusters] == [c.words for c in first.clusters]
    bench.atlas.map([SAE, NEURONS], anew=True)
    assert len(quick) == 2
    assert bench.atlas.map_here(SAE) is None  # that of both is not that of one
    home = bench.settings.data / min(SAE, NEURONS).model_id / min(SAE, NEURONS).source_id / "derived"
    assert [path.name for path in home.glob("map-*")] == [first.name]


def test_two_who_ask_at_once_get_one_map(bench, quick, monkeypatch):
    inside, place = threading.Event(), map_layout.place

    def slow(*args, **options):
        inside.set()
        threading.Event().wait(0.3)
        return place(*args, **options)

    monkeypatch.setattr(map_layout, "place", slow)
    got: list[object] = []
    threads = [threading.Thread(target=lambda: got.append(bench.atlas.map(SAE))) for _ in range(3)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(got) == 3 and len(quick) == 1


def test_changed_explanations_are_counted_and_a_map_anew_has_none(bench, quick):
    record = bench.atlas.map(SAE, of="explanation")
    assert bench.atlas.map_here(SAE, of="explanation").changed == 0
    first = record.key(0)
    bench.said.its[SAE] = [
        one if one.index != first.index else type(one)(one.id, one.index, "something else", "data", "annotation")
        for one in bench.said.its[SAE]
    ]
    assert bench.atlas.map_here(SAE, of="explanation").changed == 1
    assert bench.atlas.map_here(SAE, of="decoder") is None


def test_what_cannot_be_mapped_is_said(bench, quick):
    with pytest.raises(BadInput, match="at least one source"):
        bench.atlas.map([])
    with pytest.raises(NotFound):
        bench.atlas.map("tiny/9-none")
    with pytest.raises(BadInput, match="decoder or explanation"):
        bench.atlas.map(SAE, of="activations")


def test_a_damaged_map_is_said_and_made_anew(bench, quick):
    record = bench.atlas.map(SAE)
    path = bench.settings.data / SAE.model_id / SAE.source_id / "derived" / record.name / map_files.POINTS
    path.write_bytes(path.read_bytes()[:100])
    other = Workbench(Settings(data=bench.settings.data, demo=bench.settings.demo))
    with pytest.raises(BadData, match="Make it anew"):
        other.atlas.map_here(SAE)
    assert len(other.atlas.map(SAE, anew=True)) == len(record)


# -- what travels ------------------------------------------------------------------------------------------------------


def unpacked(points: bytes) -> dict:
    length = int.from_bytes(points[:4], "little")
    header = json.loads(points[4 : 4 + length])
    types = {"u8": np.uint8, "u16": np.uint16, "u32": np.uint32, "i16": np.int16}
    for name, kind, at, count in header["arrays"]:
        assert at % 8 == 0
        header[name] = np.frombuffer(points, types[kind], count, at)
    return header


def test_the_bytes_say_what_the_record_says(bench, quick):
    record = bench.atlas.map([SAE, NEURONS], of="decoder")
    packed = bench.atlas.packed(record)
    data = unpacked(packed.points)
    np.testing.assert_array_equal(data["index"], record.index)
    np.testing.assert_allclose(data["xy"].reshape(-1, 2)[:, 0] / 65535 * 2 - 1, record.x, atol=2e-5)
    assert [one["id"] for one in data["sources"]] == [str(key) for key in record.sources]
    each = [bench.features(key)["density"].to_numpy() for key in record.sources]
    density = np.array([each[n][index] for n, index in zip(record.source, record.index, strict=True)])
    back = 10 ** (map_pack.DENSITY_LOW * (1 - (data["density"].astype(float) - 1) / 254))
    np.testing.assert_allclose(back, np.maximum(density, 1e-6), rtol=0.06)
    texts = zlib.decompress(packed.texts).decode().split("\n")
    assert len(texts) == len(record) and all(text.count("\t") == 2 for text in texts)
    explained = {f.index for f in bench.living(SAE)[::3]}
    for n in np.flatnonzero(record.source == record.sources.index(SAE)):
        assert bool(texts[n].split("\t")[2]) == (int(record.index[n]) in explained)


class Parts(HTMLParser):
    """The tags of a page, and what addresses they name."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in {"src", "href", "srcset", "action", "data"}]
        assert not [name for name, _ in attributes if name.startswith("on")]


def test_a_saved_map_needs_nothing_else_and_shows_texts_as_text(bench, quick):
    page = bench.atlas.map_file(bench.atlas.map(SAE, of="explanation"))
    parts = Parts()
    parts.feed(page)
    assert parts.tags.count("script") == 3 and not parts.addresses
    assert "default-src 'none'" in page  # the browser itself refuses any request
    assert set(re.findall(r"https?://[^\s\"'`)]+", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\(", page)
    assert not any(tag in page for tag in xss.TAGS if len(tag) > 24)
    for place in re.findall(r"<!--[A-Z]+-->|/\*[A-Z]+\*/", page):
        raise AssertionError(place)


def test_a_title_is_escaped():
    page = map_pack.to_html(map_pack.Packed(b"", b""), "<b>\"'& <!--POINTS-->", ["<i>"])
    assert "<b>" not in page and "<i>" not in page and "&lt;b&gt;" in page


def test_sources_of_a_map_have_an_order_that_nobody_can_change():
    a, b = SourceKey("m", "1-res"), SourceKey("m", "0-res")
    stamps = {a: {"x": 1}, b: {"x": 2}}
    first = map_files.made_from("decoder", stamps, "", 0)
    assert first == map_files.made_from("decoder", dict(reversed(stamps.items())), "", 0)
    assert first != map_files.made_from("explanation", stamps, "", 0)
    assert first != map_files.made_from("decoder", stamps, "", 1)
