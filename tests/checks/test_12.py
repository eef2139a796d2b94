"""Exercises of notebook 12: right answers in many forms pass, each mistake is named."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from table import cases, passes, recognised
from torch import nn

from gancourse import losses

# ruff: noqa: E731

# --------------------------------------------------------------- 12.gram


def gram_einsum(f):
    return torch.einsum("nchw,ndhw->ncd", f, f) / f[0].numel()


def gram_loop(maps):
    out = []
    for picture in maps:
        rows = picture.reshape(len(picture), -1).double()
        out.append([[(a * b).mean() / len(rows) for a in rows] for b in rows])
    return out


def gram_bmm(x):
    b, c, h, w = x.size()
    features = x.view(b, c, h * w)
    return torch.bmm(features, features.transpose(1, 2)).div(c * h * w)


def gram_numpy(f):
    pictures = f.numpy()
    return [np.tensordot(p, p, axes=([1, 2], [1, 2])) / p.size for p in pictures]


def gram_mean(f):
    return (f[:, :, None] * f[:, None]).mean((3, 4)) / f.shape[1]


flat = lambda f: f.flatten(2)
raw = lambda f: flat(f) @ flat(f).mT
GRAM_WRONG = {
    "batch_mixed": lambda f: (
        f.reshape(-1, f[0, 0].numel()) @ f.reshape(-1, f[0, 0].numel()).T
    ),
    "batch_averaged": lambda f: gram_einsum(f).mean(0),
    "places": lambda f: flat(f).mT @ flat(f) / f[0].numel(),
    "row_by_row": lambda f: f @ f.mT / f[0].numel(),
    "column_by_column": lambda f: f.mT @ f / f[0].numel(),
    "not_divided": raw,
    "divided_by_places": lambda f: raw(f) / f[0, 0].numel(),
    "divided_by_channels": lambda f: raw(f) / f.shape[1],
    "divided_by_batch": lambda f: raw(f) / f.numel(),
    "centred": lambda f: gram_einsum(f - f.mean((2, 3), keepdim=True)),
    "covariance": [
        lambda f: torch.stack([p.flatten(1).cov() for p in f]),
        lambda f: torch.stack([p.flatten(1).cov(correction=0) for p in f]),
    ],
    "reshaped_wrongly": lambda f: (
        f.reshape(len(f), -1, f.shape[1]).mT
        @ f.reshape(len(f), -1, f.shape[1])
        / f[0].numel()
    ),
    "cosines": lambda f: F.cosine_similarity(
        flat(f)[:, :, None], flat(f)[:, None], dim=-1
    ),
    "divided_twice": lambda f: gram_einsum(f) / f[0].numel(),
    "root": lambda f: raw(f) / f[0].numel() ** 0.5,
}

# --------------------------------------------------------------- 12.mmd


def mmd_pairs(x, y):
    k = lambda a, b: ((a @ b.T) ** 2).mean()
    return k(x, x) + k(y, y) - 2 * k(x, y)


def mmd_loop(x, y):
    def mean(u, v):
        values = [np.dot(a, b) ** 2 for a in u.numpy() for b in v.numpy()]
        return sum(values) / len(values)

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def mmd_einsum(x, y):
    table = torch.einsum("nc,mc->nm", torch.cat([x, y]), torch.cat([x, y])) ** 2
    n = len(x)
    weight = torch.cat([torch.full((n,), 1 / n), torch.full((len(y),), -1 / len(y))])
    return weight @ table @ weight


def mmd_norm(x, y):
    d = torch.stack([torch.outer(v, v) for v in x]).mean(0)
    d = d - torch.stack([torch.outer(v, v) for v in y]).mean(0)
    return torch.linalg.matrix_norm(d) ** 2


def with_kernel(kernel, cross=-2, mean=torch.mean):
    def answer(x, y):
        return mean(kernel(x, x)) + mean(kernel(y, y)) + cross * mean(kernel(x, y))

    return answer


square = lambda a, b: (a @ b.T) ** 2


def unbiased(x, y):
    k = [square(v, v) for v in (x, y)]
    within = [(m.sum() - m.diagonal().sum()) / (len(m) * (len(m) - 1)) for m in k]
    return sum(within) - 2 * square(x, y).mean()


difference = lambda x, y: x.T @ x / len(x) - y.T @ y / len(y)
MMD_WRONG = {
    "linear": [
        with_kernel(lambda a, b: a @ b.T),
        lambda x, y: ((x.mean(0) - y.mean(0)) ** 2).sum(),
    ],
    "cubic": with_kernel(lambda a, b: (a @ b.T / a.shape[1] + 1) ** 3),
    "diagonal_left_out": unbiased,
    "cross_once": with_kernel(square, -1),
    "plus": with_kernel(square, 2),
    "sums": with_kernel(square, mean=torch.sum),
    "root": lambda x, y: difference(x, y).norm(),
    "channels_divided": [
        with_kernel(lambda a, b: (a @ b.T / a.shape[1]) ** 2),
        lambda x, y: mmd_pairs(x, y) / x.shape[1],
        lambda x, y: difference(x, y).square().mean(),
    ],
    "only_cross": lambda x, y: square(x, y).mean(),
    "only_within": with_kernel(square, 0),
    "centred": lambda x, y: mmd_pairs(x - x.mean(0), y - y.mean(0)),
    "distances": [
        with_kernel(lambda a, b: torch.cdist(a, b) ** 2),
        lambda x, y: -with_kernel(lambda a, b: torch.cdist(a, b) ** 2)(x, y),
    ],
    "shape": lambda x, y: difference(x, y) ** 2,
}

# --------------------------------------------------------------- 12.style_loss


def style_module(features, grams):
    total = 0.0
    for layer in grams:
        target = grams[layer]
        mine = gram_bmm(features[layer])
        error = F.mse_loss(mine, target, reduction="sum")
        total += error / target.pow(2).sum() / len(grams)
    return total


def style_norm(features, grams):
    errors = [
        (torch.dist(gram_einsum(f), grams[k]) / torch.norm(grams[k])) ** 2
        for k, f in features.items()
    ]
    return torch.stack(errors).mean().double()


def style_package(features, grams):
    return [losses.style_loss(features, grams)]


def style_means(features, grams):
    errors = {}
    for name, f in features.items():
        d = gram_mean(f) - grams[name]
        errors[name] = torch.mean(d * d) / torch.mean(grams[name] * grams[name])
    return sum(errors.values()) / len(errors)


def per_layer(error, together=lambda e: sum(e) / len(e)):
    def answer(features, grams):
        return together(
            [error(losses.gram(features[k]), t, features[k]) for k, t in grams.items()]
        )

    return answer


def style_zip(features, grams):
    """Pairs layers by their place, not by their name."""
    errors = []
    for f, target in zip(features.values(), grams.values(), strict=True):
        errors.append(F.mse_loss(gram_bmm(f), target) / target.square().mean())
    return torch.stack(errors).mean()


def style_lists(features, grams):
    mine = [losses.gram(f) for f in features.values()]
    theirs = list(grams.values())
    return sum(relative(mine[i], theirs[i], None) for i in range(2)) / 2


def style_sorted(features, grams):
    pairs = ((features[k], grams[k]) for k in sorted(grams))
    return sum(relative(losses.gram(f), t, f) for f, t in pairs) / len(features)


sq = lambda x: x.square().sum()
relative = lambda g, t, f: sq(g - t) / sq(t)
STYLE_WRONG = {
    "layers_summed": per_layer(relative, sum),
    "last_layer": per_layer(relative, lambda e: e[-1]),
    "first_layer": per_layer(relative, lambda e: e[0]),
    "not_relative": [
        per_layer(lambda g, t, f: F.mse_loss(g, t)),
        per_layer(lambda g, t, f: F.mse_loss(g, t), sum),
        per_layer(lambda g, t, f: sq(g - t)),
        per_layer(lambda g, t, f: sq(g - t), sum),
    ],
    "root": per_layer(lambda g, t, f: (g - t).norm() / t.norm()),
    "own_size": per_layer(lambda g, t, f: sq(g - t) / sq(g)),
    "size_not_squared": per_layer(lambda g, t, f: sq(g - t) / t.norm()),
    "one_quotient": lambda features, grams: (
        sum(sq(losses.gram(features[k]) - t) for k, t in grams.items())
        / sum(sq(t) for t in grams.values())
    ),
    "gram_not_divided": per_layer(lambda g, t, f: sq(raw(f) - t) / sq(t)),
    "gram_divided_by_places": per_layer(
        lambda g, t, f: sq(raw(f) / f[0, 0].numel() - t) / sq(t)
    ),
    "absolute": per_layer(lambda g, t, f: (g - t).abs().sum() / t.abs().sum()),
    "mean_over_sum": per_layer(lambda g, t, f: F.mse_loss(g, t) / sq(t)),
    "paired_by_order": [style_zip, style_lists],
    "loses_gradient": [
        per_layer(lambda g, t, f: relative(g, t, f).item()),
        per_layer(lambda g, t, f: relative(g.detach(), t, f)),
    ],
}

# --------------------------------------------------------------- 12.total_variation


def tv_diff(images):
    return sum(torch.diff(images, dim=d).abs().mean() for d in (2, 3))


def tv_module(x):
    loss = nn.L1Loss()
    return loss(x[:, :, :-1], x[:, :, 1:]) + loss(x[..., :-1], x[..., 1:])


def tv_loop(x):
    n, c, h, w = x.shape
    down = sum((x[:, :, i + 1] - x[:, :, i]).abs().sum() for i in range(h - 1))
    across = sum((x[..., j] - x[..., j + 1]).abs().sum() for j in range(w - 1))
    return down.double() / (n * c * (h - 1) * w) + across.double() / (
        n * c * h * (w - 1)
    )


def tv_conv(x):
    x = x.flatten(0, 1)[:, None]
    step = torch.tensor([-1.0, 1.0])
    down, across = (F.conv2d(x, step.view(s)) for s in [(1, 1, 2, 1), (1, 1, 1, 2)])
    return [down.abs().mean() + across.abs().mean()]


steps = lambda x: (x.diff(dim=2), x.diff(dim=3))
total = lambda x: sum(d.abs().sum() for d in steps(x))
TV_WRONG = {
    "squared": lambda x: sum((d**2).mean() for d in steps(x)),
    "sum": total,
    "one_mean_over_both": lambda x: (
        torch.cat([d.flatten() for d in steps(x)]).abs().mean()
    ),
    "all_pixels": lambda x: total(x) / x.numel(),
    "only_down": lambda x: steps(x)[0].abs().mean(),
    "only_across": lambda x: steps(x)[1].abs().mean(),
    "halved": lambda x: tv_diff(x) / 2,
    "not_absolute": lambda x: sum(d.mean() for d in steps(x)),
    "absolute_too_late": lambda x: sum(d.mean().abs() for d in steps(x)),
    "around_the_border": lambda x: sum(
        (x.roll(-1, d) - x).abs().mean() for d in (2, 3)
    ),
    "length_of_gradient": lambda x: torch.hypot(
        steps(x)[0][..., :-1], steps(x)[1][:, :, :-1]
    ).mean(),
    "across_colours": [
        lambda x: x.diff(dim=1).abs().mean() + x.diff(dim=2).abs().mean(),
        lambda x: x.diff(dim=1).abs().mean() + x.diff(dim=3).abs().mean(),
    ],
    "per_picture": lambda x: total(x) / len(x),
    "loses_gradient": lambda x: float(tv_diff(x)),
}

# --------------------------------------------------------------- 12.to_vgg


def vgg_loop(images, mean, std):
    out = images.clone()
    for c in range(3):
        out[:, c] = (images[:, c] * 0.5 + 0.5 - mean[c]) / std[c]
    return out


def vgg_normalize(images, mean, std):
    from torchvision.transforms.functional import normalize

    return normalize(images.add(1).div(2), mean.tolist(), std.tolist())


def vgg_one_line(x, mean, std):
    """As the course's own VGG does it: scale and shift together."""
    return x * (0.5 / std)[None, :, None, None] + ((0.5 - mean) / std)[:, None, None]


