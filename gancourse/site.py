"""The course as a folder of pages that need no network: to put on a server or a stick.

notebooks/, exercises/ and slides/ lie in it as in the repository, with an index.html.
"""

import ast
import re
from html import escape
from pathlib import Path

import nbformat

from gancourse import course, pages, runs

_LOCAL = re.compile(r'href="(?!https?:)([^"#]+)\.ipynb(#[^"]*)?"')
_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width"><style>
body {{ font: 1.1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; }}
.anchor-link {{ display: none; }}
{style}</style></head><body>
"""
# A slide fills the window and catches the scroll bar: space and arrows turn the page.
_SLIDE = """html { scroll-snap-type: y mandatory; }
section { box-sizing: border-box; min-height: 100vh; padding: 2rem;
  scroll-snap-align: start; display: flex; flex-direction: column;
  justify-content: center; }
img { max-width: 100%; max-height: 66vh; object-fit: contain; align-self: center; }
li { margin: 0.4rem 0; } math[display="block"] { font-size: 1.4rem; }
"""


def build(out: str | Path) -> Path:
    """Write the site into the folder `out`, from stored outputs; its index.html."""
    out = runs.writable_folder(Path(out))
    root = course.folder().parent
    for folder in ("notebooks", "exercises", "slides"):
        (out / folder).mkdir(exist_ok=True)
    for path in sorted((root / "exercises").glob("*.ipynb")):
        _write(out / "exercises", path, pages.page(nbformat.read(path, 4)))
    for notebook in course.notebooks():
        book = nbformat.read(notebook.path, 4)
        _write(out / "slides", notebook.path, slides(book))
        _write(out / "notebooks", notebook.path, pages.page(book))
    index = out / "index.html"
    index.write_text(_index(out), encoding="utf-8")
    return index


def _write(folder: Path, notebook: Path, html: str) -> None:
    """HTML under the notebook's name; links to notebooks become links to pages."""
    text = _LOCAL.sub(lambda link: f'href="{link[1]}.html{link[2] or ""}"', html)
    (folder / f"{notebook.stem}.html").write_text(text, encoding="utf-8")


def _index(out: Path) -> str:
    """The table of contents: each notebook with its slides and its exercises."""
    rows = ""
    for book in course.notebooks():
        links = []
        for folder in ("notebooks", "slides", "exercises"):
            if (out / folder / f"{book.path.stem}.html").is_file():
                words = escape(book.title) if folder == "notebooks" else folder
                links.append(f'<a href="{folder}/{book.path.stem}.html">{words}</a>')
        rows += f"<li>{book.number}: {', '.join(links)}</li>\n"
    head = _HEAD.format(title="gancourse", style="li { list-style: none; }")
    return f"{head}<h1>gancourse</h1>\n<ul>\n{rows}</ul>\n</body></html>\n"


# ------------------------------------------------------------------ slides


def slides(book) -> str:
    """What a teacher shows of a notebook: aims, questions, figures, summary."""
    found, heading = [], ""
    for cell in book.cells:
        if cell.cell_type == "markdown":
            for text in re.split(r"(?m)^(?=#{1,3} )", cell.source):
                heading = text.splitlines()[0] if text.startswith("#") else heading
                found += _texts(text, heading)
        else:
            found += _questions(cell.source, heading) + _figures(cell, heading)
    title = escape(book.cells[0].source.splitlines()[0].lstrip("# "))
    body = "".join(
        f"<section>\n{pages.markdown(slide)}\n</section>\n" for slide in found
    )
    return f"{_HEAD.format(title=title, style=_SLIDE)}{body}</body></html>\n"


def _texts(text: str, heading: str) -> list[str]:
    """The title with its aims, the summary as it is, else the formulas set apart."""
    if text.startswith("# "):
        return [pages.BADGE.sub("", text.split("**Needs**")[0])]
    if text.startswith("## What to keep"):
        return [text]
    formulas = re.findall(r"\$\$.+?\$\$", text, re.DOTALL)
    return ["\n\n".join([heading, *formulas])] if formulas else []


def _questions(source: str, heading: str) -> list[str]:
    """The predictions that a code cell asks for, with their choices."""
    lines = [re.sub(r"^(\s*)[%!].*", r"\1pass", s) for s in source.splitlines()]
    found = []
    for call in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "predict":
            try:
                _, question, choices = (ast.literal_eval(a) for a in call.args)
            except ValueError:  # a choice that is computed: not for a slide
                continue
            listed = "\n".join(f"- {choice}" for choice in choices)
            found.append(f"{heading}\n\n{question}\n\n{listed}")
    return found


def _figures(cell, heading: str) -> list[str]:
    """Each figure of a cell under its heading, with its caption."""
    found = []
    for output in cell.outputs:
        for kind in ("image/png", "image/jpeg"):
            if kind in output.get("data", {}):
                alt = output["metadata"].get(kind, {}).get("alt", "")
                image = "".join(output["data"][kind]).replace("\n", "")
                tag = f'<img src="data:{kind};base64,{image}" alt="{escape(alt)}">'
                found.append(f"{heading}\n\n{tag}\n\n*{alt}*")
    return found
