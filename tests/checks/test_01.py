"""Exercises of notebook 01: right answers in many forms pass, each mistake is named.

The answers are written as learners write them: with other functions, loops, lists,
NumPy, methods, float64; no answer uses the course's own code.
"""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from table import passes, recognised

# ruff: noqa: E731

# ------------------------------------------------------------------ 01.pushforward

normal = lambda z: torch.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def push_loop(x, a, b):
    out = []
    for value in x.tolist():
        z = (value - b) / a
        out.append(math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / abs(a))
    return out


def push_library(x, a, b):
    law = torch.distributions.Normal(b, abs(a))
    return law.log_prob(x).exp()


def push_by_autograd(x, a, b):
    z = ((x - b) / a).requires_grad_()
    (slope,) = torch.autograd.grad((a * z + b).sum(), z)
    return normal(z.detach()) / slope.abs()


def push_numpy(x, a, b):
    z = (x.numpy().astype(np.float64) - b) / a
    return np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi * a**2)


PUSHFORWARD_WRONG = {
    "no_absolute_value": lambda x, a, b: normal((x - b) / a) / a,
    "multiplies": lambda x, a, b: normal((x - b) / a) * abs(a),
    "forgets_the_stretch": lambda x, a, b: normal((x - b) / a),
    "forgets_the_inverse": lambda x, a, b: normal(x) / abs(a),
    "applies_g_forwards": lambda x, a, b: normal(a * x + b) / abs(a),
    "squares_the_slope": lambda x, a, b: normal((x - b) / a) / a**2,
    "not_normalised": lambda x, a, b: torch.exp(-(((x - b) / a) ** 2) / 2) / abs(a),
    "log_density": lambda x, a, b: torch.distributions.Normal(b, abs(a)).log_prob(x),
}

# ------------------------------------------------------------------ 01.value


def value_bce(real, fake):
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    bce = F.binary_cross_entropy_with_logits
    return -bce(real, ones) - bce(fake, zeros)


def value_loop(real, fake):
    total = 0.0
    for s in real:
        total += -np.logaddexp(0, -float(s)) / len(real)
    for s in fake:
        total -= np.logaddexp(0, float(s)) / len(fake)
    return total


def value_module(real, fake):
    log = torch.nn.LogSigmoid()
    return [log(real).mean() + log(fake.neg()).mean()]


value_softplus = lambda real, fake: -F.softplus(-real).mean() - F.softplus(fake).mean()

VALUE_WRONG = {
    "sign": lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean(),
    "fakes_called_real": lambda r, f: F.logsigmoid(r).mean() + F.logsigmoid(f).mean(),
    "players_swapped": lambda r, f: F.logsigmoid(-r).mean() + F.logsigmoid(f).mean(),
    "only_reals": lambda r, f: F.logsigmoid(r).mean(),
    "only_fakes": lambda r, f: F.logsigmoid(-f).mean(),
    "sum": lambda r, f: (F.logsigmoid(r) + F.logsigmoid(-f)).sum(),
    "one_mean_over_both": lambda r, f: F.logsigmoid(torch.cat([r, -f])).mean(),
    "sigmoid_missing": lambda r, f: torch.log(r).mean() + torch.log(1 - f).mean(),
    "sigmoid_twice": lambda r, f: (
        F.logsigmoid(r.sigmoid()).mean() + F.logsigmoid(-f.sigmoid()).mean()
    ),
    "base_two": lambda r, f: r.sigmoid().log2().mean() + (-f).sigmoid().log2().mean(),
    "rounded_to_zero": lambda r, f: (
        r.sigmoid().log().mean() + (1 - f.sigmoid()).log().mean()
    ),
    "clipped": lambda r, f: (
        (r.sigmoid() + 1e-8).log().mean() + (1 - f.sigmoid() + 1e-8).log().mean()
    ),
}

# --------------------------------------------------------------- 01.best_discriminator


def best_bracket(p, q, share, label):
    a = share * label * p
    b = share * (1 - label) * p + (1 - share) * q
    return a / (a + b)


def best_odds(p, q, share, label):
    odds = p / q * share / (1 - share)
    return label * odds / (1 + odds)


def best_by_search(p, q, share, label):
    y = torch.linspace(1e-6, 1 - 1e-6, 200_001, dtype=torch.float64)
    found = []
    for one, other in zip(p.double(), q.double(), strict=True):
        a, b = share * one, (1 - share) * other
        h = a * (label * y.log() + (1 - label) * (1 - y).log()) + b * (1 - y).log()
        found.append(y[h.argmax()].item())
    return np.array(found)


