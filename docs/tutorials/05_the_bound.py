r"""
Where the loss comes from
=========================

.. admonition:: What you will be able to do

   Derive the evidence lower bound (ELBO), and say in which step equality is lost,
   and how much; derive the KL divergence between two normal distributions; read a
   loss as distortion plus rate, in nats and in bits; see all of it hold, to the
   digit, on a model whose answers are known.

   *You need to know* :doc:`03_from_points_to_distributions`, what an expectation is,
   and the rules of logarithms. *20 minutes.*

On page 3 the loss was given without a reason: reconstruction plus KL. Here it is
derived from the one thing that we want of a model: that our images are probable under
it.

We check every step with numbers. They are those of a model so simple that all of its
probabilities are known exactly.

A model with a known answer
---------------------------
The *prior* :math:`p(z)` says where latent vectors lie, and the *likelihood*
:math:`p(x \mid z)` which images a latent vector gives. Together they say how probable
an image is, whatever its latent vector:

.. math::

    p(x) = \int p(z)\, p(x \mid z)\, dz .

This is the *evidence*. Training should raise its logarithm, averaged over the images.
For a neural network nobody can compute the integral. But if the decoder is a matrix,

.. math::

    z \sim \mathcal N(0, I), \qquad
    x \mid z \sim \mathcal N(Wz + b,\, s^2 I),

then the image is a sum of normal variables, and so it is normal itself: :math:`p(x)
= \mathcal N(b,\; WW^\top + s^2 I)`. The model is called probabilistic principal
component analysis (Tipping and Bishop, 1999), and scikit-learn finds the best
:math:`W`, :math:`b` and :math:`s` for the digits.
"""

# sphinx_gallery_thumbnail_number = 3
import math

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch
from sklearn.decomposition import PCA
from torch.distributions import kl_divergence

from pyro_vae import VAE, data, evaluate, priors
from pyro_vae.evaluation.importance import log_weights

torch.manual_seed(0)
digits = data.load("digits")
shape, D = digits.image_shape, 8
x = digits.test.as_float(slice(None))
training_images = digits.train.as_float(slice(None)).flatten(1).numpy()


def fit_pca(D):
    """Return W (64, D), b (64,) and s of probabilistic PCA."""
    pca = PCA(D).fit(training_images)
    noise = float(pca.noise_variance_)
    stretched = pca.components_.T * (pca.explained_variance_ - noise) ** 0.5
    W, b = (
        torch.tensor(each, dtype=torch.float) for each in (stretched, pca.mean_)
    )
    return W, b, noise**0.5


W, b, s = fit_pca(D)
prior = dist.Normal(torch.zeros(D), 1.0).to_event(1)
marginal = dist.MultivariateNormal(b, W @ W.T + s**2 * torch.eye(64))


def likelihood(z):
    """Return p(x|z), the distribution of an image of independent pixels."""
    return dist.Normal((z @ W.T + b).unflatten(-1, shape), s).to_event(3)


exact = marginal.log_prob(x.flatten(1))
print(f"log p(x), averaged over {len(x)} test digits: {exact.mean():.2f} nats")

# sphinx_gallery_start_ignore
assert f"{exact.mean():.2f}" == "13.98"
# sphinx_gallery_end_ignore

# %%
# That is the number to remember, 13.98. (It is above 0 because it is the logarithm
# of a density, and a density may be above 1.)
#
# Why not simply average?
# -----------------------
# An integral is an average: :math:`p(x) = \mathbb E_{p(z)}[p(x \mid z)]`. So draw
# many latent vectors from the prior, and average the likelihood of the image over them.
#
# .. admonition:: Predict, then run
#
#    With 1,000 latent vectors for every image, will the logarithm of that average be
#    about right, too high, or too low?

with torch.no_grad():
    logs = torch.stack(
        [likelihood(prior.sample((1_000,))).log_prob(image) for image in x]
    )  # (images, draws)
average = logs.logsumexp(1) - math.log(1_000)
share = (logs - logs.logsumexp(1, keepdim=True)).exp().max(1).values
print(f"log p(x) by averaging over the prior: {average.mean():.2f} nats")
print(f"share of the best draw in the sum:    {share.mean():.0%}")

