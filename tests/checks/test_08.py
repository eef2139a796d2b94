"""Exercises of notebook 08: right answers in many forms pass, each mistake is named."""

import math
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import stats
from table import hints_are_asked_for, passes, recognised
from torch.distributions import Independent, Normal, kl_divergence

from gancourse.checks import ch08, ch08_sampler

# ruff: noqa: E731

# ------------------------------------------------------------------ 08.kl


def kl_formula(mu, logvar):
    return -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp(), dim=1)


def kl_library(mu, logvar):
    q = Independent(Normal(mu, torch.exp(0.5 * logvar)), 1)
    p = Independent(Normal(torch.zeros_like(mu), torch.ones_like(mu)), 1)
    return kl_divergence(q, p)


def kl_loop(mu, logvar):
    rows = []
    for m, v in zip(mu.tolist(), logvar.tolist(), strict=True):
        terms = [a * a + math.exp(b) - 1 - b for a, b in zip(m, v, strict=True)]
        rows.append([sum(terms) / 2])
    return rows


def kl_numpy(mu, logvar):
    mu, sigma = mu.numpy().astype(float), np.exp(logvar.numpy().astype(float) / 2)
    return (
        np.einsum("nd,nd->n", mu, mu) + (sigma**2 - 1 - 2 * np.log(sigma)).sum(1)
    ) / 2


def kl_quadrature(mu, logvar):
    x = torch.linspace(-40, 40, 40_001, dtype=torch.float64)
    total = torch.zeros(len(mu), dtype=torch.float64)
    for k in range(mu.shape[1]):
        q = Normal(mu[:, k, None].double(), (logvar[:, k, None].double() / 2).exp())
        log_q, log_p = q.log_prob(x), Normal(0.0, 1.0).log_prob(x)
        total += torch.trapezoid(log_q.exp() * (log_q - log_p), x, dim=1)
    return total


KL_WRONG = dict(ch08._KLS) | {
    "shape": lambda m, v: kl_formula(m, v).mean(),
}

# ------------------------------------------------------------------ 08.reparameterise


def code_half(mu, logvar, eps):
    return mu + torch.exp(0.5 * logvar) * eps


def code_root(mu, logvar, eps):
    std = logvar.exp().sqrt()
    return eps.mul(std).add_(mu)


def code_addcmul(mu, logvar, eps):
    return torch.addcmul(mu, eps, torch.exp(logvar) ** 0.5)


def code_library(mu, logvar, eps):
    law = Normal(mu, (logvar / 2).exp())
    return law.loc + law.scale * eps.double()


def code_rows(mu, logvar, eps):
    triples = zip(mu, logvar, eps, strict=True)
    return torch.stack([m + math.e ** (v / 2) * e for m, v, e in triples])


CODES_WRONG = dict(ch08._CODES) | {
    "loses_gradient": lambda m, v, e: code_half(m, v, e).detach(),
    "mean_cut": lambda m, v, e: m.detach() + (v / 2).exp() * e,
    "spread_cut": lambda m, v, e: m + (v / 2).exp().data * e,
    "own_noise": lambda m, v, e: m + (v / 2).exp() * torch.randn_like(m),
}
CODES_WRITTEN = [
    ("own_noise", lambda m, v, e: Normal(m, (v / 2).exp()).rsample()),
    ("variance_for_deviation", lambda m, v, e: m + torch.exp(v) * e),
    ("writes_over_input", lambda m, v, e: e.mul_((v / 2).exp().detach()) + m),
]

# ------------------------------------------------------------------ 08.elbo


def elbo_logits(x, logits, kl):
    bce = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return (bce.sum(dim=(1, 2, 3)) + kl).mean()


def elbo_sum(x, logits, kl):
    bce = torch.nn.BCEWithLogitsLoss(reduction="sum")(logits, x)
    return (bce + kl.sum()) / x.shape[0]


def elbo_softplus(x, logits, kl):
    on = (x * F.softplus(-logits)).flatten(1).sum(1)
    off = ((1 - x) * F.softplus(logits)).flatten(1).sum(1)
    return torch.mean(on + off + kl)


def elbo_numpy(x, logits, kl):
    x, s = x.numpy().astype(float), logits.numpy().astype(float)
    total = 0.0
    for image, logit, k in zip(x, s, kl.tolist(), strict=True):
        total += float((np.logaddexp(0, logit) - image * logit).sum()) + k
    return total / len(x)


def elbo_scaled(x, logits, kl):
    """The mean over everything, multiplied back."""
    per_pixel = F.binary_cross_entropy_with_logits(logits, x)
    return [per_pixel * x[0].numel() + kl.mean()]


def sigmoid_bce(x, logits, kl):
    bce = F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="sum")
    return bce / len(x) + kl.mean()


