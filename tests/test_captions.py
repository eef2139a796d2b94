"""Captioned scenes: sentences, pictures and the judge, against things known here."""

import pytest
import torch

from gancourse import caption_judge, caption_paint, captions, data
from gancourse.caption_judge import agreement, handwriting, judge, seen
from gancourse.caption_paint import paint
from gancourse.captions import COLOUR, DIGIT, LENGTH, THERE
from gancourse.errors import GancourseError


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


# ------------------------------------------------------------------ scenes and words


def test_a_caption_says_everything_that_a_scene_holds():
    seven, three = [1, 0, 0, 7, 0], [1, 1, 4, 3, 1]
    scenes = [[seven, three], [[0] * 5, three], [seven, [0] * 5]]
    assert captions.captions(torch.tensor(scenes)) == [
        "a thin red seven tilted left above a bold blue three upright",
        "a bold blue three upright at the bottom",
        "a thin red seven tilted left at the top",
    ]


@pytest.mark.parametrize("pairs", ["seen", "unseen", "all"])
def test_reading_undoes_writing(pairs):
    scenes = captions.scenes(500, rng(), pairs)
    assert torch.equal(captions.read(captions.captions(scenes)), scenes)


def test_no_pair_of_training_is_unseen_and_every_unseen_scene_has_one_only():
    for pairs, share in [("seen", 0.0), ("unseen", 1.0)]:
        objects = captions.scenes(2000, rng(), pairs)
        objects = objects[objects[..., THERE] > 0]
        mark = captions.unseen(objects[:, DIGIT], objects[:, COLOUR])
        assert mark.float().mean() == share
    digit, colour = torch.meshgrid(torch.arange(10), torch.arange(6), indexing="ij")
    assert captions.unseen(digit, colour).sum() == 10
    assert captions.unseen(digit, colour).any(0).all()  # each colour misses a digit
    assert captions.unseen(digit, colour).sum(1).eq(1).all()


def test_all_values_occur_and_half_of_the_scenes_have_two_objects():
    objects = captions.scenes(4000, rng())
    assert 0.45 < objects[..., THERE].all(1).float().mean() < 0.55
    assert objects[..., THERE].any(1).all()
    there = objects[objects[..., THERE] > 0]
    for k, count in enumerate(captions.PARTS.values()):
        if k != THERE:
            shares = torch.bincount(there[:, k], minlength=count) / len(there)
            assert (shares - 1 / count).abs().max() < 0.03


def test_an_edit_changes_one_thing_and_makes_no_unseen_pair():
    scenes = captions.scenes(3000, rng())
    changed, part = captions.edited(scenes, rng(1))
    before, after = captions.captions(scenes), captions.captions(changed)
    kinds = [captions.THICKNESS, captions.COLOURS, captions.DIGITS, captions.TILTS]
    kinds = [set(captions.PLACES), *map(set, kinds)]
    same = 0
    for old, new, k in zip(before, after, part.tolist(), strict=True):
        a, b = (line.replace("tilted ", "tilted_").split() for line in (old, new))
        if k == THERE and "above" in old:  # the same words in another order
            assert sorted(a) == sorted(b)
            assert " ".join(a).split(" above ") == " ".join(b).split(" above ")[::-1]
            same += a == b
            continue
        (word,) = [(x, y) for x, y in zip(a, b, strict=True) if x != y]
        assert {x.replace("_", " ") for x in word} <= kinds[k]
    assert same < 5  # twins that change places
    there = changed[changed[..., THERE] > 0]
    assert not captions.unseen(there[:, DIGIT], there[:, COLOUR]).any()
    assert torch.bincount(part, minlength=5).min() > 400
    _, part = captions.edited(scenes, rng(1), (0, 0, 1, 3, 0))
    assert 0.72 < (part == DIGIT).float().mean() < 0.78
    assert ((part == DIGIT) | (part == COLOUR)).all()


def test_tokens_are_the_words_and_nothing_is_lost():
    lines = ["A thin red seven, tilted left, at the top", "a a"]
    rows = captions.tokens(lines)
    assert rows.shape == (2, LENGTH)
    assert captions.words(rows[0]) == "a thin red seven tilted left at the top"
    assert rows[1].tolist() == [1, 1] + [0] * (LENGTH - 2)


def test_what_is_no_caption_is_refused_in_a_sentence():
    with pytest.raises(GancourseError, match=r"“purple”.*nothing was drawn.*magenta"):
        captions.tokens(["a thin purple seven"])
    with pytest.raises(GancourseError, match="0 words"):
        captions.tokens([" , "])
    with pytest.raises(GancourseError, match="14 words"):
        captions.tokens(["a " * 14])
    for line in ["a red seven", "a thin red seven upright", "seven"]:
        with pytest.raises(GancourseError, match="not built like a caption"):
            captions.read([line])
    with pytest.raises(GancourseError, match="pairs is 'new'"):
        captions.scenes(3, rng(), "new")


# ------------------------------------------------------------------ pictures


def picture(line, seed=0):
    return paint(captions.read([line]), handwriting("test"), rng(seed))[0]


