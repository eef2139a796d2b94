"""Checks of notebook 12: pixels, and what moves them (what style is: ch12)."""

import torch
from torch import Tensor, nn

from gancourse.checks.compare import COMMON, expect, tensor, unchanged
from gancourse.checks.probes import same_slopes, seeded, uniform
from gancourse.checks.verdict import Exercise, Hint, Mistake

# --------------------------------------------------------------- 12.total_variation


def _tv(x: Tensor) -> Tensor:
    return x.diff(dim=-2).abs().mean() + x.diff(dim=-1).abs().mean()


def total_variation(answer) -> None:
    """answer(images): mean absolute step down plus mean absolute step across."""
    for shape in [(2, 3, 4, 6), (1, 3, 7, 3)]:
        ramp = torch.arange(shape[2])[:, None] - torch.arange(shape[3])
        x = uniform(*shape, low=-1) + ramp / 2  # falls across, rises down
        got = tensor(answer(x), ())
        unchanged(answer)
        down, across = x.diff(dim=-2), x.diff(dim=-1)
        rolled = [(x - x.roll(1, k)).abs().mean() for k in (-2, -1)]
        total = down.abs().sum() + across.abs().sum()
        wrong = {
            "squared": down.square().mean() + across.square().mean(),
            "sum": total,
            "one_mean_over_both": total / (down.numel() + across.numel()),
            "all_pixels": total / x.numel(),
            "only_down": down.abs().mean(),
            "only_across": across.abs().mean(),
            "halved": _tv(x) / 2,
            "not_absolute": down.mean() + across.mean(),
            "absolute_too_late": down.mean().abs() + across.mean().abs(),
            "around_the_border": sum(rolled),
            "length_of_gradient": (
                (down[..., :-1].square() + across[..., :-1, :].square()).sqrt().mean()
            ),
            "across_colours": [
                x.diff(dim=1).abs().mean() + other.abs().mean()
                for other in (across, down)
            ],
            "per_picture": total / len(x),
        }
        expect(got, _tv(x), wrong, rtol=2e-5)
        same_slopes(answer, _tv, [x], (0,))


_TV = {
    "squared": Hint(
        "One sharp edge costs more than the same step in many small ones.",
        "You square the steps. Total variation charges every way up the same.",
        ".abs() in place of the square.",
    ),
    "sum": Hint(
        "Your number grows with the size of the picture.",
        "You add the steps up.",
        "Take the mean in each direction.",
    ),
    "one_mean_over_both": Hint(
        "Your number is about half, and depends on the format of the picture.",
        "You average over all steps of both directions together.",
        "Two means, added.",
    ),
    "all_pixels": Hint(
        "Your number is a little too small, more so for small pictures.",
        "You divide by the number of pixels; a row has one step less than pixels.",
        "Take .mean() of each set of differences.",
    ),
    "only_down": Hint(
        "Vertical edges cost nothing.",
        "Only steps from row to row are there.",
        "Add the steps from column to column.",
    ),
    "only_across": Hint(
        "Horizontal edges cost nothing.",
        "Only steps from column to column are there.",
        "Add the steps from row to row.",
    ),
    "halved": Hint(
        "Your number is half of the right one.",
        "You average the two directions.",
        "Add them.",
    ),
    "not_absolute": Hint(
        "A step up and a step down cancel in your number.",
        "The absolute value is missing.",
        ".abs() before the mean.",
    ),
    "absolute_too_late": Hint(
        "A step up and a step down cancel in your number.",
        "You take the absolute value after the mean.",
        "First .abs(), then .mean().",
    ),
    "around_the_border": Hint(
        "A smooth ramp from left to right has one large step in your eyes.",
        "torch.roll makes the last column a neighbour of the first.",
        "x[..., 1:] - x[..., :-1], or x.diff(dim=-1).",
    ),
    "length_of_gradient": Hint(
        "Diagonal edges are cheaper than they should be here.",
        "You take the length of (down, across) at each pixel: the isotropic form.",
        "Here absolute steps in both directions are averaged apart, and added.",
    ),
    "across_colours": Hint(
        "A flat red picture costs something.",
        "You take differences along dimension 1, the colours.",
        "Height is dimension −2 and width −1.",
    ),
    "per_picture": Hint(
        "Your number grows with the size of the picture.",
        "You add up the steps of each picture and average over the batch.",
        "Take means over everything, in each direction.",
    ),
}

