"""Checks of notebook 07: cut latents, a direction among them, and an interval."""

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gancourse.checks.compare import COMMON, each, expect, tensor, unchanged
from gancourse.checks.probes import normal, stream, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake

# --------------------------------------------------------------- 07.truncation

_ROWS, _COLUMNS = 15_000, 4
_NEAR = 3 / math.sqrt(_ROWS * _COLUMNS)  # a right answer is farther with chance 3e-8


def truncation(answer) -> None:
    """answer(n, d, tau): N(0, 1) cut at ±tau in every coordinate, (n, d)."""
    drawn = {}
    for tau in (0.8, 2.0):
        found = tensor(answer(_ROWS, _COLUMNS, tau))
        if _ROWS < found.numel() < _ROWS * _COLUMNS:
            raise Mistake("thrown_away", f"It gives {found.numel():,} numbers.")
        drawn[tau] = tensor(found, (_ROWS, _COLUMNS)).flatten().sort().values
        _shows_by_itself(drawn[tau], tau)
    if not all(_follows_the_cut_law(x, tau) for tau, x in drawn.items()):
        _which_law(drawn)
    first, second = (tensor(answer(5, _COLUMNS, tau), (5, _COLUMNS)) for _ in "ab")
    if torch.equal(first, second):
        raise Mistake("same_each_time")


def _shows_by_itself(x: Tensor, tau: float) -> None:
    """Mistakes that no law is needed for; x sorted."""
    if not x.isfinite().all():
        raise Mistake("not_finite")
    if (x.abs() - tau).abs().lt(1e-5).double().mean() > 0.02:
        raise Mistake("clipped")
    if (x == 0).double().mean() > 0.02:
        raise Mistake("zeroed")
    if len(x.unique()) < 0.9 * len(x):
        raise Mistake("repeated")


def _inside(x: Tensor, tau: float) -> bool:
    return bool((x.abs() <= tau * (1 + 1e-6)).all())


def _follows_the_cut_law(x: Tensor, tau: float) -> bool:
    law = (torch.erf(x / math.sqrt(2)) / math.erf(tau / math.sqrt(2)) + 1) / 2
    return _inside(x, tau) and _apart(law) < _NEAR


def _which_law(drawn: dict[float, Tensor]) -> None:
    """Raise the mistake whose law these numbers have, at every cut; they have one."""
    found = {}
    for name, cut in _CUTS.items():
        found[name] = 0.0
        for tau, x in drawn.items():
            z = torch.randn(60_000, _COLUMNS, generator=stream()).double()
            other = cut(z, tau).flatten().sort().values
            distance = _apart(torch.searchsorted(other, x) / len(other))
            found[name] = max(found[name], distance)
    nearest = min(found, key=found.get)
    if found[nearest] < 1.5 * _NEAR:
        raise Mistake(nearest.partition("/")[0])
    if not all(_inside(x, tau) for tau, x in drawn.items()):
        raise Mistake("beyond")
    raise Mistake("other_value", "All is inside, but not with the right distribution.")


def _apart(law: Tensor) -> float:
    """Kolmogorov's distance of sorted numbers from a law, given as its values there."""
    steps = torch.arange(1, len(law) + 1) / len(law)
    below = steps - 1 / len(law)
    return max((steps - law).abs().max().item(), (below - law).abs().max().item())


def _redrawn_once(z: Tensor, tau: float) -> Tensor:
    again = torch.randn(z.shape, generator=stream()).double()
    return torch.where(z.abs() > tau, again, z)


_CUTS = {
    "not_cut": lambda z, tau: z,
    "scaled": lambda z, tau: tau * z,
    "redrawn_once": _redrawn_once,
    "squashed": lambda z, tau: tau * z.tanh(),
    "squashed/inside": lambda z, tau: tau * (z / tau).tanh(),
    "uniform": lambda z, tau: tau * torch.erf(z / math.sqrt(2)),
    "folded_in": torch.fmod,
    "folded_in/around": lambda z, tau: torch.remainder(z + tau, 2 * tau) - tau,
    "one_side_only": lambda z, tau: z[z <= tau],
    "one_side_only/below": lambda z, tau: z[z >= -tau],
    "positive": lambda z, tau: z[z.abs() <= tau].abs(),
    "whole_rows": lambda z, tau: z[z.norm(dim=1) <= tau],
    "whole_rows/scaled": lambda z, tau: tau * z / z.norm(dim=1, keepdim=True),
    "whole_rows/at_most": lambda z, tau: (
        z * (tau / z.norm(dim=1, keepdim=True)).clamp_max(1)
    ),
}

