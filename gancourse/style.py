"""Style transfer by optimising pixels (Gatys, Ecker & Bethge 2016): no generator here.

`stylise` descends on content + style + total variation of one picture and yields a
StyleLog now and then, as training.train does, so your own `for` loop shows it live:

    for log in stylise(photo, painting, StyleConfig(size=320, steps=120)):
        figures.show_images(log.image)

It works from coarse to fine: large forms are settled on a small copy, where a step is
cheap and a layer sees far; the enlarged result is where the next size starts.
"""

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gancourse import data, hardware, losses
from gancourse.errors import GancourseError, NonFinite
from gancourse.hardware import pick_device
from gancourse.models import vgg
from gancourse.settings import demand, number, whole

LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1")
LEAST = 32  # pixels of the shorter side of a picture


@dataclass(frozen=True)
class StyleConfig:
    """What a transfer may vary. A step is one evaluation of loss and gradient."""

    size: int = 320  # longer side of the result, in pixels
    steps: int = 150  # in all
    content_layers: tuple[str, ...] = ("conv4_1",)
    style_layers: tuple[str, ...] = LAYERS
    content_weight: float = 1.0
    style_weight: float = 60.0
    tv_weight: float = 2.0
    levels: int = 2  # sizes of the pyramid, each twice the one before
    style_scale: float = 1.0  # longer side of the painting over that of the result
    keep_colours: bool = False  # the photograph's colours instead of the painting's
    optimizer: str = "lbfgs"  # or "adam"
    start: str = "content"  # or "noise"
    seed: int = 0  # of the noise
    log_every: int = 10
    device: str = "auto"
    precision: str = "auto"  # "fp32" or "bf16"

    def __post_init__(self):
        positive = ("content_weight", "style_weight", "tv_weight")
        checks = [
            (name, number(getattr(self, name), 0), "at least 0") for name in positive
        ]
        checks += [
            ("size", whole(self.size, LEAST), f"a whole number of at least {LEAST}"),
            ("steps", whole(self.steps, 1), "a whole number of at least 1"),
            ("levels", whole(self.levels, 1), "a whole number of at least 1"),
            ("log_every", whole(self.log_every, 1), "a whole number of at least 1"),
            ("style_scale", number(self.style_scale, 0.05), "at least 0.05"),
            ("optimizer", self.optimizer in ("lbfgs", "adam"), "'lbfgs' or 'adam'"),
            ("start", self.start in ("content", "noise"), "'content' or 'noise'"),
            ("content_layers", _names(self.content_layers), "names of layers"),
            ("style_layers", _names(self.style_layers), "names of layers"),
            ("precision", self.precision in ("auto", "fp32", "bf16"), "fp32 or bf16"),
        ]
        demand(self, checks)


def _names(layers: object) -> bool:
    return isinstance(layers, list | tuple) and all(isinstance(n, str) for n in layers)


@dataclass(frozen=True)
class StyleLog:
    """One look at a transfer: the image (1, 3, h, w) in [-1, 1] and what it measures.

    `content` and `style` are relative errors, `tv` a mean step between pixels.
    """

    step: int
    loss: float
    content: float
    style: float
    tv: float
    image: Tensor = field(compare=False, repr=False)
    seconds: float = field(default=0.0, compare=False)  # the clock is no result


@lru_cache(maxsize=2)
def features(pooling: str = "max", padding: str = "reflect") -> vgg.VGG:
    """The embedded VGG-16, frozen, laid out for speed, on the CPU.

    Reflecting at the border keeps the dashes away that zeros leave along the edges.
    """
    model = vgg.vgg16(data.asset(vgg.WEIGHTS), pooling, padding)
    return model.to(memory_format=torch.channels_last)


def scaled(image: Tensor, longer: int) -> Tensor:
    """Image (1, 3, H, W) with its longer side `longer`, bicubic, antialiased."""
    size = [round(side * longer / max(image.shape[2:])) for side in image.shape[2:]]
    return interpolate(image, size, mode="bicubic", antialias=True).clamp(-1, 1)


