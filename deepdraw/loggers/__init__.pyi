from .base import CSVLogger, Logger, TensorBoardLogger, WandbLogger, log_evaluation
from .login import wandb_key, wandb_server

__all__ = [
    "CSVLogger",
    "Logger",
    "TensorBoardLogger",
    "WandbLogger",
    "log_evaluation",
    "wandb_key",
    "wandb_server",
]
