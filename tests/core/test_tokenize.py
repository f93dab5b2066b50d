"""The tokenizer alone gives the ids that the loaded model reads, by whichever way it was loaded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.catalog.manifest import ModelSpec
from core.errors import BadConfig, BadInput, NotAvailable, NotFound
from core.settings import HERE
from core.techniques import tokenize
from tests import tiny
from tests.live import python

DEMO = HERE / "demo" / "weights" / "model"
texts = st.text(max_size=60) | st.lists(st.sampled_from(["<|endoftext|>", " ", "é", "🙂", "\n\n", "the"])).map("".join)


@pytest.fixture(scope="module")
def model(bench):
    return bench._model_slot("tiny").get()


@settings(max_examples=200, deadline=None)
@given(text=texts.filter(bool))
def test_ids_are_the_models_own(bench, model, text):
    tokens = bench.tokenize("tiny", text)
    assert [token.id for token in tokens] == model.ids(text)
    assert bench.tokenize("tiny", text, bos=False) == tokens[1:]
    assert "".join(token.text for token in tokens[1:]) == text


@pytest.mark.parametrize("change", [{}, {"tokenizer_class": "GPT2Tokenizer"}, {"pad_token": "the"}, None])
def test_both_ways_give_the_same(tmp_path, change):
    """What the file does not say is left to transformers; the ids of the demo's tokenizer are the same either way."""
    from transformers import AutoTokenizer

    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((DEMO / name).read_bytes())
    config = json.loads((DEMO / "tokenizer_config.json").read_text(encoding="utf-8"))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config | (change or {})), encoding="utf-8")
    if change is None:
        (tmp_path / "special_tokens_map.json").write_text("{}", encoding="utf-8")
    assert (tokenize._from_file(tmp_path) is None) == (change != {})
    ids = tokenize.load_tokenizer(ModelSpec(id="m", path=str(tmp_path)))
    expected = AutoTokenizer.from_pretrained(tmp_path)
    for text in ["It’s the end.<|endoftext|> the", " \n\tdef f():", "日本 🙂", "the the"]:
        assert ids(text) == expected(text, add_special_tokens=False)["input_ids"]


def test_a_model_without_bos_begins_with_the_text(tmp_path):
    tiny.model(tmp_path / "model", bos=False)
    ids = tokenize.load_tokenizer(ModelSpec(id="m", path=str(tmp_path / "model")))
    assert ids("It’s") and ids("") == []


def test_what_cannot_be_read_says_so(tmp_path):
    with pytest.raises(NotAvailable, match="is not at"):
        tokenize.load_tokenizer(ModelSpec(id="m", path=str(tmp_path / "gone")))
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadConfig, match="tokenizer of m"):
        tokenize.load_tokenizer(ModelSpec(id="m", path=str(tmp_path)))


def test_bad_texts(bench):
    with pytest.raises(BadInput, match="10,000"):
        bench.tokenize("tiny", "a" * 10_001)
    with pytest.raises(BadInput, match="Unicode"):
        bench.tokenize("tiny", "\ud800")
    with pytest.raises(NotFound, match="tiny"):
        bench.tokenize("other", "a")


def test_it_needs_no_torch(tiny_root):
    code = """
import sys
from core.workbench import Workbench
bench = Workbench()
assert bench.tokenize("tiny", "It’s"), bench.living("tiny/1-res")
list(bench.each_feature(bench.living("tiny/1-res", limit=3)))
assert not {"torch", "transformers"} & set(sys.modules)
"""
    python(code, FEATURESCOPE_DATA=str(tiny_root), FEATURESCOPE_DEMO="")
