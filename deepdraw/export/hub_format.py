"""A repository of the Hugging Face hub: the checkpoint itself, a model card, and timm's files where timm can."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from omegaconf import OmegaConf
from rich.console import Console
from torch import Tensor

from deepdraw.export.background import without_folders
from deepdraw.export.format import Format, Runner
from deepdraw.export.proof import Proof, probabilities
from deepdraw.export.sample import Examples, Sample
from deepdraw.export.timm_format import Timm, one_line, timm_classifier, timm_runner, timm_usage
from deepdraw.inference import Trained, known_columns, learn_known, rebuild
from deepdraw.runtime import HUB_CHECKPOINT, ON_HUB, hub_errors, hub_status, print_line
from deepdraw.training import load_checkpoint, save_checkpoint

FIXES = {  # by what the hub answers
    401: "log in by `hf auth login`",
    403: "your token may not write there: choose an OWNER that is you, or log in by a token that may write",
    404: "it is private and another's, or gone: choose another NAME",
}
OWN = frozenset({"config.json", "model.safetensors", "drawings.png"})  # files that only some exports write
SAME = 1e-4  # of a probability, between the two forms of the network in a repository
KEPT = ("classes", "best", "frozen")  # of a checkpoint, beside config and weights; not what training goes on with


class Hub(Format):
    """A folder that is uploaded when it has been proved, as a repository of the Hugging Face hub.

    It holds deepdraw.pt, a checkpoint that `deepdraw.load("hf-hub:OWNER/NAME")` reads, README.md, and, where timm has
    this network, what format=timm writes. The checkpoint names no folder of this machine.

    repository: OWNER/NAME; a new one is made. private: whether a new one is. teach: whether the checkpoint holds what
    its classes lend to new ones, for which the export reads drawings of the training. Raises ValueError where it is no
    such name, or this machine has no token of the hub.
    """

    def __init__(self, repository: str, private: bool = False, *, teach: bool = True) -> None:
        from huggingface_hub import get_token
        from huggingface_hub.utils import HFValidationError, validate_repo_id

        try:
            validate_repo_id(repository)
        except HFValidationError as error:
            raise ValueError(
                f"hub={repository} names no repository ({one_line(error)}): write hub=OWNER/NAME"
            ) from error
        if "/" not in repository:
            raise ValueError(f"hub={repository} has no owner: write hub=OWNER/NAME")
        if get_token() is None:
            raise ValueError(f"hub={repository} needs a token: log in by `hf auth login`, or set HF_TOKEN")
        self.repository, self.private, self.teach = repository, private, teach
        self._timm: Timm | None = None
        self._teaches = False

    def check(self, trained: Trained, sample: Sample) -> None:
        try:
            timm_classifier(trained)
        except ValueError:  # a network that timm has not
            return
        self._timm, self.library = Timm(), "timm"

    def write(self, trained: Trained, place: Path, calibration: Sample) -> None:
        content = load_checkpoint(trained.path)
        kept = {key: content[key] for key in KEPT if key in content}
        if trained.temperature is None:  # of a last.pt, whose best metrics are those of other weights
            kept.pop("best", None)
        config = without_folders(OmegaConf.to_container(trained.config))
        if self.teach:
            kept |= _known(trained)
        self._teaches = "known" in kept
        save_checkpoint(place / HUB_CHECKPOINT, {**kept, "config": config, "model": trained.model.state_dict()})
        if self._timm is not None:
            self._timm.write(trained, place, calibration)

    def runner(self, trained: Trained, place: Path) -> Runner:
        written = rebuild(place / HUB_CHECKPOINT, device="cpu", precision="fp32", trust=trained.trust)
        by_timm = None if self._timm is None else timm_runner(place, written.classes)

        def run(examples: Examples) -> NDArray[np.float32]:
            found = probabilities(written, examples)
            if by_timm is not None and not np.abs(by_timm(examples) - found).max() <= SAME:
                raise ValueError("timm does not give the probabilities of the checkpoint: use format=onnx")
            return found

        return run

    def usage(self, trained: Trained, name: str) -> str:
        trust = f", trust={list(trained.trust)}" if trained.trust else ""
        lines = (
            "import deepdraw\n"
            f'recognizer = deepdraw.load("{ON_HUB}{self.repository}"{trust})\n'
            'print(recognizer.predict("drawing.png", top=5))'
        )
        if self._teaches:
            lines += '\ntaught = recognizer.teach({"a new class": ["one.png", "two.png"]})  # guessed beside the others'
        return lines if self._timm is None else f"{lines}\n\n{timm_usage(ON_HUB + self.repository)}"

    def finish(self, trained: Trained, place: Path, proof: Proof) -> None:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        expected: tuple[type[Exception], ...] = (*hub_errors(), RuntimeError, ValueError)  # around those of large files
        api, files = HfApi(), [CommitOperationAdd(path.name, str(path)) for path in sorted(place.iterdir())]
        try:
            api.create_repo(self.repository, private=self.private or None, exist_ok=True)
            for file in files:  # one by one, in this thread: Ctrl-C does not wait for the end of others
                api.preupload_lfs_files(self.repository, [file], free_memory=False)
            there = {file.rfilename for file in api.model_info(self.repository).siblings or ()}
            left = OWN.intersection(there).difference(file.path_in_repo for file in files)  # of an earlier network
            changes: list[Any] = [*files, *map(CommitOperationDelete, sorted(left))]
            done = api.create_commit(self.repository, changes, commit_message="Export a network of deepdraw")
        except expected as error:
            raise _not_uploaded(self.repository, error) from error
        print(f"uploaded: {done.commit_url}")


def _known(trained: Trained) -> dict[str, dict[str, Tensor]]:
    """What the classes lend to new ones, as a checkpoint holds it; nothing where it cannot be, and a line says why."""
    try:
        columns = known_columns(learn_known(trained))
    except ValueError as error:
        print_line(Console(), f"new classes can be taught to it only beside its data: {error}")
        return {}
    return {"known": {name: torch.from_numpy(column) for name, column in columns.items()}}


def _not_uploaded(repository: str, error: Exception) -> ValueError:
    """The line that says why, with the fix."""
    causes: list[BaseException] = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(cause)
    status = next(filter(None, map(_status, causes)), 0)
    fix = FIXES.get(status, "try again later" if status else "try again when the hub can be reached")
    reason = next((one for one in causes if str(one) and not isinstance(one, RuntimeError)), error)
    return ValueError(f"hub={repository} was not uploaded ({type(reason).__name__}: {one_line(reason)}): {fix}")


def _status(error: BaseException) -> int:
    """`hub_status`, also of Xet, whose errors have it in their text alone."""
    of_xet = re.search(r"\((\d{3}) [A-Z]", str(error))
    return hub_status(error) or int(of_xet[1] if of_xet else 0)