# sphinx_gallery_start_ignore
assert 4.5 < exact.mean() - average.mean() < 6 and share.mean() > 0.7
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    Too low, by some 5 nats, although there are 1,000 latent vectors for each image and
#    only eight numbers to a latent vector. Nearly all latent vectors decode to some
#    other image, and count for nothing: a single one makes up most of the sum. (The
#    average itself is right in expectation; but its rare, huge terms are seldom drawn.)
#
# We should draw the latent vectors where they matter: near those that could have made
# this very image. This is what the *posterior* :math:`q(z \mid x)` is for, the encoder.
#
# The bound, in four steps
# ------------------------
# Let :math:`q(z)` be any distribution of latent vectors. (We leave out that it depends
# on the image.)
#
# **Step 1. Draw from q instead.** Multiply and divide by it, and correct the average
# with a weight:
#
# .. math::
#
#     p(x) = \int q(z)\, \frac{p(z)\, p(x \mid z)}{q(z)}\, dz
#          = \mathbb E_{q}\!\left[ w(z) \right],
#     \qquad w(z) = \frac{p(z)\, p(x \mid z)}{q(z)} .
#
# This is still exact. **Step 2. Take the logarithm, and exchange it with the
# average:**
#
# .. math::
#
#     \log p(x) = \log \mathbb E_{q}[w(z)] \;\ge\; \mathbb E_{q}[\log w(z)]
#     = \text{ELBO}(x) .
#
# Here equality is lost. The logarithm of an average is never below the average of
# the logarithms (*Jensen's inequality*), because the curve of the logarithm bends
# down. Take two weights, 1 and 3:

low, high = 1.0, 3.0
of_average = math.log((low + high) / 2)
average_of = (math.log(low) + math.log(high)) / 2
print(
    f"log of the average: {of_average:.2f}, average of the logs: {average_of:.2f}"
)

figure, axes = plt.subplots(figsize=(5, 2.8), layout="constrained")
grid = torch.linspace(0.6, 3.6, 200)
axes.plot(grid, grid.log(), label="log w")
axes.plot(
    [low, high], [math.log(low), math.log(high)], "o-", label="between two weights"
)
axes.vlines(
    2, average_of, of_average, color="black", linestyle=":", label="what is lost"
)
axes.set(xlabel="weight w", ylabel="log w")
axes.legend()
plt.show()

# sphinx_gallery_start_ignore
assert f"{of_average:.2f}" == "0.69" and f"{average_of:.2f}" == "0.55"
# sphinx_gallery_end_ignore

# %%
# The average of the logarithms, 0.55, lies on the straight line, below the curve at
# 0.69. For any number of weights the tangent shows the same. Let :math:`\bar w =
# \mathbb E_q[w]`, and lay the tangent to the curve at :math:`\bar w`. A curve that
# bends down lies below its tangents:
#
# .. math::
#
#     \log w \;\le\; \log \bar w + \frac{w - \bar w}{\bar w} .
#
# Average both sides over the draws. The fraction averages to 0, because
# :math:`\mathbb E_q[w - \bar w] = 0`, and what remains is :math:`\mathbb E_q[\log w]
# \le \log \bar w`. Only if all weights are equal is nothing lost.
#
# **Step 3. What is lost?** By the rule of Bayes :math:`p(z)\, p(x \mid z) = p(x)\, p(z
# \mid x)`, where :math:`p(z \mid x)` is the *true* posterior: which latent vectors
# could really have made the image. Put that into the weight, and take its logarithm:
#
# .. math::
#
#     \log w(z) = \log \frac{p(x)\, p(z \mid x)}{q(z)}
#     = \log p(x) - \log \frac{q(z)}{p(z \mid x)} .
#
# The ELBO is the average of this over draws from :math:`q`. The first term does not
# depend on :math:`z`, so averaging leaves it as it is. The average of the second is a
# *KL divergence*, :math:`\mathrm{KL}(q \,\|\, p) = \mathbb E_q[\log q - \log p]`, which
# says how far one distribution is from another:
#
# .. math::
#
#     \text{ELBO}(x) = \mathbb E_q[\log w(z)] = \log p(x) -
#     \underbrace{\mathrm{KL}\left(q(z) \,\|\, p(z \mid x)\right)}_{\text{gap}
#     \;\ge\; 0}.
#
# A KL divergence is 0 where the two distributions are the same, and positive
# otherwise. So the ELBO is a bound whatever :math:`q` is, and the better the encoder
# guesses, the tighter it is.
#
# **Step 4. Split the logarithm** of the weight into what we can compute,
# :math:`\log w(z) = \log p(x \mid z) - \left[\log q(z) - \log p(z)\right]`, and average
# again:
#
# .. math::
#
#     \text{ELBO}(x)
#     = -\underbrace{\mathbb E_{q}\left[-\log p(x \mid z)\right]}_{\text{distortion}}
#     \;-\; \underbrace{\mathrm{KL}\left(q(z) \,\|\, p(z)\right)}_{\text{rate}} .
#
# These are the two terms of page 3, the reconstruction term and the KL. There
# is no true posterior in them, and no integral that we could not estimate from
# draws. Training raises the ELBO in two ways: a better encoder closes the gap, and a
# better decoder raises :math:`\log p(x)` itself. (Auto-Encoding Variational Bayes,
# Kingma and Welling, 2014, equations 1 to 3.)
#
# The bound, watched
# ------------------
# For our model the true posterior is known as well. It is :math:`\mathcal N(M^{-1}
# W^\top (x - b),\; s^2 M^{-1})` with :math:`M = W^\top W + s^2 I`.

