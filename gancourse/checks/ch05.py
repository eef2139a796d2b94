"""Checks of notebook 05: Inception score, Fréchet and kernel distance, the floor."""

import torch
from torch import Tensor

from gancourse.checks import ch05_sets
from gancourse.checks.compare import COMMON, each, expect, tensor
from gancourse.checks.probes import normal, stream
from gancourse.checks.verdict import Exercise, Hint, Mistake

# ------------------------------------------------------------------ 05.inception


def inception(answer) -> None:
    """answer(p): the Inception score of probabilities p (N, K)."""
    cases = [(normal(n, 5, scale=1.5).softmax(1),) for n in (7, 9, 12)]
    got = each(answer, cases)

    def over(score) -> Tensor:
        return torch.stack([score(p.double()) for (p,) in cases])

    wrong = {name: over(score) for name, score in _SCORES.items()}
    expect(got, over(_score), wrong, rtol=1e-3)
    sure = torch.eye(5)[torch.tensor([0, 0, 1, 2, 2, 2])]  # classes 3 and 4 never occur
    got = tensor(answer(torch.cat([sure, torch.tensor([[0.5, 0.5, 0, 0, 0]])])), ())
    if not got.isfinite():
        raise Mistake("zero_times_log")
    p = torch.cat([sure, torch.tensor([[0.5, 0.5, 0, 0, 0]])]).double()
    expect(got, _score(p.clamp_min(1e-12)), {}, rtol=1e-2)


def _kl(p: Tensor, q: Tensor) -> Tensor:
    return p * (p.log() - q.log())


def _score(p: Tensor) -> Tensor:
    return _kl(p, p.mean(0)).sum(1).mean().exp()


def _entropy(p: Tensor) -> Tensor:
    return -(p * p.log()).sum(-1)


_SCORES = {
    "mean_of_exp": lambda p: _kl(p, p.mean(0)).sum(1).exp().mean(),
    "reversed": lambda p: _kl(p.mean(0).expand_as(p), p).sum(1).mean().exp(),
    "no_exp": lambda p: _kl(p, p.mean(0)).sum(1).mean(),
    "inverse": lambda p: (-_kl(p, p.mean(0)).sum(1).mean()).exp(),
    "variety_only": lambda p: _entropy(p.mean(0)).exp(),
    "sureness_only": lambda p: (-_entropy(p).mean()).exp(),
    "uniform_marginal": lambda p: _kl(p, torch.full_like(p, 1 / 5)).sum(1).mean().exp(),
    "mean_over_classes": lambda p: _kl(p, p.mean(0)).mean().exp(),
    "softmax_again": lambda p: _score(p.softmax(1)),
    "in_bits": lambda p: (
        _kl(p, p.mean(0)).sum(1).mean() / torch.tensor(2).log()
    ).exp(),
}

_INCEPTION = {
    "mean_of_exp": Hint(
        "Your score is too large.",
        "You take the exponential of each image's divergence, and then the mean.",
        "First the mean over images, then exp, once.",
    ),
    "reversed": Hint(
        "Your score is far too large for sure judges.",
        "The divergence is taken the wrong way round: KL(p(y) ‖ p(y|x)).",
        "Weight the logarithms with p(y|x): p · (log p − log mean).",
    ),
    "no_exp": Hint(
        "Your score is below 1, or lies between 0 and log K.",
        "This is the mean divergence; the score is its exponential.",
        "exp at the end: then it lies between 1 and the number of classes.",
    ),
    "inverse": Hint(
        "Your score is below 1.",
        "There is a minus in the exponent.",
        "exp of + the mean divergence; log p(y|x) − log p(y), in this order.",
    ),
    "variety_only": Hint(
        "Images that the judge cannot read at all get the best score.",
        "You measure only how evenly the classes occur.",
        "Log score = entropy of the mean − mean entropy. The second part is missing.",
    ),
    "sureness_only": Hint(
        "A generator that makes one single clear digit gets the best score.",
        "You measure only how sure the judge is.",
        "Log score = entropy of the mean − mean entropy. The first part is missing.",
    ),
    "uniform_marginal": Hint(
        "A generator that makes one single clear digit gets the best score.",
        "You compare with equal shares, 1/K: p.mean(1) is that too, whatever p.",
        "p(y) is the mean of p(y|x) over the generator's own images: p.mean(0).",
    ),
    "mean_over_classes": Hint(
        "Your score hardly leaves 1.",
        "A divergence is a sum over classes; you take the mean.",
        "sum(1) over classes, then the mean over images.",
    ),
    "softmax_again": Hint(
        "Your score hardly leaves 1.",
        "p holds probabilities already; a second softmax flattens them.",
        "Use p as it is.",
    ),
    "in_bits": Hint(
        "Your score is too large.",
        "log2 with exp: the two do not belong together.",
        "Natural logarithm with exp, or log2 with 2 ** ….",
    ),
    "zero_times_log": Hint(
        "With a probability of exactly 0 your score is not a number.",
        "0 · log 0 is nan on a computer. The limit is 0.",
        "clamp_min(1e-12) before the logarithm, or torch.special.xlogy.",
    ),
}

