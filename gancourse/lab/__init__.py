"""Live parts of the notebooks: predictions now, the GAN lab later."""

from gancourse.lab.predictions import predict, reveal

__all__ = ["predict", "reveal"]
