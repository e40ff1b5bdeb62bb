"""Draws on a page in a browser, and notes what the page asks its server."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from deepdraw.export.npm import Package

SIDE = 1000  # of the pad, in units of a drawing
AXE = Package(  # finds what keeps people from using a page; .ci/run fetches it
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)


def on_screen(page, places) -> list[list[float]]:
    """Where places [n, 2] of the pad are on the screen."""
    page.locator("#pad").scroll_into_view_if_needed()
    box = page.locator("#pad").bounding_box()
    corner, size = np.array([box["x"], box["y"]]), np.array([box["width"], box["height"]])
    return (corner + np.asarray(places) * size / SIDE).tolist()


def wait_until(page, condition: str) -> None:
    """Wait until JavaScript holds on the page. `page.wait_for_function` may not, by the page's policy."""
    page.evaluate(
        f"""async () => {{
            const start = performance.now();
            while (!({condition})) {{
                if (performance.now() - start > 30_000) throw new Error("it does not hold: " + {condition!r});
                await new Promise(requestAnimationFrame);
            }}
        }}"""
    )


def draw_strokes(page, drawing) -> None:
    """Draw by the mouse what `hand_drawn` gives."""
    for x, y, _ in drawing:
        places = on_screen(page, np.transpose([x, y]))
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()


class Asked:
    """The drawings that a page has asked its server about."""

    def __init__(self, page) -> None:
        self._page = page
        self.drawings: list[list] = []
        page.on("request", self._note)

    def _note(self, request) -> None:
        if request.method == "POST":
            self.drawings.append(json.loads(request.post_data)["drawing"])

    def wait_for(self, *strokes: Any) -> list:
        """The last drawing, once it has these strokes, [n, 2] in units of the pad, and the page has named it."""
        for _ in range(1500):
            if self.drawings and _are_near(self.drawings[-1], strokes):
                self._page.locator("#status", has_text="per cent").wait_for()
                return self.drawings[-1]
            self._page.wait_for_timeout(20)
        raise AssertionError(f"{self.drawings[-1:]} was asked last, not {strokes}")


def _are_near(drawing, strokes: Sequence[Any]) -> bool:
    """Whether a drawing has these strokes, each point to the pixel of the screen."""
    found, expected = [np.transpose(stroke[:2]) for stroke in drawing], [np.asarray(stroke) for stroke in strokes]
    return [a.shape for a in found] == [a.shape for a in expected] and all(
        np.abs(a - b).max() < 4 for a, b in zip(found, expected, strict=True)
    )
