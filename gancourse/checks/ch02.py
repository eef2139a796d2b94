"""Checks of notebook 02: the loop by hand."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gancourse import data
from gancourse.checks.compare import COMMON, equal, expect, tensor, unchanged
from gancourse.checks.probes import new_seed, stream, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake

# ------------------------------------------------------------------ 02.step


class _Wide(nn.Module):
    """Spreads the fakes, so that their logits lie on both sides of the margins."""

    def forward(self, x: Tensor) -> Tensor:
        return 5 * x


class _Logit(nn.Module):
    """A small discriminator of points, its logits spread around the hinge's margins."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return 4 * self.net(x).squeeze(1)


def _set_up(seed: int) -> tuple:
    """Players, data and optimizers; gradients are dirty, as after any other step.

    SGD, so that how far a weight moved says what its gradient was.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        G = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2), _Wide())
        D = _Logit()
        real, z_d, z_g = torch.randn(16, 2) + 1, torch.randn(16, 2), torch.randn(16, 2)
    optimizers = [torch.optim.SGD(P.parameters(), 0.1) for P in (D, G)]
    D(G(z_d)).square().sum().backward()
    return G, D, real, z_d, z_g, *optimizers


def _moved(step, seed: int) -> list[Tensor]:
    """How far one step moves the weights of D and of G; the gradient left in G."""
    G, D, *rest = _set_up(seed)
    before = [nn.utils.parameters_to_vector(P.parameters()).clone() for P in (D, G)]
    step(G, D, *rest)
    if not all(p.requires_grad for P in (G, D) for p in P.parameters()):
        return []
    after = [nn.utils.parameters_to_vector(P.parameters()) for P in (D, G)]
    moved = [(a - b).detach() for a, b in zip(after, before, strict=True)]
    left = [p.grad if p.grad is not None else 0 * p for p in G.parameters()]
    return [*moved, nn.utils.parameters_to_vector(left).detach()]


def _step(kind: str = "right"):
    """The step with one mistake in it; " attached" behind it: and without a detach."""
    kind, _, attached = kind.partition(" ")

    def d_loss(s_real: Tensor, s_fake: Tensor) -> Tensor:
        losses = {
            "other_loss": lambda: softplus(-s_real) + softplus(s_fake),
            "fake_sign": lambda: (1 - s_real).relu() + (1 - s_fake).relu(),
            "no_margin": lambda: (-s_real).relu() + s_fake.relu(),
            "no_cut": lambda: (1 - s_real) + (1 + s_fake),
            "only_reals": lambda: (1 - s_real).relu(),
            "labels_swapped": lambda: (1 + s_real).relu() + (1 - s_fake).relu(),
            "halved": lambda: ((1 - s_real).relu() + (1 + s_fake).relu()) / 2,
            "summed": lambda: len(s_real) * ((1 - s_real).relu() + (1 + s_fake).relu()),
        }
        right = lambda: (1 - s_real).relu() + (1 + s_fake).relu()  # noqa: E731
        return losses.get(kind, right)().mean()

    def g_loss(s: Tensor) -> Tensor:
        losses = {
            "g_sign": s,
            "g_hinge": (1 - s).relu(),
            "g_other": softplus(-s),
            "summed": -len(s) * s,
        }
        return losses.get("g_other" if kind == "other_loss" else kind, -s).mean()

    def step(G, D, real, z_d, z_g, d_opt, g_opt):
        def move_d():
            if kind not in ("d_not_cleared", "neither_cleared"):
                d_opt.zero_grad()
            if kind == "old_gradients":
                g_opt.zero_grad()
            fake = G(z_d)
            keeps = attached or kind == "old_gradients"
            d_loss(D(real), D(fake if keeps else fake.detach())).backward()
            if kind != "d_never_moves":
                d_opt.step()
            if kind == "d_turn_twice":
                move_again()

        def move_again():
            d_opt.zero_grad()
            d_loss(D(real), D(G(z_d).detach())).backward()
            d_opt.step()

        def at_once():
            d_opt.zero_grad()
            d_loss(D(real), D(G(z_d).detach())).backward()
            g_opt.zero_grad()
            g_loss(D(G(z_g))).backward()
            d_opt.step()
            g_opt.step()

        def move_g():
            if kind not in ("g_not_cleared", "neither_cleared", "old_gradients"):
                g_opt.zero_grad()
            fake = G(z_d if kind == "same_latents" else z_g)
            loss = g_loss(D(fake.detach() if kind == "g_detached" else fake))
            if loss.requires_grad:
                loss.backward()
            if kind not in ("g_never_moves", "g_detached"):
                g_opt.step()
            if kind == "d_moves_twice":
                d_opt.step()

        moves = {"g_first": (move_g, move_d), "both_at_once": (at_once,)}
        for move in moves.get(kind, (move_d, move_g)):
            move()

    return step


def step(answer) -> None:
    """answer(G, D, real, z_d, z_g, d_opt, g_opt): one step of the hinge game."""
    seed = new_seed()
    while not _telling(seed):
        seed += 1
    # Several seeds: with one alone no logit might lie where two losses differ.
    got = [_both(answer.using(_moved, seed + k)) for k in range(3)]
    if not all(got):
        raise Mistake("left_frozen")
    if _as(got, "right", seed):
        return
    for kind in (*_STEP, *_ATTACHED):
        if _as(got, kind, seed):
            raise Mistake(kind.partition(" ")[0])
    d_right = [equal(g[0], _moved(_step(), seed + k)[0]) for k, g in enumerate(got)]
    where = (
        "D's move is right, G's is not." if all(d_right) else "D's move is not right."
    )
    raise Mistake("other_value", where)


def _telling(seed: int) -> bool:
    """Whether the margins matter here: else some mistakes would move alike."""
    right = _moved(_step(), seed)
    moved = [_moved(_step(kind), seed) for kind in ("g_hinge", "no_cut", "no_margin")]
    return not any(
        equal(mine.double(), theirs, 1e-3, 1e-6)
        for wrong, i in zip(moved, (1, 0, 0), strict=True)
        for mine, theirs in [(wrong[i], right[i])]
    )


def _both(moved: object) -> list[Tensor]:
    return [tensor(part) for part in moved]


def _as(got: list, kind: str, seed: int) -> bool:
    """Whether all weights moved as they do with this mistake."""
    return all(
        equal(mine, theirs, 1e-3, 1e-6)
        for k, pair in enumerate(got)
        for i, (mine, theirs) in enumerate(
            zip(pair, _moved(_step(kind), seed + k), strict=True)
        )
        if i < 2 or kind in ("g_detached", "g_never_moves")  # told apart by gradients
    )


# Gradients that nobody clears, or not in time: 04.step says the same.
CLEARING = {
    "old_gradients": Hint(
        "Your G is pulled two ways: its step is too short, or points backwards.",
        "When g_loss.backward() begins, G still holds the gradients of d_loss.",
        "g_opt.zero_grad() directly before g_loss.backward().",
    ),
    "neither_cleared": Hint(
        "Both your players move along old gradients too.",
        "Gradients add up until somebody clears them; after the step is too late.",
        "zero_grad() *before* each backward, for both players.",
    ),
    "g_not_cleared": Hint(
        "Your G moves along old gradients too.",
        "Gradients add up until somebody clears them.",
        "g_opt.zero_grad() before g_loss.backward().",
    ),
}
# Without a detach G holds the gradients of d_loss besides.
_ATTACHED = ("neither_cleared attached", "g_not_cleared attached")

_STEP = CLEARING | {
    "other_loss": Hint(
        "Your players move as in the non-saturating game, not as in the hinge game.",
        "The losses are still those of the notebook, with softplus.",
        "D minimises relu(1 − s_real) + relu(1 + s_fake), G minimises −s_fake.",
    ),
    "fake_sign": Hint(
        "Your D pushes the logits of fakes up.",
        "relu(1 − s) rewards a large logit, for fakes too.",
        "For fakes the margin lies at −1: relu(1 + s_fake).",
    ),
    "no_margin": Hint(
        "Your D stops as soon as it is on the right side of 0.",
        "The margin 1 is missing: relu(−s) is 0 for any positive s.",
        "relu(1 − s_real) asks for s_real ≥ 1; for fakes the other way round.",
    ),
    "no_cut": Hint(
        "Your D goes on pushing samples that are beyond their margin.",
        "Without relu this is the Wasserstein loss, which never stops.",
        "torch.relu(1 − s_real): nothing is left to gain beyond 1.",
    ),
    "only_reals": Hint(
        "Your D never learns from the fakes.",
        "The second half of its loss is missing; calling everything real is now best.",
        "Add the mean of relu(1 + s_fake).",
    ),
    "labels_swapped": Hint(
        "Your D learns to call fakes real and reals fake.",
        "The two halves of its loss are exchanged.",
        "A real sample should get a logit above +1.",
    ),
    "halved": Hint(
        "Your D moves in the right direction, half as far.",
        "You averaged real and fake together. The loss adds two means.",
        "relu(1 − s_real).mean() + relu(1 + s_fake).mean().",
    ),
    "summed": Hint(
        "Your players' steps grow with the batch.",
        "The losses are sums over the batch.",
        "E is a mean: .mean().",
    ),
    "both_at_once": Hint(
        "Your D steps along G's loss, too.",
        "Both losses go backward before anybody steps, and g_loss reaches D's weights.",
        "Finish D's move, with d_opt.step(), before you compute g_loss.",
    ),
    "d_turn_twice": Hint(
        "Your D takes two steps in its turn.",
        "One step of the game is one step of each player here.",
        "One d_opt.step().",
    ),
    "left_frozen": Hint(
        "After your step some weights cannot be trained any more.",
        "requires_grad_(False) holds until somebody takes it back.",
        "D.requires_grad_(True) when G's move is over.",
    ),
    "g_sign": Hint(
        "Your G makes its samples look faker with each step.",
        "It minimises s_fake, so it lowers D's logits.",
        "G minimises −s_fake.",
    ),
    "g_hinge": Hint(
        "Your G stops moving samples that D likes already.",
        "You gave G a hinge as well. Only D has margins.",
        "G minimises −s_fake, without relu.",
    ),
    "g_detached": Hint(
        "Your G does not move.",
        "The fakes in G's move are detached: no gradient reaches G's weights.",
        "Draw new fakes for G's move and leave them attached.",
    ),
    "g_never_moves": Hint(
        "Your G does not move.",
        "Gradients are computed, but nobody takes the step.",
        "g_opt.step() after g_loss.backward().",
    ),
    "d_never_moves": Hint(
        "Your D does not move.",
        "Gradients are computed, but nobody takes the step.",
        "d_opt.step() after d_loss.backward().",
    ),
    "d_not_cleared": Hint(
        "Your D moves along old gradients too.",
        "Gradients add up until somebody clears them; G's last move left some in D.",
        "d_opt.zero_grad() before d_loss.backward().",
    ),
    "d_moves_twice": Hint(
        "Your D moves in G's turn too, and towards G's wish.",
        "After g_loss.backward() D holds gradients of G's loss, and takes a step.",
        "In G's turn only g_opt.step().",
    ),
    "same_latents": Hint(
        "Your G is trained on the fakes that D has just seen.",
        "It uses z_d. G's move should draw its own latents.",
        "Use z_g in G's move.",
    ),
    "g_first": Hint(
        "Your G moves before D does.",
        "The order matters: here D's move comes first, and G meets the new D.",
        "First everything about D, with d_opt.step(); then everything about G.",
    ),
}

# ------------------------------------------------------------------ 02.two_thirds


def two_thirds(answer) -> None:
    """answer: the number at which d_loss settles."""
    got = tensor(answer.value(), ()).item()
    right = -math.log(2 / 3) - math.log(1 / 3)
    if abs(got - right) < 0.006:
        return
    wrong = {
        "log_four": [math.log(4)],
        "is_d": [2 / 3],
        "counted_twice": [-math.log(3 / 5) - math.log(2 / 5)],
        "one_term": [-math.log(2 / 3), -math.log(1 / 3)],
        "sign": [-right],
        "whole_sum": [right - math.log(2 / 3), -right + math.log(2 / 3)],
        "one_third": [1 / 3],
        "log_two": [math.log(2)],
        "averaged": [right / 2],
        "zero": [0.0],
    }
    for name, numbers in wrong.items():
        if any(abs(got - number) < 0.006 for number in numbers):
            raise Mistake(name)
    raise Mistake("other_value", f"{got:.4g} is not where it settles.")


_TWO_THIRDS = {
    "log_four": Hint(
        "log 4 is where d_loss settles without the fault.",
        "The extra step gives D another wish: that G's loss be small too.",
        "Per step D ascends log D + log(1 − D), and then once more log D.",
    ),
    "is_d": Hint(
        "2/3 is D itself. Asked for is d_loss.",
        "d_loss is −log D for reals and −log(1 − D) for fakes, added.",
        "Put D = 2/3 into both terms.",
    ),
    "counted_twice": Hint(
        "So it is in our loop, which clears G's gradients only.",
        "Here those of D are cleared as well: d_loss finds its way into one step.",
        "log D + log(1 − D) once, and log D once.",
    ),
    "one_third": Hint(
        "1/3 is 1 − D. Asked for is d_loss.",
        "d_loss is −log D for reals and −log(1 − D) for fakes, added.",
        "Put D = 2/3 into both terms.",
    ),
    "one_term": Hint(
        "This is one of the two terms of d_loss.",
        "d_loss has a term for reals and one for fakes.",
        "−log(2/3) and −log(1/3): add them.",
    ),
    "sign": Hint(
        "A loss made of −log of probabilities is not negative.",
        "This is V, which D maximises; d_loss is −V.",
        "Turn the sign round.",
    ),
    "whole_sum": Hint(
        "This is the whole sum that D now works on.",
        "The program still prints d_loss, which has two of the three terms.",
        "Leave out the term that came from g_loss.",
    ),
    "log_two": Hint(
        "log 2 would be one term at D = 1/2.",
        "With the fault D does not settle at 1/2.",
        "Where is the maximum of log D + log(1 − D) + log D?",
    ),
    "averaged": Hint(
        "This is half of it.",
        "The notebook's d_loss adds the two means, it does not average them.",
        "Without the fault it would be log 4, not log 2.",
    ),
    "zero": Hint(
        "A d_loss of 0 means that D wins.",
        "Here the samples are fine, so D cannot be sure of anything.",
        "Take p_g = p_data and ask which constant D is best.",
    ),
}

# ------------------------------------------------------------------ 02.weights

# In each mode, within one, two and three deviations. With these no two mistakes agree.
_COUNTS = [
    ([10, 20, 6, 0], [30, 30, 10, 0], [46, 34, 20, 0]),
    ([4, 10, 12, 8], [8, 15, 20, 36], [10, 20, 30, 40]),
]


def _clouds(mixture: data.Mixture, counts: tuple) -> Tensor:
    """160 shuffled points: so many within 1, 2, 3 deviations of modes, 60 of none."""
    one, two, three = map(torch.tensor, counts)
    shells = torch.cat([one, two - one, three - two])
    mode = torch.arange(4).repeat(3).repeat_interleave(shells)
    far = torch.tensor([0.05, 0.15, 0.25]).repeat_interleave(4)
    turn = uniform(100, high=2 * math.pi)
    around = torch.stack([turn.cos(), turn.sin()], 1)
    on = mixture.centers[mode] + far.repeat_interleave(shells)[:, None] * around
    first = mixture.centers[0]
    back = torch.tensor([0.45, 0.9]).repeat(22)[:, None]
    off = first - back * first / first.norm()  # nearest to the first mode, yet far
    sides = torch.cartesian_prod(*[torch.tensor([-0.26, 0.26])] * 2).repeat(4, 1)
    corners = first + sides  # of a square around the disc
    return torch.cat([on, off, corners])[torch.randperm(160, generator=stream())]


def weights(answer) -> None:
    """answer(fake, mixture): total variation between the modes' shares and weights."""
    ring = data.ring(4, std=0.1)
    uneven = data.Mixture(ring.centers, 0.1, torch.tensor([4.0, 2.0, 1.0, 1.0]))
    for mixture, counts in [(ring, _COUNTS[0]), (uneven, _COUNTS[1])]:
        fake, counts = _clouds(mixture, counts), torch.tensor(counts[2])
        near, mode = torch.cdist(fake, mixture.centers).min(1)
        got = tensor(answer(fake, mixture), ())
        unchanged(answer)
        fair = torch.ones(4) if mixture.weights is None else mixture.weights
        fair = (fair / fair.sum()).double()
        share = counts.double() / 100
        everything = (counts + torch.tensor([60, 0, 0, 0])).double() / 160
        d = (share - fair).abs()
        even = torch.full((4,), 0.25, dtype=torch.double)

        def within(limit: float, near: Tensor = near) -> Tensor:
            counted = torch.bincount(mode[near <= limit], minlength=4).double()
            return (counted / counted.sum() - fair).abs().sum() / 2

        near_axes = (fake - mixture.centers[mode]).abs().amax(1)
        wrong = {
            "not_halved": d.sum(),
            "all_samples": (everything - fair).abs().sum() / 2,
            "share_of_all": (share * 100 / 160 - fair).abs().sum() / 2,
            "weights_ignored": (share - even).abs().sum() / 2,
            "mean_instead": d.mean(),
            "largest": d.max(),
            "squared": d.square().sum() / 2,
            "empty_modes_dropped": d[share > 0].sum() / 2,
            "weights_not_normalised": (share - 8 * fair).abs().sum() / 2,
            "other_limit": [within(0.1), within(0.2)],
            "squared_distance": within(0.3**0.5),
            "square_not_disc": within(0.3, near_axes),
        }
        expect(got, d.sum() / 2, wrong, rtol=1e-3)


