"""Start Python with SIGUSR2 held back, which SLURM may send before there is an answer to it.

`python -m deepdraw.sweep.hold` takes Python's own arguments. See `deepdraw.runtime.preemptible`.
"""

import os
import signal
import sys

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
