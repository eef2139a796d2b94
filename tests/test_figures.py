"""A figure costs few bytes and looks the same."""

from io import BytesIO

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from gancourse import figures

matplotlib.use("Agg")


def png(draw) -> bytes:
    ax = matplotlib.pyplot.figure(figsize=figures.NARROW).add_subplot()
    draw(ax)
    buffer = BytesIO()
    ax.figure.savefig(buffer, format="png")
    matplotlib.pyplot.close(ax.figure)
    return buffer.getvalue()


def pixels(image: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(image)).convert("RGB"), int)


def test_a_plot_takes_half_the_bytes_and_no_eye_can_tell():
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    before = png(lambda ax: figures.show_points(x, x + 0.5, ax))
    after = figures.with_palette(before)
    assert len(after) < len(before) / 2
    assert after == figures.with_palette(before)  # the same bytes every time
    off = np.abs(pixels(after) - pixels(before))
    assert off.mean() <= 0.1 and (off.max(-1) > 64).mean() < 1e-3


def test_grey_digits_keep_every_grey():
    digits = torch.linspace(-1, 1, 28 * 28).reshape(1, 1, 28, 28)
    before = png(
        lambda ax: ax.imshow(figures.image_grid(digits), interpolation="nearest")
    )
    assert pixels(figures.with_palette(before)) == pytest.approx(pixels(before), abs=3)


def test_a_picture_of_many_colours_is_left_alone():
    colours = np.random.default_rng(0).random((64, 64, 3))
    before = png(lambda ax: ax.imshow(colours))
    assert figures.with_palette(before) == before
