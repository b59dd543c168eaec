r"""
The rate: sampled, or in closed form
====================================

.. admonition:: What you will be able to do

   Estimate a rate from draws where there is no formula; say how noisy that is, and how
   the noise falls with the size of a batch; say when the formula does not help.

   *You need to know* :doc:`05_the_bound`. *10 minutes.*

The *rate* is what a latent vector costs, in nats: :math:`\mathrm{KL}(q(z \mid x) \,\|\,
p(z))`. For two Normals there is a formula,

.. math::

    \mathrm{KL}\left(\mathcal N(\mu, \sigma^2) \,\|\, \mathcal N(0, 1)\right)
    = \tfrac12 (\mu^2 + \sigma^2 - 1) - \log \sigma .

For most pairs of distributions there is none. But the rate can always be estimated
from draws (Kingma and Welling, 2014, equation 6 instead of equation 7):

.. math::

    \mathrm{KL}(q \,\|\, p) = \mathbb E_{q}[\log q(z) - \log p(z)]
    \approx \log q(z) - \log p(z), \quad z \sim q .

So nothing in this library assumes a Normal: ``objectives.ELBO()`` samples the rate, and
``objectives.ELBO(analytic_kl=True)`` uses the formula where there is one. (``evaluate``
does, too, unless told ``analytic_kl=False``.) Is one draw enough?
"""

# %%
# One draw, one dimension
# -----------------------
# Let q move toward the prior, and look at what one draw, made from the same noise
# every time, contributes.
#
# .. admonition:: Predict, then run
#
#    A KL divergence is never negative. May the contribution of one draw be?

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch
from torch.distributions import kl_divergence

torch.manual_seed(0)
prior = dist.Normal(0.0, 1.0)
noise = torch.tensor(0.8)

print("   mu sigma      z  log q(z)  log p(z)  difference      KL")
for mean, scale in [(3.0, 0.2), (2.0, 0.4), (1.0, 0.6), (0.5, 0.8), (0.0, 1.0)]:
    q = dist.Normal(mean, scale)
    z = mean + scale * noise
    log_q, log_p = q.log_prob(z), prior.log_prob(z)
    exact = kl_divergence(q, prior)
    logs = f"{log_q:9.3f} {log_p:9.3f} {log_q - log_p:11.3f}"
    print(f"{mean:5.1f} {scale:5.1f} {z:6.2f} {logs} {exact:7.3f}")

near = dist.Normal(0.5, 0.8)
draws = near.sample((10_000,))
differences = near.log_prob(draws) - prior.log_prob(draws)
share = (differences < 0).float().mean()
print(f"\n10,000 draws where mu = 0.5 and sigma = 0.8: {share:.0%} are below 0,")
print(f"and the average is {differences.mean():.3f}")

# sphinx_gallery_start_ignore
assert 0.22 < share < 0.3
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    Yes. It is an estimate that is right on average; a single one may be too low, and
#    even below 0. Near the prior this is no rarity: of the draws from the fourth
#    posterior of the table, about a quarter contribute less than 0.
#
# Far from the prior, a draw is probable under q and improbable under p: it costs a
# lot. On the way the two logarithms converge, and where q *is* the prior no draw
# costs anything.

figure, axes = plt.subplots(
    1, 3, figsize=(6.5, 2.4), sharey=True, layout="constrained"
)
grid = torch.linspace(-3.5, 4.5, 400)
for panel, (mean, scale) in zip(
    axes, [(3.0, 0.4), (1.0, 0.6), (0.0, 1.0)], strict=True
):
    q = dist.Normal(mean, scale)
    panel.plot(grid, prior.log_prob(grid).exp(), label="p(z)")
    panel.plot(grid, q.log_prob(grid).exp(), label="q(z|x)")
    panel.set(title=f"KL = {kl_divergence(q, prior):.2f} nats", xlabel="z")
axes[0].set_ylabel("density")
axes[0].legend()
plt.show()

# %%
# A batch
# -------
# Training averages over a batch, and what matters is the noise of that average.
# Take 256 latent dimensions, as many as an article on CIFAR-10 has (:doc:`11_slips`), and
# posteriors with many different means and standard deviations. Then estimate the rate of
# the batch from one draw for each image, many times over.
#
# .. admonition:: Predict, then run
#
#    The rate of such an image is hundreds of nats, and we estimate it from a single
#    draw. Will the average over 32 images be wrong by about a tenth, a hundredth, or a
#    thousandth?

D, REPEATS = 256, 2_000


def posterior(images):
    """Return different posteriors: batch shape (images,), event shape (D,)."""
    means = torch.randn(images, D)
    scales = torch.empty(images, D).uniform_(0.1, 0.9)
    return dist.Normal(means, scales).to_event(1)


standard = dist.Normal(torch.zeros(D), 1.0).to_event(1)
for images in (1, 32, 128):
    q = posterior(images)
    z = q.sample((REPEATS,))
    drawn = (q.log_prob(z) - standard.log_prob(z)).mean(-1)  # of each repeat
    exact = kl_divergence(q, standard).mean()
    error = drawn.std() / exact
    estimate = f"{drawn.mean():.2f} +- {drawn.std():.2f} nats per image"
    print(f"B = {images:3d}: KL {exact:.2f}, drawn {estimate}: {error:.1%} off")
    # sphinx_gallery_start_ignore
    assert exact > 200 and (images < 32 or error < 0.011)
    # sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    By about a hundredth.
#
# The noise averages out over the dimensions, over the images, and again over the
# steps of a training: at a batch size of 32 the error of a step is a percent or
# less. It shrinks with the square root of the batch size, by one half from 32 to
# 128. That is why the sampled rate can be the default, and why any prior and
# posterior with a ``log_prob`` can be trained.
#
# When the formula helps
# ----------------------
# The sampled ELBO is not always the noisier one. Its parts :math:`\log p(x \mid z)
# + \log p(z) - \log q(z \mid x)` are evaluated at the *same* z, and where q is
# close to the true posterior their errors cancel: in :doc:`05_the_bound` each draw
# gave the ELBO exactly. The closed form removes two of the three, and leaves the
# third with its noise. For example, this is the true posterior of :math:`z \sim
# \mathcal N(0, 1),\; x \mid z \sim \mathcal N(z, 1)`:

x = torch.tensor(1.5)
q = dist.Normal(x / 2, 0.5**0.5)
z = q.sample((20_000,))
distortion = -dist.Normal(z, 1.0).log_prob(x)
sampled = -distortion + prior.log_prob(z) - q.log_prob(z)
closed = -distortion - kl_divergence(q, prior)
print(f"log p(x):             {dist.Normal(0.0, 2**0.5).log_prob(x):.4f}")
print("ELBO, mean and deviation of a draw")
print(f"sampled rate:         {sampled.mean():.4f} +- {sampled.std():.4f}")
print(f"rate by formula:      {closed.mean():.4f} +- {closed.std():.4f}")

# sphinx_gallery_start_ignore
assert sampled.std() < 1e-3 < closed.std()
# sphinx_gallery_end_ignore

# %%
# .. admonition:: Exercise
#
#    The rate of a *Student-t* posterior under a standard normal prior has no formula in
#    PyTorch. Estimate it from draws, for 5 degrees of freedom, a location of 1 and a
#    scale of 0.5, and check it against the integral, summed up on a fine grid. How many
#    draws does it take for an error of 0.01 nats?
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/student_rate.py
#          :language: python
