"""The recipe `auto`: fitted to the images that a configuration names."""

from collections.abc import Mapping

from pyro_vae.data import Dataset, ImageData
from pyro_vae.recipes import AUTO, Facts, Recipe, auto

#: The images for which the recipe is written down where there are none to look at, as for its help.
USUAL = Facts((3, 64, 64), 10_000)


def usual() -> Recipe:
    """Return the recipe as it is for images of which nothing is known."""
    return auto(USUAL).with_settings(summary=f"{AUTO}: chosen for its images")


def fitted(dataset: Dataset, limit: int | None = None) -> Recipe:
    """Return the recipe for these images, of which the first `limit` are trained on."""
    return auto(facts_of(dataset.train.select(slice(0, limit))))


def described(recipe: Recipe, parts: Mapping[str, str]) -> str:
    """Return two lines: what was chosen, and how to choose otherwise.

    Args:
        recipe: as it was fitted and overridden.
        parts: the name of the class of each of its parts.
    """
    return (
        f"Chosen: {parts['encoder']} and {parts['decoder']}, D = {recipe.latent_size}, "
        f"{parts['prior']} prior, {parts['likelihood']} likelihood, {parts['annealing']} KL "
        f"annealing, batches of {recipe.batch_size}, {recipe.epochs} "
        f"epoch{'s' * (recipe.epochs != 1)}.\n"
        "Choose otherwise by settings, such as `--latent-size 2 --likelihood Normal` (--help lists "
        "them), or by another recipe (`--recipe help`)."
    )


def facts_of(images: ImageData) -> Facts:
    """Return what is known of training images."""
    return Facts(
        image_shape=images.image_shape,
        images=len(images),
        binary=images.binary,
        dequantized=images.pixels == "dequantized",
        classes=0 if images.labels is None else len(images.labels[images.labels >= 0].unique()),
    )
