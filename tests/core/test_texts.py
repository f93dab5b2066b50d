"""From documents to prompts: the three cuts, against their definitions and against SAELens's own packing."""

from __future__ import annotations

import bz2
import gzip
import itertools
import lzma

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.build.config import BuildConfig, DatasetConfig, ModelConfig, SourceConfig
from core.build.texts import cut, documents
from core.errors import BadConfig
from tests import tiny


class Numbers:
    """A tokenizer of texts that are numbers with spaces between."""

    def __call__(self, texts, **_):
        return {"input_ids": [[int(word) for word in text.split() if word != "-"] for text in texts]}


def config(folder, **options) -> BuildConfig:
    return BuildConfig(
        model=ModelConfig(id="m", path="."),
        sources=(SourceConfig(id="0-n", neurons="blocks.0.mlp.hook_post"),),
        dataset=DatasetConfig(path=str(options.pop("path", "texts.txt"))),
        folder=folder,
        **options,
    )


def write(folder, rows) -> None:
    texts = [" ".join(map(str, row)) or "-" for row in rows]
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(texts), encoding="utf-8")


def rows_of(prompts):
    return [p.tolist() for p in prompts.tokens]


corpus = st.lists(st.lists(st.integers(0, 9), max_size=12), min_size=1, max_size=8)
ROWS = settings(max_examples=150, deadline=None)


@ROWS
@given(rows=corpus, context=st.integers(2, 9), bos=st.sampled_from([0, None]))
def test_first_and_chunks(tmp_path_factory, rows, context, bos):
    folder = tmp_path_factory.getbasetemp()
    write(folder, rows)
    head = [] if bos is None else [bos]
    room = context - len(head)
    first = [[*head, *row[:room]] for row in rows if row]
    chunks = [[*head, *row[i : i + room]] for row in rows for i in range(0, len(row), room)]
    for how, expected in (("first", first), ("chunks", chunks)):
        made = config(folder, context=context, cut=how)
        if expected:
            assert rows_of(cut(made, Numbers(), bos)) == expected
        else:
            with pytest.raises(BadConfig, match="empty"):
                cut(made, Numbers(), bos)


@ROWS
@given(rows=corpus, context=st.integers(2, 9), bos=st.sampled_from([0, None]))
def test_packed_is_saelens(tmp_path_factory, rows, context, bos):
    from sae_lens.tokenization_and_batching import concat_and_batch_sequences

    folder = tmp_path_factory.getbasetemp()
    write(folder, rows)
    expected = list(
        concat_and_batch_sequences(
            (torch.tensor(row) for row in rows if row),
            context,
            begin_batch_token_id=bos,
            sequence_separator_token_id=bos,
        )
    )
    made = config(folder, context=context, cut="packed")
    if expected:
        prompts = cut(made, Numbers(), bos)
        assert rows_of(prompts) == [row.tolist() for row in expected]
    else:
        with pytest.raises(BadConfig):
            cut(made, Numbers(), bos)


def test_packed_is_what_the_activations_store_gives(tmp_path):
    """The same documents through SAELens's ActivationsStore with its defaults."""
    from datasets import Dataset
    from sae_lens.training.activations_store import ActivationsStore
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer

    tiny.model(tmp_path / "model")
    bridge = TransformerBridge.boot_transformers(str(tmp_path / "model"), device="cpu")
    texts = [" ".join(tiny.LINES[i % 6 :]) for i in range(9)]
    (tmp_path / "texts.txt").write_text(tiny.SEPARATOR.join(texts), encoding="utf-8")
    store = ActivationsStore(
        model=bridge, dataset=Dataset.from_dict({"text": [t.strip("\n") for t in texts]}), streaming=False,
        hook_name="blocks.1.hook_resid_pre", hook_head_index=None, context_size=16, d_in=32, n_batches_in_buffer=2,
        total_training_tokens=1000, store_batch_size_prompts=2, train_batch_size_tokens=32, prepend_bos=True,
        normalize_activations="none", device=torch.device("cpu"), dtype="float32",
    )  # fmt: skip
    expected = list(itertools.islice(store._iterate_tokenized_sequences(), 12))
    made = config(tmp_path, context=16, cut="packed", prompts=12)
    found = rows_of(cut(made, AutoTokenizer.from_pretrained(tmp_path / "model"), 0))
    assert found == [row.tolist() for row in expected] and len(found) == 12


def test_a_prompt_says_which_document_it_begins_in(tmp_path):
    write(tmp_path, [[1, 2], [], [3, 4, 5], [6, 7, 8, 9, 1]])
    assert cut(config(tmp_path, context=3, cut="chunks"), Numbers(), 0).documents.tolist() == [0, 2, 2, 3, 3, 3]
    packed = cut(config(tmp_path, context=4, cut="packed"), Numbers(), 0)
    assert rows_of(packed) == [[0, 1, 2, 0], [0, 3, 4, 5], [0, 6, 7, 8]]
    assert packed.documents.tolist() == [0, 2, 3]


