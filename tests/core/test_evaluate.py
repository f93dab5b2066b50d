"""The figures of `core.evaluate.reconstruction` against SAELens's own evaluation and against a naive recomputation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from sae_lens import SAE, JumpReLUSAE, JumpReLUSAEConfig, StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
from sae_lens.evals import get_downstream_reconstruction_metrics, get_sparsity_and_variance_metrics
from sae_lens.saes.sae import SAEMetadata
from sae_lens.training.activation_scaler import ActivationScaler
from transformer_lens import HookedTransformer, HookedTransformerConfig

import core.evaluate.reconstruction
from core.catalog.manifest import ModelSpec, WeightsSpec
from core.errors import BadInput, NotAvailable, NotFound
from core.evaluate.reconstruction import reconstruction
from core.models import loading
from core.models.capture import pad
from core.settings import Settings
from core.sources import dictionary
from core.sources.dictionary import Directions, Sae
from core.workbench import Workbench
from tests import tiny

HOOK = "blocks.1.hook_resid_pre"
BOS = 0


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    torch.manual_seed(0)
    config = HookedTransformerConfig(
        n_layers=2, d_model=24, n_ctx=16, n_heads=2, d_head=12, d_vocab=50, act_fn="gelu_new", normalization_type="LN",
        seed=1,
    )  # fmt: skip
    return HookedTransformer(config).eval()


def autoencoder(kind: str) -> SAE:
    torch.manual_seed(1)
    common = {"d_in": 24, "d_sae": 96, "metadata": SAEMetadata(hook_name=HOOK, hook_head_index=None)}
    if kind == "topk":
        sae: SAE = TopKSAE(TopKSAEConfig(k=5, **common))
    elif kind == "jumprelu":
        sae = JumpReLUSAE(JumpReLUSAEConfig(**common))
        sae.threshold.data += 0.02
    else:
        sae = StandardSAE(StandardSAEConfig(**common))
        sae.b_enc.data -= 0.02
    sae.b_dec.data += 0.01 * torch.randn(24)
    return sae.eval().requires_grad_(False)


def tokens(rows: int = 12, length: int = 16) -> torch.Tensor:
    ids = torch.randint(1, 50, (rows, length), generator=torch.Generator().manual_seed(2))
    ids[:, 0] = BOS
    ids[3, length // 2] = BOS  # a special token inside a text is left out too
    return ids


def saelens(model: HookedTransformer, sae: SAE, ids: torch.Tensor, ignore: list[int] | None) -> dict[str, float]:
    """SAELens's evaluation of one batch."""
    store = SimpleNamespace(get_batch_tokens=lambda _: ids, context_size=ids.shape[1])
    loss = get_downstream_reconstruction_metrics(
        sae, model, store, ActivationScaler(), compute_kl=False, compute_ce_loss=True, n_batches=1,
        eval_batch_size_prompts=len(ids), ignore_tokens=ignore,
    )  # fmt: skip
    rest, features = get_sparsity_and_variance_metrics(
        sae, model, store, ActivationScaler(), n_batches=1, compute_l2_norms=False, compute_sparsity_metrics=True,
        compute_variance_metrics=True, compute_featurewise_density_statistics=True, eval_batch_size_prompts=len(ids),
        model_kwargs={}, ignore_tokens=ignore,
    )  # fmt: skip
    return loss | rest | {"dead": sum(d == 0 for d in features["feature_density"]) / sae.cfg.d_sae}


