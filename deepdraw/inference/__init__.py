"""A trained classifier put to use: rebuilt from its checkpoint alone, and asked about drawings of any form."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
