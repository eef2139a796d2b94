"""The style mixer: one photograph, several paintings, and how much of each.

    Mixer.embedded().panel().show()

The preview needs one pass for each painting: of the painting's own net where there
is one, of AdaIN in the painting's colours otherwise (notebook 13). "Paint with Gatys"
starts the descent of notebook 12 on the same mixture, a step a question, so that the
kernel stays free and the descent can be cancelled.
"""

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gancourse import data, fast_style, pairs, style, stylers
from gancourse.errors import GancourseError
from gancourse.lab.panel import Answer, Panel, Picture, draw
from gancourse.lab.sheet import sheet
from gancourse.models.transform import adain

# Style weight of the descent at strengths 0 and 1: the range of notebook 12's sweep.
LIGHT, HEAVY = 0.3, 300.0


class Mixer:
    """Mixes paintings on a photograph; pictures are uint8 or floats, (3, H, W).

    `nets` holds StyleNets by the name of their painting. `size` is the longer side of
    what is painted, `steps` how long a descent goes on.
    """

    title = "Style mixer"

    def __init__(
        self,
        photographs: dict[str, Tensor],
        paintings: dict[str, Tensor],
        nets: dict[str, nn.Module] | None = None,
        size: int = 224,
        steps: int = 60,
    ):
        if not photographs or not paintings:
            raise GancourseError(
                "A mixer needs at least one photograph and one painting, and nothing "
                "was shown. Give both as dictionaries of names and pictures."
            )
        size -= size % 8  # VGG pools three times
        self.size, self.steps = size, steps
        # Cells may use the shared VGG at the same time; this one is ours.
        self.eye, self.decoder = copy.deepcopy(style.features()), stylers.decoder()
        self.nets = copy.deepcopy(nets or {})
        self.photographs = {k: _fitted(v, size) for k, v in photographs.items()}
        self.paintings = {k: _fitted(v, size) for k, v in paintings.items()}
        self.controls = self._controls()
        self._painted: dict[tuple[str, str], Tensor] = {}
        self._descent: Iterator[style.StyleLog] | None = None

    @classmethod
    def embedded(cls, **settings) -> "Mixer":
        """A mixer of three photographs that no net was trained on, and three paintings,
        two of which have nets of their own."""
        files = {"coffee": "coffee", "path": "picos-de-europa", "cat": "chelsea"}
        photographs = {name: pairs.photograph(f, 320) for name, f in files.items()}
        files = {
            "Kandinsky": "kandinsky-composition-viii",
            "van Gogh": "vangogh-village-street-auvers",
            "Hokusai": "hokusai-great-wave",
        }
        paintings = {name: data.picture(f, 320) for name, f in files.items()}
        known = {
            n: stylers.gallery(f) for n, f in files.items() if f in stylers.PAINTERS
        }
        return cls(photographs, paintings, known, **settings)

    def panel(self) -> Panel:
        """The mixer as a panel, to be shown in a notebook."""
        return Panel(self)

    def _controls(self) -> list[dict]:
        names, slider = list(self.photographs), dict(kind="slider", min=0, max=1)
        content = dict(kind="choice", options=names, value=names[0])
        controls = [content | dict(name="content", label="photograph")]
        for k, name in enumerate(self.paintings):
            named = dict(name=f"weight_{k}", label=name, value=float(k == 0))
            controls.append(slider | named | dict(step=0.05))
        strength = dict(name="strength", label="style strength", value=0.75, step=0.05)
        layers = dict(kind="slider", name="layers", label="Gatys: layers to")
        layers |= dict(min=1, max=4, step=1, value=4, words=list(style.LAYERS))
        buttons = {"render": "Paint with Gatys", "cancel": "Cancel"}
        return [
            *controls,
            slider | strength,
            layers,
            *[dict(kind="button", name=n, label=text) for n, text in buttons.items()],
        ]

    # -------------------------------------------------------------- answers

    def answer(self, values: dict, event: str) -> Answer:
        """The preview; on "render", "cancel" and "more" what the descent does."""
        if event == "cancel":
            return self._cancelled()
        if event == "more":
            return self._further()
        mixture = self.mixture(values)
        if not mixture:
            return self._going("Give at least one painting a weight above 0.", {})
        if event == "render":
            self._descent = self.descend(values)
            return Answer(text="Painting with Gatys …", progress=0.0, more=True)
        said = ", ".join(f"{name} {w:.0%}" for name, w in mixture.items())
        alt = f"Preview, in one pass: {values['content']} after {said}."
        shown = {
            "photograph": draw(
                self.photographs[values["content"]], 1, "The photograph.", jpeg=True
            ),
            "preview": draw(self.preview(values), 1, alt, jpeg=True),
        }
        return self._going(f"Strength {values['strength']:.0%}: {said}.", shown)

    def mixture(self, values: dict) -> dict[str, float]:
        """Shares of the paintings, which add up to 1; those of 0 are left out."""
        weights = {
            n: float(values[f"weight_{k}"]) for k, n in enumerate(self.paintings)
        }
        total = sum(weights.values())
        return {n: w / total for n, w in weights.items() if w > 0}

    def preview(self, values: dict) -> Tensor:
        """The photograph under its paintings, (1, 3, h, w) in [-1, 1]: laid over each
        other by their shares, and over the photograph by the strength."""
        content = values["content"]
        mixed = sum(
            w * self.painted(content, n) for n, w in self.mixture(values).items()
        )
        return torch.lerp(self.photographs[content], mixed, float(values["strength"]))

    @torch.no_grad()
    def painted(self, content: str, name: str) -> Tensor:
        """A photograph under one painting, in one pass, kept for the next question."""
        if (content, name) not in self._painted:
            photograph, painting = self.photographs[content], self.paintings[name]
            if name in self.nets:
                image = self.nets[name](fast_style.channels_last(photograph))
            else:
                c, s = self._features(photograph), self._features(painting)
                image = style.match_colours(self.decoder(adain(c, s)), painting)
            self._painted[content, name] = image.contiguous()
        return self._painted[content, name]

    def _features(self, picture: Tensor) -> Tensor:
        layer = fast_style.CONTENT
        return self.eye(fast_style.channels_last(picture), [layer])[layer]

    # -------------------------------------------------------------- the descent

    def descend(self, values: dict) -> Iterator[style.StyleLog]:
        """Gatys' descent at these settings, a log a step."""
        config = style.StyleConfig(
            size=self.size,
            steps=self.steps,
            style_layers=style.LAYERS[: int(values["layers"])],
            style_weight=LIGHT * (HEAVY / LIGHT) ** float(values["strength"]),
            log_every=1,
            device="cpu",
        )
        styles = [(self.paintings[n], w) for n, w in self.mixture(values).items()]
        photograph = self.photographs[values["content"]]
        return style.stylise(photograph, styles, config, self.eye)

    def _further(self) -> Answer:
        log = next(self._descent, None) if self._descent else None
        if log is None:
            self._descent = None
            return Answer(text="Nothing is being painted.")
        done = log.step >= self.steps
        words = f"Gatys, {log.step} of {self.steps} steps"
        alt = f"{words}: style error {log.style:.3f}, content error {log.content:.2f}."
        shown = {"gatys": draw(style.scaled(log.image, self.size), 1, alt, jpeg=True)}
        if done:
            self._descent = None
            return Answer(shown, f"Painted. {alt}", progress=1.0)
        progress, text = log.step / self.steps, "Painting with Gatys …"
        return Answer(shown, text, progress, more=True, partial=True)

    def _cancelled(self) -> Answer:
        if self._descent is None:
            return Answer(text="Nothing is being painted.")
        self._descent.close()
        self._descent = None
        return Answer(text="Cancelled. The last picture stays.")

    def _going(self, text: str, shown: dict[str, Picture]) -> Answer:
        """An answer beside a descent, which goes on if there is one."""
        return Answer(shown, text, more=self._descent is not None)

    def still(self, answer: Answer) -> Picture:
        """Photograph and preview, for pages without widgets."""
        return sheet(
            answer.pictures,
            [["photograph", "preview"]],
            "The style mixer: a photograph (left) and its preview in one pass. Its "
            "controls mix the paintings and start the descent of Gatys.",
            jpeg=True,
        )


def _fitted(picture: Tensor, size: int) -> Tensor:
    """(1, 3, h, w) in [-1, 1], sides of at most `size` and multiples of 8."""
    x = style.scaled(style.picture(picture), size)
    return x[:, :, : x.shape[2] // 8 * 8, : x.shape[3] // 8 * 8]
