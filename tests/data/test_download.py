"""Files come whole or not at all, and a part is continued only with bytes of the same file."""

import errno
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest

from deepdraw.data.quickdraw import download as module
from deepdraw.data.quickdraw.download import NUM_TRIES, download

CAT = np.random.default_rng(0).bytes(1_000_000)
CONTENT = {"cat.bin": CAT, "hot air balloon.bin": b"up", "empty.bin": b""}


@dataclass
class Bucket:
    """A web server's files and manners, and the requests it got."""

    files: dict[str, bytes] = field(default_factory=lambda: dict(CONTENT))
    cut_after: int | None = None  # bytes of an answer after which the connection is closed
    failures: list[int] = field(default_factory=list)  # statuses to answer first
    stored_length: int | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # path and Range
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    def __init__(self, bucket: Bucket, *args: object) -> None:
        self.bucket = bucket
        super().__init__(*args)

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.bucket.requests.append((self.path, asked))
        if self.bucket.failures:
            return self.send_error(self.bucket.failures.pop(0))
        content = self.bucket.files.get(self.path[1:].replace("%20", " "))
        if content is None:
            return self.send_error(404)
        etag = f'"{md5(content).hexdigest()}"'
        begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.headers["If-Range"] == etag else 0
        if begin and begin >= len(content):
            return self.send_error(416)
        self.send_response(206 if begin else 200)
        self.send_header("ETag", etag)
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        if self.bucket.stored_length is not None:
            self.send_header("x-goog-stored-content-length", str(self.bucket.stored_length))
        self.end_headers()
        self.wfile.write(content[begin:][: self.bucket.cut_after])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    bucket = Bucket()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, bucket)) as server:
        bucket.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=partial(server.serve_forever, poll_interval=0.01))
        thread.start()
        yield bucket
        server.shutdown()
        thread.join()


def fetch(bucket: Bucket, directory: Path, *names: str) -> None:
    download(names, directory, base_url=bucket.url, backoff=0.001)


def test_all_files_come_whole_also_with_spaces_in_their_names(bucket, tmp_path):
    fetch(bucket, tmp_path, "cat", "hot air balloon", "empty")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == CONTENT
    assert ("/hot%20air%20balloon.bin", None) in bucket.requests


def test_what_is_there_is_not_asked_for_again(bucket, tmp_path):
    fetch(bucket, tmp_path, "cat")
    bucket.requests.clear()
    fetch(bucket, tmp_path, "cat", "empty")
    assert bucket.requests == [("/empty.bin", None)]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(bucket, tmp_path):
    bucket.cut_after = 300_000
    fetch(bucket, tmp_path, "cat")
    assert (tmp_path / "cat.bin").read_bytes() == CAT
    assert [asked for _, asked in bucket.requests] == [None, *(f"bytes={n}00000-" for n in (3, 6, 9))]


def test_a_second_run_goes_on_with_the_part_of_the_first(bucket, tmp_path):
    bucket.cut_after = 0
    (tmp_path / "cat.bin.part").write_bytes(CAT[:400_000])
    (tmp_path / "cat.bin.part.version").write_text(f'"{md5(CAT).hexdigest()}"')
    with pytest.raises(ValueError, match="what came so far is kept"):
        fetch(bucket, tmp_path, "cat")
    assert not (tmp_path / "cat.bin").exists()
    bucket.cut_after = None
    fetch(bucket, tmp_path, "cat")
    assert (tmp_path / "cat.bin").read_bytes() == CAT
    assert {asked for _, asked in bucket.requests} == {"bytes=400000-"}
    assert [path.name for path in tmp_path.iterdir()] == ["cat.bin"]


@pytest.mark.parametrize("new", [b"new" * 500_000, b"shorter"])
def test_a_part_of_a_file_that_changed_is_never_mixed_with_the_new_one(bucket, tmp_path, new):
    (tmp_path / "cat.bin.part").write_bytes(CAT[:400_000])
    (tmp_path / "cat.bin.part.version").write_text(f'"{md5(CAT).hexdigest()}"')
    bucket.files["cat.bin"] = new
    fetch(bucket, tmp_path, "cat")
    assert (tmp_path / "cat.bin").read_bytes() == new


def test_a_part_of_unknown_version_is_begun_anew(bucket, tmp_path):
    (tmp_path / "cat.bin.part").write_bytes(b"of an older file")
    fetch(bucket, tmp_path, "cat")
    assert (tmp_path / "cat.bin").read_bytes() == CAT
    assert bucket.requests == [("/cat.bin", None)]


def test_a_part_longer_than_the_file_is_begun_anew(bucket, tmp_path):
    (tmp_path / "cat.bin.part").write_bytes(CAT + b"more")
    (tmp_path / "cat.bin.part.version").write_text(f'"{md5(CAT).hexdigest()}"')
    fetch(bucket, tmp_path, "cat")
    assert (tmp_path / "cat.bin").read_bytes() == CAT


def test_a_busy_server_is_asked_again(bucket, tmp_path):
    bucket.failures = [503, 429, 500]
    fetch(bucket, tmp_path, "cat")
    assert (tmp_path / "cat.bin").read_bytes() == CAT


def test_a_file_that_is_not_there_is_named_at_once(bucket, tmp_path):
    with pytest.raises(ValueError, match=r"dragon\.bin answers 404"):
        fetch(bucket, tmp_path, "dragon")
    assert len(bucket.requests) == 1


def test_two_sizes_for_one_file_are_not_believed(bucket, tmp_path):
    bucket.stored_length = len(CAT) + 1
    with pytest.raises(ValueError, match="2 sizes"):
        fetch(bucket, tmp_path, "cat")
    assert len(bucket.requests) == NUM_TRIES
    assert not (tmp_path / "cat.bin").exists()


def test_without_network_there_is_one_line_that_says_what_to_do(tmp_path):
    with pytest.raises(ValueError, match=r"^cannot fetch http.*check the network.*source=DIR") as raised:
        download(["cat", "dog"], tmp_path, base_url="http://127.0.0.1:9", backoff=0.001)
    assert "\n" not in str(raised.value)


def test_an_interrupted_download_leaves_nothing_that_looks_whole(bucket, tmp_path, monkeypatch):
    def interrupt(_: object) -> Iterator[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "as_completed", interrupt)
    bucket.cut_after = 1000
    with pytest.raises(KeyboardInterrupt):
        fetch(bucket, tmp_path, "cat")
    assert not (tmp_path / "cat.bin").exists()


def test_a_full_disk_is_told_at_once_with_the_file_and_never_as_the_networks(bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: SimpleNamespace(free=999_999))
    with pytest.raises(OSError, match="No space left on device: 1.0 MB are to come, 1.0 MB are free") as raised:
        fetch(bucket, tmp_path, "cat")
    assert raised.value.filename == str(tmp_path / "cat.bin.part")
    assert len(bucket.requests) == 1


@pytest.mark.parametrize("refused", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_refuses_is_named_and_not_tried_again(bucket, tmp_path, monkeypatch, refused):
    def refuse(descriptor: int) -> None:
        raise OSError(refused, os.strerror(refused))

    fetch(bucket, tmp_path, "empty")
    monkeypatch.setattr(module.os, "fsync", lambda number: bucket.requests and refuse(number))
    bucket.requests.clear()
    with pytest.raises(OSError, match=os.strerror(refused)) as raised:
        fetch(bucket, tmp_path, "cat")
    assert Path(raised.value.filename).name.startswith("cat.bin.part")
    assert len(bucket.requests) == 1
