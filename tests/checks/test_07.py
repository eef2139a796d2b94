"""Exercises of notebook 07: right answers in many forms pass, each mistake is named."""

import math
import random
import statistics

import numpy as np
import torch
import torch.nn.functional as nnf
from table import cases, passes, recognised
from torch import nn

from gancourse.checks import ch07_latents

# ruff: noqa: E731

# --------------------------------------------------------------- 07.projection


def projection_lookup(phi, y, v, psi):
    return psi(phi)[:, 0] + torch.einsum("nf,nf->n", v(y), phi)


def projection_all_classes(features, labels, embed, linear):
    """All classes at once, then the one that is meant."""
    scores = features @ embed.weight.T
    return linear(features) + scores.gather(1, labels.unsqueeze(1))


def projection_loop(phi, y, v, psi):
    out = []
    for row, label in zip(phi, y.tolist(), strict=True):
        out.append(psi(row) + torch.dot(v.weight[label], row))
    return torch.stack(out)


def projection_one_hot(phi, y, v, psi):
    one = nnf.one_hot(y, v.num_embeddings).double()
    weight = psi.weight.double() + one @ v.weight.double()
    return (phi.double() * weight).sum(dim=-1) + psi.bias.double()


def projection_bmm(phi, y, v, psi):
    inner = torch.bmm(v(y).unsqueeze(1), phi.unsqueeze(2)).flatten()
    return psi(phi).flatten() + inner


score = lambda phi, psi: psi(phi).squeeze(-1)
inner = lambda phi, y, v: (v(y) * phi).sum(-1)
PROJECTION_WRONG = {
    "label_ignored": lambda phi, y, v, psi: psi(phi),
    "no_unconditional_part": lambda phi, y, v, psi: inner(phi, y, v),
    "mean_over_features": lambda phi, y, v, psi: (
        score(phi, psi) + torch.mean(v(y) * phi, dim=1)
    ),
    "one_class_for_all": lambda phi, y, v, psi: score(phi, psi) + phi @ v(y[:1])[0],
    "all_classes": [
        lambda phi, y, v, psi: score(phi, psi) + (phi @ v.weight.T).sum(1),
        lambda phi, y, v, psi: score(phi, psi) + (phi @ v.weight.T).mean(1),
    ],
    "other_rows_too": lambda phi, y, v, psi: score(phi, psi) + (phi @ v(y).T).sum(1),
    "everyone_with_everyone": [
        lambda phi, y, v, psi: psi(phi) + inner(phi, y, v),
        lambda phi, y, v, psi: psi(phi) + torch.matmul(phi, v(y).T),
    ],
    "label_as_number": lambda phi, y, v, psi: (
        score(phi, psi) + (y.float().unsqueeze(1) * phi).sum(1)
    ),
    "probability": lambda phi, y, v, psi: torch.sigmoid(
        projection_lookup(phi, y, v, psi)
    ),
    "cosine": [
        lambda phi, y, v, psi: (
            score(phi, psi) + nnf.cosine_similarity(v(y), phi, dim=1)
        ),
        lambda phi, y, v, psi: (
            score(phi, psi) + (nnf.normalize(v(y), dim=1) * phi).sum(1)
        ),
    ],
    "scaled": lambda phi, y, v, psi: (
        score(phi, psi) + inner(phi, y, v) / phi.shape[1] ** 0.5
    ),
    "classifier": [
        lambda phi, y, v, psi: (
            score(phi, psi) - nnf.cross_entropy(phi @ v.weight.T, y, reduction="none")
        ),
        lambda phi, y, v, psi: (
            score(phi, psi) + (phi @ v.weight.T).softmax(1)[torch.arange(len(y)), y]
        ),
    ],
    "subtracted": lambda phi, y, v, psi: score(phi, psi) - inner(phi, y, v),
    "multiplied": lambda phi, y, v, psi: score(phi, psi) * inner(phi, y, v),
    "psi_of_the_class": lambda phi, y, v, psi: score(v(y), psi) + inner(phi, y, v),
    "class_added_to_features": lambda phi, y, v, psi: psi(phi + v(y)),
    "weighed_by_psi": lambda phi, y, v, psi: psi(phi * v(y)),
    "part_detached": [
        lambda phi, y, v, psi: score(phi, psi) + inner(phi.detach(), y, v),
        lambda phi, y, v, psi: score(phi, psi) + (v.weight.detach()[y] * phi).sum(1),
        lambda phi, y, v, psi: score(phi, psi).detach() + inner(phi, y, v),
    ],
    "loses_gradient": torch.no_grad()(projection_lookup),
    "shape": lambda phi, y, v, psi: projection_lookup(phi, y, v, psi).mean(),
}

