"""What the page sends: JSON of a known form, whose size is bounded before it is read."""

from __future__ import annotations

import asyncio
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request

MOST_BYTES = 1 << 20  # of the body of a request
MOST_SECONDS = 20  # until the body of a request is there
MOST_STROKES, MOST_POINTS = 1000, 20_000  # of a drawing
FARTHEST = 1e6  # a coordinate, in thousandths of the canvas

Form = TypeVar("Form", bound=Struct)
Row = Annotated[list[Annotated[float, Meta(ge=-FARTHEST, le=FARTHEST)]], Meta(min_length=1, max_length=MOST_POINTS)]
Times = Annotated[list[Annotated[float, Meta(ge=0, le=1e12)]], Meta(min_length=1, max_length=MOST_POINTS)]
Drawing = Annotated[list[tuple[Row, Row, Times]], Meta(min_length=1, max_length=MOST_STROKES)]


class Guess(Struct, forbid_unknown_fields=True):
    """A drawing to guess, in the raw form of Quick, Draw!: x, y and milliseconds of each stroke."""

    drawing: Drawing


class Named(Struct, forbid_unknown_fields=True):
    """A drawing with the name of what was drawn."""

    name: Annotated[str, Meta(min_length=1, max_length=200)]
    drawing: Drawing


def check_points(drawing: Drawing) -> None:
    """Raise ValueError for a drawing of too many points."""
    if sum(len(x) for x, _, _ in drawing) > MOST_POINTS:
        raise ValueError(f"the drawing has more than {MOST_POINTS:,} points: undo a stroke, or clear it")


async def read_body(request: Request, form: type[Form]) -> Form:
    """The body of a request as `form`.

    Raises HTTPException with one line: 415 for what is no JSON, 413 for a body of more than `MOST_BYTES`, 408 for one
    that does not come, 400 for JSON of another form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415, "send JSON, as application/json")
    try:
        content = await asyncio.wait_for(_read(request), MOST_SECONDS)
    except asyncio.TimeoutError as error:
        raise HTTPException(408, f"the request did not end within {MOST_SECONDS} seconds", _CLOSE) from error
    try:
        return msgspec.json.decode(content, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError) as error:
        raise HTTPException(400, f"this is no request of the page ({' '.join(str(error).split())[:200]})") from error


_CLOSE = {"Connection": "close"}  # the rest of the body is not read


async def _read(request: Request) -> bytes:
    too_large = HTTPException(413, f"a request may have {MOST_BYTES:,} bytes: draw less at once", _CLOSE)
    length = request.headers.get("content-length", "")
    if length.isdecimal() and (len(length) > 15 or int(length) > MOST_BYTES):
        raise too_large
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MOST_BYTES:
            raise too_large
    return bytes(content)
