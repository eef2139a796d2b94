"""One step of training, ours beside a tutorial's, of the same layers.

Tutorials keep no average of G, so in the pairs ours keeps none either.
"""

import statistics
from collections.abc import Callable

import torch
import tutorial
from measuring import milliseconds, race, ratio, table
from PIL import Image
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from gancourse import data, facades, fast_style, games, pairs, style, training
from gancourse.models import dcgan, transform, unet


def ours(
    game, real: Tensor | tuple, turn: int, batch: int, device: str = "cpu", **settings
) -> Callable:
    """A function that plays `turn` steps of `game` with the course's loop."""
    config = training.TrainConfig(
        10**9, batch_size=batch, log_every=turn, seed=0, device=device, **settings
    )
    state = training.start(game, config)
    run = training.train(state, data.batches(real, batch, 0, state.device))

    def play():
        return next(run)

    play.state = state
    return play


def theirs(run, turn: int) -> Callable:
    """A function that plays `turn` steps of a tutorial's loop."""
    return lambda: [next(run) for _ in range(turn)]


def dcgan_64(
    real: Tensor, turn: int, precision: str, width: int = 64, batch: int = 64, **more
) -> Callable:
    """The layers of tutorial.dcgan in the course's loop; `real` at 64 pixels."""
    torch.manual_seed(0)
    G = dcgan.DCGANGenerator(100, 64, 1, width, refine=0)
    D = dcgan.DCGANDiscriminator(64, 1, width, refine=0)
    game = games.GAN(dcgan.channels_last(G), dcgan.channels_last(D))
    return ours(game, real, turn, batch, precision=precision, ema=0.0, **more)


def tutorial_64(
    images: Tensor, turn: int, width: int = 64, batch: int = 64, device: str = "cpu"
) -> Callable:
    torch.manual_seed(0)
    netG, netD = (
        tutorial.dcgan_generator(ngf=width),
        tutorial.dcgan_discriminator(width),
    )
    return theirs(tutorial.dcgan(netG, netD, images, batch, device), turn)


def notebook_04(images: Tensor, turn: int, precision: str = "auto", **more) -> Callable:
    """What notebook 04 trains, 28 pixels."""
    torch.manual_seed(0)
    G = dcgan.channels_last(dcgan.DCGANGenerator())
    D = dcgan.channels_last(dcgan.DCGANDiscriminator())
    rates = dict(g_lr=2e-3, d_lr=1e-3)
    return ours(games.GAN(G, D), images, turn, 64, precision=precision, **rates, **more)


def flops(play: Callable) -> int:
    """Floating-point operations of one call, two for a multiply-add."""
    with FlopCounterMode(display=False) as counter:
        play()
    return counter.get_total_flops()


def peak(dtype: torch.dtype, smoke: bool) -> float:
    """Operations a second, the best that a matrix product or a convolution reaches."""
    n, side = (256, 8) if smoke else (2048, 32)
    a, b = torch.randn(n, n).to(dtype), torch.randn(n, n).to(dtype)
    conv = torch.nn.Conv2d(256, 256, 3, padding=1, bias=False).to(dtype)
    conv = conv.to(memory_format=torch.channels_last).requires_grad_(False)
    x = torch.randn(8, 256, side, side).to(dtype).to(memory_format=torch.channels_last)
    rates = []
    for play in (lambda: a @ b, lambda: conv(x)):
        spent = race({"it": play}, 1 if smoke else 6)["it"]
        rates.append(flops(play) / min(spent))
    return max(rates)


def dcgans(smoke: bool) -> str:
    """DCGAN-64 and notebook 04's players against the tutorial's DCGAN-64."""
    width, rounds = (8, 1) if smoke else (64, 5)
    images = data.digits().images[:6400]
    real = data.resize(images[:1280], 64)
    sixteen = training.pick_precision("auto", torch.device("cpu"))
    sides = {
        "tutorial, fp32": (tutorial_64(images, 1, width), 1),
        f"ours, auto ({sixteen})": (dcgan_64(real, 1, "auto", width), 1),
        "ours, fp32": (dcgan_64(real, 1, "fp32", width), 1),
        f"notebook 04, auto ({sixteen})": (notebook_04(images, 6), 6),
    }
    names = list(sides)
    spent = race({name: play for name, (play, _) in sides.items()}, rounds)
    peaks = {
        "fp32": peak(torch.float32, smoke),
        "bf16": peak(torch.bfloat16, smoke),
    }
    rows = []
    for name, (play, turn) in sides.items():
        step = statistics.median(spent[name]) / turn
        gf = flops(play) / turn
        kind = "bf16" if "bf16" in name else "fp32"
        per_image = {n: [s / sides[n][1] for s in spent[n]] for n in (names[0], name)}
        rows.append(
            [
                name,
                milliseconds(spent[name], turn),
                f"{64 / step:.0f}",
                ratio(per_image, names[0], name) if name != names[0] else "1",
                f"{gf / 64e9:.2f}",
                f"{gf / step / 1e9:.0f} GFLOP/s, {gf / step / peaks[kind]:.0%}",
            ]
        )
    head = ["loop, batches of 64", "a step", "images/s", "times the tutorial's"]
    head += ["GFLOP an image", "of the peak of its kind"]
    note = ", ".join(f"{k} {v / 1e9:.0f} GFLOP/s" for k, v in peaks.items())
    note = f"Peak, of a large matrix product or convolution: {note}. FLOP are counted."
    return table(head, rows) + f"\n\n{note}"


