r"""
Your first model
================

.. admonition:: What you will be able to do

   Train a variational autoencoder on images, and read what it has learned from a
   few numbers and six pictures.

   *You need to know* some Python. Every term is explained here or on a later page.
   *10 minutes.*

Where the library is installed, one command does everything on this page with your
own images:

.. code-block:: bash

   pyro-vae train path/to/your/images

It takes any folder of images (or ``digits``, ``fashion-mnist`` and other names),
trains a model that is fitted to them, and leaves a folder with a report,
``report.html``, which you open in a browser. This page does the same a step at a
time in Python, so that we can look at each, on the small handwritten digits that
come with scikit-learn.

The images
----------
"""

# sphinx_gallery_thumbnail_number = 6
import math

import matplotlib.pyplot as plt
import torch

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
from pyro_vae.analysis import (
    embed,
    interpolation,
    latents,
    manifolds,
    reconstructions,
    samples,
    training_curves,
)

images = data.load("digits")  # or "path/to/your/images"
print(images)
plt.figure(reconstructions.originals(images.test.select(slice(20))))
plt.show()

# %%
# There are two parts: the model learns from the first, and is judged by the second,
# which it has not seen. The shape of an image is channels x height x width, here
# :math:`1 \times 8 \times 8`.
#
# The model
# ---------
# A variational autoencoder describes an image by a short list of numbers, its
# *latent vector* :math:`z`. (Many papers call it the *code*.) It consists of three
# distributions:
#
# .. diagram:: slots
#    :alt: The prior p(z) leads to the latent vector z. The likelihood p(x|z), computed by
#          the decoder, leads from the latent vector to the image x. The posterior q(z|x),
#          computed by the encoder, leads from the image back to the latent vector.
#
# - the *prior* :math:`p(z)` says where latent vectors lie before any image has been seen;
# - the *likelihood* :math:`p(x \mid z)` says which images belong to a latent vector; a
#   network computes it, the *decoder*;
# - the *posterior* :math:`q(z \mid x)` says which latent vectors belong to an image; a
#   network computes it, the *encoder*.
#
# To make a new image, draw a latent vector from the prior and decode it. Here latent
# vectors have two numbers, so that we can draw them as points on a map.

torch.manual_seed(0)
shape = images.image_shape
vae = VAE(
    prior=priors.StandardNormal(2),
    likelihood=likelihoods.Normal(
        networks.MLPDecoder(2, shape), scale=0.2, learned=True
    ),
    posterior=posteriors.DiagonalNormal(networks.MLPEncoder(shape), 2),
)
print(vae)

# %%
# A standard normal prior is a round cloud of points around 0. A normal likelihood lets
# every pixel vary around what the decoder returns, by a standard deviation (from here
# on, *deviation*) that is learned as well and starts at 0.2. These are two choices of
# many: :doc:`/slots` lists all, and :doc:`08_swap` changes them.
#
# The training
# ------------
# Training adjusts the two networks so that the training images become as probable
# as possible. It passes over all of them 40 times; each pass is called an *epoch*.
# The learning rate that is given is the peak: ``fit`` raises it to that at first, and
# then lowers it to nearly 0 by the last epoch.

history = fit(
    vae,
    images.train,
    epochs=40,
    batch_size=64,
    learning_rate=1e-2,
    progress=False,
)
plt.figure(training_curves.training_curves(history))
plt.show()

# %%
# *What to look for in the training curves:* they fall steeply and then flatten. If
# they still fall at the end, train for longer; if they jump up and down, lower the
# learning rate.
#
# The numbers
# -----------
# .. admonition:: Predict, then run
#
#    The *rate* is what a latent vector costs, and at most what it says about its image
#    on average, in *nats*, the unit of information that goes with natural logarithms.
#    To name one of ten digits takes log 10 = 2.30 nats. Will the rate be lower than
#    that, or higher?

numbers = evaluate(vae, images.test)
print(numbers)

# sphinx_gallery_start_ignore
assert f"{math.log(10):.2f}" == "2.30" and f"{1 / math.log(2):.2f}" == "1.44"
assert 4.3 < numbers.rate < 5.5 and 8 < numbers.elbo < 16 and numbers.distortion < 0
assert abs(numbers.elbo + numbers.distortion + numbers.rate) < 1e-6
assert numbers.active_units == 2
assert vae.likelihood(torch.zeros(1, 2)).base_dist.scale.unique().numel() == 1
# sphinx_gallery_end_ignore

