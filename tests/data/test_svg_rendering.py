"""The strokes of an SVG file are where resvg, an independent renderer, shows lines and edges."""

# ruff: noqa: E501  # a file is a line

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import cKDTree

from deepdraw.drawings import read_svg

resvg_py = pytest.importorskip("resvg_py", reason="needs resvg-py (pip install resvg-py) to draw the reference")

SIDE = 1200  # px of the reference
TOLERANCE = 4.0, 6.0  # of 255, of a stroke and of an edge; 2 are the simplification's, an edge is beside its stroke
EDGE = 30  # of 255: the contrast of an edge of the reference
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
START = f'<svg xmlns="http://www.w3.org/2000/svg" {XLINK} viewBox="0 0 400 400">'
PEN = 'fill="none" stroke="#000" stroke-width="1" stroke-linejoin="round"'
HOUSE = '<path d="M120 290 V150 L160 120 L200 150 V290 Z"/><path d="M150 290 V240 H170 V290"/>'
DRAWN = f"<g {PEN}>{HOUSE}</g>"
WHITE = DRAWN.replace("#000", "#fff")
PAPER = '<rect width="400" height="400" fill="{}"/>'
SYMBOL = f'<symbol id="s" viewBox="100 100 120 200">{DRAWN}</symbol>'

