"""Part A, killed: processes die at any moment, the power fails, Ctrl-C is pressed.

Rows A1 to A6, A23 to A25, and A32 of the fault list. `kill_server.py` does the killing.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from counts import count
from small_games import GAMES, digest, play

from gancourse import checkpoints, storage
from gancourse import play as terminal
from gancourse.errors import CheckpointError
from gancourse.training import train

SERVER = Path(__file__).with_name("kill_server.py")
SMALL = GAMES["points"]
NAMES = list(GAMES)
QUARTERS = [NAMES[k::4] for k in range(4)]  # a server a quarter: torch starts slowly


@pytest.fixture(autouse=True)
def one_thread(threads):
    threads(1)


def served(*words) -> dict:
    """What the server found, by game."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(SERVER), *map(str, words)]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def nothing_lost(found: dict) -> None:
    for name, game in found.items():
        assert game["saves"] > 0 and game["finished"] > 0, name  # it got somewhere
        for what in ("lost", "failed", "different", "left"):
            assert game[what] == 0, f"{name}: {game}"


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@needs_fork
def test_killed_at_random_moments_no_saved_step_is_lost(tmp_path):
    """A1, A24, A25: no step lost, nothing to clean up, the end the same bit for bit."""
    found = served("random", 100, 0, tmp_path, "points, dropout")
    nothing_lost(found)
    count("A1", "SIGKILLs at random moments", found["points, dropout"]["kills"])


@needs_fork
@pytest.mark.full
@pytest.mark.parametrize("names", QUARTERS, ids=["1", "2", "3", "4"])
def test_every_family_of_games_is_killed_at_random_moments(names, tmp_path):
    """A1: 40 kills a family; together more than a thousand."""
    found = served("random", 40, 1, tmp_path, *names)
    assert set(found) == set(names)
    nothing_lost(found)
    assert min(game["kills"] for game in found.values()) >= 40
    kills = sum(game["kills"] for game in found.values())
    count("A1", "SIGKILLs at random moments", kills)
    count("A1", "saved steps lost", 0)
    finished = sum(game["finished"] for game in found.values())
    count("A1", "finished runs, each bit-identical to the unbroken one", finished)


@needs_fork
@pytest.mark.soak
@pytest.mark.parametrize("names", QUARTERS, ids=["1", "2", "3", "4"])
def test_ten_thousand_random_kills(names, tmp_path):
    """A1: the long form."""
    found = served("random", 360, 2, tmp_path, *names)
    nothing_lost(found)
    kills = sum(game["kills"] for game in found.values())
    count("A1", "SIGKILLs at random moments", kills)


@needs_fork
@pytest.mark.parametrize(
    "names",
    [["points, dropout"], *(pytest.param(q, marks=pytest.mark.full) for q in QUARTERS)],
    ids=["one", "1", "2", "3", "4"],
)
def test_killed_before_every_file_operation_of_a_save_the_run_stands(names, tmp_path):
    """A2: every write, fsync, rename and removal of a save, and between them."""
    found = served("points", tmp_path, *names)
    assert set(found) == set(names)
    for game in found.values():
        assert game["operations"] >= 15 and game["points"] == game["operations"]
        assert game["unreadable"] == game["backwards"] == 0
        assert set(game["after"]) == {4, 5}  # before the rename, and after it
    points = sum(game["points"] for game in found.values())
    count("A2", "kills before a file operation of a save", points)


WRITES = """
import sys
from pathlib import Path
sys.modules["torch"] = None  # the writer needs none, and starts in no time
from gancourse import storage
storage.secrets.token_hex = lambda n: "temporary"  # a name that strace can wait for
folder = Path(sys.argv[1])
data = sys.argv[2].encode() * 20_000
storage.write_atomically(folder / "file", data)
"""


