"""The command `python -m deepdraw.draw ckpt=RUN`: a page where one draws and watches the network guess."""

from __future__ import annotations

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec

from omegaconf import MISSING

from deepdraw.runtime import CheckpointOptions, existing_file, possible_folder, run_command


@dataclass
class Options(CheckpointOptions):
    """The options of the command, each as key=value. Raises ValueError for impossible values."""

    ckpt: str = field(
        default=MISSING,
        metadata={"help": "the directory of a run, or its best.pt; `python train.py` trains one on doodles"},
    )
    classes: str | None = field(
        default=None, metadata={"help": "a file of classes that were taught to ckpt, to be guessed beside its own"}
    )
    root: str | None = field(
        default=None,
        metadata={"help": "where the data of ckpt are, to teach beside; default: where training read them"},
    )
    other: str | None = field(default=None, metadata={"help": "a second checkpoint, which guesses beside the first"})
    collect: str | None = field(
        default=None, metadata={"help": "a folder where drawings are kept with their names, which data=folder reads"}
    )
    port: int = field(default=0, metadata={"help": "of 127.0.0.1; default: a free one"})
    open: bool = field(default=False, metadata={"help": "open the page in the browser"})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes is not None:
            existing_file(self.classes, "classes=")
        if self.collect is not None:
            possible_folder(self.collect, "collect=")
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
    from deepdraw.draw import Collection, Network, make_app
    from deepdraw.draw.server import PageServer, listen
    from deepdraw.inference import Recognizer, open_recognizer, rebuild

    with listen(options.port) as listening:
        trained = rebuild(
            options.ckpt, device=options.device, precision=options.precision, trust=options.trusted,
            images=options.images, root=options.root,
        )  # fmt: skip
        networks = [Network(open_recognizer(trained, options.classes))]
        if options.other is not None:
            other = rebuild(options.other, device=options.device, precision=options.precision, trust=options.trusted)
            networks.append(Network(Recognizer(other)))
        collection = None if options.collect is None else Collection(possible_folder(options.collect, "collect="))
        PageServer(make_app(networks, collection), listening, open_browser=options.open).run()


if __name__ == "__main__":
    sys.exit(main())
