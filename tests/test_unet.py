"""U-Net and patch critic: any size in, the same size out; and what a patch sees."""

import pytest
import torch
from torch import nn

from gancourse.errors import GancourseError
from gancourse.models.dcgan import parameters
from gancourse.models.unet import MapNorm, PatchCritic, PixelNorm, UNet, receptive_field


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def pictures(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------ the generator


@pytest.mark.parametrize("skips", [True, False])
@pytest.mark.parametrize(
    "size", [(1, 1), (5, 5), (16, 16), (30, 30), (33, 33), (100, 75), (64, 80)]
)
def test_the_output_has_the_size_of_the_input_whatever_it_is(size, skips):
    G = UNet(2, 3, width=4, depth=5, skips=skips)
    out = G(pictures(1, 2, *size))
    assert out.shape == (1, 3, *size)
    assert out.abs().max() <= 1


def test_every_side_from_16_to_80_comes_out_as_it_went_in():
    G = UNet(1, 1, width=2, depth=4).eval()
    with torch.no_grad():
        for side in range(16, 81):
            assert G(torch.zeros(1, 1, side, 80)).shape[-2:] == (side, 80)
            assert G(torch.zeros(1, 1, 23, side)).shape[-2:] == (23, side)


def test_padding_leaves_a_picture_of_the_right_size_untouched():
    """The crop of a larger output must not depend on what lies far outside it."""
    G = UNet(1, 1, width=4, depth=2, dropout=0.0)
    x = pictures(1, 1, 30, 30)
    by_hand = nn.functional.pad(x, (0, 2, 0, 2), mode="replicate")
    torch.testing.assert_close(G(x), G(by_hand)[..., :30, :30])


def test_a_batch_of_one_with_a_one_by_one_bottleneck_learns():
    G = UNet(3, 3, width=4, depth=5)
    G(pictures(1, 3, 32, 32)).square().mean().backward()
    inner = G.down[-1][1].weight.grad
    assert inner.isfinite().all()
    assert inner.abs().max() > 0


def test_a_one_by_one_map_is_not_normalised_and_a_larger_one_is():
    norm = MapNorm(2)
    x = pictures(3, 2, 1, 1)
    assert torch.equal(norm(x), x)
    y = norm(pictures(3, 2, 4, 4))
    torch.testing.assert_close(y.mean((2, 3)), torch.zeros(3, 2), atol=1e-6, rtol=0)


def test_pixel_norm_looks_at_one_place_and_gives_it_mean_square_one():
    x = torch.tensor([3.0, 4.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2).clone()
    x[0, :, 1, 1] *= 100  # a glaring spot elsewhere
    y = PixelNorm(2)(x)
    expected = torch.tensor([3.0, 4.0]) / 12.5**0.5
    torch.testing.assert_close(y[0, :, 0, 0], expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(y[0, :, 1, 1], expected, atol=1e-4, rtol=0)


def test_a_spot_changes_the_output_everywhere_only_if_maps_are_normalised():
    """Without a common statistic a change stays within reach of the convolutions."""
    x = pictures(1, 1, 64, 64)
    y = x.clone()
    y[..., 0, 0] += 50
    for norm, elsewhere in [(PixelNorm, False), (MapNorm, True)]:
        torch.manual_seed(0)
        G = UNet(1, 1, width=4, depth=2, norm=norm).eval()
        far = (G(x) - G(y))[..., 32:, 32:].abs().max()
        assert (far > 0) == elsewhere


def test_the_bottleneck_tells_pictures_apart():
    """Without skips everything passes through 1 × 1: a norm there would erase it."""
    G = UNet(3, 3, width=8, depth=4, skips=False).eval()
    out = G(pictures(2, 3, 16, 16))
    assert (out[0] - out[1]).abs().max() > 1e-4


def test_a_pixel_reaches_the_output_through_the_skips_at_once():
    """d out / d in at one place: with skips the nearest input pixels weigh most."""
    x = pictures(1, 1, 32, 32).requires_grad_()
    G = UNet(1, 1, width=8, depth=5, dropout=0.0)
    (gradient,) = torch.autograd.grad(G(x)[0, 0, 16, 16], x)
    near = gradient[0, 0, 12:20, 12:20].abs().mean()
    assert near > 2 * gradient.abs().mean()


def test_dropout_is_the_only_difference_between_the_modes():
    x = pictures(2, 3, 32, 32)
    noisy, still = UNet(width=4, depth=5), UNet(width=4, depth=5, dropout=0.0)
    assert (noisy.train()(x) != noisy(x)).any()
    assert torch.equal(noisy.eval()(x), noisy(x))
    assert torch.equal(still.train()(x), still.eval()(x))


def test_the_paper_s_generator_has_its_54_million_parameters():
    with torch.device("meta"):
        assert parameters(UNet()) == pytest.approx(54_414_000, rel=1e-3)


# ------------------------------------------------------------------ the critic


def footprint(critic: PatchCritic, side: int) -> torch.Tensor:
    """Where the middle logit's gradient with respect to the picture is not 0."""
    x = pictures(1, critic.in_channels, side, side).requires_grad_()
    out = critic(x)[0, 0]
    (gradient,) = torch.autograd.grad(out[len(out) // 2, len(out) // 2], x)
    return gradient[0].abs().amax(0) > 0


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_receptive_field_is_the_formula_and_the_footprint_of_the_gradient(
    layers, field
):
    critic = PatchCritic(2, width=4, layers=layers, norm=False).double()
    assert critic.receptive_field == field
    torch.set_default_dtype(torch.float64)
    try:
        seen = footprint(critic, 128)
    finally:
        torch.set_default_dtype(torch.float32)
    rows, columns = seen.any(1).nonzero(), seen.any(0).nonzero()
    assert rows.max() - rows.min() + 1 == field
    assert columns.max() - columns.min() + 1 == field
    assert seen.sum() == field**2


def test_normalising_over_the_map_lets_a_patch_see_the_whole_picture():
    assert footprint(PatchCritic(2, width=4, layers=1), 64).all()


def test_receptive_field_of_hand_worked_chains():
    conv = nn.Conv2d
    assert receptive_field(nn.Sequential(conv(1, 1, 3))) == 3
    assert receptive_field(nn.Sequential(conv(1, 1, 3), conv(1, 1, 3))) == 5
    # one output, 3 inputs of the second, each 2 apart and 4 wide: 2 · 2 + 4
    assert receptive_field(nn.Sequential(conv(1, 1, 4, 2), conv(1, 1, 3))) == 8


def test_the_paper_s_critic_gives_30_by_30_logits_for_256_pixels():
    with torch.device("meta"):
        critic = PatchCritic()
        assert critic(torch.empty(2, 6, 256, 256)).shape == (2, 1, 30, 30)
        assert parameters(critic) == pytest.approx(2_769_000, rel=2e-3)


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_smallest_picture_gives_one_logit_and_a_smaller_one_a_sentence(
    layers, assert_clear
):
    critic = PatchCritic(1, width=2, layers=layers)
    side = critic.smallest
    assert critic(pictures(1, 1, side, side)).shape == (1, 1, 1, 1)
    with pytest.raises(GancourseError) as caught:
        critic(pictures(1, 1, side - 1, side))
    assert_clear(caught.value, str(side))


@pytest.mark.parametrize(
    "x",
    [
        torch.zeros(3, 32, 32),
        torch.zeros(1, 1, 32, 32),
        torch.zeros(1, 3, 32, 32).int(),
    ],
)
@pytest.mark.parametrize("build", [UNet, PatchCritic])
def test_what_is_no_batch_of_pictures_is_refused_in_a_sentence(x, build, assert_clear):
    with pytest.raises(GancourseError) as caught:
        build(3, width=2)(x)
    assert_clear(caught.value, "(N, 3, H, W)")
