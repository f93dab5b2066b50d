"""Whether a model chats is read from its tokenizer's files, without loading it."""

from __future__ import annotations

import json

import pytest

from core.catalog.manifest import ModelSpec
from core.techniques.tokenize import has_chat_template


def folder(tmp_path, **files: str):
    for name, text in files.items():
        (tmp_path / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return ModelSpec(id="m", path=str(tmp_path))


@pytest.mark.parametrize(("files", "chats"), [
    ({}, False),
    ({"tokenizer_config__json": "{}"}, False),
    ({"tokenizer_config__json": json.dumps({"chat_template": "{{ messages }}"})}, True),
    ({"tokenizer_config__json": json.dumps({"chat_template": ""})}, False),
    ({"tokenizer_config__json": "{}", "chat_template__jinja": "{{ messages }}"}, True),
    ({"chat_template__json": json.dumps({"chat_template": "{{ messages }}"})}, True),
    ({"tokenizer_config__json": "{not json"}, None),
    ({"tokenizer_config__json": "[]"}, None),
])  # fmt: skip
def test_a_folder(tmp_path, files, chats):
    assert has_chat_template(folder(tmp_path, **files)) is chats


def test_what_only_a_library_knows_is_not_known():
    assert has_chat_template(ModelSpec(id="m", transformer_lens="gpt2")) is None
    assert has_chat_template(ModelSpec(id="m", hub="nobody/never-fetched")) is None


def test_the_workbench_says_so_without_the_model(bench, monkeypatch):
    monkeypatch.setattr(type(bench), "_model_slot", lambda *_: pytest.fail("no model is needed"))
    assert bench.chats("tiny") is False
