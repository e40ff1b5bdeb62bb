"""What the page is made of, and what it says of a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from deepdraw.runtime import shown

if TYPE_CHECKING:
    from deepdraw.inference import Recognizer

PAGE = Path(__file__).parent / "page"  # index.html and what it needs


def describe(recognizer: Recognizer) -> dict[str, Any]:
    """What the page says of a network: `Description` of `page/engine.js`."""
    trained = recognizer.trained
    return {
        "title": shown(trained.model.backbone.name),
        "source": shown(trained.path),
        "names": [shown(name) for name in recognizer.classes],
        "sees": list(trained.sees),
        "imageSize": trained.rasterizer.size if "pixels" in trained.sees else None,
    }
