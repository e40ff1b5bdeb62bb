"""The command `python -m deepdraw.embed`; see `deepdraw.inference.embed`."""

import sys

from deepdraw.inference.embed import main

if __name__ == "__main__":
    sys.exit(main())
