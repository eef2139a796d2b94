"""Checks of notebook 04: a DCGAN's start, its shapes, its samples, walks in latents."""

import copy
import math

import torch
from torch import Tensor, nn

from gancourse.checks import ch04_loop
from gancourse.checks.compare import COMMON, equal, expect, tensor, unchanged
from gancourse.checks.probes import new_seed, normal, stream
from gancourse.checks.verdict import Exercise, Hint, Mistake

# ------------------------------------------------------------------ 04.init


def init(answer) -> None:
    """answer(module), as in net.apply(answer): DCGAN's initialisation."""
    found = answer.using(_initialised, new_seed())
    drawn = ("conv", "transposed", "linear", "norm")
    old, new = ({n: tensor(found[w][n]) for n in drawn} for w in ("before", "after"))
    kept = {name for name in drawn if torch.equal(old[name], new[name])}
    if kept == set(drawn):
        raise Mistake("untouched")
    forgotten = {
        "conv": "only_transposed",
        "transposed": "transposed_forgotten",
        "linear": "linear_forgotten",
        "norm": "batchnorm_forgotten",
    }
    for name in drawn:
        _layer(new[name], name, forgotten[name] if name in kept else "")
    if tensor(found["biases"]).abs().max() > 1e-6:
        raise Mistake("bias_not_zero")
    if (tensor(found["others"]) - 0.7).abs().max() > 1e-6:
        raise Mistake("others_changed")


def _layer(weight: Tensor, name: str, forgotten: str) -> None:
    """Raise what is wrong with the drawn weights of one layer."""
    if forgotten:
        raise Mistake(forgotten)
    mean = 1.0 if name == "norm" else 0.0
    if _drawn(weight, mean, 0.02):
        return
    words = {"norm": "BatchNorm's scales", "linear": "the linear layer"}
    where = words.get(name, "the convolutions")
    if _drawn(weight, 1 - mean, 0.02):
        raise Mistake("batchnorm_at_zero" if mean else "convolutions_at_one")
    if _drawn(weight, mean, math.sqrt(0.02)):
        raise Mistake("variance")
    if _drawn(weight, mean, 0.02 / math.sqrt(3), bell=False):
        raise Mistake("uniform")
    if _drawn(weight, mean, 0.02, bell=False):
        raise Mistake("uniform")
    told = f"In {where} the mean is {weight.mean():.4f}, the std {weight.std():.4f}."
    raise Mistake("other_value", told)


def _drawn(weight: Tensor, mean: float, std: float, bell: bool = True) -> bool:
    """Whether these look drawn with this mean and deviation: six standard errors.

    A bell has a fourth moment of 3 in units of the variance, a uniform law 1.8.
    """
    n, scaled = weight.numel(), (weight - weight.mean()) / weight.std()
    off = (weight.mean() - mean).abs() < 6 * std / math.sqrt(n)
    narrow = (weight.std() / std - 1).abs() < 6 / math.sqrt(2 * n)
    return bool(off and narrow and (not bell or scaled.pow(4).mean() > 2.4))


