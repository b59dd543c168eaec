r"""
A gradient through a draw
=========================

The ELBO is an expectation under the posterior, :math:`\mathbb E_{q_\phi(z)}[f(z)]`,
and the encoder that makes :math:`q_\phi` must be trained by its gradient in
:math:`\phi`. The draw stands in the way: how does a sampled number depend on the
parameters it was sampled with? There are two answers. Both are right on average;
one of them is why variational autoencoders train at all.
"""

# %%
# The score function
# ------------------
# The gradient can be moved onto the density alone (Williams, 1992, "REINFORCE"):
#
# .. math::
#
#     \nabla_\phi\, \mathbb E_{q_\phi}[f(z)]
#     = \mathbb E_{q_\phi}[f(z)\, \nabla_\phi \log q_\phi(z)].
#
# It asks nothing of :math:`f`, works for binary codes, and is what Pyro falls back
# to for a posterior that cannot do better.
#
# Reparameterisation
# ------------------
# A Normal draw can be written as a function of its parameters and of noise that
# knows nothing of them (Auto-Encoding Variational Bayes, Kingma and Welling, 2014,
# section 2.4):
#
# .. math::
#
#     z = \mu + \sigma \odot \varepsilon, \quad \varepsilon \sim \mathcal N(0, I)
#     \qquad\Longrightarrow\qquad
#     \nabla_\phi\, \mathbb E_{q_\phi}[f(z)]
#     = \mathbb E_\varepsilon[\nabla_\phi f(\mu + \sigma \varepsilon)].
#
# Now the gradient passes through :math:`f`, the decoder, and says in which
# direction the code should move. Let us measure both for the mean :math:`\mu` of a
# code of 2, 8 and 32 dimensions, with :math:`f(z) = -\frac12 \lVert z - a
# \rVert^2`, whose true gradient is :math:`a - \mu`.

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch

torch.manual_seed(0)
DRAWS, SIGMA = 20_000, 0.5


def f(z):
    """Highest at a = (1, ..., 1)."""
    return -0.5 * ((z - 1) ** 2).sum(-1)


def one_gradient_a_draw(size, reparameterised):
    """The gradient in the mean, by one draw, of each of many: (DRAWS, size)."""
    mean = torch.zeros(DRAWS, size, requires_grad=True)  # A copy for each draw.
    q = dist.Normal(mean, SIGMA).to_event(1)
    if reparameterised:
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
    for reparameterised, name in (
        (True, "reparameterised"),
        (False, "score function"),
    ):
        first = one_gradient_a_draw(size, reparameterised)[:, 0]
        deviations[reparameterised].append(first.std())
        print(f"D = {size:2d}, {name:15s}: {first.mean():6.3f}, {first.std():6.3f}")

# %%
# Both are right on average. But the score function multiplies everything by
# :math:`f(z)`, also what the first coordinate has no part in, and so its noise
# grows with the size of the code; the reparameterised gradient's does not grow at
# all. To be as sure, the score function needs as many times more draws as the
# square of the ratio of the deviations:

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
    sizes, [each.item() for each in deviations[True]], "o-", label="reparameterised"
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

# %%
# Two slips that are often met
# ----------------------------
# The source of the recipe ``mnist_mlp`` says that without the KL term no gradient
# could train the encoder. It could: :math:`f` above had no KL. What lets the
# gradient through is the reparameterisation.
#
# The text (not the code) of the source of ``fashion_batchnorm`` multiplies the
# noise by the variance. It must be the deviation: the draws of :math:`\mu +
# \sigma^2 \varepsilon` belong to another distribution than the one whose KL is
# charged.

noise = torch.randn(DRAWS)
print(f"sigma = {SIGMA}")
print(f"deviation of mu + sigma   * noise: {(SIGMA * noise).std():.3f}")
print(f"deviation of mu + sigma^2 * noise: {(SIGMA**2 * noise).std():.3f}")
