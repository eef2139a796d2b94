"""Exercises of notebook 05: right answers in many forms pass, each mistake is named."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from table import hints_are_asked_for, passes, recognised

from gancourse.checks import ch05, ch05_sets

# ruff: noqa: E731

# ------------------------------------------------------------------ 05.inception


def score_kl_div(p):
    p = p.double().clamp_min(1e-12)
    marginal = p.mean(dim=0, keepdim=True)
    kl = F.kl_div(marginal.log().expand_as(p), p, reduction="none").sum(1)
    return math.exp(kl.mean())


def score_entropies(p):
    entropy = lambda q: -torch.special.xlogy(q, q).sum(-1)
    return torch.exp(entropy(p.mean(0)) - entropy(p).mean())


def score_loop(p):
    rows = p.tolist()
    shares = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
    total = 0.0
    for row in rows:
        for q, share in zip(row, shares, strict=True):
            if q > 0:
                total += q * math.log(q / share)
    return np.exp(total / len(rows))


def score_two(p):
    p = np.asarray(p, dtype=np.float64) + 1e-9
    bits = (p * np.log2(p / p.mean(0))).sum(axis=1).mean()
    return 2**bits


def kl(p, q):
    return p * (p.log() - q.log())


SCORES_WRONG = {
    "mean_of_exp": lambda p: kl(p, p.mean(0)).sum(1).exp().mean(),
    "reversed": lambda p: kl(p.mean(0), p).sum(1).mean().exp(),
    "no_exp": lambda p: kl(p, p.mean(0)).sum(1).mean(),
    "inverse": lambda p: (p * (p.mean(0) / p).log()).sum(1).mean().exp(),
    "variety_only": lambda p: (
        torch.distributions.Categorical(p.mean(0)).entropy().exp()
    ),
    "sureness_only": lambda p: (p * p.log()).sum(1).mean().exp(),
    "uniform_marginal": lambda p: (p * (p * p.shape[1]).log()).sum(1).mean().exp(),
    "mean_over_classes": lambda p: kl(p, p.mean(0)).mean().exp(),
    "softmax_again": lambda p: score_entropies(F.softmax(p, dim=1)),
    "in_bits": lambda p: (p * (p.log2() - p.mean(0).log2())).sum(1).mean().exp(),
    "zero_times_log": lambda p: (p * (p / p.mean(0)).log()).sum(1).mean().exp(),
    "shape": lambda p: kl(p, p.mean(0)).sum(1).exp(),
}

# ------------------------------------------------------------------ 05.frechet


def frechet_eigvals(mean1, cov1, mean2, cov2):
    roots = torch.linalg.eigvals(cov1 @ cov2).sqrt().real
    shift = ((mean1 - mean2) ** 2).sum()
    return shift + torch.trace(cov1) + torch.trace(cov2) - 2 * roots.sum()


def frechet_scipy(mean1, cov1, mean2, cov2):
    from scipy.linalg import sqrtm

    m1, c1, m2, c2 = (x.numpy() for x in (mean1, cov1, mean2, cov2))
    return np.dot(m1 - m2, m1 - m2) + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2))


def frechet_complex(mean1, cov1, mean2, cov2):
    """Never leaves the complex numbers that eigvals gives."""
    roots = torch.linalg.eigvals(cov1 @ cov2) ** 0.5
    return ((mean1 - mean2) ** 2).sum() + (cov1 + cov2).trace() - 2 * sum(roots)


def frechet_symmetric(mean1, cov1, mean2, cov2):
    values, vectors = torch.linalg.eigh(cov1.double())
    half = vectors @ torch.diag(values.sqrt()) @ vectors.mT
    inner = torch.linalg.eigvalsh(half @ cov2.double() @ half)
    total = torch.dist(mean1, mean2) ** 2 + cov1.trace() + cov2.trace()
    return [float(total) - 2 * inner.clamp_min(0).sqrt().sum().item()]


def frechet_nuclear(mean1, cov1, mean2, cov2):
    """The trace of the root is the sum of the singular values of a product."""
    product = torch.linalg.cholesky(cov1).T @ torch.linalg.cholesky(cov2)
    return (
        (mean1 - mean2).dot(mean1 - mean2)
        + torch.einsum("ii->", cov1 + cov2)
        - 2 * torch.linalg.matrix_norm(product, "nuc")
    )


def frechet_newton(mean1, cov1, mean2, cov2):
    """Denman and Beavers' iteration for the root of a matrix."""
    y, z = cov1.double() @ cov2.double(), torch.eye(4).double()
    for _ in range(40):
        y, z = (y + torch.linalg.inv(z)) / 2, (z + torch.linalg.inv(y)) / 2
    return (mean1 - mean2).pow(2).sum() + (cov1 + cov2 - 2 * y).trace()


