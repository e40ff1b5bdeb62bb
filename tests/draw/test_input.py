"""The page drawn on by finger, pen, mouse and keyboard, all by real events of the browser."""

from __future__ import annotations

import pytest

from tests.draw.pages import SIDE, Asked, on_screen, wait_until

LINE = [[200, 300], [400, 350], [600, 500], [650, 800]]
OTHER = [[800, 200], [700, 400]]
LEFT = {"button": "left", "clickCount": 1}


@pytest.fixture
def opened(serve, runs, open_page):
    """A page on a phone, its protocol, by which events are sent, and what it asks its server."""
    page = open_page(serve(runs("pixels")).address, 390, has_touch=True)
    return page, page.context.new_cdp_session(page), Asked(page)


def touch(protocol, kind: str, *places) -> None:
    """Tell where all fingers are that touch the screen, each with its number."""
    points = [{"x": x, "y": y, "id": number} for number, (x, y) in places]
    protocol.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points})


def test_a_finger_draws_and_a_second_one_breaks_no_stroke(opened):
    page, protocol, asked = opened
    first, second, third, last = on_screen(page, LINE)
    one, two = on_screen(page, OTHER)
    touch(protocol, "Start", (0, first))
    touch(protocol, "Move", (0, second))
    touch(protocol, "Start", (0, second), (1, one))
    touch(protocol, "Move", (0, third), (1, two))
    touch(protocol, "Move", (0, last))  # without the second finger, which is lifted by that
    touch(protocol, "End")
    asked.wait_for(LINE)
    assert page.evaluate("scrollY") == 0
    touch(protocol, "Start", (5, one))
    touch(protocol, "Move", (5, two))
    touch(protocol, "End")
    asked.wait_for(LINE, OTHER)


def test_a_finger_beside_the_pad_scrolls_the_page(opened):
    page, protocol, asked = opened
    assert page.evaluate("document.documentElement.scrollHeight > innerHeight + 100")
    box = page.locator("#answers").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 100
    touch(protocol, "Start", (0, (x, y)))
    for step in range(1, 11):
        touch(protocol, "Move", (0, (x, y - 20 * step)))
    touch(protocol, "End")
    wait_until(page, "scrollY > 50")
    assert asked.drawings == []


def test_a_stroke_that_the_browser_cancels_is_taken_back_and_redo_brings_it_again(opened):
    page, protocol, asked = opened
    places = on_screen(page, LINE)
    touch(protocol, "Start", (0, places[0]))
    for place in places[1:]:
        touch(protocol, "Move", (0, place))
    touch(protocol, "Cancel")
    page.locator("body.blank").wait_for()
    page.click("#redo")
    asked.wait_for(LINE)


def test_a_pen_draws_and_a_stroke_that_leaves_the_pad_goes_on_where_it_comes_back(opened):
    page, protocol, asked = opened
    places = on_screen(page, [[500, 500], [SIDE + 100, 600], [SIDE + 150, 700], [500, 800]])
    page.evaluate(
        "document.getElementById('pad').addEventListener('pointermove', (e) => (window.kind = e.pointerType))"
    )
    kinds = ["mousePressed", *["mouseMoved"] * (len(places) - 1)]
    for kind, (x, y) in zip(kinds, places, strict=True):
        protocol.send(
            "Input.dispatchMouseEvent", {"type": kind, "x": x, "y": y, "buttons": 1, "pointerType": "pen", **LEFT}
        )
    x, y = places[-1]
    protocol.send("Input.dispatchMouseEvent", {"type": "mouseReleased", "x": x, "y": y, "pointerType": "pen", **LEFT})
    asked.wait_for([[500, 500], [SIDE, 600], [SIDE, 700], [500, 800]])
    assert page.evaluate("kind") == "pen"


def test_the_keyboard_draws_and_a_screen_reader_says_where_the_pen_is(opened):
    page, _, asked = opened
    pen, place = page.locator("#pad + .hint + #keys ~ .pen"), page.locator("#pen-place")
    assert pen.is_hidden()
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "pad"
    assert pen.is_visible()
    assert page.locator("#keys").is_visible()
    for key in ["ArrowLeft"] * 4 + ["ArrowUp"] * 2:
        page.keyboard.press(key)
    assert place.text_content() == "40 per cent from the left, 45 from the top, pen up"
    page.keyboard.press("Space")
    assert place.text_content() == "Pen down at 40 per cent from the left, 45 from the top"
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.down("ArrowRight")
    page.keyboard.down("ArrowDown")  # both are held: aslant
    page.keyboard.up("ArrowRight")
    page.keyboard.up("ArrowDown")
    page.keyboard.press("Space")
    assert place.text_content().startswith("Pen up at 48 per cent")
    stroke = [[400, 450], [425, 450], [425, 455], [450, 455], [475, 480]]
    asked.wait_for(stroke)
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Tab")  # leaving the pad lifts the pen
    dot = [[475, 480], [475, 455]]
    asked.wait_for(stroke, dot)
    assert page.evaluate("document.activeElement.id") == "undo"
    page.keyboard.press("Space")
    asked.wait_for(stroke)
    page.keyboard.press("Space")
    page.locator("body.blank").wait_for()
    assert page.evaluate("document.activeElement.id") == "pad", "a button that can no more be pressed loses no focus"


def test_the_mouse_draws_while_the_keyboard_has_its_pen_down(opened):
    page, _, asked = opened
    page.focus("#pad")
    page.keyboard.press("Space")
    places = on_screen(page, LINE)
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place)
    page.mouse.up()
    asked.wait_for([[500, 500]], LINE)
