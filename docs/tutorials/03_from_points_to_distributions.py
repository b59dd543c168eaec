r"""
From points to distributions
============================

.. admonition:: What you will be able to do

   Turn an autoencoder into a variational one; say what its encoder returns, and why
   one of the two outputs is a log-variance; say why a plain draw stops the
   gradient, and how reparameterization lets it pass; write the loss, reconstruction
   plus KL, and the whole training loop by hand, in plain PyTorch.

   *You need to know* :doc:`02_autoencoder`, and what a normal distribution is.
   *20 minutes.*

The autoencoder of the last page had two faults: nothing said where the latent vectors
should lie, and nothing said what is near a latent vector. A *variational* autoencoder
(VAE) mends both with a change to the encoder and a term in the loss. The encoder
returns a cloud instead of a point: a normal distribution, by its mean :math:`\mu` and
its variance :math:`\sigma^2`. The decoder is given a point that is *drawn* from the
cloud. And the new term, the KL divergence, pulls every cloud toward :math:`\mathcal
N(0, I)`.

.. diagram:: variational_autoencoder
   :alt: An image enters the encoder, which returns a mean and a log-variance. Noise
         drawn from a standard normal distribution is scaled by sigma and added to
         the mean, which gives z. The decoder makes a reconstruction of it. The loss
         is the KL divergence of the cloud from the standard normal distribution,
         plus the reconstruction loss.
"""

# sphinx_gallery_thumbnail_number = 3
import matplotlib.pyplot as plt
import torch
from torch import nn

from pyro_vae import data

torch.manual_seed(0)
digits = data.load("digits")
x = digits.train.as_float(slice(None))
x_test = digits.test.as_float(slice(None))
labels = digits.train.labels

# %%
# An encoder that returns a cloud
# -------------------------------
# Both networks are those of the last page, but for one number: the last layer of
# the encoder has 2 *D* outputs instead of *D*. The first half is the mean and the
# second half is the logarithm of the variance.


def make_networks(D):
    """Return an encoder and a decoder for latent vectors of D numbers."""
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
    return encoder, decoder


encoder, decoder = make_networks(D=2)
mean, log_variance = encoder(x[:5]).chunk(2, dim=-1)
print(f"mean {tuple(mean.shape)}, log-variance {tuple(log_variance.shape)}")
deviations = (log_variance[0] / 2).exp()
print(f"deviations of the first image: {deviations[0]:.2f}, {deviations[1]:.2f}")

# %%
# Why the logarithm? A variance is positive, but the output of a linear layer is any
# number at all. The exponential function turns any number into a positive one:
# :math:`\sigma = e^{\frac12 \log \sigma^2}`. And it treats small and large clouds
# alike: a step of the same size multiplies the variance by the same factor, whether
# it is a thousandth or a thousand.
#
# .. admonition:: Predict, then run
#
#    The outputs of a network that has not been trained are close to 0. What is its
#    cloud then? And which output does a cloud with a deviation of 0.1 need?

for output in (0.0, -2.0, -4.6):
    deviation = torch.tensor(output / 2).exp()
    print(f"log-variance {output:4.1f}: deviation {deviation:.2f}")

# sphinx_gallery_start_ignore
assert (log_variance / 2).exp().sub(1).abs().max() < 0.2
assert f"{torch.tensor(0.1).square().log():.1f}" == "-4.6"
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    With outputs of 0 the mean is 0 and the deviation is 1: the cloud is the
#    standard normal distribution itself, for every image. Above, the first
#    deviations are indeed close to 1. A deviation of 0.1 needs :math:`\log 0.1^2`,
#    about -4.6.

# %%
# A draw that lets the gradient pass
# ----------------------------------
# The decoder is to be given a point drawn from the cloud. Let us do that in the
# plainest way, and send the gradient of the squared error back.
#
# .. admonition:: Predict, then run
#
#    Which weights will have a gradient: those of the encoder, of the decoder, or
#    both?

cloud = torch.distributions.Normal(mean, (log_variance / 2).exp())
z = cloud.sample()
loss = (decoder(z) - x[:5]).square().sum()
loss.backward()
print("gradient of the decoder's first layer:", decoder[0].weight.grad.shape)
print("gradient of the encoder's last layer: ", encoder[-1].weight.grad)