def _initialised(answer, seed: int) -> dict:
    """Weights before and after; wide layers, so that means and deviations are exact."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = {
            "linear": nn.Linear(128, 128),
            "transposed": nn.ConvTranspose2d(64, 16, 4, 2, 1, bias=False),
            "norm": nn.BatchNorm2d(8192),
            "conv": nn.Conv2d(16, 64, 4, 2, 1),
            "biased": nn.ConvTranspose2d(8, 64, 4, 2, 1),
        }
        others = (nn.Embedding(5, 4), nn.LayerNorm(8))
        for m in others:
            nn.init.constant_(m.weight, 0.7)
        before = {name: m.weight.detach().clone() for name, m in layers.items()}
        net = nn.Sequential(nn.Sequential(*layers.values()), nn.Tanh(), *others)
        net.apply(answer)
    biases = [m.bias.detach() for m in layers.values() if m.bias is not None]
    after = {name: m.weight.detach() for name, m in layers.items()}
    return {
        "before": before,
        "after": after,
        "biases": torch.cat(biases),
        "others": torch.cat([m.weight.detach().flatten() for m in others]),
    }


_INIT = {
    "untouched": Hint(
        "No weight has changed.",
        "Either no `if` matched, or new tensors were made and never put into m.weight.",
        "nn.init.normal_(m.weight, 0.0, 0.02) writes in place; mind the underscore.",
    ),
    "transposed_forgotten": Hint(
        "The transposed convolutions still have PyTorch's own start.",
        "ConvTranspose2d is not a kind of Conv2d: isinstance says no.",
        "Ask for both: isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)).",
    ),
    "only_transposed": Hint(
        "The convolutions still have PyTorch's own start.",
        "Only ConvTranspose2d is matched; D has Conv2d.",
        "Ask for both: isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)).",
    ),
    "linear_forgotten": Hint(
        "The linear layer still has PyTorch's own start.",
        "G begins with a linear layer, which is no convolution.",
        "Add nn.Linear to the layers that get N(0, 0.02).",
    ),
    "batchnorm_forgotten": Hint(
        "BatchNorm's scales are still exactly 1.",
        "Its weight is drawn as well, around 1.",
        "nn.init.normal_(m.weight, 1.0, 0.02) for nn.BatchNorm2d.",
    ),
    "batchnorm_at_zero": Hint(
        "An untrained G makes pictures of one grey.",
        "BatchNorm's scales are drawn around 0: signals are multiplied by nearly 0.",
        "Its scales start around 1: N(1, 0.02).",
    ),
    "convolutions_at_one": Hint(
        "Your convolutions add up everything they see.",
        "You draw their weights around 1; that is for BatchNorm's scales.",
        "Convolutions: N(0, 0.02).",
    ),
    "variance": Hint(
        "Your weights are spread seven times too far.",
        "0.02 is the standard deviation. You took it for the variance.",
        "normal_(mean, std) wants the standard deviation: 0.02 itself.",
    ),
    "uniform": Hint(
        "Your weights stop dead at some bound; a normal law has tails.",
        "They are drawn from a uniform law.",
        "nn.init.normal_, not uniform_.",
    ),
    "bias_not_zero": Hint(
        "Some biases are not 0.",
        "Layers come with random biases, or you drew them together with the weights.",
        "nn.init.zeros_(m.bias) where there is one: m.bias may be None.",
    ),
    "others_changed": Hint(
        "Layers that should stay as they are have changed.",
        "You ask whether a module *has* a weight, or whether its name contains a word.",
        "isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)), or nn.BatchNorm2d.",
    ),
}

# ------------------------------------------------------------------ 04.sizes


def sizes(answer) -> None:
    """answer(size, layers): a picture's side after (kind, kernel, stride, padding)…"""
    up, down = "transposed", "conv"
    cases = [
        (7, [(up, 4, 2, 1), (up, 4, 2, 1)]),
        (1, [(up, 4, 1, 0), (up, 4, 2, 1), (up, 5, 3, 1)]),
        (int(torch.randint(30, 60, (), generator=stream())) * 2, [(down, 3, 2, 0)]),
        (int(torch.randint(30, 60, (), generator=stream())), [(down, 5, 3, 2)] * 2),
        (31, [(down, 4, 2, 1), (down, 3, 1, 1), (up, 3, 2, 1), (down, 4, 2, 0)]),
    ]
    got = torch.stack([tensor(answer(*case), ()) for case in cases])

    def over(rule) -> Tensor:
        return torch.tensor([_through(*case, rule) for case in cases]).double()

    wrong = {name: over(rule) for name, rule in _SIZE_RULES.items() if name != "right"}
    wrong["first_only"] = torch.tensor(
        [_through(s, layers[:1], _SIZE_RULES["right"]) for s, layers in cases]
    )
    expect(got, over(_SIZE_RULES["right"]), wrong, rtol=1e-6)


