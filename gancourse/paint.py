"""What `gancourse style` does with a photograph: a descent on it, or one pass."""

from torch import Tensor

from gancourse import images, style, stylers
from gancourse.errors import GancourseError
from gancourse.models import vgg


def paint(args) -> Tensor:
    """The photograph `args.content` as the command's options want it painted.

    Floats (1, 3, H, W) in [-1, 1]. Raises GancourseError for a file that is no
    picture, and for options that do not go together.
    """
    content = images.read_image(args.content, least=style.LEAST)
    if args.method == "gatys":
        return _descended(content, args)
    if len(args.style) > 1 or args.weights:
        raise GancourseError(
            f"The method {args.method} takes one painting, and nothing was painted. "
            "Several, with --weights, are mixed by --method gatys."
        )
    photo = style.scaled(style.picture(content), args.size)
    (painting,) = args.style
    if args.method == "fast":  # a painter's name, or the file of that painting
        name = painting.stem if painting.stem in stylers.PAINTERS else str(painting)
        return stylers.paint(stylers.gallery(name), photo)
    picture = style.picture(images.read_image(painting, least=style.LEAST))
    return stylers.paint_any(stylers.decoder(), photo, style.scaled(picture, args.size))


def _descended(content: Tensor, args) -> Tensor:
    """After `args.steps` steps of Gatys' descent on the pixels."""
    from tqdm.auto import tqdm

    weights = args.weights or [1.0] * len(args.style)
    if len(weights) != len(args.style):
        raise GancourseError(
            f"There are {len(args.style)} paintings and {len(weights)} weights, and "
            "nothing was painted. Give one weight for each painting."
        )
    paintings = [images.read_image(path, least=style.LEAST) for path in args.style]
    config = style.StyleConfig(
        size=args.size,
        steps=args.steps,
        levels=2 if args.size < 640 else 3,  # strokes as broad on a large picture
        style_layers=tuple(args.layers or style.LAYERS),
        keep_colours=args.keep_colours,
        optimizer=args.optimizer,
        tv_weight=args.tv,
    )
    net = vgg.vgg19(padding="reflect") if args.net == "vgg19" else style.features()
    if unknown := sorted(set(config.style_layers) - set(net.layers)):
        raise GancourseError(
            f"{args.net} has no layer {', '.join(unknown)}, and nothing was painted. "
            f"Choose of {', '.join(net.layers)}."
        )
    styles = list(zip(paintings, weights, strict=True))
    with tqdm(total=config.steps, desc="painting", unit="step") as bar:
        for log in style.stylise(content, styles, config, net):
            bar.set_postfix(style=f"{log.style:.3f}", content=f"{log.content:.3f}")
            bar.update(log.step - bar.n)
    return log.image
