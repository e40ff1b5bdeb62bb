from .folders import open_folder
from .interfaces import Batch, Epochs, Inputs, Source, Split
from .loader import Loader, epoch_rasterizer
from .memory import MemorySplit
from .order import BalancedOrder, Order, Sampling, Share, order_of
from .recognition import Recognition, as_recognition, in_brackets, recognition_of
from .shards import Shards, ShardSplit, write_shards
from .subset import Joined, JoinedLoader, Relabeled, Subset
from .views import split_views

__all__ = [
    "BalancedOrder",
    "Batch",
    "Epochs",
    "Inputs",
    "Joined",
    "JoinedLoader",
    "Loader",
    "MemorySplit",
    "Order",
    "Recognition",
    "Relabeled",
    "Sampling",
    "ShardSplit",
    "Shards",
    "Share",
    "Source",
    "Split",
    "Subset",
    "as_recognition",
    "epoch_rasterizer",
    "in_brackets",
    "open_folder",
    "order_of",
    "recognition_of",
    "split_views",
    "write_shards",
]
