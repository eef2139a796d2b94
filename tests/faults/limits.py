"""A time limit for one call: what hangs is an error, and the seconds are kept."""

import contextlib
import signal
import time


class TooSlow(AssertionError):
    """The call did not end in time."""


@contextlib.contextmanager
def limit(seconds: float, taken: list[float] | None = None):
    """Raise TooSlow after so many seconds; `taken` gets how many it took."""

    def stop(*_):
        raise TooSlow(f"not over after {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    began = time.process_time()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if taken is not None:
            taken.append(time.process_time() - began)


def percentile_95(taken: list[float]) -> float:
    """Seconds that 95 of 100 stay below."""
    return sorted(taken)[int(0.95 * len(taken))]