def sqrtm(c):
    values, vectors = torch.linalg.eig(c)
    return (vectors @ torch.diag(values.sqrt()) @ torch.linalg.inv(vectors)).real


def traces(cross, factor=2.0):
    def distance(m1, c1, m2, c2):
        return (m1 - m2).pow(2).sum() + c1.trace() + c2.trace() - factor * cross(c1, c2)

    return distance


shifted = lambda shift: (
    lambda m1, c1, m2, c2: shift(m1 - m2) + (c1 + c2 - 2 * sqrtm(c1 @ c2)).trace()
)
FRECHET_WRONG = {
    "elementwise_root": traces(lambda a, b: torch.sqrt(a @ b).trace()),
    "elementwise_product": traces(lambda a, b: (a * b).sqrt().trace()),
    "roots_multiplied": traces(lambda a, b: (sqrtm(a) @ sqrtm(b)).trace()),
    "no_root": traces(lambda a, b: (a @ b).trace()),
    "trace_then_root": traces(lambda a, b: (a @ b).trace().sqrt()),
    "no_factor": traces(lambda a, b: sqrtm(a @ b).trace(), 1),
    "sign": traces(lambda a, b: sqrtm(a @ b).trace(), -2),
    "means_ignored": shifted(lambda d: 0),
    "mean_not_squared": shifted(lambda d: d.norm()),
    "mean_of_squares": shifted(lambda d: F.mse_loss(d, torch.zeros_like(d))),
    "means_only": lambda m1, c1, m2, c2: (m1 - m2).square().sum(),
    "root_of_all": lambda *case: frechet_eigvals(*case) ** 0.5,
    "entries_summed": lambda m1, c1, m2, c2: (
        (m1 - m2).pow(2).sum() + (c1 + c2 - 2 * sqrtm(c1 @ c2)).sum()
    ),
}


def frechet_as_found(mean1, cov1, mean2, cov2):
    """The program of the exercise, untouched; then with more and more repaired."""
    root = torch.sqrt(cov1 * cov2)
    return (mean1 - mean2).norm() + torch.trace(cov1 + cov2 - root)


def frechet_one_repaired(mean1, cov1, mean2, cov2):
    root = torch.sqrt(cov1 @ cov2)
    return (mean1 - mean2).norm() + torch.trace(cov1 + cov2 - root)


def frechet_two_repaired(mean1, cov1, mean2, cov2):
    return (mean1 - mean2).norm() + torch.trace(cov1 + cov2 - sqrtm(cov1 @ cov2))


def frechet_of_variances(mean1, cov1, mean2, cov2):
    """As if features did not go together at all."""
    std1, std2 = cov1.diagonal().sqrt(), cov2.diagonal().sqrt()
    return (mean1 - mean2).square().sum() + (std1 - std2).square().sum()


# ------------------------------------------------------------------ 05.floor


def floor_simulated(n):
    x = torch.randn(3000, n, generator=torch.Generator().manual_seed(1))
    return (x.mean(1) ** 2 + (x.std(1) - 1) ** 2).mean()


def floor_numpy(n):
    draws = np.random.default_rng(0).normal(size=(4000, n))
    return np.mean(draws.mean(1) ** 2 + (draws.std(1) - 1) ** 2)


FLOOR_WRONG = {
    "no_floor": lambda n: 0.0,
    "means_only": lambda n: 1 / n,
    "spread_only": lambda n: 0.5 / n,
    "variance_for_spread": lambda n: 1 / n + 2 / n,
    "both_alike": lambda n: 2 / n,
    "root": lambda n: math.sqrt(1.5 / n),
    "not_squared": lambda n: 1.5 / math.sqrt(n),
    "other_value": lambda n: 0.025,
}

# ------------------------------------------------------------------ 05.kernel


def kid_diagonal(a, b):
    k = lambda x, y: (x @ y.T / x.shape[1] + 1) ** 3
    n, m = len(a), len(b)
    aa, bb = k(a, a), k(b, b)
    return (
        (aa.sum() - aa.diag().sum()) / (n * (n - 1))
        + (bb.sum() - bb.diag().sum()) / (m * (m - 1))
        - 2 * k(a, b).mean()
    )


def kid_masks(a, b):
    def k(x, y):
        return torch.einsum("nd,md->nm", x, y).div(x.size(1)).add(1).pow(3)

    def others(x):
        return k(x, x)[~torch.eye(len(x), dtype=torch.bool)].mean()

    return others(a.double()) + others(b.double()) - k(a, b).sum() * 2 / k(a, b).numel()


