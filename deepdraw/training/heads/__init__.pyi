from .grid import Grid, GridSearch, train_grid
from .linear_heads import features_of, linear_head
from .logistic import LogisticRegression, Standardized, regress, zero_start

__all__ = [
    "Grid",
    "GridSearch",
    "LogisticRegression",
    "Standardized",
    "features_of",
    "linear_head",
    "regress",
    "train_grid",
    "zero_start",
]