def best_sigmoid(p, q, share, label):
    s = torch.log(share * p) - torch.log((1 - share) * q)
    return label * torch.sigmoid(s)[:, None]


BEST_WRONG = {
    "swapped": lambda p, q, s, t: t * (1 - s) * q / (s * p + (1 - s) * q),
    "ratio": lambda p, q, s, t: t * s * p / ((1 - s) * q),
    "share_ignored": lambda p, q, s, t: t * p / (p + q),
    "share_on_the_wrong_side": lambda p, q, s, t: (
        t * (1 - s) * p / ((1 - s) * p + s * q)
    ),
    "label_ignored": lambda p, q, s, t: s * p / (s * p + (1 - s) * q),
    "label_as_weight": lambda p, q, s, t: t * s * p / (t * s * p + (1 - s) * q),
    "two_sided_smoothing": lambda p, q, s, t: (
        (t * s * p + (1 - t) * (1 - s) * q) / (s * p + (1 - s) * q)
    ),
}

# ------------------------------------------------------------------ 01.jsd


def jsd_bce(real, fake):
    bce = torch.nn.BCEWithLogitsLoss()
    loss = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    return (torch.log(torch.tensor(4.0)) - loss) / 2


def jsd_v(real, fake):
    v = torch.log(torch.sigmoid(real)).mean() + torch.log(torch.sigmoid(-fake)).mean()
    return 0.5 * v + math.log(2)


def jsd_numpy(real, fake):
    real, fake = np.asarray(real, float), np.asarray(fake, float)
    loss = np.log1p(np.exp(-real)).mean() + np.log1p(np.exp(fake)).mean()
    return np.float64((2 * np.log(2) - loss) / 2)


def jsd_at_least_zero(real, fake):
    """A bound below 0 says no more than 0 does."""
    v = F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()
    return max(0.0, float(v + math.log(4)) / 2)


d_loss = lambda r, f: F.softplus(-r).mean() + F.softplus(f).mean()
JSD_WRONG = {
    "not_halved": lambda r, f: math.log(4) - d_loss(r, f),
    "sign": lambda r, f: (d_loss(r, f) - math.log(4)) / 2,
    "is_the_loss": lambda r, f: d_loss(r, f),
    "is_v": lambda r, f: -d_loss(r, f),
    "log_two": lambda r, f: (math.log(2) - d_loss(r, f)) / 2,
    "in_bits": lambda r, f: (math.log(4) - d_loss(r, f)) / 2 / math.log(2),
    "plus": lambda r, f: (math.log(4) + d_loss(r, f)) / 2,
    "mean_over_both": lambda r, f: (
        (math.log(4) - F.softplus(torch.cat([-r, f])).mean()) / 2
    ),
    "sign_lost": lambda r, f: abs(
        (F.logsigmoid(r).mean() + F.logsigmoid(-f).mean() + math.log(4)) / 2
    ),
}

# ------------------------------------------------------------------ 01.generator_slopes

sigma = 1 / (1 + math.exp(10))


def slopes(minimax, nonsaturating, hinge=-1.0, wasserstein=-1.0) -> dict:
    names = ("minimax", "nonsaturating", "hinge", "wasserstein")
    return dict(zip(names, (minimax, nonsaturating, hinge, wasserstein), strict=True))


def slopes_by_autograd() -> dict:
    s = torch.tensor(-10.0, requires_grad=True)
    losses = (-F.softplus(s), F.softplus(-s), -s, -s)
    return slopes(*(torch.autograd.grad(loss, s)[0] for loss in losses))


def slopes_in_d() -> dict:
    """Differentiated by the probability D, not by the logit s."""
    D = torch.sigmoid(torch.tensor(-10.0)).requires_grad_()
    losses = torch.log(1 - D), -torch.log(D)
    return slopes(*(torch.autograd.grad(loss, D)[0] for loss in losses))


