"""DCGAN (Radford, Metz & Chintala 2016): convolutions, and the rules that they need.

Strided convolutions instead of pooling; BatchNorm everywhere but G's output and D's
input; ReLU in G, LeakyReLU(0.2) in D; tanh at the end of G; weights from N(0, 0.02).
"""

import torch
from torch import Tensor, nn

from gancourse.errors import GancourseError

# Side of the first feature map of G, and how often it doubles.
_STEM = {28: (7, 2), 32: (4, 3), 64: (4, 4)}


def init_dcgan(module: nn.Module) -> None:
    """Radford et al. 2016: weights N(0, 0.02), BatchNorm scales N(1, 0.02)."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def _stem(size: int) -> tuple[int, int]:
    if size not in _STEM:
        raise GancourseError(
            f"DCGAN is built for images of {sorted(_STEM)} pixels, not {size}. "
            "Resize the images to one of these."
        )
    return _STEM[size]


class Refine(nn.Module):
    """x + activation(norm(conv3x3(x))): maps (N, C, h, w) keep their shape."""

    def __init__(self, features: int, activation: nn.Module, norm: bool = True):
        super().__init__()
        self.block = nn.Sequential(
            nn.Conv2d(features, features, 3, 1, 1, bias=not norm),
            nn.BatchNorm2d(features) if norm else nn.Identity(),
            activation,
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class Flatten(nn.Flatten):
    """Maps (N, C, h, w) as rows (N, C h w), gradients coming back in the maps' layout.

    The gradient of a plain Flatten lies channels first, and every layer before it would
    walk through one layout while writing the other: a quarter of a step of training.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad and x.is_contiguous(memory_format=torch.channels_last):
            x.register_hook(lambda g: g.contiguous(memory_format=torch.channels_last))
        return super().forward(x)


class DCGANGenerator(nn.Module):
    """Map latents (N, latent_dim) to images (N, channels, size, size) in [-1, 1].

    `width` is the number of channels before the last layer. `refine` residual blocks
    work on the coarsest map, where they are cheap and where strokes are decided; the
    paper has none (refine=0).
    """

    def __init__(
        self,
        latent_dim: int = 64,
        size: int = 28,
        channels: int = 1,
        width: int = 32,
        refine: int = 3,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        side, doublings = _stem(size)
        wide = width * 2 ** (doublings - 1)
        layers: list[nn.Module] = [
            nn.Linear(latent_dim, wide * side * side, bias=False),
            nn.Unflatten(1, (wide, side, side)),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        ]
        layers += [Refine(wide, nn.ReLU()) for _ in range(refine)]
        for _ in range(doublings - 1):
            layers += [
                nn.ConvTranspose2d(wide, wide // 2, 4, 2, 1, bias=False),
                nn.BatchNorm2d(wide // 2),
                nn.ReLU(),
            ]
            wide //= 2
        layers += [nn.ConvTranspose2d(wide, channels, 4, 2, 1), nn.Tanh()]
        self.net = nn.Sequential(*layers).apply(init_dcgan)

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class DCGANDiscriminator(nn.Module):
    """Map images (N, channels, size, size) to logits (N,). Positive means real.

    Mirrors the generator. norm=False leaves BatchNorm out, as gradient penalties and
    several CPU processes need.
    """

    def __init__(
        self,
        size: int = 28,
        channels: int = 1,
        width: int = 32,
        refine: int = 3,
        norm: bool = True,
    ):
        super().__init__()
        side, halvings = _stem(size)
        layers: list[nn.Module] = [
            nn.Conv2d(channels, width, 4, 2, 1),
            nn.LeakyReLU(0.2),
        ]
        for _ in range(halvings - 1):
            layers += [
                nn.Conv2d(width, width * 2, 4, 2, 1, bias=not norm),
                nn.BatchNorm2d(width * 2) if norm else nn.Identity(),
                nn.LeakyReLU(0.2),
            ]
            width *= 2
        layers += [Refine(width, nn.LeakyReLU(0.2), norm) for _ in range(refine)]
        layers += [Flatten(), nn.Linear(width * side * side, 1)]
        self.net = nn.Sequential(*layers).apply(init_dcgan)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)


def parameters(module: nn.Module) -> int:
    """Number of trained values in a player."""
    return sum(p.numel() for p in module.parameters())


def channels_last(module: nn.Module) -> nn.Module:
    """Store convolution weights channels innermost, the order fast kernels want."""
    return module.to(memory_format=torch.channels_last)
