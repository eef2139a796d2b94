"""The notebooks as a course: what a profile is, what you should have got, who is where.

Notebooks call `profile` and `report`; running them is in runs.py.
"""

import hashlib
import json
import math
import os
import re
import sys
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import NamedTuple

from gancourse import order, settings
from gancourse.errors import GancourseError

PROFILES = ("smoke", "quick", "cpu", "gpu")
MIME = "application/vnd.gancourse.metrics+json"
BANDS = Path(__file__).parent / "bands.json"

# Identities hold to rounding error whatever the machine: their band is [0, this].
IDENTITIES = {
    ("00", "weights_that_differ"): 0.0,
    ("01", "bce_error"): 1e-6,
    ("01", "d_star_slope"): 1e-12,
    ("01", "v_identity_error"): 1e-8,
    ("01", "gradient_closed_form_error"): 1e-12,
    ("01", "ns_divergence_error"): 1e-7,
    ("01", "w1_error"): 1e-9,
    ("03", "bilinear_error"): 1e-12,
    ("03", "radius_error"): 1e-12,
    ("03", "field_error"): 1e-12,
    ("03", "r1_distance"): 1e-10,
    ("03", "many_difference"): 1e-5,
    ("04", "hand_difference"): 1e-6,
    ("04", "resume_difference"): 0.0,
    ("06", "hand_difference"): 1e-6,
    ("06", "decoy_difference"): 1e-5,
    ("07", "projection_error"): 1e-10,
    ("07", "hand_difference"): 1e-5,
    ("07", "heads_difference"): 1e-5,
    ("10", "hand_difference"): 1e-5,
    ("10", "pool_difference"): 0.0,
    ("11", "checkerboard_difference"): 0.0,
    ("11", "filter_error"): 1e-4,
    ("11", "hand_difference"): 1e-6,
    ("14", "bag_difference"): 1e-5,
    ("14", "gru_difference"): 1e-5,
    ("14", "matching_difference"): 1e-5,
    ("14", "hand_difference"): 1e-5,
    ("08", "kl_error"): 1e-9,
    ("08", "elbo_difference"): 1e-5,
    ("08", "bound_gap"): 1e-3,
    ("08", "diffusion_difference"): 1e-4,
    ("09", "yuv_error"): 1e-6,
    ("09", "field_error"): 0.0,
    ("09", "hand_difference"): 1e-4,
    ("A2", "slope_error"): 1e-12,
    ("A2", "l2_answer"): 1e-6,
    ("A2", "negative_error"): 1e-6,
    ("A2", "adjoint_error"): 1e-5,
    ("A2", "batch_mates_eval"): 1e-5,
    ("A2", "softmax_slope"): 0.0,
    ("A2", "gram_size_error"): 1e-5,
    ("12", "mmd_error"): 1e-6,
    ("12", "tiling_error"): 1e-6,
    ("12", "hand_difference"): 1e-3,
    ("13", "net_difference"): 1e-5,
    ("13", "loss_difference"): 1e-5,
    ("13", "adain_difference"): 1e-4,
    ("13", "adversarial_difference"): 1e-4,
    ("13", "zero_weight_error"): 1e-4,
    ("A1", "broken_links"): 0.0,
    ("A1", "double_terms"): 0.0,
}
# What a metric can be at all, where its measured band, which is widened, would go on.
POSSIBLE = {
    ("02", "modes_calmed"): (0, 8),
    ("02", "push_ratio_minimax"): (0, math.inf),
    ("02", "push_ratio_nonsaturating"): (0, math.inf),
    ("02", "radius_sgd"): (0, math.inf),
    ("03", "fgsm_fooled"): (0, 1),
    ("03", "grid_collapsed"): (0, 25),
    ("03", "leak_shear_both"): (0, 1),
    ("03", "leak_zoom_both"): (0, 1),
    ("07", "skew_rare_right"): (0, 1),
    ("07", "stein_cosine"): (-1, 1),
    ("08", "sharpness_ae"): (0, math.inf),
    ("10", "called_chalk"): (0, 1),
    ("10", "called_photo"): (0, 1),
    ("10", "called_print"): (0, 1),
    ("10", "called_target"): (0, 1),
    ("10", "digit_kept"): (0, 1),
    ("13", "live_style_beginner"): (0, math.inf),
    ("14", "gumbel_error"): (0, math.inf),
    ("14", "other_without"): (0, 1),
    ("A2", "article_loss"): (0, math.inf),
    ("A2", "code_error"): (0, math.inf),
    ("A2", "errors_caught"): (0, 1),
    ("A2", "no_fakes_d_fake"): (0, 1),
    ("A2", "noise_on_modes"): (0, 1),
}
# What the course promises in the profiles cpu and gpu: measured bands are cut here.
LIMITS = {
    ("00", "classes_drawn"): (10, 10),
    ("01", "trained_d_max_error"): (0, 0.02),
    ("02", "overlap_1d"): (0.9, 1),
    ("02", "modes_shaking"): (0, 4),
    ("03", "hover_distance"): (0.1, 1),
    ("03", "modes_collapsed"): (0, 4),
    ("03", "modes_repaired"): (8, 8),
    ("03", "seeds_collapsed"): (4, 5),
    ("03", "seeds_repaired"): (4, 5),
    ("03", "verdicts_right"): (0.9, 1),
    ("04", "classes"): (10, 10),
    ("04", "frechet_share_of_noise_anchor"): (0, 0.5),
    ("04", "histogram_tv"): (0, 0.15),
    ("05", "judge_accuracy"): (0.985, 1),
    ("05", "memoriser_ratio"): (0, 0.5),
    ("06", "broken_missed"): (16, 16),
    ("06", "repaired_met"): (16, 16),
    ("06", "decoys_within_noise"): (3, 3),
    ("07", "requested_class"): (0.95, 1),
    ("07", "frechet_share_of_noise_anchor"): (0, 0.4),
    ("07", "steering_leak_share"): (0, 1 / 3),
    ("11", "x4_psnr_gain"): (0.3, 10),
    ("11", "x4_kid_share_of_l1"): (-1, 0.9),
    ("11", "noise_psnr_gain"): (3, 20),
    ("11", "dark_psnr_gain"): (3, 30),
    ("11", "chroma_share_of_grey"): (0, 0.9),
    ("11", "chroma_share_of_mean"): (0, 0.95),
    ("11", "plane_orders_kept"): (8, 8),
    ("11", "checkerboard_mse"): (0.25, 0.26),
    ("A2", "cooperating_d_real"): (0, 0.1),
    ("A2", "noise_on_modes"): (0, 0.1),
    ("A2", "errors_caught"): (1, 1),
    ("12", "style_share"): (0, 0.1),
    ("12", "sweep_orders_kept"): (6, 6),
    ("13", "speed_up_flops"): (100, 10_000),
    ("14", "agreement"): (0.9, 1),
    ("14", "ceiling"): (0.97, 1),
    ("14", "right_over_other"): (0.9, 1),
    ("14", "right_over_edit"): (0.8, 1),
    ("08", "modes_ae"): (0, 0),
    ("08", "modes_vae"): (8, 8),
    ("08", "modes_exact_score"): (8, 8),
    ("08", "ring_error"): (0, 1e-4),
    ("08", "psnr_gain_8"): (0.1, 20),
    ("08", "psnr_gain_32"): (0.1, 20),
    ("08", "parameter_spread"): (0, 0.05),
    ("08", "flop_spread"): (0, 0.05),
    ("08", "blur_share"): (0, 1),
    ("08", "bridge_error_ratio"): (0, 1.1),
    ("08", "bridge_sharpness_gain"): (1, 10),
    ("09", "recovery_both"): (0.9, 1),
    ("09", "psnr_l1_minus_both"): (0, 10),
    ("09", "kid_share_of_l1"): (-1, 0.9),
    ("10", "called_target"): (0.9, 1),
    ("10", "called_chalk"): (0.9, 1),
    ("10", "called_painted"): (0.9, 1),
    ("10", "called_photo"): (0.9, 1),
    ("10", "cycle_share"): (0, 0.5),
    ("09", "recovery_painted"): (0.9, 1),
}

