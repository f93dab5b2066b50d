"""A model whose circuit is known: one head copies the marked word to the output, and nothing else does anything.

GPT-2's architecture, one layer, MLP zero. Tokens of `WORDS` have their identity in coordinates 0 to 3 and a mark in
coordinate 16. Head 0's keys are the mark, its query the same everywhere, and its values move coordinates 0 to 3 to 8 to
11, which is where the unembedding reads the words. Head 1 is zero. So a word's logit comes by head 0 from the place
where the word stands, and by no other way.
"""

from __future__ import annotations

from pathlib import Path

from tests import tiny

WORDS = (" capital", " is", " of", " the")
MARKED = " capital"
CONFIG = """
model: {id: planted, path: model}
sources:
  - {id: 0-res, sae: {path: sae}}
dataset: {path: texts.txt}
prompts: 12
context: 32
annotate: false
together: false
map: none
"""


def write(folder: Path) -> Path:
    """Writes weights, an SAE with a feature for each coordinate's direction, texts and configuration."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = tiny.model(folder / "model", n_layer=1, tie_word_embeddings=False)
    model = AutoModelForCausalLM.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    ids = [tokenizer(word)["input_ids"] for word in WORDS]
    assert all(len(one) == 1 for one in ids), ids
    block = model.transformer.h[0]
    with torch.no_grad():
        for p in model.parameters():
            p.zero_()
        for norm in (block.ln_1, block.ln_2, model.transformer.ln_f):
            norm.weight.fill_(1.0)
        noise = torch.randn(model.transformer.wte.weight.shape, generator=torch.Generator().manual_seed(0))
        model.transformer.wte.weight[:, 20:] = noise[:, 20:]
        for n, (one,) in enumerate(ids):
            model.transformer.wte.weight[one, n] = 3.0
            model.lm_head.weight[one, 8 + n] = 1.0
        model.transformer.wte.weight[ids[0][0], 16] = 3.0  # of the words one is marked
        _, key, value = block.attn.c_attn.weight.split(32, dim=1)  # [in, out], heads of 16
        key[16, 0] = 4.0
        for n in range(4):
            value[n, n] = 1.0
            block.attn.c_proj.weight[n, 8 + n] = 5.0
        block.attn.c_attn.bias[0] = 8.0  # the query, whatever the token
    model.save_pretrained(path)
    tiny.identity(folder / "sae", model="planted", hook="blocks.0.hook_resid_pre")
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(tiny.LINES * 2), encoding="utf-8")
    (folder / "planted.yaml").write_text(CONFIG, encoding="utf-8")
    return folder / "planted.yaml"
