"""Checks of notebook 13: fast and adversarial style."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gancourse.checks.compare import COMMON, expect, tensor, unchanged
from gancourse.checks.probes import normal, same_slopes, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake
from gancourse.models.transform import adain as right_adain


def _mean_std(x: Tensor, dims: tuple[int, ...], correction: int = 0) -> tuple:
    std, mean = torch.std_mean(x, dims, correction=correction, keepdim=True)
    return mean, std


# --------------------------------------------------------------- 13.instance_norm


def instance_norm(answer) -> None:
    """answer(x, eps): (x − mean) / sqrt(variance + eps), map by map."""
    for eps in (1e-5, 0.3):
        x = 0.5 * normal(3, 4, 3, 5) + normal(3, 4, 1, 1)
        got = tensor(answer(x, eps), (3, 4, 3, 5))
        unchanged(answer)
        mean, std = _mean_std(x, (2, 3))

        def over(dims, x=x, eps=eps):
            mean, std = _mean_std(x, dims)
            return (x - mean) / (std**2 + eps).sqrt()

        wrong = {
            "over_the_batch": over((0, 2, 3)),
            "over_channels": over((1, 2, 3)),
            "over_everything": [
                over((0, 1, 2, 3)),
                (x - x.mean()) / (x.var() + eps).sqrt(),
            ],
            "at_each_place": over((1,)),
            "rows_only": over((3,)),
            "columns_only": over((2,)),
            "unbiased": (x - mean) / (x.var((2, 3), keepdim=True) + eps).sqrt(),
            "mean_kept": x / (std**2 + eps).sqrt(),
            "only_centred": x - mean,
            "by_variance": (x - mean) / (std**2 + eps),
        }
        if eps > 0.1:  # with the small one these are right
            wrong |= {
                "eps_outside": (x - mean) / (std + eps),
                "eps_ignored": [
                    (x - mean) / std,
                    (x - mean) / (std**2 + 1e-5).sqrt(),
                ],
                "eps_squared": (x - mean) / (std**2 + eps**2).sqrt(),
            }
        expect(got, over((2, 3)), wrong, rtol=1e-3, atol=1e-4)
    flat = torch.full((1, 2, 3, 3), 0.7)
    if not tensor(answer(flat, 1e-5), (1, 2, 3, 3)).isfinite().all():
        raise Mistake("eps_ignored")


_NORM = {
    "over_the_batch": Hint(
        "A picture changes when others in its batch change.",
        "You take mean and deviation over the batch, too: that is batch normalisation.",
        "Only over the places of each map: dimensions 2 and 3.",
    ),
    "over_channels": Hint(
        "A channel changes when another channel changes.",
        "You take mean and deviation over the channels, too.",
        "Each channel by itself: dimensions 2 and 3.",
    ),
    "over_everything": Hint(
        "All pictures and channels share one mean in your result.",
        ".mean() without dimensions is over everything.",
        "x.mean((2, 3), keepdim=True).",
    ),
    "at_each_place": Hint(
        "You normalise each place across its channels.",
        "That is another normalisation: its mean is over dimension 1.",
        "Over the places of each map: dimensions 2 and 3.",
    ),
    "rows_only": Hint(
        "Each row of your maps has mean 0 by itself.",
        "You average over the width only.",
        "Over height and width together: dimensions 2 and 3.",
    ),
    "columns_only": Hint(
        "Each column of your maps has mean 0 by itself.",
        "You average over the height only.",
        "Over height and width together: dimensions 2 and 3.",
    ),
    "unbiased": Hint(
        "Your values are a little too small, more so for small maps.",
        "torch.var divides by n − 1, unless told otherwise.",
        "x.var((2, 3), correction=0, keepdim=True).",
    ),
    "mean_kept": Hint(
        "Your maps do not have mean 0.",
        "You divide only.",
        "Subtract the mean first.",
    ),
    "only_centred": Hint(
        "Your maps keep their contrast.",
        "You subtract the mean only.",
        "Divide by sqrt(variance + eps).",
    ),
    "by_variance": Hint(
        "Your maps do not have deviation 1.",
        "You divide by the variance.",
        "Its root is missing.",
    ),
    "eps_outside": Hint(
        "For a large eps your values are not right.",
        "You add it to the deviation.",
        "It belongs under the root: sqrt(variance + eps).",
    ),
    "eps_ignored": Hint(
        "Your result does not depend on eps, or is not finite for a flat map.",
        "A flat map has variance 0, and 0 / 0 is no number.",
        "sqrt(variance + eps), with the eps that you are given.",
    ),
    "eps_squared": Hint(
        "For a large eps your values are not right.",
        "You square it.",
        "variance + eps.",
    ),
}

# --------------------------------------------------------------- 13.adain


def adain(answer) -> None:
    """answer(content, style): content with the means and deviations of style's maps."""
    for n in (3, 1):
        content = 0.7 * normal(3, 4, 4, 5) + normal(3, 4, 1, 1)
        style = 1.5 * normal(n, 4, 2, 3) + 2 * normal(n, 4, 1, 1)
        got = tensor(answer(content, style), (3, 4, 4, 5))
        unchanged(answer)
        (cm, cs), (sm, ss) = (_mean_std(x, (2, 3)) for x in (content, style))
        plain = (content - cm) / cs
        sizes = [_mean_std(x, (2, 3), 1)[1] for x in (content, style)]
        wrong = {
            "content_not_normalised": ss * content + sm,
            "only_means": [content - cm + sm, plain + sm],
            "only_deviations": [plain * ss + cm, plain * ss],
            "means_left_in": content / cs * ss,
            "style_ignored": plain,
            "exchanged": plain * sm + ss,
            "variances": [plain * ss**2 + sm, plain / cs * ss**2 + sm],
            "unbiased": sizes[1] * (content - cm) / sizes[0] + sm,
            "added": content + style.mean((2, 3), keepdim=True),
        }
        for name, dims in (("over_the_batch", (0, 2, 3)), ("over_channels", (1, 2, 3))):
            (a, b), (c, d) = (_mean_std(x, dims) for x in (content, style))
            wrong[name] = d * (content - a) / b + c
        expect(got, right_adain(content, style), wrong, rtol=1e-3, atol=1e-3)
    _flat(answer)


