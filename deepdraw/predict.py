"""The command `python -m deepdraw.predict`; see `deepdraw.inference.predict`."""

import sys

from deepdraw.inference.predict import main

if __name__ == "__main__":
    sys.exit(main())
