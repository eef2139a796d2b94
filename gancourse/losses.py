"""What each player minimises: adversarial losses as pairs, penalties on D, and style.

Every adversarial loss works on raw logits. With p = sigmoid(s) the two logarithms of
the game are

    -log p = softplus(-s)        -log(1 - p) = softplus(s)

which stay exact at any logit, where log(sigmoid(s)) underflows to log 0.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import relu, softplus

from gancourse.errors import GancourseError


class GANLoss(NamedTuple):
    """Two functions of (real_logits, fake_logits), each giving a scalar to minimise.

    Logits are (N,), (N, 1) or patch maps (N, 1, h, w), positive meaning "real". Only a
    `relative` loss looks at real logits in G's move; the others ignore them.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    relative: bool = False


def _binary_cross_entropy(real: Tensor, fake: Tensor) -> Tensor:
    return softplus(-real).mean() + softplus(fake).mean()


def same_shape(x: Tensor, target: Tensor) -> None:
    """Raise GancourseError where x - target would broadcast: one channel against three
    has a mean as well, and it is the wrong one."""
    if x.shape != target.shape:
        raise GancourseError(
            f"Pictures of {tuple(x.shape)} cannot be compared with targets of "
            f"{tuple(target.shape)}, pixel by pixel. Give G as many outputs as the "
            "target has channels."
        )


def _relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """softplus(worse - better), pair by pair. Shapes must be equal: (N, 1) - (N,) would
    broadcast to N x N pairs without a word."""
    if better.shape != worse.shape:
        raise GancourseError(
            "The relativistic loss compares logits pair by pair, so both must have one "
            f"shape; got {tuple(better.shape)} and {tuple(worse.shape)}. Flatten both "
            "to (N,)."
        )
    return softplus(worse - better).mean()


# Goodfellow et al. 2014, eq. 1: both players share V(D, G); the generator descends on
# E log(1 - D(G(z))), which is flat exactly where D is sure.
minimax = GANLoss(
    discriminator=_binary_cross_entropy,
    generator=lambda real, fake: -softplus(fake).mean(),
)

# Goodfellow et al. 2014, section 3: the generator maximises E log D(G(z)) instead.
nonsaturating = GANLoss(
    discriminator=_binary_cross_entropy,
    generator=lambda real, fake: softplus(-fake).mean(),
)

# Mao et al. 2017, eq. 9 with a = 0, b = c = 1 (the factor 1/2 is kept).
least_squares = GANLoss(
    discriminator=lambda real, fake: (
        ((real - 1) ** 2).mean() / 2 + (fake**2).mean() / 2
    ),
    generator=lambda real, fake: ((fake - 1) ** 2).mean() / 2,
)

# Lim & Ye 2017; Miyato et al. 2018, eq. 16-17.
hinge = GANLoss(
    discriminator=lambda real, fake: relu(1 - real).mean() + relu(1 + fake).mean(),
    generator=lambda real, fake: -fake.mean(),
)

# Arjovsky et al. 2017, eq. 2. Means nothing unless D is kept Lipschitz.
wasserstein = GANLoss(
    discriminator=lambda real, fake: fake.mean() - real.mean(),
    generator=lambda real, fake: -fake.mean(),
)

# Jolicoeur-Martineau 2019 (RpGAN); Huang et al. 2024 (R3GAN), eq. 2.
relativistic = GANLoss(
    discriminator=lambda real, fake: _relativistic(real, fake),
    generator=lambda real, fake: _relativistic(fake, real),
    relative=True,
)


