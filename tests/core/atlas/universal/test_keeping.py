"""Two models with different tokenizers, built for real, with the same features planted in both stores.

They are found, kept, read back and drawn; where there is nothing to compare, the refusal says what would do.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from api import server
from components import resources, universal_panels
from core.__main__ import main
from core.atlas.universal import keeping
from core.atlas.universal.characters import Reading
from core.errors import BadInput, NotAvailable, NotFound
from core.records import FeatureKey, SourceKey
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.pages.test_pages import html, notes, visit

FIRST, SECOND = SourceKey("tiny", "1-res"), SourceKey("twin", "1-res")
WIDTH = 64
ORDER = np.random.default_rng(4).permutation(WIDTH)
"""Feature n of the twin is feature `ORDER[n]` of the first model."""


def retokenised(folder: Path) -> None:
    """A tokenizer of other merges, of which there are fewer."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<|endoftext|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())  # fmt: skip
    made.train_from_iterator([line[::-1] for line in tiny.LINES], trainer)
    made.save(str(folder / "tokenizer.json"))


def plant(bench: Workbench, key: SourceKey, order: np.ndarray, scale: float) -> None:
    """Puts features of whole words into a source's store: each has its own two words."""
    from tokenizers import pre_tokenizers

    splitter = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words = sorted({word for line in tiny.LINES for word, _ in splitter.pre_tokenize_str(f" {line}")})
    rng, value = np.random.default_rng(1), np.zeros((WIDTH, len(words) + 1))
    for f in range(WIDTH):
        value[f, rng.choice(len(words), 2, replace=False)] = rng.uniform(1, 3, 2)
    folder = bench.catalog.entry(key).folder
    read = Reading.of(bench._open.get(folder), bench._vocabulary(key.model_id))
    pieces = splitter.pre_tokenize_str(read.text.decode())
    sizes = [len(read.text.decode()[begin:end].encode()) for _, (begin, end) in pieces]
    owner = np.repeat([words.index(word) if word in words else len(words) for word, _ in pieces], sizes)
    text = np.flatnonzero(np.diff(read.begins) > 0)
    table = scale * value[order][:, owner[read.begins[text]]]  # [features, tokens]
    found = [np.flatnonzero(row) for row in table]
    (folder / "store").mkdir(exist_ok=True)
    np.save(folder / "store/offsets.npy", np.concatenate([[0], np.cumsum([len(f) for f in found])]).astype(np.int64))
    np.save(folder / "store/positions.npy", np.concatenate([text[f] for f in found]).astype(np.uint32))
    np.save(folder / "store/values.npy", np.concatenate([r[f] for r, f in zip(table, found, strict=True)]).astype("f4"))


@pytest.fixture(scope="module")
def root(tmp_path_factory, tiny_root, tiny_config) -> Path:
    """The tiny model and its twin, with planted stores."""
    place = tmp_path_factory.mktemp("twins")
    shutil.copytree(tiny_root / "tiny", place / "data" / "tiny")
    shutil.copytree(tiny_config.parent / "model", place / "model")
    shutil.copytree(tiny_config.parent / "sae", place / "sae")
    retokenised(place / "model")
    text = tiny_config.read_text()
    for old, new in {
        "id: tiny": "id: twin", "texts.txt": str(tiny_config.parent / "texts.txt"), "prompts: 60": "prompts: 400",
        "  - {id: 0-neurons, neurons: blocks.0.mlp.hook_post}\n": "",
    }.items():  # fmt: skip
        text = text.replace(old, new)
    (place / "twin.yaml").write_text(text)
    bench = Workbench(Settings(data=place / "data", demo=None))
    bench.build(place / "twin.yaml")
    plant(bench, FIRST, np.arange(WIDTH), 1.0)
    plant(bench, SECOND, ORDER, 2.5)
    return place / "data"


@pytest.fixture(scope="module")
def made(root) -> Workbench:
    bench = Workbench(Settings(data=root, demo=None))
    places = bench.atlas.make_universal("tiny", "twin", draws=6)
    assert sorted(places) == [FIRST, SECOND]  # the neurons are dense: they are left out
    assert all((place / "made.json").is_file() for place in places.values())
    return Workbench(Settings(data=root, demo=None))


def test_the_twin_of_every_feature_is_found_and_read_back(made):
    back = np.argsort(ORDER)
    for n in (0, 5, 33, 63):
        (match,) = made.atlas.universal(FeatureKey("tiny", "1-res", n))
        assert match.feature == FeatureKey("twin", "1-res", int(back[n]))
        assert match.value == pytest.approx(1, abs=1e-3)
        assert match.universal
        assert match.mutual
        assert match.p < 0.01
        assert match.token_value < 1  # two words are no single token
        (returned,) = made.atlas.universal(match.feature)
        assert returned.feature == match.of


