"""Part G of the fault list: the machine, its software, its settings.

| row | where it is tested |
| --- | --- |
| G1 | tests/test_cli.py: "no GPU"; here: the device asked for, and auto |
| G2, G3 | here: patched torch.cuda and mps; tests/test_doctor.py: a device that errs |
| G4 | here: the core with a broken torchvision; tests/test_doctor.py: the remedy |
| G5, G11 | here: versions too old, too new, of another NumPy |
| G6 | here: no DataLoader at all; checker and training under each start method |
| G7 | here: forks after threads |
| G8 | here: thread settings; tests/test_doctor.py |
| G9 | here: locales and clocks; tests/test_cli.py, tests/test_doctor.py |
| G10 | test_a_checkpoints.py: no fsync, no lock, a held rename; here: downloads too |

Every finding of `gancourse doctor` names a fault and the next step. ENVIRONMENTS are
staged for real, in processes of their own; PATCHED in this one, where a real one would
need another machine.
"""

import ast
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import types
import warnings
from pathlib import Path

import pytest
import torch
from counts import count
from namespaces import user_namespaces

from gancourse import doctor, figures, online, storage, training
from gancourse.errors import GancourseError

ROOT = Path(__file__).resolve().parents[2]
VERBS = (
    "Change", "Clone", "Close", "Free", "Install", "Open", "Reinstall", "Rename",
    "Report", "Run", "Set", "Unset", "Update", "Use",
)  # fmt: skip


def told(finding: dict, state: str, *words: str) -> None:
    """The finding is of this state, names the words, and says what to do next."""
    assert finding["state"] == state, finding
    for word in words:
        assert word in finding["what"] + " " + finding["next"], finding
    assert finding["next"].startswith(VERBS), finding
    assert "\n" not in finding["what"] and len(finding["what"]) < 300


# ------------------------------------------------------------------ patched, here


def cuda(monkeypatch, **changes):
    """A GPU that works (on the CPU), but for the changes."""
    right, cpu = doctor.tiny_game, torch.device("cpu")
    monkeypatch.setattr(doctor, "tiny_game", lambda _: right(cpu))
    there = dict(
        is_available=lambda: True,
        get_device_name=lambda: "A fake GPU",
        mem_get_info=lambda: (2e9, 4e9),
    )
    for name, value in {**there, **changes}.items():
        monkeypatch.setattr(torch.cuda, name, value)


def raising(error: Exception):
    def call(*_, **__):
        raise error

    return call


def warns_of_a_driver() -> bool:
    warnings.warn("The NVIDIA driver on your system is too old (11040).", stacklevel=1)
    return False


def differs(monkeypatch, by: float, kind: str = "cuda"):
    """A device that adds `by` to whatever it computes."""
    right, cpu = doctor.tiny_game, torch.device("cpu")
    if kind == "cuda":
        cuda(monkeypatch)
    else:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(
        doctor,
        "tiny_game",
        lambda device: [g + by * (device.type != "cpu") for g in right(cpu)],
    )


def versions(monkeypatch, **wrong):
    real = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: wrong.get(name, real(name)))


def absent(monkeypatch, *names):
    real = doctor.there
    monkeypatch.setattr(doctor, "there", lambda name: name not in names and real(name))


def free(monkeypatch, gigabytes):
    usage = types.SimpleNamespace(free=gigabytes * 1e9)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)


def memory(monkeypatch, tmp_path, kilobytes):
    (tmp_path / "meminfo").write_text(f"MemTotal: 9 kB\nMemAvailable: {kilobytes} kB\n")
    real = doctor.Path
    monkeypatch.setattr(
        doctor,
        "Path",
        lambda *a: real(tmp_path / "meminfo") if a == ("/proc/meminfo",) else real(*a),
    )


def assets(monkeypatch, tmp_path, damage):
    shutil.copytree(ROOT / "gancourse" / "assets" / "mnist", tmp_path / "assets/mnist")
    sums = (ROOT / "gancourse" / "assets" / "SHA256SUMS").read_text().splitlines()
    mine = "".join(f"{line}\n" for line in sums if "mnist/" in line)
    (tmp_path / "assets" / "SHA256SUMS").write_text(mine)
    damage(tmp_path / "assets")
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "doctor.py"))


