r"""
Collapse, a clinic
==================

.. admonition:: What you will be able to do

   Recognize a model that does not use its latent vectors, fully or in part, by its
   verdict, its rate and its active units; tell five causes apart; choose and carry
   out the cure: a learned deviation, KL annealing, another learning rate, a weaker
   decoder, or free bits.

   *You need to know* :doc:`05_the_bound` and :doc:`06_which_likelihood`.
   *20 minutes.*

A variational autoencoder can satisfy its loss in a lazy way. If the encoder returns
the prior for every image, the KL is 0; the latent vector is then nothing but noise,
and a decoder that ignores it and returns the mean image does the best that can be
done. This is *posterior collapse*. It is an equilibrium: while the decoder does not
listen, the encoder has no reason to speak, and the other way round. Nothing is wrong
with the program, and no error is raised; one has to look.

Five models are waiting. Each is trained twice, as it came and with its cure, in a
second or two.
"""

# sphinx_gallery_thumbnail_number = 2
import math
import textwrap

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch
from torch import nn

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
from pyro_vae.annealing import Linear

digits = data.load("digits")
# Each pixel becomes white with the probability of its gray level, once and for all.
binary = digits.map(lambda images: images.binarized_once())
shape = digits.image_shape


def train(likelihood, D=8, hidden=(128,), images=digits, **settings):
    """Return a small model, trained for 20 epochs, and its rate in each of them."""
    torch.manual_seed(0)
    vae = VAE(
        prior=priors.StandardNormal(D),
        likelihood=likelihood(networks.MLPDecoder(D, shape, hidden)),
        posterior=posteriors.DiagonalNormal(
            networks.MLPEncoder(shape, hidden[::-1]), D
        ),
    )
    settings = {"batch_size": 128, "learning_rate": 1e-2} | settings
    history = fit(vae, images.train, epochs=20, progress=False, **settings)
    return vae, [max(record["train_rate"], 0.0) for record in history]


ward = {}


def admit(name, kind, model, images=digits):
    """Examine a model, print what matters, and remember it."""
    vae, rates = model
    found = evaluate(vae, images.test)
    ward.setdefault(name, {})[kind] = vae, rates, found, images
    print(f"{name}, {kind}")
    print(f"  ELBO {found.elbo:.2f}, rate {found.rate:.2f} nats", end=", ")
    print(f"active units {found.active_units} of {found.latent_size}")
    print(textwrap.indent(textwrap.fill(found.verdict, 76), "  "))
    return found


# %%
# What to look at
# ---------------
# ``evaluate`` returns what we need.
#
# - The *rate* is the most that a latent vector tells of its image on average, in nats.
#   To tell two equally frequent kinds of image apart takes one bit, :math:`\log 2 =
#   0.69`.
# - A dimension of the latent vector is an *active unit* if the mean of :math:`q(z \mid
#   x)` differs between images: if its variance over the images is above 0.01
#   (Importance Weighted Autoencoders, Burda et al., 2016, section 5.2).
# - The *verdict* puts both into a sentence.
#
# The ELBO is not among them. A collapsed model may have a decent one, as we shall
# see.
#
# Patient 1: the gray blur
# ------------------------
# The loss is the sum of the squared errors plus the KL, as one often sees it. All of
# its reconstructions are the same.

found = admit("sum of squares", "sick", train(lambda d: likelihoods.Normal(d, 0.7)))
vae = ward["sum of squares"]["sick"][0]
x = digits.test.as_float(slice(None))
error = (vae.reconstruct(x) - x).square().mean().sqrt()
print(f"  deviation in the likelihood 0.7, error of a pixel {error:.2f}")

# sphinx_gallery_start_ignore
assert (
    found.active_units == 0 and found.rate < 0.05 and f"{math.log(2):.2f}" == "0.69"
)
assert abs(error - 0.28) < 0.015
# sphinx_gallery_end_ignore

# %%
# *Diagnosis.* A sum of squares without a factor says that a pixel may be off by 0.7
# (:doc:`06_which_likelihood`). The mean image is off by 0.28. From this model's
# point of view that is a splendid result, and no latent vector is worth its price.
#
# *How to tell:* compare the deviation of the likelihood with the error of a pixel.
# If it is much larger, here is the cause.
#
# *Cure:* let the model learn its deviation.

