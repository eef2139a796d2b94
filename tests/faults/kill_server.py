"""A server of short lives: torch is imported once, each life is a fork that dies.

`python kill_server.py random KILLS SEED FOLDER GAME...` kills lives of each game at
random moments until so many died, `… points FOLDER GAME...` kills a save of each before
each of its file operations, `… interrupts COUNT SEED FOLDER GAME` interrupts twice
within a save, and `… stops COUNT SEED FOLDER` stops `gancourse train` as Ctrl-C and a
recycled session do. Each prints JSON: what it found, by game.
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

from gancourse import checkpoints, data, storage
from gancourse import play as terminal
from gancourse.training import train


class Family:
    """A game of small_games, ready to be forked: its batches made, its code warm."""

    def __init__(self, name: str, steps: int = 20, every: int = 1):
        self.small, self.every = GAMES[name], every
        self.config = self.small.config(steps=steps, log_every=1)
        self.batches = self.small.batches(self.config)

    def resume(self, folder: Path):
        return checkpoints.resume(folder, self.small.game(), self.config)

    def cycle(self, folder: Path) -> float:
        """Seconds to resume, train and save once; whatever is slow once has been."""
        for _ in range(2):
            begun = time.perf_counter()
            state = self.resume(folder)
            play(state, self.batches, until=state.step + self.every)
            checkpoints.save(state, folder)
        return time.perf_counter() - begun

    def truth(self) -> str:
        """The hash of the run that nothing interrupts."""
        state = self.small.state(steps=self.config.steps, log_every=1)
        play(state, self.batches)
        return digest(state)


def live(family: Family, folder: Path, report: int) -> None:
    """One life: resume, train, save; tells the server what it resumed and saved."""
    state = family.resume(folder)
    os.write(report, f"resumed {state.step}\n".encode())
    for log in train(state, family.batches):
        if log.step % family.every == 0:
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


def random_kills(kills: int, seed: int, folder: Path, name: str) -> dict:
    family, rng = Family(name), random.Random(f"{name} {seed}")
    cycle, truth = family.cycle(folder / "warm"), family.truth()
    found = dict(kills=0, saves=0, lost=0, failed=0, finished=0, different=0, left=0)
    run, saved = 0, 0
    while found["kills"] < kills:
        here = folder / f"run{run}"
        child, pipe = fork(live, family, here)
        time.sleep(rng.uniform(0, 3 * cycle))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        said = told(pipe)
        # Neighbours may slow this machine down: lives should get somewhere, and die.
        progress = sum(word == "saved" for word, _ in said)
        cycle *= 1.3 if progress == 0 else 0.8 if progress > 3 else 1.0
        found["kills"] += os.WIFSIGNALED(status)
        found["failed"] += os.WIFEXITED(status) and os.WEXITSTATUS(status) != 0
        for word, value in said:
            if word == "resumed":
                found["lost"] += max(0, saved - int(value))
            elif word == "saved":
                saved, found["saves"] = max(saved, int(value)), found["saves"] + 1
            else:
                found["finished"] += 1
                found["different"] += value != truth
                run, saved = run + 1, 0
    done = _finish(family, here)  # the last run may be in the middle
    found["finished"] += 1
    found["different"] += done != truth
    found["left"] = len(list(here.glob("*.tmp")))
    return found


def _finish(family: Family, folder: Path) -> str:
    child, pipe = fork(live, family, folder)
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


def save_with_fuse(family: Family, folder: Path, n: int, report: int) -> None:
    """Resume, play a step, and save with a fuse that burns at operation n."""
    state = family.resume(folder)
    play(state, family.batches, until=state.step + 1)
    fuse = Fuse(n)
    storage.open = fuse.open
    for name in ("replace", "fsync", "open", "close", "unlink", "stat", "fstat"):
        setattr(os, name, fuse.around(getattr(os, name)))
    checkpoints.save(state, folder)
    os.write(report, f"saved {fuse.count}\n".encode())


def kill_at_every_operation(folder: Path, name: str) -> dict:
    """After saves of steps 1 to 4 that of step 5, which prunes one, is killed."""
    family = Family(name)
    for _ in range(2):
        family.cycle(folder / "seed")
    found = dict(points=0, unreadable=0, backwards=0, operations=0, after=[])
    while not found["operations"]:
        here = folder / f"at{found['points']}"
        here.mkdir()
        for path in (folder / "seed").glob("*.pt"):
            os.link(path, here / path.name)
        child, pipe = fork(save_with_fuse, family, here, found["points"])
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
            found["backwards"] += step not in (4, 5)
            found["after"].append(step)
        found["points"] += 1
    return found


# ------------------------------------------------------------------ two interrupts


def save_on_and_on(family: Family, folder: Path, report: int) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        state = family.resume(folder)
        os.write(report, f"resumed {state.step}\n".encode())
        for log in train(state, family.batches):
            checkpoints.save(state, folder)
            os.write(report, f"saved {log.step}\n".encode())
    except KeyboardInterrupt:
        pass


def interrupts(count: int, seed: int, folder: Path, name: str) -> dict:
    family, rng = Family(name, steps=40), random.Random(seed)
    family.cycle(folder / "warm")
    found = dict(interrupted=0, lost=0, unreadable=0)
    for k in range(count):
        here = folder / f"run{k}"
        child, pipe = fork(save_on_and_on, family, here)
        time.sleep(rng.uniform(0.01, 0.08))
        for _ in range(2):
            os.kill(child, signal.SIGINT)
            time.sleep(rng.uniform(0.001, 0.01))
        os.waitpid(child, 0)
        saved = [int(value) for word, value in told(pipe) if word == "saved"]
        found["interrupted"] += max(saved, default=0) < 40
        if saved:
            try:
                found["lost"] += max(saved) > checkpoints.latest(here)["step"]
            except Exception:
                found["unreadable"] += 1
    return found


# ------------------------------------------------------------------ asked to stop


def in_a_terminal(config, folder: Path, report: int) -> None:
    """`gancourse train`; the server reads what it says, and its exit status."""
    sys.stdout = os.fdopen(os.dup(report), "w", buffering=1)
    status = terminal.play("small", "digits", config, folder, save_every=4)
    os.write(report, f"status {status}\n".encode())


def stops(count: int, seed: int, folder: Path) -> dict:
    """Ctrl-C or SIGTERM at random moments, the same command again, to the end."""
    os.environ["TQDM_DISABLE"] = "1"
    for number in (signal.SIGINT, signal.SIGTERM):  # here: a fork may be asked at once
        signal.signal(number, signal.default_int_handler)
    small = GAMES["dcgan"]
    images = data.digits("test").images[:100]
    terminal.GAMES["small"] = terminal.Recipe(lambda recipe: small.build(), 2e-4, 2e-4)
    terminal._images = lambda name: (images, name)
    config, rng = small.config(steps=40, log_every=1), random.Random(seed)
    terminal.play("small", "digits", config, folder / "truth")
    truth = checkpoints.latest(folder / "truth")
    found = dict(stops=0, saved=0, lost=0, failed=0, finished=0, different=0)
    run, saved = 0, 0
    while found["stops"] < count or saved:
        here = folder / f"run{run}"
        child, pipe = fork(in_a_terminal, config, here)
        if found["stops"] < count:
            time.sleep(rng.uniform(0.06, 0.3))
            os.kill(child, rng.choice([signal.SIGINT, signal.SIGTERM]))
        _, status = os.waitpid(child, 0)
        said = [" ".join(words) for words in told(pipe)]
        steps = [int(line.split()[2].strip(".")) for line in said if "Saved s" in line]
        step = (checkpoints.latest(here) or {"step": 0})["step"]
        found["lost"] += step < max([saved, *steps])
        saved = step
        if "status 130" in said:
            found["stops"] += 1
            found["saved"] += bool(steps) and steps[-1] == step
        elif "status 0" in said:
            found["finished"] += 1
            found["different"] += not same(checkpoints.latest(here), truth)
            run, saved = run + 1, 0
        else:  # asked before the run had begun or after its last save: nothing is lost
            found["failed"] += 0 < step < config.steps and bool(steps)
            found["failed"] += os.WIFSIGNALED(status)
    return found


def same(one: object, other: object) -> bool:
    """Whether two checkpoints hold the same, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


if __name__ == "__main__":
    torch.set_num_threads(1)
    kinds = {"random": random_kills, "points": kill_at_every_operation}
    kinds |= {"interrupts": interrupts, "stops": stops}
    what, *rest = sys.argv[1:]
    numbers = [int(word) for word in rest if word.isdecimal()]
    folder, *names = rest[len(numbers) :]
    found = {}
    for k, name in enumerate(names or [""]):
        begun, here = time.perf_counter(), Path(folder) / str(k)
        here.mkdir()
        found[name] = kinds[what](*numbers, here, *([name] if name else []))
        found[name]["seconds"] = round(time.perf_counter() - begun, 1)
    print("\n" + json.dumps(found))
