"""A SAELens SAE or transcoder: what `encode`, `decode` and the skip give with the weights as they are on disk.

Nothing is folded and nothing computed anew: values are SAELens's own, of every architecture that it encodes token by
token. A transcoder reads `hook_name` and writes at `hook_name_out`; a skip transcoder adds W_skip @ x to what it
reconstructs. Activations that have heads (`attn.hook_z`) come flattened to [..., heads × d_head], as SAELens flattens
them. The caller's SAE is left as it is: SAELens keeps norms of the last input and the heads' shape on its SAEs, and
here they are kept on a shallow copy that shares the weights, and thrown away. Where an SAE was trained on a model whose
writing weights were centred (`core.sources.said`), it is given x less its mean, and the mean goes back into what it
reconstructs.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from contextlib import nullcontext
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.errors import BadConfig
from core.records import Kind
from core.sources.said import Said

_REFUSED = {
    "temporal": "its value at a token depends on the tokens before it, and sources here are encoded token by token",
}
_LEAVE, _LEFT = ("constant_norm_rescale", "layer_norm"), ("x_norm_coeff", "ln_mu", "ln_std")
"""Input normalisations that leave something on an SAE for its `decode`, and what they leave."""


class Sae:
    """A SAELens SAE or transcoder.

    `hook` and `hook_out` stand in for what the SAE's metadata says.

    Raises:
        BadConfig: an architecture that cannot be a source, or one that does not say where it belongs.
    """

    def __init__(
        self, sae: Any, sha256: str, *, hook: str | None = None, hook_out: str | None = None, said: Said | None = None,
        commit: str | None = None,
    ) -> None:  # fmt: skip
        self.architecture = str(sae.cfg.architecture())
        self.kind: Kind = "transcoder" if self.architecture.endswith("transcoder") else "sae"
        metadata = sae.cfg.metadata
        if self.architecture in _REFUSED:
            raise BadConfig(f"SAEs of architecture {self.architecture} cannot be built: {_REFUSED[self.architecture]}.")
        if metadata.hook_head_index is not None:
            raise BadConfig(
                f"It is an SAE of head {metadata.hook_head_index} alone (hook_head_index), which is not supported."
            )
        self.hook = str(_named(hook or metadata.hook_name, "hook_name", "hook"))
        if self.kind == "transcoder":
            self.hook_out = str(_named(hook_out or metadata.hook_name_out, "hook_name_out", "hook_out"))
        else:
            self.hook_out = self.hook
        self.signed = self.architecture == "abstopk"
        self.said = said or Said()
        self.commit = commit
        """Of the hub, of which its files are."""
        self.centred = False
        """Whether it was trained on x - mean(x)."""
        self.d_in = int(sae.cfg.d_in)
        self.sha256 = sha256
        self.sae = _own(sae)
        stateful = sae.cfg.normalize_activations in _LEAVE
        self._scales = stateful or getattr(sae.cfg, "rescale_acts_by_decoder_norm", False)
        self._lock = threading.Lock() if stateful else nullcontext()  # guards what SAELens leaves on `sae`

    def centre(self) -> None:
        """From now on it is given x - mean(x). Other numbers, so another hash."""
        if not self.centred:
            self.centred = True
            self.sha256 = hashlib.sha256(f"{self.sha256} centred".encode()).hexdigest()

    def given(self, x: Tensor) -> Tensor:
        """What it is given of x: less its mean, if it was trained so."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    @property
    def width(self) -> int:
        """`d_sae`."""
        return int(self.sae.cfg.d_sae)

    @property
    def W_dec(self) -> Float[Tensor, "d_sae d_out"]:
        """Rows as on disk, whatever their norm."""
        return self.sae.W_dec.detach()

    @property
    def bytes(self) -> int:
        """Memory of the weights."""
        return sum(p.numel() * p.element_size() for p in self.sae.state_dict().values())

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """`SAE.encode`; a sparse result is made dense."""
        with self._lock:
            acts = self.sae.encode(self.given(x))
            self._forget()
        return _dense(acts).float()

    def traced(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_sae"]:
        """`encode`, with gradients where the caller has them on."""
        with self._lock:
            acts = self.sae.encode(self.given(x.to(self.sae.dtype)))
            self._forget()
        return _dense(acts).float()

    @torch.no_grad()
    def process(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_in"]:
        """What the encoder's matrix meets: x normalised, and less `b_dec`, where the SAE does so."""
        with self._lock:
            found: Tensor = self.sae.process_sae_in(self.given(x))
            self._forget()
        return found

    @torch.no_grad()
    def values(self, x: Float[Tensor, "n d_in"], indices: Int[Tensor, " k"]) -> Float[Tensor, "n k"]:
        """`encode` at some features; from their columns alone where features do not compete."""
        if self.architecture not in ("standard", "jumprelu"):
            return self.encode(x)[:, indices]
        pre = self.process(x) @ self.sae.W_enc[:, indices] + self.sae.b_enc[indices]
        acts: Tensor = self.sae.activation_fn(pre)
        if self.architecture == "jumprelu":
            acts = acts * (pre > self.sae.threshold[indices])
        return acts.float()

    @torch.no_grad()
    def written(
        self, x: Float[Tensor, "n d_in"], change: Float[Tensor, "n k"], indices: Int[Tensor, " k"]
    ) -> Float[Tensor, "n d_out"]:
        """What `decode` gives more for x where the values of some features change by so much."""
        if not self._scales:
            return change @ self.W_dec[indices].float()
        full = torch.zeros(2, len(x), self.width, dtype=self.sae.dtype, device=x.device)
        full[0][:, indices] = change.to(full.dtype)
        with self._lock:
            self.sae.process_sae_in(self.given(x))  # leaves what `decode` scales by
            more, none = self.sae.decode(full).float()
            self._forget()
        return more - none

    @torch.no_grad()
    def unmoved(self, x: Float[Tensor, "n d_in"]) -> Float[Tensor, "n d_out"]:
        """What it puts at `hook_out` for x where no feature is active: decoder bias, mean, skip."""
        whole = x.to(self.sae.dtype)
        x = self.given(whole)
        if self._scales:
            with self._lock:
                self.sae.process_sae_in(x)  # leaves what `decode` scales by
                out: Tensor = self.sae.decode(torch.zeros(len(x), self.width, dtype=x.dtype, device=x.device))
                self._forget()
        else:
            out = self.sae.b_dec.detach().expand(len(x), -1)
        return self._besides(out, x, whole).float()

    def _besides(self, out: Tensor, x: Tensor, whole: Tensor) -> Tensor:
        """What is decoded, with the skip and with the mean that was taken off."""
        if hasattr(self.sae, "W_skip"):
            out = out + x @ self.sae.W_skip.T
        if self.centred and self.hook_out == self.hook:
            out = out + whole.mean(-1, keepdim=True)
        return out

    @torch.no_grad()
    def reconstruct(
        self, x: Float[Tensor, "... d_in"]
    ) -> tuple[Float[Tensor, "... d_sae"], Float[Tensor, "... d_out"]]:
        """(values, what the dictionary puts at `hook_out`), float32: SAELens's `forward`."""
        whole = x.to(self.sae.dtype)
        x = self.given(whole)  # W_skip meets it too
        with self._lock:
            acts = _dense(self.sae.encode(x))
            out: Tensor = self.sae.decode(acts)
            self._forget()
        return acts.float(), self._besides(out, x, whole).float()

    def _forget(self) -> None:
        for name in _LEFT:
            self.sae.__dict__.pop(name, None)


def _own(sae: Any) -> Any:
    """A shallow copy that shares the weights, takes heads flattened, and keeps its own state."""
    own = copy.copy(sae)
    own._setup_activation_normalization()  # its functions are closures over the SAE that they were made for
    own.turn_off_forward_pass_hook_z_reshaping()
    return own


def _dense(acts: Tensor) -> Tensor:
    return acts.to_dense() if acts.layout != torch.strided else acts


def _named(name: object, theirs: str, ours: str) -> object:
    if not name:
        raise BadConfig(f"Its cfg.json does not say where it belongs (metadata.{theirs}): add `{ours}:` beside it.")
    return name
