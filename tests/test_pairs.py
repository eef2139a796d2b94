"""Pairs from photographs: the split, the degradations, the colours."""

import math

import numpy as np
import pytest
import torch

from gancourse import data, pairs
from gancourse.errors import GancourseError


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ the split


def test_no_photograph_lies_on_both_sides_and_every_embedded_one_lies_on_one():
    train, held = set(pairs.TRAIN), set(pairs.HELD_OUT)
    assert not train & held
    assert set(data.asset_names("photos")) <= train | held
    assert len(train) == 10 and len(held) == 4


def test_no_patch_of_a_held_out_photograph_is_among_the_training_patches():
    train = {p.numpy().tobytes() for p in pairs.patches("train", 64, 64)}
    held = [p.numpy().tobytes() for p in pairs.patches("held-out", 64)]
    assert len(held) > 200 and not train & set(held)


def test_patches_are_cut_from_the_photographs_in_order():
    first = pairs.photograph(pairs.HELD_OUT[0])
    tiles = pairs.patches("held-out", 64)
    assert tiles.dtype == torch.uint8 and tiles.shape[1:] == (3, 64, 64)
    assert torch.equal(tiles[0], first[:, :64, :64])
    assert torch.equal(tiles[1], first[:, :64, 64:128])
    half = pairs.patches("held-out", 64, step=32)
    assert torch.equal(half[1], first[:, :64, 32:96])


@pytest.mark.parametrize("name", pairs.TRAIN + pairs.HELD_OUT)
def test_every_photograph_is_there_without_a_network_and_in_colour(name):
    image = pairs.photograph(name, 128)
    assert image.dtype == torch.uint8 and image.shape[0] == 3
    assert max(image.shape) == 128
    spread = image.float().amax(0) - image.float().amin(0)
    assert spread.mean() > 5  # not a grey picture in three channels


def test_wrong_names_are_answered_with_the_right_ones(assert_clear):
    with pytest.raises(GancourseError) as caught:
        pairs.photograph("moon")
    assert_clear(caught.value, "moon", "chelsea")
    with pytest.raises(GancourseError) as caught:
        pairs.patches("test")
    assert_clear(caught.value, "test", "held-out")
    with pytest.raises(GancourseError) as caught:
        pairs.pairs("blur", "train")
    assert_clear(caught.value, "blur", "noise")
    with pytest.raises(GancourseError) as caught:
        pairs.patches("held-out", 400)
    assert_clear(caught.value, "400", "chelsea", "smaller")


# ------------------------------------------------------------------ colour


def test_yuv_equals_scikit_image_and_comes_back():
    from skimage.color import rgb2yuv

    image = pairs.photograph("astronaut", 96)[None].double() / 255
    theirs = rgb2yuv(image[0].permute(1, 2, 0).numpy())
    ours = pairs.rgb_to_yuv(image)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - theirs).max() < 1e-6
    assert (pairs.yuv_to_rgb(pairs.rgb_to_yuv(image)) - image).abs().max() < 1e-12


def test_yuv_of_pure_red_is_the_first_column():
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    yuv = pairs.rgb_to_yuv(red).flatten().tolist()
    assert yuv == pytest.approx([0.299, -0.14714119, 0.61497538])


def test_grey_has_no_colour_and_keeps_the_luma():
    image = data.to_unit(pairs.photograph("coffee", 64)[None])
    colourless = pairs.grey(image)
    before, after = pairs.rgb_to_yuv(image), pairs.rgb_to_yuv(colourless)
    torch.testing.assert_close(after[:, 0], before[:, 0])
    assert after[:, 1:].abs().max() < 1e-6 < before[:, 1:].abs().max()


# ------------------------------------------------------------------ degradations


def test_downsampling_is_antialiased():
    # Black and white columns in turn: reduced by 2 they are grey all over (up to the
    # border); without antialiasing one of the two colours would remain.
    stripes = torch.ones(1, 1, 32, 32)
    stripes[..., ::2] = -1
    inside = pairs.downsample(stripes, 2)[..., 4:-4, 4:-4]
    assert inside.abs().max() < 0.05
    plain = torch.nn.functional.interpolate(stripes, scale_factor=0.5, mode="nearest")
    assert plain.abs().min() == 1


def test_a_constant_survives_down_and_up():
    flat = torch.full((1, 3, 16, 16), 0.3)
    torch.testing.assert_close(pairs.upsample(pairs.downsample(flat, 4), 4), flat)


def test_sizes_that_do_not_divide_are_refused(assert_clear):
    with pytest.raises(GancourseError) as caught:
        pairs.downsample(torch.zeros(1, 3, 30, 30), 4)
    assert_clear(caught.value, "30", "4", "multiples")


def test_noise_has_its_standard_deviation():
    flat = torch.zeros(8, 3, 64, 64)
    noisy = pairs.add_noise(flat, rng(), std=0.2)
    n = flat.numel()  # five standard errors of a standard deviation
    assert noisy.std().item() == pytest.approx(0.2, abs=5 * 0.2 / math.sqrt(2 * n))
    assert torch.equal(noisy, pairs.add_noise(flat, rng(), std=0.2))
    assert not torch.equal(noisy, pairs.add_noise(flat, rng(1), std=0.2))


def test_darkening_scales_the_light_and_not_the_pixel_value():
    white = torch.ones(4, 3, 64, 64)
    dark = (pairs.darken(white, rng(), light=0.06) + 1) / 2
    linear = dark**2.2
    assert linear.mean().item() == pytest.approx(0.06, rel=0.01)
    # Shot noise: variance mean / photons, so the standard deviation of the light is
    # sqrt(0.06 / 2000).
    assert linear.std().item() == pytest.approx(math.sqrt(0.06 / 2000), rel=0.05)
    assert pairs.darken(-white, rng()).max() == -1  # no light, no photons, no noise


def test_darker_places_are_noisier_relative_to_their_light():
    def relative_noise(pixel):
        x = torch.full((4, 3, 64, 64), float(pixel))
        linear = ((pairs.darken(x, rng()) + 1) / 2) ** 2.2
        return (linear.std() / linear.mean()).item()

    assert relative_noise(-0.4) > 1.5 * relative_noise(0.8)


# ------------------------------------------------------------------ tasks


@pytest.mark.parametrize("task", pairs.TASKS)
def test_pairs_are_uint8_of_one_length_and_the_scale_of_the_task(task):
    inputs, originals = pairs.pairs(task, "held-out", size=64)
    assert inputs.dtype == originals.dtype == torch.uint8
    assert originals.shape == (len(inputs), 3, 64, 64)
    assert inputs.shape[-1] == 64 // pairs.TASKS[task].scale
    assert not torch.equal(inputs[0], originals[0])
    again, _ = pairs.pairs(task, "held-out", size=64)
    assert torch.equal(inputs, again)


def test_pairs_become_batches_of_both_parts():
    both = pairs.pairs("x4", "held-out")
    inputs, originals = data.batches(both, 8, 0)[0]
    assert inputs.shape == (8, 3, 16, 16) and originals.shape == (8, 3, 64, 64)
    torch.testing.assert_close(
        data.to_uint8(pairs.downsample(originals, 4)), data.to_uint8(inputs)
    )


def test_noise_is_drawn_anew_for_the_held_out_photographs():
    originals = pairs.patches("held-out")
    assert not torch.equal(
        pairs.pairs("noise", "held-out")[0], pairs.degraded("noise", originals, 0)
    )
