"""Exercises of notebook 13: right answers in many forms pass, each mistake is named."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from table import cases, passes, recognised
from torch import nn

from gancourse.checks import grade

# ruff: noqa: E731

# --------------------------------------------------------------- 13.instance_norm


def norm_functional(x, eps):
    return F.instance_norm(x, eps=eps)


def norm_group(x, eps):
    return nn.GroupNorm(x.shape[1], x.shape[1], eps=eps)(x)


def norm_loop(x, eps):
    out = torch.empty_like(x, dtype=torch.float64)
    for n in range(len(x)):
        for c in range(x.shape[1]):
            values = x[n, c].double()
            d = values - values.sum() / values.numel()
            out[n, c] = d / ((d * d).sum() / values.numel() + eps) ** 0.5
    return out


def norm_numpy(x, eps):
    a = x.numpy()
    mean = a.mean(axis=(-1, -2), keepdims=True)
    return (a - mean) / np.sqrt(a.var(axis=(-1, -2), keepdims=True) + eps)


def norm_flat(x, eps):
    flat = x.reshape(-1, x.shape[2] * x.shape[3])
    mean = torch.einsum("ap->a", flat)[:, None] / flat.shape[1]
    square = (flat**2).mean(1, keepdim=True)
    return ((flat - mean) * torch.rsqrt(square - mean**2 + eps)).view(x.shape)


def normed(dims):
    def answer(x, eps):
        var, mean = torch.var_mean(x, dims, correction=0, keepdim=True)
        return (x - mean) / (var + eps).sqrt()

    return answer


moments = lambda x, correction=0: torch.std_mean(
    x, (2, 3), correction=correction, keepdim=True
)
NORM_WRONG = {
    "over_the_batch": [
        lambda x, eps: F.batch_norm(x, None, None, training=True, eps=eps),
        normed((0, 2, 3)),
    ],
    "over_channels": lambda x, eps: F.layer_norm(x, x.shape[1:], eps=eps),
    "over_everything": [
        lambda x, eps: (x - x.mean()) / (x.var(correction=0) + eps).sqrt(),
        lambda x, eps: (x - x.mean()) / (x.var() + eps).sqrt(),
    ],
    "at_each_place": normed((1,)),
    "rows_only": normed((3,)),
    "columns_only": normed((2,)),
    "unbiased": lambda x, eps: (
        (x - x.mean((2, 3), keepdim=True)) / (x.var((2, 3), keepdim=True) + eps).sqrt()
    ),
    "mean_kept": lambda x, eps: x / (moments(x)[0] ** 2 + eps).sqrt(),
    "only_centred": lambda x, eps: x - moments(x)[1],
    "by_variance": lambda x, eps: (x - moments(x)[1]) / (moments(x)[0] ** 2 + eps),
    "eps_outside": lambda x, eps: (x - moments(x)[1]) / (moments(x)[0] + eps),
    "eps_ignored": [
        lambda x, eps: (x - moments(x)[1]) / moments(x)[0],
        lambda x, eps: F.instance_norm(x),
    ],
    "eps_squared": lambda x, eps: (
        (x - moments(x)[1]) / (moments(x)[0] ** 2 + eps**2).sqrt()
    ),
}

# --------------------------------------------------------------- 13.adain


def adain_norm(content, style):
    std, mean = torch.std_mean(style, (2, 3), unbiased=False, keepdim=True)
    return F.instance_norm(content) * std + mean


def adain_numpy(content, style):
    c, s = content.numpy(), style.numpy()
    axes = {"axis": (2, 3), "keepdims": True}
    plain = (c - c.mean(**axes)) / np.sqrt(c.var(**axes) + 1e-8)
    return plain * s.std(**axes) + s.mean(**axes)


def adain_loop(content, style):
    style = style.expand(len(content), -1, -1, -1)
    out = []
    for c, s in zip(content, style, strict=True):
        maps = []
        for f, g in zip(c, s, strict=True):
            scale = g.std(correction=0) / f.std(correction=0).clamp(min=1e-6)
            maps.append((f - f.mean()) * scale + g.mean())
        out.append(torch.stack(maps))
    return out


def adain_flat(x, y):
    """With views and norms, in float64."""
    a, b = x.double().flatten(2), y.double().flatten(2)
    a = a - a.mean(-1, keepdim=True)
    length = a.norm(dim=-1, keepdim=True) / a.shape[-1] ** 0.5
    scale = (b - b.mean(-1, keepdim=True)).norm(dim=-1, keepdim=True)
    scale = scale / b.shape[-1] ** 0.5
    return (a / (length + 1e-6) * scale + b.mean(-1, keepdim=True)).view_as(x)


def adain_with(f, correction=0, dims=(2, 3)):
    def answer(content, style):
        options = {"correction": correction, "keepdim": True}
        cs, cm = torch.std_mean(content, dims, **options)
        ss, sm = torch.std_mean(style, dims, **options)
        return f(content, cm, cs + 1e-5, sm, ss)

    return answer


ADAIN_WRONG = {
    "content_not_normalised": adain_with(lambda c, cm, cs, sm, ss: c * ss + sm),
    "only_means": [
        adain_with(lambda c, cm, cs, sm, ss: c - cm + sm),
        adain_with(lambda c, cm, cs, sm, ss: (c - cm) / cs + sm),
    ],
    "only_deviations": [
        adain_with(lambda c, cm, cs, sm, ss: (c - cm) / cs * ss + cm),
        adain_with(lambda c, cm, cs, sm, ss: (c - cm) / cs * ss),
    ],
    "means_left_in": adain_with(lambda c, cm, cs, sm, ss: c / cs * ss),
    "style_ignored": lambda c, s: F.instance_norm(c),
    "exchanged": adain_with(lambda c, cm, cs, sm, ss: (c - cm) / cs * sm + ss),
    "variances": [
        adain_with(lambda c, cm, cs, sm, ss: (c - cm) / cs * ss**2 + sm),
        adain_with(lambda c, cm, cs, sm, ss: (c - cm) / cs**2 * ss**2 + sm),
    ],
    "unbiased": adain_with(lambda c, cm, cs, sm, ss: (c - cm) / cs * ss + sm, 1),
    "added": lambda c, s: c + s.mean((2, 3), keepdim=True),
    "over_the_batch": adain_with(
        lambda c, cm, cs, sm, ss: (c - cm) / cs * ss + sm, dims=(0, 2, 3)
    ),
    "over_channels": adain_with(
        lambda c, cm, cs, sm, ss: (c - cm) / cs * ss + sm, dims=(1, 2, 3)
    ),
    "flat_channel": lambda c, s: (
        (c - moments(c)[1]) / moments(c)[0] * moments(s)[0] + moments(s)[1]
    ),
}

# --------------------------------------------------------------- 13.objectives


def objectives_bce(content, style, real, fake, weights):
    bce = nn.BCEWithLogitsLoss()
    adversarial = bce(fake, torch.ones_like(fake))
    terms = (content, style, adversarial)
    g_loss = sum(w * t for w, t in zip(weights, terms, strict=True))
    d_loss = bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))
    return g_loss[None], d_loss  # two numbers, in two shapes


def objectives_log(content, style, real, fake, w):
    p, q = torch.sigmoid(real.double()), torch.sigmoid(fake.double())
    d = -torch.log(p).mean() - torch.log(1 - q).mean()
    return w[0] * content + w[1] * style - w[2] * torch.log(q).mean(), d


def objectives_stack(content, style, real, fake, weights):
    terms = torch.stack([content, style, -F.logsigmoid(fake).mean()])
    d = -F.logsigmoid(torch.stack([real, -fake])).mean((1, 2, 3, 4)).sum()
    return torch.stack([torch.tensor(weights) @ terms, d])


sp = F.softplus
d_right = lambda r, f: sp(-r).mean() + sp(f).mean()
g_right = lambda c, s, f, w: w[0] * c + w[1] * s + w[2] * sp(-f).mean()
OBJECTIVES_WRONG = {
    "order": lambda c, s, r, f, w: (d_right(r, f), g_right(c, s, f, w)),
    "one_loss_for_both": [
        lambda c, s, r, f, w: (g_right(c, s, f, w), g_right(c, s, f, w)),
        lambda c, s, r, f, w: [g_right(c, s, f, w) + d_right(r, f)] * 2,
    ],
    "d_opposes_g": lambda c, s, r, f, w: (g_right(c, s, f, w), -g_right(c, s, f, w)),
    "d_gets_content_and_style": [
        lambda c, s, r, f, w: (
            g_right(c, s, f, w),
            w[0] * c + w[1] * s + d_right(r, f),
        ),
        lambda c, s, r, f, w: (
            g_right(c, s, f, w),
            w[0] * c + w[1] * s + w[2] * d_right(r, f),
        ),
    ],
    "d_weighted": lambda c, s, r, f, w: (g_right(c, s, f, w), w[2] * d_right(r, f)),
    "no_adversary": lambda c, s, r, f, w: (w[0] * c + w[1] * s, d_right(r, f)),
    "weights_exchanged": lambda c, s, r, f, w: (g_right(s, c, f, w), d_right(r, f)),
    "weights_ignored": lambda c, s, r, f, w: (
        g_right(c, s, f, (1, 1, 1)),
        d_right(r, f),
    ),
    "adversarial_not_weighted": lambda c, s, r, f, w: (
        g_right(c, s, f, (*w[:2], 1)),
        d_right(r, f),
    ),
    "adversarial_sign": lambda c, s, r, f, w: (
        g_right(c, s, f, (*w[:2], -w[2])),
        d_right(r, f),
    ),
    "saturating": lambda c, s, r, f, w: (
        w[0] * c + w[1] * s - w[2] * sp(f).mean(),
        d_right(r, f),
    ),
    "g_wants_fake": lambda c, s, r, f, w: (g_right(c, s, -f, w), d_right(r, f)),
    "g_gets_d_loss": lambda c, s, r, f, w: (
        w[0] * c + w[1] * s + w[2] * d_right(r, f),
        d_right(r, f),
    ),
    "labels_swapped": lambda c, s, r, f, w: (g_right(c, s, f, w), d_right(-r, -f)),
    "only_reals": lambda c, s, r, f, w: (g_right(c, s, f, w), sp(-r).mean()),
    "d_halved": lambda c, s, r, f, w: (
        g_right(c, s, f, w),
        sp(torch.cat([-r, f])).mean(),
    ),
    "mean_of_terms": lambda c, s, r, f, w: (g_right(c, s, f, w) / 3, d_right(r, f)),
    "loses_gradient": lambda c, s, r, f, w: (
        g_right(c, s, f, w).item(),
        d_right(r, f).item(),
    ),
    "shape": lambda c, s, r, f, w: g_right(c, s, f, w) + d_right(r, f),
}

# --------------------------------------------------------------- 13.coverage


def coverage_convolution(kernel, stride):
    """Ask the layer itself."""
    x, weight = torch.ones(1, 1, 40), torch.ones(1, 1, kernel)
    y = F.conv_transpose1d(x, weight, stride=stride)[0, 0]
    return y[20 * stride : 21 * stride]


def coverage_division(kernel, stride):
    more = kernel % stride
    return [kernel // stride + 1] * more + [kernel // stride] * (stride - more)


def coverage_counts(k, s):
    return torch.bincount(torch.arange(k) % s, minlength=s)


def coverage_numpy(k, s):
    hits = np.zeros(100 * s + k)
    for i in range(100):
        hits[i * s : i * s + k] += 1
    return tuple(hits[50 * s : 51 * s])


def coverage_read(begin):
    """The layer's own output, read from another place on."""

    def coverage(kernel, stride):
        x, weight = torch.ones(1, 1, 50), torch.ones(1, 1, kernel)
        y = F.conv_transpose1d(x, weight, stride=stride)[0, 0]
        first = begin(y, stride)
        return y[first : first + stride].tolist()

    return coverage


