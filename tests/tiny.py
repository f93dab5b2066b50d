"""A model and sources that a test builds in seconds: random weights, but the same kinds of files as anybody's.

GPT-2's architecture with two layers of width 32 and a byte-level tokenizer of 400 tokens, a standard SAE of 64 features
before layer 1, and layer 0's neurons. Nothing is downloaded. `model` and `sae` make variants: every architecture of SAE
that SAELens knows, other families of models, a model without BOS, an embedding wider than the tokenizer.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MODEL, SAE, NEURONS = "tiny", "tiny/1-res", "tiny/0-neurons"
SEPARATOR = "\n<|endoftext|>\n"

LINES = [
    "The capital of France is Paris, and the capital of Italy is Rome.",
    "“I shall go,” said Celia; “and so,” Dorothea answered, “shall I.”",
    "def add(a, b):\n    return a + b\n",
    "It’s a fine day 🙂 in Zürich, isn’t it?",
    "The contractor shall deliver the system within thirty days of the award.",
    "My fellow citizens, we meet today in the shadow of a great war.",
]


def write(folder: Path) -> Path:
    """Writes weights, texts and configuration, and returns the configuration's path."""
    model(folder / "model")
    _sae(folder / "sae")
    documents = [" ".join([LINES[i % 6], LINES[(i * 5 + 1) % 6], f"Number {i}."]) for i in range(60)]
    (folder / "texts.txt").write_text(SEPARATOR.join(documents), encoding="utf-8")
    config = folder / "tiny.yaml"
    config.write_text(
        "model: {id: tiny, path: model}\n"
        "release: {name: tiny-release, description: For tests., creator: Featurescope}\n"
        "sources:\n"
        "  - {id: 1-res, sae: {path: sae}}\n"
        "  - {id: 0-neurons, neurons: blocks.0.mlp.hook_post}\n"
        "dataset: {path: texts.txt}\n"
        "prompts: 60\n"
        "context: 48\n"
        "cut: chunks\n",
        encoding="utf-8",
    )
    return config


FAMILIES = (
    "gpt2", "neox", "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3", "phi", "gpt-neo", "opt", "bloom",
    "gptj", "mixtral",
)  # fmt: skip


def model(
    folder: Path, family: str = "gpt2", *, bos: bool = True, spare: int = 0, scale: float = 1.0, seed: int = 0,
    dtype: str = "float32", shards: str = "50GB", **options: object,
) -> Path:  # fmt: skip
    """Writes a Hugging Face folder and returns it.

    `family`: one of `FAMILIES`; `bos`: whether the tokenizer has a BOS; `spare`: rows of the embedding that the
    tokenizer has no token for; `scale`: how many times as large as usual the weights are, so that two random layers do
    something; `dtype`: of the weights on disk; `shards`: the size of one file of weights; `options`: of the
    architecture's configuration.
    """
    import torch
    from transformers import AutoModelForCausalLM

    folder.mkdir(parents=True)
    size = tokenizer(folder, bos=bos) + spare
    torch.manual_seed(seed)
    ids = {"bos_token_id": 0, "eos_token_id": 0} if bos else {"bos_token_id": None, "eos_token_id": None}
    made = AutoModelForCausalLM.from_config(_architecture(family, size, ids | options))
    with torch.no_grad():
        for p in made.parameters():
            if p.dim() > 1:
                p *= scale
            elif family != "gpt2":  # biases and norms that a mistake would show in
                p += 0.1 * torch.randn_like(p)
    made.to(getattr(torch, dtype)).save_pretrained(folder, max_shard_size=shards)
    return folder


def _architecture(family: str, size: int, options: dict[str, object]) -> Any:
    """The configuration of a tiny model: two layers of width 32, four heads, 48 neurons (128 in GPT-2 and GPT-J)."""
    import transformers as t

    if family == "gpt2":
        settings = {"vocab_size": size, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 2}
        return t.GPT2Config(**settings | options)
    gptj = {"vocab_size": size, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 4}
    neo = {
        "vocab_size": size, "hidden_size": 32, "num_layers": 2, "num_heads": 4, "max_position_embeddings": 64,
        "attention_types": [[["global", "local"], 1]], "intermediate_size": 48,
    }  # fmt: skip
    opt = {
        "vocab_size": size, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "max_position_embeddings": 64, "word_embed_proj_dim": 32,
    }  # fmt: skip
    bloom = {"vocab_size": size, "hidden_size": 32, "n_layer": 2, "n_head": 4}
    usual = {
        "vocab_size": size, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "max_position_embeddings": 64,
    }  # fmt: skip
    grouped = usual | {"num_key_value_heads": 2}
    headed = grouped | {"head_dim": 8}
    kinds: dict[str, tuple[Any, dict[str, Any]]] = {
        "neox": (t.GPTNeoXConfig, usual), "phi": (t.PhiConfig, usual), "llama": (t.LlamaConfig, grouped),
        "mistral": (t.MistralConfig, grouped), "qwen2": (t.Qwen2Config, grouped), "qwen3": (t.Qwen3Config, headed),
        "gemma": (t.GemmaConfig, headed), "gemma2": (t.Gemma2Config, headed), "gemma3": (t.Gemma3TextConfig, headed),
        "mixtral": (t.MixtralConfig, grouped | {"num_local_experts": 2}), "gptj": (t.GPTJConfig, gptj),
        "gpt-neo": (t.GPTNeoConfig, neo), "opt": (t.OPTConfig, opt), "bloom": (t.BloomConfig, bloom),
    }  # fmt: skip
    made, settings = kinds[family]
    return made(**settings | options)