@pytest.mark.parametrize("kind", ["standard", "jumprelu", "topk"])
def test_same_as_saelens(model: HookedTransformer, kind: str) -> None:
    sae, ids = autoencoder(kind), tokens()
    lengths = torch.full((len(ids),), ids.shape[1])
    plain, whole = reconstruction(model, Sae(sae, ""), ids, lengths, special={BOS}, dataset="random")
    for ours, ignore in ((plain, [BOS]), (whole, None)):
        theirs = saelens(model, sae, ids, ignore)
        assert ours.l0 == pytest.approx(theirs["l0"], rel=1e-6)
        assert ours.explained_variance == pytest.approx(theirs["explained_variance"], abs=1e-5)
        assert ours.ce_loss == pytest.approx(theirs["ce_loss_without_sae"], rel=1e-5)
        assert ours.ce_loss_spliced == pytest.approx(theirs["ce_loss_with_sae"], rel=1e-5)
        assert ours.ce_loss_zero == pytest.approx(theirs["ce_loss_with_ablation"], rel=1e-5)
        assert ours.ce_loss_score == pytest.approx(theirs["ce_loss_score"], rel=1e-3)
        assert ours.dead_fraction == pytest.approx(theirs["dead"])
    assert plain.tokens == 12 * 15 - 1
    assert whole.tokens == 12 * 16


def test_padding_and_batches_change_nothing(model: HookedTransformer, monkeypatch: pytest.MonkeyPatch) -> None:
    sae, ids = autoencoder("standard"), tokens()
    lengths = torch.tensor([16, 3, 9, 16, 2, 16, 5, 16, 16, 7, 16, 1])
    padded = torch.where(torch.arange(16) < lengths[:, None], ids, 49)
    together, _ = reconstruction(model, Sae(sae, ""), padded, lengths, special={BOS}, dataset="")
    monkeypatch.setattr("core.evaluate.reconstruction._LOGITS", 1)
    alone, _ = reconstruction(model, Sae(sae, ""), padded, lengths, special={BOS}, dataset="")
    assert together.tokens == alone.tokens == int((lengths - 1).sum()) - 1
    names = ["l0", "explained_variance", "dead_fraction", "ce_loss", "ce_loss_spliced", "ce_loss_zero", "ce_loss_score"]
    for name in names:
        assert getattr(together, name) == pytest.approx(getattr(alone, name), rel=1e-5), name


def test_naive(model: HookedTransformer) -> None:
    """Token by token, in float64, as the docstring defines it."""
    sae, ids = autoencoder("jumprelu"), tokens(4, 6)
    ids[3, 3] = 17
    got, _ = reconstruction(model, Sae(sae, ""), ids, torch.full((4,), 6), special={BOS}, dataset="")
    with torch.no_grad():
        _, cache = model.run_with_cache(ids)
        x = cache[HOOK][:, 1:].flatten(0, 1)
        features = sae.encode(x)
        error = (x - sae.decode(features)).double()
    x = x.double()
    expected = 1 - error.square().sum(1).mean() / (x - x.mean(0)).square().sum(1).mean()
    assert got.explained_variance == pytest.approx(float(expected), rel=1e-6)
    assert got.l0 == float((features > 0).double().sum(1).mean())
    assert got.dead_fraction == pytest.approx(float((~(features > 0).any(0)).double().mean()))


def test_nothing_to_count(model: HookedTransformer) -> None:
    only_bos = torch.zeros(2, 1, dtype=torch.int64)
    with pytest.raises(BadInput, match="nothing to evaluate"):
        reconstruction(model, Sae(autoencoder("topk"), ""), only_bos, torch.tensor([1, 1]), special={BOS}, dataset="")


def test_figures_are_kept_beside_the_source_and_shown(tiny_config: Path, tmp_path: Path) -> None:
    bench = Workbench(Settings(data=tmp_path / "data", demo=None))
    bench.build(tiny_config)
    assert bench.source(tiny.SAE).figures is None
    plain, with_bos = bench.evaluate(tiny.SAE)
    shown = bench.source(tiny.SAE)
    assert shown.figures == plain
    assert plain.tokens == shown.tokens  # the build's prompts, counted as the build counts
    assert with_bos.tokens == plain.tokens + shown.prompts


