from .folders import open_folder
from .interfaces import Batch, Epochs, Source, Split
from .loader import Loader
from .memory import MemorySplit
from .order import Order, Share
from .shards import Shards, ShardSplit, write_shards
from .subset import Joined, JoinedLoader, Relabeled, Subset

__all__ = [
    "Batch",
    "Epochs",
    "Joined",
    "JoinedLoader",
    "Loader",
    "MemorySplit",
    "Order",
    "Relabeled",
    "ShardSplit",
    "Shards",
    "Share",
    "Source",
    "Split",
    "Subset",
    "open_folder",
    "write_shards",
]
