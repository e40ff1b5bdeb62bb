from .batch_norm import synchronize_batch_norms
from .depthwise import pad_before_depthwise
from .low_rank import adapted, merged

__all__ = [
    "adapted",
    "merged",
    "pad_before_depthwise",
    "synchronize_batch_norms",
]
