r"""
From Pyro's tutorials to here
=============================

.. admonition:: What you will be able to do

   Find each line of Pyro's own tutorials ``vae`` and ``vae_flow_prior`` in this
   library; use any distribution of Pyro or Zuko as a prior; write the models of its
   tutorials ``cvae`` and ``ss-vae``, which do not fit the three slots, as plain Pyro
   programs on this library's networks.

   *You need to know* :doc:`04_the_same_in_pyro`. *20 minutes.*

Pyro has `four tutorials <https://pyro.ai/examples/>`_ on variational autoencoders:
`vae <https://pyro.ai/examples/vae.html>`_,
`vae_flow_prior <https://pyro.ai/examples/vae_flow_prior.html>`_,
`cvae <https://pyro.ai/examples/cvae.html>`_ and
`ss-vae <https://pyro.ai/examples/ss-vae.html>`_. They use MNIST, and their models
are larger; here we retell them on the digits of scikit-learn, which takes seconds.

vae
---
The first tutorial writes a class with two networks and two methods, ``model`` and
``guide``, and trains it with ``SVI``. In that form, with our networks:
"""

# sphinx_gallery_thumbnail_number = 2
import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch
import zuko
from pyro.contrib.zuko import ZukoToPyro
from pyro.infer import SVI, Trace_ELBO, TraceEnum_ELBO, config_enumerate
from torch import nn

from pyro_vae import (
    VAE,
    data,
    evaluate,
    fit,
    likelihoods,
    networks,
    posteriors,
    priors,
)

digits = data.load("digits")
binary = digits.map(lambda images: images.binarized_once())
shape, D, hidden = digits.image_shape, 8, (128,)
x = binary.train.as_float(slice(None))


class Plain(nn.Module):
    """A variational autoencoder of black and white images, as a Pyro program."""

    def __init__(self):
        super().__init__()
        self.encoder = networks.MLPEncoder(shape, hidden)
        self.mean = nn.Linear(hidden[-1], D)
        self.log_variance = nn.Linear(hidden[-1], D)
        self.decoder = networks.MLPDecoder(D, shape, hidden)

    def model(self, x):
        pyro.module("decoder", self.decoder)
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(D), 1.0).to_event(1))
            pixels = dist.Bernoulli(logits=self.decoder(z)).to_event(3)
            pyro.sample("x", pixels, obs=x)

    def guide(self, x):
        pyro.module("encoder", self.encoder)
        pyro.module("mean", self.mean)
        pyro.module("log_variance", self.log_variance)
        features = self.encoder(x)
        deviation = (self.log_variance(features) / 2).exp()
        with pyro.plate("images", len(x)):
            z = dist.Normal(self.mean(features), deviation).to_event(1)
            pyro.sample("z", z)


# %%
# And here it is with the three slots:

torch.manual_seed(0)
plain = Plain()
torch.manual_seed(0)
posterior = posteriors.DiagonalNormal(networks.MLPEncoder(shape, hidden), D)
vae = VAE(
    prior=priors.StandardNormal(D),
    likelihood=likelihoods.Bernoulli(networks.MLPDecoder(D, shape, hidden)),
    posterior=posterior,
)

# %%
# .. admonition:: Predict, then run
#
#    Both models were built after the same seed. Are their losses the same, for the
#    same images?

losses = []
for program in (plain, vae):
    torch.manual_seed(1)
    losses.append(Trace_ELBO().loss(program.model, program.guide, x[:64]))
print(f"plain Pyro {losses[0]:.3f}, three slots {losses[1]:.3f}")

