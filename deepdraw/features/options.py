"""The keys of `features` in the config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

FeatureType = Literal["fp16", "bf16", "fp32"]


@dataclass(frozen=True)
class FeatureOptions:
    """The keys of `features` in the config. Raises ValueError for impossible values."""

    dir: str | None
    views: int | None
    dtype: FeatureType

    def __post_init__(self) -> None:
        if self.views is not None and not (isinstance(self.views, int) and self.views >= 1):
            raise ValueError(f"features.views={self.views} must be a whole number of at least 1, or null")
        if self.dtype not in (dtypes := get_args(FeatureType)):
            raise ValueError(f"features.dtype={self.dtype} is unknown: choose {', '.join(dtypes)}")