# ------------------------------------------------------------------ profiles


def profile(asked: str = "auto") -> str:
    """One of "smoke", "quick", "cpu", "gpu".

    An explicit wish wins, then the environment variable GANCOURSE_PROFILE, then "gpu"
    where there is a CUDA device and "cpu" elsewhere. In a notebook it looks at the
    other parameters too, so that a slip is said at the top and not far below.
    """
    _check_parameters()
    where = "profile"
    if asked == "auto" and os.environ.get("GANCOURSE_PROFILE"):
        asked, where = os.environ["GANCOURSE_PROFILE"], "GANCOURSE_PROFILE"
    if asked == "auto":
        return "gpu" if device_kind() == "cuda" else "cpu"
    if asked not in PROFILES:
        raise GancourseError(
            f"{where} is {asked!r}, and nothing was run. "
            f"Choose auto, {', '.join(PROFILES[:-1])} or {PROFILES[-1]}."
        )
    return asked


def _check_parameters() -> None:
    """Refuse a seed or a precision that no cell of the notebook could use."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    names = {} if shell is None else shell.user_ns
    seed, precision = names.get("seed", 0), names.get("precision", "auto")
    wanted = "and nothing was run. Change it in the cell of the parameters"
    if not settings.whole(seed, 0, 2**63 - 1):
        raise GancourseError(
            f"seed is {str(seed)[:40]!r}, {wanted} to a whole number from 0 to 2^63."
        )
    if precision not in ("auto", "fp32", "bf16", "fp16"):
        raise GancourseError(
            f"precision is {str(precision)[:40]!r}, {wanted} to auto, fp32, bf16 or "
            "fp16."
        )


def device_kind() -> str:
    """ "cuda" or "cpu": where the notebooks compute on this machine."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


