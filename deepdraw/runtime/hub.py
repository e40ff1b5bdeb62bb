"""The Hugging Face hub: downloads that fail in one line, and checkpoints by hf-hub:OWNER/NAME."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

ON_HUB = "hf-hub:"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")  # with a revision
HUB_CHECKPOINT = "deepdraw.pt"  # the checkpoint in a repository that `deepdraw.export format=hub` wrote
OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOTDIR)
LARGEST_CHECKPOINT = 64 << 30  # bytes; a last.pt of a network of three billion parameters has 48


def is_on_hub(given: str | os.PathLike[str]) -> bool:
    """Whether this is an address on the hub, hf-hub:OWNER/NAME, and no path."""
    return os.fspath(given).startswith(ON_HUB)


def fetch_checkpoint(address: str, key: str = "") -> Path:
    """The file of the checkpoint at hf-hub:OWNER/NAME, or at its @REVISION, in the hub's cache on this machine.

    Nothing else of the repository is fetched. If the hub does not answer, its cache is used. key: of the option that
    named it, as `ckpt=`, for the message.

    Raises ValueError, in one line, where there is no such repository, revision or checkpoint, or it is too large.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    place = address.removeprefix(ON_HUB)
    repository, _, revision = place.partition("@")
    if not REPOSITORY.fullmatch(place):
        raise ValueError(f"{key}{address} names no repository: write {ON_HUB}OWNER/NAME, with @REVISION for one of it")
    fix = f"correct {key}{address}, or log in by `hf auth login` if it is private"
    try:
        with downloading(f"{HUB_CHECKPOINT} of {address}", fix=fix):
            if not constants.HF_HUB_OFFLINE:
                url = hf_hub_url(repository, HUB_CHECKPOINT, revision=revision or None)
                _check_size(get_hf_file_metadata(url).size, address)
            return Path(hf_hub_download(repository, HUB_CHECKPOINT, revision=revision or None))
    except HFValidationError as error:
        raise ValueError(f"{key}{address} names no repository ({' '.join(str(error).split())}): correct it") from error
    except ValueError as error:
        cause = error.__cause__
        if isinstance(cause, EntryNotFoundError) and not isinstance(cause, LocalEntryNotFoundError):
            raise ValueError(
                f"{key}{address} has no {HUB_CHECKPOINT}, so deepdraw did not export it: choose another repository"
            ) from error
        raise


def _check_size(size: int | None, address: str) -> None:
    """Raise ValueError for a file that is larger than any checkpoint, before it fills the disk."""
    if size is not None and size > LARGEST_CHECKPOINT:
        raise ValueError(
            f"{address} has a {HUB_CHECKPOINT} of {size:,} bytes, more than the {LARGEST_CHECKPOINT:,} that it may "
            "have: choose another repository"
        )


@contextmanager
def downloading(what: str, fix: str) -> Iterator[None]:
    """Turn a failed download of `what` (its name for the message) into one line with its `fix`, within seconds.

    If the hub does not answer, only its cache is used, because its client would retry for most of a minute.

    Raises:
        ValueError: it is not in the hub's cache and cannot be downloaded.
    """
    from huggingface_hub import constants

    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or not _answers(constants.ENDPOINT)
    try:
        yield
    except hub_errors() as error:
        if isinstance(error, OSError) and error.errno in OF_THE_DISK:
            fix = f"free {constants.HF_HUB_CACHE}, or set HF_HOME to another folder"
        elif not isinstance(error, OSError) or hub_status(error) >= 500:  # of the connection, or of the hub itself
            fix = f"try again later, or {fix}"
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ValueError(f"cannot download {what} ({reason}): {fix}") from error
    finally:
        constants.HF_HUB_OFFLINE = offline


def hub_status(error: BaseException) -> int:
    """The status of the answer of the hub that an error is about; 0 where there was none."""
    return int(getattr(getattr(error, "response", None), "status_code", None) or 0)


def hub_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises where a request fails: errors of the system, of the hub, and of the connection.

    By which library it connects, and so what that raises, depends on its version.
    """
    from huggingface_hub.errors import HfHubHTTPError

    bases: tuple[Any, ...] = HfHubHTTPError.__bases__
    return OSError, *bases


def _answers(url: str, timeout: float = 5.0) -> bool:
    try:
        urlopen(Request(url, method="HEAD"), timeout=timeout).close()
    except HTTPError:
        return True
    except OSError:
        return False
    return True
