"""A tiny model with sources at its hooks: ours, and by Hugging Face and SAELens alone."""

from __future__ import annotations

from functools import cached_property

from core.catalog.manifest import ModelSpec, WeightsSpec
from core.models import loading
from core.sources import dictionary
from core.techniques.steering import Part
from tests import tiny
from tests.core.techniques.by_hand import Hand, Pushed


class Case:
    """A model that ends no text, the same by hand, and sources of both."""

    def __init__(self, folder, family="gpt2", **options):
        self.folder = folder
        tiny.model(folder / "model", family, scale=6.0, **options)
        self.model = loading.load(ModelSpec(id="tiny", path=str(folder / "model")))
        self.model.bridge.original_model.generation_config.eos_token_id = [99_999]  # texts end where a test says so
        self._made = {}

    @cached_property
    def hand(self):
        """Hugging Face's own; of three families."""
        return Hand(self.folder / "model")

    def sae(self, hook, kind="standard", seed=1, **options):
        """(ours, SAELens's) at a hook; features that are active on some tokens and not on others."""
        from sae_lens import SAE

        name = f"{hook}-{kind}-{seed}-{options}"
        if name not in self._made:
            options = {"bias": 0.0} | options
            if kind == "topk":
                options = {"k": 20} | options
            place = tiny.sae(self.folder / f"s{len(self._made)}", kind, hook=hook, seed=seed, **options)
            ours = dictionary.load(WeightsSpec(kind="sae", path=str(place)), self.model)
            theirs = SAE.load_from_disk(place, dtype="float32").eval()
            theirs.turn_off_forward_pass_hook_z_reshaping()
            self._made[name] = ours, theirs
        return self._made[name]

    def parts(self, *asked):
        """(our parts, theirs) of (ours, SAELens's, index, strength)."""
        ours = [Part(source, index, strength) for source, _, index, strength in asked]
        theirs = [
            Pushed(source.hook, source.hook_out, source.W_dec[index].clone(), index, strength, sae=sae,
                   neuron=source.kind == "neurons")
            for source, sae, index, strength in asked
        ]  # fmt: skip
        return ours, theirs