cured = admit(
    "sum of squares",
    "cured",
    train(lambda d: likelihoods.Normal(d, 0.7, learned=True)),
)

# sphinx_gallery_start_ignore
assert cured.rate > 2 and cured.active_units >= 5 and cured.elbo > found.elbo + 30
# sphinx_gallery_end_ignore

# %%
# Patient 2: the weak start
# -------------------------
# Here the images are black and white, and the likelihood is a Bernoulli distribution,
# which has no deviation to choose. The networks have three hidden layers each.
#
# .. admonition:: Predict, then run
#
#    The model has collapsed. Would it be cured by training it for longer?

deep = {"D": 2, "hidden": (64, 64, 128), "batch_size": 32, "learning_rate": 3e-3}
deep["images"] = binary
found = admit("weak start", "sick", train(likelihoods.Bernoulli, **deep), binary)
rates = ward["weak start"]["sick"][1]
print("  rate in epochs 1, 2, 5, 10, 20:", end=" ")
print(", ".join(f"{rates[epoch - 1]:.2f}" for epoch in (1, 2, 5, 10, 20)))

# sphinx_gallery_start_ignore
assert found.rate < 0.1 and found.active_units == 0
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    Hardly. The rate is down to 0 within the first epochs, and stays there: it is the
#    equilibrium described above.
#
# *Diagnosis.* In the first steps the decoder cannot read latent vectors yet. The encoder
# cannot lower the reconstruction term, but it can lower the KL, and so it does, at
# once. By the time the decoder is ready there is nothing left to read.
#
# *How to tell:* the rate falls to 0 within the first epochs. The deviation is right,
# or there is none.
#
# *Cure:* KL annealing (Bowman et al., 2016). The weight of the KL rises from 0 to 1 in
# the course of the training, here for nine tenths of it, so that latent vectors cost
# little until they have become useful.

annealed = train(likelihoods.Bernoulli, annealing=Linear(0.9), **deep)
cured = admit("weak start", "cured", annealed, binary)

# sphinx_gallery_start_ignore
assert cured.rate > 1 and cured.active_units >= 1 and cured.elbo > found.elbo + 0.5
# sphinx_gallery_end_ignore

# %%
# Patient 3: the leap
# -------------------
# The deviation is 0.2, which is right for these images. The learning rate is 0.1.

normal = {"hidden": (64, 128)}


def pixels(decoder):
    """Return a normal likelihood with the deviation that suits the digits."""
    return likelihoods.Normal(decoder, 0.2)


found = admit("leap", "sick", train(pixels, learning_rate=0.1, **normal))
vae = ward["leap"]["sick"][0]
with torch.no_grad():
    z = 3 * torch.randn(200, 8)
    hidden = vae.likelihood.decoder.layers[:-1](z)
    dead = (hidden == 0).all(0).sum()
print(
    f"  hidden units of the decoder that no latent vector turns on: {dead} of 128"
)

# sphinx_gallery_start_ignore
assert found.rate < 0.1 and found.active_units == 0 and dead > 64
# sphinx_gallery_end_ignore

# %%
# *Diagnosis.* The steps are so large that within a few epochs most hidden units are off
# whatever their input is. Such a ReLU has no gradient, and never recovers. What is left
# returns nearly the same image for every latent vector, the mean image.
#
# *How to tell:* the loss jumps, and units are dead. The rate of patient 2 was never
# high; this one had latent vectors that told something, and lost them.
#
# *Cure:* a learning rate of 3e-3, where Adam usually works well. (Bounding the norm of
# the gradient, ``clip=10.0``, helps against single large steps.)

cured = admit("leap", "cured", train(pixels, learning_rate=3e-3, **normal))

# sphinx_gallery_start_ignore
assert cured.rate > 1 and cured.active_units >= 6 and cured.elbo > found.elbo + 3
# sphinx_gallery_end_ignore

# %%
# Patient 4: the decoder that needs no latent vector
# --------------------------------------------------
# This decoder sees more than the latent vector. It draws the pixels one after the
# other, and each is told all the pixels before it, as in a language model. Any
# distribution fits a slot; this one is a few lines. The images are black and white.


