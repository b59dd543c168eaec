"""Which two images are interpolated between."""

from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError


def places_of_pair(
    images: ImageData, first: int | None = None, second: int | None = None
) -> tuple[int, int]:
    """Return the indices of two images to interpolate between.

    Args:
        images: N images.
        first: index of the first; by default the first image of class 1.
        second: index of the second; by default the first image of class 0.

    Raises:
        ArgumentError: there are fewer than two images.
    """
    if len(images) < 2:
        raise ArgumentError(
            f"images: an interpolation needs at least two images, got {len(images)}."
        )
    if first is None:
        first = _first_of_class(images, 1, 0)
    if second is None:
        second = _first_of_class(images, 0, 0)
        if second == first:  # Such as when there is no class 1.
            second = 1 if first == 0 else 0
    for name, place in (("first", first), ("second", second)):
        if place >= len(images):
            raise ArgumentError(
                f"choose_pair: {name} must be the index of one of {len(images)} images, "
                f"got {place}."
            )
    return first, second


def _first_of_class(images: ImageData, label: int, otherwise: int) -> int:
    if images.labels is None or not (found := (images.labels == label).nonzero()).numel():
        return otherwise
    return int(found[0])
