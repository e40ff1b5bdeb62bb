"""Which files are read as drawings, by their suffixes, and which look like drawings but are not read here."""

from __future__ import annotations

import re
from pathlib import Path

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".ico", ".tif", ".tiff", ".pbm", ".pgm", ".ppm", ".pnm"),
)
SVG_SUFFIXES = (".svg", ".svgz")
DRAWING_SUFFIXES = (*IMAGE_SUFFIXES, *SVG_SUFFIXES)  # one drawing a file
OTHER_IMAGES = {".avif", ".heic", ".heif", ".jp2", ".jxl", ".pdf", ".eps", ".ai", ".psd", ".tga", ".xcf"}
ARCHIVES = {".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zip", ".zst"}
CONSOLE = re.compile(r"^full_(simplified|raw|binary|numpy_bitmap)_|^sketchrnn_")  # folders of the bucket


def word_of(path: Path) -> str:
    """The category after which a file of strokes is named: `cat` of `cat.ndjson`, `cat.bin.gz`, `full_raw_cat.ndjson`.

    The bucket's console names a download after its folders: `full/simplified/cat.ndjson` becomes
    `full_simplified_cat.ndjson`.
    """
    suffixes = "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix
    return CONSOLE.sub("", path.name.removesuffix(suffixes)).removesuffix(".full")  # sketch-rnn's cat.full.npz


def is_svg(name: str) -> bool:
    """Whether a file of this name is an SVG file, or a gzip of one."""
    return name.lower().endswith(SVG_SUFFIXES)


def reason_not_read(path: Path) -> str | None:
    """What to do with a file that may hold drawings, but in a form that is not read here; None for any other file."""
    suffix = path.suffix.lower()
    if suffix in OTHER_IMAGES:
        return "is an image of a form that is not read: convert it to PNG or take it away"
    return "is an archive: unpack it or take it away" if suffix in ARCHIVES else None
