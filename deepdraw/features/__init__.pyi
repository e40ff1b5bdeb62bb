from .cache import cached_features
from .encoder import Encoder
from .loader import FeatureLoader
from .options import FeatureOptions
from .passes import Encode, LabeledFeatures, gather_features, outputs
from .store import Features

__all__ = [
    "Encode",
    "Encoder",
    "FeatureLoader",
    "FeatureOptions",
    "Features",
    "LabeledFeatures",
    "cached_features",
    "gather_features",
    "outputs",
]
