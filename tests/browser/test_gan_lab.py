"""The GAN lab in a real JupyterLab: its buttons do what they say, and no more."""

import json

import pytest
from gan_lab_page import OPEN, REPOSITORY, Lab

pytestmark = pytest.mark.full


@pytest.fixture
def notebook(shared):
    """The module's notebook with a new lab in it; afterwards no page complained."""
    if not hasattr(shared, "name"):
        shared.open(OPEN, "gan-lab.ipynb")
    shared.set_cells(OPEN)
    assert shared.run_all()
    yield shared
    assert not shared.complaints, shared.complaints


@pytest.fixture
def lab(notebook):
    return Lab(notebook.page)


def test_play_moves_frames_and_pause_stops_them(lab, notebook):
    assert lab.step == 0, "it does not play by itself"
    notebook.page.wait_for_timeout(500)
    assert lab.step == 0
    lab.play("Number(d.frames) > 40")
    lab.pause()
    notebook.page.wait_for_timeout(700)  # what was in flight comes in
    stopped = lab.step
    assert stopped > 40
    notebook.page.wait_for_timeout(700)
    assert lab.step == stopped
    assert "D loss" in lab.status
    notebook.picture("gan-lab-paused", lab.root)
    # Enter and arrow keys are JupyterLab's own, but not in the lab's controls.
    play = lab.root.get_by_role("button", name="Play", exact=True)
    play.press("Enter")
    lab.play("Number(d.step) > arg", stopped)
    lab.pause()


def test_frames_come_at_a_pace_one_can_watch_and_the_controls_answer(lab, notebook):
    """Recorded, not asserted: a busy machine is slow, and the lab is none the worse."""
    speed = lab.speed(5)
    path = notebook.picture("gan-lab-speed", lab.root).with_suffix(".json")
    path.write_text(json.dumps(speed), encoding="utf-8")
    print(speed)
    assert speed["frames a second"] > 1 and len(speed["answers to a slider, ms"]) == 10


def test_a_cell_runs_while_the_lab_plays(lab, notebook):
    lab.play("Number(d.frames) > 5")
    code = "import time\nbefore = lab.engine.state.step\ntime.sleep(1.5)\n"
    cell = notebook.add_cell(
        code + "print('meanwhile', lab.engine.state.step - before)"
    )
    assert notebook.run_cell(cell)
    meanwhile = int(notebook.text().split("meanwhile ")[1].split()[0])
    lab.wait("Number(d.step) > arg", lab.step + 5)
    lab.pause()
    assert meanwhile > 0, "with kernel subshells, frames come while a cell runs"


def test_two_labs_in_one_notebook_do_not_disturb_each_other(notebook):
    two = "other = GanLab(law='two moons', seed=4)\nother"
    notebook.set_cells([*OPEN, two])
    assert notebook.run_all()
    first, second = Lab(notebook.page, 0), Lab(notebook.page, 1)
    first.play("Number(d.step) > 40")
    second.play("Number(d.step) > 40")
    first.play("Number(d.step) > arg", first.step + 5)
    first.pause()
    notebook.page.wait_for_timeout(500)
    stopped, going = first.step, second.step
    second.wait("Number(d.step) > arg", going + 20)
    second.pause()
    assert first.step == stopped
    check = (
        "for one in (lab, other):\n    names = {}\n    exec(one.program(), names)\n"
        "    print('equal', names['log'] == one.engine.last)"
    )
    notebook.page.wait_for_timeout(500)
    assert notebook.run_cell(notebook.add_cell(check))
    assert notebook.text().count("equal True") == 2
    notebook.picture("gan-labs-two")


def test_a_page_that_is_loaded_again_finds_its_lab(lab, notebook):
    lab.play("Number(d.step) > 20")
    lab.pause()
    notebook.page.wait_for_timeout(500)
    step = lab.step
    notebook.save()
    notebook.load()
    again = Lab(notebook.page)
    assert again.step == step, "the run is where it was"
    again.play("Number(d.step) > arg", step + 20)
    again.pause()


def test_an_untrusted_notebook_shows_a_picture_and_a_sentence(
    lab, notebook, page, jupyterlab, tmp_path
):
    lab.answered(lambda: lab.press("Step both"))
    saved = notebook.save().read_text(encoding="utf-8")
    mail = tmp_path / "from-a-friend.ipynb"  # changed, so its signature is not ours
    mail.write_text(saved.replace("GanLab()", "GanLab( )"), encoding="utf-8")
    other = type(notebook)(page, jupyterlab).open(mail)
    page.locator(".jp-OutputArea-output img").first.wait_for()
    assert page.locator(".gan-lab").count() == 0
    assert "running notebook it has buttons" in page.content()
    other.picture("gan-lab-untrusted")
    assert not other.complaints


def test_notebook_02_runs_in_the_browser_and_its_lab_plays(notebook, page, jupyterlab):
    course = type(notebook)(page, jupyterlab)
    course.open(REPOSITORY / "notebooks" / "02_first_gan.ipynb")
    assert course.run_all(), course.text()[-2_000:]
    lab = Lab(page)
    lab.root.scroll_into_view_if_needed()
    step = lab.step
    assert step > 0, "where the cell above has left it"
    lab.answered(lambda: lab.press("Reset"))
    lab.play("Number(d.step) > 8")  # in profile smoke the rates have fallen by 10
    lab.pause()
    course.picture("notebook-02")
    assert not course.complaints, course.complaints
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()"
    )


def test_a_lab_whose_kernel_is_gone_pauses_and_says_so(notebook, page, jupyterlab):
    alone = type(notebook)(page, jupyterlab).open(OPEN, "gone.ipynb")
    assert alone.run_all()
    lab = Lab(page)
    lab.play("Number(d.step) > 10")
    session = "window.jupyterapp.shell.currentWidget.sessionContext.session"
    page.evaluate(f"() => {session}.kernel.shutdown()")
    status = lab.root.get_by_role("status").element_handle()
    page.wait_for_function(
        "s => s.textContent.includes('has not answered')", arg=status
    )
    assert lab.root.get_by_role("button", name="Play", exact=True).is_visible()
