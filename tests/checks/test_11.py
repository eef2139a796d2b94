"""Exercises of notebook 11: right answers in many forms pass, each mistake is named."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from skimage.color import rgb2yuv, yuv2rgb
from skimage.metrics import peak_signal_noise_ratio
from table import cases, passes, recognised
from torch import nn

from gancourse import pairs

# ruff: noqa: E731

# --------------------------------------------------------------- 11.psnr


def psnr_root(x, y):
    rmse = nn.functional.mse_loss(x, y).sqrt()
    return 20 * torch.log10(2 / rmse)


def psnr_shifted(x, y):
    """On the scale [0, 1], as in the notebook."""
    x, y = (x + 1) / 2, (y + 1) / 2
    return -10 * math.log10(((x - y) ** 2).mean().item())


def psnr_library(x, y):
    return peak_signal_noise_ratio(y.double().numpy(), x.double().numpy(), data_range=2)


def psnr_loop(x, y):
    total = sum((a - b) ** 2 for a, b in zip(x.flatten().tolist(), y.flatten().tolist(),
                strict=True))  # fmt: skip
    return [10 * np.log10(4) - 10 * np.log10(total / x.numel())]


def psnr_natural(x, y):
    return (10 / math.log(10)) * torch.log(4.0 * x.numel() / (x - y).norm() ** 2)


mse = lambda x, y: ((x - y) ** 2).mean()
log10 = torch.log10
PSNR_WRONG = {
    "range_one": lambda x, y: -10 * log10(mse(x, y)),
    "range_255": lambda x, y: 10 * log10(255**2 / mse(x, y)),
    "range_not_squared": lambda x, y: 10 * log10(2 / mse(x, y)),
    "natural_logarithm": lambda x, y: 10 * math.log(4 / mse(x, y)),
    "twenty": lambda x, y: 20 * log10(4 / mse(x, y)),
    "ten_missing": lambda x, y: log10(4 / mse(x, y)),
    "sign": lambda x, y: 10 * log10(mse(x, y) / 4),
    "mean_of_decibels": lambda x, y: (
        10 * log10(4 / (x - y).square().flatten(1).mean(1))
    ).mean(),
    "absolute": lambda x, y: 10 * log10(4 / F.l1_loss(x, y)),
    "sum": lambda x, y: 10 * log10(4 / ((x - y) ** 2).sum()),
    "root_missing": lambda x, y: 20 * log10(2 / mse(x, y)),
    "peak_of_picture": [
        lambda x, y: 10 * log10(y.max() ** 2 / mse(x, y)),
        lambda x, y: 10 * log10(x.max() ** 2 / mse(x, y)),
        lambda x, y: 20 * log10(x.abs().max() / mse(x, y).sqrt()),
        lambda x, y: 10 * log10(torch.maximum(x.max(), y.max()) ** 2 / mse(x, y)),
    ],
    "own_range": [
        lambda x, y: 10 * log10((x.max() - x.min()) ** 2 / mse(x, y)),
        lambda x, y: 20 * log10((y.max() - y.min()) / mse(x, y).sqrt()),
        lambda x, y: 10 * log10(np.ptp(torch.cat([x, y]).numpy()) ** 2 / mse(x, y)),
        lambda x, y: peak_signal_noise_ratio(
            y.numpy(), x.numpy(), data_range=float(y.max() - y.min())
        ),
    ],
    "squared_after_mean": lambda x, y: 10 * log10(4 / (x - y).mean() ** 2),
    "shape": lambda x, y: 10 * log10(4 / (x - y).square().mean((1, 2, 3))),
}

# --------------------------------------------------------------- 11.reduce


def reduce_reshape(x, f):
    n, c, h, w = x.shape
    return x.view(n, c, h // f, f, w // f, f).mean(dim=(3, 5))


def reduce_conv(images, factor):
    kernel = torch.ones(images.shape[1], 1, factor, factor) / factor**2
    return F.conv2d(images, kernel, stride=factor, groups=images.shape[1])


def reduce_loop(images, k):
    x = images.double().numpy()
    out = np.zeros((*x.shape[:2], x.shape[2] // k, x.shape[3] // k))
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            square = x[:, :, i * k : (i + 1) * k, j * k : (j + 1) * k]
            out[:, :, i, j] = square.mean(axis=(2, 3))
    return out


def reduce_halving(x, f):
    for _ in range(f // 2):
        x = F.avg_pool2d(x, 2)
    return x


def reduce_slices(x, k):
    return sum(x[..., i::k, j::k] for i in range(k) for j in range(k)) / (k * k)


reduce_module = lambda images, factor: nn.AvgPool2d(factor)(images)
reduce_area = lambda x, f: F.interpolate(x, scale_factor=1 / f, mode="area")
resized = lambda mode, antialias=False: (
    lambda x, f: F.interpolate(x, scale_factor=1 / f, mode=mode, antialias=antialias)
)
blocks = lambda x, f: x.unfold(2, f, f).unfold(3, f, f).flatten(-2)
REDUCE_WRONG = {
    "every_nth": [
        lambda x, f: x[:, :, ::f, ::f],
        resized("nearest"),
        resized("nearest-exact"),
        lambda x, f: x[:, :, f - 1 :: f, f - 1 :: f],
    ],
    "largest": lambda x, f: nn.MaxPool2d(f)(x),
    "median": [
        lambda x, f: blocks(x, f).median(-1)[0],
        lambda x, f: np.median(blocks(x, f).numpy(), axis=-1),
    ],
    "sum": lambda x, f: blocks(x, f).sum(-1),
    "divided_once": lambda x, f: blocks(x, f).sum(-1) / f,
    "rows_only": lambda x, f: F.avg_pool2d(x, (f, 1))[..., ::f],
    "columns_only": lambda x, f: F.avg_pool2d(x, (1, f))[:, :, ::f],
    "cut_out": lambda x, f: x[..., : x.shape[2] // f, : x.shape[3] // f],
    "wrong_squares": lambda x, f: x.reshape(
        len(x), x.shape[1], f, x.shape[2] // f, f, x.shape[3] // f
    ).mean((2, 4)),
    "runs_of_pixels": lambda x, f: x.reshape(
        len(x), x.shape[1], x.shape[2] // f, x.shape[3] // f, f * f
    ).mean(-1),
    "bicubic": [resized("bicubic", True), lambda x, f: pairs.downsample(x, f)],
    "bicubic_without_antialias": resized("bicubic"),
    "bilinear": resized("bilinear", True),
    "bilinear_without_antialias": resized("bilinear"),
    "shape": [
        lambda x, f: F.avg_pool2d(x, f, stride=1),
        lambda x, f: reduce_halving(x, f),  # right for 2 and 4 only
    ],
}

# --------------------------------------------------------------- 11.shuffle


def shuffle_slices(x, r):
    n, c, h, w = x.shape
    out = x.new_zeros(n, c // r**2, h * r, w * r)
    for i in range(r):
        for j in range(r):
            out[:, :, i::r, j::r] = x[:, r * i + j :: r * r]
    return out


def shuffle_numpy(x, r):
    n, c, h, w = x.shape
    x = x.numpy().reshape(n, c // r**2, r, r, h, w)
    x = np.moveaxis(np.moveaxis(x, 2, 4), 2, 5)
    return x.reshape(n, c // r**2, h * r, w * r)


def shuffle_loop(x, factor):
    n, c, h, w = x.shape
    out = torch.empty(n, c // factor**2, h * factor, w * factor)
    for row in range(h * factor):
        for col in range(w * factor):
            place = (row % factor) * factor + col % factor
            out[:, :, row, col] = x[:, place :: factor**2, row // factor, col // factor]
    return out.double()


def shuffle_transposed(x, r):
    """A transposed convolution with one-hot kernels does it, too."""
    kernel = torch.eye(r * r).view(r * r, 1, r, r)
    groups = x.shape[1] // r**2
    return F.conv_transpose2d(
        x, kernel.repeat(groups, 1, 1, 1), stride=r, groups=groups
    )


shuffle_module = lambda x, r: nn.PixelShuffle(r)(x)


def laid(split, order):
    def answer(x, r):
        n, c, h, w = x.shape
        c //= r * r
        size = {"n": n, "c": c, "r": r, "s": r, "h": h, "w": w}
        parts = x.reshape([size[k] for k in split])
        return parts.permute([split.index(k) for k in order]).reshape(
            n, c, h * r, w * r
        )

    return answer


SHUFFLE_WRONG = {
    "reshaped": lambda x, r: x.reshape(
        len(x), x.shape[1] // r**2, x.shape[2] * r, x.shape[3] * r
    ),
    "channels_last_in_groups": laid("nrschw", "nchrws"),
    "turned_over": laid("ncrshw", "nchswr"),
    "tiles": laid("ncrshw", "ncrhsw"),
    "axes_exchanged": laid("ncrshw", "nchrsw"),
    "rows_tiled": laid("ncrshw", "ncrhws"),
    "enlarged": lambda x, r: F.interpolate(
        x[:, : x.shape[1] // r**2], scale_factor=r, mode="nearest"
    ),
    "mean_enlarged": lambda x, r: F.interpolate(
        x.unflatten(1, (-1, r * r)).mean(2), scale_factor=r, mode="nearest"
    ),
    "shape": lambda x, r: F.pixel_unshuffle(F.interpolate(x, scale_factor=r), r),
}

# --------------------------------------------------------------- 11.best_answer


def best_loop(originals, shares):
    picture = 0
    for y, p in zip(originals, shares, strict=True):
        picture = picture + p * y
    loss = 0
    for y, p in zip(originals, shares, strict=True):
        loss = loss + p * F.mse_loss(y, picture)
    return picture, loss


def best_variance(y, p):
    first, second = (torch.einsum("k,kchw->chw", p, y**power) for power in (1, 2))
    return [first, (second - first**2).mean().item()]


def best_numpy(originals, shares):
    mean = np.average(originals.numpy(), axis=0, weights=shares.numpy())
    errors = ((originals.numpy() - mean) ** 2).mean(axis=(1, 2, 3))
    return mean[None], np.average(errors, weights=shares.numpy())


def best_descent(originals, shares):
    """What a net would do, with the pixels themselves as its only weights."""
    picture = torch.zeros_like(originals[0], requires_grad=True)
    for _ in range(400):
        loss = (shares * ((originals - picture) ** 2).mean((1, 2, 3))).sum()
        (g,) = torch.autograd.grad(loss, picture)
        picture.data -= 0.2 * picture.numel() * g
    return picture, loss


average = lambda y, p: (p[:, None, None, None] * y).sum(0)
spread = lambda y, p: (y - average(y, p)) ** 2
error = lambda y, p: (p * spread(y, p).mean((1, 2, 3))).sum()
BEST_WRONG = {
    "shares_ignored": lambda y, p: (y.mean(0), error(y, p)),
    "likeliest": lambda y, p: (y[p.argmax()], error(y, p)),
    "median": lambda y, p: (y.median(0)[0], error(y, p)),
    "not_divided": lambda y, p: ((p[:, None, None, None] * y).mean(0), error(y, p)),
    "first": lambda y, p: (y[0], 0),
    "middle": lambda y, p: ((y.max(0)[0] + y.min(0)[0]) / 2, error(y, p)),
    "loss_without_shares": lambda y, p: (average(y, p), spread(y, p).mean()),
    "summed_over_pixels": lambda y, p: (
        average(y, p),
        (p * spread(y, p).sum((1, 2, 3))).sum(),
    ),
    "root": lambda y, p: (average(y, p), error(y, p) ** 0.5),
    "absolute": lambda y, p: (
        average(y, p),
        (p * (y - average(y, p)).abs().mean((1, 2, 3))).sum(),
    ),
    "of_the_likeliest": lambda y, p: (average(y, p), spread(y, p)[p.argmax()].mean()),
    "unbiased": lambda y, p: (average(y, p), y.var(0).mean()),
    "loss_not_divided": lambda y, p: (average(y, p), error(y, p) / len(y)),
    "no_loss": lambda y, p: (average(y, p), 0.0),
    "a_pair": lambda y, p: average(y, p),
}


def weighted_median(y, p):
    out = torch.empty_like(y[0])
    for index in np.ndindex(*out.shape):
        column = y[(slice(None), *index)]
        order = column.argsort()
        out[index] = column[order][p[order].cumsum(0) >= 0.5][0]
    return out, error(y, p)


BEST_WRONG["weighted_median"] = weighted_median

# --------------------------------------------------------------- 11.keep_luma

Y = lambda x: 0.299 * x[:, 0:1] + 0.587 * x[:, 1:2] + 0.114 * x[:, 2:3]
luma_shift = lambda grey, painted: painted + Y(grey) - Y(painted)


def luma_library(grey, painted):
    out = []
    for g, c in zip(grey, painted, strict=True):
        yuv = rgb2yuv(c.permute(1, 2, 0).double().numpy())
        yuv[..., 0] = g[0].numpy()
        out.append(yuv2rgb(yuv).transpose(2, 0, 1))
    return out


def luma_package(grey, painted):
    yuv = pairs.rgb_to_yuv(painted.double())
    yuv[:, 0] = grey[:, 1]
    return pairs.yuv_to_rgb(yuv)


def luma_four_digits(grey, painted):
    """The way back as textbooks print it."""
    y, u, v = grey[:, 0], *pairs.rgb_to_yuv(painted)[:, 1:].unbind(1)
    channels = [y + 1.14 * v, y - 0.395 * u - 0.581 * v, y + 2.033 * u]
    return torch.stack(channels, 1)


def psnr_torchmetrics(x, y):
    from torchmetrics.functional.image import peak_signal_noise_ratio

    return peak_signal_noise_ratio(x, y, data_range=(-1.0, 1.0))


def luma_loop(grey, painted):
    out = painted.clone()
    for k in range(len(out)):
        r, g, b = painted[k]
        for channel in range(3):
            out[k, channel] += grey[k, 0] - (299 * r + 587 * g + 114 * b) / 1000
    return out.numpy()


def luma_short(grey, painted):
    y = torch.einsum("nchw,c->nhw", painted, torch.tensor([0.299, 0.587, 0.114]))
    return painted + grey[:, :1] - y[:, None]


LUMA_WRONG = {
    "exchanged": lambda g, c: pairs.yuv_to_rgb(
        torch.cat([pairs.rgb_to_yuv(c)[:, :1], pairs.rgb_to_yuv(g)[:, 1:]], 1)
    ),
    "not_back": lambda g, c: torch.cat([g[:, :1], pairs.rgb_to_yuv(c)[:, 1:]], 1),
    "clipped": lambda g, c: luma_short(g, c).clamp(-1, 1),
    "plain_mean": lambda g, c: c + g - c.mean(1, keepdim=True),
    "untouched": lambda g, c: c,
    "only_grey": lambda g, c: g,
    "average": lambda g, c: (g + c) / 2,
    "added": lambda g, c: g + c,
    "product": lambda g, c: c * g / Y(c),
    "first_channel_only": lambda g, c: torch.cat(
        [luma_shift(g, c)[:, :1], c[:, 1:]], 1
    ),
    "red_replaced": lambda g, c: torch.cat([g[:, :1], c[:, 1:]], 1),
    "green_as_luma": lambda g, c: c + g - c[:, 1:2],
    "other_standard": lambda g, c: (
        c + g - 0.2126 * c[:, :1] - 0.7152 * c[:, 1:2] - 0.0722 * c[:, 2:]
    ),
    "whole_picture": lambda g, c: c + (g - Y(c)).mean((2, 3), keepdim=True)[:, :1],
    "wrong_sign": lambda g, c: c - g + Y(c),
    "shape": lambda g, c: luma_shift(g, c)[:, :1],
}


def luma_in_place(grey, painted):
    painted += grey - Y(painted)
    return painted


LUMA_WRONG["writes_over_input"] = luma_in_place

RIGHT = {
    "11.psnr": [
        psnr_root,
        psnr_shifted,
        psnr_library,
        psnr_loop,
        psnr_natural,
        psnr_torchmetrics,
    ],
    "11.reduce": [
        reduce_reshape,
        reduce_conv,
        reduce_loop,
        reduce_slices,
        reduce_module,
        reduce_area,
    ],
    "11.shuffle": [
        shuffle_slices,
        shuffle_numpy,
        shuffle_loop,
        shuffle_transposed,
        shuffle_module,
        laid("ncrshw", "nchrws"),
    ],
    "11.best_answer": [best_loop, best_variance, best_numpy, best_descent],
    "11.keep_luma": [
        luma_shift,
        luma_library,
        luma_package,
        luma_loop,
        luma_four_digits,
    ],
}
WRONG = {
    "11.psnr": PSNR_WRONG,
    "11.reduce": REDUCE_WRONG,
    "11.shuffle": SHUFFLE_WRONG,
    "11.best_answer": BEST_WRONG,
    "11.keep_luma": LUMA_WRONG,
}
right, wrong = cases("11", RIGHT, WRONG)


@right
def test_a_right_answer_passes_however_it_is_written(name, answer):
    passes(name, answer)


@wrong
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)
