r"""
An autoencoder, and its holes
=============================

.. admonition:: What you will be able to do

   Build an autoencoder from layers and say the shape of every tensor in it; draw
   the map that it makes of the images; find the holes in that map, and look at what
   comes out of them; say what keeps an autoencoder from making new images.

   *You need to know* Python, and what a layer, a loss and an optimizer are in
   PyTorch. There is no probability on this page. *15 minutes.*

An *autoencoder* is a network that copies its input to its output, through a bottleneck.
What passes through the bottleneck is called the *latent vector* of the image. Here it
has two numbers, so that we can draw it.

.. diagram:: autoencoder
   :alt: An image of shape (B, 1, 8, 8) enters the encoder, which returns a latent vector of
         shape (B, 2); the decoder returns a reconstruction of shape (B, 1, 8, 8).

Everything on this page is plain PyTorch. Only the images come from ``pyro_vae``:
the handwritten digits of scikit-learn, which need no download.
"""

# sphinx_gallery_thumbnail_number = 3
import matplotlib.pyplot as plt
import torch
from torch import nn

from pyro_vae import data

torch.manual_seed(0)
digits = data.load("digits")
x = digits.train.as_float(slice(None))  # all training images, in [0, 1]
x_test = digits.test.as_float(slice(None))
labels = digits.train.labels
print(f"training images {tuple(x.shape)}, test images {tuple(x_test.shape)}")

# %%
# The four numbers of a shape are always in this order: images B, channels C, height
# H and width W. These images are gray, so there is one channel. This function lays
# images out side by side; we use it throughout this page.


def show(images, title, columns=16):
    """Show images (N, 1, H, W) in rows, with a pixel of space around each."""
    rows = nn.functional.pad(images[:, 0], (1, 1, 1, 1)).split(columns)
    picture = torch.cat([torch.cat(list(row), 1) for row in rows])
    plt.figure(figsize=(6.5, 0.45 * len(rows) + 0.3), layout="constrained")
    plt.imshow(picture, cmap="gray", vmin=0, vmax=1)
    plt.title(title, fontsize=10)
    plt.axis("off")
    plt.show()


show(x_test[:32], "test images")

# %%
# The encoder, layer by layer
# ---------------------------
# The encoder has to turn 64 pixels into two numbers. We lay the pixels out in a
# row, and linear layers with a ReLU between them turn it into rows of other
# lengths, until two numbers are left. Each layer is applied to a batch of five
# images, and we look at what comes out.

encoder = nn.Sequential(
    nn.Flatten(),
    nn.Linear(64, 128),
    nn.ReLU(),
    nn.Linear(128, 64),
    nn.ReLU(),
    nn.Linear(64, 2),
)


def show_shapes(network, batch):
    """Print the shape of what each layer returns."""
    print(f"{'':12s}{tuple(batch.shape)}")
    for layer in network:
        batch = layer(batch)
        print(f"{type(layer).__name__:12s}{tuple(batch.shape)}")


show_shapes(encoder, x[:5])

# %%
# The number of images, 5, never changes: each image passes on its own. There is no
# activation after the last layer, so a latent vector may lie anywhere in the plane.
#
# The decoder goes the other way. Its last layers put the 64 numbers into [0, 1],
# where pixels are, and back into the form of an image.

decoder = nn.Sequential(
    nn.Linear(2, 64),
    nn.ReLU(),
    nn.Linear(64, 128),
    nn.ReLU(),
    nn.Linear(128, 64),
    nn.Sigmoid(),
    nn.Unflatten(1, (1, 8, 8)),
)
show_shapes(decoder, torch.zeros(5, 2))

# %%
# .. admonition:: Predict, then run
#
#    How many numbers does the autoencoder have to learn? (A linear layer from *m* to
#    *n* has *mn* weights and *n* biases.)

for name, network in (("encoder", encoder), ("decoder", decoder)):
    count = sum(each.numel() for each in network.parameters())
    print(f"{name}: {count:,} parameters")