def kid_loops(a, b):
    a, b = a.tolist(), b.tolist()
    k = lambda x, y: (sum(p * q for p, q in zip(x, y, strict=True)) / len(x) + 1) ** 3
    mean = lambda values: sum(values) / len(values)
    aa = [k(x, y) for i, x in enumerate(a) for j, y in enumerate(a) if i != j]
    bb = [k(x, y) for i, x in enumerate(b) for j, y in enumerate(b) if i < j]
    return mean(aa) + mean(bb) - 2 * mean([k(x, y) for x in a for y in b])


def kid_numpy(a, b):
    a, b = a.numpy(), b.numpy()
    both = np.concatenate([a, b])
    k = (both @ both.T / a.shape[1] + 1.0) ** 3
    np.fill_diagonal(k, 0)
    n, m = len(a), len(b)
    w = np.concatenate([np.full(n, 1 / n), np.full(m, -1 / m)])
    aa = k[:n, :n].sum() / n / (n - 1)
    bb = k[n:, n:].sum() / m / (m - 1)
    cross = w[:n] @ k[:n, n:] @ w[n:]
    return aa + bb + 2 * cross


def cubic(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def off(k):
    return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))


def kid(k=cubic, within=off, factor=2.0):
    return lambda a, b: within(k(a, a)) + within(k(b, b)) - factor * k(a, b).mean()


def kid_one_count(a, b):
    n = len(a)
    aa, bb = cubic(a, a), cubic(b, b)
    within = (aa.sum() - aa.trace() + bb.sum() - bb.trace()) / (n * (n - 1))
    return within - 2 * cubic(a, b).mean()


KERNEL_WRONG = {
    "biased": kid(within=lambda k: k.mean()),
    "count_not_reduced": kid(within=lambda k: (k.sum() - k.trace()) / k.numel()),
    "diagonal_kept": kid(within=lambda k: k.sum() / (len(k) * (len(k) - 1))),
    "one_count": kid_one_count,
    "cross_once": kid(factor=1),
    "cross_added": kid(factor=-2),
    "cross_count": lambda a, b: (
        off(cubic(a, a))
        + off(cubic(b, b))
        - 2 * cubic(a, b).sum() / (len(a) * (len(b) - 1))
    ),
    "no_dimension": kid(k=lambda x, y: (x @ y.T + 1) ** 3),
    "no_one": kid(k=lambda x, y: (x @ y.T / x.shape[1]) ** 3),
    "other_power": kid(k=lambda x, y: (x @ y.T / x.shape[1] + 1) ** 2),
    "cut_to_the_shorter": lambda a, b: kid()(
        a[: min(len(a), len(b))], b[: min(len(a), len(b))]
    ),
    "root": lambda a, b: kid()(a, b) ** 0.5,
    "clamped": lambda a, b: max(0, kid()(a, b).item()),
    "absolute": lambda a, b: abs(kid()(a, b)),
}

# ------------------------------------------------------------------ 05.precision_recall


def reach(x, k):
    return torch.cdist(x, x).kthvalue(k + 1, dim=1).values


def share(points, balls, k):
    return (torch.cdist(points, balls) <= reach(balls, k)).any(1).float().mean()


def prc_torch(fake, real, k):
    return share(fake, real, k), share(real, fake, k)


def prc_topk(fake, real, k):
    def part(x, y):
        distance = (y[:, None] - y[None]).pow(2).sum(-1)
        radius = distance.topk(k + 1, largest=False).values[:, -1]
        inside = (x[:, None] - y[None]).pow(2).sum(-1) <= radius
        return inside.max(dim=1).values.double().mean().item()

    return {"recall": part(real, fake), "precision": part(fake, real)}


def prc_loop(fake, real, k):
    def part(xs, ys):
        hits = 0
        for x in xs:
            for i, y in enumerate(ys):
                others = [math.dist(y, o) for j, o in enumerate(ys) if j != i]
                if math.dist(x, y) <= sorted(others)[k - 1]:
                    hits += 1
                    break
        return hits / len(xs)

    fake, real = fake.tolist(), real.tolist()
    return [part(fake, real), part(real, fake)]


def prc_numpy(fake, real, k):
    fake, real = fake.numpy(), real.numpy()
    d = lambda x, y: np.linalg.norm(x[:, None, :] - y[None, :, :], axis=2)
    cross = d(fake, real)
    precision = (cross < np.sort(d(real, real), axis=1)[:, k]).any(axis=1).mean()
    recall = (np.sort(d(fake, fake))[:, k] > cross.T).any(axis=1).mean()
    return np.array([precision, recall])


