"""The one exception that is meant for a person."""


class GancourseError(ValueError):
    """Wrong input in a sentence: what is wrong, what was kept, what to do next."""


class NonFinite(GancourseError):
    """A loss or a gradient stopped being a number; the last finite state was kept."""


class CheckpointError(GancourseError):
    """A checkpoint cannot be read, written or continued."""
