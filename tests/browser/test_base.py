"""JupyterLab starts, a notebook opens, cells run: the ground the lab tests stand on."""

import pytest

pytestmark = pytest.mark.full


def test_cells_run_in_order_and_their_results_are_read_from_the_model(notebook):
    notebook.open(["word = 'moons'", "print(word); 6 * 7"])
    assert notebook.run_all()
    assert "moons" in notebook.text() and "42" in notebook.text()


def test_a_cell_that_raises_is_told_apart(notebook):
    notebook.open(["1 / 0", "print('never reached')"])
    assert not notebook.run_all()
    assert "ZeroDivisionError" in notebook.text()
    assert "never reached" not in notebook.text()


def test_a_widget_of_the_course_is_drawn(notebook):
    ask = "predict('q', 'Which?', ['heads', 'tails'])"
    notebook.open([f"from gancourse.lab import predict, reveal\n{ask}"])
    assert notebook.run_all()
    notebook.page.get_by_label("tails").check()
    index = notebook.add_cell("reveal('q', 'tails')")
    assert notebook.run_cell(index)
    assert "and so it is" in notebook.text()
    notebook.picture("prediction")
