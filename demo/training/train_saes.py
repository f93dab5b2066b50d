"""Trains the SAEs of one of the demo's models with SAELens, one per layer on `blocks.{L}.hook_resid_pre`.

Knows which activations an SAE sees and how it is trained; the model is any folder that `train_model` wrote. One pass of
the model over training text writes the activations of all layers to disk in float16, BOS and document ends left out;
each layer is then trained on its own with SAELens's `SAETrainer`, so that a second run goes on with the layers that
are missing. Inputs are scaled to a mean norm of √d_in while training, and the scale is folded into the weights after.

Method: BatchTopK (Bussmann et al. 2024, https://arxiv.org/abs/2412.06410): on average `k` features a token are kept, by
one threshold for the whole batch, and SAELens saves the result as a JumpReLU SAE. A batch's threshold is taken from
some of its rows, which costs a tenth of sorting all of them; the saved one is measured at the end, in float32, so
that the mean L0 on training text is `k`. Features that have not fired for a while learn from the residual (auxiliary
loss).

Later layers of the first model are trained in two parts: the features that died are placed anew between them, and the
last layer is made wider, since the first part is cheaper for a narrow SAE.

Cost: the cached activations take 2 GB a layer on disk; 10 million tokens take 15 minutes of one core, twice that at
twice the width. Environment as for `train_model`: glibc must keep freed memory.

    python -m demo.training.train_saes --corpus CORPUS --work WORK
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.saes.sae import SAEMetadata, TrainStepInput, TrainStepOutput
from sae_lens.saes.transcoder import JumpReLUTranscoder
from sae_lens.training.sae_trainer import SAETrainer
from safetensors.torch import load_file, save_file
from transformers import GPT2LMHeadModel

from demo.training import corpus
from demo.training.designs import DESIGNS, FIRST, SECOND, Design
from demo.training.train_model import bfloat16_is_fast

CONTEXT = 128
END = 0
RARE = 20_000
"""Tokens on one of which a feature must be active, not to be placed anew."""
Activations = NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What decides how good an SAE becomes and how long that takes."""

    k: float = 30.8
    """Mean number of active features a token."""
    width: int = 2048
    distinct: int = 4_000_000
    """Tokens whose activations are cached."""
    tokens: int = 10_000_000
    """Tokens trained on: the cached ones several times over."""
    again: int = 0
    """Tokens trained on in a second part, after dead and added features were placed, at a third of the rate."""
    added: int = 0
    """Features that are added before that; the first part is the cheaper for being narrower."""
    last_k: float = 30.8
    """`k` of the second part, and of the threshold."""
    batch: int = 4096
    lr: float = 3e-3
    dead_after: int = 150
    """Batches without firing after which a feature takes part in the auxiliary loss."""


OWN: dict[tuple[str, int], dict[str, Any]] = {
    (FIRST.id, 0): {"last_k": 30.2},
    (FIRST.id, 2): {"again": 4_000_000, "last_k": 31.0},
    (FIRST.id, 3): {"again": 6_000_000, "last_k": 31.0, "added": 2048},
}
"""What is another for some layers: the later ones' activations spread over more directions, and held-out text activates
about one feature a token more than training text."""
RECIPES = {
    FIRST.id: Recipe(),
    SECOND.id: Recipe(k=20.0, last_k=20.0, width=1024, distinct=1_000_000, tokens=2_500_000, batch=2048, lr=2e-3),
}


def recipe_of(design: Design, layer: int, recipe: Recipe) -> Recipe:
    """The recipe of one layer."""
    return replace(recipe, **OWN.get((design.id, layer), {}))


