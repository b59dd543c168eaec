r"""System 3b: batch-normalized convolutions on Cartoon Set, 200 latent dimensions.

Source: Variational Autoencoder in TensorFlow (Sharma, LearnOpenCV, 2021).

The loss is that of `fashion_batchnorm`: 1000 times the squared error, averaged over the P values of
an image, plus the Kullback-Leibler divergence. This is a Normal likelihood of variance P/2000,
which grows with the image: 98.3 at 256x256, 24.6 at 128x128, 6.1 at 64x64, for values in [0, 1]. So
wide a Normal hardly sees the image, and the prior pulls very strongly. `--as-published` trains it
so; our settings learn one sigma from the data, which leaves no weight to choose and no loss on the
source's scale. As sigma shrinks, the codes spread wider than N(0, I), whose draws then decode to
mere blurs of avatars; so our settings also learn the prior, a normalizing flow
(`--prior StandardNormal` shows the difference). Its transforms stretch no dimension more than
twofold: where they could stretch a thousandfold, a single stray code has ended trainings.

The depth of the networks follows from the size: the image is halved until it is 8x8, five times at
256, four at 128, three at 64. The published size is 256; ours is 64 (choose another with
`--size 128`), for the set as it is often shared, as one `.npz` file, and for today's computers.
Where the images are 64x64 anyway, `--as-published --size 64` does not enlarge them. There is no
published test split: `data` draws one by seed. The source states neither its epochs (20 as
published, 30 in ours) nor which weights it keeps (as published, the last). The slope and batch
normalization are those of `fashion_batchnorm`.

Images (3, 64, 64) or (3, 256, 256), features (4096,), latent vectors (200,).
"""

from functools import partial

from pyro_vae import likelihoods, networks, priors
from pyro_vae.recipes.fashion_batchnorm import mean_squared_error, published_loss
from pyro_vae.recipes.recipe import Recipe, analytic_elbo
from pyro_vae.schedules import Constant, OneCycle

cartoon = Recipe(
    name="cartoon",
    summary="Cartoon Set, convolutions, D = 200, flow prior, learned sigma (Sharma, 2021)",
    source="Sharma, 2021",
    expected="ELBO 30,530 (of a density), rate 299 nats per image on the test images (seeds 0, 1)",
    data="cartoonset",
    size=64,
    image_shape=(3, 64, 64),
    latent_size=200,
    encoder=networks.HalvingEncoder,
    decoder=networks.HalvingDecoder,
    prior=partial(
        priors.NormalizingFlow,
        family="affine",
        transforms=6,
        hidden=256,
        passes=2,
        activation="tanh",
        steepest=2.0,
    ),
    likelihood=partial(likelihoods.Normal, scale=0.25, learned=True),
    epochs=30,
    batch_size=64,
    learning_rate=2e-3,
    schedule=OneCycle,
    validation=900,
    published={
        "summary": "Cartoon Set, batch-normalized convolutions, D = 200, Normal (Sharma, 2021)",
        "size": 256,
        "image_shape": (3, 256, 256),
        "prior": priors.StandardNormal,
        "likelihood": mean_squared_error,
        "objective": analytic_elbo,
        "epochs": 20,
        "batch_size": 128,
        "learning_rate": 5e-4,
        "schedule": Constant,
        "keep": "last",
        "validation": 0,
        "published_loss": published_loss,
        "expected": "15.5 on the source's scale, ELBO -22,461.7 at 64x64 (seeds 0 to 2)",
    },
)
