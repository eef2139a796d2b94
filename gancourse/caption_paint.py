"""The pictures to the captions: MNIST's handwriting, redrawn, painted and placed."""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, pad

from gancourse.captions import (
    COLOUR,
    DIGIT,
    DIGITS,
    SLOT,
    THERE,
    THICK,
    TILT,
    WIDTH,
)
from gancourse.data import Digits
from gancourse.domains import PALETTE


def strokes(digits: Tensor) -> Tensor:
    """Each digit with a thin and with a bold pen, floats (N, 2, 28, 28) in [0, 1].

    digits uint8 (N, 1, 28, 28). The middle line of the handwriting (its skeleton) is
    drawn again with pens of 2 and of 4 pixels, so that thickness is what we say it is.
    """
    from skimage.morphology import skeletonize

    # One strip: digits keep clear of their edges, and one call is faster than many.
    strip = digits[:, 0].reshape(-1, digits.shape[-1]).numpy() > 127
    line = pad(
        torch.from_numpy(skeletonize(strip)).view(digits.shape[0], 28, 28), [2] * 4
    )
    small = [(y, x) for y in (0, 1) for x in (0, 1)]
    large = [(y, x) for y in range(-1, 3) for x in range(-1, 3) if {y, x} - {-1, 2}]
    return torch.stack([_drawn(line, pen) for pen in (small, large)], 1).float()


def _drawn(line: Tensor, pen: list[tuple[int, int]]) -> Tensor:
    """The line, bool (N, 32, 32), drawn with a pen: bool (N, 28, 28)."""
    moved = [line[:, 2 - y : 30 - y, 2 - x : 30 - x] for y, x in pen]
    return torch.stack(moved).any(0)


def _upright(ink: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Middle x, middle y and slant dx/dy of ink (N, 28, 28), in units of [-1, 1]."""
    line = (torch.arange(28) - 13.5) / 14
    mass = ink.sum((1, 2)).clamp_min(1e-6)
    x = (ink.sum(1) @ line) / mass
    y = (ink.sum(2) @ line) / mass
    dy = line - y[:, None]
    across = (ink @ line - x[:, None] * ink.sum(2)) * dy
    slant = across.sum(1) / ((ink.sum(2) * dy**2).sum(1)).clamp_min(1e-6)
    return x, y, slant


def _middles(n: int) -> Tensor:
    """The middles of n pixels that span [-1, 1]."""
    return (2 * torch.arange(n) + 1) / n - 1


def placed(ink: Tensor, tilt: Tensor, rng: torch.Generator) -> Tensor:
    """Ink (N, 28, 28) set upright, tilted and moved, floats (N, SLOT, WIDTH) in [0, 1].

    tilt int64 (N,) as in TILTS, about 29 degrees, and how much exactly is left to
    chance, as is a shift by up to a pixel.
    """
    n = len(ink)
    x, y, slant = _upright(ink)
    angle = (tilt - 1) * 0.5 + 0.04 * torch.randn(n, generator=rng)
    shift = 0.1 * (2 * torch.rand(n, generator=rng) - 1)  # of half the width
    c, s, one = angle.cos(), angle.sin(), torch.ones(n)
    # From the picture to the source: turned back, made wider, given back its slant.
    zoom = 1 / 14 / 0.64  # a digit of 20 pixels becomes 13 high,
    narrow = 1.15  # and a little narrower, so that a tilted zero is seen to be tilted
    turn = torch.stack([torch.stack([c, s], 1) * narrow, torch.stack([-s, c], 1)], 1)
    turn = turn * zoom
    shear = torch.stack([one, slant, 0 * one, one], 1).view(n, 2, 2)
    scale = torch.tensor([WIDTH / 2, SLOT / 2])
    matrix = shear @ turn * scale
    moved = matrix[:, :, 0] * -shift[:, None] + torch.stack([x, y], 1)
    v, u = torch.meshgrid(*(_middles(k) for k in (2 * SLOT, 2 * WIDTH)), indexing="ij")
    (xu, xv), (yu, yv), (x, y) = (
        m.T[:, :, None, None] for m in (*matrix.unbind(1), moved)
    )
    grid = torch.stack([xu * u + xv * v + x, yu * u + yv * v + y], -1)
    return avg_pool2d(grid_sample(ink[:, None], grid, align_corners=False), 2)[:, 0]


def paint(scenes: Tensor, digits: Digits, rng: torch.Generator) -> Tensor:
    """Pictures of scenes (N, 2, 5) in the hands of `digits`: uint8 (N, 3, 32, 16)."""
    order = torch.argsort(digits.labels, stable=True)
    counts = torch.bincount(digits.labels, minlength=len(DIGITS))
    starts = counts.cumsum(0) - counts
    digit = scenes[..., DIGIT]
    pick = (torch.rand(digit.shape, generator=rng) * counts[digit]).long()
    hands = digits.images[order[starts[digit] + pick]]
    parts = zip(scenes.split(500), hands.split(500), strict=True)
    return torch.cat([_painted(*part, rng) for part in parts])


def _painted(objects: Tensor, hands: Tensor, rng: torch.Generator) -> Tensor:
    """Objects (N, 2, 5) in the handwriting uint8 (N, 2, 1, 28, 28): pictures, uint8."""
    objects, hands = objects.flatten(0, 1), hands.flatten(0, 1)
    ink = strokes(hands)[torch.arange(len(hands)), objects[:, THICK]]
    stroke = placed(ink, objects[:, TILT], rng) * objects[:, THERE, None, None]
    coloured = stroke[:, None] * PALETTE[objects[:, COLOUR]][:, :, None, None]
    pictures = coloured.view(-1, 2, 3, SLOT, WIDTH).transpose(1, 2).flatten(2, 3)
    return (pictures * 255).round().byte()
