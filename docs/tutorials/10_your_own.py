r"""
Bring your own
==============

.. admonition:: What you will be able to do

   Load your own images; write an encoder and a decoder of your own, then a prior, a
   posterior and a likelihood; train them with the optimizer and the precision of your
   choice, or in a loop of your own; see in the pictures that it worked, and read the
   error when something does not fit.

   *You need to know* :doc:`04_the_same_in_pyro`, for distributions and their shapes.
   *20 minutes.*

A model has three *slots*, for its prior, its likelihood and its posterior. Any callable
that returns a Pyro distribution of the right shape fits one. On this page everything is
replaced, one thing after the other: images, networks, prior, posterior, likelihood and
training. You will seldom need all of it; each part works alone.

Images
------
All that is needed is a folder with a subfolder for each class. (Sizes and formats may
be mixed; an ``.npz`` file or a NumPy array works as well.) Here scikit-learn's digits
become such a folder:
"""

# sphinx_gallery_thumbnail_number = 3
import tempfile
import textwrap
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pyro.distributions as dist
import torch
from PIL import Image
from torch import nn

from pyro_vae import VAE, data, evaluate, fit, load, objectives, save
from pyro_vae.analysis import (
    embed,
    interpolation,
    latents,
    reconstructions,
    samples,
)
from pyro_vae.slots import SlotError

digits = data.load("digits")
folder = Path(tempfile.mkdtemp())
for number, label in enumerate(digits.train.labels[:490].tolist()):
    place = folder / f"digit {label}"
    place.mkdir(exist_ok=True)
    pixels = digits.train.images[number, 0].numpy()
    Image.fromarray(pixels).save(place / f"{number}.png")

images = data.load(folder)
print(f"{len(images.train)} images to train on, {len(images.test)} to test")
print(f"shape {images.image_shape}, classes {images.train.class_names[:3]}, ...")
shape, D = images.image_shape, 2

# %%
# An encoder and a decoder
# ------------------------
# These are networks, without any probability: the encoder returns features, and the
# decoder returns values, as many for each pixel as the likelihood needs. Any
# ``nn.Module`` will do. Ours are convolutional; we look at the shapes in them.

encoder = nn.Sequential(
    nn.Conv2d(1, 16, 3, stride=2, padding=1),
    nn.SiLU(),
    nn.Conv2d(16, 32, 3, stride=2, padding=1),
    nn.SiLU(),
    nn.Flatten(),
    nn.Linear(32 * 2 * 2, 64),
    nn.SiLU(),
)
decoder = nn.Sequential(
    nn.Linear(D, 64),
    nn.SiLU(),
    nn.Linear(64, 32 * 2 * 2),
    nn.SiLU(),
    nn.Unflatten(1, (32, 2, 2)),
    nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
    nn.SiLU(),
    nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
)
for name, network, batch in (
    ("encoder", encoder, torch.zeros(5, *shape)),
    ("decoder", decoder, torch.zeros(5, D)),
):
    shapes = [tuple(batch.shape)]
    for layer in network:
        batch = layer(batch)
        shapes.append(tuple(batch.shape))
    steps = dict.fromkeys(map(str, shapes))  # each once: activations change none
    print(textwrap.fill(f"{name}: {' -> '.join(steps)}", 78))

# sphinx_gallery_start_ignore
assert decoder(torch.zeros(5, D)).shape == (5, 1, 8, 8)
assert encoder(torch.zeros(5, *shape)).shape == (5, 64)
# sphinx_gallery_end_ignore

# %%
# The decoder returns one number for each pixel. It has no activation at its end: how
# its output becomes a distribution is for the likelihood to say.
#
# A prior
# -------
# A prior is called without arguments. Where nothing in it is learned, a function is
# enough. Here are eight small clouds on a circle:


def ring():
    """Return the prior p(z): eight Gaussians on a circle."""
    angles = torch.arange(8) * torch.pi / 4
    places = 2 * torch.stack([angles.cos(), angles.sin()], -1)
    each = dist.Normal(places, 0.5).to_event(1)
    return dist.MixtureSameFamily(dist.Categorical(torch.ones(8)), each)


# %%
# .. admonition:: Predict, then run
#
#    A slot prescribes nothing but shapes. What are the batch shape and the event shape
#    of this prior?

print(
    "batch shape",
    tuple(ring().batch_shape),
    "event shape",
    tuple(ring().event_shape),
)

