"""Pictures that a sentence describes in full: handwritten digits, painted and placed.

    a thin red seven tilted left above a bold blue three upright

A scene has two places, top and bottom; each is empty or holds an object, which is five
whole numbers (`PARTS`). From a scene follow its caption and its picture, and a caption
can be read back into a scene, so that every word has a truth to be measured against.
What no word names (whose handwriting, how far left or right) is left to chance.

One colour of each digit never occurs in training: 10 of the 60 pairs are `unseen`.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, grid_sample, pad

from gancourse.data import Digits
from gancourse.domains import COLOURS, PALETTE
from gancourse.errors import GancourseError

THICKNESS = ("thin", "bold")
DIGITS = ("zero", "one", "two", "three", "four", "five")
DIGITS += ("six", "seven", "eight", "nine")
TILTS = ("tilted left", "upright", "tilted right")
PLACES = ("top", "bottom")
# The five numbers of an object: is it there, and which of the words does it take?
PARTS = {"there": 2, "thickness": 2, "colour": 6, "digit": 10, "tilt": 3}
THERE, THICK, COLOUR, DIGIT, TILT = range(5)

WORDS = ("a", *THICKNESS, *COLOURS, *DIGITS, "tilted", "left", "upright", "right")
WORDS += ("above", "below", "at", "the", *PLACES)
TOKEN = {word: i for i, word in enumerate(WORDS, 1)}  # 0 is the empty token
LENGTH = 13  # words of the longest caption
HEIGHT, WIDTH, SLOT = 32, 24, 16  # pixels of a picture; the height of each place


class Scenes(NamedTuple):
    """objects int64 (N, 2, 5), top and bottom; first (N,), which is named first."""

    objects: Tensor
    first: Tensor


# ------------------------------------------------------------------ scenes


def unseen(digit: Tensor, colour: Tensor) -> Tensor:
    """Whether a pair of digit and colour is kept out of training, bool, any shape."""
    return (digit + colour) % len(COLOURS) == 0


def scenes(n: int, rng: torch.Generator, pairs: str = "seen", two: float = 0.5):
    """n random scenes, a share `two` of them with two objects.

    pairs: "seen" (those of training), "unseen" (only the others), "all".
    """
    if pairs not in ("seen", "unseen", "all"):
        raise GancourseError(f"pairs is {pairs!r}. Choose 'seen', 'unseen' or 'all'.")
    objects = torch.stack(
        [torch.randint(k, (n, 2), generator=rng) for k in PARTS.values()], -1
    )
    shift = {"seen": (1, 6), "unseen": (0, 1), "all": (0, 6)}[pairs]
    shift = torch.randint(*shift, (n, 2), generator=rng)
    objects[..., COLOUR] = (shift - objects[..., DIGIT]) % len(COLOURS)
    objects[..., THERE] = 1
    lonely = torch.rand(n, generator=rng) >= two
    empty = torch.randint(2, (n,), generator=rng)
    objects[lonely, empty[lonely]] = 0
    first = torch.where(lonely, 1 - empty, torch.randint(2, (n,), generator=rng))
    return Scenes(objects, first)


def edited(old: Scenes, rng: torch.Generator) -> tuple[Scenes, Tensor]:
    """The scenes with one word of their captions changed, and which: int64 (N,).

    THICK, COLOUR, DIGIT, TILT name the part of an object; THERE means the place, so
    that the objects swap. No change leads to an unseen pair: a critic that met those in
    wrong captions alone would learn that they are wrong.
    """
    objects, first = (part.clone() for part in old)
    n = len(first)
    row = torch.arange(n)
    there = objects[..., THERE].bool()
    slot = torch.where(there.all(1), torch.randint(2, (n,), generator=rng), first)
    part = torch.randint(5, (n,), generator=rng)
    for k, count in enumerate(PARTS.values()):
        if k == THERE:
            continue
        rows = row[part == k]
        chosen = objects[rows, slot[rows]]
        scores = torch.rand(len(rows), count, generator=rng)
        scores.scatter_(1, chosen[:, k : k + 1], -1.0)  # it has to change
        every = chosen[:, None].repeat(1, count, 1)
        every[..., k] = torch.arange(count)
        scores[unseen(every[..., DIGIT], every[..., COLOUR])] -= 2.0
        objects[rows, slot[rows], k] = scores.argmax(1)
    swap = part == THERE
    objects[swap] = objects[swap].flip(1)
    first[swap] = 1 - first[swap]
    return Scenes(objects, first), part


# ------------------------------------------------------------------ words


def captions(described: Scenes) -> list[str]:
    """The sentence for each scene."""
    lines = []
    pairs = zip(described.objects.tolist(), described.first.tolist(), strict=True)
    for objects, first in pairs:
        line = _object(objects[first])
        if objects[1 - first][THERE]:
            line += f" {('above', 'below')[first]} {_object(objects[1 - first])}"
        else:
            line += f" at the {PLACES[first]}"
        lines.append(line)
    return lines


def _object(parts: list[int]) -> str:
    thick, colour, digit, tilt = parts[1:]
    return f"a {THICKNESS[thick]} {COLOURS[colour]} {DIGITS[digit]} {TILTS[tilt]}"


def tokens(lines: list[str]) -> Tensor:
    """Captions as numbers, int64 (N, LENGTH), 0 after the last word.

    Commas and capitals do not count. Words that are not in WORDS are refused.
    """
    rows = torch.zeros(len(lines), LENGTH, dtype=torch.long)
    for row, line in zip(rows, lines, strict=True):
        words = line.lower().replace(",", " ").split()
        strange = [word for word in words if word not in TOKEN]
        if strange or not 0 < len(words) <= LENGTH:
            fault = f"the word “{strange[0]}”" if strange else f"{len(words)} words"
            raise GancourseError(
                f"The caption “{line}” has {fault}, and nothing was drawn. Use 1 to "
                f"{LENGTH} of these words: {', '.join(WORDS)}."
            )
        row[: len(words)] = torch.tensor([TOKEN[word] for word in words])
    return rows


def words(row: Tensor) -> str:
    """One row of tokens (LENGTH,) as words again."""
    return " ".join(WORDS[i - 1] for i in row.tolist() if i)


# ------------------------------------------------------------------ pictures


def strokes(digits: Tensor) -> Tensor:
    """Each digit with a thin and with a bold pen, floats (N, 2, 28, 28) in [0, 1].

    digits uint8 (N, 1, 28, 28). The middle line of the handwriting (its skeleton) is
    drawn again with pens of 2 and of 4 pixels, so that thickness is what we say it is.
    """
    from skimage.morphology import skeletonize

    # One long strip: digits keep clear of their edges, and one call is faster than many.
    strip = digits[:, 0].reshape(-1, digits.shape[-1]).numpy() > 127
    line = pad(
        torch.from_numpy(skeletonize(strip)).view(digits.shape[0], 28, 28), [2] * 4
    )
    small = [(y, x) for y in (0, 1) for x in (0, 1)]
    large = [(y, x) for y in range(-1, 3) for x in range(-1, 3) if {y, x} - {-1, 2}]
    return torch.stack([_drawn(line, pen) for pen in (small, large)], 1).float()


def _drawn(line: Tensor, pen: list[tuple[int, int]]) -> Tensor:
    """The line, bool (N, 32, 32), drawn with a pen: bool (N, 28, 28)."""
    moved = [line[:, 2 - y : 30 - y, 2 - x : 30 - x] for y, x in pen]
    return torch.stack(moved).any(0)


def _upright(ink: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Middle x, middle y and slant dx/dy of ink (N, 28, 28), in units of [-1, 1]."""
    line = (torch.arange(28) - 13.5) / 14
    mass = ink.sum((1, 2)).clamp_min(1e-6)
    x = (ink.sum(1) @ line) / mass
    y = (ink.sum(2) @ line) / mass
    dy = line - y[:, None]
    across = (ink @ line - x[:, None] * ink.sum(2)) * dy
    slant = across.sum(1) / ((ink.sum(2) * dy**2).sum(1)).clamp_min(1e-6)
    return x, y, slant