class PixelByPixel(dist.TorchDistribution):
    """Black and white pixels, each of which depends on those before it."""

    arg_constraints = {}

    def __init__(self, logits, weight):
        self.logits, self.weight = logits, weight  # (..., C, H, W), (P, P)
        super().__init__(logits.shape[:-3], logits.shape[-3:], validate_args=False)

    def log_prob(self, x):
        before = (x.flatten(-3) @ self.weight.T).unflatten(-1, self.event_shape)
        pixels = dist.Bernoulli(logits=self.logits + before)
        return pixels.to_event(3).log_prob(x)

    def sample(self, sample_shape=torch.Size()):
        x = torch.zeros(self._extended_shape(sample_shape)).flatten(-3)
        logits = self.logits.flatten(-3)
        for i in range(x.shape[-1]):
            logit = logits[..., i] + x @ self.weight[i]
            x[..., i] = torch.bernoulli(logit.sigmoid())
        return x.unflatten(-1, self.event_shape)


class Autoregressive(nn.Module):
    """p(x|z), in which a pixel sees the latent vector and some pixels before it."""

    def __init__(self, decoder, reach):
        super().__init__()
        self.decoder = decoder
        self.weight = nn.Parameter(torch.zeros(64, 64))
        visible = torch.ones(64, 64).tril(-1) - torch.ones(64, 64).tril(-1 - reach)
        self.register_buffer("visible", visible)

    def forward(self, z):
        return PixelByPixel(self.decoder(z), self.weight * self.visible)


# %%
# .. admonition:: Predict, then run
#
#    One model sees all pixels before, the other only one. Which has the higher rate?
#    Which has the higher ELBO?

found = admit(
    "strong decoder",
    "sick",
    train(lambda d: Autoregressive(d, reach=64), images=binary),
    binary,
)
cured = admit(
    "strong decoder",
    "cured",
    train(lambda d: Autoregressive(d, reach=1), images=binary),
    binary,
)

# sphinx_gallery_start_ignore
assert found.rate < 0.69 < 1.5 < cured.rate and found.elbo > cured.elbo
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    The weaker decoder has by far the higher rate, and the *lower* ELBO.
#
# *Diagnosis.* The strong decoder predicts a pixel from its neighbors, for which it pays
# nothing. What it would learn from the latent vector it knows already, and the latent
# vector has a price (Variational Lossy Autoencoder, Chen et al., 2017).
#
# *How to tell:* the ELBO is good, and the rate is low. As a density this model is
# healthy. It is sick only if you want its latent vectors, or want to steer what it draws.
#
# *Cure:* a decoder that can see less, so that the latent vector has to say the rest.
# Likewise, a decoder with many layers may be stronger than it should be.
#
# Patient 5: the idle dimensions
# ------------------------------
# The latent vector has 32 numbers, and the model uses it. But look at the rate of each
# dimension.

many = {"D": 32, "learning_rate": 4e-2}
found = admit("idle dimensions", "sick", train(pixels, **many))
each = sorted(found.rate_per_dimension, reverse=True)
print(
    "  rate of each dimension:",
    ", ".join(f"{rate:.2f}" for rate in each[:9]),
    "...",
)
used = sum(rate > 0.1 for rate in found.rate_per_dimension)
print(f"  dimensions with a rate above 0.1 nats: {used} of 32")

# sphinx_gallery_start_ignore
assert 2 <= used <= 20
# sphinx_gallery_end_ignore

# %%
# *Diagnosis.* A few dimensions took up the work early. What was true of the whole
# latent vector of patient 2 is true of each of the others: it is noise, so the decoder
# does not listen to it, so the encoder does not use it.
#
# *How to tell:* a few rates are high, and the others close to 0. (A dimension with a
# few hundredths of a nat may still count as active.) The cure will show whether that is
# an illness: if the ELBO does not rise, nothing was wrong. That a VAE takes only the
# dimensions that are worth their price is one of its virtues; page 3 ended so.
#
# *Cure:* free bits (Kingma et al., 2016). Each dimension may have a certain rate at
# no cost, here a quarter of a nat, so that there is no reason to give it up.

