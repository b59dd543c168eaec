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
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from html import escape
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor, nn

from pyro_vae._arguments import Batch, Checked, Count, Images, Latents, checked, in_short
from pyro_vae._modes import evaluating, seeded
from pyro_vae._module import device_of
from pyro_vae._notebook import SHOWN, picture_of
from pyro_vae._spelling import old_names
from pyro_vae.errors import ArgumentError, PyroVAEError

_serial = itertools.count()


class VAE(Checked, nn.Module):
    """A variational autoencoder: prior p(z), likelihood p(x|z), posterior q(z|x).

    Each slot takes any callable that returns a Pyro distribution: one of this library's modules,
    another `nn.Module`, or a plain function.

    Args:
        prior: called as `prior()`; batch shape (), event shape (D,). If it has a method
            `join(vae)`, the model calls it once, with itself.
        likelihood: called as `likelihood(z)`; batch shape z.shape[:-1], event shape (C, H, W).
        posterior: called as `posterior(x)`; batch shape (B,), event shape (D,).

    Example:
        >>> from pyro_vae import VAE, likelihoods, networks, posteriors, priors
        >>> vae = VAE(
        ...     priors.StandardNormal(2),
        ...     likelihoods.Normal(networks.MLPDecoder(2, (1, 8, 8))),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> vae.latent_size, vae.image_shape
        (2, torch.Size([1, 8, 8]))
        >>> vae.sample(16).shape
        torch.Size([16, 1, 8, 8])
        >>> vae.encode(vae.sample(16)).batch_shape
        torch.Size([16])
    """

    def __init__(
        self,
        prior: Callable[[], dist.TorchDistribution],
        likelihood: Callable[[Tensor], dist.TorchDistribution],
        posterior: Callable[[Tensor], dist.TorchDistribution],
    ) -> None:
        super().__init__()
        self.prior = prior
        self.likelihood = likelihood
        self.posterior = posterior
        self._announces = True
        self._take_name()
        # A prior may share the model's other parts, as a VampPrior does.
        join = getattr(prior, "join", None)
        if callable(join):
            join(self)

    @property
    @torch.no_grad()
    def latent_size(self) -> int:
        """The dimension D."""
        with evaluating(self):
            return self.prior().event_shape[0]

    @property
    @torch.no_grad()
    def image_shape(self) -> torch.Size:
        """The shape (C, H, W) of the likelihood's images."""
        with evaluating(self):
            return self.likelihood(self.zeros(1, self.latent_size)).event_shape

    @property
    def decoded_size(self) -> tuple[int, int] | None:
        """The size (H, W) that the decoder was built for; None if it does not say."""
        shape = getattr(getattr(self.likelihood, "decoder", None), "image_shape", None)
        return None if shape is None else (shape[-2], shape[-1])

    def model(self, x: Tensor, beta: float = 1.0) -> None:
        """Draw z from the prior and score images x (B, C, H, W) under the likelihood."""
        self._announce("prior", "likelihood")
        with pyro.plate("images", len(x)):
            with weighted(beta):
                z = pyro.sample("z", self.prior())
            pyro.sample("x", self.likelihood(z), obs=x)

    def guide(self, x: Tensor, beta: float = 1.0) -> None:
        """Draw z from the posterior of images x (B, C, H, W)."""
        self._announce("posterior")
        with pyro.plate("images", len(x)), weighted(beta):
            pyro.sample("z", self.posterior(x))

    @contextmanager
    def unannounced(self) -> Iterator[None]:
        """Register no parameters for Pyro's SVI within a block, where modules hold them anyway."""
        before, self._announces = self._announces, False
        try:
            yield
        finally:
            self._announces = before

    @checked
    def encode(self, x: Batch) -> dist.TorchDistribution:
        """Return q(z|x) of images (B, C, H, W): batch shape (B,), event shape (D,).

        Raises:
            ArgumentError: x is not a tensor of finite floats, or does not fit the model.
        """
        self._require_size(x)
        try:
            return self.posterior(x)
        except (RuntimeError, ValueError, IndexError) as error:
            self._explain(error, "VAE.encode: x", x, lambda: self.image_shape)
            raise

    @checked
    def decode(self, z: Latents) -> dist.TorchDistribution:
        """Return p(x|z) of latent vectors (..., D): batch shape (...), event shape (C, H, W).

        Raises:
            ArgumentError: z is not a tensor of finite floats, or does not fit the model.
        """
        try:
            return self.likelihood(z)
        except (RuntimeError, ValueError, IndexError) as error:
            self._explain(error, "VAE.decode: z", z, lambda: torch.Size([self.latent_size]))
            raise

    @checked
    @torch.no_grad()
    def sample(self, n: Count) -> Tensor:
        """Return n new images, (n, C, H, W) in [0, 1].

        They are the likelihood's mean at draws from the prior, or a draw where it has no mean.

        Raises:
            UnsupportedError: the prior is the flat one of an autoencoder, which has no draws.
        """
        return self.images(self.prior().sample((n,)))

    @checked
    @torch.no_grad()
    def reconstruct(self, x: Images) -> Tensor:
        """Encode images (B, C, H, W) and decode them again: same shape, in [0, 1].

        The latent vectors are those of `center`: the posterior's means, where it has one.
        """
        return self.images(center(self.encode(x)))

    @checked
    @torch.no_grad()
    def images(self, z: Latents) -> Tensor:
        """Decode latent vectors (..., D) to images (..., C, H, W) in [0, 1].

        They are the likelihood's mean, or a draw where it has no mean.
        """
        return _mean_or_draw(self.decode(z)).clamp(0, 1)

    def zeros(self, *shape: int) -> Tensor:
        """Return zeros on the device and in the precision of the parameters."""
        parameter = next(self.parameters(), torch.empty(0))
        return torch.zeros(shape, device=self.device, dtype=parameter.dtype)

    @property
    def device(self) -> torch.device:
        """The device of the parameters."""
        return device_of(self)

    def _require_size(self, x: Tensor) -> None:
        """Refuse images of another size than the decoder's, which some encoders would take.

        Raises:
            ArgumentError: naming both sizes.
        """
        if self.decoded_size not in (None, tuple(x.shape[-2:])):
            self._explain(None, "VAE.encode: x", x, lambda: self.image_shape)

    def __repr__(self) -> str:
        count = sum(each.numel() for each in self.parameters())
        lines = [f"VAE{self._shapes()} with {count:,} parameters"]
        for slot in ("prior", "likelihood", "posterior"):
            part = getattr(self, slot)
            networks = [name_of(each) for each in _networks(part)]
            inside = f"({', '.join(networks)})" if networks else ""
            lines.append(f"  {slot}: {name_of(part)}{inside}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Show a few samples in a notebook, the same whenever the weights are."""
        try:
            with seeded(0, self.device), evaluating(self):
                levels = (255 * self.sample(SHOWN)).round().to(torch.uint8)
            picture = picture_of(levels)
        except Exception:  # An autoencoder has no samples; a model that does not fit is shown, too.
            picture = ""
        return f"{picture}<pre>{escape(repr(self))}</pre>"

    def _shapes(self) -> str:
        """Return the shape of images and latent vectors; nothing where a slot cannot say it."""
        try:
            with torch.no_grad(), seeded(0, self.device):
                shape = "×".join(map(str, self.image_shape))
                size = self.latent_size
        except Exception:  # A model that does not fit together is shown, too.
            return ""
        return f" of images {shape}, {size} latent dimension{'s' * (size != 1)},"

    def _explain(
        self, error: Exception | None, name: str, given: Tensor, expected: Callable[[], torch.Size]
    ) -> None:
        """Raise an error in words where a slot cannot take the tensor that it was given."""
        if isinstance(error, PyroVAEError):
            return
        with seeded(0, self.device):
            shape = expected()
        wanted = self.zeros(0)
        fits = given.shape[-len(shape) :] == shape and given.device == wanted.device
        if not fits or given.dtype != wanted.dtype:
            sizes = ", ".join(map(str, shape))
            raise ArgumentError(
                f"{name} must be a tensor of shape (..., {sizes}), {wanted.dtype} on "
                f"{wanted.device}, got {in_short(given)} on {given.device}."
            ) from error

    def _announce(self, *slots: str) -> None:
        """Register the parameters of these slots for Pyro's SVI.

        The name is unique to this instance: under a name that is already in its store, Pyro would
        replace our parameters by the old ones.
        """
        if not self._announces:
            return
        for slot in slots:
            if isinstance(part := getattr(self, slot), nn.Module):
                pyro.module(f"{self._name}.{slot}", part)

    def _take_name(self) -> None:
        self._name = f"vae{next(_serial)}"
        weakref.finalize(self, _forget, self._name)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copied or unpickled model, under a name of its own."""
        super().__setstate__({"_announces": True} | state)
        self._take_name()


def name_of(part: object) -> str:
    """Return the name of a part's class, or of a function, which may lie beneath a partial."""
    if isinstance(part, nn.Module):
        return type(part).__name__
    return getattr(getattr(part, "func", part), "__name__", type(part).__name__)


def networks_of(vae: VAE) -> list[nn.Module]:
    """Return the encoder and the decoder of a model, each once, where its slots name them so."""
    found = [*_networks(vae.posterior), *_networks(vae.likelihood)]
    return list(dict.fromkeys(found))


def _networks(part: object) -> list[nn.Module]:
    """Return the encoder or the decoder of a slot, whatever its name."""
    if not isinstance(part, nn.Module):
        return []
    return [each for name, each in part.named_children() if name in ("encoder", "decoder")]


def weighted(beta: float) -> AbstractContextManager[Any]:
    """Return a context in which log-probabilities are multiplied by beta >= 0."""
    if beta == 1:
        return nullcontext()
    return poutine.scale(scale=beta) if beta > 0 else poutine.mask(mask=False)


def center(posterior: dist.TorchDistribution) -> Tensor:
    """Return one latent vector for each image, (B, D): the posterior's mean, or else a draw.

    Binary codes use the mode: their mean is not binary.
    """
    if not _discrete(posterior):
        return _mean_or_draw(posterior)
    try:
        return posterior.mode.nan_to_num()  # It is NaN where 0 and 1 are equally likely.
    except NotImplementedError:
        return posterior.sample()


def _discrete(distribution: dist.TorchDistribution) -> bool:
    try:
        support = distribution.support
    except NotImplementedError:
        return False
    return support is not None and support.is_discrete


def mean_of(distribution: dist.TorchDistribution) -> Tensor | None:
    """Return a distribution's mean, or None where it is unknown or not finite."""
    try:
        mean = distribution.mean
    except (NotImplementedError, AttributeError):
        return None
    # The mean of a Cauchy distribution, for example, is NaN.
    return mean if mean.isfinite().all() else None


def _mean_or_draw(distribution: dist.TorchDistribution) -> Tensor:
    mean = mean_of(distribution)
    return distribution.sample() if mean is None else mean


def _forget(name: str) -> None:
    """Remove a dead model's parameters from Pyro's store."""
    store = pyro.get_param_store()
    for key in [key for key in store.keys() if key.startswith(f"{name}.")]:  # noqa: SIM118
        try:
            del store[key]
        except KeyError:
            # Pyro forgets a parameter with the first of its names: one that two slots share has
            # two, as have those that a shallow copy shares.
            store._constraints.pop(key, None)


__getattr__ = old_names(__name__, {"centre": center})
