"""The published systems, a file each: `RECIPES` by name, and a `listing()` of them; and `auto`."""

import torch
from tabulate import tabulate
from torch import nn

from pyro_vae.priors import StandardNormal
from pyro_vae.recipes.auto import AUTO, Facts, auto
from pyro_vae.recipes.cartoon import cartoon
from pyro_vae.recipes.cifar_resnet import cifar_resnet
from pyro_vae.recipes.fashion_batchnorm import fashion_batchnorm
from pyro_vae.recipes.fashion_conv import fashion_conv
from pyro_vae.recipes.mnist_fc import mnist_fc
from pyro_vae.recipes.mnist_mlp import mnist_mlp
from pyro_vae.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (fashion_conv, mnist_fc, fashion_batchnorm, cartoon, mnist_mlp, cifar_resnet)
}

__all__ = [
    "AUTO",
    "Facts",
    "auto",
    "RECIPES",
    "Recipe",
    "cartoon",
    "cifar_resnet",
    "fashion_batchnorm",
    "fashion_conv",
    "listing",
    "mnist_fc",
    "mnist_mlp",
]

COLUMNS = ("recipe", "data", "image", "D", "encoder", "decoder", "epochs", "(published)", "source")


def listing() -> str:
    """Return a table of all recipes: data, sizes, parameters, epochs and source.

    The parameters are those of the encoder with its heads, and of the decoder with the likelihood's
    scale. The numbers to expect follow where they were measured, of ours and as published.
    """
    rows = []
    for each in RECIPES.values():
        rows.append(_row(each, each.name))
        if each.as_published().image_shape != each.image_shape:
            rows.append(_row(each.as_published(), "(as published)"))
    lines = [tabulate(rows, COLUMNS, tablefmt="plain", disable_numparse=True)]
    for each in RECIPES.values():
        variants = {each.name: each, f"{each.name}, as published": each.as_published()}
        lines += [f"{name}: {r.expected}" for name, r in variants.items() if r.expected]
    return "\n".join(lines)


def _row(recipe: Recipe, name: str) -> list[str]:
    with torch.device("meta"):  # Parameters are counted, not made; a flow's could not be made.
        vae = recipe.with_settings(prior=StandardNormal).build(recipe.image_shape)
    return [
        name,
        recipe.data,
        "x".join(map(str, recipe.image_shape)),
        str(recipe.latent_size),
        f"{_parameters(vae.posterior):,}",
        f"{_parameters(vae.likelihood):,}",
        str(recipe.epochs),
        str(recipe.as_published().epochs),
        recipe.source,
    ]


def _parameters(slot: object) -> int:
    """Return the number of learned parameters in a slot."""
    parameters = slot.parameters() if isinstance(slot, nn.Module) else ()
    return sum(each.numel() for each in parameters if each.requires_grad)
