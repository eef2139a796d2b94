"""The players: shapes, ranges, initial values, and what each kind of layer does."""

import math

import pytest
import torch
from torch import nn

from gancourse import data
from gancourse.errors import GancourseError
from gancourse.models.classifier import DigitClassifier
from gancourse.models.dcgan import (
    DCGANDiscriminator,
    DCGANGenerator,
    Flatten,
    channels_last,
    init_dcgan,
    parameters,
)
from gancourse.models.mlp import (
    MLPDiscriminator,
    MLPGenerator,
    PointDiscriminator,
    PointGenerator,
    mlp,
)


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def normal(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------ shapes and ranges


@pytest.mark.parametrize("size", [28, 32, 64])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("refine", [0, 2])
def test_dcgan_maps_latents_to_images_and_images_to_one_logit_each(
    size, channels, refine
):
    G = DCGANGenerator(16, size, channels, width=8, refine=refine)
    D = DCGANDiscriminator(size, channels, width=8, refine=refine)
    images = G(normal(5, 16))
    assert images.shape == (5, channels, size, size)
    assert images.abs().max() <= 1
    assert D(images).shape == (5,)


def test_a_dcgan_of_an_unsupported_size_names_the_sizes_there_are(assert_clear):
    for player in (DCGANGenerator, DCGANDiscriminator):
        with pytest.raises(GancourseError) as caught:
            player(size=30)
        assert_clear(caught.value, "30", "[28, 32, 64]")


def test_point_and_digit_players_have_the_shapes_they_promise():
    assert PointGenerator(3, 2)(normal(5, 3)).shape == (5, 2)
    assert PointDiscriminator(2)(normal(5, 2)).shape == (5,)
    digits = MLPGenerator()(normal(5, 100))
    assert digits.shape == (5, 1, 28, 28) and digits.abs().max() <= 1
    assert MLPDiscriminator()(digits).shape == (5,)


def test_players_say_how_many_latents_they_take():
    for G in (PointGenerator(3), MLPGenerator(50), DCGANGenerator(7)):
        assert G(normal(2, G.latent_dim)).isfinite().all()


def test_digits_scaled_to_the_range_of_tanh_reach_both_ends():
    real = data.to_unit(data.digits("test").images[:100])
    assert real.min() == -1 and real.max() == 1


def test_mlp_puts_its_activation_between_layers_only():
    kinds = [type(layer) for layer in mlp([2, 3, 4, 1])]
    assert kinds == [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


# ------------------------------------------------------------------ sizes


def test_mlp_generator_has_the_parameters_that_keras_counts():
    G = MLPGenerator()
    # Keras counts BatchNorm's running mean and variance as (untrainable) parameters.
    floats = [v for v in G.state_dict().values() if v.is_floating_point()]
    assert sum(v.numel() for v in floats) == 1_514_128
    # by hand: Linear (inputs + 1) x outputs, BatchNorm two trained values a feature
    linear = 101 * 128 + 129 * 256 + 257 * 512 + 513 * 1024 + 1025 * 784
    assert parameters(G) == linear + 2 * (128 + 256 + 512 + 1024)


def test_mlp_discriminator_has_the_parameters_of_its_layers():
    assert parameters(MLPDiscriminator()) == 785 * 512 + 513 * 256 + 257 * 128 + 129


def test_dcgan_without_refinement_has_the_parameters_of_its_layers():
    G = DCGANGenerator(64, 28, width=32, refine=0)
    # Linear 64 -> 64·7·7, BatchNorm 64; ConvT 64 -> 32 k4, BatchNorm; ConvT 32 -> 1 + 1
    assert parameters(G) == 64 * 64 * 49 + 128 + 64 * 32 * 16 + 64 + 32 * 16 + 1
    D = DCGANDiscriminator(28, width=32, refine=0)
    assert parameters(D) == 32 * 16 + 32 + 32 * 64 * 16 + 128 + 64 * 49 + 1


def test_the_first_map_of_a_64_pixel_generator_doubles_until_the_image():
    G = DCGANGenerator(100, 64, 3, width=64, refine=0)
    sides, x = [], normal(2, 100)
    for layer in G.net:
        x = layer(x)
        if isinstance(layer, nn.Unflatten | nn.ConvTranspose2d):
            sides.append((x.shape[1], x.shape[2]))
    assert sides == [(512, 4), (256, 8), (128, 16), (64, 32), (3, 64)]


# ------------------------------------------------------------------ initial values


def test_batchnorm_scales_start_around_one_and_weights_spread_by_two_hundredths():
    G = DCGANGenerator(100, 64, 3, width=64, refine=1)
    scales = torch.cat([m.weight for m in G.modules() if isinstance(m, nn.BatchNorm2d)])
    kinds = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
    layers = [m for m in G.modules() if isinstance(m, kinds)]
    # six standard errors: 0.02 / sqrt(n) for a mean, 0.02 / sqrt(2 n) for a spread
    six = 6 * 0.02 / math.sqrt(len(scales))
    assert scales.mean().item() == pytest.approx(1, abs=six)
    assert scales.std().item() == pytest.approx(0.02, abs=six / math.sqrt(2))
    for layer in layers:
        six = 6 * 0.02 / math.sqrt(layer.weight.numel())
        assert layer.weight.mean().item() == pytest.approx(0, abs=six)
        assert layer.weight.std().item() == pytest.approx(0.02, abs=six / math.sqrt(2))
        assert layer.bias is None or not layer.bias.any()


def test_a_fresh_dcgan_paints_with_contrast():
    # With BatchNorm scales around 0 a generator starts at a spread of about 0.004.
    images = DCGANGenerator(100, 64, 3, width=64, refine=0)(normal(16, 100))
    assert images.std() > 0.1

    def around_zero(module):
        init_dcgan(module)
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 0.0, 0.02)

    broken = DCGANGenerator(100, 64, 3, width=64, refine=0).apply(around_zero)
    assert broken(normal(16, 100)).std() < 0.02


def test_refinement_starts_from_the_map_it_is_given():
    G = DCGANGenerator(16, width=8, refine=2)
    plain = DCGANGenerator(16, width=8, refine=0)
    assert parameters(G) > parameters(plain)
    assert G(normal(4, 16)).shape == plain(normal(4, 16)).shape


def test_no_normalisation_touches_the_image():
    for G in (MLPGenerator(), DCGANGenerator()):
        last = [m for m in G.modules() if not list(m.children())][-2:]
        assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in last)
        assert isinstance(last[-1], nn.Tanh)
    first = list(DCGANDiscriminator().net)[:2]
    assert [type(m) for m in first] == [nn.Conv2d, nn.LeakyReLU]


