"""Stroke programs of what one finds outdoors: cloud, fish, house, umbrella and their like."""

from __future__ import annotations

from itertools import pairwise

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


def apple(rng: Generator) -> list[Stroke]:
    dip, fat = 0.25 + rng.uniform(0.05, 0.15), rng.uniform(0.4, 0.55)
    left = curve((0.5, dip), (0.5 - fat, 0), (0.4 - fat, 0.95), (0.5, 0.95))
    stem = curve((0.5, dip), (0.5, 0.15), (rng.uniform(0.45, 0.65), 0.05))
    whole = np.concatenate([left, (left * (-1, 1) + (1, 0))[::-1]])
    return [whole, stem, *perhaps(rng, 0.6, blade((0.52, 0.2), (0.8, 0.06), 0.5))]


def cloud(rng: Generator) -> list[Stroke]:
    num = rng.integers(5, 10)
    angles = np.linspace(0, 2 * np.pi, num + 1) + np.resize(rng.normal(0, 0.12, num), num + 1)
    rim = np.stack([0.5 + 0.4 * np.cos(angles), 0.5 + 0.22 * np.sin(angles)], axis=1)
    puff = rng.uniform(0.8, 1.5)
    bumps = [curve(a, (a + b) / 2 + puff * ((a + b) / 2 - 0.5), b) for a, b in pairwise(rim)]
    return [np.concatenate(bumps)]


def fence(rng: Generator) -> list[Stroke]:
    num, half, tip = rng.integers(3, 6), rng.uniform(0.05, 0.08), rng.uniform(0, 0.15)
    posts = [
        path((x - half, 0.8), (x - half, 0.2), (x, 0.2 - tip), (x + half, 0.2), (x + half, 0.8))
        for x in np.linspace(0.1, 0.9, num)
    ]
    return [*posts, path((0, 0.4), (1, 0.4)), path((0, 0.65), (1, 0.65))]


def fish(rng: Generator) -> list[Stroke]:
    fat, tail, facing = rng.uniform(0.4, 0.7), rng.uniform(0.12, 0.22), (rng.choice([-1, 1]), 1)
    strokes = (
        blade((0, 0.5), (0.72, 0.5), fat),
        path((0.7, 0.5), (1, 0.5 - tail), (rng.uniform(0.88, 1), 0.5), (1, 0.5 + tail), (0.7, 0.5)),
        oval(0.13, 0.47, 0.025),
        *perhaps(rng, 0.4, curve((0.22, 0.5 - fat * 0.3), (0.3, 0.5), (0.22, 0.5 + fat * 0.3))),
        *perhaps(rng, 0.3, path((0.3, 0.5 - fat * 0.34), (0.45, 0.4 - fat * 0.5), (0.5, 0.5 - fat * 0.28))),
    )
    return [stroke * facing for stroke in strokes]


def house(rng: Generator) -> list[Stroke]:
    eaves, side = rng.uniform(0.35, 0.5), rng.uniform(0.25, 0.55)
    return [
        box(0.05, eaves, 0.95, 1),
        path((0, eaves), (0.5, 0), (1, eaves)),
        path((side - 0.08, 1), (side - 0.08, 0.7), (side + 0.08, 0.7), (side + 0.08, 1)),
        *perhaps(rng, 0.5, box(0.7, eaves + 0.12, 0.85, eaves + 0.27)),
        *perhaps(rng, 0.3, path((0.72, eaves * 0.4), (0.72, 0), (0.82, 0), (0.82, eaves * 0.62))),
    ]


def ladder(rng: Generator) -> list[Stroke]:
    half, num = rng.uniform(0.1, 0.22), rng.integers(4, 9)
    rails = [path((x, 0), (x, 1)) for x in (0.5 - half, 0.5 + half)]
    return [*rails, *(path((0.5 - half, y), (0.5 + half, y)) for y in np.linspace(0.1, 0.9, num))]


def leaf(rng: Generator) -> list[Stroke]:
    fat, num = rng.uniform(0.35, 0.7), rng.integers(2, 5)
    veins = [path((x, 0), (x + 0.12, y * fat * 0.3)) for x in np.linspace(0.25, 0.65, num) for y in (-1, 1)]
    strokes = [blade((0.05, 0), (1, 0), fat), path((-0.15, 0), (0.85, 0)), *perhaps(rng, 0.6, *veins)]
    return turned(strokes, rng.choice([0, -45, -90, -135]) + rng.normal(0, 10))