# ------------------------------------------------------------------ pix2pix


def pix2pix(smoke: bool) -> str:
    """pix2pix: U-Net and 70-pixel critic at batch 1."""
    size, rounds = (64, 1) if smoke else (256, 5)
    x, y = facade_pairs(size)
    sides = {
        "tutorial, fp32": tutorial_pix2pix(x, y, 1),
        "ours, auto": our_pix2pix(x, y, 1),
        "ours, fp32": our_pix2pix(x, y, 1, precision="fp32"),
    }
    spent = race(sides, rounds)
    gf = flops(sides["ours, fp32"]) / 1e9
    return _pairs(spent, f"pix2pix at {size} pixels, batch 1, {gf:.0f} GFLOP a step")


def facade_pairs(size: int) -> tuple[Tensor, Tensor]:
    """Four coloured plans and façades, uint8 (4, 3, size, size)."""
    labels, pictures = facades.pairs(4, size=size)[:2]
    return data.to_uint8(facades.coloured(labels)), pictures


def _translators(size: int) -> tuple:
    """The paper's players at 256 pixels; small ones below."""
    torch.manual_seed(0)
    if size == 256:
        return unet.UNet(width=64, depth=8), unet.PatchCritic(width=64, layers=3)
    return unet.UNet(width=4, depth=4), unet.PatchCritic(width=4, layers=1)


def tutorial_pix2pix(x: Tensor, y: Tensor, turn: int, device: str = "cpu") -> Callable:
    pil = [(_pil(a), _pil(b)) for a, b in zip(x, y, strict=True)]
    return theirs(tutorial.pix2pix(*_translators(x.shape[-1]), pil, device), turn)


def our_pix2pix(x: Tensor, y: Tensor, turn: int, **more) -> Callable:
    """Channels first: a batch of one gains nothing from the other layout."""
    game = games.Pix2Pix(*_translators(x.shape[-1]))
    return ours(game, (x, y), turn, 1, ema=0.0, **more)


def _pil(image: Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def _pairs(spent: dict[str, list[float]], title: str) -> str:
    first = next(iter(spent))
    rows = [
        [
            name,
            milliseconds(seconds),
            ratio(spent, first, name) if name != first else "1",
        ]
        for name, seconds in spent.items()
    ]
    return table([title, "a step", "times the first row"], rows)


# ------------------------------------------------------------------ fast style


def fast(smoke: bool) -> str:
    """A training step of the feed-forward styliser, batches of 4 at 256 pixels."""
    width, size, batch, rounds = (4, 64, 2, 1) if smoke else (32, 256, 4, 3)
    photos = pairs.patches("train", size, size // 2, 2 * size)[: 4 * batch]
    painting = style.scaled(
        style.picture(data.picture("vangogh-village-street-auvers", size)), size
    )
    frozen = tutorial.plain_vgg(style.features(), frozen=True)

    def net():
        torch.manual_seed(0)
        return transform.StyleNet(width)

    plain = tutorial.fast_style(net(), frozen, painting, [*map(_pil, photos)], batch)
    sides: dict[str, Callable] = {"tutorial, fp32": theirs(plain, 1)}
    for precision in ("auto", "fp32"):
        game = fast_style.FastStyle(
            dcgan.channels_last(net()), fast_style.Eye(painting)
        )
        sides[f"ours, {precision}"] = ours(
            game, photos, 1, batch, precision=precision, g_lr=1e-3, ema=0.0
        )
    spent = race(sides, rounds)
    return _pairs(spent, f"fast style at {size} pixels, batches of {batch}")
