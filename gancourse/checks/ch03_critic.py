"""Checks of notebook 03, its critics: gradient penalty, clipping, a Lipschitz bound."""

import math

import torch
from torch import Tensor, nn

from gancourse.checks.compare import COMMON, equal, expect, tensor, unchanged
from gancourse.checks.probes import new_seed, normal, stream
from gancourse.checks.verdict import Exercise, Hint, Mistake

# ------------------------------------------------------------------ 03.penalty


class _Critic(nn.Module):
    """A critic of samples (N, ...), logits (N,); slopes lie on both sides of 1."""

    def __init__(self, inputs: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x.flatten(1)).squeeze(1)


def penalty(answer) -> None:
    """answer(D, real, fake, t): E(|grad D| − 1)² at real + t (fake − real)."""
    for shape in [(5, 1, 5, 5), (6, 3, 2, 4)]:  # in the first, N is also the width
        rounds = [_examined(answer, shape) for _ in range(3)]
        got, right, wrong, pulls = zip(*rounds, strict=True)
        wrong = {name: _rows([w[name] for w in wrong]) for name in wrong[0]}
        expect(torch.stack(got), torch.stack(right).detach(), wrong, rtol=1e-3)
        for mine, theirs in pulls:
            if mine is None:
                raise Mistake("no_create_graph")
            if not equal(tensor(mine), theirs, 1e-2, 1e-5):
                raise Mistake("cut_gradient")


def _examined(answer, shape: tuple[int, ...]) -> tuple:
    """One call: the value, what is right, what is wrong, and both gradients."""
    real, fake = normal(2, *shape)
    t = torch.rand(shape[0], generator=stream())
    D = _critic(real.lerp(fake, t.view(-1, 1, 1, 1)))
    value, pull = answer.using(_value_and_gradients, D, real, fake, t)
    unchanged(answer)
    right, wrong = _penalties(D, real, fake, t)
    return tensor(value, ()), right, wrong, (pull, _pull(right, D))


def _rows(values: list) -> Tensor | list[Tensor]:
    if isinstance(values[0], list):
        return [torch.stack(row).detach() for row in zip(*values, strict=True)]
    return torch.stack(values).detach()


def _critic(points: Tensor) -> _Critic:
    """A critic whose slopes at these points lie on both sides of 1."""
    with torch.random.fork_rng():
        torch.manual_seed(new_seed())
        D = _Critic(points[0].numel())
    with torch.no_grad():
        D.net[0].weight.mul_(2.5)
    points.requires_grad_()
    (slope,) = torch.autograd.grad(D(points).sum(), points)
    low, high = slope.flatten(1).norm(dim=1).aminmax()
    with torch.no_grad():
        D.net[2].weight.div_((low + high) / 2)
    return D


def _value_and_gradients(answer, D, real, fake, t) -> tuple:
    """The penalty, and its gradient in the critic's weights: None where it has none."""
    value = answer(D, real, fake, t)
    loss = value[0] if isinstance(value, (list, tuple)) and len(value) == 1 else value
    if not torch.is_tensor(loss) or not loss.requires_grad:
        return value, None
    return value, _pull(loss, D)


def _pull(loss: Tensor, D: nn.Module) -> Tensor:
    parts = torch.autograd.grad(loss.sum(), list(D.parameters()), allow_unused=True)
    pairs = zip(parts, D.parameters(), strict=True)
    return torch.cat([(0 * p if g is None else g).flatten() for g, p in pairs]).detach()


