"""Train a vision encoder on drawings: open, fit, test, report.

python train.py backbone=clip freeze=first12
"""

if __name__ == "__main__":
    import deepdraw.runtime.startup  # noqa: F401  # Ctrl-C ends the imports below without a traceback, too

import hydra
from omegaconf import DictConfig

from deepdraw.config import one_line_compose_errors
from deepdraw.runtime import hydra_run_directory, one_line_errors, run_directory_for_rank0_only


@one_line_compose_errors
@run_directory_for_rank0_only
@hydra.main(version_base="1.3", config_path="conf", config_name="train")
@one_line_errors
def main(cfg: DictConfig) -> float:
    """Train as `cfg` says in Hydra's run directory and return what a sweep compares."""
    from deepdraw.experiment import open_experiment  # torch: slow to import, and --help needs none of it

    with open_experiment(cfg, hydra_run_directory()) as experiment:
        experiment.fit()
        experiment.test()
        experiment.report()
    experiment.evaluate()
    return experiment.objective


if __name__ == "__main__":
    main()
