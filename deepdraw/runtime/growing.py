"""Files that grow under their own name: logs, tables and features, of which all but the end stays whole.

Such a file must not be a link or have a second hard link, and one process at a time may write it.
"""

from __future__ import annotations

import errno
import os
import stat
from io import FileIO
from pathlib import Path

from deepdraw.runtime.parts import OPEN_FLAGS, LockedFile, errors_naming, lock, sync, sync_folder


def append_text(path: Path, text: str) -> None:
    """Append `text` in UTF-8 to a file, in one write.

    A process that is killed loses nothing of it; a power cut may leave an incomplete last line, or less, until
    `flush_to_disk`, which takes long on some disks. Raises OSError as `open_growing` does.
    """
    with open_growing(path) as file, errors_naming(path):
        end, encoded = file.tell(), text.encode("utf-8")
        try:
            if file.write(encoded) != len(encoded):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError:
            os.ftruncate(file.fileno(), end)
            raise


def flush_to_disk(path: Path) -> None:
    """Return once all that was appended to a file is on the disk. Raises OSError, naming `path`, where it is not."""
    with errors_naming(path):
        sync(path)


def open_growing(path: Path, end: int | None = None) -> FileIO:
    """A file that grows under its own name, opened for appending. It is created if missing and cut off at byte `end`.

    Each write goes to the operating system at once; only a full disk makes it write less than it was given. Raises
    OSError, naming `path`, for a link, for anything but a regular file, for a file with a second hard link, and if
    another process is writing it.
    """
    path = Path(path)
    with errors_naming(path):
        file = LockedFile(
            os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0) | OPEN_FLAGS, 0o666), "r+"
        )
        try:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "no regular file")
            if status.st_nlink > 1:
                raise OSError(errno.EMLINK, "a file that has a second name elsewhere, and would be changed there too")
            if not lock(file.fileno(), wait=False):
                raise OSError(errno.EBUSY, "another process is writing it")
            if end is not None:
                os.ftruncate(file.fileno(), end)
            file.seek(0, os.SEEK_END)
        except BaseException:
            file.close()
            raise
        return file


def name_grown(part: Path, path: Path) -> None:
    """Rename a file or folder from `part` to `path`. It must be complete and flushed to the disk."""
    with errors_naming(path):
        os.replace(part, path)
    sync_folder(path.parent)
