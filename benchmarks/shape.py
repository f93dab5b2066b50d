"""The shape “res-jb”: GPT-2 small with random weights, a standard SAE of 24,576 features with L0 about 60, and texts.

Random weights cost what trained ones cost. The tokenizer is the demo's with unused entries up to GPT-2's 50,257; the
texts are the demo's, in another order each time they come round. The SAE's biases are set so that each feature is
active on 60 of 24,576 tokens. Written once into a folder and used from there: 700 MB, about a minute.
"""

from __future__ import annotations

import json
import lzma
import random
import shutil
from pathlib import Path

import numpy as np

REPOSITORY = Path(__file__).parents[1]
HOOK, CONTEXT, D_SAE, L0 = "blocks.8.hook_resid_pre", 128, 24_576, 60
SEPARATOR = "\n<|endoftext|>\n"


def write(folder: Path) -> None:
    """Writes `model/`, `sae/` and `texts.txt`; does nothing where they are."""
    if (folder / "sae" / "sae_weights.safetensors").is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    _texts(folder)
    _model(folder / "model")
    _sae(folder, HOOK, folder / "sae")


def write_layers(folder: Path, layers: int = 12) -> Path:
    """Writes an SAE before every layer, in `saes/<layer>`, and returns the configuration that builds them all."""
    write(folder)
    for layer in range(layers):
        if not (folder / "saes" / str(layer) / "cfg.json").is_file():
            _sae(folder, f"blocks.{layer}.hook_resid_pre", folder / "saes" / str(layer))
    path = folder / "layers.yaml"
    path.write_text(
        "model: {id: gpt2-random, path: model}\nsources:\n"
        + "".join(f"  - {{id: {layer}-res-jb, sae: {{path: saes/{layer}}}}}\n" for layer in range(layers))
        + f"dataset: {{path: texts.txt}}\nprompts: 16\ncontext: {CONTEXT}\ncut: packed\nannotate: false\n"
        + "together: false\n",
        encoding="utf-8",
    )
    return path


def config(folder: Path, tokens: int, name: str = "8-res-jb") -> Path:
    """A build configuration over so many tokens, BOS included."""
    path = folder / f"{tokens}.yaml"
    path.write_text(
        "model: {id: gpt2-random, path: model}\n"
        f"sources:\n  - {{id: {name}, sae: {{path: sae}}}}\n"
        f"dataset: {{path: texts.txt}}\nprompts: {tokens // CONTEXT}\ncontext: {CONTEXT}\ncut: packed\n"
        "annotate: false\ntogether: false\n",
        encoding="utf-8",
    )
    return path


def _texts(folder: Path) -> None:
    folder.mkdir(parents=True)
    documents = [
        part
        for path in sorted((REPOSITORY / "demo" / "texts").rglob("*.txt.xz"))
        for part in lzma.open(path, "rt", encoding="utf-8").read().split(SEPARATOR)
    ]
    draw = random.Random(0)
    with (folder / "texts.txt").open("w", encoding="utf-8") as file:
        for _ in range(5):
            file.write(SEPARATOR.join(draw.sample(documents, len(documents))) + SEPARATOR)


def _model(folder: Path) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    own = REPOSITORY / "demo" / "weights" / "model"
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(bos_token_id=0, eos_token_id=0))
    model.save_pretrained(folder)
    shutil.copy(own / "tokenizer_config.json", folder)
    tokenizer = json.loads((own / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    for i in range(len(vocabulary), model.config.vocab_size):
        vocabulary[f"unused{i}"] = i
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


def _sae(folder: Path, hook: str, target: Path) -> None:
    """Random unit rows; biases from the pre-activations of the first tokens at a hook."""
    import torch
    from sae_lens import StandardSAE, StandardSAEConfig
    from sae_lens.saes.sae import SAEMetadata

    from core.build.config import read_config
    from core.build.texts import cut
    from core.catalog.manifest import ModelSpec
    from core.models import loading
    from core.models.capture import capture

    model = loading.load(ModelSpec(id="gpt2-random", path=str(folder / "model")), device="cpu", dtype="float32")
    (folder / "sae").mkdir(exist_ok=True)
    (folder / "sae" / "cfg.json").touch()  # the configuration asks for it
    prompts = cut(read_config(config(folder, 64 * CONTEXT)), model.tokenizer, model.bos)
    ids = torch.from_numpy(np.stack(prompts.tokens).astype(np.int64))
    x = capture(model, ids, [hook])[hook][:, 1:].flatten(0, 1)
    metadata = SAEMetadata(hook_name=hook, model_name="gpt2-random")
    sae = StandardSAE(StandardSAEConfig(d_in=768, d_sae=D_SAE, apply_b_dec_to_input=True, metadata=metadata))
    torch.manual_seed(1)
    with torch.no_grad():
        sae.W_dec.copy_(torch.nn.functional.normalize(torch.randn(D_SAE, 768), dim=1))
        sae.W_enc.copy_(sae.W_dec.T)
        sae.b_dec.copy_(x.mean(0))
        for begin in range(0, D_SAE, 2048):
            before = (x - sae.b_dec) @ sae.W_enc[:, begin : begin + 2048]
            sae.b_enc[begin : begin + 2048] = -before.quantile(1 - L0 / D_SAE, dim=0)
    target.mkdir(parents=True, exist_ok=True)
    sae.save_model(str(target))