SLOPES_WRONG = {
    "sign": slopes(sigma, 1 - sigma, 1.0, 1.0),
    "exchanged": slopes(sigma - 1, -sigma),
    "hinge_of_d": slopes(-sigma, sigma - 1, 0.0),
    "loss_not_slope": slopes(math.log(1 - sigma), 10.0, 10.0, 10.0),
    "exactly_zero": slopes(0, -1),
    "linear_losses": slopes(-sigma, sigma - 1, -1.0, 10.0),
    "slope_in_d": slopes_in_d(),
    "four_names": {"minimax": -sigma},
    "other_value": slopes(-0.5, -0.5),
}

# ------------------------------------------------------------------ 01.wasserstein


def w1_scipy(a, b):
    from scipy.stats import wasserstein_distance

    return wasserstein_distance(a, b)


def w1_repeat(a, b):
    n, m = len(a), len(b)
    a = a.sort().values.repeat_interleave(m)
    b = b.sort().values.repeat_interleave(n)
    return (a - b).abs().mean()


def w1_area(a, b):
    a, b = sorted(a.tolist()), sorted(b.tolist())
    points, area = sorted(a + b), 0.0
    for left, right in itertools.pairwise(points):
        below = sum(v <= left for v in a) / len(a) - sum(v <= left for v in b) / len(b)
        area += abs(below) * (right - left)
    return area


def w1_plan(a, b):
    a, b = list(a.sort().values), list(b.sort().values)
    i = j = 0
    total, left, right = 0.0, 1 / len(a), 1 / len(b)
    while i < len(a) and j < len(b):
        moved = min(left, right)
        total = total + moved * abs(a[i] - b[j])
        left, right = left - moved, right - moved
        if left < 1e-9:
            i, left = i + 1, 1 / len(a)
        if right < 1e-9:
            j, right = j + 1, 1 / len(b)
    return total


def shorter(a, b):
    k = min(len(a), len(b))
    return a.sort().values[:k] - b.sort().values[:k]


def gaps(a, b):
    points = torch.cat([a, b])
    return torch.stack(
        [(a <= x).float().mean() - (b <= x).float().mean() for x in points]
    )


def unsorted(a, b):
    k = min(len(a), len(b))
    return (a[:k] - b[:k]).abs().mean()


W1_WRONG = {
    "difference_of_means": lambda a, b: (a.mean() - b.mean()).abs(),
    "not_sorted": unsorted,
    "squared": lambda a, b: shorter(a, b).square().mean(),
    "root_of_squares": lambda a, b: shorter(a, b).square().mean().sqrt(),
    "sum": lambda a, b: shorter(a, b).abs().sum(),
    "largest_gap": lambda a, b: gaps(a, b).abs().max(),
    "without_widths": lambda a, b: gaps(a, b).abs().mean(),
    "all_pairs": lambda a, b: torch.cdist(a[:, None], b[:, None]).mean(),
    "cut_to_the_shorter": lambda a, b: shorter(a, b).abs().mean(),
}

RIGHT = {
    "01.pushforward": [push_loop, push_library, push_by_autograd, push_numpy],
    "01.value": [value_bce, value_loop, value_module, value_softplus],
    "01.best_discriminator": [best_bracket, best_odds, best_by_search, best_sigmoid],
    "01.jsd": [jsd_bce, jsd_v, jsd_numpy, jsd_at_least_zero],
    "01.generator_slopes": [
        slopes(-sigma, sigma - 1),
        slopes(-4.54e-5, -0.99995),
        slopes_by_autograd(),
        slopes(-math.exp(-10), -1, -1, -1),
    ],
    "01.wasserstein": [w1_scipy, w1_repeat, w1_area, w1_plan],
}
WRONG = {
    "01.pushforward": PUSHFORWARD_WRONG,
    "01.value": VALUE_WRONG,
    "01.best_discriminator": BEST_WRONG,
    "01.jsd": JSD_WRONG,
    "01.generator_slopes": SLOPES_WRONG,
    "01.wasserstein": W1_WRONG,
}
CASES = [(n, m, answer) for n in WRONG for m, answer in WRONG[n].items()]
CASES += [
    ("01.generator_slopes", "slope_in_d", slopes(-sigma, -1 / sigma)),
    (
        "01.generator_slopes",
        "slope_in_d",
        slopes(-1 / (1 - sigma), -1 / sigma, -1 / (sigma * (1 - sigma))),
    ),
]


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n in RIGHT for i in range(len(RIGHT[n]))]
)
def test_a_right_answer_passes_however_it_is_written(name, number):
    passes(name, RIGHT[name][number])


@pytest.mark.parametrize(("name", "mistake", "answer"), CASES)
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)
