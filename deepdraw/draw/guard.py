"""Lets only the page itself talk to the server: other hosts, other origins and other pages are refused.

A page of a stranger, open in the same browser, can send requests to 127.0.0.1. It cannot choose their Host and Origin:

- Host must be a name of this machine. A name of the stranger's that resolves to 127.0.0.1 (DNS rebinding) is none.
- Origin, where a browser sends one, must be this server. The port counts: another server of this machine is a stranger.
"""

from __future__ import annotations

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OWN_HOST = re.compile(r"(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?", re.IGNORECASE)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware: refuses foreign requests with status 403, and gives every answer the headers of a safe page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        reason = why_foreign(Headers(scope=scope)) if scope["type"] == "http" else "only HTTP is answered"
        answer = self._app if reason is None else JSONResponse({"error": reason}, 403, {"Connection": "close"})
        await answer(scope, receive, send_safely)


def why_foreign(headers: Headers) -> str | None:
    """Why a request does not come from the page itself; None if it may."""
    hosts, origins = headers.getlist("host"), headers.getlist("origin")
    if len(hosts) != 1 or not OWN_HOST.fullmatch(hosts[0]):
        return "this page is served to this machine alone: open it as http://127.0.0.1 or http://localhost"
    if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
        return "another page may not ask this server: open its own page"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and "origin" in headers:
        return "another page may not ask this server: open its own page"
    if headers.get("upgrade", "").lower() == "websocket":
        return "only HTTP is answered"
    return None