M = W.T @ W + s**2 * torch.eye(D)


def true_posterior(x):
    """Return p(z|x). Any callable that returns a Pyro distribution fits a slot."""
    mean = torch.linalg.solve(M, W.T @ (x.flatten(1) - b).T).T
    return dist.MultivariateNormal(mean, s**2 * torch.linalg.inv(M))


vae = VAE(priors.StandardNormal(D), likelihood, true_posterior)
log_w = log_weights(vae, x, samples=500)  # log p(z) p(x|z) / q(z|x), (500, B)
print(f"ELBO under the true posterior: {log_w.mean():.2f} nats")
print(f"largest deviation of the log-weights of an image: {log_w.std(0).max():.4f}")

# sphinx_gallery_start_ignore
assert f"{log_w.mean():.2f}" == "13.98" and log_w.std(0).max() < 1e-3
# sphinx_gallery_end_ignore

# %%
# Under the true posterior the gap is 0, and indeed all weights of an image are the
# same: every single draw gives :math:`\log p(x)`. Now take a posterior with the
# right mean, whose deviation is off by a factor.
#
# .. admonition:: Predict, then run
#
#    Which is worse: clouds that are twice as wide as they should be, or half as
#    wide?


def stretched_posterior(factor):
    """Return the true posterior with its standard deviation multiplied."""

    def posterior(x):
        q = true_posterior(x)
        return dist.MultivariateNormal(q.mean, scale_tril=factor * q.scale_tril)

    return posterior


factors = [0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0]
elbos, gaps = [], []
print("factor     ELBO    + gap = log p(x)")
for factor in factors:
    q = stretched_posterior(factor)
    vae = VAE(priors.StandardNormal(D), likelihood, q)
    elbos.append(log_weights(vae, x, samples=500).mean().item())
    gaps.append(kl_divergence(q(x), true_posterior(x)).mean().item())
    print(
        f"{factor:6.2f} {elbos[-1]:8.2f} {gaps[-1]:8.2f} {elbos[-1] + gaps[-1]:10.2f}"
    )

# sphinx_gallery_start_ignore
for factor, elbo, gap in zip(factors, elbos, gaps, strict=True):
    assert abs(elbo + gap - exact.mean()) < 0.1
    assert abs(gap - D / 2 * (factor**2 - 1 - math.log(factor**2))) < 1e-3
assert f"{gaps[5]:.2f}" == "6.45" and f"{gaps[1]:.2f}" == "2.55"
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    Twice as wide: it loses 6.45 nats, and half as wide only 2.55. The KL of :math:`q`
#    from the true posterior is an average over draws from :math:`q`, and a cloud that
#    is too wide draws latent vectors which could not have made the image. This is why a
#    posterior whose family does not contain the true one tends to become too narrow.
#
# The sum in the last column is :math:`\log p(x)` every time, up to the noise of the
# draws.
#
# The KL between two normal distributions
# ---------------------------------------
# Both the gap and the rate are KL divergences. For normal distributions they have a
# formula, which takes three lines. Let :math:`q = \mathcal N(\mu, \sigma^2)` and
# :math:`p = \mathcal N(m, \tau^2)`. Their log-densities have the same form, so that the
# constants :math:`\frac12 \log 2\pi` cancel:
#
# .. math::
#
#     \log q(z) - \log p(z) = \log \frac{\tau}{\sigma}
#     + \frac{(z - m)^2}{2 \tau^2} - \frac{(z - \mu)^2}{2 \sigma^2} .
#
# Now average over :math:`z \sim q`. By definition :math:`\mathbb E_q (z - \mu)^2 =
# \sigma^2`, and :math:`\mathbb E_q (z - m)^2 = \sigma^2 + (\mu - m)^2`, because the
# distance to another point than the mean has the square of the offset on top. So
#
# .. math::
#
#     \mathrm{KL}(q \,\|\, p) = \log \frac{\tau}{\sigma}
#     + \frac{\sigma^2 + (\mu - m)^2}{2 \tau^2} - \frac12 ,
#
# and with :math:`m = 0` and :math:`\tau = 1` it is :math:`\frac12 (\mu^2 + \sigma^2 - 1
# - \log \sigma^2)`, the KL term of page 3. Where dimensions are independent, their
# log-densities add up, and so do their divergences.


