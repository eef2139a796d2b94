"""Checks of notebook 05, its nearest neighbours: precision, recall, copying."""

import torch
from torch import Tensor

from gancourse.checks.compare import COMMON, expect, tensor, unchanged
from gancourse.checks.probes import normal
from gancourse.checks.verdict import Exercise, Hint

# ------------------------------------------------------------------ 05.precision_recall


def precision_recall(answer) -> None:
    """answer(fake, real, k): shares of fakes in a real ball, of reals in a fake one."""
    cases = [_clear_case(k) for k in (1, 2, 3, 2, 3)]
    got = []
    for case in cases:
        got.append(tensor(_in_order(answer(*case)), (2,)))
        unchanged(answer)

    def over(rule) -> Tensor:
        rows = [rule(f.double(), r.double(), k) for f, r, k in cases]
        return torch.tensor([[float(v) for v in row] for row in rows])

    wrong = {name: over(rule) for name, rule in _RULES.items()}
    wrong["wrong_axis"] = [over(rule) for rule in _WRONG_AXIS]
    expect(torch.stack(got), over(_both), wrong, rtol=1e-4, atol=1e-4)


def _in_order(value: object) -> object:
    """A dictionary with the two names is as good as a pair."""
    if isinstance(value, dict) and {"precision", "recall"} <= set(value):
        return [value["precision"], value["recall"]]
    return value


def _clear_case(k: int) -> tuple[Tensor, Tensor, int]:
    """Sets in which no distance is so near to a reach that rounding could decide."""
    while True:
        fake, real = normal(12, 2, scale=0.7) + 0.6, normal(15, 2)
        d = torch.cdist(fake.double(), real.double())
        for one, other in ((real, d), (fake, d.T)):
            gap = (other - _reach(one.double(), k)).abs().min()
            if gap < 1e-4:
                break
        else:
            return fake, real, k


def _reach(x: Tensor, k: int) -> Tensor:
    """Distance (N,) to the k-th neighbour, a point itself being the 0th."""
    return torch.cdist(x, x).kthvalue(k + 1, dim=1).values


def _precision(fake: Tensor, real: Tensor, k: int) -> Tensor:
    return (torch.cdist(fake, real) <= _reach(real, k)).any(1).double().mean()


def _both(fake: Tensor, real: Tensor, k: int, one=_precision) -> tuple:
    return one(fake, real, k), one(real, fake, k)


def _nearest_only(fake: Tensor, real: Tensor, k: int) -> Tensor:
    distance, which = torch.cdist(fake, real).min(1)
    return (distance <= _reach(real, k)[which]).double().mean()


def _own_balls(fake: Tensor, real: Tensor, k: int) -> Tensor:
    inside = torch.cdist(fake, real) <= _reach(fake, k)[:, None]
    return inside.any(1).double().mean()


def _farthest_reach(fake: Tensor, real: Tensor, k: int) -> Tensor:
    radius = torch.cdist(real, fake).kthvalue(k, dim=1).values
    return (torch.cdist(fake, real) <= radius).any(1).double().mean()


def _one_radius(fake: Tensor, real: Tensor, k: int) -> Tensor:
    nearest = torch.cdist(fake, real).amin(1)
    return (nearest <= _reach(real, k).mean()).double().mean()


def _inside(fake: Tensor, real: Tensor, k: int) -> Tensor:
    return torch.cdist(fake, real) <= _reach(real, k)


def _full_balls(fake: Tensor, real: Tensor, k: int) -> Tensor:
    return _inside(fake, real, k).any(0).double().mean()


