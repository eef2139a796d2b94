"""The GAN lab's page without JupyterLab: each control does what it says.

The page is loaded into an empty document and asks a GanLab of this process: the same
script and the same answers as in a notebook, and nothing in between.
"""

import json
import time

import pytest
from gan_lab_page import PICTURES, Lab

from gancourse.errors import GancourseError
from gancourse.lab import GanLab
from gancourse.lab.widget import HERE

pytestmark = pytest.mark.full

# What anywidget gives a page: send, on and off. Asking goes to Python, below.
MODEL = """async (script) => {
    const source = new Blob([script], {type: 'text/javascript'});
    const {default: page} = await import(URL.createObjectURL(source));
    const hears = new Set();
    const model = {
        on: (_, hear) => hears.add(hear),
        off: (_, hear) => hears.delete(hear),
        send: async (request) => {
            const {view, seq, epoch} = request;
            const told = JSON.parse(await window.asked(JSON.stringify(request)));
            if (!window.deaf) hears.forEach(hear => hear({...told, view, seq, epoch}));
        },
    };
    window.leave = page.render({model, el: document.body});
}"""


class Bare:
    """A lab on a page of its own, and the GanLab that answers it."""

    def __init__(self, page):
        self.page, self.lab, self.complaints = page, GanLab(), []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._console)
        page.expose_function("asked", self._answer)

    def _console(self, message) -> None:
        if message.type == "error" and "favicon" not in message.text:
            self.complaints.append(message.text)

    def _answer(self, request: str) -> str:
        try:
            return json.dumps(self.lab.answer(json.loads(request)), allow_nan=False)
        except GancourseError as error:
            return json.dumps({"t": "error", "message": str(error)})

    def show(self) -> Lab:
        self.page.set_content("<!doctype html><html lang=en><body></body></html>")
        self.page.add_style_tag(content=(HERE / "gan_lab.css").read_text())
        self.page.evaluate(MODEL, (HERE / "gan_lab.js").read_text())
        return Lab(self.page)


@pytest.fixture
def bare(page):
    opened = Bare(page)
    yield opened
    assert not opened.complaints, opened.complaints


@pytest.fixture
def engine(bare):
    return bare.lab.engine


@pytest.fixture
def lab(bare):
    return bare.show()


def picture(name: str, lab: Lab) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    lab.root.screenshot(path=PICTURES / f"{name}.png")


def test_it_does_not_play_by_itself_and_leaving_ends_it(lab, bare, page):
    page.wait_for_timeout(600)
    assert lab.step == 0 and lab.number("frames") == 1
    lab.play("Number(d.step) > 3")
    page.evaluate("() => window.leave()")
    page.wait_for_timeout(300)
    step = bare.lab.engine.state.step
    page.wait_for_timeout(600)
    assert bare.lab.engine.state.step == step, "nobody asks any more"


def test_single_moves_are_the_engine_s_moves(lab, engine):
    for name, step, moves in [("Step D", 0, 1), ("Step G", 1, 0), ("Step both", 2, 0)]:
        lab.answered(lambda name=name: lab.press(name))
        assert lab.step == engine.state.step == step
        assert engine.d_moves == moves
    names: dict = {}
    exec(GanLab.program(type("Held", (), {"engine": engine})), names)
    assert names["log"] == engine.last


def test_sliders_and_choices_change_the_run_and_reset_resets_it(lab, engine):
    lab.play("Number(d.frames) > 5")
    slider = lab.root.get_by_label("Learning rate of G")
    slider.focus()
    for _ in range(6):
        slider.press("ArrowRight")
    lab.root.get_by_label("Loss", exact=True).select_option("hinge")
    lab.root.get_by_label("Moves of D a step").select_option("2")
    lab.play("Number(d.step) > arg", lab.step + 5)
    lab.pause()
    recipe = engine.recipe
    assert (recipe.loss, recipe.g_lr, recipe.d_lr) == ("hinge", 0.004, 0.002)
    assert recipe.d_steps == 2 and engine.state.config.g_lr == 0.004
    assert engine.changed_at and lab.step > 0, "these do not begin anew"

    lab.answered(lambda: lab.press("Reset"))
    assert lab.step == engine.state.step == 0 and recipe.seed == 0
    lab.answered(lambda: lab.press("New seed"))
    assert lab.step == 0 and engine.recipe.seed == 1

    strength = lab.root.get_by_label("Strength of the penalty")
    assert strength.is_disabled()
    penalty = lab.root.get_by_label("Penalty on D")
    lab.answered(lambda: penalty.select_option("R1, slope at real points"))
    assert engine.game.penalty is not None and strength.is_enabled()
    lab.answered(lambda: strength.press("End"))
    assert engine.recipe.strength == 100

    lab.play("Number(d.step) > 5")
    lab.root.get_by_label("Data").select_option("two moons")
    lab.play("Number(d.step) > 40")
    lab.pause()
    assert engine.recipe.law == "two moons"
    picture("gan-lab-moons", lab)
    optimizer = lab.root.get_by_label("Optimizer")
    lab.answered(lambda: optimizer.select_option("RMSprop"))
    assert lab.step == 0 and "RMSprop" in type(engine.state.g_opt).__name__


