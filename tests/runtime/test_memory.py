"""What the process frees it keeps."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
from pathlib import Path
from deepdraw.runtime.memory import keep_freed_memory
{call}
parts = [b"x" * (8 << 20) for _ in range(32)]
parts.clear()
print(next(int(line.split()[1]) for line in Path("/proc/self/status").read_text().splitlines() if "VmRSS" in line))
"""


def kilobytes_held_after_freeing_256_megabytes(call: str) -> int:
    return int(
        subprocess.run([sys.executable, "-c", PROGRAM.format(call=call)], capture_output=True, check=True).stdout
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_memory_is_kept_only_where_it_was_asked_for():
    assert kilobytes_held_after_freeing_256_megabytes("") < 100_000
    assert kilobytes_held_after_freeing_256_megabytes("keep_freed_memory()") > 250_000
