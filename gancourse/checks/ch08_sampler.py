"""Checks of notebook 08, the last exercise: new points out of an autoencoder."""

import math
from statistics import median

import torch
from torch import Tensor, nn

from gancourse.checks.compare import COMMON, tensor, unchanged
from gancourse.checks.probes import normal, stream
from gancourse.checks.verdict import Exercise, Hint, Mistake

# Five clumps of codes, none where N(0, I) falls; the largest share comes first, so that
# the first codes are no fair sample of all.
_CENTERS = torch.tensor([[4.0, 1], [-3, 4], [-5, -2], [1, -5], [6, -4]])
_SHARES = torch.tensor([0.38, 0.26, 0.16, 0.12, 0.08])
_CODES, _FEWER, _MORE = 4_500, 3_000, 4_600
_FAR = 3  # deviations, of a clump's bell: 1 % of a bell fitted to it lies beyond
_OFF = 0.1  # of the points; more than these and they do not come from the codes
# In twelve checks 3,000 points were at most 0.042 from their law, 0.078 from others.
_NEAR = 0.06


def sampler(answer) -> None:
    """answer(decode, codes, n): n new points, with the law of what has these codes."""
    clumps, codes = _clumps()
    decode = _decoder()
    got = tensor(answer(decode, codes, _FEWER), (_FEWER, 2))
    unchanged(answer)
    if not got.isfinite().all():
        raise Mistake("not_finite")
    _on_the_codes(got, decode, clumps, codes)
    _every_clump(_code_of(decode, got), clumps, codes, got, decode)
    few = [tensor(answer(decode, codes, 20), (20, 2)) for _ in range(2)]
    if torch.equal(*few):
        raise Mistake("same_each_time")
    found = tensor(answer(decode, codes, _MORE))
    if found.shape == (_CODES, 2):
        raise Mistake("runs_out")
    tensor(found, (_MORE, 2))


def _clumps() -> tuple[tuple[Tensor, Tensor], Tensor]:
    """Centers (5, 2) and roots of covariances (5, 2, 2); codes (4500, 2) by clump."""
    order = torch.randperm(5, generator=stream())
    centers = _CENTERS[order] + normal(5, 2, scale=0.1)
    angle = math.pi * torch.rand(5, generator=stream())
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1)
    widths = 0.25 + 0.15 * torch.rand(5, 2, generator=stream())
    roots = turn.view(5, 2, 2) * widths[:, None]
    clump = torch.arange(5).repeat_interleave((_SHARES * _CODES).round().long())
    # Bells cut at 2.5 deviations: what keeps to any single code is on its clump.
    inside = 1 - math.exp(-(2.5**2) / 2)
    length = (-2 * (1 - inside * torch.rand(_CODES, generator=stream())).log()).sqrt()
    noise = nn.functional.normalize(normal(_CODES, 2)) * length[:, None]
    return (centers, roots), centers[clump] + (roots[clump] @ noise[..., None])[..., 0]


def _decoder() -> nn.Sequential:
    """Two layers of two units, which can be undone: a point tells its code."""
    decode = nn.Sequential(nn.Linear(2, 2), nn.LeakyReLU(0.3), nn.Linear(2, 2))
    with torch.no_grad():
        for layer, size, shift in ((decode[0], 1.0, 0.0), (decode[2], 0.5, 20.0)):
            angle = 2 * math.pi * torch.rand((), generator=stream())
            c, s = size * angle.cos(), size * angle.sin()
            layer.weight.copy_(torch.stack([c, -s, s, c]).view(2, 2))
            layer.bias.copy_(torch.tensor([shift, -shift]) + normal(2))
    return decode.requires_grad_(False)


def _code_of(decode: nn.Sequential, x: Tensor) -> Tensor:
    """The codes (N, 2) that are decoded to the points x."""
    for layer in (decode[2], None, decode[0]):
        if layer is None:
            x = torch.where(x < 0, x / 0.3, x)
        else:
            x = torch.linalg.solve(layer.weight.double(), (x - layer.bias.double()).T).T
    return x


