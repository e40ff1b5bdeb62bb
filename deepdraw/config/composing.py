"""A config composed of `conf/` and overrides, without a command: what train.py and evaluate.py get from Hydra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from traceback import extract_tb

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from deepdraw.config.compose_errors import compose_line
from deepdraw.config.experiments import experiments_follow_choices
from deepdraw.config.paths import quote_paths
from deepdraw.config.words import check_words
from deepdraw.runtime import scripts_folder


def compose_config(name: str, overrides: Sequence[str] = (), config_dir: Path | None = None) -> DictConfig:
    """The config of `name` (train, evaluate) with these overrides, and with Hydra's own part under `hydra`.

    config_dir: a directory of further options, as `--config-dir` names one. Works in a program that uses Hydra itself,
    whose state is left as it is. Raises ValueError, in one line, for what Hydra refuses.
    """
    check_words(overrides, name)
    words = quote_paths(overrides)
    if config_dir is not None:
        if not config_dir.is_dir():
            raise ValueError(f"config_dir={config_dir} is no directory: correct the path")
        address = str(config_dir.absolute()).replace("\\", "\\\\").replace("'", "\\'")
        words.append(f"hydra.searchpath=['file://{address}']")
    running = GlobalHydra.instance().hydra  # of the program that calls
    GlobalHydra.instance().clear()
    try:
        conf = str(scripts_folder() / "conf")
        with experiments_follow_choices(), initialize_config_dir(conf, job_name=name, version_base="1.3"):
            return compose(name, words, return_hydra_config=True)
    except Exception as error:
        line = compose_line(error, extract_tb(error.__traceback__)[-1].filename, words, name)
        if line is None:
            raise
        raise ValueError(line) from error
    finally:
        GlobalHydra.instance().hydra = running
