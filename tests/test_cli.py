"""The `gancourse` command, run as a person runs it."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from gancourse import GancourseError, cli, course, data, play, workcopy
from gancourse.play import GAMES

COMMAND = [sys.executable, "-m", "gancourse"]
TRAIN = ["train", "mlp", "--batch-size", "8", "--device", "cpu", "--precision", "fp32"]


def interruptible() -> None:
    """Ctrl-C works in the child even when this process was started with `&`."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def gancourse(folder: Path, *arguments, prefix=(), **variables: str):
    """The finished command, its output as text."""
    return subprocess.run(
        [*prefix, *COMMAND, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )


def assert_one_sentence(text: str) -> None:
    """The message contract: short, no traceback, and it ends with what to do."""
    lines = text.strip().splitlines()
    assert len(lines) == 1, text
    assert len(lines[0]) <= 400
    assert not re.search(r"Traceback|Error:|weights_only|miniz|site-packages", text)
    verbs = (
        "Run|Choose|Use|Name|Give|Train|Leave|Install|Free|Clone|Commit|Set|Resize|Save"
    )
    assert re.search(rf"(^|[.;:] |, or ){'('}{verbs}{')'} ", lines[0]), lines[0]


# ------------------------------------------------------------------ wrong usage

WRONG = {
    "no command": ([], "COMMAND"),
    "unknown command": (["paint"], "'paint'"),
    "unknown option": (["train", "mlp", "--stepz", "3"], "--stepz"),
    "unknown game": (["train", "chess"], "'chess' is no game"),
    "no steps": (["train", "mlp", "--steps", "0"], "--steps"),
    "half a step": (["train", "mlp", "--steps", "1.5"], "--steps"),
    "negative rate": (["train", "mlp", "--lr", "-1"], "--lr"),
    "rate that is no number": (["train", "mlp", "--lr", "nan"], "--lr"),
    "negative seed": (["train", "mlp", "--seed", "-1"], "--seed"),
    "seed in words": (["sample", "r", "--seed", "abc", "--out", "a.png"], "--seed"),
    "unknown precision": (["train", "mlp", "--precision", "int8"], "int8"),
    "no samples": (["sample", "run", "--n", "0", "--out", "a.png"], "--n"),
    "picture of another kind": (["sample", "run", "--out", "a.jpg"], ".png"),
    "no file to draw into": (["sample", "run"], "--out"),
    "unknown profile": (["run", "--profile", "fast"], "fast"),
    "unknown notebook": (["run", "77"], "'77'"),
    "notebook to start that is not there": (["start", "77"], "'77'"),
    "one run for a band": (["bands", "01", "--runs", "1"], "--runs"),
    "batch of one": (["train", "mlp", "--batch-size", "1"], "--batch-size 1"),
    "batch larger than the data": (
        ["train", "mlp", "--batch-size", "70000"],
        "70000",
    ),
    "no GPU": (["train", "mlp", "--device", "cuda"], "cuda"),
    "unknown device": (["train", "mlp", "--device", "tpu"], "'tpu'"),
    "data that are not there": (["train", "dcgan", "--data", "nowhere"], "nowhere"),
    "digits for houses": (["train", "pix2pix", "--data", "digits"], "facades or cmp"),
    "a damage that there is not": (["train", "enhance", "--data", "x3"], "'x3'"),
    "no pair for two sets": (["train", "cyclegan", "--data", "facades"], "prints"),
    "more prints than there are": (
        ["train", "cyclegan", "--batch-size", "70000"],
        "70000",
    ),
    "colour for a game of digits": (["train", "mlp", "--data", "photos"], "mlp"),
    "no labels for a game that needs them": (
        ["train", "conditional", "--data", "photos"],
        "'photos'",
    ),
    "folder of no run": (["sample", "nowhere", "--out", "a.png"], "nowhere"),
    "a file for a folder": (["train", "mlp", "--save", "file"], "'file'"),
    "folder that cannot be": (["train", "mlp", "--save", "file/run"], "file"),
    "results into a file": (["run", "01", "--out", "file"], "file"),
    "working copy in a file": (["start", "--dir", "file"], "file"),
    "photograph that is not there": (
        ["style", "no.jpg", "file", "--out", "a.png"],
        "no.jpg",
    ),
    "text for a photograph": (["style", "file", "file", "--out", "a.png"], "text"),
    "painting of another kind": (["style", "file", "file", "--out", "a.gif"], "a.gif"),
    "unknown method": (
        ["style", "file", "file", "--out", "a.png", "--method", "magic"],
        "there are gatys, fast, adain",
    ),
    "painting of ten pixels": (
        ["style", "file", "file", "--out", "a.png", "--size", "10"],
        "--size",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_usage_costs_one_sentence_and_exit_2(case, tmp_path, monkeypatch, capfd):
    arguments, named = WRONG[case]
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    if case == "no GPU":
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    # In this process: thirty new ones would take a minute to import torch.
    try:
        status = cli.main(arguments)
    except SystemExit as stop:
        status = stop.code
    said = capfd.readouterr().err
    assert status == 2
    assert_one_sentence(said)
    assert named in said
    assert (tmp_path / "file").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["file"], "left something"


def test_mistake_in_a_shell_gives_exit_2_and_no_traceback(tmp_path):
    done = gancourse(tmp_path, "train", "mlp", "--batch-size", "1")
    assert done.returncode == 2 and done.stdout == ""
    assert_one_sentence(done.stderr)


@pytest.mark.parametrize(
    "command",
    ["start", "doctor", "run", "train", "sample", "style", "bands", "release", "site"],
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    assert f"gancourse {command}" in capsys.readouterr().out


def test_broken_torchvision_is_explained_where_it_hurts(monkeypatch, capsys):
    def broken(*_, **__):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr("gancourse.runs.run", broken)
    assert cli.main(["run"]) == 2
    assert_one_sentence(capsys.readouterr().err)


def test_letters_that_a_terminal_lacks_stop_nothing(tmp_path):
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = gancourse(tmp_path, "sample", "ü", "--out", "a.png", **variables)
    assert done.returncode == 2
    assert_one_sentence(done.stderr)


# ------------------------------------------------------------------ train and sample


def train(folder: Path, *arguments, save: str = "run") -> int:
    """Train in this process; the exit status."""
    with contextlib.chdir(folder):
        return cli.main([*TRAIN, "--save", save, *map(str, arguments)])


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A folder with a run of mlp, 6 steps, in run/."""
    folder = tmp_path_factory.mktemp("trained")
    assert train(folder, "--steps", 6, "--save-every", 2) == 0
    return folder


def test_training_leaves_checkpoints_and_a_picture(trained):
    names = sorted(path.name for path in (trained / "run").glob("*.p*"))
    assert [name[:11] for name in names if name.startswith("step")] == [
        "step0000002",
        "step0000004",
        "step0000006",
    ]
    assert Image.open(trained / "run" / "samples.png").size == (8 * 29 + 1, 8 * 29 + 1)


def test_same_command_continues_to_the_same_total(trained, tmp_path, capsys):
    shutil.copytree(
        trained / "run", tmp_path / "run", ignore=shutil.ignore_patterns(".l*")
    )
    assert train(tmp_path, "--steps", 6) == 0
    assert "Step 6 is done" in capsys.readouterr().out
    assert train(tmp_path, "--steps", 8) == 0
    said = capsys.readouterr().out
    assert "Resumed run at step 6" in said and "Training on cpu in fp32" in said
    assert any((tmp_path / "run").glob("step0000008-*"))


def test_other_settings_are_refused_and_the_run_is_kept(trained, capsys):
    before = {p: p.read_bytes() for p in (trained / "run").glob("step*")}
    for change in (["--lr", "0.1"], ["--batch-size", "16"], ["--seed", "1"]):
        assert train(trained, "--steps", 9, *change) == 2
        assert_one_sentence(capsys.readouterr().err)
    assert {p: p.read_bytes() for p in (trained / "run").glob("step*")} == before


def test_fresh_puts_the_earlier_run_aside(trained, tmp_path, capsys):
    shutil.copytree(
        trained / "run", tmp_path / "run", ignore=shutil.ignore_patterns(".l*")
    )
    (tmp_path / "run" / "my notes.txt").write_text("mine")
    assert train(tmp_path, "--steps", 2, "--fresh") == 0
    assert "run-before-fresh-1" in capsys.readouterr().out
    aside = tmp_path / "run-before-fresh-1"
    assert (aside / "my notes.txt").read_text() == "mine"
    assert any(aside.glob("step0000006-*"))
    assert [p.name[:11] for p in (tmp_path / "run").glob("step*")] == ["step0000002"]


def test_fresh_does_not_move_a_run_that_is_being_trained(trained, tmp_path, capsys):
    """The two runs pruned each other's checkpoints."""
    folder = tmp_path / "run"
    shutil.copytree(trained / "run", folder, ignore=shutil.ignore_patterns(".l*"))
    before = {p: p.read_bytes() for p in folder.glob("step*")}
    code = (
        "import sys; from pathlib import Path; from gancourse import storage\n"
        "storage.lock(Path(sys.argv[1])); print('locked', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as owner:
        assert owner.stdout.readline() == "locked\n"
        assert train(tmp_path, "--steps", 2, "--fresh") == 2
        owner.communicate("\n")
    assert "already training" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in folder.glob("step*")} == before
    assert train(tmp_path, "--steps", 2, "--fresh") == 0


def test_other_pictures_of_the_same_shape_do_not_continue_a_run(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (tmp_path / name).mkdir()
        for k in range(3):
            pixels = rng.integers(0, 255, (70, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{k}.png")
        (tmp_path / name / "notes.txt").write_text("no picture")
    command = ["train", "dcgan", "--batch-size", "2", "--steps", "1", "--save", "run"]
    command += ["--device", "cpu", "--data"]
    with contextlib.chdir(tmp_path):
        assert cli.main([*command, "cats"]) == 0
        capsys.readouterr()
        assert cli.main([*command, "dogs"]) == 2
        said = capsys.readouterr().err.split("\r")[-1]  # after the progress bar
        assert_one_sentence(said)
        assert cli.main(["sample", "run", "--n", "3", "--out", "a.npz"]) == 0
    assert np.load(tmp_path / "a.npz")["images"].shape == (3, 64, 64, 3)


def test_samples_are_a_grid_or_an_array_and_depend_on_the_seed_alone(trained, tmp_path):
    def drawn(*arguments) -> np.ndarray:
        out = tmp_path / "a.npz"
        command = ["sample", str(trained / "run"), "--out", str(out)]
        assert cli.main([*command, *arguments]) == 0
        return np.load(out)["images"]

    images = drawn("--n", "300")
    assert images.shape == (300, 28, 28) and images.dtype == np.uint8
    assert np.array_equal(images, drawn("--n", "300"))
    assert not np.array_equal(images, drawn("--n", "300", "--seed", "1"))
    assert images.std(0).max() > 0, "all samples alike"
    out = tmp_path / "deep" / "a.png"
    assert (
        cli.main(["sample", str(trained / "run"), "--n", "5", "--out", str(out)]) == 0
    )
    grid = np.asarray(Image.open(out))
    assert grid.shape == (2 * 29 + 1, 3 * 29 + 1, 3)
    assert grid[0, 0].tolist() == [128, 128, 128]


def test_samples_come_from_the_averaged_generator(trained, tmp_path):
    import torch

    from gancourse import checkpoints
    from gancourse.models.mlp import MLPGenerator

    contents = checkpoints.latest(trained / "run")
    G = MLPGenerator()
    prefix = "module.G."
    weights = contents["ema"].items()
    G.load_state_dict(
        {k.removeprefix(prefix): v for k, v in weights if k.startswith(prefix)}
    )
    z = torch.randn(4, 100, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = ((G.eval()(z) + 1) * 127.5).round().clamp(0, 255).byte()[:, 0]
    out = tmp_path / "a.npz"
    arguments = ["--n", "4", "--seed", "7", "--out", str(out)]
    assert cli.main(["sample", str(trained / "run"), *arguments]) == 0
    assert np.array_equal(np.load(out)["images"], expected.numpy())


def test_exported_generator_draws_the_same_samples_in_python(trained, tmp_path):
    import torch
    from safetensors.torch import load_file

    from gancourse.models.mlp import MLPGenerator

    run, weights, array = (
        trained / "run",
        tmp_path / "G.safetensors",
        tmp_path / "a.npz",
    )
    assert cli.main(["sample", str(run), "--out", str(weights)]) == 0
    assert cli.main(["sample", str(run), "--n", "2", "--out", str(array)]) == 0
    G = MLPGenerator().eval()
    G.load_state_dict(load_file(weights))
    z = torch.randn(2, 100, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        drawn = ((G(z) + 1) * 127.5).round().clamp(0, 255).byte()[:, 0]
    assert np.array_equal(np.load(array)["images"], drawn.numpy())


def test_labels_are_refused_where_there_are_none(trained, tmp_path, capsys):
    arguments = ["--label", "3", "--out", str(tmp_path / "a.png")]
    assert cli.main(["sample", str(trained / "run"), *arguments]) == 2
    assert_one_sentence(capsys.readouterr().err)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory) -> Path:
    """A folder with a conditional run of two steps."""
    folder = tmp_path_factory.mktemp("labelled") / "run"
    command = ["train", "conditional", "--steps", "2", "--save", str(folder)]
    assert cli.main([*command, *TRAIN[2:]]) == 0
    return folder


def test_a_label_is_what_the_generator_is_given(labelled, tmp_path):
    import torch

    from gancourse import play

    out = tmp_path / "a.npz"
    arguments = ["--n", "12", "--seed", "7", "--out", str(out)]
    assert cli.main(["sample", str(labelled), "--label", "3", *arguments]) == 0
    threes = np.load(out)["images"]
    assert cli.main(["sample", str(labelled), *arguments]) == 0
    in_turn = np.load(out)["images"]
    _, G, _ = play.generator(labelled)
    z = torch.randn(12, 64, generator=torch.Generator().manual_seed(7))
    for images, y in [(threes, torch.full((12,), 3)), (in_turn, torch.arange(12) % 10)]:
        with torch.no_grad():
            assert np.array_equal(images, data.to_uint8(G(z, y))[:, 0].numpy())
    assert not np.array_equal(threes, in_turn)
    assert Image.open(labelled / "samples.png").size == (8 * 29 + 1,) * 2


def test_a_label_that_no_digit_has_costs_a_sentence(labelled, tmp_path, capsys):
    arguments = ["--label", "10", "--out", str(tmp_path / "a.png")]
    assert cli.main(["sample", str(labelled), *arguments]) == 2
    said = capsys.readouterr().err
    assert_one_sentence(said)
    assert "class 10" in said and "0 to 9" in said
    assert not (tmp_path / "a.png").exists()


# ------------------------------------------------------------------ stopped, disk full


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_photograph_is_painted_in_the_manner_of_a_painting(ending, tmp_path, capfd):
    photo = data.asset("photos/sunset.jpg")
    painting = tmp_path / "my painting ü.png"
    Image.open(data.asset("paintings/hokusai-great-wave.jpg")).save(painting)
    out = tmp_path / "new folder" / f"painted.{ending}"
    command = ["style", photo, painting, "--out", out, "--size", "64", "--steps", "3"]
    assert cli.main([str(part) for part in command]) == 0
    assert "(64 x 43 pixels)" in capfd.readouterr().out
    painted = np.asarray(Image.open(out).convert("RGB")).astype(int)
    before = data.read_image(photo, 64).permute(1, 2, 0).numpy().astype(int)
    assert painted.shape == before.shape == (43, 64, 3)
    assert np.abs(painted - before).mean() > 5


@pytest.mark.parametrize("method", ["fast", "adain"])
def test_a_photograph_is_painted_in_one_pass(method, tmp_path, capfd):
    photo, painting = data.asset("photos/sunset.jpg"), tmp_path / "mine.png"
    Image.open(data.asset("paintings/cassatt-summertime.jpg")).save(painting)
    name = "kandinsky-composition-viii" if method == "fast" else painting
    out = tmp_path / "painted.png"
    command = ["style", photo, name, "--out", out, "--size", "96", "--method", method]
    assert cli.main([str(part) for part in command]) == 0
    assert "(96 x 64 pixels)" in capfd.readouterr().out
    painted = np.asarray(Image.open(out).convert("RGB")).astype(int)
    before = data.read_image(photo, 96).permute(1, 2, 0).numpy().astype(int)
    assert painted.shape == before.shape == (64, 96, 3)
    assert np.abs(painted - before).mean() > 5


def painted_with(out, *options) -> np.ndarray:
    """A small photograph as the command paints it with these options, (H, W, 3)."""
    photo = data.asset("photos/sunset.jpg")
    small = ["--out", out, "--size", "64", "--steps", "6"]
    assert cli.main([str(part) for part in ["style", photo, *options, *small]]) == 0
    return np.asarray(Image.open(out).convert("RGB")).astype(float)


def test_paintings_are_mixed_by_weight_and_options_reach_the_descent(tmp_path, capfd):
    wave, street = (
        data.asset(f"paintings/{name}.jpg")
        for name in ("hokusai-great-wave", "vangogh-village-street-auvers")
    )
    out = tmp_path / "painted.png"
    alone = painted_with(out, wave)
    both = painted_with(out, wave, street, "--weights", "1", "3")
    nearly = painted_with(out, wave, street, "--weights", "1", "1e-6")
    far, near = np.abs(both - alone).mean(), np.abs(nearly - alone).mean()
    assert far > 3 and near < far / 3
    for option in (["--keep-colours"], ["--optimizer", "adam"], ["--tv", "50"]):
        assert np.abs(painted_with(out, wave, *option) - alone).mean() > 1, option
    shallow = painted_with(out, wave, "--layers", "conv1_1")
    assert np.abs(shallow - alone).mean() > 1
    kept = painted_with(out, wave, "--keep-colours").mean((0, 1))
    photo = data.read_image(data.asset("photos/sunset.jpg"), 64).float().mean((1, 2))
    assert np.abs(kept - photo.numpy()).max() < 12


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--weights", "1", "2"], "1 paintings and 2 weights"),
        (["--method", "adain", "--weights", "2"], "takes one painting"),
        (["--layers", "conv9_9"], "no layer"),
        (["--net", "vgg11"], "no net"),
    ],
)
def test_options_of_style_that_do_not_fit_cost_a_sentence(
    options, said, tmp_path, capfd
):
    wave = str(data.asset("paintings/hokusai-great-wave.jpg"))
    out = tmp_path / "painted.png"
    photo = str(data.asset("photos/sunset.jpg"))
    command = ["style", photo, wave, "--out", str(out), *options]
    with contextlib.suppress(SystemExit):
        assert cli.main(command) == 2
    heard = capfd.readouterr().err
    assert said in heard and len(heard.splitlines()) == 1
    assert not out.exists()


def test_the_fast_method_knows_the_file_of_a_painting_that_it_has_a_net_for(
    tmp_path, capfd
):
    street = data.asset("paintings/vangogh-village-street-auvers.jpg")
    out = tmp_path / "painted.png"
    by_file = painted_with(out, street, "--method", "fast")
    by_name = painted_with(out, street.stem, "--method", "fast")
    assert (by_file == by_name).all()


def test_a_painting_without_a_net_is_answered_with_those_that_have_one(capfd, tmp_path):
    photo, out = str(data.asset("photos/sunset.jpg")), tmp_path / "painted.png"
    command = ["style", photo, "my.jpg", "--out", str(out), "--method", "fast"]
    assert cli.main(command) == 2
    said = capfd.readouterr().err
    assert "my.jpg" in said and "kandinsky" in said and "adain" in said
    assert not out.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_saves_the_step_at_hand_and_goes_on_later(
    number, tmp_path
):
    command = [*COMMAND, *TRAIN, "--steps", "100000", "--save-every", "3"]
    process = subprocess.Popen(
        [*command, "--save", "run"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=interruptible,
    )
    for line in process.stdout:
        if line.startswith("Saved step"):
            break
    process.send_signal(number)
    said, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    lines = said.strip().splitlines()
    assert lines[-1] == "Run the same command again to continue."
    step = int(re.match(r"Saved step ([\d,]+)", lines[-2])[1].replace(",", ""))
    assert train(tmp_path, "--steps", step + 1) == 0
    assert any((tmp_path / "run").glob(f"step{step + 1:07d}-*"))


def test_failed_save_costs_a_sentence_and_the_exit_status(
    tmp_path, monkeypatch, capsys
):
    import errno

    from gancourse import checkpoints, storage

    write = storage.write_atomically

    def full(path, data):
        if path.suffix == ".pt" and full.on:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    full.on = True
    monkeypatch.setattr(checkpoints.storage, "write_atomically", full)
    assert train(tmp_path, "--steps", 3, "--save-every", 1) == 1
    said = capsys.readouterr().out
    assert said.count("the disk is full") == 3
    assert said.count("Training goes on.") == 2, (
        "the last one has nothing to go on with"
    )
    full.on = False
    assert train(tmp_path, "--steps", 3, "--save-every", 1) == 0


def own_mounts() -> bool:
    try:
        done = subprocess.run(["unshare", "-rm", "true"], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


@pytest.mark.skipif(not own_mounts(), reason="no user namespaces here")
@pytest.mark.parametrize("option", ["size=4m", "ro"])
def test_training_does_not_start_where_it_could_not_be_saved(option, tmp_path):
    script = f'mount -t tmpfs -o {option} none "$0" && exec "$@"'
    (tmp_path / "disk").mkdir()
    prefix = ["unshare", "-rm", "sh", "-c", script, str(tmp_path / "disk")]
    done = gancourse(tmp_path, *TRAIN, "--save", "disk/run", prefix=prefix)
    assert done.returncode == 2, done.stderr
    assert_one_sentence(done.stderr)
    assert "Nothing was started" in done.stderr


# ------------------------------------------------------------------ several processes


@pytest.mark.parametrize("under_torchrun", [False, True])
def test_a_process_of_torchrun_leaves_before_gloo_s_threads_can_end_it(
    under_torchrun, tmp_path
):
    """Once in some fifty runs they aborted a process that had saved everything."""
    program = (
        "import atexit, runpy, sys\n"
        "sys.argv = ['gancourse', 'sample', 'no run', '--out', 'a.png']\n"
        "atexit.register(print, 'Python clears up')\n"
        "runpy.run_module('gancourse', run_name='__main__')"
    )
    several = {"WORLD_SIZE": "1"} if under_torchrun else {}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, **several},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert_one_sentence(done.stderr)
    assert ("Python clears up" in done.stdout) is not under_torchrun


@pytest.mark.full
def test_two_processes_train_together_and_one_of_them_speaks(tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    arguments = [*TRAIN, "--steps", "4", "--save-every", "2", "--save", "run"]
    done = subprocess.run(
        [*torchrun, "-m", "gancourse", *arguments],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Saved step 4") == 1
    assert (
        cli.main(["sample", str(tmp_path / "run"), "--out", str(tmp_path / "a.png")])
        == 0
    )


@pytest.mark.full
@pytest.mark.parametrize("game", GAMES)
def test_two_processes_play_every_game_or_say_why_not(game, tmp_path):
    """CycleGAN's pools have nothing to learn, and ended it in a traceback."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "gancourse", "train", game, "--device", "cpu"]
    command += ["--steps", "2", "--batch-size", "4", "--save", "run"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    played = "Saved step 2" in done.stdout
    assert played or "several CPU processes cannot share" in done.stderr
    assert played or game in ("dcgan", "conditional")


def test_a_batch_that_processes_can_not_share_is_no_matter_of_its_statistics(
    monkeypatch, assert_clear
):
    monkeypatch.setattr(play.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(play.dist, "get_world_size", lambda: 2)
    with pytest.raises(GancourseError) as caught:
        play._check_batch("pix2pix", 5)
    assert "normalises" not in assert_clear(caught.value, "shared equally by 2")


# ------------------------------------------------------------------ run


def test_run_writes_notebooks_pages_and_json(tmp_path, monkeypatch, capsys):
    book = nbformat.v4.new_notebook()
    book.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    good, bad = nbformat.v4.new_code_cell("1 + 1"), nbformat.v4.new_code_cell("1 / 0")
    for name, cell in [("90_good", good), ("91_bad", bad)]:
        book.cells = [cell]
        nbformat.write(book, tmp_path / f"{name}.ipynb")
    monkeypatch.setattr(course, "folder", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    command = ["run", "--profile", "smoke", "--out", "out", "--json", "of/result.json"]
    assert cli.main([*command, "90"]) == 0
    assert cli.main([*command]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
    result = json.loads((tmp_path / "of/result.json").read_text())
    assert result["profile"] == "smoke"
    assert [(b["name"], b["ok"]) for b in result["notebooks"]] == [
        ("90_good", True),
        ("91_bad", False),
    ]
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {
        f"{n}.{e}" for n in ("90_good", "91_bad") for e in ("ipynb", "html")
    }


# ------------------------------------------------------------------ start, working copy


@pytest.fixture
def own_course(tmp_path, monkeypatch) -> Path:
    """A course with two notebooks; its root."""
    root = tmp_path / "course"
    for part, name in [
        ("notebooks", "00_a"),
        ("notebooks", "01_b"),
        ("exercises", "01_b"),
    ]:
        (root / part).mkdir(parents=True, exist_ok=True)
        (root / part / f"{name}.ipynb").write_text(f"{part} {name} version 1")
    monkeypatch.setattr(course, "folder", lambda: root / "notebooks")
    return root


def contents(folder: Path) -> dict[str, str]:
    files = sorted(folder.rglob("*.ipynb"))
    return {p.relative_to(folder).as_posix(): p.read_text() for p in files}


def test_working_copy_holds_notebooks_and_exercises(own_course, tmp_path):
    assert workcopy.update(tmp_path / "mine") == []
    assert contents(tmp_path / "mine") == contents(own_course)


def test_what_the_learner_changed_is_never_overwritten(own_course, tmp_path):
    mine = tmp_path / "mine"
    workcopy.update(mine)
    (mine / "notebooks" / "01_b.ipynb").write_text("my work")
    assert workcopy.update(mine) == []
    (own_course / "notebooks" / "00_a.ipynb").write_text("version 2")
    (own_course / "notebooks" / "01_b.ipynb").write_text("version 2")
    (note,) = workcopy.update(mine)
    assert "01_b.ipynb" in note and "01_b-new.ipynb" in note
    now = contents(mine)
    assert now["notebooks/00_a.ipynb"] == "version 2", "untouched files are renewed"
    assert now["notebooks/01_b.ipynb"] == "my work"
    assert now["notebooks/01_b-new.ipynb"] == "version 2"
    assert workcopy.update(mine) == [], "a version is offered once"
    (mine / "notebooks" / "01_b-new.ipynb").write_text("my work on version 2")
    (own_course / "notebooks" / "01_b.ipynb").write_text("version 3")
    workcopy.update(mine)
    now = contents(mine)
    assert now["notebooks/01_b.ipynb"] == "my work"
    assert now["notebooks/01_b-new.ipynb"] == "my work on version 2"
    assert now["notebooks/01_b-new-2.ipynb"] == "version 3"


def test_files_that_stood_there_before_are_kept(own_course, tmp_path):
    theirs = tmp_path / "mine" / "notebooks" / "00_a.ipynb"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("something else")
    workcopy.update(tmp_path / "mine")
    assert theirs.read_text() == "something else"
    assert theirs.with_name("00_a-new.ipynb").read_text() == "notebooks 00_a version 1"


def test_lost_or_damaged_record_overwrites_nothing(own_course, tmp_path):
    mine = tmp_path / "mine"
    workcopy.update(mine)
    (mine / "notebooks" / "01_b.ipynb").write_text("my work")
    for damage in ("", "{", "[1]", '{"notebooks/01_b.ipynb": 3}'):
        (mine / workcopy.MANIFEST).write_text(damage)
        workcopy.update(mine)
        assert (mine / "notebooks" / "01_b.ipynb").read_text() == "my work"


def test_deleted_notebook_comes_back(own_course, tmp_path):
    workcopy.update(tmp_path / "mine")
    (tmp_path / "mine" / "notebooks" / "00_a.ipynb").unlink()
    workcopy.update(tmp_path / "mine")
    assert contents(tmp_path / "mine") == contents(own_course)


def test_course_itself_is_no_working_copy(own_course):
    with pytest.raises(GancourseError, match="--here"):
        workcopy.update(own_course)


def test_taken_port_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["start", "--port", str(port)]) == 2
    assert_one_sentence(capsys.readouterr().err)


def status_of(address: str) -> int:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def test_start_on_windows_waits_for_the_lab_and_leaves_ctrl_c_to_it(
    tmp_path, monkeypatch
):
    """exec there gives the terminal back at once, and splits a path at its spaces."""
    begun = []

    class Lab:
        def __init__(self, command, env):
            begun.append(command)
            self.interrupts = 2

        def wait(self):
            self.interrupts -= 1
            if self.interrupts >= 0:
                raise KeyboardInterrupt
            return 0

    folder = tmp_path / "Ann Lee"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr(cli.sys, "platform", "win32")
    monkeypatch.setattr(cli.subprocess, "Popen", Lab)
    assert cli.main(["start", "01", "--no-browser"]) == 0
    (command,) = begun
    assert f"--ServerApp.root_dir={folder / 'gancourse-work'}" in command


def test_a_port_that_may_not_be_used_is_not_said_to_be_taken(
    tmp_path, monkeypatch, capsys
):
    def refused(self, address):
        raise PermissionError(13, "Permission denied")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.socket.socket, "bind", refused)
    assert cli.main(["start", "--port", "80"]) == 2
    said = capsys.readouterr().err
    assert_one_sentence(said)
    assert "Port 80 may not be used" in said


def test_start_opens_a_lab_that_asks_for_its_token(tmp_path):
    process = subprocess.Popen(
        [*COMMAND, "start", "01", "--no-browser"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        said = ""
        for line in process.stdout:
            said += line
            if found := re.search(r"http://localhost:\d+/\S+", line):
                break
        assert found, said
        address = found[0]
        limit = time.monotonic() + 60
        while status_of(address) == 0 and time.monotonic() < limit:
            time.sleep(0.2)
        assert status_of(address) == 200
        server = re.match(r"http://localhost:\d+", address)[0]
        notebook = f"{server}/api/contents/notebooks/01_minimax_game.ipynb"
        token = address.split("?")[1]
        assert status_of(f"{notebook}?content=0&{token}") == 200
        assert status_of(f"{notebook}?content=0") == 403
    finally:
        process.terminate()
        process.wait(30)
    copy = tmp_path / "gancourse-work" / "notebooks" / "01_minimax_game.ipynb"
    assert copy.read_bytes() == (course.folder() / copy.name).read_bytes()