_TRUNCATION = {
    "clipped": Hint(
        "Many of your numbers are exactly ±tau.",
        "You clip: what lay outside piles up at the edges, the *rarest* places inside.",
        "Draw anew what lies outside, until nothing does.",
    ),
    "zeroed": Hint(
        "Many of your numbers are exactly 0.",
        "What lay outside was replaced by 0.",
        "Draw anew what lies outside, until nothing does.",
    ),
    "repeated": Hint(
        "Many of your numbers occur several times.",
        "Coordinates or rows are copies of each other, not draws of their own.",
        "Each of the n · d numbers is drawn for itself.",
    ),
    "same_each_time": Hint(
        "Two calls give the same numbers.",
        "You seed a generator inside the function.",
        "Draw from the global stream; whoever calls decides about seeds.",
    ),
    "thrown_away": Hint(
        "You give fewer numbers than were asked for.",
        "Those outside are thrown away, and nothing comes in their place.",
        "Go on drawing until all n · d are inside.",
    ),
    "not_cut": Hint(
        "Some of your numbers lie outside of ±tau.",
        "Nothing is cut: this is N(0, 1).",
        "Draw anew what lies outside, until nothing does.",
    ),
    "scaled": Hint(
        "Some of your numbers lie outside of ±tau.",
        "You multiply by tau: that is N(0, tau²), which has no edge.",
        "Draw anew what lies outside, until nothing does.",
    ),
    "redrawn_once": Hint(
        "A few of your numbers lie outside of ±tau.",
        "The second draw can fall outside, too.",
        "Repeat *while* any number is outside.",
    ),
    "squashed": Hint(
        "All is inside, but too much of it near the edges, or too little.",
        "tanh bends the law; inside the cut it should keep the normal law's shape.",
        "Draw anew what lies outside, and leave alone what is inside.",
    ),
    "uniform": Hint(
        "Numbers near the edge are as frequent as numbers near 0.",
        "This is the uniform law: the bell's shape is gone.",
        "Uniform numbers need Φ's inverse; or draw normal ones anew while outside.",
    ),
    "folded_in": Hint(
        "All is inside, but the law is not the bell's.",
        "What lay outside was moved inside by its remainder.",
        "Draw anew: the new number must not depend on the one thrown away.",
    ),
    "one_side_only": Hint(
        "Your numbers end at one side only.",
        "You compare z with tau, not |z|.",
        "Use z.abs() > tau.",
    ),
    "positive": Hint(
        "You give no negative numbers.",
        "The absolute value serves to *decide*; it should not be returned.",
        "Keep z where |z| <= tau.",
    ),
    "whole_rows": Hint(
        "Your numbers are too small: rows of length tau at most.",
        "You cut the length of a row. The cut is meant for each coordinate.",
        "Compare every number with tau, not the norm.",
    ),
    "beyond": Hint(
        "Some of your numbers lie outside of ±tau.",
        "What you do to numbers outside does not always bring them inside.",
        "Draw anew *while* any number is outside.",
    ),
}

# --------------------------------------------------------------- 07.direction


def direction(answer) -> None:
    """answer(z, a, y): unit direction of the fit a ≈ w·z + b_y."""
    for n in (60, 90):
        y = torch.arange(n) % 3
        shift = normal(3, 4, scale=2.0)
        # Determinant 1: latents vary together, and float32 still solves the fit.
        mix = torch.eye(4) + 0.6 * normal(4, 4).tril(-1)
        z = normal(n, 4) @ mix + shift[y] + 1.0
        a = (
            1.5 * z @ _unit(normal(4))
            + torch.tensor([3.0, -8.0, 15.0])[y]
            + 0.5 * normal(n)
        )
        given = z, a, y
        found = tensor(answer(*given))
        unchanged(answer)
        if found.numel() in (5, 7):
            raise Mistake("intercept_returned", f"It gives {found.numel()} numbers.")
        got = tensor(found, (4,))
        exact = [t.double() for t in (z, a)] + [y]
        expect(got, _unit(_slopes(*exact)), _directions(*exact), rtol=2e-3, atol=5e-4)


def _unit(w: Tensor) -> Tensor:
    return w / w.norm()


def _fit(columns: Tensor, a: Tensor) -> Tensor:
    return torch.linalg.lstsq(columns, a[:, None]).solution[:, 0]


