"""Writes docs/draw.png: the page of `python -m deepdraw.draw`, into which the mouse draws a drawing of split test.

Run `python docs/draw.py RUN CLASS NUMBER` for the drawing of this number, from 0, of a class that RUN was trained on.
It needs playwright and a Chromium.
"""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

import deepdraw
from deepdraw.export.browser import find_browser

PICTURE = Path(__file__).with_suffix(".png")
SIZE = {"width": 1100, "height": 760}


def strokes_of(run: str, name: str, number: int) -> list[np.ndarray]:
    """The strokes [n, 2] in 0..255 of a drawing of split test, as `deepdraw.data` packed them."""
    split = deepdraw.load(run).trained.source().split("test")
    place = np.flatnonzero(split.labels == split.classes.index(name))[number : number + 1]
    return split.read_strokes(np.arange(len(split.block_sizes)), place).strokes(0)


def draw(page: Page, strokes: list[np.ndarray]) -> None:
    """Draw into the middle of the pad, and wait until the page has named the whole drawing."""
    box = page.locator("#pad").bounding_box()
    assert box is not None
    for stroke in strokes:
        places = ((0.1 + 0.8 * stroke / 255) * [box["width"], box["height"]] + [box["x"], box["y"]]).tolist()
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place)
        page.mouse.up()
    page.locator("#status", has_text="per cent").wait_for()
    page.wait_for_load_state("networkidle")


if __name__ == "__main__":
    run, name, number = sys.argv[1:]
    command = [sys.executable, "-m", "deepdraw.draw", f"ckpt={run}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout is not None
        address = server.stdout.readline().split()[2]  # draw at ADDRESS (Ctrl-C ends it)
        chromium = find_browser(playwright.chromium.executable_path)
        with playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser:
            page = browser.new_page(viewport=SIZE, reduced_motion="reduce")
            page.goto(address)
            page.wait_for_selector("body:not(.loading)")
            draw(page, strokes_of(run, name, int(number)))
            Image.open(BytesIO(page.screenshot())).quantize(128).save(PICTURE, optimize=True)
        server.terminate()
