"""Bad inputs of every kind, each handled right or refused in one clear sentence.

The tables of pictures are in test_c_images.py, of downloads in test_b_data.py, of
answers in test_e_answers.py; here are data, settings, models and the command line. No
input may take longer than ten seconds, and 95 of 100 must be done within two.
"""

import math
from pathlib import Path

import numpy as np
import torch
from counts import count
from limits import limit, percentile_95
from test_cli import WRONG, assert_one_sentence

from gancourse import (
    captions,
    cli,
    data,
    evaluation,
    facades,
    losses,
    pairs,
    restorers,
    style,
    stylers,
    training,
)
from gancourse.errors import GancourseError
from gancourse.models import dcgan, superres, transform, unet, vgg

Z = torch.zeros
NAN = math.nan


def all_refused(cases: dict, assert_clear, row: str) -> None:
    """Each call of `cases` raises one clear sentence, soon; the others are told."""
    taken, wrong = [], {}
    for name, call in cases.items():
        try:
            with limit(10, taken):
                call()
            wrong[name] = "was accepted"
        except GancourseError as error:
            try:
                assert_clear(error)
            except AssertionError as unclear:
                wrong[name] = str(unclear)[:200]
        except Exception as error:
            wrong[name] = f"{type(error).__name__}: {str(error)[:100]}"
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert percentile_95(taken) < 2
    count(row, "bad inputs", len(cases))


def with_each(call, values) -> dict:
    """{"call of value": a call of it} for a table."""
    name = call.__name__
    return {
        f"{name} {v!r}"[:60] + f" ({k})": (lambda v=v: call(v))
        for k, v in enumerate(values)
    }


# ------------------------------------------------------------------ data


def batches_of(real):
    return data.batches(real, 2)


def batches_on(device):
    return data.batches(Z(10), 2, device=device)


def mixture(settings):
    return data.mixture_1d(**settings)


def ring(settings):
    return data.ring(**settings)


def grid(settings):
    return data.grid(**settings)


def resized(size):
    return data.resize(Z(2, 1, 28, 28).byte(), size)


def resized_images(images):
    return data.resize(images, 32)


def facades_of(n_and_size):
    n, size = n_and_size
    return facades.pairs(n, 0, size)


def tokens(line):
    return captions.tokens([line])


DATA = {
    **with_each(data.digits, ["validation", None, 3, "TRAIN", "", True, b"train"]),
    **with_each(data.picture, ["mona-lisa", None, 3, "../fig", "", "fig.jpg", ["fig"]]),
    **with_each(data.asset, ["mnist/none.gz", "../__init__.py", "", None, "/etc"]),
    **with_each(data.photo_patches, [0, -1, 2.5, "64", None, 10**6]),
    **with_each(data.image_folder, [None, 3, [], "nowhere", "x" * 300, "a\0b"]),
    **with_each(data.image_folder, ["/dev/null", "~nobodyhere", "https://a.example"]),
    **with_each(resized, [0, -1, "32", 2.5, None, 10**9]),
    **with_each(resized_images, [Z(28, 28), Z(2, 28, 28), np.zeros((1, 1, 2, 2))]),
    **with_each(resized_images, [None, Z(0, 1, 28, 28)]),
    **with_each(data.drawn, [[], [[]], [1.0], [[1, 2, 3]], [[0, NAN]], "ab", None]),
    **with_each(ring, [dict(modes=m) for m in (0, -1, "8", 2.5, None)]),
    **with_each(ring, [dict(std=-1), dict(std=NAN), dict(radius=math.inf)]),
    **with_each(grid, [dict(side=0), dict(side=-1), dict(spacing=NAN)]),
    **with_each(mixture, [dict(centers=()), dict(std=-1.0), dict(std=math.inf)]),
    **with_each(
        mixture,
        [
            dict(weights=w)
            for w in ((1.0,), (-1.0, 2.0), (0.0, 0.0), (NAN, 1.0), (math.inf, 1.0))
        ],
    ),
    **with_each(
        batches_of,
        [
            *(None, 3, "digits", {"a": 1}, {1}, [1, "a"], ["a"], (), [[1], [1, 2]]),
            *(np.array(["a"]), np.array([None]), iter([1]), torch.tensor(1.0), Z(0, 1)),
            *(Z(1), Z(4, device="meta"), torch.eye(4).to_sparse(), (Z(4), Z(5))),
            *(torch.full((4,), NAN), torch.full((4, 2), math.inf), (Z(4), Z(4) / 0)),
        ],
    ),
    **with_each(batches_on, ["gpu", None, "cuda:99", "meta", "", -5]),
    **with_each(facades_of, [(0, 64), (-1, 64), (2, 65), (2, "64"), ("2", 64)]),
    **with_each(facades_of, [(2.5, 64), (None, 64), (2, 0), (2, -64)]),
    **with_each(tokens, ["purple cow", "", "a " * 200, "eine rote Sieben"]),
    **with_each(pairs.patches, ["everything", None]),
    **with_each(pairs.photograph, ["nobody", "", None]),
    **with_each(stylers.gallery, ["fig", "", None]),
}