# --------------------------------------------------------------- 12.to_vgg

_MEAN, _STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def to_vgg(answer) -> None:
    """answer(images, mean, std): pixels in [−1, 1] as a net trained on ImageNet
    expects them: in [0, 1], minus mean, divided by std, channel by channel."""
    mean, std = torch.tensor(_MEAN), torch.tensor(_STD)
    m, s = mean.view(3, 1, 1), std.view(3, 1, 1)
    for shape, reach in [((2, 3, 4, 5), 1.2), ((1, 3, 3, 3), 1)]:
        x = reach * uniform(*shape, low=-1)  # a painting in progress leaves [−1, 1]
        got = tensor(answer(x, mean.clone(), std.clone()), shape)
        unchanged(answer)
        unit = (x + 1) / 2
        right = (unit - m) / s
        wrong = {
            "not_moved": (x - m) / s,
            "bytes": (unit * 255 - m) / s,
            "bytes_divided": (x / 255 - m) / s,
            "only_halved": (x / 2 - m) / s,
            "only_shifted": (x + 1 - m) / s,
            "std_forgotten": unit - m,
            "mean_forgotten": unit / s,
            "neither": unit,
            "clamped": (unit.clamp(0, 1) - m) / s,
            "untouched": x,
            "multiplied": (unit - m) * s,
            "variance": (unit - m) / s**2,
            "wrong_order": [unit / s - m, unit - m / s],
            "mean_of_the_other_scale": (x - (2 * m - 1)) / s,
            "other_colours": [
                (unit.flip(1) - m) / s,
                (unit - m.flip(0)) / s.flip(0),
            ],
            "one_mean_for_all": (unit - mean.mean()) / std.mean(),
            "own_statistics": (unit - unit.mean((2, 3), keepdim=True))
            / unit.std((2, 3), keepdim=True),
        }
        expect(got, right, wrong)


_TO_VGG = {
    "not_moved": Hint(
        "Black pixels come out far too dark.",
        "mean and std belong to pixels in [0, 1]; yours lie in [−1, 1].",
        "First (x + 1) / 2.",
    ),
    "bytes": Hint(
        "Your numbers go up to a thousand.",
        "You scale to 0 … 255; mean and std belong to [0, 1].",
        "(x + 1) / 2 and nothing more.",
    ),
    "bytes_divided": Hint(
        "Your picture is almost one colour.",
        "You divide by 255; these pixels were no bytes.",
        "From [−1, 1] to [0, 1]: (x + 1) / 2.",
    ),
    "only_halved": Hint(
        "Black pixels come out far too dark.",
        "x / 2 lies in [−0.5, 0.5].",
        "(x + 1) / 2.",
    ),
    "only_shifted": Hint(
        "White pixels come out far too bright.",
        "x + 1 lies in [0, 2].",
        "(x + 1) / 2.",
    ),
    "std_forgotten": Hint(
        "Your picture has four times too little contrast.",
        "You subtract the mean and stop.",
        "Divide by std, channel by channel.",
    ),
    "mean_forgotten": Hint(
        "Your picture is not centred.",
        "You divide by std and do not subtract the mean.",
        "First minus mean, then divided by std.",
    ),
    "neither": Hint(
        "Your pixels lie in [0, 1], and that is all.",
        "mean and std are not used.",
        "(unit − mean) / std, channel by channel.",
    ),
    "untouched": Hint(
        "Your pixels are what they were.",
        "Mean 0.5 and deviation 0.5 lead back from [0, 1] to [−1, 1].",
        "Use the mean and std that are given, for each colour its own.",
    ),
    "multiplied": Hint(
        "Your picture has nearly no contrast.",
        "You multiply by std.",
        "Divide: the result should have a deviation of about 1.",
    ),
    "variance": Hint(
        "Your contrast is four times too strong.",
        "You divide by std² .",
        "std is the deviation already; no square, no root.",
    ),
    "wrong_order": Hint(
        "Your picture is not centred.",
        "The mean is subtracted after the division, or divided alone: / binds first.",
        "(pixels − mean) / std, with the brackets.",
    ),
    "mean_of_the_other_scale": Hint(
        "Your picture is centred, with twice the contrast.",
        "You moved the mean to [−1, 1], and left std on the scale of [0, 1].",
        "On [−1, 1] deviations are twice as large. Simpler: (x + 1) / 2 first.",
    ),
    "other_colours": Hint(
        "Red and blue are exchanged.",
        "The order of colours is turned round somewhere.",
        "Here pictures, mean and std are all in the order red, green, blue.",
    ),
    "one_mean_for_all": Hint(
        "Your picture has a slight cast.",
        "All colours get the same mean and std.",
        "mean.view(3, 1, 1) lines up with the channels of (N, 3, H, W).",
    ),
    "clamped": Hint(
        "Pixels beyond ±1 are cut off.",
        "A picture that is being painted leaves [−1, 1]; what is cut gets no gradient.",
        "(x + 1) / 2, without a clamp.",
    ),
    "own_statistics": Hint(
        "A bright picture and a dark one come out alike.",
        "You use each picture's own mean and deviation.",
        "Use the ones that are given: those of the net's training.",
    ),
}