def test_a_source_says_how_many_and_against_what(made):
    (record,) = made.atlas.universal_source(FIRST)
    assert record.model_id == "twin"
    assert record.universal == record.compared == WIDTH
    assert record.share == 1
    assert record.expected < 0.2
    assert record.draws == 6
    assert record.documents > 10
    (pair,) = record.pairs
    assert (pair.key, pair.other, pair.mutual, pair.better_than_token) == (FIRST, SECOND, WIDTH, WIDTH)
    assert pair.chance < pair.median
    assert sum(pair.counts) == WIDTH
    assert sum(pair.chance_counts) == pytest.approx(WIDTH, abs=0.5)


def test_matches_come_in_every_order_and_in_pages(made):
    got = made.atlas.universal_matches(FIRST, SECOND, by="index", top=10, offset=60)
    assert [m.of.index for m in got.matches] == [60, 61, 62, 63]
    assert got.total == WIDTH
    assert got.next_offset is None
    assert made.atlas.universal_matches(FIRST, SECOND, top=10).next_offset == 10
    margins = [m.value - m.bound for m in made.atlas.universal_matches(FIRST, SECOND, by="margin", top=64).matches]
    assert margins == sorted(margins, reverse=True)
    words = [m.value - m.token_value for m in made.atlas.universal_matches(FIRST, SECOND, by="words", top=64).matches]
    assert words == sorted(words, reverse=True)