# sphinx_gallery_start_ignore
assert ring().batch_shape == () and ring().event_shape == (2,)
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    They are () and (2,): one distribution, of one vector. The eight clouds are its
#    components, and no longer a batch. The slots ask for these shapes:
#
#    - :math:`p(z)`: batch shape (), event shape (D,);
#    - :math:`q(z \mid x)`: batch shape (B,), event shape (D,);
#    - :math:`p(x \mid z)`: batch shape ``z.shape[:-1]``, mostly (B,); event shape (C,
#      H, W).
#
# A distribution
# --------------
# For the two other slots we take a distribution that Pyro does not have, the
# *logistic* one: it looks like a normal distribution, and has heavier tails. A uniform
# number that is passed through the inverse of the sigmoid function is logistic; here
# it is stretched and moved as well. Pyro builds it from just that, and works out its
# density and its draws.
#
# It does not work out the mean, which for transformed distributions has no general
# formula. The images in all pictures are the *mean* of the likelihood, so that we had
# better say what it is: here, how far the distribution was moved.


class WithMean(dist.TransformedDistribution):
    """A distribution around 0, stretched and moved: its mean is where it is moved
    to."""

    @property
    def mean(self):
        return self.transforms[-1].loc.expand(self.shape())


def logistic(location, scale, family=WithMean):
    """Return logistic distributions of the batch shape of their locations."""
    steps = [
        dist.transforms.SigmoidTransform().inv,
        dist.transforms.AffineTransform(location, scale),
    ]
    return family(dist.Uniform(torch.zeros_like(location), 1.0), steps)


# %%
# A posterior and a likelihood
# ----------------------------
# A posterior is called with images, a likelihood with latent vectors. What has weights
# is an ``nn.Module``. Latent vectors come with any number of leading dimensions
# (importance samples have one more), which a convolution does not take: so we fold them
# into one, and unfold the images.