def _middles(n: int) -> Tensor:
    """The middles of n pixels that span [-1, 1]."""
    return (2 * torch.arange(n) + 1) / n - 1


def placed(ink: Tensor, tilt: Tensor, rng: torch.Generator) -> Tensor:
    """Ink (N, 28, 28) set upright, tilted and moved, floats (N, SLOT, WIDTH) in [0, 1].

    tilt int64 (N,) as in TILTS, about 29 degrees. Where it lands from left to right is drawn
    at random: no caption says it.
    """
    n = len(ink)
    x, y, slant = _upright(ink)
    angle = (tilt - 1) * 0.5 + 0.04 * torch.randn(n, generator=rng)
    shift = 0.25 * (2 * torch.rand(n, generator=rng) - 1)  # of half the width
    c, s, one = angle.cos(), angle.sin(), torch.ones(n)
    # From the picture to the source: turned back, made wider, given back its slant.
    zoom = 1 / 14 / 0.66  # a digit of 20 pixels becomes 13 high,
    narrow = 1.15  # and a little narrower, so that a tilted zero is seen to be tilted
    turn = torch.stack([torch.stack([c, s], 1) * narrow, torch.stack([-s, c], 1)], 1)
    turn = turn * zoom
    shear = torch.stack([one, slant, 0 * one, one], 1).view(n, 2, 2)
    scale = torch.tensor([WIDTH / 2, SLOT / 2])
    matrix = shear @ turn * scale
    moved = matrix[:, :, 0] * -shift[:, None] + torch.stack([x, y], 1)
    v, u = torch.meshgrid(*(_middles(k) for k in (2 * SLOT, 2 * WIDTH)), indexing="ij")
    (xu, xv), (yu, yv), (x, y) = (
        m.T[:, :, None, None] for m in (*matrix.unbind(1), moved)
    )
    grid = torch.stack([xu * u + xv * v + x, yu * u + yv * v + y], -1)
    return avg_pool2d(grid_sample(ink[:, None], grid, align_corners=False), 2)[:, 0]


