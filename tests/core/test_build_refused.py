"""What a build refuses once the texts are read or the model is at work, with a message and no source."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from core.build import run
from core.errors import BadConfig, NotAvailable
from core.settings import Settings
from core.workbench import Workbench
from tests import tiny


def build(folder: Path, source: dict[str, object], *, whole: bool = False) -> None:
    config = {
        "model": {"id": "tiny", "path": "model"}, "sources": [{"id": "1-x"} | source],
        "dataset": {"path": "texts.txt"}, "context": 16,
    }  # fmt: skip
    (folder / "texts.txt").write_text(tiny.SEPARATOR.join(tiny.LINES), encoding="utf-8")
    (folder / "build.yaml").write_text(yaml.safe_dump(config))
    bench = Workbench(Settings(data=folder / "data", demo=None))
    try:
        bench.build(folder / "build.yaml")
    finally:
        assert bool(bench.sources()) == whole


@pytest.mark.parametrize("kind", ["sae", "directions"])
def test_values_that_overflow(tmp_path, kind):
    """Weights can be finite and what comes of them not."""
    from sae_lens import SAE
    from safetensors.torch import save_file

    tiny.model(tmp_path / "model", scale=8.0)
    sae = SAE.load_from_disk(tiny.sae(tmp_path / "sae"))
    sae.W_enc.data[:, 0] = 3e38
    sae.save_model(tmp_path / "sae")
    save_file({"rows": torch.full((2, 32), 3e38)}, tmp_path / "dirs.safetensors")
    where = {"path": "dirs.safetensors", "hook": "blocks.1.hook_resid_pre"} if kind == "directions" else {"path": "sae"}
    with pytest.raises(BadConfig, match="1-x: its values on these texts are not finite"):
        build(tmp_path, {kind: where})


def test_a_tokenizer_with_more_tokens_than_the_model_has_embeddings(tmp_path):
    tiny.model(tmp_path / "model", spare=-60)
    tiny.sae(tmp_path / "sae")
    with pytest.raises(BadConfig, match="has embeddings for 340 only"):
        build(tmp_path, {"sae": {"path": "sae"}})


def test_a_disk_that_is_full_when_the_model_is_written(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device", "vocabulary.arrow")

    tiny.model(tmp_path / "model", scale=8.0)
    tiny.sae(tmp_path / "sae")
    with monkeypatch.context() as patch:
        patch.setattr(run, "write_model", full)
        with pytest.raises(NotAvailable, match=r"vocabulary.arrow: No space left on device.*goes on from here"):
            build(tmp_path, {"sae": {"path": "sae"}}, whole=False)
    build(tmp_path, {"sae": {"path": "sae"}}, whole=True)