def test_bad_data_are_refused(assert_clear, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    all_refused(DATA, assert_clear, "B")


# ------------------------------------------------------------------ settings


def train_with(setting):
    return training.TrainConfig(**setting)


def style_with(setting):
    return style.StyleConfig(**setting)


WHOLE = [0, -1, 1.5, "8", None, True, NAN, math.inf]
RATES = [0, -1, NAN, math.inf, "fast", None, 1e9]
SETTINGS = {
    **{
        name: call
        for field in ("steps", "batch_size", "d_steps", "log_every")
        for name, call in with_each(train_with, [{field: v} for v in WHOLE]).items()
    },
    **with_each(train_with, [{"g_lr": v} for v in RATES]),
    **with_each(train_with, [{"d_lr": v} for v in RATES]),
    **with_each(train_with, [{"seed": v} for v in (-1, 1.5, "abc", None, 2**70)]),
    **with_each(train_with, [{"ema": v} for v in (-1, 1, 2, NAN, "a", None)]),
    **with_each(train_with, [{"decay": v} for v in (-1, 2, NAN, "a", None)]),
    **with_each(train_with, [{"precision": v} for v in ("int8", None, 16, "FP16")]),
    **with_each(
        train_with, [{"betas": v} for v in ((1, 1), (0.5,), "a", None, (-1, 0.5))]
    ),
    **with_each(training.pick_device, ["tpu", None, 3, "cuda:x", "cuda:99", "", "7"]),
    **with_each(training.pick_device, ["cpu:7", "mps:5", "CPU"]),
    **with_each(style_with, [{"size": v} for v in (0, 31, 2.5, "320", None)]),
    **with_each(style_with, [{"steps": v} for v in (0, "a", None)]),
    **with_each(style_with, [{"levels": v} for v in (0, 1.5, None)]),
    **with_each(style_with, [{"style_weight": v} for v in (-1, NAN, "a", None)]),
    **with_each(style_with, [{"style_scale": v} for v in (0, -1, "a", NAN)]),
    **with_each(style_with, [{"optimizer": v} for v in ("sgd", None)]),
    **with_each(style_with, [{"start": v} for v in ("noisy", None)]),
    **with_each(style_with, [{"content_layers": v} for v in (None, 3, "conv4_1", [3])]),
}


def test_bad_settings_are_refused(assert_clear):
    all_refused(SETTINGS, assert_clear, "D")


# ------------------------------------------------------------------ models

BAD_PICTURES = [
    *(Z(1, 1, 32, 32), Z(3, 32, 32), Z(1, 32, 32, 3), Z(32, 32), Z(0, 3, 32, 32)),
    *(Z(1, 3, 32, 32).byte(), Z(1, 3, 32, 32).long(), Z(1, 3, 32, 32) + 1j),
    *(np.zeros((1, 3, 32, 32), np.float32), None, [[1.0]], "fig"),
]


def to_unet(x):
    return unet.UNet(3, 3, 8, 3)(x)


def to_critic(x):
    return unet.PatchCritic(3, 8, 2)(x)


def to_stylenet(x):
    return transform.StyleNet(8, 1)(x)


def to_restorer(x):
    return superres.Restorer(2, 1, 8, 1)(x)


def to_folding_restorer(x):
    return superres.Restorer(1, 2, 8, 1)(x)


def layers(names):
    return vgg.VGG((1, 1))(Z(1, 3, 32, 32), names)


def dcgan_of(size):
    return dcgan.DCGANGenerator(size=size)


def smaller(factor):
    return pairs.downsample(Z(1, 3, 10, 14), factor)


FIVE = Z(5, 10)
MODELS = {
    **with_each(to_unet, BAD_PICTURES),
    **with_each(to_critic, [*BAD_PICTURES, Z(1, 3, 8, 8)]),
    **with_each(to_stylenet, [*BAD_PICTURES, Z(1, 3, 8, 64)]),
    **with_each(to_restorer, BAD_PICTURES),
    **with_each(to_folding_restorer, [Z(1, 3, 31, 32), Z(1, 3, 32, 31)]),
    **with_each(layers, [[], ["relu4"], ["conv9_9"], "conv3_1", ["conv1_1", ""]]),
    **with_each(dcgan_of, [0, 27, 30, 128, -64]),
    **with_each(evaluation.features, BAD_PICTURES),
    **with_each(evaluation.features, [Z(4, 1, 28, 27), Z(2, 1, 28, 28) / 0]),
    **with_each(smaller, [3, 4]),
    **with_each(restorers.player, ["x5", "", None]),
    "frechet of one": lambda: evaluation.frechet(Z(1, 10), FIVE),
    "frechet of other widths": lambda: evaluation.frechet(Z(5, 9), FIVE),
    "frechet of no numbers": lambda: evaluation.frechet(FIVE / 0, FIVE),
    "frechet of pictures": lambda: evaluation.frechet(Z(5, 1, 28, 28), FIVE),
    "ssim of other shapes": lambda: evaluation.ssim(Z(1, 1, 9, 9), Z(1, 1, 9, 8)),
    "psnr of other shapes": lambda: evaluation.psnr(Z(1, 1, 9, 9), Z(2, 1, 9, 9)),
    "penalty of other numbers": lambda: losses.interpolate(Z(4, 2), Z(3, 2), None),
}


def test_bad_inputs_of_models_are_refused(assert_clear):
    all_refused(MODELS, assert_clear, "D")


# ------------------------------------------------------------------ command line

NUMBERS = ["-1", "1.5", "abc", "", "nan", "1e3", "0x10", "９" * 30, " ", "--steps"]
NUMBERED = {  # all but --seed also refuse 0
    "train mlp": ["--steps", "--save-every", "--batch-size", "--seed"],
    "sample run --out a.png": ["--n", "--seed", "--label"],
    "style file file --out a.png": ["--size", "--steps"],
    "run": ["--jobs", "--cell-seconds", "--seed"],
    "start": ["--port"],
    "bands 01": ["--runs"],
}
COMMANDS = [
    *(
        [*command.split(), option, number]
        for command, options in NUMBERED.items()
        for option in options
        for number in NUMBERS + ["0"] * (option not in ("--seed", "--label"))
    ),
    *(["train", "mlp", "--lr", v] for v in ("0", "-1", "nan", "inf", "fast", "")),
    ["train", "mlp", "--lr", "1e999"],
    *(["train", game] for game in ("chess", "MLP", "", "mlp2", "../mlp")),
    *(["train", "mlp", "--precision", v] for v in ("int8", "", "fp64", "FP16")),
    *(["train", "mlp", "--device", v] for v in ("tpu", "", "cuda:x", "cuda:99", "7")),
    *(["train", "dcgan", "--data", v] for v in ("nowhere", "file", "empty", "x" * 300)),
    *(["train", "mlp", "--save", v] for v in ("file", "file/run", "x" * 300)),
    *(["sample", "run", "--out", v] for v in ("a.jpg", "a", "", ".png", "a.png.gif")),
    *(["sample", v, "--out", "a.png"] for v in ("nowhere", "file", "empty", "x" * 300)),
    *(["style", v, "file", "--out", "a.png"] for v in ("no.jpg", "empty", "file", "")),
    *(["style", "file", "file", "--out", v] for v in ("a.gif", "a", "", "a.txt")),
    ["style", "https://example.org/cat.jpg", "file", "--out", "a.png"],
    ["style", "file", "file", "--out", "a.png", "--method", "magic"],
    *(["run", v] for v in ("77", "abc", "-5", "", "0 1", "../77")),
    *(["run", "--profile", v] for v in ("fast", "", "CPU")),
    *(["start", v] for v in ("77", "abc")),
    *(["start", "--port", v] for v in ("65536", "99999", "10" * 20)),
    *(["bands", v] for v in ("77", "abc")),
    ["bands"],
    ["bands", "01", "--precision", "int8"],
    ["grade", "nowhere", "--out", "marks.csv"],
    ["grade", "file", "--out", "marks.csv"],
    ["grade", "empty"],
    ["site", "--out", "file"],
    ["run", "01", "--out", "file"],
    ["start", "--dir", "file"],
    *([command, "--none"] for command in ("doctor", "run", "site", "release")),
    *([command, "one", "two", "three"] for command in ("doctor", "site", "release")),
    *([command] for command in ("train", "sample", "style", "grade", "paint", "--x")),
    [],
]


def test_every_wrong_command_costs_one_sentence_and_exit_2(
    tmp_path, monkeypatch, capfd
):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    wrong, taken = {}, []
    for arguments in COMMANDS:
        name = " ".join(arguments)[:80]
        try:
            with limit(10, taken):
                status = cli.main(arguments)
        except SystemExit as stop:
            status = stop.code
        except Exception as error:
            status = f"{type(error).__name__}: {str(error)[:100]}"
        try:
            assert status == 2, status
            assert_one_sentence(capfd.readouterr().err)
        except AssertionError as unclear:
            wrong[name] = str(unclear)[:300]
    assert not wrong, "\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert {p.name for p in Path().iterdir()} == {"file", "empty"}, "left something"
    assert (tmp_path / "file").read_text() == "mine"
    assert percentile_95(taken) < 2
    count("G", "bad inputs", len(COMMANDS))


# ------------------------------------------------------------------ all of them


def test_there_are_three_hundred_different_ones():
    import test_b_data as b
    import test_c_images as c

    tables = [DATA, SETTINGS, MODELS, b.FAILS, b.EVIL, b.NO_VGG]
    tables += [c.NO_PICTURES, c.PATHS, c.NO_TENSORS, c.NOT_TO_WRITE]
    commands = {tuple(arguments) for arguments in COMMANDS}
    commands |= {tuple(arguments) for arguments, _ in WRONG.values()}
    assert len(DATA) >= 60 and len(MODELS) >= 60 and len(commands) >= 100
    assert sum(map(len, tables)) + len(commands) >= 300
