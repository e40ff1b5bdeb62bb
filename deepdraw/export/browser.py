"""Opens a page from disk in a headless Chromium that is cut off from every network."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path
from typing import Any

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
LOADING_S = 120  # until the page has its network
INSTALL = "pip install playwright && playwright install --with-deps chromium"


class OfflinePage:
    """A page from disk in a browser without a network. `page` is that of playwright.

    complaints: all that the page wrote to its console, its errors, and what it asked any network for. Raises ValueError
    where there is no playwright or no Chromium. `close` ends the browser.
    """

    def __init__(self, path: Path, *, width: int = 1280, height: int = 900) -> None:
        self.complaints: list[str] = []
        self._playwright = _library().sync_playwright().start()
        try:
            own = self._playwright.chromium.executable_path
            browser = self._playwright.chromium.launch(executable_path=find_browser(own), args=["--no-sandbox"])
            context = browser.new_context(viewport={"width": width, "height": height}, offline=True)
            self.page = context.new_page()
            self.page.on("console", lambda message: self.complaints.append(message.text))
            self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
            self.page.on("request", self._asked)
            self.page.goto(path.resolve().as_uri(), wait_until="load")
            self.page.wait_for_selector("body:not(.loading), #status:not(:empty)", timeout=1000 * LOADING_S)
        except BaseException:
            self.close()
            raise

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file:", "blob:", "data:")):
            self.complaints.append(f"asked for {request.url[:80]}")

    def close(self) -> None:
        self._playwright.stop()


def check_browser() -> None:
    """Raise ValueError, in one line, where there is no playwright or no Chromium."""
    with _library().sync_playwright() as playwright:
        find_browser(playwright.chromium.executable_path)


def _library() -> Any:
    try:
        return importlib.import_module("playwright.sync_api")
    except ImportError as error:
        raise ValueError(f"playwright, which opens the page to prove it, is not installed: {INSTALL}") from error


def find_browser(own: str) -> str:
    """The path of a Chromium: that of playwright, or one that is installed on this machine."""
    found = own if os.path.exists(own) else next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise ValueError(f"there is no Chromium, which opens the page to prove it: {INSTALL}")
    return found