# ------------------------------------------------------------------ 05.frechet


def frechet(answer) -> None:
    """answer(mean1, cov1, mean2, cov2): squared Fréchet distance of two Gaussians."""
    cases = [(normal(4), _covariance(), normal(4), _covariance()) for _ in range(3)]
    got = each(answer, cases)

    def over(distance) -> Tensor:
        return torch.stack([distance(*(x.double() for x in case)) for case in cases])

    wrong = {name: [over(distance)] for name, distance in _DISTANCES.items()}
    for name, distance in _HALF_REPAIRED:
        wrong[name].append(over(distance))
    expect(got, over(_frechet), wrong, rtol=1e-3)


def _covariance() -> Tensor:
    """Positive entries, so that the mistakes with elementwise roots give numbers."""
    rows = torch.rand(6, 4, generator=stream()) + 0.5 * normal(6, 4).abs()
    return rows.T @ rows / 6 + 0.2 * torch.eye(4)


def _sqrtm(c: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(c)
    return vectors * values.sqrt() @ vectors.T


def _cross(c1: Tensor, c2: Tensor) -> Tensor:
    """Trace of the root of the product."""
    return torch.linalg.eigvals(c1 @ c2).sqrt().real.sum()


def _frechet(m1: Tensor, c1: Tensor, m2: Tensor, c2: Tensor) -> Tensor:
    return (m1 - m2).square().sum() + (c1 + c2).trace() - 2 * _cross(c1, c2)


def _with(cross=_cross, factor: float = 2.0, shift=lambda d: d.square().sum()):
    """The distance with another cross term or another treatment of the means."""
    return lambda m1, c1, m2, c2: (
        shift(m1 - m2) + (c1 + c2).trace() - factor * cross(c1, c2)
    )


def _root_of_product(c1: Tensor, c2: Tensor) -> Tensor:
    values, vectors = torch.linalg.eig(c1 @ c2)
    return (vectors * values.sqrt() @ torch.linalg.inv(vectors)).real


_DISTANCES = {
    "elementwise_root": _with(lambda a, b: (a @ b).diagonal().sqrt().sum()),
    "elementwise_product": _with(lambda a, b: (a * b).diagonal().sqrt().sum()),
    "roots_multiplied": _with(lambda a, b: (_sqrtm(a) @ _sqrtm(b)).trace()),
    "no_root": _with(lambda a, b: (a @ b).trace()),
    "trace_then_root": _with(lambda a, b: (a @ b).trace().sqrt()),
    "no_factor": _with(factor=1.0),
    "sign": _with(factor=-2.0),
    "means_ignored": _with(shift=lambda d: 0.0),
    "mean_not_squared": _with(shift=torch.linalg.vector_norm),
    "mean_of_squares": _with(shift=lambda d: d.square().mean()),
    "means_only": lambda m1, c1, m2, c2: (m1 - m2).square().sum(),
    "root_of_all": lambda *case: _frechet(*case).sqrt(),
    "entries_summed": lambda m1, c1, m2, c2: (
        (m1 - m2).square().sum() + (c1 + c2 - 2 * _root_of_product(c1, c2)).sum()
    ),
}


def _half_repaired() -> list[tuple]:
    """The program of the exercise with some faults left, and how each is named."""
    crosses = {
        "elementwise_product": lambda a, b: (a * b).diagonal().sqrt().sum(),
        "elementwise_root": lambda a, b: (a @ b).diagonal().sqrt().sum(),
        "no_factor": _cross,
    }
    square = lambda d: d.square().sum()  # noqa: E731
    return [
        (name, _with(cross, factor, shift))
        for name, cross in crosses.items()
        for factor in (1.0, 2.0)
        for shift in (torch.linalg.vector_norm, square)
        if (name, factor) != ("no_factor", 2.0)
    ]


_HALF_REPAIRED = _half_repaired()

_FRECHET = {
    "elementwise_root": Hint(
        "Two equal Gaussians do not have the distance 0.",
        "torch.sqrt takes the root of each entry. Asked for is the root of a matrix.",
        "The trace of the root is the sum of the roots of the eigenvalues of C₁C₂.",
    ),
    "elementwise_product": Hint(
        "Your distance does not see how features go together.",
        "Only the variances enter: either C₁ * C₂ multiplied entry by entry, or the "
        "diagonals alone.",
        "C₁ @ C₂, then the sum of the roots of its eigenvalues.",
    ),
    "roots_multiplied": Hint(
        "Right where C₁ and C₂ commute; elsewhere too large.",
        "The root of a product is not the product of the roots.",
        "Take the eigenvalues of C₁ @ C₂, and add their roots.",
    ),
    "no_root": Hint(
        "Two equal Gaussians do not have the distance 0.",
        "The root is missing: units do not fit either, tr(C₁C₂) is of fourth order.",
        "The sum of the roots of the eigenvalues of C₁ @ C₂.",
    ),
    "trace_then_root": Hint(
        "Two equal Gaussians do not have the distance 0.",
        "You take the root of the trace. Asked for is the trace of the root.",
        "First the roots of the eigenvalues, then their sum.",
    ),
    "no_factor": Hint(
        "Two equal Gaussians do not have the distance 0.",
        "The root enters twice.",
        "tr(C₁) + tr(C₂) − 2 tr((C₁C₂)^½).",
    ),
    "sign": Hint(
        "Two equal Gaussians do not have the distance 0.",
        "The root is subtracted.",
        "tr(C₁) + tr(C₂) − 2 tr((C₁C₂)^½).",
    ),
    "means_ignored": Hint(
        "A shift of all features does not change your distance.",
        "The means do not enter.",
        "Add ‖μ₁ − μ₂‖².",
    ),
    "mean_not_squared": Hint(
        "Your distance is right only when the means are 0 or 1 apart.",
        "The length of μ₁ − μ₂ is not squared.",
        "(μ₁ − μ₂).square().sum().",
    ),
    "mean_of_squares": Hint(
        "In your version a shift counts less the more features there are.",
        "You take the mean of the squares, not their sum.",
        "(μ₁ − μ₂).square().sum().",
    ),
    "means_only": Hint(
        "In your version two laws with equal means have the distance 0.",
        "The covariances do not enter.",
        "Add tr(C₁ + C₂ − 2 (C₁C₂)^½).",
    ),
    "root_of_all": Hint(
        "Your number is the root of the right one.",
        "FID is the *squared* distance.",
        "Leave out the last root.",
    ),
    "entries_summed": Hint(
        "Two Gaussians that differ in one variance only come out wrong.",
        "You add up all entries of the matrix.",
        "The trace adds up the diagonal.",
    ),
}

# ------------------------------------------------------------------ 05.floor


def floor(answer) -> None:
    """answer(n): expected Fréchet distance of n samples of N(0, 1) from N(0, 1)."""
    sizes = torch.tensor([60.0, 400.0])
    got = each(answer, [(60,), (400,)])
    wrong = {
        "no_floor": torch.zeros(2),
        "means_only": 1 / sizes,
        "spread_only": 1 / (2 * sizes),
        "variance_for_spread": 3 / sizes,
        "root": (1.5 / sizes).sqrt(),
        "not_squared": 1.5 / sizes.sqrt(),
        "both_alike": 2 / sizes,
    }
    expect(got, 1.5 / sizes, wrong, rtol=0.12)


_FLOOR = {
    "no_floor": Hint(
        "0 is the distance of the laws. Asked for is that of n samples.",
        "Sample mean and deviation miss by a little, and the misses are squared.",
        "E(mean)² + E(deviation − 1)²: neither is 0.",
    ),
    "means_only": Hint(
        "Your floor is a third too low.",
        "The mean misses by 1/n on average, squared. The deviation misses as well.",
        "Add E(s − 1)², about 1/(2n).",
    ),
    "spread_only": Hint(
        "Your floor is far too low.",
        "You have what the deviation misses by. The mean misses as well.",
        "Add E(mean)² = 1/n.",
    ),
    "variance_for_spread": Hint(
        "Your floor is twice as high as it should be.",
        "Either both laws are sampled, or s² − 1 stands for s − 1.",
        "One law is exact; and in one dimension tr(C₁ + C₂ − 2 (C₁C₂)^½) = (s − 1)².",
    ),
    "both_alike": Hint(
        "Your floor is a third too high.",
        "The deviation does not miss by as much as the mean does.",
        "The variance of s is about 1/(2n): simulate it.",
    ),
    "root": Hint(
        "Your floor falls too slowly with n.",
        "You give the distance; the Fréchet distance is reported squared.",
        "Average the squares.",
    ),
    "not_squared": Hint(
        "Your floor falls too slowly with n.",
        "Misses are of size 1/√n, and they enter squared.",
        "Halve the floor: how many samples more do you need? Twice as many.",
    ),
}

# ------------------------------------------------------------------ 05.kernel


def kernel(answer) -> None:
    """answer(a, b): unbiased squared MMD with the kernel (x·y / d + 1)³."""
    # The first clearly above 0: else a clamped estimate might be 0 throughout.
    cases = [(normal(6, 3), normal(9, 3) + 1.5), (normal(8, 3), 1.3 * normal(5, 3))]
    while _mmd(*cases[0]) < 0.1:
        cases[0] = normal(6, 3), normal(9, 3) + 1.5
    while len(cases) < 3:  # equal laws, where the estimate falls below 0 by chance
        pair = normal(6, 3), normal(7, 3)
        cases += [pair] if _mmd(*pair) < -0.1 else []
    got = each(answer, cases)

    def over(estimate) -> Tensor:
        return torch.stack([estimate(a.double(), b.double()) for a, b in cases])

    wrong = {name: over(estimate) for name, estimate in _ESTIMATES.items()}
    right = over(_mmd)
    wrong["root"] = [right.sqrt(), right.abs().sqrt(), right.clamp_min(0).sqrt()]
    wrong["clamped"] = right.clamp_min(0)
    wrong["absolute"] = right.abs()
    if got[2].isnan():
        raise Mistake("root")
    expect(got, right, wrong, rtol=1e-3, atol=2e-4)


def _cubic(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _within(k: Tensor) -> Tensor:
    return (k.sum() - k.trace()) / (len(k) * (len(k) - 1))


def _mmd(a: Tensor, b: Tensor, k=_cubic, within=_within, factor: float = 2) -> Tensor:
    return within(k(a, a)) + within(k(b, b)) - factor * k(a, b).mean()


_ESTIMATES = {
    "biased": lambda a, b: _mmd(a, b, within=torch.mean),
    "count_not_reduced": lambda a, b: _mmd(
        a, b, within=lambda k: (k.sum() - k.trace()) / len(k) ** 2
    ),
    "diagonal_kept": lambda a, b: _mmd(
        a, b, within=lambda k: k.sum() / (len(k) * (len(k) - 1))
    ),
    "one_count": lambda a, b: (
        _within(_cubic(a, a))
        + (_cubic(b, b).sum() - _cubic(b, b).trace()) / (len(a) * (len(a) - 1))
        - 2 * _cubic(a, b).mean()
    ),
    "cross_once": lambda a, b: _mmd(a, b, factor=1),
    "cross_added": lambda a, b: _mmd(a, b, factor=-2),
    "cross_count": lambda a, b: _mmd(a, b, factor=2 * len(b) / (len(b) - 1)),
    "no_dimension": lambda a, b: _mmd(a, b, k=lambda x, y: (x @ y.T + 1) ** 3),
    "no_one": lambda a, b: _mmd(a, b, k=lambda x, y: (x @ y.T / 3) ** 3),
    "other_power": lambda a, b: _mmd(a, b, k=lambda x, y: (x @ y.T / 3 + 1) ** 2),
    "cut_to_the_shorter": lambda a, b: _mmd(a[: len(b)], b[: len(a)]),
}

_KERNEL = {
    "biased": Hint(
        "For equal laws your distance is above 0, and falls as samples are added.",
        "You keep the pairs of a point with itself.",
        "Within a set leave out the diagonal, and divide by N(N − 1).",
    ),
    "count_not_reduced": Hint(
        "For equal laws your distance is below 0 on average.",
        "The diagonal is left out, but you still divide by N².",
        "N(N − 1) pairs are left.",
    ),
    "diagonal_kept": Hint(
        "For equal laws your distance is far above 0.",
        "You divide by N(N − 1), but a point's pair with itself is still in the sum.",
        "Subtract the trace first.",
    ),
    "one_count": Hint(
        "Right where both sets have one size, wrong elsewhere.",
        "The second set is divided by the number of pairs in the first.",
        "N(N − 1) for the one, M(M − 1) for the other.",
    ),
    "cross_once": Hint(
        "For equal laws your distance is far above 0.",
        "(a − b)² = a² + b² − 2ab: the mixed pairs count twice.",
        "Subtract 2 times the mean of k(a, b).",
    ),
    "cross_added": Hint(
        "For equal laws your distance is far above 0.",
        "The mixed pairs are added.",
        "Subtract 2 times the mean of k(a, b).",
    ),
    "cross_count": Hint(
        "For equal laws your distance is below 0 on average.",
        "Between the sets there is no pair of a point with itself to leave out.",
        "The mixed part is a plain mean over N · M pairs.",
    ),
    "no_dimension": Hint(
        "Your kernel is too large.",
        "The scalar product is not divided by the number of features.",
        "x·y / d, where d is the second dimension.",
    ),
    "no_one": Hint(
        "A shift of the mean hardly changes your distance.",
        "The 1 is missing: without it the kernel has no linear and no quadratic part.",
        "(x·y / d + 1)³.",
    ),
    "other_power": Hint(
        "Your distance does not see skewness.",
        "The kernel's power is 3.",
        "(x·y / d + 1)³.",
    ),
    "cut_to_the_shorter": Hint(
        "Some samples do not change your distance.",
        "You cut the larger set to the size of the smaller one.",
        "The three parts may have different sizes; nothing needs to be cut.",
    ),
    "root": Hint(
        "Your number is the root of the right one, and nan where that is negative.",
        "KID is the squared distance, and its estimate may fall below 0.",
        "Leave out the root.",
    ),
    "clamped": Hint(
        "Your distance is never negative; so its mean over draws is too large.",
        "An estimate without bias must be allowed to fall below 0.",
        "Leave out max(0, …).",
    ),
    "absolute": Hint(
        "Your distance is never negative; so its mean over draws is too large.",
        "An estimate without bias must be allowed to fall below 0.",
        "Leave out the absolute value.",
    ),
}

EXERCISES = [
    Exercise("05.inception", inception, COMMON | _INCEPTION),
    Exercise("05.frechet", frechet, COMMON | _FRECHET),
    Exercise("05.floor", floor, COMMON | _FLOOR, seconds=10),
    Exercise("05.kernel", kernel, COMMON | _KERNEL),
    *ch05_sets.EXERCISES,
]
