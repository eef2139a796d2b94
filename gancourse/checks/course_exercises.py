"""The exercises of all notebooks, a module or two a notebook."""

from gancourse.checks import (
    ch01,
    ch02,
    ch03,
    ch04,
    ch05,
    ch06,
    ch07,
    ch07_latents,
    ch08,
    ch08_sampler,
    ch09,
    ch10,
    ch11,
    ch12,
    ch12_pixels,
    ch13,
    ch14,
    ch14_words,
)
from gancourse.checks.verdict import Exercise

_CHAPTERS = [
    *(ch01, ch02, ch03, ch04, ch05, ch06, ch07, ch07_latents, ch08, ch08_sampler),
    *(ch09, ch10, ch11, ch12, ch12_pixels, ch13, ch14, ch14_words),
]


def every() -> dict[str, Exercise]:
    """All exercises by id, in the order of the course."""
    return {one.id: one for chapter in _CHAPTERS for one in chapter.EXERCISES}


def find(name: str) -> Exercise:
    """The exercise with this id; KeyError when there is none."""
    return every()[name]
