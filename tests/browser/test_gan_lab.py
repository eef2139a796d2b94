"""The GAN lab in a real JupyterLab: its buttons do what they say, and no more."""

import json

import pytest
from gan_lab_page import OPEN, Lab

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
    return Lab(notebook)


def test_play_moves_frames_and_pause_stops_them(lab, notebook):
    assert lab.step == 0, "it does not play by itself"
    notebook.page.wait_for_timeout(500)
    assert lab.step == 0
    lab.press("Play")
    lab.wait("Number(d.frames) > 40")
    lab.press("Pause")
    notebook.page.wait_for_timeout(700)  # what was in flight comes in
    stopped = lab.step
    assert stopped > 40
    notebook.page.wait_for_timeout(700)
    assert lab.step == stopped
    assert "D loss" in lab.status
    notebook.picture("gan-lab-paused", lab.root)


def test_frames_come_at_a_pace_one_can_watch_and_the_controls_answer(lab, notebook):
    """Recorded, not asserted: a busy machine is slow, and the lab is none the worse."""
    speed = lab.speed(5)
    path = notebook.picture("gan-lab-speed", lab.root).with_suffix(".json")
    path.write_text(json.dumps(speed), encoding="utf-8")
    print(speed)
    assert speed["frames a second"] > 1 and len(speed["answers to a slider, ms"]) == 10


def test_single_moves_are_the_engine_s_moves(lab, notebook):
    for name, step, moves in [("Step D", 0, 1), ("Step G", 1, 0), ("Step both", 2, 0)]:
        lab.answered(lambda name=name: lab.press(name))
        assert lab.step == step
        cell = notebook.add_cell("print('moves', lab.engine.d_moves)")
        assert notebook.run_cell(cell)
        assert f"moves {moves}" in str(notebook.outputs()[cell])
    cell = notebook.add_cell(
        "names = {}\nexec(lab.program(), names)\n"
        "print('equal', names['log'] == lab.engine.last)"
    )
    assert notebook.run_cell(cell)
    assert "equal True" in notebook.text()


def test_sliders_and_choices_change_the_run_and_reset_resets_it(lab, notebook):
    def recipe() -> str:
        cell = notebook.add_cell("print(lab.engine.recipe)")
        assert notebook.run_cell(cell)
        return str(notebook.outputs()[cell])

    lab.press("Play")
    lab.wait("Number(d.frames) > 10")
    slider = lab.root.get_by_label("Learning rate of G")
    slider.focus()
    for _ in range(6):
        slider.press("ArrowRight")
    lab.root.get_by_label("Loss", exact=True).select_option("hinge")
    lab.wait("Number(d.step) > arg", lab.step + 20)
    lab.press("Pause")
    now = recipe()
    assert "loss='hinge'" in now and "d_lr=0.002" in now
    assert "g_lr=0.004" in now, now
    assert lab.step > 0, "these two do not begin anew"

    lab.answered(lambda: lab.press("Reset"))
    assert lab.step == 0 and "seed=0" in recipe()
    lab.answered(lambda: lab.press("New seed"))
    assert lab.step == 0 and "seed=1" in recipe()
    lab.press("Play")
    lab.wait("Number(d.step) > 20")
    lab.answered(lambda: lab.root.get_by_label("Data").select_option("two moons"))
    lab.wait("Number(d.step) > 20")  # it plays on, on other data
    lab.press("Pause")
    assert "law='two moons'" in recipe()
    notebook.picture("gan-lab-moons", lab.root)


def test_old_answers_do_not_reach_a_run_that_was_reset(lab, notebook):
    for _ in range(5):
        lab.press("Play")
        lab.wait("Number(d.step) > 10")
        lab.press("Reset")  # with requests in flight
        notebook.page.wait_for_timeout(300)
        assert lab.step == 0


def test_a_cell_runs_while_the_lab_plays(lab, notebook):
    lab.press("Play")
    lab.wait("Number(d.frames) > 5")
    code = "import time\nbefore = lab.engine.state.step\ntime.sleep(1.5)\n"
    cell = notebook.add_cell(
        code + "print('meanwhile', lab.engine.state.step - before)"
    )
    assert notebook.run_cell(cell)
    meanwhile = int(notebook.text().split("meanwhile ")[1].split()[0])
    lab.wait("Number(d.step) > arg", lab.step + 5)
    lab.press("Pause")
    assert meanwhile > 0, "with kernel subshells, frames come while a cell runs"


def test_looking_back_and_the_program(lab, notebook):
    lab.press("Play")
    lab.wait("Number(d.step) > 60")
    lab.press("Pause")
    notebook.page.wait_for_timeout(500)
    end, back = lab.step, lab.root.get_by_label("Look back")
    lab.answered(lambda: back.press("Home"))
    assert lab.step == 0 and "Looking back" in lab.status
    lab.answered(lambda: lab.press("Now"))
    assert lab.step == end
    lab.root.get_by_text("The program of this run").click()
    program = lab.root.get_by_label("Program")
    notebook.page.wait_for_function("p => p.textContent", arg=program.element_handle())
    index = notebook.add_cell(program.inner_text() + "\nprint(log == lab.engine.last)")
    assert notebook.run_cell(index), "copied into a cell it runs"
    assert "True" in str(notebook.outputs()[index]), "and is the same run"