# --------------------------------------------------------------- 07.class_head


def heads_library(s_real, c_real, s_fake, c_fake, y):
    bce, ce = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss()
    ones, zeros = torch.ones_like(s_real), torch.zeros_like(s_fake)
    d = bce(s_real, ones) + bce(s_fake, zeros) + ce(c_real, y) + ce(c_fake, y)
    return d, bce(s_fake, ones) + ce(c_fake, y)


def heads_logsumexp(s_real, c_real, s_fake, c_fake, y):
    i = torch.arange(len(y))
    cost = lambda c: (c.logsumexp(1) - c[i, y]).mean()
    yes, no = nnf.softplus(-s_fake).mean(), nnf.softplus(s_fake).mean()
    d = nnf.softplus(-s_real).mean() + no + cost(c_real) + cost(c_fake)
    return torch.stack([d, yes + cost(c_fake)])


def heads_loop(s_real, c_real, s_fake, c_fake, y):
    d = g = 0.0
    rows = zip(s_real, c_real, s_fake, c_fake, y, strict=True)
    for sr, cr, sf, cf, label in rows:
        g_class = -torch.log(torch.softmax(cf, 0)[label]).item()
        d -= math.log(torch.sigmoid(sr)) + math.log(1 - torch.sigmoid(sf).item())
        d += -torch.log(torch.softmax(cr, 0)[label]).item() + g_class
        g += -math.log(torch.sigmoid(sf)) + g_class
    return [d / len(y), g / len(y)]


def heads_numpy(s_real, c_real, s_fake, c_fake, y):
    sr, cr, sf, cf = (t.double().numpy() for t in (s_real, c_real, s_fake, c_fake))
    one = np.eye(cr.shape[1])[y.numpy()]
    wrong = [np.mean(np.log(np.exp(c).sum(1)) - (c * one).sum(1)) for c in (cr, cf)]
    d = np.logaddexp(0, -sr).mean() + np.logaddexp(0, sf).mean()
    return np.array([d + sum(wrong), np.logaddexp(0, -sf).mean() + wrong[1]])


def heads(
    d_real=1.0, d_fake=1.0, g_real=0.0, g_fake=1.0,
    ce=nnf.cross_entropy, d_game=None, g_game=None,
):  # fmt: skip
    """AC-GAN with these weights of the class terms, and these losses."""
    d_game = d_game or (lambda r, f: (nnf.softplus(-r) + nnf.softplus(f)).mean())
    g_game = g_game or (lambda r, f: nnf.softplus(-f).mean())

    def answer(s_real, c_real, s_fake, c_fake, y):
        real, fake = ce(c_real, y), ce(c_fake, y)
        d = d_game(s_real, s_fake) + d_real * real + d_fake * fake
        return d, g_game(s_real, s_fake) + g_real * real + g_fake * fake

    return answer


