"""deepdraw trains, probes and evaluates pretrained vision encoders on hand-drawn sketches.

run = deepdraw.train(["backbone=clip", "freeze=first12"])
"""

import lazy_loader

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
