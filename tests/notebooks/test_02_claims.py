"""Notebook 02 keeps what it says: its own loops are the package's, bit for bit.

The functions under test are taken out of the notebook's tagged cells, so the test can
not drift away from what a learner reads.
"""

import json
import math
from pathlib import Path

import pytest
import torch

from gancourse import data, games, losses, training
from gancourse.lab import Engine, Recipe
from gancourse.models.mlp import PointDiscriminator, PointGenerator

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "02_first_gan.ipynb"


@pytest.fixture(scope="module")
def notebook() -> dict:
    """The names that the notebook's import cell and tagged cells define."""
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    wanted = {"loop-by-hand", "switches", "overlap-by-hand", "coverage-by-hand"}
    names, seen = {}, set()
    for cell in cells:
        text, tags = "".join(cell["source"]), set(cell["metadata"].get("tags", []))
        if text.startswith("import math") or tags & wanted:
            exec(compile(text, NOTEBOOK.name, "exec"), names)
            seen |= tags & wanted
    assert seen == wanted
    return names


def line_players(seed: int):
    torch.manual_seed(seed)
    return PointGenerator(8, 1, 32), PointDiscriminator(1, 32)


def ring_players(seed: int):
    torch.manual_seed(seed)
    return PointGenerator(2, 2, 128), PointDiscriminator(2, 128)


LINE = data.mixture_1d(weights=(0.3, 0.7))
CASES = {
    "line": (line_players, LINE, 256, {}),
    "line, repaired": (line_players, LINE, 256, dict(gamma=1.0, decay=0.8)),
    "ring": (ring_players, data.ring(), 128, {}),
    "ring, penalty": (ring_players, data.ring(), 128, dict(gamma=0.1)),
    "ring, repaired": (ring_players, data.ring(), 128, dict(gamma=0.1, decay=0.7)),
}


def by_package(G, D, batches, steps, seed, gamma=0.0, decay=0.0):
    """StepLogs of the same run by the package's game and loop, as a learner would."""

    def penalty(D, real, fake, rng):
        return losses.r1(D, real, fake, rng, gamma=gamma)

    game = games.GAN(G, D, losses.nonsaturating, penalty if gamma else None)
    config = training.TrainConfig(
        steps=steps, batch_size=batches.size, g_lr=2e-3, d_lr=2e-3, betas=(0.0, 0.9),
        decay=decay, ema=0.0, log_every=1, seed=seed, device="cpu", precision="fp32",
    )  # fmt: skip
    return list(training.train(training.start(game, config), batches))


def all_weights(*players) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for m in players for p in m.parameters()])


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 3])
def test_loop_by_hand_and_package_give_the_same_losses_and_weights(
    notebook, case, seed
):
    players, mixture, size, recipe = CASES[case]
    batches, steps = data.batches(mixture, size, seed), 40
    G, D = players(seed)
    hand = list(notebook["play_on"](G, D, batches, steps, seed=seed, **recipe))
    G2, D2 = players(seed)
    logs = by_package(G2, D2, batches, steps, seed, **recipe)
    assert hand == [(log.d_loss, log.g_loss) for log in logs]
    assert torch.equal(all_weights(G, D), all_weights(G2, D2))
    assert len({d_loss for d_loss, _ in hand}) == steps, "nothing was learned"


def test_first_loop_is_the_second_without_its_new_lines(notebook):
    batches = data.batches(LINE, 256, 0)
    runs = []
    for name in ["play", "play_on", "play_with"]:
        G, D = line_players(0)
        runs.append((list(notebook[name](G, D, batches, 30)), all_weights(G, D)))
    for run, weights in runs[1:]:
        assert run == runs[0][0] and torch.equal(weights, runs[0][1])


def test_missing_detach_changes_no_bit_as_long_as_gradients_are_cleared_late(notebook):
    batches, ends = data.batches(LINE, 256, 0), {}
    for cut, late in [(True, True), (False, True), (True, False), (False, False)]:
        G, D = line_players(0)
        list(notebook["play_with"](G, D, batches, 30, cut=cut, late=late))
        ends[cut, late] = all_weights(G, D)
    assert torch.equal(ends[True, True], ends[False, True])
    assert torch.equal(ends[True, True], ends[True, False])
    assert not torch.equal(ends[True, True], ends[False, False])


def test_a_draw_between_two_steps_does_not_change_the_run(notebook):
    batches, runs = data.batches(LINE, 256, 0), []
    for disturb in (False, True):
        G, D = line_players(0)
        run = []
        for pair in notebook["play"](G, D, batches, 20):
            if disturb:
                with torch.no_grad():
                    G(torch.randn(7, 8))
            run.append(pair)
        runs.append(run)
    assert runs[0] == runs[1]


def test_penalty_by_hand_is_r1_with_its_gradient(notebook):
    _, D = ring_players(0)
    real = data.ring().sample(50, torch.Generator().manual_seed(0))
    results = []
    for penalty in [
        notebook["slope_penalty"](D, real, 0.3),
        losses.r1(D, real, real, gamma=0.3),
    ]:
        weights = [p for p in D.parameters() if p.ndim > 1]
        results.append((penalty, *torch.autograd.grad(penalty, weights)))
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs) and ours.abs().max() > 0