def paint(described: Scenes, digits: Digits, rng: torch.Generator) -> Tensor:
    """Pictures of scenes in handwriting from `digits`, uint8 (N, 3, HEIGHT, WIDTH)."""
    order = torch.argsort(digits.labels, stable=True)
    counts = torch.bincount(digits.labels, minlength=len(DIGITS))
    starts = counts.cumsum(0) - counts
    digit = described.objects[..., DIGIT]
    pick = (torch.rand(digit.shape, generator=rng) * counts[digit]).long()
    hands = digits.images[order[starts[digit] + pick]]
    parts = zip(described.objects.split(500), hands.split(500), strict=True)
    return torch.cat([_painted(*part, rng) for part in parts])


def _painted(objects: Tensor, hands: Tensor, rng: torch.Generator) -> Tensor:
    """Objects (N, 2, 5) in the handwriting uint8 (N, 2, 1, 28, 28): pictures, uint8."""
    objects, hands = objects.flatten(0, 1), hands.flatten(0, 1)
    ink = strokes(hands)[torch.arange(len(hands)), objects[:, THICK]]
    stroke = placed(ink, objects[:, TILT], rng) * objects[:, THERE, None, None]
    coloured = stroke[:, None] * PALETTE[objects[:, COLOUR]][:, :, None, None]
    pictures = coloured.view(-1, 2, 3, SLOT, WIDTH).transpose(1, 2).flatten(2, 3)
    return (pictures * 255).round().byte()


# ------------------------------------------------------------------ the judge


def slots(pictures: Tensor) -> Tensor:
    """The two places of pictures (N, 3, HEIGHT, WIDTH), top, bottom: (2N, 3, 16, 24)."""
    return pictures.unflatten(2, (2, SLOT)).transpose(1, 2).flatten(0, 1)


@torch.no_grad()
def seen(judge, pictures: Tensor) -> Tensor:
    """What the judge sees in pictures (N, 3, HEIGHT, WIDTH) in [-1, 1]: (N, 2, 5)."""
    answers = judge(slots(pictures)).split(list(PARTS.values()), 1)
    objects = torch.stack([a.argmax(1) for a in answers], 1)
    return (objects * objects[:, :1]).view(-1, 2, 5)


def agreement(judge, pictures: Tensor, described: Scenes) -> dict[str, float]:
    """Share of objects whose parts the judge finds as the caption says, by part.

    "there" is over both places; the parts of an object over those objects that the
    caption names; "all" the share of pictures in which everything is right; "mean" the
    mean of the five parts.
    """
    found, told = seen(judge, pictures), described.objects
    named = told[..., THERE].bool()
    same = found == told
    shares = {"place": same[..., THERE].float().mean().item()}
    for k, name in enumerate(PARTS):
        if k != THERE:
            shares[name] = same[named][:, k].float().mean().item()
    mean = sum(shares.values()) / len(shares)
    return {**shares, "mean": mean, "all": same.all(2).all(1).float().mean().item()}
