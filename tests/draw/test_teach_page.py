"""Teaching on the page in a real browser: draw, name, and see it guessed."""

from __future__ import annotations

import pytest

import deepdraw
from tests.draw.pages import draw_strokes


def teach(page, name, drawing):
    draw_strokes(page, drawing)
    page.fill("#teach-name", name)
    page.click("#teach-add")
    page.locator("#status", has_text="is taught by").wait_for()


@pytest.fixture
def page(serve, runs, open_page):
    return open_page(serve(runs("fused")).address)


def names(page):
    return page.locator(".taught .name").all_text_contents()


def test_a_class_that_is_drawn_and_named_joins_the_guesses(page, runs, drawn, tmp_path):
    teach(page, "<script>alert(1)</script>", drawn(2, 1))
    assert page.locator("body.blank").count() == 1, "the next drawing can begin"
    teach(page, "hexagon", drawn(6, 1))
    teach(page, "hexagon", drawn(6, 2))
    assert names(page) == ["<script>alert(1)</script>", "hexagon"]
    assert page.locator(".taught .count").all_text_contents() == ["1 drawing", "2 drawings"]
    assert page.locator(".taught canvas").count() == 3
    draw_strokes(page, drawn(2, 7))
    page.locator("#status", has_text="per cent").wait_for()
    page.wait_for_load_state("networkidle")
    assert page.locator(".guesses .name").count() == 5, "three trained on and two that were taught"
    assert set(page.locator(".guesses .name").all_text_contents()) > {"<script>alert(1)</script>", "hexagon"}
    with page.expect_download() as download:
        page.click(".taught-files a")
    download.value.save_as(tmp_path / "taught.npz")
    assert deepdraw.load(runs("fused"), classes=tmp_path / "taught.npz").classes[3:] == names(page)
    page.get_by_role("button", name="Remove hexagon").click()
    page.locator("#status", has_text="hexagon is removed").wait_for()
    assert names(page) == ["<script>alert(1)</script>"]


def test_a_page_that_is_opened_again_keeps_what_was_taught(page, drawn):
    teach(page, "hexagon", drawn(6, 1))
    page.reload()
    page.wait_for_selector(".taught li")
    assert names(page) == ["hexagon"]
    draw_strokes(page, drawn(6, 2))
    page.fill("#teach-name", "hexagon")
    page.click("#teach-add")
    page.locator("#status", has_text="Remove it to teach it anew").wait_for()
    assert page.locator(".taught .count").all_text_contents() == ["1 drawing"]


def test_what_cannot_be_taught_is_said_on_the_page(page, drawn):
    page.fill("#teach-name", "hexagon")
    page.click("#teach-add")
    page.locator("#status", has_text="Draw hexagon first").wait_for()
    assert names(page) == []