def test_killed_by_the_kernel_within_any_system_call_a_file_is_old_or_new(tmp_path):
    """A2, seen from outside: strace kills the writer within its n-th system call."""
    if not shutil.which("strace"):
        pytest.skip("no strace here to kill a process within a system call")
    folder, old, new = tmp_path / "run", b"old" * 20_000, b"new" * 20_000
    folder.mkdir()
    paths = [folder, folder / "file", folder / ".file-temporary.tmp"]
    only = [word for path in paths for word in ("-P", str(path))]
    env, kills = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, []
    for call in ("openat", "write", "fsync", "close", "rename"):
        for n in range(1, 4):
            (folder / "file").write_bytes(old)
            inject = [
                "-e",
                f"trace={call}",
                "-e",
                f"inject={call}:signal=KILL:when={n}",
            ]
            command = [sys.executable, "-c", WRITES, str(folder), "new"]
            done = subprocess.run(
                ["strace", "-qq", *only, *inject, *command],
                env=env,
                capture_output=True,
            )
            now = (folder / "file").read_bytes()
            if done.returncode:
                kills.append(call)
                assert now in (old, new), (call, n)
            else:
                assert now == new, (call, n)
    assert set(kills) == {"openat", "write", "fsync", "close", "rename"}
    count("A2", "kills within a system call", len(kills))


@needs_fork
@pytest.mark.parametrize(
    "times", [20, pytest.param(100, marks=pytest.mark.full)], ids=str
)
def test_interrupted_twice_within_a_save_no_saved_step_is_lost(times, tmp_path):
    """A5."""
    (found,) = served("interrupts", times, 0, tmp_path, "points, dropout").values()
    assert found["interrupted"] > 0
    assert found["lost"] == found["unreadable"] == 0
    count("A5", "double interrupts", times)


@needs_fork
@pytest.mark.parametrize(
    "times", [10, pytest.param(200, marks=pytest.mark.full)], ids=str
)
def test_asked_to_stop_the_command_saves_the_step_at_hand(times, tmp_path):
    """A4, A6: Ctrl-C and SIGTERM at random moments, the same command again, the end."""
    (found,) = served("stops", times, 0, tmp_path).values()
    assert found["stops"] == found["saved"] == times
    assert found["lost"] == found["failed"] == found["different"] == 0
    assert found["finished"] > 0
    count("A4", "Ctrl-C or SIGTERM at random moments", times)


def test_ctrl_c_while_it_saves_waits_for_the_save(tmp_path, monkeypatch, capsys):
    """A4: the last save of a run was broken off by it, and 4 steps with it."""
    recipe = terminal.Recipe(lambda recipe: SMALL.game(), 2e-4, 2e-4)
    monkeypatch.setitem(terminal.GAMES, "small", recipe)
    points = SMALL.batches(SMALL.config()).data.sample(100)
    monkeypatch.setattr(terminal, "_images", lambda name: (points[:, :, None], name))
    monkeypatch.setattr(terminal, "_with_labels", lambda *_: points)
    monkeypatch.setattr(terminal._Run, "samples", lambda self: None)
    monkeypatch.setattr(terminal._Run, "verdict", lambda self: None)
    honest = storage.write_atomically

    def interrupted(path, data):
        signal.raise_signal(signal.SIGINT)
        honest(path, data)

    monkeypatch.setattr(storage, "write_atomically", interrupted)
    config = SMALL.config(steps=20)
    assert terminal.play("small", "x", config, tmp_path / "run", save_every=100) == 130
    assert checkpoints.latest(tmp_path / "run")["step"] == 20
    said = capsys.readouterr().out.splitlines()
    assert "Run the same command again to continue." in said[-1]


def test_power_loss_after_any_operation_leaves_what_save_promised(
    tmp_path, monkeypatch
):
    """A3: record what saves do, then lose the power after every operation.

    What was not flushed may be gone, half there, or whole; a rename or a removal that
    no folder flush followed may or may not have happened, in order.
    """
    journal = record_saves(tmp_path / "recorded", monkeypatch)
    assert sum(op[0] == "saved" for op in journal) == 6
    worlds, found = 0, {}
    for cut in range(len(journal) + 1):
        promised = max([op[1] for op in journal[:cut] if op[0] == "saved"], default=0)
        for files in after_power_loss(journal[:cut]):
            world = tuple(sorted((name, len(data)) for name, data in files.items()))
            if world not in found:  # many cuts lead to one state of the disk
                found[world] = step_in(tmp_path / f"world{worlds}", files)
            assert found[world] >= promised
            worlds += 1
    assert worlds >= 500
    count("A3", "states of the disk after a power loss, replayed", worlds)


def step_in(folder: Path, files: dict[str, bytes]) -> int:
    """The step that a start would find in a folder with these files; 0 for none."""
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    try:
        contents = checkpoints.latest(folder)
    except CheckpointError:
        return -1
    finally:
        shutil.rmtree(folder)
    return contents["step"] if contents else 0