def test_falling_rate_is_the_one_of_the_package(notebook):
    for decay in (0.0, 0.7, 1.0):
        config = training.TrainConfig(steps=10, decay=decay)
        for step in range(10):
            expected = 0.5 * training.rate(config, step)
            assert notebook["falling"](0.5, step, 10, decay) == expected


def test_overlap_is_the_shared_area(notebook):
    rng = torch.Generator().manual_seed(0)
    real = LINE.sample(200_000, rng)
    assert 0.99 < notebook["overlap"](real, LINE) <= 1
    # Two unit bells whose means are 2 apart share 2 Phi(-1) of their area.
    bell = data.mixture_1d((-1.0,), std=1.0)
    shifted = data.mixture_1d((1.0,), std=1.0).sample(200_000, rng)
    expected = 1 + math.erf(-1 / math.sqrt(2))
    assert notebook["overlap"](shifted, bell) == pytest.approx(expected, abs=0.01)
    # Samples beyond the edges are in no bin, and share nothing.
    assert notebook["overlap"](torch.full((10, 1), 9.0), LINE) == 0


def test_coverage_counts_modes_that_get_a_quarter_of_their_share(notebook):
    ring = data.ring()
    centers = ring.centers
    assert notebook["coverage"](centers, ring) == (8, 1.0)
    # 32 points, fair share 4: one point is a quarter of it, none is not enough.
    points = torch.cat([centers[:1].expand(26, 2), centers[1:7]])
    assert notebook["coverage"](points, ring) == (7, 1.0)
    # Just inside and just outside three standard deviations.
    for distance, good in [(2.9, 1.0), (3.1, 0.0)]:
        moved = centers * (1 + distance * ring.std / 2)
        assert notebook["coverage"](moved, ring)[1] == good


def test_stepping_both_optimizers_in_the_second_move_ends_at_two_thirds():
    """Exercise 02.two_thirds: argmax of log D + log(1 - D) + log D is D = 2/3."""
    s = torch.linspace(-6, 6, 12_001, dtype=torch.float64)
    softplus = torch.nn.functional.softplus
    d_loss = softplus(-s) + softplus(s)
    best = (d_loss + softplus(-s)).argmin()
    assert s[best].sigmoid().item() == pytest.approx(2 / 3, abs=1e-3)
    expected = -math.log(2 / 3) - math.log(1 / 3)
    assert d_loss[best].item() == pytest.approx(expected, abs=2e-3)
    assert expected == pytest.approx(1.504, abs=1e-3)


# ------------------------------------------------------------------ the live lab


def test_lab_plays_the_loop_by_hand_to_the_last_bit(notebook):
    recipe = Recipe(penalty="R1, slope at real points", falling=40, seed=3)
    engine = Engine(recipe)
    G, D = ring_players(3)
    batches = data.batches(data.ring(), 128, 3)
    run = notebook["play_on"](G, D, batches, 40, seed=3, gamma=0.1, decay=0.7)
    for d_loss, g_loss in run:
        engine.step()
        assert (engine.last.d_loss, engine.last.g_loss) == (d_loss, g_loss)
    assert engine.state.step == 40
    assert torch.equal(all_weights(engine.G, engine.D), all_weights(G, D))


SEEDS = [1, *(pytest.param(seed, marks=pytest.mark.full) for seed in (2, 3, 4, 5))]


@pytest.mark.parametrize("seed", SEEDS)
def test_minimax_loses_its_push_while_D_moves_alone_and_the_other_does_not(seed):
    pushes = {}
    for loss in ("minimax", "non-saturating"):
        engine = Engine(Recipe(loss=loss, seed=seed))
        for moves in (0, 200):
            while engine.d_moves < moves:
                engine.move_D()
            pushes[loss, moves] = engine.frame().push.norm(dim=1).median().item()
    assert pushes["minimax", 200] < pushes["minimax", 0] / 10
    assert pushes["non-saturating", 200] > 10 * pushes["non-saturating", 0]


@pytest.mark.parametrize("seed", SEEDS)
def test_sgd_at_adam_s_rate_stays_in_the_middle(seed):
    radius = {}
    for optimizer in ("Adam, betas 0.0 and 0.9", "SGD"):
        engine = Engine(Recipe(optimizer=optimizer, seed=seed))
        engine.step(300)
        radius[optimizer] = engine.frame().fake.norm(dim=1).median().item()
    assert radius["SGD"] < 1 < 1.5 < radius["Adam, betas 0.0 and 0.9"] < 2.5


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tenth_of_the_rates_calms_a_run_that_shakes(seed):
    engine = Engine(Recipe(seed=seed))
    engine.step(600)
    before = engine.frame().modes
    engine.set(g_lr=2e-4, d_lr=2e-4)
    engine.step(300)
    assert before <= 2 and engine.frame().modes >= 4


def test_stored_lab_is_a_picture_with_a_sentence():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    (cell,) = [c for c in cells if "".join(c["source"]) == "lab"]
    picture, sentence = cell["outputs"]
    assert set(picture["data"]) == {"image/png", "text/plain"}, "no view of a widget"
    alt = picture["metadata"]["image/png"]["alt"]
    assert "running notebook it has buttons" in alt
    assert "The GAN lab when this cell was run: step 200" in "".join(
        sentence["data"]["text/html"]
    )
