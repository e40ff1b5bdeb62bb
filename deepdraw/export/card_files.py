"""Writes the model card of an export: in a folder as its README.md, beside a file under its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from deepdraw.drawings import Rasterizer
from deepdraw.export.background import Background
from deepdraw.export.card import Sheet, model_card
from deepdraw.export.format import Format
from deepdraw.export.proof import Proof
from deepdraw.export.sample import BATCH, Sample
from deepdraw.inference import Trained
from deepdraw.report import may_fail, plot_sheet
from deepdraw.runtime import write_text

CARD, PICTURE = ".md", ".png"  # behind the name of a file
DRAWN = 4 * BATCH  # drawings from which the sheet chooses the most confident mistakes
SIZE = 160  # pixels of one of them


def write_card(
    form: Format, trained: Trained, background: Background, sample: Sample, proof: Proof, place: Path, out: Path
) -> None:
    """Write the model card of an export, and a picture of drawings of val, each with what the network reads in it.

    place: the folder or file as it is written; out: the name that it gets.
    """
    is_folder = not form.suffix
    card = place / "README.md" if is_folder else out.with_name(f"{out.name}{CARD}")
    picture = place / "drawings.png" if is_folder else out.with_name(f"{out.name}{PICTURE}")
    with may_fail(picture.name):
        _plot(trained, sample, picture)
    sheet = Sheet(
        usage=form.usage(trained, out.name),
        proof=proof.lines(),
        license=form.license,
        library=form.library,
        picture=picture.name if picture.exists() else None,
    )
    write_text(card, model_card(trained, background, sheet))


@torch.inference_mode()
def _plot(trained: Trained, sample: Sample, out: Path) -> None:
    drawn = trained.rasterizer
    width = max(0.5, drawn.line_width * SIZE / drawn.size)
    rasterizer = Rasterizer(SIZE, width, drawn.margin, drawn.polarity, drawn.images)
    images, labels, logits = [], [], []
    for examples in sample:
        seen = examples.images if examples.drawings is None else rasterizer(examples.drawings)
        assert seen is not None  # a network that sees strokes has drawings of strokes
        images.append(seen)
        labels.append(examples.labels)
        logits.append((trained.model(examples.inputs) / (trained.temperature or 1.0)).numpy())
        if BATCH * len(images) >= DRAWN:
            break
    plot_sheet(np.concatenate(images), np.concatenate(labels), np.concatenate(logits), trained.classes, out)
