"""A dictionary's figures: SAELens's where both define the same, and what must come out of exact and empty ones."""

from __future__ import annotations

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sae_lens import SAE, StandardSAE, StandardSAEConfig, TopKSAE, TopKSAEConfig
from sae_lens.evals import (
    get_downstream_reconstruction_metrics,
    get_featurewise_weight_based_metrics,
    get_sparsity_and_variance_metrics,
)
from sae_lens.saes.sae import SAEMetadata
from sae_lens.training.activation_scaler import ActivationScaler
from transformer_lens import HookedTransformer, HookedTransformerConfig

from core.evaluate import baselines, bootstrap, shape
from core.evaluate.reconstruction import Tokens, held_at, measure, moments
from core.evaluate.records import ReconstructionFigures, TokenSet
from core.sources.sae import Sae

HOOK, BOS, ROWS, LONG = "blocks.1.hook_resid_pre", 0, 12, 16
ON = TokenSet(name="random", sha256="", tokens=0, prompts=0, documents=0)


@pytest.fixture(scope="module")
def model() -> HookedTransformer:
    torch.manual_seed(0)
    config = HookedTransformerConfig(
        n_layers=2, d_model=24, n_ctx=LONG, n_heads=2, d_head=12, d_vocab=50, act_fn="gelu_new",
        normalization_type="LN", seed=1,
    )  # fmt: skip
    made = HookedTransformer(config).eval()
    with torch.no_grad():
        for p in made.parameters():
            p *= 6 if p.ndim > 1 else 1  # so that what is spliced in matters
    return made


def autoencoder(kind: str = "standard") -> SAE:
    torch.manual_seed(1)
    common = {"d_in": 24, "d_sae": 96, "metadata": SAEMetadata(hook_name=HOOK, hook_head_index=None)}
    if kind == "topk":
        sae: SAE = TopKSAE(TopKSAEConfig(k=5, **common))
    else:
        sae = StandardSAE(StandardSAEConfig(**common))
        sae.b_enc.data -= 0.5 * sae.W_enc.norm(dim=0)
    sae.W_enc.data += 0.1 * torch.randn_like(sae.W_enc)
    sae.b_dec.data += 0.01 * torch.randn(24)
    return sae.eval().requires_grad_(False)


