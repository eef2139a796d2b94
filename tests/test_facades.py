"""Façades: the map says where, the look says how, and the map can be read off again."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from gancourse import data, facades
from gancourse.errors import GancourseError
from gancourse.facade_paint import Canvas, clouds, look, paint
from gancourse.facade_plan import (
    BALCONY,
    CORNICE,
    DOOR,
    NAMES,
    SKY,
    STREET,
    WALL,
    WINDOW,
    layout,
)


@pytest.fixture(scope="module")
def some() -> facades.Facades:
    return facades.pairs(24, seed=7)


# ------------------------------------------------------------------ plans


def test_every_building_has_walls_windows_one_door_and_stands_on_a_street():
    for k in range(200):
        plan = layout(np.random.default_rng(k))
        labels = plan.labels
        assert labels.shape == (64, 64)
        assert (labels[-1] == STREET).all()
        assert (labels[0] == SKY).sum() > 40
        assert {WALL, WINDOW, DOOR, CORNICE} <= set(np.unique(labels))
        assert sum(label == DOOR for label, _ in plan.parts) == 1
        rows, columns = np.nonzero(labels == DOOR)
        assert labels[rows.max() + 1, columns[0]] == STREET, "the door is on the ground"
        windows = [box for label, box in plan.parts if label == WINDOW]
        assert len(windows) >= 6
        for top, bottom, left, right in windows:
            assert bottom - top >= 3
            assert right - left >= 3


def test_all_ten_labels_occur_and_no_other(some):
    counts = torch.bincount(facades.pairs(60).labels.flatten().long())
    assert len(counts) == len(NAMES) == len(facades.PALETTE)
    assert (counts > 0).all()


def test_plans_differ():
    plans = {layout(np.random.default_rng(k)).labels.tobytes() for k in range(100)}
    assert len(plans) == 100


# ------------------------------------------------------------------ pictures


def test_pairs_are_a_function_of_seed_and_number_alone(some):
    again = facades.pairs(3, seed=7)
    assert torch.equal(again.labels, some.labels[:3])
    assert torch.equal(again.pictures, some.pictures[:3])
    other = facades.pairs(3, seed=8)
    assert (other.labels != again.labels).any()


def test_one_map_has_many_pictures():
    labels, pictures = facades.looks(6, seed=1)
    assert (labels == labels[0]).all()
    apart = [(a.float() - b.float()).abs().mean() for a, b in pairwise(pictures)]
    assert min(apart) > 8  # grey values of 255, on average over all pixels


def test_the_same_buildings_can_be_painted_in_other_looks(some):
    other = facades.pairs(6, seed=7, look_seed=1)
    assert torch.equal(other.labels, some.labels[:6])
    apart = (other.pictures.float() - some.pictures[:6].float()).abs().mean((1, 2, 3))
    assert apart.min() > 4


def test_the_paint_is_what_the_wall_is_painted_with(some):
    walls = facades.paints(24, seed=7)
    assert walls.shape == (24, 3) and walls.abs().max() <= 1
    pictures = data.to_unit(some.pictures)
    inside = (some.labels == facades.NAMES.index("wall"))[:, None].float()
    seen = (pictures * inside).sum((2, 3)) / inside.sum((2, 3))
    own = (seen - walls).norm(dim=1)
    other = torch.stack([(seen - walls.roll(k, 0)).norm(dim=1) for k in range(1, 24)])
    assert own.mean() < 0.6 * other.mean()  # light and shadow change it
    # another look of the same building keeps its paint
    again = data.to_unit(facades.pairs(24, seed=7, look_seed=3).pictures)
    repainted = (again * inside).sum((2, 3)) / inside.sum((2, 3))
    assert (repainted - walls).norm(dim=1).mean() < 0.6 * other.mean()
    # and `looks` takes the one that it is given
    blue = facades.looks(5, 1, wall=torch.tensor([-0.8, -0.8, 0.9]))
    wall = blue.labels == facades.NAMES.index("wall")
    red, _, blue = (blue.pictures[:, c][wall].float().median() for c in range(3))
    assert blue > red + 50


def test_the_chip_is_three_planes_and_colours_the_map(some):
    walls = torch.tensor([[0.5, -0.5, 1.0]]).expand(24, 3)
    planes = facades.condition(some.labels, walls)
    assert torch.equal(planes[:, :10], facades.condition(some.labels))
    assert torch.equal(planes[:, 10:], walls[:, :, None, None].expand(-1, -1, 64, 64))
    maps, inside = facades.coloured(some.labels, walls), some.labels == 2
    assert maps[:, 2][inside].eq(255).all() and maps[:, 1][inside].eq(64).all()
    plain = facades.coloured(some.labels)
    outside = ~inside[:, None].expand_as(plain)
    assert torch.equal(maps[outside], plain[outside])


def test_a_larger_picture_shows_the_same_building():
    small, large = facades.pairs(4, 3), facades.pairs(4, 3, size=128)
    assert torch.equal(small.labels, large.labels[:, ::2, ::2])
    reduced = torch.nn.functional.avg_pool2d(large.pictures.float(), 2)
    difference = (reduced - small.pictures.float()).abs().mean()
    assert difference < 12


def test_windows_are_darker_than_white_trim_and_shadows_fall_with_the_sun():
    rng = np.random.default_rng(0)
    plan = layout(rng)
    bright = look(np.random.default_rng(1))
    picture = paint(plan, bright, rng, 64).astype(float).mean(-1)
    assert picture[plan.labels == WINDOW].mean() < picture[plan.labels == SKY].mean()
    assert picture[plan.labels == WINDOW].std() > 10  # frames, panes, reflections


def test_what_stands_in_front_hides_part_of_the_building_and_is_not_in_the_map():
    from dataclasses import replace

    plan, plain = layout(np.random.default_rng(0)), look(np.random.default_rng(0))
    free, tree = (
        paint(plan, replace(plain, front=front), np.random.default_rng(2), 64)
        for front in ("nothing", "tree")
    )
    changed = (np.abs(free.astype(int) - tree).max(-1) > 40).mean()
    assert 0.01 < changed < 0.15


def test_canvas_addresses_units_and_cuts_at_its_border():
    canvas = Canvas(64)
    canvas.fill((1, 2, -3, 1), (1, 1, 1))
    assert canvas.pixels.sum() == 2 * 2 * 3  # two pixels a unit, only one column inside
    canvas.shade((1, 2, 0, 1), 0.5)
    assert canvas.pixels.max() == 0.5
    noise = clouds(np.random.default_rng(0), 128, 6)
    assert noise.shape == (128, 128)
    assert np.abs(np.diff(noise)).max() < 0.5  # smooth


@pytest.mark.parametrize(("n", "size"), [(0, 64), (1, 63), (1, 100), (1, 32)])
def test_sizes_that_do_not_fit_the_grid_are_refused(n, size, assert_clear):
    with pytest.raises(GancourseError) as caught:
        facades.pairs(n, size=size)
    assert_clear(caught.value, str(size))


# ------------------------------------------------------------------ for the players


def test_the_condition_is_one_plane_a_label_of_plus_and_minus_one(some):
    planes = facades.condition(some.labels)
    assert planes.shape == (24, len(NAMES), 64, 64)
    assert set(planes.unique().tolist()) == {-1.0, 1.0}
    assert torch.equal(planes.argmax(1), some.labels.long())
    assert ((planes == 1).sum(1) == 1).all()


def test_coloured_maps_can_be_read_back(some):
    pictures = facades.coloured(some.labels)
    palette = torch.tensor(facades.PALETTE)
    back = (pictures[:, None].long() == palette[None, :, :, None, None]).all(2)
    assert torch.equal(back.long().argmax(1), some.labels.long())


# ------------------------------------------------------------------ reading them


def test_the_segmenter_reads_painted_façades_that_it_was_not_trained_on(some):
    assert facades.recovery(some.pictures, some.labels) > 0.93


def test_recovery_of_a_wrong_map_or_of_no_picture_is_low(some):
    wrong = some.labels.roll(1, 0)
    assert facades.recovery(some.pictures, wrong) < 0.85
    grey = torch.full((4, 3, 64, 64), 128, dtype=torch.uint8)
    assert facades.recovery(grey, some.labels[:4]) < 0.6


def test_larger_pictures_are_read_after_averaging_them_down():
    labels, pictures = facades.pairs(8, 3, size=128)
    assert facades.recovery(data.to_unit(pictures), labels) > 0.9


def test_every_label_is_found_at_least_half_the_time(some):
    seen = facades.read(some.pictures)
    for label, name in enumerate(NAMES):
        there = some.labels == label
        share = (seen[there] == label).float().mean()
        assert share > (0.5 if label != BALCONY else 0.4), name


def test_what_is_no_façade_is_refused(assert_clear):
    with pytest.raises(GancourseError) as caught:
        facades.read(torch.zeros(1, 3, 60, 64))
    assert_clear(caught.value, "60")
