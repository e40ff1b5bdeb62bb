"""Stroke programs of what one finds indoors: candle, door, key, pizza and their like."""

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
    rays,
    turned,
)


def bowtie(rng: Generator) -> list[Stroke]:
    knot, slack = rng.uniform(0.03, 0.1), rng.uniform(0.2, 0.35)
    left, right = 0.5 - knot, 0.5 + knot
    return [
        path((left, 0.5), (0, 0.5 - slack), (0, 0.5 + slack), (left, 0.5)),
        path((right, 0.5), (1, 0.5 - slack), (1, 0.5 + slack), (right, 0.5)),
        outline(0.5, 0.5, [knot * 1.3] * 4, turn=45) if rng.random() < 0.5 else oval(0.5, 0.5, knot),
    ]


def candle(rng: Generator) -> list[Stroke]:
    half, top = rng.uniform(0.07, 0.16), rng.uniform(0.3, 0.5)
    drip = curve((0.5 - half, top), (0.5 - half / 2, top + 0.2), (0.5, top), (0.5 + half, top + 0.1))
    return [
        box(0.5 - half, top, 0.5 + half, 1),
        blade((0.5, top - 0.06), (0.5, top - rng.uniform(0.2, 0.35)), 0.6),
        path((0.5, top), (0.5, top - 0.08)),
        *perhaps(rng, 0.4, oval(0.5, 1, half * 2, 0.06)),
        *perhaps(rng, 0.3, drip),
    ]


def clock(rng: Generator) -> list[Stroke]:
    hour, minute = np.radians(rng.uniform(0, 360, 2))
    tip = (0.5 + 0.25 * np.cos(hour), 0.5 + 0.25 * np.sin(hour))
    hands = path(tip, (0.5, 0.5), (0.5 + 0.38 * np.cos(minute), 0.5 + 0.38 * np.sin(minute)))
    ticks = rays(0.5, 0.5, rng.uniform(0.37, 0.43), 0.48, num=rng.choice([4, 4, 8, 12]))
    return [oval(0.5, 0.5, 0.5), hands, *perhaps(rng, 0.7, *ticks)]


def cookie(rng: Generator) -> list[Stroke]:
    num = rng.integers(4, 10)
    angles, reach = rng.uniform(0, 7, num), 0.4 * np.sqrt(rng.random(num))
    sizes = rng.uniform(0.02, 0.06, num)
    chips = map(oval, 0.5 + reach * np.cos(angles), 0.5 + reach * np.sin(angles), sizes)
    return [oval(0.5, 0.5, 0.5), *chips]


def crown(rng: Generator) -> list[Stroke]:
    num, valley, top = rng.integers(3, 6), rng.uniform(0.35, 0.6), rng.uniform(0.1, 0.25)
    across = np.linspace(0, 1, 2 * num - 1)
    teeth = [(x, valley if i % 2 else top) for i, x in enumerate(across)]
    jewels = [oval(x, top - 0.06, 0.04) for x in across[::2]]
    rim = path((0.06, 0.9), *teeth, (0.94, 0.9), (0.06, 0.9))
    return [rim, *perhaps(rng, 0.4, path((0.04, 0.75), (0.96, 0.75))), *perhaps(rng, 0.3, *jewels)]


def donut(rng: Generator) -> list[Stroke]:
    flat, hole, num = rng.uniform(0.35, 0.5), rng.uniform(0.1, 0.25), rng.integers(4, 10)
    sprinkles = [
        stroke * (1, 2 * flat) + (0, 0.5 - flat)
        for stroke in rays(0.5, 0.5, hole + 0.08, rng.uniform(0.4, 0.46), num, turn=rng.uniform(0, 90))
    ]
    return [oval(0.5, 0.5, 0.5, flat), oval(0.5, 0.5, hole, 2 * flat * hole), *perhaps(rng, 0.3, *sprinkles)]


def door(rng: Generator) -> list[Stroke]:
    half, knob = rng.uniform(0.18, 0.3), rng.choice([-0.75, 0.75])
    panels = [box(0.5 - half * 0.6, y, 0.5 + half * 0.6, y + 0.3) for y in (0.12, 0.58)]
    frame = path((0.45 - half, 1), (0.45 - half, -0.06), (0.55 + half, -0.06), (0.55 + half, 1))
    return [
        box(0.5 - half, 0, 0.5 + half, 1),
        oval(0.5 + half * knob, 0.5, rng.uniform(0.02, 0.045)),
        *perhaps(rng, 0.3, *panels[: rng.integers(1, 3)]),
        *perhaps(rng, 0.2, frame),
    ]


