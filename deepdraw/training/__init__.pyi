from .averaging import average
from .checkpoint import Checkpoints, epoch_files, load_checkpoint, save_checkpoint
from .epoch_lines import show_metric
from .fitter import Fitter, Training
from .loop import Loop, balanced_weights, train_step
from .muon import Muon
from .objective import Objective
from .optim import build_optimizer, constant, cosine, learning_rates, onecycle
from .recipe import Recipe, encodes_once
from .state import State

__all__ = [
    "Checkpoints",
    "Fitter",
    "Loop",
    "Muon",
    "Objective",
    "Recipe",
    "State",
    "Training",
    "average",
    "balanced_weights",
    "build_optimizer",
    "constant",
    "cosine",
    "encodes_once",
    "epoch_files",
    "learning_rates",
    "load_checkpoint",
    "onecycle",
    "save_checkpoint",
    "show_metric",
    "train_step",
]