def moon(rng: Generator) -> list[Stroke]:
    gap, deep = rng.uniform(40, 80), rng.uniform(0.0, 0.6)
    outer = oval(0.5, 0.5, 0.5, start=gap, sweep=360 - 2 * gap)
    inner = curve(outer[-1], (0.5 - deep, 0.4), (0.5 - deep, 0.6), outer[0])
    facing = (rng.choice([-1, 1]), 1)
    craters = [oval(x, y, rng.uniform(0.02, 0.05)) for x, y in ((0.12, 0.4), (0.1, 0.6), (0.2, 0.75))]
    return [stroke * facing for stroke in (np.concatenate([outer, inner]), *perhaps(rng, 0.15, *craters))]


def mushroom(rng: Generator) -> list[Stroke]:
    brim, half = rng.uniform(0.4, 0.6), rng.uniform(0.1, 0.2)
    cap = curve((0, brim), (0.05, -0.2), (0.95, -0.2), (1, brim))
    spots = [oval(x, y, rng.uniform(0.03, 0.07)) for x, y in ((0.3, 0.3), (0.55, 0.18), (0.7, 0.35))]
    return [
        np.concatenate([cap, curve((1, brim), (0.5, brim + rng.uniform(-0.1, 0.15)), (0, brim))]),
        curve((0.5 - half, brim), (0.35 - half, 1.1), (0.65 + half, 1.1), (0.5 + half, brim)),
        *perhaps(rng, 0.5, *spots),
    ]


def sailboat(rng: Generator) -> list[Stroke]:
    deck, inset, lee = rng.uniform(0.65, 0.78), rng.uniform(0.1, 0.25), rng.uniform(0.85, 1)
    return [
        path((0, deck), (1, deck), (1 - inset, 0.95), (inset, 0.95), (0, deck)),
        path((0.5, deck), (0.5, 0)),
        path((0.52, 0), (lee, deck - 0.08), (0.52, deck - 0.08)),
        *perhaps(rng, 0.5, path((0.48, 0.1), (0.15, deck - 0.08), (0.48, deck - 0.08))),
    ]


def snowflake(rng: Generator) -> list[Stroke]:
    num, twig = rng.choice([3, 3, 4]), rng.uniform(0.08, 0.18)
    arms = rays(0.5, 0.5, -0.5, 0.5, num=2 * num)[:num]
    barbs = []
    for angle in np.radians(-90 + 180 / num * np.arange(2 * num)):
        along, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
        fork, tip = 0.5 + (0.42 - twig) * along, 0.5 + 0.42 * along
        barbs.append(path(tip + twig * across, fork, tip - twig * across))
    return [*arms, *perhaps(rng, 0.75, *barbs)]


def snowman(rng: Generator) -> list[Stroke]:
    head, belly = rng.uniform(0.11, 0.15), rng.uniform(0.2, 0.26)
    if rng.random() < 0.5:
        balls = [oval(0.5, head, head), oval(0.5, 1 - belly, belly, (1 - 2 * head) / 2)]
    else:
        middle = 0.5 - head - belly
        balls = [oval(0.5, head, head), oval(0.5, 2 * head + middle, middle), oval(0.5, 1 - belly, belly)]
    eyes = [oval(x, head * 0.8, 0.015) for x in (0.46, 0.54)]
    arms = [path((0.5 + side * 0.15, 0.42), (0.5 + side * 0.42, rng.uniform(0.25, 0.45))) for side in (-1, 1)]
    hat = path((0.36, 0.03), (0.64, 0.03), (0.58, 0.03), (0.58, -0.15), (0.42, -0.15), (0.42, 0.03))
    return [*balls, *perhaps(rng, 0.5, *arms), *perhaps(rng, 0.4, hat), *perhaps(rng, 0.7, *eyes)]