_RULES = {
    "exchanged": lambda f, r, k: _both(f, r, k)[::-1],
    "counts_itself": lambda f, r, k: _both(f, r, k - 1),
    "one_too_many": lambda f, r, k: _both(f, r, k + 1),
    "nearest_only": lambda f, r, k: _both(f, r, k, _nearest_only),
    "own_balls": lambda f, r, k: _both(f, r, k, _own_balls),
    "reach_to_the_other": lambda f, r, k: _both(f, r, k, _farthest_reach),
    "all_pairs": lambda f, r, k: _both(
        f, r, k, lambda *case: _inside(*case).double().mean()
    ),
    "every_ball": lambda f, r, k: _both(
        f, r, k, lambda *case: _inside(*case).all(1).double().mean()
    ),
    "one_radius": lambda f, r, k: _both(
        f, r, k, _one_radius
    ),
    "recall_is_coverage": lambda f, r, k: (
        _precision(f, r, k), _full_balls(f, r, k)
    ),
    "precision_twice": lambda f, r, k: (_precision(f, r, k), _precision(f, r, k)),
}  # fmt: skip

_WRONG_AXIS = (
    lambda f, r, k: _both(f, r, k, _full_balls),
    lambda f, r, k: (_precision(f, r, k), _full_balls(r, f, k)),
    lambda f, r, k: (_full_balls(f, r, k), _precision(r, f, k)),
)

_PRECISION = {
    "exchanged": Hint(
        "Your two numbers are exchanged.",
        "Precision is about fakes, recall about reals.",
        "Precision first: the share of *fakes* inside the ball of some real.",
    ),
    "counts_itself": Hint(
        "Your balls are too small; with k = 1 they are points.",
        "Sorted distances within a set begin with the distance 0 to the point itself.",
        "The k-th other one is number k + 1: kthvalue(k + 1), or sort()[..., k].",
    ),
    "one_too_many": Hint(
        "Your balls are too large.",
        "They reach to neighbour k + 1: itself was skipped twice.",
        "With itself at place 0 of the sorted distances, take place k.",
    ),
    "nearest_only": Hint(
        "Your numbers are too small.",
        "You ask only the nearest point. A farther one may have a larger ball.",
        "Compare with all balls: (distance <= reach).any(…).",
    ),
    "own_balls": Hint(
        "Your radii belong to the wrong set.",
        "You draw balls around the points that are to be judged.",
        "Precision: balls around reals, from distances among reals.",
    ),
    "reach_to_the_other": Hint(
        "Your balls grow when the other set moves away.",
        "The radius is measured to the other set.",
        "A real's radius is its distance to its k-th neighbour among reals.",
    ),
    "all_pairs": Hint(
        "Your numbers shrink as sets grow.",
        "You average over pairs. One ball around a point is enough.",
        "any over the balls, then the mean over the points.",
    ),
    "every_ball": Hint(
        "Your numbers are 0, or nearly.",
        "You ask a point to lie in every ball.",
        "any, not all.",
    ),
    "one_radius": Hint(
        "Your balls all have one size.",
        "You average the radii. The idea is that balls are small where data are dense.",
        "Compare each distance with the radius of its own ball.",
    ),
    "recall_is_coverage": Hint(
        "Precision is right; recall is another measure, coverage.",
        "You ask which real balls hold a fake.",
        "Recall asks which *reals* lie in a *fake's* ball: precision, sets exchanged.",
    ),
    "precision_twice": Hint(
        "Both of your numbers are the precision.",
        "The sets are not exchanged in the second.",
        "recall(fake, real) = precision(real, fake).",
    ),
    "wrong_axis": Hint(
        "Your shares are those of the balls, not of the points.",
        "any runs over the points: you ask whether a ball holds any point.",
        "Precision: any over the reals (dim 1), mean over the fakes.",
    ),
}

# ------------------------------------------------------------------ 05.memorisation


def memorisation(answer) -> None:
    """answer(fake, train, held, new): how much nearer to train than new data are."""
    cases = []
    for spread in (0.3, 0.6, 1.0):  # from near copies to new samples
        train = normal(20, 3)
        fake = train[:9] + normal(9, 3, scale=spread)
        cases.append((fake, train, normal(12, 3), normal(7, 3)))
    got = []
    for case in cases:
        got.append(tensor(answer(*case), ()))
        unchanged(answer)

    def over(rule) -> Tensor:
        return torch.stack([rule(*(x.double() for x in case)) for case in cases])

    wrong = {name: over(rule) for name, rule in _RATIOS.items()}
    expect(torch.stack(got), over(_calibrated()), wrong, rtol=1e-3)


