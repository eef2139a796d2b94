"""Two looks of one thing, for translation without pairs: digits painted and chalked.

Painted digits stand on coloured card or on real photographs, chalked ones on slate with
a coloured grain. Either way the stroke has one of six colours. A painted picture thus
says more than a chalked one (which card? which photograph?), and both agree on what
should survive a translation: the digit and its colour. The translation that is right is
known here, which is rare, and is for scoring alone.
"""

import torch
from torch import Tensor

COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")
PALETTE = torch.tensor(
    [[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]]
).float() * 0.75 + 0.25  # fmt: skip
SLATE, GRAIN, SHADE = 0.16, 0.05, 0.6


def colours(n: int, rng: torch.Generator) -> Tensor:
    """n colours of the palette, int64 (n,), all six equally likely."""
    return torch.randint(len(PALETTE), (n,), generator=rng)


def cards(photos: Tensor, rng: torch.Generator) -> Tensor:
    """Plain cards in the mean colours of photographs uint8 (N, 3, H, W), as many."""
    colour = (photos.float() / 255).mean((2, 3), keepdim=True).expand(photos.shape)
    grain = GRAIN / SHADE * torch.randn(photos.shape, generator=rng)
    return ((colour + grain).clamp(0, 1) * 255).round().byte()


def painted(digits: Tensor, colour: Tensor, grounds: Tensor, rng: torch.Generator):
    """Digits uint8 (N, 1, H, W) painted on random cards or photographs (M, 3, H, W).

    All uint8; gives (N, 3, H, W). A ground is darkened so that every paint shows.
    """
    which = torch.randint(len(grounds), (len(digits),), generator=rng)
    return _over(SHADE * grounds[which].float() / 255, digits, colour)


def chalked(digits: Tensor, colour: Tensor, rng: torch.Generator) -> Tensor:
    """Digits uint8 (N, 1, H, W) in chalk on grainy slate, uint8 (N, 3, H, W)."""
    shape = (len(digits), 3, *digits.shape[2:])
    grain = GRAIN * torch.randn(shape, generator=rng)
    return _over((SLATE + grain).clamp(0, 1), digits, colour)


def _over(ground: Tensor, digits: Tensor, colour: Tensor) -> Tensor:
    """The stroke in its colour over a ground in [0, 1]."""
    stroke = digits.float() / 255
    picture = ground * (1 - stroke) + PALETTE[colour][:, :, None, None] * stroke
    return (picture * 255).round().byte()


def stroke_colour(pictures: Tensor, digits: Tensor) -> Tensor:
    """Which colour of the palette the stroke has, int64 (N,).

    `pictures` (N, 3, H, W) in [-1, 1]; `digits` uint8 (N, 1, H, W) say where the stroke
    is. The mean there, its grey taken away, is compared by angle.
    """
    mask = (digits > 127).float()
    mean = (pictures * mask).sum((2, 3)) / mask.sum((2, 3)).clamp_min(1)
    chroma, palette = mean - mean.mean(1, True), PALETTE - PALETTE.mean(1, True)
    return (chroma @ (palette / palette.norm(dim=1, keepdim=True)).T).argmax(1)


def stroke_brightness(pictures: Tensor) -> Tensor:
    """The brightest channel, (N, 1, H, W): 1 in a stroke of any colour, -1 on slate."""
    top, ground = pictures.amax(1, keepdim=True), 2 * SLATE - 1 + 4 * GRAIN
    return (2 * (top - ground) / (1 - ground) - 1).clamp(-1, 1)
