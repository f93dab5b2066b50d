"""What the online test runs, rehearsed without a network: the same loaders on a loopback hub with random weights.

The names are the real ones (`gpt2`, the release's repository and folders), so that TransformerLens's and SAELens's own
tables are used; the model is small, and its tokenizer is a test's.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest
import torch

from core.build.config import read_config
from core.catalog.manifest import ModelSpec, WeightsSpec
from tests import tiny
from tests.hub import Hub
from tests.live import ROOT, python
from tests.online.conformance import Peer

REPOSITORY = "jbloom/GPT2-Small-SAEs-Reformatted"
HOOK = "blocks.8.hook_resid_pre"


def test_the_configuration_is_what_the_reference_was_made_with():
    config = read_config(ROOT / "configs" / "gpt2-small-res-jb.yaml")
    assert (config.model.id, config.model_spec().transformer_lens) == ("gpt2-small", "gpt2")
    (source,) = config.sources
    assert (source.id, config.weights_spec(source).release) == ("8-res-jb", "gpt2-small-res-jb")
    assert (config.prompts, config.context, config.dataset.hub) == (24576, 128, "Skylion007/openwebtext")


def test_the_registries_know_the_names():
    from sae_lens.loading.pretrained_saes_directory import get_pretrained_saes_directory
    from transformer_lens.supported_models import OFFICIAL_MODEL_NAMES

    release = get_pretrained_saes_directory()["gpt2-small-res-jb"]
    assert release.repo_id == REPOSITORY
    assert all(release.saes_map[f"blocks.{n}.hook_resid_pre"] for n in (7, 8, 10))
    assert "gpt2" in OFFICIAL_MODEL_NAMES


@pytest.fixture
def hub(tmp_path) -> Iterator[Hub]:
    """A hub with a small `gpt2` of nine layers, so that there is a block 8, and one folder of the release."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model = tiny.model(tmp_path / "gpt2")
    GPT2LMHeadModel(GPT2Config(vocab_size=400, n_positions=64, n_embd=32, n_layer=9, n_head=2)).save_pretrained(model)
    tiny.sae(tmp_path / "release" / HOOK, hook=HOOK, bias=0.0)
    with Hub({"gpt2": model, REPOSITORY: tmp_path / "release"}) as hub:
        yield hub


def test_the_configuration_builds_from_a_hub(hub, tiny_config, tmp_path):
    """The file as it stands, but for the texts, which are a test's, and their number and length."""
    code = f"""
    from pathlib import Path
    from core.build.config import DatasetConfig, read_config
    from core.build.run import build
    from core.settings import Settings
    from core.workbench import Workbench
    config = read_config(Path("configs/gpt2-small-res-jb.yaml"))
    texts = DatasetConfig(path={str(tiny_config.parent / "texts.txt")!r})
    config = config.model_copy(update={{"dataset": texts, "prompts": 40, "context": 32}})
    (record,) = build(config, Path({str(tmp_path / "data")!r})).sources
    assert (str(record.key), record.hook, record.width) == ("gpt2-small/8-res-jb", {HOOK!r}, 64)
    bench = Workbench(Settings(data=Path({str(tmp_path / "data")!r}), demo=None))
    assert all(report.ok for report in bench.check()), bench.check()
    key = bench.random_feature(record.key)
    assert bench.feature(key).groups and bench.test(key, "Paris")[0].tokens[0].special
    """
    python(textwrap.dedent(code), **hub.environment(tmp_path / "home"))
    asked = " ".join(hub.asked)
    assert "gpt2/resolve/" in asked and f"{REPOSITORY}/resolve/" in asked


def test_the_decoder_norm_is_what_folding_does(tmp_path):
    """Our values times the norms of the decoder rows are those of an SAE whose norms were folded, as the peer does."""
    from sae_lens import SAE
    from transformers import AutoModelForCausalLM

    folder = tiny.model(tmp_path / "model", scale=8.0)
    tiny.sae(tmp_path / "sae")
    peer = Peer(ModelSpec(id="tiny", path=str(folder)), WeightsSpec(kind="sae", path=str(tmp_path / "sae")))
    text = "The capital of France is Paris."
    raw = AutoModelForCausalLM.from_pretrained(folder).eval()
    with torch.no_grad():
        hidden = raw(torch.tensor([peer.model.ids(text)]), output_hidden_states=True).hidden_states[1][0]
        folded = SAE.load_from_disk(tmp_path / "sae")
        folded.fold_W_dec_norm()
        expected = folded.encode(hidden)
    found = peer.values(text)
    assert peer.model.ids(text)[0] == 0 and found.shape == expected.shape and found.count_nonzero() > 20
    assert torch.allclose(found, expected, atol=1e-4, rtol=1e-4)
    feature, value = peer.top(text, 2, 1)[0]
    assert value == pytest.approx(float(expected[2].max()), rel=1e-4) and feature == int(expected[2].argmax())
    assert peer.cosines(peer.source.W_dec[5], 1)[0] == (5, pytest.approx(1.0))
