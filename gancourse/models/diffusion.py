"""A small denoiser for diffusion: two halvings, residual blocks, two doublings.

The U-Net of Ho, Jain & Abbeel 2020 (appendix B) at the size of the course's DCGAN: most
of its parameters work on the coarsest map, skips carry the fine ones across, and every
block is told how noisy its input is.
"""

import math

import torch
from torch import Tensor, nn


def time_features(t: Tensor, features: int) -> Tensor:
    """Sines and cosines of t (N,) in [0, 1], shape (N, features), from slow to fast."""
    frequencies = torch.exp(torch.linspace(0, math.log(500), features // 2))
    angles = t[:, None].float() * (math.pi * frequencies).to(t.device)
    return torch.cat([angles.sin(), angles.cos()], 1)


class Block(nn.Module):
    """x + conv3x3(silu(norm(x) scaled and shifted by time)): maps keep their shape."""

    def __init__(self, features: int, time: int):
        super().__init__()
        self.norm = nn.GroupNorm(8, features)
        self.time = nn.Linear(time, 2 * features)
        self.conv = nn.Conv2d(features, features, 3, 1, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(time)[:, :, None, None].chunk(2, 1)
        h = self.norm(x) * (1 + scale) + shift
        return x + self.conv(nn.functional.silu(h))


class Denoiser(nn.Module):
    """Map noisy images (N, channels, H, W) and times (N,) in [0, 1] to their noise.

    H and W are multiples of 4. `width` is the number of channels after the first
    halving, `coarse` that after the second, where `blocks` blocks work.
    """

    def __init__(
        self,
        channels: int = 1,
        width: int = 32,
        coarse: int = 64,
        blocks: int = 3,
        time: int = 64,
    ):
        super().__init__()
        self.embed = nn.Sequential(
            nn.Linear(64, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU()
        )
        self.down1 = nn.Conv2d(channels, width, 4, 2, 1)
        self.fine = Block(width, time)
        self.down2 = nn.Conv2d(width, coarse, 4, 2, 1)
        self.coarse = nn.ModuleList(Block(coarse, time) for _ in range(blocks))
        self.up2 = nn.ConvTranspose2d(coarse, width, 4, 2, 1)
        self.joined = Block(2 * width, time)
        self.up1 = nn.ConvTranspose2d(2 * width, width // 2, 4, 2, 1)
        self.out = nn.Conv2d(width // 2 + channels, channels, 3, 1, 1)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.embed(time_features(t, 64))
        fine = self.fine(self.down1(x), time)
        h = self.down2(fine)
        for block in self.coarse:
            h = block(h, time)
        h = self.joined(torch.cat([self.up2(h), fine], 1), time)
        h = nn.functional.silu(self.up1(h))
        return self.out(torch.cat([h, x], 1))
