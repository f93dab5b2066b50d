"""Writes samples of the demo's model in all five styles, for a reader to judge.

Each begins with the first words of a held-out document, which the model has never seen; what follows is drawn at
temperature 0.8 and top-p 0.95 with a fixed seed. Cost: seconds.

    python -m demo.training.samples --work WORK
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import GPT2LMHeadModel

from demo.training import corpus

PROMPT, LENGTH = 24, 90


@torch.no_grad()
def sample(model: GPT2LMHeadModel, ids: list[int], seed: int) -> list[int]:
    """The tokens that follow `ids`."""
    torch.manual_seed(seed)
    out = model.generate(
        torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.int64), max_new_tokens=LENGTH,
        do_sample=True, temperature=0.8, top_p=0.95, top_k=0, pad_token_id=0,
    )  # fmt: skip
    return [int(i) for i in out[0, len(ids) :]]


def main() -> None:
    """The command: Markdown on standard output."""
    parser = argparse.ArgumentParser(description="Samples of the demo's model.")
    parser.add_argument("--work", type=Path, required=True)
    work = parser.parse_args().work
    model = GPT2LMHeadModel.from_pretrained(work / "model", dtype=torch.float32).eval()
    tokenizer = Tokenizer.from_file(str(work / "model" / "tokenizer.json"))
    end = tokenizer.token_to_id(corpus.END)
    for style in corpus.STYLES:
        held = np.load(work / f"{style}-held.npy")
        prompt = [end, *(int(i) for i in held[:PROMPT])]
        text = tokenizer.decode(sample(model, prompt, seed=0), skip_special_tokens=False).split(corpus.END)[0]
        begun = tokenizer.decode(prompt[1:])
        print(f"**{style}**\n\n```\n{begun}⟩⟩{text.rstrip()}\n```\n")


if __name__ == "__main__":
    main()
