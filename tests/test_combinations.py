"""What Pythae has as a class each is here a combination of slots, an objective and a setting."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from conftest import small_vae

from pyro_vae import annealing, evaluate, fit, networks, objectives, posteriors, priors
from pyro_vae.objectives import Objective


def posterior(family: Callable, **settings: Any) -> Callable[[int], posteriors.Posterior]:
    def make(latent_size: int) -> posteriors.Posterior:
        encoder = networks.ConvEncoder((1, 8, 8), channels=(8, 16))
        return family(encoder, latent_size, **settings)

    return make


@dataclass(frozen=True)
class Variant:
    """How a variant is said here: what differs from the plain VAE."""

    slots: dict[str, Callable] = field(default_factory=dict)
    objective: Callable[[], Objective] = objectives.ELBO
    settings: dict[str, Any] = field(default_factory=dict)


VARIANTS = {
    "VAE": Variant(),
    "beta-VAE": Variant(settings={"beta": 4.0, "annealing": annealing.Linear(0.5)}),
    "disentangled beta-VAE": Variant(
        objective=lambda: objectives.Capacity(nats=10.0), settings={"beta": 10.0}
    ),
    "beta-TC-VAE": Variant(objective=objectives.TotalCorrelation, settings={"beta": 4.0}),
    "linear-flow VAE": Variant({"posterior": posterior(posteriors.PlanarFlow)}),
    "IAF VAE": Variant({"posterior": posterior(posteriors.InverseAutoregressiveFlow, hidden=16)}),
    "IWAE": Variant(objective=lambda: objectives.IWAE(samples=8)),
    "MIWAE": Variant(objective=lambda: objectives.IWAE(samples=4, repeats=2)),
    "VAMP": Variant({"prior": lambda size: priors.VampPrior(size, components=20)}),
    "hyperspherical VAE": Variant(
        {
            "prior": priors.HypersphereUniform,
            "posterior": posterior(posteriors.PowerSpherical),
        }
    ),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_ten_variants_are_combinations(name, digits):
    variant, size = VARIANTS[name], 3
    vae = small_vae(latent_size=size, **{slot: make(size) for slot, make in variant.slots.items()})
    before = evaluate(vae, digits.test).distortion
    fit(vae, digits.train, objective=variant.objective(), epochs=4, batch_size=100,
        learning_rate=5e-3, device="cpu", progress=False, **variant.settings)  # fmt: skip
    after = evaluate(vae, digits.test, samples=20)
    assert after.distortion < before - 5
    assert after.log_likelihood > after.elbo - 0.5
    assert vae.sample(4).shape == vae.reconstruct(digits.test.as_float(slice(4))).shape
