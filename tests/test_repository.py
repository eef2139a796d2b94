"""What a visitor of the repository relies on: files, links, licences, commands."""

import ast
import hashlib
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "gancourse" / "assets"
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SUMS = dict(
    reversed(line.split(None, 1))
    for line in (ASSETS / "SHA256SUMS").read_text().splitlines()
)


def embedded_files() -> set[str]:
    files = (p for p in ASSETS.rglob("*") if p.is_file())
    names = {p.relative_to(ASSETS).as_posix() for p in files}
    return names - {"README.md", "SHA256SUMS"}


def tracked_files() -> list[Path]:
    """Files of the repository as git sees them, new ones included."""
    try:
        done = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    files = (ROOT / name for name in done.stdout.splitlines())
    return [file for file in files if file.is_file()]


# ------------------------------------------------------------------ embedded files


def test_every_embedded_file_has_a_checksum_and_every_checksum_its_file():
    assert embedded_files() == set(SUMS)


@pytest.mark.parametrize("name", sorted(SUMS))
def test_embedded_file_has_the_bytes_its_checksum_promises(name):
    assert hashlib.sha256((ASSETS / name).read_bytes()).hexdigest() == SUMS[name]


def test_source_and_licence_of_every_embedded_file_are_stated():
    page = (ASSETS / "README.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for name in embedded_files():
        assert any(f"`{name}`" in row for row in rows), f"no row for {name}"


def test_the_embedded_files_stay_small():
    assert sum(p.stat().st_size for p in ASSETS.rglob("*") if p.is_file()) <= 30e6


# ------------------------------------------------------------------ the front page


def test_notebook_table_lists_the_notebooks_that_exist_and_no_other():
    linked = re.findall(r"\]\(notebooks/([\w.]+\.ipynb)\)", README)
    assert sorted(set(linked)) == [path.name for path in NOTEBOOKS]


def test_every_notebook_row_has_its_own_colab_badge():
    for path in NOTEBOOKS:
        row = next(s for s in README.splitlines() if f"(notebooks/{path.name})" in s)
        target = f"github/gancourse/gancourse/blob/main/notebooks/{path.name})"
        assert row.startswith("|") and target in row, path.name


def test_every_relative_link_of_the_pages_leads_to_a_file():
    for name in ["README.md", "CONTRIBUTING.md", "gancourse/assets/README.md"]:
        page = ROOT / name
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{name}: {target}"


def test_every_picture_of_the_front_page_is_described_and_small():
    pictures = re.findall(r"!\[([^\]]*)\]\((notebooks/images/[^)]+)\)", README)
    assert len(pictures) >= 3
    for alt, path in pictures:
        assert len(alt) >= 40, f"{path} needs a description"
        assert (ROOT / path).stat().st_size <= 150_000, path


def test_front_page_says_a_word_on_every_file_of_the_package():
    for path in (ROOT / "gancourse").rglob("*.py"):
        name = path.relative_to(ROOT / "gancourse").as_posix()
        if path.name == "__init__.py":
            continue
        assert f"`{name}`" in README, f"gancourse/{name} is not described"


def test_front_page_describes_no_file_of_the_package_that_is_not_there():
    table = README.split("## The package", 1)[1].split("\n## ", 1)[0]
    for name in re.findall(r"^\| `([\w/]+\.py)`", table, flags=re.MULTILINE):
        assert (ROOT / "gancourse" / name).is_file(), name


def test_the_two_commands_stand_on_the_front_page_as_promised():
    assert 'python -m pip install -e ".[lab]" && gancourse start\n' in README
    assert 'python -m pip install -e ".[lab,test]" && pytest\n' in README


def test_pictures_and_figures_of_the_front_page_are_those_of_the_notebooks():
    done = subprocess.run(
        [sys.executable, ROOT / ".ci" / "front_page.py", "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


# ------------------------------------------------------------------ the project's files


def test_what_a_message_tells_the_reader_to_install_can_be_installed():
    asked = set()
    for path in (ROOT / "gancourse").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        for extras in re.findall(r"(?:\.|gancourse)\[([a-z]+(?:,[a-z]+)*)\]", text):
            asked.update(extras.split(","))
    assert asked <= set(PROJECT["project"]["optional-dependencies"])


def test_no_version_is_pinned_from_above():
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (item for group in groups for item in group):
        assert not re.search(r"<|==|~=", requirement), requirement


def test_conda_environment_leaves_versions_to_pyproject():
    text = (ROOT / "environment.yml").read_text(encoding="utf-8")
    assert "-e .[lab]" in text
    assert "torch" not in text


def test_licences_are_there_in_full():
    assert "MIT License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    content = (ROOT / "LICENSE-CONTENT").read_text(encoding="utf-8")
    sections = re.findall(r"^Section (\d) --", content, flags=re.MULTILINE)
    assert sections == [str(k) for k in range(1, 9)]
    for file in PROJECT["project"]["license-files"]:
        assert (ROOT / file).is_file(), file


def test_citation_has_the_version_of_the_package():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {PROJECT['project']['version']}\n" in citation
    tree = ast.parse((ROOT / "gancourse" / "__init__.py").read_text(encoding="utf-8"))
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
    }
    version = ast.literal_eval(values["__version__"])
    assert version == PROJECT["project"]["version"]


def test_no_file_names_a_package_index_or_a_path_of_somebodys_machine():
    index = re.compile(r"index" + r"-url|/sim" + r"ple/")
    machine = re.compile(r"(?<![\w.\-/])/(?:wo" + r"rk|ro" + r"ot|ho" + r"me)/\w")
    for path in tracked_files():
        if path.suffix not in {".py", ".md", ".toml", ".yml", ".cff", ".ipynb", ""}:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        if path.suffix == ".ipynb":  # pictures are base64: any letters may stand there
            cells = json.loads(text)["cells"]
            text = "\n".join("".join(cell["source"]) for cell in cells)
            text += "\n".join(
                "".join(output.get("text", []))
                for cell in cells
                for output in cell.get("outputs", [])
            )
        for pattern in (index, machine):
            found = pattern.search(text)
            assert not found, f"{path.relative_to(ROOT)}: {found and found[0]}"


def test_continuous_integration_installs_with_the_command_of_the_front_page():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert 'python -m pip install -e ".[lab,test]"' in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111, ".ci/run is not executable"
