from .launch_local import launch_locally
from .launch_slurm import launch_on_slurm
from .record import Sweep, read_sweep
from .states import states
from .submission import open_sweep

__all__ = [
    "Sweep",
    "launch_locally",
    "launch_on_slurm",
    "open_sweep",
    "read_sweep",
    "states",
]
