"""A circuit that is known is found: a head copies the marked word, a neuron turns it into the next token's logit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sae_lens import SAE
from transformers import AutoModelForCausalLM

from core.catalog.manifest import ModelSpec
from core.models import loading
from core.models.plain import plain_of
from core.sources.codes import sparse
from core.sources.sae import Sae
from core.techniques.circuits.checking import checked_end
from core.techniques.graphs.exact import Exact, Logits, build
from core.techniques.graphs.frozen import freeze
from core.techniques.graphs.influence import Sizes, prune, scores
from core.techniques.graphs.reading import level
from core.techniques.graphs.shaping import whole
from tests import tiny
from tests.core.techniques.circuits import planted

TEXT = " is of the capital of is the"
READS, WRITES = 8, 12
"""Where the head writes words, and where the unembedding reads them: the neurons move one to the other."""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """(arrays, tokens, the word's place, the word's id) of the graph of the planted model and transcoder."""
    folder = tmp_path_factory.mktemp("planted")
    planted.write(folder)
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    block = model.transformer.h[0]
    with torch.no_grad():
        model.lm_head.weight[:, WRITES : WRITES + 4] = model.lm_head.weight[:, READS : READS + 4]
        model.lm_head.weight[:, READS : READS + 4] = 0
        for n in range(4):  # a neuron a word
            block.mlp.c_fc.weight[READS + n, n] = 4.0
            block.mlp.c_proj.weight[n, WRITES + n] = 3.0
        for n in range(4, 12):  # and some that fire on whatever stands there, and write where nothing reads
            block.mlp.c_fc.weight[16 + n, n] = 4.0
            block.mlp.c_proj.weight[n, 28] = 1.0
        model.save_pretrained(folder / "model")
    path = tiny.sae(
        folder / "transcoder", "transcoder", width=12, hook="blocks.0.mlp.hook_in", hook_out="blocks.0.hook_mlp_out"
    )
    sae = SAE.load_from_disk(path)
    with torch.no_grad():
        sae.W_enc.copy_(block.mlp.c_fc.weight[:, :12])
        sae.W_dec.copy_(block.mlp.c_proj.weight[:12])
        for bias in (sae.b_enc, sae.b_dec):
            bias.zero_()
    loaded = loading.load(ModelSpec(id="planted", path=str(folder / "model")), device="cpu", dtype="float32")
    ids = torch.tensor(loaded.ids(TEXT))
    source = Sae(sae, "x")
    frozen = freeze(loaded, ids, [source.hook, source.hook_out])
    codes = sparse(source.encode(frozen.x[source.hook]).numpy())
    one = level(source, 0, frozen.x[source.hook], frozen.x[source.hook_out], codes, True)
    logits = plain_of(loaded).runner(loaded, []).pass_(ids[None], {})[0][0, -1]
    word = loaded.ids(planted.MARKED)[-1]
    vectors, constants = checked_end(loaded).beyond_mean([word])
    chance = float(logits.softmax(-1)[word])
    ends = Logits((word,), (chance,), vectors, constants, logits[[word]] - logits.mean())
    arrays = build(Exact(frozen, [one], ends), [chance], 100)
    return arrays, ids.tolist(), ids.tolist().index(word), word, int(logits.argmax())


def test_the_model_says_the_marked_word(found):
    assert found[4] == found[3]


def test_the_circuit_is_found(found):
    """From the word's token by the head to its feature at the end, and from there to its logit; no other way."""
    arrays, ids, place, _, _ = found
    last = len(ids) - 1
    (mine,) = np.flatnonzero((arrays["index"] == 0) & (arrays["position"] == last))
    features = len(arrays["index"])
    to_logit, to_feature = arrays["rows"][-1], arrays["rows"][mine]
    assert int(np.abs(to_logit[:features]).argmax()) == mine
    assert to_logit[mine] > 0.8 * np.abs(to_logit).sum()
    tokens = slice(features + len(ids), None)
    assert int(np.abs(to_feature[tokens]).argmax()) == place
    assert to_feature[tokens][place] > 0.8 * np.abs(to_feature).sum()
    assert np.abs(arrays["sum"] - arrays["value"]).max() < 1e-3


def test_pruning_leaves_it_alone(found):
    arrays, ids, place, _, _ = found
    sizes = Sizes(len(arrays["index"]), len(ids), len(ids), 1)
    matrix = whole(arrays, sizes)
    kept = prune(matrix, sizes, np.ones(1))
    left = np.flatnonzero(kept.nodes[: sizes.features])
    assert [(int(arrays["index"][n]), int(arrays["position"][n])) for n in left] == [(0, len(ids) - 1)]
    assert sizes.features > 10, "while others were active"
    assert kept.edges[left[0], sizes.inner + place] and kept.edges[-1, left[0]]
    assert min(scores(matrix, sizes, np.ones(1))) > 0.8