def prompts(rows: int = ROWS) -> Tokens:
    ids = torch.randint(1, 50, (rows, LONG), generator=torch.Generator().manual_seed(2))
    ids[:, 0] = BOS
    ids[min(3, rows - 1), LONG // 2] = BOS
    return Tokens(ids, torch.full((rows,), LONG), torch.arange(rows) // 2, {BOS})


class Gives:
    """A dictionary that gives back what it is told."""

    def __init__(self, what) -> None:
        self.hook = self.hook_out = HOOK
        self._what = what

    def reconstruct(self, x):
        return x[..., :4], self._what(x)


def figures(model, source, tokens=None, hook=HOOK) -> tuple[ReconstructionFigures, ReconstructionFigures]:
    tokens = tokens or prompts()
    own = moments(model, hook, tokens)
    ((plain, whole),) = measure(model, [source], tokens, means=(own.mean, own.mean_with_bos))
    return plain.figures(), whole.figures()


@pytest.mark.parametrize("kind", ["standard", "topk"])
def test_same_as_saelens(model, kind) -> None:
    sae, tokens = autoencoder(kind), prompts()
    store = SimpleNamespace(get_batch_tokens=lambda _: tokens.ids, context_size=LONG)
    for ours, ignore in zip(figures(model, Sae(sae, "")), ([BOS], None), strict=True):
        loss = get_downstream_reconstruction_metrics(
            sae, model, store, ActivationScaler(), compute_kl=True, compute_ce_loss=True, n_batches=1,
            eval_batch_size_prompts=ROWS, ignore_tokens=ignore,
        )  # fmt: skip
        rest, _ = get_sparsity_and_variance_metrics(
            sae, model, store, ActivationScaler(), n_batches=1, compute_l2_norms=True, compute_sparsity_metrics=True,
            compute_variance_metrics=True, compute_featurewise_density_statistics=True, eval_batch_size_prompts=ROWS,
            model_kwargs={}, ignore_tokens=ignore,
        )  # fmt: skip
        for name, theirs in {
            "l0": rest["l0"], "l1": rest["l1"], "mse": rest["mse"], "explained_variance": rest["explained_variance"],
            "relative_reconstruction_bias": rest["relative_reconstruction_bias"], "l2_ratio": rest["l2_ratio"],
            "cosine": rest["cossim"], "ce_loss": loss["ce_loss_without_sae"],
            "ce_loss_spliced": loss["ce_loss_with_sae"],
            "ce_loss_zero": loss["ce_loss_with_ablation"], "ce_loss_score": loss["ce_loss_score"],
            "kl_spliced": loss["kl_div_with_sae"], "kl_zero": loss["kl_div_with_ablation"],
            "kl_score": loss["kl_div_score"],
        }.items():  # fmt: skip
            assert getattr(ours, name).value == pytest.approx(theirs, rel=2e-4, abs=2e-5), name


def test_densities_and_cosines_are_saelenss(model) -> None:
    sae, tokens = autoencoder(), prompts()
    store = SimpleNamespace(get_batch_tokens=lambda _: tokens.ids, context_size=LONG)
    _, features = get_sparsity_and_variance_metrics(
        sae, model, store, ActivationScaler(), n_batches=1, compute_l2_norms=False, compute_sparsity_metrics=False,
        compute_variance_metrics=False, compute_featurewise_density_statistics=True, eval_batch_size_prompts=ROWS,
        model_kwargs={}, ignore_tokens=[BOS],
    )  # fmt: skip
    (counts,), total = shape.activity(model, [Sae(sae, "")], tokens)
    assert counts / total == pytest.approx(np.array(features["feature_density"]), abs=1e-6)
    found = shape.shape(counts, total, sae.W_dec, sae.W_enc, ON, "")
    theirs = np.array(get_featurewise_weight_based_metrics(sae)["encoder_decoder_cosine_sim"])
    assert found.encoder_decoder_cosine.value == pytest.approx(theirs.mean(), abs=1e-5)
    density = counts / total
    assert found.dead_fraction.value == (counts == 0).mean()
    assert found.dense_fraction.value == (density > 0.1).mean()
    assert sum(found.density.counts) == (counts > 0).sum()
    unit = sae.W_dec / sae.W_dec.norm(dim=1, keepdim=True)
    products = (unit @ unit.T).fill_diagonal_(-2)
    assert found.redundancy_cosine.value == pytest.approx(float(products.max(1).values.mean()), abs=1e-5)


def test_what_is_exact_loses_nothing(model) -> None:
    for one in figures(model, Gives(lambda x: x.clone())):
        for name in ("explained_variance", "relative_reconstruction_bias", "l2_ratio", "cosine"):
            assert getattr(one, name).value == pytest.approx(1, abs=1e-6), name
        for name in ("ce_loss_score", "ce_loss_score_mean", "kl_score", "kl_score_mean"):
            assert getattr(one, name).value == pytest.approx(1, abs=1e-4), name
        assert one.mse.value == 0


def test_zeros_and_the_mean_are_where_the_scores_begin(model) -> None:
    _, zeros = figures(model, Gives(torch.zeros_like))
    assert zeros.ce_loss_score.value == pytest.approx(0, abs=1e-6)
    assert zeros.kl_score.value == pytest.approx(0, abs=1e-6)
    assert zeros.l2_ratio.value == 0
    own = moments(model, HOOK, prompts())
    plain, _ = figures(model, Gives(lambda x: own.mean.float().expand_as(x)))
    assert plain.explained_variance.value == pytest.approx(0, abs=1e-6)
    assert plain.ce_loss_score_mean.value == pytest.approx(0, abs=1e-6)
    assert plain.kl_score_mean.value == pytest.approx(0, abs=1e-6)
    assert plain.mse.value == pytest.approx(float(own.covariance.trace()), rel=1e-5)


def test_neither_order_nor_batches_matter(model, monkeypatch) -> None:
    tokens, sae = prompts(), Sae(autoencoder(), "")
    together, _ = figures(model, sae, tokens)
    order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(0))
    other = replace(tokens, ids=tokens.ids[order], lengths=tokens.lengths[order], groups=tokens.groups[order])
    monkeypatch.setattr("core.evaluate.reconstruction._LOGITS", 1)
    assert len(tokens.batches(50)) == ROWS
    for one in (figures(model, sae, tokens)[0], figures(model, sae, other)[0]):
        for name, value in asdict(together).items():
            if name != "tokens":
                assert getattr(one, name).value == pytest.approx(value["value"], rel=1e-4, abs=1e-5), name
                assert getattr(one, name).low == pytest.approx(value["low"], rel=1e-4, abs=1e-5), name


def test_intervals_hold_the_figure_and_need_two_documents(model) -> None:
    plain, _ = figures(model, Sae(autoencoder(), ""))
    for name in ("l0", "mse", "cosine", "ce_loss_spliced", "kl_spliced"):
        one = getattr(plain, name)
        assert one.low < one.value < one.high, name
    alone = replace(prompts(), groups=torch.zeros(ROWS, dtype=torch.int64))
    assert np.isnan(figures(model, Sae(autoencoder(), ""), alone)[0].mse.low)


def test_the_intervals_of_a_mean_are_the_bootstraps() -> None:
    values = np.random.default_rng(1).normal(3, 2, 400)
    one = bootstrap.mean(values)
    assert one.value == values.mean()
    assert (one.high - one.low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.15)
    assert bootstrap.groups(np.array([7, 7, 9, 3])).tolist() == [1, 1, 2, 0]
    assert bootstrap.groups(np.arange(5000)).max() == bootstrap.GROUPS - 1


# -- baselines ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", ["principal", "coordinates"])
def test_axes_are_exact_with_all_of_them_and_keep_k(model, make) -> None:
    own = moments(model, HOOK, prompts())

    def of(k: int) -> baselines.Axes:
        if make == "principal":
            return baselines.principal(HOOK, own.mean, own.covariance, k)
        return baselines.coordinates(HOOK, own.mean, k)

    plain, _ = figures(model, of(24))
    assert plain.explained_variance.value == pytest.approx(1, abs=1e-5)
    assert plain.ce_loss_score.value == pytest.approx(1, abs=1e-3)
    some, _ = figures(model, of(3))
    assert some.l0.value == 3
    assert 0 < some.explained_variance.value < 1


def test_the_first_components_explain_most(model) -> None:
    own = moments(model, HOOK, prompts())
    pca = baselines.principal(HOOK, own.mean, own.covariance, 24)
    along = (pca.W_dec.double() @ own.covariance @ pca.W_dec.double().T).diagonal()
    assert bool((along.diff() <= 1e-6).all())
    assert float(along.sum()) == pytest.approx(float(own.covariance.trace()))


def test_random_directions_fit_as_well_as_they_can(model) -> None:
    own = moments(model, HOOK, prompts())
    random = baselines.RandomDirections(HOOK, 96, own.mean, 5)
    x = held_at(model, [HOOK], prompts().ids)[HOOK][:2]
    codes, rebuilt = random.reconstruct(x)
    assert int((codes != 0).sum(-1).max()) == 5
    assert random.W_dec.norm(dim=-1).numpy() == pytest.approx(np.ones(96), abs=1e-5)
    error = x - rebuilt
    for place in ((0, 3), (1, 8)):  # what is left is at right angles to what was used
        used = random.W_dec[codes[place] != 0]
        assert (used @ error[place]).abs().max() < 1e-2 * float(x[place].norm())


def test_all_neurons_are_the_mlp(model) -> None:
    tokens, mlp = prompts(), model.blocks[1].mlp
    below, out = "blocks.1.mlp.hook_post", "blocks.1.hook_mlp_out"
    acts, writes = moments(model, below, tokens), moments(model, out, tokens)
    neurons = baselines.NeuronsBelow(below, out, mlp.W_out.detach(), acts.mean, writes.mean, 96)
    plain, _ = figures(model, neurons, tokens, out)
    assert plain.explained_variance.value == pytest.approx(1, abs=1e-5)
