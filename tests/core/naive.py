"""What a build must find, the slow and obvious way: one prompt at a time, dense, by Hugging Face and SAELens alone.

Nothing here comes from `core`. `dense` gives the activations and the hook's values of every token; the checks of
`test_build_numbers.py` are plain loops over them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

DOCUMENTS = [
    "The capital of France is Paris, and the capital of Italy is Rome. It’s a fine day 🙂 in Zürich, isn’t it? " * 2,
    "My fellow citizens, we meet today.",
    "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n" * 2,
    "One half <|endoftext|> and the other half of the great war, “I shall go,” said Celia.",
    "  \n ",
    "x",
    "The contractor shall deliver the system within thirty days of the award. " * 3,
    "日本語のテキスト and العربية and ελληνικά: naïve café — “quoted” ’tis 👩‍🚀.",
]


def texts(count: int = 30) -> list[str]:
    """`count` documents that differ."""
    return [
        DOCUMENTS[i % len(DOCUMENTS)] + (f" Number {i} of {i * 7}." if i >= len(DOCUMENTS) else "")
        for i in range(count)
    ]


@dataclass(frozen=True)
class Dense:
    """Everything about one source on the prompts, one row a token, BOS included."""

    tokens: np.ndarray
    prompt: np.ndarray
    """The prompt of each token."""
    place: np.ndarray
    """Its position there."""
    counted: np.ndarray
    x: np.ndarray
    """[tokens, d_in] at the hook."""
    acts: np.ndarray
    """[tokens, d_sae], float32."""
    W_dec: np.ndarray
    W_U: np.ndarray


def hidden(model: Path, prompts: list[list[int]], hook: str) -> list[np.ndarray]:
    """The hook's values of each prompt, run alone through Hugging Face's model."""
    import torch
    from transformers import AutoModelForCausalLM

    hf = AutoModelForCausalLM.from_pretrained(model).eval()
    _, layer, name = hook.split(".", 2)
    kept: list[torch.Tensor] = []
    if name == "mlp.hook_post":
        hf.transformer.h[int(layer)].mlp.act.register_forward_hook(lambda _m, _i, out: kept.append(out[0]))
    result = []
    with torch.no_grad():
        for ids in prompts:
            out = hf(torch.tensor([ids]), output_hidden_states=True)
            result.append((kept.pop() if name == "mlp.hook_post" else out.hidden_states[int(layer)][0]).numpy())
    return result


def bridged(model: Path, prompts: list[list[int]], hook: str) -> list[np.ndarray]:
    """The same by TransformerLens, the whole model, one prompt at a time."""
    import torch
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(str(model), device="cpu")
    with torch.no_grad():
        return [bridge.run_with_cache(torch.tensor([ids]))[1][hook][0].numpy() for ids in prompts]


def dense(model: Path, sae: Path | None, prompts: list[list[int]], hook: str, special: set[int]) -> Dense:
    """Runs everything; `sae` None means the MLP's neurons."""
    import torch
    from sae_lens import SAE
    from transformers import AutoModelForCausalLM

    rows = hidden(model, prompts, hook)
    hf = AutoModelForCausalLM.from_pretrained(model)
    if sae is None:
        acts = rows
        W_dec = hf.transformer.h[int(hook.split(".")[1])].mlp.c_proj.weight.detach().numpy()
    else:
        loaded = SAE.load_from_disk(sae)
        with torch.no_grad():
            acts = [loaded.encode(torch.from_numpy(x)).numpy() for x in rows]
        W_dec = loaded.W_dec.detach().numpy()
    tokens = np.concatenate([np.array(p) for p in prompts])
    return Dense(
        tokens=tokens,
        prompt=np.repeat(np.arange(len(prompts)), [len(p) for p in prompts]),
        place=np.concatenate([np.arange(len(p)) for p in prompts]),
        counted=np.array([t not in special for t in tokens.tolist()]),
        x=np.concatenate(rows),
        acts=np.concatenate(acts),
        W_dec=W_dec,
        W_U=hf.lm_head.weight.detach().numpy().T,
    )  # fmt: skip


def pearson(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[a's columns, b's columns] by NumPy; NaN where one is constant."""
    with np.errstate(divide="ignore", invalid="ignore"):
        result = np.corrcoef(a, b, rowvar=False)[: a.shape[1], a.shape[1] :].copy()
    result[np.ptp(a, axis=0) == 0] = np.nan
    result[:, np.ptp(b, axis=0) == 0] = np.nan
    return result


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[a's columns, b's columns]; NaN for a column of zeros."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return (a.T @ b) / np.outer(np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0))
