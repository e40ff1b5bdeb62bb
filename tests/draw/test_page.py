"""The page in a real browser, drawn on by real pointer events."""

from __future__ import annotations

import json

import pytest
import torch

import deepdraw
from deepdraw.draw import Collection
from deepdraw.drawings import read_sketches


@pytest.fixture
def open_page(chromium):
    """Open the page in the browser; what it complains of fails the test."""
    complaints: list[str] = []

    def opened(address: str, width: int = 1280, **options):
        page = chromium.new_page(viewport={"width": width, "height": 860}, **options)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        page.goto(address)
        page.wait_for_selector("body:not(.loading)")
        return page

    yield opened
    assert complaints == []


def draw_strokes(page, drawing) -> None:
    """Draw by the mouse what `hand_drawn` gives."""
    box = page.locator("#pad").bounding_box()
    for x, y, _ in drawing:
        places = [
            (box["x"] + a * box["width"] / 1000, box["y"] + b * box["height"] / 1000) for a, b in zip(x, y, strict=True)
        ]
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

    def wait_for(self, strokes: int, points: int = 0) -> list:
        """The last drawing, once it has so many strokes, and more than so many points in its last one."""
        for _ in range(3000):
            drawing = self.drawings[-1] if self.drawings else []
            if len(drawing) == strokes and len(drawing[-1][0]) > points:
                self._page.locator("#status", has_text="per cent").wait_for()
                return drawing
            self._page.wait_for_timeout(20)
        raise AssertionError(f"{len(self.drawings[-1])} strokes, not {strokes}")


def test_what_is_drawn_with_the_mouse_is_guessed_as_predict_does(serve, runs, drawn, open_page, tmp_path):
    page = open_page(serve(runs("fused")).address)
    asked = Asked(page)
    draw_strokes(page, drawn(4))
    sent = asked.wait_for(strokes=2, points=8)
    page.wait_for_load_state("networkidle")
    assert len(asked.drawings) > 3, "it guesses while one draws"
    file = tmp_path / "drawn.ndjson"
    file.write_text(json.dumps({"drawing": sent}))
    (expected,) = deepdraw.load(runs("fused")).predict(file, top=3)
    page.locator(".guesses li:first-child .percent", has_text=percent(expected[0])).wait_for()
    assert page.locator(".guesses .name").all_text_contents() == [guess.name for guess in expected]


def percent(guess) -> str:
    return f"{100 * guess.probability:.1f} %"


def test_undo_redo_and_clear_by_buttons_and_by_keys(serve, runs, drawn, open_page):
    page = open_page(serve(runs("pixels")).address)
    asked = Asked(page)
    draw_strokes(page, drawn(4))
    asked.wait_for(strokes=2, points=8)
    for act, strokes in (
        (lambda: page.click("#undo"), 1),
        (lambda: page.click("#redo"), 2),
        (lambda: page.keyboard.press("Control+z"), 1),
        (lambda: page.keyboard.press("Control+y"), 2),
        (lambda: page.keyboard.press("Backspace"), 1),
    ):
        act()
        asked.wait_for(strokes)
    page.keyboard.press("Escape")
    assert page.locator("body.blank").count() == 1
    assert set(page.locator(".guesses .name").all_text_contents()) == {""}
    assert page.locator("#undo").is_disabled()
    assert page.locator("#clear").is_disabled()


@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_a_desktop_and_a_phone(serve, runs, drawn, open_page, width):
    page = open_page(serve(runs("fused")).address, width)
    draw_strokes(page, drawn(3))
    page.locator("#status", has_text="per cent").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_game_is_won_by_drawing_what_it_asks_for(serve, runs, open_page):
    page = open_page(serve(runs("pixels")).address)
    names = page.request.get(f"{page.url}networks").json()[0]["names"]
    assert names == ["triangle", "square", "octagon"]
    page.click("#play")
    wanted = page.locator(".task").text_content().removeprefix("Draw: ")
    assert wanted in names
    best = {}

    def answer(route) -> None:
        name = wanted if best else names[names.index(wanted) - 1]  # wrong at first, then right
        best[name] = 1
        seen = {"picture": None, "points": None}
        route.fulfill(json={"names": [name], "probabilities": [1.0], "seen": seen})

    page.route("**/guess", answer)
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 90, steps=4)
    page.mouse.up()
    page.locator("#game .score", has_text="Recognized:").wait_for()
    page.locator(".look").nth(5).wait_for()
    assert set(page.locator(".look span").all_text_contents()) <= set(names)
    page.click("#game button")
    page.locator("#game .score", has_text="Round 2 of 3, 1 recognized").wait_for()
    assert page.locator("body.blank").count() == 1
    page.click("#play")
    assert page.locator("#game").is_hidden()


def test_two_checkpoints_guess_beside_each_other_and_what_is_drawn_is_kept(serve, runs, drawn, open_page, tmp_path):
    served = serve(runs("pixels"), runs("strokes"), collection=Collection(tmp_path / "mine"))
    page = open_page(served.address)
    draw_strokes(page, drawn(4))
    page.locator("#status", has_text=";").wait_for()
    assert page.locator(".answers").count() == 2
    hostile = "<script>alert(1)</script>"
    page.fill("#collect input", hostile)
    page.click("#collect button")
    page.locator("#status", has_text=f"Kept as {hostile}: 1 so far").wait_for()
    (file,) = (tmp_path / "mine").iterdir()
    (sketch,) = read_sketches(file, any_word=True)
    assert sketch.word == hostile
    assert len(sketch.strokes) == 2


def test_names_that_are_markup_are_shown_as_they_are(serve, runs, drawn, open_page, tmp_path):
    checkpoint = torch.load(runs("pixels") / "checkpoints/best.pt", weights_only=True)
    checkpoint["classes"] = ["<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a\u202eb\n"]
    torch.save(checkpoint, tmp_path / "best.pt")
    page = open_page(serve(tmp_path / "best.pt").address)
    draw_strokes(page, drawn(4))
    page.locator("#status", has_text="per cent").wait_for()
    shown = {"<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "a\\u202eb\\n"}
    assert set(page.locator(".guesses .name").all_text_contents()) == shown
    assert page.locator("main script, main img").count() == 0