def record_saves(folder, monkeypatch):
    """The operations of six saves: (what, name or step, bytes)."""
    journal, names = [], {}
    real = {name: getattr(os, name) for name in ("replace", "fsync", "open", "unlink")}

    def spy_open(path, mode="r"):
        file = open(path, mode)  # noqa: SIM115
        names[file.fileno()] = Path(path).name
        return file

    def fsync(descriptor):
        name = names.get(descriptor)
        if name is None or not (folder / name).is_file():
            journal.append(("flush folder",))
        else:
            journal.append(("flush", name, (folder / name).read_bytes()))
        real["fsync"](descriptor)

    def replace(source, target):
        journal.append(("rename", Path(source).name, Path(target).name))
        real["replace"](source, target)

    def unlink(path, **kwargs):
        journal.append(("remove", Path(path).name))
        real["unlink"](path, **kwargs)

    def folder_open(path, *args, **kwargs):
        descriptor = real["open"](path, *args, **kwargs)
        names.pop(descriptor, None)
        return descriptor

    monkeypatch.setattr(storage, "open", spy_open, raising=False)
    for name, spy in [("fsync", fsync), ("replace", replace), ("unlink", unlink)]:
        monkeypatch.setattr(os, name, spy)
    monkeypatch.setattr(os, "open", folder_open)
    state = SMALL.state()
    for log in train(state, SMALL.batches(state.config)):
        checkpoints.save(state, folder)
        journal.append(("saved", log.step))
        if log.step == 30:
            break
    monkeypatch.undo()
    return journal


