"""Checks of notebook 03: two players' dynamics, slopes, averages, softer labels."""

import copy
import math

import torch
from torch import Tensor, nn

from gancourse.checks import ch03_critic
from gancourse.checks.compare import COMMON, each, expect, tensor
from gancourse.checks.probes import new_seed, stream
from gancourse.checks.verdict import Exercise, Hint, Mistake


def _between(low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), generator=stream()).item()


# ------------------------------------------------------------------ 03.radius


def radius(answer) -> None:
    """answer(a, b, moves): spectral radius when x moves once, then y `moves` times."""
    cases = [
        (_between(0.2, 0.4), _between(0.4, 0.6), 1),
        (_between(0.1, 0.2), _between(0.3, 0.4), 3),
        (_between(1.4, 1.6), _between(0.9, 1.1), 4),  # moves * a * b > 4: real roots
        (_between(2.2, 2.4), _between(2.0, 2.2), 2),
    ]
    got = each(answer, cases)

    def over(value) -> Tensor:
        return torch.tensor([float(value(a, b, k)) for a, b, k in cases])

    start = torch.ones(2, dtype=torch.float64)
    wrong = {
        "always_one": over(lambda a, b, k: 1.0),
        "moves_ignored": over(lambda a, b, k: _rho(a, b, 1)),
        "at_once": over(lambda a, b, k: math.sqrt(1 + k * a * b)),
        "x_moves_too": over(lambda a, b, k: _rho(a, b, 1) ** k),
        "largest_singular": over(
            lambda a, b, k: torch.linalg.matrix_norm(_turn(a, b, k), 2)
        ),
        "smallest": over(lambda a, b, k: 1 / _rho(a, b, k)),
        "not_absolute": over(
            lambda a, b, k: torch.linalg.eigvals(_turn(a, b, k)).real.max()
        ),
        "squared": over(lambda a, b, k: _rho(a, b, k) ** 2),
        "one_step": over(
            lambda a, b, k: (_turn(a, b, k) @ start).norm() / start.norm()
        ),
    }
    expect(got, over(_rho), wrong, rtol=1e-2)  # played for a while is near enough


def _turn(a: float, b: float, k: int) -> Tensor:
    """One round as a matrix on (x, y)."""
    return torch.tensor([[1.0, -a], [k * b, 1 - k * a * b]], dtype=torch.float64)


def _rho(a: float, b: float, k: int) -> float:
    return torch.linalg.eigvals(_turn(a, b, k)).abs().max().item()


_RADIUS = {
    "always_one": Hint(
        "You say 1 whatever the rates. For large rates the game does fly apart.",
        "Determinant 1 makes the *product* of the eigenvalues 1, not each of them.",
        "Complex eigenvalues lie on the unit circle. When are they complex?",
    ),
    "moves_ignored": Hint(
        "Your radius does not depend on how often y moves.",
        "Your matrix holds one move of y.",
        "Apply y's shear `moves` times: its entry is then moves · b.",
    ),
    "at_once": Hint(
        "Your radius is above 1 even for small rates.",
        "Your y answers the old x. Here x has moved before y does.",
        "Put the new x into y's move: y + b (x − a y).",
    ),
    "x_moves_too": Hint(
        "Your radius is too large for large rates.",
        "In your matrix x moves before each move of y.",
        "x moves once, and then only y, `moves` times.",
    ),
    "largest_singular": Hint(
        "Your number is above 1 where the orbit is closed.",
        "That is the largest singular value: the worst stretch in a single round.",
        "What happens in the long run is in the eigenvalues: eigvals, not svdvals.",
    ),
    "smallest": Hint(
        "Your number is below 1 where the game flies apart.",
        "You took the eigenvalue with the smallest absolute value.",
        "The largest one wins in the long run.",
    ),
    "not_absolute": Hint(
        "Your number is below 1 where the orbit is closed, and wrong at large rates.",
        "You take the real part of the eigenvalues; they turn as well.",
        "The factor per round is the absolute value, |μ|.",
    ),
    "squared": Hint(
        "Your number is the right one, squared.",
        "|μ|² is how squared distances grow.",
        "Take the root.",
    ),
    "one_step": Hint(
        "Your number is the stretch of one round from one starting point.",
        "A single round is no eigenvector's round: other starts stretch otherwise.",
        "Write the round as a matrix and take its eigenvalues.",
    ),
}

# ------------------------------------------------------------------ 03.average


