"""The embedded stylers: they load, they paint in one pass, they can be made again."""

import copy

import pytest
import torch

from gancourse import data, pairs, style, stylers
from gancourse.errors import GancourseError
from gancourse.fast_style import Eye
from gancourse.models.transform import AdaINDecoder, StyleNet

NETS = [(name, False) for name in stylers.PAINTERS]
NETS += [(name, True) for name in stylers.PUPILS]
PHOTO = data.to_unit(pairs.photograph("coffee", 160))[None]


def shown(name: str) -> torch.Tensor:
    painting = data.to_unit(data.picture(name))[None]
    return style.scaled(painting, stylers.PAINTERS[name].side)


@pytest.mark.parametrize(("name", "critic"), NETS)
def test_every_net_paints_a_held_out_photograph_nearer_to_its_painting(name, critic):
    G = stylers.gallery(name, critic)
    assert not G.training and not any(p.requires_grad for p in G.parameters())
    painted = stylers.paint(G, PHOTO)
    assert painted.shape == PHOTO.shape and painted.abs().max() <= 1
    eye = Eye(shown(name))
    with torch.no_grad():
        before, after = (
            eye(image, PHOTO, ["style", "content"]) for image in (PHOTO, painted)
        )
    # the critic's pupil was last taught by no Gram matrix: nearer is all we ask
    assert after["style"] < (1 if critic else 0.5) * before["style"]
    other = Eye(PHOTO)(shown(name)[:, :, :106, :160], PHOTO, ["content"])
    assert after["content"] < other["content"]  # the things are still there


def test_each_painter_gives_a_picture_of_its_own():
    painted = [stylers.paint(stylers.gallery(name), PHOTO) for name in stylers.PAINTERS]
    for one, other in zip(painted, [*painted[1:], painted[0]], strict=True):
        assert (one - other).abs().mean() > 0.1


@pytest.mark.parametrize("size", [(64, 97), (50, 64)])
def test_any_painting_can_be_asked_for_and_the_size_stays(size):
    G, photo = stylers.decoder(), PHOTO[:, :, : size[0], : size[1]]
    pictures = [
        stylers.paint_any(
            G, photo, style.scaled(data.to_unit(data.picture(n))[None], 128)
        )
        for n in ("cassatt-summertime", *stylers.UNSEEN)
    ]
    for picture in pictures:
        assert picture.shape == photo.shape and picture.abs().max() <= 1
    assert (pictures[0] - pictures[1]).abs().mean() > 0.02


def test_alpha_leads_from_the_photograph_to_the_style():
    G = stylers.decoder()
    painting = style.scaled(data.to_unit(data.picture("hokusai-great-wave"))[None], 160)
    eye = Eye(painting)
    at = [stylers.paint_any(G, PHOTO, painting, alpha) for alpha in (0.0, 0.5, 1.0)]
    with torch.no_grad():
        found = [eye(image, PHOTO, ["style"])["style"] for image in at]
    assert found[0] > found[1] > found[2]


def test_the_decoder_never_saw_the_paintings_that_were_put_aside():
    names = set(data.asset_names("paintings"))
    assert set(stylers.UNSEEN) < names
    found = stylers.styles()
    for name in stylers.UNSEEN:
        crop = stylers.painting_crops(name, 352, 64)[0]
        assert not (found == crop).flatten(1).all(1).any()
    for name in names - set(stylers.UNSEEN):
        crop = stylers.painting_crops(name, 352, 64)[0]
        assert (found == crop).flatten(1).all(1).any()


def test_crops_come_from_training_photographs_each_also_mirrored():
    found = stylers.crops(step=192)
    half = len(found) // 2
    assert torch.equal(found[half:], found[:half].flip(-1))
    face = pairs.photograph("astronaut", 352)[:, :192, :192]
    assert not (found == face).flatten(1).all(1).any()


def test_the_file_is_small():
    assert data.asset(stylers.FILE).stat().st_size <= 6_000_000


def test_paintings_without_a_net_are_answered_with_those_that_have_one(assert_clear):
    with pytest.raises(GancourseError) as caught:
        stylers.gallery("mona-lisa")
    assert_clear(caught.value, "mona-lisa", "kandinsky-composition-viii", "adain")


def moved(one, other) -> bool:
    both = zip(one.parameters(), other.parameters(), strict=True)
    return any(not torch.equal(a, b) for a, b in both)


@pytest.mark.full
def test_the_recipes_can_be_followed():
    name = stylers.PUPILS[0]
    G = stylers.learn(stylers.PAINTERS[name], shorter=1)
    kept = copy.deepcopy(G)
    assert moved(stylers._new(StyleNet, **stylers.SIZE), G)
    assert moved(kept, stylers.teach(name, G, shorter=1))


@pytest.mark.full
def test_the_decoders_recipe_can_be_followed():
    before = stylers._new(AdaINDecoder, stylers.WIDTHS)
    assert moved(before, stylers.learn_any(shorter=1))