def _nearest(z: Tensor, clumps: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """For each code, how many deviations it is from its nearest clump, and which."""
    centers, roots = (part.double() for part in clumps)
    steps = z[:, None, :, None] - centers[None, :, :, None]
    return torch.linalg.solve(roots, steps).squeeze(3).norm(dim=2).min(1)


def _off(z: Tensor, clumps: tuple[Tensor, Tensor]) -> float:
    return (_nearest(z, clumps)[0] > _FAR).double().mean().item()


def _on_the_codes(x: Tensor, decode, clumps, codes: Tensor) -> None:
    """Nearly all points come from where codes are; else the law that they have."""
    z = _code_of(decode, x)
    off = _off(z, clumps)
    if off <= _OFF:
        return
    if _off(x, clumps) <= _OFF:
        raise Mistake("not_decoded")
    distance = {}
    for name, other in _laws(codes.double(), z):
        apart = _apart(z, other)
        distance[name] = min(apart, distance.get(name, apart))
    nearest = min(distance, key=distance.get)
    law = nearest if distance[nearest] < _NEAR else "off_the_codes"
    raise Mistake(law, f"Of your points {off:.0%} come from where no code is.")


def _laws(codes: Tensor, z: Tensor):
    """Wrong laws of codes, each as a sample, by the names of the mistakes."""
    n = 12_000
    noise = lambda: normal(n, 2).double()  # noqa: E731
    some = lambda: codes[torch.randint(len(codes), (n,), generator=stream())]  # noqa: E731
    share = torch.rand(n, 2, generator=stream()).double()
    mean, std = codes.mean(0), codes.std(0)
    root = torch.linalg.cholesky(codes.T.cov())
    low, high = codes.min(0).values, codes.max(0).values
    more = (z.var(0).sum() - codes.var(0).sum()).clamp_min(0)  # what was added
    yield "prior", noise()
    yield "one_gaussian", mean + noise() @ root.T
    yield "one_gaussian", mean + noise() * std
    yield "one_gaussian", mean + noise() * codes.std()
    yield "box", low + (high - low) * share
    yield "box", share
    yield "box", 2 * share - 1
    yield "coordinates_apart", torch.stack([some()[:, 0], some()[:, 1]], 1)
    yield "between_codes", torch.lerp(some(), some(), share[:, :1])
    yield "between_codes", (some() + some()) / 2
    yield "too_wide", some() + noise() * (more / 2).sqrt()
    yield "too_wide", some() + noise() @ root.T * (more / codes.var(0).sum()).sqrt()
    yield "too_wide", some() + noise() * std * (more / codes.var(0).sum()).sqrt()


def _apart(a: Tensor, b: Tensor) -> float:
    """The largest of Kolmogorov's distances, seen along twelve directions."""
    angle = torch.arange(12).double() * math.pi / 12
    along = torch.stack([angle.cos(), angle.sin()], 1)
    one, other = (along @ a.T).sort().values, (along @ b.T).sort().values
    law = torch.searchsorted(other, one) / b.shape[0]
    steps = torch.arange(1, len(a) + 1) / len(a)
    return (steps - law).abs().max().item()


def _every_clump(z: Tensor, clumps, codes: Tensor, x: Tensor, decode) -> None:
    """Each clump with its share and its width, and points that are new."""
    clump = _nearest(z, clumps)[1]
    shares = torch.bincount(clump, minlength=5) / len(z)
    if shares.max() > 0.99:
        raise Mistake("around_one_code")
    own = _nearest(codes.double(), clumps)[1]
    width = [_width(z[clump == k]) / _width(codes[own == k].double()) for k in range(5)]
    if median(w for w, share in zip(width, shares, strict=True) if share > 0.01) < 0.6:
        raise Mistake("no_width")
    known = decode(codes).double()
    if (torch.cdist(x[:300], known).min(1).values < 1e-4).double().mean() > 0.5:
        raise Mistake("copies")
    first = torch.bincount(own[:_FEWER], minlength=5) / _FEWER
    if _differ(shares, _SHARES) < 0.1:
        return
    if _differ(shares, first) < 0.05:
        raise Mistake("first_codes")
    if (shares < _SHARES / 4).any():
        raise Mistake("modes_missing")
    if _differ(shares, torch.full((5,), 0.2)) < 0.05:
        raise Mistake("equal_shares")
    raise Mistake("other_value", "Each clump is there, but not with its share.")


def _differ(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().sum() / 2).item()


def _width(z: Tensor) -> float:
    return z.var(0).sum().sqrt().item() if len(z) > 1 else 0.0


_SAMPLER = {
    "prior": Hint(
        "Decoded N(0, I) lands nowhere near the data.",
        "Who told these codes to be N(0, I)? An autoencoder's loss does not.",
        "Draw from the law that the codes *have*: `codes` is a sample of it.",
    ),
    "one_gaussian": Hint(
        "Your codes fill the space between the clumps.",
        "One Gaussian with the codes' mean and spread has its summit where no code is.",
        "Keep to the single codes (or fit a bell to each clump).",
    ),
    "box": Hint(
        "Your codes are spread evenly over a box.",
        "Uniform numbers know how far codes reach, not where they are.",
        "Begin with codes that exist: torch.randint picks rows of `codes`.",
    ),
    "coordinates_apart": Hint(
        "Each coordinate of your codes is right, and the pairs are not.",
        "You draw the coordinates one by one; they depend on each other.",
        "Take both coordinates from the same row of `codes`.",
    ),
    "between_codes": Hint(
        "Many of your points come from between two clumps.",
        "The way from one code to any other leads through places without codes.",
        "Stay near one code, or go towards a *near* neighbour only.",
    ),
    "too_wide": Hint(
        "Your codes reach beyond the clumps.",
        "You add noise, but more than a clump is wide.",
        "Noise has to be small beside a clump, not beside the whole cloud.",
    ),
    "off_the_codes": Hint(
        "Many of your points come from where no code is.",
        "The decoder knows no other codes, and noise on decoded points leads away too.",
        "Pick rows of `codes` and add noise that is small beside a clump's width.",
    ),
    "not_decoded": Hint(
        "Your points are codes.",
        "The decoder was not asked.",
        "Return decode(z).",
    ),
    "around_one_code": Hint(
        "All your points are of one kind.",
        "They come from the surroundings of a single code.",
        "A row of `codes` for *each* point: torch.randint(len(codes), (n,)).",
    ),
    "no_width": Hint(
        "Within a clump your points hardly differ.",
        "You decode the clumps' centers, and next to nothing around them.",
        "Give each clump its own width back, or start from single codes.",
    ),
    "copies": Hint(
        "Your points are those that the codes were made of.",
        "A code of real data, decoded, is real data once more: nothing is new.",
        "Move each code a little before it is decoded.",
    ),
    "first_codes": Hint(
        "Some kinds are missing: you use the first n codes.",
        "Codes come in the order of the data, and that may be sorted.",
        "Pick rows at random: torch.randint(len(codes), (n,)).",
    ),
    "modes_missing": Hint(
        "Some kinds of points are missing.",
        "You leave out part of the codes.",
        "Every row of `codes` must have the same chance.",
    ),
    "equal_shares": Hint(
        "Rare kinds come as often as common ones.",
        "You pick the clump first, each with the same chance.",
        "Pick clumps by their share of the codes, or pick single codes.",
    ),
    "same_each_time": Hint(
        "A second call gives the same points.",
        "The random numbers start anew from a fixed seed.",
        "Leave the seed alone inside of the function.",
    ),
    "runs_out": Hint(
        "Asked for more points than there are codes, you give as many as codes.",
        "Each code serves once only.",
        "Draw rows with replacement: torch.randint(len(codes), (n,)).",
    ),
}

EXERCISES = [Exercise("08.sampler", sampler, COMMON | _SAMPLER)]
