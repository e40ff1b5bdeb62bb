from .classifier import Classifier, are_features
from .heads import MLP, Cosine, Linear, Text, Weighed, cosine_logits
from .interpolation import check_alphas, interpolate, pretrained_weights
from .learned_prompts import Prompts
from .plan import ModelPlan
from .prompts import text_classifier

__all__ = [
    "MLP",
    "Classifier",
    "Cosine",
    "Linear",
    "ModelPlan",
    "Prompts",
    "Text",
    "Weighed",
    "are_features",
    "check_alphas",
    "cosine_logits",
    "interpolate",
    "pretrained_weights",
    "text_classifier",
]