# --------------------------------------------------------------- 12.pixel_step


class Eye(nn.Module):
    """A small net, its weights not frozen: whoever steps must mind whose they are."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return 2 * torch.tanh(self.conv(x))


def _stepped(answer, net, image: Tensor, target: Tensor, lr: float) -> list:
    """The new picture, how far the net moved, and what else is not as it was.

    Runs in the learner's process.
    """

    def state() -> list[bool]:
        frozen = [p.requires_grad for p in net.parameters()]
        return frozen + [part.training for part in net.modules()]

    before = nn.utils.parameters_to_vector(net.parameters()).detach().clone()
    found = state()
    new = answer(net, image, target, lr)
    after = nn.utils.parameters_to_vector(net.parameters()).detach()
    left = {
        "net_not_as_found": state() != found,
        "image_not_as_found": image.requires_grad or target.requires_grad,
        "keeps_graph": getattr(new, "grad_fn", None) is not None,
    }
    moved = (after - before).abs().max().item()
    return [new, moved, [name for name, so in left.items() if so]]


def pixel_step(answer) -> None:
    """answer(net, image, target, lr): image − lr · d MSE(net(image), net(target))."""
    net = seeded(Eye)
    for lr, reach in ((30.0, 0.5), (10.0, 1.2)):  # noise may lie beyond ±1
        image = reach * uniform(1, 3, 5, 6, low=-1)
        target = uniform(1, 3, 5, 6, low=-0.5, high=0.5)
        new, moved, left = answer.using(_stepped, net, image, target, lr)
        unchanged(answer)
        if moved > 0:
            raise Mistake("net_trained")
        got = tensor(new, tuple(image.shape)) - image.double()
        x = image.clone().requires_grad_()
        d = net(x) - net(target).detach()
        g, by_sum, by_abs = (
            torch.autograd.grad(loss, x, retain_graph=True)[0]
            for loss in (d.square().mean(), d.square().sum(), d.abs().mean())
        )
        y = target.clone().requires_grad_()
        loss = (net(y) - net(image).detach()).square().mean()
        (of_target,) = torch.autograd.grad(loss, y)
        step = -lr * g
        wrong = {
            "ascends": -step,
            "not_moved": torch.zeros_like(g),
            "summed": -lr * by_sum,
            "halved": step / 2,
            "absolute": -lr * by_abs,
            "pixels_compared": -lr * 2 * (image - target) / image.numel(),
            "target_moved": target - lr * of_target - image,
            "gradient_returned": g - image,
            "change_returned": step - image,
            "rate_forgotten": -g,
            "sign_only": -lr * g.sign(),
            "length_one": -lr * g / g.norm(),
            "other_direction": step - 2 * image,
            "clipped": (image + step).clamp(-1, 1) - image,
        }
        expect(got, step, wrong, rtol=1e-3, atol=2e-6)
        if left:
            raise Mistake(left[0])


_PIXEL_STEP = {
    "net_trained": Hint(
        "The network has other weights after your step.",
        "You stepped along the gradients of its weights.",
        "Only the pixels move: torch.autograd.grad(loss, image).",
    ),
    "ascends": Hint(
        "The error grows with each of your steps.",
        "You add the gradient.",
        "Downhill is minus: image − lr · gradient.",
    ),
    "not_moved": Hint(
        "Your picture does not move.",
        "No gradient reaches it: detach, no_grad, or the step is missing.",
        "image.clone().requires_grad_(), net(image), a loss, its gradient, a step.",
    ),
    "summed": Hint(
        "Your step is far too long.",
        "You add up the squared differences of the features.",
        "Their mean: mse_loss.",
    ),
    "halved": Hint(
        "Your step is half as long as it should be.",
        "There is a factor 1/2 in your loss.",
        "The mean of squares, without a half.",
    ),
    "absolute": Hint(
        "Your step has another direction.",
        "You compare features by absolute differences.",
        "The mean of *squared* differences.",
    ),
    "pixels_compared": Hint(
        "Your step leads straight to the target's pixels.",
        "You compare the pictures themselves.",
        "Compare net(image) with net(target).",
    ),
    "target_moved": Hint(
        "You return a moved target.",
        "The gradient is the one with respect to the target.",
        "The image moves; net(target) is a constant.",
    ),
    "gradient_returned": Hint(
        "You return the gradient.",
        "The new picture is asked for.",
        "image − lr · gradient.",
    ),
    "change_returned": Hint(
        "You return the step, not where it leads.",
        "The new picture is asked for.",
        "Add it to the image.",
    ),
    "rate_forgotten": Hint(
        "The length of your step does not depend on lr.",
        "lr is not used.",
        "image − lr · gradient.",
    ),
    "sign_only": Hint(
        "All your pixels move by the same amount.",
        "Only the sign of the gradient is left; Adam's first step does that, too.",
        "Plain gradient descent: image − lr · gradient.",
    ),
    "length_one": Hint(
        "The length of your step does not depend on the error.",
        "You divide the gradient by its length.",
        "image − lr · gradient.",
    ),
    "clipped": Hint(
        "Pixels beyond ±1 are cut off.",
        "Whoever cuts after a step does more than descend; it was not asked for here.",
        "Plain gradient descent: image − lr · gradient.",
    ),
    "keeps_graph": Hint(
        "The picture is right, but it drags its whole history along.",
        "It was computed from a tensor that records, and so is every picture after it.",
        "Step from `image` itself, or return the new picture with .detach().",
    ),
    "net_not_as_found": Hint(
        "The picture is right, but the net is not as you found it.",
        "You froze its weights, or put it into eval mode, and left it so.",
        "Undo it before you return: requires_grad_(True), train().",
    ),
    "image_not_as_found": Hint(
        "The picture is right, but the one that you were given records gradients now.",
        "requires_grad_() marks the very tensor that it is called on.",
        "image.clone().requires_grad_().",
    ),
    "other_direction": Hint(
        "You return the negative of the picture, nearly.",
        "The image is subtracted.",
        "image − lr · gradient.",
    ),
}

EXERCISES = [
    Exercise("12.total_variation", total_variation, COMMON | _TV),
    Exercise("12.to_vgg", to_vgg, COMMON | _TO_VGG, 20.0),  # torchvision imports
    Exercise("12.pixel_step", pixel_step, COMMON | _PIXEL_STEP),
]
