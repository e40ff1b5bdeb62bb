"""Small tars of images, written as the original project wrote them, and what is read from them."""

import functools
import http.server
import io
import tarfile
import threading
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest

from deepdraw.data.tars.source import ImageTars, TarSplit
from deepdraw.drawings.raster import Rasterizer

NAMES = ("apple", "fish", "light bulb")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "deepdraw"


def png(pixels: np.ndarray) -> bytes:
    return cv2.imencode(".png", pixels)[1].tobytes()


def gray(value: int, height: int = 8, width: int = 8) -> bytes:
    return png(np.full((height, width), value, np.uint8))


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def samples(labels: Iterable[str], prefix: str = "k") -> list[tuple[str, bytes]]:
    """Samples in webdataset's order (cls before png); the image of sample i is of gray i."""
    members = []
    for i, label in enumerate(labels):
        members += [(f"{prefix}{i:04}.cls", label.encode()), (f"{prefix}{i:04}.png", gray(i % 256))]
    return members


def read(split: TarSplit, blocks: np.ndarray, rows: np.ndarray, rasterizer: Rasterizer) -> tuple[np.ndarray, ...]:
    images = np.empty((len(rows), rasterizer.size, rasterizer.size), np.uint8)
    return images, *split.read(blocks, rows, rasterizer, images)


def read_all(split: TarSplit, size: int = 8, **options) -> tuple[np.ndarray, ...]:
    rows = np.arange(split.block_sizes.sum())
    return read(split, np.arange(len(split.block_sizes)), rows, Rasterizer(size, line_width=1, **options))


def error(root: Path, split: str = "train") -> str:
    with pytest.raises(ValueError, match=r"\S") as caught:
        read_all(ImageTars(str(root)).split(split))
    message = str(caught.value)
    assert "\n" not in message
    return message


def classes_of(root: Path, labels: Iterable[str], folder: str = "train", split: str = "train") -> list[str]:
    write_tar(root / folder / "data-00000.tar", samples(labels))
    return ImageTars(str(root)).split(split).classes


def labels_of(root: Path, members: list[tuple[str, bytes]]) -> dict[int, str]:
    """The gray of each image of a tar -> its label."""
    write_tar(root / "train/data-00000.tar", [("z.png", gray(250)), ("z.cls", b"zebra")])
    write_tar(root / "test/data-00000.tar", members)
    (root / "classes.txt").write_text("ant\nbee\nzebra\n")
    images, labels, _ = read_all(ImageTars(str(root)).split("test"))
    return {int(image[0, 0]): ("ant", "bee", "zebra")[label] for image, label in zip(images, labels, strict=True)}


@pytest.fixture
def web(tmp_path: Path):
    """The address of a web server of `tmp_path/web`, and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *args) -> None:
            asked.append(self.path)

        def log_message(self, *args) -> None: ...

    handler = functools.partial(Handler, directory=str(tmp_path / "web"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()
