from .categories import CATEGORIES, SEEN, UNSEEN
from .splits import SPLITS, assign_original

__all__ = [
    "CATEGORIES",
    "SEEN",
    "SPLITS",
    "UNSEEN",
    "assign_original",
]
