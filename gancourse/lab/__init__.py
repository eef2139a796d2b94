"""Live parts of the notebooks: guesses, the GAN lab, explorer, mixer and dashboard."""

from gancourse.lab.engine import Engine
from gancourse.lab.explorer import Explorer
from gancourse.lab.gan_lab import GanLab
from gancourse.lab.live import Dashboard
from gancourse.lab.mixer import Mixer
from gancourse.lab.predictions import predict, reveal
from gancourse.lab.recipe import Recipe

__all__ = [
    "Dashboard",
    "Engine",
    "Explorer",
    "GanLab",
    "Mixer",
    "Recipe",
    "predict",
    "reveal",
]
