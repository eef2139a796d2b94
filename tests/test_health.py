"""Verdicts on runs that were staged to be ill, and on runs that are well."""

import math
from functools import partial

import matplotlib
import pytest
import torch
from faults.counts import count

from gancourse import data, evaluation, health, losses
from gancourse.games import GAN
from gancourse.models.dcgan import DCGANDiscriminator, DCGANGenerator
from gancourse.models.mlp import PointDiscriminator, PointGenerator
from gancourse.staging import Shift, Slope
from gancourse.training import StepLog, TrainConfig, start, train

matplotlib.use("Agg")
RING, GRID = data.ring(std=0.1), data.grid(std=0.1)
HUMPS, SPIRALS = data.mixture_1d(), data.spirals()
ONE = data.mixture_1d((1.0,), std=0.1)
R1 = partial(losses.r1, gamma=0.1)
CALM = {"betas": (0.0, 0.99), "penalty": R1}


# What makes a run ill: one setting each. Everything else is as in `play`.
ILL = {
    "D too strong": {"g_lr": 1e-5},
    "G too strong": {"d_lr": 1e-6},
    "collapsed": {"g_lr": 1e-2},
    "oscillating": {
        "density": ONE,
        "players": (Shift, Slope),
        "g_lr": 0.05,
        "d_lr": 0.05,
    },
    "diverged": {
        "density": HUMPS,
        "loss": losses.wasserstein,
        "g_lr": 0.01,
        "d_lr": 0.01,
    },
}


def play(seed=0, density=RING, steps=1000, loss=losses.nonsaturating, **settings):
    """A run on points: (logs, samples, real)."""
    penalty = settings.pop("penalty", None)
    latent = min(2, density.dim) if isinstance(density, data.Mixture) else 2
    dim = density.dim if isinstance(density, data.Mixture) else density.shape[1]
    torch.manual_seed(seed)
    G, D = settings.pop("players", (PointGenerator, PointDiscriminator))
    players = (G(), D()) if G is Shift else (G(latent, dim), D(dim))
    game = GAN(*players, loss, penalty)
    settings = {"g_lr": 1e-3, "d_lr": 1e-3, "ema": 0.0, "log_every": 20, **settings}
    settings.update(batch_size=252, precision="fp32", device="cpu")
    state = start(game, TrainConfig(steps=steps, seed=seed, **settings))
    logs = list(train(state, data.batches(density, 252, seed)))
    rng = torch.Generator().manual_seed(9)
    samples = state.sample(torch.randn(1000, latent, generator=rng))
    real = density.sample(2000, rng) if isinstance(density, data.Mixture) else density
    return logs, samples, real


@pytest.fixture(autouse=True)
def one_thread(threads):
    threads(1)


@pytest.mark.parametrize("name", ILL)
def test_an_ill_run_is_called_by_its_name(name):
    found = health.verdict(*play(**ILL[name]))
    assert found.name == name, found
    assert found.why.endswith(".") and found.advice.endswith(".")


@pytest.mark.parametrize("density", [RING, HUMPS], ids=["ring", "humps"])
def test_a_run_that_covers_its_data_is_healthy(density):
    assert health.verdict(*play(density=density, **CALM)).name == "healthy"


def test_a_generator_that_repeats_a_dozen_training_points_is_memorising():
    points = 1.5 * torch.randn(12, 2, generator=torch.Generator().manual_seed(0))
    logs, samples, _ = play(density=points.repeat(21, 1), **CALM)
    assert health.verdict(logs, samples, points).name == "memorising"


def test_a_short_dcgan_on_digits_is_healthy_whatever_its_losses_look_like():
    torch.manual_seed(0)
    game = GAN(DCGANGenerator(width=8, refine=0), DCGANDiscriminator(width=8, refine=0))
    config = TrainConfig(steps=100, g_lr=2e-3, d_lr=1e-3, ema=0.95, log_every=10)
    state = start(game, config)
    images = data.digits().images
    logs = list(train(state, data.batches(images, 64, 0)))
    samples = state.sample(
        torch.randn(500, 64, generator=torch.Generator().manual_seed(1))
    )
    assert health.verdict(logs, samples, images[:2000]).name == "healthy"


def visited(samples, centers) -> float:
    """Share of the modes that are nearest to a quarter of their fair share of samples.

    What a run is called by here: it knows the true centers, which health does not.
    """
    counts = torch.bincount(torch.cdist(samples, centers).argmin(1))
    return (counts >= len(samples) / len(centers) / 4).sum().item() / len(centers)


def twenty(recipes, belongs):
    """The first twenty staged runs that the count of modes confirms: their verdicts.

    Which seeds escape what is done to them depends on the processor.
    """
    found = []
    for seed in range(20):
        for recipe in recipes:
            density = recipe.get("density", RING)
            logs, samples, real = play(seed=seed, **recipe)
            if len(found) < 20 and belongs(visited(samples, density.centers)):
                found.append((seed, health.verdict(logs, samples, real)))
        if len(found) == 20:
            return found
    raise AssertionError(
        f"only {len(found)} of 40 runs became what they were staged to"
    )


@pytest.mark.full
def test_at_least_19_of_20_staged_collapses_are_found():
    staged = {"g_lr": 1e-2}, {"g_lr": 1e-2, "density": GRID}
    missed = [
        x for x in twenty(staged, lambda v: v <= 1 / 2) if x[1].name != "collapsed"
    ]
    assert len(missed) <= 1, missed
    count("D9", "staged collapses found, of 20", 20 - len(missed))


