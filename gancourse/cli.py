"""The `gancourse` command: start, doctor, run, bands, release, grade, train, sample, …

Exit status: 0 success; 1 a run, a metric or a save failed; 2 wrong usage or input, said
in one sentence on stderr; 130 interrupted. What a command needs is imported by it.
"""

import contextlib
import json
import math
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

from gancourse.errors import GancourseError
from gancourse.options import Parser, one_of, picture_file, rate, whole

# ------------------------------------------------------------------ commands


def start(args) -> int:
    """Open JupyterLab on a notebook of one's own copy of the course."""
    from gancourse import course, doctor, storage, workcopy

    (book,) = course.find([args.notebook])
    if not doctor.there("jupyterlab"):
        raise GancourseError(
            "JupyterLab is not installed here, and nothing was started. "
            'Install it with: python -m pip install -e ".[lab]"'
        )
    for finding in doctor.examine(doctor.SHORT):
        if finding.state == doctor.FAULT:
            print(doctor.text(finding))
    if args.here:
        folder = course.folder().parent
    else:
        folder = storage.absolute(args.dir)
        for note in workcopy.update(folder):
            print(note)
    port = _free_port(args.port)
    token = secrets.token_hex(24)
    page = f"lab/tree/notebooks/{book.path.name}"
    print(f"Your notebooks are in {folder}. JupyterLab opens {book.path.name} at")
    print(f"\n    http://localhost:{port}/{page}?token={token}\n")
    print(
        "Stop it with Ctrl-C here. `gancourse doctor` examines this machine.",
        flush=True,
    )
    command = [sys.executable, "-m", "jupyterlab", f"notebooks/{book.path.name}"]
    command += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    command += ["--ServerApp.log_level=ERROR", f"--ServerApp.root_dir={folder}"]
    command += ["--allow-root"] if _is_root() else []
    command += ["--no-browser"] if args.no_browser or not _has_display() else []
    os.chdir(folder)
    return _become(command, {**os.environ, "JUPYTER_TOKEN": token})


def _become(command: list[str], environment: dict[str, str]) -> int:
    """JupyterLab in place of this process, or its exit status where that cannot be."""
    if sys.platform != "win32":  # exec there leaves the terminal, and splits at spaces
        os.execve(sys.executable, command, environment)
    lab = subprocess.Popen(command, env=environment)
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the lab's own business
            return lab.wait()


def _free_port(asked: int | None) -> int:
    """The port that was asked for, or the first free one from 8888 on."""
    why = ""
    for port in [asked] if asked else [*range(8888, 8908), 0]:
        try:
            with contextlib.closing(socket.socket()) as s:
                s.bind(("127.0.0.1", port))
                return s.getsockname()[1]
        except PermissionError:
            why = "may not be used here"
        except OSError:
            why = "is taken by another program"
    raise GancourseError(
        f"Port {asked} {why}, and nothing was started. Choose another --port, or "
        "leave it out."
    )


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _has_display() -> bool:
    if sys.platform.startswith("linux"):
        return any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    return True


def doctor(args) -> int:
    """Say what this environment can do, and the next step for each fault."""
    from gancourse import doctor

    findings = []
    for finding in doctor.examine():
        findings.append(finding)
        if not args.json:
            print(doctor.text(finding), flush=True)
    print(doctor.as_json(findings) if args.json else f"\n{doctor.summary(findings)}")
    return int(any(finding.state == doctor.FAULT for finding in findings))


def run(args) -> int:
    """Execute notebooks; leave them, a page each, and a table of results."""
    from gancourse import runs

    outcome = runs.run(
        args.notebooks,
        profile=args.profile,
        out=args.out,
        write=args.write,
        force=args.force,
        jobs=args.jobs,
        seed=args.seed,
        cell_seconds=args.cell_seconds,
    )
    print(runs.table(outcome))
    print(f"Executed notebooks and pages are in {args.out}.")
    if args.json:
        from gancourse.storage import write_or_say

        write_or_say(args.json, (json.dumps(outcome, indent=2) + "\n").encode())
    return int(not all(book["ok"] for book in outcome["notebooks"]))


def bands(args) -> int:
    """Run a notebook many times and write the bands of its metrics."""
    from gancourse import bands

    precisions = None if args.precision == ["auto"] else args.precision
    made = bands.make(
        args.notebook, args.profile, args.runs, precisions, args.out, args.fresh
    )
    for name, band in made.items():
        print(f"{name}: {band['low']:.6g} … {band['high']:.6g} ({band['runs']} runs)")
    return 0


def release(args) -> int:
    """Write the exercises from the solutions."""
    from gancourse import release

    changed = release.release(args.check, args.force)
    word = "differs from its solution" if args.check else "written"
    for name in changed:
        print(f"exercises/{name}: {word}")
    if not changed:
        print("The exercises are those of the solutions.")
    return 1 if args.check and changed else 0


