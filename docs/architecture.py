"""Draw docs/architecture.svg, the floors of deepdraw's packages: `python docs/architecture.py`.

The order of the floors is that of tests/test_floors.py, and what a package is for is the first line of its docstring.
"""

from __future__ import annotations

import ast
import sys
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))  # the script may be called from anywhere

WIDTH, FLOOR, GAP, ROOF, MARGIN = 1250, 50, 6, 118, 24  # pixels
LEFT, RIGHT = 60, 1010  # of the house
COLORS = {  # of the walls, by what a floor deals with
    "#dfe3e8": ("runtime", "config", "loggers"),
    "#cfe8dc": ("drawings", "data"),
    "#cfe0f5": ("models", "features", "fewshot"),
    "#fbe3c6": ("training", "inference", "evaluation"),
    "#e8d8f0": ("report", "compare"),
}
OTHER = "#f1ead2"
WRITTEN = {  # what each floor hands to those above it
    "drawings": "strokes, pixels",
    "data": "batches of inputs, labels",
    "models": "features, logits",
    "features": "features, kept on disk",
    "fewshot": "scores of classes by a few drawings",
    "training": "weights in a checkpoint",
    "inference": "predictions",
    "evaluation": "numbers",
    "report": "pages, pictures, tables",
    "compare": "one table of many runs",
    "sweep": "many runs, and a table",
    "export": "a network for elsewhere",
    "draw": "guesses, as one draws",
    "doctor": "what is missing here",
}
STYLE = """
text { font-family: 'DejaVu Sans', Verdana, sans-serif; font-size: 14px; fill: #24292f; }
.name { font-family: 'DejaVu Sans Mono', Menlo, monospace; font-size: 16px; font-weight: bold; }
.code { font-family: 'DejaVu Sans Mono', Menlo, monospace; font-size: 14px; }
.quiet { fill: #57606a; font-size: 13px; }
.arrow { stroke: #57606a; stroke-width: 2; fill: none; }
"""


def purpose(package: str) -> str:
    """The first line of a package's docstring, without its full stop and backquotes."""
    tree = ast.parse((ROOT / "deepdraw" / package / "__init__.py").read_text())
    return (ast.get_docstring(tree) or "").partition("\n")[0].removesuffix(".").replace("`", "")


def text(x: int, y: int, content: str, style: str = "", anchor: str = "start") -> str:
    return f'<text x="{x}" y="{y}" class="{style}" text-anchor="{anchor}">{escape(content)}</text>'


def arrow(x: int, start: int, end: int) -> list[str]:
    """A vertical arrow that points to `end`."""
    back = 9 if end < start else -9
    return [f'<path class="arrow" d="M{x} {start} V{end} M{x - 6} {end + back} L{x} {end} L{x + 6} {end + back}"/>']


def roof(top: int) -> list[str]:
    """The commands and what they open, which may use every floor."""
    middle = (LEFT + RIGHT) // 2
    return [
        f'<path d="M{LEFT - 24} {top + ROOF} L{LEFT + 90} {top} H{RIGHT - 90} L{RIGHT + 24} {top + ROOF} Z"'
        ' fill="#b5523b" stroke="#7d3526"/>',
        text(middle, top + 32, "train.py, evaluate.py; deepdraw.train(), .evaluate(), .load()", "code roof", "middle"),
        text(
            middle,
            top + 60,
            "deepdraw/api.py: called from Python; deepdraw/experiment.py: one training, step by step",
            "roof",
            "middle",
        ),
        text(
            middle,
            top + 90,
            "deepdraw train | evaluate | sweep | predict | embed | compare | doctor",
            "code roof",
            "middle",
        ),
    ]


def floor(package: str, top: int) -> list[str]:
    color = next((color for color, packages in COLORS.items() if package in packages), OTHER)
    baseline = top + FLOOR // 2 + 5
    wall = (
        f'<rect x="{LEFT}" y="{top}" width="{RIGHT - LEFT}" height="{FLOOR}" rx="4" fill="{color}" stroke="#8c959f"/>'
    )
    return [
        f'<g id="floor-{package}">',
        wall,
        text(LEFT + 16, baseline, f"{package}/", "name"),
        text(LEFT + 150, baseline, purpose(package)),
        text(RIGHT + 36, baseline, WRITTEN.get(package, ""), "quiet"),
        "</g>",
    ]


def picture(floors: tuple[str, ...]) -> str:
    """The house as SVG; `floors` from the ground up."""
    ground = MARGIN + ROOF + GAP + len(floors) * (FLOOR + GAP)
    lines = [*roof(MARGIN)]
    for level, package in enumerate(reversed(floors)):
        lines += floor(package, MARGIN + ROOF + GAP + level * (FLOOR + GAP))
    lines.append(f'<path d="M20 {ground} H{RIGHT + 40}" stroke="#57606a" stroke-width="4"/>')
    lines += arrow(36, MARGIN + ROOF + 14, ground - 12)
    middle = (MARGIN + ROOF + ground) // 2
    lines.append(
        f'<g transform="rotate(-90 24 {middle})">{text(24, middle, "imports go down only", "quiet", "middle")}</g>'
    )
    lines += arrow(RIGHT + 20, ground - 12, MARGIN + ROOF + 14)
    lines.append(text(RIGHT + 36, MARGIN + ROOF - 8, "gives to those above", "quiet"))
    lines.append(
        text(
            LEFT,
            ground + 26,
            "benchmarks/, docs/ and tests/ stand beside the house: nothing in it imports them.",
            "quiet",
        )
    )
    size = f'width="{WIDTH}" height="{ground + 44}" viewBox="0 0 {WIDTH} {ground + 44}"'
    style = f"<style>{STYLE}.roof {{ fill: white; }}</style>"
    background = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', style, background, *lines, "</svg>", ""])


if __name__ == "__main__":
    from tests.test_floors import FLOORS

    (ROOT / "docs/architecture.svg").write_text(picture(FLOORS))
