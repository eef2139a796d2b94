"""What the settings of a run may be, and the one sentence for one that is not."""

import math
from collections.abc import Iterable

from gancourse.errors import GancourseError


def demand(settings: object, checks: Iterable[tuple[str, bool, str]]) -> None:
    """Raise for the first of (name, holds, what it must be) that does not hold."""
    for name, holds, wanted in checks:
        if not holds:
            raise GancourseError(
                f"{name} is {getattr(settings, name)!r}, but must be {wanted}. "
                "Nothing was started. Change it and run again."
            )


def whole(value: object, least: int, most: float = math.inf) -> bool:
    """A whole number from `least` to `most`; True and False are none."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    return is_whole and least <= value <= most


def number(value: object, least: float = -math.inf) -> bool:
    """A finite number of at least `least`; True and False are none."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= least