def grade(args) -> int:
    """Mark a folder of submitted exercises; a table and a page for each learner."""
    from gancourse import grading, storage

    folder, out = storage.absolute(args.folder), storage.absolute(args.out)
    if not folder.is_dir():
        raise GancourseError(
            f"There is no folder '{args.folder}', and nothing was marked. Name the "
            "folder that holds what was handed in."
        )
    if out.exists():
        raise GancourseError(
            f"'{args.out}' exists already, and was kept; nothing was marked. "
            "Name another file, or move this one away."
        )
    feedback, marks = out.with_name(f"{out.stem}-feedback"), []
    for mark in grading.grade(folder, feedback):
        marks.append(mark)
        what = mark.exercise or mark.notebook or mark.file
        score = f"{mark.points:g}/{mark.of:g}"
        print(f"{mark.student:16} {what:24} {score:6} {mark.remark}", flush=True)
    grading.write(marks, out)
    print("", *grading.totals(marks), sep="\n")
    print(f"\nThe table is {args.out}, the pages are in {feedback.name}/ beside it.")
    return int(not all(mark.exercise for mark in marks))


def site(args) -> int:
    """Write the course as pages that need no network, with slides for a teacher."""
    from gancourse import site as pages

    print(f"Open {pages.build(args.out)} in a browser.")
    return 0


def train(args) -> int:
    """Train a game with the reference loop, or continue a run."""
    from gancourse import play
    from gancourse.training import TrainConfig, pick_device

    recipe = play.GAMES[args.game]
    config = TrainConfig(
        steps=args.steps,
        batch_size=args.batch_size or recipe.batch_size,
        g_lr=args.lr or recipe.g_lr,
        d_lr=args.lr or recipe.d_lr,
        log_every=math.gcd(args.save_every, 10),
        seed=args.seed,
        device=args.device,
        precision=args.precision,
    )
    pick_device(config.device)  # a wrong one is said before any data are read
    folder = args.save or Path("gancourse-runs") / args.game
    return play.play(args.game, args.data, config, folder, args.fresh, args.save_every)


def sample(args) -> int:
    """Draw from the averaged generator of a run."""
    from gancourse import play, sheets

    if args.out.suffix == ".safetensors":
        play.write_generator(args.folder, args.out)
        print(f"Wrote the averaged generator into {args.out}.")
        return 0
    beside = args.out.suffix == ".png"  # a translation beside what it came from
    images = play.sample(args.folder, args.n, args.seed, args.label, beside)
    sheets.write_samples(images, args.out)
    print(f"Drew {len(images):,} images into {args.out}.")
    return 0


def style(args) -> int:
    """Paint a photograph of yours in the manner of paintings."""
    from gancourse import data, images, paint

    images.check_ending(args.out)
    painted = paint.paint(args)
    images.write_image(data.to_uint8(painted)[0], args.out)
    height, width = painted.shape[2:]
    print(f"Painted {args.out} ({width} x {height} pixels).")
    return 0


# ------------------------------------------------------------------ arguments

DATA = (
    "mlp, conditional: digits; dcgan: digits, photos, a folder of pictures; pix2pix: "
    "facades, cmp (fetched once); cyclegan: prints, digits; enhance: x2, x4, noise, "
    "dark, colour (the first one)"
)


