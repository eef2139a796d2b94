"""Live parts of the notebooks: predictions before a result, and the GAN lab."""

from gancourse.lab.engine import Engine
from gancourse.lab.gan_lab import GanLab
from gancourse.lab.predictions import predict, reveal
from gancourse.lab.recipe import Recipe

__all__ = ["Engine", "GanLab", "Recipe", "predict", "reveal"]
