"""The course as pages and slides: all of it there, and nothing fetched."""

import re

import nbformat
import pytest

from gancourse import course, site


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site of the notebooks as they are stored."""
    return site.build(tmp_path_factory.mktemp("site")).parent


def figures_of(book) -> int:
    kinds = [set(o.get("data", {})) for c in book.cells for o in c.get("outputs", [])]
    return sum(bool(kind & {"image/png", "image/jpeg"}) for kind in kinds)


def test_every_page_is_there_and_the_index_leads_to_it(built):
    index = (built / "index.html").read_text(encoding="utf-8")
    links = re.findall(r'href="([^"]+)"', index)
    assert all((built / link).is_file() for link in links)
    for book in course.notebooks():
        assert f"notebooks/{book.path.stem}.html" in links
        assert f"slides/{book.path.stem}.html" in links
    assert sum(link.startswith("exercises/") for link in links) >= 13


def test_no_page_loads_anything_from_a_network(built):
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'src="(?:https?:)?//[^"]*"', text), page.name
        assert not re.findall(r"(?:@import|url\()\s*['\"]?(?:https?:)?//", text)
        assert not re.findall(r'<link[^>]*href="(?:https?:)?//', text), page.name


def test_links_between_notebooks_lead_to_pages_that_exist(built):
    found = 0
    for page in (built / "notebooks").glob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'href="(?!https?:)[^"#]*\.ipynb', text), page.name
        for link in re.findall(r'href="((?!https?:)[^"#]+\.html)', text):
            assert (page.parent / link).is_file(), f"{page.name}: {link}"
            found += 1
    assert found > 100


def test_slides_show_every_figure_with_its_caption_and_end_with_the_summary(built):
    for book in course.notebooks():
        text = (built / "slides" / f"{book.path.stem}.html").read_text(encoding="utf-8")
        slides = text.split("<section>")[1:]
        assert book.title.split(":")[0][:12] in slides[0]
        shown = [slide for slide in slides if "<img src=" in slide]
        assert len(shown) == figures_of(nbformat.read(book.path, 4)), book.number
        assert all("<em>" in slide and 'alt=""' not in slide for slide in shown)
        assert "What to keep" in slides[-1]


def test_slides_ask_the_predictions_of_the_notebook(built):
    text = (built / "slides" / "10_unpaired_translation.html").read_text("utf-8")
    assert "Which one prefers one rotation to the others?" in text
    assert "<li>the identity one</li>" not in text and "<li>the identity</li>" in text