def squared_gradient_norm(D: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Squared norm of the gradient of D at each sample of `x` (N, ...), shape (N,).

    Differentiating the sum of the logits gives per-sample gradients only if D scores
    its inputs one by one, so D must have no batch normalisation.
    """
    # A generator under autocast gives 16 bits, in which small slopes square to 0.
    x = x.detach().to(torch.promote_types(x.dtype, torch.float32)).requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def interpolate(real: Tensor, fake: Tensor, rng: torch.Generator | None) -> Tensor:
    """Points real + t (fake - real), one t ~ U(0, 1) per sample, shape of `real`."""
    if real.shape != fake.shape:
        raise GancourseError(
            f"Interpolating needs real and fake of one shape, got {tuple(real.shape)} "
            f"and {tuple(fake.shape)}. Draw as many fakes as there are reals."
        )
    t = torch.rand(len(real), generator=rng, device=real.device, dtype=real.dtype)
    fake = fake.detach().to(real.dtype)  # a generator under autocast gives 16 bits
    return real.detach().lerp(fake, t.view(-1, *[1] * (real.ndim - 1)))


def gradient_penalty(
    D: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    rng: torch.Generator | None = None,
    *,
    weight: float = 10.0,
) -> Tensor:
    """weight * E (|grad D| - 1)^2 between real and fake. Gulrajani et al. 2017, (3)."""
    squared = squared_gradient_norm(D, interpolate(real, fake, rng))
    # sqrt has an infinite slope at 0: the tiny constant keeps a flat critic trainable.
    return weight * ((squared + 1e-12).sqrt() - 1).square().mean()


def r1(
    D: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    rng: torch.Generator | None = None,
    *,
    gamma: float = 1.0,
) -> Tensor:
    """gamma / 2 * E |grad D(real)|^2. Mescheder et al. 2018, eq. 9."""
    return gamma / 2 * squared_gradient_norm(D, real).mean()


def r2(
    D: Callable[[Tensor], Tensor],
    real: Tensor,
    fake: Tensor,
    rng: torch.Generator | None = None,
    *,
    gamma: float = 1.0,
) -> Tensor:
    """gamma / 2 * E |grad D(fake)|^2. Mescheder et al. 2018, eq. 10."""
    return gamma / 2 * squared_gradient_norm(D, fake).mean()


# ------------------------------------------------------------------ content, style


def gram(features: Tensor) -> Tensor:
    """Gram matrices (N, C, C) of features (N, C, H, W): F F^T / (C H W), in float32.

    Which channels fire together, averaged over places: where they fire is forgotten.
    Gatys et al. 2016, eq. 3, divided by the size, so that pictures of any size compare.
    """
    c, h, w = features.shape[1:]
    with torch.autocast(features.device.type, enabled=False):  # 16 bits lose the sums
        places = features.float().permute(0, 2, 3, 1).flatten(1, 2)  # (N, H W, C)
        return _Gram.apply(places) / (c * h * w)


class _Gram(torch.autograd.Function):
    """F^T F (N, C, C) of F (N, P, C): both factors are F, so one product is enough
    for its gradient, where autograd would take two."""

    @staticmethod
    def forward(ctx, F: Tensor) -> Tensor:
        ctx.save_for_backward(F)
        return F.mT @ F

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (F,), both = ctx.saved_tensors, grad + grad.mT
        # in the layout of F, channels last or first: another one slows all layers below
        return F @ both if F.is_contiguous() else (both @ F.mT).mT


def relative_error(x: Tensor, target: Tensor) -> Tensor:
    """|x - target|^2 / |target|^2 for each sample of (N, ...), then the mean over N.

    0 when equal, 1 when x is all zeros, whatever the layer, the net and the picture.
    """
    x, target = x.float(), target.float()
    rest = tuple(range(1, x.ndim))  # all but the samples, in the layout that they have
    size = target.square().sum(rest).clamp_min(1e-12)
    return ((x - target).square().sum(rest) / size).mean()


def content_loss(features: dict[str, Tensor], target: dict[str, Tensor]) -> Tensor:
    """Mean over the layers of the relative error of features. Gatys et al. 2016, eq. 1,
    each layer divided by its own size."""
    errors = [relative_error(features[name], target[name]) for name in target]
    return torch.stack(errors).mean()


def style_loss(features: dict[str, Tensor], grams: dict[str, Tensor]) -> Tensor:
    """Mean over the layers of the relative error of Gram matrices. Gatys et al. 2016,
    eq. 5: the weight of a layer is 1 / |its target|^2, so all layers count alike."""
    errors = [relative_error(gram(features[name]), grams[name]) for name in grams]
    return torch.stack(errors).mean()


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute step between neighbouring pixels of images (N, C, H, W).

    Down plus across, each a mean: 0 for a flat picture. Rudin, Osher & Fatemi 1992.
    """
    down, across = images.diff(dim=-2), images.diff(dim=-1)
    return down.abs().mean() + across.abs().mean()