one_hot_bce = lambda c, y: nnf.binary_cross_entropy_with_logits(
    c, nnf.one_hot(y, c.shape[1]).float()
)
sig = torch.sigmoid
CLASS_HEAD_WRONG = {
    "d_reads_reals_only": heads(d_fake=0),
    "d_reads_fakes_only": heads(d_real=0),
    "d_has_no_classes": heads(d_real=0, d_fake=0),
    "g_has_no_classes": [heads(g_fake=0), heads(d_fake=0, g_fake=0)],
    "no_classes": heads(0, 0, 0, 0),
    "g_paid_for_reals": heads(g_real=1, g_fake=0),
    "g_pays_for_both": heads(g_real=1),
    "g_hides_the_class": heads(g_fake=-1),
    "class_game_zero_sum": [heads(d_fake=-1), heads(d_fake=-1, g_fake=-1)],
    "likelihood_minimised": [
        heads(-1, -1, 0, -1),
        heads(ce=lambda c, y: nnf.log_softmax(c, 1)[torch.arange(len(y)), y].mean()),
    ],
    "saturating": [
        heads(g_game=lambda r, f: torch.log(1 - sig(f)).mean()),
        heads(
            g_game=lambda r, f: torch.log(sig(r)).mean() + torch.log(1 - sig(f)).mean()
        ),
    ],
    "softmax_twice": heads(ce=lambda c, y: nnf.cross_entropy(c.softmax(1), y)),
    "log_forgotten": heads(ce=lambda c, y: nnf.nll_loss(c.softmax(dim=1), y)),
    "sigmoid_for_classes": [
        heads(ce=one_hot_bce),
        heads(ce=lambda c, y: c.shape[1] * one_hot_bce(c, y)),
    ],
    "labels_swapped": [
        heads(
            d_game=lambda r, f: (nnf.softplus(r) + nnf.softplus(-f)).mean(),
            g_game=lambda r, f: nnf.softplus(f).mean(),
        ),
        heads(d_game=lambda r, f: (nnf.softplus(r) + nnf.softplus(-f)).mean()),
    ],
    "g_wants_a_no": heads(g_game=lambda r, f: -torch.log(1 - sig(f)).mean()),
    "sigmoid_twice": heads(
        d_game=lambda r, f: (
            nnf.binary_cross_entropy_with_logits(sig(r), torch.ones_like(r))
            + nnf.binary_cross_entropy_with_logits(sig(f), torch.zeros_like(f))
        ),
        g_game=lambda r, f: nnf.binary_cross_entropy_with_logits(
            sig(f), torch.ones_like(f)
        ),
    ),
    "game_averaged": heads(
        d_game=lambda r, f: (nnf.softplus(-r) + nnf.softplus(f)).mean() / 2
    ),
    "classes_averaged": heads(d_real=0.5, d_fake=0.5),
    "only_classes": heads(d_game=lambda r, f: 0 * r.sum(), g_game=lambda r, f: 0),
    "sum": [
        heads(
            ce=lambda c, y: nnf.cross_entropy(c, y, reduction="sum"),
            d_game=lambda r, f: (nnf.softplus(-r) + nnf.softplus(f)).sum(),
            g_game=lambda r, f: nnf.softplus(-f).sum(),
        ),
        heads(ce=lambda c, y: nnf.cross_entropy(c, y, reduction="sum")),
    ],
    "exchanged": lambda *given: heads_library(*given)[::-1],
    "shape": lambda *given: heads_library(*given)[0],
}

# --------------------------------------------------------------- 07.truncation


def cut_while(n, d, tau):
    z = torch.randn(n, d)
    while (outside := z.abs() > tau).any():
        z[outside] = torch.randn(int(outside.sum()))
    return z


def cut_inverse(n, d, tau):
    u = torch.empty(n, d, dtype=torch.float64).uniform_(-1, 1)
    return (math.sqrt(2) * torch.erfinv(u * math.erf(tau / math.sqrt(2)))).float()


def cut_library(n, d, tau):
    return nn.init.trunc_normal_(torch.empty(n, d), 0.0, 1.0, a=-tau, b=tau)


def cut_plain(n, d, tau):
    rows = []
    for _ in range(n):
        row = []
        while len(row) < d:
            z = random.gauss(0, 1)
            if abs(z) <= tau:
                row.append(z)
        rows.append(row)
    return rows


def cut_pool(n, d, tau):
    """Too many at once, those inside kept, as many as needed of them."""
    z = np.random.randn(4 * n * d)
    return z[np.abs(z) < tau][: n * d].reshape(n, d)


def cut_rows(n, d, tau):
    """A row is drawn anew as a whole: the law is the same."""
    z = torch.randn(n, d)
    for _ in range(1000):
        bad = (z.abs() > tau).any(1)
        if not bad.any():
            break
        z[bad] = torch.randn(int(bad.sum()), d)
    return z


def once(n, d, tau):
    z = torch.randn(n, d)
    return torch.where(z.abs() > tau, torch.randn(n, d), z)


def while_norm(n, d, tau):
    z = torch.randn(n, d)
    while (outside := z.norm(dim=1) > tau).any():
        z[outside] = torch.randn(int(outside.sum()), d)
    return z


def while_above(n, d, tau):
    z = torch.randn(n, d)
    while (outside := z > tau).any():
        z[outside] = torch.randn(int(outside.sum()))
    return z


def kept(n, d, tau):
    z = torch.randn(n, d)
    return z[z.abs() <= tau]


def seeded_cut(n, d, tau):
    torch.manual_seed(0)
    return cut_while(n, d, tau)


