"""What the classes trained on lend to new ones, as a file holds it: written as columns, and checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deepdraw.fewshot import MOST_SHOTS, KnownClasses, Whitening

OF_WHITENING = {"mean": (np.float32, 1), "matrix": (np.float32, 2), "axes": (np.float32, 2), "between": (np.float32, 1)}
OF_KNOWN = {
    "means": (np.float32, 2),
    "counts": (np.int64, 1),
    "offsets": (np.float64, 1),
    "temperature": (np.float64, 1),
}
COLUMNS: dict[str, tuple[Any, int]] = {**OF_WHITENING, **OF_KNOWN}  # types and numbers of dimensions, by name


def known_columns(known: KnownClasses) -> dict[str, NDArray[Any]]:
    """The arrays of `COLUMNS`."""
    tensors = {**vars(known.whitening), **{name: getattr(known, name) for name in OF_KNOWN}}
    return {name: np.ascontiguousarray(tensor.cpu().numpy()) for name, tensor in tensors.items()}


def known_from(columns: Mapping[str, NDArray[Any]]) -> KnownClasses:
    """What `known_columns` gave, of which others may have made the file: see `known_fault`."""
    tensors = {name: torch.from_numpy(columns[name]) for name in COLUMNS}
    whitening = Whitening(**{name: tensors[name] for name in OF_WHITENING})
    return KnownClasses(whitening, *(tensors[name] for name in OF_KNOWN))


def known_fault(columns: Mapping[str, NDArray[Any]], width: int, num_classes: int) -> str | None:
    """Why columns of the right types are not those of a network of so many features and classes; None if they are."""
    directions = columns["between"].shape[0]
    expected = {
        "mean": (width,),
        "matrix": (width, width),
        "axes": (width, directions),
        "between": (min(directions, width),),
        "means": (num_classes, directions),
        "counts": (num_classes,),
        "offsets": (MOST_SHOTS,),
        "temperature": (1,),
    }
    if wrong := [name for name, shape in expected.items() if columns[name].shape != shape]:
        return f"{wrong[0]} has another shape than {list(expected[wrong[0]])}"
    if not all(np.isfinite(columns[name]).all() for name in COLUMNS):
        return "a number in it is not finite"
    above = ("counts", "between", "temperature")
    return next((f"{name} is not above 0" for name in above if not (columns[name] > 0).all()), None)


def known_of_checkpoint(content: Any, width: int, num_classes: int) -> KnownClasses:
    """What a checkpoint holds under `known`: tensors by the names of `COLUMNS`.

    Raises ValueError, saying why, where it is anything else, or of another network.
    """
    if not isinstance(content, dict) or content.keys() != COLUMNS.keys():
        raise ValueError(f"it has not {', '.join(COLUMNS)} alone")
    columns = {}
    for name, (dtype, dimensions) in COLUMNS.items():
        tensor = content[name]
        if type(tensor) is not Tensor or tensor.layout != torch.strided or tensor.ndim != dimensions:
            raise ValueError(f"{name} is no tensor of {dimensions} dimensions")
        columns[name] = tensor.numpy()
        if columns[name].dtype != dtype:
            raise ValueError(f"{name} holds {columns[name].dtype}, not {np.dtype(dtype)}")
    if reason := known_fault(columns, width, num_classes):
        raise ValueError(reason)
    return known_from(columns)
