"""Diffusion as a game of one player: guess the noise, then remove it step by step.

Forwards, an image sinks into noise: x_t = signal(t) x + noise(t) e, with e ~ N(0, I),
t from 0 to 1 and signal² + noise² = 1 (Ho, Jain & Abbeel 2020, eq. 4, whose alpha-bar
is signal²; the cosine is that of Nichol & Dhariwal 2021). The player sees x_t and t and
guesses e. That guess is the score of the noisy law up to a factor,
grad log p_t(x) = -E[e | x_t = x] / noise(t), so it says where the data are.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from gancourse.games import latents

LAST = 0.98  # share of a right angle at t = 1: 3 % of the signal is left to divide by


def schedule(t: Tensor) -> tuple[Tensor, Tensor]:
    """(signal, noise) at times t (N,) in [0, 1]; their squares add up to 1."""
    angle = t * (LAST * math.pi / 2)
    return angle.cos(), angle.sin()


def noised(x: Tensor, t: Tensor, e: Tensor) -> Tensor:
    """x (N, ...) at times t (N,): signal(t) x + noise(t) e."""
    signal, noise = (part.view(-1, *[1] * (x.ndim - 1)) for part in schedule(t))
    return signal * x + noise * e


class Diffusion:
    """Minimise E |e - denoiser(x_t, t)|² over t ~ U(0, 1): Ho et al. 2020, eq. 14.

    The times of a batch are spread evenly, with one random shift (Kingma et al. 2021,
    appendix I): each is uniform, and the loss varies less from batch to batch.
    """

    def __init__(self, denoiser: nn.Module):
        self.denoiser = denoiser

    @property
    def generators(self) -> dict[str, nn.Module]:
        return {"denoiser": self.denoiser}

    @property
    def discriminators(self) -> dict[str, nn.Module]:
        return {}

    def generator_loss(self, batch: Tensor, rng: torch.Generator):
        """Mean squared error of the guessed noise."""
        shift = torch.rand((), generator=rng, device=rng.device)
        t = (torch.arange(len(batch), device=rng.device) + shift) / len(batch)
        e = latents(len(batch), batch[0].numel(), rng).view_as(batch)
        guess = self.denoiser(noised(batch, t, e), t).float()
        error = (guess - e).square().mean()
        return error, {"error": error}


def step(
    x: Tensor, e: Tensor, t: Tensor, s: Tensor, fresh: float = 0.0, new: float = 0.0
) -> Tensor:
    """From x at time t (scalar) to the earlier time s, given the guess e of its noise.

    The guess says which clean image x came from; it is clipped to [-1, 1] and sunk
    again, to time s. fresh=0 keeps the very noise that was guessed (DDIM, Song, Meng &
    Ermon 2021, eq. 12), fresh=1 replaces as much of it by `new` ~ N(0, I) as the
    ancestral sampler of Ho et al. 2020, eq. 7, does.
    """
    (signal, noise), (signal_s, noise_s) = schedule(t), schedule(s)
    clean = ((x - noise * e) / signal).clamp(-1, 1)
    e = (x - signal * clean) / noise
    sigma = fresh * (noise_s / noise) * (1 - (signal / signal_s) ** 2).sqrt()
    return signal_s * clean + (noise_s**2 - sigma**2).sqrt() * e + sigma * new


@torch.no_grad()
def sample(
    denoiser: nn.Module,
    x: Tensor,
    steps: int = 25,
    fresh: float = 0.0,
    rng: torch.Generator | None = None,
) -> Tensor:
    """Images in [-1, 1] from pure noise x (N, C, H, W), by `steps` calls a picture."""
    times = torch.linspace(1, 0, steps + 1, device=x.device)
    for t, s in pairwise(times):
        e = denoiser(x, t.expand(len(x))).float()
        new = 0.0
        if fresh:
            new = torch.randn(x.shape, generator=rng, device=x.device)
        x = step(x, e, t, s, fresh, new)
    return x.clamp(-1, 1)
