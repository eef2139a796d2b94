"""A static page of an executed notebook that loads nothing from a network.

Formulas become MathML, which browsers draw by themselves: no MathJax is fetched.
"""

import re
from html import escape
from pathlib import Path

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from gancourse import stored

BADGE = re.compile(r"\[!\[Open In Colab\]\([^)]*\)\]\(([^)]*)\)")
_ADDRESSES = ("mathjax_url", "require_js_url", "jquery_url", "mermaid_js_url")


def write_html(path: Path) -> Path:
    """The page NAME.html beside the executed notebook NAME.ipynb."""
    target = path.with_suffix(".html")
    target.write_text(page(nbformat.read(path, 4)), encoding="utf-8")
    return target


def page(book) -> str:
    """An executed notebook as HTML."""
    stored.strip(book)
    for cell in book.cells:  # the badge is a picture from elsewhere
        if cell.cell_type == "markdown":
            cell.source = BADGE.sub(r"[Open in Colab](\1)", cell.source)
    exporter = _Exporter(template_name="classic", embed_images=True)
    for address in _ADDRESSES:
        if exporter.has_trait(address):
            setattr(exporter, address, "")
    return exporter.from_notebook_node(book)[0]


def mathml(tex: str, display: str = "inline") -> str:
    """A formula as MathML; one that cannot be converted stays readable as TeX."""
    try:
        return convert(tex, display=display)
    except Exception:  # the converter's errors have no common class
        return f'<code class="tex">{escape(tex)}</code>'


def markdown(source: str, attachments: dict | None = None) -> str:
    """A text cell as HTML, the pictures attached to it inside."""
    renderer = _Renderer(escape=False, attachments=attachments or {})
    return MarkdownWithMath(renderer=renderer).render(source)


class _Renderer(IPythonRenderer):
    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


class _Exporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context, source: str) -> str:
        return markdown(source, context.get("cell", {}).get("attachments"))
