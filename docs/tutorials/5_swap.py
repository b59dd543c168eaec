r"""
Swap a distribution
===================

A model is three distributions, and each is one argument. This page trains the same
networks on scikit-learn's digits with several priors, then with other posteriors
and other objectives, and judges all of them by the same numbers. Nothing else in
the program changes.
"""

# %%
# One line for each model
# -----------------------
# Every model has two latent dimensions, and Normal pixels with one learned sigma.

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch

from pyro_vae import (
    VAE,
    data,
    evaluate,
    fit,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
)
from pyro_vae.analysis import embed
from pyro_vae.analysis.latents import outline_prior

digits = data.load("digits")
shape, D = digits.image_shape, 2


def train(prior, posterior=posteriors.DiagonalNormal, objective=None):
    """Return a small model, trained for 25 epochs."""
    torch.manual_seed(0)
    vae = VAE(
        prior=prior(),
        likelihood=likelihoods.Normal(
            networks.MLPDecoder(D, shape), scale=0.3, learned=True
        ),
        posterior=posterior(networks.MLPEncoder(shape), D),
    )
    settings = {
        "epochs": 25,
        "batch_size": 128,
        "learning_rate": 1e-2,
        "progress": False,
    }
    fit(vae, digits.train, objective=objective, **settings)
    return vae


def report(name, vae):
    """Print one row of a table; log p(x) comes from 500 importance samples."""
    found = evaluate(vae, digits.test, samples=500)
    numbers = found.elbo, found.distortion, found.rate, found.log_likelihood
    print(f"{name:25s}" + "".join(f"{each:11.2f}" for each in numbers))


HEADER = f"{'nats per image':25s}       ELBO distortion       rate   log p(x)"

# %%
# The prior
# ---------
# The first models differ in their prior: a standard Normal; a mixture of ten
# Gaussians; a VampPrior (Tomczak and Welling, 2018), which is the mixture of the
# posteriors of learned pseudo-inputs; a normalizing flow; and a function of two
# lines, of which this library knows nothing.


def student_t():
    """Return a Student-t distribution of event shape (D,)."""
    return dist.StudentT(4.0, torch.zeros(D), 1.0).to_event(1)


chosen = {
    "StandardNormal": lambda: priors.StandardNormal(D),
    "MixtureOfGaussians": lambda: priors.MixtureOfGaussians(D, components=10),
    "VampPrior": lambda: priors.VampPrior(D, components=30),
    "NormalizingFlow": lambda: priors.NormalizingFlow(D),
    "a function: Student-t": lambda: student_t,
}
models = {name: train(prior) for name, prior in chosen.items()}

print(HEADER)
for name, vae in models.items():
    report(name, vae)

# %%
# A prior that learns to be where the codes are charges less for the same codes.
# Training spends most of that gain on codes that say more, so that it is the
# distortion that falls. In the figure the points are the codes of the test digits,
# with one color for each digit, and the lines enclose 50 and 95% of the prior's
# mass: draws from the prior lie there.

figure, panels = plt.subplots(2, 3, figsize=(9, 6), layout="constrained")
panels[1, 2].set_axis_off()
for panel, (name, vae) in zip(panels.flat, models.items(), strict=False):
    panel.scatter(
        *embed(vae, digits.test).T, c=digits.test.labels, cmap="tab10", s=6
    )
    panel.set_title(name)
    outline_prior(panel, vae)

# %%
# The posterior
# -------------
# The next two posteriors have correlated dimensions; the second is bent by a flow
# that the encoder controls.

print(HEADER)
report("DiagonalNormal", models["StandardNormal"])
standard = chosen["StandardNormal"]
for posterior in (posteriors.FullNormal, posteriors.InverseAutoregressiveFlow):
    report(posterior.__name__, train(standard, posterior=posterior))

# %%
# The objective
# -------------
# What is maximized is a separate choice, and what is reported stays the same. IWAE
# with 10 samples trains for log p(x) rather than for the ELBO. Its posterior may be
# farther from the true one: log p(x) rises, the ELBO falls, and the gap between
# them (:doc:`1_the_bound`) widens.

print(HEADER)
report("ELBO", models["StandardNormal"])
for name, objective in [
    ("IWAE, 10 samples", objectives.IWAE(10)),
    ("free bits, 2 nats each", objectives.FreeBits(2.0)),
]:
    report(name, train(standard, objective=objective))