def sun(rng: Generator) -> list[Stroke]:
    disc, gap, num = rng.uniform(0.18, 0.3), rng.uniform(0, 0.06), rng.integers(6, 13)
    return [oval(0.5, 0.5, disc), *rays(0.5, 0.5, disc + gap, 0.5, num, turn=rng.uniform(0, 90))]


def sword(rng: Generator) -> list[Stroke]:
    half, guard, hilt = rng.uniform(0.03, 0.06), rng.uniform(0.12, 0.2), rng.uniform(0.7, 0.8)
    strokes = [
        path((0.5 - half, hilt), (0.5 - half, 0.08), (0.5, 0), (0.5 + half, 0.08), (0.5 + half, hilt)),
        path((0.5 - guard, hilt), (0.5 + guard, hilt)),
        path((0.48, hilt), (0.48, 1), (0.52, 1), (0.52, hilt)),
        *perhaps(rng, 0.2, path((0.5, hilt), (0.5, 0.15))),
    ]
    return turned(strokes, rng.choice([0, 45, -45, 180]))


def tent(rng: Generator) -> list[Stroke]:
    flap, top = rng.uniform(0.08, 0.2), rng.uniform(0.1, 0.3)
    front = path((0, 1), (0.4, top), (0.8, 1), (0, 1))
    doorway = path((0.4 - flap, 1), (0.4, rng.uniform(top, 0.5)), (0.4 + flap, 1))
    side = path((0.4, top), (0.95, top + 0.05), (1.2, 0.85), (0.8, 1))
    return [front, doorway, *perhaps(rng, 0.5, side)]


def tree(rng: Generator) -> list[Stroke]:
    half, foot = rng.uniform(0.05, 0.1), rng.uniform(0.55, 0.65)
    trunk = [curve((0.5 + x, foot), (0.5 + x, 0.9), (0.5 + 1.4 * x, 1)) for x in (-half, half)]
    if rng.random() < 0.3:
        tiers = [path((0.5 - w, y), (0.5, y - 0.35), (0.5 + w, y), (0.5 - w, y)) for y, w in ((0.65, 0.4), (0.4, 0.3))]
        return [*tiers, *trunk]
    puffs = outline(0.5, 0.32, list(rng.uniform(0.28, 0.38, rng.integers(7, 12))))[::7]
    leaves = [curve(a, 0.8 * (a + b) - (0.3, 0.192), b) for a, b in pairwise(puffs)]
    return [np.concatenate(leaves) if rng.random() < 0.6 else oval(0.5, 0.32, 0.35), *trunk]


def umbrella(rng: Generator) -> list[Stroke]:
    num, hook, high = rng.integers(2, 6), rng.uniform(0.05, 0.1), rng.uniform(0.35, 0.5)
    edge = np.linspace(0, 1, num + 1)
    scallops = [curve((a, high), ((a + b) / 2, high - 0.12), (b, high)) for a, b in pairwise(edge)]
    handle = oval(0.5 - hook, 0.9, hook, start=0, sweep=rng.uniform(140, 190))
    ribs = [curve((0.5, 0), (0.5 + (x - 0.5) * 0.8, 0.1), (x, high)) for x in edge[1:-1]]
    return [
        oval(0.5, high, 0.5, high, start=180, sweep=180),
        np.concatenate([path((0.5, high - 0.08), (0.5, 0.9)), handle]),
        np.concatenate(scallops),
        *perhaps(rng, 0.4, *ribs),
    ]


def wheel(rng: Generator) -> list[Stroke]:
    hub, num = rng.uniform(0.05, 0.14), rng.integers(4, 10)
    tire = oval(0.5, 0.5, rng.uniform(0.38, 0.45))
    spokes = rays(0.5, 0.5, hub, 0.42, num, turn=rng.uniform(0, 90))
    return [oval(0.5, 0.5, 0.5), oval(0.5, 0.5, hub), *spokes, *perhaps(rng, 0.6, tire)]


OUTDOORS: dict[str, Program] = {
    program.__name__.replace("_", " "): program
    for program in (
        apple,
        cloud,
        fence,
        fish,
        house,
        ladder,
        leaf,
        moon,
        mushroom,
        sailboat,
        snowflake,
        snowman,
        sun,
        sword,
        tent,
        tree,
        umbrella,
        wheel,
    )
}
