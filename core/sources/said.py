"""What an SAE says about its model: obeyed, or refused with both values; never guessed.

- `model_from_pretrained_kwargs`: how TransformerLens was to change the model before the SAE saw it. Of what can be
  asked there, `center_writing_weights` alone changes an activation that SAEs are commonly trained on: whatever a model
  with layer norm adds to its residual stream has its mean over d_model taken away, so the stream is x - mean(x), which
  the norms that read it never see. The model here is raw, so the mean is taken away where the SAE reads
  (`Sae.centred`). What changes nothing at the SAE's hook is let be; what would change something there is refused, as is
  another revision.
- `prepend_bos`: every text here begins with the model's BOS, if it has one. An SAE that was trained otherwise is
  refused, unless the build says `bos:` in its place.
- `context_size`: a build with longer prompts than the SAE was trained on is refused, unless it says `context:` in its
  place.

Its hook and its sizes are checked by `core.sources.dictionary`, and how it normalises its input is SAELens's to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from core.errors import BadConfig
from core.sources.folders import hook_of

if TYPE_CHECKING:
    from core.models.loading import LoadedModel

CENTRED = (
    "hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_in", "hook_out", "hook_attn_out", "hook_mlp_out",
    "attn.hook_out", "mlp.hook_out", "hook_attn_in", "hook_mlp_in",
)  # fmt: skip
"""Where centred writing weights show: the residual stream, and what is added to it."""
_NORMED = ("ln1.", "ln2.", "attn.hook_in", "mlp.hook_in", "attn.hook_attn_in", "_input")
_VALUES = ("attn.hook_v", "attn.hook_z", "attn.v.", "attn.o.hook_in")
_FACTORED = (*_VALUES, "attn.hook_q", "attn.hook_k", "attn.q.", "attn.k.")
_SHOWS = {"fold_ln": _NORMED, "fold_value_biases": _VALUES, "refactor_factored_attn_matrices": _FACTORED}
"""What changes activations, and where: at hooks whose names begin (or end) like this."""
_NOTHING = {
    "center_unembed", "device", "device_map", "dtype", "torch_dtype", "n_devices", "trust_remote_code", "token",
    "first_n_layers", "move_to_device", "default_padding_side", "default_prepend_bos", "low_cpu_mem_usage",
    "local_files_only", "cache_dir", "attn_implementation", "tokenizer", "hf_model", "verbose",
}  # fmt: skip
"""What changes no activation but by rounding."""


@dataclass(frozen=True, slots=True)
class Said:
    """What an SAE says; None for what it does not."""

    model_name: str | None = None
    prepend_bos: bool | None = None
    context: int | None = None
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def said(metadata: Any, raw: Mapping[str, Any] | None = None) -> Said:
    """What SAELens's `metadata` says; `raw` is the configuration file, without the defaults that SAELens adds."""
    bos = metadata.get("prepend_bos")
    if raw is not None:
        inner = raw.get("metadata")
        bos = raw.get("prepend_bos", inner.get("prepend_bos") if isinstance(inner, dict) else None)
    context, kwargs = metadata.get("context_size"), metadata.get("model_from_pretrained_kwargs")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise BadConfig(f"model_from_pretrained_kwargs is {kwargs!r}, and should be names with values.")
    return Said(
        model_name=metadata.get("model_name"), prepend_bos=bos if isinstance(bos, bool) else None,
        context=context if isinstance(context, int) and context > 0 else None, kwargs=kwargs or {},
    )  # fmt: skip


def translated(metadata: Any, name: str) -> str | None:
    """The hook that an SAE names; one trained on a Hugging Face model names the module whose output it reads."""
    hook = metadata.get(name)
    if not isinstance(hook, str) or not hook:
        return None
    if metadata.get("model_class_name") != "AutoModelForCausalLM" or hook.startswith("blocks."):
        return hook
    found = hook_of(hook)
    return hook if found is None else found[1]


def is_centred(it: Said, hook: str, model: LoadedModel) -> bool:
    """Whether the SAE was given x - mean(x) where the model here has x.

    Raises:
        BadConfig: it asks for a model that is not this one, or whose activations would be others.
    """
    place = hook.split(".", 2)[2]
    name = model.manifest.spec.id
    for key, value in it.kwargs.items():
        if key == "revision":
            own = model.manifest.spec.revision
            if value is not None and value != own and not (own is None and value == "main"):
                raise BadConfig(
                    f"its model_from_pretrained_kwargs ask for revision {value!r} of its model, and {name} is of "
                    f"revision {own!r}: write `revision: {value}` beside the model."
                )
        elif key in ("checkpoint_index", "checkpoint_value") and value is not None:
            raise BadConfig(
                f"its model_from_pretrained_kwargs ask for a checkpoint ({key}: {value}), and {name} is none."
            )
        elif key in _SHOWS:
            if value and any(place.startswith(one) or place.endswith(one) for one in _SHOWS[key]):
                raise BadConfig(
                    f"its model_from_pretrained_kwargs say {key}: {value}, which changes what passes at {hook}, and "
                    f"{name} is raw."
                )
        elif key != "center_writing_weights" and key not in _NOTHING:
            raise BadConfig(
                f"its model_from_pretrained_kwargs say {key}: {value!r}, and what that does to {hook} is not known "
                "here. If it does nothing, take it out of cfg.json."
            )
    if not it.kwargs.get("center_writing_weights"):
        return False
    return place in CENTRED and str(model.bridge.cfg.normalization_type) in ("LN", "LNPre")


def agree(it: Said, model: LoadedModel, tokens: int, *, bos: bool | None = None, context: int | None = None) -> None:
    """Whether a build of `tokens` a prompt gives an SAE what it says it was trained on; `bos`, `context` stand in.

    Raises:
        BadConfig: it does not; the message has both values, and what to write if they are meant.
    """
    name = model.manifest.spec.id
    bos = it.prepend_bos if bos is None else bos
    if bos is False and model.bos is not None:
        raise BadConfig(
            f"it says prepend_bos: false, and every prompt of {name} begins with BOS (token {model.bos}). If it may, "
            "write `bos: true` beside it."
        )
    if bos is True and model.bos is None:
        raise BadConfig(
            f"it says prepend_bos: true, and {name} has no BOS. If it needs none, write `bos: false` beside it."
        )
    context = it.context if context is None else context
    if context is not None and tokens > context:
        raise BadConfig(
            f"it says context_size: {context}, and context is {tokens} here. Build with `context: {context}`, or write "
            f"`context: {tokens}` beside it if it may read longer texts."
        )