def _near(x: Tensor, among: Tensor) -> Tensor:
    return torch.cdist(x, among).amin(1)


def _calibrated(near=_near, centre=torch.median):
    """The measure with another idea of near, or of a set's centre."""

    def measure(fake, train, held, new):
        ratio = lambda x: centre(near(x, train)) / centre(near(x, held))  # noqa: E731
        return ratio(fake) / ratio(new)

    return measure


_RATIOS = {
    "not_calibrated": lambda f, t, h, n: _near(f, t).median() / _near(f, h).median(),
    "inverted": lambda *sets: 1 / _calibrated()(*sets),
    "means": _calibrated(centre=torch.mean),
    "smallest": _calibrated(centre=torch.min),
    "squared": _calibrated(near=lambda x, y: _near(x, y).square()),
    "other_way": _calibrated(near=lambda x, y: _near(y, x)),
    "all_distances": _calibrated(near=lambda x, y: torch.cdist(x, y).mean(1)),
    "farthest": _calibrated(near=lambda x, y: torch.cdist(x, y).amax(1)),
    "ratios_first": lambda f, t, h, n: (
        (_near(f, t) / _near(f, h)).median() / (_near(n, t) / _near(n, h)).median()
    ),
    "multiplied": lambda f, t, h, n: (
        _near(f, t).median() / _near(f, h).median()
        * _near(n, t).median() / _near(n, h).median()
    ),
    "held_forgotten": lambda f, t, h, n: _near(f, t).median() / _near(n, t).median(),
    "city_blocks": _calibrated(near=lambda x, y: torch.cdist(x, y, p=1).amin(1)),
}  # fmt: skip

_MEMORISATION = {
    "not_calibrated": Hint(
        "New data do not get 1 from you.",
        "train is larger than held, so everything lies nearer to it.",
        "Divide by the same ratio for `new`, which is innocent for certain.",
    ),
    "inverted": Hint(
        "Copies get a large number from you.",
        "Your ratio is upside down.",
        "Distance to train over distance to held; the fakes' ratio over that of new.",
    ),
    "means": Hint(
        "A few fakes far from everything change your number a lot.",
        "You take means over the samples.",
        "The median over samples.",
    ),
    "smallest": Hint(
        "One single pair decides about your number.",
        "You take the smallest distance of all.",
        "The nearest for each sample, then the median over samples.",
    ),
    "squared": Hint(
        "Your number is the right one, squared.",
        "Distances are squared: the root is missing.",
        "torch.cdist, or the root of the sum of squares.",
    ),
    "other_way": Hint(
        "Training points without a fake nearby change your number.",
        "You look for the nearest fake of each training point.",
        "For each *fake* the nearest training point: the minimum over the other axis.",
    ),
    "all_distances": Hint(
        "Your number does not see copies.",
        "You average the distances to all training points.",
        "A copy is near to *one* of them: take the minimum.",
    ),
    "farthest": Hint(
        "Your number does not see copies.",
        "You take the largest distance.",
        "A copy is near to *one* training point: take the minimum.",
    ),
    "ratios_first": Hint(
        "Your number is another measure: the median of ratios.",
        "You divide sample by sample, and take the median afterwards.",
        "Here: the median distance to train, over the median distance to held.",
    ),
    "multiplied": Hint(
        "New data do not get 1 from you.",
        "You multiply with the ratio of `new`.",
        "Divide by it.",
    ),
    "held_forgotten": Hint(
        "Sharp and blurred samples get different numbers from you.",
        "You never look at the held-out data.",
        "Both for fake and for new: distance to train *over* distance to held.",
    ),
    "city_blocks": Hint(
        "Your distances are sums of absolute differences.",
        "The measure uses the straight-line distance.",
        "The root of the sum of squares: torch.cdist with its default p = 2.",
    ),
}

EXERCISES = [
    Exercise("05.precision_recall", precision_recall, COMMON | _PRECISION),
    Exercise("05.memorisation", memorisation, COMMON | _MEMORISATION),
]
