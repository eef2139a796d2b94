"""The glossary: each link leads to a section with the word, no word stands twice."""

import ast
import json
import random
import re
import sys
import types
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

import pytest

from gancourse import course

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATH = FOLDER / "A1_glossary.ipynb"
PAIRS = {  # course.md, "Glossary and languages"
    "generator": "生成器",
    "discriminator": "判别器",
    "mode collapse": "模式崩溃",
    "gradient clipping": "梯度裁剪",
    "style transfer": "风格迁移",
    "image-to-image translation": "图像翻译",
    "image enhancement": "图像增强",
}


def cells(path: Path) -> list[tuple[str, str]]:
    """(kind, source) of each cell."""
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [(cell["cell_type"], "".join(cell["source"])) for cell in found]


def book() -> dict:
    """What the notebook defines, and its terms, without running the rest of it."""
    names = {"re": re, "json": json, "sys": sys, "course": course}
    names |= {"unquote": unquote, "NamedTuple": NamedTuple, "Path": Path}
    for kind, text in cells(PATH):
        if kind == "code" and "find_spec" not in text:
            kept = [
                node
                for node in ast.parse(text).body
                if isinstance(node, ast.FunctionDef | ast.ClassDef)
            ]
            exec(compile(ast.Module(kept, []), PATH.name, "exec"), names)
    names["terms"] = names["read_terms"](names["own_text"]())
    return names


BOOK = book()
TERMS = BOOK["terms"]
every = pytest.mark.parametrize("term", TERMS, ids=[t.english for t in TERMS])


def sections(path: Path) -> dict[str, str]:
    """Heading (blanks as hyphens) -> itself and everything down to the next heading."""
    found, here = {}, None
    for kind, text in cells(path):
        for line in text.splitlines():
            heading = (
                re.match(r"#{1,6} +(.+?) *$", line) if kind == "markdown" else None
            )
            here = heading[1].replace(" ", "-") if heading else here
            found[here] = found.get(here, "") + line.lstrip("# ") + "\n"
    return found


def words(text: str) -> str:
    """Prose without markup: no TeX commands, no hyphens and dashes, small letters."""
    text = re.sub(r"[$*`{}\\]", "", re.sub(r"\\[a-zA-Z]+", " ", text))
    text = text.replace("R_1", "R1")
    return re.sub(r"[\s\u2010-\u2015-]+", " ", text).lower()


def target(term) -> tuple[str, str]:
    """(file, heading with hyphens) of a term's link."""
    link = re.fullmatch(r"\[(\w\d)(?:, .+)?\]\(([^#]+)#(\S+)\)", term.link)
    assert link, term.link
    assert link[2].startswith(link[1]), "the words of a link name another notebook"
    return link[2], unquote(link[3])


def test_there_is_a_word_for_nearly_everything():
    assert len(TERMS) >= 120
    assert len({term.group for term in TERMS}) >= 8


@every
def test_link_leads_to_a_section_that_has_the_word(term):
    file, heading = target(term)
    assert (FOLDER / file).is_file(), file
    there = sections(FOLDER / file)
    assert heading in there, f"{file} has no heading {heading}"
    names = [name.strip() for name in re.split(r"[()]", term.english) if name.strip()]
    text = words(there[heading])
    assert any(
        re.search(rf"(?<!\w){re.escape(words(name))}(s|es)?(?!\w)", text)
        for name in names
    ), f"{term.english!r} does not occur in {file}, {heading}"


def test_words_of_a_link_are_the_heading_that_it_leads_to():
    for term in TERMS:
        _, heading = target(term)
        said = re.match(r"\[\w\d, (.+)\]\(", term.link)
        if said:
            assert said[1].replace(" ", "-") == heading
        else:  # a notebook's own title
            assert re.match(r"\d\d-", heading), term.link


def test_every_notebook_of_the_course_gives_words():
    linked = {target(term)[0][:2] for term in TERMS}
    course_books = {path.name[:2] for path in FOLDER.glob("[0-9][0-9]_*.ipynb")}
    assert linked >= course_books - {"06"}, "06 repairs, and introduces no words"


def test_no_term_stands_twice_in_either_language():
    for column in ("english", "chinese"):
        values = [BOOK["plain"](getattr(term, column)) for term in TERMS]
        assert not {value for value in values if values.count(value) > 1}