def both(part):
    return lambda fake, real, k: (part(fake, real, k), part(real, fake, k))


def part_nearest(x, y, k):
    d, i = torch.cdist(x, y).min(dim=1)
    return (d <= reach(y, k)[i]).float().mean()


def part_other(x, y, k):
    radius = torch.cdist(y, x).topk(k, largest=False).values[:, -1]
    return (torch.cdist(x, y) <= radius).any(1).float().mean()


def inside(x, y, k):
    return torch.cdist(x, y) <= reach(y, k)


def prc_one_table(fake, real, k):
    """Right, from one table of distances."""
    d = torch.cdist(fake, real)
    precision = (d <= reach(real, k)[None, :]).any(dim=1).float().mean()
    return precision, (d <= reach(fake, k)[:, None]).any(dim=0).float().mean()


def prc_recall_along_the_wrong_axis(fake, real, k):
    d = torch.cdist(fake, real)
    precision = (d <= reach(real, k)[None, :]).any(dim=1).float().mean()
    return precision, (d <= reach(fake, k)[:, None]).any(dim=1).float().mean()


def prc_precision_along_the_wrong_axis(fake, real, k):
    d = torch.cdist(fake, real)
    precision = (d <= reach(real, k)[None, :]).any(dim=0).float().mean()
    return precision, (d <= reach(fake, k)[:, None]).any(dim=0).float().mean()


PRECISION_WRONG = {
    "exchanged": lambda f, r, k: prc_torch(r, f, k),
    "counts_itself": lambda f, r, k: prc_torch(f, r, k - 1),
    "one_too_many": lambda f, r, k: prc_torch(f, r, k + 1),
    "nearest_only": both(part_nearest),
    "own_balls": both(
        lambda x, y, k: (
            (torch.cdist(x, y) <= reach(x, k)[:, None]).any(1).float().mean()
        )
    ),
    "reach_to_the_other": both(part_other),
    "all_pairs": both(lambda x, y, k: inside(x, y, k).float().mean()),
    "every_ball": both(lambda x, y, k: inside(x, y, k).all(1).float().mean()),
    "one_radius": both(
        lambda x, y, k: (torch.cdist(x, y) <= reach(y, k).mean()).any(1).float().mean()
    ),
    "recall_is_coverage": lambda f, r, k: (
        share(f, r, k),
        inside(f, r, k).any(0).float().mean(),
    ),
    "precision_twice": lambda f, r, k: (share(f, r, k), share(f, r, k)),
    "wrong_axis": both(lambda x, y, k: inside(x, y, k).any(0).float().mean()),
    "shape": lambda f, r, k: share(f, r, k),
}

# ------------------------------------------------------------------ 05.memorisation


def copies_torch(fake, train, held, new):
    def ratio(x):
        near, far = (torch.cdist(x, y).min(dim=1).values for y in (train, held))
        return near.median() / far.median()

    return ratio(fake) / ratio(new)


def copies_numpy(fake, train, held, new):
    fake, train, held, new = (x.double().numpy() for x in (fake, train, held, new))
    near = lambda x, y: np.median(np.sqrt(((x[:, None] - y) ** 2).sum(-1)).min(axis=1))
    return near(fake, train) * near(new, held) / near(fake, held) / near(new, train)


