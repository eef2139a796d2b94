"""Fully connected players: small ones for points, the classic one for digits."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


def mlp(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of the given sizes, `activation` in between, none at the end."""
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(pairwise(sizes)):
        layers += [activation()] if i else []
        layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)


class PointGenerator(nn.Module):
    """Map latents (N, latent_dim) to points (N, data_dim)."""

    def __init__(self, latent_dim: int = 2, data_dim: int = 2, width: int = 64):
        super().__init__()
        self.latent_dim = latent_dim
        self.net = mlp([latent_dim, width, width, data_dim])

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z)


class PointDiscriminator(nn.Module):
    """Map points (N, data_dim) to logits (N,). Positive means real."""

    def __init__(self, data_dim: int = 2, width: int = 64):
        super().__init__()
        self.net = mlp([data_dim, width, width, 1], lambda: nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x).squeeze(1)


class MLPGenerator(nn.Module):
    """Map latents (N, 100) to digits (N, 1, 28, 28) in [-1, 1]: the classic one."""

    def __init__(self, latent_dim: int = 100):
        super().__init__()
        self.latent_dim = latent_dim
        layers: list[nn.Module] = []
        for inputs, outputs in [(latent_dim, 128), (128, 256), (256, 512), (512, 1024)]:
            layers += [nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), nn.ReLU()]
        self.net = nn.Sequential(*layers, nn.Linear(1024, 784), nn.Tanh())

    def forward(self, z: Tensor) -> Tensor:
        return self.net(z).unflatten(1, (1, 28, 28))


class MLPDiscriminator(nn.Module):
    """Map digits (N, 1, 28, 28) to logits (N,): 784-512-256-128-1, LeakyReLU(0.2)."""

    def __init__(self):
        super().__init__()
        self.net = mlp([784, 512, 256, 128, 1], lambda: nn.LeakyReLU(0.2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1)).squeeze(1)
