"""What a config may say: the classes it may name by role, the types of its values, and the objects made from it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