# %%
# .. dropdown:: Answer
#
#    Higher: some 5 nats. A latent vector can tell more than the digit, such as how bold
#    it is and how it slants.
#
# Read the numbers in this order.
#
# - The last line first: has the model *collapsed*? A model that does not use its latent
#   vectors returns the same image whatever the latent vector. This one uses both
#   numbers of its latent vector.
# - The *rate* is what a latent vector costs, and the most that it can tell about its
#   image, on average. (A nat is 1.44 bits.)
# - The *distortion* is what the pixels of an image cost once its latent vector is known.
#   Lower means that the reconstructions are better. Here it is negative, which is
#   no mistake: it is minus the logarithm of a *density*, and a density may be above
#   1.
# - The *ELBO* (evidence lower bound) is minus the sum of the two: the one number by
#   which models of the same images and the same kind of likelihood are compared. Higher
#   is better. :doc:`05_the_bound` explains what it is a bound on. Its standard error
#   says how much it would vary with other test images, as many as these.
#
# The pictures
# ------------
# *Reconstructions* are test images that were encoded and decoded again. What is kept,
# and what is lost? With two numbers for a latent vector, it is the finer strokes that
# go first.

plt.figure(reconstructions.side_by_side(vae, images.test.select(slice(10))))
plt.show()

# %%
# *Samples* are new images, decoded from latent vectors that are drawn from the prior. Do
# they look like the data, and does every kind of image occur?

plt.figure(samples.from_prior(vae, 20))
plt.show()

# %%
# .. admonition:: Predict, then run
#
#    The *map* shows the latent vector of every test image, colored by its digit. The
#    model was never told which digit an image shows. Will the colors be mixed all over?

z = embed(vae, images.test)
plt.figure(latents.scatter(z, images.test, vae=vae))
plt.show()

# %%
# .. dropdown:: Answer
#
#    No. Images of the same digit look alike, and similar images have similar latent
#    vectors. The digits that overlap are those that are easily mistaken for each other.
#
# The dashed lines enclose 50 and 95% of the mass of the prior. *What to look for:*
# the latent vectors should fill these regions without large gaps, because that is where
# samples are drawn. What happens where they do not is the subject of the next page.
#
# The *even grid* decodes the map, point by point. Walking across it, one digit
# should turn into another without a break:

plt.figure(manifolds.linear_grid(vae, size=2, steps=12))
plt.show()

# %%
# .. admonition:: Predict, then run
#
#    An *interpolation* goes from the latent vector of one image to that of another in a
#    straight line. What is in the middle: the average of the two images, with both
#    of them visible, or something else?

plt.figure(interpolation.row(vae, images.test.select(slice(2)), steps=10))
plt.show()

# %%
# .. dropdown:: Answer
#
#    Something else: each step is an image in its own right, of which many look like
#    digits, even if they are not the two at the ends. To average the *latent vectors*
#    of two images is not to average the images.
#
# The report
# ----------
# ``pyro-vae train`` leaves all of this in one page, with many more pictures, each
# with a line on what to look for. In Python, ``fit`` does the same with two more
# arguments:
#
# .. code-block:: python
#
#    from pyro_vae.analysis import report_after_training
#
#    fit(vae, images.train, epochs=40, learning_rate=1e-2,
#        folder="runs/digits", callbacks=[report_after_training(images)])
#
# Whatever the images, five questions, in this order, tell you most of what the
# report has to say:
#
# 1. *Has it converged?* The training curves.
# 2. *Does it use its latent vectors?* The verdict below the numbers, and the rate of each
#    dimension.
# 3. *Are the reconstructions good?* If not, the latent vectors are too short, the
#    networks are too small, or the training was too short.
# 4. *Are the samples as good as the reconstructions?* If not, the latent vectors do not
#    lie where the prior is: see the map of the latent vectors.
# 5. *Is it new?* The samples above their nearest training images.
#
# On the next page we build all of it from nothing, beginning without any
# probability: :doc:`02_autoencoder`.
#
# .. admonition:: Exercise
#
#    Train the same model with latent vectors of eight numbers. Which of distortion and
#    rate falls, and which rises? Is it the better model?
#
#    .. dropdown:: Solution
#
#       .. literalinclude:: ../tutorials/solutions/eight_numbers.py
#          :language: python
