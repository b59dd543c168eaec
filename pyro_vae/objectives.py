r"""Objectives: the bounds on log p(x) that training maximizes.

An objective is a callable of a model, images (B, C, H, W), a weight beta and the fraction of the
training that is done. It returns a `Bound`, whose `loss` is minimized. The evidence lower bound has
two terms,

.. math::

    \mathrm{ELBO}_\beta(x) = -\text{distortion}(x) - \beta \cdot \text{rate}(x), \qquad
    \text{distortion} = -\mathbb E_q \log p(x|z), \quad
    \text{rate} = \mathrm{KL}(q(z|x) \,\|\, p(z)),

and is a bound on log p(x) for beta >= 1, tightest at 1. Whichever objective is optimized, the
distortion and the rate are reported with it. Sources: Auto-Encoding Variational Bayes (Kingma and
Welling, 2014), equations 6 (sampled rate) and 7 (closed form); beta-VAE (Higgins et al., 2017); for
the terms "distortion" and "rate", Fixing a Broken ELBO (Alemi et al., 2018).
"""

import math
from typing import Any, NamedTuple

import pyro.distributions as dist
import torch
from pyro.distributions.torch_distribution import ExpandedDistribution
from torch import Tensor
from torch.distributions import kl_divergence

from pyro_vae._arguments import Checked, Count, Fraction, NonNegative, PositiveFraction
from pyro_vae._declared import further_sites, run_guide, run_model, weighted_sites
from pyro_vae._elbo import AnalyticELBO, SampledELBO
from pyro_vae._spelling import renamed
from pyro_vae.distributions import has_density
from pyro_vae.errors import ArgumentError, PyroVAEError
from pyro_vae.processes import batch_mean
from pyro_vae.processes.shares import all_rows, batch_logsumexp, own_rows
from pyro_vae.vae import VAE


class ObjectiveError(PyroVAEError, ValueError):
    """An objective needs something that the model's distributions do not have."""


class Bound(NamedTuple):
    """The value of an objective and its terms, each of shape (), in nats per image.

    Attributes:
        loss: the value to minimize.
        distortion: the mean of -log p(x|z), without gradient.
        rate: the mean of KL(q(z|x) || p(z)), without gradient.
    """

    loss: Tensor
    distortion: Tensor
    rate: Tensor


class Objective(Checked):
    """A bound to maximize, whose negative is the loss.

    Where several processes share a batch, each calls the objective with its own images, and the
    bounds are averaged, weighted by their numbers of images. An objective that is not linear in
    the images averages what it needs of all of them by `pyro_vae.processes.batch_mean`.

    Attributes:
        runs_program: whether all it computes of the model is in its Pyro program and guide.

    Example:
        >>> class Centered(Objective):
        ...     def __call__(self, vae, x, beta=1.0, elapsed=1.0):
        ...         bound = ELBO()(vae, x, beta)
        ...         penalty = vae.posterior(x).mean.square().sum(-1).mean()
        ...         return bound._replace(loss=bound.loss + 0.1 * penalty)
        >>> from pyro_vae.recipes import fashion_conv
        >>> vae, x = fashion_conv.build((1, 8, 8)), torch.rand(5, 1, 8, 8)
        >>> bound = Centered()(vae, x)
        >>> bool(bound.loss > bound.distortion + bound.rate)
        True
    """

    runs_program: bool = False

    def __init__(self) -> None:
        super().__init__()

    def start(self, images: int) -> None:
        """Set the number of training images, before training starts."""

    def __call__(self, vae: VAE, x: Tensor, beta: float = 1.0, elapsed: float = 1.0) -> Bound:
        """Return the bound at images x, averaged over them.

        Args:
            vae: the model.
            x: images, (B, C, H, W).
            beta: the weight of the rate.
            elapsed: the fraction of the training that is done, in [0, 1], for objectives that
                change in its course.
        """
        raise NotImplementedError


