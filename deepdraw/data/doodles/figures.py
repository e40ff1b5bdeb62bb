"""Stroke programs of figures, signs and faces: circle, hexagon, zigzag, star and their like."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from deepdraw.data.doodles.strokes import (
    Program,
    Stroke,
    blade,
    box,
    curve,
    outline,
    oval,
    path,
    perhaps,
    turned,
)


def circle(rng: Generator) -> list[Stroke]:
    return [oval(0.5, 0.5, 0.5, rng.uniform(0.42, 0.5), start=-90, sweep=rng.uniform(345, 400))]


def diamond(rng: Generator) -> list[Stroke]:
    if rng.random() < 0.35:
        return [outline(0.5, 0.5, [0.5, rng.uniform(0.3, 0.45)] * 2)]
    flat, girdle = rng.uniform(0.2, 0.32), rng.uniform(0.25, 0.4)
    return [
        path((flat, 0.1), (1 - flat, 0.1), (1, girdle), (0.5, 1), (0, girdle), (flat, 0.1)),
        path((0, girdle), (1, girdle)),
        *perhaps(rng, 0.6, path((0.35, girdle), (0.5, 1), (0.65, girdle))),
        *perhaps(rng, 0.5, path((flat, 0.1), (0.35, girdle), (0.5, 0.1), (0.65, girdle), (1 - flat, 0.1))),
    ]


def eye(rng: Generator) -> list[Stroke]:
    bulge, iris = rng.uniform(0.4, 0.6), rng.uniform(0.12, 0.19)
    lashes = [
        path((x, 0.5 - 2 * bulge * x * (1 - x)), (1.4 * x - 0.2, 0.38 - 2 * bulge * x * (1 - x)))
        for x in np.linspace(0.2, 0.8, rng.integers(3, 7))
    ]
    brow = curve((0.05, 0.2), (0.5, 0.2 - bulge / 2), (0.95, 0.2))
    pupil = oval(0.5, 0.5, iris * rng.uniform(0.2, 0.5))
    return [
        blade((0, 0.5), (1, 0.5), bulge),
        oval(0.5, 0.5, iris),
        *perhaps(rng, 0.4, *lashes),
        *perhaps(rng, 0.15, brow),
        pupil,
    ]


def hexagon(rng: Generator) -> list[Stroke]:
    return [outline(0.5, 0.5, list(rng.uniform(0.42, 0.5, 6)), turn=rng.choice([0, 30]))]


def lightning(rng: Generator) -> list[Stroke]:
    lean, step = rng.uniform(0.1, 0.25), rng.uniform(0.08, 0.18)
    left = [(0.55, 0), (0.5 - lean, 0.5), (0.5 - lean + step, 0.47), (0.25, 1)]
    if rng.random() < 0.25:
        return [path(*left)]
    return [path(*left, (0.55 + step, 0.38), (0.5, 0.4), (0.62 + lean, 0), (0.55, 0))]


def line(rng: Generator) -> list[Stroke]:
    return turned([curve((0, 0), (0.5, rng.normal(0, 0.06)), (1, 0))], rng.choice([0, 0, 0, 45, -45, 90]))


def octagon(rng: Generator) -> list[Stroke]:
    return [outline(0.5, 0.5, list(rng.uniform(0.43, 0.5, 8)), turn=22.5)]


def smiley_face(rng: Generator) -> list[Stroke]:
    apart, smile = rng.uniform(0.12, 0.2), rng.uniform(0.1, 0.3)
    if rng.random() < 0.5:
        eyes = [oval(0.5 + x, 0.35, 0.035, rng.uniform(0.03, 0.07)) for x in (-apart, apart)]
    else:
        eyes = [path((0.5 + x, 0.28), (0.5 + x, 0.42)) for x in (-apart, apart)]
    return [oval(0.5, 0.5, 0.5), curve((0.25, 0.62), (0.5, 0.7 + smile), (0.75, 0.62)), *eyes]


def square(rng: Generator) -> list[Stroke]:
    return [box(*rng.normal((0, 0, 1, 1), 0.03))]


def star(rng: Generator) -> list[Stroke]:
    if rng.random() < 0.5:
        corners = outline(0.5, 0.5, [0.5] * 5)[::7]
        return [path(*corners[[0, 2, 4, 1, 3, 0]])]
    return [outline(0.5, 0.5, [0.5, rng.uniform(0.16, 0.26)] * rng.choice([5, 5, 5, 6]))]


def triangle(rng: Generator) -> list[Stroke]:
    return [path(start := (rng.uniform(0.3, 0.7), rng.uniform(0, 0.3)), (1, 1), (0, rng.uniform(0.9, 1.1)), start)]


def zigzag(rng: Generator) -> list[Stroke]:
    num, high = rng.integers(4, 11), rng.uniform(0.12, 0.5)
    corners = np.stack([np.linspace(0, 1, num), high * (np.arange(num) % 2)], axis=1)
    return [path(*(corners + rng.normal(0, 0.02, corners.shape)))]


FIGURES: dict[str, Program] = {
    program.__name__.replace("_", " "): program
    for program in (
        circle,
        diamond,
        eye,
        hexagon,
        lightning,
        line,
        octagon,
        smiley_face,
        square,
        star,
        triangle,
        zigzag,
    )
}
