"""A tiny chat model: Llama's architecture with random weights, a tokenizer with marks for turns, and a chat template.

The template writes `<|user|>` and the like before a message and `<|end|>` after it, and refuses a system message that
is not the first. An SAE before layer 1 and the neurons of layer 0 are its sources.
"""

from __future__ import annotations

import json
from pathlib import Path

from tests import tiny

MODEL, SAE = "chatty", "chatty/1-res"
MARKS = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
REFUSAL = "A system message comes first."
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' and not loop.first %}{{ raise_exception('" + REFUSAL + "') }}{% endif %}"
    "<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write(folder: Path) -> Path:
    """Writes weights, texts and configuration, and returns the configuration's path."""
    model(folder / "model")
    tiny.sae(folder / "sae", bias=-0.5)
    lines = [f"{tiny.LINES[n % 6]} {tiny.LINES[(n * 5 + 1) % 6]} Number {n}." for n in range(40)]
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(lines), encoding="utf-8")
    config = folder / "chatty.yaml"
    config.write_text(
        f"model: {{id: {MODEL}, path: model}}\n"
        "sources:\n  - {id: 1-res, sae: {path: sae}}\n  - {id: 0-neurons, neurons: blocks.0.mlp.hook_post}\n"
        "dataset: {path: texts.txt}\nprompts: 40\ncontext: 32\n",
        encoding="utf-8",
    )
    return config


def model(folder: Path) -> Path:
    """Writes the Hugging Face folder and returns it."""
    from tokenizers import AddedToken, Tokenizer

    tiny.model(folder, "llama", spare=len(MARKS), scale=4.0, max_position_embeddings=256)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(mark, special=True) for mark in MARKS])
    tokenizer.save(str(folder / "tokenizer.json"))
    path = folder / "tokenizer_config.json"
    more = {"additional_special_tokens": list(MARKS), "chat_template": TEMPLATE}
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | more), encoding="utf-8")
    return folder


def written(*turns: tuple[str, str]) -> str:
    """A chat as the template writes it, by hand."""
    return "<|endoftext|>" + "".join(f"<|{role}|>{text}<|end|>" for role, text in turns) + "<|assistant|>"