class ELBO(Objective):
    """The evidence lower bound, through Pyro.

    Auto-Encoding Variational Bayes (Kingma and Welling, 2014), equations 6 and 7.

    Args:
        analytic_kl: take the rate in closed form where there is one (`TraceMeanField_ELBO`)
            instead of estimating it from the posterior's draws (`Trace_ELBO`). The two agree in
            expectation. A posterior that is not reparameterized always uses draws; one whose draws
            have no exact gradient, such as a straight-through Bernoulli, always the closed form.
        particles: the number of draws from the posterior for each image.

    Raises:
        ArgumentError: particles is not positive.

    Example:
        >>> from pyro_vae.recipes import fashion_conv
        >>> vae, x = fashion_conv.build((1, 8, 8)), torch.rand(5, 1, 8, 8)
        >>> bound = ELBO(analytic_kl=True)(vae, x, beta=4.0)
        >>> torch.allclose(bound.loss, bound.distortion + 4 * bound.rate)
        True
    """

    runs_program = True

    def __init__(self, analytic_kl: bool = False, particles: Count = 1) -> None:
        self.analytic_kl = analytic_kl
        settings = {
            "num_particles": particles,
            "vectorize_particles": particles > 1,
            "max_plate_nesting": 1,
        }
        self.sampled, self.analytic = SampledELBO(**settings), AnalyticELBO(**settings)

    @renamed(progress="elapsed")
    def __call__(self, vae: VAE, x: Tensor, beta: float = 1.0, elapsed: float = 1.0) -> Bound:
        analytic = self.analytic_kl or getattr(vae.posterior, "analytic_kl_only", False)
        try:
            return self._bound(vae, x, beta, analytic)
        except NotImplementedError:
            # Pyro supports the closed form only for reparameterized posteriors.
            if not analytic:
                raise
            return self._bound(vae, x, beta, analytic=False)

    def _bound(self, vae: VAE, x: Tensor, beta: float, analytic: bool) -> Bound:
        estimator = self.analytic if analytic else self.sampled
        with vae.unannounced():
            total, rates = estimator.loss_and_rates(vae.model, vae.guide, x, beta=beta)
        loss = total / len(x)
        with torch.no_grad():
            mean_rate = rates("z").mean()
            return Bound(loss, loss - beta * mean_rate, mean_rate)


class FreeBits(Objective):
    r"""The ELBO with some rate in every latent dimension free of cost.

    :math:`-\text{distortion} - \beta \sum_d \max(\lambda, \overline{\text{rate}}_d)`, the rates
    averaged over the batch. Improved Variational Inference with Inverse Autoregressive Flow
    (Kingma et al., 2016), free bits. It needs a factorized posterior and prior.

    Args:
        nats: the free rate lambda of each dimension, in nats.
        analytic_kl: take the rates in closed form where there is one.

    Raises:
        ArgumentError: nats is negative.

    Example:
        >>> from pyro_vae.recipes import fashion_conv
        >>> vae, x = fashion_conv.build((1, 8, 8)), torch.rand(5, 1, 8, 8)
        >>> bound = FreeBits(nats=100.0)(vae, x)
        >>> torch.allclose(bound.loss, bound.distortion + 2 * 100)
        True
    """

    runs_program = True

    def __init__(self, nats: NonNegative = 0.5, analytic_kl: bool = True) -> None:
        self.nats, self.analytic_kl = nats, analytic_kl

    @renamed(progress="elapsed")
    def __call__(self, vae: VAE, x: Tensor, beta: float = 1.0, elapsed: float = 1.0) -> Bound:
        q, p, z, distortion = _draw(vae, x, "FreeBits")
        rates = batch_mean(rate_per_dimension(q, p, z, self.analytic_kl))
        loss = distortion.mean() + beta * rates.clamp(min=self.nats).sum()
        return Bound(loss, distortion.mean().detach(), rates.sum().detach())


class Capacity(Objective):
    r"""The ELBO with its rate held at a capacity that grows during training.

    The loss is :math:`\text{distortion} + \beta \, |\text{rate} - C|`, where C rises linearly
    from 0. Understanding Disentangling in beta-VAE (Burgess et al., 2018), equation 8.

    Args:
        nats: the final capacity C, in nats per image.
        rise: the fraction of the training that the rise takes, in (0, 1].
        analytic_kl: take the rate in closed form where there is one.

    Raises:
        ArgumentError: nats is negative, or rise is not in (0, 1].

    Example:
        >>> from pyro_vae.recipes import fashion_conv
        >>> vae, x = fashion_conv.build((1, 8, 8)), torch.rand(5, 1, 8, 8)
        >>> bound = Capacity(nats=25.0)(vae, x, elapsed=0.0)
        >>> torch.allclose(bound.loss, bound.distortion + bound.rate)  # C is still 0
        True
    """

    runs_program = True

    def __init__(
        self, nats: NonNegative = 25.0, rise: PositiveFraction = 0.8, analytic_kl: bool = True
    ) -> None:
        self.nats, self.rise, self.analytic_kl = nats, rise, analytic_kl

    @renamed(progress="elapsed")
    def __call__(self, vae: VAE, x: Tensor, beta: float = 1.0, elapsed: float = 1.0) -> Bound:
        q, p, z, distortion = _draw(vae, x, "Capacity")
        mean_rate = batch_mean(rate(q, p, z, self.analytic_kl))
        capacity = self.nats * min(elapsed / self.rise, 1.0)
        loss = distortion.mean() + beta * (mean_rate - capacity).abs()
        return Bound(loss, distortion.mean().detach(), mean_rate.detach())


