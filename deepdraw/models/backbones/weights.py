"""Loads weights from a file or the hub into a network. Errors are one line."""

import pickle
import re
import struct
from argparse import Namespace
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from deepdraw.models.backbones.state_dicts import below, check_is_file, chosen_entry, unwrapped, what_it_is
from deepdraw.models.layers import merged
from deepdraw.runtime import best_checkpoint, check_seal, expand_home, open_regular

HASHED = re.compile(r"-(?!(?:19|20)\d{6}\.)([0-9a-f]{8,64})\.[a-z]+$")  # eight digits may be a date, not a hash
BLOB = re.compile(r"([0-9a-f]{64})")
CHUNK = 1 << 20  # bytes
WEIGHTS_ON_DISK = "use backbone.pretrained=FILE with weights on disk, or backbone.pretrained=false"

# The exceptions of torch and safetensors for files that are cut short, damaged, or pickle more than tensors.
UNREADABLE = (
    *(ArithmeticError, AssertionError, AttributeError, OSError, EOFError, LookupError, MemoryError, RuntimeError),
    *(TypeError, ValueError, pickle.UnpicklingError, struct.error, SafetensorError),
)


def read_weights(file: str, half: str = "pixels") -> dict[str, Tensor]:
    """The state dict in a .pth, .pt or .safetensors file, as timm, open_clip or torch saved it.

    Of a checkpoint of train.py, of the best one of the run directory `file`, or of that of hf-hub:OWNER/NAME, it is
    that of the backbone, and of a fused one that of the `half`, adapters merged.

    It may lie under one of `ENTRIES`, and its keys may have prefixes, which `without_prefixes` removes. The file is
    checked against the SHA-256 in its name (in the hub's cache: the name of the file that it links to) and the
    checksums inside.

    Raises:
        ValueError: the file is missing, cut short, damaged, or holds anything but tensors; no code in it is run.
    """
    path = best_checkpoint(file, "backbone.pretrained=")
    if not path.exists():
        check_is_file(Path(expand_home(file)))
        raise ValueError(f"no weights file {file}: correct the path in backbone.pretrained")
    with open_regular(path, fix="give backbone.pretrained a file of weights") as opened:
        check_hash(path, opened)
        try:
            if path.suffix == ".safetensors":
                loaded: Any = load_file(path)
            elif opened.read(2) == b"PK" and not check_seal(opened):
                raise ValueError(f"{file} does not match its checksums")
            else:
                opened.seek(0)
                with torch.serialization.safe_globals([Namespace]):  # the arguments in checkpoints of timm's train.py
                    loaded = torch.load(opened, map_location="cpu", weights_only=True)
        except UNREADABLE as error:
            raise ValueError(f"{file} {what_it_is(path, error)}") from error
    if isinstance(loaded, Mapping) and {"config", "classes", "model"} <= loaded.keys():
        loaded = weights_of_run(loaded["model"], half)
    loaded = chosen_entry(loaded, file)
    if not isinstance(loaded, Mapping) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise ValueError(f"{file} holds no state dict: save model.state_dict() to it")
    return dict(loaded)


def weights_of_run(weights: Any, half: str) -> Any:
    """Of the weights of a checkpoint of train.py those of the backbone, as its library names them."""
    if not isinstance(weights, Mapping) or not all(isinstance(key, str) for key in weights):
        return weights
    backbone = below("backbone.", unwrapped(weights, "backbone."))
    backbone = below(f"{half}.", backbone) or backbone
    return merged(below("network.", backbone) or backbone)


def check_hash(path: Path, file: BinaryIO) -> None:
    """Raise ValueError if an open file does not match the hash in its name. Afterwards it is at its beginning again.

    torch.hub writes hashes into names, such as `vit-0aa007d2.pth`, and so does the cache of the Hugging Face hub.
    """
    named = HASHED.search(path.name) or BLOB.fullmatch(path.resolve().name)
    if named is None:
        return
    digest = sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    file.seek(0)
    if not digest.hexdigest().startswith(named[1]):
        raise ValueError(f"{path} is damaged: its SHA-256 is not the {named[1]} of its name: fetch it anew")


def check_hub_cache(repository: str) -> None:
    """Raise ValueError if a file of this repository, which was just loaded from the hub's cache, is damaged."""
    from huggingface_hub import constants

    blobs = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}" / "blobs"
    for blob in blobs.glob("?" * 64):
        with open_regular(blob) as file:
            check_hash(blob, file)


def load_weights(network: nn.Module, state_dict: Mapping[str, Tensor], *, file: str, name: str) -> None:
    """Copy every tensor of `state_dict` into the network.

    Raises:
        ValueError: keys or shapes differ (the message names the first five of each kind), or a weight is not finite.
    """
    expected = network.state_dict()
    # Old versions of BatchNorm did not count batches, and the count is only used if momentum is None.
    needed = {key for key in expected if not key.endswith("num_batches_tracked")}
    differences = {
        "missing": [key for key in expected if key in needed and key not in state_dict],
        "unexpected": [key for key in state_dict if key not in expected],
        "of another shape": [
            key for key, tensor in state_dict.items() if key in expected and tensor.shape != expected[key].shape
        ],
    }
    if any(differences.values()):
        num_keys = sum(map(len, differences.values()))
        listed = "; ".join(f"{kind}: {', '.join(keys[:5])}" for kind, keys in differences.items() if keys)
        raise ValueError(
            f"{file} is of another architecture than {name}: {num_keys} keys differ ({listed}); "
            f"give backbone.name the network that it was saved from"
        )
    for key, tensor in state_dict.items():
        if not tensor.isfinite().all() and expected[key].isfinite().all():  # a mask in the network may hold -inf
            raise ValueError(f"{file} holds numbers in {key} that are not finite: fetch it anew, or train it again")
    network.load_state_dict(state_dict, strict=False)


def check_pretrained(pretrained: bool | str | None) -> None:
    """Raise ValueError where `backbone.pretrained` says neither which weights nor that there are none."""
    if pretrained is None or pretrained == "":
        raise ValueError("backbone.pretrained is empty: use true, FILE, or false for random weights")
