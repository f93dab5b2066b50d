"""A search, through the workbench, against rankings made one feature at a time from dense encodes and the store."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.catalog import catalog
from core.errors import BadData, BadInput, Busy, NotAvailable, NotFound, WorkbenchError
from core.records import Step
from core.settings import Settings
from core.sources import encode
from core.sources.encode import Encoder
from core.sources.screen import SCREENED, Screen
from core.techniques import reading
from core.techniques.search import BEST
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

SAES = {"1-standard": "standard", "1-jump": "jumprelu", "1-top": "topk"}
NEURONS = "0-neurons"
NAMES = (*SAES, NEURONS)
MEASURES = ("value", "fraction", "percentile", "surprise")
# Not as any text of the build begins: there a value is its own rank, and rounding decides whether it counts itself.
TEXTS = ["Celia’s dog ran to Rome, didn’t it?", "z y x", "return 🙂 def", "one <|endoftext|> two two"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    tiny.model(folder / "model", scale=8.0)
    for n, (name, kind) in enumerate(SAES.items()):
        options = {"k": 6, "bias": 0.0} if kind == "topk" else {"bias": -0.5}
        tiny.sae(folder / name, kind, seed=n, **options)
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(40)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def bench(folder):
    """Every SAE that can be screened is, small as it is."""
    config = {
        "model": {"id": "tiny", "path": "model"},
        "sources": [
            *({"id": name, "sae": {"path": name}} for name in SAES),
            {"id": NEURONS, "neurons": "blocks.0.mlp.hook_post"},
        ],
        "dataset": {"path": "texts.txt"}, "context": 24, "cut": "chunks",
    }  # fmt: skip
    (folder / "build.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    Workbench(Settings(data=folder / "data", demo=None)).build(folder / "build.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encode, "is_worth_it", lambda source: source.architecture in SCREENED)
        bench = Workbench(Settings(data=folder / "data", demo=None))
        bench.search("tiny", "x")
        assert isinstance(bench._source_slot(bench.source("tiny/1-jump")).get()._screen, Screen)
        yield bench


@pytest.fixture(scope="module")
def truth(bench, folder):
    """text -> {source id: [tokens, width]}, run alone by Hugging Face and SAELens."""
    from transformers import AutoTokenizer

    tokenizer, kept = AutoTokenizer.from_pretrained(folder / "model"), {}

    def go(text: str) -> dict[str, np.ndarray]:
        if text not in kept:
            ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
            kept[text] = {
                name: naive.dense(
                    folder / "model",
                    None if name == NEURONS else folder / name,
                    [ids],
                    "blocks.0.mlp.hook_post" if name == NEURONS else "blocks.1.hook_resid_pre",
                    {0},
                ).acts
                for name in NAMES
            }
        return kept[text]

    return go


@pytest.fixture(scope="module")
def known(bench):
    """What the build knows of each feature, feature by feature."""
    return {
        name: [bench.feature(f"tiny/{name}/{i}") for i in range(bench.source(f"tiny/{name}").width)] for name in NAMES
    }


def stored(bench, name: str, feature: int) -> np.ndarray:
    return bench._open.get(bench.catalog.entry(bench.source(f"tiny/{name}").key).folder).entries(feature).values


def score(bench, known, name: str, feature: int, value: float, measure: str) -> float:
    """The slow and obvious way; of neurons what the ranks say, which tests/core/test_rarity.py holds to account."""
    source, record = bench.source(f"tiny/{name}"), known[name][feature]
    if measure == "value":
        return abs(value)
    if measure == "fraction":
        reach = max(record.maximum, -record.minimum) if source.signed else record.maximum
        return abs(value) / reach if reach > 0 else 0.0
    if source.signed:
        rarity = bench._facts_of(source).rarity
        count = float(rarity.at_least(np.array([feature]), np.array([value], np.float32))[0])
        active = source.tokens
    else:
        values = stored(bench, name, feature)
        count, active = int((values >= np.float32(value)).sum()), len(values)
    if measure == "percentile":
        return 1 - min(count, active) / max(1, active)
    return -math.log10((count + 1) / (source.tokens + 1))


def slow(bench, known, acts, ids, *, measure, combine="max", positions=(), densest=None, bos=False):
    """{(source, feature): (score, value, position)} of everything that is active where it is looked."""
    special = [t == 0 for t in ids]
    where = [p for p in (positions or range(len(ids))) if bos or not special[p]]
    found = {}
    for name, matrix in acts.items():
        for feature in range(matrix.shape[1]):
            values = [(abs(float(matrix[p, feature])), -p) for p in where if matrix[p, feature] != 0]
            if not values or (densest is not None and known[name][feature].density > densest):
                continue
            position = -max(values)[1]
            value = float(matrix[position, feature])
            if combine == "sum":
                total = sum(
                    score(bench, known, name, feature, float(matrix[p, feature]), measure)
                    for p in where if matrix[p, feature] != 0
                )  # fmt: skip
            else:
                total = score(bench, known, name, feature, value, measure)
            found[name, feature] = (total, value, position)
    return found


def agree(record, expected, source_ids=NAMES) -> None:
    """The hits are the best of `expected`, in order, up to what rounding decides."""
    assert record.total == len(expected)
    best = sorted((one[0] for one in expected.values()), reverse=True)
    found = [h.score for h in record.hits]
    assert len(found) == min(len(best), len(record.hits))
    for n, hit in enumerate(record.hits):
        total, value, position = expected[hit.key.source_id, hit.key.index]
        assert hit.maximum == pytest.approx(value, rel=1e-4, abs=1e-4)
        assert hit.position == position and hit.values[position] == hit.maximum
        assert hit.score == pytest.approx(total, rel=1e-3, abs=1e-3)
        assert hit.score == pytest.approx(best[record.offset + n], rel=1e-3, abs=1e-3), "in its place"
    assert found == sorted(found, reverse=True)
    assert len({h.key for h in record.hits}) == len(found)
    assert {c.key.source_id: c.active for c in record.sources} == {
        name: sum(key[0] == name for key in expected) for name in source_ids
    }


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("text", TEXTS)
def test_every_measure_against_a_slow_ranking(bench, truth, known, text, measure):
    record = bench.search("tiny", text, measure=measure, top=100)
    ids = [t.id for t in record.tokens]
    assert "".join(t.text for t in record.tokens[1:]) == text and record.bos and record.measure == measure
    agree(record, slow(bench, known, truth(text), ids, measure=measure))
    assert not any(record.tokens[h.position].special for h in record.hits), "BOS is left out by default"
    for hit in record.hits:
        np.testing.assert_allclose(hit.values, truth(text)[hit.key.source_id][:, hit.key.index], rtol=1e-4, atol=1e-4)
        assert hit.density == known[hit.key.source_id][hit.key.index].density
        for name in MEASURES[1:]:
            figure = score(bench, known, hit.key.source_id, hit.key.index, hit.maximum, name)
            assert getattr(hit, name) == pytest.approx(figure, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("combine", ["max", "sum"])
@pytest.mark.parametrize("positions", [(3,), (2, 5, 6), (0, 1), (6, 2, 6)])
def test_chosen_tokens(bench, truth, known, measure, combine, positions):
    text = TEXTS[0]
    record = bench.search("tiny", text, measure=measure, combine=combine, positions=positions, top=100)
    assert record.positions == tuple(sorted(set(positions)))
    ids = [t.id for t in record.tokens]
    chosen = sorted(set(positions))
    agree(record, slow(bench, known, truth(text), ids, measure=measure, combine=combine, positions=chosen))
    assert all(h.position in positions and h.position != 0 for h in record.hits)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("densest", [None, 0.1])
def test_a_sum_over_all_tokens(bench, truth, known, measure, densest):
    """Without a choice of tokens it is over all of them but BOS, and not the maximum under another name."""
    for text in TEXTS:
        record = bench.search("tiny", text, measure=measure, combine="sum", densest=densest, top=100)
        assert (record.combine, record.positions) == ("sum", ())
        ids = [t.id for t in record.tokens]
        agree(record, slow(bench, known, truth(text), ids, measure=measure, combine="sum", densest=densest))


def test_a_sum_over_nothing(bench):
    assert bench.search("tiny", TEXTS[0], combine="sum", positions=[0]).hits == (), "BOS is not looked at"
    assert bench.search("tiny", TEXTS[0], combine="sum", densest=0.0).total == 0


@pytest.mark.parametrize("bos", [False, True])
def test_a_sum_of_values_is_numpys(bench, truth, bos):
    text = TEXTS[3]
    record = bench.search("tiny", text, measure="value", combine="sum", bos=bos, top=100)
    where = [bos or not t.special for t in record.tokens]
    assert sum(where) == len(where) - (0 if bos else sum(t.special for t in record.tokens))
    sums = {
        (name, feature): total
        for name, acts in truth(text).items()
        for feature, total in enumerate(np.abs(acts[where]).sum(0, dtype=np.float64).tolist())
    }
    assert [h.score for h in record.hits] == pytest.approx(sorted(sums.values(), reverse=True)[:100], rel=1e-3)
    for hit in record.hits:
        assert hit.score == pytest.approx(sums[hit.key.source_id, hit.key.index], rel=1e-3)
    largest = bench.search("tiny", text, measure="value", bos=bos, top=100)
    assert [h.key for h in largest.hits] != [h.key for h in record.hits]


@pytest.mark.parametrize("densest", [0.0, 0.02, 0.2, 1.0])
def test_the_density_filter(bench, truth, known, densest):
    record = bench.search("tiny", TEXTS[0], densest=densest, top=100)
    ids = [t.id for t in record.tokens]
    agree(record, slow(bench, known, truth(TEXTS[0]), ids, measure="surprise", densest=densest))
    assert all(h.density <= densest for h in record.hits)


def test_bos_where_asked_for(bench, truth, known):
    record = bench.search("tiny", TEXTS[3], measure="value", bos=True, top=100)
    ids = [t.id for t in record.tokens]
    agree(record, slow(bench, known, truth(TEXTS[3]), ids, measure="value", bos=True))
    assert any(h.position == 0 for h in record.hits)
    only = bench.search("tiny", TEXTS[3], bos=True, positions=[0], top=100)
    assert only.hits and {h.position for h in only.hits} == {0}


@pytest.mark.parametrize("names", [["1-jump"], ["0-neurons", "1-top"], ["1-top", "1-top", "1-standard"]])
def test_some_sources(bench, truth, known, names):
    record = bench.search("tiny", TEXTS[0], sources=[f"tiny/{n}" for n in names], measure="value", top=100)
    ids = [t.id for t in record.tokens]
    acts = {n: truth(TEXTS[0])[n] for n in names}
    agree(record, slow(bench, known, acts, ids, measure="value"), set(names))
    assert [c.key.source_id for c in record.sources] == list(dict.fromkeys(names))


def test_whether_it_is_exact(bench):
    assert bench.search("tiny", "x", sources=["tiny/1-jump", "tiny/1-top"]).exact
    assert not bench.search("tiny", "x").exact


# -- pages -------------------------------------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.sampled_from(TEXTS), measure=st.sampled_from(MEASURES), combine=st.sampled_from(["max", "sum"]),
    size=st.sampled_from([1, 7, 25, 60]), chosen=st.booleans(),
)  # fmt: skip
def test_pages_join_to_the_whole(bench, text, measure, combine, size, chosen):
    options = {"measure": measure, "combine": combine, "positions": [1, 2] if chosen else []}
    whole = bench.search("tiny", text, top=100, **options)
    hits, pages = [], []
    for offset in range(0, 100, size):
        pages.append(bench.search("tiny", text, top=size, offset=offset, **options))
        hits += pages[-1].hits
        assert pages[-1].offset == offset and len(pages[-1].hits) <= size
    assert tuple(hits[:100]) == whole.hits
    assert {page.total for page in pages} == {whole.total}
    assert {page.sources for page in pages} == {whole.sources}, "what is said of the sources is the same on every page"


def test_beyond_the_last(bench):
    whole = bench.search("tiny", "x")
    beyond = bench.search("tiny", "x", offset=whole.total + 5)
    assert beyond.hits == () and beyond.total == whole.total
    last = bench.search("tiny", "x", offset=whole.total - 1)
    assert len(last.hits) == 1


def test_among_and_own(bench):
    for text in TEXTS:
        record = bench.search("tiny", text, top=100)
        best = [h.key.source for h in record.hits[:BEST]]
        assert {c.key: c.among for c in record.sources} == {c.key: best.count(c.key) for c in record.sources}
        for count in record.sources:
            own = bench.search("tiny", text, sources=[count.key], top=BEST)
            assert count.own == sum(h.own for h in own.hits)
        for hit in record.hits:
            word = record.tokens[hit.position].text.strip()
            assert hit.own == (bool(word) and hit.label.split(" · ")[0] == word)


# -- what was done before ----------------------------------------------------------------------------------------------


def test_another_sort_filter_or_page_costs_no_pass(bench, monkeypatch):
    first = bench.search("tiny", "seen before", measure="value")

    def refused(*_):
        raise AssertionError("a pass")

    monkeypatch.setattr(reading, "capture", refused)
    monkeypatch.setattr(Encoder, "__call__", refused)
    assert bench.search("tiny", "seen before", measure="value") == first
    for options in ({"measure": "fraction"}, {"densest": 0.1}, {"offset": 5}, {"positions": [1]}, {"bos": True}):
        bench.search("tiny", "seen before", **options)
    key = first.hits[0].key
    (record,) = bench.test(key, "seen before")
    assert record.values == first.hits[0].values and record.maximum == first.hits[0].maximum


def test_a_new_process_finds_the_same(bench):
    first = [bench.search("tiny", text, top=100) for text in TEXTS]
    bench._cache.flush()
    again = Workbench(bench.settings)
    assert [again.search("tiny", text, top=100) for text in TEXTS] == first
    assert again._cache.held().misses == 0


def test_sixteen_at_once(bench, tmp_path):
    """Searching and testing together; each gets what it would get alone."""
    texts = [f"{TEXTS[n % 4]} number {n}" for n in range(48)]
    expected = {text: bench.search("tiny", text, top=30) for text in texts}
    fresh = Workbench(bench.settings.model_copy(update={"cache_disk_mb": 0}))
    begin = threading.Barrier(16)
    told: list[Step] = []

    def work(n: int) -> None:
        begin.wait()
        for text in texts[n::16]:
            found, alone = fresh.search("tiny", text, top=30, tell=told.append), expected[text]
            assert found.total == alone.total
            np.testing.assert_allclose(
                [h.maximum for h in found.hits], [h.maximum for h in alone.hits], rtol=1e-3, atol=1e-4
            )
            hit = found.hits[0]
            (record,) = fresh.test(hit.key, text)
            np.testing.assert_allclose(record.values, hit.values, rtol=1e-4, atol=1e-4)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(work, range(16)))
    assert all(step.before >= 0 and step.done <= step.of for step in told)
    assert {"loading", "reading"} <= {step.doing for step in told}
    assert fresh._reader("tiny").turns.waiting() == 0
    assert [r.state for r in fresh.residents()] == ["ready"] * 5


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  \n", "word " * 70, "\ud800", "x" * 10_001])
def test_what_cannot_be_searched_is_a_message(bench, text):
    with pytest.raises(BadInput):
        bench.search("tiny", text)


@pytest.mark.parametrize(
    "options",
    [
        {"positions": [99]}, {"positions": [-1]}, {"top": 0}, {"top": 101}, {"offset": -1}, {"measure": "size"},
        {"combine": "mean"}, {"sources": ["other/1-jump"]}, {"sources": ["nonsense"]},
    ],
)  # fmt: skip
def test_bounds(bench, options):
    with pytest.raises(BadInput):
        bench.search("tiny", "x y", **options)


def test_what_is_not_here(bench):
    with pytest.raises(NotFound):
        bench.search("none", "x")
    with pytest.raises(NotFound):
        bench.search("tiny", "x", sources=["tiny/9-none"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=40), bos=st.booleans())
def test_any_text_is_searched_or_refused(bench, text, bos):
    try:
        record = bench.search("tiny", text, bos=bos, top=100)
    except WorkbenchError:
        return
    assert all(np.isfinite([h.score, h.fraction, h.percentile, h.surprise, *h.values]).all() for h in record.hits)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory.")])
def test_without_memory_it_is_busy_and_recovers(bench, monkeypatch, error):
    def starve(*_):
        raise error

    new = f"never seen before {type(error).__name__}"
    with monkeypatch.context() as patch:
        patch.setattr(reading, "capture", starve)
        with pytest.raises(Busy, match="memory") as told:
            bench.search("tiny", new)
        assert told.value.status == 503
        with pytest.raises(Busy):
            bench.test("tiny/1-jump/3", new)
    assert bench.search("tiny", new).hits
    assert bench.test("tiny/1-jump/3", new)


def copied(folder, tmp_path) -> Workbench:
    """The same texts and weights elsewhere, built with two sources."""
    import shutil

    for name in ("model", "1-standard", "1-jump"):
        shutil.copytree(folder / name, tmp_path / name)
    shutil.copy(folder / "texts.txt", tmp_path)
    config = {
        "model": {"id": "tiny", "path": "model"},
        "sources": [{"id": n, "sae": {"path": n}} for n in ("1-standard", "1-jump")],
        "dataset": {"path": "texts.txt"}, "prompts": 10, "context": 24,
    }  # fmt: skip
    (tmp_path / "build.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    bench = Workbench(Settings(data=tmp_path / "data", demo=None))
    bench.build(tmp_path / "build.yaml")
    return bench


def same(record, other) -> bool:
    return [(h.key, h.score, h.values) for h in record.hits] == [(h.key, h.score, h.values) for h in other.hits]


def test_a_source_whose_weights_are_gone_is_left_out_and_said(folder, tmp_path):
    bench = copied(folder, tmp_path)
    gone, there = (bench.source(f"tiny/{name}").key for name in ("1-jump", "1-standard"))
    (tmp_path / "1-jump").rename(tmp_path / "elsewhere")
    record = bench.search("tiny", "x")
    assert same(record, bench.search("tiny", "x", sources=[there])) and record.hits
    (left,) = record.left_out
    assert left.key == gone and "not at" in left.why
    assert [c.key for c in record.sources] == [there]
    both = bench.contrast("tiny", "x", "y z")
    alone = bench.contrast("tiny", "x", "y z", sources=[there])
    assert both.left_out == record.left_out and (both.first, both.second) == (alone.first, alone.second)
    assert alone.left_out == ()
    for named in ({"sources": [gone]}, {"sources": [gone, there]}, {"strict": True}):
        with pytest.raises(NotAvailable, match="not at"):
            bench.search("tiny", "x", **named)
        with pytest.raises(NotAvailable, match="not at"):
            bench.contrast("tiny", "x", "y z", **named)
    assert bench.search("tiny", "x", sources=[gone, there], strict=False).left_out == record.left_out
    bench.read("tiny", ["x", "never read before"])
    (tmp_path / "1-standard").rename(tmp_path / "elsewhere too")
    bench._pool.clear()
    assert same(bench.search("tiny", "x"), record), "what was read before needs no weights"
    with pytest.raises(NotAvailable, match="not at"):
        bench.search("tiny", "nothing is left to read it")
    (tmp_path / "elsewhere").rename(tmp_path / "1-jump")
    (tmp_path / "elsewhere too").rename(tmp_path / "1-standard")
    assert bench.search("tiny", "x").left_out == ()


def test_a_source_that_is_let_go_and_whose_weights_are_gone_then(folder, tmp_path):
    """It is known, but has to be loaded again, and that is found out in the middle of the work."""
    bench = copied(folder, tmp_path)
    assert bench.search("tiny", "x").left_out == ()
    (tmp_path / "1-jump").rename(tmp_path / "elsewhere")
    assert bench.search("tiny", "what is in memory needs no file").left_out == ()
    bench._pool.clear()
    record = bench.search("tiny", "never read before")
    assert [str(left.key) for left in record.left_out] == ["tiny/1-jump"] and record.hits
    with pytest.raises(NotAvailable, match="not at"):
        bench.search("tiny", "nor this one", sources=["tiny/1-jump"])


def test_a_source_whose_files_are_damaged_is_left_out(folder, tmp_path):
    bench = copied(folder, tmp_path)
    (tmp_path / "data" / "tiny" / "1-jump" / "features.arrow").write_bytes(b"nothing")
    (left,) = bench.search("tiny", "x").left_out
    assert left.key.source_id == "1-jump" and "features.arrow" in left.why
    with pytest.raises(BadData):
        bench.search("tiny", "x", sources=["tiny/1-jump"])


def test_memory_that_ran_out_leaves_no_source_out(folder, tmp_path, monkeypatch):
    """It is no fault of the source: to say so would be to give wrong answers while the server is busy."""
    from core.sources import dictionary

    bench = copied(folder, tmp_path)

    load = dictionary.load

    def starve(spec, *given, **more):
        if spec.path.endswith("1-jump"):
            raise MemoryError
        return load(spec, *given, **more)

    with monkeypatch.context() as patch:
        patch.setattr(dictionary, "load", starve)
        with pytest.raises(Busy, match="memory"):
            bench.search("tiny", "x")
    assert bench.search("tiny", "x").left_out == ()


def test_weights_that_changed(folder, tmp_path):
    import shutil

    bench = copied(folder, tmp_path)
    (tmp_path / "1-jump").rename(tmp_path / "elsewhere")
    tiny.sae(tmp_path / "1-jump", "jumprelu", width=80)
    with pytest.raises(BadData, match=r"64 features.*80"):
        bench.search("tiny", "x", sources=["tiny/1-jump"])
    assert [str(left.key) for left in bench.search("tiny", "x").left_out] == ["tiny/1-jump"]
    shutil.rmtree(tmp_path / "1-jump")
    (tmp_path / "elsewhere").rename(tmp_path / "1-jump")
    assert bench.search("tiny", "x").hits
    old = bench.search("tiny", "x", sources=["tiny/1-jump"], measure="value")
    shutil.rmtree(tmp_path / "1-jump")
    shutil.rmtree(tmp_path / "data" / "tiny" / "1-jump")
    tiny.sae(tmp_path / "1-jump", "jumprelu", seed=99, bias=-0.5)
    bench.build(tmp_path / "build.yaml")
    new = bench.search("tiny", "x", sources=["tiny/1-jump"], measure="value")
    assert new.hits != old.hits, "built anew, it is loaded anew, and what was cached of the old is not taken"


# -- while a source is built anew --------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", ["1-jump/source.json", "model.json"])
def test_in_the_instant_of_being_replaced(folder, tmp_path, monkeypatch, what):
    """The catalog knows a file that is not there now: at the next look it is, or it is gone for good."""
    monkeypatch.setattr(catalog, "FRESH", 1e9)
    bench = copied(folder, tmp_path)
    path = tmp_path / "data" / "tiny" / what
    away = path.with_name("away")
    look = bench.catalog.refresh
    asked = [
        lambda: bench.search("tiny", "x", sources=["tiny/1-jump"]),
        lambda: bench.tokenize("tiny", "x"),
        lambda: bench.test("tiny/1-jump/3", "x"),
        lambda: bench.ready("tiny"),
    ]
    needs = [ask for n, ask in enumerate(asked) if what == "model.json" or n in (0, 2)]

    def back() -> None:
        if away.exists():
            away.rename(path)
        look()

    for ask in needs:
        bench.sources(), path.rename(away)
        with monkeypatch.context() as patch:
            patch.setattr(bench.catalog, "refresh", back)
            ask()
        assert path.exists()
    for ask in needs:
        bench.sources(), path.rename(away)
        with pytest.raises((NotFound, BadData)):
            ask()
        away.rename(path)
        look()
    assert bench.search("tiny", "x").hits


# -- memory ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["clear", "evict", "replace"])
def test_a_model_that_goes_is_gone(tiny_root, tmp_path, how):
    """Neither its neurons, which are its own weights, nor a reader keep it, and no collector is needed to free it."""
    import os
    import shutil

    shutil.copytree(tiny_root, tmp_path / "data")
    shutil.copytree(tiny_root.parent / "model", tmp_path / "model")
    shutil.copytree(tiny_root.parent / "sae", tmp_path / "sae")
    bench = Workbench(Settings(data=tmp_path / "data", demo=None, cache_disk_mb=0))
    first = bench.search("tiny", "a text of its own")
    bench.by_token(tiny.NEURONS, "and another")
    model = bench._model_slot("tiny").get()
    neurons = bench._source_slot(bench.source(tiny.NEURONS)).get()
    own = model.bridge.blocks[0].mlp.W_out
    assert neurons.source.W_dec.data_ptr() == own.data_ptr() and neurons.bytes == 0, "they are the model's own weights"
    held = [weakref.ref(one) for one in (model, model.bridge, own, neurons, neurons.source._rows)]
    del model, neurons, own
    gc.collect()
    gc.disable()
    try:
        if how == "clear":
            bench._pool.clear()
        elif how == "evict":
            bench._pool.budget = 0
            bench._pool.slot("something else", 0, lambda: Sized(1)).get()
        else:
            os.utime(tmp_path / "data" / "tiny" / "model.json")
            bench.catalog.refresh()
            assert not bench.ready("tiny")
        assert [one() is None for one in held] == [True] * 5
    finally:
        gc.enable()
    assert {r.name: r.state for r in bench.residents()}[tiny.NEURONS] == "absent"
    again = bench.search("tiny", "a text of its own")
    assert same(again, first)
    bench._pool.budget = 2**40
    bench.search("tiny", "a third one")
    neurons = bench._source_slot(bench.source(tiny.NEURONS)).get()
    assert neurons.part_of() is bench._model_slot("tiny").get(), "loaded again, they are those of the new one"


class Sized:
    def __init__(self, size: int) -> None:
        self.bytes = size


# -- several features at once ------------------------------------------------------------------------------------------


def test_several_features_on_one_text_are_each_ones_test(bench, monkeypatch):
    keys = ["tiny/1-jump/3", "tiny/0-neurons/5", "tiny/1-top/1", "tiny/1-jump/3"]
    calls = []
    capture = reading.capture
    monkeypatch.setattr(reading, "capture", lambda *given: calls.append(1) or capture(*given))
    found = bench.test_each(keys, "read once for all of them")
    assert len(calls) == 1
    assert list(found) == [bench.test(key, "read once for all of them")[0] for key in keys]
    assert list(bench.test_each([], "x")) == []


@pytest.mark.parametrize(
    ("keys", "text", "error"),
    [
        (["tiny/1-jump/3", "other/1-jump/3"], "x", BadInput), (["tiny/1-jump/9999"], "x", NotFound),
        (["tiny/9-none/1"], "x", NotFound), (["nonsense"], "x", BadInput), (["tiny/1-jump/3"], " ", BadInput),
        (["tiny/1-jump/3"] * 101, "x", BadInput),
    ],
)  # fmt: skip
def test_what_cannot_be_tested_together(bench, keys, text, error):
    with pytest.raises(error):
        bench.test_each(keys, text)


# -- others at work ----------------------------------------------------------------------------------------------------


def test_search_is_never_stuck_behind_a_long_pass(bench):
    """What is cached answers while another thread has the model at work, as an evaluation has for minutes."""
    first = bench.search("tiny", "patience")
    slot = bench._model_slot("tiny")
    with ThreadPoolExecutor(1) as other, slot.lock:
        assert other.submit(bench.search, "tiny", "patience").result(30) == first
