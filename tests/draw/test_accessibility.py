"""The page for everyone: light and dark, enlarged, in colors of one's own, read aloud, and without motion."""

from __future__ import annotations

import re

import pytest

from deepdraw.draw import PAGE, Collection
from tests.draw.pages import AXE, draw_strokes, wait_until

VARIABLE = re.compile(r"--(\w+): (#[0-9a-f]{6});")
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
LONG = "a-name-of-one-hundred-letters-" + "x" * 70


def contrast(one: str, other: str) -> float:
    """How far two colors `#rrggbb` are apart, 1 to 21, by WCAG 2."""

    def luminance(color: str) -> float:
        parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_measure_of_contrast_is_that_of_wcag():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_what_one_uses_stand_out_in_both_color_schemes(scheme):
    light, dark = re.findall(r":root \{(.*?)\}", (PAGE / "style.css").read_text(), re.DOTALL)
    colors = dict(VARIABLE.findall((light, dark)[scheme]))
    assert len(colors) == 8
    for text in ("ink", "faint", "bar"):
        assert min(contrast(colors[text], colors[under]) for under in ("page", "paper")) >= 4.5
    assert min(contrast(colors["edge"], colors[under]) for under in ("page", "paper")) >= 3
    assert contrast(colors["bar"], colors["track"]) >= 3


@pytest.fixture
def page(serve, runs, open_page, tmp_path):
    """A page with all that it can have: two networks, play, teaching and collecting."""
    served = serve(runs("fused"), runs("strokes"), collection=Collection(tmp_path / "mine"))
    return open_page(served.address, 320)


def fill(page, drawn) -> None:
    """Teach the page a class of a long name, and leave a drawing and its guesses on it."""
    draw_strokes(page, drawn(3))
    page.fill("#teach-name", LONG)
    page.click("#teach-add")
    page.locator("#status", has_text="is taught by").wait_for()
    draw_strokes(page, drawn(3))
    page.locator("#status", has_text="per cent").wait_for()


def test_nothing_is_cut_off_on_320_pixels_and_axe_finds_nothing_in_any_scheme(page, drawn):
    """320 px are a phone, or 1280 px at 400 per cent."""
    if not AXE.path.exists():
        pytest.skip(f"{AXE.path} is not there: .ci/run fetches it")
    fill(page, drawn)
    page.evaluate(AXE.read("axe.min.js")[0].decode())

    def assert_is_open() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= 320
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found = page.evaluate("(rules) => axe.run(rules)", RULES)
            faults = [(fault["id"], [node["html"] for node in fault["nodes"]]) for fault in found["violations"]]
            assert faults == []

    assert_is_open()
    page.click("#play")
    page.locator(".task").wait_for()
    assert_is_open()


def test_a_screen_reader_is_given_roles_and_names_and_one_answer_for_each_stroke(page, drawn):
    page.evaluate(
        """() => {
            window.said = [];
            const note = () => said.push(document.getElementById("status").textContent);
            new MutationObserver(note).observe(document.getElementById("status"), { childList: true });
        }"""
    )
    tree = page.locator("body").aria_snapshot()
    for line in (
        'heading "deepdraw" [level=1]',
        'button "Play"',
        'button "Undo" [disabled]',
        'textbox "Name"',
        'combobox "Keep it as"',
    ):
        assert f"- {line}" in tree
    assert 'application "Canvas: draw here with mouse, pen, finger or keyboard"' in tree
    assert page.locator("#status").get_attribute("aria-live") == "polite"
    draw_strokes(page, drawn(4)[:1])
    wait_until(page, "said.length > 0")
    draw_strokes(page, drawn(4)[1:])
    wait_until(page, "said.length > 1")
    said = page.evaluate("said")
    assert len(said) == 2
    assert all(re.fullmatch(r"\w+, \d+ per cent; \w+, \d+ per cent", sentence) for sentence in said)
    assert 'list "Guesses of' in page.locator("body").aria_snapshot()


def color_of_ink(page) -> list[int]:
    """Red, green and blue of a pixel of what is drawn that is fully inked."""
    return page.evaluate(
        """() => {
            const context = new OffscreenCanvas(pad.width, pad.height).getContext("2d", { willReadFrequently: true });
            context.drawImage(pad, 0, 0);
            const { data } = context.getImageData(0, 0, pad.width, pad.height);
            for (let i = 0; i < data.length; i += 4) if (data[i + 3] === 255) return [...data.slice(i, i + 3)];
        }"""
    )


def test_what_is_drawn_follows_the_colors_that_one_chooses(page, drawn):
    draw_strokes(page, drawn(3))
    page.locator("#status", has_text="per cent").wait_for()
    seen = []
    for media in ({"color_scheme": "light"}, {"color_scheme": "dark"}, {"forced_colors": "active"}):
        page.emulate_media(**media)
        wait_until(page, f"getComputedStyle(pad).color !== {seen[-1][0] if seen else ''!r}")
        page.evaluate("() => new Promise(requestAnimationFrame)")
        ink, color = color_of_ink(page), page.evaluate("getComputedStyle(pad).color")
        assert color == f"rgb({', '.join(map(str, ink))})"
        seen.append((color, ink))
    bar = page.locator(".bar").first
    assert bar.evaluate("(bar) => getComputedStyle(bar).borderTopStyle") == "solid"
    assert bar.evaluate("(bar) => getComputedStyle(bar.firstChild).backgroundColor") != bar.evaluate(
        "(bar) => getComputedStyle(bar).backgroundColor"
    )


def test_whoever_wants_no_motion_sees_none(page):
    page.emulate_media(reduced_motion="reduce")
    moving = "[...document.querySelectorAll('*')].filter((one) => parseFloat(getComputedStyle(one).transitionDuration))"
    assert page.evaluate(f"{moving}.length") == 0


def test_lines_are_sharp_on_any_screen_and_stay_so_when_it_is_zoomed(page):
    protocol = page.context.new_cdp_session(page)
    sides = set()
    for width, ratio in ((1280, 1), (1281, 2), (1282, 3), (1283, 1.25)):
        metrics = {"width": width, "height": 860, "deviceScaleFactor": ratio, "mobile": False}
        protocol.send("Emulation.setDeviceMetricsOverride", metrics)
        wait_until(page, f"devicePixelRatio === {ratio} && pad.width === Math.round(pad.clientWidth * {ratio})")
        sides.add(page.evaluate("pad.clientWidth"))
    assert len(sides) == 1, "its size in pixels of CSS tells nothing of the zoom"
