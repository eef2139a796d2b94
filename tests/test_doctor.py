"""The doctor: each fault of an environment named, with the next step."""

import hashlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from gancourse import doctor


def examine(tmp_path: Path, stubs: dict[str, str] | None = None, **variables: str):
    """Exit status and findings by topic of `gancourse doctor --json`."""
    for name, source in (stubs or {}).items():
        (tmp_path / name).write_text(source, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), **variables}
    done = subprocess.run(
        [sys.executable, "-m", "gancourse", "doctor", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr
    content = json.loads(done.stdout)
    found = {finding["topic"]: finding for finding in content["findings"]}
    assert content["ok"] == (done.returncode == 0)
    return done.returncode, found


def test_this_environment_is_in_order(tmp_path):
    status, found = examine(tmp_path)
    assert status == 0, found
    topics = {"Python", "torch", "torchvision", "device", "precision", "threads"}
    topics |= {"widgets", "JupyterLab", "course data", "notebooks", "folders", "disk"}
    assert found.keys() >= topics
    assert all(finding["state"] != "fault" for finding in found.values())


def test_wrong_pair_of_torch_and_torchvision_gets_the_exact_remedy(tmp_path):
    raising = "raise RuntimeError('operator torchvision::nms does not exist')"
    status, found = examine(tmp_path, {"torchvision.py": raising})
    finding = found["torchvision"]
    assert status == 1 and finding["state"] == "fault"
    assert "another torch" in finding["what"]
    version = torch.__version__.split("+")[0]
    assert "pip uninstall -y torchvision && python -m pip install" in finding["next"]
    assert f'"torch=={version}"' in finding["next"]
    assert found["device"]["state"] == "ok", "one fault does not hide the others"


def test_torch_that_can_not_be_imported_is_one_fault_and_no_traceback(tmp_path):
    raising = "raise ImportError('libcudart.so.12: cannot open shared object file')"
    status, found = examine(tmp_path, {"torch.py": raising})
    assert status == 1
    assert "libcudart" in found["torch"]["what"]
    assert found["torch"]["next"].startswith("Run: python -m pip install")
    assert "device" not in found, "what builds on torch is not examined without it"
    assert found["course data"]["state"] == "ok"


def test_numpy_of_another_generation_is_named(tmp_path):
    raising = "raise ImportError('compiled using NumPy 1.x cannot be run in NumPy 2.4')"
    _, found = examine(tmp_path, {"torch.py": raising})
    assert "--upgrade numpy torch" in found["torch"]["next"]


def test_absurd_settings_are_named(tmp_path):
    status, found = examine(tmp_path, OMP_NUM_THREADS="0", GANCOURSE_PROFILE="fast")
    assert status == 1
    assert "Unset OMP_NUM_THREADS" in found["threads"]["next"]
    assert "'fast'" in found["profile"]["what"]


def test_locale_without_letters_is_a_note_and_stops_nothing(tmp_path):
    variables = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    status, found = examine(tmp_path, **variables)
    assert status == 0
    assert found["text"]["state"] == "note"
    assert "PYTHONUTF8=1" in found["text"]["next"]


# ------------------------------------------------------------------ in this process


def test_device_that_computes_something_else_is_a_fault(monkeypatch):
    right = doctor.tiny_game
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A fake GPU")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2e9, 4e9))
    cpu = torch.device("cpu")
    for wrong, state in [(0.0, "ok"), (1e-2, "fault"), (float("nan"), "fault")]:
        monkeypatch.setattr(
            doctor,
            "tiny_game",
            lambda device, w=wrong: [
                gradient + w * (device.type != "cpu") for gradient in right(cpu)
            ],
        )
        finding = doctor.check_device()
        assert finding.state == state, wrong
        assert "A fake GPU" in finding.what


def test_device_that_fails_is_a_fault_and_no_traceback(monkeypatch):
    def too_old():
        raise RuntimeError("CUDA driver version is insufficient\nmore lines")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "A fake GPU")
    monkeypatch.setattr(torch.cuda, "mem_get_info", too_old)
    finding = doctor.check_device()
    assert finding.state == "fault" and "insufficient" in finding.what
    assert "\n" not in finding.what and "CUDA_VISIBLE_DEVICES" in finding.next


def test_damaged_and_missing_files_of_the_course_are_named(tmp_path, monkeypatch):
    assets = tmp_path / "assets"
    assets.mkdir()
    for name in ("whole", "damaged"):
        (assets / name).write_bytes(name.encode())
    names = ("whole", "damaged", "missing")
    sums = (f"{hashlib.sha256(n.encode()).hexdigest()}  {n}\n" for n in names)
    (assets / "SHA256SUMS").write_text("".join(sums))
    (assets / "damaged").write_bytes(b"dAmaged")
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "doctor.py"))
    finding = doctor.check_assets()
    assert finding.state == "fault"
    assert finding.what == "damaged or missing: damaged, missing"
    assert "git checkout gancourse/assets" in finding.next


@pytest.mark.parametrize("name", ["ipywidgets", "anywidget"])
def test_absent_widgets_are_named_with_their_remedy(name, monkeypatch):
    there = doctor.there
    monkeypatch.setattr(doctor, "there", lambda n: n != name and there(n))
    finding = doctor.check_widgets()
    assert finding.state == "fault" and name in finding.next


def test_colabs_widgets_are_new_enough(monkeypatch):
    versions = {"ipywidgets": "7.7.1", "anywidget": "0.9.21"}
    monkeypatch.setattr(doctor, "_version", versions.get)
    assert doctor.check_widgets().state == "ok"
    monkeypatch.setattr(doctor, "_version", {**versions, "ipywidgets": "7.6"}.get)
    assert doctor.check_widgets().state == "fault"


def test_absent_lab_is_a_note_as_colab_has_its_own(monkeypatch):
    there = doctor.there
    monkeypatch.setattr(doctor, "there", lambda n: n != "jupyterlab" and there(n))
    finding = doctor.check_lab()
    assert finding.state == "note" and ".[lab]" in finding.next


def test_folders_that_can_not_be_written_to_are_named(monkeypatch, tmp_path):
    for refused, state in [(os.getcwd(), "note"), ("/tmp-of-mine", "fault")]:
        monkeypatch.setattr(doctor.tempfile, "gettempdir", lambda: "/tmp-of-mine")
        monkeypatch.setattr(doctor, "_writable", lambda f, r=refused: str(f) != r)
        finding = doctor.check_folders()
        assert finding.state == state and refused in finding.what


@pytest.mark.parametrize(
    ("free", "state"), [(5e9, "ok"), (5e8, "note"), (5e7, "fault")]
)
def test_full_disk_is_named(free, state, monkeypatch):
    usage = types.SimpleNamespace(free=free)
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage)
    assert doctor.check_disk().state == state


def test_check_that_breaks_is_a_finding_too():
    def check_something():
        raise OSError("odd")

    (finding,) = doctor.examine([check_something])
    assert finding.state == "fault" and "odd" in finding.what


def test_in_a_notebook_it_is_shown_as_text(capsys):
    doctor.show()
    printed = capsys.readouterr().out
    assert "torchvision" in printed and "It needs no network." in printed
    assert str(Path.home()) not in printed, "stored outputs tell nothing of a machine"