FILES = {
    "lines": DRAWN,
    "light on dark": PAPER.format("#121212") + WHITE,
    "nearly white on dark": PAPER.format("#222") + DRAWN.replace("#000", "#eee"),
    "off-white paper": PAPER.format("#fefefe") + DRAWN,
    "beige paper": PAPER.format("#f5f5dc") + DRAWN,
    "blue paper, yellow ink": PAPER.format("navy") + DRAWN.replace("#000", "yellow"),
    "paper in percent": '<rect width="100%" height="100%" fill="#888"/>' + DRAWN,
    "paper larger than the sheet": '<rect x="-50" y="-50" width="600" height="600" fill="#ccc"/>' + DRAWN,
    "paper as a path": '<path d="M0 0H400V400H0Z" fill="tan"/>' + DRAWN,
    "two papers": PAPER.format("#000") + PAPER.format("#fff") + DRAWN,
    "paper hides what is below": '<path d="M5 5L390 10" stroke="red"/>' + PAPER.format("#fff") + DRAWN,
    "opacity 0": f'{DRAWN}<g opacity="0"><rect width="400" height="400"/></g>',
    "opacity 0 of the stroke": f'{DRAWN}<path d="M9 9L390 10" stroke="#000" stroke-opacity="0" fill="none"/>',
    "opacity of groups": f'<g opacity=".5"><g style="opacity:.6">{DRAWN}</g></g>',
    "opacity in percent": f'<g opacity="60%">{DRAWN}</g><path opacity="0%" d="M9 9L390 10" stroke="#000"/>',
    "rgba": f'{DRAWN}<path d="M9 9L390 10" stroke="rgba(0,0,0,0)" fill="none"/>',
    "stroke-width 0": f'{DRAWN}<path d="M9 9L390 10L5 300" fill="none" stroke="#000" stroke-width="0"/>',
    "visibility": f'<g visibility="hidden"><path d="M9 9L390 10" stroke="#000"/><g visibility="visible">{DRAWN}</g></g>',
    "display": f'<g display="none"><path d="M9 9L390 10" stroke="#000"/></g>{DRAWN}',
    "outside of the sheet": f'{DRAWN}<path {PEN} d="M-300 20H-10M420 400V900"/>',
    "partly outside": f'{DRAWN}<path {PEN} d="M-300 60H100M300 380V900"/><circle {PEN} cx="390" cy="200" r="60"/>',
    "eraser": f'{DRAWN}<path d="M100 100L220 310" stroke="#fff" stroke-width="16" fill="none"/>',
    "eraser on colored paper": f'{PAPER.format("#9cf")}{DRAWN}<path d="M90 200H250" stroke="#9cf" stroke-width="30"/>',
    "eraser, then ink again": f'{DRAWN}<path d="M90 200H250" stroke="#fff" stroke-width="30"/><path {PEN} d="M90 200H250"/>',
    "eraser as a shape": f'{DRAWN}<circle cx="200" cy="200" r="30" fill="#fff"/>',
    "filled shapes": '<circle cx="130" cy="130" r="90"/><path d="M250 250L390 260L320 390Z" fill="#c33"/>',
    "filled shapes overlap": '<circle cx="130" cy="130" r="90" fill="#36c"/><rect x="120" y="120" width="200" height="90" fill="#c33"/>',
    "one color overlaps": '<circle cx="130" cy="130" r="90"/><rect x="120" y="120" width="200" height="90"/>',
    "a fill hides lines": f'{DRAWN}<rect x="140" y="200" width="200" height="150" fill="#fff" stroke="#000"/>',
    "a hole": '<path d="M50 50H350V350H50Z M120 120V280H280V120Z"/>',
    "a hole by even-odd": '<path fill-rule="evenodd" d="M50 50H350V350H50Z M120 120H280V280H120Z"/>',
    "no hole by non-zero": '<path d="M50 50H350V350H50Z M120 120H280V280H120Z"/>',
    "white lines on a black area": f'<circle cx="200" cy="200" r="180"/>{WHITE}',
    "black lines in a black area": f'<circle cx="200" cy="200" r="180"/>{DRAWN}',
    "lines cross in two colors": f'{DRAWN}<path d="M90 200H250" stroke="red" stroke-width="3"/>',
    "transform-origin": f'<g transform="rotate(45)" transform-origin="200 200">{DRAWN}</g>',
    "transform-origin in words": f'<g transform="rotate(30)" style="transform-origin:center">{DRAWN}</g>',
    "transforms": f'<g transform="translate(30 -40) scale(1.2 .8)"><g transform="skewX(10) rotate(-15 200 200)">{DRAWN}</g></g>',
    "transforms of shapes": f'<rect {PEN} width="190" height="90" transform="translate(150 90) rotate(30)"/>',
    "classes": "<style>.a{fill:none} path.b,.c{stroke:black;stroke-width:2px} .d{display:none}</style>"
    '<path class="a b" d="M50 50L300 90L200 200"/><path class="a c" d="M50 350H300"/><path class="d" d="M0 0L400 400"/>',
    "style beats class beats attribute": "<style>.a{stroke:#000} #i{stroke:none}</style>"
    '<g fill="none" stroke="none"><path class="a" d="M50 50L300 90" stroke="none"/><path id="i" class="a" d="M5 5L9 390"/>'
    '<path id="i" class="a" style="stroke:black" d="M50 350H300"/></g>',
    "descendants": f'<style>g.x path{{fill:none;stroke:black}} g > circle{{fill:none;stroke:none}}</style><g class="x">{HOUSE}'
    '<circle cx="50" cy="50" r="40"/></g>',
    "use": f'<defs><g id="h">{DRAWN}</g></defs><use href="#h"/><use xlink:href="#h" x="120" y="-50"/>',
    "use of a symbol": f'{SYMBOL}<use href="#s" x="10" y="200" width="60" height="100"/><use href="#s" x="250" y="20" width="100" height="200"/>',
    "nested svg": f'<svg x="200" y="50" width="150" height="150" viewBox="100 100 200 200">{DRAWN}</svg>',
    "nested svg cuts": f'<svg x="20" y="20" width="350" height="350" viewBox="100 100 180 180">{DRAWN}</svg>',
    "preserveAspectRatio": f'<svg x="20" y="20" width="350" height="150" viewBox="100 100 120 200" preserveAspectRatio="none">{DRAWN}</svg>'
    f'<svg x="20" y="200" width="350" height="150" viewBox="100 100 120 200" preserveAspectRatio="xMaxYMin">{DRAWN}</svg>',
    "clip-path": f'<clipPath id="c"><circle cx="180" cy="190" r="75"/></clipPath><g clip-path="url(#c)">{DRAWN}</g>',
    "round rectangles": f'<rect {PEN} x="50" y="60" width="250" height="120" rx="40"/><rect {PEN} x="50" y="220" width="250" height="120" rx="90" ry="20"/>',
    "units": f'<line {PEN} x1="1in" y1="10mm" x2="50%" y2="200pt"/><circle {PEN} cx="50%" cy="50%" r="10%"/>',
    "curves": f'<path {PEN} d="M50 200C50 50 350 50 350 200S200 390 120 300Q60 240 120 220T200 260A50 30 20 1 0 250 230"/>',
    "currentColor": f'<g color="#060">{DRAWN.replace("#000", "currentColor")}</g>',
    "hsl and percent": f'<g stroke="hsl(120, 60%, 20%)" fill="none" stroke-width="2">{HOUSE}</g>',
    "a gradient": '<linearGradient id="g"><stop stop-color="#111"/><stop offset="1" stop-color="#444"/></linearGradient>'
    '<circle cx="200" cy="200" r="150" fill="url(#g)"/>',
    "a switch": f'<switch><g requiredExtensions="x">{PAPER.format("red")}</g><g>{DRAWN}</g><g>{PAPER.format("blue")}</g></switch>',
    "small on a large sheet": f'<g transform="translate(300 300) scale(.3)">{DRAWN}</g>',
}  # fmt: skip


