from .backends import states
from .launch import launch_jobs
from .record import Sweep, read_sweep
from .submission import better_direction, open_sweep

__all__ = [
    "Sweep",
    "better_direction",
    "launch_jobs",
    "open_sweep",
    "read_sweep",
    "states",
]