def test_a_setting_that_is_refused_is_said_and_taken_back(lab, bare, engine):
    bare.lab.engine.recipe.mixture()  # the page itself offers nothing that is refused
    answer = bare.lab.answer

    def refuse(request):
        if request["t"] == "set":
            request["changes"] = {"d_lr": -1}
        return answer(request)

    bare.lab.answer = refuse
    loss = lab.root.get_by_label("Loss", exact=True)
    lab.answered(lambda: loss.select_option("hinge"))
    assert loss.input_value() == "non-saturating" and engine.recipe.d_lr == 0.002


def test_old_answers_do_not_reach_a_run_that_was_reset(lab, page):
    for _ in range(5):
        lab.play("Number(d.step) > 5")
        lab.press("Reset")  # with requests in flight
        page.wait_for_timeout(300)
        assert lab.step == 0


def test_looking_back_and_the_program(lab, engine, page):
    lab.play("Number(d.step) > 30")
    lab.pause()
    end, back = lab.step, lab.root.get_by_label("Look back")
    lab.answered(lambda: back.press("Home"))
    assert lab.step == 0 and "Looking back" in lab.status
    assert engine.state.step == end
    lab.answered(lambda: lab.press("Now"))
    assert lab.step == end
    lab.root.get_by_text("The program of this run").click()
    program = lab.root.get_by_label("Program")
    page.wait_for_function("p => p.textContent", arg=program.element_handle())
    names: dict = {}
    exec(program.inner_text(), names)
    assert names["log"] == engine.last, "copied into a cell it is the same run"
    lab.press("Copy")
    selected = page.evaluate("() => String(getSelection())")
    assert selected.strip() == program.inner_text().strip()


def test_a_law_is_drawn_by_mouse_and_by_keys(lab, engine, page):
    lab.press("Draw your own")
    plane = lab.root.locator("canvas").first
    box = plane.bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 60, steps=12)
    page.mouse.up()
    plane.focus()
    for _ in range(8):
        plane.press("ArrowDown")
    plane.press(" ")
    picture("gan-lab-drawing", lab)
    lab.answered(lambda: lab.press("Play with the drawing"))
    points = engine.recipe.points
    assert len(points) > 8 and engine.recipe.law == "your drawing"
    width = 6 / box["width"]
    assert points[0][0] == pytest.approx(60 * width - 3, abs=0.1)
    assert points[0][1] == pytest.approx(3 - 60 * width, abs=0.1)
    assert points[-1][1] == pytest.approx(points[0][1] - 0.8, abs=0.1), "by keys"
    assert lab.root.get_by_label("Data").input_value() == "your drawing"
    lab.play("Number(d.step) > 100")
    lab.pause()
    picture("gan-lab-drawn", lab)


def test_it_is_worked_by_keys_and_named_for_those_who_can_not_see_it(lab, page):
    play = lab.root.get_by_role("button", name="Play", exact=True)
    play.focus()
    page.keyboard.press("Space")
    lab.wait("Number(d.step) > 5")
    lab.root.locator("button").first.focus()
    page.keyboard.press("Enter")  # the same button pauses
    page.wait_for_timeout(500)
    assert "D loss" in lab.status, "said by a live region"
    assert lab.root.get_by_role("status").get_attribute("aria-live") == "polite"
    label = lab.root.get_by_role("img").first.get_attribute("aria-label")
    assert "step" in label and "D loss" in label
    nameless = lab.root.evaluate(
        """root => [...root.querySelectorAll('button, input, select, canvas')].filter(
            e => !(e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent)
        ).length"""
    )
    assert nameless == 0
    order = []
    play.focus()
    for _ in range(6):
        order.append(page.evaluate("() => document.activeElement.textContent"))
        page.keyboard.press("Tab")
    assert order == ["Play", "Step D", "Step G", "Step both", "Reset", "New seed"]


def test_little_motion_is_respected(bare, page):
    page.emulate_media(reduced_motion="reduce")
    lab = bare.show()
    lab.play("Number(d.step) > 1")
    before = lab.number("frames")
    page.wait_for_timeout(3_000)
    assert lab.number("frames") - before <= 7, "two pictures a second"
    lab.pause()


