"""SAEDashboard on some features of the shape “res-jb”, run by an interpreter of its own environment.

    PYTHON saedashboard.py FOLDER IDS FEATURES

IDS is an npy file of `[prompts, context]` token ids. Prints one JSON object: seconds of the run itself, loading left
out. Knows nothing of this project. SAEDashboard 0.8.0, called as its own runner calls it, with its default batch of 256
features.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from sae_dashboard.sae_vis_data import SaeVisConfig
from sae_dashboard.sae_vis_runner import SaeVisRunner
from sae_lens import SAE
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import convert_gpt2_weights
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast


def model_of(folder: Path) -> HookedTransformer:
    """GPT-2 small's shape with the folder's weights, nothing folded."""
    config = HookedTransformerConfig(
        n_layers=12, d_model=768, n_ctx=1024, d_head=64, n_heads=12, d_mlp=3072, d_vocab=50257, act_fn="gelu_new",
        normalization_type="LN", original_architecture="GPT2LMHeadModel", eps=1e-5,
    )  # fmt: skip
    model = HookedTransformer(config, tokenizer=PreTrainedTokenizerFast.from_pretrained(folder))
    state = convert_gpt2_weights(GPT2LMHeadModel.from_pretrained(folder), config)
    model.load_and_process_state_dict(
        state, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
    )
    return model


def main() -> None:
    """The command."""
    folder, ids, count = Path(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3])
    model = model_of(folder / "model")
    sae = SAE.load_from_disk(folder / "sae", device="cpu")
    config = SaeVisConfig(hook_point=sae.cfg.metadata.hook_name, features=list(range(count)))
    began = time.perf_counter()
    data = SaeVisRunner(config).run(encoder=sae, model=model, tokens=torch.from_numpy(ids.astype(np.int64)))
    seconds = time.perf_counter() - began
    assert len(data.feature_data_dict) == count
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