def average(answer) -> None:
    """answer(average, G, beta): move the averaged generator one step, in place."""
    seed, beta = new_seed(), _between(0.6, 0.8)
    found = answer.using(_averaged, seed, beta)
    if any(found["shared"]):
        raise Mistake("shares_memory")
    if found["g_moved"]:
        raise Mistake("g_changed")
    for part, kinds in (("weights", _ON_WEIGHTS), ("buffers", _ON_BUFFERS)):
        got = tensor(found[part])
        wrong = {kind: _averaged(_update(kind), seed, beta)[part] for kind in kinds}
        seen = "The weights are right, the buffers are not." * (part == "buffers")
        _compare(got, _averaged(_update(), seed, beta)[part], wrong, seen)
    if found["graph"]:
        raise Mistake("keeps_graph")


def _compare(got: Tensor, right: Tensor, wrong: dict, seen: str) -> None:
    try:
        expect(got, right, wrong, rtol=1e-3, atol=1e-5)
    except Mistake as mistake:
        name = mistake.misconception.removesuffix("_floats")
        raise Mistake(name, seen if name == "other_value" else "") from None


def _averaged(update, seed: int, beta: float) -> dict:
    """The average after three steps of G, with what else happened to either."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        G = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
        for x in torch.randn(3, 8, 3):
            G(x)
        mean = copy.deepcopy(G).requires_grad_(False)
        noise = torch.randn(3, sum(p.numel() for p in G.parameters()))
    moved = False
    for step in noise:
        with torch.no_grad():
            now = nn.utils.parameters_to_vector(G.parameters()) + step
            nn.utils.vector_to_parameters(now.clone(), G.parameters())
            G(step[:24].view(8, 3))
        before = [v.clone() for v in G.state_dict().values()]
        update(mean, G, beta)
        after = G.state_dict().values()
        moved = moved or not all(map(torch.equal, before, after))
    places = {v.data_ptr() for v in G.state_dict().values()}
    return {
        "weights": torch.cat([p.detach().flatten() for p in mean.parameters()]),
        "buffers": torch.cat([b.detach().float().flatten() for b in mean.buffers()]),
        "shared": [v.data_ptr() in places for v in mean.state_dict().values()],
        "graph": any(not p.is_leaf for p in mean.parameters()),
        "g_moved": moved,
    }


_ON_WEIGHTS = (
    "reversed", "not_in_place", "copied", "not_weighted", "nothing_forgotten",
)  # fmt: skip
_ON_BUFFERS = ("buffers_forgotten", "buffers_averaged", "buffers_averaged_floats")


def _update(kind: str = "right"):
    """The update with one mistake in it."""

    @torch.no_grad()
    def update(mean, G, beta):
        keep = {"reversed": 1 - beta, "copied": 0.0, "nothing_forgotten": 1.0}
        keep = keep.get(kind, beta)
        add = {"nothing_forgotten": 1 - beta, "not_weighted": 1.0}.get(kind, 1 - keep)
        if kind == "not_in_place":
            return
        for a, g in zip(mean.parameters(), G.parameters(), strict=True):
            a.copy_(keep * a + add * g)
        for a, g in zip(mean.buffers(), G.buffers(), strict=True):
            counts = not a.is_floating_point()
            if kind == "buffers_averaged" or (kind[-6:] == "floats" and not counts):
                a.copy_(beta * a + (1 - beta) * g)
            elif kind != "buffers_forgotten":
                a.copy_(g)

    return update


_AVERAGE = {
    "reversed": Hint(
        "Your average follows G almost at once, and forgets its past.",
        "β and 1 − β are exchanged. A β of 0.999 should change little per step.",
        "average ← β · average + (1 − β) · G.",
    ),
    "buffers_forgotten": Hint(
        "The average's BatchNorm still has the statistics of the first day.",
        "parameters() leaves out the buffers: running means, variances, counts.",
        "Copy each buffer of G into the average's.",
    ),
    "buffers_averaged": Hint(
        "The average's buffers lag behind those of G.",
        "You averaged them as well. They are averages already, and one is a count.",
        "Average parameters, copy buffers.",
    ),
    "not_in_place": Hint(
        "The average did not change.",
        "`a = β * a + …` in a loop makes a new tensor and gives it the name a.",
        "Write into it: a.copy_(…), a.lerp_(g, 1 − β), or a.mul_(β).add_(…).",
    ),
    "copied": Hint(
        "Your average is G itself.",
        "Nothing of the past is kept.",
        "average ← β · average + (1 − β) · G.",
    ),
    "not_weighted": Hint(
        "Your average grows with each step.",
        "The two weights do not sum to 1: G enters with weight 1.",
        "Multiply G by 1 − β.",
    ),
    "nothing_forgotten": Hint(
        "Your average grows with each step.",
        "The two weights do not sum to 1: the old average is kept whole.",
        "Multiply the old average by β.",
    ),
    "shares_memory": Hint(
        "After your update, moving G also moves the average.",
        "Average and G share memory: a tensor was handed over, not copied.",
        "copy_ copies numbers; `a.data = g.data` shares them.",
    ),
    "g_changed": Hint(
        "Your update changed G.",
        "The average only watches. What it writes into must not be G's.",
        "Which of the two stands left of copy_ or lerp_?",
    ),
    "keeps_graph": Hint(
        "The values are right, but the average drags a graph behind it.",
        "G's weights need gradients, so what is computed from them remembers how.",
        "Do it under torch.no_grad(), or with g.detach().",
    ),
}

# ------------------------------------------------------------------ 03.smoothing


def smoothing(answer) -> None:
    """answer(label): where d_loss settles at p_g = p_data with real labels `label`."""
    cases = [(_between(0.86, 0.94),), (_between(0.72, 0.8),), (_between(0.5, 0.6),)]
    got = each(answer, cases)
    a = torch.tensor(cases).flatten().double()
    d = a / 2
    real, fake = -(a * d.log() + (1 - a) * (1 - d).log()), -(1 - d).log()
    at_label = -(a * a.log() + (1 - a) * (1 - a).log()) - (1 - a).log()
    wrong = {
        "log_four": torch.full_like(a, math.log(4)),
        "hard_labels": -d.log() + fake,
        "at_the_label": at_label,
        "is_d": d,
        "is_the_logit": (d / (1 - d)).log(),
        "sign": -(real + fake),
        "halved": (real + fake) / 2,
        "reals_only": real,
        "fakes_only": fake,
        "label_as_weight": -a * d.log() + fake,
        "in_bits": (real + fake) / math.log(2),
    }
    expect(got, real + fake, wrong, rtol=1e-3)


_SMOOTHING = {
    "log_four": Hint(
        "log 4 is where it settles with hard labels.",
        "With smoothed labels the best constant answer is no longer 1/2.",
        "Where is label · log D + (1 − label) · log(1 − D) + log(1 − D) largest?",
    ),
    "hard_labels": Hint(
        "You have the right D, and the loss of hard labels.",
        "The loss that is printed is the one with smoothed labels.",
        "For reals: −label · log D − (1 − label) · log(1 − D).",
    ),
    "at_the_label": Hint(
        "Your number is far above log 4.",
        "D does not answer `label`: it cannot tell reals from fakes any more.",
        "Half of what it sees has the target `label`, half 0. Which constant is best?",
    ),
    "is_d": Hint(
        "This is what D answers. Asked for is its loss.",
        "d_loss has a term for reals and one for fakes.",
        "Put this D into both terms, and add.",
    ),
    "is_the_logit": Hint(
        "This is D's logit. Asked for is its loss.",
        "d_loss has a term for reals and one for fakes.",
        "Put D = σ(logit) into both terms, and add.",
    ),
    "sign": Hint(
        "A loss made of −log of probabilities is not negative.",
        "You have what D maximises.",
        "Turn the sign round.",
    ),
    "halved": Hint(
        "This is half of it.",
        "The course's d_loss adds the two means, it does not average them.",
        "With label 1 it must be log 4.",
    ),
    "reals_only": Hint(
        "This is one of the two terms.",
        "d_loss also has a term for the fakes.",
        "Add −log(1 − D).",
    ),
    "fakes_only": Hint(
        "This is one of the two terms.",
        "d_loss also has a term for the reals.",
        "Add −label · log D − (1 − label) · log(1 − D).",
    ),
    "label_as_weight": Hint(
        "Your number is a little too small.",
        "The rest of the label, 1 − label, says *fake*, and costs something too.",
        "For reals: −label · log D − (1 − label) · log(1 − D).",
    ),
    "in_bits": Hint(
        "Your number is 1.44 times too large.",
        "log2 counts bits; the losses use the natural logarithm.",
        "With label 1 it must be log 4 = 1.386.",
    ),
}

EXERCISES = [
    Exercise("03.radius", radius, COMMON | _RADIUS),
    *ch03_critic.EXERCISES,
    Exercise("03.average", average, COMMON | _AVERAGE),
    Exercise("03.smoothing", smoothing, COMMON | _SMOOTHING),
]
