"""Verdicts against labels that health had no part in; and the labels against the truth.

Thresholds may be read off the runs with even seeds; those with odd seeds are the test.
"""

from collections import Counter

import matplotlib
import pytest
import torch

from gancourse import data, health, health_bank, staging
from gancourse.training import StepLog

matplotlib.use("Agg")
ODD, EVEN = 1, 0


@pytest.fixture(scope="module")
def bank():
    return health_bank.load_bank()


@pytest.fixture(autouse=True)
def one_thread(threads):
    threads(1)


def test_bank_holds_sixty_runs_and_enough_of_every_name(bank):
    assert len(bank) >= 60
    for parity in (ODD, EVEN):
        count = Counter(run.label for run in bank if run.seed % 2 == parity)
        assert set(count) == set(health.NAMES) and min(count.values()) >= 4, count
    assert any(run.law == "digits" for run in bank)
    assert len({(run.label, run.law, run.recipe, run.seed) for run in bank}) == len(
        bank
    )


def test_verdicts_are_right_on_nine_of_ten_also_of_runs_never_looked_at(bank):
    held_out = health_bank.judge([run for run in bank if run.seed % 2 == ODD])
    seen = health_bank.judge([run for run in bank if run.seed % 2 == EVEN])
    assert health_bank.share_right(held_out) >= 0.9, held_out
    assert health_bank.share_right(held_out + seen) >= 0.9
    each = held_out.diagonal() / held_out.sum(1)
    assert each.min() >= 0.75, held_out  # no name is carried by the others
    healthy = health.NAMES.index("healthy")
    assert (
        held_out[:, healthy].sum() - held_out[healthy, healthy] <= 1
    )  # none overlooked


@pytest.mark.parametrize("threshold", ["DIVERSE", "COPY", "WAVE"])
def test_a_threshold_that_is_lost_is_noticed(bank, threshold, monkeypatch):
    ill = {"DIVERSE": "collapsed", "COPY": "memorising", "WAVE": "oscillating"}
    monkeypatch.setattr(health, threshold, 9.0 if threshold == "WAVE" else 0.0)
    runs = [run for run in bank if run.label == ill[threshold] and run.seed % 2 == ODD]
    assert health_bank.share_right(health_bank.judge(runs)) < 0.75


def test_a_run_written_is_read_again(bank, tmp_path):
    digits = next(run for run in bank if run.law == "digits")
    points = next(run for run in bank if run.law == "humps")
    health_bank.write([digits, points], tmp_path / "bank.safetensors")
    for before, after in zip(
        [digits, points],
        health_bank.load_bank(tmp_path / "bank.safetensors"),
        strict=True,
    ):
        assert after._replace(samples=None) == before._replace(samples=None)
        assert torch.equal(after.samples, before.samples)
    assert isinstance(digits.logs[0], StepLog)


def test_small_digits_have_sixteen_greys_and_fit_two_in_a_byte():
    images = health_bank.small(data.digits().images[:20])
    assert images.shape == (20, 1, 14, 14)
    assert images.min() == -1 and images.max() <= 1 and len(images.unique()) <= 16
    packed = health_bank._packed(images)
    assert packed.shape == (20, 98) and packed.dtype == torch.uint8
    assert torch.allclose(health_bank._unpacked(packed), images, atol=1e-6)


def test_confusion_is_drawn_with_both_axes_named(bank):
    ax = health_bank.show_confusion(health_bank.judge(bank[:2]))
    assert ax.get_xlabel() == "verdict" and ax.get_ylabel()
    assert [t.get_text() for t in ax.get_xticklabels()] == list(health.NAMES)
    matplotlib.pyplot.close(ax.figure)


# ------------------------------------------------------------------ how labels are made


def played(samples=None, middles=None, D=None, moved=1.0, finite=True):
    return staging.Played(None, D, [], samples, middles, moved, finite)


def test_truth_of_a_mixture_is_its_modes():
    real = health_bank.real("ring")
    assert staging.modes("ring", real) == (1.0, pytest.approx(0.989, abs=0.01))
    half = real[torch.cdist(real, data.ring().centers).argmin(1) < 4]
    assert staging.modes("ring", half)[0] == 0.5
    for label, samples in {"healthy": real, "collapsed": half}.items():
        other = {"healthy": half, "collapsed": real}[label]
        assert staging.evidence(label, "ring", played(samples))[0]
        assert not staging.evidence(label, "ring", played(other))[0]
    assert not staging.evidence("healthy", "ring", played(real * 0.8))[
        0
    ]  # off the modes


def test_truth_of_digits_is_the_classifier():
    images = data.to_unit(data.digits("test").images[:500])
    visited, good = staging.modes("digits", images)
    assert visited == 1 and good > 0.97
    assert staging.modes("digits", images[:1].repeat(500, 1, 1, 1))[0] < 0.2


def test_copies_are_nearer_to_training_points_than_new_data():
    points = health_bank.real("few 8")
    copies = points.repeat(50, 1) + 0.01
    assert staging.evidence("memorising", "few 8", played(copies))[0]
    new = health_bank.some(500, seed=5)
    assert not staging.evidence("memorising", "few 8", played(new))[0]


def test_a_lasting_swing_is_told_from_one_that_dies_and_from_noise():
    t = torch.arange(50.0)[:, None]
    swing = 1 + (t * 0.7).sin()
    assert staging.evidence("oscillating", "one", played(middles=swing))[0]
    dying = 1 + (t * 0.7).sin() * (-t / 6).exp()
    assert not staging.evidence("oscillating", "one", played(middles=dying))[0]
    noise = 1 + 0.05 * torch.randn(50, 1, generator=torch.Generator().manual_seed(0))
    assert not staging.evidence("oscillating", "one", played(middles=noise))[0]


def test_a_steep_d_or_a_loss_that_is_no_number_has_diverged():
    steep = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Flatten(0))
    for weight, label in [(100.0, True), (1.0, False)]:
        torch.nn.init.constant_(steep[0].weight, weight)
        assert staging.evidence("diverged", "humps", played(D=steep))[0] is label
    assert staging.evidence("diverged", "humps", played(D=steep, finite=False))[0]


def test_who_is_too_strong_is_told_by_the_players_themselves():
    real = health_bank.real("humps")
    fake = torch.full((500, 1), 9.0)

    def D(x):
        return 5 - x[:, 0]

    assert staging.evidence("D too strong", "humps", played(fake, D=D))[0]
    assert not staging.evidence("D too strong", "humps", played(real, D=D))[0]
    assert staging.evidence("G too strong", "humps", played(fake, moved=0.01))[0]
    assert not staging.evidence("G too strong", "humps", played(fake, moved=0.5))[0]


@pytest.mark.full
@pytest.mark.parametrize("label", health.NAMES)
def test_a_recipe_of_each_label_is_staged_again(label):
    """At least two of three new seeds are confirmed, and called by their name."""
    name, law, _, settings = next(r[1:] for r in staging.RECIPES if r[0] == label)
    again = [staging.record(label, name, law, seed, settings) for seed in (11, 12, 13)]
    runs = [run for run, confirmed in again if confirmed]
    assert len(runs) >= 2
    assert health_bank.share_right(health_bank.judge(runs)) >= 0.5
