"""Exercises of notebook 09: right answers in many forms pass, each mistake is named."""

from functools import reduce

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from table import cases, passes, recognised
from torch import nn

# ruff: noqa: E731

# --------------------------------------------------------------- 09.receptive_field


def field_forwards(layers):
    size, step = 1, 1
    for k, s in layers:
        size += (k - 1) * step
        step *= s
    return size


def field_recursive(layers):
    if not layers:
        return 1
    (kernel, stride), rest = layers[0], layers[1:]
    return kernel + stride * (field_recursive(rest) - 1)


def field_footprint(layers):
    """Differentiate the middle output of convolutions with positive weights."""
    net = nn.Sequential(*[nn.Conv1d(1, 1, k, s, bias=False) for k, s in layers])
    for conv in net:
        nn.init.ones_(conv.weight)
    x = torch.ones(1, 1, 400, dtype=torch.float64, requires_grad=True)
    out = net.double()(x)[0, 0]
    out[len(out) // 2].backward()
    return (x.grad != 0).sum()


def field_interval(layers):
    first = last = 0
    for i in range(len(layers) - 1, -1, -1):
        k, s = layers[i]
        first, last = first * s, last * s + k - 1
    return np.int64(last - first + 1)


field_reduce = lambda layers: reduce(
    lambda r, layer: (r - 1) * layer[1] + layer[0], layers[::-1], 1
)


def field_from_the_front(layers):
    r = 1
    for k, s in layers:
        r = (r - 1) * s + k
    return r


def field_own_stride(layers):
    size, step = 1, 1
    for k, s in layers:
        step *= s
        size += (k - 1) * step
    return size


def field_minus_forgotten(layers):
    r = 1
    for k, s in reversed(layers):
        r = r * s + k
    return r


def field_grows(layers):
    r = 1
    for k, s in reversed(layers):
        r = r * s + k - 1
    return r


FIELD_WRONG = {
    "from_the_front": field_from_the_front,
    "strides_ignored": lambda layers: 1 + sum(k - 1 for k, _ in layers),
    "own_stride": field_own_stride,
    "minus_one_forgotten": field_minus_forgotten,
    "grows_by_kernel": field_grows,
    "times_kernel": lambda layers: np.prod([k for k, _ in layers]),
    "only_strides": lambda layers: np.prod([s for _, s in layers]),
    "starts_at_zero": lambda layers: reduce(
        lambda r, layer: (r - 1) * layer[1] + layer[0], layers[::-1], 0
    ),
    "one_short": lambda layers: field_forwards(layers) - 1,
    "an_area": lambda layers: field_forwards(layers) ** 2,
    "other_value": lambda layers: 70 if len(layers) == 5 else 16,
    "returns_nothing": lambda layers: print(field_forwards(layers)),
}

# --------------------------------------------------------------- 09.generator_loss


def loss_bce(D, x, y, fake, l1):
    logits = D(torch.cat((x, fake), dim=1))
    gan = F.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
    return gan + l1 * F.l1_loss(fake, y)


def loss_modules(D, condition, target, out, weight):
    prediction = D(torch.cat([condition, out], dim=1))
    loss = nn.BCEWithLogitsLoss()(prediction, torch.ones(prediction.shape))
    return loss + nn.L1Loss()(out, target).mul(weight)


def loss_logsigmoid(D, x, y, fake, l1):
    s = D(torch.hstack([x, fake])).double()
    total = -torch.log(torch.sigmoid(s)).sum() / s.numel()
    return [
        total
        + l1 * sum((a - b).abs().mean() for a, b in zip(y, fake, strict=True)) / len(y)
    ]


def loss_two_arguments(D, x, y, fake, l1):
    s = D(x, fake)  # a critic that takes the pair as two arguments is as good
    return torch.log1p(torch.exp(-s)).mean() + l1 * torch.abs(fake - y).mean()


sp = F.softplus
pair = lambda D, x, fake: D(torch.cat([x, fake], 1))
near = lambda y, fake: (y - fake).abs().mean()
GENERATOR_WRONG = {
    "weight_on_gan": lambda D, x, y, f, w: w * sp(-pair(D, x, f)).mean() + near(y, f),
    "weight_on_both": lambda D, x, y, f, w: (
        w * (sp(-pair(D, x, f)).mean() + near(y, f))
    ),
    "weight_ignored": lambda D, x, y, f, w: sp(-pair(D, x, f)).mean() + near(y, f),
    "unconditional": lambda D, x, y, f, w: sp(-D(f)).mean() + w * near(y, f),
    "target_shown": lambda D, x, y, f, w: sp(-pair(D, x, y)).mean() + w * near(y, f),
    "pair_reversed": lambda D, x, y, f, w: sp(-pair(D, f, x)).mean() + w * near(y, f),
    "near_the_condition": lambda D, x, y, f, w: (
        sp(-pair(D, x, f)).mean() + w * near(x, f)
    ),
    "squared": lambda D, x, y, f, w: sp(-pair(D, x, f)).mean() + w * F.mse_loss(f, y),
    "sum": lambda D, x, y, f, w: (
        sp(-pair(D, x, f)).mean() + w * F.l1_loss(f, y, reduction="sum")
    ),
    "distance_of_logits": lambda D, x, y, f, w: (
        sp(-pair(D, x, f)).mean() + w * (pair(D, x, f) - 1).abs().mean()
    ),
    "only_distance": lambda D, x, y, f, w: w * near(y, f),
    "only_gan": lambda D, x, y, f, w: sp(-pair(D, x, f)).mean(),
    "saturating": lambda D, x, y, f, w: -sp(pair(D, x, f)).mean() + w * near(y, f),
    "called_fake": lambda D, x, y, f, w: sp(pair(D, x, f)).mean() + w * near(y, f),
    "sign_of_gan": lambda D, x, y, f, w: w * near(y, f) - sp(-pair(D, x, f)).mean(),
    "sign_of_distance": lambda D, x, y, f, w: (
        sp(-pair(D, x, f)).mean() - w * near(y, f)
    ),
    "sigmoid_twice": lambda D, x, y, f, w: (
        sp(-pair(D, x, f).sigmoid()).mean() + w * near(y, f)
    ),
    "no_logarithm": lambda D, x, y, f, w: w * near(y, f) - pair(D, x, f).mean(),
    "patches_summed": lambda D, x, y, f, w: sp(-pair(D, x, f)).sum() + w * near(y, f),
    "fake_detached": [
        lambda D, x, y, f, w: sp(-pair(D, x, f.detach())).mean() + w * near(y, f),
        lambda D, x, y, f, w: sp(-pair(D, x, f)).mean() + w * near(y, f.detach()),
    ],
    "loses_gradient": [
        lambda D, x, y, f, w: (sp(-pair(D, x, f)).mean() + w * near(y, f)).item(),
        torch.no_grad()(loss_bce),
    ],
}

# --------------------------------------------------------------- 09.best_constants


def constants_search(values, shares):
    y = values.numpy()
    c = np.linspace(y.min(), y.max(), 4001)[:, None]
    d = np.abs(y - c)
    best = [(d**k @ shares.numpy()).argmin() for k in (2, 1)]
    return c[best, 0]


def constants_loop(values, shares):
    pairs = sorted(zip(values.tolist(), shares.tolist(), strict=True))
    mean, total, median = 0, 0, None
    for v, p in pairs:
        mean += v * p
        total += p
        if median is None and total >= 0.5:
            median = v
    return [mean, median]


def constants_candidates(values, shares):
    losses = [((values - c).abs() * shares).sum() for c in values]
    best = min(range(len(values)), key=lambda i: losses[i])
    return {"L1": values[best], "L2": torch.einsum("i,i->", values, shares)}


def constants_repeat(y, p):
    counts = (p * 10_000).round().long()
    many = y.repeat_interleave(counts).double()
    return many.mean().item(), many.median().item()


mean = lambda y, p: (y * p).sum()
median = lambda y, p: constants_loop(y, p)[1]


def between(y, p):
    order = np.argsort(y.numpy())
    return mean(y, p), np.interp(0.5, np.cumsum(p.numpy()[order]), y.numpy()[order])


def one_too_low(y, p):
    y, order = y.sort()
    return mean(y, p[order]), y[(p[order].cumsum(0) < 0.5).sum() - 1]


CONSTANTS_WRONG = {
    "exchanged": lambda y, p: (median(y, p), mean(y, p)),
    "mean_for_both": lambda y, p: (mean(y, p), mean(y, p)),
    "median_for_both": lambda y, p: (median(y, p), median(y, p)),
    "shares_ignored": lambda y, p: (y.mean(), y.median()),
    "median_without_shares": [
        lambda y, p: (mean(y, p), y.median()),
        lambda y, p: {"mean": mean(y, p), "median": y.median()},
    ],
    "mean_without_shares": lambda y, p: (y.mean(), median(y, p)),
    "commonest_for_l1": lambda y, p: (mean(y, p), y[p.argmax()]),
    "not_sorted": lambda y, p: (mean(y, p), y[p.cumsum(0) >= 0.5][0]),
    "between_values": between,
    "one_too_low": one_too_low,
    "middle_of_range": lambda y, p: (mean(y, p), (y.min() + y.max()) / 2),
    "losses_not_answers": lambda y, p: (
        p @ (y - mean(y, p)) ** 2,
        p @ (y - median(y, p)).abs(),
    ),
    "shape": lambda y, p: mean(y, p),
}

# --------------------------------------------------------------- 09.matrix

matrix_normal = lambda rgb, yuv: yuv.T @ rgb @ torch.inverse(rgb.T @ rgb)
matrix_three = lambda rgb, yuv: torch.linalg.solve(rgb[[0, 20, 40]], yuv[[0, 20, 40]]).T
matrix_pinv = lambda rgb, yuv: (torch.pinverse(rgb) @ yuv).t().contiguous()


def matrix_numpy(rgb, yuv):
    rows = []
    for channel in range(3):
        fit = np.linalg.lstsq(rgb.numpy(), yuv.numpy()[:, channel], rcond=None)
        rows.append(list(fit[0]))
    return rows


def matrix_descent(rgb, yuv):
    layer = nn.Linear(3, 3)
    opt = torch.optim.LBFGS(layer.parameters(), max_iter=200)

    def closure():
        opt.zero_grad()
        loss = F.mse_loss(layer(rgb), yuv)
        loss.backward()
        return loss

    for _ in range(20):
        opt.step(closure)
    return layer.weight


lstsq = torch.linalg.lstsq
MATRIX_WRONG = {
    "transposed": lambda rgb, yuv: lstsq(rgb, yuv).solution,
    "backwards": lambda rgb, yuv: lstsq(yuv, rgb).solution.T,
    "backwards_transposed": lambda rgb, yuv: lstsq(yuv, rgb).solution,
    "not_divided": lambda rgb, yuv: yuv.T @ rgb / len(rgb),
    "not_divided_sum": lambda rgb, yuv: torch.einsum("ni,nj->ij", yuv, rgb),
    "channel_by_channel": lambda rgb, yuv: torch.diag(
        (rgb * yuv).sum(0) / (rgb * rgb).sum(0)
    ),
    "correlation": lambda rgb, yuv: np.corrcoef(yuv.T, rgb.T)[:3, 3:],
    "quotient": lambda rgb, yuv: (yuv[:, :, None] / rgb[:, None]).mean(0),
    "by_heart": lambda rgb, yuv: [
        [0.299, 0.587, 0.114],
        [-0.147, -0.289, 0.436],
        [0.615, -0.515, -0.1],
    ],
    "shape": lambda rgb, yuv: lstsq(rgb[:, :1], yuv).solution,
}

# --------------------------------------------------------------- 09.ignores


def ignores_forked(G, x1, x2):
    outputs = []
    for x in (x1, x2):
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(1234)
            outputs.append(G(x).numpy())
    return np.array_equal(*outputs)


def ignores_by_gradient(G, x1, x2):
    x = x1.clone().requires_grad_(True)
    y = G(x)
    if not y.requires_grad:
        return True
    (g,) = torch.autograd.grad(y.sum(), x, allow_unused=True)
    return g is None or not bool(g.any())


def ignores_state(G, x1, x2):
    state = torch.get_rng_state()
    a = G(x1)
    torch.set_rng_state(state)
    return not (a != G(x2)).any()


def ignores_largest(G, x1, x2):
    torch.manual_seed(7)
    y1 = G(x1)
    torch.manual_seed(7)
    y2 = G(x2)
    return ((y1 - y2).abs().max() == 0).int()


def same_noise(G, x):
    torch.manual_seed(5)
    return G(x)


def change(G, first, second, seeds=(0, 0)):
    torch.manual_seed(seeds[0])
    y1 = G(first)
    if seeds[1] is not None:
        torch.manual_seed(seeds[1])
    return (y1 - G(second)).abs()


IGNORES_WRONG = {
    "inverted": lambda G, a, b: change(G, a, b).max() > 0,
    "noise_not_fixed": [
        lambda G, a, b: bool((G(a) == G(b)).all()),
        lambda G, a, b: change(G, a, b, (0, None)).max() == 0,
        lambda G, a, b: change(G, a, b, (0, 1)).sum().item() == 0,
    ],
    "always_false": lambda G, a, b: torch.equal(G(a), a),
    "always_true": [
        lambda G, a, b: change(G, a, a).max() == 0,
        lambda G, a, b: not torch.equal(G(a), a),
    ],
    "tests_for_noise": [
        lambda G, a, b: torch.equal(G(a), G(a)),
        lambda G, a, b: not torch.equal(G(a), G(a)),
    ],
    "coarse": lambda G, a, b: change(G, a, b).max() < 0.01,
    "means_compared": [
        lambda G, a, b: abs(same_noise(G, a).mean() - same_noise(G, b).mean()) < 1e-3,
        lambda G, a, b: abs(same_noise(G, a).sum() - same_noise(G, b).sum()) < 1e-2,
        lambda G, a, b: bool(same_noise(G, a).mean() == same_noise(G, b).mean()),
        lambda G, a, b: same_noise(G, a).sum().item() == same_noise(G, b).sum().item(),
    ],
    "every_pixel": [
        lambda G, a, b: not (change(G, a, b) > 0).all(),
        lambda G, a, b: torch.equal(
            same_noise(G, a)[0, 0, 0], same_noise(G, b)[0, 0, 0]
        ),
        lambda G, a, b: (
            same_noise(G, a)[-1, -1, -1, -1] == same_noise(G, b)[-1, -1, -1, -1]
        ),
    ],
    "coarse_everywhere": lambda G, a, b: change(G, a, b).mean() < 0.1,
}

RIGHT = {
    "09.receptive_field": [
        field_forwards,
        field_recursive,
        field_footprint,
        field_interval,
        field_reduce,
    ],
    "09.generator_loss": [
        loss_bce,
        loss_modules,
        loss_logsigmoid,
        loss_two_arguments,
    ],
    "09.best_constants": [
        constants_search,
        constants_loop,
        constants_candidates,
        constants_repeat,
    ],
    "09.matrix": [
        matrix_normal,
        matrix_three,
        matrix_pinv,
        matrix_numpy,
        matrix_descent,
    ],
    "09.ignores": [
        ignores_forked,
        ignores_by_gradient,
        ignores_state,
        ignores_largest,
    ],
}
WRONG = {
    "09.receptive_field": FIELD_WRONG,
    "09.generator_loss": GENERATOR_WRONG,
    "09.best_constants": CONSTANTS_WRONG,
    "09.matrix": MATRIX_WRONG,
    "09.ignores": IGNORES_WRONG,
}
right, wrong = cases("09", RIGHT, WRONG)


@right
def test_a_right_answer_passes_however_it_is_written(name, answer):
    passes(name, answer)


@wrong
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)


@pytest.mark.parametrize(
    "attempt",
    [*range(4), *(pytest.param(k, marks=pytest.mark.full) for k in range(4, 20))],
)
@pytest.mark.parametrize(
    "seen",
    [(0, 0, 0), (0, slice(4), 1), (0, 2), (0, 1, 3, 2), (0, 0, 0, 0)],
    ids=["row", "column", "channel", "value", "corner"],
)
def test_who_looks_at_a_part_of_the_picture_is_found_wherever_it_lies(seen, attempt):
    """One place drawn at random lay in the row that was looked at 3 times in 46."""
    recognised(
        "09.ignores",
        "every_pixel",
        lambda G, a, b: torch.equal(same_noise(G, a)[seen], same_noise(G, b)[seen]),
    )