draw = torch.randn
TRUNCATION_WRONG = {
    "clipped": [
        lambda n, d, tau: draw(n, d).clamp(-tau, tau),
        lambda n, d, tau: once(n, d, tau).clip(-tau, tau),
    ],
    "repeated": [
        lambda n, d, tau: cut_while(n, 1, tau).expand(n, d),
        lambda n, d, tau: kept(n, d, tau)[torch.randint(n, (n, d))],
    ],
    "same_each_time": seeded_cut,
    "thrown_away": kept,
    "not_cut": lambda n, d, tau: draw(n, d),
    "scaled": lambda n, d, tau: tau * draw(n, d),
    "redrawn_once": once,
    "squashed": [
        lambda n, d, tau: tau * torch.tanh(draw(n, d)),
        lambda n, d, tau: tau * torch.tanh(draw(n, d) / tau),
    ],
    "uniform": lambda n, d, tau: (2 * torch.rand(n, d) - 1) * tau,
    "folded_in": [
        lambda n, d, tau: torch.fmod(draw(n, d), tau),
        lambda n, d, tau: (draw(n, d) + tau) % (2 * tau) - tau,
    ],
    "one_side_only": while_above,
    "positive": lambda n, d, tau: cut_while(n, d, tau).abs(),
    "whole_rows": [
        while_norm,
        lambda n, d, tau: tau * nnf.normalize(draw(n, d), dim=1),
        lambda n, d, tau: torch.renorm(draw(n, d), 2, 0, tau),
    ],
    "beyond": lambda n, d, tau: draw(n, d) * 0.5 + 0.3,
    "other_value": lambda n, d, tau: 0.5 * cut_while(n, d, tau),
    "not_finite": lambda n, d, tau: torch.full((n, d), math.nan),
    "shape": lambda n, d, tau: cut_while(d, n, tau),
}


def zeroed(n, d, tau):
    z = draw(n, d)
    z[z.abs() > tau] = 0
    return z


TRUNCATION_WRONG["zeroed"] = zeroed

# --------------------------------------------------------------- 07.direction


def direction_one_hot(z, a, y):
    X = torch.cat([z, nnf.one_hot(y).float()], 1)
    w = torch.linalg.lstsq(X, a.unsqueeze(1)).solution[: z.shape[1], 0]
    return w / w.norm()


def centred(x, y):
    """x less the mean of its class."""
    x = x.clone()
    for k in y.unique():
        x[y == k] -= x[y == k].mean(0)
    return x


def direction_within(z, a, y):
    """Class means taken out of both: the same slopes (Frisch and Waugh)."""
    w = torch.linalg.lstsq(centred(z, y), centred(a, y)[:, None]).solution
    return nnf.normalize(w, dim=0)


def direction_latents_within(z, a, y):
    """Latents without class means: what the classes are worth cannot enter."""
    w = torch.linalg.pinv(centred(z, y)) @ a
    return w / torch.linalg.vector_norm(w)


def direction_numpy(z, a, y):
    z, a, y = z.double().numpy(), a.double().numpy(), y.numpy()
    X = np.hstack([z, np.eye(y.max() + 1)[y]])
    w = np.linalg.solve(X.T @ X, X.T @ a)[: z.shape[1]]
    return (w / np.sqrt((w**2).sum())).tolist()


def direction_dummies(z, a, y):
    """One intercept, and what the other classes add to it."""
    columns = [*z.T, torch.ones(len(z))]
    columns += [(y == k).float() for k in range(1, int(y.max()) + 1)]
    w = np.linalg.lstsq(torch.stack(columns, 1).numpy(), a.numpy(), rcond=None)[0]
    w = torch.tensor(w[: z.shape[1]])
    return torch.nn.functional.normalize(w, dim=0)


def direction_newton(z, a, y):
    """One Newton step on the squared error, which is exact for a quadratic."""
    X = torch.cat([z, nnf.one_hot(y).float()], 1).double()
    loss = lambda w: ((X @ w - a.double()) ** 2).sum()
    w = torch.zeros(X.shape[1], dtype=torch.float64)
    H = torch.autograd.functional.hessian(loss, w)
    g = torch.autograd.functional.jacobian(loss, w)
    w = -torch.linalg.solve(H, g)[: z.shape[1]]
    return w.div(w.pow(2).sum().sqrt())


