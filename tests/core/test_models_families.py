"""Families of models: at a hook the bridge gives what Hugging Face's model has there, and a source can be built.

Tiny random models of each architecture; Hugging Face's own implementation, run alone, is the yardstick.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_file

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadConfig, BadInput
from core.interchange import neuronpedia
from core.models import loading
from core.models.capture import capture, check_hooks, pad
from core.settings import Settings
from core.sources import dictionary
from core.sources.directions import Directions
from core.sources.residual import residual_rows
from core.workbench import Workbench
from tests import tiny
from tests.core import naive

DENSE = tuple(f for f in tiny.FAMILIES if f != "mixtral")
"""Families with one MLP a layer."""
BUILT = ("neox", "llama", "qwen2", "gemma2")
"""Each parallel or sequential, gated or not, with and without biases: what a whole build is tried on."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of a family: its folder, written once."""
    root, made = tmp_path_factory.mktemp("families"), {}

    def folder(family):
        if family not in made:
            made[family] = tiny.model(root / family, family, scale=4.0)
        return made[family]

    return folder


@pytest.fixture(scope="module")
def models(folders):
    """Of a family: the loaded model, and Hugging Face's own."""
    from transformers import AutoModelForCausalLM

    made = {}

    def model(family):
        if family not in made:
            folder = folders(family)
            hf = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
            made[family] = loading.load(ModelSpec(id="tiny", path=str(folder))), hf
        return made[family]

    return model


def rows_of(model):
    return [model.ids(text)[:40] for text in naive.texts(6) if text.strip()]


