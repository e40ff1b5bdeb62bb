from .classifier import Classifier, are_features
from .heads import MLP, Cosine, Linear, Text, Weighed, cosine_logits
from .interpolation import check_pretrained, interpolate, pretrained_weights
from .learned_prompts import Prompts
from .naming import classifier_of_names, reads_names
from .plan import ModelPlan
from .prompts import text_classifier
from .temperature import NUM_TEMPERATURES, best_temperature, losses_by_temperature

__all__ = [
    "MLP",
    "NUM_TEMPERATURES",
    "Classifier",
    "Cosine",
    "Linear",
    "ModelPlan",
    "Prompts",
    "Text",
    "Weighed",
    "are_features",
    "best_temperature",
    "check_pretrained",
    "classifier_of_names",
    "cosine_logits",
    "interpolate",
    "losses_by_temperature",
    "pretrained_weights",
    "reads_names",
    "text_classifier",
]
