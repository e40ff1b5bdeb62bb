"""Checks configs (the classes that each place may name, the types of values) and makes objects from them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
