"""A model and sources that a test builds in seconds: random weights, but the same kinds of files as anybody's.

GPT-2's architecture with two layers of width 32 and a byte-level tokenizer of 400 tokens, a standard SAE of 64 features
before layer 1, and layer 0's neurons. Nothing is downloaded. `model` and `sae` make variants: other architectures of
SAE, a model without BOS, an embedding wider than the tokenizer.
"""

from __future__ import annotations

import json
from pathlib import Path

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


def model(folder: Path, *, bos: bool = True, spare: int = 0, scale: float = 1.0, seed: int = 0) -> Path:
    """Writes a Hugging Face folder and returns it.

    `bos`: whether the tokenizer has a BOS; `spare`: rows of the embedding that the tokenizer has no token for; `scale`:
    how many times as large as usual the weights are, so that two random layers do something.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import GPT2Config, GPT2LMHeadModel

    folder.mkdir(parents=True)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    if bos:
        settings |= {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    torch.manual_seed(seed)
    size = tokenizer.get_vocab_size() + spare
    ids = {"bos_token_id": 0, "eos_token_id": 0} if bos else {"bos_token_id": None, "eos_token_id": None}
    made = GPT2LMHeadModel(GPT2Config(vocab_size=size, n_positions=64, n_embd=32, n_layer=2, n_head=2, **ids))
    with torch.no_grad():
        for p in made.parameters():
            if p.dim() > 1:
                p *= scale
    made.save_pretrained(folder)
    return folder


def sae(
    folder: Path, kind: str = "standard", *, width: int = 64, d_in: int = 32, bias: float = -1.0, seed: int = 1,
    hook: str = "blocks.1.hook_resid_pre", **options: object,
) -> Path:  # fmt: skip
    """Writes a SAELens folder of architecture `kind` and returns it; `bias`: the encoder's, in norms of its columns."""
    import torch
    from sae_lens import JumpReLUSAE, JumpReLUSAEConfig, StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    classes = {
        "standard": (StandardSAE, StandardSAEConfig),
        "jumprelu": (JumpReLUSAE, JumpReLUSAEConfig),
        "topk": (TopKSAE, TopKSAEConfig),
    }
    torch.manual_seed(seed)
    metadata = SAEMetadata(model_name="tiny", hook_name=hook, context_size=48, prepend_bos=True)
    made_class, config = classes[kind]
    made = made_class(config(d_in=d_in, d_sae=width, metadata=metadata, **options))
    with torch.no_grad():
        made.W_enc.copy_(torch.randn(d_in, width))
        made.W_dec.copy_(torch.randn(width, d_in) * (0.5 + torch.rand(width, 1)))  # norms are not 1
        made.b_dec.copy_(0.1 * torch.randn(d_in))
        made.b_enc.copy_(bias * made.W_enc.norm(dim=0))
        if kind == "jumprelu":
            made.threshold.copy_(torch.rand(width))
    made.save_model(folder)
    return folder


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
