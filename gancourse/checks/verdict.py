"""What an exercise is, and what a checked answer comes to."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

STATUSES = ("passed", "failed", "not attempted", "error", "timeout")


@dataclass(frozen=True)
class Hint:
    """Three sentences on a misconception: what shows, why, how to begin the repair."""

    symptom: str
    cause: str
    idea: str


@dataclass(frozen=True)
class Exercise:
    """One exercise: its id ("01.optimal_discriminator") and how it is examined.

    `examine(answer)` runs in the judge's process; it calls `answer(...)`, compares, and
    raises Mistake. `hints` names every misconception it can recognise.
    """

    id: str
    examine: Callable
    hints: dict[str, Hint] = field(default_factory=dict)
    seconds: float = 5.0


class Mistake(Exception):
    """Raised by `examine`: which misconception, and what was seen, in one sentence."""

    def __init__(self, misconception: str, seen: str = ""):
        super().__init__(misconception, seen)
        self.misconception, self.seen = misconception, seen


@dataclass(frozen=True)
class Verdict:
    """The outcome: `status` is one of STATUSES, `misconception` an id or None.

    `message` says what was seen; `hint` has three steps where the mistake is known.
    """

    status: str
    message: str
    misconception: str | None = None
    hint: Hint | None = None
    printed: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    def to_json(self) -> bytes:
        """For the way from one process to another: data, nothing that could run."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> "Verdict":
        """The verdict that `to_json` wrote."""
        fields = json.loads(text)
        hint = fields.pop("hint")
        return cls(**fields, hint=Hint(**hint) if hint else None)
