"""Checks of notebook 11: image enhancement."""

import math

import torch
from torch import Tensor
from torch.nn.functional import (
    avg_pool2d,
    interpolate,
    max_pool2d,
    pixel_shuffle,
)

from gancourse.checks.compare import COMMON, expect, tensor, unchanged
from gancourse.checks.probes import normal, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake
from gancourse.pairs import rgb_to_yuv, yuv_to_rgb

# --------------------------------------------------------------- 11.psnr


def psnr(answer) -> None:
    """answer(x, y): decibels of pictures in [−1, 1], one MSE over all of them."""
    for noise in (0.05, 0.4):
        y = 0.6 * uniform(3, 3, 5, 6, low=-1) - 0.1  # no picture uses the whole range
        scale = noise * torch.tensor([1.0, 2, 3]).view(3, 1, 1, 1)
        x = (y + scale * normal(3, 3, 5, 6)).clamp(-0.9, 0.7)
        got = tensor(answer(x, y), ())
        unchanged(answer)
        d = (x - y).double()
        mse, each = d.square().mean(), d.square().mean((1, 2, 3))
        right = 10 * torch.log10(4 / mse)
        pictures = [p.double() for p in (x, y, torch.stack([x, y]))]
        wrong = {
            "range_one": -10 * mse.log10(),
            "range_255": 20 * math.log10(255) - 10 * mse.log10(),
            "range_not_squared": 10 * torch.log10(2 / mse),
            "natural_logarithm": 10 * torch.log(4 / mse),
            "twenty": 20 * torch.log10(4 / mse),
            "ten_missing": torch.log10(4 / mse),
            "sign": -right,
            "mean_of_decibels": (10 * torch.log10(4 / each)).mean(),
            "absolute": 10 * torch.log10(4 / d.abs().mean()),
            "sum": 10 * torch.log10(4 / d.square().sum()),
            "root_missing": 20 * torch.log10(2 / mse),
            "peak_of_picture": [
                10 * torch.log10(peak**2 / mse)
                for p in pictures
                for peak in (p.max(), p.abs().max())
            ],
            "own_range": [
                10 * torch.log10((p.max() - p.min()) ** 2 / mse) for p in pictures
            ],
            "squared_after_mean": 10 * torch.log10(4 / d.mean().square()),
        }
        expect(got, right, wrong)


_PSNR = {
    "range_one": Hint(
        "Your number is about 6 dB too low.",
        "You take the range of the pixels to be 1. From −1 to 1 it is 2.",
        "The peak is the whole range: 10 log₁₀(2² / MSE).",
    ),
    "range_255": Hint(
        "Your number is about 42 dB too high.",
        "255 is the range of bytes. These pixels lie in [−1, 1].",
        "10 log₁₀(2² / MSE).",
    ),
    "range_not_squared": Hint(
        "Your number is about 3 dB too low.",
        "The MSE is a square, so the peak has to be squared, too.",
        "2² = 4 stands in the numerator.",
    ),
    "natural_logarithm": Hint(
        "Your number is 2.3 times too large.",
        "torch.log and math.log are natural logarithms.",
        "Decibels count with log10.",
    ),
    "twenty": Hint(
        "Your number is twice too large.",
        "20 log₁₀ belongs to a ratio of amplitudes, not of squares.",
        "10 log₁₀(peak² / MSE), or 20 log₁₀(peak / RMSE).",
    ),
    "ten_missing": Hint(
        "Your number is ten times too small.",
        "These are bels. A *deci*bel is a tenth.",
        "Multiply by 10.",
    ),
    "sign": Hint(
        "A better picture gets a smaller number from you.",
        "Peak and error are exchanged under the log, or there is one minus too many.",
        "The smaller the MSE, the larger the PSNR.",
    ),
    "mean_of_decibels": Hint(
        "Your number is higher than that of all pixels together.",
        "You average decibels over the pictures; the logarithm bends.",
        "One MSE over all pixels of the batch, then one logarithm.",
    ),
    "absolute": Hint(
        "Your error is not squared.",
        "You use the mean absolute difference.",
        "The S in MSE: square before the mean.",
    ),
    "sum": Hint(
        "Your number falls as the pictures get larger.",
        "You add up the squares.",
        "Take their mean.",
    ),
    "root_missing": Hint(
        "Each halving of the error gives you 12 dB. It should give 6.",
        "20 log₁₀(peak / …) wants the *root* of the MSE.",
        "10 log₁₀(peak² / MSE).",
    ),
    "peak_of_picture": Hint(
        "The same error counts more on a dark picture.",
        "Your peak is the largest pixel of the picture.",
        "The peak is the range that pixels *may* have: 2.",
    ),
    "own_range": Hint(
        "Your number depends on how bright these pictures happen to be.",
        "You take the range from the pictures; two dark ones would get another peak.",
        "The range is that of the scale, from −1 to 1: 2.",
    ),
    "squared_after_mean": Hint(
        "Errors of different sign cancel in your number.",
        "You square the mean difference.",
        "First square, then take the mean.",
    ),
}

