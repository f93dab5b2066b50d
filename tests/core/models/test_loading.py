"""How a served model's weights lie in memory: other strides, the same model."""

from __future__ import annotations

import pytest
import torch
from transformers import AutoModelForCausalLM

from core.catalog.manifest import ModelSpec
from core.models import loading
from core.models.randomised import randomised
from tests import tiny


def test_laid_out_anew_it_is_the_same_model(tmp_path):
    spec = ModelSpec(id="tiny", path=str(tiny.model(tmp_path / "gpt2", "gpt2", scale=4.0)))
    model = loading.load(spec)
    ids, weights = torch.tensor([[0, 5, 9, 17], [3, 40, 41, 2]]), dict(model.bridge.named_parameters())
    before = {name: weight.clone() for name, weight in weights.items()}
    logits, known = model.bridge(ids), loading.fingerprint(spec, model.bridge)
    loading.lay_out(model)
    turned = [name for name, weight in weights.items() if weight.stride() != before[name].stride()]
    assert turned, "GPT-2 has Conv1D"
    assert all(torch.equal(weights[name], before[name]) for name in weights)
    assert loading.fingerprint(spec, model.bridge) == known
    torch.testing.assert_close(model.bridge(ids), logits)
    loading.lay_out(model)  # and once more changes nothing
    assert [name for name, weight in weights.items() if weight.stride() != before[name].stride()] == turned


@pytest.mark.parametrize("kind", ["random", "kept"])
def test_a_control_is_the_model_with_its_weights_drawn_again(tmp_path, kind):
    place = tiny.model(tmp_path / "gpt2", "gpt2", scale=4.0)
    plain, other = ModelSpec(id="tiny", path=str(place)), ModelSpec(id="tiny", path=str(place), randomised=kind, seed=3)
    model, control = loading.load(plain), loading.load(other)
    ids = torch.tensor([[0, 5, 9, 17]])
    expected = randomised(AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32).eval(), kind == "kept", 3)
    torch.testing.assert_close(control.bridge(ids), expected(ids).logits)
    assert control.settings_sha256 == model.settings_sha256
    again = ModelSpec(id="tiny", path=str(place), randomised=kind, seed=4)
    assert len({model.sha256, control.sha256, loading.fingerprint(again, control.bridge)}) == 3
    assert str(place.parent) not in control.manifest.record.origin and "drawn again" in control.manifest.record.origin
