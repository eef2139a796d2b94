"""Measures of restored photographs, held by numbers worked out by hand."""

import math

import pytest
import torch
from torch.nn.functional import avg_pool2d

from gancourse import data, pairs, perception
from gancourse.errors import GancourseError


@pytest.fixture(scope="module")
def originals():
    return data.to_unit(pairs.patches("held-out")[::2])


def test_peak_signal_to_noise_ratio_of_a_known_error(originals):
    # Off by 0.1 of [0, 1] everywhere: 10 log10(1 / 0.1²) = 20 dB.
    flat = torch.zeros(2, 3, 64, 64)
    assert perception.psnr(flat + 0.2, flat) == pytest.approx(20.0, abs=1e-3)


def test_similarity_orders_the_same_picture_a_noisy_and_an_inverted_one(originals):
    picture = data.to_unit(pairs.photograph("astronaut", 128)[None])
    rng = torch.Generator().manual_seed(0)
    noisy = (pairs.add_noise(picture, rng, 0.2)).clamp(-1, 1)
    same, noise, inverted = (
        perception.ssim(x, picture) for x in (picture, noisy, -picture)
    )
    assert same == pytest.approx(1.0)
    assert 0.3 < noise < 0.9 and inverted < 0


def test_features_are_the_means_of_conv3_1(originals):
    found = perception.features(originals[:3])
    assert found.shape == (3, 256)
    from gancourse.models import vgg

    net = vgg.vgg16(data.asset(vgg.WEIGHTS))
    maps = net(originals[:3], ["conv3_1"])["conv3_1"]
    torch.testing.assert_close(found, maps.flatten(2).mean(2), rtol=1e-4, atol=1e-2)
    as_bytes = perception.features(data.to_uint8(originals[:3]))
    torch.testing.assert_close(found, as_bytes)


def test_perceptual_distance_is_the_formula(originals):
    # Unbiased MMD² with the kernel (x·y / d + 1)³, features over their mean square.
    x, y = (perception.features(part).double() for part in originals[:20].split(10))
    scale = y.square().mean().sqrt()

    def mean(a, b, skip):
        kernel = ((a @ b.T) / scale**2 / 256 + 1) ** 3
        return (kernel.sum() - skip * kernel.trace()) / (100 - skip * 10)

    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    found = perception.perceptual_distance(*originals[:20].split(10))
    assert found == pytest.approx(1000 * expected.item(), rel=1e-5)


def test_originals_score_about_0_and_blur_scores_more_the_stronger_it_is(originals):
    blurred = [avg_pool2d(originals, k, 1, k // 2) for k in (3, 7)]
    same, little, much = (
        perception.naturalness(x, originals) for x in (originals, *blurred)
    )
    assert abs(same) < 0.2 * little < 0.2 * much


def test_no_patch_is_measured_against_its_own_original(originals):
    # Against its own copy the unbiased estimate is far below 0.
    some = originals[:40]
    assert perception.perceptual_distance(some, some) < -20
    changed = some.clone()
    changed[::2] = -changed[::2]
    new = perception.perceptual_distance(changed[::2], some[1::2])
    assert perception.naturalness(changed, some) == pytest.approx(
        (new + perception.perceptual_distance(some[1::2], some[::2])) / 2, rel=1e-6
    )


def test_chroma_error_counts_colour_and_not_brightness():
    x = torch.rand(2, 3, 8, 8) - 0.5
    assert perception.chroma_error(x + 0.3, x) == pytest.approx(0, abs=1e-3)
    # Pure red (1, 0, 0) against black lies (-0.147, 0.615) away in (U, V).
    black = torch.full((1, 3, 8, 8), -1.0)
    red = black.clone()
    red[:, 0] = 1
    expected = 1000 * math.hypot(0.14714119, 0.61497538)
    assert perception.chroma_error(red, black) == pytest.approx(expected, rel=1e-5)


def test_a_grey_picture_scores_the_colourfulness_of_the_original(originals):
    uv = pairs.rgb_to_yuv((originals + 1) / 2)[:, 1:]
    expected = 1000 * uv.norm(dim=1).mean().item()
    score = perception.chroma_error(pairs.grey(originals), originals)
    assert score == pytest.approx(expected, rel=1e-4)


def test_a_report_measures_what_would_be_saved(originals):
    some = originals[:16]
    result = perception.report(some + 0.001, some)  # less than half a grey value
    assert result["psnr"] > 100 and result["ssim"] == pytest.approx(1.0)
    assert result["chroma"] == pytest.approx(0, abs=1e-4)
    assert set(result) == {"psnr", "ssim", "kid", "chroma"}


def test_labels_name_the_protocol():
    assert perception.label(1234) == "KID × 1000, VGG conv3_1, 1,234 patches of 64×64"


def test_wrong_sizes_and_broken_numbers_are_refused(assert_clear):
    with pytest.raises(GancourseError) as caught:
        perception.features(torch.zeros(4, 3, 32, 32))
    assert_clear(caught.value, "64", "32")
    with pytest.raises(GancourseError) as caught:
        perception.features(torch.full((4, 3, 64, 64), torch.nan))
    assert_clear(caught.value, "not numbers")
    with pytest.raises(GancourseError) as caught:
        perception.chroma_error(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 4, 4))
    assert_clear(caught.value, "8", "4")