# sphinx_gallery_start_ignore
counts = [
    sum(p.numel() for p in network.parameters()) for network in (encoder, decoder)
]
assert f"{counts[0]:,}" == "16,706" and f"{counts[1]:,}" == "16,768"
assert counts[0] == 64 * 128 + 128 + 128 * 64 + 64 + 64 * 2 + 2
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    The encoder has :math:`64 \cdot 128 + 128`, :math:`128 \cdot 64 + 64` and
#    :math:`64 \cdot 2 + 2`, that is 16,706; the decoder has 16,768. They are nearly
#    the same, because a layer has as many weights in either direction, but the
#    biases belong to its outputs.

# %%
# Training
# --------
# The loss compares the output with the input: the squared error, summed over the
# pixels of an image and averaged over the images of a batch. (Sum or mean over the
# pixels makes no difference to an autoencoder. To a variational autoencoder it
# will.)


def reconstruction_loss(reconstructed, images):
    """Return the squared error of each image, averaged over the images."""
    return (reconstructed - images).square().sum((1, 2, 3)).mean()


def train(encoder, decoder, epochs=40):
    """Train an autoencoder on the training images."""
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    for epoch in range(1, epochs + 1):
        for indices in torch.randperm(len(x)).split(64):
            batch = x[indices]
            loss = reconstruction_loss(decoder(encoder(batch)), batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch in (1, 10, epochs):
            print(f"epoch {epoch:2d}: squared error {loss.item():.2f}")


train(encoder, decoder)

# %%
# Is that good? Compare it, on images that were not trained on, with a model that
# gives the same answer whatever the image: the mean image.


@torch.no_grad()
def test_error(encoder, decoder):
    """Return the squared error of the test images."""
    return reconstruction_loss(decoder(encoder(x_test)), x_test).item()


error = test_error(encoder, decoder)
error_of_mean = reconstruction_loss(x.mean(0), x_test).item()
print(f"squared error of a test image: {error:.2f}")
print(f"by the mean image:             {error_of_mean:.2f}")
with torch.no_grad():
    reconstructed = decoder(encoder(x_test[:16]))
show(
    torch.cat([x_test[:16], reconstructed]),
    "test images over their reconstructions",
)

# sphinx_gallery_start_ignore
assert 1.8 < error < 2.4 and 4.5 < error_of_mean < 5.0
# sphinx_gallery_end_ignore

# %%
# Two numbers instead of 64, and most digits can still be read. The error is less
# than half of that of the mean image.
#
# The map
# -------
# A latent vector of two numbers is a point in the plane. All latent vectors together
# are the *latent space* of the model: a map that nobody drew.


@torch.no_grad()
def latent_vectors_of(encoder):
    """Return the latent vector of each training image, (N, D)."""
    return encoder(x)


def draw_map(axis, z):
    """Draw latent vectors, each in the color of its digit."""
    dots = axis.scatter(*z.T, c=labels, cmap="tab10", s=5)
    axis.set_aspect("equal", adjustable="datalim")
    return dots


z = latent_vectors_of(encoder)
low, high = z.min(0).values, z.max(0).values
figure, axis = plt.subplots(figsize=(6.5, 5), layout="constrained")
dots = draw_map(axis, z)
axis.legend(*dots.legend_elements(num=None), title="digit", loc="center left")
axis.set(title="the training images", xlabel="$z_1$", ylabel="$z_2$")
plt.show()
print(
    f"z1 from {low[0]:.1f} to {high[0]:.1f}, z2 from {low[1]:.1f} to {high[1]:.1f}"
)

# %%
# Nobody told the encoder which digit an image shows, and yet images of the same
# digit lie together: they look alike, so it is cheap to give them similar latent vectors.
# But the map is a ragged one. Some digits are spread wide and others are squeezed;
# there is empty land between them, and it is not centered anywhere.
#
# What decodes in the gaps
# ------------------------
# The decoder returns an image for *every* point of the plane. Those at the latent vectors
# are what it was trained on. What are the others?
#
# .. admonition:: Predict, then run
#
#    We look for the points in the middle of the map that are farthest from every
#    latent vector. Will the decoder draw a digit there, a mixture of digits, or noise?

margin = (high - low) / 4  # the middle half of the map
across, up = (
    torch.linspace(low[d] + margin[d], high[d] - margin[d], 100) for d in (0, 1)
)
grid = torch.cartesian_prod(across, up)
distance = torch.cdist(grid, z).min(1).values  # to the nearest latent vector

holes = []
for point in grid[distance.argsort(descending=True)]:
    if len(holes) < 4 and all((point - hole).norm() > 1.5 for hole in holes):
        holes.append(point)
holes = torch.stack(holes)

figure, axes = plt.subplots(1, 5, figsize=(6.5, 1.7), layout="constrained")
draw_map(axes[0], z)
axes[0].set_axis_off()
axes[0].plot(*holes.T, "kx", markersize=8, markeredgewidth=2)
with torch.no_grad():
    for number, (axis, image) in enumerate(
        zip(axes[1:], decoder(holes), strict=True)
    ):
        axis.imshow(image[0], cmap="gray", vmin=0, vmax=1)
        axis.set_title(f"hole {number + 1}", fontsize=9)
        axis.set_axis_off()
plt.show()

# %%
# .. dropdown:: Answer
#
#    A smear. The decoder is a continuous function: between two kinds of image it
#    has to pass through something, and nothing in the loss says what, because no
#    image is ever encoded there. You see strokes of the digits on either side of
#    the hole that do not belong together.
#
# Walk from one digit to another in a straight line, and you cross other digits, and
# the smears between them:

start, end = (x[labels == digit][:1] for digit in (0, 1))
with torch.no_grad():
    ends = encoder(start), encoder(end)
    steps = torch.linspace(0, 1, 16)[:, None]
    walk = decoder(ends[0] + steps * (ends[1] - ends[0]))
show(walk, "from a 0 to a 1")

# %%
# Why it cannot generate
# ----------------------
# To make a new image we need a new latent vector. Where do we take it from? Draw it
# from a distribution, of course; but which one? Nothing in the loss cares where the
# latent vectors lie.
#
# .. admonition:: Predict, then run
#
#    We multiply all latent vectors by ten: the weights and biases of the encoder's last
#    layer are multiplied by ten, and the weights of the decoder's first layer are
#    divided by ten. What becomes of the map, and what of the loss?

before = test_error(encoder, decoder)
with torch.no_grad():
    encoder[-1].weight *= 10
    encoder[-1].bias *= 10
    decoder[0].weight /= 10
after = test_error(encoder, decoder)
larger = latent_vectors_of(encoder)
print(f"the map is {(larger.std(0) / z.std(0)).mean():.1f} times as large")
print(f"squared error before {before:.4f}, after {after:.4f}")

with torch.no_grad():  # back to where we were
    encoder[-1].weight /= 10
    encoder[-1].bias /= 10
    decoder[0].weight *= 10

# sphinx_gallery_start_ignore
assert abs(before - after) < 1e-4
assert abs(test_error(encoder, decoder) - before) < 1e-4
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    The loss does not change at all. The same model can have a map of any size, at any
#    place, and of any shape; where the latent vectors lie is an accident of the random
#    weights that training started from. So there is no distribution that one could know
#    in advance and draw latent vectors from.
#
# Let us try all the same, with the distribution that everybody would try first, a
# standard normal one; and then with points anywhere within the range of the latent
# vectors. To judge a new image we look up the training image that is most like it: how
# far is it, and which digit?


def nearest(images):
    """Return the distance to the nearest training image, and its digit."""
    distances, indices = torch.cdist(images.flatten(1), x.flatten(1)).min(1)
    return distances, labels[indices]


def judge(name, images):
    """Print how many images look most like each digit; return the mean distance."""
    distances, found = nearest(images)
    shares = torch.bincount(found, minlength=10) / len(images)
    row = " ".join(f"{share:4.0%}" for share in shares)
    print(f"{name:22s}{distances.mean():5.2f}   {row}")
    return distances.mean().item(), shares


HEADER = " " * 19 + "distance   " + " ".join(f"{digit:4d}" for digit in range(10))
with torch.no_grad():
    copies = decoder(encoder(x_test))
    normal = decoder(torch.randn(1000, 2))
    anywhere = decoder(low + (high - low) * torch.rand(1000, 2))
print(HEADER)
real, _ = judge("test images", x_test)
copied, _ = judge("their copies", copies)
made, shares = judge("drawn from N(0, I)", normal)
made_within, _ = judge("drawn within the range", anywhere)
show(normal[:32], "from latent vectors drawn from N(0, I)")

# sphinx_gallery_start_ignore
assert 0.22 < shares.max() < 0.38 and shares.min() < 0.02
assert all(abs(each / real - 1) < 0.15 for each in (made, made_within))
assert copied < 0.95 * real
# sphinx_gallery_end_ignore

# %%
# Look at the digits first. Of the test images 7 to 17% show each digit. Of the images
# that are drawn from :math:`\mathcal N(0, I)`, about three in ten look like one and the
# same digit, and some digit hardly ever occurs: its latent vectors lie where that
# distribution has no mass. With another seed it would be other digits.
#
# Then look at the distances. By them, each new image taken alone is plausible: it is
# about as near to a training image as a test image is. The map has only two dimensions,
# and most of its points are not far from some latent vector. But this measure forgives
# a lot. It compares pixels, and a blurred image, being an average of several digits, is
# near to all of them: the copies of the test images are *nearer* to the training images
# than the test images themselves. So a small distance shows that an image is roughly a
# digit. It shows neither that the image is sharp nor that every kind of digit occurs as
# often as it should. And even the range of the latent vectors was not known in advance:
# we had to look it up in the latent vectors of the training images.
#
# The better the copy, the larger the holes
# -----------------------------------------
# Are two numbers simply too few? With sixteen the copies are much better:

torch.manual_seed(0)
wide_encoder = nn.Sequential(*encoder[:-1], nn.Linear(64, 16))
wide_decoder = nn.Sequential(nn.Linear(16, 64), *decoder[1:])
for layer in (*wide_encoder, *wide_decoder):
    if isinstance(layer, nn.Linear):
        layer.reset_parameters()
train(wide_encoder, wide_decoder)
wide_error = test_error(wide_encoder, wide_decoder)
print(
    f"squared error of a test image: {wide_error:.2f}, with two numbers {error:.2f}"
)

z = latent_vectors_of(wide_encoder)
low, high = z.min(0).values, z.max(0).values
with torch.no_grad():
    copies = wide_decoder(wide_encoder(x_test))
    normal = wide_decoder(torch.randn(1000, 16))
    anywhere = wide_decoder(low + (high - low) * torch.rand(1000, 16))
print(HEADER)
real, _ = judge("test images", x_test)
judge("their copies", copies)
made, _ = judge("drawn from N(0, I)", normal)
made_within, _ = judge("drawn within the range", anywhere)
show(
    torch.cat([copies[:16], normal[:16], anywhere[:16]]),
    "copies; drawn from N(0, I); drawn within the range",
)

# sphinx_gallery_start_ignore
assert wide_error < min(0.5 * error, 1)
assert 1.0 < real < 1.1 and made > 1.35 * real and made_within > 1.25 * real
assert f"{real:.2f}" == "1.06"
# sphinx_gallery_end_ignore

# %%
# The error is less than half of what it was; and now hardly a drawn latent vector gives
# a digit. A test image is 1.06 away from its nearest training image, and what we draw
# is about one and a half times as far. In sixteen dimensions the latent vectors fill
# next to nothing of the space between them, so that a point chosen at random lies in a
# hole.
#
# What we would like
# ------------------
# An autoencoder fails to generate for two reasons, and both are in its loss:
#
# - *nothing is said about where the latent vectors should lie*, so we do not know where
#   to draw;
# - *nothing is said about what is near a latent vector*, so we do not know what will be
#   drawn.
#
# There is one remedy for both. Give each image not a point but a small cloud of
# points, all of which must decode to it: then what is near a latent vector is an image as
# well. And pull all clouds toward one distribution that is known in advance: then
# we know where to draw. That is the variational autoencoder, on the next page:
# :doc:`03_from_points_to_distributions`.
#
# .. admonition:: Exercise
#
#    Principal component analysis (PCA) is an autoencoder whose encoder and decoder are
#    matrices. Compare the squared error of test images by autoencoders with a latent
#    vector of 1, 2, 4 and 8 numbers with that by PCA (``sklearn.decomposition.PCA``)
#    with as many components. Where do the networks gain most?
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/against_pca.py
#          :language: python