# sphinx_gallery_start_ignore
assert decoder[0].weight.grad is not None and encoder[-1].weight.grad is None
assert not z.requires_grad
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    Only those of the decoder. A random number generator was handed :math:`\mu` and
#    :math:`\sigma` and returned a number: PyTorch has no derivative of that, so the
#    chain of the gradient ends at ``z``. The encoder would never learn what the
#    decoder needs.
#
# *Reparameterization* (Kingma and Welling, 2014) gets around this. Draw the noise
# :math:`\varepsilon` from :math:`\mathcal N(0, I)`, which depends on no weight, and
# *compute* the point from it: :math:`z = \mu + \sigma \varepsilon`. It is
# distributed in the same way, and it is a sum and a product, of which PyTorch knows
# the derivatives.
#
# .. diagram:: reparameterization
#    :alt: Left, a plain draw: z is drawn from a normal distribution with mean mu
#          and deviation sigma, and the gradient of the loss stops at z. Right,
#          reparameterized: z is computed from mu, sigma and noise that enters from
#          the side, and the gradient passes from the loss through z to mu and
#          sigma.

mean, log_variance = encoder(x[:5]).chunk(2, dim=-1)
z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
loss = (decoder(z) - x[:5]).square().sum()
loss.backward()
print("gradient of the encoder's last layer: ", encoder[-1].weight.grad.shape)

# sphinx_gallery_start_ignore
assert encoder[-1].weight.grad is not None
# sphinx_gallery_end_ignore

# %%
# The distributions of PyTorch and Pyro do the same under another name: ``rsample``
# in place of ``sample``. How good the gradient is that passes, and what can be done
# for draws that cannot be reparameterized, is the subject of :doc:`05b_gradients`.
#
# Two terms
# ---------
# The loss of an image has two terms, and articles on the subject write it like this:
#
# .. math::
#
#     \text{loss} = \underbrace{\frac{1}{2 s^2} \lVert x - \hat x
#     \rVert^2}_{\text{reconstruction}} + \underbrace{\tfrac12 \sum_{d=1}^D
#       \left(\mu_d^2 + \sigma_d^2 - 1 - \log \sigma_d^2\right)}_{\text{KL}} .
#
# The *reconstruction* term is the squared error of the last page, where :math:`\hat x`
# is the decoder's image. The factor in front of it is new, and it matters: it weighs
# one term against the other. Here :math:`s` is how far a pixel may be off: we choose
# 0.2, so that the factor is 12.5. (Other articles have other factors, or a
# cross-entropy. What each choice means is the subject of :doc:`06_which_likelihood`.)
#
# The *KL* term is the divergence of the cloud from :math:`\mathcal N(0, I)`, the
# Kullback-Leibler divergence between two normal distributions. It is 0 if the cloud
# is that distribution, and positive otherwise; it is what the latent vector of the image
# costs. In code, it is one line:

PIXEL_DEVIATION = 0.2


def reconstruction_term(reconstructed, images):
    """Return the squared error of each image, weighted: (B,)."""
    squared = (reconstructed - images).square().sum((1, 2, 3))
    return squared / (2 * PIXEL_DEVIATION**2)


def kl_term(mean, log_variance):
    """Return the divergence of each cloud from N(0, I): (B,)."""
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)


print(f"the weight of the squared error is {1 / (2 * PIXEL_DEVIATION**2):.1f}")

# sphinx_gallery_start_ignore
assert f"{1 / (2 * PIXEL_DEVIATION**2):.1f}" == "12.5" and PIXEL_DEVIATION == 0.2
test_mean, test_log_variance = torch.randn(2, 7, 3)
q = torch.distributions.Normal(test_mean, (test_log_variance / 2).exp())
p = torch.distributions.Normal(0.0, 1.0)
exact = torch.distributions.kl_divergence(q, p).sum(-1)
assert torch.allclose(kl_term(test_mean, test_log_variance), exact, atol=1e-5)
# sphinx_gallery_end_ignore

# %%
# Both terms are sums, over the pixels and over the dimensions of the latent vector.
# Where a program takes the mean over pixels instead, it has changed the weight between
# them by a factor of 64.
#
# What does a dimension of a latent vector cost?

grid = torch.linspace(-3, 3, 301)[:, None]
deviations = torch.linspace(0.02, 3, 301)[:, None]
figure, (left, right) = plt.subplots(
    1, 2, figsize=(6.5, 2.6), sharey=True, layout="constrained"
)
left.plot(grid, kl_term(grid, torch.zeros(1)))
left.set(xlabel=r"mean $\mu$, where $\sigma = 1$", ylabel="KL")
right.plot(deviations, kl_term(torch.zeros(1), 2 * deviations.log()))
right.set(xlabel=r"deviation $\sigma$, where $\mu = 0$")
plt.show()