# --------------------------------------------------------------- 11.reduce


def reduce(answer) -> None:
    """answer(images, factor): each factor × factor square becomes its mean."""
    for factor in (4, 2, 3):  # 4 first: for 2 and 3 some mistakes look alike
        x = uniform(2, 3, 3 * factor, 2 * factor, low=-1)
        got = tensor(answer(x, factor), (2, 3, 3, 2))
        unchanged(answer)
        squares = x.unfold(2, factor, factor).unfold(3, factor, factor).flatten(4)
        small = {"size": (3, 2)}
        wrong = {
            "every_nth": [
                x[..., first::factor, first::factor]
                for first in (0, factor // 2, factor - 1)
            ],
            "largest": max_pool2d(x, factor),
            "median": [squares.median(-1).values, squares.quantile(0.5, -1)],
            "sum": squares.sum(-1),
            "divided_once": squares.sum(-1) / factor,
            "rows_only": x.unfold(2, factor, factor).mean(-1)[..., ::factor],
            "columns_only": x.unfold(3, factor, factor).mean(-1)[..., ::factor, :],
            "cut_out": x[..., :3, :2],
            "wrong_squares": x.reshape(2, 3, factor, 3, factor, 2).mean((2, 4)),
            "runs_of_pixels": x.reshape(2, 3, 3, 2, -1).mean(-1),
            "bicubic": interpolate(x, mode="bicubic", antialias=True, **small),
            "bicubic_without_antialias": interpolate(x, mode="bicubic", **small),
            "bilinear": interpolate(x, mode="bilinear", antialias=True, **small),
        }
        if factor == 4:  # for 2 this *is* the mean
            wrong["bilinear_without_antialias"] = interpolate(
                x, mode="bilinear", **small
            )
        expect(got, avg_pool2d(x, factor), wrong, atol=1e-5)


_REDUCE = {
    "every_nth": Hint(
        "Fine stripes turn into broad ones, or vanish, depending on where they begin.",
        "You keep one pixel of each square and drop the others: that is aliasing.",
        "All pixels of a square have to count: take their mean.",
    ),
    "largest": Hint(
        "Your small picture is too bright.",
        "You keep the brightest pixel of each square: max pooling.",
        "A sensor adds up all the light that falls on it: take the mean.",
    ),
    "median": Hint(
        "A single bright pixel leaves no trace in your small picture.",
        "You take the median of each square.",
        "A camera's larger pixel collects all of the light: take the mean.",
    ),
    "sum": Hint(
        "Your small picture is outside of [−1, 1].",
        "You add up the pixels of a square.",
        "Divide by factor².",
    ),
    "divided_once": Hint(
        "Your small picture is too strong, by the factor.",
        "You divide the sum of a square by `factor`.",
        "A square has factor² pixels.",
    ),
    "rows_only": Hint(
        "Your picture is smooth from top to bottom and aliased from left to right.",
        "Only rows are averaged; of the columns every n-th is taken.",
        "Average over both directions.",
    ),
    "columns_only": Hint(
        "Your picture is smooth from left to right and aliased from top to bottom.",
        "Only columns are averaged; of the rows every n-th is taken.",
        "Average over both directions.",
    ),
    "cut_out": Hint(
        "Your small picture is a corner of the large one.",
        "You crop; reducing keeps everything in view.",
        "Each factor × factor square becomes one pixel.",
    ),
    "wrong_squares": Hint(
        "Each of your pixels mixes far corners of the picture.",
        "In reshape the number of squares comes before the place in the square.",
        "reshape(n, c, h, factor, w, factor), then the mean over the factors.",
    ),
    "runs_of_pixels": Hint(
        "Each of your pixels is the mean of a run along rows.",
        "reshape cuts the memory into pieces; squares are not pieces of memory.",
        "reshape(n, c, h, factor, w, factor), then the mean over the factors.",
    ),
    "bicubic": Hint(
        "Antialiased, and very near: but not the mean of the square.",
        "The bicubic filter reaches beyond the square, and has negative weights.",
        "Here each square becomes its plain mean: mode='area', or avg_pool2d.",
    ),
    "bicubic_without_antialias": Hint(
        "Fine stripes turn into broad ones.",
        "Without antialiasing bicubic looks at 4 × 4 pixels only, and weighs them.",
        "Each square becomes its plain mean: mode='area', or avg_pool2d.",
    ),
    "bilinear": Hint(
        "Antialiased, and near: but not the mean of the square.",
        "The bilinear filter is a tent that reaches into the neighbouring squares.",
        "Each square becomes its plain mean: mode='area', or avg_pool2d.",
    ),
    "bilinear_without_antialias": Hint(
        "For factor 2 your result is right, for factor 4 it is not.",
        "Bilinear looks at the four pixels around the centre; the others are dropped.",
        "All 16 pixels have to count: mode='area', or avg_pool2d.",
    ),
}

# --------------------------------------------------------------- 11.shuffle


def shuffle(answer) -> None:
    """answer(x, r): (N, C r², h, w) laid out as (N, C, r h, r w), as PixelShuffle."""
    for n, c, r, h, w in [(2, 3, 2, 3, 4), (1, 2, 3, 2, 5)]:
        x = normal(n, c * r * r, h, w)
        got = tensor(answer(x, r), (n, c, h * r, w * r))
        unchanged(answer)

        def lay(shape, order, x=x, size=(n, c, h * r, w * r)):
            return x.reshape(shape).permute(order).reshape(size)

        parts = (n, c, r, r, h, w)
        wrong = {
            "reshaped": x.reshape(n, c, h * r, w * r),
            "channels_last_in_groups": lay((n, r, r, c, h, w), (0, 3, 4, 1, 5, 2)),
            "turned_over": lay(parts, (0, 1, 4, 3, 5, 2)),
            "tiles": lay(parts, (0, 1, 2, 4, 3, 5)),
            "axes_exchanged": lay(parts, (0, 1, 4, 2, 3, 5)),
            "rows_tiled": lay(parts, (0, 1, 2, 4, 5, 3)),
            "enlarged": x[:, :c].repeat_interleave(r, 2).repeat_interleave(r, 3),
            "mean_enlarged": x.reshape(n, c, r * r, h, w)
            .mean(2)
            .repeat_interleave(r, 2)
            .repeat_interleave(r, 3),
        }
        expect(got, pixel_shuffle(x, r), wrong)


_SHUFFLE = {
    "reshaped": Hint(
        "Your picture consists of broad bands, one for each channel.",
        "reshape does not move anything; neighbours in memory stay neighbours.",
        "Split the channels as (C, r, r), permute, and only then reshape.",
    ),
    "channels_last_in_groups": Hint(
        "Your pixels take their colour from the wrong channels.",
        "You split the channels as (r, r, C); the r² of one colour belong together.",
        "Split them as (C, r, r).",
    ),
    "turned_over": Hint(
        "Within each r × r square your pixels are reflected at the diagonal.",
        "The first r of the channels goes with the rows, the second with the columns.",
        "(n, c, r₁, r₂, h, w) becomes (n, c, h, r₁, w, r₂).",
    ),
    "tiles": Hint(
        "Your picture is a mosaic of r × r small pictures.",
        "The place in the square has to vary fastest, not slowest.",
        "(n, c, h, r₁, w, r₂): each h is followed by its r₁.",
    ),
    "axes_exchanged": Hint(
        "Your rows and columns are mixed up.",
        "After the permutation h and w are not where height and width are merged.",
        "(n, c, h, r₁, w, r₂): h with r₁ makes the rows, w with r₂ the columns.",
    ),
    "rows_tiled": Hint(
        "Your columns are right, and your rows form r copies one below the other.",
        "r₁ comes before h; it has to come after it.",
        "(n, c, h, r₁, w, r₂).",
    ),
    "enlarged": Hint(
        "Your picture has large flat pixels, and most channels are unused.",
        "You repeat one channel r × r times.",
        "The r² channels of a colour hold the r² pixels of a square.",
    ),
    "mean_enlarged": Hint(
        "Your picture has large flat pixels.",
        "You average the r² channels of a colour.",
        "They hold the r² *different* pixels of a square.",
    ),
}

# --------------------------------------------------------------- 11.best_answer


def best_answer(answer) -> None:
    """answer(originals, shares): the picture with the least expected MSE, and that."""
    for k in (4, 5):
        y, p = uniform(k, 3, 4, 5, low=-1), uniform(k, low=0.4).sort().values
        p = p / p.sum()  # the likeliest is neither the first nor has it the majority
        both = answer(y, p)
        unchanged(answer)
        if both is None:
            raise Mistake("returns_nothing")
        if not isinstance(both, (list, tuple)) or len(both) != 2:
            raise Mistake("a_pair")
        weights = p.view(k, 1, 1, 1)
        mean = (weights * y).sum(0)
        pictures = {
            "shares_ignored": y.mean(0),
            "likeliest": y[p.argmax()],
            "median": y.median(0).values,
            "not_divided": (weights * y).mean(0),
            "first": y[0],
            "weighted_median": _median(y, p),
            "middle": (y.amax(0) + y.amin(0)) / 2,
        }
        expect(tensor(both[0], (3, 4, 5)), mean, pictures, atol=1e-4)
        spread = (y - mean).square()
        losses = {
            "loss_without_shares": spread.mean(),
            "summed_over_pixels": (weights * spread).sum(),
            "root": (weights * spread).sum(0).mean().sqrt(),
            "absolute": (weights * (y - mean).abs()).sum(0).mean(),
            "of_the_likeliest": spread[p.argmax()].mean(),
            "unbiased": y.var(0).mean(),
            "loss_not_divided": (weights * spread).mean(),
            "no_loss": torch.zeros(()),
        }
        expect(tensor(both[1], ()), (weights * spread).sum(0).mean(), losses)


def _median(y: Tensor, p: Tensor) -> Tensor:
    """Weighted median over the first dimension."""
    values, order = y.sort(0)
    k = (p[order].cumsum(0) < 0.5).sum(0)
    return values.gather(0, k[None])[0]


_BEST = {
    "a_pair": Hint(
        "A pair is asked for: the picture and its loss.",
        "You return something else than two things.",
        "return picture, loss",
    ),
    "shares_ignored": Hint(
        "Your picture does not change when an original gets rarer.",
        "All originals count alike.",
        "Weigh each with its share: the expectation.",
    ),
    "likeliest": Hint(
        "Your picture is one of the originals; a softer one has a smaller loss.",
        "You answer with the likeliest. When it is wrong, it is very wrong.",
        "Which constant minimises a mean *square*?",
    ),
    "median": Hint(
        "Your picture is the best one under another loss.",
        "The median minimises absolute errors (and you left the shares out).",
        "Squares are minimised by the mean.",
    ),
    "weighted_median": Hint(
        "Your picture is the best one under another loss.",
        "The median minimises absolute errors.",
        "Squares are minimised by the mean.",
    ),
    "not_divided": Hint(
        "Your picture is too grey.",
        "The shares add up to 1 already; you divide by the number of originals again.",
        "(shares · originals).sum(0), not .mean(0).",
    ),
    "first": Hint(
        "Your picture is the first of the originals.",
        "Nothing in the reduced picture says that it was this one.",
        "Which single picture is best on average over all of them?",
    ),
    "middle": Hint(
        "Your picture lies in the middle between the extremes.",
        "That minimises the largest error.",
        "The mean square is minimised by the mean.",
    ),
    "loss_without_shares": Hint(
        "The picture is right, and its loss is not: shares are missing there.",
        "You average the squared errors over the originals as if all were as likely.",
        "Weigh each original's error with its share.",
    ),
    "summed_over_pixels": Hint(
        "The picture is right, and its loss grows with its size.",
        "You add up over pixels.",
        "Expectation over originals, mean over pixels.",
    ),
    "root": Hint(
        "The picture is right. Its loss is the root of the right one.",
        "That is the RMSE.",
        "Leave the root out.",
    ),
    "absolute": Hint(
        "The picture is right. Its loss is not squared.",
        "You measure absolute errors.",
        "MSE: square each difference.",
    ),
    "of_the_likeliest": Hint(
        "The picture is right. Its loss is that for one of the originals only.",
        "Any of them may be the true one.",
        "Take the expectation over all originals.",
    ),
    "unbiased": Hint(
        "The picture is right, and its loss is divided by K − 1, without shares.",
        "torch.var estimates from a sample. These are all there are.",
        "Weigh squared errors with the shares and add them up.",
    ),
    "loss_not_divided": Hint(
        "The picture is right, and its loss is too small.",
        "The shares add up to 1; the mean over originals divides once more.",
        "Sum over originals, mean over pixels.",
    ),
    "no_loss": Hint(
        "No answer can have a loss of 0 here.",
        "One picture cannot be equal to several that differ.",
        "The distance from each original, squared, weighted with its share.",
    ),
}

# --------------------------------------------------------------- 11.keep_luma


_BT709 = torch.tensor([0.2126, 0.7152, 0.0722]).view(3, 1, 1)


def keep_luma(answer) -> None:
    """answer(grey, painted): the brightness of `grey`, the colours of `painted`."""
    for n, most in ((1, 0.3), (3, 0.3), (2, 1.0)):
        grey = uniform(n, 1, 4, 5, low=-most, high=most)
        grey = grey.expand(-1, 3, -1, -1).contiguous()
        painted = uniform(n, 3, 4, 5, low=-most, high=most)
        got = tensor(answer(grey, painted), (n, 3, 4, 5))
        unchanged(answer)
        old, new = rgb_to_yuv(painted), rgb_to_yuv(grey)
        shift = new[:, :1] - old[:, :1]
        mean = painted.mean(1, keepdim=True)
        wrong = {
            "exchanged": yuv_to_rgb(torch.cat([old[:, :1], new[:, 1:]], 1)),
            "not_back": torch.cat([new[:, :1], old[:, 1:]], 1),
            "plain_mean": painted + grey - mean,
            "untouched": painted,
            "only_grey": grey,
            "average": (grey + painted) / 2,
            "added": grey + painted,
            "product": painted * new[:, :1] / old[:, :1],
            "first_channel_only": torch.cat(
                [painted[:, :1] + shift, painted[:, 1:]], 1
            ),
            "red_replaced": torch.cat([grey[:, :1], painted[:, 1:]], 1),
            "green_as_luma": painted + grey - painted[:, 1:2],
            "whole_picture": painted + shift.mean((2, 3), keepdim=True),
            "wrong_sign": painted - shift,
            "other_standard": painted + grey - (_BT709 * painted).sum(1, keepdim=True),
        }
        if most == 1:  # no picture shows these colours, but Y was measured
            wrong = {"clipped": (painted + shift).clamp(-1, 1)}
        # Many know the way back by four digits only: that is right, too.
        expect(got, painted + shift, wrong, atol=4e-3)


_LUMA = {
    "clipped": Hint(
        "Where colours are strong your brightness is not the measured one.",
        "The result is cut at ±1; what is cut off a channel was part of Y.",
        "Leave the numbers as they come; whoever shows a picture may cut it.",
    ),
    "exchanged": Hint(
        "Your picture has no colours.",
        "You keep the brightness of `painted` and the colours of `grey`.",
        "Y from `grey`, U and V from `painted`.",
    ),
    "not_back": Hint(
        "Your result has Y, U and V in the places of red, green and blue.",
        "The way back is missing.",
        "pairs.yuv_to_rgb at the end.",
    ),
    "plain_mean": Hint(
        "Your blue areas come out too bright, your green ones too dark.",
        "You take the plain mean of the channels for brightness.",
        "Y = 0.299 R + 0.587 G + 0.114 B.",
    ),
    "untouched": Hint(
        "Your picture has the brightness of the painted one.",
        "`grey` is not used. It is what the camera has measured.",
        "Put its Y in the place of the painted picture's.",
    ),
    "only_grey": Hint(
        "Your picture has no colours.",
        "`painted` is not used.",
        "Take its U and V.",
    ),
    "average": Hint(
        "Your colours are half as strong, and the brightness is not the measured one.",
        "You average the two pictures.",
        "Split both into Y, U, V, and take each part from one of them only.",
    ),
    "added": Hint(
        "Your picture is too bright.",
        "You add the pictures: the brightness of the painted one is still in it.",
        "Subtract it: only U and V of `painted` are wanted.",
    ),
    "product": Hint(
        "Where the painted picture is nearly 0 yours explodes.",
        "A ratio of brightnesses scales the colours, too. Zero is mid-grey here.",
        "Exchange Y, and leave U and V alone.",
    ),
    "first_channel_only": Hint(
        "Your picture has a red or a cyan cast.",
        "You add the difference of brightness to one channel.",
        "All three channels get the same difference; U and V then stay as they are.",
    ),
    "red_replaced": Hint(
        "Your picture has a red or a cyan cast.",
        "You put the grey into the first channel, which is red, not Y.",
        "Convert to YUV first, replace Y, and convert back.",
    ),
    "green_as_luma": Hint(
        "Your brightness is right for green only.",
        "You take the green channel for brightness.",
        "Y = 0.299 R + 0.587 G + 0.114 B.",
    ),
    "other_standard": Hint(
        "Your brightness is that of another colour standard.",
        "0.2126, 0.7152, 0.0722 belong to high-definition television.",
        "The course's YUV has Y = 0.299 R + 0.587 G + 0.114 B.",
    ),
    "whole_picture": Hint(
        "Your picture is as bright as it should be on average, but not pixel by pixel.",
        "You average the difference over the picture.",
        "Each pixel has its own Y.",
    ),
    "wrong_sign": Hint(
        "Bright places of the grey picture come out dark.",
        "The difference of brightness has the wrong sign.",
        "painted + (Y of grey − Y of painted).",
    ),
}

_IMPORTS = 20.0  # seconds: a library such as torchmetrics is a right answer, too

EXERCISES = [
    Exercise("11.psnr", psnr, COMMON | _PSNR, _IMPORTS),
    Exercise("11.reduce", reduce, COMMON | _REDUCE, _IMPORTS),
    Exercise("11.shuffle", shuffle, COMMON | _SHUFFLE),
    Exercise("11.best_answer", best_answer, COMMON | _BEST),
    Exercise("11.keep_luma", keep_luma, COMMON | _LUMA, _IMPORTS),
]
