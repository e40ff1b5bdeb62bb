"""What is first needed when all work is done, tried before it begins: the page, pictures, and places of files."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from deepdraw.report.page import page_template
from deepdraw.runtime import WRITTEN, check_writable

FOLDERS = ("evaluations", "plots")  # that pictures and results are written into
OF_PICTURES = ("matplotlib", "sklearn")  # which a result does without


def try_report(run: Path) -> None:
    """Try what writing the report of a run needs. Pictures that cannot be drawn are told of in a line.

    Raises ValueError, in one line, where a folder stands in the place of a file or the page cannot be made; OSError
    where a folder cannot be written.
    """
    page_template()
    for name in WRITTEN:
        if (run / name).is_dir():
            raise ValueError(f"{run / name} is a folder, where results are written to a file: move it elsewhere")
    for folder in (run / name for name in FOLDERS):
        if folder.exists():
            check_writable(folder)
    for library in OF_PICTURES:
        if find_spec(library) is None:
            print(f"warning: {library} is not installed, and pictures that need it will be missing: pip install it")