def test_figures_of_other_weights_are_not_shown(tiny_config: Path, tmp_path: Path) -> None:
    bench = Workbench(Settings(data=tmp_path / "data", demo=None))
    bench.build(tiny_config)
    bench.evaluate(tiny.SAE)
    (file,) = (tmp_path / "data").glob("*/*/derived/eval-*/figures.json")
    file.write_text(file.read_text().replace('"weights_sha256": "', '"weights_sha256": "0'))
    assert Workbench(bench.settings).source(tiny.SAE).figures is None


def test_other_texts_and_fewer_tokens(bench: Workbench, tmp_path: Path) -> None:
    writable = Workbench(bench.settings.model_copy(update={"data": tmp_path, "demo": bench.settings.data}))
    (tmp_path / "one.txt").write_text("a cat sat on the mat. " * 30, encoding="utf-8")
    figures, _ = writable.evaluate(tiny.SAE, texts=tmp_path / "one.txt", tokens=20)
    assert figures.dataset == "one.txt"
    assert 0 < figures.tokens <= 20
    with pytest.raises(NotFound, match="no file or folder"):
        writable.evaluate(tiny.SAE, texts=tmp_path / "none.txt")


def test_others_use_the_model_between_two_batches(bench: Workbench, tmp_path: Path, monkeypatch) -> None:
    """An evaluation takes minutes; whoever searches meanwhile waits for a batch of it, and gets the same model."""
    monkeypatch.setattr("core.evaluate.reconstruction._LOGITS", 1)  # a prompt a batch
    own = Workbench(bench.settings.model_copy(update={"data": tmp_path, "demo": bench.settings.data}))
    asked, held, alone = [], [], []

    def batch(*given: object) -> None:
        alone.append(not pool.submit(own._model_slot("tiny").lock.acquire, False).result(60))
        real(*given)

    def between(what: str, done: float, of: float) -> None:
        if done > 5:
            return
        asked.append(pool.submit(own.search, "tiny", f"not read before {done}").result(60))
        pool.submit(own._pool.clear).result(60)
        held.append(own._model_slot("tiny").value)

    real = core.evaluate.reconstruction._batch
    monkeypatch.setattr(core.evaluate.reconstruction, "_batch", batch)
    with ThreadPoolExecutor(1) as pool:
        figures = own.evaluate(tiny.SAE, progress=between)
    assert len(alone) > 5 and all(alone), "in a batch the model is its own"
    assert len(asked) == 5 and all(record.hits for record in asked)
    assert held[0] is not None and all(one is held[0] for one in held), "never a second copy"
    monkeypatch.undo()
    for one, other in zip(figures, own.evaluate(tiny.SAE), strict=True):
        assert one.tokens == other.tokens and one.ce_loss_score == pytest.approx(other.ce_loss_score, rel=1e-4)
        assert one.explained_variance == pytest.approx(other.explained_variance, rel=1e-5)
    own._pool.clear()
    assert not own.ready("tiny"), "and goes when it is done"


# -- where the decoder writes elsewhere, or through heads --------------------------------------------------------------


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> loading.LoadedModel:
    folder = tiny.model(tmp_path_factory.mktemp("evaluate") / "model", "llama", scale=6.0)
    return loading.load(ModelSpec(id="tiny", path=str(folder)))


def prompts(model: loading.LoadedModel) -> list[list[int]]:
    return [model.ids(text)[:20] for text in tiny.LINES]