def test_a_discriminator_without_norm_has_none_at_all():
    D = DCGANDiscriminator(norm=False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in D.modules())
    assert not list(D.buffers())


def test_a_leaky_discriminator_gives_every_point_a_gradient():
    x = normal(1000, 2).requires_grad_()
    (slope,) = torch.autograd.grad(PointDiscriminator()(x).sum(), x)
    assert (slope.norm(dim=1) > 0).all()


# ------------------------------------------------------------------ layers


def test_transposed_convolution_is_the_gradient_of_convolution_and_no_inverse():
    weight, x = normal(8, 4, 4, 4).double(), normal(2, 4, 16, 16).double()
    x = x.requires_grad_()
    y = nn.functional.conv2d(x, weight, stride=2, padding=1)
    v = normal(*y.shape).double()
    (pulled_back,) = torch.autograd.grad(y, x, v)
    up = nn.functional.conv_transpose2d(v, weight, stride=2, padding=1)
    torch.testing.assert_close(up, pulled_back, rtol=0, atol=1e-12)
    back = nn.functional.conv_transpose2d(y, weight, stride=2, padding=1)
    assert (back - x).norm() / x.norm() > 0.5


@pytest.mark.parametrize(("kernel", "counts"), [(4, {4}), (3, {1, 2, 4})])
def test_kernels_that_the_stride_divides_cover_every_pixel_equally(kernel, counts):
    ones = torch.ones(1, 1, 8, 8), torch.ones(1, 1, kernel, kernel)
    cover = nn.functional.conv_transpose2d(*ones, stride=2)[0, 0]
    inside = cover[kernel:-kernel, kernel:-kernel]
    assert set(inside.int().flatten().tolist()) == counts


