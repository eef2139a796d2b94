"""What this environment can do, and the next step for each fault.

Every check stands alone and imports what it looks at itself, so that a broken torch or
torchvision is found, not stumbled over. No check needs a network.
"""

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import locale
import os
import platform
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

OK, NOTE, FAULT = "ok", "note", "fault"
LEAST = {"Python": (3, 11), "torch": (2, 8), "numpy": (1, 26), "matplotlib": (3, 8)}
TESTED = {"Python": (3, 12), "torch": (2, 15)}  # the newest; see the README
_WORDS = {OK: "ok   ", NOTE: "note ", FAULT: "FAULT"}


@dataclass(frozen=True)
class Finding:
    """One line of the examination. A note works, with a limit; a fault does not."""

    topic: str
    state: str
    what: str
    next: str = ""


# ------------------------------------------------------------------ the software


def check_python() -> Finding:
    """Which Python runs, and whether in an environment of its own."""
    if finding := _wrong_age("Python", platform.python_version()):
        return finding
    if sys.flags.optimize:
        what = "it was told to skip every assert (PYTHONOPTIMIZE, or python -O)"
        return Finding("Python", NOTE, what, "Unset PYTHONOPTIMIZE.")
    where = "a virtual environment" if sys.prefix != sys.base_prefix else "no venv"
    return Finding("Python", OK, f"{platform.python_version()}, {where}")


def check_torch() -> Finding:
    """torch itself, and whether it is recent enough."""
    try:
        import torch
    except Exception as error:
        return Finding(
            "torch",
            FAULT,
            f"cannot be imported: {_first_line(error)}",
            _torch_remedy(error),
        )
    if not hasattr(torch, "__version__"):  # a folder or a file of that name
        what = (
            f"is not torch itself, but {getattr(torch, '__file__', '') or 'a folder'}"
        )
        return Finding("torch", FAULT, what, "Rename that file or folder.")
    ok = Finding("torch", OK, torch.__version__)
    return _wrong_age("torch", torch.__version__) or ok


def _wrong_age(name: str, version: str) -> Finding | None:
    """A finding on a version too old, or newer than any that was tried."""
    least = ".".join(map(str, LEAST[name]))
    if _release(version) < LEAST[name]:
        cure = f'Run: python -m pip install --upgrade "{name}>={least}"'
        cure = cure if name != "torch" else f"{cure} torchvision"
        cure = cure if name != "Python" else f"Install Python {least} or newer."
        return Finding(name, FAULT, f"{version} is too old, {least} is needed", cure)
    if _release(version) > TESTED.get(name, (99, 0)):
        newest = ".".join(map(str, TESTED[name]))
        what = f"{version} is newer than what the course was tried with ({newest})"
        return Finding(name, NOTE, what, "Report what breaks.")
    return None


def _torch_remedy(error: Exception) -> str:
    if "numpy" in str(error).lower():
        return "Run: python -m pip install --upgrade numpy torch torchvision"
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return "Run: python -m pip install torch torchvision"
    return (
        "Run: python -m pip install --force-reinstall --no-cache-dir torch torchvision"
    )


def check_torchvision() -> Finding:
    """The pair must fit: torchvision's compiled operators belong to one torch."""
    try:
        import torchvision
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == "torchvision":
            what = "is not installed"
        elif "torchvision::nms" in str(error):
            what = "was built for another torch (operator torchvision::nms is missing)"
        else:
            what = f"cannot be imported: {_first_line(error)}"
        return Finding("torchvision", FAULT, what, torchvision_remedy())
    return Finding("torchvision", OK, torchvision.__version__)


def torchvision_remedy() -> str:
    """The exact lines that bring a torchvision which fits the torch that is there."""
    torch = _version("torch").split("+")[0]
    pin = f' "torch=={torch}"' if torch else " torch"
    return (
        "Run: python -m pip uninstall -y torchvision && python -m pip install "
        f"--no-cache-dir torchvision{pin} (both from the same index: CPU or CUDA)"
    )


