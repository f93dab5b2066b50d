"""Reading texts: the same codes alone, together, from the cache and from many threads, and no work done twice."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadConfig, Busy, NotAvailable
from core.models import loading
from core.models.cache import Cache
from core.models.pool import Pool
from core.records import SourceKey, Step
from core.sources import dictionary
from core.sources.encode import Encoder
from core.sources.screen import Screen
from core.techniques import reading
from core.techniques.reading import Asked, Reader, Wanted
from tests import tiny
from tests.core import naive

HOOK = "blocks.1.hook_resid_pre"
SAES = {"1-standard": "standard", "1-jump": "jumprelu", "1-top": "topk", "1-gated": "gated"}
NEURONS = "0-neurons"
KEYS = [SourceKey("tiny", name) for name in (*SAES, NEURONS)]
TEXTS = [
    "Paris",
    "It’s a fine day 🙂 in Zürich, isn’t it?",
    "x",
    "def add(a, b):\n    return a + b\n",
    "a <|endoftext|> b",
]
MB = 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reading")
    tiny.model(folder / "model", scale=8.0)
    for n, (name, kind) in enumerate(SAES.items()):
        options = {"k": 6, "bias": 0.0} if kind == "topk" else {"bias": -0.5}
        tiny.sae(folder / name, kind, seed=n, **options)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return loading.load(ModelSpec(id="tiny", path=str(folder / "model")), name="Tiny")


@pytest.fixture(scope="module")
def rows(model):
    return [model.ids(text) for text in TEXTS]


@pytest.fixture(scope="module")
def expected(folder, rows):
    """Dense values of each text in each source, each run alone by Hugging Face and SAELens."""

    def one(key, ids):
        neurons = key.source_id == NEURONS
        hook = "blocks.0.mlp.hook_post" if neurons else HOOK
        return naive.dense(folder / "model", None if neurons else folder / key.source_id, [ids], hook, {0}).acts

    return {(key, n): one(key, ids) for key in KEYS for n, ids in enumerate(rows)}


class House:
    """A reader, and what is counted of its work."""

    def __init__(self, folder, model, monkeypatch, *, cache: Cache | None = None, budget: int = 2**40) -> None:
        self.pool = Pool(budget)
        self.passes: list[int] = []
        self.loads: list[SourceKey] = []
        self.broken: dict[SourceKey, Exception] = {}
        self.model = self.pool.slot("tiny", 0, lambda: model, stays=True)
        self.cache = cache or Cache(None, memory=64 * MB, disk=0)

        def encoder(key):
            def load():
                self.loads.append(key)
                if key in self.broken:
                    raise self.broken[key]
                neurons = key.source_id == NEURONS
                spec = (
                    WeightsSpec(kind="neurons", hook="blocks.0.mlp.hook_post")
                    if neurons
                    else WeightsSpec(kind="sae", path=str(folder / key.source_id))
                )
                made = Encoder(dictionary.load(spec, model))
                if SAES.get(key.source_id) in ("standard", "jumprelu"):
                    made._screen = Screen(made.source)
                return made

            return self.pool.slot(str(key), 0, load)

        self.encoder = encoder
        self.read = Reader(self.model, encoder, self.cache)
        capture = reading.capture

        def counted(model, ids, hooks):
            self.passes.append(len(ids))
            return capture(model, ids, hooks)

        monkeypatch.setattr(reading, "capture", counted)


@pytest.fixture
def house(folder, model, monkeypatch):
    return House(folder, model, monkeypatch)


def dense(codes) -> np.ndarray:
    return codes.of(np.arange(codes.width)).T


def check(found, expected, numbers, keys=KEYS) -> None:
    assert len(found) == len(numbers)
    for n, one in zip(numbers, found, strict=True):
        assert set(one) == set(keys)
        for key in keys:
            np.testing.assert_allclose(dense(one[key]), expected[key, n], rtol=1e-5, atol=3e-5)


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(dense(a[key]), dense(b[key])) for key in a)


def test_codes_are_saelens_own_and_one_pass_does(house, rows, expected):
    check(house.read(rows, KEYS), expected, range(5))
    assert house.passes == [5]


def test_alone_is_together(house, rows, expected, folder, model, monkeypatch):
    for n, ids in enumerate(rows):
        check(house.read([ids], KEYS), expected, [n])
    assert house.passes == [1] * 5


def test_what_was_read_before_costs_no_pass_and_is_the_same(house, rows):
    first = house.read(rows, KEYS)
    loads = len(house.loads)
    again = house.read(rows[::-1], KEYS[::-1])[::-1]
    assert all(equal({k: b[k] for k in a}, a) for a, b in zip(first, again, strict=True))
    assert house.passes == [5] and len(house.loads) == loads == len(KEYS)


def test_one_text_through_another_source_costs_no_pass(house, rows, expected):
    house.read(rows[:2], KEYS[:1])
    assert house.passes == [2]
    check(house.read(rows[:2], KEYS[1:4]), expected, range(2), KEYS[1:4])
    assert house.passes == [2], "the hook is the same"
    check(house.read(rows[:3], KEYS[:4]), expected, range(3), KEYS[:4])
    assert house.passes == [2, 1], "only the new text"


def test_the_same_text_twice_is_read_once(house, rows, expected):
    check(house.read([rows[1], rows[0], rows[1]], KEYS[:2]), expected, [1, 0, 1], KEYS[:2])
    assert house.passes == [2]


def test_nothing_asked(house, rows):
    assert house.read([], KEYS) == [] and house.read(rows[:2], []) == [{}, {}] and house.passes == []


def test_from_disk_in_another_process(house, rows, folder, model, monkeypatch, tmp_path):
    disk = [Cache(tmp_path, memory=MB, disk=64 * MB) for _ in range(2)]
    one = House(folder, model, monkeypatch, cache=disk[0])
    first = one.read(rows, KEYS)
    disk[0].flush()
    other = House(folder, model, monkeypatch, cache=disk[1])
    second = other.read(rows, KEYS)
    assert all(map(equal, first, second)) and one.passes == [5] and other.passes == []


def test_without_a_cache(rows, expected, folder, model, monkeypatch):
    house = House(folder, model, monkeypatch, cache=Cache(None, memory=0, disk=0))
    for _ in range(2):
        check(house.read(rows[:2], KEYS), expected, range(2))
    assert house.passes == [2, 2]


def test_a_budget_too_small_for_anything(rows, expected, folder, model, monkeypatch):
    """Everything is let go as soon as something else is loaded, and all is read all the same."""
    house = House(folder, model, monkeypatch, budget=1)
    check(house.read(rows, KEYS), expected, range(5))
    loads = len(house.loads)
    check(house.read(rows, KEYS), expected, range(5))
    assert len(house.loads) == loads, "what is cached needs no weights"


def test_sixteen_threads_get_their_own(rows, expected, folder, model, monkeypatch):
    house = House(folder, model, monkeypatch, cache=Cache(None, memory=0, disk=0))
    rng = np.random.default_rng(0)
    asked = [(rng.permutation(5)[:2].tolist(), [KEYS[k] for k in rng.permutation(5)[:3]]) for _ in range(60)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda one: house.read([rows[n] for n in one[0]], one[1]), asked))
    for (numbers, keys), one in zip(asked, found, strict=True):
        check(one, expected, numbers, keys)
    assert len(house.passes) < 60, "they went together"
    assert house.read.turns.waiting() == 0


def test_a_source_that_fails_fails_only_those_who_want_it(house, rows, expected):
    bad = KEYS[1]
    house.broken[bad] = NotAvailable("gone")
    begin = threading.Barrier(8)

    def one(n: int):
        begin.wait()
        return house.read([rows[n % 5]], [KEYS[0], bad] if n % 2 else [KEYS[0]])

    with ThreadPoolExecutor(8) as pool:
        futures = [pool.submit(one, n) for n in range(8)]
    for n, future in enumerate(futures):
        if n % 2:
            assert isinstance(future.exception(), NotAvailable)
        else:
            check(future.result(), expected, [n % 5], KEYS[:1])
    del house.broken[bad]
    check(house.read([rows[0]], [bad]), expected, [0], [bad])


def test_a_source_that_fails_is_left_out_where_that_is_asked_for(house, rows, expected):
    bad = KEYS[1]
    house.broken[bad] = NotAvailable("gone")
    lost: dict = {}
    found = house.read(rows[:2], KEYS, lost=lost)
    check(found, expected, range(2), [k for k in KEYS if k != bad])
    assert list(lost) == [bad] and str(lost[bad]) == "gone"
    passes = len(house.passes)
    with pytest.raises(NotAvailable, match="gone"):
        house.read(rows[:2], KEYS)
    with pytest.raises(NotAvailable, match="gone"):
        house.read(rows[:2], [bad])
    assert len(house.passes) == passes, "what the others gave is kept"
    lost = {}
    assert house.read(rows[:1], [bad], lost=lost) == [{}] and list(lost) == [bad]
    del house.broken[bad]
    lost = {}
    check(house.read(rows[:2], KEYS, lost=lost), expected, range(2))
    assert lost == {}


def test_one_text_that_a_source_cannot_read_takes_it_from_both(house, rows, monkeypatch):
    """Two texts are compared: a source that has only one of them says nothing about what differs."""
    house.read(rows[:1], KEYS[:2])
    source = house.encoder(KEYS[0]).get().source
    with monkeypatch.context() as patch:
        patch.setattr(source.sae.b_dec, "data", torch.full_like(source.sae.b_dec, 3e38))
        lost: dict = {}
        found = house.read(rows[:2], KEYS[:2], lost=lost)
    assert [set(one) for one in found] == [{KEYS[1]}] * 2 and list(lost) == [KEYS[0]]


def test_a_source_that_fails_in_the_middle_costs_the_others_nothing(house, rows, expected, monkeypatch):
    """Known, let go, and gone when it is to be loaded again: those who are read together with it are not read twice."""
    bad = KEYS[2]
    house.read([rows[4]], KEYS)
    house.encoder(bad).drop()
    house.broken[bad] = NotAvailable("gone")
    passes = len(house.passes)
    begun, go = threading.Event(), threading.Event()
    real = Encoder.__call__

    def slow(self, x, bos=()):
        begun.set()
        assert go.wait(30)
        return real(self, x, bos)

    monkeypatch.setattr(Encoder, "__call__", slow)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(house.read, [rows[0]], KEYS[:1])]
        assert begun.wait(30)
        asked.append(pool.submit(house.read, [rows[1]], KEYS[:1]))
        asked.append(pool.submit(house.read, [rows[2]], [KEYS[0], bad]))
        lost: dict = {}
        asked.append(pool.submit(house.read, [rows[3]], [KEYS[0], bad], lost=lost))
        while house.read.turns.waiting() < 3:
            threading.Event().wait(0.005)
        go.set()
        assert isinstance(asked[2].exception(30), NotAvailable)
        check(asked[0].result(30), expected, [0], KEYS[:1])
        check(asked[1].result(30), expected, [1], KEYS[:1])
        check(asked[3].result(30), expected, [3], KEYS[:1])
    assert list(lost) == [bad] and len(house.passes) == passes + 2, "one for the first, one for all the others"


# -- steps -------------------------------------------------------------------------------------------------------------


def test_each_step_is_told(house, rows):
    told: list[Step] = []
    house.read([rows[0], rows[1]], KEYS, tell=told.append)
    loading = [s for s in told if s.doing == "loading"]
    assert [(s.what, s.done, s.of) for s in loading] == [(str(key), n, 5) for n, key in enumerate(KEYS)]
    reading_ = told[len(loading) :]
    tokens = len(rows[0]) + len(rows[1])
    assert [(s.what, s.done) for s in reading_] == [("", 0)] + [(k.source_id, 2 * n) for n, k in enumerate(KEYS, 1)]
    assert {(s.doing, s.of, s.tokens, s.sources) for s in reading_} == {("reading", 10, tokens, 5)}
    told.clear()
    house.read([rows[0], rows[2]], KEYS[:2], tell=told.append)
    assert [(s.done, s.of, s.tokens, s.sources) for s in told] == [(n, 2, len(rows[2]), 2) for n in range(3)]
    told.clear()
    house.read(rows[:3], KEYS[:2], tell=told.append)
    assert not told, "what was read before is no work"
    house.encoder(KEYS[3]).drop()
    house.read([rows[3]], KEYS[3:4], tell=told.append)
    assert [(s.doing, s.what) for s in told] == [("reading", ""), ("loading", str(KEYS[3])), ("reading", "1-gated")]


def test_each_is_told_of_its_own_texts_though_they_are_read_together(house, rows, monkeypatch):
    house.read([rows[4]], KEYS)
    begun, go = threading.Event(), threading.Event()
    real = Encoder.__call__

    def slow(self, x, bos=()):
        begun.set()
        assert go.wait(30)
        return real(self, x, bos)

    def faulty(step):
        if step.doing == "reading":
            raise ZeroDivisionError

    monkeypatch.setattr(Encoder, "__call__", slow)
    told: dict[int, list[Step]] = {1: [], 2: []}
    with ThreadPoolExecutor(4) as pool:
        first = pool.submit(house.read, [rows[0]], KEYS[:1])
        assert begun.wait(30)
        others = [pool.submit(house.read, [rows[n]], KEYS[: n + 1], tell=told[n].append) for n in told]
        others.append(pool.submit(house.read, [rows[3]], KEYS[:2], tell=faulty))
        while house.read.turns.waiting() < 3 or not all(told.values()):
            threading.Event().wait(0.005)
        assert {step.doing for its in told.values() for step in its} == {"waiting"}
        assert sorted(its[-1].before for its in told.values())[0] in (0, 1)
        go.set()
        assert first.result(30) and all(other.result(30) for other in others), "a listener's fault is nobody else's"
    for n, its in told.items():
        work = [s for s in its if s.doing == "reading"]
        assert [s.done for s in work] == list(range(n + 2)) and {s.of for s in work} == {n + 1}
        assert its[its.index(work[0]) :] == work, "it does not wait again"


def test_what_is_told_begins_again_where_the_work_does(house, rows, expected, monkeypatch):
    """Read with others, it failed by them and is read alone: it is never further than the end."""
    real, failed = Encoder.__call__, []

    def once(self, x, bos=()):
        if len(x) > len(rows[0]) and not failed:
            failed.append(1)
            raise RuntimeError("together")
        return real(self, x, bos)

    begun, go = threading.Event(), threading.Event()
    capture = reading.capture

    def slow(*given):
        begun.set()
        assert go.wait(30)
        return capture(*given)

    monkeypatch.setattr(Encoder, "__call__", once)
    monkeypatch.setattr(reading, "capture", slow)
    told: list[Step] = []
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(house.read, [rows[0]], KEYS[:1])
        assert begun.wait(30)
        others = [pool.submit(house.read, [rows[n]], KEYS[:2], tell=told.append) for n in (1, 2)]
        while house.read.turns.waiting() < 2:
            threading.Event().wait(0.005)
        go.set()
        first.result(30)
        for n, other in zip((1, 2), others, strict=True):
            check(other.result(30), expected, [n], KEYS[:2])
    assert failed and all(step.done <= step.of for step in told)


TORCH = "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4"


HUNGRY = [MemoryError(), torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(TORCH)]


@pytest.mark.parametrize("error", HUNGRY, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("where", ["pass", "encoder", "loading"])
def test_without_memory_it_is_busy_and_recovers(house, rows, expected, monkeypatch, error, where):
    def starve(*_, **__):
        raise error

    house.read([rows[0]], KEYS[:1])
    with monkeypatch.context() as patch:
        if where == "pass":
            patch.setattr(reading, "capture", starve)
        elif where == "encoder":
            patch.setattr(Encoder, "__call__", starve)
        else:
            house.broken[KEYS[2]] = error
        with pytest.raises(Busy, match="memory"):
            house.read(rows, KEYS)
        assert not {r.name for r in house.pool.residents() if r.state == "ready"}, "room was made"
    house.broken.clear()
    check(house.read(rows, KEYS), expected, range(5))


def test_numbers_that_are_none_are_told_and_not_kept(house, rows, expected, monkeypatch):
    capture = reading.capture

    def damaged(*args):
        return {hook: value * float("nan") for hook, value in capture(*args).items()}

    entries = house.cache.held().entries
    with monkeypatch.context() as patch:
        patch.setattr(reading, "capture", damaged)
        for key in (KEYS[0], KEYS[4]):
            with pytest.raises(BadConfig, match="no finite numbers"):
                house.read(rows[:1], [key])
    assert house.cache.held().entries == entries
    check(house.read(rows[:1], KEYS), expected, [0])
    source = house.encoder(KEYS[0]).get().source
    with monkeypatch.context() as patch:
        patch.setattr(source.sae.b_dec, "data", torch.full_like(source.sae.b_dec, 3e38))
        with pytest.raises(BadConfig, match=f"values of {KEYS[0]} are no finite numbers"):
            house.read(rows[3:4], KEYS)
    check(house.read(rows, KEYS), expected, range(5))


def test_weights_that_changed_under_a_source_get_names_of_their_own(house, rows):
    """Let go and loaded again, a source may have other weights; what is kept must not mix them up."""
    key = KEYS[0]
    slot = house.encoder(key)
    slot.get()
    house.read([rows[0]], [key])
    slot.drop()
    load = slot.load

    def other():
        made = load()
        made.source.sha256 = "f" * 64
        return made

    slot.load = other
    house.read([rows[1]], [key])
    slot.drop()
    slot.load = load
    before = house.cache.held().misses
    house.read([rows[2]], [key])
    house.read([rows[1]], [key])
    assert house.cache.held().misses > before, "the other weights' codes are not taken for these"


def test_other_models_have_other_names(house, model, folder):
    names = set()
    for other in ({}, {"sha256": "a"}, {"settings_sha256": "b"}, {"dtype": "bfloat16"}):
        import dataclasses

        house.model.value = dataclasses.replace(model, **other)
        for ids in ((0, 1, 23), (0, 12, 3), (0, 1, 2, 3)):
            names |= {house.read._hidden_name(hook, ids) for hook in (HOOK, "blocks.0.hook_resid_pre")}
            names |= {house.read._codes_name(key, ids) for key in KEYS}
    assert len(names) == 4 * 3 * (2 + len(KEYS))


@settings(max_examples=100, deadline=None)
@given(lengths=st.lists(st.integers(1, 5000), max_size=40))
def test_passes_are_bounded(lengths):
    texts = [(n, *range(length - 1)) for n, length in enumerate(lengths)]
    passes = list(reading._passes(texts))
    assert sorted(ids for batch in passes for ids in batch) == sorted(texts)
    for batch in passes:
        assert len(batch) == 1 or max(map(len, batch)) * len(batch) <= reading.TOKENS


@settings(max_examples=100, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 4000), st.integers(1, 40)), max_size=30))
def test_shares_are_bounded_and_in_order(sizes):
    job = Asked((), None)
    texts = [(Wanted(tuple(range(length)), tuple(KEYS[:1] * many)), job) for length, many in sizes]
    shares = list(reading._shares(texts))
    assert [one for share in shares for one in share] == texts and all(shares)
    for share in shares:
        assert len(share) == 1 or sum(one.places for one, _ in share) <= reading.PLACES


def test_many_texts_in_several_shares(rows, expected, folder, model, monkeypatch):
    monkeypatch.setattr(reading, "PLACES", 40)
    house = House(folder, model, monkeypatch)
    check(house.read(rows, KEYS), expected, range(5))
    assert len(house.passes) > 1


def test_nothing_grows(rows, folder, model, monkeypatch):
    house = House(folder, model, monkeypatch, cache=Cache(None, memory=MB, disk=0))
    house.read([rows[0]], KEYS)
    before = sum(type(o) is Wanted for o in gc.get_objects())
    for n in range(60):
        house.read([(0, n % 399 + 1, (7 * n) % 399 + 1)], KEYS)
    assert house.cache.held().bytes <= MB
    gc.collect()
    assert sum(type(o) is Wanted for o in gc.get_objects()) <= before + 1
    assert house.read.turns.waiting() == 0 and len(house.read._names) == len(KEYS)


# -- tokenizers --------------------------------------------------------------------------------------------------------


def test_a_tokenizer_is_used_by_one_thread_at_a_time(model):
    """As Hugging Face's fast ones are: changing a setting while another thread encodes is “Already borrowed”."""
    import dataclasses

    class Fast:
        def __init__(self) -> None:
            self.busy = threading.Lock()

        def __call__(self, text, **options):
            assert self.busy.acquire(blocking=False), "Already borrowed"
            try:
                threading.Event().wait(0.0005)
                return model.tokenizer(text, **options)
            finally:
                self.busy.release()

    shared = dataclasses.replace(model, tokenizer=Fast())
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(shared.ids, TEXTS * 20))
    assert found == [model.ids(text) for text in TEXTS] * 20


def test_many_threads_tokenize(tmp_path, folder):
    """With truncation and padding in `tokenizer.json`, which every call has to switch off."""
    import shutil

    from tokenizers import Tokenizer

    shutil.copytree(folder / "model", tmp_path / "model")
    path = str(tmp_path / "model" / "tokenizer.json")
    made = Tokenizer.from_file(path)
    made.enable_truncation(3)
    made.enable_padding(length=20)
    made.save(path)
    odd = loading.load(ModelSpec(id="tiny", path=str(tmp_path / "model")))
    plain = loading.load(ModelSpec(id="tiny", path=str(folder / "model")))
    stop = threading.Event()

    def change() -> None:
        """Somebody else's call, under the same lock, that wants it otherwise."""
        while not stop.is_set():
            with odd._reading:
                odd.tokenizer("a b c d e f", truncation=True, max_length=2, padding="max_length")

    other = threading.Thread(target=change)
    other.start()
    try:
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(odd.ids, TEXTS * 40))
    finally:
        stop.set()
        other.join()
    assert found == [plain.ids(text) for text in TEXTS] * 40
