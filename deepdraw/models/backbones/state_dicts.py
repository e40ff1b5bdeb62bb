"""Which part of a file of weights holds those of a network, and what a file is that holds none."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from deepdraw.runtime import open_regular

# Entries of a training's checkpoint, in the order in which timm takes them; "teacher" is DINO's and iBOT's.
ENTRIES = ("state_dict_ema", "model_ema", "state_dict", "model", "teacher")
USUAL = ("state_dict", "model")
PREFIXES = ("module.", "_orig_mod.", "model.", "backbone.", "teacher.", "encoder.", "network.")
MOST_PREFIXES = 3  # of one key, such as module.teacher.backbone.
BEGINNINGS = {
    b"version https://git-lfs": "a pointer of Git LFS: run git lfs pull",
    b"<": "a page of a website: download the file itself",
    b"\x89HDF": "a file of Keras: save the weights with torch",
    b"GGUF": "a GGUF file of another library: save the weights with torch",
    b"\x1f\x8b": "packed by gzip: unpack it",
}
MORE_THAN_TENSORS = re.compile(r"GLOBAL ([\w.]{1,100})")


def chosen_entry(loaded: Any, file: str) -> Any:
    """The state dict in what a file of weights holds. Averaged weights come first, and are told of."""
    for _ in range(2):
        entry = next(
            (key for key in ENTRIES if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping)), ""
        )
        if not entry:
            break
        if entry not in USUAL:
            print(f"{file}: the weights are those of its entry {entry}")
        loaded = loaded[entry]
    return loaded


def without_prefixes(state_dict: Mapping[str, Tensor], own: Collection[str]) -> dict[str, Tensor]:
    """The weights without the prefixes of wrappers, such as module.backbone., that make most keys those in `own`.

    Keys that lack such a prefix are of other parts, such as a projection head, and are left out.
    """
    found = [("", dict(state_dict))]
    for prefix, weights in found:  # which grows meanwhile
        if prefix.count(".") < MOST_PREFIXES:
            found += [
                (prefix + each, below(each, weights)) for each in PREFIXES if any(k.startswith(each) for k in weights)
            ]
    names = set(own)
    prefix, weights = max(found, key=lambda candidate: len(names & candidate[1].keys()))
    if prefix:
        others = len(state_dict) - len(weights)
        print(f"the weights are those below {prefix}" + (f"; {others} of other parts are left out" if others else ""))
    return weights


def unwrapped(weights: Mapping[str, Any], begins: str) -> Mapping[str, Any]:
    """The weights without the wrappers' prefixes that all keys have, until a key begins with `begins`."""
    for _ in range(MOST_PREFIXES):
        prefix = next((each for each in PREFIXES if weights and all(key.startswith(each) for key in weights)), None)
        if prefix is None or any(key.startswith(begins) for key in weights):
            break
        weights = below(prefix, weights)
    return weights


def below(prefix: str, weights: Mapping[str, Any]) -> dict[str, Any]:
    """The weights whose keys begin with a prefix, without it."""
    return {key.removeprefix(prefix): tensor for key, tensor in weights.items() if key.startswith(prefix)}


def check_is_file(path: Path) -> None:
    """Raise ValueError where a folder that is no run stands for a file of weights. The message names one in it."""
    if path.is_dir():
        files = sorted(file.name for file in path.iterdir() if file.suffix in (".safetensors", ".pt", ".pth", ".bin"))
        fix = f"{path}/{files[0]}" if files else "a file of weights, or the directory of a run"
        raise ValueError(f"{path} is a folder: give backbone.pretrained {fix}")


def what_it_is(path: Path, error: Exception) -> str:
    """What a file is that torch could not read as weights, and the fix."""
    with open_regular(path) as file:
        beginning = file.read(32)
    known = next((what for start, what in BEGINNINGS.items() if beginning.startswith(start)), None)
    if known:
        return f"is {known}"
    members = _members(path)
    if any(member.endswith("constants.pkl") for member in members):
        return (
            "is a TorchScript archive, which holds code: save its weights once by "
            "torch.save(torch.jit.load(FILE, 'cpu').state_dict(), NEW), if you trust it, and give NEW"
        )
    if any(member.endswith(".npy") for member in members):
        return "is an archive of NumPy arrays: save the weights with torch"
    if more := MORE_THAN_TENSORS.search(str(error)):
        return f"pickles more than tensors ({more[1]}): save a state_dict alone"
    return "is cut short, damaged or no file of plain weights: fetch it anew, or save a state_dict"


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []
