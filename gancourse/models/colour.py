"""A colouriser: VGG looks at a grey photograph, a small net reads colours off that.

What several layers of a trained net say of one place, side by side, is that place's
hypercolumn (Hariharan et al. 2015); Larsson et al. 2016 colour photographs from them. A
few dozen photographs cannot teach what fur is. The VGG has been shown a million, and
has only to be told which colour fur has.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from gancourse.models.unet import check_pictures
from gancourse.models.vgg import VGG

LAYERS = ("conv3_1", "conv3_3", "conv4_1")
CHANNELS = 256 + 256 + 2 * 512  # conv4_1 counts twice: a place, and what is around it
AROUND = 7  # places of conv4_1 a side that are averaged: 56 pixels of the photograph
# Red, green and blue of U and V: two columns of the inverse of pairs.YUV_FROM_RGB.
RGB_OF_UV = ((0.0, 1.13988303), (-0.394642334, -0.58062185), (2.03206185, 0.0))


@torch.no_grad()
def hypercolumns(vgg: VGG, grey: Tensor) -> Tensor:
    """What `vgg` sees at each fourth pixel of pictures (N, 3, H, W) in [-1, 1].

    Returns (N, CHANNELS, H // 4, W // 4).
    """
    seen = vgg(grey, LAYERS)
    shape = [side // 4 for side in grey.shape[2:]]
    deep = seen["conv4_1"]
    wide = avg_pool2d(deep, AROUND, 1, AROUND // 2, count_include_pad=False)
    coarse = [interpolate(part, shape, mode="bilinear") for part in (deep, wide)]
    return torch.cat([seen["conv3_1"], seen["conv3_3"], *coarse], 1)


def coloured(luma: Tensor, uv: Tensor) -> Tensor:
    """RGB of luma (N, 1 or 3, H, W) and U, V (N, 2, H, W), all of pixels in [-1, 1]."""
    return luma + torch.einsum("ij,njhw->nihw", uv.new_tensor(RGB_OF_UV), uv)


class Palette(nn.Module):
    """Colours of places from luma and hypercolumns (N, 1 + CHANNELS, h, w).

    Gives pictures (N, 3, h, w) whose luma is the given one. Each place is coloured by
    itself. Dropout is on in training mode: most of a hypercolumn is not about colour,
    and a few dozen photographs are soon known by heart.
    """

    def __init__(self, hidden: int = 64, dropout: float = 0.5):
        super().__init__()
        self.register_buffer("centre", torch.zeros(CHANNELS, 1, 1))
        self.register_buffer("spread", torch.ones(CHANNELS, 1, 1))
        self.net = nn.Sequential(
            nn.Dropout(dropout),
            nn.Conv2d(CHANNELS, hidden, 1),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Conv2d(hidden, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, 2, 1),
        )

    @torch.no_grad()
    def begin(self, columns: Tensor, uv: Tensor) -> "Palette":
        """Take the scale of columns (N, CHANNELS, h, w); answer with the mean of uv."""
        self.centre.copy_(columns.mean((0, 2, 3)).view(-1, 1, 1))
        self.spread.copy_(columns.std((0, 2, 3)).view(-1, 1, 1) + 1e-3)
        nn.init.zeros_(self.net[-1].weight)
        self.net[-1].bias.copy_(uv.mean((0, 2, 3)))
        return self

    def uv(self, columns: Tensor) -> Tensor:
        """U and V (N, 2, h, w) of pixels in [-1, 1]."""
        return self.net((columns.float() - self.centre) / self.spread)

    def forward(self, seen: Tensor) -> Tensor:
        return coloured(seen[:, :1].float(), self.uv(seen[:, 1:]))


class Colouriser(nn.Module):
    """Map grey pictures (N, 3, H, W) in [-1, 1] to coloured ones of the same luma.

    Colours are found for every fourth pixel and spread between; edges are the luma's.
    """

    def __init__(self, vgg: VGG, palette: Palette):
        super().__init__()
        self.vgg, self.palette = vgg, palette

    def forward(self, x: Tensor) -> Tensor:
        check_pictures(x, 3, "colouriser")
        uv = self.palette.uv(hypercolumns(self.vgg, x))
        return coloured(x, interpolate(uv, x.shape[2:], mode="bilinear"))

    @torch.no_grad()
    def restore(self, x: Tensor) -> Tensor:
        """The answer as a picture: whole, without gradients, clamped to [-1, 1]."""
        return self(x).clamp(-1, 1)
