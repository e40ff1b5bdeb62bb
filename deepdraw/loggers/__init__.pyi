from .base import CSVLogger, Logger, TensorBoardLogger, WandbLogger, log_evaluation

__all__ = [
    "CSVLogger",
    "Logger",
    "TensorBoardLogger",
    "WandbLogger",
    "log_evaluation",
]
