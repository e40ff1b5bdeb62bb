"""The page in a real browser, drawn on by real pointer events."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import deepdraw
from deepdraw.draw import Collection
from deepdraw.drawings import read_sketches
from tests.draw.pages import Asked, draw_strokes


def test_what_is_drawn_with_the_mouse_is_guessed_as_predict_does(serve, runs, drawn, open_page, tmp_path):
    page = open_page(serve(runs("fused")).address)
    asked = Asked(page)
    draw_strokes(page, drawn(4))
    sent = asked.wait_for(*lines(drawn(4)))
    assert len(asked.drawings) >= 2, "it guesses while one draws"
    file = tmp_path / "drawn.ndjson"
    file.write_text(json.dumps({"drawing": sent}))
    (expected,) = deepdraw.load(runs("fused")).predict(file, top=3)
    page.locator(".guesses li:first-child .percent", has_text=percent(expected[0])).wait_for()
    assert page.locator(".guesses .name").all_text_contents() == [guess.name for guess in expected]


def lines(drawing) -> list[np.ndarray]:
    """The strokes of a drawing as points [n, 2]."""
    return [np.transpose([x, y]) for x, y, _ in drawing]


def percent(guess) -> str:
    return f"{100 * guess.probability:.1f} %"


def test_undo_redo_and_clear_by_buttons_and_by_keys(serve, runs, drawn, open_page):
    page = open_page(serve(runs("pixels")).address)
    asked = Asked(page)
    draw_strokes(page, drawn(4))
    first, second = lines(drawn(4))
    asked.wait_for(first, second)
    for act, strokes in (
        (lambda: page.click("#undo"), [first]),
        (lambda: page.click("#redo"), [first, second]),
        (lambda: page.keyboard.press("Control+z"), [first]),
        (lambda: page.keyboard.press("Control+y"), [first, second]),
        (lambda: page.keyboard.press("Backspace"), [first]),
    ):
        act()
        asked.wait_for(*strokes)
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


def test_a_game_goes_on_to_its_end(serve, runs, open_page):
    """Three rounds: one is won, one is lost with a drawing, one without; time passes when the test says so."""
    page = open_page(serve(runs("pixels")).address)
    names = page.request.get(f"{page.url}networks").json()[0]["names"]
    assert names == ["triangle", "square", "octagon"]
    page.evaluate("window.time = 0; performance.now = () => window.time")

    def guess(route) -> None:
        """In the first round the second stroke is named rightly; all else is named wrongly."""
        strokes = json.loads(route.request.post_data)["drawing"]
        name = other if len(wanted) == len(strokes) == 1 else wanted[0]
        route.fulfill(json={"names": [name], "probabilities": [1.0], "seen": {"picture": None, "points": None}})

    def asked() -> str:
        return page.locator(".task", has_text="Draw: ").text_content().removeprefix("Draw: ")

    def line(x) -> None:
        draw_strokes(page, [[[x, x + 100], [50, 90], [0, 0]]])

    page.click("#play")
    wanted = [asked()]
    other = names[names.index(wanted[0]) - 1]
    page.route("**/guess", guess)
    line(50)
    page.locator(".guesses .name", has_text=other).wait_for()
    line(300)
    page.locator("#game .score", has_text=f"Recognized: {wanted[0]}, after 0.0 s.").wait_for()
    page.locator(".look").nth(5).wait_for()
    assert set(page.locator(".look span").all_text_contents()) <= set(names)
    page.keyboard.press("Enter")  # the button has the focus
    page.locator("#game .score", has_text="Round 2 of 3, 1 recognized").wait_for()
    assert page.locator("body.blank").count() == 1
    wanted.append(asked())
    line(50)
    page.locator(".guesses .name", has_text=wanted[0]).wait_for()
    page.evaluate("window.time += 20_000")
    page.locator("#game .score", has_text=f"Time is up. It took this for: {wanted[0]}.").wait_for()
    page.keyboard.press("Enter")
    page.locator("#game .score", has_text="Round 3 of 3, 1 recognized").wait_for()
    assert {*wanted, asked()} == set(names), "no name comes twice"
    page.evaluate("window.time += 20_000")
    page.locator("#game .score", has_text="Time is up. Nothing was drawn.").wait_for()
    assert page.locator(".looks").count() == 0
    page.get_by_role("button", name="Show the score").click()
    page.locator(".task", has_text="1 of 3 drawings were recognized.").wait_for()
    page.get_by_role("button", name="Play again").click()
    page.locator("#game .score", has_text="Round 1 of 3, 0 recognized").wait_for()
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