for mu, sigma in ((0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (0.0, 0.1), (2.0, 0.1)):
    cost = kl_term(torch.tensor([mu]), 2 * torch.tensor([sigma]).log())
    print(f"mean {mu:.0f}, deviation {sigma:.1f}: KL {cost:.2f}")

# sphinx_gallery_start_ignore
narrow = kl_term(torch.tensor([0.0]), 2 * torch.tensor([0.1]).log())
far = kl_term(torch.tensor([2.0]), 2 * torch.tensor([1.0]).log())
assert f"{narrow:.2f}" == "1.81" and f"{far:.2f}" == "2.00"
# sphinx_gallery_end_ignore

# %%
# To lie far from the middle is expensive: a mean of 2 costs 2.00. To be narrow is
# expensive as well: a deviation of 0.1 costs 1.81. A point, as an autoencoder has
# it, would cost infinitely much. So an image moves away from the middle, and makes
# its cloud narrow, only as far as the reconstruction gains more by it than the KL
# charges.
#
# The training loop
# -----------------
# This is all that is needed: about forty lines with the networks above.


def train(encoder, decoder, epochs=40, learning_rate=3e-3):
    """Train a variational autoencoder; return the two terms after each epoch."""
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=learning_rate)
    history = []
    for epoch in range(1, epochs + 1):
        totals = torch.zeros(2)
        for indices in torch.randperm(len(x)).split(64):
            batch = x[indices]
            mean, log_variance = encoder(batch).chunk(2, dim=-1)
            noise = torch.randn_like(mean)
            z = mean + (log_variance / 2).exp() * noise
            reconstruction = reconstruction_term(decoder(z), batch)
            kl = kl_term(mean, log_variance)
            loss = (reconstruction + kl).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            totals += torch.stack([reconstruction.sum(), kl.sum()]).detach()
        history.append((totals / len(x)).tolist())
        if epoch in (1, 2, 5, 10, 20, epochs):
            reconstruction, kl = history[-1]
            print(f"epoch {epoch:2d}: {reconstruction:5.1f} + {kl:4.2f}", end="")
            print(f" = {reconstruction + kl:5.1f}")
    return history


# %%
# .. admonition:: Predict, then run
#
#    One of the two terms starts near 0 and one starts high. Which is which, and in
#    which direction does each of them go?

torch.manual_seed(0)
encoder, decoder = make_networks(D=2)
print("          reconstruction + KL = loss")
history = train(encoder, decoder)

reconstructions, kls = zip(*history, strict=True)
epochs = range(1, len(history) + 1)
figure, axis = plt.subplots(figsize=(6, 2.8), layout="constrained")
axis.plot(epochs, reconstructions, label="reconstruction")
axis.plot(epochs, kls, label="KL")
axis.set(xlabel="epoch", ylabel="averaged over the images")
axis.legend()
plt.show()

# sphinx_gallery_start_ignore
assert kls[1] < 0.5 and reconstructions[1] > 40
assert 4 < kls[-1] < 5.5 and 20 < reconstructions[-1] < 30
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    The KL starts near 0: the clouds of the untrained encoder are all close to
#    :math:`\mathcal N(0, I)`, and for the first epochs they become even more alike,
#    since a latent vector that the decoder cannot read yet is not worth anything. The
#    reconstruction term starts high, and falls within two epochs to that of a blurred
#    mean image. Then the decoder finds the first use for the latent vector; from there
#    on the KL *rises*, to nearly 5 nats, and the reconstruction term falls by much
#    more. (A VAE that never leaves the start is said to have *collapsed*.)
#
# The loss, with the opposite sign and one constant more, is called the *evidence
# lower bound*, or ELBO. Why just these two terms, and what they are a bound on, is
# shown in :doc:`05_the_bound`.
#
# The map, once more
# ------------------
# Now every image has a cloud. On the left are the means of the clouds; on the right
# is one draw from each. The circles hold 50 and 95% of :math:`\mathcal N(0, I)`.


@torch.no_grad()
def clouds_of(encoder, images):
    """Return the means and the deviations of the clouds, (N, D) each."""
    mean, log_variance = encoder(images).chunk(2, dim=-1)
    return mean, (log_variance / 2).exp()


mean, deviation = clouds_of(encoder, x)
figure, axes = plt.subplots(
    1, 2, figsize=(6.5, 3.2), sharex=True, sharey=True, layout="constrained"
)
draw = mean + deviation * torch.randn_like(mean)
for axis, points, title in zip(axes, (mean, draw), ("means", "draws"), strict=True):
    dots = axis.scatter(*points.T, c=labels, cmap="tab10", s=5)
    for mass in (0.5, 0.95):
        radius = (-2 * torch.log(torch.tensor(1 - mass))).sqrt()
        axis.add_patch(plt.Circle((0, 0), radius, fill=False, linestyle="--"))
    axis.set(title=title, xlabel="$z_1$", aspect="equal")