def _slopes(z: Tensor, a: Tensor, y: Tensor) -> Tensor:
    return _fit(torch.cat([z, one_hot(y, 3).double()], 1), a)[:4]


def _directions(z: Tensor, a: Tensor, y: Tensor) -> dict:
    """Directions gone wrong."""
    w, hot = _slopes(z, a, y), one_hot(y, 3).double()
    whole = _fit(torch.cat([z, hot], 1), a)
    one = torch.ones(len(z), 1).double()
    within_z, within_a = (t - hot @ _fit_all(hot, t) for t in (z, a[:, None]))
    together = (within_z * within_a).mean(0)
    zc, ac = z - z.mean(0), a - a.mean()
    high = a > a.median()
    return {
        "not_of_length_one": w,
        "other_length": [
            w / w.abs().sum(),
            w / w.abs().max(),
            w / w.sum(),
            w / (w @ w),
        ],
        "length_with_intercepts": (whole / whole.norm())[:4],
        "against": [-_unit(w), -w],
        "no_intercept": [_unit(_fit(z, a)), _fit(z, a)],
        "one_intercept": [
            _unit(_fit(torch.cat([z, one], 1), a)[:4]),
            _fit(torch.cat([z, one], 1), a)[:4],
        ],
        "class_as_number": [
            _unit(_fit(torch.cat([z, y[:, None].double(), *more], 1), a)[:4])
            for more in ([], [one])
        ],
        "covariance": [_unit(together), _unit(zc.T @ ac)],
        "one_at_a_time": [
            _unit(together / within_z.square().mean(0)),
            _unit((zc.T @ ac) / zc.square().sum(0)),
        ],
        "not_centred": _unit(z.T @ a),
        "difference_of_means": [
            _unit(z[high].mean(0) - z[~high].mean(0)),
            _unit(within_z[within_a[:, 0] > 0].mean(0)),
        ],
        "only_measure_centred": _unit(_fit(z, within_a[:, 0])),
    }


def _fit_all(columns: Tensor, targets: Tensor) -> Tensor:
    return torch.linalg.lstsq(columns, targets).solution


_DIRECTION = {
    "intercept_returned": Hint(
        "You give more numbers than there are latents.",
        "The intercepts are returned, too. They are no part of the direction.",
        "Keep the first d numbers of the solution, then make their length 1.",
    ),
    "not_of_length_one": Hint(
        "Your direction is right, its length is not 1.",
        "These are the slopes themselves.",
        "Divide by .norm().",
    ),
    "other_length": Hint(
        "Your direction is right, its length is not 1.",
        "You divide by a sum or by the largest number, not by the length.",
        "The length is the root of the sum of squares: .norm().",
    ),
    "length_with_intercepts": Hint(
        "Your direction is right, but too short.",
        "The length was taken with the intercepts in it.",
        "First cut off the intercepts, then divide by the norm.",
    ),
    "against": Hint(
        "The measure falls along your direction.",
        "The sign is turned round.",
        "w itself: a step along it raises the fit by |w|.",
    ),
    "no_intercept": Hint(
        "Your direction also explains the *mean* of the measure.",
        "The fit goes through the origin: there is no b_y.",
        "Add a column for each class to z: one_hot(y).",
    ),
    "one_intercept": Hint(
        "Your direction leads from one class towards another.",
        "One intercept serves all classes; the differences between them leak into w.",
        "Each class has its own: one_hot(y) beside z.",
    ),
    "class_as_number": Hint(
        "Your direction leads from one class towards another.",
        "The label is a column of numbers 0, 1, 2: that makes classes lie in a row.",
        "A name needs a column for each value: one_hot(y).",
    ),
    "covariance": Hint(
        "Your direction leans to where latents vary together.",
        "E[z a] is the slope only if z ~ N(0, I) (Stein), which is not so here.",
        "Solve the least-squares problem: torch.linalg.lstsq.",
    ),
    "one_at_a_time": Hint(
        "A latent that only goes along with another one gets the other's credit.",
        "Each latent is fitted alone.",
        "All latents in one fit: torch.linalg.lstsq with all columns.",
    ),
    "not_centred": Hint(
        "Your direction points to the mean of the latents.",
        "zᵀa without centring: the mean of a multiplies the mean of z.",
        "Solve the least-squares problem, with an intercept for each class.",
    ),
    "difference_of_means": Hint(
        "Your direction leans to where latents vary together.",
        "The difference of two groups' means is no slope: it knows no covariance of z.",
        "Solve the least-squares problem: torch.linalg.lstsq.",
    ),
    "only_measure_centred": Hint(
        "Your direction is bent towards the mean of the latents.",
        "The class means were taken out of a, but not out of z.",
        "Take them out of both, or fit them beside z: one_hot(y).",
    ),
}

