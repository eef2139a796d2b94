"""What every notebook of the course keeps to, read from the file without running it."""

import ast
import json
import re
import statistics
from functools import lru_cache
from html import unescape
from itertools import groupby, pairwise
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
BADGE = (
    "[![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
    "(https://colab.research.google.com/github/gancourse/gancourse/blob/main/"
    "notebooks/{}.ipynb)"
)
INSTALL = [
    "import importlib.util",
    'if importlib.util.find_spec("gancourse") is None:',
    '%pip install -q "gancourse @ git+https://github.com/gancourse/gancourse"',
]
FOOTER = [
    "You should have got",
    "What to keep",
    "Quiz",
    "Exercises",
    "Next",
    "Sources",
]
PROFILES = {"smoke", "quick", "cpu", "gpu"}
every = pytest.mark.parametrize("name", NAMES)


@lru_cache
def notebook(name: str) -> dict:
    return json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))


def source(cell: dict) -> str:
    return "".join(cell["source"])


def cells(name: str, kind: str) -> list[dict]:
    return [cell for cell in notebook(name)["cells"] if cell["cell_type"] == kind]


def code(name: str) -> list[str]:
    return [source(cell) for cell in cells(name, "code")]


def prose(name: str) -> str:
    return "\n\n".join(source(cell) for cell in cells(name, "markdown"))


def tree(text: str) -> ast.Module:
    """Syntax tree of a code cell, its % and ! lines blanked."""
    lines = text.splitlines()
    blank = [re.sub(r"^(\s*)[%!].*", r"\1pass", line) for line in lines]
    return ast.parse("\n".join(blank))


def nodes(name: str, kind) -> list:
    return [
        n for text in code(name) for n in ast.walk(tree(text)) if isinstance(n, kind)
    ]


def strings(name: str) -> list[str]:
    """Strings in the code, but later pieces of f-strings, which begin no place."""
    found = []
    for parsed in map(tree, code(name)):
        pieces = [
            n.values[1:] for n in ast.walk(parsed) if isinstance(n, ast.JoinedStr)
        ]
        later = {id(piece) for values in pieces for piece in values}
        for n in ast.walk(parsed):
            if isinstance(n, ast.Constant) and isinstance(n.value, str):
                found += [n.value] if id(n) not in later else []
    return found


def calls(name: str, function: str) -> list[ast.Call]:
    """Calls of `function`, written bare or after a module's name, in the notebook."""
    found = []
    for call in nodes(name, ast.Call):
        if ast.unparse(call.func).split(".")[-1] == function.split(".")[-1] and (
            "." not in function or ast.unparse(call.func).endswith(function)
        ):
            found.append(call)
    return found


