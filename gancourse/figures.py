"""The one visual style: real is blue, fake is vermilion, images on a fixed scale.

Helpers take data, draw on `ax` (or a new figure) and return the Axes; `show` displays a
figure with its caption, which is also its alternative text.
"""

from collections.abc import Sequence
from html import escape

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from gancourse.errors import GancourseError

REAL, FAKE = "#0072B2", "#D55E00"  # Okabe-Ito blue and vermilion: safe for all eyes
THIRD, FOURTH, GREY = "#009E73", "#CC79A7", "#666666"
WIDE, NARROW = (9.0, 3.2), (4.6, 3.6)  # inches; the two sizes of the course
FIELD = "RdBu"  # D's field: blue where D says real, red where it says fake, white at 0

STYLE = {
    "figure.dpi": 100,
    "figure.figsize": NARROW,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.prop_cycle": plt.cycler(color=[REAL, FAKE, THIRD, FOURTH, "#E69F00", GREY]),
    "image.cmap": "gray",
    "legend.frameon": False,
}


def use_style() -> None:
    """Set matplotlib's defaults to the course's style (once, in the import cell)."""
    plt.rcParams.update(STYLE)


def show(figure: Figure | Axes, caption: str, jpeg: bool = False) -> None:
    """Display the figure once, with `caption` below it and stored as its alt text.

    Photographs go in as JPEG (`jpeg=True`), a tenth of the bytes.
    """
    from io import BytesIO

    from IPython.display import Image, display

    figure = figure.figure if isinstance(figure, Axes) else figure
    buffer = BytesIO()
    # No date, no version: the same figure gives the same bytes.
    form = (
        {"format": "jpeg"}
        if jpeg
        else {"format": "png", "metadata": {"Software": None}}
    )
    figure.savefig(buffer, bbox_inches="tight", **form)
    plt.close(figure)
    kind = "image/jpeg" if jpeg else "image/png"
    picture = buffer.getvalue() if jpeg else with_palette(buffer.getvalue())
    display(Image(picture, alt=caption), metadata={kind: {"alt": caption}})
    display(as_caption(caption), raw=True)


def as_caption(words: str) -> dict[str, str]:
    """The words as a caption below a picture, and plain where HTML is not shown."""
    return {"text/html": f"<p><em>{escape(words)}</em></p>", "text/plain": words}


def with_palette(png: bytes) -> bytes:
    """The PNG with a palette of 256 colours, a third of the bytes; or as it was.

    It stays as it was where one could see it: when a channel is off by more than a
    tenth of a grey level on average, as in smooth fields and in photographs.
    """
    from io import BytesIO

    from PIL import Image

    picture, buffer = Image.open(BytesIO(png)).convert("RGB"), BytesIO()
    few = picture.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    off = np.abs(np.asarray(picture, int) - np.asarray(few.convert("RGB"), int))
    few.save(buffer, "PNG", optimize=True)
    smaller = buffer.getvalue() if off.mean() <= 0.1 else png
    return min(smaller, png, key=len)


def image_grid(images: Tensor, columns: int = 10) -> np.ndarray:
    """Images (N, C, H, W) in [-1, 1] or uint8 as one array (H', W', 3) of uint8.

    The scale is fixed: -1 is black and +1 white, whatever the batch holds, so that a
    generator without contrast looks as grey as it is.
    """
    try:
        from torchvision.utils import make_grid
    except (ImportError, RuntimeError):
        raise GancourseError(
            "torchvision does not fit the torch that is here, so no images can be "
            "drawn; nothing else is lost. Run `gancourse doctor`, which says what to "
            "install."
        ) from None
    images = images.detach().cpu()
    if images.dtype == torch.uint8:
        images = images.float() / 127.5 - 1
    unit = (images.float().clamp(-1, 1) + 1) / 2
    tiles = make_grid(unit, nrow=columns, padding=1, pad_value=0.5)
    return (tiles.permute(1, 2, 0) * 255).round().byte().numpy()


def show_images(
    images: Tensor,
    columns: int = 10,
    title: str = "",
    ax: Axes | None = None,
    scale: float = 1.0,
) -> Axes:
    """Draw images (N, C, H, W) in [-1, 1] as a grid."""
    tiles = image_grid(images, columns)
    if ax is None:
        width = min(WIDE[0], 0.55 * min(columns, len(images))) * scale
        height = width * tiles.shape[0] / tiles.shape[1] + (0.3 if title else 0)
        ax = plt.figure(figsize=(width, height)).add_subplot()
    ax.imshow(tiles, interpolation="nearest")
    ax.set_title(title, fontsize=10)
    ax.axis("off")
    return ax


def show_points(
    real: Tensor | None,
    fake: Tensor | None,
    ax: Axes | None = None,
    title: str = "",
    extent: float = 3.0,
) -> Axes:
    """Scatter real points (N, 2) as blue dots, fake (M, 2) as vermilion crosses."""
    ax = ax or plt.figure(figsize=(3.6, 3.6)).add_subplot()
    # Dots are smaller than crosses, so they go on top: neither hides the other.
    if real is not None:
        dots = dict(s=6, c=REAL, alpha=0.5, linewidths=0, zorder=2)
        ax.scatter(*real.T, **dots, label="real")
    if fake is not None:
        crosses = dict(s=12, c=FAKE, alpha=0.6, marker="x", linewidths=0.8, zorder=1)
        ax.scatter(*fake.T, **crosses, label="fake")
    ax.set(xlim=(-extent, extent), ylim=(-extent, extent), aspect="equal")
    ax.set(xlabel="$x_1$", ylabel="$x_2$", title=title)
    return ax


def show_field(D, ax: Axes, extent: float = 3.0, side: int = 80) -> Axes:
    """Shade the plane by D's logit: blue real, red fake, white where D cannot tell."""
    line = torch.linspace(-extent, extent, side)
    points = torch.cartesian_prod(line, line)
    with torch.no_grad():
        logits = D(points).float().reshape(side, side).T.numpy()
    limit = max(1e-6, float(np.abs(logits).max()))
    ax.imshow(
        logits,
        extent=(-extent, extent) * 2,
        origin="lower",
        cmap=FIELD,
        vmin=-limit,
        vmax=limit,
        alpha=0.6,
    )
    ax.grid(False)
    return ax


def show_curves(
    x: Sequence[float],
    curves: dict[str, Sequence[float]],
    xlabel: str,
    ylabel: str,
    ax: Axes | None = None,
    title: str = "",
) -> Axes:
    """Named curves over one x; line styles differ, so colour is not the only cue."""
    ax = ax or plt.figure(figsize=NARROW).add_subplot()
    for (name, values), dash in zip(
        curves.items(), ["-", "--", "-.", ":"] * 3, strict=False
    ):
        ax.plot(x, values, dash, label=name)
    ax.set(xlabel=xlabel, ylabel=ylabel, title=title)
    ax.legend(fontsize=8)
    return ax
