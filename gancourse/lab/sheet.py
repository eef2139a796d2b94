"""Pictures of a panel on one white sheet, for pages where nothing moves."""

from io import BytesIO

import numpy as np

from gancourse.lab.panel import Picture, encode

GAP = 12  # pixels between two pictures


def sheet(
    pictures: dict[str, Picture], rows: list[list[str]], alt: str, jpeg: bool = False
) -> Picture:
    """Named pictures in rows, each as it is, on white; those that are absent are left
    out."""
    from PIL import Image

    opened = {
        name: np.asarray(Image.open(BytesIO(picture.data)).convert("RGB"))
        for name, picture in pictures.items()
    }
    bands = [_beside([opened[n] for n in row if n in opened]) for row in rows]
    bands = [band for band in bands if band is not None]
    if not bands:
        bands = [np.full((32, 320, 3), 255, np.uint8)]
    width = max(band.shape[1] for band in bands)
    return encode(np.concatenate([_widened(b, width) for b in bands]), alt, jpeg)


def _beside(pictures: list[np.ndarray]) -> np.ndarray | None:
    if not pictures:
        return None
    height = max(p.shape[0] for p in pictures)
    pads = [((0, height + GAP - p.shape[0]), (0, GAP), (0, 0)) for p in pictures]
    padded = [
        np.pad(p, pad, constant_values=255)
        for p, pad in zip(pictures, pads, strict=True)
    ]
    return np.concatenate(padded, 1)


def _widened(band: np.ndarray, width: int) -> np.ndarray:
    pad = ((0, 0), (0, width - band.shape[1]), (0, 0))
    return np.pad(band, pad, constant_values=255)
