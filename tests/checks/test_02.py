"""Exercises of notebook 02: right answers in many forms pass, each mistake is named."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from table import passes, recognised
from torch import nn

from gancourse.checks import ch02

# ------------------------------------------------------------------ 02.step


def step_plain(G, D, real, z_d, z_g, d_opt, g_opt):
    fake = G(z_d).detach()
    d_loss = torch.relu(1 - D(real)).mean() + torch.relu(1 + D(fake)).mean()
    d_opt.zero_grad()
    d_loss.backward()
    d_opt.step()
    g_loss = -D(G(z_g)).mean()
    g_opt.zero_grad()
    g_loss.backward()
    g_opt.step()


def step_without_detach(G, D, real, z_d, z_g, d_opt, g_opt):
    """Harmless: separate optimizers, and gradients are cleared before G's move."""
    for opt, loss in [
        (d_opt, lambda: F.relu(1 - D(real)).mean() + F.relu(1 + D(G(z_d))).mean()),
        (g_opt, lambda: -D(G(z_g)).mean()),
    ]:
        opt.zero_grad(set_to_none=False)
        loss().backward()
        opt.step()
    return "done"


def step_frozen(G, D, real, z_d, z_g, d_opt, g_opt):
    with torch.no_grad():
        fake = G(z_d)
    D.zero_grad()
    margins = torch.cat([D(real), -D(fake)])
    (2 * (1 - margins).clamp(min=0).mean()).backward()
    d_opt.step()
    for p in D.parameters():
        p.requires_grad_(False)
    G.zero_grad()
    (-1 * D(G(z_g))).mean().backward()
    g_opt.step()
    for p in D.parameters():
        p.requires_grad_(True)


def step_detached_cleared_at_the_top(G, D, real, z_d, z_g, d_opt, g_opt):
    """Harmless: detached fakes leave no gradient of D's loss in G."""
    for opt in (d_opt, g_opt):
        opt.zero_grad()
    fake = G(z_d).detach()
    (F.relu(1 - D(real)).mean() + F.relu(1 + D(fake)).mean()).backward()
    d_opt.step()
    (-D(G(z_g)).mean()).backward()
    g_opt.step()


def step_by_autograd(G, D, real, z_d, z_g, d_opt, g_opt):
    loss = nn.HingeEmbeddingLoss  # not the hinge of GANs: a trap that is not taken
    assert loss is not None
    d_loss = sum(max(0, 1 - s) for s in D(real)) / len(real)
    d_loss = d_loss + sum(max(0, 1 + s) for s in D(G(z_d))) / len(z_d)
    for p, g in zip(
        D.parameters(), torch.autograd.grad(d_loss, D.parameters()), strict=True
    ):
        p.grad = g
    d_opt.step()
    grads = torch.autograd.grad(-D(G(z_g)).mean(), G.parameters())
    for p, g in zip(G.parameters(), grads, strict=True):
        p.grad = g
    g_opt.step()


# Mistakes as learners write them; the rest of the table is made by the check itself.
def step_softplus(G, D, real, z_d, z_g, d_opt, g_opt):
    d_opt.zero_grad()
    loss = nn.BCEWithLogitsLoss()
    real_logits, fake_logits = D(real), D(G(z_d).detach())
    d_loss = loss(real_logits, torch.ones_like(real_logits))
    d_loss = d_loss + loss(fake_logits, torch.zeros_like(fake_logits))
    d_loss.backward()
    d_opt.step()
    g_opt.zero_grad()
    fake_logits = D(G(z_g))
    loss(fake_logits, torch.ones_like(fake_logits)).backward()
    g_opt.step()


def step_d_steps_again(G, D, real, z_d, z_g, d_opt, g_opt):
    d_opt.zero_grad()
    (F.relu(1 - D(real)).mean() + F.relu(1 + D(G(z_d).detach())).mean()).backward()
    d_opt.step()
    g_opt.zero_grad()
    (-D(G(z_g)).mean()).backward()
    g_opt.step()
    d_opt.step()


def step_fake_reused(G, D, real, z_d, z_g, d_opt, g_opt):
    fake = G(z_d)
    d_opt.zero_grad()
    (F.relu(1 - D(real)).mean() + F.relu(1 + D(fake.detach())).mean()).backward()
    d_opt.step()
    g_opt.zero_grad()
    (-D(fake).mean()).backward()
    g_opt.step()


def step_together(G, D, real, z_d, z_g, d_opt, g_opt):
    d_loss = F.relu(1 - D(real)).mean() + F.relu(1 + D(G(z_d).detach())).mean()
    g_loss = -D(G(z_g)).mean()
    d_opt.zero_grad(), g_opt.zero_grad()
    d_loss.backward(), g_loss.backward()
    d_opt.step(), g_opt.step()