def a_file(monkeypatch, tmp_path, name):
    (tmp_path / name).write_text("x = 1")
    monkeypatch.chdir(tmp_path)


def no_notebooks(monkeypatch, tmp_path):
    monkeypatch.setattr("gancourse.course.__file__", str(tmp_path / "a" / "b.py"))
    monkeypatch.chdir(tmp_path)


def writable_but(monkeypatch, refused):
    monkeypatch.setattr(doctor, "_writable", lambda folder: str(folder) != refused)


def first_mnist(folder: Path) -> Path:
    return sorted((folder / "mnist").iterdir())[0]


NOTE, FAULT = doctor.NOTE, doctor.FAULT
PATCHED = {  # name: (the check, its state, a word of it, how it is staged)
    "Python 3.9": (
        *(doctor.check_python, FAULT, "3.11 is needed"),
        lambda m, _: m.setattr(doctor.platform, "python_version", lambda: "3.9.7"),
    ),
    "Python 3.15": (
        *(doctor.check_python, NOTE, "newer than"),
        lambda m, _: m.setattr(doctor.platform, "python_version", lambda: "3.15.0"),
    ),
    "torch 2.7": (
        *(doctor.check_torch, FAULT, "2.8 is needed"),
        lambda m, _: m.setattr(torch, "__version__", "2.7.1+cpu"),
    ),
    "torch 3": (
        *(doctor.check_torch, NOTE, "newer than"),
        lambda m, _: m.setattr(torch, "__version__", "3.0.0"),
    ),
    "a folder that is called torch": (
        *(doctor.check_torch, FAULT, "a folder"),
        lambda m, _: m.setitem(sys.modules, "torch", types.ModuleType("torch")),
    ),
    "NumPy 1.24": (
        *(doctor.check_packages, FAULT, "numpy"),
        lambda m, _: versions(m, numpy="1.24.4"),
    ),
    "matplotlib 3.5": (
        *(doctor.check_packages, FAULT, "matplotlib"),
        lambda m, _: versions(m, matplotlib="3.5.3"),
    ),
    "no safetensors": (
        *(doctor.check_packages, FAULT, "safetensors"),
        lambda m, _: absent(m, "safetensors"),
    ),
    "no torchmetrics": (
        *(doctor.check_packages, FAULT, "torchmetrics"),
        lambda m, _: absent(m, "torchmetrics"),
    ),
    "no anywidget": (
        *(doctor.check_widgets, FAULT, "anywidget is not installed"),
        lambda m, _: absent(m, "anywidget"),
    ),
    "ipywidgets 7.6": (
        *(doctor.check_widgets, FAULT, "ipywidgets 7.6"),
        lambda m, _: versions(m, ipywidgets="7.6.5"),
    ),
    "no JupyterLab": (
        *(doctor.check_lab, NOTE, "jupyterlab"),
        lambda m, _: absent(m, "jupyterlab"),
    ),
    "no ipykernel": (
        *(doctor.check_lab, NOTE, "ipykernel"),
        lambda m, _: absent(m, "ipykernel"),
    ),
    "a GPU whose driver is too old": (
        *(doctor.check_device, NOTE, "driver on your system is too old"),
        lambda m, _: m.setattr(torch.cuda, "is_available", warns_of_a_driver),
    ),
    "a GPU that fails": (
        *(doctor.check_device, FAULT, "unspecified launch failure"),
        lambda m, _: cuda(
            m, mem_get_info=raising(RuntimeError("unspecified launch failure\nmore"))
        ),
    ),
    "a GPU that nobody may use": (
        *(doctor.check_device, FAULT, "busy or unavailable"),
        lambda m, _: cuda(
            m,
            get_device_name=raising(RuntimeError("CUDA device busy or unavailable")),
        ),
    ),
    "a GPU without memory": (
        *(doctor.check_device, NOTE, "0.0 GB free"),
        lambda m, _: cuda(m, mem_get_info=lambda: (0.0, 4e9)),
    ),
    "a GPU that errs": (
        *(doctor.check_device, FAULT, "disagrees with the CPU"),
        lambda m, _: differs(m, 1e-2),
    ),
    "a GPU that gives no numbers": (
        *(doctor.check_device, FAULT, "disagrees with the CPU"),
        lambda m, _: differs(m, float("nan")),
    ),
    "Apple's GPU that errs": (
        *(doctor.check_device, FAULT, "(mps) disagrees"),
        lambda m, _: differs(m, 1e-2, "mps"),
    ),
    "a full disk": (
        *(doctor.check_disk, FAULT, "0.0 GB free"),
        lambda m, _: free(m, 0.01),
    ),
    "a nearly full disk": (
        *(doctor.check_disk, NOTE, "0.5 GB free"),
        lambda m, _: free(m, 0.5),
    ),
    "no memory": (
        *(doctor.check_memory, FAULT, "0.2 GB free"),
        lambda m, t: memory(m, t, 200_000),
    ),
    "little memory": (
        *(doctor.check_memory, NOTE, "0.9 GB free"),
        lambda m, t: memory(m, t, 900_000),
    ),
    "damaged course data": (
        *(doctor.check_assets, FAULT, "damaged or missing: mnist/"),
        lambda m, t: assets(m, t, lambda f: first_mnist(f).write_bytes(b"x")),
    ),
    "missing course data": (
        *(doctor.check_assets, FAULT, "damaged or missing: mnist/"),
        lambda m, t: assets(m, t, lambda f: first_mnist(f).unlink()),
    ),
    "no list of the course data": (
        *(doctor.check_assets, FAULT, "list of files is missing"),
        lambda m, t: assets(m, t, lambda f: (f / "SHA256SUMS").unlink()),
    ),
    "no notebooks": (
        *(doctor.check_notebooks, NOTE, "without its repository"),
        lambda m, t: no_notebooks(m, t),
    ),
    "a temporary folder that is read-only": (
        *(doctor.check_folders, FAULT, "temporary folder"),
        lambda m, _: writable_but(m, doctor.tempfile.gettempdir()),
    ),
    "a current folder that is read-only": (
        *(doctor.check_folders, NOTE, "nothing can be written"),
        lambda m, _: writable_but(m, os.getcwd()),
    ),
    "a home that is read-only": (
        *(doctor.check_folders, NOTE, "home folder"),
        lambda m, _: writable_but(m, str(Path.home())),
    ),
    "no home": (
        *(doctor.check_folders, NOTE, "no home"),
        lambda m, _: m.setattr(doctor.Path, "home", raising(RuntimeError("none"))),
    ),
    "torch.py in the current folder": (
        *(doctor.check_names, FAULT, "torch.py"),
        lambda m, t: a_file(m, t, "torch.py"),
    ),
    "random.py in the current folder": (
        *(doctor.check_names, FAULT, "random.py"),
        lambda m, t: a_file(m, t, "random.py"),
    ),
    "a proxy without an address": (
        *(doctor.check_network, NOTE, "HTTPS_PROXY"),
        lambda m, _: m.setenv("HTTPS_PROXY", "proxy"),
    ),
    "a locale without letters": (
        *(doctor.check_text, NOTE, "cp1252"),
        lambda m, _: m.setattr(
            doctor.locale, "getpreferredencoding", lambda _: "cp1252"
        ),
    ),
}


