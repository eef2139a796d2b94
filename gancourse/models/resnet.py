"""The residual generator of Johnson et al. 2016, as CycleGAN uses it (Zhu et al. 2017).

Down by strided convolutions, residual blocks on the coarse map, up again; instance
norm (see `up`), reflection at every border, tanh at the end. No skip connection leads
around the blocks, so nothing but them can decide what is kept of the input.
"""

import torch
from torch import Tensor, nn

from gancourse.errors import GancourseError
from gancourse.models.unet import MapNorm


class Reflect(nn.Module):
    """Mirror `pad` pixels of maps (N, C, h, w) at each border, the edge not repeated.

    The same values as nn.ReflectionPad2d, made of copies and flips: its backward pass
    has no fixed order of additions on CUDA, theirs has.
    """

    def __init__(self, pad: int):
        super().__init__()
        self.pad = pad

    def forward(self, x: Tensor) -> Tensor:
        n = self.pad
        for side in (2, 3):
            before = x.narrow(side, 1, n).flip(side)
            after = x.narrow(side, x.shape[side] - n - 1, n).flip(side)
            x = torch.cat([before, x, after], side)
        return x


class ReflectConv2d(nn.Conv2d):
    """nn.Conv2d with padding_mode="reflect", which can be repeated bit for bit.

    PyTorch's own padding refuses that on CUDA; it is the faster one elsewhere.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1):
        super().__init__(
            inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect"
        )

    def forward(self, x: Tensor) -> Tensor:
        if not torch.are_deterministic_algorithms_enabled():
            return super().forward(x)
        x = Reflect(self.padding[0])(x)
        return nn.functional.conv2d(x, self.weight, self.bias, self.stride)


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, norm=MapNorm
) -> list[nn.Module]:
    """Reflection, convolution, instance norm; the norm makes a bias useless."""
    return [
        Reflect(kernel // 2),
        nn.Conv2d(inputs, outputs, kernel, stride, bias=False),
        norm(outputs),
    ]


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))): maps (N, C, h, w) keep their shape."""

    def __init__(self, features: int):
        super().__init__()
        first, second = _conv(features, features, 3), _conv(features, features, 3)
        self.block = nn.Sequential(*first, nn.ReLU(), *second)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class ResNetGenerator(nn.Module):
    """Map pictures (N, channels, H, W) in [-1, 1] to pictures of the same size.

    H and W are at least 8 and may be anything: what does not divide by 2^downs is
    mirrored up to the next multiple and cut off again. CycleGAN at full size is
    width=64, blocks=9 (Zhu et al. 2017, appendix 7.2). On the way up pixels are doubled
    and convolved (Odena et al. 2016): the paper's transposed convolutions leave a grid
    on every flat area after a short training.

    `up` builds the norm on the way up: MapNorm (instance norm), or unet.PixelNorm. The
    first takes each map's mean away, so a ground's colour depends on how much of what
    stands on it; the second looks at one place at a time.
    """

    def __init__(
        self,
        channels: int = 3,
        out_channels: int | None = None,
        width: int = 64,
        blocks: int = 9,
        downs: int = 2,
        up: type[nn.Module] = MapNorm,
    ):
        super().__init__()
        self.multiple, wide = 2**downs, width
        layers = [*_conv(channels, width, 7), nn.ReLU()]
        for _ in range(downs):
            layers += [*_conv(wide, 2 * wide, 3, 2), nn.ReLU()]
            wide *= 2
        layers += [ResidualBlock(wide) for _ in range(blocks)]
        for _ in range(downs):
            layers += [nn.Upsample(scale_factor=2), *_conv(wide, wide // 2, 3, norm=up)]
            layers.append(nn.ReLU())
            wide //= 2
        layers += [Reflect(3), nn.Conv2d(wide, out_channels or channels, 7), nn.Tanh()]
        self.net = nn.Sequential(*layers).apply(init_normal)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        if min(height, width) < 8:
            raise GancourseError(
                f"A picture of {height} x {width} pixels is too small to translate; "
                "both sides must have at least 8. Nothing was changed. Use another."
            )
        more = [-side % self.multiple for side in (width, height)]
        if any(more):
            x = nn.functional.pad(x, (0, more[0], 0, more[1]), mode="reflect")
        return self.net(x)[..., :height, :width]


def init_normal(module: nn.Module) -> None:
    """Zhu et al. 2017: convolution weights N(0, 0.02), biases 0. Use G.apply."""
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