def after_power_loss(journal):
    """Every state of the folder that the operations so far may have left."""
    last = max(
        (i for i, op in enumerate(journal) if op[0] == "flush folder"), default=-1
    )
    flushed = {op[1]: op[2] for op in journal if op[0] == "flush"}
    for happened in range(last + 1, len(journal) + 1):
        content, torn = {}, set()
        for op in journal[:happened]:
            if op[0] == "rename":
                source = op[1]
                content[op[2]] = flushed.get(source)
                if source not in flushed:  # renamed before its bytes were safe
                    torn.add(op[2])
            elif op[0] == "remove":
                content.pop(op[1], None)
        whole = {name: data for name, data in content.items() if name not in torn}
        yield whole
        for data in [b"", b"PK\3\4"] if torn else []:
            yield {**whole, **dict.fromkeys(torn, data)}
        # and the temporary file at hand, in any length, under any name a save gives it
        for name, data in flushed.items():
            if name not in {op[1] for op in journal[:happened] if op[0] == "rename"}:
                for sixteenth in range(17):
                    yield {**whole, name: data[: len(data) * sixteenth // 16]}


# ------------------------------------------------------------------ two at once


RACE = """
import sys, time
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch; torch.set_num_threads(1)
from small_games import GAMES, play
from gancourse import checkpoints, storage
from gancourse.errors import CheckpointError
from gancourse.training import train
if not {locks}:
    storage.lock = lambda folder: folder.mkdir(parents=True, exist_ok=True)
    storage.sweep = lambda folder: None
small = GAMES["points"]
config = small.config(steps={steps}, log_every=1)
print("ready", flush=True); sys.stdin.readline()
for k in range({trials}):
    sys.stdin.readline()
    try:
        folder = Path({folder!r}) / str(k)
        state = checkpoints.resume(folder, small.game(), config)
        for log in train(state, small.batches(config)):
            checkpoints.save(state, folder)
        print("DONE", flush=True)
    except CheckpointError as error:
        print("REFUSED", error, flush=True)
"""


@pytest.mark.parametrize(
    ("trials", "locks"),
    [
        (5, True),
        pytest.param(100, True, marks=pytest.mark.full),
        pytest.param(100, False, marks=pytest.mark.full),
    ],
    ids=["5, flock", "100, flock", "100, no locks there"],
)
def test_of_two_processes_in_one_folder_one_is_refused_and_nothing_is_torn(
    trials, locks, tmp_path
):
    """A23; where the file system has no locks, random names keep every file whole."""
    tests = str(Path(__file__).resolve().parents[1])
    code = RACE.format(
        tests=tests, folder=str(tmp_path), locks=locks, trials=trials, steps=4
    )
    lives = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for life in lives:
        assert life.stdout.readline() == "ready\n"
    truth = SMALL.state(steps=4, log_every=1)
    play(truth, SMALL.batches(truth.config))
    refused = 0
    with contextlib.ExitStack() as stack:
        for life in lives:
            stack.callback(life.wait)
            stack.callback(life.kill)
            life.stdin.write("\n")
        for k in range(trials):
            for life in lives:
                life.stdin.write("\n")
                life.stdin.flush()
            said = [_answer(life) for life in lives]
            refused += sum(line.startswith("REFUSED") for line in said)
            assert any(line == "DONE\n" for line in said)
            for line in said:
                assert line == "DONE\n" or "already" in line, line
            assert not list((tmp_path / str(k)).glob("*.tmp"))
            state = checkpoints.resume(
                tmp_path / f"copy of {k}", SMALL.game(), truth.config
            )
            contents = checkpoints.latest(tmp_path / str(k))
            assert contents["step"] == 4
            checkpoints.snapshot.restore(contents, state)
            assert digest(state) == digest(truth)
    assert refused > 0 or not locks
    count("A23", f"races of two processes{'' if locks else ' without locks'}", trials)


def test_without_locks_a_young_file_is_left_to_its_writer(tmp_path):
    """A killed write's rest may be a live process's."""
    young, old = (tmp_path / f".step0000001-{name}.tmp" for name in ("young", "old"))
    for file in (young, old):
        file.write_bytes(b"half")
    os.utime(old, (time.time() - 120,) * 2)
    storage.sweep(tmp_path)
    assert young.exists() and not old.exists()
    storage.lock(tmp_path)
    storage.sweep(tmp_path)
    assert not young.exists()


def test_without_locks_a_save_leaves_another_process_its_file_of_the_same_step(
    tmp_path, monkeypatch
):
    """Two processes removed each other's new file before it was read back (CI)."""
    truth = SMALL.state(steps=4, log_every=1)
    play(truth, SMALL.batches(truth.config))
    with monkeypatch.context() as no_locks:
        no_locks.setattr(storage, "lock", lambda folder: folder.mkdir(exist_ok=True))
        mine = checkpoints.save(truth, tmp_path / "run")
        truth.recipe = {"from": "another process"}  # or resumed: other bytes, same step
        other = checkpoints.save(truth, tmp_path / "run")
        assert mine.exists() and other.exists() and mine != other
    truth.recipe = {}
    newest = checkpoints.save(truth, tmp_path / "run")
    assert list((tmp_path / "run").glob("*.pt")) == [newest]


def _answer(life) -> str:
    """The next verdict of a life; what resume says to its reader is passed over."""
    while (line := life.stdout.readline()).startswith(("Fresh", "Resumed")):
        pass
    return line


# ------------------------------------------------------------------ the data's order


@pytest.mark.parametrize(
    "name", ["dcgan", "acgan", pytest.param("cyclegan", marks=pytest.mark.full)]
)
def test_broken_off_twice_at_each_end_of_an_epoch_the_data_go_on(name, tmp_path):
    """A32: a resumed run sees the batches that come next, never an epoch again."""
    small = GAMES[name]
    config = small.config(log_every=1, steps=40)
    per_epoch = 100 // config.batch_size
    ends = [e * per_epoch + d for e in (1, 2, 3) for d in (-1, 0, 1)]
    seen, whole = [], []

    class Noted:
        def __init__(self, notes):
            self.notes, self.batches = notes, small.batches(config)

        def __getitem__(self, k):
            batch = self.batches[k]
            parts = batch if isinstance(batch, tuple) else (batch,)
            self.notes.append((k, [part.double().sum().item() for part in parts]))
            return batch

    truth = small.state(log_every=1, steps=40)
    play(truth, Noted(whole))
    for end in [*ends, 40]:
        state = checkpoints.resume(tmp_path, small.game(3 if seen else 0), config)
        play(state, Noted(seen), until=end)
        checkpoints.save(state, tmp_path)
        again = checkpoints.resume(tmp_path, small.game(4), config)
        assert again.step == end
    assert seen == whole and len(whole) == 40
    assert digest(state) == digest(truth)
    count("A32", "runs broken off at the end of an epoch", len(ends))
