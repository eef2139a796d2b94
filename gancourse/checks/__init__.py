"""check(id, answer): was the exercise solved, and if not, which mistake was made?"""

from gancourse.checks.client import check, exercises, grade
from gancourse.checks.verdict import Verdict

__all__ = ["Verdict", "check", "exercises", "grade"]
