"""The routes of the page: its files, what the networks are, and their guesses."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from deepdraw.draw.alike import Alike, Look
from deepdraw.draw.bodies import Guess, Named, check_points, read_body
from deepdraw.draw.collection import Collection
from deepdraw.draw.description import PAGE, describe
from deepdraw.draw.guard import Guard
from deepdraw.draw.network import Answer, Busy, Network
from deepdraw.draw.teaching import Teacher, teaching_routes
from deepdraw.drawings import POINT_NUMBERS
from deepdraw.runtime import shown


def make_app(networks: Sequence[Network], collection: Collection | None = None) -> Starlette:
    """The page and its networks, which end with it.

    GET /networks: a description of each; POST /networks/NUMBER/guess: what one makes of a drawing. The form of both is
    that of `page/engine.js`; `teaching_routes` are there as well. POST /networks/NUMBER/alike: the drawings of its
    training that look most alike. POST /collect, where there is a collection: keep a drawing with its name.

    Every refusal is JSON, {"error": one line}.
    """

    teachers = [Teacher(network) for network in networks]
    alikes = [Alike(network) for network in networks]

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        for network in networks:
            network.close()

    async def describe_all(request: Request) -> Response:
        collects = {"collects": collection is not None}
        return _json([describe(one.network.recognizer) | one.describe() | collects for one in teachers])

    async def guess(request: Request) -> Response:
        network = _numbered(networks, request)
        body = await read_body(request, Guess)
        check_points(body.drawing)
        return _json(as_plain(await asyncio.wrap_future(network.guess(body.drawing))))

    async def find_alike(request: Request) -> Response:
        alike = alikes[networks.index(_numbered(networks, request))]
        body = await read_body(request, Guess)
        check_points(body.drawing)
        return _json({"drawings": [_look(look) for look in await asyncio.to_thread(alike.find, body.drawing)]})

    async def collect(request: Request) -> Response:
        if collection is None:
            raise HTTPException(404, "nothing is collected: start the page with collect=DIR")
        body = await read_body(request, Named)
        check_points(body.drawing)
        return _json({"kept": await asyncio.to_thread(collection.keep, body.name, body.drawing)})

    return Starlette(
        routes=[
            Route("/networks", describe_all),
            Route("/networks/{number:int}/guess", guess, methods=["POST"]),
            *teaching_routes(teachers),
            Route("/networks/{number:int}/alike", find_alike, methods=["POST"]),
            Route("/collect", collect, methods=["POST"]),
            Mount("/", StaticFiles(directory=PAGE, html=True)),
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: _refuse, ValueError: _refuse, Busy: _refuse, Exception: _fail},
        lifespan=lifespan,
    )


def as_plain(answer: Answer) -> dict[str, Any]:
    """An answer as JSON: `Guess` of `page/engine.js`, but the picture as a PNG in base64."""
    return {
        "names": [shown(name) for name in answer.names],
        "probabilities": answer.probabilities,
        "seen": {
            "picture": None if answer.image is None else _png(answer.image),
            "points": None if answer.points is None else _points(answer.points),
        },
    }


def _png(image: NDArray[np.uint8]) -> str:
    """A PNG of an image [size, size] or [3, size, size], in base64."""
    import cv2

    colors = image if image.ndim == 2 else np.ascontiguousarray(image.transpose(1, 2, 0)[..., ::-1])
    return base64.b64encode(cv2.imencode(".png", colors)[1].tobytes()).decode()


def _points(points: NDArray[np.float32]) -> list[list[float]]:
    """x, y and whether a stroke starts, of every point that is no padding."""
    column = POINT_NUMBERS.index
    present = points[points[:, column("is_point")] > 0]
    return present[:, [column("x"), column("y"), column("is_start")]].round(4).tolist()


def _look(look: Look) -> dict[str, Any]:
    return {"name": shown(look.name), "strokes": [stroke.T.tolist() for stroke in look.strokes]}


def _numbered(networks: Sequence[Network], request: Request) -> Network:
    number = request.path_params["number"]
    if number >= len(networks):
        raise HTTPException(404, f"there is no network {number}")
    return networks[number]


def _json(content: Any) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


async def _refuse(request: Request, error: Exception) -> Response:
    if isinstance(error, HTTPException):
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)
    return JSONResponse({"error": shown(error)}, 503 if isinstance(error, Busy) else 422)


async def _fail(request: Request, error: Exception) -> Response:
    """For the browser one line; the server prints the traceback in its terminal."""
    return JSONResponse({"error": "the server failed: its terminal says why"}, 500)
