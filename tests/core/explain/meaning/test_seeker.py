"""The index: exact, renewed by as little as changed, kept on disk, and paged without gaps or doubles."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BadInput, Busy, Unreachable
from core.explain.meaning import lexical, vectors
from core.explain.meaning import seeker as seekers
from core.explain.meaning.asking import check, scope
from core.explain.meaning.ranking import DIGITS, Wanted
from core.explain.meaning.seeker import Seeker
from core.settings import Settings
from core.workbench import Workbench
from tests.core.explain.meaning.worlds import NEURONS, SAE, Counting, Said

TEXTS = ["red and green", "blue", "war", "the sea and ships", "python code", "music", "red", "the month of March"]


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(seekers, "FRESH", 0.0)


@pytest.fixture
def root(tiny_root, tmp_path):
    """A data root of the test's own, beside a read-only one with the tiny sources."""
    return tmp_path / "mine"


@pytest.fixture
def bench(tiny_root, root):
    return Workbench(Settings(data=root, demo=tiny_root))


@pytest.fixture
def said():
    made = Said()
    for n, text in enumerate(TEXTS):
        made.say(n, text, score=n / 10, scorer="detection")
    return made


def made(bench, *providers, embedder=None):
    return Seeker(bench, lambda: providers, made=embedder or Counting())


def find(seeker, query="red ships", keys=(SAE, NEURONS), patience=60.0, tell=None, **more):
    return seeker.find(list(keys), Wanted(query=query, **more), patience=patience, tell=tell)


# -- exact -------------------------------------------------------------------------------------------------------------


def brute(bench, seeker, providers, wanted):
    """(id, similarity, words, score) of every explanation that passes, in order; by the definition, one at a time."""
    every = []
    for key in sorted([SAE, NEURONS]):
        density = bench.features(key)["density"]
        its = sorted((b for p in providers for b in p.briefs(key)), key=lambda b: (b.index, b.id))
        every += [(key, brief, float(density[brief.index])) for brief in its]
    shared = lexical.scores(lexical.asked(wanted.query), [lexical.Postings([b.text for _, b, _ in every])])
    query = seeker.embedder.vector(wanted.query).astype(np.float64)
    rows = []
    for n, (key, brief, dense) in enumerate(every):
        near = float(seeker.embedder.vector(brief.text).astype(np.float64) @ query)
        words = float(shared[n])
        score = {"both": (near + words) / 2, "meaning": near, "words": words}[wanted.rank]
        passes = [
            wanted.dead or dense > 0, dense >= wanted.sparsest, wanted.densest is None or dense <= wanted.densest,
            wanted.trusted is None or brief.score >= wanted.trusted,
            not wanted.origins or brief.origin in wanted.origins,
            not wanted.methods or brief.method in wanted.methods, wanted.rank != "words" or words > 0,
        ]  # fmt: skip
        if all(passes):
            rows.append((f"{key}/{brief.index}", brief.id, near, words, score))
    return sorted(rows, key=lambda row: -round(row[-1] * DIGITS))  # stable


WORD = st.sampled_from(["red", "blue", "war", "sea", "the", "of", "music"])
SAYING = st.tuples(
    st.booleans(), st.integers(0, 63), st.lists(WORD, min_size=1, max_size=5).map(" ".join),
    st.sampled_from(["data", "model", "person"]), st.sampled_from(["annotation", "np_max-act"]),
    st.sampled_from([float("nan"), 0.25, 0.5, 0.75]),
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sayings=st.lists(SAYING, max_size=30), query=st.lists(WORD, min_size=1, max_size=3).map(" ".join),
    rank=st.sampled_from(["both", "meaning", "words"]), dead=st.booleans(), top=st.integers(1, 7),
    offset=st.integers(0, 12), trusted=st.sampled_from([None, 0.5]), origins=st.sampled_from([(), ("model", "data")]),
    densest=st.sampled_from([None, 0.02]), sparsest=st.sampled_from([0.0, 0.01]),
    methods=st.sampled_from([(), ("annotation",), ("nobody's",)]),
)  # fmt: skip
def test_it_finds_what_looking_at_every_explanation_finds(bench, sayings, query, rank, top, offset, **filters):
    said = Said()
    for neurons, index, text, origin, method, score in sayings:
        said.say(index, text, NEURONS if neurons else SAE, origin=origin, method=method, score=score)
    seeker = made(bench, said)
    wanted = Wanted(query=query + " it", rank=rank, top=top, offset=offset, **filters)
    record = seeker.find([SAE, NEURONS], wanted, patience=60.0)
    expected = brute(bench, seeker, [said], wanted)
    assert record.total == len(expected)
    part = expected[offset : offset + top]
    assert [(str(hit.key), hit.id) for hit in record.hits] == [row[:2] for row in part]
    for hit, (*_, near, words, score) in zip(record.hits, part, strict=True):
        assert hit.similarity is None if rank == "words" else hit.similarity == pytest.approx(near, abs=1e-5)
        assert (hit.words, hit.score) == (pytest.approx(words, abs=1e-5), pytest.approx(score, abs=1e-5))
    after = record.next_offset
    assert after == (offset + top if offset + top < len(expected) else None)