free = objectives.FreeBits(0.25)
cured = admit("idle dimensions", "cured", train(pixels, objective=free, **many))
used_now = sum(rate > 0.1 for rate in cured.rate_per_dimension)
print(f"  dimensions with a rate above 0.1 nats: {used_now} of 32")

# sphinx_gallery_start_ignore
assert used_now >= 28 and cured.rate > found.rate + 1
assert cured.elbo > found.elbo + 2
# sphinx_gallery_end_ignore

# %%
# The ELBO has risen as well: it was an illness. (The learning rate of this patient is
# high, so that a few dimensions win early.)

# %%
# All five
# --------
# The rate in the course of the training:

figure, panels = plt.subplots(2, 3, figsize=(6.5, 4), layout="constrained")
for axis, (name, models) in zip(panels.flat, ward.items(), strict=False):
    for kind, (_, rates, *_) in models.items():
        color = "tab:red" if kind == "sick" else "tab:green"
        axis.plot(range(1, len(rates) + 1), rates, color=color, label=kind)
    axis.set_title(name, fontsize=9)
    axis.set_xlabel("epoch", fontsize=9)
    axis.tick_params(labelsize=9)
for axis in panels[:, 0]:
    axis.set_ylabel("rate in nats")
panels[0, 0].legend(fontsize=9)
panels[1, 2].set_axis_off()
plt.show()

# %%
# And test images, with their reconstructions. (Those of patient 4 are its decoder's
# first guess at each pixel, before it has seen any others.)


def reconstruct(vae, images):
    """Return what the decoder makes of the latent vectors of images."""
    with torch.no_grad():
        z = vae.encode(images).mean
        logits = vae.likelihood.decoder(z)
        return logits.sigmoid()


figure, panels = plt.subplots(5, 3, figsize=(6.5, 2.2))
for row, (name, models) in zip(panels, ward.items(), strict=True):
    test = models["sick"][3].test.as_float(slice(8))
    shown = [test, *(reconstruct(vae, test) for vae, *_ in models.values())]
    for axis, images in zip(row, shown, strict=True):
        padded = nn.functional.pad(images[:, 0], (1, 1, 1, 1))
        axis.imshow(torch.cat(list(padded), 1), cmap="gray", vmin=0, vmax=1)
        axis.set_axis_off()
    row[0].text(-3, 5, name, ha="right", va="center", fontsize=9)
for axis, title in zip(panels[0], ("test images", "sick", "cured"), strict=True):
    axis.set_title(title, fontsize=9)
figure.subplots_adjust(left=0.21, right=0.99, bottom=0.01, top=0.88)
figure.subplots_adjust(hspace=0.05, wspace=0.05)
plt.show()

# %%
# For your own model, go through the list from the top:
#
# .. list-table::
#    :header-rows: 1
#
#    * - what you see
#      - what it is
#      - what to do
#    * - the deviation of the likelihood is well above the error of a pixel
#      - the likelihood asks for nothing
#      - learn it; sum over pixels, do not average
#    * - the loss jumps; hidden units are dead
#      - the steps are too large
#      - a lower learning rate, a bound on the gradient
#    * - the rate is near 0 from the first epochs on
#      - the KL wins before the decoder can read
#      - anneal it; free bits
#    * - the ELBO is good, the rate low
#      - the decoder needs no latent vector
#      - weaken it, if it is the latent vectors that you want
#    * - some dimensions have a rate, and others none
#      - they came too late, or are not needed
#      - free bits or annealing; if the ELBO does not rise with them, keep the model as it was
#    * - the rate is hundreds of nats for images as small as these, or not a number
#      - the opposite, a model that has diverged
#      - a lower learning rate, a bound on the gradient
#
# .. admonition:: Exercise
#
#    Try three other cures on patient 2: free bits of half a nat; a weight of the KL of
#    1/2 throughout (``beta=0.5``, an argument of ``fit``, which ``train`` passes on);
#    and networks with one wide hidden layer in place of three. Which of them work?
#    ``evaluate`` reports the true ELBO whatever was optimized: which gives the best
#    one?
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/other_cures.py
#          :language: python