# --------------------------------------------------------------- 07.interval

_COUNTS = [(7, 50), (0, 20), (20, 20), (196, 200), (1, 3)]


def interval(answer) -> None:
    """answer(k, n): Wilson's 95 % interval (low, high) for k of n."""
    k = int(uniform(1, low=3, high=30))
    cases = [*_COUNTS, (k, 40)]
    got = each(answer, cases, (2,))
    wrong = {
        name: [_intervals(rule, cases) for rule in rules]
        for name, rules in _WILSONS.items()
    }
    expect(got, _intervals(_wilson, cases), wrong, rtol=2e-4, atol=2e-5)


def _intervals(rule, cases: list) -> Tensor:
    return torch.tensor([rule(k, n) for k, n in cases]).double()


def _wilson(k: int, n: int, u: float = 1.96) -> tuple[float, float]:
    p = k / n
    middle, half = _pieces(p, n, u)
    return (middle - half) / (1 + u * u / n), (middle + half) / (1 + u * u / n)


def _pieces(p: float, n: int, u: float = 1.96) -> tuple[float, float]:
    """Middle and half width before the division."""
    return p + u * u / (2 * n), u * math.sqrt(p * (1 - p) / n + (u / (2 * n)) ** 2)


def _wald(k: int, n: int, u: float = 1.96) -> tuple[float, float]:
    p = k / n
    half = u * math.sqrt(p * (1 - p) / n)
    return p - half, p + half


def _around(middle, half, below=lambda n: 1 + 1.96**2 / n):
    """(middle − half, middle + half) / below, of functions of (p, n)."""
    return lambda k, n: tuple(
        (middle(k / n, n) + sign * half(k / n, n)) / below(n) for sign in (-1, 1)
    )


def _middle(p: float, n: int) -> float:
    return _pieces(p, n)[0]


def _half(p: float, n: int) -> float:
    return _pieces(p, n)[1]


def _plus_four(k: int, n: int) -> tuple[float, float]:
    """Agresti and Coull's."""
    return _wald(k + 1.96**2 / 2, n + 1.96**2)


_WILSONS = {
    "textbook": [_wald, lambda k, n: tuple(min(1, max(0, e)) for e in _wald(k, n))],
    "plus_four": [
        _plus_four,
        lambda k, n: tuple(min(1, max(0, e)) for e in _plus_four(k, n)),
        lambda k, n: _wald(k + 2, n + 4),
    ],
    "not_divided": [_around(_middle, _half, lambda n: 1)],
    "half_width_not_divided": [
        lambda k, n: tuple(
            _middle(k / n, n) / (1 + 1.96**2 / n) + sign * _half(k / n, n)
            for sign in (-1, 1)
        )
    ],
    "middle_not_moved": [
        _around(lambda p, n: p, _half),
        _around(lambda p, n: p * (1 + 1.96**2 / n), _half),
    ],
    "term_under_root_missing": [
        _around(_middle, lambda p, n: 1.96 * math.sqrt(p * (1 - p) / n))
    ],
    "root_forgotten": [
        _around(_middle, lambda p, n: 1.96 * (p * (1 - p) / n + (0.98 / n) ** 2))
    ],
    "root_of_each": [
        _around(_middle, lambda p, n: 1.96 * (math.sqrt(p * (1 - p) / n) + 0.98 / n))
    ],
    "u_forgotten": [
        _around(_middle, lambda p, n: _half(p, n) / 1.96),
        lambda k, n: _wilson(k, n, 1.0),
    ],
    "one_sided": [
        lambda k, n: _wilson(k, n, 1.645),
        lambda k, n: _wilson(k, n, 1.6448536),
    ],
    "other_level": [lambda k, n, u=u: _wilson(k, n, u) for u in (2.0, 2.576, 3.0)],
    "n_not_squared": [
        _around(
            _middle, lambda p, n: 1.96 * math.sqrt(p * (1 - p) / n + 1.96**2 / (4 * n))
        )
    ],
    "u_not_squared": [
        _around(
            lambda p, n: p + 1.96 / (2 * n),
            lambda p, n: 1.96 * math.sqrt(p * (1 - p) / n + 1.96 / (4 * n * n)),
            lambda n: 1 + 1.96 / n,
        )
    ],
    "middle_and_half": [
        lambda k, n: (_middle(k / n, n), _half(k / n, n)),
        lambda k, n: tuple(e / (1 + 1.96**2 / n) for e in _pieces(k / n, n)),
    ],
    "counts": [lambda k, n: tuple(n * e for e in _wilson(k, n))],
    "per_cent": [lambda k, n: tuple(100 * e for e in _wilson(k, n))],
    "exchanged": [lambda k, n: _wilson(k, n)[::-1]],
}