@pytest.mark.parametrize("rank", ["both", "meaning", "words"])
def test_pages_have_neither_gaps_nor_doubles_also_where_scores_are_equal(bench, rank):
    said = Said()
    for n in range(60):  # four texts, so fifteen of each score
        said.say(n, ["red", "blue red", "war red", "red sea"][n % 4], NEURONS if n % 3 else SAE)
    seeker = made(bench, said)
    whole = find(seeker, "red", rank=rank, top=100, dead=True)
    assert whole.total == len(whole.hits) == 60 and whole.next_offset is None
    for size in (1, 7, 30):
        got, offset = [], 0
        while offset is not None:
            record = find(seeker, "red", rank=rank, top=size, offset=offset, dead=True)
            got += [hit.id for hit in record.hits]
            offset = record.next_offset
        assert got == [hit.id for hit in whole.hits]
    beyond = find(seeker, "red", rank=rank, offset=1000, dead=True)
    assert not beyond.hits and beyond.total == 60 and beyond.next_offset is None


def test_who_has_all_words_of_a_query_stands_before_who_has_none(bench, said):
    class Alike(Counting):
        def vector(self, text):  # whoever shares no word is nearly the same in meaning, whoever does is not near at all
            e = np.eye(self.dimensions, dtype=np.float32)
            if text == "credentials":
                return e[1]
            return e[0] if "Credentials" in text else np.float32(0.9) * e[0] + np.float32(0.19**0.5) * e[2]

    said.say(9, "credentials")
    record = find(made(bench, said, embedder=Alike()), "Credentials of sailors", dead=True)
    assert record.hits[0].text != "credentials"  # half of the words, and nothing of the meaning
    record = find(made(bench, said, embedder=Alike(name="again")), "the Credentials", dead=True)
    assert record.hits[0].text == "credentials"


def test_a_source_alone_and_all_sources_give_a_text_the_same_similarity(bench, said):
    said.say(3, "red", NEURONS)
    seeker = made(bench, said)
    alone = {hit.id: hit.similarity for hit in find(seeker, keys=[SAE], dead=True, top=50).hits}
    both = {hit.id: hit.similarity for hit in find(seeker, dead=True, top=50).hits}
    assert alone == pytest.approx({id: both[id] for id in alone}, abs=1e-6) and len(both) == len(alone) + 1


# -- renewed by as little as changed -----------------------------------------------------------------------------------


def test_only_new_and_changed_texts_are_embedded(bench, said):
    count = Counting()
    seeker = made(bench, said, embedder=count)
    find(seeker)
    assert sorted(count.asked) == sorted([*TEXTS, "red ships"])
    count.asked.clear()
    find(seeker)
    assert not count.asked  # the query's vector is remembered too
    first = said.its[SAE][0]
    said.say(0, "red and yellow", id=first.id)
    said.say(20, "war")  # said before, of another feature
    assert find(seeker, "yellow", dead=True).hits[0].text == "red and yellow"
    assert count.asked == ["red and yellow", "yellow"]


def test_vectors_survive_the_process(bench, said, root):
    find(made(bench, said))
    again = Counting()
    find(made(bench, said, embedder=again))
    assert again.asked == ["red ships"]
    (file,) = root.rglob("*.arrow")
    assert file.parent.name == vectors.folder_name("counting")


