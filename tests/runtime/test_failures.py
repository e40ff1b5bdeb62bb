"""Exceptions that the user or the machine caused are one line; a fault of the code is none."""

from __future__ import annotations

import errno
import os
import pickle
from concurrent.futures.process import BrokenProcessPool

import cv2
import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from torch._utils import ExceptionWrapper

from deepdraw.runtime.failures import failure_line


def refused(number: int, *files: str) -> OSError:
    return OSError(number, os.strerror(number), *files)


def sent(error: Exception) -> BaseException:
    """As a loader's worker process hands it on."""
    try:
        raise error
    except Exception:
        wrapper = ExceptionWrapper(where="in DataLoader worker process 0")
    try:
        pickle.loads(pickle.dumps(wrapper)).reraise()
    except Exception as found:
        return found
    raise AssertionError


def composed(error: Exception) -> Exception:
    """As Hydra wraps it, twice."""
    for _ in range(2):
        wrapped = InstantiationException("Error in call to target")
        wrapped.__cause__ = error
        error = wrapped
    return error


class TooLarge(MemoryError):
    """As numpy's, which is made of a shape and a type."""

    def __init__(self, shape: tuple[int, ...], kind: str) -> None:
        super().__init__(f"Unable to allocate {shape} {kind}")


@pytest.mark.parametrize("wrap", [lambda error: error, sent, composed])
@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("data.root is\nnot there: correct it"), "data.root is not there: correct it"),
        (refused(errno.ENOSPC, "a.pt"), "a.pt: No space left on device: free some space, or choose another disk"),
        (refused(errno.EDQUOT, "a.pt"), "a.pt: Disk quota exceeded: free some of your quota"),
        (refused(errno.EROFS, "a.pt"), "a.pt: Read-only file system: choose a directory on a disk"),
        (refused(errno.EACCES, "a.pt"), "a.pt: Permission denied: choose a directory that you may use"),
        (refused(errno.EMFILE, "a.pt"), "a.pt: Too many open files: raise `ulimit -n`"),
        (refused(errno.ENOENT, "a's.pt"), "a's.pt: No such file or directory: put it back"),
        (refused(errno.EIO, "a.pt"), "a.pt: Input/output error: check the disk"),
        (OSError("12 requested and 0 written"), "12 requested and 0 written: see to it"),
        (MemoryError(), "there is not enough memory: use a smaller data.batch_size"),
        (TooLarge((9, 9), "f8"), "there is not enough memory (Unable to allocate (9, 9) f8): use"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "there is not enough memory ("),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "there is not enough memory (CUDA"),
        (cv2.error("(-4:Insufficient memory) Failed to allocate 9 bytes"), "there is not enough memory ((-4:"),
        (RuntimeError("can't start new thread"), "can't start new thread: raise `ulimit -u`"),
        (
            RuntimeError("unable to open </torch_1>: No space left on device (28)"),
            "unable to open </torch_1>: No space",
        ),
        (
            RuntimeError("DataLoader worker (pid 42) is killed by signal: Killed. "),
            "a loader process (pid 42) was killed (Killed), as when memory",
        ),
        (RuntimeError("DataLoader worker (pid(s) 42, 43) exited unexpectedly"), "a loader process (pid 42, 43) has"),
        (BrokenProcessPool("A process was terminated abruptly"), "a worker process was killed"),
        (RuntimeError("[/x/gloo/tcp/pair.cc:5] Connection closed by peer"), "another rank is gone (Connection closed"),
        (torch.distributed.DistNetworkError("failed to recv"), "another rank is gone (failed to recv): see what"),
    ],
)
def test_errors_of_the_user_or_the_machine_get_one_line(error, line, wrap):
    found = failure_line(wrap(error))
    assert found is not None and "\n" not in found
    assert found.startswith(line)


@pytest.mark.parametrize("wrap", [lambda error: error, sent, composed])
@pytest.mark.parametrize(
    "error",
    [RuntimeError("shapes differ"), TypeError("no"), KeyError("x"), AssertionError(), EOFError(), cv2.error("no")],
)
def test_a_bug_in_the_code_gets_no_line(error, wrap):
    assert failure_line(wrap(error)) is None


def test_out_of_memory_errors_of_libraries_get_one_line():
    with pytest.raises(MemoryError) as raised:
        np.empty(1 << 46, np.uint8)
    assert failure_line(sent(raised.value)).startswith("there is not enough memory (Unable to allocate")
