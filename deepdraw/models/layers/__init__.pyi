from .batch_norm import synchronize_batch_norms
from .depthwise import pad_before_depthwise

__all__ = [
    "pad_before_depthwise",
    "synchronize_batch_norms",
]