def dumbbell(rng: Generator) -> list[Stroke]:
    size, grip = rng.uniform(0.13, 0.23), rng.uniform(0.02, 0.05)
    if rng.random() < 0.4:
        bars = [path((2 * size, y), (1 - 2 * size, y)) for y in (0.5 - grip, 0.5 + grip)]
        return [oval(size, 0.5, size), oval(1 - size, 0.5, size), *bars[: rng.integers(1, 3)]]
    plates = [box(x - 0.05, 0.5 - size, x + 0.05, 0.5 + size) for x in (0.2, 0.8)]
    small = [box(x - 0.05, 0.5 - size / 1.6, x + 0.05, 0.5 + size / 1.6) for x in (0.1, 0.9)]
    return [box(0.25, 0.5 - grip, 0.75, 0.5 + grip), *plates, *perhaps(rng, 0.6, *small)]


def envelope(rng: Generator) -> list[Stroke]:
    top, dip = rng.uniform(0.1, 0.3), rng.uniform(0.5, 0.68)
    folds = [path((0, 0.85), (0.4, dip - 0.05)), path((1, 0.85), (0.6, dip - 0.05))]
    return [box(0, top, 1, 0.85), path((0, top), (0.5, dip), (1, top)), *perhaps(rng, 0.3, *folds)]


def eyeglasses(rng: Generator) -> list[Stroke]:
    size, lift = rng.uniform(0.16, 0.23), rng.uniform(0.1, 0.3)
    if rng.random() < 0.6:
        lens = oval(size, 0.5, size, size * rng.uniform(0.7, 1))
    else:
        lens = box(0, 0.5 - size * 0.7, 2 * size, 0.5 + size * 0.7)
    temple = curve((0, 0.48), (0, 0.48 - lift), (rng.uniform(-0.1, 0.2), 0.5 - lift))
    mirror, bridge = np.array([-1, 1]), curve((2 * size, 0.47), (0.5, 0.4), (1 - 2 * size, 0.47))
    temples = perhaps(rng, 0.6, temple, temple * mirror + (1, 0))
    return [lens, lens * mirror + (1, 0), bridge, *temples]


def hourglass(rng: Generator) -> list[Stroke]:
    neck, half, side = rng.uniform(0, 0.06), rng.uniform(0.22, 0.38), rng.uniform(0.25, 0.5)
    left = curve((0.5 - half, 0.05), (0.5 - half, side), (0.5 - neck, 0.5 - side / 4), (0.5 - neck, 0.5))
    left = np.concatenate([left, left[::-1] * (1, -1) + (0, 1)])
    sand = path((0.5 - half * 0.7, 0.85), (0.5, 0.72), (0.5 + half * 0.7, 0.85))
    caps = [path((0.45 - half, y), (0.55 + half, y)) for y in (0.05, 0.95)]
    return [left, left * (-1, 1) + (1, 0), *caps, *perhaps(rng, 0.4, sand)]


def key(rng: Generator) -> list[Stroke]:
    bow, tooth, facing = rng.uniform(0.12, 0.2), rng.uniform(0.08, 0.16), rng.choice([-1, 1], 2)
    bits = [path((x, 0), (x, tooth * rng.uniform(0.6, 1))) for x in (0.88, 0.76)]
    shaft = path((2 * bow, 0), (1, 0), (1, tooth))
    strokes = (
        oval(bow, 0, bow),
        shaft,
        *bits[: rng.integers(1, 3)],
        *perhaps(rng, 0.4, oval(bow, 0, bow / 3)),
    )
    return [stroke * facing for stroke in strokes]


def light_bulb(rng: Generator) -> list[Stroke]:
    neck, base = rng.uniform(0.1, 0.16), rng.uniform(0.2, 0.3)
    glass = curve((0.5 - neck, 0.7), (-0.35, -0.3), (1.35, -0.3), (0.5 + neck, 0.7))
    threads = [path((0.5 - neck, y), (0.5 + neck, y + 0.03)) for y in 0.7 + base * np.array([0.33, 0.66])]
    filament = path((0.45, 0.7), (0.42, 0.4), (0.5, 0.48), (0.58, 0.4), (0.55, 0.7))
    beams = rays(0.5, 0.35, 0.5, 0.65, num=7, turn=-180)[:4]
    return [
        glass,
        path((0.5 - neck, 0.7), (0.5 - neck, 0.7 + base), (0.5 + neck, 0.7 + base), (0.5 + neck, 0.7)),
        *threads[: rng.integers(0, 3)],
        *perhaps(rng, 0.4, filament),
        *perhaps(rng, 0.2, *beams),
    ]


