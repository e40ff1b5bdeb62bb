from .folders import open_folder
from .interfaces import Batch, Epochs, Inputs, Source, Split
from .loader import Loader, epoch_rasterizer
from .memory import MemorySplit
from .of_classes import OfClasses
from .of_each_class import first_of_each_class, seen_drawings
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
    "OfClasses",
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
    "first_of_each_class",
    "in_brackets",
    "open_folder",
    "order_of",
    "recognition_of",
    "seen_drawings",
    "split_views",
    "write_shards",
]
