r"""Trains a language model of the demo: GPT-2's architecture, next-token cross entropy; `designs` says how large.

AdamW; a short warm-up, a constant rate, then a linear fall to zero over the last `--cooldown` of the tokens. bfloat16
where the processor has tiles for it, else float32, which is faster without them. Muon learns faster, but spreads the
residual stream over more directions, and SAEs then explain less of it: after 2.2 million tokens 90 % of layer 3's
variance took 71 principal components with Muon and 32 with AdamW. Every few minutes a checkpoint is written beside and
renamed; a second run goes on from it, also with another `--tokens`, which moves only the fall.

Cost: the first model on two cores 16 million tokens an hour in float32, about 30 with bfloat16 tiles, the second a
quarter of that; 2 GB of memory. glibc must keep freed memory rather than hand it back to the kernel, or the same takes
twice as long:

    MALLOC_TRIM_THRESHOLD_=4000000000 MALLOC_MMAP_THRESHOLD_=4000000000 \
        python -m demo.training.train_model --corpus CORPUS --work WORK --tokens 21_000_000
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from demo.training import corpus
from demo.training.designs import DESIGNS, FIRST, Design

CONTEXT = 256
RATE = 3e-3


def new_model(design: Design = FIRST) -> GPT2LMHeadModel:
    """The untrained model: dropout off, embeddings tied, one special token."""
    torch.manual_seed(design.seed)
    config = GPT2Config(
        vocab_size=design.vocabulary, n_positions=CONTEXT, n_embd=design.width, n_layer=design.layers,
        n_head=design.heads,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0, n_ctx=CONTEXT,
    )  # fmt: skip
    return GPT2LMHeadModel(config)


def optimizer(model: GPT2LMHeadModel) -> torch.optim.Optimizer:
    """AdamW; only matrices decay."""
    matrices = [p for p in model.parameters() if p.ndim == 2]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), fused=True)


def rate(progress: float, step: int, cooldown: float) -> float:
    """The factor on the learning rates: 100 steps up, flat, then down to nothing."""
    return min(1.0, (step + 1) / 100, max(0.0, (1.0 - progress) / cooldown))


def bfloat16_is_fast() -> bool:
    """Whether this processor has tiles for it; without them float32 is faster."""
    return torch.cpu._is_amx_tile_supported()


def loss_of(model: GPT2LMHeadModel, rows: np.ndarray) -> torch.Tensor:
    """Mean next-token cross entropy of `[B, CONTEXT]` ids, in nats."""
    ids = torch.from_numpy(rows.astype(np.int64))
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast()):
        hidden = model.transformer(ids[:, :-1]).last_hidden_state
        logits = model.lm_head(hidden)
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), ids[:, 1:].flatten())


@torch.no_grad()
def held_out(model: GPT2LMHeadModel, held: dict[str, corpus.Tokens], rows: int = 48) -> dict[str, float]:
    """Loss per style on the first `rows` held-out pieces, and their mean weighted as training is."""
    losses = {s: float(loss_of(model, corpus.pieces(t, CONTEXT, 0, 0)[:rows])) for s, t in held.items()}
    return losses | {"mean": sum(losses[s] * share for s, share in corpus.SHARES.items())}


def save(path: Path, state: dict[str, object]) -> None:
    """Beside, then renamed: a kill leaves the previous checkpoint."""
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def train(design: Design, folder: Path, work: Path, tokens: int, cooldown: float, every: float) -> None:
    """Until `tokens` have been seen; then the model is in `work/model`."""
    work.mkdir(parents=True, exist_ok=True)
    tokenizer = corpus.train_tokenizer(folder, work / "model" / "tokenizer.json", design)
    streams = corpus.streams(folder, work, tokenizer, design)
    training = {s: streams[s, "train"] for s in corpus.STYLES}
    held = {s: streams[s, "held"] for s in corpus.STYLES}
    model = new_model(design)
    stepper = optimizer(model)
    seen, step, path = 0, 0, work / "checkpoint.pt"
    if path.exists():
        state = torch.load(path, weights_only=True)
        model.load_state_dict(state["model"])
        stepper.load_state_dict(state["optimizer"])
        seen, step = state["seen"], state["step"]
        print(f"going on at {seen:,} tokens", flush=True)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters; "
          f"{ {k[0]: len(v) for k, v in streams.items() if k[1] == 'train'} }", flush=True)  # fmt: skip
    rows_per_epoch, started, last = 16_384, time.time(), time.time()
    window: list[float] = []
    begun = seen
    while seen < tokens:
        block = seen // (rows_per_epoch * CONTEXT)
        at = (seen // CONTEXT) % rows_per_epoch
        draw = np.random.default_rng([block, design.seed] if design.seed else block)
        data = corpus.epoch(training, CONTEXT, rows_per_epoch, 0, draw)
        for start in range(at, len(data) - design.batch + 1, design.batch):
            for group in stepper.param_groups:
                group["lr"] = RATE * rate(seen / tokens, step, cooldown)
            loss = loss_of(model, data[start : start + design.batch])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            stepper.step()
            stepper.zero_grad()
            seen, step = seen + design.batch * CONTEXT, step + 1
            window.append(float(loss.detach()))
            if step % 50 == 0:
                pace = (seen - begun) / (time.time() - started)
                print(f"{seen:>11,}  loss {np.mean(window[-50:]):.4f}  {pace * 3600 / 1e6:.1f} M tokens/h", flush=True)
            if time.time() - last > every * 60 or seen >= tokens:
                last = time.time()
                losses = held_out(model, held)
                print("held out", json.dumps({k: round(v, 4) for k, v in losses.items()}), flush=True)
                save(path, {"model": model.state_dict(), "optimizer": stepper.state_dict(),
                            "seen": seen, "step": step})  # fmt: skip
                export(design, model, work / "model", losses, seen)
            if seen >= tokens:
                break
        else:
            seen = (block + 1) * rows_per_epoch * CONTEXT
    print("done", flush=True)


def export(design: Design, model: GPT2LMHeadModel, folder: Path, losses: dict[str, float], seen: int) -> None:
    """An ordinary Hugging Face folder, in float16: half the bytes, and read back into float32 exactly."""
    half = new_model(design).half()
    half.load_state_dict({k: v.half() for k, v in model.state_dict().items()})
    half.save_pretrained(folder)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": corpus.END, "eos_token": corpus.END,
        "unk_token": corpus.END, "model_max_length": CONTEXT, "clean_up_tokenization_spaces": False,
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1) + "\n")
    (folder / "training.json").write_text(json.dumps({"tokens": seen, "held_out_loss": losses}, indent=1) + "\n")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Train a language model of the demo.")
    parser.add_argument("--design", choices=DESIGNS, default=FIRST.id)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tokens", type=int, help="the design's own number unless given")
    parser.add_argument("--cooldown", type=float, default=0.45)
    parser.add_argument("--every", type=float, default=4.0, help="minutes between checkpoints")
    args = parser.parse_args()
    design = DESIGNS[args.design]
    train(design, args.corpus, args.work, args.tokens or design.tokens, args.cooldown, args.every)


if __name__ == "__main__":
    main()