def vgg_numpy(x, mean, std):
    x = (x.double().numpy().transpose(0, 2, 3, 1) + 1) / 2
    return ((x - mean.numpy()) / std.numpy()).transpose(0, 3, 1, 2)


per_channel = lambda f: lambda x, m, s: f(x, m.view(3, 1, 1), s.view(3, 1, 1))
TO_VGG_WRONG = {
    "not_moved": per_channel(lambda x, m, s: (x - m) / s),
    "bytes": per_channel(lambda x, m, s: ((x + 1) * 127.5 - m) / s),
    "bytes_divided": per_channel(lambda x, m, s: (x / 255 - m) / s),
    "only_halved": per_channel(lambda x, m, s: (x / 2 - m) / s),
    "only_shifted": per_channel(lambda x, m, s: (x + 1 - m) / s),
    "std_forgotten": per_channel(lambda x, m, s: (x + 1) / 2 - m),
    "mean_forgotten": per_channel(lambda x, m, s: (x + 1) / 2 / s),
    "untouched": lambda x, m, s: ((x + 1) / 2 - 0.5) / 0.5,
    "neither": per_channel(lambda x, m, s: (x + 1) / 2),
    "multiplied": per_channel(lambda x, m, s: ((x + 1) / 2 - m) * s),
    "variance": per_channel(lambda x, m, s: ((x + 1) / 2 - m) / s.square()),
    "wrong_order": [
        per_channel(lambda x, m, s: (x + 1) / 2 / s - m),
        per_channel(lambda x, m, s: (x + 1) / 2 - m / s),
    ],
    "mean_of_the_other_scale": per_channel(lambda x, m, s: (x - 2 * m + 1) / s),
    "other_colours": [
        per_channel(lambda x, m, s: ((x.flip(1) + 1) / 2 - m) / s),
        per_channel(lambda x, m, s: ((x + 1) / 2 - m.flip(0)) / s.flip(0)),
    ],
    "one_mean_for_all": lambda x, m, s: ((x + 1) / 2 - m.mean()) / s.mean(),
    "own_statistics": lambda x, m, s: (
        ((x + 1) / 2 - ((x + 1) / 2).mean((2, 3), keepdim=True))
        / ((x + 1) / 2).std((2, 3), keepdim=True)
    ),
    "clamped": [
        per_channel(lambda x, m, s: (((x + 1) / 2).clamp(0, 1) - m) / s),
        per_channel(lambda x, m, s: ((x.clip(-1, 1) + 1) / 2 - m) / s),
    ],
    "shape": lambda x, m, s: ((x.permute(0, 2, 3, 1) + 1) / 2 - m) / s,
}

