"""The loops written by hand in notebooks 02 and 04 are the package's, step by step.

The functions are taken out of the cells tagged `loop-by-hand`: a change on either side
that changes a single loss turns these red.
"""

import ast
import json
from functools import partial
from pathlib import Path

import torch
from torch import nn

from gancourse import data, games, losses
from gancourse.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gancourse.models.mlp import PointDiscriminator, PointGenerator
from gancourse.training import TrainConfig, start, train

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
STEPS = 25


def by_hand(name: str) -> dict:
    """The functions of a notebook's cells tagged `loop-by-hand`."""
    book = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    scope = {"torch": torch, "nn": nn, "softplus": nn.functional.softplus}
    for cell in book["cells"]:
        if "loop-by-hand" in cell["metadata"].get("tags", []):
            tree = ast.parse("".join(cell["source"]))
            keep = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
            exec(compile(ast.Module(keep, []), name, "exec"), scope)
    return scope


def points(seed: int = 3):
    torch.manual_seed(seed)
    return PointGenerator(2, 2, 16), PointDiscriminator(2, 16)


def packaged(G, D, batches, penalty=None, **settings) -> list[tuple[float, float]]:
    config = TrainConfig(
        steps=STEPS, ema=0, log_every=1, device="cpu", precision="fp32", **settings
    )
    state = start(games.GAN(G, D, penalty=penalty), config)
    return [(log.d_loss, log.g_loss) for log in train(state, batches)]


def test_the_first_loop_of_notebook_02_plays_the_packages_game():
    batches = data.batches(data.ring(), 64, 3)
    play = by_hand("02_first_gan")["play"]
    mine = torch.tensor(list(play(*points(), batches, STEPS, seed=3)))
    theirs = torch.tensor(
        packaged(*points(), batches, g_lr=2e-3, d_lr=2e-3, betas=(0.0, 0.9), seed=3)
    )
    assert (mine - theirs).abs().max() < 1e-6
    assert len(mine.unique()) > STEPS  # and it does move


def test_the_repaired_loop_of_notebook_02_plays_the_packages_game():
    batches = data.batches(data.ring(), 64, 3)
    play_on = by_hand("02_first_gan")["play_on"]
    mine = torch.tensor(
        list(play_on(*points(), batches, STEPS, seed=3, gamma=0.1, decay=0.7))
    )
    theirs = torch.tensor(
        packaged(
            *points(),
            batches,
            penalty=partial(losses.r1, gamma=0.1),
            g_lr=2e-3,
            d_lr=2e-3,
            betas=(0.0, 0.9),
            decay=0.7,
            seed=3,
        )
    )
    assert (mine - theirs).abs().max() < 1e-6


def test_the_loop_of_notebook_04_plays_the_packages_game():
    def players():
        torch.manual_seed(3)
        return DCGANGenerator(width=4, refine=1), DCGANDiscriminator(width=4, refine=1)

    batches = data.batches(data.digits().images[:2000], 16, 3)
    hand = by_hand("04_dcgan_mnist")["train_by_hand"]
    mine = torch.tensor(list(hand(*players(), batches, STEPS, seed=3)))
    theirs = torch.tensor(packaged(*players(), batches, g_lr=2e-3, d_lr=1e-3, seed=3))
    assert (mine - theirs).abs().max() < 1e-6