ELBO_WRONG = dict(ch08._ELBOS) | {"clipped": sigmoid_bce}
ELBO_WRITTEN = [
    (
        "mean_over_pixels",
        lambda x, s, kl: F.binary_cross_entropy_with_logits(s, x) + kl.mean(),
    ),
    (
        "images_summed_once",
        lambda x, s, kl: (
            F.binary_cross_entropy_with_logits(s, x, reduction="sum") + kl.mean()
        ),
    ),
    (
        "squared_error",
        lambda x, s, kl: (
            F.mse_loss(s.sigmoid(), x, reduction="sum") / len(x) + kl.mean()
        ),
    ),
]

# ------------------------------------------------------------------ 08.noising


def noising_cumprod(x, betas, t, noise):
    kept = torch.cumprod(1 - betas, dim=0)[t].view(-1, 1, 1, 1)
    return kept.sqrt() * x + (1 - kept).sqrt() * noise


def noising_loop(x, betas, t, noise):
    out = []
    for image, steps, e in zip(x, t.tolist(), noise, strict=True):
        kept = 1.0
        for beta in betas.tolist()[: steps + 1]:
            kept *= 1 - beta
        out.append(math.sqrt(kept) * image + math.sqrt(1 - kept) * e)
    return out


def noising_logs(x, betas, t, noise):
    log_kept = torch.log1p(-betas.double()).cumsum(0).gather(0, t)
    signal = torch.exp(log_kept / 2)
    spread = torch.sqrt(-torch.expm1(log_kept))
    add = torch.einsum("n,nchw->nchw", spread, noise.double())
    return torch.einsum("n,nchw->nchw", signal, x.double()) + add


def noising_numpy(x, betas, t, noise):
    kept = np.cumprod(1 - betas.numpy())[t.numpy()][:, None, None, None]
    return np.sqrt(kept) * x.numpy() + np.sqrt(1 - kept) * noise.numpy()


def levels(signal, spread, index=lambda t: t):
    """x_t with these functions of (betas, kept)."""

    def noising(x, betas, t, noise):
        kept = (1 - betas).cumprod(0)
        column = lambda v: v[index(t)].view(-1, 1, 1, 1)
        return column(signal(betas, kept)) * x + column(spread(betas, kept)) * noise

    return noising


NOISING_WRONG = {
    "no_roots": levels(lambda b, k: k, lambda b, k: 1 - k),
    "root_on_signal_only": levels(lambda b, k: k.sqrt(), lambda b, k: 1 - k),
    "root_on_noise_only": levels(lambda b, k: k, lambda b, k: (1 - k).sqrt()),
    "one_step": levels(lambda b, k: (1 - b).sqrt(), lambda b, k: b.sqrt()),
    "betas_multiplied": levels(
        lambda b, k: (1 - b.cumprod(0)).sqrt(), lambda b, k: b.cumprod(0).sqrt()
    ),
    "betas_added": levels(
        lambda b, k: (1 - b.cumsum(0)).sqrt(), lambda b, k: b.cumsum(0).sqrt()
    ),
    "exchanged": levels(lambda b, k: (1 - k).sqrt(), lambda b, k: k.sqrt()),
    "one_early": levels(
        lambda b, k: (k / (1 - b)).sqrt(), lambda b, k: (1 - k / (1 - b)).abs().sqrt()
    ),
    "signal_whole": levels(
        lambda b, k: torch.ones_like(k), lambda b, k: (1 - k).sqrt()
    ),
    "beta_for_noise": levels(lambda b, k: k.sqrt(), lambda b, k: b.sqrt()),
    "one_minus_root": levels(lambda b, k: k.sqrt(), lambda b, k: 1 - k.sqrt()),
    "own_noise": lambda x, b, t, e: levels(
        lambda b, k: k.sqrt(), lambda b, k: (1 - k).sqrt()
    )(x, b, t, torch.randn_like(e)),
    "noise_forgotten": levels(lambda b, k: k.sqrt(), lambda b, k: 0 * k),
    "first_of_the_batch": levels(
        lambda b, k: k.sqrt(), lambda b, k: (1 - k).sqrt(), index=lambda t: t[:1]
    ),
    "across_columns": lambda x, betas, t, noise: (
        (1 - betas).cumprod(0)[t].sqrt() * x
        + (1 - (1 - betas).cumprod(0)[t]).sqrt() * noise
    ),
}

# ------------------------------------------------------------------ 08.denoise


def ddim_textbook(x_t, noise, kept_t, kept_s):
    x_0 = (x_t - (1 - kept_t) ** 0.5 * noise) / kept_t**0.5
    return kept_s**0.5 * x_0 + (1 - kept_s) ** 0.5 * noise


