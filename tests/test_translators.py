"""Translators in a terminal: trained on one split, drawn from the other."""

import numpy as np
import pytest
import torch
from PIL import Image

from gancourse import checkpoints, cli, data, facades, pairs, translators
from gancourse.errors import GancourseError

QUICK = ["--device", "cpu", "--precision", "fp32", "--batch-size", "2"]


@pytest.fixture(autouse=True)
def few_facades(monkeypatch):
    """A dozen façades instead of a thousand: what is tested does not depend on it."""
    painted = facades.pairs
    drawn = facades.paints
    monkeypatch.setattr(facades, "paints", lambda n, *a: drawn(min(n, 12), *a))
    monkeypatch.setattr(
        facades, "pairs", lambda n, *a, **k: painted(min(n, 12), *a, **k)
    )


def train(folder, game, *more) -> int:
    return cli.main(["train", game, "--save", str(folder), *QUICK, *more])


GAMES = {
    "pix2pix": ("pix2pix", [], (64, 64)),
    "prints": ("cyclegan", [], (96, 96)),
    "digits": ("cyclegan", ["--data", "digits"], (28, 28)),
    "x4": ("enhance", ["--data", "x4"], (64, 64)),
    "colour": ("enhance", ["--data", "colour"], (64, 64)),
}


@pytest.mark.parametrize("case", GAMES)
def test_a_translator_is_trained_and_draws_from_held_out_inputs(case, tmp_path, capsys):
    game, more, (height, width) = GAMES[case]
    assert train(tmp_path / "run", game, "--steps", "2", *more) == 0
    assert (tmp_path / "run" / "samples.png").is_file()
    draw = ["sample", str(tmp_path / "run"), "--n", "3", "--out"]
    for name in ("a.npz", "a.png", "a.safetensors"):
        assert cli.main([*draw, str(tmp_path / name)]) == 0
    drawn = np.load(tmp_path / "a.npz")["images"]
    assert drawn.shape == (3, height, width, 3) and drawn.dtype == np.uint8
    grid = np.array(Image.open(tmp_path / "a.png"))  # 2 × 2, an input beside each
    assert grid.shape == (2 * (height + 1) + 1, 2 * (2 * width + 1) + 1, 3)
    assert (grid[1 : 1 + height, 1 + width : 1 + 2 * width] == drawn[0]).all()


def test_a_resumed_translator_is_the_one_that_was_never_stopped(tmp_path):
    straight, twice = tmp_path / "a", tmp_path / "b"
    assert train(straight, "pix2pix", "--steps", "4") == 0
    assert train(twice, "pix2pix", "--steps", "2") == 0
    assert train(twice, "pix2pix", "--steps", "4") == 0
    one, other = (
        checkpoints.latest(folder)["generators"] for folder in (straight, twice)
    )
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_other_data_do_not_continue_a_run(tmp_path, capsys):
    assert train(tmp_path, "enhance", "--steps", "1", "--data", "noise") == 0
    assert train(tmp_path, "enhance", "--steps", "2", "--data", "dark") == 2
    said = capsys.readouterr().err
    assert "noise" in said and "Choose another --save" in said


def test_held_out_inputs_are_none_that_was_trained_on():
    recipe = translators.describe("pix2pix", None)
    inputs, shown = translators.held_out(recipe, 8, 0)
    trained = facades.condition(facades.pairs(12, translators.PLANS).labels)
    apart = torch.cdist(inputs[:, :10].flatten(1), trained.flatten(1))
    assert apart.min() > 1 and shown.shape == (8, 3, 64, 64)
    photographs = pairs.patches("held-out", 64, 64)
    _, shown = translators.held_out(translators.describe("enhance", "noise"), 5, 1)
    damaged = pairs.degraded("noise", photographs, 1_000_003)
    assert all((picture == damaged).flatten(1).all(1).any() for picture in shown)


def test_inputs_come_again_only_when_all_were_there():
    images = torch.arange(5)[:, None]
    drawn = translators._some(images, 12, 3).flatten().tolist()
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == [0, 1, 2, 3, 4]
    assert drawn != translators._some(images, 12, 4).flatten().tolist()


def test_batches_are_conditions_with_their_pictures():
    recipe = translators.describe("pix2pix", "facades")
    x, y = translators.batches(recipe, 4, 0, torch.device("cpu"))[1]
    assert x.shape == (4, recipe["channels"], 64, 64) and y.shape == (4, 3, 64, 64)
    labels, pictures = facades.pairs(12, translators.PLANS)
    conditions = facades.condition(labels, facades.paints(12, translators.PLANS))
    for one, picture in zip(x, y, strict=True):
        (row,) = (pictures == data.to_uint8(picture)).flatten(1).all(1).nonzero()
        assert torch.equal(conditions[row.item()], one)


@pytest.mark.parametrize("game", translators.NAMES)
def test_data_of_another_game_are_refused_in_a_sentence(game):
    with pytest.raises(GancourseError, match="Choose --data"):
        translators.describe(game, "moons")