def lollipop(rng: Generator) -> list[Stroke]:
    size, turns = rng.uniform(0.18, 0.28), rng.uniform(500, 1000)
    swirl = oval(0, 0, size * 0.9, sweep=turns)
    swirl = swirl * np.linspace(0.05, 1, len(swirl))[:, None] + (0.5, size)
    stick = [path((x, 2 * size), (x, 1)) for x in (0.49, 0.52)]
    return [oval(0.5, size, size), *stick[: rng.integers(1, 3)], *perhaps(rng, 0.5, swirl)]


def pencil(rng: Generator) -> list[Stroke]:
    half, point = rng.uniform(0.05, 0.09), rng.uniform(0.75, 0.85)
    strokes = [
        path((point, -half), (0, -half), (0, half), (point, half)),
        path((point, -half), (1, 0), (point, half), (point, -half)),
        *perhaps(rng, 0.6, path((0.12, -half), (0.12, half))),
        *perhaps(rng, 0.4, path((0.93, -half / 3), (0.93, half / 3))),
    ]
    return turned(strokes, rng.choice([0, 45, 90, 135]))


def pizza(rng: Generator) -> list[Stroke]:
    num = rng.integers(2, 6)
    if rng.random() < 0.4:
        cuts = rays(0.5, 0.5, -0.48, 0.48, num=2 * rng.integers(2, 5), turn=rng.uniform(0, 90))
        x, y = rng.uniform(0.3, 0.7, 2)
        return [oval(0.5, 0.5, 0.5), *cuts[: len(cuts) // 2], *perhaps(rng, 0.4, oval(x, y, 0.05))]
    half, crust = rng.uniform(0.3, 0.45), rng.uniform(0.06, 0.12)
    depths, sides = rng.uniform(0.3, 0.75, num), rng.uniform(-0.7, 0.7, num)
    toppings = [oval(x, y, 0.05) for x, y in zip(0.5 + sides * half * (0.9 - depths), depths, strict=True)]
    rim = curve((0.5 - half, 0.15), (0.5, 0.15 - 2 * crust), (0.5 + half, 0.15))
    inner_rim = rim + np.array([0, crust])
    return [path((0.5 - half, 0.15), (0.5, 1), (0.5 + half, 0.15)), rim, inner_rim, *toppings]


def table(rng: Generator) -> list[Stroke]:
    high, inset = rng.uniform(0.4, 0.75), rng.uniform(0.03, 0.15)
    if rng.random() < 0.5:
        back = rng.uniform(0.1, 0.2)
        top = path((back, 0), (1 - back / 4, 0), (1, 0.25), (0, 0.25), (back, 0))
        feet = [
            (inset, 0.25, high),
            (1 - inset, 0.25, high),
            (0.8, 0.25, high - 0.1),
            (0.25, 0.25, high - 0.1),
        ]
    else:
        top = box(0, 0, 1, rng.uniform(0.05, 0.12))
        feet = [(inset, 0.1, high), (1 - inset, 0.1, high)]
    return [top, *(path((x, y), (x, foot)) for x, y, foot in feet)]


def wine_glass(rng: Generator) -> list[Stroke]:
    rim, bowl, foot = rng.uniform(0.18, 0.26), rng.uniform(0.4, 0.6), rng.uniform(0.14, 0.22)
    return [
        curve((0.5 - rim, 0), (0.4 - rim, bowl * 1.3), (0.6 + rim, bowl * 1.3), (0.5 + rim, 0)),
        path((0.5, bowl), (0.5, 0.97)),
        oval(0.5, 0.98, foot, 0.03) if rng.random() < 0.5 else path((0.5 - foot, 1), (0.5 + foot, 1)),
        oval(0.5, 0, rim, 0.04) if rng.random() < 0.5 else path((0.5 - rim, 0), (0.5 + rim, 0)),
        *perhaps(rng, 0.4, path((0.5 - rim, bowl * 0.5), (0.5 + rim, bowl * 0.5))),
    ]


INDOORS: dict[str, Program] = {
    program.__name__.replace("_", " "): program
    for program in (
        bowtie,
        candle,
        clock,
        cookie,
        crown,
        donut,
        door,
        dumbbell,
        envelope,
        eyeglasses,
        hourglass,
        key,
        light_bulb,
        lollipop,
        pencil,
        pizza,
        table,
        wine_glass,
    )
}