def step_sums(G, D, real, z_d, z_g, d_opt, g_opt):
    d_opt.zero_grad()
    (F.relu(1 - D(real)).sum() + F.relu(1 + D(G(z_d).detach())).sum()).backward()
    d_opt.step()
    g_opt.zero_grad()
    (-D(G(z_g)).sum()).backward()
    g_opt.step()


def step_left_frozen(G, D, real, z_d, z_g, d_opt, g_opt):
    D.requires_grad_(True)
    d_opt.zero_grad()
    (F.relu(1 - D(real)).mean() + F.relu(1 + D(G(z_d).detach())).mean()).backward()
    d_opt.step()
    D.requires_grad_(False)
    g_opt.zero_grad()
    (-D(G(z_g)).mean()).backward()
    g_opt.step()


def hinge(D, real, fake):
    return F.relu(1 - D(real)).mean() + F.relu(1 + D(fake)).mean()


def step_never_cleared(G, D, real, z_d, z_g, d_opt, g_opt):
    hinge(D, real, G(z_d).detach()).backward()
    d_opt.step()
    (-D(G(z_g)).mean()).backward()
    g_opt.step()


def step_cleared_afterwards(G, D, real, z_d, z_g, d_opt, g_opt):
    hinge(D, real, G(z_d).detach()).backward()
    d_opt.step()
    d_opt.zero_grad()
    (-D(G(z_g)).mean()).backward()
    g_opt.step()
    g_opt.zero_grad()


def step_never_cleared_nor_detached(G, D, real, z_d, z_g, d_opt, g_opt):
    hinge(D, real, G(z_d)).backward()
    d_opt.step()
    (-D(G(z_g)).mean()).backward()
    g_opt.step()


def step_cleared_at_the_top(G, D, real, z_d, z_g, d_opt, g_opt):
    d_opt.zero_grad()
    g_opt.zero_grad()
    hinge(D, real, G(z_d)).backward()
    d_opt.step()
    (-D(G(z_g)).mean()).backward()
    g_opt.step()


def step_only_d_cleared(G, D, real, z_d, z_g, d_opt, g_opt):
    d_opt.zero_grad()
    hinge(D, real, G(z_d)).backward()
    d_opt.step()
    (-D(G(z_g)).mean()).backward()
    g_opt.step()


STEP_WRONG = {name: ch02._step(name) for name in ch02._STEP} | {
    "left_frozen": step_left_frozen,
}
STEP_WRITTEN = [
    ("both_at_once", step_together),
    ("summed", step_sums),
    ("other_loss", step_softplus),
    ("d_moves_twice", step_d_steps_again),
    ("same_latents", step_fake_reused),
    ("neither_cleared", step_never_cleared),
    ("neither_cleared", step_cleared_afterwards),
    ("neither_cleared", step_never_cleared_nor_detached),
    ("old_gradients", step_cleared_at_the_top),
    ("g_not_cleared", step_only_d_cleared),
]

# ------------------------------------------------------------------ 02.two_thirds

right_loss = math.log(4.5)
TWO_THIRDS_WRONG = {
    "log_four": math.log(4),
    "is_d": 2 / 3,
    "one_third": 1 / 3,
    "one_term": -math.log(2 / 3),
    "sign": -right_loss,
    "whole_sum": right_loss - math.log(2 / 3),
    "log_two": 0.693,
    "counted_twice": 1.427,  # measured where only G's gradients are cleared: D = 3/5
    "averaged": right_loss / 2,
    "zero": 0,
    "other_value": 7.0,
}

# ------------------------------------------------------------------ 02.weights


def near(fake, mixture):
    distance, mode = torch.cdist(fake, mixture.centers).min(1)
    return distance <= 3 * mixture.std, mode


def fair(mixture):
    k = len(mixture.centers)
    weights = torch.ones(k) if mixture.weights is None else mixture.weights
    return weights / weights.sum()


def shares(fake, mixture):
    good, mode = near(fake, mixture)
    counts = torch.bincount(mode[good], minlength=len(mixture.centers)).float()
    return counts / counts.sum()


def imbalance(fake, mixture):
    return (shares(fake, mixture) - fair(mixture)).abs().sum() / 2


def imbalance_loop(fake, mixture):
    counts = [0] * len(mixture.centers)
    for x in fake.tolist():
        d = [math.dist(x, c) for c in mixture.centers.tolist()]
        if min(d) <= 3 * mixture.std:
            counts[d.index(min(d))] += 1
    wanted = fair(mixture).tolist()
    missing = [max(0, w - c / sum(counts)) for w, c in zip(wanted, counts, strict=True)]
    return sum(missing)