@pytest.mark.parametrize("fault", PATCHED)
def test_the_doctor_names_a_patched_fault_and_the_next_step(
    fault, tmp_path, monkeypatch
):
    check, state, word, stage = PATCHED[fault]
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    stage(monkeypatch, tmp_path)
    (finding,) = doctor.examine([check])
    monkeypatch.undo()
    told(vars(finding), state, word)
    count("G11", "environment faults named", 1)


# ------------------------------------------------------------------ for real


def examined(folder: Path, stubs=(), shell: str = "", **variables) -> dict[str, dict]:
    """Findings by topic of a `gancourse doctor` of its own, which takes at most 5 s.

    The seconds are those of the processor, which may be busy with other tests; and
    twice as many are allowed, since a busy one is slower. Under PYTHONOPTIMIZE all of
    torch is compiled at the first time.
    """
    most = 60 if "PYTHONOPTIMIZE" in variables else 10
    (folder / "stubs").mkdir()
    (folder / "here").mkdir()
    for name, source in dict(stubs).items():
        (folder / "stubs" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "stubs" / name).write_text(source)
    environment = {
        k: v for k, v in os.environ.items() if not k.lower().endswith("proxy")
    }
    environment |= {"PYTHONPATH": f"{folder / 'stubs'}{os.pathsep}{ROOT}"}
    environment |= {"PYTHONSAFEPATH": "1", "BROWSER": "true", **variables}
    command = [sys.executable, "-m", "gancourse", "doctor", "--json"]
    if shell:
        namespace = [shutil.which("unshare"), "-rm"] if "mount" in shell else []
        script = f'{shell} && exec "$@"'
        command = [*namespace, "/bin/sh", "-c", script, "sh", *command]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=folder / "here", env=environment, capture_output=True, text=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert seconds < most, f"{seconds:.1f} s of the processor"
    content = json.loads(done.stdout)
    assert content["ok"] == (done.returncode == 0)
    return {finding["topic"]: finding for finding in content["findings"]}


