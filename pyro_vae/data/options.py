"""The options of `load` that shape the data, checked once and passed to every loader."""

from dataclasses import dataclass

from pyro_vae.data.messages import DataError


@dataclass(frozen=True)
class LoadOptions:
    """The options of `pyro_vae.data.load`, which explains each.

    Raises:
        DataError: a value is out of range.
    """

    size: int | tuple[int, int] | None = None
    channels: int | None = None
    skip_corrupt: bool = False
    test_fraction: float = 0.1
    seed: int = 0
    stream: bool | None = None

    def __post_init__(self) -> None:
        if self.height_width is not None and min(self.height_width) < 1:
            raise DataError(f"size must be 1 pixel or more, not {self.size}")
        if self.channels not in (None, 1, 3):
            raise DataError(f"channels must be 1 (gray) or 3 (RGB), not {self.channels}")
        if not 0 < self.test_fraction < 1:
            raise DataError(f"test_fraction must be between 0 and 1, not {self.test_fraction}")

    @property
    def height_width(self) -> tuple[int, int] | None:
        """The chosen size (H, W) in pixels, or None."""
        if isinstance(self.size, int):
            return self.size, self.size
        return None if self.size is None else (self.size[0], self.size[1])