def _flat(answer) -> None:
    """A content channel without contrast becomes the style's mean, not nan."""
    content, style = normal(1, 2, 3, 4), normal(1, 2, 3, 4) + 1
    content[:, 1] = 0.5
    got = tensor(answer(content, style), (1, 2, 3, 4))
    if not got.isfinite().all():
        raise Mistake("flat_channel")
    expect(got, right_adain(content, style), {}, rtol=1e-3, atol=1e-2)


_ADAIN = {
    "content_not_normalised": Hint(
        "Your result has neither the style's means nor its deviations.",
        "The content still has its own: they are scaled and moved, not replaced.",
        "First (content − mean) / deviation, then the style's.",
    ),
    "only_means": Hint(
        "Your result has the style's means, but not its contrast.",
        "The style's deviations are missing.",
        "Divide by the content's deviation, multiply by the style's.",
    ),
    "only_deviations": Hint(
        "Your result has the style's contrast, but not its means.",
        "You add the wrong mean at the end, or none.",
        "Add the style's mean.",
    ),
    "means_left_in": Hint(
        "Your result has the style's contrast, and nobody's means.",
        "You never subtract the content's mean.",
        "First center, then scale, then add the style's mean.",
    ),
    "style_ignored": Hint(
        "Your result does not depend on the style.",
        "This is instance normalisation.",
        "Multiply by the style's deviation, add its mean.",
    ),
    "exchanged": Hint(
        "Your result has the style's mean for a deviation, and the other way round.",
        "torch.std_mean gives the deviation first, the mean second.",
        "Multiply by the deviation, add the mean.",
    ),
    "variances": Hint(
        "Strong channels get too strong, weak ones too weak.",
        "You multiply by the variance of the style.",
        "Multiply by its root, the deviation.",
    ),
    "unbiased": Hint(
        "Your contrast is a little off, more so for small maps.",
        "torch.std divides by n − 1, and the two maps have different n.",
        "std(..., correction=0): divide by the number of places.",
    ),
    "added": Hint(
        "Your result keeps everything of the content.",
        "You add the style's means to the content's.",
        "Take the content's own mean and deviation away first.",
    ),
    "over_the_batch": Hint(
        "A picture changes when others in its batch change.",
        "You take means and deviations over the batch.",
        "For each picture and channel: dimensions 2 and 3 only.",
    ),
    "over_channels": Hint(
        "All channels of a picture get the same mean.",
        "You take means and deviations over the channels.",
        "For each picture and channel: dimensions 2 and 3 only.",
    ),
    "flat_channel": Hint(
        "A channel that is the same everywhere gives nan.",
        "Its deviation is 0, and 0 / 0 is no number.",
        "Add a small number such as 1e-5 to the deviation before you divide.",
    ),
}

# --------------------------------------------------------------- 13.objectives


def _objectives(content, style, real, fake, weights) -> tuple[Tensor, Tensor]:
    a, b, c = weights
    g_loss = a * content + b * style + c * softplus(-fake).mean()
    return g_loss, softplus(-real).mean() + softplus(fake).mean()