# sphinx_gallery_start_ignore
assert abs(losses[0] - losses[1]) < 1e-3 * losses[0]
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    Yes. ``VAE`` *is* a model and a guide: you can give both to Pyro's ``SVI`` and
#    ``poutine``, like those of any other Pyro program.
#
# This table says where each line of the tutorial is found here:
#
# .. list-table::
#    :header-rows: 1
#
#    * - in the tutorial
#      - here
#    * - a class ``Decoder`` that ends with a sigmoid
#      - a network of ``pyro_vae.networks``, which ends without one; the sigmoid belongs
#        to the likelihood
#    * - a class ``Encoder`` that returns mean and deviation
#      - a network that returns features; the two last layers, which turn them into mean
#        and log-variance, belong to the posterior
#    * - images as rows of 784 pixels, ``to_event(1)``
#      - images (B, C, H, W), ``to_event(3)``
#    * - ``pyro.sample("latent", ...)``, ``pyro.sample("obs", ...)``
#      - the sites ``"z"`` and ``"x"``
#    * - ``svi = SVI(model, guide, Adam({"lr": 1e-3}), Trace_ELBO())``, and a loop
#      - ``fit(vae, images, learning_rate=1e-3, schedule=schedules.Constant)``
#    * - the loss of an epoch, over the number of images
#      - the same; with distortion and rate beside it
#    * - ``vae.reconstruct_img(x)``
#      - ``vae.reconstruct(x)``
#    * - t-SNE of the latent vectors
#      - a picture of the report, ``latents.scatter``

settings = {"batch_size": 128, "learning_rate": 1e-2, "progress": False}
fit(vae, binary.train, epochs=15, **settings)
standard = evaluate(vae, binary.test)
print(f"ELBO {standard.elbo:.2f}, rate {standard.rate:.2f} nats")

# %%
# vae_flow_prior
# --------------
# The second tutorial replaces the prior by a *normalizing flow*: a normal distribution
# that an invertible network bends into another shape. The network is trained together
# with the rest. The flow is from Zuko, a library of normalizing flows, and Pyro's
# ``ZukoToPyro`` turns its distributions into Pyro's. What that returns fits the slot as
# it is:


class FlowPrior(nn.Module):
    """p(z), a masked autoregressive flow of Zuko's."""

    def __init__(self):
        super().__init__()
        self.flow = zuko.flows.MAF(D, transforms=3, hidden_features=(64, 64))

    def forward(self):
        return ZukoToPyro(self.flow())


def with_prior(prior):
    """Return the same model with another prior, trained."""
    torch.manual_seed(0)
    posterior = posteriors.DiagonalNormal(networks.MLPEncoder(shape, hidden), D)
    decoder = networks.MLPDecoder(D, shape, hidden)
    vae = VAE(prior(), likelihoods.Bernoulli(decoder), posterior)
    fit(vae, binary.train, epochs=15, **settings)
    return evaluate(vae, binary.test)


theirs = with_prior(FlowPrior)
ours = with_prior(lambda: priors.NormalizingFlow(D, family="affine"))
print("prior                     ELBO   distortion    rate")
for name, found in (
    ("standard normal", standard),
    ("Zuko's MAF", theirs),
    ("NormalizingFlow", ours),
):
    print(f"{name:20s}{found.elbo:10.2f}{found.distortion:13.2f}{found.rate:8.2f}")

# sphinx_gallery_start_ignore
assert abs(theirs.elbo - ours.elbo) < 0.1
assert abs(theirs.elbo - standard.elbo - 1) < 0.4
# sphinx_gallery_end_ignore

# %%
# The last two rows are the same, because ``priors.NormalizingFlow`` is this very flow,
# with what a checkpoint needs around it; ``family`` chooses between the affine
# transforms of the tutorial and splines. The flow raises the ELBO by about a nat.
#
# A condition
# -----------
# The models of the other two tutorials do not fit three slots, because their
# distributions depend on something besides :math:`z` and :math:`x`, a *condition*: a part
# of the image, or a label. The slots of this library do not take a condition yet, so
# ``fit``, ``evaluate`` and the pictures cannot be used for these models. The networks can
# be used, and so can all of Pyro. So we write the models as plain Pyro programs.
#
# This helper concatenates vectors, whatever their leading dimensions are:


def joined(*parts):
    """Return vectors (..., F) side by side, their leading dimensions broadcast."""
    leading = torch.broadcast_shapes(*(part.shape[:-1] for part in parts))
    return torch.cat([part.expand(*leading, -1) for part in parts], -1)