def stub(error: str) -> str:
    return f"raise {error}"


KERNEL = '{"argv": ["/opt/old/bin/python", "-m", "ipykernel"], "language": "python"}'
ENVIRONMENTS = {  # name: (topic, state, word, how it is staged)
    "no torch": (
        *("torch", FAULT, "pip install torch torchvision"),
        dict(stubs={"torch.py": stub("ModuleNotFoundError('no torch', name='torch')")}),
    ),
    "torch without its libraries": (
        *("torch", FAULT, "libcudart.so.12"),
        dict(stubs={"torch.py": stub("ImportError('libcudart.so.12: cannot open')")}),
    ),
    "torch for another NumPy": (
        *("torch", FAULT, "--upgrade numpy torch"),
        dict(stubs={"torch.py": stub("ImportError('compiled using NumPy 1.x')")}),
    ),
    "no torchvision": (
        *("torchvision", FAULT, "is not installed"),
        dict(stubs={"torchvision.py": stub("ModuleNotFoundError(name='torchvision')")}),
    ),
    "torchvision for another torch": (
        *("torchvision", FAULT, "built for another torch"),
        dict(
            stubs={
                "torchvision.py": stub(
                    "RuntimeError('operator torchvision::nms does not exist')"
                )
            }
        ),
    ),
    "torchvision without Pillow": (
        *("torchvision", FAULT, "No module named 'PIL'"),
        dict(
            stubs={
                "torchvision.py": stub(
                    "ModuleNotFoundError(\"No module named 'PIL'\", name='PIL')"
                )
            }
        ),
    ),
    "no threads": ("threads", FAULT, "OMP_NUM_THREADS", dict(OMP_NUM_THREADS="0")),
    "threads in words": ("threads", FAULT, "'two'", dict(OMP_NUM_THREADS="two")),
    "a million threads": ("threads", FAULT, "000", dict(OMP_NUM_THREADS="1000000")),
    "fewer than no threads": (
        *("threads", FAULT, "MKL_NUM_THREADS"),
        dict(MKL_NUM_THREADS="-1"),
    ),
    "an unknown profile": ("profile", FAULT, "'fast'", dict(GANCOURSE_PROFILE="fast")),
    "a figure on nothing": ("figures", FAULT, "MPLBACKEND", dict(MPLBACKEND="canvas")),
    "asserts left out": ("Python", NOTE, "assert", dict(PYTHONOPTIMIZE="1")),
    "the C locale": (
        *("text", NOTE, "PYTHONUTF8=1"),
        dict(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
    ),
    "a home that is not there": ("folders", NOTE, "home", dict(HOME="/proc/none")),
    "a cache that is not there": (
        *("folders", NOTE, "XDG_CACHE_HOME"),
        dict(XDG_CACHE_HOME="/proc/none"),
    ),
    "a proxy without an address": (
        *("network", NOTE, "http_proxy"),
        dict(http_proxy="proxy of the school"),
    ),
    "no browser": ("browser", NOTE, "none was found", dict(BROWSER="", PATH="/none")),
    "the kernel of another Python": (
        *("JupyterLab", NOTE, "/opt/old/bin/python"),
        dict(
            stubs={"kernels/python3/kernel.json": KERNEL},
            JUPYTER_PATH="../stubs",
        ),
    ),
    "a file called random.py": (
        "names",
        FAULT,
        "random.py",
        dict(shell=": > random.py"),
    ),
    "a current folder that is gone": (
        *("folders", FAULT, "is gone"),
        dict(shell='mkdir gone && cd gone && rmdir "$PWD"'),
    ),
    "a current folder that is read-only": (
        *("folders", NOTE, "nothing can be written"),
        dict(shell='mount -t tmpfs -o ro none "$PWD" && cd "$PWD"'),
    ),
    "a full disk": (
        *("disk", FAULT, "0.0 GB"),
        dict(shell='mount -t tmpfs -o size=4k none "$PWD" && cd "$PWD"'),
    ),
}


@pytest.mark.full
@pytest.mark.parametrize("fault", ENVIRONMENTS)
def test_the_doctor_names_a_real_fault_within_five_seconds(fault, tmp_path):
    topic, state, word, how = ENVIRONMENTS[fault]
    if "mount" in how.get("shell", "") and not user_namespaces():
        pytest.skip("no user namespaces")
    found = examined(tmp_path, **how)
    told(found[topic], state, word)
    others = {t for t, f in found.items() if f["state"] == FAULT and t != topic}
    assert not others, "a fault that is not there"
    count("G11", "environment faults named", 1)


def test_the_doctor_names_ten_faults_at_once_within_five_seconds(tmp_path):
    at_once = [
        *("torchvision for another torch", "an unknown profile"),
        *("a figure on nothing", "the C locale", "no browser"),
        *("a home that is not there", "a proxy without an address"),
        *("the kernel of another Python", "fewer than no threads"),
    ]
    how: dict = {}
    for fault in at_once:
        how |= ENVIRONMENTS[fault][3]
    stubs = [ENVIRONMENTS[fault][3].get("stubs", {}) for fault in at_once]
    how["stubs"] = {name: source for some in stubs for name, source in some.items()}
    found = examined(tmp_path, **how)
    for fault in at_once:
        topic, state, word, _ = ENVIRONMENTS[fault]
        told(found[topic], state, word)
    count("G11", "environment faults named", len(at_once))


def test_at_least_twenty_five_different_faults_are_staged():
    assert len(ENVIRONMENTS) + len(PATCHED) >= 50 and len(PATCHED) >= 25


# ------------------------------------------------------------------ G1-G3 devices


def test_g1_auto_takes_the_cpu_where_there_is_no_gpu(monkeypatch, assert_clear):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.pick_device("auto").type == "cpu"
    for device in ("cuda", "cuda:0", "mps"):
        if device == "mps" and torch.backends.mps.is_available():
            continue
        with pytest.raises(ValueError) as caught:
            training.pick_device(device)
        assert_clear(caught.value, device, "Use --device cpu")


def test_g1_a_notebook_goes_on_without_the_gpu_it_asked_for(monkeypatch, capsys):
    import IPython

    kernel = types.SimpleNamespace(kernel=object())
    monkeypatch.setattr(IPython, "get_ipython", lambda: kernel)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.pick_device("cuda").type == "cpu"
    (said,) = capsys.readouterr().out.splitlines()
    assert "no cuda device" in said and "CPU" in said
    with pytest.raises(ValueError):  # what is no device stays an error
        training.pick_device("gpu")


@pytest.mark.parametrize("has", [True, False])
def test_g5_an_older_torch_is_asked_for_bf16_by_its_own_names(monkeypatch, has):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):
        monkeypatch.setattr(torch.cpu, name, lambda: has, raising=False)
    chosen = training.pick_precision("auto", torch.device("cpu"))
    assert chosen == ("bf16" if has else "fp32")