def _through(size: float, layers: list, rule) -> float:
    for kind, *numbers in layers:
        size = rule(kind == "transposed", size, *numbers)
    return float(size)


# A rule: (is it transposed, size, kernel, stride, padding) -> the new size.
_SIZE_RULES = {
    "right": lambda up, s, k, t, p: (
        (s - 1) * t - 2 * p + k if up else _conv(s, k, t, p)
    ),
    "conv_for_both": lambda up, s, k, t, p: _conv(s, k, t, p),
    "times_stride": lambda up, s, k, t, p: s * t if up else _conv(s, k, t, p),
    "no_minus_one": lambda up, s, k, t, p: (
        s * t - 2 * p + k if up else _conv(s, k, t, p)
    ),
    "padding_added": lambda up, s, k, t, p: (
        (s - 1) * t + 2 * p + k if up else _conv(s, k, t, p)
    ),
    "padding_once": lambda up, s, k, t, p: (
        (s - 1) * t - p + k if up else (s + p - k) // t + 1
    ),
    "rounded_up": lambda up, s, k, t, p: (
        (s - 1) * t - 2 * p + k if up else math.ceil((s + 2 * p - k) / t) + 1
    ),
    "not_rounded": lambda up, s, k, t, p: (
        (s - 1) * t - 2 * p + k if up else (s + 2 * p - k) / t + 1
    ),
    "no_plus_one": lambda up, s, k, t, p: (
        (s - 1) * t - 2 * p + k if up else (s + 2 * p - k) // t
    ),
    "divided": lambda up, s, k, t, p: s * t if up else s // t,
    "transposed_for_both": lambda up, s, k, t, p: (s - 1) * t - 2 * p + k,
}


def _conv(s: float, k: int, t: int, p: int) -> float:
    return (s + 2 * p - k) // t + 1


_SIZES = {
    "conv_for_both": Hint(
        "Your transposed convolutions make pictures smaller.",
        "You use a convolution's formula for them; they go the other way.",
        "Solve out = (in + 2·pad − kernel) / stride + 1 for `in`.",
    ),
    "transposed_for_both": Hint(
        "Your convolutions make pictures larger.",
        "You use a transposed convolution's formula for them too.",
        "A convolution: (size + 2·pad − kernel) // stride + 1.",
    ),
    "times_stride": Hint(
        "Right for kernel 4, stride 2, padding 1, and for few others.",
        "A transposed convolution does not simply multiply by the stride.",
        "(size − 1) strides lie between the first and the last kernel; add the kernel.",
    ),
    "divided": Hint(
        "Right for kernel 4, stride 2, padding 1, and for few others.",
        "You divide and multiply by the stride; kernel and padding count as well.",
        "How often does the kernel fit into size + 2·pad?",
    ),
    "no_minus_one": Hint(
        "Your transposed convolutions come out one stride too large.",
        "Between n kernels lie n − 1 strides.",
        "(size − 1) · stride − 2·pad + kernel.",
    ),
    "padding_added": Hint(
        "With padding your transposed convolutions come out too large.",
        "Padding is what the *convolution* would have added: here it is cut off.",
        "Subtract 2·pad.",
    ),
    "padding_once": Hint(
        "With padding your sizes are off by the padding.",
        "Padding acts on both sides.",
        "Count it twice: 2·pad.",
    ),
    "rounded_up": Hint(
        "Where the stride does not fit you get one pixel too many.",
        "A kernel that would stick out is left out.",
        "Round down: //.",
    ),
    "not_rounded": Hint(
        "You get fractions of a pixel.",
        "Where the stride does not fit, the rest is left out.",
        "Round down: // instead of /.",
    ),
    "no_plus_one": Hint(
        "Your convolutions come out one pixel too small.",
        "You count the strides; there is one more kernel than strides.",
        "(size + 2·pad − kernel) // stride + 1.",
    ),
    "first_only": Hint(
        "Your size is that after the first layer.",
        "A `return` inside the loop ends it.",
        "Put the new size into the next layer, and return after the loop.",
    ),
}

