"""Making bands: a notebook over seeds, threads and precisions, kept run by run."""

import datetime
import json
import os
from pathlib import Path

from gancourse import course, runs, storage
from gancourse.errors import GancourseError


def make(
    number: str,
    profile: str = "cpu",
    count: int = 8,
    precisions: list[str] | None = None,
    out: str | Path = "gancourse-runs",
    fresh: bool = False,
    progress: bool | None = None,
) -> dict[str, dict]:
    """Run a notebook over seeds, threads and precisions; write what came to bands.json.

    Seed k runs on one or two threads in turn. Finished runs are kept in `out`/bands, so
    the command can be stopped and given again.
    """
    from tqdm import tqdm

    runs.need_papermill()
    (book,) = course.find([number])
    profile = course.profile(profile)
    folder = runs.writable_folder(Path(out) / "bands")
    choice = threads()
    plan = [
        {"seed": seed, "threads": choice[seed % len(choice)], "precision": precision}
        for precision in precisions or _precisions(book)
        for seed in range(count)
    ]
    mark = f"{book.number}-{profile}-{course.code_hash(book.path)[:12]}"
    found: dict[str, list[dict]] = {}
    hidden = None if progress is None else not progress
    for settings in tqdm(plan, desc=f"bands of {book.path.stem}", disable=hidden):
        name = "-".join(str(value) for value in settings.values())
        kept = folder / f"{mark}-{name}.json"
        if fresh or not kept.is_file():
            _one_run(book, profile, settings, kept)
        done = json.loads(kept.read_text(encoding="utf-8"))
        found.setdefault(done["precision"], []).append({**settings, **done})
    return _write_bands(book.number, profile, found)


def threads() -> list[int]:
    """The numbers of threads that seeds are run with in turn."""
    return [1, 2] if (os.cpu_count() or 1) > 1 else [1]


def _precisions(book: course.Notebook) -> list[str]:
    """fp32, and what "auto" takes here, where the notebook lets one choose."""
    import nbformat
    import torch

    from gancourse.training import pick_precision

    if "precision" not in runs.known_parameters(nbformat.read(book.path, 4)):
        return ["fp32"]
    here = pick_precision("auto", torch.device(course.device_kind()))
    return list(dict.fromkeys(["fp32", here]))


def _one_run(book: course.Notebook, profile: str, settings: dict, kept: Path) -> None:
    parameters = {"profile": profile, **settings}
    threads = {"OMP_NUM_THREADS": str(settings["threads"])}
    target = kept.with_suffix(".ipynb")
    result = runs.execute(
        book.path, target, parameters, runs.CELL_SECONDS[profile], threads
    )
    if not result.ran or None in result.metrics.values() or not result.metrics:
        raise GancourseError(
            f"{book.path.stem} did not finish with {settings} "
            f"({result.error or 'no metric, or one that is not a number'}), so no band "
            f"was written. Look at {storage.shown(target)}."
        )
    done = {"precision": result.precision, "metrics": result.metrics}
    storage.write_atomically(kept, json.dumps(done).encode())


def _write_bands(number: str, profile: str, found: dict[str, list[dict]]) -> dict:
    """Merge the bands of one notebook into bands.json and return them."""
    import torch

    made = {}
    for precision, done in found.items():
        for metric in done[0]["metrics"]:
            low, high = course.widened([one["metrics"][metric] for one in done])
            name = course.key(number, metric, profile, course.device_kind(), precision)
            made[name] = {
                "low": low,
                "high": high,
                "runs": len(done),
                "seeds": sorted({one["seed"] for one in done}),
                "threads": sorted({one["threads"] for one in done}),
                "torch": torch.__version__.split("+")[0],
                "date": datetime.date.today().isoformat(),
            }
    device = course.device_kind()
    others = {
        name: entry
        for name, entry in course.measured_bands().items()
        if not _same_origin(name, number, profile, device, set(found))
    }
    lines = [
        f"{json.dumps(k)}: {json.dumps(v)}"
        for k, v in sorted({**others, **made}.items())
    ]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    storage.write_atomically(course.BANDS, text.encode())
    return made


def _same_origin(
    name: str, number: str, profile: str, device: str, precisions: set[str]
) -> bool:
    """Whether a band comes from the same notebook, profile, device and precision."""
    notebook, _metric, its_profile, its_device, precision = name.split("|")
    same = (notebook, its_profile, its_device) == (number, profile, device)
    return same and precision in precisions