def ddim_one_line(x_t, noise, kept_t, kept_s):
    """Divided by √kept everything is x₀ plus a multiple of the noise."""
    level = lambda kept: math.sqrt(1 / kept - 1)
    return math.sqrt(kept_s) * (
        x_t / math.sqrt(kept_t) + (level(kept_s) - level(kept_t)) * noise
    )


def ddim_angles(x_t, noise, kept_t, kept_s):
    t, s = (torch.acos(torch.tensor(k).double().sqrt()) for k in (kept_t, kept_s))
    return (s.cos() * x_t + torch.sin(s - t) * noise) / t.cos()


def ddim_numpy(x_t, noise, kept_t, kept_s):
    x, e = x_t.numpy(), noise.numpy()
    a, b = np.sqrt([kept_t, kept_s]), np.sqrt(1 - np.array([kept_t, kept_s]))
    return (b[1] * e + a[1] * (x - b[0] * e) / a[0]).tolist()


# ------------------------------------------------------------------ 08.sampler


def sample_near(decode, codes, n):
    """Noise as wide as the way to the eighth neighbour."""
    chosen = codes[torch.randint(len(codes), (n,))]
    reach = torch.cdist(chosen, codes).topk(9, largest=False).values[:, -1:]
    return decode(chosen + reach * torch.randn_like(chosen))


def sample_kde(decode, codes, n):
    with torch.no_grad():
        rows = [random.randrange(len(codes)) for _ in range(n)]
        return decode(codes[rows] + 0.05 * torch.randn(n, codes.shape[1])).numpy()


def sample_scipy(decode, codes, n):
    law = stats.gaussian_kde(codes.numpy().T, bw_method=0.02)
    return decode(torch.tensor(law.resample(n).T, dtype=torch.float32))


def sample_towards(decode, codes, n):
    """On the way from a code to its fifth neighbour."""
    some = torch.multinomial(torch.ones(len(codes)), n, replacement=True)
    near = torch.cdist(codes[some], codes).topk(6, largest=False).indices[:, -1]
    return decode(torch.lerp(codes[some], codes[near], torch.rand(n, 1)))


def sample_grid(decode, codes, n):
    """A histogram: the cell by its count, the place in it evenly."""
    counts, *edges = np.histogram2d(*codes.numpy().astype(float).T, bins=150)
    cells = np.random.choice(counts.size, n, p=counts.ravel() / counts.sum())
    places = []
    for edge, index in zip(edges, np.unravel_index(cells, counts.shape), strict=True):
        places.append(edge[index] + np.random.rand(n) * np.diff(edge)[index])
    return [decode(torch.tensor(z).float()) for z in np.stack(places, 1)]


def clusters(codes, k):
    """k-means from starts far from each other: the cluster of each code."""
    centers = codes[:1]
    for _ in range(k - 1):
        far = torch.cdist(codes, centers).min(1).values.argmax()
        centers = torch.cat([centers, codes[far : far + 1]])
    for _ in range(10):
        own = torch.cdist(codes, centers).argmin(1)
        centers = torch.stack([codes[own == i].mean(0) for i in range(k)])
    return own


def mixture(k=5, equal=False, spread=1.0):
    """Sampler from a mixture of k Gaussians, fitted to clusters."""

    def sample(decode, codes, n):
        own = clusters(codes, k)
        weights = torch.ones(k) if equal else torch.bincount(own, minlength=k).float()
        which = torch.multinomial(weights, n, replacement=True)
        z = torch.empty(n, 2)
        for i in range(k):
            law = torch.distributions.MultivariateNormal(
                codes[own == i].mean(0), spread**2 * codes[own == i].T.cov()
            )
            z[which == i] = law.sample((int((which == i).sum()),))
        return decode(z)

    return sample


def from_codes(draw):
    """Sampler that decodes draw(codes, n)."""
    return lambda decode, codes, n: decode(draw(codes, n))


def some(codes, n):
    return codes[torch.randint(len(codes), (n,))]


def normal_codes(codes, n):
    law = torch.distributions.MultivariateNormal(codes.mean(0), codes.T.cov())
    return law.sample((n,))


def box(codes, n):
    low, high = codes.min(0).values, codes.max(0).values
    return low + (high - low) * torch.rand(n, 2)


def seeded_near(decode, codes, n):
    torch.manual_seed(0)
    return sample_near(decode, codes, n)


def each_once(codes, n):
    kept = codes[torch.randperm(len(codes))[:n]]
    return kept + 0.05 * torch.randn_like(kept)


def near_zero(codes, n):
    length = codes.norm(dim=1)
    return some(codes[length < length.quantile(0.6)], n) + 0.05 * torch.randn(n, 2)


