"""Says to those who type `python -m deepdraw.train` which command that is; deepdraw.train is a function."""

import sys

from deepdraw.runtime import typed

if __name__ != "__main__":
    raise ImportError("deepdraw.train is a function and no module: import deepdraw")
meant = typed("python", "-m", "deepdraw", "train", *sys.argv[1:])
sys.exit(f"error: deepdraw.train is no command: write `{meant}`")
