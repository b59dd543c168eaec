r"""The variational autoencoder: a Pyro model and a Pyro guide made of three distributions.

.. math::

    p(x, z) = p(z) \, p(x \mid z), \qquad
    \log p(x) \ge \mathrm{ELBO}(x)
    = \underbrace{\mathbb{E}_{q(z \mid x)} \log p(x \mid z)}_{-\text{distortion}}
    - \underbrace{\mathrm{KL}(q(z \mid x) \,\|\, p(z))}_{\text{rate}}

Source: Auto-Encoding Variational Bayes (Kingma and Welling, 2014), equations 2 and 3; the weight
beta on the rate: beta-VAE (Higgins et al., 2017), equation 4.
"""

import itertools
import weakref
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_vae.modes import evaluating
from pyro_vae.module import device_of
from pyro_vae.priors import Prior

_serial = itertools.count()


class VAE(nn.Module):
    """A variational autoencoder: prior p(z), likelihood p(x|z), posterior q(z|x).

    Each slot takes any callable that returns a Pyro distribution: one of this library's modules,
    an `nn.Module` or a plain function of your own.

    Args:
        prior: called as `prior()`; batch shape (), event shape (D,).
        likelihood: called as `likelihood(z)`; batch shape z.shape[:-1], event shape (C, H, W).
        posterior: called as `posterior(x)`; batch shape (B,), event shape (D,).
    """

    def __init__(
        self,
        prior: Callable[[], dist.Distribution],
        likelihood: Callable[[Tensor], dist.Distribution],
        posterior: Callable[[Tensor], dist.Distribution],
    ) -> None:
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood
        self.posterior = posterior
        self._take_name()
        if isinstance(prior, Prior):
            prior.join(self)

    @property
    @torch.no_grad()
    def latent_size(self) -> int:
        """The dimension D."""
        with evaluating(self):
            return self.prior().event_shape[0]

    @property
    @torch.no_grad()
    def image_shape(self) -> torch.Size:
        """(C, H, W), as the likelihood says."""
        with evaluating(self):
            return self.likelihood(self.zeros(1, self.latent_size)).event_shape

    def model(self, x: Tensor, beta: float = 1.0) -> None:
        """The generative program: z from the prior, x from the likelihood. x: (B, C, H, W)."""
        self._announce("prior", "likelihood")
        with pyro.plate("images", len(x)):
            with weighted(beta):
                z = pyro.sample("z", self.prior())
            pyro.sample("x", self.likelihood(z), obs=x)

    def guide(self, x: Tensor, beta: float = 1.0) -> None:
        """The inference program: z from the posterior. x: (B, C, H, W)."""
        self._announce("posterior")
        with pyro.plate("images", len(x)), weighted(beta):
            pyro.sample("z", self.posterior(x))

    def encode(self, x: Tensor) -> dist.Distribution:
        """q(z|x) of images (B, C, H, W): batch shape (B,), event shape (D,)."""
        return self.posterior(x)

    def decode(self, z: Tensor) -> dist.Distribution:
        """p(x|z) of latent vectors (..., D): batch shape (...), event shape (C, H, W)."""
        return self.likelihood(z)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """n new images, (n, C, H, W) in [0, 1]: the likelihood's mean at draws from the prior.

        Raises:
            NotImplementedError: the prior cannot be sampled (the flat prior of an autoencoder).
        """
        return self.images(self.prior().sample((n,)))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """Images (B, C, H, W) coded and decoded again, in [0, 1], same shape.

        Decodes the posterior's mean, or one draw where it has none.
        """
        return self.images(centre(self.encode(x)))

    @torch.no_grad()
    def images(self, z: Tensor) -> Tensor:
        """The images that latent vectors (..., D) decode to, (..., C, H, W) in [0, 1]."""
        return _mean_or_draw(self.decode(z)).clamp(0, 1)

    def zeros(self, *shape: int) -> Tensor:
        """Zeros, on the device and in the precision of the parameters."""
        of_model = next(self.parameters(), torch.empty(0))
        return torch.zeros(shape, device=self.device, dtype=of_model.dtype)

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        return device_of(self)

    def _announce(self, *slots: str) -> None:
        """Tell Pyro's SVI which parameters to train.

        Under a name of this instance's own: under a name already in its store, Pyro would put the
        old parameters in place of ours.
        """
        for slot in slots:
            if isinstance(part := getattr(self, slot), nn.Module):
                pyro.module(f"{self._name}.{slot}", part)

    def _take_name(self) -> None:
        self._name = f"vae{next(_serial)}"
        weakref.finalize(self, _forget, self._name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """A copied or unpickled model is another instance: it takes a name of its own."""
        super().__setstate__(state)
        self._take_name()


def weighted(beta: float) -> poutine.messenger.Messenger:
    """Multiply the log-probability of what is sampled within by beta >= 0."""
    return poutine.scale(scale=beta) if beta > 0 else poutine.mask(mask=False)


def centre(posterior: dist.Distribution) -> Tensor:
    """The code of each image, (B, D): the posterior's mean, or one draw where it has none.

    The mean of binary codes is no code: theirs is the likeliest one.
    """
    if not _discrete(posterior):
        return _mean_or_draw(posterior)
    try:
        return posterior.mode.nan_to_num()  # torch gives NaN where 0 and 1 are equally likely.
    except NotImplementedError:
        return posterior.sample()


def _discrete(distribution: dist.Distribution) -> bool:
    try:
        return distribution.support.is_discrete
    except NotImplementedError:
        return False


def mean_of(distribution: dist.Distribution) -> Tensor | None:
    """A distribution's mean, or None where it is not known or not finite."""
    try:
        mean = distribution.mean
    except (NotImplementedError, AttributeError):
        return None
    # Of a Cauchy, torch says that the mean is NaN.
    return mean if mean.isfinite().all() else None


def _mean_or_draw(distribution: dist.Distribution) -> Tensor:
    mean = mean_of(distribution)
    return distribution.sample() if mean is None else mean


def _forget(name: str) -> None:
    """Remove a dead model's parameters from Pyro's store."""
    store = pyro.get_param_store()
    for key in [key for key in store.keys() if key.startswith(f"{name}.")]:  # noqa: SIM118
        del store[key]
