"""Every row of a transcoder graph adds up to the model's own value, in every family that can be frozen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sae_lens import SAE

from core.catalog.manifest import ModelSpec
from core.errors import NotAvailable
from core.models import loading
from core.models.plain import plain_of
from core.sources.codes import sparse
from core.sources.sae import Sae
from core.techniques.circuits.checking import checked_end
from core.techniques.graphs.exact import Exact, Logits, build
from core.techniques.graphs.frozen import _norm, freeze
from core.techniques.graphs.reading import level
from tests import tiny

TEXT = "It’s a fine day in Rome"
KINDS = {
    "gpt2": "jumprelu_transcoder", "llama": "transcoder", "gemma2": "jumprelu_skip_transcoder",
    "neox": "skip_transcoder",
}  # fmt: skip


def exact(tmp_path, family, kind, *, model=None):
    """(the graph of two random transcoders on a random model, the model's logits)."""
    if model is None:
        path = tiny.model(tmp_path / family, family, scale=3.0)
        model = loading.load(ModelSpec(id=family, path=str(path)), device="cpu", dtype="float32")
    ids = torch.tensor(model.ids(TEXT))
    levels, hooks = [], []
    for layer in range(2):
        folder = tiny.sae(
            tmp_path / f"{kind}{layer}", kind, hook=f"blocks.{layer}.mlp.hook_in",
            hook_out=f"blocks.{layer}.hook_mlp_out", seed=layer, bias=-0.5,
        )  # fmt: skip
        levels.append(Sae(SAE.load_from_disk(folder), "x"))
        hooks += [levels[-1].hook, levels[-1].hook_out]
    frozen = freeze(model, ids, hooks)
    made = [
        level(one, n, frozen.x[one.hook], frozen.x[one.hook_out],
              sparse(one.encode(frozen.x[one.hook]).numpy()), True)
        for n, one in enumerate(levels)
    ]  # fmt: skip
    end = checked_end(model)
    logits = end.raw(plain_of(model).runner(model, []).pass_(ids[None], {}, every=True)[0])[0, -1]
    chosen = logits.topk(3).indices.tolist()
    vectors, constants = end.beyond_mean(chosen)
    chances = tuple(logits.softmax(-1)[chosen].tolist())
    ends = Logits(tuple(chosen), chances, vectors, constants, logits[chosen] - logits.mean())
    return Exact(frozen, made, ends), chances


@pytest.mark.parametrize("family", KINDS)
def test_every_row_adds_up(tmp_path, family):
    graph, chances = exact(tmp_path, family, KINDS[family])
    arrays = build(graph, chances, 5000)
    assert arrays["rows"].shape == (graph.active + 3, graph.active + 3 * graph.pos) and graph.active > 50
    assert np.abs(arrays["sum"] - arrays["value"]).max() <= 1e-4 * arrays["size"].max()
    assert arrays["value"][: graph.active] == pytest.approx(arrays["activation"])
    layer, position = arrays["layer"], arrays["position"]
    assert (position > 0).all(), "BOS has no features"
    rows = arrays["rows"][: graph.active, : graph.active]
    assert not rows[layer[:, None] <= layer].any(), "nothing acts on its own layer or an earlier one"
    assert not rows[position[:, None] < position].any(), "nothing acts on an earlier token"


def test_fewer_features_are_the_most_influential_and_their_rows_the_same(tmp_path):
    graph, chances = exact(tmp_path, "gpt2", "jumprelu_transcoder")
    whole, some = build(graph, chances, 5000), build(graph, chances, 20)
    assert len(some["index"]) == 20 and some["active"] == graph.active
    names = list(zip(*(whole[name].tolist() for name in ("layer", "position", "index")), strict=True))
    kept = [
        names.index(one) for one in zip(*(some[name].tolist() for name in ("layer", "position", "index")), strict=True)
    ]
    columns = [*kept, *range(graph.active, graph.active + 3 * graph.pos)]
    assert some["rows"][:20] == pytest.approx(whole["rows"][kept][:, columns], rel=1e-4, abs=1e-4)
    assert some["value"] == pytest.approx(np.concatenate([whole["value"][kept], whole["value"][-3:]]))
    direct = np.abs(whole["rows"][-3:, : graph.active]).sum(0)
    assert direct[kept].sum() > 0.2 * direct.sum()


def test_an_edge_is_what_a_change_of_a_feature_does_with_all_else_frozen(tmp_path):
    """By brute force: the source's activation doubled, patterns and scales kept, through a frozen model of our own."""
    graph, chances = exact(tmp_path, "gpt2", "jumprelu_transcoder")
    arrays = build(graph, chances, 5000)
    frozen, low, high = graph._frozen, *graph.levels
    block = frozen.blocks[1]
    target = int(np.flatnonzero(arrays["layer"] == 1)[-1])
    edges = arrays["rows"][target]
    place, index = int(arrays["position"][target]), int(arrays["index"][target])
    for source in np.flatnonzero((arrays["layer"] == 0) & (arrays["position"] <= place))[-5:].tolist():
        row = low.rows[source]
        moved = torch.zeros_like(block.read)
        moved[arrays["position"][source]] = row
        norm = block.heads.norm
        read = (moved - moved.mean(-1, keepdim=True)) * norm.gamma * norm.scale[:, None]
        values = (read @ block.heads.W_V).reshape(graph.pos, len(block.heads.pattern), -1)
        mixed = torch.einsum("hts,shk->thk", block.heads.pattern, values).flatten(1) @ block.heads.W_O
        after = moved + mixed
        into = (after - after.mean(-1, keepdim=True)) * block.norm.gamma * block.norm.scale[:, None]
        change = float(into[place] @ high.source.sae.W_enc[:, index].detach())
        assert edges[source] == pytest.approx(change, rel=1e-4, abs=1e-4)


def test_a_transcoder_of_something_else_is_refused(tmp_path):
    graph, _ = exact(tmp_path, "gpt2", "transcoder")
    frozen, levels = graph._frozen, graph.levels
    with pytest.raises(NotAvailable, match="not where the MLP adds"):
        Exact(frozen, levels[::-1], graph._logits)


def test_a_norm_without_weights_is_frozen_too(tmp_path):
    """As OLMo has it."""
    path = tiny.model(tmp_path / "gpt2", "gpt2")
    model = loading.load(ModelSpec(id="gpt2", path=str(path)), device="cpu", dtype="float32")
    norm = torch.nn.LayerNorm(8, elementwise_affine=False)
    x = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    made = _norm(model, norm, {"ln.hook_in": x, "ln.hook_out": norm(x)}, "ln")
    assert made.centred and made.scale * made.gamma[0] == pytest.approx(1 / x.std(1, correction=0), rel=1e-3)