def test_a_lab_out_of_sight_pauses_and_says_so(lab, page):
    lab.play("Number(d.step) > 5")
    hide = "Object.defineProperty(document, 'hidden', {value: true})"
    page.evaluate(
        f"() => {{ {hide}; document.dispatchEvent(new Event('visibilitychange')); }}"
    )
    lab.pause()
    assert lab.root.get_by_role("button", name="Play", exact=True).is_visible()
    assert "hidden" in lab.status and "D loss" in lab.status


def test_a_kernel_that_is_silent_pauses_the_lab_which_goes_on_later(lab, page):
    lab.play("Number(d.step) > 5")
    page.evaluate("() => { window.deaf = true; }")
    status = lab.root.get_by_role("status").element_handle()
    page.wait_for_function(
        "s => s.textContent.includes('has not answered')", arg=status
    )
    assert lab.root.get_by_role("button", name="Play", exact=True).is_visible()
    page.evaluate("() => { window.deaf = false; }")
    lab.play("Number(d.step) > arg", lab.step + 20)
    lab.pause()


def test_a_run_that_is_over_stops_and_says_why(lab, engine):
    fall = lab.root.get_by_label("The rates")
    lab.answered(lambda: fall.select_option("1500"))
    engine.state.step = 1_495
    lab.press("Play")
    lab.wait("Number(d.step) === 1500")
    assert lab.root.get_by_role("button", name="Play", exact=True).is_visible()
    assert "the run is over" in lab.status
    lab.answered(lambda: fall.select_option("0"))
    lab.play("Number(d.step) > 1505")
    lab.pause()


def listed_step(lab) -> str:
    return lab.root.get_by_label("Program").inner_text()


def test_the_program_is_that_of_the_moves_made(lab, page):
    lab.root.get_by_text("The program of this run").click()
    for _ in range(3):
        lab.answered(lambda: lab.press("Step both"))
    page.wait_for_timeout(300)
    assert f"log.step == {lab.step}" in listed_step(lab)


def test_what_can_not_be_done_stays_to_be_read(lab, page):
    lab.press("Play with the drawing")
    page.wait_for_timeout(400)
    assert "points" in lab.status


def counting(bare, wait: float = 0.0) -> list[str]:
    """The kinds of requests from now on, each answered after `wait` seconds."""
    asked, honest = [], bare.lab.answer

    def answer(request):
        asked.append(request["t"])
        time.sleep(wait)
        return honest(request)

    bare.lab.answer = answer
    return asked


def test_a_lab_that_is_taken_out_of_the_page_asks_for_nothing(lab, bare, page):
    lab.root.get_by_text("The program of this run").click()
    page.wait_for_timeout(300)
    page.evaluate("() => document.querySelector('.gan-lab').remove()")
    page.wait_for_timeout(300)
    asked = counting(bare)
    page.wait_for_timeout(1000)
    assert not asked


def test_slow_play_goes_on_when_the_program_is_opened(lab, bare, page):
    lab.root.get_by_label("Speed").select_option("0")
    asked = counting(bare, wait=0.3)
    page.evaluate(  # opened by the page itself, while an answer is on its way
        "() => { const lab = document.querySelector('.gan-lab');"
        " lab.querySelector('button').click();"
        " setTimeout(() => { lab.querySelector('details').open = true; }, 600); }"
    )
    page.wait_for_timeout(1500)
    asked.clear()
    page.wait_for_timeout(2500)
    assert asked
    lab.press("Pause")


PANEL = """async (script) => {
    const source = new Blob([script], {type: 'text/javascript'});
    const {default: panel} = await import(URL.createObjectURL(source));
    const slider = {kind: 'slider', min: -1, max: 1, step: 0.5, value: 0};
    const has = {
        title: 'A panel', first: {text: '', pictures: {}, more: false},
        controls: ['a', 'b'].map(name => ({...slider, name, label: name})),
    };
    window.sent = [];
    const model = {get: name => has[name], on: () => {}, off: () => {},
                   send: question => window.sent.push(question)};
    panel.render({model, el: document.body});
}"""


def test_a_new_view_of_a_panel_asks_for_what_its_own_controls_show(page):
    """The kernel remembers what another view moved; the pictures were of that."""
    page.set_content("<!doctype html><html lang=en><body></body></html>")
    page.evaluate(PANEL, (HERE / "panel.js").read_text())
    page.get_by_label("b", exact=True).press("ArrowRight")
    (question,) = page.evaluate("() => window.sent")
    assert question["values"] == {"a": 0, "b": 0.5}
