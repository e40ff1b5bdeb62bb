"""A page and its network as one file of HTML, which needs nothing else and asks no network for anything."""

from __future__ import annotations

import gzip
import hashlib
import html
import json
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "html"
IMPORT = re.compile(r'^(?:import|export) [^;]*?"[^"]*?(\w+\.js)";$|^import "[^"]*?(\w+\.js)";$', re.M)
STYLE, SCRIPT = '<link rel="stylesheet" href="style.css">', '<script type="module" src="main.js"></script>'
CHARSET = '<meta charset="utf-8">'


def single_file(page: Path, description: Mapping[str, Any], *, notice: str, **packed: bytes) -> str:
    """The text of the file.

    page: the folder of index.html, style.css and the modules of the page; description: `Description` of its engine.js;
    notice: the terms of what others wrote; packed: what `start` of html/worker.js gets, by its names there: `library`
    and `wasm`, which are ONNX Runtime Web, `network`, ONNX that takes strokes, and what else the page offers.
    """
    style, boot = (path.read_text("utf-8") for path in (page / "style.css", SCRIPTS / "boot.js"))
    folders = (SCRIPTS, page)
    content = [
        f"<!--\n{html.escape(notice)}\n-->",
        _json("description", description),
        _json("page-modules", modules("single_file.js", folders)),
        _json("worker-modules", modules("worker.js", folders)),
        *(_packed(name, data) for name, data in packed.items()),
        f"<script>{boot}</script>",
    ]
    policy = (
        f"default-src 'none'; script-src {_hash(boot)} 'wasm-unsafe-eval' blob:; worker-src blob:; "
        f"style-src {_hash(style)}; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    index = (page / "index.html").read_text("utf-8")
    for old, new in {
        CHARSET: f'{CHARSET}\n<meta http-equiv="Content-Security-Policy" content="{policy}">',
        STYLE: f"<style>{style}</style>",
        SCRIPT: "",
        "</body>": "\n".join([*content, "</body>"]),
    }.items():
        assert index.count(old) == 1, old
        index = index.replace(old, new)
    return index


def modules(entry: str, folders: Iterable[Path]) -> list[tuple[str, str]]:
    """Name and source of a module and of all that it imports, each after those that it imports.

    Modules are found by their names, which differ in all folders.
    """
    found: dict[str, str] = {}

    def add(name: str) -> None:
        (path,) = (folder / name for folder in folders if (folder / name).exists())
        source = path.read_text("utf-8")
        for match in IMPORT.finditer(source):
            if (other := match[1] or match[2]) not in found:
                add(other)
        found[name] = source

    add(entry)
    return list(found.items())


def _json(name: str, content: Any) -> str:
    """JSON that a script finds by its name. No text in it can end the element that holds it."""
    text = json.dumps(content, ensure_ascii=True).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _packed(name: str, content: bytes) -> str:
    """Bytes that a script finds by their name, as gzip in base64."""
    packed = b64encode(gzip.compress(content, compresslevel=9, mtime=0)).decode()
    return f'<script type="application/octet-stream" id="{name}">{packed}</script>'


def _hash(text: str) -> str:
    """What a content security policy calls an inline script or style."""
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