def copies_loop(fake, train, held, new):
    def median(xs, ys):
        d = sorted(min(math.dist(x, y) for y in ys.tolist()) for x in xs.tolist())
        return d[len(d) // 2]

    r = median(fake, train) / median(fake, held)
    return r / (median(new, train) / median(new, held))


def copies_expanded(fake, train, held, new):
    def near(x, y):
        squares = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
        return squares.clamp_min(0).amin(1).sqrt().quantile(0.5)

    return torch.exp(
        near(fake, train).log()
        - near(fake, held).log()
        - near(new, train).log()
        + near(new, held).log()
    )


def near(x, y):
    return torch.cdist(x, y).amin(1)


def measure(near=near, centre=torch.median):
    def copying(fake, train, held, new):
        mine = centre(near(fake, train)) / centre(near(fake, held))
        return mine / (centre(near(new, train)) / centre(near(new, held)))

    return copying


MEMORISATION_WRONG = {
    "not_calibrated": lambda f, t, h, n: near(f, t).median() / near(f, h).median(),
    "inverted": lambda f, t, h, n: copies_torch(f, h, t, n),
    "means": measure(centre=torch.mean),
    "smallest": measure(centre=torch.min),
    "squared": measure(near=lambda x, y: near(x, y) ** 2),
    "other_way": measure(near=lambda x, y: torch.cdist(x, y).amin(0)),
    "all_distances": measure(near=lambda x, y: torch.cdist(x, y).mean(1)),
    "farthest": measure(near=lambda x, y: torch.cdist(x, y).amax(1)),
    "ratios_first": lambda f, t, h, n: (
        (near(f, t) / near(f, h)).median() / (near(n, t) / near(n, h)).median()
    ),
    "multiplied": lambda f, t, h, n: (
        near(f, t).median()
        / near(f, h).median()
        * (near(n, t).median() / near(n, h).median())
    ),
    "held_forgotten": lambda f, t, h, n: near(f, t).median() / near(n, t).median(),
    "city_blocks": measure(near=lambda x, y: (x[:, None] - y).abs().sum(2).amin(1)),
}

RIGHT = {
    "05.inception": [score_kl_div, score_entropies, score_loop, score_two],
    "05.frechet": [
        frechet_eigvals,
        frechet_scipy,
        frechet_complex,
        lambda *case: frechet_complex(*case).item(),
        frechet_symmetric,
        frechet_nuclear,
        frechet_newton,
    ],
    "05.floor": [floor_simulated, floor_numpy, lambda n: 3 / (2 * n)],
    "05.kernel": [kid_diagonal, kid_masks, kid_loops, kid_numpy],
    "05.precision_recall": [
        prc_torch,
        prc_topk,
        prc_loop,
        prc_numpy,
        prc_one_table,
    ],
    "05.memorisation": [copies_torch, copies_numpy, copies_loop, copies_expanded],
}
WRONG = {
    "05.inception": SCORES_WRONG,
    "05.frechet": FRECHET_WRONG,
    "05.floor": FLOOR_WRONG,
    "05.kernel": KERNEL_WRONG,
    "05.precision_recall": PRECISION_WRONG,
    "05.memorisation": MEMORISATION_WRONG,
}
CASES = [(n, m, answer) for n in WRONG for m, answer in WRONG[n].items()]
# The mean over classes of probabilities is 1/K: equal shares again.
other_axis = lambda p: kl(p, p.mean(1)[:, None]).sum(1).mean().exp()
CASES += [
    ("05.inception", "uniform_marginal", other_axis),
    ("05.frechet", "elementwise_product", frechet_as_found),
    ("05.frechet", "elementwise_product", frechet_of_variances),
    ("05.frechet", "elementwise_root", frechet_one_repaired),
    ("05.frechet", "no_factor", frechet_two_repaired),
    ("05.precision_recall", "wrong_axis", prc_recall_along_the_wrong_axis),
    ("05.precision_recall", "wrong_axis", prc_precision_along_the_wrong_axis),
]


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n in RIGHT for i in range(len(RIGHT[n]))]
)
def test_a_right_answer_passes_however_it_is_written(name, number):
    passes(name, RIGHT[name][number])


@pytest.mark.parametrize(("name", "mistake", "answer"), CASES)
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)


def test_every_hint_is_asked_for_by_a_wrong_answer():
    hints_are_asked_for(ch05, CASES)


def test_the_measures_are_those_of_the_package():
    """What the judge calls right is what gancourse.evaluation computes."""
    from gancourse import evaluation

    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(40, 4, generator=rng), torch.randn(50, 4, generator=rng) + 0.3
    a, b = a.double(), b.double()
    mine = ch05._frechet(a.mean(0), a.T.cov(), b.mean(0), b.T.cov())
    assert evaluation.frechet(a, b) == pytest.approx(mine.item(), rel=1e-3)
    pair = ch05_sets._both(a, b, 3)
    assert evaluation.precision_recall(a, b) == pytest.approx([p.item() for p in pair])
    p = a.softmax(1)
    assert evaluation.inception_score(p) == pytest.approx(ch05._score(p).item())
    b = b[:40]
    scale = b.square().mean().sqrt()
    kid = evaluation.kernel_distance(a, b, subsets=1, size=40)
    assert kid == pytest.approx(ch05._mmd(a / scale, b / scale).item(), rel=1e-6)
    new, held = b[1::2], b[::2]
    fake = a + 0.5 * torch.randn(a.shape, generator=rng).double()
    median = ch05_sets._calibrated(centre=lambda x: x.quantile(0.5))
    copying = median(fake, a, held, new).item()
    assert 0.1 < copying < 1
    assert evaluation.memorisation(fake, a, b) == pytest.approx(copying, rel=1e-4)
