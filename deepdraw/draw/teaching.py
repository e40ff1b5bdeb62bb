"""Teaching by the page: a new class by one to five drawings, or by its name alone, joins the guesses at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Annotated, Any

from msgspec import Meta, Struct
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deepdraw.draw.bodies import Drawing, check_points, read_body
from deepdraw.draw.network import Busy, Network
from deepdraw.drawings import parse_strokes
from deepdraw.fewshot import MOST_SHOTS
from deepdraw.inference import Recognizer, Taught, TaughtRecognizer, learn_known
from deepdraw.models import reads_names
from deepdraw.runtime import normal_name, shown

MOST_WAITING = 8  # requests to teach or forget that may wait; one more is refused at once
Name = Annotated[str, Meta(min_length=1, max_length=200)]


class Teach(Struct, forbid_unknown_fields=True):
    """A class to teach: its drawings, as those that are guessed; none where a text tower reads its name."""

    name: Name
    drawings: Annotated[list[Drawing], Meta(max_length=MOST_SHOTS)]


class Forget(Struct, forbid_unknown_fields=True):
    """A class that was taught, to be removed."""

    name: Name


class Teacher:
    """Teaches one network, one class after the other, in threads other than that of its guesses.

    The classes trained on are learned from once, with the first class that is drawn: that takes as long as the network
    needs for 40 drawings of each.
    """

    def __init__(self, network: Network) -> None:
        self.network = network
        self._known = None if self.taught is None else self.taught.known
        self._lock, self._waiting = asyncio.Lock(), 0

    @property
    def taught(self) -> Taught | None:
        """What was taught so far; None where nothing was."""
        recognizer = self.network.recognizer
        return recognizer.taught if isinstance(recognizer, TaughtRecognizer) else None

    def describe(self) -> dict[str, Any]:
        """What the page says of it: `taught` and `readsNames` of `Description` in `page/engine.js`."""
        taught = self.taught
        counts = [] if taught is None else taught.labels.bincount(minlength=len(taught.names)).tolist()
        names = () if taught is None else taught.names
        return {
            "taught": [{"name": shown(name), "drawings": n} for name, n in zip(names, counts, strict=True)],
            "readsNames": reads_names(self.network.recognizer.trained.model),
        }

    async def change(self, how: Callable[..., None], *arguments: Any) -> None:
        """Run `teach` or `forget` after those that came before. Raises Busy where too many wait, and what it raises."""
        if self._waiting >= MOST_WAITING:
            raise Busy(f"{MOST_WAITING} classes wait to be taught already: ask again in a moment")
        self._waiting += 1
        try:
            async with self._lock:
                await asyncio.to_thread(how, *arguments)
        finally:
            self._waiting -= 1

    def teach(self, name: str, drawings: Sequence[Any]) -> None:
        """Add a class, or replace one of that name. Raises ValueError, in one line, where it cannot be taught."""
        name, taught = normal_name(name).strip(), self.taught
        recognizer = self.network.recognizer if taught is None or name not in taught.names else self._without(name)
        if not drawings:
            self.network.recognizer = recognizer.teach([name])
            return
        if not isinstance(recognizer, TaughtRecognizer) and self._known is None:
            self._known = learn_known(recognizer.trained, num_workers=0)
        strokes = [parse_strokes(drawing) for drawing in drawings]
        self.network.recognizer = recognizer.teach({name: strokes}, self._known)

    def forget(self, name: str) -> None:
        """Remove a class. Raises ValueError where it was not taught."""
        if self.taught is None:
            raise ValueError(f"class {shown(name)!r} was not taught: teach it first")
        self.network.recognizer = self._without(name)

    def _without(self, name: str) -> Recognizer:
        """The recognizer without a class; the network's own head guesses where that was the last one."""
        recognizer = self.network.recognizer
        assert isinstance(recognizer, TaughtRecognizer)
        left = recognizer.forget(name)
        return left if left.taught.names else Recognizer(left.trained)

    def file(self) -> bytes:
        """The file of what was taught, as `TaughtRecognizer.save` writes it. Raises ValueError where nothing was."""
        taught = self.taught
        if taught is None:
            raise ValueError("no class was taught yet: draw one and name it first")
        buffer = BytesIO()
        taught.write(buffer, self.network.recognizer.trained)
        return buffer.getvalue()


def teaching_routes(teachers: Sequence[Teacher]) -> list[Route]:
    """POST /networks/NUMBER/teach and /forget, and GET /networks/NUMBER/taught.npz, the file of what was taught."""

    def chosen(request: Request) -> Teacher:
        number = request.path_params["number"]
        if number >= len(teachers):
            raise HTTPException(404, f"there is no network {number}")
        return teachers[number]

    async def teach(request: Request) -> Response:
        teacher, body = chosen(request), await read_body(request, Teach)
        for drawing in body.drawings:
            check_points(drawing)
        await teacher.change(teacher.teach, body.name, body.drawings)
        return Response(status_code=204)

    async def forget(request: Request) -> Response:
        teacher, body = chosen(request), await read_body(request, Forget)
        await teacher.change(teacher.forget, body.name)
        return Response(status_code=204)

    async def save(request: Request) -> Response:
        content = await asyncio.to_thread(chosen(request).file)
        headers = {"Content-Disposition": 'attachment; filename="taught.npz"'}
        return Response(content, media_type="application/octet-stream", headers=headers)

    return [
        Route("/networks/{number:int}/teach", teach, methods=["POST"]),
        Route("/networks/{number:int}/forget", forget, methods=["POST"]),
        Route("/networks/{number:int}/taught.npz", save),
    ]
