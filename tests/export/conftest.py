"""A page in one file, with a small network that was trained on doodles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deepdraw.draw import PAGE
from deepdraw.export.__main__ import main
from deepdraw.export.browser import check_browser
from deepdraw.export.html_format import ONNXRUNTIME_WEB
from deepdraw.export.single_file import SCRIPTS

DOODLES = ["data=doodles", "data.batch_size=64", "train.epochs=1", "train.limit_steps=100", "optimizer.lr=5e-3"]
DOODLES += ["backbone.image_size=32", "backbone.options.channels=[16,32,64,64]"]


@pytest.fixture(scope="session")
def doodle_run(train_once, tmp_path_factory) -> Path:
    """The run of a small network that names most doodles of its 40 classes rightly."""
    folder = tmp_path_factory.mktemp("doodles")
    with pytest.MonkeyPatch.context() as monkeypatch:
        return train_once(monkeypatch, folder / "run", *DOODLES, f"data.root={folder / 'data'}")


@pytest.fixture(scope="session")
def browser() -> None:
    try:
        check_browser()
    except ValueError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def library() -> None:
    """ONNX Runtime Web is fetched by .ci/run, not by tests."""
    if not ONNXRUNTIME_WEB.path.exists():
        pytest.skip(f"{ONNXRUNTIME_WEB.path} is not there: any export with format=html fetches it")


@pytest.fixture(scope="session")
def file(doodle_run, tmp_path_factory, browser, library) -> Path:
    """The classifier of `doodle_run` in one file, alone in its folder but for the proof."""
    path = tmp_path_factory.mktemp("html") / "doodles.html"
    main([f"ckpt={doodle_run}", f"out={path}", "format=html", "drawings=20"])
    return path


@pytest.fixture
def script(chromium) -> Callable[..., Any]:
    """Run JavaScript, in which the modules of the page are imported as ./NAME.js, on an argument."""
    page = chromium.new_page()
    page.route("**/*", lambda route: route.fulfill(**source(route.request.url.rpartition("/")[2])))
    page.goto("http://deepdraw.test/")
    return page.evaluate


def source(name: str) -> dict[str, str]:
    """What a web server would answer for a module of the page."""
    if not name:
        return {"body": "", "content_type": "text/html"}
    (path,) = (folder / name for folder in (SCRIPTS, PAGE) if (folder / name).exists())
    return {"body": path.read_text("utf-8"), "content_type": "text/javascript"}