def check_packages() -> Finding:
    """What the notebooks import besides torch."""
    names = "numpy matplotlib tqdm skimage safetensors torchmetrics torch_fidelity"
    absent = [n for n in [*names.split(), "cloudpickle"] if not there(n)]
    if absent:
        return Finding(
            "packages",
            FAULT,
            f"not installed: {', '.join(absent)}",
            'Run: python -m pip install -e ".[lab]" in the folder of the course.',
        )
    for name in ("numpy", "matplotlib"):
        if finding := _wrong_age(name, _version(name)):
            return finding
    return Finding("packages", OK, "all that the notebooks import")


def check_names() -> Finding:
    """A file in the current folder that is imported instead of a module of its name."""
    ours = {"torch", "torchvision", "numpy", "matplotlib", "PIL", "tqdm", "IPython"}
    hidden = sys.stdlib_module_names | ours
    try:
        files = sorted(f.name for f in Path().glob("*.py") if f.stem in hidden)
    except OSError:  # no current folder: check_folders says so
        files = []
    if files:
        what = f"{', '.join(files)[:100]} here is imported instead of that module"
        return Finding("names", FAULT, what, "Rename the file.")
    return Finding("names", OK, "no file here hides a module")


def check_figures() -> Finding:
    """matplotlib, which can be told to draw on something that is not there."""
    try:
        import matplotlib

        matplotlib.rcsetup.validate_backend(matplotlib.get_backend())
    except Exception as error:
        asked = os.environ.get("MPLBACKEND")
        cure = "Run: python -m pip install --force-reinstall matplotlib"
        if asked:
            cure = f"Unset MPLBACKEND, which is {asked!r}."
        return Finding("figures", FAULT, f"matplotlib: {_first_line(error)}", cure)
    return Finding("figures", OK, f"matplotlib {matplotlib.__version__}")


def check_browser() -> Finding:
    """What `gancourse start` opens the notebooks in."""
    import webbrowser

    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        return Finding("browser", OK, "this notebook is open in one")
    try:
        webbrowser.get()
    except webbrowser.Error:
        what = "none was found: `gancourse start` prints the address instead"
        return Finding("browser", NOTE, what, "Open that address where there is one.")
    return Finding("browser", OK, "there is one")


def check_network() -> Finding:
    """The core needs none; but a proxy that is no address breaks what little does."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        asked = os.environ.get(name, "")
        if asked and not re.fullmatch(r"https?://[^/\s]*\w(:\d+)?/?", asked):
            what = f"{name} is not of the form http://name:port"
            return Finding("network", NOTE, what, f"Unset {name}, or correct it.")
    return Finding("network", OK, "not needed, and not asked")


def check_widgets() -> Finding:
    """ipywidgets and anywidget, as new as Colab's at least."""
    for name, least in [("ipywidgets", (7, 7)), ("anywidget", (0, 9))]:
        version = _version(name)
        if not version or _release(version) < least:
            wanted = ".".join(map(str, least))
            what = f"{name} {version or 'is not installed'}, {wanted} is needed"
            remedy = f'Run: python -m pip install --upgrade "{name}>={wanted}"'
            return Finding("widgets", FAULT, what, f"{remedy}. Until then: text.")
    versions = [f"{n} {_version(n)}" for n in ("ipywidgets", "anywidget")]
    return Finding("widgets", OK, ", ".join(versions))


def check_lab() -> Finding:
    """Needed for `gancourse start` and `gancourse run`; Colab has a lab of its own."""
    names = ("jupyterlab", "papermill", "nbconvert", "ipykernel")
    if absent := [name for name in names if not there(name)]:
        return Finding(
            "JupyterLab",
            NOTE,
            f"not installed: {', '.join(absent)} (gancourse start and run need them)",
            'Run: python -m pip install -e ".[lab]" in the folder of the course.',
        )
    if stranger := _foreign_kernel():
        return Finding(
            "JupyterLab",
            NOTE,
            f"the kernel “Python 3” runs another Python: {stranger}",
            "Run: python -m ipykernel install --user (names this Python instead).",
        )
    return Finding("JupyterLab", OK, _version("jupyterlab"))


def _foreign_kernel() -> str:
    """The Python of the registered kernel python3 when it is not this one, else ""."""
    try:
        from jupyter_client.kernelspec import KernelSpecManager

        program = KernelSpecManager().get_kernel_spec("python3").argv[0]
    except Exception:  # no kernel registered: JupyterLab offers its own
        return ""
    named = shutil.which(program) or program
    bare = program.startswith("python") and "/" not in program  # replaced by this one
    same = os.path.abspath(named) == os.path.abspath(sys.executable)
    return "" if bare or same else program


