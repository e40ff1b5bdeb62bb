"""A page that is served to the test, and drawings as a hand makes them."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

import deepdraw

pytest.importorskip("starlette", reason="Starlette, of the extra draw, is absent")
pytest.importorskip("uvicorn", reason="uvicorn, of the extra draw, is absent")

from deepdraw.draw import Network, make_app
from deepdraw.draw.server import PageServer, listen

STROKES = ["backbone=strokes", "backbone.widths=[8,16]", "backbone.depths=[1,1]", "input.points=32"]
FUSED = ["backbone=fused", "backbone@backbone.pixels=timm", "backbone.pixels.name=resnet10t", "input.points=32"]
FUSED += ["backbone.pixels.pretrained=false", "backbone.pixels.image_size=32"]
FUSED += ["backbone.strokes.widths=[8,16]", "backbone.strokes.depths=[1,1]"]


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


class Page(NamedTuple):
    """A served page, at http://127.0.0.1:PORT."""

    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, content: bytes | None = None, **headers: str) -> Answer:
        """Send one request; `_` in the name of a header stands for `-`."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(
                method, path, content, {name.replace("_", "-"): value for name, value in headers.items()}
            )
            response = connection.getresponse()
            return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def guess(self, drawing: Any, number: int = 0) -> Answer:
        content = json.dumps({"drawing": drawing}).encode()
        return self.ask("POST", f"/networks/{number}/guess", content, Content_Type="application/json")


@pytest.fixture
def serve() -> Iterator[Callable[..., Page]]:
    """Serve the page of these runs until the test ends."""
    ends: list[Callable[[], None]] = []

    def start(*runs: Path, **options: Any) -> Page:
        listening = listen(0)
        server = PageServer(make_app([Network(deepdraw.load(run)) for run in runs], **options), listening)
        thread = threading.Thread(target=server.run)
        thread.start()

        def end() -> None:
            server.should_exit = True
            thread.join()
            listening.close()

        ends.append(end)
        return Page(listening.getsockname()[1])

    yield start
    for end in ends:
        end()


@pytest.fixture(scope="session")
def runs(train_once, trained_once, tmp_path_factory) -> Callable[[str], Path]:
    """The run of a small network that sees pixels, strokes or both, trained on polygons."""
    made = {"pixels": trained_once}

    def run(sees: str) -> Path:
        if sees not in made:
            overrides = {"strokes": STROKES, "fused": FUSED}[sees]
            with pytest.MonkeyPatch.context() as monkeypatch:
                folder = tmp_path_factory.mktemp(sees) / "run"
                made[sees] = train_once(monkeypatch, folder, *overrides, "train.epochs=1", "train.limit_steps=3")
        return made[sees]

    return run


def hand_drawn(corners: int, seed: int = 0) -> list[list[list[float]]]:
    """A polygon in two strokes on a canvas of 1000, with times, as the page sends it."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(0, 2 * np.pi, corners + 1)
    outline = 480 + 300 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    along = np.linspace(0, corners, 6 * corners)
    xy = np.stack([np.interp(along, np.arange(corners + 1), outline[:, axis]) for axis in (0, 1)], axis=1)
    xy = (xy + rng.normal(0, 2, xy.shape)).round(1)
    times = np.arange(len(xy)) * 8
    half = len(xy) // 2
    return [
        [*part.T.tolist(), when.tolist()]
        for part, when in zip((xy[:half], xy[half:]), (times[:half], times[half:]), strict=True)
    ]


@pytest.fixture
def drawn() -> Callable[..., Any]:
    return hand_drawn


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
