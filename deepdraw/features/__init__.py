"""A frozen backbone at the price of one pass: features computed once, kept on disk, read from there."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
