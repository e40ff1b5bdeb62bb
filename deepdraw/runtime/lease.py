"""The lease of filelock on a lock file that is created in a way of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from filelock import MarkerSoftFileLock, SoftFileLease, Timeout

MAX_OUTAGE = 1e9  # seconds for which the file server may be unreachable without the lease being given up


class _CreatedFile(MarkerSoftFileLock):
    """Creates and closes the file; `SoftFileLease` finds these two methods next in the order of the bases of `Lease`.

    filelock would create an empty file and then write into it, so that others could find a lock without an owner. It
    would also remove the files of dead owners itself, by exchanging two names, which NFS and SMB refuse: there they
    would stay forever.
    """

    _create: Callable[[], None]

    def _acquire(self) -> None:
        with suppress(FileExistsError):
            self._create()
            descriptor = os.open(self.lock_file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            status = os.fstat(descriptor)
            self._mark_descriptor_owned(descriptor, (status.st_dev, status.st_ino))

    def _release(self) -> None:
        descriptor = self._context.lock_file_fd
        assert descriptor is not None
        self._mark_descriptor_released()
        os.close(descriptor)


class Lease(SoftFileLease, _CreatedFile):
    """Touches a lock file every `beat` seconds while this process holds it, and notices if the file is replaced.

    create: creates the file at `path` or raises FileExistsError. The file stays when the lease is released. A forked
    child of the process does not hold the lease. Who waits decides when the owner is dead, see `deepdraw.runtime.lock`.
    """

    def __init__(self, path: Path, *, create: Callable[[], None], beat: float) -> None:
        super().__init__(path, lease_duration=MAX_OUTAGE, heartbeat_interval=beat, thread_local=False)
        self._create = create

    def take(self) -> bool:
        """Create the file and begin to touch it, if there is none. Returns whether this was so."""
        with suppress(Timeout):
            self.acquire(timeout=0)
            return True
        return False

    @property
    def is_held(self) -> bool:
        """Whether this process created the file, did not release it, and the file was neither replaced nor removed."""
        return self.is_locked and self.compromise is None
