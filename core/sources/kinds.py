"""What SAELens lacks and other formats have, as SAELens's own classes: group max, and transcoders of the top k.

- `groupmax` (sparsify): features lie in k groups of equal size, and of each the largest is kept, if it is positive.
- `topk_transcoder`, `topk_skip_transcoder` (sparsify): a transcoder that keeps the k largest of all features.

Cost: that of SAELens's classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from sae_lens.saes.topk_sae import TopK, TopKSAE, TopKSAEConfig
from sae_lens.saes.transcoder import SkipTranscoder, SkipTranscoderConfig, Transcoder, TranscoderConfig
from torch import Tensor


class GroupMax(torch.nn.Module):
    """Of each of k groups the largest value, if it is positive; zero elsewhere."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def forward(self, pre: Tensor) -> Tensor:
        """[..., d_sae] values before the activation to those after."""
        grouped = pre.relu().reshape(*pre.shape[:-1], self.k, -1)
        value, at = grouped.max(dim=-1, keepdim=True)
        return torch.zeros_like(grouped).scatter(-1, at, value).flatten(-2)


@dataclass
class GroupMaxSAEConfig(TopKSAEConfig):  # type: ignore[misc,unused-ignore]  # SAELens has no stubs
    """A TopK SAE whose k features are one of each group."""

    @classmethod
    def architecture(cls) -> str:
        """Its name."""
        return "groupmax"


class GroupMaxSAE(TopKSAE):  # type: ignore[misc,unused-ignore]
    """sparsify's `activation: groupmax`."""

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        """Group max instead of top k."""
        return GroupMax(self.cfg.k)


@dataclass
class TopKTranscoderConfig(TranscoderConfig):  # type: ignore[misc,unused-ignore]
    """A transcoder with k features a token; `groups` keeps one of each of k groups instead."""

    k: int = 32
    groups: bool = False

    @classmethod
    def architecture(cls) -> str:
        """Its name."""
        return "topk_transcoder"


class TopKTranscoder(Transcoder):  # type: ignore[misc,unused-ignore]
    """sparsify's `transcode: true`."""

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        """Top k, or group max."""
        made: Callable[[Tensor], Tensor] = GroupMax(self.cfg.k) if self.cfg.groups else TopK(self.cfg.k)
        return made


@dataclass
class TopKSkipTranscoderConfig(SkipTranscoderConfig):  # type: ignore[misc,unused-ignore]
    """The same with a linear skip from input to output."""

    k: int = 32
    groups: bool = False

    @classmethod
    def architecture(cls) -> str:
        """Its name."""
        return "topk_skip_transcoder"


class TopKSkipTranscoder(SkipTranscoder):  # type: ignore[misc,unused-ignore]
    """sparsify's `transcode: true` with `skip_connection: true`."""

    def get_activation_fn(self) -> Callable[[Tensor], Tensor]:
        """Top k, or group max."""
        made: Callable[[Tensor], Tensor] = GroupMax(self.cfg.k) if self.cfg.groups else TopK(self.cfg.k)
        return made
