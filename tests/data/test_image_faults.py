"""Images that are light on dark, or blank, are told of once, wherever images come in."""

import io
import logging
import tarfile

import cv2
import numpy as np
import pytest

from deepdraw.data import open_folder
from deepdraw.data.files import Folder
from deepdraw.data.tars import ImageTars
from deepdraw.drawings import ImageCheck, Rasterizer
from deepdraw.inference.inputs import draw


def png(number: int, fault: str | None) -> bytes:
    image = np.full((64, 64), 255, np.uint8)
    if fault != "blank":
        cv2.line(image, (5, 5 + number), (58, 50), 0, 3)
    image[0, 0] -= number  # so that no two are copies
    if fault == "purple":
        image = np.where(image[..., None] < 128, np.uint8([0, 220, 250]), np.uint8([140, 40, 90]))  # yellow on it
    return cv2.imencode(".png", 255 - image if fault == "light on dark" else image)[1].tobytes()


def folder(root, fault):
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for number in range(10):
            (root / name / f"{number}.png").write_bytes(png(number + 20 * (name == "dog"), fault))
    return root


def tars(root, fault):
    for split in ("train", "test"):
        (root / split).mkdir(parents=True)
        with tarfile.open(root / split / "0.tar", "w") as tar:
            for number in range(20):
                for suffix, content in (("png", png(number, fault)), ("cls", b"cat" if number % 2 else b"dog")):
                    member = tarfile.TarInfo(f"{number}.{suffix}")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return root


def evaluated(root, fault):
    open_folder(folder(root, fault))


def trained(root, fault):
    Folder(str(folder(root, fault)))


def from_tars(root, fault):
    source = ImageTars(str(tars(root, fault)))
    for split in ("train", "val", "test"):
        source.split(split)


def recognized(root, fault):
    check, files = ImageCheck(), sorted(folder(root, fault).rglob("*.png"))
    for start in (0, 10):
        draw(files[start : start + 10], Rasterizer(16), start, check)


@pytest.mark.parametrize("bring_in", [evaluated, trained, from_tars, recognized])
@pytest.mark.parametrize("fault", ["light on dark", "purple", "blank", None])
def test_a_fault_is_told_once_with_its_fix(tmp_path, monkeypatch, caplog, bring_in, fault):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bring_in(tmp_path / "images", fault)
    records = [record for record in caplog.records if record.name == "deepdraw.drawings.image_check"]
    told = [record.getMessage() for record in records]
    if fault is None:
        assert told == []
        return
    (line,) = told
    assert records[0].levelno == logging.WARNING
    assert str(tmp_path / "images") in line
    assert ("blank" in line) if fault == "blank" else ("light on dark" in line and "invert" in line)