# --------------------------------------------------------------- 12.pixel_step


def step_sgd(net, image, target, lr):
    pixels = nn.Parameter(image.clone())
    opt = torch.optim.SGD([pixels], lr=lr)
    loss = nn.MSELoss()(net(pixels), net(target).detach())
    loss.backward()
    opt.step()
    return pixels


def step_backward(net, image, target, lr):
    x = image.detach().clone()
    x.requires_grad = True
    F.mse_loss(net(x), net(target)).backward()
    with torch.no_grad():
        return (x - lr * x.grad).numpy()


def step_frozen(net, image, target, lr):
    net.requires_grad_(False)
    x = image.clone().requires_grad_()
    difference = net(x) - net(target)
    g = torch.autograd.grad(torch.mean(difference * difference), x)[0]
    net.requires_grad_(True)
    return torch.add(image, g, alpha=-lr)[0]


def step_functional(net, image, target, lr):
    wanted = net(target).detach()
    loss = lambda x: (net(x) - wanted).pow(2).mean()
    return image.double() - lr * torch.func.grad(loss)(image).detach()


def step_eval(net, image, target, lr):
    """In eval mode, with frozen weights; both as they were afterwards."""
    mode, frozen = net.training, [p.requires_grad for p in net.parameters()]
    net.eval().requires_grad_(False)
    x = image.clone().requires_grad_()
    F.mse_loss(net(x), net(target)).backward()
    net.train(mode)
    for p, old in zip(net.parameters(), frozen, strict=True):
        p.requires_grad_(old)
    return x.detach() - lr * x.grad


