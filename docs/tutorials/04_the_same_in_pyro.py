r"""
The same in Pyro
================

.. admonition:: What you will be able to do

   Read and write a variational autoencoder as a Pyro program: a model and a guide,
   made of ``pyro.sample``, ``pyro.plate`` and ``to_event``; say what ``Trace_ELBO``
   computes and what ``SVI`` does with it; change the prior without working out a
   new loss.

   *You need to know* :doc:`03_from_points_to_distributions`. No Pyro. *20 minutes.*

On the last page we wrote a loss by hand, and the loss had a story: draw a latent
vector, decode it, compare. A Pyro program tells only the story, and Pyro works out
the loss. This page rewrites the last one a line at a time, and checks that the
numbers are the same: the same noise gives the same loss and the same gradients.
"""

import math
import textwrap

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import SVI, Trace_ELBO, TraceMeanField_ELBO
from torch import nn

from pyro_vae import VAE, data

torch.manual_seed(0)
digits = data.load("digits")
x = digits.train.as_float(slice(None))
batch = x[:5]
D, PIXEL_DEVIATION = 2, 0.2

encoder = nn.Sequential(
    nn.Flatten(),
    nn.Linear(64, 128),
    nn.ReLU(),
    nn.Linear(128, 64),
    nn.ReLU(),
    nn.Linear(64, 2 * D),
)
decoder = nn.Sequential(
    nn.Linear(D, 64),
    nn.ReLU(),
    nn.Linear(64, 128),
    nn.ReLU(),
    nn.Linear(128, 64),
    nn.Sigmoid(),
    nn.Unflatten(1, (1, 8, 8)),
)

# %%
# The networks are the same as before: Pyro is PyTorch, with distributions.
#
# What is one, and what is many: ``to_event``
# -------------------------------------------
# An object of Pyro's is a batch of distributions, and a draw from any of them has a
# shape of its own. The *batch shape* counts independent distributions. The *event
# shape* is that of a single draw. ``log_prob`` returns one number for each member of
# the batch.
#
# Two normal distributions of one number are not the same as one distribution of two
# numbers. ``to_event(n)`` turns the first into the second: it declares that the last
# *n* dimensions belong together.

two = dist.Normal(torch.zeros(D), 1.0)
one = two.to_event(1)
z = torch.zeros(D)
print("             batch shape  event shape  log_prob")
for name, each in (("Normal", two), ("to_event(1)", one)):
    shapes = (
        f"{str(tuple(each.batch_shape)):12s} {str(tuple(each.event_shape)):12s}"
    )
    print(f"{name:13s}{shapes} {each.log_prob(z).numpy().round(4)}")

# sphinx_gallery_start_ignore
assert torch.isclose(one.log_prob(z), two.log_prob(z).sum())
# sphinx_gallery_end_ignore

# %%
# The number of the second line is the sum of the two in the first: coordinates that
# belong together have one density, the product of theirs, so that the logarithms add
# up.
#
# .. admonition:: Predict, then run
#
#    ``decoder`` returns five images of shape (5, 1, 8, 8). What is the shape of
#    ``log_prob`` of a normal distribution around each pixel, without ``to_event``
#    and with ``to_event(3)``?

with torch.no_grad():
    pixels = dist.Normal(decoder(torch.zeros(5, D)), PIXEL_DEVIATION)
print("Normal:     ", tuple(pixels.log_prob(batch).shape))
print("to_event(3):", tuple(pixels.to_event(3).log_prob(batch).shape))

# sphinx_gallery_start_ignore
assert pixels.to_event(3).log_prob(batch).shape == (5,)
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    (5, 1, 8, 8) and (5,): a log-probability for each pixel, or one for each image.
#    An image is *one* event of shape (C, H, W), and so the 3.
#
# The model
# ---------
# The model is the story of how an image comes about: draw a latent vector from the prior,
# then an image around what the decoder makes of it.


def model(x):
    """Draw z from the prior, and score the images x (B, 1, 8, 8)."""
    pyro.module("decoder", decoder)
    with pyro.plate("images", len(x)):
        z = pyro.sample("z", dist.Normal(torch.zeros(D), 1.0).to_event(1))
        pyro.sample(
            "x", dist.Normal(decoder(z), PIXEL_DEVIATION).to_event(3), obs=x
        )


