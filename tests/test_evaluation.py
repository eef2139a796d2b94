"""Measures are held to closed forms, to hand-made examples and to other libraries."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from gancourse import data, evaluation, games


def normal(n, d=4, seed=0, scale=1.0, shift=0.0):
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(n, d, generator=rng, dtype=torch.float64)
    return x * scale + shift


def whitened(n, d=4, seed=0):
    """Points whose sample mean is exactly 0 and sample covariance exactly I."""
    x = normal(n, d, seed)
    x = x - x.mean(0)
    return x @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(x.T))).T


# ------------------------------------------------------------------ the classifier


def test_the_judge_classifies_at_least_99_percent_of_test_digits():
    assert evaluation.accuracy(evaluation.classifier()) >= 0.99


def test_judging_accuracy_leaves_the_judge_in_evaluation_mode():
    model = evaluation.classifier()
    images = data.to_unit(data.digits("test").images[:100])
    before = model(images)
    evaluation.accuracy(model)
    assert not model.training
    assert torch.equal(model(images), before)


def test_features_are_the_same_for_bytes_and_for_floats():
    images = data.digits("test").images[:50]
    floats = data.to_unit(images)
    assert torch.equal(evaluation.features(images), evaluation.features(floats))
    head = evaluation.classifier().head(evaluation.features(images)).softmax(1)
    assert torch.equal(evaluation.class_probabilities(images), head)


@pytest.mark.parametrize(
    "images",
    [torch.zeros(5, 28, 28), torch.zeros(5, 1, 64, 64), torch.zeros(5, 3, 28, 28)],
    ids=["no channel", "too large", "colour"],
)
def test_pictures_that_are_no_digits_are_refused_in_a_sentence(images, assert_clear):
    for measure in (evaluation.features, evaluation.report):
        with pytest.raises(ValueError) as caught:
            measure(images)
        assert_clear(caught.value, str(tuple(images.shape)))


def test_values_that_are_not_numbers_are_refused_in_a_sentence(assert_clear):
    images = torch.zeros(5, 1, 28, 28)
    images[3, 0, 4, 4] = math.nan
    with pytest.raises(ValueError) as caught:
        evaluation.features(images)
    assert_clear(caught.value, "not numbers")
    good, bad = normal(50), normal(50)
    bad[7, 1] = math.inf
    for fake, real in ((good, bad), (bad, good)):
        for distance in DISTANCES:
            with pytest.raises(ValueError) as caught:
                distance(fake, real)
            assert_clear(caught.value, "not numbers")


DISTANCES = [
    evaluation.frechet,
    evaluation.kernel_distance,
    evaluation.precision_recall,
    evaluation.coverage,
]


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize(
    "fake", [normal(50, 3), normal(1), torch.zeros(0, 4), torch.zeros(50, 1, 28, 28)]
)
def test_sets_that_can_not_be_compared_are_refused(distance, fake, assert_clear):
    with pytest.raises(ValueError) as caught:
        distance(fake, normal(50))
    assert_clear(caught.value)


# ------------------------------------------------------------------ Fréchet


def test_frechet_of_two_gaussians_is_the_closed_form():
    # |mu1 - mu2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)), here with commuting covariances:
    # sum of (mean differences)^2 + (difference of standard deviations)^2.
    x, y = whitened(500, seed=1), whitened(400, seed=2)
    s, t = torch.tensor([1.0, 2.0, 3.0, 0.5]), torch.tensor([1.0, 1.0, 5.0, 0.25])
    shift = torch.tensor([0.0, 3.0, 0.0, -1.0])
    expected = (3**2 + 1**2) + ((s - t) ** 2).sum().item()
    assert evaluation.frechet(x * s + shift, y * t) == pytest.approx(expected, rel=1e-9)


def test_frechet_with_covariances_that_do_not_commute():
    # S1 = diag(4, 1), S2 = that turned by 45 degrees. For 2 x 2 matrices the trace of
    # (S1 S2)^(1/2) is sqrt(tr(S1 S2) + 2 sqrt(det S1 det S2)) = sqrt(12.5 + 8).
    turn = torch.tensor([[1.0, -1.0], [1.0, 1.0]], dtype=torch.float64) / math.sqrt(2)
    x = whitened(300, 2, 1) * torch.tensor([2.0, 1.0])
    y = whitened(300, 2, 2) * torch.tensor([2.0, 1.0]) @ turn.T
    expected = 5 + 5 - 2 * math.sqrt(12.5 + 8)
    assert evaluation.frechet(x, y) == pytest.approx(expected, rel=1e-6)


def test_frechet_agrees_with_torch_fidelity_on_digit_features():
    from torch_fidelity.metric_fid import (
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    real = evaluation.real_features("test", 1500)
    images = data.to_unit(data.digits("test").images[2000:3500])
    fake = evaluation.features(nn.functional.avg_pool2d(images, 3, 1, 1))
    of = [fid_features_to_statistics(x.double()) for x in (fake, real)]
    other = fid_statistics_to_metric(*of, verbose=False)
    theirs = other["frechet_inception_distance"]
    assert evaluation.frechet(fake, real) == pytest.approx(theirs, rel=1e-3)


def test_frechet_of_two_small_samples_of_one_law_is_biased_upwards():
    means = []
    for n in (50, 200, 800):
        draws = [(normal(n, 8, k), normal(n, 8, k + 99)) for k in range(5)]
        means.append(np.mean([evaluation.frechet(x, y) for x, y in draws]))
    assert means[0] > 2 * means[1] > 4 * means[2] > 0


# ------------------------------------------------------------------ kernel distance


def test_kernel_distance_is_unbiased_at_any_sample_size():
    def scaled(x):
        return x / x.square().mean().sqrt()

    for n in (20, 100):
        values = [
            evaluation.kernel_distance(
                scaled(normal(n, 8, k)), scaled(normal(n, 8, k + 999)), 1, n
            )
            for k in range(30)
        ]
        standard_error = np.std(values) / math.sqrt(30)
        assert abs(np.mean(values)) < 4 * standard_error
        assert min(values) < 0  # an unbiased estimate of 0 must be below it at times


def test_kernel_distance_agrees_with_torch_fidelity():
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    x, y = normal(120, 6, 0, 1.3, 0.2), normal(120, 6, 1)
    y = (
        y / y.square().mean().sqrt()
    )  # a root mean square of 1: our scaling does nothing
    theirs = kid_features_to_metric(
        x, y, kid_subsets=1, kid_subset_size=120, verbose=False
    )[KEY_METRIC_KID_MEAN]
    ours = evaluation.kernel_distance(x, y, subsets=1, size=120)
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_kernel_distance_by_hand():
    # d = 1; real 1, -1; fake 1, 0: k(x, y) = (xy + 1)^3 and scale 1.
    real, fake = torch.tensor([[1.0], [-1.0]]), torch.tensor([[1.0], [0.0]])
    within_real, within_fake = 0.0, 1.0  # k(1, -1) = 0, k(1, 0) = 1, off the diagonal
    between = (8 + 0 + 1 + 1) / 4
    expected = within_real + within_fake - 2 * between
    assert evaluation.kernel_distance(fake, real, 1, 2) == pytest.approx(expected)


def test_measuring_leaves_the_global_random_stream_alone_and_says_nothing(recwarn):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    x, y = normal(60, 4, 0), normal(60, 4, 1)
    for distance in DISTANCES:
        assert distance(x, y) == distance(x, y)
    assert torch.equal(torch.rand(3), expected)
    assert not [w for w in recwarn if issubclass(w.category, UserWarning)]


# ------------------------------------------------------------------ IS, P&R, coverage


def test_inception_score_is_10_for_sure_and_even_classes_and_1_at_both_other_ends():
    sure = torch.eye(10).repeat(20, 1)
    assert evaluation.inception_score(sure) == pytest.approx(10, rel=1e-6)
    assert evaluation.inception_score(sure[:1].repeat(50, 1)) == pytest.approx(1)
    assert evaluation.inception_score(torch.full((50, 10), 0.1)) == pytest.approx(1)


def test_precision_and_recall_by_hand():
    # On the line, k = 1. Reals 0, 1, 10 reach 1, 1, 9;
    # fakes 0.5, 30, 31 reach 29.5, 1, 1.
    real, fake = (
        torch.tensor([[0.0], [1.0], [10.0]]),
        torch.tensor([[0.5], [30.0], [31.0]]),
    )
    precision, recall = evaluation.precision_recall(fake, real, k=1)
    assert precision == pytest.approx(1 / 3)  # 30 and 31 are beyond 10 + 9
    assert recall == pytest.approx(1)  # all reals are within 29.5 of 0.5


def test_a_dropper_has_high_precision_and_low_recall_and_a_scatterer_the_reverse():
    rng = torch.Generator().manual_seed(0)
    ring = data.ring(std=0.1)
    real, other = ring.sample(800, rng), ring.sample(4000, rng)
    one_mode = other[torch.cdist(other, ring.centers).argmin(1) == 0][:800]
    precision, recall = evaluation.precision_recall(one_mode.repeat(2, 1), real)
    assert precision > 0.8 and recall < 0.2
    everywhere = 6 * torch.rand(800, 2, generator=rng) - 3
    precision, recall = evaluation.precision_recall(everywhere, real)
    assert precision < 0.2 and recall > 0.8


def test_coverage_by_hand():
    # k = 1: reals 0, 1, 10, 12 reach 1, 1, 2, 2. The fake 2 is within 1 of 1 only.
    real = torch.tensor([[0.0], [1.0], [10.0], [12.0]])
    assert evaluation.coverage(torch.tensor([[2.0], [99.0]]), real, k=1) == 1 / 4
    assert evaluation.coverage(real, real, k=1) == 1
    many = normal(2500, 3)  # more than one block of the sum
    assert evaluation.coverage(many[:6], many) <= 0.05


def test_one_far_outlier_moves_recall_but_not_coverage():
    # Naeem et al. 2020, figure 3: a fake outlier's wide reach makes recall generous.
    real = normal(300, 2).float()
    fake = torch.cat([real[:10] * 0.01, torch.tensor([[40.0, 0.0], [0.0, 40.0]])])
    _, recall = evaluation.precision_recall(fake, real, k=3)
    without = evaluation.precision_recall(fake[:10], real, k=3)[1]
    assert recall > 0.5 > 0.2 > without
    assert evaluation.coverage(fake, real) == evaluation.coverage(fake[:10], real)


# ------------------------------------------------------------------ copies


def test_memorisation_is_0_for_copies_and_1_for_new_samples_noisy_or_not():
    train, test, new = normal(3000, 6, 1), normal(800, 6, 2), normal(500, 6, 3)
    noisy = new + normal(500, 6, 4, 0.5)
    assert evaluation.memorisation(train[:500], train, test) < 0.01
    assert evaluation.memorisation(new, train, test) == pytest.approx(1, abs=0.1)
    assert evaluation.memorisation(noisy, train, test) == pytest.approx(1, abs=0.1)
    copies = train[:500] + normal(500, 6, 5, 0.02)
    assert evaluation.memorisation(copies, train, test) < 0.2


def test_a_low_quantile_sees_what_the_median_overlooks():
    train, test = normal(3000, 6, 1), normal(800, 6, 2)
    fifth = torch.cat([train[:100], normal(400, 6, 3)])
    assert evaluation.memorisation(fifth, train, test) > 0.8
    assert evaluation.memorisation(fifth, train, test, quantile=0.1) < 0.01


def test_nearest_finds_the_picture_that_was_copied():
    images = data.digits().images[:500]
    index = torch.tensor([3, 77, 400])
    shown = data.to_unit(images[index]) * 0.9
    assert torch.equal(evaluation.nearest(shown, images), index)


# ------------------------------------------------------------------ pairs


def test_ssim_is_1_for_equal_and_agrees_with_skimage_and_psnr_with_its_formula():
    from skimage.metrics import structural_similarity

    x = data.to_unit(data.picture("dogs", 96))[None]
    y = (
        x + 0.3 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    ).clamp(-1, 1)
    assert evaluation.ssim(x, x) == pytest.approx(1)
    theirs = structural_similarity(
        (x[0].numpy() + 1) / 2,
        (y[0].numpy() + 1) / 2,
        channel_axis=0,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert evaluation.ssim(y, x) == pytest.approx(theirs, abs=0.03)  # borders differ
    assert evaluation.ssim(-x, x) < 0 < evaluation.ssim(y, x) < 1
    # Half a unit everywhere: 10 log10(2^2 / 0.5^2) = 10 log10 16.
    flat = torch.zeros(2, 1, 8, 8)
    assert evaluation.psnr(flat + 0.5, flat) == pytest.approx(10 * math.log10(16))


def test_unequal_pairs_are_refused_in_a_sentence(assert_clear):
    for measure in (evaluation.ssim, evaluation.psnr):
        with pytest.raises(ValueError) as caught:
            measure(torch.zeros(2, 1, 28, 28), torch.zeros(2, 1, 14, 14))
        assert_clear(caught.value, "(2, 1, 14, 14)")


def test_pairs_of_bytes_are_refused_as_their_sums_would_wrap(assert_clear):
    dark = torch.full((1, 1, 28, 28), 250, dtype=torch.uint8)
    for measure in (evaluation.ssim, evaluation.psnr):
        with pytest.raises(ValueError) as caught:
            measure(dark, dark)
        assert_clear(caught.value, "data.to_unit")


# ------------------------------------------------------------------ reports


def test_anchors_stand_in_the_order_that_everyone_would_put_them():
    found = evaluation.anchors(2000)
    floor = found["real training digits"]
    assert 0 < floor < 0.2 * found["real + noise 0.2"]
    assert found["real + noise 0.2"] < 0.4 * found["real + noise 0.4"]
    assert floor < 0.2 * found["real without the digit 0"]
    assert floor < 0.1 * found["real, 3×3 blur"]


def test_report_of_real_digits_is_nearly_perfect_and_of_one_class_is_not():
    images, labels = data.digits("train")
    good = evaluation.report(images[:2000])
    assert good["classes"] == 10 and good["label_tv"] < 0.05
    assert good["confidence"] > 0.98
    ones = evaluation.report(images[:12_000][labels[:12_000] == 1])
    assert ones["classes"] == 1
    share = (data.digits("test").labels == 1).float().mean().item()
    assert ones["label_tv"] == pytest.approx(1 - share, abs=0.02)
    assert ones["frechet"] > 20 * good["frechet"]
    assert evaluation.label(2000) == "Fréchet distance, digit features, 2,000 samples"


# ------------------------------------------------------------------ DiffAugment


def test_diff_augment_moves_and_cuts_without_changing_what_is_left():
    x = torch.ones(64, 1, 28, 28)
    seen = games.diff_augment(x, torch.Generator().manual_seed(0))
    assert seen.shape == x.shape
    assert set(seen.unique().tolist()) == {-1.0, 1.0}  # blank is -1: black, no grey
    kept = (seen == 1).flatten(1).float().mean(1)
    assert 0.5 < kept.mean() < 1 and kept.std() > 0.01  # one draw per sample


def test_diff_augment_moves_a_dot_by_at_most_an_eighth_of_the_side():
    x = torch.full((500, 1, 28, 28), -1.0)
    x[:, 0, 14, 14] = 1
    seen = games.diff_augment(x, torch.Generator().manual_seed(0))
    where = (seen == 1).nonzero()[:, 2:] - 14
    assert where.abs().max() == 4  # round(28 / 8)
    assert {tuple(w) for w in where.tolist()} > {(0, 0), (4, -4), (-4, 4)}
    assert (seen == 1).flatten(1).any(1).float().mean() > 0.8  # few dots are cut away


def test_diff_augment_lets_gradients_through_where_pixels_stay():
    x = torch.zeros(8, 1, 28, 28, requires_grad=True)
    seen = games.diff_augment(x, torch.Generator().manual_seed(0))
    seen.sum().backward()
    shown = (seen == 0).flatten(1).sum(1)
    assert torch.equal(x.grad.flatten(1).sum(1).long(), shown)


def test_diff_augment_treats_real_and_fake_by_one_law():
    # The game draws afresh for both, from one stream; the law of the draw is the same.
    x = torch.ones(2000, 1, 28, 28)
    rng = torch.Generator().manual_seed(0)
    first, second = games.diff_augment(x, rng), games.diff_augment(x, rng)
    assert not torch.equal(first, second)
    assert (first.mean(0) - second.mean(0)).abs().max() < 0.15