# -- at the hooks ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_activations_are_hugging_faces(models, family):
    """Texts of unequal length run together, against each text run alone."""
    model, hf = models(family)
    rows = rows_of(model)
    hooks = ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre"]
    found = capture(model, pad(rows), hooks)
    for n, row in enumerate(rows):
        with torch.no_grad():
            expected = hf(torch.tensor([row]), output_hidden_states=True).hidden_states
        for layer, hook in enumerate(hooks):
            np.testing.assert_allclose(found[hook][n, : len(row)], expected[layer][0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", DENSE)
def test_neurons_decoder_rows_make_the_mlps_output(models, family):
    """By definition: hook_post @ W_dec (+ bias) is what the MLP writes."""
    model, _ = models(family)
    source = dictionary.load(WeightsSpec(kind="neurons", hook="blocks.1.mlp.hook_post"), model)
    dictionary.check(source, model)
    ids = pad(rows_of(model))
    found = capture(model, ids, [source.hook, source.hook_out])
    written = source.encode(found[source.hook]) @ source.W_dec
    bias = getattr(model.bridge.blocks[1].mlp, "b_out", None)
    written = written if bias is None else written + bias
    torch.testing.assert_close(written, found[source.hook_out], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_heads_write_to_the_residual_stream_through_W_O(models, family):
    """By definition: z, heads flattened, times the residual rows of the identity (+ bias) is the attention's output."""
    model, _ = models(family)
    every = Directions(torch.eye(32), "blocks.1.attn.hook_z")
    normed = hasattr(model.bridge.blocks[1], "ln1_post")
    out = "blocks.1.attn.hook_out" if normed else "blocks.1.hook_attn_out"
    found = capture(model, pad(rows_of(model)), [every.hook, out])
    rows = residual_rows(every, model)
    bias = getattr(model.bridge.blocks[1].attn, "b_O", None)
    written = found[every.hook] @ rows
    torch.testing.assert_close(written if bias is None else written + bias, found[out], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_what_is_said_of_a_family(models, folders, family):
    model, hf = models(family)
    record = model.manifest.record
    assert record.architecture == json.loads((folders(family) / "config.json").read_text())["architectures"][0]
    assert (record.layers, record.d_model) == (2, 32)
    assert record.parameters == sum(p.numel() for p in hf.parameters())
    assert record.d_vocab == hf.get_output_embeddings().weight.shape[0]
    if family in DENSE:
        assert record.d_mlp == (128 if family in ("gpt2", "gptj", "bloom") else 48)
    torch.testing.assert_close(model.bridge.W_U, hf.get_output_embeddings().weight.T, rtol=0, atol=0)
    assert model.ids("a b")[0] == 0, "BOS"


def test_names_of_one_place(models):
    """TransformerLens's names and the bridge's own, in one pass and in their own."""
    model, _ = models("llama")
    ids = pad(rows_of(model))
    same = [
        ["blocks.1.hook_resid_pre", "blocks.1.hook_in", "blocks.0.hook_resid_post", "blocks.0.hook_out"],
        ["blocks.0.hook_mlp_out", "blocks.0.mlp.hook_out"],
        ["blocks.0.mlp.hook_post", "blocks.0.mlp.out.hook_in"],
        ["blocks.0.attn.hook_z", "blocks.0.attn.o.hook_in"],
        ["blocks.0.hook_resid_mid", "blocks.0.hook_mlp_in"],
    ]
    for names in same:
        check_hooks(model, names)
        together = capture(model, ids, names)
        for name in names:
            alone = capture(model, ids, [name])[name]
            torch.testing.assert_close(alone, together[names[0]], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "neox", "llama", "gemma2"])
def test_heads_come_flattened(models, family):
    model, _ = models(family)
    ids = pad(rows_of(model))
    _, cache = model.bridge.run_with_cache(ids)
    raw = cache["blocks.1.attn.hook_z"]
    assert raw.ndim == 4, "[batch, pos, head, d_head]"
    found = capture(model, ids, ["blocks.1.attn.hook_z"])["blocks.1.attn.hook_z"]
    torch.testing.assert_close(found, raw.flatten(2), rtol=1e-5, atol=1e-5)


def test_hook_mlp_in_changes_nothing(models):
    model, hf = models("llama")
    ids = torch.tensor([[0, 5, 6, 7]])
    capture(model, ids, ["blocks.0.hook_mlp_in"])
    with torch.no_grad():
        torch.testing.assert_close(model.bridge(ids), hf(ids).logits, rtol=1e-4, atol=1e-4)


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_hooks_that_give_no_vector_a_token(models):
    with pytest.raises(BadConfig, match=r"hook “blocks\.0\.mlp\.hook_in”, but in its architecture nothing passes"):
        capture(models("opt")[0], pad([[0, 1]]), ["blocks.0.mlp.hook_in"])
    with pytest.raises(BadConfig, match=r"hook_pattern” is no vector a token"):
        capture(models("llama")[0], pad([[0, 1, 2]]), ["blocks.0.attn.hook_pattern"])
    with pytest.raises(BadConfig, match=r"has no hook “blocks\.0\.hook_resid_mid”"):
        check_hooks(models("neox")[0], ["blocks.0.hook_resid_mid"])  # attention and MLP stand side by side


def test_experts_have_no_neurons(models):
    with pytest.raises(BadConfig, match="layer 0 of tiny has no single output matrix"):
        dictionary.load(WeightsSpec(kind="neurons", hook="blocks.0.mlp.hook_post"), models("mixtral")[0])


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_models_that_do_not_predict_the_next_token(tmp_path, kind):
    import transformers as t

    size = {"vocab_size": 400, "num_hidden_layers": 1, "hidden_size": 32, "intermediate_size": 48}
    if kind == "bert":
        made = t.BertForMaskedLM(t.BertConfig(**size, num_attention_heads=4))
    else:
        config = t.T5Config(vocab_size=400, d_model=32, d_ff=48, num_layers=1, num_heads=4, d_kv=8)
        made = t.T5ForConditionalGeneration(config)
    made.save_pretrained(tmp_path / "model")
    tiny.tokenizer(tmp_path / "model")
    with pytest.raises(BadConfig, match=r"model tiny .* cannot be loaded"):
        loading.load(ModelSpec(id="tiny", path=str(tmp_path / "model")))


# -- from the folder to a feature --------------------------------------------------------------------------------------


def build(folder, family="gpt2", *, stored="float32", dtype="float32", more=(), **options):
    """A workbench over neurons, directions and `more` of a model written with `options` and run in `dtype`."""
    tiny.model(folder / "model", family, scale=4.0, dtype=stored, **options)
    torch.manual_seed(5)
    save_file({"rows": torch.randn(6, 32)}, folder / "dirs.safetensors")
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(naive.texts(12)), encoding="utf-8")
    config = {
        "model": {"id": "tiny", "path": "model"},
        "sources": [
            {"id": "0-neurons", "neurons": "blocks.0.mlp.hook_post"},
            {"id": "1-dirs", "directions": {"path": "dirs.safetensors", "hook": "blocks.1.hook_resid_pre"}},
            *more,
        ],
        "dataset": {"path": "texts.txt"},
        "context": 24,
        "dtype": dtype,
    }
    (folder / "build.yaml").write_text(yaml.safe_dump(config))
    bench = Workbench(Settings(data=folder / "data", demo=None))
    bench.build(folder / "build.yaml")
    return bench


def by_hand(folder, text, bos):
    """Values of the six directions on a text, by Hugging Face alone."""
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    hf = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    ids = [*bos, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        x = hf(torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0]
    return (x @ load_file(folder / "dirs.safetensors")["rows"].T).numpy()


def matches(bench, folder, bos=(0,)):
    """The test of a direction has Hugging Face's values, and the build's prompts too."""
    text = "The capital of France is Paris."
    expected = by_hand(folder, text, bos)
    for i in range(6):
        (record,) = bench.test(f"tiny/1-dirs/{i}", text)
        np.testing.assert_allclose(record.values, expected[:, i], rtol=1e-3, atol=1e-3)
        example = bench.feature(f"tiny/1-dirs/{i}").groups[0].examples[0]
        prompt = [t.id for t in example.tokens]
        assert prompt[: len(bos)] == list(bos)
    (record,) = bench.test("tiny/0-neurons/5", text)
    assert len(record.values) == len(expected)


@pytest.mark.parametrize("family", BUILT)
def test_from_a_folder_to_a_feature(tmp_path, family):
    bench = build(tmp_path, family)
    matches(bench, tmp_path)
    neurons, rows = bench.source("tiny/0-neurons"), bench.source("tiny/1-dirs")
    assert (neurons.kind, neurons.width, rows.kind, rows.architecture) == ("neurons", 48, "directions", "linear")
    assert rows.signed and "every token" in rows.active and rows.origin == "dirs.safetensors"
    record = bench.feature("tiny/1-dirs/2")
    assert record.minimum < 0 < record.maximum and record.top_logits and record.groups
    assert json.loads(json.dumps(neuronpedia.feature(record)))["index"] == "2"


def test_a_model_without_bos_in_every_job(tmp_path):
    """No BOS is put before a text; every token counts."""
    bench = build(tmp_path, "qwen2", bos=False)
    matches(bench, tmp_path, bos=())
    (record,) = bench.test("tiny/1-dirs/0", "Paris")
    assert not any(t.special for t in record.tokens) and "".join(t.text for t in record.tokens) == "Paris"
    source = bench.source("tiny/1-dirs")
    tokens = [t for n in range(source.prompts) for t in bench.prompt(source.key, n)]
    assert source.tokens == sum(not t.special for t in tokens) > len(tokens) - 5, "special tokens of the texts only"
    assert json.loads(json.dumps(neuronpedia.activation(record)))["tokens"]
    with pytest.raises(BadInput, match=r"too long: it has \d+ tokens, and"):
        bench.test("tiny/1-dirs/0", "word " * 200)


def test_a_model_without_bos_over_http_and_on_the_command_line(tmp_path, capsys):
    from starlette.testclient import TestClient

    from api import server
    from core.__main__ import main

    tiny.sae(tmp_path / "sae", "jumprelu", bias=-0.2)
    bench = build(tmp_path, "qwen2", bos=False, more=[{"id": "1-res", "sae": {"path": "sae", "bos": False}}])
    client = TestClient(server.create(bench))
    text = "The capital of France is Paris."
    asked = {"feature": {"modelId": "tiny", "source": "1-res", "index": "3"}, "customText": text}
    answer = client.post("/activation/new", json=asked).json()
    (record,) = bench.test("tiny/1-res/3", text)
    assert "".join(answer["tokens"]) == text and answer["values"] == pytest.approx(record.values)
    tokens = client.post("/tokenize", json={"modelId": "tiny", "prompt": text}).json()
    assert len(tokens["tokens"]) == len(record.tokens) and tokens["prependBos"] is False
    feature = client.get("/feature/tiny/1-res/3").json()
    for shown in feature["activations"]:
        assert len(shown["tokens"]) == len(shown["values"])
    assert main(["eval", "tiny/1-res", "--json", "--data", str(bench.settings.data)]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["tokens"] == bench.source("tiny/1-res").tokens
    assert np.isfinite([figures["l0"], figures["ce_loss_score"], figures["with_bos"]["ce_loss_score"]]).all()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_half_precision_on_disk(tmp_path, family, dtype):
    """Run in float32, so that values are those of the weights, exactly widened."""
    from safetensors.torch import load_file

    bench = build(tmp_path, family, stored=dtype)
    assert {t.dtype for t in load_file(tmp_path / "model" / "model.safetensors").values()} == {getattr(torch, dtype)}
    matches(bench, tmp_path)


def test_a_build_in_bfloat16(tmp_path):
    bench = build(tmp_path, "llama", dtype="bfloat16")
    assert bench.source("tiny/1-dirs").dtype == "bfloat16"
    record = bench.feature("tiny/1-dirs/0")
    assert np.isfinite([record.maximum, record.minimum, record.mean]).all()


def test_weights_in_several_files(tmp_path):
    one, many = tiny.model(tmp_path / "one", scale=4.0), tiny.model(tmp_path / "many", scale=4.0, shards="40KB")
    assert len(list(many.glob("*.safetensors"))) > 2
    spec = ModelSpec(id="tiny", path=str(many))
    a, b = loading.load(ModelSpec(id="tiny", path=str(one))), loading.load(spec)
    ids = pad([[0, 5, 9]])
    hook = "blocks.1.hook_resid_pre"
    assert torch.equal(capture(a, ids, [hook])[hook], capture(b, ids, [hook])[hook])
    assert a.manifest.record.parameters == b.manifest.record.parameters
    first = loading.fingerprint(spec, None)
    last = sorted(many.glob("*.safetensors"))[-1]
    last.write_bytes(last.read_bytes()[:-4] + b"\0\0\0\1")
    assert loading.fingerprint(spec, None) != first, "every file counts"


@pytest.mark.parametrize("tied", [True, False])
def test_tied_and_untied_unembeddings(tmp_path, tied):
    from transformers import AutoModelForCausalLM

    folder = tiny.model(tmp_path / "model", "llama", tie_word_embeddings=tied)
    hf = AutoModelForCausalLM.from_pretrained(folder)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)))
    assert (hf.lm_head.weight is hf.model.embed_tokens.weight) == tied
    assert torch.equal(model.bridge.W_U, hf.lm_head.weight.T)
    assert model.manifest.record.parameters == sum(p.numel() for p in hf.parameters())


def test_an_embedding_wider_than_the_tokenizer(tmp_path):
    bench = build(tmp_path, "llama", spare=28)
    assert bench.model("tiny").d_vocab == 428
    record = bench.feature("tiny/1-dirs/0")
    assert all(isinstance(t.token.text, str) for t in record.top_logits + record.bottom_logits)
    matches(bench, tmp_path)


def test_an_embedding_narrower_than_the_tokenizer(tmp_path):
    """Tokens without an embedding are refused where they are met, in words."""
    folder = tiny.model(tmp_path / "model", "llama", spare=-10)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)))
    text = model.tokenizer.decode([399])
    assert model.tokenizer(text)["input_ids"] == [399]
    with pytest.raises(BadInput, match="no embedding for the token"):
        model.ids(text)
