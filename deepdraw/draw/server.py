"""Serves the page on this machine alone, until it is interrupted."""

from __future__ import annotations

import asyncio
import socket
import webbrowser
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

HOST = "127.0.0.1"
MOST_SECONDS = 20  # until the head of a request is there


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


class ImpatientProtocol(H11Protocol):
    """Closes a connection on which no request begins: uvicorn would keep it for as long as the other side likes."""

    _former: Any = None  # the request that was answered when the connection was last looked at

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.loop.call_later(MOST_SECONDS, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        is_waiting = self.cycle is None or self.cycle.response_complete
        if is_waiting and self.cycle is self._former:
            self.transport.close()
        else:
            self._former = self.cycle
            self.loop.call_later(MOST_SECONDS, self._look)


class PageServer(uvicorn.Server):
    """Serves an ASGI app on a socket of `listen`, and says where the page is once it can be opened.

    `run` ends on Ctrl-C or SIGTERM, which then has its usual effect, or once `should_exit` is set.
    """

    def __init__(self, app: Any, listening: socket.socket, *, open_browser: bool = False) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=ImpatientProtocol,
                ws="none",
                lifespan="on",
                log_level="error",  # whatever strangers send fills no terminal
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
