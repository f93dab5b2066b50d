"""A model with heads that are known: one looks at the token before, one at what followed the same token before.

GPT-2's architecture, two layers of two heads, MLPs zero. Positions are one-hot in coordinates 0 to 63, tokens random
directions of length 1 in 64 to 191. Head 0 of layer 0 asks by position for the one before and copies its token into
192 to 319; head 0 of layer 1 asks there for its own token. The other heads are zero: they look everywhere alike.
"""

from __future__ import annotations

from pathlib import Path

from tests import tiny

WIDTH, POSITIONS, CODE = 512, 64, 128
GAIN = 40.0


def write(folder: Path) -> Path:
    """Writes a Hugging Face folder and returns it."""
    import torch
    from transformers import AutoModelForCausalLM

    path = tiny.model(folder, n_layer=2, n_head=2, n_embd=WIDTH, tie_word_embeddings=False)
    model = AutoModelForCausalLM.from_pretrained(path)
    own, copied = slice(POSITIONS, POSITIONS + CODE), slice(POSITIONS + CODE, POSITIONS + 2 * CODE)
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        for block in model.transformer.h:
            block.ln_1.weight.fill_(1.0)
            block.ln_2.weight.fill_(1.0)
        model.transformer.ln_f.weight.fill_(1.0)
        model.transformer.wpe.weight[:, :POSITIONS] = torch.eye(POSITIONS)
        codes = torch.randn(len(model.transformer.wte.weight), CODE, generator=torch.Generator().manual_seed(0))
        model.transformer.wte.weight[:, own] = codes / codes.norm(dim=1, keepdim=True)
        identity = torch.eye(CODE)
        query, key, value = model.transformer.h[0].attn.c_attn.weight.split(WIDTH, dim=1)
        query[1:POSITIONS, : POSITIONS - 1] = GAIN * torch.eye(POSITIONS - 1)
        key[:POSITIONS, :POSITIONS] = torch.eye(POSITIONS)
        value[own, :CODE] = identity
        model.transformer.h[0].attn.c_proj.weight[:CODE, copied] = identity
        query, key, _ = model.transformer.h[1].attn.c_attn.weight.split(WIDTH, dim=1)
        query[own, :CODE] = GAIN * identity
        key[copied, :CODE] = identity
    model.save_pretrained(path)
    return path
