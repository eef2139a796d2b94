"""What tests of the panels in JupyterLab share: cells that show them, and controls."""

EXPLORER = """from safetensors.torch import load_file
from gancourse import data
from gancourse.lab import Explorer
from gancourse.models import dcgan

G = dcgan.DCGANGenerator()
G.load_state_dict(load_file(data.asset("generator/digits_dcgan.safetensors")))
Explorer(G, data.digits("test").images).panel().show()"""
MIXER = """from gancourse.lab import Mixer

Mixer.embedded(size=96, steps=400).panel().show()"""


class Shown:
    """One panel on the page, by its labels as a learner finds them."""

    def __init__(self, notebook, title: str):
        self.page = notebook.page
        self.root = self.page.get_by_role("region", name=title)
        self.root.wait_for()

    def source(self, name: str) -> str:
        """What the picture shows now, as its data."""
        return self.root.locator(f'img[data-picture="{name}"]').first.get_attribute(
            "src"
        )

    def changes(self, name: str, act) -> None:
        """Do `act` and wait until the picture is another one."""
        before = self.source(name)
        act()
        self.wait_for_another(name, before)

    def wait_for_another(self, name: str, before: str) -> None:
        self.page.wait_for_function(
            "([name, before]) => [...document.querySelectorAll("
            "`img[data-picture='${name}']`)].some(i => i.src && i.src !== before)",
            arg=[name, before],
        )

    def wait_for_text(self, words: str) -> None:
        self.root.get_by_role("status").get_by_text(words).wait_for()
