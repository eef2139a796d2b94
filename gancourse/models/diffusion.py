"""A small denoiser for diffusion: two halvings, a dense middle, two doublings.

The U-Net of Ho, Jain & Abbeel 2020 (appendix B) at the size of the course's DCGAN.
Skips carry fine maps across, every block is told how noisy its input is, and where that
paper has attention a dense layer lets all places of the coarse map hear of each other,
as the first layer of the DCGAN's generator does.
"""

import math

import torch
from torch import Tensor, nn


def time_features(t: Tensor, features: int) -> Tensor:
    """Sines and cosines of t (N,) in [0, 1], shape (N, features), from slow to fast."""
    steps = torch.linspace(0, math.log(32), features // 2, device=t.device)
    angles = t[:, None].float() * (math.pi * steps.exp())
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
        return x + self.conv(nn.functional.silu(self.norm(x) * (1 + scale) + shift))


class Denoiser(nn.Module):
    """Map noisy images (N, channels, size, size) and times (N,) in [0, 1] to the noise.

    `size` is a multiple of 4. There are `width` channels after the first halving and
    twice as many after the second; the dense middle has `code` numbers. The input,
    scaled by a function of time, is added to the answer: late, it is all noise.
    """

    def __init__(
        self,
        width: int = 16,
        code: int = 24,
        size: int = 28,
        channels: int = 1,
        time: int = 32,
    ):
        super().__init__()
        coarse, side = 2 * width, size // 4
        self.embed = nn.Sequential(nn.Linear(time, time), nn.SiLU())
        self.down1 = nn.Conv2d(channels, width, 4, 2, 1)
        self.fine = Block(width, time)
        self.down2 = nn.Conv2d(width, coarse, 4, 2, 1)
        self.before = Block(coarse, time)
        self.dense = nn.Sequential(
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(coarse * side**2, code),
            nn.SiLU(),
            nn.Linear(code, coarse * side**2),
            nn.Unflatten(1, (coarse, side, side)),
        )
        self.after = Block(coarse, time)
        self.up2 = nn.ConvTranspose2d(coarse, width, 4, 2, 1)
        self.joined = Block(2 * width, time)
        self.up1 = nn.ConvTranspose2d(2 * width, width // 2, 4, 2, 1)
        self.out = nn.Conv2d(width // 2 + channels, channels, 3, 1, 1)
        self.skip = nn.Linear(time, channels)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        time = self.embed(time_features(t, self.embed[0].in_features))
        fine = self.fine(self.down1(x), time)
        h = self.before(self.down2(fine), time)
        h = self.after(h + self.dense(h), time)
        h = self.joined(torch.cat([self.up2(h), fine], 1), time)
        h = torch.cat([nn.functional.silu(self.up1(h)), x], 1)
        return self.out(h) + self.skip(time)[:, :, None, None] * x
