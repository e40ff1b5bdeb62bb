from .cache import FeatureOptions, cached_features
from .encoder import Encoder
from .loader import FeatureLoader
from .passes import Encode, Labelled, gather, outputs
from .store import Features

__all__ = [
    "Encode",
    "Encoder",
    "FeatureLoader",
    "FeatureOptions",
    "Features",
    "Labelled",
    "cached_features",
    "gather",
    "outputs",
]
