"""A few images as HTML, for notebooks."""

import base64
import io

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

#: Images that are shown, side by side.
SHOWN = 10
#: The height of an image on the screen, in pixels.
HEIGHT = 72


def picture_of(levels: Tensor) -> str:
    """Return images, uint8 (N, C, H, W), side by side as an HTML image; nothing if there are none.

    Of other numbers of channels than 1 and 3, the mean is shown.
    """
    if not len(levels):
        return ""
    if levels.shape[1] not in (1, 3):
        levels = levels.float().mean(1, keepdim=True).round().to(torch.uint8)
    tiles = F.pad(levels.cpu(), (0, 1), value=255).movedim(0, 2).flatten(2, 3)
    array = (tiles[0] if len(tiles) == 1 else tiles.movedim(0, -1)).numpy()
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    address = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    return f'<img src="{address}" style="height: {HEIGHT}px; image-rendering: pixelated">'
