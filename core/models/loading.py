"""Loads a language model as TransformerLens's bridge, and says what it is.

Raw weights: nothing folded, nothing centred, so that activations are the model's own and SAELens's SAEs see what they
were given by the same bridge. A local Hugging Face folder, a hub repository and a TransformerLens name go the same way.
Cost: the weights in memory once, and seconds of importing torch and transformers.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from core import hub
from core.catalog.manifest import ModelManifest, ModelSpec
from core.errors import BadConfig, BadInput, NotAvailable
from core.models.memory import keep_freed_memory
from core.models.randomised import randomised
from core.models.vocabulary import Vocabulary, pieces_of
from core.records import ModelRecord

LOADING = threading.Lock()
"""Held while weights are read: Hugging Face changes torch's own functions meanwhile, for every thread."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True, weakref_slot=True)
class LoadedModel:
    """A model in memory."""

    bridge: Any
    """`transformer_lens.model_bridge.TransformerBridge`; it has no stubs."""
    tokenizer: Any
    manifest: ModelManifest
    vocabulary: Vocabulary
    dtype: str
    sha256: str
    """Of the weights; see `fingerprint`."""
    settings_sha256: str
    """Of whatever else its numbers depend on; see `settings_fingerprint`."""
    beside: list[Any] = field(default_factory=list, repr=False, compare=False)
    """What `core.models.plain` made of it."""
    _reading: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)
    """Held while a text is tokenized: Hugging Face's tokenizers change their settings during a call."""

    @property
    def bos(self) -> int | None:
        """The token that every prompt begins with."""
        return self.manifest.bos

    @property
    def context(self) -> int:
        """Most tokens of one text, BOS included."""
        return self.manifest.record.context

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        device: torch.device = next(self.bridge.parameters()).device
        return device

    def ids(self, text: str) -> list[int]:
        """BOS, if the model has one, and the tokens of `text`. Safe to call from several threads.

        Special tokens written out in the text stay text where the tokenizer allows.

        Raises:
            BadInput: the text has a token for which the model has no embedding.
        """
        with self._reading:
            body = list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])
        if body and max(body) >= self.manifest.record.d_vocab:
            name = self.tokenizer.convert_ids_to_tokens(max(body))
            raise BadInput(f"{self.manifest.record.model_id} has no embedding for the token {name!r} of the text.")
        return ([] if self.bos is None else [self.bos]) + body

    def chat(self, turns: list[dict[str, str]]) -> list[int]:
        """The tokens of a chat by the tokenizer's template, up to where the assistant begins. Safe for several threads.

        Special tokens written out in a message become special tokens, as the template's own do: they are one text.
        """
        with self._reading:
            found = self.tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_dict=True)
        return [int(i) for i in found["input_ids"]]

    @property
    def bytes(self) -> int:
        """Memory of the weights."""
        return sum(p.numel() * p.element_size() for p in self.bridge.parameters())


def _fuse_gelu(bridge: Any) -> None:
    """GPT-2's own GELU makes eight tensors one after another; PyTorch has the same function (tanh form) as one loop."""
    from transformers.activations import NewGELUActivation

    for module in list(bridge.modules()):
        for name, child in list(module.named_children()):
            if type(child) is NewGELUActivation:
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def lay_out(model: LoadedModel) -> None:
    """Lays the weights of GPT-2's `Conv1D` out as `nn.Linear` has them, in place: same shapes, same numbers.

    A product with two rows, which is a step of steering, then reads them once: 17 ms instead of 23 for GPT-2 small on
    two cores; with 16 rows it makes no difference. Other architectures have `nn.Linear` to begin with.
    """
    from transformers.pytorch_utils import Conv1D

    for module in model.bridge.original_model.modules():
        if isinstance(module, Conv1D) and module.weight.is_contiguous():
            module.weight.data = module.weight.data.t().contiguous().t()


def load(
    spec: ModelSpec, *, device: str = "cpu", dtype: str = "float32", name: str | None = None, description: str = ""
) -> LoadedModel:
    """Loads the model that `spec` names.

    Raises:
        NotAvailable: the folder that a manifest names is gone.
        NotAvailable, Busy: the hub does not give it to this server, or does not answer (core.hub).
        BadConfig: it cannot be loaded: no such folder or name, an architecture that the bridge does not know, or one
            that does not predict the next token from those before it.
    """
    with LOADING:
        return _load(spec, device, dtype, name, description)


