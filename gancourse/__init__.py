"""gancourse: generative adversarial networks, from the minimax game to style transfer.

Importing the package imports torch and nothing heavier: torchvision, matplotlib,
widgets and metrics are imported by the modules that use them, when they are used.
"""

from gancourse.errors import GancourseError

__version__ = "0.1.0"
__all__ = ["GancourseError", "__version__"]
