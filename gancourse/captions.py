"""Pictures that a sentence describes in full: handwritten digits, painted and placed.

    a thin red seven tilted left above a bold blue three upright

A scene has two places, top and bottom; each is empty or holds an object, which is five
whole numbers (`PARTS`). From a scene follow its caption and its picture, and a caption
can be read back into a scene, so that every word has a truth to be measured against.
What no word names (whose handwriting, how far left or right) is left to chance.

One colour of each digit never occurs in training: 10 of the 60 pairs are `unseen`.
"""

import re
from typing import NamedTuple

import torch
from torch import Tensor

from gancourse.domains import COLOURS
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


def read(lines: list[str]) -> Scenes:
    """The scenes that captions describe: undoes `captions`, commas do not count."""
    described = [_read(line) for line in lines]
    objects, first = zip(*described, strict=True) if described else ((), ())
    objects = torch.tensor(objects, dtype=torch.long).view(-1, 2, len(PARTS))
    return Scenes(objects, torch.tensor(first, dtype=torch.long))


def _read(line: str) -> tuple[list[list[int]], int]:
    kinds = ("|".join(words) for words in (THICKNESS, COLOURS, DIGITS, TILTS))
    one = "a " + " ".join(f"({kind})" for kind in kinds)
    pattern = rf"{one} (?:at the (top|bottom)|(above|below) {one})"
    found = re.fullmatch(pattern, " ".join(_split(line)))
    if not found:
        raise GancourseError(
            f"“{line}” is not built like a caption, and nothing was drawn. Write e.g. "
            "“a thin red seven tilted left at the top”, or two such objects with "
            "“above” or “below” between them."
        )
    parts = found.groups()
    first = PLACES.index(parts[4]) if parts[4] else ("above", "below").index(parts[5])
    objects = [[0] * len(PARTS), [0] * len(PARTS)]
    objects[first] = _numbers(parts[:4])
    if parts[5]:
        objects[1 - first] = _numbers(parts[6:])
    return objects, first


def _numbers(words: tuple[str, ...]) -> list[int]:
    kinds = zip((THICKNESS, COLOURS, DIGITS, TILTS), words, strict=True)
    return [1, *(kind.index(word) for kind, word in kinds)]


def _split(line: str) -> list[str]:
    return line.lower().replace(",", " ").split()


def tokens(lines: list[str]) -> Tensor:
    """Captions as numbers, int64 (N, LENGTH), 0 after the last word.

    Commas and capitals do not count. Words that are not in WORDS are refused.
    """
    rows = torch.zeros(len(lines), LENGTH, dtype=torch.long)
    for row, line in zip(rows, lines, strict=True):
        words = _split(line)
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
