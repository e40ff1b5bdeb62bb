"""Linear heads on the features of a frozen backbone: grid search and logistic regression."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
