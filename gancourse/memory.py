"""What to say, and what to let go of, when a step does not fit into the memory."""

import functools
import traceback
from collections.abc import Iterator

import torch

from gancourse.errors import GancourseError


def given_back(loop):
    """Say in a sentence that a step did not fit, and hold on to none of its tensors.

    Whoever keeps an exception keeps its traceback, and with it the whole graph: a
    notebook does, and so the smaller batch would not fit either.
    """

    @functools.wraps(loop)
    def said(state, batches) -> Iterator:
        try:
            return (yield from loop(state, batches))
        except torch.OutOfMemoryError as error:
            traceback.clear_frames(error.__traceback__)
        size = state.config.batch_size
        raise GancourseError(
            f"Step {state.step + 1} does not fit into the memory of {state.device} "
            f"with batches of {size}. It was broken off; what you saved stands. Try "
            f"{f'batch_size={size // 2}' if size > 1 else 'a smaller game'}."
        )

    return said
