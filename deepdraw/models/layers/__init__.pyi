from .batch_norm import synchronize_batch_norms
from .depthwise import pad_before_depthwise
from .low_rank import adapted, merged
from .memory_format import store_channels_last
from .strided import slice_before_strided

__all__ = [
    "adapted",
    "merged",
    "pad_before_depthwise",
    "slice_before_strided",
    "store_channels_last",
    "synchronize_batch_norms",
]
