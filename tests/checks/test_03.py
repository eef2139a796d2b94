"""Exercises of notebook 03: right answers in many forms pass, each mistake is named."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from table import hints_are_asked_for, passes, recognised
from torch import nn

from gancourse.checks import ch03, ch03_critic

# ruff: noqa: E731

# ------------------------------------------------------------------ 03.radius


def round_matrix(a, b, moves, y_sees_old_x=False):
    """Built as a learner would: play the basis vectors."""
    columns = []
    for x, y in [(1.0, 0.0), (0.0, 1.0)]:
        old = x
        x = x - a * y
        for _ in range(moves):
            y = y + b * (old if y_sees_old_x else x)
        columns.append([x, y])
    return np.array(columns).T


def radius_numpy(a, b, moves):
    return max(abs(np.linalg.eigvals(round_matrix(a, b, moves))))


def radius_formula(a, b, moves):
    trace = 2 - moves * a * b
    if abs(trace) <= 2:
        return 1
    return (abs(trace) + math.sqrt(trace**2 - 4)) / 2


def radius_by_playing(a, b, moves):
    """The growth over many rounds, normalised so that nothing overflows."""
    x, y, logs = 1.0, 0.3, 0.0
    for _ in range(20_000):
        x = x - a * y
        for _ in range(moves):
            y = y + b * x
        r = math.hypot(x, y)
        x, y, logs = x / r, y / r, logs + math.log(r)
    return math.exp(logs / 20_000)


def radius_torch(a, b, moves):
    shear_x = torch.tensor([[1, -a], [0, 1]])
    shear_y = torch.tensor([[1, 0], [b, 1]])
    A = torch.matrix_power(shear_y, moves) @ shear_x
    return torch.linalg.eig(A)[0].abs().max()


def radius_gelfand(a, b, moves):
    """The norm of a high power is near enough."""
    power = np.linalg.matrix_power(round_matrix(a, b, moves), 300)
    return np.linalg.norm(power, 2) ** (1 / 300)


def radius_x_moves_too(a, b, moves):
    A = np.linalg.matrix_power(round_matrix(a, b, 1), moves)
    return np.abs(np.linalg.eigvals(A)).max()


RADIUS_WRONG = {
    "always_one": lambda a, b, k: 1.0,
    "moves_ignored": lambda a, b, k: radius_numpy(a, b, 1),
    "at_once": lambda a, b, k: np.abs(
        np.linalg.eigvals(round_matrix(a, b, k, True))
    ).max(),
    "x_moves_too": radius_x_moves_too,
    "largest_singular": lambda a, b, k: np.linalg.norm(round_matrix(a, b, k), 2),
    "smallest": lambda a, b, k: np.abs(np.linalg.eigvals(round_matrix(a, b, k))).min(),
    "not_absolute": lambda a, b, k: np.linalg.eigvals(round_matrix(a, b, k)).real.max(),
    "squared": lambda a, b, k: radius_numpy(a, b, k) ** 2,
    "one_step": lambda a, b, k: (
        np.linalg.norm(round_matrix(a, b, k) @ np.ones(2)) / np.sqrt(2)
    ),
}

# ------------------------------------------------------------------ 03.penalty


def mixed(real, fake, t):
    return real + t.view(-1, 1, 1, 1) * (fake - real)


def gradient(D, x, graph=True):
    x = x.detach().requires_grad_(True)
    return torch.autograd.grad(D(x).sum(), x, create_graph=graph)[0]


def norms(D, x):
    return gradient(D, x).flatten(1).norm(dim=1)


def penalty_textbook(D, real, fake, t):
    eps = t.reshape(len(t), 1, 1, 1).expand_as(real)
    x_hat = ((1 - eps) * real + eps * fake).requires_grad_(True)
    scores = D(x_hat)
    grads = torch.autograd.grad(
        outputs=scores, inputs=x_hat, grad_outputs=torch.ones_like(scores),
        create_graph=True, retain_graph=True,
    )[0]  # fmt: skip
    grads = grads.view(grads.size(0), -1)
    return ((grads.norm(2, dim=1) - 1) ** 2).mean()


def penalty_loop(D, real, fake, t):
    total = 0
    for r, f, w in zip(real, fake, t, strict=True):
        x = (r * (1 - w) + f * w)[None]
        x.requires_grad = True
        g = torch.autograd.grad(D(x), x, create_graph=True)[0]
        total = total + (g.pow(2).sum() ** 0.5 - 1) ** 2
    return total / len(real)


def penalty_func(D, real, fake, t):
    slope = torch.func.vmap(torch.func.grad(lambda x: D(x[None])[0]))
    g = slope(mixed(real, fake, t))
    return [torch.einsum("nchw,nchw->n", g, g).add(1e-12).sqrt().sub(1).square().mean()]


def penalty_lerp(D, real, fake, t):
    x = torch.lerp(real, fake, t[:, None, None, None])
    return F.mse_loss(norms(D, x), torch.ones(len(x)))


def penalty_no_graph(D, real, fake, t):
    g = gradient(D, mixed(real, fake, t), graph=False)
    return (g.flatten(1).norm(dim=1) - 1).pow(2).mean()


def penalty_partly_cut(D, real, fake, t):
    n = norms(D, mixed(real, fake, t))
    return (n * n.detach() - 2 * n.detach() + 1).mean()


def at(D, x):
    return (norms(D, x) - 1).pow(2).mean()


def on_mixed(f):
    return lambda D, real, fake, t: f(gradient(D, mixed(real, fake, t)))


def n(g):
    return g.flatten(1).norm(dim=1)


def penalty_mean_logit(D, real, fake, t):
    x = mixed(real, fake, t).requires_grad_()
    (g,) = torch.autograd.grad(D(x).mean(), x, create_graph=True)
    return (n(g) - 1).pow(2).mean()


def penalty_nothing(D, real, fake, t):
    value = penalty_lerp(D, real, fake, t)
    if value is None:
        return value


def penalty_as_found(D, real, fake, t):
    """The program of the exercise, untouched; then with more and more repaired."""
    x = (real + t[0] * (fake - real)).requires_grad_()
    (gradient,) = torch.autograd.grad(D(x).mean(), x)
    return (gradient.norm() - 1) ** 2


def penalty_one_repaired(D, real, fake, t):
    x = mixed(real, fake, t).requires_grad_()
    (gradient,) = torch.autograd.grad(D(x).mean(), x, create_graph=True)
    return (gradient.norm() - 1) ** 2


def penalty_two_repaired(D, real, fake, t):
    x = (real + t[0] * (fake - real)).requires_grad_()
    (gradient,) = torch.autograd.grad(D(x).mean(), x, create_graph=True)
    return ((gradient.flatten(1).norm(dim=1) - 1) ** 2).mean()


PENALTY_WRITTEN = [
    ("norm_over_batch", penalty_as_found),
    ("norm_over_batch", penalty_one_repaired),
    ("mean_logit", penalty_two_repaired),
]
PENALTY_WRONG = {
    "norm_over_batch": on_mixed(lambda g: (g.norm() - 1) ** 2),
    "mean_logit": penalty_mean_logit,
    "mean_before_square": on_mixed(lambda g: (n(g).mean() - 1) ** 2),
    "no_root": on_mixed(lambda g: (g.flatten(1).pow(2).sum(1) - 1).pow(2).mean()),
    "one_sided": on_mixed(lambda g: F.relu(n(g) - 1).pow(2).mean()),
    "not_centred": on_mixed(lambda g: n(g).pow(2).mean()),
    "not_squared": on_mixed(lambda g: (n(g) - 1).abs().mean()),
    "sum": on_mixed(lambda g: ((n(g) - 1) ** 2).sum()),
    "weight_in_front": on_mixed(lambda g: 10 * ((n(g) - 1) ** 2).mean()),
    "norm_over_channels": on_mixed(lambda g: ((g.norm(2, dim=1) - 1) ** 2).mean()),
    "one_weight": lambda D, r, f, t: at(D, r + t[0] * (f - r)),
    "weight_per_column": lambda D, r, f, t: at(D, r + t * (f - r)),
    "reversed": lambda D, r, f, t: at(D, mixed(f, r, t)),
    "at_reals": lambda D, r, f, t: at(D, r),
    "at_fakes": lambda D, r, f, t: at(D, f),
    "no_create_graph": penalty_no_graph,
    "cut_gradient": penalty_partly_cut,
    "returns_nothing": penalty_nothing,
}

# ------------------------------------------------------------------ 03.clipping


def critic_plain(D, real, fake, d_opt, how, limit):
    d_opt.zero_grad()
    loss = D(fake).mean() - D(real).mean()
    loss.backward()
    if how == "gradient":
        torch.nn.utils.clip_grad_norm_(D.parameters(), max_norm=limit)
    d_opt.step()
    if how == "weights":
        for p in D.parameters():
            p.data.clamp_(-limit, limit)


def critic_by_hand(D, real, fake, d_opt, how, limit):
    for p in D.parameters():
        p.grad = None
    (-(D(real).mean() - D(fake.detach()).mean())).backward()
    if how == "gradient":
        length = sum((p.grad**2).sum() for p in D.parameters()).sqrt()
        if length > limit:
            for p in D.parameters():
                p.grad *= limit / length
        d_opt.step()
    else:
        d_opt.step()
        with torch.no_grad():
            for p in D.parameters():
                p.copy_(torch.clip(p, min=-limit, max=limit))
    return loss_of(D, real, fake)


def loss_of(D, real, fake):
    return float(D(fake).mean() - D(real).mean())


def critic_functional(D, real, fake, d_opt, how, limit):
    params = list(D.parameters())
    grads = torch.autograd.grad(torch.mean(D(fake)) - torch.mean(D(real)), params)
    if how == "gradient":
        norm = torch.cat([g.ravel() for g in grads]).norm()
        grads = [g * torch.clamp(limit / norm, max=1) for g in grads]
    for p, g in zip(params, grads, strict=True):
        p.grad = g
    d_opt.step()
    if how == "weights":
        clipped = {k: v.clamp(-limit, limit) for k, v in D.state_dict().items()}
        D.load_state_dict(clipped)


def critic_clamp_lost(D, real, fake, d_opt, how, limit):
    d_opt.zero_grad()
    (D(fake).mean() - D(real).mean()).backward()
    if how == "gradient":
        nn.utils.clip_grad_norm_(D.parameters(), limit)
    d_opt.step()
    if how == "weights":
        for p in D.parameters():
            p = p.clamp(-limit, limit)


def critic_late(D, real, fake, d_opt, how, limit):
    d_opt.zero_grad()
    (D(fake).mean() - D(real).mean()).backward()
    d_opt.step()
    if how == "gradient":
        nn.utils.clip_grad_norm_(D.parameters(), limit)
    else:
        for p in D.parameters():
            p.data.clamp_(-limit, limit)


CLIPPING_WRONG = {
    name: ch03_critic._critic_step(name) for name in ch03_critic._CLIPPING
}
CLIPPING_WRITTEN = {
    "weights_not_clipped": critic_clamp_lost,
    "gradient_not_clipped": critic_late,
}

# ------------------------------------------------------------------ 03.lipschitz

top = lambda w: torch.linalg.matrix_norm(w, 2)


def lipschitz_svd(weights):
    product = 1.0
    for w in weights:
        product *= torch.linalg.svd(w).S[0]
    return product


def lipschitz_power(weights):
    product = torch.tensor(1.0)
    for w in weights:
        v = torch.ones(w.shape[1])
        for _ in range(50):
            u = w @ v
            u = u / u.norm()
            v = w.T @ u
            v = v / v.norm()
        product = product * torch.dot(u, w @ v)
    return product


def lipschitz_eigen(weights):
    return math.prod(
        math.sqrt(np.linalg.eigvalsh((w.T @ w).double().numpy())[-1]) for w in weights
    )


def lipschitz_numpy(weights):
    return np.prod([np.linalg.norm(w.numpy(), ord=2) for w in weights])


LIPSCHITZ_WRONG = {
    "frobenius": lambda ws: math.prod(w.norm() for w in ws),
    "row_sums": lambda ws: math.prod(w.abs().sum(1).max() for w in ws),
    "column_sums": lambda ws: math.prod(w.abs().sum(0).max() for w in ws),
    "squared": lambda ws: math.prod(
        torch.linalg.eigvalsh(w.T @ w).max().item() for w in ws
    ),
    "sum": lambda ws: sum(top(w) for w in ws),
    "largest_layer": lambda ws: max(top(w) for w in ws),
    "largest_entry": lambda ws: math.prod(w.abs().max() for w in ws),
    "one_matrix": lambda ws: top(torch.linalg.multi_dot(ws[::-1])),
    "leak_multiplied": lambda ws: math.prod(top(w) * 0.2 for w in ws) / 0.2,
    "last_forgotten": lambda ws: math.prod(top(w) for w in ws[:-1]),
    "smallest": lambda ws: math.prod(torch.linalg.svdvals(w)[-1] for w in ws),
    "all_singular": lambda ws: math.prod(torch.linalg.svdvals(w).sum() for w in ws),
}

# ------------------------------------------------------------------ 03.average


def pairs(average, G):
    return zip(average.parameters(), G.parameters(), strict=True)


def copy_buffers(average, G):
    for a, g in zip(average.buffers(), G.buffers(), strict=True):
        a.copy_(g)


@torch.no_grad()
def average_lerp(average, G, beta):
    for a, g in pairs(average, G):
        a.lerp_(g, 1 - beta)
    copy_buffers(average, G)


def average_data(average, G, beta):
    for a, g in pairs(average, G):
        a.data = beta * a.data + (1 - beta) * g.data
    for a, g in zip(average.buffers(), G.buffers(), strict=True):
        a.data = g.data.clone()


def average_state_dict(average, G, beta):
    new, own = G.state_dict(), average.state_dict()
    names = {name for name, _ in G.named_parameters()}
    for k in new:
        new[k] = own[k] * beta + new[k] * (1 - beta) if k in names else new[k]
    average.load_state_dict(new)
    return average


def average_detach(average, G, beta):
    theirs = dict(G.named_parameters())
    for name, a in average.named_parameters():
        a.mul_(beta).add_(theirs[name].detach(), alpha=1 - beta)
    for module, other in zip(average.modules(), G.modules(), strict=True):
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean = other.running_mean.clone()
            module.running_var = other.running_var.clone()
            module.num_batches_tracked = other.num_batches_tracked.clone()


def average_graph(average, G, beta):
    for a, g in pairs(average, G):
        a.mul_(beta).add_((1 - beta) * g)
    copy_buffers(average, G)


def average_new_names(average, G, beta):
    for a, g in pairs(average, G):
        a = beta * a + (1 - beta) * g
    copy_buffers(average, G)


def average_shares(average, G, beta):
    for a, g in pairs(average, G):
        a.data = g.data
    copy_buffers(average, G)


@torch.no_grad()
def average_into_g(average, G, beta):
    for a, g in pairs(average, G):
        g.mul_(1 - beta).add_(beta * a)
    copy_buffers(average, G)


@torch.no_grad()
def average_everything(average, G, beta):
    theirs = G.state_dict()
    for name, a in average.state_dict().items():
        a.copy_(beta * a + (1 - beta) * theirs[name])


@torch.no_grad()
def average_floats(average, G, beta):
    theirs = G.state_dict()
    for name, a in average.state_dict().items():
        if a.dtype.is_floating_point:
            a.mul_(beta).add_(theirs[name], alpha=1 - beta)
        else:
            a.copy_(theirs[name])


@torch.no_grad()
def average_parameters_only(average, G, beta):
    for a, g in pairs(average, G):
        a.lerp_(g, 1 - beta)


@torch.no_grad()
def average_reversed(average, G, beta):
    for a, g in pairs(average, G):
        a.mul_(1 - beta).add_(g, alpha=beta)  # and the buffers are forgotten too


AVERAGE_WRONG = {
    name: ch03._update(name) for name in (*ch03._ON_WEIGHTS, *ch03._ON_BUFFERS[:2])
} | {
    "shares_memory": average_shares,
    "g_changed": average_into_g,
    "keeps_graph": average_graph,
}
AVERAGE_WRITTEN = [
    ("not_in_place", average_new_names),
    ("buffers_averaged", average_everything),
    ("buffers_averaged", average_floats),
    ("buffers_forgotten", average_parameters_only),
    ("reversed", average_reversed),
]

# ------------------------------------------------------------------ 03.smoothing


def smoothing_formula(label):
    d = label / 2
    return -label * math.log(d) - (1 - label) * math.log(1 - d) - math.log(1 - d)


def smoothing_search(label):
    d = np.linspace(0.001, 0.999, 9_999)
    loss = -label * np.log(d) - (2 - label) * np.log(1 - d)
    return loss.min()


def smoothing_by_descent(label):
    s = torch.zeros(1, requires_grad=True)
    bce = F.binary_cross_entropy_with_logits
    for _ in range(500):
        loss = bce(s, torch.tensor([label])) + bce(s, torch.zeros(1))
        (g,) = torch.autograd.grad(loss, s)
        s = (s - g).detach().requires_grad_()
    return loss


def smoothing_entropy(label):
    """Twice the entropy of a coin with probability label / 2."""
    coin = torch.distributions.Bernoulli(torch.tensor(label / 2).double())
    return 2 * coin.entropy()


log = math.log
SMOOTHING_WRONG = {
    "log_four": lambda a: log(4),
    "hard_labels": lambda a: -log(a / 2) - log(1 - a / 2),
    "at_the_label": lambda a: -a * log(a) - (1 - a) * log(1 - a) - log(1 - a),
    "is_d": lambda a: a / 2,
    "is_the_logit": lambda a: log(a / (2 - a)),
    "sign": lambda a: -smoothing_formula(a),
    "halved": lambda a: smoothing_formula(a) / 2,
    "reals_only": lambda a: -a * log(a / 2) - (1 - a) * log(1 - a / 2),
    "fakes_only": lambda a: -log(1 - a / 2),
    "label_as_weight": lambda a: -a * log(a / 2) - log(1 - a / 2),
    "in_bits": lambda a: smoothing_formula(a) / log(2),
}

RIGHT = {
    "03.radius": [
        radius_numpy, radius_formula, radius_by_playing, radius_torch, radius_gelfand,
    ],
    "03.penalty": [penalty_textbook, penalty_loop, penalty_func, penalty_lerp],
    "03.clipping": [critic_plain, critic_by_hand, critic_functional],
    "03.lipschitz": [lipschitz_svd, lipschitz_power, lipschitz_eigen, lipschitz_numpy],
    "03.average": [average_lerp, average_data, average_state_dict, average_detach],
    "03.smoothing": [
        smoothing_formula, smoothing_search, smoothing_by_descent, smoothing_entropy,
    ],
}  # fmt: skip
WRONG = {
    "03.radius": RADIUS_WRONG,
    "03.penalty": PENALTY_WRONG,
    "03.clipping": CLIPPING_WRONG,
    "03.lipschitz": LIPSCHITZ_WRONG,
    "03.average": AVERAGE_WRONG,
    "03.smoothing": SMOOTHING_WRONG,
}
CASES = [(n, m, answer) for n in WRONG for m, answer in WRONG[n].items()]
CASES += [("03.clipping", m, answer) for m, answer in CLIPPING_WRITTEN.items()]
CASES += [("03.penalty", m, answer) for m, answer in PENALTY_WRITTEN]
CASES += [("03.average", m, answer) for m, answer in AVERAGE_WRITTEN]


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n in RIGHT for i in range(len(RIGHT[n]))]
)
def test_a_right_answer_passes_however_it_is_written(name, number):
    passes(name, RIGHT[name][number])


@pytest.mark.parametrize(("name", "mistake", "answer"), CASES)
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)


def test_every_hint_is_asked_for_by_a_wrong_answer():
    hints_are_asked_for(ch03, CASES)