def test_what_was_made_of_another_build_is_not_shown(made, root, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(root, copy)
    bench = Workbench(Settings(data=copy, demo=None))
    assert len(bench.atlas.universal_source(FIRST)) == 1
    path = copy / "twin/1-res/source.json"
    manifest = json.loads(path.read_text())
    manifest["build"]["dataset_sha256"] = "0" * 64  # the twin was built again, on other texts
    path.write_text(json.dumps(manifest))
    bench.catalog.refresh()
    assert bench.atlas.universal_source(FIRST) == ()
    assert bench.atlas.universal(FeatureKey("tiny", "1-res", 3)) == ()


def test_refusals_say_what_would_do(made, root, tmp_path):
    atlas = made.atlas
    with pytest.raises(BadInput, match="between two models"):
        atlas.make_universal("tiny", "tiny/1-res")
    with pytest.raises(BadInput, match="of one model"):
        atlas.universal_matches(FIRST, "tiny/0-neurons")
    with pytest.raises(BadInput, match="draws"):
        atlas.make_universal("tiny", "twin", draws=1)
    with pytest.raises(BadInput, match="order"):
        atlas.universal_matches(FIRST, SECOND, by="colour")
    with pytest.raises(NotFound, match="no model"):
        atlas.make_universal("tiny", "nobody")
    with pytest.raises(NotFound, match="there is no 64"):
        atlas.universal("tiny/1-res/64")
    with pytest.raises(NotAvailable, match="not compared yet"):
        atlas.universal_matches("tiny/0-neurons", SECOND)
    copy = tmp_path / "data"
    shutil.copytree(root, copy)
    shutil.rmtree(copy / "twin/1-res/store")
    bench = Workbench(Settings(data=copy, demo=None))
    with pytest.raises(NotAvailable, match="without its activation store"):
        bench.atlas.make_universal(FIRST, SECOND)


def test_a_damaged_file_is_said_not_shown(made, root, tmp_path):
    copy = tmp_path / "data"
    shutil.copytree(root, copy)
    (file,) = (copy / "tiny/1-res/derived").glob(f"universal-*/{keeping.FILE}")
    file.write_bytes(file.read_bytes()[:400])
    client = TestClient(server.create(Workbench(Settings(data=copy, demo=None))))
    answer = client.get("/universal/tiny/1-res/3")
    assert 400 <= answer.status_code < 500
    assert "cannot be read" in answer.json()["message"]


def test_the_command_line_says_the_same(made, root, capsys):
    def run(*arguments: str) -> str:
        assert main(["universal", "--data", str(root), *arguments]) == 0
        return capsys.readouterr().out

    text = run("tiny", "twin")
    assert "any of twin" in text
    assert "100.0%" in text
    both = json.loads(run("tiny", "twin", "--json"))
    assert [one["layer"] for one in both["sources"]] == ["1-res", "1-res"]
    page = json.loads(run("tiny/1-res", "twin/1-res", "--json", "--top", "3", "--by", "index"))
    assert [m["feature"]["index"] for m in page["results"]] == ["0", "1", "2"]
    one = json.loads(run("tiny/1-res/7", "--json"))
    assert one["matches"][0]["match"]["index"] == str(int(np.argsort(ORDER)[7]))
    assert "tiny/1-res/7" in run("tiny/1-res/7")
    assert main(["universal", "--data", str(root), "tiny"]) == 2


def test_the_api_gives_it_as_json_and_as_a_table(made):
    client = TestClient(server.create(made))
    one = client.get("/universal/tiny/1-res/7").json()
    assert one["matches"][0]["universal"] is True
    rows = list(csv.reader(io.StringIO(client.get("/universal/tiny/1-res/7", params={"format": "csv"}).text)))
    assert rows[0][:2] == ["feature", "match"]
    assert rows[1][0] == "tiny/1-res/7"
    assert client.get("/universal/tiny/1-res").json()["models"][0]["universal"] == WIDTH
    page = client.get("/universal/tiny/1-res", params={"other": "twin/1-res", "limit": 5, "mutual": True}).json()
    assert page["resultsCount"] == 5
    assert page["nextOffset"] == 5
    for path in ("/universal/tiny/1-res/64", "/universal/tiny/9-res", "/universal/tiny/1-res?other=x",
                 "/universal/tiny/1-res?other=twin/1-res&by=colour",
                 "/universal/tiny/1-res?other=twin/7-res"):  # fmt: skip
        answer = client.get(path)
        assert 400 <= answer.status_code < 500
        assert answer.json()["message"]


def test_a_panel_escapes_what_is_said_and_shows_chance(made):
    key = FeatureKey("tiny", "1-res", 7)
    matches = made.atlas.universal(key)
    html = universal_panels.panel(matches, {matches[0].feature: "<b>bold</b> & more"})
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; more" in html
    assert f"/feature?id={matches[0].feature}" in html
    assert "each other’s best" in html
    assert universal_panels.panel((), {}) == ""


@pytest.mark.parametrize(
    ("query", "shown", "said"),
    [
        ({}, ("100 %", "/universal?id=tiny/1-res&amp;other=twin/1-res"), ""),
        ({"other": "twin/1-res"}, ("fs-two-hist", "64 matches", "page 1 of 3"), ""),
        ({"other": "twin/1-res", "by": "index", "page": "3"}, ("1-res · 63", "page 3 of 3"), ""),
        ({"other": "twin/1-res", "page": "9"}, ("page 3 of 3",), "There is no page 9"),
        ({"other": "twin/1-res", "by": "colour"}, ("fs-two-hist",), "is not a value of “by”"),
        ({"other": "<b>"}, ("100 %",), "“other” of the link"),
        ({"other": "twin/9-res"}, (), "has no source “9-res”"),
        ({"id": "twin/1-res"}, ("other=tiny/1-res",), ""),
        ({"id": "tiny/0-neurons"}, ("Nobody has compared this source",), ""),
        ({"id": "tiny/7-res"}, (), "has no source “7-res”"),
    ],
)
def test_the_page_shows_figures_then_pairs(made, monkeypatch, query, shown, said):
    monkeypatch.setattr(resources, "workbench", lambda: made)
    app = visit("universal.py", **({"id": "tiny/1-res"} | query))
    assert not app.exception
    drawn = html(app)
    assert all(part in drawn for part in shown)
    assert said in drawn
    assert bool(said) == bool(notes(app))


def test_the_page_of_a_source_says_how_much_another_model_has(made, monkeypatch):
    monkeypatch.setattr(resources, "workbench", lambda: made)
    assert "100 % of its features have a twin in twin" in html(visit("source.py", id="tiny/1-res"))
    assert "In other models" not in html(visit("source.py", id="tiny/0-neurons"))


def test_a_notebook_gets_a_row_a_match_and_a_pair(made):
    key = FeatureKey("tiny", "1-res", 7)
    (row,) = made.atlas.universal(key).to_pandas().to_dict("records")
    assert row["feature"] == str(key)
    assert row["universal"]
    assert made.atlas.universal_source(FIRST).to_pandas()["other"].tolist() == [str(SECOND)]
    frame = made.atlas.universal_matches(FIRST, SECOND, top=4, by="index").to_pandas()
    assert frame["feature"].tolist() == [f"tiny/1-res/{n}" for n in range(4)]
    assert str(SECOND) in made.atlas.universal_source(FIRST)._repr_html_()
