"""Teaching on the page in a real browser: draw, name, and see it guessed."""

from __future__ import annotations

import pytest
import torch

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


@pytest.mark.slow
def test_a_network_with_a_text_tower_is_taught_by_names_alone(serve, train, small_clip, drawn, open_page, tmp_path):
    import open_clip

    weights = tmp_path / "clip.pt"
    torch.save(open_clip.create_model(small_clip).state_dict(), weights)
    options = [f"backbone.name={small_clip}", f"backbone.pretrained={weights}", "backbone.image_size=32"]
    run = train("backbone=open_clip", *options, "freeze=all", "train.epochs=1", "train.limit_steps=2")
    page = open_page(serve(run).address)
    for name in ("hexagon", "line"):
        page.fill("#teach-name", name)
        page.click("#teach-add")
        page.locator("#status", has_text=f"{name} is taught by its name").wait_for()
    assert page.locator(".taught .count").all_text_contents() == ["its name", "its name"]
    draw_strokes(page, drawn(6))
    page.locator("#status", has_text="per cent").wait_for()
    assert {"hexagon", "line"} < set(page.locator(".guesses .name").all_text_contents())


def test_two_networks_are_taught_the_same(serve, runs, drawn, open_page):
    page = open_page(serve(runs("pixels"), runs("strokes")).address)
    teach(page, "hexagon", drawn(6, 1))
    assert page.locator(".taught-files a").count() == 2
    draw_strokes(page, drawn(6, 2))
    page.locator("#status", has_text=";").wait_for()
    for network in page.locator(".guesses").all():
        assert "hexagon" in network.locator(".name").all_text_contents()