def headings(name: str) -> list[tuple[int, str]]:
    """Level and text of each heading, in order; lines in code fences do not count."""
    text = re.sub(r"^```.*?^```", "", prose(name), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^(#{1,6}) +(.+?) *$", text, flags=re.MULTILINE)
    return [(len(marks), words) for marks, words in found]


def is_install(text: str) -> bool:
    return "find_spec" in text


def parameters(name: str) -> list[dict]:
    return [
        cell
        for cell in notebook(name)["cells"]
        if "parameters" in cell["metadata"].get("tags", [])
    ]


# ------------------------------------------------------------------ the file


def test_the_notebooks_of_the_course_are_there():
    first = {"00", "01", "02", "04", "05"}
    assert first <= {name[:2] for name in NAMES}


@every
def test_metadata_are_exactly_those_that_every_front_end_reads(name):
    content = notebook(name)
    metadata = dict(content["metadata"])
    # Neither `widgets` (GitHub calls such a file invalid) nor a tool's leftovers.
    assert set(metadata) <= {"kernelspec", "language_info", "gancourse"}
    assert metadata["kernelspec"] == {
        "name": "python3",
        "display_name": "Python 3",
        "language": "python",
    }
    assert metadata["language_info"] == {"name": "python"}
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    for cell in content["cells"]:
        assert set(cell["metadata"]) <= {"tags"}, cell["id"]


@every
def test_cell_ids_are_unique(name):
    ids = [cell["id"] for cell in notebook(name)["cells"]]
    assert len(set(ids)) == len(ids)


@every
def test_file_is_at_most_a_megabyte(name):
    assert (FOLDER / f"{name}.ipynb").stat().st_size <= 1_000_000


def test_all_notebooks_together_are_at_most_twelve_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.ipynb")) <= 12_000_000


# ------------------------------------------------------------------ header and footer


@every
def test_first_cell_says_what_one_gets_and_needs(name):
    first = source(notebook(name)["cells"][0])
    assert notebook(name)["cells"][0]["cell_type"] == "markdown"
    assert first.startswith(f"# {name[:2]} ")
    for label in ["You will be able to", "Needs", "Time", "Paper"]:
        assert len(re.findall(rf"\*{label}\*|\*{label}:\*|\*{label}", first)) >= 1, (
            label
        )
    after = re.split(r"You will be able to\W*\n", first, maxsplit=1)[1]
    objectives = re.findall(
        r"^\s*(?:[-*]|\d\.) ", after.split("Needs")[0], re.MULTILINE
    )
    assert 3 <= len(objectives) <= 5


@every
def test_colab_badge_opens_this_very_file(name):
    first = source(notebook(name)["cells"][0])
    assert BADGE.format(name) in first
    assert first.count("colab.research.google.com/github/") == 1


@every
def test_headings_form_one_tree(name):
    levels = [level for level, _ in headings(name)]
    assert levels.count(1) == 1
    assert levels[0] == 1
    for before, after in pairwise(levels):
        assert after <= before + 1, "a level of headings is skipped"


@every
def test_notebook_ends_with_its_footer(name):
    sections = [words for level, words in headings(name) if level == 2]
    assert sections[-len(FOOTER) :] == FOOTER
    assert all(sections.count(heading) == 1 for heading in FOOTER)
    assert notebook(name)["cells"][-1]["cell_type"] == "markdown"


@every
def test_you_should_have_got_reports_the_metrics_of_this_notebook(name):
    all_cells = notebook(name)["cells"]
    texts = [source(cell) for cell in all_cells]
    start = next(i for i, t in enumerate(texts) if "## You should have got" in t)
    end = next(i for i, t in enumerate(texts) if "## What to keep" in t)
    report = [
        call
        for cell in all_cells[start : end + 1]
        if cell["cell_type"] == "code"
        for call in ast.walk(tree(source(cell)))
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("report")
    ]
    assert len(report) == 1
    assert ast.literal_eval(report[0].args[0]) == name[:2]


@every
def test_quiz_has_three_to_five_questions_with_hidden_answers(name):
    quiz = prose(name).split("## Quiz", 1)[1].split("\n## ", 1)[0]
    assert 3 <= quiz.count("<details>") <= 5


# ------------------------------------------------------------------ code cells


@every
def test_one_parameters_cell_with_profile_and_seed(name):
    (cell,) = parameters(name)
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree(source(cell)).body
        if isinstance(node, ast.Assign)
    }
    assert values["profile"] == "auto"
    assert values["seed"] == 0


@every
def test_numbers_that_profiles_pick_name_all_four_profiles(name):
    for table in nodes(name, ast.Dict):
        keys = {key.value for key in table.keys if isinstance(key, ast.Constant)}
        if keys & PROFILES:
            assert keys == PROFILES, ast.unparse(table)


@every
def test_imports_stand_in_one_cell_of_at_most_ten_lines(name):
    install = [text for text in code(name) if is_install(text)]
    assert [line.strip() for line in install[0].splitlines() if line.strip()] == INSTALL
    assert len(install) == 1
    importing = [
        text
        for text in code(name)
        if not is_install(text)
        and any(
            isinstance(n, ast.Import | ast.ImportFrom) for n in ast.walk(tree(text))
        )
    ]
    assert len(importing) == 1
    tops = tree(importing[0]).body
    lines = [n for n in tops if isinstance(n, ast.Import | ast.ImportFrom)]
    assert sum(n.end_lineno - n.lineno + 1 for n in lines) <= 10
    position = code(name).index(importing[0])
    assert position <= 1, "the import cell comes first, after the install cell"


@every
def test_code_cells_are_short(name):
    lengths = []
    for text in code(name):
        lines = [line for line in text.splitlines() if line.strip()]
        lengths.append(len(lines))
        has_class = any(isinstance(n, ast.ClassDef) for n in ast.walk(tree(text)))
        assert len(lines) <= (40 if has_class else 25), text
    assert statistics.median(lengths) <= 12


@every
def test_code_never_runs_on_for_more_than_two_cells(name):
    kinds = [cell["cell_type"] for cell in notebook(name)["cells"]]
    for kind, run in groupby(kinds):
        assert kind != "code" or len(list(run)) <= 2


@every
def test_there_is_at_least_as_much_text_as_code(name):
    assert len(cells(name, "markdown")) >= len(cells(name, "code"))


@every
def test_lines_fit_the_page(name):
    for text in code(name):
        for line in text.splitlines():
            assert len(line) <= 88 or is_install(text), line


@every
def test_code_opens_nothing_outside_and_changes_nothing_global(name):
    for text in code(name):
        magics = re.findall(r"^\s*[%!].*", text, flags=re.MULTILINE)
        assert not magics or is_install(text), magics
    refused = ["plt.show", "np.random.seed", "random.seed", "os.chdir", "urlopen"]
    refused += ["urlretrieve", "requests.get", "load_state_dict_from_url", "input"]
    for function in refused:
        assert not calls(name, function), function
    for text in strings(name):
        outside = re.match(r"(/\w|~/|[A-Za-z]:[\\/]|https?://)", text)
        assert not outside, f"{text!r} is a place outside the course"


@every
def test_global_seed_is_the_parameter_and_never_a_number_of_its_own(name):
    for call in calls(name, "torch.manual_seed"):
        names = {n.id for n in ast.walk(call) if isinstance(n, ast.Name)} - {"torch"}
        assert names, ast.unparse(call)


# ------------------------------------------------------------------ predictions, hints


@every
def test_every_prediction_is_asked_once_and_answered_later_by_one_of_its_choices(name):
    asked, told = {}, {}
    for position, text in enumerate(code(name)):
        for call in ast.walk(tree(text)):
            if not isinstance(call, ast.Call):
                continue
            function = ast.unparse(call.func).split(".")[-1]
            if function == "predict":
                key, _question, choices = map(ast.literal_eval, call.args[:3])
                assert key not in asked, key
                asked[key] = (position, choices)
            elif function == "reveal":
                key = ast.literal_eval(call.args[0])
                told[key] = (position, call.args[1])
    assert asked.keys() == told.keys()
    for key, (position, choices) in asked.items():
        assert key.startswith(f"{name[:2]}.")
        assert len(set(choices)) == len(choices) >= 2
        later, answer = told[key]
        assert later > position, key
        if isinstance(answer, ast.Constant):  # an answer may also be computed
            assert answer.value in choices, key


@every
def test_hints_and_answers_wait_behind_details(name):
    text = prose(name)
    assert text.count("<details>") == text.count("</details>")
    assert (
        text.count("<details>") == text.count("<summary>") == text.count("</summary>")
    )
    depth = 0
    for line in text.splitlines():
        opened = line.count("<details>")
        if re.match(r"\W*(hint \d|answer\b)", line, flags=re.IGNORECASE):
            assert depth + opened > 0, line
        depth += opened - line.count("</details>")
        assert depth >= 0, line


@every
def test_every_exercise_has_three_graded_hints(name):
    exercises = prose(name).split("## Exercises", 1)[1].split("\n## ", 1)[0]
    counts = [len(re.findall(rf"(?i)\bhint {k}\b", exercises)) for k in (1, 2, 3)]
    assert counts[0] == counts[1] == counts[2]
    assert counts[0] > 0 or name.startswith("00")


@every
def test_links_lead_somewhere(name):
    for target in re.findall(r"\]\(([^)#\s]+)", prose(name)):
        if "://" not in target:
            assert (FOLDER / target).exists(), target


@every
def test_prose_is_plain(name):
    text = prose(name)
    assert not re.search(r"\b(TODO|FIXME|XXX)\b", text)
    assert not re.search("[\U0001f300-\U0001faff☀-➿]", text), "an emoji"


# ------------------------------------------------------------------ outputs


def outputs(name: str) -> list[dict]:
    return [output for cell in cells(name, "code") for output in cell["outputs"]]


@every
def test_stored_outputs_come_from_one_run_from_top_to_bottom(name):
    counts = [cell["execution_count"] for cell in cells(name, "code")]
    assert counts == list(range(1, len(counts) + 1))


@every
def test_stored_outputs_show_no_error_and_no_warning(name):
    for output in outputs(name):
        assert output["output_type"] != "error"
        text = "".join(output.get("text", []))
        assert output.get("name") != "stderr", text
        assert "Warning:" not in text, text


@every
def test_stored_outputs_belong_to_the_code_they_stand_under(name):
    course = pytest.importorskip("gancourse.course")
    stored = notebook(name)["metadata"].get("gancourse", {}).get("code_hash")
    assert stored == course.code_hash(FOLDER / f"{name}.ipynb"), (
        f"the code changed after the outputs: run gancourse run {name[:2]} --write"
    )


@every
def test_stored_metrics_are_there_to_be_read_by_machines(name):
    kind = "application/vnd.gancourse.metrics+json"
    assert sum(kind in output.get("data", {}) for output in outputs(name)) == 1


@every
def test_every_figure_has_a_description_that_is_also_visible(name):
    figures = 0
    for cell in cells(name, "code"):
        captions = [
            unescape("".join(output["data"]["text/html"]))
            for output in cell["outputs"]
            if "text/html" in output.get("data", {})
        ]
        for output in cell["outputs"]:
            for kind in {"image/png", "image/jpeg"} & set(output.get("data", {})):
                figures += 1
                alt = output["metadata"].get(kind, {}).get("alt", "")
                assert len(alt) >= 30, f"no description: {source(cell)}"
                assert any(alt in caption for caption in captions), alt
    assert figures >= 1
    for alt in re.findall(r"!\[([^\]]*)\]\(", prose(name).replace("[![", "[")):
        assert len(alt) >= 30


@every
def test_every_figure_is_followed_by_words_on_it(name):
    all_cells = notebook(name)["cells"]
    for position, cell in enumerate(all_cells):
        if cell["cell_type"] == "code" and "figures.show(" in source(cell):
            following = [c["cell_type"] for c in all_cells[position + 1 :][:2]]
            assert "markdown" in following, source(cell)


def test_map_of_the_course_has_a_box_for_every_numbered_notebook():
    (titles,) = [
        ast.literal_eval(node.value)
        for node in nodes("00_start_here", ast.Assign)
        if ast.unparse(node.targets[0]) == "titles"
    ]
    assert sorted(titles) == [name[:2] for name in NAMES if name[0].isdigit()]