def tokenizer(folder: Path, *, bos: bool = True) -> int:
    """Writes a byte-level tokenizer of up to 400 tokens, and returns how many it has."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(LINES, trainer)
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if bos:
        settings |= {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return int(made.get_vocab_size())


SPARSE = (
    "standard", "gated", "jumprelu", "topk", "matching_pursuit", "transcoder", "skip_transcoder", "jumprelu_transcoder",
    "jumprelu_skip_transcoder",
)  # fmt: skip
"""SAELens's architectures that can be a source; `batchtopk` and `matryoshka_batchtopk` are saved as `jumprelu`."""


def sae(
    folder: Path, kind: str = "standard", *, width: int = 64, d_in: int = 32, bias: float = -1.0, seed: int = 1,
    hook: str = "blocks.1.hook_resid_pre", hook_out: str | None = None, dtype: str = "float32", **options: object,
) -> Path:  # fmt: skip
    """Writes a SAELens folder of architecture `kind` and returns it; `bias`: the encoder's, in norms of its columns."""
    from sae_lens import SAE
    from sae_lens.registry import get_sae_class
    from sae_lens.saes.sae import SAEMetadata

    about = {"model_name": "tiny", "hook_name": hook, "context_size": 48, "prepend_bos": True}
    if "transcoder" in kind:
        about["hook_name_out"] = hook_out or hook.replace("mlp.hook_in", "hook_mlp_out")
        options = {"d_out": d_in, "apply_b_dec_to_input": False} | options
    config = get_sae_class(kind)[1](d_in=d_in, d_sae=width, dtype=dtype, metadata=SAEMetadata(**about), **options)
    made = SAE.get_sae_class_for_architecture(kind)(config)
    randomise(made, bias=bias, seed=seed)
    made.save_model(folder)
    return folder


def identity(folder: Path, *, model: str = "tiny", d_in: int = 32, hook: str = "blocks.1.hook_resid_pre") -> Path:
    """Writes an SAE that reconstructs exactly: a feature for each direction of each coordinate. Returns its folder."""
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    about = SAEMetadata(model_name=model, hook_name=hook, context_size=48, prepend_bos=True)
    made = StandardSAE(StandardSAEConfig(d_in=d_in, d_sae=2 * d_in, metadata=about))
    with torch.no_grad():
        both = torch.cat([torch.eye(d_in), -torch.eye(d_in)])
        made.W_enc.copy_(both.T)
        made.W_dec.copy_(both)
        made.b_enc.zero_()
        made.b_dec.zero_()
    made.save_model(folder)
    return folder


def randomise(sae: Any, *, bias: float = -1.0, seed: int = 1) -> None:
    """Weights that no two features share: decoder norms that are not 1, thresholds, a bias of `bias` encoder norms."""
    import torch

    torch.manual_seed(seed)
    width, d_in = sae.cfg.d_sae, sae.cfg.d_in
    with torch.no_grad():
        if "W_enc" in dict(sae.named_parameters()):
            sae.W_enc.copy_(torch.randn(d_in, width))
        sae.W_dec.copy_(torch.randn(width, sae.W_dec.shape[1]) * (0.5 + torch.rand(width, 1)))
        if sae.cfg.architecture() == "matching_pursuit":
            sae.W_dec /= sae.W_dec.norm(dim=1, keepdim=True)
        sae.b_dec.copy_(0.1 * torch.randn(len(sae.b_dec)))
        for name, of in (("b_enc", 1.0), ("b_gate", 0.7), ("b_mag", 0.5)):
            if getattr(sae, name, None) is not None:
                getattr(sae, name).copy_(of * bias * sae.W_enc.norm(dim=0))
        for name in ("r_mag", "W_skip"):
            if hasattr(sae, name):
                getattr(sae, name).copy_(0.3 * torch.randn_like(getattr(sae, name)))
        if hasattr(sae, "threshold"):
            sae.threshold.copy_(torch.rand(width))


def _sae(folder: Path) -> None:
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    torch.manual_seed(1)
    metadata = SAEMetadata(model_name="tiny", hook_name="blocks.1.hook_resid_pre", context_size=48, prepend_bos=True)
    sae = StandardSAE(StandardSAEConfig(d_in=32, d_sae=64, metadata=metadata))
    with torch.no_grad():
        sae.b_enc -= 0.3 * sae.W_enc.norm(dim=0) * 0.1
        sae.b_enc[7] = -100.0  # a dead feature
    sae.save_model(folder)
