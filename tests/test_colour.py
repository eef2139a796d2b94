"""The colouriser: luma stays, VGG says where colours go, the album is split right."""

import pytest
import torch
from torch import nn

from gancourse import data, pairs, restorers
from gancourse.errors import GancourseError
from gancourse.models import colour


@pytest.fixture(scope="module")
def vgg():
    return restorers.eyes()


def uniform(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_colours_added_to_a_luma_are_what_yuv_says():
    x = uniform(2, 3, 5, 7)
    yuv = pairs.rgb_to_yuv(x)
    torch.testing.assert_close(colour.coloured(yuv[:, :1], yuv[:, 1:]), x)
    torch.testing.assert_close(colour.coloured(pairs.grey(x), yuv[:, 1:]), x)


@pytest.mark.parametrize("shape", [(64, 64), (48, 80), (43, 70)])
def test_hypercolumns_have_a_column_for_every_fourth_pixel(vgg, shape):
    x = uniform(1, 1, *shape).expand(-1, 3, -1, -1)
    columns = colour.hypercolumns(vgg, x)
    assert columns.shape == (1, colour.CHANNELS, shape[0] // 4, shape[1] // 4)
    seen = vgg(x, ["conv3_1"])["conv3_1"]
    assert torch.equal(columns[:, :256], seen)


def test_the_last_part_of_a_column_is_a_mean_of_its_surroundings(vgg):
    # Conv4_1 has 16 x 16 places here, columns 32 x 32. Far from what was changed the
    # sharp part stays as it was; the part that looks around itself reaches further.
    x = pairs.grey(data.to_unit(pairs.photograph("sheep")[None, :, :128, :128]))
    changed = x.clone()
    changed[..., 120:] = 1
    difference = (colour.hypercolumns(vgg, changed) - colour.hypercolumns(vgg, x)).abs()
    sharp, wide = difference[:, 512:1024], difference[:, 1024:]
    reach = [part.amax((0, 1, 2)).gt(1e-3).nonzero().min() for part in (sharp, wide)]
    assert reach[1] == reach[0] - 2 * (colour.AROUND // 2)


def test_a_new_palette_paints_all_in_the_mean_colour():
    columns, uv = uniform(3, colour.CHANNELS, 4, 4) * 9 + 5, uniform(3, 2, 4, 4, seed=1)
    palette = colour.Palette().begin(columns, uv).eval()
    scaled = (columns - palette.centre) / palette.spread
    assert scaled.mean().abs() < 1e-4 and (scaled.std() - 1).abs() < 0.1
    luma = uniform(3, 1, 4, 4, seed=2)
    painted = pairs.rgb_to_yuv(palette(torch.cat([luma, columns], 1)))
    torch.testing.assert_close(painted[:, :1], luma, rtol=0, atol=1e-5)
    mean = uv.mean((0, 2, 3)).view(1, 2, 1, 1).expand_as(painted[:, 1:])
    torch.testing.assert_close(painted[:, 1:], mean, rtol=0, atol=1e-5)


def test_the_colouriser_keeps_the_luma_and_any_size(vgg):
    palette = colour.Palette()
    nn.init.normal_(palette.net[-1].bias, 0, 0.1)
    G = colour.Colouriser(vgg, palette).eval()
    x = pairs.grey(uniform(2, 3, 30, 41))
    out = G(x).detach()
    assert out.shape == x.shape and (out - x).abs().max() > 0.01
    torch.testing.assert_close(pairs.grey(out), x, rtol=0, atol=1e-5)
    assert G.restore(x).abs().max() <= 1


def test_only_the_palette_is_taught(vgg):
    G = colour.Colouriser(vgg, colour.Palette())
    G(pairs.grey(uniform(1, 3, 32, 32))).square().mean().backward()
    assert all(p.grad is not None for p in G.palette.parameters())
    assert all(p.grad is None for p in G.vgg.parameters())


# ------------------------------------------------------------------ the album


def test_the_parts_of_the_album_are_disjoint_and_all_of_it():
    parts = {part: set(pairs.album(part)) for part in ("train", "choose", "held-out")}
    assert set().union(*parts.values()) == set(pairs.album())
    assert sum(map(len, parts.values())) == len(pairs.album()) == 78
    assert min(map(len, parts.values())) >= 9
    assert not set(pairs.album()) & {*pairs.TRAIN, *pairs.HELD_OUT}


def test_album_photographs_are_small_and_in_colour():
    for name in pairs.album():
        image = pairs.photograph(name)
        assert image.dtype == torch.uint8 and max(image.shape) == 256, name
        assert min(image.shape[1:]) >= 64, name
        assert pairs.rgb_to_yuv(data.to_unit(image[None]))[:, 1:].std() > 0.01, name


def test_the_colouriser_is_trained_on_training_photographs_alone(monkeypatch):
    seen = []
    monkeypatch.setattr(restorers, "seen_crops", lambda names: seen.extend(names))
    restorers.training_pairs("colour")
    assert seen == [*pairs.TRAIN, *pairs.album("train")]


def test_an_unknown_part_is_answered_with_the_known_ones(assert_clear):
    with pytest.raises(GancourseError) as caught:
        pairs.album("test")
    assert_clear(caught.value, "test", "choose", "held-out")


def test_crops_are_cut_from_what_vgg_saw_of_the_whole(vgg):
    seen, originals = restorers.seen_crops(["sheep"])
    photo = data.to_unit(pairs.photograph("sheep")[None])
    photo = photo[..., : photo.shape[2] // 4 * 4, : photo.shape[3] // 4 * 4]
    columns = colour.hypercolumns(vgg, pairs.grey(photo))
    size, step = restorers.CROP, restorers.APART
    assert seen.shape == (len(originals), 1 + colour.CHANNELS, size, size)
    second = columns[0, :, :size, step : step + size].half()
    assert torch.equal(seen[1, 1:], second)
    luma = pairs.rgb_to_yuv(originals)[:, :1]
    torch.testing.assert_close(seen[:, :1].float(), luma, rtol=0, atol=5e-3)
