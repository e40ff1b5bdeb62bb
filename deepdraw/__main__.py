"""The command `deepdraw`: train.py, evaluate.py and the other commands under one name, from wherever it is called."""

from __future__ import annotations

import importlib
import importlib.util
import os
import runpy
import sys
from types import ModuleType

from deepdraw.runtime import did_you_mean, scripts_folder

SCRIPTS = {
    "train": "train an encoder on drawings: backbone=clip freeze=first12, or -m for a sweep",
    "evaluate": "score a checkpoint on a split: ckpt=RUN split=zeroshot",
}
MODULES = {
    "sweep": "look after a sweep: status, collect, resume or cancel DIR",
    "predict": "say what drawings are: ckpt=RUN input=FILE",
    "embed": "write the features of drawings as arrays: ckpt=RUN data=test out=DIR",
    "export": "hand a network on, as one file of ONNX: ckpt=RUN format=onnx",
    "draw": "draw on a page and watch it guess: ckpt=RUN",
    "compare": "put runs side by side: RUN RUN ... or SWEEP",
    "doctor": "say what this machine can do and what is missing",
}
COMPLETION = ("-sc", "--shell-completion")


def main() -> None:
    """Run the command that the first word names, as its own script or module would with the words that follow."""
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends what follows without a traceback

    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(_usage())
    elif name in COMPLETION:
        _complete(arguments)
    elif name in SCRIPTS and set(arguments) & set(COMPLETION):
        _answer_shell(name, arguments)
    elif name in SCRIPTS:
        script = str(scripts_folder() / f"{name}.py")
        sys.argv = [script, *arguments]
        runpy.run_path(script, run_name="__main__")
    elif name in MODULES:
        sys.argv = [f"deepdraw {name}", *arguments]  # by which --help names the command
        sys.exit(_command_module(name).main(arguments))
    else:
        names = [*SCRIPTS, *MODULES]
        hint = did_you_mean(name, names)
        choose = f"{hint} Choose" if hint else "choose"
        sys.exit(f"error: there is no command {name!r}: {choose} one of {', '.join(names)}")


def _command_module(name: str) -> ModuleType:
    """The module deepdraw.NAME, or the `__main__` of a package of that name."""
    specification = importlib.util.find_spec(f"deepdraw.{name}")
    assert specification is not None, name
    is_package = specification.submodule_search_locations is not None
    return importlib.import_module(f"deepdraw.{name}{'.__main__' if is_package else ''}")


def _usage() -> str:
    lines = [f"  {name:10}{meaning}" for name, meaning in (SCRIPTS | MODULES).items()]
    return "\n".join(["usage: deepdraw COMMAND ...", *lines, "`deepdraw COMMAND --help` says more of each."])


def _complete(arguments: list[str]) -> None:
    """Answer the shell, which asks what may follow COMP_LINE: a command, or what Hydra says of train and evaluate."""
    program, *words = os.environ.get("COMP_LINE", "").split(" ")
    if len(words) < 2:
        print(" ".join([*SCRIPTS, *MODULES]))
    elif words[0] in SCRIPTS:
        os.environ["COMP_LINE"] = " ".join([program, *words[1:]])
        _answer_shell(words[0], [COMPLETION[0], *arguments])


def _answer_shell(name: str, arguments: list[str]) -> None:
    """Let Hydra answer for a script, but under the name of this command: runpy would put the script's in its place."""
    script = scripts_folder() / f"{name}.py"
    sys.argv[1:] = arguments
    exec(compile(script.read_text(), script, "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    main()