# %%
# Line by line:
#
# - ``pyro.module`` makes the weights of the decoder known to Pyro, under a name, so
#   that they will be trained.
# - ``pyro.plate`` says that what happens inside happens once for each image, and
#   independently. The prior within it is written for *one* latent vector; the plate
#   makes it as many as there are images. (The name is that of a rectangle in a diagram,
#   below.)
# - ``pyro.sample`` draws from a distribution and gives the draw a name, ``"z"``.
#   The name is what later lets Pyro compare this draw with that of the guide.
# - With ``obs=x`` nothing is drawn: the value is given, and only its
#   log-probability counts. It is said to be *observed*.
#
# Run it, and it draws. A *trace* is the record of a run:

with torch.no_grad():
    trace = poutine.trace(model).get_trace(batch)
    trace.compute_log_prob()
print(trace.format_shapes())

# sphinx_gallery_start_ignore
assert trace.nodes["z"]["value"].shape == (5, 2)
assert trace.nodes["z"]["log_prob"].shape == (5,)
assert trace.nodes["x"]["log_prob"].shape == (5,)
# sphinx_gallery_end_ignore

# %%
# On the left of each bar is the batch and on the right the event: five latent vectors
# of two numbers, five images of 1 x 8 x 8, and at each place one log-probability for
# each of the five.
#
# .. admonition:: Predict, then run
#
#    What happens if ``to_event(1)`` is left out of the prior?


def without_event(x):
    """Draw two independent numbers where one latent vector is meant."""
    with pyro.plate("images", len(x)):
        pyro.sample("z", dist.Normal(torch.zeros(D), 1.0))


try:
    without_event(batch)
except ValueError as error:
    print(textwrap.fill(str(error), 80))
    refused = True

# sphinx_gallery_start_ignore
assert refused
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    It is refused. The prior is then a batch of 2, and the plate has room for a batch
#    of 5: Pyro takes the two coordinates for two images. This is the most common error
#    in Pyro programs. Worse is a case that the plate does *not* refuse: with a batch of
#    two images, or with latent vectors of one number, the shapes fit it by accident,
#    and the error, if there is one, comes later.
#
# The guide
# ---------
# The guide is the other direction, from an image to its latent vector. It has a
# ``sample`` for everything that the model draws and that is not observed, under the
# same name. Here it is the encoder and its cloud.


def guide(x):
    """Draw z from the cloud of each image x (B, 1, 8, 8)."""
    pyro.module("encoder", encoder)
    with pyro.plate("images", len(x)):
        mean, log_variance = encoder(x).chunk(2, dim=-1)
        pyro.sample("z", dist.Normal(mean, (log_variance / 2).exp()).to_event(1))


# %%
# As diagrams, in which a circle is a random quantity, a shaded circle is an
# observed one and a rectangle is a plate:
#
# .. diagram:: plate
#    :alt: The model: an arrow from z to x, inside a plate called images, and an
#          arrow from the decoder to x; x is shaded. The guide: an arrow from x to z
#          inside the same plate, and an arrow from the encoder to z.
#
# (``pyro.render_model`` draws such diagrams from a program, where Graphviz is
# installed.) In the terms of this documentation, the model is the *prior*
# :math:`p(z)` and the *likelihood* :math:`p(x \mid z)`, and the guide is the
# *posterior* :math:`q(z \mid x)`.
#
# The loss: ``Trace_ELBO``
# ------------------------
# What does Pyro do with the two? It runs the guide and keeps its draws; it runs the
# model with these draws in place of its own; then it compares the
# log-probabilities:

torch.manual_seed(1)
guide_trace = poutine.trace(guide).get_trace(batch)
model_trace = poutine.trace(poutine.replay(model, guide_trace)).get_trace(batch)
by_traces = guide_trace.log_prob_sum() - model_trace.log_prob_sum()

torch.manual_seed(1)
by_pyro = Trace_ELBO().differentiable_loss(model, guide, batch)
print(f"by two traces: {by_traces:.4f}")
print(f"Trace_ELBO:    {by_pyro:.4f}")

# sphinx_gallery_start_ignore
assert torch.isclose(by_traces, by_pyro, rtol=1e-6)
# sphinx_gallery_end_ignore