_INTERVAL = {
    "textbook": Hint(
        "For 0 of 20 your interval is a single point, as if 20 draws proved a 0.",
        "p̂ ± u √(p̂(1 − p̂)/n) takes the spread at p̂, not at the shares in question.",
        "Wilson's formula has u²/2n in the middle and u²/4n² under the root.",
    ),
    "plus_four": Hint(
        "For 0 of 20 your interval begins below 0, or had to be cut there.",
        "That is Agresti and Coull's, with Wilson's middle and a wider half.",
        "Under the root: p̂(1 − p̂)/n + u²/4n².",
    ),
    "not_divided": Hint(
        "For 20 of 20 your interval ends above 1.",
        "The denominator 1 + u²/n is missing.",
        "Divide both ends by it.",
    ),
    "half_width_not_divided": Hint(
        "For 20 of 20 your interval ends above 1.",
        "Only the middle is divided by 1 + u²/n.",
        "The half width stands over the same denominator: brackets.",
    ),
    "middle_not_moved": Hint(
        "For 0 of 20 your interval begins below 0.",
        "It is centred on p̂. Wilson's middle is drawn towards 1/2.",
        "The middle is p̂ + u²/2n (over 1 + u²/n).",
    ),
    "term_under_root_missing": Hint(
        "For 0 of 20 your interval is a single point, and not even 0.",
        "Under the root u²/4n² is missing.",
        "√(p̂(1 − p̂)/n + u²/4n²).",
    ),
    "root_forgotten": Hint(
        "Your interval is much too narrow.",
        "That is the variance; a half width needs its root.",
        "u · √(…).",
    ),
    "root_of_each": Hint(
        "Your interval is a little too wide, except for 0 and for all.",
        "The root of a sum is not the sum of the roots.",
        "Both terms under one root.",
    ),
    "u_forgotten": Hint(
        "Your interval holds two thirds of the cases instead of 95 %.",
        "u is 1, or does not multiply the root.",
        "u = 1.96, also in front of the root.",
    ),
    "one_sided": Hint(
        "Your interval is too narrow: 90 %.",
        "1.645 leaves 5 % on *each* side.",
        "Two sides with 2.5 % each: u = 1.96.",
    ),
    "other_level": Hint(
        "Your interval is a little too wide.",
        "Your u belongs to another level: 2 to 95.4 %, 2.576 to 99 %, 3 to 99.7 %.",
        "95 %: u = 1.96.",
    ),
    "n_not_squared": Hint(
        "Your interval does not shrink to Wilson's for large n.",
        "The second term under the root is u²/4n², with n squared.",
        "(u / 2n)².",
    ),
    "u_not_squared": Hint(
        "Your interval is a little off, mostly for small n.",
        "u stands where u² should, in the added terms.",
        "u²/2n, u²/4n² and 1 + u²/n.",
    ),
    "middle_and_half": Hint(
        "You return the middle and the half width.",
        "Asked for are the two ends.",
        "(middle − half, middle + half).",
    ),
    "counts": Hint(
        "Your interval is one of counts.",
        "It was multiplied by n.",
        "A share lies between 0 and 1.",
    ),
    "per_cent": Hint(
        "Your interval is in per cent.",
        "It was multiplied by 100.",
        "A share lies between 0 and 1.",
    ),
    "exchanged": Hint(
        "Your interval ends before it begins.",
        "The two ends are exchanged.",
        "(low, high).",
    ),
}

EXERCISES = [
    Exercise("07.truncation", truncation, COMMON | _TRUNCATION, seconds=10),
    Exercise("07.direction", direction, COMMON | _DIRECTION),
    Exercise("07.interval", interval, COMMON | _INTERVAL),
]