def kl(mu, sigma, m, tau):
    """Return the divergence of N(mu, sigma^2) from N(m, tau^2)."""
    return (tau / sigma).log() + (sigma**2 + (mu - m) ** 2) / (2 * tau**2) - 0.5


mu, m = torch.randn(2, 1000)
sigma, tau = torch.rand(2, 1000) + 0.1
by_torch = kl_divergence(dist.Normal(mu, sigma), dist.Normal(m, tau))
difference = (kl(mu, sigma, m, tau) - by_torch).abs() / by_torch.clamp(min=1)
print(f"ours and PyTorch's differ by at most {difference.max():.0e}")

one, two = torch.tensor(1.0), torch.tensor(2.0)
wide, narrow = kl(0, two, 0, one), kl(0, one / 2, 0, one)
print(f"twice as wide: {wide:.3f} nats in a dimension; half as wide: {narrow:.3f}")

# sphinx_gallery_start_ignore
assert difference.max() < 1e-5
assert f"{wide:.3f}" == "0.807" and f"{narrow:.3f}" == "0.318"
assert f"{D * wide:.2f}" == "6.45" and f"{D * narrow:.2f}" == "2.55"
# sphinx_gallery_end_ignore

# %%
# These are the gaps of the table above: 8 dimensions times 0.807 nats are 6.45, and
# 8 times 0.318 are 2.55.
#
# Distortion and rate
# -------------------
# Why these two names? Imagine that the image is to be sent to somebody who has the
# decoder. First you send the latent vector, which costs the *rate*: how much more is
# known about the latent vector after the image has been seen than before,
# :math:`\mathrm{KL}(q(z \mid x) \,\|\, p(z))`. Then you send what the latent vector got
# wrong, which costs the *distortion*. The length of the whole message is their sum,
# which is :math:`-\text{ELBO}`.
#
# Lengths are measured in *nats* where logarithms are natural, and in *bits* where
# they are to base 2. A nat is :math:`1 / \log 2 = 1.44` bits.
#
# .. admonition:: Predict, then run
#
#    We give the model longer latent vectors, from 1 to 32 numbers. Which of rate,
#    distortion and their sum will rise, and which will fall? Does the sum level off?

rows = []
print(" D   rate in nats   in bits   distortion   -ELBO")
for D_now in (1, 2, 4, 8, 16, 32):
    W_now, b_now, s_now = fit_pca(D_now)
    M_now = W_now.T @ W_now + s_now**2 * torch.eye(D_now)
    mean = torch.linalg.solve(M_now, W_now.T @ (x.flatten(1) - b_now).T).T
    q = dist.MultivariateNormal(mean, s_now**2 * torch.linalg.inv(M_now))
    p = dist.MultivariateNormal(torch.zeros(D_now), torch.eye(D_now))
    total = -dist.MultivariateNormal(
        b_now, W_now @ W_now.T + s_now**2 * torch.eye(64)
    ).log_prob(x.flatten(1))
    rate = kl_divergence(q, p).mean().item()
    total = total.mean().item()
    rows.append((D_now, rate, total - rate, total))
    bits = rate / math.log(2)
    print(f"{D_now:2d}{rate:15.2f}{bits:10.2f}{total - rate:13.2f}{total:8.2f}")

