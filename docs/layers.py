"""The networks of a recipe, layer by layer: what each returns, seen as images pass through."""

import re
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pyro_vae.recipes import Recipe


def table(recipe: Recipe) -> str:
    """Return a table of the layers of a recipe's encoder, heads and decoder."""
    vae = recipe.build(recipe.image_shape).eval()
    lines = ["| layer | returns | parameters |", "|---|---|---:|"]
    image, latent_vector = torch.zeros(2, *recipe.image_shape), torch.zeros(2, vae.latent_size)
    for part, given, title in (
        (vae.posterior, image, "**encoder**, of images"),
        (vae.likelihood, latent_vector, "**decoder**, of latent vectors"),
    ):
        lines.append(f"| {title} | {shown(given)} | |")
        lines += [
            f"| `{name}` | {shown(result)} | {parameters:,} |"
            for name, result, parameters in seen(part, given)
        ]
    return "\n".join(lines) + "\n"


def seen(part: nn.Module, given: Tensor) -> list[tuple[str, Tensor, int]]:
    """Return the name, the output and the number of parameters of each layer, as they are called.

    Args:
        part: a posterior or a likelihood.
        given: what it is called with.
    """
    found: list[tuple[str, Tensor, int]] = []

    def see(layer: nn.Module, _: tuple[Tensor, ...], result: Tensor) -> None:
        count = sum(each.numel() for each in layer.parameters())
        found.append((name_of(layer), result, count))

    hooks = [layer.register_forward_hook(see) for layer in layers_of(part)]
    try:
        with torch.no_grad():
            part(given)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def layers_of(part: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers of a slot: of networks and sequences what they hold; a block as it is."""
    for child in part.children():
        containers = isinstance(child, nn.Sequential) or hasattr(child, "layers")
        if containers:
            yield from layers_of(child)
        else:
            yield child


def name_of(layer: nn.Module) -> str:
    """Return a layer as PyTorch shows it, without the settings that say what every layer says."""
    text = repr(layer).splitlines()[0].rstrip("(")
    usual = r"start_dim=1, end_dim=-1|, (?:bias|affine|track_running_stats)=True"
    return re.sub(rf"{usual}|\b(?:in_features|out_features|dim|unflattened_size)=", "", text)


def shown(values: Tensor) -> str:
    """Return the shape of a batch, as (B, 1, 28, 28)."""
    return f"({', '.join(['B', *map(str, values.shape[1:])])})"