counts = coverage_division
COVERAGE_WRONG = {
    "all_rounded_up": lambda k, s: [math.ceil(k / s)] * s,
    "all_rounded_down": lambda k, s: [k // s] * s,
    "mean_for_all": lambda k, s: [k / s] * s,
    "whole_kernel": lambda k, s: [k] * s,
    "backwards": [
        lambda k, s: counts(k, s)[::-1],
        coverage_read(lambda y, s: len(y) // 2),
        coverage_read(lambda y, s: 20 * s + 1),
        coverage_read(lambda y, s: 20 * s - 1),
    ],
    "two_dimensions": lambda k, s: np.array(counts(k, s)) ** 2,
    "one_too_many": lambda k, s: [n + 1 for n in counts(k, s)],
    "shares": lambda k, s: [n / k for n in counts(k, s)],
    "remainder": lambda k, s: [k % s] * s,
    "ones": [lambda k, s: [1] * s, coverage_read(lambda y, s: 0)],
    "one_for_each_place": [lambda k, s: k / s, lambda k, s: counts(k, s) * 2],
}

RIGHT = {
    "13.instance_norm": [
        norm_functional,
        norm_group,
        norm_loop,
        norm_numpy,
        norm_flat,
    ],
    "13.adain": [adain_norm, adain_numpy, adain_loop, adain_flat],
    "13.objectives": [objectives_bce, objectives_log, objectives_stack],
    "13.coverage": [
        coverage_convolution,
        coverage_division,
        coverage_counts,
        coverage_numpy,
    ],
}
WRONG = {
    "13.instance_norm": NORM_WRONG,
    "13.adain": ADAIN_WRONG,
    "13.objectives": OBJECTIVES_WRONG,
    "13.coverage": COVERAGE_WRONG,
}
right, wrong = cases("13", RIGHT, WRONG)


@right
def test_a_right_answer_passes_however_it_is_written(name, answer):
    passes(name, answer)


@wrong
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)


@pytest.mark.parametrize("answer", [lambda k, s: [3] * s, lambda k, s: [2.8] * s])
def test_the_counts_that_were_seen_are_said_as_one_writes_them(answer):
    """[3.0, ...] was said of a list of ints, and float noise of decimals."""
    said = f"it gives {answer(14, 5)}."
    assert said in grade("13.coverage", answer).message
    assert said in grade("13.coverage", lambda k, s: torch.tensor(answer(k, s))).message
