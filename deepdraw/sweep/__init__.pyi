from .backends import states
from .launch import launch_jobs
from .record import Sweep, read_sweep
from .submission import open_sweep

__all__ = [
    "Sweep",
    "launch_jobs",
    "open_sweep",
    "read_sweep",
    "states",
]
