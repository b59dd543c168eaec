"""The published systems, a file each: `RECIPES` by name."""

from pyro_vae.recipes.fashion_conv import fashion_conv
from pyro_vae.recipes.recipe import Recipe

RECIPES: dict[str, Recipe] = {recipe.name: recipe for recipe in (fashion_conv,)}

__all__ = ["RECIPES", "Recipe", "fashion_conv"]