class TotalCorrelation(Objective):
    r"""The objective of the beta-TC-VAE: beta weighs only the dependence between dimensions.

    The rate, averaged over the data, is
    :math:`I(x; z) + \mathrm{KL}(q(z) \| \prod_d q(z_d)) + \sum_d \mathrm{KL}(q(z_d) \| p(z_d))`;
    beta multiplies the middle term, the total correlation. The aggregate q(z) is estimated from
    the batch, weighted by the size of the data set. Isolating Sources of Disentanglement in VAEs
    (Chen et al., 2018), equations 2 to 4. It needs a factorized posterior and prior.

    Args:
        images: the number of training images; `fit` provides it if it is not given.

    Example:
        >>> from pyro_vae.recipes import fashion_conv
        >>> vae, x = fashion_conv.build((1, 8, 8)), torch.rand(5, 1, 8, 8)
        >>> bound = TotalCorrelation(images=1000)(vae, x, beta=1.0)
        >>> torch.allclose(bound.loss, bound.distortion + bound.rate)
        True
    """

    runs_program = True

    def __init__(self, images: Count | None = None) -> None:
        self.images = self.given = images

    def start(self, images: int) -> None:
        self.images = self.given or images

    @renamed(progress="elapsed")
    def __call__(self, vae: VAE, x: Tensor, beta: float = 1.0, elapsed: float = 1.0) -> Bound:
        q, p, z, distortion = _draw(vae, x, "TotalCorrelation")
        q_each, p_each = factors(q), factors(p)
        # (i, j, d): the log-density of image i's draw under image j's posterior.
        every_z = all_rows(z)
        log_q = q_each.log_prob(every_z[:, None])
        count = math.log(len(every_z) * (self.images or len(every_z)))
        log_aggregate = own_rows(batch_logsumexp(log_q.sum(2))) - count
        log_marginals = (own_rows(batch_logsumexp(log_q)) - count).sum(1)
        log_conditional = q_each.log_prob(z).sum(1)
        log_prior = p_each.log_prob(z).sum(1)
        information = log_conditional - log_aggregate
        correlation = log_aggregate - log_marginals
        divergence = log_marginals - log_prior
        loss = (distortion + information + beta * correlation + divergence).mean()
        mean_rate = (log_conditional - log_prior).mean()
        return Bound(loss, distortion.mean().detach(), mean_rate.detach())