def match_colours(image: Tensor, colours: Tensor) -> Tensor:
    """`image` (1, 3, H, W) with the mean and covariance of the pixels of `colours`.

    Gatys et al. 2016 (arXiv:1606.05897), symmetric roots: C^(1/2) S^(-1/2) (x - mean).
    """
    # On the CPU: Apple's GPUs have no float64, and roots of 3 x 3 are slow on any.
    x, target = (p.cpu().double().flatten(2)[0] for p in (image, colours))
    root = _power(target.cov(), 0.5) @ _power(x.cov(), -0.5)
    moved = root @ (x - x.mean(1, keepdim=True)) + target.mean(1, keepdim=True)
    return moved.view(image.shape).to(image).clamp(-1, 1)


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.clamp_min(1e-6) ** exponent @ vectors.mT


class Objective:
    """What is minimised at one size: content + style + total variation of an image.

    Called with an image (1, 3, h, w) it gives the scalar and its three named parts.
    `styles` are pairs (picture, weight). One Gram target serves several styles, since
    sum_k w_k |G - G_k|^2 and |G - sum_k w_k G_k|^2 differ by a constant.
    """

    def __init__(self, net, content: Tensor, styles: list, config: StyleConfig):
        self.net, self.config = net, config
        self.precision = pick_precision(config.precision, content.device)
        longer = round(max(content.shape[2:]) * config.style_scale)
        with torch.no_grad():
            self.content = self._features(content, config.content_layers)
            total = sum(weight for _, weight in styles)
            self.grams: dict[str, Tensor] = {}
            for picture, weight in styles:
                found = self._features(scaled(picture, longer), config.style_layers)
                for name, feature in found.items():
                    part = weight / total * losses.gram(feature)
                    self.grams[name] = self.grams.get(name, 0) + part

    def _features(self, image: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
        # L-BFGS wants a contiguous image, convolutions are faster channels-last.
        image = image.contiguous(memory_format=torch.channels_last)
        sixteen = self.precision == "bf16"
        with torch.autocast(image.device.type, torch.bfloat16, enabled=sixteen):
            return self.net(image, layers)

    def _parts(self, image: Tensor) -> dict[str, Tensor]:
        found = self._features(image, {*self.content, *self.grams})
        return {
            "content": losses.content_loss(found, self.content),
            "style": losses.style_loss(found, self.grams),
            "tv": losses.total_variation(image),
        }

    def __call__(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        config, parts = self.config, self._parts(image)
        total = (
            config.content_weight * parts["content"]
            + config.style_weight * parts["style"]
            + config.tv_weight * parts["tv"]
        )
        return total, parts


def pick_precision(precision: str, device: torch.device) -> str:
    """ "auto" means bf16 where the hardware multiplies it faster, or fp32.

    Never fp16, in which these gradients vanish.
    """
    if precision != "auto":
        return precision
    return "bf16" if hardware.pick_precision("auto", device) == "bf16" else "fp32"


# ------------------------------------------------------------------ the descent


def stylise(
    content: Tensor,
    styles: Tensor | list[Tensor] | list[tuple[Tensor, float]],
    config: StyleConfig | None = None,
    net: vgg.VGG | None = None,
) -> Iterator[StyleLog]:
    """Paint `content` in the manner of `styles`; yield a StyleLog every `log_every`.

    Pictures are uint8 or floats in [-1, 1], (3, H, W) or (1, 3, H, W); styles one, a
    list, or a list of pairs (picture, weight). The last log holds the result, in
    config.size. Raises GancourseError for what is no picture, NonFinite when the
    descent leaves the numbers.
    """
    config, began = config or StyleConfig(), time.perf_counter()
    device = pick_device(config.device)
    net = net or features()
    if device.type != "cpu":  # a copy: the caller goes on with his own
        net = copy.deepcopy(net).to(device)
    content = picture(content, "the content").to(device)
    styles = [(picture(p, "a style").to(device), w) for p, w in _pairs(styles)]
    content, styles = _coloured(content, styles, config.keep_colours)
    image, done = None, 0
    for size, steps in plan(config, _narrowest(content, styles, config.style_scale)):
        here = scaled(content, size)
        objective = Objective(net, here, styles, config)
        image = _begin(here, config) if image is None else _enlarge(image, here)
        for evaluations in _descend(objective, image, steps, config):
            shown = image.detach().clamp(-1, 1)
            with torch.no_grad():
                loss, parts = objective(shown)
            if not loss.isfinite():
                raise _not_finite(done + evaluations)
            values = [part.item() for part in (loss, *parts.values())]
            seconds = time.perf_counter() - began
            yield StyleLog(done + evaluations, *values, shown.cpu(), seconds)
        image, done = image.detach().clamp(-1, 1), done + steps


def plan(config: StyleConfig, narrowest: float = 1.0) -> list[tuple[int, int]]:
    """(longer side, steps) of each level, from coarse to fine.

    A level gets twice the steps of the next finer one, which costs four times as much.
    Levels are left out where the `narrowest` picture (shorter side over longer) would
    shrink below what VGG can see.
    """
    levels = [
        k
        for k in range(config.levels)
        if k == 0 or config.size / 2**k * narrowest >= LEAST
    ]
    shares = sum(2**k for k in levels)
    steps = [config.steps * 2**k // shares for k in levels]
    steps[0] += config.steps - sum(steps)
    sizes = [round(config.size / 2**k) for k in levels]
    return [(s, n) for s, n in zip(sizes[::-1], steps[::-1], strict=True) if n]


def _narrowest(content: Tensor, styles: list, scale: float) -> float:
    """The shortest side of all as shown, over the longer side of the result."""
    shown = [(content, 1.0), *((picture, scale) for picture, _ in styles)]
    return min(k * min(p.shape[2:]) / max(p.shape[2:]) for p, k in shown)


def _begin(content: Tensor, config: StyleConfig) -> Tensor:
    """A copy of `content`, or noise in its colours."""
    if config.start == "content":
        return content.clone()
    rng = torch.Generator().manual_seed(config.seed)
    noise = torch.randn(content.shape, generator=rng).to(content.device)
    return match_colours(noise, content)


def _enlarge(image: Tensor, content: Tensor) -> Tensor:
    return interpolate(image, content.shape[2:], mode="bicubic").clamp(-1, 1)


def _descend(
    objective: Objective, image: Tensor, steps: int, config: StyleConfig
) -> Iterator[int]:
    """Move `image` in place; yield the number of steps done, now and then."""
    image.requires_grad_()
    if config.optimizer == "adam":
        opt = torch.optim.Adam([image], lr=0.05)
    else:
        opt = torch.optim.LBFGS(
            [image],
            history_size=20,
            max_eval=steps + 1,  # by default a call would stop after 25
            tolerance_grad=0,
            tolerance_change=0,
        )

    def closure() -> Tensor:
        with torch.no_grad():  # pixels out of range lower a loss that is never shown
            image.clamp_(-1, 1)
        opt.zero_grad()
        loss, _ = objective(image)
        loss.backward()
        return loss

    for done in range(0, steps, config.log_every):
        now = min(config.log_every, steps - done)
        if config.optimizer == "adam":
            for _ in range(now):
                opt.step(closure)
        else:  # one call of L-BFGS goes on for max_iter evaluations
            opt.param_groups[0]["max_iter"] = now
            opt.step(closure)
        yield done + now


def _not_finite(step: int) -> NonFinite:
    return NonFinite(
        f"The loss stopped being a number before step {step}. Pictures of earlier logs "
        "were kept. Try optimizer='adam', precision='fp32' or smaller weights."
    )


# ------------------------------------------------------------------ the pictures


def picture(image: Tensor, what: str = "the picture") -> Tensor:
    """A picture as floats (1, 3, H, W) in [-1, 1], or a sentence on what to change.

    Takes uint8 or floats in [-1, 1], (3, H, W) or (1, 3, H, W).
    """
    if not isinstance(image, Tensor):
        _refuse(what, f"is {type(image).__name__}", "Use images.read_image(file)")
    if image.ndim == 4 and len(image) != 1:
        _refuse(what, f"is a batch of {len(image)}", "Pass one: images[0]")
    x = image if image.ndim == 4 else image[None]
    if x.ndim != 4:
        _refuse(what, f"has shape {tuple(image.shape)}", "Pass (3, H, W)")
    if x.shape[1] != 3 and x.shape[3] in (1, 3, 4):
        _refuse(what, "has its colours last", "Pass image.permute(2, 0, 1)")
    if x.shape[1] != 3:
        cure = {1: "image.expand(3, -1, -1)", 4: "image[:3]"}.get(x.shape[1])
        words = f"Pass {cure}" if cure else "Pass red, green and blue: (3, H, W)"
        _refuse(what, f"has {x.shape[1]} channels, not 3", words)
    if min(x.shape[2:]) < LEAST:
        size = f"{x.shape[3]} x {x.shape[2]} pixels"
        _refuse(what, f"is too small ({size})", f"Use at least {LEAST} x {LEAST}")
    return _values(x, what)


def _values(x: Tensor, what: str) -> Tensor:
    if x.layout != torch.strided or x.is_meta:
        _refuse(what, "is no dense tensor with values", "Pass image.to_dense()")
    if x.requires_grad:
        _refuse(what, "carries gradients", "Pass image.detach()")
    if x.dtype == torch.uint8:
        return data.to_unit(x)
    if not x.is_floating_point():
        _refuse(what, f"holds {x.dtype}", "Pass uint8, image.byte(), or floats")
    if not x.isfinite().all():
        _refuse(what, "holds values that are not numbers", "Remove them first")
    if x.min() < -1.01 or x.max() > 1.01:
        words = "Pass data.to_unit(image) for pixels from 0 to 255"
        _refuse(what, f"has values from {x.min():.3g} to {x.max():.3g}", words)
    return x.float()


def _refuse(what: str, wrong: str, cure: str) -> None:
    raise GancourseError(
        f"{what[0].upper()}{what[1:]} {wrong}, and nothing was painted. {cure}."
    )


def _pairs(styles) -> list[tuple[Tensor, float]]:
    """One style, several, or pairs with weights, as pairs."""
    styles = [styles] if isinstance(styles, Tensor) else list(styles)
    pairs = [style if isinstance(style, tuple) else (style, 1.0) for style in styles]
    if not pairs or not all(len(pair) == 2 for pair in pairs):
        raise GancourseError(
            "Styles are one picture, a list of pictures, or a list of pairs (picture, "
            "weight). Nothing was painted. Pass at least one."
        )
    if not all(number(w, 0) for _, w in pairs) or not sum(w for _, w in pairs) > 0:
        raise GancourseError(
            f"The weights of the styles are {[w for _, w in pairs]}, but must be at "
            "least 0 and not all 0. Nothing was painted. Change them."
        )
    return pairs


def _coloured(content: Tensor, styles: list, keep: bool) -> tuple[Tensor, list]:
    """Settle whose colours win before the first step.

    keep: each painting takes the photograph's colours. Otherwise the photograph takes
    the paintings', so that no step is spent on recolouring skies and meadows.
    """
    if keep:
        return content, [(match_colours(p, content), weight) for p, weight in styles]
    total = sum(weight for _, weight in styles)
    recoloured = [match_colours(content, p) * (weight / total) for p, weight in styles]
    return torch.stack(recoloured).sum(0), styles
