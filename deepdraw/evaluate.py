"""Says to those who type `python -m deepdraw.evaluate` which command that is; deepdraw.evaluate is a function."""

import sys

from deepdraw.runtime import typed

if __name__ != "__main__":
    raise ImportError("deepdraw.evaluate is a function and no module: import deepdraw")
meant = typed("python", "-m", "deepdraw", "evaluate", *sys.argv[1:])
sys.exit(f"error: deepdraw.evaluate is no command: write `{meant}`")
