"""Downloads the official Quick, Draw! files from their public bucket in parallel. Interrupted downloads are resumed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from threading import Event
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from deepdraw.runtime import check_writable, name_grown, open_growing, write_text

BUCKET = "https://storage.googleapis.com/quickdraw_dataset"
BASE_URL = f"{BUCKET}/full/binary"
SKETCH_RNN_URL = f"{BUCKET}/sketchrnn"
CHUNK = 1 << 18
NUM_TRIES = 4


def download(
    names: Sequence[str],
    directory: Path,
    *,
    base_url: str = BASE_URL,
    suffix: str = ".bin",
    num_threads: int = 8,
    backoff: float = 1.0,
) -> None:
    """Fetch `<base_url>/<name><suffix>` into `directory` for every file that is missing there.

    A file grows as `<file>.part` and is renamed when it is complete. A part is continued only if the remote file has
    not changed, otherwise it is fetched from the start. A failed request is repeated after `backoff` seconds, then
    after twice as many; after 4 requests in a row without any data the download fails.

    Raises:
        ValueError: if a file cannot be fetched, with the reason. The parts are kept for the next time.
        OSError: naming the file, if it cannot be written. If possible this is checked before anything is fetched.
    """
    check_writable(directory)
    stop = Event()
    columns = (
        TextColumn("downloading {task.fields[megabytes]:,.0f} MB"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress, ThreadPoolExecutor(num_threads) as threads:
        task = progress.add_task("", total=len(names), megabytes=0.0)
        sizes = dict.fromkeys(names, 0)

        def fetch(name: str) -> None:
            url, path = f"{base_url}/{quote(name + suffix)}", directory / (name + suffix)
            for size in _fetch(url, path, backoff, stop):
                sizes[name] = size
                progress.update(task, megabytes=sum(sizes.values()) / 1e6)

        try:
            for future in as_completed([threads.submit(fetch, name) for name in names]):
                future.result()
                progress.advance(task)
        except BaseException:
            stop.set()
            threads.shutdown(cancel_futures=True)
            raise


def _fetch(url: str, path: Path, backoff: float, stop: Event) -> Iterator[int]:
    """Fetch one file, yielding its size while it grows."""
    part = path.with_name(path.name + ".part")
    num_failures = 0
    while not path.exists() and not stop.is_set():
        begun = _size(part)
        try:
            yield from _grow(part, url, stop)
            if not stop.is_set():
                name_grown(part, path)
                _tag(part).unlink(missing_ok=True)
        except HTTPError as error:  # an OSError too, so it must come first
            if error.code == 416:  # the part is longer than the remote file, so that file has changed
                _tag(part).unlink(missing_ok=True)
            elif error.code < 500 and error.code not in (408, 429):
                raise ValueError(f"{url} answers {error.code} {error.reason}: check the base URL") from error
            problem: Exception = error
        except (OSError, HTTPException) as error:
            if getattr(error, "filename", None) is not None:  # the local disk failed, so trying again is of no use
                raise
            problem = error
        else:
            continue
        num_failures = 1 if _size(part) > begun else num_failures + 1
        if num_failures == NUM_TRIES:
            reason = getattr(problem, "reason", problem)
            raise ValueError(
                f"cannot fetch {url} ({reason}): check the network and run again, what came so far is kept; "
                "or give source=DIR with files that you have"
            ) from problem
        stop.wait(backoff * 2 ** (num_failures - 1))


def _grow(part: Path, url: str, stop: Event) -> Iterator[int]:
    """Make one request: append the missing bytes to `part`, or start again if the remote file has changed."""
    begun = _size(part) if _tag(part).exists() else 0
    headers = {"Accept-Encoding": "identity"}
    if begun:
        headers |= {"Range": f"bytes={begun}-", "If-Range": _tag(part).read_text()}
    with urlopen(Request(url, headers=headers), timeout=60) as response:
        if response.status == 206:
            span, _, total = response.headers["Content-Range"].removeprefix("bytes ").partition("/")
            if not span.startswith(f"{begun}-"):
                raise HTTPException(f"asked for the bytes from {begun}, got {span}")
        else:
            begun, total = 0, _total(response)
        _check_space(part, int(total) - begun)
        with open_growing(part, end=begun) as file:
            if not begun:
                _remember(part, response)
            while not stop.is_set() and (chunk := response.read(CHUNK)):
                with _naming(part):
                    if file.write(chunk) < len(chunk):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                yield file.tell()
            with _naming(part):
                os.fsync(file.fileno())
    if not stop.is_set() and _size(part) != int(total):
        raise HTTPException(f"{_size(part):,} of {int(total):,} bytes came")


@contextmanager
def _naming(part: Path) -> Iterator[None]:
    """Make an OSError name the part, which distinguishes it from errors of the network."""
    try:
        yield
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(part)) from error


def _check_space(part: Path, num_bytes: int) -> None:
    """Raise OSError, naming the part, if the disk has too little space for the rest of the file."""
    free = shutil.disk_usage(part.parent).free
    if num_bytes > free:
        reason = f"{os.strerror(errno.ENOSPC)}: {num_bytes / 1e6:,.1f} MB are to come, {free / 1e6:,.1f} MB are free"
        raise OSError(errno.ENOSPC, reason, str(part))


def _total(response: HTTPResponse) -> str:
    sizes = {response.headers[key] for key in ("Content-Length", "x-goog-stored-content-length")} - {None}
    if len(sizes) != 1:
        raise HTTPException(f"the server states {len(sizes)} sizes for the file, so it cannot be checked")
    return sizes.pop()


def _remember(part: Path, response: HTTPResponse) -> None:
    """Note the version of the remote file; weak tags do not identify bytes (RFC 9110, 13.1.5)."""
    etag = response.headers.get("ETag", "W/")
    version = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
    if version:
        write_text(_tag(part), version)
    else:
        _tag(part).unlink(missing_ok=True)


def _tag(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
