"""Live parts of the notebooks: predictions before a result, and the GAN lab."""

from gancourse.lab.gan_lab import GanLab
from gancourse.lab.predictions import predict, reveal

__all__ = ["GanLab", "predict", "reveal"]
