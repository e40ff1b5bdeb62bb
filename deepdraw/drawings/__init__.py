"""What a drawing is: strokes, packed and on disk, and how they become images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