class LogisticCodes(nn.Module):
    """q(z|x), a logistic distribution for each dimension of the latent vector."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(64, 2 * D)

    def forward(self, x):
        location, log_scale = self.head(self.encoder(x)).chunk(2, -1)
        return logistic(location, log_scale.exp()).to_event(1)


class LogisticPixels(nn.Module):
    """p(x|z), a logistic distribution for each pixel, of one learned scale."""

    def __init__(self, decoder, family=WithMean):
        super().__init__()
        self.decoder, self.family = decoder, family
        self.log_scale = nn.Parameter(torch.tensor(0.1).log())

    def forward(self, z):
        output = self.decoder(z.reshape(-1, D)).reshape(*z.shape[:-1], *shape)
        pixels = logistic(output.sigmoid(), self.log_scale.exp(), self.family)
        return pixels.to_event(3)


torch.manual_seed(0)
for layer in (*encoder, *decoder):
    if hasattr(layer, "reset_parameters"):
        layer.reset_parameters()
vae = VAE(ring, LogisticPixels(decoder), LogisticCodes(encoder))
print(vae)

# %%
# Training
# --------
# ``fit`` takes any optimizer of PyTorch, bounds the norm of the gradient, keeps the
# weights that are best on the images of ``validation``, and calls what you give it
# after every epoch. We hold out 40 of the training images for that: ``split``, a method
# of the data set, returns the rest and these.

training, validation = images.split(40)


def report(vae, record):
    """Print the losses of every 20th epoch."""
    if record["epoch"] % 20 == 0:
        losses = f"{record['train_loss']:7.2f}{record['validation_loss']:9.2f}"
        print(f"epoch {record['epoch']:3d}:  {losses}")


print("             loss  held out")
history = fit(
    vae,
    training,
    validation=validation,
    epochs=80,
    batch_size=32,
    optimizer=partial(torch.optim.AdamW, weight_decay=0.01),
    learning_rate=1e-2,
    clip=100.0,
    callbacks=[report],
    progress=False,
)
found = evaluate(vae, images.test, samples=500)
print(found)

# sphinx_gallery_start_ignore
assert found.active_units == 2 and found.rate > 2.5 and found.untrusted > 0.7
mean_image = images.train.as_float(slice(None)).mean(0)
x_test = images.test.as_float(slice(None))
error = (vae.reconstruct(x_test) - x_test).square().sum((1, 2, 3)).mean()
assert error < 0.75 * (mean_image - x_test).square().sum((1, 2, 3)).mean()
# sphinx_gallery_end_ignore

# %%
# Two things in these numbers deserve a second look. The loss of the images that are held
# out is much higher than that of the others: with 400 images the networks soon learn
# them by heart. And for most test images the estimate of log p(x) is called unreliable,
# because their Pareto k is above 0.7 (:doc:`09_is_it_good`): a few of the 500 weights
# make up nearly the whole sum. Such an estimate is a lower bound, most likely too low,
# and other draws would give another one. The ELBO is not affected. To report log p(x),
# take many more samples, or a posterior that is closer to the true one, until the share
# is small.
#
# ``precision="bfloat16"`` would run the networks in autocast, and leave distributions
# and bounds in full precision; it is worth it on a graphics card. A callback can write
# a log for TensorBoard, too:
#
# .. code-block:: python
#
#    from torch.utils.tensorboard import SummaryWriter
#
#    writer = SummaryWriter("runs/mine")
#
#    def log(vae, record):
#        for name in ("train_loss", "train_distortion", "train_rate"):
#            writer.add_scalar(name, record[name], record["epoch"])
#
#    fit(vae, training, callbacks=[log])
#
# If you would rather write the loop yourself, it is that of page 3. An *objective* is
# called with the model, a batch and the weight of the rate (in `fit` also with `elapsed`, the
# fraction of the training that is done), and returns the loss and its two parts:

objective = objectives.ELBO()
optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-4)
vae.train()
for x in training.batches(32):
    bound = objective(vae, x, beta=1.0)
    optimizer.zero_grad()
    bound.loss.backward()
    nn.utils.clip_grad_norm_(vae.parameters(), 100.0)
    optimizer.step()
vae.eval()
print(f"loss {bound.loss:.2f} = {bound.distortion:.2f} + {bound.rate:.2f}")

# sphinx_gallery_start_ignore
assert torch.isclose(bound.loss, bound.distortion + bound.rate, atol=1e-3)
# sphinx_gallery_end_ignore

# %%
# Pictures that show it worked
# ----------------------------
# Each picture is a function that returns a figure, which a notebook displays by itself
# and ``plt.figure(figure)`` hands to a program's windows (Matplotlib 3.11 or newer).
# ``pyro_vae.analysis.draw`` draws all pictures of a ``Subject``: a model and its
# images. Are the reconstructions those of the right digit?

plt.figure(reconstructions.with_log_likelihood(vae, images.test.select(slice(8))))
plt.show()

# %%
# Do the latent vectors lie where the prior has its mass, in the ring, and not in its
# middle?

plt.figure(latents.scatter(embed(vae, images.train), images.train, vae=vae))
plt.show()

# %%
# Are the samples digits?

plt.figure(samples.from_prior(vae, 16))
plt.show()

# %%
# .. admonition:: Predict, then run
#
#    What do the same samples look like, from the same weights, if we forget to say what
#    the mean of the likelihood is?

forgetful = LogisticPixels(decoder, family=dist.TransformedDistribution)
forgetful.load_state_dict(vae.likelihood.state_dict())
without_mean = VAE(ring, forgetful, vae.posterior)
plt.figure(samples.from_prior(without_mean, 16))
plt.show()

# sphinx_gallery_start_ignore
z = ring().sample((100,))
noise = (vae.images(z) - without_mean.images(z)).square().mean().sqrt()
assert noise > 0.1
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    They are covered with noise. Where a distribution has no mean, pictures show a draw
#    from it, in which every pixel varies by itself. It is the same model: its numbers
#    have not changed. If your samples look like noise, first ask whether they are means
#    or draws; then look at the numbers.

plt.figure(interpolation.row(vae, images.test.select(slice(2)), steps=10))
plt.show()

# %%
# When it does not fit
# --------------------
# If a slot does not fit, the error says which slot it is, what was returned, and what
# was expected.


def forgot_the_event():
    """Return two numbers where one vector is meant."""
    return dist.Normal(torch.zeros(D), 1.0)


try:
    fit(VAE(forgot_the_event, vae.likelihood, vae.posterior), training, epochs=1)
except SlotError as error:
    print(textwrap.fill(str(error), 78))

# %%
# To keep a model that has parts of your own, use ``save``. To read it again, pass these
# parts to ``load``, which never runs code from a file.

with tempfile.TemporaryDirectory() as kept:
    save(vae, f"{kept}/logistic.pt")
    pixels, codes = LogisticPixels(decoder), LogisticCodes(encoder)
    own = {"prior": ring, "likelihood": pixels, "posterior": codes}
    again = load(f"{kept}/logistic.pt", **own)

# sphinx_gallery_start_ignore
assert torch.equal(again.images(z), vae.images(z))
# sphinx_gallery_end_ignore

# %%
# .. admonition:: Exercise
#
#    These digits have only 17 levels of gray, and a likelihood that spreads its
#    probability over all values wastes it (:doc:`06_which_likelihood`). Write one that
#    does not: a categorical distribution of 17 levels for each pixel. How many bits per
#    dimension does it need? (Give it an attribute ``measure = "mass"``, so that
#    ``evaluate`` knows that it returns probabilities.) *Hint:* derive the distribution
#    from ``dist.TorchDistribution``, as ``PixelByPixel`` of :doc:`07_collapse` does,
#    and give it a ``mean``; the decoder returns 17 values for each pixel; the index of
#    a level is :math:`16 x`, rounded.
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/seventeen_levels.py
#          :language: python
