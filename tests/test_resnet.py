"""The ResNet generator: any size in, the same size out, and nothing seen but itself."""

import pytest
import torch
from torch import nn

from gancourse.errors import GancourseError
from gancourse.models.resnet import (
    Reflect,
    ReflectConv2d,
    ResidualBlock,
    ResNetGenerator,
)
from gancourse.models.unet import MapNorm, PixelNorm


def small(**settings) -> ResNetGenerator:
    torch.manual_seed(0)
    return ResNetGenerator(**{"width": 4, "blocks": 2, **settings})


def pictures(n=2, channels=3, height=16, width=16, seed=1):
    rng = torch.Generator().manual_seed(seed)
    return torch.rand(n, channels, height, width, generator=rng) * 2 - 1


@pytest.mark.parametrize("pad", [1, 3])
def test_reflection_equals_pytorch_s_forward_and_backward(pad):
    x = pictures(height=9, width=7).double().requires_grad_()
    weight = torch.randn(2, 3, 9 + 2 * pad, 7 + 2 * pad, dtype=torch.float64)
    slopes = []
    for module in (Reflect(pad), nn.ReflectionPad2d(pad)):
        y = module(x)
        slopes.append((y, *torch.autograd.grad((y * weight).sum(), x)))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-14)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (9, 1)])
def test_a_convolution_that_reflects_is_the_same_where_all_must_repeat(kernel, stride):
    conv = ReflectConv2d(3, 4, kernel, stride).double()
    x, found = pictures(height=9, width=12).double().requires_grad_(), []
    for mode in ("default", "error"):
        torch.set_deterministic_debug_mode(mode)
        try:
            y = conv(x)
        finally:
            torch.set_deterministic_debug_mode("default")
        found.append([y, *torch.autograd.grad(y.square().sum(), [x, conv.weight])])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    plain = nn.Conv2d(3, 4, kernel, stride, kernel // 2, padding_mode="reflect")
    plain.load_state_dict(conv.state_dict())
    torch.testing.assert_close(plain.double()(x), found[0][0], rtol=0, atol=0)


@pytest.mark.parametrize("downs", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (16, 16), (28, 28), (9, 31), (17, 10)])
def test_pictures_of_any_size_keep_it_and_stay_in_range(size, downs):
    G = small(downs=downs)
    y = G(10 * pictures(1, 3, *size))
    assert y.shape == (1, 3, *size)
    assert y.abs().max() <= 1 and y.std() > 0.001


def test_channels_out_may_differ_from_channels_in():
    assert small(channels=1, out_channels=3)(pictures(channels=1)).shape[1] == 3


def test_odd_sizes_are_mirrored_up_and_cut_off_again():
    G, x = small(), pictures(1, 3, 14, 13)
    mirrored = nn.functional.pad(x, (0, 3, 0, 2), mode="reflect")
    torch.testing.assert_close(G(x), G(mirrored)[..., :14, :13], rtol=0, atol=0)


def test_a_picture_s_translation_does_not_depend_on_its_batch_mates():
    G = small()
    x, other = pictures(3), pictures(3, seed=2)
    other[0] = x[0]
    torch.testing.assert_close(G(x)[0], G(other)[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(G(x)[0], G.eval()(x[:1])[0], rtol=0, atol=1e-6)


def test_a_block_adds_to_its_input():
    block, x = ResidualBlock(4), pictures(channels=4)
    nn.init.zeros_(block.block[-1].weight)  # the last norm's scale; its shift is 0
    torch.testing.assert_close(block(x), x, rtol=0, atol=0)
    nn.init.ones_(block.block[-1].weight)
    added = block(x) - x
    assert added.mean((2, 3)).abs().max() < 1e-5  # instance norm: mean 0, variance 1
    assert (added.var((2, 3), unbiased=False) - 1).abs().max() < 1e-2


def test_at_full_size_it_has_the_layers_of_the_paper():
    # Zhu et al. 2017, 7.2: c7s1-64, d128, d256, R256 x 9, u128, u64, c7s1-3
    with torch.device("meta"):
        G = ResNetGenerator()
    shapes = [
        (m.out_channels, m.kernel_size[0], m.stride[0])
        for m in G.modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert shapes[:3] == [(64, 7, 1), (128, 3, 2), (256, 3, 2)]
    assert shapes[3:-3] == [(256, 3, 1)] * 18
    # upsampling: pixels doubled, then convolved, where the paper has stride 1/2
    assert shapes[-3:] == [(128, 3, 1), (64, 3, 1), (3, 7, 1)]
    assert sum(isinstance(m, nn.Upsample) for m in G.modules()) == 2


def test_every_weight_gets_a_gradient():
    G = small()
    G(pictures()).square().sum().backward()
    for name, parameter in G.named_parameters():
        assert parameter.grad.abs().max() > 0, name


def test_weights_start_small_and_norms_at_one():
    G = small(width=32)
    convolutions = [m for m in G.modules() if isinstance(m, nn.Conv2d)]
    drawn = torch.cat([m.weight.flatten() for m in convolutions])
    assert drawn.std().item() == pytest.approx(0.02, rel=0.02)
    norms = [m for m in G.modules() if isinstance(m, nn.InstanceNorm2d)]
    assert norms and all((m.weight == 1).all() for m in norms)


def test_too_small_a_picture_is_refused_with_one_sentence(assert_clear):
    with pytest.raises(GancourseError) as caught:
        small()(pictures(1, 3, 7, 20))
    assert_clear(caught.value, "7", "8")


@pytest.mark.parametrize("norm, coupled", [(MapNorm, True), (PixelNorm, False)])
def test_what_stands_on_a_ground_tints_it_by_instance_norm_on_the_way_up(norm, coupled):
    # Residual blocks and the way down are left out, as they normalise too: a ground
    # far from the stroke sees it only through a norm over the whole map.
    torch.manual_seed(0)
    G = ResNetGenerator(3, None, 4, 1, 1, up=norm).eval()
    first = next(i for i, m in enumerate(G.net) if isinstance(m, nn.Upsample))
    ground = torch.randn(1, 8, 16, 16, generator=torch.Generator().manual_seed(0))
    stroke = ground.clone()
    stroke[..., :4, :4] = 5
    far = [G.net[first:](x)[..., -8:, -8:] for x in (ground, stroke)]
    assert ((far[0] - far[1]).abs().max() > 1e-3) == coupled
