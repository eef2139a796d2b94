"""Gatys' descent: ours against a tutorial's, at the same loss in the end.

Both minimise one objective on one photograph and painting at 256 pixels. The tutorial
has 32-bit numbers, channels first, one size and L-BFGS with clamping in its closure;
its VGG is frozen, or (as some are) not. What counts is the time until a picture's loss,
always measured in fp32 by the same ruler, is as low as the tutorial's last.
"""

import time
from dataclasses import replace

import torch
import tutorial
from measuring import milliseconds, race, ratio, table
from steps import theirs
from torch import Tensor

from gancourse import data, style

PHOTO, PAINTING = "picos-de-europa", "vangogh-village-street-auvers"
Path = list[tuple[float, float]]  # (processor seconds, loss in fp32)


class Plain(style.Objective):
    """The objective as a tutorial computes it: channels first, from a plain VGG."""

    def _features(self, image: Tensor, layers) -> dict[str, Tensor]:
        return self.net(image.contiguous(), layers)

    def _parts(self, image: Tensor) -> dict[str, Tensor]:
        found = self._features(image, {*self.content, *self.grams})
        return tutorial.terms(found, self.content, self.grams, image)


def timed(run, judge) -> Path:
    """Follow one of our transfers; the judge's own seconds do not count."""
    path, spent, began = [], 0.0, time.process_time()
    for log in run:
        spent += time.process_time() - began
        if log.image.shape == judge.shape:
            path.append((spent, judge.loss(log.image)))
        began = time.process_time()
    return path


class Judge:
    """Loss in fp32 at the final size: one ruler for every picture."""

    def __init__(self, content: Tensor, styles, config: style.StyleConfig):
        self.objective = style.Objective(style.features(), content, styles, config)
        self.shape = content.shape

    @torch.no_grad()
    def loss(self, image: Tensor) -> float:
        return self.objective(image.detach().clamp(-1, 1))[0].item()


def reach(path: Path, loss: float) -> float | None:
    """Seconds until the loss is reached, or None."""
    return next((seconds for seconds, found in path if found <= loss), None)


def measure(smoke: bool) -> str:
    """Time of an evaluation in turns, then time to the tutorial's loss."""
    size, steps, turn, rounds = (64, 6, 1, 1) if smoke else (256, 80, 5, 3)
    config = style.StyleConfig(size=size, levels=1, log_every=2, precision="fp32")
    photo = style.picture(data.picture(PHOTO, size))
    painting = style.picture(data.picture(PAINTING, size))
    start, styles = style._coloured(photo, [(painting, 1.0)], keep=False)
    start = style.scaled(start, size)
    judge = Judge(start, styles, config)

    def plain(frozen: bool):
        objective = Plain(style.features(), start, styles, config)
        objective.net = tutorial.plain_vgg(style.features(), frozen)
        image = start.clone()
        return tutorial.gatys(objective, image), image

    def ours(steps: int, **changes):
        changed = replace(config, steps=steps, **changes)
        return style.stylise(photo, painting, changed)

    endless = dict(steps=10**6, log_every=turn)
    sides = {
        "tutorial, VGG not frozen": theirs(plain(False)[0], turn),
        "tutorial, VGG frozen": theirs(plain(True)[0], turn),
        "ours, fp32": theirs(ours(**endless), 1),
        "ours, auto": theirs(ours(**endless, precision="auto"), 1),
    }
    spent = race(sides, rounds)
    equal = _to_equal_loss(plain, ours, judge, steps)
    return f"{_evaluations(spent, size, turn)}\n\n{equal}"


def _evaluations(spent, size: int, turn: int) -> str:
    frozen = "tutorial, VGG frozen"
    rows = [
        [
            name,
            milliseconds(seconds, turn),
            "1" if name == frozen else ratio(spent, frozen, name),
        ]
        for name, seconds in spent.items()
    ]
    head = [f"an evaluation at {size} pixels", "takes", "times the frozen tutorial's"]
    note = f"A log of ours, every {turn} evaluations here, costs one forward pass more."
    return f"{table(head, rows)}\n\n{note}"


def _to_equal_loss(plain, ours, judge, steps: int) -> str:
    run, image = plain(True)
    began = time.process_time()
    for _ in range(steps):
        next(run)
    seconds, loss = time.process_time() - began, judge.loss(image)
    rows = [[f"tutorial, VGG frozen, {steps} evaluations", f"{seconds:.1f} s", "1"]]
    tries = [("one size", dict(levels=1), [steps + 5])]
    longer = [steps // 2, steps, 3 * steps // 2]
    tries += [("pyramid of two", dict(levels=2), longer)]
    for name, change, lengths in tries:
        for length in lengths:
            run = ours(length, precision="auto", log_every=5, **change)
            path = timed(run, judge)
            there = reach(path, loss)
            if there or length == lengths[-1]:
                break
        lowest = min(found for _, found in path) / loss
        rows.append(
            [
                f"ours, auto, {name}, {length} evaluations planned",
                f"{there:.1f} s" if there else f"not reached ({lowest:.2f} of it)",
                f"**{seconds / there:.2f}**" if there else "",
            ]
        )
    head = [f"until the tutorial's last loss, {loss:.3f}", "takes", "times"]
    return table(head, rows)
