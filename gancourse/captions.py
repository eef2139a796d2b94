"""Pictures that a sentence describes in full: handwritten digits, painted and placed.

    a thin red seven tilted left above a bold blue three upright

A scene is int64 (2, 5): its two places, top and bottom, and five whole numbers for the
object in each (`PARTS`), all 0 where there is none. From a scene follow its caption and
its picture, and a caption can be read back into a scene, so that every word has a truth
to be measured against. What no word names, the handwriting, is left to chance.

One colour of each digit never occurs in training: 10 of the 60 pairs are `unseen`.
"""

import re

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
WORDS += ("above", "at", "the", *PLACES)
TOKEN = {word: i for i, word in enumerate(WORDS, 1)}  # 0 is the empty token
LENGTH = 13  # words of the longest caption
HEIGHT, WIDTH, SLOT = 32, 16, 16  # pixels of a picture; the height of each place


# ------------------------------------------------------------------ scenes


def unseen(digit: Tensor, colour: Tensor) -> Tensor:
    """Whether a pair of digit and colour is kept out of training, bool, any shape."""
    return (digit + colour) % len(COLOURS) == 0


def scenes(n: int, rng: torch.Generator, pairs: str = "seen") -> Tensor:
    """n random scenes, int64 (n, 2, 5), half of them with two objects.

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
    lonely = torch.rand(n, generator=rng) < 0.5
    empty = torch.randint(2, (n,), generator=rng)
    objects[lonely, empty[lonely]] = 0
    return objects


def edited(
    objects: Tensor, rng: torch.Generator, often: tuple[float, ...] = (1, 1, 1, 1, 1)
) -> tuple[Tensor, Tensor]:
    """The scenes (N, 2, 5) with one thing changed, and which: int64 (N,).

    `often`: in what proportion each of the five PARTS is chosen.

    THICK, COLOUR, DIGIT and TILT name the part of one object that changes; THERE means
    that objects change places: in captions of two, the same words in another order. No
    change leads to an unseen pair: a critic that met those in wrong captions alone
    would learn that they are wrong.
    """
    objects, n = objects.clone(), len(objects)
    row = torch.arange(n)
    both = objects[..., THERE].all(1)
    slot = torch.where(
        both, torch.randint(2, (n,), generator=rng), objects[:, 1, THERE]
    )
    part = torch.multinomial(torch.tensor(often).float(), n, True, generator=rng)
    for k, count in enumerate(PARTS.values()):
        rows = row[part == k]
        if k == THERE:
            objects[rows] = objects[rows].flip(1)
            continue
        chosen = objects[rows, slot[rows]]
        scores = torch.rand(len(rows), count, generator=rng)
        scores.scatter_(1, chosen[:, k : k + 1], -1.0)  # it has to change
        choices = chosen[:, None].repeat(1, count, 1)
        choices[..., k] = torch.arange(count)
        scores[unseen(choices[..., DIGIT], choices[..., COLOUR])] -= 2.0
        objects[rows, slot[rows], k] = scores.argmax(1)
    return objects, part


# ------------------------------------------------------------------ words


def captions(objects: Tensor) -> list[str]:
    """The sentence for each of the scenes (N, 2, 5)."""
    lines = []
    for scene in objects.tolist():
        named = [_object(parts) for parts in scene if parts[THERE]]
        place = f" at the {PLACES[scene[1][THERE]]}" if len(named) == 1 else ""
        lines.append(" above ".join(named) + place)
    return lines


def _object(parts: list[int]) -> str:
    thick, colour, digit, tilt = parts[1:]
    return f"a {THICKNESS[thick]} {COLOURS[colour]} {DIGITS[digit]} {TILTS[tilt]}"


def read(lines: list[str]) -> Tensor:
    """The scenes (N, 2, 5) that captions describe: undoes `captions`."""
    described = [_read(line) for line in lines]
    return torch.tensor(described, dtype=torch.long).view(-1, 2, len(PARTS))


def _read(line: str) -> list[list[int]]:
    kinds = ("|".join(words) for words in (THICKNESS, COLOURS, DIGITS, TILTS))
    one = "a " + " ".join(f"({kind})" for kind in kinds)
    pattern = rf"{one} (?:at the (top|bottom)|above {one})"
    found = re.fullmatch(pattern, " ".join(_split(line)))
    if not found:
        raise GancourseError(
            f"“{line}” is not built like a caption, and nothing was drawn. Write e.g. "
            "“a thin red seven tilted left at the top”, or two such objects with "
            "“above” between them."
        )
    parts = found.groups()
    first, place = _numbers(parts[:4]), parts[4]
    if place:
        nothing = [0] * len(PARTS)
        return [first, nothing] if place == "top" else [nothing, first]
    return [first, _numbers(parts[5:])]


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
                f"The caption “{line[:60]}” has {fault[:60]}, and nothing was drawn. "
                f"Use 1 to {LENGTH} of these words: {', '.join(WORDS)}."
            )
        row[: len(words)] = torch.tensor([TOKEN[word] for word in words])
    return rows


def words(row: Tensor) -> str:
    """One row of tokens (LENGTH,) as words again."""
    return " ".join(WORDS[i - 1] for i in row.tolist() if i)