axes[0].set_ylabel("$z_2$")
figure.legend(*dots.legend_elements(num=None), title="digit", loc="outside right")
plt.show()
spread = (mean.var(0) + deviation.square().mean(0)).sqrt()
for d in range(2):
    print(f"z{d + 1}: mean {draw[:, d].mean():5.2f}, deviation {spread[d]:.2f}")

# sphinx_gallery_start_ignore
assert draw.mean(0).abs().max() < 0.5 and (spread - 1).abs().max() < 0.5
# sphinx_gallery_end_ignore

# %%
# The map is centered now, about as wide as :math:`\mathcal N(0, I)`, and there is
# much less empty land in it: where one cloud ends, the next begins. So we know
# where to draw. (At :doc:`/draw` you draw a digit, and see its cloud move on such a
# map.) We judge the images as on the last page, by the training image that is most
# like each:


def judge(name, images):
    """Print how many images look most like each digit; return the mean distance."""
    distances, indices = torch.cdist(images.flatten(1), x.flatten(1)).min(1)
    shares = torch.bincount(labels[indices], minlength=10) / len(images)
    row = " ".join(f"{share:4.0%}" for share in shares)
    print(f"{name:22s}{distances.mean():5.2f}   {row}")
    return distances.mean().item(), shares


def show(images, title, columns=16):
    """Show images (N, 1, H, W) in rows, with a pixel of space around each."""
    rows = nn.functional.pad(images[:, 0], (1, 1, 1, 1)).split(columns)
    picture = torch.cat([torch.cat(list(row), 1) for row in rows])
    plt.figure(figsize=(6.5, 0.45 * len(rows) + 0.3), layout="constrained")
    plt.imshow(picture, cmap="gray", vmin=0, vmax=1)
    plt.title(title, fontsize=10)
    plt.axis("off")
    plt.show()


HEADER = " " * 19 + "distance   " + " ".join(f"{digit:4d}" for digit in range(10))
with torch.no_grad():
    new = decoder(torch.randn(1000, 2))
print(HEADER)
judge("test images", x_test)
_, shares = judge("drawn from N(0, I)", new)
show(new[:32], "new images: decoded draws from N(0, I)")

# sphinx_gallery_start_ignore
assert shares.min() > 0.02 and shares.max() < 0.25
# sphinx_gallery_end_ignore

# %%
# Every digit occurs, whereas the autoencoder all but left some out. They are new
# images, made from nothing but random numbers.
#
# In sixteen dimensions
# ---------------------
# The autoencoder had its largest holes where the latent vector had sixteen numbers: it
# copied images well, and what it drew was about one and a half times as far from the
# nearest digit as a real digit is.

torch.manual_seed(0)
wide_encoder, wide_decoder = make_networks(D=16)
train(wide_encoder, wide_decoder)
with torch.no_grad():
    wide_new = wide_decoder(torch.randn(1000, 16))
    wide_mean, wide_deviation = clouds_of(wide_encoder, x_test)
    error = (wide_decoder(wide_mean) - x_test).square().sum((1, 2, 3)).mean()
print(HEADER)
real, _ = judge("test images", x_test)
made, _ = judge("drawn from N(0, I)", wide_new)
show(wide_new[:32], "new images, from sixteen dimensions")
print(f"squared error of a test image: {error:.2f}")
print("the deviation of each dimension of a cloud, averaged over the images:")
print(", ".join(f"{each:.2f}" for each in wide_deviation.mean(0)))

# sphinx_gallery_start_ignore
used = (wide_deviation.mean(0) < 0.9).sum().item()
assert made < 1.15 * real and 3 <= used <= 9
assert abs(error - 1.4) < 0.4 and error > 1.2 * 0.8  # The autoencoder has 0.8.
# sphinx_gallery_end_ignore

# %%
# What is drawn now is hardly farther from a digit than a real digit is. There are
# two prices to pay. The copies are not as good: with the same sixteen numbers the
# autoencoder had a squared error of about 0.8, and this one has about 1.4. And only
# some of the dimensions are used: in all others the deviation of every cloud is close
# to 1, so they carry nothing but noise, which costs nothing. A VAE takes the dimensions
# that are worth their price.
#
# .. admonition:: Exercise
#
#    We chose the deviation of a pixel, 0.2. Let the model learn it: make :math:`\log s`
#    an ``nn.Parameter``, and train. The loss as it stands above would then fall toward
#    0, whatever the reconstructions are (try it: where does :math:`s` go?). Which term
#    is missing? *Hint:* the density of a normal distribution has a factor in front of
#    its exponential.
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/learned_deviation.py
#          :language: python
