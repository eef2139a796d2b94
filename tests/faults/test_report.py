"""The table of counts: each test's newest run, added up, in the order of the list."""

from report import key, newest, page, sums


def line(row, what, number, test, run, when):
    return dict(row=row, what=what, number=number, test=test, run=run, when=when)


LINES = [
    line("A1", "kills", 100, "t::a", "run1", "2026-01-01T00:00:00Z"),
    line("A1", "kills", 100, "t::a", "run1", "2026-01-01T00:00:01Z"),
    line("A1", "kills", 70, "t::a", "run2", "2026-01-02T00:00:00Z"),
    line("A1", "kills", 5, "t::b[1]", "run1", "2026-01-01T00:00:02Z"),
    line("A12", "flips", 2000, "t::b[2]", "run2", "2026-01-02T00:00:00Z"),
    line("A2", "points", 11, "t::c", "run1", "2026-01-01T00:00:00Z"),
    line("mutants", "caught", 1, "t::m[x]", "run1", "2026-01-01T00:00:00Z"),
    line("mutants", "caught", 1, "t::m[y]", "run1", "2026-01-01T00:00:00Z"),
]


def test_of_each_test_the_newest_run_counts_and_is_added_up():
    assert len(newest(LINES)) == 6
    assert sums(LINES)["A1", "kills"] == 70 + 5
    assert sums(LINES)["mutants", "caught"] == 2


def test_rows_come_in_the_order_of_the_list():
    assert [row for row, _ in sums(LINES)] == ["A1", "A2", "A12", "mutants"]
    assert key("A2", "") < key("A12", "") < key("B1", "") < key("mutants", "")


def test_page_says_when_on_what_and_how_much():
    text = page(LINES, "On a small machine.")
    assert "2026-01-01 to 2026-01-02, 4 tests that count. On a small machine." in text
    assert "| A12 | flips | 2,000 |" in text and "|  | caught | 2 |" in text
    assert text.count("## ") == 2