# %%
# cvae
# ----
# The *conditional* variational autoencoder (CVAE; Sohn, Lee and Yan, 2015) completes
# images. It is given a part c of an image, here the left half, and draws the rest. There
# are three networks: a prior :math:`p(z \mid c)`, which sees only the given half; a
# posterior :math:`q(z \mid c, x)`, which sees all of the image; and a decoder
# :math:`p(x \mid c, z)`. The decoder is given the latent vector, and the features that
# the prior's network has found in the half.

x = digits.train.as_float(slice(None))
x_test = digits.test.as_float(slice(None))
left = torch.cat([torch.ones(1, 8, 4), torch.zeros(1, 8, 4)], -1)  # 1 where given
F, SIGMA = 64, 0.2


class Conditional(nn.Module):
    """Draw the right half of an image, given the left half."""

    def __init__(self):
        super().__init__()
        self.given = networks.MLPEncoder(shape, (F,))
        self.prior_head = nn.Linear(F, 2 * D)
        self.all = networks.MLPEncoder(shape, (128,))
        self.posterior_head = nn.Linear(128 + F, 2 * D)
        self.decoder = networks.MLPDecoder(D + F, shape, (128,))

    def pixels(self, z, features):
        mean = self.decoder(joined(z, features)).sigmoid()
        # The given half is known: it counts for nothing in the likelihood.
        return dist.Normal(mean, SIGMA).mask(left == 0).to_event(3)

    def model(self, x):
        pyro.module("conditional", self)  # The guide's networks, too.
        features = self.given(x * left)
        with pyro.plate("images", len(x)):
            mean, log_variance = self.prior_head(features).chunk(2, -1)
            prior = dist.Normal(mean, (log_variance / 2).exp()).to_event(1)
            z = pyro.sample("z", prior)
            pyro.sample("x", self.pixels(z, features), obs=x)

    def guide(self, x):
        both = joined(self.all(x), self.given(x * left))
        with pyro.plate("images", len(x)):
            mean, log_variance = self.posterior_head(both).chunk(2, -1)
            posterior = dist.Normal(mean, (log_variance / 2).exp()).to_event(1)
            pyro.sample("z", posterior)

    @torch.no_grad()
    def complete(self, x, draws):
        """Return completions (draws, B, C, H, W), each of another latent vector."""
        features = self.given(x * left)
        mean, log_variance = self.prior_head(features).chunk(2, -1)
        prior = dist.Normal(mean, (log_variance / 2).exp())
        made = self.decoder(joined(prior.sample((draws,)), features)).sigmoid()
        return torch.where(left == 1, x, made)


def train(program, step, epochs, batch_size=128):
    """Take a step for each batch of the training images, in each epoch."""
    torch.manual_seed(0)
    for _ in range(epochs):
        for indices in torch.randperm(len(x)).split(batch_size):
            step(x[indices])


torch.manual_seed(0)
pyro.clear_param_store()
conditional = Conditional()
svi = SVI(
    conditional.model,
    conditional.guide,
    pyro.optim.Adam({"lr": 5e-3}),
    Trace_ELBO(),
)
train(conditional, svi.step, epochs=40)

# %%
# As the tutorial does, we compare it with a network without a latent vector, the
# *baseline*, which predicts the right half from the left, by the squared error.

torch.manual_seed(0)
baseline = nn.Sequential(
    networks.MLPEncoder(shape, (128,)), networks.MLPDecoder(128, shape, (128,))
)
optimizer = torch.optim.Adam(baseline.parameters(), lr=5e-3)


def predict(images):
    """Return the baseline's completion of images."""
    return torch.where(left == 1, images, baseline(images * left).sigmoid())


def step(images):
    """Take a step of the baseline."""
    loss = (predict(images) - images).square().sum((1, 2, 3)).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


train(baseline, step, epochs=40)

# %%
# .. admonition:: Predict, then run
#
#    Which of the two has the lower squared error? And which makes the right half more
#    probable?

