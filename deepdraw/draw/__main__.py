"""The command `python -m deepdraw.draw ckpt=RUN`: a page where one draws and watches the network guess."""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from omegaconf import MISSING

from deepdraw.runtime import CheckpointOptions, run_command


@dataclass
class Options(CheckpointOptions):
    """The options of the command, each as key=value. Raises ValueError for impossible values."""

    ckpt: str = field(
        default=MISSING,
        metadata={"help": "the directory of a run, or its best.pt; `python train.py` trains one on doodles"},
    )
    port: int = field(default=0, metadata={"help": "of 127.0.0.1; default: a free one"})
    open: bool = field(default=False, metadata={"help": "open the page in the browser"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port={self.port} is none: give 1 to 65535, or 0 for a free one")
        if find_spec("starlette") is None or find_spec("uvicorn") is None:
            raise ValueError("deepdraw.draw needs Starlette and uvicorn: pip install 'deepdraw[draw]'")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; bad input ends it with one line."""
    line = "python -m deepdraw.draw ckpt=RUN [key=value ...]"
    return run_command(Options, line, run, arguments, interrupted="the page is closed")


def run(options: Options) -> None:
    """Serve the page until it is interrupted."""
    from deepdraw.draw import Network, make_app
    from deepdraw.draw.server import PageServer, listen
    from deepdraw.inference import Recognizer, rebuild

    with listen(options.port) as listening:
        trained = rebuild(
            options.ckpt, device=options.device, precision=options.precision, trust=options.trusted,
            images=options.images,
        )  # fmt: skip
        PageServer(make_app([Network(Recognizer(trained))]), listening, open_browser=options.open).run()


if __name__ == "__main__":
    sys.exit(main())
