"""Part A, every family: saving, sampling and looking change nothing of a run.

Levels 3 and 4 of what is promised about determinism; that a resumed run equals the
unbroken one at every step is tested in test_checkpoints.py, for every family too.
"""

import random

import numpy as np
import pytest
import torch
from counts import count
from small_games import GAMES, digest

from gancourse import checkpoints
from gancourse.training import averaged, train

SHORT = ["points, dropout", "acgan"]


@pytest.fixture(autouse=True)
def one_thread(threads):
    threads(1)


def look(state, given: dict) -> None:
    """What a learner does between two steps: draw samples, and random numbers."""
    G = averaged(state)
    with torch.no_grad(), state.forked_rng():
        for name, inputs in given.items():
            G[name](*inputs)
    torch.rand(3), np.random.rand(3), random.random()
    torch.manual_seed(state.step)


@pytest.mark.parametrize(
    "name",
    [n if n in SHORT else pytest.param(n, marks=pytest.mark.full) for n in GAMES],
)
def test_how_often_one_saves_and_samples_changes_nothing(name, tmp_path):
    """Never; after every step; after every seventh, with samples after every step."""
    small, steps, hashes, logs = GAMES[name], 8 if name == "mlp" else 15, [], []
    for every, looks in ((1000, False), (1, False), (7, True)):
        state, given = small.state(steps=steps, log_every=1), {}
        for key, player in state.generators.items():
            player.register_forward_pre_hook(
                lambda module, inputs, key=key: given.update({key: inputs})
            )
        seen = []
        for log in train(state, small.batches(state.config)):
            seen.append((log.step, log.d_loss, log.g_loss, log.parts))
            if log.step % every == 0:
                checkpoints.save(state, tmp_path / str(every))
            if looks:
                look(state, dict(given))
        hashes.append(digest(state))
        logs.append(seen)
    assert len(set(hashes)) == 1 and logs[0] == logs[1] == logs[2]
    assert checkpoints.latest(tmp_path / "1")["step"] == steps
    count("A", "families whose run neither saving nor sampling changes", 1)