def _penalties(D, real: Tensor, fake: Tensor, t: Tensor) -> tuple[Tensor, dict]:
    """The right penalty, and those of the mistakes."""
    column = t.view(-1, 1, 1, 1)

    def slopes(x: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        return torch.autograd.grad(D(x).sum(), x, create_graph=True)[0]

    def at(x: Tensor) -> Tensor:
        return (slopes(x).flatten(1).norm(dim=1) - 1).square().mean()

    mixed, first = real.lerp(fake, column), real.lerp(fake, t[0])
    g = slopes(mixed)
    n = g.flatten(1).norm(dim=1)
    wrong = {
        # Half repaired: the first of the faults that are left is named.
        "norm_over_batch": [
            (slopes(x).norm() / by - 1).square()
            for x in (mixed, first)
            for by in (1, len(n))
        ],
        "mean_logit": [
            (slopes(x).flatten(1).norm(dim=1) / len(n) - 1).square().mean()
            for x in (mixed, first)
        ],
        "mean_before_square": (n.mean() - 1).square(),
        "no_root": (n.square() - 1).square().mean(),
        "one_sided": (n - 1).relu().square().mean(),
        "not_centred": n.square().mean(),
        "not_squared": (n - 1).abs().mean(),
        "sum": (n - 1).square().sum(),
        "weight_in_front": 10 * (n - 1).square().mean(),
        "one_weight": [at(real.lerp(fake, one)) for one in (t[0], t[-1], t.mean())],
        "reversed": at(fake.lerp(real, column)),
        "at_reals": at(real),
        "at_fakes": at(fake),
        "norm_over_channels": (g.norm(dim=1) - 1).square().mean(),
    }
    if len(t) == real.shape[-1]:
        wrong["weight_per_column"] = at(real.lerp(fake, t))
    return (n - 1).square().mean(), wrong


_PENALTY = {
    "norm_over_batch": Hint(
        "Your penalty grows with the batch.",
        "You take one norm over the gradients of all samples together.",
        "Flatten each sample's gradient, and take the norm over dim 1.",
    ),
    "mean_logit": Hint(
        "A critic of slope 1 is punished, and the more the larger the batch.",
        "The gradient of D(x).mean() holds each sample's gradient divided by N.",
        "Differentiate D(x).sum(), or give ones as grad_outputs.",
    ),
    "mean_before_square": Hint(
        "In your version slopes of 0 and 2 cost nothing.",
        "You average the norms first, and compare the average with 1.",
        "Square each sample's deviation, then take the mean.",
    ),
    "no_root": Hint(
        "In your version a slope of 3 costs 64. It should cost 4.",
        "You compare the squared norm with 1.",
        "The norm has a root: flatten(1).norm(dim=1), or square, sum and sqrt.",
    ),
    "one_sided": Hint(
        "In your version slopes below 1 cost nothing.",
        "relu or clamp makes it one-sided, which is another paper's penalty.",
        "Square (norm − 1) as it is.",
    ),
    "not_centred": Hint(
        "In your version a slope of 1 costs something.",
        "You punish the norm itself, as R1 does; this penalty has its zero at 1.",
        "Subtract 1 from the norm before you square.",
    ),
    "not_squared": Hint(
        "In your version a slope of 3 costs 2. It should cost 4.",
        "You take the absolute value of the deviation.",
        "Square it.",
    ),
    "sum": Hint(
        "Your penalty grows with the batch.",
        "You add the samples up.",
        "Take the mean over samples.",
    ),
    "weight_in_front": Hint(
        "Your penalty is ten times too large.",
        "The weight 10 of the paper belongs to the loss, not to the penalty.",
        "Return the mean itself.",
    ),
    "one_weight": Hint(
        "All your points are mixed in one ratio.",
        "You use one entry of t for the whole batch.",
        "Each sample has its own: give t the shape (N, 1, …, 1).",
    ),
    "weight_per_column": Hint(
        "Your pictures are mixed in another ratio in each column of pixels.",
        "t of shape (N,) is broadcast along the *last* dimension, here as long as N.",
        "Give t the shape (N, 1, 1, 1): t.view(-1, *[1] * (real.ndim − 1)).",
    ),
    "reversed": Hint(
        "At t = 0 you stand at the fake. It should be the real sample.",
        "The roles of t and 1 − t are exchanged.",
        "real + t (fake − real).",
    ),
    "at_reals": Hint(
        "Your penalty does not depend on the fakes.",
        "You measure the slope at real samples: that is where R1 does it.",
        "Measure at real + t (fake − real).",
    ),
    "at_fakes": Hint(
        "Your penalty does not depend on the reals.",
        "You measure the slope at the fakes.",
        "Measure at real + t (fake − real).",
    ),
    "norm_over_channels": Hint(
        "For pictures you get one slope per pixel.",
        "norm(dim=1) of an (N, C, H, W) gradient runs over channels only.",
        "flatten(1) first: a sample's gradient is one long vector.",
    ),
    "no_create_graph": Hint(
        "The value is right, and the critic cannot learn from it.",
        "Without create_graph the gradient is a plain number: it has no derivative.",
        "torch.autograd.grad(..., create_graph=True), and no .item() or .detach().",
    ),
    "cut_gradient": Hint(
        "The value is right, its gradient in the critic's weights is not.",
        "Some part of the way from the weights to the penalty is cut off.",
        "Only x may be detached, and that before it goes into D.",
    ),
}

# ------------------------------------------------------------------ 03.clipping


def clipping(answer) -> None:
    """answer(D, real, fake, d_opt, how, limit): a critic's step, clipped either way."""
    seed = new_seed()
    # A limit that bites, one that gradients never reach, and one for the weights.
    cases = [("gradient", 0.03), ("gradient", 1e3), ("weights", 0.2)]
    got = [tensor(answer.using(_after, seed, *case)) for case in cases]
    for name in ("right", *_CLIPPING):
        made = [_after(_critic_step(name), seed, *case) for case in cases]
        if all(equal(g, m, 1e-3, 1e-5) for g, m in zip(got, made, strict=True)):
            if name == "right":
                return
            raise Mistake(name)
    right = [_after(_critic_step(), seed, *case) for case in cases]
    ways = [
        f'how="{case[0]}"'
        for case, g, r in zip(cases, got, right, strict=True)
        if not equal(g, r, 1e-3, 1e-5)
    ]
    raise Mistake("other_value", f"The weights are not right after {ways[0]}.")


def _after(step, seed: int, how: str, limit: float) -> Tensor:
    """The critic's weights after one step; old gradients lie in them before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        D = _Critic(2)
        real, fake = torch.randn(2, 16, 2)
    d_opt = torch.optim.SGD(D.parameters(), 0.5)
    D(real + 1).square().sum().backward()
    step(D, real, fake + 2, d_opt, how, limit)
    return nn.utils.parameters_to_vector(D.parameters()).detach()


def _critic_step(kind: str = "right"):
    """The step with one mistake in it."""

    def clip_gradient(D, limit):
        parameters = list(D.parameters())
        if kind == "by_value":
            nn.utils.clip_grad_value_(parameters, limit)
        elif kind == "per_parameter":
            for p in parameters:
                nn.utils.clip_grad_norm_([p], limit)
        elif kind != "gradient_not_clipped":
            norm = nn.utils.clip_grad_norm_(parameters, limit)
            if kind == "always_scaled" and norm < limit:
                for p in parameters:
                    p.grad.mul_(limit / norm)

    @torch.no_grad()
    def clip_weights(D, limit):
        if kind == "weights_by_norm":
            norm = nn.utils.parameters_to_vector(D.parameters()).norm()
            for p in D.parameters():
                p.mul_(min(1.0, limit / norm))
        for p in D.parameters():
            if kind == "one_end":
                p.clamp_(max=limit)
            elif kind == "biases_left" and p.ndim == 1:
                continue
            elif kind not in ("weights_not_clipped", "weights_by_norm"):
                p.clamp_(-limit, limit)

    def step(D, real, fake, d_opt, how, limit):
        if kind == "exchanged":
            how = "gradient" if how == "weights" else "weights"
        if kind != "not_cleared":
            d_opt.zero_grad()
        loss = D(fake).mean() - D(real).mean()
        (-loss if kind == "sign" else loss).backward()
        if how == "gradient" or kind == "both":
            clip_gradient(D, limit)
        if how == "weights" and kind == "gradient_for_weights":
            nn.utils.clip_grad_value_(D.parameters(), limit)
        if how == "weights" and kind == "weights_too_early":
            clip_weights(D, limit)
        if kind != "never_moves":
            d_opt.step()
        late = kind not in ("gradient_for_weights", "weights_too_early")
        if (how == "weights" and late) or kind == "both":
            clip_weights(D, limit)

    return step


_CLIPPING = {
    "gradient_not_clipped": Hint(
        'With how="gradient" your step is as long as without any limit.',
        "Before backward there is nothing to clip, after step it is too late.",
        "backward, then clip_grad_norm_, then step.",
    ),
    "by_value": Hint(
        'With how="gradient" your step has another direction.',
        "Each entry is clamped by itself. Asked for is the length of the gradient.",
        "clip_grad_norm_, not clip_grad_value_: one factor for all entries.",
    ),
    "per_parameter": Hint(
        'With how="gradient" your step is too long.',
        "You limit each tensor by itself. The limit is for all of them together.",
        "Give all parameters to one call of clip_grad_norm_.",
    ),
    "always_scaled": Hint(
        "You make a short gradient longer.",
        "You scale to the limit always. A limit acts on what exceeds it only.",
        "Multiply by min(1, limit / norm).",
    ),
    "weights_not_clipped": Hint(
        'With how="weights" some weights end outside the limit.',
        "clamp returns a new tensor; the parameter itself stays as it is.",
        "Under no_grad: p.clamp_(−limit, limit), with the underscore, for every p.",
    ),
    "weights_too_early": Hint(
        'With how="weights" some weights end outside the limit.',
        "You clamp first, and then the step moves the weights out again.",
        "d_opt.step() first, then clamp.",
    ),
    "weights_by_norm": Hint(
        'With how="weights" your weights end far too small.',
        "You limit the length of the whole weight vector.",
        "Weight clipping clamps each weight by itself.",
    ),
    "one_end": Hint(
        "Large negative weights are still there.",
        "You clamp at the upper end only.",
        "clamp_(−limit, limit).",
    ),
    "biases_left": Hint(
        "Your biases end outside the limit.",
        "You clamp matrices only; here every parameter is clamped.",
        "Go through D.parameters(), all of them.",
    ),
    "gradient_for_weights": Hint(
        'With how="weights" some weights end outside the limit.',
        "You clamp p.grad: that bounds how far a weight moves, not where it ends.",
        "Clamp p itself, after the step.",
    ),
    "exchanged": Hint(
        "Your two ways are exchanged.",
        "You clip gradients where weights were asked for, and the other way round.",
        '"weights" acts after the step, "gradient" before it.',
    ),
    "both": Hint(
        "You clip weights and gradient in both cases.",
        "`how` names one of the two.",
        "Ask for `how` before each of them.",
    ),
    "sign": Hint(
        "Your critic gives fakes more than reals.",
        "It should make E D(real) − E D(fake) large, and an optimizer makes small.",
        "Minimise D(fake).mean() − D(real).mean().",
    ),
    "not_cleared": Hint(
        "Your critic moves along old gradients too.",
        "Gradients add up until somebody clears them.",
        "d_opt.zero_grad() before backward.",
    ),
    "never_moves": Hint(
        "Your critic does not move.",
        "Gradients are computed, but nobody takes the step.",
        "d_opt.step().",
    ),
}

# ------------------------------------------------------------------ 03.lipschitz


def lipschitz(answer) -> None:
    """answer(weights): a bound on the slope of Linear, LeakyReLU(0.2), Linear, …"""
    nets = [[(16, 2), (16, 16), (1, 16)], [(8, 3), (5, 8), (7, 5), (2, 7)]]
    for shapes in nets:
        weights = [_stretching(*shape) for shape in shapes]
        got = tensor(answer.using(_of_list, *weights), ())
        unchanged(answer)
        sigma = [torch.linalg.svdvals(w.double()) for w in weights]
        top = torch.stack([s[0] for s in sigma])
        norm = torch.linalg.matrix_norm
        product = math.prod
        through = weights[0]
        for w in weights[1:]:
            through = w @ through
        wrong = {
            "frobenius": product(norm(w) for w in weights),
            "row_sums": product(norm(w, torch.inf) for w in weights),
            "column_sums": product(norm(w, 1) for w in weights),
            "squared": top.prod().square(),
            "sum": top.sum(),
            "largest_layer": top.max(),
            "largest_entry": product(w.abs().max() for w in weights),
            "one_matrix": norm(through, 2),
            "leak_multiplied": top.prod() * 0.2 ** (len(top) - 1),
            "last_forgotten": top[:-1].prod(),
            "smallest": product(s[-1] for s in sigma),
            "all_singular": product(s.sum() for s in sigma),
        }
        expect(got, top.prod(), wrong, rtol=2e-3)


def _of_list(answer, *weights) -> object:
    return answer(list(weights))


def _stretching(rows: int, columns: int) -> Tensor:
    """A matrix with one clear largest singular value, so that iterations converge."""
    u, v = normal(rows), normal(columns)
    clear = 4 * torch.outer(u / u.norm(), v / v.norm())
    return clear + normal(rows, columns, scale=0.15)


_LIPSCHITZ = {
    "frobenius": Hint(
        "Your bound holds, but it is larger than it has to be.",
        "The Frobenius norm adds up all singular values, squared.",
        "The longest that W makes a vector of length 1 is its largest singular value.",
    ),
    "row_sums": Hint(
        "Your bound belongs to another way of measuring lengths.",
        "Sums along rows bound the largest entry, not the Euclidean length.",
        "torch.linalg.matrix_norm(W, 2), or power iteration.",
    ),
    "column_sums": Hint(
        "Your bound belongs to another way of measuring lengths.",
        "Sums along columns bound the sum of entries, not the Euclidean length.",
        "torch.linalg.matrix_norm(W, 2), or power iteration.",
    ),
    "squared": Hint(
        "Your bound is the right one, squared.",
        "Eigenvalues of WᵀW are squares of the singular values of W.",
        "Take the root of each.",
    ),
    "sum": Hint(
        "With more layers your bound grows too slowly.",
        "You add the layers' factors.",
        "A layer stretches what the one before has stretched: multiply.",
    ),
    "largest_layer": Hint(
        "Your bound looks at the layer that stretches most, and at no other.",
        "Each layer stretches what the one before has stretched.",
        "Multiply the largest singular values of all layers.",
    ),
    "largest_entry": Hint(
        "Your bound is too small: there are inputs that are stretched more.",
        "Many small entries together stretch more than the largest one alone.",
        "The largest singular value, not the largest entry.",
    ),
    "one_matrix": Hint(
        "Your bound is too small: there are inputs that are stretched more.",
        "You multiplied the matrices first, as if no LeakyReLU stood between them.",
        "Take the largest singular value of each matrix, then multiply.",
    ),
    "leak_multiplied": Hint(
        "Your bound is too small for positive signals.",
        "LeakyReLU(0.2) has slope 0.2 on one side only; on the other it is 1.",
        "A bound takes the worst case: factor 1 for each LeakyReLU.",
    ),
    "last_forgotten": Hint(
        "Your bound does not change with the last layer.",
        "You left out the last matrix; it stretches as well.",
        "Multiply over all of `weights`.",
    ),
    "smallest": Hint(
        "Your bound is far too small.",
        "You took the smallest singular values.",
        "svdvals gives them in falling order: the first is the largest.",
    ),
    "all_singular": Hint(
        "Your bound holds, but it is larger than it has to be.",
        "You add up the singular values of a matrix.",
        "A vector of length 1 is never made longer than the largest of them.",
    ),
}

EXERCISES = [
    Exercise("03.penalty", penalty, COMMON | _PENALTY),
    Exercise("03.clipping", clipping, COMMON | _CLIPPING),
    Exercise("03.lipschitz", lipschitz, COMMON | _LIPSCHITZ),
]