with torch.no_grad():
    guess = predict(x_test)
    draws = conditional.complete(x_test, 50)
    error = (guess - x_test).square().sum((1, 2, 3)).mean()
    error_of_draw = (draws - x_test).square().sum((-3, -2, -1)).mean()
    error_of_average = (draws.mean(0) - x_test).square().sum((1, 2, 3)).mean()
    pixels = dist.Normal(guess, SIGMA).mask(left == 0).to_event(3)
    log_p = pixels.log_prob(x_test).mean()
    loss = Trace_ELBO(num_particles=50).loss(
        conditional.model, conditional.guide, x_test
    )
    elbo = -loss / len(x_test)
print("                       squared error   log p(right | left)")
print(f"baseline              {error:14.2f}{log_p:14.2f}")
print(f"a draw of the CVAE    {error_of_draw:14.2f}{elbo:14.2f} or more (the ELBO)")
print(f"the average of 50     {error_of_average:14.2f}")

figure, axes = plt.subplots(6, figsize=(6.5, 2.6))
rows = [x_test * left + 0.3 * (1 - left), x_test, guess, *draws[:3]]
names = ["given", "test images", "baseline", "CVAE", "another draw", "another draw"]
for axis, images, name in zip(axes, rows, names, strict=True):
    padded = nn.functional.pad(images[:15, 0], (1, 1, 1, 1))
    axis.imshow(torch.cat(list(padded), 1), cmap="gray", vmin=0, vmax=1)
    axis.text(-3, 4.5, name, ha="right", va="center", fontsize=9)
    axis.set_axis_off()
figure.subplots_adjust(left=0.19, right=0.99, bottom=0.01, top=0.99, hspace=0.05)
plt.show()

# sphinx_gallery_start_ignore
assert error < error_of_average < error_of_draw and abs(elbo - log_p - 4) < 1.5
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    The baseline has the lower error, since it was trained for nothing else. Where two
#    endings are possible it returns their average, which is blurred, but never far off.
#    The conditional autoencoder draws one of them, and another each time. It makes the
#    right halves more probable by some 4 nats.
#
# ss-vae
# ------
# The *semi-supervised* variational autoencoder (Kingma, Rezende, Mohamed and Welling,
# 2014) is trained on images of which only a few are labeled. Its story is: draw a digit
# :math:`y`, draw a latent vector :math:`z`, and draw the image from both. So :math:`z`
# is left with what the digit does not say, the handwriting. Where the label is known,
# it is observed. Where it is not, it is a latent variable like the other, and the guide
# has a classifier :math:`q(y \mid x)` for it.
#
# A label is discrete, so no gradient passes through a draw of it (:doc:`05b_gradients`).
# But there are only ten labels. ``config_enumerate`` makes Pyro run the program with each
# of them in place of a draw, and ``TraceEnum_ELBO`` adds up the ten results, each
# weighted by its probability. For that, Pyro lays the ten labels out along a new
# dimension of every batch shape, to the left of the dimensions of plates; how many of
# these there are is told to it as ``max_plate_nesting``.
#
# For labeled images the guide does not use the classifier, so the ELBO alone would teach
# it nothing from them. As in the article, the classifier's log-probability of the known
# labels is added to the ELBO, with a weight: ``pyro.factor`` adds a number to the
# log-probability of a program.


class SemiSupervised(nn.Module):
    """Digits with and without labels."""

    def __init__(self):
        super().__init__()
        self.classifier = nn.Sequential(
            networks.MLPEncoder(shape, (128,)), nn.Linear(128, 10)
        )
        self.encoder = networks.MLPEncoder(shape, (128,))
        self.head = nn.Linear(128 + 10, 2 * D)
        self.decoder = networks.MLPDecoder(D + 10, shape, (128,))

    def decode(self, y, z):
        digit = nn.functional.one_hot(y, 10).float()
        return self.decoder(joined(z, digit)).sigmoid()

    def model(self, x, y=None, weight=0.0):
        pyro.module("semi_supervised", self)  # The guide's networks, too.
        with pyro.plate("images", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(D), 1.0).to_event(1))
            label = pyro.sample(
                "y", dist.Categorical(torch.full((10,), 0.1)), obs=y
            )
            pixels = dist.Normal(self.decode(label, z), 0.3).to_event(3)
            pyro.sample("x", pixels, obs=x)
            if y is not None:
                found = dist.Categorical(logits=self.classifier(x))
                pyro.factor("classification", weight * found.log_prob(y))

    def guide(self, x, y=None, weight=0.0):
        with pyro.plate("images", len(x)):
            if y is None:
                found = dist.Categorical(logits=self.classifier(x))
                y = pyro.sample("y", found)
            digit = nn.functional.one_hot(y, 10).float()
            both = joined(self.encoder(x), digit)
            mean, log_variance = self.head(both).chunk(2, -1)
            posterior = dist.Normal(mean, (log_variance / 2).exp()).to_event(1)
            pyro.sample("z", posterior)