@every
def test_every_term_has_its_chinese_and_a_sentence(term):
    adopted = {"Gumbel-softmax 松弛", "pix2pix 模型"}  # names with a Chinese noun
    assert re.search(r"[\u4e00-\u9fff]", term.chinese) or term.chinese in adopted
    assert len(term.meaning) >= 25 and term.meaning.rstrip(")").endswith(".")
    assert term.meaning.count("$") % 2 == 0, "a formula is not closed"
    formulas = "".join(term.meaning.split("$")[1::2])
    assert formulas.count("{") == formulas.count("}")


def test_pairs_that_the_course_promises_are_there_as_given():
    chinese = {term.english: term.chinese for term in TERMS}
    for english, word in PAIRS.items():
        assert chinese[english] == word


def test_terms_are_alphabetical_within_their_group():
    for group in dict.fromkeys(term.group for term in TERMS):
        names = [BOOK["plain"](t.english) for t in TERMS if t.group == group]
        assert names == sorted(names), group


def test_every_row_of_the_tables_is_read():
    text = "\n".join(source for kind, source in cells(PATH) if kind == "markdown")
    rows = [line for line in text.splitlines() if re.match(r"\| .*\.ipynb#", line)]
    assert len(rows) == len(TERMS)
    assert all(len(row.split(" | ")) == 4 for row in rows)


@pytest.mark.parametrize(
    ("asked", "first"),
    [
        ("Mode-Collapse", "mode collapse"),
        ("  MODE  collapse ", "mode collapse"),
        ("崩溃", "mode collapse"),
        ("判别器", "discriminator"),
        ("kullback leibler", "Kullback–Leibler divergence (KL)"),
        ("感受", "receptive field"),
    ],
)
def test_search_finds_in_both_languages(asked, first):
    found = [term.english for term in BOOK["find"](asked)]
    assert first in found
    with_words = [t for t in BOOK["find"](asked) if t.english == first]
    assert len(with_words) == 1, "a term is found twice"


def test_search_puts_terms_before_meanings_and_finds_nothing_in_nonsense():
    found = BOOK["find"]("critic")
    named = ["critic" in BOOK["plain"](f"{t.english} {t.chinese}") for t in found]
    assert named == sorted(named, reverse=True)
    assert {True, False} == set(named)
    assert BOOK["find"]("自行车") == []


def test_the_notebooks_own_check_sees_broken_links():
    assert BOOK["broken"](TERMS, FOLDER) == []
    term = TERMS[0]
    wrong = [
        term._replace(link="[01](01_no_such_file.ipynb#x)"),
        term._replace(link=term.link.replace("#", "#no-")),
    ]
    assert len(BOOK["broken"]([term, *wrong], FOLDER)) == 2


def test_on_colab_the_open_notebook_is_read(monkeypatch):
    row = "### Two\n\n| a | 甲 | An a. | [01](01_x.ipynb#y) |"
    answer = {"ipynb": {"cells": [{"cell_type": "markdown", "source": [row]}]}}
    colab = types.SimpleNamespace(
        _message=types.SimpleNamespace(blocking_request=lambda name: answer)
    )
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    (term,) = BOOK["read_terms"](BOOK["own_text"]())
    assert term[:3] == ("a", "甲", "An a.") and term.group == "Two"


def test_a_copy_of_ones_own_is_read_before_the_courses(tmp_path, monkeypatch):
    own = {"cells": [{"cell_type": "markdown", "source": ["my own text"]}]}
    (tmp_path / PATH.name).write_text(json.dumps(own), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert BOOK["own_text"]() == "my own text"
    (tmp_path / PATH.name).unlink()
    assert len(BOOK["read_terms"](BOOK["own_text"]())) == len(TERMS)


def test_a_card_hides_its_answer():
    term = random.Random(1).choice(TERMS)
    shown = BOOK["card"](term)
    summary, hidden = shown.split("</summary>")
    assert term.chinese in summary and term.english not in summary
    assert term.meaning in hidden and hidden.endswith("</details>")


def test_stored_run_counted_what_stands_there():
    outputs = [
        output.get("data", {})
        for cell in json.loads(PATH.read_text(encoding="utf-8"))["cells"]
        for output in cell.get("outputs", [])
    ]
    (stored,) = [data[course.MIME] for data in outputs if course.MIME in data]
    metrics = stored["metrics"]
    assert metrics["terms"] == len(TERMS)
    assert metrics["groups"] == len({term.group for term in TERMS})
    assert metrics["notebooks_linked"] == len({target(term)[0] for term in TERMS})
    assert metrics["broken_links"] == metrics["double_terms"] == 0