SAMPLER_RIGHT = [
    *(sample_near, sample_kde, sample_scipy, sample_towards, sample_grid),
    *(mixture(5), mixture(12)),
]
SAMPLER_WRONG = {
    "prior": [
        from_codes(lambda c, n: torch.randn(n, 2)),
        lambda decode, codes, n: [decode(torch.randn(1, 2))[0] for _ in range(n)],
    ],
    "one_gaussian": [
        from_codes(normal_codes),
        from_codes(lambda c, n: c.mean(0) + c.std(0) * torch.randn(n, 2)),
    ],
    "box": [from_codes(box), from_codes(lambda c, n: torch.rand(n, 2) * 2 - 1)],
    "coordinates_apart": from_codes(
        lambda c, n: torch.stack([some(c[:, :1], n), some(c[:, 1:], n)], 1).squeeze(2)
    ),
    "between_codes": [
        from_codes(lambda c, n: torch.lerp(some(c, n), some(c, n), torch.rand(n, 1))),
        from_codes(lambda c, n: 0.5 * some(c, n) + 0.5 * some(c, n)),
    ],
    "too_wide": [
        from_codes(lambda c, n: some(c, n) + torch.randn(n, 2)),
        from_codes(lambda c, n: some(c, n) + 0.3 * c.std(0) * torch.randn(n, 2)),
        lambda decode, codes, n: decode(
            torch.tensor(stats.gaussian_kde(codes.numpy().T).resample(n).T).float()
        ),
    ],
    "off_the_codes": [
        from_codes(lambda c, n: 3 * torch.randn(n, 2)),
        from_codes(lambda c, n: c.mean(0) + 0.1 * torch.randn(n, 2)),
        from_codes(lambda c, n: F.normalize(torch.randn(n, 2)) * c.norm(dim=1).mean()),
        lambda decode, codes, n: decode(some(codes, n)) + torch.randn(n, 2),
    ],
    "not_decoded": lambda decode, codes, n: some(codes, n) + 0.05 * torch.randn(n, 2),
    "around_one_code": [
        from_codes(lambda c, n: c[0] + 0.05 * torch.randn(n, 2)),
        from_codes(lambda c, n: c[torch.randint(len(c), ())].expand(n, 2)),
    ],
    "no_width": [mixture(5, spread=0.01), mixture(5, spread=0.3)],
    "copies": [
        from_codes(some),
        from_codes(lambda c, n: c.repeat(2, 1)[:n]),
        from_codes(lambda c, n: c[torch.randperm(len(c))[:n]]),
    ],
    "first_codes": from_codes(lambda c, n: c[:n] + 0.05 * torch.randn_like(c[:n])),
    "modes_missing": from_codes(near_zero),
    "equal_shares": mixture(5, equal=True),
    "same_each_time": seeded_near,
    "runs_out": from_codes(each_once),
    "shape": from_codes(lambda c, n: c + 0.05 * torch.randn_like(c)),
    "writes_over_input": from_codes(
        lambda c, n: some(c.add_(0.05 * torch.randn_like(c)), n)
    ),
}

RIGHT = {
    "08.kl": [kl_formula, kl_library, kl_loop, kl_numpy, kl_quadrature],
    "08.reparameterise": [code_half, code_root, code_addcmul, code_library, code_rows],
    "08.elbo": [elbo_logits, elbo_sum, elbo_softplus, elbo_numpy, elbo_scaled],
    "08.noising": [noising_cumprod, noising_loop, noising_logs, noising_numpy],
    "08.denoise": [ddim_textbook, ddim_one_line, ddim_angles, ddim_numpy],
    "08.sampler": SAMPLER_RIGHT,
}
WRONG = {
    "08.kl": KL_WRONG,
    "08.reparameterise": CODES_WRONG,
    "08.elbo": ELBO_WRONG,
    "08.noising": NOISING_WRONG,
    "08.denoise": dict(ch08._STEPS)
    | {"own_noise": lambda x, e, t, s: ddim_textbook(x, torch.randn_like(e), t, s)},
    "08.sampler": SAMPLER_WRONG,
}
CASES = [
    (n, m, answer)
    for n in WRONG
    for m, found in WRONG[n].items()
    for answer in (found if isinstance(found, list) else [found])
]
CASES += [("08.reparameterise", m, answer) for m, answer in CODES_WRITTEN]
CASES += [  # kept[t - 1] is the last one at t = 0
    ("08.noising", "one_early", lambda x, b, t, e: noising_cumprod(x, b, t - 1, e))
]
CASES += [("08.elbo", m, answer) for m, answer in ELBO_WRITTEN]


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n in RIGHT for i in range(len(RIGHT[n]))]
)
def test_a_right_answer_passes_however_it_is_written(name, number):
    passes(name, RIGHT[name][number])


@pytest.mark.parametrize(("name", "mistake", "answer"), CASES)
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)


def test_every_hint_is_asked_for_by_a_wrong_answer():
    hints_are_asked_for(ch08, CASES)
    hints_are_asked_for(ch08_sampler, CASES)