def test_what_was_embedded_before_a_kill_is_not_embedded_again(bench, said, monkeypatch):
    monkeypatch.setattr(seekers, "EVERY", 4)
    count = Counting(batch=2)
    count.most = 5
    seeker = made(bench, said, embedder=count)
    with pytest.raises(RuntimeError, match="plug"):
        find(seeker)
    before = list(count.asked)
    assert len(before) == 4
    count.most, count.asked = None, []
    find(seeker)
    assert sorted(count.asked) == sorted({*TEXTS, "red ships"} - set(before))


def test_several_files_become_one_without_what_nobody_says_any_more(bench, said, root, monkeypatch):
    monkeypatch.setattr(seekers, "EVERY", 3)
    seeker = made(bench, said)
    find(seeker)
    assert len(list(root.rglob("*.arrow"))) == 1
    said.its[SAE] = said.its[SAE][:2]
    said.say(30, "something else")
    find(seeker)
    (kept,) = vectors.open_kept([root / str(SAE)], "counting").parts
    assert set(kept.hashes) == {vectors.text_hash(t) for t in [*TEXTS[:2], "something else"]}


def test_vectors_of_another_embedder_are_made_anew_and_never_mixed(bench, said, root):
    find(made(bench, said))
    other = Counting("another", dimensions=8)
    seeker = made(bench, said, embedder=other)
    record = find(seeker)
    assert sorted(other.asked) == sorted([*TEXTS, "red ships"]) and record.embedder == "another"
    for file in root.rglob("*.arrow"):  # a file that lies where another's should is not read
        target = root / str(SAE) / "derived" / vectors.folder_name("third") / file.name
        target.parent.mkdir(exist_ok=True)
        shutil.copy(file, target)
    third = Counting("third", dimensions=8)
    find(made(bench, said, embedder=third))
    assert sorted(third.asked) == sorted([*TEXTS, "red ships"])


def test_a_damaged_file_counts_as_absent(bench, said, root):
    find(made(bench, said))
    (file,) = root.rglob("*.arrow")
    file.write_bytes(file.read_bytes()[:200])
    count = Counting()
    assert find(made(bench, said, embedder=count), dead=True).total == len(TEXTS)
    assert len(count.asked) == len(TEXTS) + 1


def test_what_ships_with_a_read_only_root_is_not_embedded(bench, tiny_root, said, root, tmp_path):
    built = tmp_path / "shipped"
    shutil.copytree(tiny_root, built)
    alone = Workbench(Settings(data=built, demo=None))
    seeker = made(alone, said)
    seeker.ready([SAE, NEURONS], compact=True, patience=60.0)
    count = Counting()
    above = Workbench(Settings(data=root, demo=built))
    said.say(40, "one more")
    seeker = made(above, said, embedder=count)
    record = find(seeker, dead=True, top=50)
    assert count.asked == ["one more", "red ships"]
    for hit in record.hits:  # bytes are as good as two digits and more
        assert hit.similarity == pytest.approx(float(count.vector(hit.text) @ count.vector("red ships")), abs=5e-3)


def test_a_data_root_that_cannot_be_written_is_searched_all_the_same(bench, said, root, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vectors, "write_part", full)
    assert find(made(bench, said), dead=True).total == len(TEXTS)


# -- while it is at work -----------------------------------------------------------------------------------------------


def test_who_waits_is_told_how_far_it_is_and_may_go_while_it_goes_on(bench, said):
    count, steps = Counting(), []
    count.gate.clear()
    seeker = made(bench, said, embedder=count)
    with pytest.raises(Busy, match="0 of 8"):
        find(seeker, patience=0.3, tell=steps.append)
    assert (steps[-1].doing, steps[-1].done, steps[-1].of) == ("embedding", 0, len(TEXTS))
    assert find(seeker, "red", rank="words", patience=0.0).hits  # words do not wait for it
    count.gate.set()
    assert find(seeker, dead=True).total == len(TEXTS)
    assert len(count.asked) == len(TEXTS) + 1  # once


