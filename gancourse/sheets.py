"""Pictures drawn in a terminal, as files: a grid to look at, or an array to use."""

import contextlib
import math
from pathlib import Path

import numpy as np
from torch import Tensor

from gancourse import storage


def write_samples(images: Tensor, path: Path) -> None:
    """A grid (.png), or the array `images`, (N, H, W) or (N, H, W, C) uint8 (.npz)."""
    if path.suffix == ".png":
        return write_png(images, path)
    array = images.permute(0, 2, 3, 1).numpy()
    array = array[..., 0] if array.shape[-1] == 1 else array
    with whole(path) as file:
        np.savez_compressed(file, images=array)


def write_png(images: Tensor, path: Path) -> None:
    """A grid about as wide as high, on a fixed scale, grey lines in between."""
    from PIL import Image

    columns = math.ceil(math.sqrt(len(images)))
    rows = math.ceil(len(images) / columns)
    _, channels, height, width = images.shape
    grid = np.full(
        (rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 128, np.uint8
    )
    pixels = images.expand(-1, 3, -1, -1) if channels == 1 else images
    for k, pixel in enumerate(pixels.permute(0, 2, 3, 1).numpy()):
        top, left = (k // columns) * (height + 1) + 1, (k % columns) * (width + 1) + 1
        grid[top : top + height, left : left + width] = pixel
    with whole(path) as file:
        Image.fromarray(grid).save(file, "PNG")


@contextlib.contextmanager
def whole(path: Path):
    """A buffer that becomes the file `path` when all of it could be written."""
    import io

    buffer = io.BytesIO()
    yield buffer
    storage.write_or_say(path, buffer.getvalue())