def test_a_law_is_drawn_by_mouse_and_by_keys(lab, notebook):
    lab.press("Draw your own")
    plane = lab.root.locator("canvas").first
    box = plane.bounding_box()
    mouse = notebook.page.mouse
    mouse.move(box["x"] + 60, box["y"] + 60)
    mouse.down()
    mouse.move(box["x"] + 250, box["y"] + 60, steps=12)
    mouse.up()
    plane.focus()
    for _ in range(8):
        plane.press("ArrowDown")
    plane.press(" ")
    notebook.picture("gan-lab-drawing", lab.root)
    lab.answered(lambda: lab.press("Play with the drawing"))
    index = notebook.add_cell("print('points', len(lab.engine.recipe.points))")
    assert notebook.run_cell(index)
    assert int(notebook.text().split("points ")[1].split()[0]) > 8
    assert lab.root.get_by_label("Data").input_value() == "your drawing"
    lab.press("Play")
    lab.wait("Number(d.step) > 300")
    lab.press("Pause")
    notebook.picture("gan-lab-drawn", lab.root)


def test_a_page_that_is_loaded_again_finds_its_lab(lab, notebook):
    lab.press("Play")
    lab.wait("Number(d.step) > 20")
    lab.press("Pause")
    notebook.page.wait_for_timeout(500)
    step = lab.step
    notebook.save()
    notebook.load()
    again = Lab(notebook)
    assert again.step == step, "the run is where it was"
    again.press("Play")
    again.wait("Number(d.step) > arg", step + 20)
    again.press("Pause")


def test_two_labs_in_one_notebook_do_not_disturb_each_other(notebook):
    two = "other = GanLab(law='two moons', seed=4)\nother"
    notebook.set_cells([*OPEN, two])
    assert notebook.run_all()
    first, second = Lab(notebook, 0), Lab(notebook, 1)
    first.press("Play")
    second.press("Play")
    first.wait("Number(d.step) > 40")
    second.wait("Number(d.step) > 40")
    first.press("Pause")
    notebook.page.wait_for_timeout(500)
    stopped, going = first.step, second.step
    second.wait("Number(d.step) > arg", going + 20)
    second.press("Pause")
    assert first.step == stopped
    check = (
        "for one in (lab, other):\n    names = {}\n    exec(one.program(), names)\n"
        "    print('equal', names['log'] == one.engine.last)"
    )
    notebook.page.wait_for_timeout(500)
    assert notebook.run_cell(notebook.add_cell(check))
    assert notebook.text().count("equal True") == 2
    notebook.picture("gan-labs-two")


def test_it_is_worked_by_keys_and_named_for_those_who_can_not_see_it(lab, notebook):
    play = lab.root.get_by_role("button", name="Play", exact=True)
    play.focus()
    notebook.page.keyboard.press("Space")
    lab.wait("Number(d.step) > 10")
    notebook.page.keyboard.press("Enter")  # the same button pauses
    notebook.page.wait_for_timeout(500)
    assert "D loss" in lab.status, "said by a live region"
    assert lab.root.get_by_role("status").get_attribute("aria-live") == "polite"
    nameless = lab.root.evaluate(
        """root => [...root.querySelectorAll('button, input, select, canvas')].filter(
            e => !(e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent)
        ).length"""
    )
    assert nameless == 0
    order = []
    play.focus()
    for _ in range(6):
        order.append(notebook.page.evaluate("() => document.activeElement.textContent"))
        notebook.page.keyboard.press("Tab")
    assert order == ["Play", "Step D", "Step G", "Step both", "Reset", "New seed"]


def test_little_motion_is_respected(notebook):
    notebook.page.emulate_media(reduced_motion="reduce")
    assert notebook.run_all()
    lab = Lab(notebook)
    lab.press("Play")
    lab.wait("Number(d.step) > 5")
    before = lab.number("frames")
    notebook.page.wait_for_timeout(3_000)
    assert lab.number("frames") - before <= 7, "two pictures a second"
    lab.press("Pause")
    notebook.page.emulate_media(reduced_motion="no-preference")


def test_a_lab_out_of_sight_pauses(lab, notebook):
    lab.press("Play")
    lab.wait("Number(d.step) > 10")
    hide = (
        "Object.defineProperty(document, 'hidden', {value: true, configurable: true})"
    )
    notebook.page.evaluate(
        f"() => {{ {hide}; document.dispatchEvent(new Event('visibilitychange')); }}"
    )
    assert lab.root.get_by_role("button", name="Play", exact=True).is_visible()
    assert "hidden" in lab.status
    notebook.page.evaluate("() => { delete document.hidden; }")


def test_a_lab_whose_kernel_is_gone_pauses_and_says_so(notebook, page, jupyterlab):
    alone = type(notebook)(page, jupyterlab).open(OPEN, "gone.ipynb")
    assert alone.run_all()
    lab = Lab(alone)
    lab.press("Play")
    lab.wait("Number(d.step) > 10")
    session = "window.jupyterapp.shell.currentWidget.sessionContext.session"
    page.evaluate(f"() => {session}.kernel.shutdown()")
    status = lab.root.get_by_role("status").element_handle()
    page.wait_for_function(
        "s => s.textContent.includes('has not answered')", arg=status
    )
    assert lab.root.get_by_role("button", name="Play", exact=True).is_visible()


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
    assert "In a running notebook it has buttons" in page.content()
    other.picture("gan-lab-untrusted")
    assert not other.complaints
