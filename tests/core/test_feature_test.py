"""One feature on new texts: what SAELens gives on the text run alone, however many texts come together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.errors import BadInput, NotAvailable, NotFound, WorkbenchError
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

TEXTS = [
    "Paris",
    "It’s a fine day 🙂 in Zürich, isn’t it?",
    "x",
    "def add(a, b):\n    return a + b\n",
    "a <|endoftext|> b",
]


@pytest.fixture(scope="module", params=["standard", "jumprelu", "topk", "neurons"])
def case(request, tmp_path_factory):
    """(workbench, source, naive values of any texts)."""
    folder = tmp_path_factory.mktemp("test")
    tiny.model(folder / "model", scale=8.0)
    options = {"k": 6, "bias": 0.0} if request.param == "topk" else {"bias": -0.5}
    neurons = request.param == "neurons"
    if not neurons:
        tiny.sae(folder / "sae", request.param, **options)
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(8)), encoding="utf-8")
    source = {"neurons": "blocks.1.mlp.hook_post"} if neurons else {"sae": {"path": "sae"}}
    config = {
        "model": {"id": "tiny", "path": "model"},
        "sources": [{"id": "1-a", **source}],
        "dataset": {"path": "texts.txt"},
        "context": 16,
    }
    (folder / "build.yaml").write_text(yaml.safe_dump(config))
    bench = Workbench(Settings(data=folder / "data", demo=None))
    bench.build(folder / "build.yaml")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")

    def alone(text: str) -> np.ndarray:
        ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
        hook = "blocks.1.mlp.hook_post" if neurons else "blocks.1.hook_resid_pre"
        return naive.dense(folder / "model", None if neurons else folder / "sae", [ids], hook, {0}).acts

    return bench, bench.source("tiny/1-a"), alone


def close(values, expected) -> None:
    np.testing.assert_allclose(values, expected, rtol=3e-6, atol=2e-5)


def test_values_are_saelens_own(case):
    bench, source, alone = case
    features = range(0, source.width, 7)
    for text in TEXTS:
        expected = alone(text)
        for i in features:
            (record,) = bench.test(f"{source.key}/{i}", text)
            assert record.text == text and len(record.tokens) == len(record.values) == len(expected)
            close(record.values, expected[:, i])
            assert "".join(t.text for t in record.tokens[1:]) == text
            values = np.array(record.values)
            counted = [n for n, t in enumerate(record.tokens) if t.id != 0]
            size = np.abs(values) if source.signed else values
            if record.position is None:
                assert record.maximum == 0 and (size[counted] <= 0).all()
            else:
                assert (
                    record.position == max(counted, key=lambda n: (size[n], -n))
                    and record.maximum == values[record.position]
                )


def test_texts_together_are_texts_alone(case):
    bench, source, _ = case
    for i in (0, 3, 11):
        together = bench.test(f"{source.key}/{i}", TEXTS)
        for text, record in zip(TEXTS, together, strict=True):
            (one,) = bench.test(f"{source.key}/{i}", [text])
            assert (record.text, record.tokens) == (one.text, one.tokens) == (text, one.tokens)
            close(record.values, one.values)


def test_the_dashboards_values_come_back(case):
    """A prompt of the build, tested, has the values that the page shows."""
    bench, source, _ = case
    for i in range(0, source.width, 5):
        for group in bench.feature(f"{source.key}/{i}").groups[:1]:
            example = group.examples[0]
            text = "".join(t.text for t in example.tokens[1:])
            (record,) = bench.test(f"{source.key}/{i}", text)
            if [t.id for t in record.tokens] == [t.id for t in example.tokens]:  # a cut may end inside a character
                close(record.values[example.position], example.value)


def test_eight_threads_get_what_one_gets(case):
    bench, source, _ = case
    asked = [(f"{source.key}/{n % 13}", TEXTS[n % 5]) for n in range(64)]
    expected = [bench.test(*one) for one in asked]
    fresh = Workbench(bench.settings)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda one: fresh.test(*one), asked)) == expected
    assert [r.state for r in fresh.residents()] == ["ready", "ready"]


def test_tests_leave_no_hooks(case):
    bench, source, _ = case
    bench.test(f"{source.key}/0", "x")
    slot = bench._model_slot("tiny")
    assert all(not p.fwd_hooks for p in slot.get().bridge.hook_dict.values())
    assert all(p.grad is None and not p.requires_grad for p in slot.get().bridge.parameters())


@pytest.mark.parametrize("text", ["", " ", "\n\t", "\u200b\u200b" * 40, "word " * 70, "\ud800", "a\udcff"])
def test_what_cannot_be_tested_is_a_message(bench, text):
    with pytest.raises(BadInput):
        bench.test(f"{tiny.SAE}/3", text)
    with pytest.raises(BadInput, match="Text 2"):
        bench.test(f"{tiny.SAE}/3", ["fine", text])


def test_bounds(bench):
    with pytest.raises(BadInput, match="at least one"):
        bench.test(f"{tiny.SAE}/3", [])
    with pytest.raises(BadInput, match="33 texts"):
        bench.test(f"{tiny.SAE}/3", ["x"] * 33)
    with pytest.raises(BadInput, match="characters"):
        bench.test(f"{tiny.SAE}/3", "x" * 10_001)
    with pytest.raises(NotFound, match="0 to 63"):
        bench.test(f"{tiny.SAE}/64", "x")
    # exactly as many as the model reads
    tokenizer = bench._model_slot("tiny").get().tokenizer
    text = "!" * 300
    while len(tokenizer(text)["input_ids"]) > 63:
        text = text[:-1]
    (record,) = bench.test(f"{tiny.SAE}/3", text)
    assert len(record.tokens) == 64
    with pytest.raises(BadInput, match="too long"):
        bench.test(f"{tiny.SAE}/3", text + " x y")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60))
def test_any_text_is_tested_or_refused(bench, text):
    try:
        (record,) = bench.test(f"{tiny.SAE}/3", text)
    except WorkbenchError:
        return
    assert np.isfinite(record.values).all() and record.maximum >= 0
    assert record.position is None or not record.tokens[record.position].special


def test_a_special_token_counts_for_no_maximum(bench):
    (record,) = bench.test(f"{tiny.SAE}/3", "<|endoftext|>")
    assert record.position is None and record.maximum == 0 and len(record.values) == 2


def test_weights_that_moved(tiny_config, tmp_path):
    import shutil

    for name in ("model", "sae"):
        shutil.copytree(tiny_config.parent / name, tmp_path / name)
    shutil.copy(tiny_config.parent / "texts.txt", tmp_path)
    shutil.copy(tiny_config, tmp_path)
    Workbench(Settings(data=tmp_path / "data", demo=None)).build(tmp_path / "tiny.yaml")
    (tmp_path / "sae").rename(tmp_path / "elsewhere")
    bench = Workbench(Settings(data=tmp_path / "data", demo=None))
    assert bench.feature(f"{tiny.SAE}/3").active
    with pytest.raises(NotAvailable, match=r"not at .*sae any more"):
        bench.test(f"{tiny.SAE}/3", "x")
    assert bench.test(f"{tiny.NEURONS}/3", "x")
    (tmp_path / "elsewhere").rename(tmp_path / "sae")
    assert bench.test(f"{tiny.SAE}/3", "x"), "and what is back is found again"
    (tmp_path / "model").rename(tmp_path / "gone")
    with pytest.raises(NotAvailable, match=r"not at .*model any more"):
        Workbench(bench.settings).test(f"{tiny.SAE}/3", "x")


def test_torch_threads_and_gradients_are_left_alone(bench):
    before = torch.get_num_threads(), torch.is_grad_enabled()
    bench.test(f"{tiny.SAE}/3", "x")
    assert (torch.get_num_threads(), torch.is_grad_enabled()) == before
