"""Start Python with SIGUSR2 blocked, which SLURM may send before the job has installed its handler.

`python -m deepdraw.sweep.block_sigusr2` takes Python's own arguments. See `deepdraw.runtime.preemptible`.
"""

import os
import signal
import sys

if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
