"""The page in one file, drawn into from held-out drawings by real pointer events, in a browser without a network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import deepdraw

DRAWN = {1280: 100, 390: 100}  # held-out drawings, by the width of the page
TIE = 2e-4  # the two likeliest names may change places where their probabilities are as near as that

# Notes what the page asks its network about, how long each answer takes, and how many answers the page has shown.
NOTE = """() => {
    Object.assign(globalThis, { asked: 0, shown: 0, times: [] });
    const guess = deepdrawEngine.guess.bind(deepdrawEngine);
    deepdrawEngine.guess = async (drawing) => {
        asked += 1;
        globalThis.last = drawing;
        const start = performance.now();
        const found = await guess(drawing);
        times.push(performance.now() - start);
        requestAnimationFrame(() => (shown += 1));
        return found;
    };
}"""
# What the page shows once it has nothing left to ask.
SETTLED = """async () => {
    while (shown < asked) await new Promise(requestAnimationFrame);
    const texts = (selector) => [...document.querySelectorAll(selector)].map((element) => element.textContent);
    return { drawing: last, names: texts(".guesses .name"), percents: texts(".guesses .percent") };
}"""


class Shown(NamedTuple):
    """A drawing as the page had it in the end, the names that it showed, and how likely they were in per cent."""

    drawing: list
    names: list[str]
    percents: list[float]


class Seen(NamedTuple):
    """What the page showed of each drawing, the milliseconds of each guess, and what it complained of."""

    shown: list[Shown]
    times: list[float]
    complaints: list[str]


def strokes_by_mouse(strokes, box) -> list[dict[str, Any]]:
    """The events of a mouse that draws strokes [n, 2] in 0..255 into the middle of a box on the screen."""
    corner, size = np.array([box["x"], box["y"]]), np.array([box["width"], box["height"]])
    events = []
    for stroke in strokes:
        places = [{"x": x, "y": y} for x, y in (corner + (0.1 + 0.8 * stroke / 255) * size).round(2).tolist()]
        left = {"button": "left", "buttons": 1, "clickCount": 1}
        events.append({"type": "mousePressed", **places[0], **left})
        events += [{"type": "mouseMoved", **place, **left} for place in places[1:]]
        events.append({"type": "mouseReleased", **places[-1], **left, "buttons": 0})
    return events


async def draw_all(file: Path, drawings, width: int) -> Seen:
    """Draw each of some drawings into the page. The events of one are sent at once, so that the page sees them as
    those of a quick hand: many in one frame."""
    from playwright.async_api import async_playwright

    from deepdraw.export.browser import find_browser

    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=find_browser(playwright.chromium.executable_path), args=["--no-sandbox"]
        )
        context = await browser.new_context(viewport={"width": width, "height": 900}, offline=True)
        page = await context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(file.as_uri())
        await page.wait_for_selector("body:not(.loading)", timeout=120_000)
        await page.evaluate(NOTE)
        mouse = await context.new_cdp_session(page)
        box = await page.locator("#pad").bounding_box()
        shown = []
        for strokes in drawings:
            events = strokes_by_mouse(strokes, box)
            await asyncio.gather(*(mouse.send("Input.dispatchMouseEvent", event) for event in events))
            found = await page.evaluate(SETTLED)
            percents = [float(text.removesuffix(" %")) for text in found["percents"]]
            shown.append(Shown(found["drawing"], found["names"], percents))
            await page.keyboard.press("Escape")
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        return Seen(shown, await page.evaluate("times"), complaints)


@pytest.mark.slow
@pytest.mark.parametrize("width", DRAWN)
def test_drawings_by_the_mouse_get_the_names_that_python_gives_them(file, doodle_run, width, record_property):
    recognizer = deepdraw.load(doodle_run, device="cpu", precision="fp32")
    split = recognizer.trained.source().split("test")
    chosen = np.random.default_rng(width).choice(len(split.labels), DRAWN[width], replace=False)
    packed = split.read_strokes(np.arange(len(split.block_sizes)), np.sort(chosen))
    drawings = [packed.strokes(index) for index in range(len(packed))]
    seen = asyncio.run(draw_all(file, drawings, width))
    assert seen.complaints == []
    assert len(seen.times) >= 2 * len(drawings), "it guesses at the first point, too"
    expected = recognizer.predict([shown.drawing for shown in seen.shown], top=6)
    for strokes, shown, guesses in zip(drawings, seen.shown, expected, strict=True):
        assert len(shown.drawing) == len(strokes)
        assert shown.percents == pytest.approx([100 * guess.probability for guess in guesses[:5]], abs=0.06)
        if guesses[0].probability - guesses[1].probability > TIE:
            assert shown.names[0] == guesses[0].name
    named = {guesses[0].name for guesses in expected}
    assert len(named) > 20, "a network that names everything alike proves nothing"
    record_property(
        "figure",
        f"{len(drawings)} drawings by the mouse, page of {width} px: {np.median(seen.times):.1f} ms for a guess "
        f"(median of {len(seen.times)}), file of {file.stat().st_size / 1e6:.1f} MB",
    )
