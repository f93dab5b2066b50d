"""Values as Neuronpedia's inference server gives them, from our own loaders, for the online test and its rehearsal.

Its numbers (`apps/inference/tests`) are those of gpt2-small with `7-res-jb` under these conditions; ours in brackets:

- The model runs raw: no layer norm folded, no writing weights centred [the same], in float16 [float32].
- BOS stands before the text, and its position is dropped from the answer [the same; we keep the position].
- `fold_W_dec_norm` has been applied to the SAE, so each value is multiplied by the norm of the feature's decoder row
  [not folded: our values are those of the weights on disk; for a standard SAE the product below is the same number].
"""

from __future__ import annotations

import torch

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.models import loading
from core.models.capture import capture, pad
from core.models.loading import LoadedModel
from core.sources import dictionary


class Peer:
    """A model and one standard SAE on it."""

    def __init__(self, model: ModelSpec | LoadedModel, weights: WeightsSpec) -> None:
        self.model = loading.load(model) if isinstance(model, ModelSpec) else model
        self.source = dictionary.load(weights, self.model)

    @torch.no_grad()
    def values(self, text: str) -> torch.Tensor:
        """[tokens, features] with BOS first, each feature times the norm of its decoder row."""
        hidden = capture(self.model, pad([self.model.ids(text)]), [self.source.hook])[self.source.hook][0]
        return self.source.encode(hidden) * self.source.W_dec.float().norm(dim=1)

    def top(self, text: str, position: int, count: int = 3) -> list[tuple[int, float]]:
        """(feature, value) of the strongest at one position; BOS is 0."""
        best = self.values(text)[position].topk(count)
        return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))

    def cosines(self, vector: torch.Tensor, count: int) -> list[tuple[int, float]]:
        """(feature, cosine) of the decoder rows nearest to a vector."""
        rows = self.source.W_dec.float()
        best = torch.nn.functional.cosine_similarity(rows, vector[None].float()).topk(count)
        return list(zip(best.indices.tolist(), best.values.tolist(), strict=True))
