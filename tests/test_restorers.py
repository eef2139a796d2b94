"""The embedded gallery: it loads, it restores, it can be made again."""

import pytest
import torch

from gancourse import data, pairs, perception, restorers
from gancourse.errors import GancourseError
from gancourse.models.colour import coloured


@pytest.mark.parametrize("kind", restorers.KINDS)
@pytest.mark.parametrize("task", restorers.TASKS)
def test_every_net_of_the_gallery_gives_pictures_of_the_input_s_size(task, kind):
    G = restorers.gallery(task, kind)
    assert not G.training and not any(p.requires_grad for p in G.parameters())
    x = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1
    out = G.restore(x)
    assert out.shape == x.shape and out.abs().max() <= 1
    assert not torch.equal(out, x)


@pytest.mark.parametrize("kind", ["pixels", "both"])
@pytest.mark.parametrize("task", ["noise", "dark"])
def test_held_out_photographs_are_restored_by_a_clear_margin(task, kind):
    damaged, originals = (
        data.to_unit(part[::8]) for part in pairs.pairs(task, "held-out", 64)
    )
    restored = restorers.gallery(task, kind).restore(damaged)
    for measure, margin in ((perception.psnr, 3.0), (perception.ssim, 0.1)):
        before, after = measure(damaged, originals), measure(restored, originals)
        assert after > before + margin, measure.__name__


@pytest.mark.soak
def test_the_recipe_remakes_a_net_of_the_gallery():
    """`python -m gancourse.restorers noise`, as far as its first net; minutes."""
    both = restorers.training_pairs("noise")
    G = restorers.regress("noise", both, restorers.STEPS["noise"])
    damaged, originals = (
        data.to_unit(part[::8]) for part in pairs.pairs("noise", "held-out", 64)
    )
    with torch.no_grad():
        remade = perception.psnr(G(damaged), originals)
    embedded = restorers.gallery("noise", "pixels").restore(damaged)
    assert remade > perception.psnr(damaged, originals) + 3
    assert abs(remade - perception.psnr(embedded, originals)) < 0.3


def test_colours_of_held_out_photographs_are_nearer_than_grey_and_the_mean_colour():
    names = [*pairs.HELD_OUT, *pairs.album("held-out")]
    training = [
        pairs.rgb_to_yuv(data.to_unit(pairs.photograph(name, 256)[None]))[:, 1:]
        for name in [*pairs.TRAIN, *pairs.album("train")]
    ]
    mean = torch.stack([uv.mean((0, 2, 3)) for uv in training]).mean(0)
    G = restorers.gallery("colour", "pixels")
    errors = []
    for name in names:
        truth = data.to_unit(pairs.photograph(name, 256)[None])
        grey = pairs.grey(truth)
        flat = coloured(grey, mean.view(1, 2, 1, 1).expand(1, 2, *grey.shape[2:]))
        answers = G.restore(grey), flat.clamp(-1, 1), grey
        errors.append([perception.chroma_error(x, truth) for x in answers])
    restored, painted, left = torch.tensor(errors).mean(0).tolist()
    assert restored < 0.95 * painted and restored < 0.9 * left


def test_the_file_is_small():
    assert data.asset(restorers.FILE).stat().st_size <= 2_000_000


def test_unknown_names_are_answered_with_the_known_ones(assert_clear):
    with pytest.raises(GancourseError) as caught:
        restorers.gallery("blur", "pixels")
    assert_clear(caught.value, "blur", "noise")
    with pytest.raises(GancourseError) as caught:
        restorers.gallery("noise", "L2")
    assert_clear(caught.value, "L2", "critic")


def test_the_recipe_moves_a_net_from_where_it_was():
    both = tuple(part[:32] for part in pairs.pairs("dark", "held-out", 64))
    G = restorers.regress("dark", both, steps=2)
    before = {name: value.clone() for name, value in G.state_dict().items()}
    refined = restorers.refine(G, "dark", "both", both, steps=2)
    assert all(torch.equal(before[name], v) for name, v in G.state_dict().items())
    after = refined.state_dict()
    assert any(not torch.equal(before[name], after[name]) for name in before)


def test_training_pairs_are_each_there_twice_once_mirrored():
    damaged, originals = restorers.training_pairs("noise")
    half = len(originals) // 2
    assert len(damaged) == len(originals) == 2 * half
    assert torch.equal(originals[half:], originals[:half].flip(-1))
    assert torch.equal(damaged[half:], damaged[:half].flip(-1))