# ------------------------------------------------------------------ the machine


def check_device() -> Finding:
    """Name the device and compare a tiny game on it with the same on the CPU."""
    import torch

    with warnings.catch_warnings(record=True) as said:  # e.g. of an old driver
        warnings.simplefilter("always")
        cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if cuda or mps:
        return _gpu("cuda" if cuda else "mps")
    if _disagreement(torch.device("cpu")) != 0:
        return Finding("device", FAULT, "the CPU computes no two equal results", "")
    if said:
        what = f"CPU; the GPU cannot be used: {_first_line(said[0].message)}"
        return Finding("device", NOTE, what, "Update the driver, or go on without it.")
    why = "" if torch.version.cuda is None else " (this torch finds no GPU)"
    return Finding("device", OK, f"CPU{why}: everything runs, a GPU is not needed")


def _gpu(kind: str) -> Finding:
    """Does the GPU work, is it free, and does it compute what the CPU computes?"""
    import torch

    avoid = "Set CUDA_VISIBLE_DEVICES= (empty) to use the CPU, or update the driver."
    if kind == "mps":
        avoid = "Use the CPU, which device='auto' takes here."
    name, free = f"The GPU ({kind})", float("inf")
    try:
        if kind == "cuda":
            name = torch.cuda.get_device_name()
            free = torch.cuda.mem_get_info()[0] / 1e9
        difference = _disagreement(torch.device(kind))
    except Exception as error:
        return Finding("device", FAULT, f"{name} fails: {_first_line(error)}", avoid)
    if not difference < 1e-3:
        what = f"{name} disagrees with the CPU by {difference:.1e} in a tiny game"
        return Finding("device", FAULT, what, avoid)
    if free < 1:
        what = f"{name} has only {free:.1f} GB free"
        return Finding("device", NOTE, what, "Close what else uses the GPU.")
    room = f", {free:.0f} GB free" if kind == "cuda" else ""
    return Finding("device", OK, f"{name}{room}, agrees with the CPU")


def _disagreement(device) -> float:
    """Largest relative difference of a tiny game's gradients, `device` against CPU."""
    import torch

    here, there = tiny_game(torch.device("cpu")), tiny_game(device)
    scale = max(value.abs().max().item() for value in here)
    gaps = [(a - b).abs().max().item() for a, b in zip(here, there, strict=True)]
    return max(gap if gap == gap else float("inf") for gap in gaps) / scale


