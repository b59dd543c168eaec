r"""
A gradient through a draw
=========================

.. admonition:: What you will be able to do

   Estimate the gradient of an average over draws in two ways; say why one of them is
   so noisy, and by how much; tell a standard deviation from a variance in a draw.

   *You need to know* :doc:`05_the_bound`. *10 minutes.*

The ELBO is an expectation under the posterior, :math:`\mathbb E_{q_\phi(z)}[f(z)]`,
and the encoder that computes :math:`q_\phi` must be trained with its gradient with
respect to :math:`\phi`. The draw stands in the way: how does a sampled number
depend on the parameters it was sampled with? There are two answers. Both are right
on average, and one of them is the reason why variational autoencoders train at all.
"""

# %%
# The score function
# ------------------
# The gradient can be moved onto the density alone ("REINFORCE", Williams, 1992):
#
# .. math::
#
#     \nabla_\phi\, \mathbb E_{q_\phi}[f(z)]
#     = \mathbb E_{q_\phi}[f(z)\, \nabla_\phi \log q_\phi(z)],
#
# because :math:`\nabla q = q\, \nabla \log q`, so that :math:`\nabla \int q f\, dz =
# \int q f\, \nabla \log q\, dz`.
#
# This estimator needs no gradient of :math:`f` and works for binary latent vectors.
# Pyro falls back to it when a posterior is not reparameterized.
#
# Reparameterization
# ------------------
# A draw from a Normal can be written as a function of its parameters and of noise
# that does not depend on them (Auto-Encoding Variational Bayes, Kingma and Welling,
# 2014, section 2.4):
#
# .. math::
#
#     z = \mu + \sigma \odot \varepsilon, \quad \varepsilon \sim \mathcal N(0, I)
#     \qquad\Longrightarrow\qquad
#     \nabla_\phi\, \mathbb E_{q_\phi}[f(z)]
#     = \mathbb E_\varepsilon[\nabla_\phi f(\mu + \sigma \varepsilon)].
#
# Now the gradient passes through :math:`f`, the decoder, and says in which
# direction the latent vector should move. Let us measure both for the mean :math:`\mu` of
# latent vectors of 2, 8 and 32 dimensions, with :math:`f(z) = -\frac12 \lVert z - a
# \rVert^2`, whose true gradient is :math:`a - \mu`.
#
# .. admonition:: Predict, then run
#
#    The true gradient of the first number of the mean is 1, however many numbers there
#    are. Will the noise of the two estimates depend on how many there are?

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch

torch.manual_seed(0)
DRAWS, SIGMA = 20_000, 0.5


def f(z):
    """Return f(z), which is highest at a = (1, ..., 1)."""
    return -0.5 * ((z - 1) ** 2).sum(-1)


def one_gradient_a_draw(size, reparameterized):
    """Return the gradient in the mean, estimated from each draw: (DRAWS, size)."""
    mean = torch.zeros(DRAWS, size, requires_grad=True)  # a copy per draw
    q = dist.Normal(mean, SIGMA).to_event(1)
    if reparameterized:
        objective = f(q.rsample())
    else:
        z = q.sample()
        objective = f(z) * q.log_prob(z)
    return torch.autograd.grad(objective.sum(), mean)[0]


print(
    "the gradient's first component: mean and deviation over draws (the truth is 1)"
)
sizes, deviations = [2, 8, 32], {True: [], False: []}
for size in sizes:
    for reparameterized, name in (
        (True, "reparameterized"),
        (False, "score function"),
    ):
        first = one_gradient_a_draw(size, reparameterized)[:, 0]
        deviations[reparameterized].append(first.std())
        print(f"D = {size:2d}, {name:15s}: {first.mean():6.3f}, {first.std():6.3f}")

# sphinx_gallery_start_ignore
reparameterized, score = deviations[True], deviations[False]
assert all(abs(each - SIGMA) < 0.02 for each in reparameterized)
assert score[0] > 3 * SIGMA and score[2] > 8 * score[0]
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    That of the score function does, that of the reparameterized gradient does not.
#
# Both are right on average, within the error of their means. But the score function
# multiplies everything by :math:`f(z)`, including the parts of it that the first
# coordinate has nothing to do with, so its noise grows with the size of the latent
# vector; that of the reparameterized gradient does not grow at all. For an estimate
# that is equally certain, the score function needs more draws; how many times as many
# is the square of the ratio of the two standard deviations:

ratios = [
    (s / r).item() ** 2
    for r, s in zip(deviations[True], deviations[False], strict=True)
]
for size, ratio in zip(sizes, ratios, strict=True):
    print(f"D = {size:2d}: {ratio:,.0f} times as many draws")

figure, axes = plt.subplots(figsize=(5, 3), layout="constrained")
axes.plot(
    sizes, [each.item() for each in deviations[False]], "o-", label="score function"
)
axes.plot(
    sizes, [each.item() for each in deviations[True]], "o-", label="reparameterized"
)
axes.set(
    xscale="log",
    yscale="log",
    xlabel="latent dimensions D",
    ylabel="deviation of a gradient",
)
axes.set_xticks(sizes, sizes)
axes.minorticks_off()
axes.legend()
plt.show()

# %%
# Two common mistakes
# -------------------
# Both are from articles that this library rebuilds as *recipes*, each of which is a data
# set, a model and the settings of a training under one name (:doc:`11_slips`).
#
# The article behind the recipe ``mnist_mlp`` says that without the KL term no gradient
# could train the encoder. That is wrong: :math:`f` above contains no KL, and its
# gradient still reaches :math:`\mu`. What lets the gradient through is the
# reparameterization.
#
# The text (not the program) of the article behind ``fashion_batchnorm`` has
# :math:`\mu + \sigma^2 \varepsilon` in place of :math:`\mu + \sigma \varepsilon`: it
# multiplies the noise by the *variance*.
#
# .. admonition:: Predict, then run
#
#    The draws should have a deviation of 0.5. How wide are they with this slip?

noise = torch.randn(DRAWS)
print(f"sigma = {SIGMA}")
print(f"deviation of mu + sigma   * noise: {(SIGMA * noise).std():.3f}")
print(f"deviation of mu + sigma^2 * noise: {(SIGMA**2 * noise).std():.3f}")

# sphinx_gallery_start_ignore
assert f"{(SIGMA**2 * noise).std():.2f}" == "0.25" and SIGMA == 0.5
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    Half as wide, 0.25. The encoder can make up for that by returning a larger
#    :math:`\sigma`. But then the KL in the loss is that of one cloud, and the draws come
#    from another.
#
# .. admonition:: Exercise
#
#    Most of the noise comes from the average value of :math:`f`, which multiplies
#    :math:`\nabla \log q` in every draw and can be subtracted: replace :math:`f(z)` by
#    :math:`f(z) - c`, where the *baseline* c is the average of f over other draws. The
#    gradient stays right, because :math:`\mathbb E_q[\nabla \log q] = 0`. By what
#    factor does the deviation fall, in 2, 8 and 32 dimensions?
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/baseline.py
#          :language: python