# %%
# Two images of each digit keep their label, twenty in all, out of 1,617.

labels, labels_test = digits.train.labels, digits.test.labels
known = torch.cat([(labels == digit).nonzero()[:2, 0] for digit in range(10)])
x_known, y_known = x[known], labels[known]

torch.manual_seed(0)
pyro.clear_param_store()
semi = SemiSupervised()
adam = pyro.optim.Adam({"lr": 5e-3})
with_label = SVI(semi.model, semi.guide, adam, Trace_ELBO())
without_label = SVI(
    semi.model,
    config_enumerate(semi.guide, expand=True),
    adam,
    TraceEnum_ELBO(max_plate_nesting=1),
)


def step_of_both(images):
    """Take a step with images without labels, and one with the labeled ones."""
    without_label.step(images)
    with_label.step(x_known, y_known, weight=50.0)


train(semi, step_of_both, epochs=10)

# %%
# .. admonition:: Predict, then run
#
#    A classifier of the same layers is trained on the twenty labeled images alone. How
#    many of the test digits will it recognize: a third, a half, more?


def accuracy(classifier):
    """Return the share of the test digits that a classifier recognizes."""
    with torch.no_grad():
        return (classifier(x_test).argmax(1) == labels_test).double().mean().item()


torch.manual_seed(0)
alone = nn.Sequential(networks.MLPEncoder(shape, (128,)), nn.Linear(128, 10))
optimizer = torch.optim.Adam(alone.parameters(), lr=3e-3)
for _ in range(200):
    loss = nn.functional.cross_entropy(alone(x_known), y_known)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"from 20 labeled images:               {accuracy(alone):.0%}")
print(f"with 1,617 images without labels, too: {accuracy(semi.classifier):.0%}")

# sphinx_gallery_start_ignore
assert 0.77 < accuracy(alone) < 0.87
assert abs(accuracy(semi.classifier) - accuracy(alone) - 0.05) < 0.035
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    Some four fifths: these small digits are easy. The images without labels add about 5
#    percentage points to that. (It is a matter of luck which twenty images are labeled:
#    with others there may be more to gain, or nothing. On MNIST there is much.)
#
# Digit and handwriting are separate now, so we can draw all ten digits in the same
# handwriting: each row below has one latent vector, and each column has one digit.

with torch.no_grad():
    hands = torch.randn(5, 1, D)
    drawn = semi.decode(torch.arange(10).expand(5, 10), hands)
rows = nn.functional.pad(drawn[:, :, 0], (1, 1, 1, 1))
plt.figure(figsize=(6, 3), layout="constrained")
picture = torch.cat([torch.cat(list(row), 1) for row in rows])
plt.imshow(picture, cmap="gray", vmin=0, vmax=1)
plt.axis("off")
plt.show()

# %%
# Which form should you choose? If your model is a prior, a likelihood and a posterior,
# use the slots: training, evaluation and pictures then come with them. If its story has
# more random quantities than :math:`z` and :math:`x`, write it in Pyro, and use the
# networks, the distributions and the data of this library there.
#
# .. admonition:: Exercise
#
#    Write a model that draws the digit it is asked for. All labels are known: the decoder
#    and the encoder are given the digit, and the prior is :math:`\mathcal N(0, I)`. Draw
#    100 images of each digit, and count for how many of them the most similar training
#    image shows that digit.
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/draw_a_digit.py
#          :language: python