# ------------------------------------------------------------------ bands


def key(notebook: str, metric: str, profile: str, device: str, precision: str) -> str:
    """The name of a band in bands.json."""
    return "|".join([notebook, metric, profile, device, precision])


@lru_cache(maxsize=1)
def _measured_bands(path: Path, changed: float) -> dict[str, dict]:
    return json.loads(path.read_text(encoding="utf-8"))


def measured_bands() -> dict[str, dict]:
    """All of bands.json: {key: {low, high, runs, seeds, torch, threads, date}}."""
    return _measured_bands(BANDS, BANDS.stat().st_mtime) if BANDS.is_file() else {}


def band(
    notebook: str, metric: str, profile: str, device: str, precision: str = "fp32"
) -> tuple[float, float] | None:
    """(low, high) in which this metric should lie; None when it is neither promised
    nor measured."""
    if (notebook, metric) in IDENTITIES:
        return (0.0, IDENTITIES[notebook, metric])
    grown = profile in ("cpu", "gpu")
    promised = LIMITS.get((notebook, metric)) if grown else None
    measured = measured_bands().get(key(notebook, metric, profile, device, precision))
    if measured is None:
        return promised
    low, high = measured["low"], measured["high"]
    for cut in filter(None, [promised, POSSIBLE.get((notebook, metric))]):
        low, high = max(low, cut[0]), min(high, cut[1])
    return low, high


def inside(value: float, limits: tuple[float, float]) -> bool:
    """Whether a value lies in its band; what is not a number lies in none."""
    return limits[0] <= value <= limits[1]


def widened(values: list[float]) -> tuple[float, float]:
    """[min - half the range, max + half the range] of a metric over several runs.

    A metric that no seed touches still differs a little on another machine (a count of
    2,000 by a few), so half the range is taken as at least half a per cent of its size.
    """
    low, high = min(values), max(values)
    half = max((high - low) / 2, 5e-3 * max(abs(low), abs(high)), 1e-12)
    return low - half, high + half


# ------------------------------------------------------------------ the report


def report(notebook: str, profile: str, metrics: dict, precision: str = "fp32") -> None:
    """Show the metrics of this run beside their bands, and store them for machines.

    Never raises because of a value: a metric outside its band is said to be so.
    """
    device = device_kind()
    if precision == "auto":
        import torch

        from gancourse.training import pick_precision

        precision = pick_precision(precision, torch.device(device))
    values = {name: _number(value) for name, value in metrics.items()}
    bands = {name: band(notebook, name, profile, device, precision) for name in values}
    payload = {
        "notebook": notebook,
        "profile": profile,
        "device": device,
        "precision": precision,
        # JSON has no "not a number": such a value is stored as null.
        "metrics": {n: v if math.isfinite(v) else None for n, v in values.items()},
        "bands": {name: list(limits) for name, limits in bands.items() if limits},
    }
    rows = [(n, *_row(values[n], bands[n])) for n in values]
    where = f"profile {profile}, device {device}, {precision}"
    text = _as_text(rows, where)
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = lambda: None  # noqa: E731
    if get_ipython() is None:
        print(text)
        return
    shown = {"text/html": _as_html(rows, where), "text/plain": text, MIME: payload}
    display(shown, raw=True)


