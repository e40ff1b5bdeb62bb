"""Drawings of one's own: files of images, SVG and strokes in folders, or listed in a CSV file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