def parser() -> Parser:
    """All commands and their options."""
    profiles = one_of("profile", "auto", "smoke", "quick", "cpu", "gpu")
    precisions = one_of("precision", "auto", "fp32", "bf16", "fp16")
    top = Parser(prog="gancourse", description="A course on GANs, run and measured.")
    top.add_argument("--version", action="version", version=_version())
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(function, *lines: str):
        words = function.__doc__
        one = commands.add_parser(function.__name__, help=words, description=words)
        one.set_defaults(function=function)
        return one.add_argument

    add = command(start)
    add("notebook", nargs="?", default="00", metavar="NN", help="notebook (00)")
    add("--dir", default="gancourse-work", help="your copy (gancourse-work)")
    add("--here", action="store_true", help="the repository itself, for authors")
    add("--port", type=whole(1, 65_535), help="port (the first free one from 8888)")
    add("--no-browser", action="store_true", help="only print the address")

    command(doctor)("--json", action="store_true", help="print JSON")

    out = dict(type=Path, default=Path("gancourse-runs"), metavar="DIR")
    add = command(run)
    add("notebooks", nargs="*", metavar="NN", help="notebooks (all)")
    add("--profile", type=profiles, default="auto", help="smoke, quick, cpu, gpu, auto")
    add("--out", **out, help="where results go (gancourse-runs)")
    add("--json", type=Path, metavar="FILE", help="write the results as JSON")
    add("--write", action="store_true", help="store outputs in the course's notebooks")
    add("--force", action="store_true", help="with --write: over uncommitted changes")
    words = "notebooks at a time (2 where there are two cores and no GPU)"
    add("--jobs", type=whole(1, 256), help=words)
    add("--seed", type=whole(0), help="seed instead of the notebook's own")
    add("--cell-seconds", type=whole(1), metavar="S", help="time limit for a cell")

    add = command(bands)
    add("notebook", metavar="NN")
    add("--runs", type=whole(2), default=8, help="seeds for each precision (8)")
    add("--profile", type=profiles, default="cpu", help="profile (cpu)")
    words = "precisions, where the notebook lets one choose (fp32 and the fastest)"
    add("--precision", type=precisions, nargs="+", default=["auto"], help=words)
    add("--out", **out, help="where finished runs are kept (gancourse-runs)")
    add("--fresh", action="store_true", help="do not use runs finished earlier")

    add = command(release)
    add("--check", action="store_true", help="write nothing, only compare")
    add("--force", action="store_true", help="over uncommitted changes")

    add = command(grade)
    add("folder", metavar="FOLDER", help="one folder or notebook for each learner")
    add("--out", type=Path, required=True, metavar="FILE", help="the table, a .csv")

    command(site)(
        "--out", type=Path, default=Path("gancourse-site"), metavar="DIR",
        help="where the pages go (gancourse-site)",
    )  # fmt: skip

    add = command(train)
    games = ("mlp", "dcgan", "conditional", "pix2pix", "cyclegan", "enhance")
    add("game", type=one_of("game", *games), metavar="GAME", help=", ".join(games))
    add("--data", metavar="DATA", help=DATA)
    add("--steps", type=whole(1), default=2000, help="generator updates in all (2000)")
    words = "folder of the run, continued when there is one (gancourse-runs/GAME)"
    add("--save", type=Path, metavar="DIR", help=words)
    add("--save-every", type=whole(1), default=500, help="steps between saves (500)")
    add("--fresh", action="store_true", help="put an earlier run aside, start anew")
    add("--seed", type=whole(0), default=0, help="seed (0)")
    add("--device", default="auto", help="auto, cpu, cuda, mps (auto)")
    add("--precision", type=precisions, default="auto", help="auto, fp32, bf16, fp16")
    add("--lr", type=rate, help="learning rate of both players (what suits the game)")
    add(
        "--batch-size",
        type=whole(1, 1_000_000),
        help="images a step (what suits the game)",
    )

    add = command(sample)
    add("folder", type=Path, metavar="DIR", help="folder of a run")
    add("--n", type=whole(1, 1_000_000), default=64, help="how many (64)")
    add("--label", type=whole(0), help="class, where the game has labels (all)")
    add("--seed", type=whole(0), default=0, help="seed of the latents (0)")
    words = ".png for a grid, .npz for the array `images`, .safetensors for the weights"
    add("--out", type=picture_file, required=True, metavar="FILE", help=words)

    _of_style(command(style))
    return top


def _of_style(add) -> None:
    """The options of `gancourse style`."""
    add("content", type=Path, metavar="CONTENT", help="the photograph, a picture file")
    words = "a painting, or several (fast: one, by its name)"
    add("style", type=Path, nargs="+", metavar="STYLE", help=words)
    add("--out", type=Path, required=True, metavar="FILE", help=".png, .jpg or .webp")
    methods = one_of("method", "gatys", "fast", "adain")
    words = "gatys: pixels descend; fast: one pass, two painters; adain: one pass, any"
    add("--method", type=methods, default="gatys", help=words)
    add(
        "--size", type=whole(32, 5_000), default=320, help="longer side in pixels (320)"
    )
    add("--steps", type=whole(1), default=150, help="steps of gatys (150)")
    words = "how much of each painting (gatys; equal)"
    add("--weights", type=rate, nargs="+", metavar="W", help=words)
    words = "the photograph's colours, not the painting's (gatys)"
    add("--keep-colours", action="store_true", help=words)
    words = "layers that see the style (gatys; conv1_1 conv2_1 conv3_1 conv4_1)"
    add("--layers", nargs="+", metavar="LAYER", help=words)
    add("--tv", type=rate, default=2.0, help="weight of smoothness (gatys; 2)")
    optimizers = one_of("optimizer", "lbfgs", "adam")
    add("--optimizer", type=optimizers, default="lbfgs", help="lbfgs or adam (lbfgs)")
    nets = one_of("net", "vgg16", "vgg19")
    words = "vgg16 (embedded), or vgg19: 548 MB, fetched once (gatys)"
    add("--net", type=nets, default="vgg16", help=words)


def _version() -> str:
    from gancourse import __version__

    return __version__


def main(argv: list[str] | None = None) -> int:
    """Run a command; the exit status."""
    for stream in (sys.stdout, sys.stderr):  # a C locale has no “…”: show ? instead
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    args = parser().parse_args(argv)
    try:
        return args.function(args)
    except GancourseError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ImportError, RuntimeError) as error:
        if "torchvision" not in str(error) and not isinstance(error, ImportError):
            raise
        print(
            f"Something that gancourse needs is broken: {str(error).splitlines()[0]}. "
            "Run `gancourse doctor`, which says what to do.",
            file=sys.stderr,
        )
        return 2
