"""Saving and resuming: bit for bit, at every step, for every game there is."""

import hashlib
import os
import random
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from faults.counts import count
from small_games import GAMES, LIGHT, digest, play
from torch import nn

from gancourse import checkpoints, losses, snapshot, storage
from gancourse.errors import CheckpointError, GancourseError
from gancourse.games import GAN
from gancourse.models.mlp import PointDiscriminator, PointGenerator
from gancourse.training import train

one_and_two_threads = pytest.mark.parametrize(
    "n",
    [1, pytest.param(2, marks=pytest.mark.alone)],
    ids=["1 thread", "2 threads"],
)


@pytest.fixture(autouse=True)
def one_thread(threads):
    threads(1)


def files(folder: Path) -> dict[str, str]:
    """Names of the checkpoints in a folder, with the hash of their bytes."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).glob("step*.pt"))
    }


def steps(folder: Path) -> list[int]:
    return [step for step, _ in checkpoints._generations(Path(folder))]


def saved_run(folder, name="points", at=(10, 20, 30), **changes):
    """A run of 60 steps broken off at the last of `at`, saved at each; its state."""
    small = GAMES[name]
    state = small.state(**changes)
    for log in train(state, small.batches(state.config)):
        if log.step in at:
            checkpoints.save(state, folder)
        if log.step == max(at):
            break
    return state


def finish(folder, name="points", **changes):
    """Resume the run in `folder` with fresh players, and play it to its end."""
    small = GAMES[name]
    config = small.config(**changes)
    seed = 77 if steps(folder) else 0  # what counts must come from the file
    state = checkpoints.resume(folder, small.game(seed), config)
    resumed_at = state.step
    play(state, small.batches(config))
    return state, resumed_at


# ------------------------------------------------------------------ bit for bit


def interrupted_after_every_step(folder, name, every=1, **changes):
    """(hash after each step) of a run that is saved, thrown away, resumed each time."""
    small = GAMES[name]
    config = small.config(log_every=1, **changes)
    hashes = {}
    for step in range(every, config.steps + 1, every):
        # other initial weights in later lives: all that counts must come from the file
        seed = 0 if step == every else step
        state = checkpoints.resume(folder, small.game(seed), config)
        play(state, small.batches(config), until=step)
        hashes[step] = digest(state)
        checkpoints.save(state, folder)
    return hashes


def uninterrupted(name, **changes):
    small = GAMES[name]
    state = small.state(log_every=1, **changes)
    return {
        log.step: digest(state) for log in train(state, small.batches(state.config))
    }


CUTS = "cuts of a run of 60 steps, each resumed and bit-identical"
HEAVY = ["mlp", *(name for name in GAMES if GAMES[name].real is not None)]


@pytest.mark.parametrize(
    ("name", "precision"),
    [(name, "fp32") for name in LIGHT]
    + [("points, dropout", "bf16"), ("dcgan", "bf16")],
)
def test_resumed_equals_uninterrupted_bit_for_bit(name, precision, tmp_path):
    # At every step; the large ones at every tenth, and at each under `full`.
    every = 10 if name in HEAVY else 1
    truth = uninterrupted(name, precision=precision)
    found = interrupted_after_every_step(tmp_path, name, every, precision=precision)
    assert len(truth) == 60
    assert found == {step: truth[step] for step in range(every, 61, every)}
    count("A", CUTS, len(found))


@pytest.mark.full
@one_and_two_threads
@pytest.mark.parametrize("name", [name for name in HEAVY if name in LIGHT])
def test_large_players_resume_bit_for_bit_at_every_step(name, n, tmp_path, threads):
    threads(n)
    truth = uninterrupted(name)
    assert interrupted_after_every_step(tmp_path, name) == truth
    count("A", CUTS, len(truth))


@pytest.mark.full
@one_and_two_threads
def test_the_largest_player_resumes_bit_for_bit(n, tmp_path, threads):
    """The MLP of 31 MB a checkpoint: each of its 60 cuts takes half a second."""
    threads(n)
    truth = uninterrupted("mlp")
    assert interrupted_after_every_step(tmp_path, "mlp") == truth
    count("A", CUTS, len(truth))


def test_the_large_mlp_resumes_bit_for_bit_too(tmp_path):
    truth = uninterrupted("mlp", steps=8)
    found = interrupted_after_every_step(tmp_path, "mlp", every=2, steps=8)
    assert found == {step: truth[step] for step in (2, 4, 6, 8)}


@pytest.mark.alone
@pytest.mark.parametrize("name", ["points, dropout", "dcgan"])
def test_resuming_is_exact_on_two_threads(name, tmp_path, threads):
    threads(2)
    truth = uninterrupted(name, steps=5)
    assert interrupted_after_every_step(tmp_path, name, steps=5) == truth


@pytest.mark.full
@pytest.mark.parametrize(
    ("precision", "n"),
    [("fp32", 1), ("bf16", 1), pytest.param("fp32", 2, marks=pytest.mark.alone)],
)
@pytest.mark.parametrize("name", GAMES)
def test_every_single_cut_point_leads_to_the_same_end(
    name, precision, n, tmp_path, threads
):
    threads(n)
    # Large players and pictures: every twelfth cut. (Each step of theirs is cut in the
    # test above, one after the other.) In 16 bits every sixth: the same code again.
    small, every = GAMES[name], {"fp32": 1, "bf16": 6}[precision]
    every = 12 if name in HEAVY else every
    truth = small.state(precision=precision)
    play(truth, small.batches(truth.config))
    state, cuts = small.state(precision=precision, log_every=1), []
    for log in train(state, small.batches(state.config)):
        if log.step % every:
            continue
        folder = tmp_path / f"{log.step}"
        checkpoints.save(state, folder)
        resumed, at = finish(folder, name, precision=precision)
        assert digest(resumed) == digest(truth), f"cut at {log.step}"
        cuts.append(at)
        shutil.rmtree(folder)
    assert cuts == list(range(every, 61, every))
    count("A", CUTS, len(cuts))


def test_logs_and_batches_after_a_resume_go_on_where_they_stopped(tmp_path):
    small = GAMES["points"]
    config = small.config(log_every=1)
    taken = []

    class Noted:
        def __getitem__(self, k):
            taken.append(k)
            return small.batches(config)[k]

    whole = play(small.state(log_every=1), small.batches(config))
    logs = []
    for cut in (7, 8, 31, 60):
        state = checkpoints.resume(tmp_path, small.game(), config)
        logs += play(state, Noted(), until=cut)
        checkpoints.save(state, tmp_path)
    assert logs == whole
    assert taken == list(range(60))


def test_running_the_training_cell_twice_trains_to_the_same_total(tmp_path):
    first, _ = finish(tmp_path)
    checkpoints.save(first, tmp_path)
    second, resumed_at = finish(tmp_path)
    checkpoints.save(second, tmp_path)
    assert resumed_at == second.step == 60
    assert digest(second) == digest(first)
    assert steps(tmp_path) == [60]


def test_more_steps_may_be_asked_for_later(tmp_path):
    state, _ = finish(tmp_path, steps=20)
    checkpoints.save(state, tmp_path)
    longer, resumed_at = finish(tmp_path, steps=60)
    truth = GAMES["points"].state()
    play(truth, GAMES["points"].batches(truth.config))
    assert resumed_at == 20
    assert snapshot.not_finite(snapshot.snapshot(longer)) == ""
    assert digest(longer) == digest(truth)


def test_how_often_one_saves_does_not_change_the_run(tmp_path):
    small, hashes = GAMES["points, dropout"], set()
    for every in (1, 7, 1000):
        state = small.state(log_every=1)
        for log in train(state, small.batches(state.config)):
            if log.step % every == 0:
                checkpoints.save(state, tmp_path / str(every))
        hashes.add(digest(state))
    assert len(hashes) == 1


# Each entry of a checkpoint matters: leave it out on resume and the run departs.
FORGOTTEN = {
    "weights of G": lambda c, f: c.update(generators=f["generators"]),
    "weights of D": lambda c, f: c.update(discriminators=f["discriminators"]),
    "the average": lambda c, f: c.update(ema=f["ema"]),
    "G's Adam": lambda c, f: c["g_opt"].update(state={}),
    "D's Adam": lambda c, f: c["d_opt"].update(state={}),
    "the latents' stream": lambda c, f: c.update(rng=f["rng"]),
    "the layers' stream": lambda c, f: c.update(layer_rng=f["layer_rng"]),
    "the step": lambda c, f: c.update(step=0),
}


@pytest.mark.parametrize("entry", FORGOTTEN)
def test_every_entry_of_a_checkpoint_is_needed(entry, tmp_path):
    small = GAMES["points, dropout"]
    state = saved_run(tmp_path, "points, dropout")
    batches = small.batches(state.config)
    play(state, batches)
    fresh = snapshot.snapshot(small.state())
    ends = []
    for forget in (lambda c, f: None, FORGOTTEN[entry]):
        contents = checkpoints.latest(tmp_path)
        forget(contents, fresh)
        resumed = small.state()
        snapshot.restore(contents, resumed)
        play(resumed, batches)
        ends.append(digest(resumed))
    assert ends[0] == digest(state) != ends[1]


# ------------------------------------------------------------------ the folder


def test_a_checkpoint_is_one_file_that_anybody_can_open(tmp_path):
    state = saved_run(tmp_path, at=(10,))
    (path,) = tmp_path.glob("*.pt")
    contents = torch.load(path, weights_only=True)
    assert contents["step"] == 10
    weight = contents["generators"]["G.net.0.weight"]
    assert torch.equal(weight, state.game.G.net[0].weight)
    assert path.name == f"step0000010-{storage.digest(path.read_bytes())}.pt"


def test_the_newest_three_are_kept(tmp_path):
    saved_run(tmp_path, at=(10, 20, 30, 40, 50))
    assert steps(tmp_path) == [50, 40, 30]


@pytest.mark.parametrize(("keep", "left"), [(1, 1), (2, 2), (5, 4), (0, 1), (-3, 1)])
def test_another_number_may_be_kept_but_never_none(keep, left, tmp_path):
    small = GAMES["points"]
    state = small.state(steps=20)
    for _ in train(state, small.batches(state.config)):
        checkpoints.save(state, tmp_path, keep=keep)
    assert steps(tmp_path) == [20, 15, 10, 5][:left]


def test_a_disk_without_room_for_the_run_is_said_before_the_first_step(
    tmp_path, monkeypatch, assert_clear
):
    small, usage = GAMES["points"], namedtuple("usage", "total used free")
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: usage(9, 9, 1000))
    with pytest.raises(CheckpointError) as caught:
        checkpoints.resume(tmp_path / "run", small.game(), small.config())
    assert_clear(caught.value, "0.0 MB free", "Nothing was started")
    monkeypatch.setattr(checkpoints.shutil, "disk_usage", lambda _: usage(9, 9, 10**9))
    assert checkpoints.resume(tmp_path / "run", small.game(), small.config()).step == 0


def test_a_run_past_ten_million_steps_is_found_again(tmp_path):
    state = saved_run(tmp_path, at=(10,))
    state.step = 12_345_678
    checkpoints.save(state, tmp_path)
    assert checkpoints.latest(tmp_path)["step"] == 12_345_678


def test_order_is_by_step_and_never_by_the_clock(tmp_path):
    saved_run(tmp_path)
    rng = random.Random(0)
    for path in tmp_path.glob("*.pt"):
        os.utime(path, (rng.random() * 2e9,) * 2)
    paths = sorted(tmp_path.glob("*.pt"))
    os.utime(paths[0], (3e9, 3e9))  # the oldest says it is the newest
    assert checkpoints.latest(tmp_path)["step"] == 30


def test_what_a_killed_save_left_is_swept_at_the_next_start(tmp_path):
    saved_run(tmp_path)
    left = tmp_path / ".step0000040-0123456789abc-77aa.tmp"
    left.write_bytes(b"half a checkpoint")
    (tmp_path / "notes.txt").write_text("mine")
    assert finish(tmp_path)[1] == 30
    assert not left.exists() and (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize(
    "name", ["with space", "ünï côdé", "🎨", "quo'te\"s", "x" * 255, "-rf", "%s {0}"]
)
def test_any_folder_name_works(name, tmp_path):
    saved_run(tmp_path / "deep" / name, at=(10,))
    assert finish(tmp_path / "deep" / name)[1] == 10


def test_home_and_relative_folders_mean_what_they_say(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    saved_run("~/run", at=(10,))
    assert steps(tmp_path / "run") == [10]
    assert finish("run")[1] == 10


def test_a_current_folder_that_is_gone_is_said(tmp_path, monkeypatch, assert_clear):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(CheckpointError) as caught:
        checkpoints.save(GAMES["points"].state(), "run")
    assert_clear(caught.value, "run", "full path")
    monkeypatch.chdir(tmp_path)


def test_a_file_where_the_folder_should_be_is_said(tmp_path, assert_clear):
    (tmp_path / "run").write_text("a letter")
    small = GAMES["points"]
    for use in (
        lambda: checkpoints.resume(tmp_path / "run", small.game(), small.config()),
        lambda: checkpoints.save(small.state(), tmp_path / "run"),
        lambda: checkpoints.latest(tmp_path / "run"),
    ):
        with pytest.raises(CheckpointError) as caught:
            use()
        assert_clear(caught.value, "run")
    assert (tmp_path / "run").read_text() == "a letter"


def test_starting_and_resuming_are_said_in_one_line_each(tmp_path, capsys):
    saved_run(tmp_path / "digits", at=(10,))
    small = GAMES["points"]
    checkpoints.resume(tmp_path / "new", small.game(), small.config())
    assert capsys.readouterr().out == "Fresh start in new: no checkpoint there yet.\n"
    checkpoints.resume(tmp_path / "digits", small.game(), small.config())
    assert capsys.readouterr().out == (
        "Resumed digits at step 10: 0 saved steps lost.\n"
    )


def test_a_folder_without_checkpoints_has_no_latest(tmp_path):
    assert checkpoints.latest(tmp_path) is None
    assert checkpoints.latest(tmp_path / "nowhere") is None


def test_an_earlier_run_in_the_folder_is_neither_mixed_nor_overtaken(
    tmp_path, assert_clear
):
    saved_run(tmp_path)
    before = files(tmp_path)
    fresh = GAMES["points"].state()
    play(fresh, GAMES["points"].batches(fresh.config), until=5)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.save(fresh, tmp_path)
    assert_clear(caught.value, "step 30", "step 5 was not saved")
    assert files(tmp_path) == before


def test_another_game_s_run_in_the_folder_is_not_pruned_by_higher_steps(
    tmp_path, assert_clear
):
    saved_run(tmp_path)
    before = files(tmp_path)
    with pytest.raises(CheckpointError) as caught:
        saved_run(tmp_path, "points, dropout", at=(40, 50, 60))
    assert_clear(caught.value, tmp_path.name)
    assert files(tmp_path) == before


def test_the_same_run_made_anew_goes_on_in_its_folder(tmp_path):
    saved_run(tmp_path)
    saved_run(tmp_path, at=(40, 50, 60))
    assert steps(tmp_path) == [60, 50, 40]


def test_falling_rates_belong_to_their_number_of_steps(tmp_path, assert_clear):
    """100 steps fell to rate 0; resumed with 1,000 they went on at nine tenths."""
    small = GAMES["points"]
    saved_run(tmp_path / "falling", decay=1.0)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.resume(
            tmp_path / "falling", small.game(), small.config(decay=1.0, steps=600)
        )
    assert_clear(caught.value, "steps 60 → 600")
    saved_run(tmp_path / "constant")
    longer = small.config(steps=600)
    assert checkpoints.resume(tmp_path / "constant", small.game(), longer).step == 30


def test_damaged_newer_files_never_cost_a_good_one(tmp_path):
    """A run that had to go back must not have its new saves pruned as the oldest."""
    saved_run(tmp_path, at=(10, 20, 30, 40))
    for path in sorted(tmp_path.glob("*.pt"))[1:]:
        path.write_bytes(path.read_bytes()[:-100])
    small = GAMES["points"]
    state = checkpoints.resume(tmp_path, small.game(), small.config())
    assert state.step == 20
    play(state, small.batches(state.config), until=25)
    checkpoints.save(state, tmp_path)
    assert checkpoints.latest(tmp_path)["step"] == 25
    assert finish(tmp_path)[1] == 25


# ------------------------------------------------------------------ one owner


HOLD = (
    "import fcntl, sys, time\n"
    "handle = open(sys.argv[1], 'a+')\n"
    "fcntl.lockf(handle, fcntl.LOCK_EX)\n"
    "handle.write('process 4242 since 10:03'); handle.flush()\n"
    "print('held', flush=True)\n"
    "time.sleep(60)\n"
)


def test_a_folder_that_another_process_trains_in_is_refused_until_it_dies(
    tmp_path, assert_clear
):
    saved_run(tmp_path / "seed", at=(10,))
    folder = tmp_path / "run"
    shutil.copytree(tmp_path / "seed", folder)
    before, small = files(folder), GAMES["points"]
    command = [sys.executable, "-c", HOLD, str(folder / ".lock")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        for use in (
            lambda: checkpoints.resume(folder, small.game(), small.config()),
            lambda: checkpoints.save(small.state(), folder),
        ):
            with pytest.raises(CheckpointError) as caught:
                use()
            assert_clear(caught.value, "run", "process 4242 since 10:03")
        assert files(folder) == before
    finally:
        holder.kill()
        holder.wait()
    assert finish(folder)[1] == 10  # no clean-up by hand


def test_a_file_system_without_locks_still_saves(tmp_path, monkeypatch):
    import errno
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    saved_run(tmp_path, at=(10,))
    assert finish(tmp_path)[1] == 10


# ------------------------------------------------------------------ another game


@pytest.mark.parametrize(
    "others",
    [3, pytest.param(len(LIGHT) - 1, marks=pytest.mark.full)],
    ids=["three", "all"],
)
def test_a_run_of_another_game_is_refused(others, tmp_path, assert_clear):
    for name in LIGHT:
        saved_run(tmp_path / name, name, at=(5,))
    before = {name: files(tmp_path / name) for name in LIGHT}
    for k, wanted in enumerate(LIGHT, 1):
        game, config = GAMES[wanted].game(), GAMES[wanted].config()
        for made in (LIGHT * 2)[k : k + others]:
            with pytest.raises(CheckpointError) as caught:
                checkpoints.resume(tmp_path / made, game, config)
            assert_clear(caught.value, made[:30], "left as it is")
    assert {name: files(tmp_path / name) for name in LIGHT} == before


def test_other_sizes_are_named_with_both_sides(tmp_path, assert_clear):
    saved_run(tmp_path, at=(5,))
    wide = GAN(PointGenerator(width=16), PointDiscriminator(width=8))
    with pytest.raises(CheckpointError) as caught:
        checkpoints.resume(tmp_path, wide, GAMES["points"].config())
    assert_clear(caught.value, "PointGenerator (114 values)", "(354 values)")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", 16),
        ("d_steps", 2),
        ("g_lr", 1e-3),
        ("d_lr", 1e-3),
        ("betas", (0.0, 0.9)),
        ("decay", 0.5),
        ("ema", 0.5),
        ("ema", 0.0),
        ("seed", 1),
    ],
)
def test_other_settings_are_refused_by_name(name, value, tmp_path, assert_clear):
    saved_run(tmp_path, at=(5,))
    small = GAMES["points"]
    with pytest.raises(CheckpointError) as caught:
        checkpoints.resume(tmp_path, small.game(), small.config(**{name: value}))
    assert_clear(caught.value, name, "→")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (dict(loss=losses.hinge), "loss nonsaturating → hinge"),
        (dict(penalty=losses.r1), "penalty None → r1"),
        (dict(augment=lambda x, rng: x), "augment None → <lambda>"),
    ],
)
def test_other_rules_are_refused_by_name(change, named, tmp_path, assert_clear):
    saved_run(tmp_path, at=(5,))
    game = GAN(PointGenerator(width=8), PointDiscriminator(width=8), **change)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.resume(tmp_path, game, GAMES["points"].config())
    assert_clear(caught.value, named)


def test_what_may_change_changes_nothing(tmp_path):
    saved_run(tmp_path, at=(30,))
    state, resumed_at = finish(tmp_path, log_every=7, deterministic=True)
    truth = GAMES["points"].state()
    play(truth, GAMES["points"].batches(truth.config))
    assert resumed_at == 30 and digest(state) == digest(truth)


@pytest.mark.alone
def test_another_number_of_threads_is_said_and_goes_on(tmp_path, capsys, threads):
    saved_run(tmp_path, at=(10,))
    threads(2)
    assert finish(tmp_path)[1] == 10
    said = capsys.readouterr().out
    assert "last digits may differ" in said and "threads 1 → 2" in said


def test_another_precision_is_said_and_goes_on(tmp_path, capsys):
    saved_run(tmp_path, at=(10,))
    for precision in ("bf16", "fp16"):
        state, resumed_at = finish(tmp_path, precision=precision, steps=20)
        assert resumed_at == 10 and state.step == 20
        assert f"precision fp32 → {precision}" in capsys.readouterr().out


def test_a_run_made_on_a_gpu_goes_on_here_and_says_what_differs(tmp_path, capsys):
    saved_run(tmp_path, at=(10,))
    contents = checkpoints.latest(tmp_path)
    contents["made_with"]["device"] = "cuda"
    contents["rng"] = torch.zeros(16, dtype=torch.uint8)  # as CUDA's are
    contents["layer_rng"] += [torch.zeros(16, dtype=torch.uint8)]
    (path,) = tmp_path.glob("*.pt")
    path.unlink()
    rewrite(tmp_path, contents)
    state, resumed_at = finish(tmp_path)
    assert resumed_at == 10 and state.step == 60
    assert "device cuda → cpu" in capsys.readouterr().out


def rewrite(folder: Path, contents: object, step: int = 10) -> Path:
    """A file with any contents under a name that proves its bytes."""
    import io

    buffer = io.BytesIO()
    torch.save(contents, buffer)
    path = folder / f"step{step:07d}-{storage.digest(buffer.getvalue())}.pt"
    path.write_bytes(buffer.getvalue())
    return path


def test_a_checkpoint_of_a_former_release_still_loads():
    (path,) = (Path(__file__).parent / "faults" / "format1").glob("*.pt")
    contents = checkpoints.load(path)
    assert contents["format"] == 1 and contents["step"] == 5


def test_a_former_release_s_run_goes_on(tmp_path):
    (path,) = (Path(__file__).parent / "faults" / "format1").glob("*.pt")
    shutil.copy(path, tmp_path)
    assert finish(tmp_path)[1] == 5


def test_one_that_can_not_be_played_on_names_the_whole_way_out(tmp_path, assert_clear):
    class Lonely(nn.Module):
        def __init__(self):
            super().__init__()
            self.latent_dim, self.scale = 2, nn.Parameter(torch.ones(2))

        def forward(self, z):
            return z * self.scale

    saved_run(tmp_path, at=(5,))
    with pytest.raises(GancourseError) as caught:
        game = GAN(Lonely(), PointDiscriminator(width=8))
        checkpoints.resume(tmp_path, game, GAMES["points"].config())
    assert_clear(caught.value, "Lonely (2 values)")