def step_copied(net, image, target, lr):
    own, x = copy.deepcopy(net).eval().requires_grad_(False), image.clone()
    x.requires_grad_()
    F.mse_loss(own(x), own(target)).backward()
    return x.data - lr * x.grad


def step_on_the_image(net, image, target, lr):
    """Marks the picture that it was given, and takes the mark away."""
    image.requires_grad_()
    (g,) = torch.autograd.grad(F.mse_loss(net(image), net(target)), image)
    image.requires_grad_(False)
    return image - lr * g


def gradient(net, image, target, error=F.mse_loss):
    x = image.clone().requires_grad_()
    return torch.autograd.grad(error(net(x), net(target)), x)[0]


def step_trains_net(net, image, target, lr):
    opt = torch.optim.SGD(net.parameters(), lr)
    F.mse_loss(net(image), net(target)).backward()
    opt.step()
    return image


def step_trains_both(net, image, target, lr):
    x = image.clone().requires_grad_()
    opt = torch.optim.SGD([x, *net.parameters()], lr)
    F.mse_loss(net(x), net(target)).backward()
    opt.step()
    return x


def step_adam(net, image, target, lr):
    x = image.clone().requires_grad_()
    opt = torch.optim.Adam([x], lr, eps=1e-12)
    F.mse_loss(net(x), net(target)).backward()
    opt.step()
    return x


