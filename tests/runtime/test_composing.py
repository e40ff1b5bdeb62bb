"""Quick composing: the configs that Hydra's own loader gives, and nothing lost when they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from deepdraw.sweep.composing import QuickLoader, write_config
from deepdraw.sweep.job import load_config

CONF = Path(__file__).parents[2] / "conf"
FIXED = ["hydra/launcher=slurm", "train.epochs=2"]


@pytest.fixture
def loader():
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def master(loader):
    return loader.load_configuration("train", FIXED, RunMode.MULTIRUN)


@pytest.mark.parametrize(
    "overrides",
    [["seed=1"], ["optimizer.lr=1e-4", "+new.key=3"], ["optimizer=sgd", "~render.margin", "hydra.job.name=x"]],
)
def test_it_composes_what_hydra_composes(loader, master, overrides):
    quick = QuickLoader(loader)
    quick.load_sweep_config(master, ["seed=9"])
    assert quick.load_sweep_config(master, overrides) == loader.load_sweep_config(master, overrides)


def test_a_job_reads_what_was_composed(loader, master, tmp_path):
    composed = loader.load_sweep_config(master, ["optimizer.lr=1e-4", "features.dir='1e-4'", "hydra.launcher.mem_gb=2"])
    assert write_config(tmp_path, composed, 3) == tmp_path / "3"
    config = load_config(tmp_path / "jobs/3.yaml")
    assert (config.optimizer.lr, config.features.dir, config.hydra.job.num) == (1e-4, "1e-4", 3)
    assert config.hydra.runtime.output_dir == str(tmp_path / "3")
    assert "${" not in OmegaConf.to_yaml(OmegaConf.masked_copy(config, [key for key in config if key != "hydra"]))
    assert config.hydra.launcher.mem_gb == 2


def test_an_option_that_must_be_given_is_named_before_anything_is_submitted(loader, tmp_path):
    config = loader.load_configuration("train", ["seed=???"], RunMode.MULTIRUN)
    with pytest.raises(ValueError, match="seed is missing: give seed="):
        write_config(tmp_path, config, 0)