unit = lambda w: w / w.norm()
fit = lambda X, a: torch.linalg.lstsq(X, a[:, None]).solution[:, 0]
beside = lambda *columns: torch.cat(
    [c if c.dim() == 2 else c[:, None].float() for c in columns], 1
)
classes = lambda z, y: beside(z, nnf.one_hot(y).float())
ones = lambda z: torch.ones(len(z))
slopes = lambda z, a, y: fit(classes(z, y), a)[:4]
DIRECTION_WRONG = {
    "intercept_returned": [
        lambda z, a, y: unit(fit(classes(z, y), a)),
        lambda z, a, y: unit(fit(beside(z, ones(z)), a)),
    ],
    "not_of_length_one": slopes,
    "other_length": [
        lambda z, a, y: slopes(z, a, y) / slopes(z, a, y).abs().sum(),
        lambda z, a, y: slopes(z, a, y) / slopes(z, a, y).sum(),
        lambda z, a, y: slopes(z, a, y) / slopes(z, a, y).abs().max(),
        lambda z, a, y: slopes(z, a, y) / slopes(z, a, y).square().sum(),
    ],
    "length_with_intercepts": lambda z, a, y: unit(fit(classes(z, y), a))[:4],
    "against": lambda z, a, y: -unit(slopes(z, a, y)),
    "no_intercept": lambda z, a, y: unit(fit(z, a)),
    "one_intercept": [
        lambda z, a, y: unit(fit(z - z.mean(0), a)),
        lambda z, a, y: unit(fit(beside(z, ones(z)), a)[:4]),
        lambda z, a, y: unit(fit(z - z.mean(0), a - a.mean())),
    ],
    "class_as_number": [
        lambda z, a, y: unit(fit(beside(z, y, ones(z)), a)[:4]),
        lambda z, a, y: unit(fit(beside(z, y), a)[:4]),
    ],
    "covariance": [
        lambda z, a, y: unit(((z - z.mean(0)) * (a - a.mean())[:, None]).mean(0)),
        lambda z, a, y: unit(centred(z, y).T @ centred(a, y)),
    ],
    "one_at_a_time": [
        lambda z, a, y: unit(
            torch.stack([fit(classes(z[:, [j]], y), a)[0] for j in range(4)])
        ),
        lambda z, a, y: unit(
            torch.stack([fit(beside(z[:, j], ones(z)), a)[0] for j in range(4)])
        ),
    ],
    "not_centred": lambda z, a, y: unit((z * a[:, None]).mean(0)),
    "difference_of_means": lambda z, a, y: unit(
        z[a > a.median()].mean(0) - z[a <= a.median()].mean(0)
    ),
    "only_measure_centred": lambda z, a, y: unit(fit(z, centred(a, y))),
    "writes_over_input": lambda z, a, y: direction_one_hot(z.sub_(z.mean(0)), a, y),
}

# --------------------------------------------------------------- 07.interval


def wilson_roots(k, n):
    """Those shares p whose own spread just reaches the count: a quadratic's roots."""
    u2, p = 1.96**2, k / n
    return sorted(np.roots([1 + u2 / n, -(2 * p + u2 / n), p * p]).real.tolist())


def wilson_library(k, n):
    u = statistics.NormalDist().inv_cdf(0.975)
    centre = (k + u * u / 2) / (n + u * u)
    half = u / (n + u * u) * math.sqrt(k * (n - k) / n + u * u / 4)
    return centre - half, centre + half


def wilson_torch(k, n, u=1.96):
    p, n = torch.tensor(k / n, dtype=torch.float64), torch.tensor(float(n))
    root = u * torch.sqrt(p * (1 - p) / n + u**2 / (4 * n**2))
    ends = torch.stack([p + u**2 / (2 * n) - root, p + u**2 / (2 * n) + root])
    return ends / (1 + u**2 / n)


def wilson_bisection(k, n):
    def end(lo, hi):
        for _ in range(60):
            q = (lo + hi) / 2
            inside = abs(k / n - q) <= 1.96 * math.sqrt(q * (1 - q) / n)
            lo, hi = (lo, q) if inside else (q, hi)
        return q

    return [end(0.0, k / n), 1 - wilson_low(n - k, n)]


def wilson_low(k, n):
    return wilson_roots(k, n)[0]


def wilson(k, n, u=1.96, square=2, divide=True, root=math.sqrt):
    p = k / n
    middle = p + u**square / (2 * n)
    half = u * root(p * (1 - p) / n + u**square / (4 * n * n))
    below = 1 + u**square / n if divide else 1
    return (middle - half) / below, (middle + half) / below


def wald(k, n):
    p = k / n
    return p - 1.96 * (p * (1 - p) / n) ** 0.5, p + 1.96 * (p * (1 - p) / n) ** 0.5


def ends(middle, half, below):
    return (middle - half) / below, (middle + half) / below