def step_detached(net, image, target, lr):
    x = image.clone().requires_grad_()
    opt = torch.optim.SGD([x], lr)
    F.mse_loss(net(x.detach()), net(target)).backward()
    opt.step()
    return x


def step_in_place(net, image, target, lr):
    image -= lr * gradient(net, image, target)
    return image


def step_with_graph(net, image, target, lr):
    x = image.clone().requires_grad_()
    (g,) = torch.autograd.grad(F.mse_loss(net(x), net(target)), x)
    return x - lr * g


def step_functional_graph(net, image, target, lr):
    """torch.func.grad keeps the way to the weights, which are not frozen."""
    loss = lambda x: F.mse_loss(net(x), net(target).detach())
    return image - lr * torch.func.grad(loss)(image)


def step_left_frozen(net, image, target, lr):
    net.requires_grad_(False)
    return image - lr * gradient(net, image, target)


def step_left_in_eval(net, image, target, lr):
    net.eval()
    return image - lr * gradient(net, image, target)


def step_marks_image(net, image, target, lr):
    image.requires_grad_()
    (g,) = torch.autograd.grad(F.mse_loss(net(image), net(target)), image)
    return (image - lr * g).detach()


half = lambda a, b: F.mse_loss(a, b) / 2
summed = lambda a, b: F.mse_loss(a, b, reduction="sum")
PIXEL_STEP_WRONG = {
    "net_trained": [step_trains_net, step_trains_both],
    "ascends": lambda net, x, t, lr: x + lr * gradient(net, x, t),
    "not_moved": step_detached,
    "summed": lambda net, x, t, lr: x - lr * gradient(net, x, t, summed),
    "halved": lambda net, x, t, lr: x - lr * gradient(net, x, t, half),
    "absolute": lambda net, x, t, lr: x - lr * gradient(net, x, t, F.l1_loss),
    "pixels_compared": lambda net, x, t, lr: x - lr * gradient(nn.Identity(), x, t),
    "target_moved": lambda net, x, t, lr: t - lr * gradient(net, t, x),
    "gradient_returned": lambda net, x, t, lr: gradient(net, x, t),
    "change_returned": lambda net, x, t, lr: -lr * gradient(net, x, t),
    "rate_forgotten": lambda net, x, t, lr: x - gradient(net, x, t),
    "sign_only": [
        lambda net, x, t, lr: x - lr * gradient(net, x, t).sign(),
        step_adam,
    ],
    "length_one": lambda net, x, t, lr: (
        x - lr * F.normalize(gradient(net, x, t).flatten(), dim=0).view_as(x)
    ),
    "other_direction": lambda net, x, t, lr: -lr * gradient(net, x, t) - x,
    "clipped": lambda net, x, t, lr: (x - lr * gradient(net, x, t)).clamp(-1, 1),
    "keeps_graph": [step_with_graph, step_functional_graph],
    "net_not_as_found": [step_left_frozen, step_left_in_eval],
    "image_not_as_found": step_marks_image,
    "writes_over_input": step_in_place,
}

RIGHT = {
    "12.gram": [gram_einsum, gram_loop, gram_bmm, gram_numpy, gram_mean],
    "12.mmd": [mmd_pairs, mmd_loop, mmd_einsum, mmd_norm],
    "12.style_loss": [
        style_module,
        style_norm,
        style_package,
        style_means,
        style_sorted,
    ],
    "12.total_variation": [tv_diff, tv_module, tv_loop, tv_conv],
    "12.to_vgg": [vgg_loop, vgg_normalize, vgg_one_line, vgg_numpy],
    "12.pixel_step": [
        step_sgd,
        step_backward,
        step_frozen,
        step_functional,
        step_eval,
        step_copied,
        step_on_the_image,
    ],
}
WRONG = {
    "12.gram": GRAM_WRONG,
    "12.mmd": MMD_WRONG,
    "12.style_loss": STYLE_WRONG,
    "12.total_variation": TV_WRONG,
    "12.to_vgg": TO_VGG_WRONG,
    "12.pixel_step": PIXEL_STEP_WRONG,
}
right, wrong = cases("12", RIGHT, WRONG)


@right
def test_a_right_answer_passes_however_it_is_written(name, answer):
    passes(name, answer)


@wrong
def test_a_wrong_answer_is_recognised_by_its_misconception(name, mistake, answer):
    recognised(name, mistake, answer)
