"""What every command stands on: files, locks, signals, ranks, precision, progress, errors in one line."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