def by_hand(model: loading.LoadedModel, sae: SAE, rows: list[list[int]], keep_bos: bool) -> dict[str, float]:
    """One prompt at a time, SAELens's own `forward` on the activation with its heads, hooks set by hand."""
    hook, out = sae.cfg.metadata.hook_name, sae.cfg.metadata.hook_name_out or sae.cfg.metadata.hook_name
    bridge, first = model.bridge, 1 if keep_bos else 0
    targets, outs, features, losses = [], [], [], []
    for row in rows:
        ids = torch.tensor([row])
        with torch.no_grad():
            logits, cache = bridge.run_with_cache(ids)
            rebuilt = sae(cache[hook])
            features.append(sae.encode(cache[hook])[0, first:])

            def splice(value: torch.Tensor, hook: object, new: torch.Tensor = rebuilt) -> torch.Tensor:
                return torch.cat([value[:, :first], new[:, first:]], 1)

            def zero(value: torch.Tensor, hook: object) -> torch.Tensor:
                return torch.zeros_like(value)

            versions = [logits] + [bridge.run_with_hooks(ids, fwd_hooks=[(out, f)]) for f in (splice, zero)]
        targets.append(cache[out][0, first:].flatten(1).double())
        outs.append(rebuilt[0, first:].flatten(1).double())
        cross = [torch.nn.functional.cross_entropy(v[0, :-1], ids[0, 1:], reduction="none") for v in versions]
        losses.append(torch.stack(cross)[:, first:].double())
    x, error, acts = torch.cat(targets), torch.cat(targets) - torch.cat(outs), torch.cat(features)
    own, spliced, nothing = torch.cat(losses, 1).mean(1).tolist()
    return {
        "l0": float((acts > 0).double().sum(1).mean()), "ce_loss": own, "ce_loss_spliced": spliced,
        "ce_loss_zero": nothing, "dead_fraction": float((~(acts > 0).any(0)).double().mean()),
        "explained_variance": float(1 - error.square().sum(1).mean() / (x - x.mean(0)).square().sum(1).mean()),
    }  # fmt: skip


OTHERS = [
    ("transcoder", "blocks.1.mlp.hook_in", {}),
    ("skip_transcoder", "blocks.1.mlp.hook_in", {}),
    ("jumprelu_skip_transcoder", "blocks.0.mlp.hook_in", {}),
    ("transcoder", "blocks.0.ln2.hook_normalized", {"hook_out": "blocks.0.hook_mlp_out"}),
    ("transcoder", "blocks.0.hook_mlp_in", {"hook_out": "blocks.0.hook_mlp_out"}),
    ("transcoder", "blocks.0.mlp.hook_in", {"hook_out": "blocks.1.hook_resid_post"}),
    ("standard", "blocks.1.attn.hook_z", {"reshape_activations": "hook_z"}),
    ("topk", "blocks.0.attn.hook_z", {"reshape_activations": "hook_z", "k": 4, "bias": 0.0}),
    ("standard", "blocks.1.hook_resid_post", {"normalize_activations": "layer_norm"}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "hook", "options"), OTHERS, ids=[f"{k}-{h}" for k, h, _ in OTHERS])
def test_figures_are_those_at_the_hook_out(
    llama: loading.LoadedModel, tmp_path: Path, kind: str, hook: str, options: dict
) -> None:
    llama.bridge.set_use_hook_mlp_in(False)
    folder = tiny.sae(tmp_path / "sae", kind, hook=hook, **{"bias": -0.1} | options)
    source = dictionary.load(WeightsSpec(kind="sae", path=str(folder)), llama)
    rows = prompts(llama)
    lengths = torch.tensor([len(r) for r in rows])
    plain, whole = reconstruction(llama.bridge, source, pad(rows), lengths, special={BOS}, dataset="")
    for ours, keep_bos in ((plain, True), (whole, False)):
        expected = by_hand(llama, SAE.load_from_disk(folder).eval(), rows, keep_bos)
        for name, value in expected.items():
            assert getattr(ours, name) == pytest.approx(value, rel=2e-4, abs=1e-5), (name, keep_bos)
    assert plain.ce_loss_spliced != pytest.approx(plain.ce_loss, rel=1e-6), "the splice does something"


