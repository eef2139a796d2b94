"""All misconceptions that the checks know, as a page for whoever teaches.

python -m gancourse.checks.mistakes > solutions/instructor/common_mistakes.md
"""

import sys

from gancourse.checks import course_exercises
from gancourse.checks.compare import COMMON

HEAD = """# Common mistakes, exercise by exercise

What learners get wrong, as the checks know it: what shows, why, and the way out. It is
what `check` says at the first, second and third try. In front of a class ask for the
first column ("what would you see?") before you give the second.

This page is what `python -m gancourse.checks.mistakes` prints; do not edit it by hand.
"""


def page() -> str:
    """The page as Markdown: a table of misconceptions for each exercise."""
    parts = [HEAD, "## In any exercise\n", _table(COMMON)]
    chapter = ""
    for name, exercise in course_exercises.every().items():
        if name[:2] != chapter:
            chapter = name[:2]
            parts.append(f"\n## Notebook {chapter}\n")
        own = {k: h for k, h in exercise.hints.items() if COMMON.get(k) is not h}
        parts += [f"\n### `{name}`\n", _table(own)]
    return "\n".join(parts) + "\n"


def _table(hints: dict) -> str:
    rows = ["| what shows | why | the way out |", "| --- | --- | --- |"]
    for hint in hints.values():
        cells = (hint.symptom, hint.cause, hint.idea)
        rows.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.stdout.buffer.write(page().encode("utf-8"))