@pytest.mark.full
def test_at_most_1_of_20_healthy_runs_raises_an_alarm():
    well = CALM, {**CALM, "density": SPIRALS}
    alarms = [x for x in twenty(well, lambda v: v > 3 / 4) if x[1].name != "healthy"]
    assert len(alarms) <= 1, alarms
    count("D9", "false alarms in 20 healthy runs", len(alarms))


@pytest.mark.full
@pytest.mark.parametrize("seed", range(1, 6))
@pytest.mark.parametrize("name", [n for n in ILL if n != "collapsed"])
def test_other_illnesses_are_recognised_with_every_seed(name, seed):
    assert health.verdict(*play(seed=seed, **ILL[name])).name == name


# ------------------------------------------------------------------ its parts, by hand


def log(step, d_loss=1.0, g_loss=1.0, **parts):
    return StepLog(step, d_loss, g_loss, 1.0, 1.0, parts)


def test_a_confident_d_is_no_illness_while_samples_are_diverse():
    # Accuracy 1, a gap of 15 and a small loss, as DCGANs on MNIST may show for long.
    logs = [
        log(k, 0.05, 4.0, accuracy=1.0, real_logit=8.0, fake_logit=-7.0)
        for k in range(40)
    ]
    real = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    other = torch.randn(500, 2, generator=torch.Generator().manual_seed(1))
    assert health.verdict(logs).name == "D too strong"
    assert health.verdict(logs, other, real).name == "healthy"
    assert health.verdict(logs, other * 0.001, real).name == "D too strong"


def test_samples_far_out_are_a_strong_g_only_if_d_does_not_see_them():
    real = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    far = torch.full((100, 2), 40.0)
    for accuracy, name in [(0.5, "G too strong"), (0.95, "collapsed")]:
        parts = {"accuracy": accuracy, "real_logit": 0.1, "fake_logit": 0.2}
        logs = [log(k, **parts) for k in range(8)]
        assert health.verdict(logs, far, real).name == name
    assert health.verdict(logs, far / 20, real).name == "collapsed"


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_has_diverged(bad):
    assert health.verdict([log(1), log(2, bad)]).name == "diverged"


def test_samples_that_are_no_numbers_have_diverged():
    bad = torch.full((8, 2), math.nan)
    real = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    assert health.verdict([log(k) for k in range(8)], bad, real).name == "diverged"


def test_too_few_logs_are_said_to_be_too_few():
    assert health.verdict([]).name == "healthy"
    assert "too early" in health.verdict([log(1)]).why


def test_a_slow_wave_has_a_second_hill_and_noise_has_none():
    t = torch.arange(90)
    wave = (2 * math.pi * t / 20).sin()
    noise = torch.randn(90, generator=torch.Generator().manual_seed(0))
    # Over 60 values and one period of 20: 40 of 60 products remain, so 2/3.
    assert health.second_hill(wave.tolist()) == pytest.approx(2 / 3, abs=0.05)
    assert health.second_hill(noise.tolist()) < 0.4
    assert health.second_hill([1.0] * 90) == 0.0


def test_diversity_is_the_share_of_modes_or_of_spread_whichever_is_less():
    rng = torch.Generator().manual_seed(0)
    real = RING.sample(2000, rng)
    half = real[torch.cdist(real, RING.centers).argmin(1) % 2 == 0]  # 4 modes, opposite
    assert health.share_of_diversity(real, real) == pytest.approx(1)
    assert health.share_of_diversity(half, real) == pytest.approx(1 / 2, abs=0.1)
    assert health.share_of_diversity(real * 0.1, real) <= 0.1 + 1e-6
    assert health.share_of_diversity(real[:1].repeat(50, 1), real) == 0


def test_nearness_is_0_for_copies_and_1_for_new_points_of_the_same_law():
    rng = torch.Generator().manual_seed(0)
    real, new = (torch.randn(2000, 4, generator=rng) for _ in range(2))
    assert health.nearness(real[:300], real) == 0
    assert health.nearness(new, real) == pytest.approx(1, abs=0.1)


def test_copied_digits_are_memorising_and_test_digits_are_not():
    train_images, test_images = data.digits().images[:1000], data.digits("test").images
    logs = [log(k) for k in range(8)]
    assert health.verdict(logs, train_images[:300], train_images).name == "memorising"
    assert health.verdict(logs, test_images[:300], train_images).name == "healthy"


def test_samples_of_another_shape_are_refused_in_a_sentence(assert_clear):
    with pytest.raises(ValueError) as caught:
        health.verdict([], torch.zeros(4, 2), torch.zeros(4, 3))
    assert_clear(caught.value, "(4, 2)", "(4, 3)")
    with pytest.raises(ValueError) as caught:
        health.verdict([], torch.zeros(1, 2))
    assert_clear(caught.value, "at least two samples")


@pytest.mark.parametrize("shape", [(60, 1, 28, 28), (60, 2), (60, 1)])
def test_dashboard_shows_four_named_panels_under_the_verdict(shape):
    logs = [log(k, real_logit=1.0, fake_logit=-1.0) for k in range(1, 9)]
    samples, real = torch.rand(shape) * 2 - 1, torch.rand(shape) * 2 - 1
    figure = health.dashboard(logs, samples, real)
    assert figure.get_suptitle().startswith(health.verdict(logs, samples, real).name)
    assert len(figure.axes) == 4
    for ax in figure.axes[:3]:
        assert ax.get_xlabel() == "step" and ax.get_ylabel()
    matplotlib.pyplot.close(figure)


def test_dashboard_says_what_was_not_given():
    figure = health.dashboard([log(1), log(2)])
    words = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert words == ["mean logit: not logged", "no samples were given"]
    matplotlib.pyplot.close(figure)


def test_every_name_has_advice():
    assert set(health.ADVICE) == set(health.NAMES)
    assert callable(evaluation.frechet)  # what the healthy one is told to use
