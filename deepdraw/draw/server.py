"""Serves the page on this machine alone, until it is interrupted."""

from __future__ import annotations

import socket
import webbrowser
from typing import Any

import uvicorn

HOST = "127.0.0.1"


def listen(port: int) -> socket.socket:
    """A socket of this machine that listens on `port`, 0 for a free one. Raises ValueError where it is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((HOST, port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        raise ValueError(f"port={port} cannot be used ({error.strerror}): choose another, or leave it out") from error
    return listening


class PageServer(uvicorn.Server):
    """Serves an ASGI app on a socket of `listen`, and says where the page is once it can be opened.

    `run` ends on Ctrl-C or SIGTERM, which then has its usual effect, or once `should_exit` is set.
    """

    def __init__(self, app: Any, listening: socket.socket, *, open_browser: bool = False) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="h11",
                ws="none",
                lifespan="on",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
            )
        )
        self.address = f"http://{HOST}:{listening.getsockname()[1]}"
        self._listening, self._open_browser = listening, open_browser

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        super().run(sockets=[self._listening])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(f"draw at {self.address} (Ctrl-C ends it)", flush=True)
        if self._open_browser:
            webbrowser.open_new_tab(self.address)