def _load(spec: ModelSpec, device: str, dtype: str, name: str | None, description: str) -> LoadedModel:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoTokenizer
    from transformers.utils import logging

    keep_freed_memory()
    logging.disable_progress_bar()  # it would write over the build's own

    place = spec.path or spec.hub or spec.transformer_lens
    assert place is not None
    if spec.path and not (Path(spec.path) / "config.json").is_file():
        raise NotAvailable(f"The weights of {spec.id} are not at {spec.path} any more (no config.json there).")
    revision = None if spec.path else spec.commit or spec.revision
    try:
        bridge = TransformerBridge.boot_transformers(
            place, device=device, dtype=DTYPES[dtype], revision=revision,
            hf_model=_drawn_again(spec, place, revision, dtype),
        )  # fmt: skip
        name_there = bridge.original_model.config._name_or_path or place
        if not spec.path:
            revision = hub.fetched(name_there, "config.json", revision) or revision
            spec = replace(spec, commit=revision if revision and hub.COMMIT.fullmatch(revision) else None)
        tokenizer = AutoTokenizer.from_pretrained(name_there, revision=revision or spec.revision)
    except Exception as error:  # they raise many kinds; all mean that this is no model they can run
        said = None if spec.path else hub.translated(error, place, spec.revision)
        if said is not None:
            raise type(said)(f"The model {spec.id} ({spec.origin}) cannot be loaded: {said}.") from error
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise BadConfig(f"The model {spec.id} ({spec.origin}) cannot be loaded: {first}") from error
    _fuse_gelu(bridge)
    if not hasattr(bridge, "blocks") or not bridge.adapter.supports_generation:
        raise BadConfig(
            f"The model {spec.id} ({spec.origin}) cannot be loaded: {type(bridge.original_model).__name__} is no "
            "language model that predicts each token from those before it."
        )
    # Hugging Face makes an empty tokenizer where there is none.
    if not tokenizer("text", add_special_tokens=False)["input_ids"]:
        raise BadConfig(f"The model {spec.id} ({spec.origin}) cannot be loaded: it has no tokenizer.")
    bridge.eval().requires_grad_(False)
    record = _record(spec, bridge, name, description)
    special = {int(i) for i in tokenizer.all_special_ids}
    bos = tokenizer.bos_token_id
    if bos is not None and bos >= record.d_vocab:
        raise BadConfig(
            f"The model {spec.id} ({spec.origin}) cannot be loaded: its tokenizer's BOS is token {bos}, and it has "
            f"embeddings for {record.d_vocab}."
        )
    vocabulary = Vocabulary(pieces_of(tokenizer, record.d_vocab), special)
    manifest = ModelManifest(record=record, spec=spec, bos=bos, special=tuple(sorted(special)))
    settings = settings_fingerprint(bridge, manifest, vocabulary)
    return LoadedModel(bridge, tokenizer, manifest, vocabulary, dtype, fingerprint(spec, bridge), settings)


def _drawn_again(spec: ModelSpec, place: str, revision: str | None, dtype: str) -> Any:
    """The Hugging Face model with its weights randomised; None for a model as it is."""
    from transformer_lens.loading_from_pretrained import get_official_model_name
    from transformers import AutoModelForCausalLM

    if not spec.randomised:
        return None
    name = get_official_model_name(place) if spec.transformer_lens else place
    plain = AutoModelForCausalLM.from_pretrained(
        name, revision=revision, dtype=torch.float32, attn_implementation="eager"
    )
    plain.config.output_attentions = True  # as the bridge has it, and with that eager
    return randomised(plain, spec.randomised == "kept", spec.seed).to(DTYPES[dtype])


_SAID = {"random": ", all weights drawn again", "kept": ", weights drawn again but for the embeddings"}


def _record(spec: ModelSpec, bridge: Any, name: str | None, description: str) -> ModelRecord:
    cfg = bridge.cfg
    return ModelRecord(
        model_id=spec.id,
        name=name or spec.id,
        architecture=str(cfg.architecture or bridge.original_model.__class__.__name__),
        layers=int(cfg.n_layers),
        d_model=int(cfg.d_model),
        d_mlp=_d_mlp(bridge),
        heads=int(cfg.n_heads),
        d_vocab=int(cfg.d_vocab),
        context=int(cfg.n_ctx),
        parameters=_parameters(bridge.original_model.config),
        origin=(Path(spec.path).name if spec.path else spec.origin) + _SAID.get(spec.randomised or "", ""),
        description=description,
    )


def _d_mlp(bridge: Any) -> int:
    """Neurons of the first layer's MLP: the matrix's own shape, since configurations name it in many ways."""
    rows = getattr(getattr(bridge.blocks[0], "mlp", None), "W_out", None)
    return int(rows.shape[0]) if isinstance(rows, torch.Tensor) and rows.ndim == 2 else int(bridge.cfg.d_mlp or 0)


def _parameters(config: Any) -> int:
    """Weights of the model as published: the bridge's own copies of split matrices are not counted twice."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        return sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())


def fingerprint(spec: ModelSpec, bridge: Any) -> str:
    """SHA-256 of the weights: of the files of a local folder, else of the parameters in memory."""
    digest = hashlib.sha256()
    if spec.path and (files := sorted(Path(spec.path).glob("*.safetensors"))):
        for path in files:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        if spec.randomised:
            digest.update(f"{spec.randomised} {spec.seed}".encode())
        return digest.hexdigest()
    for key, value in sorted(bridge.original_model.state_dict().items()):
        digest.update(key.encode() + value.contiguous().float().cpu().numpy().tobytes())
    return digest.hexdigest()


def settings_fingerprint(bridge: Any, manifest: ModelManifest, vocabulary: Vocabulary) -> str:
    """SHA-256 of what a model's numbers depend on besides its weights: its configuration, its tokens, which count."""
    settings = bridge.original_model.config.to_diff_dict()
    for name in ("_name_or_path", "transformers_version", "dtype", "torch_dtype"):  # where it lies, who wrote it
        settings.pop(name, None)
    known = (settings, manifest.bos, manifest.special)
    digest = hashlib.sha256(json.dumps(known, sort_keys=True, default=str).encode())
    for piece in vocabulary.pieces:
        digest.update(len(piece).to_bytes(4, "little") + piece)
    return digest.hexdigest()


def use_threads(count: int) -> None:
    """Sets torch's threads; 0 leaves its own choice."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    if count:
        torch.set_num_threads(count)
