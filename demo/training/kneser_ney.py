"""An interpolated modified Kneser-Ney 3-gram model over the same tokens: the yardstick of the language model.

Knows counts and nothing of neural networks. Chen and Goodman 1998, section 3 (three discounts an order, lower orders
from continuation counts, the lowest interpolated with the uniform distribution). Trained on the union of the training
streams of all styles, each token counted once; scored on the held-out pieces that `train_model.held_out` uses, the
same tokens with the same weights. The two tokens before a piece are known to it even where the language model, whose
pieces begin with `<|endoftext|>`, does not see them: what unfairness there is favours the 3-grams.

Cost: 14 million tokens in about ten seconds on one core and 1 GB.

    python -m demo.training.kneser_ney --work WORK
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from demo.training import corpus
from demo.training.designs import DESIGNS, FIRST, Design

ORDER = 3
Ids = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Order:
    """One order: the discounted share of each n-gram seen (`keys` in base V), and the rest of each context."""

    keys: Ids
    shares: NDArray[np.float64]
    """max(0, c - D(c)) / Σ c of the context."""
    contexts: Ids
    rests: NDArray[np.float64]
    """What the discounts leave to the lower order."""


def discounts(counts: Ids) -> NDArray[np.float64]:
    """D of each count by Chen and Goodman's estimate, never 0; half of the most where a count of counts is zero."""
    n = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].astype(np.float64)
    y = n[0] / max(1.0, n[0] + 2 * n[1])
    found = [j - (j + 1) * y * n[j] / n[j - 1] if n[j - 1] > 0 else 0.5 * j for j in (1, 2, 3)]
    table = np.array([0.0, *(min(max(d, 0.05), float(j)) for j, d in zip((1, 2, 3), found, strict=True))])
    return table[np.minimum(counts, 3)]


def order_of(keys: Ids, counts: Ids, base: int) -> Order:
    """An order from its n-grams (sorted, distinct) and their counts."""
    off = discounts(counts)
    contexts, first = np.unique(keys // base, return_index=True)
    totals = np.add.reduceat(counts, first).astype(np.float64)
    shares = (counts - off) / np.repeat(totals, np.diff([*first, len(keys)]))
    return Order(keys, shares, contexts, np.add.reduceat(off, first) / totals)


def find(sorted_keys: Ids, values: NDArray[np.float64], wanted: Ids, missing: float) -> NDArray[np.float64]:
    """`values` at the places of `wanted` in `sorted_keys`, `missing` where they are not."""
    at = np.minimum(np.searchsorted(sorted_keys, wanted), len(sorted_keys) - 1)
    return np.where(sorted_keys[at] == wanted, values[at], missing)


class KneserNey:
    """The 3-gram model of some streams; ids are less than `base`."""

    def __init__(self, streams: Sequence[NDArray[np.integer]], base: int) -> None:
        assert base**ORDER < 2**63, "a 3-gram must fit an int64"
        self.base = base
        grams = np.concatenate([self._grams(s) for s in streams])
        keys, counts = np.unique(grams, return_counts=True)
        self.orders: list[Order] = []
        for order in range(ORDER, 0, -1):
            self.orders.insert(0, order_of(keys, counts, base))
            keys, counts = np.unique(keys % base ** (order - 1), return_counts=True)  # distinct words before each

    def _grams(self, stream: NDArray[np.integer]) -> Ids:
        """The key of the 3-gram that ends at each token; `END` stands before the first."""
        ids = np.concatenate([np.zeros(ORDER - 1, np.int64), stream.astype(np.int64)])
        return sum(ids[n : len(stream) + n] * self.base ** (ORDER - 1 - n) for n in range(ORDER))

    def probability(self, grams: Ids) -> NDArray[np.float64]:
        """P(last token | the two before it) of each key."""
        result = np.full(len(grams), 1.0 / self.base)
        for number, order in enumerate(self.orders, start=1):
            keys = grams % self.base**number
            rest = find(order.contexts, order.rests, keys // self.base, 1.0)  # unseen context: all to the lower order
            result = find(order.keys, order.shares, keys, 0.0) + rest * result
        return result

    def losses(self, stream: NDArray[np.integer]) -> NDArray[np.float64]:
        """Nats of every token of a stream."""
        return -np.log(self.probability(self._grams(stream)))


def compare(work: Path, rows: int, design: Design = FIRST) -> dict[str, dict[str, float]]:
    """`{"kneser-ney": losses, "model": losses}` a style and their weighted mean, on the same tokens."""
    import torch
    from transformers import GPT2LMHeadModel

    from demo.training import train_model

    part = {(s, p): np.load(work / f"{s}-{p}.npy") for s in corpus.STYLES for p in ("train", "held")}
    counts = KneserNey([part[s, "train"] for s in corpus.STYLES], design.vocabulary)
    ours: dict[str, float] = {}
    for style in corpus.STYLES:
        scored = len(corpus.pieces(part[style, "held"], train_model.CONTEXT, 0, 0)[:rows]) * (train_model.CONTEXT - 1)
        ours[style] = float(counts.losses(part[style, "held"])[:scored].mean())
    ours["mean"] = sum(ours[s] * share for s, share in corpus.SHARES.items())
    model = GPT2LMHeadModel.from_pretrained(work / "model", dtype=torch.float32).eval()
    held = {s: part[s, "held"] for s in corpus.STYLES}
    return {"kneser-ney": ours, "model": train_model.held_out(model, held, rows)}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description="Held-out loss of a Kneser-Ney 3-gram model beside the language model's."
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--design", choices=DESIGNS, default=FIRST.id)
    parser.add_argument("--rows", type=int, default=48, help="held-out pieces a style, of 255 tokens each")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    result = compare(args.work, args.rows, DESIGNS[args.design])
    if args.json:
        print(json.dumps(result))
        return
    print(f"{'nats a token':<12} {'Kneser-Ney 3':>12} {'model':>8} {'less by':>8}")
    for name, loss in result["kneser-ney"].items():
        print(f"{name:<12} {loss:>12.3f} {result['model'][name]:>8.3f} {loss - result['model'][name]:>8.3f}")


if __name__ == "__main__":
    main()