def test_g3_a_gpu_of_apples_is_taken_only_when_asked_for(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert training.pick_device("auto").type == "cpu"
    assert training.pick_device("mps").type == "mps"


def test_g3_a_right_gpu_is_no_fault(monkeypatch):
    cuda(monkeypatch)
    assert doctor.check_device().state == doctor.OK
    differs(monkeypatch, 0.0, "mps")
    assert doctor.check_device().state == doctor.OK


# ------------------------------------------------------------------ G4, G6 imports


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_g4_g6_no_module_of_ours_needs_torchvision_or_a_data_loader():
    for path in (ROOT / "gancourse").rglob("*.py"):
        names = imports(path)
        # doctor looks whether it is in order; figures says so where it is not
        if path.name not in ("doctor.py", "figures.py"):
            assert not any(n.split(".")[0] == "torchvision" for n in names), path.name
        assert not any("DataLoader" in n for n in names), path.name


def test_g4_a_figure_that_needs_a_broken_torchvision_says_what_to_run(
    monkeypatch, assert_clear
):
    monkeypatch.setitem(sys.modules, "torchvision.utils", None)
    with pytest.raises(GancourseError) as caught:
        figures.show_images(torch.zeros(4, 1, 8, 8))
    assert_clear(caught.value, "torchvision", "Run `gancourse doctor`")


@pytest.mark.full
def test_g4_training_and_style_work_with_a_broken_torchvision(tmp_path):
    (tmp_path / "torchvision.py").write_text(
        "raise RuntimeError('operator torchvision::nms does not exist')"
    )
    code = (
        "from gancourse import cli, data, style\n"
        "train = ['train', 'dcgan', '--steps', '1', '--batch-size', '4']\n"
        "assert cli.main([*train, '--save', 'r', '--device', 'cpu']) == 0\n"
        "assert cli.main(['sample', 'r', '--n', '4', '--out', 'a.png']) == 0\n"
        "config = style.StyleConfig(size=32, steps=1, levels=1)\n"
        "next(style.stylise(data.picture('fig'), data.picture('fig'), config))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


# ------------------------------------------------------------------ G6, G7 processes

GRADE = """
import multiprocessing, sys, threading, torch
if __name__ == "__main__":
    multiprocessing.set_start_method(sys.argv[1])
    torch.set_num_threads(4)
    ones = torch.ones(600, 600)
    threads = [threading.Thread(target=lambda: ones @ ones) for _ in range(4)]
    [thread.start() for thread in threads]
    from gancourse.checks import grade
    def value(real, fake):
        torch.set_num_threads(3)
        torch.ones(600, 600) @ torch.ones(600, 600)
        f = torch.nn.functional.logsigmoid
        return f(real).mean() + f(-fake).mean()
    verdict = grade("01.value", value)
    [thread.join() for thread in threads]
    assert verdict.passed, verdict
    print("right")
"""


@pytest.mark.parametrize(
    "method",
    [
        "fork",
        pytest.param("spawn", marks=pytest.mark.full),
        pytest.param("forkserver", marks=pytest.mark.full),
    ],
)
def test_g6_g7_answers_are_checked_under_each_start_method_with_threads_running(
    method, tmp_path
):
    (tmp_path / "kernel.py").write_text(GRADE)
    done = subprocess.run(
        [sys.executable, "kernel.py", method],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "4"},
        capture_output=True,
        text=True,
        timeout=120,  # a hang lasts for ever; a busy machine does not
    )
    assert done.stdout == "right\n", done.stderr


def says(folder: Path, word: str) -> None:
    """kernel.py of that folder, run by itself, prints the word."""
    done = subprocess.run(
        [sys.executable, "kernel.py"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout == f"{word}\n", done.stderr


@pytest.mark.full
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_g6_the_judge_works_where_processes_are_not_forked(method, tmp_path):
    """As on Windows and macOS: the learner's process starts from nothing."""
    (tmp_path / "kernel.py").write_text(
        "import os\n"
        "from multiprocessing import get_context\n"
        "if __name__ == '__main__':\n"
        "    for _ in range(6):  # so that no number of a pipe means one in the child\n"
        "        os.open(os.devnull, os.O_RDONLY)\n"
        "    import torch\n"
        "    from gancourse.checks import course_exercises, judge, wire\n"
        "    import cloudpickle\n"
        f"    judge.CONTEXT = get_context({method!r})\n"
        "    judge.FORKS, judge.STARTING = False, 60\n"
        "    f = torch.nn.functional.logsigmoid\n"
        "    for sign, status in ((1, 'passed'), (-1, 'failed')):\n"
        "        answer = lambda r, g: sign * (f(r).mean() + f(-g).mean())\n"
        "        payload = cloudpickle.dumps(answer)\n"
        "        exercise = course_exercises.find('01.value')\n"
        "        exercise = type(exercise)(exercise.id, exercise.examine,\n"
        "                                  exercise.hints, 60)\n"
        "        verdict = judge.judge(exercise, payload, lambda pid: None)\n"
        "        assert verdict.status == status, verdict\n"
        "    print('right')\n"
    )
    says(tmp_path, "right")


def test_g6_the_judge_works_where_memory_can_not_be_limited(tmp_path):
    """macOS on Apple's processors refuses RLIMIT_AS; every answer ended there."""
    (tmp_path / "kernel.py").write_text(
        "import resource, torch, cloudpickle\n"
        "from gancourse.checks import course_exercises, judge\n"
        "honest = resource.setrlimit\n"
        "def refuses(what, limits):\n"
        "    if what == resource.RLIMIT_AS:\n"
        "        raise ValueError('current limit exceeds maximum limit')\n"
        "    honest(what, limits)\n"
        "resource.setrlimit = refuses\n"
        "f = torch.nn.functional.logsigmoid\n"
        "answer = lambda r, g: f(r).mean() + f(-g).mean()\n"
        "exercise = course_exercises.find('01.value')\n"
        "verdict = judge.judge(exercise, cloudpickle.dumps(answer), lambda pid: None)\n"
        "print(verdict.status)\n"
    )
    says(tmp_path, "passed")


# ------------------------------------------------------------------ G8, G9 settings


@pytest.mark.full
@pytest.mark.parametrize(
    "variables",
    [
        dict(OMP_NUM_THREADS="0"),
        dict(OMP_NUM_THREADS="two"),
        dict(OMP_NUM_THREADS="-1", MKL_NUM_THREADS="0"),
        dict(LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0"),
        dict(PYTHONIOENCODING="cp1252"),
        dict(PYTHONIOENCODING="ascii"),
        dict(LC_ALL="no_SUCH.locale", LANG="??"),
        dict(TZ="Nowhere/Nonsense"),
        dict(TZ="Asia/Kathmandu"),
        dict(HOME="/proc/none", XDG_CACHE_HOME="/proc/none"),
        dict(PYTHONOPTIMIZE="2"),
        dict(PYTHONHASHSEED="7"),
        dict(COLUMNS="1", TERM="dumb"),
        dict(MPLBACKEND="canvas"),
    ],
    ids=str,
)
def test_g8_g9_training_works_under_odd_settings(variables, tmp_path):
    command = [sys.executable, "-m", "gancourse", "train", "mlp", "--steps", "2"]
    done = subprocess.run(
        [*command, "--batch-size", "8", "--save", "läufe ü", "--device", "cpu"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0 and b"Saved step 2" in done.stdout, done.stderr
    assert any((tmp_path / "läufe ü").glob("step0000002-*"))
    count("G9", "odd settings", 1)


# ------------------------------------------------------------------ G10 file systems


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOTSUP, errno.ENOSYS])
def test_g10_a_download_is_kept_where_nothing_can_be_flushed(
    code, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(storage.os, "fsync", raising(OSError(code, "not here")))
    file = online.keep("weights", b"all of it")
    assert file.read_bytes() == b"all of it"
    assert os.listdir(file.parent) == ["weights"]