def _number(value: object) -> float | int:
    """The value as a plain number; not-a-number for what is none."""
    try:
        value = value.item() if hasattr(value, "item") else value
        return int(value) if isinstance(value, bool | int) else float(value)
    except (TypeError, ValueError, RuntimeError):
        return math.nan


def _row(value: float, limits: tuple[float, float] | None) -> tuple[str, str, str]:
    """(value, band, verdict) as they are shown."""
    if limits is None:
        return _short(value), "", "no band yet"
    words = f"{_short(limits[0])} … {_short(limits[1])}"
    return _short(value), words, "in its band" if inside(value, limits) else "outside"


def _short(value: float) -> str:
    """1,234 for counts, four digits for the rest."""
    if math.isfinite(value) and value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.4g}"


def _as_text(rows: list[tuple[str, str, str, str]], where: str) -> str:
    lines = [("metric", "yours", "band", ""), *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    table = (
        "  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)) for r in lines
    )
    return "\n".join([*(line.rstrip() for line in table), f"({where})"])


def _as_html(rows: list[tuple[str, str, str, str]], where: str) -> str:
    head = "".join(f'<th scope="col">{t}</th>' for t in ("metric", "yours", "band", ""))
    body = ""
    for name, value, limits, verdict in rows:
        words = f"<strong>{verdict}</strong>" if verdict == "outside" else verdict
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in (value, limits))
        name = escape(name.replace("_", " "))
        body += f'<tr><th scope="row">{name}</th>{cells}<td>{words}</td></tr>'
    caption = f"<caption>What this run gave ({escape(where)})</caption>"
    return (
        f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


# ------------------------------------------------------------------ the notebooks


class Notebook(NamedTuple):
    """A notebook of the course: "01", its file, its title."""

    number: str
    path: Path
    title: str


def folder() -> Path:
    """The course's notebooks: beside the package, or in the current folder."""
    for root in (Path(__file__).resolve().parents[1], Path.cwd()):
        if any((root / "notebooks").glob("[0-9A-Z][0-9]_*.ipynb")):
            return root / "notebooks"
    raise GancourseError(
        "The course's notebooks are not here: the package was installed without its "
        "repository. Clone the repository, enter it, and install with: "
        'python -m pip install -e ".[lab]"'
    )


def notebooks() -> list[Notebook]:
    """All notebooks of the course, by number."""
    found = []
    for path in sorted(folder().glob("[0-9A-Z][0-9]_*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        first = "".join(cells[0]["source"]) if cells else ""
        heading = re.match(r"# (?:\w\d )?(.+)", first)
        found.append(
            Notebook(path.name[:2], path, heading[1] if heading else path.stem)
        )
    return found


def find(numbers: list[str]) -> list[Notebook]:
    """The notebooks named by "1", "01" or "01_minimax_game"; all when none is named."""
    there = notebooks()
    if not numbers:
        return there
    by_number = {book.number: book for book in there}
    chosen = []
    for name in numbers:
        named = re.fullmatch(r"(\d\d?|[A-Za-z]\d)(_\w+)?(\.ipynb)?", Path(name).name)
        number = named[1].zfill(2).upper() if named else ""
        if number not in by_number:
            raise GancourseError(
                f"There is no notebook '{name}', and nothing was done. "
                f"Choose from {', '.join(by_number)}."
            )
        chosen.append(by_number[number])
    return list(dict.fromkeys(chosen))


def code_hash(path: str | Path) -> str:
    """SHA-256 of a notebook's code cells: says whether outputs belong to their code."""
    cells = json.loads(Path(path).read_text(encoding="utf-8"))["cells"]
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()


order.watch()  # every notebook imports this module in its first cells