class FastBatchTopKTrainingSAE(BatchTopKTrainingSAE):
    """SAELens's BatchTopK SAE with the same sums in fewer passes over `[batch, d_sae]`.

    The decoder's norms go into the two small matrices before the products, the threshold comes from `SAMPLE` rows, and
    the auxiliary loss computes dead features only. With a sample of all rows the loss is SAELens's (`tests/demo`).
    """

    SAMPLE = 512

    def training_forward_pass(self, step_input: TrainStepInput) -> TrainStepOutput:
        """`x̂ = (z · [z > threshold]) @ W_dec / ‖W_dec‖ + b_dec`, `z = ((x - b_dec) @ W_enc + b_enc) ‖W_dec‖`."""
        x = step_input.sae_in
        norm = self.W_dec.norm(dim=-1)
        decoder = self.W_dec / norm[:, None]
        pre = torch.nn.functional.linear(self.process_sae_in(x), (self.W_enc * norm).T, self.b_enc * norm)  # [b, d_sae]
        acts = pre * (pre.detach() > self.threshold_of(pre)).to(pre.dtype)
        out = acts @ decoder + self.b_dec
        losses = {"mse_loss": (out - x).pow(2).sum(dim=-1).mean()}
        if step_input.dead_neuron_mask is not None and step_input.dead_neuron_mask.any():
            losses["auxiliary_reconstruction_loss"] = self.revive(
                (x - out).detach(), pre, decoder, step_input.dead_neuron_mask
            )
        return TrainStepOutput(
            sae_in=x, sae_out=out, feature_acts=acts.detach(), hidden_pre=pre.detach(),
            loss=torch.stack(list(losses.values())).sum(), losses=losses,
        )  # fmt: skip

    def threshold_of(self, pre: torch.Tensor) -> float:
        """What keeps `k` positive values a row in `SAMPLE` rows spread over the batch."""
        sample = pre.detach()[:: max(1, len(pre) // self.SAMPLE)].float().flatten()
        count = round(self.cfg.k * len(sample) / self.cfg.d_sae)
        return max(0.0, float(sample.topk(count + 1, sorted=False).values.min()))

    def revive(
        self, residual: torch.Tensor, pre: torch.Tensor, decoder: torch.Tensor, dead: torch.Tensor
    ) -> torch.Tensor:
        """SAELens's auxiliary loss: the dead features that come nearest to firing explain what the others leave."""
        columns = dead.nonzero()[:, 0]
        most = residual.shape[-1] // 2
        values, indices = pre[:, columns].topk(min(most, len(columns)), sorted=False)
        chosen = torch.zeros(len(pre), len(columns), dtype=values.dtype).scatter(-1, indices, values)
        loss = (chosen @ decoder[columns] - residual).pow(2).sum(dim=-1).mean()
        return self.cfg.aux_loss_coefficient * min(len(columns) / most, 1.0) * loss


# ---------------------------------------------------------------------------------------------- activations


@torch.no_grad()
def residuals(model: GPT2LMHeadModel, rows: corpus.Tokens) -> list[torch.Tensor]:
    """`blocks.{L}.hook_resid_pre` of every layer at the tokens of `rows` that are text, `[tokens, d_model]` each."""
    ids = torch.from_numpy(rows.astype(np.int64))
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16_is_fast()):
        hidden = model.transformer(ids, output_hidden_states=True).hidden_states
    text = ids != END
    return [h[text] for h in hidden[: model.config.n_layer]]


def cache_activations(
    model: GPT2LMHeadModel, rows: corpus.Tokens, folder: Path, batch: int = 64
) -> tuple[list[Path], tuple[int, int]]:
    """A raw float16 file a layer in `folder`, and their shape `[tokens, d_model]`; written unless they are there."""
    layers, width = model.config.n_layer, model.config.n_embd
    count = int((rows != END).sum())
    paths = [folder / f"{layer}-{count}.f16" for layer in range(layers)]
    if not all(p.exists() for p in paths):
        folder.mkdir(parents=True, exist_ok=True)
        files = [p.with_suffix(".tmp").open("wb") for p in paths]
        for start in range(0, len(rows), batch):
            for file, values in zip(files, residuals(model, rows[start : start + batch]), strict=True):
                file.write(values.half().numpy().tobytes())
        for file, path in zip(files, paths, strict=True):
            file.close()
            os.replace(path.with_suffix(".tmp"), path)
    return paths, (count, width)


def batches(values: Activations, size: int, seed: int) -> Iterator[torch.Tensor]:
    """Batches without end, each epoch in another order."""
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(len(values))
        for start in range(0, len(order) - size + 1, size):
            yield torch.from_numpy(values[order[start : start + size]]).float()


# ------------------------------------------------------------------------------------------------- training


def about(design: Design, hook: str, **more: str) -> SAEMetadata:
    """What an SAE says about its model."""
    return SAEMetadata(
        model_name=design.id, hook_name=hook, hook_head_index=None, context_size=CONTEXT, prepend_bos=True,
        exclude_special_tokens=True, model_class_name="AutoModelForCausalLM", model_from_pretrained_kwargs={},
        seqpos_slice=[None], **more,
        dataset_path="the demo's training text: novels, country profiles, technical proposals, Python, speeches",
    )  # fmt: skip


def train_layer(values: Activations, layer: int, recipe: Recipe, design: Design = FIRST) -> BatchTopKTrainingSAE:
    """A trained SAE of one layer, its scale folded in and its threshold not yet measured."""
    seed = design.seed
    torch.manual_seed(seed)
    config = BatchTopKTrainingSAEConfig(
        d_in=values.shape[1], d_sae=recipe.width, k=recipe.k, normalize_activations="expected_average_only_in",
        aux_loss_coefficient=1 / 32, metadata=about(design, f"blocks.{layer}.hook_resid_pre"),
    )  # fmt: skip
    sae = FastBatchTopKTrainingSAE(config)
    scale = initialise(sae, values)
    sae = fit(sae, values, scale, recipe, recipe.tokens, recipe.lr, seed)
    return finish(sae, values, scale, recipe, seed)


def finish(
    sae: BatchTopKTrainingSAE, values: Activations, scale: float, recipe: Recipe, seed: int
) -> BatchTopKTrainingSAE:
    """Adds features, places them and the dead ones, and trains on."""
    if not recipe.again:
        return sae
    if recipe.added:
        sae = wider(sae, recipe.added)
    place_dead(sae, values, scale, seed)
    sae.cfg.k = recipe.last_k
    return fit(sae, values, scale, recipe, recipe.again, recipe.lr / 3, seed + 1)


def fit(
    sae: BatchTopKTrainingSAE, values: Activations, scale: float, recipe: Recipe, tokens: int, lr: float, seed: int
) -> BatchTopKTrainingSAE:
    """Trains on so many tokens, scaled; what comes back reads them as they are."""
    steps = tokens // recipe.batch
    trainer = SAETrainer(
        SAETrainerConfig(
            total_training_samples=steps * recipe.batch, train_batch_size_samples=recipe.batch,
            lr=lr, lr_end=lr, lr_warm_up_steps=min(100, steps // 10), lr_decay_steps=steps // 2,
            autocast=bfloat16_is_fast(), dead_feature_window=recipe.dead_after, adam_beta1=0.9, adam_beta2=0.99,
            logger=LoggingConfig(log_to_wandb=False),
        ),
        sae,
        batches(values, recipe.batch, seed),
    )  # fmt: skip
    trainer.activation_scaler.scaling_factor = scale
    for group in trainer.optimizer.param_groups:
        group["fused"] = True  # one pass over the parameters
    return trainer.fit()


@torch.no_grad()
def wider(sae: BatchTopKTrainingSAE, added: int) -> BatchTopKTrainingSAE:
    """A copy with so many features more, which are never active."""
    made = FastBatchTopKTrainingSAE(replace(sae.cfg, d_sae=sae.cfg.d_sae + added))
    for name in ("W_enc", "W_dec", "b_enc", "b_dec"):
        old, new = getattr(sae, name), getattr(made, name)
        new.zero_()
        new[tuple(slice(size) for size in old.shape)] = old
    made.W_dec[sae.cfg.d_sae :, 0] = 1  # a direction, so that it has a length
    return made


@torch.no_grad()
def place_dead(sae: BatchTopKTrainingSAE, values: Activations, scale: float, seed: int, sample: int = 131_072) -> int:
    """Prepares a trained SAE for training on; returns how many features it placed anew.

    It reads scaled inputs again. A feature that is active on less than one token in `RARE` of a sample points to what
    is missing from the reconstruction of a token, drawn in proportion to its squared error (Bricken et al. 2023,
    https://transformer-circuits.pub/2023/monosemantic-features, "neuron resampling").
    """
    norm = sae.W_dec.norm(dim=-1)
    sae.W_dec /= norm[:, None]
    sae.W_enc *= norm
    sae.b_enc.mul_(norm).mul_(scale)
    sae.b_dec *= scale
    sae.cfg.normalize_activations = "expected_average_only_in"
    rng = np.random.default_rng(seed + 3)
    x = torch.from_numpy(values[np.sort(rng.choice(len(values), min(sample, len(values)), replace=False))]).float()
    x *= scale
    missing, active = torch.empty_like(x), torch.zeros(sae.cfg.d_sae)
    for part, left in zip(x.split(4096), missing.split(4096), strict=True):
        pre = (part - sae.b_dec) @ sae.W_enc + sae.b_enc
        acts = pre * (pre > sae.threshold_of(pre))
        active += (acts > 0).sum(dim=0)
        left.copy_(part - acts @ sae.W_dec - sae.b_dec)
    dead = (active < len(x) / RARE).nonzero()[:, 0]
    squares = missing.pow(2).sum(dim=-1)
    rows = missing[torch.multinomial(squares, len(dead), generator=torch.Generator().manual_seed(seed))]
    length = rows.norm(dim=-1, keepdim=True)
    sae.W_dec[dead] = rows / length
    sae.W_enc[:, dead] = (rows / length).T
    sae.b_enc[dead] = -length[:, 0] / 2
    return len(dead)


@torch.no_grad()
def initialise(sae: BatchTopKTrainingSAE, values: Activations, sample: int = 65_536) -> float:
    """Starts features at data, so that few are dead from the start; returns the scale of the inputs.

    Each decoder row is a token's activation less the mean, of norm 1; the encoder is its transpose, `b_dec` the mean.
    """
    pick = np.sort(np.random.default_rng(2).choice(len(values), min(sample, len(values)), replace=False))
    x = torch.from_numpy(values[pick]).float()
    scale = sae.cfg.d_in**0.5 / float(x.norm(dim=-1).mean())
    x *= scale
    mean = x.mean(dim=0)
    rows = x[torch.randperm(len(x))[: sae.cfg.d_sae]] - mean
    sae.b_dec.copy_(mean)
    sae.W_dec.copy_(rows / rows.norm(dim=-1, keepdim=True))
    sae.W_enc.copy_(sae.W_dec.T)
    return scale


@torch.no_grad()
def calibrate(sae: BatchTopKTrainingSAE, values: Activations, k: float, tokens: int = 32_768) -> None:
    """Sets the threshold so that `k` features a token are active on average over a sample of `values`."""
    pick = np.sort(np.random.default_rng(1).choice(len(values), min(tokens, len(values)), replace=False))
    x = torch.from_numpy(values[pick]).float()
    pre = torch.cat([sae.encode_with_hidden_pre(part)[1] for part in x.split(4096)]).flatten().relu()
    kept = pre.topk(round(k * len(pick)) + 1, sorted=True).values
    sae.topk_threshold = ((kept[-1] + kept[-2]) / 2).double()


def save(sae: BatchTopKTrainingSAE | JumpReLUTranscoder, folder: Path, **settings: str) -> None:
    """A SAELens folder (JumpReLU), its weights in float16: half the bytes, read back into float32 exactly.

    `settings` go into its `cfg.json`.
    """
    beside = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(beside, ignore_errors=True)
    trained = isinstance(sae, BatchTopKTrainingSAE)
    weights, config = sae.save_inference_model(beside) if trained else sae.save_model(beside)
    save_file({k: v.half().contiguous() for k, v in load_file(weights).items()}, weights)
    settings = json.loads(config.read_text()) | {"dtype": "float32", "device": "cpu"} | settings
    config.write_text(json.dumps(settings, indent=1) + "\n")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(beside, folder)


def fingerprint(path: Path) -> str:
    """SHA-256 of the model's weights."""
    return hashlib.sha256((path / "model.safetensors").read_bytes()).hexdigest()


def current(folder: Path, model: str, recipe: Recipe) -> bool:
    """Whether `folder` holds an SAE of this model by this recipe."""
    try:
        metadata = json.loads((folder / "cfg.json").read_text())["metadata"]
    except FileNotFoundError:
        return False
    return metadata.get("model_sha256") == model and metadata.get("recipe") == asdict(recipe)


def make(
    paths: list[Path], shape: tuple[int, int], recipe: Recipe, design: Design, model: str, target: Path, layer: int
) -> str:
    """One layer from its cached activations to its folder, in a process of its own; says what it did."""
    torch.set_num_threads(1)  # two layers side by side are faster than one on two cores
    started = time.time()
    values: Activations = np.memmap(paths[layer], dtype=np.float16, mode="r", shape=shape)
    recipe = recipe_of(design, layer, recipe)
    sae = train_layer(values, layer, recipe, design)
    calibrate(sae, values, recipe.last_k)
    sae.cfg.metadata.model_sha256 = model
    sae.cfg.metadata.recipe = asdict(recipe)
    save(sae, target / f"{layer}-res")
    return f"layer {layer}: {time.time() - started:.0f} s, threshold {float(sae.topk_threshold):.3f}"


def train(
    design: Design, folder: Path, work: Path, model_path: Path, target: Path, layers: list[int], recipe: Recipe
) -> None:
    """Every layer of `layers` that `target` does not hold yet, as many side by side as there are cores."""
    mark = fingerprint(model_path)

    def there(layer: int) -> bool:
        return current(target / f"{layer}-res", mark, recipe_of(design, layer, recipe))

    missing = [layer for layer in layers if not there(layer)]
    if not missing:
        return
    model = GPT2LMHeadModel.from_pretrained(model_path, dtype=torch.float32).eval()
    streams = corpus.streams(
        folder, work, corpus.train_tokenizer(folder, model_path / "tokenizer.json", design), design
    )
    rows = recipe.distinct // (CONTEXT - 1)
    draw = np.random.default_rng(7 + design.seed)
    text = corpus.epoch({s: streams[s, "train"] for s in corpus.STYLES}, CONTEXT, rows, END, draw)
    started = time.time()
    kept = target / f"activations-{mark[:8]}"
    paths, shape = cache_activations(model, text, kept)
    print(f"activations of {shape[0]:,} tokens: {time.time() - started:.0f} s", flush=True)
    cores = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(min(cores, len(missing)), mp_context=multiprocessing.get_context("spawn")) as pool:
        for line in pool.map(partial(make, paths, shape, recipe, design, mark, target), missing):
            print(line, flush=True)
    if all(map(there, design.saes)):
        shutil.rmtree(kept)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Train the sparse autoencoders of one of the demo's models.")
    parser.add_argument("--design", choices=DESIGNS, default=FIRST.id)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="the model's folder; WORK/model unless given")
    parser.add_argument("--target", type=Path, help="where the SAEs go; WORK/saes unless given")
    parser.add_argument("--layers", type=int, nargs="+", help="all that the design has unless given")
    parser.add_argument("--tokens", type=int, help="tokens trained on")
    parser.add_argument("--distinct", type=int, help="tokens whose activations are on disk")
    parser.add_argument("--k", type=float, help="active features a token")
    args = parser.parse_args()
    design = DESIGNS[args.design]
    asked = {"k": args.k, "last_k": args.k, "tokens": args.tokens, "distinct": args.distinct}
    recipe = replace(RECIPES[design.id], **{name: value for name, value in asked.items() if value is not None})
    model, target = args.model or args.work / "model", args.target or args.work / "saes"
    train(design, args.corpus, args.work, model, target, args.layers or list(design.saes), recipe)


if __name__ == "__main__":
    main()
