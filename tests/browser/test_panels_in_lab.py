"""Explorer, mixer, dashboard and guesses in a real JupyterLab: the controls work."""

from pathlib import Path

import pytest
from panels_page import EXPLORER, MIXER, Shown

pytestmark = pytest.mark.full
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
RUN = """import tempfile
import torch
from gancourse import data, games
from gancourse.lab import Dashboard
from gancourse.models.mlp import PointDiscriminator, PointGenerator
from gancourse.training import TrainConfig, start, train

ring, folder = data.ring(std=0.1), tempfile.mkdtemp()
real, z = ring.sample(500), torch.randn(300, PointGenerator().latent_dim)
game = games.GAN(PointGenerator(), PointDiscriminator())
state = start(game, TrainConfig(steps=200_000, log_every=20, device="cpu"))
live = Dashboard(state, lambda: state.sample(z), real, folder)"""
LOOP = """for log in live.watch(train(state, data.batches(real, 64, 0))):
    pass"""


@pytest.fixture(autouse=True)
def patience(page):
    """Machines on which other things run are slow; no test asserts a time."""
    page.context.set_default_timeout(180_000)


def test_the_explorer_answers_sliders_keys_and_numbers(notebook):
    notebook.open([EXPLORER])
    assert notebook.run_all()
    shown = Shown(notebook, "Latent explorer")
    tau = shown.root.get_by_label("cut at τ")
    shown.changes("sample", lambda: tau.fill("0.4"))
    shown.wait_for_text("cut at 0.4")
    shown.changes("walk", lambda: shown.root.get_by_label("to seed").fill("17"))
    pad = shown.root.get_by_role("slider", name="pad")
    pad.focus()
    before = shown.source("near")
    shown.changes("sample", lambda: pad.press("ArrowRight"))
    shown.wait_for_text("+0.25 across")
    for _ in range(8):
        pad.press("ArrowUp")
    shown.wait_for_text("+2.00 up")
    shown.wait_for_another("near", before)
    assert "up 2" in pad.get_attribute("aria-valuetext")
    box = pad.bounding_box()
    shown.changes(
        "sample",
        lambda: pad.click(
            position={"x": 0.25 * box["width"], "y": 0.5 * box["height"]}
        ),
    )
    shown.wait_for_text("-1.50 across")
    notebook.picture("explorer", shown.root)
    for image in shown.root.get_by_role("img").all():
        assert len(image.get_attribute("alt")) > 20
    assert (
        notebook.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.content.mode"
        )
        != "edit"
    ), "keys of the pad are no keys of the notebook"


def test_the_explorer_comes_back_after_the_page_is_loaded_again(notebook):
    notebook.open([EXPLORER])
    assert notebook.run_all()
    notebook.save()
    notebook.load()
    shown = Shown(notebook, "Latent explorer")
    shown.changes("sample", lambda: shown.root.get_by_label("from seed").fill("5"))


def test_a_page_without_a_kernel_shows_picture_and_sentence(notebook, tmp_path):
    from gancourse import pages

    notebook.open([EXPLORER])
    assert notebook.run_all()
    saved = notebook.save()
    notebook.page.wait_for_timeout(500)
    pages.write_html(saved)
    notebook.page.goto(saved.with_suffix(".html").as_uri())
    picture = notebook.page.get_by_role("img").first
    assert picture.get_attribute("src").startswith("data:image/png")
    assert notebook.page.get_by_text("The latent explorer:").first.is_visible()
    notebook.picture("explorer_static")
    # The page names no address of a network, which its own diagram script complains of.
    notebook.complaints[:] = [c for c in notebook.complaints if "specifier" not in c]


