"""Trains the first model's other dictionaries: transcoders, SAEs on attention outputs, other widths, and controls.

Knows what each reads and writes; how an SAE is trained is `train_saes`. One job is one dictionary, kept as a SAELens
folder under its name; a job whose folder is there is done, so a run that was stopped goes on with the next. One core.

- `<layer>-mlp`: a transcoder, from the MLP's input (after LayerNorm) to its output. BatchTopK as the SAEs; each feature
  starts at one token, its encoder at the input and its decoder at the output (both less their means).
- `<layer>-att`: an SAE on `blocks.<layer>.attn.hook_z`, heads side by side, as in Kissane et al. 2024
  (https://arxiv.org/abs/2406.17759).
- `2-res__512`, `2-res__1k`: SAEs before layer 2 with fewer features, on a quarter of the text and half of the tokens.
- `2-res__512-random`, `2-res__512-kept`: controls, the same recipe on the model with its weights randomised
  (`core.models.randomised`), `kept` with token and position embeddings as they are. `2-res-random` and so on are those
  of the wide SAEs; the demo has no room for them.

Cost: 4 to 12 minutes a job, one core, on a machine that had much else to do; 2 GB of disk at a time.

    python -m demo.training.train_more --corpus CORPUS --work WORK [--only NAME ...]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from sae_lens import BatchTopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput, TrainStepOutput
from sae_lens.saes.transcoder import JumpReLUTranscoder, JumpReLUTranscoderConfig
from transformers import GPT2LMHeadModel

from core.models.randomised import randomised
from demo.training import corpus
from demo.training.designs import FIRST
from demo.training.train_model import bfloat16_is_fast
from demo.training.train_saes import (
    CONTEXT,
    END,
    RECIPES,
    Activations,
    FastBatchTopKTrainingSAE,
    Recipe,
    about,
    calibrate,
    fingerprint,
    fit,
    recipe_of,
    save,
    train_layer,
)  # fmt: skip

HERE = Path(__file__).resolve().parent.parent
LAYERS = range(FIRST.layers)
TRANSCODER = Recipe(k=24.0, last_k=24.0, width=512, distinct=1_000_000, tokens=3_000_000, batch=2048)
ATTENTION = Recipe(k=16.0, last_k=16.0, width=256, distinct=1_000_000, tokens=2_500_000, batch=2048)
RESIDUAL = RECIPES[FIRST.id]


@dataclass(frozen=True, slots=True)
class Job:
    """One dictionary to train."""

    name: str
    recipe: Recipe
    layer: int
    reads: str
    """`resid`, `z` or `mlp`."""
    weights: str = ""
    """`random` or `kept` for a control; empty for the model as it is."""


FEWER = replace(RESIDUAL, last_k=31.0, distinct=1_000_000, tokens=6_000_000)
KINDS = ("random", "kept")
"""Of controls."""
NARROW = Job("2-res__512", replace(FEWER, width=512), 2, "resid")
JOBS = (
    *(Job(f"{n}-mlp", TRANSCODER, n, "mlp") for n in LAYERS),
    *(Job(f"{n}-att", ATTENTION, n, "z") for n in LAYERS),
    NARROW,
    Job("2-res__1k", replace(FEWER, width=1024), 2, "resid"),
    *(replace(NARROW, name=f"{NARROW.name}-{weights}", weights=weights) for weights in KINDS),
    *(
        Job(f"{n}-res-{weights}", recipe_of(FIRST, n, RESIDUAL), n, "resid", weights)
        for n in (2, 1, 3)
        for weights in KINDS
    ),
)


SHIPPED = [*(job.name for job in JOBS if job.reads != "resid"), NARROW.name]
"""Sources that are in the demo, beside the controls of the narrow one."""


class TranscoderInTraining(FastBatchTopKTrainingSAE):
    """The same with an output of its own: a row of the data is input and target side by side, `[2 d]`."""

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """`ŷ = (z · [z > threshold]) @ W_dec / ‖W_dec‖ + b_dec`, `z = (x @ W_enc + b_enc) ‖W_dec‖`."""
        x, y = step_input.sae_in.chunk(2, dim=-1)
        norm = self.W_dec.norm(dim=-1)
        decoder = self.W_dec / norm[:, None]
        pre = torch.nn.functional.linear(x, (self.W_enc * norm).T, self.b_enc * norm)
        acts = pre * (pre.detach() > self.threshold_of(pre)).to(pre.dtype)
        out = acts @ decoder + self.b_dec
        losses = {"mse_loss": (out - y).pow(2).sum(dim=-1).mean()}
        if step_input.dead_neuron_mask is not None and step_input.dead_neuron_mask.any():
            losses["auxiliary_reconstruction_loss"] = self.revive(
                (y - out).detach(), pre, decoder, step_input.dead_neuron_mask
            )
        return TrainStepOutput(
            sae_in=y, sae_out=out, feature_acts=acts.detach(), hidden_pre=pre.detach(),
            loss=torch.stack(list(losses.values())).sum(), losses=losses,
        )  # fmt: skip


# ---------------------------------------------------------------------------------------------- activations


@torch.no_grad()
def activations(model: GPT2LMHeadModel, job: Job, rows: corpus.Tokens, path: Path, batch: int = 64) -> None:
    """Writes what a job is trained on, `[tokens, width]` in float16, to a file; special tokens are left out."""
    block, caught = model.transformer.h[job.layer], {}
    if job.reads == "mlp":
        hook = block.mlp.register_forward_hook(lambda _, given, out: caught.update(x=torch.cat((given[0], out), -1)))
    else:
        module = block if job.reads == "resid" else block.attn.c_proj
        hook = module.register_forward_pre_hook(lambda _, given: caught.update(x=given[0]))
    beside = path.with_suffix(".tmp")
    with beside.open("wb") as file, torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast()):
        for start in range(0, len(rows), batch):
            ids = torch.from_numpy(rows[start : start + batch].astype(np.int64))
            model.transformer(ids)
            file.write(caught["x"][ids != END].half().numpy().tobytes())
    hook.remove()
    beside.rename(path)


def text(folder: Path, work: Path, distinct: int) -> corpus.Tokens:
    """Rows of training text, drawn as for the model's own SAEs."""
    tokenizer = corpus.train_tokenizer(folder, HERE / "weights" / "model" / "tokenizer.json", FIRST)
    streams = corpus.streams(folder, work, tokenizer, FIRST)
    draw = np.random.default_rng(7 + FIRST.seed)
    styles = {style: streams[style, "train"] for style in corpus.STYLES}
    return corpus.epoch(styles, CONTEXT, distinct // (CONTEXT - 1), END, draw)


# ------------------------------------------------------------------------------------------------- training


def train_transcoder(values: Activations, job: Job) -> JumpReLUTranscoder:
    """A transcoder with decoder rows of norm 1 that keeps `k` features a token, over the data as it is."""
    torch.manual_seed(FIRST.seed)
    recipe, d = job.recipe, values.shape[1] // 2
    sae = TranscoderInTraining(
        BatchTopKTrainingSAEConfig(
            d_in=d, d_sae=recipe.width, k=recipe.k, normalize_activations="none", apply_b_dec_to_input=False,
            aux_loss_coefficient=1 / 32,
        )
    )  # fmt: skip
    pick = np.sort(np.random.default_rng(2).choice(len(values), min(65_536, len(values)), replace=False))
    sample = torch.from_numpy(values[pick]).float()
    scales = torch.cat([torch.full((d,), d**0.5 / float(half.norm(dim=-1).mean())) for half in sample.chunk(2, -1)])
    x, y = (sample * scales).chunk(2, dim=-1)
    with torch.no_grad():
        chosen = torch.randperm(len(x))[: recipe.width]
        columns, rows = x[chosen] - x.mean(0), y[chosen] - y.mean(0)
        sae.W_enc.copy_((columns / columns.norm(dim=-1, keepdim=True)).T)
        sae.W_dec.copy_(rows / rows.norm(dim=-1, keepdim=True))
        sae.b_enc.copy_(-x.mean(0) @ sae.W_enc)
        sae.b_dec.copy_(y.mean(0))
    scaled = Scaled(values, scales.numpy())
    fit(sae, scaled, 1.0, recipe, recipe.tokens, recipe.lr, FIRST.seed)  # type: ignore[arg-type]  # read in batches only
    return folded(sae, x, float(scales[0]), float(scales[-1]), job)


class Scaled:
    """Rows of an array times a scale a column, made as they are read."""

    def __init__(self, values: Activations, scales: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
        self.values, self.scales = values, scales

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> np.ndarray:  # type: ignore[type-arg]
        return self.values[rows].astype(np.float32) * self.scales


@torch.no_grad()
def folded(
    sae: FastBatchTopKTrainingSAE, x: torch.Tensor, of_input: float, of_output: float, job: Job
) -> JumpReLUTranscoder:
    """Scales and decoder norms in the weights, and the threshold that keeps `k` features of a sample's tokens."""
    norm = sae.W_dec.norm(dim=-1)
    encoder, bias = sae.W_enc * norm, sae.b_enc * norm
    pre = (x[:32_768] @ encoder + bias).flatten()
    kept = pre.relu().topk(round(job.recipe.last_k * len(x[:32_768])) + 1).values
    config = JumpReLUTranscoderConfig(
        d_in=x.shape[1], d_out=x.shape[1], d_sae=len(norm), apply_b_dec_to_input=False, normalize_activations="none",
        metadata=about(FIRST, f"blocks.{job.layer}.mlp.hook_in", hook_name_out=f"blocks.{job.layer}.hook_mlp_out"),
    )  # fmt: skip
    made = JumpReLUTranscoder(config)
    made.W_enc.data = encoder * (of_input / of_output)
    made.b_enc.data = bias / of_output
    made.W_dec.data = sae.W_dec / norm[:, None]
    made.b_dec.data = sae.b_dec / of_output
    made.threshold.data = torch.full_like(norm, float(kept[-1] + kept[-2]) / 2 / of_output)
    return made


def train_sae(values: Activations, job: Job) -> FastBatchTopKTrainingSAE:
    """By the residual SAEs' recipe, on whatever the job reads."""
    sae = train_layer(values, job.layer, job.recipe)
    calibrate(sae, values, job.recipe.last_k)
    if job.reads == "z":
        sae.cfg.metadata = about(FIRST, f"blocks.{job.layer}.attn.hook_z")
    return sae


def given(job: Job, corpus_: Path, work: Path) -> Activations:
    """A job's activations; the last file of them is kept, for a next job on the same."""
    path = work / f"{job.layer}-{job.reads}-{job.weights or 'own'}-{job.recipe.distinct}.f16"
    if not path.exists():
        for old in work.glob("*.f16"):
            old.unlink()
        model = GPT2LMHeadModel.from_pretrained(HERE / "weights" / "model", dtype=torch.float32).eval()
        if job.weights:
            model = randomised(model, keep_embeddings=job.weights == "kept", seed=FIRST.seed)
        activations(model, job, text(corpus_, work, job.recipe.distinct), path)
    width = FIRST.width * (2 if job.reads == "mlp" else 1)
    return np.memmap(path, dtype=np.float16, mode="r").reshape(-1, width)


def make(job: Job, values: Activations, target: Path) -> None:
    """One job, from activations to its folder."""
    train: Callable[[Activations, Job], torch.nn.Module] = train_transcoder if job.reads == "mlp" else train_sae
    sae = train(values, job)
    sae.cfg.metadata.recipe = asdict(job.recipe)
    if job.weights:
        sae.cfg.metadata.model_name = f"{FIRST.id}-{job.weights}"
    else:
        sae.cfg.metadata.model_sha256 = fingerprint(HERE / "weights" / "model")
    save(sae, target, **settings(job))


def settings(job: Job) -> dict[str, str]:
    """What a job's `cfg.json` says beside what SAELens writes there."""
    return {"reshape_activations": "hook_z"} if job.reads == "z" else {}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Train the first model's other dictionaries, and the controls.")
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--only", nargs="+", help="names of jobs; all unless given")
    parser.add_argument("--tokens", type=int, help="tokens trained on, fewer for a trial")
    args = parser.parse_args()
    torch.set_num_threads(1)
    target = args.work / "saes"
    target.mkdir(parents=True, exist_ok=True)
    for job in JOBS:
        folder = target / job.name
        if folder.exists() or (args.only and job.name not in args.only):
            continue
        started = time.time()
        trial = job if args.tokens is None else replace(job, recipe=replace(job.recipe, tokens=args.tokens, again=0))
        make(trial, given(trial, args.corpus, args.work), folder)
        print(f"{job.name}: {time.time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