_WEIGHTS = {
    "not_halved": Hint(
        "Your number can exceed 1.",
        "The sum of differences counts what moved twice: as gone and as arrived.",
        "Total variation is half of that sum.",
    ),
    "all_samples": Hint(
        "Samples that lie nowhere near a mode change your number.",
        "Every sample is given to its nearest mode, however far.",
        "Count samples of high quality only: within three standard deviations.",
    ),
    "share_of_all": Hint(
        "Your shares do not sum to 1.",
        "You count good samples, but divide by the number of all samples.",
        "Divide by the number of the good ones.",
    ),
    "other_limit": Hint(
        "You leave out samples that are near enough.",
        "Your limit is one or two standard deviations.",
        "Three: distance <= 3 * mixture.std.",
    ),
    "squared_distance": Hint(
        "Samples that lie beyond three standard deviations still count.",
        "You compare the squared distance with a distance.",
        "Take the root, or compare with (3 * mixture.std) ** 2.",
    ),
    "square_not_disc": Hint(
        "Samples that lie beyond three standard deviations still count.",
        "You compare each coordinate by itself: that is a square, with far corners.",
        "One distance per sample, the root of the sum of squares: torch.cdist.",
    ),
    "weights_not_normalised": Hint(
        "For weights that do not sum to 1 your number is far too large.",
        "mixture.weights are compared as they come.",
        "Divide them by their sum.",
    ),
    "weights_ignored": Hint(
        "For a mixture with unequal weights your number is wrong.",
        "You compare with equal shares.",
        "mixture.weights, divided by their sum; None means equal ones.",
    ),
    "mean_instead": Hint(
        "Your number gets smaller when there are more modes.",
        "You take the mean of the differences.",
        "Total variation is half the sum.",
    ),
    "largest": Hint(
        "Only the worst mode matters to your number.",
        "That is the largest difference.",
        "Total variation is half the sum of all differences.",
    ),
    "squared": Hint(
        "Small imbalances nearly vanish in your number.",
        "You square the differences.",
        "Total variation uses absolute differences.",
    ),
    "empty_modes_dropped": Hint(
        "A mode without any sample does not count in your number.",
        "torch.bincount and torch.unique are silent on what does not occur.",
        "torch.bincount(mode, minlength=number of modes).",
    ),
}

EXERCISES = [
    Exercise("02.step", step, COMMON | _STEP),
    Exercise("02.two_thirds", two_thirds, COMMON | _TWO_THIRDS),
    Exercise("02.weights", weights, COMMON | _WEIGHTS),
]
