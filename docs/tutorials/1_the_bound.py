r"""
The bound on log p(x)
=====================

A variational autoencoder is a *prior* :math:`p(z)` over codes, a *likelihood*
:math:`p(x \mid z)` of images given their code, and a *posterior* :math:`q(z \mid
x)` that guesses the code of an image. The first two say how probable an image is,

.. math::

    p(x) = \int p(z)\, p(x \mid z)\, dz,

an integral that is intractable for a neural network. The third turns it into a
bound (Auto-Encoding Variational Bayes, Kingma and Welling, 2014, equations 1 to 3):

.. math::

    \log p(x)
    = \underbrace{\mathbb E_{q(z \mid x)}
      \left[\log \frac{p(z)\, p(x \mid z)}{q(z \mid x)}\right]}_{\text{ELBO}(x)}
    + \underbrace{\mathrm{KL}\left(q(z \mid x) \,\|\, p(z \mid x)\right)}
      _{\text{gap} \;\ge\; 0}.

The ELBO has two parts, :math:`-\text{distortion} - \text{rate}`: the *distortion*
:math:`-\mathbb E_q \log p(x \mid z)` is what an image costs given its code, the
*rate* :math:`\mathrm{KL}(q(z \mid x) \,\|\, p(z))` is what the code costs. All are
in *nats*, the unit of the natural logarithm; a nat is 1.44 bits.

Where everything is linear and Gaussian, all three terms are known exactly, and we
can watch the equation hold. This page does so with real digits.
"""

# %%
# A model with a known answer
# ---------------------------
# Probabilistic PCA (Tipping and Bishop, 1999) is the variational autoencoder whose
# decoder is a matrix: :math:`z \sim \mathcal N(0, I)`, :math:`x \mid z \sim
# \mathcal N(Wz + b, \sigma^2 I)`. scikit-learn finds the best :math:`W`, :math:`b`
# and :math:`\sigma` in closed form.

import math

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch
from sklearn.decomposition import PCA

from pyro_vae import VAE, data, evaluate, priors
from pyro_vae.evaluation.importance import log_weights

torch.manual_seed(0)
digits = data.load("digits")
shape, D = digits.image_shape, 8

pca = PCA(D).fit(digits.train.as_float(slice(None)).flatten(1).numpy())
sigma = float(pca.noise_variance_) ** 0.5
stretched = (
    pca.components_.T * (pca.explained_variance_ - pca.noise_variance_) ** 0.5
)
W, b = (
    torch.tensor(values, dtype=torch.float) for values in (stretched, pca.mean_)
)


def likelihood(z):
    """Return p(x|z), the distribution of an image of independent pixels."""
    return dist.Normal((z @ W.T + b).unflatten(-1, shape), sigma).to_event(3)


# %%
# Its marginal is a Gaussian, :math:`p(x) = \mathcal N(b,\; WW^\top + \sigma^2 I)`,
# and so is its true posterior, :math:`p(z \mid x) = \mathcal N(M^{-1} W^\top (x -
# b),\; \sigma^2 M^{-1})` with :math:`M = W^\top W + \sigma^2 I`.

M = W.T @ W + sigma**2 * torch.eye(D)
marginal = dist.MultivariateNormal(b, W @ W.T + sigma**2 * torch.eye(len(b)))


def true_posterior(x):
    """Return p(z|x). Any callable that returns a Pyro distribution fits a slot."""
    mean = torch.linalg.solve(M, W.T @ (x.flatten(1) - b).T).T
    return dist.MultivariateNormal(mean, sigma**2 * torch.linalg.inv(M))


x = digits.test.as_float(slice(None))
exact = marginal.log_prob(x.flatten(1)).mean()
vae = VAE(priors.StandardNormal(D), likelihood, true_posterior)
found = evaluate(vae, digits.test, analytic_kl=False)
print(f"log p(x) of {len(x)} test digits: {exact:.2f} nats per image")
print(f"ELBO under the true posterior: {found.elbo:.2f}")

# %%
# They agree: under the true posterior the gap is zero. The ELBO is an expectation,
# estimated here from a single draw for each image; but for this one posterior every
# draw gives the same value.
#
# A posterior that is wrong
# -------------------------
# Now take a posterior with the right mean, whose standard deviation is off by a
# factor :math:`s`. Its gap is the divergence between two Gaussians, :math:`\frac D2
# (s^2 - 1 - \log s^2)`, whatever the image.


def stretched_posterior(s):
    """Return the true posterior with its standard deviation multiplied by s."""

    def posterior(x):
        q = true_posterior(x)
        return dist.MultivariateNormal(q.mean, scale_tril=s * q.scale_tril)

    return posterior


factors = [0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0]
elbos = []
print("    s     ELBO  + gap = log p(x)")
for s in factors:
    vae = VAE(priors.StandardNormal(D), likelihood, stretched_posterior(s))
    log_w = log_weights(vae, x, samples=500)  # log p(z) p(x|z) / q(z|x), (500, B)
    elbo = log_w.mean().item()
    gap = D / 2 * (s**2 - 1 - math.log(s**2))
    elbos.append(elbo)
    print(f"{s:5.2f} {elbo:8.2f} {gap:6.2f} {elbo + gap:9.2f}")

# %%
# The sum is :math:`\log p(x)` every time, up to the noise of the draws: what the
# ELBO loses is exactly the divergence from the true posterior. So *maximizing the
# ELBO over q* finds the best posterior, and *maximizing it over p* raises a lower
# bound on what we care about.
#
# More samples, a tighter bound
# -----------------------------
# Averaging :math:`K` weights inside the logarithm gives bounds that rise to
# :math:`\log p(x)` (Importance Weighted Autoencoders, Burda et al., 2016, theorem
# 1). With many weights it is the estimate of :math:`\log p(x)` that ``pyro-vae
# evaluate --samples`` prints.

vae = VAE(priors.StandardNormal(D), likelihood, stretched_posterior(2.0))
counts = [1, 10, 100, 1000]
bounds = []
for K in counts:
    log_w = log_weights(vae, x, samples=K)
    bound = (log_w.logsumexp(0) - math.log(K)).mean().item()
    bounds.append(bound)
    print(f"K = {K:4d}: {bound:6.2f} nats, {exact - bound:.2f} below log p(x)")

# %%
# A bound holds in expectation: where it is as tight as in the last line, the noise
# of the draws may lift it above :math:`\log p(x)`. In the figure, the ELBO touches
# the dashed line where the posterior is right (left), and importance weights bring
# even a posterior that is twice too wide up to it (right).

figure, (left, right) = plt.subplots(
    1, 2, figsize=(9, 3.2), sharey=True, layout="constrained"
)
left.plot(factors, elbos, "o-", label="ELBO")
left.set(
    xscale="log", xlabel="deviation / the true posterior's", ylabel="nats per image"
)
left.set_xticks(factors, factors)
left.minorticks_off()
right.plot(counts, bounds, "o-", color="tab:green", label="bound of K weights")
right.set(xscale="log", xlabel="samples K, deviation twice too wide")
for axes in (left, right):
    axes.axhline(exact, color="black", linestyle="--", label="log p(x)")
    axes.legend()