def tiny_game(device) -> list:
    """Gradients of one step of a small convolutional G and D, float32 on the CPU."""
    import torch
    from torch import nn
    from torch.nn.functional import softplus

    rng = torch.Generator().manual_seed(0)
    G = nn.Sequential(nn.ConvTranspose2d(4, 8, 4, 2, 1), nn.ReLU(), nn.Conv2d(8, 1, 3))
    D = nn.Sequential(nn.Conv2d(1, 8, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten())
    D.append(nn.Linear(8 * 49, 1))
    weights = [*G.parameters(), *D.parameters()]
    with torch.no_grad():
        for weight in weights:
            weight.copy_(0.1 * torch.randn(weight.shape, generator=rng))
    z, real = (torch.randn(4, c, s, s, generator=rng) for c, s in [(4, 8), (1, 14)])
    G.to(device), D.to(device)
    fake = G(z.to(device))
    loss = softplus(-D(real.to(device))).mean() + softplus(D(fake)).mean()
    gradients = torch.autograd.grad(loss, [*G.parameters(), *D.parameters()])
    return [gradient.float().cpu() for gradient in gradients]


def check_precision() -> Finding:
    """What "auto" takes here."""
    import torch

    from gancourse.training import pick_precision

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = pick_precision("auto", device)
    fast = (
        "16 bits where they pay" if precision != "fp32" else "32 bits: 16 gain nothing"
    )
    return Finding("precision", OK, f"{precision} ({fast} here)")


def check_threads() -> Finding:
    """OMP_NUM_THREADS and MKL_NUM_THREADS, which can quietly ruin a run."""
    import torch

    cores = _cores()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        asked = os.environ.get(name, "")
        first = asked.split(",")[0].strip()
        if asked and not (first.isdigit() and 1 <= int(first) <= 4 * cores):
            what = f"{name} is {asked[:40]!r} on {cores} cores"
            cure = f"Unset {name}, or set it to a number from 1 to {cores}."
            return Finding("threads", FAULT, what, cure)
    return Finding("threads", OK, f"{torch.get_num_threads()} on {cores} cores")


def _cores() -> int:
    """Cores that this process may use (a container may have fewer than the machine)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ------------------------------------------------------------------ files


def check_assets() -> Finding:
    """Compare every embedded file with its checksum."""
    folder = Path(__file__).parent / "assets"
    reinstall = (
        "Run: git checkout gancourse/assets (in the folder of the course), or install "
        "it again"
    )
    try:
        lines = (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    except OSError:
        return Finding("course data", FAULT, "the list of files is missing", reinstall)
    damaged = []
    for digest, name in (line.split(None, 1) for line in lines):
        try:
            found = hashlib.sha256((folder / name.strip()).read_bytes()).hexdigest()
        except OSError:
            found = "absent"
        if found != digest:
            damaged.append(name.strip())
    if damaged:
        what = f"damaged or missing: {', '.join(damaged)[:200]}"
        return Finding("course data", FAULT, what, reinstall)
    return Finding("course data", OK, f"{len(lines)} files, all whole")


def check_notebooks() -> Finding:
    """The course's notebooks: a bare installation has none."""
    from gancourse import course
    from gancourse.errors import GancourseError

    try:
        there = course.notebooks()
    except (OSError, GancourseError):  # OSError: the current folder is gone
        what = "not here: the package was installed without its repository"
        return Finding(
            "notebooks", NOTE, what, "Clone the repository to have them all."
        )
    return Finding("notebooks", OK, f"{len(there)} are here")


def check_folders() -> Finding:
    """Can anything be written where one works, and where caches go?"""
    if not _writable(tempfile.gettempdir()):
        what = f"the temporary folder {tempfile.gettempdir()} cannot be written to"
        return Finding("folders", FAULT, what, "Set TMPDIR to a folder of your own.")
    try:
        here = os.getcwd()
    except OSError:
        what = "the current folder is gone"
        return Finding("folders", FAULT, what, "Change to a folder that exists.")
    if not _writable(here):
        what = f"nothing can be written in {here}"
        return Finding("folders", NOTE, what, "Change to a folder of your own first.")
    try:
        home = Path.home()
    except RuntimeError:
        home = Path("no home")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or home)
    for what, folder, name in [
        ("home", home, "HOME"),
        ("cache", cache, "XDG_CACHE_HOME"),
    ]:
        if not _writable(folder):
            what = f"the {what} folder ({folder}) cannot be written to"
            cure = (
                f"Set {name} to a folder of your own. Until then caches are temporary."
            )
            return Finding("folders", NOTE, what, cure)
    return Finding("folders", OK, "the current one and the caches can be written to")


def check_disk() -> Finding:
    """Room for checkpoints and temporary files."""
    free = shutil.disk_usage(tempfile.gettempdir()).free / 1e9
    with contextlib.suppress(OSError):  # no current folder: check_folders says so
        free = min(free, shutil.disk_usage(os.getcwd()).free / 1e9)
    state = FAULT if free < 0.1 else NOTE if free < 1 else OK
    cure = "" if state == OK else "Free some space: a gigabyte is plenty."
    return Finding("disk", state, f"{free:.1f} GB free", cure)


