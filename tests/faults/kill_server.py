"""A server of short lives: torch is imported once, each life is a fork that dies.

`python kill_server.py random KILLS SEED FOLDER` kills lives at random moments until so
many died, `… points FOLDER` kills one save before each of its file operations, and
`… interrupts COUNT SEED FOLDER` interrupts twice within a save. Each prints JSON.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from small_games import GAMES, digest, play

from gancourse import checkpoints, storage
from gancourse.training import train

SMALL, STEPS, EVERY = GAMES["points, dropout"], 40, 2
CONFIG = SMALL.config(steps=STEPS, log_every=1)


def live(folder: Path, report: int) -> None:
    """One life: resume, train, save; tells the server what it resumed and saved."""
    state = checkpoints.resume(folder, SMALL.game(), CONFIG)
    os.write(report, f"resumed {state.step}\n".encode())
    for log in train(state, SMALL.batches(CONFIG)):
        if log.step % EVERY == 0:
            checkpoints.save(state, folder)
            os.write(report, f"saved {log.step}\n".encode())
    os.write(report, f"finished {digest(state)}\n".encode())


def fork(life, *args) -> tuple[int, int]:
    """Start `life(*args, report)` in a child; its process id and the pipe to read."""
    here, there = os.pipe()
    child = os.fork()
    if child:
        os.close(there)
        return child, here
    status = 1
    try:
        os.close(here)
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        life(*args, there)
        status = 0
    finally:
        os._exit(status)


def told(pipe: int) -> list[list[str]]:
    with os.fdopen(pipe) as lines:
        return [line.split() for line in lines]


def random_kills(kills: int, seed: int, folder: Path) -> dict:
    truth = SMALL.state(steps=STEPS, log_every=1)
    play(truth, SMALL.batches(CONFIG))
    rng = random.Random(seed)
    found = dict(kills=0, saves=0, lost=0, failed=0, finished=0, different=0, left=0)
    run, saved = 0, 0
    while found["kills"] < kills:
        here = folder / f"run{run}"
        child, pipe = fork(live, here)
        time.sleep(rng.uniform(0.005, 0.150))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        said = told(pipe)
        found["kills"] += os.WIFSIGNALED(status)
        found["failed"] += os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
        for word, value in said:
            if word == "resumed":
                found["lost"] += max(0, saved - int(value))
            elif word == "saved":
                saved, found["saves"] = max(saved, int(value)), found["saves"] + 1
            else:
                found["finished"] += 1
                found["different"] += value != digest(truth)
                run, saved = run + 1, 0
    while not (done := _finish(here)):  # the last run may be in the middle
        pass
    found["finished"] += 1
    found["different"] += done != digest(truth)
    found["left"] = len(list(here.glob("*.tmp")))
    return found


def _finish(folder: Path) -> str:
    child, pipe = fork(live, folder)
    os.waitpid(child, 0)
    return next((value for word, value in told(pipe) if word == "finished"), "")


# ------------------------------------------------------------------ every operation


class Fuse:
    """Kills this process before its n-th file operation."""

    def __init__(self, n: int):
        self.left, self.count = n, 0

    def burn(self) -> None:
        self.count += 1
        if self.count > self.left:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function):
        def fused(*args, **kwargs):
            self.burn()
            return function(*args, **kwargs)

        return fused

    def open(self, path, mode="r"):
        self.burn()
        file, fuse = open(path, mode, buffering=0), self  # noqa: SIM115

        class Torn:
            """Writes in four pieces, so that a kill may come between any two."""

            def write(self, data):
                for piece in range(4):
                    fuse.burn()
                    quarter = -(-len(data) // 4)
                    file.write(data[piece * quarter : (piece + 1) * quarter])

            def __getattr__(self, name):
                return getattr(file, name)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                fuse.burn()
                file.close()

        return Torn() if "x" in mode else file


def save_with_fuse(folder: Path, n: int, report: int) -> None:
    """Resume, play two steps, and save with a fuse that burns at operation n."""
    state = checkpoints.resume(folder, SMALL.game(), CONFIG)
    play(state, SMALL.batches(CONFIG), until=state.step + 2)
    os.write(report, f"resumed {state.step - 2}\n".encode())
    fuse = Fuse(n)
    storage.open = fuse.open
    for name in ("replace", "fsync", "open", "close", "unlink", "stat", "fstat"):
        setattr(os, name, fuse.around(getattr(os, name)))
    checkpoints.save(state, folder)
    os.write(report, f"saved {fuse.count}\n".encode())


def kill_at_every_operation(folder: Path) -> dict:
    state = SMALL.state(steps=STEPS, log_every=1)
    for log in train(state, SMALL.batches(CONFIG)):
        if log.step % EVERY == 0:
            checkpoints.save(state, folder / "seed")
        if log.step == 8:
            break
    found = dict(points=0, unreadable=0, backwards=0, operations=0, after=[])
    while not found["operations"]:
        here = folder / f"at{found['points']}"
        here.mkdir()
        for path in (folder / "seed").glob("*.pt"):
            os.link(path, here / path.name)
        child, pipe = fork(save_with_fuse, here, found["points"])
        os.waitpid(child, 0)
        done = dict(told(pipe))
        if "saved" in done:
            found["operations"] = int(done["saved"])
            break
        try:
            step = checkpoints.latest(here)["step"]
        except Exception:
            found["unreadable"] += 1
        else:
            found["backwards"] += step not in (8, 10)
            found["after"].append(step)
        found["points"] += 1
    return found


# ------------------------------------------------------------------ two interrupts


def save_on_and_on(folder: Path, report: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        state = checkpoints.resume(folder, SMALL.game(), CONFIG)
        os.write(report, f"resumed {state.step}\n".encode())
        for log in train(state, SMALL.batches(CONFIG)):
            checkpoints.save(state, folder)
            os.write(report, f"saved {log.step}\n".encode())
    except KeyboardInterrupt:
        pass


def interrupts(count: int, seed: int, folder: Path) -> dict:
    rng = random.Random(seed)
    found = dict(interrupted=0, lost=0, unreadable=0)
    for k in range(count):
        here = folder / f"run{k}"
        child, pipe = fork(save_on_and_on, here)
        time.sleep(rng.uniform(0.01, 0.08))
        for _ in range(2):
            os.kill(child, signal.SIGINT)
            time.sleep(rng.uniform(0.001, 0.01))
        os.waitpid(child, 0)
        saved = [int(value) for word, value in told(pipe) if word == "saved"]
        found["interrupted"] += max(saved, default=0) < STEPS
        if saved:
            try:
                found["lost"] += max(saved) > checkpoints.latest(here)["step"]
            except Exception:
                found["unreadable"] += 1
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    # the first step of a process costs a second: have it before the lives begin
    warm = SMALL.state(steps=2)
    play(warm, SMALL.batches(CONFIG))
    what, *rest, where = sys.argv[1:]
    numbers, where = [int(n) for n in rest], Path(where)
    plays = {"random": random_kills, "points": kill_at_every_operation}
    print(json.dumps({**plays, "interrupts": interrupts}[what](*numbers, where)))