def reference(svg: str) -> np.ndarray:
    """Where resvg shows an edge: points [n, 2], the longer side of their box from 0 to 255."""
    return normalized(np.argwhere(edges_of(svg))[:, ::-1])


def edges_of(svg: str) -> np.ndarray:
    """The pixels at which resvg's picture changes."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=SIDE, background="#ffffff", dpi=96)
    picture = np.asarray(Image.open(io.BytesIO(bytes(png))).convert("RGB"), np.int16)
    corners = [picture[a : a - 1 or None, b : b - 1 or None] for a in (0, 1) for b in (0, 1)]
    return (np.max(corners, axis=0) - np.min(corners, axis=0)).max(axis=2) > EDGE


def normalized(points: np.ndarray) -> np.ndarray:
    points = points - points.min(axis=0)
    return points * 255 / points.max()


def along(strokes: list[np.ndarray]) -> np.ndarray:
    """Points along strokes, at most 1 apart, in the same scale."""
    pieces = [
        np.linspace(a, b, 2 + int(np.hypot(*(b - a))))
        for stroke in strokes
        for a, b in pairwise(np.concatenate([stroke, stroke[-1:]]).astype(float))
    ]
    return normalized(np.concatenate(pieces))


def check_agrees(svg: str, path: Path) -> None:
    path.write_text(svg)
    ours, theirs = along(read_svg(path)), reference(svg)
    extra, missing = cKDTree(theirs).query(ours)[0], cKDTree(ours).query(theirs)[0]
    assert extra.max() < TOLERANCE[0], f"a stroke at {ours[extra.argmax()].round()} of 255, where nothing is seen"
    assert missing.max() < TOLERANCE[1], f"an edge at {theirs[missing.argmax()].round()} of 255, where no stroke is"


@pytest.mark.parametrize("name", FILES)
def test_strokes_are_where_a_renderer_shows_edges(tmp_path, name):
    check_agrees(f"{START}{FILES[name]}</svg>", tmp_path / "x.svg")


numbers = st.floats(-1, 1, width=32)
steps = st.one_of(
    st.tuples(numbers, numbers).map(lambda xy: f"translate({60 * xy[0]:.3f} {60 * xy[1]:.3f})"),
    st.tuples(numbers, numbers).map(lambda xy: f"scale({1.2 + xy[0] / 2:.3f},{1.2 + xy[1] / 2:.3f})"),
    numbers.map(lambda angle: f"rotate({180 * angle:.3f} 200 200)"),
    numbers.map(lambda angle: f"skewX({30 * angle:.3f})"),
    numbers.map(lambda angle: f"skewY({30 * angle:.3f})"),
    st.just("matrix(-1 0 0 1 400 0)"),
)
groups = st.lists(
    st.tuples(st.lists(steps, max_size=2), st.sampled_from(["", ' opacity=".7"', ' stroke="#a00"'])), max_size=3
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(groups=groups, papers=st.sampled_from(["", PAPER.format("#ffe"), PAPER.format("#234")]))
def test_strokes_are_there_under_any_groups_and_transforms(tmp_path_factory, groups, papers):
    ink = "#fff" if "#234" in papers else "#000"
    body = '<path d="M120 290V150L160 120L200 150V290Z"/><ellipse cx="240" cy="230" rx="30" ry="50"/>'
    for transforms, attributes in groups:
        body = f'<g transform="{" ".join(transforms)}"{attributes}>{body}</g>'
    svg = f"{START}{papers}<g {PEN.replace('#000', ink)}>{body}</g></svg>"
    edges = np.argwhere(edges_of(svg))
    if not len(edges) or np.ptp(edges, axis=0).max() < SIDE / 4:
        return  # hardly anything is on the sheet
    check_agrees(svg, tmp_path_factory.getbasetemp() / "random.svg")