# sphinx_gallery_start_ignore
sizes, rates, distortions, totals = zip(*rows, strict=True)
assert list(rates) == sorted(rates)
assert list(distortions) == sorted(distortions, reverse=True)
assert list(totals) == sorted(totals, reverse=True)
assert f"{rates[3]:.2f}" == "10.21" and f"{rates[3] / math.log(2):.2f}" == "14.73"
assert f"{1 / math.log(2):.2f}" == "1.44"
assert f"{totals[4] - totals[5]:.2f}" == "10.61"
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    The rate rises: a longer latent vector says more. The distortion falls by more than
#    that, so their sum falls as well, and does not level off: from 16 to 32 numbers it
#    still falls by 10.61 nats. With 8 numbers the rate is 10.21 nats, or 14.73 bits.
#
# A rate is a true number of bits, and cannot be negative. The distortion here is
# one of a density, so that it depends on the unit in which pixels are measured, and
# may be negative. :doc:`06_which_likelihood` turns it into bits.

figure, axes = plt.subplots(figsize=(5.5, 3), layout="constrained")
axes.plot(sizes, rates, "o-", label="rate")
axes.plot(sizes, distortions, "o-", label="distortion")
axes.plot(sizes, totals, "o--", color="black", label="their sum, -ELBO")
axes.set(xscale="log", xlabel="latent dimensions D", ylabel="nats per image")
axes.set_xticks(sizes, sizes)
axes.minorticks_off()
axes.legend()
plt.show()

# %%
# ``evaluate`` prints these numbers for any model. It estimates them from one draw of
# the latent vector of each image, and takes the rate by formula where there is one.
# Here the rate is estimated from the draw as well: at the same latent vector, the
# errors of the two terms cancel.

vae = VAE(priors.StandardNormal(D), likelihood, true_posterior)
found = evaluate(vae, digits.test, analytic_kl=False)
print(found)

# sphinx_gallery_start_ignore
assert f"{found.elbo:.2f}" == "13.98"
# sphinx_gallery_end_ignore

# %%
# More draws, a tighter bound
# ---------------------------
# In step 2 we gave up on the logarithm of an average. We need not give it up
# entirely: average :math:`K` weights *inside* the logarithm. The bound rises with
# :math:`K`, from the ELBO to :math:`\log p(x)` (Importance Weighted Autoencoders,
# Burda et al., 2016, theorem 1). Take the posterior that is twice too wide:

vae = VAE(priors.StandardNormal(D), likelihood, stretched_posterior(2.0))
counts = [1, 10, 100, 1000]
bounds = []
for K in counts:
    log_w = log_weights(vae, x, samples=K)
    bounds.append((log_w.logsumexp(0) - math.log(K)).mean().item())
    below = exact.mean() - bounds[-1]
    print(f"K = {K:4d}: {bounds[-1]:6.2f} nats, {below:.2f} below log p(x)")

figure, (left, right) = plt.subplots(
    1, 2, figsize=(6.5, 3.2), sharey=True, layout="constrained"
)
left.plot(factors, elbos, "o-", label="ELBO")
left.set(xscale="log", xlabel="deviation / the true posterior's")
left.set(ylabel="nats per image")
left.set_xticks(factors, factors)
left.minorticks_off()
right.plot(counts, bounds, "o-", color="tab:green", label="bound of K weights")
right.set(xscale="log", xlabel="draws K, deviation twice too wide")
for axes in (left, right):
    axes.axhline(exact.mean(), color="black", linestyle="--", label="log p(x)")
    axes.legend()
plt.show()

# sphinx_gallery_start_ignore
assert bounds[0] < bounds[1] < bounds[2] and abs(bounds[3] - exact.mean()) < 0.1
# sphinx_gallery_end_ignore

# %%
# The ELBO touches the dashed line where the posterior is right (left), and
# importance weights bring even a posterior that is twice too wide up to it (right).
# A bound holds in expectation: where it is as tight as in the last line, the noise
# of the draws may lift it a little above. This is how :math:`\log p(x)` is estimated
# for models where it is not known; :doc:`09_is_it_good` does so.
#
# Two questions are left, and each has a short page: how the gradient of an average
# over draws is found (:doc:`05b_gradients`), and what changes if the rate is drawn,
# too, instead of computed (:doc:`05c_sampled_rate`).
#
# .. admonition:: Exercise
#
#    Move the mean of the true posterior by one of its own deviations, in every
#    dimension. (``q.scale_tril @ torch.ones(8)`` is that shift; the matrix is diagonal
#    here.) Work out the gap from the formula above, for 8 dimensions; then check it
#    with ``log_weights``.
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/shifted_posterior.py
#          :language: python
