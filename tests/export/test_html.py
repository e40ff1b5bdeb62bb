"""python -m deepdraw.export format=html: one file that a browser opens from disk, without any network."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from deepdraw.draw import PAGE
from deepdraw.drawings import simplify
from deepdraw.export.__main__ import main
from deepdraw.export.browser import OfflinePage
from deepdraw.export.html_format import ONNXRUNTIME_WEB
from deepdraw.export.single_file import SCRIPTS, single_file
from tests.refusals import refusal

pytest.importorskip("onnxruntime", reason="the extra export is not installed")


@pytest.mark.slow
def test_the_proof_lies_beside_it(file):
    proof = json.loads(file.with_name("doodles.html.proof.json").read_text())
    assert proof["drawings"] == 20
    assert proof["equal_top1"] == 1
    assert 0 <= proof["largest_difference"] <= proof["allowed"]["difference"]


@pytest.mark.slow
def test_the_file_may_ask_no_network(file):
    page = OfflinePage(file)
    try:
        asked = page.page.evaluate("fetch('https://example.org/').then(() => 'sent', () => 'refused')")
        assert asked == "refused"
        assert "Content Security Policy" in " ".join(page.complaints)
    finally:
        page.close()


def hand_drawn(rng) -> list[np.ndarray]:
    """Strokes as hands make them on a canvas of 1000: of one point, of many, with pauses, closed."""
    strokes = []
    for _ in range(rng.integers(1, 7)):
        steps = rng.normal(0, rng.choice([1, 8, 30]), (int(rng.choice([1, 2, 3, 10, 80])), 2))
        stroke = (rng.uniform(0, 1000, 2) + steps.cumsum(axis=0)).round(rng.choice([0, 1, 3]))
        if rng.random() < 0.2:
            stroke = np.repeat(stroke, 3, axis=0)
        if rng.random() < 0.2:
            stroke[-1] = stroke[0]
        strokes.append(stroke)
    return strokes


def test_drawings_are_simplified_as_in_python(chromium):
    rng = np.random.default_rng(0)
    drawings = [hand_drawn(rng) for _ in range(150)]
    drawings += [[np.array([[5.0, 5.0]])], [np.full((4, 2), 7.5)], [np.array([[0.0, 0.0], [1e-3, 2e-3]])]]
    drawings += [[np.array([[0, 0], [1e-310, 0], [2e-310, 1e-310], [0, 0]]), np.array([[0.0, 0.0], [500.0, 500.0]])]]
    drawings += [[np.array([[0, 0], [5e-324, 0]])]]
    found = chromium.new_page().evaluate(
        """async ([source, drawings]) => {
            const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
            const { simplify } = await import(address);
            return drawings.map(simplify);
        }""",
        [
            (SCRIPTS / "simplify.js").read_text("utf-8"),
            [[[*stroke.T.tolist(), [0] * len(stroke)] for stroke in drawing] for drawing in drawings],
        ],
    )
    for drawing, lines in zip(drawings, found, strict=True):
        assert lines == [stroke.T.tolist() for stroke in simplify(drawing)]


class Elements(HTMLParser):
    """The elements of a page, and the text of each script by its id."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: dict[str | None, str] = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.inside = dict(attributes).get("id") if tag == "script" else None

    def handle_data(self, text):
        if self.tags and self.tags[-1] == "script":
            self.scripts[self.inside] = self.scripts.get(self.inside, "") + text


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "<!--<script>", "\u2028 ' \" & \U0001f600"])
def test_the_name_of_a_class_stays_text(name):
    def page(names):
        given = {"title": "x", "source": "y", "names": names, "sees": ["pixels"], "imageSize": 8}
        return Elements(single_file(PAGE, given, library=b"l", wasm=b"w", network=b"n", notice="--> <script>"))

    assert page([name]).tags == page(["cat"]).tags
    assert json.loads(page([name]).scripts["description"])["names"] == [name]


def test_without_a_browser_one_line_says_what_to_install(trained, tmp_path, monkeypatch):
    pytest.importorskip("playwright", reason="playwright, which drives the browser, is absent")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    message = refusal(main, [f"ckpt={trained}", "format=html"])
    assert "there is no Chromium" in message and "playwright install" in message
    assert not (trained / "exports").exists()


def test_without_the_library_and_a_network_one_line_says_where_to_put_it(trained, tmp_path, monkeypatch, browser):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9")
    message = refusal(main, [f"ckpt={trained}", "format=html"])
    assert "npm pack onnxruntime-web@" in message and str(ONNXRUNTIME_WEB.path) in message
    assert not list((trained / "exports").glob("*"))