def test_a_transcoder_that_is_the_mlp_loses_nothing(tmp_path: Path) -> None:
    """GPT-2's MLP with ReLU is a transcoder: its own weights explain everything and cost no loss."""
    from sae_lens import Transcoder, TranscoderConfig

    folder = tiny.model(tmp_path / "model", scale=8.0, activation_function="relu")
    model = loading.load(ModelSpec(id="tiny", path=str(folder)))
    mlp = model.bridge.blocks[1].mlp
    metadata = SAEMetadata(hook_name="blocks.1.mlp.hook_in", hook_name_out="blocks.1.hook_mlp_out")
    exact = Transcoder(TranscoderConfig(d_in=32, d_sae=128, d_out=32, apply_b_dec_to_input=False, metadata=metadata))
    with torch.no_grad():
        exact.W_enc.copy_(mlp.W_in)
        exact.b_enc.copy_(mlp.b_in)
        exact.W_dec.copy_(mlp.W_out)
        exact.b_dec.copy_(mlp.b_out)
    rows = prompts(model)
    lengths = torch.tensor([len(r) for r in rows])
    figures, _ = reconstruction(model.bridge, Sae(exact, ""), pad(rows), lengths, special={BOS}, dataset="")
    assert figures.explained_variance == pytest.approx(1, abs=1e-6)
    assert figures.ce_loss_score == pytest.approx(1, abs=1e-4)


def test_the_middle_of_the_residual_stream_is_replaced_whole(tmp_path: Path) -> None:
    """Both the stream and what the next norm reads: with zeros there the last layer's MLP alone decides."""
    folder = tiny.model(tmp_path / "model", scale=8.0)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)))
    sae = tiny.sae(tmp_path / "sae", "standard", hook="blocks.1.hook_resid_mid", bias=-0.1)
    source = dictionary.load(WeightsSpec(kind="sae", path=str(sae)), model)
    rows = prompts(model)
    lengths = torch.tensor([len(r) for r in rows])
    _, whole = reconstruction(model.bridge, source, pad(rows), lengths, special={BOS}, dataset="")
    from transformers import GPT2LMHeadModel

    own = GPT2LMHeadModel.from_pretrained(folder).eval()
    with torch.no_grad():
        block = own.transformer.h[1]
        logprobs = own.lm_head(own.transformer.ln_f(block.mlp(block.ln_2(torch.zeros(32))))).log_softmax(-1)
    told = torch.cat([torch.as_tensor(row[1:]) for row in rows])
    assert whole.ce_loss_zero == pytest.approx(float(-logprobs[told].double().mean()), rel=1e-5)


def test_a_model_without_special_tokens_has_the_same_figures_twice(tmp_path: Path) -> None:
    folder = tiny.model(tmp_path / "model", "qwen2", bos=False, scale=6.0)
    model = loading.load(ModelSpec(id="tiny", path=str(folder)))
    source = dictionary.load(WeightsSpec(kind="sae", path=str(tiny.sae(tmp_path / "sae", bias=-0.1))), model)
    rows = prompts(model)
    lengths = torch.tensor([len(r) for r in rows])
    plain, whole = reconstruction(model.bridge, source, pad(rows), lengths, special=(), dataset="")
    assert plain == whole and plain.tokens == int(lengths.sum())


@pytest.mark.parametrize("kind", ["neurons", "directions"])
def test_kinds_without_a_reconstruction_say_so(bench: Workbench, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if kind == "directions":
        other = Directions(torch.randn(128, 32), "blocks.0.hook_resid_pre")  # as many as the neurons
        monkeypatch.setattr("core.sources.dictionary.load", lambda *_, **__: other)
    fresh = Workbench(bench.settings)
    with pytest.raises(NotAvailable, match=rf"no autoencoder: .*{kind} are .*no reconstruction to evaluate"):
        fresh.evaluate(tiny.NEURONS)


def test_neurons_have_no_reconstruction(bench: Workbench) -> None:
    with pytest.raises(NotAvailable, match="no autoencoder"):
        bench.evaluate(tiny.NEURONS)