def test_the_mixer_previews_paints_and_cancels_beside_running_cells(notebook):
    notebook.open([MIXER, "print('still', 'here')"])
    assert notebook.run_cell(0)
    shown = Shown(notebook, "Style mixer")
    strength = shown.root.get_by_label("style strength")
    shown.changes("preview", lambda: strength.fill("0.3"))
    shown.changes("preview", lambda: shown.root.get_by_label("van Gogh").fill("1"))
    shown.wait_for_text("Kandinsky 50%, van Gogh 50%")
    shown.changes(
        "photograph",
        lambda: shown.root.get_by_label("photograph", exact=True).select_option("cat"),
    )
    shown.root.get_by_role("button", name="Paint with Gatys").click()
    shown.root.locator('img[data-picture="gatys"]').wait_for()
    shown.wait_for_another("gatys", shown.source("gatys"))
    assert shown.root.get_by_role("progressbar").is_visible()
    assert notebook.run_cell(1) and "still here" in notebook.text()
    shown.changes("gatys", lambda: None)  # and it went on painting
    notebook.picture("mixer", shown.root)
    shown.root.get_by_role("button", name="Cancel").click()
    shown.wait_for_text("Cancelled")
    notebook.wait_until_idle()
    still = shown.source("gatys")
    shown.changes("preview", lambda: strength.fill("0.9"))
    assert shown.source("gatys") == still


@pytest.mark.parametrize("way", ["button", "interrupt"])
def test_the_dashboard_lives_while_the_loop_runs_and_a_stop_saves(notebook, way):
    notebook.open(
        [RUN, LOOP, "print('kept', len(list(__import__('os').listdir(folder))))"]
    )
    assert notebook.run_cell(0)
    page = notebook.page
    run = "window.jupyterapp.commands.execute('notebook:run-cell')"
    page.evaluate(
        "() => { const c = window.jupyterapp.shell.currentWidget.content;"
        f" c.activeCellIndex = 1; {run}; }}"  # not waited for: it would not end
    )
    picture = page.locator(".jp-OutputArea-output img").first
    picture.wait_for()
    before = picture.get_attribute("src")
    page.wait_for_function(
        "before => { const i = document.querySelector('.jp-OutputArea-output img');"
        " return i && i.src !== before; }",
        arg=before,
    )
    notebook.picture("dashboard")
    button = page.get_by_role("button", name="Stop and save")
    if way == "button":
        button.click()
    else:
        page.evaluate(
            "() => { window.jupyterapp.shell.currentWidget.sessionContext.session"
            ".kernel.interrupt(); }"
        )
    page.get_by_text("Run the cell again to continue.").first.wait_for()
    assert ", saved. Run the cell again to continue." in notebook.text()
    page.locator("button:disabled", has_text="Stop and save").wait_for()
    assert notebook.run_cell(2)
    assert "kept 0" not in notebook.text() and "kept" in notebook.text()


def test_a_guess_is_made_with_the_keyboard_locked_by_the_answer_and_counted(notebook):
    ask = "from gancourse.lab import predict, reveal\n"
    ask += "predict('q', 'Heads or tails?', ['heads', 'tails', 'edge'])"
    notebook.open([ask, "reveal('q', 'tails', 'it fell so')"])
    assert notebook.run_cell(0)
    page = notebook.page
    page.get_by_role("group", name="Heads or tails?").wait_for()
    page.get_by_role("radio", name="heads").focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    assert page.get_by_role("radio", name="tails").is_checked()
    notebook.picture("guess_open")
    notebook.wait_until_idle()
    assert notebook.run_cell(1)
    assert "and so it is" in notebook.text() and "1 of 1 right" in notebook.text()
    page.wait_for_function(
        "() => [...document.querySelectorAll('input[type=radio]')]"
        ".every(i => i.disabled)"
    )
    notebook.picture("guess_locked")


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("04_dcgan_mnist", ["Latent explorer"]),
        ("07_conditional_control", ["Latent explorer"]),
        ("12_gram_style_transfer", ["Style mixer"]),
        ("13_fast_and_adversarial_style", ["Style mixer"]),
    ],
)
def test_a_notebook_with_panels_runs_from_top_to_bottom(name, titles, notebook):
    notebook.page.context.set_default_timeout(400_000)
    notebook.open(NOTEBOOKS / f"{name}.ipynb")
    assert notebook.run_all()
    for title in titles:
        shown = Shown(notebook, title)
        shown.root.scroll_into_view_if_needed()
        notebook.picture(name[:2], shown.root)