def objectives(answer) -> None:
    """answer(content, style, real, fake, weights): (g_loss, d_loss)."""
    for weights in [(1.0, 6.0, 0.4), (0.5, 2.0, 3.0)]:
        content, style = uniform(2, low=0.2)
        real, fake = normal(2, 1, 3, 3) + 0.7, normal(2, 1, 3, 3) - 0.4
        arguments = [content, style, real, fake, weights]
        got = tensor(answer(*arguments), (2,))
        unchanged(answer)
        a, b, c = weights
        g, d = _objectives(*arguments)
        base = a * content + b * style
        wrong = {
            "order": (d, g),
            "one_loss_for_both": [(g, g), (g + d, g + d)],
            "d_opposes_g": (g, -g),
            "d_gets_content_and_style": [(g, base + d), (g, base + c * d)],
            "d_weighted": (g, c * d),
            "no_adversary": (base, d),
            "weights_exchanged": (b * content + a * style + (g - base), d),
            "weights_ignored": (content + style + softplus(-fake).mean(), d),
            "adversarial_not_weighted": (base + softplus(-fake).mean(), d),
            "adversarial_sign": (base - c * softplus(-fake).mean(), d),
            "saturating": (base - c * softplus(fake).mean(), d),
            "g_wants_fake": (base + c * softplus(fake).mean(), d),
            "g_gets_d_loss": (base + c * d, d),
            "labels_swapped": (g, softplus(real).mean() + softplus(-fake).mean()),
            "only_reals": (g, softplus(-real).mean()),
            "d_halved": (g, d / 2),
            "mean_of_terms": (g / 3, d),
        }
        pairs = {k: v if isinstance(v, list) else [v] for k, v in wrong.items()}
        stacked = {name: [*map(torch.stack, each)] for name, each in pairs.items()}
        expect(got, torch.stack([g, d]), stacked, rtol=2e-5)
        same_slopes(answer, _objectives, arguments, (0, 1, 2, 3))


_OBJECTIVES = {
    "order": Hint(
        "Your two numbers are exchanged.",
        "The order is (g_loss, d_loss).",
        "Exchange them.",
    ),
    "one_loss_for_both": Hint(
        "Both players minimise the same number.",
        "Then D helps G: it learns to call fakes real, and says nothing any more.",
        "D has a loss of its own: softplus(−real) + softplus(fake), as means.",
    ),
    "d_opposes_g": Hint(
        "Your D would ruin content and style if it could.",
        "−g_loss hands the whole sum to D, which has no part in two of its terms.",
        "D has a loss of its own: softplus(−real) + softplus(fake), as means.",
    ),
    "d_gets_content_and_style": Hint(
        "D's loss changes with terms that D cannot change.",
        "Content and style are G's errors.",
        "D's loss is made of its logits only.",
    ),
    "d_weighted": Hint(
        "D's loss nearly vanishes where G hardly listens to it.",
        "The weight of the adversarial term belongs into G's sum only.",
        "d_loss is not weighted.",
    ),
    "no_adversary": Hint(
        "G never hears of D, which is trained in vain.",
        "The adversarial term is missing in G's sum, as in one of our sources.",
        "Add weight · softplus(−fake).mean().",
    ),
    "weights_exchanged": Hint(
        "Turning up the style weight keeps more of the content.",
        "The first two weights are exchanged.",
        "The order of `weights` is content, style, adversarial.",
    ),
    "weights_ignored": Hint(
        "Your G's loss does not depend on `weights`.",
        "All terms count alike.",
        "Multiply each term by its own weight.",
    ),
    "adversarial_not_weighted": Hint(
        "Weight 0 does not switch your critic off.",
        "The third weight is not used.",
        "Multiply softplus(−fake).mean() by it.",
    ),
    "adversarial_sign": Hint(
        "G's loss falls when D recognises the fakes.",
        "The adversarial term is subtracted.",
        "Add softplus(−fake): small where D is fooled.",
    ),
    "saturating": Hint(
        "G gets hardly a push when D is sure.",
        "You minimise log(1 − D), the saturating form.",
        "Minimise −log D = softplus(−fake).",
    ),
    "g_wants_fake": Hint(
        "G learns to be called fake.",
        "softplus(fake) is what D pays for fakes.",
        "softplus(−fake).",
    ),
    "g_gets_d_loss": Hint(
        "G's loss is small where D is right.",
        "You gave G the loss of D.",
        "G wants its fakes called real: softplus(−fake).",
    ),
    "labels_swapped": Hint(
        "Your D learns to call fakes real.",
        "The signs of the logits are exchanged in D's loss.",
        "softplus(−real) + softplus(fake).",
    ),
    "only_reals": Hint(
        "Your D never learns from fakes.",
        "The second half of its loss is missing.",
        "Add softplus(fake).mean().",
    ),
    "d_halved": Hint(
        "D's loss is half of what it should be.",
        "You average reals and fakes together.",
        "Two means, added.",
    ),
    "mean_of_terms": Hint(
        "G's loss is a third of what it should be.",
        "You average the three terms; their weights say how they count.",
        "Add them.",
    ),
}

