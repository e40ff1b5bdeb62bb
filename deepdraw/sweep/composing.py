"""The configs of a sweep's jobs: composed once, at submission, and written to files."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf, open_dict, read_write

from deepdraw.config import CheckedConfig, check_command
from deepdraw.runtime import write_text


class QuickLoader:
    """Hydra's config loader, but configs that differ in values alone are composed once.

    Composing takes Hydra the better part of a second, setting a value in what it composed some milliseconds; and it
    is asked for every job twice, by the sweeper as a check and by the launcher.
    """

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        self._loader = loader
        self._parser = OverridesParser.create(config_loader=loader)
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: Sequence[str]) -> DictConfig:
        """The config of one job, as Hydra's own loader gives it."""
        overrides = self._parser.parse_overrides(list(sweep_overrides))
        values = [override for override in overrides if self._is_value(override)]
        choices = [str(override.input_line) for override in overrides if override not in values]
        if tuple(choices) not in self._composed:
            self._composed[tuple(choices)] = self._loader.load_sweep_config(master_config, choices)
        config = copy.deepcopy(self._composed[tuple(choices)])
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        tasks = [override for override in overrides if not override.is_hydra_override()]
        first = OmegaConf.to_container(master_config.hydra.overrides.hydra)
        assert isinstance(first, list)
        parsed = [override for override in self._parser.parse_overrides(first) if not override.is_hydra_override()]
        job = config.hydra.job
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.overrides.task = [override.input_line for override in [*parsed, *tasks]]
            job.override_dirname = get_overrides_dirname(
                overrides=[*parsed, *tasks],
                kv_sep=job.config.override_dirname.kv_sep,
                item_sep=job.config.override_dirname.item_sep,
                exclude_keys=job.config.override_dirname.exclude_keys,
            )
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def _is_value(self, override: Override) -> bool:
        return not override.is_hydra_override() and not self._loader.repository.group_exists(override.key_or_group)


def write_config(directory: Path, config: DictConfig, number: int) -> Path:
    """Write `<sweep>/jobs/<number>.yaml`, which no later edit of conf/ changes. Returns the job's run directory.

    Raises ValueError for a config that the command would refuse, such as one without an option that must be given.
    """
    with read_write(config.hydra), open_dict(config.hydra):
        config.hydra.sweep.dir = str(directory)
        config.hydra.job.num = number
        config.hydra.job.id = str(number)
        config.hydra.sweep.subdir = str(config.hydra.sweep.subdir)
        run_directory = directory / config.hydra.sweep.subdir
        config.hydra.runtime.output_dir = str(run_directory)
    HydraConfig.instance().set_config(config)  # for what is interpolated from it
    if CheckedConfig.is_asked_for(config):
        check_command(config, "evaluate" if config.hydra.job.config_name == "evaluate" else "train")
    try:
        whole = {key: _plain(config[key]) for key in config if key != "hydra"}
    except MissingMandatoryValue as error:
        raise ValueError(f"{error.full_key} is missing: give {error.full_key}=...") from None
    whole["hydra"] = OmegaConf.to_container(config.hydra, resolve=False, enum_to_str=True)
    file = directory / "jobs" / f"{number}.yaml"
    write_text(file, yaml.dump(whole, Dumper=_Dumper, sort_keys=False, allow_unicode=True))
    return run_directory


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True, throw_on_missing=True) if OmegaConf.is_config(value) else value


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # ten times OmegaConf's speed
    """Quotes every text, of which OmegaConf would read "1e-4" as a number, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