# ------------------------------------------------------------------ 04.sample


def sample(answer) -> None:
    """answer(G, z): images of an evaluating G; G is left as it was found."""
    for training in (True, False):
        seed = new_seed()
        found = answer.using(_sampled, seed, training, 5)
        got = tensor(found["images"], (5, 3))
        G, z = _generator(seed, 5)
        with torch.no_grad():
            right, trained = G.eval()(z), copy.deepcopy(G).train()(z)
        if not equal(got, tensor(found["again"], (5, 3))) and not equal(got, trained):
            raise Mistake("fresh_latents")
        wrong = {"training_mode": trained, "rescaled": [(right + 1) / 2, right * 255]}
        expect(got, right, wrong)
        if found["graph"]:
            raise Mistake("keeps_graph")
        if found["frozen"]:
            raise Mistake("left_frozen")
        if found["training"] != [training] * len(found["training"]):
            raise Mistake("left_in_eval" if training else "left_in_training")
    found = answer.using(_sampled, seed, True, 1)
    G, z = _generator(seed, 1)
    expect(tensor(found["images"], (1, 3)), G.eval()(z).detach(), {})


def _generator(seed: int, n: int) -> tuple[nn.Module, Tensor]:
    """A generator whose running statistics are not those of any batch; n latents."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        G = nn.Sequential(
            nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3), nn.Tanh()
        )
        G[1].running_mean.normal_()
        G[1].running_var.uniform_(0.5, 2)
        return G, torch.randn(n, 4)


def _sampled(answer, seed: int, training: bool, n: int) -> dict:
    G, z = _generator(seed, n)
    G.train(training)
    images = answer(G, z)
    again = answer(copy.deepcopy(G).train(training), z)
    return {
        "images": images,
        "again": again,
        "graph": torch.is_tensor(images) and images.requires_grad,
        "frozen": not all(p.requires_grad for p in G.parameters()),
        "training": [m.training for m in G.modules()],
    }


_SAMPLE = {
    "training_mode": Hint(
        "Your samples change when other latents are drawn beside them.",
        "In training mode BatchNorm uses the mean and variance of the batch.",
        "G.eval() before you sample.",
    ),
    "fresh_latents": Hint(
        "Two calls with the same z give different pictures.",
        "You draw latents of your own.",
        "Use the z that you are given.",
    ),
    "rescaled": Hint(
        "Your pictures are on another scale than G's.",
        "G's tanh gives [−1, 1], and that is how they are asked for.",
        "Return what G returns; scaling for the eye comes later.",
    ),
    "keeps_graph": Hint(
        "The pictures drag the whole computation behind them.",
        "Without no_grad every picture keeps what a gradient would need.",
        "Sample under torch.no_grad().",
    ),
    "left_frozen": Hint(
        "After your call G's weights cannot be trained any more.",
        "requires_grad_(False) holds until somebody takes it back.",
        "Sample under torch.no_grad() instead: it ends by itself.",
    ),
    "left_in_eval": Hint(
        "After your call G trains no more as it did.",
        "You switched it to evaluation and left it there.",
        "Remember G.training before, and call G.train(that) at the end.",
    ),
    "left_in_training": Hint(
        "A G that was evaluating is training after your call.",
        "You call G.train() at the end, whatever it was before.",
        "Remember G.training before, and call G.train(that) at the end.",
    ),
}

# ------------------------------------------------------------------ 04.slerp


def slerp(answer) -> None:
    """answer(a, b, t): points (T, N, d) on great circles from a to b, both (N, d)."""
    a, b = (normal(5, 16) for _ in range(2))
    a, b = (4 * x / x.norm(dim=1, keepdim=True) for x in (a, b))
    t = torch.tensor([0.0, 0.2, 0.7, 1.0])
    got = tensor(answer(a, b, t), (4, 5, 16))
    unchanged(answer)
    right = _walk(a, b, t, torch.acos((a * b).sum(1) / 16))
    w = t.view(-1, 1, 1)
    straight = (1 - w) * a + w * b
    angle = torch.acos((a * b).sum(1) / 16).view(1, -1, 1)
    wrong = {
        "straight": straight,
        "straight_scaled": 4 * straight / straight.norm(dim=2, keepdim=True),
        "unit_sphere": right / 4,
        "reversed": _walk(b, a, t, angle),
        "cosine_as_angle": _walk(a, b, t, (a * b).sum(1) / 16),
        "not_divided": right * torch.sin(angle),
        "one_angle": _walk(a, b, t, torch.acos((a * b).sum() / 80).expand(5)),
        "cosines": torch.cos(w * angle) * a + torch.cos((1 - w) * angle) * b,
    }
    if got.isnan().any():
        raise Mistake("cosine_out_of_range")
    expect(got, right, wrong, rtol=1e-3, atol=1e-3)
    same = 4 * torch.eye(16)[:5]  # the cosine is exactly 1
    got = tensor(answer(same, same.clone(), t), (4, 5, 16))
    if not equal(got, same.expand(4, 5, 16), 1e-3, 1e-2):
        raise Mistake("equal_ends")


def _walk(a: Tensor, b: Tensor, t: Tensor, angle: Tensor) -> Tensor:
    w, angle = t.view(-1, 1, 1), angle.view(1, -1, 1)
    return (torch.sin((1 - w) * angle) * a + torch.sin(w * angle) * b) / angle.sin()


_SLERP = {
    "straight": Hint(
        "Half way your points are nearer to the origin than the ends.",
        "You walk along the straight line.",
        "Weights sin((1 − t)θ) / sin θ and sin(tθ) / sin θ; θ lies between the ends.",
    ),
    "straight_scaled": Hint(
        "Your points lie on the sphere, but unevenly: fast in the middle.",
        "You walk straight and push the points out to the sphere.",
        "Weights sin((1 − t)θ) / sin θ and sin(tθ) / sin θ give even speed.",
    ),
    "unit_sphere": Hint(
        "Your walk does not begin at a.",
        "You interpolate the normalised ends: the length is lost.",
        "Normalise for the angle only; apply the weights to a and b themselves.",
    ),
    "reversed": Hint(
        "At t = 0 you are at b.",
        "t and 1 − t are exchanged.",
        "sin((1 − t)θ) goes with a.",
    ),
    "cosine_as_angle": Hint(
        "Your walk does not stay on the sphere.",
        "You use the cosine of the angle as if it were the angle.",
        "θ = arccos of it.",
    ),
    "not_divided": Hint(
        "Your walk does not begin at a.",
        "The division by sin θ is missing.",
        "At t = 0 the weight of a must be 1: sin θ / sin θ.",
    ),
    "one_angle": Hint(
        "Your pairs influence each other.",
        "You compute one angle for the whole batch.",
        "One angle per pair: sums and norms over the last dimension only.",
    ),
    "cosines": Hint(
        "Your walk does not end at b.",
        "The weights are sines, not cosines.",
        "At t = 0 the weight of b must be 0: sin 0.",
    ),
    "cosine_out_of_range": Hint(
        "Your points are nan.",
        "arccos got a number outside [−1, 1]: a dot product of long vectors.",
        "Divide by both lengths before arccos, and clamp to [−1, 1].",
    ),
    "equal_ends": Hint(
        "For equal ends your walk leaves the point.",
        "The angle is 0 there, and you divide by sin 0.",
        "Where sin θ is tiny use the straight line; torch.where chooses per pair.",
    ),
}

EXERCISES = [
    Exercise("04.init", init, COMMON | _INIT),
    Exercise("04.sizes", sizes, COMMON | _SIZES),
    *ch04_loop.EXERCISES,
    Exercise("04.sample", sample, COMMON | _SAMPLE),
    Exercise("04.slerp", slerp, COMMON | _SLERP),
]
