from .efficient import biases, lora, norms
from .policies import (
    blocks,
    everything,
    first,
    freeze,
    gradual,
    halves,
    keeps_all,
    last,
    nothing,
    print_layers,
    thaw,
    will_train,
)

__all__ = [
    "biases",
    "blocks",
    "everything",
    "first",
    "freeze",
    "gradual",
    "halves",
    "keeps_all",
    "last",
    "lora",
    "norms",
    "nothing",
    "print_layers",
    "thaw",
    "will_train",
]
