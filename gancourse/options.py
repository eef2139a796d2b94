"""What an option of the command line takes, and the sentence for what it does not."""

import argparse
import contextlib
import math
import sys
from pathlib import Path


def whole(least: int, most: int = 2**63 - 1):
    """An argument type: a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        with contextlib.suppress(ValueError):
            if least <= int(text) <= most:
                return int(text)
        end = f" and at most {most:,}" if most < 2**63 - 1 else ""
        raise argparse.ArgumentTypeError(
            f"must be a whole number of at least {least}{end}, not '{text[:40]}'"
        )

    return parse


def rate(text: str) -> float:
    """A learning rate from the command line."""
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"must be a number above 0, not '{text[:40]}'")


def one_of(kind: str, *names: str):
    """An argument type: one of a few names."""

    def parse(text: str) -> str:
        if text in names:
            return text
        raise argparse.ArgumentTypeError(
            f"'{text[:40]}' is no {kind}: there are {', '.join(names)}"
        )

    return parse


def picture_file(text: str) -> Path:
    """An argument type: a file that `sample` can write."""
    if Path(text).suffix in (".png", ".npz", ".safetensors"):
        return Path(text)
    raise argparse.ArgumentTypeError(
        f"must end in .png, .npz or .safetensors, not '{text[-40:]}'"
    )


class Parser(argparse.ArgumentParser):
    """argparse, but a mistake costs one sentence."""

    def error(self, message: str):
        message = message.removeprefix("argument ").replace(": must", " must")
        message = message.replace("the following arguments are required", "missing")
        message = message.replace("unrecognized arguments", "not understood")
        message = message.removeprefix("GAME: ").removeprefix("COMMAND: ")
        message = message.replace("invalid choice: ", "no command ")
        cure = f"Run `{self.prog} --help` to see what is possible."
        print(f"{message}. Nothing was done. {cure}", file=sys.stderr)
        sys.exit(2)