def check_memory() -> Finding:
    """Memory that is free now, where the system says so (Linux)."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        (kilobytes,) = (s.split()[1] for s in lines if s.startswith("MemAvailable"))
    except (OSError, ValueError):
        return Finding("memory", OK, "not known here; 2 GB are plenty")
    free = int(kilobytes) / 1e6
    state = FAULT if free < 0.5 else NOTE if free < 1.5 else OK
    cure = "" if state == OK else "Close other programs and idle notebooks."
    return Finding("memory", state, f"{free:.1f} GB free", cure)


def check_text() -> Finding:
    """File names and output with letters outside ASCII."""
    encodings = {sys.getfilesystemencoding(), locale.getpreferredencoding(False)}
    if not all(name.lower().replace("-", "") == "utf8" for name in encodings):
        what = f"the locale uses {', '.join(sorted(encodings))}: some letters show as ?"
        return Finding("text", NOTE, what, "Set PYTHONUTF8=1 to see all letters.")
    return Finding("text", OK, "UTF-8")


def check_settings() -> Finding:
    """GANCOURSE_PROFILE, if it is set."""
    from gancourse import course
    from gancourse.errors import GancourseError

    asked = os.environ.get("GANCOURSE_PROFILE", "")
    if asked and asked not in (*course.PROFILES, "auto"):
        what = f"GANCOURSE_PROFILE is {asked!r}, which is no profile"
        cure = f"Unset it, or choose one of: auto, {', '.join(course.PROFILES)}."
        return Finding("profile", FAULT, what, cure)
    try:
        return Finding("profile", OK, course.profile())
    except (ImportError, OSError, RuntimeError, GancourseError):
        return Finding("profile", NOTE, "unknown as long as torch cannot be imported")


# ------------------------------------------------------------------ all of them

SHORT = [check_python, check_packages, check_widgets, check_lab, check_folders]
SHORT += [check_disk, check_assets]
_ON_TORCH = (check_torch, check_torchvision, check_device, check_precision)
_ON_TORCH += (check_threads, check_settings)
ALL = [
    check_python,
    check_folders,
    check_torch,
    check_torchvision,
    check_device,
    check_precision,
]
ALL += [check_threads, check_packages, check_names, check_figures, check_widgets]
ALL += [check_lab, check_browser, check_assets, check_notebooks]
ALL += [check_disk, check_memory, check_network, check_text, check_settings]


def examine(checks=ALL) -> Iterator[Finding]:
    """The findings, one after the other; a check that breaks is a finding too."""
    broken = False  # without torch, what builds on it is not worth a line of its own
    for check in checks:
        if broken and check in _ON_TORCH:
            continue
        try:
            finding = check()
        except Exception as error:
            topic = check.__name__.removeprefix("check_")
            what = (
                f"could not be examined: {type(error).__name__}: {_first_line(error)}"
            )
            finding = Finding(topic, FAULT, what, "Please report this line.")
        gone = "folder is gone" in finding.what  # MKL ends the process where it is
        broken = broken or gone or (finding.topic, finding.state) == ("torch", FAULT)
        yield finding


def text(finding: Finding) -> str:
    """A finding as one line, or two where there is something to do."""
    line = f"{_WORDS[finding.state]}  {finding.topic:12} {finding.what}"
    return line + (f"\n{'':20}{finding.next}" if finding.next else "")


def summary(findings: list[Finding]) -> str:
    """The last line: how it stands."""
    faults = sum(finding.state == FAULT for finding in findings)
    if faults:
        return f"{faults} fault{'s' * (faults > 1)}: take the step named below each."
    return "Everything the course needs is here. It needs no network."


def as_json(findings: list[Finding]) -> str:
    """All findings for machines."""
    ok = not any(finding.state == FAULT for finding in findings)
    content = {"ok": ok, "findings": [asdict(finding) for finding in findings]}
    return json.dumps(content, indent=2, ensure_ascii=False)


def show() -> None:
    """In a notebook: the whole examination as text that any front end can show."""
    from gancourse import course  # noqa: F401  (a broken package should fail here)

    findings = list(examine())
    lines = "\n".join([*map(text, findings), "", summary(findings)])
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        get_ipython = lambda: None  # noqa: E731
    if get_ipython() is None:
        print(lines)
    else:
        display(
            {"text/plain": lines, "text/html": f"<pre>{escape(lines)}</pre>"}, raw=True
        )


# ------------------------------------------------------------------ small things


def there(name: str) -> bool:
    """Whether a module is installed (it is not imported)."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _version(name: str) -> str:
    """The installed version, "" when it is not installed."""
    try:
        return importlib.metadata.version(name) if there(name) else ""
    except importlib.metadata.PackageNotFoundError:
        return ""


def _release(version: str) -> tuple[int, ...]:
    """(2, 11) of "2.11.0+cu128"."""
    digits = version.split("+")[0].split(".")[:2]
    return tuple(int("".join(c for c in part if c.isdigit()) or 0) for part in digits)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0][:200]


def _writable(folder: str | Path) -> bool:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
