"""The GAN lab as a still picture: for pages without a kernel, and for films in a cell.

Drawn on a Figure of its own, never through pyplot, which is not for several threads.
"""

from io import BytesIO

from matplotlib.figure import Figure

from gancourse import figures
from gancourse.lab.engine import ARROWS, EXTENT, Engine, Frame


def draw(engine: Engine, frame: Frame) -> Figure:
    """Left D's field, points and pushes; middle the sheet of latents; right curves."""
    figure = Figure(figsize=(9.0, 3.1), layout="constrained")
    plane, sheet, curves = figure.subplots(1, 3)
    draw_plane(plane, engine, frame)
    draw_sheet(sheet, engine, frame)
    past = [*(p for p in engine.recording if p.step < frame.step), frame]
    steps = [p.step for p in past]
    named = {"D loss": "d_loss", "G loss": "g_loss", "coverage": "coverage"}
    columns = {label: [getattr(p, name) for p in past] for label, name in named.items()}
    figures.show_curves(steps, columns, "step", "nats; share", curves)
    above = dict(loc="lower center", bbox_to_anchor=(0.45, 1.0), frameon=False)
    curves.legend(fontsize=7, ncols=3, columnspacing=0.8, handlelength=1.6, **above)
    figure.suptitle(in_words(frame), fontsize=9)
    return figure


def draw_plane(ax, engine: Engine, frame: Frame, arrows: int = ARROWS) -> None:
    """D's field, real points, fakes, and for some fakes where they are pushed.

    Arrows longer than one unit are cut, as in the live lab.
    """
    field = (frame.field - frame.middle).numpy()
    limit = max(1e-6, float(abs(field).max()))
    ax.imshow(
        field,
        extent=(-EXTENT, EXTENT) * 2,
        origin="lower",
        cmap=figures.FIELD,
        vmin=-limit,
        vmax=limit,
        alpha=0.6,
    )
    figures.show_points(engine.real, frame.fake, ax, extent=EXTENT)
    at, push = frame.fake[:arrows], frame.push[:arrows]
    push = push / push.norm(dim=1, keepdim=True).clamp_min(1)
    ax.quiver(*at.T, *push.T, angles="xy", scale_units="xy", scale=1, width=0.008)
    ax.grid(False)


def draw_sheet(ax, engine: Engine, frame: Frame) -> None:
    """What G makes of a square grid of latents, with the real points."""
    for line in frame.sheet.flatten(0, 1):
        ax.plot(*line.T, color=figures.FAKE, lw=0.6, alpha=0.8)
    figures.show_points(engine.real, None, ax, extent=EXTENT)


def in_words(frame: Frame) -> str:
    """Step, losses, coverage and verdict of a frame, in one line."""
    words = f"step {frame.step:,}"
    if frame.step and frame.d_loss == frame.d_loss:
        words += f": D loss {frame.d_loss:.2f}, G loss {frame.g_loss:.2f}"
    words += f", coverage {frame.coverage:.0%}"
    words += "" if frame.modes is None else f", {frame.modes} modes"
    return words + ("" if frame.verdict is None else f"; {frame.verdict.name}")


def png(engine: Engine, frame: Frame) -> bytes:
    """The picture's bytes, the same for the same frame."""
    buffer = BytesIO()
    figure = draw(engine, frame)
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return figures.with_palette(buffer.getvalue())