# %%
# That is :math:`\log q(z \mid x) - \log p(z) - \log p(x \mid z)`, summed over the
# images: an estimate, from one draw, of minus the *evidence lower bound*. Now by
# hand, as on the last page. The noise is the same, because it comes from the same
# seed. There are two differences, and neither is one of substance:
#
# - The squared error over :math:`2 s^2` becomes minus the logarithm of a normal
#   density, which adds a constant: :math:`\frac{64}{2} \log (2 \pi s^2)` for an image
#   of 64 pixels.
# - The KL is not computed by its formula, but estimated from the draw: :math:`\log
#   q(z \mid x) - \log p(z)`, whose average over many draws is the KL. So no formula
#   is needed, whatever the two distributions are (:doc:`05c_sampled_rate`).


def by_hand(x, closed_form):
    """Return the loss of page 3, summed over the images, and the constant."""
    mean, log_variance = encoder(x).chunk(2, dim=-1)
    deviation = (log_variance / 2).exp()
    noise = torch.randn_like(mean)
    z = mean + deviation * noise
    squared = (decoder(z) - x).square().sum((1, 2, 3))
    reconstruction = squared / (2 * PIXEL_DEVIATION**2)
    if closed_form:
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
    else:
        log_q = (-0.5 * noise**2 - deviation.log()).sum(-1)
        log_p = (-0.5 * z**2).sum(-1)  # log(2 pi) / 2 cancels
        kl = log_q - log_p
    constant = 64 / 2 * math.log(2 * math.pi * PIXEL_DEVIATION**2)
    return (reconstruction + kl + constant).sum(), constant


def gradients_of(loss):
    """Return the gradients of a loss with respect to all weights, as one vector."""
    weights = [*encoder.parameters(), *decoder.parameters()]
    return torch.cat(
        [each.flatten() for each in torch.autograd.grad(loss, weights)]
    )


print("                         by hand       Pyro   gradients differ by at most")
for name, elbo, closed_form in (
    ("Trace_ELBO", Trace_ELBO(), False),
    ("TraceMeanField_ELBO", TraceMeanField_ELBO(), True),
):
    torch.manual_seed(1)
    ours, constant = by_hand(batch, closed_form)
    torch.manual_seed(1)
    theirs = elbo.differentiable_loss(model, guide, batch)
    ours_gradient, their_gradient = gradients_of(ours), gradients_of(theirs)
    difference = (ours_gradient - their_gradient).abs().max()
    relative = difference / their_gradient.abs().max()
    print(f"{name:21s}{ours:11.4f}{theirs:11.4f}   {relative:.0e} of the largest")
    # sphinx_gallery_start_ignore
    assert torch.isclose(ours, theirs, rtol=1e-5, atol=1e-3)
    assert relative < 1e-5
    # sphinx_gallery_end_ignore
print(f"the constant is {constant:.1f} for each image")

# sphinx_gallery_start_ignore
assert f"{constant:.1f}" == "-44.2"
# sphinx_gallery_end_ignore

# %%
# They are equal, up to rounding. ``TraceMeanField_ELBO`` is the variant that takes the
# closed form of the KL where there is one. The constant, -44.2 for each image, has no
# gradient; but without it the number is not the bound.
#
# Training: ``SVI``
# -----------------
# *Stochastic variational inference* is the training loop: ``svi.step`` computes the
# loss, its gradients, and a step of the optimizer. Beside it, we train copies of
# the networks by hand, from the same weights and with the same noise.


def epoch_of(step, seed=2):
    """Take a step for every batch of an epoch; return the loss of an image."""
    torch.manual_seed(seed)
    losses = [step(x[indices]) for indices in torch.randperm(len(x)).split(64)]
    return sum(losses) / len(x)


networks = nn.ModuleList([encoder, decoder])
start = {name: each.clone() for name, each in networks.state_dict().items()}

pyro.clear_param_store()
svi = SVI(model, guide, pyro.optim.Adam({"lr": 3e-3}), Trace_ELBO())
loss_of_pyro = epoch_of(svi.step)
trained = {name: each.clone() for name, each in networks.state_dict().items()}

networks.load_state_dict(start)
optimizer = torch.optim.Adam(networks.parameters(), lr=3e-3)


def step_by_hand(images):
    """Take one step; return the loss, summed over the images."""
    loss, _ = by_hand(images, closed_form=False)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


