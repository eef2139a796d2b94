"""Nets that paint in one pass: a style in the weights, or any style by its statistics.

`StyleNet` is the net of Johnson, Alahi & Fei-Fei (2016), with instance normalisation
(Ulyanov, Vedaldi & Lempitsky 2016), and with upsampling and a convolution in place of
transposed convolutions, which leave a checkerboard (Odena, Dumoulin & Olah 2016).
`adain` and `AdaINDecoder` are Huang & Belongie's (2017): VGG to conv4_1 encodes.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gancourse.errors import GancourseError
from gancourse.models.resnet import ReflectConv2d
from gancourse.models.unet import check_pictures


def _block(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Module:
    """Convolution, instance normalisation, ReLU."""
    return nn.Sequential(
        ReflectConv2d(inputs, outputs, kernel, stride),
        nn.InstanceNorm2d(outputs, affine=True),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """x + two normalised convolutions: maps (N, C, h, w) keep their shape."""

    def __init__(self, channels: int):
        super().__init__()
        self.body = nn.Sequential(
            _block(channels, channels),
            ReflectConv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class StyleNet(nn.Module):
    """Map photographs (N, 3, H, W) to paintings of the same shape, both in [-1, 1].

    Any size of at least 16: sides are padded by reflection to multiples of 4, and the
    result is cropped. Instance normalisation drops each picture's own contrast, which
    belongs to the photograph and not to the style.
    """

    def __init__(self, width: int = 32, blocks: int = 5):
        super().__init__()
        w = width
        self.net = nn.Sequential(
            _block(3, w, 9),
            _block(w, 2 * w, 3, 2),
            _block(2 * w, 4 * w, 3, 2),
            *[Residual(4 * w) for _ in range(blocks)],
            nn.Upsample(scale_factor=2, mode="nearest"),
            _block(4 * w, 2 * w),
            nn.Upsample(scale_factor=2, mode="nearest"),
            _block(2 * w, w),
            ReflectConv2d(w, 3, 9),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:
        check_pictures(x, 3, "StyleNet")
        if min(x.shape[2:]) < 16:
            raise GancourseError(
                f"StyleNet paints (N, 3, H, W) with sides of at least 16, not "
                f"{tuple(x.shape)}. Resize the pictures."
            )
        height, width = x.shape[2:]
        x = pad(x, (0, -width % 4, 0, -height % 4), mode="reflect")
        return self.net(x)[:, :, :height, :width]


def adain(content: Tensor, style: Tensor, eps: float = 1e-5) -> Tensor:
    """`content` features (N, C, h, w) with the mean and deviation of those of `style`.

    For each picture and each channel, over the places. Huang & Belongie 2017, eq. 8.
    The two may differ in h and w, and `style` may be a single one for all.
    """
    c_std, c_mean = torch.std_mean(content, (2, 3), correction=0, keepdim=True)
    s_std, s_mean = torch.std_mean(style, (2, 3), correction=0, keepdim=True)
    return s_std * (content - c_mean) / (c_std + eps) + s_mean


class AdaINDecoder(nn.Module):
    """Map conv4_1 features (N, 512, h, w) to pictures (N, 3, 8 h, 8 w) in [-1, 1].

    The mirror of VGG's first blocks, without normalisation: that would undo what
    `adain` has just set. `scale` brings the features of the embedded VGG, whose pixels
    run to 255, to a size of about 1. `widths` are those of the four blocks.
    """

    def __init__(
        self, widths: tuple[int, ...] = (128, 64, 32, 16), scale: float = 1e-3
    ):
        super().__init__()
        self.scale = scale
        layers: list[nn.Module] = [ReflectConv2d(512, widths[0], 3), nn.ReLU()]
        for inputs, outputs in pairwise(widths):
            layers += [
                nn.Upsample(scale_factor=2, mode="nearest"),
                ReflectConv2d(inputs, inputs, 3),
                nn.ReLU(),
                ReflectConv2d(inputs, outputs, 3),
                nn.ReLU(),
            ]
        self.net = nn.Sequential(*layers, ReflectConv2d(widths[-1], 3, 3), nn.Tanh())

    def forward(self, features: Tensor) -> Tensor:
        return self.net(features * self.scale)