def test_limits_and_shuffle(tmp_path):
    rows = [[n] * 3 for n in range(20)]
    write(tmp_path, rows)
    plain = cut(config(tmp_path, prompts=4), Numbers(), None)
    assert rows_of(plain) == rows[:4]
    mixed = cut(config(tmp_path, shuffle=True, seed=3), Numbers(), None)
    again = cut(config(tmp_path, shuffle=True, seed=3), Numbers(), None)
    other = cut(config(tmp_path, shuffle=True, seed=4), Numbers(), None)
    assert rows_of(mixed) == rows_of(again) != rows_of(other)
    assert sorted(rows_of(mixed)) == rows and rows_of(mixed) != rows
    assert mixed.sha256 == again.sha256 != other.sha256
    assert [row[0] for row in rows_of(mixed)] == mixed.documents.tolist(), "a document keeps its number"


def test_the_hash_is_of_the_tokens_and_not_of_the_file(tmp_path):
    write(tmp_path, [[1, 2], [3]])
    (tmp_path / "other.txt").write_text("1 2", encoding="utf-8")
    (tmp_path / "third.txt").write_text("3", encoding="utf-8")
    one = cut(config(tmp_path), Numbers(), 0)
    two = cut(config(tmp_path, path="[ot]*h*r*.txt"), Numbers(), 0)
    assert one.sha256 == two.sha256 and two.parts == ["other", "third"]
    write(tmp_path, [[1], [2, 3]])
    assert cut(config(tmp_path), Numbers(), 0).sha256 != one.sha256


@pytest.mark.parametrize(
    ("suffix", "opener"), [(".txt", open), (".txt.xz", lzma.open), (".txt.gz", gzip.open), (".txt.bz2", bz2.open)]
)
def test_files_plain_and_compressed(tmp_path, suffix, opener):
    with opener(tmp_path / f"novel{suffix}", "wb") as file:
        file.write("é 1\n<|endoftext|>\n \n<|endoftext|>\n2".encode())
    found = list(documents(config(tmp_path, path="novel*")))
    assert [(d.text, d.part) for d in found] == [("é 1", "novel"), ("2", "novel")]


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.txt", b"\xff\xfe"), ("a.txt.xz", b"no xz"), ("a.txt.gz", b"\x1f\x8b\x08\x00short"), ("a.txt.bz2", b"BZh9")],
)
def test_a_damaged_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadConfig, match=name):
        list(documents(config(tmp_path, path="a.*")))


def test_a_folder_whose_name_is_a_pattern(tmp_path):
    folder = tmp_path / "my [1] corpus?"
    folder.mkdir()
    write(folder, [[1, 2]])
    assert rows_of(cut(config(folder), Numbers(), None)) == [[1, 2]]


def test_a_hub_data_set_that_lacks_the_column(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.jsonl").write_text('{"text": "1 2"}\n', encoding="utf-8")
    made = config(tmp_path).model_copy(update={"dataset": DatasetConfig(hub=str(tmp_path / "rows"), text="words")})
    with pytest.raises(BadConfig, match=r"dataset\.text: .*no column “words”.* text\."):
        cut(made, Numbers(), None)


@pytest.mark.parametrize(
    "error", [ConnectionError("Couldn't reach it"), ValueError("Unknown split"), FileNotFoundError()]
)
def test_a_hub_data_set_that_cannot_be_read(tmp_path, monkeypatch, error):
    import datasets

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(datasets, "load_dataset", fails)
    made = config(tmp_path).model_copy(update={"dataset": DatasetConfig(hub="org/texts")})
    with pytest.raises(BadConfig, match=r"dataset\.hub: org/texts cannot be read"):
        cut(made, Numbers(), None)


def test_a_hub_data_set(tmp_path):
    (tmp_path / "rows").mkdir()
    (tmp_path / "rows" / "train.jsonl").write_text(
        '{"words": "1 2"}\n{"words": " "}\n{"words": "3"}\n', encoding="utf-8"
    )
    made = config(tmp_path).model_copy(update={"dataset": DatasetConfig(hub=str(tmp_path / "rows"), text="words")})
    assert rows_of(cut(made, Numbers(), None)) == [[1, 2], [3]]


def test_tokens_are_small_integers(tmp_path):
    write(tmp_path, [[70_000, 3]])
    assert cut(config(tmp_path), Numbers(), None).tokens[0].dtype == np.uint32