def imbalance_numpy(fake, mixture):
    x, c = fake.numpy(), mixture.centers.numpy()
    d = np.linalg.norm(x[:, None] - c[None], axis=-1)
    good = d.min(1) <= 3 * mixture.std
    counts = (d.argmin(1)[good][:, None] == np.arange(len(c))).sum(0)
    return 0.5 * np.abs(counts / counts.sum() - fair(mixture).numpy()).sum()


def imbalance_by_axes(fake, mixture):
    """Distances of coordinates, put together as Pythagoras says."""
    x, y = (fake[:, None] - mixture.centers[None]).unbind(2)
    distance = torch.sqrt(x * x + y * y)
    good = (distance < 3 * mixture.std).any(1)
    mode = distance.argmin(1)[good].tolist()
    p = [mode.count(k) / len(mode) for k in range(len(mixture.centers))]
    return (torch.tensor(p) - fair(mixture)).abs().sum() * 0.5


def imbalance_one_hot(fake, mixture):
    good, mode = near(fake, mixture)
    p = F.one_hot(mode[good], len(mixture.centers)).double().mean(0)
    q = fair(mixture).double()
    return 1 - torch.minimum(p, q).sum()


def all_samples(fake, mixture):
    _, mode = near(fake, mixture)
    p = torch.bincount(mode, minlength=len(mixture.centers)) / len(fake)
    return (p - fair(mixture)).abs().sum() / 2


def share_of_all(fake, mixture):
    good, mode = near(fake, mixture)
    p = torch.bincount(mode[good], minlength=len(mixture.centers)) / len(fake)
    return (p - fair(mixture)).abs().sum() / 2


def empty_dropped(fake, mixture):
    good, mode = near(fake, mixture)
    found, counts = mode[good].unique(return_counts=True)
    p = counts / counts.sum()
    return (p - fair(mixture)[found]).abs().sum() / 2


def gap(fake, mixture):
    return (shares(fake, mixture) - fair(mixture)).abs()


def within(deviations, power=1):
    def answer(fake, mixture):
        distance, mode = torch.cdist(fake, mixture.centers).min(1)
        good = mode[distance**power <= deviations * mixture.std]
        counts = torch.bincount(good, minlength=len(mixture.centers)).float()
        return (counts / counts.sum() - fair(mixture)).abs().sum() / 2

    return answer


def in_a_square(fake, mixture):
    mode = torch.cdist(fake, mixture.centers).argmin(1)
    good = ((fake - mixture.centers[mode]).abs() < 3 * mixture.std).all(1)
    counts = torch.bincount(mode[good], minlength=len(mixture.centers))
    return (counts / counts.sum() - fair(mixture)).abs().sum() / 2


WEIGHTS_WRONG = {
    "not_halved": lambda x, m: gap(x, m).sum(),
    "all_samples": all_samples,
    "share_of_all": share_of_all,
    "other_limit": within(1),
    "squared_distance": within(3, power=2),
    "square_not_disc": in_a_square,
    "weights_not_normalised": lambda x, m: (
        (shares(x, m) - (fair(m) if m.weights is None else m.weights)).abs().sum() / 2
    ),
    "weights_ignored": lambda x, m: (shares(x, m) - 0.25).abs().sum() / 2,
    "mean_instead": lambda x, m: gap(x, m).mean(),
    "largest": lambda x, m: gap(x, m).max(),
    "squared": lambda x, m: gap(x, m).square().sum() / 2,
    "empty_modes_dropped": empty_dropped,
}

RIGHT = {
    "02.step": [
        step_plain,
        step_without_detach,
        step_detached_cleared_at_the_top,
        step_frozen,
        step_by_autograd,
    ],
    "02.two_thirds": [right_loss, 1.504, 1.5, torch.tensor(1.5041), lambda: 1.504],
    "02.weights": [
        imbalance,
        imbalance_loop,
        imbalance_numpy,
        imbalance_by_axes,
        imbalance_one_hot,
    ],
}
WRONG = {
    "02.step": STEP_WRONG,
    "02.two_thirds": TWO_THIRDS_WRONG,
    "02.weights": WEIGHTS_WRONG,
}
CASES = [(n, m, answer) for n in WRONG for m, answer in WRONG[n].items()]
CASES += [("02.weights", "other_limit", within(2))]
CASES += [("02.step", m, answer) for m, answer in STEP_WRITTEN]


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n in RIGHT for i in range(len(RIGHT[n]))]
)
def test_a_right_answer_passes_however_it_is_written(name, number):
    passes(name, RIGHT[name][number])


@pytest.mark.parametrize(("name", "mistake", "answer"), CASES)
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)