class IWAE(Objective):
    r"""The importance-weighted bound, which is tighter than the ELBO.

    .. math::

        \mathcal L_K = \mathbb E \log \frac1K \sum_k w_k, \qquad
        w_k = \frac{p(x|z_k) \, p(z_k)}{q(z_k|x)}.

    Importance Weighted Autoencoders (Burda et al., 2016), equation 8. The doubly reparameterized
    gradient keeps its signal-to-noise ratio as K grows: Doubly Reparameterized Gradient Estimators
    (Tucker et al., 2018), equation 8. With `repeats` M it is the MIWAE, with `elbo_weight` the
    CIWAE, and with `partial` the PIWAE of Tighter Variational Bounds are Not Necessarily Better
    (Rainforth et al., 2018), section 4. It needs a reparameterized posterior.

    Args:
        samples: the number K of importance samples in a bound.
        repeats: the number M of bounds averaged, each with its own K samples.
        doubly_reparameterized: use the gradient of Tucker et al. for the posterior. This needs a
            posterior whose parameters can be detached, which excludes flows.
        partial: train the likelihood and the prior on the tighter bound of M K samples, and the
            posterior on the average of M bounds. This excludes flows, too.
        elbo_weight: the weight of the ELBO that is mixed in, in [0, 1].

    Raises:
        ArgumentError: samples or repeats is not positive, elbo_weight is not in [0, 1], or it is
            combined with another gradient.

    Example:
        >>> from pyro_vae.recipes import fashion_conv
        >>> vae, x = fashion_conv.build((1, 8, 8)), torch.rand(5, 1, 8, 8)
        >>> _ = torch.manual_seed(0)
        >>> bound = IWAE(samples=50)(vae, x)
        >>> bool(bound.loss < bound.distortion + bound.rate)
        True
    """

    runs_program = True

    def __init__(
        self,
        samples: Count = 50,
        repeats: Count = 1,
        doubly_reparameterized: bool = False,
        partial: bool = False,
        elbo_weight: Fraction = 0.0,
    ) -> None:
        if elbo_weight and (doubly_reparameterized or partial):
            raise ArgumentError(
                "IWAE: elbo_weight must be 0 with doubly_reparameterized or partial, got "
                f"{elbo_weight}."
            )
        self.samples, self.repeats = samples, repeats
        self.doubly_reparameterized, self.partial = doubly_reparameterized, partial
        self.elbo_weight = elbo_weight

    @renamed(progress="elapsed")
    def __call__(self, vae: VAE, x: Tensor, beta: float = 1.0, elapsed: float = 1.0) -> Bound:
        q, p, z, distortion = _draw(vae, x, "IWAE", self.repeats * self.samples)
        log_p = p.log_prob(z)
        if self.doubly_reparameterized or self.partial:
            _require_weight_one(beta)
            bound = self._split_bound(q, z, log_p - distortion)
        else:
            bound = self._bound(self._apart(beta * (log_p - q.log_prob(z)) - distortion))
        with torch.no_grad():
            mean_rate = (q.log_prob(z) - log_p).mean()
        return Bound(-bound.mean(), distortion.mean().detach(), mean_rate)

    def _apart(self, values: Tensor) -> Tensor:
        """Return values of all draws, (M K, B), by the bound that they belong to: (M, K, B)."""
        return values.unflatten(0, (self.repeats, self.samples))

    def _bound(self, log_w: Tensor) -> Tensor:
        """Return the bound of each image, (B,), from log-weights (M, K, B)."""
        bound = (log_w.logsumexp(1) - math.log(self.samples)).mean(0)
        return (1 - self.elbo_weight) * bound + self.elbo_weight * log_w.mean((0, 1))

    def _split_bound(self, q: dist.TorchDistribution, z: Tensor, log_joint: Tensor) -> Tensor:
        """Return the bound of each image, (B,), with different gradients for p and q.

        Every draw has the weight `share` in the gradient of p(x, z). The gradient of q, through z
        and (unless doubly reparameterized) through its density, has the weight `share * ratio`.
        """
        log_w = self._apart(log_joint - detached(q).log_prob(z))
        fixed = log_w.detach()
        repeat = fixed.logsumexp(1, keepdim=True)
        weight = (fixed - repeat).exp()
        share, ratio = weight / self.repeats, torch.ones_like(fixed)
        bound = (repeat.squeeze(1) - math.log(self.samples)).mean(0)
        if self.partial:
            every = repeat.logsumexp(0, keepdim=True)
            share = (fixed - every).exp()
            # Where the ratio is larger, the share has long vanished in floating point.
            ratio = (every - repeat - math.log(self.repeats)).clamp(max=80).exp() * ratio
            bound = every.flatten(0, 1).squeeze(0) - math.log(self.samples * self.repeats)
        if self.doubly_reparameterized:
            ratio = ratio * weight
        else:
            score = self._apart(q.log_prob(z.detach()))
            log_w = log_w - (score - score.detach()) * ratio
        if z.requires_grad:
            z.register_hook(lambda gradient: gradient * ratio.flatten(0, 1)[..., None])
        return bound + (share * (log_w - fixed)).sum((0, 1))


def rate(
    posterior: dist.TorchDistribution, prior: dist.TorchDistribution, z: Tensor, analytic: bool
) -> Tensor:
    """Return KL(q(z|x) || p(z)) for each image, in nats.

    Args:
        posterior: q(z|x), batch shape (B,).
        prior: p(z).
        z: draws from the posterior, (..., B, D).
        analytic: use the closed form if it is known, instead of the draws.

    Returns:
        The rates, (B,) in closed form, else (..., B).
    """
    if analytic:
        try:
            # Expand, since not every closed form broadcasts: that of two Bernoullis does not.
            return kl_divergence(posterior, prior.expand(posterior.batch_shape))
        except NotImplementedError:
            pass
    return posterior.log_prob(z) - prior.log_prob(z)


