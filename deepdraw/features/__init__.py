"""Features of a frozen backbone, which are computed once, cached on disk, and read from there."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