def test_an_object_has_its_colour_and_lies_in_its_place():
    for seed in range(5):
        red = picture("a bold red seven upright at the top", seed)
        assert red.dtype == torch.uint8 and red.shape == (3, 32, 16)
        assert red[0].max() == 255 and red[1].max() == red[2].max() == 64
        assert red[:, 16:].max() == 0
        both = picture("a bold red seven upright above a bold blue one upright", seed)
        assert both[2, :16].max() == 64 and both[2, 16:].max() == 255


def test_bold_has_more_ink_than_thin_and_strokes_follow_the_skeleton():
    digits = handwriting("test").images[:200]
    ink = caption_paint.strokes(digits)
    assert ((ink == 0) | (ink == 1)).all()
    thin, bold = ink.sum((2, 3)).T
    assert (bold > 1.5 * thin).all()
    # a dot in the middle: its pens are 2 x 2, and 4 x 4 without the corners
    dot = torch.zeros(1, 1, 28, 28, dtype=torch.uint8)
    dot[0, 0, 14, 10] = 255
    assert caption_paint.strokes(dot).sum((2, 3)).tolist() == [[4, 12]]


def slope(stroke):
    """dx/dy of the ink of (H, W), by least squares."""
    y, x = torch.meshgrid(*map(torch.arange, stroke.shape), indexing="ij")
    w = stroke / stroke.sum()
    x, y = x - (w * x).sum(), y - (w * y).sum()
    return ((w * x * y).sum() / (w * y * y).sum()).item()


def test_tilted_left_leans_left_whatever_the_writer_did():
    ones = data.Digits(
        *(part[data.digits("test").labels == 1] for part in data.digits("test"))
    )
    ink = caption_paint.strokes(ones.images[:60])[:, 0]
    slopes = []
    for tilt in range(3):
        drawn = caption_paint.placed(ink, torch.full((60,), tilt), rng())
        slopes.append(torch.tensor([slope(one) for one in drawn]))
    left, upright, right = slopes  # y runs down: leaning left is a positive slope
    assert left.min() > 0.25 and right.max() < -0.25 and upright.abs().max() < 0.25


def test_the_handwriting_is_left_to_chance():
    line = "a thin red seven upright at the top"
    drawn = torch.stack([picture(line, seed)[0] for seed in range(20)])
    assert len(drawn.flatten(1).unique(dim=0)) == 20
    assert torch.equal(picture(line, 3), picture(line, 3))


def test_players_judge_and_test_share_no_handwriting():
    players, theirs = handwriting("players"), handwriting("judge")
    assert len(players.images) + len(theirs.images) == 60_000
    assert torch.equal(players.images[-1], data.digits("train").images[19_999])
    assert torch.equal(theirs.images[0], data.digits("train").images[20_000])
    assert torch.equal(handwriting("test").images, data.digits("test").images)


# ------------------------------------------------------------------ the judge


def test_agreement_counts_what_it_says():
    told = captions.scenes(4, rng())

    def parrot(wrong):
        """A judge that answers what the scenes say, but for the given parts."""
        objects = told.clone()
        for i, slot, k in wrong:
            objects[i, slot, k] = (objects[i, slot, k] + 1) % [
                *captions.PARTS.values()
            ][k]
        flat = objects.flatten(0, 1)
        hot = [
            torch.nn.functional.one_hot(flat[:, k], count)
            for k, count in enumerate(captions.PARTS.values())
        ]
        return lambda x: torch.cat(hot, 1).float()

    pictures = torch.zeros(4, 3, 32, 16)
    perfect = agreement(parrot([]), pictures, told)
    assert set(perfect.values()) == {1.0}
    slot = 1 - told[0, 0, THERE].item()
    named = told[..., THERE].sum().item()
    one = agreement(parrot([(0, slot, COLOUR), (0, slot, DIGIT)]), pictures, told)
    assert one["colour"] == one["digit"] == pytest.approx(1 - 1 / named)
    assert one["tilt"] == one["place"] == 1 and one["all"] == 0.75
    assert one["mean"] == pytest.approx((3 + 2 * one["colour"]) / 5)


def test_the_embedded_judge_reads_real_pictures_of_other_hands():
    told = captions.scenes(1000, rng(5), "all")
    real = data.to_unit(paint(told, handwriting("test"), rng(6)))
    shares = agreement(judge(), real, told)
    assert shares["place"] == 1 and shares["mean"] > 0.96, shares
    assert min(shares["thickness"], shares["colour"]) > 0.98, shares
    unseen = captions.scenes(1000, rng(7), "unseen")
    real = data.to_unit(paint(unseen, handwriting("test"), rng(8)))
    assert agreement(judge(), real, unseen)["mean"] > 0.96  # as good on these pairs


def test_the_judge_sees_nothing_in_an_empty_picture():
    assert seen(judge(), -torch.ones(2, 3, 32, 16)).abs().max() == 0


def test_a_judge_learns_from_its_scenes():
    told = captions.scenes(300, rng(5), "all")
    real = data.to_unit(paint(told, handwriting("test"), rng(6)))
    little = caption_judge.train_judge(steps=80, size=1000)
    shares = agreement(little, real, told)
    assert shares["place"] > 0.95 and shares["colour"] > 0.8, shares
    assert not little.training