def rate_per_dimension(
    posterior: dist.TorchDistribution, prior: dist.TorchDistribution, z: Tensor, analytic: bool
) -> Tensor:
    """Return the rate of every latent dimension, in nats, like `rate`, but with a last axis (D,).

    Raises:
        ObjectiveError: the posterior or the prior does not factorize over dimensions.
    """
    return rate(factors(posterior), factors(prior), z, analytic)


def factors(distribution: dist.TorchDistribution) -> dist.TorchDistribution:
    """Return the one-dimensional factors of a factorized distribution, batch shape (..., D).

    Raises:
        ObjectiveError: the distribution is not factorized.
    """
    base: Any = getattr(distribution, "base_dist", None)
    independent = isinstance(distribution, torch.distributions.Independent)
    if not independent or distribution.event_dim != 1 or base.event_shape:
        raise ObjectiveError(
            "The rate of single dimensions needs a posterior and a prior that factorize, such as "
            f"DiagonalNormal and StandardNormal; {type(distribution).__name__} does not."
        )
    return base


def detached(distribution: dist.TorchDistribution) -> dist.TorchDistribution:
    """Return the same distribution with detached parameters.

    Raises:
        ObjectiveError: its parameters cannot be detached, as those of a flow, which lie in its
            network.
    """
    if isinstance(distribution, torch.distributions.Independent):
        base = detached(distribution.base_dist)
        return base.to_event(distribution.reinterpreted_batch_ndims)
    if isinstance(distribution, ExpandedDistribution):  # Pyro's, of one that cannot expand itself.
        return detached(distribution.base_dist).expand(distribution.batch_shape)
    own = vars(distribution)
    parameters = {name: own[name].detach() for name in distribution.arg_constraints if name in own}
    if "scale_tril" in parameters:  # The same covariance may be kept in other forms as well.
        parameters.pop("covariance_matrix", None)
        parameters.pop("precision_matrix", None)
        if "_unbroadcasted_scale_tril" in own:  # Torch's is not one for each draw.
            parameters["scale_tril"] = own["_unbroadcasted_scale_tril"].detach()
    try:
        if parameters:
            return type(distribution)(**parameters)
    except TypeError:  # The arguments of its constructor have other names.
        pass
    raise ObjectiveError(
        "This gradient needs a posterior whose parameters can be detached, such as "
        f"DiagonalNormal; {type(distribution).__name__} hides its own."
    )


def _draw(
    vae: VAE, x: Tensor, objective: str, samples: int | None = None
) -> tuple[dist.TorchDistribution, dist.TorchDistribution, Tensor, Tensor]:
    """Return q(z|x), p(z), draws z (B, D) and their distortions (B,); of samples, (K, B, ...).

    Raises:
        ObjectiveError: the objective is not defined for the model.
    """
    with vae.unannounced():
        drawn = run_guide(vae, x, samples)
        p, likelihood, trace = run_model(vae, x, drawn, samples)
    if more := sorted({*further_sites(drawn.trace), *further_sites(trace)}):
        raise ObjectiveError(
            f"{objective} knows the latent vector z and the images x alone, and this model also "
            f"has {', '.join(more)}: train it with ELBO, which counts every site."
        )
    if weighted := sorted({*weighted_sites(drawn.trace), *weighted_sites(trace)}):
        raise ObjectiveError(
            f"{objective} counts every image once, and this model weighs or masks "
            f"{', '.join(weighted)}: train it with ELBO, which takes weights and masks."
        )
    q, z, _ = drawn
    if not has_density(q):
        raise ObjectiveError(
            f"{objective} needs a posterior with a density, and Delta has none: train it with "
            "ELBO, or choose another posterior, such as DiagonalNormal."
        )
    if not q.has_rsample or getattr(vae.posterior, "analytic_kl_only", False):
        name = type(vae.posterior).__name__
        raise ObjectiveError(
            f"{objective} needs a reparameterized posterior, and {name} is not one: train it with "
            "ELBO, or choose another posterior, such as DiagonalNormal."
        )
    return q, p, z, -likelihood.log_prob(x)


def _require_weight_one(beta: float) -> None:
    if beta != 1:
        raise ObjectiveError(
            f"IWAE: doubly_reparameterized and partial need beta = 1, but beta is {beta:g}: set it "
            "to 1, without annealing."
        )
