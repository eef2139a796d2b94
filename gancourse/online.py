"""The network, for the few things that are fetched once and on request."""

import threading
import urllib.request


def answers(url: str, seconds: float = 4.0) -> bool:
    """Whether the server answers in time (name look-ups can hang longer than asked)."""
    answered = threading.Event()

    def ask():
        try:
            request = urllib.request.Request(url, method="HEAD")
            urllib.request.urlopen(request, timeout=seconds).close()
            answered.set()
        except (OSError, ValueError):
            return

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return answered.is_set()