def test_batchnorm_ties_samples_of_a_batch_together_in_training_only():
    D = DCGANDiscriminator(width=8)
    batch = normal(8, 1, 28, 28)
    mates_changed = torch.cat([batch[:1], 3 * batch[1:] + 1])
    assert (D(batch)[0] - D(mates_changed)[0]).abs() > 1e-6
    D.eval()
    assert D(batch)[0].item() == pytest.approx(D(mates_changed)[0].item(), abs=1e-6)


def test_a_discriminator_without_norm_scores_samples_one_by_one():
    D = DCGANDiscriminator(width=8, norm=False)
    batch = normal(8, 1, 28, 28)
    mates_changed = torch.cat([batch[:1], 3 * batch[1:] + 1])
    assert D(batch)[0].item() == pytest.approx(D(mates_changed)[0].item(), abs=1e-6)


def test_two_sigmoids_keep_the_discriminator_from_ever_being_sure():
    # A probability fed to a loss that expects logits: D = 1 on real, 0 on fake costs
    # sp(-1) + sp(0) = 0.3133 + 0.6931, and nothing is cheaper.
    from gancourse.losses import nonsaturating

    perfect = nonsaturating.discriminator(torch.ones(4), torch.zeros(4)).item()
    assert perfect == pytest.approx(0.313262 + 0.693147, abs=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 7])
def test_odd_and_single_batches_pass_through_every_player(batch):
    D = DCGANDiscriminator(width=8)
    assert D(DCGANGenerator(16, width=8)(normal(batch, 16))).isfinite().all()
    digits = MLPGenerator().eval()(normal(batch, 100))
    assert MLPDiscriminator()(digits).shape == (batch,)


def test_channels_last_changes_the_layout_of_weights_and_not_the_result():
    D = DCGANDiscriminator(width=8, norm=False)
    images = normal(4, 1, 28, 28)
    before = D(images)
    D = channels_last(D)
    assert D.net[2].weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(D(images), before, rtol=1e-4, atol=1e-5)


def test_the_classifier_gives_ten_logits_and_64_features():
    model = DigitClassifier().eval()
    images = normal(3, 1, 28, 28).clamp(-1, 1)
    assert model(images).shape == (3, 10)
    assert model.features(images).shape == (3, model.num_features) == (3, 64)


@pytest.mark.parametrize("norm", [True, False])
def test_gradients_in_the_layout_of_the_maps_are_bit_for_bit_those_of_a_plain_flatten(
    norm,
):
    def gradients(flatten):
        torch.manual_seed(0)
        D = channels_last(DCGANDiscriminator(width=8, norm=norm))
        assert isinstance(D.net[-2], Flatten)
        D.net[-2] = flatten
        x = torch.randn(8, 1, 28, 28, requires_grad=True)
        (slope,) = torch.autograd.grad(D(x).sum(), x, create_graph=True)
        (D(x).square().mean() + slope.square().mean()).backward()  # twice, as R1 does
        return [x.grad, *(p.grad for p in D.parameters() if p.grad is not None)]

    for ours, plain in zip(gradients(Flatten()), gradients(nn.Flatten()), strict=True):
        assert torch.equal(ours, plain)


@pytest.mark.parametrize("flatten", [Flatten(), nn.Flatten()])
def test_only_our_flatten_hands_gradients_back_channels_last(flatten):
    maps = torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last)
    layer, seen = nn.LeakyReLU(0.2)(maps.requires_grad_()), []
    rows = flatten(layer)
    layer.register_hook(lambda grad: seen.append(grad))
    rows.square().sum().backward()
    last = seen[0].is_contiguous(memory_format=torch.channels_last)
    assert last == isinstance(flatten, Flatten)