loss_by_hand = epoch_of(step_by_hand)
apart = max(
    (each - trained[name]).abs().max()
    for name, each in networks.state_dict().items()
)
moved = max((each - start[name]).abs().max() for name, each in trained.items())
print(f"loss of an image in the first epoch, SVI:     {loss_of_pyro:.4f}")
print(f"loss of an image in the first epoch, by hand: {loss_by_hand:.4f}")
print(f"weights moved by up to {moved:.2f}, and are {apart:.0e} apart")

# sphinx_gallery_start_ignore
assert abs(loss_of_pyro - loss_by_hand) < 0.01
assert apart < 1e-2 * moved
assert len(torch.randperm(len(x)).split(64)) == 26
# sphinx_gallery_end_ignore

# %%
# After 26 steps the two programs have the same weights, up to rounding. Two habits
# of Pyro are worth knowing: its loss is the *sum* over the images of a batch, where
# page 3 took the mean; and it keeps the weights in a global store by their names,
# which ``pyro.clear_param_store()`` empties before another training.

# %%
# What is gained
# --------------
# The loss was never written down, so it need not be worked out anew if the story
# changes. Here the prior becomes a Student-t distribution, which has heavier tails, and
# the KL of a normal distribution from it has no formula. (The networks continue from
# the epoch above, so that the loss starts lower.) One line changes:


def model_with_tails(x):
    """Draw z from a Student-t prior, and score the images x (B, 1, 8, 8)."""
    pyro.module("decoder", decoder)
    with pyro.plate("images", len(x)):
        z = pyro.sample("z", dist.StudentT(4.0, torch.zeros(D), 1.0).to_event(1))
        pyro.sample(
            "x", dist.Normal(decoder(z), PIXEL_DEVIATION).to_event(3), obs=x
        )


pyro.clear_param_store()
svi = SVI(model_with_tails, guide, pyro.optim.Adam({"lr": 3e-3}), Trace_ELBO())
losses = [epoch_of(svi.step, seed) for seed in range(10)]
print("loss of an image:", ", ".join(f"{each:.1f}" for each in losses))

with torch.no_grad():
    new = decoder(dist.StudentT(4.0, torch.zeros(D), 1.0).sample((32,)))
rows = nn.functional.pad(new[:, 0], (1, 1, 1, 1)).split(16)
plt.figure(figsize=(6.5, 1.2), layout="constrained")
plt.imshow(torch.cat([torch.cat(list(row), 1) for row in rows]), cmap="gray")
plt.title("new images: decoded draws from the Student-t prior", fontsize=10)
plt.axis("off")
plt.show()

# sphinx_gallery_start_ignore
assert losses[-1] < losses[0] - 5
# sphinx_gallery_end_ignore

# %%
# This is what ``pyro_vae`` is built on. Its ``VAE`` is these two functions, with the
# three distributions as arguments. The places of the three are called *slots*: each
# takes any callable that returns a Pyro distribution, and whatever you put there is
# trained, evaluated and drawn in the same way. (At :doc:`/draw`, such a model runs in
# the page.)


def prior():
    """Return p(z)."""
    return dist.Normal(torch.zeros(D), 1.0).to_event(1)


def likelihood(z):
    """Return p(x|z)."""
    return dist.Normal(decoder(z), PIXEL_DEVIATION).to_event(3)


def posterior(x):
    """Return q(z|x)."""
    mean, log_variance = encoder(x).chunk(2, dim=-1)
    return dist.Normal(mean, (log_variance / 2).exp()).to_event(1)


vae = VAE(prior, likelihood, posterior)
losses = []
for program in ((model, guide), (vae.model, vae.guide)):
    torch.manual_seed(1)
    losses.append(Trace_ELBO().loss(*program, batch))
print(f"our model and guide: {losses[0]:.4f}, those of VAE: {losses[1]:.4f}")

# sphinx_gallery_start_ignore
assert math.isclose(*losses, rel_tol=1e-6)
# sphinx_gallery_end_ignore

# %%
# .. admonition:: Exercise
#
#    Make the images black and white, ``(x > 0.5).float()``, and write a model whose
#    pixels are Bernoulli. Two lines change, and the decoder loses its ``Sigmoid`` if
#    you give the distribution ``logits``. Train it with ``SVI``, and check that minus
#    the log-probability of an image is the binary cross-entropy that PyTorch computes,
#    summed over the pixels.
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/bernoulli_pixels.py
#          :language: python