# --------------------------------------------------------------- 13.coverage


def coverage(answer) -> None:
    """answer(kernel, stride): how many inputs reach output places 0 … stride − 1 (and
    again with that period) of a transposed convolution, in one dimension."""
    for kernel, stride in [(14, 5), (3, 2), (4, 2), (7, 3), (6, 4), (2, 3)]:
        got = tensor(answer(kernel, stride))
        if got.numel() != stride:
            raise Mistake("one_for_each_place", f"It gives {got.numel()} numbers.")
        got = got.flatten()
        counts = torch.tensor([len(range(p, kernel, stride)) for p in range(stride)])
        up, down = -(-kernel // stride), kernel // stride
        wrong = {
            "all_rounded_up": torch.full((stride,), up),
            "all_rounded_down": torch.full((stride,), down),
            "mean_for_all": torch.full((stride,), kernel / stride),
            "whole_kernel": torch.full((stride,), kernel),
            # the flip is one of these: first all places with a tap more, or last
            "backwards": [counts.roll(k) for k in range(1, stride)],
            "two_dimensions": counts**2,
            "one_too_many": counts + 1,
            "shares": counts / kernel,
            "remainder": torch.full((stride,), kernel % stride),
            "ones": torch.ones(stride),
        }
        numbers = ", ".join(f"{v:g}" for v in got.tolist())
        seen = f"For kernel {kernel} and stride {stride} it gives [{numbers}]."
        expect(got, counts, wrong, seen)


_COVERAGE = {
    "one_for_each_place": Hint(
        "A list with one count for each of `stride` places is asked for.",
        "The pattern repeats after `stride` places.",
        "Places 0, 1, …, stride − 1.",
    ),
    "all_rounded_up": Hint(
        "Your pattern is always even; with kernel 3 and stride 2 it is not.",
        "You round up for every place.",
        "Place p is reached by the taps p, p + stride, … that are below `kernel`.",
    ),
    "all_rounded_down": Hint(
        "Your pattern is always even; with kernel 3 and stride 2 it is not.",
        "You round down for every place.",
        "Place p is reached by the taps p, p + stride, … that are below `kernel`.",
    ),
    "mean_for_all": Hint(
        "Nobody is reached by one and a half inputs.",
        "kernel / stride is the mean count; the checkerboard is in what it hides.",
        "Count for each place which taps of the kernel land there.",
    ),
    "whole_kernel": Hint(
        "That would be the count for stride 1.",
        "With a stride, inputs lie `stride` apart on the output.",
        "Only every stride-th tap can land on a given place.",
    ),
    "backwards": Hint(
        "Your counts are right, but the list begins at another place.",
        "They are reversed, or read from a place that is not a multiple of the stride.",
        "Place p gets the taps p, p + stride, p + 2 · stride, …",
    ),
    "two_dimensions": Hint(
        "Your counts are squared.",
        "One dimension is asked for; in two the counts multiply.",
        "Count along one line.",
    ),
    "one_too_many": Hint(
        "Each of your counts is one too large.",
        "Taps are numbered from 0 to kernel − 1.",
        "len(range(p, kernel, stride)).",
    ),
    "shares": Hint(
        "Your numbers add up to 1.",
        "These are shares of the kernel's taps.",
        "Give the counts.",
    ),
    "remainder": Hint(
        "kernel % stride is 0 where the pattern is even.",
        "It tells whether there is a checkerboard, not the counts.",
        "kernel % stride places get one tap more than the others. Which ones?",
    ),
    "ones": Hint(
        "Your inputs do not overlap.",
        "That is so if kernel equals stride, or at the edge, where one input reaches.",
        "Two neighbouring inputs overlap by kernel − stride places.",
    ),
}

EXERCISES = [
    Exercise("13.instance_norm", instance_norm, COMMON | _NORM),
    Exercise("13.adain", adain, COMMON | _ADAIN),
    Exercise("13.objectives", objectives, COMMON | _OBJECTIVES),
    Exercise("13.coverage", coverage, COMMON | _COVERAGE),
]
