"""The model and the guide: shapes, sizes, and what Pyro sees of them."""

import copy
import gc
import warnings

import pyro
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO

from pyro_vae import VAE, likelihoods, networks, posteriors, priors
from pyro_vae.errors import ArgumentTypeError, UnsupportedError


@pytest.mark.parametrize("shape", [(1, 32, 32), (3, 33, 45), (2, 7, 5), (1, 1, 1), (3, 8, 1)])
def test_every_size_of_image_is_coded_and_decoded(shape):
    vae = VAE(
        priors.StandardNormal(4),
        likelihoods.Normal(networks.ConvDecoder(4, shape)),
        posteriors.DiagonalNormal(networks.ConvEncoder(shape), 4),
    )
    x = torch.rand(5, *shape)
    q = vae.encode(x)
    assert (q.batch_shape, q.event_shape) == ((5,), (4,))
    p = vae.decode(torch.randn(3, 5, 4))
    assert (p.batch_shape, p.event_shape) == ((3, 5), shape)
    assert vae.reconstruct(x).shape == x.shape
    assert vae.sample(6).shape == (6, *shape)
    assert vae.sample(6).min() >= 0 and vae.sample(6).max() <= 1


def test_folded_dimensions_decode_as_if_one_by_one():
    decoder = networks.ConvDecoder(2, (1, 9, 8))
    z = torch.randn(3, 5, 2)
    assert torch.allclose(decoder(z)[2, 4], decoder(z[2, 4][None])[0], atol=1e-6)


def test_parameter_counts_are_the_published_ones():
    shape = (1, 32, 32)
    posterior = posteriors.DiagonalNormal(networks.ConvEncoder(shape), 2)
    decoder = networks.ConvDecoder(2, shape)
    assert sum(p.numel() for p in posterior.parameters()) == 100_868
    assert sum(p.numel() for p in decoder.parameters()) == 98_689


def test_model_and_guide_score_the_same_sites_with_beta_on_the_latent_alone():
    vae, x = small_vae(), torch.rand(4, 1, 8, 8)
    guide = poutine.trace(vae.guide).get_trace(x, beta=3.0)
    model = poutine.trace(poutine.replay(vae.model, guide)).get_trace(x, beta=3.0)
    z = guide.nodes["z"]["value"]
    for trace, p in ((guide, vae.encode(x)), (model, vae.prior())):
        trace.compute_log_prob()
        assert torch.allclose(trace.nodes["z"]["log_prob"], 3 * p.log_prob(z))
    assert torch.allclose(model.nodes["x"]["log_prob"], vae.decode(z).log_prob(x))


@pytest.mark.parametrize("family", [Trace_ELBO, TraceMeanField_ELBO])
def test_beta_zero_leaves_the_distortion(family):
    vae, x = small_vae(), torch.rand(4, 1, 8, 8)
    pyro.set_rng_seed(1)
    loss = family().differentiable_loss(vae.model, vae.guide, x, beta=0.0)
    pyro.set_rng_seed(1)
    expected = -vae.decode(vae.encode(x).rsample()).log_prob(x).sum()
    assert torch.allclose(loss, expected)


def test_two_models_trained_by_svi_one_after_the_other_both_train():
    """Pyro's store must not hand the first model's parameters to the second."""
    x = torch.rand(16, 1, 8, 8)
    vaes = [small_vae(), small_vae()]
    for vae in vaes:
        others = [{k: v.clone() for k, v in o.state_dict().items()} for o in vaes if o is not vae]
        before = {k: v.clone() for k, v in vae.state_dict().items()}
        svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO())
        losses = [svi.step(x) for _ in range(40)]
        assert sum(losses[-5:]) < sum(losses[:5])
        assert all(not torch.equal(before[k], p) for k, p in vae.named_parameters())
        for other, was in zip([o for o in vaes if o is not vae], others, strict=True):
            assert all(torch.equal(was[k], v) for k, v in other.state_dict().items())


@pytest.mark.parametrize("clone", [copy.deepcopy, copy.copy])
def test_a_copy_is_announced_under_a_name_of_its_own(clone):
    vae, x, store = small_vae(), torch.rand(2, 1, 8, 8), pyro.get_param_store()
    vae.guide(x)
    names = set(store.keys())
    other = clone(vae)
    other.guide(x)
    assert names < set(store.keys()) and len(store.keys()) == 2 * len(names)
    del vae, other
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gc.collect()
    assert list(store.keys()) == []


def test_a_copy_trains_without_touching_the_original():
    vae, x = small_vae(), torch.rand(8, 1, 8, 8)
    Trace_ELBO().loss(vae.model, vae.guide, x)
    other = copy.deepcopy(vae)
    before = {k: v.clone() for k, v in vae.state_dict().items()}
    svi = SVI(other.model, other.guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    svi.step(x)
    assert all(torch.equal(before[k], v) for k, v in vae.state_dict().items())
    assert all(not torch.equal(before[k], v) for k, v in other.named_parameters())


def test_a_dead_model_leaves_nothing_in_the_parameter_store():
    vae = small_vae()
    vae.guide(torch.rand(2, 1, 8, 8))
    assert len(list(pyro.get_param_store().keys())) > 0
    del vae
    gc.collect()
    assert list(pyro.get_param_store().keys()) == []


def test_plain_functions_fill_every_slot(digits):
    decoder = networks.ConvDecoder(2, (1, 8, 8))
    vae = VAE(
        prior=lambda: dist.Laplace(torch.zeros(2), 1.0).to_event(1),
        likelihood=lambda z: dist.Normal(decoder(z), 0.5).to_event(3),
        posterior=lambda x: dist.Normal(x.mean((1, 2, 3))[:, None].expand(-1, 2), 1.0).to_event(1),
    )
    x = digits.test.as_float(slice(0, 4))
    assert torch.isfinite(Trace_ELBO().differentiable_loss(vae.model, vae.guide, x))
    assert vae.sample(2).shape == vae.reconstruct(x[:2]).shape == (2, 1, 8, 8)


def test_an_autoencoder_has_no_samples():
    encoder = networks.ConvEncoder((1, 8, 8), channels=(4,))
    vae = small_vae(prior=priors.Flat(2), posterior=posteriors.Delta(encoder, 2))
    with pytest.raises(UnsupportedError, match="no prior to sample from") as raised:
        vae.sample(1)
    assert isinstance(raised.value, NotImplementedError)  # Its kind up to version 0.1.
    x = torch.rand(4, 1, 8, 8)
    loss = Trace_ELBO().differentiable_loss(vae.model, vae.guide, x)
    assert torch.allclose(loss, -vae.decode(vae.encode(x).mean).log_prob(x).sum())


def test_an_encoder_must_say_its_features():
    with pytest.raises(ArgumentTypeError, match="encoder Flatten does not say how many features"):
        posteriors.DiagonalNormal(torch.nn.Flatten(), 2)


def test_gray_levels_are_an_explicit_choice():
    decoder, gray = networks.ConvDecoder(2, (1, 8, 8)), torch.full((1, 1, 8, 8), 0.37)
    with pytest.raises(likelihoods.SupportError, match=r"binary.*0\.37.*gray_levels=True"):
        likelihoods.Bernoulli(decoder).check(gray)
    likelihoods.Bernoulli(decoder, gray_levels=True).check(gray)
    with pytest.raises(likelihoods.SupportError, match=r"\[0, 1\]"):
        likelihoods.Normal(decoder).check(gray * 100)