INTERVAL_WRONG = {
    "textbook": [wald, lambda k, n: np.clip(wald(k, n), 0, 1)],
    "plus_four": [
        lambda k, n: wald(k + 2, n + 4),
        lambda k, n: wald(k + 1.96**2 / 2, n + 1.96**2),
    ],
    "not_divided": lambda k, n: wilson(k, n, divide=False),
    "half_width_not_divided": lambda k, n: (
        (k / n + 1.96**2 / (2 * n)) / (1 + 1.96**2 / n) - wilson_half(k, n),
        (k / n + 1.96**2 / (2 * n)) / (1 + 1.96**2 / n) + wilson_half(k, n),
    ),
    "middle_not_moved": lambda k, n: ends(k / n, wilson_half(k, n), 1 + 1.96**2 / n),
    "term_under_root_missing": lambda k, n: ends(
        k / n + 1.96**2 / (2 * n),
        1.96 * math.sqrt(k / n * (1 - k / n) / n),
        1 + 1.96**2 / n,
    ),
    "root_forgotten": lambda k, n: wilson(k, n, root=lambda v: v),
    "root_of_each": lambda k, n: ends(
        k / n + 1.96**2 / (2 * n),
        1.96 * (math.sqrt(k / n * (1 - k / n) / n) + 1.96 / (2 * n)),
        1 + 1.96**2 / n,
    ),
    "u_forgotten": [
        lambda k, n: wilson(k, n, u=1),
        lambda k, n: ends(
            k / n + 1.96**2 / (2 * n), wilson_half(k, n) / 1.96, 1 + 1.96**2 / n
        ),
    ],
    "one_sided": lambda k, n: wilson(k, n, 1.645),
    "other_level": [
        lambda k, n: wilson(k, n, 2),
        lambda k, n: wilson(k, n, 2.576),
    ],
    "n_not_squared": lambda k, n: ends(
        k / n + 1.96**2 / (2 * n),
        1.96 * math.sqrt(k / n * (1 - k / n) / n + 1.96**2 / (4 * n)),
        1 + 1.96**2 / n,
    ),
    "u_not_squared": lambda k, n: wilson(k, n, square=1),
    "middle_and_half": lambda k, n: (
        (k / n + 1.96**2 / (2 * n)) / (1 + 1.96**2 / n),
        wilson_half(k, n) / (1 + 1.96**2 / n),
    ),
    "counts": lambda k, n: [n * end for end in wilson(k, n)],
    "per_cent": lambda k, n: [100 * end for end in wilson(k, n)],
    "exchanged": lambda k, n: wilson(k, n)[::-1],
    "shape": lambda k, n: wilson(k, n)[0],
    "returns_nothing": lambda k, n: None,
}


def wilson_half(k, n):
    p = k / n
    return 1.96 * math.sqrt(p * (1 - p) / n + 1.96**2 / (4 * n**2))


RIGHT = {
    "07.projection": [
        projection_lookup, projection_all_classes, projection_loop,
        projection_one_hot, projection_bmm,
    ],
    "07.class_head": [heads(), heads_library, heads_logsumexp, heads_loop, heads_numpy],
    "07.truncation": [
        cut_while, cut_inverse, cut_library, cut_plain, cut_pool, cut_rows,
    ],
    "07.direction": [
        direction_one_hot, direction_within, direction_numpy, direction_dummies,
        direction_newton, direction_latents_within,
    ],
    "07.interval": [
        wilson, wilson_roots, wilson_library, wilson_torch, wilson_bisection,
    ],
}  # fmt: skip
WRONG = {
    "07.projection": PROJECTION_WRONG,
    "07.class_head": CLASS_HEAD_WRONG,
    "07.truncation": TRUNCATION_WRONG,
    "07.direction": DIRECTION_WRONG,
    "07.interval": INTERVAL_WRONG,
}
right, wrong = cases("07", RIGHT, WRONG)


@right
def test_a_right_answer_passes_however_it_is_written(name, answer):
    passes(name, answer)


@wrong
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)


def test_laws_gone_wrong_are_far_from_the_right_one():
    """Otherwise a wrong sampler could pass by chance."""
    far = dict.fromkeys(ch07_latents._CUTS, 0.0)
    for tau in (0.8, 2.0):
        right = cut_inverse(100_000, 4, tau).flatten().double().sort().values
        for name, cut in ch07_latents._CUTS.items():
            law = cut(torch.randn(200_000, 4).double(), tau).flatten().sort().values
            apart = ch07_latents._apart(torch.searchsorted(law, right) / len(law))
            far[name] = max(far[name], float(apart))
    assert min(far.values()) > 1.5 * ch07_latents._NEAR, far
