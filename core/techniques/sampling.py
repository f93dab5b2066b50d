"""Which token comes next: temperature, top-p, a penalty for what was said, and chance that two texts share.

Chance is Gumbel noise: the token with the largest logit / temperature + noise is one drawn from the softmax (Gumbel
1954; Maddison et al. 2014). The noise of a step is a function of the seed and the step alone, so that texts that are
generated side by side differ where their models differ and not by luck: the same logits give the same token, whatever
is generated beside it. The penalty is OpenAI's frequency penalty, over what was generated. Cost: a look at the
vocabulary, a sort of it with top-p below 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from core.models.thread import computing

COLD = 1e-6
"""Below this temperature chance has no say beside the logits' rounding."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn."""

    temperature: float = 0.0
    """0 takes the largest logit."""
    top_p: float = 1.0
    frequency_penalty: float = 0.0
    seed: int = 0

    @computing
    def __call__(self, logits: Float[Tensor, "rows vocab"], written: Sequence[Sequence[int]], step: int) -> list[int]:
        """The next token of each row; `written` is what was generated in each so far."""
        logits = logits.clone()
        if self.frequency_penalty:
            for row, ids in zip(logits, written, strict=True):
                said = torch.tensor(ids, dtype=torch.int64, device=logits.device)
                row.index_add_(0, said, torch.full((len(ids),), -self.frequency_penalty, device=logits.device))
        if self.temperature < COLD:
            return [int(i) for i in logits.argmax(-1)]
        logits /= self.temperature
        if self.top_p < 1:
            logits = _likeliest(logits, self.top_p)
        return [int(i) for i in (logits + self._noise(logits.shape[1], step).to(logits.device)).argmax(-1)]

    def _noise(self, size: int, step: int) -> Float[Tensor, " vocab"]:
        """Standard Gumbel noise: -log of exponential draws, in float64: one in 10⁷ of NumPy's in float32 is 0."""
        draw = np.random.Generator(np.random.Philox(key=self.seed % 2**64, counter=[0, 0, 0, step]))
        return -torch.from_numpy(draw.standard_exponential(size)).clamp_min(1e-30).float().log()


def _likeliest(logits: Float[Tensor, "rows vocab"], share: float) -> Float[Tensor, "rows vocab"]:
    """Logits of the fewest tokens that have `share` of the probability together; the others at -inf."""
    ordered, order = logits.sort(dim=-1, descending=True)
    probability = ordered.softmax(-1)
    before = probability.cumsum(-1) - probability
    ordered[before >= share] = -torch.inf
    ordered[:, 0] = logits.amax(-1)  # the first stays, also with a share of 0
    return torch.empty_like(logits).scatter_(-1, order, ordered)
