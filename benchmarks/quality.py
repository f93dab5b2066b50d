"""A source's figures against SAELens's own evaluation, on the same tokens with the same model: time, and agreement.

    python -m benchmarks.quality [--json] [--quick]

The demo's model and its SAE before layer 2, on prompts of the held-out texts at equal steps. SAELens's `evals` gives
figures without BOS in one run and with BOS in another; it is called with one batch at a time, its functions as they
are, on the same TransformerLens bridge. Ours gives both at once, and also what the mean costs, and keeps the sums of
each document for the intervals, which are drawn within the time. By turns, after one of each that does not count.
Below: the parts of a source's quality one by one, the source alone and with its baselines.

Cost: some minutes; --quick has an eighth of the prompts and one turn.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from sae_lens.evals import get_downstream_reconstruction_metrics, get_sparsity_and_variance_metrics
from sae_lens.training.activation_scaler import ActivationScaler

from benchmarks.report import Row, main
from core.evaluate import reconstruction
from core.evaluate.records import PARTS
from core.evaluate.suite import tensors
from core.evaluate.texts import Texts, fewer, of_files
from core.settings import Settings
from core.workbench import Workbench

SOURCE, HELD_OUT = "scribe-4l/2-res", Path(__file__).resolve().parent.parent / "demo" / "texts" / "heldout"
PROMPTS, BATCH = 128, 16
NAMES = {
    "l0": "l0", "explained_variance": "explained_variance", "mse": "mse", "l2_ratio": "l2_ratio", "cosine": "cossim",
    "ce_loss": "ce_loss_without_sae", "ce_loss_spliced": "ce_loss_with_sae", "ce_loss_zero": "ce_loss_with_ablation",
    "ce_loss_score": "ce_loss_score", "kl_spliced": "kl_div_with_sae", "kl_zero": "kl_div_with_ablation",
    "kl_score": "kl_div_score",
}  # fmt: skip
"""Our name of a figure, and SAELens's; its bias is a mean over batches, and is left out."""


def measure(quick: bool) -> Iterator[Row]:
    """The rows."""
    with tempfile.TemporaryDirectory() as folder:
        bench = Workbench(Settings(data=Path(folder)))
        model = bench._model_slot("scribe-4l").get()
        source: Any = bench._source_slot(bench.source(SOURCE)).get().source
        whole = _whole(of_files(HELD_OUT, 128, model.tokenizer, model.bos), 128)
        texts = fewer(whole, PROMPTS // 8 if quick else PROMPTS)
        tokens = tensors(texts, model.manifest.special)
        special = list(model.manifest.special)

        def ours() -> Any:
            own = reconstruction.moments(model.bridge, source.hook_out, tokens)
            means = (own.mean, own.mean_with_bos)
            ((plain, both),) = reconstruction.measure(model.bridge, [source], tokens, means=means)
            return plain.figures(), both.figures()

        def theirs() -> Any:
            return [_saelens(source.sae, model.bridge, tokens.ids, ignore) for ignore in (special, None)]

        ours(), theirs()
        taken = _in_turns({"ours": ours, "theirs": theirs}, 1 if quick else 3)
        count = tokens.ids.numel()
        yield Row(
            what=f"figures of {count:,} tokens with and without BOS; SAELens's evals twice", ours=taken["ours"],
            yardstick=taken["theirs"], ratio=taken["ours"] / taken["theirs"], unit="s", budget="",
        )  # fmt: skip
        pairs = zip(ours(), theirs(), strict=True)
        apart = [_apart(getattr(a, name).value, b[other]) for a, b in pairs for name, other in NAMES.items()]
        yield Row(
            what=f"largest relative difference of {len(apart)} figures from SAELens's", ours=max(apart), unit="",
            budget="<= 0.001",
        )  # fmt: skip
        for part in PARTS:
            for baselines in (False, True):
                began = time.perf_counter()
                bench.quality.measure(
                    SOURCE, parts=[part], texts=HELD_OUT, tokens=count, baselines=baselines, again=True
                )
                who = "with its baselines" if baselines else "alone"
                yield Row(what=f"{part}, the source {who}", ours=time.perf_counter() - began, unit="s", budget="")


def _whole(texts: Texts, length: int) -> Texts:
    """The prompts that are as long as can be: SAELens knows no padding."""
    kept = [n for n, row in enumerate(texts.rows) if len(row) == length]
    return Texts([texts.rows[n] for n in kept], texts.documents[kept], [texts.parts[n] for n in kept], texts.name)


def _saelens(sae: Any, bridge: Any, ids: torch.Tensor, ignore: list[int] | None) -> dict[str, float]:
    """SAELens's evaluation, a batch after another."""
    batches = ids.split(BATCH)

    def run(work: Callable[[Any], dict[str, float]]) -> dict[str, float]:
        left = iter(batches)
        return work(SimpleNamespace(get_batch_tokens=lambda _: next(left), context_size=ids.shape[1]))

    loss = run(
        lambda store: get_downstream_reconstruction_metrics(
            sae, bridge, store, ActivationScaler(), compute_kl=True, compute_ce_loss=True, n_batches=len(batches),
            eval_batch_size_prompts=BATCH, ignore_tokens=ignore,
        )
    )  # fmt: skip
    rest = run(
        lambda store: get_sparsity_and_variance_metrics(
            sae, bridge, store, ActivationScaler(), n_batches=len(batches), compute_l2_norms=True,
            compute_sparsity_metrics=True, compute_variance_metrics=True,
            compute_featurewise_density_statistics=True, eval_batch_size_prompts=BATCH, model_kwargs={},
            ignore_tokens=ignore,
        )[0]
    )  # fmt: skip
    return loss | rest


def _apart(a: float, b: float) -> float:
    return abs(a - b) / max(abs(b), 1e-9)


def _in_turns(jobs: dict[str, Callable[[], Any]], times: int) -> dict[str, float]:
    """The median seconds of each, by turns."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(times):
        for name, job in jobs.items():
            began = time.perf_counter()
            with torch.no_grad():
                job()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(found) for name, found in taken.items()}


if __name__ == "__main__":
    raise SystemExit(main("A source's figures, beside SAELens's evaluation.", measure))
