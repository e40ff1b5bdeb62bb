"""Takes a trained classifier out of deepdraw: formats that others run, each held to the checkpoint."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
