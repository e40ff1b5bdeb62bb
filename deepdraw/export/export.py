"""One export: written beside its place, held to the checkpoint on drawings of val, and only then given its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from omegaconf import DictConfig

from deepdraw.config import expand_homes, make
from deepdraw.export.background import read_background
from deepdraw.export.card_files import CARD, PICTURE, write_card
from deepdraw.export.format import Format
from deepdraw.export.proof import Proof, prove
from deepdraw.export.sample import draw_samples
from deepdraw.inference import Trained, rebuild
from deepdraw.runtime import (
    best_checkpoint,
    expand_home,
    results_directory,
    scratch_folder,
    shown,
    whole_file,
    whole_folder,
    write_json,
)

PROOF = ".proof.json"  # behind the name of an export
CALIBRATION = 256  # drawings by which a format may choose scales


def export(config: DictConfig) -> tuple[Path, Proof]:
    """Export as a config of `conf/export.yaml` says: the file or folder that was written, and its proof.

    Raises ValueError, in one line, where it cannot be, or where the export differs from its checkpoint; then nothing is
    left of it.
    """
    expand_homes(config)
    form = make(config.format, "format")
    if not isinstance(form, Format):
        raise ValueError(f"format._target_={config.format._target_} is no deepdraw.export.Format: choose a class of it")
    form.license = config.license
    out = _place(config, form)
    trained = rebuild(config.ckpt, device="cpu", precision="fp32", trust=config.trust, root=config.data.root)
    return out, write_export(form, trained, out, config.drawings)


def write_export(form: Format, trained: Trained, out: Path, drawings: int | None) -> Proof:
    """Write a classifier, which is on the CPU in fp32, to `out`, with its model card, and its proof beside it.

    drawings: of val for the proof; None for all. Raises ValueError as `export` does.
    """
    source = trained.source()
    if "val" not in source.splits:
        raise ValueError("the data of ckpt have no split val, with whose drawings an export is proved: give data.root=")
    sample, calibration = draw_samples(trained, source.split("val"), drawings, CALIBRATION)
    background = read_background(trained)
    form.check(trained, sample)
    with _nothing_beside_on_failure(out), _new_place(out, is_folder=not form.suffix) as place:
        form.write(trained, place, calibration)
        try:
            proof = prove(form.runner(trained, place), trained, sample, form.precision)
        finally:
            form.close()
        proof.check()
        write_card(form, trained, background, sample, proof, place, out)
        form.finish(trained, place, proof)
        write_json(out.with_name(f"{out.name}{PROOF}"), proof.facts())
    return proof


def _place(config: DictConfig, form: Format) -> Path:
    """Where the export goes. Raises ValueError where something is there, or nothing can be."""
    checkpoint = best_checkpoint(config.ckpt)
    if config.out is not None:
        out = Path(expand_home(config.out))
    else:
        suffix = form.suffix or f"_{type(form).__name__.lower()}"
        out = results_directory(checkpoint, None) / "exports" / f"{checkpoint.stem}{suffix}"
    if form.suffix and out.suffix != form.suffix:
        raise ValueError(f"out={shown(out)} is to be a file of this format: name it {shown(out.name)}{form.suffix}")
    if os.path.lexists(out):
        raise ValueError(f"out={shown(out)} is there already: choose another, or delete it")
    return out


@contextmanager
def _nothing_beside_on_failure(out: Path) -> Iterator[None]:
    """Remove what was written beside an export where the block ends with an exception."""
    try:
        yield
    except BaseException:
        for suffix in (PROOF, CARD, PICTURE):
            out.with_name(f"{out.name}{suffix}").unlink(missing_ok=True)
        raise


@contextmanager
def _new_place(out: Path, *, is_folder: bool) -> Iterator[Path]:
    """A place to write a file or folder to, which gets the name `out` if the block ends without an exception."""
    if is_folder:
        with whole_folder(out) as place:
            yield place
        return
    with scratch_folder(out) as folder:
        place = folder / out.name
        yield place
        with whole_file(out) as file, open(place, "rb") as written:
            shutil.copyfileobj(written, file)