def test_many_at_once_embed_once(bench, said):
    count = Counting()
    seeker, found = made(bench, said, embedder=count), []
    threads = [threading.Thread(target=lambda: found.append(find(seeker))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8 and all(one.hits == found[0].hits for one in found)
    assert sorted(text for text in count.asked if text != "red ships") == sorted(TEXTS)


def test_words_alone_need_no_embedder(bench, said):
    class Absent(Counting):
        def __call__(self, texts):
            raise AssertionError("asked")

    record = find(made(bench, said, embedder=Absent()), "ships", rank="words", dead=True)
    assert [hit.text for hit in record.hits] == ["the sea and ships"]
    assert record.hits[0].similarity is None and record.embedder == "" and record.hits[0].matched == ("ships",)


def test_a_provider_that_is_away_does_not_keep_the_others_from_being_searched(bench, said):
    people = Said()
    people.say(5, "red letters", origin="person", id="p1")
    seeker = made(bench, said, people)
    assert find(seeker, dead=True).total == len(TEXTS) + 1
    people.away = Unreachable("People’s things are away.")
    record = find(seeker, dead=True)
    assert record.total == len(TEXTS) and record.lacking == ("People’s things are away.",)
    people.away = None
    record = find(seeker, dead=True)
    assert record.total == len(TEXTS) + 1 and not record.lacking


def test_a_source_that_was_built_anew_is_read_anew(bench, said, monkeypatch):
    seeker = made(bench, said)
    find(seeker)
    seeker_marks = said.marks
    monkeypatch.setattr(bench, "build_of", lambda key: "another build")
    said.its[SAE] = said.its[SAE][:1]
    assert find(seeker, dead=True).total == 1 and said.marks == seeker_marks


# -- what is asked -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "  ", "ab", " ab  ", "x" * 20_000])
def test_queries_out_of_bounds_are_refused(bench, said, query):
    with pytest.raises(BadInput, match="characters"):
        find(made(bench, said), query)


@pytest.mark.parametrize(
    "more",
    [
        {"rank": "best"}, {"origins": ("nobody",)}, {"densest": 2.0}, {"sparsest": -0.1}, {"densest": float("nan")},
        {"trusted": float("inf")}, {"top": 0}, {"top": 101}, {"offset": -1},
    ],
)  # fmt: skip
def test_bounds(more):
    check(Wanted(query="red"), 100)
    with pytest.raises(BadInput):
        check(replace(Wanted(query="red"), **more), 100)


def test_scope(bench):
    every = {SAE, NEURONS}
    assert set(scope(bench, None, (), None, None)) == every == set(scope(bench, "tiny", (), None, "tiny-release"))
    assert scope(bench, None, (), "res", None) == [SAE] == scope(bench, "tiny", ["1-res"], None, None)
    for wrong in (
        ("nobody", (), None, None), (None, (), "nothing", None), (None, (), None, "never"),
        ("tiny", ["7-res"], None, None), ("tiny", ["1-res"], "neurons", None),
    ):  # fmt: skip
        with pytest.raises(Exception) as told:
            scope(bench, *wrong)
        assert type(told.value).__name__ in {"NotFound", "BadInput"}


def test_a_query_that_is_read_in_part_is_said_to_be(bench, said):
    assert find(made(bench, said), "red " * 200).cut
    assert not find(made(bench, said), "red").cut


def test_no_explanations_give_an_empty_record_without_asking_the_embedder(bench):
    count = Counting()
    record = find(made(bench, Said(), embedder=count))
    assert (record.hits, record.total, record.looked, count.asked) == ((), 0, 0, [])


def test_what_is_warm_is_loaded_once_and_nobody_waits_for_it(bench, said):
    embedder = Counting()
    embedder.ready = False
    embedder.gate.clear()
    warmed = made(bench, said, embedder=embedder)
    for _ in range(3):
        warmed.warm()
    assert not embedder.asked
    embedder.gate.set()
    until = time.monotonic() + 30
    while not embedder.asked and time.monotonic() < until:
        time.sleep(0.01)
    assert embedder.asked == [" "]
    embedder.ready = True
    made(bench, said, embedder=embedder).warm()
    assert embedder.asked == [" "], "what is ready is left alone"
