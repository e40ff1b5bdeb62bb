"""A page on this machine where one draws and watches a checkpoint guess (`python -m deepdraw.draw ckpt=RUN`)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
